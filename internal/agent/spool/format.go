package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Kind says what the records of a block are.
type Kind uint8

const (
	// KindXRay records are X-Ray segment documents, JSON as it came.
	KindXRay Kind = 1
	// KindTagged records say themselves what they are: their owner puts something in
	// front of each.
	KindTagged Kind = 2
)

const (
	formatVersion   = 1
	fileHeaderSize  = 40
	blockHeaderSize = 44

	codecNone = 0
	codecZstd = 1
	codecS2   = 2

	// blockBytes is the size, before compression, at which a block is closed. A
	// record that is larger has a block to itself.
	blockBytes = 128 << 10
	// maxLength is what the length of a record takes at most.
	maxLength = 5
	// maxBlockBytes bounds what a block header may claim.
	maxBlockBytes = 64 << 20
)

var (
	fileMagic  = []byte("rgspool\n")
	blockMagic = []byte("BLK1")
	crcTable   = crc32.MakeTable(crc32.Castagnoli)
)

// ErrFormat reports files of a later version of the program.
var ErrFormat = errors.New("spool: written by a later version")

// fileHeader begins every file. The id is random: it seeds the checksums of the
// file's blocks, so that blocks which a reused file still holds from its former
// life are never taken for its own.
type fileHeader struct {
	id    uint64
	first uint64 // number of the first record

	// rescued headers could not be read; found is the seed, and the id is not known.
	rescued bool
	found   uint32
}

func (h fileHeader) append(dst []byte) []byte {
	begin := len(dst)
	dst = append(dst, fileMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, formatVersion)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, h.id)
	dst = binary.LittleEndian.AppendUint64(dst, h.first)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], crcTable))
}

var errNoHeader = errors.New("spool: no valid file header")

func parseFileHeader(data []byte) (fileHeader, error) {
	if len(data) < fileHeaderSize || !bytes.Equal(data[:8], fileMagic) ||
		crc32.Checksum(data[:36], crcTable) != binary.LittleEndian.Uint32(data[36:]) {
		return fileHeader{}, errNoHeader
	}
	if v := binary.LittleEndian.Uint32(data[8:]); v != formatVersion {
		return fileHeader{}, fmt.Errorf("%w: version %d, this program knows %d", ErrFormat, v, formatVersion)
	}
	return fileHeader{id: binary.LittleEndian.Uint64(data[16:]), first: binary.LittleEndian.Uint64(data[24:])}, nil
}

// seed returns where the checksums of a file's blocks begin.
func (h fileHeader) seed() uint32 {
	if h.rescued {
		return h.found
	}
	return crc32.Checksum(binary.LittleEndian.AppendUint64(nil, h.id), crcTable)
}

// blockHeader begins every block.
type blockHeader struct {
	kind     Kind
	codec    uint8
	first    uint64 // number of the first record
	count    uint32 // records
	raw      uint32 // bytes of the records before compression
	stored   uint32 // bytes that follow the header
	received int64  // unix milliseconds, of the first record's arrival
	crc      uint32 // of what is stored, seeded
}

func (h *blockHeader) append(dst []byte, seed uint32) []byte {
	begin := len(dst)
	dst = append(dst, blockMagic...)
	dst = append(dst, byte(h.kind), h.codec, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, h.first)
	dst = binary.LittleEndian.AppendUint32(dst, h.count)
	dst = binary.LittleEndian.AppendUint32(dst, h.raw)
	dst = binary.LittleEndian.AppendUint32(dst, h.stored)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.received))
	dst = binary.LittleEndian.AppendUint32(dst, h.crc)
	return binary.LittleEndian.AppendUint32(dst, crc32.Update(seed, crcTable, dst[begin:]))
}

func parseBlockHeader(data []byte, seed uint32) (h blockHeader, ok bool) {
	if len(data) < blockHeaderSize || !bytes.Equal(data[:4], blockMagic) ||
		crc32.Update(seed, crcTable, data[:40]) != binary.LittleEndian.Uint32(data[40:]) {
		return h, false
	}
	h = blockHeader{
		kind: Kind(data[4]), codec: data[5],
		first: binary.LittleEndian.Uint64(data[8:]), count: binary.LittleEndian.Uint32(data[16:]),
		raw: binary.LittleEndian.Uint32(data[20:]), stored: binary.LittleEndian.Uint32(data[24:]),
		received: int64(binary.LittleEndian.Uint64(data[28:])), crc: binary.LittleEndian.Uint32(data[36:]),
	}
	ok = h.count > 0 && h.raw <= maxBlockBytes && h.stored <= maxBlockBytes && h.count <= h.raw
	return h, ok
}

