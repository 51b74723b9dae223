package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/roentgen-io/roentgen/segment"
)

// statusNoMatch is the exit status of explain for a trace that does not match: one
// of its own, so that scripts can tell it from a failure.
const statusNoMatch = 3

func newExplainCommand(env *Env) *cobra.Command {
	var asJSON bool
	var columns int
	var colour string
	cmd := &cobra.Command{
		Use:   "explain EXPRESSION [TRACE-ID]",
		Short: "Tell how a filter expression is understood, and why a trace matches or not",
		Long: `Tell how a filter expression is understood: its parts, and what each of them asks.
With the id of a trace, tell which parts are true of that trace, which are false,
and what was found instead. An expression that is not valid is shown with a mark
under the mistake, with what was expected there and what was perhaps meant.

TRACE-ID may be an X-Ray id, a W3C id, or a text that holds one, as for trace.

The exit status is 0 when the expression is valid and, with a trace, matches it;
3 when the trace does not match; 1 when the expression is not valid or something
failed; 2 for a mistake on the command line.`,
		Example: `  roentgen explain 'service("orders") { fault } AND http.status >= 500'
  roentgen explain 'annotation.tenant = "acme" duration > 2' 1-58406520-a006649127e371903a2de979
  roentgen explain 'fault' 1-58406520-a006649127e371903a2de979 >/dev/null && echo it is a fault`,
		Args: needArgs(1, "name an expression, in quotation marks, and perhaps a trace"),
	}
	endpoint := endpointFlag(cmd.Flags(), env)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the server's answer as JSON")
	cmd.Flags().IntVar(&columns, "width", 0, "columns to fill (default: those of the terminal)")
	colourFlag(cmd, &colour)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		expression, id, err := splitTrace(args)
		if err != nil {
			return &exitError{2, err}
		}
		c, err := newClient(*endpoint)
		if err != nil {
			return err
		}
		answer, raw, err := c.askExplain(cmd.Context(), expression, id)
		var refusal *apiError
		if errors.As(err, &refusal) && refusal.Status == http.StatusNotFound {
			if id == "" || strings.Contains(refusal.Message, "/api/explain") {
				return fmt.Errorf("%s does not explain expressions; it is no Roentgen, or an older one", c.endpoint)
			}
			return fmt.Errorf("no trace %s is stored at %s; roentgen traces lists those that are", id, c.endpoint)
		}
		if err != nil {
			return err
		}
		t := newTerminal(env.Stdout, env, colour, columns)
		var b bytes.Buffer
		switch {
		case asJSON:
			if err := json.Indent(&b, raw, "", "  "); err != nil {
				return err
			}
			b.WriteByte('\n')
		case !answer.Valid:
			b.WriteString(answer.Error.describe(t, expression) + "\n")
			if answer.Error.Line > 0 {
				writeWrapped(&b, t, styleDim, "  ", "X-Ray's message: "+clean(answer.Error.Message))
			}
		default:
			answer.print(&b, t, id)
		}
		if _, err := b.WriteTo(env.Stdout); err != nil {
			return err
		}
		switch {
		case !answer.Valid, id != "" && answer.Matches == nil:
			return &exitError{status: 1}
		case id != "" && !*answer.Matches:
			return &exitError{status: statusNoMatch}
		}
		return nil
	}
	return cmd
}

// splitTrace takes the id of a trace from the end of the arguments. The rest is an
// expression that the shell may have split.
func splitTrace(args []string) (expression, id string, err error) {
	last := strings.TrimSpace(args[len(args)-1])
	isTrace := looksLikeTrace(last)
	if isTrace && len(args) == 1 {
		return "", "", fmt.Errorf("%q is a trace; name the expression before it", clean(last))
	}
	if isTrace {
		var t segment.TraceID
		if t, err = findTraceID(last); err != nil {
			return "", "", err
		}
		args, id = args[:len(args)-1], t.String()
	}
	expression = strings.Join(args, " ")
	if strings.TrimSpace(expression) == "" {
		return "", "", errors.New("the expression is empty; roentgen explain --help shows some")
	}
	return expression, id, nil
}

// looksLikeTrace tells an id, also a misspelt one, from the last word of an
// expression.
func looksLikeTrace(s string) bool {
	if strings.ContainsAny(s, `"(){}<>`) {
		return false
	}
	if _, err := findTraceID(s); err == nil {
		return true
	}
	return strings.HasPrefix(s, "1-") || strings.HasPrefix(s, "Root=")
}

// print draws the tree of an expression that is valid.
func (a *explainAnswer) print(out io.Writer, t terminal, id string) {
	writeWrapped(out, t, styleBold, "", clean(a.Expression))
	if id != "" {
		verdict, style := "does not match", styleRed
		switch {
		case a.Matches == nil:
			verdict, style = "would take too long to judge:", styleYellow
		case *a.Matches:
			verdict, style = "matches", styleGreen
		}
		gap := " "
		if cells(verdict)+len(" trace ")+len(id) > t.width {
			gap = "\n"
		}
		fmt.Fprintf(out, "%s trace%s%s\n", t.paint(style, verdict), gap, id)
	}
	if a.Explanation == nil {
		return
	}
	fmt.Fprintln(out)
	p := &explainPrinter{out: out, t: t, g: unicodeGlyphs, ticks: a.Explanation.judged(maxExplainDepth)}
	if t.ascii {
		p.g = asciiGlyphs
	}
	p.measure(a.Explanation, 0)
	p.text = min(p.text, t.width*55/100)
	p.columns = t.width-p.text-2 >= 24
	p.part(a.Explanation, "", "", "", 0)
}

