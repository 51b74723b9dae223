package trace

import (
	"cmp"
	"math"
	"slices"

	"github.com/roentgen-io/roentgen/segment"
)

// RootCause tells how a fault, an error or most of the response time came about:
// the services from where it shows down to where it began.
type RootCause struct {
	Services []RootCauseService
	// ClientImpacting says that the caller of the trace met it: the path begins at
	// the root.
	ClientImpacting bool
}

// RootCauseService is a step of a root cause in one service.
type RootCauseService struct {
	Service  ServiceID
	Inferred bool
	Entities []RootCauseEntity // from the segment down, at least one
}

// RootCauseEntity is a segment or subsegment on the path of a root cause.
type RootCauseEntity struct {
	Name     string
	Coverage float64 // share of the root's duration, 0 to 1; of response times only
	Remote   bool    // a call to another service
	// Exceptions are those of the entity's cause; of faults and errors only.
	Exceptions []RootCauseException
}

// RootCauseException is an exception on the path of a root cause.
type RootCauseException struct {
	Name    string // its type
	Message string
}

// causes fills the root causes. docs/protocol.md tells the rules.
func (m *rowMaker) causes() {
	m.left = m.limit(maxCausesSize)
	m.responseTimeCause()
	if !m.fault && !m.err {
		return
	}
	w := causeWalk{m: m}
	w.lay()
	if m.fault {
		m.r.FaultCauses = w.walk(func(s *segment.Segment) bool { return s.Fault.True() })
	}
	if m.err {
		m.r.ErrorCauses = w.walk(func(s *segment.Segment) bool { return s.Error.True() })
	}
}

// causePath is a root cause in the making. It ends up empty when it takes more
// than there is left.
type causePath struct {
	m     *rowMaker
	cause RootCause
	left  int
}

// service begins the next service of the path.
func (p *causePath) service(id ServiceID, inferred bool) {
	id = p.m.node(id)
	p.left -= len(id.Name) + len(id.Type) + len(id.AccountID) + 8
	if p.left >= 0 {
		p.cause.Services = append(p.cause.Services, RootCauseService{Service: id, Inferred: inferred})
	}
}

// entity adds an entity to the last service of the path.
func (p *causePath) entity(e RootCauseEntity) {
	e.Name = p.m.text(e.Name, maxText)
	p.left -= len(e.Name) + 8
	for i := range e.Exceptions {
		x := &e.Exceptions[i]
		x.Name, x.Message = p.m.text(x.Name, maxText), p.m.text(x.Message, maxText)
		p.left -= len(x.Name) + len(x.Message) + 4
	}
	if p.left >= 0 {
		last := &p.cause.Services[len(p.cause.Services)-1]
		last.Entities = append(last.Entities, e)
	}
}

// add appends the path to a list of root causes, unless it is too long.
func (p *causePath) add(list []RootCause) []RootCause {
	if p.left < 0 {
		p.m.r.Cut = true
		return list
	}
	p.m.left = p.left
	return append(list, p.cause)
}

