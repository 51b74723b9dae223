package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
)

// DiffCells says how two answers of Graph differ, "" when they are equal. Between
// the first and the last start of roots an engine may be less exact than another.
func DiffCells(got, want servicegraph.Cells) string {
	for k, w := range want {
		g := got[k]
		if g == nil {
			return fmt.Sprintf("the cell of %+v is missing", k)
		}
		if a, b := startsOf(g), startsOf(w); a != b {
			return fmt.Sprintf("cell of %+v: roots began from %d to %d, want %d to %d", k, a[0], a[1], b[0], b[1])
		}
		if a, b := encoded(g), encoded(w); !bytes.Equal(a, b) {
			return fmt.Sprintf("cell of %+v: total %d, %x; want %d, %x", k, g.Total(), a, w.Total(), b)
		}
	}
	for k, g := range got {
		if want[k] == nil {
			return fmt.Sprintf("a cell of %+v, total %d, that should not be there", k, g.Total())
		}
	}
	return ""
}

// startsOf returns the first and the last start of roots; where one is not exact,
// it returns an impossible one.
func startsOf(c *servicegraph.Cell) [2]int64 {
	bounds := [2]int64{math.MaxInt64, math.MinInt64}
	vague := false
	var last servicegraph.Start
	c.Starts(func(s servicegraph.Start) bool {
		if bounds[0] == math.MaxInt64 {
			bounds[0] = s.At
			vague = s.Unit != servicegraph.Second
		}
		// Starts are in order of their beginnings: one that is vague may reach beyond.
		if s.At+s.Unit.Seconds() >= last.At+last.Unit.Seconds() {
			last = s
		}
		bounds[1] = max(bounds[1], s.At)
		return true
	})
	if vague || last.Unit != servicegraph.Second {
		return [2]int64{-1, -1}
	}
	return bounds
}

func encoded(c *servicegraph.Cell) []byte {
	var copied servicegraph.Cell
	copied.Merge(c)
	copied.Coarsen(servicegraph.Hour)
	return copied.AppendBinary(nil)
}

func graph(t testing.TB, s tracestore.Store, of []tracestore.GroupRef, start, end int64) servicegraph.Cells {
	t.Helper()
	cells, cut, err := s.Graph(soon(t), of, start, end, 0)
	if err != nil || cut {
		t.Fatalf("Graph(%v, %d, %d): cut %v, %v", of, start, end, cut, err)
	}
	return cells
}

type stamped struct {
	stamp int64
	cells servicegraph.Cells
}

func minutes(t testing.TB, s tracestore.Store, of []tracestore.GroupRef, start, end int64, limit int) []stamped {
	t.Helper()
	var list []stamped
	err := s.Minutes(soon(t), of, start, end, func(stamp int64, cells servicegraph.Cells) bool {
		if n := len(list); n > 0 && list[n-1].stamp == stamp { // another piece
			list[n-1].cells.Merge(cells)
			return true
		}
		if limit > 0 && len(list) == limit {
			return false
		}
		list = append(list, stamped{stamp, cells})
		return true
	})
	if err != nil {
		t.Fatalf("Minutes(%v, %d, %d): %v", of, start, end, err)
	}
	return list
}

