package pebblestore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

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

// blockCache keeps the blocks that were decoded last, for the documents of a
// trace tend to lie in few blocks.
type blockCache struct {
	mu    sync.Mutex
	slots [16]cachedBlock
	next  int
}

const maxCachedBlock = 256 << 10

type cachedBlock struct {
	part uint16
	last uint64
	docs []blockDoc
}

func (c *blockCache) get(part uint16, last uint64) []blockDoc {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		if b := &c.slots[i]; b.docs != nil && b.last == last && b.part == part {
			return b.docs
		}
	}
	return nil
}

func (c *blockCache) put(part uint16, last uint64, docs []blockDoc) {
	size := 0
	for i := range docs {
		size += len(docs[i].data)
	}
	if size > maxCachedBlock {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[c.next] = cachedBlock{part, last, docs}
	c.next = (c.next + 1) % len(c.slots)
}

func (c *blockCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots = [16]cachedBlock{}
}

// readBlock decodes the block at the iterator.
func readBlock(inst *instance, it *pebble.Iterator) ([]blockDoc, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return nil, inst.readError("read documents", err)
	}
	docs, err := decodeBlock(value)
	if err != nil {
		return nil, corrupt(it.Key(), err)
	}
	return docs, nil
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
// not change what it is given, and may keep it.
func readDocs(s *Store, inst *instance, it *pebble.Iterator, refs []docRef, fn func(d *blockDoc) error) error {
	it.SetBounds(nil, nil)
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
			if docs = s.blocks.get(at, last); docs == nil {
				var err error
				if docs, err = readBlock(inst, it); err != nil {
					return err
				}
				if docs[len(docs)-1].seq != last {
					return corrupt(it.Key(), fmt.Errorf("the block ends at %d", docs[len(docs)-1].seq))
				}
				s.blocks.put(at, last, docs)
			}
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
	err = readDocs(s, r.inst, it, refs, func(d *blockDoc) error {
		docs = append(docs, tracestore.Stored{Seq: d.seq, Put: d.put, Received: d.received, Format: d.format, Data: bytes.Clone(d.data)})
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	for i := range waiting {
		if d := &waiting[i]; d.Seq <= asOf {
			docs = append(docs, tracestore.Stored{Seq: d.Seq, Put: d.Put, Received: d.Received, Format: d.format, Data: bytes.Clone(d.data)})
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
		err = readDocs(s, r.inst, it, refs, func(d *blockDoc) error {
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
