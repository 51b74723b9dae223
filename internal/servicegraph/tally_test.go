package servicegraph

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// TestTally adds runs and single counts of all lengths, of which much adds up to
// nothing, and compares with a map.
func TestTally(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var got tally
		want := map[int64]count{}
		keys := 1 + rng.Int64N(1+int64(seed)*20)
		for range rng.IntN(40) {
			var run []count
			for range rng.IntN(1 + rng.IntN(300)) {
				run = append(run, count{rng.Int64N(keys), rng.Int64N(3) - 1, rng.Int64N(3) - 1})
			}
			if rng.IntN(4) > 0 {
				slices.SortFunc(run, func(a, b count) int { return int(a.key - b.key) })
			}
			for _, c := range run {
				w := want[c.key]
				want[c.key] = count{c.key, w.n + c.n, w.rest + c.rest}
			}
			if rng.IntN(2) == 0 {
				got.merge(run)
			} else {
				for _, c := range run {
					got.add(c)
				}
			}
			if rng.IntN(8) == 0 {
				got.settle()
			}
		}
		var list []count
		for _, c := range want {
			if !c.zero() {
				list = append(list, c)
			}
		}
		slices.SortFunc(list, func(a, b count) int { return int(a.key - b.key) })
		if settled := got.settle(); !slices.Equal(settled, list) {
			t.Fatalf("seed %d: the tally holds %v, want %v", seed, settled, list)
		}
		// Whatever was added is taken away again.
		for _, c := range list {
			got.add(count{c.key, -c.n, -c.rest})
		}
		if left := got.settle(); len(left) != 0 {
			t.Fatalf("seed %d: %v is left", seed, left)
		}
	}
}

func TestEncodedStarts(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 5))
		var c Cell
		for range rng.IntN(200) {
			o := randomContribution(rng)
			c.Add(&o, 1)
		}
		if rng.IntN(3) == 0 {
			c.Coarsen(Unit(rng.IntN(int(unitsEnd))))
		}
		var want, got []Start
		c.Starts(func(s Start) bool { want = append(want, s); return true })
		data := c.AppendBinary(nil)
		if err := EncodedStarts(data, func(s Start) bool { got = append(got, s); return true }); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %v, %v, want %v", seed, got, err, want)
		}
		if len(want) == 0 {
			continue
		}
		n := 0
		if err := EncodedStarts(data, func(Start) bool { n++; return false }); err != nil || n != 1 {
			t.Fatalf("seed %d: %d starts after the first was enough, %v", seed, n, err)
		}
		for _, bad := range [][]byte{nil, {1}, data[:1], data[:7]} { // version and sums take six bytes at least
			err := EncodedStarts(bad, func(s Start) bool { t.Fatalf("seed %d: %v out of %x", seed, s, bad); return false })
			if !errors.Is(err, ErrCell) {
				t.Fatalf("seed %d: %x gives %v", seed, bad, err)
			}
		}
	}
}
