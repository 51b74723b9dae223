package pebblestore

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

const (
	maxLetters     = 10_000
	maxLetterBytes = 16 << 20
	// maxPending bounds the letters that wait in memory for the next step of the roller.
	maxPending = 2 << 20
)

// letters is the ring of dead letters. New ones wait in memory and are written
// to Q by the roller's goroutine or, when they are many, by whoever adds them.
type letters struct {
	mu      sync.Mutex
	kept    []keptLetter // all that are kept, oldest first
	bytes   int          // of kept
	pending []tracestore.DeadLetter
	waiting int    // bytes of pending
	last    uint64 // N of the latest letter
	removed uint64 // letters up to here are to be removed from Q
}

type keptLetter struct {
	n     uint64
	bytes int
}

func letterBytes(l *tracestore.DeadLetter) int {
	return 64 + len(l.Source) + len(l.Peer) + len(l.Code) + len(l.Message) + len(l.Detail) + len(l.Remedy) + len(l.ID) + len(l.Document)
}

func appendLetter(dst []byte, l *tracestore.DeadLetter) []byte {
	dst = append(dst, 1) // version of the value
	dst = binary.BigEndian.AppendUint64(dst, uint64(l.Time))
	dst = binary.AppendUvarint(dst, uint64(l.Size))
	for _, s := range []string{l.Source, l.Peer, l.Code, l.Message, l.Detail, l.Remedy, l.ID} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return append(dst, l.Document...)
}

func decodeLetter(key, value []byte) (l tracestore.DeadLetter, err error) {
	r := blockReader{b: value}
	version := r.byte()
	if len(key) != 9 || version != 1 {
		return l, corrupt(key, fmt.Errorf("dead letter of version %d", version))
	}
	l.N = binary.BigEndian.Uint64(key[1:])
	l.Time = int64(r.uint64())
	l.Size = int(r.uvarint())
	for _, s := range []*string{&l.Source, &l.Peer, &l.Code, &l.Message, &l.Detail, &l.Remedy, &l.ID} {
		*s = r.string()
	}
	l.Document = slices.Clone(r.b)
	if r.bad {
		return l, corrupt(key, fmt.Errorf("dead letter of %d bytes", len(value)))
	}
	return l, nil
}

// load reads which letters are there. Letters that wait in memory, after a
// failure of the disk, stay.
func (l *letters) load(inst *instance) error {
	lower, upper := tagSpan(tagLetter)
	it, err := inst.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return inst.readError("read dead letters", err)
	}
	defer it.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept, l.bytes, l.removed = nil, 0, 0
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return inst.readError("read dead letters", err)
		}
		if len(it.Key()) != 9 {
			return corrupt(it.Key(), fmt.Errorf("key of %d bytes", len(it.Key())))
		}
		n := binary.BigEndian.Uint64(it.Key()[1:])
		if len(l.pending) > 0 && n >= l.pending[0].N {
			break // written after all; they will be once more
		}
		l.kept = append(l.kept, keptLetter{n, len(value) + 64})
		l.bytes += len(value) + 64
		l.last = max(l.last, n)
	}
	if err := it.Error(); err != nil {
		return inst.readError("read dead letters", err)
	}
	for i := range l.pending {
		size := letterBytes(&l.pending[i])
		l.kept = append(l.kept, keptLetter{l.pending[i].N, size})
		l.bytes += size
	}
	return nil
}

// flush writes the letters that wait.
func (l *letters) flush(inst *instance) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushLocked(inst)
}

func (l *letters) flushLocked(inst *instance) error {
	if len(l.pending) == 0 && l.removed == 0 {
		return nil
	}
	b := inst.db.NewBatch()
	defer b.Close()
	if l.removed > 0 {
		must(b.DeleteRange([]byte{tagLetter}, appendLetterKey(nil, l.removed+1), nil))
	}
	for i := range l.pending {
		must(b.Set(appendLetterKey(nil, l.pending[i].N), appendLetter(nil, &l.pending[i]), nil))
	}
	if err := inst.apply(b, false); err != nil {
		return err
	}
	l.pending, l.waiting, l.removed = nil, 0, 0
	return nil
}

// AddDeadLetters implements tracestore.DeadLetters. What waits to be written
// when the process is killed is lost: a quarter of a second of letters.
func (s *Store) AddDeadLetters(list []tracestore.DeadLetter) error {
	r, err := s.read(nil)
	if err != nil {
		return err
	}
	defer r.release()
	l := &s.letters
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped := 0
	for _, d := range list {
		l.last++
		d.N = l.last
		if d.Time == 0 {
			d.Time = s.cfg.Now().UnixMilli()
		}
		d.Document = slices.Clone(d.Document)
		size := letterBytes(&d)
		l.pending = append(l.pending, d)
		l.waiting += size
		l.kept = append(l.kept, keptLetter{d.N, size})
		l.bytes += size
		for len(l.kept) > maxLetters || l.bytes > maxLetterBytes && len(l.kept) > 1 {
			gone := l.kept[0]
			l.kept = l.kept[1:]
			l.bytes -= gone.bytes
			l.removed = gone.n
			if len(l.pending) > 0 && l.pending[0].N == gone.n {
				l.waiting -= gone.bytes
				l.pending = l.pending[1:]
			}
			dropped++
		}
	}
	s.metrics.lettersDropped.Add(float64(dropped))
	if l.waiting > maxPending || len(l.pending) > maxLetters/8 {
		return l.flushLocked(r.inst)
	}
	return nil
}

// DeadLetters implements tracestore.DeadLetters.
func (s *Store) DeadLetters(ctx context.Context, before uint64, limit int) ([]tracestore.DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := s.read(nil)
	if err != nil {
		return nil, err
	}
	defer r.release()
	l := &s.letters
	l.mu.Lock()
	list := []tracestore.DeadLetter{}
	for i := len(l.pending) - 1; i >= 0 && len(list) < limit; i-- {
		if d := l.pending[i]; before == 0 || d.N < before {
			d.Document = slices.Clone(d.Document)
			list = append(list, d)
		}
	}
	var oldest, stored uint64
	if len(l.kept) > 0 {
		oldest, stored = l.kept[0].n, l.last
	}
	if len(l.pending) > 0 {
		stored = l.pending[0].N - 1
	}
	// Made under the lock, so that no letter is written or removed in between.
	it, err := r.inst.db.NewIter(&pebble.IterOptions{LowerBound: appendLetterKey(nil, oldest), UpperBound: []byte{tagLetter + 1}})
	l.mu.Unlock()
	if err != nil {
		return nil, r.inst.readError("read dead letters", err)
	}
	defer it.Close()
	if before == 0 || before > stored {
		before = stored + 1
	}
	for ok := it.SeekLT(appendLetterKey(nil, before)); ok && len(list) < limit; ok = it.Prev() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, r.inst.readError("read dead letters", err)
		}
		d, err := decodeLetter(it.Key(), value)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if err := it.Error(); err != nil {
		return nil, r.inst.readError("read dead letters", err)
	}
	return list, nil
}
