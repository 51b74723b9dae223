package agent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// RuleConfig is one step of processing. Exactly one of its members is set.
type RuleConfig struct {
	// Drop removes documents for which a filter expression is true, Keep those for
	// which it is false. It is judged on each document by itself; where the answer is
	// not known the document stays.
	Drop, Keep string
	// Redact and Hash replace values.
	Redact, Hash *FieldConfig
	// Annotate adds annotations, where the document has none of that key: texts,
	// numbers and booleans.
	Annotate map[string]any
	// Sample keeps this share of traces, 0 to 1, by their ids: agents that see parts
	// of a trace decide alike.
	Sample *float64
}

// FieldConfig says which values to replace.
type FieldConfig struct {
	// Field is a path of names with dots between them, such as http.request.url.
	// Elements of arrays have no name of their own. "*" stands for any name, "**"
	// for any number of names.
	Field string
	// Pattern is a regular expression; what matches it in a text is replaced. "":
	// the whole value, whatever its type.
	Pattern string
	With    string // of Redact; "": [redacted]
	Key     string // of Hash; with one, hashes of guessed values cannot be compared
}

// processor applies rules. It may be used by many goroutines.
type processor struct {
	steps   []step
	changes bool         // some step changes documents
	opaque  atomic.Int64 // documents that could not be read, and so not changed
}

// step does one thing to a document. keep false: it is dropped.
type step func(doc []byte, s *segment.Segment) (out []byte, keep bool)

func newProcessor(rules []RuleConfig) (*processor, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	p := &processor{}
	for i, r := range rules {
		s, changes, err := newStep(r)
		if err != nil {
			return nil, fmt.Errorf("processing rule %d: %w", i+1, err)
		}
		p.steps = append(p.steps, s)
		p.changes = p.changes || changes
	}
	return p, nil
}

func newStep(r RuleConfig) (s step, changes bool, err error) {
	set := 0
	for _, is := range []bool{r.Drop != "", r.Keep != "", r.Redact != nil, r.Hash != nil, r.Annotate != nil, r.Sample != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return nil, false, fmt.Errorf("it has %d of Drop, Keep, Redact, Hash, Annotate and Sample; it needs exactly one", set)
	}
	switch {
	case r.Drop != "" || r.Keep != "":
		s, err = filterStep(r)
	case r.Redact != nil:
		s, err = fieldStep(r.Redact, redacted(r.Redact))
		changes = true
	case r.Hash != nil:
		s, err = fieldStep(r.Hash, hashed(r.Hash.Key))
		changes = true
	case r.Annotate != nil:
		s, err = annotateStep(r.Annotate)
		changes = true
	case r.Sample != nil:
		s, err = sampleStep(*r.Sample)
	}
	return s, changes, err
}

// apply works on documents and returns those that stay, and how many do not. It
// changes neither docs nor their texts.
func (p *processor) apply(docs [][]byte) (kept [][]byte, dropped int) {
	kept = make([][]byte, 0, len(docs))
	lim := segment.Limits{DocumentBytes: MaxDocument}
	for _, doc := range docs {
		segment.ParseAll(doc, lim, func(text []byte, s *segment.Segment) {
			for i, work := range p.steps {
				if i > 0 { // each step sees what those before it made of the document
					var err error
					if s, err = segment.Parse(text, lim); err != nil {
						p.opaque.Add(1)
						dropped++
						return
					}
				}
				var keep bool
				if text, keep = work(text, s); !keep {
					dropped++
					return
				}
			}
			kept = append(kept, text)
		}, func(text []byte, _ *segment.Refusal) {
			if !p.changes {
				kept = append(kept, text)
				return
			}
			// Nobody knows what it holds, and a rule may be there to keep just that
			// from leaving.
			p.opaque.Add(1)
			dropped++
		})
	}
	return kept, dropped
}

func filterStep(r RuleConfig) (step, error) {
	text, drop := r.Keep, filterexpr.False
	if r.Drop != "" {
		text, drop = r.Drop, filterexpr.True
	}
	expr, err := filterexpr.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return func(doc []byte, s *segment.Segment) ([]byte, bool) {
		t := trace.Assemble(s.TraceID, []trace.Document{{Segment: s}})
		truth := expr.Match(t.Row())
		if truth == filterexpr.Unknown {
			truth = expr.Match(t.FullRow())
		}
		return doc, truth != drop
	}, nil
}