// responseTimeCause follows from the root whatever takes more than half of the
// root's time.
func (m *rowMaker) responseTimeCause() {
	if !m.r.HasResponseTime || m.r.ResponseTime == 0 {
		return
	}
	whole := m.r.ResponseTime
	heaviest := func(e *Entity) (found *Entity, most float64) {
		most = whole / 2
		look := func(c *Entity) {
			if c.Segment.InProgress {
				return
			}
			// Compared in microseconds, in which these numbers are exact.
			d, ok := between(c.Segment.StartTime, c.Segment.EndTime)
			switch x := cmp.Compare(d, most); {
			case !ok || x < 0 || x == 0 && found == nil:
			case x > 0 || cmp.Compare(c.Segment.StartTime, found.Segment.StartTime) < 0 ||
				c.Segment.StartTime == found.Segment.StartTime && c.Segment.ID < found.Segment.ID:
				found, most = c, d
			}
		}
		for _, c := range e.Children {
			look(c)
		}
		if !isCall(e.Segment) {
			for c := e.callee; c != nil; c = c.nextCallee {
				look(c)
			}
		}
		return found, most
	}
	next, duration := heaviest(m.root)
	if next == nil {
		return
	}
	p := causePath{m: m, left: m.left}
	p.cause.ClientImpacting = true
	p.service(m.r.Root, m.root.Segment.Inferred)
	p.entity(RootCauseEntity{Name: m.root.Segment.Name, Coverage: 1})
	for next != nil && p.left >= 0 {
		s := next.Segment
		e := RootCauseEntity{Name: s.Name, Coverage: coverage(duration, whole)}
		switch {
		case s.Kind == segment.KindSegment:
			p.service(ServiceOf(s), s.Inferred)
			p.entity(e)
		case !isCall(s):
			p.entity(e)
		default:
			e.Remote = true
			p.entity(e)
			if isInferred(next) {
				p.service(m.Trace.calleeOf(next), true)
				e.Remote = false
				p.entity(e)
			}
			next = nil // a call ends the path, also where its callee is known
			continue
		}
		next, duration = heaviest(next)
	}
	m.r.ResponseTimeCauses = p.add(nil)
}

// calleeOf returns the node that was inferred for a call, from the list of calls
// when they are few.
func (t *Trace) calleeOf(call *Entity) ServiceID {
	if len(t.calls) <= searchBelow {
		for i := range t.calls {
			if c := &t.calls[i]; c.Sub == call && c.Inferred() {
				return c.Node
			}
		}
	}
	node, _, _ := calleeOf(call.Segment)
	return node
}

// coverage returns which part of the whole a duration is, in thousandths.
func coverage(part, whole float64) float64 {
	return math.Round(min(part/whole, 1)*1e3) / 1e3
}

// causeWalk finds the root causes of faults or errors. Everything attached is
// laid out as one forest in which segments hang under what called them, parents
// before children and subtrees without gaps. Walks over it need no recursion and
// no time beyond its size.
type causeWalk struct {
	m      *rowMaker
	nodes  []causeNode
	owners map[string]int32 // nodes by the ids of their exceptions, made when asked for
}

type causeNode struct {
	entity *Entity

	parent int32 // index of the node above, -1 for none
	end    int32 // index behind its subtree
	top    int32 // the highest node from which flagged ones lead down here
	best   int32 // the child to go on with, -1 for none
	goal   int32 // the owner that the path must lead to: noGoal, deadEnd or an index
	lead   uint8 // where the best path leads

	exceptions int // how many it owns
	flagged    bool
	walked     bool // a path came by, whether it went on here or not
}

const (
	noGoal  = -1
	deadEnd = -2
)

// What a path from a node leads to.
const (
	leadsNowhere = iota
	leadsToException
	leadsToInferred
)

// lay lays out the forest.
func (w *causeWalk) lay() {
	visible, segments := w.m.visible, w.m.Segments
	w.nodes = make([]causeNode, 0, len(visible))
	placed := make([]bool, len(visible))
	type waiting struct {
		entity *Entity
		parent int32
	}
	var stack []waiting
	from := func(top *Entity) {
		stack = append(stack[:0], waiting{top, -1})
		for len(stack) > 0 {
			x := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if placed[x.entity.pos] {
				continue // segments that call each other in a circle
			}
			placed[x.entity.pos] = true
			n := int32(len(w.nodes))
			w.nodes = append(w.nodes, causeNode{
				entity: x.entity, parent: x.parent, end: n + 1, exceptions: countExceptions(x.entity.Segment.Cause),
			})
			for c := x.entity.callee; c != nil; c = c.nextCallee {
				stack = append(stack, waiting{c, n})
			}
			for _, c := range x.entity.Children {
				stack = append(stack, waiting{c, n})
			}
		}
	}
	called := make([]bool, len(segments))
	for i := range w.m.Trace.calls {
		if c := &w.m.Trace.calls[i]; c.Callee != nil && c.Caller != nil {
			called[c.Callee.at] = true
		}
	}
	for i, e := range segments {
		if !called[i] {
			from(e)
		}
	}
	for _, e := range segments {
		from(e) // what is in circles, or hangs on one
	}
	for i := len(w.nodes) - 1; i > 0; i-- {
		if p := w.nodes[i].parent; p >= 0 {
			w.nodes[p].end = max(w.nodes[p].end, w.nodes[i].end)
		}
	}
}

