package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// spanBytes makes a Span message: n says which of its trace, a parent of 0 is left out.
func spanBytes(rng *rand.Rand, id segment.TraceID, span, parent, start, end uint64) []byte {
	var b []byte
	add := func(num, typ int) { b = binary.AppendUvarint(b, uint64(num)<<3|uint64(typ)) }
	text := func(num int, s []byte) {
		add(num, 2)
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	text(1, id[:])
	text(2, binary.BigEndian.AppendUint64(nil, span))
	if parent != 0 {
		text(4, binary.BigEndian.AppendUint64(nil, parent))
	}
	text(5, fmt.Appendf(nil, "GET /api/%d", rng.IntN(5)))
	add(6, 0)
	b = append(b, byte(1+rng.IntN(5)))
	add(7, 1)
	b = binary.LittleEndian.AppendUint64(b, start)
	add(8, 1)
	b = binary.LittleEndian.AppendUint64(b, end)
	for range rng.IntN(5) {
		text(9, fmt.Appendf(nil, "\x0a\x03key\x12\x05\x0a\x03v%02d", rng.IntN(30)))
	}
	text(15, nil)
	return b
}

// spanDocs makes documents of n traces of ten spans, as a batch has them: with times
// that are multiples of unit.
func spanDocs(rng *rand.Rand, n int, unit uint64) []blockDoc {
	var docs []blockDoc
	for t := range n {
		var id segment.TraceID
		binary.BigEndian.PutUint64(id[:], rng.Uint64())
		binary.BigEndian.PutUint64(id[8:], rng.Uint64())
		start := (1_790_000_000_000_000_000 + rng.Uint64N(1e12)) / unit * unit
		spans := make([]uint64, 10)
		for k := range spans {
			spans[k] = rng.Uint64() | 1
		}
		for k := range spans {
			parent := uint64(0)
			switch {
			case rng.IntN(20) == 0:
				parent = rng.Uint64() | 1 // of another process
			case k > 0:
				parent = spans[rng.IntN(len(spans))] // which may come later, or be the span itself
			}
			docs = append(docs, blockDoc{
				seq: uint64(t*10 + k + 1), put: uint64(t/3 + 1), received: 1_790_000_000_000 + int64(t), format: tracestore.FormatOTLP,
				source: someSources[rng.IntN(len(someSources))],
				data:   spanBytes(rng, id, spans[k], parent, start+rng.Uint64N(1e8)/unit*unit, start+rng.Uint64N(1e9)/unit*unit),
			})
		}
	}
	return docs
}

func sameDocs(t *testing.T, got, want []blockDoc) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d documents came back as %d", len(want), len(got))
	}
	for i := range got {
		g, w := &got[i], &want[i]
		if err := g.verify(); err != nil {
			t.Errorf("document %d: %v", i, err)
		}
		if !bytes.Equal(g.data, w.data) || !bytes.Equal(g.source, w.source) || g.seq != w.seq || g.put != w.put || g.received != w.received || g.format != w.format {
			t.Fatalf("document %d came back as\n%x, source %q, seq %d, put %d, received %d, format %d instead of\n%x, source %q, seq %d, put %d, received %d, format %d",
				i, g.data, g.source, g.seq, g.put, g.received, g.format, w.data, w.source, w.seq, w.put, w.received, w.format)
		}
	}
}

// TestSpansComeBackAsTheyWere packs spans, odd ones and what is none, in all orders, and
// compares what comes out byte by byte.
func TestSpansComeBackAsTheyWere(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	e := newBlockEncoder()
	odd := [][]byte{
		nil, {}, {0x0a}, []byte("no message at all"), bytes.Repeat([]byte{0x0a, 0x10}, 9), {0x08, 0x01},
		[]byte("\x12\x08aaaaaaaa\x12\x08bbbbbbbb\x0a\x10cccccccccccccccc"),                 // an id twice, in another order
		[]byte("\x0a\x90\x00cccccccccccccccc\x12\x07aaaaaaa\x22\x00"),                      // a length in two bytes, ids of other lengths
		[]byte("\x39\xff\xff\xff\xff\xff\xff\xff\xff"),                                     // a start alone, as late as can be
		[]byte("\x41\xff\xff\xff\xff\xff\xff\xff\xff"),                                     // an end alone
		[]byte("\x39\x00\x00\x00\x00\x00\x00\x00\x80\x41\x01\x00\x00\x00\x00\x00\x00\x00"), // an end before the start
		[]byte("\x12\x08aaaaaaaa\x22\x08aaaaaaaa"),                                         // its own parent
		[]byte("\x22\x08aaaaaaaa"),
	}
	for round := range 200 {
		docs := spanDocs(rng, 1+rng.IntN(20), timeUnits[round%len(timeUnits)])
		if round%2 == 1 {
			for range rng.IntN(20) {
				d := &docs[rng.IntN(len(docs))]
				d.data = odd[rng.IntN(len(odd))]
				if rng.IntN(2) == 0 {
					d.format = tracestore.FormatXRay
				}
			}
			rng.Shuffle(len(docs), func(i, j int) { docs[i].data, docs[j].data = docs[j].data, docs[i].data })
		}
		got, err := decodeBlock(e.append(nil, docs))
		if err != nil {
			t.Fatal(err)
		}
		sameDocs(t, got, docs)
	}
}

