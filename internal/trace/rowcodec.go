package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/roentgen-io/roentgen/segment"
)

// ErrRow reports bytes that are no encoded row of a version that we know.
var ErrRow = errors.New("trace: not an encoded row")

// rowVersion is the first byte of an encoded row. docs/format/row.md describes
// the layout.
const rowVersion = 3

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
	flagCut
	flagDocuments
	flagOrphans
	flagFailed
	flagsEnd
)

// RowFlags are flags of an encoded row that can be read without decoding it.
type RowFlags uint64

// What the root has, and whether the trace is partial.
const (
	RowError    RowFlags = flagError
	RowFault    RowFlags = flagFault
	RowThrottle RowFlags = flagThrottle
	RowPartial  RowFlags = flagPartial
)

// RowHead is the beginning of an encoded row.
type RowHead struct {
	Flags   RowFlags
	LastSeq uint64
}

// ReadRowHead reads the beginning of a row that AppendBinary wrote, and reports
// whether it is one.
func ReadRowHead(data []byte) (h RowHead, ok bool) {
	h, _, ok = readRowHead(data)
	return h, ok
}

// wordsAt returns an encoded row from the words on that it names.
func wordsAt(data []byte) ([]byte, bool) {
	_, rest, ok := readRowHead(data)
	return rest, ok
}

func readRowHead(data []byte) (h RowHead, rest []byte, ok bool) {
	const at = 1 + len(segment.TraceID{})
	if len(data) < at || data[0] != rowVersion {
		return h, nil, false
	}
	var v [3]uint64 // flags, first seq, last seq minus first seq
	data = data[at:]
	for i := range v {
		var n int
		if v[i], n = binary.Uvarint(data); n <= 0 {
			return h, nil, false
		}
		data = data[n:]
	}
	return RowHead{Flags: RowFlags(v[0]), LastSeq: v[1] + v[2]}, data, true
}

// Bits of the first byte of an encoded segment or call, above its Flags, and
// of an entity of a root cause.
const (
	entryDuration = 1 << 6
	entryDetails  = 1 << 7 // a status and annotations follow

	annotationAttribute = 0x80 // on the type of an annotation

	causeRemote      = 1
	causeCoverage    = 2
	causeExceptions  = 4
	causeEntityFlags = 8
)

// AppendBinary appends the encoded row. The layout is docs/format/row.md. It
// fails only on an annotation that is neither string, number nor boolean, on
// flags that do not exist and on indexes of what is not there.
func (r *Row) AppendBinary(dst []byte) ([]byte, error) { return r.AppendWith(dst, nil) }

