package webapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/sampling"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
	"github.com/roentgen-io/roentgen/internal/webapi"
)

type samplingFixture struct {
	*fixture
	control *control.Store
	sampler *sampling.Sampler
}

var samplingNow = time.Unix(1795356000, 0)

func serveSampling(t *testing.T, budget int64) *samplingFixture {
	t.Helper()
	store := &failingStore{Store: memstore.New()}
	now := func() time.Time { return samplingNow }
	state, err := control.Open(control.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	in := ingest.New(ingest.Config{Store: store, Now: now})
	sampler := sampling.New()
	s := httptest.NewServer(webapi.New(webapi.Config{
		Ingester: in, Query: query.New(store), DeadLetters: store, Control: state, Sampler: sampler, Now: now, SimulateTraces: budget,
	}))
	t.Cleanup(func() {
		s.Close()
		in.Close()
		store.Close()
	})
	return &samplingFixture{&fixture{s, store, in}, state, sampler}
}

func (f *samplingFixture) rule(t *testing.T, name string, priority int, edit func(*sampling.Rule)) {
	t.Helper()
	r := sampling.Default()
	r.Name, r.Priority = name, priority
	edit(&r)
	if _, err := f.control.CreateRule(t.Context(), control.NewRule{Rule: r}); err != nil {
		t.Fatal(err)
	}
}

func (f *samplingFixture) post(t *testing.T, path, body string) (int, string) {
	t.Helper()
	return f.do(t, http.MethodPost, path, "application/json", strings.NewReader(body))
}

func TestExplainRule(t *testing.T) {
	f := serveSampling(t, 0)
	f.rule(t, "cart", 10, func(r *sampling.Rule) { r.ServiceName, r.URLPath = "till", "/cart/*" })
	f.rule(t, "acme", 1, func(r *sampling.Rule) { r.Attributes = map[string]string{"tenant": "acme"} })
	for _, c := range []struct{ body, want string }{
		{`{"ServiceName":"till","URLPath":"/cart/7","Attributes":{"tenant":"Acme"}}`,
			`{"RuleName":"acme","XRaySDKRuleName":"cart","Rules":[` +
				`{"FixedRate":0.05,"Matches":true,"Mismatches":[],"Priority":1,"ReservoirSize":1,"RuleName":"acme","SDKsIgnore":"it has Attributes"},` +
				`{"FixedRate":0.05,"Matches":true,"Mismatches":[],"Priority":10,"ReservoirSize":1,"RuleName":"cart","SDKsIgnore":""},` +
				`{"FixedRate":0.05,"Matches":true,"Mismatches":[],"Priority":10000,"ReservoirSize":1,"RuleName":"Default","SDKsIgnore":""}]}`},
		{`{"ServiceName":"web","URLPath":"/"}`,
			`{"RuleName":"Default","XRaySDKRuleName":"Default","Rules":[` +
				`{"FixedRate":0.05,"Matches":false,"Mismatches":[{"Field":"Attributes.tenant","Pattern":"acme","Value":""}],"Priority":1,"ReservoirSize":1,"RuleName":"acme","SDKsIgnore":"it has Attributes"},` +
				`{"FixedRate":0.05,"Matches":false,"Mismatches":[{"Field":"ServiceName","Pattern":"till","Value":"web"},{"Field":"URLPath","Pattern":"/cart/*","Value":"/"}],"Priority":10,"ReservoirSize":1,"RuleName":"cart","SDKsIgnore":""},` +
				`{"FixedRate":0.05,"Matches":true,"Mismatches":[],"Priority":10000,"ReservoirSize":1,"RuleName":"Default","SDKsIgnore":""}]}`},
	} {
		if status, got := f.post(t, "/api/sampling/explain", c.body); status != 200 || got != c.want {
			t.Errorf("%s: %d\n got %s\nwant %s", c.body, status, got, c.want)
		}
	}
}

func TestSamplingClients(t *testing.T) {
	f := serveSampling(t, 0)
	f.rule(t, "cart", 10, func(r *sampling.Rule) { r.Reservoir = 4 })
	r, err := f.control.Rule("cart", "")
	if err != nil {
		t.Fatal(err)
	}
	report := func(at time.Time, client string, requests int64) {
		f.sampler.Report(at, &r.Rule, sampling.Report{Client: client, Peer: "127.0.0.1:9", Counts: sampling.Counts{Requests: requests, Sampled: 2, Borrowed: 1}})
	}
	report(samplingNow.Add(-20*time.Second), "a", 100)
	report(samplingNow.Add(-10*time.Second), "a", 50)
	report(samplingNow, "b", 7)
	want := `{"Clients":[` +
		`{"BorrowCount":1,"ClientID":"b","FirstReport":1795356000,"FixedRate":0.05,"LastReport":1795356000,"Peer":"127.0.0.1:9","Reports":1,"RequestCount":7,"RequestRate":0.7,"ReservoirQuota":null,"ReservoirQuotaTTL":null,"RuleName":"cart","SampledCount":2,"Sharing":false,"TotalBorrowCount":1,"TotalRequestCount":7,"TotalSampledCount":2},` +
		`{"BorrowCount":1,"ClientID":"a","FirstReport":1795355980,"FixedRate":0.05,"LastReport":1795355990,"Peer":"127.0.0.1:9","Reports":2,"RequestCount":50,"RequestRate":5,"ReservoirQuota":4,"ReservoirQuotaTTL":1795356290,"RuleName":"cart","SampledCount":2,"Sharing":true,"TotalBorrowCount":2,"TotalRequestCount":150,"TotalSampledCount":4}],` +
		`"Refused":0,"Total":2}`
	for _, path := range []string{"/api/sampling/clients", "/api/sampling/clients?rule=cart"} {
		if status, got := f.get(t, path); status != 200 || got != want {
			t.Errorf("%s: %d\n got %s\nwant %s", path, status, got, want)
		}
	}
	if status, got := f.get(t, "/api/sampling/clients?limit=1"); status != 200 || strings.Count(got, "ClientID") != 1 || !strings.Contains(got, `"Total":2`) {
		t.Errorf("%d %s", status, got)
	}
	if status, got := f.get(t, "/api/sampling/clients?rule=Default"); status != 200 || got != `{"Clients":[],"Refused":0,"Total":0}` {
		t.Errorf("%d %s", status, got)
	}
}

// TestSimulateRules compares with a count by hand.
func TestSimulateRules(t *testing.T) {
	f := serveSampling(t, 0)
	f.rule(t, "cart", 10, func(r *sampling.Rule) {
		r.ServiceName, r.Host, r.URLPath, r.HTTPMethod, r.Reservoir, r.FixedRate = "till", "shop.*", "/cart/*", "GET", 2, 0.25
	})
	n := 0
	put := func(at float64, name, url, more string) {
		n++
		f.put(t, fmt.Sprintf(`{"trace_id":"1-6ab38001-%024x","id":"%016x","name":%q,"start_time":%f,"end_time":%f,"http":{"request":{"method":"GET","url":%q}}%s}`, n, n, name, at, at+0.1, url, more))
	}
	for i := range 10 { // in one second: 2 and a quarter of 8; the two faults are kept as likely as the others
		more := ""
		if i < 2 {
			more = `,"fault":true`
		}
		put(1795355000+float64(i)/10, "till", "https://shop.example.com/cart/7?x=1", more)
	}
	put(1795355001, "till", "/cart/7", `,"error":true`) // no host: it may be the rule's
	put(1795355002, "till", "https://other.example.com/cart/7", "")
	put(1795355003, "web", "https://shop.example.com/cart/7", `,"annotations":{"tenant":"acme","n":7}`)
	put(1795355003.5, "web", "https://shop.example.com/", "")
	put(1795000000, "till", "https://shop.example.com/cart/7", "") // before yesterday
	f.put(t, `{"trace_id":"1-6ab38001-ffffffffffffffffffffffff","id":"00000000000000ff","parent_id":"00000000000000fe","name":"till","start_time":1795355000,"end_time":1795355001}`)

	cart := `{"FailedKept":1.8,"FailedTraces":3,"FixedRate":0.25,"Kept":5,"KeptByReservoir":3,"Priority":10,"ReservoirSize":2,"RuleName":"cart","Traces":11}`
	rest := `{"FailedKept":0,"FailedTraces":0,"FixedRate":0.05,"Kept":2.05,"KeptByReservoir":2,"Priority":10000,"ReservoirSize":1,"RuleName":"Default","Traces":3}`
	want := `{"Start":1795269600,"End":1795356000,"Traces":15,"Rootless":1,"Partial":false,"Rules":[` + cart + `,` + rest + `],"Now":null}`
	if status, got := f.post(t, "/api/sampling/simulate", `{}`); status != 200 || got != want {
		t.Errorf("%d\n got %s\nwant %s", status, got, want)
	}
	// Another rate, and a rule that there is not.
	acme := `{"FailedKept":0,"FailedTraces":0,"FixedRate":0,"Kept":1,"KeptByReservoir":1,"Priority":1,"ReservoirSize":1,"RuleName":"acme","Traces":1}`
	want = `{"Start":1795355000,"End":1795355010,"Traces":15,"Rootless":1,"Partial":false,"Rules":[` + acme + `,` +
		strings.NewReplacer(`"FailedKept":1.8`, `"FailedKept":3`, `0.25`, `1`, `"Kept":5`, `"Kept":11`).Replace(cart) + `,` +
		`{"FailedKept":0,"FailedTraces":0,"FixedRate":0.05,"Kept":2,"KeptByReservoir":2,"Priority":10000,"ReservoirSize":1,"RuleName":"Default","Traces":2}],` +
		`"Now":[` + cart + `,` + rest + `]}`
	body := `{"Start":1795355000,"End":1795355010,"Rules":[{"RuleName":"cart","FixedRate":1},{"RuleName":"acme","ReservoirSize":1,"Attributes":{"tenant":"ac*","n":"7"}}]}`
	if status, got := f.post(t, "/api/sampling/simulate", body); status != 200 || got != want {
		t.Errorf("%d\n got %s\nwant %s", status, got, want)
	}
	// Without the rule its requests are the next one's.
	status, got := f.post(t, "/api/sampling/simulate", `{"Rules":[{"RuleName":"cart","Delete":true}]}`)
	var answer struct{ Rules, Now []struct{ Traces int } }
	if err := json.Unmarshal([]byte(got), &answer); err != nil || status != 200 || len(answer.Rules) != 1 || answer.Rules[0].Traces != 14 || len(answer.Now) != 2 {
		t.Errorf("%d %s", status, got)
	}
	if rules, _ := f.control.Rules(); len(rules) != 2 || rules[0].FixedRate != 0.25 {
		t.Errorf("the simulation changed the rules: %+v", rules)
	}
}

// TestSimulationEnds stops at its budget and says so.
func TestSimulationEnds(t *testing.T) {
	f := serveSampling(t, 1000)
	var docs []string
	for i := range 5000 {
		at := 1795350000 + float64(i)
		docs = append(docs, fmt.Sprintf(`{"trace_id":"1-6ab38001-%024x","id":"%016x","name":"till","start_time":%f,"end_time":%f}`, i, i, at, at))
	}
	f.put(t, docs...)
	_, got := f.post(t, "/api/sampling/simulate", `{}`)
	var answer struct {
		Start   float64
		Traces  int
		Partial bool
		Rules   []struct{ Traces int }
	}
	if err := json.Unmarshal([]byte(got), &answer); err != nil {
		t.Fatal(err)
	}
	// The newest come first.
	if !answer.Partial || answer.Traces != 1000 || answer.Start != 1795354000 || answer.Rules[0].Traces != 1000 {
		t.Errorf("%+v", answer)
	}
}

func TestSamplingRefusals(t *testing.T) {
	f := serveSampling(t, 0)
	for _, c := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"explain", ``, 400, "EOF"},
		{"explain", `[]`, 400, "send {"},
		{"explain", `{} {}`, 400, "more follows"},
		{"explain", `{"Service":"x"}`, 400, `unknown field \"Service\"`},
		{"explain", `{"ServiceName":"` + strings.Repeat("x", 70_000) + `"}`, 413, "larger than"},
		{"simulate", `{"Start":2,"End":1}`, 400, "End is earlier"},
		{"simulate", `{"Rules":[{"FixedRate":1}]}`, 400, "no RuleName"},
		{"simulate", `{"Rules":[{"RuleName":"x","FixedRate":2}]}`, 400, "rule x: the FixedRate"},
		{"simulate", `{"Rules":[{"RuleName":"Default","Host":"x"}]}`, 400, "only the FixedRate"},
		{"simulate", `{"Rules":[{"RuleName":"Default","Delete":true}]}`, 400, "cannot be deleted"},
		{"simulate", `{"Rules":[{"RuleName":"x","Delete":true}]}`, 404, "no sampling rule"},
		{"simulate", `{"Rules":[` + strings.Repeat(`{"RuleName":"x"},`, 100) + `{"RuleName":"x"}]}`, 400, "at most 100"},
	} {
		if status, got := f.post(t, "/api/sampling/"+c.path, c.body); status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s %.100s: %d %s", c.path, c.body, status, got)
		}
	}
	for path, want := range map[string]int{
		"/api/sampling/clients?rule=none": 404, "/api/sampling/clients?limit=0": 400, "/api/sampling/clients?x=1": 400,
		"/api/sampling/explain": 405, "/api/sampling": 404, "/api/sampling/other": 404,
	} {
		if status, got := f.get(t, path); status != want {
			t.Errorf("%s: %d %s", path, status, got)
		}
	}
}
