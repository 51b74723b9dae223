package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// storeCollector shows what every engine tells about itself.
type storeCollector struct {
	stats func() tracestore.Stats
	descs []*prometheus.Desc
}

var storeFigures = []struct {
	name, help string
	value      func(s *tracestore.Stats) float64
}{
	{"documents", "Documents that are kept, about.", func(s *tracestore.Stats) float64 { return float64(s.Documents) }},
	{"last_seq", "Number of the latest durable document.", func(s *tracestore.Stats) float64 { return float64(s.LastSeq) }},
	{"rolled_seq", "The views hold everything up to the document with this number.", func(s *tracestore.Stats) float64 { return float64(s.RolledSeq) }},
	{"tail_bytes", "Documents that wait for the views.", func(s *tracestore.Stats) float64 { return float64(s.TailBytes) }},
	{"disk_bytes", "Size of the data folder.", func(s *tracestore.Stats) float64 { return float64(s.DiskBytes) }},
	{"free_bytes", "Free space on the volume of the data folder.", func(s *tracestore.Stats) float64 { return float64(s.FreeBytes) }},
	{"parts", "Ranges of time by which the store keeps and removes documents.", func(s *tracestore.Stats) float64 { return float64(s.Parts) }},
	{"oldest_arrival_timestamp_seconds", "Arrival of the oldest kept documents, 0 when there are none.", func(s *tracestore.Stats) float64 { return float64(s.OldestPart) / 1e3 }},
	{"unavailable", "1 while writes are refused; /-/ready tells why.", func(s *tracestore.Stats) float64 {
		if s.Unavailable != "" {
			return 1
		}
		return 0
	}},
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
