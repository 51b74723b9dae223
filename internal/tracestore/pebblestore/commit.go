package pebblestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	// commitBytes and commitDocs end the gathering of Writes for one commit. What
	// comes in one Write stays together however large it is.
	commitBytes = 1 << 20
	commitDocs  = 4096
	// inFlight is how many commits are packed or synced at a time: one of each.
	inFlight = 2
	// doubtTime is how long a Write waits for the store to find out what became of it.
	doubtTime = 10 * time.Second
)

// errInDoubt is the answer to a Write of which nobody can say whether it was
// stored: the disk failed while it was written, and is not back yet.
var errInDoubt = errors.New("pebblestore: the disk failed during the write; its documents may or may not be stored")

// write is one call of Write on its way through the store.
type write struct {
	records []tracestore.Record
	size    int64 // as counted in pending
	last    uint64
	done    chan error // has room for the answer
}

// Write implements tracestore.Writer.
//
// When the disk fails under a Write, the answer waits until the folder was read
// again, and says what is true then: nil, or an error and nothing is stored. If
// that takes more than 10 s the error matches none of tracestore's, and the
// records may be stored or not.
func (s *Store) Write(ctx context.Context, records []tracestore.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var sources sourceSet
	w := &write{records: records, done: make(chan error, 1)}
	for i := range records {
		if records[i].Segment == nil {
			return fmt.Errorf("pebblestore: record %d was not parsed", i)
		}
		w.size += int64(len(records[i].Data)) + docOverhead
		if sources.first(records, i) {
			w.size += int64(len(records[i].Source))
		}
	}
	if err := s.enqueue(w); err != nil {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sourceSet knows the memory of the sources of a Write, of which many records may share one.
type sourceSet map[*byte]struct{}

// first reports whether record i is the first with its source. It has to be asked in order.
func (s *sourceSet) first(records []tracestore.Record, i int) bool {
	source := records[i].Source
	if len(source) == 0 || i > 0 && sameMemory(source, records[i-1].Source) {
		return false
	}
	at := unsafe.SliceData(source)
	if _, ok := (*s)[at]; ok {
		return false
	}
	if *s == nil {
		*s = make(sourceSet)
	}
	(*s)[at] = struct{}{}
	return true
}

// enqueue lets a Write in or says why not.
func (s *Store) enqueue(w *write) error {
	s.admit.RLock()
	defer s.admit.RUnlock()
	switch {
	case s.admit.closed:
		s.metrics.refused.WithLabelValues("closed").Inc()
		return tracestore.ErrClosed
	case len(w.records) == 0:
		return nil
	case s.admit.down != nil:
		s.metrics.refused.WithLabelValues(refusal(s.admit.down)).Inc()
		return s.admit.down
	case s.space.low.Load():
		s.metrics.refused.WithLabelValues("no_space").Inc()
		return s.lowSpace()
	}
	// A Write that is larger than the bound by itself gets in when it is alone.
	queued := s.pending.queued.Add(w.size)
	if all := queued + s.pending.tail.Load(); all <= s.cfg.TailBytes || all == w.size {
		select {
		case s.queue <- w:
			return nil
		default:
		}
	}
	s.pending.queued.Add(-w.size)
	s.metrics.refused.WithLabelValues("overloaded").Inc()
	return fmt.Errorf("%w: %d MB of documents wait to be stored or searched, %d MB may", tracestore.ErrOverloaded, s.pending.Load()>>20, s.cfg.TailBytes>>20)
}

func refusal(err error) string {
	if errors.Is(err, tracestore.ErrNoSpace) {
		return "no_space"
	}
	return "unavailable"
}

// answer ends a Write.
func (s *Store) answer(w *write, err error) {
	s.pending.queued.Add(-w.size)
	w.done <- err
}

// commit is a batch on its way.
type commit struct {
	writes []*write
	docs   []tailDoc
	batch  *pebble.Batch
	begun  time.Time
	last   uint64
}

// committer packs and applies commits. One goroutine uses it.
type committer struct {
	s       *Store
	inst    *instance
	seq     uint64 // of the latest document
	put     uint64 // of the latest Write
	encoder *blockEncoder

	// scratch space
	docs    []blockDoc
	block   []byte
	key     []byte
	latest  map[segment.TraceID]int32 // index of the trace's latest document in the commit
	next    []int32                   // index of the next document of the same trace
	further []uint64
}

// run commits what comes until the instance fails or, after drain was closed,
// the queue is empty. It closes commits when it ends.
func (c *committer) run(commits chan<- *commit, slots chan struct{}, drain <-chan struct{}) {
	defer close(commits)
	for {
		select {
		case slots <- struct{}{}:
		case <-c.inst.failed:
			return
		}
		var first *write
		select {
		case first = <-c.s.queue:
		case <-c.inst.failed:
			return
		case <-drain:
			select {
			case first = <-c.s.queue:
			default:
				return
			}
		}
		if err := c.pause(); err != nil {
			c.s.answer(first, err)
			return
		}
		m := c.gather(first)
		newest, fresh, err := c.pack(m)
		if err != nil { // nothing was applied
			for _, w := range m.writes {
				c.s.answer(w, err)
			}
			c.inst.fail(err)
			return
		}
		if err := c.inst.apply(m.batch, true); err == nil {
			if fresh {
				c.s.parts.add(newest)
			} else {
				c.s.parts.update(newest.id, func(p *part) { p.docs, p.bytes, p.counted = newest.docs, newest.bytes, newest.counted })
			}
		}
		commits <- m // has room for every slot; when apply failed, wait tells
	}
}

// pause waits while Pebble's memory or first level is full.
func (c *committer) pause() error {
	for c.inst.stalled() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-c.inst.failed:
			return c.inst.err()
		}
	}
	return nil
}

