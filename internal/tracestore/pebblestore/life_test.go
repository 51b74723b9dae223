package pebblestore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/crashtest"
	"github.com/roentgen-io/roentgen/internal/tracestore/storetest"
	"github.com/roentgen-io/roentgen/segment"
)

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// put writes one document per trace number, with the segment id n.
func put(t testing.TB, s *Store, n uint64, traces ...uint64) {
	t.Helper()
	if err := tryPut(s, n, traces...); err != nil {
		t.Fatal(err)
	}
}

func tryPut(s *Store, n uint64, traces ...uint64) error {
	var records []tracestore.Record
	for _, id := range traces {
		r, err := storetest.NewRecord(fmt.Appendf(nil, `{"trace_id":"%s","id":"%016x","name":"kranich","start_time":%d,"end_time":%d}`,
			storetest.TraceText(storetest.TraceNumber(id)), n, 1790000000+id, 1790000001+id), 1790000000000+int64(n))
		if err != nil {
			return err
		}
		records = append(records, r)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.Write(ctx, records)
}

func roll(t testing.TB, s *Store) {
	t.Helper()
	if err := s.WaitRolled(soon(t)); err != nil {
		t.Fatal(err)
	}
}

// seqsOf returns the seqs of a trace.
func seqsOf(t testing.TB, s *Store, n uint64) (seqs []uint64) {
	t.Helper()
	docs, err := s.Documents(soon(t), storetest.TraceNumber(n), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		seqs = append(seqs, d.Seq)
	}
	return seqs
}

func check(t testing.TB, s *Store) {
	t.Helper()
	if err := s.CheckViews(soon(t)); err != nil {
		t.Errorf("CheckViews: %v", err)
	}
}

// testClock is a clock that tests set.
type testClock struct{ ms atomic.Int64 }

func (c *testClock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *testClock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// eventually waits for what the roller does by itself.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("did not happen within 30 s: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// quiet is a logger of Pebble that says nothing.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

func TestSecondProcessIsRefused(t *testing.T) {
	for name, cfg := range map[string]Config{"disk": {Dir: t.TempDir()}, "memory": {Dir: "data", FS: vfs.NewMem()}} {
		t.Run(name, func(t *testing.T) {
			s := openDir(t, cfg)
			_, err := Open(cfg)
			if !errors.Is(err, tracestore.ErrLocked) || !strings.Contains(err.Error(), cfg.Dir) {
				t.Errorf("second Open: %v; want ErrLocked and the folder's name", err)
			}
			put(t, s, 1, 1) // the refusal did no harm
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			openDir(t, cfg)
		})
	}
}

func TestFolderNotWritable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("SKIPPED: root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil || errors.Is(err, tracestore.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open: %v; want an error with the folder's name that is not ErrLocked", err)
	}
	file := dir + "/file"
	if _, err := Open(Config{Dir: file + "/data"}); err == nil {
		t.Error("Open below a folder that cannot be written to succeeded")
	}
}