// AppendWith is AppendBinary that names words by their numbers in a dictionary, which it
// adds to. To decode the row takes a dictionary with the same words.
func (r *Row) AppendWith(dst []byte, dictionary *Dictionary) ([]byte, error) {
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
	set(r.Cut, flagCut)
	set(r.Documents, flagDocuments)
	set(r.Orphans, flagOrphans)
	set(r.Failed, flagFailed)
	dst = append(dst, rowVersion)
	dst = append(dst, r.ID[:]...)
	dst = binary.AppendUvarint(dst, flags)
	dst = binary.AppendUvarint(dst, r.FirstSeq)
	dst = binary.AppendUvarint(dst, r.LastSeq-r.FirstSeq)
	if dictionary == nil {
		return r.appendBody(append(dst, 0, 0), flags, nil)
	}
	// Which words there are is known when the rest is written, and stands before it.
	d := dictionary
	d.usedStrings, d.usedAnnotations, d.numbers = d.usedStrings[:0], d.usedAnnotations[:0], d.numbers[:0]
	body, err := r.appendBody(d.body[:0], flags, d)
	if err != nil {
		return dst, err
	}
	if d.body = body; cap(body) > 1<<16 {
		d.body = nil
	}
	for _, used := range [...][]uint32{d.usedAnnotations, d.usedStrings} {
		dst = binary.AppendUvarint(dst, uint64(len(used)))
		for _, n := range used {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	return append(dst, body...), nil
}

// appendBody appends what follows the words.
func (r *Row) appendBody(dst []byte, flags uint64, dictionary *Dictionary) ([]byte, error) {
	words := wordTable{dictionary: dictionary}
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
		dst = appendDecimal(dst, r.Duration)
	}
	if r.HasResponseTime {
		dst = appendDecimal(dst, r.ResponseTime)
	}
	if flags&flagHTTP != 0 {
		dst = words.append(dst, r.Method)
		dst = words.append(dst, r.URL)
		dst = words.append(dst, r.UserAgent)
		dst = words.append(dst, r.ClientIP)
		dst = binary.AppendVarint(dst, int64(r.Status))
	}
	if r.HasRoot {
		dst = words.appendService(dst, &r.Root)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Services)))
	for i := range r.Services {
		dst = words.appendService(dst, &r.Services[i])
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Annotations)))
	for i := range r.Annotations {
		a := &r.Annotations[i]
		if dictionary != nil {
			n, ok := dictionary.annotationOf(a)
			if !ok {
				dictionary.numbers = append(dictionary.numbers, 0)
			} else {
				dictionary.numbers = append(dictionary.numbers, n+1)
				dictionary.usedAnnotations = append(dictionary.usedAnnotations, n)
				dst = append(dst, refAnnotation)
				continue
			}
		}
		dst = words.append(dst, a.Key)
		if a.Attribute {
			dst = append(dst, byte(a.Type)|annotationAttribute)
		} else {
			dst = append(dst, byte(a.Type))
		}
		switch a.Type {
		case segment.TypeString:
			dst = words.append(dst, a.String)
		case segment.TypeNumber:
			dst = appendDecimal(dst, a.Number)
		case segment.TypeBool:
			dst = append(dst, boolByte(a.Bool))
		default:
			return dst, fmt.Errorf("trace: encode row: annotation %q has type %d", a.Key, a.Type)
		}
	}
	dst = words.appendList(dst, r.Users)
	dst = words.appendList(dst, r.ResourceARNs)
	dst = words.appendList(dst, r.InstanceIDs)
	dst = words.appendList(dst, r.Zones)

	dst = binary.AppendUvarint(dst, uint64(len(r.Segments)))
	for i := range r.Segments {
		e := &r.Segments[i]
		if !r.holds(e.Flags, e.Service, e.Service, e.Annotations) {
			return dst, fmt.Errorf("trace: encode row: segment %d is %+v", i, *e)
		}
		dst = e.append(dst, r.Start)
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Calls)))
	for i := range r.Calls {
		e := &r.Calls[i]
		if !r.holds(e.Flags, e.From, e.To, e.Annotations) {
			return dst, fmt.Errorf("trace: encode row: call %d is %+v", i, *e)
		}
		dst = e.append(dst, r.Start)
	}
	dst = words.appendCauses(dst, r.FaultCauses)
	dst = words.appendCauses(dst, r.ErrorCauses)
	dst = words.appendCauses(dst, r.ResponseTimeCauses)
	return dst, nil
}

// holds reports whether the row has what an entry refers to.
func (r *Row) holds(flags Flags, from, to int, annotations []int) bool {
	for _, i := range annotations {
		if uint(i) >= uint(len(r.Annotations)) {
			return false
		}
	}
	return flags <= flagsAll && uint(from) < uint(len(r.Services)) && uint(to) < uint(len(r.Services))
}

func (e *SegmentEntry) append(dst []byte, start int64) []byte {
	dst = append(dst, entryHead(e.Flags, e.HasDuration, e.Status, e.Annotations))
	dst = binary.AppendUvarint(dst, uint64(e.Service))
	return appendEntry(dst, e.Flags, e.End-start, e.HasDuration, e.Duration, e.Status, e.Annotations)
}

