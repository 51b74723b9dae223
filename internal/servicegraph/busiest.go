package servicegraph

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// edgesPerNode is how many edges there may be for each node that may be there,
// in a graph that is cut.
const edgesPerNode = 3

// Width tells whether a graph has more than some number of nodes, or three times as
// many edges.
type Width struct {
	most  int
	nodes map[uint64]struct{}
	edges int
	room  []byte
}

// NewWidth returns a Width that is over at more than most nodes; 0 is any number.
func NewWidth(most int) *Width { return &Width{most: most, nodes: make(map[uint64]struct{})} }

// Add takes in a key. Each key may be added once.
func (w *Width) Add(k *Key) (over bool) {
	if w.most <= 0 {
		return false
	}
	w.nodes[hashNode(&w.room, &k.From)] = struct{}{}
	if k.IsEdge() {
		w.nodes[hashNode(&w.room, &k.To)] = struct{}{}
		w.edges++
	}
	return len(w.nodes) > w.most || w.edges > w.most*edgesPerNode
}

// Busiest finds the nodes and edges with the most observations, in memory that is
// bounded by how many are wanted. A node that is there for its edges alone has none. First all cells are added; then Keeps tells of each
// key whether it is among them. It is exact up to sixteen times as many nodes or edges
// as are wanted; of more it may leave out one that had no more than a sixteenth of
// what the wanted have on average. Which of equals stays is arbitrary, but the same
// each time.
type Busiest struct {
	nodes, edges frequent
	room         []byte
}

// NewBusiest returns a Busiest for so many nodes, and three times as many edges.
func NewBusiest(nodes int) *Busiest {
	return &Busiest{nodes: newFrequent(nodes), edges: newFrequent(nodes * edgesPerNode)}
}

// Add adds so many observations of a node or edge; of none there is nothing to add.
func (b *Busiest) Add(k *Key, observations int64) {
	if observations == 0 {
		return
	}
	if !k.IsEdge() {
		b.nodes.add(hashNode(&b.room, &k.From), observations)
		return
	}
	from := int64(0) // the nodes of an edge are there, and have cells of their own
	if k.From.Kind == KindClient {
		from = observations // but this one has none
	}
	b.nodes.add(hashNode(&b.room, &k.From), from)
	b.nodes.add(hashNode(&b.room, &k.To), 0)
	b.edges.add(b.hashEdge(k), observations)
}

// Cuts reports whether there is more than is kept.
func (b *Busiest) Cuts() bool { return b.nodes.cuts() || b.edges.cuts() }

// Keeps reports whether a node is among the busiest, or an edge is and both of its
// nodes are. No more may be added after the first call.
func (b *Busiest) Keeps(k *Key) bool {
	if !b.nodes.keeps(hashNode(&b.room, &k.From)) {
		return false
	}
	return !k.IsEdge() || b.nodes.keeps(hashNode(&b.room, &k.To)) && b.edges.keeps(b.hashEdge(k))
}

func (b *Busiest) hashEdge(k *Key) uint64 {
	from := hashNode(&b.room, &k.From)
	return from*31 + hashNode(&b.room, &k.To)
}

// Cut drops all but the busiest nodes and edges when there are more than most nodes, or
// three times as many edges, and reports whether there were; most of 0 is any number.
func (cs Cells) Cut(most int) bool {
	w, over := NewWidth(most), false
	for k := range cs {
		over = w.Add(&k) || over
	}
	if !over {
		return false
	}
	b := NewBusiest(most)
	for k, c := range cs {
		b.Add(&k, c.Total())
	}
	for k := range cs {
		if !b.Keeps(&k) {
			delete(cs, k)
		}
	}
	return true
}

// hashNode hashes what makes two nodes one in an answer. Nodes of one name, as a service
// and its client are, stand side by side in the order of hashes, so that of equals they
// stay or go together.
func hashNode(room *[]byte, n *Node) uint64 {
	const low = 1<<20 - 1
	id := Node{ServiceID: n.ServiceID}
	if n.Kind == KindClient {
		id.Kind = KindClient
	}
	*room = appendNode((*room)[:0], &id)
	return xxhash.Sum64String(cut(n.Name))&^low | xxhash.Sum64(*room)&low
}

// frequent counts things by their hashes and keeps those that are counted most. When
// there are too many, all lose as much as the last of those with a place has, and
// those that have nothing left go (Misra and Gries).
type frequent struct {
	most   int
	counts map[uint64]int64
	pruned bool
	kept   map[uint64]struct{}
}

func (f *frequent) cuts() bool { return f.pruned || len(f.counts) > f.most }

const frequentRoom = 16

func newFrequent(most int) frequent { return frequent{most: most, counts: make(map[uint64]int64)} }

func (f *frequent) add(hash uint64, n int64) {
	f.counts[hash] += n
	if len(f.counts) <= 2*frequentRoom*f.most {
		return
	}
	counts := make([]int64, 0, len(f.counts))
	for _, n := range f.counts {
		counts = append(counts, n)
	}
	slices.SortFunc(counts, func(a, b int64) int { return cmp.Compare(b, a) })
	f.pruned = true
	least := counts[frequentRoom*f.most]
	for hash, n := range f.counts {
		if n <= least {
			delete(f.counts, hash)
		} else {
			f.counts[hash] = n - least
		}
	}
}

func (f *frequent) keeps(hash uint64) bool {
	if f.kept == nil {
		list := make([]uint64, 0, len(f.counts))
		for hash := range f.counts {
			list = append(list, hash)
		}
		slices.SortFunc(list, func(a, b uint64) int {
			return cmp.Or(cmp.Compare(f.counts[b], f.counts[a]), cmp.Compare(a, b))
		})
		f.kept = make(map[uint64]struct{}, min(len(list), f.most))
		for _, hash := range list[:min(len(list), f.most)] {
			f.kept[hash] = struct{}{}
		}
	}
	_, ok := f.kept[hash]
	return ok
}
