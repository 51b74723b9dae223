package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/roentgen-io/roentgen/segment"
)

// ErrRow reports bytes that are no encoded row of a version that we know.
var ErrRow = errors.New("trace: not an encoded row")

// rowVersion is the first byte of an encoded row. docs/format/row.md describes
// the layout.
const rowVersion = 1

// Bits of the flags of an encoded row.
const (
	flagDuration = 1 << iota
	flagResponseTime
	flagRoot
	flagError
	flagFault
	flagThrottle
	flagPartial
	flagOrphanOnly
	flagInProgress
	flagHTTP
	flagsEnd
)

// AppendBinary appends the encoded row. The layout is docs/format/row.md. It
// fails only on an annotation that is neither string, number nor boolean.
func (r *Row) AppendBinary(dst []byte) ([]byte, error) {
	flags := uint64(0)
	set := func(on bool, flag uint64) {
		if on {
			flags |= flag
		}
	}
	set(r.HasDuration, flagDuration)
	set(r.HasResponseTime, flagResponseTime)
	set(r.HasRoot, flagRoot)
	set(r.HasError, flagError)
	set(r.HasFault, flagFault)
	set(r.HasThrottle, flagThrottle)
	set(r.Partial, flagPartial)
	set(r.OrphanOnly, flagOrphanOnly)
	set(r.InProgress, flagInProgress)
	set(r.Method != "" || r.URL != "" || r.UserAgent != "" || r.ClientIP != "" || r.Status != 0, flagHTTP)

	dst = append(dst, rowVersion)
	dst = append(dst, r.ID[:]...)
	dst = binary.AppendUvarint(dst, flags)
	dst = binary.AppendUvarint(dst, r.FirstSeq)
	dst = binary.AppendUvarint(dst, r.LastSeq-r.FirstSeq)
	dst = binary.AppendVarint(dst, int64(r.Revision))
	dst = binary.AppendVarint(dst, r.Changed)
	dst = binary.AppendVarint(dst, r.Start)
	dst = binary.AppendUvarint(dst, uint64(len(r.Ends)))
	last := int64(0)
	for _, m := range r.Ends {
		dst = binary.AppendVarint(dst, m-last) // wraps around, as decoding does
		last = m
	}
	dst = binary.AppendVarint(dst, int64(r.Entities))
	if r.HasDuration {
		dst = appendFloat(dst, r.Duration)
	}
	if r.HasResponseTime {
		dst = appendFloat(dst, r.ResponseTime)
	}
	if flags&flagHTTP != 0 {
		dst = appendString(dst, r.Method)
		dst = appendString(dst, r.URL)
		dst = appendString(dst, r.UserAgent)
		dst = appendString(dst, r.ClientIP)
		dst = binary.AppendVarint(dst, int64(r.Status))
	}
	if r.HasRoot {
		dst = appendService(dst, r.Root)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Services)))
	for _, s := range r.Services {
		dst = appendService(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Annotations)))
	for i := range r.Annotations {
		a := &r.Annotations[i]
		dst = appendString(dst, a.Key)
		dst = append(dst, byte(a.Type))
		switch a.Type {
		case segment.TypeString:
			dst = appendString(dst, a.String)
		case segment.TypeNumber:
			dst = appendFloat(dst, a.Number)
		case segment.TypeBool:
			dst = append(dst, boolByte(a.Bool))
		default:
			return dst, fmt.Errorf("trace: encode row: annotation %q has type %d", a.Key, a.Type)
		}
	}
	dst = appendStrings(dst, r.Users)
	dst = appendStrings(dst, r.ResourceARNs)
	dst = appendStrings(dst, r.InstanceIDs)
	dst = appendStrings(dst, r.Zones)
	return dst, nil
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendString(dst, s)
	}
	return dst
}

func appendService(dst []byte, s ServiceID) []byte {
	dst = appendString(dst, s.Name)
	dst = appendString(dst, s.Type)
	return appendString(dst, s.AccountID)
}

