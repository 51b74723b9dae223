// Package memstore keeps trace documents in memory, in the most obvious way: a
// list of documents for each trace under one lock, and every question answered
// by assembling the traces afresh. Nothing survives the process.
//
// It is the reference that other engines are compared with, and a store for
// tests of whatever sits above tracestore. It asks nothing of speed: a Scan
// costs as much as assembling everything that is stored.
package memstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// Bounds of the dead letters: beyond them the oldest go.
const (
	maxDeadLetters     = 10_000
	maxDeadLetterBytes = 16 << 20
)

// Store is a tracestore.Store in memory.
type Store struct {
	now    func() time.Time
	groups func() []tracestore.Group

	mu struct {
		sync.RWMutex
		closed bool

		traces    map[segment.TraceID][]document // in order of seq
		seq       uint64                         // of the latest document
		put       uint64                         // of the latest Write
		arrived   int64                          // first arrival, unix milliseconds; 0 while empty
		documents uint64

		letters     []tracestore.DeadLetter // oldest first
		letter      uint64                  // number of the latest letter
		letterBytes int
	}
}

// document is a stored record.
type document struct {
	stored  tracestore.Stored
	segment *segment.Segment
}

var _ tracestore.Store = (*Store)(nil)

// Option changes a new Store.
type Option func(*Store)

// WithClock sets the clock that arrivals and undated dead letters are stamped
// with, in place of time.Now.
func WithClock(now func() time.Time) Option {
	return func(s *Store) { s.now = now }
}

// WithGroups sets the groups by which the graph is filed; without it there is
// only the Default group.
func WithGroups(groups func() []tracestore.Group) Option {
	return func(s *Store) { s.groups = groups }
}

// New returns an empty store.
func New(options ...Option) *Store {
	s := &Store{now: time.Now}
	s.mu.traces = make(map[segment.TraceID][]document)
	for _, o := range options {
		o(s)
	}
	return s
}

// Write stores the records as one put. A record without a parsed Segment is
// parsed here; one that does not parse fails the whole call, nothing is stored.
func (s *Store) Write(ctx context.Context, records []tracestore.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	segments := make([]*segment.Segment, len(records))
	for i, r := range records {
		if segments[i] = r.Segment; r.Segment != nil {
			continue
		}
		d := tracestore.Stored{Format: r.Format, Data: r.Data, Source: r.Source}
		var err error
		if segments[i], err = d.Segment(false); err != nil {
			return fmt.Errorf("memstore: record %d: %w", i, err)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return tracestore.ErrClosed
	}
	if len(records) == 0 {
		return nil
	}
	s.mu.put++
	for i, r := range records {
		s.mu.seq++
		id := segments[i].TraceID
		s.mu.traces[id] = append(s.mu.traces[id], document{
			stored:  tracestore.Stored{Seq: s.mu.seq, Put: s.mu.put, Received: r.Received, Format: r.Format, Data: r.Data, Source: r.Source},
			segment: segments[i],
		})
	}
	s.mu.documents += uint64(len(records))
	if s.mu.arrived == 0 {
		s.mu.arrived = s.now().UnixMilli()
	}
	return nil
}

// Load adds documents that another store gave, with the seq, put and receipt
// that they have there; each trace's documents must come in order of seq. It
// makes the reference for what that store should answer.
func (s *Store) Load(docs []tracestore.Stored) error {
	segments := make([]*segment.Segment, len(docs))
	for i, d := range docs {
		var err error
		if segments[i], err = d.Segment(false); err != nil {
			return fmt.Errorf("memstore: document with seq %d: %w", d.Seq, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return tracestore.ErrClosed
	}
	for i, d := range docs {
		id := segments[i].TraceID
		list := s.mu.traces[id]
		if len(list) > 0 && list[len(list)-1].stored.Seq >= d.Seq {
			return fmt.Errorf("memstore: trace %v: seq %d comes after %d", id, d.Seq, list[len(list)-1].stored.Seq)
		}
		s.mu.traces[id] = append(list, document{stored: d, segment: segments[i]})
		s.mu.seq, s.mu.put = max(s.mu.seq, d.Seq), max(s.mu.put, d.Put)
	}
	s.mu.documents += uint64(len(docs))
	if s.mu.arrived == 0 && len(docs) > 0 {
		s.mu.arrived = s.now().UnixMilli()
	}
	return nil
}

// upTo returns the documents of a trace with seq <= asOf, all for asOf 0.
func upTo(docs []document, asOf uint64) []document {
	if asOf == 0 {
		return docs
	}
	n, _ := slices.BinarySearchFunc(docs, asOf, func(d document, asOf uint64) int {
		if d.stored.Seq <= asOf {
			return -1
		}
		return 1
	})
	return docs[:n]
}

// Documents implements tracestore.TraceReader.
func (s *Store) Documents(ctx context.Context, id segment.TraceID, asOf uint64) ([]tracestore.Stored, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return nil, tracestore.ErrClosed
	}
	docs := upTo(s.mu.traces[id], asOf)
	out := make([]tracestore.Stored, len(docs))
	for i, d := range docs {
		out[i] = d.stored
		out[i].Data, out[i].Source = bytes.Clone(d.stored.Data), bytes.Clone(d.stored.Source)
	}
	return out, nil
}

// found is a row of a scan at its position.
type found struct {
	cursor tracestore.Cursor
	row    *trace.Row
}

// newestFirst orders positions: later times first, and of one time the greater id first.
func newestFirst(a, b tracestore.Cursor) int {
	return cmp.Or(cmp.Compare(b.Time, a.Time), bytes.Compare(b.ID[:], a.ID[:]))
}

// Scan implements tracestore.Searcher. fn is called without a lock held, on the
// state that the store had when Scan was called.
func (s *Store) Scan(ctx context.Context, scan tracestore.Scan, fn func(c tracestore.Cursor, row *trace.Row) bool) error {
	traces, err := s.all(scan.AsOf)
	if err != nil {
		return err
	}
	var rows []found
	for id, docs := range traces {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(docs) == 0 {
			continue
		}
		row := assemble(id, docs).Row()
		at, ok := position(row, scan)
		if !ok {
			continue
		}
		c := tracestore.Cursor{Time: at, ID: id}
		if scan.After != nil && newestFirst(c, *scan.After) <= 0 {
			continue
		}
		rows = append(rows, found{c, row})
	}
	slices.SortFunc(rows, func(a, b found) int { return newestFirst(a.cursor, b.cursor) })
	for _, r := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(scan.Need) > 0 && !r.row.Cut && lacks(r.row, scan.Need) {
			if scan.Skipped != nil && !r.row.OrphanOnly {
				scan.Skipped(1)
			}
			continue
		}
		if !fn(r.cursor, r.row) {
			return nil
		}
	}
	return ctx.Err()
}

// all returns the documents of all traces with seq <= asOf. They are only ever
// appended to, so the lists stay as they are.
func (s *Store) all(asOf uint64) (map[segment.TraceID][]document, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return nil, tracestore.ErrClosed
	}
	traces := make(map[segment.TraceID][]document, len(s.mu.traces))
	for id, docs := range s.mu.traces {
		traces[id] = upTo(docs, asOf)
	}
	return traces, nil
}

