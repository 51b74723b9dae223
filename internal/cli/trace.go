package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/segment"
)

// traceAnswer is the answer of GET /api/traces/{id}.
type traceAnswer struct {
	ID       string `json:"Id"`
	Duration *float64
	Revision int
	Segments []traceDocument
	Orphans  []traceDocument
}

type traceDocument struct {
	ID       string `json:"Id"`
	Document json.RawMessage
}

func newTraceCommand(env *Env) *cobra.Command {
	var o waterfallOptions
	var asJSON, utc bool
	var colour, format string
	var columns int
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Show one trace as a waterfall",
		Long: `Show one trace as a waterfall: every segment and subsegment under its caller, with
its duration, what it did and what went wrong, and the exceptions beneath.

ID may be an X-Ray id, a W3C id, or any text that holds one: an X-Amzn-Trace-Id or
traceparent header, a line of a log.`,
		Example: `  roentgen trace 1-58406520-a006649127e371903a2de979
  roentgen trace 'Root=1-58406520-a006649127e371903a2de979;Sampled=1'
  roentgen trace --json 58406520a006649127e371903a2de979
  roentgen trace --format otlp 1-58406520-a006649127e371903a2de979 > trace.json`,
		Args: needArgs(1, "name the trace by its id"),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the trace as JSON")
	cmd.Flags().StringVar(&format, "format", "", `print the trace for other programs: "xray" gives its segment documents, one a line, "otlp" OpenTelemetry spans as JSON`)
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show annotations, queries and whole stacks too")
	cmd.Flags().BoolVar(&o.all, "all", false, "show every entry of a large trace")
	cmd.Flags().BoolVar(&utc, "utc", false, "show times in UTC")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := findTraceID(strings.Join(args, " "))
		if err != nil {
			return &exitError{2, err}
		}
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		path := "/api/traces/" + url.PathEscape(id.String())
		switch {
		case format != "" && asJSON:
			return usageError(errors.New("--format goes without --json"))
		case format == "otlp":
			path += "?format=otlp"
		case format != "" && format != "xray":
			return usageError(fmt.Errorf("--format: %q is neither xray nor otlp", format))
		}
		var raw json.RawMessage
		if err := c.get(cmd.Context(), path, &raw); err != nil {
			if isStatus(err, http.StatusNotFound) {
				return fmt.Errorf("no trace %s is stored at %s", id, c.endpoint)
			}
			return err
		}
		if asJSON || format == "otlp" {
			var b bytes.Buffer
			if err := json.Indent(&b, raw, "", "  "); err != nil {
				return err
			}
			b.WriteByte('\n')
			_, err := b.WriteTo(env.Stdout)
			return err
		}
		var answer traceAnswer
		if err := json.Unmarshal(raw, &answer); err != nil {
			return fmt.Errorf("the answer of %s is not what this version of roentgen expects: %w", c.endpoint, err)
		}
		if format == "xray" {
			return printDocuments(env.Stdout, &answer)
		}
		o.location = time.Local
		if utc {
			o.location = time.UTC
		}
		w, err := buildWaterfall(&answer)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		w.print(&b, newTerminal(env.Stdout, env, colour, columns), o)
		_, err = b.WriteTo(env.Stdout)
		return err
	}
	return cmd
}

// printDocuments prints the documents of a trace one a line, as roentgen put takes
// them. Inferred segments are left out: whoever gets the documents infers them again.
func printDocuments(w io.Writer, answer *traceAnswer) error {
	var b bytes.Buffer
	for _, list := range [...][]traceDocument{answer.Segments, answer.Orphans} {
		for _, d := range list {
			if inferred, _ := segment.Raw(d.Document).Get("inferred").Bool(); inferred {
				continue
			}
			if err := json.Compact(&b, d.Document); err != nil {
				return err
			}
			b.WriteByte('\n')
		}
	}
	_, err := b.WriteTo(w)
	return err
}

var (
	xrayIDText = regexp.MustCompile(`(?i)1-[0-9a-f]{8}-[0-9a-f]{24}`)
	w3cIDText  = regexp.MustCompile(`(?i)(?:^|[^0-9a-f])([0-9a-f]{32})(?:[^0-9a-f]|$)`)
)

