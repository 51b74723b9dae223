package pebblestore

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// blockSpans is the version of blocks with spans. A span is taken apart into the
// fields of its message. Ids and times, which hardly compress, go into columns of
// numbers, most of which are small differences; every other field is a word that
// the block has once, and of which spans give the number. The bytes of each
// span come back as they were.
const blockSpans = 3

const (
	// spanBlockTarget is blockTarget for spans: what they share is kept once a block.
	spanBlockTarget = 256 << 10
	// rawBits of each difference of times lie apart from those above them: they are
	// as good as random.
	rawBits = 16
)

// The numbers of words begin with those of fields whose values are in columns.
const (
	wordTrace uint64 = iota
	wordID
	wordParent
	wordStart
	wordEnd
	firstWord
)

// wordHeads is what stands before the value of such a field: its tag, and the length of an id.
var wordHeads = [firstWord]string{"\x0a\x10", "\x12\x08", "\x22\x08", "\x39", "\x41"}

// wordSizes is the size of the value.
var wordSizes = [firstWord]int{16, 8, 8, 8, 8}

// timeUnits are the units in which a block can give its times: the largest of which
// all are multiples, for some senders know no more.
var timeUnits = [...]uint64{1, 1_000, 1_000_000}

// spanEncoder packs blocks of version 3. It is for one goroutine.
type spanEncoder struct {
	words   map[string]uint64
	texts   []byte
	lens    []byte
	counts  []byte // words of each document
	numbers []byte // of the words
	ids     map[uint64]int32
	known   map[segment.TraceID]uint64
	parts   []spanParts
	raw     []byte // what does not compress
}

// spanParts are the fields of a document that go into columns.
type spanParts struct {
	has         [firstWord]bool
	id, parent  uint64
	start, end  uint64
	trace       segment.TraceID
	traceNumber uint64 // among the traces of the block
}

func newSpanEncoder() *spanEncoder {
	return &spanEncoder{words: make(map[string]uint64), ids: make(map[uint64]int32), known: make(map[segment.TraceID]uint64)}
}

// word notes that a document has a word.
func (e *spanEncoder) word(b []byte) {
	text := unsafe.String(unsafe.SliceData(b), len(b)) // of a document, which nobody changes
	n, ok := e.words[text]
	if !ok {
		n = firstWord + uint64(len(e.words))
		e.words[text] = n
		e.texts = append(e.texts, b...)
		e.lens = binary.AppendUvarint(e.lens, uint64(len(b)))
	}
	e.numbers = binary.AppendUvarint(e.numbers, n)
}

// column returns the number of the column that a field goes into, and its value.
func column(field []byte) (n uint64, value []byte, ok bool) {
	for n := range firstWord {
		if head := wordHeads[n]; len(field) == len(head)+wordSizes[n] && string(field[:len(head)]) == head {
			return n, field[len(head):], true
		}
	}
	return 0, nil, false
}

// take takes a document apart.
func (e *spanEncoder) take(d *blockDoc, p *spanParts) {
	*p = spanParts{}
	before := len(e.numbers)
	n := uint64(0)
	texts, lens, words := len(e.texts), len(e.lens), len(e.words)
	whole := d.format != tracestore.FormatOTLP
	if !whole {
		whole = !otlp.Fields(d.data, func(field []byte) {
			n++
			at, value, ok := column(field)
			if !ok || p.has[at] {
				e.word(field)
				return
			}
			p.has[at] = true
			e.numbers = binary.AppendUvarint(e.numbers, at)
			switch at {
			case wordTrace:
				copy(p.trace[:], value)
			case wordID:
				p.id = binary.BigEndian.Uint64(value)
			case wordParent:
				p.parent = binary.BigEndian.Uint64(value)
			case wordStart:
				p.start = binary.LittleEndian.Uint64(value)
			case wordEnd:
				p.end = binary.LittleEndian.Uint64(value)
			}
		})
	}
	if whole { // no message: one word, if any
		*p = spanParts{}
		e.numbers, e.texts, e.lens, n = e.numbers[:before], e.texts[:texts], e.lens[:lens], 0
		for text, number := range e.words {
			if number >= firstWord+uint64(words) {
				delete(e.words, text)
			}
		}
		if len(d.data) > 0 {
			e.word(d.data)
			n = 1
		}
	}
	e.counts = binary.AppendUvarint(e.counts, n)
}

