package xrayapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/aws-sdk-go-v2/service/xray/types"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/sharedtest"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/segment"
)

// tell files a trace of these documents, received at so many unix seconds.
func tell(t *testing.T, g *xrayapi.FakeGraph, of tracestore.GroupRef, received int64, docs ...string) {
	t.Helper()
	var list []trace.Document
	for i, text := range docs {
		s, err := segment.Parse([]byte(text), segment.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, trace.Document{Seq: uint64(i + 1), Put: 1, Received: received * 1000, Segment: s})
	}
	g.Tell(of, trace.Assemble(list[0].Segment.TraceID, list))
}

// named matches nodes by name, and by type when there is one.
type named struct{ name, typ string }

func (n named) MatchNode(name, typ, _ string) bool {
	return name == n.name && (n.typ == "" || typ == n.typ)
}

// selectors stands for the parser of selectors: words for the tests.
func selectors(text string) (servicegraph.Selection, error) {
	f := strings.Fields(text)
	switch {
	case len(f) == 2 && f[0] == "service":
		return servicegraph.Selection{Service: named{name: f[1]}}, nil
	case len(f) == 3 && f[0] == "service":
		return servicegraph.Selection{Service: named{f[1], f[2]}}, nil
	case len(f) == 3 && f[0] == "edge":
		return servicegraph.Selection{From: named{name: f[1]}, To: named{name: f[2]}}, nil
	}
	return servicegraph.Selection{}, errors.New("Error Location: line 1, position 1 : Invalid input symbol: 'id'")
}

const (
	shopTrace = `{"trace_id":"1-6ab38001-000000000000000000000001","id":"00000000000000a1","name":"shop","start_time":1795355990.5,"end_time":1795355992.5,` +
		`"aws":{"region":"eu-central-1"},"subsegments":[` +
		`{"id":"00000000000000a2","name":"stock.internal","namespace":"remote","start_time":1795355990.75,"end_time":1795355991.25},` +
		`{"id":"00000000000000a3","name":"DynamoDB","namespace":"aws","start_time":1795355991,"end_time":1795355991.125,"throttle":true,"error":true,` +
		`"aws":{"operation":"GetItem","table_name":"carts","region":"eu-central-1"}}]}`
	stockSegment = `{"trace_id":"1-6ab38001-000000000000000000000001","id":"00000000000000b1","parent_id":"00000000000000a2","name":"stock","start_time":1795355990.75,"end_time":1795355991,"fault":true}`
)

// TestTraceGraphWire holds the whole answer, byte by byte.
func TestTraceGraphWire(t *testing.T) {
	f := serve(t, nil, nil)
	f.put(t, shopTrace, stockSegment)
	const stats = `{"ErrorStatistics":{"OtherCount":0,"ThrottleCount":%d,"TotalCount":%d},"FaultStatistics":{"OtherCount":%d,"TotalCount":%d},"OkCount":%d,"TotalCount":1,"TotalResponseTime":%s}`
	ok := func(seconds string) string { return fmt.Sprintf(stats, 0, 0, 0, 0, 1, seconds) }
	one := func(seconds string) string { return `[{"Count":1,"Value":` + seconds + `}]` }
	edge := func(aliases string, to int, seconds, stats string) string {
		return fmt.Sprintf(`{"Aliases":[%s],"EndTime":null,"ReferenceId":%d,"ResponseTimeHistogram":%s,"StartTime":null,"SummaryStatistics":%s}`, aliases, to, one(seconds), stats)
	}
	node := func(ref int, name, typ, state, root, region, histogram, stats, edges string) string {
		return fmt.Sprintf(`{"AccountId":null,"DurationHistogram":%s,"Edges":[%s],"EndTime":null,"HostedIn":null,"KeyAttributes":null,"Name":%q,"Names":[%q],"ReferenceId":%d,`+
			`"Region":%s,"ResponseTimeHistogram":%s,"Root":%s,"StartTime":null,"State":%q,"SummaryStatistics":%s,"Type":%s}`,
			histogram, edges, name, name, ref, region, histogram, root, state, stats, typ)
	}
	throttled, failed := fmt.Sprintf(stats, 1, 1, 0, 0, 0, "0.125"), fmt.Sprintf(stats, 0, 0, 1, 1, 0, "0.25")
	want := `{"NextToken":null,"Services":[` + strings.Join([]string{
		node(0, "carts", `"AWS::DynamoDB::Table"`, "unknown", "null", `"eu-central-1"`, one("0.125"), throttled, ""),
		node(1, "shop", "null", "active", "true", `"eu-central-1"`, one("2.0"), ok("2.0"),
			edge("", 0, "0.125", throttled)+","+edge(`{"Name":"stock.internal","Names":["stock.internal"],"Type":"remote"}`, 3, "0.5", ok("0.5"))),
		node(2, "shop", `"client"`, "unknown", "null", "null", "null", "null", edge("", 1, "2.0", ok("2.0"))),
		node(3, "stock", "null", "active", "null", "null", one("0.25"), failed, ""),
	}, ",") + `]}`
	status, _, got := f.post(t, "/TraceGraph", `{"TraceIds":["1-6ab38001-000000000000000000000001"]}`)
	if status != 200 || got != want {
		t.Errorf("%d\n%s\nwant\n%s", status, got, want)
	}
}

