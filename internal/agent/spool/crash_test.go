package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var errNoSpace = fmt.Errorf("write: %w", syscall.ENOSPC)

// switchFS fails every write, sync and creation while it is told to.
type switchFS struct {
	vfs.FS
	err atomic.Pointer[error]
}

func (d *switchFS) set(err error) {
	if err == nil {
		d.err.Store(nil)
		return
	}
	d.err.Store(&err)
}

func (d *switchFS) failure() error {
	if e := d.err.Load(); e != nil {
		return *e
	}
	return nil
}

func (d *switchFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := d.failure(); err != nil {
		return nil, err
	}
	f, err := d.FS.Create(name, c)
	return &switchFile{f, d}, err
}

func (d *switchFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(from, to, c)
	return &switchFile{f, d}, err
}

type switchFile struct {
	vfs.File
	d *switchFS
}

func (f *switchFile) Write(p []byte) (int, error) {
	if err := f.d.failure(); err != nil {
		n, _ := f.File.Write(p[:len(p)/2]) // a part may get there
		return n, err
	}
	return f.File.Write(p)
}

// seed returns ROENTGEN_SEED or a new one.
func seed(t *testing.T) uint64 {
	if text := os.Getenv("ROENTGEN_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return rand.Uint64()
}

// history is what a test did to a spool over its lives.
type history struct {
	mu       sync.Mutex
	acked    map[string]bool // by text: its Append returned nil
	maybe    map[string]bool // appended, and nobody knows
	received map[string]int
}

// life works on a spool for a moment.
func (h *history) life(ctx context.Context, s *Spool, rng *rand.Rand, prefix string, puts int) {
	var wg sync.WaitGroup
	for w := range 3 {
		seed := rng.Uint64()
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for p := range puts {
				var list [][]byte
				for i := range 1 + rng.IntN(6) {
					list = append(list, fmt.Appendf(nil, "%s-%d-%d-%d %s", prefix, w, p, i, bytes.Repeat([]byte{'a' + byte(i)}, rng.IntN(800))))
				}
				h.mu.Lock()
				for _, r := range list {
					h.maybe[string(r)] = true
				}
				h.mu.Unlock()
				err := s.Append(ctx, KindXRay, list, true)
				if err != nil {
					continue
				}
				h.mu.Lock()
				for _, r := range list {
					h.acked[string(r)] = true
				}
				h.mu.Unlock()
			}
		})
	}
	r := s.Reader("a")
	defer r.Close()
	readCtx, cancel := context.WithCancel(ctx)
	wg.Go(func() {
		for {
			b, err := r.Next(readCtx, Limits{Records: 7, Bytes: 1 << 20})
			if err != nil {
				return
			}
			h.take(b)
			r.Done(b.End)
			b.Free()
			if rng.IntN(4) == 0 {
				_ = s.keep() // a disk that fails is what is tested
			}
		}
	})
	go func() { time.Sleep(time.Duration(20+rand.IntN(20)) * time.Millisecond); cancel() }()
	wg.Wait()
}

func (h *history) take(b *Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, rec := range b.Records {
		h.received[string(rec)]++
	}
}

func (h *history) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for text := range h.acked {
		if h.received[text] == 0 {
			return fmt.Errorf("LOST: %.40q was acknowledged and never read", text)
		}
	}
	for text := range h.received {
		if !h.maybe[text] {
			return fmt.Errorf("%.60q was never appended", text)
		}
	}
	return nil
}

// drain reads everything that is there.
func (h *history) drain(t *testing.T, s *Spool) {
	t.Helper()
	r := s.Reader("a")
	defer r.Close()
	end := s.Stats().Synced
	for at := s.Stats().Places["a"].Done; at < end; {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		b, err := r.Next(ctx, Limits{Records: 50, Bytes: 1 << 20})
		cancel()
		if err != nil {
			t.Fatalf("draining at %d of %d: %v", at, end, err)
		}
		h.take(b)
		at = b.End
		b.Free()
	}
	if st := s.Stats().Places["a"]; st.Damaged > 0 || st.Lost > 0 {
		t.Errorf("damaged or lost: %+v", st)
	}
}

