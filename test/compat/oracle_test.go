package compat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"sort"
	"strings"
	"testing"
)

// The oracle says what BatchGetTraces and GetTraceSummaries must answer for a
// list of documents. It shares no code with the server: it works on plain JSON
// and follows what the service was observed to do, one rule after the other.

type object = map[string]any

// known are the keys of entities that the service interprets; it drops others.
var known = []string{
	"id", "name", "start_time", "end_time", "in_progress", "trace_id", "parent_id", "type", "inferred",
	"fault", "error", "throttle", "http", "aws", "origin", "user", "service", "resource_arn", "sql",
	"annotations", "metadata", "namespace", "cause", "links", "precursor_ids", "subsegments",
}

// parseJSON keeps numbers as they are written.
func parseJSON(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

// cleaned returns an entity as the service gives it back, without its
// subsegments' places decided yet.
func cleaned(doc object) object {
	out := object{}
	for _, key := range known {
		if v, ok := doc[key]; ok && v != nil {
			out[key] = v
		}
	}
	if out["in_progress"] == false {
		delete(out, "in_progress")
	}
	if out["origin"] == "" || out["origin"] == nil {
		delete(out, "origin")
	}
	if http, ok := out["http"].(object); ok {
		if request, ok := http["request"].(object); ok {
			delete(request, "traced")
		}
	}
	if cause, ok := out["cause"].(object); ok {
		list, _ := cause["exceptions"].([]any)
		for _, e := range list {
			if exception, ok := e.(object); ok {
				if stack, ok := exception["stack"].([]any); ok && len(stack) == 0 {
					delete(exception, "stack")
				}
			}
		}
	}
	return out
}

// wantTrace assembles documents, in their order of arrival, into the segments
// that BatchGetTraces must answer: reported ones with their trees, and inferred
// ones, whose ids are the service's own and therefore left out.
func wantTrace(t *testing.T, docs [][]byte) (reported, inferred []object) {
	t.Helper()
	type entity struct {
		doc    object
		parent string // id of what encloses it or what it names
		nested bool
		top    bool   // a segment, rather than a subsegment of either kind
		owner  string // id of the document that brought it
		order  int
	}
	entities := make(map[string]*entity)
	order := 0
	complete := func(e *entity) bool { return e != nil && e.doc["end_time"] != nil }

	var accept func(doc object, parent, owner string, nested bool)
	accept = func(doc object, parent, owner string, nested bool) {
		id := doc["id"].(string)
		if old := entities[id]; complete(old) {
			return
		}
		order++
		entities[id] = &entity{doc: cleaned(doc), parent: parent, nested: nested, owner: owner, order: order}
		entities[id].top = !nested && doc["type"] != "subsegment"
		subs, _ := doc["subsegments"].([]any)
		for _, sub := range subs {
			accept(sub.(object), id, owner, true)
		}
	}
	for _, text := range docs {
		v, err := parseJSON(text)
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		doc := v.(object)
		id := doc["id"].(string)
		if complete(entities[id]) {
			continue // ignored with all that it nests
		}
		for other, e := range entities { // what the replaced version nested goes with it
			if e.owner == id && e.nested {
				delete(entities, other)
			}
		}
		parent, _ := doc["parent_id"].(string)
		accept(doc, parent, id, false)
	}

	ids := make([]string, 0, len(entities))
	for id := range entities {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return entities[ids[i]].order < entities[ids[j]].order })

	var tree func(id string) object
	tree = func(id string) object {
		doc := entities[id].doc
		delete(doc, "subsegments")
		var children []any
		for _, child := range ids {
			if e := entities[child]; e.parent == id && !e.top {
				c := tree(child)
				delete(c, "trace_id")
				delete(c, "parent_id")
				delete(c, "type")
				children = append(children, c)
			}
		}
		if len(children) > 0 {
			doc["subsegments"] = children
		}
		return doc
	}
	answered := make(map[string]bool)
	for _, id := range ids {
		if e := entities[id]; e.top {
			reported = append(reported, tree(id))
			answered[e.parent] = true
		}
	}
	var infer func(doc object, traceID any)
	infer = func(doc object, traceID any) {
		subs, _ := doc["subsegments"].([]any)
		for _, s := range subs {
			sub := s.(object)
			infer(sub, traceID)
			if sub["namespace"] == "aws" {
				nameResource(sub)
			}
			if ns := sub["namespace"]; ns != "aws" && ns != "remote" || sub["end_time"] == nil || answered[sub["id"].(string)] {
				continue
			}
			callee := object{"trace_id": traceID, "parent_id": sub["id"], "inferred": true}
			for _, key := range []string{"name", "start_time", "end_time", "fault", "error", "throttle", "http", "aws", "sql"} {
				if v, ok := sub[key]; ok {
					callee[key] = v
				}
			}
			if origin := calleeOrigin(sub); origin != "" {
				callee["origin"] = origin
			}
			inferred = append(inferred, callee)
		}
	}
	for _, doc := range reported {
		infer(doc, doc["trace_id"])
	}
	return reported, inferred
}

// nameResource sets aws.resource_names of a call whose table is known.
func nameResource(sub object) {
	aws, _ := sub["aws"].(object)
	if table, ok := aws["table_name"].(string); ok && aws["operation"] != nil && strings.EqualFold(sub["name"].(string), "DynamoDB") {
		aws["resource_names"] = []any{table}
	}
}

