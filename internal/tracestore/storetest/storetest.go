// Package storetest is the conformance suite of tracestore: one subtest for each
// clause of the contract, and random histories in which an engine must give the
// same answers as memstore. Every engine runs it from a test of its own:
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, open, storetest.Options{Reopen: reopen})
//	}
//
// Where the contract leaves room, the suite reads it so: the rows of a scan
// come by time, newest first, and of one time the greater trace id first; a
// cursor continues strictly behind its place in that order, whether or not a
// row still stands there; an empty window holds nothing; a minute meets a
// window of ClockEnd when any nanosecond of it lies inside.
//
// Random tests print their seed; the environment variable ROENTGEN_SEED runs
// them again with it.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/segment"
)

// Options fits the suite to an engine. The zero value runs everything that an
// engine can do which does not outlive its process.
type Options struct {
	// Skip names subtests that the engine does not pass, each with the reason.
	Skip map[string]string
	// Reopen closes a store that open gave, or that Reopen gave, and opens it
	// again over the same data. Nil: the engine keeps nothing.
	Reopen func(t *testing.T, s tracestore.Store) tracestore.Store
	// Groups gives a new, empty store as open does, that files traces under the
	// groups that the function returns. Nil: the engine cannot be given groups.
	Groups func(t *testing.T, groups func() []tracestore.Group) tracestore.Store
	// Check asks the engine to compare its views with its documents. It is
	// called after histories; nil: the engine has no views.
	Check func(ctx context.Context, s tracestore.Store) error
	// DeadLetters and DeadLetterBytes are how many letters the engine keeps;
	// 0: 10,000 and 16 MiB. It may keep a tenth more for a while.
	DeadLetters, DeadLetterBytes int
}

// suite is what the clauses run with.
type suite struct {
	new  func(t *testing.T) tracestore.Store
	opts Options
}

// open gives an empty store that is closed at the end of the subtest.
func (s *suite) open(t *testing.T) tracestore.Store {
	t.Helper()
	store := s.new(t)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

// clauses are the subtests in the order of their names' story.
var clauses = []struct {
	name string
	run  func(t *testing.T, s *suite)
}{
	{"VisibleAfterWrite", testVisible},
	{"DocumentsAsTheyCame", testFaithful},
	{"DocumentsAreCopies", testCopies},
	{"UnknownTrace", testUnknownTrace},
	{"SeqGrows", testSeq},
	{"EmptyWrite", testEmptyWrite},
	{"ManyTracesInOneWrite", testManyTraces},
	{"OneTraceOverManyWrites", testManyWrites},
	{"BigDocuments", testBigDocuments},
	{"InProgressThenComplete", testInProgress},
	{"LateSubsegmentMovesTrace", testLate},
	{"DuplicatesChangeNothing", testDuplicates},
	{"Orphans", testOrphans},
	{"OddTimes", testOddTimes},
	{"WindowsAreHalfOpen", testWindows},
	{"EndMinutes", testEndMinutes},
	{"NewestFirst", testNewestFirst},
	{"Cursors", testCursors},
	{"CursorWithoutRow", testCursorWithoutRow},
	{"EarlyStop", testEarlyStop},
	{"CallsWithinScan", testReentrant},
	{"RowIsKept", testRowIsKept},
	{"Need", testNeed},
	{"Graph", testGraph},
	{"GraphSeconds", testGraphSeconds},
	{"Groups", testGroups},
	{"AsOfDocuments", testAsOfDocuments},
	{"AsOfScan", testAsOfScan},
	{"Cancel", testCancel},
	{"ConcurrentWriters", testConcurrent},
	{"StablePagesUnderLoad", testStablePages},
	{"WaitRolled", testWaitRolled},
	{"Stats", testStats},
	{"DeadLetters", testDeadLetters},
	{"DeadLetterBounds", testDeadLetterBounds},
	{"Closed", testClosed},
	{"CloseUnderLoad", testCloseUnderLoad},
	{"Reopen", testReopen},
	{"History", testHistory},
	{"ConcurrentHistory", testConcurrentHistory},
}

// Run runs the suite. open gives a new, empty store for each call.
func Run(t *testing.T, open func(t *testing.T) tracestore.Store, opts Options) {
	s := &suite{new: open, opts: opts}
	known := make(map[string]bool)
	for _, c := range clauses {
		known[c.name] = true
	}
	for name := range opts.Skip {
		if !known[name] {
			t.Errorf("Options.Skip names no subtest: %q", name)
		}
	}
	for _, c := range clauses {
		t.Run(c.name, func(t *testing.T) {
			if reason, ok := opts.Skip[c.name]; ok {
				t.Skipf("SKIPPED for this engine: %s", reason)
			}
			c.run(t, s)
		})
	}
}

// Seed returns the seed of a random test and prints how to run it again.
func Seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("ROENTGEN_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("ROENTGEN_SEED=%q: %v", text, err)
		}
		seed = n
	}
	t.Logf("seed: run again with ROENTGEN_SEED=%d", seed)
	return seed
}

