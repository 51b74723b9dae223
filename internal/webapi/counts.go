package webapi

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	defaultColumns = 96
	maxColumns     = 480
	// Durations are counted by steps of equal ratio: stepsPerDecade for each power of
	// ten, from shortest seconds on. Step maxStep holds all that is longer.
	stepsPerDecade = 12
	shortest       = 1e-4
	maxStep        = 10*stepsPerDecade - 1
	// seriesLength is into how many parts of the window the traces of a value are counted.
	seriesLength = 24
	// countedValues bounds the different values that are counted, of all keys together,
	// and countedKeys the keys.
	countedValues = 60_000
	countedKeys   = 400
	// defaultValues is how many values are listed of a key.
	defaultValues = 8
	maxValues     = 500
)

// countsAnswer is the answer of /api/counts.
type countsAnswer struct {
	Traces, Failed int // that match, and of them those with error, fault or throttle
	Examined       int // visible traces that were looked at
	NextToken      *string
	// Cells are the traces by time and duration, those with a duration: column, step of duration, how
	// many, and how many of them failed.
	Cells  [][4]int
	Facets []facetAnswer
	// Partial says that there were more different values, or keys, than are counted.
	Partial bool
}

type facetAnswer struct {
	Key      string // outcome, service, entry, status, method, user, or annotation.KEY
	Distinct int    // values, of which those listed are the most frequent
	Values   []facetValue
}

type facetValue struct {
	Value  any // a text, number or truth value
	Count  int
	Failed int
	Series []int // by parts of the window
	// Steps says of keys that were asked for how long their traces took: step of
	// duration, how many.
	Steps [][2]int `json:",omitempty"`
}

type facetCell struct {
	key  string
	kind segment.Type
	text string
}

type facetCount struct {
	count, failed int
	series        [seriesLength]uint32
	steps         *[maxStep + 1]uint32 // of keys that were asked for
}

// counter counts traces as they go by.
type counter struct {
	start, end int64 // unix nanoseconds
	columns    int
	wanted     func(key string) bool

	answer countsAnswer
	cells  map[[2]int]*[2]int
	values map[facetCell]*facetCount
	keys   map[string]bool
	named  map[string]string // keys of annotations, to what they are called here
	seen   []facetCell       // in the trace at hand
}

func newCounter(start, end int64, columns int, wanted func(key string) bool) *counter {
	return &counter{start: start, end: end, columns: columns, wanted: wanted,
		cells: make(map[[2]int]*[2]int), values: make(map[facetCell]*facetCount), keys: make(map[string]bool), named: make(map[string]string)}
}

// step returns which step a duration in seconds belongs to.
func step(duration float64) int {
	if !(duration > shortest) {
		return 0
	}
	// A hair more: what is written as a bound belongs to the step above it.
	return min(maxStep, int(math.Log10(duration/shortest)*stepsPerDecade+1e-9))
}

// place returns in which of n parts of the window a time lies.
func (c *counter) place(at int64, n int) int {
	part := int(float64(at-c.start) / float64(c.end-c.start) * float64(n))
	return max(0, min(n-1, part))
}

func (c *counter) add(r *trace.Row) {
	failed := r.HasError || r.HasFault || r.HasThrottle
	c.answer.Traces++
	if failed {
		c.answer.Failed++
	}
	if r.HasDuration {
		at := [2]int{c.place(r.Start, c.columns), step(r.Duration)}
		cell := c.cells[at]
		if cell == nil {
			cell = new([2]int)
			c.cells[at] = cell
		}
		cell[0]++
		if failed {
			cell[1]++
		}
	}
	part := c.place(r.Start, seriesLength)
	c.seen = c.seen[:0]
	value := func(key string, kind segment.Type, text string) {
		if c.wanted != nil && !c.wanted(key) {
			return
		}
		at := facetCell{key, kind, text}
		n := c.values[at]
		if n == nil {
			if !c.keys[key] && len(c.keys) == countedKeys || len(c.values) == countedValues {
				c.answer.Partial = true
				return
			}
			// The row's own texts go with it.
			at.key, at.text = strings.Clone(key), strings.Clone(text)
			c.keys[at.key] = true
			n = new(facetCount)
			if c.wanted != nil {
				n.steps = new([maxStep + 1]uint32)
			}
			c.values[at] = n
		}
		if slices.Contains(c.seen, at) {
			return
		}
		c.seen = append(c.seen, at)
		n.count++
		if failed {
			n.failed++
		}
		n.series[part]++
		if n.steps != nil && r.HasDuration {
			n.steps[step(r.Duration)]++
		}
	}
	text := func(key, s string) {
		if s != "" {
			value(key, segment.TypeString, s)
		}
	}
	switch {
	case r.HasFault:
		text("outcome", "fault")
	case r.HasThrottle:
		text("outcome", "throttle")
	case r.HasError:
		text("outcome", "error")
	default:
		text("outcome", "ok")
	}
	for i := range r.Services {
		if r.Services[i].Type != "client" {
			text("service", r.Services[i].Name)
		}
	}
	if r.HasRoot {
		text("entry", r.Root.Name)
	}
	if r.Status != 0 {
		value("status", segment.TypeNumber, strconv.Itoa(r.Status))
	}
	text("method", r.Method)
	for _, u := range r.Users {
		text("user", u)
	}
	for i := range r.Annotations {
		a := &r.Annotations[i]
		if a.Attribute && a.Key == trace.LinkKey {
			continue
		}
		key, ok := c.named[a.Key]
		if !ok {
			if key = "annotation." + a.Key; len(c.named) < countedKeys {
				c.named[strings.Clone(a.Key)] = key
			}
		}
		switch a.Type {
		case segment.TypeNumber:
			value(key, a.Type, strconv.FormatFloat(a.Number, 'g', -1, 64))
		case segment.TypeBool:
			value(key, a.Type, strconv.FormatBool(a.Bool))
		default:
			value(key, a.Type, a.String)
		}
	}
}

