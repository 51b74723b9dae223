package xrayapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// sampleAnswers calls every operation that is built and returns its answer.
func sampleAnswers(t *testing.T) map[string]string {
	t.Helper()
	store := memstore.New()
	in := ingest.New(ingest.Config{Store: store})
	t.Cleanup(func() { in.Close(); store.Close() })
	graph := &FakeGraph{}
	call, err := segment.Parse([]byte(`{"trace_id":"1-6ab384fb-000000000000000000000001","id":"00000000000000a1","name":"till","start_time":1000,"end_time":1002,`+
		`"subsegments":[{"id":"00000000000000a2","name":"bank","namespace":"remote","start_time":1000,"end_time":1001}]}`), segment.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	graph.Tell(tracestore.GroupRef{}, trace.Assemble(call.TraceID, []trace.Document{{Seq: 1, Put: 1, Received: 1_500_000, Segment: call}}))
	state, err := control.Open(control.Options{Compile: func(string, control.Lookup) (control.Match, error) {
		return func(*trace.Row, func() *trace.Row) bool { return true }, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	h := New(Config{Ingester: in, Query: query.New(store), Graph: graph, Control: state})
	const doc = `{\"trace_id\":\"1-6ab384fb-000000000000000000000001\",\"id\":\"00000000000000a1\",\"name\":\"till\",\"start_time\":1000,\"end_time\":1002,` +
		`\"user\":\"ada\",\"annotations\":{\"n\":1,\"s\":\"x\",\"b\":true},\"http\":{\"request\":{\"method\":\"GET\"}},\"aws\":{\"ec2\":{\"instance_id\":\"i-1\",\"availability_zone\":\"z\"}},\"resource_arn\":\"arn:x\"}`
	answers := map[string]string{}
	for _, c := range []struct{ path, body string }{
		{"/TraceSegments", `{"TraceSegmentDocuments":["` + doc + `","{"]}`},
		{"/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":1}]}`},
		{"/Traces", `{"TraceIds":["1-6ab384fb-000000000000000000000001"]}`},
		{"/TraceSummaries", `{"StartTime":0,"EndTime":2000}`},
		{"/GetSamplingRules", ``},
		{"/SamplingTargets", `{"SamplingStatisticsDocuments":[{"RuleName":"Default","ClientID":"0123456789abcdef01234567","Timestamp":1,"RequestCount":1,"SampledCount":1},{"RuleName":"x","ClientID":"0123456789abcdef01234567","Timestamp":1,"RequestCount":1,"SampledCount":1}]}`},
		{"/CreateGroup", `{"GroupName":"slow","FilterExpression":"duration > 5"}`},
		{"/UpdateGroup", `{"GroupName":"slow","FilterExpression":"duration > 6"}`},
		{"/Groups", `{}`},
		{"/GetGroup", `{"GroupName":"Default"}`},
		{"/DeleteGroup", `{"GroupName":"slow"}`},
		{"/EncryptionConfig", `{}`},
		{"/TraceGraph", `{"TraceIds":["1-6ab384fb-000000000000000000000001"]}`},
		{"/ServiceGraph", `{"StartTime":0,"EndTime":2000}`},
		{"/TimeSeriesServiceStatistics", `{"StartTime":0,"EndTime":2000}`},
		{"/GetTraceSegmentDestination", `{}`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", c.path, strings.NewReader(c.body)))
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", c.path, w.Code, w.Body)
		}
		answers[c.path] = w.Body.String()
	}
	if len(answers) != len(operations) {
		t.Errorf("%d answers of %d operations", len(answers), len(operations))
	}
	return answers
}

// TestAnswersCanonical checks the form of all answers: keys in alphabetical
// order at every level.
func TestAnswersCanonical(t *testing.T) {
	for path, answer := range sampleAnswers(t) {
		var v any
		d := json.NewDecoder(strings.NewReader(answer))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b) // writes keys in order
		e.SetEscapeHTML(false)
		e.Encode(v)
		if got := strings.TrimSpace(b.String()); got != answer {
			t.Errorf("%s:\n%s\nin order:\n%s", path, answer, got)
		}
	}
}

func TestErrorTable(t *testing.T) {
	for code, info := range apierr.Table {
		if info.Status < 400 || info.Status > 599 {
			t.Errorf("%s has status %d", code, info.Status)
		}
		w := httptest.NewRecorder()
		WriteError(w, apierr.Wrap(errors.New("secret"), code, "why \"%s\"", code))
		want := `{"` + code.MessageKey() + `":"why \"` + string(code) + `\""}`
		if w.Code != info.Status || w.Body.String() != want || w.Header()["x-amzn-errortype"][0] != string(code) {
			t.Errorf("%s: %d %v %s, want %s", code, w.Code, w.Header(), w.Body, want)
		}
	}
}

func TestScanSegments(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       []string // nil: goes the general way
	}{
		{"one", `{"TraceSegmentDocuments":["{\"id\":\"1\"}"]}`, []string{`{"id":"1"}`}},
		{"spaces", " {\n\"TraceSegmentDocuments\" : [ \"a\" ,\t\"b\" ] } \r\n", []string{"a", "b"}},
		{"escapes", `{"TraceSegmentDocuments":["\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00"]}`, []string{"\"\\/\b\f\n\r\tAé€😀"}},
		{"lone surrogates", `{"TraceSegmentDocuments":["\ud83dx\ude00\ud83d\u0041"]}`, []string{"\uFFFDx\uFFFD\uFFFDA"}},
		{"empty document", `{"TraceSegmentDocuments":["",""]}`, []string{"", ""}},
		{"invalid UTF-8 passes", "{\"TraceSegmentDocuments\":[\"\xff\xfe0123456789\"]}", []string{"\xff\xfe0123456789"}},
		{"mostly escapes", `{"TraceSegmentDocuments":["` + strings.Repeat(`\u0041`, 100) + `","x"]}`, []string{strings.Repeat("A", 100), "x"}},
		{"empty list", `{"TraceSegmentDocuments":[]}`, nil},
		{"other key", `{"X":1,"TraceSegmentDocuments":["a"]}`, nil},
		{"key after", `{"TraceSegmentDocuments":["a"],"X":1}`, nil},
		{"number", `{"TraceSegmentDocuments":["a",1]}`, nil},
		{"null", `{"TraceSegmentDocuments":null}`, nil},
		{"escaped key", `{"TraceSegmentDocument\u0073":["a"]}`, nil},
		{"control character", "{\"TraceSegmentDocuments\":[\"a\nb\"]}", nil},
		{"bad escape", `{"TraceSegmentDocuments":["\x"]}`, nil},
		{"bad hex", `{"TraceSegmentDocuments":["\u00g0"]}`, nil},
		{"torn", `{"TraceSegmentDocuments":["abcdefghijklmnop`, nil},
		{"torn escape", `{"TraceSegmentDocuments":["abc\`, nil},
		{"comma at the end", `{"TraceSegmentDocuments":["a",]}`, nil},
		{"more", `{"TraceSegmentDocuments":["a"]}{}`, nil},
		{"empty", ``, nil},
	} {
		docs, ok := scanSegments([]byte(c.body), 100)
		if ok != (c.want != nil) {
			t.Errorf("%s: ok %t", c.name, ok)
			continue
		}
		if ok && !equalTexts(docs, c.want) {
			t.Errorf("%s: %q, want %q", c.name, docs, c.want)
		}
	}
	// The list is cut where it is too long in any case.
	docs, ok := scanSegments([]byte(`{"TraceSegmentDocuments":["a","b","c","d","e`), 3)
	if !ok || len(docs) != 4 {
		t.Errorf("%q %t", docs, ok)
	}
}

func equalTexts(docs [][]byte, want []string) bool {
	if len(docs) != len(want) {
		return false
	}
	for i := range docs {
		if string(docs[i]) != want[i] {
			return false
		}
	}
	return true
}

// TestDocumentsApart checks that documents of one call share no memory that an
// append to one of them would reach.
func TestDocumentsApart(t *testing.T) {
	for _, body := range []string{`{"TraceSegmentDocuments":["aaaa","bbbb"]}`, `{"TraceSegmentDocuments":["aaaa","bbbb"],"x":1}`, `{"TraceSegmentDocuments":["aaaa","bbbb"` + strings.Repeat(" ", 100) + `]}`} {
		docs, err := SegmentDocuments([]byte(body), 10)
		if err != nil {
			t.Fatal(err)
		}
		_ = append(docs[0], "XXXX"...)
		if string(docs[1]) != "bbbb" {
			t.Errorf("%s: an append to the first document changed the second to %s", body, docs[1])
		}
	}
}

// FuzzSegmentDocuments checks the hand-written scanner against encoding/json
// and the short way against the general one.
func FuzzSegmentDocuments(f *testing.F) {
	for _, seed := range []string{
		`{"TraceSegmentDocuments":["{\"id\":\"1\"}","\u00e9\ud83d\ude00\ud83d"]}`,
		`{"TraceSegmentDocuments":[null,1,true,{"a":[1e5,-0.5E+3]}],"x":"\/"}`,
		`{"TraceSegmentDocuments":["a"],"TraceSegmentDocuments":["b"]}`,
		`[]`, `null`, ` `, `{`, `{"TraceSegmentDocuments":["a\`, "{\"TraceSegmentDocuments\":[\"\xff\"]}", `{"a":01}`, `{"a":1.}`, `{"a":[1,]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		docs, err := SegmentDocuments(body, 1000)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		in, generalErr := decode(body, putTraceSegmentsInput)
		// What we take for JSON is JSON, and the other way round, but for an
		// empty body and nesting beyond any use.
		if syntaxOK := generalErr == nil || !strings.Contains(generalErr.Error(), "not valid JSON"); len(bytes.Trim(body, " \t\r\n")) > 0 &&
			syntaxOK != json.Valid(body) && isWholeJSON(generalErr) && !strings.Contains(errText(generalErr), "too deep") {
			t.Fatalf("%q: we say %v, encoding/json says %t", body, generalErr, json.Valid(body))
		}
		if err != nil {
			return
		}
		if generalErr != nil {
			t.Fatalf("%q: the short way took what the general one refuses: %v", body, generalErr)
		}
		list := in.get(putTraceSegmentsInput, "TraceSegmentDocuments").list
		if len(list) != len(docs) {
			t.Fatalf("%q: %d documents, the general way %d", body, len(docs), len(list))
		}
		var std struct{ TraceSegmentDocuments []string }
		var raw map[string]json.RawMessage
		exact := json.Unmarshal(body, &raw) == nil && json.Unmarshal(raw["TraceSegmentDocuments"], &std.TraceSegmentDocuments) == nil
		for i := range docs {
			if string(docs[i]) != list[i].s {
				t.Fatalf("%q: document %d is %q, the general way %q", body, i, docs[i], list[i].s)
			}
			if exact && utf8.Valid(body) && string(docs[i]) != std.TraceSegmentDocuments[i] {
				t.Fatalf("%q: document %d is %q, encoding/json says %q", body, i, docs[i], std.TraceSegmentDocuments[i])
			}
		}
	})
}

// isWholeJSON reports whether decode looked at the whole body before it failed:
// a value of a wrong type ends it early.
func isWholeJSON(err error) bool {
	return err == nil || strings.Contains(err.Error(), "not valid JSON")
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzBatchToken(f *testing.F) {
	ids := []segment.TraceID{{1}, {2}, {3}}
	f.Add(encodeBatchToken(1, ids))
	f.Add("")
	f.Add("AAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		next, ok := decodeBatchToken(text, ids)
		if ok && encodeBatchToken(next, ids) != text {
			t.Fatalf("%q was taken for %d", text, next)
		}
	})
}

func TestBucket(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBucket(100, func() time.Time { return now })
	for _, c := range []struct {
		after time.Duration
		n     int
		want  bool
	}{
		{0, 60, true}, {0, 40, true}, {0, 1, false}, {500 * time.Millisecond, 51, false}, {0, 50, true},
		{10 * time.Second, 101, false}, {0, 100, true}, {-time.Second, 1, false},
	} {
		now = now.Add(c.after)
		if got := b.take(c.n); got != c.want {
			t.Errorf("after %v take(%d) is %t", c.after, c.n, got)
		}
	}
	if !(*bucket)(nil).take(1 << 30) {
		t.Error("no bucket refuses")
	}
}

func TestSamplingShares(t *testing.T) {
	now := time.Unix(1000, 0)
	s := newSampling(func() time.Time { return now })
	if got := s.report("a", true); got.known {
		t.Errorf("a new client got %+v", got)
	}
	now = now.Add(10 * time.Second)
	if got := s.report("a", true); !got.known || got.quota != 1 || !got.ttl.Equal(now.Add(300*time.Second)) {
		t.Errorf("a busy client got %+v", got)
	}
	s.report("b", true)
	now = now.Add(10 * time.Second)
	if got := s.report("b", true); !got.known || got.quota != 0 {
		t.Errorf("a second client got %+v while the first holds the reservoir", got)
	}
	if got := s.report("a", false); got.quota != 0 {
		t.Errorf("an idle client got %+v", got)
	}
	if got := s.report("b", true); got.quota != 1 {
		t.Errorf("the next client got %+v", got)
	}
	now = now.Add(time.Minute)
	if got := s.report("a", true); got.known {
		t.Errorf("a client that was away got %+v", got)
	}
	if n := len(s.mu.clients); n != 1 {
		t.Errorf("%d clients are remembered", n)
	}
}

// TestRequestID checks the form of a version 4 UUID.
func TestRequestID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newRequestID()
		if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '4' || id[18] != '-' || id[23] != '-' || !strings.ContainsRune("89ab", rune(id[19])) || seen[id] {
			t.Fatalf("%q", id)
		}
		seen[id] = true
	}
}
