package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/zstd"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

const (
	blockVersion = 1
	// blockSources is the version of blocks with documents that have a source.
	blockSources = 2
	codecPlain   = 0
	codecZstd    = 1

	// blockTarget is the most that several documents in one block take, as they are
	// before compression. Larger blocks compress better, smaller ones are read
	// faster. The encoder takes 64 KiB at once at least cost: what is a little
	// larger costs it a fifth more per byte for a hundredth less in size.
	blockTarget = 64 << 10
	// docNumbers is what a block holds of a document beside its text, about.
	docNumbers = 16
	// maxBlock bounds the memory that a damaged block can ask for.
	maxBlock = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockDoc is one document of a block.
type blockDoc struct {
	seq      uint64
	put      uint64
	received int64
	format   tracestore.Format
	source   []byte // shared with other documents; nil when there is none
	data     []byte
	sum      uint32 // as stored; set by decodeBlock
	verified bool   // with its block, which has one checksum
}

// checksum covers everything that is kept of a document, so that a flipped bit
// in its numbers shows as surely as one in its text.
func (d *blockDoc) checksum() uint32 {
	var b [25]byte
	binary.BigEndian.PutUint64(b[0:], d.seq)
	binary.BigEndian.PutUint64(b[8:], d.put)
	binary.BigEndian.PutUint64(b[16:], uint64(d.received))
	b[24] = byte(d.format)
	sum := crc32.Checksum(b[:], castagnoli)
	if len(d.source) > 0 {
		sum = crc32.Update(sum, castagnoli, d.source)
	}
	return crc32.Update(sum, castagnoli, d.data)
}

// verify reports whether the document is what was stored.
func (d *blockDoc) verify() error {
	if d.verified {
		return nil
	}
	if got := d.checksum(); got != d.sum {
		return fmt.Errorf("document %d: checksum %08x instead of %08x", d.seq, got, d.sum)
	}
	return nil
}

// blockEncoder packs documents. It is for one goroutine.
type blockEncoder struct {
	zstd, zstdSpans *zstd.Encoder
	raw             []byte
	sources         [][]byte       // of the block, each once
	known           map[string]int // the number of a source
	of              []int          // for each document the number of its source, from 1; 0: none
	spans           *spanEncoder
}

func newBlockEncoder() *blockEncoder {
	// Of spans there is little left to compress, so that it may take longer.
	return &blockEncoder{
		zstd: newCompressor(zstd.SpeedFastest), zstdSpans: newCompressor(zstd.SpeedDefault),
		spans: newSpanEncoder(), known: make(map[string]int),
	}
}

func newCompressor(level zstd.EncoderLevel) *zstd.Encoder {
	// The window need not be larger than a block; small ones save memory.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return enc
}

// append appends the block of docs to dst. docs is not empty and sorted by seq.
func (e *blockEncoder) append(dst []byte, docs []blockDoc) []byte {
	raw := binary.AppendUvarint(e.raw[:0], uint64(len(docs)))
	// The numbers stand in columns: columns of like numbers compress to nearly nothing.
	var prev uint64
	for i := range docs {
		raw = binary.AppendUvarint(raw, docs[i].seq-prev)
		prev = docs[i].seq
	}
	prev = 0
	for i := range docs {
		raw = binary.AppendVarint(raw, int64(docs[i].put-prev))
		prev = docs[i].put
	}
	var at int64
	for i := range docs {
		raw = binary.AppendVarint(raw, docs[i].received-at)
		at = docs[i].received
	}
	for i := range docs {
		raw = append(raw, byte(docs[i].format))
	}
	version := byte(blockVersion)
	if hasSpans(docs) {
		version = blockSpans
	}
	e.gather(docs)
	if len(e.sources) > 0 || version == blockSpans {
		version = max(version, blockSources)
		raw = binary.AppendUvarint(raw, uint64(len(e.sources)))
		for _, s := range e.sources {
			raw = binary.AppendUvarint(raw, uint64(len(s)))
		}
		for _, n := range e.of {
			raw = binary.AppendUvarint(raw, uint64(n))
		}
	}
	if version != blockSpans {
		for i := range docs {
			raw = binary.AppendUvarint(raw, uint64(len(docs[i].data)))
		}
		for i := range docs {
			raw = binary.BigEndian.AppendUint32(raw, docs[i].checksum())
		}
	}
	for _, s := range e.sources {
		raw = append(raw, s...)
	}
	if version == blockSpans {
		raw = e.spans.append(raw, docs)
	} else {
		for i := range docs {
			raw = append(raw, docs[i].data...)
		}
	}
	head := len(dst)
	dst = append(dst, version, codecZstd)
	dst = binary.AppendUvarint(dst, uint64(len(raw)))
	if version == blockSpans {
		dst = binary.AppendUvarint(dst, uint64(len(e.spans.raw)))
		dst = append(dst, 0, 0, 0, 0) // the checksum
		dst = append(dst, e.spans.raw...)
	}
	body := len(dst)
	if version == blockSpans {
		dst = e.zstdSpans.EncodeAll(raw, dst)
	} else {
		dst = e.zstd.EncodeAll(raw, dst)
	}
	if len(dst)-body >= len(raw) {
		dst = append(dst[:body], raw...)
		dst[head+1] = codecPlain
	}
	if version == blockSpans {
		at := body - len(e.spans.raw) - 4
		binary.BigEndian.PutUint32(dst[at:], spanChecksum(dst[head:at], dst[at+4:]))
	}
	if cap(raw) <= 4*blockTarget {
		e.raw = raw // a huge document's buffer is not kept
	} else {
		e.raw = nil
	}
	clear(e.sources) // do not keep them alive
	clear(e.known)
	clear(e.spans.words)
	return dst
}

func hasSpans(docs []blockDoc) bool {
	for i := range docs {
		if docs[i].format == tracestore.FormatOTLP {
			return true
		}
	}
	return false
}

// spanChecksum covers a block of version 3, which is all that stands before and
// after the checksum.
func spanChecksum(before, after []byte) uint32 {
	return crc32.Update(crc32.Checksum(before, castagnoli), castagnoli, after)
}

// gather lists the sources of docs.
func (e *blockEncoder) gather(docs []blockDoc) {
	e.sources, e.of = e.sources[:0], e.of[:0]
	clear(e.known)
	any := false
	for i := range docs {
		any = any || len(docs[i].source) > 0
	}
	if !any && !hasSpans(docs) {
		return
	}
	for i := range docs {
		source := docs[i].source
		if len(source) == 0 {
			e.of = append(e.of, 0)
			continue
		}
		text := unsafe.String(unsafe.SliceData(source), len(source)) // which nobody changes
		n, ok := e.known[text]
		if !ok {
			e.sources = append(e.sources, source)
			n = len(e.sources)
			e.known[text] = n
		}
		e.of = append(e.of, n)
	}
}

var errBlock = errors.New("block does not parse")

// decoder is shared: DecodeAll may be called by many goroutines.
var decoder = func() *zstd.Decoder {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		panic(err) // the options are constants
	}
	return dec
}()

