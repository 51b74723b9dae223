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

	response tally
	// envelope tells how the durations from the earliest start to the latest end
	// below a segment differ from the response times: what they have more, less
	// what they have less. Mostly it is empty.
	envelope tally
	starts   tally
	aliases  aliasTally
}

// Durations are kept in buckets: of a millisecond each below 2^mantissa ms,
// above with mantissa significant bits.
const (
	mantissa = 14
	half     = 1 << (mantissa - 1)
	// maxNanos bounds a duration: 100 years. Clocks that are wrong give more.
	maxNanos = 100 * 365 * 86400 * 1e9
)

// count is an entry of a tally: a bucket of durations or a start of roots.
//
// A bucket counts durations that are equal, or nearly so: key is its number, and
// n*millis() milliseconds and rest nanoseconds are their sum.
//
// A start counts observations of traces whose root began at one time: key is
// unix seconds << unitBits | Unit, the seconds being a multiple of the unit.
type count struct {
	key  int64
	n    int64
	rest int64
}

func (c *count) zero() bool { return c.n == 0 && c.rest == 0 }

// bucketOf returns the bucket that one duration makes.
func bucketOf(nanos int64) count {
	nanos = min(max(nanos, 0), maxNanos)
	ms := uint64(nanos+500_000) / 1e6
	if ms < 2*half {
		return count{key: int64(ms), n: 1, rest: nanos - int64(ms)*1e6}
	}
	e := bits.Len64(ms) - mantissa
	m := ms >> e
	return count{
		key:  int64(2*half + (e-1)*half + int(m) - half),
		n:    1,
		rest: nanos - int64(m<<e)*1e6,
	}
}

var maxBucket = bucketOf(maxNanos).key

