package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/roentgen-io/roentgen/test/process"
)

// spanWriter sends spans until it is told to stop, and remembers those for which it
// has an answer.
type spanWriter struct {
	rng    *rand.Rand
	client *http.Client
	mu     sync.Mutex
	acked  map[string]string // trace id, by span id, both in hexadecimal
	sent   int
}

// put sends one request. It returns false when the server is gone.
func (w *spanWriter) put(url string) (bool, error) {
	var spans []string
	ids := map[string]string{}
	for range 1 + w.rng.IntN(8) {
		trace, id := fmt.Sprintf("%016x%016x", w.rng.Uint64()|1, w.rng.Uint64()), fmt.Sprintf("%016x", w.rng.Uint64()|1)
		ids[id] = trace
		spans = append(spans, fmt.Sprintf(`{"traceId":"%s","spanId":"%s","name":"GET /","kind":2,"startTimeUnixNano":"%d","endTimeUnixNano":"%d"}`, trace, id, time.Now().Add(-time.Second).UnixNano(), time.Now().UnixNano()))
	}
	body := `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"kelter"}}]},"scopeSpans":[{"spans":[` + strings.Join(spans, ",") + `]}]}]}`
	w.mu.Lock()
	w.sent += len(ids)
	w.mu.Unlock()
	resp, err := w.client.Post(url+"/v1/traces", "application/json", strings.NewReader(body))
	if err != nil {
		return false, nil // the process was killed: what became of the call nobody knows
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return false, nil
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable:
		return true, nil
	case resp.StatusCode != http.StatusOK || string(answer) != "{}":
		return false, fmt.Errorf("spans were answered with %d %s", resp.StatusCode, answer)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, trace := range ids {
		w.acked[id] = trace
	}
	return true, nil
}

// on writes until stop is called, or the server is gone.
func (w *spanWriter) on(url string) (stop func() error) {
	var end atomic.Bool
	done := make(chan error, 1)
	go func() {
		for !end.Load() {
			if ok, err := w.put(url); !ok {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return func() error { end.Store(true); return <-done }
}

// verify wants every span that was acknowledged to be at a server, as a span.
func (w *spanWriter) verify(t *testing.T, url string) {
	t.Helper()
	for id, trace := range w.acked {
		resp, err := w.client.Get(url + "/api/traces/1-" + trace[:8] + "-" + trace[8:] + "?format=otlp")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(strings.ToLower(string(body)), `"spanid":"`+id+`"`); resp.StatusCode != http.StatusOK || n != 1 {
			t.Fatalf("LOST, or there more than once: span %s of trace %s was acknowledged: %d %s", id, trace, resp.StatusCode, body)
		}
	}
}

// forwardState is what a server tells of what it passes on.
type forwardState struct {
	Degraded     string
	Dead_Letters int
	Spool        struct{ Dropped int64 }
	Destinations []struct {
		Name                         string
		Waiting, Sent, Refused, Lost int64
	}
}

// passedOn waits until nothing waits to be passed on.
func passedOn(t *testing.T, s *process.Server, limit time.Duration) (st forwardState) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get(s.URL + "/-/forward")
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Output)
		}
		st = forwardState{}
		err = json.NewDecoder(resp.Body).Decode(&st)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		waiting := int64(0)
		for _, d := range st.Destinations {
			waiting += d.Waiting
		}
		if waiting == 0 {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v %d still wait: %+v\n%s", limit, waiting, st, s.Output)
		}
	}
}

// TestForwardKill kills the server that passes on, and the one that it passes on to,
// again and again at random moments, while documents and spans are sent. What was
// acknowledged is at both in the end. ROENTGEN_FORWARD_KILLS sets how often,
// ROENTGEN_SEED repeats documents and pauses.
func TestForwardKill(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED under -short: kills processes again and again")
	}
	kills := setting(t, "ROENTGEN_FORWARD_KILLS", 12)
	seed := anySeed(t)
	t.Logf("seed: run again with ROENTGEN_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	process.Binary(t)
	dataA, dataB := t.TempDir(), t.TempDir()
	addressA, addressB := process.FreeAddress(t), process.FreeAddress(t)
	startA := func() *process.Server {
		return process.Start(t, addressA, "serve", "--listen", addressA, "--data-dir", dataA, "--otlp-grpc", "off", "--otlp-http", "off", "--forward", "http://"+addressB)
	}
	startB := func() *process.Server {
		return process.Start(t, addressB, "serve", "--listen", addressB, "--data-dir", dataB, "--otlp-grpc", "off", "--otlp-http", "off")
	}
	book := &ledger{docs: map[string]*sentDoc{}, traces: map[string][]*sentDoc{}}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	var writers []*writer
	for i := range 3 {
		writers = append(writers, &writer{rng: rand.New(rand.NewPCG(seed, uint64(1+i))), book: book, client: client})
	}
	spans := &spanWriter{rng: rand.New(rand.NewPCG(seed, 100)), client: client, acked: map[string]string{}}
	a, b := startA(), startB()
	for kill := range kills {
		stop, stopSpans := writeOn(writers, a.URL), spans.on(a.URL)
		time.Sleep(time.Duration(30+rng.IntN(300)) * time.Millisecond)
		victim := rng.IntN(3)
		if victim != 0 {
			a.Kill()
		}
		if victim != 1 {
			b.Kill()
			time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
		}
		for _, stop := range []func() error{stop, stopSpans} {
			if err := stop(); err != nil {
				t.Fatalf("seed %d, before kill %d: %v\n%s", seed, kill+1, err, a.Output)
			}
		}
		client.CloseIdleConnections()
		if victim != 1 {
			b = startB()
		}
		if victim != 0 {
			a = startA()
		}
	}
	st := passedOn(t, a, time.Minute)
	if st.Dead_Letters != 0 || st.Spool.Dropped != 0 || st.Destinations[0].Lost != 0 {
		t.Errorf("%+v\n%s", st, a.Output)
	}
	var all []string
	for trace := range book.traces {
		all = append(all, trace)
	}
	for name, s := range map[string]*process.Server{"that passes on": a, "that it passes on to": b} {
		if err := book.verify(client, s.URL, all); err != nil {
			t.Fatalf("seed %d, at the server %s: %v\n%s", seed, name, err, a.Output)
		}
		spans.verify(t, s.URL)
	}
	acked := 0
	for _, d := range book.docs {
		if d.acked {
			acked++
		}
	}
	if acked < 5*kills || len(spans.acked) < 5*kills {
		t.Errorf("only %d documents and %d spans were acknowledged in %d lives: too little was tested", acked, len(spans.acked), kills)
	}
	t.Logf("%d kills; %d documents acknowledged of %d sent, %d spans of %d", kills, acked, len(book.docs), len(spans.acked), spans.sent)
}