func assemble(id segment.TraceID, docs []document) *trace.Trace {
	list := make([]trace.Document, len(docs))
	for i, d := range docs {
		list[i] = trace.Document{Seq: d.stored.Seq, Put: d.stored.Put, Received: d.stored.Received, Segment: d.segment}
	}
	return trace.AssembleBrief(id, list)
}

// lacks reports whether a row has not what is needed.
func lacks(row *trace.Row, need trace.Need) bool {
	terms := row.AppendTerms(nil)
	for _, clause := range need {
		if !slices.ContainsFunc(clause, func(t trace.Term) bool { return slices.Contains(terms, t) }) {
			return true
		}
	}
	return false
}

// observe calls fn for the contributions of all traces to the graph of the given groups.
func (s *Store) observe(ctx context.Context, of []tracestore.GroupRef, fn func(second int64, c *servicegraph.Contribution)) error {
	traces, err := s.all(0)
	if err != nil {
		return err
	}
	var groups []tracestore.Group
	if s.groups != nil {
		groups = s.groups()
	}
	for id, docs := range traces {
		if err := ctx.Err(); err != nil {
			return err
		}
		t := assemble(id, docs)
		times := 0 // that the trace counts: for each group that it belongs to
		if slices.Contains(of, tracestore.GroupRef{}) {
			times++
		}
		for i := range groups {
			g := &groups[i]
			if slices.Contains(of, g.Ref) && g.From < t.ChangedSeq && (g.Until == 0 || t.ChangedSeq <= g.Until) && g.Match(t.Row(), t.FullRow) {
				times++
			}
		}
		for _, c := range servicegraph.Contributions(nil, t) {
			for range times {
				fn(floorDiv(c.At, 1000), &c)
			}
		}
	}
	return ctx.Err()
}

// Graph implements tracestore.GraphReader.
func (s *Store) Graph(ctx context.Context, of []tracestore.GroupRef, start, end int64, most int) (servicegraph.Cells, bool, error) {
	cells := make(servicegraph.Cells)
	err := s.observe(ctx, of, func(second int64, c *servicegraph.Contribution) {
		if start <= second && second < end {
			cells.Add(c, 1)
		}
	})
	if err != nil {
		return nil, false, err
	}
	cells.DropZero()
	return cells, cells.Cut(most), nil
}

