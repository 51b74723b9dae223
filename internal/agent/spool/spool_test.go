package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, opts Options) *Spool {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// record makes the i-th record of a test.
func record(i int) []byte {
	return fmt.Appendf(nil, `{"trace_id":"1-5759e988-bd862e3fe1be46a994272793","id":"%016x","name":"desk %d"}%s`, i, i, strings.Repeat(" ", i%97))
}

func records(from, to int) (list [][]byte) {
	for i := from; i < to; i++ {
		list = append(list, record(i))
	}
	return list
}

func appendAll(t testing.TB, s *Spool, list [][]byte) {
	t.Helper()
	if err := s.Append(t.Context(), KindXRay, list, true); err != nil {
		t.Fatal(err)
	}
}

// read reads n records and marks them as delivered.
func read(t testing.TB, r *Reader, n int) (list [][]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for len(list) < n {
		b, err := r.Next(ctx, Limits{Records: min(50, n-len(list)), Bytes: 1 << 20})
		if err != nil {
			t.Fatalf("after %d records: %v", len(list), err)
		}
		for _, rec := range b.Records {
			list = append(list, bytes.Clone(rec))
		}
		r.Done(b.End)
		b.Free()
	}
	return list
}

func requireEqual(t testing.TB, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("record %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestAppendAndRead(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	r := s.Reader("a")
	defer r.Close()
	appendAll(t, s, records(0, 3))
	requireEqual(t, read(t, r, 3), records(0, 3))
	large := bytes.Repeat([]byte("x{}"), 1<<20)
	appendAll(t, s, [][]byte{large})
	requireEqual(t, read(t, r, 1), [][]byte{large})
	appendAll(t, s, records(3, 5000))
	requireEqual(t, read(t, r, 4997), records(3, 5000))
	if err := s.Append(t.Context(), KindXRay, [][]byte{make([]byte, MaxRecord+1)}, true); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a record that is too large: %v", err)
	}
}

// TestRestart reads on where each destination was, in order.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	appendAll(t, s, records(0, 1000))
	a, b := s.Reader("a"), s.Reader("b")
	requireEqual(t, read(t, a, 700), records(0, 700))
	requireEqual(t, read(t, b, 10), records(0, 10))
	a.Close()
	b.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), KindXRay, records(0, 1), true); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	s = open(t, Options{Dir: dir})
	appendAll(t, s, records(1000, 1100))
	a, b = s.Reader("a"), s.Reader("b")
	defer a.Close()
	defer b.Close()
	requireEqual(t, read(t, a, 400), records(700, 1100))
	requireEqual(t, read(t, b, 1090), records(10, 1100))
	c := s.Reader("new")
	defer c.Close()
	if got := s.Stats().Places["new"].Done; got != 1101 {
		t.Errorf("a new destination begins at %d, want behind what all others have", got)
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second Open: %v", err)
	}
	s.Close()
	open(t, Options{Dir: dir})
}

// TestLimitBySize fills a spool beyond its limit: the oldest records go, each is
// counted, and the rest is read in order.
func TestLimitBySize(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, MaxBytes: 1 << 20, FileBytes: 64 << 10})
	r := s.Reader("a")
	defer r.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	noise := func() []byte {
		b := make([]byte, 1000)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	const n = 3000
	for range n / 20 {
		var list [][]byte
		for range 20 {
			list = append(list, noise())
		}
		appendAll(t, s, list)
	}
	st := s.Stats()
	if st.Bytes > 1<<20 {
		t.Errorf("files take %d bytes", st.Bytes)
	}
	lost := st.Places["a"].Lost
	if lost == 0 || lost != st.First-1 || st.Dropped != lost {
		t.Errorf("lost %d, dropped %d, first record %d", lost, st.Dropped, st.First)
	}
	got := read(t, r, n-int(lost))
	if len(got) != n-int(lost) {
		t.Errorf("%d records read", len(got))
	}
	if st := s.Stats(); st.Places["a"].Damaged != 0 || st.Places["a"].Lost != lost {
		t.Errorf("after reading: %+v", st.Places["a"])
	}
}