// maxExplainDepth is how deep the tree is drawn. Expressions that people write end
// long before.
const maxExplainDepth = 40

func (x *explanation) judged(depth int) bool {
	if x.Truth != "" {
		return true
	}
	for i := range x.Parts {
		if depth > 0 && x.Parts[i].judged(depth-1) {
			return true
		}
	}
	return false
}

type explainPrinter struct {
	out     io.Writer
	t       terminal
	g       glyphs
	ticks   bool // a trace was looked at
	columns bool // meaning and finding stand beside the text, not below
	text    int  // width of the column of the text, tree and tick included
}

// label returns what the tree shows of x. A part that is made of others has its
// text in theirs: when it is long, its meaning alone tells how they are joined.
func (p *explainPrinter) label(x *explanation, depth int) (text, meaning string) {
	text, meaning = clean(x.Text), clean(x.Meaning)
	if len(x.Parts) > 0 && meaning != "" && (depth == 0 || 3*depth+2+cells(text) > p.t.width*2/5) {
		return "", meaning
	}
	return text, meaning
}

func (p *explainPrinter) measure(x *explanation, depth int) {
	lead := 3 * depth
	if p.ticks {
		lead += 2
	}
	text, _ := p.label(x, depth)
	if text != "" {
		p.text = max(p.text, lead+cells(text))
	}
	if depth < maxExplainDepth {
		for i := range x.Parts {
			p.measure(&x.Parts[i], depth+1)
		}
	}
}

// tick returns the sign of a truth and its colour.
func (p *explainPrinter) tick(truth string) (sign, style string) {
	switch truth {
	case "true":
		if p.t.ascii {
			return "+", styleGreen
		}
		return "✓", styleGreen
	case "false":
		return p.g.fault, styleRed
	case "unknown":
		return "?", styleYellow
	}
	return " ", ""
}

// part prints x. first leads its first line, below all that belongs to it, and
// indent its parts.
func (p *explainPrinter) part(x *explanation, first, below, indent string, depth int) {
	t := p.t
	text, meaning := p.label(x, depth)
	sign, style := p.tick(x.Truth)
	lead := t.paint(styleDim, first)
	width := cells(first)
	if p.ticks {
		lead += t.paint(style, sign) + " "
		width += 2
	}
	// What stands below the text continues the lines to the parts.
	rest := below
	if len(x.Parts) > 0 && depth < maxExplainDepth {
		rest += p.g.pipe
	}
	rest = t.fit(rest, max(width, cells(rest)), true)

	found := clean(x.Found)
	if found != "" {
		found = p.g.arrow + " " + found
	}
	var left, right []string // the lines of both columns; those on the right in their colours
	switch {
	case text == "": // the meaning has the whole line
		for _, line := range wrap(meaning, t.width-width) {
			left = append(left, t.paint(styleDim, line))
		}
		for _, line := range wrap(found, t.width-cells(rest)) {
			left = append(left, t.paint(style, line))
		}
	case p.columns:
		left = wrap(text, p.text-width)
		for _, line := range wrap(meaning, t.width-p.text-2) {
			right = append(right, t.paint(styleDim, line))
		}
		for _, line := range wrap(found, t.width-p.text-2) {
			right = append(right, t.paint(style, line))
		}
	default:
		left = wrap(text, t.width-width)
		for _, line := range wrap(meaning, t.width-cells(rest)) {
			left = append(left, t.paint(styleDim, line))
		}
		for _, line := range wrap(found, t.width-cells(rest)) {
			left = append(left, t.paint(style, line))
		}
	}
	for i := range max(len(left), len(right)) {
		line, n := lead, width
		if i > 0 {
			line, n = t.paint(styleDim, rest), cells(rest)
		}
		if i < len(left) {
			line += left[i]
			n += cells(left[i])
		}
		if i < len(right) {
			line += strings.Repeat(" ", max(1, p.text+2-n)) + right[i]
		}
		fmt.Fprintln(p.out, strings.TrimRight(line, " "))
	}
	if len(x.Parts) > 0 && depth >= maxExplainDepth {
		fmt.Fprintln(p.out, t.paint(styleDim, t.fit(rest+p.g.ellipsis+" deeper parts; --json shows all", t.width, false)))
		return
	}
	for i := range x.Parts {
		branch, under := p.g.tee, p.g.pipe
		if i == len(x.Parts)-1 {
			branch, under = p.g.corner, p.g.gap
		}
		if 3*(depth+2) > t.width-20 {
			branch, under = "", "" // no room to go further in
		}
		p.part(&x.Parts[i], indent+branch, indent+under, indent+under, depth+1)
	}
}

// writeWrapped prints text in lines that the terminal has room for.
func writeWrapped(out io.Writer, t terminal, style, indent, text string) {
	for _, line := range wrap(text, t.width-cells(indent)) {
		fmt.Fprintln(out, indent+t.paint(style, line))
	}
}
