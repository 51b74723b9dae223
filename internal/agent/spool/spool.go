package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/agent/freelist"
	"github.com/roentgen-io/roentgen/internal/telemetry"
)

var (
	// ErrClosed reports a Spool that was closed.
	ErrClosed = errors.New("spool: closed")
	// ErrNoSpace reports that the disk is full and so is the memory for what waits for it.
	ErrNoSpace = errors.New("spool: no space left on the disk")
	// ErrFailed reports that the disk takes nothing for another reason.
	ErrFailed = errors.New("spool: the disk fails")
	// ErrLocked reports a folder that another process uses.
	ErrLocked = errors.New("spool: another process uses the folder")
	// ErrTooLarge reports a record beyond MaxRecord.
	ErrTooLarge = errors.New("spool: the record is too large")
)

// MaxRecord is the largest record that a Spool takes.
const MaxRecord = 32 << 20

// Options set up a Spool. Zero values are the defaults.
type Options struct {
	Dir          string        // made if need be
	FS           vfs.FS        // nil: the disk
	MaxBytes     int64         // of all files; 0: 1 GiB; at least 4 MiB
	MaxAge       time.Duration // of a record; 0: 7 days
	FileBytes    int64         // of one file; 0: a sixteenth of MaxBytes, within 1/4 and 16 MiB
	PendingBytes int64         // of records that wait for the disk; 0: 4 MiB
	// Delay is how long records for which nobody waits may gather before they are
	// synced. 0: 10 ms; below 0: not at all.
	Delay  time.Duration
	Logger *slog.Logger     // nil: discard
	Now    func() time.Time // nil: time.Now
}

const (
	defaultMaxBytes = 1 << 30
	defaultMaxAge   = 7 * 24 * time.Hour
	defaultPending  = 4 << 20
	defaultDelay    = 10 * time.Millisecond
	maxFileBytes    = 16 << 20
	minFileBytes    = 256 << 10
	minMaxBytes     = 4 << 20

	// gatherBytes is when the writer no longer waits for more.
	gatherBytes = 64 << 10
	// saveEvery is how often positions are written, and so how much is sent twice after a crash.
	saveEvery = time.Second
	// retryEvery is how often a disk that failed is tried again.
	retryEvery = 250 * time.Millisecond

	// keptBlocks is how many blocks' memory is kept for reuse.
	keptBlocks = 16

	lockName  = "LOCK"
	spareName = "spare"
	suffix    = ".spool"
)

// block is a number of records that wait for the disk.
type block struct {
	kind     Kind
	first    uint64
	count    uint32
	received int64
	size     int64 // of the records alone
	records  []byte
}

// group is everybody who waits for the same sync.
type group struct {
	done chan struct{} // closed when err is set
	err  error
}

// file is a file of the log. Its fields are guarded by Spool.mu; size and end
// grow while it is the last one.
type file struct {
	name   string
	header fileHeader
	end    uint64    // behind the last synced record
	size   int64     // of what is synced
	born   time.Time // when the first record was written
	last   time.Time // when the last one was; of one found at the start, as far as it counts
	whole  bool      // all of FileBytes is allocated, so that the file can serve again
	closed bool      // nothing is written to it any more
}

// Spool is a log of records on disk. It may be used by many goroutines.
type Spool struct {
	opts   Options
	fs     vfs.FS
	logger *slog.Logger
	lock   io.Closer
	unpack *decompressor

	wake   chan struct{} // capacity 1: the writer has something to do
	tidy   chan struct{} // capacity 1: the keeper has something to do
	closed chan struct{}
	wg     sync.WaitGroup
	once   sync.Once

	keeping sync.Mutex // taken before mu

	mu struct {
		sync.Mutex
		pending      []*block
		pendingBytes int64
		waiting      *group // of the next commit
		urgent       bool   // somebody waits for it
		next         uint64 // number of the next record
		synced       uint64 // behind the last record that Readers may see
		changed      chan struct{}
		room         chan struct{} // closed when pending records were written; nil: nobody waits
		failure      error         // why nothing can be written, nil: it can
		closing      bool
		files        []*file
		spare        bool
		places       map[string]*place
		stats        Stats
	}
	w      writer
	blocks freelist.List // memory of pending blocks
}

