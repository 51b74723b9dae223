package servicegraph

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

func TestDigest(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var c, other Cell
		n := 1 + rng.IntN(3000)
		distinct := 1 + rng.IntN(2000)
		scale := math.Exp(rng.Float64() * 25) // up to some minutes
		pool := make([]int64, distinct)
		for i := range pool {
			pool[i] = int64(math.Exp(rng.NormFloat64()) * scale)
		}
		counts := map[float64]int64{}
		sum, least, most := 0.0, math.Inf(1), 0.0
		observations := make([]Contribution, n)
		for i := range observations {
			d := pool[rng.IntN(distinct)]
			observations[i] = Contribution{Response: d, Envelope: d}
			counts[math.Round(float64(d)/1e6)/1e3]++
			sum += float64(d) / 1e9
			least, most = min(least, float64(d)/1e9), max(most, float64(d)/1e9)
		}
		for i := range observations {
			c.Add(&observations[i], 1)
		}
		for _, i := range rng.Perm(n) {
			other.Add(&observations[i], 1)
		}
		h := c.responseTime()
		if again := other.responseTime(); !reflect.DeepEqual(h, again) {
			t.Fatalf("seed %d: another order of arrival gives another histogram", seed)
		}
		total, weighted := int64(0), 0.0
		for i, e := range h {
			total += e.Count
			weighted += float64(e.Count) * e.Value
			if e.Count <= 0 || e.Value != math.Round(e.Value*1e3)/1e3 || i > 0 && h[i-1].Value >= e.Value {
				t.Fatalf("seed %d: entry %d of %v", seed, i, h)
			}
		}
		// Buckets are wider than a millisecond beyond 16 s.
		slack := max(0.0005, most/8192)
		if total != int64(n) || math.Abs(weighted-sum) > 0.000501*float64(n) ||
			math.Abs(h[0].Value-least) > slack || math.Abs(h[len(h)-1].Value-most) > slack {
			t.Fatalf("seed %d: %d of %d, weighted %g of %g, from %g to %g: %v", seed, total, n, weighted, sum, least, most, h)
		}
		if len(counts) <= exactValues && most < 16 {
			for _, e := range h {
				if counts[e.Value] != e.Count {
					t.Fatalf("seed %d: %v, want %v", seed, h, counts)
				}
			}
			if len(h) != len(counts) {
				t.Fatalf("seed %d: %v, want %v", seed, h, counts)
			}
		}
		if len(h) > 200 {
			t.Fatalf("seed %d: %d entries", seed, len(h))
		}
	}
}

// TestDigestSize looks at how many entries evenly spaced values make: about as
// many as the service was seen to give, fewer in the middle than at the ends.
func TestDigestSize(t *testing.T) {
	for _, c := range []struct{ n, least, most int }{
		{1, 1, 1}, {30, 30, 30}, {80, 60, 80}, {256, 90, 160}, {1024, 100, 170}, {10_000, 100, 200},
	} {
		var cell Cell
		for i := range c.n {
			d := int64(i+1) * 1e6
			cell.Add(&Contribution{Response: d, Envelope: d}, 1)
		}
		h := cell.responseTime()
		t.Logf("%d values make %d entries", c.n, len(h))
		if len(h) < c.least || len(h) > c.most {
			t.Errorf("%d values make %d entries, want %d to %d", c.n, len(h), c.least, c.most)
		}
		if c.n > 1000 && h[len(h)/2].Count <= h[1].Count {
			t.Errorf("%d values: the middle is as fine as the end: %v", c.n, h)
		}
	}
	var equal Cell
	for range 96 {
		equal.Add(&Contribution{Response: 11e6, Envelope: 11e6}, 1)
	}
	if h := equal.responseTime(); len(h) != 1 || h[0] != (HistogramEntry{0.011, 96}) {
		t.Errorf("96 equal values make %v", h)
	}
	var heavy Cell // one value that most have stays whole among many others
	for i := range 3000 {
		d := int64(500e6)
		if i%3 == 0 {
			d = int64(i+1) * 1e6
		}
		heavy.Add(&Contribution{Response: d, Envelope: d}, 1)
	}
	found := false
	for _, e := range heavy.responseTime() {
		found = found || e.Value == 0.5 && e.Count >= 2000
	}
	if !found {
		t.Errorf("the frequent value was cut: %v", heavy.responseTime())
	}
}
