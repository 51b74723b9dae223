package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// streamServer serves handler over HTTP/2 without TLS. change, when not nil, is called
// before it starts.
func streamServer(t *testing.T, handler http.Handler, change func(*httptest.Server)) *httptest.Server {
	t.Helper()
	ts := httptest.NewUnstartedServer(handler)
	ts.Config.Protocols = new(http.Protocols)
	ts.Config.Protocols.SetHTTP1(true)
	ts.Config.Protocols.SetUnencryptedHTTP2(true)
	ts.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams}
	if change != nil {
		change(ts)
	}
	ts.Start()
	t.Cleanup(ts.Close)
	return ts
}

// rawStreams is a client that sends frames as it is told to.
type rawStreams struct {
	*http2.Framer
	conn net.Conn
	next uint32 // id of the next stream
}

func dialStreams(t *testing.T, address string, settings ...http2.Setting) *rawStreams {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(c, http2.ClientPreface)
	raw := &rawStreams{Framer: http2.NewFramer(c, c), conn: c, next: 1}
	if err := raw.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return raw
}

// ask begins a request and returns its stream.
func (r *rawStreams) ask(method, path string, end bool) (stream uint32, err error) {
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	enc.SetMaxDynamicTableSize(0) // each head stands for itself
	for _, h := range [][2]string{{":method", method}, {":path", path}, {":scheme", "http"}, {":authority", "localhost"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return 0, err
		}
	}
	stream = r.next
	r.next += 2
	return stream, r.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: end})
}

// untilClosed reads until the server closes the connection.
func (r *rawStreams) untilClosed(t *testing.T) {
	t.Helper()
	if _, err := io.Copy(io.Discard, r.conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
}

func patiently(handler http.HandlerFunc) http.Handler {
	return patient(handler, 150*time.Millisecond, 1<<20)
}

// TestStalledStream sends the beginning of a body, and nothing more.
func TestStalledStream(t *testing.T) {
	errs := make(chan error, 1)
	ts := streamServer(t, patiently(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
	}), nil)
	raw := dialStreams(t, ts.Listener.Addr().String())
	stream, err := raw.ask("POST", "/", false)
	if err = errors.Join(err, raw.WriteData(stream, false, []byte("only the beginning"))); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestUnreadStream has answers, large and small, which the client has no room for.
func TestUnreadStream(t *testing.T) {
	for _, size := range []int{10, 1 << 20} {
		done := make(chan struct{})
		guarded := patiently(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, size)) })
		ts := streamServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			guarded.ServeHTTP(w, r)
			close(done)
		}), nil)
		raw := dialStreams(t, ts.Listener.Addr().String(), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		begin := time.Now()
		if _, err := raw.ask("GET", "/", true); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			if took := time.Since(begin); took < 100*time.Millisecond {
				t.Errorf("%d bytes: given up after %v", size, took)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("%d bytes: the request never ends", size)
		}
	}
}

// TestSlowStream has handlers that take longer than the grace, which is no fault of the
// client's.
func TestSlowStream(t *testing.T) {
	ts := streamServer(t, patiently(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		time.Sleep(300 * time.Millisecond)
		fmt.Fprintf(w, "%s %v", body, errors.Join(err, r.Context().Err()))
	}), nil)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			resp, err := client.Post(ts.URL, "", strings.NewReader("body"))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "body <nil>" || resp.ProtoMajor != 2 {
				t.Errorf("%s %q %v", resp.Proto, text, err)
			}
		})
	}
	wg.Wait()
}

// TestTakenBackLeavesNothing takes requests back at once and closes the connection.
// Nothing may hold on to it for as long as a deadline would last.
func TestTakenBackLeavesNothing(t *testing.T) {
	type marker struct{ _ [64]byte }
	var mu sync.Mutex
	var conns []weak.Pointer[marker]
	type key struct{}
	handler := patient(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}), time.Hour, 1)
	ts := streamServer(t, handler, func(ts *httptest.Server) {
		ts.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
			m := new(marker)
			mu.Lock()
			conns = append(conns, weak.Make(m))
			mu.Unlock()
			return context.WithValue(ctx, key{}, m)
		}
	})
	for range 20 {
		raw := dialStreams(t, ts.Listener.Addr().String())
		for range 50 {
			stream, err := raw.ask("POST", "/", false)
			if err = errors.Join(err, raw.WriteRSTStream(stream, http2.ErrCodeCancel)); err != nil {
				break // it had enough of us
			}
		}
		raw.conn.Close()
	}
	within(t, "all connections are forgotten", func() bool {
		runtime.GC()
		mu.Lock()
		defer mu.Unlock()
		held := 0
		for _, c := range conns {
			if c.Value() != nil {
				held++
			}
		}
		return len(conns) == 20 && held == 0
	})
}

