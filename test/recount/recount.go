// Package recount counts a service graph by hand. It reads documents as they
// were sent, as plain JSON, and works out what GetServiceGraph must answer for
// them all, slowly and with nothing of the server's own packages: what the
// answers of the real server are held against.
//
// It takes the histories of ordinary senders: documents may come in any order,
// twice, unfinished before they are complete, or not at all. Two complete
// versions of one entity that differ, and entities that are nested in one
// document and independent in another, are beyond it.
package recount

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Numbers are those of a node or an edge.
type Numbers struct {
	OK, Error, Throttle, Fault int
	Seconds                    float64
}

// Total is the number of all that was counted.
func (n Numbers) Total() int { return n.OK + n.Error + n.Throttle + n.Fault }

// Node is a service, a client or a callee.
type Node struct {
	State string
	Root  bool
	Numbers
}

// Edge is what one node called of another.
type Edge struct {
	Aliases []string // sorted
	Numbers
}

// Graph is a service graph. A node is known by "name|type", and functions by
// "name|type|account"; an edge by "node -> node".
type Graph struct {
	Nodes map[string]*Node
	Edges map[string]*Edge
}

func newGraph() *Graph { return &Graph{Nodes: map[string]*Node{}, Edges: map[string]*Edge{}} }

func (g *Graph) node(key, state string) *Node {
	n := g.Nodes[key]
	if n == nil {
		n = &Node{State: state}
		g.Nodes[key] = n
	}
	if state == "active" { // reported somewhere
		n.State = state
	}
	return n
}

func (g *Graph) edge(from, to string) *Edge {
	key := from + " -> " + to
	e := g.Edges[key]
	if e == nil {
		e = &Edge{}
		g.Edges[key] = e
	}
	return e
}

// entity is a segment or subsegment in the version that counts.
type entity struct {
	doc    map[string]any
	holder *entity // what nests it, if anything
	top    bool    // a segment
}

func (e *entity) text(key string) string {
	s, _ := e.doc[key].(string)
	return s
}

func (e *entity) object(key string) map[string]any {
	m, _ := e.doc[key].(map[string]any)
	return m
}

func unfinished(doc map[string]any) bool {
	b, _ := doc["in_progress"].(bool)
	return b
}

func (e *entity) count(n *Numbers) {
	is := func(flag string) bool { b, _ := e.doc[flag].(bool); return b }
	switch {
	case is("throttle"):
		n.Throttle++
	case is("fault"):
		n.Fault++
	case is("error"):
		n.Error++
	default:
		n.OK++
	}
	start, _ := e.doc["start_time"].(float64)
	end, _ := e.doc["end_time"].(float64)
	n.Seconds += max(0, end-start)
}

// service returns the node of a segment.
func (e *entity) service() string {
	key := e.text("name") + "|" + e.text("origin")
	if e.text("origin") == "AWS::Lambda::Function" {
		if account, _ := e.object("aws")["account_id"].(string); account != "" {
			key += "|" + account
		}
	}
	return key
}

// inferred returns the node of the callee of a call that nobody answered.
func (e *entity) inferred() (key, state string) {
	if e.text("namespace") == "remote" {
		if e.doc["sql"] != nil {
			return e.text("name") + "|Database::SQL", "unknown"
		}
		return e.text("name") + "|remote", "passive"
	}
	// SDKs differ in how they write the names of AWS's services.
	name, aws := e.text("name"), e.object("aws")
	known := []struct{ name, member, typ string }{
		{"DynamoDB", "table_name", "AWS::DynamoDB::Table"},
		{"S3", "bucket_name", "AWS::S3::Bucket"},
		{"SQS", "queue_url", "AWS::SQS::Queue"},
		{"SNS", "topic_arn", "AWS::SNS"},
		{"Lambda", "function_name", "AWS::Lambda"},
	}
	for _, k := range known {
		if !strings.EqualFold(k.name, name) {
			continue
		}
		operation, _ := aws["operation"].(string)
		if resource, _ := aws[k.member].(string); operation != "" && resource != "" {
			return resource + "|" + k.typ, "unknown"
		}
		return name + "|AWS::" + k.name, "unknown"
	}
	return name + "|AWS::" + name, "unknown"
}

// Count returns the graph of documents, which are in the order of their arrival.
func Count(docs []string) (*Graph, error) {
	traces := map[string][]map[string]any{}
	for _, text := range docs {
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			return nil, fmt.Errorf("recount: %w in %.200s", err, text)
		}
		id, _ := doc["trace_id"].(string)
		traces[id] = append(traces[id], doc)
	}
	g := newGraph()
	for _, docs := range traces {
		g.addTrace(docs)
	}
	for _, e := range g.Edges {
		slices.Sort(e.Aliases)
		e.Aliases = slices.Compact(e.Aliases)
	}
	return g, nil
}

