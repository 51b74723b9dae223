package filterexpr

import (
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

func parse(t testing.TB, text string) *Expr {
	t.Helper()
	e, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v: %s", text, err, err.(*Error).Explain())
	}
	return e
}

// rowOf makes a row of segments and calls, and fills what follows from them as
// the trace package does: nodes, annotations in order, flags of the root.
type rowOf struct {
	trace.Row
	annotated [][]trace.Annotation // by segment
}

func (r *rowOf) node(name, typ, account string) int {
	id := trace.ServiceID{Name: name, Type: typ, AccountID: account}
	if i := slices.Index(r.Services, id); i >= 0 {
		return i
	}
	r.Services = append(r.Services, id)
	return len(r.Services) - 1
}

// seg adds a segment of 1 s and returns it to be changed.
func (r *rowOf) seg(node int, flags trace.Flags, annotations ...trace.Annotation) *trace.SegmentEntry {
	r.annotated = append(r.annotated, annotations)
	r.Segments = append(r.Segments, trace.SegmentEntry{
		Service: node, Flags: flags, Duration: 1, HasDuration: flags&trace.FlagInProgress == 0, End: 100e9,
	})
	if flags&trace.FlagRoot != 0 {
		r.HasRoot, r.Root = true, r.Services[node]
		r.HasFault, r.HasThrottle = flags&trace.FlagFault != 0, flags&trace.FlagThrottle != 0
		r.HasError = flags&trace.FlagError != 0 && !r.HasThrottle
		r.call(r.node(r.Root.Name, "client", ""), node, flags&^trace.FlagRoot)
	}
	if flags&trace.FlagInProgress != 0 {
		r.InProgress = true
	}
	return &r.Segments[len(r.Segments)-1]
}

// call adds a call of 1 s and returns it to be changed.
func (r *rowOf) call(from, to int, flags trace.Flags) *trace.CallEntry {
	r.Calls = append(r.Calls, trace.CallEntry{
		From: from, To: to, Flags: flags, Duration: 1, HasDuration: flags&trace.FlagInProgress == 0, End: 100e9,
	})
	return &r.Calls[len(r.Calls)-1]
}

func compareAnnotation(a, b trace.Annotation) int {
	if c := strings.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	if a.Type != b.Type {
		return int(a.Type) - int(b.Type)
	}
	if c := strings.Compare(a.String, b.String); c != 0 {
		return c
	}
	switch {
	case a.Number != b.Number && a.Number < b.Number, a.Bool != b.Bool && b.Bool:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// done sorts the annotations and returns the row.
func (r *rowOf) done() *trace.Row {
	r.Annotations = nil
	for _, list := range r.annotated {
		r.Annotations = append(r.Annotations, list...)
	}
	slices.SortFunc(r.Annotations, compareAnnotation)
	r.Annotations = slices.Compact(r.Annotations)
	for i := range r.Segments {
		r.Segments[i].Annotations = nil
		for _, a := range r.annotated[i] {
			r.Segments[i].Annotations = append(r.Segments[i].Annotations, slices.Index(r.Annotations, a))
		}
	}
	return &r.Row
}

func text(key, value string) trace.Annotation {
	return trace.Annotation{Key: key, Type: segment.TypeString, String: value}
}

func number(key string, value float64) trace.Annotation {
	return trace.Annotation{Key: key, Type: segment.TypeNumber, Number: value}
}

func boolean(key string, value bool) trace.Annotation {
	return trace.Annotation{Key: key, Type: segment.TypeBool, Bool: value}
}

func requireTruth(t *testing.T, e *Expr, row *trace.Row, want Truth) {
	t.Helper()
	if got := e.Match(row); got != want {
		t.Errorf("%s: got %v, want %v", e.Text(), got, want)
	}
}
