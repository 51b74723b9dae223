package pebblestore

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sort"

	"github.com/roentgen-io/roentgen/internal/trace"
)

const (
	// blockRows is how many neighbouring rows share a filter of their terms at
	// least, when they were divided; at twice as many they are divided.
	blockRows = 1024
	// termBits is how many bits the filter has for each term, and termProbes how
	// many of them a term sets: about 1 in 100 terms that are not there seem to be.
	termBits   = 10
	termProbes = 7
	// maxTerms bounds what a block lists term by term: beyond it they go into the
	// filter, however dense that gets.
	maxTerms = 1 << 16
)

// termBlock is the value of a B key: what some neighbouring rows of a part have.
// What is added to it is a termBlock too, without a filter.
type termBlock struct {
	rows    int64 // in the block
	visible int64 // of them, without OrphanOnly
	cut     bool  // there may be rows with Cut set

	// Bounds of the rows; they only widen until the block is divided.
	starts  span
	lastSeq uint64 // no row has a LastSeq above it

	added  uint64 // terms in the filter
	filter []byte // a multiple of 8 bytes, or none
	listed []byte // terms that the filter lacks: 8 bytes each, ascending, each once
}

// flagBlockCut is the bit in the second byte of a B value that stands for cut.
const flagBlockCut = 1

func (t *termBlock) append(dst []byte) []byte {
	flags := byte(0)
	if t.cut {
		flags = flagBlockCut
	}
	dst = append(dst, 1, flags)
	dst = binary.AppendVarint(dst, t.rows)
	dst = binary.AppendVarint(dst, t.visible)
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.starts.from))
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.starts.to))
	dst = binary.AppendUvarint(dst, t.lastSeq)
	dst = binary.AppendUvarint(dst, t.added)
	dst = binary.AppendUvarint(dst, uint64(len(t.filter)/8))
	dst = append(dst, t.filter...)
	return append(dst, t.listed...)
}

// decodeTerms decodes a B value; the filter and the list refer to it.
func decodeTerms(value []byte) (t termBlock, err error) {
	r := blockReader{b: value}
	head := r.take(2)
	if head == nil || head[0] != 1 || head[1]&^flagBlockCut != 0 {
		return t, fmt.Errorf("a block of terms begins with %x", value[:min(len(value), 2)])
	}
	t.cut = head[1]&flagBlockCut != 0
	t.rows, t.visible = r.varint(), r.varint()
	t.starts.from, t.starts.to = int64(r.uint64()), int64(r.uint64())
	t.lastSeq, t.added = r.uvarint(), r.uvarint()
	words := r.uvarint()
	if words > uint64(len(r.b))/8 {
		r.bad = true
	} else {
		t.filter = r.take(words * 8)
	}
	t.listed = r.b
	if r.bad || len(t.listed)%8 != 0 {
		return t, fmt.Errorf("a block of terms of %d bytes does not parse", len(value))
	}
	return t, nil
}

// appendTerms appends terms, sorted and each once, as they are listed.
func appendTerms(dst []byte, terms []trace.Term) []byte {
	for _, t := range terms {
		dst = binary.BigEndian.AppendUint64(dst, uint64(t))
	}
	return dst
}

// newFilter returns an empty filter with room for n terms.
func newFilter(n int) []byte { return make([]byte, (n*termBits/64+1)*8) }

// setTerm puts a term into a filter.
func setTerm(filter []byte, t trace.Term) {
	h, step := uint64(t), bits.RotateLeft64(uint64(t), 32)|1
	for range termProbes {
		at, _ := bits.Mul64(h, uint64(len(filter))*8)
		filter[at/8] |= 1 << (at % 8)
		h += step
	}
}

func filterHas(filter []byte, t trace.Term) bool {
	h, step := uint64(t), bits.RotateLeft64(uint64(t), 32)|1
	for range termProbes {
		at, _ := bits.Mul64(h, uint64(len(filter))*8)
		if filter[at/8]&(1<<(at%8)) == 0 {
			return false
		}
		h += step
	}
	return true
}

