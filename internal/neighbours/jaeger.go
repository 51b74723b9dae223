package neighbours

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	jaegerLimit = 20   // traces of a search that does not say
	jaegerMost  = 1000 // of any search
)

func (h *Handler) jaeger(ctx context.Context, w http.ResponseWriter, r *http.Request, path string) error {
	parts := strings.Split(path, "/")
	ask := r.URL.Query()
	switch {
	case path == "api/v3/services", path == "api/services":
		names, err := h.allServices(ctx)
		if err != nil {
			return err
		}
		if path == "api/services" {
			return replyData(w, names, len(names))
		}
		return reply(w, map[string]any{"services": names})
	case path == "api/v3/operations":
		list, err := h.operations(ctx, ask.Get("service"), ask.Get("span_kind"))
		if err != nil {
			return err
		}
		return reply(w, map[string]any{"operations": list})
	case path == "api/operations":
		list, err := h.operations(ctx, ask.Get("service"), ask.Get("spanKind"))
		if err != nil {
			return err
		}
		return replyData(w, list, len(list))
	case len(parts) == 4 && parts[0] == "api" && parts[1] == "services" && parts[3] == "operations":
		service := parts[2]
		if once, err := url.PathUnescape(service); err == nil { // escaped twice by Grafana
			service = once
		}
		list, err := h.operations(ctx, service, "")
		if err != nil {
			return err
		}
		of := names{}
		for _, o := range list {
			of.add(o.Name)
		}
		return replyData(w, of.sorted(0), len(of))
	case len(parts) == 4 && path == "api/v3/traces/"+parts[3]:
		t, err := h.byID(ctx, parts[3])
		if err != nil {
			return err
		}
		return reply(w, map[string]any{"result": map[string]any{"resourceSpans": tracesJSON(t.raw)}})
	case len(parts) == 3 && path == "api/traces/"+parts[2]:
		t, err := h.byID(ctx, parts[2])
		if err != nil {
			return err
		}
		return replyData(w, []jaegerTrace{jaegerOf(t)}, 1)
	case path == "api/traces":
		return h.jaegerSearch(ctx, w, ask)
	case path == "api/v3/traces", path == "api/v3/trace-summaries":
		return h.jaegerSearchV3(ctx, w, ask, path == "api/v3/trace-summaries")
	case path == "api/dependencies", path == "api/v3/dependencies":
		return h.dependencies(ctx, w, ask, path == "api/v3/dependencies")
	}
	return notFound("there is nothing at %.100s", r.URL.Path)
}

// replyData answers in the frame of Jaeger's own page.
func replyData(w http.ResponseWriter, data any, total int) error {
	return reply(w, dataFrame(data, total))
}

func dataFrame(data any, total int) map[string]any {
	return map[string]any{"data": data, "total": total, "limit": 0, "offset": 0, "errors": nil}
}

type operation struct {
	Name string `json:"name"`
	Kind string `json:"spanKind"`
}

// operations returns the names of a service's spans, in the newest of its traces.
func (h *Handler) operations(ctx context.Context, service, kind string) ([]operation, error) {
	now := h.cfg.Now()
	found := make(map[operation]bool)
	of := comparison{field: trace.KeyService, scope: scopeResource, op: "=", value: value{text: service, kind: 's'}}
	l := look{start: now.AddDate(0, 0, -graphDays), end: now.Add(time.Minute), needs: of.needs(), most: 5 * nameTraces, time: askTime}
	_, err := h.scan(ctx, l, func(t *traceView) bool {
		for i := range t.spans {
			if s := &t.spans[i]; s.source.Service() == service && len(found) < maxNames {
				found[operation{strings.Clone(s.Name), strings.ToLower(s.Kind.String())}] = true
			}
		}
		return true
	})
	list := make([]operation, 0, len(found))
	for o := range found {
		if kind == "" || kind == o.Kind {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b operation) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Kind, b.Kind))
	})
	return list, err
}