func (e *CallEntry) append(dst []byte, start int64) []byte {
	dst = append(dst, entryHead(e.Flags, e.HasDuration, e.Status, e.Annotations))
	dst = binary.AppendUvarint(dst, uint64(e.From))
	dst = binary.AppendUvarint(dst, uint64(e.To))
	return appendEntry(dst, e.Flags, e.End-start, e.HasDuration, e.Duration, e.Status, e.Annotations)
}

// entryHead returns the first byte of a segment or call.
func entryHead(flags Flags, hasDuration bool, status int, annotations []int) byte {
	b := byte(flags)
	if hasDuration {
		b |= entryDuration
	}
	if status != 0 || len(annotations) > 0 {
		b |= entryDetails
	}
	return b
}

// appendEntry appends what segments and calls have in common; end is relative
// to the start of the row.
func appendEntry(dst []byte, flags Flags, end int64, hasDuration bool, duration float64, status int, annotations []int) []byte {
	if hasDuration {
		dst = appendDecimal(dst, duration)
	}
	if flags&FlagInProgress == 0 {
		// What is left is small when the entry began soon after the row. Times of today
		// have no digits below 100 ns: they were seconds in a float64.
		if end -= nanosOf(hasDuration, duration); end%100 == 0 {
			end /= 100
			dst = binary.AppendUvarint(dst, (uint64(end)<<1^uint64(end>>63))<<1)
		} else {
			dst = append(dst, 1)
			dst = binary.AppendVarint(dst, end)
		}
	}
	if status != 0 || len(annotations) > 0 {
		dst = binary.AppendVarint(dst, int64(status))
		dst = binary.AppendUvarint(dst, uint64(len(annotations)))
		last := 0
		for _, i := range annotations {
			dst = binary.AppendVarint(dst, int64(i-last))
			last = i
		}
	}
	return dst
}

// nanosOf returns about the nanoseconds of a duration, always the same for the same.
func nanosOf(has bool, duration float64) int64 {
	if !has || !(math.Abs(duration) < 1<<32) {
		return 0
	}
	return int64(math.Round(duration*1e6)) * 1000
}

func (w *wordTable) appendCauses(dst []byte, causes []RootCause) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(causes)))
	for i := range causes {
		c := &causes[i]
		dst = append(dst, boolByte(c.ClientImpacting))
		dst = binary.AppendUvarint(dst, uint64(len(c.Services)))
		for j := range c.Services {
			s := &c.Services[j]
			dst = w.appendService(dst, &s.Service)
			dst = append(dst, boolByte(s.Inferred))
			dst = binary.AppendUvarint(dst, uint64(len(s.Entities)))
			for k := range s.Entities {
				dst = w.appendCauseEntity(dst, &s.Entities[k])
			}
		}
	}
	return dst
}

func (w *wordTable) appendCauseEntity(dst []byte, e *RootCauseEntity) []byte {
	dst = w.append(dst, e.Name)
	flags := byte(0)
	if e.Remote {
		flags |= causeRemote
	}
	if e.Coverage != 0 {
		flags |= causeCoverage
	}
	if len(e.Exceptions) > 0 {
		flags |= causeExceptions
	}
	dst = append(dst, flags)
	if e.Coverage != 0 {
		dst = appendDecimal(dst, e.Coverage)
	}
	if len(e.Exceptions) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(e.Exceptions)))
		for i := range e.Exceptions {
			dst = w.append(dst, e.Exceptions[i].Name)
			dst = w.append(dst, e.Exceptions[i].Message)
		}
	}
	return dst
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// mostDecimal is the largest number of millionths that a float64 holds for sure.
const mostDecimal = 1 << 53

// appendDecimal appends a number: its millionths where these are whole and not
// negative, else all its bits.
func appendDecimal(dst []byte, f float64) []byte {
	if micros := math.Round(f * 1e6); micros/1e6 == f && micros < mostDecimal && !math.Signbit(f) {
		return binary.AppendUvarint(dst, uint64(micros)<<1)
	}
	return binary.LittleEndian.AppendUint64(append(dst, 1), math.Float64bits(f))
}

