package segment

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Code is the ErrorCode of an unprocessed segment, as the X-Ray service names it.
type Code string

// The codes that the service was seen to send, and InvalidSegment.
const (
	CodeParseError                     Code = "ParseError"
	CodeMissingID                      Code = "MissingId"
	CodeInvalidID                      Code = "InvalidId"
	CodeMissingName                    Code = "MissingName"
	CodeInvalidName                    Code = "InvalidName"
	CodeMissingTraceID                 Code = "MissingTraceId"
	CodeInvalidTraceID                 Code = "InvalidTraceId"
	CodeMissingStartTime               Code = "MissingStartTime"
	CodeInvalidStartTime               Code = "InvalidStartTime"
	CodeMissingEndTime                 Code = "MissingEndTime"
	CodeInvalidEndTime                 Code = "InvalidEndTime"
	CodeInProgressSegmentHasEndTime    Code = "InProgressSegmentHasEndTime"
	CodeInProgressSubsegmentHasEndTime Code = "InProgressSubsegmentHasEndTime"
	CodeMissingParentID                Code = "MissingParentId"
	CodeInvalidParentID                Code = "InvalidParentId"
	CodeUnknownType                    Code = "UnknownType"
	CodeInvalidSegment                 Code = "InvalidSegment"
)

// Refusal says why a document was refused. It is an error whose text is the
// service's own Message. It keeps no reference to the document.
type Refusal struct {
	Code    Code
	ID      string // the document's id as it was written; meaningful when HasID
	HasID   bool   // false: the wire shows null
	Message string // the service's text, e.g. "Invalid segment. ErrorCode: MissingId"

	// For people (lint, dead letters): where and what, in plain words.
	Offset int    // byte offset in the document of what is wrong
	Path   string // e.g. "subsegments[2].end_time", "" for the document itself
	Detail string // what was found, e.g. `end_time is missing and in_progress is not true`
	Remedy string // what to do, e.g. `add end_time, or in_progress: true while the work runs`
}

func (r *Refusal) Error() string { return r.Message }

// Position returns the 1-based line and column (in bytes) of an offset in doc.
// Offsets outside of doc count as its nearest end.
func Position(doc []byte, offset int) (line, column int) {
	before := doc[:min(max(offset, 0), len(doc))]
	return 1 + bytes.Count(before, []byte{'\n'}), len(before) - bytes.LastIndexByte(before, '\n')
}

// Limits bounds what Parse and ParseAll accept. The zero value means the
// generous defaults.
type Limits struct {
	// DocumentBytes is the largest text in bytes, white space and NULs around it
	// not counted. 0 means 16 MiB; the most is 1 GiB. Larger texts are refused
	// with InvalidSegment.
	DocumentBytes int
	// Depth is the number of levels of objects and arrays. 0 means 1,000; the most
	// is 10,000. Deeper documents are refused with ParseError.
	Depth int
	// ArrayDocuments is how many documents a top-level array may hold. 0 means
	// MaxArrayDocuments, which is the most. Longer arrays are refused as a whole.
	ArrayDocuments int
	// RefuseArrays makes ParseAll refuse a top-level array of documents, as AWS does.
	RefuseArrays bool
	// AnyType takes a document whose type is no string for a segment, as the
	// documents need that were accepted when that was no reason to refuse one.
	AnyType bool
}

const (
	defaultDocumentBytes = 16 << 20
	defaultDepth         = 1000
	maxDocumentBytes     = 1 << 30 // spans are 32 bits wide
	maxNameRunes         = 200
)

// MaxArrayDocuments bounds the answers that one text can cause: an array of
// zeros would otherwise be refused some million times.
const MaxArrayDocuments = 100_000

func (l Limits) documentBytes() int {
	if l.DocumentBytes <= 0 {
		return defaultDocumentBytes
	}
	return min(l.DocumentBytes, maxDocumentBytes)
}

func (l Limits) depth() int {
	if l.Depth <= 0 {
		return defaultDepth
	}
	return min(l.Depth, maxDepth)
}

