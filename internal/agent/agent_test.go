package agent

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
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// none is an environment without variables.
func none(string) string { return "" }

func document(i int) string {
	return fmt.Sprintf(`{"trace_id":"1-67412345-%024x","id":"%016x","name":"desk","start_time":1,"end_time":2}`, i, i+1)
}

// start runs an agent on free ports.
func start(t *testing.T, cfg *Config) *Agent {
	t.Helper()
	cfg.UDPAddress, cfg.TCPAddress, cfg.LocalMode = "127.0.0.1:0", "127.0.0.1:0", true
	if cfg.SpoolDir == "" {
		cfg.SpoolDir = t.TempDir()
	}
	if err := cfg.Complete(none); err != nil {
		t.Fatal(err)
	}
	a, err := Start(t.Context(), Options{Config: cfg, Getenv: none, Build: telemetry.Build{Version: "v1"}, Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return a
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// backend takes documents.
type backend struct {
	*httptest.Server
	mu        sync.Mutex
	docs      []string
	telemetry []string
}

func newBackend(t *testing.T) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		switch r.URL.Path {
		case "/TraceSegments":
			var in struct{ TraceSegmentDocuments []string }
			if err := json.Unmarshal(body, &in); err != nil {
				w.WriteHeader(400)
				return
			}
			b.docs = append(b.docs, in.TraceSegmentDocuments...)
			io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
		case "/TelemetryRecords":
			b.telemetry = append(b.telemetry, string(body))
			io.WriteString(w, `{}`)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) await(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		b.mu.Lock()
		docs := slices.Clone(b.docs)
		b.mu.Unlock()
		if len(docs) >= n {
			return docs
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d documents arrived, want %d", len(docs), n)
		}
	}
}

func TestUDPReachesEveryDestination(t *testing.T) {
	one, two := newBackend(t), newBackend(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: one.URL}, {Endpoint: two.URL}}})
	c, err := net.Dial("udp", a.UDPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 120 {
		fmt.Fprintf(c, "{\"format\":\"json\",\"version\":1}\n%s\n\x00", document(i))
	}
	fmt.Fprint(c, "nonsense")
	for _, b := range []*backend{one, two} {
		docs := b.await(t, 120)
		slices.Sort(docs)
		for i, doc := range docs {
			if doc != document(i) {
				t.Fatalf("document %d is %q", i, doc)
			}
		}
	}
	for deadline := time.Now().Add(10 * time.Second); a.intake.rejected.udp.Load() != 1 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	st := a.Status()
	if st.Intake.UDP != 120 || st.Intake.Rejected != 1 || len(st.Destinations) != 2 || "http://"+st.Destinations[1].Name != two.URL {
		t.Errorf("status %+v", st)
	}
	letters, err := a.letters.newest(10)
	if err != nil || len(letters) != 1 || letters[0].Document != "nonsense" || letters[0].Code != "Malformed" {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
	for _, path := range []string{"/", "/status", "/metrics", "/-/ready", "/-/healthy", "/dead-letters", "/debug/config"} {
		resp, err := http.Get("http://" + a.TCPAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || path == "/metrics" && !bytes.Contains(body, []byte(`roentgen_agent_sent_total{destination="`+strings.TrimPrefix(two.URL, "http://")+`"} 120`)) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

// TestReload changes destinations while documents come: nothing is lost, and one
// that stays goes on where it is.
func TestReload(t *testing.T) {
	one, two := newBackend(t), newBackend(t)
	cfg := &Config{LogFormat: "text", Destinations: []Destination{{Name: "one", Endpoint: one.URL}}}
	a := start(t, cfg)
	put := func(from, to int) {
		t.Helper()
		var docs [][]byte
		for i := from; i < to; i++ {
			docs = append(docs, []byte(document(i)))
		}
		if err := a.intake.put(t.Context(), wayHTTP, docs, true); err != nil {
			t.Fatal(err)
		}
	}
	put(0, 10)
	one.await(t, 10)
	rate := 0.0
	next := *cfg
	next.SpoolSize = 5 << 30
	next.SamplingFrom = ""
	next.Destinations = []Destination{{Name: "one", Endpoint: one.URL}, {Name: "two", Endpoint: two.URL}}
	if err := next.Complete(none); err != nil {
		t.Fatal(err)
	}
	later, err := a.Reload(&next)
	if err != nil || !slices.Equal(later, []string{"SpoolSize"}) {
		t.Fatalf("later %v, %v", later, err)
	}
	put(10, 20)
	one.await(t, 20)
	two.await(t, 10)
	last := next
	last.SamplingFrom = ""
	last.Destinations = []Destination{{Name: "two", Endpoint: two.URL}}
	last.Processing = []RuleConfig{{Sample: &rate}}
	if err := last.Complete(none); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Reload(&last); err != nil {
		t.Fatal(err)
	}
	put(20, 30)
	if st := a.Status(); len(st.Destinations) != 1 || st.Intake.DroppedByRule != 10 || st.Sampling != "two" {
		t.Errorf("status %+v", st)
	}
	last.Processing = []RuleConfig{{Drop: "((("}}
	if _, err := a.Reload(&last); err == nil {
		t.Error("a wrong rule was taken over")
	}
}

func TestPutTraceSegments(t *testing.T) {
	b := newBackend(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: b.URL}}})
	url := "http://" + a.TCPAddr() + "/TraceSegments"
	for _, test := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"good and bad", `{"TraceSegmentDocuments":[` + quote(document(1)) + `,"{\"id\":\"7\"}"]}`, 200,
			`{"UnprocessedTraceSegments":[{"ErrorCode":"InvalidId","Id":"7","Message":"Invalid segment. ErrorCode: InvalidId"}]}`},
		{"none", `{"TraceSegmentDocuments":[]}`, 400, `{"Message":"Segments can not be empty"}`},
		{"no JSON", `hello`, 400, ""},
		{"too large", `{"TraceSegmentDocuments":["` + strings.Repeat("x", maxBody) + `"]}`, 413, ""},
		{"large document", `{"TraceSegmentDocuments":[` + quote(strings.TrimSuffix(document(2), "}")+`,"metadata":{"x":"`+strings.Repeat("y", 1<<20)+`"}}`) + `]}`, 200, `{"UnprocessedTraceSegments":[]}`},
	} {
		resp, err := http.Post(url, "", strings.NewReader(test.body))
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != test.status || test.want != "" && string(got) != test.want {
			t.Errorf("%s: %d %s", test.name, resp.StatusCode, got)
		}
	}
	b.await(t, 2)
}