// millis returns the least duration that belongs to the bucket, but for
// rounding to the millisecond.
func (c *count) millis() int64 {
	if c.key < 2*half {
		return c.key
	}
	k := c.key - 2*half
	return (half + k%half) << (k/half + 1)
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

func (c *count) seconds() int64 { return c.key >> unitBits }
func (c *count) unit() Unit     { return Unit(c.key & (1<<unitBits - 1)) }

// floor returns a start to the unit u, or as it is when it is no finer than that.
func (c count) floor(u Unit) count {
	if c.unit() >= u {
		return c
	}
	sec, n := c.seconds(), u.Seconds()
	sec -= ((sec % n) + n) % n
	c.key = sec<<unitBits | int64(u)
	return c
}

// alias counts the calls that knew the callee under another name.
type alias struct {
	name, typ string
	n         int64
}

func (a alias) compare(o alias) int {
	if c := strings.Compare(a.name, o.name); c != 0 {
		return c
	}
	return strings.Compare(a.typ, o.typ)
}

// aliasTally is a sorted list of aliases, each once, none whose count is zero.
// What is added waits at its end until there is enough of it, or somebody looks.
type aliasTally struct {
	list   []alias
	sorted int // so much of list is sorted
}

func (t *aliasTally) add(list ...alias) {
	t.list = append(t.list, list...)
	t.keep()
}

// keep keeps what waits in proportion to what is sorted.
func (t *aliasTally) keep() {
	if len(t.list)-t.sorted > t.sorted/2+64 {
		t.settle()
	}
}

// settle sorts what waits and returns the list.
func (t *aliasTally) settle() []alias {
	if t.sorted == len(t.list) {
		return t.list
	}
	slices.SortFunc(t.list, alias.compare)
	out := t.list[:0]
	for i := 0; i < len(t.list); {
		sum := t.list[i]
		for i++; i < len(t.list) && t.list[i].compare(sum) == 0; i++ {
			sum.n += t.list[i].n
		}
		if sum.n != 0 {
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
	c.starts.add(count{key: o.Start << unitBits, n: sign})
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
	c.response.merge(o.response.list)
	c.envelope.merge(o.envelope.list)
	c.starts.merge(o.starts.list)
	c.aliases.add(o.aliases.list...)
}

// Reset makes the cell empty. It keeps room for what is added next.
func (c *Cell) Reset() {
	clear(c.aliases.list) // of the texts that it refers to
	*c = Cell{
		response: tally{list: c.response.list[:0]},
		envelope: tally{list: c.envelope.list[:0]},
		starts:   tally{list: c.starts.list[:0]},
		aliases:  aliasTally{list: c.aliases.list[:0]},
	}
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
const cellVersion = 2

// AppendBinary appends the encoded cell. Cells that hold the same have the same
// encoding.
func (c *Cell) AppendBinary(dst []byte) []byte {
	starts, response, envelope := c.starts.settle(), c.response.settle(), c.envelope.settle()
	dst = slices.Grow(dst, 32+3*len(starts)+6*(len(response)+len(envelope))) // about what it takes
	dst = append(dst, cellVersion)
	dst = binary.AppendVarint(dst, c.OK)
	dst = binary.AppendVarint(dst, c.Error)
	dst = binary.AppendVarint(dst, c.Throttle)
	dst = binary.AppendVarint(dst, c.Fault)
	dst = binary.AppendVarint(dst, c.Roots)
	dst = binary.AppendUvarint(dst, uint64(len(starts)))
	for i, s := range starts {
		if i == 0 {
			dst = binary.AppendVarint(dst, s.key)
		} else {
			dst = binary.AppendUvarint(dst, uint64(s.key-starts[i-1].key))
		}
		dst = binary.AppendVarint(dst, s.n)
	}
	dst = appendBuckets(dst, response)
	dst = appendBuckets(dst, envelope)
	aliases := c.aliases.settle()
	dst = binary.AppendUvarint(dst, uint64(len(aliases)))
	for _, a := range aliases {
		dst = appendText(dst, a.name)
		dst = appendText(dst, a.typ)
		dst = binary.AppendVarint(dst, a.n)
	}
	return dst
}

func appendBuckets(dst []byte, list []count) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	last := int64(0)
	for i := range list {
		b := &list[i]
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
	sums, err := d.head()
	if err != nil {
		return err
	}
	lens := [4]int{len(c.response.list), len(c.envelope.list), len(c.starts.list), len(c.aliases.list)}
	c.starts.list = d.starts(c.starts.list)
	c.response.list = d.buckets(c.response.list)
	c.envelope.list = d.buckets(c.envelope.list)
	var last alias
	for i := range d.count(3) {
		a := alias{name: d.string(), typ: d.string(), n: d.varint()}
		if d.bad = d.bad || a.n == 0 || i > 0 && last.compare(a) >= 0; d.bad {
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
		return d.cellError()
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

// took takes in what decoding appended behind the first n aliases: it is sorted.
func (t *aliasTally) took(n int) {
	if n == 0 {
		t.sorted = len(t.list)
		return
	}
	t.keep()
}

// head reads what an encoded cell begins with: its version and sums.
func (d *decoder) head() (sums [5]int64, err error) {
	if v := d.byte(); v != cellVersion && !d.bad {
		return sums, fmt.Errorf("%w: version %d, not %d", ErrCell, v, cellVersion)
	}
	for i := range sums {
		sums[i] = d.varint()
	}
	return sums, nil
}

// EncodedTotal returns how many observations an encoded cell holds, without reading
// the rest of it.
func EncodedTotal(data []byte) (int64, error) {
	d := decoder{data: data}
	sums, err := d.head()
	if err != nil {
		return 0, err
	}
	if d.bad {
		return 0, d.cellError()
	}
	return sums[0] + sums[1] + sums[2] + sums[3], nil
}

// cellError says that an encoded cell is not one, after bad was set or too much was there.
func (d *decoder) cellError() error {
	return fmt.Errorf("%w: damaged or cut off at byte %d of %d", ErrCell, d.at, len(d.data))
}

// starts appends the starts of an encoded cell.
func (d *decoder) starts(list []count) []count {
	n, at := d.count(2), int64(0)
	list = slices.Grow(list, n)
	for i := range n {
		if i == 0 {
			at = d.varint()
		} else {
			step := d.uvarint()
			d.bad = d.bad || step == 0 || step > uint64(maxStart-minStart)<<(unitBits+1)
			at += int64(step)
		}
		s := count{key: at, n: d.varint()}
		if d.bad = d.bad || s.zero() || s.seconds() < minStart || s.seconds() > maxStart; d.bad {
			break
		}
		if u := s.unit(); u != Second && (u >= unitsEnd || s.seconds()%u.Seconds() != 0) {
			d.bad = true
			break
		}
		list = append(list, s)
	}
	return list
}

// buckets appends the buckets of an encoded cell. Most of its bytes are theirs.
func (d *decoder) buckets(list []count) []count {
	n := d.count(3)
	list = slices.Grow(list, n)
	key := int64(0)
	for i := range n {
		b, ok := d.shortBucket()
		if !ok {
			b = count{key: int64(min(d.uvarint(), uint64(maxBucket)+1)), n: d.varint(), rest: d.varint()}
		}
		if i > 0 && b.key == 0 {
			d.bad = true
		}
		key += b.key
		b.key = key
		if d.bad = d.bad || key > maxBucket || b.zero(); d.bad {
			break
		}
		list = append(list, b)
	}
	return list
}

// shortBucket decodes a bucket, its step as the key, of which the step and the count
// take a byte and the rest takes up to four, as is usual. It returns false, and
// has read nothing, when the bucket is another.
func (d *decoder) shortBucket() (count, bool) {
	if len(d.data)-d.at < 8 || d.bad {
		return count{}, false
	}
	w := binary.LittleEndian.Uint64(d.data[d.at:])
	ends := ^w & (0x80808080 << 16) // the last bytes of numbers, of those that the rest may have
	if w&0x8080 != 0 || ends == 0 {
		return count{}, false
	}
	size := (bits.TrailingZeros64(ends) + 1) / 8 // of the bucket
	rest := w & (1<<(8*size) - 1) >> 16
	if size > 3 && w>>(8*size-8)&0xff == 0 { // longer than need be
		return count{}, false
	}
	rest = rest&0x7f | rest>>1&(0x7f<<7) | rest>>2&(0x7f<<14) | rest>>3&(0x7f<<21)
	n := w >> 8 & 0x7f
	d.at += size
	return count{key: int64(w & 0x7f), n: int64(n>>1) ^ -int64(n&1), rest: int64(rest>>1) ^ -int64(rest&1)}, true
}

// Cells are the cells of some time, or what changes them.
type Cells map[Key]*Cell

// Add adds a contribution to its cell; sign is 1, or -1 to take it away again.
// The cells do not hold on to the documents that the contribution refers to.
func (cs Cells) Add(o *Contribution, sign int64) { cs.Of(&o.Key).Add(o, sign) }

// Of returns the cell of a key, a new one when there is none. The cells do not
// hold on to the texts of the key.
func (cs Cells) Of(key *Key) *Cell {
	c := cs[*key]
	if c == nil {
		c = &Cell{}
		k := *key
		k.From.ServiceID, k.To.ServiceID = cloneService(k.From.ServiceID), cloneService(k.To.ServiceID)
		cs[k] = c
	}
	return c
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
