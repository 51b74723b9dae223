package pebblestore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// The first byte of every key says what it is.
const (
	tagTerms   = 'B' // part, last place: what the rows up to there have
	tagDocs    = 'D' // part, last seq: a block of documents
	tagChange  = 'E' // part, change, trace id: start
	tagGraph   = 'G' // part, tier, bucket, group, cell: what was observed
	tagLink    = 'L' // home part, trace id: documents lie in later parts too
	tagWord    = 'N' // part, n: a word of the rows
	tagMeta    = 'M' // format version, parts
	tagLetter  = 'Q' // n: a dead letter
	tagRow     = 'S' // part, start, trace id: the row of a trace
	tagTrace   = 'T' // part, trace id, seq: seqs of one commit
	tagEnd     = 'V' // part, end minute, trace id: start
	tagRolled  = 'W' // the views hold everything up to here
	metaFormat = 'F' // second byte of M: versions
	metaPart   = 'P' // second byte of M: a part follows
)

const (
	idLen     = 16
	docKeyLen = 1 + 2 + 8
	traceLen  = 1 + 2 + idLen // prefix of a T key
	indexLen  = 1 + 2 + 8 + idLen
)

// keyComparer orders keys by their bytes. Its Split makes the part and trace id
// of a T key the prefix that Bloom filters are asked for; the prefix of the other keys is
// their tag and part, so that they take next to no room in the filters.
var keyComparer = func() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "roentgen.store.v1"
	c.Split = splitKey
	c.ImmediateSuccessor = func(dst, a []byte) []byte { return append(append(dst, a...), 0) }
	c.FormatKey = func(key []byte) fmt.Formatter { return keyFormatter(key) }
	return &c
}()

func splitKey(key []byte) int {
	n := 3
	if len(key) > 0 && key[0] == tagTrace {
		n = traceLen
	}
	return min(n, len(key))
}

type keyFormatter []byte

func (k keyFormatter) Format(s fmt.State, _ rune) {
	if len(k) == 0 {
		fmt.Fprint(s, "(empty)")
		return
	}
	fmt.Fprintf(s, "%c/%x", k[0], []byte(k[1:]))
}

// ordered maps signed numbers to unsigned ones of the same order.
func ordered(v int64) uint64   { return uint64(v) ^ 1<<63 }
func unordered(v uint64) int64 { return int64(v ^ 1<<63) }

func appendPart(dst []byte, tag byte, part uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, tag), part)
}

func appendDocKey(dst []byte, part uint16, lastSeq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPart(dst, tagDocs, part), lastSeq)
}

func appendTracePrefix(dst []byte, part uint16, id segment.TraceID) []byte {
	return append(appendPart(dst, tagTrace, part), id[:]...)
}

func appendTraceKey(dst []byte, part uint16, id segment.TraceID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendTracePrefix(dst, part, id), seq)
}

// appendIndexKey makes an S, E or V key: v is a start, a change or an end minute.
func appendIndexKey(dst []byte, tag byte, part uint16, v int64, id segment.TraceID) []byte {
	dst = binary.BigEndian.AppendUint64(appendPart(dst, tag, part), ordered(v))
	return append(dst, id[:]...)
}

// place is where a row stands in a part.
type place struct {
	start int64
	id    segment.TraceID
}

var lastPlace = place{math.MaxInt64, maxID}

func (p place) compare(o place) int {
	if c := cmp.Compare(p.start, o.start); c != 0 {
		return c
	}
	return compareIDs(p.id, o.id)
}

// appendPlaceKey makes the S or B key of a place.
func appendPlaceKey(dst []byte, tag byte, part uint16, p place) []byte {
	return appendIndexKey(dst, tag, part, p.start, p.id)
}

// appendBucketKey makes the beginning of the G keys of a bucket, which is given by
// its first second.
func appendBucketKey(dst []byte, part uint16, t tier, bucket int64) []byte {
	return binary.BigEndian.AppendUint64(append(appendPart(dst, tagGraph, part), byte(t)), ordered(bucket))
}

// appendGroupKey makes the beginning of the G keys of a group in a bucket.
func appendGroupKey(dst []byte, part uint16, t tier, bucket int64, ref tracestore.GroupRef) []byte {
	dst = binary.BigEndian.AppendUint32(appendBucketKey(dst, part, t, bucket), ref.Group)
	return binary.BigEndian.AppendUint32(dst, ref.Version)
}

