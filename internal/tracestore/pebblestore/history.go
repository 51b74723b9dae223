package pebblestore

import (
	"sync"

	"github.com/roentgen-io/roentgen/segment"
)

// change tells that a roll gave a trace another row, or its first one out of
// several documents.
type change struct {
	id       segment.TraceID
	rolled   uint64 // W after the roll
	firstSeq uint64 // of the trace
	oldLast  uint64 // LastSeq of the row before, 0: there was none
	newFirst uint64 // seq of the first document that the roll added
	newLast  uint64

	start, changed int64 // of the row before
}

// history remembers the latest changes of rows, so that the pages of a question
// find the traces that changed since it was asked first. For questions that are
// older than it, see Store.changedSince.
type history struct {
	mu   sync.RWMutex
	from uint64 // every roll with a higher W is in, as far as it changed rows
	ring []change
	next int // where the next change goes, once the ring is full
}

// maxHistory bounds the memory: 10 MB.
const maxHistory = 1 << 17

func (h *history) reset(w uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.from, h.ring, h.next = w, nil, 0
}

// add notes what a roll changed. It is called before readers see the roll.
func (h *history) add(items []*rollItem, w uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, it := range items {
		if !it.had && len(it.docs) == 1 {
			continue // the row is the trace as of every seq from its first on
		}
		all := it.open.docs
		c := change{
			id: it.id, rolled: w, firstSeq: all[0].Seq, newFirst: it.docs[0].Seq, newLast: it.docs[len(it.docs)-1].Seq,
		}
		if it.had {
			c.oldLast, c.start, c.changed = all[len(all)-len(it.docs)-1].Seq, it.old.start, it.old.changed
		}
		if len(h.ring) < maxHistory {
			h.ring = append(h.ring, c)
			continue
		}
		h.from = h.ring[h.next].rolled
		h.ring[h.next] = c
		h.next = (h.next + 1) % maxHistory
	}
}

// since returns the changes, seen by a view as of w, of traces that began by asOf and got
// documents later, oldest first. ok is false when some may be forgotten.
func (h *history) since(asOf, w uint64) (list []change, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if asOf < h.from {
		return nil, false
	}
	for i := range h.ring {
		c := &h.ring[(h.next+i)%len(h.ring)]
		if c.rolled <= w && c.firstSeq <= asOf && c.newLast > asOf {
			list = append(list, *c)
		}
	}
	return list, true
}
