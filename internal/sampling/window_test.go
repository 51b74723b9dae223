package sampling

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

func TestSummaries(t *testing.T) {
	s := New()
	a, b := rule("a", 1), rule("b", 2)
	base := time.Unix(1_795_356_000, 0)
	s.Report(base, &b, report("x", 5))
	s.Report(base.Add(3*time.Second), &a, report("x", 2))
	s.Report(base.Add(9*time.Second), &a, report("y", 3))
	s.Report(base.Add(10*time.Second), &a, Report{Client: "x", Counts: Counts{Requests: 10, Sampled: 4, Borrowed: 1}})
	s.Report(base.Add(8*time.Second), &a, report("x", 1)) // the clock was set back
	s.Report(base.Add(40*time.Second), &b, report("x", 1))
	now := base.Add(40 * time.Second)
	want := []string{"0 a {5 2 0}", "0 b {5 1 0}", "10 a {11 5 1}", "40 b {1 1 0}"}
	var got []string
	start, name := int64(-1<<62), ""
	for more := true; more; {
		var list []Summary
		if list, more = s.Summaries(now, start, name, 3); len(list) == 0 || len(list) > 3 {
			t.Fatalf("a page of %d", len(list))
		}
		for _, w := range list {
			got = append(got, fmt.Sprintf("%d %s %v", w.Start-base.Unix(), w.Rule, w.Counts))
			start, name = w.Start, w.Rule
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if list, more := s.Summaries(base.Add(windowTime+20*time.Second), -1<<62, "", 10); len(list) != 1 || more {
		t.Errorf("an hour later: %v", list)
	}
	// Windows are dropped when they are too old, and with them the rule.
	s.Report(base.Add(3*windowTime), &a, report("x", 1))
	if len(s.mu.rules) != 1 || len(s.mu.rules["a"].windows) != 1 {
		t.Errorf("%d rules, %d windows", len(s.mu.rules), len(s.mu.rules["a"].windows))
	}
	// A long time of one rule takes no more than its share.
	for i := range 3 * ruleWindows {
		s.Report(base.Add(3*windowTime+time.Duration(i)*Interval), &a, report("x", 1))
	}
	if n := len(s.mu.rules["a"].windows); n != ruleWindows && n != ruleWindows+1 {
		t.Errorf("%d windows, want %d", n, ruleWindows)
	}
}

// TestFlood reports for far more clients than there is room for.
func TestFlood(t *testing.T) {
	s := New()
	var rules []Rule
	for i := range 20 {
		rules = append(rules, rule(fmt.Sprintf("r%d", i), i+1, func(r *Rule) { r.Reservoir = 10 }))
	}
	now := t0
	honest := func() Target {
		return s.Report(now, &rules[0], report("honest", 1_000_000))
	}
	honest()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	for i := range 300_000 {
		if i%10_000 == 0 {
			now = now.Add(time.Second)
		}
		if i%100_000 == 99_999 {
			honest()
		}
		s.Report(now, &rules[i%len(rules)], report(fmt.Sprintf("flood-%018d", i), 1))
	}
	took := time.Since(begin)
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("300,000 made-up clients: %v, %d KiB more", took, grown>>10)
	if s.mu.clients > maxClients || grown > 24<<20 {
		t.Errorf("%d clients, %d bytes", s.mu.clients, grown)
	}
	if _, total, refused := s.Clients(now, "", 1); total > maxClients || refused < 200_000 {
		t.Errorf("%d clients, %d refused", total, refused)
	}
	// Who was there before the flood keeps its quota: it is the one with demand.
	if got := honest(); !got.Settled || got.Quota != 10 {
		t.Errorf("the honest client got %+v", got)
	}
	// And when the flood is over there is room again.
	now = now.Add(ClientTime + 2*time.Second)
	s.Report(now, &rules[1], report("new", 1))
	if got := s.Report(now.Add(Interval), &rules[1], report("new", 1)); !got.Settled {
		t.Errorf("a client after the flood got %+v", got)
	}
	n := 0
	for _, u := range s.mu.rules {
		n += len(u.clients)
	}
	if n != s.mu.clients {
		t.Errorf("%d clients are counted, and there are %d", s.mu.clients, n)
	}
	runtime.KeepAlive(s)
}

// TestManyClients shares a reservoir among as many clients as there is room for.
func TestManyClients(t *testing.T) {
	s := New()
	r := rule("r", 1, func(r *Rule) { r.Reservoir = 25_000 })
	const n = 10_000
	now, sum := t0, 0
	for round := range 4 {
		sum = 0
		for i := range n {
			now = now.Add(time.Millisecond)
			sum += s.Report(now, &r, report(fmt.Sprintf("%024d", i), int64(100+i%7))).Quota
		}
		t.Logf("round %d: %d", round, sum)
	}
	if sum != r.Reservoir {
		t.Errorf("the quotas are %d together", sum)
	}
}

func BenchmarkReport(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := New()
			r := rule("r", 1, func(r *Rule) { r.Reservoir = 100 })
			ids := make([]string, n)
			for i := range ids {
				ids[i] = fmt.Sprintf("%024d", i)
			}
			now, i := t0, 0
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(Interval / time.Duration(n))
				s.Report(now, &r, report(ids[i%n], 100))
				i++
			}
		})
	}
}
