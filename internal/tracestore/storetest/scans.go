package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// rolled runs check as things stand, and again when the views are up to date.
func rolled(t *testing.T, store tracestore.Store, check func(t *testing.T)) {
	t.Helper()
	check(t)
	if err := store.WaitRolled(soon(t)); err != nil {
		t.Fatalf("WaitRolled: %v", err)
	}
	t.Run("rolled", check)
}

// at returns the traces, as numbers, that stand in [from, to) seconds after Epoch on a clock.
func at(t testing.TB, store tracestore.Store, clock tracestore.Clock, from, to int64) []int {
	t.Helper()
	return numbers(scanAll(t, store, tracestore.Scan{Clock: clock, Start: (Epoch + from) * 1e9, End: (Epoch + to) * 1e9}))
}

func wantNumbers(t testing.TB, what string, got []int, want ...int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: traces %v, want %v", what, got, want)
	}
}

// seconds returns the receipt, in unix milliseconds, that lies sec seconds after Epoch.
func seconds(sec int64) int64 { return (Epoch + sec) * 1000 }

func testInProgress(t *testing.T, s *suite) {
	store := s.open(t)
	open := root(1, 10)
	open.InProgress = true
	write(t, store, seconds(20), open)
	rolled(t, store, func(t *testing.T) {
		row := one(t, store, open.Trace)
		if !row.InProgress || row.HasDuration || row.HasResponseTime || row.Revision != 1 || row.Changed != seconds(20) || len(row.Ends) != 0 {
			t.Errorf("in progress: %+v; want no duration, revision 1, changed %d, no ends", row, seconds(20))
		}
		wantNumbers(t, "receipt of the first version", at(t, store, tracestore.ClockChanged, 20, 21), 1)
		wantNumbers(t, "end", at(t, store, tracestore.ClockEnd, -1000, 1000))
	})
	done := root(1, 10)
	done.End = Epoch + 130
	write(t, store, seconds(140), done)
	rolled(t, store, func(t *testing.T) {
		row := one(t, store, open.Trace)
		if row.InProgress || !row.HasDuration || row.Duration != 120 || row.Revision != 2 || row.Changed != seconds(140) {
			t.Errorf("complete: %+v; want duration 120, revision 2, changed %d", row, seconds(140))
		}
		wantNumbers(t, "receipt of the first version", at(t, store, tracestore.ClockChanged, 20, 21))
		wantNumbers(t, "receipt of the completion", at(t, store, tracestore.ClockChanged, 140, 141), 1)
		wantNumbers(t, "end", at(t, store, tracestore.ClockEnd, 130, 131), 1)
		wantNumbers(t, "start", at(t, store, tracestore.ClockStart, 10, 11), 1)
	})
	// An in-progress version that comes after the complete one is ignored.
	late := open
	late.Start = Epoch + 5
	write(t, store, seconds(150), late)
	rolled(t, store, func(t *testing.T) {
		row := one(t, store, open.Trace)
		if row.InProgress || row.Revision != 2 || row.Changed != seconds(140) || row.Start != (Epoch+10)*1e9 {
			t.Errorf("after a late in-progress version: %+v; want the complete one, unchanged", row)
		}
		sameData(t, documents(t, store, open.Trace, 0), open.JSON(), done.JSON(), late.JSON())
	})
	agree(t, store, []segment.TraceID{open.Trace})
}

