package sampling

import (
	"cmp"
	"math"
	"slices"
)

// Share parts a reservoir among clients by their demands, which are not below 0.
// The shares are whole, those of clients without demand are 0, and they add up to
// the reservoir unless nobody has demand. Each is less than 1 away from the exact
// share. What cannot be parted goes to the largest remainders; of equal ones to those
// with more demand, and of these to the first. held are the shares so far,
// or nil: a remainder that was rounded up there counts twice, so that those that are about
// equal do not take it from each other for ever.
func Share(reservoir int, demands []float64, held []int) []int {
	shares := make([]int, len(demands))
	var sum float64
	for _, d := range demands {
		sum += d
	}
	if sum <= 0 || reservoir <= 0 {
		return shares
	}
	type remainder struct {
		at   int
		part float64
	}
	var remainders []remainder
	left := reservoir
	for i, d := range demands {
		if d <= 0 {
			continue
		}
		exact := float64(reservoir) * (d / sum)
		whole := math.Floor(exact)
		part := exact - whole
		shares[i] = int(whole)
		left -= shares[i]
		if held != nil && held[i] > shares[i] {
			part *= 2
		}
		remainders = append(remainders, remainder{i, part})
	}
	slices.SortFunc(remainders, func(a, b remainder) int {
		return cmp.Or(cmp.Compare(b.part, a.part), cmp.Compare(demands[b.at], demands[a.at]), cmp.Compare(a.at, b.at))
	})
	// left is below the number of remainders but for what rounding did to
	// numbers near the end of their precision.
	for i := 0; left > 0; i++ {
		shares[remainders[i%len(remainders)].at]++
		left--
	}
	for i := 0; left < 0; i++ {
		last := remainders[len(remainders)-1-i%len(remainders)]
		if shares[last.at] > 0 {
			shares[last.at]--
			left++
		}
	}
	return shares
}
