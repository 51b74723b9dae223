package pebblestore

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
)

// Config sets up a Store.
type Config struct {
	Dir        string                // data folder, made when it does not exist
	FS         vfs.FS                // nil: the disk
	Retention  time.Duration         // age by arrival after which documents go; 0: never
	DiskBudget int64                 // bytes the folder may take; the oldest documents go first; 0: no bound
	MinFree    int64                 // writes are refused while less than this is free on the volume; 0: a default
	TailBytes  int64                 // documents waiting for the views, beyond it Write answers ErrOverloaded; 0: a default
	CacheBytes int64                 // block cache; 0: a default
	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: no metrics
	Now        func() time.Time      // nil: time.Now
}