func testLate(t *testing.T, s *suite) {
	store := s.open(t)
	write(t, store, seconds(1000), root(1, 600), root(2, 600)) // 2 stays where it is
	rolled(t, store, func(t *testing.T) {
		wantNumbers(t, "start", at(t, store, tracestore.ClockStart, 600, 601), 2, 1)
		wantNumbers(t, "change", at(t, store, tracestore.ClockChanged, 1000, 1001), 2, 1)
		wantNumbers(t, "end", at(t, store, tracestore.ClockEnd, 600, 660), 2, 1)
	})
	// A subsegment that began earlier and a call that ended later.
	write(t, store, seconds(2000), sub(1, 7, root(1, 0).ID, 300, 301))
	remote := sub(1, 8, root(1, 0).ID, 601, 1300)
	remote.More = map[string]any{"namespace": "remote"}
	write(t, store, seconds(3000), remote)
	rolled(t, store, func(t *testing.T) {
		wantNumbers(t, "old start", at(t, store, tracestore.ClockStart, 600, 601), 2)
		wantNumbers(t, "new start", at(t, store, tracestore.ClockStart, 300, 301), 1)
		wantNumbers(t, "first change", at(t, store, tracestore.ClockChanged, 1000, 1001), 2)
		wantNumbers(t, "second change", at(t, store, tracestore.ClockChanged, 2000, 2001))
		wantNumbers(t, "last change", at(t, store, tracestore.ClockChanged, 3000, 3001), 1)
		wantNumbers(t, "old end", at(t, store, tracestore.ClockEnd, 600, 660), 2, 1)
		wantNumbers(t, "new end", at(t, store, tracestore.ClockEnd, 1300, 1301), 1)
		row := one(t, store, TraceNumber(1))
		if row.Revision != 3 || row.Duration != 1000 || row.Start != (Epoch+300)*1e9 {
			t.Errorf("revision %d, duration %v, start %d; want 3, 1000, %d", row.Revision, row.Duration, row.Start, int64(Epoch+300)*1e9)
		}
	})
	// A completion that moves the only end away from its old minute.
	open := root(3, 0)
	open.InProgress = true
	write(t, store, seconds(1), open)
	done := root(3, 4000)
	done.End = Epoch + 5000
	write(t, store, seconds(2), done)
	rolled(t, store, func(t *testing.T) {
		wantNumbers(t, "start of the replaced version", at(t, store, tracestore.ClockStart, 0, 1))
		wantNumbers(t, "start of the complete version", at(t, store, tracestore.ClockStart, 4000, 4001), 3)
		wantNumbers(t, "end of the complete version", at(t, store, tracestore.ClockEnd, 5000, 5001), 3)
	})
	agree(t, store, []segment.TraceID{TraceNumber(1), TraceNumber(2), TraceNumber(3)})
}

func testDuplicates(t *testing.T, s *suite) {
	store := s.open(t)
	d := root(1, 10)
	d.Nested = []Doc{{ID: 5, Name: "render", Start: Epoch + 10, End: Epoch + 11}}
	write(t, store, seconds(20), d)
	before := one(t, store, d.Trace)

	changed := d // another version of what is complete, with a nested tree of its own
	changed.Name, changed.Start, changed.End = "lorbeer-api", Epoch+1, Epoch+500
	changed.Nested = []Doc{{ID: 6, Name: "new", Start: Epoch, End: Epoch + 900}}
	for _, docs := range [][]Doc{{d}, {changed}, {d, d}, {sub(1, 5, d.ID, 10, 99)}} {
		write(t, store, seconds(30), docs...)
		rolled(t, store, func(t *testing.T) {
			row := one(t, store, d.Trace)
			if row.LastSeq <= before.LastSeq {
				t.Errorf("LastSeq %d did not move from %d", row.LastSeq, before.LastSeq)
			}
			row.LastSeq = before.LastSeq // all that a duplicate may change
			if diff := diffRows(row, before); diff != "" {
				t.Errorf("a duplicate changed the trace: %s", diff)
			}
			wantNumbers(t, "receipt of the duplicate", at(t, store, tracestore.ClockChanged, 30, 31))
		})
	}
	// They are stored all the same: the documents are the truth.
	if docs := documents(t, store, d.Trace, 0); len(docs) != 6 {
		t.Errorf("%d documents, want 6", len(docs))
	}
	agree(t, store, []segment.TraceID{d.Trace})
}

