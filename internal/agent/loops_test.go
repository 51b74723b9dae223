package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// TestRecent holds how much is remembered, and for how long.
func TestRecent(t *testing.T) {
	const size = 1 << 14
	r := newRecent(size)
	random := rand.New(rand.NewPCG(1, 2))
	var added []uint64
	add := func(n int) {
		for range n {
			m := max(1, random.Uint64())
			added = append(added, m)
			r.add([]uint64{m, 0})
		}
	}
	known := func(marks []uint64) (n int) {
		for _, is := range r.has(marks) {
			if is {
				n++
			}
		}
		return n
	}
	add(4 * size)
	for _, c := range []struct{ last, least, most int }{{size / 4, size/4 - 1, size / 4}, {size / 2, size/2 - size/64, size / 2}, {4 * size, 0, size}} {
		if n := known(added[len(added)-c.last:]); n < c.least || n > c.most {
			t.Errorf("of the last %d marks %d are known", c.last, n)
		}
	}
	if n := known([]uint64{0, 7, 8}); n != 0 {
		t.Errorf("%d are known that were never added", n)
	}
	// What is added again is as one that is new.
	again := added[len(added)-size/4:]
	add(size / 4)
	r.add(again)
	add(size / 8)
	if n := known(again); n < len(again)-2 {
		t.Errorf("of %d marks that were added again %d are known", len(again), n)
	}
}

// parsed returns a document as the server hands it over.
func parsed(t *testing.T, text string) tracestore.Record {
	t.Helper()
	s, err := segment.Parse([]byte(text), segment.Limits{})
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return tracestore.Record{Format: tracestore.FormatXRay, Data: []byte(text), Segment: s}
}

func TestMarkOf(t *testing.T) {
	mark := func(rest string) uint64 {
		r := parsed(t, `{"trace_id":"1-67412345-000000000000000000000001","id":"0000000000000001","name":"a",`+rest+`}`)
		return markOf(r.Segment, r.Data)
	}
	finished := mark(`"start_time":1732611955.123456,"end_time":1732611955.654321`)
	for name, c := range map[string]struct {
		rest string
		same bool
	}{
		"more in it":    {`"start_time":1732611955.123456,"end_time":1732611955.654321,"annotations":{"a":1}`, true},
		"as a fraction": {`"start_time":1732611955.1234561,"end_time":1.732611955654321E9`, true},
		"other start":   {`"start_time":1732611955.123457,"end_time":1732611955.654321`, false},
		"other end":     {`"start_time":1732611955.123456,"end_time":1732611955.654322`, false},
		"unfinished":    {`"start_time":1732611955.123456,"in_progress":true`, false},
	} {
		if same := mark(c.rest) == finished; same != c.same {
			t.Errorf("%s: the same is %v", name, same)
		}
	}
	for text, same := range map[string]bool{`"start_time":1,"in_progress":true`: true, `"start_time":1,"in_progress":true,"annotations":{"a":1}`: false} {
		if got := mark(text) == mark(`"start_time":1,"in_progress":true`); got != same {
			t.Errorf("unfinished, %s: the same is %v", text, got)
		}
	}
	if markOf(nil, nil) != 0 {
		t.Error("what cannot be read has a mark")
	}
	// A document that comes back as a span is the same.
	r := parsed(t, `{"trace_id":"1-67412345-000000000000000000000001","id":"0000000000000001","name":"a","start_time":1732611955.123456,"end_time":1732611955.654321}`)
	var m otlp.Mapping
	var span otlp.Span
	back := otlp.AppendDocumentSpans(nil, nil, r.Segment)[0]
	src, err := m.Source(back.Source)
	if err == nil {
		err = otlp.ParseSpan(back.Span, &span)
	}
	if err != nil || markOf(m.Segment(src, &span, false), back.Span) != finished {
		t.Errorf("%v; as a span it is another", err)
	}
}