// append appends the columns to dst. What does not compress is left in e.raw.
func (e *spanEncoder) append(dst []byte, docs []blockDoc) []byte {
	clear(e.words)
	clear(e.ids)
	clear(e.known)
	e.texts, e.lens, e.counts, e.numbers, e.raw = e.texts[:0], e.lens[:0], e.counts[:0], e.numbers[:0], e.raw[:0]
	if cap(e.parts) < len(docs) {
		e.parts = make([]spanParts, len(docs))
	}
	parts := e.parts[:len(docs)]
	unit := len(timeUnits) - 1
	for i := range docs {
		p := &parts[i]
		e.take(&docs[i], p)
		if p.has[wordID] {
			if _, ok := e.ids[p.id]; !ok {
				e.ids[p.id] = int32(i)
			}
		}
		for p.start%timeUnits[unit] != 0 || p.end%timeUnits[unit] != 0 {
			unit--
		}
	}
	dst = append(dst, byte(unit))
	dst = binary.AppendUvarint(dst, uint64(len(e.words)))
	dst = append(dst, e.lens...)
	dst = append(dst, e.counts...)
	dst = binary.AppendUvarint(dst, uint64(len(e.numbers)))
	dst = append(dst, e.numbers...)

	last := uint64(0)
	for i := range parts {
		p := &parts[i]
		if !p.has[wordTrace] {
			continue
		}
		n, ok := e.known[p.trace]
		if !ok {
			n = uint64(len(e.known))
			e.known[p.trace] = n
			e.raw = append(e.raw, p.trace[:]...)
		}
		p.traceNumber = n
		dst = binary.AppendVarint(dst, int64(n-last))
		last = n
	}
	for i := range parts {
		if p := &parts[i]; p.has[wordID] {
			e.raw = binary.BigEndian.AppendUint64(e.raw, p.id)
		}
	}
	for i := range parts {
		p := &parts[i]
		if !p.has[wordParent] {
			continue
		}
		if j, ok := e.ids[p.parent]; ok && int(j) != i {
			dst = binary.AppendVarint(dst, int64(j)-int64(i))
			continue
		}
		dst = append(dst, 0)
		e.raw = binary.BigEndian.AppendUint64(e.raw, p.parent)
	}
	bases := newTimeBases(len(e.known))
	for i := range parts {
		if p := &parts[i]; p.has[wordStart] {
			v := p.start / timeUnits[unit]
			dst = e.difference(dst, v-bases.of(p))
			bases.set(p, v)
		}
	}
	for i := range parts {
		if p := &parts[i]; p.has[wordEnd] {
			dst = e.difference(dst, p.end/timeUnits[unit]-p.start/timeUnits[unit])
		}
	}
	return append(dst, e.texts...)
}

// difference appends the upper bits of a signed number, and the others to e.raw.
func (e *spanEncoder) difference(dst []byte, v uint64) []byte {
	z := v<<1 ^ uint64(int64(v)>>63)
	e.raw = binary.LittleEndian.AppendUint16(e.raw, uint16(z))
	return binary.AppendUvarint(dst, z>>rawBits)
}

// timeBases are the starts that those of the next spans are likely to be near to.
type timeBases struct {
	last    uint64
	byTrace []uint64
	known   []bool
}

func newTimeBases(traces int) *timeBases {
	return &timeBases{byTrace: make([]uint64, traces), known: make([]bool, traces)}
}

func (b *timeBases) of(p *spanParts) uint64 {
	if p.has[wordTrace] && b.known[p.traceNumber] {
		return b.byTrace[p.traceNumber]
	}
	return b.last
}

func (b *timeBases) set(p *spanParts, v uint64) {
	b.last = v
	if p.has[wordTrace] {
		b.byTrace[p.traceNumber], b.known[p.traceNumber] = v, true
	}
}

