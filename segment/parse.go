package segment

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
// service's own Message.
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
func Position(doc []byte, offset int) (line, column int) { panic("segment: to be written") }

// Limits bounds what Parse and ParseAll accept. The zero value means the
// generous defaults.
type Limits struct {
	DocumentBytes int  // 0: 16 MiB; larger documents are refused with InvalidSegment
	Depth         int  // 0: 1,000 levels of nesting; deeper ones are refused with ParseError
	RefuseArrays  bool // refuse a top-level array of documents, as AWS does
}

// Parse reads and checks one document that is an object. The error is a *Refusal.
func Parse(doc []byte, lim Limits) (*Segment, error) { panic("segment: to be written") }

// ParseAll reads one document text. An array of documents is taken apart, each
// element on its own; an empty array is refused, as the service does. For each
// document found accept is called with its own text (trailing NULs and white
// space removed; it refers to doc) and the parsed segment, or refuse with the
// text and the reason. Either function is called at least once.
func ParseAll(doc []byte, lim Limits, accept func(text []byte, s *Segment), refuse func(text []byte, r *Refusal)) {
	panic("segment: to be written")
}

// AppendDocument appends s in the form in which the X-Ray service gives
// documents back: its key order, times as doubles in the notation of Java
// (1.478293361271E9), unknown keys gone, nested subsegments without trace_id,
// parent_id and type. See observed behaviour in docs.
func (s *Segment) AppendDocument(dst []byte) []byte { panic("segment: to be written") }