// Minutes implements tracestore.GraphReader.
func (s *Store) Minutes(ctx context.Context, of []tracestore.GroupRef, start, end int64, fn func(stamp int64, cells servicegraph.Cells) bool) error {
	minutes := make(map[int64]servicegraph.Cells)
	err := s.observe(ctx, of, func(second int64, c *servicegraph.Contribution) {
		stamp := floorDiv(second, 60)*60 + 60
		if stamp < start || stamp >= end {
			return
		}
		if minutes[stamp] == nil {
			minutes[stamp] = make(servicegraph.Cells)
		}
		minutes[stamp].Add(c, 1)
	})
	if err != nil {
		return err
	}
	for _, stamp := range slices.Backward(slices.Sorted(maps.Keys(minutes))) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !fn(stamp, minutes[stamp]) {
			break
		}
	}
	return nil
}

// BetweenSteps implements tracestore.Grouper: nothing is derived before it is asked for.
func (s *Store) BetweenSteps(ctx context.Context, fn func(last uint64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return tracestore.ErrClosed
	}
	return fn(s.mu.seq)
}

// position returns where a row stands in a scan, in the unit of Cursor.Time,
// and whether it is in the scan's window at all.
func position(row *trace.Row, scan tracestore.Scan) (at int64, ok bool) {
	if scan.Start >= scan.End {
		return 0, false
	}
	switch scan.Clock {
	case tracestore.ClockStart:
		return row.Start, scan.Start <= row.Start && row.Start < scan.End
	case tracestore.ClockChanged:
		// A millisecond is inside when its first nanosecond is.
		first, beyond := ceilDiv(scan.Start, 1e6), ceilDiv(scan.End, 1e6)
		return row.Changed, first <= row.Changed && row.Changed < beyond
	case tracestore.ClockEnd:
		// A minute meets the window when any of its nanoseconds is inside.
		const minute = int64(time.Minute)
		first, last := floorDiv(scan.Start, minute), floorDiv(scan.End-1, minute)
		at := int64(math.MinInt64)
		for _, m := range row.Ends {
			if first <= m && m <= last {
				at, ok = max(at, m), true
			}
		}
		return at, ok
	}
	return 0, false
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}

// LastSeq implements tracestore.Searcher.
func (s *Store) LastSeq() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.seq
}

// AddDeadLetters implements tracestore.DeadLetters. A letter without Time gets
// the present one.
func (s *Store) AddDeadLetters(letters []tracestore.DeadLetter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return tracestore.ErrClosed
	}
	for _, l := range letters {
		s.mu.letter++
		l.N = s.mu.letter
		l.Document = bytes.Clone(l.Document)
		if l.Time == 0 {
			l.Time = s.now().UnixMilli()
		}
		s.mu.letters = append(s.mu.letters, l)
		s.mu.letterBytes += letterSize(l)
	}
	drop := 0
	for len(s.mu.letters)-drop > maxDeadLetters || s.mu.letterBytes > maxDeadLetterBytes {
		s.mu.letterBytes -= letterSize(s.mu.letters[drop])
		drop++
	}
	s.mu.letters = slices.Delete(s.mu.letters, 0, drop)
	return nil
}

func letterSize(l tracestore.DeadLetter) int {
	return len(l.Source) + len(l.Peer) + len(l.Code) + len(l.Message) + len(l.Detail) + len(l.Remedy) + len(l.ID) + len(l.Document)
}

// DeadLetters implements tracestore.DeadLetters.
func (s *Store) DeadLetters(ctx context.Context, before uint64, limit int) ([]tracestore.DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return nil, tracestore.ErrClosed
	}
	var out []tracestore.DeadLetter
	for _, l := range slices.Backward(s.mu.letters) {
		if len(out) >= limit {
			break
		}
		if before != 0 && l.N >= before {
			continue
		}
		l.Document = bytes.Clone(l.Document)
		out = append(out, l)
	}
	return out, nil
}

// Stats implements tracestore.Store. Everything counts as one part.
func (s *Store) Stats() tracestore.Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st := tracestore.Stats{
		Documents:  s.mu.documents,
		LastSeq:    s.mu.seq,
		RolledSeq:  s.mu.seq,
		OldestPart: s.mu.arrived,
	}
	if s.mu.documents > 0 {
		st.Parts = 1
	}
	if s.mu.closed {
		st.Unavailable = "closed"
	}
	return st
}

// WaitRolled implements tracestore.Store. There are no views, so nothing is waited for.
func (s *Store) WaitRolled(ctx context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return tracestore.ErrClosed
	}
	return ctx.Err()
}

// Close implements tracestore.Store. What was stored is gone; a second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.closed = true
	s.mu.traces, s.mu.letters, s.mu.letterBytes = nil, nil, 0
	return nil
}
