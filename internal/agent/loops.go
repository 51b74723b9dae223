package agent

import (
	"encoding/binary"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/segment"
)

// Destinations may lead back to where documents came from. Two things keep them from
// going round for ever:
//
//   - Calls carry the ids of all through whom their documents came (ingest.HeaderVia).
//     Who finds its own id there knows at once.
//   - Others, a Collector say, drop that header. So what was sent lately is remembered,
//     and does not go the same way again when it comes back.

// maxVia is through how many servers and agents a record may go.
const maxVia = 16

// loops notices what comes back.
type loops struct {
	id     string // of this server or agent
	sent   *recent
	logger *slog.Logger

	looped   atomic.Uint64 // records that came with our own id
	repeated atomic.Uint64 // records that were sent lately and came again

	limitLooped, limitRepeated telemetry.Limiter
}

// newLoops returns what remembers records that were sent, room of them at most.
func newLoops(id string, room int, logger *slog.Logger) *loops {
	return &loops{id: id, sent: newRecent(room), logger: logger}
}

// validVia reports whether a text is a list of ids.
func validVia(via string) bool {
	return len(via) <= maxVia*17 && strings.Trim(via, "0123456789abcdef,") == ""
}

// through returns the ids to pass on with what came through those of via; back tells
// that it has been here before, or goes round somewhere else.
func (l *loops) through(via string) (now string, back bool) {
	if via == "" || !validVia(via) {
		return l.id, false // an invalid one is nobody's list
	}
	if passed := strings.Split(via, ","); slices.Contains(passed, l.id) || len(passed) >= maxVia {
		return "", true
	}
	return via + "," + l.id, false
}

// noteLooped counts records that through recognized.
func (l *loops) noteLooped(records int, via string) {
	l.looped.Add(uint64(records))
	l.limitLooped.Log(l.logger, slog.LevelWarn, "documents came back that were passed on from here; they go no further",
		slog.Int("documents", records), slog.String("through", via))
}

// noteRepeated counts records that were sent lately.
func (l *loops) noteRepeated(records int) {
	if records == 0 {
		return
	}
	l.repeated.Add(uint64(records))
	l.limitRepeated.Log(l.logger, slog.LevelWarn, "documents came again that were passed on shortly before; they go no further: a destination leads back here, or a sender sends twice",
		slog.Int("documents", records))
}

// markOf returns the same number, never 0, for what is the same to those that it is sent to. Of a
// finished entity that is one with the same ids and times: whatever else
// was made of it on its way round, a store keeps the first. Of an unfinished one,
// of which the last counts, it is the same text.
func markOf(s *segment.Segment, text []byte) uint64 {
	if s == nil {
		return 0
	}
	var b [41]byte
	copy(b[:], s.TraceID[:])
	binary.LittleEndian.PutUint64(b[16:], uint64(s.ID))
	if s.InProgress {
		b[40] = 1
		binary.LittleEndian.PutUint64(b[24:], xxhash.Sum64(text))
	} else {
		// Some count in nanoseconds, others in seconds with a fraction.
		binary.LittleEndian.PutUint64(b[24:], uint64(int64(math.Round(s.StartTime*1e6))))
		binary.LittleEndian.PutUint64(b[32:], uint64(int64(math.Round(s.EndTime*1e6))))
	}
	return max(1, xxhash.Sum64(b[:]))
}

// recentWays is how many marks share a bucket of a recent.
const recentWays = 16

// recent is a set of the marks that were added last, of fixed size: a mark has its bucket, where it
// pushes the oldest out. Of the last quarter of what fits in all nearly none is missing (2 in a million),
// of the last half one in a hundred.
type recent struct {
	mu      sync.Mutex
	buckets [][recentWays]uint64 // each the latest first; a power of 2
}

// newRecent returns a set of at most size marks, a power of 2.
func newRecent(size int) *recent {
	return &recent{buckets: make([][recentWays]uint64, size/recentWays)}
}

func (r *recent) bucket(mark uint64) *[recentWays]uint64 {
	return &r.buckets[mark&uint64(len(r.buckets)-1)]
}

// add adds marks; 0 is none.
func (r *recent) add(marks []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range marks {
		if m == 0 {
			continue
		}
		b := r.bucket(m)
		at := slices.Index(b[:], m)
		if at < 0 {
			at = recentWays - 1
		}
		copy(b[1:at+1], b[:at])
		b[0] = m
	}
}

// has reports which of marks were added lately.
func (r *recent) has(marks []uint64) (known []bool) {
	known = make([]bool, len(marks))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range marks {
		known[i] = m != 0 && slices.Contains(r.bucket(m)[:], m)
	}
	return known
}