// dependency is an edge of the service graph, as Jaeger has it.
type dependency struct {
	Parent string `json:"parent"`
	Child  string `json:"child"`
	Calls  int64  `json:"callCount"`
}

// dependencies answers from the service graph: endTs and lookback are milliseconds, or
// start_time and end_time times.
func (h *Handler) dependencies(ctx context.Context, w http.ResponseWriter, ask url.Values, v3 bool) error {
	end := h.cfg.Now()
	start := end.AddDate(0, 0, -graphDays)
	if v3 {
		if err := errors.Join(readTime(ask, "start_time", &start), readTime(ask, "end_time", &end)); err != nil {
			return err
		}
	} else {
		if text := ask.Get("endTs"); text != "" {
			millis, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return &parameterError{"endTs", text, "a number of milliseconds"}
			}
			end = time.UnixMilli(millis)
		}
		lookback := int64(graphDays * 24 * 3600 * 1000)
		if text := ask.Get("lookback"); text != "" {
			var err error
			if lookback, err = strconv.ParseInt(text, 10, 64); err != nil || lookback < 0 {
				return &parameterError{"lookback", text, "a number of milliseconds"}
			}
		}
		start = end.Add(-time.Duration(min(lookback, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond)
	}
	graph, err := h.graph(ctx, start, end.Add(time.Second))
	if err != nil {
		return err
	}
	calls := make(map[[2]string]int64)
	for i := range graph.Services {
		from := &graph.Services[i]
		if from.Kind == servicegraph.KindClient {
			continue // nobody: whoever called the entry
		}
		for j := range from.Edges {
			e := &from.Edges[j]
			calls[[2]string{from.Name, graph.Services[e.To].Name}] += e.Statistics.Total()
		}
	}
	list := make([]dependency, 0, len(calls))
	for names, n := range calls {
		list = append(list, dependency{names[0], names[1], n})
	}
	slices.SortFunc(list, func(a, b dependency) int {
		return cmp.Or(strings.Compare(a.Parent, b.Parent), strings.Compare(a.Child, b.Child))
	})
	if v3 {
		return reply(w, map[string]any{"dependencies": list})
	}
	return replyData(w, list, len(list))
}

// jaegerQuery is what both forms of the search ask for.
type jaegerQuery struct {
	service, name string
	start, end    time.Time
	least, most   time.Duration
	tags          map[string]string
	limit         int
}

// newJaegerQuery is the question that says nothing: the last hour.
func (h *Handler) newJaegerQuery() jaegerQuery {
	end := h.cfg.Now().Add(time.Minute)
	return jaegerQuery{start: end.Add(-time.Hour), end: end, limit: jaegerLimit}
}

// details reads what both forms have, under their names.
func (q *jaegerQuery) details(ask url.Values, shortest, longest, tags string, limits ...string) error {
	for _, d := range []struct {
		name string
		into *time.Duration
	}{{shortest, &q.least}, {longest, &q.most}} {
		if text := ask.Get(d.name); text != "" {
			var err error
			if *d.into, err = time.ParseDuration(text); err != nil {
				return &parameterError{d.name, text, "a duration such as 100ms"}
			}
		}
	}
	for _, name := range limits {
		if text := ask.Get(name); text != "" {
			var err error
			if q.limit, err = strconv.Atoi(text); err != nil || q.limit < 1 {
				return &parameterError{name, text, "a number"}
			}
		}
	}
	q.limit = min(q.limit, jaegerMost)
	text := ask.Get(tags)
	if text == "" {
		return nil
	}
	var given map[string]any
	if json.Unmarshal([]byte(text), &given) != nil {
		return &parameterError{tags, text, `an object such as {"error":"true"}`}
	}
	q.tags = make(map[string]string)
	for key, v := range given {
		q.tags[key] = fmt.Sprint(v)
	}
	return nil
}

func readTime(ask url.Values, name string, into *time.Time) error {
	text := ask.Get(name)
	if text == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		// A plus sign that was not escaped is a space.
		if t, err = time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+")); err != nil {
			return &parameterError{name, text, "a time such as 2026-01-31T12:00:00Z"}
		}
	}
	*into = t
	return nil
}

