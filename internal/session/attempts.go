package session

import (
	"sync"
	"time"
)

// maxSources bounds how many addresses or keys are told apart. What comes beyond
// that shares one count.
const maxSources = 10_000

// attempts counts attempts by where they come from. Each source has a burst of them,
// and gets one more in each interval until it has its burst again.
type attempts struct {
	burst    int
	interval time.Duration
	now      func() time.Time

	mu struct {
		sync.Mutex
		sources map[string]*source
	}
}

type source struct {
	left float64
	at   time.Time // when left was so much
}

func newAttempts(burst int, interval time.Duration, now func() time.Time) *attempts {
	a := &attempts{burst: burst, interval: interval, now: now}
	a.mu.sources = make(map[string]*source)
	return a
}

// take takes one attempt, or returns how long it is until there is one.
func (a *attempts) take(who string) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.find(who)
	if s.left < 1 {
		return time.Duration((1 - s.left) * float64(a.interval))
	}
	s.left--
	return 0
}

// giveBack undoes a take.
func (a *attempts) giveBack(who string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.find(who)
	s.left = min(float64(a.burst), s.left+1)
}

// find returns a source with what it has by now.
func (a *attempts) find(who string) *source {
	now := a.now()
	s := a.mu.sources[who]
	if s == nil && len(a.mu.sources) >= maxSources {
		for k, other := range a.mu.sources {
			if a.fill(other, now); other.left >= float64(a.burst) {
				delete(a.mu.sources, k)
			}
		}
		if len(a.mu.sources) >= maxSources {
			who = "" // no address and no key
			s = a.mu.sources[who]
		}
	}
	if s == nil {
		s = &source{left: float64(a.burst), at: now}
		a.mu.sources[who] = s
	}
	a.fill(s, now)
	return s
}

func (a *attempts) fill(s *source, now time.Time) {
	if passed := now.Sub(s.at); passed > 0 {
		s.left = min(float64(a.burst), s.left+passed.Seconds()/a.interval.Seconds())
		s.at = now
	}
}