// TestDelivered deletes what everybody has, and keeps what one has not.
func TestDelivered(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, MaxBytes: 64 << 20, FileBytes: 8 << 10})
	a, b := s.Reader("a"), s.Reader("b")
	defer a.Close()
	defer b.Close()
	for i := range 40 {
		appendAll(t, s, records(i*100, i*100+100))
	}
	read(t, a, 4000)
	keepUp(t, s)
	if st := s.Stats(); st.First != 1 {
		t.Fatalf("first record %d, although b has none", st.First)
	}
	requireEqual(t, read(t, b, 4000), records(0, 4000))
	keepUp(t, s)
	st := s.Stats()
	if st.Files != 1 || st.First < 3000 {
		t.Errorf("%d files, first record %d", st.Files, st.First)
	}
	// The spare holds blocks of its former life.
	if _, err := os.Stat(filepath.Join(dir, spareName)); err != nil {
		t.Error(err)
	}
	for i := range 40 {
		appendAll(t, s, records(i*100, i*100+100))
		read(t, a, 100)
		requireEqual(t, read(t, b, 100), records(i*100, i*100+100))
		keepUp(t, s)
	}
	if st := s.Stats(); st.Places["a"].Damaged+st.Places["b"].Damaged != 0 {
		t.Errorf("damage: %+v", st.Places)
	}
}

// keepUp does at once what the spool does every second.
func keepUp(t testing.TB, s *Spool) {
	t.Helper()
	if err := s.keep(); err != nil {
		t.Fatal(err)
	}
}

// TestLimitByAge removes files that nobody fetched for too long.
func TestLimitByAge(t *testing.T) {
	var passed atomic.Int64
	begin := time.Now()
	now := func() time.Time { return begin.Add(time.Duration(passed.Load())) }
	s := open(t, Options{Dir: t.TempDir(), FileBytes: 4 << 10, MaxAge: time.Hour, Now: now})
	r := s.Reader("a")
	defer r.Close()
	for i := range 20 {
		appendAll(t, s, records(i*50, i*50+50))
	}
	keepUp(t, s)
	if st := s.Stats(); st.Dropped != 0 {
		t.Fatalf("dropped %d", st.Dropped)
	}
	passed.Store(int64(2 * time.Hour))
	keepUp(t, s)
	st := s.Stats()
	if st.Dropped == 0 || st.Files != 1 || st.Places["a"].Lost != st.Dropped {
		t.Errorf("after two hours: %+v", st)
	}
	read(t, r, 1000-int(st.Dropped))
}

// TestClock shows that ages are differences of the monotonic clock, which no jump
// of the wall clock changes, also of what was found at the start; and that what was
// found has a while to be delivered, whatever the wall clock says of its age.
func TestClock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	appendAll(t, s, records(0, 10))
	monotonic := func(s *Spool) {
		t.Helper()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, f := range s.mu.files {
			if !strings.Contains(f.born.String(), " m=") || !strings.Contains(f.last.String(), " m=") {
				t.Errorf("%s has no monotonic times: %v, %v", f.name, f.born, f.last)
			}
		}
		if len(s.mu.files) == 0 {
			t.Error("there are no files")
		}
	}
	monotonic(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	old := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(names[0], old, old); err != nil {
		t.Fatal(err)
	}
	passed := atomic.Int64{} // of the clock
	now := func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	s = open(t, Options{Dir: dir, Now: now})
	monotonic(s)
	appendAll(t, s, records(10, 20)) // the last file always stays
	if err := s.keep(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Dropped != 0 || st.Files != 2 {
		t.Errorf("right after the start: %+v", st)
	}
	r := s.Reader("a")
	requireEqual(t, read(t, r, 20), records(0, 20))
	r.Close()
	passed.Store(int64(grace + time.Minute))
	if err := s.keep(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Files != 1 {
		t.Errorf("when the grace is over: %+v", st)
	}
}

// TestDamage flips bytes all over a closed spool: what is read is what was
// written, in order, and the rest is counted.
func TestDamage(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 7))
		dir := t.TempDir()
		s := open(t, Options{Dir: dir, FileBytes: 16 << 10})
		const n = 3000
		for i := range n / 60 {
			appendAll(t, s, records(i*60, i*60+60))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
		for range 1 + rng.IntN(5) {
			name := names[rng.IntN(len(names))]
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if at := fileHeaderSize + rng.IntN(len(data)-fileHeaderSize); rng.IntN(3) == 0 {
				clear(data[at:min(at+512, len(data))])
			} else {
				data[at] ^= 1 << rng.IntN(8)
			}
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, Options{Dir: dir})
		r := s.Reader("a")
		next, count := 0, 0
		appendAll(t, s, [][]byte{[]byte("the end")})
		for done := false; !done; {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			b, err := r.Next(ctx, Limits{Records: 100, Bytes: 1 << 20})
			cancel()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for _, rec := range b.Records {
				if string(rec) == "the end" {
					done = true
					break
				}
				i := next
				for i < n && !bytes.Equal(rec, record(i)) {
					i++
				}
				if i == n {
					t.Fatalf("seed %d: a record that is none, or comes twice: %q", seed, rec)
				}
				next = i + 1
				count++
			}
			b.Free()
		}
		st := s.Stats()
		// Blocks at the very end that are damaged look as if they had never been synced.
		if missing := n - count; st.Places["a"].Damaged > uint64(missing) || count < n-5*400 {
			t.Errorf("seed %d: %d records missing, %d counted as damaged", seed, missing, st.Places["a"].Damaged)
		}
		r.Close()
		s.Close()
	}
}

