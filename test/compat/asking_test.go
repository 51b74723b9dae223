package compat

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"
)

// goPut stores documents through the client.
func goPut(t *testing.T, client *xray.Client, docs ...string) {
	t.Helper()
	out, err := client.PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: docs})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.UnprocessedTraceSegments) > 0 {
		t.Fatalf("refused: %+v", out.UnprocessedTraceSegments)
	}
}

// asking is a server with three traces, which begin at base: a purchase with a
// fault deep down and a slow call, an error at a table, and a throttled request
// that has next to nothing.
type asking struct {
	*server
	client                *xray.Client
	base                  time.Time
	purchase, table, bare string
}

func newAsking(t *testing.T) *asking {
	t.Helper()
	a := &asking{server: serve(t), base: time.Unix(time.Now().Unix()-600, 0)}
	a.client = goClient(a.server)
	id := func(n int) string { return fmt.Sprintf("1-%08x-%024x", a.base.Unix(), n) }
	at := func(seconds float64) string { return fmt.Sprintf("%.3f", float64(a.base.Unix())+seconds) }
	a.purchase, a.table, a.bare = id(1), id(2), id(3)
	goPut(t, a.client,
		fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000a1","name":"store","origin":"AWS::EC2::Instance","start_time":%s,"end_time":%s,"fault":true,"user":"ann",
			"http":{"request":{"method":"POST","url":"https://store.example/buy","client_ip":"10.1.2.3","user_agent":"probe/1"},"response":{"status":502}},
			"aws":{"ec2":{"instance_id":"i-77","availability_zone":"eu-west-1c"}},"resource_arn":"arn:aws:ec2:eu-west-1:123456789012:instance/i-77",
			"annotations":{"plan":"gold","items":3,"gift":true},
			"subsegments":[{"id":"00000000000000a2","name":"bank.example","namespace":"remote","start_time":%s,"end_time":%s,"fault":true}]}`,
			a.purchase, at(0), at(4), at(0.5), at(3.5)),
		fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000b1","parent_id":"00000000000000a2","name":"bank","start_time":%s,"end_time":%s,"fault":true,"user":"bob","annotations":{"plan":"silver"},
			"cause":{"exceptions":[{"id":"00000000000000e1","type":"VaultError","message":"the vault is shut"}]}}`, a.purchase, at(1), at(3)),
		fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000c1","name":"store","origin":"AWS::EC2::Instance","start_time":%s,"end_time":%s,"error":true,"http":{"response":{"status":404}},
			"cause":{"exceptions":[{"id":"00000000000000e2","type":"NoBasket","message":"no such basket"}]},
			"subsegments":[{"id":"00000000000000c2","name":"DynamoDB","namespace":"aws","aws":{"operation":"GetItem","table_name":"baskets"},"start_time":%s,"end_time":%s,"error":true}]}`,
			a.table, at(10), at(10.5), at(10.125), at(10.25)),
		fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000d1","name":"store","start_time":%s,"end_time":%s,"error":true,"throttle":true}`, a.bare, at(20), at(20.25)))
	return a
}

