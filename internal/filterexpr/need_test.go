package filterexpr

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// termsOf returns the terms of a row, by the rule that the trace package
// follows: a second version of it, that tests of this package rely on.
func termsOf(r *trace.Row) map[trace.Term]bool {
	terms := map[trace.Term]bool{}
	add := func(list ...trace.Term) {
		for _, term := range list {
			terms[term] = true
		}
	}
	mark := func(is bool, m trace.Mark) {
		if is {
			add(trace.TermMark(m))
		}
	}
	for _, id := range r.Services {
		add(trace.TermService(id.Name))
		if id.Type != "" {
			add(trace.TermServiceType(id.Type))
		}
		if id.AccountID != "" {
			add(trace.TermAccount(id.AccountID))
		}
	}
	var flags, any trace.Flags
	for _, c := range r.Calls {
		add(trace.TermEdge(r.Services[c.From].Name, r.Services[c.To].Name))
		any |= c.Flags
		flags |= c.Flags & trace.FlagInferred
	}
	for _, s := range r.Segments {
		any |= s.Flags
	}
	for _, a := range r.Annotations {
		add(trace.TermKey(a.Key), trace.TermValue(a))
		if alias := trace.AliasKey(a.Key); alias != a.Key {
			a.Key = alias
			add(trace.TermKey(a.Key), trace.TermValue(a))
		}
	}
	for _, s := range r.Users {
		add(trace.TermUser(s))
	}
	for _, s := range r.Zones {
		add(trace.TermZone(s))
	}
	for _, s := range r.InstanceIDs {
		add(trace.TermInstance(s))
	}
	for _, s := range r.ResourceARNs {
		add(trace.TermARN(s))
	}
	if r.Method != "" {
		add(trace.TermMethod(r.Method))
	}
	if r.URL != "" {
		add(trace.TermURL(r.URL))
	}
	if r.ClientIP != "" {
		add(trace.TermClientIP(r.ClientIP))
	}
	if r.Status != 0 {
		add(trace.TermStatus(r.Status))
	}
	for _, q := range []struct {
		is    trace.Quantity
		have  float64
		known bool
	}{
		{trace.QuantityStatus, float64(r.Status), r.Status != 0},
		{trace.QuantityResponseTime, r.ResponseTime, r.HasResponseTime},
		{trace.QuantityDuration, r.Duration, r.HasDuration},
	} {
		for bound := 0.25; q.known && bound <= q.have; bound += 0.25 {
			if term, is := trace.TermAtLeast(q.is, bound); is {
				add(term)
			}
		}
	}
	mark(r.HasError, trace.MarkError)
	mark(r.HasFault, trace.MarkFault)
	mark(r.HasThrottle, trace.MarkThrottle)
	mark(r.Partial, trace.MarkPartial)
	mark(flags&trace.FlagInferred != 0, trace.MarkInferred)
	mark(r.InProgress, trace.MarkInProgress)
	mark(any&trace.FlagError != 0, trace.MarkAnyError)
	mark(any&trace.FlagFault != 0, trace.MarkAnyFault)
	mark(any&trace.FlagThrottle != 0, trace.MarkAnyThrottle)
	mark(len(r.FaultCauses) > 0, trace.MarkFaultCause)
	mark(len(r.ErrorCauses) > 0, trace.MarkErrorCause)
	mark(len(r.ResponseTimeCauses) > 0, trace.MarkResponseTimeCause)
	return terms
}

// missing returns the first clause of which a row has no term.
func missing(need trace.Need, terms map[trace.Term]bool) []trace.Term {
	for _, clause := range need {
		if !slices.ContainsFunc(clause, func(term trace.Term) bool { return terms[term] }) {
			return clause
		}
	}
	return nil
}

// random makes expressions and rows of few words, so that they meet.
type random struct{ *rand.Rand }

func pick[T any](r random, list ...T) T { return list[r.IntN(len(list))] }

