package neighbours

import (
	"cmp"
	"context"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	tempoLimit = 20 // traces of a search that does not say
	tempoSpans = 3  // spans of each
)

func (h *Handler) tempo(ctx context.Context, w http.ResponseWriter, r *http.Request, path string) error {
	switch {
	case path == "api/echo":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("echo"))
		return nil
	case path == "api/status/buildinfo":
		return reply(w, map[string]string{"version": "2.6.0", "branch": "roentgen", "revision": h.cfg.Version})
	case path == "api/search":
		return h.tempoSearch(ctx, w, r)
	case path == "api/search/tags" || path == "api/v2/search/tags":
		return h.tempoTags(ctx, w, r, strings.HasPrefix(path, "api/v2/"))
	case strings.HasSuffix(path, "/values") && (strings.HasPrefix(path, "api/search/tag/") || strings.HasPrefix(path, "api/v2/search/tag/")):
		_, tag, _ := strings.Cut(strings.TrimSuffix(path, "/values"), "search/tag/")
		return h.tempoValues(ctx, w, r, tag, strings.HasPrefix(path, "api/v2/"))
	case strings.HasPrefix(path, "api/traces/"):
		return h.tempoTrace(ctx, w, r, strings.TrimPrefix(path, "api/traces/"), false)
	case strings.HasPrefix(path, "api/v2/traces/"):
		return h.tempoTrace(ctx, w, r, strings.TrimPrefix(path, "api/v2/traces/"), true)
	}
	return notFound("there is nothing at %.100s", r.URL.Path)
}

// tempoTrace answers with a Trace message of Tempo, whose only field is that of
// TracesData; version 2 puts it into another message.
func (h *Handler) tempoTrace(ctx context.Context, w http.ResponseWriter, r *http.Request, id string, v2 bool) error {
	t, err := h.byID(ctx, id)
	if err != nil {
		return err
	}
	if acceptsProtobuf(r) {
		data := otlp.AppendTraces(nil, t.raw)
		if v2 {
			data = otlp.AppendField(nil, 1, data)
		}
		w.Header().Set("Content-Type", "application/protobuf")
		w.Write(data)
		return nil
	}
	if v2 {
		return reply(w, map[string]any{"trace": map[string]any{"resourceSpans": tracesJSON(t.raw)}})
	}
	return reply(w, map[string]any{"batches": tracesJSON(t.raw)})
}

// tempoWindow reads start and end, unix seconds: the last hour when they are not given.
func (h *Handler) tempoWindow(r *http.Request) (start, end time.Time, err error) {
	now := h.cfg.Now()
	read := func(name string, standard time.Time) time.Time {
		n, e := number(r, name, 0, 1<<40)
		if e != nil {
			err = e
		}
		if n == 0 {
			return standard
		}
		return time.Unix(int64(n), 0)
	}
	end = read("end", now.Add(time.Minute))
	start = read("start", end.Add(-time.Hour))
	return start, end, err
}

type tempoSpan struct {
	SpanID     string           `json:"spanID"`
	Name       string           `json:"name,omitempty"`
	Start      string           `json:"startTimeUnixNano"`
	Duration   string           `json:"durationNanos"`
	Attributes []tempoAttribute `json:"attributes,omitempty"`
}

type tempoAttribute struct {
	Key   string `json:"key"`
	Value struct {
		StringValue string `json:"stringValue"`
	} `json:"value"`
}

type tempoSpanSet struct {
	Spans   []tempoSpan `json:"spans"`
	Matched int         `json:"matched"`
}

type tempoResult struct {
	TraceID    string         `json:"traceID"`
	Service    string         `json:"rootServiceName"`
	Name       string         `json:"rootTraceName"`
	Start      string         `json:"startTimeUnixNano"`
	DurationMS uint64         `json:"durationMs"`
	SpanSet    tempoSpanSet   `json:"spanSet"`
	SpanSets   []tempoSpanSet `json:"spanSets"`
}

