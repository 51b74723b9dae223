package pebblestore

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// span is a range of numbers, both ends in it; empty while from > to.
type span struct{ from, to int64 }

var noSpan = span{math.MaxInt64, math.MinInt64}

func (s span) with(v int64) span       { return span{min(s.from, v), max(s.to, v)} }
func (s span) meets(lo, hi int64) bool { return s.from <= s.to && s.from <= hi && lo <= s.to }

// part is a run of arrivals. Its keys are removed together.
type part struct {
	id       uint16
	created  int64  // unix milliseconds, our clock
	firstSeq uint64 // documents of the part have this seq or higher

	docs    uint64 // committed
	bytes   uint64 // of their blocks and T keys, compressed
	counted uint64 // the seq up to which docs and bytes count
	traces  uint64 // at home here, about

	// Bounds of the rows at home here; they only widen.
	starts, changes, ends span
}

func newPart(id uint16, created int64, firstSeq uint64) part {
	return part{id: id, created: created, firstSeq: firstSeq, starts: noSpan, changes: noSpan, ends: noSpan}
}

func (p *part) append(dst []byte) []byte {
	dst = append(dst, 1) // version of the value
	for _, v := range []uint64{uint64(p.created), p.firstSeq, p.docs, p.bytes, p.counted, p.traces} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	for _, s := range []span{p.starts, p.changes, p.ends} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(s.from))
		dst = binary.BigEndian.AppendUint64(dst, uint64(s.to))
	}
	return dst
}

func decodePart(key, value []byte) (part, error) {
	if len(key) != 4 || len(value) != 1+12*8 || value[0] != 1 {
		return part{}, fmt.Errorf("part %x: %d bytes of value do not parse", key, len(value))
	}
	r := blockReader{b: value[1:]}
	p := part{id: binary.BigEndian.Uint16(key[2:])}
	p.created, p.firstSeq = int64(r.uint64()), r.uint64()
	p.docs, p.bytes, p.counted, p.traces = r.uint64(), r.uint64(), r.uint64(), r.uint64()
	for _, s := range []*span{&p.starts, &p.changes, &p.ends} {
		s.from, s.to = int64(r.uint64()), int64(r.uint64())
	}
	return p, nil
}

// parts are the parts of a store, oldest first. The committer adds parts and
// counts documents, the roller widens bounds and removes parts, readers take copies.
type parts struct {
	mu   sync.RWMutex
	list []part
}

func (p *parts) copy() []part {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Clone(p.list)
}

func (p *parts) set(list []part) {
	slices.SortFunc(list, func(a, b part) int { return cmp.Compare(a.firstSeq, b.firstSeq) })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = list
}

// newest returns the part that arrivals go to; ok is false in an empty store.
func (p *parts) newest() (_ part, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(p.list) == 0 {
		return part{}, false
	}
	return p.list[len(p.list)-1], true
}

// add appends a part.
func (p *parts) add(n part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, n)
}

// nextID returns an id that no part has.
func (p *parts) nextID() (uint16, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(p.list) == 0 {
		return 0, nil
	}
	id := p.list[len(p.list)-1].id + 1
	if len(p.list) > math.MaxUint16 || slices.ContainsFunc(p.list, func(q part) bool { return q.id == id }) {
		return 0, fmt.Errorf("all %d part numbers are taken", len(p.list))
	}
	return id, nil
}

// update calls fn for the part with an id, if it is there.
func (p *parts) update(id uint16, fn func(*part)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.list) - 1; i >= 0; i-- {
		if p.list[i].id == id {
			fn(&p.list[i])
			return
		}
	}
}

func (p *parts) removeOldest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.Clone(p.list[1:])
}

// partOf returns the part that holds a seq, given all parts.
func partOf(list []part, seq uint64) (int, bool) {
	i, found := slices.BinarySearchFunc(list, seq, func(p part, seq uint64) int { return cmp.Compare(p.firstSeq, seq) })
	if found {
		return i, true
	}
	return i - 1, i > 0
}

// partLength returns the age and the bytes at which a part is followed by
// another. Without bounds on what is kept, parts are made all the same:
// they let window queries skip what lies outside.
func (c *Config) partLength() (time.Duration, uint64) {
	age, size := 7*24*time.Hour, uint64(8<<30)
	if c.Retention > 0 {
		age = max(c.Retention/32, time.Millisecond)
	}
	if c.DiskBudget > 0 {
		size = uint64(max(c.DiskBudget/16, 1))
	}
	return age, size
}

// loadParts reads the parts that a folder holds.
func loadParts(db pebble.Reader) ([]part, error) {
	lower, upper := []byte{tagMeta, metaPart}, []byte{tagMeta, metaPart + 1}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var list []part
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		p, err := decodePart(it.Key(), value)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, it.Error()
}
