package sampling

import (
	"cmp"
	"slices"
	"time"
)

const (
	// windowTime is how long the counts of an Interval are kept.
	windowTime  = time.Hour
	ruleWindows = int(windowTime / Interval)
	// maxWindows bounds the windows of all rules together.
	maxWindows = 100_000
)

// Window holds what all clients counted for a rule in reports of one Interval.
type Window struct {
	Start int64 // unix seconds, a multiple of Interval
	Counts
}

// Summary is a Window of a rule.
type Summary struct {
	Rule string
	Window
}

// count adds a report to the window of now. most is how many windows the rule may have.
func (u *ruleUse) count(now time.Time, counts Counts, most int) {
	const step = int64(Interval / time.Second)
	start := now.Unix() / step * step
	// A clock that was set back counts in the latest window.
	if n := len(u.windows); n == 0 || u.windows[n-1].Start < start {
		most = max(1, min(most, ruleWindows))
		if n >= most {
			u.windows = slices.Delete(u.windows, 0, n-most+1)
		}
		u.windows = append(u.windows, Window{Start: start})
	}
	u.windows[len(u.windows)-1].add(counts)
}

// expire drops windows that are too old.
func (u *ruleUse) expire(now time.Time) {
	oldest := now.Add(-windowTime).Unix()
	gone := 0
	for gone < len(u.windows) && u.windows[gone].Start < oldest {
		gone++
	}
	if gone > 0 {
		u.windows = slices.Clone(u.windows[gone:])
	}
}

// Summaries returns the windows of all rules, the oldest first and those of one
// time by rule, that come after a window of a rule; at most limit. more: there are
// further ones.
func (s *Sampler) Summaries(now time.Time, afterStart int64, afterRule string, limit int) (list []Summary, more bool) {
	oldest := now.Add(-windowTime).Unix()
	s.mu.Lock()
	for name, u := range s.mu.rules {
		for _, w := range u.windows {
			if w.Start >= oldest && (w.Start > afterStart || w.Start == afterStart && name > afterRule) {
				list = append(list, Summary{name, w})
			}
		}
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b Summary) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Rule, b.Rule))
	})
	if len(list) > limit {
		return list[:limit], true
	}
	return list, false
}
