package filterexpr

import (
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	errorFlag    = trace.FlagError
	fault        = trace.FlagFault
	throttle     = trace.FlagError | trace.FlagThrottle
	inProgress   = trace.FlagInProgress
	rootFlag     = trace.FlagRoot
	inferredFlag = trace.FlagInferred
)

// library are the traces of a lending library, made so that each condition finds
// some of them and not others.
//
//	loan    desk -> catalogue (traced, 2.5 s), desk -> books (table, throttled); all fine for the reader
//	late    desk faulted because fines (a function) did; exceptions
//	search  desk fine, although covers.example, a remote host, had an error; a segment names a missing parent
//	open    desk has not answered yet
//	lost    a segment whose parent never came: there is no root
func library() map[string]*trace.Row {
	rows := map[string]*trace.Row{}

	var loan rowOf
	desk := loan.node("desk", "AWS::ECS::Container", "")
	catalogue := loan.node("catalogue", "", "")
	books := loan.node("books", "AWS::DynamoDB::Table", "")
	loan.seg(desk, rootFlag, text("shelf", "B12"), number("copies", 3), boolean("member", true), text("aws.local.service", "desk"), text("step", "ask"))
	e := loan.seg(catalogue, 0, text("step", "find"), text("genre", "crime"), number("copies", 9))
	e.Duration, e.Status = 2.5, 200
	c := loan.call(desk, catalogue, 0)
	c.Duration = 2.75
	c = loan.call(catalogue, books, throttle|inferredFlag)
	c.Status, c.Duration = 400, 0.25
	loan.Duration, loan.HasDuration = 4, true
	loan.ResponseTime, loan.HasResponseTime = 3, true
	loan.Method, loan.URL, loan.Status = "POST", "https://library.example/loans/new", 201
	loan.UserAgent, loan.ClientIP = "curl/8.5.0", "192.0.2.44"
	loan.Users = []string{"reader-9"}
	loan.Zones, loan.InstanceIDs = []string{"eu-north-1b"}, []string{"i-0aa11"}
	loan.ResourceARNs = []string{"arn:aws:ecs:eu-north-1:111122223333:task/desk"}
	loan.ResponseTimeCauses = []trace.RootCause{{ClientImpacting: true, Services: []trace.RootCauseService{
		{Service: loan.Services[desk], Entities: []trace.RootCauseEntity{{Name: "desk", Coverage: 1}, {Name: "catalogue", Coverage: 0.9, Remote: true}}},
		{Service: loan.Services[books], Inferred: true, Entities: []trace.RootCauseEntity{{Name: "DynamoDB", Coverage: 0.8}}},
	}}}
	rows["loan"] = loan.done()

	var late rowOf
	desk = late.node("desk", "AWS::EC2::Instance", "")
	fines := late.node("fines", "AWS::Lambda", "")
	function := late.node("fines", "AWS::Lambda::Function", "444455556666")
	late.seg(desk, rootFlag|fault, boolean("member", false), text("step", "ask"))
	late.seg(fines, 0)
	e = late.seg(function, fault, boolean("overdue", true), number("amount", 12.5))
	e.Duration, e.Status, e.End = 6, 502, 103e9
	late.call(desk, fines, fault)
	late.call(fines, function, fault)
	late.Duration, late.HasDuration = 6.5, true
	late.ResponseTime, late.HasResponseTime = 6.25, true
	late.Method, late.URL, late.Status = "GET", "https://library.example/fines/v2", 500
	late.UserAgent, late.ClientIP = "Mozilla/5.0", "198.51.100.7"
	late.Users = []string{"reader-1", "Clerk"}
	late.ResourceARNs = []string{"arn:aws:lambda:eu-north-1:444455556666:function:fines"}
	late.FaultCauses = []trace.RootCause{{ClientImpacting: true, Services: []trace.RootCauseService{
		{Service: late.Services[desk], Entities: []trace.RootCauseEntity{{Name: "desk"}, {Name: "Lambda", Remote: true}}},
		{Service: late.Services[function], Entities: []trace.RootCauseEntity{{Name: "fines"}, {Name: "compute", Exceptions: []trace.RootCauseException{
			{Name: "ValueError", Message: "negative days"}, {Name: "LedgerError", Message: "Ledger is closed"}}}}},
	}}}
	rows["late"] = late.done()

	var search rowOf
	desk = search.node("desk", "", "")
	stray := search.node("stray", "", "")
	covers := search.node("covers.example", "remote", "")
	search.seg(desk, rootFlag, text("shelf", "C3"))
	search.seg(stray, 0)
	c = search.call(desk, covers, errorFlag|inferredFlag)
	c.Status = 404
	search.Partial = true
	search.Duration, search.HasDuration = 1, true
	search.ResponseTime, search.HasResponseTime = 1, true
	search.Method, search.URL, search.Status = "GET", "https://library.example/search", 200
	search.ErrorCauses = []trace.RootCause{{Services: []trace.RootCauseService{
		{Service: search.Services[covers], Inferred: true, Entities: []trace.RootCauseEntity{{Name: "covers.example"}}},
	}}}
	rows["search"] = search.done()

	var open rowOf
	open.seg(open.node("desk", "", ""), rootFlag|inProgress, number("rank", 40))
	open.Method, open.URL = "GET", "https://library.example/fines/9"
	rows["open"] = open.done()

	var lost rowOf
	lost.seg(lost.node("archive", "", ""), fault)
	lost.Partial = true
	lost.Duration, lost.HasDuration = 1, true
	rows["lost"] = lost.done()
	return rows
}

