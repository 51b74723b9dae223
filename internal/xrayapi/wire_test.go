package xrayapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

const (
	violation  = `{"message":"1 validation error detected: `
	constraint = ` failed to satisfy constraint: `
	badJSON    = "The request body is not valid JSON: "
)

// TestRequests holds what is answered to requests of every kind, byte for byte.
func TestRequests(t *testing.T) {
	f := serve(t, nil, nil)
	f.put(t, `{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000aa","name":"till","start_time":1000.5,"end_time":1002}`)
	long := func(n int) string { return strings.Repeat("é", n) }
	invalid := func(message string) string { return `{"Message":"` + message + `"}` }
	for _, c := range []struct {
		name, path, body string
		status           int
		code, answer     string
	}{
		{"empty body", "/TraceSegments", "", 400, "ValidationException", violation + `Value null at 'traceSegmentDocuments'` + constraint + `Member must not be null"}`},
		{"white space", "/TraceSegments", " \r\n\t", 400, "ValidationException", violation + `Value null at 'traceSegmentDocuments'` + constraint + `Member must not be null"}`},
		{"null body", "/GetSamplingRules", "null", 200, "", ""},
		{"text", "/TraceSegments", "hello", 400, "SerializationException", invalid(badJSON + "unexpected 'h', want a value at byte 0")},
		{"torn", "/TraceSegments", `{"TraceSegmentDocuments":["`, 400, "SerializationException", invalid(badJSON + "unexpected end of a string at byte 27")},
		{"more", "/Traces", `{"TraceIds":[]} x`, 400, "SerializationException", invalid(badJSON + "more data after the request at byte 16")},
		{"array", "/Traces", `[]`, 400, "SerializationException", invalid("Start of list found where not expected")},
		{"number", "/Traces", `1`, 400, "SerializationException", invalid("Expected null")},
		{"string for a list", "/Traces", `{"TraceIds":"x"}`, 400, "SerializationException", invalid("Expected list or null")},
		{"object for a list", "/Traces", `{"TraceIds":{}}`, 400, "SerializationException", invalid("Start of structure or map found where not expected.")},
		{"list for a string", "/Traces", `{"TraceIds":[["x"]]}`, 400, "SerializationException", invalid("Start of list found where not expected")},
		{"boolean for a string", "/Traces", `{"TraceIds":[true]}`, 400, "SerializationException", invalid("TRUE_VALUE can not be converted to a String")},
		{"too deep", "/Traces", `{"x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, 400, "SerializationException", invalid(badJSON + "nesting too deep at byte 205")},
		{"control character", "/Traces", "{\"TraceIds\":[\"a\nb\"]}", 400, "SerializationException", invalid(badJSON + "control character in a string at byte 15")},

		{"null document", "/TraceSegments", `{"TraceSegmentDocuments":[null]}`, 400, "ValidationException", violation + `Value null at 'traceSegmentDocuments.1.member'` + constraint + `Member must not be null"}`},
		{"empty list", "/TraceSegments", `{"TraceSegmentDocuments":[]}`, 400, "InvalidRequestException", invalid("Segments can not be empty")},
		{"unknown keys", "/TraceSegments", `{"Nonsense":{"a":[1,{"b":null}]},"TraceSegmentDocuments":["{"],"tracesegmentdocuments":1}`, 200, "",
			`{"UnprocessedTraceSegments":[{"ErrorCode":"ParseError","Id":null,"Message":"Invalid segment. ErrorCode: ParseError"}]}`},
		{"last key wins", "/TraceSegments", `{"TraceSegmentDocuments":["[]"],"TraceSegmentDocuments":["{\"id\":\"\\ud800x\"}"]}`, 200, "",
			`{"UnprocessedTraceSegments":[{"ErrorCode":"InvalidId","Id":"` + "\uFFFD" + `x","Message":"Invalid segment. ErrorCode: InvalidId"}]}`},
		{"too many documents", "/TraceSegments", `{"TraceSegmentDocuments":[` + strings.Repeat(`"",`, 10_000) + `""]}`, 400, "InvalidRequestException", invalid("Exceeding maximum segment count: 10000")},
		{"too many documents, oddly written", "/TraceSegments", `{"x":0,"TraceSegmentDocuments":[` + strings.Repeat(`"",`, 30_000) + `""]}`, 400, "InvalidRequestException", invalid("Exceeding maximum segment count: 10000")},

		{"unknown trace", "/Traces", `{"TraceIds":["1-6ab38001-ffffffffffffffffffffffff"]}`, 200, "", `{"NextToken":null,"Traces":[],"UnprocessedTraceIds":[]}`},
		{"no traces", "/Traces", `{"TraceIds":[],"NextToken":null}`, 200, "", `{"NextToken":null,"Traces":[],"UnprocessedTraceIds":[]}`},
		{"trace", "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567"]}`, 200, "",
			`{"NextToken":null,"Traces":[{"Duration":1.5,"Id":"1-6ab38001-0123456789abcdef01234567","LimitExceeded":false,"Segments":[{"Document":"{\"id\":\"00000000000000aa\",\"name\":\"till\",\"start_time\":1000.5,\"trace_id\":\"1-6ab38001-0123456789abcdef01234567\",\"end_time\":1002.0}","Id":"00000000000000aa"}]}],"UnprocessedTraceIds":[]}`},
		{"no id list", "/Traces", `{"TraceIds":null}`, 400, "ValidationException", violation + `Value null at 'traceIds'` + constraint + `Member must not be null"}`},
		{"empty id", "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567",""]}`, 400, "ValidationException", violation + `Value '' at 'traceIds.2.member'` + constraint + `Member must have length greater than or equal to 1"}`},
		{"long id", "/Traces", `{"TraceIds":["` + long(36) + `"]}`, 400, "ValidationException", violation + `Value '` + long(36) + `' at 'traceIds.1.member'` + constraint + `Member must have length less than or equal to 35"}`},
		{"longest id", "/Traces", `{"TraceIds":["` + long(35) + `"]}`, 400, "InvalidRequestException", invalid("Invalid trace id " + long(35) + ": incorrect id format")},
		{"bad id", "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef0123456"]}`, 400, "InvalidRequestException", invalid("Invalid trace id 1-6ab38001-0123456789abcdef0123456: incorrect id format")},
		{"duplicate ids", "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567","1-6ab38001-0123456789abcdef01234567"]}`, 400, "InvalidRequestException", invalid("Containing duplicate trace ids")},
		{"one id in two forms", "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567","6AB380010123456789abcdef01234567"]}`, 400, "InvalidRequestException", invalid("Containing duplicate trace ids")},
		{"foreign token", "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567"],"NextToken":"x"}`, 400, "InvalidRequestException", invalid("NextToken is currently not supported")},
		{"empty token", "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567"],"NextToken":""}`, 400, "InvalidRequestException", invalid("NextToken is currently not supported")},
		{"many ids", "/Traces", `{"TraceIds":[` + strings.Repeat(`"x",`, 100) + `"x"]}`, 400, "InvalidRequestException", invalid("Exceeding maximum query size: 100")},

		{"no window", "/TraceSummaries", `{}`, 400, "ValidationException",
			`{"message":"2 validation errors detected: Value null at 'startTime'` + constraint + `Member must not be null; Value null at 'endTime'` + constraint + `Member must not be null"}`},
		{"ISO time", "/TraceSummaries", `{"StartTime":"2026-01-01T00:00:00Z","EndTime":1}`, 400, "SerializationException", invalid("STRING_VALUE can not be converted to milliseconds since epoch")},
		{"text for a boolean", "/TraceSummaries", `{"StartTime":1,"EndTime":1,"Sampling":"true"}`, 400, "SerializationException", invalid("STRING_VALUE can not be converted to a Boolean")},
		{"number beyond all", "/TraceSummaries", `{"StartTime":1e999,"EndTime":1}`, 400, "SerializationException", invalid("NUMBER_VALUE can not be converted to milliseconds since epoch")},
		{"reversed window", "/TraceSummaries", `{"StartTime":2,"EndTime":1.5}`, 400, "InvalidRequestException", invalid("End time cannot be earlier than start time")},
		{"equal bounds", "/TraceSummaries", `{"StartTime":1000.5,"EndTime":1000.5}`, 200, "", `{"ApproximateTime":1000.0,"NextToken":null,"TraceSummaries":[],"TracesProcessedCount":0}`},
		{"far bounds", "/TraceSummaries", `{"StartTime":-1e300,"EndTime":-1e299,"TimeRangeType":"Service"}`, 200, "", `{"ApproximateTime":-1.0E300,"NextToken":null,"TraceSummaries":[],"TracesProcessedCount":0}`},
		{"summary", "/TraceSummaries", `{"StartTime":1000.5,"EndTime":1000.6}`, 200, "",
			`{"ApproximateTime":1000.0,"NextToken":null,"TraceSummaries":[{"Annotations":{},"AvailabilityZones":[],"Duration":1.5,"EntryPoint":{"AccountId":null,"Name":"till","Names":["till"],"Type":null},` +
				`"ErrorRootCauses":[],"FaultRootCauses":[],"HasError":false,"HasFault":false,"HasThrottle":false,"Http":{"ClientIp":null,"HttpMethod":null,"HttpStatus":null,"HttpURL":null,"UserAgent":null},` +
				`"Id":"1-6ab38001-0123456789abcdef01234567","InstanceIds":[],"IsPartial":false,"MatchedEdge":null,"MatchedEventTime":null,"MatchedService":null,"ResourceARNs":[],"ResponseTime":1.5,"ResponseTimeRootCauses":[],"Revision":1,` +
				`"ServiceIds":[{"AccountId":null,"Name":"till","Names":["till"],"Type":null},{"AccountId":null,"Name":"till","Names":["till"],"Type":"client"}],"StartTime":1000.5,"Users":[]}],"TracesProcessedCount":1}`},
		{"clock", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"TimeRangeType":"Invalid"}`, 400, "ValidationException", violation + `Value 'Invalid' at 'timeRangeType'` + constraint + `Member must satisfy enum value set: [TraceId, Service, Event]"}`},
		{"strategy", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"Sampling":true,"SamplingStrategy":{"Name":"Invalid","Value":0.5}}`, 400, "ValidationException", violation + `Value 'Invalid' at 'samplingStrategy.name'` + constraint + `Member must satisfy enum value set: [FixedRate, PartialScan]"}`},
		{"ignored strategy", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"SamplingStrategy":{"Name":"FixedRate","Value":-7}}`, 200, "", ""},
		{"strategy off", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"Sampling":false,"SamplingStrategy":{"Name":"FixedRate"}}`, 200, "", ""},
		{"partial scan", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"Sampling":true,"SamplingStrategy":{"Name":"PartialScan","Value":9}}`, 200, "", ""},
		{"no strategy", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"Sampling":true,"SamplingStrategy":{}}`, 200, "", ""},
		{"rate missing", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"Sampling":true,"SamplingStrategy":{"Name":"FixedRate"}}`, 400, "InvalidRequestException", invalid("sampling rate must be specified and its value must be between [0, 1]")},
		{"rate too high", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"TimeRangeType":"Event","Sampling":true,"SamplingStrategy":{"Name":"FixedRate","Value":1.01}}`, 400, "InvalidRequestException", invalid("sampling rate must be specified and its value must be between [0, 1]")},
		{"rate and clock", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"Sampling":true,"SamplingStrategy":{"Name":"FixedRate","Value":1}}`, 400, "InvalidRequestException", invalid("Cannot use FixedRate with input time range type: TraceId. Please try using time range type: Event")},
		{"rate and other clock", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"TimeRangeType":"Service","Sampling":true,"SamplingStrategy":{"Name":"FixedRate","Value":0}}`, 400, "InvalidRequestException", invalid("Cannot use FixedRate with input time range type: Service. Please try using time range type: Event")},
		{"text for a double", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"SamplingStrategy":{"Value":"1"}}`, 400, "SerializationException", invalid("STRING_VALUE can not be converted to a Double")},
		{"bad page token", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"NextToken":"a\"b"}`, 400, "InvalidRequestException", invalid(`Invalid token a\"b`)},
		{"empty page token", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"NextToken":""}`, 400, "InvalidRequestException", invalid(`Invalid token `)},
		{"unknown keyword", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"FilterExpression":"fault AND (madeup = 7)"}`, 400, "InvalidRequestException", invalid("Error Location: line 1, position 12 : Invalid input symbol: 'ma'")},
		{"open parenthesis", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"FilterExpression":"((fault)"}`, 400, "InvalidRequestException", invalid("Error Location: line 1, position 9 : missing ')' at end of expression")},
		{"value of another type", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"FilterExpression":"duration = \"slow\""}`, 200, "", ""},
		{"unknown group", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"FilterExpression":"group.name = \"none\""}`, 400, "InvalidRequestException", invalid("Group not found")},
		{"empty filter", "/TraceSummaries", `{"StartTime":1,"EndTime":2,"FilterExpression":" "}`, 200, "", ""},

		{"telemetry", "/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":1499394000,"SegmentsReceivedCount":1.5,"SegmentsSentCount":-1,"SegmentsRejectedCount":2147483648,"BackendConnectionErrors":{}}],"Hostname":"","ResourceARN":"x"}`, 200, "", `{}`},
		{"no telemetry", "/TelemetryRecords", `{}`, 400, "ValidationException", violation + `Value null at 'telemetryRecords'` + constraint + `Member must not be null"}`},
		{"empty telemetry", "/TelemetryRecords", `{"TelemetryRecords":[]}`, 400, "InvalidRequestException", invalid("Telemetry records cannot be empty")},
		{"telemetry without time", "/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":0},{"Timestamp":null}]}`, 400, "ValidationException", violation + `Value null at 'telemetryRecords.2.member.timestamp'` + constraint + `Member must not be null"}`},
		{"null telemetry", "/TelemetryRecords", `{"TelemetryRecords":[null]}`, 400, "ValidationException", violation + `Value null at 'telemetryRecords.1.member'` + constraint + `Member must not be null"}`},
		{"telemetry time as text", "/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":"1"}]}`, 400, "SerializationException", invalid("STRING_VALUE can not be converted to milliseconds since epoch")},
		{"counter as text", "/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":1,"SegmentsSentCount":"1"}]}`, 400, "SerializationException", invalid("STRING_VALUE can not be converted to an Integer")},
		{"long telemetry texts", "/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":1}],"EC2InstanceId":"` + long(21) + `","Hostname":"` + long(256) + `","ResourceARN":"` + long(501) + `"}`, 400, "ValidationException",
			`{"message":"3 validation errors detected: Value '` + long(256) + `' at 'hostname'` + constraint + `Member must have length less than or equal to 255; Value '` +
				long(21) + `' at 'eC2InstanceId'` + constraint + `Member must have length less than or equal to 20; Value '` +
				long(501) + `' at 'resourceARN'` + constraint + `Member must have length less than or equal to 500"}`},

		{"sampling rules", "/GetSamplingRules", `{"NextToken":null}`, 200, "",
			`{"NextToken":null,"SamplingRuleRecords":[{"CreatedAt":0.0,"ModifiedAt":0.0,"SamplingRule":{"Attributes":{},"FixedRate":0.05,"HTTPMethod":"*","Host":"*","Priority":10000,"ReservoirSize":1,"ResourceARN":"*","RuleARN":"arn:aws:xray:us-east-1:000000000000:sampling-rule/Default","RuleName":"Default","ServiceName":"*","ServiceType":"*","URLPath":"*","Version":1}}]}`},
		{"sampling targets", "/SamplingTargets", `{"SamplingStatisticsDocuments":[{"RuleName":"Default","ClientID":"zzzzzzzzzzzzzzzzzzzzzzzz","Timestamp":1,"RequestCount":0,"SampledCount":7},{"RuleName":"gone","ClientID":"zzzzzzzzzzzzzzzzzzzzzzzz","Timestamp":1,"RequestCount":1,"SampledCount":0}]}`, 200, "",
			`{"LastRuleModification":1.0,"SamplingTargetDocuments":[{"FixedRate":0.05,"Interval":null,"ReservoirQuota":null,"ReservoirQuotaTTL":null,"RuleName":"Default"}],"UnprocessedStatistics":[{"ErrorCode":"400","Message":"Unknown rule","RuleName":"gone"}]}`},
		{"no statistics", "/SamplingTargets", `{"SamplingStatisticsDocuments":[],"SamplingBoostStatisticsDocuments":[]}`, 200, "",
			`{"LastRuleModification":1.0,"SamplingTargetDocuments":[],"UnprocessedBoostStatistics":[],"UnprocessedStatistics":[]}`},
		{"bad statistics", "/SamplingTargets", `{"SamplingStatisticsDocuments":[{"RuleName":"Default","ClientID":"","Timestamp":1,"RequestCount":-1,"SampledCount":0}]}`, 400, "ValidationException",
			`{"message":"2 validation errors detected: Value '' at 'samplingStatisticsDocuments.1.member.clientID'` + constraint + `Member must have length greater than or equal to 24; Value '-1' at 'samplingStatisticsDocuments.1.member.requestCount'` + constraint + `Member must have value greater than or equal to 0"}`},

		{"group by both", "/GetGroup", `{"GroupName":"Default","GroupARN":"x"}`, 400, "InvalidRequestException", invalid("Provide either GroupName or GroupARN")},
		{"no such group", "/GetGroup", `{"GroupName":"default"}`, 400, "InvalidRequestException", invalid("Group not found")},
		{"no graph", "/ServiceGraph", `{"StartTime":1,"EndTime":2}`, 501, "NotImplementedException", invalid("This server keeps no service graph")},
		{"unknown path", "/Nonsense", `{}`, 404, "UnknownOperationException", ""},
		{"root", "/", `{}`, 404, "UnknownOperationException", ""},
		{"wrong case", "/tracesegments", `{}`, 404, "UnknownOperationException", ""},
		{"base path", "/some/base/Groups", `{"NextToken":"not-a-valid-token"}`, 400, "InvalidRequestException", invalid("Next Token not supported")},
		{"trailing slash", "/Groups/", `{}`, 200, "", ""},
		{"double slash", "//Groups", `{}`, 200, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, code, answer := f.post(t, c.path, c.body)
			if status != c.status || code != c.code || c.answer != "" && answer != c.answer {
				t.Errorf("got %d %s %s\nwant %d %s %s", status, code, answer, c.status, c.code, c.answer)
			}
			if !json.Valid([]byte(answer)) {
				t.Errorf("no JSON: %s", answer)
			}
		})
	}
	if got := f.reports.Senders(); len(got) != 1 || got[0].Records[0].Timestamp != 1499394000 || got[0].Records[0].Received != 1 || got[0].ResourceARN != "x" {
		t.Errorf("telemetry is %+v", got)
	}
}

