package filterexpr

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// sameNode compares what two nodes ask for, wherever they stood in their texts.
func sameNode(a, b *node) bool {
	if a.kind != b.kind || a.place != b.place || a.op != b.op || a.kw != b.kw || a.value != b.value || a.key != b.key ||
		a.group != b.group || len(a.kids) != len(b.kids) || !reflect.DeepEqual(a.from, b.from) || !reflect.DeepEqual(a.to, b.to) ||
		!reflect.DeepEqual(a.cause, b.cause) || !reflect.DeepEqual(a.causes, b.causes) {
		return false
	}
	for i := range a.kids {
		if !sameNode(a.kids[i], b.kids[i]) {
			return false
		}
	}
	return true
}

func requireRoundTrip(t *testing.T, e *Expr) {
	t.Helper()
	again, err := Parse(e.String())
	if err != nil {
		// The fixed form may be longer and deeper than the text was.
		if len(e.String()) > MaxLength {
			return
		}
		t.Fatalf("%s: its form %s: %v", e.Text(), e, err)
	}
	if !sameNode(e.root, again.root) || e.size != again.size {
		t.Fatalf("%s: its form %s is another expression: %s", e.Text(), e, again)
	}
	if again.String() != e.String() {
		t.Fatalf("%s: %s became %s", e.Text(), e, again)
	}
}

// TestForms parses an example of each production, and compares the fixed form.
func TestForms(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{`ok`, `ok`},
		{` OK `, `ok`},
		{"\tFault\r\n", `fault`},
		{`! ok`, `!ok`},
		{`not ok`, `!ok`},
		{`NOT NOT ok`, `!!ok`},
		{`ok AND !partial and duration < 3`, `ok AND !partial AND duration < 3`},
		{`ok !partial duration <3`, `ok AND !partial AND duration < 3`},
		{`ok(fault)`, `ok AND fault`},
		{`fault && error || throttle`, `fault AND error OR throttle`},
		{`fault or error throttle`, `fault OR error AND throttle`},
		{`(fault or error) throttle`, `(fault OR error) AND throttle`},
		{`(((fault)))`, `fault`},
		{`!(fault or error)`, `!(fault OR error)`},
		{`(ok and fault) and error`, `(ok AND fault) AND error`},
		{`ok = true`, `ok = true`},
		{`ok==FALSE`, `ok = false`},
		{`ok != true`, `ok != true`},
		{`fault = "true"`, `fault = "true"`},
		{`ok = 1`, `ok = 1`},
		{`responseTime >= 1.50`, `responsetime >= 1.5`},
		{`duration > 200ms`, `duration > 0.2`},
		{`duration < 2S`, `duration < 2`},
		{`duration < 1.5m`, `duration < 90`},
		{`duration <= 1h`, `duration <= 3600`},
		{`duration = "slow"`, `duration = "slow"`},
		{`http.status != -2e2`, `http.status != -200`},
		{`annotation.n = .5 annotation.n = +7`, `annotation.n = 0.5 AND annotation.n = 7`},
		{`HTTP.URL contains "a\"b\\c\u00e9\n"`, `http.url CONTAINS "a\"b\\cé\u000a"`},
		{`user = 'it\'s "me"'`, `user = "it's \"me\""`},
		{`user = "\ud83d\ude00 \ud83d \udc00\ud83d\ude00"`, `user = "😀 � �😀"`},
		{`name = traces`, `name = "traces"`},
		{`user = alice and fault`, `user = "alice" AND fault`},
		{`user = true`, `user = true`},
		{`http.url = 3`, `http.url = 3`},
		{`annotation.Key`, `annotation.Key`},
		{`ANNOTATION.a_1 = "x"`, `annotation.a_1 = "x"`},
		{`annotation.a.b = 1`, `annotation[a.b] = 1`},
		{`Annotation[aws.local.operation]="GET /a"`, `annotation[aws.local.operation] = "GET /a"`},
		{`annotation [ two words ] BEGINSWITH "x"`, `annotation["two words"] BEGINSWITH "x"`},
		{`annotation["a]b"] != false`, `annotation["a]b"] != false`},
		{`annotation.x > "5"`, `annotation.x > "5"`},
		{`service()`, `service()`},
		{`service ( "x" ){fault}`, `service("x") { fault }`},
		{`SERVICE(id(name: "x" , type:"AWS::EC2::Instance", account.id : 12))`, `service(id(name: "x", type: "AWS::EC2::Instance", account.id: "12"))`},
		{`service("x") { (annotation[k] = 1 or root) !inferred }`, `service("x") { (annotation.k = 1 OR root) AND !inferred }`},
		{`edge("a","b")`, `edge("a", "b")`},
		{`edge("a", )`, `edge("a", )`},
		{`edge(,id(type: "remote")) { responsetime > 1 }`, `edge(, id(type: "remote")) { responsetime > 1 }`},
		{`group.name = "slow" AND group.arn != "arn:x"`, `group.name = "slow" AND group.arn != "arn:x"`},
		{`rootcause.fault.service`, `rootcause.fault.service`},
		{`RootCause.ResponseTime.Entity { remote and coverage > 0.7 }`, `rootcause.responsetime.entity { remote AND coverage > 0.7 }`},
		{`rootcause.error.exception { last message = "no" }`, `rootcause.error.exception { last AND message = "no" }`},
		{`rootcause.json = #[ {"Services": [ {"Name": "a"} ]} ] ok`, `rootcause.json = #[{"Services":[{"Name":"a"}]}] AND ok`},
		{`rootcause.json != #[]`, `rootcause.json != #[]`},
		{`account.id = 123`, `account.id = 123`},
	} {
		e := parse(t, test.text)
		if got := e.String(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.text, got, test.want)
		}
		requireRoundTrip(t, e)
	}
}