// findTraceID finds the trace id in what a person pasted.
func findTraceID(text string) (segment.TraceID, error) {
	if m := xrayIDText.FindString(text); m != "" {
		return segment.ParseTraceID(m)
	}
	if m := w3cIDText.FindStringSubmatch(text); m != nil {
		return segment.ParseAnyTraceID(m[1])
	}
	return segment.TraceID{}, fmt.Errorf("%q holds no trace id; it looks like 1-58406520-a006649127e371903a2de979 or, in W3C form, 58406520a006649127e371903a2de979", clean(text))
}

// entry is a line of the waterfall.
type entry struct {
	s        *segment.Segment
	service  string           // name of the segment it belongs to
	inferred *segment.Segment // the callee that nobody reported
	children []*entry
	parent   *entry
	visited  bool
}

func (e *entry) end() float64 {
	if e.s.InProgress {
		return math.Inf(1)
	}
	return max(e.s.StartTime, e.s.EndTime)
}

// waterfall is a trace arranged for reading.
type waterfall struct {
	id       string
	duration *float64
	revision int
	roots    []*entry // segments whose caller is not in the trace
	orphans  []*entry // subsegments whose parent is not in the trace
	segments int
	entries  int
	running  bool    // something is in progress
	first    float64 // seconds since the epoch
	last     float64
	services []string // in order of appearance
}

type waterfallOptions struct {
	verbose, all bool
	location     *time.Location
}

func buildWaterfall(a *traceAnswer) (*waterfall, error) {
	w := &waterfall{id: a.ID, duration: a.Duration, revision: a.Revision, first: math.Inf(1), last: math.Inf(-1)}
	byID := map[segment.SegmentID]*entry{}
	var segments, inferred []*entry
	var add func(s *segment.Segment, service string, parent *entry) *entry
	add = func(s *segment.Segment, service string, parent *entry) *entry {
		e := &entry{s: s, service: service, parent: parent}
		w.entries++
		if s.StartTime > 0 {
			w.first = min(w.first, s.StartTime)
		}
		w.last = max(w.last, s.StartTime)
		if s.InProgress {
			w.running = true
		} else {
			w.last = max(w.last, s.EndTime)
		}
		byID[s.ID] = e
		for _, c := range s.Subsegments {
			e.children = append(e.children, add(c, service, e))
		}
		return e
	}
	for _, d := range a.Segments {
		s, err := segment.Parse(d.Document, segment.Limits{})
		if err != nil {
			return nil, fmt.Errorf("segment %s cannot be read: %w", d.ID, err)
		}
		if s.Inferred {
			inferred = append(inferred, &entry{s: s})
			continue
		}
		w.segments++
		segments = append(segments, add(s, s.Name, nil))
	}
	for _, d := range a.Orphans {
		s, err := segment.Parse(d.Document, segment.Limits{})
		if err != nil {
			return nil, fmt.Errorf("subsegment %s cannot be read: %w", d.ID, err)
		}
		w.orphans = append(w.orphans, add(s, "", nil))
	}
	for _, e := range inferred {
		if p := byID[e.s.ParentID]; p != nil && p.inferred == nil {
			p.inferred = e.s
			continue
		}
		w.roots = append(w.roots, e)
	}
	for _, e := range segments {
		if p := byID[e.s.ParentID]; e.s.HasParent && p != nil && p != e {
			e.parent = p
			p.children = append(p.children, e)
			continue
		}
		w.roots = append(w.roots, e)
	}
	var visit func(e *entry)
	visit = func(e *entry) {
		e.visited = true
		if e.service != "" && !slices.Contains(w.services, e.service) {
			w.services = append(w.services, e.service)
		}
		// Segments that call each other in a ring are cut where the walk meets
		// itself.
		e.children = slices.DeleteFunc(e.children, func(c *entry) bool { return c.visited })
		sortEntries(e.children)
		for _, c := range e.children {
			visit(c)
		}
	}
	sortEntries(w.roots)
	for _, e := range w.roots {
		visit(e)
	}
	for _, e := range segments {
		if !e.visited {
			w.roots = append(w.roots, e)
			visit(e)
		}
	}
	sortEntries(w.orphans)
	for _, e := range w.orphans {
		visit(e)
	}
	if math.IsInf(w.first, 1) {
		w.first = 0
	}
	w.last = max(w.last, w.first)
	return w, nil
}