// condition returns what a span of the traces that are asked for is.
func (q *jaegerQuery) condition() condition {
	var c condition = truth(true)
	add := func(sc scope, field, op string, v value) {
		c = allOf{c, comparison{field: field, scope: sc, op: op, value: v}}
	}
	text := func(s string) value { return value{text: s, kind: 's'} }
	if q.service != "" {
		add(scopeResource, trace.KeyService, "=", text(q.service))
	}
	if q.name != "" {
		add(scopeIntrinsic, "name", "=", text(q.name))
	}
	if q.least > 0 {
		add(scopeIntrinsic, "duration", ">=", value{number: float64(q.least), kind: 'n'})
	}
	if q.most > 0 {
		add(scopeIntrinsic, "duration", "<=", value{number: float64(q.most), kind: 'n'})
	}
	for key, want := range q.tags {
		switch {
		case key == "error" && want == "true", key == "otel.status_code":
			add(scopeIntrinsic, "status", "=", text(strings.ToLower(or(want, "true", "error"))))
		case key == "span.kind":
			add(scopeIntrinsic, "kind", "=", text(want))
		default:
			c = allOf{c, tag{key, want}}
		}
	}
	return c
}

// or returns other in place of one text.
func or(text, one, other string) string {
	if text == one {
		return other
	}
	return text
}

// tag is a condition on an attribute of a span, of one of its events or of its resource,
// by the text of the value.
type tag struct{ key, want string }

func (c tag) holds(s *span) bool {
	same := func(v value) bool { return v.kind != 0 && v.text == c.want }
	if same(s.field(scopeEither, c.key)) || same(s.field(scopeResource, c.key)) {
		return true
	}
	return slices.ContainsFunc(s.Events, func(e otlp.Event) bool { return same(find(e.Attributes, c.key)) })
}

func (tag) needs() needs { return needs{} }

func (h *Handler) find(ctx context.Context, q *jaegerQuery) (found []*traceView, s seen, err error) {
	set := spanset{q.condition()}
	s, err = h.scan(ctx, look{start: q.start, end: q.end, needs: set.needs()}, func(t *traceView) bool {
		if len(set.match(t)) > 0 {
			found = append(found, t)
		}
		return len(found) < q.limit
	})
	return found, s, err
}

// jaegerSearch answers the search of Jaeger's page and of Grafana; times are microseconds.
func (h *Handler) jaegerSearch(ctx context.Context, w http.ResponseWriter, ask url.Values) error {
	q := h.newJaegerQuery()
	q.service, q.name = ask.Get("service"), ask.Get("operation")
	for _, t := range []struct {
		name string
		into *time.Time
	}{{"start", &q.start}, {"end", &q.end}} {
		if text := ask.Get(t.name); text != "" {
			micros, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return &parameterError{t.name, text, "a number of microseconds"}
			}
			*t.into = time.UnixMicro(micros)
		}
	}
	if err := q.details(ask, "minDuration", "maxDuration", "tags", "limit"); err != nil {
		return err
	}
	var views []*traceView
	var s seen
	var err error
	if ids := ask["traceID"]; len(ids) > 0 {
		s.all = true
		for _, id := range ids[:min(len(ids), jaegerMost)] {
			t, err := h.byID(ctx, id)
			if err != nil {
				return err
			}
			views = append(views, t)
		}
	} else if views, s, err = h.find(ctx, &q); err != nil {
		return err
	}
	list := []jaegerTrace{}
	for _, t := range views {
		list = append(list, jaegerOf(t))
	}
	frame := dataFrame(list, len(list))
	if why := h.incomplete(w, s); why != "" {
		frame["errors"] = []map[string]any{{"code": http.StatusPartialContent, "msg": why}}
	}
	return reply(w, frame)
}

