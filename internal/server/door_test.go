package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/test/authority"
)

// browser signs in and keeps the cookie.
type browser struct {
	s      *keyed
	cookie string
}

func (b *browser) send(t *testing.T, method, path, body string) (status int, text string, header http.Header) {
	t.Helper()
	headers := []string{"Origin", b.s.URL(), "Sec-Fetch-Site", "same-origin", "Content-Type", "application/json"}
	if b.cookie != "" {
		headers = append(headers, "Cookie", b.cookie)
	}
	status, text, header = do(t, method, b.s.URL()+path, body, headers...)
	if set := header.Get("Set-Cookie"); set != "" {
		b.cookie, _, _ = strings.Cut(set, ";")
	}
	return status, text, header
}

func signInBody(k keys.Key) string {
	return fmt.Sprintf(`{"AccessKeyId":%q,"SecretAccessKey":%q,"Path":"/"}`, k.ID, k.Secret)
}

func (s *keyed) signIn(t *testing.T, k keys.Key) *browser {
	t.Helper()
	b := &browser{s: s}
	if status, text, header := b.send(t, "POST", "/api/session", signInBody(k)); status != 200 || !strings.Contains(header.Get("Set-Cookie"), "HttpOnly; SameSite=Strict") {
		t.Fatalf("sign in: %d %s %v", status, text, header)
	}
	return b
}

func TestSignIn(t *testing.T) {
	s := startKeyed(t, nil)
	b := s.signIn(t, s.reader)
	_, text, _ := b.send(t, "GET", "/api/session", "")
	var told struct {
		Authentication bool
		Expires, Idle  float64
		Key            struct{ ID, Name string }
		Roles          []string
		Server         struct{ Region, UDP, Version string }
	}
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		t.Fatal(err)
	}
	left := told.Expires - float64(time.Now().Unix())
	if !told.Authentication || told.Key.ID != s.reader.ID || told.Key.Name != "reader" || fmt.Sprint(told.Roles) != "[read]" || told.Idle != 8*3600 || left < 7*86400-60 || left > 7*86400+1 || told.Server.Region == "" || told.Server.UDP == "" {
		t.Errorf("told %s", text)
	}
	if strings.Contains(text, s.reader.Secret) {
		t.Error("the secret is shown")
	}
	if status, text, _ := b.send(t, "POST", "/TraceSummaries", `{"StartTime":1,"EndTime":2}`); status != 200 {
		t.Errorf("an operation: %d %s", status, text)
	}
	if status, text, _ := b.send(t, "GET", "/api/keys", ""); status != 403 || !strings.Contains(text, "role admin") {
		t.Errorf("a reader asks for keys: %d %s", status, text)
	}
	// The session from before ends when the same browser signs in again.
	old := *b
	if status, text, _ := b.send(t, "POST", "/api/session", signInBody(s.admin)); status != 200 || !strings.Contains(text, `"Roles":["write","read","admin"]`) {
		t.Errorf("sign in again: %d %s", status, text)
	}
	if old.cookie == b.cookie {
		t.Error("the token is the same as before")
	}
	if status, _, _ := old.send(t, "GET", "/api/traces", ""); status != 401 {
		t.Errorf("the session from before: %d", status)
	}
	// Signed out, and the token is worth nothing even to who kept it.
	kept := *b
	if status, _, header := b.send(t, "DELETE", "/api/session?path=/", ""); status != 200 || !strings.Contains(header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("sign out: %d %v", status, header)
	}
	if status, text, _ := kept.send(t, "GET", "/api/traces", ""); status != 401 || !strings.Contains(text, "session has ended") {
		t.Errorf("after signing out: %d %s", status, text)
	}
	if _, text, _ := kept.send(t, "GET", "/api/session", ""); !strings.Contains(text, `"Key":null`) || !strings.Contains(text, `"Server":null`) {
		t.Errorf("after signing out: %s", text)
	}
}