const (
	bucketLen = 1 + 2 + 1 + 8   // of the beginning of G keys up to the bucket
	groupLen  = bucketLen + 2*4 // up to the version of the group
)

// decodeGraphKey decodes a G key but for what it is of.
func decodeGraphKey(key []byte) (part uint16, t tier, bucket int64, ref tracestore.GroupRef, cell []byte, ok bool) {
	if len(key) <= groupLen || key[0] != tagGraph || key[3] >= byte(tiersEnd) {
		return 0, 0, 0, ref, nil, false
	}
	ref.Group = binary.BigEndian.Uint32(key[bucketLen:])
	ref.Version = binary.BigEndian.Uint32(key[bucketLen+4:])
	return binary.BigEndian.Uint16(key[1:]), tier(key[3]), unordered(binary.BigEndian.Uint64(key[4:])), ref, key[groupLen:], true
}

var (
	errGraphKey = errors.New("not a key of the graph")
	errTermsKey = errors.New("not a key of a block of terms")
)

func appendLinkKey(dst []byte, part uint16, id segment.TraceID) []byte {
	return append(appendPart(dst, tagLink, part), id[:]...)
}

func appendLetterKey(dst []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, tagLetter), n)
}

func appendPartKey(dst []byte, part uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, tagMeta, metaPart), part)
}

var (
	formatKey = []byte{tagMeta, metaFormat}
	rolledKey = []byte{tagRolled}
)

// partSpan returns the bounds [lower, upper) of all keys of a tag and part.
func partSpan(tag byte, part uint16) (lower, upper []byte) {
	lower = appendPart(nil, tag, part)
	if part == math.MaxUint16 {
		return lower, []byte{tag + 1}
	}
	return lower, appendPart(nil, tag, part+1)
}

// tagSpan returns the bounds [lower, upper) of all keys of a tag.
func tagSpan(tag byte) (lower, upper []byte) { return []byte{tag}, []byte{tag + 1} }

func decodeDocKey(key []byte) (part uint16, lastSeq uint64, ok bool) {
	if len(key) != docKeyLen || key[0] != tagDocs {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(key[1:]), binary.BigEndian.Uint64(key[3:]), true
}

func decodeTraceKey(key []byte) (part uint16, id segment.TraceID, seq uint64, ok bool) {
	if len(key) != traceLen+8 || key[0] != tagTrace {
		return 0, id, 0, false
	}
	copy(id[:], key[3:])
	return binary.BigEndian.Uint16(key[1:]), id, binary.BigEndian.Uint64(key[traceLen:]), true
}

func decodeIndexKey(key []byte) (part uint16, v int64, id segment.TraceID, ok bool) {
	if len(key) != indexLen {
		return 0, 0, id, false
	}
	copy(id[:], key[11:])
	return binary.BigEndian.Uint16(key[1:]), unordered(binary.BigEndian.Uint64(key[3:])), id, true
}

func decodeLinkKey(key []byte) (part uint16, id segment.TraceID, ok bool) {
	if len(key) != traceLen || key[0] != tagLink {
		return 0, id, false
	}
	copy(id[:], key[3:])
	return binary.BigEndian.Uint16(key[1:]), id, true
}

// appendSeqs appends the value of a T key: the steps from first through the
// further seqs, which grow.
func appendSeqs(dst []byte, first uint64, further []uint64) []byte {
	for _, s := range further {
		dst = binary.AppendUvarint(dst, s-first)
		first = s
	}
	return dst
}

// decodeSeqs appends first and the seqs that value adds to dst.
func decodeSeqs(dst []uint64, first uint64, value []byte) ([]uint64, error) {
	dst = append(dst, first)
	for len(value) > 0 {
		step, n := binary.Uvarint(value)
		if n <= 0 || step == 0 || first+step < first {
			return dst, fmt.Errorf("seqs of a trace: bad step %x", value)
		}
		first += step
		dst = append(dst, first)
		value = value[n:]
	}
	return dst, nil
}

// compareIDs orders trace ids by their bytes.
func compareIDs(a, b segment.TraceID) int { return bytes.Compare(a[:], b[:]) }
