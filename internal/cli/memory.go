package cli

import (
	"runtime/debug"

	"github.com/roentgen-io/roentgen/internal/config"
)

// softMemoryLimit is where the garbage collector begins to work harder: the
// bound that a server with default settings should keep at full load. It is no
// hard limit.
const softMemoryLimit = 250 << 20

// tuneMemory sets the soft memory limit unless the user did (GOMEMLIMIT). Who
// gives caches and queues more than the default gets that much more.
func tuneMemory(getenv func(string) string, c *config.Config) {
	if getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(softMemoryLimit)
	d := config.NewDefault()
	for _, more := range []config.Bytes{c.Cache - d.Cache, c.MaxInFlight - d.MaxInFlight, c.UDPQueue - d.UDPQueue} {
		limit += max(0, int64(more))
	}
	debug.SetMemoryLimit(limit)
}

// settleMemory gives back what only the start needed.
func settleMemory() { debug.FreeOSMemory() }
