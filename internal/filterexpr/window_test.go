package filterexpr

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// TestMatchIn holds that what satisfies a service() or edge() ends in the window.
func TestMatchIn(t *testing.T) {
	var r rowOf
	desk, books, shelf := r.node("desk", "", ""), r.node("books", "remote", ""), r.node("shelf", "", "")
	r.seg(desk, rootFlag).End = 200
	r.Calls[0].End = 200
	r.seg(shelf, fault).End = 120
	r.seg(shelf, 0).End = 150
	r.seg(shelf, inProgress).End = 130
	r.call(desk, books, inferredFlag|errorFlag).End = 110
	r.call(desk, shelf, 0).End = 160
	r.Status = 200
	row := r.done()
	for _, test := range []struct {
		text     string
		from, to int64
		want     Truth
		matched  any // index of a segment, or of a call as a string; "edge" before it for an edge
	}{
		{`service("shelf")`, 120, 121, True, 1},
		{`service("shelf")`, 121, 150, False, nil},
		{`service("shelf")`, 121, 151, True, 2},
		{`service("shelf") { fault }`, 121, 151, False, nil},
		{`service("shelf") { fault }`, 100, 151, True, 1},
		{`service("shelf")`, 125, 140, False, nil}, // unfinished
		{`service("books")`, 110, 111, True, "call 1"},
		{`service("books") { error }`, 110, 111, True, "call 1"},
		{`service("books") { error }`, 111, 300, False, nil},
		{`service(id(type: "client"))`, 200, 201, True, "call 0"},
		{`service(id(type: "client"))`, 100, 200, False, nil},
		{`edge("desk", "shelf")`, 160, 161, True, "edge 2"},
		{`edge("desk", "shelf")`, 100, 160, False, nil},
		{`edge(, "books") { error }`, 0, 111, True, "edge 1"},
		{`service()`, 0, 300, True, 0},
		{`http.status = 200`, 0, 1, True, nil},
		{`!service("shelf")`, 0, 1, False, nil}, // negated: without the window
		{`!service("nobody")`, 0, 1, True, nil},
		{`!!service("shelf")`, 0, 1, False, nil},
		{`!!service("shelf")`, 120, 121, True, 1},
		{`http.status = 200 AND edge("desk", "shelf") AND service("shelf")`, 100, 300, True, "edge 2"},
		{`service("shelf") AND http.status = 500 OR service("books")`, 100, 300, True, "call 1"},
		{`!(service("shelf") AND http.status = 500) AND service("books")`, 100, 300, True, "call 1"},
		{`http.status = 200 OR service("shelf")`, 100, 300, True, nil},
		{`service("shelf") AND (service("desk") { user } OR edge(,))`, 100, 300, True, 1},
		{`service("desk") { http.url }`, 0, 300, Unknown, nil},
	} {
		e := parse(t, test.text)
		got, m := e.MatchIn(row, test.from, test.to)
		if got != test.want {
			t.Errorf("%s in %d..%d: got %v, want %v", test.text, test.from, test.to, got, test.want)
		}
		var by any
		for i := range row.Segments {
			if m.Segment == &row.Segments[i] {
				by = i
			}
		}
		for i := range row.Calls {
			if m.Call == &row.Calls[i] {
				by = fmt.Sprintf("call %d", i)
				if m.Edge {
					by = fmt.Sprintf("edge %d", i)
				}
			}
		}
		if by != test.matched {
			t.Errorf("%s in %d..%d: matched %v, want %v", test.text, test.from, test.to, by, test.matched)
		}
	}
	if parse(t, `fault OR !edge(,)`).HasElements() != true || parse(t, `fault`).HasElements() {
		t.Error("HasElements is wrong")
	}
}

