package xrayapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// contractFixture is a handler with everything behind it, in memory.
type contractFixture struct {
	t       *testing.T
	handler *Handler
}

func contractServer(t *testing.T, edit func(*Config)) *contractFixture {
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
	cfg := Config{Ingester: in, Query: query.New(store), Graph: graph, Control: state}
	if edit != nil {
		edit(&cfg)
	}
	return &contractFixture{t, New(cfg)}
}

// post returns status, code and body of an answer.
func (f *contractFixture) post(path, body string) (int, string, string) {
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, httptest.NewRequest("POST", path, strings.NewReader(body)))
	code := ""
	if h := w.Header()["x-amzn-errortype"]; len(h) == 1 {
		code = h[0]
	}
	return w.Code, code, w.Body.String()
}

// mustPost returns the answer to a request that has to succeed.
func (f *contractFixture) mustPost(path, body string) string {
	f.t.Helper()
	status, _, answer := f.post(path, body)
	if status != 200 {
		f.t.Fatalf("%s: %d %s", path, status, answer)
	}
	return answer
}

const (
	sampleTrace    = "1-6ab384fb-000000000000000000000001"
	sampleDocument = `{\"trace_id\":\"` + sampleTrace + `\",\"id\":\"00000000000000a1\",\"name\":\"till\",\"start_time\":1000,\"end_time\":1002,\"fault\":true,\"error\":true,` +
		`\"cause\":{\"exceptions\":[{\"id\":\"00000000000000e1\",\"type\":\"E\",\"message\":\"m\"}]},` +
		`\"user\":\"ada\",\"annotations\":{\"n\":1,\"s\":\"x\",\"b\":true},\"http\":{\"request\":{\"method\":\"GET\",\"url\":\"http://till/\",\"client_ip\":\"1.2.3.4\",\"user_agent\":\"a\"},\"response\":{\"status\":500}},` +
		`\"aws\":{\"ec2\":{\"instance_id\":\"i-1\",\"availability_zone\":\"z\"}},\"resource_arn\":\"arn:x\",` +
		`\"links\":[{\"trace_id\":\"1-6ab384fb-000000000000000000000002\",\"id\":\"00000000000000b1\",\"attributes\":{\"aws.xray.reserved.reference_type\":\"child\"}}],` +
		`\"subsegments\":[{\"id\":\"00000000000000a2\",\"name\":\"bank\",\"namespace\":\"remote\",\"start_time\":1000,\"end_time\":1001.9,\"error\":true}]}`
	// sampleChild answers the call, so that its edge has an alias.
	sampleChild = `{\"trace_id\":\"` + sampleTrace + `\",\"id\":\"00000000000000c1\",\"parent_id\":\"00000000000000a2\",\"name\":\"ledger\",\"origin\":\"AWS::Lambda::Function\",\"aws\":{\"account_id\":\"111122223333\"},\"start_time\":1000,\"end_time\":1001}`
	sampleRule  = `{"RuleName":"r","ResourceARN":"*","Priority":5,"FixedRate":0.5,"ReservoirSize":1,"ServiceName":"*","ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","Version":1}`
	aPolicy     = `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"sns.amazonaws.com\"},\"Action\":[\"xray:PutTraceSegments\"],\"Resource\":\"*\"}]}`
	anInsight   = `"InsightId":"01234567-89ab-4def-8123-456789abcdef"`
)

