package segment

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/sharedtest"
)

// corpusRow is a line of the corpus's index.
type corpusRow struct{ file, kind, shows, verdict string }

func corpusRows(t *testing.T, dir string) []corpusRow {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(dir, "INDEX.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []corpusRow
	for line := range strings.Lines(string(index)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 7 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, corpusRow{cells[0], cells[1], cells[5], cells[6]})
	}
	return rows
}

// The two documents that the index wants accepted although the service would
// refuse them: their id is "11111", and what is observed wins.
var corpusRefusedAnyway = map[string]Code{
	"datadog-lambda-js/context-extractor-spec-ts--01-adds-legacy-stepfunction-context-when-pr.json": CodeInvalidID,
	"datadog-lambda-js/context-extractor-spec-ts--02-adds-spancontext-to-xray.json":                 CodeInvalidID,
}

// A subsegment that the index wants accepted and that can only be meant as a
// nested one: it has neither type nor trace_id.
const corpusNested = "aws-xray-developer-guide/xray-api-segmentdocuments--12-subsegment-with-an-sql-query.json"

func TestCorpusDocuments(t *testing.T) {
	dir := sharedtest.Path(t, "corpus")
	tested := map[string]int{}
	for _, row := range corpusRows(t, dir) {
		switch row.kind {
		case "segment", "subsegment", "sql", "in-progress", "fragment", "malformed", "udp-datagram":
		default:
			continue
		}
		tested[row.kind]++
		t.Run(row.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, row.file))
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case row.kind == "udp-datagram" && strings.HasSuffix(row.file, ".jsonl"):
				for line := range bytes.Lines(text) {
					var datagram string
					if err := json.Unmarshal(line, &datagram); err != nil {
						t.Fatal(err)
					}
					requireDatagram(t, row, []byte(datagram))
				}
			case row.kind == "udp-datagram":
				requireDatagram(t, row, text)
			case row.file == corpusNested:
				requireRoundTrip(t, parse(t, embedSubsegment(string(text))))
				if r := refusal(t, string(text), Limits{}); r.Code != CodeMissingTraceID {
					t.Errorf("alone: got %+v", *r)
				}
			case row.kind == "fragment":
				requireRoundTrip(t, parse(t, embedMembers(string(text))))
			default:
				requireVerdict(t, row, text)
			}
		})
	}
	for _, kind := range []string{"segment", "subsegment", "sql", "in-progress", "fragment", "malformed", "udp-datagram"} {
		if tested[kind] == 0 {
			t.Errorf("the index has no %s", kind)
		}
	}
}

// requireVerdict checks that a document meets the fate that the index says.
func requireVerdict(t *testing.T, row corpusRow, text []byte) {
	t.Helper()
	s, err := Parse(text, Limits{})
	if code, ok := corpusRefusedAnyway[row.file]; ok {
		if err == nil || err.(*Refusal).Code != code {
			t.Fatalf("got %v, want %s", err, code)
		}
		return
	}
	v := row.verdict
	switch {
	case strings.HasPrefix(v, "accept"), strings.HasPrefix(v, "tolerate"):
		if err != nil {
			t.Fatalf("refused: %+v", *err.(*Refusal))
		}
		requireRoundTrip(t, s)
		return
	case err == nil:
		t.Fatalf("accepted: %s; the index says: %s", s.AppendDocument(nil), v)
	}
	r := err.(*Refusal)
	checkRefusal(t, text, r)
	want := Code("")
	switch {
	case strings.Contains(v, "reject as JSON"), strings.Contains(v, "invalid JSON"):
		want = CodeParseError
	case strings.Contains(v, "start_time missing"):
		want = CodeMissingStartTime
	case strings.Contains(v, "is not 1-8hex-24hex"):
		want = CodeMissingID // it lacks that, too, and the id comes first
	case strings.Contains(v, "strictly one of end_time / in_progress"):
		want = CodeMissingEndTime
	case strings.Contains(v, "misses id"):
		want = CodeMissingID
	case strings.Contains(v, "misses name"):
		want = CodeMissingName
	case strings.Contains(v, "alone it misses trace_id"):
		want = CodeMissingTraceID
	case row.kind == "malformed": // not even documents
		return
	}
	if want == "" || r.Code != want {
		t.Errorf("got %s (%s), want %q: %s", r.Code, r.Detail, want, v)
	}
	if strings.HasPrefix(v, "embedded form") {
		requireRoundTrip(t, parse(t, embedSubsegment(string(text))))
	}
	if strings.Contains(v, "where only trace_id is missing") {
		_, err := Parse([]byte(embedSubsegment(string(text))), Limits{})
		if r, ok := err.(*Refusal); !ok || r.Code != want || r.ID != "00000000000000aa" {
			t.Errorf("embedded: got %+v, want %s for the outer document", err, want)
		}
	}
}