func TestSignInRefused(t *testing.T) {
	s := startKeyed(t, nil)
	wrong := s.admin
	wrong.Secret = s.reader.Secret
	for _, c := range []struct {
		name, path, body string
		header           []string
		status           int
		text             string
	}{
		{"a wrong secret", "/api/session", signInBody(wrong), nil, 401, "There is no such key, or its secret is another"},
		{"an unknown key", "/api/session", signInBody(keys.New("", nil, time.Now())), nil, 401, "There is no such key, or its secret is another"},
		{"a writer", "/api/session", signInBody(s.writer), nil, 403, "the page needs a key with the role read or admin"},
		{"no JSON", "/api/session", "AccessKeyId=x", nil, 400, "send {"},
		{"a secret in the address", "/api/session?SecretAccessKey=x", signInBody(s.admin), nil, 400, "unknown parameter"},
		{"a folder that is none", "/api/session", strings.Replace(signInBody(s.admin), `"Path":"/"`, `"Path":"/; Domain=evil.example/"`, 1), nil, 400, "folder of the page"},
		{"another site", "/api/session", signInBody(s.admin), []string{"Origin", "https://evil.example"}, 403, "other sites"},
		{"another port", "/api/session", signInBody(s.admin), []string{"Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"}, 403, "other sites"},
		{"a form", "/api/session", signInBody(s.admin), []string{"Origin", "null"}, 403, "other sites"},
	} {
		status, text, header := do(t, "POST", s.URL()+c.path, c.body, c.header...)
		if status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, text, c.status, c.text)
		}
		if header.Get("Set-Cookie") != "" {
			t.Errorf("%s: a cookie was set", c.name)
		}
	}
	// Attempts are limited, and say until when.
	for range 20 {
		status, text, header := do(t, "POST", s.URL()+"/api/session", signInBody(wrong))
		if status == 401 {
			continue
		}
		if status != 429 || !strings.Contains(text, "Too many attempts to sign in from this address failed; try again in ") || header.Get("Retry-After") == "" || header.Get("Retry-After") == "0" {
			t.Errorf("%d %s %v", status, text, header)
		}
		if status, _, _ := do(t, "POST", s.URL()+"/api/session", signInBody(s.admin)); status != 429 {
			t.Errorf("the right secret among them: %d", status)
		}
		return
	}
	t.Error("guessing goes on for ever")
}