// TestFullDisk has the disk refuse everything for a while.
func TestFullDisk(t *testing.T) {
	d := &switchFS{FS: vfs.NewMem()}
	s := open(t, Options{Dir: "spool", FS: d, PendingBytes: 64 << 10})
	r := s.Reader("a")
	defer r.Close()
	appendAll(t, s, records(0, 100))
	d.set(errNoSpace)
	if err := s.Append(t.Context(), KindXRay, records(100, 200), true); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("Append on a full disk: %v", err)
	}
	full := 0
	for i := 200; i < 4000; i += 100 {
		if err := s.Append(t.Context(), KindXRay, records(i, i+100), false); errors.Is(err, ErrNoSpace) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if st := s.Stats(); full == 0 || st.PendingBytes > 64<<10 || st.Failure == "" {
		t.Errorf("%d puts refused, %+v", full, st)
	}
	requireEqual(t, read(t, r, 100), records(0, 100)) // what is there is still delivered
	d.set(nil)
	for {
		if err := s.Append(t.Context(), KindXRay, records(5000, 5100), true); err == nil {
			break
		} else if !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	st := s.Stats()
	got := read(t, r, int(st.Synced)-101)
	requireEqual(t, got[:100], records(100, 200))
	requireEqual(t, got[len(got)-100:], records(5000, 5100))
}

// TestOldFolders opens folders of every format version, as programs of that
// version left them when they were killed: testdata/compat/vN. With
// ROENTGEN_WRITE_COMPAT=1 it writes the one of this version when there is none.
func TestOldFolders(t *testing.T) {
	current := filepath.Join("testdata", "compat", fmt.Sprintf("v%d", formatVersion))
	if _, err := os.Stat(current); os.IsNotExist(err) && os.Getenv("ROENTGEN_WRITE_COMPAT") != "" {
		writeCompat(t, current)
	}
	folders, err := filepath.Glob("testdata/compat/v*")
	if err != nil || len(folders) < formatVersion {
		t.Fatalf("%d folders for %d versions: %v", len(folders), formatVersion, err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
			s := open(t, Options{Dir: dir, MaxAge: 100 * 365 * 24 * time.Hour})
			aws, home := s.Reader("aws"), s.Reader("home")
			defer aws.Close()
			defer home.Close()
			appendAll(t, s, records(600, 700))
			requireEqual(t, read(t, aws, 400), records(300, 700))
			requireEqual(t, read(t, home, 690), records(10, 700))
			if st := s.Stats(); st.Places["aws"].Damaged+st.Places["home"].Damaged+st.Dropped != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// writeCompat writes a folder with 600 records in blocks of every codec, of which
// one destination has 300 and another 10.
func writeCompat(t *testing.T, dir string) {
	s := open(t, Options{Dir: dir, FileBytes: 4 << 10})
	for i := 0; i < 600; i += 25 {
		appendAll(t, s, records(i, i+25))
	}
	a, b := s.Reader("aws"), s.Reader("home")
	read(t, a, 300)
	read(t, b, 10)
	a.Close()
	b.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{lockName, spareName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	// A torn block at the end, as a crash leaves it.
	names, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	f, err := os.OpenFile(names[len(names)-1], os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("BLK1\x01\x02 torn"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
