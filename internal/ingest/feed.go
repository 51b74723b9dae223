package ingest

import (
	"sync"
	"sync/atomic"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// feedLen is how many batches of ids wait for one subscriber. What does not fit
// is dropped for that subscriber, the newest first, and counted: those who write
// wait for nobody who looks on.
const feedLen = 1024

// Feed tells which traces got documents. Batches come from C until Cancel is
// called; Missed returns how many ids were dropped since it was asked last.
type Feed struct {
	C      <-chan []segment.TraceID
	Missed func() int
	Cancel func()
}

// feed is the list of subscribers.
type feed struct {
	active atomic.Int32 // how many; looked at first, for nearly always it is 0
	mu     sync.Mutex
	subs   map[*subscriber]struct{}
}

type subscriber struct {
	c      chan []segment.TraceID
	missed atomic.Int64
}

// Subscribe begins a feed of the traces whose documents become durable from now
// on. A batch is shared by all subscribers: it is not to be changed.
func (in *Ingester) Subscribe() Feed {
	s := &subscriber{c: make(chan []segment.TraceID, feedLen)}
	f := &in.feed
	f.mu.Lock()
	if f.subs == nil {
		f.subs = make(map[*subscriber]struct{})
	}
	f.subs[s] = struct{}{}
	f.active.Store(int32(len(f.subs)))
	f.mu.Unlock()
	return Feed{
		C:      s.c,
		Missed: func() int { return int(s.missed.Swap(0)) },
		Cancel: func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.subs, s)
			f.active.Store(int32(len(f.subs)))
		},
	}
}

// publish tells the subscribers about records that are durable.
func (f *feed) publish(records []tracestore.Record) {
	if f.active.Load() == 0 || len(records) == 0 {
		return
	}
	ids := make([]segment.TraceID, 0, len(records))
	for i := range records {
		// Documents of one trace mostly come one after the other.
		if id := records[i].Segment.TraceID; len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		select {
		case s.c <- ids:
		default:
			s.missed.Add(int64(len(ids)))
		}
	}
}
