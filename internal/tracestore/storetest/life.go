package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

func testConcurrent(t *testing.T, s *suite) {
	store := s.open(t)
	const (
		writers = 8
		puts    = 40
		shared  = 5 // traces that all write to
	)
	var failed atomic.Bool
	fail := func(format string, args ...any) {
		failed.Store(true)
		t.Errorf(format, args...)
	}
	stop := make(chan struct{})
	var readers, group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			var lastSeq uint64
			for i := 0; i < puts && !failed.Load(); i++ {
				// One trace of its own, one document for a shared trace.
				own := root(uint64(1000+w*puts+i), float64(w))
				common := root(uint64(i%shared), float64(i))
				common.ID = segment.SegmentID(0xd0000 + w*puts + i)
				records := []tracestore.Record{Rec(t, own.JSON(), ReceivedBase), Rec(t, common.JSON(), ReceivedBase)}
				if err := store.Write(soon(t), records); err != nil {
					fail("writer %d, put %d: %v", w, i, err)
					return
				}
				docs, err := store.Documents(soon(t), own.Trace, 0)
				if err != nil || len(docs) != 1 || !bytes.Equal(docs[0].Data, own.JSON()) {
					fail("writer %d, put %d: %d documents right after Write, error %v", w, i, len(docs), err)
					return
				}
				if docs[0].Seq <= lastSeq {
					fail("writer %d: seq %d after %d", w, docs[0].Seq, lastSeq)
				}
				if lastSeq = docs[0].Seq; store.LastSeq() < lastSeq {
					fail("writer %d: LastSeq %d is below its own seq %d", w, store.LastSeq(), lastSeq)
				}
				found := false
				start := int64(own.Start * 1e9)
				err = store.Scan(soon(t), tracestore.Scan{Clock: tracestore.ClockStart, Start: start, End: start + 1}, func(c tracestore.Cursor, _ *trace.Row) bool {
					found = found || c.ID == own.Trace
					return !found
				})
				if err != nil || !found {
					fail("writer %d, put %d: its trace is not found right after Write, error %v", w, i, err)
				}
			}
		})
	}
	for r := range 2 {
		readers.Go(func() {
			clock := clocks[r]
			for {
				select {
				case <-stop:
					return
				default:
				}
				hits, err := ScanAll(soon(t), store, everything(clock), 0)
				if err != nil {
					fail("scan on clock %s: %v", clockName(clock), err)
					return
				}
				seen := make(map[segment.TraceID]bool)
				for i, h := range hits {
					if seen[h.Row.ID] {
						fail("scan on clock %s gave trace %s twice", clockName(clock), TraceText(h.Row.ID))
						return
					}
					seen[h.Row.ID] = true
					if i > 0 && hits[i-1].Cursor.Time < h.Cursor.Time {
						fail("scan on clock %s: %d comes before %d", clockName(clock), hits[i-1].Cursor.Time, h.Cursor.Time)
						return
					}
				}
			}
		})
	}
	group.Wait()
	close(stop)
	readers.Wait()
	if failed.Load() {
		return
	}
	var all []segment.TraceID
	for n := range uint64(shared) {
		all = append(all, TraceNumber(n))
		if got := len(documents(t, store, TraceNumber(n), 0)); got != writers*puts/shared {
			t.Errorf("shared trace %d has %d documents, want %d", n, got, writers*puts/shared)
		}
	}
	for n := range uint64(writers * puts) {
		all = append(all, TraceNumber(1000+n))
	}
	agree(t, store, all)
	if err := store.WaitRolled(soon(t)); err != nil {
		t.Fatal(err)
	}
	agree(t, store, all)
}

// testStablePages asks the same question as of one seq again and again while
// others write: it must have one answer.
func testStablePages(t *testing.T, s *suite) {
	store := s.open(t)
	scatter(t, store, 30)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				n := uint64(1 + (i*7+w)%60)
				d := root(n, float64(i%40))
				d.ID = segment.SegmentID(0xe00000 + w*100_000 + i)
				if i%3 != 0 {
					d = sub(n, d.ID, root(n, 0).ID, float64(-i), float64(i))
				}
				if err := store.Write(soon(t), []tracestore.Record{Rec(t, d.JSON(), ReceivedBase+int64(i))}); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				time.Sleep(time.Millisecond) // traces of some hundred documents, not of thousands
			}
		})
	}
	for round := 0; round < 12 && !t.Failed(); round++ {
		scan := everything(clocks[round%len(clocks)])
		scan.AsOf = store.LastSeq()
		first := scanAll(t, store, scan)
		for _, h := range first {
			if h.Row.LastSeq > scan.AsOf {
				t.Errorf("as of %d: a row with LastSeq %d", scan.AsOf, h.Row.LastSeq)
			}
		}
		for _, size := range []int{5, 1000} {
			if d := diffHits(pages(t, store, scan, size), first); d != "" {
				t.Errorf("Scan(%s) in pages of %d, a moment later: %s", scanText(scan), size, d)
			}
		}
	}
	close(stop)
	writers.Wait()
}