func quote(s string) string { return string(segment.AppendString(nil, s)) }

func TestStreams(t *testing.T) {
	b := newBackend(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: b.URL}}})
	talk := func(text string) string {
		t.Helper()
		c, err := net.Dial("tcp", a.TCPAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, text)
		c.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		return string(answer)
	}
	const plain, acked, long = `{"format":"json","version":1}` + "\n", `{"format":"JSON","version":1,"ack":true}` + "\n", `{"format":"json","version":1,"framing":"length","ack":true}` + "\n"
	for _, test := range []struct{ name, send, want string }{
		{"no acknowledgement", plain + document(1) + "\n", ""},
		{"datagrams one after the other", plain + document(2) + "\n" + plain + document(3), ""},
		{"acknowledged", acked + document(4) + "\n\n" + document(5) + "\n", `{"acknowledged":2}`},
		{"refused", acked + document(6) + "\n{}\n", `{"acknowledged":2,"unprocessed":[{"Index":1,"Id":null,"ErrorCode":"MissingId","Message":"Invalid segment. ErrorCode: MissingId"}]}`},
		{"by length", long + "\x00\x00\x00" + string(rune(len(document(7)))) + document(7), `{"acknowledged":1}`},
		{"cut off", long + "\x00\x00\x00\x09half", `{"acknowledged":0,"error":"the connection ended within a document"}`},
		{"too long", long + "\xff\xff\xff\xff", `{"acknowledged":0,"error":"a document is longer than 4194304 bytes"}`},
		{"wrong version", `{"format":"json","version":2}` + "\n", `{"acknowledged":0,"error":"the header's version is not 1"}`},
		{"wrong framing", `{"format":"json","version":1,"framing":"post"}` + "\n", `{"acknowledged":0,"error":"the header's framing is \"post\"; there are lines and length"}`},
		{"no header", "{" + strings.Repeat("x", 2000), `{"acknowledged":0,"error":"the first line is no header"}`},
	} {
		if got := strings.TrimSuffix(talk(test.send), "\n"); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	docs := b.await(t, 7)
	slices.Sort(docs)
	for i, doc := range docs {
		if doc != document(i+1) {
			t.Errorf("document %d is %s", i, doc)
		}
	}
	// A connection that says nothing does not hold the end up.
	idle, err := net.Dial("tcp", a.TCPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	open, err := net.Dial("tcp", a.TCPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	io.WriteString(open, acked+document(8)+"\n")
	if line, err := bufio.NewReader(open).ReadString('\n'); err != nil || line != "{\"acknowledged\":1}\n" {
		t.Fatalf("%q, %v", line, err)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestUnixSocketLeftBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(t.Context(), path); err == nil {
		t.Fatal("a socket that somebody serves was taken over")
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	again, err := listenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(t.Context(), path); err == nil {
		t.Error("a plain file was replaced")
	}
}

func TestReporter(t *testing.T) {
	b := newBackend(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: b.URL}}})
	r := a.mu.deliveries[0]
	f := &figures{}
	lost := int64(0)
	rep := &reporter{export: r.delivery.export, figures: f, intake: a.intake, logger: a.logger, lost: func() int64 { return lost }}
	rep.add(time.Unix(60, 0)) // nothing came yet
	a.intake.received.udp.Add(7)
	f.sent.Add(5)
	f.failures[CauseTimeout].Add(2)
	rep.add(time.Unix(120, 0))
	lost = 3
	rep.add(time.Unix(180, 0))
	if err := rep.send(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `{"EC2InstanceId":"","Hostname":"","ResourceARN":"","TelemetryRecords":[` +
		`{"Timestamp":120,"SegmentsReceivedCount":7,"SegmentsSentCount":5,"SegmentsSpilloverCount":0,"SegmentsRejectedCount":0,"BackendConnectionErrors":{"TimeoutCount":2,"ConnectionRefusedCount":0,"HTTPCode4XXCount":0,"HTTPCode5XXCount":0,"UnknownHostCount":0,"OtherCount":0}},` +
		`{"Timestamp":180,"SegmentsReceivedCount":0,"SegmentsSentCount":0,"SegmentsSpilloverCount":3,"SegmentsRejectedCount":0,"BackendConnectionErrors":{"TimeoutCount":0,"ConnectionRefusedCount":0,"HTTPCode4XXCount":0,"HTTPCode5XXCount":0,"UnknownHostCount":0,"OtherCount":0}}]}`
	if len(b.telemetry) != 1 || b.telemetry[0] != want {
		t.Errorf("telemetry %s", b.telemetry)
	}
	for i := range 40 {
		rep.add(time.Unix(int64(240+60*i), 0))
	}
	if len(rep.waiting) != telemetryKept || rep.waiting[0].Timestamp != 240+60*10 {
		t.Errorf("%d records wait, the oldest of %v", len(rep.waiting), rep.waiting[0].Timestamp)
	}
}

// header makes a header of names and values in turn.
func header(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(kv); i += 2 {
		h.Set(kv[i], kv[i+1])
	}
	return h
}

func TestJudge(t *testing.T) {
	e := newXRayExporter(xrayConfig{batch: 50, identity: &awsIdentity{lock: make(chan struct{}, 1)}, transport: &http.Transport{}})
	two := [][]byte{[]byte(document(1)), []byte(document(2))}
	for _, test := range []struct {
		name   string
		answer answer
		want   Outcome
	}{
		{"taken", answer{status: 200, body: []byte(`{"UnprocessedTraceSegments":[]}`)}, Outcome{}},
		{"taken, spaced", answer{status: 200, body: []byte(`{ "UnprocessedTraceSegments" : null }`)}, Outcome{}},
		{"an unknown path", answer{status: 200, body: []byte(`{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`)}, Outcome{Verdict: Again, Cause: CauseOther}},
		{"no JSON", answer{status: 200, body: []byte(`<html>`)}, Outcome{Verdict: Again, Cause: CauseOther}},
		{"timeout", answer{err: context.DeadlineExceeded}, Outcome{Verdict: Again, Cause: CauseTimeout}},
		{"refused", answer{err: &net.OpError{Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}, Outcome{Verdict: Again, Cause: CauseRefused}},
		{"no host", answer{err: &net.DNSError{}}, Outcome{Verdict: Again, Cause: CauseUnknownHost}},
		{"500", answer{status: 500}, Outcome{Verdict: Again, Cause: Cause5xx}},
		{"429", answer{status: 429, header: header("Retry-After", "3")}, Outcome{Verdict: Again, Cause: Cause4xx, Throttled: true, RetryAfter: 3 * time.Second}},
		{"throttled by the front end", answer{status: 400, header: header("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/")}, Outcome{Verdict: Again, Cause: Cause4xx, Throttled: true}},
		{"expired", answer{status: 403, body: []byte(`{"__type":"com.amazon#ExpiredTokenException"}`)}, Outcome{Verdict: Again, Cause: Cause4xx}},
		{"too large", answer{status: 413}, Outcome{Verdict: Divide, Cause: Cause4xx}},
		{"bad", answer{status: 400, header: header("x-amzn-errortype", "SerializationException")}, Outcome{Verdict: Divide, Cause: Cause4xx}},
		{"redirect", answer{status: 302}, Outcome{Verdict: Again, Cause: Cause4xx}},
	} {
		got := e.judge(&test.answer, two)
		if got.Verdict != test.want.Verdict || got.Cause != test.want.Cause || got.Throttled != test.want.Throttled || got.RetryAfter != test.want.RetryAfter || len(got.Refused)+len(got.Retry) > 0 {
			t.Errorf("%s: %+v", test.name, got)
		}
		if (got.Err == nil) != (test.want.Verdict == Delivered) {
			t.Errorf("%s: error %v", test.name, got.Err)
		}
	}
	records := append(two, []byte(`{"broken`), []byte(document(2)))
	got := e.judge(&answer{status: 200, body: []byte(`{"UnprocessedTraceSegments":[
		{"Id":"0000000000000003","ErrorCode":"ThrottledException","Message":"later"},{"Id":null,"ErrorCode":"ParseError","Message":"bad"},
		{"Id":"0000000000000003","ErrorCode":"InvalidSegment","Message":"never"},{"Id":"ffffffffffffffff","ErrorCode":"InternalFailure","Message":"whose?"}]}`)}, records)
	if !slices.Equal(got.Retry, []int{1}) || !got.Throttled || len(got.Refused) != 3 || got.Refused[0].Index != 2 || got.Refused[1].Index != 3 || got.Refused[2].Index != -1 {
		t.Errorf("partly taken: %+v", got)
	}
	e.judge(&answer{status: 400, body: []byte(`{"Message":"Exceeding maximum segment count: 1"}`)}, two)
	if n := e.Limits().Records; n != 1 {
		t.Errorf("batches of %d after the service said that it takes 1", n)
	}
}

func TestGate(t *testing.T) {
	g := newGate(64)
	now := time.Unix(0, 0)
	g.now = func() time.Time { return now }
	enter := func(again bool) (time.Time, bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		at, err := g.enter(ctx, again)
		return at, err == nil
	}
	round := func(out Outcome) (n int) {
		var begun []time.Time
		for {
			at, ok := enter(false)
			if !ok {
				break
			}
			begun = append(begun, at)
		}
		now = now.Add(time.Millisecond)
		for _, at := range begun {
			g.leave(at, &out)
		}
		return len(begun)
	}
	var grown []int
	for range 6 {
		grown = append(grown, round(Outcome{}))
	}
	if !slices.Equal(grown, []int{4, 8, 16, 32, 64, 64}) {
		t.Errorf("calls at once grow as %v", grown)
	}
	if n := round(Outcome{Verdict: Again, Throttled: true}); n != 64 {
		t.Fatalf("%d calls", n)
	}
	if limit, calls, failures, shut := g.state(); limit != 32 || calls != 0 || failures != 1 || shut <= 0 || shut > shortestWait {
		t.Errorf("after one moment of failures: limit %d, %d calls, %d failures, shut for %v", limit, calls, failures, shut)
	}
	for range 20 {
		now = now.Add(longestWait)
		round(Outcome{Verdict: Again})
	}
	limit, _, _, shut := g.state()
	if limit != 1 || shut < longestWait/2 || shut > longestWait {
		t.Errorf("after many: limit %d, shut for %v", limit, shut)
	}
	now = now.Add(longestWait)
	if n := round(Outcome{}); n != 1 {
		t.Errorf("%d calls try whether it is back", n)
	}
	round(Outcome{Verdict: Again, RetryAfter: time.Hour})
	if _, _, _, shut := g.state(); shut < longestAsked || shut > longestAsked+time.Second {
		t.Errorf("an hour asked for shuts for %v", shut)
	}
	// New calls and those that are made again take turns.
	g = newGate(1)
	at, err := g.enter(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 4)
	for _, again := range []bool{true, true, false, false} {
		go func() {
			at, err := g.enter(context.Background(), again)
			if err != nil {
				return
			}
			order <- fmt.Sprint(again)
			g.leave(at, &Outcome{})
		}()
		time.Sleep(10 * time.Millisecond)
	}
	g.leave(at, &Outcome{})
	if got := []string{<-order, <-order, <-order, <-order}; !slices.Equal(got, []string{"false", "true", "false", "true"}) {
		t.Errorf("made again: %v", got)
	}
}

// TestDivide finds the one document for which a destination refuses whole calls.
func TestDivide(t *testing.T) {
	var mu sync.Mutex
	taken := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ TraceSegmentDocuments []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if slices.Contains(in.TraceSegmentDocuments, document(13)) {
			w.WriteHeader(413)
			return
		}
		for _, d := range in.TraceSegmentDocuments {
			taken[d]++
		}
		io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
	}))
	defer srv.Close()
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: srv.URL}}})
	var docs [][]byte
	for i := range 40 {
		docs = append(docs, []byte(document(i)))
	}
	if err := a.intake.put(t.Context(), wayHTTP, docs, true); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); a.Status().Destinations[0].Waiting > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("documents still wait")
		}
	}
	letters, err := a.letters.newest(10)
	if err != nil || len(letters) != 1 || letters[0].Document != document(13) {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(taken) != 39 {
		t.Errorf("%d documents taken", len(taken))
	}
}