// Two ways to make a whole document of a part.
func embedSubsegment(text string) string {
	return `{"id":"00000000000000aa","name":"outer","trace_id":"1-00000000-000000000000000000000000","start_time":1,"end_time":2,"subsegments":[` + text + `]}`
}

func embedMembers(text string) string {
	members := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "{"), "}")
	return `{"id":"00000000000000aa","name":"outer","trace_id":"1-00000000-000000000000000000000000","start_time":1,"end_time":2,` + members + `}`
}

// requireDatagram checks the document of a datagram. Framing is the receiver's
// business; here it is only taken off.
func requireDatagram(t *testing.T, row corpusRow, datagram []byte) {
	t.Helper()
	header, text, ok := bytes.Cut(datagram, []byte("\n"))
	var h struct {
		Format  string
		Version int
	}
	framed := ok && len(text) > 0 && json.Unmarshal(header, &h) == nil && strings.EqualFold(h.Format, "json") && h.Version == 1
	if !strings.HasPrefix(row.verdict, "accept") {
		if framed {
			t.Fatalf("the header is good: %s; the index says: %s", header, row.verdict)
		}
		return
	}
	if !framed {
		t.Fatalf("bad header %q", header)
	}
	s, err := Parse(text, Limits{})
	if strings.HasPrefix(row.verdict, "accept the allowed names") {
		// What is allowed is said here a second time, in the words of the specification.
		allowed := regexp.MustCompile(`^[\p{L}\p{N}\p{Z}_.:/%&#=+\\\-@]+$`)
		var doc struct{ Name string }
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		name := doc.Name
		if runes := []rune(name); len(runes) > 200 {
			name = string(runes[:200])
		}
		if !allowed.MatchString(name) {
			if r, ok := err.(*Refusal); !ok || r.Code != CodeInvalidName || !r.HasID {
				t.Errorf("name %q: got %v, want InvalidName", name, err)
			}
			return
		}
		if err == nil && s.Name != name {
			t.Errorf("name %q, want %q", s.Name, name)
		}
	}
	if err != nil {
		t.Fatalf("refused: %+v\n%s", *err.(*Refusal), text)
	}
	requireRoundTrip(t, s)
}

// exchange is a request to the real service and its answer.
type exchange struct {
	Label     string
	Operation string
	Request   struct{ TraceSegmentDocuments []any }
	Response  struct {
		Body struct {
			UnprocessedTraceSegments []struct {
				ErrorCode Code
				ID        *string `json:"Id"`
				Message   string
			}
			Traces []struct {
				Segments []struct{ Document, ID string }
			}
		}
	}
}

func readExchanges(t *testing.T, file string) []exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(sharedtest.Path(t, "corpus"), file))
	if err != nil {
		t.Fatal(err)
	}
	var list []exchange
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestCorpusRefusals compares refusals with those of the real service.
func TestCorpusRefusals(t *testing.T) {
	compared := 0
	for _, file := range []string{"native-aws/puttracesegments-validation-matrix.json", "native-aws/batchgettraces-assembly-and-in-progress-sequence.json"} {
		for _, e := range readExchanges(t, file) {
			want := e.Response.Body.UnprocessedTraceSegments
			for _, text := range e.Request.TraceSegmentDocuments {
				doc, ok := text.(string)
				if !ok {
					continue // refused before a document is looked at
				}
				_, err := Parse([]byte(doc), Limits{})
				if err == nil {
					continue
				}
				r := err.(*Refusal)
				if len(want) == 0 {
					t.Errorf("%s: refused: %+v", e.Label, *r)
					continue
				}
				w := want[0]
				want = want[1:]
				if r.Code != w.ErrorCode || r.Message != w.Message || r.HasID != (w.ID != nil) || r.HasID && r.ID != *w.ID {
					t.Errorf("%s: got %+v, want %+v", e.Label, *r, w)
				}
				compared++
			}
			if len(want) > 0 {
				t.Errorf("%s: not refused: %+v", e.Label, want)
			}
		}
	}
	if compared < 5 {
		t.Errorf("only %d refusals compared", compared)
	}
}

// TestCorpusDocumentForm checks that a document the real service gave back is
// written byte for byte as it was, and so is what was sent for it.
func TestCorpusDocumentForm(t *testing.T) {
	returned := map[string]bool{}
	var sent []string
	for _, e := range readExchanges(t, "native-aws/batchgettraces-assembly-and-in-progress-sequence.json") {
		for _, text := range e.Request.TraceSegmentDocuments {
			sent = append(sent, text.(string))
		}
		for _, trace := range e.Response.Body.Traces {
			for _, s := range trace.Segments {
				returned[s.Document] = true
				if got := parse(t, s.Document).AppendDocument(nil); string(got) != s.Document {
					t.Errorf("got  %s\nwant %s", got, s.Document)
				}
			}
		}
	}
	same := 0
	for _, doc := range sent {
		if returned[string(parse(t, doc).AppendDocument(nil))] {
			same++
		}
	}
	// Of the five documents sent one is folded into another.
	if len(returned) != 4 || same != 3 {
		t.Errorf("%d documents were given back, %d of those sent are among them; want 4 and 3", len(returned), same)
	}
}