func sortEntries(es []*entry) {
	slices.SortStableFunc(es, func(a, b *entry) int { return cmp.Compare(a.s.StartTime, b.s.StartTime) })
}

// glyphs are the characters that a waterfall is drawn with.
type glyphs struct {
	tee, corner, pipe, gap              string
	full, left, right, dot, open        string
	fault, errorMark, throttle, running string
	arrow, sep, ellipsis                string
}

var unicodeGlyphs = glyphs{
	tee: "├─ ", corner: "└─ ", pipe: "│  ", gap: "   ",
	full: "█", left: "▐", right: "▌", dot: "▏", open: "░",
	fault: "✗", errorMark: "!", throttle: "~", running: "…", arrow: "→", sep: " · ", ellipsis: "…",
}

var asciiGlyphs = glyphs{
	tee: "|- ", corner: "`- ", pipe: "|  ", gap: "   ",
	full: "=", left: "=", right: "=", dot: "|", open: ".",
	fault: "x", errorMark: "!", throttle: "~", running: "...", arrow: "->", sep: ", ", ellipsis: "~",
}

var servicePalette = []string{styleCyan, styleViolet, styleBlue, styleGreen, "36;1", "35;1", "34;1", "32;1"}

func (w *waterfall) print(out io.Writer, t terminal, o waterfallOptions) {
	g := unicodeGlyphs
	if t.ascii {
		g = asciiGlyphs
	}
	p := &waterfallPrinter{w: w, out: out, t: t, o: o, g: g}
	p.header()
	p.bars()
	p.causes()
}

type waterfallPrinter struct {
	w   *waterfall
	out io.Writer
	t   terminal
	o   waterfallOptions
	g   glyphs

	label, duration, bar int // widths of the columns
	lines, hidden        int
}

func (p *waterfallPrinter) header() {
	w, t := p.w, p.t
	took := "no duration"
	switch {
	case w.duration != nil:
		took = formatSeconds(*w.duration)
	case w.running:
		took = "in progress"
	}
	title, began := "Trace "+w.id, time.Unix(0, int64(w.first*1e9)).In(p.o.location).Format("2006-01-02 15:04:05.000 MST")
	counts := plural(w.segments, "segment")
	if n := w.entries - w.segments; n > 0 {
		counts += ", " + plural(n, "subsegment")
	}
	middle := p.g.sep
	if cells(title+began+took+counts)+3*cells(p.g.sep) > t.width {
		middle = "\n" // two lines that are whole rather than one that the terminal breaks
	}
	fmt.Fprintln(p.out, t.paint(styleBold, title)+p.g.sep+began+middle+t.paint(styleBold, took)+p.g.sep+counts)
	var facts []string
	if len(w.roots) > 0 {
		root := w.roots[0].s
		if d := httpDetail(root); d != "" {
			facts = append(facts, d)
		}
		if root.User != "" {
			facts = append(facts, "user "+clean(root.User))
		}
		root.Annotations.Members(func(key string, v segment.Raw) bool {
			facts = append(facts, clean(key)+"="+clean(scalar(v)))
			return len(facts) < 12
		})
	}
	if len(facts) > 0 {
		fmt.Fprintln(p.out, t.paint(styleDim, t.fit(strings.Join(facts, p.g.sep), t.width, false)))
	}
	fmt.Fprintln(p.out)
}

