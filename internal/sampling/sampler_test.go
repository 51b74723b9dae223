package sampling

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var t0 = time.Unix(1_795_356_000, 500_000_000)

func report(client string, requests int64) Report {
	return Report{Client: client, Peer: "127.0.0.1:1", Counts: Counts{Requests: requests, Sampled: 1}}
}

// TestFirstReports holds what one client is told.
func TestFirstReports(t *testing.T) {
	s, now := New(), t0
	r := rule("r", 1, func(r *Rule) { r.Reservoir, r.FixedRate = 2, 0.25 })
	for _, after := range []time.Duration{0, 4 * time.Second, 5 * time.Second} {
		if got := s.Report(t0.Add(after), &r, report("a", 100)); got != (Target{FixedRate: 0.25}) {
			t.Errorf("after %v: %+v", after, got)
		}
	}
	now = now.Add(Interval)
	want := Target{FixedRate: 0.25, Settled: true, Quota: 2, TTL: time.Unix(1_795_356_310, 0)}
	if got := s.Report(now, &r, report("a", 100)); got != want {
		t.Errorf("settled: %+v, want %+v", got, want)
	}
	want.Quota = 0
	if got := s.Report(now.Add(Interval), &r, report("a", 0)); got.Quota != 0 || !got.Settled {
		t.Errorf("without demand: %+v", got)
	}
	if got := s.Report(now.Add(2*Interval), &r, report("a", 1)); got.Quota != 2 {
		t.Errorf("with demand again: %+v", got)
	}
	// The rule changes: the next answer says so.
	r.Reservoir, r.FixedRate = 7, 0.5
	if got := s.Report(now.Add(3*Interval), &r, report("a", 100)); got.Quota != 7 || got.FixedRate != 0.5 {
		t.Errorf("after the rule changed: %+v", got)
	}
	r.Reservoir = 0
	if got := s.Report(now.Add(4*Interval), &r, report("a", 100)); got.Quota != 0 || !got.Settled {
		t.Errorf("without a reservoir: %+v", got)
	}
	// It was away, but not for so long that it is new.
	r.Reservoir = 3
	now = now.Add(4*Interval + QuotaTime)
	if got := s.Report(now, &r, report("a", 100)); got.Quota != 3 {
		t.Errorf("after a break: %+v", got)
	}
	if got := s.Report(now.Add(QuotaTime+Interval), &r, report("a", 100)); got.Settled {
		t.Errorf("after a long break: %+v", got)
	}
	s.Forget("r")
	if list, total, _ := s.Clients(now, "", 10); len(list) != 0 || total != 0 || s.mu.clients != 0 || len(s.mu.rules) != 0 {
		t.Errorf("%v after the rule was forgotten", list)
	}
}

// TestClientsOfRules holds that rules and clients do not mix, and what is told of them.
func TestClientsOfRules(t *testing.T) {
	s := New()
	a, b := rule("a", 1), rule("b", 2)
	s.Report(t0, &a, report("x", 5))
	s.Report(t0, &b, report("x", 7))
	s.Report(t0.Add(time.Second), &b, Report{Client: "y", Counts: Counts{Requests: -5, Sampled: 1 << 60}})
	s.Report(t0.Add(Interval), &b, report("x", 20))
	s.Report(t0.Add(Interval), &b, report("x", 10)) // the second half of it
	list, total, refused := s.Clients(t0.Add(Interval), "b", 10)
	if len(list) != 2 || total != 2 || refused != 0 {
		t.Fatalf("%d of %d clients: %+v", len(list), total, list)
	}
	x, y := list[0], list[1]
	if x.Client != "x" || x.Reports != 3 || x.Latest != (Counts{Requests: 30, Sampled: 2}) || x.Total != (Counts{Requests: 37, Sampled: 3}) ||
		x.RequestRate != 3 || !x.Settled || x.Quota != 1 || !x.Sharing || !x.First.Equal(t0) || x.Peer != "127.0.0.1:1" {
		t.Errorf("%+v", x)
	}
	if y.Client != "y" || y.Settled || y.Sharing || y.Latest != (Counts{Sampled: maxCount}) {
		t.Errorf("%+v", y)
	}
	if list, total, _ := s.Clients(t0.Add(Interval), "", 2); len(list) != 2 || total != 3 || list[0].Rule != "a" {
		t.Errorf("%d of %d: %+v", len(list), total, list)
	}
	if list, _, _ := s.Clients(t0.Add(Interval+ClientTime+1), "b", 10); list[0].Sharing || !list[0].Settled {
		t.Errorf("after it was silent: %+v", list[0])
	}
}