func (h *Handler) tempoSearch(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	start, end, err := h.tempoWindow(r)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", tempoLimit, 1000)
	if err != nil {
		return err
	}
	perSet, err := number(r, "spss", tempoSpans, 100)
	if err != nil {
		return err
	}
	q, err := parseQuery(r.URL.Query().Get("q"))
	if err != nil {
		return err
	}
	if tags := r.URL.Query().Get("tags"); tags != "" {
		if q, err = tagQuery(tags); err != nil {
			return err
		}
	}
	least, err := length(r, "minDuration")
	if err != nil {
		return err
	}
	most, err := length(r, "maxDuration")
	if err != nil {
		return err
	}
	results := []tempoResult{}
	l := look{start: start, end: end, needs: q.needs().with(longerThan(least))}
	seen, err := h.scan(ctx, l, func(t *traceView) bool {
		took := time.Duration(t.end - t.start)
		if least > 0 && took < least || most > 0 && took > most {
			return true
		}
		found := q.match(t)
		if len(found) == 0 {
			return true
		}
		service, name := t.rootNames()
		result := tempoResult{
			TraceID: t.id.W3C(), Service: service, Name: name,
			Start: strconv.FormatUint(t.start, 10), DurationMS: uint64(took.Milliseconds()),
			SpanSet: tempoSpanSet{Matched: len(found), Spans: []tempoSpan{}},
		}
		for _, s := range found[:min(len(found), perSet)] {
			result.SpanSet.Spans = append(result.SpanSet.Spans, tempoSpan{
				SpanID: s.ID.String(), Name: s.Name, Start: strconv.FormatUint(s.Start, 10), Duration: strconv.FormatUint(s.duration(), 10),
				Attributes: []tempoAttribute{textAttribute("service.name", s.source.Service())},
			})
		}
		result.SpanSets = []tempoSpanSet{result.SpanSet}
		results = append(results, result)
		return len(results) < limit
	})
	if err != nil {
		return err
	}
	answer := map[string]any{"traces": results}
	jobs := map[string]any{"inspectedTraces": seen.traces, "completedJobs": 1, "totalJobs": 1}
	answer["metrics"] = jobs
	if why := h.incomplete(w, seen); why != "" {
		jobs["completedJobs"] = 0
		answer["status"], answer["message"] = "PARTIAL", why
	}
	return reply(w, answer)
}

func textAttribute(key, text string) (a tempoAttribute) {
	a.Key, a.Value.StringValue = key, text
	return a
}

// tagQuery reads the older form of a search: key=value pairs, separated by white
// space, values in quotes where they need them.
func tagQuery(text string) (query, error) {
	p := &parser{text: text}
	var c condition
	for p.next(); p.tok != ""; p.next() {
		one := comparison{field: p.tok, op: "="}
		if p.next(); p.tok != "=" {
			p.fail("tags are written key=value")
			break
		}
		p.next()
		if one.value = readValue(p.tok, p.lit); one.value.kind == '?' {
			one.value = value{text: p.tok, kind: 's'}
		}
		switch one.field {
		case "name", "status", "rootName", "rootServiceName":
			one.scope = scopeIntrinsic
		}
		if c == nil {
			c = one
		} else {
			c = allOf{c, one}
		}
	}
	return spanset{c}, p.err
}

func (h *Handler) tempoTags(ctx context.Context, w http.ResponseWriter, r *http.Request, v2 bool) error {
	start, end, err := h.tempoWindow(r)
	if err != nil {
		return err
	}
	most, err := number(r, "limit", maxNames, maxNames)
	if err != nil {
		return err
	}
	ofSpan, ofResource := names{}, names{}
	if err := h.attributeKeys(ctx, start, end, ofSpan); err != nil {
		return err
	}
	err = h.gather(ctx, start, end, nil, func(s *span) {
		for i := range s.Attributes {
			ofSpan.add(s.Attributes[i].Key)
		}
		for i := range s.source.Attributes {
			ofResource.add(s.source.Attributes[i].Key)
		}
	})
	if err != nil {
		return err
	}
	if !v2 {
		for key := range ofResource {
			ofSpan.add(key)
		}
		return reply(w, map[string]any{"tagNames": ofSpan.sorted(most)})
	}
	scopes := []map[string]any{}
	wanted := r.URL.Query().Get("scope")
	for _, s := range []struct {
		name string
		tags []string
	}{
		{"resource", ofResource.sorted(most)}, {"span", ofSpan.sorted(most)},
		{"intrinsic", []string{"duration", "kind", "name", "rootName", "rootServiceName", "status", "statusMessage", "traceDuration"}},
	} {
		if wanted == "" || wanted == "none" || wanted == s.name {
			scopes = append(scopes, map[string]any{"name": s.name, "tags": s.tags})
		}
	}
	return reply(w, map[string]any{"scopes": scopes})
}

