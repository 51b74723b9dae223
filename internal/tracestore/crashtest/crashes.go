package crashtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
)

// load is a number of writers on one store. Their model's random numbers come
// out in the order in which they happen to ask.
type load struct {
	stop  chan struct{}
	once  sync.Once
	group sync.WaitGroup
	acks  atomic.Int64
	bad   atomic.Pointer[error] // an error of Write that tolerate did not take
}

// startLoad starts writers that go on until end is called, or so many puts are
// acknowledged that checking them would take the run's time. An error ends a
// writer, unless tolerate takes it: then it tries again with other documents.
func startLoad(m *model, s tracestore.Store, writers int, enough int64, tolerate func(error) bool) *load {
	l := &load{stop: make(chan struct{})}
	for range writers {
		l.group.Go(func() {
			for l.acks.Load() < enough {
				select {
				case <-l.stop:
					return
				default:
				}
				ctx, cancel := soon()
				_, err := m.write(ctx, s, 4)
				late := ctx.Err() != nil
				cancel()
				switch {
				case err == nil:
					l.acks.Add(1)
				case late || !tolerate(err):
					l.bad.CompareAndSwap(nil, &err)
					return
				default:
					time.Sleep(2 * time.Millisecond)
				}
				if enough > 1000 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	return l
}

func (l *load) end() error {
	l.once.Do(func() { close(l.stop) })
	if err := within("ending the writers", func() error { l.group.Wait(); return nil }); err != nil {
		return err
	}
	if err := l.bad.Load(); err != nil {
		return fmt.Errorf("Write: %w", *err)
	}
	return nil
}

// CrashEverywhere cuts the power before every single file operation in the life
// of a store, with nothing failing.
func CrashEverywhere(t *testing.T, e Engine) {
	seed := storetest.Seed(t)
	lives, stride := 1, 1
	switch {
	case full():
		lives = 25
	case testing.Short():
		stride = 4
	}
	for life := range lives {
		e.crashEverywhere(t, seed, uint64(life), stride)
	}
}

func (e Engine) crashEverywhere(t *testing.T, seed, life uint64, stride int) {
	type cut struct {
		n        int
		op       Op
		left     *vfs.MemFS
		outcomes []outcome
	}
	rng := rand.New(rand.NewPCG(seed, life))
	mem := vfs.NewCrashableMem()
	fs := NewFaults(mem)
	m := newModel(rand.New(rand.NewPCG(seed, 500+life)))
	m.forgets = e.Forgets
	cuts := make(chan cut, 16)
	var mu sync.Mutex // of rng and n
	n, looked := rng.IntN(stride), atomic.Int64{}
	before := func(op Op) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%stride != 0 {
			return
		}
		for range 2 {
			c := cut{n: n, op: op, outcomes: m.outcomes()}
			c.left = crash(mem, rng)
			cuts <- c
		}
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for c := range cuts {
				if t.Failed() {
					continue // let the life end
				}
				looked.Add(1)
				if err := e.look(m, c.left, c.outcomes); err != nil {
					t.Errorf("seed %d, life %d, crash before operation %d (%v): %v", seed, life, c.n, c.op, err)
				}
			}
		})
	}
	fs.before.Store(&before)
	s, err := e.life(m, fs, Plan{Index: 1 << 60, Err: syscall.EIO})
	if s != nil {
		err = errors.Join(err, closeStore(s))
	}
	fs.before.Store(nil)
	close(cuts)
	workers.Wait()
	if err != nil {
		t.Errorf("seed %d, life %d: %v", seed, life, err)
	}
	if e.Forgets && m.forgot == 0 {
		t.Error("retention removed nothing in the whole life: nothing of it was tested")
	}
	t.Logf("life %d: %d operations, %d crashes", life, n, looked.Load())
}

// CrashAnywhere cuts the power at random moments under concurrent writers, with
// nothing failing before, many times in a row: each life begins with what the
// crash before has left.
func CrashAnywhere(t *testing.T, e Engine) {
	seed := storetest.Seed(t)
	chains, lives := 3, 8
	switch {
	case full():
		chains, lives = 40, 20
	case testing.Short():
		chains, lives = 1, 5
	}
	for chain := range chains {
		acks, err := e.chain(seed, uint64(chain), lives)
		if err != nil {
			t.Fatalf("seed %d, chain %d: %v", seed, chain, err)
		}
		if acks == 0 {
			t.Fatal("no Write was acknowledged in all lives: nothing was tested")
		}
		t.Logf("chain %d: %d lives, %d acknowledged puts", chain, lives, acks)
	}
}

// chain lives and crashes so many times, checks what is left each time, and
// returns how many puts were acknowledged.
func (e Engine) chain(seed, number uint64, lives int) (acks int64, err error) {
	rng := rand.New(rand.NewPCG(seed, number))
	m := newModel(rand.New(rand.NewPCG(seed, 1000+number)))
	mem := vfs.NewCrashableMem()
	var outcomes []outcome
	for life := range lives {
		s, err := e.open(mem)
		if err != nil {
			return acks, fmt.Errorf("life %d: open: %w", life, err)
		}
		if life > 0 && rng.IntN(3) == 0 { // the next crash follows on the heels of the recovery
			time.Sleep(time.Duration(rng.IntN(5)) * time.Millisecond)
			mem = crash(mem, rng)
			if err := closeStore(s); err != nil {
				return acks, fmt.Errorf("life %d: close: %w", life, err)
			}
			if s, err = e.open(mem); err != nil {
				return acks, fmt.Errorf("life %d: open after a second crash: %w", life, err)
			}
		}
		there, err := e.survey(m, s, outcomes)
		if err != nil {
			return acks, errors.Join(fmt.Errorf("life %d: %w", life, err), closeStore(s))
		}
		m.settle(there)
		var n int64
		mem, outcomes, n, err = e.writeAndCrash(m, s, mem, rng)
		acks += n
		if err != nil {
			return acks, fmt.Errorf("life %d: %w", life, err)
		}
	}
	return acks, e.afterCrash(m, mem, outcomes)
}

// writeAndCrash writes to a store, cuts the power and closes the store. It
// returns what the crash left and what was acknowledged before it.
func (e Engine) writeAndCrash(m *model, s tracestore.Store, mem *vfs.MemFS, rng *rand.Rand) (*vfs.MemFS, []outcome, int64, error) {
	writers := startLoad(m, s, 1+rng.IntN(6), 60, func(err error) bool { return errors.Is(err, tracestore.ErrOverloaded) })
	end := time.Now().Add(time.Duration(5+rng.IntN(150)) * time.Millisecond)
	for time.Now().Before(end) {
		time.Sleep(time.Duration(rng.IntN(40)) * time.Millisecond)
		if e.Flush != nil && rng.IntN(3) == 0 {
			if err := e.Flush(s); err != nil {
				return nil, nil, 0, errors.Join(fmt.Errorf("flush: %w", err), writers.end(), closeStore(s))
			}
		}
	}
	// What was acknowledged before this line must survive.
	outcomes := m.outcomes()
	left := crash(mem, rng)
	err := errors.Join(writers.end(), closeStore(s))
	return left, outcomes, writers.acks.Load(), err
}

// trouble is something that goes wrong for a while.
type trouble struct {
	begin func(fs *Faults, rng *rand.Rand)
	end   func(fs *Faults)
	// met tells that the store noticed, from the errors of Write that were seen.
	met func(fs *Faults, errs []error) bool
}

// transient runs stores under load through rounds of trouble, each store
// through so many.
func transient(t *testing.T, e Engine, rounds int, tr trouble) {
	t.Helper()
	seed := storetest.Seed(t)
	stores := 1
	switch {
	case full():
		stores = 10
	case testing.Short():
		rounds = 1
	}
	for n := range stores {
		e.transient(t, seed, uint64(n), rounds, tr)
	}
}

func (e Engine) transient(t *testing.T, seed, number uint64, rounds int, tr trouble) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 10_000+number))
	m := newModel(rand.New(rand.NewPCG(seed, 20_000+number)))
	mem := vfs.NewCrashableMem()
	fs := NewFaults(mem)
	fs.SetFree(1 << 39)
	s, err := e.open(fs)
	if err != nil {
		t.Fatal(err)
	}
	var writers, late *load
	defer func() {
		// Whatever was found, the writers end before the store is closed.
		for _, l := range []*load{writers, late} {
			if l != nil {
				_ = l.end() // looked at where it was waited for
			}
		}
		if err := closeStore(s); err != nil {
			t.Errorf("close after all troubles are over: %v", err)
		}
	}()
	for round := range rounds {
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d, store %d, round %d: %s", seed, number, round, fmt.Sprintf(format, args...))
		}
		var mu sync.Mutex
		var refusals []error
		note := func(err error) bool {
			mu.Lock()
			defer mu.Unlock()
			refusals = append(refusals, err)
			return true
		}
		writers = startLoad(m, s, 4, 1<<60, note)
		met := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return tr.met(fs, refusals)
		}
		begun := time.Now()
		time.Sleep(time.Duration(20+rng.IntN(60)) * time.Millisecond)
		tr.begin(fs, rng)
		// Writes that the trouble caught half-way may have to wait until it is over
		// before the store knows what became of them; those who come later need not.
		time.Sleep(50 * time.Millisecond)
		late = startLoad(m, s, 2, 1<<60, note)
		for wait := time.Now().Add(10 * time.Second); !met() && time.Now().Before(wait); {
			time.Sleep(5 * time.Millisecond)
		}
		if !met() {
			fail("the trouble was not answered as it should be: %v", refusals)
		}
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		// In half of the rounds the power goes in the middle of the trouble.
		var left *vfs.MemFS
		var outcomes []outcome
		if rng.IntN(2) == 0 {
			outcomes = m.outcomes()
			left = crash(mem, rng)
		}
		tr.end(fs)
		ended := time.Now()
		if err := errors.Join(writers.end(), late.end()); err != nil {
			fail("%v", err)
		}
		if err := e.recovered(m, s); err != nil {
			fail("%v", err)
		}
		working := time.Now()
		if left != nil {
			if err := e.look(m, left, outcomes); err != nil {
				fail("crashed in the middle of the trouble: %v", err)
			}
		}
		if _, err := e.survey(m, s, m.outcomes()); err != nil {
			fail("when the trouble is over: %v", err)
		}
		outcomes = m.outcomes()
		if err := e.look(m, crash(mem, rng), outcomes); err != nil {
			fail("crashed when the trouble is over: %v", err)
		}
		t.Logf("round %d: %d acknowledged, %d refused in %v; works again after %v", round, writers.acks.Load()+late.acks.Load(), len(refusals),
			ended.Sub(begun).Round(time.Millisecond), working.Sub(ended).Round(time.Millisecond))
	}
}