// everything is the widest window.
func everything(clock tracestore.Clock) tracestore.Scan {
	return tracestore.Scan{Clock: clock, Start: math.MinInt64, End: math.MaxInt64}
}

var clocks = []tracestore.Clock{tracestore.ClockStart, tracestore.ClockChanged, tracestore.ClockEnd}

func clockName(c tracestore.Clock) string {
	return [...]string{"start", "changed", "end"}[c]
}

// ReceivedBase is a receipt time, in unix milliseconds, that fits Epoch.
const ReceivedBase = int64(Epoch)*1000 + 5_000

// Rec makes a record of a document's text.
func Rec(t testing.TB, data []byte, received int64) tracestore.Record {
	t.Helper()
	r, err := NewRecord(data, received)
	if err != nil {
		t.Fatalf("test document is refused: %v\n%s", err, cut(data))
	}
	return r
}

// NewRecord makes a record of a document's text, or of a TracesData message of one span.
func NewRecord(data []byte, received int64) (tracestore.Record, error) {
	if len(data) > 0 && data[0] == 1<<3|2 { // the tag of its field; JSON has a brace there
		return spanRecord(data, received)
	}
	seg, err := segment.Parse(data, segment.Limits{})
	if err != nil {
		return tracestore.Record{}, err
	}
	return tracestore.Record{Format: tracestore.FormatXRay, Data: data, Segment: seg, Received: received}, nil
}

// Mark makes of a generated document another one, by a number, and longer by noise. stored is
// what a store keeps of it as its Data.
func Mark(data []byte, n int, noise []byte) (marked, stored []byte, err error) {
	if data[0] != 1<<3|2 {
		marked = fmt.Appendf(nil, `{"lab":%d,`, n)
		if noise != nil {
			marked = fmt.Appendf(marked, `"metadata":{"big":{"noise":"%s"}},`, noise)
		}
		marked = append(marked, data[1:]...)
		return marked, marked, nil
	}
	var sourced []otlp.SourcedSpan
	err = otlp.Walk(data, func(source, span []byte) bool {
		const traceState = 3
		stored = otlp.AppendField(bytes.Clone(span), traceState, fmt.Appendf(nil, "lab=%d%s", n, noise))
		sourced = append(sourced, otlp.SourcedSpan{Source: source, Span: stored})
		return true
	})
	return otlp.AppendTraces(nil, sourced), stored, err
}

func spanRecord(message []byte, received int64) (tracestore.Record, error) {
	r := tracestore.Record{Format: tracestore.FormatOTLP, Received: received}
	err := otlp.Walk(message, func(source, span []byte) bool {
		r.Source, r.Data = source, span
		return true
	})
	if err != nil {
		return tracestore.Record{}, err
	}
	if r.Segment, err = (*tracestore.SpanReader)(nil).Read(r.Source, r.Data, false); err != nil {
		return tracestore.Record{}, err
	}
	return r, nil
}

func cut(data []byte) []byte {
	if len(data) > 500 {
		return append(data[:500:500], "..."...)
	}
	return data
}

// patience bounds every call that should not take long, so that a store that
// hangs fails the test with its name instead of the test binary's time limit.
const patience = 60 * time.Second

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience,
		fmt.Errorf("no answer for %v", patience))
	t.Cleanup(cancel)
	return ctx
}

// write stores documents as one put, all with one receipt.
func write(t testing.TB, s tracestore.Store, received int64, docs ...Doc) {
	t.Helper()
	records := make([]tracestore.Record, len(docs))
	for i, d := range docs {
		records[i] = Rec(t, d.JSON(), received)
	}
	if err := s.Write(soon(t), records); err != nil {
		t.Fatalf("Write of %d documents: %v", len(docs), err)
	}
}