var (
	someNames  = []string{"a", "b", "c"}
	someTypes  = []string{"", "T1", "client", "remote"}
	someKeys   = []string{"k", "k.l", "k_l", "k-l", "é", "_", "m_n_o", "m.n-o"}
	someTexts  = []string{"x", "y", "xy", "true"}
	someNumber = []float64{0, 1, 2.5, 200, 504, -1}
)

func (r random) expr(in place, depth int) string {
	if depth > 0 {
		switch r.IntN(6) {
		case 0, 1:
			return "(" + r.expr(in, depth-1) + pick(r, " AND ", " ", " && ") + r.expr(in, depth-1) + ")"
		case 2, 3:
			return "(" + r.expr(in, depth-1) + pick(r, " OR ", " || ") + r.expr(in, depth-1) + ")"
		case 4:
			return "!" + r.expr(in, depth-1)
		}
	}
	if in == inTrace && r.IntN(3) == 0 {
		var text string
		switch r.IntN(5) {
		case 0, 1:
			text = "service(" + r.entity() + ")"
			in = inService
		case 2:
			text = "edge(" + r.entity() + "," + r.entity() + ")"
			in = inEdge
		case 3:
			c := pick(r, causeTerms[:]...)
			text, in = c.text, c.inner
		default:
			return "rootcause.json " + pick(r, "=", "!=") + " #" + pick(r, `[]`, `[{}]`, `[{"Services":[{"Name":"a"}]}]`, `[{"ClientImpacting":true}]`, `[1]`)
		}
		if r.IntN(2) == 0 {
			text += "{" + r.expr(in, min(depth, 2)) + "}"
		}
		return text
	}
	if in&(inTrace|inElement) != 0 && r.IntN(3) == 0 {
		return AnnotationText(pick(r, someKeys...)) + r.comparison(typeNone)
	}
	for {
		if def := pick(r, keywords[:]...); def.places&in != 0 {
			return def.text + r.comparison(def.typ)
		}
	}
}

func (r random) entity() string {
	switch r.IntN(4) {
	case 0:
		return ""
	case 1:
		return `id(type: "` + pick(r, someTypes...) + `")`
	case 2:
		return `id(name: "` + pick(r, someNames...) + `", account.id: ` + pick(r, "1", `""`) + `)`
	}
	return quote(pick(r, someNames...))
}

func (r random) comparison(typ valueType) string {
	op := operator(r.IntN(int(opEndsWith) + 1))
	if op == opNone || typ != typeNone && !op.fits(typ) {
		return ""
	}
	v := pick(r,
		value{typ: typeText, text: pick(r, someTexts...)},
		value{typ: typeText, text: pick(r, someNames...)},
		value{typ: typeNumber, number: pick(r, someNumber...)},
		value{typ: typeBool, bool: r.IntN(2) == 0})
	return " " + operatorTexts[op] + " " + v.String()
}

func (r random) texts() []string {
	list := slices.Clone(someTexts)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:r.IntN(3)]
}

// flags sets each flag once in four.
func (r random) flags() trace.Flags {
	a, b := r.IntN(16), r.IntN(16)
	return trace.Flags(a & b)
}

