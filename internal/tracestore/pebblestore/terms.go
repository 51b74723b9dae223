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
	// sectionRows is how many rows of a block share a section, when it was divided: what
	// is read for a term that one of them has. Blocks have up to maxSections: a
	// spot has 6 bits for them, and one number says everywhere.
	sectionRows = 32
	maxSections = 63
	everywhere  = 63
	// Of a term that is in more than one of so many sections the filter does not know in
	// which: it would narrow little, and such terms would fill most of the filter.
	commonParts = 4
	// termBits is how many bits a filter has for each term, spotBits for each spot, and
	// filterProbes how many of them one sets: about 1 in 100 terms that are not there, and 1 in
	// 40 spots, seem to be.
	termBits     = 10
	spotBits     = 8
	filterProbes = 7
	// maxTerms bounds what a block lists spot by spot: beyond it they go into the
	// filters, however dense these get.
	maxTerms = 1 << 16
)

// spot is a term and, in its lowest bits, the section of a block in which a row has
// it, or everywhere.
type spot uint64

func spotOf(t trace.Term, section int) spot { return spot(t)&^everywhere | spot(section) }

// term is the spot of the same term in section 0, by which filters of terms know it.
func (s spot) term() spot { return s &^ everywhere }

func (s spot) section() int { return int(s & everywhere) }

// sections is a set of sections of a block, a bit for each.
type sections uint64

const allSections = ^sections(0)

func (s sections) has(section int) bool { return s>>section&1 != 0 }

// tally counts the rows of a section.
type tally struct {
	section int
	visible int64 // without OrphanOnly
	spread  int64 // of them, those that end at other minutes than that of their start, too or only
}

// addTallies returns the sum of two lists in order of section, without zeros.
func addTallies(a, b []tally) []tally {
	if len(b) == 0 {
		return a
	}
	sum := make([]tally, 0, len(a)+len(b))
	for len(a) > 0 || len(b) > 0 {
		var t tally
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].section < b[0].section:
			t, a = a[0], a[1:]
		case len(a) == 0 || b[0].section < a[0].section:
			t, b = b[0], b[1:]
		default:
			t = tally{a[0].section, a[0].visible + b[0].visible, a[0].spread + b[0].spread}
			a, b = a[1:], b[1:]
		}
		if t.visible != 0 || t.spread != 0 {
			sum = append(sum, t)
		}
	}
	return sum
}

// termBlock is the value of a B key: what some neighbouring rows of a part have.
// What is added to it is a termBlock too, without ends and filters.
type termBlock struct {
	rows int64    // in the block
	cut  sections // there may be rows with Cut set in these

	// Bounds of the rows; they only widen until the block is divided.
	starts  span
	lastSeq uint64 // no row has a LastSeq above it

	// ends are the highest starts that belong to the sections but the last, ascending.
	ends    []int64
	tallies []tally // of the visible rows, by section

	// terms knows the terms of the block, spots in which section they are. A block of one
	// section has no filter of spots.
	terms, spots filter
	listed       []byte // spots that the filters lack: 8 bytes each, ascending, each once
}

func (t *termBlock) append(dst []byte) []byte {
	dst = append(dst, 2)
	dst = binary.AppendVarint(dst, t.rows)
	dst = binary.AppendUvarint(dst, uint64(t.cut))
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.starts.from))
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.starts.to))
	dst = binary.AppendUvarint(dst, t.lastSeq)
	dst = binary.AppendUvarint(dst, uint64(len(t.ends)))
	at := int64(0)
	for _, end := range t.ends {
		dst = binary.AppendVarint(dst, end-at)
		at = end
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.tallies)))
	for _, n := range t.tallies {
		dst = append(dst, byte(n.section))
		dst = binary.AppendVarint(dst, n.visible)
		dst = binary.AppendVarint(dst, n.spread)
	}
	dst = t.terms.append(dst)
	dst = t.spots.append(dst)
	return append(dst, t.listed...)
}

