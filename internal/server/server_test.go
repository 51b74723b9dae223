package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/test/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client keeps no connections, so that no goroutine of it outlives a test.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

type storeOpener = func(context.Context, *config.Config, func() []tracestore.Group, *slog.Logger, prometheus.Registerer) (tracestore.Store, error)

func opener(s tracestore.Store) storeOpener {
	return func(context.Context, *config.Config, func() []tracestore.Group, *slog.Logger, prometheus.Registerer) (tracestore.Store, error) {
		return s, nil
	}
}

func settings(change func(c *config.Config)) *config.Config {
	c := config.NewDefault()
	c.Listen, c.OTLPGRPC, c.OTLPHTTP = "127.0.0.1:0", "", ""
	c.DataDir = "testdata/never-made"
	if change != nil {
		change(c)
	}
	return c
}

// start runs a server over a store in memory, or the one that open gives.
func start(t *testing.T, open storeOpener, change func(c *config.Config)) *Server {
	t.Helper()
	if open == nil {
		open = opener(memstore.New())
	}
	s, err := Start(t.Context(), Config{
		Settings: settings(change), OpenStore: open, Build: telemetry.Build{Version: "v0-test"},
		WriteConfig: func(w io.Writer) error { _, err := io.WriteString(w, "listen: somewhere\n"); return err },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func do(t *testing.T, method, url, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res.StatusCode, string(out), res.Header
}

func document(i int) string {
	return fmt.Sprintf(`{"trace_id":"1-6741a0c3-%024x","id":"%016x","name":"kiosk","start_time":1732354243,"end_time":1732354244}`, i, i)
}

func putBody(docs ...string) string {
	b, _ := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
	return string(b)
}

func sendUDP(t *testing.T, s *Server, doc string) {
	t.Helper()
	c, err := net.Dial("udp", s.UDPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, `{"format":"json","version":1}`+"\n"+doc); err != nil {
		t.Fatal(err)
	}
}

// has reports whether the API gives back the trace of document(i).
func has(t *testing.T, s *Server, i int) bool {
	t.Helper()
	status, body, _ := do(t, "POST", s.URL()+"/Traces", fmt.Sprintf(`{"TraceIds":["1-6741a0c3-%024x"]}`, i))
	if status != 200 {
		t.Fatalf("Traces: %d %s", status, body)
	}
	return strings.Contains(body, fmt.Sprintf("%016x", i)+`\"`)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for range 2000 {
		if cond() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestServe(t *testing.T) {
	s := start(t, nil, nil)
	if s.UDPAddr().Port == 0 || !strings.HasSuffix(s.URL(), fmt.Sprint(":", s.UDPAddr().Port)) {
		t.Errorf("TCP %s and UDP %s have not one port", s.URL(), s.UDPAddr())
	}
	if got, want := s.ReadyText(), fmt.Sprintf("roentgen is ready on %s (UDP and TCP), data in testdata/never-made", s.URL()); got != want {
		t.Errorf("ready line %q, want %q", got, want)
	}
	if status, body, _ := do(t, "POST", s.URL()+"/TraceSegments", putBody(document(1), `{"id":"x"}`)); status != 200 || !strings.Contains(body, `"ErrorCode"`) {
		t.Errorf("put: %d %s", status, body)
	}
	if !has(t, s, 1) {
		t.Error("what was put over HTTP cannot be read")
	}
	sendUDP(t, s, document(2))
	eventually(t, "what was sent over UDP can be read", func() bool { return has(t, s, 2) })
	c, err := net.Dial("udp", s.UDPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "nonsense")
	eventually(t, "the malformed datagram is a dead letter", func() bool {
		_, body, _ := do(t, "GET", s.URL()+"/api/dead-letters", "")
		return strings.Contains(body, "nonsense") && strings.Contains(body, `no newline`)
	})
	for _, tt := range []struct {
		name, method, path string
		header             []string
		status             int
		holds              string
	}{
		{"ready", "GET", "/-/ready", nil, 200, "ready\n"},
		{"healthy", "GET", "/-/healthy", nil, 200, "healthy\n"},
		{"metrics of the receiver", "GET", "/metrics", nil, 200, `roentgen_udp_datagrams_malformed_total{reason="no header"} 1`},
		{"metrics of the store", "GET", "/metrics", nil, 200, "roentgen_store_kept_documents 2"},
		{"metrics of ingest", "GET", "/metrics", nil, 200, `roentgen_ingest_documents_total{result="accepted",source="http"} 1`},
		{"metrics of connections", "GET", "/metrics", nil, 200, "roentgen_http_connections "},
		{"configuration", "GET", "/debug/config", nil, 200, "listen: somewhere"},
		{"store", "GET", "/debug/store", nil, 200, `"Documents": 2`},
		{"build", "GET", "/debug/build", nil, 200, "v0-test"},
		{"text", "GET", "/", nil, 200, "AWS_XRAY_DAEMON_ADDRESS=" + s.UDPAddr().String()},
		{"page", "GET", "/", []string{"Accept", "text/html,*/*"}, 200, "<title>Roentgen</title>"},
		{"page's head", "HEAD", "/", nil, 200, ""},
		{"operation under a prefix", "POST", "/any/where/EncryptionConfig", nil, 200, "EncryptionConfig"},
		{"unknown path", "GET", "/wp-login.php", nil, 404, "no operation"},
		{"unknown path of ours", "GET", "/api/nothing", nil, 404, "nothing at /api/nothing"},
		{"wrong method", "GET", "/TraceSegments", nil, 405, "POST"},
		{"unclean path", "GET", "//", nil, 404, "no operation"},
		{"foreign name", "GET", "/", []string{"Host", "evil.example"}, 421, "--hosts evil.example"},
		{"foreign name, debug", "GET", "/debug/", []string{"Host", "evil.example"}, 421, "--hosts"},
		{"foreign name, probe", "GET", "/-/ready", []string{"Host", "roentgen.svc"}, 200, "ready"},
		{"foreign name, Prometheus", "GET", "/metrics", []string{"Host", "roentgen.svc:2000"}, 421, "--hosts"},
		{"foreign name, probe", "GET", "/-/healthy", []string{"Host", "roentgen.svc:2000"}, 200, ""},
		{"foreign name, browser", "GET", "/metrics", []string{"Host", "evil.example", "Sec-Fetch-Site", "same-origin"}, 421, "--hosts"},
		{"foreign page", "POST", "/TraceSegments", []string{"Origin", "https://evil.example"}, 403, "other sites"},
	} {
		status, body, _ := do(t, tt.method, s.URL()+tt.path, "", tt.header...)
		if status != tt.status || !strings.Contains(body, tt.holds) {
			t.Errorf("%s: got %d, without %q: %.400s", tt.name, status, tt.holds, body)
		}
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://")); err == nil {
		t.Error("the port is still open")
	}
}

// TestPageStandsAlone holds that the page asks for nothing from elsewhere.
func TestPageStandsAlone(t *testing.T) {
	s := start(t, nil, nil)
	_, body, header := do(t, "GET", s.URL()+"/", "", "Accept", "text/html")
	for _, bad := range []string{"//", "@import", "<style", "<script>", " style=", " onclick="} {
		if strings.Contains(body, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, link := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if !strings.HasPrefix(link[1], "./") {
			t.Errorf("the page loads %s", link[1])
		}
	}
	if csp := header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy %q", csp)
	}
	// A Host header is the caller's own text.
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	out, _ := io.ReadAll(conn)
	if !strings.Contains(string(out), "AWS_ENDPOINT_URL_XRAY="+s.URL()) {
		t.Errorf("without a Host the page does not name %s", s.URL())
	}
}

func TestPortTaken(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	taken := tcp.Addr().String()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	takenUDP := udp.LocalAddr().String()
	for _, tt := range []struct {
		name   string
		change func(c *config.Config)
		begin  string
		end    string
	}{
		{"TCP", func(c *config.Config) { c.Listen = taken }, "cannot listen on " + taken + " (TCP): ", " has the port; stop it, or choose another port: roentgen serve --listen " + nextPort(taken)},
		{"UDP", func(c *config.Config) { c.UDPListen = takenUDP }, "cannot listen on " + takenUDP + " (UDP): ", " has the port; stop it, or choose another port: roentgen serve --udp-listen " + nextPort(takenUDP)},
		{"both", func(c *config.Config) { c.Listen = takenUDP }, "cannot listen on " + takenUDP + " (UDP): ", " has the port; stop it, or choose another port: roentgen serve --listen " + nextPort(takenUDP)},
		{"foreign address", func(c *config.Config) { c.Listen = "192.0.2.1:2000" }, "cannot listen on 192.0.2.1:2000 (TCP): this machine has no such address", "such as --listen 127.0.0.1:2000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Start(t.Context(), Config{Settings: settings(tt.change), OpenStore: func(context.Context, *config.Config, func() []tracestore.Group, *slog.Logger, prometheus.Registerer) (tracestore.Store, error) {
				t.Error("the store was opened")
				return nil, errors.New("no")
			}})
			var le *ListenError
			if !errors.As(err, &le) {
				t.Fatalf("got %v", err)
			}
			if text := err.Error(); !strings.HasPrefix(text, tt.begin) || !strings.HasSuffix(text, tt.end) {
				t.Errorf("got  %s\nwant %s…%s", text, tt.begin, tt.end)
			}
		})
	}
}

func TestListenErrorTexts(t *testing.T) {
	for _, tt := range []struct {
		err  ListenError
		want string
	}{
		{ListenError{"TCP", "127.0.0.1:2000", "listen", syscall.EADDRINUSE, "process 4711 (xray)"}, "cannot listen on 127.0.0.1:2000 (TCP): process 4711 (xray) has the port; stop it, or choose another port: roentgen serve --listen 127.0.0.1:2001"},
		{ListenError{"UDP", "[::1]:65535", "udp-listen", syscall.EADDRINUSE, ""}, "cannot listen on [::1]:65535 (UDP): another process, perhaps the X-Ray daemon or another roentgen, has the port; stop it, or choose another port: roentgen serve --udp-listen [::1]:2001"},
		{ListenError{"TCP", "127.0.0.1:80", "listen", os.NewSyscallError("bind", syscall.EACCES), ""}, "cannot listen on 127.0.0.1:80 (TCP): the system keeps port 80 for privileged processes; choose one above 1023, such as --listen 127.0.0.1:2000"},
		{ListenError{"TCP", "nowhere.invalid:80", "listen", errors.New("no such host"), ""}, "cannot listen on nowhere.invalid:80 (TCP): no such host"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestStoreErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: pid 5", tracestore.ErrLocked), "cannot open the data folder d: another process, perhaps another roentgen, has it open\n  stop that one, or give this one a folder of its own: roentgen serve --data-dir FOLDER"},
		{tracestore.ErrFormat, "cannot open the data folder d: tracestore: unknown format version\n  use the version of roentgen that wrote it, or another folder: roentgen serve --data-dir FOLDER"},
		{&os.PathError{Op: "mkdir", Path: "d", Err: syscall.EACCES}, "cannot open the data folder d: mkdir d: permission denied\n  let this user write there, or choose another folder: roentgen serve --data-dir FOLDER"},
		{&os.PathError{Op: "mkdir", Path: "d", Err: syscall.EROFS}, "cannot open the data folder d: mkdir d: read-only file system\n  it is on a read-only file system; choose another folder: roentgen serve --data-dir FOLDER"},
		{&os.PathError{Op: "mkdir", Path: "d", Err: syscall.ENOTDIR}, "cannot open the data folder d: mkdir d: not a directory\n  it, or part of its path, is a file; choose another folder: roentgen serve --data-dir FOLDER"},
		{&os.PathError{Op: "write", Path: "d", Err: syscall.ENOSPC}, "cannot open the data folder d: write d: no space left on device\n  the disk is full; make room, or choose another folder: roentgen serve --data-dir FOLDER"},
		{errors.New("odd"), "cannot open the data folder d: odd"},
	} {
		if got := storeError("d", tt.err).Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// TestOpenFails holds that nothing is left behind when the store does not open:
// no goroutine (TestMain), no socket.
func TestOpenFails(t *testing.T) {
	var used string
	_, err := Start(t.Context(), Config{
		Settings: settings(func(c *config.Config) { used = process.FreeAddress(t); c.Listen = used }),
		OpenStore: func(context.Context, *config.Config, func() []tracestore.Group, *slog.Logger, prometheus.Registerer) (tracestore.Store, error) {
			return nil, tracestore.ErrLocked
		},
	})
	if !errors.Is(err, tracestore.ErrLocked) {
		t.Fatalf("got %v", err)
	}
	l, err := net.Listen("tcp", used)
	if err != nil {
		t.Fatalf("the TCP port is still taken: %v", err)
	}
	l.Close()
	p, err := net.ListenPacket("udp", used)
	if err != nil {
		t.Fatalf("the UDP port is still taken: %v", err)
	}
	p.Close()
}

// TestWhileOpening asks while the store opens: health and metrics are answered,
// readiness tells what is missing, the API waits and datagrams are kept.
func TestWhileOpening(t *testing.T) {
	address := process.FreeAddress(t)
	open := make(chan struct{})
	type result struct {
		s   *Server
		err error
	}
	started := make(chan result)
	go func() {
		s, err := Start(context.Background(), Config{
			Settings: settings(func(c *config.Config) { c.Listen = address }),
			OpenStore: func(context.Context, *config.Config, func() []tracestore.Group, *slog.Logger, prometheus.Registerer) (tracestore.Store, error) {
				<-open
				return memstore.New(), nil
			},
		})
		started <- result{s, err}
	}()
	eventually(t, "the port is open", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	url := "http://" + address
	if status, body, _ := do(t, "GET", url+"/-/ready", ""); status != 503 || body != "not ready\nstore: being opened\n" {
		t.Errorf("ready: %d %q", status, body)
	}
	if status, _, _ := do(t, "GET", url+"/-/healthy", ""); status != 200 {
		t.Errorf("healthy: %d", status)
	}
	if status, body, _ := do(t, "GET", url+"/metrics", ""); status != 200 || !strings.Contains(body, "roentgen_store_kept_documents 0") {
		t.Errorf("metrics: %d", status)
	}
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, `{"format":"json","version":1}`+"\n"+document(7))
	put := make(chan int)
	go func() {
		status, _, _ := do(t, "POST", url+"/TraceSegments", putBody(document(8)))
		put <- status
	}()
	close(open)
	r := <-started
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer r.s.Close(context.Background())
	if status := <-put; status != 200 {
		t.Errorf("the put that waited got %d", status)
	}
	eventually(t, "both documents are there", func() bool { return has(t, r.s, 7) && has(t, r.s, 8) })
	if status, body, _ := do(t, "GET", url+"/-/ready", ""); status != 200 || body != "ready\n" {
		t.Errorf("ready: %d %q", status, body)
	}
}

func TestDegraded(t *testing.T) {
	s := start(t, opener(&fullStore{Store: memstore.New()}), nil)
	if status, body, _ := do(t, "GET", s.URL()+"/-/ready", ""); status != 200 || body != "ready\ndegraded: documents are refused: disk full\n" {
		t.Errorf("%d %q", status, body)
	}
}

type fullStore struct{ tracestore.Store }

func (s *fullStore) Stats() tracestore.Stats { return tracestore.Stats{Unavailable: "disk full"} }

// slowStore holds writes back until gate is closed, and tells the order of events.
type slowStore struct {
	tracestore.Store
	gate    chan struct{}
	writing atomic.Int32
	closed  atomic.Bool
	late    atomic.Bool // something was written after Close
}

func (s *slowStore) Write(ctx context.Context, records []tracestore.Record) error {
	s.writing.Add(1)
	defer s.writing.Add(-1)
	select {
	case <-s.gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.closed.Load() {
		s.late.Store(true)
	}
	return s.Store.Write(ctx, records)
}

func (s *slowStore) Close() error {
	s.closed.Store(true)
	return nil // memstore's content is looked at afterwards
}

// TestCloseFinishes closes while requests and datagrams are under way: all of
// them are stored and answered before the store closes.
func TestCloseFinishes(t *testing.T) {
	store := &slowStore{Store: memstore.New(), gate: make(chan struct{})}
	s := start(t, opener(store), nil)
	const n = 5
	statuses := make(chan int, n)
	for i := range n {
		go func() {
			status, _, _ := do(t, "POST", s.URL()+"/TraceSegments", putBody(document(i)))
			statuses <- status
		}()
	}
	// A connection on which no request has begun would be closed without an answer.
	eventually(t, "all puts are under way", func() bool { return store.writing.Load() == n })
	for i := range n {
		sendUDP(t, s, document(100+i))
	}
	eventually(t, "datagrams are under way", func() bool { return store.writing.Load() > n })
	closed := make(chan error)
	go func() { closed <- s.Close(context.Background()) }()
	eventually(t, "readiness is withdrawn", func() bool { return len(s.health.Missing()) > 0 })
	select {
	case err := <-closed:
		t.Fatalf("closed with writes under way: %v", err)
	default:
	}
	close(store.gate)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for range n {
		if status := <-statuses; status != 200 {
			t.Errorf("a put under way got %d", status)
		}
	}
	if store.late.Load() {
		t.Error("something was written after the store had closed")
	}
	if got := store.Store.Stats().Documents; got != 2*n {
		t.Errorf("%d documents stored, want %d", got, 2*n)
	}
}

// TestCloseRunsOutOfTime has a store that never answers.
func TestCloseRunsOutOfTime(t *testing.T) {
	store := &slowStore{Store: memstore.New(), gate: make(chan struct{})}
	s := start(t, opener(store), nil)
	sendUDP(t, s, document(1))
	put := make(chan error)
	go func() {
		r, _ := http.NewRequestWithContext(context.Background(), "POST", s.URL()+"/TraceSegments", strings.NewReader(putBody(document(2))))
		res, err := client.Do(r)
		if err == nil {
			res.Body.Close()
			err = fmt.Errorf("status %d", res.StatusCode)
		}
		put <- err
	}()
	eventually(t, "both are under way", func() bool { return store.writing.Load() == 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := s.Close(ctx)
	if err == nil || !strings.Contains(err.Error(), "requests were cut off") || !strings.Contains(err.Error(), "segments that came over UDP were dropped") {
		t.Errorf("Close: %v", err)
	}
	if err := <-put; err == nil || strings.HasPrefix(err.Error(), "status 200") {
		t.Errorf("the put that was cut off got %v", err)
	}
	close(store.gate) // lets the handler's goroutine end
	eventually(t, "no write is left", func() bool { return store.writing.Load() == 0 })
}

// TestSilentConnections holds that those who connected and said nothing, or rest
// between two requests, do not delay the end. net/http alone would wait 5 s.
func TestSilentConnections(t *testing.T) {
	s := start(t, nil, nil)
	address := strings.TrimPrefix(s.URL(), "http://")
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	resting, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer resting.Close()
	io.WriteString(resting, "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if line, err := bufio.NewReader(resting).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	eventually(t, "both are accepted", func() bool {
		_, body, _ := do(t, "GET", s.URL()+"/metrics", "")
		return strings.Contains(body, "roentgen_http_connections 3\n")
	})
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection was not closed")
	}
}

func TestHalfClosed(t *testing.T) {
	s := start(t, nil, nil)
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body := putBody(document(5))
	fmt.Fprintf(c, "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	c.(*net.TCPConn).CloseWrite()
	out, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(out, []byte("HTTP/1.1 200 OK\r\n")) || !bytes.HasSuffix(out, []byte(`{"UnprocessedTraceSegments":[]}`)) {
		t.Errorf("%q, %v", out, err)
	}
	if !has(t, s, 5) {
		t.Error("not stored")
	}
}

func TestLargeHeader(t *testing.T) {
	s := start(t, nil, nil)
	if status, _, _ := do(t, "GET", s.URL()+"/-/healthy", "", "X-Long", strings.Repeat("x", 2*maxHeaderBytes)); status != 431 {
		t.Errorf("got %d", status)
	}
}

func TestSettingsReachTheAPI(t *testing.T) {
	s := start(t, nil, func(c *config.Config) {
		c.MaxBody, c.MaxDocument = 2000, 1000
		c.Hosts = []string{"traces.example.com"}
		c.UDPListen = "off"
		c.Region, c.Account = "eu-north-1", "123456789012"
	})
	if s.UDPAddr() != nil || !strings.Contains(s.ReadyText(), "(TCP only)") {
		t.Errorf("UDP is on: %s", s.ReadyText())
	}
	if status, body, _ := do(t, "POST", s.URL()+"/TraceSegments", putBody(strings.Repeat("x", 3000))); status != 413 {
		t.Errorf("large body: %d %s", status, body)
	}
	if status, body, _ := do(t, "POST", s.URL()+"/TraceSegments", putBody(strings.Replace(document(1), "{", `{"metadata":"`+strings.Repeat("x", 1000)+`",`, 1))); status != 200 || !strings.Contains(body, "InvalidSegment") {
		t.Errorf("large document: %d %s", status, body)
	}
	if status, _, _ := do(t, "GET", s.URL()+"/", "", "Host", "Traces.example.com:80"); status != 200 {
		t.Errorf("configured host: %d", status)
	}
	if _, body, _ := do(t, "GET", s.URL()+"/", ""); !strings.Contains(body, "AWS_REGION=eu-north-1") || strings.Contains(body, "AWS_XRAY_DAEMON_ADDRESS") {
		t.Errorf("page: %s", body)
	}
	if _, body, _ := do(t, "POST", s.URL()+"/GetSamplingRules", ""); !strings.Contains(body, "arn:aws:xray:eu-north-1:123456789012:") {
		t.Errorf("sampling rules: %s", body)
	}
}

func TestAWSLimits(t *testing.T) {
	s := start(t, nil, func(c *config.Config) { c.AWSLimits = true })
	if status, body, _ := do(t, "POST", s.URL()+"/TraceSegments", putBody("["+document(1)+"]")); status != 200 || !strings.Contains(body, "ParseError") {
		t.Errorf("an array of documents: %d %s", status, body)
	}
	if status, _, _ := do(t, "POST", s.URL()+"/Traces", `{"TraceIds":["1","2","3","4","5","6"]}`); status != 400 {
		t.Errorf("6 trace ids: %d", status)
	}
}

// TestReachable holds that nobody is told to send to 0.0.0.0.
func TestReachable(t *testing.T) {
	for _, tt := range []struct{ listen, url, want string }{
		{"127.0.0.1:2000", "http://localhost:2000", "127.0.0.1:2000"},
		{"0.0.0.0:2000", "http://192.0.2.9:8080", "192.0.2.9:2000"},
		{"[::]:2000", "http://[2001:db8::1]:8080", "[2001:db8::1]:2000"},
		{"[::]:2000", "http://traces.example.com", "traces.example.com:2000"},
	} {
		u := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(tt.listen))
		if got := reachable(u, tt.url); got != tt.want {
			t.Errorf("%s by %s: got %s, want %s", tt.listen, tt.url, got, tt.want)
		}
	}
}

// TestOwnUDPAddress listens for datagrams elsewhere.
func TestOwnUDPAddress(t *testing.T) {
	s := start(t, nil, func(c *config.Config) { c.UDPListen = "127.0.0.2:0" })
	if !strings.HasSuffix(s.ReadyText(), "(TCP; UDP on "+s.UDPAddr().String()+"), data in testdata/never-made") || !s.UDPAddr().IP.Equal(net.IPv4(127, 0, 0, 2)) {
		t.Errorf("%s", s.ReadyText())
	}
	sendUDP(t, s, document(1))
	eventually(t, "stored", func() bool { return has(t, s, 1) })
}

// TestServeEnds takes the listener away.
func TestServeEnds(t *testing.T) {
	s := start(t, nil, nil)
	s.sockets.tcp.Close()
	if err := <-s.Failed(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestHTTPLog(t *testing.T) {
	var out bytes.Buffer
	l := &httpLog{logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	fmt.Fprintln(l, "http: TLS handshake error from 127.0.0.1:5: EOF")
	fmt.Fprintln(l, "http: TLS handshake error from 127.0.0.1:6: EOF")
	fmt.Fprintln(l, "http: panic serving 127.0.0.1:5: oh")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "level=DEBUG") || !strings.Contains(lines[1], "level=ERROR") {
		t.Errorf("%q", lines)
	}
}

// TestLoad runs puts, datagrams, reads and scrapes at once until Close, for the
// race detector, and counts: what was answered 200 is stored.
func TestLoad(t *testing.T) {
	store := &slowStore{Store: memstore.New(), gate: make(chan struct{})}
	close(store.gate)
	s := start(t, opener(store), nil)
	var wg sync.WaitGroup
	var acked, next atomic.Int64
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, _ := http.NewRequestWithContext(context.Background(), "POST", s.URL()+"/TraceSegments", strings.NewReader(putBody(document(int(next.Add(1))))))
				res, err := client.Do(r)
				if err != nil {
					return // the server is gone
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err == nil && res.StatusCode == 200 && strings.Contains(string(body), "[]") {
					acked.Add(1)
				}
			}
		})
	}
	for range 30 {
		sendUDP(t, s, document(int(next.Add(1))))
		do(t, "GET", s.URL()+"/metrics", "")
	}
	eventually(t, "some are stored", func() bool { return acked.Load() > 50 })
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	close(stop)
	wg.Wait()
	if got := int64(store.Store.Stats().Documents); got < acked.Load()+30 {
		t.Errorf("%d stored, but %d acknowledged and 30 sent over UDP", got, acked.Load())
	}
	if store.late.Load() {
		t.Error("something was written after the store had closed")
	}
}

// TestControlState wants a control state that cannot be used to stop the start,
// and to stay as it is.
func TestControlState(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "control.json")
	for _, tt := range []struct{ text, want string }{
		{`{"format":"roentgen-control","version":1`, "; put a good copy in its place, or move it away to begin without any settings"},
		{`{"format":"roentgen-control","version":7}`, "use the version of roentgen that wrote it, or another folder: roentgen serve --data-dir FOLDER"},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Start(t.Context(), Config{Settings: settings(func(c *config.Config) { c.DataDir = dir }), OpenStore: opener(memstore.New())})
		if err == nil || !strings.Contains(err.Error(), file) || !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.text, err)
		}
		if left, err := os.ReadFile(file); err != nil || string(left) != tt.text {
			t.Errorf("%s became %s, %v", tt.text, left, err)
		}
	}
}
