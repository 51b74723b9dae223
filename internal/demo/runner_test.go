package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a server that keeps what it is sent.
type sink struct {
	udp  *net.UDPConn
	http *httptest.Server
	wg   sync.WaitGroup

	mu        sync.Mutex
	datagrams [][]byte
	puts      [][]byte // documents of PutTraceSegments
	spans     [][]byte // Span messages
	imports   [][]byte
	// answer, when set, handles a request instead; true: it did.
	answer func(w http.ResponseWriter, path string) bool
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{}
	var err error
	if s.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	_ = s.udp.SetReadBuffer(4 << 20)
	s.wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := s.udp.Read(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.datagrams = append(s.datagrams, bytes.Clone(buf[:n]))
			s.mu.Unlock()
		}
	})
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.close)
	return s
}

func (s *sink) close() {
	s.udp.Close()
	s.http.Close()
	s.wg.Wait()
}

func (s *sink) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil && s.answer(w, req.URL.Path) {
		return
	}
	if req.URL.Path == "/v1/traces" {
		err := otlp.Walk(body, func(_, data []byte) bool {
			s.spans = append(s.spans, bytes.Clone(data))
			return true
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
		return
	}
	var in struct{ TraceSegmentDocuments []string }
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, d := range in.TraceSegmentDocuments {
		switch req.URL.Path {
		case "/TraceSegments":
			s.puts = append(s.puts, []byte(d))
		case "/api/import":
			s.imports = append(s.imports, []byte(d))
		default:
			http.NotFound(w, req)
			return
		}
	}
	io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
}

// play runs a runner against s for a while and returns its last status.
func play(t *testing.T, s *sink, opts Options, until func(Status) bool) Status {
	t.Helper()
	opts.UDPAddr, opts.Endpoint = s.udp.LocalAddr().String(), s.http.URL
	r, err := NewRunner(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for !until(r.Status()) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Errorf("waited in vain; status %+v", r.Status())
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	return r.Status()
}

// What the live runner sends is what the generator yields, each document once,
// over the road it belongs on.
func TestLive(t *testing.T) {
	s := newSink(t)
	// The runner's clock stands at a moment in the past, so that the documents are
	// known beforehand.
	offset := time.Since(noon)
	now := func() time.Time { return time.Now().Add(-offset) }
	status := play(t, s, Options{Seed: 9, Rate: 120, Now: now}, func(st Status) bool { return st.Requests > 120 })
	time.Sleep(50 * time.Millisecond) // the last datagrams are on their way
	if status.Failed != 0 || status.Refused != 0 || status.Skipped != 0 || status.LastError != "" {
		t.Errorf("status %+v, want no trouble", status)
	}
	expected := map[string]Delivery{}
	told := map[segment.SegmentID]string{} // spans that the documents tell of
	g, err := NewGenerator(Config{Seed: 9, Rate: 120, Start: noon})
	if err != nil {
		t.Fatal(err)
	}
	for {
		d, _ := g.Next()
		if d.At.After(noon.Add(40 * time.Second)) {
			break
		}
		expected[string(d.Document)] = d
		if d.Road == OTLP && d.Stage != Begun {
			doc, err := segment.Parse(d.Document, segment.Limits{})
			if err != nil {
				t.Fatalf("%v in %s", err, d.Document)
			}
			for _, s := range otlp.AppendDocumentSpans(nil, nil, doc) {
				id, text := spanText(t, s.Span)
				told[id] = text
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, data := range s.spans {
		if id, text := spanText(t, data); told[id] != text {
			t.Errorf("the SDK made\n%s\nof\n%s", text, told[id])
		}
	}
	if got := int64(len(s.datagrams) + len(s.puts) + len(s.spans)); got != status.Sent {
		t.Errorf("%d documents arrived, %d were sent", got, status.Sent)
	}
	for _, datagram := range s.datagrams {
		header, doc, _ := bytes.Cut(datagram, []byte("\n"))
		d, ok := expected[string(doc)]
		if !ok || d.Road != UDP || d.Header != string(header) {
			t.Fatalf("unexpected datagram %s", datagram)
		}
	}
	for _, doc := range s.puts {
		if d, ok := expected[string(doc)]; !ok || d.Road != HTTP {
			t.Fatalf("unexpected document over HTTP: %s", doc)
		}
	}
	if len(s.puts) == 0 || len(s.spans) == 0 || len(s.datagrams) < len(s.puts) {
		t.Errorf("%d documents over HTTP, %d over UDP", len(s.puts), len(s.datagrams))
	}
}

// spanText returns what a span says, without its flags and in an order of its own.
func spanText(t *testing.T, data []byte) (segment.SegmentID, string) {
	t.Helper()
	var s otlp.Span
	if err := otlp.ParseSpan(data, &s); err != nil {
		t.Fatal(err)
	}
	attributes := func(list []otlp.Attribute) string {
		var lines []string
		for _, a := range list {
			lines = append(lines, a.Key+"="+string(a.Value.AppendJSON(nil)))
		}
		slices.Sort(lines)
		return strings.Join(lines, " ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v %v %v %v %q %v %d %d %d %q %s", s.TraceID, s.ID, s.ParentID, s.HasParent, s.Name, s.Kind, s.Start, s.End, s.Status, s.Message, attributes(s.Attributes))
	for _, e := range s.Events {
		fmt.Fprintf(&b, "\nevent %d %s %s", e.Time, e.Name, attributes(e.Attributes))
	}
	for _, l := range s.Links {
		fmt.Fprintf(&b, "\nlink %v %v %s", l.TraceID, l.ID, attributes(l.Attributes))
	}
	return s.ID, b.String()
}

// History is imported in full while live traffic runs beside it, and what its
// last requests still do is sent live.
func TestHistory(t *testing.T) {
	s := newSink(t)
	// The clock starts shortly before reports send what began minutes ago.
	var late []Delivery
	drain(t, Config{Seed: 2, Rate: 3, Start: noon.Add(-3 * time.Minute), Until: noon}, func(d Delivery) {
		if d.Service == "reports" && d.Road == UDP && d.At.After(noon.Add(5*time.Second)) {
			late = append(late, d)
		}
	})
	if len(late) < 5 {
		t.Fatal("no report is under way")
	}
	offset := time.Since(late[0].At.Add(-1500 * time.Millisecond))
	now := func() time.Time { return time.Now().Add(-offset) }
	var begun time.Time
	arrived := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, datagram := range s.datagrams {
			for _, d := range late {
				if bytes.HasSuffix(datagram, d.Document) {
					return true
				}
			}
		}
		return false
	}
	status := play(t, s, Options{Seed: 2, Rate: 3, History: 3 * time.Minute, Now: now}, func(st Status) bool {
		begun = st.Import.To
		return st.Import.Done && st.Requests > 1 && arrived()
	})
	if x := status.Examples; x.Order == "" || x.Running == "" {
		t.Errorf("examples %+v, want an order and a report", x)
	}
	if status.Import.Err != nil || status.Import.Fraction() != 1 || status.Refused != 0 || status.Failed != 0 {
		t.Errorf("status %+v, want a complete import and no trouble", status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(len(s.imports)) != status.Import.Sent || len(s.imports) < 1000 {
		t.Errorf("%d documents were imported, status says %d", len(s.imports), status.Import.Sent)
	}
	want := map[string]bool{}
	drain(t, Config{Seed: 2, Rate: 3, Start: begun.Add(-3 * time.Minute), Until: begun}, func(d Delivery) {
		if d.At.Before(begun) {
			want[string(d.Document)] = true
		}
	})
	for _, d := range s.imports {
		delete(want, string(d))
	}
	if late := len(want); late > 200 { // those of the second that was not over yet
		t.Errorf("%d documents of the past were not imported", late)
	}
	for _, d := range s.puts {
		delete(want, string(d))
	}
	for _, d := range s.datagrams {
		_, doc, _ := bytes.Cut(d, []byte("\n"))
		delete(want, string(doc))
	}
	if len(want) != 0 {
		t.Errorf("%d documents of the past arrived neither by import nor live", len(want))
	}
}

// A server that is away, busy or old is counted and shown, and ends nothing.
func TestTrouble(t *testing.T) {
	t.Run("busy", func(t *testing.T) {
		s := newSink(t)
		n := 0
		s.answer = func(w http.ResponseWriter, path string) bool {
			if n++; n <= 3 {
				http.Error(w, "slow down", http.StatusTooManyRequests)
				return true
			}
			return false
		}
		status := play(t, s, Options{Seed: 2, Rate: 5, History: time.Minute}, func(st Status) bool { return st.Import.Done })
		if status.Import.Err != nil || status.Import.Sent < 500 {
			t.Errorf("status %+v, want a complete import", status)
		}
	})
	t.Run("no import", func(t *testing.T) {
		s := newSink(t)
		s.answer = func(w http.ResponseWriter, path string) bool {
			if path == "/api/import" {
				http.NotFound(w, nil)
				return true
			}
			return false
		}
		status := play(t, s, Options{Seed: 2, Rate: 50, History: time.Minute}, func(st Status) bool { return st.Import.Done && st.Requests > 5 })
		if status.Import.Err == nil || !strings.Contains(status.Import.Err.Error(), "404") {
			t.Errorf("error %v, want one that says 404", status.Import.Err)
		}
	})
	t.Run("refusing", func(t *testing.T) {
		s := newSink(t)
		s.answer = func(w http.ResponseWriter, path string) bool {
			if path == "/v1/traces" {
				return false
			}
			io.WriteString(w, `{"UnprocessedTraceSegments":[{"Id":"1","ErrorCode":"MissingName","Message":"x"},{"Id":null}]}`)
			return true
		}
		status := play(t, s, Options{Seed: 2, Rate: 50}, func(st Status) bool { return st.Refused >= 4 })
		if status.Refused%2 != 0 {
			t.Errorf("%d refused, want two for each batch", status.Refused)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		s := newSink(t)
		s.udp.Close()
		s.http.Close()
		status := play(t, s, Options{Seed: 2, Rate: 60}, func(st Status) bool { return st.Failed > 5 })
		if status.LastError == "" {
			t.Error("no error is shown")
		}
	})
	t.Run("asleep", func(t *testing.T) {
		s := newSink(t)
		var mu sync.Mutex
		ahead := time.Duration(0)
		now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(ahead) }
		jumped := false
		status := play(t, s, Options{Seed: 2, Rate: 50, Now: now}, func(st Status) bool {
			if st.Requests > 10 && !jumped {
				jumped = true
				mu.Lock()
				ahead = time.Hour
				mu.Unlock()
			}
			return st.Skipped > 0 && st.Requests > 60
		})
		if status.Requests > 10_000 {
			t.Errorf("%d requests: the missed hour was made up for", status.Requests)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]Options{
		"no endpoint":      {Rate: 1},
		"not a URL":        {Rate: 1, Endpoint: "127.0.0.1:2000"},
		"negative rate":    {Rate: -1, Endpoint: "http://127.0.0.1:2000"},
		"negative history": {Rate: 1, Endpoint: "http://127.0.0.1:2000", History: -1},
	} {
		if _, err := NewRunner(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBody(t *testing.T) {
	body := appendDocuments(nil, [][]byte{[]byte("{\"a\":\"\\\"\"}\n"), []byte(`{}`)})
	var in struct{ TraceSegmentDocuments []string }
	if err := json.Unmarshal(body, &in); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%q", in.TraceSegmentDocuments); got != `["{\"a\":\"\\\"\"}\n" "{}"]` {
		t.Errorf("got %s", got)
	}
}

func BenchmarkBody(b *testing.B) {
	var docs [][]byte
	g, err := NewGenerator(Config{Seed: 1, Rate: 20, Start: noon})
	if err != nil {
		b.Fatal(err)
	}
	size := 0
	for range importDocuments {
		d, _ := g.Next()
		docs, size = append(docs, d.Document), size+len(d.Document)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		appendDocuments(nil, docs)
	}
}
