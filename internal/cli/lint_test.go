package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestLint runs lint over files given as input.
func TestLint(t *testing.T) {
	datadriven.Walk(t, "testdata/lint", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "lint" {
				t.Fatalf("unknown command %s", d.Cmd)
			}
			var out, errs bytes.Buffer
			env := &Env{Stdin: strings.NewReader(d.Input), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
			args := []string{"lint", "-"}
			for _, a := range d.CmdArgs {
				args = append(args, "--"+a.Key)
			}
			status := Main(t.Context(), env, args)
			return fmt.Sprintf("%s%sstatus %d\n", &out, &errs, status)
		})
	})
}

func TestSplitDocuments(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string // line:col text
	}{
		{"empty", " \n\x00", nil},
		{"one", `{"a":1}`, []string{`1:1 {"a":1}`}},
		{"pretty", "\n{\n \"a\": \"}\"\n}\n", []string{"2:1 {\n \"a\": \"}\"\n}"}},
		{"lines", "{\"a\":1}\n\n{\"b\":[{}]} {\"c\":1}", []string{`1:1 {"a":1}`, `3:1 {"b":[{}]}`, `3:12 {"c":1}`}},
		{"array is the parser's", `[{"a":1},{"b":2}]`, []string{`1:1 [{"a":1},{"b":2}]`}},
		{"datagram", "{\"format\": \"json\", \"version\": 1}\n{\"a\":1}", []string{`2:1 {"a":1}`}},
		{"strings", "\"{\\\"a\\\":1}\"\n\"{\\\"format\\\":\\\"json\\\",\\\"version\\\":1}\\n{\\\"b\\\":1}\"", []string{`1:1 {"a":1}`, `2:1 {"b":1}`}},
		{"request", `{"TraceSegmentDocuments":["{\"a\":1}","x"]}`, []string{`1:1 {"a":1}`, `1:1 x`}},
		{"answer", `{"Traces":[{"Segments":[{"Document":"{\"a\":1}","Id":"1"}]},{}]}`, []string{`1:1 {"a":1}`}},
		{"never closed", "{\"a\":1}\n{\"b\":", []string{`1:1 {"a":1}`, `2:1 {"b":`}},
		{"no value", "hello there\n{}", []string{"1:1 hello there", "2:1 {}"}},
		{"quote at the end", `"\`, []string{`1:1 "\`}},
	} {
		var got []string
		for _, d := range splitDocuments("f", []byte(c.in)) {
			got = append(got, fmt.Sprintf("%d:%d %s", d.line, d.col, d.text))
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzSplitDocuments(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `["`, `"{\"a\":1}"`, `{"TraceSegmentDocuments":[1,"{}"]}`, "\"\\", `{"Traces":[{"Segments":[{"Document":"{}"}]}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range splitDocuments("f", data) {
			if d.line < 1 || d.col < 1 {
				t.Fatalf("position %d:%d of %q", d.line, d.col, d.text)
			}
			lintDocument(&d)
		}
	})
}