// Lowest bits of the number that a string begins with: its bytes follow, it is one of those that
// came already, or one of the dictionary. An annotation may begin with a number that says it
// is one of the dictionary.
const (
	refEarlier    = 1
	refWord       = 2
	refAnnotation = 3
)

// wordTable knows the strings that an encoded row has already. The first ones
// are in an array, which stays on the stack.
type wordTable struct {
	dictionary *Dictionary
	n          int
	first      [32]string
	more       []string
	known      map[string]int // number of what is in more, of encoders
}

func (w *wordTable) add(s string) {
	if w.n < len(w.first) {
		w.first[w.n] = s
	} else {
		w.more = append(w.more, s)
	}
	w.n++
}

// append appends a string, or the number of an equal one that came before.
func (w *wordTable) append(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, 0)
	}
	if w.dictionary != nil {
		if n, ok := w.dictionary.numberOf(s); ok {
			i := slices.Index(w.dictionary.usedStrings, n)
			if i < 0 {
				i = len(w.dictionary.usedStrings)
				w.dictionary.usedStrings = append(w.dictionary.usedStrings, n)
			}
			return binary.AppendUvarint(dst, uint64(i)<<2|refWord)
		}
	}
	for i := range min(w.n, len(w.first)) {
		if w.first[i] == s {
			return binary.AppendUvarint(dst, uint64(i)<<2|refEarlier)
		}
	}
	if w.n >= len(w.first) {
		if i, ok := w.known[s]; ok {
			return binary.AppendUvarint(dst, uint64(i)<<2|refEarlier)
		}
		if w.known == nil {
			w.known = make(map[string]int)
		}
		w.known[s] = w.n
	}
	w.add(s)
	dst = binary.AppendUvarint(dst, uint64(len(s))<<2)
	return append(dst, s...)
}

func (w *wordTable) appendList(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = w.append(dst, s)
	}
	return dst
}

func (w *wordTable) appendService(dst []byte, s *ServiceID) []byte {
	dst = w.append(dst, s.Name)
	dst = w.append(dst, s.Type)
	return w.append(dst, s.AccountID)
}

// Clone returns a copy that shares nothing with r but the segments that its
// entries refer to.
func (r *Row) Clone() *Row {
	data, err := r.AppendBinary(nil)
	own := new(Row)
	if err == nil {
		err = own.UnmarshalBinary(data)
	}
	if err != nil { // rows that were made or decoded here can be encoded
		panic("trace: clone row: " + err.Error())
	}
	for i := range own.Segments {
		own.Segments[i].Segment = r.Segments[i].Segment
	}
	for i := range own.Calls {
		own.Calls[i].Segment = r.Calls[i].Segment
	}
	return own
}

// UnmarshalBinary decodes what AppendBinary wrote. Strings of the row are copies.
// It returns an error matching ErrRow when data is no encoded row; r is then
// not changed.
func (r *Row) UnmarshalBinary(data []byte) error { return r.UnmarshalWith(data, nil) }

// UnmarshalWith decodes what AppendWith wrote, given a dictionary with the words that it had.
func (r *Row) UnmarshalWith(data []byte, dictionary *Dictionary) error {
	var (
		row Row
		d   rowDecoder
	)
	d.use(dictionary)
	if err := d.decode(&row, data, string(data)); err != nil {
		return err
	}
	*r = row
	return nil
}

// RowReader decodes one row after the other and makes hardly any garbage.
// The zero value is ready for use.
type RowReader struct {
	row Row
	buf []byte // what the strings of row refer to
	d   rowDecoder
}

// Read decodes what Row.AppendBinary wrote. The row is the reader's and good until
// the next call; data is not needed any more. Empty lists may be nil or not. The
// error is that of Row.UnmarshalBinary.
func (r *RowReader) Read(data []byte) (*Row, error) { return r.ReadWith(data, nil) }

