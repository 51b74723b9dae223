package sampling

import (
	"time"
)

const (
	boostTime     = time.Minute      // a boost lasts no longer
	boostStep     = Interval         // how often the rate doubles
	boostRateTime = 20 * time.Second // how long a rate is good for
	boostFloor    = 0.01             // least boosted rate
	// boostSources bounds the reporters of anomalies that are told apart; those beyond
	// count as one.
	boostSources = 256
)

// Anomalies is what a client says of the requests of a rule since its report before.
type Anomalies struct {
	Client    string // "" when it is not known
	Service   string
	Anomalous bool // there were anomalies among them
}

// boost is the boost of a rule.
type boost struct {
	began   time.Time // of the latest one; zero: there was none
	stepped time.Time
	rate    float64
	until   time.Time // what the rate is good for
	sources map[source]sourceState
}

type source struct{ client, service string }

type sourceState struct {
	last      time.Time
	anomalous bool
}

// Anomalies notes a report of anomalies.
func (s *Sampler) Anomalies(now time.Time, rule *Rule, a Anomalies) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	if rule.Boost == nil {
		return
	}
	s.use(rule.Name).boost.report(now, rule, a)
}

func (b *boost) report(now time.Time, rule *Rule, a Anomalies) {
	key := source{a.Client, a.Service}
	if _, known := b.sources[key]; !known && len(b.sources) >= boostSources {
		key = source{}
	}
	if b.sources == nil {
		b.sources = make(map[source]sourceState)
	}
	b.sources[key] = sourceState{now, a.Anomalous}
	if !a.Anomalous || rule.FixedRate >= rule.Boost.MaxRate {
		return
	}
	switch age := now.Sub(b.began); {
	case b.began.IsZero(), age >= boostTime && age >= time.Duration(rule.Boost.CooldownMinutes)*time.Minute:
		b.began, b.stepped = now, now
		b.rate = max(2*rule.FixedRate, boostFloor)
	case age >= boostTime: // it was the time to cool down
		return
	case now.Sub(b.stepped) >= boostStep:
		b.stepped = now
		b.rate *= 2
	}
	b.until = now.Add(boostRateTime)
	if end := b.began.Add(boostTime); b.until.After(end) {
		b.until = end
	}
}

// rateAt returns the rate of a boost and how long it is good for.
func (b *boost) rateAt(now time.Time, rule *Rule) (rate float64, until time.Time, ok bool) {
	if rule.Boost == nil || !now.Before(b.until) {
		return 0, time.Time{}, false
	}
	rate = min(b.rate, rule.Boost.MaxRate)
	if rate <= rule.FixedRate {
		return 0, time.Time{}, false
	}
	for _, s := range b.sources {
		if s.anomalous && now.Sub(s.last) <= boostRateTime {
			return rate, b.until, true
		}
	}
	return 0, time.Time{}, false
}

// expire forgets sources that do not count any more.
func (b *boost) expire(now time.Time) {
	for key, s := range b.sources {
		if now.Sub(s.last) > boostRateTime {
			delete(b.sources, key)
		}
	}
}

// idle reports whether nothing is lost when the boost is forgotten.
func (b *boost) idle() bool {
	return len(b.sources) == 0 && b.began.IsZero()
}