// TestAWSLimits holds the answers that AWS's quotas give.
func TestAWSLimits(t *testing.T) {
	now := time.Unix(1000, 0)
	f := serve(t, nil, func(c *xrayapi.Config) { c.AWSLimits, c.Now = true, func() time.Time { return now } })
	docs := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = "{}"
		}
		return putBody(list...)
	}
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/TraceSegments", docs(51), 400, `{"Message":"Exceeding maximum segment count: 50"}`},
		{"/TraceSegments", putBody("[{}]"), 200, `{"UnprocessedTraceSegments":[{"ErrorCode":"ParseError","Id":null,"Message":"Invalid entity. ErrorCode: ParseError"}]}`},
		{"/Traces", `{"TraceIds":["1","2","3","4","5","6"]}`, 400, `{"Message":"Exceeding maximum query size: 5"}`},
		{"/TraceSegments", `{"TraceSegmentDocuments":["` + strings.Repeat("x", 9<<20) + `"]}`, 413, `{"Message":"The request body is larger than 8 MB"}`},
	} {
		if status, _, answer := f.post(t, c.path, c.body); status != c.status || answer != c.want {
			t.Errorf("%s: %d %s, want %d %s", c.path, status, answer, c.status, c.want)
		}
	}
	throttled := 0
	for range 60 {
		if status, code, answer := f.post(t, "/TraceSegments", docs(50)); status == 429 {
			throttled++
			if code != "ThrottledException" || answer != `{"Message":"Rate exceeded"}` {
				t.Fatalf("%s %s", code, answer)
			}
		}
	}
	// 2,600 a second: 52 calls of 50, the last of which goes beyond it by the one
	// document above.
	if throttled != 8 {
		t.Errorf("%d of 60 calls were throttled", throttled)
	}
}

