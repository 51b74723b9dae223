package webapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/webapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// failingStore fails Writes as told.
type failingStore struct {
	tracestore.Store
	fail func(n int64) error // n counts Writes from 1
	n    atomic.Int64
}

func (s *failingStore) Write(ctx context.Context, records []tracestore.Record) error {
	if s.fail != nil {
		if err := s.fail(s.n.Add(1)); err != nil {
			return err
		}
	}
	return s.Store.Write(ctx, records)
}

type fixture struct {
	*httptest.Server
	store *failingStore
	in    *ingest.Ingester
}

func serve(t *testing.T) *fixture {
	t.Helper()
	store := &failingStore{Store: memstore.New()}
	now := func() time.Time { return time.Unix(1795356000, 0) }
	in := ingest.New(ingest.Config{Store: store, Now: now})
	s := httptest.NewServer(webapi.New(webapi.Config{Ingester: in, Query: query.New(store), DeadLetters: store, BodyBytes: 1 << 20, Now: now}))
	t.Cleanup(func() {
		s.Close()
		in.Close()
		store.Close()
	})
	return &fixture{s, store, in}
}

func (f *fixture) do(t *testing.T, method, path, contentType string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, f.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := f.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if method != http.MethodHead && !json.Valid(text) {
		t.Errorf("%s %s: no JSON: %s", method, path, text)
	}
	return resp.StatusCode, string(text)
}

func (f *fixture) get(t *testing.T, path string) (int, string) {
	t.Helper()
	return f.do(t, http.MethodGet, path, "", nil)
}

func (f *fixture) put(t *testing.T, docs ...string) {
	t.Helper()
	var list [][]byte
	for _, d := range docs {
		list = append(list, []byte(d))
	}
	if _, err := f.in.Put(context.Background(), ingest.Origin{Source: ingest.SourceUDP, Peer: "10.0.0.9:4000"}, list); err != nil {
		t.Fatal(err)
	}
}

const (
	traceID = "1-6ab38001-0123456789abcdef01234567"
	root    = `{"trace_id":"` + traceID + `","id":"00000000000000aa","name":"till","start_time":1795355000,"end_time":1795355001.5}`
	lost    = `{"trace_id":"` + traceID + `","id":"00000000000000bb","parent_id":"00000000000000ff","type":"subsegment","name":"lost","start_time":1795355000,"end_time":1795355009}`
	alone   = `{"trace_id":"1-6ab38002-0123456789abcdef01234567","id":"00000000000000cc","parent_id":"00000000000000ff","type":"subsegment","name":"alone","start_time":1795355100,"end_time":1795355101}`
)

func TestTrace(t *testing.T) {
	f := serve(t)
	f.put(t, root, lost)
	want := `{"Duration":1.5,"Id":"` + traceID + `","Orphans":[{"Document":{"id":"00000000000000bb","name":"lost","start_time":1.795355E9,"trace_id":"` + traceID +
		`","end_time":1.795355009E9,"parent_id":"00000000000000ff","type":"subsegment"},"Id":"00000000000000bb"}],"Revision":1,` +
		`"Segments":[{"Document":{"id":"00000000000000aa","name":"till","start_time":1.795355E9,"trace_id":"` + traceID + `","end_time":1.7953550015E9},"Id":"00000000000000aa"}]}`
	for _, path := range []string{traceID, traceID + "/", "6AB380010123456789ABCDEF01234567"} {
		if status, got := f.get(t, "/api/traces/"+path); status != 200 || got != want {
			t.Errorf("%s: %d %s\nwant %s", path, status, got, want)
		}
	}
	for path, want := range map[string]int{
		"1-6ab38001-ffffffffffffffffffffffff": 404, "nonsense": 400, traceID + "/x": 404, "%ff%00": 400,
	} {
		if status, got := f.get(t, "/api/traces/"+path); status != want || !strings.HasPrefix(got, `{"Message":"`) {
			t.Errorf("%s: %d %s, want %d", path, status, got, want)
		}
	}
}