// TestSessionsAreForThePage asks as pages of other sites could have a browser ask.
func TestSessionsAreForThePage(t *testing.T) {
	s := startKeyed(t, nil)
	b := s.signIn(t, s.admin)
	for _, c := range []struct {
		name, method, path string
		header             []string
	}{
		{"a form", "POST", "/DeleteGroup", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}},
		{"an image", "GET", "/api/traces", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}},
		{"a page on another port", "GET", "/api/traces", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Origin", "http://127.0.0.1:1"}},
		{"a link to data", "GET", "/api/keys", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}},
		{"no sign of a browser", "POST", "/DeleteGroup", nil},
		{"sign-out from elsewhere", "DELETE", "/api/session", []string{"Origin", "https://evil.example"}},
		{"sign-out without a sign of the page", "DELETE", "/api/session", nil},
	} {
		if status, text, _ := do(t, c.method, s.URL()+c.path, `{"GroupName":"x"}`, append(c.header, "Cookie", b.cookie)...); status != 403 {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
	if status, _, _ := b.send(t, "GET", "/api/traces", ""); status != 200 {
		t.Errorf("the session has ended: %d", status)
	}
}

func TestSessionsEndByTime(t *testing.T) {
	s := startKeyed(t, func(c *config.Config) { c.SessionIdle, c.SessionMax = 300*time.Millisecond, time.Hour })
	b := s.signIn(t, s.reader)
	if status, _, _ := b.send(t, "GET", "/api/traces", ""); status != 200 {
		t.Errorf("at once: %d", status)
	}
	within(t, "the end", func() bool {
		time.Sleep(400 * time.Millisecond)
		status, text, _ := b.send(t, "POST", "/Traces", `{"TraceIds":["1-58406520-a006649127e371903a2de979"]}`)
		return status == 401 && strings.Contains(text, "session has ended")
	})
}

func TestSecureCookie(t *testing.T) {
	ca := authority.New(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	ca.Issue(t, cert, key, "first.example")
	s := startKeyed(t, func(c *config.Config) { c.TLSCert, c.TLSKey = cert, key })
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/api/session", strings.NewReader(signInBody(s.reader)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", s.URL())
	resp, err := ca.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if set := resp.Header.Get("Set-Cookie"); resp.StatusCode != 200 || !strings.HasPrefix(set, "__Host-roentgen-session-") || !strings.HasSuffix(set, "HttpOnly; Secure; SameSite=Strict") {
		t.Errorf("%s %s", resp.Status, set)
	}
}

// TestKeysOverHTTP makes a key, uses it, and revokes it under a stream and a session.
func TestKeysOverHTTP(t *testing.T) {
	s := startKeyed(t, nil)
	b := s.signIn(t, s.admin)
	status, text, header := b.send(t, "POST", "/api/keys", `{"Name":"  shop ","Roles":["read","read"],"ExpiresIn":"90d","DocumentsPerSecond":5,"BytesPerSecond":100}`)
	var made struct {
		Bearer, SecretAccessKey string
		Key                     struct {
			ID, Name, State    string
			Roles              []string
			Created, Expires   float64
			DocumentsPerSecond int
		}
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil || status != 200 {
		t.Fatalf("%d %s %v", status, text, err)
	}
	if k := made.Key; k.Name != "shop" || fmt.Sprint(k.Roles) != "[read]" || k.State != "valid" || k.Expires-k.Created != 90*86400 || k.DocumentsPerSecond != 5 || header.Get("Cache-Control") != "no-store" {
		t.Errorf("made %s", text)
	}
	for range 2 { // it counts at once
		if status, text, _ := do(t, "GET", s.URL()+"/api/traces", "", "Authorization", "Bearer "+made.Bearer); status != 200 {
			t.Fatalf("with the new key: %d %s", status, text)
		}
	}
	list := func() string {
		_, text, _ := b.send(t, "GET", "/api/keys", "")
		return text
	}
	before := list()
	if strings.Contains(before, made.SecretAccessKey) || strings.Contains(before, s.admin.Secret) {
		t.Error("the list shows secrets")
	}
	if !strings.Contains(before, `"Changeable":true`) || !strings.Contains(before, `"Name":"shop"`) || strings.Contains(before, `"ID":"`+made.Key.ID+`","LastUsed":null`) || !strings.Contains(before, `"ID":"`+s.writer.ID+`","LastUsed":null`) || !strings.Contains(before, `"Sessions":1`) {
		t.Errorf("list %s", before)
	}

	// A stream and a session by the key.
	guest := s.signIn(t, keys.Key{ID: made.Key.ID, Secret: made.SecretAccessKey})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL()+"/api/tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", guest.cookie)
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("stream: %v %v", resp, err)
	}
	defer resp.Body.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		}
	}()
	if status, text, _ := b.send(t, "DELETE", "/api/keys/"+made.Key.ID, ""); status != 200 || !strings.Contains(text, `"State":"revoked"`) {
		t.Fatalf("revoke: %d %s", status, text)
	}
	if status, _, _ := do(t, "GET", s.URL()+"/api/traces", "", "Authorization", "Bearer "+made.Bearer); status != 401 {
		t.Errorf("with the revoked key: %d", status)
	}
	if status, _, _ := guest.send(t, "GET", "/api/traces", ""); status != 401 {
		t.Errorf("in the session of the revoked key: %d", status)
	}
	do(t, "POST", s.URL()+"/TraceSegments", putBody(document(5)), "Authorization", "Bearer "+s.writer.Bearer())
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the stream of the revoked key goes on")
	}

	for _, c := range []struct {
		name, method, path, body string
		status                   int
		text                     string
	}{
		{"revoked already", "DELETE", "/api/keys/" + made.Key.ID, "", 400, "was revoked already"},
		{"not there", "DELETE", "/api/keys/RGENNOBODY", "", 404, "there is no key RGENNOBODY"},
		{"the last admin's", "DELETE", "/api/keys/" + s.admin.ID, "", 400, "is the last one with the role admin"},
		{"no role", "POST", "/api/keys", `{"Name":"x"}`, 400, "the role write, read or admin"},
		{"a role that is none", "POST", "/api/keys", `{"Roles":["owner"]}`, 400, `\"owner\" is no role`},
		{"a name of two lines", "POST", "/api/keys", `{"Roles":["read"],"Name":"a\nb"}`, 400, "the name of a key is one line"},
		{"an age that is none", "POST", "/api/keys", `{"Roles":["read"],"ExpiresIn":"soon"}`, 400, "write an age such as 90d"},
		{"a limit below 0", "POST", "/api/keys", `{"Roles":["read"],"BytesPerSecond":-1}`, 400, "must not be less than 0"},
	} {
		if status, text, _ := b.send(t, c.method, c.path, c.body); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
	if got, err := keys.Read(s.file); err != nil || len(got) != 4 || !got[3].IsRevoked() {
		t.Errorf("the file holds %v, %v", got, err)
	}
	if os.Getuid() != 0 { // root may write everywhere
		dir := filepath.Dir(s.file)
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Chmod(dir, 0o700) }()
		if status, text, _ := b.send(t, "POST", "/api/keys", `{"Roles":["read"]}`); status != 400 || !strings.Contains(text, "may not write") {
			t.Errorf("a folder that cannot be written: %d %s", status, text)
		}
		if text := list(); !strings.Contains(text, `"Changeable":false`) {
			t.Errorf("a folder that cannot be written: %s", text)
		}
	}
}

