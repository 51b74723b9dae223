package ingest

import (
	"bytes"
	"log/slog"
	"sync"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// CodeMalformed is the code of dead letters that are no document at all.
const CodeMalformed = "Malformed"

const (
	// letterBytes is how much of a refused document is kept.
	letterBytes = 2 << 10
	// letterQueueLen bounds the letters that wait for the store: some 2 MB at most.
	letterQueueLen = 1 << 10
	// letterBatch is how many letters the store gets at once.
	letterBatch = 256
	// letterText bounds each text of a letter: a refusal may quote its document.
	letterText = 1 << 10
)

// newLetter describes the refusal of text. It copies what it keeps: a letter
// may outlive the put by far and must not hold all its memory.
func newLetter(now int64, from Origin, text []byte, r *segment.Refusal) tracestore.DeadLetter {
	return tracestore.DeadLetter{
		Time:     now,
		Source:   string(from.Source),
		Peer:     from.Peer,
		Code:     string(r.Code),
		Message:  cut(r.Message),
		Detail:   cut(r.Detail),
		Remedy:   cut(r.Remedy),
		ID:       cut(r.ID),
		Size:     len(text),
		Document: beginning(text),
	}
}

// beginning returns a copy of the first letterBytes of data.
func beginning(data []byte) []byte { return bytes.Clone(data[:min(len(data), letterBytes)]) }

// cut returns a copy of at most letterText bytes of s.
func cut(s string) string { return string([]byte(s[:min(len(s), letterText)])) }

// letterQueue hands dead letters to the store on a goroutine of its own. When
// it is full, the newest letters are dropped: the oldest of a flood of equal
// ones tell as much.
type letterQueue struct {
	store   tracestore.DeadLetters
	logger  *slog.Logger
	metrics *metrics
	wake    chan struct{} // capacity 1
	done    chan struct{} // closed when the goroutine ended

	mu struct {
		sync.Mutex
		waiting []tracestore.DeadLetter
		closed  bool
	}
}

func newLetterQueue(store tracestore.DeadLetters, logger *slog.Logger, m *metrics) *letterQueue {
	q := &letterQueue{store: store, logger: logger, metrics: m, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// add queues letters and drops what does not fit, which it counts together with
// those of the total that were not even written. It never waits for the store.
func (q *letterQueue) add(letters []tracestore.DeadLetter, total int) {
	q.mu.Lock()
	room := letterQueueLen - len(q.mu.waiting)
	if q.mu.closed {
		room = 0
	}
	fit := min(room, len(letters))
	q.mu.waiting = append(q.mu.waiting, letters[:fit]...)
	if fit > 0 {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	q.mu.Unlock()
	if dropped := total - fit; dropped > 0 {
		q.metrics.lettersDropped.WithLabelValues("queue full").Add(float64(dropped))
	}
}

func (q *letterQueue) run() {
	defer close(q.done)
	for {
		q.mu.Lock()
		batch := q.mu.waiting
		if len(batch) > letterBatch {
			batch = batch[:letterBatch]
		}
		// The rest moves to memory of its own, so that batch stays unchanged.
		q.mu.waiting = append([]tracestore.DeadLetter(nil), q.mu.waiting[len(batch):]...)
		closed := q.mu.closed
		q.mu.Unlock()
		if len(batch) > 0 {
			if err := q.store.AddDeadLetters(batch); err != nil {
				q.metrics.lettersDropped.WithLabelValues("store failed").Add(float64(len(batch)))
				q.logger.Warn("dead letters dropped", slog.Int("letters", len(batch)), slog.Any("err", err))
			}
			continue
		}
		if closed {
			return
		}
		<-q.wake
	}
}

// close hands over what waits, and returns when that was done.
func (q *letterQueue) close() {
	q.mu.Lock()
	if !q.mu.closed {
		q.mu.closed = true
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	q.mu.Unlock()
	<-q.done
}
