package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// daemonHeaders makes a client of the AWS SDK for Go send what the X-Ray daemon
// sends, which is built on that SDK: a time stamp with nine decimals and a
// longer user agent, under the signature.
func daemonHeaders(stack *middleware.Stack) error {
	return stack.Build.Add(middleware.BuildMiddlewareFunc("daemon", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok {
			now := time.Now()
			r.Header.Set("X-Amzn-Xray-Timestamp", fmt.Sprintf("%d.%09d", now.Unix(), now.Nanosecond()))
			r.Header.Set("User-Agent", r.Header.Get("User-Agent")+" xray-agent/xray-daemon/3.6.6 exec-env/UNKNOWN OS/linux-amd64")
		}
		return next.HandleBuild(ctx, in)
	}), middleware.After)
}

// TestDaemonUploads sends what a daemon in front of Roentgen sends: batches of
// 50 documents as they came by UDP, checked by nobody, and its telemetry.
func TestDaemonUploads(t *testing.T) {
	s := serve(t)
	client := goClient(s)
	asDaemon := func(o *xray.Options) { o.APIOptions = append(o.APIOptions, daemonHeaders) }

	now := time.Now().Unix()
	id := fmt.Sprintf("1-%08x-0000000000000000dae30000", now)
	batch := []string{fmt.Sprintf(`{"trace_id":%q,"id":"dae3000000000000","name":"root","start_time":%d.5,"end_time":%d.75}`+"\n", id, now-3, now)}
	for i := 1; i < 49; i++ {
		batch = append(batch, fmt.Sprintf(`{"trace_id": %q, "id": "dae30000000000%02x", "parent_id": "dae3000000000000", "type": "subsegment", "name": "part %d", "start_time": %d.5, "end_time": %d.625, "in_progress": false}`, id, i, i, now-2, now-2))
	}
	batch = append(batch, `{"trace_id":"garbled`)
	out, err := client.PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: batch}, asDaemon)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.UnprocessedTraceSegments) != 1 || aws.ToString(out.UnprocessedTraceSegments[0].ErrorCode) != "ParseError" || out.UnprocessedTraceSegments[0].Id != nil {
		t.Errorf("unprocessed = %+v, want the garbled document alone", out.UnprocessedTraceSegments)
	}
	got, _ := s.get(t, id)
	var docs [][]byte
	for _, doc := range batch[:49] {
		docs = append(docs, []byte(doc))
	}
	if problems := compare(t, got, docs); len(problems) > 0 {
		t.Error(strings.Join(problems, "\n"))
	}

	record := types.TelemetryRecord{
		Timestamp: aws.Time(time.Now()), SegmentsReceivedCount: aws.Int32(50), SegmentsSentCount: aws.Int32(50),
		SegmentsRejectedCount: aws.Int32(1), SegmentsSpilloverCount: aws.Int32(0),
		BackendConnectionErrors: &types.BackendConnectionErrors{
			TimeoutCount: aws.Int32(0), ConnectionRefusedCount: aws.Int32(0), HTTPCode4XXCount: aws.Int32(0),
			HTTPCode5XXCount: aws.Int32(0), UnknownHostCount: aws.Int32(0), OtherCount: aws.Int32(0),
		},
	}
	if _, err := client.PutTelemetryRecords(t.Context(), &xray.PutTelemetryRecordsInput{
		EC2InstanceId: aws.String(""), Hostname: aws.String(""), ResourceARN: aws.String(""),
		TelemetryRecords: slices.Repeat([]types.TelemetryRecord{record}, 10),
	}, asDaemon); err != nil {
		t.Error(err)
	}
}

