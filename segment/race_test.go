//go:build race

package segment

// Under the race detector sync.Pool forgets things at random.
func init() { raceDetector = true }
