package xrayapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/sharedtest"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// exchange is a recorded call of the real service.
type exchange struct {
	Label     string
	Operation string
	Path      string
	Request   json.RawMessage
	Response  struct {
		Code       string
		HTTPStatus int `json:"http_status"`
		Body       json.RawMessage
	}
}

func (e *exchange) play(t *testing.T, f *fixture, path string) {
	t.Helper()
	status, code, answer := f.post(t, path, string(e.Request))
	if want := compact(t, e.Response.Body); status != e.Response.HTTPStatus || answer != want {
		t.Errorf("%s %s:\n got %d %s\nwant %d %s", e.Operation, e.Label, status, answer, e.Response.HTTPStatus, want)
	}
	if want := e.Response.Code; want != "Success" && code != want {
		t.Errorf("%s %s: x-amzn-errortype %q, want %q", e.Operation, e.Label, code, want)
	}
}

// TestRecordedPuts plays recorded PutTraceSegments calls and wants the very
// bytes that the service answered with.
func TestRecordedPuts(t *testing.T) {
	var calls []exchange
	readJSON(t, filepath.Join(sharedtest.Path(t, "corpus/native-aws"), "puttracesegments-validation-matrix.json"), &calls)
	if len(calls) < 7 {
		t.Fatalf("%d calls", len(calls))
	}
	for _, limits := range []bool{false, true} {
		f := serve(t, nil, func(c *xrayapi.Config) { c.AWSLimits = limits })
		for _, e := range calls {
			e.play(t, f, "/TraceSegments")
		}
	}
}

func TestRecordedReads(t *testing.T) {
	var calls []exchange
	readJSON(t, filepath.Join(sharedtest.Path(t, "corpus/native-aws"), "batchgettraces-assembly-and-in-progress-sequence.json"), &calls)
	f := serve(t, nil, nil)
	paths := map[string]string{"PutTraceSegments": "/TraceSegments", "BatchGetTraces": "/Traces"}
	for _, e := range calls {
		e.play(t, f, paths[e.Operation])
	}
}

func TestRecordedGroups(t *testing.T) {
	var calls []exchange
	readJSON(t, filepath.Join(sharedtest.Path(t, "corpus/native-aws"), "groups-edge-matrix.json"), &calls)
	f := serveGroups(t, "", nil)
	suffix := regexp.MustCompile(`/[A-Z2-7]{52}"`)
	played := 0
	for _, e := range calls {
		switch e.Operation {
		case "GetGroup", "GetGroups":
			e.play(t, f.fixture, e.Path)
			played++
		case "CreateGroup":
			// The end of the ARN is random.
			status, _, answer := f.post(t, e.Path, string(e.Request))
			got, want := suffix.ReplaceAllString(answer, `/X"`), suffix.ReplaceAllString(compact(t, e.Response.Body), `/X"`)
			if status != e.Response.HTTPStatus || got != want {
				t.Errorf("CreateGroup:\n got %d %s\nwant %d %s", status, got, e.Response.HTTPStatus, want)
			}
			played++
		}
	}
	if played < 3 {
		t.Errorf("played %d calls", played)
	}
}

// TestRecordedSummary compares the summary of a recorded trace, key by key.
func TestRecordedSummary(t *testing.T) {
	var rec struct {
		Put     []string
		Summary map[string]json.RawMessage `json:"real_summary_extract"`
	}
	readJSON(t, filepath.Join(sharedtest.Path(t, "corpus/native-aws"), "traced-downstream-missing-summary-and-graph.json"), &rec)
	f := serve(t, nil, nil)
	f.put(t, rec.Put...)
	_, _, answer := f.post(t, "/TraceSummaries", `{"StartTime":1790159365,"EndTime":1790159366}`)
	var got struct{ TraceSummaries []map[string]json.RawMessage }
	if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got.TraceSummaries) != 1 {
		t.Fatalf("%v: %s", err, answer)
	}
	for key, want := range rec.Summary {
		have, ok := got.TraceSummaries[0][key]
		if !ok || string(have) != compact(t, want) {
			t.Errorf("%s is %s, want %s", key, have, compact(t, want))
		}
	}
}

// TestRecordedRequests sends what real SDKs send, headers and all.
func TestRecordedRequests(t *testing.T) {
	dir := sharedtest.Path(t, "corpus/api-requests")
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if len(files) < 20 {
		t.Fatalf("%d files", len(files))
	}
	f := serve(t, nil, func(c *xrayapi.Config) {
		c.Graph = &xrayapi.FakeGraph{}
		c.Selector = func(string) (servicegraph.Selection, error) { return servicegraph.Selection{}, nil }
	})
	for _, file := range files {
		var rec struct {
			Requests []struct {
				Method, Path, Body string
				Headers            map[string]string
			}
		}
		readJSON(t, file, &rec)
		for _, r := range rec.Requests {
			req, err := http.NewRequest(r.Method, f.URL+r.Path, strings.NewReader(r.Body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range r.Headers {
				switch strings.ToLower(k) {
				case "host":
					req.Host = v
				case "content-length", "connection":
				default:
					req.Header.Set(k, v)
				}
			}
			resp, err := f.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			want, other := recordedAnswers[r.Path]
			if !other {
				want = http.StatusOK
			}
			if strings.Contains(r.Body, ":group/d") || strings.Contains(r.Body, `"GroupName":"my-group"`) {
				want = http.StatusBadRequest // there is no such group here
			}
			if resp.StatusCode != want || !json.Valid(body) {
				t.Errorf("%s: %d %s, want %d", filepath.Base(file), resp.StatusCode, body, want)
			}
		}
	}
}

// recordedAnswers are the statuses of recorded requests that do not succeed here.
var recordedAnswers = map[string]int{
	"/UpdateGroup":         http.StatusBadRequest, // the recorded one has an empty FilterExpression
	"/ListTagsForResource": http.StatusNotFound,   // there is no such group here
}
