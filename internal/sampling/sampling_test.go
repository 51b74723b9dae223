package sampling

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWildcard(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"*", "anything at all", true}, {"", "", true}, {"", "x", false},
		{"cart", "cart", true}, {"cart", "CART", true}, {"CaRt", "cArT", true}, {"cart", "carts", false}, {"cart", "scart", false},
		{"cart*", "cart", true}, {"cart*", "carts", true}, {"*cart", "my-cart", true}, {"*cart", "cart-1", false},
		{"c?rt", "cart", true}, {"c?rt", "crt", false}, {"c?rt", "caart", false}, {"?", "é", true}, {"??", "é", false}, {"?", "", false},
		{"/api/*/items/?", "/api/v1/x/items/7", true}, {"/api/*/items/?", "/api/v1/items/77", false},
		{"*a*b*c", "xxaxxbxxc", true}, {"*a*b*c", "xxaxxcxxb", false}, {"a*a*a", "aa", false}, {"***", "x", true}, {"a**b?", "abbc", true},
		{"Größe*", "GRÖSSE", false}, {"GRÖ*", "größe", true}, {"[ab].+", "[AB].+", true}, {"a\\*", "a*", false},
	} {
		if got := wildcard(fold(c.pattern)).match(fold(c.text)); got != c.want {
			t.Errorf("%q matches %q: %t", c.pattern, c.text, got)
		}
	}
	// A pattern that is hard for those who try all ways.
	begin := time.Now()
	if wildcard(strings.Repeat("*a", 64) + "b").match(strings.Repeat("a", 2048)) {
		t.Error("matches without a b")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// FuzzWildcard compares with a matcher that follows the definition.
func FuzzWildcard(f *testing.F) {
	f.Add("a*b?c", "aXbYc")
	f.Add("**", "é\xff")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 40 || len(text) > 40 {
			return
		}
		p, x := []rune(fold(strings.ToValidUTF8(pattern, "?"))), []rune(fold(strings.ToValidUTF8(text, "?")))
		reach := make([]bool, len(x)+1) // the pattern so far matches text[:i]
		reach[0] = true
		for _, r := range p {
			next := make([]bool, len(x)+1)
			for i := range reach {
				if r == '*' {
					next[i] = reach[i] || i > 0 && next[i-1]
				} else if i > 0 {
					next[i] = reach[i-1] && (r == '?' || r == x[i-1])
				}
			}
			reach = next
		}
		if got := wildcard(p).match(string(x)); got != reach[len(x)] {
			t.Errorf("%q matches %q: %t", string(p), string(x), got)
		}
		wildcard(pattern).match(text) // as it came: it must only end
	})
}

func rule(name string, priority int, edit ...func(*Rule)) Rule {
	r := Default()
	r.Name, r.Priority = name, priority
	for _, e := range edit {
		e(&r)
	}
	return r
}