func (l Limits) arrayDocuments() int {
	if l.ArrayDocuments <= 0 {
		return MaxArrayDocuments
	}
	return min(l.ArrayDocuments, MaxArrayDocuments)
}

// Parse reads and checks one document that is an object. The error is a
// *Refusal. The Segment refers to doc.
//
// What is checked comes in this order, and the first fault is the one that is
// told: the text is JSON and an object; type, id, name, trace_id, start_time,
// end_time and in_progress, parent_id; then the nested subsegments in their
// order, each in the same way.
func Parse(doc []byte, lim Limits) (*Segment, error) {
	from, to := trim(doc)
	if to-from > lim.documentBytes() {
		return nil, refuseSize(doc[:to], from, lim)
	}
	s, r := parseDocument(doc[:to], from, lim)
	if r != nil {
		return nil, r
	}
	return s, nil
}

// ParseAll reads one document text. An array of documents is taken apart, each
// element on its own; an empty array is refused, as the service does, and so is
// one of more elements than Limits.ArrayDocuments. An array whose text is no JSON is refused
// as a whole.
//
// For each document found accept is called with its own text (trailing NULs and
// white space removed; it refers to doc) and the parsed segment, or refuse with
// the text and the reason. Either function is called at least once. Offsets in
// reasons count from the beginning of doc, and paths begin with the index of
// the document if there is an array: "[3].end_time".
func ParseAll(doc []byte, lim Limits, accept func(text []byte, s *Segment), refuse func(text []byte, r *Refusal)) {
	from, to := trim(doc)
	text := doc[from:to:to]
	if len(text) == 0 || text[0] != '[' {
		if s, err := Parse(doc, lim); err != nil {
			refuse(text, err.(*Refusal))
		} else {
			accept(text, s)
		}
		return
	}
	if len(text) > lim.documentBytes() {
		refuse(text, refuseSize(doc[:to], from, lim))
		return
	}
	d := doc[:to]
	depth := lim.depth()
	// The text is checked as a whole first, so that nothing of a torn array is
	// taken, and the elements are read one by one afterwards.
	end := scanArray(d, from, depth+1)
	if end >= 0 && end < to {
		end = ^end
	}
	if end < 0 {
		refuse(text, refuseSyntax(d, from, depth+1))
		return
	}
	array := &Refusal{
		Code: CodeParseError, Message: message(entity, CodeParseError), Offset: from,
		Detail: "the document is an array, not an object",
		Remedy: "send each document on its own",
	}
	if lim.RefuseArrays {
		refuse(text, array)
		return
	}
	n := 0
	for i := skipSpace(d, from+1); d[i] != ']'; n++ {
		if i = skipSpace(d, skipValue(d, i)); d[i] == ',' {
			i = skipSpace(d, i+1)
		}
	}
	switch {
	case n == 0:
		array.Detail = "the document is an empty array"
		array.Remedy = "send an object, or an array of objects"
		refuse(text, array)
		return
	case n > lim.arrayDocuments():
		array.Detail = fmt.Sprintf("the array has %d elements where at most %d are taken", n, lim.arrayDocuments())
		array.Remedy = "send the documents in smaller arrays, or one by one"
		refuse(text, array)
		return
	}
	for i, index := skipSpace(d, from+1), 0; d[i] != ']'; index++ {
		end := skipValue(d, i)
		if s, r := parseDocument(d[:end], i, lim); r != nil {
			r.Path = joinPath(fmt.Sprintf("[%d]", index), r.Path)
			refuse(d[i:end:end], r)
		} else {
			accept(d[i:end:end], s)
		}
		if i = skipSpace(d, end); d[i] == ',' {
			i = skipSpace(d, i+1)
		}
	}
}