// ReadWith is Read of what Row.AppendWith wrote, given a dictionary with the words that it had.
func (r *RowReader) ReadWith(data []byte, dictionary *Dictionary) (*Row, error) {
	if len(data) > 64<<10 { // no reason to hold much for all that follow
		row := new(Row)
		return row, row.UnmarshalWith(data, dictionary)
	}
	r.d.use(dictionary)
	r.buf = append(r.buf[:0], data...)
	if err := r.d.decode(&r.row, r.buf, unsafe.String(unsafe.SliceData(r.buf), len(r.buf))); err != nil {
		return nil, err
	}
	return &r.row, nil
}

// rowDecoder reads an encoded row. After the first thing that is wrong it
// gives zero values, and bad is set.
type rowDecoder struct {
	data  []byte
	text  string // data as a string, which all strings of the row share
	at    int
	bad   bool
	words wordTable // strings that came already
	// Of the dictionary, the row has these words: annotations in the order of the row, from
	// which they are taken, and strings.
	dictionary         []word
	annotations, texts []uint32
	numbers            []uint32 // what these refer to
	ints               []int    // room for indexes of annotations; of a reader, all that there is
	free               []int    // what of ints is not used yet
}

func (d *rowDecoder) use(dictionary *Dictionary) {
	if d.dictionary = nil; dictionary != nil {
		d.dictionary = *dictionary.words.Load()
	}
}

// decode fills row, whose lists it uses again as far as they have room. Where it
// returns an error, row may be anything.
func (d *rowDecoder) decode(row *Row, data []byte, text string) error {
	d.data, d.text, d.at, d.bad = data, text, 0, false
	d.words.n, d.words.more, d.free = 0, d.words.more[:0], d.ints
	if v := d.byte(); v != rowVersion && !d.bad {
		return fmt.Errorf("%w: version %d, not %d", ErrRow, v, rowVersion)
	}
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
	row.Cut = flags&flagCut != 0
	row.Documents = flags&flagDocuments != 0
	row.Orphans = flags&flagOrphans != 0
	row.Failed = flags&flagFailed != 0

	row.FirstSeq = d.uvarint()
	row.LastSeq = row.FirstSeq + d.uvarint()
	d.wordNumbers()
	row.Revision = int(d.varint())
	row.Changed = d.varint()
	row.Start = d.varint()
	row.Ends = resize(row.Ends, d.count(1))
	last := int64(0)
	for i := range row.Ends {
		last += d.varint()
		row.Ends[i] = last
	}
	row.Entities = int(d.varint())
	row.Duration, row.ResponseTime = 0, 0
	if row.HasDuration {
		row.Duration = d.decimal()
	}
	if row.HasResponseTime {
		row.ResponseTime = d.decimal()
	}
	row.Method, row.URL, row.UserAgent, row.ClientIP, row.Status = "", "", "", "", 0
	if flags&flagHTTP != 0 {
		row.Method = d.string()
		row.URL = d.string()
		row.UserAgent = d.string()
		row.ClientIP = d.string()
		row.Status = int(d.varint())
	}
	row.Root = ServiceID{}
	if row.HasRoot {
		row.Root = d.service()
	}
	row.Services = resize(row.Services, d.count(3))
	for i := range row.Services {
		row.Services[i] = d.service()
	}
	row.Annotations = resize(row.Annotations, d.count(1))
	for i := range row.Annotations {
		d.annotation(&row.Annotations[i])
	}
	row.Users = d.strings(row.Users)
	row.ResourceARNs = d.strings(row.ResourceARNs)
	row.InstanceIDs = d.strings(row.InstanceIDs)
	row.Zones = d.strings(row.Zones)
	row.Segments = resize(row.Segments, d.count(2))
	for i := range row.Segments {
		e := &row.Segments[i]
		*e = SegmentEntry{}
		head := d.byte()
		e.Flags, e.HasDuration = Flags(head)&flagsAll, head&entryDuration != 0
		e.Service = d.index(len(row.Services))
		e.End, e.Duration = d.times(head, row.Start)
		if head&entryDetails != 0 {
			e.Status, e.Annotations = d.details(len(row.Annotations))
		}
	}
	row.Calls = resize(row.Calls, d.count(3))
	for i := range row.Calls {
		e := &row.Calls[i]
		*e = CallEntry{}
		head := d.byte()
		e.Flags, e.HasDuration = Flags(head)&flagsAll, head&entryDuration != 0
		e.From, e.To = d.index(len(row.Services)), d.index(len(row.Services))
		e.End, e.Duration = d.times(head, row.Start)
		if head&entryDetails != 0 {
			e.Status, e.Annotations = d.details(len(row.Annotations))
		}
	}
	row.FaultCauses = d.causes(row.FaultCauses)
	row.ErrorCauses = d.causes(row.ErrorCauses)
	row.ResponseTimeCauses = d.causes(row.ResponseTimeCauses)
	if d.bad {
		return fmt.Errorf("%w: damaged or cut off at byte %d of %d", ErrRow, d.at, len(data))
	}
	if len(d.annotations) > 0 {
		return fmt.Errorf("%w: %d words too many", ErrRow, len(d.annotations))
	}
	if d.at != len(data) {
		return fmt.Errorf("%w: %d bytes too many", ErrRow, len(data)-d.at)
	}
	return nil
}

