package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore keeps what it is given and can be made to fail or to wait.
type fakeStore struct {
	tracestore.Store
	err     error
	enter   chan struct{} // when set: told of each Write
	release chan struct{} // when set: Write waits for it
	backlog atomic.Int64
	limit   atomic.Int64

	mu struct {
		sync.Mutex
		writes  [][]tracestore.Record
		letters []tracestore.DeadLetter
		addErr  error
		block   chan struct{}
	}
}

func (s *fakeStore) Stats() tracestore.Stats {
	return tracestore.Stats{TailBytes: s.backlog.Load(), TailLimit: s.limit.Load()}
}

func (s *fakeStore) Write(_ context.Context, records []tracestore.Record) error {
	if s.enter != nil {
		s.enter <- struct{}{}
		<-s.release
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.mu.writes = append(s.mu.writes, records)
	return nil
}

func (s *fakeStore) AddDeadLetters(letters []tracestore.DeadLetter) error {
	s.mu.Lock()
	block := s.mu.block
	s.mu.Unlock()
	if block != nil {
		<-block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.addErr != nil {
		return s.mu.addErr
	}
	s.mu.letters = append(s.mu.letters, letters...)
	return nil
}

const now = 1795356000_500 // unix milliseconds

func newIngester(t *testing.T, s *fakeStore, edit func(*Config)) (*Ingester, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	cfg := Config{Store: s, Registerer: reg, Now: func() time.Time { return time.UnixMilli(now) }}
	if edit != nil {
		edit(&cfg)
	}
	in := New(cfg)
	t.Cleanup(func() { in.Close() })
	return in, reg
}

func valueOf(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

func doc(id int, rest string) []byte {
	return fmt.Appendf(nil, `{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"%016x","name":"till",%s}`, id, rest)
}

const done = `"start_time":1000,"end_time":1001`

func TestPut(t *testing.T) {
	s := &fakeStore{}
	in, _ := newIngester(t, s, nil)
	docs := [][]byte{
		doc(1, done),
		[]byte("{"),
		append(append(append([]byte(" [\n"), doc(2, done)...), `,{"id":"x"},`...), append(doc(3, done), "] \x00"...)...),
		doc(4, `"start_time":1`),
		append(doc(5, done), "\n\x00"...),
	}
	refusals, err := in.Put(context.Background(), Origin{Source: SourceHTTP, Peer: "p:1"}, docs)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range refusals {
		got = append(got, string(r.Code)+" "+r.ID)
	}
	if want := "ParseError |InvalidId x|MissingEndTime 0000000000000004"; strings.Join(got, "|") != want {
		t.Errorf("refused %q, want %q", got, want)
	}
	if len(s.mu.writes) != 1 || len(s.mu.writes[0]) != 4 {
		t.Fatalf("%d writes", len(s.mu.writes))
	}
	for i, want := range []int{1, 2, 3, 5} {
		r := s.mu.writes[0][i]
		if r.Received != now || r.Segment.ID != segment.SegmentID(want) || !bytes.Equal(r.Data, doc(want, done)) || r.Format != tracestore.FormatXRay {
			t.Errorf("record %d: %d %s %s", i, r.Received, r.Segment.ID, r.Data)
		}
	}
	in.Close()
	if len(s.mu.letters) != 3 {
		t.Fatalf("%d dead letters", len(s.mu.letters))
	}
	l := s.mu.letters[1]
	if l.Code != "InvalidId" || l.ID != "x" || l.Source != "http" || l.Peer != "p:1" || l.Time != now || string(l.Document) != `{"id":"x"}` || l.Size != 10 ||
		l.Message != "Invalid segment. ErrorCode: InvalidId" || l.Detail == "" || l.Remedy == "" {
		t.Errorf("dead letter %+v", l)
	}
	for code, want := range map[string]float64{"InvalidId": 1, "MissingEndTime": 1, "ParseError": 1, "MissingId": 0} {
		if got := valueOf(t, in.metrics.refused.WithLabelValues("http", code)); got != want {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
	if got := valueOf(t, in.metrics.inFlight); got != 0 {
		t.Errorf("%v bytes stay in flight", got)
	}
	for result, want := range map[string]float64{"accepted": 4, "refused": 3, "malformed": 0, "overloaded": 0, "failed": 0} {
		if got := valueOf(t, in.metrics.documents.WithLabelValues("http", result)); got != want {
			t.Errorf("%s: %v, want %v", result, got, want)
		}
	}
}

// TestNothingAccepted checks that a call of refused documents writes nothing.
func TestNothingAccepted(t *testing.T) {
	s := &fakeStore{err: tracestore.ErrUnavailable}
	in, _ := newIngester(t, s, nil)
	refusals, err := in.Put(context.Background(), Origin{Source: SourceUDP}, [][]byte{nil, []byte("[]")})
	if err != nil || len(refusals) != 2 {
		t.Errorf("%v %v", refusals, err)
	}
}

func TestStoreFails(t *testing.T) {
	for _, want := range []error{tracestore.ErrNoSpace, tracestore.ErrOverloaded, context.DeadlineExceeded} {
		s := &fakeStore{err: want}
		in, _ := newIngester(t, s, nil)
		refusals, err := in.Put(context.Background(), Origin{Source: "new"}, [][]byte{doc(1, done), nil})
		if !errors.Is(err, want) || refusals != nil {
			t.Errorf("%v: %v %v", want, refusals, err)
		}
		in.Close()
		if len(s.mu.letters) != 0 {
			t.Errorf("%v: letters of a call that will be sent again", want)
		}
		result := "failed"
		if want == tracestore.ErrOverloaded {
			result = "overloaded"
		}
		if got := valueOf(t, in.metrics.documents.WithLabelValues("other", result)); got != 1 {
			t.Errorf("%v: %v counted as %s", want, got, result)
		}
	}
}

// TestOverload fills what may be in flight and checks that the next put is
// refused at once and nothing of it is stored.
func TestOverload(t *testing.T) {
	s := &fakeStore{enter: make(chan struct{}), release: make(chan struct{})}
	one := doc(1, done)
	in, _ := newIngester(t, s, func(c *Config) { c.InFlightBytes = int64(len(one)) * 2 })
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := in.Put(context.Background(), Origin{Source: SourceHTTP}, [][]byte{one}); err != nil {
				t.Error(err)
			}
		})
		<-s.enter
	}
	if _, err := in.Put(context.Background(), Origin{Source: SourceHTTP}, [][]byte{one}); !errors.Is(err, tracestore.ErrOverloaded) {
		t.Errorf("a third put: %v", err)
	}
	close(s.release)
	wg.Wait()
	// A put larger than the bound passes when it comes alone.
	s.enter = nil
	if _, err := in.Put(context.Background(), Origin{Source: SourceHTTP}, [][]byte{one, one, one}); err != nil {
		t.Errorf("a large put alone: %v", err)
	}
	if got := in.inFlight.Load(); got != 0 {
		t.Errorf("%d bytes stay in flight", got)
	}
	if len(s.mu.writes) != 3 {
		t.Errorf("%d writes", len(s.mu.writes))
	}
}

// TestArraysOfNonsense holds what a put can cost: the arrays in it may be refused
// no more often than one can.
func TestArraysOfNonsense(t *testing.T) {
	in, _ := newIngester(t, &fakeStore{}, nil)
	array := []byte("[" + strings.Repeat("1,", segment.MaxArrayDocuments*3/5) + "1]")
	single := doc(1, done)
	refusals, err := in.Put(context.Background(), Origin{Source: SourceHTTP}, [][]byte{array, bytes.Clone(array), single, bytes.Clone(array)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(refusals), segment.MaxArrayDocuments*3/5+1+2; got != want {
		t.Errorf("%d refusals, want %d", got, want)
	}
	if last := refusals[len(refusals)-1]; last.Code != segment.CodeParseError || !strings.Contains(last.Detail, "60001 elements where at most 39998 are") {
		t.Errorf("the last array: %s", last.Detail)
	}
}

func TestImportReceipt(t *testing.T) {
	retention := time.Hour
	oldest := int64(now - 3600_000)
	for _, c := range []struct {
		name, times string
		retention   time.Duration
		want        int64
	}{
		{"end", `"start_time":1795350000,"end_time":1795355999.25`, retention, 1795355999_250},
		{"in progress", `"start_time":1795355000.5,"in_progress":true`, retention, 1795355000_500},
		{"future", `"start_time":1795350000,"end_time":1895355999`, retention, now},
		{"far future", `"start_time":1,"end_time":1e300`, retention, now},
		{"beyond retention", `"start_time":1,"end_time":2`, retention, oldest},
		{"far past", `"start_time":-1e300,"end_time":-1e300`, retention, oldest},
		{"kept for ever", `"start_time":1,"end_time":2`, 0, 2000},
		{"before 1970", `"start_time":-5,"end_time":-4`, 0, 1},
	} {
		s := &fakeStore{}
		in, _ := newIngester(t, s, func(cfg *Config) { cfg.Retention = c.retention })
		report, err := in.ImportReport(context.Background(), Origin{Source: SourceImport}, [][]byte{[]byte("x"), doc(1, c.times)})
		if err != nil || report.Accepted != 1 || len(report.At) != 1 || report.At[0] != 0 {
			t.Fatalf("%s: %+v %v", c.name, report, err)
		}
		if got := s.mu.writes[0][0].Received; got != c.want {
			t.Errorf("%s: received at %d, want %d", c.name, got, c.want)
		}
	}
}

func TestMalformed(t *testing.T) {
	s := &fakeStore{}
	in, _ := newIngester(t, s, nil)
	in.Malformed(Origin{Source: SourceUDP, Peer: "p"}, bytes.Repeat([]byte("x"), 5000), "no header line")
	in.Close()
	in.Close()
	if len(s.mu.letters) != 1 {
		t.Fatalf("%d letters", len(s.mu.letters))
	}
	if l := s.mu.letters[0]; l.Code != CodeMalformed || l.Detail != "no header line" || l.Size != 5000 || len(l.Document) != letterBytes || l.Source != "udp" {
		t.Errorf("%+v", l)
	}
	if got := valueOf(t, in.metrics.documents.WithLabelValues("udp", "malformed")); got != 1 {
		t.Errorf("%v counted", got)
	}
}

// TestLetterFlood refuses more documents than the queue holds while the store
// stands still: nobody waits, what does not fit is counted, the order stays.
func TestLetterFlood(t *testing.T) {
	s := &fakeStore{}
	s.mu.block = make(chan struct{})
	in, _ := newIngester(t, s, nil)
	const puts, each = 30, 100
	for p := range puts {
		docs := make([][]byte, each)
		for i := range docs {
			docs[i] = fmt.Appendf(nil, `{"id":"%d"}`, p*each+i)
		}
		if refusals, err := in.Put(context.Background(), Origin{Source: SourceHTTP}, docs); err != nil || len(refusals) != each {
			t.Fatal(len(refusals), err)
		}
	}
	s.mu.Lock()
	close(s.mu.block)
	s.mu.block = nil
	s.mu.Unlock()
	in.Close()
	kept := len(s.mu.letters)
	dropped := int(valueOf(t, in.metrics.lettersDropped.WithLabelValues("queue full")))
	if kept+dropped != puts*each || kept < letterQueueLen || kept > letterQueueLen+letterBatch {
		t.Errorf("%d kept, %d dropped", kept, dropped)
	}
	last := -1
	for _, l := range s.mu.letters {
		var n int
		fmt.Sscan(l.ID, &n)
		if n <= last {
			t.Fatalf("%d after %d", n, last)
		}
		last = n
	}
}

func TestLettersStoreFails(t *testing.T) {
	s := &fakeStore{}
	s.mu.addErr = tracestore.ErrUnavailable
	in, _ := newIngester(t, s, nil)
	// What Put answers is of no concern here: two refusals, and a closed ingester.
	_, _ = in.Put(context.Background(), Origin{Source: SourceHTTP}, [][]byte{nil, nil})
	in.Close()
	_, _ = in.Put(context.Background(), Origin{Source: SourceHTTP}, [][]byte{nil})
	if got := valueOf(t, in.metrics.lettersDropped.WithLabelValues("store failed")); got != 2 {
		t.Errorf("%v dropped by the store", got)
	}
	if got := valueOf(t, in.metrics.lettersDropped.WithLabelValues("queue full")); got != 1 {
		t.Errorf("%v dropped after Close", got)
	}
}

// TestLetterTexts checks that a refusal which quotes its document stays small,
// and that a letter holds no memory of the document.
func TestLetterTexts(t *testing.T) {
	text := []byte(strings.Repeat("d", 100))
	l := newLetter(1, Origin{}, text, &segment.Refusal{Code: "X", ID: strings.Repeat("i", 1<<20), Message: strings.Repeat("m", 1<<20), Detail: "d", Remedy: "r"})
	text[0] = 'X'
	if len(l.ID) != letterText || len(l.Message) != letterText || l.Document[0] != 'd' {
		t.Errorf("%d %d %s", len(l.ID), len(l.Message), l.Document)
	}
}

// TestLabels checks that labels of metrics stay bounded.
func TestLabels(t *testing.T) {
	in, reg := newIngester(t, &fakeStore{}, nil)
	for i := range 100 {
		in.metrics.refusedBy(Source(fmt.Sprint("s", i)), fmt.Sprint("code", i))
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "roentgen_ingest_refused_total" && len(f.GetMetric()) != 1 {
			t.Errorf("%d series", len(f.GetMetric()))
		}
	}
}

func BenchmarkPutOne(b *testing.B) { benchmarkPut(b, 1) }

func BenchmarkPut10000(b *testing.B) { benchmarkPut(b, 10_000) }

type discard struct{ tracestore.Store }

func (discard) Write(context.Context, []tracestore.Record) error { return nil }

func benchmarkPut(b *testing.B, n int) {
	in := New(Config{Store: discard{}})
	defer in.Close()
	docs := make([][]byte, n)
	size := 0
	for i := range docs {
		docs[i] = doc(i, done+`,"http":{"request":{"method":"GET","url":"https://shop.example/"},"response":{"status":200}}`)
		size += len(docs[i])
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if r, err := in.Put(context.Background(), Origin{Source: SourceHTTP}, docs); err != nil || len(r) > 0 {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/document")
}

// TestImportYields holds that history waits when the store is behind, and what
// happens now does not.
func TestImportYields(t *testing.T) {
	s := &fakeStore{}
	in, _ := newIngester(t, s, nil)
	s.backlog.Store(importBacklog + 1)
	if _, err := in.Import(context.Background(), Origin{Source: SourceImport}, [][]byte{feedDoc(1)}); !errors.Is(err, tracestore.ErrOverloaded) {
		t.Errorf("import: %v", err)
	}
	if _, err := in.Put(context.Background(), Origin{Source: SourceHTTP}, [][]byte{feedDoc(1)}); err != nil {
		t.Errorf("put: %v", err)
	}
	s.backlog.Store(importBacklog)
	if _, err := in.Import(context.Background(), Origin{Source: SourceImport}, [][]byte{feedDoc(1)}); err != nil {
		t.Errorf("import later: %v", err)
	}
	if n := len(s.mu.writes); n != 2 {
		t.Errorf("%d writes", n)
	}
}
