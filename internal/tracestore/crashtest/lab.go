package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
)

// Engine is what the laboratory needs to know of an engine.
type Engine struct {
	// Open opens the store on a file system, always in the same folder.
	Open func(fs vfs.FS) (tracestore.Store, error)
	// Check compares the engine's views with its documents; nil: it has none.
	Check func(ctx context.Context, s tracestore.Store) error
	// Flush makes the engine write out what it holds in memory, so that a short
	// run has flushes and compactions; nil: nothing is asked for.
	Flush func(s tracestore.Store) error
	// Forgets says that retention is at work: the oldest puts may be gone. It is
	// for FaultEverywhere and CrashEverywhere, where puts come one after the other.
	Forgets bool
	// RecoverIn is how long a store may take to work again by itself after a
	// fault is over; 0: 15 s.
	RecoverIn time.Duration
}

// full reports whether every operation is to be visited.
func full() bool { return os.Getenv("ROENTGEN_CRASH") == "full" }

// Run runs the whole laboratory.
func Run(t *testing.T, e Engine) {
	t.Run("FaultEverywhere", func(t *testing.T) { FaultEverywhere(t, e) })
	t.Run("CrashEverywhere", func(t *testing.T) { CrashEverywhere(t, e) })
	t.Run("CrashAnywhere", func(t *testing.T) { CrashAnywhere(t, e) })
	t.Run("DiskFull", func(t *testing.T) { DiskFull(t, e) })
	t.Run("LowSpace", func(t *testing.T) { LowSpace(t, e) })
	t.Run("SyncFailsOnce", func(t *testing.T) { SyncFailsOnce(t, e) })
}

func (e Engine) open(fs vfs.FS) (s tracestore.Store, err error) {
	err = within("Open", func() error {
		var err error
		s, err = e.Open(fs)
		return err
	})
	return s, err
}

func closeStore(s tracestore.Store) error { return within("Close", s.Close) }

func (e Engine) check(ctx context.Context, s tracestore.Store) error {
	if e.Check == nil {
		return nil
	}
	if err := e.Check(ctx, s); err != nil {
		return fmt.Errorf("the engine's check of its views: %w", err)
	}
	return nil
}

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), patience, fmt.Errorf("no answer for %v", patience))
}

// survey holds a store to the outcomes and checks its views, as they are and
// when they are up to date.
func (e Engine) survey(m *model, s tracestore.Store, outcomes []outcome) (there []bool, err error) {
	ctx, cancel := soon()
	defer cancel()
	for range 2 {
		there, err = m.verify(ctx, s, outcomes)
		for deadline := time.Now().Add(15 * time.Second); err != nil && e.Forgets && time.Now().Before(deadline); {
			// Retention may have removed a part between two questions.
			time.Sleep(300 * time.Millisecond)
			there, err = m.verify(ctx, s, outcomes)
		}
		if err != nil {
			return nil, err
		}
		if err := e.check(ctx, s); err != nil {
			return nil, err
		}
		if err := s.WaitRolled(ctx); err != nil {
			return nil, fmt.Errorf("WaitRolled: %w", err)
		}
	}
	return there, nil
}

// afterCrash opens a store on what a crash left and checks it; then it goes on
// writing, closes and opens it once more.
func (e Engine) afterCrash(m *model, fs vfs.FS, outcomes []outcome) error {
	s, err := e.open(fs)
	if err != nil {
		return fmt.Errorf("open after the crash: %w", err)
	}
	there, err := e.survey(m, s, outcomes)
	if err != nil {
		return errors.Join(fmt.Errorf("after the crash: %w", err), s.Close())
	}
	m.settle(there)
	ctx, cancel := soon()
	defer cancel()
	for range 3 {
		if _, err := m.write(ctx, s, 4); err != nil {
			return errors.Join(fmt.Errorf("Write after the crash: %w", err), s.Close())
		}
	}
	if err := closeStore(s); err != nil {
		return fmt.Errorf("close after the crash: %w", err)
	}
	if s, err = e.open(fs); err != nil {
		return fmt.Errorf("open again after the crash: %w", err)
	}
	if _, err := e.survey(m, s, m.outcomes()); err != nil {
		return errors.Join(fmt.Errorf("opened again after the crash: %w", err), s.Close())
	}
	return closeStore(s)
}

// reusing is held, by many, while a file is reused, and by one while a crash is made.
// MemFS.ReuseForWrite takes a lock for reading twice; CrashClone in between would
// wait for the first, and the second for CrashClone.
var reusing sync.RWMutex