// wordNumbers reads which words of the dictionary the row has.
func (d *rowDecoder) wordNumbers() {
	d.numbers = d.numbers[:0]
	annotations := 0
	for _, strings := range [...]bool{false, true} {
		n := d.count(1)
		if !strings {
			annotations = n
		}
		for range n {
			k := d.uvarint()
			if k >= uint64(len(d.dictionary)) || strings != (d.dictionary[k].annotation.Type == segment.TypeAbsent) {
				d.bad = true
				break
			}
			d.numbers = append(d.numbers, uint32(k))
		}
	}
	if d.bad {
		d.numbers = d.numbers[:0]
		annotations = 0
	}
	d.annotations, d.texts = d.numbers[:annotations], d.numbers[annotations:]
}

// resize returns a list of n elements that may still be anything, in list's
// room if it has enough. It returns nil for no list of no elements.
func resize[T any](list []T, n int) []T {
	if n <= cap(list) {
		return list[:n]
	}
	return make([]T, n)
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
	if d.at < len(d.data) && !d.bad {
		d.at++
		return d.data[d.at-1]
	}
	d.bad = true
	return 0
}

func (d *rowDecoder) uvarint() uint64 {
	if d.at < len(d.data) && d.data[d.at] < 0x80 && !d.bad {
		d.at++
		return uint64(d.data[d.at-1])
	}
	return d.longUvarint()
}

