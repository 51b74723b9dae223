package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/segment"
)

// history is a store under test beside what it must answer.
type history struct {
	t     *testing.T
	rng   *rand.Rand
	gen   *Generator
	store tracestore.Store
	ref   *memstore.Store
	step  int

	groups   *groupList
	versions uint32

	now     int64             // receipt, unix milliseconds
	pending [][]byte          // documents that were not written yet
	sent    [][]byte          // documents that were
	traces  []segment.TraceID // all that were written to
	texts   map[segment.TraceID][][]byte
	seqs    []uint64 // LastSeq after each put
}

func (h *history) fatalf(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("step %d: %s", h.step, fmt.Sprintf(format, args...))
}

// write takes documents from the pending ones and stores them as one put; then
// the documents of the traces must be what they were, and the new ones.
func (h *history) write(texts [][]byte, received int64) {
	h.t.Helper()
	var records []tracestore.Record
	var touched []segment.TraceID
	known := map[segment.TraceID]int{}
	for _, text := range texts {
		r := Rec(h.t, bytes.Clone(text), received)
		records = append(records, r)
		id := r.Segment.TraceID
		if !slices.Contains(touched, id) {
			touched = append(touched, id)
			known[id] = len(h.texts[id])
		}
		if h.texts[id] == nil {
			h.traces = append(h.traces, id)
		}
		h.texts[id] = append(h.texts[id], bytes.Clone(r.Data))
	}
	if err := h.store.Write(soon(h.t), records); err != nil {
		h.fatalf("Write: %v", err)
	}
	h.sent = append(h.sent, texts...)
	h.seqs = append(h.seqs, h.store.LastSeq())
	var puts []uint64
	for _, id := range touched {
		docs := documents(h.t, h.store, id, 0)
		h.sameTexts(id, docs)
		fresh := docs[known[id]:]
		for _, d := range fresh {
			puts = append(puts, d.Put)
			if d.Received != received {
				h.fatalf("trace %s, seq %d: received %d, want %d", TraceText(id), d.Seq, d.Received, received)
			}
		}
		if err := h.ref.Load(fresh); err != nil {
			h.fatalf("documents of trace %s: %v", TraceText(id), err)
		}
	}
	if puts = slices.Compact(puts); len(puts) != 1 {
		h.fatalf("documents of one Write have the puts %v", puts)
	}
	if h.ref.LastSeq() != h.store.LastSeq() {
		h.fatalf("LastSeq is %d, the latest document has %d", h.store.LastSeq(), h.ref.LastSeq())
	}
}

func (h *history) sameTexts(id segment.TraceID, docs []tracestore.Stored) {
	h.t.Helper()
	want := h.texts[id]
	if len(docs) != len(want) {
		h.fatalf("trace %s has %d documents, want %d", TraceText(id), len(docs), len(want))
	}
	for i, d := range docs {
		if !bytes.Equal(d.Data, want[i]) {
			h.fatalf("trace %s, document %d is\n%s\nwant\n%s", TraceText(id), i, cut(d.Data), cut(want[i]))
		}
	}
}

// anySeq returns a seq to judge by: 0, one that ended a put, or any other.
func (h *history) anySeq() uint64 {
	switch {
	case len(h.seqs) == 0 || h.rng.IntN(3) > 0:
		return 0
	case h.rng.IntN(3) > 0:
		return h.seqs[h.rng.IntN(len(h.seqs))]
	}
	return h.rng.Uint64N(h.store.LastSeq() + 3)
}

func (h *history) checkDocuments() {
	h.t.Helper()
	if len(h.traces) == 0 {
		return
	}
	id, asOf := pick(h.rng, h.traces), h.anySeq()
	got, want := documents(h.t, h.store, id, asOf), documents(h.t, h.ref, id, asOf)
	equal := slices.EqualFunc(got, want, func(a, b tracestore.Stored) bool {
		return a.Seq == b.Seq && a.Put == b.Put && a.Received == b.Received && a.Format == b.Format && bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Source, b.Source)
	})
	if !equal {
		h.fatalf("Documents(%s, as of %d): %d, other than the reference's %d", TraceText(id), asOf, len(got), len(want))
	}
}

