package pebblestore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// CorruptError says where damaged bytes were met. It matches tracestore.ErrCorrupt.
type CorruptError struct {
	Key []byte // of the damaged value
	Err error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("stored value of key %v: %v", keyFormatter(e.Key), e.Err)
}

// Unwrap makes the error match tracestore.ErrCorrupt and what was wrong.
func (e *CorruptError) Unwrap() []error { return []error{tracestore.ErrCorrupt, e.Err} }

func corrupt(key []byte, err error) error {
	return &CorruptError{Key: bytes.Clone(key), Err: err}
}

// docRef is where a document is.
type docRef struct {
	part uint16
	seq  uint64
}

// openBlock is a decoded block. Its memory is used again when its last user has
// released it; who keeps a document does not release.
type openBlock struct {
	docs  []blockDoc
	raw   []byte // what they refer to
	users atomic.Int32
}

func (b *openBlock) release() {
	if b != nil && b.users.Add(-1) == 0 && cap(b.raw) <= maxCachedBlock {
		room := b.raw
		rooms.Put(&room)
	}
}

// rooms are the memory of blocks that nobody uses any more: reading traces one after the
// other makes most of its garbage there.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// blockCache keeps the blocks that were decoded last, for the documents of a
// trace tend to lie in few blocks.
type blockCache struct {
	mu    sync.Mutex
	slots [16]cachedBlock
	next  int
}

const maxCachedBlock = 384 << 10

type cachedBlock struct {
	part  uint16
	last  uint64
	block *openBlock // nil: none
}

// get returns a block, which the caller uses, nil when it is not there.
func (c *blockCache) get(part uint16, last uint64) *openBlock {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		if s := &c.slots[i]; s.block != nil && s.last == last && s.part == part {
			s.block.users.Add(1)
			return s.block
		}
	}
	return nil
}

func (c *blockCache) put(part uint16, last uint64, b *openBlock) {
	if len(b.raw) > maxCachedBlock {
		return
	}
	b.users.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[c.next].block.release()
	c.slots[c.next] = cachedBlock{part, last, b}
	c.next = (c.next + 1) % len(c.slots)
}

func (c *blockCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		c.slots[i].block.release()
	}
	c.slots = [16]cachedBlock{}
}

// readBlock decodes the block at the iterator.
func readBlock(inst *instance, it *pebble.Iterator) ([]blockDoc, error) {
	b, err := readBlockInto(nil, inst, it)
	if err != nil {
		return nil, err
	}
	return b.docs, nil
}

// readBlockInto decodes the block at the iterator, in room if that is large enough.
// The caller uses it.
func readBlockInto(room []byte, inst *instance, it *pebble.Iterator) (*openBlock, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return nil, inst.readError("read documents", err)
	}
	b := &openBlock{}
	b.users.Store(1)
	if b.docs, b.raw, err = decodeBlockInto(room, value); err != nil {
		return nil, corrupt(it.Key(), err)
	}
	return b, nil
}

// findDocs returns the documents of a trace with seq <= last, in order of seq.
// The iterator must have no bounds or none that matter.
func findDocs(inst *instance, it *pebble.Iterator, list []part, id segment.TraceID, last uint64) ([]docRef, error) {
	var refs []docRef
	var seqs []uint64
	var key [traceLen]byte
	it.SetBounds(nil, nil)
	for i := range list {
		if list[i].firstSeq > last {
			break
		}
		prefix := appendTracePrefix(key[:0], list[i].id, id)
		for ok := it.SeekPrefixGE(prefix); ok; ok = it.Next() {
			_, _, first, ok := decodeTraceKey(it.Key())
			if !ok {
				return nil, corrupt(it.Key(), fmt.Errorf("key of %d bytes", len(it.Key())))
			}
			if first > last {
				break
			}
			value, err := it.ValueAndErr()
			if err != nil {
				return nil, inst.readError("find documents", err)
			}
			if seqs, err = decodeSeqs(seqs[:0], first, value); err != nil {
				return nil, corrupt(it.Key(), err)
			}
			for _, seq := range seqs {
				if seq <= last {
					refs = append(refs, docRef{list[i].id, seq})
				}
			}
		}
		if err := it.Error(); err != nil {
			return nil, inst.readError("find documents", err)
		}
	}
	return refs, nil
}

