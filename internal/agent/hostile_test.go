package agent

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestSpoolElsewhere gives the agent a folder that nobody may make: when it was not
// named the agent takes another one, else it does not start.
func TestSpoolElsewhere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: where nobody may write is known of Linux only")
	}
	b := newBackend(t)
	other := filepath.Join(t.TempDir(), "other")
	cfg := &Config{LogFormat: "text", SpoolDir: "/sys/roentgen-agent", spoolElse: []string{other}, Destinations: []Destination{{Endpoint: b.URL}}}
	a := start(t, cfg)
	if filepath.Dir(a.SpoolFolder()) != other || a.Status().Spool.Folder != a.SpoolFolder() {
		t.Errorf("the spool is in %s", a.SpoolFolder())
	}
	list := checkSpool(cfg)
	if len(list) < 2 || list[0].Verdict != CheckWarn || list[1].Verdict == CheckBad || !strings.HasPrefix(list[1].Finding, a.SpoolFolder()) {
		t.Errorf("doctor finds %+v", list)
	}
	named := *cfg
	named.spoolElse, named.UDPAddress = nil, "127.0.0.1:0"
	if list := checkSpool(&named); len(list) != 1 || list[0].Verdict != CheckBad {
		t.Errorf("doctor finds %+v", list)
	}
	if _, err := Start(t.Context(), Options{Config: &named, Getenv: none}); err == nil || !strings.Contains(err.Error(), "--spool-dir") {
		t.Errorf("started all the same: %v", err)
	}
	if _, err := os.Lstat("/sys/roentgen-agent"); err == nil {
		t.Error("there is a folder")
	}
}

// TestOwnFolder refuses what somebody else may have laid there.
func TestOwnFolder(t *testing.T) {
	dir := t.TempDir()
	mine, link := filepath.Join(dir, "mine"), filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ownFolder(mine); err != nil {
			t.Error(err)
		}
		if err := os.Chmod(mine, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := ownFolder(mine); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(mine); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if err := ownFolder(link); !forbidden(err) {
		t.Errorf("a link is taken: %v", err)
	}
}

// TestDoctorMakesNothing looks at folders that are not there.
func TestDoctorMakesNothing(t *testing.T) {
	dir := t.TempDir()
	cfg := &Config{UDPAddress: "127.0.0.1:2000", SpoolDir: filepath.Join(dir, "a", "b")}
	if list := checkSpool(cfg); len(list) == 0 || list[0].Verdict == CheckBad || !strings.Contains(list[0].Finding, "not made yet") {
		t.Errorf("%+v", list)
	}
	if c := checkUnix(t.Context(), filepath.Join(dir, "socket")); c.Verdict != CheckGood {
		t.Errorf("%+v", c)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	if c := checkUnix(t.Context(), filepath.Join(dir, "a", "socket")); c.Verdict != CheckBad || c.Remedy == "" {
		t.Errorf("%+v", c)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c := checkUnix(t.Context(), file); c.Verdict != CheckBad || !strings.Contains(c.Finding, "no socket") {
		t.Errorf("%+v", c)
	}
}

// TestIsAgent knows an agent from other servers.
func TestIsAgent(t *testing.T) {
	b := newBackend(t) // answers 200 to everything
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: b.URL}}})
	if !isAgent(t.Context(), "http://"+a.TCPAddr()) || isAgent(t.Context(), b.URL) {
		t.Error("mistaken")
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestLogTakesNoOrders has a destination say what would forge a line, or write to a
// terminal.
func TestLogTakesNoOrders(t *testing.T) {
	var out bytes.Buffer
	l := NewLogger(&out, "daemon", new(slog.LevelVar))
	l.Error("failed with: one\n2026-11-26T01:02:03Z [Info] forged \x1b[2J", slog.String("a", "b\rc"))
	if text := out.String(); strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\r\x1b") || !strings.HasSuffix(text, ` a="b\rc"`+"\n") {
		t.Errorf("%q", text)
	}
}

// TestLettersSurvive reads dead letters of the longest kind, and those behind a line
// that a crash cut off.
func TestLettersSurvive(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, lettersName)
	if err := os.WriteFile(half, []byte(`{"time":"2026-11-26T01:02`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLetters(dir, slog.New(slog.DiscardHandler))
	l.add([]Letter{{Code: "first"}})
	l.add([]Letter{{Code: "long", Document: strings.Repeat("\x00", MaxDocument), Message: strings.Repeat("\x01", 1<<20), ID: strings.Repeat("\x02", 1<<20)}})
	if list, err := l.newest(10); err != nil || len(list) == 0 || list[len(list)-1].Code != "long" || list[len(list)-1].Size != MaxDocument {
		t.Errorf("%d letters, %v", len(list), err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(half)
	if err != nil || !bytes.Contains(data, []byte("01:02\n{")) {
		t.Errorf("the letter after the cut line is spoiled: %.100q, %v", data, err)
	}
}

// TestRestingConnectionsMakeRoom opens more connections than the agent has room for,
// half of them silent and half of them between two requests: whoever comes gets in.
func TestRestingConnectionsMakeRoom(t *testing.T) {
	b := newBackend(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: b.URL}}})
	ask := func(c net.Conn) {
		t.Helper()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(body) != "healthy\n" {
			t.Fatalf("%s, %q, %v", resp.Status, body, err)
		}
	}
	open := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", a.TCPAddr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	framed := open()
	io.WriteString(framed, `{"format":"json","version":1,"ack":true}`+"\n")
	for i := range maxConns + 100 {
		if c := open(); i%2 == 0 {
			ask(c)
		}
	}
	ask(open())
	io.WriteString(framed, document(1)+"\n")
	framed.SetReadDeadline(time.Now().Add(20 * time.Second))
	if line, err := bufio.NewReader(framed).ReadString('\n'); err != nil || line != `{"acknowledged":1}`+"\n" {
		t.Errorf("the framed connection was closed: %q, %v", line, err)
	}
	f := a.fronts[0]
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.open > maxConns || len(f.mu.resting) > f.mu.open {
		t.Errorf("%d connections are open, %d of them rest", f.mu.open, len(f.mu.resting))
	}
}
