package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// graphAnswer is the answer of GetServiceGraph and of GetTraceGraph.
type graphAnswer struct {
	Services                 []*graphService
	StartTime, EndTime       *float64
	ContainsOldGroupVersions bool
	NextToken                *string

	cut string // the most nodes that the server gives, when there are more; else ""
}

// graphService is a node.
type graphService struct {
	ReferenceID           int `json:"ReferenceId"`
	Name                  string
	Root                  bool
	AccountID             string `json:"AccountId"`
	Type                  string
	State                 string
	StartTime, EndTime    *float64
	Edges                 []*graphEdge
	SummaryStatistics     *graphStatistics
	ResponseTimeHistogram []histogramEntry
}

// graphEdge is the calls from a node to another one.
type graphEdge struct {
	ReferenceID           int `json:"ReferenceId"` // of the callee
	SummaryStatistics     *graphStatistics
	ResponseTimeHistogram []histogramEntry
	Aliases               []struct{ Name string }
}

type graphStatistics struct {
	OkCount         int64
	ErrorStatistics struct{ ThrottleCount, OtherCount, TotalCount int64 }
	FaultStatistics struct{ OtherCount, TotalCount int64 }
	TotalCount      int64
	// TotalResponseTime is a sum in seconds.
	TotalResponseTime float64
}

// histogramEntry is a centroid: Count calls that took Value seconds on average.
type histogramEntry struct {
	Value float64
	Count int64
}

// graphSorts are the values of --sort: what comes first among the callees of a
// caller, and among the lines of a table.
var graphSorts = map[string]func(a, b *graphLine) int{
	"calls":  func(a, b *graphLine) int { return cmp.Compare(b.calls, a.calls) },
	"errors": func(a, b *graphLine) int { return cmp.Compare(b.failed(), a.failed()) },
	"faults": func(a, b *graphLine) int { return cmp.Compare(b.fault, a.fault) },
	"avg":    func(a, b *graphLine) int { return cmp.Compare(b.average, a.average) },
	"p50":    func(a, b *graphLine) int { return cmp.Compare(b.p50, a.p50) },
	"p90":    func(a, b *graphLine) int { return cmp.Compare(b.p90, a.p90) },
	"p99":    func(a, b *graphLine) int { return cmp.Compare(b.p99, a.p99) },
	"name":   func(a, b *graphLine) int { return 0 },
}

const graphSortNames = "calls, errors, faults, avg, p50, p90, p99 or name"