func (p *waterfallPrinter) bars() {
	t := p.t
	p.duration = 9
	p.label = max(24, min(t.width*45/100, 64))
	p.bar = max(10, t.width-p.label-p.duration-2)
	p.axis()
	for i, e := range p.w.roots {
		p.entry(e, "", "", i == len(p.w.roots)-1, true)
	}
	if len(p.w.orphans) > 0 {
		fmt.Fprintln(p.out, t.paint(styleYellow, "Orphans, whose parent is not stored:"))
		for i, e := range p.w.orphans {
			p.entry(e, "", "", i == len(p.w.orphans)-1, true)
		}
	}
	if p.hidden > 0 {
		fmt.Fprintln(p.out, t.paint(styleDim, fmt.Sprintf("%s %s more; --all shows them", p.g.ellipsis, plural(p.hidden, "entry"))))
	}
}

// axis prints the time scale over the bars.
func (p *waterfallPrinter) axis() {
	total := p.w.last - p.w.first
	row := []rune(strings.Repeat(" ", p.bar))
	put := func(at int, s string) {
		for i, r := range s {
			if at+i >= 0 && at+i < len(row) {
				row[at+i] = r
			}
		}
	}
	ticks := 4
	if p.bar < 45 {
		ticks = 2
	}
	first, last := formatSeconds(0), formatSeconds(total)
	put(0, first)
	if total > 0 { // else it would be 0 everywhere
		put(p.bar-len(last), last)
	}
	free := len(first) // where the next text may begin, a space before it included
	for i := 1; i < ticks && total > 0; i++ {
		s := formatSeconds(total * float64(i) / float64(ticks))
		at := p.bar*i/ticks - len(s)/2
		if at > free && at+len(s) < p.bar-len(last) { // texts never touch each other
			put(at, s)
			free = at + len(s)
		}
	}
	fmt.Fprintf(p.out, "%s  %s\n", strings.Repeat(" ", p.label+p.duration), p.t.paint(styleDim, strings.TrimRight(string(row), " ")))
}

const maxLines = 500

func (p *waterfallPrinter) entry(e *entry, indent, branch string, last, top bool) {
	if p.lines >= maxLines && !p.o.all {
		p.hidden += countEntries(e)
		return
	}
	p.lines++
	t, g := p.t, p.g
	mark, style := p.mark(e.s)
	name := clean(e.s.Name)
	detail := entryDetail(e, g)
	lead := indent + branch
	room := p.label - cells(lead)
	if room < 12 {
		// Deep trees: keep room for the name, drop the inner part of the lines.
		keep := max(0, p.label-12)
		lead = t.fit(lead, keep, true)
		room = p.label - keep
	}
	text := name
	if mark != "" {
		text = mark + " " + text
	}
	shown := t.fit(text, room, false)
	left := room - cells(shown)
	labelStyle := style
	if labelStyle == "" && (top || e.s.Kind == segment.KindSegment) {
		labelStyle = styleBold
	}
	label := t.paint(styleDim, lead) + t.paint(labelStyle, shown)
	if detail != "" && left > 4 {
		d := t.fit(detail, left-1, false)
		label += " " + t.paint(styleDim, d)
		left -= 1 + cells(d)
	}
	label += strings.Repeat(" ", max(0, left))
	took := g.running
	if !e.s.InProgress {
		took = formatSeconds(e.s.EndTime - e.s.StartTime)
	}
	barStyle := style
	if barStyle == "" || barStyle == styleBlue {
		barStyle = servicePalette[max(0, slices.Index(p.w.services, e.service))%len(servicePalette)]
	}
	fmt.Fprintf(p.out, "%s%s  %s\n", label, fmt.Sprintf("%*s", p.duration, took), p.drawBar(e, barStyle))
	if p.o.verbose {
		p.facts(e, indent, last, top)
	}
	below := indent
	if !top {
		if last {
			below += g.gap
		} else {
			below += g.pipe
		}
	}
	for i, c := range e.children {
		b := g.tee
		if i == len(e.children)-1 {
			b = g.corner
		}
		p.entry(c, below, b, i == len(e.children)-1, false)
	}
}