// trim returns where the text of doc begins and ends: without a byte order
// mark, the white space around it, and the NULs that fixed-size buffers leave
// behind it.
func trim(doc []byte) (from, to int) {
	if len(doc) >= 3 && doc[0] == 0xEF && doc[1] == 0xBB && doc[2] == 0xBF {
		from = 3
	}
	to = len(doc)
	for to > from && (doc[to-1] == 0 || isSpace(doc[to-1])) {
		to--
	}
	return skipSpace(doc[:to], from), to
}

// field is a member of a document that has a meaning here.
type field uint8

const (
	fieldNone field = iota
	fieldType
	fieldID
	fieldName
	fieldTraceID
	fieldStartTime
	fieldEndTime
	fieldInProgress
	fieldParentID
	fieldError
	fieldFault
	fieldThrottle
	fieldInferred
	fieldNamespace
	fieldOrigin
	fieldUser
	fieldResourceARN
	fieldHTTP
	fieldAWS
	fieldService
	fieldSQL
	fieldCause
	fieldAnnotations
	fieldMetadata
	fieldLinks
	fieldPrecursorIDs
	fieldCount
	fieldSubsegments = fieldCount // has no span of its own
)

func fieldOf(key []byte) field {
	switch string(key) {
	case "type":
		return fieldType
	case "id":
		return fieldID
	case "name":
		return fieldName
	case "trace_id":
		return fieldTraceID
	case "start_time":
		return fieldStartTime
	case "end_time":
		return fieldEndTime
	case "in_progress":
		return fieldInProgress
	case "parent_id":
		return fieldParentID
	case "error":
		return fieldError
	case "fault":
		return fieldFault
	case "throttle":
		return fieldThrottle
	case "inferred":
		return fieldInferred
	case "namespace":
		return fieldNamespace
	case "origin":
		return fieldOrigin
	case "user":
		return fieldUser
	case "resource_arn":
		return fieldResourceARN
	case "http":
		return fieldHTTP
	case "aws":
		return fieldAWS
	case "service":
		return fieldService
	case "sql":
		return fieldSQL
	case "cause":
		return fieldCause
	case "annotations":
		return fieldAnnotations
	case "metadata":
		return fieldMetadata
	case "links":
		return fieldLinks
	case "precursor_ids":
		return fieldPrecursorIDs
	case "subsegments":
		return fieldSubsegments
	}
	// A key may be spelled with escape sequences, six bytes for one at most.
	const longest = len("precursor_ids")
	if len(key) <= 6*longest && bytes.IndexByte(key, '\\') >= 0 {
		var buf [6 * longest]byte
		if decoded := appendDecoded(buf[:0], key); bytes.IndexByte(decoded, '\\') < 0 {
			return fieldOf(decoded)
		}
	}
	return fieldNone
}

// span is where a value stands in the text. No value has its end at 0.
type span struct{ start, end uint32 }

// parser holds what one call of parseDocument needs.
//
// Nested entities are read into pending, whose memory is used again and again,
// and copied to the heap in blocks that are no larger than they have to be: at
// the end of their list, and whenever a list has filled a block.
type parser struct {
	data    []byte
	anyType bool       // see Limits
	pending []Segment  // of all lists that are still open, not yet in a block
	settled []*Segment // of all lists that are still open, in blocks
}

// blockSize bounds how many entities of one list are pending at a time.
const blockSize = 64

var parsers = sync.Pool{New: func() any { return new(parser) }}

// parseDocument reads the document that begins at from and ends with d.
func parseDocument(d []byte, from int, lim Limits) (*Segment, *Refusal) {
	depth := lim.depth()
	if from >= len(d) || d[from] != '{' {
		end := scanValue(d, from, depth)
		if end < 0 || end != len(d) {
			return nil, refuseSyntax(d, from, depth)
		}
		return nil, &Refusal{
			Code: CodeParseError, Message: message(entity, CodeParseError), Offset: from,
			Detail: "the document is " + Raw(d[from:]).Type().String() + ", not an object",
			Remedy: "send one JSON object: a segment or a subsegment",
		}
	}
	p := parsers.Get().(*parser)
	p.data, p.anyType = d, lim.AnyType
	s, r, end := p.entity(from, depth, false)
	p.drop(0, 0) // something is left when the text broke off within a list
	if cap(p.pending) > 4*blockSize {
		p.pending = nil // do not keep what one huge document needed
	}
	if cap(p.settled) > 4096 {
		p.settled = nil
	}
	p.data = nil
	parsers.Put(p)
	if end < 0 || end != len(d) {
		return nil, refuseSyntax(d, from, depth)
	}
	return s, r
}