func TestDaemonLog(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	l := NewLogger(&out, "daemon", level).With(slog.String("component", "spool"), slog.String("a", "b c"))
	l.Info("successfully sent", slog.Int("n", 3))
	l.Debug("not shown")
	l.Error("failed", slog.Any("err", errors.New("no\nluck")))
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{`Z [Info] Successfully sent a="b c" n=3`, `Z [Error] Failed a="b c" err="no\nluck"`, ""} {
		if i >= len(lines) || !strings.HasSuffix(lines[i], want) || want != "" && len(lines[i]) != len("2026-11-26T01:02:03")+len(want) {
			t.Errorf("line %d of %q, want %q", i, lines, want)
		}
	}
}

func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := OpenLogFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	l.size = logFileBytes - 3
	io.WriteString(l, "one\n")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(l, "two\n")
	l.Close()
	if data, err := os.ReadFile(path); err != nil || string(data) != "one\ntwo\n" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := os.Stat(path + ".1"); err != nil {
		t.Error(err)
	}
}

func TestSamplingCacheForgetsNothing(t *testing.T) {
	dir := t.TempDir()
	sp, err := spool.Open(spool.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	c := newSamplingCache(sp, slog.New(slog.DiscardHandler))
	if _, _, ok := c.answer(rulesPath, nil); ok {
		t.Error("an empty cache answers")
	}
	c.learn(rulesPath, []byte(`{"NextToken":null}`), []byte(`{"SamplingRuleRecords":[{"SamplingRule":{"RuleName":"a","FixedRate":0.5}}],"NextToken":"n"}`))
	c.learn(targetsPath, nil, []byte(`{"SamplingTargetDocuments":[{"RuleName":"a","FixedRate":0.75,"ReservoirQuota":3}],"LastRuleModification":1.5E9}`))
	c.learn(rulesPath, nil, []byte(`not JSON`))
	if body, _, ok := c.answer(rulesPath, nil); !ok || !strings.Contains(string(body), `"RuleName":"a"`) {
		t.Errorf("%s %v", body, ok)
	}
	if _, _, ok := c.answer(rulesPath, []byte(`{"NextToken":"n"}`)); ok {
		t.Error("a page that was never seen is answered")
	}
	body, _, _ := c.answer(targetsPath, []byte(`{"SamplingStatisticsDocuments":[{"RuleName":"a"}]}`))
	if want := `{"LastRuleModification":1.5E9,"SamplingTargetDocuments":[{"FixedRate":0.75,"Interval":10,"ReservoirQuota":null,"ReservoirQuotaTTL":null,"RuleName":"a"}],"UnprocessedStatistics":[]}`; string(body) != want {
		t.Errorf("targets %s", body)
	}
	again := newSamplingCache(sp, slog.New(slog.DiscardHandler))
	if _, _, ok := again.answer(rulesPath, nil); !ok {
		t.Error("a restart forgot the rules")
	}
}

// TestPressed holds that a flood which ended leaves deliveries alone.
func TestPressed(t *testing.T) {
	b := newBackend(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: b.URL}}})
	sink := udpSink{a.intake, t.Context()}
	for i := range pressedFrom {
		if a.intake.pressed() {
			t.Fatalf("pressed after %d full reads", i)
		}
		var docs [][]byte
		for range fullRead {
			docs = append(docs, []byte(document(i)))
		}
		sink.take(docs)
	}
	if !a.intake.pressed() {
		t.Log("a pause came in between") // of a busy machine
	}
	time.Sleep(2 * pressedFor)
	if a.intake.pressed() {
		t.Error("still pressed after the flood")
	}
}