// TestProxiedSamplingCalls sends the sampling calls as the SDKs put them on the
// daemon's TCP port, each with its oddity.
func TestProxiedSamplingCalls(t *testing.T) {
	s := serve(t)
	const dummy = "AWS4-HMAC-SHA256 Credential=dummy/20261122/us-west-2/xray/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date, " +
		"Signature=0000000000000000000000000000000000000000000000000000000000000000"
	report := fmt.Sprintf(`{"SamplingStatisticsDocuments":[{"ClientID":"0123456789abcdef01234567","RuleName":"Default","RequestCount":5,"SampledCount":2,"BorrowCount":1,"Timestamp":%d}]}`, time.Now().Unix())
	for _, test := range []struct {
		name, path, body string
		header           []string
	}{
		{"go", "/GetSamplingRules", `{"NextToken":null}`, nil},
		{"node", "/GetSamplingRules", `{}`, []string{"Content-Type", "application/json"}},
		{"dotnet", "/GetSamplingRules", ``, nil},
		{"python", "/GetSamplingRules", `{}`, []string{"Content-Type", "application/json", "User-Agent", "Botocore/1.44.5"}},
		{"ruby", "/GetSamplingRules", `{}`, []string{"Content-Type", "application/json", "Authorization", dummy, "X-Amz-Date", "20261122T000000Z"}},
		{"go", "/SamplingTargets", report, nil},
		{"node", "/SamplingTargets", report, []string{"Content-Type", "application/json"}},
		{"ruby", "/SamplingTargets", report, []string{"Content-Type", "application/json", "Authorization", dummy}},
	} {
		t.Run(test.name+test.path, func(t *testing.T) {
			// Go's client adds no content type of its own to a request with a body.
			status, header, body := s.call(t, test.path, test.body, test.header...)
			if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
				t.Fatalf("%d %s: %s", status, header.Get("Content-Type"), body)
			}
			if test.path == "/SamplingTargets" {
				var out struct {
					SamplingTargetDocuments []struct {
						RuleName  string
						FixedRate *float64
					}
					UnprocessedStatistics []any
					LastRuleModification  *float64
				}
				if err := json.Unmarshal([]byte(body), &out); err != nil {
					t.Fatal(err)
				}
				if len(out.SamplingTargetDocuments) != 1 || out.SamplingTargetDocuments[0].RuleName != "Default" || out.SamplingTargetDocuments[0].FixedRate == nil || out.LastRuleModification == nil {
					t.Errorf("answer %s", body)
				}
				return
			}
			v, err := parseJSON([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			records, _ := v.(object)["SamplingRuleRecords"].([]any)
			if len(records) == 0 {
				t.Fatalf("no rules in %s", body)
			}
			last, _ := records[len(records)-1].(object)["SamplingRule"].(object)
			for key, want := range (object{"RuleName": "Default", "ResourceARN": "*", "ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*"}) {
				if last[key] != want {
					t.Errorf("%s = %v, want %v", key, last[key], want)
				}
			}
			for _, key := range []string{"Priority", "ReservoirSize", "Version"} {
				// The Go SDK reads these into integers and fails on 1.0.
				if n, ok := last[key].(json.Number); !ok || strings.ContainsAny(n.String(), ".eE") {
					t.Errorf("%s = %v, want an integer without fraction", key, last[key])
				}
			}
			if attributes, ok := last["Attributes"].(object); !ok || len(attributes) != 0 {
				t.Errorf("Attributes = %v, want {}", last["Attributes"])
			}
		})
	}
}

// TestSDKsSampleByOurRules runs each SDK with its own sampling until it takes a
// trace for a rule that it fetched from the server.
func TestSDKsSampleByOurRules(t *testing.T) {
	for _, k := range sdks {
		t.Run(k.name, func(t *testing.T) {
			k.command(t)
			s := serve(t)
			id := k.run(t, environment("AWS_XRAY_DAEMON_ADDRESS="+s.Address), "ruled")["ruled"]
			eventually(t, "the trace arrived", func() bool {
				got, ok := s.get(t, id)
				return ok && len(got.Segments) == 1
			})
			got, _ := s.get(t, id)
			doc := got.Segments[0].Document
			if !strings.Contains(doc, `rule_name":"Default"`) {
				t.Errorf("the segment does not say that the rule Default took it: %s", doc)
			}
		})
	}
}

// TestDatagrams sends what the daemon takes and what it drops. The good ones
// among them must arrive.
func TestDatagrams(t *testing.T) {
	s := serve(t)
	conn, err := net.Dial("udp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	now := time.Now().Unix()
	id := func(n int) string { return fmt.Sprintf("1-%08x-00000000000000000da7a%03x", now, n) }
	doc := func(n int, more string) string {
		return fmt.Sprintf(`{"trace_id":%q,"id":"0da7a%011x","name":"datagram","start_time":%d.5,"end_time":%d.5%s}`, id(n), n, now-1, now, more)
	}
	big := `,"metadata":{"default":{"fill":"` + strings.Repeat("x", 64_000) + `"}}`
	tests := []struct {
		name, datagram string
		stored         bool
	}{
		{"tight header", `{"format":"json","version":1}` + "\n" + doc(1, ""), true},
		{"spaces in the header", `{ "format" : "json" , "version" : 1 }` + "\n" + doc(2, ""), true},
		{"format in upper case", `{"format":"JSON","version":1}` + "\n" + doc(3, ""), true},
		{"keys the other way round", `{"version": 1, "format": "json"}` + "\n" + doc(4, ""), true},
		{"newline at the end", `{"format":"json","version":1}` + "\n" + doc(5, "") + "\n", true},
		{"64 KB", `{"format":"json","version":1}` + "\n" + doc(6, big), true},
		{"no header", doc(7, ""), false},
		{"another format", `{"format":"xml","version":1}` + "\n" + doc(8, ""), false},
		{"another version", `{"format":"json","version":2}` + "\n" + doc(9, ""), false},
		{"header alone", `{"format":"json","version":1}`, false},
		{"empty payload", `{"format":"json","version":1}` + "\n", false},
		{"garbage", "\x00\xff\xfe garbage", false},
		{"nothing", "", false},
		{"last", `{"format":"json","version":1}` + "\n" + doc(14, ""), true},
	}
	for _, test := range tests {
		if _, err := conn.Write([]byte(test.datagram)); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
	}
	eventually(t, "the last datagram arrived", func() bool { _, ok := s.get(t, id(14)); return ok })
	for i, test := range tests {
		if !test.stored {
			if _, ok := s.get(t, id(i+1)); ok {
				t.Errorf("%s: was stored", test.name)
			}
			continue
		}
		eventually(t, test.name+" was stored", func() bool { _, ok := s.get(t, id(i+1)); return ok })
	}
}

// TestOddRequests sends what HTTP clients other than the SDKs may send.
func TestOddRequests(t *testing.T) {
	s := serve(t)
	send := func(t *testing.T, method, path string, body io.Reader, header ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
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
		return resp, string(text)
	}
	now := time.Now().Unix()
	put := fmt.Sprintf(`{"TraceSegmentDocuments":[%q]}`, fmt.Sprintf(`{"trace_id":"1-%08x-00000000000000000000c0de","id":"00000000000c0de0","name":"odd","start_time":%d,"end_time":%d}`, now, now-1, now))

	t.Run("chunked", func(t *testing.T) {
		// A reader of unknown length makes the client send chunks.
		resp, body := send(t, http.MethodPost, "/TraceSegments", io.MultiReader(strings.NewReader(put)))
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"UnprocessedTraceSegments":[]`) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		if got := resp.Header.Get("x-amzn-RequestId"); got == "" {
			t.Error("no request id")
		}
	})
	t.Run("wrong content type", func(t *testing.T) {
		resp, body := send(t, http.MethodPost, "/TraceSegments", strings.NewReader(put), "Content-Type", "text/plain")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	t.Run("answers are not compressed", func(t *testing.T) {
		resp, _ := send(t, http.MethodPost, "/GetSamplingRules", nil, "Accept-Encoding", "gzip, br, zstd")
		if got := resp.Header.Get("Content-Encoding"); got != "" {
			t.Errorf("Content-Encoding = %q", got)
		}
	})
	t.Run("empty body", func(t *testing.T) {
		resp, body := send(t, http.MethodPost, "/TraceSegments", nil)
		want := `{"message":"1 validation error detected: Value null at 'traceSegmentDocuments' failed to satisfy constraint: Member must not be null"}`
		if resp.StatusCode != http.StatusBadRequest || body != want {
			t.Errorf("%d %s, want 400 %s", resp.StatusCode, body, want)
		}
		if got := resp.Header.Get("x-amzn-errortype"); got != "ValidationException" {
			t.Errorf("x-amzn-errortype = %q", got)
		}
	})
	t.Run("not JSON", func(t *testing.T) {
		resp, body := send(t, http.MethodPost, "/TraceSegments", strings.NewReader("<xml/>"))
		if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("x-amzn-errortype") != "SerializationException" {
			t.Errorf("%d %s %s", resp.StatusCode, resp.Header.Get("x-amzn-errortype"), body)
		}
	})
	t.Run("wrong type", func(t *testing.T) {
		resp, body := send(t, http.MethodPost, "/TraceSegments", strings.NewReader(`{"TraceSegmentDocuments":[5]}`))
		if want := `{"Message":"NUMBER_VALUE can not be converted to a String"}`; resp.StatusCode != http.StatusBadRequest || body != want {
			t.Errorf("%d %s, want 400 %s", resp.StatusCode, body, want)
		}
	})
	t.Run("unknown path", func(t *testing.T) {
		resp, body := send(t, http.MethodPost, "/NoSuchOperation", strings.NewReader("{}"))
		if resp.StatusCode < 400 || resp.StatusCode > 499 || !strings.Contains(resp.Header.Get("x-amzn-errortype")+body, "UnknownOperationException") {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	t.Run("wrong method", func(t *testing.T) {
		resp, body := send(t, http.MethodGet, "/TraceSegments", nil)
		if resp.StatusCode < 400 || resp.StatusCode > 499 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	t.Run("a web page elsewhere", func(t *testing.T) {
		resp, body := send(t, http.MethodPost, "/TraceSegments", bytes.NewReader([]byte(put)), "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%d %s, want 403", resp.StatusCode, body)
		}
	})
	t.Run("http/1.0", func(t *testing.T) {
		conn, err := net.Dial("tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /GetSamplingRules HTTP/1.0\r\nHost: %s\r\n\r\n", s.Address)
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(answer), " 200 OK\r\n") || !strings.Contains(string(answer), "SamplingRuleRecords") {
			t.Errorf("%s", answer)
		}
	})
}