func TestErrors(t *testing.T) {
	const head = "Error Location: line 1, position "
	for _, test := range []struct {
		text, message string
		expected      string // part of what was expected
		suggestion    string
	}{
		{``, head + `1 : Invalid input symbol: '<EOF>'`, "a condition", ""},
		{"  ", head + `3 : Invalid input symbol: '<EOF>'`, "a condition", ""},
		{`((fault)`, head + `9 : missing ')' at end of expression`, "')'", ""},
		{`(fault AND`, head + `11 : missing ')' at end of expression`, "a condition", ""},
		{`service("x"`, head + `12 : missing ')' at end of expression`, "')'", ""},
		{`service("x") { fault`, head + `21 : missing '}' at end of expression`, "'}'", ""},
		{`fault AND`, head + `10 : Invalid input symbol: '<EOF>'`, "a condition", ""},
		{`fault AND (madeup = 7)`, head + `12 : Invalid input symbol: 'ma'`, "a condition", ""},
		{`Madeup`, head + `1 : Invalid input symbol: 'Ma'`, "", ""},
		{`mess = 7`, head + `1 : Invalid input symbol: 'mess '`, "", ""},
		{`fault AND mess`, head + `11 : Invalid input symbol: 'mess'`, "", ""},
		{`zebra`, head + `1 : Invalid input symbol: 'z'`, "", ""},
		{`faults`, head + `1 : Invalid input symbol: 'faults'`, "", "fault"},
		{`responcetime > 3`, head + `1 : Invalid input symbol: 'responc'`, "", "responsetime"},
		{`status = 200`, head + `1 : Invalid input symbol: 'st'`, "", "http.status"},
		{`http.url LIKE "x"`, head + `10 : Invalid input symbol: 'LI'`, "CONTAINS", "CONTAINS"},
		{`annotation.k EXISTS`, head + `14 : Invalid input symbol: 'EX'`, "an operator", ""},
		{`fault )`, head + `7 : Invalid input symbol: ')'`, "the end", ""},
		{`()`, head + `2 : Invalid input symbol: ')'`, "a condition", ""},
		{`service("x") {}`, head + `15 : Invalid input symbol: '}'`, "a keyword for the braces of service()", ""},
		{`service`, head + `8 : Invalid input symbol: '<EOF>'`, "'(' after service", ""},
		{`service() = 'x'`, head + `11 : Invalid input symbol: '='`, "'{'", ""},
		{`service(x)`, head + `9 : Invalid input symbol: 'x'`, "a name in quotes", ""},
		{`service(id())`, head + `12 : Invalid input symbol: ')'`, "name, type or account.id", ""},
		{`service(id(nam: "x"))`, head + `12 : Invalid input symbol: 'nam:'`, "", "name"},
		{`service(id(name: "a", name: "b"))`, head + `23 : Invalid input symbol: 'name'`, "once", ""},
		{`edge("only")`, head + `12 : Invalid input symbol: ')'`, "','", ""},
		{`service() { edge("a", "b") }`, head + `13 : Invalid input symbol: 'edge'`, "", ""},
		{`service() { group.name = "g" }`, head + `13 : Invalid input symbol: 'group.name'`, "", ""},
		{`id(name: "x")`, head + `1 : Invalid input symbol: 'id'`, "", ""},
		{`http.url > "x"`, head + `10 : Invalid input symbol: '>'`, "CONTAINS", ""},
		{`duration contains "1"`, head + `10 : Invalid input symbol: 'contains'`, "<=", ""},
		{`ok > true`, head + `4 : Invalid input symbol: '>'`, "= !=", ""},
		{`http.clientip = 1.2.3.4`, head + `17 : Invalid input symbol: '1.2.3.4'`, "in quotes", ""},
		{`http.status = 5s`, head + `15 : Invalid input symbol: '5s'`, "without a unit", ""},
		{`duration = 1e999`, head + `12 : Invalid input symbol: '1e999'`, "too large", ""},
		{`duration =`, head + `11 : Invalid input symbol: '<EOF>'`, "a number", ""},
		{`user = AND fault`, head + `8 : Invalid input symbol: 'AND'`, "a text in quotes", ""},
		{`user = "x`, head + `8 : Invalid input symbol: '"x'`, "closing quote", ""},
		{`user = "a\d"`, head + `10 : Invalid input symbol: '\d'`, "an escape", ""},
		{`"x" = user`, head + `1 : Invalid input symbol: '"x"'`, "", ""},
		{`fault & error`, head + `7 : Invalid input symbol: '&'`, "", ""},
		{`annotation`, head + `11 : Invalid input symbol: '<EOF>'`, "a key", ""},
		{`annotation. = 1`, head + `1 : Invalid input symbol: 'annotation.'`, "a key", ""},
		{`annotation[] = 1`, head + `11 : Invalid input symbol: '[]'`, "the key", ""},
		{`annotation[x = 1`, head + `17 : Invalid input symbol: '<EOF>'`, "']'", ""},
		{`annotation["x" = 1`, head + `16 : Invalid input symbol: '='`, "']'", ""},
		{`message = "x"`, head + `1 : Invalid input symbol: 'message'`, "", ""},
		{`rootcause.fault.entity { coverage > 0.5 }`, head + `26 : Invalid input symbol: 'coverage'`, "index", ""},
		{`rootcause.fault = 1`, head + `1 : Invalid input symbol: 'rootcause.fault '`, "", ""},
		{`rootcause.json = [1]`, head + `18 : Invalid input symbol: '['`, "JSON", ""},
		{`rootcause.json = #{}`, head + `18 : Invalid input symbol: '#'`, "JSON", ""},
		{`rootcause.json > #[]`, head + `16 : Invalid input symbol: '>'`, "= !=", ""},
		{`group.name`, head + `11 : Invalid input symbol: '<EOF>'`, "= !=", ""},
		{`group.name CONTAINS "x"`, head + `12 : Invalid input symbol: 'CONTAINS'`, "= !=", ""},
		{"fault\n and é¥", "Error Location: line 2, position 6 : Invalid input symbol: 'é'", "", ""},
		{"user = \"é\" ;", head + `12 : Invalid input symbol: ';'`, "AND", ""},
	} {
		_, err := Parse(test.text)
		if err == nil {
			t.Errorf("%s: accepted", test.text)
			continue
		}
		e := err.(*Error)
		if e.Message != test.message {
			t.Errorf("%s:\ngot  %s\nwant %s", test.text, e.Message, test.message)
		}
		if !strings.Contains(strings.Join(e.Expected, "; "), test.expected) {
			t.Errorf("%s: expected %q, want %q", test.text, e.Expected, test.expected)
		}
		if e.Suggestion != test.suggestion {
			t.Errorf("%s: suggests %q, want %q", test.text, e.Suggestion, test.suggestion)
		}
		if len(e.Expected) == 0 || e.Explain() == "" {
			t.Errorf("%s: nothing is expected", test.text)
		}
	}
}