func testOrphans(t *testing.T, s *suite) {
	store := s.open(t)
	d := root(1, 100)
	write(t, store, seconds(20), sub(1, 7, 8, 50, 400)) // child of 8, which is child of the root
	rolled(t, store, func(t *testing.T) {
		row := one(t, store, d.Trace)
		if !row.OrphanOnly || row.HasRoot || row.Start != (Epoch+50)*1e9 {
			t.Errorf("an orphan alone: %+v; want OrphanOnly, the start its own", row)
		}
		wantNumbers(t, "start", at(t, store, tracestore.ClockStart, 50, 51), 1)
	})
	write(t, store, seconds(30), d)
	rolled(t, store, func(t *testing.T) {
		row := one(t, store, d.Trace)
		if row.OrphanOnly || row.Duration != 2 || row.Start != (Epoch+100)*1e9 {
			t.Errorf("orphan beside a segment: %+v; want the segment's start and duration 2", row)
		}
		wantNumbers(t, "start of the orphan", at(t, store, tracestore.ClockStart, 50, 51))
		wantNumbers(t, "start of the segment", at(t, store, tracestore.ClockStart, 100, 101), 1)
	})
	write(t, store, seconds(40), sub(1, 8, d.ID, 100, 101))
	rolled(t, store, func(t *testing.T) {
		row := one(t, store, d.Trace)
		if row.Duration != 350 || row.Start != (Epoch+50)*1e9 || row.Changed != seconds(40) {
			t.Errorf("orphan adopted: %+v; want duration 350, the orphan's start, changed %d", row, seconds(40))
		}
		wantNumbers(t, "start", at(t, store, tracestore.ClockStart, 50, 51), 1)
	})
	agree(t, store, []segment.TraceID{d.Trace})
}

func testOddTimes(t *testing.T, s *suite) {
	store := s.open(t)
	var all []segment.TraceID
	for n, times := range [][2]float64{
		{0, 2}, {-1, -0.5}, {-1, 61}, {10, 5}, {0.001, 0.0015}, {59.999999, 60}, {4e9, 4e9 + 1}, {8e9, 9e9}, {-9e9, -8e9}, {1, 1},
	} {
		d := root(uint64(n), 0)
		d.Start, d.End = times[0], times[1]
		write(t, store, ReceivedBase, d)
		all = append(all, d.Trace)
	}
	rolled(t, store, func(t *testing.T) {
		agree(t, store, all)
		// Minute -1 is the one before 1970.
		got := numbers(scanAll(t, store, tracestore.Scan{Clock: tracestore.ClockEnd, Start: -60e9, End: 0}))
		wantNumbers(t, "ends in the minute before 1970", got, 1)
		got = numbers(scanAll(t, store, tracestore.Scan{Clock: tracestore.ClockStart, Start: 0, End: 1}))
		wantNumbers(t, "starts at 0", got, 8, 2, 1, 0)
	})
}

func testWindows(t *testing.T, s *suite) {
	store := s.open(t)
	for n := range uint64(5) {
		write(t, store, seconds(100+int64(n)), root(n, float64(10+n)))
	}
	const (
		second = int64(1e9)
		low    = math.MinInt64
		high   = math.MaxInt64
	)
	for _, c := range []struct {
		clock tracestore.Clock
		zero  int64 // where trace 0 stands, unix nanoseconds; the others follow by seconds
	}{
		{tracestore.ClockStart, (Epoch + 10) * second},
		{tracestore.ClockChanged, (Epoch + 100) * second},
	} {
		rolled(t, store, func(t *testing.T) {
			for _, w := range []struct {
				from, to int64
				want     []int
			}{
				{c.zero, c.zero + second, []int{0}},
				{c.zero, c.zero + 1, []int{0}},
				{c.zero - second, c.zero, nil},
				{c.zero - second, c.zero + 1, []int{0}},
				{c.zero + 1, c.zero + second, nil},
				{c.zero + 1, c.zero + second + 1, []int{1}},
				{c.zero + second, c.zero + 3*second, []int{2, 1}},
				{c.zero + 4*second, c.zero + 5*second, []int{4}},
				{c.zero + 4*second, high, []int{4}},
				{c.zero + 4*second + 1, high, nil},
				{low, c.zero, nil},
				{low, c.zero + 1, []int{0}},
				{c.zero, c.zero + 4*second + 1, []int{4, 3, 2, 1, 0}},
				{c.zero, c.zero + 4*second, []int{3, 2, 1, 0}},
				{low, high, []int{4, 3, 2, 1, 0}},
				{c.zero + second, c.zero + second, nil},   // empty
				{c.zero + 3*second, c.zero + second, nil}, // backwards
				{high, low, nil},
				{low, low, nil},
				{high, high, nil},
			} {
				scan := tracestore.Scan{Clock: c.clock, Start: w.from, End: w.to}
				wantNumbers(t, scanText(scan), numbers(scanAll(t, store, scan)), w.want...)
			}
		})
	}
}

