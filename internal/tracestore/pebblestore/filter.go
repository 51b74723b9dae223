package pebblestore

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/roentgen-io/roentgen/segment"
)

// idFilter remembers trace ids as Bloom filters do: has is never wrong when it
// says no. The roller asks it whether a trace is new: asking Pebble's own filters takes
// 2 to 3 µs a part, which for 32 parts is ten times the rest of the work on a document.
//
// It grows by tables that grow fourfold, about 13 bits an id; one cache line is looked at
// in each. Ids of removed parts stay until the store is opened again; they cost a
// look into Pebble and nothing else.
type idFilter struct {
	// ready tells that every id that is stored is in; until then has says yes.
	ready atomic.Bool

	mu     sync.Mutex // one adds at a time
	tables atomic.Pointer[[]*filterTable]
	bytes  int // of all tables
}

type filterTable struct {
	words []atomic.Uint64 // groups of 8 make a line
	left  int             // ids until it is full
}

const (
	firstTable = 1 << 12 // lines of 512 bits
	idsPerLine = 40
	// maxFilter bounds the memory of the filter. Beyond some 40 M traces the last
	// table gets denser and answers yes more often.
	maxFilter = 64 << 20
)

func newIDFilter() *idFilter {
	f := &idFilter{}
	f.tables.Store(&[]*filterTable{})
	return f
}

func newFilterTable(lines int) *filterTable {
	return &filterTable{words: make([]atomic.Uint64, lines*8), left: lines * idsPerLine}
}

// hashes returns where to look for an id: the line by h, the bits in it by g.
// Senders choose ids, so both halves are mixed.
func hashes(id segment.TraceID) (h, g uint64) {
	a, b := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^0xd6e8feb86659fd93)
	h = hi ^ lo
	hi, lo = bits.Mul64(h^0xa0761d6478bd642f, a+b^0xe7037ed1a0b428db)
	return h, hi ^ lo
}

// line returns the words in which the bits for a hash are.
func (t *filterTable) line(h uint64) []atomic.Uint64 {
	n, _ := bits.Mul64(h, uint64(len(t.words)/8))
	return t.words[n*8 : n*8+8]
}

func (t *filterTable) has(h, g uint64) bool {
	line := t.line(h)
	for range 7 {
		if line[g&7].Load()&(1<<(g>>3&63)) == 0 {
			return false
		}
		g >>= 9
	}
	return true
}

// has reports whether id may have been added.
func (f *idFilter) has(id segment.TraceID) bool {
	if !f.ready.Load() {
		return true
	}
	h, g := hashes(id)
	for _, t := range *f.tables.Load() {
		if t.has(h, g) {
			return true
		}
	}
	return false
}

// reserve makes room for n ids at once, so that they share one table.
func (f *idFilter) reserve(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.grow(n/idsPerLine + 1)
}

func (f *idFilter) grow(lines int) {
	tables := *f.tables.Load()
	lines = max(lines, firstTable)
	if n := len(tables); n > 0 {
		lines = max(lines, len(tables[n-1].words)/8*4)
	}
	if room := (maxFilter - f.bytes) / 64; lines > room {
		if room < firstTable {
			tables[len(tables)-1].left = 1 << 30
			return
		}
		lines = room
	}
	f.bytes += lines * 64
	next := append(tables[:len(tables):len(tables)], newFilterTable(lines))
	f.tables.Store(&next)
}

// add puts id in.
func (f *idFilter) add(id segment.TraceID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tables := *f.tables.Load()
	if n := len(tables); n == 0 || tables[n-1].left <= 0 {
		f.grow(0)
		tables = *f.tables.Load()
	}
	t := tables[len(tables)-1]
	t.left--
	h, g := hashes(id)
	line := t.line(h)
	for range 7 {
		line[g&7].Or(1 << (g >> 3 & 63))
		g >>= 9
	}
}
