package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

const (
	blockVersion = 1
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
	data     []byte
	sum      uint32 // as stored; set by decodeBlock
}

// checksum covers everything that is kept of a document, so that a flipped bit
// in its numbers shows as surely as one in its text.
func (d *blockDoc) checksum() uint32 {
	var b [25]byte
	binary.BigEndian.PutUint64(b[0:], d.seq)
	binary.BigEndian.PutUint64(b[8:], d.put)
	binary.BigEndian.PutUint64(b[16:], uint64(d.received))
	b[24] = byte(d.format)
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, d.data)
}

// verify reports whether the document is what was stored.
func (d *blockDoc) verify() error {
	if got := d.checksum(); got != d.sum {
		return fmt.Errorf("document %d: checksum %08x instead of %08x", d.seq, got, d.sum)
	}
	return nil
}

// blockEncoder packs documents. It is for one goroutine.
type blockEncoder struct {
	zstd *zstd.Encoder
	raw  []byte
}

func newBlockEncoder() *blockEncoder {
	// The window need not be larger than a block; small ones save memory.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return &blockEncoder{zstd: enc}
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
	for i := range docs {
		raw = binary.AppendUvarint(raw, uint64(len(docs[i].data)))
	}
	for i := range docs {
		raw = binary.BigEndian.AppendUint32(raw, docs[i].checksum())
	}
	for i := range docs {
		raw = append(raw, docs[i].data...)
	}
	head := len(dst)
	dst = append(dst, blockVersion, codecZstd)
	dst = binary.AppendUvarint(dst, uint64(len(raw)))
	body := len(dst)
	dst = e.zstd.EncodeAll(raw, dst)
	if len(dst)-body >= len(raw) {
		dst = append(dst[:body], raw...)
		dst[head+1] = codecPlain
	}
	if cap(raw) <= 4*blockTarget {
		e.raw = raw // a huge document's buffer is not kept
	} else {
		e.raw = nil
	}
	return dst
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
	if len(value) < 2 || value[0] != blockVersion {
		return nil, fmt.Errorf("%w: version", errBlock)
	}
	codec := value[1]
	size, n := binary.Uvarint(value[2:])
	if n <= 0 || size > maxBlock {
		return nil, fmt.Errorf("%w: size", errBlock)
	}
	body := value[2+n:]
	var raw []byte
	switch codec {
	case codecPlain:
		raw = append(make([]byte, 0, len(body)), body...)
	case codecZstd:
		// A frame cannot grow more than some thousandfold: a size beyond that is
		// damage, and no reason to ask for the memory.
		if size > uint64(len(body))*65536+4096 {
			return nil, fmt.Errorf("%w: size", errBlock)
		}
		var err error
		if raw, err = decoder.DecodeAll(body, make([]byte, 0, min(size, 1<<20))); err != nil {
			return nil, fmt.Errorf("%w: %w", errBlock, err)
		}
	default:
		return nil, fmt.Errorf("%w: codec %d", errBlock, codec)
	}
	if uint64(len(raw)) != size {
		return nil, fmt.Errorf("%w: %d bytes instead of %d", errBlock, len(raw), size)
	}
	r := blockReader{b: raw}
	count := r.uvarint()
	if count == 0 || count > uint64(len(raw)) {
		return nil, fmt.Errorf("%w: count", errBlock)
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
	lens := make([]uint64, count)
	for i := range lens {
		lens[i] = r.uvarint()
	}
	for i := range docs {
		docs[i].sum = r.uint32()
	}
	for i := range docs {
		docs[i].data = r.take(lens[i])
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: contents", errBlock)
	}
	return docs, nil
}

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