// entity reads the object at i. A text that is no JSON is reported by a
// negative offset; otherwise the text is well-formed up to the offset and the
// entity is either given or refused. A nested entity that is given is the last
// of p.pending; the pointer is good only until the next one is read.
func (p *parser) entity(i, depth int, nested bool) (*Segment, *Refusal, int) {
	if depth <= 0 {
		return nil, nil, ^i
	}
	var (
		d       = p.data
		c       = checker{data: d, start: i, kind: KindSegment}
		subs    []*Segment
		refused *Refusal // the first fault in the nested subsegments
	)
	i = skipSpace(d, i+1)
	if i < len(d) && d[i] == '}' {
		i++
	} else {
	members:
		for {
			if i >= len(d) || d[i] != '"' {
				return nil, nil, ^i
			}
			key := i + 1
			if i = scanString(d, key); i < 0 {
				return nil, nil, i
			}
			f := fieldOf(d[key : i-1])
			if i+1 < len(d) && d[i] == ':' && d[i+1] > ' ' {
				i++ // the common case, without a call
			} else if i = scanColon(d, i); i < 0 {
				return nil, nil, i
			}
			value := i
			if f == fieldSubsegments {
				// Of several lists the last one counts, also when it is none.
				subs, refused, i = p.subsegments(i, depth-1)
			} else {
				if i < len(d) && d[i] == '"' {
					i = scanString(d, i+1)
				} else {
					i = scanValue(d, i, depth-1)
				}
				c.spans[f] = span{uint32(value), uint32(i)} // fieldNone is a waste basket
			}
			if i < 0 {
				return nil, nil, i
			}
			if i >= len(d) || d[i] <= ' ' {
				if i = skipSpace(d, i); i >= len(d) {
					return nil, nil, ^i
				}
			}
			switch d[i] {
			case ',':
				i++
				if i < len(d) && d[i] <= ' ' {
					i = skipSpace(d, i)
				}
			case '}':
				i++
				break members
			default:
				return nil, nil, ^i
			}
		}
	}
	var s *Segment
	if nested {
		c.kind = KindNested
		p.pending = append(p.pending, Segment{})
		s = &p.pending[len(p.pending)-1]
	} else {
		s = new(Segment)
	}
	if r := c.check(s, nested, p.anyType); r != nil {
		return nil, r, i
	}
	if refused != nil {
		if !nested {
			// The service names the outer document.
			refused.ID, refused.HasID = strings.Clone(c.string(fieldID)), true
		}
		return nil, refused, i
	}
	c.fill(s)
	s.Subsegments = subs
	return s, nil, i
}

// settle moves the entities that are pending from base on into a block.
func (p *parser) settle(base int) {
	if len(p.pending) == base {
		return
	}
	block := make([]Segment, len(p.pending)-base)
	copy(block, p.pending[base:])
	for i := range block {
		p.settled = append(p.settled, &block[i])
	}
	clear(p.pending[base:])
	p.pending = p.pending[:base]
}

// drop forgets the entities of a list that is closed or lost.
func (p *parser) drop(base, settledBase int) {
	clear(p.pending[base:])
	p.pending = p.pending[:base]
	clear(p.settled[settledBase:])
	p.settled = p.settled[:settledBase]
}