// facts prints the verbose lines of an entry.
func (p *waterfallPrinter) facts(e *entry, indent string, last, top bool) {
	lead := indent
	if !top {
		if last {
			lead += p.g.gap
		} else {
			lead += p.g.pipe
		}
	}
	if len(e.children) > 0 {
		lead += p.g.pipe
	} else {
		lead += p.g.gap
	}
	say := func(s string) { fmt.Fprintln(p.out, p.t.paint(styleDim, p.t.fit(lead+s, p.t.width, false))) }
	e.s.Annotations.Members(func(key string, v segment.Raw) bool {
		say(clean(key) + " = " + clean(scalar(v)))
		return true
	})
	if q := e.s.SQL.Get("sanitized_query").String(); q != "" {
		say(clean(q))
	}
}

func countEntries(e *entry) int {
	n := 1
	for _, c := range e.children {
		n += countEntries(c)
	}
	return n
}

// mark returns the sign and the colour of what went wrong.
func (p *waterfallPrinter) mark(s *segment.Segment) (mark, style string) {
	switch {
	case s.Fault.True():
		return p.g.fault, styleRed
	case s.Throttle.True():
		return p.g.throttle, styleYellow
	case s.Error.True():
		return p.g.errorMark, styleYellow
	case s.InProgress:
		return p.g.running, styleBlue
	}
	return "", ""
}

func (p *waterfallPrinter) drawBar(e *entry, style string) string {
	total := p.w.last - p.w.first
	// Half columns are the resolution.
	halves := float64(2 * p.bar)
	from, to := 0.0, halves
	if total > 0 {
		from = (max(e.s.StartTime, p.w.first) - p.w.first) / total * halves
		if !e.s.InProgress {
			to = (e.end() - p.w.first) / total * halves
		}
	}
	a := min(int(math.Round(from)), 2*p.bar-1)
	b := max(min(int(math.Round(to)), 2*p.bar), a)
	pad := strings.Repeat(" ", a/2)
	switch {
	case e.s.InProgress:
		return pad + p.t.paint(style, strings.Repeat(p.g.open, p.bar-a/2))
	case b <= a:
		if a%2 == 1 && !p.t.ascii {
			return pad + p.t.paint(style, p.g.left)
		}
		return pad + p.t.paint(style, p.g.dot)
	}
	var bar strings.Builder
	if a%2 == 1 {
		bar.WriteString(p.g.left)
		a++
	}
	bar.WriteString(strings.Repeat(p.g.full, (b-a)/2))
	if (b-a)%2 == 1 {
		bar.WriteString(p.g.right)
	}
	return pad + p.t.paint(style, bar.String())
}

// causes prints the exceptions of the trace.
func (p *waterfallPrinter) causes() {
	shown := 0
	var walk func(e *entry)
	walk = func(e *entry) {
		list := e.s.Cause.Get("exceptions")
		list.Elements(func(x segment.Raw) bool {
			if shown == 10 && !p.o.all {
				shown++
				return false
			}
			if shown > 10 && !p.o.all {
				return false
			}
			shown++
			p.exception(e, x)
			return true
		})
		for _, c := range e.children {
			walk(c)
		}
	}
	for _, e := range p.w.roots {
		walk(e)
	}
	for _, e := range p.w.orphans {
		walk(e)
	}
	if shown > 10 && !p.o.all {
		fmt.Fprintln(p.out, p.t.paint(styleDim, p.g.ellipsis+" and more exceptions; --all shows them"))
	}
}

func (p *waterfallPrinter) exception(e *entry, x segment.Raw) {
	t := p.t
	kind := x.Get("type").String()
	if kind == "" {
		kind = "exception"
	}
	where := clean(e.s.Name)
	if e.service != "" && e.service != e.s.Name {
		where = clean(e.service) + " " + p.g.arrow + " " + where
	}
	fmt.Fprintf(p.out, "\n%s  %s\n", t.paint(styleRed, p.g.fault+" "+clean(kind)), t.paint(styleDim, "in "+where))
	if msg := strings.TrimRight(x.Get("message").String(), "\n"); msg != "" {
		for i, line := range strings.Split(msg, "\n") {
			if i == 8 && !p.o.verbose {
				fmt.Fprintln(p.out, "  "+p.g.ellipsis)
				break
			}
			fmt.Fprintln(p.out, "  "+clean(line))
		}
	}
	frames, skipped := 0, 0
	x.Get("stack").Elements(func(f segment.Raw) bool {
		if frames == 4 && !p.o.verbose {
			skipped++
			return true
		}
		frames++
		place := clean(f.Get("path").String())
		if n, ok := f.Get("line").Number(); ok && n > 0 {
			place += fmt.Sprintf(":%d", int64(n))
		}
		fmt.Fprintf(p.out, "    at %s %s\n", clean(f.Get("label").String()), t.paint(styleDim, place))
		return true
	})
	if skipped > 0 {
		fmt.Fprintln(p.out, t.paint(styleDim, fmt.Sprintf("    %s %s; -v shows all", p.g.ellipsis, plural(skipped, "more frame"))))
	}
}

