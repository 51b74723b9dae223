package neighbours

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/otlp"
	store "github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	maxTime  = 5 * time.Second // of a search
	maxSpans = 100_000         // of one trace that are looked at
)

// span is a span of a trace, read.
type span struct {
	otlp.Span
	source *otlp.Source
	in     *traceView
}

// traceView is a trace as spans.
type traceView struct {
	id    segment.TraceID
	raw   []otlp.SourcedSpan
	spans []span
	start uint64 // of the earliest span, unix nanoseconds
	end   uint64
	root  *span // the one without parent that began first, nil when there is none
}

func viewOf(raw []otlp.SourcedSpan) *traceView {
	t := &traceView{raw: raw}
	var m otlp.Mapping
	var latest []byte
	var source *otlp.Source
	t.spans = make([]span, 0, min(len(raw), maxSpans))
	for i := range raw {
		if len(t.spans) == maxSpans {
			break
		}
		s := span{in: t}
		if otlp.ParseSpan(raw[i].Span, &s.Span) != nil {
			continue
		}
		if source == nil || !bytes.Equal(latest, raw[i].Source) {
			latest = raw[i].Source
			var err error
			if source, err = m.Source(latest); err != nil {
				source = &otlp.Source{}
			}
		}
		s.source = source
		t.spans = append(t.spans, s)
	}
	for i := range t.spans {
		s := &t.spans[i]
		if t.start == 0 || s.Start < t.start {
			t.start = s.Start
		}
		t.end = max(t.end, s.End, s.Start)
		if !s.HasParent && (t.root == nil || s.Start < t.root.Start) {
			t.root = s
		}
	}
	t.end = max(t.end, t.start)
	return t
}

func (s *span) duration() uint64 {
	if s.End < s.Start {
		return 0
	}
	return s.End - s.Start
}

func (s *span) status() string {
	switch s.Span.Status {
	case otlp.StatusOK:
		return "ok"
	case otlp.StatusError:
		return "error"
	}
	return "unset"
}

func (t *traceView) rootNames() (service, name string) {
	if t.root == nil {
		return "<root span not yet received>", ""
	}
	return t.root.source.Service(), t.root.Name
}

// field returns the value of a field, the zero value when there is none.
func (s *span) field(sc scope, name string) value {
	if sc == scopeIntrinsic {
		text := func(s string) value { return value{text: s, kind: 's'} }
		switch name {
		case "name":
			return text(s.Name)
		case "status":
			return text(s.status())
		case "statusMessage":
			return text(s.Message)
		case "kind":
			return text(strings.ToLower(s.Kind.String()))
		case "duration":
			return value{number: float64(s.duration()), kind: 'n'}
		case "traceDuration":
			return value{number: float64(s.in.end - s.in.start), kind: 'n'}
		case "id":
			return text(s.ID.String())
		case "parent":
			if s.HasParent {
				return text(s.ParentID.String())
			}
		case "traceID":
			return text(s.TraceID.W3C())
		case "rootName":
			_, n := s.in.rootNames()
			return text(n)
		case "rootServiceName":
			n, _ := s.in.rootNames()
			return text(n)
		}
		return value{}
	}
	if sc != scopeResource {
		if v := find(s.Attributes, name); v.kind != 0 {
			return v
		}
	}
	if sc != scopeSpan {
		return find(s.source.Attributes, name)
	}
	return value{}
}

func find(list []otlp.Attribute, name string) (found value) {
	for i := range list {
		if list[i].Key == name {
			found = valueOf(list[i].Value)
		}
	}
	return found
}

func valueOf(v otlp.Value) value {
	switch v.Type {
	case otlp.ValueString:
		return value{text: v.Str(), kind: 's'}
	case otlp.ValueBool:
		return value{text: v.Text(), kind: 'b'}
	case otlp.ValueInt, otlp.ValueDouble:
		n, _ := v.Float()
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return value{} // the index does not have it either
		}
		return value{text: v.Text(), number: n, kind: 'n'}
	}
	return value{}
}

// look says what a look through the store is for, and how long it may take.
type look struct {
	start, end time.Time
	needs      needs
	most       int           // traces that are read; 0: any number
	time       time.Duration // 0: maxTime
}

// seen is how far a look came.
type seen struct {
	traces int // whose spans were read
	// all says that nothing of the window was left, or that the caller had enough.
	all bool
}

// scan calls fn for the traces of a window that may be wanted, newest first, until it
// returns false.
func (h *Handler) scan(ctx context.Context, l look, fn func(t *traceView) bool) (s seen, err error) {
	if l.time == 0 {
		l.time = maxTime
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.time, errTime)
	defer cancel()
	ask := store.Question{
		Clock: tracestore.ClockStart, Start: nanos(l.start), End: nanos(l.end), Need: l.needs.terms, Orphans: true,
	}
	var room []trace.Term
	var failed error
	s.all = true
	err = h.cfg.Query.Each(ctx, ask, func(row *trace.Row) bool {
		if !l.needs.allows(row, &room) {
			return true
		}
		if l.most > 0 && s.traces >= l.most {
			s.all = false
			return false
		}
		raw, err := h.cfg.Query.Spans(ctx, row.ID)
		if err != nil {
			failed = err
			return false
		}
		s.traces++
		t := viewOf(raw)
		t.id = row.ID
		return len(t.spans) == 0 || fn(t)
	})
	if err == nil {
		err = failed
	}
	// The end of our own time is no error: what was found until then counts.
	if err != nil && errors.Is(context.Cause(ctx), errTime) {
		s.all, err = false, nil
	}
	return s, err
}

var errTime = errors.New("neighbours: the time for a search is over")

// nanos returns a time in unix nanoseconds, as far as they go.
func nanos(t time.Time) int64 {
	switch seconds := t.Unix(); {
	case seconds >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	case seconds <= math.MinInt64/int64(time.Second):
		return math.MinInt64
	}
	return t.UnixNano()
}
