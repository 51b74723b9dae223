package xrayapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
	"github.com/aws/smithy-go"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
)

// sdk returns the AWS client for a fixture. It tries again what every such
// client does: it closes the body of its request as soon as the head of the
// answer is there, and when net/http is not done with that body yet, which a
// server as near as this one brings about, the connection is cut while the rest
// of a large answer is read.
func sdk(f *fixture) *xray.Client {
	return sdkWith(f, retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = 10, 5*time.Millisecond
		o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
	}))
}

// sdkOnce returns a client that tries nothing again.
func sdkOnce(f *fixture) *xray.Client { return sdkWith(f, aws.NopRetryer{}) }

func sdkWith(f *fixture, retryer aws.Retryer) *xray.Client {
	return xray.New(xray.Options{
		Region:       "eu-central-1",
		BaseEndpoint: aws.String(f.URL),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:   f.Client(),
		Retryer:      retryer,
	})
}

// TestSDK puts and reads back through the official client.
func TestSDK(t *testing.T) {
	f := serve(t, nil, nil)
	client, ctx := sdk(f), context.Background()

	put, err := client.PutTraceSegments(ctx, &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{
		`{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000aa","name":"till é &","start_time":1000,"end_time":1002.25,"annotations":{"paid":true,"sum":12.5,"who":"Ada"},"user":"ada","http":{"request":{"method":"POST","url":"http://till/pay"},"response":{"status":429}},"error":true,"throttle":true}`,
		`{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000ab","parent_id":"00000000000000aa","type":"subsegment","name":"stock","namespace":"remote","start_time":1000.5,"end_time":1001}`,
		`{"id":"zz"}`,
		`nonsense`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(put.UnprocessedTraceSegments) != 2 || aws.ToString(put.UnprocessedTraceSegments[0].Id) != "zz" || *put.UnprocessedTraceSegments[0].ErrorCode != "InvalidId" ||
		put.UnprocessedTraceSegments[1].Id != nil || *put.UnprocessedTraceSegments[1].Message != "Invalid segment. ErrorCode: ParseError" {
		t.Errorf("unprocessed: %+v", put.UnprocessedTraceSegments)
	}

	get, err := client.BatchGetTraces(ctx, &xray.BatchGetTracesInput{TraceIds: []string{"1-6ab38001-0123456789abcdef01234567", "1-6ab38001-00000000000000000000beef"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(get.Traces) != 1 || *get.Traces[0].Duration != 2.25 || *get.Traces[0].LimitExceeded || len(get.Traces[0].Segments) != 2 || get.NextToken != nil || len(get.UnprocessedTraceIds) != 0 {
		t.Fatalf("traces: %+v", get)
	}
	if got, want := *get.Traces[0].Segments[0].Document, `{"id":"00000000000000aa","name":"till é &","start_time":1000.0,"trace_id":"1-6ab38001-0123456789abcdef01234567","end_time":1002.25,`; len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("document: %s", got)
	}

	sum, err := client.GetTraceSummaries(ctx, &xray.GetTraceSummariesInput{StartTime: aws.Time(time.Unix(999, 500e6)), EndTime: aws.Time(time.Unix(1001, 0)), TimeRangeType: types.TimeRangeTypeTraceId})
	if err != nil {
		t.Fatal(err)
	}
	if len(sum.TraceSummaries) != 1 || *sum.TracesProcessedCount != 1 || !sum.ApproximateTime.Equal(time.Unix(999, 0)) {
		t.Fatalf("summaries: %+v", sum)
	}
	s := sum.TraceSummaries[0]
	if !*s.HasThrottle || *s.HasError || *s.HasFault || *s.IsPartial || *s.Duration != 2.25 || *s.ResponseTime != 2.25 || s.Revision != 1 ||
		*s.Http.HttpMethod != "POST" || *s.Http.HttpStatus != 429 || s.Http.ClientIp != nil || *s.EntryPoint.Name != `till é &` || *s.Users[0].UserName != "ada" ||
		!s.StartTime.Equal(time.Unix(1000, 0)) || len(s.ServiceIds) != 3 || s.MatchedEventTime != nil {
		t.Errorf("summary: %+v", s)
	}
	values := map[string]types.AnnotationValue{}
	for key, list := range s.Annotations {
		if len(list) != 1 {
			t.Errorf("%s has %d values", key, len(list))
		}
		values[key] = list[0].AnnotationValue
	}
	if v, ok := values["paid"].(*types.AnnotationValueMemberBooleanValue); !ok || !v.Value {
		t.Errorf("paid: %+v", values["paid"])
	}
	if v, ok := values["sum"].(*types.AnnotationValueMemberNumberValue); !ok || v.Value != 12.5 {
		t.Errorf("sum: %+v", values["sum"])
	}
	if v, ok := values["who"].(*types.AnnotationValueMemberStringValue); !ok || v.Value != "Ada" {
		t.Errorf("who: %+v", values["who"])
	}

	if _, err := client.PutTelemetryRecords(ctx, &xray.PutTelemetryRecordsInput{
		Hostname:         aws.String("box"),
		TelemetryRecords: []types.TelemetryRecord{{Timestamp: aws.Time(time.Unix(5, 0)), SegmentsReceivedCount: aws.Int32(7), BackendConnectionErrors: &types.BackendConnectionErrors{HTTPCode5XXCount: aws.Int32(3)}}},
	}); err != nil {
		t.Error(err)
	}
	if got := f.reports.Senders(); len(got) != 1 || got[0].Hostname != "box" || got[0].Total.Received != 7 || got[0].Total.HTTP5XX != 3 || got[0].Records[0].Timestamp != 5 {
		t.Errorf("telemetry: %+v", got)
	}
	rules, err := client.GetSamplingRules(ctx, &xray.GetSamplingRulesInput{})
	if err != nil || len(rules.SamplingRuleRecords) != 1 || *rules.SamplingRuleRecords[0].SamplingRule.RuleName != "Default" || rules.SamplingRuleRecords[0].SamplingRule.FixedRate != 0.05 {
		t.Errorf("rules: %+v %v", rules, err)
	}
	targets, err := client.GetSamplingTargets(ctx, &xray.GetSamplingTargetsInput{SamplingStatisticsDocuments: []types.SamplingStatisticsDocument{{
		RuleName: aws.String("Default"), ClientID: aws.String("0123456789abcdef01234567"), Timestamp: aws.Time(time.Now()), RequestCount: 1, SampledCount: 1,
	}}})
	if err != nil || len(targets.SamplingTargetDocuments) != 1 || targets.SamplingTargetDocuments[0].FixedRate != 0.05 || targets.SamplingTargetDocuments[0].ReservoirQuota != nil {
		t.Errorf("targets: %+v %v", targets, err)
	}
	groups, err := client.GetGroups(ctx, &xray.GetGroupsInput{})
	if err != nil || len(groups.Groups) != 1 || *groups.Groups[0].GroupName != "Default" {
		t.Errorf("groups: %+v %v", groups, err)
	}
	enc, err := client.GetEncryptionConfig(ctx, &xray.GetEncryptionConfigInput{})
	if err != nil || enc.EncryptionConfig.Status != types.EncryptionStatusActive || enc.EncryptionConfig.Type != types.EncryptionTypeNone {
		t.Errorf("encryption: %+v %v", enc, err)
	}
}

// TestSDKRootCauses has the official client decode all three kinds of root causes.
func TestSDKRootCauses(t *testing.T) {
	f := serve(t, nil, nil)
	client, ctx := sdk(f), context.Background()
	f.put(t,
		`{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000aa","name":"till","start_time":1000,"end_time":1002,"fault":true,"cause":{"exceptions":[{"id":"00000000000000e1","type":"Odd \"type\"","message":"no money"},{"id":"00000000000000e2"}]},"subsegments":[`+
			`{"id":"00000000000000ab","name":"DynamoDB","namespace":"aws","aws":{"operation":"Scan","table_name":"carts"},"start_time":1000.25,"end_time":1001.75,"fault":true}]}`,
		`{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000ba","parent_id":"00000000000000ab","name":"mail","origin":"AWS::Lambda::Function","aws":{"account_id":"111122223333"},"start_time":1000.5,"end_time":1000.75,"fault":true,"error":true,"cause":{"exceptions":[{"id":"00000000000000e3","type":"E","message":"m"}]}}`)
	f.put(t, `{"trace_id":"1-6ab38002-0123456789abcdef01234567","id":"00000000000000aa","name":"till","start_time":1000,"end_time":1002,"subsegments":[`+
		`{"id":"00000000000000ab","name":"stock","namespace":"remote","start_time":1000.25,"end_time":1001.75,"error":true}]}`)
	sum, err := client.GetTraceSummaries(ctx, &xray.GetTraceSummariesInput{StartTime: aws.Time(time.Unix(999, 0)), EndTime: aws.Time(time.Unix(1001, 0))})
	if err != nil || len(sum.TraceSummaries) != 2 {
		t.Fatalf("%+v, %v", sum, err)
	}
	by := map[string]types.TraceSummary{}
	for _, s := range sum.TraceSummaries {
		by[*s.Id] = s
	}
	null := (*string)(nil)
	wantFault := []types.FaultRootCause{{ClientImpacting: aws.Bool(true), Services: []types.FaultRootCauseService{
		{Name: aws.String("till"), Names: []string{"till"}, Type: aws.String(""), AccountId: null, Inferred: aws.Bool(false), EntityPath: []types.FaultRootCauseEntity{
			{Name: aws.String("till"), Remote: aws.Bool(false), Exceptions: []types.RootCauseException{
				{Name: aws.String(`Odd "type"`), Message: aws.String("no money")}, {Name: aws.String(""), Message: aws.String("")}}},
			{Name: aws.String("DynamoDB"), Remote: aws.Bool(true), Exceptions: []types.RootCauseException{}}}},
		{Name: aws.String("mail"), Names: []string{"mail"}, Type: aws.String("AWS::Lambda::Function"), AccountId: aws.String("111122223333"), Inferred: aws.Bool(false), EntityPath: []types.FaultRootCauseEntity{
			{Name: aws.String("mail"), Remote: aws.Bool(false), Exceptions: []types.RootCauseException{{Name: aws.String("E"), Message: aws.String("m")}}}}},
	}}}
	one, two := by["1-6ab38001-0123456789abcdef01234567"], by["1-6ab38002-0123456789abcdef01234567"]
	if !reflect.DeepEqual(one.FaultRootCauses, wantFault) {
		t.Errorf("faults: %s", jsonOf(one.FaultRootCauses))
	}
	wantError := []types.ErrorRootCause{{ClientImpacting: aws.Bool(false), Services: []types.ErrorRootCauseService{
		{Name: aws.String("stock"), Names: []string{"stock"}, Type: aws.String("remote"), Inferred: aws.Bool(true), EntityPath: []types.ErrorRootCauseEntity{
			{Name: aws.String("stock"), Remote: aws.Bool(false), Exceptions: []types.RootCauseException{}}}},
	}}}
	if !reflect.DeepEqual(two.ErrorRootCauses, wantError) || len(two.FaultRootCauses) != 0 {
		t.Errorf("errors: %s", jsonOf(two.ErrorRootCauses))
	}
	wantTime := []types.ResponseTimeRootCause{{ClientImpacting: aws.Bool(true), Services: []types.ResponseTimeRootCauseService{
		{Name: aws.String("till"), Names: []string{"till"}, Type: aws.String(""), Inferred: aws.Bool(false), EntityPath: []types.ResponseTimeRootCauseEntity{
			{Name: aws.String("till"), Coverage: aws.Float64(1), Remote: aws.Bool(false)},
			{Name: aws.String("stock"), Coverage: aws.Float64(0.75), Remote: aws.Bool(true)}}},
		{Name: aws.String("stock"), Names: []string{"stock"}, Type: aws.String("remote"), Inferred: aws.Bool(true), EntityPath: []types.ResponseTimeRootCauseEntity{
			{Name: aws.String("stock"), Coverage: aws.Float64(0.75), Remote: aws.Bool(false)}}},
	}}}
	if !reflect.DeepEqual(two.ResponseTimeRootCauses, wantTime) {
		t.Errorf("response times: %s", jsonOf(two.ResponseTimeRootCauses))
	}
	if len(one.ErrorRootCauses) != 1 || *one.ErrorRootCauses[0].ClientImpacting || len(one.ResponseTimeRootCauses) != 1 || len(one.ResponseTimeRootCauses[0].Services) != 1 {
		t.Errorf("%s", jsonOf(one))
	}
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestSDKErrors checks that the client's types of errors come out.
func TestSDKErrors(t *testing.T) {
	s := &faultyStore{Store: memstore.New()}
	f := serve(t, s, nil)
	client, ctx := sdkOnce(f), context.Background()

	var invalid *types.InvalidRequestException
	_, err := client.BatchGetTraces(ctx, &xray.BatchGetTracesInput{TraceIds: []string{"nonsense"}})
	if !errors.As(err, &invalid) || *invalid.Message != "Invalid trace id nonsense: incorrect id format" {
		t.Errorf("%v", err)
	}
	s.write = tracestore.ErrOverloaded
	var throttled *types.ThrottledException
	_, err = client.PutTraceSegments(ctx, &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{`{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000aa","name":"x","start_time":1,"end_time":1}`}})
	if !errors.As(err, &throttled) {
		t.Errorf("%v", err)
	}
	s.write = tracestore.ErrNoSpace
	var api smithy.APIError
	_, err = client.PutTraceSegments(ctx, &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{`{"trace_id":"1-6ab38001-0123456789abcdef01234567","id":"00000000000000aa","name":"x","start_time":1,"end_time":1}`}})
	if !errors.As(err, &api) || api.ErrorCode() != "ServiceUnavailableException" || api.ErrorFault() == smithy.FaultClient {
		t.Errorf("%v", err)
	}
	_, err = client.GetSamplingTargets(ctx, &xray.GetSamplingTargetsInput{SamplingStatisticsDocuments: []types.SamplingStatisticsDocument{{
		RuleName: aws.String("Default"), ClientID: aws.String("short"), Timestamp: aws.Time(time.Now()),
	}}})
	if !errors.As(err, &api) || api.ErrorCode() != "ValidationException" || api.ErrorMessage() == "" {
		t.Errorf("%v", err)
	}
	_, err = client.GetServiceGraph(ctx, &xray.GetServiceGraphInput{StartTime: aws.Time(time.Unix(1, 0)), EndTime: aws.Time(time.Unix(2, 0))})
	if !errors.As(err, &api) || api.ErrorCode() != "NotImplementedException" {
		t.Errorf("%v", err)
	}
}

// TestSDKDoesNotRepeat checks that a client with the usual retries asks only
// once for what this server does not do.
func TestSDKDoesNotRepeat(t *testing.T) {
	f := serve(t, nil, nil)
	calls := &countingClient{HTTPClient: f.Client()}
	client := xray.New(xray.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(f.URL + "/base/"), HTTPClient: calls,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
	_, err := client.GetServiceGraph(context.Background(), &xray.GetServiceGraphInput{StartTime: aws.Time(time.Unix(1, 0)), EndTime: aws.Time(time.Unix(2, 0))})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "NotImplementedException" || calls.n != 1 {
		t.Errorf("%d calls, %v", calls.n, err)
	}
}

type countingClient struct {
	xray.HTTPClient
	n int
}

func (c *countingClient) Do(r *http.Request) (*http.Response, error) {
	c.n++
	return c.HTTPClient.Do(r)
}

// TestSDKPaginator reads many traces through all three clocks while others
// arrive, and wants each once.
func TestSDKPaginator(t *testing.T) {
	now := time.Unix(1795356000, 0)
	f := serve(t, nil, nil)
	client, ctx := sdk(f), context.Background()
	const n = 450
	put := func(from, to int) {
		var docs []string
		for i := from; i < to; i++ {
			docs = append(docs, fmt.Sprintf(`{"trace_id":"1-6ab38001-%024x","id":"00000000000000aa","name":"n","start_time":%d.5,"end_time":%d.75}`, i, 1795355000+i%300, 1795355000+i%300))
		}
		f.put(t, docs...)
	}
	put(0, n)
	for clock, window := range map[types.TimeRangeType][2]time.Time{
		types.TimeRangeTypeTraceId: {now.Add(-time.Hour), now},
		types.TimeRangeTypeService: {now.Add(-time.Hour), now},
		types.TimeRangeTypeEvent:   {now, now.Add(time.Second)},
	} {
		p := xray.NewGetTraceSummariesPaginator(client, &xray.GetTraceSummariesInput{StartTime: aws.Time(window[0]), EndTime: aws.Time(window[1]), TimeRangeType: clock})
		seen := map[string]int{}
		pages, processed := 0, int64(0)
		for p.HasMorePages() {
			page, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			processed += *page.TracesProcessedCount
			for _, s := range page.TraceSummaries {
				seen[*s.Id]++
				if has := s.MatchedEventTime != nil; has != (clock != types.TimeRangeTypeTraceId) || has && !s.MatchedEventTime.Equal(now) {
					t.Fatalf("%s: MatchedEventTime %v", clock, s.MatchedEventTime)
				}
			}
			put(n+pages*1000, n+pages*1000+1) // begins later than the question: on no page
		}
		old := 0
		for id, times := range seen {
			if times != 1 {
				t.Errorf("%s: %s came %d times", clock, id, times)
			}
			var i int
			if fmt.Sscanf(id, "1-6ab38001-%x", &i); i < n {
				old++
			}
		}
		if old != n || pages < 3 || processed != int64(len(seen)) {
			t.Errorf("%s: %d of %d traces on %d pages, %d processed", clock, old, n, pages, processed)
		}
	}
}
