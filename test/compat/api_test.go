package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
)

// checks turns what a client's program printed, a line of JSON for each check,
// into subtests. It fails when there are fewer than atLeast.
func checks(t *testing.T, output string, atLeast int) {
	t.Helper()
	n := 0
	for line := range strings.Lines(output) {
		var c struct {
			Check string
			Error *string
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		n++
		t.Run(c.Check, func(t *testing.T) {
			if c.Error != nil {
				t.Error(*c.Error)
			}
		})
	}
	if n < atLeast {
		t.Errorf("the program reported %d checks, want %d", n, atLeast)
	}
}

func TestBoto3(t *testing.T) {
	py := python(t)
	s := serve(t)
	checks(t, program(t, environment(), py, "python/api.py", s.URL), 11)
}

// TestBoto3Asking asks by filters, graphs, statistics and groups.
func TestBoto3Asking(t *testing.T) {
	py := python(t)
	s := serve(t)
	checks(t, program(t, environment(), py, "python/api.py", s.URL, "asking"), 7)
}

// TestFullDisk asks a server that has no room on its disk, since it is told to
// leave more free than any disk has.
func TestFullDisk(t *testing.T) {
	py := python(t)
	s := serve(t, "--min-free", "1000000GiB")
	checks(t, program(t, environment(), py, "python/api.py", s.URL, "full"), 3)
}

// TestThrottled overwhelms a server that takes in next to nothing at a time.
func TestThrottled(t *testing.T) {
	small := []string{"--max-document", "3KiB", "--max-body", "4KiB", "--max-in-flight", "4KiB"}
	t.Run("boto3", func(t *testing.T) {
		py := python(t)
		s := serve(t, small...)
		checks(t, program(t, environment(), py, "python/api.py", s.URL, "small"), 1)
	})
	t.Run("go", func(t *testing.T) {
		client := goClient(serve(t, small...))
		var throttled atomic.Pointer[types.ThrottledException]
		deadline := time.Now().Add(30 * time.Second)
		var wg sync.WaitGroup
		for worker := range 16 {
			wg.Go(func() {
				for i := 0; throttled.Load() == nil && time.Now().Before(deadline); i++ {
					_, err := client.PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{
						fmt.Sprintf(`{"trace_id":"1-5c631180-00000000000000000000f011","id":"%08x%08x","name":"x","start_time":1,"end_time":2,"metadata":{"fill":%q}}`,
							worker, i, strings.Repeat("x", 2000)),
					}})
					var e *types.ThrottledException
					switch {
					case errors.As(err, &e):
						throttled.Store(e)
					case err != nil:
						t.Errorf("error = %v, want none or a ThrottledException", err)
						return
					}
				}
			})
		}
		wg.Wait()
		if throttled.Load() == nil {
			t.Error("nobody was throttled")
		}
	})
}

// TestAWSLimits asks a server that enforces the quotas of AWS.
func TestAWSLimits(t *testing.T) {
	client := goClient(serve(t, "--aws-limits"))
	ids := make([]string, 6)
	for i := range ids {
		ids[i] = fmt.Sprintf("1-5c631180-%024x", i)
	}
	_, err := client.BatchGetTraces(t.Context(), &xray.BatchGetTracesInput{TraceIds: ids})
	var invalid *types.InvalidRequestException
	if !errors.As(err, &invalid) || invalid.ErrorMessage() != "Exceeding maximum query size: 5" {
		t.Errorf("six ids: error = %v", err)
	}
	out, err := client.PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{
		`[{"trace_id":"1-5c631180-000000000000000000000001","id":"0000000000000001","name":"x","start_time":1,"end_time":2}]`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.UnprocessedTraceSegments) != 1 || aws.ToString(out.UnprocessedTraceSegments[0].ErrorCode) != "ParseError" {
		t.Errorf("an array of documents: %+v", out.UnprocessedTraceSegments)
	}
}