func TestTraces(t *testing.T) {
	f := serve(t)
	f.put(t, root, lost)
	f.put(t, alone)
	type page struct {
		TraceSummaries []struct {
			Id                     string
			OrphanOnly, InProgress bool
		}
		NextToken *string
		Message   string
	}
	read := func(query string) (int, page) {
		status, text := f.get(t, "/api/traces"+query)
		var p page
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		return status, p
	}
	_, p := read("")
	if len(p.TraceSummaries) != 2 || !p.TraceSummaries[0].OrphanOnly || p.TraceSummaries[1].OrphanOnly || p.TraceSummaries[1].Id != traceID {
		t.Errorf("the last hour: %+v", p)
	}
	_, p = read("?start=1795354000&end=1795356000&clock=end&limit=1")
	if len(p.TraceSummaries) != 1 || p.NextToken == nil {
		t.Fatalf("a page of one: %+v", p)
	}
	first := p.TraceSummaries[0].Id
	_, p = read("?start=1795354000&end=1795356000&clock=end&limit=1&token=" + *p.NextToken)
	if len(p.TraceSummaries) != 1 || p.NextToken != nil || p.TraceSummaries[0].Id == first {
		t.Errorf("the next: %+v", p)
	}
	for query, want := range map[string]int{
		"?start=2026-11-22T13:43:20Z&end=2026-11-22T13:43:20.5Z":  1,
		"?start=2026-11-22T14:43:20%2B01:00&end=1795355000.00001": 1,
		"?start=1795355101&end=1795355102":                        0,
		"?clock=changed&start=1795355999&end=1795356000":          0,
		"?clock=changed&start=1795356000&end=1795356001":          2,
	} {
		if status, p := read(query); status != 200 || len(p.TraceSummaries) != want {
			t.Errorf("%s: %d %+v, want %d", query, status, p, want)
		}
	}
	for _, query := range []string{"?start=x", "?start=NaN", "?end=+Inf", "?start=2&end=1", "?clock=Event", "?limit=0", "?limit=-1", "?limit=1000000", "?token=x", "?from=1", "?%zz"} {
		if status, p := read(query); status != 400 || p.Message == "" {
			t.Errorf("%s: %d %+v", query, status, p)
		}
	}
}

func TestDeadLetters(t *testing.T) {
	f := serve(t)
	f.put(t, "{", `{"id":"x"}`, "\xff")
	f.in.Close() // hands the letters over
	_, got := f.get(t, "/api/dead-letters")
	var page struct {
		DeadLetters []struct {
			Code, Source, Peer, Message, Detail, Remedy, Document string
			Id                                                    *string
			N, Size                                               int
			Time                                                  float64
		}
		Next *int
	}
	if err := json.Unmarshal([]byte(got), &page); err != nil || len(page.DeadLetters) != 3 || page.Next != nil {
		t.Fatalf("%v %s", err, got)
	}
	l := page.DeadLetters[1]
	if l.Code != "InvalidId" || *l.Id != "x" || l.Source != "udp" || l.Peer != "10.0.0.9:4000" || l.Document != `{"id":"x"}` || l.Size != 10 || l.Time != 1795356000 ||
		l.Message != "Invalid segment. ErrorCode: InvalidId" || l.Detail == "" || l.Remedy == "" {
		t.Errorf("%+v", l)
	}
	if page.DeadLetters[0].Document != "\uFFFD" || page.DeadLetters[0].Id != nil {
		t.Errorf("%+v", page.DeadLetters[0])
	}
	// Page by page.
	var seen []int
	for before := ""; ; {
		_, got := f.get(t, "/api/dead-letters?limit=1"+before)
		page.DeadLetters, page.Next = nil, nil
		if err := json.Unmarshal([]byte(got), &page); err != nil || len(page.DeadLetters) != 1 {
			t.Fatalf("%v %s", err, got)
		}
		seen = append(seen, page.DeadLetters[0].N)
		if page.Next == nil {
			break
		}
		before = fmt.Sprint("&before=", *page.Next)
	}
	if len(seen) != 3 || seen[0] <= seen[1] || seen[1] <= seen[2] {
		t.Errorf("pages gave %v", seen)
	}
	for _, query := range []string{"?before=x", "?before=0", "?limit=0", "?limit=1001", "?after=1"} {
		if status, got := f.get(t, "/api/dead-letters"+query); status != 400 {
			t.Errorf("%s: %d %s", query, status, got)
		}
	}
}