// TestWithoutKeys asks a server that asks nobody for a key.
func TestWithoutKeys(t *testing.T) {
	s := start(t, nil, nil)
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/api/session", "", 200, `{"Authentication":false,"Began":null,"Expires":null,"Idle":null,"Key":null,"Roles":["write","read","admin"],"Server":{`},
		{"POST", "/api/session", `{"AccessKeyId":"x","SecretAccessKey":"y"}`, 400, "nothing to sign in to"},
		{"GET", "/api/keys", "", 200, `{"Authentication":false,`},
		{"POST", "/api/keys", `{"Roles":["read"]}`, 400, "start it with --keys FILE"},
		{"DELETE", "/api/keys/RGENX", "", 400, "start it with --keys FILE"},
	} {
		if status, text, _ := do(t, c.method, s.URL()+c.path, c.body); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, text)
		}
	}
}

func TestViewsOverHTTP(t *testing.T) {
	s := startKeyed(t, func(c *config.Config) { c.DataDir = t.TempDir() })
	reader, admin := s.signIn(t, s.reader), s.signIn(t, s.admin)
	status, text, _ := reader.send(t, "POST", "/api/views", `{"Name":"slow","Page":"traces","Query":"q=responsetime+%3E+5"}`)
	var saved struct {
		ID        string
		MayChange bool
		Owner     struct{ ID, Name string }
	}
	if err := json.Unmarshal([]byte(text), &saved); err != nil || status != 200 || !saved.MayChange || saved.Owner.Name != "reader" {
		t.Fatalf("%d %s %v", status, text, err)
	}
	if _, text, _ := admin.send(t, "POST", "/api/views", `{"Name":"boss","Page":"map","Query":""}`); !strings.Contains(text, `"Name":"boss"`) {
		t.Fatal(text)
	}
	_, list, _ := reader.send(t, "GET", "/api/views", "")
	if strings.Count(list, `"MayChange":true`) != 1 || strings.Count(list, `"MayChange":false`) != 1 || strings.Index(list, "boss") > strings.Index(list, "slow") {
		t.Errorf("to the reader: %s", list)
	}
	_, list, _ = admin.send(t, "GET", "/api/views", "")
	if strings.Count(list, `"MayChange":true`) != 2 {
		t.Errorf("to the admin: %s", list)
	}
	boss := regexpID(list, "boss")
	for _, c := range []struct {
		who                string
		b                  *browser
		method, path, body string
		status             int
		text               string
	}{
		{"a name that is taken", reader, "POST", "/api/views", `{"Name":"slow","Page":"map"}`, 400, "already"},
		{"a place elsewhere", reader, "POST", "/api/views", `{"Name":"x","Page":"https://evil.example"}`, 400, "place of the page"},
		{"renames somebody else's", reader, "PUT", "/api/views/" + boss, `{"Name":"mine"}`, 403, "saved with another key"},
		{"deletes somebody else's", reader, "DELETE", "/api/views/" + boss, "", 403, "saved with another key"},
		{"one that is not there", reader, "PUT", "/api/views/absent", `{"Name":"mine"}`, 404, "no such view"},
		{"to an empty name", reader, "PUT", "/api/views/" + saved.ID, `{"Name":" "}`, 400, "must not be empty"},
		{"renames his own", reader, "PUT", "/api/views/" + saved.ID, `{"Name":"slower"}`, 200, `"Query":"q=responsetime+%3E+5"`},
		{"an admin changes anybody's", admin, "PUT", "/api/views/" + saved.ID, `{"Query":"q=fault"}`, 200, `"Name":"slower"`},
		{"an admin deletes anybody's", admin, "DELETE", "/api/views/" + saved.ID, "", 200, "{}"},
		{"what is gone", admin, "DELETE", "/api/views/" + saved.ID, "", 404, "no such view"},
	} {
		if status, text, _ := c.b.send(t, c.method, c.path, c.body); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", c.who, status, text)
		}
	}
	// They are part of what is exported.
	if _, file, _ := admin.send(t, "GET", "/api/control", ""); !strings.Contains(file, `"name": "boss"`) {
		t.Errorf("exported: %s", file)
	}
}

