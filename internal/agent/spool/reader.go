package spool

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/agent/freelist"
	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// Batch is a number of records that follow each other. Its memory is its own
// until Free.
type Batch struct {
	Kind     Kind
	First    uint64 // number of the first record
	End      uint64 // behind the last one; damaged records in between are missing
	Records  [][]byte
	Size     int       // bytes of the records
	Received time.Time // when the first one arrived

	buf  []byte
	ends []int
}

// batchMemory is the memory of batches, over all Readers.
var batchMemory = freelist.List{Most: 16, Bytes: 256 << 10}

// Free gives the memory back.
func (b *Batch) Free() {
	batchMemory.Put(b.buf)
	*b = Batch{}
}

// Limits bound a Batch and say how long to wait for it to fill.
type Limits struct {
	Records int
	Bytes   int           // a single record may have more
	Linger  time.Duration // from when the first record is there
}

// Reader reads records for one destination, from its position on. Await, Next and
// Close belong to one goroutine; Done may be called by any.
type Reader struct {
	s    *Spool
	name string
	p    *place

	seq      uint64 // number of the next record to give out
	file     *file
	in       vfs.File
	c        *cursor
	records  []byte // that follow in the current block
	unpacked []byte // memory of records
	kind     Kind
	received int64
	limit    telemetry.Limiter
}

// Reader returns the Reader of a destination. One that has no position yet begins
// where the slowest of the others is, with what somebody still waits for, or with
// the oldest record when there is no other.
func (s *Spool) Reader(name string) *Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.places[name]
	if p == nil {
		p = &place{done: s.oldest()}
		slowest := ^uint64(0)
		for _, other := range s.mu.places {
			slowest = min(slowest, other.done)
		}
		if slowest != ^uint64(0) {
			p.done = max(p.done, slowest)
		}
		s.mu.places[name] = p
	}
	p.cursor = p.done
	return &Reader{s: s, name: name, p: p, seq: p.done}
}

// Done notes that everything before seq was delivered.
func (r *Reader) Done(seq uint64) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.p.done = max(r.p.done, seq)
}

// Close closes the file being read. The position stays.
func (r *Reader) Close() { r.leave() }

func (r *Reader) leave() {
	if r.in != nil {
		_ = r.in.Close() // nothing was written to it
	}
	r.in, r.file, r.c = nil, nil, nil
}

// Next waits for records and returns at least one. The error is ErrClosed, the
// context's, or one of the disk.
func (r *Reader) Next(ctx context.Context, lim Limits) (*Batch, error) {
	for {
		if err := r.Await(ctx, lim); err != nil {
			return nil, err
		}
		b := new(Batch)
		err := r.fill(b, lim)
		if err == nil && len(b.Records) > 0 {
			return b, nil
		}
		b.Free() // all that came was damaged
		if err != nil {
			return nil, err
		}
	}
}

