package ingest

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// maxTraceSizes bounds the traces whose size is remembered. That of another one is
// added up from the store when it gets a document again.
const maxTraceSizes = 50_000

// traceSizes keeps traces from growing beyond a bound. Its nil value has none.
type traceSizes struct {
	store tracestore.TraceReader
	max   int64

	mu struct {
		sync.Mutex
		byID   map[segment.TraceID]*list.Element
		recent list.List // of *traceSize, the one that grew last first
	}
}

type traceSize struct {
	id    segment.TraceID
	bytes int64
	full  bool // a document was refused
}

func newTraceSizes(store tracestore.TraceReader, max int64) *traceSizes {
	t := &traceSizes{store: store, max: max}
	t.mu.byID = make(map[segment.TraceID]*list.Element)
	return t
}

// take adds a document to a trace when there is room for it.
func (t *traceSizes) take(ctx context.Context, id segment.TraceID, n int) (bool, error) {
	if t == nil {
		return true, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.mu.byID[id]
	if e == nil {
		stored, err := t.stored(ctx, id)
		if err != nil {
			return false, fmt.Errorf("add up the size of trace %s: %w", id, err)
		}
		e = t.mu.recent.PushFront(&traceSize{id: id, bytes: stored})
		t.mu.byID[id] = e
		if t.mu.recent.Len() > maxTraceSizes {
			last := t.mu.recent.Back()
			delete(t.mu.byID, t.mu.recent.Remove(last).(*traceSize).id)
		}
	}
	t.mu.recent.MoveToFront(e)
	size := e.Value.(*traceSize)
	if size.bytes+int64(n) > t.max {
		size.full = true
		return false, nil
	}
	size.bytes += int64(n)
	return true, nil
}

// stored returns the size of the documents that the store has of a trace. Others
// wait meanwhile; who sets a bound pays for it.
func (t *traceSizes) stored(ctx context.Context, id segment.TraceID) (int64, error) {
	docs, err := t.store.Documents(ctx, id, 0)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for i := range docs {
		sum += int64(len(docs[i].Data))
	}
	return sum, nil
}

// giveBack takes documents away again that were not stored.
func (t *traceSizes) giveBack(records []tracestore.Record) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range records {
		if e := t.mu.byID[records[i].Segment.TraceID]; e != nil {
			size := e.Value.(*traceSize)
			size.bytes = max(0, size.bytes-int64(len(records[i].Data)))
		}
	}
}

// refusal is the answer to a document that its trace has no room for.
func (t *traceSizes) refusal(s *segment.Segment) *segment.Refusal {
	return &segment.Refusal{
		Code: segment.CodeInvalidSegment, ID: s.ID.String(), HasID: true,
		Message: "Trace Size Exceeded. Reduce the number of segments per trace and the size of your segment documents.",
		Detail:  fmt.Sprintf("with this document the trace %s would have more than %d bytes", s.TraceID, t.max),
		Remedy:  "send fewer or smaller documents in one trace, or raise max-trace-bytes",
	}
}

// TraceFull reports whether a document of a trace was refused lately because the
// trace has reached its largest size.
func (in *Ingester) TraceFull(id segment.TraceID) bool {
	if in.sizes == nil {
		return false
	}
	in.sizes.mu.Lock()
	defer in.sizes.mu.Unlock()
	e := in.sizes.mu.byID[id]
	return e != nil && e.Value.(*traceSize).full
}