// has reports whether a row of the block may have a term.
func (t *termBlock) has(term trace.Term) bool {
	if len(t.filter) > 0 && filterHas(t.filter, term) {
		return true
	}
	n := len(t.listed) / 8
	i := sort.Search(n, func(i int) bool { return binary.BigEndian.Uint64(t.listed[i*8:]) >= uint64(term) })
	return i < n && binary.BigEndian.Uint64(t.listed[i*8:]) == uint64(term)
}

// mayHave reports whether a row of the block may have what is needed.
func (t *termBlock) mayHave(need trace.Need) bool {
	for _, clause := range need {
		if !slices.ContainsFunc(clause, t.has) {
			return false
		}
	}
	return true
}

// count adds what o counts; its terms are left to the caller.
func (t *termBlock) count(o *termBlock) {
	t.rows += o.rows
	t.visible += o.visible
	t.cut = t.cut || o.cut
	t.starts = span{min(t.starts.from, o.starts.from), max(t.starts.to, o.starts.to)}
	t.lastSeq = max(t.lastSeq, o.lastSeq)
}

// list adds terms, sorted and each once, to those that are listed.
func (t *termBlock) list(terms []byte) {
	switch {
	case len(terms) == 0:
		return
	case len(t.listed) == 0:
		t.listed = slices.Clone(terms)
		return
	}
	out := make([]byte, 0, len(t.listed)+len(terms))
	a, b := t.listed, terms
	for len(a) > 0 && len(b) > 0 {
		x, y := binary.BigEndian.Uint64(a), binary.BigEndian.Uint64(b)
		if x <= y {
			out, a = append(out, a[:8]...), a[8:]
		}
		if y <= x {
			if y < x {
				out = append(out, b[:8]...)
			}
			b = b[8:]
		}
	}
	t.listed = append(append(out, a...), b...)
}

// fold puts listed terms into the filter when there is room for them, or when
// they are too many to be listed. The filter is changed in place.
func (t *termBlock) fold() {
	n := len(t.listed) / 8
	switch {
	case n == 0:
		return
	case n > maxTerms && len(t.filter) == 0:
		t.filter, t.added = newFilter(n), 0
	case n > maxTerms:
	case len(t.filter) == 0 || t.added+uint64(n) > uint64(len(t.filter)*8/termBits*3/2):
		return
	}
	for i := range n {
		setTerm(t.filter, trace.Term(binary.BigEndian.Uint64(t.listed[i*8:])))
	}
	t.added += uint64(n)
	t.listed = nil
}

// own makes the filter and the list the block's own.
func (t *termBlock) own() {
	t.filter, t.listed = slices.Clone(t.filter), slices.Clone(t.listed)
}

// termsMerger adds up B values.
type termsMerger struct {
	sum   termBlock
	lists [][]byte // copies of the terms listed in the values
	bytes int
}

// MergeNewer implements pebble.ValueMerger.
func (m *termsMerger) MergeNewer(value []byte) error {
	t, err := decodeTerms(value)
	if err != nil {
		return err
	}
	m.sum.count(&t)
	if len(t.filter) > 0 {
		if len(m.sum.filter) > 0 {
			return fmt.Errorf("two filters of terms meet in a merge")
		}
		m.sum.filter, m.sum.added = slices.Clone(t.filter), t.added
	}
	if len(t.listed) > 0 {
		m.lists = append(m.lists, slices.Clone(t.listed))
		m.bytes += len(t.listed)
	}
	return nil
}

// MergeOlder implements pebble.ValueMerger: it is all the same.
func (m *termsMerger) MergeOlder(value []byte) error { return m.MergeNewer(value) }

// Finish implements pebble.ValueMerger.
func (m *termsMerger) Finish(includesBase bool) ([]byte, io.Closer, error) {
	switch len(m.lists) {
	case 0:
	case 1:
		m.sum.listed = m.lists[0]
	default:
		all := make([]uint64, 0, m.bytes/8)
		for _, l := range m.lists {
			for ; len(l) > 0; l = l[8:] {
				all = append(all, binary.BigEndian.Uint64(l))
			}
		}
		slices.Sort(all)
		all = slices.Compact(all)
		m.sum.listed = make([]byte, 0, len(all)*8)
		for _, t := range all {
			m.sum.listed = binary.BigEndian.AppendUint64(m.sum.listed, t)
		}
	}
	if includesBase {
		m.sum.fold()
	}
	return m.sum.append(nil), nil, nil
}
