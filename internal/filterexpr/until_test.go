package filterexpr

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// TestUntil holds that a judgement which takes long is given up when nobody
// waits for it any more, and that groups are no way around it.
func TestUntil(t *testing.T) {
	row := &trace.Row{Services: []trace.ServiceID{{Name: "desk"}, {Name: "books"}}}
	for range 50_000 {
		row.Segments = append(row.Segments, trace.SegmentEntry{})
		row.Calls = append(row.Calls, trace.CallEntry{To: 1})
		row.FaultCauses = append(row.FaultCauses, trace.RootCause{Services: []trace.RootCauseService{{Entities: []trace.RootCauseEntity{{Name: "desk"}}}}})
	}
	var terms []string
	for i := range 1000 {
		terms = append(terms, fmt.Sprintf("http.status = %d", i+1))
	}
	inner := strings.Join(terms, " OR ")
	closed := make(chan struct{})
	close(closed)
	long := parse(t, "service() { "+inner+" }")
	for _, e := range []*Expr{
		long,
		parse(t, `!service("desk") { `+inner+" }"),
		parse(t, "edge(, ) { "+inner+" }"),
		parse(t, strings.Repeat("edge(, ) { http.status = 1 } OR ", 1000)+"fault"),
		parse(t, `rootcause.fault.entity { `+strings.Repeat(`name = "books" OR `, 1000)+`remote }`),
		expand(t, `group.name = "long"`, long),
	} {
		start := time.Now()
		got := e.Until(closed).Match(row)
		in, _ := e.Until(closed).MatchIn(row, -1, 1)
		if took := time.Since(start); got != Unknown || in != Unknown || took > 3*time.Second {
			t.Errorf("%.60s…: %v and %v after %v", e.String(), got, in, took)
		}
	}

	// What was found by then is the answer, and without a closed channel nothing
	// is given up.
	if got := parse(t, "service() OR edge(, ) { http.status = 5 }").Until(closed).Match(row); got != True {
		t.Errorf("what is true without a look at the elements is %v", got)
	}
	if got := parse(t, "service() { http.status = 5 }").Until(make(chan struct{})).Match(row); got != False {
		t.Errorf("an expression that is waited for is %v", got)
	}
	if e := parse(t, "fault"); e.Until(closed) == e {
		t.Error("Until changed the expression itself")
	}
}

// TestWithin holds that a judgement ends after a number of conditions, whatever
// they are about, and that the number is of no concern otherwise.
func TestWithin(t *testing.T) {
	row := &trace.Row{Services: []trace.ServiceID{{Name: "desk"}}}
	for range 10_000 {
		row.Segments = append(row.Segments, trace.SegmentEntry{})
		row.Calls = append(row.Calls, trace.CallEntry{})
	}
	inner := "{ " + strings.Repeat("http.status = 1 OR ", 999) + "fault }"
	for _, test := range []struct {
		text string
		most int64
		want Truth
	}{
		{"service() " + inner, 1e6, Unknown},
		{"service() " + inner, 3e7, False},
		{"edge(, ) " + inner, 1e6, Unknown},
		{"edge(, ) " + inner, 3e7, False},
		{strings.Repeat("service() { fault } OR ", 100) + "error", 1e6, Unknown},
		{strings.Repeat("service() { fault } OR ", 100) + "error", 3e7, False},
		{"service() " + inner + " AND fault", 1e6, False}, // the root has no fault
		{"ok OR service() " + inner, 1, True},
		{"service() { !fault }", 1, True},
	} {
		e := parse(t, test.text)
		if got := e.Within(test.most).Match(row); got != test.want {
			t.Errorf("%.60s… within %d: %v, want %v", test.text, test.most, got, test.want)
		}
		closed := make(chan struct{})
		close(closed)
		if got := e.Within(1e12).Until(closed).Match(row); got != test.want && got != Unknown {
			t.Errorf("%.60s…, given up: %v", test.text, got)
		}
	}
}

func expand(t *testing.T, text string, group *Expr) *Expr {
	t.Helper()
	e, err := parse(t, text).Expand(func(GroupRef) (*Expr, error) { return group, nil })
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestManyTextsOfTheRequest holds that a request's texts are taken out of its
// document once for each element, however often braces ask for them.
func TestManyTextsOfTheRequest(t *testing.T) {
	request := `{"request":{"method":"GET","user_agent":"` + strings.Repeat("x", 20_000) + `","url":"https://desk/loans","client_ip":"192.0.2.1"}}`
	row := &trace.Row{
		Services: []trace.ServiceID{{Name: "desk"}},
		Segments: []trace.SegmentEntry{{Segment: &segment.Segment{HTTP: segment.Raw(request)}}},
	}
	text := "service() { (" + strings.Repeat(`http.url CONTAINS "zz" OR `, 1500) + `http.method = "GET") AND http.clientip = "192.0.2.1" AND http.useragent BEGINSWITH "xx" }`
	e := parse(t, text)
	if got := e.Match(row); got != True {
		t.Fatalf("%v", got)
	}
	if n := testing.AllocsPerRun(5, func() { e.Match(row) }); n > 10 {
		t.Errorf("%v allocations", n)
	}
}