func newGraphCommand(env *Env) *cobra.Command {
	var since, until, groupName, order, colour string
	var traces []string
	var asJSON, asDot, asTable, all, utc bool
	var columns int
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Show the services and who calls whom",
		Long: `Show the service graph of a window, or of single traces: who calls whom, how often,
with what errors, and how long the calls take.

Callees stand under their callers, beginning with the clients. A service that has
several callers is shown with its own callees once, where it is nearest to the
clients; elsewhere it has the sign ↑ or ↓ (see above, see below), or ↻ where a
call leads back to a caller. The numbers of a line are those of the calls from
its caller, as the caller saw them.

ERROR, THROTTLE and FAULT are shares of the calls. AVG is the mean response time;
P50, P90 and P99 are read from the histogram of response times: the smallest of
its values that at least so many per cent of the calls do not exceed. The values
are exact as long as a histogram has few different ones, and means of neighbouring
calls otherwise.

A narrow terminal shows fewer columns; --table gives nodes and edges as tables,
--dot a drawing for Graphviz, and --json the server's answer.`,
		Example: `  roentgen graph
  roentgen graph --since 6h --group checkout --sort p99
  roentgen graph --trace 1-58406520-a006649127e371903a2de979
  roentgen graph --dot | dot -Tsvg > services.svg`,
		Args: noArgs,
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().StringVar(&since, "since", "15m", "beginning of the window: a time ago, or a time")
	cmd.Flags().StringVar(&until, "until", "", "end of the window: a time ago, or a time (default: now)")
	cmd.Flags().StringVar(&groupName, "group", "", "count only the traces of this group")
	cmd.Flags().StringArrayVar(&traces, "trace", nil, "show the graph of the trace with this `id` instead (may be repeated)")
	cmd.Flags().StringVar(&order, "sort", "calls", "what comes first: "+graphSortNames)
	cmd.Flags().BoolVar(&asTable, "table", false, "print nodes and edges as tables")
	cmd.Flags().BoolVar(&asDot, "dot", false, "print the graph in the language of Graphviz")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's answer as JSON")
	cmd.Flags().BoolVar(&all, "all", false, "show every line of a large graph")
	cmd.Flags().BoolVar(&utc, "utc", false, "show times in UTC")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		now := time.Now()
		start, end, err := parseWindow(since, until, now, now)
		if err != nil {
			return &exitError{2, err}
		}
		if boolInt(asTable)+boolInt(asDot)+boolInt(asJSON) > 1 {
			return &exitError{2, errors.New("--table, --dot and --json are different outputs; choose one")}
		}
		if graphSorts[order] == nil {
			return &exitError{2, fmt.Errorf("--sort is %s, not %q", graphSortNames, order)}
		}
		path, question := "/ServiceGraph", map[string]any{"StartTime": seconds(start), "EndTime": seconds(end)}
		if groupName != "" {
			question["GroupName"] = groupName
		}
		if len(traces) > 0 {
			for _, name := range []string{"since", "until", "group"} {
				if cmd.Flags().Changed(name) {
					return &exitError{2, fmt.Errorf("--%s does not go with --trace, which names the traces", name)}
				}
			}
			ids := make([]string, 0, len(traces))
			for _, text := range traces {
				id, err := findTraceID(text)
				if err != nil {
					return &exitError{2, fmt.Errorf("--trace: %w", err)}
				}
				ids = append(ids, id.String())
			}
			path, question = "/TraceGraph", map[string]any{"TraceIds": ids}
			start, end = time.Time{}, time.Time{}
		}
		answer, raw, err := c.serviceGraph(cmd.Context(), path, question)
		if groupName != "" && noSuchGroup(err) {
			return fmt.Errorf("there is no group %s; roentgen group list shows those that there are", clean(groupName))
		}
		if err != nil {
			return err
		}
		var b bytes.Buffer
		g := newGraph(answer, order, start, end)
		g.location = time.Local
		if utc {
			g.location = time.UTC
		}
		t := newTerminal(env.Stdout, env, colour, columns)
		switch {
		case asJSON:
			if err := json.Indent(&b, raw, "", "  "); err != nil {
				return err
			}
			b.WriteByte('\n')
		case asDot:
			g.dot(&b)
		case len(g.nodes) == 0 && len(traces) > 0:
			fmt.Fprintf(&b, "nothing is stored of %s at %s; roentgen traces lists what is\n", plural(len(traces), "such trace"), c.endpoint)
		case len(g.nodes) == 0 && groupName != "":
			fmt.Fprintf(&b, "nothing that arrived between %s and %s is in the group %s; --since looks further back, and a group holds only what arrived while there was one\n",
				start.In(g.location).Format("2006-01-02 15:04:05"), end.In(g.location).Format("2006-01-02 15:04:05 MST"), clean(groupName))
		case len(g.nodes) == 0:
			fmt.Fprintf(&b, "nothing arrived between %s and %s; --since looks further back, roentgen put sends documents, and roentgen demo shows a system at work\n",
				start.In(g.location).Format("2006-01-02 15:04:05"), end.In(g.location).Format("2006-01-02 15:04:05 MST"))
		case asTable:
			g.tables(&b, t, all)
		default:
			g.draw(&b, t, all)
		}
		if answer.cut != "" {
			fmt.Fprintf(env.Stderr, "the graph is larger than the server gives: these are its %s busiest nodes, and the busiest edges between them; a shorter time or a group shows fewer\n", clean(answer.cut))
		}
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

// seconds returns t as the X-Ray API writes times.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// maxGraphPages bounds the pages of a graph that are read.
const maxGraphPages = 1000

// serviceGraph reads all pages of a graph. The raw answer is the first one as it
// came, with the services of the others added.
func (c *client) serviceGraph(ctx context.Context, path string, question map[string]any) (*graphAnswer, json.RawMessage, error) {
	var all graphAnswer
	var first json.RawMessage
	var services []json.RawMessage
	for page := 0; ; page++ {
		var raw json.RawMessage
		header, err := c.postHeader(ctx, path, question, &raw)
		if err != nil {
			return nil, nil, err
		}
		answer := graphAnswer{cut: header.Get(xrayapi.HeaderGraphCut)}
		var list struct{ Services []json.RawMessage }
		if err := errors.Join(json.Unmarshal(raw, &answer), json.Unmarshal(raw, &list)); err != nil {
			return nil, nil, fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
		}
		services = append(services, list.Services...)
		if page == 0 {
			first, all = raw, answer
		} else {
			all.Services = append(all.Services, answer.Services...)
			all.ContainsOldGroupVersions = all.ContainsOldGroupVersions || answer.ContainsOldGroupVersions
		}
		if answer.NextToken == nil || *answer.NextToken == "" || page == maxGraphPages {
			if page == 0 {
				return &all, first, nil
			}
			break
		}
		question["NextToken"] = *answer.NextToken
	}
	var merged map[string]json.RawMessage
	err := json.Unmarshal(first, &merged)
	if err != nil {
		return nil, nil, err
	}
	merged["NextToken"] = json.RawMessage("null")
	if merged["Services"], err = json.Marshal(services); err != nil {
		return nil, nil, err
	}
	first, err = json.Marshal(merged)
	return &all, first, err
}

// graphNode is a service with the calls that it makes and gets.
type graphNode struct {
	*graphService
	own     *graphLine   // the numbers of the node itself; nil for clients
	callees []*graphLine // in the order of --sort
	callers int
	via     *graphLine // the line below which its callees are drawn
	shown   bool
	onPath  bool // its callees are being drawn
}

// graphLine is the numbers of a node or of an edge.
type graphLine struct {
	from, to               *graphNode // from is nil for a node
	calls                  int64
	seconds                float64 // of the window; 0: there is none
	error, throttle, fault float64 // shares, from 0 to 1
	average, p50, p90, p99 float64 // seconds
}

func (l *graphLine) failed() float64 { return l.error + l.throttle + l.fault }

// graph is an answer arranged for reading.
type graph struct {
	nodes      []*graphNode // by name and type
	edges      []*graphLine
	less       func(a, b *graphLine) int
	start, end time.Time // the window that was asked for; zero: none
	location   *time.Location
	oldGroup   bool
}

// client tells the callers from outside, who sent no segments.
func (n *graphNode) client() bool { return n.Type == "client" }

func newGraph(a *graphAnswer, order string, start, end time.Time) *graph {
	g := &graph{start: start, end: end, oldGroup: a.ContainsOldGroupVersions}
	g.less = func(a, b *graphLine) int {
		return cmp.Or(graphSorts[order](a, b), cmp.Compare(a.to.Name, b.to.Name), cmp.Compare(a.to.Type, b.to.Type), cmp.Compare(a.to.ReferenceID, b.to.ReferenceID))
	}
	window := end.Sub(start).Seconds()
	byID := map[int]*graphNode{}
	for _, s := range a.Services {
		if s == nil || byID[s.ReferenceID] != nil {
			continue
		}
		n := &graphNode{graphService: s}
		byID[s.ReferenceID] = n
		g.nodes = append(g.nodes, n)
		if s.SummaryStatistics != nil && !n.client() {
			n.own = newGraphLine(nil, n, s.SummaryStatistics, s.ResponseTimeHistogram, window)
		}
	}
	for _, n := range g.nodes {
		for _, e := range n.Edges {
			if e == nil || byID[e.ReferenceID] == nil {
				continue
			}
			l := newGraphLine(n, byID[e.ReferenceID], e.SummaryStatistics, e.ResponseTimeHistogram, window)
			l.to.callers++
			n.callees = append(n.callees, l)
			g.edges = append(g.edges, l)
		}
		slices.SortStableFunc(n.callees, g.less)
	}
	slices.SortStableFunc(g.edges, g.less)
	return g
}

func newGraphLine(from, to *graphNode, s *graphStatistics, histogram []histogramEntry, window float64) *graphLine {
	l := &graphLine{from: from, to: to, seconds: window}
	if s == nil {
		return l
	}
	l.calls = max(0, s.TotalCount)
	if l.calls > 0 {
		n := float64(l.calls)
		l.throttle = float64(s.ErrorStatistics.ThrottleCount) / n
		l.error = float64(s.ErrorStatistics.OtherCount) / n
		l.fault = float64(s.FaultStatistics.TotalCount) / n
		l.average = s.TotalResponseTime / n
	}
	p := percentiles(histogram, 0.5, 0.9, 0.99)
	l.p50, l.p90, l.p99 = p[0], p[1], p[2]
	return l
}

// percentiles reads quantiles from a histogram of centroids: for each q the
// smallest value whose entries, with those of all smaller values, hold at least
// the share q of the calls. Without interpolation: histograms keep few different
// values as they are, and a value between two of them would be one that no call
// took.
func percentiles(histogram []histogramEntry, qs ...float64) []float64 {
	entries := make([]histogramEntry, 0, len(histogram))
	total := 0.0
	for _, e := range histogram {
		if e.Count > 0 && !math.IsNaN(e.Value) {
			entries = append(entries, e)
			total += float64(e.Count)
		}
	}
	slices.SortFunc(entries, func(a, b histogramEntry) int { return cmp.Compare(a.Value, b.Value) })
	out := make([]float64, len(qs))
	for i, q := range qs {
		sum := 0.0
		for _, e := range entries {
			out[i] = e.Value
			// A little less than the share, for 0.9*10 is not always 9.
			if sum += float64(e.Count); sum >= q*total-1e-9*total {
				break
			}
		}
	}
	return out
}