// crash returns what a power cut at this moment leaves.
func crash(mem *vfs.MemFS, rng *rand.Rand) *vfs.MemFS {
	reusing.Lock()
	defer reusing.Unlock()
	percent := []int{0, 50, 50, 100, rng.IntN(101)}[rng.IntN(5)]
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
}

// mode is a way in which operations fail.
type mode struct {
	name    string
	err     error
	forever bool
	match   func(Op) bool
	share   int // of the visited operations, by default
}

var modes = []mode{
	{"IO-once", syscall.EIO, false, nil, 36},
	{"IO-forever", syscall.EIO, true, nil, 24},
	{"Space-once", syscall.ENOSPC, false, nil, 20},
	{"Space-forever", syscall.ENOSPC, true, nil, 24},
	{"Read-once", syscall.EIO, false, func(o Op) bool { return o.Read }, 24},
	{"Read-forever", syscall.EIO, true, func(o Op) bool { return o.Read }, 12},
}

// FaultEverywhere lets one operation after the other fail, once or from there
// on, over the life of a store: made, written to, closed, opened, written to.
//
// The only modes that are run, all when none is named: IO-once, IO-forever,
// Space-once, Space-forever, Read-once, Read-forever.
func FaultEverywhere(t *testing.T, e Engine, only ...string) {
	seed := storetest.Seed(t)
	for k, md := range modes {
		if len(only) > 0 && !slices.Contains(only, md.name) {
			continue
		}
		t.Run(md.name, func(t *testing.T) {
			t.Parallel() // where everything fails, a run waits more than it works
			// How many operations there are, a run without faults tells.
			total, err := e.faultRun(seed, Plan{Match: md.match, Index: 1 << 60, Err: md.err})
			if err != nil {
				t.Fatalf("without any fault: %v", err)
			}
			stride := int64(1)
			if !full() {
				share := md.share
				if testing.Short() {
					share /= 4
				}
				stride = max(1, total.seen/int64(share))
			}
			offset := int64(rand.New(rand.NewPCG(seed, uint64(k))).Uint64N(uint64(stride)))
			var next sync.Mutex
			index, untouched := offset, 0
			var workers sync.WaitGroup
			visited, fired := 0, map[string]int{}
			for range 8 {
				workers.Go(func() {
					for !t.Failed() {
						next.Lock()
						i := index
						index += stride
						// The engine's goroutines make runs differ a little, so the end is only
						// believed when several in a row pass untouched.
						done := untouched >= 8 || i > 4*total.seen+100
						next.Unlock()
						if done {
							return
						}
						r, err := e.faultRun(seed, Plan{Match: md.match, Index: i, Forever: md.forever, Err: md.err})
						next.Lock()
						visited++
						if r.fired == nil {
							untouched++
						} else {
							untouched = 0
							fired[r.fired.Kind]++
						}
						next.Unlock()
						if err != nil {
							t.Errorf("seed %d, %s, operation %d (failed: %v): %v", seed, md.name, i, r.fired, err)
						}
					}
				})
			}
			workers.Wait()
			t.Logf("%d operations, every %d. visited from %d on: %d runs, faults at %v", total.seen, stride, offset, visited, fired)
		})
	}
}

// result tells what a run met.
type result struct {
	fired *Op   // the first operation that failed, nil: none
	seen  int64 // operations counted
}

// faultRun plays the life of one store with a plan of faults and a crash at its end.
func (e Engine) faultRun(seed uint64, plan Plan) (r result, err error) {
	rng := rand.New(rand.NewPCG(seed, uint64(plan.Index)))
	mem := vfs.NewCrashableMem()
	fs := NewFaults(mem)
	m := newModel(rng)
	m.forgets = e.Forgets
	fs.Arm(plan)
	s, err := e.life(m, fs, plan)
	r.fired = fs.Fired()
	fs.mu.Lock()
	r.seen = fs.mu.seen
	fs.mu.Unlock()
	if err != nil {
		fs.Disarm()
		if s != nil {
			err = errors.Join(err, closeStore(s))
		}
		return r, err
	}
	// The power goes before or after the store is closed.
	outcomes := m.outcomes()
	early := rng.IntN(2) == 0
	var left *vfs.MemFS
	if early {
		left = crash(mem, rng)
	}
	if s != nil {
		err := closeStore(s)
		if broken := (*brokenError)(nil); errors.As(err, &broken) || err != nil && fs.Fired() == nil {
			return r, fmt.Errorf("close: %w", err)
		}
	}
	if !early {
		left = crash(mem, rng)
	}
	return r, e.afterCrash(m, left, outcomes)
}

