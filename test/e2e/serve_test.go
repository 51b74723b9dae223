package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/test/process"
)

// plainDocument returns a segment document of a trace of its own, and both ids.
func plainDocument() (text, trace, id string) {
	trace = fmt.Sprintf("1-%08x-%08x%016x", time.Now().Unix(), rand.Uint32(), rand.Uint64())
	id = fmt.Sprintf("%016x", rand.Uint64())
	now := float64(time.Now().UnixMilli()) / 1e3
	return fmt.Sprintf(`{"trace_id":%q,"id":%q,"name":"mill","start_time":%.3f,"end_time":%.3f}`, trace, id, now-0.1, now), trace, id
}

// post posts to an operation and returns the status and body; the status is 0
// when the server is gone.
func post(client *http.Client, url string, body any) (int, string) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err) // strings only
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(string(data)))
	if err != nil {
		panic(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(out)
}

// missing returns those of the documents (segment id by trace id) that the
// server does not give back.
func missing(t *testing.T, s *process.Server, docs map[string]string) []string {
	t.Helper()
	var lost, batch []string
	ask := func() {
		status, body := post(http.DefaultClient, s.URL+"/Traces", map[string]any{"TraceIds": batch})
		if status != 200 {
			t.Fatalf("Traces: %d %.300s", status, body)
		}
		for _, trace := range batch {
			if !strings.Contains(body, docs[trace]) {
				lost = append(lost, trace)
			}
		}
		batch = batch[:0]
	}
	for trace := range docs {
		if batch = append(batch, trace); len(batch) == 100 {
			ask()
		}
	}
	if len(batch) > 0 {
		ask()
	}
	return lost
}

// TestStopUnderLoad puts over HTTP and UDP, stops the server in the midst of it
// and expects every acknowledged document and every datagram that was sent before
// the signal to be there after a restart.
func TestStopUnderLoad(t *testing.T) {
	dir := t.TempDir()
	docs := make(map[string]string) // segment id by trace id
	for round := range 3 {
		s := process.Serve(t, dir)
		var mu sync.Mutex
		var acks atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				client := &http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				for {
					batch := make(map[string]string)
					var texts []string
					for range 1 + rand.IntN(10) {
						text, trace, id := plainDocument()
						texts = append(texts, text)
						batch[trace] = id
					}
					status, body := post(client, s.URL+"/TraceSegments", map[string]any{"TraceSegmentDocuments": texts})
					switch {
					case status == 0:
						return // the server is gone
					case status == 200 && body == `{"UnprocessedTraceSegments":[]}`:
						mu.Lock()
						for k, v := range batch {
							docs[k] = v
						}
						mu.Unlock()
						acks.Add(1)
					case status != 503 && status != 429:
						t.Errorf("put: %d %s", status, body)
						return
					}
				}
			})
		}
		udp, err := net.Dial("udp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < 3000 || acks.Load() < 50; i++ {
			text, trace, id := plainDocument()
			if _, err := io.WriteString(udp, `{"format":"json","version":1}`+"\n"+text); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			docs[trace] = id
			mu.Unlock()
			if i%50 == 49 {
				time.Sleep(5 * time.Millisecond) // a default socket buffer holds some hundred
			}
		}
		udp.Close()
		s.Signal(t, syscall.SIGTERM)
		if state := s.Wait(t); state.ExitCode() != 0 {
			t.Fatalf("round %d: %v\n%s", round, state, s.Output)
		}
		wg.Wait()
		if out := s.Output.String(); strings.Contains(out, "level=ERROR") || strings.Contains(out, "level=WARN") {
			t.Errorf("round %d: the log tells of trouble:\n%s", round, out)
		}
	}
	s := process.Serve(t, dir)
	if lost := missing(t, s, docs); len(lost) > 0 {
		t.Errorf("%d of %d documents are lost, %s among them", len(lost), len(docs), lost[0])
	}
	t.Logf("%d documents", len(docs))
}

// TestSecondSignal has a client that never finishes its request: the first
// signal waits for it, the second one does not.
func TestSecondSignal(t *testing.T) {
	s := process.Serve(t, t.TempDir(), "--shutdown-timeout", "1h")
	c, err := net.Dial("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // so that the request has begun
	s.Signal(t, os.Interrupt)
	for !strings.Contains(s.Output.String(), "server stopping") {
		time.Sleep(5 * time.Millisecond)
	}
	select {
	case <-s.Exited():
		t.Fatalf("the server did not wait for the request:\n%s", s.Output)
	case <-time.After(200 * time.Millisecond):
	}
	s.Signal(t, os.Interrupt)
	if ws, ok := s.Wait(t).Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v", s.Wait(t))
	}
}

// TestShutdownTimeout is the same with a server that gives up by itself.
func TestShutdownTimeout(t *testing.T) {
	s := process.Serve(t, t.TempDir(), "--shutdown-timeout", "300ms")
	c, err := net.Dial("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	s.Signal(t, syscall.SIGTERM)
	if state := s.Wait(t); state.ExitCode() != 1 || !strings.Contains(s.Output.String(), "requests were cut off") {
		t.Errorf("%v\n%s", state, s.Output)
	}
}

// TestPortZero takes the port from the ready line, for TCP and UDP.
func TestPortZero(t *testing.T) {
	s := process.Launch(t, "serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	ready := regexp.MustCompile(`(?m)^roentgen is ready on http://(127\.0\.0\.1:\d+) \(UDP and TCP\), data in `)
	for s.URL == "" {
		if m := ready.FindStringSubmatch(s.Output.String()); m != nil {
			s.Address, s.URL = m[1], "http://"+m[1]
		}
		select {
		case <-s.Exited():
			t.Fatalf("it ended: %s", s.Output)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if !s.Ready() {
		t.Error("the ready line came before the server was ready")
	}
	udp, err := net.Dial("udp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	text, trace, id := plainDocument()
	io.WriteString(udp, `{"format":"json","version":1}`+"\n"+text)
	for range 1000 {
		if len(missing(t, s, map[string]string{trace: id})) == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the datagram did not become a trace")
}

// TestReload changes the file of a running server.
func TestReload(t *testing.T) {
	file := t.TempDir() + "/settings.yaml"
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("log-level: info\n")
	s := process.Serve(t, t.TempDir(), "--config", file)
	hup := func(want string) {
		t.Helper()
		s.Signal(t, syscall.SIGHUP)
		for range 2000 {
			if strings.Contains(s.Output.String(), want) {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("no %q in\n%s", want, s.Output)
	}
	write("log-level: debug\nretention: 1d\n")
	hup(`msg="settings read again" log_level=debug after_a_restart=retention`)
	write("log-level: loud\n")
	hup("settings.yaml:1: log-level: \\\"loud\\\" is none of debug, info, warn and error")
	if !s.Ready() {
		t.Error("a bad file ended the server")
	}
}