// below reports whether node i is node top or lies below it.
func (w *causeWalk) below(i, top int32) bool { return top <= i && i < w.nodes[top].end }

// walk returns the root causes of what has the flag.
func (w *causeWalk) walk(flag func(*segment.Segment) bool) (causes []RootCause) {
	for i := range w.nodes {
		n := &w.nodes[i]
		n.flagged, n.walked = flag(n.entity.Segment), false
		n.top, n.best, n.goal, n.lead = int32(i), -1, noGoal, leadsNowhere
		if n.flagged && n.parent >= 0 && w.nodes[n.parent].flagged {
			n.top = w.nodes[n.parent].top
		}
	}
	for i := len(w.nodes) - 1; i >= 0; i-- {
		w.lead(int32(i))
	}
	var starts []int32
	for i := range w.nodes {
		if w.claim(int32(i)) {
			starts = append(starts, int32(i))
		}
	}
	slices.SortFunc(starts, func(x, y int32) int {
		a, b := w.nodes[x].entity.Segment, w.nodes[y].entity.Segment
		return cmp.Or(cmp.Compare(rankOfStart(a), rankOfStart(b)), cmp.Compare(a.StartTime, b.StartTime), cmp.Compare(a.ID, b.ID))
	})
	for _, i := range starts {
		if w.nodes[i].lead == leadsNowhere {
			continue
		}
		p := causePath{m: w.m, left: w.m.left}
		w.follow(&p, i)
		causes = p.add(causes)
	}
	return causes
}

// rankOfStart puts what the client met before all else.
func rankOfStart(s *segment.Segment) int {
	if isRoot(s) {
		return 0
	}
	return 1
}

func isRoot(s *segment.Segment) bool { return s.Kind == segment.KindSegment && !s.HasParent }

// lead finds where node i leads, when that is known of all nodes below, and
// offers it to its parent.
func (w *causeWalk) lead(i int32) {
	n := &w.nodes[i]
	if !n.flagged {
		return
	}
	id, refers := n.entity.Segment.Cause.Text()
	switch {
	case refers:
		if n.goal = w.owner(id, i); n.goal >= 0 {
			n.lead = leadsToException
		}
	case isInferred(n.entity):
		n.lead = leadsToInferred
	case n.best >= 0:
		n.lead = w.nodes[n.best].lead
	case n.exceptions > 0:
		n.lead = leadsToException
	}
	if n.lead == leadsNowhere || n.parent < 0 {
		return
	}
	if p := &w.nodes[n.parent]; p.best < 0 || w.better(n, &w.nodes[p.best]) {
		p.best = i
	}
}

// better reports whether a path goes on with x rather than with y, which have
// one parent: a call whose callee is inferred comes first, then what leads to
// one, then what began first.
func (w *causeWalk) better(x, y *causeNode) bool {
	if a, b := isInferred(x.entity), isInferred(y.entity); a != b {
		return a
	}
	if x.lead != y.lead {
		return x.lead > y.lead
	}
	return earlier(x, y)
}

func earlier(x, y *causeNode) bool {
	a, b := x.entity.Segment, y.entity.Segment
	return a.StartTime < b.StartTime || a.StartTime == b.StartTime && a.ID < b.ID
}

