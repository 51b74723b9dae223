package servicegraph

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// Graph is a service graph as the X-Ray API shows it.
type Graph struct {
	// Start and End are when the first and the last root of the observed traces
	// began, in unix seconds; meaningful when HasTimes.
	Start, End int64
	HasTimes   bool
	Services   []Service // by name, then type; each at the place of its reference id
}

// Service is a node of a Graph.
type Service struct {
	Node
	Root       bool
	Start, End int64 // unix seconds; meaningful when the graph HasTimes
	Region     string
	// Statistics and both histograms are nil for clients.
	Statistics   *Statistics
	Duration     []HistogramEntry
	ResponseTime []HistogramEntry
	Edges        []Edge // by target
}

// Edge is an arrow of a Graph. Its times are those of the node it leaves.
type Edge struct {
	To           int // reference id of the node it points to
	Statistics   Statistics
	ResponseTime []HistogramEntry
	Aliases      []Alias
}

// maxAliases bounds the aliases that an edge shows, the first ones by name. A
// caller that makes up a name for each call must not make answers endless.
const maxAliases = 100

// Statistics are the numbers of a node or edge.
type Statistics struct {
	OK, Throttle, Error, Fault int64
	Seconds                    float64 // the sum of response times, rounded to 3 decimals
}

// Total returns the number of observations.
func (s *Statistics) Total() int64 { return s.OK + s.Throttle + s.Error + s.Fault }

func (c *Cell) statistics() Statistics {
	s := Statistics{OK: c.OK, Throttle: c.Throttle, Error: c.Error, Fault: c.Fault}
	millis, rest := 0.0, 0.0
	for _, b := range c.response.settle() {
		millis += float64(b.n) * float64(b.millis()) // whole numbers, exact up to 2^53
		rest += float64(b.rest)
	}
	s.Seconds = math.Round(millis+rest/1e6) / 1e3
	return s
}

func (c *Cell) responseTime() []HistogramEntry { return digest(c.response.settle()) }

func (c *Cell) duration() []HistogramEntry {
	more := c.envelope.settle()
	if len(more) == 0 {
		return c.responseTime()
	}
	both := tally{list: slices.Concat(c.response.settle(), more)}
	return digest(both.settle())
}

// ident is what makes two nodes one in an answer: a service that was inferred
// for one trace and reported in another is one node.
type ident struct {
	trace.ServiceID
	client bool
}

func identOf(n Node) ident { return ident{n.ServiceID, n.Kind == KindClient} }

// part is a cell of an answer, made of one cell or the sum of several.
type part struct {
	cell *Cell
	own  bool
}

func (p *part) add(c *Cell) {
	switch {
	case p.cell == nil:
		p.cell = c
	case !p.own:
		sum := &Cell{}
		sum.Merge(p.cell)
		sum.Merge(c)
		p.cell, p.own = sum, true
	default:
		p.cell.Merge(c)
	}
}

// builder is a node of a graph that is being made.
type builder struct {
	Service
	part  part
	edges map[*builder]*part
	ref   int
	timed bool
}

// span widens the times of the node by the starts that a cell holds.
func (b *builder) span(c *Cell) {
	for _, s := range c.starts.settle() {
		if s.n <= 0 {
			continue
		}
		first, last := s.seconds(), s.seconds()+s.unit().Seconds()
		if !b.timed {
			b.Start, b.End, b.timed = first, last, true
			continue
		}
		b.Start, b.End = min(b.Start, first), max(b.End, last)
	}
}