// sampleAnswers calls every operation and returns its answers, by path.
func sampleAnswers(t *testing.T) map[string][]string {
	t.Helper()
	f := contractServer(t, nil)
	answers := map[string][]string{}
	token := ""
	for _, c := range []struct{ path, body string }{
		{"/TraceSegments", `{"TraceSegmentDocuments":["` + sampleDocument + `","` + sampleChild + `","{","{\"id\":\"zz\"}"]}`},
		{"/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":1}]}`},
		{"/Traces", `{"TraceIds":["` + sampleTrace + `"]}`},
		{"/TraceSummaries", `{"StartTime":0,"EndTime":2000}`},
		{"/TraceSummaries", `{"StartTime":1000000000,"EndTime":9000000000,"TimeRangeType":"Event"}`},
		{"/GetSamplingRules", ``},
		{"/SamplingTargets", `{"SamplingStatisticsDocuments":[{"RuleName":"Default","ClientID":"0123456789abcdef01234567","Timestamp":1,"RequestCount":1,"SampledCount":1},{"RuleName":"x","ClientID":"0123456789abcdef01234567","Timestamp":1,"RequestCount":1,"SampledCount":1}],` +
			`"SamplingBoostStatisticsDocuments":[{"RuleName":"x","ServiceName":"s","Timestamp":1,"AnomalyCount":1,"TotalCount":1,"SampledAnomalyCount":1}]}`},
		{"/CreateSamplingRule", `{"SamplingRule":` + sampleRule + `}`},
		{"/UpdateSamplingRule", `{"SamplingRuleUpdate":{"RuleName":"r","FixedRate":0.25}}`},
		{"/DeleteSamplingRule", `{"RuleName":"r"}`},
		{"/SamplingStatisticSummaries", `{}`},
		{"/CreateGroup", `{"GroupName":"slow","FilterExpression":"duration > 5"}`},
		{"/UpdateGroup", `{"GroupName":"slow","FilterExpression":"duration > 6"}`},
		{"/Groups", `{}`},
		{"/GetGroup", `{"GroupName":"slow"}`},
		{"/DeleteGroup", `{"GroupName":"slow"}`},
		{"/PutEncryptionConfig", `{"Type":"KMS","KeyId":"alias/aws/xray"}`},
		{"/EncryptionConfig", `{}`},
		{"/TraceGraph", `{"TraceIds":["` + sampleTrace + `"]}`},
		{"/ServiceGraph", `{"StartTime":0,"EndTime":2000}`},
		{"/TimeSeriesServiceStatistics", `{"StartTime":0,"EndTime":2000}`},
		{"/UpdateTraceSegmentDestination", `{"Destination":"CloudWatchLogs"}`},
		{"/GetTraceSegmentDestination", `{}`},
		{"/UpdateIndexingRule", `{"Name":"Default","Rule":{"Probabilistic":{"DesiredSamplingPercentage":50}}}`},
		{"/GetIndexingRules", `{}`},
		{"/PutResourcePolicy", `{"PolicyName":"p","PolicyDocument":"` + aPolicy + `"}`},
		{"/ListResourcePolicies", `{}`},
		{"/DeleteResourcePolicy", `{"PolicyName":"p"}`},
		{"/TagResource", `{"ResourceARN":"arn:aws:xray:us-east-1:000000000000:group/Default","Tags":[{"Key":"k","Value":"v"}]}`},
		{"/ListTagsForResource", `{"ResourceARN":"arn:aws:xray:us-east-1:000000000000:group/Default"}`},
		{"/UntagResource", `{"ResourceARN":"arn:aws:xray:us-east-1:000000000000:group/Default","TagKeys":["k"]}`},
		{"/StartTraceRetrieval", `{"TraceIds":["` + sampleTrace + `"],"StartTime":0,"EndTime":2000}`},
		{"/CancelTraceRetrieval", `{"RetrievalToken":"TOKEN"}`},
		{"/StartTraceRetrieval", `{"TraceIds":["` + sampleTrace + `"],"StartTime":0,"EndTime":2000}`},
		{"/ListRetrievedTraces", `{"RetrievalToken":"TOKEN"}`},
		{"/GetRetrievedTracesGraph", `{"RetrievalToken":"TOKEN"}`},
		{"/InsightSummaries", `{"GroupName":"Default","StartTime":0,"EndTime":2000}`},
	} {
		if lookup(c.path) == nil {
			t.Errorf("there is no operation %s", c.path)
			continue
		}
		answer := f.mustPost(c.path, strings.ReplaceAll(c.body, "TOKEN", token))
		if c.path == "/StartTraceRetrieval" {
			token = regexp.MustCompile(`"RetrievalToken":"(.*?)"`).FindStringSubmatch(answer)[1]
		}
		answers[c.path] = append(answers[c.path], answer)
	}
	return answers
}

// unanswered are the operations that refuse whatever is asked.
var unanswered = map[string]string{
	"GetInsight":            "there are no insights",
	"GetInsightEvents":      "there are no insights",
	"GetInsightImpactGraph": "there are no insights",
}

// optionalAnswer are keys of the newest model that the service leaves out when
// there is nothing to say.
var optionalAnswer = map[string]bool{
	"SamplingBoost": true, "SamplingRateBoost": true, "UnprocessedBoostStatistics": true,
	"EdgeType": true, "ReceivedEventAgeHistogram": true, "FaultCountHigh": true, "FaultCountLow": true,
}

// alwaysNull are members that no answer of the sample, or none at all, has a
// value for.
var alwaysNull = map[string]string{
	"NextToken":           "the samples fit on one page",
	"UnprocessedTraceIds": "what is not found is left out, as by the service",
	"AccountId":           "only functions have one",
	"ServiceIds":          "those of users and annotations are null, as the service's",
	"InsightSummaries":    "there are no insights",
	"StartTime":           "graphs of traces have no times",
	"EndTime":             "graphs of traces have no times",
	"BorrowCount":         "nothing was borrowed",

	"GetSamplingTargets.SamplingTargetDocuments[].ReservoirQuota":                           "the client is new",
	"GetSamplingTargets.SamplingTargetDocuments[].ReservoirQuotaTTL":                        "the client is new",
	"GetSamplingTargets.SamplingTargetDocuments[].Interval":                                 "the client is new",
	"GetTimeSeriesServiceStatistics.TimeSeriesServiceStatistics[].ServiceSummaryStatistics": "no selector was given",
	"GetSamplingStatisticSummaries.SamplingStatisticSummaries":                              "nothing was reported yet",
	"GetServiceGraph.Services[].Edges[].Aliases":                                            "nothing answers the call",
	"GetTraceSummaries.TraceSummaries[].EntryPoint.Type":                                    "the root has no origin",
}

// TestAnswerKeys checks that the keys of answers are the model's, that every
// member of the model is there, and that it has a value in some answer.
func TestAnswerKeys(t *testing.T) {
	m := readModel(t)
	answers := sampleAnswers(t)
	extra := map[string]bool{ // seen in the service's answers, or ours by design
		"MatchedEdge": true, "MatchedService": true, "CompositeConfiguration": true,
		"HostedIn": true, "KeyAttributes": true, "Region": true,
	}
	m.each(t, func(t *testing.T, name string, op modelOperation) {
		if why := unanswered[name]; why != "" {
			t.Logf("no answer: %s", why)
			return
		}
		if len(answers[op.HTTP.RequestURI]) == 0 {
			t.Fatal("it has no sample answer")
		}
		null, valued := map[string]bool{}, map[string]bool{}
		var walk func(path, shape string, v any)
		walk = func(path, shape string, v any) {
			if list, ok := v.([]any); v == nil || ok && len(list) == 0 {
				null[path] = true
				return
			}
			valued[path] = true
			sh := m.Shapes[shape]
			switch v := v.(type) {
			case map[string]any:
				if sh.Type == "map" {
					for _, e := range v {
						walk(path+"{}", sh.Value.Shape, e)
					}
					return
				}
				for key, e := range v {
					ref, ok := sh.Members[key]
					if !ok {
						if !extra[key] {
							t.Errorf("%s.%s is not in the model", path, key)
						}
						continue
					}
					walk(path+"."+key, ref.Shape, e)
				}
				for key := range sh.Members {
					if _, ok := v[key]; !ok && !optionalAnswer[key] {
						t.Errorf("%s lacks %s", path, key)
					}
				}
			case []any:
				for _, e := range v {
					walk(path+"[]", sh.Member.Shape, e)
				}
			case string:
				if sh.Type != "string" || len(sh.Enum) > 0 && !slices.Contains(sh.Enum, v) {
					t.Errorf("%s is the text %q, model %s %v", path, v, sh.Type, sh.Enum)
				}
			case json.Number:
				whole := sh.Type == "integer" || sh.Type == "long"
				if !whole && sh.Type != "double" && sh.Type != "timestamp" || whole == strings.ContainsAny(v.String(), ".E") {
					t.Errorf("%s is the number %s, model %s", path, v, sh.Type)
				}
			case bool:
				if sh.Type != "boolean" {
					t.Errorf("%s is %t, model %s", path, v, sh.Type)
				}
			}
		}
		for _, answer := range answers[op.HTTP.RequestURI] {
			d := json.NewDecoder(strings.NewReader(answer))
			d.UseNumber()
			var v any
			if err := d.Decode(&v); err != nil {
				t.Fatalf("%v: %s", err, answer)
			}
			walk(name, op.Output.Shape, v)
		}
		for path := range null {
			last := path[strings.LastIndexByte(path, '.')+1:]
			if !valued[path] && alwaysNull[path] == "" && alwaysNull[last] == "" {
				t.Errorf("%s has no value in any answer", path)
			}
		}
	})
}

// errorCase is a request that is answered with an error of the model.
type errorCase struct {
	path, body string
	setup      func(f *contractFixture) // before it
	edit       func(*Config)
}

// modelErrors has a request for each error that the model knows of an operation,
// but for ThrottledException, which all have for one reason.
var modelErrors = map[string]errorCase{
	"BatchGetTraces/InvalidRequestException":                 {path: "/Traces", body: `{"TraceIds":["x"]}`},
	"GetTraceGraph/InvalidRequestException":                  {path: "/TraceGraph", body: `{"TraceIds":["x"]}`},
	"GetTraceSummaries/InvalidRequestException":              {path: "/TraceSummaries", body: `{"StartTime":2,"EndTime":1}`},
	"GetServiceGraph/InvalidRequestException":                {path: "/ServiceGraph", body: `{"StartTime":2,"EndTime":1}`},
	"PutTraceSegments/InvalidRequestException":               {path: "/TraceSegments", body: `{"TraceSegmentDocuments":[]}`},
	"PutTelemetryRecords/InvalidRequestException":            {path: "/TelemetryRecords", body: `{"TelemetryRecords":[]}`},
	"GetTimeSeriesServiceStatistics/InvalidRequestException": {path: "/TimeSeriesServiceStatistics", body: `{"StartTime":1,"EndTime":2,"Period":7}`},

	"CreateGroup/InvalidRequestException": {path: "/CreateGroup", body: `{"GroupName":"g"}`},
	"UpdateGroup/InvalidRequestException": {path: "/UpdateGroup", body: `{"GroupName":"g","FilterExpression":"fault"}`},
	"DeleteGroup/InvalidRequestException": {path: "/DeleteGroup", body: `{"GroupName":"g"}`},
	"GetGroup/InvalidRequestException":    {path: "/GetGroup", body: `{"GroupName":"g"}`},
	"GetGroups/InvalidRequestException":   {path: "/Groups", body: `{"NextToken":"x"}`},

	"CreateSamplingRule/InvalidRequestException":            {path: "/CreateSamplingRule", body: `{"SamplingRule":` + strings.Replace(sampleRule, `"Version":1`, `"Version":2`, 1) + `}`},
	"UpdateSamplingRule/InvalidRequestException":            {path: "/UpdateSamplingRule", body: `{"SamplingRuleUpdate":{"RuleName":"none"}}`},
	"DeleteSamplingRule/InvalidRequestException":            {path: "/DeleteSamplingRule", body: `{"RuleName":"none"}`},
	"GetSamplingStatisticSummaries/InvalidRequestException": {path: "/SamplingStatisticSummaries", body: `{"NextToken":"foreign"}`},
	"CreateSamplingRule/RuleLimitExceededException": {path: "/CreateSamplingRule", body: `{"SamplingRule":` + sampleRule + `}`, edit: func(c *Config) { c.AWSLimits = true }, setup: func(f *contractFixture) {
		for i := range 25 {
			f.post("/CreateSamplingRule", `{"SamplingRule":`+strings.Replace(sampleRule, `"RuleName":"r"`, fmt.Sprintf(`"RuleName":"r%d"`, i), 1)+`}`)
		}
	}},

	"PutEncryptionConfig/InvalidRequestException":           {path: "/PutEncryptionConfig", body: `{"Type":"KMS"}`},
	"GetIndexingRules/InvalidRequestException":              {path: "/GetIndexingRules", body: `{"NextToken":"x"}`},
	"UpdateIndexingRule/InvalidRequestException":            {path: "/UpdateIndexingRule", body: `{"Name":"Default","Rule":{}}`},
	"UpdateIndexingRule/ResourceNotFoundException":          {path: "/UpdateIndexingRule", body: `{"Name":"x","Rule":{"Probabilistic":{"DesiredSamplingPercentage":5}}}`},
	"UpdateTraceSegmentDestination/InvalidRequestException": {path: "/UpdateTraceSegmentDestination", body: `{}`},

	"ListResourcePolicies/InvalidRequestException":          {path: "/ListResourcePolicies", body: `{"NextToken":"x"}`},
	"DeleteResourcePolicy/InvalidRequestException":          {path: "/DeleteResourcePolicy", body: `{"PolicyName":"x"}`},
	"DeleteResourcePolicy/InvalidPolicyRevisionIdException": {path: "/DeleteResourcePolicy", body: `{"PolicyName":"x","PolicyRevisionId":"1"}`},
	"PutResourcePolicy/InvalidPolicyRevisionIdException":    {path: "/PutResourcePolicy", body: `{"PolicyName":"p","PolicyDocument":"` + aPolicy + `","PolicyRevisionId":"7"}`},
	"PutResourcePolicy/MalformedPolicyDocumentException":    {path: "/PutResourcePolicy", body: `{"PolicyName":"p","PolicyDocument":"{"}`},
	"PutResourcePolicy/LockoutPreventionException":          {path: "/PutResourcePolicy", body: `{"PolicyName":"p","PolicyDocument":"` + strings.NewReplacer("Allow", "Deny", "PutTraceSegments", "Put*", `{\"Service\":\"sns.amazonaws.com\"}`, `\"*\"`).Replace(aPolicy) + `"}`},
	"PutResourcePolicy/PolicySizeLimitExceededException":    {path: "/PutResourcePolicy", body: `{"PolicyName":"p","PolicyDocument":"` + strings.Replace(aPolicy, "sns", strings.Repeat("s", 5<<10), 1) + `"}`},
	"PutResourcePolicy/PolicyCountLimitExceededException": {path: "/PutResourcePolicy", body: `{"PolicyName":"p","PolicyDocument":"` + aPolicy + `"}`, setup: func(f *contractFixture) {
		for i := range 5 {
			f.mustPost("/PutResourcePolicy", fmt.Sprintf(`{"PolicyName":"p%d","PolicyDocument":"%s"}`, i, aPolicy))
		}
	}},

	"TagResource/InvalidRequestException":           {path: "/TagResource", body: `{"ResourceARN":"arn:aws:xray:us-east-1:000000000000:group/Default","Tags":[{"Key":"aws:x","Value":"v"}]}`},
	"TagResource/ResourceNotFoundException":         {path: "/TagResource", body: `{"ResourceARN":"x","Tags":[]}`},
	"UntagResource/InvalidRequestException":         {path: "/UntagResource", body: `{"ResourceARN":"arn:aws:xray:us-east-1:000000000000:group/Default","TagKeys":["aws:x"]}`},
	"UntagResource/ResourceNotFoundException":       {path: "/UntagResource", body: `{"ResourceARN":"x","TagKeys":[]}`},
	"ListTagsForResource/ResourceNotFoundException": {path: "/ListTagsForResource", body: `{"ResourceARN":"x"}`},

	"StartTraceRetrieval/InvalidRequestException":       {path: "/StartTraceRetrieval", body: `{"TraceIds":["x"],"StartTime":1,"EndTime":2}`},
	"ListRetrievedTraces/InvalidRequestException":       {path: "/ListRetrievedTraces", body: `{"RetrievalToken":"TOKEN","NextToken":"x"}`, setup: startRetrieval},
	"ListRetrievedTraces/ResourceNotFoundException":     {path: "/ListRetrievedTraces", body: `{"RetrievalToken":"x"}`},
	"GetRetrievedTracesGraph/InvalidRequestException":   {path: "/GetRetrievedTracesGraph", body: `{"RetrievalToken":"TOKEN","NextToken":"x"}`, setup: startRetrieval},
	"GetRetrievedTracesGraph/ResourceNotFoundException": {path: "/GetRetrievedTracesGraph", body: `{"RetrievalToken":"x"}`},
	"CancelTraceRetrieval/ResourceNotFoundException":    {path: "/CancelTraceRetrieval", body: `{"RetrievalToken":"x"}`},
	"CancelTraceRetrieval/InvalidRequestException": {path: "/CancelTraceRetrieval", body: `{"RetrievalToken":"TOKEN"}`, setup: func(f *contractFixture) {
		startRetrieval(f)
		for token := range f.handler.retrievals.mu.byToken {
			f.mustPost("/ListRetrievedTraces", `{"RetrievalToken":"`+token+`"}`)
		}
	}},

	"GetInsight/InvalidRequestException":            {path: "/Insight", body: `{` + anInsight + `}`},
	"GetInsightEvents/InvalidRequestException":      {path: "/InsightEvents", body: `{` + anInsight + `}`},
	"GetInsightImpactGraph/InvalidRequestException": {path: "/InsightImpactGraph", body: `{` + anInsight + `,"StartTime":1,"EndTime":2}`},
	"GetInsightSummaries/InvalidRequestException":   {path: "/InsightSummaries", body: `{"StartTime":1,"EndTime":2}`},
}

func startRetrieval(f *contractFixture) {
	f.mustPost("/StartTraceRetrieval", `{"TraceIds":["`+sampleTrace+`"],"StartTime":0,"EndTime":2000}`)
}

// neverSent are errors of the model that are not sent, each with the reason.
var neverSent = map[string]string{
	"GetEncryptionConfig/InvalidRequestException":        "nothing in the request can be wrong",
	"GetTraceSegmentDestination/InvalidRequestException": "nothing in the request can be wrong",
	"GetSamplingRules/InvalidRequestException":           "any token is ignored, as by the service",
	"GetSamplingTargets/InvalidRequestException":         "unknown rules are listed in the answer, as by the service",
	"ListTagsForResource/InvalidRequestException":        "any token is ignored, as by the service",
	"TagResource/TooManyTagsException":                   "the service sends InvalidRequestException",
	"StartTraceRetrieval/ResourceNotFoundException":      "ids that are not there are left out when the traces are listed",
}

// TestErrorsOfModel provokes every error that the model knows of every operation,
// and compares status and members with the model.
func TestErrorsOfModel(t *testing.T) {
	m := readModel(t)
	m.each(t, func(t *testing.T, name string, op modelOperation) {
		for _, e := range op.Errors {
			key := name + "/" + e.Shape
			c, have := modelErrors[key]
			why, never := neverSent[key]
			switch {
			case e.Shape == string(apierr.Throttled):
				c, have = errorCase{path: op.HTTP.RequestURI, body: `{}`, edit: func(cfg *Config) {
					// Others have all the memory that there is for requests.
					cfg.Bodies = NewBodies(1 << 10)
					if err := cfg.Bodies.Hold().Grow(1 << 10); err != nil {
						t.Fatal(err)
					}
				}}, true
			case have == never:
				t.Errorf("%s: a case %t, and a reason for none %t (%s)", e.Shape, have, never, why)
			}
			if !have {
				continue
			}
			f := contractServer(t, c.edit)
			if c.setup != nil {
				c.setup(f)
			}
			body := c.body
			for token := range f.handler.retrievals.mu.byToken {
				body = strings.ReplaceAll(body, "TOKEN", token)
			}
			status, code, answer := f.post(c.path, body)
			sh := m.Shapes[e.Shape]
			want := sh.Error.HTTPStatusCode
			if want == 0 { // not said: a client's fault
				want = 400
			}
			var members map[string]string
			if err := json.Unmarshal([]byte(answer), &members); err != nil {
				t.Fatalf("%s: %v: %s", e.Shape, err, answer)
			}
			if c.path != op.HTTP.RequestURI || code != e.Shape || status != want {
				t.Errorf("%s %.200s: %d %s %s, want %d %s", c.path, body, status, code, answer, want, e.Shape)
			}
			have1, want1 := slices.Sorted(maps.Keys(members)), slices.Sorted(maps.Keys(sh.Members))
			if !slices.Equal(have1, want1) || members["Message"] == "" {
				t.Errorf("%s has the members %v, model %v", e.Shape, have1, want1)
			}
		}
	})
	inModel := map[string]bool{}
	for name, op := range m.Operations {
		for _, e := range op.Errors {
			inModel[name+"/"+e.Shape] = true
		}
	}
	for _, key := range slices.Concat(slices.Collect(maps.Keys(modelErrors)), slices.Collect(maps.Keys(neverSent))) {
		if !inModel[key] {
			t.Errorf("%s is not in the model", key)
		}
	}
	for name, sh := range m.Shapes {
		if _, ok := apierr.Table[apierr.Code(name)]; sh.Exception && !ok {
			t.Errorf("the table of errors has no %s", name)
		}
	}
}