func sampleStep(rate float64) (step, error) {
	if !(rate >= 0 && rate <= 1) {
		return nil, fmt.Errorf("the share to sample is %v; it lies between 0 and 1", rate)
	}
	below := uint64(math.MaxUint64)
	if rate < 1 {
		below = uint64(rate * math.MaxUint64)
	}
	return func(doc []byte, s *segment.Segment) ([]byte, bool) {
		h := fnv.New64a()
		h.Write(s.TraceID[:])
		// FNV's high bits depend little on the last bytes; this spreads them.
		x := h.Sum64()
		x ^= x >> 32
		x *= 0x9e3779b97f4a7c15
		x ^= x >> 29
		return doc, rate == 1 || x < below
	}, nil
}

// replace turns a value, as JSON, into another.
type replace func(dst, value []byte) []byte

func redacted(f *FieldConfig) func(text string) string {
	with := f.With
	if with == "" {
		with = "[redacted]"
	}
	return func(string) string { return with }
}

// hashed gives equal texts equal hashes, of 128 bits.
func hashed(key string) func(string) string {
	return func(text string) string {
		m := hmac.New(sha256.New, []byte(key))
		m.Write([]byte(text))
		return "hash:" + hex.EncodeToString(m.Sum(nil)[:16])
	}
}

func fieldStep(f *FieldConfig, change func(string) string) (step, error) {
	path := strings.Split(f.Field, ".")
	if f.Field == "" || slices.Contains(path, "") {
		return nil, fmt.Errorf("%q is no path of a field; write it like http.request.url or metadata.**.password", f.Field)
	}
	for _, name := range []string{"trace_id", "id", "parent_id", "start_time", "end_time", "type", "in_progress", "subsegments"} {
		if f.Field == name {
			return nil, fmt.Errorf("the field %s is what documents are put together by; it cannot be replaced", name)
		}
	}
	var pattern *regexp.Regexp
	if f.Pattern != "" {
		var err error
		if pattern, err = regexp.Compile(f.Pattern); err != nil {
			return nil, err
		}
	}
	value := func(dst, value []byte) []byte {
		text, isText := segment.Raw(value).Text()
		switch {
		case pattern == nil && isText:
			return segment.AppendString(dst, change(text))
		case pattern == nil:
			return segment.AppendString(dst, change(string(value)))
		case !isText:
			return append(dst, value...)
		}
		return segment.AppendString(dst, pattern.ReplaceAllStringFunc(text, change))
	}
	return func(doc []byte, _ *segment.Segment) ([]byte, bool) {
		c := copier{src: doc, dst: make([]byte, 0, len(doc)+64), path: path, replace: value, whole: pattern == nil}
		c.space()
		c.value(nil, []state{{0}})
		return c.dst, true
	}, nil
}

// state is a place in the path: the next name that has to match.
type state struct{ at int }

// copier copies a JSON document whose syntax was checked, and replaces values at
// a path. Subsegments are documents of their own: the path begins anew in each.
type copier struct {
	src     []byte
	at      int
	dst     []byte
	path    []string
	replace replace
	whole   bool // objects and arrays are replaced, too
}

// steps returns where a path may stand after a name.
func (c *copier) steps(states []state, name string) (next []state, hit bool) {
	for _, s := range states {
		for at := s.at; at < len(c.path); at++ {
			if c.path[at] == "**" {
				next = append(next, state{at}) // it takes the name
				if at == len(c.path)-1 {
					hit = true
				}
				continue // or none
			}
			if c.path[at] == "*" || c.path[at] == name {
				next = append(next, state{at + 1})
				hit = hit || at+1 == len(c.path)
			}
			break
		}
	}
	return next, hit
}

// value copies the value at c.at. keys are nil for the document itself and for
// each subsegment.
func (c *copier) value(keys []string, states []state) {
	switch c.src[c.at] {
	case '{':
		c.object(keys, states)
	case '[':
		c.array(keys, states)
	default:
		c.dst = append(c.dst, c.scalar()...)
	}
}

func (c *copier) object(keys []string, states []state) {
	c.copyByte()
	for {
		c.space()
		if c.src[c.at] == '}' {
			c.copyByte()
			return
		}
		if c.src[c.at] == ',' {
			c.copyByte()
			c.space()
		}
		key := c.scalar()
		c.dst = append(c.dst, key...)
		c.space()
		c.copyByte() // the colon
		c.space()
		name := segment.Raw(key).String()
		if len(keys) == 0 && name == "subsegments" && c.src[c.at] == '[' {
			c.array(nil, []state{{0}})
			continue
		}
		next, hit := c.steps(states, name)
		c.member(append(keys, name), next, hit)
	}
}