func TestMatch(t *testing.T) {
	rows := library()
	group := func(ref GroupRef) (*Expr, error) {
		switch ref {
		case GroupRef{Name: "faulted"}, GroupRef{ARN: "arn:faulted"}:
			return Parse(`fault`)
		}
		return nil, nil
	}
	for _, test := range []struct {
		text string
		want string // names of the rows that match
	}{
		// flags of the root
		{`ok`, "loan search open lost"},
		{`!ok`, "late"},
		{`ok = false`, "late"},
		{`ok != false`, "loan search open lost"},
		{`fault`, "late"},
		{`fault = true`, "late"},
		{`fault = "True"`, "late"},
		{`fault = false`, "loan search open lost"},
		{`fault != true`, "loan search open lost"},
		{`fault = 1`, ""},
		{`fault != 1`, ""},
		{`fault = "yes"`, ""},
		{`error`, ""},
		{`throttle`, ""},
		{`partial`, "search lost"},
		{`!partial`, "loan late open"},
		{`inferred`, "loan search"},
		{`inferred = false`, "late open lost"},
		{`root`, "loan late search open"},
		{`!root`, "lost"},
		// numbers
		{`responsetime > 5`, "late"},
		{`responsetime > 5000ms`, "late"},
		{`duration >= 1 AND duration <= 4.5`, "loan search lost"},
		{`duration = 4 and responsetime = 3`, "loan"},
		{`duration`, "loan late search lost"},
		{`!duration`, "open"},
		{`duration != 4`, "late search lost"},
		{`duration = "slow"`, ""},
		{`duration != "slow"`, ""},
		{`duration = true`, ""},
		{`http.status = 500`, "late"},
		{`http.status != 200`, "loan late"},
		{`http.status >= 200 AND http.status < 300`, "loan search"},
		{`http.status > 404`, "late"},
		{`http.status <= 201`, "loan search"},
		{`!http.status`, "open lost"},
		// texts of the root
		{`http.url CONTAINS "/fines/"`, "late open"},
		{`http.url BEGINSWITH "https://library.example/" AND http.url ENDSWITH "/v2"`, "late"},
		{`http.url`, "loan late search open"},
		{`http.url CONTAINS ""`, "loan late search open"},
		{`http.url AND responseTime > 2`, "loan late"},
		{`http.url != "https://library.example/search"`, "loan late open"},
		{`http.url = 3`, ""},
		{`http.url != 3`, ""},
		{`http.method = "POST"`, "loan"},
		{`http.method = "post"`, ""},
		{`http.method = GET`, "late search open"},
		{`http.useragent CONTAINS "curl"`, "loan"},
		{`http.clientip = "198.51.100.7"`, "late"},
		{`name = "desk"`, "loan late search open"},
		{`type = "AWS::EC2::Instance"`, "late"},
		// texts of any segment
		{`user = "reader-9"`, "loan"},
		{`user CONTAINS ""`, "loan late"},
		{`user`, "loan late"},
		{`!user`, "search open lost"},
		{`user != "Clerk"`, "loan"},
		{`user != "reader-9"`, "late"},
		{`user = 9`, ""},
		{`availabilityzone = "eu-north-1b"`, "loan"},
		{`instance.id = "i-0aa11"`, "loan"},
		{`resource.arn CONTAINS ":task/"`, "loan"},
		{`resource.arn ENDSWITH ":function:fines"`, "late"},
		{`account.id = "444455556666"`, "late"},
		{`!account.id`, "loan search open lost"},
		// annotations
		{`annotation.shelf = "B12"`, "loan"},
		{`annotation.Shelf = "B12"`, ""},
		{`annotation.shelf`, "loan search"},
		{`!annotation.shelf`, "late open lost"},
		{`annotation.shelf != "B12"`, "search"},
		{`annotation.shelf BEGINSWITH "B"`, "loan"},
		{`annotation.shelf ENDSWITH "3"`, "search"},
		{`annotation.shelf CONTAINS ""`, "loan search"},
		{`annotation.shelf > "A"`, ""},
		{`annotation.copies > 8`, "loan"},
		{`annotation.copies = 3 annotation.copies = 9`, "loan"},
		{`annotation.copies != 3`, ""},
		{`annotation.copies != 4`, "loan"},
		{`annotation.copies = "3"`, ""},
		{`annotation.copies != "3"`, ""},
		{`annotation.copies CONTAINS "3"`, ""},
		{`annotation.copies`, "loan"},
		{`annotation.rank >= 20`, "open"},
		{`annotation.member`, "loan"},
		{`!annotation.member`, "late search open lost"},
		{`annotation.member = false`, "late"},
		{`annotation.member != false`, "loan"},
		{`annotation.overdue = true AND annotation.amount = 12.5`, "late"},
		{`annotation.member = "true"`, ""},
		{`annotation[aws.local.service] = "desk"`, "loan"},
		{`annotation.aws.local.service = "desk"`, "loan"},
		{`annotation.aws_local_service = "desk"`, "loan"},
		{`annotation.aws_local.service = "desk"`, ""},
		{`annotation[aws/local/service] = "desk"`, ""},
		{`Annotation[step] = "ask" AND Annotation[step] = "find"`, "loan"},
		{`annotation.absent`, ""},
		{`!annotation.absent`, "loan late search open lost"},
		// services
		{`service("desk")`, "loan late search open"},
		{`!service("fines")`, "loan search open lost"},
		{`NOT service("fines")`, "loan search open lost"},
		{`fault service("fines")`, "late"},
		{`service()`, "loan late search open lost"},
		{`service() { error }`, "search"},
		{`service("covers.example") { error }`, "search"},
		{`service() { throttle }`, "loan"},
		{`service() { inferred and !ok }`, "loan search"},
		{`service("fines") { fault AND responsetime > 2 }`, "late"},
		{`service("desk") { fault AND responsetime > 2 }`, ""},
		{`service("desk") { root = true and fault = true }`, "late"},
		{`service("desk") { root AND ok }`, "loan search open"},
		{`service("desk") { duration }`, "loan late search"},
		{`!service("desk") { ok }`, "late lost"},
		{`service(id(type: "AWS::DynamoDB::Table"))`, "loan"},
		{`service(id(name: "fines", type: "AWS::Lambda::Function")) { fault }`, "late"},
		{`service(id(name: "fines", type: "AWS::Lambda")) { fault }`, ""},
		{`service(id(account.id: 444455556666))`, "late"},
		{`service(id(type: "client"))`, "loan late search open"},
		{`service(id(type: "client")) { ok }`, ""},
		{`service(id(name: "books", type: "remote")) OR service(id(name: "books"))`, "loan"},
		{`service(id(name: "covers.example", type: ""))`, ""},
		{`service("*")`, ""},
		{`service() { http.status = 502 }`, "late"},
		{`service() { http.status = 404 }`, "search"},
		{`service() { name = "books" and type ENDSWITH ":Table" }`, "loan"},
		{`service() { account.id }`, "late"},
		{`service("catalogue") { annotation.genre = "crime" }`, "loan"},
		{`service("desk") { annotation.genre = "crime" }`, ""},
		{`service("desk") { annotation.copies = 3 and !annotation.genre }`, "loan"},
		{`service("stray") { partial }`, "search"},
		{`service("stray") { user = "nobody" }`, ""},
		// edges
		// the client has the name of the root's service
		{`edge("desk", "desk")`, "loan late search open"},
		{`edge(id(name: "desk", type: ""), "desk")`, ""},
		{`edge(id(name: "desk", type: ""), "covers.example")`, "search"},
		{`service(id(name: "desk", type: ""))`, "search open"},
		{`edge("desk", "fines")`, "late"},
		{`!edge("desk", "fines")`, "loan search open lost"},
		{`edge("fines", "desk")`, ""},
		{`edge("desk", "covers.example") { error }`, "search"},
		{`edge("catalogue", id(name: "books", type: "AWS::DynamoDB::Table")) { responsetime > 0.1 }`, "loan"},
		{`edge("catalogue", "books") { responsetime > 0.3 }`, ""},
		{`edge("desk", "catalogue") { duration = 2.75 }`, "loan"},
		{`edge(id(type: "client"), "desk")`, "loan late search open"},
		{`edge(id(name: "desk", type: "client"), id(name: "desk")) { fault }`, "late"},
		{`edge(, "books")`, "loan"},
		{`edge("fines", )`, "late"},
		{`edge(,) { root and fault }`, "late"},
		{`edge(,) { inferred and name = "books" }`, "loan"},
		{`edge(,) { !inferred and type = "AWS::Lambda" }`, "late"},
		// root causes
		{`rootcause.fault.service`, "late"},
		{`rootcause.error.service`, "search"},
		{`rootcause.responsetime.service`, "loan"},
		{`rootcause.fault.service { name = "fines" }`, "late"},
		{`rootcause.fault.service { name = "fines" and first }`, ""},
		{`rootcause.fault.service { index > 0 and type = "AWS::Lambda::Function" }`, "late"},
		{`rootcause.fault.service { index > 1 }`, ""},
		{`rootcause.fault.service { account.id = "444455556666" }`, "late"},
		{`rootcause.responsetime.service { last and inferred and type = "AWS::DynamoDB::Table" }`, "loan"},
		{`rootcause.error.service { remote }`, "search"},
		{`rootcause.fault.entity { last and name = "compute" }`, "late"},
		{`rootcause.fault.entity { remote and name = "Lambda" and index = 1 }`, "late"},
		{`rootcause.fault.entity { index = 4 }`, ""},
		{`rootcause.responsetime.entity { remote and coverage > 0.7 and name = catalogue }`, "loan"},
		{`rootcause.responsetime.entity { coverage = 0.8 and last and inferred }`, "loan"},
		{`rootcause.responsetime.entity { coverage > 1 }`, ""},
		{`rootcause.fault.exception { last and message = "Ledger is closed" }`, "late"},
		{`rootcause.fault.exception { message CONTAINS "negative" and first }`, "late"},
		{`rootcause.fault.exception { name = "ValueError" and message = "Ledger is closed" }`, ""},
		{`rootcause.error.exception { index >= 0 }`, ""},
		{`rootcause.json = #[{"Services":[{"Name":"desk"},{"Name":"fines"}]}]`, "late"},
		{`rootcause.json = #[{"Services":[{"Name":"desk"}]}]`, ""},
		{`rootcause.json = #[{"Services":[{"Names":["desk"],"EntityPath":[{"Name":"desk","Remote":false},{"Remote":true,"Coverage":0.9}]},{"Inferred":true,"Type":"AWS::DynamoDB::Table","AccountId":null}]}]`, "loan"},
		{`rootcause.json = #[{"Services":[{},{"EntityPath":[{},{"Exceptions":[{"Name":"ValueError"},{"Message":"Ledger is closed"}]}]}]}]`, "late"},
		{`rootcause.json = #[{"ClientImpacting":false}]`, "search"},
		{`rootcause.json = #[{}]`, "loan late search"},
		{`rootcause.json = #[]`, "open lost"},
		{`rootcause.json = #[5]`, ""},
		{`rootcause.json != #[{"ClientImpacting":true}]`, "search"},
		// groups
		{`group.name = "faulted"`, "late"},
		{`group.name != "faulted"`, "loan search open lost"},
		{`group.arn = "arn:faulted" AND user = "Clerk"`, "late"},
		{`group.name = "Default"`, "loan late search open lost"},
		{`group.name != "Default"`, ""},
		{`!group.name = "faulted" fault`, ""},
		{`group.name = 5`, ""},
		// together
		{`ok !partial duration <9`, "loan"},
		{`annotation.shelf = "B12" OR annotation.overdue AND http.status = 404`, "loan"},
		{`(annotation.shelf = "B12" OR annotation.overdue) AND http.status = 500`, "late"},
		{`(fault OR throttle) AND http.url CONTAINS "/fines"`, "late"},
		{`(service(id(name: "desk"  ))) AND (Annotation[aws.local.service] = "desk")`, "loan"},
		{`(service(id(name: "desk", type: "AWS::ECS::Container")) AND (http.status != 200))`, "loan"},
	} {
		e, err := parse(t, test.text).Expand(group)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, name := range []string{"loan", "late", "search", "open", "lost"} {
			switch e.Match(rows[name]) {
			case True:
				got += " " + name
			case Unknown:
				t.Errorf("%s: of %s unknown", test.text, name)
			}
		}
		if got != "" {
			got = got[1:]
		}
		if got != test.want {
			t.Errorf("%s: matches %q, want %q", test.text, got, test.want)
		}
	}
}

