package pebblestore

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

const (
	// memTableSize times maxMemTables is the memory that writes may fill before
	// they wait for flushes. As much lies in logs, so a small disk budget makes
	// them smaller.
	memTableSize = 24 << 20
	maxMemTables = 3
	// maxSublevels is how far L0 may grow before writes wait for compactions.
	maxSublevels = 40
)

// instance is one opening of Pebble on the folder. A store has one at a time;
// when it fails it is left behind and another one is opened.
type instance struct {
	db    *pebble.DB
	fence *fence
	log   *slog.Logger

	failed chan struct{} // closed when the instance must not be used any more
	cause  error         // set before failed is closed
	once   sync.Once

	// applyMu makes one goroutine at a time apply a batch: a panic on Pebble's
	// commit path leaves its mutex locked, and the next to come would hang.
	applyMu sync.Mutex

	memTable  int64         // bytes of a full one
	memTables atomic.Int32  // in use, about
	full      atomic.Bool   // memory or L0 is full
	disk      atomic.Uint64 // bytes, from the latest look at Pebble's figures

	// users counts readers, so that closing waits for them.
	users sync.WaitGroup
	mu    sync.Mutex // guards users.Add against Wait
	gone  bool
}

// fail marks the instance as unusable.
func (i *instance) fail(err error) {
	i.fence.tripped.Store(true)
	i.once.Do(func() {
		i.cause = err
		close(i.failed)
	})
}

// err returns why the instance must not be used, as a caller of the store is to
// see it; nil while all is well.
func (i *instance) err() error {
	select {
	case <-i.failed:
		return outage(i.cause)
	default:
		return nil
	}
}

// outage dresses the cause of a failed instance.
func outage(cause error) error {
	if vfs.IsNoSpaceError(cause) {
		return fmt.Errorf("%w: %w", tracestore.ErrNoSpace, cause)
	}
	return fmt.Errorf("%w: %w", tracestore.ErrUnavailable, cause)
}

// acquire keeps the instance open until release.
func (i *instance) acquire() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.gone {
		return false
	}
	i.users.Add(1)
	return true
}

func (i *instance) release() { i.users.Done() }

// openInstance opens Pebble in the data folder on fs.
func openInstance(fs vfs.FS, cfg *Config, cache *pebble.Cache, log *slog.Logger, m *metrics) (_ *instance, err error) {
	i := &instance{log: log, memTable: memTableSize, failed: make(chan struct{})}
	if cfg.DiskBudget > 0 {
		i.memTable = min(memTableSize, max(cfg.DiskBudget/32, 256<<10))
	}
	i.fence = newFence(fs, func(err error) { i.fail(err) })
	defer func() {
		if r := recover(); r != nil {
			i.fail(fmt.Errorf("pebble: %v", r))
			err = fmt.Errorf("open pebble: %v", r)
		}
	}()
	i.db, err = pebble.Open(cfg.Dir, i.options(cache, m))
	if failed := i.err(); failed != nil {
		// Some step of Open failed behind the fence, so what it made is not on disk.
		if err == nil {
			i.abandon()
		}
		return nil, fmt.Errorf("open pebble: %w", i.cause)
	}
	if err != nil {
		i.fail(err)
		return nil, fmt.Errorf("open pebble: %w", err)
	}
	return i, nil
}

func (i *instance) options(cache *pebble.Cache, m *metrics) *pebble.Options {
	o := &pebble.Options{
		FS:                 i.fence,
		Comparer:           keyComparer,
		Merger:             merger,
		FormatMajorVersion: pebble.FormatValueSeparation,
		Cache:              cache,
		MaxOpenFiles:       500,

		MemTableSize: uint64(i.memTable),
		// Stalls inside Pebble hold its commit mutex and do not end when it fails; so
		// the committer waits by itself (instance.stalled), long before these.
		MemTableStopWritesThreshold: 1000,
		L0StopWritesThreshold:       10000,

		L0CompactionThreshold:     4,
		L0CompactionFileThreshold: 500,
		LBaseMaxBytes:             64 << 20,
		FlushSplitBytes:           4 << 20,
		FlushDelayDeleteRange:     time.Second,
		BytesPerSync:              512 << 10,
		WALBytesPerSync:           0,

		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		Logger:                     pebbleLogger{i},
		EventListener:              i.listener(m),
	}
	for l := range o.Levels {
		o.Levels[l].BlockSize = 16 << 10
		o.Levels[l].IndexBlockSize = 64 << 10
		o.Levels[l].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[l].Compression = func() *sstable.CompressionProfile { return sstable.MinLZCompression }
	}
	// Where data comes to rest, it is worth more work.
	last := &o.Levels[len(o.Levels)-1]
	last.BlockSize = 32 << 10
	last.Compression = func() *sstable.CompressionProfile { return sstable.ZstdCompression }
	o.TargetFileSizes[0] = 8 << 20
	// Pebble's usual scheduler looks ten times a second whether more compactions may
	// run, in a goroutine that stays behind when Open fails. One may, always.
	o.Experimental.CompactionScheduler = pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
	o.Experimental.FileCacheShards = 4
	// Keys with a common prefix are not versions of one thing here. Pebble would put the
	// values of all but the first into blocks of their own, which are kept in memory until their
	// table is finished, and are one more block to read.
	o.Experimental.SpanPolicyFunc = func([]byte) (pebble.SpanPolicy, []byte, error) {
		return pebble.SpanPolicy{DisableValueSeparationBySuffix: true}, nil, nil
	}
	if adjust != nil {
		adjust(o)
	}
	return o
}

// adjust, when set, changes the options; benchmarks compare settings with it.
var adjust func(*pebble.Options)