// answered reports whether one of the errors is one of these.
func answered(errs []error, targets ...error) bool {
	for _, err := range errs {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
	}
	return false
}

// look checks what a crash left, without going on with it.
func (e Engine) look(m *model, fs vfs.FS, outcomes []outcome) error {
	s, err := e.open(fs)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	_, err = e.survey(m, s, outcomes)
	return errors.Join(err, closeStore(s))
}

// DiskFull lets the disk be full for a while: whatever needs room fails,
// removing does not, and the volume says that nothing is free.
func DiskFull(t *testing.T, e Engine) {
	needsRoom := func(o Op) bool { return !o.Read && o.Kind != "remove" && o.Kind != "lock" }
	transient(t, e, 4, trouble{
		begin: func(fs *Faults, _ *rand.Rand) {
			fs.SetFree(0)
			fs.Arm(Plan{Match: needsRoom, Forever: true, Err: syscall.ENOSPC})
		},
		end: func(fs *Faults) {
			fs.Disarm()
			fs.SetFree(1 << 39)
		},
		met: func(_ *Faults, errs []error) bool {
			return answered(errs, tracestore.ErrNoSpace, tracestore.ErrUnavailable)
		},
	})
}

// LowSpace lets the volume run low before anything fails: writes are refused in
// good time, with the error that says why.
func LowSpace(t *testing.T, e Engine) {
	transient(t, e, 2, trouble{
		begin: func(fs *Faults, _ *rand.Rand) { fs.SetFree(4096) },
		end:   func(fs *Faults) { fs.SetFree(1 << 39) },
		met:   func(_ *Faults, errs []error) bool { return answered(errs, tracestore.ErrNoSpace) },
	})
}

// SyncFailsOnce lets one sync of a file fail now and then under load. Some
// Write hears of it unless the engine could mend it.
func SyncFailsOnce(t *testing.T, e Engine) {
	transient(t, e, 4, trouble{
		begin: func(fs *Faults, rng *rand.Rand) {
			fs.Arm(Plan{Match: func(o Op) bool { return o.Kind == "sync" }, Index: rng.Int64N(4), Err: syscall.EIO})
		},
		end: func(fs *Faults) { fs.Disarm() },
		met: func(fs *Faults, _ []error) bool { return fs.Fired() != nil },
	})
}
