package pebblestore

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

const (
	// defaultMinFree leaves room for the flush of all memtables and a compaction;
	// on a small volume a twentieth of it does.
	defaultMinFree = 256 << 20
	ballastName    = "BALLAST"
	maxBallast     = 64 << 20
	spaceInterval  = 250 * time.Millisecond
)

// space watches the room on the volume.
type space struct {
	free    atomic.Int64 // bytes, less what was written since the latest look; -1: not known
	minFree atomic.Int64
	low     atomic.Bool // writes are refused
	ballast atomic.Int64
}

// lookAtSpace reads the free space and decides whether writes may go on.
func (s *Store) lookAtSpace() {
	usage, err := s.cfg.FS.GetDiskUsage(s.cfg.Dir)
	if err != nil {
		// A volume that does not say how full it is cannot be watched.
		s.space.free.Store(-1)
		if !errors.Is(err, vfs.ErrUnsupported) {
			s.log.Debug("free space could not be read", "err", err)
		}
		s.space.low.Store(false)
		return
	}
	minFree := s.cfg.MinFree
	if minFree <= 0 {
		minFree = int64(min(defaultMinFree, usage.TotalBytes/20))
	}
	s.space.minFree.Store(minFree)
	free := int64(min(usage.AvailBytes, math.MaxInt64))
	s.space.free.Store(free)
	if low := free < minFree; s.space.low.Swap(low) != low {
		if low {
			s.log.Error("writes are refused: little space is left", "free_bytes", free, "min_free_bytes", minFree)
		} else {
			s.log.Info("writes are taken again: there is space", "free_bytes", free, "min_free_bytes", minFree)
		}
	}
}

// spend notes that bytes were written, so that a burst between two looks
// does not run into a full disk.
func (s *Store) spend(bytes int64) {
	if free := s.space.free.Load(); free >= 0 && s.space.free.Add(-bytes) < s.space.minFree.Load() {
		s.space.low.Store(true) // until the next look
	}
}

func (s *Store) lowSpace() error {
	return fmt.Errorf("%w: %d MB are free where %s is, %d MB are needed: make room, or set a smaller retention or disk budget",
		tracestore.ErrNoSpace, s.space.free.Load()>>20, s.cfg.Dir, (s.space.minFree.Load()+1<<20-1)>>20)
}

func (s *Store) spaceLoop() {
	tick := time.NewTicker(spaceInterval)
	defer tick.Stop()
	for {
		s.lookAtSpace()
		s.makeBallast()
		select {
		case <-tick.C:
		case <-s.closing:
			return
		}
	}
}

// makeBallast sets a file aside that freeBallast can give up.
func (s *Store) makeBallast() {
	size := min(s.space.minFree.Load()/4, maxBallast)
	if s.cfg.DiskBudget > 0 {
		size = min(size, s.cfg.DiskBudget/32)
	}
	if size <= 0 || s.space.ballast.Load() != 0 || s.space.free.Load() < s.space.minFree.Load()+4*size {
		return
	}
	name := s.cfg.FS.PathJoin(s.cfg.Dir, ballastName)
	f, err := s.cfg.FS.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(f.Preallocate(0, size), f.Sync(), f.Close())
	}
	if err != nil {
		s.log.Debug("ballast could not be made", "err", err)
		return
	}
	s.space.ballast.Store(size)
}

// freeBallast gives the file up when the disk turns out to be full, so that what
// is under way can end. vfs holds back all writes meanwhile.
func (s *Store) freeBallast() {
	if s.space.ballast.Swap(0) == 0 {
		return
	}
	if err := s.cfg.FS.Remove(s.cfg.FS.PathJoin(s.cfg.Dir, ballastName)); err != nil {
		s.log.Error("ballast could not be removed", "err", err)
		return
	}
	s.space.low.Store(true)
	s.log.Error("disk is full: the ballast was given up")
}
