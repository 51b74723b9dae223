package neighbours

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	store "github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
)

// What lists of names are gathered from: the index of the newest traces of the window, and
// the spans of a few of them for what the index does not hold.
const (
	nameRows   = 20_000
	nameTime   = 300 * time.Millisecond
	nameTraces = 200
	askTime    = 2 * time.Second // of lists for spans that a query chooses
	askTraces  = 2000
	maxNames   = 5000 // that a list may be asked for
	graphDays  = 7    // of the service graph that the list of services is read from
)

// names is a set of texts of bounded size.
type names map[string]bool

func (n names) add(text string) {
	if text != "" && !n[text] && len(n) < maxNames {
		n[strings.Clone(text)] = true
	}
}

// sorted returns at most most of the names; 0: all.
func (n names) sorted(most int) []string {
	list := make([]string, 0, len(n))
	for s := range n {
		list = append(list, s)
	}
	slices.Sort(list)
	if most > 0 && len(list) > most {
		list = list[:most]
	}
	return list
}

// services adds the services of the newest traces of a window. A span's service need not be
// a node of the graph: the index has it then as an attribute.
func (h *Handler) services(ctx context.Context, start, end time.Time, into names) error {
	rows, begun := 0, h.cfg.Now()
	ask := store.Question{Clock: tracestore.ClockStart, Start: nanos(start), End: nanos(end), Orphans: true}
	err := h.cfg.Query.Each(ctx, ask, func(row *trace.Row) bool {
		for i := range row.Segments {
			into.add(row.Services[row.Segments[i].Service].Name)
		}
		for i := range row.Annotations {
			if a := &row.Annotations[i]; a.Key == trace.KeyService && a.Attribute {
				into.add(a.String)
			}
		}
		rows++
		return rows < nameRows && (rows%64 != 0 || h.cfg.Now().Sub(begun) < nameTime)
	})
	if err != nil {
		return err
	}
	return h.gather(ctx, start, end, nil, func(s *span) { into.add(s.source.Service()) })
}

// allServices returns the services of the last days: the service graph has them all, but
// for the latest seconds and for what is no node of it.
func (h *Handler) allServices(ctx context.Context) ([]string, error) {
	now := h.cfg.Now()
	into := names{}
	if err := h.services(ctx, now.AddDate(0, 0, -graphDays), now.Add(time.Minute), into); err != nil {
		return nil, err
	}
	graph, err := h.graph(ctx, now.AddDate(0, 0, -graphDays), now.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	for i := range graph.Services {
		if graph.Services[i].Kind == servicegraph.KindReported {
			into.add(graph.Services[i].Name)
		}
	}
	return into.sorted(0), nil
}

func (h *Handler) graph(ctx context.Context, start, end time.Time) (*servicegraph.Graph, error) {
	if h.cfg.Graph == nil {
		return &servicegraph.Graph{}, nil
	}
	cells, _, err := h.cfg.Graph.Graph(ctx, []tracestore.GroupRef{{}}, start.Unix(), end.Unix(), maxNames)
	if err != nil {
		return nil, err
	}
	return cells.Graph(), nil
}

// gather calls fn for the spans that a query chooses, in the newest traces of a window;
// for all spans of fewer traces when q is nil.
func (h *Handler) gather(ctx context.Context, start, end time.Time, q query, fn func(s *span)) error {
	l := look{start: start, end: end, most: nameTraces, time: nameTime}
	if q != nil {
		l.needs, l.most, l.time = q.needs(), askTraces, askTime
	}
	_, err := h.scan(ctx, l, func(t *traceView) bool {
		if q == nil {
			for i := range t.spans {
				fn(&t.spans[i])
			}
			return true
		}
		for _, s := range q.match(t) {
			fn(s)
		}
		return true
	})
	return err
}

// attributeKeys adds the keys of span attributes and annotations.
func (h *Handler) attributeKeys(ctx context.Context, start, end time.Time, into names) error {
	words, err := h.cfg.Query.Vocabulary(ctx, filterexpr.CompleteAnnotationKey, "", "", nanos(start), nanos(end), maxNames)
	if err != nil {
		return err
	}
	for _, w := range words.Words {
		if w.Text != "span.name" && w.Text != "span.kind" && w.Text != trace.KeyService {
			into.add(w.Text)
		}
	}
	return nil
}
