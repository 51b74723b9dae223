package servicegraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Cell holds what was observed of one node or edge. It is nothing but sums:
// cells of different times add up to that of all the time, what was added can
// be subtracted again, and in between anything may be negative. The zero Cell
// is empty and ready to use. A cell is not for several goroutines, not even to
// be read.
type Cell struct {
	OK, Error, Throttle, Fault int64
	// Roots counts, of a node, the segments that were roots, and, of an edge, the
	// calls that roots made.
	Roots int64

	response tally[bucket]
	// envelope tells how the durations from the earliest start to the latest end
	// below a segment differ from the response times: what they have more, less
	// what they have less. Mostly it is empty.
	envelope tally[bucket]
	starts   tally[rootStart]
	aliases  tally[alias]
}

// Durations are kept in buckets: of a millisecond each below 2^mantissa ms,
// above with mantissa significant bits.
const (
	mantissa = 14
	half     = 1 << (mantissa - 1)
	// maxNanos bounds a duration: 100 years. Clocks that are wrong give more.
	maxNanos = 100 * 365 * 86400 * 1e9
)

// bucket counts durations that are equal, or nearly so.
type bucket struct {
	key  uint32
	n    int64
	rest int64 // nanoseconds: their sum is n*value(key) + rest
}

// bucketOf returns the bucket that one duration makes.
func bucketOf(nanos int64) bucket {
	nanos = min(max(nanos, 0), maxNanos)
	ms := uint64(nanos+500_000) / 1e6
	if ms < 2*half {
		return bucket{key: uint32(ms), n: 1, rest: nanos - int64(ms)*1e6}
	}
	e := bits.Len64(ms) - mantissa
	m := ms >> e
	return bucket{
		key:  uint32(2*half + (e-1)*half + int(m) - half),
		n:    1,
		rest: nanos - int64(m<<e)*1e6,
	}
}

var maxBucket = bucketOf(maxNanos).key

// millis returns the least duration that belongs to the bucket, but for
// rounding to the millisecond.
func (b bucket) millis() int64 {
	if b.key < 2*half {
		return int64(b.key)
	}
	k := b.key - 2*half
	return int64(half+k%half) << (k/half + 1)
}

func (b bucket) compare(o bucket) int { return int(int64(b.key) - int64(o.key)) }
func (b bucket) zero() bool           { return b.n == 0 && b.rest == 0 }
func (b bucket) plus(o bucket) bucket {
	b.n += o.n
	b.rest += o.rest
	return b
}

// Unit says how exactly the starts of roots are kept.
type Unit uint8

const (
	Second Unit = iota
	Minute
	Hour
	unitsEnd
)

// Seconds returns the length of the unit.
func (u Unit) Seconds() int64 { return [...]int64{1, 60, 3600}[u] }

const unitBits = 2

// rootStart counts observations of traces whose root began at one time.
type rootStart struct {
	at int64 // unix seconds << unitBits | Unit; a multiple of the unit
	n  int64
}

func (s rootStart) seconds() int64 { return s.at >> unitBits }
func (s rootStart) unit() Unit     { return Unit(s.at & (1<<unitBits - 1)) }
func (s rootStart) zero() bool     { return s.n == 0 }
func (s rootStart) plus(o rootStart) rootStart {
	s.n += o.n
	return s
}

func (s rootStart) compare(o rootStart) int {
	switch {
	case s.at < o.at:
		return -1
	case s.at > o.at:
		return 1
	}
	return 0
}

// floor returns s to the unit u, or as it is when it is no finer than that.
func (s rootStart) floor(u Unit) rootStart {
	if s.unit() >= u {
		return s
	}
	sec, n := s.seconds(), u.Seconds()
	sec -= ((sec % n) + n) % n
	s.at = sec<<unitBits | int64(u)
	return s
}

// alias counts the calls that knew the callee under another name.
type alias struct {
	name, typ string
	n         int64
}

