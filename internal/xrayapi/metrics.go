package xrayapi

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/sampling"
)

// metrics are the figures of a Handler. The children of calls that went well
// are resolved once.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	ok       sync.Map // operation name to *okMetrics
}

type okMetrics struct {
	requests prometheus.Counter
	seconds  prometheus.Observer
}

func newMetrics(reg prometheus.Registerer, bodies *Bodies, sampler *sampling.Sampler) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roentgen_api_requests_total",
			Help: "Calls of the X-Ray API by operation and code: ok, an error code, or aborted (no answer possible).",
		}, []string{"operation", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "roentgen_api_request_duration_seconds",
			Help:    "Time of a call of the X-Ray API, its body's arrival included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"operation"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roentgen_api_body_bytes",
			Help: "Memory held by request bodies that are being read or decoded.",
		}, func() float64 { return float64(bodies.Used()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "roentgen_sampling_clients",
			Help: "Pairs of sampling rule and client that reported in the last minutes.",
		}, func() float64 { clients, _ := sampler.Known(); return float64(clients) }), prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "roentgen_sampling_clients_refused_total",
			Help: "Reports of clients that got no quota because there was no room for more clients.",
		}, func() float64 { _, refused := sampler.Known(); return float64(refused) }))
	}
	return m
}

// done counts a call.
func (m *metrics) done(operation, code string, d time.Duration) {
	if code != "ok" {
		m.requests.WithLabelValues(operation, code).Inc()
		m.seconds.WithLabelValues(operation).Observe(d.Seconds())
		return
	}
	v, found := m.ok.Load(operation)
	if !found {
		v, _ = m.ok.LoadOrStore(operation, &okMetrics{
			requests: m.requests.WithLabelValues(operation, code),
			seconds:  m.seconds.WithLabelValues(operation),
		})
	}
	c := v.(*okMetrics)
	c.requests.Inc()
	c.seconds.Observe(d.Seconds())
}