// restoreSpans reads what spanEncoder.append wrote, and appends the documents to room,
// to which the data of docs then refer. It returns room.
func restoreSpans(room []byte, docs []blockDoc, r, raw *blockReader) ([]byte, error) {
	fail := func(what string) ([]byte, error) { return room, fmt.Errorf("%w: %s", errBlock, what) }
	unit := r.byte()
	if int(unit) >= len(timeUnits) {
		return fail("unit of times")
	}
	count := r.uvarint()
	if count > uint64(len(r.b)) {
		return fail("words")
	}
	words := make([][]byte, count)
	lens := make([]uint64, count)
	for i := range lens {
		lens[i] = r.uvarint()
	}
	counts := make([]uint64, len(docs))
	for i := range counts {
		counts[i] = r.uvarint()
	}
	numbers := r.take(r.uvarint())

	// What columns a document has is told by its words.
	parts := make([]spanParts, len(docs))
	all := blockReader{b: numbers}
	for i := range docs {
		for range counts[i] {
			n := all.uvarint()
			switch {
			case all.bad || n >= firstWord+count:
				return fail("number of a word")
			case n < firstWord && parts[i].has[n]:
				return fail("a field that is there twice")
			case n < firstWord:
				parts[i].has[n] = true
			}
		}
	}
	if len(all.b) != 0 {
		return fail("numbers of words")
	}
	var traces []segment.TraceID
	last := uint64(0)
	for i := range parts {
		p := &parts[i]
		if !p.has[wordTrace] {
			continue
		}
		last += uint64(r.varint())
		if last > uint64(len(traces)) {
			return fail("number of a trace")
		}
		if last == uint64(len(traces)) {
			var id segment.TraceID
			copy(id[:], raw.take(uint64(len(id))))
			traces = append(traces, id)
		}
		p.traceNumber, p.trace = last, traces[last]
	}
	for i := range parts {
		if p := &parts[i]; p.has[wordID] {
			p.id = raw.uint64()
		}
	}
	for i := range parts {
		p := &parts[i]
		if !p.has[wordParent] {
			continue
		}
		step := r.varint()
		if step == 0 {
			p.parent = raw.uint64()
			continue
		}
		if step < -int64(i) || step >= int64(len(parts)-i) || !parts[i+int(step)].has[wordID] {
			return fail("a parent")
		}
		p.parent = parts[i+int(step)].id
	}
	difference := func() uint64 {
		low := raw.take(2)
		if low == nil {
			return 0
		}
		z := r.uvarint()<<rawBits | uint64(binary.LittleEndian.Uint16(low))
		return z>>1 ^ -(z & 1)
	}
	bases := newTimeBases(len(traces))
	for i := range parts {
		if p := &parts[i]; p.has[wordStart] {
			v := bases.of(p) + difference()
			bases.set(p, v)
			p.start = v * timeUnits[unit]
		}
	}
	for i := range parts {
		if p := &parts[i]; p.has[wordEnd] {
			p.end = (p.start/timeUnits[unit] + difference()) * timeUnits[unit]
		}
	}
	for i := range words {
		words[i] = r.take(lens[i])
	}
	if r.bad || raw.bad {
		return fail("contents")
	}

	all.b = numbers
	ends := make([]int, len(docs))
	for i := range docs {
		p := &parts[i]
		for range counts[i] {
			n := all.uvarint()
			if n >= firstWord {
				room = append(room, words[n-firstWord]...)
				continue
			}
			room = append(room, wordHeads[n]...)
			switch n {
			case wordTrace:
				room = append(room, p.trace[:]...)
			case wordID:
				room = binary.BigEndian.AppendUint64(room, p.id)
			case wordParent:
				room = binary.BigEndian.AppendUint64(room, p.parent)
			case wordStart:
				room = binary.LittleEndian.AppendUint64(room, p.start)
			case wordEnd:
				room = binary.LittleEndian.AppendUint64(room, p.end)
			}
		}
		if ends[i] = len(room); len(room) > maxBlock {
			return fail("size")
		}
	}
	from := 0
	for i, end := range ends {
		docs[i].data = room[from:end:end]
		from = end
	}
	return room, nil
}