// decodeBlock reads a block. The documents refer to memory of their own, not to
// value. Their checksums are not verified.
func decodeBlock(value []byte) ([]blockDoc, error) {
	docs, _, err := decodeBlockInto(nil, value)
	return docs, err
}

// decodeBlockInto is decodeBlock, with the documents in room if that is large enough;
// it returns what they refer to.
func decodeBlockInto(room, value []byte) ([]blockDoc, []byte, error) {
	fail := func(what string) ([]blockDoc, []byte, error) { return nil, room, fmt.Errorf("%w: %s", errBlock, what) }
	if len(value) < 2 || value[0] < blockVersion || value[0] > blockSpans {
		return fail("version")
	}
	version, codec := value[0], value[1]
	size, n := binary.Uvarint(value[2:])
	if n <= 0 || size > maxBlock {
		return fail("size")
	}
	body := value[2+n:]
	var columns blockReader // of version 3, what was not compressed
	if version == blockSpans {
		length, k := binary.Uvarint(body)
		if k <= 0 || uint64(len(body)-k) < 4 || length > uint64(len(body)-k-4) {
			return fail("columns")
		}
		at := 2 + n + k
		body = value[at+4:]
		if sum := binary.BigEndian.Uint32(value[at:]); sum != spanChecksum(value[:at], body) {
			return fail("checksum")
		}
		columns.b, body = body[:length], body[length:]
	}
	raw := room[:0]
	if version == blockSpans { // the documents are not in there as they are
		scratch := scratches.Get().(*[]byte)
		raw = (*scratch)[:0]
		defer func() {
			if cap(raw) <= maxCachedBlock {
				*scratch = raw
			}
			scratches.Put(scratch)
		}()
	}
	switch codec {
	case codecPlain:
		raw = append(raw, body...)
	case codecZstd:
		// A frame cannot grow more than some thousandfold: a size beyond that is
		// damage, and no reason to ask for the memory.
		if size > uint64(len(body))*65536+4096 {
			return fail("size")
		}
		if n := min(size, 1<<20); uint64(cap(raw)) < n {
			raw = make([]byte, 0, n)
		}
		var err error
		if raw, err = decoder.DecodeAll(body, raw); err != nil {
			return nil, room, fmt.Errorf("%w: %w", errBlock, err)
		}
	default:
		return fail(fmt.Sprintf("codec %d", codec))
	}
	if uint64(len(raw)) != size {
		return fail(fmt.Sprintf("%d bytes instead of %d", len(raw), size))
	}
	r := blockReader{b: raw}
	count := r.uvarint()
	if count == 0 || count > uint64(len(raw)) {
		return fail("count")
	}
	docs := make([]blockDoc, count)
	var prev uint64
	for i := range docs {
		step := r.uvarint()
		if step == 0 || prev+step < prev {
			r.bad = true
		}
		prev += step
		docs[i].seq = prev
	}
	prev = 0
	for i := range docs {
		prev += uint64(r.varint())
		docs[i].put = prev
	}
	var at int64
	for i := range docs {
		at += r.varint()
		docs[i].received = at
	}
	for i := range docs {
		docs[i].format = tracestore.Format(r.byte())
	}
	var sourceLens, of []uint64
	if version >= blockSources {
		n := r.uvarint()
		if n > uint64(len(r.b)) {
			return fail("sources")
		}
		sourceLens, of = make([]uint64, n), make([]uint64, count)
		for i := range sourceLens {
			sourceLens[i] = r.uvarint()
		}
		for i := range of {
			of[i] = r.uvarint()
		}
	}
	var lens []uint64
	if version != blockSpans {
		lens = make([]uint64, count)
		for i := range lens {
			lens[i] = r.uvarint()
		}
		for i := range docs {
			docs[i].sum = r.uint32()
		}
	}
	sources := make([][]byte, len(sourceLens))
	for i := range sources {
		sources[i] = r.take(sourceLens[i])
		if version == blockSpans {
			sources[i] = bytes.Clone(sources[i])
		}
	}
	for i, n := range of {
		if n > uint64(len(sources)) {
			return fail(fmt.Sprintf("source %d of %d", n, len(sources)))
		}
		if n > 0 {
			docs[i].source = sources[n-1]
		}
	}
	memory := raw
	if version == blockSpans {
		var err error
		if memory, err = restoreSpans(room[:0], docs, &r, &columns); err != nil {
			return nil, room, err
		}
		for i := range docs {
			docs[i].verified = true
		}
	} else {
		for i := range docs {
			docs[i].data = r.take(lens[i])
		}
	}
	if r.bad || len(r.b) != 0 || columns.bad || len(columns.b) != 0 {
		return fail("contents")
	}
	return docs, memory, nil
}

// scratches are room for what blocks of version 3 hold before their documents are restored.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// blockReader takes values off a slice; after the first that is not there it is bad.
type blockReader struct {
	b   []byte
	bad bool
}

func (r *blockReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *blockReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *blockReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *blockReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *blockReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *blockReader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *blockReader) string() string { return string(r.take(r.uvarint())) }
