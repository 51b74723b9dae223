package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// setting returns the number in an environment variable, or def without one.
func setting(t *testing.T, name string, def int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%q: %v", name, text, err)
	}
	return n
}

// anySeed returns the seed in ROENTGEN_SEED, or another one every time.
func anySeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("ROENTGEN_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("ROENTGEN_SEED=%q: %v", text, err)
	}
	return seed
}