func TestFormatVersions(t *testing.T) {
	raw := func(t *testing.T, fs vfs.FS, change func(db *pebble.DB)) {
		t.Helper()
		db, err := pebble.Open("data", &pebble.Options{FS: fs, Comparer: keyComparer, FormatMajorVersion: pebble.FormatValueSeparation, Logger: quiet{}})
		if err != nil {
			t.Fatal(err)
		}
		change(db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	set := func(version, views uint32) func(*pebble.DB) {
		return func(db *pebble.DB) {
			value := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, version), views)
			if err := db.Set(formatKey, value, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*pebble.DB)
		want   string
	}{
		"newer": {set(FormatVersion+1, viewVersion), "written in format version 2 by a newer release"},
		"older": {set(FormatVersion-1, viewVersion), "written in format version 0"},
		"odd":   {func(db *pebble.DB) { _ = db.Set(formatKey, []byte{1}, pebble.Sync) }, "the version has 1 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, err := Open(Config{Dir: "data", FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, 1, 1)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			raw(t, fs, c.change)
			if _, err := Open(Config{Dir: "data", FS: fs}); !errors.Is(err, tracestore.ErrFormat) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "data") {
				t.Errorf("Open: %v; want ErrFormat, the folder and %q", err, c.want)
			}
			raw(t, fs, set(FormatVersion, viewVersion)) // the folder was left as it was
			openDir(t, Config{Dir: "data", FS: fs})
		})
	}
	t.Run("foreign", func(t *testing.T) {
		fs := vfs.NewMem()
		raw(t, fs, func(db *pebble.DB) { _ = db.Set([]byte("x"), nil, pebble.Sync) })
		if _, err := Open(Config{Dir: "data", FS: fs}); !errors.Is(err, tracestore.ErrFormat) {
			t.Errorf("Open of a folder with other data: %v, want ErrFormat", err)
		}
	})
	t.Run("another comparer", func(t *testing.T) {
		fs := vfs.NewMem()
		db, err := pebble.Open("data", &pebble.Options{FS: fs, Logger: quiet{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Set([]byte("x"), nil, pebble.Sync), db.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Dir: "data", FS: fs}); !errors.Is(err, tracestore.ErrFormat) {
			t.Errorf("Open of another program's folder: %v, want ErrFormat", err)
		}
	})
	t.Run("views of another version are derived again", func(t *testing.T) {
		fs := vfs.NewMem()
		// With parts of few documents, and a tail so small that the roller must
		// work while the documents are read.
		clock := &testClock{}
		clock.ms.Store(1_790_000_000_000)
		cfg := Config{Dir: "data", FS: fs, Retention: time.Hour, Now: clock.now}
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(300) {
			put(t, s, i, i, i/3, 7)
			clock.advance(6 * time.Second)
		}
		roll(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		raw(t, fs, func(db *pebble.DB) {
			set(FormatVersion, viewVersion+1)(db)
			// Rows as another release might have left them.
			_ = db.Set(appendIndexKey(nil, tagRow, 0, 5, someID), []byte("?"), pebble.Sync)
			_ = db.DeleteRange([]byte{tagChange}, []byte{tagChange + 1}, pebble.Sync)
		})
		cfg.TailBytes = 20 << 10
		s = openDir(t, cfg)
		roll(t, s)
		check(t, s)
		if st := s.Stats(); st.Parts < 10 {
			t.Errorf("%d parts, want 10 or more", st.Parts)
		}
		if n := len(seqsOf(t, s, 7)); n < 300 {
			t.Errorf("%d documents of the trace that all puts have, want 300 or more", n)
		}
	})
}

func TestRecoveryOfTheTail(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s, err := Open(Config{Dir: "data", FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, 1, 1, 2)
	roll(t, s)
	put(t, s, 2, 1, 3)
	put(t, s, 3, 3)
	// The power goes right after the acknowledgement; nothing unsynced is left.
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	again := openDir(t, Config{Dir: "data", FS: clone})
	if got := again.LastSeq(); got != 5 {
		t.Errorf("LastSeq %d after the crash, want 5", got)
	}
	for n, want := range map[uint64]string{1: "[1 3]", 2: "[2]", 3: "[4 5]", 4: "[]"} {
		if got := fmt.Sprint(seqsOf(t, again, n)); got != want {
			t.Errorf("trace %d after the crash: %s, want %s", n, got, want)
		}
	}
	var found []string
	err = again.Scan(soon(t), tracestore.Scan{Clock: tracestore.ClockStart, End: 1 << 62}, func(_ tracestore.Cursor, row *trace.Row) bool {
		found = append(found, fmt.Sprintf("%d-%d", row.FirstSeq, row.LastSeq))
		return true
	})
	if got := strings.Join(found, " "); err != nil || got != "4-5 2-2 1-3" {
		t.Errorf("scan after the crash: %s, %v; want 4-5 2-2 1-3", got, err)
	}
	roll(t, again)
	check(t, again)
	put(t, again, 9, 1)
	if got := seqsOf(t, again, 1); got[len(got)-1] != 6 {
		t.Errorf("the next document has seq %v, want 6 at the end", got)
	}
}

func TestRetentionByAge(t *testing.T) {
	clock := &testClock{}
	clock.ms.Store(1_790_000_000_000)
	fs := vfs.NewMem()
	cfg := Config{Dir: "data", FS: fs, Retention: 32 * time.Minute, Now: clock.now}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// One part a minute. Trace 100 has a document in every part, trace 200 in the
	// first and the third; each part has a trace of its own.
	for i := range uint64(40) {
		traces := []uint64{i, 100}
		if i == 0 || i == 2 {
			traces = append(traces, 200)
		}
		put(t, s, 1000+i, traces...)
		if i == 20 { // over a restart too
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = Open(cfg); err != nil {
				t.Fatal(err)
			}
		}
		clock.advance(time.Minute)
	}
	defer func() { s.Close() }()
	// The clock stands at minute 40. Part i ends at minute i+1: those that ended at
	// minute 8 or before are beyond retention.
	const gone = 8
	eventually(t, "8 parts removed", func() bool { return s.Stats().Parts == 40-gone })
	roll(t, s)
	check(t, s)
	for i := range uint64(40) {
		if got, want := len(seqsOf(t, s, i)), 1; i < gone && got != 0 || i >= gone && got != want {
			t.Errorf("trace %d has %d documents", i, got)
		}
	}
	if got := len(seqsOf(t, s, 100)); got != 40-gone {
		t.Errorf("the trace of all parts has %d documents, want %d", got, 40-gone)
	}
	if got := len(seqsOf(t, s, 200)); got != 0 {
		t.Errorf("the trace of the first and third part has %d documents, want none", got)
	}
	rows := 0
	err = s.Scan(soon(t), tracestore.Scan{Clock: tracestore.ClockStart, End: 1 << 62}, func(_ tracestore.Cursor, row *trace.Row) bool {
		rows++
		if row.ID == storetest.TraceNumber(100) && (row.Entities != 40-gone || row.FirstSeq != seqsOf(t, s, 100)[0]) {
			t.Errorf("row of the trace of all parts: %d entities, FirstSeq %d; want %d and %d", row.Entities, row.FirstSeq, 40-gone, seqsOf(t, s, 100)[0])
		}
		return true
	})
	if err != nil || rows != 40-gone+1 {
		t.Errorf("%d rows, %v; want %d", rows, err, 40-gone+1)
	}
	if st := s.Stats(); st.OldestPart != 1_790_000_000_000+gone*60_000 {
		t.Errorf("oldest part is of %d, want %d", st.OldestPart, 1_790_000_000_000+gone*60_000)
	}
	// However old it is, the newest part stays.
	clock.advance(1000 * time.Hour)
	eventually(t, "one part left", func() bool { return s.Stats().Parts == 1 })
	roll(t, s)
	check(t, s)
	if got := len(seqsOf(t, s, 39)); got != 1 {
		t.Errorf("the newest trace has %d documents, want 1", got)
	}
	// The late document of a trace whose home is gone makes a new home.
	put(t, s, 5000, 100, 3)
	roll(t, s)
	check(t, s)
}

func TestRetentionByBudget(t *testing.T) {
	const budget = 4 << 20
	s := openDir(t, Config{Dir: t.TempDir(), DiskBudget: budget})
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 40_000)
	for i := range uint64(400) { // 12 MB that do not compress
		for k := range noise {
			noise[k] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[rng.Uint32()%64]
		}
		r, err := storetest.NewRecord(fmt.Appendf(nil, `{"trace_id":"%s","id":"%016x","name":"elster","start_time":%d,"end_time":%d,"metadata":{"noise":"%s"}}`,
			storetest.TraceText(storetest.TraceNumber(i/2)), i, 1790000000+i, 1790000001+i, noise), 1790000000000)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Write(soon(t), []tracestore.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	// What counts is the folder's real size, which follows when files are removed.
	eventually(t, "the folder within its budget", func() bool { return s.Stats().DiskBytes <= budget && s.Stats().Parts > 1 })
	roll(t, s)
	check(t, s)
	if got := len(seqsOf(t, s, 0)); got != 0 {
		t.Errorf("the oldest trace still has %d documents", got)
	}
	if got := len(seqsOf(t, s, 199)); got != 2 {
		t.Errorf("the newest trace has %d documents, want 2", got)
	}
}

// TestRandomHistories lets traces grow over many parts, with restarts, crashes of the
// views and removals, and holds the views to the documents after each.
func TestRandomHistories(t *testing.T) {
	seed := storetest.Seed(t)
	for round := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, round))
		clock := &testClock{}
		clock.ms.Store(1_790_000_000_000)
		cfg := Config{Dir: "data", FS: vfs.NewMem(), Retention: 64 * time.Second, Now: clock.now, blockRows: 1 + rng.Int64N(10), sectionRows: 1 + rng.Int64N(4), Groups: someGroups}
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		gen := storetest.NewGenerator(rng)
		var waiting [][]byte
		received := int64(1_790_000_000_000)
		for range 120 {
			for len(waiting) < 30 {
				_, docs := gen.Trace()
				waiting = append(waiting, docs...)
			}
			switch k := rng.IntN(12); {
			case k < 8:
				var records []tracestore.Record
				for range 1 + rng.IntN(6) {
					i := rng.IntN(len(waiting)) // documents of a trace come far apart
					r, err := storetest.NewRecord(bytes.Clone(waiting[i]), received)
					if err != nil {
						t.Fatal(err)
					}
					waiting[i] = waiting[len(waiting)-1]
					waiting = waiting[:len(waiting)-1]
					records = append(records, r)
					received += rng.Int64N(100)
				}
				if err := s.Write(soon(t), records); err != nil {
					t.Fatal(err)
				}
			case k < 10:
				clock.advance(time.Duration(rng.IntN(6000)) * time.Millisecond)
			case k == 10:
				roll(t, s)
				check(t, s)
			default:
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(cfg); err != nil {
					t.Fatal(err)
				}
			}
			check(t, s)
			if t.Failed() {
				break
			}
		}
		roll(t, s)
		check(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLargeTraces are put off by the roller, and nobody notices: not readers, not a
// crash in between.
func TestLargeTraces(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := openDir(t, Config{Dir: "data", FS: mem, TailBytes: 256 << 20})
	var records []tracestore.Record
	for i := range uint64(largeTrace + 10) {
		r, err := storetest.NewRecord(fmt.Appendf(nil, `{"trace_id":"%s","id":"%016x","name":"star","start_time":%d,"end_time":%d}`,
			storetest.TraceText(storetest.TraceNumber(1)), i+1, 1790000000+i%100, 1790000001+i%100), 1790000000000)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	if err := s.Write(soon(t), records); err != nil {
		t.Fatal(err)
	}
	roll(t, s)
	put(t, s, 1<<40, 1, 2)
	// The roller passes it over, but takes trace 2 in.
	eventually(t, "the views hold trace 2", func() bool { return s.Stats().RolledSeq == s.LastSeq() })
	s.tail.mu.RLock()
	held := len(s.tail.held)
	s.tail.mu.RUnlock()
	if held != 1 {
		t.Skip("SKIPPED: this machine is too slow to see a trace put off")
	}
	rows := func(s *Store, asOf uint64) (list []int) {
		err := s.Scan(soon(t), tracestore.Scan{Clock: tracestore.ClockStart, End: 1 << 62, AsOf: asOf}, func(_ tracestore.Cursor, row *trace.Row) bool {
			list = append(list, row.Entities)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	all := fmt.Sprint([]int{1, largeTrace + 11})
	if got := fmt.Sprint(rows(s, 0)); got != all {
		t.Errorf("entities of the rows: %s, want %s", got, all)
	}
	if got := fmt.Sprint(rows(s, largeTrace+10)); got != fmt.Sprint([]int{largeTrace + 10}) {
		t.Errorf("entities as of before: %s, want %d", got, largeTrace+10)
	}
	check(t, s)
	again := openDir(t, Config{Dir: "data", FS: mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})})
	if got := fmt.Sprint(rows(again, 0)); got != all {
		t.Errorf("entities of the rows after a crash: %s, want %s", got, all)
	}
	check(t, again)
	roll(t, again)
	check(t, again)
	roll(t, s)
	if got := fmt.Sprint(rows(s, 0)); got != all {
		t.Errorf("entities of the rows when rolled: %s, want %s", got, all)
	}
}

// TestDoubt lets the sync of a commit fail: the answer to the Write is what the
// folder holds afterwards.
func TestDoubt(t *testing.T) {
	for _, c := range []struct {
		kind string
		err  error
	}{{"sync", syscall.EIO}, {"write", syscall.ENOSPC}} {
		t.Run(c.kind, func(t *testing.T) {
			fs := crashtest.NewFaults(vfs.NewCrashableMem())
			reg := prometheus.NewRegistry()
			s := openDir(t, Config{Dir: "data", FS: fs, Registerer: reg})
			put(t, s, 1, 1)
			fs.Arm(crashtest.Plan{
				Match: func(o crashtest.Op) bool { return o.Kind == c.kind && strings.HasSuffix(o.Name, ".log") }, Forever: true, Err: c.err,
			})
			var group sync.WaitGroup
			answers := make([]error, 8)
			for i := range answers {
				group.Go(func() { answers[i] = tryPut(s, 2, uint64(10+i), uint64(20+i)) })
			}
			eventually(t, "the fault", func() bool { return fs.Fired() != nil })
			fs.Disarm()
			group.Wait()
			for i, err := range answers {
				a, b := len(seqsOf(t, s, uint64(10+i))), len(seqsOf(t, s, uint64(20+i)))
				switch {
				case err == nil && (a != 1 || b != 1):
					t.Errorf("put %d was acknowledged, %d and %d of its documents are there", i, a, b)
				case err != nil && (a != 0 || b != 0):
					t.Errorf("put %d failed (%v), %d and %d of its documents are there", i, err, a, b)
				case err != nil && !errors.Is(err, tracestore.ErrUnavailable) && !errors.Is(err, tracestore.ErrNoSpace):
					t.Errorf("put %d: %v matches neither ErrUnavailable nor ErrNoSpace", i, err)
				}
			}
			put(t, s, 3, 1)
			roll(t, s)
			check(t, s)
			if got := fmt.Sprint(len(seqsOf(t, s, 1))); got != "2" {
				t.Errorf("trace 1 has %s documents, want 2", got)
			}
			if n := valueOf(t, s.metrics.reopens); n < 1 {
				t.Errorf("the folder was opened again %v times, want once or more", n)
			}
		})
	}
}

// TestDoubtIsNotForEver closes a store whose disk does not come back.
func TestDoubtIsNotForEver(t *testing.T) {
	fs := crashtest.NewFaults(vfs.NewCrashableMem())
	s := openDir(t, Config{Dir: "data", FS: fs})
	put(t, s, 1, 1)
	fs.Arm(crashtest.Plan{Forever: true, Err: syscall.EIO})
	answer := make(chan error, 1)
	go func() { answer <- tryPut(s, 2, 2) }()
	eventually(t, "the store unavailable", func() bool { return s.Stats().Unavailable != "" })
	if err := tryPut(s, 3, 3); !errors.Is(err, tracestore.ErrUnavailable) {
		t.Errorf("Write while the disk is gone: %v, want ErrUnavailable", err)
	}
	if _, err := s.Documents(soon(t), storetest.TraceNumber(1), 0); !errors.Is(err, tracestore.ErrUnavailable) {
		t.Errorf("Documents while the disk is gone: %v, want ErrUnavailable", err)
	}
	if err := s.WaitRolled(soon(t)); !errors.Is(err, tracestore.ErrUnavailable) {
		t.Errorf("WaitRolled while the disk is gone: %v, want ErrUnavailable", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-answer; !errors.Is(err, errInDoubt) && !errors.Is(err, tracestore.ErrUnavailable) {
		t.Errorf("the Write that was under way: %v", err)
	}
}

func TestOverload(t *testing.T) {
	s := openDir(t, Config{Dir: t.TempDir(), TailBytes: 30_000})
	s.tail.mu.RLock()
	inst := s.tail.view.inst
	s.tail.mu.RUnlock()
	inst.applyMu.Lock() // nothing is committed or rolled
	var overloaded, stored atomic.Int64
	var group sync.WaitGroup
	for i := range uint64(200) {
		group.Go(func() {
			switch err := tryPut(s, i, i); {
			case err == nil:
				stored.Add(1)
			case errors.Is(err, tracestore.ErrOverloaded):
				overloaded.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	eventually(t, "Writes refused", func() bool { return overloaded.Load() > 0 })
	inst.applyMu.Unlock()
	group.Wait()
	if stored.Load() == 0 || stored.Load() > 60 {
		t.Errorf("%d Writes of some 600 bytes were stored, want those that fit into 30,000", stored.Load())
	}
	roll(t, s)
	if got := int64(s.Stats().Documents); got != stored.Load() {
		t.Errorf("%d documents are there, %d were acknowledged", got, stored.Load())
	}
	eventually(t, "Writes taken again", func() bool { return tryPut(s, 1, 1) == nil })
	roll(t, s)
	if n := s.pending.Load(); n != 0 {
		t.Errorf("%d bytes are counted as waiting when nothing waits", n)
	}
	// One Write above the bound is taken when it is alone.
	if err := tryPut(s, 2, make([]uint64, 100)...); err != nil {
		t.Errorf("a Write above the bound: %v", err)
	}
}

func TestDamageIsReportedWithItsPlace(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open(Config{Dir: "data", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, 1, 1)
	roll(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open("data", &pebble.Options{FS: fs, Comparer: keyComparer, FormatMajorVersion: pebble.FormatValueSeparation, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	docs := []blockDoc{{seq: 1, put: 1, received: 1, data: []byte("{}")}}
	value := newBlockEncoder().append(nil, docs)
	value[len(value)-1] ^= 1 // of the document, which is not compressed
	if err := errors.Join(db.Set(appendDocKey(nil, 0, 1), value, pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	s = openDir(t, Config{Dir: "data", FS: fs})
	_, err = s.Documents(soon(t), storetest.TraceNumber(1), 0)
	var place *CorruptError
	if !errors.Is(err, tracestore.ErrCorrupt) || !errors.As(err, &place) || !bytes.Equal(place.Key, appendDocKey(nil, 0, 1)) {
		t.Errorf("Documents over damage: %v; want ErrCorrupt with the key of the block", err)
	}
	// The trace goes on all the same, and so do the others.
	put(t, s, 2, 1, 2)
	roll(t, s)
	if docs := seqsOf(t, s, 2); len(docs) != 1 {
		t.Errorf("another trace has %d documents, want 1", len(docs))
	}
	if st := s.Stats(); st.Unavailable != "" || st.RolledSeq != st.LastSeq {
		t.Errorf("after damage was met: %+v", st)
	}
}

// TestTailAndRollerAgree reads while the roller works: at every moment each trace shows
// all that was acknowledged before, once.
func TestTailAndRollerAgree(t *testing.T) {
	s := openDir(t, Config{Dir: t.TempDir()})
	const traces = 40
	var acked [traces]atomic.Int64
	stop := make(chan struct{})
	var group, readers sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 150 {
				n := uint64(w*10 + i%10)
				if err := tryPut(s, uint64(1000*w+i+1), n); err != nil {
					t.Error(err)
					return
				}
				acked[n].Add(1)
				if i%20 == 0 {
					s.wakeRoller()
				}
			}
		})
	}
	for clock := range tracestore.Clock(3) {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var before [traces]int64
				for i := range before {
					before[i] = acked[i].Load()
				}
				seen := make(map[segment.TraceID]int)
				err := s.Scan(soon(t), tracestore.Scan{Clock: clock, Start: -1 << 62, End: 1 << 62}, func(_ tracestore.Cursor, row *trace.Row) bool {
					if seen[row.ID] != 0 {
						t.Errorf("clock %d: trace %s came twice", clock, storetest.TraceText(row.ID))
					}
					seen[row.ID] = row.Entities
					return true
				})
				if err != nil {
					t.Error(err)
					return
				}
				for i := range before {
					if got := seen[storetest.TraceNumber(uint64(i))]; int64(got) < before[i] {
						t.Errorf("clock %d: trace %d has %d entities, %d were acknowledged", clock, i, got, before[i])
						return
					}
				}
			}
		})
	}
	group.Wait()
	close(stop)
	readers.Wait()
	roll(t, s)
	check(t, s)
}

func valueOf(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue()
}

func TestMetricsOfTwoStores(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := Config{Dir: t.TempDir(), Registerer: reg, Logger: slog.New(slog.DiscardHandler)}
	for range 2 { // a closed store takes its metrics along
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, 1, 1, 2)
		roll(t, s)
		if got := valueOf(t, s.metrics.documents); got != 2 {
			t.Errorf("documents_total is %v, want 2", got)
		}
		families, err := reg.Gather()
		if err != nil || len(families) < 20 {
			t.Errorf("%d metrics, %v; want 20 or more", len(families), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestValuesStayWithTheirKeys: keys with a common prefix are no versions of one
// thing, so Pebble must not put their values aside.
func TestValuesStayWithTheirKeys(t *testing.T) {
	s := openDir(t, Config{Dir: "data", FS: vfs.NewMem()})
	for i := range 20 {
		put(t, s, uint64(i+1), 1, 2, 3)
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	r, err := s.read(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.release()
	levels, err := r.inst.db.SSTables(pebble.WithProperties())
	if err != nil {
		t.Fatal(err)
	}
	var entries, aside uint64
	for _, tables := range levels {
		for _, table := range tables {
			entries += table.Properties.NumEntries
			aside += table.Properties.NumValuesInValueBlocks
		}
	}
	if entries == 0 || aside != 0 {
		t.Errorf("%d of %d values are in blocks of their own", aside, entries)
	}
}

// TestSpanMapping opens a store with another mapping of spans: the views follow, and stay
// as they are when the mapping does.
func TestSpanMapping(t *testing.T) {
	fs := vfs.NewMem()
	id := segment.TraceID{1}
	source := []byte{} // of a resource that says nothing
	var span []byte
	for _, field := range [][]byte{append([]byte{0x0a, 16}, id[:]...), {0x12, 8, 0, 0, 0, 0, 0, 0, 0, 1}, {0x2a, 3, 'G', 'E', 'T'}, {0x30, 2},
		{0x39, 0, 0, 0, 0, 1, 0, 0, 0}, {0x41, 0, 0, 0, 0, 2, 0, 0, 0}, append([]byte{0x4a, 16, 0x0a, 6}, "tenant\x12\x06\x0a\x04acme"...)} {
		span = append(span, field...)
	}
	asAttribute := func(t *testing.T, m otlp.Mapping) (attribute bool) {
		t.Helper()
		s := openDir(t, Config{Dir: "data", FS: fs, Spans: m})
		if s.LastSeq() == 0 {
			seg, err := tracestore.NewSpanReader(m).Read(source, span, false)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Write(t.Context(), []tracestore.Record{{Format: tracestore.FormatOTLP, Source: source, Data: span, Segment: seg, Received: 1}}); err != nil {
				t.Fatal(err)
			}
		}
		roll(t, s)
		check(t, s)
		found := false
		err := s.Scan(t.Context(), tracestore.Scan{Start: 0, End: 1 << 62}, func(_ tracestore.Cursor, row *trace.Row) bool {
			for _, a := range row.Annotations {
				if a.Key == "tenant" {
					found, attribute = true, a.Attribute
				}
			}
			return true
		})
		if err != nil || !found {
			t.Fatalf("found %v, %v", found, err)
		}
		docs, err := s.Documents(t.Context(), id, 0)
		if err != nil || len(docs) != 1 {
			t.Fatalf("%d documents, %v", len(docs), err)
		}
		if seg, err := docs[0].Segment(true); err != nil || (seg.Annotations == nil) != attribute {
			t.Errorf("%v: annotations %s", err, seg.Annotations)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return attribute
	}
	tenant := otlp.Mapping{Indexed: []string{"tenant"}}
	if !asAttribute(t, otlp.Mapping{}) || asAttribute(t, tenant) || asAttribute(t, otlp.Mapping{IndexAll: true}) || !asAttribute(t, otlp.Mapping{Indexed: []string{"other"}}) {
		t.Error("the views do not follow the mapping")
	}
	a, b := &Store{cfg: Config{Spans: otlp.Mapping{Indexed: []string{"a", "b"}}}}, &Store{cfg: Config{Spans: otlp.Mapping{Indexed: []string{"b", "a"}}}}
	if a.views() != b.views() || a.views() == (&Store{}).views() || (&Store{}).views() != viewVersion {
		t.Errorf("views %x, %x, %x", a.views(), b.views(), (&Store{}).views())
	}
}
