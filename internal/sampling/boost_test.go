package sampling

import (
	"fmt"
	"testing"
	"time"
)

// TestBoost leads a rule through a boost and the time after it.
func TestBoost(t *testing.T) {
	s := New()
	r := rule("r", 1, func(r *Rule) { r.FixedRate, r.Boost = 0.05, &Boost{MaxRate: 0.3, CooldownMinutes: 5} })
	tell := func(at time.Duration, client string, anomalous bool) {
		s.Anomalies(t0.Add(at), &r, Anomalies{Client: client, Service: "till", Anomalous: anomalous})
	}
	look := func(at time.Duration) string {
		got := s.Report(t0.Add(at), &r, report("x", 1))
		if !got.Boosted {
			return "none"
		}
		return fmt.Sprintf("%.4g until %v", got.BoostRate, got.BoostTTL.Sub(t0))
	}
	check := func(at time.Duration, want string) {
		t.Helper()
		if got := look(at); got != want {
			t.Errorf("at %v: %s, want %s", at, got, want)
		}
	}
	check(0, "none")
	tell(0, "x", false)
	check(0, "none")
	tell(1*time.Second, "x", true)
	check(1*time.Second, "0.1 until 21s")
	tell(2*time.Second, "y", true) // too early for another step
	check(3*time.Second, "0.1 until 22s")
	tell(11*time.Second, "x", true)
	check(11*time.Second, "0.2 until 31s")
	tell(12*time.Second, "x", false) // the other client has anomalies still
	check(12*time.Second, "0.2 until 31s")
	tell(13*time.Second, "y", false)
	check(13*time.Second, "none")
	tell(21*time.Second, "y", true) // 0.4 is more than the rule allows
	check(21*time.Second, "0.3 until 41s")
	check(40*time.Second, "0.3 until 41s")
	check(41*time.Second, "none")
	tell(50*time.Second, "y", true) // it ends a minute after it began
	check(50*time.Second, "0.3 until 1m1s")
	tell(61*time.Second, "y", true)
	check(61*time.Second, "none")
	tell(290*time.Second, "y", true)
	check(290*time.Second, "none")
	tell(301*time.Second, "y", true) // five minutes after the last one began
	check(301*time.Second, "0.1 until 5m21s")

	// The rule changes meanwhile.
	r.FixedRate = 0.2
	check(302*time.Second, "none")
	r.FixedRate, r.Boost = 0.05, nil
	check(303*time.Second, "none")
	tell(304*time.Second, "y", true)
	check(304*time.Second, "none")

	low := rule("low", 2, func(r *Rule) { r.FixedRate, r.Boost = 0, &Boost{MaxRate: 0.005, CooldownMinutes: 1} })
	s.Anomalies(t0, &low, Anomalies{Service: "till", Anomalous: true})
	if got := s.Report(t0, &low, report("x", 1)); got.BoostRate != 0.005 {
		t.Errorf("from 0 to 0.005: %+v", got)
	}
	high := rule("high", 3, func(r *Rule) { r.FixedRate, r.Boost = 1, &Boost{MaxRate: 1, CooldownMinutes: 1} })
	s.Anomalies(t0, &high, Anomalies{Service: "till", Anomalous: true})
	if got := s.Report(t0, &high, report("x", 1)); got.Boosted {
		t.Errorf("all are taken: %+v", got)
	}

	// Made-up names cost no more than a bounded amount.
	for i := range 10_000 {
		s.Anomalies(t0, &low, Anomalies{Service: fmt.Sprint(i), Anomalous: i%2 == 0})
	}
	if n := len(s.mu.rules["low"].boost.sources); n > boostSources+1 {
		t.Errorf("%d sources", n)
	}
	s.Report(t0.Add(time.Hour), &low, report("x", 1))
	if n := len(s.mu.rules["low"].boost.sources); n != 0 {
		t.Errorf("%d sources after an hour", n)
	}
}