// TestForwardRepeated has documents come again without the header, as they do through a
// Collector: once they were sent they go no further, changed or not.
func TestForwardRepeated(t *testing.T) {
	home := newEverything(t)
	f := openForwarder(t, t.TempDir(), home.URL)
	forward := func(texts ...string) {
		t.Helper()
		var list []tracestore.Record
		for _, text := range texts {
			list = append(list, parsed(t, text))
		}
		if err := f.Forward(t.Context(), "", list); err != nil {
			t.Fatal(err)
		}
		forwarded(t, f)
	}
	changed := strings.Replace(document(1), "desk", "table", 1)
	unfinished := strings.Replace(document(3), `"end_time":2`, `"in_progress":true`, 1)
	further := strings.Replace(unfinished, "desk", "table", 1)
	forward(document(1), unfinished)
	forward(document(1), document(2), changed)
	forward(unfinished, further)
	forward(further, document(3))
	home.mu.Lock()
	defer home.mu.Unlock()
	want := []string{document(1), unfinished, document(2), further, document(3)}
	if got := strings.Join(home.docs, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("what arrived:\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if st := f.Status(); st.Repeated != 4 || st.Looped != 0 || st.Destinations[0].Sent != 5 {
		t.Errorf("%+v", st)
	}
}

// TestForwardAwayTwice: what was not sent yet is not known, so that a put which failed
// half way may be made again.
func TestForwardAwayTwice(t *testing.T) {
	home := newEverything(t)
	address := home.Listener.Addr().String()
	home.Close()
	dir := t.TempDir()
	f := openForwarder(t, dir, "http://"+address)
	for range 2 {
		if err := f.Forward(t.Context(), "", []tracestore.Record{parsed(t, document(1)), parsed(t, document(2))}); err != nil {
			t.Fatal(err)
		}
	}
	if st := f.Status(); st.Destinations[0].Waiting < 2 {
		t.Errorf("%d wait", st.Destinations[0].Waiting)
	}
}

// mirror gives everything it gets back to an agent, changed a little each time and without
// the header, for as long as there is something to give.
type mirror struct {
	*httptest.Server
	to    atomic.Pointer[string]
	calls atomic.Int64
	docs  atomic.Int64
	via   chan string
}

func newMirror(t *testing.T, change func(doc string) string) *mirror {
	m := &mirror{via: make(chan string, 1000)}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		m.via <- r.Header.Get(ingest.HeaderVia)
		var in struct{ TraceSegmentDocuments []string }
		if r.URL.Path != "/TraceSegments" || json.Unmarshal(body, &in) != nil {
			io.WriteString(w, "{}")
			return
		}
		m.calls.Add(1)
		m.docs.Add(int64(len(in.TraceSegmentDocuments)))
		for i, doc := range in.TraceSegmentDocuments {
			in.TraceSegmentDocuments[i] = change(doc)
		}
		if text, _ := json.Marshal(in); m.to.Load() != nil {
			resp, err := http.Post(*m.to.Load()+"/TraceSegments", "application/json", bytes.NewReader(text))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
		}
		io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
	}))
	t.Cleanup(m.Close)
	return m
}