// UnmarshalBinary decodes what AppendBinary wrote. Strings of the row are copies.
// It returns an error matching ErrRow when data is no encoded row; r is then
// not changed.
func (r *Row) UnmarshalBinary(data []byte) error {
	d := rowDecoder{data: data, text: string(data)}
	if v := d.byte(); v != rowVersion && !d.bad {
		return fmt.Errorf("%w: version %d, not %d", ErrRow, v, rowVersion)
	}
	var row Row
	copy(row.ID[:], d.bytes(len(row.ID)))
	flags := d.uvarint()
	if flags >= flagsEnd {
		d.bad = true
	}
	row.HasDuration = flags&flagDuration != 0
	row.HasResponseTime = flags&flagResponseTime != 0
	row.HasRoot = flags&flagRoot != 0
	row.HasError = flags&flagError != 0
	row.HasFault = flags&flagFault != 0
	row.HasThrottle = flags&flagThrottle != 0
	row.Partial = flags&flagPartial != 0
	row.OrphanOnly = flags&flagOrphanOnly != 0
	row.InProgress = flags&flagInProgress != 0

	row.FirstSeq = d.uvarint()
	row.LastSeq = row.FirstSeq + d.uvarint()
	row.Revision = int(d.varint())
	row.Changed = d.varint()
	row.Start = d.varint()
	if n := d.count(1); n > 0 {
		row.Ends = make([]int64, n)
		last := int64(0)
		for i := range row.Ends {
			last += d.varint()
			row.Ends[i] = last
		}
	}
	row.Entities = int(d.varint())
	if row.HasDuration {
		row.Duration = d.float()
	}
	if row.HasResponseTime {
		row.ResponseTime = d.float()
	}
	if flags&flagHTTP != 0 {
		row.Method = d.string()
		row.URL = d.string()
		row.UserAgent = d.string()
		row.ClientIP = d.string()
		row.Status = int(d.varint())
	}
	if row.HasRoot {
		row.Root = d.service()
	}
	if n := d.count(3); n > 0 {
		row.Services = make([]ServiceID, n)
		for i := range row.Services {
			row.Services[i] = d.service()
		}
	}
	if n := d.count(3); n > 0 {
		row.Annotations = make([]Annotation, n)
		for i := range row.Annotations {
			row.Annotations[i] = d.annotation()
		}
	}
	row.Users = d.strings()
	row.ResourceARNs = d.strings()
	row.InstanceIDs = d.strings()
	row.Zones = d.strings()
	if !d.bad && d.at != len(data) {
		return fmt.Errorf("%w: %d bytes too many", ErrRow, len(data)-d.at)
	}
	if d.bad {
		return fmt.Errorf("%w: damaged or cut off at byte %d of %d", ErrRow, d.at, len(data))
	}
	*r = row
	return nil
}

// rowDecoder reads an encoded row. After the first thing that is wrong it
// gives zero values, and bad is set.
type rowDecoder struct {
	data []byte
	text string // a copy of data that all strings of the row share
	at   int
	bad  bool
}

// bytes returns the next n bytes, or nil when there are fewer.
func (d *rowDecoder) bytes(n int) []byte {
	if d.bad || n > len(d.data)-d.at {
		d.bad = true
		return nil
	}
	d.at += n
	return d.data[d.at-n : d.at]
}

func (d *rowDecoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *rowDecoder) uvarint() uint64 {
	if d.bad {
		return 0
	}
	v, n := binary.Uvarint(d.data[d.at:])
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.at += n
	return v
}

func (d *rowDecoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *rowDecoder) float() float64 {
	b := d.bytes(8)
	if b == nil {
		return 0
	}
	f := math.Float64frombits(binary.LittleEndian.Uint64(b))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		d.bad = true
		return 0
	}
	return f
}

// count returns the length of a list whose elements take at least size bytes
// each, so that nothing is allocated for elements that cannot be there.
func (d *rowDecoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.data)-d.at)/uint64(size) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *rowDecoder) string() string {
	n := d.count(1)
	if d.bad {
		return ""
	}
	d.at += n
	return d.text[d.at-n : d.at]
}

func (d *rowDecoder) strings() []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.string()
	}
	return list
}

func (d *rowDecoder) service() ServiceID {
	return ServiceID{Name: d.string(), Type: d.string(), AccountID: d.string()}
}

func (d *rowDecoder) annotation() Annotation {
	a := Annotation{Key: d.string(), Type: segment.Type(d.byte())}
	switch a.Type {
	case segment.TypeString:
		a.String = d.string()
	case segment.TypeNumber:
		a.Number = d.float()
	case segment.TypeBool:
		switch d.byte() {
		case 0:
		case 1:
			a.Bool = true
		default:
			d.bad = true
		}
	default:
		d.bad = true
	}
	return a
}
