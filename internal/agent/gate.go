package agent

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// gate decides when the next call to a destination may be made: how many at
// once, and after failures how long to wait. The number of calls grows while
// they succeed, is halved when the destination asks for less or does not
// answer, and falls to one when it fails again and again: then single calls try
// whether it is back.
type gate struct {
	most    int           // calls at once
	longest time.Duration // between two attempts
	now     func() time.Time

	mu struct {
		sync.Mutex
		limit    float64
		slow     float64 // below it the limit grows quickly
		calls    int     // under way
		waiting  [2]int  // calls that wait: new ones, and those to be made again
		last     int     // which of the two was let in last
		failures int     // in a row
		until    time.Time
		shrunk   time.Time     // calls begun before say nothing new
		changed  chan struct{} // closed when a call may be possible
	}
}

const (
	firstCalls   = 4
	shortestWait = 50 * time.Millisecond
	longestWait  = 10 * time.Second
	// longestAsked bounds what Retry-After can ask for.
	longestAsked = 5 * time.Minute
)

func newGate(most int) *gate {
	g := &gate{most: max(1, most), longest: longestWait, now: time.Now}
	g.mu.limit = float64(min(firstCalls, g.most))
	g.mu.slow = float64(g.most)
	g.mu.changed = make(chan struct{})
	return g
}

// enter waits until a call may be made; leave must follow. When new calls and
// calls that are made again wait, they take turns: the position in the spool waits
// for the one kind, and the other shows whether it is the calls or the destination
// that fails.
func (g *gate) enter(ctx context.Context, again bool) (begun time.Time, err error) {
	kind := 0
	if again {
		kind = 1
	}
	g.mu.Lock()
	g.mu.waiting[kind]++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.mu.waiting[kind]--
		if err != nil { // it may have been its turn
			g.wake()
		}
		g.mu.Unlock()
	}()
	for {
		g.mu.Lock()
		now := g.now()
		wait := g.mu.until.Sub(now)
		turn := g.mu.last != kind || g.mu.waiting[1-kind] == 0
		if g.mu.calls < max(1, int(g.mu.limit)) && wait <= 0 && turn {
			g.mu.calls++
			g.mu.last = kind
			g.wake() // the other kind's turn comes
			g.mu.Unlock()
			return now, nil
		}
		changed := g.mu.changed
		g.mu.Unlock()
		var timer <-chan time.Time
		if wait > 0 {
			t := time.NewTimer(wait)
			defer t.Stop()
			timer = t.C
		}
		select {
		case <-timer:
		case <-changed:
		case <-ctx.Done():
			return now, context.Cause(ctx)
		}
	}
}

// leave notes how a call ended.
func (g *gate) leave(begun time.Time, out *Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.calls--
	defer g.wake()
	now := g.now()
	troubled := out.Verdict == Again || out.Throttled
	if !troubled {
		if out.Verdict == Abandoned {
			return
		}
		g.mu.failures = 0
		// Many calls may be waiting for a pause that is over now.
		if g.mu.until.After(now) && begun.After(g.mu.shrunk) {
			g.mu.until = time.Time{}
		}
		if g.mu.limit < g.mu.slow {
			g.mu.limit++
		} else {
			g.mu.limit += 1 / g.mu.limit
		}
		g.mu.limit = min(g.mu.limit, float64(g.most))
		return
	}
	if begun.Before(g.mu.shrunk) && out.RetryAfter == 0 {
		return // of the same moment as one that was heeded already
	}
	g.mu.shrunk = now
	g.mu.failures++
	g.mu.slow = max(1, g.mu.limit/2)
	g.mu.limit = g.mu.slow
	if g.mu.failures > 2 {
		g.mu.limit = 1
	}
	wait := g.longest
	if n := g.mu.failures - 1; n < 16 {
		wait = min(shortestWait<<n, g.longest)
	}
	wait = wait/2 + rand.N(wait/2+1)
	if out.RetryAfter > 0 {
		// All agents of a fleet were told the same: they should not come at once.
		wait = max(wait, min(out.RetryAfter, longestAsked)+rand.N(min(out.RetryAfter, time.Second)))
	}
	g.mu.until = now.Add(wait)
}

func (g *gate) wake() {
	close(g.mu.changed)
	g.mu.changed = make(chan struct{})
}

// state returns how many calls may be made at once, how many are, how many failed
// in a row, and how long the gate is shut.
func (g *gate) state() (limit, calls, failures int, shut time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int(g.mu.limit), g.mu.calls, g.mu.failures, max(0, g.mu.until.Sub(g.now()))
}
