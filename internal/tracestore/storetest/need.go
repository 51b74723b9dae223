package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// has reports whether a row has what is needed.
func has(row *trace.Row, need trace.Need) bool {
	terms := row.AppendTerms(nil)
	for _, clause := range need {
		if !slices.ContainsFunc(clause, func(t trace.Term) bool { return slices.Contains(terms, t) }) {
			return false
		}
	}
	return true
}

// diffNarrowed says how a scan that needs something, taken in pages of size (0: in
// one), breaks the contract, given what the same scan without needs gives.
func diffNarrowed(t testing.TB, s tracestore.Store, scan tracestore.Scan, all []Hit, size int) string {
	t.Helper()
	at := 0                  // how many of all were given or left out
	pending, counted := 0, 0 // rows that Skipped told of: since the last row, and before
	given, passed := 0, 0    // visible rows: given, and of all behind us
	pass := func(upTo int) string {
		for ; at < upTo; at++ {
			row := all[at].Row
			if row.Cut || has(row, scan.Need) && glanced(t, scan, row) {
				return fmt.Sprintf("row %d, trace %s, has what is needed and was left out", at, TraceText(row.ID))
			}
			if !row.OrphanOnly {
				passed++
			}
		}
		return ""
	}
	scan.Reuse = size%2 == 0 // no row is kept here
	scan.Skipped = func(n int) {
		if n <= 0 {
			t.Errorf("Skipped was told of %d rows", n)
		}
		pending += n
	}
	for {
		var diff string
		var last *tracestore.Cursor
		rows := 0
		err := s.Scan(soon(t), scan, func(c tracestore.Cursor, row *trace.Row) bool {
			if rows++; size > 0 && rows > size {
				pending = 0 // it comes again, and so do those before it
				return false
			}
			i := at
			for i < len(all) && all[i].Cursor != c {
				i++
			}
			if i == len(all) {
				diff = fmt.Sprintf("a row at {%d %s} that is not in the window, or comes late", c.Time, TraceText(c.ID))
				return false
			}
			if diff = pass(i); diff == "" {
				diff = diffRows(row, all[i].Row)
			}
			counted, pending = counted+pending, 0
			if diff == "" && counted+given != passed {
				diff = fmt.Sprintf("before row %d Skipped told of %d visible rows, %d were left out", i, counted, passed-given)
			}
			if at++; !row.OrphanOnly {
				given++
				passed++
			}
			last = &c
			return diff == ""
		})
		switch {
		case err != nil:
			return err.Error()
		case diff != "":
			return diff
		}
		if size > 0 && rows > size {
			scan.After = last
			continue
		}
		if diff := pass(len(all)); diff != "" {
			return diff
		}
		if counted += pending; counted+given != passed {
			return fmt.Sprintf("%d visible rows given and %d left out, of %d", given, counted, passed)
		}
		return ""
	}
}

// glanced reports whether a scan's glance lets a row pass.
func glanced(t testing.TB, scan tracestore.Scan, row *trace.Row) bool {
	t.Helper()
	if scan.Glance == nil {
		return true
	}
	data, err := row.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return scan.Glance(data)
}

// anyGlance draws a glance that lets about half of the rows pass, by what can be
// read of them and does not change with their documents.
func anyGlance(t testing.TB, rng *rand.Rand) func([]byte) bool {
	odd := byte(rng.IntN(2))
	return func(encoded []byte) bool {
		if _, ok := trace.ReadRowHead(encoded); !ok {
			t.Errorf("a glance at no row: %x", encoded)
			return true
		}
		id := encoded[1:17]
		return (id[15]^id[14])&1 == odd
	}
}

// anyNeed draws something to need: mostly what some row has.
func anyNeed(rng *rand.Rand, all []Hit) trace.Need {
	term := func() trace.Term {
		if len(all) > 0 && rng.IntN(4) > 0 {
			if terms := pick(rng, all).Row.AppendTerms(nil); len(terms) > 0 {
				return pick(rng, terms)
			}
		}
		return pick(rng, []trace.Term{trace.TermService("kranich"), trace.TermUser("nobody"), trace.Term(rng.Uint64()), trace.TermMark(trace.MarkFault)})
	}
	var need trace.Need
	for range 1 + rng.IntN(2) {
		clause := []trace.Term{term()}
		if rng.IntN(2) == 0 {
			clause = append(clause, term())
		}
		need = append(need, clause)
	}
	if rng.IntN(20) == 0 {
		need = append(need, nil) // an alternative of nothing: no row has it
	}
	return need
}

func testNeed(t *testing.T, s *suite) {
	store := s.open(t)
	// A hundred traces, ten of each service, each with a user of its own, over
	// all minutes; then rows that move and change what they have.
	for i := range 100 {
		d := root(uint64(i), float64(i*7%100)*10)
		d.Name = fmt.Sprintf("service-%d", i%10)
		d.More = map[string]any{"user": fmt.Sprintf("user-%d", i)}
		write(t, store, seconds(int64(i)), d)
		if i == 60 {
			if err := store.WaitRolled(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(t *testing.T) {
		for _, clock := range clocks {
			scan := everything(clock)
			all := scanAll(t, store, scan)
			for _, need := range []trace.Need{
				{{trace.TermUser("user-77")}},
				{{trace.TermUser("user-77"), trace.TermUser("user-3")}},
				{{trace.TermService("service-4")}},
				{{trace.TermService("service-4")}, {trace.TermUser("user-14")}},
				{{trace.TermService("nobody")}},
				{{}},
				{},
			} {
				scan.Need = need
				for _, size := range []int{0, 1, 7} {
					if diff := diffNarrowed(t, store, scan, all, size); diff != "" {
						t.Errorf("Scan(%s, needs %x) in pages of %d: %s", scanText(scan), need, size, diff)
					}
				}
				scan.Skipped = nil
				if _, err := ScanAll(soon(t), store, scan, 0); err != nil {
					t.Errorf("Scan(%s) with nobody told of what is left out: %v", scanText(scan), err)
				}
			}
		}
	}
	rolled(t, store, check)
	for i := range uint64(20) {
		late := sub(i, 77, root(i, 0).ID, -float64(i)*50, float64(i)*30)
		late.More = map[string]any{"annotations": map[string]any{"late": true}}
		write(t, store, seconds(2000), late)
	}
	write(t, store, seconds(2000), sub(900, 7, 8, 5, 6), sub(901, 7, 8, 500, 501)) // not visible
	rolled(t, store, check)
	scan := everything(tracestore.ClockStart)
	scan.Need = trace.Need{{trace.TermKey("late")}}
	found := 0
	for _, h := range scanAll(t, store, scan) {
		if has(h.Row, scan.Need) {
			found++
		}
	}
	if found != 20 {
		t.Errorf("%d rows have the annotation of the late subsegments, want 20", found)
	}
}