// TestPowerCut cuts the power again and again at random moments: any part of
// what was not synced may survive. Whatever was acknowledged is read.
func TestPowerCut(t *testing.T) {
	seed := seed(t)
	t.Logf("run again with ROENTGEN_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	runs := 25
	if testing.Short() {
		runs = 5
	}
	for run := range runs {
		h := &history{acked: map[string]bool{}, maybe: map[string]bool{}, received: map[string]int{}}
		mem := vfs.NewCrashableMem()
		for life := range 6 {
			s, err := Open(Options{Dir: "spool", FS: mem, FileBytes: 4 << 10, Delay: time.Millisecond})
			if err != nil {
				t.Fatalf("run %d, life %d: %v", run, life, err)
			}
			crashed := make(chan *vfs.MemFS, 1)
			percent, after := rng.IntN(101), time.Duration(rng.IntN(15_000))*time.Microsecond
			// What is acknowledged or read after the cut does not count: it happened in
			// a life that the disk knows nothing of.
			var acked map[string]bool
			var received map[string]int
			go func() {
				time.Sleep(after)
				h.mu.Lock()
				acked = maps.Clone(h.acked)
				h.mu.Unlock()
				clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, uint64(run*100+life)))})
				h.mu.Lock()
				received = maps.Clone(h.received)
				h.mu.Unlock()
				crashed <- clone
			}()
			h.life(t.Context(), s, rng, fmt.Sprintf("%d-%d", run, life), 40)
			clone := <-crashed
			h.acked, h.received = acked, received
			s.Close()
			mem = clone
		}
		s, err := Open(Options{Dir: "spool", FS: mem})
		if err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		h.drain(t, s)
		if err := h.check(); err != nil {
			t.Errorf("run %d: %v", run, err)
		}
		s.Close()
	}
}

// TestEveryFault fails one file operation after the other and cuts the power
// after it.
func TestEveryFault(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; ; i += step {
		h := &history{acked: map[string]bool{}, maybe: map[string]bool{}, received: map[string]int{}}
		mem := vfs.NewCrashableMem()
		fault := errorfs.OnIndex(int32(i))
		s, err := Open(Options{Dir: "spool", FS: errorfs.Wrap(mem, fault), FileBytes: 2 << 10, Delay: -1})
		if err == nil {
			r := s.Reader("a")
			for p := range 12 {
				list := [][]byte{fmt.Appendf(nil, "%d %s", p, bytes.Repeat([]byte("z"), 300+100*p))}
				h.maybe[string(list[0])] = true
				for {
					err := s.Append(t.Context(), KindXRay, list, true)
					if err == nil {
						h.acked[string(list[0])] = true
						break
					}
					if !errors.Is(err, ErrFailed) {
						t.Fatalf("fault %d: %v", i, err)
					}
				}
				if p%3 == 2 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					if b, err := r.Next(ctx, Limits{Records: 3, Bytes: 1 << 20}); err == nil {
						h.take(b)
						r.Done(b.End)
						b.Free()
					}
					cancel()
					_ = s.keep() // it may be the one that fails
				}
			}
			mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(i), 3))})
			r.Close()
			s.Close()
		}
		again, err := Open(Options{Dir: "spool", FS: mem})
		if err != nil {
			t.Fatalf("fault %d: open again: %v", i, err)
		}
		h.drain(t, again)
		if err := h.check(); err != nil {
			t.Errorf("fault %d: %v", i, err)
		}
		again.Close()
		if fault.Index.Load() >= 0 { // it never came to that operation
			if i == 0 {
				t.Error("no operation failed")
			}
			t.Logf("%d operations", i)
			return
		}
	}
}
