package compat

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// insightID is the id of no insight.
const insightID = "01234567-89ab-4def-8123-456789abcdef"

// callRecorder notes the operations that a client calls, with what it asked first.
type callRecorder struct {
	mu     sync.Mutex
	called map[string]any
}

func (r *callRecorder) note(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("NoteOperation",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			r.mu.Lock()
			if name := awsmiddleware.GetOperationName(ctx); r.called[name] == nil {
				r.called[name] = in.Parameters
			}
			r.mu.Unlock()
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
}

// goOperations are the operations that the Go client has.
func goOperations() []string {
	var names []string
	client := reflect.TypeFor[*xray.Client]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		// func(*Client, context.Context, *XInput, ...func(*Options)) (*XOutput, error)
		if m.Type.NumIn() == 4 && m.Type.IsVariadic() && m.Type.In(2).Kind() == reflect.Pointer && m.Type.In(2).Elem().Name() == m.Name+"Input" {
			names = append(names, m.Name)
		}
	}
	return names
}

// badKeys are keys that open nothing, by the code of the refusal.
func (f *keyFile) badKeys() map[string]madeKey {
	wrong := f.keys["admin"]
	wrong.Secret = f.keys["reader"].Secret
	return map[string]madeKey{
		"InvalidSignatureException":   wrong,
		"UnrecognizedClientException": f.keys["revoked"],
		"ExpiredTokenException":       f.keys["expired"],
	}
}

func (k *madeKey) environment() []string {
	return environment("AWS_ACCESS_KEY_ID="+k.ID, "AWS_SECRET_ACCESS_KEY="+k.Secret)
}

func (k *madeKey) credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(k.ID, k.Secret, "")
}

// openAndWithKeys runs a test against a server that asks for no key, and against one
// that does. k is the key to use, bad has some that open nothing; there are none where
// no key is asked for.
func openAndWithKeys(t *testing.T, test func(t *testing.T, s *server, k madeKey, bad map[string]madeKey)) {
	t.Run("open", func(t *testing.T) { test(t, serve(t), madeKey{ID: "test", Secret: "test"}, map[string]madeKey{}) })
	t.Run("keys", func(t *testing.T) {
		f := makeKeys(t)
		test(t, serve(t, "--keys", f.path), f.keys["admin"], f.badKeys())
	})
}

// TestGoOperations calls every operation that the Go client has, and reads what it
// makes of the answers; on a server with keys also with keys that open nothing.
func TestGoOperations(t *testing.T) { openAndWithKeys(t, testGoOperations) }