func importBody(docs ...string) io.Reader {
	body, _ := json.Marshal(map[string]any{"TraceSegmentDocuments": docs})
	return bytes.NewReader(body)
}

func TestImport(t *testing.T) {
	f := serve(t)
	status, got := f.do(t, "POST", "/api/import", "application/json", importBody(root, "{}", "["+alone+"]"))
	const want = `{"Accepted":2,"Refused":1,"RefusedNotListed":0,"UnprocessedTraceSegments":[{"Detail":"`
	if status != 200 || !strings.HasPrefix(got, want) || !strings.Contains(got, `"ErrorCode":"MissingId","Id":null,"Line":2,"Message":"Invalid segment. ErrorCode: MissingId","Remedy":"`) {
		t.Errorf("%d %s", status, got)
	}
	// The receipt is the end of the document.
	if _, got := f.get(t, "/api/traces?clock=changed&start=1795355001&end=1795355002"); !strings.Contains(got, traceID) {
		t.Errorf("not found by its end: %s", got)
	}
	for name, c := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"empty list": {`{"TraceSegmentDocuments":[]}`, 400, `{"Message":"Segments can not be empty"}`},
		"no list":    {`{}`, 400, `{"Message":"1 validation error detected: Value null at`},
		"no JSON":    {`x`, 400, `{"Message":"The request body is not valid JSON`},
		"too large":  {strings.Repeat(" ", 2<<20), 413, `{"Message":"The request body is larger than 1 MB"}`},
	} {
		if status, got := f.do(t, "POST", "/api/import", "", strings.NewReader(c.body)); status != c.status || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
}

func line(i int) string {
	return fmt.Sprintf(`{"trace_id":"1-6ab38001-%024x","id":"%016x","name":"n","start_time":1795350000,"end_time":1795350001}`, i, i+1)
}

