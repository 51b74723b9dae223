package recount

import (
	"strings"
	"testing"
)

// TestCount has a trace for the eye: a shop calls a table and a till, the till
// answers, and a report is not complete.
func TestCount(t *testing.T) {
	docs := []string{
		`{"trace_id":"1","id":"a","name":"shop","start_time":1,"in_progress":true,"subsegments":[{"id":"z","name":"gone","namespace":"remote","start_time":1,"end_time":2}]}`,
		`{"trace_id":"1","id":"c","parent_id":"b2","name":"till","start_time":1.5,"end_time":2,"throttle":true,"error":true,"fault":true}`,
		`{"trace_id":"1","id":"a","name":"shop","start_time":1,"end_time":3,"error":true,"subsegments":[
			{"id":"b1","name":"dynamodb","namespace":"aws","aws":{"operation":"GetItem","table_name":"carts"},"start_time":1,"end_time":1.25},
			{"id":"b","name":"local","start_time":1,"end_time":3,"subsegments":[{"id":"b2","name":"till.example","namespace":"remote","start_time":1.5,"end_time":2.5,"fault":true}]}]}`,
		`{"trace_id":"1","id":"a","name":"other","start_time":1,"end_time":9}`,
		`{"trace_id":"1","id":"d","parent_id":"b","type":"subsegment","name":"db","namespace":"remote","sql":{},"start_time":2,"end_time":2.125}`,
		`{"trace_id":"2","id":"a","name":"report","start_time":1,"in_progress":true}`,
		`{"trace_id":"2","id":"b","parent_id":"a","type":"subsegment","name":"db","namespace":"remote","sql":{},"start_time":2,"end_time":2.125}`,
		`{"trace_id":"2","id":"c","parent_id":"nobody","type":"subsegment","name":"db","namespace":"remote","sql":{},"start_time":2,"end_time":2.125}`,
		`{"trace_id":"3","id":"a","name":"till","parent_id":"nobody","start_time":1,"end_time":3}`,
	}
	g, err := Count(docs)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimLeft(`
carts|AWS::DynamoDB::Table: unknown root=false ok=1 error=0 throttle=0 fault=0
db|Database::SQL: unknown root=false ok=1 error=0 throttle=0 fault=0
shop|: active root=true ok=0 error=1 throttle=0 fault=0
shop|client: unknown root=false ok=0 error=0 throttle=0 fault=0
till|: active root=false ok=1 error=0 throttle=1 fault=0
shop| -> carts|AWS::DynamoDB::Table: ok=1 error=0 throttle=0 fault=0 aliases []
shop| -> db|Database::SQL: ok=1 error=0 throttle=0 fault=0 aliases []
shop| -> till|: ok=0 error=0 throttle=0 fault=1 aliases ["till.example"]
shop|client -> shop|: ok=0 error=1 throttle=0 fault=0 aliases []
`, "\n")
	if got := g.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if s := g.Nodes["till|"].Seconds; s != 2.5 {
		t.Errorf("till took %v s, want 2.5", s)
	}
	other, err := Count(docs[1:])
	if err != nil {
		t.Fatal(err)
	}
	if d := Diff(other, g); d != "" {
		t.Errorf("without the unfinished version:\n%s", d)
	}
	other.Nodes["till|"].Seconds += 0.001
	delete(other.Edges, "shop|client -> shop|")
	if d := Diff(other, g); !strings.Contains(d, "till|: 2.501000 s in all, want 2.500000") || !strings.Contains(d, "got  nothing") {
		t.Errorf("differences are told as\n%s", d)
	}
}

func TestReadRefusesNonsense(t *testing.T) {
	const ok = `{"Services":[{"ReferenceId":0,"Name":"a","State":"active","SummaryStatistics":{"OkCount":1,"TotalCount":1},"ResponseTimeHistogram":[{"Value":1,"Count":1}],"DurationHistogram":[{"Value":1,"Count":1}],"Edges":[]}]}`
	if _, err := Read([]byte(ok)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"ReferenceId":0`, `"ReferenceId":1`},
		{`"TotalCount":1`, `"TotalCount":2`},
		{`"Count":1`, `"Count":2`},
		{`"Edges":[]`, `"Edges":[{"ReferenceId":1}]`},
		{`"Edges":[]`, `"Edges":[{"ReferenceId":0}]`},
	} {
		if _, err := Read([]byte(strings.Replace(ok, change[0], change[1], 1))); err == nil {
			t.Errorf("with %s it was taken", change[1])
		}
	}
}
