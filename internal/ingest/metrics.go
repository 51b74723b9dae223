package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/segment"
)

// metrics are the figures of an Ingester. What the hot path touches is resolved
// once for each source.
type metrics struct {
	documents      *prometheus.CounterVec
	refused        *prometheus.CounterVec
	lettersDropped *prometheus.CounterVec
	inFlight       prometheus.Gauge

	bySource map[Source]*sourceMetrics
	other    *sourceMetrics
	codes    map[string]bool
}

// sourceMetrics are the children of the vectors for one source.
type sourceMetrics struct {
	accepted, refused, malformed, overloaded, failed prometheus.Counter
	bytes                                            prometheus.Counter
	seconds                                          prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		documents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roentgen_ingest_documents_total",
			Help: "Documents that came in, by source and result: accepted (durable), refused (bad document), malformed (no document at all), overloaded (told to come again), failed (the store could not take them).",
		}, []string{"source", "result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roentgen_ingest_refused_total",
			Help: "Refused documents by source and ErrorCode.",
		}, []string{"source", "code"}),
		lettersDropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roentgen_ingest_dead_letters_dropped_total",
			Help: "Refused documents that were not kept as dead letters, by reason.",
		}, []string{"reason"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "roentgen_ingest_in_flight_bytes",
			Help: "Documents that are being checked and stored.",
		}),
		bySource: make(map[Source]*sourceMetrics),
		codes:    make(map[string]bool),
	}
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "roentgen_ingest_bytes_total",
		Help: "Bytes of the documents in stored puts, refused documents included.",
	}, []string{"source"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "roentgen_ingest_put_duration_seconds",
		Help:    "Time from the arrival of a put to its durable storage.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"source"})
	for _, code := range []segment.Code{
		segment.CodeParseError, segment.CodeMissingID, segment.CodeInvalidID, segment.CodeMissingName,
		segment.CodeInvalidName, segment.CodeMissingTraceID, segment.CodeInvalidTraceID, segment.CodeMissingStartTime,
		segment.CodeInvalidStartTime, segment.CodeMissingEndTime, segment.CodeInvalidEndTime,
		segment.CodeInProgressSegmentHasEndTime, segment.CodeInProgressSubsegmentHasEndTime,
		segment.CodeMissingParentID, segment.CodeInvalidParentID, segment.CodeUnknownType, segment.CodeInvalidSegment,
	} {
		m.codes[string(code)] = true
	}
	child := func(s Source) *sourceMetrics {
		l := string(s)
		return &sourceMetrics{
			accepted:   m.documents.WithLabelValues(l, "accepted"),
			refused:    m.documents.WithLabelValues(l, "refused"),
			malformed:  m.documents.WithLabelValues(l, "malformed"),
			overloaded: m.documents.WithLabelValues(l, "overloaded"),
			failed:     m.documents.WithLabelValues(l, "failed"),
			bytes:      bytes.WithLabelValues(l),
			seconds:    seconds.WithLabelValues(l),
		}
	}
	for _, s := range []Source{SourceHTTP, SourceUDP, SourceImport, SourceOTLP} {
		m.bySource[s] = child(s)
	}
	m.other = child("other")
	if reg != nil {
		reg.MustRegister(m.documents, m.refused, m.lettersDropped, m.inFlight, bytes, seconds)
	}
	return m
}

// source returns the children for s; sources that nobody declared share one.
func (m *metrics) source(s Source) *sourceMetrics {
	if c, ok := m.bySource[s]; ok {
		return c
	}
	return m.other
}

// refusedBy counts one refusal. Codes that package segment does not declare
// share one label, so that its values stay bounded.
func (m *metrics) refusedBy(s Source, code string) {
	if !m.codes[code] {
		code = "other"
	}
	if _, ok := m.bySource[s]; !ok {
		s = "other"
	}
	m.refused.WithLabelValues(string(s), code).Inc()
}