// place is how far a destination has come.
type place struct {
	done   uint64 // everything before it was delivered
	cursor uint64 // everything before it was read
	saved  uint64 // done, as the file of positions says
	lost   uint64 // records dropped before they were read
	bad    uint64 // records that were damaged
}

// Stats are figures of a Spool.
type Stats struct {
	Files        int
	Bytes        int64  // of the files
	PendingBytes int64  // in memory, waiting for the disk
	First        uint64 // number of the oldest record
	Next         uint64 // number of the next record to come
	Synced       uint64 // behind the last durable record
	Oldest       time.Time
	Appended     uint64 // records since the start
	AppendedRaw  uint64 // their bytes
	Stored       uint64 // bytes written to files
	Commits      uint64
	CommitTime   time.Duration // of all commits together
	Dropped      uint64        // records removed by the limits before somebody had them
	DamagedFiles uint64        // put aside when the Spool was opened
	Failure      string        // "" when the disk works
	Places       map[string]PlaceStats
}

// PlaceStats tells how far a destination has come.
type PlaceStats struct {
	Done, Cursor uint64
	Lost         uint64 // records removed by the limits before they were read
	Damaged      uint64 // records that could not be read
}

// Open opens the Spool in opts.Dir and recovers what is there. The caller closes it.
func Open(opts Options) (*Spool, error) {
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = defaultMaxBytes
	}
	if opts.FileBytes <= 0 { // who says how large files are knows what fits
		opts.MaxBytes = max(opts.MaxBytes, minMaxBytes)
	}
	if opts.MaxAge <= 0 {
		opts.MaxAge = defaultMaxAge
	}
	if opts.FileBytes <= 0 {
		opts.FileBytes = min(max(opts.MaxBytes/16, minFileBytes), maxFileBytes)
	}
	if opts.PendingBytes <= 0 {
		opts.PendingBytes = defaultPending
	}
	if opts.Delay == 0 {
		opts.Delay = defaultDelay
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Spool{
		opts: opts, fs: opts.FS, logger: opts.Logger.With(slog.String("component", "spool")),
		wake: make(chan struct{}, 1), tidy: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	s.blocks = freelist.List{Most: keptBlocks, Bytes: blockBytes}
	s.mu.changed = make(chan struct{})
	s.mu.waiting = newGroup()
	s.mu.places = make(map[string]*place)
	var err error
	if s.unpack, err = newDecompressor(); err != nil {
		return nil, err
	}
	if s.w.comp, err = newCompressor(); err != nil {
		return nil, err
	}
	if err := makeDir(s.fs, opts.Dir); err != nil {
		return nil, fmt.Errorf("make the spool's folder: %w", err)
	}
	if s.lock, err = s.fs.Lock(s.path(lockName)); err != nil {
		if lockHeld(err) {
			return nil, fmt.Errorf("%w: %s", ErrLocked, opts.Dir)
		}
		return nil, fmt.Errorf("lock the spool's folder: %w", err)
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	s.wg.Go(s.writeLoop)
	s.wg.Go(s.keepLoop)
	return s, nil
}

// makeDir makes a folder and those above it that are missing, durably.
func makeDir(fs vfs.FS, dir string) error {
	var parents []string
	for at := dir; ; {
		if _, err := fs.Stat(at); !oserror.IsNotExist(err) {
			break
		}
		above := fs.PathDir(at)
		parents = append(parents, above)
		if above == at {
			break
		}
		at = above
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := syncDir(fs, parent); err != nil {
			return err
		}
	}
	return nil
}

func newGroup() *group { return &group{done: make(chan struct{})} }

func (s *Spool) path(name string) string { return s.fs.PathJoin(s.opts.Dir, name) }

// Dir returns the folder.
func (s *Spool) Dir() string { return s.opts.Dir }

// MaxBytes returns the limit of size.
func (s *Spool) MaxBytes() int64 { return s.opts.MaxBytes }

// FS returns the file system of the folder.
func (s *Spool) FS() vfs.FS { return s.fs }

// Append adds records in their order. With wait it returns when they are synced,
// or cannot be; without, when there is room for them in memory. It copies the
// records. When the error is ErrNoSpace or ErrFailed some of them may be stored
// later all the same.
func (s *Spool) Append(ctx context.Context, kind Kind, records [][]byte, wait bool) error {
	size := int64(0)
	for _, r := range records {
		if len(r) > MaxRecord {
			return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(r))
		}
		size += int64(len(r))
	}
	if len(records) == 0 {
		return nil
	}
	s.mu.Lock()
	for {
		if s.mu.closing {
			s.mu.Unlock()
			return ErrClosed
		}
		if s.mu.pendingBytes == 0 || s.mu.pendingBytes+size <= s.opts.PendingBytes {
			break
		}
		// Nobody should wait for a disk that may never come back.
		if err := s.mu.failure; err != nil {
			s.mu.Unlock()
			return err
		}
		if s.mu.room == nil {
			s.mu.room = make(chan struct{})
		}
		room := s.mu.room
		s.mu.Unlock()
		s.signal(s.wake)
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.mu.Lock()
	}
	if err := s.mu.failure; err != nil && wait {
		s.mu.Unlock()
		return err
	}
	now := s.opts.Now().UnixMilli()
	for _, r := range records {
		s.addPending(kind, r, now)
	}
	s.mu.pendingBytes += size
	s.mu.stats.Appended += uint64(len(records))
	s.mu.stats.AppendedRaw += uint64(size)
	g := s.mu.waiting
	if wait {
		s.mu.urgent = true
	}
	s.mu.Unlock()
	s.signal(s.wake)
	if !wait {
		return nil
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// addPending adds one record to the last pending block, or to a new one. The
// caller holds mu.
func (s *Spool) addPending(kind Kind, record []byte, now int64) {
	var b *block
	if n := len(s.mu.pending); n > 0 {
		b = s.mu.pending[n-1]
	}
	if b == nil || b.kind != kind || len(b.records)+len(record)+maxLength > blockBytes {
		b = &block{kind: kind, first: s.mu.next, received: now, records: s.blocks.Get(max(blockBytes, len(record)+16))}
		s.mu.pending = append(s.mu.pending, b)
	}
	b.records = appendRecord(b.records, record)
	b.count++
	b.size += int64(len(record))
	s.mu.next++
}

func (s *Spool) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Sync returns when everything that was appended before is durable.
func (s *Spool) Sync(ctx context.Context) error {
	s.mu.Lock()
	target := s.mu.next
	s.mu.urgent = true
	for s.mu.synced < target {
		if err := s.mu.failure; err != nil {
			s.mu.Unlock()
			return err
		}
		changed, closing := s.mu.changed, s.mu.closing
		s.mu.Unlock()
		if closing {
			return ErrClosed
		}
		s.signal(s.wake)
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.mu.Lock()
	}
	s.mu.Unlock()
	return nil
}

// Stats returns figures.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.mu.stats
	st.Files = len(s.mu.files)
	for _, f := range s.mu.files {
		st.Bytes += f.size
	}
	st.PendingBytes, st.Next, st.Synced = s.mu.pendingBytes, s.mu.next, s.mu.synced
	st.First = s.oldest()
	if len(s.mu.files) > 0 {
		st.Oldest = s.mu.files[0].born
	}
	if s.mu.failure != nil {
		st.Failure = s.mu.failure.Error()
	}
	st.Places = make(map[string]PlaceStats, len(s.mu.places))
	for name, p := range s.mu.places {
		st.Places[name] = PlaceStats{Done: p.done, Cursor: p.cursor, Lost: p.lost, Damaged: p.bad}
	}
	return st
}

// oldest returns the number of the oldest record. The caller holds mu.
func (s *Spool) oldest() uint64 {
	if len(s.mu.files) == 0 {
		return s.mu.synced
	}
	return s.mu.files[0].header.first
}

// notify tells Readers that something changed. The caller holds mu.
func (s *Spool) notify() {
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

// Close writes what is pending, saves the positions and gives the folder back.
// Readers end with ErrClosed. The error tells of records that could not be written.
func (s *Spool) Close() error {
	var err error
	s.once.Do(func() {
		s.mu.Lock()
		s.mu.closing = true
		if s.mu.room != nil {
			close(s.mu.room)
			s.mu.room = nil
		}
		s.mu.Unlock()
		s.signal(s.wake)
		s.wg.Wait() // the writer closes s.closed when it is done, which ends the keeper
		s.mu.Lock()
		if n := s.mu.next - s.mu.synced; n > 0 {
			err = fmt.Errorf("%d records could not be written: %w", n, s.mu.failure)
		}
		s.notify()
		s.mu.Unlock()
		err = errors.Join(err, s.savePositions(), s.lock.Close())
		s.unpack.z.Close()
		err = errors.Join(err, s.w.comp.z.Close())
	})
	return err
}

// keepLoop saves positions, deletes what is no longer needed, and keeps a spare file.
func (s *Spool) keepLoop() {
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	var limit telemetry.Limiter
	for {
		select {
		case <-s.closed:
			return
		case <-t.C:
		case <-s.tidy:
		}
		if err := s.keep(); err != nil {
			limit.Log(s.logger, slog.LevelWarn, "positions not saved", slog.Any("err", err))
		}
	}
}

// keep does what keepLoop is for. One goroutine at a time calls it.
func (s *Spool) keep() error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	err := s.savePositions()
	s.dropOld()
	s.trim()
	s.makeSpare()
	return err
}

// savePositions writes the positions when they changed.
func (s *Spool) savePositions() error {
	s.mu.Lock()
	places, changed := make(map[string]uint64, len(s.mu.places)), false
	for name, p := range s.mu.places {
		places[name] = p.done
		changed = changed || p.done != p.saved
	}
	s.mu.Unlock()
	if !changed {
		return nil
	}
	if err := writePositions(s.fs, s.opts.Dir, places); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, done := range places {
		if p := s.mu.places[name]; p != nil {
			p.saved = max(p.saved, done)
		}
	}
	return nil
}

// trim deletes files that every destination is past. One is kept as the spare
// when there is none: its room stays ours even when the disk is full.
func (s *Spool) trim() {
	for {
		s.mu.Lock()
		if len(s.mu.files) == 0 || len(s.mu.places) == 0 || !s.mu.files[0].closed {
			s.mu.Unlock()
			return
		}
		f := s.mu.files[0]
		for _, p := range s.mu.places {
			if p.saved < f.end {
				s.mu.Unlock()
				return
			}
		}
		s.mu.files = s.mu.files[1:]
		keep := f.whole && !s.mu.spare
		s.mu.Unlock()
		if keep && s.fs.Rename(s.path(f.name), s.path(spareName)) == nil {
			s.mu.Lock()
			s.mu.spare = true
			s.mu.Unlock()
			continue
		}
		s.remove(f.name)
	}
}

func (s *Spool) remove(name string) {
	if err := s.fs.Remove(s.path(name)); err != nil {
		s.logger.Warn("file not removed", slog.String("file", name), slog.Any("err", err))
	}
}

// dropOld removes files that are older than MaxAge.
func (s *Spool) dropOld() {
	s.drop("older than the spool may keep them", func() bool {
		return s.opts.Now().Sub(s.mu.files[0].last) > s.opts.MaxAge
	})
}

// dropLarge removes the oldest files while all of them take more than MaxBytes.
func (s *Spool) dropLarge() {
	s.drop("the spool is full", func() bool {
		sum := s.opts.FileBytes // of the file being written
		for _, f := range s.mu.files {
			sum += f.size
		}
		return sum > s.opts.MaxBytes
	})
}

// drop removes the oldest file while the condition, asked with mu held, says so,
// and counts what destinations have not read of it. The last file stays.
func (s *Spool) drop(why string, beyond func() bool) {
	for {
		s.mu.Lock()
		if len(s.mu.files) < 2 || !beyond() {
			s.mu.Unlock()
			return
		}
		f := s.mu.files[0]
		s.mu.files = s.mu.files[1:]
		most := uint64(0)
		for _, p := range s.mu.places {
			if from := max(p.cursor, f.header.first); from < f.end {
				p.lost += f.end - from
				most = max(most, f.end-from)
			}
		}
		s.mu.stats.Dropped += most
		s.mu.Unlock()
		if most > 0 {
			s.logger.Error("records dropped", slog.String("reason", why), slog.Uint64("records", most), slog.Uint64("from", f.header.first))
		}
		s.remove(f.name)
	}
}

// Forget gives up the position of a destination that is no longer served.
func (s *Spool) Forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.places, name)
}

// Known lists the destinations that have a position.
func (s *Spool) Known() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.mu.places {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// isFull reports whether an error says that the disk is full.
func isFull(err error) bool {
	return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT)
}
