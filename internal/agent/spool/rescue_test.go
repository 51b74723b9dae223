package spool

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// filled makes a closed spool of n records in several files, and returns these.
func filled(t *testing.T, n int) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, Options{Dir: dir, FileBytes: 16 << 10})
	r := s.Reader("a")
	r.Close()
	for i := 0; i < n; i += 60 {
		appendAll(t, s, records(i, i+60))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(names) < 3 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	return dir, names
}

func damage(t *testing.T, name string, change func(data []byte)) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	change(data)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedHeader destroys the header of every file: blocks tell what it said.
func TestDamagedHeader(t *testing.T) {
	const n = 1800
	for what, change := range map[string]func(data []byte){
		"zeroed":    func(data []byte) { clear(data[:fileHeaderSize]) },
		"one bit":   func(data []byte) { data[20] ^= 4 },
		"magic":     func(data []byte) { data[0] = 'x' },
		"scribbled": func(data []byte) { copy(data, bytes.Repeat([]byte("damage "), 6)[:fileHeaderSize]) },
	} {
		t.Run(what, func(t *testing.T) {
			dir, names := filled(t, n)
			for _, name := range names {
				damage(t, name, change)
			}
			s := open(t, Options{Dir: dir})
			r := s.Reader("a")
			defer r.Close()
			requireEqual(t, read(t, r, n), records(0, n))
			appendAll(t, s, records(n, n+3))
			requireEqual(t, read(t, r, 3), records(n, n+3))
			if st := s.Stats(); st.DamagedFiles != 0 || st.Places["a"].Damaged != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestDamagedBeginning destroys the header and the first block: the others are read,
// and what is missing is counted.
func TestDamagedBeginning(t *testing.T) {
	const n = 1800
	dir, names := filled(t, n)
	damage(t, names[0], func(data []byte) { clear(data[:fileHeaderSize+200]) })
	s := open(t, Options{Dir: dir})
	r := s.Reader("a")
	defer r.Close()
	got := read(t, r, n-60)
	requireEqual(t, got, records(60, n))
	if st := s.Stats().Places["a"]; st.Damaged != 60 {
		t.Errorf("%d records counted as damaged, want 60", st.Damaged)
	}
}

// TestUnreadableFile destroys files wholly, at the beginning and in the middle: they
// are put aside, their records counted, and the rest is read.
func TestUnreadableFile(t *testing.T) {
	const n = 1800
	for at := range 2 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			dir, names := filled(t, n)
			whole := open(t, Options{Dir: dir})
			files := slices.Clone(whole.mu.files)
			whole.Close()
			lost := files[at].end - files[at].header.first
			rng := rand.New(rand.NewPCG(1, uint64(at)))
			damage(t, names[at], func(data []byte) {
				for i := range data {
					data[i] = byte(rng.Uint32())
				}
			})
			s := open(t, Options{Dir: dir})
			r := s.Reader("a")
			defer r.Close()
			read(t, r, n-int(lost))
			st := s.Stats()
			if st.DamagedFiles != 1 || st.Places["a"].Damaged != lost || st.Synced != n+1 {
				t.Errorf("%d records are lost: %+v", lost, st)
			}
			if aside, err := os.Stat(names[at] + asideSuffix); err != nil || aside.Size() == 0 {
				t.Errorf("the file was not kept: %v", err)
			}
		})
	}
}

// TestAsideIsBounded damages one file after the other.
func TestAsideIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range maxAside + 3 {
		name := filepath.Join(dir, fmt.Sprintf("%016x%s", 1+i, suffix))
		if err := os.WriteFile(name, bytes.Repeat([]byte{1, 2, byte(i)}, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		open(t, Options{Dir: dir}).Close()
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*"+asideSuffix)); len(names) != maxAside {
		t.Errorf("%d files put aside, want %d: %q", len(names), maxAside, names)
	}
}

func TestSeedOf(t *testing.T) {
	for range 100 {
		seed := rand.Uint32()
		h := blockHeader{kind: KindXRay, first: rand.Uint64(), count: 3, raw: 70, stored: 60, crc: rand.Uint32()}
		data := h.append(nil, seed)
		if got := seedOf(data); got != seed {
			t.Fatalf("seed %08x, want %08x", got, seed)
		}
	}
}
