package cli

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// graphRow is a line of the drawn graph or of a table.
type graphRow struct {
	lead  string // lines of the tree
	name  string
	sign  string // how the row refers to others
	kind  string // type of the service
	plain bool   // nobody reported this service's own segments
	line  *graphLine
}

// label returns the widths of what stands before the numbers.
func (r *graphRow) label() int {
	n := cells(r.lead) + cells(r.name)
	if r.sign != "" {
		n += 1 + cells(r.sign)
	}
	if r.kind != "" {
		n += 2 + cells(r.kind)
	}
	return n
}

// draw prints the graph as a tree with numbers.
func (g *graph) draw(out io.Writer, t terminal, all bool) {
	p := newGraphPrinter(g, out, t)
	p.title()
	rows := p.tree()
	hidden := 0
	if !all && len(rows) > maxLines {
		hidden = len(rows) - maxLines
		rows = rows[:maxLines]
	}
	p.print("", rows)
	if hidden > 0 {
		fmt.Fprintln(out, t.paint(styleDim, p.g.ellipsis+" "+plural(hidden, "line")+" more; --all shows them"))
	}
	var legend []string
	for _, sign := range []struct{ sign, means string }{
		{p.above, "its callees are shown above"}, {p.below, "its callees are shown below"}, {p.cycle, "leads back to a caller"},
	} {
		if slices.ContainsFunc(rows, func(r graphRow) bool { return r.sign == sign.sign }) {
			legend = append(legend, sign.sign+" "+sign.means)
		}
	}
	if bar := p.barLegend(); bar != "" {
		legend = append(legend, bar)
	}
	p.closing(legend)
}

