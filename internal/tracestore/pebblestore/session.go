package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// session is the store at work on one instance of Pebble.
type session struct {
	s      *Store
	inst   *instance
	commit *committer
	roller *roller

	drain   chan struct{} // closed: commit what is queued, then end
	stop    chan struct{} // closed: the roller ends after a last step
	loops   sync.WaitGroup
	syncing sync.WaitGroup
	doubt   []*write // set when the loops have ended
	first   uint64   // seq of the latest document that was found
}

// rolledMark is the value of W: how far the views are.
type rolledMark struct {
	w, put  uint64
	seconds int64 // from this second on, cells of seconds are kept
	held    []heldMark
}

// heldMark names a trace whose documents from a seq on are not in the views,
// although they lie below W.
type heldMark struct {
	id   segment.TraceID
	from uint64
}

func (m *rolledMark) append(dst []byte) []byte {
	dst = append(dst, 2) // version of the value
	dst = binary.BigEndian.AppendUint64(dst, m.w)
	dst = binary.BigEndian.AppendUint64(dst, m.put)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.seconds))
	for _, h := range m.held {
		dst = append(dst, h.id[:]...)
		dst = binary.BigEndian.AppendUint64(dst, h.from)
	}
	return dst
}

func decodeRolled(value []byte) (m rolledMark, err error) {
	// Version 1 had no seconds: it belongs to views that are derived again.
	head := 25
	if len(value) > 0 && value[0] == 1 {
		head = 17
	}
	if len(value) < head || value[0] < 1 || value[0] > 2 || (len(value)-head)%(idLen+8) != 0 {
		return m, fmt.Errorf("%w: the mark of the views has %d bytes", tracestore.ErrCorrupt, len(value))
	}
	r := blockReader{b: value[1:]}
	m.w, m.put = r.uint64(), r.uint64()
	if value[0] == 2 {
		m.seconds = int64(r.uint64())
	}
	for len(r.b) > 0 {
		var h heldMark
		copy(h.id[:], r.take(idLen))
		h.from = r.uint64()
		m.held = append(m.held, h)
	}
	return m, nil
}

// startSession opens Pebble, reads what is above W into the tail and lets Writes in.
func (s *Store) startSession() (_ *session, err error) {
	begun := time.Now()
	inst, err := openInstance(s.fs, &s.cfg, s.cache, s.log, s.metrics)
	if err != nil {
		return nil, formatError(s.cfg.Dir, err)
	}
	ss := &session{s: s, inst: inst, drain: make(chan struct{}), stop: make(chan struct{})}
	defer func() {
		if err != nil {
			if failed := inst.err(); failed != nil {
				err = failed
			}
			s.tail.reset(0)
			s.leave(inst)
		}
	}()
	rebuild, err := checkFormat(inst, s.cfg.Dir, s.views())
	if err != nil {
		return nil, err
	}
	if err := ss.recover(rebuild); err != nil {
		return nil, err
	}
	if err := s.letters.load(inst); err != nil {
		return nil, err
	}
	inst.look()
	s.disk.Store(int64(inst.disk.Load()))
	if err := inst.err(); err != nil {
		return nil, err
	}
	ss.start()
	s.admit.Lock()
	s.admit.down = nil
	s.admit.Unlock()
	s.log.Info("store opened", "dir", s.cfg.Dir, "last_seq", s.last.Load(), "rolled_seq", s.rolled(), "parts", len(s.parts.copy()), "duration", time.Since(begun))
	return ss, nil
}

func (ss *session) start() {
	s := ss.s
	commits := make(chan *commit, inFlight)
	slots := make(chan struct{}, inFlight)
	ss.syncing.Go(func() { ss.commit.run(commits, slots, ss.drain) })
	ss.syncing.Go(func() { ss.doubt = s.settle(ss.inst, commits, slots) })
	ss.loops.Go(func() { ss.roller.run(ss.stop) })
	if !s.filter.ready.Load() {
		ss.loops.Go(func() { s.fillFilter(ss.inst, ss.stop) })
	}
}

// leave closes a failed instance in the background.
func (s *Store) leave(inst *instance) {
	inst.fail(errors.New("left behind"))
	inst.fence.drain()
	s.leavings.Go(inst.abandon)
}

// supervise runs sessions until Close: when one fails it starts the next.
func (s *Store) supervise(ss *session) {
	for {
		select {
		case <-ss.inst.failed:
			if next := s.replace(ss); next != nil {
				ss = next
				continue
			}
			s.finish(nil)
		case <-s.closing:
			s.finish(s.end(ss))
		}
		return
	}
}

// end closes a session in good order.
func (s *Store) end(ss *session) error {
	close(ss.drain)
	ss.syncing.Wait()
	close(ss.stop)
	ss.loops.Wait()
	err := ss.inst.err()
	s.refuseQueued(tracestore.ErrClosed)
	for _, w := range ss.doubt {
		s.answer(w, errInDoubt)
	}
	s.tail.reset(s.last.Load())
	if err != nil {
		s.log.Error("store failed while it was closed", "err", err)
		s.leave(ss.inst)
		return fmt.Errorf("pebblestore: close: %w", err)
	}
	if err := ss.inst.close(); err != nil {
		return fmt.Errorf("pebblestore: close: %w", err)
	}
	s.log.Info("store closed", "dir", s.cfg.Dir, "last_seq", s.last.Load())
	return nil
}