// summaries asks for all traces that a filter finds.
func (a *asking) summaries(t *testing.T, filter string) map[string]types.TraceSummary {
	t.Helper()
	in := &xray.GetTraceSummariesInput{StartTime: aws.Time(a.base.Add(-time.Minute)), EndTime: aws.Time(a.base.Add(time.Minute))}
	if filter != "" {
		in.FilterExpression = aws.String(filter)
	}
	out := make(map[string]types.TraceSummary)
	for pager := xray.NewGetTraceSummariesPaginator(a.client, in); pager.HasMorePages(); {
		page, err := pager.NextPage(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		if !page.ApproximateTime.Equal(a.base.Add(-time.Minute)) || page.TracesProcessedCount == nil {
			t.Errorf("ApproximateTime %v, TracesProcessedCount %v", page.ApproximateTime, page.TracesProcessedCount)
		}
		for _, s := range page.TraceSummaries {
			out[aws.ToString(s.Id)] = s
		}
	}
	return out
}

// TestGoAskingSummaries has aws-sdk-go-v2 decode all that a summary can hold.
func TestGoAskingSummaries(t *testing.T) {
	a := newAsking(t)
	all := a.summaries(t, "")
	if len(all) != 3 {
		t.Fatalf("%d summaries, want 3", len(all))
	}
	for id, s := range all {
		dereference(t, id, s)
	}

	s := all[a.purchase]
	if !aws.ToBool(s.HasFault) || aws.ToBool(s.HasError) || aws.ToBool(s.HasThrottle) || aws.ToBool(s.IsPartial) ||
		aws.ToFloat64(s.Duration) != 4 || aws.ToFloat64(s.ResponseTime) != 4 || !s.StartTime.Equal(a.base) || s.Revision != 1 || s.MatchedEventTime != nil {
		t.Errorf("summary: %+v", s)
	}
	if h := s.Http; aws.ToString(h.HttpMethod) != "POST" || aws.ToString(h.HttpURL) != "https://store.example/buy" || aws.ToInt32(h.HttpStatus) != 502 ||
		aws.ToString(h.ClientIp) != "10.1.2.3" || aws.ToString(h.UserAgent) != "probe/1" {
		t.Errorf("Http: %+v", h)
	}
	if e := s.EntryPoint; aws.ToString(e.Name) != "store" || aws.ToString(e.Type) != "AWS::EC2::Instance" || !slices.Equal(e.Names, []string{"store"}) {
		t.Errorf("EntryPoint: %+v", e)
	}
	values := make(map[string][]string)
	for key, list := range s.Annotations {
		for _, v := range list {
			switch v := v.AnnotationValue.(type) {
			case *types.AnnotationValueMemberStringValue:
				values[key] = append(values[key], "text "+v.Value)
			case *types.AnnotationValueMemberNumberValue:
				values[key] = append(values[key], fmt.Sprint("number ", v.Value))
			case *types.AnnotationValueMemberBooleanValue:
				values[key] = append(values[key], fmt.Sprint("boolean ", v.Value))
			default:
				t.Errorf("annotation %s is a %T", key, v)
			}
		}
		slices.Sort(values[key])
	}
	if want := map[string][]string{"plan": {"text gold", "text silver"}, "items": {"number 3"}, "gift": {"boolean true"}}; !reflect.DeepEqual(values, want) {
		t.Errorf("Annotations = %v, want %v", values, want)
	}
	var users, services []string
	for _, u := range s.Users {
		users = append(users, aws.ToString(u.UserName))
	}
	for _, v := range s.ServiceIds {
		services = append(services, aws.ToString(v.Name)+"|"+aws.ToString(v.Type))
	}
	slices.Sort(users)
	slices.Sort(services)
	if !slices.Equal(users, []string{"ann", "bob"}) || !slices.Equal(services, []string{"bank|", "store|AWS::EC2::Instance", "store|client"}) {
		t.Errorf("Users = %q, ServiceIds = %q", users, services)
	}
	if len(s.AvailabilityZones) != 1 || aws.ToString(s.AvailabilityZones[0].Name) != "eu-west-1c" || len(s.InstanceIds) != 1 || aws.ToString(s.InstanceIds[0].Id) != "i-77" ||
		len(s.ResourceARNs) != 1 || aws.ToString(s.ResourceARNs[0].ARN) != "arn:aws:ec2:eu-west-1:123456789012:instance/i-77" {
		t.Errorf("zones %+v, instances %+v, resources %+v", s.AvailabilityZones, s.InstanceIds, s.ResourceARNs)
	}

	if len(s.FaultRootCauses) != 1 || len(s.ErrorRootCauses) != 0 || len(s.ResponseTimeRootCauses) != 1 {
		t.Fatalf("%d, %d and %d root causes", len(s.FaultRootCauses), len(s.ErrorRootCauses), len(s.ResponseTimeRootCauses))
	}
	var path []string
	for _, service := range s.FaultRootCauses[0].Services {
		for _, e := range service.EntityPath {
			text := fmt.Sprintf("%s/%s remote=%t", aws.ToString(service.Name), aws.ToString(e.Name), aws.ToBool(e.Remote))
			for _, x := range e.Exceptions {
				text += fmt.Sprintf(" %s: %s", aws.ToString(x.Name), aws.ToString(x.Message))
			}
			path = append(path, text)
		}
	}
	want := []string{"store/store remote=false", "store/bank.example remote=true", "bank/bank remote=false VaultError: the vault is shut"}
	if !slices.Equal(path, want) || !aws.ToBool(s.FaultRootCauses[0].ClientImpacting) {
		t.Errorf("fault root cause = %q, want %q", path, want)
	}
	path = nil
	for _, service := range s.ResponseTimeRootCauses[0].Services {
		for _, e := range service.EntityPath {
			path = append(path, fmt.Sprintf("%s/%s %g", aws.ToString(service.Name), aws.ToString(e.Name), aws.ToFloat64(e.Coverage)))
		}
	}
	if want := []string{"store/store 1", "store/bank.example 0.75"}; !slices.Equal(path, want) {
		t.Errorf("response time root cause = %q, want %q", path, want)
	}

	s = all[a.table]
	if len(s.ErrorRootCauses) != 1 {
		t.Fatalf("%d root causes of the error", len(s.ErrorRootCauses))
	}
	services = nil
	for _, v := range s.ErrorRootCauses[0].Services {
		services = append(services, fmt.Sprintf("%s|%s inferred=%t", aws.ToString(v.Name), aws.ToString(v.Type), aws.ToBool(v.Inferred)))
	}
	if want := []string{"store|AWS::EC2::Instance inferred=false", "baskets|AWS::DynamoDB::Table inferred=true"}; !slices.Equal(services, want) {
		t.Errorf("services of the error's root cause = %q, want %q", services, want)
	}
	if s := all[a.bare]; !aws.ToBool(s.HasThrottle) || aws.ToBool(s.HasError) || s.Http.HttpStatus != nil || s.EntryPoint.Type != nil {
		t.Errorf("the throttled one: %+v", s)
	}

	for filter, want := range map[string][]string{
		`fault`: {a.purchase}, `error`: {a.table}, `throttle`: {a.bare},
		`service("bank") { fault }`:                                  {a.purchase},
		`edge("store", "bank") { responsetime = 3 }`:                 {a.purchase},
		`service(id(name: "baskets", type: "AWS::DynamoDB::Table"))`: {a.table},
		`annotation.plan = "silver" user = "ann"`:                    {a.purchase},
		`rootcause.fault.exception { message CONTAINS "vault" }`:     {a.purchase},
		`http.status >= 400 AND http.status < 500`:                   {a.table},
		`responsetime <= 0.5`:                                        {a.table, a.bare},
		`duration = "slow"`:                                          {},
	} {
		var got []string
		for id, s := range a.summaries(t, filter) {
			dereference(t, id, s)
			got = append(got, id)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Errorf("%s finds %q, want %q", filter, got, want)
		}
	}

	_, err := a.client.GetTraceSummaries(t.Context(), &xray.GetTraceSummariesInput{StartTime: aws.Time(a.base), EndTime: aws.Time(a.base), FilterExpression: aws.String("((fault)")})
	var invalid *types.InvalidRequestException
	if !errors.As(err, &invalid) || invalid.ErrorMessage() != "Error Location: line 1, position 9 : missing ')' at end of expression" {
		t.Errorf("a bad filter: %v", err)
	}
}

// dereference does what consoles do without looking: everything here must be there.
func dereference(t *testing.T, id string, s types.TraceSummary) {
	t.Helper()
	need := func(ok bool, what string) {
		t.Helper()
		if !ok {
			t.Errorf("%s: %s is nil", id, what)
		}
	}
	need(s.Http != nil, "Http")
	need(s.HasError != nil && s.HasFault != nil && s.HasThrottle != nil && s.IsPartial != nil, "a flag")
	need(s.Duration != nil && s.ResponseTime != nil && s.StartTime != nil, "a time")
	need(s.EntryPoint != nil && s.EntryPoint.Name != nil, "EntryPoint")
	need(s.Annotations != nil && s.Users != nil && s.ServiceIds != nil && s.ResourceARNs != nil && s.InstanceIds != nil && s.AvailabilityZones != nil, "a list")
	need(s.FaultRootCauses != nil && s.ErrorRootCauses != nil && s.ResponseTimeRootCauses != nil, "a list of root causes")
	for _, c := range s.FaultRootCauses {
		need(c.ClientImpacting != nil && len(c.Services) > 0, "the cause of a fault")
		for _, v := range c.Services {
			need(v.Name != nil && v.Type != nil && v.Inferred != nil && len(v.Names) > 0 && len(v.EntityPath) > 0, "Name, Type or path of a cause's service")
			for _, e := range v.EntityPath {
				need(e.Name != nil && e.Remote != nil && e.Exceptions != nil, "an entity's member")
			}
		}
	}
	for _, c := range s.ErrorRootCauses {
		need(c.ClientImpacting != nil && len(c.Services) > 0, "the cause of an error")
		for _, v := range c.Services {
			need(v.Name != nil && v.Type != nil && v.Inferred != nil && len(v.Names) > 0 && len(v.EntityPath) > 0, "Name, Type or path of a cause's service")
			for _, e := range v.EntityPath {
				need(e.Name != nil && e.Remote != nil && e.Exceptions != nil, "an entity's member")
			}
		}
	}
	for _, c := range s.ResponseTimeRootCauses {
		need(c.ClientImpacting != nil && len(c.Services) > 0, "the cause of a response time")
		for _, v := range c.Services {
			need(v.Name != nil && v.Type != nil && v.Inferred != nil && len(v.Names) > 0 && len(v.EntityPath) > 0, "Name, Type or path of a cause's service")
			for _, e := range v.EntityPath {
				need(e.Name != nil && e.Remote != nil && e.Coverage != nil, "an entity's member")
			}
		}
	}
}

// drawing writes a graph as lines, and looks at what consoles dereference.
func drawing(t *testing.T, services []types.Service) string {
	t.Helper()
	names := make(map[int32]string)
	for i, s := range services {
		if s.ReferenceId == nil || *s.ReferenceId != int32(i) || s.Name == nil || s.State == nil || s.Edges == nil || !slices.Equal(s.Names, []string{*s.Name}) {
			t.Fatalf("node %d: %+v", i, s)
		}
		names[*s.ReferenceId] = *s.Name + "|" + aws.ToString(s.Type)
	}
	var b strings.Builder
	for i, s := range services {
		fmt.Fprintf(&b, "%s %s root=%t", names[int32(i)], *s.State, aws.ToBool(s.Root))
		if n := s.SummaryStatistics; n != nil {
			fmt.Fprintf(&b, " ok=%d error=%d throttle=%d fault=%d total=%d time=%g", *n.OkCount, *n.ErrorStatistics.OtherCount, *n.ErrorStatistics.ThrottleCount,
				*n.FaultStatistics.TotalCount, *n.TotalCount, *n.TotalResponseTime)
			for _, list := range [][]types.HistogramEntry{s.ResponseTimeHistogram, s.DurationHistogram} {
				b.WriteString(" " + histogram(list))
			}
		}
		b.WriteByte('\n')
		for _, e := range s.Edges {
			n := e.SummaryStatistics
			fmt.Fprintf(&b, "  -> %s ok=%d error=%d throttle=%d fault=%d total=%d %s", names[*e.ReferenceId], *n.OkCount, *n.ErrorStatistics.OtherCount,
				*n.ErrorStatistics.ThrottleCount, *n.FaultStatistics.TotalCount, *n.TotalCount, histogram(e.ResponseTimeHistogram))
			for _, alias := range e.Aliases {
				fmt.Fprintf(&b, " as %s %s", *alias.Name, *alias.Type)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func histogram(list []types.HistogramEntry) string {
	counts := make(map[float64]int32)
	for _, e := range list {
		counts[e.Value] += e.Count
	}
	return fmt.Sprint(counts) // in order of the keys
}

// TestGoAskingGraphs has aws-sdk-go-v2 decode graphs and statistics.
func TestGoAskingGraphs(t *testing.T) {
	a := newAsking(t)
	ctx := t.Context()
	from, to := aws.Time(a.base), aws.Time(time.Now().Add(10*time.Minute))
	var services []types.Service
	var first *xray.GetServiceGraphOutput
	read := func() int {
		services = nil
		for pager := xray.NewGetServiceGraphPaginator(a.client, &xray.GetServiceGraphInput{StartTime: from, EndTime: to}); pager.HasMorePages(); {
			page, err := pager.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			first, services = page, append(services, page.Services...)
		}
		return len(services)
	}
	eventually(t, "all services are in the graph", func() bool { return read() == 5 })
	want := strings.TrimLeft(`
bank| active root=false ok=0 error=0 throttle=0 fault=1 total=1 time=2 map[2:1] map[2:1]
baskets|AWS::DynamoDB::Table unknown root=false ok=0 error=1 throttle=0 fault=0 total=1 time=0.125 map[0.125:1] map[0.125:1]
store| active root=true ok=0 error=0 throttle=1 fault=0 total=1 time=0.25 map[0.25:1] map[0.25:1]
store|AWS::EC2::Instance active root=true ok=0 error=1 throttle=0 fault=1 total=2 time=4.5 map[0.5:1 4:1] map[0.5:1 4:1]
  -> bank| ok=0 error=0 throttle=0 fault=1 total=1 map[3:1] as bank.example remote
  -> baskets|AWS::DynamoDB::Table ok=0 error=1 throttle=0 fault=0 total=1 map[0.125:1]
store|client unknown root=false
  -> store| ok=0 error=0 throttle=1 fault=0 total=1 map[0.25:1]
  -> store|AWS::EC2::Instance ok=0 error=1 throttle=0 fault=1 total=2 map[0.5:1 4:1]
`, "\n")
	if got := drawing(t, services); got != want {
		t.Errorf("the service graph is\n%swant\n%s", got, want)
	}
	// Times are those of the roots: the first one's start, the last one's.
	if !first.StartTime.Equal(a.base) || !first.EndTime.Equal(a.base.Add(20*time.Second)) || first.ContainsOldGroupVersions {
		t.Errorf("the graph goes from %v to %v (old versions: %t), want %v and 20 s more", first.StartTime, first.EndTime, first.ContainsOldGroupVersions, a.base)
	}
	if s := services[3]; !s.StartTime.Equal(a.base) || !s.EndTime.Equal(a.base.Add(11*time.Second)) || !s.Edges[0].StartTime.Equal(a.base) || !s.Edges[0].EndTime.Equal(*s.EndTime) {
		t.Errorf("times of the store: %v to %v, of its edge %v to %v", s.StartTime, s.EndTime, s.Edges[0].StartTime, s.Edges[0].EndTime)
	}

	graph, err := a.client.GetTraceGraph(ctx, &xray.GetTraceGraphInput{TraceIds: []string{a.purchase}})
	if err != nil {
		t.Fatal(err)
	}
	want = strings.TrimLeft(`
bank| active root=false ok=0 error=0 throttle=0 fault=1 total=1 time=2 map[2:1] map[2:1]
store|AWS::EC2::Instance active root=true ok=0 error=0 throttle=0 fault=1 total=1 time=4 map[4:1] map[4:1]
  -> bank| ok=0 error=0 throttle=0 fault=1 total=1 map[3:1] as bank.example remote
store|client unknown root=false
  -> store|AWS::EC2::Instance ok=0 error=0 throttle=0 fault=1 total=1 map[4:1]
`, "\n")
	if got := drawing(t, graph.Services); got != want {
		t.Errorf("the trace's graph is\n%swant\n%s", got, want)
	}
	// Consoles ask for the graph of several traces at once.
	if graph, err = a.client.GetTraceGraph(ctx, &xray.GetTraceGraphInput{TraceIds: []string{a.purchase, a.table, a.bare}}); err != nil || len(graph.Services) != 5 {
		t.Errorf("the graph of three traces: %d nodes, %v", len(graph.Services), err)
	}
	var invalid *types.InvalidRequestException
	if _, err = a.client.GetTraceGraph(ctx, &xray.GetTraceGraphInput{TraceIds: []string{"1-00000001-000000000000000000000009"}}); !errors.As(err, &invalid) || invalid.ErrorMessage() != "Trace id not found" {
		t.Errorf("the graph of an unknown trace: %v", err)
	}

	for _, c := range []struct {
		selector string
		service  bool
		numbers  string
	}{
		{`service("bank")`, true, "ok=0 error=0 throttle=0 fault=1 total=1 map[2:1]"},
		{`service(id(name: "baskets", type: "AWS::DynamoDB::Table"))`, true, "ok=0 error=1 throttle=0 fault=0 total=1 map[0.125:1]"},
		{`edge("store", "bank")`, false, "ok=0 error=0 throttle=0 fault=1 total=1 map[3:1]"},
		{``, false, "ok=0 error=1 throttle=1 fault=1 total=3 map[0.25:1 0.5:1 4:1]"},
	} {
		in := &xray.GetTimeSeriesServiceStatisticsInput{StartTime: from, EndTime: to, Period: aws.Int32(300)}
		if c.selector != "" {
			in.EntitySelectorExpression = aws.String(c.selector)
		}
		var got []string
		for pager := xray.NewGetTimeSeriesServiceStatisticsPaginator(a.client, in); pager.HasMorePages(); {
			page, err := pager.NextPage(ctx)
			if err != nil {
				t.Fatalf("%s: %v", c.selector, err)
			}
			for _, p := range page.TimeSeriesServiceStatistics {
				if p.Timestamp == nil || p.Timestamp.Unix()%300 != 0 || p.ServiceForecastStatistics == nil {
					t.Errorf("%s: %+v", c.selector, p)
				}
				text := ""
				switch s, e := p.ServiceSummaryStatistics, p.EdgeSummaryStatistics; {
				case c.service && s != nil:
					text = fmt.Sprintf("ok=%d error=%d throttle=%d fault=%d total=%d", *s.OkCount, *s.ErrorStatistics.OtherCount, *s.ErrorStatistics.ThrottleCount, *s.FaultStatistics.OtherCount, *s.TotalCount)
				case !c.service && e != nil:
					text = fmt.Sprintf("ok=%d error=%d throttle=%d fault=%d total=%d", *e.OkCount, *e.ErrorStatistics.OtherCount, *e.ErrorStatistics.ThrottleCount, *e.FaultStatistics.OtherCount, *e.TotalCount)
				}
				got = append(got, text+" "+histogram(p.ResponseTimeHistogram))
			}
		}
		// All documents were received in one call, and so in one minute.
		if !slices.Equal(got, []string{c.numbers}) {
			t.Errorf("statistics of %s: %q, want %q", c.selector, got, c.numbers)
		}
	}
	if _, err := a.client.GetTimeSeriesServiceStatistics(ctx, &xray.GetTimeSeriesServiceStatisticsInput{StartTime: from, EndTime: to, EntitySelectorExpression: aws.String("service()")}); !errors.As(err, &invalid) ||
		invalid.ErrorMessage() != "Error Location: line 1, position 9 : Invalid input symbol: ')'" {
		t.Errorf("a bad selector: %v", err)
	}
}

// TestGoAskingGroups drives the life of a group with aws-sdk-go-v2.
func TestGoAskingGroups(t *testing.T) {
	a := newAsking(t)
	ctx := t.Context()
	made, err := a.client.CreateGroup(ctx, &xray.CreateGroupInput{GroupName: aws.String("failing"), FilterExpression: aws.String("fault OR throttle")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.client.GetGroup(ctx, &xray.GetGroupInput{GroupARN: made.Group.GroupARN})
	if err != nil || !reflect.DeepEqual(got.Group, made.Group) || made.Group.InsightsConfiguration == nil || aws.ToBool(made.Group.InsightsConfiguration.InsightsEnabled) {
		t.Errorf("%+v, %v; made %+v", got, err, made.Group)
	}
	members := func() (string, bool) {
		out, err := a.client.GetServiceGraph(ctx, &xray.GetServiceGraphInput{StartTime: aws.Time(a.base), EndTime: aws.Time(time.Now().Add(time.Minute)), GroupName: aws.String("failing")})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range out.Services {
			if s.SummaryStatistics != nil {
				names = append(names, fmt.Sprint(*s.Name, *s.SummaryStatistics.TotalCount))
			}
		}
		return strings.Join(names, " "), out.ContainsOldGroupVersions
	}
	n := 0
	send := func(name, more string) {
		n++
		goPut(t, a.client, fmt.Sprintf(`{"trace_id":"1-%08x-%024x","id":"%016x","name":%q,"start_time":%d,"end_time":%d%s}`, a.base.Unix(), 1000+n, n, name, a.base.Unix(), a.base.Unix()+1, more))
	}
	wait := func(want string, wantOld bool) {
		t.Helper()
		var names string
		var old bool
		for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if names, old = members(); names == want && old == wantOld {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the group's graph has %q (old versions: %t), want %q (%t)", names, old, want, wantOld)
			}
		}
	}
	send("bad", `,"fault":true`)
	send("good", ``)
	wait("bad1", false)
	if _, err := a.client.UpdateGroup(ctx, &xray.UpdateGroupInput{GroupName: aws.String("failing"), FilterExpression: aws.String("ok"), InsightsConfiguration: &types.InsightsConfiguration{InsightsEnabled: aws.Bool(true)}}); err != nil {
		t.Fatal(err)
	}
	send("bad", `,"fault":true`)
	send("good", ``)
	wait("bad1 good1", true)
	var all []string
	for pager := xray.NewGetGroupsPaginator(a.client, &xray.GetGroupsInput{}); pager.HasMorePages(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range page.Groups {
			all = append(all, fmt.Sprintf("%s %q %t", *g.GroupName, aws.ToString(g.FilterExpression), aws.ToBool(g.InsightsConfiguration.InsightsEnabled)))
		}
	}
	if want := []string{`Default "" false`, `failing "ok" true`}; !slices.Equal(all, want) {
		t.Errorf("groups = %q, want %q", all, want)
	}
	if _, err := a.client.DeleteGroup(ctx, &xray.DeleteGroupInput{GroupARN: made.Group.GroupARN}); err != nil {
		t.Fatal(err)
	}
	var invalid *types.InvalidRequestException
	if _, err := a.client.GetGroup(ctx, &xray.GetGroupInput{GroupName: aws.String("failing")}); !errors.As(err, &invalid) || invalid.ErrorMessage() != "Group not found" {
		t.Errorf("a deleted group: %v", err)
	}
}
