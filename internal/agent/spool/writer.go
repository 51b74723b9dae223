package spool

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// smallFrom is the number of files from which on blocks are packed small.
const smallFrom = 4

// writer belongs to the goroutine of writeLoop.
type writer struct {
	comp    *compressor
	out     vfs.File // the file being written; nil: none
	file    *file
	listed  bool // file is in Spool.mu.files, which it is from its first synced block on
	written int64
	room    int64 // how large the file may become
	seed    uint32
	open    []*block // written to the file, not yet synced
	buf     []byte
	limit   telemetry.Limiter
}

// writeLoop writes what is pending until the Spool closes.
func (s *Spool) writeLoop() {
	defer close(s.closed)
	defer func() {
		if s.w.out != nil {
			_ = s.w.out.Close() // everything in it is synced, or reported as not written
		}
	}()
	for {
		closing := s.gather()
		s.mu.Lock()
		blocks, g := s.mu.pending, s.mu.waiting
		s.mu.pending, s.mu.waiting, s.mu.urgent = nil, newGroup(), false
		s.mu.Unlock()
		if len(blocks) == 0 {
			close(g.done)
			if closing {
				return
			}
			continue
		}
		begin := time.Now()
		rest, err := s.commit(blocks)
		s.mu.Lock()
		s.mu.stats.Commits++
		s.mu.stats.CommitTime += time.Since(begin)
		failed := s.mu.failure
		s.mu.failure = nil
		if err != nil {
			s.mu.pending = append(rest, s.mu.pending...)
			s.mu.failure = fmt.Errorf("%w: %w", ErrFailed, err)
			if isFull(err) {
				s.mu.failure = fmt.Errorf("%w: %w", ErrNoSpace, err)
			}
			g.err = s.mu.failure
		}
		// Those who wait for room have it now, or learn that there is none.
		if s.mu.room != nil {
			close(s.mu.room)
			s.mu.room = nil
		}
		if err != nil {
			s.notify() // Sync learns of it
		}
		s.mu.Unlock()
		close(g.done)
		if err == nil {
			if failed != nil {
				s.logger.Info("the disk takes records again")
			}
			continue
		}
		s.w.limit.Log(s.logger, slog.LevelError, "records not written, trying again", slog.Any("err", err))
		if closing {
			return
		}
		time.Sleep(retryEvery)
		s.signal(s.wake)
	}
}

// gather waits until there is something to write, and a little longer for what
// may come with it unless somebody waits. It reports whether the Spool closes.
func (s *Spool) gather() (closing bool) {
	var deadline <-chan time.Time
	for {
		s.mu.Lock()
		n := len(s.mu.pending)
		now := s.mu.closing || n > 0 && (s.mu.urgent || s.opts.Delay < 0 || n > 1 || len(s.mu.pending[0].records) >= gatherBytes || s.mu.room != nil)
		closing = s.mu.closing
		s.mu.Unlock()
		if now {
			return closing
		}
		if n > 0 && deadline == nil {
			deadline = time.After(s.opts.Delay)
		}
		select {
		case <-s.wake:
		case <-deadline:
			return false
		}
	}
}

// commit writes and syncs blocks. What it could not sync it returns.
func (s *Spool) commit(blocks []*block) (rest []*block, err error) {
	w := &s.w
	small := s.keepsMuch()
	for i, b := range blocks {
		if err := s.ensureFile(b); err != nil {
			return append(w.giveUp(s), blocks[i:]...), err
		}
		h := blockHeader{kind: b.kind, first: b.first, count: b.count, received: b.received}
		w.buf = w.comp.appendBlock(w.buf[:0], h, b.records, w.seed, small)
		n := len(w.buf)
		w.open = append(w.open, b)
		if _, err := w.out.Write(w.buf); err != nil {
			return append(w.giveUp(s), blocks[i+1:]...), err
		}
		w.written += int64(n)
		if cap(w.buf) > 8*blockBytes { // one large record is no reason to keep its memory
			w.buf = nil
		}
	}
	if err := s.flush(); err != nil {
		return w.giveUp(s), err
	}
	return nil, nil
}

// keepsMuch reports whether so much waits that the room it takes counts more than
// the time that packing takes.
func (s *Spool) keepsMuch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.files) > smallFrom
}

