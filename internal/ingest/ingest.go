// Package ingest is the way in: it checks documents, bounds what is under way,
// writes them to the store and keeps what was refused.
//
// A put travels in one piece. Its documents are parsed where they lie, the
// accepted ones go to the store as one Write, and Put returns when that Write
// is durable. Refused documents are an answer, not an error: they come back to
// the caller and their beginnings go to the dead letters, through a bounded
// queue and a goroutine of its own, so that a sender of nonsense slows nobody.
//
// What is dropped, and the counter that then moves: dead letters when the queue
// is full or the store refuses them (roentgen_ingest_dead_letters_dropped_total).
// Accepted documents are never dropped: a put that does not fit is refused as a
// whole with tracestore.ErrOverloaded before anything of it is stored, and as a rule
// before it is parsed. Spans wait a moment for room first.
package ingest

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// Source names a way into Roentgen; it labels metrics and dead letters.
type Source string

const (
	SourceHTTP   Source = "http"   // PutTraceSegments
	SourceUDP    Source = "udp"    // the daemon's protocol
	SourceImport Source = "import" // POST /api/import
	SourceOTLP   Source = "otlp"   // OpenTelemetry, over HTTP and gRPC
)

// DefaultInFlightBytes bounds the documents that are being stored when
// Config.InFlightBytes is 0. It is enough for some hundred ordinary calls at
// once and small beside the memory that a busy server has anyway.
const DefaultInFlightBytes = 64 << 20

// importBacklog is how many bytes of documents may wait for the store's views
// when history is imported: a third of what the store takes at all. History can
// wait; what happens now has the rest.
const importBacklog = 16 << 20

// Origin says where documents come from.
type Origin struct {
	Source Source
	Peer   string // sender's address, "" when unknown
	Via    string // ids of the servers that passed them on, as HeaderVia says; mostly ""
}

// HeaderVia is the header of a request that says through which servers its documents
// or spans came: their ids, with commas between them.
const HeaderVia = "X-Roentgen-Via"

// Forwarder passes on what was received.
type Forwarder interface {
	// Forward returns when records, which are durable here, are durable on their way
	// to others, too. It keeps none of their memory. The error is one of the store's.
	Forward(ctx context.Context, via string, records []tracestore.Record) error
}

// Config sets up an Ingester.
type Config struct {
	Store tracestore.Store
	// Spans says how spans become segments; the store has to read them by the same.
	Spans         otlp.Mapping
	Limits        segment.Limits
	TraceBytes    int64                 // documents of one trace, beyond it further ones are refused; 0: no bound
	InFlightBytes int64                 // documents being stored, beyond it Put answers ErrOverloaded; 0: DefaultInFlightBytes
	Retention     time.Duration         // bounds the receipt time of imports; 0: no bound
	Forward       Forwarder             // gets everything but imports; nil: nothing is passed on
	Logger        *slog.Logger          // nil: discard
	Registerer    prometheus.Registerer // nil: no metrics are shown
	Now           func() time.Time      // nil: time.Now
}

// Ingester takes documents in. It may be used by many goroutines.
type Ingester struct {
	cfg      Config
	inFlight atomic.Int64
	metrics  *metrics
	letters  *letterQueue
	sizes    *traceSizes // nil: no bound
	feed     feed
}