func testEndMinutes(t *testing.T, s *suite) {
	store := s.open(t)
	// Trace 0 ends in the minutes 0, 1 and 5 from a whole minute on, trace 1 in
	// minute 1, trace 2 on the very beginning of minute 2.
	const (
		minute = int64(60e9)
		whole  = 60 - Epoch%60 // seconds after Epoch
		base   = int64(Epoch+whole) * 1e9
	)
	a := root(0, whole)
	a.End = Epoch + whole + 320
	callee := func(id segment.SegmentID, end float64) Doc {
		return Doc{Trace: TraceNumber(0), ID: id, Parent: a.ID, Name: "dachs/worker", Start: Epoch + whole, End: Epoch + whole + end}
	}
	b, c := root(1, whole), root(2, whole)
	b.End, c.End = Epoch+whole+119.5, Epoch+whole+120
	write(t, store, ReceivedBase, a, callee(1, 3), callee(2, 61), callee(3, 62), b, c)
	rolled(t, store, func(t *testing.T) {
		if got, want := one(t, store, a.Trace).Ends, []int64{base / minute, base/minute + 1, base/minute + 5}; !slices.Equal(got, want) {
			t.Fatalf("end minutes %v, want %v", got, want)
		}
		for _, w := range []struct {
			name     string
			from, to int64
			want     []string // number and minute of its place
		}{
			{"minute 0", 0, minute, []string{"0@0"}},
			{"its first nanosecond", 0, 1, []string{"0@0"}},
			{"its last nanosecond", minute - 1, minute, []string{"0@0"}},
			{"up to its beginning", -minute, 0, nil},
			{"minute 1", minute, 2 * minute, []string{"1@1", "0@1"}},
			{"minutes 0 and 1", 0, 2 * minute, []string{"1@1", "0@1"}},
			{"over the border", minute - 1, minute + 1, []string{"1@1", "0@1"}},
			{"minutes 1 and 2", minute, 3 * minute, []string{"2@2", "1@1", "0@1"}},
			{"minutes 3 and 4", 3 * minute, 5 * minute, nil},
			{"minutes 2 to 5", 2 * minute, 6 * minute, []string{"0@5", "2@2"}},
			{"all", -minute, 100 * minute, []string{"0@5", "2@2", "1@1"}},
			{"empty", minute, minute, nil},
		} {
			scan := tracestore.Scan{Clock: tracestore.ClockEnd, Start: base + w.from, End: base + w.to}
			for _, size := range []int{1000, 1, 2} {
				var got []string
				for _, h := range pages(t, store, scan, size) {
					got = append(got, fmt.Sprintf("%d@%d", numbers([]Hit{h})[0], h.Cursor.Time-base/minute))
				}
				if !slices.Equal(got, w.want) {
					t.Errorf("%s, pages of %d: %v, want %v", w.name, size, got, w.want)
				}
			}
		}
	})
	agree(t, store, []segment.TraceID{a.Trace, b.Trace, c.Trace})
}