func TestLinksOverHTTP(t *testing.T) {
	s := startKeyed(t, func(c *config.Config) { c.DataDir = t.TempDir() })
	reader, admin := s.signIn(t, s.reader), s.signIn(t, s.admin)
	status, text, _ := reader.send(t, "POST", "/api/links", `{"Path":"traces","Query":"q=responsetime+%3E+5"}`)
	var made struct{ Id, Path, Query, Url string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || status != 200 || made.Path != "traces" || made.Url != "l/"+made.Id || len(made.Id) > 12 {
		t.Fatalf("%d %s %v", status, text, err)
	}
	// The same state, said by somebody else and with the marks of an address.
	if _, again, _ := admin.send(t, "POST", "/api/links", `{"Path":"/traces","Query":"?q=responsetime+%3E+5"}`); again != text {
		t.Errorf("%s, and then %s", text, again)
	}
	for _, path := range []string{"/api/links/" + made.Id, "/api/links/" + made.Id + "/"} {
		if status, got, _ := admin.send(t, "GET", path, ""); status != 200 || got != text {
			t.Errorf("%s: %d %s", path, status, got)
		}
	}
	long := strings.Repeat("x", 8193)
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"POST", "/api/links", `{"Path":"https://evil.example/traces"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"//evil.example"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"//map"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"javascript:alert(1)"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"\\\\evil.example"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"../map"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"map/../../api/keys"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"api/control"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"l/` + made.Id + `"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"` + long + `"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"trace/` + long + `"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"map?x=1"}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":""}`, 400, "place of the page"},
		{"POST", "/api/links", `{"Path":"map","Query":"` + long + `"}`, 400, "more than 8192 bytes"},
		{"POST", "/api/links", `{"Path":"map","Query":"a#b"}`, 400, "as in an address"},
		{"POST", "/api/links", `{"Path":"map","Query":"a\r\nLocation: x"}`, 400, "as in an address"},
		{"POST", "/api/links", `{"Path":"map","Id":"mine"}`, 400, "send {"},
		{"POST", "/api/links", `{"Path":["map"]}`, 400, "send {"},
		{"POST", "/api/links?x=1", `{"Path":"map"}`, 400, "unknown parameter"},
		{"GET", "/api/links", "", 405, "use POST"},
		{"DELETE", "/api/links/" + made.Id, "", 405, "use GET"},
		{"GET", "/api/links/absent", "", 404, "no such link"},
		{"GET", "/api/links/" + strings.ToUpper(made.Id), "", 404, "no such link"},
		{"GET", "/api/links/" + made.Id + "/more", "", 404, "no such link"},
	} {
		if status, text, _ := reader.send(t, c.method, c.path, c.body); status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s %.60s %.60s: %d %s", c.method, c.path, c.body, status, text)
		}
	}
	if _, file, _ := admin.send(t, "GET", "/api/control", ""); strings.Count(file, `"page": `) != 1 || !strings.Contains(file, `"id": "`+made.Id+`"`) {
		t.Errorf("exported: %s", file)
	}
}

func regexpID(list, name string) string {
	_, rest, _ := strings.Cut(list, `"Name":"`+name)
	before := strings.TrimSuffix(list, rest)
	_, id, _ := strings.Cut(before[strings.LastIndex(before, `"ID":"`):], `"ID":"`)
	id, _, _ = strings.Cut(id, `"`)
	return id
}

func TestStatus(t *testing.T) {
	s := start(t, openStore, func(c *config.Config) { c.DataDir = t.TempDir() })
	do(t, "POST", s.URL()+"/TraceSegments", putBody(document(1), document(2)))
	var told struct {
		Build   struct{ Version, Go string }
		Missing []string
		Started float64
		Storage struct {
			Documents, DiskBytes, FreeBytes, MinFreeBytes int64
			Folder                                        string
			Kinds                                         []struct {
				Kind  string
				Bytes int64
			}
			Newest, Oldest *float64
			Parts          []struct{ Documents, Bytes int64 }
			Retention      *float64
			Waiting        int64
		}
	}
	within(t, "two documents", func() bool {
		_, text, _ := do(t, "GET", s.URL()+"/api/server", "")
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			t.Fatal(err)
		}
		return told.Storage.Documents == 2 && told.Storage.Newest != nil && told.Storage.DiskBytes > 0
	})
	st := told.Storage
	if len(told.Missing) != 0 || told.Build.Version != "v0-test" || float64(time.Now().Unix())-told.Started > 600 || st.FreeBytes <= 0 || st.MinFreeBytes <= 0 || !filepath.IsAbs(st.Folder) || len(st.Parts) != 1 || st.Parts[0].Documents != 2 || st.Retention == nil || st.Oldest == nil {
		t.Errorf("told %+v", told)
	}
	sizes := map[string]int64{}
	for _, k := range st.Kinds {
		sizes[k.Kind] = k.Bytes
	}
	if len(sizes) != 9 || sizes["documents"]+sizes["log"] <= 0 || sizes["reserve"] <= 0 {
		t.Errorf("kinds %v", sizes)
	}
}
