package telemetry

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func testPages(h *Health) Pages {
	b := Build{Version: "v9", Commit: "abc", Go: "go1", Platform: "a/b"}
	return Pages{
		Registry: NewRegistry(b), Health: h, Build: b,
		Config: func(w io.Writer) error { _, err := io.WriteString(w, "listen: here\n"); return err },
		Store:  func() any { return map[string]int{"documents": 7} },
	}
}

// get asks handler as a caller at peer and returns status, body and content type.
func get(t *testing.T, h http.Handler, peer, method, path string) (int, string, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.RemoteAddr = peer
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Header().Get("Content-Type")
}

func TestPages(t *testing.T) {
	h := testPages(NewHealth(nil)).Handler()
	for _, tt := range []struct {
		peer, method, path string
		status             int
		holds, mime        string
	}{
		{"127.0.0.1:5", "GET", "/metrics", 200, `roentgen_build_info{commit="abc",goversion="go1",version="v9"} 1`, "text/plain"},
		{"127.0.0.1:5", "GET", "/metrics", 200, "go_goroutines", "text/plain"},
		{"10.0.0.1:5", "GET", "/metrics", 200, "process_resident_memory_bytes", "text/plain"},
		{"10.0.0.1:5", "GET", "/-/healthy", 200, "healthy\n", "text/plain"},
		{"10.0.0.1:5", "HEAD", "/-/healthy", 200, "", "text/plain"},
		{"10.0.0.1:5", "GET", "/-/ready", 200, "ready\n", "text/plain"},
		{"10.0.0.1:5", "POST", "/-/ready", 405, "", "text/plain"},
		{"127.0.0.1:5", "GET", "/debug/", 200, `<a href="/debug/pprof/">`, "text/html"},
		{"[::1]:5", "GET", "/debug/", 200, `/debug/config`, "text/html"},
		{"127.0.0.1:5", "GET", "/debug/config", 200, "listen: here\n", "text/plain"},
		{"127.0.0.1:5", "GET", "/debug/store", 200, `"documents": 7`, "application/json"},
		{"127.0.0.1:5", "GET", "/debug/build", 200, `"version": "v9"`, "application/json"},
		{"127.0.0.1:5", "GET", "/debug/pprof/", 200, "goroutine", "text/html"},
		{"127.0.0.1:5", "GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile:", "text/plain"},
		{"127.0.0.1:5", "GET", "/debug/none", 404, "", "text/plain"},
		{"10.0.0.1:5", "GET", "/debug/", 403, "only callers on the machine", "text/plain"},
		{"10.0.0.1:5", "GET", "/debug/pprof/heap", 403, "only callers on the machine", "text/plain"},
	} {
		status, body, mime := get(t, h, tt.peer, tt.method, tt.path)
		if status != tt.status || !strings.Contains(body, tt.holds) || !strings.HasPrefix(mime, tt.mime) {
			t.Errorf("%s %s from %s: got %d %s, without %q in:\n%.300s", tt.method, tt.path, tt.peer, status, mime, tt.holds, body)
		}
	}
}

// TestDebugIndexLinks follows every link of the index.
func TestDebugIndexLinks(t *testing.T) {
	h := testPages(NewHealth(nil)).Handler()
	for _, p := range debugPages {
		if status, _, _ := get(t, h, "127.0.0.1:5", "GET", p.Path); status != 200 {
			t.Errorf("%s: status %d", p.Path, status)
		}
	}
}

func TestReady(t *testing.T) {
	sick := ""
	health := NewHealth(func() string { return sick })
	h := testPages(health).Handler()
	steps := []struct {
		name   string
		do     func()
		status int
		body   string
	}{
		{"two missing", func() { health.Await("store", "reading its tail"); health.Await("http", "not listening yet") }, 503, "not ready\nhttp: not listening yet\nstore: reading its tail\n"},
		{"one left", func() { health.Ready("http") }, 503, "not ready\nstore: reading its tail\n"},
		{"another reason", func() { health.Await("store", "views") }, 503, "not ready\nstore: views\n"},
		{"ready", func() { health.Ready("store") }, 200, "ready\n"},
		{"ready twice", func() { health.Ready("store") }, 200, "ready\n"},
		{"degraded", func() { sick = "writes are refused: disk full" }, 200, "ready\ndegraded: writes are refused: disk full\n"},
		{"stopping", func() { health.Await("server", "shutting down") }, 503, "not ready\nserver: shutting down\n"},
	}
	for _, s := range steps {
		s.do()
		if status, body, _ := get(t, h, "10.0.0.1:1", "GET", "/-/ready"); status != s.status || body != s.body {
			t.Errorf("%s: got %d %q, want %d %q", s.name, status, body, s.status, s.body)
		}
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	logger := NewLogger(&out, "json", level)
	logger.Debug("hidden")
	logger.Info("shown", slog.Int("n", 1))
	level.Set(slog.LevelDebug)
	logger.Debug("shown too")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %q", out.String())
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &m); err != nil || m["msg"] != "shown" || m["n"] != 1.0 {
		t.Errorf("%v %v", m, err)
	}
	out.Reset()
	NewLogger(&out, "text", level).Warn("odd", slog.String("peer", "a b"))
	if got := out.String(); !strings.HasSuffix(got, "level=WARN msg=odd peer=\"a b\"\n") {
		t.Errorf("text: %q", got)
	}
}

func TestParseLevel(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := ParseLevel(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("loud was accepted")
	}
}

func TestLimiter(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	l := &Limiter{Every: time.Second, Now: func() time.Time { return now }}
	for range 5 {
		l.Log(logger, slog.LevelWarn, "datagram refused", slog.String("peer", "p"))
	}
	now = now.Add(time.Second)
	l.Log(logger, slog.LevelWarn, "datagram refused", slog.String("peer", "q"))
	now = now.Add(time.Second)
	l.Log(logger, slog.LevelWarn, "datagram refused", slog.String("peer", "r"))
	want := `level=WARN msg="datagram refused" peer=p
level=WARN msg="datagram refused" peer=q suppressed=4
level=WARN msg="datagram refused" peer=r
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestReadBuild(t *testing.T) {
	if b := ReadBuild("v1.2.3"); b.Version != "v1.2.3" || !strings.HasPrefix(b.Go, "go") || !strings.Contains(b.Platform, "/") || b.Commit == "" {
		t.Errorf("%+v", b)
	}
	if b := ReadBuild(""); b.Version == "" {
		t.Errorf("%+v", b)
	}
}