// poison is a backend that treats calls with certain documents badly.
type poison struct {
	*httptest.Server
	mu    sync.Mutex
	bad   func(docs []string) int // status, 0: taken
	taken map[string]bool
}

func newPoison(t *testing.T, bad func(docs []string) int) *poison {
	p := &poison{bad: bad, taken: map[string]bool{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ TraceSegmentDocuments []string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if status := p.bad(in.TraceSegmentDocuments); status != 0 {
			w.WriteHeader(status)
			return
		}
		for _, d := range in.TraceSegmentDocuments {
			p.taken[d] = true
		}
		io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
	}))
	t.Cleanup(p.Close)
	return p
}

func putDocument(t *testing.T, a *Agent, i int) {
	t.Helper()
	if err := a.intake.putCall(t.Context(), call{docs: [][]byte{[]byte(document(i))}, marks: []uint64{0}}); err != nil {
		t.Fatal(err)
	}
}

// TestStubbornDocument has the destination fail over one document, again and
// again, while it takes others: that one is put aside.
func TestStubbornDocument(t *testing.T) {
	p := newPoison(t, func(docs []string) int {
		if slices.Contains(docs, document(3)) {
			return 500
		}
		return 0
	})
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: p.URL}}})
	n := 0
	for deadline := time.Now().Add(60 * time.Second); a.letters.kept.Load() == 0; n++ {
		putDocument(t, a, n)
		time.Sleep(10 * time.Millisecond)
		if time.Now().After(deadline) {
			t.Fatal("the document is still tried")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); a.Status().Destinations[0].Waiting > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("documents still wait")
		}
	}
	letters, err := a.letters.newest(10)
	if err != nil || len(letters) != 1 || letters[0].Document != document(3) || letters[0].Code != "Undeliverable" {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.taken) != n-1 {
		t.Errorf("%d documents taken, of %d", len(p.taken), n)
	}
}