func TestTraceGraphIDs(t *testing.T) {
	const known, other, unknown = `"1-6ab38001-000000000000000000000001"`, `"1-6ab38001-000000000000000000000002"`, `"1-6ab38001-00000000000000000000000f"`
	for _, c := range []struct {
		body string
		aws  bool
		code string
		want string // of errors the message, else how often shop was counted
	}{
		{`{}`, false, "ValidationException", `1 validation error detected: Value null at 'traceIds' failed to satisfy constraint: Member must not be null`},
		{`{"TraceIds":[]}`, false, "InvalidRequestException", "Zero trace ids provided"},
		{`{"TraceIds":["x"]}`, false, "InvalidRequestException", "Invalid traceId. ErrorCode: InvalidId"},
		{`{"TraceIds":[` + unknown + `]}`, false, "InvalidRequestException", "Trace id not found"},
		{`{"TraceIds":[` + known + `],"NextToken":"a"}`, false, "InvalidRequestException", "NextToken is currently not supported"},
		{`{"TraceIds":[` + known + `,` + known + `]}`, true, "InvalidRequestException", "Currently only one trace Id is supported"},
		{`{"TraceIds":[` + known + `,` + unknown + `]}`, true, "InvalidRequestException", "Currently only one trace Id is supported"},
		{`{"TraceIds":[` + known + strings.Repeat(`,`+known, 100) + `]}`, false, "InvalidRequestException", "Exceeding maximum query size: 100"},
		{`{"TraceIds":[` + known + `]}`, true, "", "1"},
		{`{"TraceIds":[` + known + `,"6ab38001000000000000000000000001"]}`, false, "", "1"}, // one id, twice
		{`{"TraceIds":[` + known + `,` + unknown + `,` + other + `]}`, false, "", "2"},
	} {
		f := serve(t, nil, func(cfg *xrayapi.Config) { cfg.AWSLimits = c.aws })
		f.put(t, shopTrace, strings.ReplaceAll(shopTrace, "000001\"", "000002\""))
		status, code, got := f.post(t, "/TraceGraph", c.body)
		if c.code != "" {
			if status != 400 || code != c.code || !strings.Contains(got, `essage":"`+c.want+`"`) {
				t.Errorf("%.80s aws=%t: %d %s %s, want %s", c.body, c.aws, status, code, got, c.want)
			}
			continue
		}
		if status != 200 || !strings.Contains(got, `"Name":"shop","Names":["shop"],"ReferenceId":1`) || !strings.Contains(got, `"OkCount":`+c.want+`,"TotalCount":`+c.want+`,"TotalResponseTime"`) {
			t.Errorf("%.80s aws=%t: %d %s", c.body, c.aws, status, got)
		}
	}
}