// jaegerSearchV3 answers the same search in the form of version 3, with whole traces or
// with a summary of each.
func (h *Handler) jaegerSearchV3(ctx context.Context, w http.ResponseWriter, ask url.Values, summaries bool) error {
	q := h.newJaegerQuery()
	q.service, q.name = ask.Get("query.service_name"), ask.Get("query.operation_name")
	if name := ask.Get("query.span_name"); name != "" {
		q.name = name
	}
	err := errors.Join(readTime(ask, "query.start_time_min", &q.start), readTime(ask, "query.start_time_max", &q.end))
	if err == nil {
		err = q.details(ask, "query.duration_min", "query.duration_max", "query.attributes", "query.search_depth", "query.num_traces")
	}
	if err != nil {
		return err
	}
	found, s, err := h.find(ctx, &q)
	if err != nil {
		return err
	}
	why := h.incomplete(w, s)
	if !summaries {
		var spans []otlp.SourcedSpan
		for _, t := range found {
			spans = append(spans, t.raw...)
		}
		return reply(w, map[string]any{"result": map[string]any{"resourceSpans": tracesJSON(spans)}})
	}
	list := []traceSummary{}
	for _, t := range found {
		list = append(list, summaryOf(t))
	}
	answer := map[string]any{"summaries": list}
	if why != "" {
		answer["message"] = why
	}
	return reply(w, answer)
}

// traceSummary is a line of the list that Jaeger's page shows. The id is there under the names
// that versions of the page read.
type traceSummary struct {
	TraceID     string           `json:"traceId"`
	SameTraceID string           `json:"traceID"`
	Service     string           `json:"rootServiceName"`
	Name        string           `json:"rootOperationName"`
	Start       string           `json:"minStartTimeUnixNano"`
	End         string           `json:"maxEndTimeUnixNano"`
	Spans       int              `json:"spanCount"`
	Errors      int              `json:"errorSpanCount"`
	Orphans     int              `json:"orphanSpanCount"`
	Services    []serviceSummary `json:"services"`
}

type serviceSummary struct {
	Name   string `json:"name"`
	Spans  int    `json:"spanCount"`
	Errors int    `json:"errorSpanCount"`
}

func summaryOf(t *traceView) traceSummary {
	service, name := t.rootNames()
	sum := traceSummary{
		TraceID: t.id.W3C(), SameTraceID: t.id.W3C(), Service: service, Name: name,
		Start: strconv.FormatUint(t.start, 10), End: strconv.FormatUint(t.end, 10), Spans: len(t.spans), Services: []serviceSummary{},
	}
	here := make(map[segment.SegmentID]bool, len(t.spans))
	for i := range t.spans {
		here[t.spans[i].ID] = true
	}
	at := make(map[string]int)
	for i := range t.spans {
		s := &t.spans[i]
		n, ok := at[s.source.Service()]
		if !ok {
			n = len(sum.Services)
			at[s.source.Service()] = n
			sum.Services = append(sum.Services, serviceSummary{Name: s.source.Service()})
		}
		sum.Services[n].Spans++
		if s.status() == "error" {
			sum.Errors++
			sum.Services[n].Errors++
		}
		if s.HasParent && !here[s.ParentID] {
			sum.Orphans++
		}
	}
	return sum
}

// The form of traces that Jaeger's page and Grafana's data source read.
type jaegerTrace struct {
	TraceID   string                   `json:"traceID"`
	Spans     []jaegerSpan             `json:"spans"`
	Processes map[string]jaegerProcess `json:"processes"`
	Warnings  []string                 `json:"warnings"`
}

type jaegerProcess struct {
	ServiceName string      `json:"serviceName"`
	Tags        []jaegerTag `json:"tags"`
}

