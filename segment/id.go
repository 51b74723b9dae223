package segment

// TraceID identifies a trace. Its text is "1-", 8 hexadecimal digits, "-" and
// 24 hexadecimal digits; the 16 bytes are those 32 digits. The first 4 bytes
// are the epoch second of the request when an X-Ray SDK made the id, and random
// when it comes from a W3C trace id, so nothing may be derived from them. The
// zero value stands for no id.
type TraceID [16]byte

// ParseTraceID reads the form 1-8-24, digits in either case. It returns
// ErrTraceID for everything else, a bare W3C id included: the X-Ray service
// refuses documents that carry one.
func ParseTraceID(s string) (TraceID, error) { panic("segment: to be written") }

// ParseAnyTraceID reads the form 1-8-24 and, as an extension for people and for
// W3C tools, 32 bare hexadecimal digits.
func ParseAnyTraceID(s string) (TraceID, error) { panic("segment: to be written") }

// String returns the form 1-8-24 in lower case.
func (id TraceID) String() string { panic("segment: to be written") }

// W3C returns the id as 32 lower-case hexadecimal digits.
func (id TraceID) W3C() string { panic("segment: to be written") }

// IsZero reports whether id is the zero value, which stands for no id.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// SegmentID identifies a segment or subsegment within its trace. Its text is 16
// hexadecimal digits, first digit highest.
type SegmentID uint64

// ParseSegmentID reads 16 hexadecimal digits in either case.
func ParseSegmentID(s string) (SegmentID, error) { panic("segment: to be written") }

// String returns the id as 16 lower-case hexadecimal digits.
func (id SegmentID) String() string { panic("segment: to be written") }