// TestHeaders holds the headers of answers, as they stand on the wire.
func TestHeaders(t *testing.T) {
	f := serve(t, nil, nil)
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "/EncryptionConfig", "", `HTTP/1.1 200 OK
Content-Length: 67
Content-Type: application/json
Date: D
X-Content-Type-Options: nosniff
x-amzn-RequestId: ID`},
		{"POST", "/TraceSegments", `{}`, `HTTP/1.1 400 Bad Request
Content-Length: 134
Content-Type: application/json
Date: D
X-Content-Type-Options: nosniff
x-amzn-RequestId: ID
x-amzn-errortype: ValidationException`},
		{"GET", "/TraceSegments", ``, `HTTP/1.1 405 Method Not Allowed
Allow: POST
Content-Length: 54
Content-Type: application/json
Date: D
X-Content-Type-Options: nosniff
x-amzn-RequestId: ID
x-amzn-errortype: MethodNotAllowedException`},
	} {
		head, _ := rawRequest(t, f, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", c.method, c.path, len(c.body), c.body))
		head = regexp.MustCompile(`(?m)^Date: .*$`).ReplaceAllString(head, "Date: D")
		head = regexp.MustCompile(`(?m)^(x-amzn-RequestId): [0-9a-f-]{36}$`).ReplaceAllString(head, "$1: ID")
		lines := strings.Split(head, "\n")
		if got := strings.Join(sortedTail(lines), "\n"); got != c.want {
			t.Errorf("%s %s:\n%s\nwant\n%s", c.method, c.path, got, c.want)
		}
	}
}

