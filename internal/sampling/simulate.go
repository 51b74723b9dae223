package sampling

// Simulation works out what rules would have kept of requests that it is told of
// one after the other. It takes little memory however many they are.
//
// A rule's reservoir is used as well as can be: of the requests of a second that match
// the rule it takes as many as it is large, and the rate holds for the others.
// What is kept by the rate is an expectation, so that two simulations of the same
// requests say the same. A real fleet differs a little from both: quotas are shares of whole
// requests, and clients without one borrow.
type Simulation struct {
	set     *Set
	sdk     bool
	tallies []Tally // of the rules of the set, then of the requests without a rule
	seconds []second
	current int64
	begun   bool
	touched []int // rules with requests in the current second
}

// Tally is what a rule would have decided.
type Tally struct {
	Rule       *Rule // nil: no rule matched
	Requests   int64
	Failed     int64   // of these, requests with an error, fault or throttle
	Reservoir  float64 // kept by the reservoir
	Kept       float64 // in all, expected
	FailedKept float64
}

type second struct{ requests, failed int64 }

// NewSimulation returns a Simulation of some rules. With sdk it passes over the
// rules that X-Ray SDKs pass over.
func NewSimulation(rules []Rule, sdk bool) *Simulation {
	set := NewSet(rules)
	s := &Simulation{set: set, sdk: sdk, tallies: make([]Tally, len(set.rules)+1), seconds: make([]second, len(set.rules)+1)}
	for i := range set.rules {
		s.tallies[i].Rule = set.rules[i].rule
	}
	return s
}

// Add tells of a request that began in a second of unix time. Requests of one
// second must come one after the other.
func (s *Simulation) Add(unix int64, q *Request, failed bool) {
	if s.begun && unix != s.current {
		s.flush()
	}
	s.begun, s.current = true, unix
	i := s.set.find(q, s.sdk)
	if i < 0 {
		i = len(s.tallies) - 1
	}
	if s.seconds[i].requests == 0 {
		s.touched = append(s.touched, i)
	}
	s.seconds[i].requests++
	if failed {
		s.seconds[i].failed++
	}
}

// flush counts the current second.
func (s *Simulation) flush() {
	for _, i := range s.touched {
		t, sec := &s.tallies[i], s.seconds[i]
		s.seconds[i] = second{}
		t.Requests += sec.requests
		t.Failed += sec.failed
		if t.Rule == nil {
			continue
		}
		reservoir := float64(min(int64(t.Rule.Reservoir), sec.requests))
		kept := reservoir + (float64(sec.requests)-reservoir)*t.Rule.FixedRate
		t.Reservoir += reservoir
		t.Kept += kept
		// Which ones of a second come first is not known: each has the same chance.
		t.FailedKept += float64(sec.failed) * kept / float64(sec.requests)
	}
	s.touched = s.touched[:0]
}

// Tallies returns what was counted, in the order in which rules are tried. The
// last one, without a rule, is there only when no rule matched a request.
func (s *Simulation) Tallies() []Tally {
	s.flush()
	n := len(s.tallies)
	if s.tallies[n-1].Requests == 0 {
		n--
	}
	return s.tallies[:n]
}
