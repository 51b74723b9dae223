package query

import (
	"context"
	"fmt"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// Filter is a filter expression that was read, with the groups that it names
// replaced by their current expressions.
type Filter struct {
	text string // as it was given: it binds tokens
	expr *filterexpr.Expr
	need trace.Need
}

// Expr returns the expression, groups replaced.
func (f *Filter) Expr() *filterexpr.Expr { return f.expr }

// Filter reads a filter expression. The error is a *filterexpr.Error when the
// text is none, and a *GroupError when it names a group that cannot be used.
func (q *Service) Filter(text string) (*Filter, error) {
	expr, err := ParseExpression(text, q.groups)
	if err != nil {
		return nil, err
	}
	return &Filter{text: text, expr: expr, need: expr.Need()}, nil
}

// until returns the filter for a question that ends with ctx.
func (f *Filter) until(ctx context.Context) *Filter {
	if f == nil {
		return nil
	}
	c := *f
	c.expr = f.expr.Until(ctx.Done())
	return &c
}

// GroupError reports a filter expression that names a group which is not there.
type GroupError struct{ Name, ARN string }

func (e *GroupError) Error() string { return "Group not found" }

// ParseExpression reads a filter expression and replaces the groups that it names by
// their own expressions, which lookup finds; "" is that of a group which holds every
// trace. The errors are those of Service.Filter.
func ParseExpression(text string, lookup func(name, arn string) (expression string, found bool)) (*filterexpr.Expr, error) {
	expr, err := filterexpr.Parse(text)
	if err != nil {
		return nil, err
	}
	return expr.Expand(func(ref filterexpr.GroupRef) (*filterexpr.Expr, error) {
		text, found := lookup(ref.Name, ref.ARN)
		switch {
		case !found:
			return nil, &GroupError{ref.Name, ref.ARN}
		case text == "":
			return nil, nil
		}
		return filterexpr.Parse(text)
	})
}

// matched is how a question's filter decided on a row.
type matched struct {
	ok  bool
	row *trace.Row         // the row given, or a fuller one when that one did not do
	by  filterexpr.Matched // of windows by end: what the filter's first service() or edge() met
}

// keep returns m on a copy of its row.
func (m matched) keep() matched {
	own := m.row.Clone()
	for i := range own.Segments {
		if m.by.Segment == &m.row.Segments[i] {
			m.by.Segment = &own.Segments[i]
		}
	}
	for i := range own.Calls {
		if m.by.Call == &m.row.Calls[i] {
			m.by.Call = &own.Calls[i]
		}
	}
	m.row = own
	return m
}

// match decides on a row. A row that leaves out what the filter looks at is made
// anew from its documents.
func (q *Service) match(ctx context.Context, ask *Question, asOf uint64, row *trace.Row) (matched, error) {
	if ask.Filter == nil {
		return matched{ok: true, row: row}, nil
	}
	m, truth := ask.judge(row)
	if truth != filterexpr.Unknown {
		return m, nil
	}
	t, err := q.traceAsOf(ctx, row.ID, asOf)
	if err != nil || t == nil {
		return matched{}, err
	}
	full, truth := ask.judge(q.limited(t.FullRow()))
	if truth == filterexpr.Unknown {
		if err := ctx.Err(); err != nil { // nobody waits for the filter to decide
			return matched{}, err
		}
		return matched{}, fmt.Errorf("trace %s: the filter cannot decide on the whole trace", row.ID)
	}
	return full, nil
}

// judge asks the filter about a row.
func (ask *Question) judge(row *trace.Row) (matched, filterexpr.Truth) {
	m := matched{row: row}
	var truth filterexpr.Truth
	if ask.Clock == tracestore.ClockEnd {
		truth, m.by = ask.Filter.expr.MatchIn(row, ask.Start, ask.End)
	} else {
		truth = ask.Filter.expr.Match(row)
	}
	m.ok = truth == filterexpr.True
	return m, truth
}
