package servicegraph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// TestGolden runs the files of testdata/golden. Commands:
//
//	new                    begins another trace
//	put [at=SECONDS]       brings a document a line; trace_id is filled in
//	graph                  the graph of the trace
//	service-graph [start=SECONDS end=SECONDS]
//	                       the graph of all traces, of what was received then
//	contributions          what the trace contributes, and when
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		var id segment.TraceID
		var docs []trace.Document
		var kept []Contribution // of the traces before
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			current := func() []Contribution {
				if len(docs) == 0 {
					return nil
				}
				return Contributions(nil, trace.Assemble(id, docs))
			}
			switch d.Cmd {
			case "new":
				kept = append(kept, current()...)
				id[15]++
				docs = nil
				return "ok"
			case "put":
				at := int64(1)
				d.MaybeScanArgs(t, "at", &at)
				n := 0
				for line := range strings.Lines(d.Input) {
					if line = strings.TrimSpace(line); line == "" {
						continue
					}
					s, err := segment.Parse([]byte(strings.Replace(line, "{", `{"trace_id":"`+id.String()+`",`, 1)), segment.Limits{})
					if err != nil {
						return err.Error()
					}
					seq := uint64(len(docs) + 1)
					docs = append(docs, trace.Document{Seq: seq, Put: seq, Received: at * 1000, Segment: s})
					n++
				}
				return fmt.Sprintf("%d stored", n)
			case "graph":
				var g TraceGraph
				g.Add(trace.Assemble(id, docs))
				return numberedGraph(g.Graph())
			case "service-graph":
				start, end := int64(0), int64(1<<40)
				d.MaybeScanArgs(t, "start", &start)
				d.MaybeScanArgs(t, "end", &end)
				cells := Cells{}
				for _, c := range append(current(), kept...) {
					if c.At >= start*1000 && c.At < end*1000 {
						cells.Add(&c, 1)
					}
				}
				g := cells.Graph()
				return fmt.Sprintf("times %t %d to %d\n", g.HasTimes, g.Start, g.End) + numberedGraph(g)
			case "contributions":
				var b strings.Builder
				for _, c := range current() {
					b.WriteString(sighted(&c).String() + "\n")
				}
				return b.String()
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

// numberedGraph is drawnGraph with reference ids and regions.
func numberedGraph(g *Graph) string {
	if len(g.Services) == 0 {
		return "nothing\n"
	}
	lines := strings.SplitAfter(drawnGraph(g), "\n")
	i := -1
	for n, line := range lines {
		if line != "" && !strings.HasPrefix(line, " ") {
			i++
			region := ""
			if r := g.Services[i].Region; r != "" {
				region = " in " + r
			}
			lines[n] = fmt.Sprintf("%d%s %s", i, region, line)
		}
	}
	return strings.Join(lines, "")
}