// TestLikeliest holds that what ends or joins a whole condition is named before
// another condition, and a condition before all else where there is none.
func TestLikeliest(t *testing.T) {
	for text, want := range map[string]string{
		"((fault)": "')'", "(fault": "')'", `service("a") { fault`: "'}'", "fault extra": "an operator (= !=)", `user = "a" ;`: "AND",
		"":          "a condition (a keyword, annotation, service, edge, group or rootcause)",
		"fault AND": "a condition (a keyword, annotation, service, edge, group or rootcause)",
	} {
		_, err := Parse(text)
		if e, ok := err.(*Error); !ok || len(e.Expected) == 0 || e.Expected[0] != want {
			t.Errorf("%s: %+v, want %s first", text, err, want)
		}
	}
}

// TestHostile holds that no text costs more than its length is worth.
func TestHostile(t *testing.T) {
	many := func(s string, n int) string { return strings.Repeat(s, n) }
	for _, test := range []struct {
		name, text string
		valid      bool
	}{
		{"parentheses", many("(", MaxDepth) + "ok" + many(")", MaxDepth), true},
		{"too many parentheses", many("(", MaxDepth+1) + "ok" + many(")", MaxDepth+1), false},
		{"only parentheses", many("(", MaxLength), false},
		{"only NOT", many("!", MaxLength), false},
		{"NOT", many("NOT ", MaxDepth) + "ok", true},
		{"braces", many("service(){", MaxDepth+1), false},
		{"terms", many("ok ", MaxLength/3), true},
		{"alternatives", many("ok||", MaxLength/4-1) + "ok", true},
		{"arguments", "service(id(" + many(`name:"a",`, 5000) + "))", false},
		{"a long word", many("a", MaxLength), false},
		{"a long number", "duration>" + many("9", MaxLength-9), false},
		{"a long text", `user="` + many("a", MaxLength-7) + `"`, true},
		{"an open text", `user="` + many(`\"`, MaxLength/2-3), false},
		{"too long", many(" ", MaxLength) + "ok", false},
		{"annotations", many("annotation[a]", MaxLength/13), true},
		{"open keys", many("annotation[", MaxLength/11), false},
		{"deep JSON", "rootcause.json = #" + many("[", 20000) + many("]", 20000), false},
		{"arrays", "rootcause.json = #" + many("[", 5000) + many("]", 5000), true},
		{"JSON again and again", many("rootcause.json=#[] ", MaxLength/19), true},
		{"hashes", many("#[", MaxLength/2), false},
		{"lines", many("\n", MaxLength-1) + ")", false},
		{"garbage", many("\xff\x00", 100), false},
	} {
		start := time.Now()
		e, err := Parse(test.text)
		if (err == nil) != test.valid {
			t.Errorf("%s: error %v", test.name, err)
		}
		if err == nil {
			requireRoundTrip(t, e)
			e.Need()
		} else if m := err.Error(); len(m) > 1000 || !strings.HasPrefix(m, "Error Location: line ") {
			t.Errorf("%s: message %.100s", test.name, m)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%s: took %v", test.name, d)
		}
	}
}