func (d *rowDecoder) longUvarint() uint64 {
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

func (d *rowDecoder) varint() int64 { return unzigzag(d.uvarint()) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// decimal reads what appendDecimal wrote.
func (d *rowDecoder) decimal() float64 {
	v := d.uvarint()
	if v&1 == 0 && v>>1 < mostDecimal {
		return float64(v>>1) / 1e6
	}
	if b := d.bytes(8); b != nil && v == 1 {
		if f := math.Float64frombits(binary.LittleEndian.Uint64(b)); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	}
	d.bad = true
	return 0
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

// index returns an index into a list of n elements.
func (d *rowDecoder) index(n int) int {
	i := d.uvarint()
	if i >= uint64(n) {
		d.bad = true
		return 0
	}
	return int(i)
}

func (d *rowDecoder) string() string { return d.stringOf(d.uvarint()) }

// stringOf reads a string that begins with v.
func (d *rowDecoder) stringOf(v uint64) string {
	n := v >> 2
	switch {
	case v == 0:
		return ""
	case v&3 == refWord:
		if n < uint64(len(d.texts)) {
			return d.dictionary[d.texts[n]].text
		}
		d.bad = true
		return ""
	case v&3 == refAnnotation:
		d.bad = true
		return ""
	case v&3 == 0:
		if n > uint64(len(d.data)-d.at) {
			d.bad = true
			return ""
		}
		s := d.text[d.at : d.at+int(n)]
		d.at += int(n)
		d.words.add(s)
		return s
	case n < uint64(min(d.words.n, len(d.words.first))):
		return d.words.first[n]
	case n < uint64(d.words.n):
		return d.words.more[n-uint64(len(d.words.first))]
	}
	d.bad = true
	return ""
}

func (d *rowDecoder) strings(list []string) []string {
	list = resize(list, d.count(1))
	for i := range list {
		list[i] = d.string()
	}
	return list
}

func (d *rowDecoder) service() ServiceID {
	return ServiceID{Name: d.string(), Type: d.string(), AccountID: d.string()}
}

func (d *rowDecoder) bool() bool {
	b := d.byte()
	if b > 1 {
		d.bad = true
	}
	return b == 1
}

func (d *rowDecoder) annotation(a *Annotation) {
	v := d.uvarint()
	if v&3 == refAnnotation {
		if v == refAnnotation && len(d.annotations) > 0 {
			*a = d.dictionary[d.annotations[0]].annotation
			d.annotations = d.annotations[1:]
			return
		}
		d.bad = true
	}
	*a = Annotation{Key: d.stringOf(v)}
	typ := d.byte()
	a.Type, a.Attribute = segment.Type(typ&^annotationAttribute), typ&annotationAttribute != 0
	switch a.Type {
	case segment.TypeString:
		a.String = d.string()
	case segment.TypeNumber:
		a.Number = d.decimal()
	case segment.TypeBool:
		a.Bool = d.bool()
	default:
		d.bad = true
	}
}

// times reads the end and the duration of an entry with that first byte.
func (d *rowDecoder) times(head byte, start int64) (end int64, duration float64) {
	if head&entryDuration != 0 {
		duration = d.decimal()
	}
	if Flags(head)&FlagInProgress == 0 {
		end = start + nanosOf(head&entryDuration != 0, duration) // wraps around, as encoding does
		switch v := d.uvarint(); {
		case v&1 == 0:
			end += unzigzag(v>>1) * 100
		case v == 1:
			end += d.varint()
		default:
			d.bad = true
		}
	}
	return end, duration
}

// details reads the status and the annotations of an entry of a row that has
// so many annotations.
func (d *rowDecoder) details(annotations int) (status int, list []int) {
	status = int(d.varint())
	n := d.count(1)
	if n == 0 {
		return status, nil
	}
	if n > len(d.free) {
		d.ints = make([]int, max(n, 2*len(d.ints), 8))
		d.free = d.ints
	}
	list, d.free = d.free[:n:n], d.free[n:]
	last := int64(0)
	for i := range list {
		if last += d.varint(); uint64(last) >= uint64(annotations) {
			d.bad, last = true, 0
		}
		list[i] = int(last)
	}
	return status, list
}

func (d *rowDecoder) causes(list []RootCause) []RootCause {
	list = resize(list, d.count(2))
	for i := range list {
		c := &list[i]
		c.ClientImpacting = d.bool()
		c.Services = resize(c.Services, d.count(5))
		for j := range c.Services {
			s := &c.Services[j]
			s.Service = d.service()
			s.Inferred = d.bool()
			s.Entities = resize(s.Entities, d.count(2))
			for k := range s.Entities {
				d.causeEntity(&s.Entities[k])
			}
		}
	}
	return list
}

func (d *rowDecoder) causeEntity(e *RootCauseEntity) {
	e.Name = d.string()
	flags := d.byte()
	if flags >= causeEntityFlags {
		d.bad = true
	}
	e.Remote = flags&causeRemote != 0
	e.Coverage = 0
	if flags&causeCoverage != 0 {
		e.Coverage = d.decimal()
	}
	n := 0
	if flags&causeExceptions != 0 {
		n = d.count(2)
	}
	e.Exceptions = resize(e.Exceptions, n)
	for i := range e.Exceptions {
		e.Exceptions[i].Name = d.string()
		e.Exceptions[i].Message = d.string()
	}
}
