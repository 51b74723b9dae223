package pebblestore

import (
	"context"
	"fmt"
	"time"

	"github.com/roentgen-io/roentgen/segment"
)

const (
	houseInterval = time.Second
	// reclaimTime is how long the removal of parts may take to show in the
	// folder's size before more go for want of room.
	reclaimTime = 10 * time.Second
)

// reclaim is a removal of parts that the folder's size does not show yet.
type reclaim struct {
	below uint64 // bytes: when the folder takes less, it shows
	until time.Time
}

// removedPart is a part whose room may not be free yet.
type removedPart struct {
	id uint16
	at time.Time
}

// reclaimDelay is how long Pebble gets to drop the files of a removed part by
// itself, which it can when they hold nothing else.
const reclaimDelay = 2 * time.Second

// reclaimRoom compacts what is left of removed parts: files that they share
// with their neighbours would keep their room until chance compacts them.
func (r *roller) reclaimRoom(ctx context.Context, now time.Time) {
	if r.reclaiming != nil {
		select {
		case <-r.reclaiming:
			r.reclaiming = nil
		default:
			return
		}
	}
	if len(r.removed) == 0 || now.Sub(r.removed[0].at) < reclaimDelay {
		return
	}
	removed := r.removed
	r.removed = nil
	done := make(chan struct{})
	r.reclaiming = done
	go func() {
		defer close(done)
		for _, p := range removed {
			for _, tag := range partTags {
				lower, upper := partSpan(tag, p.id)
				if err := r.inst.db.Compact(ctx, lower, upper, false); err != nil {
					return // it was cancelled, or the instance failed and says so itself
				}
			}
		}
	}()
}

// keepHouse does what is due now and then: dead letters, figures, retention.
func (r *roller) keepHouse(ctx context.Context, last bool) error {
	if err := r.s.letters.flush(r.inst); err != nil {
		return err
	}
	now := time.Now()
	if last || now.Sub(r.housekeeping) < houseInterval {
		// Age is cheap to look at, and a short retention should be kept exactly.
		return r.removeAged()
	}
	r.housekeeping = now
	r.reclaimRoom(ctx, now)
	r.inst.look()
	disk := r.inst.disk.Load() + uint64(r.s.space.ballast.Load())
	r.s.disk.Store(int64(disk))
	if err := r.removeAged(); err != nil {
		return err
	}
	budget := uint64(max(r.s.cfg.DiskBudget, 0))
	if budget == 0 || disk <= budget || disk > r.reclaim.below && now.Before(r.reclaim.until) {
		return nil
	}
	// As many parts go as make up for the excess. Their rows take room too, so
	// that is enough, unless the room is taken by something that is about to go anyway.
	freed := uint64(0)
	for _, p := range r.s.parts.copy() {
		if freed >= disk-budget {
			break
		}
		if err := r.removeOldest("budget"); err != nil {
			return err
		}
		freed += max(p.bytes, 1)
	}
	r.reclaim = reclaim{below: disk - min(disk, freed/2), until: now.Add(reclaimTime)}
	return nil
}

// removeAged removes the parts whose youngest document is beyond retention.
func (r *roller) removeAged() error {
	retention := r.s.cfg.Retention.Milliseconds()
	if r.s.cfg.Retention <= 0 {
		return nil
	}
	for {
		list := r.s.parts.copy()
		// A part ends when the next begins.
		if len(list) < 2 || r.s.cfg.Now().UnixMilli()-list[1].created < retention {
			return nil
		}
		if err := r.removeOldest("age"); err != nil {
			return err
		}
	}
}

// removeOldest removes the oldest part. The traces that were at home there and
// have documents in later parts get a row, made of those, in the part of the
// first of them. It all happens in one batch.
func (r *roller) removeOldest(reason string) error {
	// Everything that arrived in the part has to be in the views, whose rows the
	// step below would otherwise write again.
	if err := r.step(true); err != nil {
		return err
	}
	return r.alone(func() error { return r.takeOldest(reason) })
}

func (r *roller) takeOldest(reason string) error {
	list := r.s.parts.copy()
	if len(list) < 2 || list[1].firstSeq > r.w+1 {
		return nil // the next part was only just begun
	}
	gone, rest := list[0], list[1:]
	moved, err := r.linked(gone.id)
	if err != nil {
		return err
	}
	items := make([]*rollItem, 0, len(moved))
	for _, id := range moved {
		// As of W without the part: the seq of the first document to come stands
		// for that.
		items = append(items, &rollItem{id: id, docs: []tailDoc{{}}})
		items[len(items)-1].docs[0].Seq = r.w + 1
	}
	if err := r.reload(items, rest); err != nil {
		return err
	}
	r.arena = r.arena[:0]
	now := time.Now()
	kept := items[:0]
	for _, it := range items {
		if len(it.open.docs) == 0 {
			continue
		}
		it.docs, it.link, it.fresh = nil, it.open.linked, false
		if err := r.row(it, now); err != nil {
			r.graph.clear() // of what the rows before count: they will be made again
			return err
		}
		kept = append(kept, it)
	}
	b := r.inst.db.NewBatch()
	defer b.Close()
	for _, tag := range partTags {
		lower, upper := partSpan(tag, gone.id)
		must(b.DeleteRange(lower, upper, nil))
	}
	must(b.Delete(appendPartKey(nil, gone.id), nil))
	r.near.forget(gone.id)
	r.s.words.forget(gone.id)
	if err := r.write(b, kept); err != nil {
		// As after a step that fails, half of what is in memory belongs to the batch.
		r.inst.fail(err)
		return err
	}
	if err := r.inst.apply(b, false); err != nil {
		return err
	}
	for _, o := range r.open.byID {
		if o.home == gone.id {
			r.open.drop(o)
		}
	}
	// Whatever changed its row by losing documents is not in the history of changes.
	r.s.history.reset(r.w)
	r.s.parts.removeOldest()
	r.removed = append(r.removed, removedPart{gone.id, now})
	if err := r.show(r.w, nil); err != nil {
		return err
	}
	r.s.metrics.partsRemoved.WithLabelValues(reason).Inc()
	r.s.log.Info("oldest part removed", "reason", reason, "part", gone.id, "documents", gone.docs, "bytes", gone.bytes,
		"created", time.UnixMilli(gone.created).UTC(), "moved_traces", len(kept))
	return nil
}

var (
	// viewTags are the tags of the keys of views.
	viewTags = []byte{tagTerms, tagChange, tagGraph, tagLink, tagRow, tagEnd, tagWord}
	// partTags are the tags of the keys that go with their part: all of these.
	partTags = append([]byte{tagDocs, tagTrace}, viewTags...)
)

// linked returns the traces that are at home in a part and have documents beyond it.
func (r *roller) linked(part uint16) ([]segment.TraceID, error) {
	it, err := r.inst.db.NewIter(nil)
	if err != nil {
		return nil, r.inst.readError("find linked traces", err)
	}
	defer it.Close()
	lower, upper := partSpan(tagLink, part)
	it.SetBounds(lower, upper)
	var ids []segment.TraceID
	for ok := it.First(); ok; ok = it.Next() {
		_, id, ok := decodeLinkKey(it.Key())
		if !ok {
			return nil, corrupt(it.Key(), fmt.Errorf("key of %d bytes", len(it.Key())))
		}
		ids = append(ids, id)
	}
	if err := it.Error(); err != nil {
		return nil, r.inst.readError("find linked traces", err)
	}
	return ids, nil
}
