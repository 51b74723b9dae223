package xrayapi

import (
	"runtime"
	gometrics "runtime/metrics"
	"sync"
	"sync/atomic"
)

// fewLeftovers is how much may be given up without being counted.
const fewLeftovers = 64 << 10

// leftovers count the memory of large requests that is not used any more and that the
// garbage collector has not found yet. A few clients that send bodies of 60 MB, or
// have them refused, leave it behind faster than collections follow by themselves.
type leftovers struct {
	collecting sync.Mutex

	mu          sync.Mutex
	cycle       uint64 // of the collector, in which now was left
	now, before int64  // before is of the cycle before; it was under way when that was left
}

// add counts n bytes that nothing refers to any more.
func (l *leftovers) add(n int64) {
	if n < fewLeftovers {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	l.now += n
}

// turn forgets what the collector must have found.
func (l *leftovers) turn() {
	cycle := gcCycles()
	switch cycle - l.cycle {
	case 0:
		return
	case 1:
		l.before = l.now
	default:
		l.before = 0
	}
	l.now, l.cycle = 0, cycle
}

func (l *leftovers) sum() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn()
	return l.now + l.before
}

// bound collects garbage when what is used and what is left over come to more than
// the limit together. Others wait that long: they would only leave more.
func (l *leftovers) bound(used *atomic.Int64, limit int64) {
	l.collecting.Lock()
	defer l.collecting.Unlock()
	if left := l.sum(); left < limit/8 || used.Load()+left <= limit {
		return
	}
	l.mu.Lock()
	l.now, l.before = 0, 0
	l.mu.Unlock()
	runtime.GC()
}

// gcCycles returns how many garbage collections were completed.
func gcCycles() uint64 {
	sample := []gometrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	gometrics.Read(sample)
	return sample[0].Value.Uint64()
}