// seedOf finds the seed with which the header of a block was written, or would have
// been if these bytes were one: the checksum of bytes that are known leads back to
// what it began with.
func seedOf(data []byte) (seed uint32) {
	crc := ^binary.LittleEndian.Uint32(data[40:])
	for i := 39; i >= 0; i-- {
		at := crcBack[crc>>24]
		crc = (crc^crcTable[at])<<8 | uint32(at^data[i])
	}
	return ^crc
}

// crcBack are the indexes of crcTable by the first bytes of its values.
var crcBack = func() (back [256]byte) {
	for i, v := range crcTable {
		back[v>>24] = byte(i)
	}
	return back
}()

// end is the number behind the last record's.
func (h *blockHeader) end() uint64 { return h.first + uint64(h.count) }

// appendRecord adds a record to the records of a block.
func appendRecord(dst, record []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(record)))
	return append(dst, record...)
}

// cutRecord takes the first record off the records of a block. The record
// refers to data.
func cutRecord(data []byte) (record, rest []byte, ok bool) {
	n, used := binary.Uvarint(data)
	if used <= 0 || n > uint64(len(data)-used) {
		return nil, nil, false
	}
	return data[used : used+int(n) : used+int(n)], data[used+int(n):], true
}

// compressor turns the records of blocks into what is stored. It belongs to one
// goroutine.
type compressor struct{ z *zstd.Encoder }

// Measured on blocks of documents of 0.6 KB, on one core of a busy machine: S2
// packs 250 MB/s to 23 % of their size and unpacks 670 MB/s, zstd at its fastest
// packs 72 MB/s to 13 % and unpacks 200 MB/s. While destinations keep up, blocks
// are read back at once and deleted soon, and S2 leaves more of the processor to
// the programs that are traced; when much has to be kept, room counts.
func newCompressor() (*compressor, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(blockBytes), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	return &compressor{z}, nil
}

// appendBlock adds header and stored bytes of a block, packed small or fast.
// Records that do not become smaller are stored as they are.
func (c *compressor) appendBlock(dst []byte, h blockHeader, records []byte, seed uint32, small bool) []byte {
	begin := len(dst)
	h.raw = uint32(len(records))
	dst = append(dst, make([]byte, blockHeaderSize)...)
	body := len(dst)
	if small {
		h.codec = codecZstd
		dst = c.z.EncodeAll(records, dst)
	} else {
		h.codec = codecS2
		most := s2.MaxEncodedLen(len(records))
		dst = slices.Grow(dst, most)
		dst = dst[:body+len(s2.Encode(dst[body:body+most], records))]
	}
	if len(dst)-body >= len(records) {
		h.codec = codecNone
		dst = append(dst[:body], records...)
	}
	h.stored = uint32(len(dst) - body)
	h.crc = crc32.Update(seed, crcTable, dst[body:])
	h.append(dst[begin:begin], seed)
	return dst
}

// decompressor is the opposite. It may be used by many goroutines.
type decompressor struct{ z *zstd.Decoder }

func newDecompressor() (*decompressor, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxBlockBytes))
	if err != nil {
		return nil, err
	}
	return &decompressor{z}, nil
}

var errDamaged = errors.New("spool: a block is damaged")

// records returns the records of a block in dst's memory when that suffices.
func (d *decompressor) records(dst []byte, h *blockHeader, stored []byte, seed uint32) ([]byte, error) {
	if crc32.Update(seed, crcTable, stored) != h.crc {
		return dst, errDamaged
	}
	if h.kind != KindXRay && h.kind != KindTagged {
		return dst, fmt.Errorf("%w: records of kind %d", ErrFormat, h.kind)
	}
	switch h.codec {
	case codecNone:
		dst = append(dst[:0], stored...)
	case codecZstd:
		var err error
		if dst, err = d.z.DecodeAll(stored, dst[:0]); err != nil {
			return dst, fmt.Errorf("%w: %w", errDamaged, err)
		}
	case codecS2:
		n, err := s2.DecodedLen(stored)
		if err != nil || n != int(h.raw) {
			return dst, errDamaged
		}
		if dst, err = s2.Decode(slices.Grow(dst[:0], n)[:n], stored); err != nil {
			return dst, fmt.Errorf("%w: %w", errDamaged, err)
		}
	default:
		return dst, fmt.Errorf("%w: codec %d", ErrFormat, h.codec)
	}
	if len(dst) != int(h.raw) {
		return dst, errDamaged
	}
	return dst, nil
}