func TestNodeClient(t *testing.T) {
	js := node(t)
	s := serve(t)
	checks(t, program(t, environment(), js, "node/api.mjs", s.URL), 8)
}

// TestAWSCLI does what a person does at a prompt.
func TestAWSCLI(t *testing.T) {
	cli := filepath.Join(filepath.Dir(python(t)), "aws")
	s := serve(t)
	aws := func(args ...string) string {
		t.Helper()
		return program(t, environment(), cli, append([]string{"xray", "--endpoint-url", s.URL, "--output", "json"}, args...)...)
	}

	now := time.Now().Unix()
	id := fmt.Sprintf("1-%08x-00000000000000000000c1a1", now)
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"00000000000c1a1a","name":"prompt","start_time":%d.25,"end_time":%d.75,"annotations":{"by":"hand"}}`, id, now-2, now-2)
	if got := decode[map[string]any](t, aws("put-trace-segments", "--trace-segment-documents", doc)); !reflect.DeepEqual(got, map[string]any{"UnprocessedTraceSegments": []any{}}) {
		t.Errorf("put-trace-segments printed %v", got)
	}

	got := decode[map[string]any](t, aws("put-trace-segments", "--trace-segment-documents", "rubbish", `{"id":"00000000000c1a1b"}`))
	want := []any{
		map[string]any{"Id": nil, "ErrorCode": "ParseError", "Message": "Invalid segment. ErrorCode: ParseError"},
		map[string]any{"Id": "00000000000c1a1b", "ErrorCode": "MissingName", "Message": "Invalid segment. ErrorCode: MissingName"},
	}
	for _, u := range got["UnprocessedTraceSegments"].([]any) {
		if m := u.(map[string]any); m["Id"] == nil {
			m["Id"] = nil // absent and null are alike to the CLI
		}
	}
	if !reflect.DeepEqual(got["UnprocessedTraceSegments"], want) {
		t.Errorf("put-trace-segments of bad documents printed %v, want %v", got["UnprocessedTraceSegments"], want)
	}

	traces := decode[struct{ Traces []traceAnswer }](t, aws("batch-get-traces", "--trace-ids", id)).Traces
	if len(traces) != 1 || traces[0].ID != id || len(traces[0].Segments) != 1 || traces[0].Duration == nil || *traces[0].Duration != 0.5 {
		t.Fatalf("batch-get-traces printed %+v", traces)
	}
	if got, want := decode[any](t, traces[0].Segments[0].Document), decode[any](t, doc); !reflect.DeepEqual(got, want) {
		t.Errorf("document = %v, want %v", got, want)
	}

	summaries := decode[struct {
		TraceSummaries []struct{ ID string }
	}](t, aws("get-trace-summaries", "--start-time", fmt.Sprint(now-60), "--end-time", fmt.Sprint(now+60), "--query", "{TraceSummaries: TraceSummaries[].{ID: Id}}"))
	if len(summaries.TraceSummaries) != 1 || summaries.TraceSummaries[0].ID != id {
		t.Errorf("get-trace-summaries found %+v", summaries)
	}

	window := []string{"--start-time", fmt.Sprint(now - 60), "--end-time", fmt.Sprint(now + 60)}
	for filter, n := range map[string]int{`annotation.by = "hand" AND duration = 0.5`: 1, `service("prompt") { fault }`: 0} {
		args := slices.Concat([]string{"get-trace-summaries"}, window, []string{"--filter-expression", filter})
		if found := decode[struct{ TraceSummaries []any }](t, aws(args...)); len(found.TraceSummaries) != n {
			t.Errorf("%s finds %d traces, want %d", filter, len(found.TraceSummaries), n)
		}
	}

	group := decode[struct {
		Group struct{ GroupName, GroupARN, FilterExpression string }
	}](t, aws("create-group", "--group-name", "hands", "--filter-expression", `annotation.by = "hand"`)).Group
	if group.GroupName != "hands" || group.FilterExpression != `annotation.by = "hand"` || !strings.Contains(group.GroupARN, ":group/hands/") {
		t.Errorf("create-group printed %+v", group)
	}

	// What was put before there was the group is not filed under it.
	again := strings.NewReplacer(id, strings.Replace(id, "c1a1", "c1a2", 1), `"prompt"`, `"reply"`).Replace(doc)
	aws("put-trace-segments", "--trace-segment-documents", again)
	type service struct {
		Name, Type, State string
		SummaryStatistics *struct{ TotalCount int }
	}
	names := func(more ...string) []string {
		var list []string
		answer := decode[struct{ Services []service }](t, aws(slices.Concat([]string{"get-service-graph"}, window, more)...))
		for _, s := range answer.Services {
			text := fmt.Sprintf("%s %s %s", s.Name, s.Type, s.State)
			if s.SummaryStatistics != nil {
				text += fmt.Sprint(" ", s.SummaryStatistics.TotalCount)
			}
			list = append(list, text)
		}
		return list
	}
	all := []string{"prompt  active 1", "prompt client unknown", "reply  active 1", "reply client unknown"}
	eventually(t, "both services are in the graph", func() bool { return slices.Equal(names(), all) })
	if got := names("--group-name", "hands"); !slices.Equal(got, all[2:]) {
		t.Errorf("get-service-graph of the group printed %q, want %q", got, all[2:])
	}

	points := decode[struct {
		TimeSeriesServiceStatistics []struct {
			Timestamp                any
			ServiceSummaryStatistics *struct{ OkCount, TotalCount int }
			ResponseTimeHistogram    []struct {
				Value float64
				Count int
			}
		}
	}](t, aws(slices.Concat([]string{"get-time-series-service-statistics"}, window[:3], []string{fmt.Sprint(now + 600), "--entity-selector-expression", `service("prompt")`, "--period", "300"})...)).TimeSeriesServiceStatistics
	total := 0
	for _, p := range points {
		if p.ServiceSummaryStatistics != nil {
			total += p.ServiceSummaryStatistics.OkCount
			if len(p.ResponseTimeHistogram) != 1 || p.ResponseTimeHistogram[0].Value != 0.5 {
				t.Errorf("histogram: %+v", p.ResponseTimeHistogram)
			}
		}
	}
	if total != 1 {
		t.Errorf("get-time-series-service-statistics printed %+v", points)
	}

	// An error goes to standard error, with status 254, as for any AWS service.
	cmd := exec.Command(cli, "xray", "--endpoint-url", s.URL, "batch-get-traces", "--trace-ids", "rubbish")
	cmd.Env = environment()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 254 && exit.ExitCode() != 255 {
		t.Errorf("batch-get-traces of a bad id ended with %v", err)
	}
	if text := "An error occurred (InvalidRequestException) when calling the BatchGetTraces operation: Invalid trace id rubbish: incorrect id format"; !strings.Contains(string(out), text) {
		t.Errorf("the CLI said %q, want %q", out, text)
	}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}

// goClient returns an AWS client that tries again only what is cut on its own
// side: it closes the body of its request as soon as the head of the answer is
// there, and when net/http is not done with that body yet, which a server as near as
// this one brings about, the connection ends while a large answer is read.
func goClient(s *server) *xray.Client {
	return xray.New(xray.Options{
		Region:       "eu-west-1",
		BaseEndpoint: aws.String(s.URL),
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff = 10, 5*time.Millisecond
			o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
		}),
	})
}

// TestGoClient drives the server with aws-sdk-go-v2.
func TestGoClient(t *testing.T) {
	ctx := t.Context()
	client := goClient(serve(t))
	base := time.Unix(1_550_000_000, 0)

	var docs, ids []string
	for i := range 230 {
		id := fmt.Sprintf("1-5c631180-%024x", i+1)
		start := float64(base.Unix()) + float64(i)/4
		ids = append(ids, id)
		docs = append(docs, fmt.Sprintf(`{"trace_id":%q,"id":"%016x","name":"tram","start_time":%f,"end_time":%f,"throttle":%t,"error":%[5]t}`,
			id, i+1, start, start+1.5, i%10 == 0))
	}
	for batch := range slices.Chunk(docs, 50) {
		out, err := client.PutTraceSegments(ctx, &xray.PutTraceSegmentsInput{TraceSegmentDocuments: batch})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.UnprocessedTraceSegments) != 0 {
			t.Fatalf("refused: %+v", out.UnprocessedTraceSegments)
		}
	}

	t.Run("unprocessed", func(t *testing.T) {
		out, err := client.PutTraceSegments(ctx, &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{`{"id":"00000000000000ff","name":"x"}`, `nope`}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range out.UnprocessedTraceSegments {
			got = append(got, fmt.Sprintf("%s|%s|%s", aws.ToString(u.Id), aws.ToString(u.ErrorCode), aws.ToString(u.Message)))
		}
		want := []string{"00000000000000ff|MissingTraceId|Invalid segment. ErrorCode: MissingTraceId", "|ParseError|Invalid segment. ErrorCode: ParseError"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("summaries", func(t *testing.T) {
		pager := xray.NewGetTraceSummariesPaginator(client, &xray.GetTraceSummariesInput{
			StartTime: aws.Time(base), EndTime: aws.Time(base.Add(time.Hour)), TimeRangeType: types.TimeRangeTypeTraceId,
		})
		var got []string
		pages := 0
		for pager.HasMorePages() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, s := range page.TraceSummaries {
				got = append(got, aws.ToString(s.Id))
				if s.Http == nil || s.EntryPoint == nil || s.IsPartial == nil || s.StartTime == nil {
					t.Errorf("%s: a member that consoles dereference is nil: %+v", aws.ToString(s.Id), s)
				}
				if aws.ToBool(s.HasThrottle) && aws.ToBool(s.HasError) {
					t.Errorf("%s: a throttled trace has both flags", aws.ToString(s.Id))
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, ids) {
			t.Errorf("%d summaries in %d pages, want each of the %d traces once", len(got), pages, len(ids))
		}
		if pages < 2 {
			t.Errorf("%d page", pages)
		}
	})

	t.Run("traces", func(t *testing.T) {
		pager := xray.NewBatchGetTracesPaginator(client, &xray.BatchGetTracesInput{TraceIds: ids[:5]})
		var got []string
		for pager.HasMorePages() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, trace := range page.Traces {
				got = append(got, aws.ToString(trace.Id))
				if d := aws.ToFloat64(trace.Duration); d != 1.5 {
					t.Errorf("Duration = %v, want 1.5", d)
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, ids[:5]) {
			t.Errorf("traces = %q, want %q", got, ids[:5])
		}
	})

	t.Run("typed exception", func(t *testing.T) {
		_, err := client.BatchGetTraces(ctx, &xray.BatchGetTracesInput{TraceIds: []string{"rubbish"}})
		var invalid *types.InvalidRequestException
		if !errors.As(err, &invalid) {
			t.Fatalf("error = %v, want an InvalidRequestException", err)
		}
		if got, want := invalid.ErrorMessage(), "Invalid trace id rubbish: incorrect id format"; got != want {
			t.Errorf("message = %q, want %q", got, want)
		}
	})

	t.Run("telemetry", func(t *testing.T) {
		_, err := client.PutTelemetryRecords(ctx, &xray.PutTelemetryRecordsInput{
			TelemetryRecords: []types.TelemetryRecord{{Timestamp: aws.Time(time.Now()), SegmentsReceivedCount: aws.Int32(4)}},
		})
		if err != nil {
			t.Error(err)
		}
	})
}
