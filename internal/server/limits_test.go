package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// TestLimitsOf wants the quotas of AWS in its mode only, and there none in place of
// what somebody set.
func TestLimitsOf(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*config.Config)
		want limits
	}{
		"default": {func(*config.Config) {}, limits{
			api: xrayapi.Limits{Documents: 10_000, TraceIDs: 100, GraphNodes: 10_000}, bodyBytes: 64 << 20, documentBytes: 16 << 20,
		}},
		"set": {func(c *config.Config) {
			c.MaxDocuments, c.MaxDocumentRate, c.MaxTraceIDs, c.MaxGraphWindow, c.MaxGraphNodes, c.MaxGroups, c.MaxRules = 1, 2, 3, 4, 11, 5, 6
			c.MaxBody, c.MaxDocument, c.MaxTraceBytes, c.MaxAnnotations = 7, 8, 9, 10
		}, limits{
			api:       xrayapi.Limits{Documents: 1, DocumentRate: 2, TraceIDs: 3, GraphWindow: 4, GraphNodes: 11, Groups: 5, Rules: 6},
			bodyBytes: 7, documentBytes: 8, traceBytes: 9, annotations: 10,
		}},
		"AWS": {func(c *config.Config) { c.AWSLimits = true }, limits{
			api: xrayapi.Limits{
				Documents: 50, DocumentRate: 2600, TraceIDs: 5, GraphWindow: 6 * time.Hour, GraphNodes: 10_000, Groups: 25, Rules: 25,
			},
			bodyBytes: 8 << 20, documentBytes: 128 << 10, traceBytes: 500 << 10, annotations: 50,
		}},
		"AWS, set": {func(c *config.Config) {
			c.AWSLimits = true
			c.MaxDocuments, c.MaxDocumentRate, c.MaxTraceIDs, c.MaxGraphWindow, c.MaxGraphNodes, c.MaxGroups, c.MaxRules = 1, 2, 3, 4, 11, 5, 6
			c.MaxBody, c.MaxDocument, c.MaxTraceBytes, c.MaxAnnotations = 7, 8, 9, 10
		}, limits{
			api:       xrayapi.Limits{Documents: 1, DocumentRate: 2, TraceIDs: 3, GraphTraceIDs: 3, GraphWindow: 4, GraphNodes: 11, Groups: 5, Rules: 6},
			bodyBytes: 7, documentBytes: 8, traceBytes: 9, annotations: 10,
		}},
	} {
		c := config.NewDefault()
		tt.edit(c)
		if got := limitsOf(c); got != tt.want {
			t.Errorf("%s: %+v\nwant %+v", name, got, tt.want)
		}
	}
}

