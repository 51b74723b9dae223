package udp

import "github.com/prometheus/client_golang/prometheus"

// Reasons for dropping well-formed segments.
const (
	dropQueueFull   = "queue full"
	dropStoreClosed = "store closed"
	dropStoreFailed = "store failed"
	dropShutdown    = "shutdown"
)

type metrics struct {
	datagrams, bytes, refused, segments, reads, readErrors prometheus.Counter
	malformed                                              map[reason]prometheus.Counter
	dropped                                                map[string]prometheus.Counter
	retries                                                prometheus.Counter
	putSize                                                prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, r *Receiver) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "roentgen_udp_" + name, Help: help})
	}
	m := &metrics{
		datagrams:  counter("datagrams_received_total", "Datagrams read from the socket."),
		bytes:      counter("received_bytes_total", "Bytes of the datagrams read from the socket."),
		refused:    counter("datagrams_refused_total", "Datagrams that were dropped unseen, since their network may not send (udp-allow)."),
		segments:   counter("segments_received_total", "Well-formed datagrams, each of which carries one document."),
		reads:      counter("reads_total", "System calls that returned datagrams."),
		readErrors: counter("read_errors_total", "System calls that failed to read datagrams."),
		retries:    counter("put_retries_total", "Puts that the store could not take and that were tried again."),
		malformed:  make(map[reason]prometheus.Counter),
		dropped:    make(map[string]prometheus.Counter),
		putSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "roentgen_udp_put_segments",
			Help:    "Segments that were stored by one put.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500},
		}),
	}
	malformed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "roentgen_udp_datagrams_malformed_total", Help: "Datagrams that carry no document, by reason.",
	}, []string{"reason"})
	for _, why := range reasons {
		m.malformed[why] = malformed.WithLabelValues(string(why))
	}
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "roentgen_udp_segments_dropped_total", Help: "Well-formed datagrams that were not stored, by reason.",
	}, []string{"reason"})
	for _, why := range []string{dropQueueFull, dropStoreClosed, dropStoreFailed, dropShutdown} {
		m.dropped[why] = dropped.WithLabelValues(why)
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.datagrams, m.bytes, m.refused, m.segments, m.reads, m.readErrors, m.retries, m.putSize, malformed, dropped,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "roentgen_udp_kernel_dropped_total",
			Help: "Datagrams that the kernel dropped because the socket's buffer was full. Stays 0 where the system does not tell.",
		}, func() float64 { return float64(r.KernelDrops()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roentgen_udp_socket_buffer_bytes", Help: "Size of the kernel's buffer for the socket, in the kernel's own accounting.",
		}, func() float64 { return float64(r.bufferBytes) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roentgen_udp_queue_bytes", Help: "Memory of segments that wait for the store.",
		}, func() float64 { return float64(r.queued.Load()) }),
	)
	return m
}
