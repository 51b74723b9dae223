package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/freshfile"
)

var someTime = time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)

func add(t *testing.T, path string, k Key) {
	t.Helper()
	if err := Update(path, true, func(list []Key) ([]Key, error) { return append(list, k), nil }); err != nil {
		t.Fatal(err)
	}
}

func TestNew(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		k := New("ci", []Role{RoleWrite}, someTime)
		if err := k.check(); err != nil {
			t.Fatal(err)
		}
		if len(k.ID) != idLength || len(k.Secret) != secretLength || seen[k.ID] || seen[k.Secret] {
			t.Errorf("key %+v", k)
		}
		seen[k.ID], seen[k.Secret] = true, true
		id, secret, ok := SplitBearer(k.Bearer())
		if !ok || id != k.ID || secret != k.Secret {
			t.Errorf("bearer %q", k.Bearer())
		}
	}
}

// TestNoSecretInText prints a key in the ways in which it might get into a log.
func TestNoSecretInText(t *testing.T) {
	k := New("ci", []Role{RoleWrite}, someTime)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "key", k, "holder", Holder{Key: k}, "pointer", &k)
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %s", &k, k, k), fmt.Sprint(Holder{Key: k}), log.String()} {
		if strings.Contains(text, k.Secret) || !strings.Contains(text, k.ID) {
			t.Errorf("%s", text)
		}
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		roles             []Role
		write, read, admn bool
	}{
		{[]Role{RoleWrite}, true, false, false},
		{[]Role{RoleRead}, false, true, false},
		{[]Role{RoleWrite, RoleRead}, true, true, false},
		{[]Role{RoleAdmin}, true, true, true},
	} {
		k := Key{Roles: c.roles}
		if k.Has(RoleWrite) != c.write || k.Has(RoleRead) != c.read || k.Has(RoleAdmin) != c.admn {
			t.Errorf("%v", c.roles)
		}
	}
}