func (a alias) zero() bool { return a.n == 0 }
func (a alias) plus(o alias) alias {
	a.n += o.n
	return a
}

func (a alias) compare(o alias) int {
	if c := strings.Compare(a.name, o.name); c != 0 {
		return c
	}
	return strings.Compare(a.typ, o.typ)
}

// entry is what a tally counts.
type entry[T any] interface {
	compare(T) int // by what is counted
	plus(T) T      // the sum of two that compare equal
	zero() bool
}

// tally is a sorted list of counts. What is added waits at its end until there
// is enough of it, or somebody looks.
type tally[T entry[T]] struct {
	list   []T
	sorted int // so much of list is sorted, each once, none zero
}

// add adds e.
func (t *tally[T]) add(e T) {
	if t.sorted == len(t.list) && t.sorted > 0 {
		// Often it is what was added last.
		if last := &t.list[t.sorted-1]; (*last).compare(e) == 0 {
			sum := (*last).plus(e)
			if !sum.zero() {
				*last = sum
				return
			}
			t.sorted--
			t.list = t.list[:t.sorted]
			return
		}
	}
	t.list = append(t.list, e)
	t.keep()
}

// merge adds what o holds.
func (t *tally[T]) merge(o *tally[T]) {
	t.list = append(t.list, o.list...)
	t.keep()
}

// keep keeps what waits in proportion to what is sorted.
func (t *tally[T]) keep() {
	if len(t.list)-t.sorted > t.sorted/2+64 {
		t.settle()
	}
}

// settle sorts what waits and returns the list.
func (t *tally[T]) settle() []T {
	if t.sorted == len(t.list) {
		return t.list
	}
	tail := t.list[t.sorted:]
	if len(tail) > 1 {
		slices.SortFunc(tail, T.compare)
	}
	if t.sorted > 0 && t.list[t.sorted-1].compare(tail[0]) > 0 {
		tail = slices.Clone(tail)
		// From the end: the greater of the two goes to the last place that is free.
		i, j := t.sorted-1, len(tail)-1
		for k := len(t.list) - 1; j >= 0; k-- {
			if i >= 0 && t.list[i].compare(tail[j]) > 0 {
				t.list[k] = t.list[i]
				i--
			} else {
				t.list[k] = tail[j]
				j--
			}
		}
	}
	out := t.list[:0]
	for i := 0; i < len(t.list); {
		sum := t.list[i]
		for i++; i < len(t.list) && t.list[i].compare(sum) == 0; i++ {
			sum = sum.plus(t.list[i])
		}
		if !sum.zero() {
			out = append(out, sum)
		}
	}
	clear(t.list[len(out):]) // of the texts that it refers to
	t.list, t.sorted = out, len(out)
	return out
}

// Add adds a contribution; sign is 1, or -1 to take it away again.
func (c *Cell) Add(o *Contribution, sign int64) {
	switch o.Outcome {
	case OK:
		c.OK += sign
	case Error:
		c.Error += sign
	case Throttle:
		c.Throttle += sign
	case Fault:
		c.Fault += sign
	}
	if o.Root {
		c.Roots += sign
	}
	b := bucketOf(o.Response)
	b.n, b.rest = sign*b.n, sign*b.rest
	c.response.add(b)
	if o.Envelope != o.Response {
		b.n, b.rest = -b.n, -b.rest
		c.envelope.add(b)
		b = bucketOf(o.Envelope)
		b.n, b.rest = sign*b.n, sign*b.rest
		c.envelope.add(b)
	}
	c.starts.add(rootStart{at: o.Start << unitBits, n: sign})
	if o.Alias.Name != "" {
		c.addAlias(o.Alias, sign)
	}
}

// addAlias counts an alias. There are few, so that mostly it is known already;
// a new one must not hold on to the document that its texts refer to.
func (c *Cell) addAlias(a Alias, n int64) {
	for i := range c.aliases.list[:min(len(c.aliases.list), 8)] {
		if known := &c.aliases.list[i]; known.name == a.Name && known.typ == a.Type {
			if known.n += n; known.n == 0 {
				c.aliases.sorted = 0
			}
			return
		}
	}
	c.aliases.add(alias{name: strings.Clone(a.Name), typ: strings.Clone(a.Type), n: n})
}