// Graph returns the graph of all that the cells hold.
//
// A node is there when it or an edge of it was observed; one that is there for
// its edges alone has numbers of 0. Nodes are sorted by name, then type. Their
// times are those of the observations, theirs and their edges': from the second
// in which the first root began to the end of that in which the last one did,
// or the minute or hour, where cells know no better.
func (cs Cells) Graph() *Graph {
	nodes := make(map[ident]*builder)
	node := func(n Node) *builder {
		id := identOf(n)
		b := nodes[id]
		if b == nil {
			b = &builder{Service: Service{Node: n}}
			nodes[id] = b
		}
		b.Kind = min(b.Kind, n.Kind) // who was reported once is no longer inferred
		return b
	}
	for k, c := range cs {
		if c.IsZero() {
			continue
		}
		from := node(k.From)
		from.span(c)
		from.Root = from.Root || c.Roots > 0
		if !k.IsEdge() {
			from.part.add(c)
			continue
		}
		to := node(k.To)
		to.span(c)
		if from.edges == nil {
			from.edges = make(map[*builder]*part)
		}
		p := from.edges[to]
		if p == nil {
			p = &part{}
			from.edges[to] = p
		}
		p.add(c)
	}

	sorted := make([]*builder, 0, len(nodes))
	for _, b := range nodes {
		sorted = append(sorted, b)
	}
	slices.SortFunc(sorted, func(x, y *builder) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Type, y.Type),
			strings.Compare(x.AccountID, y.AccountID), cmp.Compare(x.Kind, y.Kind))
	})
	g := &Graph{Services: make([]Service, len(sorted))}
	for i, b := range sorted {
		b.ref = i
		if b.timed {
			if !g.HasTimes {
				g.Start, g.End, g.HasTimes = b.Start, b.End-1, true
			}
			g.Start, g.End = min(g.Start, b.Start), max(g.End, b.End-1)
		}
	}
	for i, b := range sorted {
		b.finish()
		g.Services[i] = b.Service
	}
	return g
}

// finish fills what the node is given as.
func (b *builder) finish() {
	if b.Kind == KindClient {
		b.Root = false
	} else {
		cell := b.part.cell
		if cell == nil {
			cell = &Cell{}
		}
		s := cell.statistics()
		b.Statistics = &s
		b.Duration, b.ResponseTime = cell.duration(), cell.responseTime()
	}
	b.Edges = make([]Edge, 0, len(b.edges))
	for to, p := range b.edges {
		e := Edge{To: to.ref, Statistics: p.cell.statistics(), ResponseTime: p.cell.responseTime()}
		for _, a := range p.cell.aliases.settle() {
			if a.n > 0 && len(e.Aliases) < maxAliases {
				e.Aliases = append(e.Aliases, Alias{a.name, a.typ})
			}
		}
		b.Edges = append(b.Edges, e)
	}
	slices.SortFunc(b.Edges, func(x, y Edge) int { return cmp.Compare(x.To, y.To) })
}

// TraceGraph makes the graph of a few traces. The zero TraceGraph is empty. It
// does not hold on to the documents of the traces.
type TraceGraph struct {
	cells   Cells
	regions map[ident]string
	list    []Contribution // room
}

// Add adds a trace. One whose roots are all unfinished adds nothing, as in the
// X-Ray service.
func (g *TraceGraph) Add(t *trace.Trace) {
	if g.cells == nil {
		g.cells, g.regions = make(Cells), make(map[ident]string)
	}
	roots, done := 0, 0
	for _, e := range t.Segments {
		if !e.Segment.HasParent {
			roots++
			if !e.Segment.InProgress {
				done++
			}
		}
	}
	if roots > 0 && done == 0 {
		return
	}
	g.list = Contributions(g.list[:0], t)
	for i := range g.list {
		g.cells.Add(&g.list[i], 1)
	}
	clear(g.list)
	for _, e := range t.Segments {
		g.region(nodeOf(e.Segment), e)
	}
	for _, c := range t.Calls() {
		if c.Inferred() {
			g.region(Node{ServiceID: cutService(c.Node), Kind: inferredKind(c.Node.Type)}, c.Sub)
		}
	}
}

// region notes where a node is, when a document says so first.
func (g *TraceGraph) region(n Node, e *trace.Entity) {
	if e.Segment.AWS == nil {
		return
	}
	if r := e.Segment.AWS.Get("region").String(); r != "" {
		id := identOf(n)
		if _, ok := g.regions[id]; !ok {
			id.ServiceID = cloneService(id.ServiceID)
			g.regions[id] = strings.Clone(cut(r))
		}
	}
}

// Graph returns the graph of the traces added so far. It has no times.
func (g *TraceGraph) Graph() *Graph {
	graph := g.cells.Graph()
	graph.HasTimes, graph.Start, graph.End = false, 0, 0
	for i := range graph.Services {
		s := &graph.Services[i]
		s.Start, s.End = 0, 0
		s.Region = g.regions[identOf(s.Node)]
	}
	return graph
}