// TestWrongServerCondemnsFew answers 400 to everything for a while, as something
// that stands in the destination's place might: the spool must not become dead
// letters.
func TestWrongServerCondemnsFew(t *testing.T) {
	wrong, calls := true, 0
	p := newPoison(t, func([]string) int {
		calls++
		if wrong {
			return 400
		}
		return 0
	})
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: p.URL}}})
	const n = 300
	for i := range n {
		putDocument(t, a, i)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		enough := calls > 120
		p.mu.Unlock()
		if enough || a.Status().Destinations[0].Failures > 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the destination is not tried")
		}
	}
	p.mu.Lock()
	wrong = false
	p.mu.Unlock()
	for deadline := time.Now().Add(40 * time.Second); a.Status().Destinations[0].Waiting > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("documents still wait")
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if kept := int(a.letters.kept.Load()); kept > maxCondemned || len(p.taken)+kept != n {
		t.Errorf("%d dead letters and %d documents taken, of %d", kept, len(p.taken), n)
	}
}

// TestLargeDocumentsShareMemory sends more large documents at once than there is
// memory for: they wait for each other, and all arrive.
func TestLargeDocumentsShareMemory(t *testing.T) {
	b := newBackend(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: b.URL}}})
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			c, err := net.Dial("tcp", a.TCPAddr())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			doc := strings.TrimSuffix(document(i), "}") + `,"metadata":{"x":"` + strings.Repeat("y", 1<<20) + `"}}`
			fmt.Fprintf(c, "%s\n%s\n%s\n", `{"format":"json","version":1,"ack":true}`, document(100+i), doc)
			lines := bufio.NewReader(c)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Error(err)
					return
				}
				if line == "{\"acknowledged\":2}\n" {
					return
				}
			}
		})
	}
	wg.Wait()
	b.await(t, 12)
}

