package session

import (
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/keys"
)

// desk is a Store over a file with some keys, and its clock.
type desk struct {
	*Store
	path        string
	ring        *keys.Ring
	clock       atomic.Int64 // unix milliseconds
	admin, old  keys.Key
	registerer  *prometheus.Registry
	idle, limit time.Duration
}

func (d *desk) now() time.Time            { return time.UnixMilli(d.clock.Load()) }
func (d *desk) pass(passed time.Duration) { d.clock.Add(passed.Milliseconds()) }

func open(t *testing.T) *desk {
	t.Helper()
	d := &desk{path: filepath.Join(t.TempDir(), "keys.json"), registerer: prometheus.NewRegistry(), idle: time.Hour, limit: 3 * time.Hour}
	d.clock.Store(1_795_000_000_000)
	d.admin = keys.New("boss", []keys.Role{keys.RoleAdmin}, d.now())
	d.old = keys.New("old", []keys.Role{keys.RoleAdmin}, d.now())
	d.old.Expires = d.now().Add(2 * time.Hour)
	d.write(t, d.admin, d.old)
	var err error
	if d.ring, err = keys.OpenRing(keys.RingOptions{Path: d.path, Now: d.now}); err != nil {
		t.Fatal(err)
	}
	d.Store = New(Options{Keys: d.ring, Idle: d.idle, Max: d.limit, Now: d.now, Registerer: d.registerer})
	return d
}

func (d *desk) write(t *testing.T, list ...keys.Key) {
	t.Helper()
	if err := keys.Update(d.path, true, func([]keys.Key) ([]keys.Key, error) { return list, nil }); err != nil {
		t.Fatal(err)
	}
	if d.ring != nil {
		if err := d.ring.Reload(); err != nil {
			t.Fatal(err)
		}
	}
}

var somewhere = netip.MustParseAddr("192.0.2.7")

func (d *desk) signIn(t *testing.T, k keys.Key, before ...string) string {
	t.Helper()
	token, s, err := d.SignIn(k.ID, k.Secret, somewhere, before...)
	if err != nil || s.Key.ID != k.ID {
		t.Fatalf("SignIn = %v, %v", s, err)
	}
	return token
}

func TestIdleEnd(t *testing.T) {
	d := open(t)
	token := d.signIn(t, d.admin)
	d.pass(d.idle - time.Millisecond)
	if s := d.Find(token); s == nil || s.Key.ID != d.admin.ID || !s.Ends.Equal(s.Began.Add(d.limit)) {
		t.Fatalf("before its end: %+v", s)
	}
	d.pass(d.idle - time.Millisecond) // it was used meanwhile
	if !d.Lives(token) {
		t.Fatal("it ended although it was used")
	}
	d.pass(time.Millisecond) // a look is no use
	if d.Find(token) != nil || d.Len() != 0 {
		t.Error("it lives on without being used")
	}
}

func TestAbsoluteEnd(t *testing.T) {
	d := open(t)
	token := d.signIn(t, d.admin)
	for d.now().Before(time.UnixMilli(1_795_000_000_000).Add(d.limit - time.Minute)) {
		if d.Find(token) == nil {
			t.Fatalf("it ended at %v", d.now())
		}
		d.pass(time.Minute)
	}
	d.pass(time.Minute)
	if d.Find(token) != nil {
		t.Error("use keeps it alive for ever")
	}
}

func TestEndsWithItsKey(t *testing.T) {
	d := open(t)
	for name, after := range map[string]func(k keys.Key) []keys.Key{
		"revoked":        func(k keys.Key) []keys.Key { k.Revoke(d.now()); return []keys.Key{k, d.old} },
		"removed":        func(keys.Key) []keys.Key { return []keys.Key{d.old} },
		"another secret": func(k keys.Key) []keys.Key { k.Secret = strings.Repeat("x", 40); return []keys.Key{k, d.old} },
	} {
		d.write(t, d.admin, d.old)
		token := d.signIn(t, d.admin)
		if d.Find(token) == nil {
			t.Fatalf("%s: no session", name)
		}
		d.write(t, after(d.admin)...)
		if d.Find(token) != nil || d.Lives(token) {
			t.Errorf("%s: the session goes on", name)
		}
		d.write(t, d.admin, d.old) // as if nothing had been
		if d.Find(token) != nil {
			t.Errorf("%s: the session came back", name)
		}
	}
	token := d.signIn(t, d.old)
	if s := d.Find(token); !s.Ends.Equal(d.old.Expires) {
		t.Errorf("the session is said to end at %v, its key at %v", s.Ends, d.old.Expires)
	}
	for range 3 {
		d.pass(40 * time.Minute)
		d.Find(token)
	}
	if d.Lives(token) {
		t.Error("the session outlives its key")
	}
	if _, _, err := d.SignIn(d.old.ID, d.old.Secret, somewhere); !errors.Is(err, ErrExpired) {
		t.Errorf("with an expired key: %v", err)
	}
	if _, _, err := d.SignIn(d.old.ID, "wrong", somewhere); !errors.Is(err, ErrWrong) {
		t.Errorf("whether a key has expired is told to those who do not know it: %v", err)
	}
}