// Merge adds all that o holds.
func (c *Cell) Merge(o *Cell) {
	c.OK += o.OK
	c.Error += o.Error
	c.Throttle += o.Throttle
	c.Fault += o.Fault
	c.Roots += o.Roots
	c.response.merge(&o.response)
	c.envelope.merge(&o.envelope)
	c.starts.merge(&o.starts)
	c.aliases.merge(&o.aliases)
}

// IsZero reports whether the cell holds nothing, and need not be kept.
func (c *Cell) IsZero() bool {
	return c.OK == 0 && c.Error == 0 && c.Throttle == 0 && c.Fault == 0 && c.Roots == 0 &&
		len(c.response.settle()) == 0 && len(c.envelope.settle()) == 0 &&
		len(c.starts.settle()) == 0 && len(c.aliases.settle()) == 0
}

// Total returns the number of observations.
func (c *Cell) Total() int64 { return c.OK + c.Error + c.Throttle + c.Fault }

// Coarsen makes the starts of roots less exact, so that a cell of a long time
// does not grow with it.
func (c *Cell) Coarsen(u Unit) {
	starts := &c.starts
	for i := range starts.list {
		starts.list[i] = starts.list[i].floor(u)
	}
	starts.sorted = 0
	starts.settle()
}

// ErrCell reports bytes that are no encoded cell of a version that we know.
var ErrCell = errors.New("servicegraph: not an encoded cell")

// cellVersion is the first byte of an encoded cell. docs/format/cell.md
// describes the layout.
const cellVersion = 1

// AppendBinary appends the encoded cell. Cells that hold the same have the same
// encoding.
func (c *Cell) AppendBinary(dst []byte) []byte {
	dst = append(dst, cellVersion)
	dst = binary.AppendVarint(dst, c.OK)
	dst = binary.AppendVarint(dst, c.Error)
	dst = binary.AppendVarint(dst, c.Throttle)
	dst = binary.AppendVarint(dst, c.Fault)
	dst = binary.AppendVarint(dst, c.Roots)
	dst = appendBuckets(dst, c.response.settle())
	dst = appendBuckets(dst, c.envelope.settle())
	starts := c.starts.settle()
	dst = binary.AppendUvarint(dst, uint64(len(starts)))
	for i, s := range starts {
		if i == 0 {
			dst = binary.AppendVarint(dst, s.at)
		} else {
			dst = binary.AppendUvarint(dst, uint64(s.at-starts[i-1].at))
		}
		dst = binary.AppendVarint(dst, s.n)
	}
	aliases := c.aliases.settle()
	dst = binary.AppendUvarint(dst, uint64(len(aliases)))
	for _, a := range aliases {
		dst = appendText(dst, a.name)
		dst = appendText(dst, a.typ)
		dst = binary.AppendVarint(dst, a.n)
	}
	return dst
}

func appendBuckets(dst []byte, list []bucket) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	last := uint32(0)
	for _, b := range list {
		dst = binary.AppendUvarint(dst, uint64(b.key-last))
		last = b.key
		dst = binary.AppendVarint(dst, b.n)
		dst = binary.AppendVarint(dst, b.rest)
	}
	return dst
}

// UnmarshalBinary makes c the cell that AppendBinary wrote. The error matches
// ErrCell; c is then not changed.
func (c *Cell) UnmarshalBinary(data []byte) error {
	var n Cell
	if err := n.MergeBinary(data); err != nil {
		return err
	}
	*c = n
	return nil
}