// refuseQueued answers the Writes that no commit took. No more come: either the
// store is closed or it is down.
func (s *Store) refuseQueued(err error) {
	for {
		select {
		case w := <-s.queue:
			s.answer(w, err)
		default:
			return
		}
	}
}

// replace leaves a failed session behind and starts another, however often that
// takes. It returns nil when the store is closed meanwhile.
func (s *Store) replace(ss *session) *session {
	cause := ss.inst.err()
	s.admit.Lock()
	s.admit.down = cause
	s.admit.Unlock()
	s.log.Error("store failed; writes are refused until its folder can be opened again", "err", cause)
	close(ss.drain)
	ss.syncing.Wait()
	close(ss.stop)
	ss.loops.Wait()
	s.refuseQueued(cause)
	s.tail.reset(s.last.Load())
	s.leave(ss.inst)

	doubt := ss.doubt
	deadline := time.Now().Add(doubtTime)
	settle := func(answer func(w *write) error) {
		for _, w := range doubt {
			s.answer(w, answer(w))
		}
		doubt = nil
	}
	inDoubt := func(*write) error { return errInDoubt }
	for delay := 20 * time.Millisecond; ; delay = min(2*delay, 2*time.Second) {
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-s.closing:
			timer.Stop()
			settle(inDoubt)
			return nil
		}
		acknowledged := s.last.Load()
		next, err := s.startSession()
		if err == nil {
			s.metrics.reopens.Inc()
			found := next.first
			if found < acknowledged {
				s.log.Error("acknowledged documents are missing after a failure of the disk", "acknowledged_seq", acknowledged, "found_seq", found)
			}
			// What the folder holds now was flushed when it was opened, so it is durable.
			settle(func(w *write) error {
				if w.last <= found {
					return nil
				}
				return cause
			})
			return next
		}
		s.admit.Lock()
		s.admit.down = outage(err)
		s.admit.Unlock()
		s.log.Warn("store could not be opened again yet", "err", err, "retry_in", min(2*delay, 2*time.Second))
		if len(doubt) > 0 && time.Now().After(deadline) {
			settle(inDoubt)
		}
	}
}

// recover reads the state of the folder: parts, W, the documents above it.
func (ss *session) recover(rebuild bool) error {
	s, inst := ss.s, ss.inst
	list, err := loadParts(inst.db)
	if err != nil {
		return inst.readError("read parts", err)
	}
	mark := rolledMark{}
	value, closer, err := inst.db.Get(rolledKey)
	switch {
	case err == nil:
		mark, err = decodeRolled(value)
		_ = closer.Close() // it gives the value's memory back and cannot fail
		if err != nil {
			return err
		}
	case !errors.Is(err, pebble.ErrNotFound):
		return inst.readError("read the mark of the views", err)
	}
	s.parts.set(list)
	list = s.parts.copy()
	s.blocks.clear()
	s.words.clear()
	s.history.reset(mark.w)
	s.pending.tail.Store(0)
	if len(list) == 0 && mark.w == 0 {
		s.filter.ready.Store(true)
	}
	if rebuild {
		s.log.Warn("views are derived again: this release derives them in another way")
		if mark, err = ss.dropViews(mark, list); err != nil {
			return err
		}
		list = s.parts.copy()
	}
	last, put, err := ss.latest(list)
	if err != nil {
		return err
	}
	last, put = max(last, mark.w), max(put, mark.put)
	s.tail.reset(mark.w)
	ss.roller = newRoller(s, inst, mark)
	ss.roller.put = put
	if err := ss.roller.show(mark.w, nil); err != nil {
		return err
	}
	if err := ss.readTail(mark, list); err != nil {
		return err
	}
	s.tail.mu.Lock()
	s.tail.last = last
	s.tail.mu.Unlock()
	s.last.Store(last)
	ss.first = last
	ss.commit = &committer{s: s, inst: inst, seq: last, put: put, encoder: newBlockEncoder(), latest: make(map[segment.TraceID]int32)}
	return nil
}

// latest returns the numbers of the latest document that is stored.
func (ss *session) latest(list []part) (seq, put uint64, err error) {
	it, err := ss.inst.db.NewIter(nil)
	if err != nil {
		return 0, 0, ss.inst.readError("find the latest document", err)
	}
	defer it.Close()
	for i := len(list) - 1; i >= 0; i-- {
		lower, upper := partSpan(tagDocs, list[i].id)
		it.SetBounds(lower, upper)
		if !it.Last() {
			if err := it.Error(); err != nil {
				return 0, 0, ss.inst.readError("find the latest document", err)
			}
			continue
		}
		docs, err := readBlock(ss.inst, it)
		if err != nil {
			return 0, 0, err
		}
		d := docs[len(docs)-1]
		return d.seq, d.put, nil
	}
	return 0, 0, nil
}