func (r random) row() *trace.Row {
	var row rowOf
	for range 1 + r.IntN(3) {
		row.node(pick(r, someNames...), pick(r, someTypes...), pick(r, "", "1"))
	}
	nodes := len(row.Services)
	for i := range r.IntN(4) {
		flags := r.flags()
		if i == 0 && r.IntN(2) == 0 {
			flags |= trace.FlagRoot
		}
		var annotations []trace.Annotation
		for range r.IntN(3) {
			key := pick(r, someKeys...)
			annotations = append(annotations, pick(r, text(key, pick(r, someTexts...)), number(key, pick(r, someNumber...)), boolean(key, r.IntN(2) == 0)))
		}
		e := row.seg(r.IntN(nodes), flags, annotations...)
		e.Status, e.Duration = int(pick(r, someNumber...)), pick(r, someNumber...)
	}
	for range r.IntN(4) {
		c := row.call(r.IntN(nodes), r.IntN(nodes), r.flags()|trace.Flags(r.IntN(2))*trace.FlagInferred)
		c.Status, c.Duration = int(pick(r, someNumber...)), pick(r, someNumber...)
	}
	row.Status = int(pick(r, someNumber...))
	row.Duration, row.HasDuration = pick(r, someNumber...), r.IntN(2) == 0
	row.ResponseTime, row.HasResponseTime = pick(r, someNumber...), r.IntN(2) == 0
	row.URL, row.Method, row.ClientIP, row.UserAgent = pick(r, someTexts...), pick(r, someTexts...), pick(r, "", "x"), pick(r, "", "y")
	row.Users, row.Zones, row.InstanceIDs, row.ResourceARNs = r.texts(), r.texts(), r.texts(), r.texts()
	row.Partial = r.IntN(2) == 0
	for _, causes := range []*[]trace.RootCause{&row.FaultCauses, &row.ErrorCauses, &row.ResponseTimeCauses} {
		for range r.IntN(2) {
			entity := trace.RootCauseEntity{Name: pick(r, someNames...), Remote: r.IntN(2) == 0, Exceptions: []trace.RootCauseException{{Name: pick(r, someNames...), Message: "x"}}}
			*causes = append(*causes, trace.RootCause{Services: []trace.RootCauseService{{Service: row.Services[r.IntN(nodes)], Entities: []trace.RootCauseEntity{entity}}}})
		}
	}
	return row.done()
}

// TestNeed holds random expressions against random rows: what matches has a term
// of each clause. Beside that, the fixed form of an expression and its cut rows
// answer as they must.
func TestNeed(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := random{rand.New(rand.NewPCG(seed, 1))}
	rows := make([]*trace.Row, 200)
	terms := make([]map[trace.Term]bool, len(rows))
	encoded := make([][]byte, len(rows))
	for i := range rows {
		rows[i] = r.row()
		terms[i] = termsOf(rows[i])
		var err error
		if encoded[i], err = rows[i].AppendBinary(nil); err != nil {
			t.Fatal(err)
		}
	}
	matches, skipped, asked, glanced := 0, 0, 0, 0
	for range 3000 {
		text := r.expr(inTrace, r.IntN(5))
		e := parse(t, text)
		requireRoundTrip(t, e)
		again := parse(t, e.String())
		need := e.Need()
		if len(need) > 0 {
			asked++
		}
		for i, row := range rows {
			got := e.Match(row)
			if got == True {
				matches++
			}
			clause := missing(need, terms[i])
			if clause != nil {
				skipped++
			}
			if got != False && clause != nil {
				t.Fatalf("%s is %v of a row that has none of %v:\n%+v", text, got, clause, row)
			}
			if !e.Glance(encoded[i]) {
				glanced++
				if got != False {
					t.Fatalf("%s is %v of a row that a glance rules out:\n%+v", text, got, row)
				}
			}
			if other := again.Match(row); other != got {
				t.Fatalf("%s is %v, but %s is %v", text, got, e, other)
			}
			if inside, _ := e.MatchIn(row, 0, 1<<62); inside == False && got == True && !strings.Contains(text, "service") && !strings.Contains(text, "edge") {
				t.Fatalf("%s: the window makes a difference", text)
			}
			cut := *row
			cut.Cut = true
			if c := e.Match(&cut); c != got && c != Unknown {
				t.Fatalf("%s is %v, but %v of the cut row:\n%+v", text, got, c, row)
			}
		}
	}
	t.Logf("%d matches, %d rows skipped, %d by a glance, %d of 3000 expressions need something", matches, skipped, glanced, asked)
	if matches < 1000 || skipped < 1000 || glanced < 1000 || asked < 300 {
		t.Error("the expressions and rows hardly meet")
	}
}