// TestAbusedConnections floods connections with what costs the server more than the
// client. They are closed and counted; others are served as before.
func TestAbusedConnections(t *testing.T) {
	for name, flood := range map[string]func(r *rawStreams) error{
		"requests taken back": func(r *rawStreams) error {
			stream, err := r.ask("POST", "/TraceSegments", false)
			return errors.Join(err, r.WriteRSTStream(stream, http2.ErrCodeCancel))
		},
		"requests left alone": func(r *rawStreams) error { _, err := r.ask("POST", "/TraceSegments", false); return err },
		"pings":               func(r *rawStreams) error { return r.WritePing(false, [8]byte{}) },
		"settings": func(r *rawStreams) error {
			return r.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000})
		},
		"windows": func(r *rawStreams) error { return r.WriteWindowUpdate(0, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil, nil)
			raw := dialStreams(t, strings.TrimPrefix(s.URL(), "http://"))
			sent := make(chan int)
			go func() {
				n := 0
				for ; n < 100_000 && flood(raw) == nil; n++ {
				}
				sent <- n
			}()
			raw.untilClosed(t)
			t.Logf("closed after %d", <-sent)
			status, _, _ := do(t, "POST", s.URL()+"/TraceSegments", putBody(document(7)))
			if _, text, _ := do(t, "GET", s.URL()+"/metrics", ""); status != 200 || !strings.Contains(text, "roentgen_http2_connections_abused_total 1\n") {
				t.Errorf("%d; %s", status, text)
			}
		})
	}
}

// TestBusyConnection sends many requests, large and small, over one connection of
// HTTP/2, and takes some back: that is no abuse.
func TestBusyConnection(t *testing.T) {
	s := start(t, nil, nil)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var wg sync.WaitGroup
	for worker := range 64 {
		wg.Go(func() {
			for i := range 30 {
				body := putBody(document(worker*100 + i))
				if i%10 == 0 {
					body = strings.Repeat(" ", 1<<20) + body
				}
				ctx, cancel := context.WithCancel(t.Context())
				r, err := http.NewRequestWithContext(ctx, "POST", s.URL()+"/TraceSegments", strings.NewReader(body))
				if err != nil {
					t.Error(err)
				}
				if i%3 == 1 {
					time.AfterFunc(time.Millisecond, cancel)
				}
				resp, err := client.Do(r)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if _, text, _ := do(t, "GET", s.URL()+"/metrics", ""); !strings.Contains(text, "roentgen_http2_connections_abused_total 0\n") {
		t.Error("the connection was closed")
	}
}

// TestOpenStreams has as many requests under way as may be.
func TestOpenStreams(t *testing.T) {
	const most = 100
	release, entered := make(chan struct{}), make(chan struct{}, 2*most)
	s := newStreams(most, nil)
	handler := s.bound(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	}))
	ask := func(c *countedConn) int {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), connKey{}, c), "GET", "/", nil)
		r.ProtoMajor = 2
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	var wg sync.WaitGroup
	greedy := new(countedConn)
	for range most/2 + 1 {
		wg.Go(func() { ask(greedy) })
	}
	for range most / 2 {
		<-entered
	}
	if status := ask(greedy); status != 503 {
		t.Errorf("one more of a connection with many: %d", status)
	}
	modest := make([]countedConn, 10)
	for i := range most / 2 {
		wg.Go(func() { ask(&modest[i%len(modest)]) })
	}
	for range most / 2 {
		select {
		case <-entered:
		case <-time.After(20 * time.Second):
			t.Fatal("connections with few requests are not served")
		}
	}
	if status := ask(new(countedConn)); status != 503 {
		t.Errorf("one more than there may be: %d", status)
	}
	close(release)
	wg.Wait()
	if status := ask(greedy); status != 200 {
		t.Errorf("when all is quiet: %d", status)
	}
	if open := s.open.Load(); open != 0 {
		t.Errorf("%d stay open", open)
	}
}