// readTail reads the documents that the views lack. When they are many, the
// roller takes them in between.
func (ss *session) readTail(mark rolledMark, list []part) error {
	s, inst := ss.s, ss.inst
	it, err := inst.db.NewIter(nil)
	if err != nil {
		return inst.readError("read the tail", err)
	}
	defer func() { it.Close() }()
	for _, h := range mark.held {
		refs, err := findDocs(inst, it, list, h.id, mark.w)
		if err != nil {
			return err
		}
		var docs []tailDoc
		err = readDocs(s, inst, it, refs, true, func(d *blockDoc) error {
			if d.seq < h.from {
				return nil
			}
			td, ok := s.parse(d)
			if ok {
				docs = append(docs, td)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			continue
		}
		for i := range docs {
			s.pending.tail.Add(docs[i].size())
		}
		s.tail.hold(h.id, docs)
	}
	read, begun := 0, time.Now()
	w := mark.w
	for i := range list {
		if i+1 < len(list) && list[i+1].firstSeq <= w+1 {
			continue
		}
		p := list[i]
		for next := w + 1; ; {
			lower, upper := partSpan(tagDocs, p.id)
			it.SetBounds(lower, upper)
			full := false
			for ok := it.SeekGE(appendDocKey(nil, p.id, next)); ok && !full; ok = it.Next() {
				docs, err := readBlock(inst, it)
				if err != nil {
					return err
				}
				value, err := it.ValueAndErr()
				if err != nil {
					return inst.readError("read the tail", err)
				}
				var add []tailDoc
				for k := range docs {
					d := &docs[k]
					if d.seq <= w {
						continue
					}
					if err := d.verify(); err != nil {
						return corrupt(it.Key(), err)
					}
					if td, ok := s.parse(d); ok {
						add = append(add, td)
					}
				}
				seq := docs[len(docs)-1].seq
				s.parts.update(p.id, func(p *part) {
					if seq > p.counted {
						p.docs += uint64(len(docs))
						p.bytes += uint64(len(value))
						p.counted = seq
					}
				})
				read += len(add)
				ss.tailAdd(add, seq)
				next = seq + 1
				full = s.pending.tail.Load() > s.cfg.TailBytes/2
			}
			if err := it.Error(); err != nil {
				return inst.readError("read the tail", err)
			}
			if !full {
				break
			}
			if err := ss.roller.step(true); err != nil {
				return err
			}
			// A new iterator, for an old one keeps old files alive.
			if err := it.Close(); err != nil {
				return inst.readError("read the tail", err)
			}
			if it, err = inst.db.NewIter(nil); err != nil {
				return inst.readError("read the tail", err)
			}
		}
	}
	if read > 0 {
		s.log.Info("documents were read into the tail", "documents", read, "duration", time.Since(begun))
	}
	return nil
}

func (ss *session) tailAdd(docs []tailDoc, last uint64) {
	for i := range docs {
		ss.s.pending.tail.Add(docs[i].size())
	}
	ss.s.tail.add(docs, last)
}

// parse makes a document of the tail from a stored one. ok is false when it no
// longer parses: then it stays stored and is left out of the views.
func (s *Store) parse(d *blockDoc) (_ tailDoc, ok bool) {
	seg, ok := s.parseStored(d)
	if !ok {
		s.metrics.unparsable.Inc()
		s.log.Warn("a stored document does not parse and is left out of the views", "seq", d.seq, "format", d.format)
		return tailDoc{}, false
	}
	td := tailDoc{id: seg.TraceID, data: d.data, source: d.source, first: true, format: d.format}
	td.Seq, td.Put, td.Received, td.Segment = d.seq, d.put, d.received, seg
	return td, true
}

// parseStored parses a stored document, as far as views need it.
func (s *Store) parseStored(d *blockDoc) (*segment.Segment, bool) {
	stored := tracestore.Stored{Format: d.format, Data: d.data, Source: d.source, Reader: s.reader}
	seg, err := stored.Segment(false)
	return seg, err == nil
}

// dropViews removes all views, so that they are derived from the first document on.
func (ss *session) dropViews(mark rolledMark, list []part) (rolledMark, error) {
	b := ss.inst.db.NewBatch()
	defer b.Close()
	for _, tag := range viewTags {
		lower, upper := tagSpan(tag)
		must(b.DeleteRange(lower, upper, nil))
	}
	w := uint64(0)
	if len(list) > 0 {
		w = list[0].firstSeq - 1
	}
	for _, p := range list {
		ss.s.parts.update(p.id, func(p *part) { p.traces, p.starts, p.changes, p.ends = 0, noSpan, noSpan, noSpan })
	}
	next := rolledMark{w: w, put: mark.put}
	must(b.Set(rolledKey, next.append(nil), nil))
	for _, p := range ss.s.parts.copy() {
		must(b.Set(appendPartKey(nil, p.id), p.append(nil), nil))
	}
	setFormat(b, ss.s.views())
	if err := ss.inst.apply(b, true); err != nil {
		return next, err
	}
	return next, ss.inst.wait(b)
}