// owner returns the node that owns the exception id and to which flagged nodes
// lead down from node i, deadEnd when there is none.
func (w *causeWalk) owner(id string, i int32) int32 {
	if w.owners == nil {
		w.owners = make(map[string]int32)
		for i := range w.nodes {
			if w.nodes[i].exceptions == 0 {
				continue
			}
			w.nodes[i].entity.Segment.Cause.Get("exceptions").Elements(func(x segment.Raw) bool {
				if id := x.Get("id").String(); id != "" {
					if k, ok := w.owners[id]; !ok || earlier(&w.nodes[i], &w.nodes[k]) { // of several the first
						w.owners[id] = int32(i)
					}
				}
				return true
			})
		}
	}
	goal, ok := w.owners[id]
	if !ok || goal == i || !w.below(goal, i) || w.nodes[goal].top > i || !w.nodes[goal].flagged {
		return deadEnd
	}
	return goal
}

// claim decides whether a path comes by at node i, when that is known of all
// nodes above, and reports whether one begins there.
func (w *causeWalk) claim(i int32) (start bool) {
	n := &w.nodes[i]
	if !n.flagged {
		return false
	}
	claimed := false
	if n.parent >= 0 && w.nodes[n.parent].walked {
		switch goal := w.nodes[n.parent].goal; {
		case goal == noGoal:
			claimed = true
		case goal == deadEnd:
		case w.below(goal, i):
			claimed = true
			if n.goal = goal; goal == i {
				n.goal = noGoal
			}
		}
	}
	start = !claimed && (n.entity.Segment.Kind == segment.KindSegment || isInferred(n.entity))
	n.walked = claimed || start
	return start
}

// follow fills the path that begins at node i, which leads somewhere.
func (w *causeWalk) follow(p *causePath, i int32) {
	path := []int32{i}
	inferred := false
	for {
		n := &w.nodes[i]
		if n.goal >= 0 {
			at := len(path)
			for k := n.goal; k != i; k = w.nodes[k].parent {
				path = append(path, k)
			}
			slices.Reverse(path[at:])
			break // the path ends at the owner, whatever is below it
		}
		if inferred = isInferred(n.entity); inferred || n.best < 0 {
			break
		}
		i = n.best
		path = append(path, i)
	}
	p.cause.ClientImpacting = isRoot(w.nodes[path[0]].entity.Segment)
	if inferred && len(path) == 1 {
		path = nil // it begins in the service that was called
	}
	for k, i := range path {
		if p.left < 0 {
			return
		}
		n := &w.nodes[i]
		if k == 0 || n.entity.Segment.Kind == segment.KindSegment {
			s := n.entity.segment.Segment
			p.service(ServiceOf(s), s.Inferred)
		}
		p.entity(RootCauseEntity{
			Name: n.entity.Segment.Name, Remote: isCall(n.entity.Segment), Exceptions: exceptions(n.entity.Segment.Cause, n.exceptions),
		})
	}
	if inferred {
		s := w.nodes[i].entity.Segment
		node, _, _ := calleeOf(s)
		p.service(node, true)
		p.entity(RootCauseEntity{Name: s.Name})
	}
}

// countExceptions returns how many exceptions a cause has of its own.
func countExceptions(cause segment.Raw) (n int) {
	if cause.Type() != segment.TypeObject {
		return 0
	}
	cause.Get("exceptions").Elements(func(x segment.Raw) bool {
		if x.Type() == segment.TypeObject {
			n++
		}
		return true
	})
	return n
}

// exceptions returns the n exceptions that a cause has of its own.
func exceptions(cause segment.Raw, n int) []RootCauseException {
	if n == 0 {
		return nil
	}
	list := make([]RootCauseException, 0, n)
	cause.Get("exceptions").Elements(func(x segment.Raw) bool {
		if x.Type() == segment.TypeObject {
			var parts [2]segment.Raw
			x.Find(parts[:], "type", "message")
			list = append(list, RootCauseException{Name: parts[0].String(), Message: parts[1].String()})
		}
		return true
	})
	return list
}
