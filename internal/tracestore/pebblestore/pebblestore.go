package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// FormatVersion is the version of the data folder that this package writes.
// docs/format/store.md describes it.
const FormatVersion = 1

// viewVersion numbers how views are derived from documents. A folder whose
// views were derived in another way has them made again when it is opened.
const viewVersion = 8

// Config sets up a Store.
type Config struct {
	Dir        string                // data folder, made when it does not exist
	FS         vfs.FS                // nil: the disk
	Retention  time.Duration         // age by arrival after which documents go; 0: never
	DiskBudget int64                 // bytes the folder may take; the oldest documents go first; 0: no bound
	MinFree    int64                 // writes are refused while less than this is free on the volume; 0: a default
	TailBytes  int64                 // documents waiting for the views, beyond it Write answers ErrOverloaded; 0: a default
	CacheBytes int64                 // block cache; 0: a default
	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // nil: time.Now

	// Spans says how spans become segments. When it is not what it was, the views
	// are derived again.
	Spans otlp.Mapping

	// Groups returns the versions of groups by which traces are filed, nil: there
	// are none. It is called often, by one goroutine at a time; what it returned
	// must not be changed.
	Groups func() []tracestore.Group

	// Of a block of terms, and of a section of one; tests have less in them.
	blockRows, sectionRows int64
}

const (
	defaultTailBytes  = 48 << 20
	defaultCacheBytes = 32 << 20
	queueLength       = 4096

	// docOverhead is about what a parsed document takes besides its text.
	docOverhead = tracestore.DocumentOverhead
)

// Store is a tracestore.Store on Pebble.
type Store struct {
	cfg       Config
	log       *slog.Logger
	metrics   *metrics
	reader    *tracestore.SpanReader // of spans, nil: the standard one
	collected []prometheus.Collector
	fs        vfs.FS
	lock      io.Closer
	cache     *pebble.Cache
	space     space

	parts   parts
	filter  *idFilter
	blocks  blockCache
	words   dictionaries
	tail    tail
	history history
	letters letters

	last    atomic.Uint64 // seq of the latest durable document
	pending pendingBytes

	// admit lets Writes in. They hold it shared while they enter the queue, so
	// that whoever holds it alone knows that the queue gets no more.
	admit struct {
		sync.RWMutex
		closed bool
		down   error // why no session runs, nil while one does
	}
	queue chan *write

	// stepping is full while views are derived, or BetweenSteps runs.
	stepping chan struct{}

	closing  chan struct{} // closed by Close
	closed   chan struct{} // closed when all is done
	closeErr error         // set before closed
	loops    sync.WaitGroup
	leavings sync.WaitGroup // failed instances being closed
	disk     atomic.Int64   // bytes of the folder

	inspected inspected
}

var _ tracestore.Store = (*Store)(nil)

// pendingBytes counts documents that were let in and are not in the views yet.
type pendingBytes struct{ queued, tail atomic.Int64 }

// Load returns all bytes that wait.
func (p *pendingBytes) Load() int64 { return p.queued.Load() + p.tail.Load() }