func testGoOperations(t *testing.T, s *server, k madeKey, bad map[string]madeKey) {
	recorder := &callRecorder{called: map[string]any{}}
	options := goClient(s).Options()
	options.Credentials = k.credentials()
	options.APIOptions = append(options.APIOptions, recorder.note)
	client, ctx := xray.New(options), t.Context()

	now := time.Now().Truncate(time.Second)
	start, end := aws.Time(now.Add(-time.Hour)), aws.Time(now.Add(time.Hour))
	id := fmt.Sprintf("1-%08x-00000000000000000000a11a", now.Unix())
	doc := fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000a1","name":"mill","start_time":%d,"end_time":%d,`+
		`"links":[{"trace_id":"1-5c631180-000000000000000000000001","id":"00000000000000ff","attributes":{"aws.xray.reserved.reference_type":"child"}}]}`, id, now.Unix()-2, now.Unix()-1)

	t.Run("traces", func(t *testing.T) {
		out, err := client.PutTraceSegments(ctx, &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{doc, "{"}})
		must(t, err)
		if len(out.UnprocessedTraceSegments) != 1 || aws.ToString(out.UnprocessedTraceSegments[0].ErrorCode) != "ParseError" {
			t.Errorf("put: %+v", out)
		}
		got, err := client.BatchGetTraces(ctx, &xray.BatchGetTracesInput{TraceIds: []string{id}})
		must(t, err)
		if len(got.Traces) != 1 || aws.ToFloat64(got.Traces[0].Duration) != 1 {
			t.Errorf("traces: %+v", got.Traces)
		}
		summaries, err := client.GetTraceSummaries(ctx, &xray.GetTraceSummariesInput{StartTime: start, EndTime: end})
		must(t, err)
		if len(summaries.TraceSummaries) != 1 || aws.ToString(summaries.TraceSummaries[0].Id) != id {
			t.Errorf("summaries: %+v", summaries.TraceSummaries)
		}
		graph, err := client.GetTraceGraph(ctx, &xray.GetTraceGraphInput{TraceIds: []string{id}})
		must(t, err)
		if len(graph.Services) != 2 || aws.ToString(graph.Services[0].Name) != "mill" {
			t.Errorf("graph: %+v", graph.Services)
		}
		eventually(t, "the trace is in the service graph", func() bool {
			graph, err := client.GetServiceGraph(ctx, &xray.GetServiceGraphInput{StartTime: start, EndTime: end})
			must(t, err)
			return len(graph.Services) == 2 && graph.StartTime != nil
		})
		series, err := client.GetTimeSeriesServiceStatistics(ctx, &xray.GetTimeSeriesServiceStatisticsInput{StartTime: start, EndTime: end, EntitySelectorExpression: aws.String(`service("mill")`)})
		must(t, err)
		if n := len(series.TimeSeriesServiceStatistics); n != 1 || aws.ToInt64(series.TimeSeriesServiceStatistics[0].ServiceSummaryStatistics.OkCount) != 1 {
			t.Errorf("series: %+v", series.TimeSeriesServiceStatistics)
		}
		_, err = client.PutTelemetryRecords(ctx, &xray.PutTelemetryRecordsInput{Hostname: aws.String("mill-1"), TelemetryRecords: []types.TelemetryRecord{{Timestamp: aws.Time(now)}}})
		must(t, err)
	})

	t.Run("retrieval", func(t *testing.T) {
		begin := func() *string {
			out, err := client.StartTraceRetrieval(ctx, &xray.StartTraceRetrievalInput{TraceIds: []string{id, "1-5c631180-000000000000000000000001"}, StartTime: start, EndTime: end})
			must(t, err)
			return out.RetrievalToken
		}
		token := begin()
		for format, want := range map[types.TraceFormatType]string{types.TraceFormatTypeXray: `"trace_id"`, types.TraceFormatTypeOtel: `"traceId"`} {
			out, err := client.ListRetrievedTraces(ctx, &xray.ListRetrievedTracesInput{RetrievalToken: token, TraceFormat: format})
			must(t, err)
			if out.RetrievalStatus != types.RetrievalStatusComplete || out.TraceFormat != format || len(out.Traces) != 1 || len(out.Traces[0].Spans) != 1 ||
				aws.ToString(out.Traces[0].Spans[0].Id) != "00000000000000a1" || !strings.Contains(aws.ToString(out.Traces[0].Spans[0].Document), want) {
				t.Errorf("%s: %+v", format, out)
			}
		}
		graph, err := client.GetRetrievedTracesGraph(ctx, &xray.GetRetrievedTracesGraphInput{RetrievalToken: token})
		must(t, err)
		if len(graph.Services) != 2 || aws.ToString(graph.Services[0].Service.Name) != "mill" || len(graph.Services[0].Links) != 1 || aws.ToString(graph.Services[0].Links[0].ReferenceType) != "child" {
			t.Errorf("graph: %+v", graph.Services)
		}
		var invalid *types.InvalidRequestException
		if _, err := client.CancelTraceRetrieval(ctx, &xray.CancelTraceRetrievalInput{RetrievalToken: token}); !errors.As(err, &invalid) {
			t.Errorf("cancelled what is complete: %v", err)
		}
		token = begin()
		_, err = client.CancelTraceRetrieval(ctx, &xray.CancelTraceRetrievalInput{RetrievalToken: token})
		must(t, err)
		out, err := client.ListRetrievedTraces(ctx, &xray.ListRetrievedTracesInput{RetrievalToken: token})
		must(t, err)
		if out.RetrievalStatus != types.RetrievalStatusCancelled || len(out.Traces) != 0 {
			t.Errorf("cancelled: %+v", out)
		}
		wantNotFound(t, "nothing", func() error {
			_, err := client.ListRetrievedTraces(ctx, &xray.ListRetrievedTracesInput{RetrievalToken: aws.String("nothing")})
			return err
		})
	})

	t.Run("groups and tags", func(t *testing.T) {
		made, err := client.CreateGroup(ctx, &xray.CreateGroupInput{GroupName: aws.String("mills"), FilterExpression: aws.String("fault"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}})
		must(t, err)
		_, err = client.UpdateGroup(ctx, &xray.UpdateGroupInput{GroupARN: made.Group.GroupARN, FilterExpression: aws.String("error"), InsightsConfiguration: &types.InsightsConfiguration{InsightsEnabled: aws.Bool(true)}})
		must(t, err)
		got, err := client.GetGroup(ctx, &xray.GetGroupInput{GroupName: aws.String("mills")})
		must(t, err)
		if aws.ToString(got.Group.FilterExpression) != "error" || !aws.ToBool(got.Group.InsightsConfiguration.InsightsEnabled) {
			t.Errorf("group: %+v", got.Group)
		}
		groups, err := client.GetGroups(ctx, &xray.GetGroupsInput{})
		must(t, err)
		if len(groups.Groups) != 2 {
			t.Errorf("groups: %+v", groups.Groups)
		}
		rules, err := client.GetSamplingRules(ctx, &xray.GetSamplingRulesInput{})
		must(t, err)
		for _, arn := range []*string{made.Group.GroupARN, rules.SamplingRuleRecords[len(rules.SamplingRuleRecords)-1].SamplingRule.RuleARN} {
			_, err = client.TagResource(ctx, &xray.TagResourceInput{ResourceARN: arn, Tags: []types.Tag{{Key: aws.String("b@"), Value: aws.String("")}}})
			must(t, err)
			_, err = client.UntagResource(ctx, &xray.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"a", "none"}})
			must(t, err)
			tags, err := client.ListTagsForResource(ctx, &xray.ListTagsForResourceInput{ResourceARN: arn})
			must(t, err)
			if len(tags.Tags) != 1 || aws.ToString(tags.Tags[0].Key) != "b@" || aws.ToString(tags.Tags[0].Value) != "" {
				t.Errorf("tags of %s: %+v", *arn, tags.Tags)
			}
		}
		_, err = client.DeleteGroup(ctx, &xray.DeleteGroupInput{GroupName: aws.String("mills")})
		must(t, err)
		wantNotFound(t, *made.Group.GroupARN, func() error {
			_, err := client.ListTagsForResource(ctx, &xray.ListTagsForResourceInput{ResourceARN: made.Group.GroupARN})
			return err
		})
	})

	t.Run("sampling", func(t *testing.T) {
		rule := types.SamplingRule{
			RuleName: aws.String("mill-rule"), ResourceARN: aws.String("*"), Priority: aws.Int32(7), FixedRate: 0.5, ReservoirSize: 3, Version: aws.Int32(1),
			ServiceName: aws.String("mill"), ServiceType: aws.String("*"), Host: aws.String("*"), HTTPMethod: aws.String("GET"), URLPath: aws.String("*"),
		}
		made, err := client.CreateSamplingRule(ctx, &xray.CreateSamplingRuleInput{SamplingRule: &rule})
		must(t, err)
		if made.SamplingRuleRecord == nil || made.SamplingRuleRecord.SamplingRule.FixedRate != 0.5 {
			t.Errorf("made: %+v", made.SamplingRuleRecord)
		}
		changed, err := client.UpdateSamplingRule(ctx, &xray.UpdateSamplingRuleInput{SamplingRuleUpdate: &types.SamplingRuleUpdate{RuleName: rule.RuleName, FixedRate: aws.Float64(0.25)}})
		must(t, err)
		if changed.SamplingRuleRecord == nil || changed.SamplingRuleRecord.SamplingRule.FixedRate != 0.25 || changed.SamplingRuleRecord.SamplingRule.ReservoirSize != 3 {
			t.Errorf("changed: %+v", changed.SamplingRuleRecord)
		}
		rules, err := client.GetSamplingRules(ctx, &xray.GetSamplingRulesInput{})
		must(t, err)
		if len(rules.SamplingRuleRecords) != 2 {
			t.Errorf("%d rules", len(rules.SamplingRuleRecords))
		}
		targets, err := client.GetSamplingTargets(ctx, &xray.GetSamplingTargetsInput{SamplingStatisticsDocuments: []types.SamplingStatisticsDocument{
			{RuleName: rule.RuleName, ClientID: aws.String("0123456789abcdef01234567"), Timestamp: aws.Time(now), RequestCount: 5, SampledCount: 1},
			{RuleName: aws.String("none"), ClientID: aws.String("0123456789abcdef01234567"), Timestamp: aws.Time(now), RequestCount: 5, SampledCount: 1},
		}})
		must(t, err)
		if len(targets.SamplingTargetDocuments) != 1 || targets.SamplingTargetDocuments[0].FixedRate != 0.25 || len(targets.UnprocessedStatistics) != 1 || targets.LastRuleModification == nil {
			t.Errorf("targets: %+v", targets)
		}
		_, err = client.GetSamplingStatisticSummaries(ctx, &xray.GetSamplingStatisticSummariesInput{})
		must(t, err)
		_, err = client.DeleteSamplingRule(ctx, &xray.DeleteSamplingRuleInput{RuleName: rule.RuleName})
		must(t, err)
	})

	t.Run("settings", func(t *testing.T) {
		put, err := client.PutEncryptionConfig(ctx, &xray.PutEncryptionConfigInput{Type: types.EncryptionTypeKms, KeyId: aws.String("alias/mill")})
		must(t, err)
		got, err := client.GetEncryptionConfig(ctx, &xray.GetEncryptionConfigInput{})
		must(t, err)
		if put.EncryptionConfig.Status != types.EncryptionStatusUpdating || got.EncryptionConfig.Status != types.EncryptionStatusActive ||
			got.EncryptionConfig.Type != types.EncryptionTypeKms || aws.ToString(got.EncryptionConfig.KeyId) != "arn:aws:kms:us-east-1:000000000000:alias/mill" {
			t.Errorf("encryption: %+v, %+v", put.EncryptionConfig, got.EncryptionConfig)
		}
		to, err := client.UpdateTraceSegmentDestination(ctx, &xray.UpdateTraceSegmentDestinationInput{Destination: types.TraceSegmentDestinationCloudWatchLogs})
		must(t, err)
		is, err := client.GetTraceSegmentDestination(ctx, &xray.GetTraceSegmentDestinationInput{})
		must(t, err)
		if to.Status != types.TraceSegmentDestinationStatusPending || is.Status != types.TraceSegmentDestinationStatusActive || is.Destination != types.TraceSegmentDestinationCloudWatchLogs {
			t.Errorf("destination: %+v, %+v", to, is)
		}
		index, err := client.UpdateIndexingRule(ctx, &xray.UpdateIndexingRuleInput{Name: aws.String("Default"), Rule: &types.IndexingRuleValueUpdateMemberProbabilistic{Value: types.ProbabilisticRuleValueUpdate{DesiredSamplingPercentage: aws.Float64(12.5)}}})
		must(t, err)
		indexes, err := client.GetIndexingRules(ctx, &xray.GetIndexingRulesInput{})
		must(t, err)
		if p, ok := indexes.IndexingRules[0].Rule.(*types.IndexingRuleValueMemberProbabilistic); !ok || aws.ToFloat64(p.Value.DesiredSamplingPercentage) != 12.5 || index.IndexingRule.ModifiedAt == nil {
			t.Errorf("indexing rules: %+v", indexes.IndexingRules)
		}
	})

	t.Run("policies", func(t *testing.T) {
		document := aws.String(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": ["xray:PutTraceSegments"], "Resource": "*"}]}`)
		put, err := client.PutResourcePolicy(ctx, &xray.PutResourcePolicyInput{PolicyName: aws.String("mill"), PolicyDocument: document, PolicyRevisionId: aws.String("0")})
		must(t, err)
		if aws.ToString(put.ResourcePolicy.PolicyRevisionId) != "1" || put.ResourcePolicy.LastUpdatedTime == nil {
			t.Errorf("policy: %+v", put.ResourcePolicy)
		}
		list, err := client.ListResourcePolicies(ctx, &xray.ListResourcePoliciesInput{})
		must(t, err)
		if len(list.ResourcePolicies) != 1 || strings.ContainsAny(aws.ToString(list.ResourcePolicies[0].PolicyDocument), " []") && !strings.Contains(aws.ToString(list.ResourcePolicies[0].PolicyDocument), `"Action":"xray:PutTraceSegments"`) {
			t.Errorf("policies: %+v", list.ResourcePolicies)
		}
		var stale *types.InvalidPolicyRevisionIdException
		if _, err := client.PutResourcePolicy(ctx, &xray.PutResourcePolicyInput{PolicyName: aws.String("mill"), PolicyDocument: document, PolicyRevisionId: aws.String("0")}); !errors.As(err, &stale) {
			t.Errorf("a stale revision: %v", err)
		}
		var malformed *types.MalformedPolicyDocumentException
		if _, err := client.PutResourcePolicy(ctx, &xray.PutResourcePolicyInput{PolicyName: aws.String("mill"), PolicyDocument: aws.String("{")}); !errors.As(err, &malformed) {
			t.Errorf("a malformed document: %v", err)
		}
		var large *types.PolicySizeLimitExceededException
		if _, err := client.PutResourcePolicy(ctx, &xray.PutResourcePolicyInput{PolicyName: aws.String("mill"), PolicyDocument: aws.String(strings.Replace(*document, "sns", strings.Repeat("s", 6000), 1))}); !errors.As(err, &large) {
			t.Errorf("a large document: %v", err)
		}
		var lockout *types.LockoutPreventionException
		if _, err := client.PutResourcePolicy(ctx, &xray.PutResourcePolicyInput{PolicyName: aws.String("mill"), PolicyDocument: aws.String(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"xray:*","Resource":"*"}}`)}); !errors.As(err, &lockout) {
			t.Errorf("a policy that locks its owner out: %v", err)
		}
		var many *types.PolicyCountLimitExceededException
		for i := range 5 {
			_, err = client.PutResourcePolicy(ctx, &xray.PutResourcePolicyInput{PolicyName: aws.String(fmt.Sprint("more", i)), PolicyDocument: document})
		}
		if !errors.As(err, &many) {
			t.Errorf("a sixth policy: %v", err)
		}
		_, err = client.DeleteResourcePolicy(ctx, &xray.DeleteResourcePolicyInput{PolicyName: aws.String("mill"), PolicyRevisionId: aws.String("1")})
		must(t, err)
	})

	t.Run("insights", func(t *testing.T) {
		list, err := client.GetInsightSummaries(ctx, &xray.GetInsightSummariesInput{GroupName: aws.String("Default"), StartTime: start, EndTime: end, States: []types.InsightState{types.InsightStateActive}})
		must(t, err)
		if list.InsightSummaries == nil || len(list.InsightSummaries) != 0 {
			t.Errorf("insights: %+v", list.InsightSummaries)
		}
		for name, call := range map[string]func() error{
			"GetInsight": func() error {
				_, err := client.GetInsight(ctx, &xray.GetInsightInput{InsightId: aws.String(insightID)})
				return err
			},
			"GetInsightEvents": func() error {
				_, err := client.GetInsightEvents(ctx, &xray.GetInsightEventsInput{InsightId: aws.String(insightID)})
				return err
			},
			"GetInsightImpactGraph": func() error {
				_, err := client.GetInsightImpactGraph(ctx, &xray.GetInsightImpactGraphInput{InsightId: aws.String(insightID), StartTime: start, EndTime: end})
				return err
			},
		} {
			var invalid *types.InvalidRequestException
			if err := call(); !errors.As(err, &invalid) || invalid.ErrorMessage() != "Insight not found" {
				t.Errorf("%s: %v", name, err)
			}
		}
		var api smithy.APIError
		if _, err := client.GetInsight(ctx, &xray.GetInsightInput{InsightId: aws.String("x")}); !errors.As(err, &api) || api.ErrorCode() != "ValidationException" {
			t.Errorf("a malformed id: %v", err)
		}
	})

	operations := goOperations()
	if len(operations) < 38 {
		t.Errorf("found %d operations of the client", len(operations))
	}
	for _, name := range operations {
		if recorder.called[name] == nil {
			t.Errorf("%s was not called", name)
		}
	}
	for code, k := range bad {
		options := goClient(s).Options()
		options.Credentials = k.credentials()
		client := reflect.ValueOf(xray.New(options))
		for name, in := range recorder.called {
			out := client.MethodByName(name).Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(in)})
			err, _ := out[1].Interface().(error)
			var api smithy.APIError
			if !errors.As(err, &api) || api.ErrorCode() != code {
				t.Errorf("%s: %v, want %s", name, err, code)
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantNotFound(t *testing.T, resource string, call func() error) {
	t.Helper()
	var missing *types.ResourceNotFoundException
	if err := call(); !errors.As(err, &missing) || aws.ToString(missing.ResourceName) != resource {
		t.Errorf("error = %v, want a ResourceNotFoundException about %s", err, resource)
	}
}

// TestBoto3Operations calls every operation that boto3 has.
func TestBoto3Operations(t *testing.T) {
	py := python(t)
	openAndWithKeys(t, func(t *testing.T, s *server, k madeKey, bad map[string]madeKey) {
		list, err := json.Marshal(bad)
		must(t, err)
		checks(t, program(t, k.environment(), py, "python/operations.py", s.URL, string(list)), 10)
	})
}

// TestNodeOperations calls every operation that the JavaScript client has.
func TestNodeOperations(t *testing.T) {
	js := node(t)
	openAndWithKeys(t, func(t *testing.T, s *server, k madeKey, bad map[string]madeKey) {
		list, err := json.Marshal(bad)
		must(t, err)
		checks(t, program(t, k.environment(), js, "node/operations.mjs", s.URL, string(list)), 10)
	})
}

// awsCLI is a process that runs commands of the AWS CLI, one after the other.
type awsCLI struct {
	in  io.Writer
	out *bufio.Reader
}

func newCLI(t *testing.T, py string, env []string) *awsCLI {
	t.Helper()
	cmd := exec.Command(py, "python/cli.py")
	cmd.Env = env
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	var errors strings.Builder
	cmd.Stderr = &errors
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("cli.py: %v\n%s", err, errors.String())
		}
	})
	return &awsCLI{in, bufio.NewReader(out)}
}

// run runs a command and returns all that it printed, and an error when it failed.
func (c *awsCLI) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	line, err := json.Marshal(args)
	must(t, err)
	_, err = c.in.Write(append(line, '\n'))
	must(t, err)
	text, err := c.out.ReadBytes('\n')
	must(t, err)
	var answer struct {
		Status int
		Output string
	}
	must(t, json.Unmarshal(text, &answer))
	if answer.Status != 0 {
		err = fmt.Errorf("exit status %d", answer.Status)
	}
	return answer.Output, err
}

// TestAWSCLIOperations gives every command of aws xray at a prompt.
func TestAWSCLIOperations(t *testing.T) { openAndWithKeys(t, testAWSCLIOperations) }

func testAWSCLIOperations(t *testing.T, s *server, k madeKey, bad map[string]madeKey) {
	py := python(t)
	cli := newCLI(t, py, k.environment())
	listed := strings.Fields(program(t, environment(), py, "-c",
		"import botocore, botocore.session as s; print(*(botocore.xform_name(n, '-') for n in s.get_session().get_service_model('xray').operation_names))"))
	called := map[string][]string{} // by command
	run := func(command string, args ...string) (string, error) {
		called[command] = append([]string{"xray", "--endpoint-url", s.URL, "--output", "json", command}, args...)
		return cli.run(t, called[command]...)
	}
	// ok runs a command, wants a member with that value in what it prints ("": no
	// output at all), and returns it.
	ok := func(want string, command string, args ...string) map[string]any {
		t.Helper()
		out, err := run(command, args...)
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
			return nil
		}
		if want == "" {
			if strings.TrimSpace(out) != "" {
				t.Errorf("%s printed %s", command, out)
			}
			return nil
		}
		var answer map[string]any
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			t.Errorf("%s: %v in %q", command, err, out)
			return nil
		}
		text, _ := json.Marshal(answer) // keys in order, no white space
		if !strings.Contains(string(text), want) {
			t.Errorf("%s printed %s, want %s in it", command, text, want)
		}
		return answer
	}
	refused := func(want, command string, args ...string) {
		t.Helper()
		if out, err := run(command, args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %q, want %q", command, err, out, want)
		}
	}
	text := func(answer map[string]any, keys ...string) string {
		var v any = answer
		for _, k := range keys {
			m, _ := v.(map[string]any)
			v = m[k]
		}
		s, _ := v.(string)
		return s
	}
	now := time.Now().Unix()
	id := fmt.Sprintf("1-%08x-00000000000000000000c11c", now)
	window := []string{"--start-time", fmt.Sprint(now - 600), "--end-time", fmt.Sprint(now + 600)}
	in := func(args ...string) []string { return append(slices.Clone(window), args...) }

	ok(`"UnprocessedTraceSegments":[]`, "put-trace-segments", "--trace-segment-documents", fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000a1","name":"mill","start_time":%d,"end_time":%d}`, id, now-2, now-1))
	ok(`"Duration":1`, "batch-get-traces", "--trace-ids", id)
	ok(id, "get-trace-summaries", in()...)
	ok(`"Name":"mill"`, "get-trace-graph", "--trace-ids", id)
	ok(`"Services":[`, "get-service-graph", in()...)
	ok(`"TimeSeriesServiceStatistics":[`, "get-time-series-service-statistics", in()...)
	ok("", "put-telemetry-records", "--telemetry-records", `[{"Timestamp":1,"SegmentsReceivedCount":2}]`, "--hostname", "mill-1")

	token := text(ok(`"RetrievalToken":"`, "start-trace-retrieval", in("--trace-ids", id)...), "RetrievalToken")
	ok(`"RetrievalStatus":"COMPLETE"`, "list-retrieved-traces", "--retrieval-token", token)
	ok(`"Name":"mill"`, "get-retrieved-traces-graph", "--retrieval-token", token)
	refused("InvalidRequestException", "cancel-trace-retrieval", "--retrieval-token", token)
	refused("ResourceNotFoundException", "cancel-trace-retrieval", "--retrieval-token", "none")

	arn := text(ok(`"GroupName":"mills"`, "create-group", "--group-name", "mills", "--filter-expression", "fault"), "Group", "GroupARN")
	ok(`"FilterExpression":"error"`, "update-group", "--group-name", "mills", "--filter-expression", "error")
	ok(`"GroupName":"mills"`, "get-group", "--group-arn", arn)
	ok(`"GroupName":"mills"`, "get-groups")
	ok("", "tag-resource", "--resource-arn", arn, "--tags", "Key=a,Value=b", "Key=c,Value=d")
	ok("", "untag-resource", "--resource-arn", arn, "--tag-keys", "a")
	ok(`"Tags":[{"Key":"c","Value":"d"}]`, "list-tags-for-resource", "--resource-arn", arn)
	ok("", "delete-group", "--group-name", "mills")

	rule := `{"RuleName":"mill","ResourceARN":"*","Priority":7,"FixedRate":0.5,"ReservoirSize":3,"ServiceName":"*","ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","Version":1}`
	ok(`"RuleName":"mill"`, "create-sampling-rule", "--sampling-rule", rule)
	ok(`"FixedRate":0.25`, "update-sampling-rule", "--sampling-rule-update", `{"RuleName":"mill","FixedRate":0.25}`)
	ok(`"RuleName":"Default"`, "get-sampling-rules")
	ok(`"FixedRate":0.25`, "get-sampling-targets", "--sampling-statistics-documents", fmt.Sprintf(`[{"RuleName":"mill","ClientID":"0123456789abcdef01234567","Timestamp":%d,"RequestCount":1,"SampledCount":1}]`, now))
	ok(`"SamplingStatisticSummaries":[`, "get-sampling-statistic-summaries")
	ok(`"RuleName":"mill"`, "delete-sampling-rule", "--rule-name", "mill")

	ok(`"Status":"UPDATING"`, "put-encryption-config", "--type", "KMS", "--key-id", "alias/mill")
	ok(`"Status":"ACTIVE"`, "get-encryption-config")
	ok(`"Status":"PENDING"`, "update-trace-segment-destination", "--destination", "CloudWatchLogs")
	ok(`"Destination":"CloudWatchLogs"`, "get-trace-segment-destination")
	ok(`"DesiredSamplingPercentage":5`, "update-indexing-rule", "--name", "Default", "--rule", `{"Probabilistic":{"DesiredSamplingPercentage":5}}`)
	ok(`"Name":"Default"`, "get-indexing-rules")
	ok(`"PolicyRevisionId":"1"`, "put-resource-policy", "--policy-name", "mill", "--policy-document", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"xray:PutTraceSegments","Resource":"*"}]}`)
	ok(`"PolicyName":"mill"`, "list-resource-policies")
	ok("", "delete-resource-policy", "--policy-name", "mill")

	ok(`"InsightSummaries":[]`, "get-insight-summaries", in("--group-name", "Default")...)
	refused("Insight not found", "get-insight", "--insight-id", insightID)
	refused("Insight not found", "get-insight-events", "--insight-id", insightID)
	refused("Insight not found", "get-insight-impact-graph", in("--insight-id", insightID)...)

	if len(listed) < 38 {
		t.Errorf("the CLI lists %d commands", len(listed))
	}
	sort.Strings(listed)
	for _, command := range listed {
		if called[command] == nil {
			t.Errorf("aws xray %s was not called", command)
		}
	}
	for command := range maps.Keys(called) {
		if !slices.Contains(listed, command) {
			t.Errorf("the CLI does not list %s", command)
		}
	}
	for code, k := range bad {
		cli := newCLI(t, py, k.environment())
		for command, args := range called {
			if out, err := cli.run(t, args...); err == nil || !strings.Contains(out, "An error occurred ("+code+")") {
				t.Errorf("%s: %v, %q, want %s", command, err, out, code)
			}
		}
	}
}