// TestCorpusCollectorDocuments reads what the OpenTelemetry collector's exporter sends.
func TestCorpusCollectorDocuments(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(sharedtest.Path(t, "corpus"), "otlp/collector-awsxrayexporter/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var sample struct{ Segments []json.RawMessage }
		if err := json.Unmarshal(text, &sample); err != nil {
			t.Fatal(err)
		}
		for _, doc := range sample.Segments {
			var quoted string
			if json.Unmarshal(doc, &quoted) == nil {
				doc = []byte(quoted)
			}
			s, err := Parse(doc, Limits{})
			if err != nil {
				t.Errorf("%s: %+v\n%s", filepath.Base(file), *err.(*Refusal), doc)
				continue
			}
			requireRoundTrip(t, s)
		}
	}
}

// TestCorpusTraceHeaders reads the header values of the corpus: valid ones and
// those of the SDKs' own exchanges are accepted, invalid ones refused. An odd
// one is accepted when it holds a trace id of version 1 and no malformed Parent.
func TestCorpusTraceHeaders(t *testing.T) {
	dir := sharedtest.Path(t, "corpus")
	text, err := os.ReadFile(filepath.Join(dir, "trace-headers.txt"))
	if err != nil {
		t.Fatal(err)
	}
	root := regexp.MustCompile(`(?i)(^|;)\s*root=1-[0-9a-f]{1,8}-[0-9a-f]{24}(;|$)`)
	parent := regexp.MustCompile(`(?i)(^|;)\s*parent=([^;]*)`)
	hex16 := regexp.MustCompile(`(?i)^[0-9a-f]{16}$`)
	counts := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(strings.TrimRight(line, "\n"), "\t")
		header, verdict, want := cells[0], cells[1], cells[2]
		counts[verdict]++
		h, err := ParseTraceHeader(header)
		accept := verdict == "valid"
		if verdict == "odd" {
			p := parent.FindStringSubmatch(header)
			accept = root.MatchString(header) && (p == nil || hex16.MatchString(p[2]))
		}
		if (err == nil) != accept {
			t.Errorf("%q: error %v; the corpus says %s: %s", header, err, verdict, want)
			continue
		}
		if err != nil {
			continue
		}
		lower := strings.ReplaceAll(strings.ToLower(header), " ", "")
		if p := parent.FindStringSubmatch(header); h.HasParent != (p != nil) || p != nil && h.Parent.String() != strings.ToLower(p[2]) {
			t.Errorf("%q: parent %v %v", header, h.HasParent, h.Parent)
		}
		sampled := SampledUnknown
		switch {
		case strings.Contains(lower, "sampled=0"):
			sampled = SampledNo
		case strings.Contains(lower, "sampled=1"):
			sampled = SampledYes
		case strings.Contains(lower, "sampled=?"):
			sampled = SampledRequested
		}
		if h.Sampled != sampled {
			t.Errorf("%q: sampled %v, want %v", header, h.Sampled, sampled)
		}
		if strings.Contains(want, "padded to 0000001a") {
			if h.Root.String()[:10] != "1-0000001a" {
				t.Errorf("%q: root %v", header, h.Root)
			}
		} else if !strings.Contains(lower, "root="+h.Root.String()) {
			t.Errorf("%q: root %v", header, h.Root)
		}
		if _, lineage, ok := strings.Cut(lower, "lineage="); ok && h.Lineage != lineage {
			t.Errorf("%q: lineage %q", header, h.Lineage)
		}
		if strings.Contains(header, "Foo=") && (len(h.Extra) != 1 || h.Extra[0].Key != "Foo") {
			t.Errorf("%q: extra fields %v", header, h.Extra)
		}
	}
	if counts["valid"] < 10 || counts["odd"] < 10 || counts["invalid"] < 10 {
		t.Errorf("only %v headers tested", counts)
	}

	exchanges, err := filepath.Glob(filepath.Join(dir, "sdk-output/*/http-middleware-trace-header-exchange-*.json"))
	if err != nil || len(exchanges) == 0 {
		t.Fatalf("no exchanges: %v", err)
	}
	for _, file := range exchanges {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"x-amzn-trace-id": "([^"]*)"`).FindAllSubmatch(text, -1) {
			header := string(m[1])
			if _, err := ParseTraceHeader(header); (err == nil) != strings.Contains(header, "Root=") {
				t.Errorf("%q: error %v", header, err)
			}
		}
	}
}
