package sampling

import (
	"math"
	"testing"
)

func TestSimulate(t *testing.T) {
	s := NewSimulation([]Rule{
		rule("cart", 5, func(r *Rule) { r.URLPath, r.Reservoir, r.FixedRate = "/cart*", 2, 0.25 }),
		rule("none", 1, func(r *Rule) { r.URLPath, r.Reservoir, r.FixedRate = "/healthz", 0, 0 }),
		rule("tenant", 3, func(r *Rule) { r.Attributes = map[string]string{"tenant": "a*"} }),
	}, false)
	add := func(second int64, path string, failed bool) { s.Add(second, &Request{URLPath: path}, failed) }
	for range 10 { // 2 and a quarter of 8
		add(100, "/cart/1", false)
	}
	add(99, "/cart/1", true) // 1 of 1
	for i := range 6 {       // 2 and a quarter of 4: half of them
		add(98, "/cart/1", i < 4)
		add(98, "/healthz", true)
	}
	add(97, "/other", false)
	s.Add(96, &Request{URLPath: "/cart/1", Attributes: map[string]string{"tenant": "acme"}}, false)
	got := s.Tallies()
	want := []Tally{
		{Requests: 6, Failed: 6},
		{Requests: 1, Reservoir: 1, Kept: 1},
		{Requests: 17, Failed: 5, Reservoir: 5, Kept: 4 + 1 + 3, FailedKept: 1 + 2},
		{Requests: 1},
	}
	names := []string{"none", "tenant", "cart", ""}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		name := ""
		if got[i].Rule != nil {
			name = got[i].Rule.Name
		}
		g, w := got[i], want[i]
		g.Rule = nil
		if name != names[i] || g.Requests != w.Requests || g.Failed != w.Failed || g.Reservoir != w.Reservoir ||
			math.Abs(g.Kept-w.Kept) > 1e-9 || math.Abs(g.FailedKept-w.FailedKept) > 1e-9 {
			t.Errorf("%s: %+v, want %s %+v", name, g, names[i], w)
		}
	}
	if got := NewSimulation([]Rule{Default()}, true).Tallies(); len(got) != 1 || got[0].Requests != 0 {
		t.Errorf("nothing: %+v", got)
	}
}
