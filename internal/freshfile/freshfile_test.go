package freshfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// watched is a Value over one file, with a clock to move and a list of what Changed
// was told.
type watched struct {
	*Value[string]
	path string
	now  time.Time
	told []string
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{path: filepath.Join(t.TempDir(), "file"), now: time.Unix(1_795_000_000, 0)}
	w.write(t, "one")
	var err error
	w.Value, err = Open(Options[string]{
		Paths: []string{w.path},
		Read: func(string) (string, error) {
			text, err := os.ReadFile(w.path)
			if strings.HasPrefix(string(text), "bad") {
				err = errors.New(string(text))
			}
			return string(text), err
		},
		Changed: func(err error) {
			if err != nil {
				w.told = append(w.told, err.Error())
				return
			}
			w.told = append(w.told, "ok")
		},
		Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *watched) write(t *testing.T, text string) {
	t.Helper()
	temp := w.path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, w.path); err != nil {
		t.Fatal(err)
	}
}

func (w *watched) want(t *testing.T, value string, told ...string) {
	t.Helper()
	if got := w.Get(); got != value {
		t.Errorf("value %q, want %q", got, value)
	}
	if strings.Join(w.told, "|") != strings.Join(told, "|") {
		t.Errorf("told %q, want %q", w.told, told)
	}
	w.told = nil
}

func TestFollowsItsFile(t *testing.T) {
	w := watch(t)
	w.want(t, "one")
	w.write(t, "two") // of the same size
	w.want(t, "one")
	w.now = w.now.Add(Interval)
	w.want(t, "two", "ok")
	w.now = w.now.Add(Interval)
	w.want(t, "two")
}

func TestKeepsTheLastGoodValue(t *testing.T) {
	w := watch(t)
	w.write(t, "bad 1")
	for _, told := range [][]string{{"bad 1"}, nil, nil} { // the same trouble is told once
		w.now = w.now.Add(Interval)
		w.want(t, "one", told...)
	}
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(Interval)
	if got := w.Get(); got != "one" || len(w.told) != 1 || w.told[0] == "bad 1" {
		t.Errorf("without the file: %q, told %q", got, w.told)
	}
	w.told = nil
	w.write(t, "three")
	w.now = w.now.Add(Interval)
	w.want(t, "three", "ok")
}

func TestReload(t *testing.T) {
	w := watch(t)
	if err := w.Reload(); err != nil {
		t.Fatal(err)
	}
	w.want(t, "one", "ok")
	w.write(t, "bad 2")
	if err := w.Reload(); err == nil || err.Error() != "bad 2" {
		t.Errorf("Reload = %v", err)
	}
	w.want(t, "one", "bad 2")
}

func TestNoFirstValue(t *testing.T) {
	_, err := Open(Options[int]{Read: func(int) (int, error) { return 0, os.ErrNotExist }})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open = %v", err)
	}
}

// TestManyReaders is for the race detector.
func TestManyReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var clock struct {
		sync.Mutex
		now time.Time
	}
	v, err := Open(Options[string]{
		Paths: []string{path},
		Read:  func(string) (string, error) { text, err := os.ReadFile(path); return string(text), err },
		Now: func() time.Time {
			clock.Lock()
			defer clock.Unlock()
			clock.now = clock.now.Add(Interval / 2)
			return clock.now
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if v.Get() == "" {
					t.Error("no value")
					return
				}
			}
		})
	}
	for range 50 {
		if err := v.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}