func TestStoreErrors(t *testing.T) {
	s := &faultyStore{Store: memstore.New()}
	f := serve(t, s, nil)
	doc := putBody(`{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000aa","name":"till","start_time":1,"end_time":2}`)
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{tracestore.ErrOverloaded, 429, "ThrottledException"},
		{fmt.Errorf("write: %w", tracestore.ErrNoSpace), 503, "ServiceUnavailableException"},
		{tracestore.ErrUnavailable, 503, "ServiceUnavailableException"},
		{tracestore.ErrClosed, 503, "ServiceUnavailableException"},
		{context.DeadlineExceeded, 503, "ServiceUnavailableException"},
		{tracestore.ErrCorrupt, 500, "InternalFailure"},
		{io.ErrClosedPipe, 500, "InternalFailure"},
	} {
		s.write, s.read = c.err, c.err
		for _, call := range [][2]string{{"/TraceSegments", doc}, {"/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567"]}`}} {
			status, code, answer := f.post(t, call[0], call[1])
			if status != c.status || code != c.code || !json.Valid([]byte(answer)) || strings.Contains(answer, "closed pipe") {
				t.Errorf("%v on %s: %d %s %s", c.err, call[0], status, code, answer)
			}
		}
	}
	// No answer at all is better than a lie.
	s.write = context.Canceled
	if resp, err := f.Client().Post(f.URL+"/TraceSegments", "", strings.NewReader(doc)); err == nil {
		resp.Body.Close()
		t.Errorf("a cancelled call was answered with %s", resp.Status)
	}
}

// TestPanic checks that a bug answers 500 and keeps the server up.
func TestPanic(t *testing.T) {
	f := serve(t, nil, func(c *xrayapi.Config) { c.Query = nil })
	status, code, answer := f.post(t, "/Traces", `{"TraceIds":["1-6ab38001-0123456789abcdef01234567"]}`)
	if status != http.StatusInternalServerError || code != "InternalFailure" || strings.Contains(answer, "goroutine") {
		t.Errorf("%d %s %s", status, code, answer)
	}
}

// TestSampling checks FixedRate: the same share of the traces every time.
func TestSampling(t *testing.T) {
	f := serve(t, nil, nil)
	const n = 2000
	docs := make([]string, n)
	for i := range docs {
		docs[i] = fmt.Sprintf(`{"trace_id":"1-6ab38001-%024x","id":"00000000000000aa","name":"n","start_time":1,"end_time":2}`, i)
	}
	f.put(t, docs...)
	count := func(rate string) (int, map[string]bool) {
		ids := map[string]bool{}
		token := ""
		for {
			_, _, answer := f.post(t, "/TraceSummaries", `{"StartTime":1795350000,"EndTime":1795360000,"TimeRangeType":"Event","Sampling":true,"SamplingStrategy":{"Name":"FixedRate","Value":`+rate+`}`+token+`}`)
			var page struct {
				TraceSummaries []struct{ Id string }
				NextToken      *string
			}
			if err := json.Unmarshal([]byte(answer), &page); err != nil {
				t.Fatal(err)
			}
			for _, s := range page.TraceSummaries {
				if ids[s.Id] {
					t.Fatalf("%s came twice", s.Id)
				}
				ids[s.Id] = true
			}
			if page.NextToken == nil {
				return len(ids), ids
			}
			token = `,"NextToken":"` + *page.NextToken + `"`
		}
	}
	if got, _ := count("0"); got != 0 {
		t.Errorf("rate 0 gives %d", got)
	}
	if got, _ := count("1"); got != n {
		t.Errorf("rate 1 gives %d", got)
	}
	got, first := count("0.3")
	if got < n*25/100 || got > n*35/100 {
		t.Errorf("rate 0.3 gives %d of %d", got, n)
	}
	_, again := count("0.3")
	_, more := count("0.5")
	for id := range first {
		if !again[id] || !more[id] {
			t.Fatalf("%s is sampled at 0.3 once, and not again or not at 0.5", id)
		}
	}
}

// TestBatchPages reads more than fits on a page.
func TestBatchPages(t *testing.T) {
	f := serve(t, nil, nil)
	f.handler.SetAnswerPage(3 << 20)
	var ids []string
	big := strings.Repeat("0123456789abcde\n", 1<<14) // 256 KB
	for i := range 20 {
		id := fmt.Sprintf("1-6ab38001-%024x", i)
		ids = append(ids, id)
		doc, _ := json.Marshal(map[string]any{"trace_id": id, "id": "00000000000000aa", "name": "n", "start_time": 1, "end_time": 2, "metadata": map[string]string{"x": big}})
		f.put(t, string(doc))
	}
	var seen []string
	token := "null"
	pages := 0
	for {
		list, _ := json.Marshal(ids)
		status, _, answer := f.post(t, "/Traces", `{"TraceIds":`+string(list)+`,"NextToken":`+token+`}`)
		var page struct {
			Traces              []struct{ Id string }
			NextToken           json.RawMessage
			UnprocessedTraceIds []string
		}
		if err := json.Unmarshal([]byte(answer), &page); err != nil || status != 200 {
			t.Fatalf("%d %v", status, err)
		}
		pages++
		for _, tr := range page.Traces {
			seen = append(seen, tr.Id)
		}
		if page.UnprocessedTraceIds == nil {
			t.Error("no UnprocessedTraceIds")
		}
		if token = string(page.NextToken); token == "null" {
			break
		}
		if len(answer) < 3<<20 || len(answer) > 4<<20 {
			t.Errorf("a page of %d bytes", len(answer))
		}
		// The token is bound to the ids.
		if status, _, _ := f.post(t, "/Traces", `{"TraceIds":["`+ids[0]+`"],"NextToken":`+token+`}`); status != 400 {
			t.Errorf("the token for other ids: %d", status)
		}
	}
	if pages != 2 || strings.Join(seen, " ") != strings.Join(ids, " ") {
		t.Errorf("%d pages with %d traces", pages, len(seen))
	}
}
