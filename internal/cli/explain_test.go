package cli

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestExplain draws explanations given as answers of POST /api/explain, and marks
// mistakes in expressions.
func TestExplain(t *testing.T) {
	datadriven.Walk(t, "testdata/explain", func(t *testing.T, path string) {
		var answer explainAnswer
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			term := terminal{width: 80}
			d.MaybeScanArgs(t, "width", &term.width)
			term.ascii = d.HasArg("ascii")
			term.colour = d.HasArg("colour")
			var b bytes.Buffer
			switch d.Cmd {
			case "answer":
				answer = explainAnswer{}
				if err := json.Unmarshal([]byte(d.Input), &answer); err != nil {
					t.Fatal(err)
				}
				return "ok\n"
			case "draw":
				id := ""
				d.MaybeScanArgs(t, "trace", &id)
				answer.print(&b, term, id)
			case "mistake":
				e := invalidExpression{Message: "Error Location: line 1, position 2 : Invalid input symbol: 'x'", Line: 1}
				d.ScanArgs(t, "at", &e.Position)
				d.MaybeScanArgs(t, "line", &e.Line)
				d.MaybeScanArgs(t, "found", &e.Found)
				b.WriteString(e.describe(term, d.Input) + "\n")
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			for i, line := range strings.Split(b.String(), "\n") {
				if n := cells(line); !term.colour && n > term.width {
					t.Errorf("%s: line %d takes %d columns of %d: %s", d.Pos, i+1, n, term.width, line)
				}
			}
			return strings.ReplaceAll(strings.ReplaceAll(b.String(), "\x1b", "ESC"), "\n\n", "\n.\n")
		})
	})
}

// An answer that is nested without end is drawn to a depth.
func TestExplainDeep(t *testing.T) {
	x := &explanation{Text: "fault", Truth: "true"}
	for range 9000 {
		x = &explanation{Text: "NOT …", Meaning: "it is not so that", Truth: "false", Parts: []explanation{*x, {Text: "ok"}}}
	}
	var b bytes.Buffer
	a := explainAnswer{Valid: true, Expression: strings.Repeat("NOT ", 9000) + "fault", Explanation: x}
	a.print(&b, terminal{width: 40}, "")
	for line := range strings.Lines(b.String()) {
		if cells(strings.TrimSuffix(line, "\n")) > 40 {
			t.Fatalf("too long: %s", line)
		}
	}
	if !strings.Contains(b.String(), "… deeper parts") || strings.Count(b.String(), "it is not so") > 50 {
		t.Errorf("not cut: %d lines", strings.Count(b.String(), "\n"))
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    []string
	}{
		{"", 10, nil},
		{"one two three", 7, []string{"one two", "three"}},
		{"a  b", 10, []string{"a  b"}},
		{"abcdefghij k", 4, []string{"abcd", "efgh", "ij k"}},
		{"日本語", 4, []string{"日本", "語"}},
		{"日本語", 0, []string{"日", "本", "語"}},
	} {
		if got := wrap(c.text, c.columns); !reflect.DeepEqual(got, c.want) {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.columns, got, c.want)
		}
	}
}

func TestParseLocation(t *testing.T) {
	e, ok := parseLocation("Error Location: line 2, position 55 : missing ')' at end of expression")
	if !ok || e.Line != 2 || e.Position != 55 {
		t.Errorf("got %+v, %v", e, ok)
	}
	if e, ok := parseLocation("the window is too long"); ok {
		t.Errorf("got %+v for a message without place", e)
	}
}
