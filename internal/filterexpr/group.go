package filterexpr

import (
	"errors"
	"fmt"
	"slices"
)

// GroupRef names a group: one of its fields is set.
type GroupRef struct {
	Name string
	ARN  string
}

func (r GroupRef) String() string {
	if r.ARN != "" {
		return r.ARN
	}
	return r.Name
}

// Bounds of expanded groups.
const (
	maxGroupDepth   = 16      // groups within groups
	maxExpandedSize = 200_000 // conditions, those of groups counted wherever they are named
)

// ErrGroups reports that groups name each other in a circle, or make an
// expression too large.
var ErrGroups = errors.New("filterexpr: groups cannot be expanded")

// Groups returns the groups that the expression names, each once, in the order
// of the text. Those that they name in turn are not among them.
func (e *Expr) Groups() []GroupRef {
	var refs []GroupRef
	e.root.walk(func(n *node) {
		if n.kind == nodeGroup && n.group != (GroupRef{}) && !slices.Contains(refs, n.group) {
			refs = append(refs, n.group)
		}
	})
	return refs
}

func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, kid := range n.kids {
		kid.walk(visit)
	}
}

// Expand returns the expression with each group that it names, and that these
// name, replaced by the group's own expression, which resolve returns: nil for
// the group that every trace belongs to. An error of resolve is returned as it
// is. Until its groups are expanded, an expression does not know whether a trace
// belongs to them.
func (e *Expr) Expand(resolve func(ref GroupRef) (*Expr, error)) (*Expr, error) {
	x := expander{resolve: resolve, done: map[GroupRef]*Expr{}}
	return x.expr(e)
}

type expander struct {
	resolve func(GroupRef) (*Expr, error)
	done    map[GroupRef]*Expr
	stack   []GroupRef
}

func (x *expander) expr(e *Expr) (*Expr, error) {
	out := &Expr{text: e.text, size: e.root.count()}
	var err error
	if out.root, err = x.node(e.root, &out.size); err != nil {
		return nil, err
	}
	out.glance = newGlance(out.root)
	return out, nil
}

func (n *node) count() int {
	size := 1
	for _, kid := range n.kids {
		size += kid.count()
	}
	return size
}

// node returns n with its groups expanded, and adds what they consist of to size.
func (x *expander) node(n *node, size *int) (*node, error) {
	if n.kind == nodeGroup {
		if n.group == (GroupRef{}) {
			return n, nil
		}
		group, err := x.group(n.group)
		if err != nil {
			return nil, err
		}
		if group != nil {
			*size += group.size
		}
		if *size > maxExpandedSize {
			return nil, fmt.Errorf("%w: %s makes more than %d conditions", ErrGroups, n.group, maxExpandedSize)
		}
		c := *n
		c.expanded, c.isExpanded = group, true
		return &c, nil
	}
	out := n
	for i, kid := range n.kids {
		k, err := x.node(kid, size)
		if err != nil {
			return nil, err
		}
		if k == kid {
			continue
		}
		if out == n {
			c := *n
			c.kids = slices.Clone(n.kids)
			out = &c
		}
		out.kids[i] = k
	}
	return out, nil
}

func (x *expander) group(ref GroupRef) (*Expr, error) {
	if e, ok := x.done[ref]; ok {
		return e, nil
	}
	if slices.Contains(x.stack, ref) || len(x.stack) >= maxGroupDepth {
		return nil, fmt.Errorf("%w: %s names itself, or too many groups name each other", ErrGroups, ref)
	}
	e, err := x.resolve(ref)
	if err != nil {
		return nil, err
	}
	if e != nil {
		x.stack = append(x.stack, ref)
		e, err = x.expr(e)
		x.stack = x.stack[:len(x.stack)-1]
		if err != nil {
			return nil, err
		}
	}
	x.done[ref] = e
	return e, nil
}
