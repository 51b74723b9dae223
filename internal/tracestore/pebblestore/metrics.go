package pebblestore

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of one store.
type metrics struct {
	commits          *prometheus.CounterVec
	commitSeconds    prometheus.Histogram
	syncSeconds      prometheus.Histogram
	documents        prometheus.Counter
	documentBytes    prometheus.Counter
	blockBytes       prometheus.Counter
	refused          *prometheus.CounterVec
	rollSeconds      prometheus.Histogram
	rolledTraces     prometheus.Counter
	reloads          prometheus.Counter
	cellsChanged     prometheus.Counter
	graphCells       prometheus.Counter
	blocksRead       prometheus.Counter
	blocksSkipped    prometheus.Counter
	rowsSkipped      prometheus.Counter
	blocksDivided    prometheus.Counter
	partsRemoved     *prometheus.CounterVec
	flushes          prometheus.Counter
	compactions      prometheus.Counter
	backgroundErrors prometheus.Counter
	corruptions      prometheus.Counter
	reopens          prometheus.Counter
	unparsable       prometheus.Counter
	lettersDropped   prometheus.Counter
}

// newMetrics makes the figures and registers them, and those that stats gives,
// when reg is not nil.
func newMetrics(reg prometheus.Registerer, s *Store) (*metrics, []prometheus.Collector) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "roentgen_store_" + name, Help: help})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "roentgen_store_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12),
		})
	}
	byLabel := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "roentgen_store_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		commits:          byLabel("commits_total", "Commits of documents by result: ok or error.", "result"),
		commitSeconds:    seconds("commit_seconds", "Time from the start of packing a commit to its acknowledgement."),
		syncSeconds:      seconds("sync_seconds", "Time a commit waited for the log to be synced."),
		documents:        counter("documents_total", "Documents stored."),
		documentBytes:    counter("document_bytes_total", "Bytes of documents stored, as they came."),
		blockBytes:       counter("block_bytes_total", "Bytes of documents stored, compressed."),
		refused:          byLabel("writes_refused_total", "Writes refused by reason: overloaded, no_space, unavailable or closed.", "reason"),
		rollSeconds:      seconds("roller_seconds", "Time of one step of the roller."),
		rolledTraces:     counter("roller_traces_total", "Traces whose row the roller wrote."),
		reloads:          counter("roller_reloads_total", "Traces whose earlier documents the roller read again."),
		cellsChanged:     counter("graph_changes_total", "Changes of cells of the service graph that the roller wrote."),
		graphCells:       counter("graph_cells_read_total", "Cells of the service graph that were read for answers."),
		blocksRead:       counter("term_blocks_read_total", "Filters of the terms of neighbouring rows that scans asked."),
		blocksSkipped:    counter("term_blocks_skipped_total", "Of them, those of which no row could match: their rows were not read."),
		rowsSkipped:      counter("scan_rows_skipped_total", "Rows that scans left out because they could not match."),
		blocksDivided:    counter("term_blocks_divided_total", "Blocks of terms that had too many rows and were divided."),
		partsRemoved:     byLabel("parts_removed_total", "Parts removed by reason: age or budget.", "reason"),
		flushes:          counter("flushes_total", "Flushes of memory to files."),
		compactions:      counter("compactions_total", "Compactions of files."),
		backgroundErrors: counter("background_errors_total", "Failed flushes and compactions."),
		corruptions:      counter("corruptions_total", "Stored bytes found damaged."),
		reopens:          counter("reopens_total", "Times the store opened its folder again after a failure."),
		unparsable:       counter("unparsable_documents_total", "Stored documents that no longer parse and were left out of views."),
		lettersDropped:   counter("dead_letters_dropped_total", "Dead letters that made room for newer ones."),
	}
	collectors := []prometheus.Collector{
		m.commits, m.commitSeconds, m.syncSeconds, m.documents, m.documentBytes, m.blockBytes, m.refused, m.rollSeconds,
		m.rolledTraces, m.reloads, m.cellsChanged, m.graphCells, m.blocksRead, m.blocksSkipped, m.rowsSkipped, m.blocksDivided, m.partsRemoved, m.flushes, m.compactions, m.backgroundErrors, m.corruptions, m.reopens,
		m.unparsable, m.lettersDropped,
	}
	gauge := func(name, help string, f func() float64) {
		collectors = append(collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "roentgen_store_" + name, Help: help}, f))
	}
	gauge("tail_bytes", "Bytes of documents that wait to be stored or for the views.", func() float64 { return float64(s.pending.Load()) })
	gauge("roller_lag_documents", "Documents that the views do not hold yet.", func() float64 {
		last, rolled := s.LastSeq(), s.rolled()
		return float64(last - min(last, rolled))
	})
	gauge("disk_bytes", "Bytes that the data folder takes.", func() float64 { return float64(s.Stats().DiskBytes) })
	gauge("free_bytes", "Bytes free on the volume of the data folder.", func() float64 { return float64(s.space.free.Load()) })
	gauge("parts", "Parts of the store.", func() float64 { return float64(s.Stats().Parts) })
	gauge("unavailable", "1 while writes are refused for want of a working disk or of space, else 0.", func() float64 {
		if s.Stats().Unavailable != "" {
			return 1
		}
		return 0
	})
	if reg != nil {
		for _, c := range collectors {
			reg.MustRegister(c)
		}
	}
	return m, collectors
}
