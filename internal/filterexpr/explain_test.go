package filterexpr

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/trace"
)

var rewrite = flag.Bool("rewrite", false, "write what the tests see into testdata")

func (e *Explanation) write(b *strings.Builder, indent string) {
	truth := e.Truth
	if truth != "" {
		truth = "[" + truth + "] "
	}
	fmt.Fprintf(b, "%s%s%s: %s\n", indent, truth, e.Text, e.Meaning)
	if e.Found != "" {
		fmt.Fprintf(b, "%s  found: %s\n", indent, e.Found)
	}
	for _, part := range e.Parts {
		part.write(b, indent+"  ")
	}
}

// TestExplain compares explanations with testdata/explain.txt, which -rewrite renews.
func TestExplain(t *testing.T) {
	rows := library()
	var b strings.Builder
	for _, test := range []struct{ row, text string }{
		{"", `ok !partial responsetime > 200ms`},
		{"", `service("desk") { fault and http.status >= 500 } OR edge("desk", "fines") AND NOT rootcause.fault.exception { last and message CONTAINS "closed" }`},
		{"loan", `http.status >= 400 OR annotation.copies > 5`},
		{"loan", `service("desk") { fault }`},
		{"loan", `service("catalogue") { ok and responsetime > 5 and annotation.genre = "crime" }`},
		{"loan", `service(id(type: "AWS::DynamoDB::Table")) { throttle }`},
		{"loan", `service("books") { http.url }`},
		{"loan", `!service("bookz")`},
		{"late", `edge("desk", id(name: "fines", type: "AWS::Lambda")) { fault and duration > 3 }`},
		{"late", `rootcause.fault.exception { message CONTAINS "Ledger" }`},
		{"late", `rootcause.fault.entity { last and name = "fines" }`},
		{"late", `rootcause.json = #[{"Services":[]}]`},
		{"late", `user = "nobody" OR group.name = "faulted" AND account.id`},
		{"open", `duration > 1 AND http.status AND inferred`},
		{"lost", `ok AND root AND partial`},
		{"loan", `duration = "slow" OR annotation.copies = "3" OR fault = 1`},
		{"loan", `service(id(type: "client")) { ok }`},
	} {
		e, err := parse(t, test.text).Expand(func(GroupRef) (*Expr, error) { return Parse("fault AND http.status = 500") })
		if err != nil {
			t.Fatal(err)
		}
		x := e.Explain(rows[test.row])
		fmt.Fprintf(&b, "%s %s\n----\n", test.row, test.text)
		x.write(&b, "")
		b.WriteByte('\n')
		if test.row != "" && x.Truth != e.Match(rows[test.row]).String() {
			t.Errorf("%s: explained as %s", test.text, x.Truth)
		}
		if _, err := json.Marshal(x); err != nil {
			t.Error(err)
		}
	}
	file := filepath.Join("testdata", "explain.txt")
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		t.Errorf("explanations differ from %s; got\n%s", file, got)
	}
}

// TestExplainIsBounded holds that a large expression makes no huge explanation.
func TestExplainIsBounded(t *testing.T) {
	row := library()["loan"]
	for _, text := range []string{
		strings.Repeat("ok ", MaxLength/3),
		strings.Repeat("(ok ", MaxDepth) + strings.Repeat(")", MaxDepth) + strings.Repeat(" user", 5000),
		strings.Repeat("!", MaxDepth) + "ok",
		"annotation[" + strings.Repeat("k", 60000) + "] = 1",
		`service("` + strings.Repeat("k", 60000) + `") { fault }`,
	} {
		out, err := json.Marshal(parse(t, text).Explain(row))
		if err != nil || len(out) > 5<<20 {
			t.Errorf("%.30s: %d bytes, error %v", text, len(out), err)
		}
	}
	// Indexes that lead nowhere are no trouble.
	broken := &trace.Row{Segments: []trace.SegmentEntry{{Service: 5, Annotations: []int{-1, 9}}}, Calls: []trace.CallEntry{{From: -1, To: 7, Flags: trace.FlagInferred}}}
	parse(t, `service() { name or annotation.x } edge(,) { root or type }`).Explain(broken)
}

// TestExplainTakesNoTime holds that no expression and trace together take long to
// explain: what is in braces would be judged at each level above it.
func TestExplainTakesNoTime(t *testing.T) {
	row := &trace.Row{Services: []trace.ServiceID{{Name: "desk"}}}
	for range 50_000 {
		row.Segments = append(row.Segments, trace.SegmentEntry{})
		row.Calls = append(row.Calls, trace.CallEntry{Flags: trace.FlagInferred})
	}
	inner := "{ " + strings.Repeat("http.status = 1 OR ", 3000) + "fault }"
	for _, text := range []string{
		strings.Repeat("!", 400) + "service() " + inner,
		strings.Repeat("!", 400) + "edge(, ) " + inner,
		strings.Repeat("service() OR ", 3000) + "fault",
		strings.Repeat(`service() { fault } OR `, 2000) + "fault",
	} {
		start := time.Now()
		x := parse(t, text).Explain(row)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%.80s… took %v", text, took)
		}
		if x.Truth == "" {
			t.Errorf("%.80s…: nothing is said of its truth", text)
		}
	}
}
