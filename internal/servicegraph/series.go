package servicegraph

// Matcher decides on nodes.
type Matcher interface {
	// MatchNode reports whether the node with that name, type and account is one
	// that is meant; type and account are empty where the API answers null.
	MatchNode(name, typ, account string) bool
}

// Selection says of which nodes or edges statistics are wanted: of a Service,
// of the edges between From and To, or, when all are nil, of the edges from
// clients.
type Selection struct {
	Service  Matcher
	From, To Matcher
}

// OfEdges reports whether the selection is of edges.
func (s *Selection) OfEdges() bool { return s.Service == nil }

func matches(m Matcher, n *Node) bool { return m.MatchNode(n.Name, n.Type, n.AccountID) }

func (s *Selection) match(k *Key) bool {
	switch {
	case s.Service != nil:
		return !k.IsEdge() && matches(s.Service, &k.From)
	case s.From != nil:
		return k.IsEdge() && matches(s.From, &k.From) && matches(s.To, &k.To)
	}
	return k.IsEdge() && k.From.Kind == KindClient
}

// Point is what was observed in one period.
type Point struct {
	Timestamp int64 // end of the period, unix seconds
	// Statistics is nil when the period has observations, but none that were
	// selected.
	Statistics   *Statistics
	ResponseTime []HistogramEntry
}

// Series makes points out of the cells of minutes, which come newest first.
type Series struct {
	sel    Selection
	period int64
	emit   func(Point) bool

	stamp int64
	began bool
	sum   Cell
}

// NewSeries returns a Series with periods of so many seconds, a multiple of 60.
// emit gets the points, newest first, until it returns false.
func NewSeries(sel Selection, period int64, emit func(Point) bool) *Series {
	return &Series{sel: sel, period: period, emit: emit}
}

// Add adds the cells of the minute that ends at stamp, in unix seconds. It
// returns false when no more are wanted.
func (s *Series) Add(stamp int64, cells Cells) bool {
	empty := true
	for _, c := range cells {
		if !c.IsZero() {
			empty = false
			break
		}
	}
	if empty {
		return true
	}
	if r := ((stamp % s.period) + s.period) % s.period; r != 0 {
		stamp += s.period - r
	}
	if s.began && stamp != s.stamp && !s.Finish() {
		return false
	}
	s.stamp, s.began = stamp, true
	for k, c := range cells {
		if s.sel.match(&k) {
			s.sum.Merge(c)
		}
	}
	return true
}

// Finish gives out the last point. It returns what emit did.
func (s *Series) Finish() bool {
	if !s.began {
		return true
	}
	p := Point{Timestamp: s.stamp}
	if s.sum.Total() > 0 {
		stats := s.sum.statistics()
		p.Statistics, p.ResponseTime = &stats, s.sum.responseTime()
	}
	s.sum, s.began = Cell{}, false
	return s.emit(p)
}
