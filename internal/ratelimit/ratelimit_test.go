package ratelimit

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	now := time.Unix(0, 0)
	clock := func() time.Time { return now }
	b := New(100, clock)
	for _, c := range []struct {
		after time.Duration
		n     int
		want  bool
	}{
		{0, 60, true}, {0, 40, true}, {0, 1, false}, // a second's worth at once
		{500 * time.Millisecond, 51, true}, {0, 1, false}, // more than is left, which has
		{10 * time.Millisecond, 1, false}, {10 * time.Millisecond, 1, true}, // to be waited off
		{time.Hour, 1000, true}, {9 * time.Second, 1, false}, {time.Second, 1, true}, // no call is too large
		{-time.Second, 99, true}, {0, 1, false}, // a clock that goes back takes nothing away
	} {
		now = now.Add(c.after)
		if got := b.Take(c.n); got != c.want {
			t.Errorf("at %v, after %v, Take(%d) is %t", now.UTC(), c.after, c.n, got)
		}
	}
	b.GiveBack(10)
	if !b.Take(1) {
		t.Error("what was given back is not there")
	}
	b.Take(100)
	if again := b.Again(100, clock); again != b {
		t.Error("a bucket of the same rate is another one")
	}
	if again := b.Again(101, clock); again == b || !again.Take(1) {
		t.Error("a bucket of another rate is not full")
	}
}

func TestNoLimit(t *testing.T) {
	b := New(0, time.Now)
	if b != nil || !b.Take(1<<30) {
		t.Error("a rate of 0 refuses something")
	}
	b.GiveBack(1)
	if b.Again(0, time.Now) != nil || b.Again(1, time.Now) == nil || New(1, time.Now).Again(0, time.Now) != nil {
		t.Error("a limit does not come and go")
	}
}