func testStats(t *testing.T, s *suite) {
	store := s.open(t)
	if st := store.Stats(); st.Documents != 0 || st.LastSeq != 0 || st.OldestPart != 0 || st.Unavailable != "" {
		t.Errorf("of an empty store: %+v", st)
	}
	const traces = 100
	for n := range uint64(traces) {
		write(t, store, ReceivedBase, root(n, 0), sub(n, 7, root(n, 0).ID, 0, 1))
	}
	check := func(t *testing.T, store tracestore.Store) {
		t.Helper()
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
		st := store.Stats()
		if st.Documents < 2*traces*9/10 || st.Documents > 2*traces*11/10 {
			t.Errorf("Documents is %d, want about %d", st.Documents, 2*traces)
		}
		if st.LastSeq != store.LastSeq() || st.LastSeq < 2*traces || st.RolledSeq != st.LastSeq {
			t.Errorf("LastSeq %d, RolledSeq %d; want both %d", st.LastSeq, st.RolledSeq, store.LastSeq())
		}
		if st.TailBytes != 0 {
			t.Errorf("TailBytes is %d although nothing waits", st.TailBytes)
		}
		if st.DiskBytes < 0 || st.FreeBytes < 0 || st.Parts < 1 || st.OldestPart <= 0 || st.Unavailable != "" {
			t.Errorf("%+v: want a part with a time, and nothing negative or unavailable", st)
		}
	}
	check(t, store)
	if s.opts.Reopen != nil {
		store = s.opts.Reopen(t, store)
		t.Cleanup(func() { store.Close() })
		check(t, store)
	}
}