// decodeTerms decodes a B value; the filters and the list refer to it.
func decodeTerms(value []byte) (t termBlock, err error) {
	r := blockReader{b: value}
	if version := r.byte(); version != 2 {
		return t, fmt.Errorf("a block of terms begins with %x", value[:min(len(value), 1)])
	}
	t.rows = r.varint()
	t.cut = sections(r.uvarint())
	t.starts.from, t.starts.to = int64(r.uint64()), int64(r.uint64())
	t.lastSeq = r.uvarint()
	if n := r.uvarint(); n >= maxSections {
		r.bad = true
	} else if n > 0 {
		t.ends = make([]int64, n)
		at := int64(0)
		for i := range t.ends {
			step := r.varint()
			if i > 0 && at+step <= at {
				r.bad = true
			}
			at += step
			t.ends[i] = at
		}
	}
	if n := r.uvarint(); n > maxSections {
		r.bad = true
	} else if n > 0 {
		t.tallies = make([]tally, n)
		for i := range t.tallies {
			t.tallies[i] = tally{int(r.byte()), r.varint(), r.varint()}
			if s := t.tallies[i].section; s >= maxSections || i > 0 && s <= t.tallies[i-1].section {
				r.bad = true
			}
		}
	}
	t.terms = readFilter(&r)
	t.spots = readFilter(&r)
	t.listed = r.b
	if r.bad || len(t.listed)%8 != 0 {
		return t, fmt.Errorf("a block of terms of %d bytes does not parse", len(value))
	}
	return t, nil
}

// filter is a Bloom filter of spots.
type filter struct {
	n    uint64 // spots that were put in
	bits []byte // a multiple of 8 bytes, or none
}

// newFilter returns an empty filter with room for n spots of so many bits each.
func newFilter(n, bits int) filter { return filter{bits: make([]byte, (n*bits/64+1)*8)} }

func (f *filter) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, f.n)
	dst = binary.AppendUvarint(dst, uint64(len(f.bits)/8))
	return append(dst, f.bits...)
}

func readFilter(r *blockReader) (f filter) {
	f.n = r.uvarint()
	if words := r.uvarint(); words > uint64(len(r.b))/8 {
		r.bad = true
	} else {
		f.bits = r.take(words * 8)
	}
	return f
}

// probes returns where the bits of a spot are: start and step of numbers that are
// scaled to the length of the filter. The section goes into both.
func (s spot) probes() (h, step uint64) {
	h = uint64(s.term()) + uint64(s.section())*0x9e3779b97f4a7c15
	return h, bits.RotateLeft64(h, 32) | 1
}

// add puts a spot in, if it does not seem to be there.
func (f *filter) add(s spot) {
	if f.has(s) {
		return
	}
	h, step := s.probes()
	for range filterProbes {
		at, _ := bits.Mul64(h, uint64(len(f.bits))*8)
		f.bits[at/8] |= 1 << (at % 8)
		h += step
	}
	f.n++
}

func (f *filter) has(s spot) bool {
	if len(f.bits) == 0 {
		return false
	}
	h, step := s.probes()
	for range filterProbes {
		at, _ := bits.Mul64(h, uint64(len(f.bits))*8)
		if f.bits[at/8]&(1<<(at%8)) == 0 {
			return false
		}
		h += step
	}
	return true
}

// takes reports whether n more spots find room in a filter of so many bits each:
// half as many again as it was made for.
func (f *filter) takes(n, bits int) bool {
	return len(f.bits) > 0 && f.n+uint64(n) <= uint64(len(f.bits)*8/bits*3/2)
}

// appendSpots appends spots, sorted and each once, as they are listed.
func appendSpots(dst []byte, spots []spot) []byte {
	for _, s := range spots {
		dst = binary.BigEndian.AppendUint64(dst, uint64(s))
	}
	return dst
}

// listedFrom returns the listed spots from s on.
func (t *termBlock) listedFrom(s spot) []byte {
	i := sort.Search(len(t.listed)/8, func(i int) bool { return binary.BigEndian.Uint64(t.listed[i*8:]) >= uint64(s) })
	return t.listed[i*8:]
}

// common reports whether nothing is known of the sections of a term. To be wrong
// costs a whole block, so both filters have to say so.
func (t *termBlock) common(s spot) bool {
	return t.terms.has(s|everywhere) && t.spots.has(s|everywhere)
}

// has reports whether a row of a section may have a term.
func (t *termBlock) has(s spot) bool {
	if t.terms.has(s.term()) && (len(t.ends) == 0 || t.spots.has(s) || t.common(s)) {
		return true
	}
	list := t.listedFrom(s)
	return len(list) > 0 && binary.BigEndian.Uint64(list) == uint64(s)
}

// where returns the sections in which rows may have a term.
func (t *termBlock) where(term trace.Term) (in sections) {
	s := spotOf(term, 0)
	if t.terms.has(s) {
		switch {
		case len(t.ends) == 0:
			return 1
		case t.common(s):
			return allSections
		}
		for i := range len(t.ends) + 1 {
			if t.spots.has(s | spot(i)) {
				in |= 1 << i
			}
		}
	}
	for list := t.listedFrom(s); len(list) > 0; list = list[8:] {
		l := spot(binary.BigEndian.Uint64(list))
		if l.term() != s {
			break
		}
		in |= 1 << l.section()
	}
	return in
}