// callAgent posts to an agent what came through via, and returns what it answers.
func callAgent(t *testing.T, a *Agent, path, via, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.TCPAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if via != "" {
		req.Header.Set(ingest.HeaderVia, via)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// putBody is that of a call with document i.
func putBody(i int) string { return string(appendPutBody(nil, [][]byte{[]byte(document(i))})) }

// settled waits until an agent has nothing more to send.
func settled(t *testing.T, a *Agent, done func(st Status) bool) Status {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if st := a.Status(); done(st) && st.Destinations[0].Waiting == 0 {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("it goes on and on: %+v", a.Status())
		}
	}
}

// TestAgentRing has an agent whose destination leads back to it through something that
// does not know of the header and changes documents, by a rule of the agent and by itself.
func TestAgentRing(t *testing.T) {
	n := 0
	m := newMirror(t, func(doc string) string {
		n++
		return strings.Replace(doc, `"name"`, fmt.Sprintf(`"annotations":{"round":%d},"name"`, n), 1)
	})
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: m.URL, Connections: 1}}, Processing: []RuleConfig{{Hash: &FieldConfig{Field: "name"}}}})
	url := "http://" + a.TCPAddr()
	m.to.Store(&url)
	c, err := net.Dial("udp", a.UDPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "{\"format\":\"json\",\"version\":1}\n%s", document(0))
	for i := 1; i <= 5; i++ {
		if status, text := callAgent(t, a, "/TraceSegments", "", putBody(i)); status != 200 {
			t.Errorf("%d %s", status, text)
		}
	}
	// The datagram goes out, comes back by a call, goes out as that, and comes back once more.
	st := settled(t, a, func(st Status) bool { return st.Intake.Repeated >= 6 })
	if st.Intake.Repeated != 6 || st.Destinations[0].Sent != 7 || st.Intake.Looped != 0 {
		t.Errorf("%+v", st)
	}
	if via := <-m.via; via != a.loops.id {
		t.Errorf("documents were sent via %q, want %q", via, a.loops.id)
	}
}

// TestAgentVia has calls come through others that know of the header.
func TestAgentVia(t *testing.T) {
	m := newMirror(t, func(doc string) string { return doc })
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: m.URL}}})
	const other = "00000000000000aa"
	if status, text := callAgent(t, a, "/TraceSegments", other, putBody(1)); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if status, text := callAgent(t, a, "/TraceSegments", other+","+a.loops.id, putBody(2)); status != 200 || text != string(nothingLeftOut) {
		t.Errorf("%d %s", status, text)
	}
	st := settled(t, a, func(st Status) bool { return st.Destinations[0].Sent > 0 })
	if st.Intake.Looped != 1 || st.Destinations[0].Sent != 1 || st.Intake.HTTP != 2 {
		t.Errorf("%+v", st)
	}
	if via := <-m.via; via != other+","+a.loops.id {
		t.Errorf("passed on via %q", via)
	}
	// Other calls are passed on, too, and must not go round.
	if status, text := callAgent(t, a, "/Anything", other, "{}"); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if via := <-m.via; via != other+","+a.loops.id {
		t.Errorf("a call was passed on via %q", via)
	}
	if status, text := callAgent(t, a, "/Anything", a.loops.id, "{}"); status != http.StatusBadGateway || !strings.Contains(text, "leads back here") {
		t.Errorf("%d %s", status, text)
	}
}

// TestAgentToItself refuses destinations that are the agent's own address.
func TestAgentToItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	cfg := &Config{UDPAddress: address, TCPAddress: address, LocalMode: true, LogFormat: "text", SpoolDir: t.TempDir(), Destinations: []Destination{{Type: TypeRoentgen, Endpoint: "http://" + strings.Replace(address, "127.0.0.1", "localhost", 1)}}}
	if err := cfg.Complete(none); err != nil {
		t.Fatal(err)
	}
	a, err := Start(t.Context(), Options{Config: cfg, Getenv: none})
	if err == nil {
		a.Close(context.Background())
	}
	if err == nil || !strings.Contains(err.Error(), "is this agent itself") {
		t.Errorf("it started: %v", err)
	}
	found := false
	for _, c := range Diagnose(t.Context(), cfg, "", nil, none) {
		found = found || c.Verdict == CheckBad && strings.Contains(c.Finding, "is this agent itself")
	}
	if !found {
		t.Error("doctor finds nothing wrong with it")
	}
	m := newMirror(t, func(doc string) string { return doc })
	a = start(t, &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: m.URL}}})
	next := *a.cfg.Load()
	next.Destinations = []Destination{{Name: "self", Type: TypeRoentgen, Endpoint: "http://" + a.TCPAddr()}}
	if _, err := a.Reload(&next); err == nil || !strings.Contains(err.Error(), "is this agent itself") {
		t.Errorf("it took over: %v", err)
	}
	putDocument(t, a, 1)
	settled(t, a, func(st Status) bool { return st.Destinations[0].Sent == 1 })
}