// tables prints the nodes and the edges.
func (g *graph) tables(out io.Writer, t terminal, all bool) {
	p := newGraphPrinter(g, out, t)
	p.title()
	section := func(head string, rows []graphRow) {
		hidden := 0
		if !all && len(rows) > maxLines {
			hidden = len(rows) - maxLines
			rows = rows[:maxLines]
		}
		p.print(head, rows)
		if hidden > 0 {
			fmt.Fprintln(out, t.paint(styleDim, p.g.ellipsis+" "+plural(hidden, "line")+" more; --all shows them"))
		}
	}
	var rows []graphRow
	nodes := slices.Clone(g.nodes)
	slices.SortStableFunc(nodes, func(a, b *graphNode) int {
		if a.own == nil || b.own == nil {
			return cmp.Compare(boolInt(a.own == nil), boolInt(b.own == nil))
		}
		return g.less(a.own, b.own)
	})
	for _, n := range nodes {
		if n.client() {
			continue
		}
		line := n.own
		if line == nil {
			line = &graphLine{to: n}
		}
		rows = append(rows, graphRow{name: displayName(n), kind: displayType(n), plain: n.State != "active", line: line})
	}
	section("SERVICE", rows)
	fmt.Fprintln(out)
	rows = nil
	for _, l := range g.edges {
		from := displayName(l.from)
		if l.from.client() {
			from = "clients"
		}
		rows = append(rows, graphRow{name: from + " " + p.g.arrow + " " + displayName(l.to), plain: true, line: l})
	}
	section("CALLS FROM "+p.g.arrow+" TO", rows)
	var legend []string
	if bar := p.barLegend(); bar != "" {
		legend = append(legend, bar)
	}
	p.closing(legend)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

type graphPrinter struct {
	*graph
	out          io.Writer
	t            terminal
	g            glyphs
	above, below string // signs of services whose callees are elsewhere
	cycle        string
	bars         [3]string // up to p50, p90 and p99
	barWidth     int       // 0: there is no room
	longest      float64   // p99 of the longest bar
}

func newGraphPrinter(g *graph, out io.Writer, t terminal) *graphPrinter {
	p := &graphPrinter{graph: g, out: out, t: t, g: unicodeGlyphs, above: "↑", below: "↓", cycle: "↻", bars: [3]string{"█", "▓", "░"}}
	if t.ascii {
		p.g, p.above, p.below, p.cycle, p.bars = asciiGlyphs, "^", "v", "@", [3]string{"=", "-", "."}
	}
	if t.width < 60 { // narrower lines of the tree leave more room for names
		for _, s := range []*string{&p.g.tee, &p.g.corner, &p.g.pipe, &p.g.gap} {
			r := []rune(*s)
			*s = string(r[0]) + " "
		}
	}
	return p
}

func (p *graphPrinter) title() {
	services, clients := 0, 0
	requests := int64(0)
	for _, n := range p.nodes {
		switch {
		case n.client():
			clients++
			for _, l := range n.callees {
				requests += l.calls
			}
		default:
			services++
		}
	}
	head := "Service graph"
	if p.start.IsZero() {
		head = "Trace graph"
	}
	parts := []string{p.t.paint(styleBold, head)}
	if !p.start.IsZero() {
		format := "15:04:05"
		if p.end.Sub(p.start).Hours() > 20 {
			format = "2006-01-02 15:04"
		}
		parts = append(parts, p.start.In(p.location).Format(format)+" to "+p.end.In(p.location).Format(format+" MST"))
	}
	parts = append(parts, plural(services, "service"))
	if clients > 0 {
		parts = append(parts, plural(int(requests), "request"))
	}
	plain := head + strings.TrimPrefix(strings.Join(parts, p.g.sep), parts[0])
	if at := len(parts) - boolInt(clients > 0) - 1; cells(plain) > p.t.width {
		fmt.Fprintln(p.out, strings.Join(parts[:at], p.g.sep))
		parts = parts[at:]
	}
	fmt.Fprintln(p.out, strings.Join(parts, p.g.sep))
	fmt.Fprintln(p.out)
}

func (p *graphPrinter) closing(legend []string) {
	if p.oldGroup {
		legend = append(legend, "the group's expression was changed; older traces count by what it was when they arrived")
	}
	if len(legend) > 0 {
		fmt.Fprintln(p.out)
	}
	for _, text := range legend {
		writeWrapped(p.out, p.t, styleDim, "", text)
	}
}

func (p *graphPrinter) barLegend() string {
	if p.barWidth == 0 || p.longest == 0 {
		return ""
	}
	return fmt.Sprintf("%s p50  %s p90  %s p99, the longest bar being %s", p.bars[0], p.bars[1], p.bars[2], formatSeconds(p.longest))
}

// tree arranges the graph from the clients down. Each service stands below the
// caller that is nearest to the clients; other callers refer to it.
func (p *graphPrinter) tree() (rows []graphRow) {
	// reach finds what lines lead to, the nearest first.
	reach := func(lines []*graphLine) {
		for queue := slices.Clone(lines); len(queue) > 0; queue = queue[1:] {
			if n := queue[0].to; n.via == nil {
				n.via = queue[0]
				queue = append(queue, n.callees...)
			}
		}
	}
	var walk func(l *graphLine, first, below string)
	callees := func(list []*graphLine, below string) {
		for i, l := range list {
			if i == len(list)-1 {
				walk(l, below+p.g.corner, below+p.g.gap)
			} else {
				walk(l, below+p.g.tee, below+p.g.pipe)
			}
		}
	}
	walk = func(l *graphLine, first, below string) {
		n := l.to
		row := graphRow{lead: first, name: displayName(n), kind: displayType(n), plain: n.State != "active", line: l}
		switch {
		case n.onPath:
			row.sign = p.cycle
		case n.shown && len(n.callees) > 0:
			row.sign = p.above
		case n.via != l && len(n.callees) > 0:
			row.sign = p.below
		}
		rows = append(rows, row)
		if n.via != l {
			return
		}
		n.shown, n.onPath = true, true
		// A tree that is deeper than a terminal is wide stays where it is.
		if cells(below) > p.t.width/3 {
			below = strings.TrimSuffix(strings.TrimSuffix(below, p.g.gap), p.g.pipe)
		}
		callees(n.callees, below)
		n.onPath = false
	}
	var outside []*graphLine
	for _, n := range p.nodes {
		if n.client() {
			outside = append(outside, n.callees...)
		}
	}
	if len(outside) > 0 {
		slices.SortStableFunc(outside, p.less)
		reach(outside)
		rows = append(rows, graphRow{name: "clients", plain: true})
		callees(outside, "")
	}
	// What no client leads to: entries without one, callees that nobody is known
	// to call, and what calls itself in a ring.
	for _, entry := range []func(*graphNode) bool{
		func(n *graphNode) bool { return n.Root },
		func(n *graphNode) bool { return n.callers == 0 },
		func(*graphNode) bool { return true },
	} {
		for _, n := range p.nodes {
			if n.via != nil || n.client() || !entry(n) {
				continue
			}
			l := n.own
			if l == nil {
				l = &graphLine{to: n}
			}
			reach([]*graphLine{l})
			walk(l, "", "")
		}
	}
	return rows
}

// graphColumn is a column of numbers.
type graphColumn struct {
	head  string
	width int // with the blanks before it
	cell  func(l *graphLine) (text, style string)
}

// columns chooses the columns that fit into room, the most telling ones first.
func (p *graphPrinter) columns(room int) []graphColumn {
	share := func(head string, width int, style string, of func(l *graphLine) float64) graphColumn {
		return graphColumn{head, width, func(l *graphLine) (string, string) {
			switch s := of(l); {
			case l.calls == 0 || s <= 0:
				return "-", styleDim
			case s >= 0.05:
				return formatShare(s), style + ";1"
			default:
				return formatShare(s), style
			}
		}}
	}
	took := func(head string, of func(l *graphLine) float64) graphColumn {
		return graphColumn{head, 9, func(l *graphLine) (string, string) {
			if l.calls == 0 {
				return "-", styleDim
			}
			return formatSeconds(of(l)), ""
		}}
	}
	calls := graphColumn{"CALLS", 9, func(l *graphLine) (string, string) { return formatCount(l.calls), "" }}
	rate := graphColumn{"PER S", 8, func(l *graphLine) (string, string) {
		if l.seconds <= 0 || l.calls == 0 {
			return "-", styleDim
		}
		return formatRate(float64(l.calls) / l.seconds), ""
	}}
	failed := share("FAILED", 8, styleRed, (*graphLine).failed)
	apart := []graphColumn{
		share("ERROR", 7, styleYellow, func(l *graphLine) float64 { return l.error }),
		share("THROTTLE", 9, styleViolet, func(l *graphLine) float64 { return l.throttle }),
		share("FAULT", 7, styleRed, func(l *graphLine) float64 { return l.fault }),
	}
	average := took("AVG", func(l *graphLine) float64 { return l.average })
	p50 := took("P50", func(l *graphLine) float64 { return l.p50 })
	p90 := took("P90", func(l *graphLine) float64 { return l.p90 })
	p99 := took("P99", func(l *graphLine) float64 { return l.p99 })

	join := func(rate, failures, average, p50, p90 []graphColumn) []graphColumn {
		return slices.Concat([]graphColumn{calls}, rate, failures, average, p50, p90, []graphColumn{p99})
	}
	one := func(c graphColumn) []graphColumn { return []graphColumn{c} }
	rates := one(rate)
	if p.start.IsZero() {
		rates = nil // single traces have no rate
	}
	chosen := join(nil, one(failed), nil, nil, nil)
	for _, c := range [][]graphColumn{
		join(nil, apart, nil, nil, nil),
		join(nil, apart, one(average), nil, nil),
		join(nil, apart, one(average), one(p50), nil),
		join(rates, apart, one(average), one(p50), nil),
		join(rates, apart, one(average), one(p50), one(p90)),
	} {
		if columnsWidth(c) <= room {
			chosen = c
		}
	}
	return chosen
}

func columnsWidth(columns []graphColumn) int {
	n := 0
	for _, c := range columns {
		n += c.width
	}
	return n
}

// evenTypes makes the types of services shorter, where there is little room for rows: all
// give up their second half, rather than some a few letters, and if most of them still do
// not fit there is none.
func evenTypes(rows []graphRow, room int) {
	types, wide := 0, 0
	for i := range rows {
		r := &rows[i]
		if r.kind, _, _ = strings.Cut(r.kind, "::"); r.kind != "" {
			types++
			if r.label() > room {
				wide++
			}
		}
	}
	for i := range rows {
		if 2*wide > types {
			rows[i].kind = ""
		}
	}
}

// print prints rows below a line with the heads of the columns.
func (p *graphPrinter) print(head string, rows []graphRow) {
	natural := cells(head)
	for i := range rows {
		natural = max(natural, rows[i].label())
	}
	const minBar, maxBar = 10, 24
	t := p.t
	label := min(natural, max(15, t.width*2/5))
	columns := p.columns(t.width - label)
	left := t.width - label - columnsWidth(columns)
	// Names come before bars.
	more := min(natural-label, left)
	label, left = label+more, left-more
	if natural > label && t.width < 80 {
		evenTypes(rows, label)
	}
	p.barWidth = 0
	if len(columns) >= 8 && left >= minBar+2 {
		p.barWidth = min(maxBar, left-2)
	}
	for i := range rows {
		if l := rows[i].line; l != nil {
			p.longest = max(p.longest, l.p99)
		}
	}

	line := t.fit(head, label, true)
	for _, c := range columns {
		line += fmt.Sprintf("%*s", c.width, c.head)
	}
	fmt.Fprintln(p.out, t.paint(styleDim, line))
	for i := range rows {
		r := &rows[i]
		line := p.label(r, label)
		if r.line == nil {
			fmt.Fprintln(p.out, strings.TrimRight(line, " "))
			continue
		}
		for _, c := range columns {
			text, style := c.cell(r.line)
			line += strings.Repeat(" ", max(1, c.width-cells(text))) + t.paint(style, text)
		}
		if bar := p.bar(r.line); bar != "" {
			line += "  " + bar
		}
		fmt.Fprintln(p.out, line)
	}
}

// label prints what stands before the numbers, in so many columns.
func (p *graphPrinter) label(r *graphRow, columns int) string {
	t := p.t
	lead := r.lead
	// Deep trees: keep room for the name, drop the inner part of the lines.
	if keep := columns - min(14, max(8, columns/2)); cells(lead) > keep {
		lead = t.fit(lead, keep, true)
	}
	room := columns - cells(lead)
	sign := ""
	if r.sign != "" && room > 8 {
		sign = " " + r.sign
		room -= cells(sign)
	}
	name := t.fit(r.name, room, false)
	room -= cells(name)
	style := styleBold
	if r.plain {
		style = ""
	}
	text := t.paint(styleDim, lead) + t.paint(style, name) + t.paint(styleCyan, sign)
	if r.kind != "" && room >= 6 {
		kind := t.fit(r.kind, room-2, false)
		text += "  " + t.paint(styleDim, kind)
		room -= 2 + cells(kind)
	}
	return text + strings.Repeat(" ", max(0, room))
}

func (p *graphPrinter) bar(l *graphLine) string {
	if p.barWidth == 0 || p.longest <= 0 || l.calls == 0 {
		return ""
	}
	var b strings.Builder
	at := 0
	for i, v := range []float64{l.p50, l.p90, l.p99} {
		to := min(p.barWidth, int(math.Round(v/p.longest*float64(p.barWidth))))
		if to > at {
			style := styleCyan
			if i == 2 {
				style = styleDim
			}
			b.WriteString(p.t.paint(style, strings.Repeat(p.bars[i], to-at)))
			at = to
		}
	}
	if at == 0 {
		return p.t.paint(styleCyan, p.g.dot)
	}
	return b.String()
}

// displayName returns the name of a service as a person would say it: that of a
// queue without the address before it.
func displayName(n *graphNode) string {
	name := n.Name
	if strings.HasPrefix(n.Type, "AWS::") {
		if u, err := url.Parse(name); err == nil && u.Host != "" && strings.Trim(u.Path, "/") != "" {
			name = u.Path[strings.LastIndexByte(strings.TrimRight(u.Path, "/"), '/')+1:]
		} else if strings.HasPrefix(name, "arn:") {
			name = name[strings.LastIndexByte(name, ':')+1:]
		}
	}
	if name == "" {
		name = "(no name)"
	}
	return clean(name)
}

func displayType(n *graphNode) string {
	return clean(strings.TrimPrefix(n.Type, "AWS::"))
}

// formatShare writes a share of calls as a percentage.
func formatShare(s float64) string {
	switch p := 100 * s; {
	case p < 0.05:
		return "<0.1%"
	case p < 9.95:
		return fmt.Sprintf("%.1f%%", p)
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}

// formatCount writes a number of calls in seven columns at most.
func formatCount(n int64) string {
	switch f := float64(n); {
	case n < 1_000_000:
		return group(int(n))
	case f < 999.5e6:
		return fmt.Sprintf("%.4g M", f/1e6)
	case f < 999.5e9:
		return fmt.Sprintf("%.4g G", f/1e9)
	default:
		return fmt.Sprintf("%.2g", f)
	}
}

func formatRate(r float64) string {
	switch {
	case r < 0.0095:
		return fmt.Sprintf("%.4f", r)
	case r < 9.995:
		return fmt.Sprintf("%.2f", r)
	case r < 99.95:
		return fmt.Sprintf("%.1f", r)
	case r < 999_999:
		return group(int(math.Round(r)))
	default:
		return strconv.FormatFloat(r, 'g', 2, 64)
	}
}