// whereAll returns the sections in which rows may have what is needed.
func (t *termBlock) whereAll(need trace.Need) sections {
	in := allSections
	for _, clause := range need {
		var any sections
		for _, term := range clause {
			any |= t.where(term)
		}
		if in &= any; in == 0 {
			break
		}
	}
	return in
}

// sectionOf returns the section of a start.
func sectionOf(ends []int64, start int64) int {
	i, _ := slices.BinarySearch(ends, start)
	return i
}

// count adds what o counts; its terms are left to the caller.
func (t *termBlock) count(o *termBlock) {
	t.rows += o.rows
	t.cut |= o.cut
	t.starts = span{min(t.starts.from, o.starts.from), max(t.starts.to, o.starts.to)}
	t.lastSeq = max(t.lastSeq, o.lastSeq)
	t.tallies = addTallies(t.tallies, o.tallies)
}

// tally counts rows of a section.
func (t *termBlock) tally(section int, visible, spread int64) {
	if visible == 0 && spread == 0 {
		return
	}
	i := len(t.tallies)
	for i > 0 && t.tallies[i-1].section > section { // rows come mostly in order
		i--
	}
	if i == 0 || t.tallies[i-1].section != section {
		t.tallies = slices.Insert(t.tallies, i, tally{section, visible, spread})
		return
	}
	t.tallies[i-1].visible += visible
	t.tallies[i-1].spread += spread
}

// list adds spots, sorted and each once, to those that are listed.
func (t *termBlock) list(spots []byte) {
	switch {
	case len(spots) == 0:
		return
	case len(t.listed) == 0:
		t.listed = slices.Clone(spots)
		return
	}
	out := make([]byte, 0, len(t.listed)+len(spots))
	a, b := t.listed, spots
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

// fold puts listed spots into the filters when there is room for them, or when
// they are too many to be listed. The filters are changed in place.
func (t *termBlock) fold() {
	n := len(t.listed) / 8
	several := len(t.ends) > 0
	switch {
	case n == 0:
		return
	case n > maxTerms:
		if len(t.terms.bits) == 0 {
			t.terms = newFilter(n, termBits)
		}
		if several && len(t.spots.bits) == 0 {
			t.spots = newFilter(n, spotBits)
		}
	case !t.terms.takes(n, termBits) || several && !t.spots.takes(n, spotBits):
		return
	}
	for i := range n {
		s := spot(binary.BigEndian.Uint64(t.listed[i*8:]))
		t.terms.add(s.term())
		if several {
			t.spots.add(s)
		}
	}
	t.listed = nil
}

// fill makes filters of spots, sorted and each once, and of their terms.
func (t *termBlock) fill(spots []spot) {
	several := len(t.ends) > 0
	terms, kept := 0, make([]spot, 0, len(spots))
	for len(spots) > 0 {
		n := 1
		for n < len(spots) && spots[n].term() == spots[0].term() {
			n++
		}
		terms++
		if several && n*commonParts > len(t.ends)+1 {
			terms++
			kept = append(kept, spots[0]|everywhere)
		} else {
			kept = append(kept, spots[:n]...)
		}
		spots = spots[n:]
	}
	t.terms, t.listed = newFilter(terms, termBits), nil
	if several {
		t.spots = newFilter(len(kept), spotBits)
	}
	for _, s := range kept {
		t.terms.add(s.term())
		if several {
			t.spots.add(s)
		}
		if s.section() == everywhere {
			t.terms.add(s)
		}
	}
}

// own makes the filters and the list the block's own.
func (t *termBlock) own() {
	t.terms.bits, t.spots.bits, t.listed = slices.Clone(t.terms.bits), slices.Clone(t.spots.bits), slices.Clone(t.listed)
}

// termsMerger adds up B values.
type termsMerger struct {
	sum   termBlock
	lists [][]byte // copies of the spots listed in the values
	bytes int
}

// MergeNewer implements pebble.ValueMerger.
func (m *termsMerger) MergeNewer(value []byte) error {
	t, err := decodeTerms(value)
	if err != nil {
		return err
	}
	m.sum.count(&t)
	if len(t.ends) > 0 || len(t.terms.bits) > 0 {
		if len(m.sum.ends) > 0 || len(m.sum.terms.bits) > 0 {
			return fmt.Errorf("two filters of terms meet in a merge")
		}
		m.sum.ends = t.ends
		m.sum.terms = filter{t.terms.n, slices.Clone(t.terms.bits)}
		m.sum.spots = filter{t.spots.n, slices.Clone(t.spots.bits)}
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