// TestSpansTakeLittle holds what a span takes to what cannot be had for less, its ids and
// times, and a little more.
func TestSpansTakeLittle(t *testing.T) {
	docs := spanDocs(rand.New(rand.NewPCG(1, 2)), 50, 1)
	value := newBlockEncoder().append(nil, docs)
	if got := len(value) / len(docs); got > 26 {
		t.Errorf("a span takes %d bytes", got)
	}
	inMillis := newBlockEncoder().append(nil, spanDocs(rand.New(rand.NewPCG(1, 2)), 50, 1_000_000))
	if len(inMillis) > len(value)-len(docs) {
		t.Errorf("times in milliseconds take %d bytes, times in nanoseconds %d", len(inMillis), len(value))
	}
}

func TestDamagedSpans(t *testing.T) {
	value := newBlockEncoder().append(nil, spanDocs(rand.New(rand.NewPCG(3, 4)), 1, 1))
	for bit := range len(value) * 8 {
		damaged := bytes.Clone(value)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeBlock(damaged); !errors.Is(err, errBlock) {
			t.Fatalf("bit %d: %v, want errBlock", bit, err)
		}
	}
	for n := range value {
		if _, err := decodeBlock(value[:n]); !errors.Is(err, errBlock) {
			t.Errorf("the first %d of %d bytes: %v, want errBlock", n, len(value), err)
		}
	}
}

// TestMemoryOfSpans decodes blocks into the memory of each other: nothing of one may be
// seen in another.
func TestMemoryOfSpans(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	e := newBlockEncoder()
	first, second := spanDocs(rng, 20, 1), spanDocs(rng, 3, 1)
	a, room, err := decodeBlockInto(nil, e.append(nil, first))
	if err != nil {
		t.Fatal(err)
	}
	sameDocs(t, a, first)
	b, again, err := decodeBlockInto(room, e.append(nil, second))
	if err != nil || &again[0] != &room[0] {
		t.Fatalf("%v; the memory was used: %v", err, &again[0] == &room[0])
	}
	sameDocs(t, b, second)
	if c, err := decodeBlock(e.append(nil, first)); err != nil || len(c) != len(first) {
		t.Fatal(err)
	}
	sameDocs(t, b, second)
}

// FuzzSpans reads arbitrary columns, without the checksum that guards them, and packs
// arbitrary documents.
func FuzzSpans(f *testing.F) {
	e := newSpanEncoder()
	docs := spanDocs(rand.New(rand.NewPCG(7, 8)), 1, 1)
	f.Add(uint8(len(docs)), e.append(nil, docs), bytes.Clone(e.raw))
	f.Add(uint8(1), []byte{0, 0, 1, 1, 0}, []byte{})
	f.Fuzz(func(t *testing.T, n uint8, columns, raw []byte) {
		read := func(columns, raw []byte) ([]blockDoc, error) {
			docs := make([]blockDoc, n)
			for i := range docs {
				docs[i].format = tracestore.FormatOTLP
			}
			_, err := restoreSpans(nil, docs, &blockReader{b: columns}, &blockReader{b: raw})
			return docs, err
		}
		if docs, err := read(columns, raw); err == nil {
			e := newSpanEncoder()
			again, err := read(e.append(nil, docs), e.raw)
			if err != nil {
				t.Fatal(err)
			}
			sameText(t, again, docs)
		} else if !errors.Is(err, errBlock) {
			t.Fatalf("error %v does not match errBlock", err)
		}
		// Every byte string is a document.
		docs := make([]blockDoc, n)
		for i := range docs {
			docs[i].format = tracestore.FormatOTLP
			docs[i].data = columns[min(i, len(columns)):]
		}
		e := newSpanEncoder()
		back, err := read(e.append(nil, docs), e.raw)
		if err != nil {
			t.Fatal(err)
		}
		sameText(t, back, docs)
	})
}

func sameText(t *testing.T, got, want []blockDoc) {
	t.Helper()
	for i := range got {
		if !bytes.Equal(got[i].data, want[i].data) {
			t.Fatalf("document %d came back as %x instead of %x", i, got[i].data, want[i].data)
		}
	}
}

func TestColumnsOfFields(t *testing.T) {
	for field, want := range map[string]uint64{
		"\x0a\x10aaaaaaaaaaaaaaaa": wordTrace, "\x12\x08aaaaaaaa": wordID, "\x22\x08aaaaaaaa": wordParent,
		"\x39aaaaaaaa": wordStart, "\x41aaaaaaaa": wordEnd, "\x0a\x0faaaaaaaaaaaaaaa": firstWord, "": firstWord, "\x30\x02": firstWord,
	} {
		got, value, ok := column([]byte(field))
		if !ok {
			got = firstWord
		}
		if got != want || ok && !reflect.DeepEqual(value, bytes.Repeat([]byte("a"), wordSizes[want])) {
			t.Errorf("%x is of column %d with the value %q, want %d", field, got, value, want)
		}
	}
}