// MergeBinary adds an encoded cell: what a chain of encoded changes costs to
// sum up is little more than reading it. The error matches ErrCell; c is then
// not changed.
func (c *Cell) MergeBinary(data []byte) error {
	d := decoder{data: data}
	if v := d.byte(); v != cellVersion && !d.bad {
		return fmt.Errorf("%w: version %d, not %d", ErrCell, v, cellVersion)
	}
	lens := [4]int{len(c.response.list), len(c.envelope.list), len(c.starts.list), len(c.aliases.list)}
	var sums [5]int64
	for i := range sums {
		sums[i] = d.varint()
	}
	c.response.list = d.buckets(c.response.list)
	c.envelope.list = d.buckets(c.envelope.list)
	n, at := d.count(2), int64(0)
	for i := range n {
		if i == 0 {
			at = d.varint()
		} else {
			step := d.uvarint()
			d.bad = d.bad || step == 0 || step > uint64(maxStart-minStart)<<(unitBits+1)
			at += int64(step)
		}
		s := rootStart{at: at, n: d.varint()}
		if d.bad = d.bad || s.zero() || s.seconds() < minStart || s.seconds() > maxStart ||
			s.unit() >= unitsEnd || s.seconds()%s.unit().Seconds() != 0; d.bad {
			break
		}
		c.starts.list = append(c.starts.list, s)
	}
	var last alias
	for i := range d.count(3) {
		a := alias{name: d.string(), typ: d.string(), n: d.varint()}
		if d.bad = d.bad || a.zero() || i > 0 && last.compare(a) >= 0; d.bad {
			break
		}
		c.aliases.list = append(c.aliases.list, a)
		last = a
	}
	if d.bad || d.at != len(data) {
		c.response.list = c.response.list[:lens[0]]
		c.envelope.list = c.envelope.list[:lens[1]]
		c.starts.list = c.starts.list[:lens[2]]
		c.aliases.list = c.aliases.list[:lens[3]]
		return fmt.Errorf("%w: damaged or cut off at byte %d of %d", ErrCell, d.at, len(data))
	}
	c.OK += sums[0]
	c.Error += sums[1]
	c.Throttle += sums[2]
	c.Fault += sums[3]
	c.Roots += sums[4]
	c.response.took(lens[0])
	c.envelope.took(lens[1])
	c.starts.took(lens[2])
	c.aliases.took(lens[3])
	return nil
}

// took takes in what decoding appended behind the first n entries: it is sorted.
func (t *tally[T]) took(n int) {
	if n == 0 {
		t.sorted = len(t.list)
		return
	}
	t.keep()
}

func (d *decoder) buckets(list []bucket) []bucket {
	key := uint64(0)
	n := d.count(3)
	if cap(list) == 0 && n > 0 {
		list = make([]bucket, 0, n)
	}
	for i := range n {
		step := d.uvarint()
		if step > uint64(maxBucket) || i > 0 && step == 0 {
			d.bad = true
		}
		key += step
		b := bucket{key: uint32(key), n: d.varint(), rest: d.varint()}
		if d.bad = d.bad || key > uint64(maxBucket) || b.zero(); d.bad {
			break
		}
		list = append(list, b)
	}
	return list
}

// Cells are the cells of some time, or what changes them.
type Cells map[Key]*Cell

// Add adds a contribution to its cell; sign is 1, or -1 to take it away again.
// The cells do not hold on to the documents that the contribution refers to.
func (cs Cells) Add(o *Contribution, sign int64) {
	c := cs[o.Key]
	if c == nil {
		c = &Cell{}
		k := o.Key
		k.From.ServiceID, k.To.ServiceID = cloneService(k.From.ServiceID), cloneService(k.To.ServiceID)
		cs[k] = c
	}
	c.Add(o, sign)
}

// Merge adds all that other holds, which is not changed and not kept.
func (cs Cells) Merge(other Cells) {
	for k, o := range other {
		c := cs[k]
		if c == nil {
			c = &Cell{}
			cs[k] = c
		}
		c.Merge(o)
	}
}

// DropZero removes the cells that hold nothing.
func (cs Cells) DropZero() {
	for k, c := range cs {
		if c.IsZero() {
			delete(cs, k)
		}
	}
}