func documents(t testing.TB, s tracestore.Store, id segment.TraceID, asOf uint64) []tracestore.Stored {
	t.Helper()
	docs, err := s.Documents(soon(t), id, asOf)
	if err != nil {
		t.Fatalf("Documents(%s, as of %d): %v", TraceText(id), asOf, err)
	}
	return docs
}

// Hit is one row of a scan with its place.
type Hit struct {
	Cursor tracestore.Cursor
	Row    *trace.Row
}

// ScanAll collects the rows of a scan, limit at most (0: all).
func ScanAll(ctx context.Context, s tracestore.Searcher, scan tracestore.Scan, limit int) ([]Hit, error) {
	var hits []Hit
	err := s.Scan(ctx, scan, func(c tracestore.Cursor, row *trace.Row) bool {
		hits = append(hits, Hit{c, row})
		return len(hits) != limit
	})
	return hits, err
}

func scanAll(t testing.TB, s tracestore.Store, scan tracestore.Scan) []Hit {
	t.Helper()
	hits, err := ScanAll(soon(t), s, scan, 0)
	if err != nil {
		t.Fatalf("Scan(%s): %v", scanText(scan), err)
	}
	return hits
}

// pages collects a scan page by page, each continued behind the last row of the one before.
func pages(t testing.TB, s tracestore.Store, scan tracestore.Scan, size int) []Hit {
	t.Helper()
	var all []Hit
	for {
		page, err := ScanAll(soon(t), s, scan, size)
		if err != nil {
			t.Fatalf("Scan(%s), page of %d behind %d rows: %v", scanText(scan), size, len(all), err)
		}
		if len(page) > size {
			t.Fatalf("Scan(%s) called fn %d times although it returned false at %d", scanText(scan), len(page), size)
		}
		for _, h := range page {
			if a := scan.After; a != nil && (h.Cursor.Time > a.Time || h.Cursor.Time == a.Time && bytes.Compare(h.Cursor.ID[:], a.ID[:]) >= 0) {
				t.Fatalf("Scan(%s) gave a row at {%d %s}, which is not behind the cursor", scanText(scan), h.Cursor.Time, TraceText(h.Cursor.ID))
			}
		}
		all = append(all, page...)
		if len(page) < size {
			return all
		}
		scan.After = &page[len(page)-1].Cursor
	}
}

func scanText(s tracestore.Scan) string {
	text := fmt.Sprintf("clock %s, [%d, %d)", clockName(s.Clock), s.Start, s.End)
	if s.AsOf != 0 {
		text += fmt.Sprintf(", as of %d", s.AsOf)
	}
	if s.After != nil {
		text += fmt.Sprintf(", after {%d %s}", s.After.Time, TraceText(s.After.ID))
	}
	return text
}

// ids returns the trace ids of hits in their order.
func ids(hits []Hit) []segment.TraceID {
	list := make([]segment.TraceID, len(hits))
	for i, h := range hits {
		list[i] = h.Row.ID
	}
	return list
}

// numbers returns which TraceNumber each hit is, -1 for others.
func numbers(hits []Hit) []int {
	list := make([]int, len(hits))
	for i, h := range hits {
		list[i] = -1
		for n := range 10_000 {
			if TraceNumber(uint64(n)) == h.Row.ID {
				list[i] = n
				break
			}
		}
	}
	return list
}

// one returns the row of a trace, found on all three clocks of the widest window.
func one(t testing.TB, s tracestore.Store, id segment.TraceID) *trace.Row {
	t.Helper()
	var row *trace.Row
	for _, clock := range clocks {
		var got *trace.Row
		for _, h := range scanAll(t, s, everything(clock)) {
			if h.Row.ID == id {
				if got != nil {
					t.Fatalf("Scan on clock %s gave trace %s twice", clockName(clock), TraceText(id))
				}
				got = h.Row
			}
		}
		switch {
		case got == nil && clock == tracestore.ClockEnd && row != nil && len(row.Ends) == 0:
			continue // nothing has ended
		case got == nil:
			t.Fatalf("Scan on clock %s did not give trace %s", clockName(clock), TraceText(id))
		case row != nil && diffRows(got, row) != "":
			t.Fatalf("clocks give different rows of trace %s: %s", TraceText(id), diffRows(got, row))
		}
		row = got
	}
	return row
}