func TestGroups(t *testing.T) {
	texts := map[GroupRef]string{
		{Name: "slow"}:                 `duration > 3`,
		{Name: "slow faults"}:          `group.name = "slow" AND group.name = "faults"`,
		{Name: "faults"}:               `fault`,
		{ARN: "arn:loop"}:              `ok OR group.name = "loop"`,
		{Name: "loop"}:                 `group.arn = "arn:loop"`,
		{Name: "nobody's desk"}:        `service("desk") AND group.name != "slow"`,
		{Name: "broken"}:               `fault AND`,
		{Name: "wide"}:                 manyTerms("ok", 20000),
		{Name: "wider"}:                manyTerms(`group.name = "wide"`, 1000),
		{Name: "widest"}:               manyTerms(`group.name = "wider"`, 1000),
		{Name: "reads the other way"}:  `!group.name = "slow"`,
		{Name: "everything, negated"}:  `group.name != "Default"`,
		{Name: "and by another route"}: `group.name = "slow" OR group.name = "faults" OR group.name = "slow faults"`,
	}
	for i := range 40 {
		texts[GroupRef{Name: fmt.Sprint("chain ", i)}] = fmt.Sprintf(`group.name = "chain %d"`, i+1)
		texts[GroupRef{Name: fmt.Sprint("double ", i)}] = fmt.Sprintf(`group.name = "double %d" AND group.name = "double %d"`, i+1, i+1)
	}
	texts[GroupRef{Name: "double 12"}] = `ok`
	errNone := errors.New("no such group")
	resolve := func(ref GroupRef) (*Expr, error) {
		if ref.Name == "Default" {
			return nil, nil
		}
		text, ok := texts[ref]
		if !ok {
			return nil, errNone
		}
		return Parse(text)
	}

	e := parse(t, `group.name = "slow" AND service("x") OR !(group.arn != "arn:loop") OR group.name != "slow"`)
	if got := fmt.Sprint(e.Groups()); got != "[slow arn:loop]" {
		t.Errorf("groups %s", got)
	}
	rows := library()
	for _, test := range []struct {
		text, want string
	}{
		{`group.name = "slow"`, "loan late"},
		{`group.name = "slow faults"`, "late"},
		{`group.name != "slow faults"`, "loan search open lost"},
		{`group.name = "nobody's desk"`, "search open"},
		{`group.name = "reads the other way"`, "search open lost"},
		{`group.name = "everything, negated"`, ""},
		{`group.name = "and by another route" AND !fault`, "loan"},
		{`group.name = "double 0"`, "loan search open lost"},
		{`group.name = ""`, ""},
	} {
		e, err := parse(t, test.text).Expand(resolve)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		got := ""
		for _, name := range []string{"loan", "late", "search", "open", "lost"} {
			if e.Match(rows[name]) == True {
				got += " " + name
			}
		}
		if got != "" {
			got = got[1:]
		}
		if got != test.want {
			t.Errorf("%s: matches %q, want %q", test.text, got, test.want)
		}
	}
	for text, want := range map[string]error{
		`group.name = "loop"`:          ErrGroups,
		`group.arn = "arn:loop"`:       ErrGroups,
		`group.name = "chain 0"`:       ErrGroups,
		`group.name = "wider"`:         ErrGroups,
		`group.name = "widest"`:        ErrGroups,
		`ok OR group.name = "unknown"`: errNone,
	} {
		if _, err := parse(t, text).Expand(resolve); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", text, err, want)
		}
	}
	if _, err := parse(t, `group.name = "broken"`).Expand(resolve); !errors.As(err, new(*Error)) {
		t.Errorf("a broken group: %v", err)
	}

	// The conditions of a group are needed where the group is.
	e, err := parse(t, `group.name = "faults"`).Expand(resolve)
	if err != nil {
		t.Fatal(err)
	}
	if need := fmt.Sprint(e.Need()); need != fmt.Sprint(trace.Need{{trace.TermMark(trace.MarkFault)}}) {
		t.Errorf("needs %s", need)
	}
	in, err := parse(t, `group.name = "nobody's desk"`).Expand(resolve)
	if err != nil {
		t.Fatal(err)
	}
	if !in.HasElements() {
		t.Error("the group's service() was not seen")
	}
}

func manyTerms(term string, n int) string {
	return strings.TrimSpace(strings.Repeat(term+" ", n))
}