// subsegments reads the value of a "subsegments" member. Everything but an
// array is dropped, as the service does.
func (p *parser) subsegments(i, depth int) (list []*Segment, refused *Refusal, end int) {
	d := p.data
	if i >= len(d) || d[i] != '[' {
		return nil, nil, scanValue(d, i, depth)
	}
	if depth <= 0 {
		return nil, nil, ^i
	}
	base, settledBase := len(p.pending), len(p.settled)
	i = skipSpace(d, i+1)
	if i < len(d) && d[i] == ']' {
		return nil, nil, i + 1
	}
	for index := 0; ; index++ {
		switch {
		case refused != nil:
			// The document is lost; the rest of the list only has to be JSON.
			i = scanValue(d, i, depth-1)
		case i < len(d) && d[i] == '{':
			if _, refused, i = p.entity(i, depth-1, true); refused != nil {
				refused.Path = joinPath("subsegments["+strconv.Itoa(index)+"]", refused.Path)
				p.drop(base, settledBase)
			} else if len(p.pending)-base == blockSize {
				p.settle(base)
			}
		default:
			start := i
			if i = scanValue(d, i, depth-1); i >= 0 {
				refused = &Refusal{
					Code: CodeParseError, Message: message(entity, CodeParseError), Offset: start,
					Path:   "subsegments[" + strconv.Itoa(index) + "]",
					Detail: "a nested subsegment is " + Raw(d[start:i]).Type().String() + ", not an object",
					Remedy: "leave it out, or make it an object with id, name, start_time and end_time",
				}
			}
		}
		if i < 0 {
			return nil, nil, i
		}
		if i = skipSpace(d, i); i >= len(d) {
			return nil, nil, ^i
		}
		if d[i] == ',' {
			i = skipSpace(d, i+1)
			continue
		}
		if d[i] != ']' {
			return nil, nil, ^i
		}
		break
	}
	if refused == nil {
		p.settle(base)
		list = make([]*Segment, len(p.settled)-settledBase)
		copy(list, p.settled[settledBase:])
	}
	p.drop(base, settledBase)
	return list, refused, i + 1
}

// checker judges the members of one entity.
type checker struct {
	data  []byte
	start int // of the entity
	kind  Kind
	// spans says where the members stand. It is held by value: behind a pointer it
	// would have to be on the heap, since what data holds ends up in the Segment.
	spans [fieldCount]span
}

func (c *checker) raw(f field) Raw {
	s := c.spans[f]
	return c.data[s.start:s.end:s.end]
}

// body returns the text of a string between its quotes, and whether the value is one.
func (c *checker) body(f field) ([]byte, bool) {
	s := c.spans[f]
	if s.end == 0 || c.data[s.start] != '"' {
		return nil, false
	}
	return c.data[s.start+1 : s.end-1], true
}

// string returns the decoded value of a string, "" for anything else.
func (c *checker) string(f field) string {
	if body, ok := c.body(f); ok {
		return decodeString(body)
	}
	return ""
}

// checkType finds out the kind of a document. Every type but "segment" and
// "subsegment" is refused, also one that is no string unless any may be.
func (c *checker) checkType(anyType bool) *Refusal {
	kind := c.raw(fieldType)
	switch kind.Type() {
	case TypeAbsent, TypeNull:
		return nil
	case TypeString:
		switch kind.String() {
		case "segment":
			return nil
		case "subsegment":
			c.kind = KindSubsegment
			return nil
		}
	default:
		if anyType {
			return nil
		}
	}
	return c.refuseAs(entity, CodeUnknownType, fieldType, c.found(fieldType),
		`leave type out for a segment, or make it "subsegment"`)
}