func (g *Graph) addTrace(docs []map[string]any) {
	// Of each document's versions the first complete one counts, or else the last.
	final := map[string]map[string]any{}
	for _, doc := range docs {
		id := doc["id"].(string)
		if old := final[id]; old == nil || unfinished(old) {
			final[id] = doc
		}
	}
	entities := map[string]*entity{}
	var file func(doc map[string]any, holder *entity, top bool)
	file = func(doc map[string]any, holder *entity, top bool) {
		e := &entity{doc: doc, holder: holder, top: top}
		entities[doc["id"].(string)] = e
		list, _ := doc["subsegments"].([]any)
		for _, v := range list {
			if sub, ok := v.(map[string]any); ok {
				file(sub, e, false)
			}
		}
	}
	for _, doc := range final {
		file(doc, nil, doc["type"] != "subsegment")
	}

	// segmentOf returns the segment that an entity hangs under, nil for none.
	segmentOf := func(e *entity) *entity {
		for range len(entities) + 1 {
			switch {
			case e == nil || e.top:
				return e
			case e.holder != nil:
				e = e.holder
			default:
				e = entities[e.text("parent_id")]
			}
		}
		return nil
	}
	isCall := func(e *entity) bool {
		return !e.top && (e.text("namespace") == "aws" || e.text("namespace") == "remote")
	}

	answers := map[*entity]map[string]bool{} // nodes that answered a call
	for _, e := range entities {
		if !e.top {
			continue
		}
		_, called := e.doc["parent_id"]
		if !unfinished(e.doc) {
			n := g.node(e.service(), "active")
			e.count(&n.Numbers)
			if !called {
				n.Root = true
				client := e.text("name") + "|client"
				g.node(client, "unknown")
				e.count(&g.edge(client, e.service()).Numbers)
			}
		}
		parent := entities[e.text("parent_id")]
		caller := segmentOf(parent)
		if !called || caller == nil || caller == e {
			continue
		}
		if isCall(parent) {
			if answers[parent] == nil {
				answers[parent] = map[string]bool{}
			}
			answers[parent][e.service()] = true
		} else if !unfinished(caller.doc) && !unfinished(e.doc) {
			g.node(caller.service(), "active")
			e.count(&g.edge(caller.service(), e.service()).Numbers)
		}
	}
	for _, e := range entities {
		caller := segmentOf(e)
		if !isCall(e) || caller == nil || unfinished(e.doc) || unfinished(caller.doc) {
			continue
		}
		for to := range answers[e] {
			g.node(to, "active")
			edge := g.edge(caller.service(), to)
			e.count(&edge.Numbers)
			if e.text("namespace") == "remote" {
				edge.Aliases = append(edge.Aliases, e.text("name"))
			}
		}
		if len(answers[e]) == 0 {
			to, state := e.inferred()
			e.count(&g.node(to, state).Numbers)
			e.count(&g.edge(caller.service(), to).Numbers)
		}
	}
}