// TestFixation holds that a session begins under a token that nobody knew.
func TestFixation(t *testing.T) {
	d := open(t)
	planted := "PLANTEDPLANTEDPLANTEDPLANTED"
	token := d.signIn(t, d.admin, planted)
	if token == planted || d.Find(planted) != nil {
		t.Error("the token that the browser came with is a session")
	}
	again := d.signIn(t, d.admin, token)
	if again == token || d.Find(token) != nil || d.Find(again) == nil {
		t.Error("the session from before goes on beside the new one")
	}
	other := d.signIn(t, d.admin) // another browser
	if d.Find(again) == nil || d.Find(other) == nil {
		t.Error("one browser signed the other out")
	}
}

func TestTampering(t *testing.T) {
	d := open(t)
	token := d.signIn(t, d.admin)
	if len(token) < 50 {
		t.Errorf("a token has only %d characters", len(token))
	}
	for i := range token {
		b := []byte(token)
		b[i] ^= 1
		if d.Find(string(b)) != nil {
			t.Fatalf("token with another character %d is taken", i)
		}
	}
	for _, bad := range []string{"", token + "A", token[1:], strings.ToLower(token), d.admin.Secret, d.admin.Bearer()} {
		if d.Find(bad) != nil {
			t.Errorf("%.10q… is taken", bad)
		}
	}
	d.End("no such token")
	if d.Find(token) == nil {
		t.Error("the session ended")
	}
	d.End(token)
	if d.Find(token) != nil {
		t.Error("signed out, and still in")
	}
}