// TestImportLines streams far more than a body may hold, with bad lines in it.
func TestImportLines(t *testing.T) {
	f := serve(t)
	for _, zip := range []bool{false, true} {
		r, w := io.Pipe()
		go func() {
			var out io.Writer = w
			if zip {
				out = gzip.NewWriter(w)
			}
			for i := range 20_000 {
				switch {
				case i == 10:
					io.WriteString(out, "nonsense\r\n\r\n  \n")
				case i == 15_000:
					io.WriteString(out, "["+line(1_000_000)+","+line(1_000_001)+",{}]\n")
				case i == 19_999:
					io.WriteString(out, line(i)) // no newline at the end
				default:
					io.WriteString(out, line(i)+"\n")
				}
			}
			if zip {
				out.(*gzip.Writer).Close()
			}
			w.Close()
		}()
		req, _ := http.NewRequest("POST", f.URL+"/api/import", r)
		req.Header.Set("Content-Type", "application/x-ndjson; charset=utf-8")
		if zip {
			req.Header.Set("Content-Encoding", "gzip")
		}
		resp, err := f.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Accepted, Refused        int
			UnprocessedTraceSegments []struct {
				Line      int
				ErrorCode string
			}
		}
		err = json.NewDecoder(resp.Body).Decode(&got)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || got.Accepted != 20_000 || got.Refused != 2 || len(got.UnprocessedTraceSegments) != 2 {
			t.Fatalf("%s %+v %v", resp.Status, got, err)
		}
		if u := got.UnprocessedTraceSegments; u[0].Line != 11 || u[0].ErrorCode != "ParseError" || u[1].Line != 15_003 || u[1].ErrorCode != "MissingId" {
			t.Errorf("%+v", u)
		}
	}
	if n := f.store.Stats().Documents; n != 40_000 {
		t.Errorf("%d documents are stored", n)
	}
	for name, c := range map[string]struct {
		body   io.Reader
		status int
		want   string
	}{
		"nothing":   {strings.NewReader(""), 200, `{"Accepted":0,"Refused":0,"RefusedNotListed":0,"UnprocessedTraceSegments":[]}`},
		"long line": {strings.NewReader(root + "\n" + strings.Repeat("x", 2<<20)), 413, `{"Message":"a line is longer than 1048576 bytes (of 2 lines read, 1 documents were stored and 0 refused before that)"}`},
	} {
		if status, got := f.do(t, "POST", "/api/import", "application/x-ndjson", c.body); status != c.status || got != c.want {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
}

func TestImportFailures(t *testing.T) {
	f := serve(t)
	// An overloaded store is tried again.
	f.store.fail = func(n int64) error {
		if n < 4 {
			return tracestore.ErrOverloaded
		}
		return nil
	}
	if status, got := f.do(t, "POST", "/api/import", "", importBody(root)); status != 200 || f.store.n.Load() != 4 {
		t.Errorf("%d %s after %d tries", status, got, f.store.n.Load())
	}
	// A store that fails halfway: what was stored is told.
	f.store.n.Store(0)
	f.store.fail = func(n int64) error {
		if n > 1 {
			return tracestore.ErrNoSpace
		}
		return nil
	}
	var lines strings.Builder
	for i := range 2500 {
		lines.WriteString(line(i) + "\n")
	}
	status, got := f.do(t, "POST", "/api/import", "application/x-ndjson", strings.NewReader(lines.String()))
	if status != 503 || got != `{"Message":"The server's disk is full; try again when there is room (of 2000 lines read, 1000 documents were stored and 0 refused before that)"}` {
		t.Errorf("%d %s", status, got)
	}
}

// TestImportMemory holds what imports may take: lines that have not ended yet
// count against the bound of all bodies, and the list of refusals stays short
// although each holds an id as long as its line.
func TestImportMemory(t *testing.T) {
	store := memstore.New()
	in := ingest.New(ingest.Config{Store: store})
	bodies := xrayapi.NewBodies(1 << 20)
	s := httptest.NewServer(webapi.New(webapi.Config{Ingester: in, Query: query.New(store), DeadLetters: store, BodyBytes: 1 << 20, Bodies: bodies}))
	t.Cleanup(func() {
		s.Close()
		in.Close()
		store.Close()
	})
	f := &fixture{Server: s}

	slow, finish := io.Pipe()
	first := make(chan string)
	go func() {
		_, got := f.do(t, "POST", "/api/import", "application/x-ndjson", slow)
		first <- got
	}()
	io.WriteString(finish, strings.Repeat("x", 900_000))
	for bodies.Used() < 800_000 {
		time.Sleep(time.Millisecond)
	}
	long := strings.Repeat("y", 500_000) + "\n"
	if status, got := f.do(t, "POST", "/api/import", "application/x-ndjson", strings.NewReader(long)); status != 429 {
		t.Errorf("a second long line: %d %s", status, got)
	}
	finish.Close()
	if got := <-first; !strings.HasPrefix(got, `{"Accepted":0,"Refused":1,`) {
		t.Errorf("the first long line: %s", got)
	}

	// Blank lines hold nothing, and neither does what was handed on.
	var lines strings.Builder
	for range 20 {
		lines.WriteString(`{"id":"` + strings.Repeat("z", 900_000) + "\"}\n" + strings.Repeat("\n", 100_000))
	}
	status, got := f.do(t, "POST", "/api/import", "application/x-ndjson", strings.NewReader(lines.String()))
	if status != 200 || len(got) > 10<<20 || !strings.HasPrefix(got, `{"Accepted":0,"Refused":20,"RefusedNotListed":10,`) {
		t.Errorf("%d %.100s, %d bytes", status, got, len(got))
	}
	if used := bodies.Used(); used != 0 {
		t.Errorf("%d bytes are still held", used)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	f := serve(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"POST", "/api/traces", 405}, {"GET", "/api/import", 405}, {"DELETE", "/api/traces/" + traceID, 405}, {"PUT", "/api/dead-letters", 405},
		{"GET", "/api", 404}, {"GET", "/api/", 404}, {"GET", "/api/nonsense", 404}, {"GET", "/", 404}, {"HEAD", "/api/traces", 200}, {"GET", "/api/traces/", 200},
	} {
		if status, got := f.do(t, c.method, c.path, "", nil); status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, status, got, c.status)
		}
	}
}