// otlpSink takes spans over HTTP as a stock receiver does, and misbehaves as told.
type otlpSink struct {
	address   string
	misbehave func(n int, w http.ResponseWriter) bool
	mu        sync.Mutex
	server    *http.Server
	calls     int
	spans     map[string]int // deliveries, by span id
}

func (s *otlpSink) up(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = ln.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go s.server.Serve(ln)
}

func (s *otlpSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.calls++
	n := s.calls
	s.mu.Unlock()
	if s.misbehave != nil && s.misbehave(n, w) {
		return
	}
	var in traces.TracesData
	if err := proto.Unmarshal(body, &in); err != nil || r.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				s.spans[fmt.Sprintf("%x", span.SpanId)]++
			}
		}
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// TestAgentOTLP has an agent deliver to a receiver of spans, beside a stand-in for AWS
// that is away: the receiver fails in every way, goes away and comes back, and the
// agent is killed. Every document arrives there as a span.
func TestAgentOTLP(t *testing.T) {
	sink := &otlpSink{address: "127.0.0.1:0", spans: map[string]int{}}
	sink.misbehave = func(n int, w http.ResponseWriter) bool {
		switch n % 9 {
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 5:
			w.WriteHeader(http.StatusInternalServerError)
		case 7:
			panic(http.ErrAbortHandler)
		default:
			return false
		}
		return true
	}
	sink.up(t)
	t.Cleanup(func() { sink.server.Close() })
	nowhere := process.FreeAddress(t)
	address, spoolDir := process.FreeAddress(t), t.TempDir()
	cfg := agentConfig(t, "Version: 2\nAgent:\n  Destinations:\n  - Type: aws\n    Endpoint: http://"+nowhere+"\n  - Type: otlp\n    Endpoint: http://"+sink.address+"\n    Compression: none\n    Batch: 20\n    Timeout: 2s\n")
	agent := startAgent(t, address, spoolDir, awsEnvironment, "-c", cfg)
	s := &sender{t, map[string]bool{}}
	arrived := func() bool {
		st := statusOf(t, agent)
		return st.Destinations[1].Name == "otlp" && st.Destinations[1].Waiting == 0
	}
	s.byUDP(address, 200)
	s.byHTTP(agent.URL, 200)
	within(t, 60*time.Second, "every datagram is read", func() bool { return statusOf(t, agent).Intake.UDP == 200 })
	within(t, 60*time.Second, "the receiver has everything", arrived)
	sink.server.Close()
	s.byHTTP(agent.URL, 200)
	agent.Kill()
	agent = startAgent(t, address, spoolDir, awsEnvironment, "-c", cfg)
	s.byStream("tcp", address, 100, "lines")
	agent.Signal(t, syscall.SIGTERM)
	if state := agent.Wait(t); !state.Success() {
		t.Fatalf("the agent ended with %v\n%s", state, agent.Output)
	}
	agent = startAgent(t, address, spoolDir, awsEnvironment, "-c", cfg)
	s.byHTTP(agent.URL, 40)
	sink.up(t)
	within(t, 60*time.Second, "the receiver has everything", arrived)
	st := statusOf(t, agent)
	if st.Dead_Letters != 0 || st.Destinations[1].Lost != 0 || st.Destinations[0].Waiting == 0 {
		t.Errorf("%+v", st)
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	for id := range s.ids {
		if sink.spans[id] == 0 {
			t.Fatalf("LOST: %s\n%s", id, agent.Output)
		}
	}
	if len(sink.spans) != len(s.ids) {
		t.Errorf("%d spans arrived, want %d", len(sink.spans), len(s.ids))
	}
}

// TestForwardAtTheCommandLine tells a user who forwards to the server itself, or to
// nothing, what is wrong.
func TestForwardAtTheCommandLine(t *testing.T) {
	address := process.FreeAddress(t)
	for _, test := range []struct{ to, want string }{
		{"http://" + address, "is this server itself"},
		{"nonsense", "is no destination"},
		{"http://user:geheim@r:2000", "would be shown in the log"},
	} {
		s := process.Launch(t, "serve", "--listen", address, "--data-dir", t.TempDir(), "--otlp-grpc", "off", "--otlp-http", "off", "--forward", test.to)
		if state := s.Wait(t); state.Success() || !bytes.Contains([]byte(s.Output.String()), []byte(test.want)) {
			t.Errorf("%s: %v\n%s", test.to, state, s.Output)
		}
	}
}
