package servicegraph

import "math"

// HistogramEntry counts the durations near a value.
type HistogramEntry struct {
	Value float64 // seconds, rounded to 3 decimals
	Count int64
}

const (
	// exactValues is up to how many distinct values are all given.
	exactValues = 30
	// compression is that of the t-digest: however many values there are, they
	// give no more than about 2*compression entries.
	compression = 100
)

// digest returns the histogram of sorted buckets: all values when they are few,
// else a t-digest of them. It is one pass over what is sorted already, so equal
// durations give equal histograms. A value whose count alone is more than the
// digest allows stays whole, and so do the least and the greatest value.
func digest(list []count) []HistogramEntry {
	type value struct {
		millis int64   // what it is rounded to
		sum    float64 // milliseconds
		n      int64
	}
	values := make([]value, 0, len(list))
	total := int64(0)
	for _, b := range list {
		if b.n <= 0 {
			continue // a change that was not settled yet
		}
		v := value{sum: float64(b.n)*float64(b.millis()) + float64(b.rest)/1e6, n: b.n}
		v.millis = int64(math.Round(v.sum / float64(v.n)))
		total += v.n
		if last := len(values) - 1; last >= 0 && values[last].millis == v.millis {
			values[last].sum += v.sum
			values[last].n += v.n
			continue
		}
		values = append(values, v)
	}
	out := make([]HistogramEntry, 0, min(len(values), 2*compression))
	give := func(v value) {
		out = append(out, HistogramEntry{Value: math.Round(v.sum/float64(v.n)) / 1e3, Count: v.n})
	}
	if len(values) <= exactValues {
		for _, v := range values {
			give(v)
		}
		return out
	}
	give(values[0])
	before := values[0].n // everything that was given
	limit := nextStep(before, total)
	cur := values[1]
	for _, v := range values[2 : len(values)-1] {
		n := cur.n + v.n
		if float64(before+n) <= limit {
			cur.n = n
			cur.sum += v.sum
			continue
		}
		give(cur)
		before += cur.n
		limit = nextStep(before, total)
		cur = v
	}
	give(cur)
	give(values[len(values)-1])
	return out
}

// nextStep returns how many of total observations the entry that begins behind the
// first before of them may reach: it covers at most one step of a scale of
// compression steps. The scale is steeper at the ends than in the middle, so
// that an entry there covers fewer observations.
func nextStep(before, total int64) float64 {
	angle := math.Asin(2*float64(before)/float64(total)-1) + math.Pi/compression
	if angle >= math.Pi/2 {
		return float64(total)
	}
	return (math.Sin(angle) + 1) / 2 * float64(total)
}
