package cli

import (
	"runtime/debug"
)

// softMemoryLimit is where the garbage collector begins to work harder: the
// bound that a server at full load should keep. It is no hard limit.
const softMemoryLimit = 280 << 20

// tuneMemory sets the soft memory limit unless the user did (GOMEMLIMIT).
func tuneMemory(getenv func(string) string) {
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemoryLimit)
	}
}

// settleMemory gives back what only the start needed.
func settleMemory() { debug.FreeOSMemory() }
