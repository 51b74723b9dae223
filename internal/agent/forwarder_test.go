package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// everything takes documents and spans as a Roentgen server does.
type everything struct {
	*httptest.Server
	mu    sync.Mutex
	docs  []string
	spans []otlp.SourcedSpan
	via   []string
}

func newEverything(t *testing.T) *everything {
	e := &everything{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.via = append(e.via, r.Header.Get("X-Roentgen-Via"))
		switch r.URL.Path {
		case "/TraceSegments":
			var in struct{ TraceSegmentDocuments []string }
			if json.Unmarshal(body, &in) == nil {
				e.docs = append(e.docs, in.TraceSegmentDocuments...)
			}
			io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
		case "/v1/traces":
			if err := otlp.Walk(body, func(source, span []byte) bool {
				e.spans = append(e.spans, otlp.SourcedSpan{Source: source, Span: bytes.Clone(span)})
				return true
			}); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/x-protobuf")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

// spanRecord is the i-th span of a test. Its source and its span have fields that
// nobody knows, which have to arrive all the same.
func spanRecord(i int) tracestore.Record {
	span := otlp.AppendField(nil, 1, append(make([]byte, 15), 7))
	span = otlp.AppendField(span, 2, binary.BigEndian.AppendUint64(nil, uint64(0x5000+i)))
	span = otlp.AppendField(span, 5, []byte("GET /cart"))
	span = binary.LittleEndian.AppendUint64(append(span, 7<<3|1), 1e18)
	span = binary.LittleEndian.AppendUint64(append(span, 8<<3|1), 1e18+5e8)
	span = otlp.AppendField(span, 900, []byte("of the future"))
	name := otlp.AppendField(otlp.AppendField(nil, 1, []byte("service.name")), 2, otlp.AppendField(nil, 1, fmt.Appendf(nil, "shop-%d", i%2)))
	source := otlp.AppendField(otlp.AppendField(nil, 1, otlp.AppendField(nil, 1, name)), 2, otlp.AppendField(nil, 1, otlp.AppendField(nil, 1, []byte("lib"))))
	return tracestore.Record{Format: tracestore.FormatOTLP, Data: span, Source: source}
}

func documentRecord(i int) tracestore.Record {
	return tracestore.Record{Format: tracestore.FormatXRay, Data: []byte(document(i))}
}

func openForwarder(t *testing.T, dir string, texts ...string) *Forwarder {
	t.Helper()
	list, err := CompleteForwards(texts, "", none)
	if err != nil {
		t.Fatal(err)
	}
	f, err := OpenForwarder(ForwarderOptions{Dir: dir, Destinations: list, Getenv: none, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(testLog{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeForwarder(t, f) })
	return f
}

func closeForwarder(t *testing.T, f *Forwarder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.Close(ctx); err != nil {
		t.Error(err)
	}
}

func forwarded(t *testing.T, f *Forwarder) ForwardStatus {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		st, waiting := f.Status(), uint64(0)
		for _, d := range st.Destinations {
			waiting += d.Waiting
		}
		if waiting == 0 {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d still wait: %+v", waiting, st)
		}
	}
}

// TestForward passes documents and spans on to every kind of destination: Roentgen gets
// each as it came, byte for byte, OpenTelemetry spans, and AWS documents.
func TestForward(t *testing.T) {
	home, aws, collector := newEverything(t), newEverything(t), newStock()
	collector.overGRPC(t, "127.0.0.1:0")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	f := openForwarder(t, t.TempDir(), home.URL, "grpc://"+collector.address)
	list, err := CompleteForwards([]string{home.URL, "grpc://" + collector.address}, "", none)
	if err != nil {
		t.Fatal(err)
	}
	c := &Config{Destinations: []Destination{{Type: TypeAWS, Endpoint: aws.URL, Sign: "never"}}}
	if err := c.completeDestinations(none); err != nil {
		t.Fatal(err)
	}
	if err := f.serve(append(list, c.Destinations...)); err != nil {
		t.Fatal(err)
	}
	const n = 40
	var records []tracestore.Record
	for i := range n {
		records = append(records, documentRecord(i), spanRecord(i))
	}
	if err := f.Forward(t.Context(), "", records[:n]); err != nil {
		t.Fatal(err)
	}
	if err := f.Forward(t.Context(), "", records[n:]); err != nil {
		t.Fatal(err)
	}
	st := forwarded(t, f)
	if st.DeadLetters != 0 || len(st.Destinations) != 3 || st.Destinations[0].Sent != 2*n {
		t.Errorf("%+v", st)
	}
	home.mu.Lock()
	defer home.mu.Unlock()
	docs, spans := map[string]int{}, map[string]int{}
	for _, d := range home.docs {
		docs[d]++
	}
	for _, s := range home.spans {
		spans[string(s.Source)+"|"+string(s.Span)]++
	}
	for i := range n {
		s := spanRecord(i)
		if docs[document(i)] != 1 || spans[string(s.Source)+"|"+string(s.Data)] != 1 {
			t.Fatalf("number %d: the document came %d times as it was, the span %d times", i, docs[document(i)], spans[string(s.Source)+"|"+string(s.Data)])
		}
	}
	for _, via := range home.via {
		if via != f.loops.id {
			t.Errorf("passed on via %q, want %q", via, f.loops.id)
		}
	}
	collector.mu.Lock()
	defer collector.mu.Unlock()
	for i := range n {
		doc, span := collector.spans[fmt.Sprintf("%016x", i+1)], collector.spans[fmt.Sprintf("%016x", 0x5000+i)]
		if doc != "desk" || span != fmt.Sprintf("shop-%d", i%2) {
			t.Fatalf("number %d: the spans are of %q and %q", i, doc, span)
		}
	}
	aws.mu.Lock()
	defer aws.mu.Unlock()
	if len(aws.docs) != 2*n || len(aws.spans) != 0 {
		t.Fatalf("AWS got %d documents and %d spans", len(aws.docs), len(aws.spans))
	}
	names := map[string]int{}
	for _, d := range aws.docs {
		s, err := segment.Parse([]byte(d), segment.Limits{})
		if err != nil {
			t.Fatalf("%v: %s", err, d)
		}
		names[s.Name]++
	}
	if names["desk"] != n || names["shop-0"] != n/2 || names["shop-1"] != n/2 {
		t.Errorf("names %v", names)
	}
	for _, via := range aws.via {
		if via != "" {
			t.Errorf("AWS is told of servers: %q", via)
		}
	}
}

// TestForwardRestart has a destination away while a Forwarder ends and begins again.
func TestForwardRestart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	f := openForwarder(t, dir, "grpc://"+address)
	for i := range 30 {
		if err := f.Forward(t.Context(), "", []tracestore.Record{documentRecord(i), spanRecord(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(f.Troubles(), address+": "); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("that the destination is away is not said")
		}
	}
	id := f.loops.id
	closeForwarder(t, f)
	f = openForwarder(t, dir, "grpc://"+address)
	if f.loops.id != id {
		t.Errorf("the server's id was %s and is %s", id, f.loops.id)
	}
	s := newStock()
	s.overGRPC(t, address)
	s.await(t, 60)
	forwarded(t, f)
	for span, times := range s.times {
		if times != 1 {
			t.Errorf("%s came %d times", span, times)
		}
	}
}

// TestForwardLoop has documents come back.
func TestForwardLoop(t *testing.T) {
	home := newEverything(t)
	f := openForwarder(t, t.TempDir(), home.URL)
	one := []tracestore.Record{documentRecord(1)}
	if err := f.Forward(t.Context(), "00000000000000aa,"+f.loops.id, one); err != nil {
		t.Fatal(err)
	}
	if err := f.Forward(t.Context(), strings.Repeat("00000000000000aa,", maxVia-1)+"00000000000000aa", one); err != nil {
		t.Fatal(err)
	}
	if err := f.Forward(t.Context(), "00000000000000aa", one); err != nil {
		t.Fatal(err)
	}
	if err := f.Forward(t.Context(), "anything\r\nX: y", []tracestore.Record{documentRecord(2)}); err != nil {
		t.Fatal(err)
	}
	st := forwarded(t, f)
	home.mu.Lock()
	defer home.mu.Unlock()
	if st.Looped != 2 || len(home.docs) != 2 {
		t.Errorf("%d came back, %d were passed on", st.Looped, len(home.docs))
	}
	for _, via := range home.via {
		if via != "00000000000000aa,"+f.loops.id && via != f.loops.id {
			t.Errorf("via %q", via)
		}
	}
}

// TestForwardLarge passes on documents of every size, and a put that is larger than
// what may wait for the disk.
func TestForwardLarge(t *testing.T) {
	home := newEverything(t)
	f := openForwarder(t, t.TempDir(), home.URL)
	var records []tracestore.Record
	size := 0
	for i := range 14 {
		doc := strings.TrimSuffix(document(i), "}") + `,"metadata":{"x":"` + strings.Repeat("0123456789abcdef", 64<<10) + `"}}`
		size += len(doc)
		records = append(records, tracestore.Record{Format: tracestore.FormatXRay, Data: []byte(doc)})
	}
	records = append(records, tracestore.Record{Format: tracestore.FormatXRay, Data: make([]byte, 33<<20)}, documentRecord(100))
	if size <= forwardPending {
		t.Fatal("too small to show anything")
	}
	if err := f.Forward(t.Context(), "", records); err != nil {
		t.Fatal(err)
	}
	st := forwarded(t, f)
	home.mu.Lock()
	defer home.mu.Unlock()
	if len(home.docs) != 15 || st.DeadLetters != 1 || f.tooLarge.Load() != 1 {
		t.Errorf("%d documents, %+v", len(home.docs), st)
	}
}

func TestLeadsTo(t *testing.T) {
	tcp := func(text string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", text)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, test := range []struct {
		endpoint string
		own      string
		want     bool
	}{
		{"http://127.0.0.1:2000", "127.0.0.1:2000", true}, {"http://localhost:2000/x", "127.0.0.1:2000", true}, {"http://127.0.0.1:2001", "127.0.0.1:2000", false},
		{"http://127.0.0.1:2000", "0.0.0.0:2000", true}, {"http://[::1]:2000", "[::]:2000", true}, {"http://0.0.0.0:2000", "127.0.0.1:2000", true},
		{"http://192.0.2.7:2000", "0.0.0.0:2000", false}, {"https://127.0.0.1", "127.0.0.1:443", true}, {"", "127.0.0.1:443", false}, {"http://no.such.name.invalid:2000", "0.0.0.0:2000", false},
	} {
		d := Destination{Endpoint: test.endpoint}
		if got := d.LeadsTo(t.Context(), []net.Addr{tcp("127.0.0.1:9"), tcp(test.own)}); got != test.want {
			t.Errorf("%s leads to %s: %v", test.endpoint, test.own, got)
		}
	}
}

func TestCompleteForwards(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forward.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("Destinations:\n- Type: otlp\n  Endpoint: http://c:4318\n  Headers: {a: b}\n")
	list, err := CompleteForwards([]string{"http://r:2000", "http://s:2000"}, path, none)
	if err != nil || len(list) != 3 || list[0].Name != "r:2000" || list[1].Name != "s:2000" || list[2].Name != "c:4318" || list[2].Headers["a"] != "b" || list[2].Endpoint != "http://c:4318/v1/traces" {
		t.Errorf("%+v, %v", list, err)
	}
	for text, want := range map[string]string{"Destination:\n- Type: otlp\n": "unknown key", "Destinations:\n- Tipe: otlp\n": "unknown key", "- a\n": "should hold keys", "a: [": path} {
		write(text)
		if _, err := CompleteForwards(nil, path, none); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTagged(t *testing.T) {
	span := spanRecord(1)
	full := tagged{form: FormSpan, mark: 77, source: span.Source, data: span.Data}
	record := full.append(nil, "aa,bb")
	form, mark, via, rest := cutTagged(record)
	got, ok := cutSpan(rest)
	if form != FormSpan || mark != 77 || via != "aa,bb" || !ok || !bytes.Equal(got.Source, span.Source) || !bytes.Equal(got.Span, span.Data) {
		t.Errorf("%v %d %q %v", form, mark, via, ok)
	}
	plain := tagged{form: FormXRay, data: []byte("{}")}
	if form, mark, via, rest := cutTagged(plain.append(nil, "")); form != FormXRay || mark != 0 || via != "" || string(rest) != "{}" {
		t.Errorf("%v %d %q %q", form, mark, via, rest)
	}
	for n := range record {
		form, _, _, rest := cutTagged(record[:n])
		if form == FormSpan {
			p := Parcel{Form: form, Records: [][]byte{rest}}
			p.text(0)
			p.key(0)
			p.spans()
			p.documents()
		}
	}
	p := Parcel{Form: FormSpan, Records: [][]byte{rest}}
	if text := p.text(0); !json.Valid([]byte(text)) || !strings.Contains(text, "GET /cart") {
		t.Errorf("a span reads as %s", text)
	}
	full.data = span.Data[:bytes.Index(span.Data, []byte{8<<3 | 1})]
	_, _, _, other := cutTagged(full.append(nil, ""))
	q := Parcel{Form: FormSpan, Records: [][]byte{other}}
	a, okA := p.key(0)
	b, okB := q.key(0)
	if !okA || !okB || a == b {
		t.Error("an unfinished span and the finished one are of one sort")
	}
}
