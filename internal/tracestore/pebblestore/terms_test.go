package pebblestore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
)

func sortedTerms(terms []trace.Term) []byte {
	terms = slices.Clone(terms)
	slices.Sort(terms)
	return appendTerms(nil, slices.Compact(terms))
}

// TestTermBlocks adds up changes of a block, in whatever portions Pebble may do it:
// the sums are the same, and no term is lost.
func TestTermBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name                   string
		base, changes, perStep int
		filter                 bool
	}{
		{"no base", 0, 40, 30, false}, {"list", 3000, 40, 30, false}, {"filter", 3000, 40, 30, true},
		{"filter that fills up", 300, 100, 30, true}, {"more than is listed", 0, 80, 1500, false}, {"more than the filter is for", 100, 80, 1500, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var terms []trace.Term
			draw := func(n int) (list []trace.Term) {
				for range n {
					list = append(list, trace.Term(rng.Uint64()))
				}
				terms = append(terms, list...)
				return list
			}
			want := termBlock{starts: noSpan}
			var values [][]byte
			add := func(b termBlock) {
				want.count(&b)
				values = append(values, b.append(nil))
			}
			base := termBlock{rows: 5, visible: 4, starts: span{10, 20}, lastSeq: 7}
			if first := draw(c.base); c.filter {
				base.filter, base.added = newFilter(len(first)), uint64(len(first))
				for _, term := range first {
					setTerm(base.filter, term)
				}
			} else {
				base.listed = sortedTerms(first)
			}
			if c.base > 0 {
				add(base)
			}
			for i := range c.changes {
				at := rng.Int64N(100)
				add(termBlock{
					rows: rng.Int64N(7) - 3, visible: rng.Int64N(7) - 3, cut: i == 30, starts: span{at, at + rng.Int64N(9)}, lastSeq: rng.Uint64N(50),
					listed: sortedTerms(append(draw(c.perStep), terms[rng.IntN(len(terms))])),
				})
			}
			// Neighbours are merged, in any order and from either side, until one is left.
			key := appendPlaceKey(nil, tagTerms, 0, lastPlace)
			for len(values) > 1 {
				from := rng.IntN(len(values) - 1)
				to := min(len(values), from+2+rng.IntN(4))
				first := rng.IntN(to-from) + from
				m, err := merger.Merge(key, values[first])
				if err != nil {
					t.Fatal(err)
				}
				for older, newer := first-1, first+1; older >= from || newer < to; {
					if older >= from && (newer == to || rng.IntN(2) == 0) {
						err, older = m.MergeOlder(values[older]), older-1
					} else {
						err, newer = m.MergeNewer(values[newer]), newer+1
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				sum, _, err := m.Finish(from == 0)
				if err != nil {
					t.Fatal(err)
				}
				values = slices.Replace(values, from, to, sum)
			}
			got, err := decodeTerms(values[0])
			if err != nil {
				t.Fatal(err)
			}
			if got.rows != want.rows || got.visible != want.visible || got.cut != want.cut || got.starts != want.starts || got.lastSeq != want.lastSeq {
				t.Errorf("the sum is %+v, want %+v", got, want)
			}
			for _, term := range terms {
				if !got.has(term) {
					t.Fatalf("term %x was lost", term)
				}
			}
			wrong := 0
			for range 1000 {
				if got.has(trace.Term(rng.Uint64())) {
					wrong++
				}
			}
			t.Logf("%d bytes for %d terms, %d of 1,000 others seem to be there", len(values[0]), len(terms), wrong)
			if c.name != "more than the filter is for" && wrong > 100 {
				t.Errorf("%d of 1,000 terms that were not added seem to be there", wrong)
			}
			if n := len(values[0]); n > 8*maxTerms+newFilterBytes(len(terms))+100 {
				t.Errorf("%d bytes are too many for %d terms", n, len(terms))
			}
		})
	}
	if _, err := merger.Merge([]byte{tagRow}, nil); err == nil {
		t.Error("a row was merged")
	}
}

func newFilterBytes(n int) int { return len(newFilter(n)) }

