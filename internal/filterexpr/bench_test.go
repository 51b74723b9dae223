package filterexpr

import (
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
)

var benchmarkExpressions = []struct{ name, text string }{
	{"flag", `fault`},
	{"implied", `ok !partial duration < 3`},
	{"annotation", `annotation.shelf = "B12"`},
	{"alias", `annotation.aws_local_service = "desk"`},
	{"url", `http.url CONTAINS "/fines/" AND http.status >= 400`},
	{"service", `service("fines") { fault AND responsetime > 2 }`},
	{"edge", `edge("catalogue", id(name: "books", type: "AWS::DynamoDB::Table")) { throttle }`},
	{"cause", `rootcause.fault.exception { message CONTAINS "closed" }`},
	{"json", `rootcause.json = #[{"Services":[{"Name":"desk"},{"Name":"fines"}]}]`},
	{"console", `(((((service(id(name: "desk" , type: "remote" ))) OR ((service(id(name: "desk"  ))) AND (Annotation[aws.local.service] = "desk"))))) AND (http.status != 200))`},
}

// BenchmarkMatch judges five rows in turn.
func BenchmarkMatch(b *testing.B) {
	rows := library()
	list := []*trace.Row{rows["loan"], rows["late"], rows["search"], rows["open"], rows["lost"]}
	for _, test := range benchmarkExpressions {
		b.Run(test.name, func(b *testing.B) {
			e := parse(b, test.text)
			b.ReportAllocs()
			i, matched := 0, 0
			for b.Loop() {
				if e.Match(list[i]) == True {
					matched++
				}
				if i++; i == len(list) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, test := range benchmarkExpressions {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(test.text)))
			for b.Loop() {
				if _, err := Parse(test.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("long", func(b *testing.B) {
		text := strings.Repeat(`(fault OR annotation.k = "x") `, 2000)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := Parse(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestMatchAllocates holds that millions of rows can be judged without work for
// the collector.
func TestMatchAllocates(t *testing.T) {
	rows := library()
	for _, test := range benchmarkExpressions {
		e := parse(t, test.text)
		for name, row := range rows {
			if n := testing.AllocsPerRun(100, func() { e.Match(row); e.MatchIn(row, 0, 1<<60) }); n > 0 {
				t.Errorf("%s of %s: %v allocations", test.text, name, n)
			}
		}
	}
}