func TestSelectors(t *testing.T) {
	const head = "Error Location: line 1, position "
	for _, test := range []struct{ text, want, message string }{
		{`service("x")`, `service("x")`, ""},
		{` service( id(name:"x",type:"remote") ) `, `service(id(name: "x", type: "remote"))`, ""},
		{`edge("a", id(account.id: "1"))`, `edge("a", id(account.id: "1"))`, ""},
		{`id(name: "x")`, "", head + `1 : Invalid input symbol: 'id'`},
		{`id(0)`, "", head + `1 : Invalid input symbol: 'id'`},
		{`service()`, "", head + `9 : Invalid input symbol: ')'`},
		{`edge()`, "", head + `6 : Invalid input symbol: ')'`},
		{`edge("a",)`, "", head + `10 : Invalid input symbol: ')'`},
		{`edge("a")`, "", head + `9 : Invalid input symbol: ')'`},
		{`service("x") { fault }`, "", head + `14 : Invalid input symbol: '{'`},
		{`service("x") AND service("y")`, "", head + `14 : Invalid input symbol: 'AND'`},
		{`fault`, "", head + `1 : Invalid input symbol: 'fault'`},
		{`service("x"`, "", head + `12 : missing ')' at end of expression`},
		{``, "", head + `1 : Invalid input symbol: '<EOF>'`},
		{`service("` + strings.Repeat("x", 500) + `")`, "", head + `501 : the expression has more than 500 characters`},
		{`service("` + strings.Repeat("ä", 489) + `")`, `service("` + strings.Repeat("ä", 489) + `")`, ""}, // 500 characters, 989 bytes
		{`service("` + strings.Repeat("ä", 490) + `")`, "", head + `501 : the expression has more than 500 characters`},
	} {
		s, err := ParseSelector(test.text)
		if err != nil {
			if err.Error() != test.message {
				t.Errorf("%s: got %v, want %s", test.text, err, test.message)
			}
			continue
		}
		if s.String() != test.want {
			t.Errorf("%s: got %s, want %s", test.text, s, test.want)
		}
	}

	s, err := ParseSelector(`edge(id(name: "pay", type: "remote"), "db")`)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Edge || !s.From.MatchNode("pay", "remote", "") || s.From.MatchNode("pay", "AWS::EC2::Instance", "") || s.From.MatchNode("pay", "", "") ||
		!s.To.MatchNode("db", "anything", "1") || s.To.MatchNode("DB", "", "") {
		t.Errorf("%s matches the wrong nodes", s)
	}
}