// TestSentAsInferred holds that a trace that was read from X-Ray and written here
// still has inferred services, though each of them has a segment now.
func TestSentAsInferred(t *testing.T) {
	var r rowOf
	desk, covers := r.node("desk", "", ""), r.node("covers.example", "remote", "")
	r.seg(desk, rootFlag)
	r.seg(covers, inferredFlag)
	r.call(desk, covers, 0)
	r.call(desk, desk, 0)
	row := r.done()
	for text, want := range map[string]Truth{
		`inferred`:                                            True,
		`inferred = false`:                                    False,
		`service("covers.example") { inferred }`:              True,
		`service("covers.example") { !inferred }`:             False,
		`service("desk") { inferred }`:                        False,
		`edge("desk", "covers.example") { inferred }`:         True,
		`edge("desk", "desk") { inferred }`:                   False,
		`edge("desk", "covers.example") { inferred = false }`: False,
	} {
		e := parse(t, text)
		if got := e.Match(row); got != want {
			t.Errorf("%s is %v", text, got)
		}
		if x := e.Explain(row); x.Truth != want.String() {
			t.Errorf("%s is explained as %s: %s", text, x.Truth, x.Found)
		}
	}
}

// TestUnknown holds that a row never denies what it may only have left out.
func TestUnknown(t *testing.T) {
	var r rowOf
	desk := r.node("desk", "", "")
	r.seg(desk, rootFlag, text("shelf", "B12"))
	r.Users = []string{"reader"}
	r.Method = "GET"
	row := r.done()
	for _, test := range []struct {
		text       string
		whole, cut Truth
	}{
		{`service("desk")`, True, True},
		{`service("books")`, False, Unknown},
		{`!service("books")`, True, Unknown},
		{`service("desk") { fault }`, False, Unknown},
		{`edge("desk", "books")`, False, Unknown},
		{`user = "reader"`, True, True},
		{`user = "clerk"`, False, Unknown},
		{`user != "clerk"`, True, Unknown},
		{`user != "reader"`, False, False},
		{`user = 5`, False, False},
		{`annotation.shelf`, True, True},
		{`annotation.genre`, False, Unknown},
		{`annotation.shelf != "C3"`, True, Unknown},
		{`annotation.shelf != "B12"`, False, False},
		{`inferred`, False, Unknown},
		{`rootcause.fault.service`, False, Unknown},
		{`rootcause.json = #[{}]`, False, Unknown},
		{`fault`, False, False},
		{`http.method = "GET"`, True, True},
		{`fault AND service("books")`, False, False},
		{`service("books") AND fault`, False, False},
		{`ok OR service("books")`, True, True},
		{`service("books") OR ok`, True, True},
		{`ok AND service("books")`, False, Unknown},
		{`fault OR service("books")`, False, Unknown},
		// What rows do not hold of single segments.
		{`service("desk") { http.method = "GET" }`, Unknown, Unknown},
		{`edge(,) { http.url }`, Unknown, Unknown},
		{`service("desk") { fault and http.url }`, False, Unknown},
		{`service("desk") { http.url = 5 }`, False, Unknown},
		{`service("desk") { user = "reader" }`, Unknown, Unknown},
		{`service("desk") { user = "clerk" }`, False, Unknown},
		{`service("desk") { availabilityzone }`, False, Unknown},
		{`edge(,) { annotation.shelf = "B12" }`, Unknown, Unknown},
		{`edge(,) { annotation.shelf != "B12" }`, Unknown, Unknown},
		{`edge(,) { annotation.shelf = "C3" }`, False, Unknown},
		{`edge(,) { annotation.genre }`, False, Unknown},
		{`group.name = "g"`, Unknown, Unknown},
	} {
		e := parse(t, test.text)
		row.Cut = false
		requireTruth(t, e, row, test.whole)
		row.Cut = true
		if got := e.Match(row); got != test.cut {
			t.Errorf("%s of a cut row: got %v, want %v", test.text, got, test.cut)
		}
	}
}