// readDocs calls fn for the documents at refs, which are in order of seq. fn must
// not change what it is given, and may keep it with keep alone.
func readDocs(s *Store, inst *instance, it *pebble.Iterator, refs []docRef, keep bool, fn func(d *blockDoc) error) error {
	it.SetBounds(nil, nil)
	var block *openBlock
	if !keep {
		defer func() { block.release() }()
	}
	var docs []blockDoc
	var at uint16
	var key [docKeyLen]byte
	for _, ref := range refs {
		if len(docs) == 0 || at != ref.part || docs[len(docs)-1].seq < ref.seq {
			if !it.SeekGE(appendDocKey(key[:0], ref.part, ref.seq)) {
				if err := it.Error(); err != nil {
					return inst.readError("read documents", err)
				}
			}
			var last uint64
			var ok bool
			if it.Valid() {
				at, last, ok = decodeDocKey(it.Key())
			}
			if !ok || at != ref.part {
				return corrupt(key[:], fmt.Errorf("the block of document %d is missing", ref.seq))
			}
			if !keep {
				block.release()
			}
			if block = s.blocks.get(at, last); block == nil {
				var err error
				if block, err = readBlockInto(*rooms.Get().(*[]byte), inst, it); err != nil {
					return err
				}
				if end := block.docs[len(block.docs)-1].seq; end != last {
					return corrupt(it.Key(), fmt.Errorf("the block ends at %d", end))
				}
				s.blocks.put(at, last, block)
			}
			docs = block.docs
		}
		i, ok := slices.BinarySearchFunc(docs, ref.seq, func(d blockDoc, seq uint64) int { return cmp.Compare(d.seq, seq) })
		if !ok {
			return corrupt(appendDocKey(nil, at, docs[len(docs)-1].seq), fmt.Errorf("document %d is missing", ref.seq))
		}
		if err := docs[i].verify(); err != nil {
			s.metrics.corruptions.Inc()
			return corrupt(appendDocKey(nil, at, docs[len(docs)-1].seq), err)
		}
		if err := fn(&docs[i]); err != nil {
			return err
		}
	}
	return nil
}

// Documents implements tracestore.TraceReader.
func (s *Store) Documents(ctx context.Context, id segment.TraceID, asOf uint64) ([]tracestore.Stored, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var waiting []tailDoc
	r, err := s.read(func(t *tail) { waiting = t.docsLocked(id) })
	if err != nil {
		return nil, err
	}
	defer r.release()
	if asOf == 0 || asOf > r.last {
		asOf = r.last
	}
	it, err := r.snap.NewIter(nil)
	if err != nil {
		return nil, r.inst.readError("read documents", err)
	}
	defer it.Close()
	var refs []docRef
	if s.filter.has(id) { // it knows every trace up to the view
		if refs, err = findDocs(r.inst, it, r.parts, id, before(waiting, min(asOf, r.w))); err != nil {
			return nil, err
		}
	}
	docs := make([]tracestore.Stored, 0, len(refs)+len(waiting))
	err = readDocs(s, r.inst, it, refs, false, func(d *blockDoc) error {
		docs = append(docs, tracestore.Stored{Seq: d.seq, Put: d.put, Received: d.received, Format: d.format, Data: bytes.Clone(d.data), Source: bytes.Clone(d.source), Reader: s.reader})
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	for i := range waiting {
		if d := &waiting[i]; d.Seq <= asOf {
			docs = append(docs, tracestore.Stored{Seq: d.Seq, Put: d.Put, Received: d.Received, Format: d.format, Data: bytes.Clone(d.data), Source: bytes.Clone(d.source), Reader: s.reader})
		}
	}
	return docs, nil
}

// before returns the seq up to which documents are to be taken from Pebble, given
// those of the trace in the tail.
func before(waiting []tailDoc, last uint64) uint64 {
	if len(waiting) > 0 {
		return min(last, waiting[0].Seq-1)
	}
	return last
}

// documentsOf returns the documents of a trace with seq <= asOf. waiting are those
// in the tail; kept says how many come before them.
func (s *Store) documentsOf(r *reading, it *pebble.Iterator, id segment.TraceID, waiting []tailDoc, asOf uint64) (docs []trace.Document, kept int, err error) {
	if s.filter.has(id) {
		refs, err := findDocs(r.inst, it, r.parts, id, before(waiting, min(asOf, r.w)))
		if err != nil {
			return nil, 0, err
		}
		err = readDocs(s, r.inst, it, refs, true, func(d *blockDoc) error {
			if td, ok := s.parse(d); ok {
				docs = append(docs, td.Document)
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	kept = len(docs)
	for i := range waiting {
		if waiting[i].Seq <= asOf {
			docs = append(docs, waiting[i].Document)
		}
	}
	return docs, kept, nil
}