func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	none := func(list []Key) ([]Key, error) { return list, nil }
	if err := Update(path, false, none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file, not to be made: %v", err)
	}
	k := New("ci", []Role{RoleWrite, RoleRead}, someTime)
	k.Expires, k.DocumentsPerSecond, k.BytesPerSecond = someTime.Add(time.Hour), 5, 6
	add(t, path, k)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != ownerOnly {
		t.Errorf("mode %v", info.Mode())
	}
	list, err := Read(path)
	if err != nil || !reflect.DeepEqual(list, []Key{k}) {
		t.Errorf("read %v, %v; want %v", list, err, k)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	for _, c := range []struct {
		name   string
		change func([]Key) ([]Key, error)
		want   string
	}{
		{"an error", func([]Key) ([]Key, error) { return nil, refused }, "refused"},
		{"the same key twice", func(list []Key) ([]Key, error) { return append(list, k), nil }, "keys " + path + ": it holds key " + k.ID + " twice"},
		{"a bad key", func(list []Key) ([]Key, error) { return append(list, Key{ID: "a/b"}), nil }, "keys " + path + `: access_key_id "a/b": write 4 to 128 letters, digits, _ or -`},
	} {
		if err := Update(path, false, c.change); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("a change that failed left %s, %v", after, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 { // the file and its lock
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestUpdateThroughALink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "keys.json"), filepath.Join(dir, "link.json")
	add(t, path, New("a", []Role{RoleRead}, someTime))
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	add(t, link, New("b", []Role{RoleRead}, someTime))
	info, err := os.Lstat(link)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link became %v, %v", info, err)
	}
	if list, err := Read(path); err != nil || len(list) != 2 {
		t.Errorf("%d keys, %v", len(list), err)
	}
}

// TestConcurrentUpdates holds that nobody's change is lost.
func TestConcurrentUpdates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			k := New(fmt.Sprint(i), []Role{RoleRead}, someTime)
			if err := Update(path, true, func(list []Key) ([]Key, error) { return append(list, k), nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := Read(path); err != nil || len(list) != 8 {
		t.Errorf("%d keys, %v", len(list), err)
	}
}

func TestReadRefuses(t *testing.T) {
	const secret = "a-secret-that-must-not-be-shown"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", ``, "line 1: this is no JSON"},
		{"half", "{\n\"format\": \"roentgen-keys\",\n\"version\": 1,", "line 3: this is no JSON"},
		{"another format", `{"format":"x"}`, `this is no file of keys: its format is not "roentgen-keys"`},
		{"a later version", `{"format":"roentgen-keys","version":2,"keys":7}`, "it has version 2, and this program knows 1"},
		{"no version", `{"format":"roentgen-keys","keys":[]}`, "it has version 0, and this program knows 1"},
		{"an unknown name", `{"format":"roentgen-keys","version":1,"keys":[{"role":"admin"}]}`, `json: unknown field "role"`},
		{"a wrong type", `{"format":"roentgen-keys","version":1,` + "\n" + `"keys":[{"secret_access_key":["` + secret + `"]}]}`, "line 2: keys.secret_access_key has the wrong type"},
		{"a bad time", `{"format":"roentgen-keys","version":1,"keys":[{"created":"` + secret + `"}]}`, "a time is not of the form 2026-11-26T14:00:00Z"},
		{"no role", `{"format":"roentgen-keys","version":1,"keys":[{"access_key_id":"ABCD","secret_access_key":"` + secret + `"}]}`, "key ABCD has no roles; there are write, read and admin"},
		{"an unknown role", `{"format":"roentgen-keys","version":1,"keys":[{"access_key_id":"ABCD","roles":["root"],"secret_access_key":"` + secret + `"}]}`, `key ABCD: "root" is no role; there are write, read and admin`},
		{"a short secret", `{"format":"roentgen-keys","version":1,"keys":[{"access_key_id":"ABCD","roles":["read"],"secret_access_key":"short"}]}`, "secret_access_key of ABCD: write 16 to 256 characters"},
		{"the key of those who have none", `{"format":"roentgen-keys","version":1,"keys":[{"access_key_id":"dummy","roles":["read"],"secret_access_key":"` + secret + `"}]}`, "access_key_id dummy: SDKs that have no key use this one; take another"},
		{"revoked with a secret", `{"format":"roentgen-keys","version":1,"keys":[{"access_key_id":"ABCD","roles":["read"],"revoked":"2026-11-26T14:00:00Z","secret_access_key":"` + secret + `"}]}`, "key ABCD is revoked and has a secret; remove one or the other"},
		{"a limit below 0", `{"format":"roentgen-keys","version":1,"keys":[{"access_key_id":"ABCD","roles":["read"],"bytes_per_second":-1,"secret_access_key":"` + secret + `"}]}`, "key ABCD has a limit below 0"},
		{"a control character in a name", `{"format":"roentgen-keys","version":1,"keys":[{"access_key_id":"ABCD","roles":["read"],"name":"a\u001b[1m","secret_access_key":"` + secret + `"}]}`, "the name of a key is one line of at most 128 bytes"},
	} {
		path := filepath.Join(t.TempDir(), "keys.json")
		if err := os.WriteFile(path, []byte(c.text), ownerOnly); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if err == nil || err.Error() != "keys "+path+": "+c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows a secret", c.name)
		}
	}
}

func TestOnlyTheOwnerMayRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	add(t, path, New("a", []Role{RoleRead}, someTime))
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o610, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if want := fmt.Sprintf("keys %s: others than its owner can get at the secrets in it (mode %04o); chmod 600 %[1]s", path, mode); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err != nil {
		t.Errorf("mode 0400: %v", err)
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "this is no file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Read(path + "x"); err == nil || !strings.HasSuffix(err.Error(), "roentgen key create --keys "+path+"x --role admin makes it") {
		t.Errorf("no file: %v", err)
	}
}

