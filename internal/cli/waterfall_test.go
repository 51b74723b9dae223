package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestWaterfall draws traces given as answers of GET /api/traces/{id}.
func TestWaterfall(t *testing.T) {
	datadriven.Walk(t, "testdata/waterfall", func(t *testing.T, path string) {
		var answer traceAnswer
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "trace":
				answer = traceAnswer{}
				if err := json.Unmarshal([]byte(d.Input), &answer); err != nil {
					t.Fatal(err)
				}
				return "ok\n"
			case "draw":
				term := terminal{width: 100}
				o := waterfallOptions{location: time.UTC, verbose: d.HasArg("verbose"), all: d.HasArg("all")}
				d.MaybeScanArgs(t, "width", &term.width)
				term.ascii = d.HasArg("ascii")
				term.colour = d.HasArg("colour")
				w, err := buildWaterfall(&answer)
				if err != nil {
					return err.Error() + "\n"
				}
				var b bytes.Buffer
				w.print(&b, term, o)
				bars, _, _ := strings.Cut(b.String(), "\n\n✗")
				for i, line := range strings.Split(bars, "\n") {
					if n := cells(line); !term.colour && n > term.width && !strings.HasPrefix(line, "Trace ") {
						t.Errorf("line %d takes %d columns of %d: %s", i+1, n, term.width, line)
					}
				}
				// Trailing blanks would make the golden file fragile.
				return strings.ReplaceAll(strings.ReplaceAll(b.String(), "\x1b", "ESC"), "\n\n", "\n.\n")
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func TestFormatSeconds(t *testing.T) {
	for _, c := range []struct {
		in   float64
		want string
	}{
		{0, "0"}, {0.0000004, "0 us"}, {0.000999, "999 us"}, {0.0009999, "1.00 ms"}, {0.00999, "9.99 ms"}, {0.009999, "10.0 ms"},
		{0.0999, "99.9 ms"}, {0.09999, "100 ms"}, {0.9994, "999 ms"}, {0.9999, "1.00 s"}, {9.99, "9.99 s"}, {9.999, "10.0 s"},
		{119.9, "119.9 s"}, {120, "2m 00s"}, {3725, "62m 05s"}, {7200, "2h 00m"}, {200000, "2.3 d"}, {-1.5, "-1.50 s"}, {1e12, "1e+12 s"},
	} {
		if got := formatSeconds(c.in); got != c.want {
			t.Errorf("formatSeconds(%v) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestFindTraceID(t *testing.T) {
	const want = "1-58406520-a006649127e371903a2de979"
	for _, in := range []string{
		want, strings.ToUpper(want), "Root=" + want + ";Parent=53995c3f42cd8ad8;Sampled=1", "58406520a006649127e371903a2de979",
		"00-58406520a006649127e371903a2de979-53995c3f42cd8ad8-01", `level=error trace_id="` + want + `" msg=x`,
	} {
		id, err := findTraceID(in)
		if err != nil || id.String() != want {
			t.Errorf("findTraceID(%q) = %v, %v", in, id, err)
		}
	}
	for _, in := range []string{"", "53995c3f42cd8ad8", "1-58406520-a00664", "58406520a006649127e371903a2de979a"} {
		if id, err := findTraceID(in); err == nil {
			t.Errorf("findTraceID(%q) = %v, want an error", in, id)
		}
	}
}

func TestCleanAndCells(t *testing.T) {
	if got, want := clean("a\x1b[31mb\u202ec\nd\x00"), "a\ufffd[31mb\ufffdc d\ufffd"; got != want {
		t.Errorf("clean = %q, want %q", got, want)
	}
	for s, want := range map[string]int{"abc": 3, "日本": 4, "e\u0301": 1, "🚀": 2, "": 0} {
		if got := cells(s); got != want {
			t.Errorf("cells(%q) = %d, want %d", s, got, want)
		}
	}
	term := terminal{}
	for _, c := range []struct {
		in   string
		n    int
		pad  bool
		want string
	}{{"abcdef", 4, false, "abc…"}, {"ab", 4, true, "ab  "}, {"日本語", 5, true, "日本…"}, {"日本語", 4, true, "日… "}, {"abc", 0, true, ""}} {
		if got := term.fit(c.in, c.n, c.pad); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}