// diffRows says how two rows differ, "" when they are equal. Nil and empty
// lists are the same, and it does not count whether a row still refers to segments.
func diffRows(got, want *trace.Row) string {
	g, w := reflect.ValueOf(decoded(got)), reflect.ValueOf(decoded(want))
	var diff string
	for i := range g.NumField() {
		a, b := g.Field(i), w.Field(i)
		if a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(a.Interface(), b.Interface()) {
			diff += fmt.Sprintf("; %s is %+v, want %+v", g.Type().Field(i).Name, a.Interface(), b.Interface())
		}
	}
	if diff != "" {
		return fmt.Sprintf("row of trace %s%s", TraceText(want.ID), diff)
	}
	return ""
}

// decoded returns the row as one that was encoded and decoded.
func decoded(r *trace.Row) trace.Row {
	c := *r
	c.Segments, c.Calls = slices.Clone(r.Segments), slices.Clone(r.Calls)
	for i := range c.Segments {
		c.Segments[i].Segment = nil
	}
	for i := range c.Calls {
		c.Calls[i].Segment = nil
	}
	return c
}

// diffHits says how two scans differ, "" when they are equal.
func diffHits(got, want []Hit) string {
	for i := range min(len(got), len(want)) {
		if got[i].Cursor != want[i].Cursor {
			return fmt.Sprintf("hit %d of %d stands at {%d %s}, want {%d %s} of %d", i, len(got),
				got[i].Cursor.Time, TraceText(got[i].Cursor.ID), want[i].Cursor.Time, TraceText(want[i].Cursor.ID), len(want))
		}
		if d := diffRows(got[i].Row, want[i].Row); d != "" {
			return fmt.Sprintf("hit %d: %s", i, d)
		}
	}
	if len(got) > len(want) {
		return fmt.Sprintf("%d hits, want %d; the first too many is %s", len(got), len(want), TraceText(got[len(want)].Row.ID))
	}
	if len(got) < len(want) {
		return fmt.Sprintf("%d hits, want %d; the first missing is %s", len(got), len(want), TraceText(want[len(got)].Row.ID))
	}
	return ""
}

// Reference returns a memstore that holds what s gives as the documents of the
// traces: what s must answer to every scan, if these are all its traces.
func Reference(ctx context.Context, s tracestore.Store, traces []segment.TraceID) (*memstore.Store, error) {
	ref := memstore.New()
	for _, id := range traces {
		docs, err := s.Documents(ctx, id, 0)
		if err != nil {
			return nil, fmt.Errorf("documents of trace %s: %w", TraceText(id), err)
		}
		if err := ref.Load(docs); err != nil {
			return nil, err
		}
	}
	return ref, nil
}

// Agree reports how Scan of s differs from what its own Documents of the traces
// say, on all clocks; nil when they agree. The traces must be all that s holds,
// those without documents may be among them, and nobody may write meanwhile.
func Agree(ctx context.Context, s tracestore.Store, traces []segment.TraceID) error {
	ref, err := Reference(ctx, s, traces)
	if err != nil {
		return err
	}
	for _, clock := range clocks {
		got, err := ScanAll(ctx, s, everything(clock), 0)
		if err != nil {
			return fmt.Errorf("scan on clock %s: %w", clockName(clock), err)
		}
		want, err := ScanAll(ctx, ref, everything(clock), 0)
		if err != nil {
			return err
		}
		if d := diffHits(got, want); d != "" {
			return fmt.Errorf("scan on clock %s and documents disagree: %s", clockName(clock), d)
		}
	}
	return nil
}

// agree fails the test when scans and documents disagree.
func agree(t testing.TB, s tracestore.Store, traces []segment.TraceID) {
	t.Helper()
	if err := Agree(soon(t), s, traces); err != nil {
		t.Fatal(err)
	}
}

// sameData fails when the documents are not exactly these texts in this order.
func sameData(t testing.TB, docs []tracestore.Stored, want ...[]byte) {
	t.Helper()
	if len(docs) != len(want) {
		t.Fatalf("%d documents, want %d", len(docs), len(want))
	}
	for i, d := range docs {
		if !bytes.Equal(d.Data, want[i]) {
			t.Fatalf("document %d (seq %d) is\n%s\nwant\n%s", i, d.Seq, cut(d.Data), cut(want[i]))
		}
	}
}

// Names returns the names of the suite's subtests, as Options.Skip knows them.
func Names() []string {
	names := make([]string, len(clauses))
	for i, c := range clauses {
		names[i] = c.name
	}
	return names
}