type jaegerSpan struct {
	TraceID    string            `json:"traceID"`
	SpanID     string            `json:"spanID"`
	Operation  string            `json:"operationName"`
	References []jaegerReference `json:"references"`
	Start      uint64            `json:"startTime"` // microseconds
	Duration   uint64            `json:"duration"`
	Tags       []jaegerTag       `json:"tags"`
	Logs       []jaegerLog       `json:"logs"`
	ProcessID  string            `json:"processID"`
	Warnings   []string          `json:"warnings"`
}

type jaegerReference struct {
	Type    string `json:"refType"`
	TraceID string `json:"traceID"`
	SpanID  string `json:"spanID"`
}

type jaegerLog struct {
	Timestamp uint64      `json:"timestamp"`
	Fields    []jaegerTag `json:"fields"`
}

type jaegerTag struct {
	Key   string `json:"key"`
	Type  string `json:"type"`
	Value any    `json:"value"`
}

func jaegerTags(list []otlp.Attribute) []jaegerTag {
	tags := make([]jaegerTag, 0, len(list))
	for i := range list {
		t := jaegerTag{Key: list[i].Key, Type: "string", Value: list[i].Value.Text()}
		switch v := list[i].Value; v.Type {
		case otlp.ValueBool:
			t.Type, t.Value = "bool", v.Text() == "true"
		case otlp.ValueInt:
			n, _ := v.Int()
			t.Type, t.Value = "int64", n
		case otlp.ValueDouble:
			t.Type, t.Value = "float64", json.RawMessage(v.AppendJSON(nil))
		case otlp.ValueArray, otlp.ValueMap:
			t.Value = string(v.AppendJSON(nil))
		case otlp.ValueBytes:
			t.Type, t.Value = "binary", base64.StdEncoding.EncodeToString(v.Bytes())
		}
		tags = append(tags, t)
	}
	return tags
}

func jaegerOf(t *traceView) jaegerTrace {
	out := jaegerTrace{Spans: make([]jaegerSpan, 0, len(t.spans)), Processes: map[string]jaegerProcess{}}
	processes := map[*otlp.Source]string{}
	for i := range t.spans {
		s := &t.spans[i]
		out.TraceID = s.TraceID.W3C()
		process, ok := processes[s.source]
		if !ok {
			process = "p" + strconv.Itoa(len(processes)+1)
			processes[s.source] = process
			out.Processes[process] = jaegerProcess{s.source.Service(), jaegerTags(s.source.Attributes)}
		}
		j := jaegerSpan{
			TraceID: out.TraceID, SpanID: s.ID.String(), Operation: s.Name, Start: s.Start / 1000, Duration: s.duration() / 1000,
			Tags: jaegerTags(s.Attributes), Logs: []jaegerLog{}, References: []jaegerReference{}, ProcessID: process,
		}
		j.Tags = append(j.Tags, jaegerTag{"span.kind", "string", s.field(scopeIntrinsic, "kind").text})
		switch s.status() {
		case "error":
			j.Tags = append(j.Tags, jaegerTag{"error", "bool", true}, jaegerTag{"otel.status_code", "string", "ERROR"})
		case "ok":
			j.Tags = append(j.Tags, jaegerTag{"otel.status_code", "string", "OK"})
		}
		if s.Message != "" {
			j.Tags = append(j.Tags, jaegerTag{"otel.status_description", "string", s.Message})
		}
		if s.source.ScopeName != "" {
			j.Tags = append(j.Tags, jaegerTag{"otel.scope.name", "string", s.source.ScopeName})
		}
		if s.HasParent {
			j.References = append(j.References, jaegerReference{"CHILD_OF", out.TraceID, s.ParentID.String()})
		}
		for _, l := range s.Links {
			j.References = append(j.References, jaegerReference{"FOLLOWS_FROM", l.TraceID.W3C(), l.ID.String()})
		}
		for _, e := range s.Events {
			fields := append([]jaegerTag{{"event", "string", e.Name}}, jaegerTags(e.Attributes)...)
			j.Logs = append(j.Logs, jaegerLog{e.Time / 1000, fields})
		}
		out.Spans = append(out.Spans, j)
	}
	return out
}