// life opens, writes, closes and opens a store. It returns the store, nil when
// it could not be opened, and an error when a promise is broken that no fault excuses.
func (e Engine) life(m *model, fs *Faults, plan Plan) (tracestore.Store, error) {
	var s tracestore.Store
	// excused reports whether a step's error may be: a fault happened, and the
	// step came back at all.
	excused := func(err error) bool {
		broken := (*brokenError)(nil)
		return fs.Fired() != nil && !errors.As(err, &broken) && !errors.Is(err, context.DeadlineExceeded)
	}
	open := func() error {
		var err error
		for range 3 {
			if s, err = e.open(fs); err == nil {
				return nil
			}
			s = nil
			if !excused(err) {
				return fmt.Errorf("open: %w", err)
			}
		}
		if !plan.Forever {
			return fmt.Errorf("open still fails after a fault that happened once: %w", err)
		}
		return nil
	}
	step := func(what string, f func(ctx context.Context) error) error {
		ctx, cancel := soon()
		defer cancel()
		if err := within(what, func() error { return f(ctx) }); err != nil && !excused(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	write := func(ctx context.Context) error {
		p, err := m.write(ctx, s, 5)
		if err != nil {
			return err
		}
		docs, err := s.Documents(ctx, p.traces[0], 0)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if m.byText[string(d.Data)] == (place{p.n, 0}) {
				return nil
			}
		}
		return &brokenError{fmt.Sprintf("put %d was acknowledged, but its trace does not show it", p.n)}
	}
	flush := func(context.Context) error {
		if e.Flush == nil {
			return nil
		}
		return e.Flush(s)
	}
	roll := func(ctx context.Context) error {
		// While everything fails the views never come up to date.
		wait := 2 * time.Second
		if fs.Fired() != nil && plan.Forever {
			wait = 50 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if err := s.WaitRolled(ctx); err != nil && !(plan.Forever && fs.Fired() != nil) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	}
	letters := func(context.Context) error {
		return s.AddDeadLetters([]tracestore.DeadLetter{{Time: 1, Source: "udp", Document: []byte("{")}})
	}
	scan := func(ctx context.Context) error {
		_, err := storetest.ScanAll(ctx, s, tracestore.Scan{Clock: tracestore.ClockStart, End: 1 << 62}, 20)
		return err
	}
	// forget waits until retention has removed something.
	oldest := int64(0)
	forget := func(context.Context) error {
		for deadline := time.Now().Add(2 * time.Second); e.Forgets && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if now := s.Stats().OldestPart; now != oldest || fs.Fired() != nil && plan.Forever {
				oldest = now
				break
			}
		}
		return nil
	}
	type action = struct {
		what string
		do   func(ctx context.Context) error
	}
	w, fl, ro, le, sc, fo := action{"Write", write}, action{"flush", flush}, action{"WaitRolled", roll}, action{"AddDeadLetters", letters}, action{"Scan", scan}, action{"forgetting", forget}
	for _, actions := range [][]action{
		{w, fo, w, ro, w, le, fl, w, w},
		{w, fl, sc, ro, w, w, fo, fl, w},
		{sc, w, fo, ro, fl, w},
	} {
		if s != nil {
			if err := step("Close", func(context.Context) error { return s.Close() }); err != nil {
				return s, err
			}
		}
		if err := open(); err != nil || s == nil {
			return nil, err
		}
		for _, a := range actions {
			if err := step(a.what, a.do); err != nil {
				return s, err
			}
		}
	}
	if fs.Fired() != nil && !plan.Forever {
		if err := e.recovered(m, s); err != nil {
			return s, err
		}
	}
	if fs.Fired() != nil && plan.Forever {
		return s, nil
	}
	// A fault may also come just now, or have come in the background, where the
	// engine notices it after a Write or two: then the store may be away for a
	// moment, but it has to come back and hold everything.
	for deadline := time.Now().Add(patience); ; {
		_, err := e.survey(m, s, m.outcomes())
		if err == nil {
			break
		}
		away := errors.Is(err, tracestore.ErrUnavailable) || errors.Is(plan.Err, syscall.ENOSPC) && errors.Is(err, tracestore.ErrNoSpace)
		if fs.Fired() == nil || !away || time.Now().After(deadline) {
			return s, fmt.Errorf("before the crash: %w", err)
		}
		if plan.Forever {
			return s, nil // it fired during the survey
		}
		if err := e.recovered(m, s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// recovered waits until the store takes writes and rolls again by itself.
func (e Engine) recovered(m *model, s tracestore.Store) error {
	recoverIn := e.RecoverIn
	if recoverIn == 0 {
		recoverIn = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), recoverIn)
	defer cancel()
	for {
		_, err := m.write(ctx, s, 3)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("Write still fails %v after the last fault: %w", recoverIn, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for {
		err := s.WaitRolled(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("WaitRolled still fails %v after the last fault: %w", recoverIn, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