// tempoValues answers with the values of a tag, of the spans that q chooses.
func (h *Handler) tempoValues(ctx context.Context, w http.ResponseWriter, r *http.Request, tag string, v2 bool) error {
	// Grafana escapes it twice.
	if once, err := url.PathUnescape(tag); err == nil {
		tag = once
	}
	start, end, err := h.tempoWindow(r)
	if err != nil {
		return err
	}
	most, err := number(r, "limit", maxNames, maxNames)
	if err != nil {
		return err
	}
	// While somebody writes a query its text is none yet: it chooses nothing then.
	q, err := parseQuery(r.URL.Query().Get("q"))
	if err != nil || q == (spanset{}) {
		q = nil
	}
	list, err := h.values(ctx, fieldOf(tag), q, start, end)
	if err != nil {
		return err
	}
	list = list[:min(len(list), most)]
	types := map[byte]string{'s': "string", 'n': "int", 'b': "bool", 'k': "keyword"}
	texts, typed := []string{}, []map[string]string{}
	for _, v := range list {
		kind := types[v.kind]
		if v.kind == 'n' && v.number != math.Trunc(v.number) {
			kind = "float"
		}
		texts = append(texts, v.text)
		typed = append(typed, map[string]string{"type": kind, "value": v.text})
	}
	if v2 {
		return reply(w, map[string]any{"tagValues": typed})
	}
	return reply(w, map[string]any{"tagValues": texts})
}

// fieldOf reads the name of a tag: a field, or the name of an attribute without a scope.
func fieldOf(tag string) comparison {
	c := comparison{field: tag}
	switch name, ok := intrinsics[tag]; {
	case strings.HasPrefix(tag, "span."):
		c.scope, c.field = scopeSpan, tag[len("span."):]
	case strings.HasPrefix(tag, "resource."):
		c.scope, c.field = scopeResource, tag[len("resource."):]
	case strings.HasPrefix(tag, "."):
		c.field = tag[1:]
	case ok:
		c.scope, c.field = scopeIntrinsic, name
	}
	return c
}

// values returns the values that a field has in spans that q chooses, in order; nil: any.
func (h *Handler) values(ctx context.Context, c comparison, q query, start, end time.Time) ([]value, error) {
	found := make(map[value]bool)
	add := func(v value) {
		if v.kind != 0 && !found[v] && len(found) < maxNames {
			v.text = strings.Clone(v.text)
			if v.text == "" && v.kind == 'n' {
				v.text = strconv.FormatFloat(v.number, 'f', -1, 64)
			}
			found[v] = true
		}
	}
	keywords := map[string][]string{
		"status": {"ok", "error", "unset"}, "kind": {"unspecified", "internal", "server", "client", "producer", "consumer"},
	}
	intrinsic := c.scope == scopeIntrinsic
	switch key := c.field; {
	case intrinsic && keywords[key] != nil:
		for _, s := range keywords[key] {
			add(value{text: s, kind: 'k'})
		}
	case q != nil:
	case intrinsic && key == "rootServiceName", !intrinsic && c.scope != scopeSpan && key == trace.KeyService:
		services := names{}
		if err := h.services(ctx, start, end, services); err != nil {
			return nil, err
		}
		for s := range services {
			add(value{text: s, kind: 's'})
		}
	case c.scope != scopeResource && (!intrinsic || key == "name"):
		if intrinsic {
			key = "span.name"
		}
		words, err := h.cfg.Query.Vocabulary(ctx, filterexpr.CompleteAnnotationValue, key, "", nanos(start), nanos(end), maxNames)
		if err != nil {
			return nil, err
		}
		for _, word := range words.Words {
			v := value{text: word.Text, kind: 's'}
			switch word.Type {
			case segment.TypeNumber:
				v.kind = 'n'
				v.number, _ = strconv.ParseFloat(word.Text, 64)
				v.text = strconv.FormatFloat(v.number, 'f', -1, 64)
			case segment.TypeBool:
				v.kind = 'b'
			}
			add(v)
		}
	}
	if !intrinsic || keywords[c.field] == nil {
		err := h.gather(ctx, start, end, q, func(s *span) {
			v := s.field(c.scope, c.field)
			if v.kind == 'n' {
				v.text = strconv.FormatFloat(v.number, 'f', -1, 64)
			}
			add(v)
		})
		if err != nil {
			return nil, err
		}
	}
	list := slices.Collect(maps.Keys(found))
	slices.SortFunc(list, func(a, b value) int {
		if a.kind == 'n' && b.kind == 'n' {
			return cmp.Compare(a.number, b.number)
		}
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.text, b.text))
	})
	return list, nil
}