func TestNeedForms(t *testing.T) {
	svc, mark := trace.TermService, trace.TermMark
	atLeast := func(q trace.Quantity, bound float64) trace.Term {
		term, is := trace.TermAtLeast(q, bound)
		if !is {
			t.Errorf("there is no term of quantity %d for %v", q, bound)
		}
		return term
	}
	for _, test := range []struct {
		text string
		want trace.Need
	}{
		{`ok`, nil},
		{`!ok`, trace.Need{{mark(trace.MarkError), mark(trace.MarkFault), mark(trace.MarkThrottle)}}},
		{`ok = false`, trace.Need{{mark(trace.MarkError), mark(trace.MarkFault), mark(trace.MarkThrottle)}}},
		{`!(ok or !fault)`, trace.Need{{mark(trace.MarkFault)}, {mark(trace.MarkError), mark(trace.MarkFault), mark(trace.MarkThrottle)}}},
		{`!fault`, nil},
		{`fault = 1`, nil},
		{`!service("a")`, nil},
		{`service("a")`, trace.Need{{svc("a")}}},
		{`service("a") or service("b")`, trace.Need{{svc("a"), svc("b")}}},
		{`service("a") or duration < 1`, nil},
		{`service("a") or duration > 1`, trace.Need{{svc("a"), atLeast(trace.QuantityDuration, 1)}}},
		{`duration >= 5`, trace.Need{{atLeast(trace.QuantityDuration, 4)}}},
		{`responsetime = 3`, trace.Need{{atLeast(trace.QuantityResponseTime, 2)}}},
		{`responsetime > 0.1`, nil},
		{`!(duration < 5)`, nil},
		{`service() { duration > 5 }`, nil},
		{`http.status >= 500`, trace.Need{{atLeast(trace.QuantityStatus, 500)}}},
		{`http.status > 499`, trace.Need{{atLeast(trace.QuantityStatus, 400)}}},
		{`http.status != 200`, nil},
		{`service("a") service("a")`, trace.Need{{svc("a")}}},
		{`service("a") { fault }`, trace.Need{{svc("a")}, {mark(trace.MarkAnyFault)}}},
		{`edge("a", "b")`, trace.Need{{trace.TermEdge("a", "b")}, {svc("a")}, {svc("b")}}},
		{`http.status = 500`, trace.Need{{trace.TermStatus(500)}}},
		{`http.status = 500.5`, trace.Need{{atLeast(trace.QuantityStatus, 500)}}},
		{`user = "u" and !(user = "v")`, trace.Need{{trace.TermUser("u")}}},
		{`annotation.k = 5`, trace.Need{{trace.TermValue(number("k", 5))}}},
		{`annotation.k > 5`, trace.Need{{trace.TermKey("k")}}},
		{`annotation[a.b]`, trace.Need{{trace.TermKey("a.b")}}},
		{`rootcause.error.entity { name = "x" }`, trace.Need{{mark(trace.MarkErrorCause)}}},
	} {
		got := parse(t, test.text).Need()
		order := func(need trace.Need) string {
			var list []string
			for _, clause := range need {
				clause = slices.Clone(clause)
				slices.Sort(clause)
				list = append(list, fmt.Sprint(clause))
			}
			slices.Sort(list)
			return fmt.Sprint(list)
		}
		if order(got) != order(test.want) {
			t.Errorf("%s: needs %v, want %v", test.text, got, test.want)
		}
	}

	// However long the expression, what it needs stays small.
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `(service("s%d") and user = "u%d") or `, i, i)
	}
	for _, text := range []string{
		b.String() + "ok and fault",
		strings.ReplaceAll(b.String(), " or ", " and ") + "ok",
		strings.ReplaceAll(strings.ReplaceAll(b.String(), " or ", " AND "), " and ", " or ") + "ok",
	} {
		need := parse(t, text).Need()
		if len(need) > maxNeedClauses {
			t.Errorf("%d clauses", len(need))
		}
		for _, clause := range need {
			if len(clause) == 0 || len(clause) > maxNeedWidth {
				t.Errorf("a clause of %d terms", len(clause))
			}
		}
	}
}