// member copies or replaces a value.
func (c *copier) member(keys []string, states []state, hit bool) {
	composite := c.src[c.at] == '{' || c.src[c.at] == '['
	switch {
	case hit && (!composite || c.whole) && !fixed(keys):
		begin, out := c.at, len(c.dst)
		c.value(keys, nil)
		value := c.src[begin:c.at]
		c.dst = c.replace(c.dst[:out], value)
	case hit && composite && c.src[c.at] == '[':
		// The elements of an array have its name.
		c.elements(keys, states, true)
	default:
		c.value(keys, states)
	}
}

// fixed reports whether a member is one that documents are put together by.
func fixed(keys []string) bool {
	if len(keys) != 1 {
		return false
	}
	switch keys[0] {
	case "trace_id", "id", "parent_id", "start_time", "end_time", "type", "in_progress":
		return true
	}
	return false
}

func (c *copier) array(keys []string, states []state) { c.elements(keys, states, false) }

func (c *copier) elements(keys []string, states []state, hit bool) {
	c.copyByte()
	for {
		c.space()
		switch c.src[c.at] {
		case ']':
			c.copyByte()
			return
		case ',':
			c.copyByte()
			continue
		}
		if hit {
			c.member(keys, states, true)
		} else {
			c.value(keys, states)
		}
	}
}

func (c *copier) copyByte() {
	c.dst = append(c.dst, c.src[c.at])
	c.at++
}

// space passes over white space, which is not copied.
func (c *copier) space() {
	for c.at < len(c.src) && strings.IndexByte(" \t\r\n", c.src[c.at]) >= 0 {
		c.at++
	}
}

// scalar returns the text, number or word at c.at.
func (c *copier) scalar() []byte {
	begin := c.at
	if c.src[c.at] == '"' {
		for c.at++; c.src[c.at] != '"'; c.at++ {
			if c.src[c.at] == '\\' {
				c.at++
			}
		}
		c.at++
		return c.src[begin:c.at]
	}
	for c.at < len(c.src) && strings.IndexByte(" \t\r\n,:]}", c.src[c.at]) < 0 {
		c.at++
	}
	return c.src[begin:c.at]
}

func annotateStep(annotations map[string]any) (step, error) {
	type member struct{ key, text []byte }
	var members []member
	keys := make([]string, 0, len(annotations))
	for key := range annotations {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		switch annotations[key].(type) {
		case string, bool, int, int64, uint64, float64:
		default:
			return nil, fmt.Errorf("the annotation %s is no text, number or boolean", key)
		}
		value, err := json.Marshal(annotations[key])
		if err != nil {
			return nil, fmt.Errorf("the annotation %s: %w", key, err)
		}
		k := segment.AppendString(nil, key)
		members = append(members, member{k, slices.Concat(k, []byte(":"), value)})
	}
	return func(doc []byte, s *segment.Segment) ([]byte, bool) {
		var add []byte
		for i, key := range keys {
			if s.Annotations.Get(key) == nil {
				if len(add) > 0 {
					add = append(add, ',')
				}
				add = append(add, members[i].text...)
			}
		}
		if len(add) == 0 {
			return doc, true
		}
		out := *s
		switch old := strings.TrimSpace(string(s.Annotations)); {
		case old == "" || old == "null" || len(old) > 1 && strings.TrimSpace(old[1:len(old)-1]) == "":
			out.Annotations = segment.Raw(slices.Concat([]byte("{"), add, []byte("}")))
		default:
			out.Annotations = segment.Raw(slices.Concat([]byte(old[:len(old)-1]), []byte(","), add, []byte("}")))
		}
		return withAnnotations(doc, out.Annotations), true
	}, nil
}

// withAnnotations returns the document with other annotations. Everything else
// keeps its text.
func withAnnotations(doc []byte, annotations segment.Raw) []byte {
	c := copier{src: doc, dst: make([]byte, 0, len(doc)+len(annotations)+32)}
	c.space()
	c.copyByte()
	first := true
	for {
		c.space()
		if c.src[c.at] == '}' {
			break
		}
		if c.src[c.at] == ',' {
			c.at++
			c.space()
		}
		key := c.scalar()
		c.space()
		c.at++
		c.space()
		begin := c.at
		out := len(c.dst)
		c.value([]string{"x"}, nil) // to find its end
		c.dst = c.dst[:out]
		if segment.Raw(key).String() == "annotations" {
			continue // the last of several counts, and is in what is written below
		}
		if !first {
			c.dst = append(c.dst, ',')
		}
		first = false
		c.dst = append(c.dst, key...)
		c.dst = append(c.dst, ':')
		c.dst = append(c.dst, c.src[begin:c.at]...)
	}
	if !first {
		c.dst = append(c.dst, ',')
	}
	c.dst = append(c.dst, `"annotations":`...)
	c.dst = append(c.dst, annotations...)
	return append(c.dst, '}')
}
