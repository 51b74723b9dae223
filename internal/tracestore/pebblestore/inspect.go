package pebblestore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/internal/tracestore"
)

var _ tracestore.Inspector = (*Store)(nil)

// kinds are what a folder's keys are for, in the order of Inspection.Kinds.
var kinds = []struct {
	kind string
	tags []byte
}{
	{tracestore.KindDocuments, []byte{tagDocs}},
	{tracestore.KindTraces, []byte{tagTrace, tagLink}},
	{tracestore.KindRows, []byte{tagRow}},
	{tracestore.KindTimes, []byte{tagChange, tagEnd}},
	{tracestore.KindTerms, []byte{tagTerms}},
	{tracestore.KindGraph, []byte{tagGraph}},
	{tracestore.KindLetters, []byte{tagLetter}},
}

// inspectAge is how old an Inspection may be: it goes through all files.
const inspectAge = 2 * time.Second

// inspected is the Inspection that was made last.
type inspected struct {
	mu   sync.Mutex
	at   time.Time
	last tracestore.Inspection
}

// Inspect satisfies tracestore.Inspector.
func (s *Store) Inspect(ctx context.Context) (tracestore.Inspection, error) {
	if err := ctx.Err(); err != nil {
		return tracestore.Inspection{}, err
	}
	s.inspected.mu.Lock()
	defer s.inspected.mu.Unlock()
	if now := s.cfg.Now(); s.inspected.at.IsZero() || now.Sub(s.inspected.at) >= inspectAge {
		fresh, err := s.inspect()
		if err != nil {
			return tracestore.Inspection{}, err
		}
		s.inspected.at, s.inspected.last = now, fresh
	}
	return s.inspected.last, nil
}

func (s *Store) inspect() (tracestore.Inspection, error) {
	r, err := s.read(nil)
	if err != nil {
		return tracestore.Inspection{}, err
	}
	defer r.release()
	db := r.inst.db
	var out tracestore.Inspection
	for _, k := range kinds {
		var bytes uint64
		for _, tag := range k.tags {
			n, err := db.EstimateDiskUsage([]byte{tag}, []byte{tag + 1})
			if err != nil {
				return tracestore.Inspection{}, fmt.Errorf("pebblestore: size of %s: %w", k.kind, err)
			}
			bytes += n
		}
		out.Kinds = append(out.Kinds, tracestore.KindSize{Kind: k.kind, Bytes: int64(bytes)})
	}
	m := db.Metrics()
	out.Kinds = append(out.Kinds,
		tracestore.KindSize{Kind: tracestore.KindLog, Bytes: int64(m.WAL.PhysicalSize)},
		tracestore.KindSize{Kind: tracestore.KindReserve, Bytes: s.space.ballast.Load()},
	)
	out.MinFreeBytes = s.space.minFree.Load()
	out.MemoryBytes = int64(m.MemTable.Size)
	out.CacheBytes = m.BlockCache.Size
	out.Compacting, out.CompactionDebt = m.Compact.NumInProgress, int64(m.Compact.EstimatedDebt)
	list := s.parts.copy()
	for i := range list {
		p := &list[i]
		out.Parts = append(out.Parts, tracestore.PartSize{Began: p.created, Documents: p.docs, Traces: p.traces, Bytes: int64(p.bytes)})
		if p.changes.from <= p.changes.to {
			out.Newest = max(out.Newest, p.changes.to)
		}
	}
	return out, nil
}