func TestAttemptsByAddress(t *testing.T) {
	d := open(t)
	try := func(id, secret, from string) error {
		_, _, err := d.SignIn(id, secret, netip.MustParseAddr(from))
		return err
	}
	for i := range addressBurst {
		if err := try("RGENNOBODY", "x", "2001:db8::1"); !errors.Is(err, ErrWrong) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	var limit *LimitError
	for _, from := range []string{"2001:db8::1", "2001:db8::ffff:1"} { // of one network
		if err := try(d.admin.ID, d.admin.Secret, from); !errors.As(err, &limit) || limit.Key || limit.Wait <= 0 || limit.Wait > addressInterval {
			t.Fatalf("one more from %s: %v", from, err)
		}
	}
	if err := try(d.admin.ID, d.admin.Secret, "2001:db8:0:1::1"); err != nil {
		t.Errorf("from another network: %v", err)
	}
	if err := try(d.admin.ID, d.admin.Secret, "::ffff:192.0.2.1"); err != nil {
		t.Errorf("from another address: %v", err)
	}
	d.pass(limit.Wait)
	if err := try(d.admin.ID, d.admin.Secret, "2001:db8::1"); err != nil {
		t.Errorf("after the time that was named: %v", err)
	}
	for range 3 * addressBurst { // those that succeed are not counted
		if err := try(d.admin.ID, d.admin.Secret, "2001:db8::1"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAttemptsByKey(t *testing.T) {
	d := open(t)
	var limit *LimitError
	for i := range keyBurst + 1 {
		_, _, err := d.SignIn(d.admin.ID, "wrong", netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}))
		if i < keyBurst && !errors.Is(err, ErrWrong) {
			t.Fatalf("attempt %d: %v", i, err)
		}
		if i == keyBurst && (!errors.As(err, &limit) || !limit.Key) {
			t.Fatalf("one more: %v", err)
		}
	}
	if _, _, err := d.SignIn(d.admin.ID, d.admin.Secret, somewhere); !errors.As(err, &limit) {
		t.Errorf("the right secret among too many attempts: %v", err)
	}
	if _, _, err := d.SignIn(d.old.ID, d.old.Secret, somewhere); err != nil {
		t.Errorf("with another key: %v", err)
	}
	d.pass(keyInterval)
	if _, _, err := d.SignIn(d.admin.ID, d.admin.Secret, somewhere); err != nil {
		t.Errorf("later: %v", err)
	}
	families, err := d.registerer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				counted[l.GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if want := map[string]float64{"ok": 2, "wrong": keyBurst, "limited": 2}; !maps.Equal(counted, want) {
		t.Errorf("counted %v, want %v", counted, want)
	}
}

// TestConcurrentGuesses guesses from many places at once: no more than the burst get
// to know whether they were right.
func TestConcurrentGuesses(t *testing.T) {
	d := open(t)
	var looked atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, _, err := d.SignIn(d.admin.ID, "wrong", somewhere); errors.Is(err, ErrWrong) {
					looked.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := looked.Load(); n != addressBurst {
		t.Errorf("%d guesses were looked at, want %d", n, addressBurst)
	}
}

// TestConcurrentUse signs in, looks, signs out and revokes at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	d := open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			from := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})
			for range 50 {
				token, _, err := d.SignIn(d.old.ID, d.old.Secret, from)
				if err != nil {
					t.Error(err)
					return
				}
				if s := d.Find(token); s == nil || s.Key.ID != d.old.ID {
					t.Errorf("found %v", s)
				}
				d.ByKey()
				d.End(token)
				if d.Lives(token) {
					t.Error("it lives after its end")
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if err := d.ring.Reload(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if d.Len() != 0 {
		t.Errorf("%d sessions are left", d.Len())
	}
}

func TestRoom(t *testing.T) {
	d := open(t)
	first := d.signIn(t, d.admin)
	second := d.signIn(t, d.admin)
	for range maxOfKey - 2 {
		d.pass(time.Millisecond)
		d.signIn(t, d.admin)
	}
	d.pass(time.Millisecond)
	d.Find(first)
	d.signIn(t, d.admin)
	if d.Find(first) == nil || d.Find(second) != nil || d.Len() != maxOfKey {
		t.Errorf("%d sessions; the first lives: %t, the second: %t", d.Len(), d.Lives(first), d.Lives(second))
	}
	if got := d.ByKey()[d.admin.ID]; got != maxOfKey {
		t.Errorf("%d sessions of the key", got)
	}
}

// TestManySources fills the counts of attempts: memory stays bounded, and nobody gets
// past the limits for want of room.
func TestManySources(t *testing.T) {
	now := time.UnixMilli(0)
	a := newAttempts(2, time.Second, func() time.Time { return now })
	for i := range maxSources {
		a.take(fmt.Sprint(i))
	}
	if a.take("one"); len(a.mu.sources) > maxSources+1 {
		t.Errorf("%d sources", len(a.mu.sources))
	}
	a.take("two")
	if a.take("three") == 0 {
		t.Error("those without room of their own have no limit")
	}
	now = now.Add(time.Minute)
	a.take("four")
	if len(a.mu.sources) > 2 {
		t.Errorf("%d sources are remembered for nothing", len(a.mu.sources))
	}
}

func TestCookie(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	for _, c := range []struct {
		name, url, origin, path string
		want                    string
	}{
		{"plain", "http://127.0.0.1:2000/api/session", "http://127.0.0.1:2000", "/", "roentgen-session-2000=TOKEN; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"},
		{"TLS", "https://traces.example:2000/api/session", "", "/", "__Host-roentgen-session-2000=TOKEN; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Strict"},
		{"behind a proxy with TLS", "http://traces.example/api/session", "https://traces.example", "/", "__Host-roentgen-session=TOKEN; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Strict"},
		{"under a prefix", "http://traces.example/api/session", "https://traces.example", "/deep/tracing/", "__Secure-roentgen-session=TOKEN; Path=/deep/tracing/; Max-Age=60; HttpOnly; Secure; SameSite=Strict"},
	} {
		r := httptest.NewRequest("POST", c.url, nil)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		SetCookie(w, r, c.path, "TOKEN", now.Add(time.Minute), now)
		if got := w.Header().Get("Set-Cookie"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		back := httptest.NewRequest("GET", c.url, nil)
		back.Header.Set("Cookie", strings.Split(c.want, ";")[0]+"; other=1")
		if got := Tokens(back); len(got) != 1 || got[0] != "TOKEN" {
			t.Errorf("%s: read back %q", c.name, got)
		}
		w = httptest.NewRecorder()
		ClearCookie(w, r, c.path)
		if got := w.Header().Get("Set-Cookie"); !strings.Contains(got, "=; Path="+c.path+"; Max-Age=0; HttpOnly") {
			t.Errorf("%s: cleared by %s", c.name, got)
		}
	}
	// Over TLS nothing counts that somebody may have planted without it.
	r := httptest.NewRequest("GET", "https://traces.example/", nil)
	r.Header.Set("Cookie", "roentgen-session=PLANTED; __Secure-roentgen-session=GOOD")
	if got := Tokens(r); len(got) != 1 || got[0] != "GOOD" {
		t.Errorf("over TLS: %q", got)
	}
	r = httptest.NewRequest("GET", "http://traces.example/", nil)
	r.Header.Set("Cookie", strings.Repeat("roentgen-session=x; ", 100))
	if got := Tokens(r); len(got) != maxTokens {
		t.Errorf("%d tokens are looked at", len(got))
	}
	for path, ok := range map[string]bool{"/": true, "/a/b/": true, "/%C3%A4/": true, "": false, "/a": false, "a/": false, "/a; Domain=evil.example/": false, "/a\r\n/": false, "/" + strings.Repeat("x", 2000) + "/": false} {
		if err := CheckPath(path); (err == nil) != ok {
			t.Errorf("path %.40q: %v", path, err)
		}
	}
}
