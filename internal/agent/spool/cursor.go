package spool

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// readAhead is how much is read at once: small blocks come many to a read.
const readAhead = 64 << 10

// cursor reads the blocks of a file one after the other.
type cursor struct {
	in    vfs.File
	seed  uint32
	at    int64  // where the next block begins
	limit int64  // where the file ends; it may grow
	buf   []byte // what was read from at on; a part of mem
	mem   []byte
}

func newCursor(in vfs.File, h fileHeader, limit int64) *cursor {
	return &cursor{in: in, seed: h.seed(), at: fileHeaderSize, limit: limit}
}

// next returns the next block whose header is whole and whose bytes are there,
// and passes over everything that is none. stored is valid until the next call.
// At the end of the file ok is false; after the limit grew there may be more.
func (c *cursor) next() (h blockHeader, stored []byte, ok bool, err error) {
	for {
		have, err := c.ensure(blockHeaderSize)
		if err != nil || !have {
			return h, nil, false, err
		}
		h, ok := parseBlockHeader(c.buf, c.seed)
		if ok && c.at+blockHeaderSize+int64(h.stored) <= c.limit {
			size := blockHeaderSize + int(h.stored)
			have, err := c.ensure(size)
			if err != nil || !have {
				return h, nil, false, err
			}
			stored = c.buf[blockHeaderSize:size:size]
			c.skip(size)
			return h, stored, true, nil
		}
		// Damage: the next block begins where its magic stands and its header is
		// right. What is read never ends in the middle of a magic that matters,
		// since the last bytes are kept.
		if i := bytes.Index(c.buf[1:], blockMagic); i >= 0 {
			c.skip(1 + i)
		} else {
			c.skip(max(1, len(c.buf)-len(blockMagic)+1))
		}
	}
}

func (c *cursor) skip(n int) {
	c.at += int64(n)
	c.buf = c.buf[n:]
}

// ensure has at least n bytes in buf, unless the file ends before.
func (c *cursor) ensure(n int) (bool, error) {
	if len(c.buf) >= n {
		return true, nil
	}
	if c.at+int64(n) > c.limit {
		return false, nil
	}
	size := int(min(int64(max(n, readAhead)), c.limit-c.at))
	// What next gave out before is given up by now. One large block is no reason
	// to keep its memory.
	if cap(c.mem) < size || cap(c.mem) > 4*blockBytes && size < cap(c.mem)/4 {
		mem := make([]byte, size)
		copy(mem, c.buf)
		c.mem = mem
	} else {
		copy(c.mem[:size], c.buf)
	}
	fresh, have := c.mem[:size], len(c.buf)
	m, err := c.in.ReadAt(fresh[have:], c.at+int64(have))
	if have+m < n {
		if err == nil || errors.Is(err, io.EOF) {
			return false, nil // shorter than it should be: the rest is damage
		}
		return false, err
	}
	c.buf = fresh[:have+m]
	return true, nil
}

// intact reports whether the bytes of a block are what was written.
func (s *Spool) intact(h *blockHeader, stored []byte, seed uint32) bool {
	return crc32.Update(seed, crcTable, stored) == h.crc
}