// Read takes the answer of GetServiceGraph or GetTraceGraph apart. It fails
// when the answer contradicts itself: totals that are no sums, histograms that
// count something else, references that lead nowhere.
func Read(answer []byte) (*Graph, error) {
	type statistics struct {
		OkCount, TotalCount int
		TotalResponseTime   float64
		ErrorStatistics     struct{ ThrottleCount, OtherCount, TotalCount int }
		FaultStatistics     struct{ OtherCount, TotalCount int }
	}
	type histogram []struct {
		Value float64
		Count int
	}
	var in struct {
		Services []struct {
			ReferenceID                              int `json:"ReferenceId"`
			Name, Type, State, AccountID             string
			Root                                     bool
			SummaryStatistics                        *statistics
			ResponseTimeHistogram, DurationHistogram histogram
			Edges                                    []struct {
				ReferenceID           int `json:"ReferenceId"`
				SummaryStatistics     *statistics
				ResponseTimeHistogram histogram
				Aliases               []struct{ Name, Type string }
			}
		}
	}
	if err := json.Unmarshal(answer, &in); err != nil {
		return nil, err
	}
	numbers := func(s *statistics, histograms ...histogram) (Numbers, error) {
		n := Numbers{OK: s.OkCount, Error: s.ErrorStatistics.OtherCount, Throttle: s.ErrorStatistics.ThrottleCount, Fault: s.FaultStatistics.OtherCount, Seconds: s.TotalResponseTime}
		if s.TotalCount != n.Total() || s.ErrorStatistics.TotalCount != n.Error+n.Throttle || s.FaultStatistics.TotalCount != n.Fault {
			return n, fmt.Errorf("totals that are no sums: %+v", *s)
		}
		for _, h := range histograms {
			count := 0
			for _, entry := range h {
				count += entry.Count
			}
			if count != n.Total() {
				return n, fmt.Errorf("a histogram counts %d of %d", count, n.Total())
			}
		}
		return n, nil
	}
	g := newGraph()
	names := make([]string, len(in.Services))
	for i, s := range in.Services {
		if s.ReferenceID != i {
			return nil, fmt.Errorf("node %d has the reference id %d", i, s.ReferenceID)
		}
		names[i] = s.Name + "|" + s.Type
		if s.AccountID != "" {
			names[i] += "|" + s.AccountID
		}
		if g.Nodes[names[i]] != nil {
			return nil, fmt.Errorf("two nodes %s", names[i])
		}
		n := &Node{State: s.State, Root: s.Root}
		g.Nodes[names[i]] = n
		if s.SummaryStatistics == nil {
			if s.Type != "client" {
				return nil, fmt.Errorf("%s has no numbers", names[i])
			}
			continue
		}
		var err error
		if n.Numbers, err = numbers(s.SummaryStatistics, s.ResponseTimeHistogram, s.DurationHistogram); err != nil {
			return nil, fmt.Errorf("%s: %w", names[i], err)
		}
	}
	for i, s := range in.Services {
		for _, e := range s.Edges {
			if e.ReferenceID < 0 || e.ReferenceID >= len(names) {
				return nil, fmt.Errorf("an edge of %s leads to node %d of %d", names[i], e.ReferenceID, len(names))
			}
			key := names[i] + " -> " + names[e.ReferenceID]
			if g.Edges[key] != nil {
				return nil, fmt.Errorf("two edges %s", key)
			}
			edge := &Edge{}
			for _, a := range e.Aliases {
				edge.Aliases = append(edge.Aliases, a.Name)
			}
			slices.Sort(edge.Aliases)
			g.Edges[key] = edge
			if e.SummaryStatistics == nil {
				return nil, fmt.Errorf("edge %s has no numbers", key)
			}
			var err error
			if edge.Numbers, err = numbers(e.SummaryStatistics, e.ResponseTimeHistogram); err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return g, nil
}

// Diff tells in which lines got differs from want; "" when in none. Counts must
// be equal; seconds may differ by what rounding to milliseconds takes away.
func Diff(got, want *Graph) string {
	var out []string
	compare := func(what, got, want string, seconds, wanted float64) {
		if got != want {
			out = append(out, fmt.Sprintf("%s:\n  got  %s\n  want %s", what, got, want))
		} else if math.Abs(seconds-wanted) > 0.00051 {
			out = append(out, fmt.Sprintf("%s: %.6f s in all, want %.6f", what, seconds, wanted))
		}
	}
	for _, key := range union(got.Nodes, want.Nodes) {
		text, seconds := got.Nodes[key].line()
		wantText, wanted := want.Nodes[key].line()
		compare(key, text, wantText, seconds, wanted)
	}
	for _, key := range union(got.Edges, want.Edges) {
		text, seconds := got.Edges[key].line()
		wantText, wanted := want.Edges[key].line()
		compare(key, text, wantText, seconds, wanted)
	}
	return strings.Join(out, "\n")
}

func union[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (n *Node) line() (string, float64) {
	if n == nil {
		return "nothing", 0
	}
	return fmt.Sprintf("%s root=%t %s", n.State, n.Root, n.Numbers), n.Seconds
}

func (e *Edge) line() (string, float64) {
	if e == nil {
		return "nothing", 0
	}
	return fmt.Sprintf("%s aliases %q", e.Numbers, e.Aliases), e.Seconds
}

// String leaves the seconds out.
func (n Numbers) String() string {
	return fmt.Sprintf("ok=%d error=%d throttle=%d fault=%d", n.OK, n.Error, n.Throttle, n.Fault)
}

// String lists nodes and edges.
func (g *Graph) String() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(g.Nodes)) {
		text, _ := g.Nodes[key].line()
		fmt.Fprintf(&b, "%s: %s\n", key, text)
	}
	for _, key := range slices.Sorted(maps.Keys(g.Edges)) {
		text, _ := g.Edges[key].line()
		fmt.Fprintf(&b, "%s: %s\n", key, text)
	}
	return b.String()
}
