package cli

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// dotText writes foreign text between the quotation marks of Graphviz, where
// backslashes begin escapes and entities are replaced as in HTML.
var dotText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;", "<", "&lt;", ">", "&gt;")

func dotLabel(lines ...string) string {
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line != "" {
			kept = append(kept, dotText.Replace(clean(line)))
		}
	}
	// The \n between the lines is Graphviz's.
	return `"` + strings.Join(kept, `\n`) + `"`
}

// The colours of Graphviz: a line and a paler ground.
var (
	dotOK       = [2]string{"#3c8d5a", "#e8f5ec"}
	dotError    = [2]string{"#b98900", "#fdf4d8"}
	dotThrottle = [2]string{"#8c4fb0", "#f4e8fa"}
	dotFault    = [2]string{"#c0392b", "#fde7e4"}
	dotNone     = [2]string{"#7f8c8d", "#f2f4f4"}
)

// dotColours returns the colours of the most serious thing that happened to at
// least one call in a hundred.
func (l *graphLine) dotColours() [2]string {
	const seen = 0.01
	switch {
	case l == nil || l.calls == 0:
		return dotNone
	case l.fault >= seen:
		return dotFault
	case l.throttle >= seen:
		return dotThrottle
	case l.error >= seen:
		return dotError
	}
	return dotOK
}

// failures tells what share of the calls failed, and how.
func (l *graphLine) failures() string {
	var parts []string
	for _, f := range []struct {
		share float64
		what  string
	}{{l.fault, "faults"}, {l.throttle, "throttles"}, {l.error, "errors"}} {
		if f.share > 0 {
			parts = append(parts, formatShare(f.share)+" "+f.what)
		}
	}
	return strings.Join(parts, ", ")
}

// dot writes the graph in the language of Graphviz.
func (g *graph) dot(out io.Writer) {
	io.WriteString(out, `digraph services {
  rankdir=LR;
  bgcolor="transparent";
  node [shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontsize=11, margin="0.15,0.08"];
  edge [fontname="Helvetica,Arial,sans-serif", fontsize=9, arrowsize=0.7];
`)
	for _, n := range g.nodes {
		colours := n.own.dotColours()
		shape, style := "box", "rounded,filled"
		lines := []string{displayName(n), displayType(n)}
		switch {
		case n.client():
			shape, style = "ellipse", "filled"
			lines = []string{"clients"}
		case strings.Contains(n.Type, "Database") || strings.Contains(n.Type, "DynamoDB"):
			shape, style = "cylinder", "filled"
		case n.State != "active":
			style = "rounded,filled,dashed"
		}
		if l := n.own; l != nil && l.calls > 0 {
			lines = append(lines, plural(int(l.calls), "call")+", "+formatSeconds(l.average)+" on average", l.failures())
		}
		fmt.Fprintf(out, "  \"%d\" [label=%s, shape=%s, style=%q, color=%q, fillcolor=%q, tooltip=%s];\n",
			n.ReferenceID, dotLabel(lines...), shape, style, colours[0], colours[1], dotLabel(n.Name))
	}
	for _, l := range g.edges {
		var lines []string
		if l.calls > 0 {
			lines = []string{plural(int(l.calls), "call"), "p50 " + formatSeconds(l.p50) + ", p99 " + formatSeconds(l.p99), l.failures()}
		}
		fmt.Fprintf(out, "  \"%d\" -> \"%d\" [label=%s, color=%q, penwidth=%.1f];\n",
			l.from.ReferenceID, l.to.ReferenceID, dotLabel(lines...), l.dotColours()[0], 1+math.Log10(1+float64(l.calls))/2)
	}
	io.WriteString(out, "}\n")
}