// anyWindow returns a scan around times that documents have.
func (h *history) anyWindow() tracestore.Scan {
	clock := pick(h.rng, clocks)
	if h.rng.IntN(3) == 0 {
		scan := everything(clock)
		scan.AsOf = h.anySeq()
		return scan
	}
	// Bounds on whole seconds often hit a time exactly, those of a row always do.
	bound := func() int64 {
		if len(h.traces) > 0 && h.rng.IntN(3) == 0 {
			if hits, _ := ScanAll(soon(h.t), h.ref, everything(clock), 1+h.rng.IntN(len(h.traces))); len(hits) > 0 {
				unit := map[tracestore.Clock]int64{tracestore.ClockStart: 1, tracestore.ClockChanged: 1e6, tracestore.ClockEnd: 60e9}[clock]
				return hits[len(hits)-1].Cursor.Time*unit + h.rng.Int64N(3) - 1
			}
		}
		return (Epoch+h.rng.Int64N(1500)-200)*1e9 + h.rng.Int64N(2)*h.rng.Int64N(1e9)
	}
	a, b := bound(), bound()
	return tracestore.Scan{Clock: clock, Start: min(a, b), End: max(a, b), AsOf: h.anySeq()}
}

func (h *history) checkScan(scan tracestore.Scan) {
	h.t.Helper()
	want := scanAll(h.t, h.ref, scan)
	if d := diffHits(scanAll(h.t, h.store, scan), want); d != "" {
		h.fatalf("Scan(%s): %s", scanText(scan), d)
	}
	if len(want) > 1 && h.rng.IntN(3) == 0 {
		size := 1 + h.rng.IntN(len(want))
		if d := diffHits(pages(h.t, h.store, scan, size), want); d != "" {
			h.fatalf("Scan(%s) in pages of %d: %s", scanText(scan), size, d)
		}
	}
	if h.rng.IntN(3) == 0 {
		limit := 1 + h.rng.IntN(len(want)+1)
		got, err := ScanAll(soon(h.t), h.store, scan, limit)
		if err != nil {
			h.fatalf("Scan(%s): %v", scanText(scan), err)
		}
		if d := diffHits(got, want[:min(limit, len(want))]); d != "" {
			h.fatalf("Scan(%s), stopped at %d: %s", scanText(scan), limit, d)
		}
	}
}

// checkNeed compares a scan that needs something with one that does not.
func (h *history) checkNeed(scan tracestore.Scan) {
	h.t.Helper()
	all := scanAll(h.t, h.ref, scan)
	if h.rng.IntN(3) > 0 {
		scan.Need = anyNeed(h.rng, all)
	}
	if h.rng.IntN(2) == 0 {
		scan.Glance = anyGlance(h.t, h.rng)
	}
	size := 0
	if h.rng.IntN(2) == 0 {
		size = 1 + h.rng.IntN(len(all)+1)
	}
	if diff := diffNarrowed(h.t, h.store, scan, all, size); diff != "" {
		h.fatalf("Scan(%s, needs %x) in pages of %d: %s", scanText(scan), scan.Need, size, diff)
	}
}

// histories is how many random histories a run plays.
func histories(t *testing.T) int {
	if testing.Short() {
		return 2
	}
	return 6
}