func testClosed(t *testing.T, s *suite) {
	store := s.open(t)
	write(t, store, ReceivedBase, root(1, 0))
	for range 2 {
		if err := store.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	_, docErr := store.Documents(soon(t), TraceNumber(1), 0)
	_, letterErr := store.DeadLetters(soon(t), 0, 1)
	for _, c := range []struct {
		method string
		err    error
	}{
		{"Write", store.Write(soon(t), []tracestore.Record{Rec(t, root(2, 0).JSON(), ReceivedBase)})},
		{"Documents", docErr},
		{"Scan", store.Scan(soon(t), everything(tracestore.ClockStart), func(tracestore.Cursor, *trace.Row) bool { return true })},
		{"AddDeadLetters", store.AddDeadLetters([]tracestore.DeadLetter{letter(1)})},
		{"DeadLetters", letterErr},
		{"WaitRolled", store.WaitRolled(soon(t))},
	} {
		if !errors.Is(c.err, tracestore.ErrClosed) {
			t.Errorf("%s on a closed store: %v, want ErrClosed", c.method, c.err)
		}
	}
	store.LastSeq() // these have no way to say so: they only must not fail
	store.Stats()
}

// testCloseUnderLoad closes a store that is in use: every call ends, either
// served or with ErrClosed, and what was acknowledged is there after reopening.
func testCloseUnderLoad(t *testing.T, s *suite) {
	for round := range 3 {
		store := s.open(t)
		var mu sync.Mutex
		acked := map[uint64]bool{} // by trace number; false: refused
		var group sync.WaitGroup
		fine := func(err error) bool { return err == nil || errors.Is(err, tracestore.ErrClosed) }
		for w := range 4 {
			group.Go(func() {
				for i := range uint64(100_000) {
					n := uint64(w)*100_000 + i
					err := store.Write(soon(t), []tracestore.Record{Rec(t, root(n, 0).JSON(), ReceivedBase)})
					mu.Lock()
					acked[n] = err == nil
					mu.Unlock()
					if err != nil {
						if !fine(err) {
							t.Errorf("Write while closing: %v", err)
						}
						return
					}
				}
			})
		}
		for range 2 {
			group.Go(func() {
				for {
					_, err := ScanAll(soon(t), store, everything(tracestore.ClockStart), 100)
					_, docErr := store.Documents(soon(t), TraceNumber(0), 0)
					rollErr := store.WaitRolled(soon(t))
					for _, err := range []error{err, docErr, rollErr} {
						if !fine(err) {
							t.Errorf("reading while closing: %v", err)
						}
					}
					if err != nil {
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(10+30*round) * time.Millisecond)
		if err := store.Close(); err != nil {
			t.Errorf("Close under load: %v", err)
		}
		group.Wait()
		if s.opts.Reopen == nil {
			continue
		}
		again := s.opts.Reopen(t, store)
		var all []segment.TraceID
		for n, ok := range acked {
			all = append(all, TraceNumber(n))
			docs := documents(t, again, TraceNumber(n), 0)
			// ErrClosed promises that nothing of the call was stored.
			if want := map[bool]int{true: 1, false: 0}[ok]; len(docs) != want {
				t.Errorf("trace %d, acknowledged %v: %d documents after reopening, want %d", n, ok, len(docs), want)
			}
		}
		agree(t, again, all)
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testReopen(t *testing.T, s *suite) {
	if s.opts.Reopen == nil {
		t.Skip("SKIPPED: this engine keeps nothing over Close")
	}
	store := s.open(t)
	var all []segment.TraceID
	texts := map[segment.TraceID][][]byte{}
	var open Doc
	for round := range 4 {
		for i := range 20 {
			n := uint64(round*20 + i)
			d := root(n, float64(n))
			all = append(all, d.Trace)
			texts[d.Trace] = append(texts[d.Trace], d.JSON())
			write(t, store, ReceivedBase+int64(n), d)
		}
		// An old trace gets one more document in every round.
		child := sub(0, segment.SegmentID(50+round), root(0, 0).ID, float64(-round), 1)
		texts[child.Trace] = append(texts[child.Trace], child.JSON())
		write(t, store, ReceivedBase, child)
		if round == 0 {
			open = root(500, 4)
			open.InProgress = true
			all = append(all, open.Trace)
			texts[open.Trace] = append(texts[open.Trace], open.JSON())
			write(t, store, ReceivedBase, open)
		}
		if round%2 == 1 { // closed with and without views that are up to date
			if err := store.WaitRolled(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		lastSeq := store.LastSeq()
		before := map[tracestore.Clock][]Hit{}
		asOf := map[tracestore.Clock][]Hit{}
		for _, clock := range clocks {
			before[clock] = scanAll(t, store, everything(clock))
			scan := everything(clock)
			scan.AsOf = lastSeq / 2
			asOf[clock] = scanAll(t, store, scan)
		}
		store = s.opts.Reopen(t, store)
		t.Cleanup(func() { store.Close() })
		if got := store.LastSeq(); got != lastSeq {
			t.Fatalf("round %d: LastSeq is %d after reopening, want %d", round, got, lastSeq)
		}
		for id, want := range texts {
			sameData(t, documents(t, store, id, 0), want...)
		}
		for _, clock := range clocks {
			if d := diffHits(scanAll(t, store, everything(clock)), before[clock]); d != "" {
				t.Fatalf("round %d, clock %s after reopening: %s", round, clockName(clock), d)
			}
			scan := everything(clock)
			scan.AsOf = lastSeq / 2
			if d := diffHits(scanAll(t, store, scan), asOf[clock]); d != "" {
				t.Fatalf("round %d, clock %s as of %d after reopening: %s", round, clockName(clock), lastSeq/2, d)
			}
		}
		agree(t, store, all)
		s.check(t, store)
	}
	// Numbers go on where they were.
	seq := store.LastSeq()
	put := documents(t, store, TraceNumber(79), 0)[0].Put
	write(t, store, ReceivedBase, root(900, 0))
	if d := documents(t, store, TraceNumber(900), 0)[0]; d.Seq <= seq || d.Put == put {
		t.Errorf("first document after reopening has seq %d, put %d; there were %d and %d", d.Seq, d.Put, seq, put)
	}
}

// check runs the engine's own check of its views.
func (s *suite) check(t testing.TB, store tracestore.Store) {
	t.Helper()
	if s.opts.Check == nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no answer for %v", patience))
	defer cancel()
	if err := s.opts.Check(ctx, store); err != nil {
		t.Fatalf("the engine's own check: %v", err)
	}
}