func (i *instance) listener(m *metrics) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			select {
			case <-i.failed: // what a dead instance complains about is no news
				return
			default:
			}
			m.backgroundErrors.Inc()
			if pebble.IsCorruptionError(err) {
				i.log.Error("damaged data was met in the background", "err", err)
				return
			}
			i.fail(err)
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			m.corruptions.Inc()
			i.log.Error("damaged data was met", "path", info.Path, "err", info.Details)
		},
		WALCreated: func(info pebble.WALCreateInfo) {
			if info.Err == nil {
				i.memTables.Add(1)
			}
		},
		FlushEnd: func(info pebble.FlushInfo) {
			if info.Err == nil {
				i.memTables.Add(int32(-info.Input))
				m.flushes.Inc()
			}
			i.log.Debug("memory was flushed", "input_bytes", info.InputBytes, "duration", info.TotalDuration, "err", info.Err)
		},
		CompactionEnd: func(info pebble.CompactionInfo) {
			if info.Err == nil {
				m.compactions.Inc()
			}
			i.log.Debug("files were compacted", "reason", info.Reason, "duration", info.TotalDuration, "err", info.Err)
		},
	}
}

// stalled reports whether writes should wait for flushes or compactions.
func (i *instance) stalled() bool {
	if i.memTables.Load() <= maxMemTables && !i.full.Load() {
		return false
	}
	i.look() // many memtables may be small ones
	return i.full.Load()
}

// look takes the figures that are too dear for every commit.
func (i *instance) look() {
	m := i.db.Metrics()
	i.full.Store(int64(m.MemTable.Size) > maxMemTables*i.memTable || m.Levels[0].Sublevels > maxSublevels)
	i.disk.Store(m.DiskSpaceUsage())
	// The listener's count can drift (a flush of a large batch counts it as a
	// memtable of its own); Pebble knows.
	i.memTables.Store(int32(m.MemTable.Count))
}

// apply makes a batch visible and puts it on its way to the disk. With sync, the
// caller must call wait before it believes in the batch.
func (i *instance) apply(b *pebble.Batch, sync bool) (err error) {
	i.applyMu.Lock()
	defer i.applyMu.Unlock()
	if err := i.err(); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			i.fail(fmt.Errorf("pebble: %v", r))
			err = i.err()
		}
	}()
	if sync {
		err = i.db.ApplyNoSyncWait(b, pebble.Sync)
	} else {
		err = i.db.Apply(b, pebble.NoSync)
	}
	if err != nil {
		i.fail(err)
	}
	return i.err()
}

// wait returns when the batch that was applied with sync is durable.
func (i *instance) wait(b *pebble.Batch) error {
	if err := b.SyncWait(); err != nil {
		i.fail(err)
	}
	return i.err()
}

// close closes a healthy instance: what is in memory is flushed, so that the next
// start has no log to read.
func (i *instance) close() error {
	flushErr := i.db.Flush()
	err := i.shut()
	if failed := i.err(); failed != nil {
		return failed
	}
	return errors.Join(flushErr, err)
}

// abandon closes a failed instance: nothing of it has reached the disk since it failed.
func (i *instance) abandon() {
	i.fence.trip(errors.New("left behind"))
	i.fence.drain()
	if err := i.shut(); err != nil {
		i.log.Debug("failed instance was closed", "err", err)
	}
}

// shut waits for readers and closes Pebble.
func (i *instance) shut() (err error) {
	i.mu.Lock()
	i.gone = true
	i.mu.Unlock()
	i.users.Wait()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("close pebble: %v", r)
		}
	}()
	i.applyMu.Lock()
	defer i.applyMu.Unlock()
	return i.db.Close()
}

// readError dresses an error that reading from Pebble gave. What an instance that failed
// reads says nothing: it may look for what it only believes to have written.
func (i *instance) readError(what string, err error) error {
	if failed := i.err(); failed != nil {
		return failed
	}
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%s: %w: %w", what, tracestore.ErrCorrupt, err)
	}
	return fmt.Errorf("%s: %w: %w", what, tracestore.ErrUnavailable, err)
}

// pebbleLogger is what Pebble logs to.
type pebbleLogger struct{ i *instance }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.i.log.Enabled(nil, slog.LevelDebug) { //nolint:staticcheck // no context here
		l.i.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	select {
	case <-l.i.failed:
	default:
		l.i.log.Error("pebble", "text", fmt.Sprintf(format, args...))
	}
}

// Fatalf ends the instance, never the process. Pebble believes that the call does
// not return. Where it carries an error and Pebble passes the error on as well
// it does return, so that goroutines and locks are let go in good order; the
// fence sees to it that nothing of what follows reaches the disk. Everywhere
// else Pebble found itself in a state that it holds impossible, and the
// goroutine ends here, with its deferred calls.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.i.fence.tripped.Store(true)
	l.i.fail(fatalError(format, args))
	for _, f := range returning {
		if format == f || strings.HasPrefix(format, f) && f != "%s" {
			return
		}
	}
	runtime.Goexit()
}

// returning lists the formats of the calls whose callers go on to return the error:
// DB.applyInternal, versionSet.create, versionSet.UpdateVersionLocked and base.MustExist.
var returning = []string{"pebble: fatal commit error", "MANIFEST flush", "MANIFEST sync", "MANIFEST set current", "%s", "%v", "%+v"}

// fatalError keeps the error among args in the chain, so that a full disk is
// known as one.
func fatalError(format string, args []any) error {
	text := fmt.Sprintf(format, args...)
	for _, a := range args {
		if err, ok := a.(error); ok {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return errors.New(text)
}