// New returns an Ingester over cfg.Store. The caller closes it before the store.
func New(cfg Config) *Ingester {
	if cfg.InFlightBytes <= 0 {
		cfg.InFlightBytes = DefaultInFlightBytes
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With(slog.String("component", "ingest"))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	in := &Ingester{cfg: cfg, metrics: newMetrics(cfg.Registerer)}
	in.letters = newLetterQueue(cfg.Store, cfg.Logger, in.metrics)
	if cfg.TraceBytes > 0 {
		in.sizes = newTraceSizes(cfg.Store, cfg.TraceBytes)
	}
	return in
}

// Close stores the dead letters that still wait and stops. Call it when no Put
// is under way any more: the letters of later refusals are dropped, and counted.
// It is safe to call twice.
func (in *Ingester) Close() error {
	in.letters.close()
	return nil
}

// Put checks and stores documents as one put and returns when the accepted ones
// are durable, with the refusals in the order of docs. It takes over the memory
// of docs. Refused documents are kept as dead letters. The error is one of the
// store's (tracestore.ErrOverloaded, ErrNoSpace, ErrUnavailable, ...) and then
// nothing of the call counts as stored.
func (in *Ingester) Put(ctx context.Context, from Origin, docs [][]byte) ([]*segment.Refusal, error) {
	now := in.cfg.Now().UnixMilli()
	report, err := in.put(ctx, from, docs, now, nil)
	return report.Refusals, err
}

// Import is Put for history: the receipt of a document is its own end, not in
// the future and not beyond retention, so that windows by receipt find it.
func (in *Ingester) Import(ctx context.Context, from Origin, docs [][]byte) ([]*segment.Refusal, error) {
	report, err := in.ImportReport(ctx, from, docs)
	return report.Refusals, err
}

// Report tells what became of the documents of a put.
type Report struct {
	Accepted int                // durable now; an array counts by its elements
	Refusals []*segment.Refusal // in the order of the documents
	At       []int              // for each refusal, the index in docs of what held it
}

// ImportReport is Import with a fuller answer.
func (in *Ingester) ImportReport(ctx context.Context, from Origin, docs [][]byte) (Report, error) {
	now := in.cfg.Now().UnixMilli()
	oldest := int64(1) // nothing was received before 1970, whatever a document says
	if in.cfg.Retention > 0 {
		oldest = max(oldest, now-in.cfg.Retention.Milliseconds())
	}
	return in.put(ctx, from, docs, now, func(s *segment.Segment) int64 {
		return importReceipt(s, oldest, now)
	})
}

// importReceipt returns the receipt time of an imported document in unix
// milliseconds: its end, or its start while it is in progress, between oldest and now.
func importReceipt(s *segment.Segment, oldest, now int64) int64 {
	t := s.EndTime
	if s.InProgress {
		t = s.StartTime
	}
	// The comparison is made before the conversion: senders choose these
	// numbers, and a float beyond int64 converts to anything.
	ms := t * 1e3
	switch {
	case !(ms < float64(now)):
		return now
	case ms <= float64(oldest):
		return oldest
	}
	return int64(ms)
}

// put parses docs and writes what is accepted. The receipt is now for all
// documents unless receipt gives another.
func (in *Ingester) put(ctx context.Context, from Origin, docs [][]byte, now int64, receipt func(*segment.Segment) int64) (Report, error) {
	begin := time.Now()
	m := in.metrics.source(from.Source)

	size := int64(0)
	for _, doc := range docs {
		size += int64(len(doc))
	}
	if receipt != nil && in.cfg.Store.Stats().TailBytes > importBacklog {
		m.overloaded.Add(float64(len(docs)))
		return Report{}, tracestore.ErrOverloaded
	}
	if !in.hasRoom(len(docs), size) || !in.admit(size) {
		m.overloaded.Add(float64(len(docs)))
		return Report{}, tracestore.ErrOverloaded
	}
	defer in.leave(size)

	records := make([]tracestore.Record, 0, len(docs))
	var report Report
	at := 0
	var refused []tracestore.DeadLetter
	var failed error
	var refuse func(text []byte, r *segment.Refusal)
	accept := func(text []byte, s *segment.Segment) {
		if ok, err := in.sizes.take(ctx, s.TraceID, len(text)); err != nil {
			failed = err
			return
		} else if !ok {
			refuse(text, in.sizes.refusal(s))
			return
		}
		r := tracestore.Record{Format: tracestore.FormatXRay, Data: text, Segment: s, Received: now}
		if receipt != nil {
			r.Received = receipt(s)
		}
		records = append(records, r)
	}
	refuse = func(text []byte, r *segment.Refusal) {
		report.Refusals, report.At = append(report.Refusals, r), append(report.At, at)
		if len(refused) < letterQueueLen { // more would not fit anyway
			refused = append(refused, newLetter(now, from, text, r))
		}
	}
	limits := in.cfg.Limits
	for i, doc := range docs {
		at = i
		// What one array may cost all arrays of a put may: an element that is refused
		// takes a hundred times its own size, in memory and in the answer.
		limits.ArrayDocuments = max(1, segment.MaxArrayDocuments-len(report.Refusals))
		segment.ParseAll(doc, limits, accept, refuse)
	}
	if failed != nil {
		in.sizes.giveBack(records)
		m.failed.Add(float64(len(docs)))
		return Report{}, failed
	}
	if err := in.store(ctx, from, m, records, &report, refused); err != nil {
		return Report{}, err
	}
	m.bytes.Add(float64(size))
	m.seconds.Observe(time.Since(begin).Seconds())
	return report, nil
}

// hasRoom reports whether the store is likely to take documents of so many bytes. What it
// would refuse need not be parsed.
func (in *Ingester) hasRoom(documents int, bytes int64) bool {
	st := in.cfg.Store.Stats()
	return documents == 0 || st.TailLimit == 0 || st.TailBytes == 0 || st.TailBytes+bytes+int64(documents)*tracestore.DocumentOverhead <= st.TailLimit
}

// admit counts size bytes as under way, unless they are too many.
func (in *Ingester) admit(size int64) bool {
	// One put is always let in when nothing else is under way, however large it
	// is: otherwise a big one could never be stored at all.
	if total := in.inFlight.Add(size); total > in.cfg.InFlightBytes && total != size {
		in.inFlight.Add(-size)
		return false
	}
	in.metrics.inFlight.Add(float64(size))
	return true
}

// leave takes back what admit counted.
func (in *Ingester) leave(size int64) {
	in.inFlight.Add(-size)
	in.metrics.inFlight.Sub(float64(size))
}

// store writes the records of a put, and tells everybody who wants to know what
// became of its documents. refused are letters for the refusals of report, or for
// the first of them.
func (in *Ingester) store(ctx context.Context, from Origin, m *sourceMetrics, records []tracestore.Record, report *Report, refused []tracestore.DeadLetter) error {
	if len(records) > 0 {
		if err := in.cfg.Store.Write(ctx, records); err != nil {
			in.sizes.giveBack(records)
			// The caller is told that the whole call failed and will send it
			// again, bad documents included; their letters are added then.
			if errors.Is(err, tracestore.ErrOverloaded) {
				m.overloaded.Add(float64(len(records)))
			} else {
				m.failed.Add(float64(len(records)))
			}
			return err
		}
	}
	in.feed.publish(records)
	if in.cfg.Forward != nil && len(records) > 0 && from.Source != SourceImport {
		if err := in.cfg.Forward.Forward(ctx, from.Via, records); err != nil {
			// The sender comes again with all of them; the store knows these by then.
			in.sizes.giveBack(records)
			m.failed.Add(float64(len(records)))
			return err
		}
	}
	report.Accepted = len(records)
	m.accepted.Add(float64(len(records)))
	if n := len(report.Refusals); n > 0 {
		m.refused.Add(float64(n))
		for _, r := range report.Refusals {
			in.metrics.refusedBy(from.Source, string(r.Code))
		}
		in.letters.add(refused, n)
	}
	return nil
}

// Malformed counts and keeps a datagram that is no document at all.
func (in *Ingester) Malformed(from Origin, data []byte, reason string) {
	in.metrics.source(from.Source).malformed.Inc()
	in.letters.add([]tracestore.DeadLetter{{
		Time:     in.cfg.Now().UnixMilli(),
		Source:   string(from.Source),
		Peer:     from.Peer,
		Code:     CodeMalformed,
		Message:  "Malformed datagram",
		Detail:   reason,
		Remedy:   `send {"format":"json","version":1}, a newline and one segment document, in one datagram`,
		Size:     len(data),
		Document: beginning(data),
	}}, 1)
}