// Open opens the store in cfg.Dir, which one process at a time may do. It returns
// when everything that was acknowledged before can be read. The error matches
// tracestore.ErrLocked when another process has the folder open and
// tracestore.ErrFormat when another version of the format is in it.
func Open(cfg Config) (*Store, error) {
	if cfg.Dir == "" {
		return nil, errors.New("pebblestore: no data folder is set")
	}
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.TailBytes <= 0 {
		cfg.TailBytes = defaultTailBytes
	}
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = defaultCacheBytes
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.blockRows == 0 {
		cfg.blockRows = blockRows
	}
	if cfg.sectionRows == 0 {
		cfg.sectionRows = sectionRows
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{
		cfg:      cfg,
		log:      cfg.Logger.With(slog.String("component", "store")),
		reader:   tracestore.NewSpanReader(cfg.Spans),
		queue:    make(chan *write, queueLength),
		stepping: make(chan struct{}, 1),
		closing:  make(chan struct{}),
		closed:   make(chan struct{}),
	}
	s.metrics, s.collected = newMetrics(nil, s)
	s.fs = vfs.OnDiskFull(cfg.FS, s.freeBallast)
	s.filter = newIDFilter()
	if err := makeDir(cfg.FS, cfg.Dir); err != nil {
		return nil, fmt.Errorf("pebblestore: make data folder %s: %w", cfg.Dir, err)
	}
	var err error
	if s.lock, err = lockDir(cfg.FS, cfg.Dir); err != nil {
		return nil, fmt.Errorf("pebblestore: %w", err)
	}
	s.cache = pebble.NewCache(cfg.CacheBytes)
	s.lookAtSpace()
	ss, err := s.startSession()
	if err != nil {
		s.leavings.Wait()
		s.cache.Unref()
		return nil, errors.Join(fmt.Errorf("pebblestore: %w", err), s.lock.Close())
	}
	if cfg.Registerer != nil {
		for _, c := range s.collected {
			if err := cfg.Registerer.Register(c); err != nil {
				s.log.Warn("metric was not registered", "err", err)
			}
		}
	}
	s.loops.Go(s.spaceLoop)
	go s.supervise(ss)
	return s, nil
}

// makeDir makes a folder whose existence survives a power cut.
func makeDir(fs vfs.FS, dir string) error {
	var missing []string
	for d := dir; ; d = fs.PathDir(d) {
		if _, err := fs.Stat(d); err == nil {
			missing = append(missing, d)
			break
		} else if !oserror.IsNotExist(err) {
			return err
		}
		missing = append(missing, d)
		if fs.PathDir(d) == d {
			break
		}
	}
	if len(missing) == 1 {
		return nil
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range missing[1:] {
		parent, err := fs.OpenDir(d)
		if err != nil {
			return err
		}
		if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
			return err
		}
	}
	return nil
}

// lockDir takes the folder for this process.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	lock, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if err == nil {
		return lock, nil
	}
	if isLockHeld(err) {
		return nil, fmt.Errorf("%w: another process has %s open; stop it, or choose another data folder", tracestore.ErrLocked, dir)
	}
	if oserror.IsPermission(err) {
		return nil, fmt.Errorf("data folder %s is not writable for this user: %w", dir, err)
	}
	return nil, fmt.Errorf("data folder %s cannot be locked: %w", dir, err)
}

// checkFormat compares the versions in the folder with ours and writes them into
// an empty one. It reports whether the views are to be derived again.
func checkFormat(i *instance, dir string, views uint32) (rebuild bool, err error) {
	value, closer, err := i.db.Get(formatKey)
	switch {
	case err == nil:
		defer closer.Close()
		if len(value) != 8 {
			return false, fmt.Errorf("%w: %s: the version has %d bytes", tracestore.ErrFormat, dir, len(value))
		}
		switch v := binary.BigEndian.Uint32(value); {
		case v > FormatVersion:
			return false, fmt.Errorf("%w: %s was written in format version %d by a newer release, this one knows version %d: run that release, or choose another data folder",
				tracestore.ErrFormat, dir, v, FormatVersion)
		case v < FormatVersion:
			return false, fmt.Errorf("%w: %s was written in format version %d, this release reads version %d only: export the data with the release that wrote it and import it here, or choose another data folder",
				tracestore.ErrFormat, dir, v, FormatVersion)
		}
		return binary.BigEndian.Uint32(value[4:]) != views, nil
	case !errors.Is(err, pebble.ErrNotFound):
		return false, err
	}
	it, err := i.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	foreign := it.First()
	if err := it.Close(); err != nil {
		return false, err
	}
	if foreign {
		return false, fmt.Errorf("%w: %s holds data of something else: choose another data folder", tracestore.ErrFormat, dir)
	}
	b := i.db.NewBatch()
	defer b.Close()
	setFormat(b, views)
	if err := i.apply(b, true); err != nil {
		return false, err
	}
	return false, i.wait(b)
}

func setFormat(b *pebble.Batch, views uint32) {
	value := binary.BigEndian.AppendUint32(nil, FormatVersion)
	must(b.Set(formatKey, binary.BigEndian.AppendUint32(value, views), nil))
}

