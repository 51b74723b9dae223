package crashtest

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

func toy(defect string) Engine {
	return Engine{Open: func(fs vfs.FS) (tracestore.Store, error) {
		s, err := openToy(fs, defect)
		switch {
		case err != nil:
		case defect == "scan hides rows":
			s = hidingStore{s}
		case defect == "a byte is changed":
			s = damagingStore{s}
		}
		return s, err
	}}
}

// TestToyStorePasses gives the toy engine the time that every engine has, since a
// busy machine may keep it waiting for longer than it takes to recover.
func TestToyStorePasses(t *testing.T) { Run(t, toy("")) }

// TestDefectsAreFound builds one mistake after the other into the toy engine.
func TestDefectsAreFound(t *testing.T) {
	for _, c := range []struct{ defect, says string }{
		{"never synced", "LOST"},
		{"folder not synced", "LOST"},
		{"log not synced when rewritten", "LOST"},
		{"sync errors ignored", "LOST"},
		{"goes on with the same file", "LOST"},
		{"a byte is changed", "torn or foreign"},
		{"puts not atomic", "is torn"},
		{"refusal that is none", "was refused"},
		{"never recovers", "still fails"},
		{"acknowledged twice", "twice"},
		{"scan hides rows", "disagree"},
	} {
		t.Run(c.defect, func(t *testing.T) {
			e := toy(c.defect)
			e.RecoverIn = time.Second // one of them never does
			var last error
			for seed := range uint64(400) {
				rng := rand.New(rand.NewPCG(seed, 0))
				plan := Plan{Index: rng.Int64N(60), Forever: rng.IntN(2) == 0, Err: syscall.EIO}
				if _, err := e.faultRun(seed, plan); err != nil {
					last = err
					if strings.Contains(err.Error(), c.says) {
						return
					}
				}
				if seed%4 != 3 {
					continue
				}
				if _, err := e.chain(seed, 0, 2); err != nil {
					last = err
					if strings.Contains(err.Error(), c.says) {
						return
					}
				}
			}
			t.Errorf("not found; the last error was: %v", last)
		})
	}
}

func TestFaultsCount(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := NewFaults(mem)
	steps := []func() error{
		func() error { return fs.MkdirAll("a", 0o755) },
		func() error { f, err := fs.Create("a/b", vfs.WriteCategoryUnspecified); closeFile(f); return err },
		func() error { return fs.Rename("a/b", "a/c") },
		func() error { return fs.Link("a/c", "a/d") },
		func() error { return fs.Remove("a/d") },
	}
	for i := range steps {
		for _, forever := range []bool{false, true} {
			fs.Arm(Plan{Index: int64(i), Forever: forever, Err: syscall.EIO})
			var failed []int
			for k, step := range steps {
				if err := step(); err != nil {
					failed = append(failed, k)
				}
			}
			fired := fs.Fired()
			if len(failed) == 0 || failed[0] != i || fired == nil {
				t.Errorf("index %d, forever %v: operations %v failed, first %v", i, forever, failed, fired)
			}
			if forever && len(failed) != len(steps)-i {
				t.Errorf("index %d, forever: operations %v failed, want all from there on", i, failed)
			}
			fs.Disarm()
			fs.RemoveAll("a")
		}
	}
}

// TestFailedSyncLosesFile holds the model of a disk that Faults stands for.
func TestFailedSyncLosesFile(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := NewFaults(mem)
	f, err := fs.Create("f", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := fs.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	survives := func() string {
		left := mem.CrashClone(vfs.CrashCloneCfg{})
		data, err := left.UnsafeGetFileDataBuffer("f")
		if err != nil {
			return err.Error()
		}
		return string(data)
	}
	write := func(text string) {
		t.Helper()
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("one.")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := dir.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := survives(); got != "one." {
		t.Fatalf("%q survives a crash, want what was synced", got)
	}
	write("two.")
	fs.Arm(Plan{Match: func(o Op) bool { return o.Kind == "sync" }, Err: syscall.EIO})
	if err := f.Sync(); err == nil {
		t.Fatal("the sync did not fail")
	}
	write("three.")
	if err := f.Sync(); err != nil {
		t.Fatalf("the sync after the failed one: %v", err)
	}
	if got := survives(); got != "one." {
		t.Errorf("%q survives a crash, want what was synced before the failure", got)
	}
	fs.Arm(Plan{Err: syscall.ENOSPC})
	if n, err := f.Write([]byte("12345678")); n != 4 || err == nil {
		t.Errorf("a failed write wrote %d bytes, error %v; want half of 8 and an error", n, err)
	}
}

func closeFile(f vfs.File) {
	if f != nil {
		f.Close()
	}
}