// TestDocuments holds that what rows do not hold is read from the segments where
// they are at hand.
func TestDocuments(t *testing.T) {
	document := func(text string) *segment.Segment {
		s, err := segment.Parse([]byte(text), segment.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	root := document(`{"trace_id":"1-58406520-a006649127e371903a2de979","id":"00000000000000aa","name":"desk","start_time":1,"end_time":2,
		"user":"reader","resource_arn":"arn:one","http":{"request":{"method":"PUT","url":"http://a/b","user_agent":"ua","client_ip":"::1"}},
		"aws":{"ec2":{"instance_id":"i-7","availability_zone":"z1"},"ecs":{"availability_zone":"z2"},"resource_arn":"arn:two"},
		"subsegments":[{"id":"00000000000000ab","name":"covers","start_time":1,"end_time":2,"namespace":"remote","user":"x","http":{"request":{"url":"http://covers/"}},
			"annotations":{"leg":1,"beyond":true},"subsegments":[{"id":"00000000000000ac","name":"dns","start_time":1,"end_time":2,"annotations":{"leg":2}}]}],
		"annotations":{"step":"ask"}}`)
	var r rowOf
	desk, covers := r.node("desk", "", ""), r.node("covers", "remote", "")
	r.seg(desk, rootFlag, text("step", "ask"), number("leg", 1), number("leg", 2)).Segment = root
	r.Calls[0].Segment = root
	r.call(desk, covers, inferredFlag).Segment = root.Subsegments[0]
	r.Users, r.Zones, r.InstanceIDs, r.ResourceARNs = []string{"reader"}, []string{"z1", "z2"}, []string{"i-7"}, []string{"arn:one", "arn:two"}
	row := r.done()
	for text, want := range map[string]Truth{
		`service("desk") { http.method = "PUT" and http.url ENDSWITH "/b" and http.useragent = "ua" and http.clientip = "::1" }`: True,
		`service("desk") { http.method = "GET" }`:                                                      False,
		`service("desk") { user = "reader" and instance.id = "i-7" }`:                                  True,
		`service("desk") { availabilityzone = "z2" and resource.arn = "arn:two" }`:                     True,
		`service("desk") { availabilityzone != "z3" and resource.arn != "arn:one" }`:                   False,
		`service("desk") { availabilityzone != "z3" }`:                                                 True,
		`service("covers") { http.url = "http://covers/" }`:                                            True,
		`service("covers") { user }`:                                                                   False,
		`edge("desk", "covers") { http.url CONTAINS "covers" }`:                                        True,
		`edge("desk", "covers") { http.method }`:                                                       False,
		`edge(id(type: "client"), "desk") { user = "reader" and http.method = "PUT" }`:                 True,
		`edge("desk", "covers") { annotation.leg = 1 and annotation.leg != 2 }`:                        True,
		`edge("desk", "covers") { annotation.leg = 2 }`:                                                False, // that is within the call
		`edge("desk", "covers") { annotation.step }`:                                                   False,
		`edge("desk", "covers") { annotation.beyond }`:                                                 False, // no annotation of the row
		`edge(id(type: "client"), "desk") { annotation.step = "ask" and !annotation.leg }`:             True,
		`service("covers") { annotation.leg }`:                                                         False, // it says nothing itself
		`service() { http.url CONTAINS "covers" and user }`:                                            False,
		`service() { http.url CONTAINS "covers" } and service() { user = "reader" } and !service("x")`: True,
	} {
		requireTruth(t, parse(t, text), row, want)
	}
}
