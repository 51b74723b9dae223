package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestGraph draws graphs given as answers of GetServiceGraph.
func TestGraph(t *testing.T) {
	datadriven.Walk(t, "testdata/graph", func(t *testing.T, path string) {
		var input []byte
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "graph" {
				input = []byte(d.Input)
				return "ok\n"
			}
			var answer graphAnswer
			if err := json.Unmarshal(input, &answer); err != nil {
				t.Fatal(err)
			}
			term := terminal{width: 100}
			order := "calls"
			d.MaybeScanArgs(t, "width", &term.width)
			d.MaybeScanArgs(t, "sort", &order)
			term.ascii = d.HasArg("ascii")
			term.colour = d.HasArg("colour")
			start, end := time.Unix(1600000000, 0), time.Unix(1600000900, 0)
			if d.HasArg("trace") {
				start, end = time.Time{}, time.Time{}
			}
			g := newGraph(&answer, order, start, end)
			g.location = time.UTC
			var b bytes.Buffer
			switch d.Cmd {
			case "draw":
				g.draw(&b, term, d.HasArg("all"))
			case "table":
				g.tables(&b, term, d.HasArg("all"))
			case "dot":
				g.dot(&b)
				return b.String()
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			for i, line := range strings.Split(b.String(), "\n") {
				if n := cells(line); !term.colour && n > term.width {
					t.Errorf("%s: line %d takes %d columns of %d: %s", d.Pos, i+1, n, term.width, line)
				}
			}
			// Blank lines would end the expected text.
			return strings.ReplaceAll(strings.ReplaceAll(b.String(), "\x1b", "ESC"), "\n\n", "\n.\n")
		})
	})
}

// A large graph is cut, and one with long rings and chains is drawn to its end.
func TestGraphLarge(t *testing.T) {
	const n = 20_000
	var a graphAnswer
	for i := range n {
		// Each calls the next, the last the first, and all the first.
		a.Services = append(a.Services, &graphService{ReferenceID: i, Name: fmt.Sprint("service-", i), Edges: []*graphEdge{
			{ReferenceID: (i + 1) % n, SummaryStatistics: &graphStatistics{TotalCount: int64(n - i)}}, {ReferenceID: 0}, {ReferenceID: -7}, nil,
		}})
	}
	var b bytes.Buffer
	g := newGraph(&a, "calls", time.Time{}, time.Time{})
	g.draw(&b, terminal{width: 80}, false)
	if got := strings.Count(b.String(), "\n"); got > maxLines+10 {
		t.Errorf("%d lines", got)
	}
	if want := "… 39,501 lines more; --all shows them\n"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q at the end: %q", want, b.String()[b.Len()-200:])
	}
	b.Reset()
	newGraph(&a, "calls", time.Time{}, time.Time{}).draw(&b, terminal{width: 80}, true)
	for i, line := range strings.Split(b.String(), "\n") {
		if cells(line) > 80 {
			t.Fatalf("line %d takes %d columns: %s", i, cells(line), line)
		}
	}
	if !strings.Contains(b.String(), "service-19999 ") {
		t.Error("the last service is not drawn")
	}
}

func TestPercentiles(t *testing.T) {
	for _, c := range []struct {
		name          string
		histogram     []histogramEntry
		p50, p90, p99 float64
	}{
		{"nothing", nil, 0, 0, 0},
		{"one", []histogramEntry{{0.5, 1}}, 0.5, 0.5, 0.5},
		{"equal durations and a few slow ones", []histogramEntry{{1, 4}, {0.011, 96}}, 0.011, 0.011, 1},
		{"exactly nine of ten", []histogramEntry{{0.1, 9}, {2, 1}}, 0.1, 0.1, 2},
		{"unsorted", []histogramEntry{{3, 1}, {1, 1}, {2, 1}}, 2, 3, 3},
		{"odd entries do not count", []histogramEntry{{1, 0}, {2, -5}, {3, 1}}, 3, 3, 3},
		{"large counts", []histogramEntry{{1, 1 << 61}, {2, 1 << 61}, {3, 1 << 61}}, 2, 3, 3},
	} {
		p := percentiles(c.histogram, 0.5, 0.9, 0.99)
		if p[0] != c.p50 || p[1] != c.p90 || p[2] != c.p99 {
			t.Errorf("%s: got %v, want %v %v %v", c.name, p, c.p50, c.p90, c.p99)
		}
	}
}

func TestGraphNumbers(t *testing.T) {
	for in, want := range map[float64]string{0.0001: "<0.1%", 0.001: "0.1%", 0.0213: "2.1%", 0.0994: "9.9%", 0.0996: "10%", 1: "100%"} {
		if got := formatShare(in); got != want {
			t.Errorf("formatShare(%v) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[int64]string{0: "0", 999_999: "999,999", 1_234_567: "1.235 M", 999_999_999: "1 G", 12_345_678_901: "12.35 G", 1 << 62: "4.6e+18"} {
		if got := formatCount(in); got != want {
			t.Errorf("formatCount(%v) = %s, want %s", in, got, want)
		}
	}
	for in, want := range map[float64]string{0.00111: "0.0011", 0.0111: "0.01", 1.234: "1.23", 12.34: "12.3", 1234.5: "1,235"} {
		if got := formatRate(in); got != want {
			t.Errorf("formatRate(%v) = %s, want %s", in, got, want)
		}
	}
}