// diffMinutes says how two answers of Minutes differ, "" when they are equal.
func diffMinutes(got, want []stamped) string {
	for i := range min(len(got), len(want)) {
		if got[i].stamp != want[i].stamp {
			return fmt.Sprintf("minute %d of %d is stamped %d, want %d", i, len(got), got[i].stamp, want[i].stamp)
		}
		if diff := DiffCells(got[i].cells, want[i].cells); diff != "" {
			return fmt.Sprintf("minute %d: %s", got[i].stamp, diff)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d minutes, want %d", len(got), len(want))
	}
	return ""
}

// groupList is what an engine is given as its groups.
type groupList struct {
	mu   sync.Mutex
	list []tracestore.Group
}

func (g *groupList) get() []tracestore.Group {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.list
}

// matches are conditions that traces meet and stop meeting while they arrive.
var matches = []func(row *trace.Row, full func() *trace.Row) bool{
	func(row *trace.Row, _ func() *trace.Row) bool { return row.HasFault || row.HasError },
	func(row *trace.Row, _ func() *trace.Row) bool { return len(row.Services)%2 == 0 },
	func(row *trace.Row, full func() *trace.Row) bool { return len(full().Users) > 0 && row.Entities > 2 },
	func(row *trace.Row, _ func() *trace.Row) bool { return row.Revision > 1 },
}

// begin lets a new version of a group begin, in place of the one before.
func (g *groupList) begin(t testing.TB, s tracestore.Store, ref tracestore.GroupRef, match func(*trace.Row, func() *trace.Row) bool) {
	t.Helper()
	called := false
	err := s.BetweenSteps(soon(t), func(last uint64) error {
		called = true
		if now := s.LastSeq(); last > now {
			t.Errorf("BetweenSteps says that the latest document is %d, LastSeq %d", last, now)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		list := slices.Clone(g.list)
		for i := range list {
			if list[i].Ref.Group == ref.Group && list[i].Until == 0 {
				list[i].Until = last
				if list[i].From == last {
					list = slices.Delete(list, i, i+1) // it held for nothing
					break
				}
			}
		}
		g.list = append(list, tracestore.Group{Ref: ref, From: last, Match: match})
		return nil
	})
	if err != nil || !called {
		t.Fatalf("BetweenSteps: %v, fn was called: %v", err, called)
	}
}

// groups opens a store with groups beside a reference with the same ones.
func (s *suite) groups(t *testing.T) (tracestore.Store, *memstore.Store, *groupList) {
	t.Helper()
	g := &groupList{}
	open := s.opts.Groups
	if open == nil {
		t.Skip("SKIPPED: this engine is not given groups")
	}
	store := open(t, g.get)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store, memstore.New(memstore.WithGroups(g.get)), g
}

func testGraph(t *testing.T, s *suite) {
	store := s.open(t)
	// A shop that calls a database and a stock service, which is reported late.
	of := []tracestore.GroupRef{{}}
	whole := int64(Epoch) / 60 * 60
	shop := root(1, 100)
	shop.Nested = []Doc{
		{ID: 11, Name: "stock", Start: Epoch + 100, End: Epoch + 101, More: map[string]any{"namespace": "remote"}},
		{ID: 12, Name: "db@lager", Start: Epoch + 100, End: Epoch + 100.5, More: map[string]any{"namespace": "remote"}},
	}
	at := func(sec int64) int64 { return (whole + sec) * 1000 }
	write(t, store, at(0), shop)
	if err := store.WaitRolled(soon(t)); err != nil {
		t.Fatal(err)
	}
	count := func(start, end int64) map[string]int64 {
		totals := map[string]int64{}
		for k, c := range graph(t, store, of, whole+start, whole+end) {
			name := k.From.Name + "/" + k.From.Type
			if k.IsEdge() {
				name += ">" + k.To.Name
			}
			totals[name] = c.Total()
		}
		return totals
	}
	same := func(what string, got map[string]int64, want ...string) {
		t.Helper()
		sum := int64(0)
		for _, name := range want {
			if got[name] == 0 {
				t.Errorf("%s: nothing of %s in %v", what, name, got)
			}
			sum += got[name]
			delete(got, name)
		}
		if len(got) > 0 || sum != int64(len(want)) {
			t.Errorf("%s: %d observations of what was expected, want %d; too many: %v", what, sum, len(want), got)
		}
	}
	name := shop.Name + "/"
	before := []string{name, shop.Name + "/client>" + shop.Name, name + ">stock", "stock/remote", name + ">db@lager", "db@lager/remote"}
	same("the first minute", count(0, 60), before...)
	same("the second minute", count(60, 120))
	same("a day", count(-40000, 46400), before...)

	stock := Doc{Trace: shop.Trace, ID: 13, Parent: 11, Name: "stock", Start: Epoch + 100.1, End: Epoch + 100.9}
	write(t, store, at(120), stock)
	if err := store.WaitRolled(soon(t)); err != nil {
		t.Fatal(err)
	}
	same("the first minute once the callee is reported", count(0, 60),
		name, shop.Name+"/client>"+shop.Name, name+">stock", name+">db@lager", "db@lager/remote")
	same("the minute of its report", count(120, 180), "stock/")
	if got := graph(t, store, nil, whole, whole+60); len(got) != 0 {
		t.Errorf("of no group: %d cells, want none", len(got))
	}
	for _, w := range [][2]int64{{0, 0}, {60, 0}, {math.MaxInt64, math.MinInt64}, {math.MinInt64, math.MinInt64}, {math.MaxInt64, math.MaxInt64}} {
		if got := graph(t, store, of, w[0], w[1]); len(got) != 0 {
			t.Errorf("window [%d, %d): %d cells, want none", w[0], w[1], len(got))
		}
		if got := minutes(t, store, of, w[0], w[1], 0); len(got) != 0 {
			t.Errorf("minutes in [%d, %d): %d, want none", w[0], w[1], len(got))
		}
	}
	if got := graph(t, store, append(of, of...), math.MinInt64, math.MaxInt64); len(got) != 6 {
		t.Errorf("of all time: %d cells, want 6", len(got))
	}
	// Stamps are the ends of minutes, newest first.
	var stamps []int64
	for _, m := range minutes(t, store, of, math.MinInt64, math.MaxInt64, 0) {
		stamps = append(stamps, m.stamp-whole)
	}
	if !slices.Equal(stamps, []int64{180, 60}) {
		t.Errorf("minutes are stamped %v, want 180 and 60", stamps)
	}
	for _, c := range []struct {
		start, end int64
		want       int
	}{{60, 61, 1}, {61, 180, 0}, {61, 181, 1}, {180, 181, 1}, {59, 60, 0}, {0, 1000, 2}} {
		if got := minutes(t, store, of, whole+c.start, whole+c.end, 0); len(got) != c.want {
			t.Errorf("minutes in [%d, %d): %d, want %d", c.start, c.end, len(got), c.want)
		}
	}
	if got := minutes(t, store, of, math.MinInt64, math.MaxInt64, 1); len(got) != 1 || got[0].stamp != whole+180 {
		t.Errorf("stopped at the first minute: %d minutes", len(got))
	}

	ctx, cancel := context.WithCancel(soon(t))
	cancel()
	if _, _, err := store.Graph(ctx, of, 0, 1, 0); err == nil {
		t.Error("Graph with a cancelled context gave no error")
	}
	if err := store.Minutes(ctx, of, 0, 1, func(int64, servicegraph.Cells) bool { return true }); err == nil {
		t.Error("Minutes with a cancelled context gave no error")
	}
	if err := store.BetweenSteps(ctx, func(uint64) error { return nil }); err == nil {
		t.Error("BetweenSteps with a cancelled context gave no error")
	}
}

// testGraphSeconds reads windows of whole seconds that have just been: those are exact.
func testGraphSeconds(t *testing.T, s *suite) {
	store := s.open(t)
	ref := memstore.New()
	now := time.Now().Unix()
	for i := range int64(120) {
		d := root(uint64(i), float64(i))
		d.Name = fmt.Sprintf("service-%d", i%3)
		write(t, store, (now-i*20)*1000+i, d)
	}
	written := time.Now()
	of := []tracestore.GroupRef{{}}
	for total := int64(0); total < 240; {
		total = 0
		for _, c := range graph(t, store, of, 0, now+1) {
			total += c.Total()
		}
		if wait := time.Since(written); total < 240 && wait > 10*time.Second { // promised are 2, on a machine that is not busy
			t.Fatalf("%d observations count %v after they were written, want 240", total, wait)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for n := range uint64(120) {
		if err := ref.Load(documents(t, store, TraceNumber(n), 0)); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range [][2]int64{
		{now - 10, now}, {now - 20, now + 1}, {now - 21, now - 20}, {now - 20, now - 19}, {now - 613, now - 1}, {now - 3601, now - 7}, {now - 2400, now - 1777},
		{now - 86400, now - 1},
	} {
		if diff := DiffCells(graph(t, store, of, w[0], w[1]), graph(t, ref, of, w[0], w[1])); diff != "" {
			t.Errorf("window from %d to %d s ago: %s", now-w[0], now-w[1], diff)
		}
	}
}

func testGroups(t *testing.T, s *suite) {
	store, ref, g := s.groups(t)
	load := func(n uint64) {
		t.Helper()
		docs := documents(t, store, TraceNumber(n), 0)
		if err := ref.Load(docs[len(docs)-1:]); err != nil {
			t.Fatal(err)
		}
	}
	put := func(n uint64, name string) {
		t.Helper()
		d := root(n, float64(n))
		d.Name = name
		write(t, store, seconds(int64(n)), d)
		load(n)
	}
	named := func(name string) func(*trace.Row, func() *trace.Row) bool {
		return func(row *trace.Row, _ func() *trace.Row) bool { return row.Root.Name == name }
	}
	total := func(refs ...tracestore.GroupRef) int64 {
		t.Helper()
		if err := store.WaitRolled(soon(t)); err != nil {
			t.Fatal(err)
		}
		s.check(t, store)
		got := graph(t, store, refs, 0, math.MaxInt64)
		if diff := DiffCells(got, graph(t, ref, refs, 0, math.MaxInt64)); diff != "" {
			t.Errorf("groups %v: %s", refs, diff)
		}
		sum := int64(0)
		for k, c := range got {
			if !k.IsEdge() {
				sum += c.Total()
			}
		}
		return sum
	}
	v1, v2 := tracestore.GroupRef{Group: 3, Version: 1}, tracestore.GroupRef{Group: 3, Version: 2}
	put(1, "a")
	g.begin(t, store, v1, named("a"))
	if got := total(v1); got != 0 {
		t.Errorf("a new group has %d observations of before it began, want 0", got)
	}
	put(2, "a")
	put(3, "b")
	g.begin(t, store, v2, named("b")) // the documents may not be in the views yet
	put(4, "a")
	put(5, "b")
	for _, c := range []struct {
		refs []tracestore.GroupRef
		want int64
	}{
		{[]tracestore.GroupRef{{}}, 5},
		{[]tracestore.GroupRef{v1}, 1},
		{[]tracestore.GroupRef{v2}, 1},
		{[]tracestore.GroupRef{v2, v1}, 2},
		{[]tracestore.GroupRef{v2, v1, v1, {}}, 7},
		{[]tracestore.GroupRef{{Group: 3}, {Group: 4, Version: 1}}, 0},
	} {
		if got := total(c.refs...); got != c.want {
			t.Errorf("groups %v: %d observations, want %d", c.refs, got, c.want)
		}
	}
	// A change files the whole trace anew, a duplicate nothing.
	again := root(2, 2)
	again.Name = "a"
	write(t, store, seconds(100), again)
	load(2)
	if got := total(v1); got != 1 {
		t.Errorf("after a duplicate: %d observations in the first version, want 1", got)
	}
	write(t, store, seconds(101), Doc{Trace: TraceNumber(2), ID: 5, Parent: again.ID, Name: "b", Start: Epoch, End: Epoch + 1})
	load(2)
	if got := total(v1); got != 0 {
		t.Errorf("after a change: %d observations in the first version, want 0", got)
	}
	// An error of fn comes back, and all goes on.
	if err := store.BetweenSteps(soon(t), func(uint64) error { return context.DeadlineExceeded }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("BetweenSteps: %v, want the error of fn", err)
	}
	if got := total(tracestore.GroupRef{}); got != 6 {
		t.Errorf("%d observations of the Default group, want 6", got)
	}
}

// checkGraph compares the graph of some window, of some groups. The views must be up to date.
func (h *history) checkGraph() {
	h.t.Helper()
	of := []tracestore.GroupRef{{}}
	if list := h.groups.get(); len(list) > 0 && h.rng.IntN(2) == 0 {
		of = nil
		for range 1 + h.rng.IntN(3) {
			of = append(of, pick(h.rng, list).Ref)
		}
	}
	bound := func() int64 {
		at := h.now/1000 + 60 - h.rng.Int64N(20*60)
		switch h.rng.IntN(4) {
		case 0:
			at -= h.rng.Int64N(11 * 86400) // imports
		case 1:
			at = []int64{math.MinInt64, math.MaxInt64, 0}[h.rng.IntN(3)]
			return at
		}
		// Windows of the past are widened to whole minutes; these are already.
		return at - at%60
	}
	a, b := bound(), bound()
	a, b = min(a, b), max(a, b)
	whole := graph(h.t, h.ref, of, a, b)
	if diff := DiffCells(graph(h.t, h.store, of, a, b), whole); diff != "" {
		h.fatalf("Graph(%v, %d, %d): %s", of, a, b, diff)
	}
	// The choice is exact up to sixteen times as many as are wanted.
	if most := 1 + h.rng.IntN(20); h.rng.IntN(2) == 0 && len(whole) <= 16*most {
		got, cut, err := h.store.Graph(soon(h.t), of, a, b, most)
		want, wantCut, refErr := h.ref.Graph(soon(h.t), of, a, b, most)
		if err != nil || refErr != nil {
			h.fatalf("Graph(%v, %d, %d) of %d nodes: %v, %v", of, a, b, most, err, refErr)
		}
		if diff := DiffCells(got, want); diff != "" || cut != wantCut {
			h.fatalf("Graph(%v, %d, %d) of %d nodes: cut %v, want %v: %s", of, a, b, most, cut, wantCut, diff)
		}
	}
	if h.rng.IntN(3) == 0 {
		limit := h.rng.IntN(20)
		if diff := diffMinutes(minutes(h.t, h.store, of, a, b, limit), minutes(h.t, h.ref, of, a, b, limit)); diff != "" {
			h.fatalf("Minutes(%v, %d, %d), %d of them: %s", of, a, b, limit, diff)
		}
	}
}