// check finds the first fault of the entity and fills in what has to be checked.
func (c *checker) check(s *Segment, nested, anyType bool) *Refusal {
	if !nested {
		if refused := c.checkType(anyType); refused != nil {
			return refused
		}
	}
	s.Kind = c.kind

	body, ok := c.body(fieldID)
	if !ok || len(body) == 0 {
		return c.refuse(CodeMissingID, fieldID, "",
			"give it an id of 16 hexadecimal digits, in quotes, that no other part of the trace has")
	}
	if s.ID, ok = parseSegmentID(body); !ok {
		if s.ID, ok = parseSegmentID(decodeString(body)); !ok {
			return c.refuse(CodeInvalidID, fieldID,
				"id is "+quote(decodeString(body))+", which is not 16 hexadecimal digits",
				"give it an id of 16 hexadecimal digits that no other part of the trace has")
		}
	}

	body, ok = c.body(fieldName)
	if !ok || len(body) == 0 {
		return c.refuse(CodeMissingName, fieldName, "", "name the service or the call that was made, in quotes")
	}
	if s.Name, ok = plainName(body); !ok {
		name, bad, place := checkName(decodeString(body))
		if bad >= 0 {
			r := c.refuse(CodeInvalidName, fieldName,
				fmt.Sprintf("name has the character %s at place %d", quoteRune(bad), place),
				`use letters, digits, spaces and _ . : / % & # = + \ - @ only`)
			return r
		}
		s.Name = name
	}

	if !nested {
		body, ok = c.body(fieldTraceID)
		if !ok || len(body) == 0 {
			return c.refuse(CodeMissingTraceID, fieldTraceID, "",
				`add the trace's id, such as "1-6921c0de-4d1a9be02f77c6510e83aa24"`)
		}
		if s.TraceID, ok = parseTraceID(body); !ok {
			if s.TraceID, ok = parseTraceID(decodeString(body)); !ok {
				t := decodeString(body)
				remedy := "write 1-, 8 hexadecimal digits, -, and 24 more"
				if id, err := ParseAnyTraceID(t); err == nil {
					remedy = "write this W3C id as " + id.String()
				}
				return c.refuse(CodeInvalidTraceID, fieldTraceID, "trace_id is "+quote(t)+", which is no trace id", remedy)
			}
		}
	}

	switch s.StartTime, ok = c.time(fieldStartTime); {
	case c.spans[fieldStartTime].end == 0 || c.raw(fieldStartTime).Type() != TypeNumber:
		return c.refuse(CodeMissingStartTime, fieldStartTime, "",
			"add the time at which the work began, in seconds since 1970, as a number such as 1763819742.518")
	case !ok:
		return c.refuse(CodeInvalidStartTime, fieldStartTime,
			"start_time is "+clip(c.raw(fieldStartTime))+", which is no time",
			"give seconds since 1970 as a finite number")
	}

	hasEnd := c.spans[fieldEndTime].end != 0 && c.raw(fieldEndTime).Type() == TypeNumber
	s.InProgress, _ = c.bool(fieldInProgress)
	switch s.EndTime, ok = c.time(fieldEndTime); {
	case hasEnd && s.InProgress:
		code := CodeInProgressSegmentHasEndTime
		if c.kind != KindSegment {
			code = CodeInProgressSubsegmentHasEndTime
		}
		return c.refuse(code, fieldEndTime, "end_time is there although in_progress is true",
			"leave end_time out while the work runs, and in_progress when it is done")
	case !hasEnd && !s.InProgress:
		detail := c.found(fieldEndTime)
		if c.spans[fieldInProgress].end == 0 {
			detail += " and in_progress is not there"
		} else {
			detail += " and in_progress is not true"
		}
		return c.refuse(CodeMissingEndTime, fieldEndTime, detail,
			"add end_time as a number, or in_progress: true while the work runs")
	case hasEnd && !ok:
		return c.refuse(CodeInvalidEndTime, fieldEndTime,
			"end_time is "+clip(c.raw(fieldEndTime))+", which is no time",
			"give seconds since 1970 as a finite number")
	}

	body, ok = c.body(fieldParentID)
	if !ok || len(body) == 0 {
		if c.kind == KindSubsegment {
			return c.refuse(CodeMissingParentID, fieldParentID, "",
				"add the id of the segment or subsegment that this one belongs to")
		}
		return nil
	}
	if s.ParentID, s.HasParent = parseSegmentID(body); !s.HasParent {
		s.ParentID, s.HasParent = parseSegmentID(decodeString(body))
		// The place of a nested subsegment says what its parent is.
		if !s.HasParent && !nested {
			return c.refuse(CodeInvalidParentID, fieldParentID,
				"parent_id is "+quote(decodeString(body))+", which is not 16 hexadecimal digits",
				"give the id of the segment or subsegment that this one belongs to, or leave parent_id out for the first segment of a trace")
		}
	}
	return nil
}