// ensureFile makes sure that there is a file with room for b.
func (s *Spool) ensureFile(b *block) error {
	w := &s.w
	if w.out != nil {
		fits := w.written+int64(len(b.records)+blockHeaderSize) <= w.room
		old := w.listed && s.opts.Now().Sub(w.file.born) > s.opts.MaxAge/8
		if fits && !old {
			return nil
		}
		if w.written > fileHeaderSize {
			if err := s.flush(); err != nil {
				return err
			}
			err := w.out.Close()
			w.out = nil
			s.retire(w.file)
			if err != nil {
				return err
			}
			s.dropLarge()
			s.signal(s.tidy)
		} else {
			return nil // a record larger than a file has one to itself
		}
	}
	now := s.opts.Now()
	f := &file{
		name:   fmt.Sprintf("%016x%s", b.first, suffix),
		header: fileHeader{id: rand.Uint64(), first: b.first},
		born:   now, last: now,
	}
	s.mu.Lock()
	spare := s.mu.spare
	s.mu.spare = false
	s.mu.Unlock()
	var out vfs.File
	var err error
	if spare {
		out, err = s.fs.ReuseForWrite(s.path(spareName), s.path(f.name), vfs.WriteCategoryUnspecified)
	}
	if out == nil || err != nil {
		if out, err = s.fs.Create(s.path(f.name), vfs.WriteCategoryUnspecified); err != nil {
			return err
		}
	}
	room, err := allocate(out, s.opts.FileBytes, int64(len(b.records))+4096)
	if err != nil {
		return errors.Join(err, out.Close(), s.fs.Remove(s.path(f.name)))
	}
	f.whole = room == s.opts.FileBytes
	header := f.header.append(nil)
	if _, err := out.Write(bytes.Clone(header)); err != nil {
		return errors.Join(err, out.Close(), s.fs.Remove(s.path(f.name)))
	}
	w.out, w.file, w.listed, w.written, w.room, w.seed = out, f, false, fileHeaderSize, room, f.header.seed()
	s.signal(s.tidy) // a new spare is needed
	return nil
}

// leastFile is the smallest file that is written on a disk that is nearly full.
const leastFile = 128 << 10

// allocate takes room on the disk for a file: size, or less when there is less,
// but enough for need.
func allocate(out vfs.File, size, need int64) (int64, error) {
	size = max(size, need)
	for {
		err := out.Preallocate(0, size)
		if err == nil || !isFull(err) {
			// Where the system cannot allocate ahead, a full disk is met when it is written to.
			return size, nil
		}
		if size/2 < max(need, leastFile) {
			return 0, err
		}
		size /= 2
	}
}

// retire notes that a file is written to no more.
func (s *Spool) retire(f *file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.closed = true
}

// flush syncs the file and shows its blocks to Readers.
func (s *Spool) flush() error {
	w := &s.w
	if len(w.open) == 0 {
		return nil
	}
	if err := w.out.SyncData(); err != nil {
		return err
	}
	if !w.listed {
		// The name of the file has to survive, too.
		if err := syncDir(s.fs, s.opts.Dir); err != nil {
			return err
		}
	}
	size := int64(0)
	for _, b := range w.open {
		size += b.size
	}
	last := w.open[len(w.open)-1]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.listed {
		s.mu.files = append(s.mu.files, w.file)
		w.listed = true
	}
	s.mu.stats.Stored += uint64(w.written - max(w.file.size, fileHeaderSize))
	w.file.end = last.first + uint64(last.count)
	w.file.size = w.written
	w.file.last = s.opts.Now()
	s.mu.synced = w.file.end
	s.mu.pendingBytes -= size
	for _, b := range w.open {
		s.blocks.Put(b.records)
	}
	clear(w.open)
	w.open = w.open[:0]
	s.notify()
	return nil
}

// giveUp leaves the file after an error: what it holds beyond its synced blocks
// is unknown, so these blocks, which are returned, go to another file.
func (w *writer) giveUp(s *Spool) []*block {
	open := append([]*block(nil), w.open...)
	w.open = w.open[:0]
	if w.out != nil {
		_ = w.out.Close() // the error that led here is reported
		w.out = nil
		if !w.listed {
			s.remove(w.file.name)
		}
		s.retire(w.file)
	}
	return open
}

// makeSpare allocates the file that will be written next, when there is none.
func (s *Spool) makeSpare() {
	s.mu.Lock()
	have := s.mu.spare || s.mu.closing
	s.mu.Unlock()
	if have {
		return
	}
	f, err := s.fs.Create(s.path(spareName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return // the writer will meet the same and report it
	}
	err = f.Preallocate(0, s.opts.FileBytes)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = s.fs.Remove(s.path(spareName)) // half a spare helps nobody
		return
	}
	s.mu.Lock()
	s.mu.spare = true
	s.mu.Unlock()
}