// gather takes the Writes that wait into one commit.
func (c *committer) gather(first *write) *commit {
	m := &commit{begun: time.Now(), writes: []*write{first}}
	size, n := first.size, len(first.records)
	for size < commitBytes && n < commitDocs {
		select {
		case w := <-c.s.queue:
			m.writes = append(m.writes, w)
			size += w.size
			n += len(w.records)
			continue
		default:
		}
		break
	}
	m.docs = make([]tailDoc, 0, n)
	for _, w := range m.writes {
		c.put++
		var sources sourceSet
		for i := range w.records {
			r := &w.records[i]
			c.seq++
			m.docs = append(m.docs, tailDoc{
				Document: trace.Document{Seq: c.seq, Put: c.put, Received: r.Received, Segment: r.Segment},
				id:       r.Segment.TraceID, data: r.Data, source: r.Source, format: r.Format,
				first: sources.first(w.records, i),
			})
		}
		w.last = c.seq
		w.records = nil
	}
	m.last = c.seq
	return m
}

// pack makes the batch of a commit. It returns the part with the commit counted
// in, and whether the part is new.
func (c *committer) pack(m *commit) (p part, fresh bool, err error) {
	now := c.s.cfg.Now().UnixMilli()
	p, ok := c.s.parts.newest()
	age, size := c.s.cfg.partLength()
	if !ok || now-p.created >= age.Milliseconds() || p.bytes >= size {
		id, err := c.s.parts.nextID()
		if err != nil {
			return p, false, err
		}
		// A clock that was set back does not make a part older than the one before.
		p = newPart(id, max(now, p.created), m.docs[0].Seq)
		fresh = true
	}
	b := c.inst.db.NewBatchWithSize(256 << 10)
	m.batch = b
	raw, stored := 0, 0
	spanTarget := m.spanTarget()
	for i := 0; i < len(m.docs); {
		c.docs = c.docs[:0]
		var source []byte
		spans := m.docs[i].format == tracestore.FormatOTLP
		for n := 0; i < len(m.docs); i++ {
			d := &m.docs[i]
			if spans && n >= spanTarget {
				break
			}
			if !spans && !bytes.Equal(source, d.source) {
				source = d.source
				n += len(source)
			}
			if n += len(d.data) + docNumbers; n > blockTarget && len(c.docs) > 0 && !spans {
				break
			}
			c.docs = append(c.docs, blockDoc{seq: d.Seq, put: d.Put, received: d.Received, format: d.format, source: d.source, data: d.data})
			raw += len(d.data)
		}
		c.block = c.encoder.append(c.block[:0], c.docs)
		c.key = appendDocKey(c.key[:0], p.id, c.docs[len(c.docs)-1].seq)
		must(b.Set(c.key, c.block, nil))
		stored += len(c.block)
	}
	if cap(c.block) > 16*blockTarget {
		c.block = nil
	}
	clear(c.docs[:cap(c.docs)]) // do not keep documents alive

	clear(c.latest)
	c.next = c.next[:0]
	for i := range m.docs {
		c.next = append(c.next, -1)
		id := m.docs[i].id
		if j, ok := c.latest[id]; ok {
			c.next[j] = int32(i)
			m.docs[i].format |= notFirst
		}
		c.latest[id] = int32(i)
	}
	for i := range m.docs {
		if m.docs[i].format&notFirst != 0 {
			m.docs[i].format &^= notFirst
			continue
		}
		c.further = c.further[:0]
		for j := c.next[i]; j >= 0; j = c.next[j] {
			c.further = append(c.further, m.docs[j].Seq)
		}
		c.key = appendTraceKey(c.key[:0], p.id, m.docs[i].id, m.docs[i].Seq)
		c.block = appendSeqs(c.block[:0], m.docs[i].Seq, c.further)
		must(b.Set(c.key, c.block, nil))
		stored += len(c.key) + len(c.block)
	}
	p.docs += uint64(len(m.docs))
	p.bytes += uint64(stored)
	p.counted = m.last
	if fresh {
		must(b.Set(appendPartKey(nil, p.id), p.append(nil), nil))
	}
	c.s.spend(int64(stored))
	c.s.metrics.documents.Add(float64(len(m.docs)))
	c.s.metrics.documentBytes.Add(float64(raw))
	c.s.metrics.blockBytes.Add(float64(stored))
	return p, fresh, nil
}

