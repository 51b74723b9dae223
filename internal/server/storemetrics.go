package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// storeCollector shows what every engine tells about itself. Engines have
// further figures under names of their own.
type storeCollector struct {
	stats func() tracestore.Stats
	descs []*prometheus.Desc
}

var storeFigures = []struct {
	name, help string
	value      func(s *tracestore.Stats) float64
}{
	{"kept_documents", "Documents that are kept, about.", func(s *tracestore.Stats) float64 { return float64(s.Documents) }},
	{"last_seq", "Number of the latest durable document.", func(s *tracestore.Stats) float64 { return float64(s.LastSeq) }},
	{"rolled_seq", "The views hold everything up to the document with this number.", func(s *tracestore.Stats) float64 { return float64(s.RolledSeq) }},
	{"oldest_arrival_timestamp_seconds", "Arrival of the oldest kept documents, 0 when there are none.", func(s *tracestore.Stats) float64 { return float64(s.OldestPart) / 1e3 }},
}

func newStoreCollector(stats func() tracestore.Stats) *storeCollector {
	c := &storeCollector{stats: stats}
	for _, f := range storeFigures {
		c.descs = append(c.descs, prometheus.NewDesc("roentgen_store_"+f.name, f.help, nil, nil))
	}
	return c
}

func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	for i, f := range storeFigures {
		ch <- prometheus.MustNewConstMetric(c.descs[i], prometheus.GaugeValue, f.value(&s))
	}
}