// TestTLSAndProxy sends to a server whose certificate nobody knows, and through
// a proxy.
func TestTLSAndProxy(t *testing.T) {
	var mu sync.Mutex
	protocols := map[string]int{}
	b := newBackend(t)
	take := b.Config.Handler
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		protocols[r.Proto]++
		mu.Unlock()
		take.ServeHTTP(w, r)
	}))
	secure.EnableHTTP2 = true
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	proxied := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if r.URL.Host == "xray.test" {
			proxied++
		}
		mu.Unlock()
		take.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{
		{Name: "trusting", Endpoint: secure.URL, NoVerifySSL: true}, {Name: "strict", Endpoint: secure.URL},
		{Name: "proxied", Endpoint: "http://xray.test", ProxyAddress: strings.TrimPrefix(proxy.URL, "http://")},
	}})
	putDocument(t, a, 1)
	b.await(t, 2)
	for deadline := time.Now().Add(10 * time.Second); a.Status().Destinations[1].LastError == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the unknown certificate was not refused")
		}
	}
	st := a.Status()
	if !strings.Contains(st.Destinations[1].LastError, "certificate") || st.Destinations[0].Waiting+st.Destinations[2].Waiting != 0 || st.Destinations[1].Waiting != 1 {
		t.Errorf("%+v", st.Destinations)
	}
	mu.Lock()
	defer mu.Unlock()
	if protocols["HTTP/2.0"] == 0 || proxied == 0 {
		t.Errorf("protocols %v, %d calls through the proxy", protocols, proxied)
	}
}