func TestRing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	a, b := New("a", []Role{RoleRead}, someTime), New("b", []Role{RoleWrite}, someTime)
	b.Expires = someTime.Add(time.Hour)
	add(t, path, a)
	now := someTime
	ring, err := OpenRing(RingOptions{Path: path, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if h := ring.Find(a.ID); h == nil || !h.IsSecret(a.Secret) || h.IsSecret(b.Secret) || h.IsSecret("") {
		t.Errorf("found %v", h)
	}
	add(t, path, b)
	now = now.Add(freshfile.Interval)
	if h := ring.Find(b.ID); h == nil || h.Expired(now) || !h.Expired(b.Expires) || !h.Has(RoleWrite) {
		t.Errorf("a new key: %v", h)
	}
	err = Update(path, false, func(list []Key) ([]Key, error) {
		list[0].Secret, list[0].Revoked = "", someTime
		return list, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(freshfile.Interval)
	if h := ring.Find(a.ID); h != nil || ring.Len() != 1 {
		t.Errorf("a revoked key: %v of %d", h, ring.Len())
	}
	if err := os.WriteFile(path, []byte("{"), ownerOnly); err != nil {
		t.Fatal(err)
	}
	if err := ring.Reload(); err == nil || ring.Find(b.ID) == nil {
		t.Errorf("after rubbish: %v, and the key is %v", err, ring.Find(b.ID))
	}
	if _, err := OpenRing(RingOptions{Path: path}); err == nil {
		t.Error("rubbish was opened")
	}
}

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	def, own := New("default", []Role{RoleWrite}, someTime), New("own", []Role{RoleWrite}, someTime)
	own.DocumentsPerSecond = 5
	add(t, path, def)
	add(t, path, own)
	now := someTime
	ring, err := OpenRing(RingOptions{Path: path, DocumentsPerSecond: 10, BytesPerSecond: 1000, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	take := func(k Key, documents, bytes int, want bool) {
		t.Helper()
		if got := ring.Find(k.ID).Take(documents, bytes); got != want {
			t.Errorf("%s takes %d and %d: %v", k.Name, documents, bytes, got)
		}
	}
	take(def, 10, 10, true)
	take(def, 1, 10, false)
	take(own, 5, 10, true) // each for itself
	take(own, 1, 10, false)
	now = now.Add(time.Second / 10)
	take(def, 31, 900, true) // larger than a second's worth, and paid off before the next
	if err := ring.Reload(); err != nil {
		t.Fatal(err)
	}
	take(def, 1, 1, false) // reading the file again gives nothing away
	now = now.Add(3 * time.Second)
	take(def, 1, 1, false)
	now = now.Add(time.Second / 10)
	take(def, 1, 2500, true)
	now = now.Add(time.Second)
	take(def, 1, 1, false) // for bytes
	now = now.Add(time.Hour)
	take(def, 10, 1, true) // a refused call costs no documents, and rest gives one second's worth
	take(def, 1, 1, false)
	if !(*Holder)(nil).Take(1<<30, 1<<30) {
		t.Error("a server without keys has a limit")
	}
	if Of(t.Context()) != nil || Of(With(context.Background(), ring.Find(own.ID), nil)).ID != own.ID {
		t.Error("a key gets lost in a context")
	}
}

// FuzzDecode holds that a file that is read can be written and read again.
func FuzzDecode(f *testing.F) {
	whole, err := encode([]Key{New("a", Roles, someTime)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"format":"roentgen-keys","version":1,"keys":[{"access_key_id":"ABCD","roles":["read"],"revoked":"2026-11-26T14:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := decode(data)
		if err != nil {
			return
		}
		again, err := encode(list)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decode(again); err != nil || !reflect.DeepEqual(got, list) && len(list) > 0 {
			t.Fatalf("%v became %v, %v", list, got, err)
		}
	})
}