// fill sets the members that may be anything.
func (c *checker) fill(s *Segment) {
	s.Error = c.flag(fieldError)
	s.Fault = c.flag(fieldFault)
	s.Throttle = c.flag(fieldThrottle)
	s.Inferred, _ = c.bool(fieldInferred)
	s.Namespace = c.string(fieldNamespace)
	s.Origin = c.string(fieldOrigin)
	s.User = c.string(fieldUser)
	s.ResourceARN = c.string(fieldResourceARN)
	s.HTTP = c.part(fieldHTTP, '{')
	s.AWS = c.part(fieldAWS, '{')
	s.Service = c.part(fieldService, '{')
	s.SQL = c.part(fieldSQL, '{')
	if s.Cause = c.part(fieldCause, '{'); s.Cause == nil {
		s.Cause = c.part(fieldCause, '"')
	}
	s.Annotations = c.part(fieldAnnotations, '{')
	s.Links = c.part(fieldLinks, '[')
	s.PrecursorIDs = c.part(fieldPrecursorIDs, '[')
	if m := c.spans[fieldMetadata]; m.end != 0 {
		switch c.data[m.end-1] {
		case 'l', 'N', 'y': // null, NaN, Infinity: nothing that could be given back
		default:
			s.Metadata = c.raw(fieldMetadata)
		}
	}
}

// part returns the value of a field that begins with the given character, nil
// for everything else.
func (c *checker) part(f field, first byte) Raw {
	s := c.spans[f]
	if s.end == 0 || c.data[s.start] != first {
		return nil
	}
	return c.data[s.start:s.end:s.end]
}

func (c *checker) bool(f field) (value, ok bool) {
	s := c.spans[f]
	if s.end == 0 {
		return false, false
	}
	first := c.data[s.start]
	return first == 't', first == 't' || first == 'f'
}

func (c *checker) flag(f field) Flag {
	switch value, ok := c.bool(f); {
	case !ok:
		return FlagAbsent
	case value:
		return FlagTrue
	}
	return FlagFalse
}

// time returns the value of a number and whether the value is one and finite.
func (c *checker) time(f field) (float64, bool) {
	s := c.spans[f]
	if s.end == 0 {
		return 0, false
	}
	if first := c.data[s.start]; first != '-' && !isDigit(first) {
		return 0, false
	}
	// An error means that the number overflows, which gives infinity, or is
	// -Infinity, which strconv reads as well.
	t, _ := strconv.ParseFloat(alias(c.data[s.start:s.end]), 64)
	if math.IsInf(t, 0) {
		return 0, false
	}
	return t, true
}

// plainName takes the short way for names of ASCII letters, digits and signs.
func plainName(body []byte) (string, bool) {
	if len(body) > maxNameRunes {
		return "", false
	}
	for _, c := range body {
		if !plainNameBytes[c] {
			return "", false
		}
	}
	return alias(body), true
}

// plainNameBytes are the bytes that stand for themselves in a JSON string and
// are allowed in a name.
var plainNameBytes = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c < utf8.RuneSelf && c != '\\' && nameRune(rune(c))
	}
	return t
}()

// nameRune reports whether a character may be in a name.
func nameRune(r rune) bool {
	switch r {
	case '_', '.', ':', '/', '%', '&', '#', '=', '+', '\\', '-', '@':
		return true
	}
	return unicode.In(r, unicode.L, unicode.N, unicode.Z)
}

