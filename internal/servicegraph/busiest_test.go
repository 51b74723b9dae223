package servicegraph

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
)

func reported(name string) Node {
	return Node{ServiceID: trace.ServiceID{Name: name}, Kind: KindReported}
}

// wide is a graph of services that each call the next; service i has i observations
// more than the first.
func wide(n int) Cells {
	cells := make(Cells, 2*n)
	add := func(k Key, times int) { cells[k] = &Cell{OK: int64(times)} }
	for i := range n {
		node := reported(fmt.Sprintf("s%06d", i))
		add(Key{From: node}, i+1)
		add(Key{From: node, To: reported(fmt.Sprintf("s%06d", (i+1)%n))}, 1)
		client := Node{ServiceID: trace.ServiceID{Name: node.Name, Type: typeClient}, Kind: KindClient}
		add(Key{From: client, To: node}, 1)
	}
	return cells
}

func TestCut(t *testing.T) {
	cells := wide(100)
	all := maps.Clone(cells)
	if cells.Cut(0) || cells.Cut(200) || len(cells) != 300 {
		t.Fatalf("a graph of 200 nodes was cut to %d cells", len(cells))
	}
	if !cells.Cut(20) {
		t.Fatal("a graph of 200 nodes is no more than 20")
	}
	// Clients have one call each, so they go first; so does every edge to or from
	// whoever goes.
	var nodes []string
	for k, c := range cells {
		if c != all[k] {
			t.Errorf("%v: not the cell that was there", k)
		}
		if !k.IsEdge() {
			nodes = append(nodes, k.From.Name)
			continue
		}
		if cells[Key{From: k.From}] == nil || cells[Key{From: k.To}] == nil {
			t.Errorf("an edge without its nodes: %v", k)
		}
	}
	slices.Sort(nodes)
	if len(nodes) != 20 || nodes[0] != "s000080" {
		t.Errorf("kept are %v", nodes)
	}
	again := wide(100)
	again.Cut(20)
	if !maps.EqualFunc(cells, again, func(a, b *Cell) bool { return a.OK == b.OK }) {
		t.Error("the same graph was cut in another way")
	}
}

// TestCutByEdges cuts a graph of few nodes that all call each other.
func TestCutByEdges(t *testing.T) {
	cells := make(Cells)
	const n = 30
	for i := range n {
		cells[Key{From: reported(fmt.Sprint(i))}] = &Cell{OK: n}
		for j := range n {
			cells[Key{From: reported(fmt.Sprint(i)), To: reported(fmt.Sprint(j))}] = &Cell{Fault: int64(1 + i)}
		}
	}
	if !cells.Cut(n) {
		t.Fatal("900 edges between 30 nodes were not cut")
	}
	nodes, edges := 0, 0
	for k, c := range cells {
		if k.IsEdge() {
			edges++
			if c.Fault <= n-3 {
				t.Errorf("an edge of %d calls is among the 90 busiest", c.Fault)
			}
		} else {
			nodes++
		}
	}
	if nodes != n || edges != 3*n {
		t.Errorf("%d nodes and %d edges are left, want 30 and 90", nodes, edges)
	}
}

// TestFrequent finds the few that are counted often among very many that are not, in
// any order.
func TestFrequent(t *testing.T) {
	const most = 10
	f := newFrequent(most)
	rng := rand.New(rand.NewPCG(1, 2))
	list := make([]uint64, 0, 60_000)
	for i := range uint64(most) {
		for range 1000 {
			list = append(list, i)
		}
	}
	for len(list) < cap(list) {
		list = append(list, 1000+rng.Uint64N(1<<40))
	}
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	room := 0
	for _, hash := range list {
		f.add(hash, 1)
		room = max(room, len(f.counts))
	}
	for i := range uint64(most) {
		if !f.keeps(i) {
			t.Errorf("%d, counted 1,000 times, is not among the ten", i)
		}
	}
	if len(f.kept) != most || !f.cuts() {
		t.Errorf("%d are kept of %d, cuts: %v", len(f.kept), len(list), f.cuts())
	}
	if bound := 2*frequentRoom*most + 1; room > bound {
		t.Errorf("%d were counted at a time, more than %d", room, bound)
	}
}