func TestOrder(t *testing.T) {
	set := NewSet([]Rule{
		Default(),
		rule("late", 9000),
		rule("b", 10, func(r *Rule) { r.Host = "*.example.com" }),
		rule("a", 10, func(r *Rule) { r.Host = "shop.*" }),
		rule("attributes", 1, func(r *Rule) { r.Attributes = map[string]string{"tenant": "ac?e", "tier": "*"} }),
		rule("resource", 2, func(r *Rule) { r.ResourceARN = "arn:*:x"; r.ServiceName = "till" }),
		rule("path", 5, func(r *Rule) { r.URLPath = "/API/*"; r.HTTPMethod = "get"; r.ServiceType = "AWS::EC2::*" }),
	})
	for _, c := range []struct {
		name string
		q    Request
		sdk  bool
		want string
	}{
		{"equal priorities go by name", Request{ServiceName: "web", Host: "shop.example.com", URLPath: "/x"}, false, "a"},
		{"one pattern of two", Request{ServiceName: "web", Host: "a.example.com", URLPath: "/x"}, false, "b"},
		{"nothing fits", Request{ServiceName: "web", Host: "x", URLPath: "/x"}, false, "late"},
		{"what is unknown fits", Request{ServiceName: "web"}, false, "path"},
		{"method says no", Request{ServiceName: "web", Host: "x", HTTPMethod: "POST"}, false, "late"},
		{"case", Request{ServiceName: "web", Host: "x", HTTPMethod: "GET", URLPath: "/api/1", ServiceType: "aws::ec2::instance"}, false, "path"},
		{"resource unknown", Request{ServiceName: "till"}, false, "resource"},
		{"resource, for an SDK", Request{ServiceName: "till"}, true, "path"},
		{"another resource", Request{ServiceName: "till", ResourceARN: "arn:b"}, false, "path"},
		{"attributes", Request{Attributes: map[string]string{"tenant": "ACME", "tier": ""}}, false, "attributes"},
		{"attributes, for an SDK", Request{ServiceName: "web", Attributes: map[string]string{"tenant": "ACME", "tier": ""}}, true, "path"},
		{"one attribute missing", Request{ServiceName: "web", Attributes: map[string]string{"tenant": "acme"}}, false, "path"},
	} {
		if got := set.Find(&c.q, c.sdk); got == nil || got.Name != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if got := NewSet(nil).Find(&Request{}, false); got != nil {
		t.Errorf("no rules: %+v", got)
	}
	q := Request{ServiceName: "web", HTTPMethod: "POST", URLPath: "/home", Attributes: map[string]string{"tenant": "other"}}
	var text []string
	for _, v := range set.Explain(&q) {
		text = append(text, fmt.Sprintf("%s %t %v", v.Rule.Name, v.Matches, v.Mismatches))
	}
	want := []string{
		"attributes false [{Attributes.tenant ac?e other} {Attributes.tier * }]",
		"resource false [{ServiceName till web}]",
		"path false [{HTTPMethod get POST} {URLPath /API/* /home}]",
		"a true []", "b true []", "late true []", "Default true []",
	}
	if !slices.Equal(text, want) {
		t.Errorf("explained\n%s\nwant\n%s", strings.Join(text, "\n"), strings.Join(want, "\n"))
	}
}

func TestCheck(t *testing.T) {
	for name, edit := range map[string]func(*Rule){
		"no name": func(r *Rule) { r.Name = "" }, "long name": func(r *Rule) { r.Name = strings.Repeat("é", 33) },
		"priority 0": func(r *Rule) { r.Priority = 0 }, "priority of the Default rule": func(r *Rule) { r.Priority = 10000 },
		"rate": func(r *Rule) { r.FixedRate = 1.01 }, "no number": func(r *Rule) { r.FixedRate = math.NaN() },
		"reservoir": func(r *Rule) { r.Reservoir = -1 }, "large reservoir": func(r *Rule) { r.Reservoir = 1 << 31 },
		"host": func(r *Rule) { r.Host = strings.Repeat("x", 65) }, "method": func(r *Rule) { r.HTTPMethod = strings.Repeat("x", 11) },
		"path": func(r *Rule) { r.URLPath = strings.Repeat("x", 129) }, "arn": func(r *Rule) { r.ResourceARN = strings.Repeat("x", 501) },
		"attributes": func(r *Rule) {
			r.Attributes = map[string]string{"1": "1", "2": "2", "3": "3", "4": "4", "5": "5", "6": "6"}
		},
		"empty value": func(r *Rule) { r.Attributes = map[string]string{"a": ""} },
		"cooldown":    func(r *Rule) { r.Boost = &Boost{MaxRate: 1} }, "boost": func(r *Rule) { r.Boost = &Boost{MaxRate: 2, CooldownMinutes: 1} },
		"default": func(r *Rule) { r.Name = "Default" },
	} {
		r := rule("r", 1, edit)
		if err := r.Check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, r := range []Rule{Default(), rule("é", 9999), rule("x", 1, func(r *Rule) {
		r.Boost, r.Reservoir = &Boost{MaxRate: 0, CooldownMinutes: 1}, math.MaxInt32
		r.ServiceName, r.Attributes = "", map[string]string{"a": "*"}
	})} {
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		reservoir int
		demands   []float64
		held      []int
		want      []int
	}{
		{5, nil, nil, []int{}},
		{0, []float64{1, 2}, nil, []int{0, 0}},
		{5, []float64{0, 0}, nil, []int{0, 0}},
		{2, []float64{100}, nil, []int{2}},
		{2, []float64{0.01, 0}, nil, []int{2, 0}},
		{10, []float64{1, 1, 1}, nil, []int{4, 3, 3}},
		{10, []float64{1, 1, 1}, []int{3, 3, 4}, []int{3, 3, 4}},
		{10, []float64{90, 5, 5}, nil, []int{9, 1, 0}},
		{10, []float64{85, 10, 5}, nil, []int{9, 1, 0}}, // of equal remainders the one with more demand first
		{1, []float64{3, 4, 3}, nil, []int{0, 1, 0}},
		{1, []float64{3, 4, 3}, []int{1, 0, 0}, []int{1, 0, 0}}, // who holds it keeps it
		{1, []float64{3, 7, 3}, []int{1, 0, 0}, []int{0, 1, 0}}, // until another has twice as much
		{1, []float64{0, 4}, []int{1, 0}, []int{0, 1}},
		{math.MaxInt32, []float64{1, 1, 1}, nil, []int{715827883, 715827882, 715827882}},
	} {
		got := Share(c.reservoir, c.demands, c.held)
		if !slices.Equal(got, c.want) {
			t.Errorf("Share(%d, %v, %v) = %v, want %v", c.reservoir, c.demands, c.held, got, c.want)
		}
	}
}

// TestShareAddsUp holds what Share promises for shares of any kind.
func TestShareAddsUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	for range 20_000 {
		n := rng.IntN(60)
		demands := make([]float64, n)
		held := make([]int, n)
		sum := 0.0
		for i := range demands {
			switch rng.IntN(4) {
			case 0:
			case 1:
				demands[i] = math.Exp(rng.Float64()*60 - 30)
			default:
				demands[i] = float64(rng.IntN(50))
			}
			held[i] = rng.IntN(3)
			sum += demands[i]
		}
		reservoir := rng.IntN(100)
		if rng.IntN(5) == 0 {
			reservoir = rng.IntN(math.MaxInt32)
		}
		total := 0
		for i, got := range Share(reservoir, demands, held) {
			total += got
			if demands[i] == 0 && got != 0 {
				t.Fatalf("%d without demand", got)
			}
			if exact := float64(reservoir) * demands[i] / sum; sum > 0 && math.Abs(float64(got)-exact) > 1+1e-6 {
				t.Fatalf("share %d of %v", got, exact)
			}
		}
		if sum > 0 && total != reservoir {
			t.Fatalf("%d of %d shared among %v", total, reservoir, demands)
		}
	}
}