func FuzzTermBlock(f *testing.F) {
	f.Add([]byte{})
	b := termBlock{rows: 3, visible: 2, cut: true, starts: span{1, 2}, lastSeq: 9, added: 1, filter: newFilter(1), listed: sortedTerms([]trace.Term{1, 2})}
	f.Add(b.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeTerms(data)
		if err != nil {
			return
		}
		b.has(7)
		again, err := decodeTerms(b.append(nil))
		if err != nil || again.rows != b.rows || !bytes.Equal(again.filter, b.filter) || !bytes.Equal(again.listed, b.listed) {
			t.Fatalf("%x does not read back: %+v, %v", data, again, err)
		}
		if m, err := merger.Merge([]byte{tagTerms}, data); err == nil {
			_, _, _ = m.Finish(true)
		}
	})
}

// TestScatteredStarts writes traces whose starts follow no order, and many with the
// same start: blocks are divided all the same, and a rare term is found by
// looking at few rows.
func TestScatteredStarts(t *testing.T) {
	cfg := Config{Dir: "data", FS: vfs.NewMem(), blockRows: 20}
	s := openDir(t, cfg)
	rng := rand.New(rand.NewPCG(3, 4))
	const traces = 3000
	for n := uint64(0); n < traces; {
		var records []tracestore.Record
		for range 100 {
			start := 1_790_000_000 + rng.Int64N(1_000_000)
			if n%3 == 0 {
				start = 1_790_000_000
			}
			r, err := storetest.NewRecord(fmt.Appendf(nil, `{"trace_id":"%s","id":"%016x","name":"kranich","start_time":%d,"end_time":%d,"user":"u%d"}`,
				storetest.TraceText(storetest.TraceNumber(n)), n+1, start, start+rng.Int64N(100), n), 1790000000000)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
			n++
		}
		if err := s.Write(soon(t), records); err != nil {
			t.Fatal(err)
		}
		if n%500 == 0 {
			roll(t, s)
		}
	}
	count := func() (blocks int, most int64) {
		t.Helper()
		roll(t, s)
		check(t, s)
		r, err := s.read(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.release()
		it, err := r.snap.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		lower, upper := tagSpan(tagTerms)
		it.SetBounds(lower, upper)
		for ok := it.First(); ok; ok = it.Next() {
			_, b, err := blockAt(r.inst, it)
			if err != nil {
				t.Fatal(err)
			}
			blocks, most = blocks+1, max(most, b.rows)
		}
		return blocks, most
	}
	eventually(t, "all blocks are divided", func() bool {
		put(t, s, 1<<40, 1<<20) // a step takes up what the one before left
		_, most := count()
		return most <= 40
	})
	if blocks, _ := count(); blocks < traces/40 || blocks > traces/10 {
		t.Errorf("%d blocks for %d rows, want 75 to 300", blocks, traces)
	}
	for _, clock := range []tracestore.Clock{tracestore.ClockStart, tracestore.ClockChanged, tracestore.ClockEnd} {
		rows, skipped, found := 0, 0, false
		err := s.Scan(soon(t), tracestore.Scan{
			Clock: clock, Start: -1 << 62, End: 1 << 62, Need: trace.Need{{trace.TermUser("u1234")}}, Skipped: func(n int) { skipped += n },
		}, func(_ tracestore.Cursor, row *trace.Row) bool {
			rows++
			found = found || row.ID == storetest.TraceNumber(1234)
			return true
		})
		if err != nil || !found || rows+skipped != traces+1 {
			t.Errorf("clock %d: found %v, %d rows, %d skipped, %v", clock, found, rows, skipped, err)
		}
		if rows > traces/10 {
			t.Errorf("clock %d: %d rows were looked at for one", clock, rows)
		}
	}
	if n := valueOf(t, s.metrics.blocksSkipped); n == 0 {
		t.Error("no block was jumped over")
	}
	begun := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, cfg)
	put(t, s, 1<<41, 5, 6, 7)
	count()
	t.Logf("closed, opened and checked in %v", time.Since(begun))
}
