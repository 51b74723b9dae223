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

// newLoops returns what remembers at least so many records that were sent.
func newLoops(id string, remembered int, logger *slog.Logger) *loops {
	return &loops{id: id, sent: newRecent(remembered), logger: logger}
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

// recent is a set of the marks that were added last: at least most of them, at most twice as
// many. It takes about 20 bytes for each.
type recent struct {
	most int

	mu          sync.Mutex
	now, before map[uint64]struct{}
}

func newRecent(most int) *recent {
	return &recent{most: most, now: make(map[uint64]struct{}), before: make(map[uint64]struct{})}
}

// add adds marks; 0 is none.
func (r *recent) add(marks []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range marks {
		if m == 0 {
			continue
		}
		r.now[m] = struct{}{}
		if len(r.now) >= r.most {
			r.now, r.before = r.before, r.now
			clear(r.now)
		}
	}
}

// has reports which of marks were added lately.
func (r *recent) has(marks []uint64) (known []bool) {
	known = make([]bool, len(marks))
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range marks {
		_, now := r.now[m]
		_, before := r.before[m]
		known[i] = now || before
	}
	return known
}
