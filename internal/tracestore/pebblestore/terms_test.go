package pebblestore

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
)

func sortedSpots(spots []spot) []byte {
	spots = slices.Clone(spots)
	slices.Sort(spots)
	return appendSpots(nil, slices.Compact(spots))
}

// TestTermBlocks adds up changes of a block, in whatever portions Pebble may do it:
// the sums are the same, and no term is lost.
func TestTermBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name                   string
		base, changes, perStep int
		filter                 bool
		sections               int
	}{
		{"no base", 0, 40, 30, false, 1},
		{"list", 3000, 40, 30, false, 1},
		{"filter", 3000, 40, 30, true, 1},
		{"filter of sections", 3000, 40, 30, true, 33},
		{"filter that fills up", 300, 100, 30, true, 63},
		{"more than is listed", 0, 80, 1500, false, 1},
		{"more than the filter is for", 100, 80, 1500, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var spots []spot
			draw := func(n int) (list []spot) {
				for range n {
					list = append(list, spotOf(trace.Term(rng.Uint64()), rng.IntN(c.sections)))
				}
				spots = append(spots, list...)
				return list
			}
			want := termBlock{starts: noSpan}
			var values [][]byte
			add := func(b termBlock) {
				want.count(&b)
				values = append(values, b.append(nil))
			}
			base := termBlock{rows: 5, tallies: []tally{{0, 4, 1}}, starts: span{10, 20}, lastSeq: 7}
			for i := range c.sections - 1 {
				base.ends = append(base.ends, int64(i)-5)
			}
			if first := draw(c.base); c.filter {
				slices.Sort(first)
				base.fill(first)
			} else {
				base.listed = sortedSpots(first)
			}
			if c.base > 0 {
				add(base)
			}
			for i := range c.changes {
				at := rng.Int64N(100)
				b := termBlock{
					rows: rng.Int64N(7) - 3, starts: span{at, at + rng.Int64N(9)}, lastSeq: rng.Uint64N(50),
					listed: sortedSpots(append(draw(c.perStep), spots[rng.IntN(len(spots))])),
				}
				if i == 30 {
					b.cut = 1 << (c.sections - 1)
				}
				for range 3 {
					b.tally(rng.IntN(c.sections), rng.Int64N(7)-3, rng.Int64N(3)-1)
				}
				add(b)
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
			if got.rows != want.rows || !slices.Equal(got.tallies, want.tallies) || got.cut != want.cut || got.starts != want.starts || got.lastSeq != want.lastSeq {
				t.Errorf("the sum is %+v, want %+v", got, want)
			}
			for _, s := range spots {
				if !got.has(s) || !got.where(trace.Term(s.term())).has(s.section()) {
					t.Fatalf("spot %x was lost", s)
				}
			}
			wrong, looked := 0, 0
			for range 1000 {
				if got.where(trace.Term(rng.Uint64())) != 0 {
					wrong++
				}
				s := spots[rng.IntN(len(spots))]
				looked += bits.OnesCount64(uint64(got.where(trace.Term(s.term()))))
			}
			t.Logf("%d bytes for %d terms, %d of 1,000 others seem to be there, those that are seem to be in %.2f sections", len(values[0]), len(spots), wrong, float64(looked)/1000)
			if c.name != "more than the filter is for" && wrong > 100 {
				t.Errorf("%d of 1,000 terms that were not added seem to be there", wrong)
			}
			if c.name != "more than the filter is for" && looked > 8000 {
				t.Errorf("1,000 terms of one section each seem to be in %d", looked)
			}
			if n := len(values[0]); n > 8*maxTerms+len(newFilter(len(spots), termBits+spotBits).bits)+1000 {
				t.Errorf("%d bytes are too many for %d terms", n, len(spots))
			}
		})
	}
	if _, err := merger.Merge([]byte{tagRow}, nil); err == nil {
		t.Error("a row was merged")
	}
}

func FuzzTermBlock(f *testing.F) {
	f.Add([]byte{})
	b := termBlock{
		rows: 3, cut: 2, starts: span{1, 2}, lastSeq: 9, ends: []int64{1}, tallies: []tally{{0, 1, 0}, {1, 2, 1}},
		terms: newFilter(1, termBits), spots: newFilter(1, spotBits), listed: sortedSpots([]spot{1 << 7, 2 << 7}),
	}
	f.Add(b.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := decodeTerms(data)
		if err != nil {
			return
		}
		b.where(7)
		b.has(7)
		again, err := decodeTerms(b.append(nil))
		if err != nil || again.rows != b.rows || !bytes.Equal(again.terms.bits, b.terms.bits) || !bytes.Equal(again.spots.bits, b.spots.bits) || !slices.Equal(again.ends, b.ends) || !slices.Equal(again.tallies, b.tallies) || !bytes.Equal(again.listed, b.listed) {
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
	cfg := Config{Dir: "data", FS: vfs.NewMem(), blockRows: 20, sectionRows: 3}
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
