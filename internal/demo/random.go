package demo

import (
	"math"
	"math/rand/v2"
)

// micros is a moment (since the Unix epoch) or a duration in microseconds.
type micros = int64

const (
	millisecond micros = 1_000
	second      micros = 1_000_000
	minute             = 60 * second
	hour               = 60 * minute
)

// mix spreads its arguments over 64 bits (the finaliser of SplitMix64, applied
// in a chain). It gives each second, cell and host a source of its own.
func mix(parts ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, p := range parts {
		h ^= p
		h += 0x9e3779b97f4a7c15
		h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9
		h = (h ^ (h >> 27)) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// unit maps 64 random bits to [0, 1).
func unit(bits uint64) float64 { return float64(bits>>11) / (1 << 53) }

// random is the source of one second's stories.
type random struct {
	pcg rand.PCG
	*rand.Rand
}

func newRandom() *random {
	r := &random{}
	r.Rand = rand.New(&r.pcg)
	return r
}

func (r *random) reseed(parts ...uint64) { r.pcg.Seed(mix(parts...), mix(append(parts, 1)...)) }

// chance is true with probability p.
func (r *random) chance(p float64) bool { return r.Float64() < p }

// between returns a whole number in [lo, hi].
func (r *random) between(lo, hi int) int { return lo + r.IntN(hi-lo+1) }

// span returns a duration in [lo, hi).
func (r *random) span(lo, hi micros) micros { return lo + r.Int64N(hi-lo) }

// latency draws from a log-normal distribution with the given median in
// milliseconds, as the durations of real calls are spread: sigma 0.3 is a steady
// dependency, 0.8 a moody one. One draw in a hundred is a straggler (a pause for
// garbage collection, a cold cache, a lost packet).
func (r *random) latency(medianMillis, sigma float64) micros {
	d := medianMillis * math.Exp(sigma*r.NormFloat64())
	if r.chance(0.01) {
		d *= 3 + 9*r.Float64()
	}
	if limit := medianMillis * 60; d > limit {
		d = limit
	}
	return max(micros(d*1000), 20)
}

// poisson draws the number of events of a process with the given mean.
func (r *random) poisson(mean float64) int {
	switch {
	case mean <= 0:
		return 0
	case mean > 60: // the normal distribution is near enough and costs one draw
		return max(int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())), 0)
	}
	limit, product, n := math.Exp(-mean), r.Float64(), 0
	for product > limit {
		product *= r.Float64()
		n++
	}
	return n
}

// zipf returns an index below n, small ones far more often: a few customers and
// products make most of the traffic.
func (r *random) zipf(n int) int {
	return min(int(math.Pow(float64(n), r.Float64()))-1, n-1)
}

func pick[T any](r *random, list []T) T { return list[r.IntN(len(list))] }
