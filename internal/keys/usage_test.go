package keys

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	now := someTime
	openAgain := func() *Usage {
		u := OpenUsage(UsageOptions{Dir: dir, Now: func() time.Time { return now }})
		t.Cleanup(func() { u.Close() })
		return u
	}
	u := openAgain()
	if !u.Last("A").IsZero() || !u.Since().Equal(someTime) {
		t.Errorf("at first: %v since %v", u.Last("A"), u.Since())
	}
	u.Note("A")
	u.Note("B")
	now = now.Add(time.Hour)
	u.Note("B")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, UsageFile))
	if err != nil || info.Mode().Perm() != ownerOnly {
		t.Errorf("%v, %v", info, err)
	}
	now = now.Add(time.Hour)
	u = openAgain()
	if got := u.Last("A"); !got.Equal(someTime) {
		t.Errorf("after a restart A was used at %v", got)
	}
	if got := u.Last("B"); !got.Equal(someTime.Add(time.Hour)) {
		t.Errorf("after a restart B was used at %v", got)
	}
	if !u.Since().Equal(someTime) {
		t.Errorf("after a restart it is known since %v", u.Since())
	}
	u.Keep([]Key{{ID: "A"}})
	if !u.Last("B").IsZero() {
		t.Error("a key that is no more is remembered")
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, UsageFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if u = openAgain(); !u.Last("A").IsZero() {
		t.Error("a damaged file tells something")
	}
	var none *Usage
	none.Note("A")
	none.Keep(nil)
	if !none.Last("A").IsZero() || !none.Since().IsZero() || none.Close() != nil {
		t.Error("none tells something")
	}
}

func TestWritable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := Writable(path); err == nil {
		t.Error("a file that is not there can be changed")
	}
	add(t, path, New("", []Role{RoleRead}, someTime))
	if err := Writable(path); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || len(left) != 0 {
		t.Errorf("left %q, %v", left, err)
	}
}