// TestQuotas asks servers with and without each limit for a little more than it
// allows, through the front door.
func TestQuotas(t *testing.T) {
	trace := func(n int, more string) string {
		return fmt.Sprintf(`{"trace_id":"1-5c631180-%024x","id":"%016x","name":"x","start_time":1,"end_time":2%s}`, n, n+1, more)
	}
	ids := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"1-5c631180-%024x"`, i))
		}
		return strings.Join(list, ",")
	}
	many := func(n int) string {
		docs := make([]string, n)
		for i := range docs {
			docs[i] = trace(i, "")
		}
		return putBody(docs...)
	}
	annotations := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"k%03d":%d`, i, i))
		}
		return `,"annotations":{` + strings.Join(list, ",") + `}`
	}
	const tooLarge = `"ErrorCode":"InvalidSegment","Id":"0000000000000001","Message":"Trace Size Exceeded. Reduce the number of segments per trace and the size of your segment documents."`
	for _, tt := range []struct {
		name       string
		set        func(*config.Config) // the limit alone
		path, body string
		before     []string // bodies of PutTraceSegments
		refused    string   // in the answer with the limit, and with AWS's
		aws        string   // where that differs
	}{
		{name: "documents", set: func(c *config.Config) { c.MaxDocuments = 50 }, path: "/TraceSegments", body: many(51), refused: "Exceeding maximum segment count: 50"},
		{name: "document rate", set: func(c *config.Config) { c.MaxDocumentRate = 20 }, path: "/TraceSegments", before: []string{many(50)}, body: many(50), refused: "Rate exceeded", aws: `{"UnprocessedTraceSegments":[]}`},
		{name: "document bytes", set: func(c *config.Config) { c.MaxDocument = 128 << 10 }, path: "/TraceSegments", body: putBody(trace(0, `,"user":"`+strings.Repeat("u", 128<<10)+`"`)), refused: tooLarge},
		{name: "trace bytes", set: func(c *config.Config) { c.MaxTraceBytes = 500 << 10 }, path: "/TraceSegments", before: []string{fill(trace, 1), fill(trace, 2), fill(trace, 3), fill(trace, 4)}, body: putBody(trace(0, `,"user":"`+strings.Repeat("u", 120<<10)+`"`)), refused: tooLarge},
		{name: "body", set: func(c *config.Config) { c.MaxBody, c.MaxDocument = 8<<20, 8<<20 }, path: "/TraceSegments", body: putBody(strings.Repeat("x", 9<<20)), refused: "The request body is larger than 8 MB"},
		{name: "trace ids", set: func(c *config.Config) { c.MaxTraceIDs = 5 }, path: "/Traces", body: `{"TraceIds":[` + ids(6) + `]}`, refused: "Exceeding maximum query size: 5"},
		{name: "trace ids of a graph", set: func(c *config.Config) { c.MaxTraceIDs = 5 }, path: "/TraceGraph", before: []string{many(1)}, body: `{"TraceIds":[` + ids(6) + `]}`, refused: "Exceeding maximum query size: 5", aws: "Currently only one trace Id is supported"},
		{name: "graph window", set: func(c *config.Config) { c.MaxGraphWindow = 6 * time.Hour }, path: "/ServiceGraph", body: `{"StartTime":0,"EndTime":21601}`, refused: "Time range cannot be longer than 6 hours"},
		{name: "statistics window", set: func(c *config.Config) { c.MaxGraphWindow = time.Minute }, path: "/TimeSeriesServiceStatistics", body: `{"StartTime":0,"EndTime":21601}`, refused: "Time range cannot be longer than 1m0s", aws: "Time range cannot be longer than 6 hours"},
		{name: "annotations shown", set: func(c *config.Config) { c.MaxAnnotations = 50 }, path: "/TraceSummaries", before: []string{putBody(trace(0, annotations(51)))}, body: `{"StartTime":0,"EndTime":10}`, refused: `"k049":[{"AnnotationValue":{"BooleanValue":null,"NumberValue":49.0,"StringValue":null},"ServiceIds":null}]},"AvailabilityZones"`},
		{name: "annotations found", set: func(c *config.Config) { c.MaxAnnotations = 50 }, path: "/TraceSummaries", before: []string{putBody(trace(0, annotations(51)))}, body: `{"StartTime":0,"EndTime":10,"FilterExpression":"annotation.k050 = 50"}`, refused: `"TraceSummaries":[]`},
		{name: "annotations found in braces", set: func(c *config.Config) { c.MaxAnnotations = 50 }, path: "/TraceSummaries", before: []string{putBody(trace(0, annotations(51)))}, body: `{"StartTime":0,"EndTime":10,"FilterExpression":"service(\"x\") { annotation.k050 = 50 }"}`, refused: `"TraceSummaries":[]`},
		{name: "annotations missed", set: func(c *config.Config) { c.MaxAnnotations = 50 }, path: "/TraceSummaries", before: []string{putBody(trace(0, annotations(51)))}, body: `{"StartTime":0,"EndTime":10,"FilterExpression":"!annotation.k050"}`, refused: `"TraceSummaries":[{`},
		{name: "insights", path: "/InsightSummaries", body: `{"GroupName":"Default","StartTime":1,"EndTime":2}`, refused: "more than 30 days ago"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask := func(edit func(*config.Config)) string {
				s := start(t, nil, edit)
				for _, body := range tt.before {
					if status, answer, _ := do(t, "POST", s.URL()+"/TraceSegments", body); status != 200 || answer != `{"UnprocessedTraceSegments":[]}` {
						t.Fatalf("before: %d %s", status, answer)
					}
				}
				_, answer, _ := do(t, "POST", s.URL()+tt.path, tt.body)
				return answer
			}
			if answer := ask(nil); strings.Contains(answer, tt.refused) {
				t.Errorf("without the limit: %.300s", answer)
			}
			if tt.set != nil {
				if answer := ask(tt.set); !strings.Contains(answer, tt.refused) {
					t.Errorf("with the limit: %.300s", answer)
				}
			}
			want := tt.refused
			if tt.aws != "" {
				want = tt.aws
			}
			if answer := ask(func(c *config.Config) { c.AWSLimits = true }); !strings.Contains(answer, want) {
				t.Errorf("with AWS's limits: %.300s", answer)
			}
		})
	}
}

// fill is a put that adds 100 KB to trace 0.
func fill(trace func(int, string) string, n int) string {
	doc := trace(0, `,"user":"`+strings.Repeat("u", 100<<10)+`"`)
	return putBody(strings.Replace(doc, `"id":"0000000000000001"`, fmt.Sprintf(`"id":"%016x"`, 100+n), 1))
}

// TestTraceIsFull wants a full trace to say so.
func TestTraceIsFull(t *testing.T) {
	s := start(t, nil, func(c *config.Config) { c.MaxTraceBytes = 300 })
	one := `{"trace_id":"1-5c631180-000000000000000000000001","id":"0000000000000001","name":"x","start_time":1,"end_time":2,"user":"` + strings.Repeat("u", 120) + `"}`
	two := strings.Replace(one, `"id":"0000000000000001"`, `"id":"0000000000000002"`, 1)
	for _, c := range []struct{ body, want string }{
		{putBody(one), `{"UnprocessedTraceSegments":[]}`},
		{putBody(two), `Trace Size Exceeded`},
	} {
		if _, answer, _ := do(t, "POST", s.URL()+"/TraceSegments", c.body); !strings.Contains(answer, c.want) {
			t.Errorf("put answered %s", answer)
		}
	}
	if _, answer, _ := do(t, "POST", s.URL()+"/Traces", `{"TraceIds":["1-5c631180-000000000000000000000001"]}`); !strings.Contains(answer, `"LimitExceeded":true`) || strings.Contains(answer, "0000000000000002") {
		t.Errorf("the trace: %s", answer)
	}
	// They are kept a moment after the answer.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		_, answer, _ := do(t, "GET", s.URL()+"/api/dead-letters", "")
		if strings.Contains(answer, "raise max-trace-bytes") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("dead letters: %s", answer)
		}
	}
}
