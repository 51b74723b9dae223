package filterexpr

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParse checks that no text makes the parser panic, that what it accepts goes
// round, and that what it refuses is refused in its place.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		``, `ok`, `!ok and (fault or error)`, `http.url CONTAINS "a\u00e9" AND duration > 200ms`, `annotation["a b"] != 5e-3`,
		`service(id(name: "x", type: 'y')) { annotation.k = true }`, `edge(, "b") { http.method = GET }`, `group.name = "g" OR group.arn != "a"`,
		`rootcause.responsetime.entity { coverage > .5 and last }`, `rootcause.json = #[{"Services":[{"Name":null}]}]`, `((fault)`, `user = "`, "\xff", `fault & `,
		`annotation.aws_local_service BEGINSWITH "x"`, `not not partial`, `edge("a"`, `annotation[`, `rootcause.json=#[[]`,
	} {
		f.Add(text)
	}
	r := random{rand.New(rand.NewPCG(1, 2))}
	rows := library()
	for _, row := range []string{"a", "b", "c", "d"} {
		rows[row] = r.row()
	}
	cut := *rows["loan"]
	cut.Cut = true
	rows["cut"] = &cut
	f.Fuzz(func(t *testing.T, text string) {
		Complete(text, len(text)/2)
		Complete(text, len(text))
		if s, err := ParseSelector(text); err == nil {
			if again, err := ParseSelector(s.String()); utf8.RuneCountInString(s.String()) <= MaxSelectorLength && (err != nil || again.String() != s.String()) {
				t.Fatalf("%q: its form %q: %v", text, s, err)
			}
		}
		e, err := Parse(text)
		if err != nil {
			e := err.(*Error)
			if e.Offset < 0 || e.Offset > len(text) || e.Line < 1 || e.Position < 1 || !strings.HasPrefix(e.Message, "Error Location: line ") || e.Explain() == "" {
				t.Fatalf("%q: %+v", text, e)
			}
			if utf8.ValidString(text) && !utf8.ValidString(e.Message) {
				t.Fatalf("%q: broken message %q", text, e.Message)
			}
			return
		}
		requireRoundTrip(t, e)
		need := e.Need()
		e.Explain(nil)
		for name, row := range rows {
			got := e.Match(row)
			if e.MatchIn(row, 0, 1<<60); got == True && !row.Cut && missing(need, termsOf(row)) != nil {
				t.Fatalf("%q is true of %s, which has none of %v", text, name, missing(need, termsOf(row)))
			}
			if x := e.Explain(row); x.Truth != got.String() {
				t.Fatalf("%q of %s: %v, explained as %s", text, name, got, x.Truth)
			}
		}
	})
}
