package sampling

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// Interval is how often clients report.
	Interval = 10 * time.Second
	// settleTime is how long a new client waits for a quota: an Interval, less what
	// timers and networks may shorten it by. The second report must not miss it by a
	// moment, or the client would borrow for another Interval.
	settleTime = Interval - 500*time.Millisecond
	// QuotaTime is how long a quota is good for.
	QuotaTime = 300 * time.Second
	// breakTime is how long a client is silent that has requests all the time, at
	// most: some SDKs pass over a report now and then.
	breakTime = 2*Interval + Interval/2
	// ClientTime is how long after its last report a client has a share.
	ClientTime = 3 * Interval
)

const (
	maxClients = 20_000 // pairs of rule and client, of all rules
	maxText    = 100    // bytes of a text that only people read
	maxCount   = math.MaxInt32
	// planCost is what a plan costs for a client, at most, with much to spare: plans
	// of many clients are made no faster than makes them a small part of a processor's work.
	planCost  = 100 * time.Microsecond
	planOften = 1000 // clients up to which a plan is made whenever something changes
)

// Sampler shares out the reservoirs of rules and keeps what clients report. All
// methods may be called from many goroutines.
type Sampler struct {
	mu struct {
		sync.Mutex
		rules   map[string]*ruleUse
		clients int   // pairs of rule and client
		refused int64 // reports of clients that there was no room for
		swept   time.Time
		evicted time.Time
	}
}

// ruleUse is what a Sampler knows of a rule.
type ruleUse struct {
	clients map[string]*client
	windows []Window // in order of time
	boost   boost

	// The plan in force.
	planned   time.Time
	stale     bool
	reservoir int
	next      time.Time // nobody in the plan is silent for too long before
}

// client is a client of a rule.
type client struct {
	id, peer           string
	first, last, since time.Time // first and latest report; begin of what the latest one covers
	latest, total      Counts
	reports            int64
	lastRate, demand   float64 // requests a second: of the latest report, and smoothed
	planDemand         float64 // that the plan was made for
	settled, in        bool    // it gets quotas; it is in the plan
	share              int     // by the plan
	given              bool    // a quota was given
	quota              int     // the latest one given
	ttl                time.Time
	rate               float64 // the latest one given
}

// Counts are requests that a client counted.
type Counts struct {
	Requests int64 // that matched the rule
	Sampled  int64 // kept by quota or rate
	Borrowed int64 // kept without a quota
}

func (c *Counts) add(d Counts) {
	c.Requests += d.Requests
	c.Sampled += d.Sampled
	c.Borrowed += d.Borrowed
}

// clamp bounds what a client may say in a report.
func (c Counts) clamp() Counts {
	bound := func(n int64) int64 { return max(0, min(n, maxCount)) }
	return Counts{bound(c.Requests), bound(c.Sampled), bound(c.Borrowed)}
}

// Report is what a client counted for a rule since its report before.
type Report struct {
	Client string
	Peer   string // where it came from, for people
	Counts Counts
}

// Target is the answer to a report.
type Target struct {
	FixedRate float64
	// Settled: the client gets a quota, of Quota requests a second until TTL.
	Settled bool
	Quota   int
	TTL     time.Time
	// Boosted: the rate is BoostRate until BoostTTL.
	Boosted   bool
	BoostRate float64
	BoostTTL  time.Time
}

// New returns a Sampler that knows no client.
func New() *Sampler {
	s := &Sampler{}
	s.mu.rules = make(map[string]*ruleUse)
	return s
}

// use returns what is known of a rule. The caller holds the lock.
func (s *Sampler) use(name string) *ruleUse {
	u := s.mu.rules[name]
	if u == nil {
		u = &ruleUse{clients: make(map[string]*client)}
		s.mu.rules[name] = u
	}
	return u
}

// Report notes a client's report and returns its target.
func (s *Sampler) Report(now time.Time, rule *Rule, r Report) Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	u := s.use(rule.Name)
	counts := r.Counts.clamp()
	u.count(now, counts, maxWindows/max(1, len(s.mu.rules)))
	t := Target{FixedRate: rule.FixedRate}
	t.BoostRate, t.BoostTTL, t.Boosted = u.boost.rateAt(now, rule)
	c := u.clients[r.Client]
	if c == nil {
		if s.mu.clients >= maxClients && !s.evict(now) {
			s.mu.refused++
			return t
		}
		s.mu.clients++
		c = &client{id: r.Client, first: now, last: now, since: now.Add(-Interval)}
		u.clients[r.Client] = c
	}
	u.note(now, c, counts)
	c.peer, c.rate = cut(r.Peer), rule.FixedRate
	if !c.settled && now.Sub(c.first) >= settleTime {
		c.settled = true
	}
	if !c.settled {
		return t
	}
	if !c.in {
		u.stale = true
	}
	if u.needsPlan(now, rule) {
		u.plan(now, rule)
	}
	c.given, c.quota, c.ttl = true, c.share, now.Add(QuotaTime).Truncate(time.Second)
	t.Settled, t.Quota, t.TTL = true, c.quota, c.ttl
	return t
}

// note takes a report into what is known of a client.
func (u *ruleUse) note(now time.Time, c *client, counts Counts) {
	if now.Sub(c.last) < time.Second && c.reports > 0 {
		c.latest.add(counts) // a report in parts
		c.latest = c.latest.clamp()
	} else {
		if c.reports > 0 {
			c.since = c.last
		}
		c.last, c.latest = now, counts
	}
	c.reports++
	c.total.add(counts)
	elapsed := max(1, c.last.Sub(c.since).Seconds())
	// A client without requests does not report. After a break the requests are
	// those of the latest Interval.
	back := elapsed > breakTime.Seconds()
	if back {
		elapsed = Interval.Seconds()
	}
	c.lastRate = float64(c.latest.Requests) / elapsed
	if c.latest.Requests == 0 || c.demand == 0 || back {
		c.demand = c.lastRate
	} else {
		c.demand = (c.demand + c.lastRate) / 2
	}
	if !c.in {
		return
	}
	// Another demand than the one planned for, by more than chance makes it differ?
	chance := 3 * math.Sqrt(c.planDemand/elapsed)
	if (c.demand == 0) != (c.planDemand == 0) || math.Abs(c.demand-c.planDemand) > c.planDemand/2+chance {
		c.demand = c.lastRate
		u.stale = true
	}
}