// Await returns when there are records: as many as lim asks for, or those that
// came within lim.Linger of the first.
func (r *Reader) Await(ctx context.Context, lim Limits) error {
	var deadline <-chan time.Time
	for {
		r.s.mu.Lock()
		n, changed, closing := int64(r.s.mu.synced-r.seq), r.s.mu.changed, r.s.mu.closing
		r.s.mu.Unlock()
		if closing {
			return ErrClosed
		}
		if n >= int64(lim.Records) || n > 0 && lim.Linger <= 0 {
			return nil
		}
		if n > 0 && deadline == nil {
			t := time.NewTimer(lim.Linger)
			defer t.Stop()
			deadline = t.C
		}
		select {
		case <-changed:
		case <-deadline:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// fill takes what is there, within lim.
func (r *Reader) fill(b *Batch, lim Limits) error {
	b.First = r.seq
	for len(b.ends) < lim.Records {
		if len(r.records) == 0 {
			more, err := r.load()
			if err != nil && len(b.ends) == 0 {
				return err
			}
			if err != nil || !more {
				break
			}
		}
		record, rest, ok := cutRecord(r.records)
		if !ok { // its checksum was right: written so by mistake
			r.records = nil
			continue
		}
		if len(b.ends) > 0 && (b.Kind != r.kind || b.Size+len(record) > lim.Bytes) {
			break
		}
		if len(b.ends) == 0 {
			b.Kind, b.Received = r.kind, time.UnixMilli(r.received)
			n := min(lim.Records, int(min(r.s.published()-r.seq, 1<<20)))
			b.ends = make([]int, 0, n)
			b.buf = batchMemory.Get(min(max(n*(len(record)+len(record)/8), len(record)), max(lim.Bytes, len(record)), 256<<10+len(record)))
		}
		if need := len(b.buf) + len(record); need > cap(b.buf) {
			more := append(batchMemory.Get(max(need, 2*cap(b.buf))), b.buf...)
			batchMemory.Put(b.buf)
			b.buf = more
		}
		b.buf = append(b.buf, record...)
		b.ends = append(b.ends, len(b.buf))
		b.Size += len(record)
		r.records = rest
		r.seq++
	}
	b.End = r.seq
	begin := 0
	b.Records = make([][]byte, 0, len(b.ends))
	for _, end := range b.ends {
		b.Records = append(b.Records, b.buf[begin:end:end])
		begin = end
	}
	return nil
}

// published returns the number behind the last record that may be read.
func (s *Spool) published() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.synced
}

// load reads the next block that holds something new. It returns false when
// there is none yet.
func (r *Reader) load() (bool, error) {
	s := r.s
	for {
		s.mu.Lock()
		var f *file
		var size int64
		var end uint64
		for _, candidate := range s.mu.files {
			if candidate.end > r.seq {
				f, size, end = candidate, candidate.size, candidate.end
				break
			}
		}
		switch {
		case f != nil:
			r.seq = max(r.seq, f.header.first)
		case r.seq < s.mu.synced:
			// The disk lost the end of the log, which a position says was there.
			r.p.bad += s.mu.synced - r.seq
			r.seq = s.mu.synced
		}
		s.mu.Unlock()
		if f == nil {
			return false, nil
		}
		if f != r.file {
			r.leave()
			in, err := s.fs.Open(s.path(f.name))
			if err != nil {
				if oserror.IsNotExist(err) && !r.listed(f) {
					continue // it was dropped this moment
				}
				return false, err
			}
			r.file, r.in, r.c = f, in, newCursor(in, f.header, size)
		}
		r.c.limit = size
		h, stored, ok, err := r.c.next()
		if err != nil {
			if !r.listed(f) {
				continue
			}
			return false, err
		}
		if !ok || h.first >= end {
			r.damaged(f, end)
			continue
		}
		if h.end() <= r.seq {
			continue
		}
		records, err := s.unpack.records(r.unpacked, &h, stored, r.c.seed)
		if cap(records) <= 8*blockBytes { // one large record is no reason to keep its memory
			r.unpacked = records
		} else {
			r.unpacked = nil
		}
		if errors.Is(err, errDamaged) {
			continue // the block after it shows the gap
		}
		if err != nil {
			return false, err
		}
		if h.first > r.seq {
			r.damaged(f, h.first)
		}
		for range r.seq - h.first {
			if _, records, ok = cutRecord(records); !ok {
				break
			}
		}
		r.records, r.kind, r.received = records, h.kind, h.received
		s.mu.Lock()
		r.p.cursor = h.end()
		s.mu.Unlock()
		if len(r.records) > 0 {
			return true, nil
		}
	}
}

// listed reports whether a file is still part of the log.
func (r *Reader) listed(f *file) bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for _, have := range r.s.mu.files {
		if have == f {
			return true
		}
	}
	return false
}

// damaged passes over the records up to seq.
func (r *Reader) damaged(f *file, seq uint64) {
	n := seq - r.seq
	r.seq = seq
	if n == 0 || !r.listed(f) {
		return
	}
	r.s.mu.Lock()
	r.p.bad += n
	r.p.cursor = max(r.p.cursor, seq)
	r.s.mu.Unlock()
	r.limit.Log(r.s.logger, slog.LevelError, "damaged records passed over",
		slog.String("file", f.name), slog.String("destination", r.name), slog.Uint64("records", n))
}