// TestServiceGraphCut gives the busiest nodes of a graph with more than may be given,
// and says so.
func TestServiceGraphCut(t *testing.T) {
	g := &xrayapi.FakeGraph{}
	for i := range 12 {
		for n := range i + 1 {
			tell(t, g, tracestore.GroupRef{}, 1000, fmt.Sprintf(`{"trace_id":"1-6ab38001-%012d%012d","id":"00000000000000a1","name":"s%02d","start_time":1000,"end_time":1001}`, i, n, i))
		}
	}
	for _, c := range []struct {
		most, nodes int
		header      string
	}{{0, 24, ""}, {24, 24, ""}, {23, 23, "23"}, {4, 4, "4"}} {
		f := serve(t, nil, func(cfg *xrayapi.Config) { cfg.Graph, cfg.Limits.GraphNodes = g, c.most })
		resp, err := f.Client().Post(f.URL+"/ServiceGraph", "application/json", strings.NewReader(`{"StartTime":0,"EndTime":2000}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		type service struct {
			Name              string
			SummaryStatistics *struct{ TotalCount int }
		}
		var answer struct{ Services []service }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get(xrayapi.HeaderGraphCut); got != c.header || len(answer.Services) != c.nodes {
			t.Errorf("of at most %d: %d nodes, header %q, want %d and %q", c.most, len(answer.Services), got, c.nodes, c.header)
		}
		busiest := slices.ContainsFunc(answer.Services, func(s service) bool {
			return s.Name == "s11" && s.SummaryStatistics != nil && s.SummaryStatistics.TotalCount == 12
		})
		if !busiest {
			t.Errorf("of at most %d: s11 is not there with its 12 observations", c.most)
		}
	}
}

func TestServiceGraphErrors(t *testing.T) {
	group := func(name, arn string) (tracestore.GroupRef, []tracestore.GroupRef, bool) {
		return tracestore.GroupRef{Group: 1, Version: 1}, nil, name == "errors" || arn == "arn:errors"
	}
	for _, c := range []struct {
		name, path, body string
		aws              bool
		want             string // message, "" when the answer is 200
	}{
		{"reversed", "/ServiceGraph", `{"StartTime":2,"EndTime":1}`, false, "End time cannot be earlier than start time"},
		{"equal", "/ServiceGraph", `{"StartTime":2,"EndTime":2}`, false, ""},
		{"token", "/ServiceGraph", `{"StartTime":1,"EndTime":2,"NextToken":"x"}`, false, "NextToken is currently not supported"},
		{"group", "/ServiceGraph", `{"StartTime":1,"EndTime":2,"GroupName":"nobody"}`, false, "Group not found."},
		{"ARN", "/ServiceGraph", `{"StartTime":1,"EndTime":2,"GroupARN":"arn:nobody"}`, false, "Group not found."},
		{"known group", "/ServiceGraph", `{"StartTime":1,"EndTime":2,"GroupName":"errors"}`, false, ""},
		{"known ARN", "/ServiceGraph", `{"StartTime":1,"EndTime":2,"GroupARN":"arn:errors"}`, false, ""},
		{"default", "/ServiceGraph", `{"StartTime":1,"EndTime":2,"GroupName":"Default"}`, false, ""},
		{"default ARN", "/ServiceGraph", `{"StartTime":1,"EndTime":2,"GroupARN":"arn:aws:xray:us-east-1:000000000000:group/Default"}`, false, ""},
		{"default name, other ARN", "/ServiceGraph", `{"StartTime":1,"EndTime":2,"GroupName":"Default","GroupARN":"arn:nobody"}`, false, "Group not found."},
		{"wide", "/ServiceGraph", `{"StartTime":0,"EndTime":1e9}`, false, ""},
		{"wide as AWS", "/ServiceGraph", `{"StartTime":0,"EndTime":21601}`, true, "Time range cannot be longer than 6 hours"},
		{"six hours as AWS", "/ServiceGraph", `{"StartTime":0,"EndTime":21600}`, true, ""},
		{"huge", "/ServiceGraph", `{"StartTime":-1e300,"EndTime":1e300}`, false, ""},

		{"reversed", "/TimeSeriesServiceStatistics", `{"StartTime":2,"EndTime":1}`, false, "End time cannot be earlier than start time"},
		{"token", "/TimeSeriesServiceStatistics", `{"StartTime":1,"EndTime":2,"NextToken":"x"}`, false, "Invalid token x"},
		{"group", "/TimeSeriesServiceStatistics", `{"StartTime":1,"EndTime":2,"GroupName":"nobody"}`, false, "Group not found"},
		{"period 0", "/TimeSeriesServiceStatistics", `{"StartTime":1,"EndTime":2,"Period":0}`, false, "Time period must be one of [60, 300]"},
		{"period -1", "/TimeSeriesServiceStatistics", `{"StartTime":1,"EndTime":2,"Period":-1}`, false, "Time period must be one of [60, 300]"},
		{"period 120", "/TimeSeriesServiceStatistics", `{"StartTime":1,"EndTime":2,"Period":120}`, false, "Time period must be one of [60, 300]"},
		{"period 300", "/TimeSeriesServiceStatistics", `{"StartTime":1,"EndTime":2,"Period":300}`, false, ""},
		{"selector", "/TimeSeriesServiceStatistics", `{"StartTime":1,"EndTime":2,"EntitySelectorExpression":"id(0)"}`, false, "Error Location: line 1, position 1 : Invalid input symbol: 'id'"},
		{"wide as AWS", "/TimeSeriesServiceStatistics", `{"StartTime":0,"EndTime":21601}`, true, "Time range cannot be longer than 6 hours"},
	} {
		f := serve(t, nil, func(cfg *xrayapi.Config) {
			cfg.Graph, cfg.Group, cfg.Selector, cfg.AWSLimits = &xrayapi.FakeGraph{}, group, selectors, c.aws
		})
		status, code, got := f.post(t, c.path, c.body)
		switch {
		case c.want == "" && status != 200, c.want != "" && (status != 400 || code != "InvalidRequestException" || got != `{"Message":"`+c.want+`"}`):
			t.Errorf("%s %s: %d %s %s, want %q", c.path, c.name, status, code, got, c.want)
		}
	}

	const nothing = `{"ContainsOldGroupVersions":false,"EndTime":null,"NextToken":null,"Services":[],"StartTime":null}`
	g := &xrayapi.FakeGraph{}
	f := serve(t, nil, func(cfg *xrayapi.Config) { cfg.Graph = g })
	if _, _, got := f.post(t, "/ServiceGraph", `{"StartTime":1,"EndTime":2}`); got != nothing {
		t.Errorf("an empty graph is %s, want %s", got, nothing)
	}
	for _, path := range []string{"/ServiceGraph", "/TimeSeriesServiceStatistics"} {
		g.Err = tracestore.ErrUnavailable
		if status, code, got := f.post(t, path, `{"StartTime":1,"EndTime":2}`); status != 503 {
			t.Errorf("%s without its store: %d %s %s", path, status, code, got)
		}
	}
	f = serve(t, nil, nil)
	if status, code, _ := f.post(t, "/ServiceGraph", `{"StartTime":1,"EndTime":2}`); status != 501 || code != "NotImplementedException" {
		t.Errorf("without a graph: %d %s", status, code)
	}
}

// TestSDKServiceGraph reads graphs with a real client.
func TestSDKServiceGraph(t *testing.T) {
	errorsGroup, before := tracestore.GroupRef{Group: 1, Version: 2}, tracestore.GroupRef{Group: 1, Version: 1}
	g := &xrayapi.FakeGraph{}
	f := serve(t, nil, func(cfg *xrayapi.Config) {
		cfg.Graph, cfg.Selector = g, selectors
		cfg.Group = func(name, _ string) (tracestore.GroupRef, []tracestore.GroupRef, bool) {
			return errorsGroup, []tracestore.GroupRef{before}, name == "errors"
		}
	})
	client, ctx := sdk(f), context.Background()
	const base = 1795356000 // the end of a minute, and of five
	tell(t, g, tracestore.GroupRef{}, base-1, shopTrace, stockSegment)
	tell(t, g, tracestore.GroupRef{}, base+10, strings.ReplaceAll(shopTrace, "1795355", "1795356"))
	tell(t, g, before, base-1, shopTrace, stockSegment)
	tell(t, g, errorsGroup, base+10, strings.ReplaceAll(shopTrace, "1795355", "1795356"))

	graph := func(from, to int64, group string) *xray.GetServiceGraphOutput {
		t.Helper()
		in := &xray.GetServiceGraphInput{StartTime: aws.Time(time.Unix(from, 0)), EndTime: aws.Time(time.Unix(to, 0))}
		if group != "" {
			in.GroupName = aws.String(group)
		}
		out, err := client.GetServiceGraph(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := graph(base-60, base+60, "")
	var names []string
	for i, s := range out.Services {
		if int(*s.ReferenceId) != i {
			t.Errorf("service %d has reference id %d", i, *s.ReferenceId)
		}
		names = append(names, *s.Name+"|"+aws.ToString(s.Type)+"|"+*s.State)
	}
	if got := strings.Join(names, " "); got != "carts|AWS::DynamoDB::Table|unknown shop||active shop|client|unknown stock||active stock.internal|remote|passive" {
		t.Fatalf("nodes %s", got)
	}
	shop, who := out.Services[1], out.Services[2]
	if !aws.ToBool(shop.Root) || who.Root != nil || who.SummaryStatistics != nil || who.DurationHistogram != nil || who.ResponseTimeHistogram != nil {
		t.Errorf("root %v, client %+v", shop.Root, who)
	}
	if n := shop.SummaryStatistics; *n.OkCount != 2 || *n.TotalCount != 2 || *n.TotalResponseTime != 4 || *n.ErrorStatistics.TotalCount != 0 || *n.FaultStatistics.TotalCount != 0 {
		t.Errorf("numbers of shop: %+v", n)
	}
	if h := shop.DurationHistogram; len(h) != 1 || h[0].Value != 2 || h[0].Count != 2 {
		t.Errorf("histogram of shop: %+v", h)
	}
	if n := out.Services[0].SummaryStatistics; *n.OkCount != 0 || *n.ErrorStatistics.ThrottleCount != 2 || *n.ErrorStatistics.OtherCount != 0 || *n.ErrorStatistics.TotalCount != 2 {
		t.Errorf("numbers of carts: %+v", n)
	}
	if s := shop.StartTime.Unix(); s != 1795355990 || shop.EndTime.Unix() != 1795356991 || out.StartTime.Unix() != s || out.EndTime.Unix() != 1795356990 {
		t.Errorf("shop from %v to %v, answer from %v to %v", shop.StartTime, shop.EndTime, out.StartTime, out.EndTime)
	}
	edges := map[string]types.Edge{}
	for _, e := range shop.Edges {
		edges[*out.Services[*e.ReferenceId].Name] = e
		if !e.StartTime.Equal(*shop.StartTime) || !e.EndTime.Equal(*shop.EndTime) {
			t.Errorf("edge from %v to %v", e.StartTime, e.EndTime)
		}
	}
	if a := edges["stock"].Aliases; len(edges) != 3 || len(a) != 1 || *a[0].Name != "stock.internal" || len(a[0].Names) != 1 || *a[0].Type != "remote" {
		t.Errorf("edges of shop: %+v", edges)
	}
	if e := edges["stock.internal"]; len(e.Aliases) != 0 || *e.SummaryStatistics.TotalCount != 1 || len(e.ResponseTimeHistogram) != 1 {
		t.Errorf("edge to the inferred host: %+v", e)
	}
	if out.ContainsOldGroupVersions || out.NextToken != nil {
		t.Errorf("old %v, token %v", out.ContainsOldGroupVersions, out.NextToken)
	}

	for _, c := range []struct {
		from, to int64
		old      bool
		services int
	}{
		{base - 60, base + 60, true, 5}, {base - 60, base, true, 4}, {base, base + 60, false, 4}, {base + 60, base + 120, false, 0},
	} {
		out := graph(c.from, c.to, "errors")
		if out.ContainsOldGroupVersions != c.old || len(out.Services) != c.services || (out.StartTime == nil) != (c.services == 0) {
			t.Errorf("group from %d to %d: old %t, %d services", c.from, c.to, out.ContainsOldGroupVersions, len(out.Services))
		}
	}

	series := func(in xray.GetTimeSeriesServiceStatisticsInput) string {
		t.Helper()
		if in.StartTime == nil {
			in.StartTime, in.EndTime = aws.Time(time.Unix(base-600, 0)), aws.Time(time.Unix(base+600, 0))
		}
		out, err := client.GetTimeSeriesServiceStatistics(ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("old=%t", out.ContainsOldGroupVersions)
		for _, p := range out.TimeSeriesServiceStatistics {
			text += fmt.Sprintf(" %+d:", p.Timestamp.Unix()-base)
			if n := p.EdgeSummaryStatistics; n != nil {
				text += fmt.Sprintf("edge ok=%d error=%d of %d in %g", *n.OkCount, *n.ErrorStatistics.TotalCount, *n.TotalCount, *n.TotalResponseTime)
			}
			if n := p.ServiceSummaryStatistics; n != nil {
				text += fmt.Sprintf("service ok=%d fault=%d of %d in %g", *n.OkCount, *n.FaultStatistics.TotalCount, *n.TotalCount, *n.TotalResponseTime)
			}
			for _, e := range p.ResponseTimeHistogram {
				text += fmt.Sprintf(" %g:%d", e.Value, e.Count)
			}
			if p.ServiceForecastStatistics == nil {
				t.Error("no forecast object")
			}
		}
		return text
	}
	at := func(from, to float64) xray.GetTimeSeriesServiceStatisticsInput {
		return xray.GetTimeSeriesServiceStatisticsInput{
			StartTime: aws.Time(time.UnixMilli(base*1000 + int64(from*1000))), EndTime: aws.Time(time.UnixMilli(base*1000 + int64(to*1000))),
		}
	}
	for _, c := range []struct {
		name string
		in   xray.GetTimeSeriesServiceStatisticsInput
		want string
	}{
		{"clients", xray.GetTimeSeriesServiceStatisticsInput{}, "old=false +60:edge ok=1 error=0 of 1 in 2 2:1 +0:edge ok=1 error=0 of 1 in 2 2:1"},
		{"five minutes", xray.GetTimeSeriesServiceStatisticsInput{Period: aws.Int32(300)}, "old=false +300:edge ok=1 error=0 of 1 in 2 2:1 +0:edge ok=1 error=0 of 1 in 2 2:1"},
		{"stamp at start", at(0, 60), "old=false +0:edge ok=1 error=0 of 1 in 2 2:1"},
		{"stamp at end", at(-60, 0), "old=false"},
		{"no width", at(0, 0), "old=false"},
		{"cut to seconds", at(-0.5, 0.5), "old=false"},
		{"edge", xray.GetTimeSeriesServiceStatisticsInput{EntitySelectorExpression: aws.String("edge shop stock")}, "old=false +60: +0:edge ok=1 error=0 of 1 in 0.5 0.5:1"},
		{"service", xray.GetTimeSeriesServiceStatisticsInput{EntitySelectorExpression: aws.String("service stock")}, "old=false +60: +0:service ok=0 fault=1 of 1 in 0.25 0.25:1"},
		{"inferred", xray.GetTimeSeriesServiceStatisticsInput{EntitySelectorExpression: aws.String("service stock.internal remote")}, "old=false +60:service ok=1 fault=0 of 1 in 0.5 0.5:1 +0:"},
		{"no such type", xray.GetTimeSeriesServiceStatisticsInput{EntitySelectorExpression: aws.String("service stock remote")}, "old=false +60: +0:"},
		{"group", xray.GetTimeSeriesServiceStatisticsInput{GroupName: aws.String("errors")}, "old=false +60:edge ok=1 error=0 of 1 in 2 2:1 +0:edge ok=1 error=0 of 1 in 2 2:1"},
		{"group and selector", xray.GetTimeSeriesServiceStatisticsInput{GroupName: aws.String("errors"), EntitySelectorExpression: aws.String("service nobody")}, "old=true +60: +0:"},
	} {
		if got := series(c.in); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// TestLongSeries streams what is too long to buffer.
func TestLongSeries(t *testing.T) {
	f := serve(t, nil, func(cfg *xrayapi.Config) { cfg.Graph = manyMinutes(20_000) })
	out, err := sdk(f).GetTimeSeriesServiceStatistics(context.Background(), &xray.GetTimeSeriesServiceStatisticsInput{
		StartTime: aws.Time(time.Unix(0, 0)), EndTime: aws.Time(time.Unix(1e8, 0)),
	})
	if err != nil {
		t.Fatal(err)
	}
	list := out.TimeSeriesServiceStatistics
	if len(list) != 20_000 || list[0].Timestamp.Unix() != 20_000*60 || list[len(list)-1].Timestamp.Unix() != 60 || *list[7].EdgeSummaryStatistics.TotalCount != 1 {
		t.Errorf("%d points", len(list))
	}
}

// manyMinutes is a GraphReader of so many minutes with one call each.
type manyMinutes int64

func (n manyMinutes) Graph(context.Context, []tracestore.GroupRef, int64, int64, int) (servicegraph.Cells, bool, error) {
	return nil, false, nil
}

func (n manyMinutes) Minutes(_ context.Context, _ []tracestore.GroupRef, _, _ int64, fn func(int64, servicegraph.Cells) bool) error {
	client := servicegraph.Node{ServiceID: trace.ServiceID{Name: "shop", Type: "client"}, Kind: servicegraph.KindClient}
	shop := servicegraph.Node{ServiceID: trace.ServiceID{Name: "shop"}, Kind: servicegraph.KindReported}
	for m := int64(n); m > 0; m-- {
		cells := servicegraph.Cells{}
		cells.Add(&servicegraph.Contribution{Key: servicegraph.Key{From: client, To: shop}, Response: 1e9, Envelope: 1e9}, 1)
		if !fn(m*60, cells) {
			break
		}
	}
	return nil
}

// TestRecordedTraceGraph compares a node with what the service answered.
func TestRecordedTraceGraph(t *testing.T) {
	var recorded struct {
		Put     []string
		Service map[string]any `json:"real_trace_graph_root_service"`
	}
	readJSON(t, filepath.Join(sharedtest.Path(t, "corpus/native-aws"), "traced-downstream-missing-summary-and-graph.json"), &recorded)
	f := serve(t, nil, nil)
	f.put(t, recorded.Put...)
	s, err := segment.Parse([]byte(recorded.Put[0]), segment.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, answer := f.post(t, "/TraceGraph", `{"TraceIds":["`+s.TraceID.String()+`"]}`)
	var got struct{ Services []map[string]any }
	if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got.Services) != 3 {
		t.Fatalf("%v in %s", err, answer)
	}
	if !reflect.DeepEqual(got.Services[0], recorded.Service) {
		t.Errorf("the node is\n%v\nrecorded\n%v", got.Services[0], recorded.Service)
	}
}