// spanTarget returns the size of blocks of spans, which are to have much the same.
func (m *commit) spanTarget() int {
	all := 0
	for i := range m.docs {
		all += len(m.docs[i].data) + docNumbers
	}
	blocks := (all + spanBlockTarget - 1) / spanBlockTarget
	return all/max(blocks, 1) + 1
}

// notFirst marks, while a commit is packed, a document that is not the first of its trace.
const notFirst tracestore.Format = 0x80

// settle waits for the syncs of commits, in order, and acknowledges. It returns
// the Writes of commits that failed: nobody knows yet what became of them.
func (s *Store) settle(inst *instance, commits <-chan *commit, slots <-chan struct{}) (doubt []*write) {
	for m := range commits {
		start := time.Now()
		err := inst.err() // also when apply failed: then there is no sync to wait for
		if err == nil {
			err = inst.wait(m.batch)
		}
		if err != nil {
			s.metrics.commits.WithLabelValues("error").Inc()
			doubt = append(doubt, m.writes...)
			<-slots
			continue
		}
		_ = m.batch.Close()
		var size int64
		for i := range m.docs {
			size += m.docs[i].size()
		}
		s.pending.tail.Add(size)
		s.tail.add(m.docs, m.last)
		s.last.Store(m.last)
		for _, w := range m.writes {
			s.answer(w, nil)
		}
		now := time.Now()
		s.metrics.commits.WithLabelValues("ok").Inc()
		s.metrics.syncSeconds.Observe(now.Sub(start).Seconds())
		s.metrics.commitSeconds.Observe(now.Sub(m.begun).Seconds())
		if s.tail.waits.Load() >= rollDocs || s.pending.tail.Load() >= s.cfg.TailBytes/4 {
			s.wakeRoller()
		}
		<-slots
	}
	return doubt
}