func testHistory(t *testing.T, s *suite) {
	seed := Seed(t)
	for i := range histories(t) {
		t.Run(fmt.Sprint(i), func(t *testing.T) { playHistory(t, s, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
}

func playHistory(t *testing.T, s *suite, rng *rand.Rand) {
	h := &history{
		t: t, rng: rng, gen: NewGenerator(rng), groups: &groupList{},
		now: ReceivedBase, texts: map[segment.TraceID][][]byte{},
	}
	if s.opts.Groups != nil {
		h.store, h.ref, h.groups = s.groups(t)
	} else {
		h.store, h.ref = s.open(t), memstore.New()
	}
	for h.step = range 400 {
		h.now += h.rng.Int64N(3000)
		switch op := h.rng.IntN(100); {
		case op < 45:
			for len(h.pending) < 12 {
				_, docs := h.gen.Trace()
				h.pending = append(h.pending, docs...)
			}
			// Mostly from the front, so that traces arrive interleaved.
			var put [][]byte
			for range 1 + h.rng.IntN(6) {
				k := 0
				if h.rng.IntN(3) == 0 {
					k = h.rng.IntN(min(len(h.pending), 12))
				}
				put = append(put, h.pending[k])
				h.pending = slices.Delete(h.pending, k, k+1)
			}
			received := h.now
			if h.rng.IntN(15) == 0 {
				received -= h.rng.Int64N(10 * 86_400_000) // an import
			}
			h.write(put, received)
		case op < 52 && len(h.sent) > 0: // sent again
			h.write([][]byte{pick(h.rng, h.sent)}, h.now)
		case op < 58:
			if err := h.store.WaitRolled(soon(t)); err != nil {
				h.fatalf("WaitRolled: %v", err)
			}
			s.check(t, h.store)
			for range 3 {
				h.checkGraph()
			}
		case op < 59 && s.opts.Reopen != nil:
			h.store = s.opts.Reopen(t, h.store)
			t.Cleanup(func() { h.store.Close() })
			if h.store.LastSeq() != h.ref.LastSeq() {
				h.fatalf("LastSeq is %d after reopening, want %d", h.store.LastSeq(), h.ref.LastSeq())
			}
		case op < 62 && s.opts.Groups != nil:
			h.versions++
			h.groups.begin(t, h.store, tracestore.GroupRef{Group: 1 + h.rng.Uint32N(3), Version: h.versions}, pick(h.rng, matches))
		case op < 75:
			h.checkDocuments()
		case op < 85:
			h.checkNeed(h.anyWindow())
		default:
			h.checkScan(h.anyWindow())
		}
	}
	for range 2 {
		for _, id := range h.traces {
			h.sameTexts(id, documents(t, h.store, id, 0))
		}
		for _, clock := range clocks {
			h.checkScan(everything(clock))
		}
		if err := h.store.WaitRolled(soon(t)); err != nil {
			h.fatalf("WaitRolled: %v", err)
		}
		s.check(t, h.store)
		for range 5 {
			h.checkGraph()
			h.checkNeed(h.anyWindow())
		}
	}
}

// testConcurrentHistory lets several writers send the documents of the same
// traces at once. Whatever order comes out, scans must follow from it.
func testConcurrentHistory(t *testing.T, s *suite) {
	seed := Seed(t)
	store := s.open(t)
	rng := rand.New(rand.NewPCG(seed, 1000))
	gen := NewGenerator(rng)
	var all []segment.TraceID
	var texts [][]byte
	for len(texts) < 900 {
		id, docs := gen.Trace()
		all = append(all, id)
		texts = append(texts, docs...)
	}
	var group sync.WaitGroup
	for w := range 6 {
		rng := rand.New(rand.NewPCG(seed, uint64(2000+w)))
		group.Go(func() {
			for i := w; i < len(texts); {
				var records []tracestore.Record
				for ; i < len(texts) && len(records) < 1+rng.IntN(5); i += 6 {
					r, err := NewRecord(texts[i], ReceivedBase+rng.Int64N(100_000))
					if err != nil {
						t.Errorf("test document is refused: %v", err)
						return
					}
					records = append(records, r)
				}
				if err := store.Write(soon(t), records); err != nil {
					t.Errorf("Write: %v", err)
					return
				}
				switch rng.IntN(20) {
				case 0:
					time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
				case 1:
					if err := store.WaitRolled(soon(t)); err != nil {
						t.Errorf("WaitRolled: %v", err)
					}
				}
			}
		})
	}
	group.Wait()
	total := 0
	for _, id := range all {
		total += len(documents(t, store, id, 0))
	}
	if total != len(texts) {
		t.Errorf("%d documents are stored, want %d", total, len(texts))
	}
	for range 2 {
		agree(t, store, all)
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	s.check(t, store)
}