// result returns what was counted: of each key the most frequent values, or of those that
// contain a text, whatever its case.
func (c *counter) result(values int, find string) *countsAnswer {
	a := &c.answer
	a.Cells = make([][4]int, 0, len(c.cells))
	for at, n := range c.cells {
		a.Cells = append(a.Cells, [4]int{at[0], at[1], n[0], n[1]})
	}
	slices.SortFunc(a.Cells, func(x, y [4]int) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) })
	type counted struct {
		facetCell
		*facetCount
	}
	find = strings.ToLower(find)
	byKey := make(map[string][]counted, len(c.keys))
	for at, n := range c.values {
		if find != "" && !strings.Contains(strings.ToLower(at.text), find) {
			continue
		}
		byKey[at.key] = append(byKey[at.key], counted{at, n})
	}
	a.Facets = make([]facetAnswer, 0, len(byKey))
	for key, list := range byKey {
		slices.SortFunc(list, func(x, y counted) int {
			return cmp.Or(cmp.Compare(y.count, x.count), cmp.Compare(x.text, y.text), cmp.Compare(x.kind, y.kind))
		})
		f := facetAnswer{Key: key, Distinct: len(list)}
		for _, v := range list[:min(values, len(list))] {
			series := make([]int, seriesLength)
			for i, n := range v.series {
				series[i] = int(n)
			}
			var steps [][2]int
			if v.steps != nil {
				for i, n := range v.steps {
					if n > 0 {
						steps = append(steps, [2]int{i, int(n)})
					}
				}
			}
			f.Values = append(f.Values, facetValue{Value: typed(v.kind, v.text), Count: v.count, Failed: v.failed, Series: series, Steps: steps})
		}
		a.Facets = append(a.Facets, f)
	}
	slices.SortFunc(a.Facets, func(x, y facetAnswer) int { return cmp.Compare(x.Key, y.Key) })
	return a
}

func typed(kind segment.Type, text string) any {
	switch kind {
	case segment.TypeNumber:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	case segment.TypeBool:
		return text == "true"
	}
	return text
}

// counts answers GET /api/counts?filter=&start=&end=&columns=&values=&key=&find=&token= : how
// many traces of a window match, by time and duration, and which values they have, or
// which of them contain what find says. It
// looks at all of the window, or as many as there is time for; the token leads on to
// the rest, and answers add up.
func (h *handler) counts(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "filter", "start", "end", "columns", "values", "key", "find", "token")
	if err != nil {
		return err
	}
	start, end, err := h.window(q)
	if err != nil {
		return err
	}
	columns, err := intParameter(q, "columns", defaultColumns, maxColumns)
	if err != nil {
		return err
	}
	values, err := intParameter(q, "values", defaultValues, maxValues)
	if err != nil {
		return err
	}
	filter, err := h.filterParameter(q)
	if err != nil {
		return err
	}
	var wanted func(string) bool
	if keys := q["key"]; len(keys) > 0 {
		wanted = func(key string) bool { return slices.Contains(keys, key) }
	}
	ctx, cancel := h.context(r)
	defer cancel()
	c := newCounter(trace.Nanos(start), trace.Nanos(end), int(columns), wanted)
	examined, next, err := h.cfg.Query.Count(ctx, query.Question{Filter: filter, Start: c.start, End: c.end, Orphans: true, Token: q.Get("token")}, c.add)
	if errors.Is(err, query.ErrToken) {
		return apierr.New(apierr.InvalidRequest, "the token does not belong to this question; begin again without one")
	}
	if err != nil {
		return err
	}
	answer := c.result(int(values), q.Get("find"))
	answer.Examined = examined
	if next != "" {
		answer.NextToken = &next
	}
	return replyJSON(w, answer)
}
