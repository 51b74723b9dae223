package filterexpr

import (
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// observedRows are six traces as the real service was seen to filter them, with
// names of our own. Each has a shop as its root and the number of its aisle; in
// "stocked" the shop calls a cellar, which fails, and that a table, which throttles.
func observedRows() map[string]*trace.Row {
	rows := map[string]*trace.Row{}
	add := func(kind string, flags trace.Flags, status int, seconds, aisle float64, open bool) *rowOf {
		r := &rowOf{}
		shop := r.node("shop", "AWS::EC2::Instance", "")
		r.seg(shop, flags|rootFlag, text("owner", "us"), text("kind", kind), number("aisle", aisle), boolean("open", open))
		r.URL, r.Method, r.Status = "https://shop.example/api/"+kind, "GET", status
		r.Users = []string{"buyer"}
		r.Zones, r.InstanceIDs = []string{"zone-a"}, []string{"i-1"}
		if flags&inProgress == 0 {
			r.ResponseTime, r.HasResponseTime = seconds, true
			r.Duration, r.HasDuration = seconds, true
		}
		return r
	}
	stocked := add("stocked", 0, 200, 2, 0, true)
	stocked.Duration = 7
	cellar, table := stocked.node("cellar", "", ""), stocked.node("AWS::table", "AWS::table", "")
	stocked.seg(cellar, fault, boolean("deep", true)).Status = 503
	stocked.call(0, cellar, fault)
	stocked.call(cellar, table, throttle|inferredFlag).Status = 429
	stocked.Users = append(stocked.Users, "keeper")
	stocked.FaultCauses = []trace.RootCause{{Services: []trace.RootCauseService{{Service: stocked.Services[cellar],
		Entities: []trace.RootCauseEntity{{Name: "cellar", Exceptions: []trace.RootCauseException{{Name: "E", Message: "our failure below"}}}}}}}}
	rows["stocked"] = stocked.done()
	rows["error"] = add("error", errorFlag, 404, 1, 10, false).done()
	rows["fault"] = add("fault", fault, 500, 3, 20, false).done()
	rows["throttle"] = add("throttle", throttle, 429, 0.5, 30, false).done()
	rows["progress"] = add("progress", inProgress, 0, 0, 40, false).done()
	rows["clock"] = add("clock", 0, 201, 4, 50, false).done()
	var orphan rowOf
	orphan.seg(orphan.node("stray", "", ""), 0, text("owner", "us"))
	orphan.Partial = true
	rows["orphan"] = orphan.done()
	return rows
}

// TestObserved compares with what the real service matched, both ways.
func TestObserved(t *testing.T) {
	rows := observedRows()
	const all = "stocked error fault throttle progress clock"
	for _, test := range []struct{ text, want string }{
		{`duration = 7 AND responsetime = 2`, "stocked"},
		{`fault`, "fault"},
		{`error`, "error"},
		{`throttle`, "throttle"},
		{`service("cellar") { fault }`, "stocked"},
		{`edge("shop", "cellar") { fault }`, "stocked"},
		{`service() { throttle }`, "stocked throttle"},
		{`annotation.aisle >= 20 AND annotation.open = false`, "fault throttle progress clock"},
		{`annotation.deep`, "stocked"},
		{`!annotation.absent`, all},
		{`user = "keeper"`, "stocked"},
		{`http.url CONTAINS "/api/" AND http.method = "GET" AND http.status >= 400`, "error fault throttle"},
		{`availabilityzone = "zone-a" AND instance.id = "i-1"`, all},
		{`partial`, ""},
		{`!partial`, all},
		{`annotation.kind = "stocked" OR annotation.kind = "fault" AND http.status = 500`, "stocked fault"},
		{`(annotation.kind = "stocked" OR annotation.kind = "fault") AND http.status = 500`, "fault"},
		{`ok !partial duration >= 2`, "stocked clock"},
		{`service("shop") { root AND ok }`, "stocked progress clock"},
		{`rootcause.fault.exception { message CONTAINS "below" }`, "stocked"},
		{`group.name = "ours"`, all},
		{`duration = "slow"`, ""},
	} {
		// The traces were told from others by an annotation, in the same expression.
		e, err := parse(t, `annotation.owner = "us" AND (`+test.text+`)`).Expand(func(GroupRef) (*Expr, error) {
			return Parse(`annotation.owner = "us"`)
		})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, name := range []string{"stocked", "error", "fault", "throttle", "progress", "clock"} {
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
	requireTruth(t, parse(t, `partial`), rows["orphan"], True)
	for text, want := range map[string]string{
		`annotation.owner = "us" AND (madeup = 7)`: "Error Location: line 1, position 30 : Invalid input symbol: 'ma'",
		`annotation.owner = "us" AND ((fault)`:     "Error Location: line 1, position 37 : missing ')' at end of expression",
	} {
		if _, err := Parse(text); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// TestExamples has an expression for each kind of question that the language is
// documented with, and for each a trace that answers yes and one that answers no.
func TestExamples(t *testing.T) {
	rows := library()
	var desk rowOf
	node := desk.node("desk", "", "")
	desk.seg(node, rootFlag|errorFlag, text("age", "31"), number("count", 5), boolean("ok", true),
		text("aws.local.operation", "POST /one"), text("aws.local.environment", "eks:test"))
	desk.seg(desk.node("hall", "", ""), 0, text("aws.local.operation", "POST /two"))
	desk.seg(desk.node("door", "client::RUM", ""), 0)
	desk.call(node, desk.node("https://queue.example/1/jobs", "AWS::SQS::Queue", ""), inferredFlag)
	desk.call(node, desk.node("postgres", "Database::SQL", ""), inferredFlag)
	desk.call(node, desk.node("gate/prod", "AWS::ApiGateway::Stage", ""), 0)
	desk.Status = 404
	rows["mistake"] = desk.done()
	var busy rowOf
	busy.seg(busy.node("desk", "", ""), rootFlag|throttle, number("age", 31))
	busy.Status = 429
	rows["busy"] = busy.done()

	groups := func(GroupRef) (*Expr, error) { return Parse(`duration > 3`) }
	for _, test := range []struct{ text, yes, no string }{
		{`ok`, "open", "mistake"},
		{`!ok`, "busy", "open"},
		{`ok = false`, "busy", "search"},
		{`fault = true`, "late", "mistake"},
		{`error`, "mistake", "busy"},
		{`error`, "mistake", "search"},
		{`service() { error }`, "search", "late"},
		{`service("covers.example") { error }`, "search", "mistake"},
		{`edge("desk", "covers.example") { error }`, "search", "loan"},
		{`partial`, "search", "open"},
		{`inferred`, "search", "late"},
		{`!partial`, "open", "lost"},
		{`responsetime > 5`, "late", "open"},
		{`duration >= 1 AND duration <= 8`, "loan", "open"},
		{`ok !partial duration <5`, "loan", "open"},
		{`duration > 5 OR throttle`, "busy", "open"},
		{`http.status = 404`, "mistake", "search"},
		{`http.status != 200`, "late", "open"},
		{`http.status >= 400 AND http.status < 600`, "late", "open"},
		{`http.url CONTAINS "/search"`, "search", "open"},
		{`http.url BEGINSWITH "https://library.example/" AND http.url ENDSWITH "/9"`, "open", "late"},
		{`http.url`, "open", "lost"},
		{`http.url AND responseTime > 2`, "loan", "open"},
		{`http.method = "POST"`, "loan", "late"},
		{`http.useragent CONTAINS "curl"`, "loan", "late"},
		{`http.clientip = "198.51.100.7"`, "late", "loan"},
		{`user = "Clerk"`, "late", "loan"},
		{`user CONTAINS ""`, "late", "open"},
		{`annotation.shelf = "C3"`, "search", "loan"},
		{`annotation.shelf`, "search", "late"},
		{`!annotation.age`, "loan", "busy"},
		{`annotation.age > 29`, "busy", "mistake"},
		{`annotation.age = "31"`, "mistake", "busy"},
		{`annotation.member`, "loan", "late"},
		{`annotation[aws.local.service] = "desk"`, "loan", "late"},
		{`annotation.shelf BEGINSWITH "C"`, "search", "loan"},
		{`service("fines")`, "late", "loan"},
		{`!service("fines")`, "loan", "late"},
		{`service("fines") { fault AND responsetime > 2 }`, "late", "loan"},
		{`service("desk") { root = true and fault = true }`, "late", "lost"},
		{`service(id(type: "AWS::DynamoDB::Table"))`, "loan", "search"},
		{`service(id(name: "fines", type: "AWS::Lambda::Function")) { fault }`, "late", "loan"},
		{`service(id(account.id: "444455556666"))`, "late", "loan"},
		{`edge("desk", "fines")`, "late", "loan"},
		{`edge("catalogue", id(name: "books", type: "AWS::DynamoDB::Table")) { responsetime > 0.05 }`, "loan", "late"},
		{`!edge("desk","fines")`, "loan", "late"},
		{`availabilityzone = "eu-north-1b"`, "loan", "late"},
		{`instance.id = "i-0aa11"`, "loan", "late"},
		{`resource.arn CONTAINS ":task/"`, "loan", "late"},
		{`group.name = "slow" AND user = "Clerk"`, "late", "loan"},
		{`rootcause.fault.service { name = "fines" }`, "late", "search"},
		{`rootcause.fault.entity { last and name = "compute" }`, "late", "loan"},
		{`rootcause.responsetime.entity { remote and coverage > 0.7 and name = "catalogue" }`, "loan", "late"},
		{`rootcause.fault.exception { last and message = "Ledger is closed" }`, "late", "loan"},
		{`rootcause.responsetime.service { last and type = "AWS::DynamoDB::Table" }`, "loan", "late"},
		{`rootcause.fault.service { index > 0 }`, "late", "loan"},
		{`rootcause.json = #[{"Services":[{"Name":"desk","EntityPath":[{"Name":"desk"},{"Name":"Lambda"}]},{"Name":"fines"}]}]`, "late", "loan"},
		{`(fault OR throttle) AND http.url CONTAINS "/fines"`, "late", "open"},
		{`NOT service("fines")`, "loan", "late"},
		{`fault service("fines")`, "late", "loan"},
		{`(service(id(name: "desk", type: "AWS::EC2::Instance")))`, "late", "loan"},
		{`(service(id(name: "postgres" , type: "Database::SQL" ))) AND ((service(id(name: "desk"  ))) AND (Annotation[aws.local.environment] = "eks:test"))`, "mistake", "loan"},
		{`service(id(name: "https://queue.example/1/jobs" , type: "AWS::SQS::Queue" ))`, "mistake", "loan"},
		{`service(id(name: "covers.example" , type: "remote" )) OR service(id(name: "hall"))`, "search", "loan"},
		{`resource.arn ENDSWITH ":function:fines"`, "late", "loan"},
		{`annotation.aws_local_service = "desk"`, "loan", "mistake"},
		{`Annotation[aws.local.operation] = "POST /one" AND Annotation[aws.local.operation] = "POST /two"`, "mistake", "loan"},
		{`service(id(name: "gate/prod", type: "AWS::ApiGateway::Stage")) AND (http.status != 200)`, "mistake", "late"},
		{`annotation.ok = true AND annotation.count = 5`, "mistake", "loan"},
		{`service(id(name: "door", type: "client::RUM"))`, "mistake", "loan"},
		{`!(duration = "slow")`, "loan", ""},
		{`duration = "slow"`, "", "loan"},
		{`annotation.rank >= 20`, "open", "loan"},
		{`http.url CONTAINS "/fines/" AND http.method = "GET" AND http.status >= 400`, "late", "open"},
		{`annotation.shelf = "B12" OR annotation.overdue AND http.status = 404`, "loan", "late"},
		{`(annotation.shelf = "B12" OR annotation.overdue) AND http.status = 500`, "late", "loan"},
		{`service("desk") { root AND ok }`, "open", "late"},
		{`service() { throttle }`, "loan", "late"},
		{`service() { throttle }`, "busy", "search"},
		{`!annotation.absent`, "lost", ""},
	} {
		e, err := parse(t, test.text).Expand(groups)
		if err != nil {
			t.Fatal(err)
		}
		if test.yes != "" {
			requireTruth(t, e, rows[test.yes], True)
		}
		if test.no != "" {
			requireTruth(t, e, rows[test.no], False)
		}
	}
}
