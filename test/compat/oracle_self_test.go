package compat

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestOracle holds the oracle itself: it must accept a right answer and notice
// every kind of wrong one.
func TestOracle(t *testing.T) {
	docs := [][]byte{
		// A streamed subsegment before its parents, an unfinished version of the
		// segment, its completion, and a late copy that must be ignored.
		[]byte(`{"trace_id":"1-5f000000-00000000000000000000aaaa","id":"00000000000000c1","parent_id":"00000000000000b1","type":"subsegment","name":"row","start_time":12.5,"end_time":13,"Dummy":false}`),
		[]byte(`{"trace_id":"1-5f000000-00000000000000000000aaaa","id":"00000000000000a1","name":"shop","start_time":10,"in_progress":true,"subsegments":[{"id":"00000000000000d1","name":"gone","start_time":10,"in_progress":true}]}`),
		[]byte(`{"trace_id":"1-5f000000-00000000000000000000aaaa","id":"00000000000000a1","name":"shop","start_time":10,"end_time":14,"annotations":{"big":9007199254740993},"subsegments":[` +
			`{"id":"00000000000000b1","name":"batch","start_time":11,"end_time":13.5,"parent_id":"x"},` +
			`{"id":"00000000000000e1","name":"DynamoDB","start_time":11,"end_time":12,"namespace":"aws","aws":{"operation":"GetItem","table_name":"t"}}]}`),
		[]byte(`{"trace_id":"1-5f000000-00000000000000000000aaaa","id":"00000000000000a1","name":"late","start_time":10,"end_time":99}`),
	}
	const shop = `{"id":"00000000000000a1","name":"shop","start_time":1.0E1,"trace_id":"1-5f000000-00000000000000000000aaaa","end_time":14.0,"annotations":{"big":9007199254740993},"subsegments":[` +
		`{"id":"00000000000000e1","name":"DynamoDB","start_time":11.0,"end_time":12.0,"aws":{"operation":"GetItem","table_name":"t","resource_names":["t"]},"namespace":"aws"},` +
		`{"id":"00000000000000b1","name":"batch","start_time":11.0,"end_time":13.5,"subsegments":[{"id":"00000000000000c1","name":"row","start_time":12.5,"end_time":13.0}]}]}`
	const callee = `{"id":"0123456789abcdef","name":"DynamoDB","start_time":11.0,"trace_id":"1-5f000000-00000000000000000000aaaa","end_time":12.0,"parent_id":"00000000000000e1","inferred":true,` +
		`"aws":{"operation":"GetItem","table_name":"t","resource_names":["t"]},"origin":"AWS::DynamoDB::Table"}`
	answer := func(duration float64, docs ...string) traceAnswer {
		no := false
		got := traceAnswer{ID: "1-5f000000-00000000000000000000aaaa", Duration: &duration, LimitExceeded: &no}
		for _, doc := range docs {
			var id struct{ ID string }
			if err := json.Unmarshal([]byte(doc), &id); err != nil {
				t.Fatal(err)
			}
			got.Segments = append(got.Segments, struct {
				ID       string `json:"Id"`
				Document string
			}{id.ID, doc})
		}
		return got
	}
	if problems := compare(t, answer(4, shop, callee), docs); len(problems) != 0 {
		t.Errorf("the right answer is refused:\n%s", strings.Join(problems, "\n"))
	}
	swap := func(old, by string) string {
		if !strings.Contains(shop, old) {
			t.Fatalf("%q is not in the answer", old)
		}
		return strings.Replace(shop, old, by, 1)
	}
	for name, got := range map[string]traceAnswer{
		"nothing":              answer(4),
		"no callee":            answer(4, shop),
		"no segment":           answer(4, callee),
		"segment twice":        answer(4, shop, shop, callee),
		"wrong duration":       answer(4.01, shop, callee),
		"late name":            answer(4, swap(`"shop"`, `"late"`), callee),
		"lost subsegment":      answer(4, swap(`,"subsegments":[{"id":"00000000000000c1","name":"row","start_time":12.5,"end_time":13.0}]`, ``), callee),
		"time off by a µs":     answer(4, swap(`"end_time":13.5`, `"end_time":13.500001`), callee),
		"rounded annotation":   answer(4, swap(`9007199254740993`, `9007199254740992`), callee),
		"unknown key":          answer(4, swap(`"namespace":"aws"`, `"namespace":"aws","Dummy":false`), callee),
		"nested keys kept":     answer(4, swap(`"name":"batch"`, `"name":"batch","parent_id":"00000000000000a1"`), callee),
		"no resource":          answer(4, swap(`,"resource_names":["t"]`, ``), callee),
		"callee's origin":      answer(4, shop, strings.Replace(callee, `AWS::DynamoDB::Table`, `AWS::DynamoDB`, 1)),
		"callee's parent":      answer(4, shop, strings.Replace(callee, `00000000000000e1`, `00000000000000b1`, 1)),
		"replaced subsegments": answer(4, swap(`"subsegments":[`, `"subsegments":[{"id":"00000000000000d1","name":"gone","start_time":10.0,"in_progress":true},`), callee),
	} {
		if problems := compare(t, got, docs); len(problems) == 0 {
			t.Errorf("%s: the oracle noticed nothing", name)
		}
	}
}
