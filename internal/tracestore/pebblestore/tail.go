package pebblestore

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// tailDoc is a durable document that the views do not hold yet.
type tailDoc struct {
	trace.Document
	id     segment.TraceID
	data   []byte
	source []byte // shared with other documents
	first  bool   // the source is counted with this one
	format tracestore.Format
}

func (d *tailDoc) size() int64 {
	if d.first {
		return int64(len(d.data)) + int64(len(d.source)) + docOverhead
	}
	return int64(len(d.data)) + docOverhead
}

// sameMemory reports whether two slices are the same.
func sameMemory(a, b []byte) bool {
	return unsafe.SliceData(a) == unsafe.SliceData(b) && len(a) == len(b)
}

// tailTrace are the documents of one trace in the tail, in order of seq. They
// are only ever appended to, so a copy of the slice stays as it is.
type tailTrace struct{ docs []tailDoc }

type traceMap map[segment.TraceID]*tailTrace

// view is what readers take the views from: Pebble as it was when everything up
// to w was in them.
type view struct {
	inst    *instance
	snap    *pebble.Snapshot
	w       uint64
	seconds int64 // from this second on, there are cells of seconds
	parts   []part
	wake    chan struct{} // starts a step of the roller
	refs    atomic.Int32
}

func (v *view) release() {
	if v.refs.Add(-1) == 0 {
		_ = v.snap.Close() // its error would be a closed snapshot
	}
}

// tail holds the durable documents above W, and with them the view that they
// complete: both change in one step.
//
// mu is never held while anything is read or written.
type tail struct {
	mu       sync.RWMutex
	view     *view    // nil while no session runs
	held     traceMap // put off by the roller: large traces
	rolling  traceMap // in the step that the roller is at; not changed meanwhile
	current  traceMap
	last     uint64        // seq of the latest document
	progress chan struct{} // closed when the view changes

	rolled atomic.Uint64 // view.w
	waits  atomic.Int64  // documents in current
	force  atomic.Bool   // the next step puts nothing off
}

// add puts durable documents, in order of seq, into the tail.
func (t *tail) add(docs []tailDoc, last uint64) {
	grouped := groupDocs(docs)
	t.mu.Lock()
	defer t.mu.Unlock()
	for rest := grouped; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].id == rest[0].id {
			n++
		}
		if tt := t.current[rest[0].id]; tt == nil {
			t.current[rest[0].id] = &tailTrace{docs: rest[:n:n]}
		} else {
			tt.docs = append(tt.docs, rest[:n]...)
		}
		rest = rest[n:]
	}
	t.last = last
	t.waits.Add(int64(len(docs)))
}

// groupDocs returns the documents with those of each trace together. All lists of a commit
// share one piece of memory then, instead of each growing by itself.
func groupDocs(docs []tailDoc) []tailDoc {
	type group struct{ n, at int }
	groups := make(map[segment.TraceID]*group, len(docs)/8+1)
	var order []*group
	of := make([]*group, len(docs))
	for i := range docs {
		g := groups[docs[i].id]
		if g == nil {
			g = &group{}
			groups[docs[i].id] = g
			order = append(order, g)
		}
		g.n++
		of[i] = g
	}
	at := 0
	for _, g := range order {
		g.at = at
		at += g.n
	}
	grouped := make([]tailDoc, len(docs))
	for i := range docs {
		grouped[of[i].at] = docs[i]
		of[i].at++
	}
	return grouped
}

// hold puts back the documents of a trace that the roller had put off when the
// session before this one ended: no view has them, though its seq is past theirs.
func (t *tail) hold(id segment.TraceID, docs []tailDoc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held == nil {
		t.held = make(traceMap)
	}
	t.held[id] = &tailTrace{docs: docs}
}

// show replaces the view, and drops the documents that it now holds.
func (t *tail) show(v *view, held traceMap) {
	t.mu.Lock()
	old := t.view
	t.view, t.held, t.rolling = v, held, nil
	t.rolled.Store(v.w)
	close(t.progress)
	t.progress = make(chan struct{})
	t.mu.Unlock()
	if old != nil {
		old.release()
	}
}

// reset empties the tail; last is the seq that the view to come starts from.
func (t *tail) reset(last uint64) {
	t.mu.Lock()
	old := t.view
	t.view, t.held, t.rolling, t.current = nil, nil, nil, make(traceMap)
	t.last = last
	t.waits.Store(0)
	if t.progress != nil {
		close(t.progress)
	}
	t.progress = make(chan struct{})
	t.mu.Unlock()
	if old != nil {
		old.release()
	}
}

// docs returns the documents of a trace in the tail. t.mu is held.
func (t *tail) docsLocked(id segment.TraceID) []tailDoc {
	var docs []tailDoc
	for _, m := range [...]traceMap{t.held, t.rolling, t.current} {
		if tt := m[id]; tt != nil {
			if docs == nil {
				docs = tt.docs
			} else {
				docs = append(docs[:len(docs):len(docs)], tt.docs...)
			}
		}
	}
	return docs
}

// reading is what a reader holds on to: an instance of Pebble that stays open, a
// view, and the seq up to which it may read.
type reading struct {
	*view
	last uint64
}

func (r *reading) release() {
	r.view.release()
	r.view.inst.release()
}

// read starts a reading. With more, it is called under the lock, so that what it
// takes from the tail belongs to the view.
func (s *Store) read(more func(t *tail)) (*reading, error) {
	t := &s.tail
	t.mu.RLock()
	v := t.view
	if v == nil || s.isClosing() || v.inst.err() != nil || !v.inst.acquire() {
		t.mu.RUnlock()
		if s.isClosing() {
			return nil, tracestore.ErrClosed
		}
		if v != nil {
			if err := v.inst.err(); err != nil {
				return nil, err
			}
		}
		return nil, s.unavailable()
	}
	defer t.mu.RUnlock()
	v.refs.Add(1)
	if more != nil {
		more(t)
	}
	return &reading{view: v, last: t.last}, nil
}