// scatter writes traces whose three clocks run in different directions and
// fall together in places, half of them behind a roll.
func scatter(t *testing.T, store tracestore.Store, traces int) []segment.TraceID {
	t.Helper()
	var all []segment.TraceID
	for i := range traces {
		n := uint64(i*37%traces) + 1
		d := root(n, float64(n%11))
		d.End = Epoch + float64(n*53%29)*20 + 20
		write(t, store, seconds(int64(n*29%13)), d)
		all = append(all, d.Trace)
		if i == traces/2 {
			if err := store.WaitRolled(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

func testNewestFirst(t *testing.T, s *suite) {
	store := s.open(t)
	all := scatter(t, store, 90)
	rolled(t, store, func(t *testing.T) {
		for _, clock := range clocks {
			hits := scanAll(t, store, everything(clock))
			if len(hits) != len(all) {
				t.Fatalf("clock %s: %d rows, want %d", clockName(clock), len(hits), len(all))
			}
			for i, h := range hits {
				if h.Cursor.ID != h.Row.ID {
					t.Fatalf("clock %s: cursor of trace %s names %s", clockName(clock), TraceText(h.Row.ID), TraceText(h.Cursor.ID))
				}
				want := map[tracestore.Clock]int64{tracestore.ClockStart: h.Row.Start, tracestore.ClockChanged: h.Row.Changed}
				if w, ok := want[clock]; ok && h.Cursor.Time != w {
					t.Fatalf("clock %s: cursor time %d, want the row's %d", clockName(clock), h.Cursor.Time, w)
				}
				if clock == tracestore.ClockEnd && h.Cursor.Time != h.Row.Ends[len(h.Row.Ends)-1] {
					t.Fatalf("clock end: cursor time %d, want the last of %v", h.Cursor.Time, h.Row.Ends)
				}
				if i == 0 {
					continue
				}
				if p := hits[i-1].Cursor; p.Time < h.Cursor.Time || p.Time == h.Cursor.Time && slices.Compare(p.ID[:], h.Cursor.ID[:]) <= 0 {
					t.Fatalf("clock %s: {%d %s} comes before {%d %s}", clockName(clock), p.Time, TraceText(p.ID), h.Cursor.Time, TraceText(h.Cursor.ID))
				}
			}
		}
	})
	agree(t, store, all)
}

func testCursors(t *testing.T, s *suite) {
	store := s.open(t)
	scatter(t, store, 60)
	rolled(t, store, func(t *testing.T) {
		for _, clock := range clocks {
			for _, window := range []tracestore.Scan{
				everything(clock),
				{Clock: clock, Start: (Epoch + 2) * 1e9, End: (Epoch + 9) * 1e9},
			} {
				whole := scanAll(t, store, window)
				if len(whole) == 0 {
					t.Fatalf("Scan(%s) gave nothing", scanText(window))
				}
				for _, size := range []int{1, 2, 7, 1000} {
					if d := diffHits(pages(t, store, window, size), whole); d != "" {
						t.Errorf("Scan(%s) in pages of %d: %s", scanText(window), size, d)
					}
				}
			}
		}
	})
}

// testCursorWithoutRow continues from places where nothing stands (any more).
func testCursorWithoutRow(t *testing.T, s *suite) {
	store := s.open(t)
	for n := range uint64(6) {
		write(t, store, seconds(int64(n)), root(2*n, float64(n/2))) // pairs of one start: (0,2), (4,6), (8,10)
	}
	rolled(t, store, func(t *testing.T) {
		for _, c := range []struct {
			sec, n int64
			want   []int
		}{
			{5, 0, []int{10, 8, 6, 4, 2, 0}},
			{2, 10, []int{8, 6, 4, 2, 0}},
			{2, 9, []int{8, 6, 4, 2, 0}}, // between the two of a second
			{2, 8, []int{6, 4, 2, 0}},
			{2, 7, []int{6, 4, 2, 0}},
			{1, 100, []int{6, 4, 2, 0}},
			{0, 1, []int{0}},
			{0, 0, nil},
			{-3, 5, nil},
		} {
			scan := everything(tracestore.ClockStart)
			scan.After = &tracestore.Cursor{Time: (Epoch + c.sec) * 1e9, ID: TraceNumber(uint64(c.n))}
			wantNumbers(t, scanText(scan), numbers(scanAll(t, store, scan)), c.want...)
		}
		// A cursor above or below the window.
		scan := tracestore.Scan{Clock: tracestore.ClockStart, Start: (Epoch + 1) * 1e9, End: (Epoch + 2) * 1e9}
		scan.After = &tracestore.Cursor{Time: (Epoch + 50) * 1e9}
		wantNumbers(t, scanText(scan), numbers(scanAll(t, store, scan)), 6, 4)
		scan.After = &tracestore.Cursor{Time: Epoch * 1e9, ID: TraceNumber(99)}
		wantNumbers(t, scanText(scan), numbers(scanAll(t, store, scan)))
	})
	// The row that the cursor names moves away between two pages.
	first, err := ScanAll(soon(t), store, everything(tracestore.ClockStart), 2)
	if err != nil || !slices.Equal(numbers(first), []int{10, 8}) {
		t.Fatalf("first page: %v, %v; want 10, 8", numbers(first), err)
	}
	write(t, store, seconds(9), sub(8, 7, root(8, 0).ID, -100, -99))
	scan := everything(tracestore.ClockStart)
	scan.After = &first[1].Cursor
	wantNumbers(t, "second page", numbers(scanAll(t, store, scan)), 6, 4, 2, 0, 8)
}

func testEarlyStop(t *testing.T, s *suite) {
	store := s.open(t)
	scatter(t, store, 40)
	rolled(t, store, func(t *testing.T) {
		for _, clock := range clocks {
			for _, limit := range []int{1, 2, 39, 40} {
				calls := 0
				err := store.Scan(soon(t), everything(clock), func(tracestore.Cursor, *trace.Row) bool {
					calls++
					return calls < limit
				})
				if err != nil || calls != limit {
					t.Errorf("clock %s: %d calls, error %v; want %d calls and no error", clockName(clock), calls, err, limit)
				}
			}
		}
	})
}

func testReentrant(t *testing.T, s *suite) {
	store := s.open(t)
	scatter(t, store, 20)
	rolled(t, store, func(t *testing.T) {
		err := store.Scan(soon(t), everything(tracestore.ClockStart), func(c tracestore.Cursor, row *trace.Row) bool {
			if len(documents(t, store, row.ID, 0)) == 0 {
				t.Errorf("trace %s has a row and no documents", TraceText(row.ID))
			}
			if len(scanAll(t, store, everything(tracestore.ClockEnd))) == 0 {
				t.Error("a scan within a scan gave nothing")
			}
			// What is ahead gets a duplicate, which moves nothing.
			write(t, store, ReceivedBase, root(1, 1))
			store.LastSeq()
			store.Stats()
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func testRowIsKept(t *testing.T, s *suite) {
	store := s.open(t)
	all := scatter(t, store, 30)
	for range 2 {
		hits := scanAll(t, store, everything(tracestore.ClockStart))
		for _, h := range hits { // the row is fn's own: it may even be changed
			clear(h.Row.Services)
			clear(h.Row.Ends)
			*h.Row = trace.Row{}
		}
		agree(t, store, all)
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func testAsOfScan(t *testing.T, s *suite) {
	store := s.open(t)
	all := scatter(t, store, 40)
	open := root(200, 3)
	open.InProgress = true
	write(t, store, seconds(3), open)
	write(t, store, seconds(4), sub(201, 7, 8, 3, 4))
	all = append(all, open.Trace, TraceNumber(201))
	asOf := store.LastSeq()

	want := map[tracestore.Clock][]Hit{}
	for _, clock := range clocks {
		want[clock] = scanAll(t, store, everything(clock))
	}
	// After each change, every way to read the old state gives the old state.
	same := func(t *testing.T) {
		t.Helper()
		for _, clock := range clocks {
			scan := everything(clock)
			scan.AsOf = asOf
			for _, size := range []int{3, 1000} {
				if d := diffHits(pages(t, store, scan, size), want[clock]); d != "" {
					t.Fatalf("Scan(%s) in pages of %d: %s", scanText(scan), size, d)
				}
			}
		}
	}
	same(t)
	done := root(200, 3)
	for _, step := range []struct {
		name string
		docs []Doc
	}{
		{"a completion", []Doc{done}},
		{"a new trace in the middle", []Doc{root(300, 5)}},
		{"an adopted orphan", []Doc{sub(201, 8, root(201, 0).ID, 1, 2), root(201, 3)}},
		{"a start that moves to the front", []Doc{sub(5, 9, root(5, 0).ID, -500, 700)}},
		{"a duplicate", []Doc{root(6, 6)}},
		{"a new trace in front", []Doc{root(301, 900)}},
		{"a callee with an end of its own", []Doc{{Trace: TraceNumber(7), ID: 99, Parent: root(7, 0).ID, Name: "quitte", Start: Epoch, End: Epoch + 5000}}},
	} {
		t.Run(step.name, func(t *testing.T) {
			write(t, store, seconds(5000), step.docs...)
			rolled(t, store, same)
		})
	}
	all = append(all, TraceNumber(300), TraceNumber(301))
	agree(t, store, all)

	// Pages of a moving store without AsOf still give unchanged traces exactly
	// once, and each judged as of the same moment with it.
	scan := everything(tracestore.ClockStart)
	scan.AsOf = store.LastSeq()
	whole := scanAll(t, store, scan)
	var got []Hit
	for n := uint64(400); ; n++ {
		page, err := ScanAll(soon(t), store, scan, 4)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if len(page) < 4 {
			break
		}
		scan.After = &page[3].Cursor
		// The trace just seen moves behind, one not yet seen moves in front.
		write(t, store, seconds(6000), sub(numberOf(page[3].Row.ID), 11, segment.SegmentID(0xa000+numberOf(page[3].Row.ID)), -900, -899), root(n, 2))
	}
	if d := diffHits(got, whole); d != "" {
		t.Errorf("pages of a store that is written to: %s", d)
	}
}

// numberOf is the inverse of TraceNumber.
func numberOf(id segment.TraceID) uint64 {
	return uint64(numbers([]Hit{{Row: &trace.Row{ID: id}}})[0])
}

func testCancel(t *testing.T, s *suite) {
	store := s.open(t)
	scatter(t, store, 400)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	rolled(t, store, func(t *testing.T) {
		if _, err := store.Documents(gone, TraceNumber(1), 0); !errors.Is(err, context.Canceled) {
			t.Errorf("Documents with a cancelled context: %v, want context.Canceled", err)
		}
		for _, clock := range clocks {
			hits, err := ScanAll(gone, store, everything(clock), 0)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Scan on clock %s with a cancelled context: %d rows, %v; want context.Canceled", clockName(clock), len(hits), err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			err = store.Scan(ctx, everything(clock), func(tracestore.Cursor, *trace.Row) bool {
				cancel()
				return true
			})
			cancel()
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Scan on clock %s, cancelled at its first row: %v, want context.Canceled", clockName(clock), err)
			}
		}
	})
	// A cancelled Write may or may not store; it never stores half.
	a, b := root(900, 0), root(901, 0)
	err := store.Write(gone, []tracestore.Record{Rec(t, a.JSON(), ReceivedBase), Rec(t, b.JSON(), ReceivedBase)})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Write with a cancelled context: %v, want context.Canceled or nil", err)
	}
	write(t, store, ReceivedBase, root(902, 0)) // whatever was under way is done
	gotA, gotB := len(documents(t, store, a.Trace, 0)), len(documents(t, store, b.Trace, 0))
	if gotA != gotB || gotA > 1 || err == nil && gotA != 1 {
		t.Errorf("a cancelled Write (error %v) of two documents stored %d and %d", err, gotA, gotB)
	}
}