// entryDetail says in a few words what an entry did.
func entryDetail(e *entry, g glyphs) string {
	s := e.s
	var parts []string
	if op := s.AWS.Get("operation").String(); op != "" {
		parts = append(parts, clean(op))
	}
	if res := awsResource(s); res != "" {
		parts = append(parts, clean(res))
	}
	if s.Namespace != "aws" {
		if d := httpDetail(s); d != "" {
			parts = append(parts, d)
		}
	}
	if q := s.SQL.Get("sanitized_query").String(); q != "" {
		parts = append(parts, clean(q))
	} else if db := s.SQL.Get("database_type").String(); db != "" {
		parts = append(parts, clean(db))
	}
	if len(parts) == 0 && s.Kind == segment.KindSegment && s.Origin != "" {
		parts = append(parts, clean(s.Origin))
	}
	return strings.Join(parts, " ")
}

// awsResource returns the resource that an AWS call touched.
func awsResource(s *segment.Segment) string {
	for _, key := range []string{"table_name", "bucket_name", "queue_url", "function_name", "topic_arn"} {
		if v := s.AWS.Get(key).String(); v != "" {
			if i := strings.LastIndexAny(v, "/:"); i >= 0 && i < len(v)-1 {
				v = v[i+1:]
			}
			return v
		}
	}
	return ""
}

func httpDetail(s *segment.Segment) string {
	var parts []string
	if m := s.HTTP.Get("request", "method").String(); m != "" {
		parts = append(parts, clean(m))
	}
	if raw := s.HTTP.Get("request", "url").String(); raw != "" {
		if u, err := url.Parse(raw); err == nil && u.Path != "" {
			raw = u.Path
			if s.Kind != segment.KindSegment && s.Name != u.Host {
				raw = u.Host + u.Path
			}
		}
		parts = append(parts, clean(raw))
	}
	if n, ok := s.HTTP.Get("response", "status").Number(); ok {
		parts = append(parts, fmt.Sprint(int64(n)))
	}
	return strings.Join(parts, " ")
}

// scalar returns a JSON value as a person would write it.
func scalar(v segment.Raw) string {
	if s, ok := v.Text(); ok {
		return s
	}
	return string(v.AppendTo(nil))
}

// formatSeconds writes a duration in the unit that reads best.
func formatSeconds(s float64) string {
	neg := ""
	if s < 0 {
		neg, s = "-", -s
	}
	switch {
	case s == 0:
		return "0"
	case s < 0.0009995:
		return fmt.Sprintf("%s%.0f us", neg, s*1e6)
	case s < 0.009995:
		return fmt.Sprintf("%s%.2f ms", neg, s*1e3)
	case s < 0.09995:
		return fmt.Sprintf("%s%.1f ms", neg, s*1e3)
	case s < 0.9995:
		return fmt.Sprintf("%s%.0f ms", neg, s*1e3)
	case s < 9.995:
		return fmt.Sprintf("%s%.2f s", neg, s)
	case s < 120:
		return fmt.Sprintf("%s%.1f s", neg, s)
	case s < 7200:
		return fmt.Sprintf("%s%dm %02ds", neg, int(s)/60, int(s)%60)
	case s < 48*3600:
		return fmt.Sprintf("%s%dh %02dm", neg, int(s)/3600, int(s)%3600/60)
	case s < 1e9:
		return fmt.Sprintf("%s%.1f d", neg, s/86400)
	}
	return fmt.Sprintf("%s%.3g s", neg, s)
}
