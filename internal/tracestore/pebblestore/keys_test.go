package pebblestore

import (
	"bytes"
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

var someID = segment.TraceID{0x5a, 0x3e, 0, 1, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab}

// TestGoldenKeys holds every key and small value to the bytes that docs/format/store.md gives.
func TestGoldenKeys(t *testing.T) {
	p := part{id: 3, created: 1790000000123, firstSeq: 17, docs: 5, bytes: 900, counted: 21, traces: 2,
		starts: span{-1, 2}, changes: span{1790000000000, 1790000000001}, ends: noSpan}
	mark := rolledMark{w: 21, put: 9, seconds: 1789992780, held: []heldMark{{someID, 20}}}
	block := termBlock{
		rows: 7, cut: 1 << 1, starts: span{-1, 2}, lastSeq: 150, ends: []int64{-1}, tallies: []tally{{0, 3, 0}, {1, -2, 1}},
		terms: newFilter(1, termBits), spots: newFilter(1, spotBits), listed: appendSpots(nil, []spot{spotOf(0x80, 0), spotOf(0x80, 1)}),
	}
	block.terms.add(spotOf(0x0123456789abcdef, 0))
	block.spots.add(spotOf(0x0123456789abcdef, 1))
	cell := servicegraph.Key{From: servicegraph.Node{Kind: servicegraph.KindReported}}
	cell.From.Name = "ab"
	const id = "5a3e0001a0a1a2a3a4a5a6a7a8a9aaab"
	for _, c := range []struct {
		name string
		got  []byte
		want string
	}{
		{"D", appendDocKey(nil, 3, 21), "44" + "0003" + "0000000000000015"},
		{"T", appendTraceKey(nil, 3, someID, 17), "54" + "0003" + id + "0000000000000011"},
		{"T value", appendSeqs(nil, 17, []uint64{18, 400}), "01" + "fe02"},
		{"T value of one document", appendSeqs(nil, 17, nil), ""},
		{"S", appendIndexKey(nil, tagRow, 3, 1, someID), "53" + "0003" + "8000000000000001" + id},
		{"S before 1970", appendIndexKey(nil, tagRow, 3, -1, someID), "53" + "0003" + "7fffffffffffffff" + id},
		{"E", appendIndexKey(nil, tagChange, 3, 1790000000001, someID), "45" + "0003" + "800001a0c4506c01" + id},
		{"V", appendIndexKey(nil, tagEnd, 3, 29833333, someID), "56" + "0003" + "8000000001c73875" + id},
		{"L", appendLinkKey(nil, 3, someID), "4c" + "0003" + id},
		{"E and V value", (&rowKeys{start: 1, flags: rowCut | rowHidden}).indexValue(nil), "8000000000000001" + "06"},
		{"B", appendPlaceKey(nil, tagTerms, 3, place{1, someID}), "42" + "0003" + "8000000000000001" + id},
		{"B of the last block", appendPlaceKey(nil, tagTerms, 3, lastPlace), "42" + "0003" + "ffffffffffffffff" + "ffffffffffffffffffffffffffffffff"},
		{"B value", block.append(nil), "02" + "0e" + "02" + "ffffffffffffffff" + "0000000000000002" + "9601" + "01" + "01" + "02" + "000600" + "010302" +
			"01" + "01" + "2142000084100000" + "01" + "01" + "0000000080542900" + "0000000000000080" + "0000000000000081"},
		{"G", appendCellKey(bucketRef{3, tierHour, 1789992000, tracestore.GroupRef{Group: 7, Version: 2}}, cell.AppendBinary(nil)),
			"47" + "0003" + "02" + "800000006ab11c40" + "00000007" + "00000002" + "01" + "02" + "6162" + "00" + "00"},
		{"Q", appendLetterKey(nil, 258), "51" + "0000000000000102"},
		{"W", rolledKey, "57"},
		{"W value", mark.append(nil), "02" + "0000000000000015" + "0000000000000009" + "000000006ab11f4c" + id + "0000000000000014"},
		{"M of the format", formatKey, "4d46"},
		{"M of a part", appendPartKey(nil, 3), "4d50" + "0003"},
		{"M value of a part", p.append(nil), "01" + "000001a0c4506c7b" + "0000000000000011" + "0000000000000005" + "0000000000000384" +
			"0000000000000015" + "0000000000000002" + "ffffffffffffffff" + "0000000000000002" +
			"000001a0c4506c00" + "000001a0c4506c01" + "7fffffffffffffff" + "8000000000000000"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	back, err := decodePart(appendPartKey(nil, 3), p.append(nil))
	if err != nil || back != p {
		t.Errorf("part read back: %+v, %v; want %+v", back, err, p)
	}
	m, err := decodeRolled(mark.append(nil))
	if err != nil || m.w != mark.w || m.put != mark.put || m.seconds != mark.seconds || !slices.Equal(m.held, mark.held) {
		t.Errorf("mark read back: %+v, %v; want %+v", m, err, mark)
	}
}

func TestKeysReadBack(t *testing.T) {
	for _, v := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		part, got, id, ok := decodeIndexKey(appendIndexKey(nil, tagEnd, 65535, v, someID))
		if !ok || part != 65535 || got != v || id != someID {
			t.Errorf("index key of %d: %d, %d, %s, %v", v, part, got, id, ok)
		}
	}
	part, id, seq, ok := decodeTraceKey(appendTraceKey(nil, 7, someID, math.MaxUint64))
	if !ok || part != 7 || id != someID || seq != math.MaxUint64 {
		t.Errorf("T key: %d, %s, %d, %v", part, id, seq, ok)
	}
	seqs, err := decodeSeqs(nil, 17, appendSeqs(nil, 17, []uint64{18, 19, 5000}))
	if err != nil || !slices.Equal(seqs, []uint64{17, 18, 19, 5000}) {
		t.Errorf("seqs: %v, %v", seqs, err)
	}
	for _, bad := range []string{"00", "80", "ffffffffffffffffff01"} {
		value, _ := hex.DecodeString(bad)
		if seqs, err := decodeSeqs(nil, 17, value); err == nil {
			t.Errorf("seqs of %s: %v, want an error", bad, seqs)
		}
	}
	for _, key := range [][]byte{nil, {tagDocs}, make([]byte, docKeyLen), make([]byte, 100)} {
		if _, _, ok := decodeDocKey(key); ok {
			t.Errorf("%x is taken for a D key", key)
		}
	}
}

// TestKeyOrder checks that the bytes of keys order as their meaning does, and that
// the prefixes that Bloom filters know obey the rules of Pebble's comparer.
func TestKeyOrder(t *testing.T) {
	low, high := segment.TraceID{1}, segment.TraceID{2}
	ref := tracestore.GroupRef{Group: 1}
	ordered := [][]byte{
		appendPlaceKey(nil, tagTerms, 0, place{5, high}), appendPlaceKey(nil, tagTerms, 0, lastPlace), appendPlaceKey(nil, tagTerms, 1, place{-5, low}),
		appendDocKey(nil, 0, 9), appendDocKey(nil, 0, 256), appendDocKey(nil, 1, 1),
		appendIndexKey(nil, tagChange, 0, -5, high), appendIndexKey(nil, tagChange, 0, 5, low),
		appendCellKey(bucketRef{0, tierSecond, 60, ref}, []byte{1}), appendCellKey(bucketRef{0, tierMinute, 0, ref}, []byte{1}),
		appendCellKey(bucketRef{0, tierMinute, 60, tracestore.GroupRef{}}, []byte{2}), appendCellKey(bucketRef{0, tierMinute, 60, ref}, []byte{1}),
		appendCellKey(bucketRef{1, tierSecond, -1, ref}, []byte{1}),
		appendLinkKey(nil, 0, low),
		formatKey, appendPartKey(nil, 0), appendPartKey(nil, 256),
		appendLetterKey(nil, 1), appendLetterKey(nil, 256),
		appendIndexKey(nil, tagRow, 0, math.MinInt64, low), appendIndexKey(nil, tagRow, 0, -1, low), appendIndexKey(nil, tagRow, 0, -1, high),
		appendIndexKey(nil, tagRow, 0, 0, low), appendIndexKey(nil, tagRow, 1, -9, low),
		appendTracePrefix(nil, 0, low), appendTraceKey(nil, 0, low, 1), appendTraceKey(nil, 0, low, 256), appendTraceKey(nil, 0, high, 1),
		appendTraceKey(nil, 1, low, 1),
		appendIndexKey(nil, tagEnd, 0, -1, low), appendIndexKey(nil, tagEnd, 0, 1, low),
		rolledKey,
	}
	for i, a := range ordered {
		if i > 0 && keyComparer.Compare(ordered[i-1], a) >= 0 {
			t.Errorf("key %d %x does not come before %x", i-1, ordered[i-1], a)
		}
		n := keyComparer.Split(a)
		if n > len(a) || keyComparer.Split(a[:n]) != n {
			t.Errorf("key %x has the prefix %d, and that %d", a, n, keyComparer.Split(a[:n]))
		}
		for _, b := range ordered[i:] {
			m := keyComparer.Split(b)
			if bytes.Compare(a[:n], b[:m]) > 0 {
				t.Errorf("the prefix of %x comes after that of %x", a, b)
			}
		}
	}
	if got := keyComparer.Split(appendTraceKey(nil, 0, low, 1)); got != traceLen {
		t.Errorf("prefix of a T key has %d bytes, want %d", got, traceLen)
	}
	for _, part := range []uint16{0, 255, 65535} {
		lower, upper := partSpan(tagRow, part)
		for _, v := range []int64{math.MinInt64, math.MaxInt64} {
			key := appendIndexKey(nil, tagRow, part, v, maxID)
			if bytes.Compare(key, lower) < 0 || bytes.Compare(key, upper) >= 0 {
				t.Errorf("key %x lies outside of its part %x-%x", key, lower, upper)
			}
		}
	}
}

func TestMinuteStart(t *testing.T) {
	const lowest, highest = math.MinInt64 / minute, math.MaxInt64 / minute
	for _, c := range []struct{ m, first, last int64 }{
		{0, 0, minute - 1},
		{-1, -minute, -1},
		{29833333, 29833333 * minute, 29833334*minute - 1},
		{lowest - 1, math.MinInt64, lowest*minute - 1},
		{lowest, lowest * minute, (lowest+1)*minute - 1},
		{highest, highest * minute, math.MaxInt64},
		{highest + 1, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{math.MinInt64, math.MinInt64, math.MinInt64},
	} {
		if first, last := minuteStart(c.m); first != c.first || last != c.last {
			t.Errorf("minute %d: %d to %d, want %d to %d", c.m, first, last, c.first, c.last)
		}
	}
}

func TestIDFilter(t *testing.T) {
	f := newIDFilter()
	id := func(n uint64) (id segment.TraceID) {
		// Ids that differ in few bits: the filter must mix them itself.
		for i := range 8 {
			id[8+i] = byte(n >> (56 - 8*i))
		}
		return id
	}
	if !f.has(id(1)) {
		t.Error("a filter that is not ready says no")
	}
	f.ready.Store(true)
	if f.has(id(1)) {
		t.Error("an empty filter says yes")
	}
	const n = 200_000
	for i := range uint64(n) {
		f.add(id(i))
	}
	wrong := 0
	for i := range uint64(n) {
		if !f.has(id(i)) {
			t.Fatalf("id %d was added, the filter says no", i)
		}
		if f.has(id(n + i)) {
			wrong++
		}
	}
	if wrong > n/20 {
		t.Errorf("%d of %d ids that were not added are said to be there, want less than 5%%", wrong, n)
	}
}