// calleeOrigin is the origin of the segment inferred for a call, for the calls
// that the sample programs make.
func calleeOrigin(sub object) string {
	switch {
	case sub["namespace"] == "remote" && sub["sql"] != nil:
		return "Database::SQL"
	case sub["namespace"] == "remote":
		return ""
	}
	aws, _ := sub["aws"].(object)
	if strings.EqualFold(sub["name"].(string), "DynamoDB") {
		if aws["operation"] != nil && aws["table_name"] != nil {
			return "AWS::DynamoDB::Table"
		}
		return "AWS::DynamoDB"
	}
	return "AWS::" + sub["name"].(string)
}

// number returns a JSON number exactly.
func number(v any) *big.Rat {
	n, ok := v.(json.Number)
	if !ok {
		return nil
	}
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return nil
	}
	return r
}

// times are compared as the doubles they are; every other number exactly.
func isTime(path string) bool {
	return strings.HasSuffix(path, ".start_time") || strings.HasSuffix(path, ".end_time")
}

// differences lists where got is not want, by path. Subsegments may come in any order.
func differences(path string, got, want any) []string {
	switch w := want.(type) {
	case object:
		g, ok := got.(object)
		if !ok {
			break
		}
		var out []string
		for key, v := range w {
			if _, ok := g[key]; !ok {
				out = append(out, fmt.Sprintf("%s.%s is missing, want %v", path, key, show(v)))
				continue
			}
			out = append(out, differences(path+"."+key, g[key], v)...)
		}
		for key, v := range g {
			if _, ok := w[key]; !ok {
				out = append(out, fmt.Sprintf("%s.%s = %v is not expected", path, key, show(v)))
			}
		}
		slices.Sort(out)
		return out
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		if strings.HasSuffix(path, ".subsegments") {
			g, w = byID(g), byID(w)
		}
		var out []string
		for i := range w {
			out = append(out, differences(fmt.Sprintf("%s[%d]", path, i), g[i], w[i])...)
		}
		return out
	case json.Number:
		a, b := number(got), number(w)
		if a == nil || b == nil {
			break
		}
		if isTime(path) {
			x, _ := a.Float64()
			y, _ := b.Float64()
			if x == y {
				return nil
			}
		} else if a.Cmp(b) == 0 {
			return nil
		}
	default:
		if got == want {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s = %v, want %v", path, show(got), show(want))}
}

func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if len(text) > 300 {
		text = append(text[:300], "..."...)
	}
	return string(text)
}

func byID(list []any) []any {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b any) int {
		x, _ := a.(object)
		y, _ := b.(object)
		xid, _ := x["id"].(string)
		yid, _ := y["id"].(string)
		return strings.Compare(xid, yid)
	})
	return out
}

// span is the earliest start and the latest end of reported segments and what
// is attached to them.
func span(docs []object) (start, end *big.Rat) {
	var walk func(doc object)
	walk = func(doc object) {
		if s := number(doc["start_time"]); s != nil && s.Sign() > 0 && (start == nil || s.Cmp(start) < 0) {
			start = s
		}
		if e := number(doc["end_time"]); e != nil && (end == nil || e.Cmp(end) > 0) {
			end = e
		}
		subs, _ := doc["subsegments"].([]any)
		for _, sub := range subs {
			walk(sub.(object))
		}
	}
	for _, doc := range docs {
		walk(doc)
	}
	return start, end
}

// near reports whether a number of seconds is the same to the millisecond.
func near(got *float64, want *big.Rat) bool {
	if got == nil || want == nil {
		return got == nil && want == nil
	}
	w, _ := want.Float64()
	return *got-w < 1e-3 && w-*got < 1e-3
}

// compare holds an answer of BatchGetTraces against the oracle and returns the
// differences.
func compare(t *testing.T, got traceAnswer, docs [][]byte) []string {
	t.Helper()
	reported, inferred := wantTrace(t, docs)
	var out []string
	want := make(map[string]object)
	for _, doc := range reported {
		want[doc["id"].(string)] = doc
	}
	callees := make(map[string]object) // by the id of the call
	for _, doc := range inferred {
		callees[doc["parent_id"].(string)] = doc
	}
	seen := make(map[string]bool)
	for _, s := range got.Segments {
		v, err := parseJSON([]byte(s.Document))
		if err != nil {
			t.Fatalf("%v in %s", err, s.Document)
		}
		doc := v.(object)
		if doc["id"] != s.ID || seen[s.ID] {
			out = append(out, fmt.Sprintf("segment %s comes twice, or its document has the id %v", s.ID, doc["id"]))
		}
		seen[s.ID] = true
		if doc["inferred"] == true {
			parent, _ := doc["parent_id"].(string)
			callee, ok := callees[parent]
			if !ok {
				out = append(out, fmt.Sprintf("inferred segment %v of %s is not expected", doc["name"], parent))
				continue
			}
			delete(callees, parent)
			delete(doc, "id") // the service's own
			out = append(out, differences("inferred "+callee["name"].(string), doc, callee)...)
			continue
		}
		w, ok := want[s.ID]
		if !ok {
			out = append(out, fmt.Sprintf("segment %v is not expected", doc["name"]))
			continue
		}
		delete(want, s.ID)
		out = append(out, differences(w["name"].(string), doc, w)...)
	}
	for _, doc := range want {
		out = append(out, fmt.Sprintf("segment %v is missing", doc["name"]))
	}
	for _, doc := range callees {
		out = append(out, fmt.Sprintf("no segment was inferred for the call to %v", doc["name"]))
	}
	var duration *big.Rat
	if start, end := span(reported); start != nil && end != nil && end.Cmp(start) >= 0 {
		duration = new(big.Rat).Sub(end, start)
	}
	if !near(got.Duration, duration) {
		out = append(out, fmt.Sprintf("Duration = %v, want %v", got.Duration, duration))
	}
	if got.LimitExceeded == nil || *got.LimitExceeded {
		out = append(out, "LimitExceeded is not false")
	}
	return out
}
