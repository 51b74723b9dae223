package query

import (
	"context"
	"errors"
	"time"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	// settleTime is how long a trace must be quiet before it is given to those who
	// follow, and settleMost how long it may keep them waiting: the documents of
	// one request arrive within moments of each other.
	settleTime = 400 * time.Millisecond
	settleMost = 2 * time.Second
	// followTraces bounds how many traces wait to be given, and followPerTick how
	// many are read at a time: someone who follows without a filter must not slow
	// down those who write.
	followTraces  = 20_000
	followPerTick = 500
	followTick    = 100 * time.Millisecond
)

// Changes tells which traces changed: batches of ids come from C until cancel is
// called. Missed returns how many ids did not fit since it was asked last.
type Changes struct {
	C      <-chan []segment.TraceID
	Missed func() int
	Cancel func()
}

// UseChanges tells where Follow learns of changes. It is called before the first
// question.
func (q *Service) UseChanges(subscribe func() Changes) { q.changes = subscribe }

var errNoChanges = errors.New("query: nobody tells which traces change")

// waiting is a trace that changed and was not given yet.
type waiting struct {
	first, last time.Time // of its changes
}

// Follow calls fn with the row of every trace that changes from now on and then
// matches the filter (nil: all), once its documents have come to rest for a moment;
// a trace that changes again is given again. Traces of nothing but orphans are
// left out unless orphans is set. fn also hears how many changed traces were
// left out since the last time, because more change than can be followed; row is
// nil when only that is new, or when nothing was for idle. The first call has
// neither: from then on no change is missed. Follow ends with
// fn's first error or ctx's.
func (q *Service) Follow(ctx context.Context, f *Filter, orphans bool, idle time.Duration, fn func(row *trace.Row, missed int) error) error {
	if q.changes == nil {
		return errNoChanges
	}
	changes := q.changes()
	defer changes.Cancel()
	if err := fn(nil, 0); err != nil {
		return err
	}
	ask := Question{Filter: f, Orphans: orphans}
	queue := make(map[segment.TraceID]*waiting)
	missed := 0
	spoken := q.now()
	say := func(row *trace.Row) error {
		err := fn(row, missed)
		missed, spoken = 0, q.now()
		return err
	}
	tick := time.NewTicker(followTick)
	defer tick.Stop()
	var ripe []segment.TraceID
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ids := <-changes.C:
			now := q.now()
			for _, id := range ids {
				if w := queue[id]; w != nil {
					w.last = now
				} else if len(queue) < followTraces {
					queue[id] = &waiting{now, now}
				} else {
					missed++
				}
			}
		case <-tick.C:
			now := q.now()
			ripe = ripe[:0]
			for id, w := range queue {
				if now.Sub(w.last) >= settleTime || now.Sub(w.first) >= settleMost {
					if ripe = append(ripe, id); len(ripe) == followPerTick {
						break
					}
				}
			}
			missed += changes.Missed()
			for _, id := range ripe {
				delete(queue, id)
				t, err := q.Trace(ctx, id)
				if err != nil {
					return err
				}
				if t == nil { // retention was faster
					continue
				}
				row := t.FullRow()
				if !ask.visible(row) {
					continue
				}
				if f != nil {
					if m, _ := ask.judge(row); !m.ok {
						continue
					}
				}
				if err := say(row); err != nil {
					return err
				}
			}
			if missed > 0 || now.Sub(spoken) >= idle {
				if err := say(nil); err != nil {
					return err
				}
			}
		}
	}
}
