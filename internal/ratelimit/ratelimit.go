// Package ratelimit bounds how much is taken in a second: of the documents of all
// senders together, of the documents and bytes of one key.
package ratelimit

import (
	"sync"
	"time"
)

// Bucket allows so much a second on average, one second's worth at once. It lets in
// whatever comes while something is left; what is more than was left has to be waited
// off, so that no call is too large to ever get in. A nil Bucket allows everything.
type Bucket struct {
	rate float64
	now  func() time.Time

	mu struct {
		sync.Mutex
		left float64
		at   time.Time
	}
}

// New returns a full bucket for a rate, nil for 0.
func New(rate int64, now func() time.Time) *Bucket {
	if rate <= 0 {
		return nil
	}
	b := &Bucket{rate: float64(rate), now: now}
	b.mu.left, b.mu.at = b.rate, now()
	return b
}

// Again returns a bucket for a rate that may be another one: b itself, with what is
// left in it, when it has that rate.
func (b *Bucket) Again(rate int64, now func() time.Time) *Bucket {
	if b != nil && b.rate == float64(rate) {
		return b
	}
	return New(rate, now)
}

// Take takes n out of the bucket, or returns false when it is empty.
func (b *Bucket) Take(n int) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if passed := now.Sub(b.mu.at).Seconds(); passed > 0 {
		b.mu.left = min(b.rate, b.mu.left+passed*b.rate)
		b.mu.at = now
	}
	if b.mu.left <= 0 {
		return false
	}
	b.mu.left -= float64(n)
	return true
}

// GiveBack undoes a Take.
func (b *Bucket) GiveBack(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.mu.left += float64(n)
	b.mu.Unlock()
}