// needsPlan reports whether the shares must be worked out anew.
func (u *ruleUse) needsPlan(now time.Time, rule *Rule) bool {
	if rule.Reservoir != u.reservoir {
		u.stale = true
	}
	if !u.stale && !now.Before(u.next) {
		u.next = now.Add(ClientTime)
		for _, c := range u.clients {
			if !c.in {
				continue
			}
			gone := c.last.Add(ClientTime)
			if gone.Before(now) {
				u.stale = true
			} else if gone.Before(u.next) {
				u.next = gone
			}
		}
	}
	if !u.stale {
		return false
	}
	n := len(u.clients)
	return n <= planOften || now.Sub(u.planned) >= time.Duration(n)*planCost
}

// plan shares the reservoir among the clients that get quotas.
func (u *ruleUse) plan(now time.Time, rule *Rule) {
	u.planned, u.stale, u.reservoir, u.next = now, false, rule.Reservoir, now.Add(ClientTime)
	var members []*client
	for _, c := range u.clients {
		gone := c.last.Add(ClientTime)
		if c.in = c.settled && !gone.Before(now); !c.in {
			c.share = 0
			continue
		}
		if gone.Before(u.next) {
			u.next = gone
		}
		members = append(members, c)
	}
	slices.SortFunc(members, func(a, b *client) int { return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.id, b.id)) })
	demands, held := make([]float64, len(members)), make([]int, len(members))
	for i, c := range members {
		c.planDemand = c.demand
		demands[i], held[i] = c.demand, c.share
	}
	for i, share := range Share(rule.Reservoir, demands, held) {
		members[i].share = share
	}
}

// sweep forgets, once an Interval, what nobody can ask for any more.
func (s *Sampler) sweep(now time.Time) {
	if now.Sub(s.mu.swept) < Interval {
		return
	}
	s.mu.swept = now
	for name, u := range s.mu.rules {
		for id, c := range u.clients {
			if now.Sub(c.last) > QuotaTime {
				s.forget(u, id)
			}
		}
		u.expire(now)
		u.boost.expire(now)
		if len(u.clients) == 0 && len(u.windows) == 0 && u.boost.idle() {
			delete(s.mu.rules, name)
		}
	}
}

// forget drops a client.
func (s *Sampler) forget(u *ruleUse, id string) {
	u.stale = u.stale || u.clients[id].in
	delete(u.clients, id)
	s.mu.clients--
}

// evict makes room for a client at the cost of those that have no share any
// more, and reports whether it could. It looks at most once a second: a flood of
// new clients must not cost more than that.
func (s *Sampler) evict(now time.Time) bool {
	if now.Sub(s.mu.evicted) < time.Second {
		return false
	}
	s.mu.evicted = now
	for _, u := range s.mu.rules {
		for id, c := range u.clients {
			if now.Sub(c.last) > ClientTime {
				s.forget(u, id)
			}
		}
	}
	return s.mu.clients < maxClients
}

// Known returns how many pairs of rule and client are known, and how many reports
// came from clients that there was no room for.
func (s *Sampler) Known() (clients int, refused int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.clients, s.mu.refused
}

// Forget drops all that is known of a rule: it was deleted.
func (s *Sampler) Forget(rule string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.mu.rules[rule]; u != nil {
		s.mu.clients -= len(u.clients)
		delete(s.mu.rules, rule)
	}
}

// ClientState is what a client of a rule reported and was given.
type ClientState struct {
	Rule, Client, Peer string
	First, Last        time.Time
	Reports            int64
	Latest, Total      Counts
	RequestRate        float64 // requests a second, by the latest report
	FixedRate          float64 // the latest that was given
	// Sharing: it is one of those that share the reservoir at present.
	Sharing bool
	// Settled: it was given a quota, Quota a second until TTL.
	Settled bool
	Quota   int
	TTL     time.Time
}

// Clients returns the clients of a rule, or of all rules when rule is "", by rule
// and, those that reported last first, at most limit; total is how many there are.
// refused is how many reports came from clients that there was no room for.
func (s *Sampler) Clients(now time.Time, rule string, limit int) (clients []ClientState, total int, refused int64) {
	s.mu.Lock()
	for name, u := range s.mu.rules {
		if rule != "" && name != rule {
			continue
		}
		for _, c := range u.clients {
			if now.Sub(c.last) > QuotaTime {
				continue
			}
			clients = append(clients, ClientState{
				Rule: name, Client: c.id, Peer: c.peer, First: c.first, Last: c.last, Reports: c.reports,
				Latest: c.latest, Total: c.total, RequestRate: c.lastRate, FixedRate: c.rate,
				Sharing: c.in && now.Sub(c.last) <= ClientTime, Settled: c.given, Quota: c.quota, TTL: c.ttl,
			})
		}
	}
	refused = s.mu.refused
	s.mu.Unlock()
	slices.SortFunc(clients, func(a, b ClientState) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), b.Last.Compare(a.Last), cmp.Compare(a.Client, b.Client))
	})
	total = len(clients)
	return clients[:min(limit, total)], total, refused
}

// cut bounds a text that only people read.
func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}
