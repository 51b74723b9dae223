package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func closeAtEnd(t *testing.T, l *letters) {
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
}

// readAll returns the codes of all letters of a folder, read n at once. between is called
// before each page but the first.
func readAll(t *testing.T, dir string, n int, between func()) (codes []string, pages int) {
	t.Helper()
	for before := ""; ; between() {
		list, next, err := ReadLetters(dir, before, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			codes = append(codes, l.Code)
		}
		pages++
		if next == "" {
			return codes, pages
		}
		before = next
	}
}

// TestReadLetters reads letters page by page, while others come and files are put aside.
func TestReadLetters(t *testing.T) {
	dir := t.TempDir()
	if list, next, err := ReadLetters(filepath.Join(dir, "none"), "", 10); len(list) != 0 || next != "" || err != nil {
		t.Errorf("no folder: %v %q %v", list, next, err)
	}
	l := newLetters(dir, slog.New(slog.DiscardHandler))
	closeAtEnd(t, l)
	number := 0
	add := func(n int) {
		for range n {
			// Some have the same time, as those of one call do.
			l.add([]Letter{{Time: time.Unix(1795356000, int64(number/3)), Code: fmt.Sprint(number), Document: strings.Repeat("x", 100*number)}})
			number++
		}
	}
	want := func(from int) (list []string) {
		for k := from - 1; k >= 0; k-- {
			list = append(list, fmt.Sprint(k))
		}
		return list
	}
	add(10)
	for n, pages := range map[int]int{1: 10, 3: 4, 5: 2, 9: 2, 10: 1, 100: 1} {
		if got, p := readAll(t, dir, n, func() {}); strings.Join(got, " ") != strings.Join(want(10), " ") || p != pages {
			t.Errorf("%d at once: %v in %d pages", n, got, p)
		}
	}
	if got, _ := readAll(t, dir, 4, func() { add(2) }); strings.Join(got, " ") != strings.Join(want(10), " ") {
		t.Errorf("while others come: %v", got)
	}

	// The file is put aside between two pages; what a crash cut off stands in between.
	aside := func() {
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(l.path(), filepath.Join(dir, lettersOld)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.path(), []byte(`{"time":"2026-11-26T01:02`), 0o600); err != nil {
			t.Fatal(err)
		}
		add(3)
	}
	count, once := number, true
	got, _ := readAll(t, dir, 4, func() {
		if once {
			once = false
			aside()
		}
	})
	if strings.Join(got, " ") != strings.Join(want(count), " ") {
		t.Errorf("put aside between two pages: %v", got)
	}
	if got, _ := readAll(t, dir, 4, func() {}); strings.Join(got, " ") != strings.Join(want(number), " ") {
		t.Errorf("from two files: %v", got)
	}

	// A letter that is gone has nothing before it.
	_, next, err := ReadLetters(dir, "", number-2)
	if err != nil || next == "" {
		t.Fatalf("%q %v", next, err)
	}
	if err := os.Remove(filepath.Join(dir, lettersOld)); err != nil {
		t.Fatal(err)
	}
	if list, next, err := ReadLetters(dir, next, 10); len(list) != 0 || next != "" || err != nil {
		t.Errorf("gone: %v %q %v", list, next, err)
	}
	for _, place := range []string{"x", "1", "1-", "-1--1", "1-2-3", "1-2 ", "99999999999999999999-1"} {
		if _, _, err := ReadLetters(dir, place, 10); !errors.Is(err, ErrLetterPlace) {
			t.Errorf("%q: %v", place, err)
		}
	}
}

// TestReadLettersBounded has large letters: pages are smaller then, and lack none.
func TestReadLettersBounded(t *testing.T) {
	dir := t.TempDir()
	l := newLetters(dir, slog.New(slog.DiscardHandler))
	closeAtEnd(t, l)
	for k := range 80 {
		l.add([]Letter{{Time: time.Now(), Code: fmt.Sprint(k), Document: strings.Repeat("\x00", letterBytes)}})
	}
	list, next, err := ReadLetters(dir, "", 1000)
	if err != nil || len(list) != pageBytes/letterBytes || next == "" || list[0].Code != "79" {
		t.Fatalf("%d letters, %q, %v", len(list), next, err)
	}
	// 768 KB each on the disk: the oldest are given up.
	if all, _ := readAll(t, dir, 1000, func() {}); len(all) < 20 || len(all) > 2*lettersBytes/(6*letterBytes) {
		t.Errorf("%d letters are kept", len(all))
	}
}