// views tells how views are derived: viewVersion, and above it a hash of the mapping of
// spans, 0 for the zero mapping.
func (s *Store) views() uint32 {
	m := s.cfg.Spans
	if m.IsZero() {
		return viewVersion
	}
	h := xxhash.New()
	for _, list := range [][]string{m.Indexed, m.LogGroups, {strconv.FormatBool(m.IndexAll)}} {
		list = slices.Clone(list)
		slices.Sort(list)
		fmt.Fprintf(h, "%q\n", list)
	}
	return viewVersion | uint32(h.Sum64()|1)<<8
}

// must panics on an error that cannot be: batches in memory refuse nothing.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// formatError tells a folder that Pebble cannot read from other failures.
func formatError(dir string, err error) error {
	text := err.Error()
	if strings.Contains(text, "format major version") || strings.Contains(text, "comparer name") {
		return fmt.Errorf("%w: %s was written by another release or another program: run the release that wrote it, or choose another data folder: %w",
			tracestore.ErrFormat, dir, err)
	}
	return err
}

// LastSeq implements tracestore.Searcher.
func (s *Store) LastSeq() uint64 { return s.last.Load() }

func (s *Store) rolled() uint64 { return s.tail.rolled.Load() }

// Stats implements tracestore.Store. Its figures are a few hundred milliseconds old.
func (s *Store) Stats() tracestore.Stats {
	st := tracestore.Stats{
		LastSeq:   s.LastSeq(),
		RolledSeq: s.rolled(),
		TailBytes: s.pending.Load(),
		TailLimit: s.cfg.TailBytes,
		DiskBytes: s.disk.Load(),
		FreeBytes: max(0, s.space.free.Load()),
	}
	list := s.parts.copy()
	for _, p := range list {
		st.Documents += p.docs
	}
	st.Parts = len(list)
	if len(list) > 0 {
		st.OldestPart = list[0].created
	}
	s.admit.RLock()
	down := s.admit.down
	s.admit.RUnlock()
	switch {
	case down != nil:
		st.Unavailable = down.Error()
	case s.space.low.Load():
		st.Unavailable = s.lowSpace().Error()
	}
	return st
}

// isClosing reports whether Close was called.
func (s *Store) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Close refuses further Writes, stores and acknowledges those under way, brings
// the views up to date and closes the folder. It may be called again.
func (s *Store) Close() error {
	s.admit.Lock()
	if !s.admit.closed {
		s.admit.closed = true
		close(s.closing)
	}
	s.admit.Unlock()
	<-s.closed
	return s.closeErr
}

// finish releases what the sessions shared. The supervisor calls it last.
func (s *Store) finish(err error) {
	s.loops.Wait()
	s.leavings.Wait()
	if s.cfg.Registerer != nil {
		for _, c := range s.collected {
			s.cfg.Registerer.Unregister(c)
		}
	}
	s.cache.Unref()
	s.closeErr = errors.Join(err, s.lock.Close())
	close(s.closed)
}

// WaitRolled implements tracestore.Store. It returns the store's error when the
// store is not available.
func (s *Store) WaitRolled(ctx context.Context) error {
	target := s.last.Load()
	for {
		s.tail.mu.RLock()
		v, done := s.tail.view, s.tail.progress
		ready := v != nil && v.w >= target && len(s.tail.held) == 0
		s.tail.mu.RUnlock()
		if s.isClosing() {
			return tracestore.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if ready {
			return nil
		}
		if v == nil {
			return s.unavailable()
		}
		s.tail.force.Store(true)
		s.wakeRoller()
		select {
		case <-done:
		case <-ctx.Done():
		case <-s.closing:
		}
	}
}

// unavailable returns why nothing can be read or written.
func (s *Store) unavailable() error {
	s.admit.RLock()
	defer s.admit.RUnlock()
	if s.admit.closed {
		return tracestore.ErrClosed
	}
	if s.admit.down != nil {
		return s.admit.down
	}
	return tracestore.ErrUnavailable
}
