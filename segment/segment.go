package segment

// Kind tells the three forms of an entity apart.
type Kind uint8

const (
	// KindSegment is a document of its own without a type, or with type "segment".
	KindSegment Kind = iota
	// KindSubsegment is a document of its own with type "subsegment" and a parent_id.
	KindSubsegment
	// KindNested is an element of a "subsegments" array.
	KindNested
)

// Flag is a boolean that may be absent. Explicit false flags are kept and
// written again, as the X-Ray service does.
type Flag uint8

const (
	FlagAbsent Flag = iota
	FlagFalse
	FlagTrue
)

// True reports whether the flag is present and true.
func (f Flag) True() bool { return f == FlagTrue }

// Attributes are values with names. They are given one by one, so that nothing has to be
// made of them before they are wanted.
type Attributes interface {
	// Each calls fn for every value. fn must not keep a.
	Each(fn func(a *Attribute))
}

// Attribute is a value with a name. Exactly one of the values counts, by Type. Texts are valid UTF-8.
type Attribute struct {
	Name   string
	Type   Type // TypeString, TypeNumber or TypeBool
	Text   string
	Number float64 // neither infinite nor NaN
	Bool   bool
}

// Segment is a parsed and checked segment or subsegment (an entity). Fields
// that the document lacks, or gives with a wrong type, are zero.
type Segment struct {
	Kind    Kind
	TraceID TraceID // zero for nested subsegments
	ID      SegmentID
	// ParentID is meaningful when HasParent is set. A segment without parent is
	// the root of its trace. For nested subsegments it is what the document
	// says, which may be nothing: their place is their parent.
	ParentID  SegmentID
	HasParent bool

	Name       string  // at most 200 characters, cut as the service does
	StartTime  float64 // epoch seconds; finite; 0 and negative are legal
	EndTime    float64 // epoch seconds; meaningful unless InProgress; may lie before StartTime
	InProgress bool

	Error, Fault, Throttle Flag
	Inferred               bool

	Namespace   string // "aws", "remote", "" or anything
	Origin      string
	User        string
	ResourceARN string

	// The parts below are kept as the JSON text that came, nil when absent or null.
	HTTP         Raw // an object
	AWS          Raw // an object
	Service      Raw // an object
	SQL          Raw // an object
	Cause        Raw // an object, or a string: the id of an exception of the trace
	Annotations  Raw // an object
	Metadata     Raw // any value
	Links        Raw // an array
	PrecursorIDs Raw // an array

	// Attributes are values that can be searched for as if they were
	// annotations, but are no part of the document: neither read nor written. What
	// makes segments from another form, such as OpenTelemetry spans, sets it.
	Attributes Attributes
	// SpanService is the name of the service that an OpenTelemetry span came from, which
	// need not be that of the segment. Like Attributes it is no part of the document.
	SpanService string

	Subsegments []*Segment // nested ones, in the order of the document
}
