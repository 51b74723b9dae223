package pebblestore

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

func someDocs(n, size int) []blockDoc {
	rng := rand.New(rand.NewPCG(7, 7))
	docs := make([]blockDoc, n)
	for i := range docs {
		docs[i] = blockDoc{
			seq: uint64(100 + i*i), put: uint64(40 + i/3), received: 1790000000000 + rng.Int64N(5000) - 2500,
			format: tracestore.Format(i % 2), source: someSources[i%len(someSources)], data: []byte(strings.Repeat("habicht ", size/8) + string(rune('a'+i%26))),
		}
	}
	return docs
}

var someSources = [][]byte{nil, []byte("a source"), []byte("another"), []byte("a source")}

func TestBlocksReadBack(t *testing.T) {
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	e := newBlockEncoder()
	for name, docs := range map[string][]blockDoc{
		"one":         someDocs(1, 80),
		"many":        someDocs(300, 300),
		"large":       someDocs(2, 3<<20),
		"empty texts": {{seq: 1}, {seq: 2, data: []byte{}}},
		"noise":       {{seq: math.MaxUint64, put: math.MaxUint64, received: math.MinInt64, data: noise}},
		"far apart":   {{seq: 1, put: 9, received: math.MaxInt64}, {seq: math.MaxUint64, put: 1, received: math.MinInt64, data: []byte("x")}},
	} {
		value := e.append([]byte("before"), docs)[len("before"):]
		if want := byte(codecPlain); name == "noise" && value[1] != want {
			t.Errorf("%s: codec %d, want %d for what does not compress", name, value[1], want)
		}
		got, err := decodeBlock(value)
		if err != nil || len(got) != len(docs) {
			t.Errorf("%s: %d documents, %v; want %d", name, len(got), err, len(docs))
			continue
		}
		for i := range got {
			if err := got[i].verify(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			g, w := got[i], docs[i]
			if !bytes.Equal(g.data, w.data) || !bytes.Equal(g.source, w.source) || g.seq != w.seq || g.put != w.put || g.received != w.received || g.format != w.format {
				t.Errorf("%s: document %d came back as seq %d, put %d, received %d, format %d, %d bytes", name, i, g.seq, g.put, g.received, g.format, len(g.data))
			}
		}
	}
}

// TestDamagedBlocks flips every bit of a block: each flip is noticed, by the block or
// by the checksum of a document, or changes nothing.
func TestDamagedBlocks(t *testing.T) {
	docs := someDocs(5, 60)
	value := newBlockEncoder().append(nil, docs)
	same := 0
	for bit := range len(value) * 8 {
		damaged := bytes.Clone(value)
		damaged[bit/8] ^= 1 << (bit % 8)
		got, err := decodeBlock(damaged)
		if err != nil {
			continue
		}
		noticed := len(got) != len(docs)
		for i := range got {
			noticed = noticed || got[i].verify() != nil
		}
		if !noticed {
			for i := range got {
				got[i].sum = 0
			}
			if !reflect.DeepEqual(got, docs) {
				t.Fatalf("bit %d: damage went unnoticed", bit)
			}
			same++
		}
	}
	if same > len(value)*8/50 {
		t.Errorf("%d of %d flips changed nothing: is the whole block read?", same, len(value)*8)
	}
	for n := range value {
		if _, err := decodeBlock(value[:n]); !errors.Is(err, errBlock) {
			t.Errorf("the first %d of %d bytes: %v, want errBlock", n, len(value), err)
		}
	}
}

func FuzzBlock(f *testing.F) {
	e := newBlockEncoder()
	f.Add([]byte{})
	f.Add([]byte{blockVersion, codecPlain, 1, 1})
	f.Add([]byte{blockVersion, codecPlain, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add(e.append(nil, someDocs(1, 10)))
	f.Add(e.append(nil, someDocs(40, 100)))
	f.Add(e.append(nil, []blockDoc{{seq: 3, data: []byte{1, 2, 3}}}))
	f.Add([]byte{blockSources, codecPlain, 10, 1, 1, 0, 0, 1, 0xff, 0x7f, 1, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		docs, err := decodeBlock(value)
		if err != nil {
			if !errors.Is(err, errBlock) {
				t.Fatalf("error %v does not match errBlock", err)
			}
			return
		}
		// What can be read can be written and read again.
		back, err := decodeBlock(newBlockEncoder().append(nil, docs))
		if err != nil || len(back) != len(docs) {
			t.Fatalf("%d documents came back as %d, %v", len(docs), len(back), err)
		}
		for i := range docs {
			if !bytes.Equal(back[i].data, docs[i].data) || !bytes.Equal(back[i].source, docs[i].source) || back[i].seq != docs[i].seq || back[i].put != docs[i].put || back[i].received != docs[i].received {
				t.Fatalf("document %d came back different", i)
			}
		}
	})
}

// FuzzStored reads arbitrary bytes as every other value that is stored.
func FuzzStored(f *testing.F) {
	p := newPart(1, 2, 3)
	f.Add([]byte{tagMeta, metaPart, 0, 1}, p.append(nil))
	f.Add(rolledKey, (&rolledMark{w: 1, held: []heldMark{{someID, 1}}}).append(nil))
	f.Add(appendLetterKey(nil, 1), appendLetter(nil, &tracestore.DeadLetter{Source: "udp", Document: []byte("{")}))
	f.Add(appendTraceKey(nil, 1, someID, 5), appendSeqs(nil, 5, []uint64{6, 9}))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if p, err := decodePart(key, value); err == nil && !bytes.Equal(p.append(nil), value) {
			t.Errorf("part %x came back as %x", value, p.append(nil))
		}
		if m, err := decodeRolled(value); err == nil && !bytes.Equal(m.append(nil), value) {
			t.Errorf("mark %x came back as %x", value, m.append(nil))
		}
		if l, err := decodeLetter(key, value); err == nil {
			back, err := decodeLetter(key, appendLetter(nil, &l))
			if err != nil || !reflect.DeepEqual(back, l) {
				t.Errorf("letter %+v came back as %+v, %v", l, back, err)
			}
		}
		if seqs, err := decodeSeqs(nil, 5, value); err == nil && !isSorted(seqs) {
			t.Errorf("seqs %v do not grow", seqs)
		}
	})
}

func isSorted(seqs []uint64) bool {
	for i := 1; i < len(seqs); i++ {
		if seqs[i] <= seqs[i-1] {
			return false
		}
	}
	return true
}