// simulated is a client of the simulation below.
type simulated struct {
	id      string
	rate    float64 // requests a second
	next    time.Time
	quota   int // the latest one given
	settled bool
	owed    float64
	gone    bool
}

// TestSimulation lets tens of clients come, go and change their demand for hours
// of a clock of its own. Whenever each of the clients that share the reservoir has
// reported since they were last told other shares, the quotas must add up to the
// reservoir. When the fleet has been steady for a minute, that must be so
// nearly all the time.
func TestSimulation(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() {
		seeds = 4 // one for each reservoir
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { simulate(t, seed) })
	}
}

func simulate(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := New()
	r := rule("fleet", 1, func(r *Rule) { r.Reservoir = []int{1, 5, 30, 100}[seed%4] })
	var fleet []*simulated
	now, calm := t0, t0 // calm: since when nothing changed
	exact, checks, right, made := 0, 0, 0, 0
	for step := range 20_000 {
		now = now.Add(time.Duration(50+rng.IntN(500)) * time.Millisecond)
		// Long calm times and times of change take turns.
		if step%1000 < 200 && rng.IntN(4) == 0 {
			switch rng.IntN(5) {
			case 0, 1:
				if len(fleet) < 60 {
					made++
					c := &simulated{id: fmt.Sprintf("%024d", made), rate: 0.3 + 50*rng.Float64()*rng.Float64(), next: now}
					fleet = append(fleet, c)
				}
			case 2: // crashes, without a word
				if n := len(fleet); n > 0 {
					i := rng.IntN(n)
					fleet = slices.Delete(fleet, i, i+1)
				}
			case 3: // gets other demand
				if n := len(fleet); n > 0 {
					fleet[rng.IntN(n)].rate *= 0.1 + 5*rng.Float64()
				}
			case 4: // nobody asks it for anything any more, or again
				if n := len(fleet); n > 0 {
					c := fleet[rng.IntN(n)]
					c.gone = !c.gone
				}
			}
			calm = now
		}
		for _, c := range fleet {
			if now.Before(c.next) {
				continue
			}
			period := Interval + time.Duration(rng.IntN(1000))*time.Millisecond // clients jitter
			if c.gone {
				c.next, c.quota = now.Add(period), 0 // it does not report, and does not use what it holds
				continue
			}
			// Requests come with noise, in whole numbers.
			c.owed += c.rate * period.Seconds() * (0.8 + 0.4*rng.Float64())
			requests := int64(max(1, c.owed))
			c.owed = max(0, c.owed-float64(requests))
			now = now.Add(time.Microsecond) // no two at the same time
			got := s.Report(now, &r, Report{Client: c.id, Counts: Counts{Requests: requests}})
			if got.Settled && !got.TTL.Equal(now.Add(QuotaTime).Truncate(time.Second)) {
				t.Fatalf("good until %v at %v", got.TTL, now)
			}
			c.quota, c.settled, c.next = got.Quota, got.Settled, now.Add(period)
		}
		u, given, heard := s.mu.rules["fleet"], 0, 0
		if u == nil {
			continue
		}
		all, demand := true, false
		for _, c := range u.clients {
			if c.in && now.Sub(c.last) <= ClientTime {
				given += c.quota
				heard++
				all = all && c.given && !c.last.Before(u.planned)
				demand = demand || c.demand > 0
			}
		}
		if all && demand && !u.stale && now.Before(u.next) {
			if given != r.Reservoir {
				t.Fatalf("step %d: the quotas of %d clients are %d together, and the reservoir is %d", step, heard, given, r.Reservoir)
			}
			exact++
		}
		// A client that left holds its share for ClientTime, then each of the others
		// has to hear of it: another round. New ones settle in two rounds.
		if now.Sub(calm) < ClientTime+3*Interval {
			continue
		}
		sum, active := 0, 0
		for _, c := range fleet {
			if !c.gone {
				sum += c.quota
				active++
			}
		}
		if active == 0 {
			continue
		}
		checks++
		if sum == r.Reservoir {
			right++
		}
	}
	if exact < 5000 || checks < 5000 || right < checks*97/100 {
		t.Errorf("exact %d times; in calm times the quotas added up in %d of %d checks", exact, right, checks)
	}
}