// checkName cuts a name to 200 characters and finds the first character in it
// that is not allowed, and its 1-based place; bad is negative when there is none.
// It cuts first, since the service does not refuse what it does not keep.
func checkName(name string) (cut string, bad rune, place int) {
	for i, r := range name {
		if place == maxNameRunes {
			return name[:i], -1, 0
		}
		place++
		if !nameRune(r) {
			return "", r, place
		}
	}
	return name, -1, 0
}

// The word that the service uses in its message for what it refuses.
type word string

const (
	entity     word = "entity"
	segment    word = "segment"
	subsegment word = "subsegment"
)

// message gives the service's own text.
func message(w word, code Code) string {
	m := "Invalid " + string(w) + ". ErrorCode: " + string(code)
	if w == subsegment {
		m += ", Cause: null"
	}
	return m
}

var fieldNames = [fieldCount]string{
	fieldType: "type", fieldID: "id", fieldName: "name", fieldTraceID: "trace_id", fieldStartTime: "start_time",
	fieldEndTime: "end_time", fieldInProgress: "in_progress", fieldParentID: "parent_id",
}

func (c *checker) refuse(code Code, f field, detail, remedy string) *Refusal {
	w := subsegment
	if c.kind == KindSegment {
		w = segment
	}
	return c.refuseAs(w, code, f, detail, remedy)
}

func (c *checker) refuseAs(w word, code Code, f field, detail, remedy string) *Refusal {
	r := &Refusal{
		Code: code, Message: message(w, code),
		Offset: c.start, Path: fieldNames[f], Detail: detail, Remedy: remedy,
	}
	if s := c.spans[f]; s.end != 0 {
		r.Offset = int(s.start)
	}
	if detail == "" {
		r.Detail = c.found(f)
	}
	if body, ok := c.body(fieldID); ok {
		r.ID, r.HasID = strings.Clone(decodeString(body)), true
	}
	return r
}

// found says in words what a required field is instead of what it should be.
func (c *checker) found(f field) string {
	if c.spans[f].end == 0 {
		return fieldNames[f] + " is missing"
	}
	raw := c.raw(f)
	switch t := raw.Type(); t {
	case TypeString:
		if len(raw) == 2 {
			return fieldNames[f] + " is empty"
		}
		return fieldNames[f] + " is the string " + quote(raw.String())
	case TypeNumber, TypeBool:
		return fieldNames[f] + " is " + clip(raw) + ", " + t.String()
	default:
		return fieldNames[f] + " is " + t.String()
	}
}

// refuseSize refuses a text that is too large. Its id is told when it can be read.
func refuseSize(d []byte, from int, lim Limits) *Refusal {
	r := &Refusal{
		Code:    CodeInvalidSegment,
		Message: "Trace Size Exceeded. Reduce the number of segments per trace and the size of your segment documents.",
		Offset:  from,
		Detail:  fmt.Sprintf("the document has %d bytes; at most %d are taken", len(d)-from, lim.documentBytes()),
		Remedy:  "send finished subsegments as documents of their own, or leave out metadata",
	}
	if scanValue(d, from, lim.depth()) == len(d) {
		if id, ok := Raw(d[from:]).Get("id").Text(); ok {
			r.ID, r.HasID = strings.Clone(id), true
		}
	}
	return r
}

// quote gives a text in quotes, cut when it is long.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most]
		for len(s) > 0 && !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
		return strconv.Quote(s) + "..."
	}
	return strconv.Quote(s)
}

func quoteRune(r rune) string {
	return strconv.QuoteRune(r) + fmt.Sprintf(" (U+%04X)", r)
}

// clip gives the text of a number or a word, cut when it is long.
func clip(text []byte) string {
	const most = 40
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}

// joinPath puts the path of an element before a path within it.
func joinPath(outer, inner string) string {
	const most = 1000 // subsegments nest a thousand deep; nobody reads such a path
	switch {
	case outer == "":
		return strings.Clone(inner)
	case inner == "":
		return outer
	case len(inner) > most:
		return inner
	case inner[0] == '[':
		return outer + inner
	}
	return outer + "." + inner
}
