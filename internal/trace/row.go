package trace

import (
	"slices"

	"github.com/roentgen-io/roentgen/segment"
)

// ServiceID names a node of the service graph.
type ServiceID struct {
	Name      string
	Type      string // "" where the service answers null
	AccountID string // "" where the service answers null
}

// Annotation is one annotation value of a trace. Exactly one of the values counts, by Type.
type Annotation struct {
	Key    string
	Type   segment.Type // TypeString, TypeNumber or TypeBool
	String string
	Number float64
	Bool   bool
	// Attribute says that no document has it as an annotation: it is another value
	// that can be searched for, such as an attribute of an OpenTelemetry span.
	Attribute bool
}

// Flags are the marks of a segment or call. As everywhere in a row, what was
// throttled has no error.
type Flags uint8

const (
	FlagError Flags = 1 << iota
	FlagFault
	FlagThrottle
	FlagInProgress // unfinished
	FlagInferred   // of a call: nobody reported its callee; of a segment: it was sent as inferred
	FlagRoot       // of a segment: it has no parent_id

	flagsAll = 1<<iota - 1
)

// SegmentEntry is a reported segment, as conditions see it.
type SegmentEntry struct {
	Service     int // index of its node in Row.Services
	Flags       Flags
	Status      int   // of its http response, 0 when unknown
	End         int64 // unix nanoseconds; meaningful unless FlagInProgress is set
	Duration    float64
	HasDuration bool // false: unfinished, or the end lies before the start
	// Annotations are indexes into Row.Annotations: those of the segment and of
	// its subsegments.
	Annotations []int
	// Segment is the segment itself; nil in a row that was decoded.
	Segment *segment.Segment
}

// CallEntry is a call, as conditions see it. The element that stands for an
// inferred callee is its call.
type CallEntry struct {
	From, To    int // indexes of nodes in Row.Services
	Flags       Flags
	Status      int
	End         int64 // unix nanoseconds; meaningful unless FlagInProgress is set
	Duration    float64
	HasDuration bool
	// Annotations are indexes into Row.Annotations: those that an inferred callee
	// takes over from its call. Other calls have none. What the caller says of the
	// call itself is not among them, see Row.AnnotationsOf.
	Annotations []int
	// Segment is the subsegment, or the segment, that has the call's numbers; nil
	// in a row that was decoded.
	Segment *segment.Segment
}

// Row is the index record of a trace: all that trace summaries show and that
// window queries decide on, without reading the documents again. Times are unix
// nanoseconds unless said otherwise, cut to the range of int64.
//
// A row is small whatever its documents hold: texts and lists are cut at the
// bounds given beside the fields, in the order of arrival. What is cut is still
// in the documents, it only cannot be searched for.
type Row struct {
	ID       segment.TraceID
	FirstSeq uint64
	LastSeq  uint64
	Revision int
	Changed  int64 // receipt of the latest accepted change, unix milliseconds

	// Start is the smallest start_time above 0 of segments and attached
	// subsegments (of orphans when there is nothing else; else 0): the clock of
	// TimeRangeType TraceId.
	Start int64
	// Ends are the minutes (unix time / 60 s, floored) in which a segment or call
	// of the trace ended (an orphan when there is nothing else), sorted, each
	// once, the last 10,080 of them: the clock of TimeRangeType Service.
	Ends []int64

	Duration        float64 // seconds; meaningful when HasDuration
	HasDuration     bool    // false: null (anything unfinished, or nothing counted)
	ResponseTime    float64 // seconds, of the root; meaningful when HasResponseTime
	HasResponseTime bool

	HasRoot                         bool // a segment without parent_id is there
	HasError, HasFault, HasThrottle bool // of the root alone; a throttle is no error
	Partial                         bool // a segment names a parent that is not in the trace
	OrphanOnly                      bool // nothing but orphan subsegments: the X-Ray API hides it
	InProgress                      bool // something in the trace is unfinished; of orphans only when OrphanOnly
	Documents                       bool // something came as an X-Ray document rather than as an OpenTelemetry span
	Orphans                         bool // there are orphans, of whose texts the row has none
	Failed                          bool // a segment or attached subsegment has error, fault, throttle, a cause or a status from 400 to 599

	// HTTP of the root; "" and 0 where the service answers null. The URL has at
	// most 2,048 bytes, the user agent 1,024, the others 256.
	Method, URL, UserAgent, ClientIP string
	Status                           int

	Root ServiceID // meaningful when HasRoot
	// Services are the nodes of the trace, each once: reported ones in the order
	// of arrival, inferred ones, and last the client when there is a root
	// (unless something in the trace has its name and type).
	Services []ServiceID // 64 KiB; a name has at most 1,024 bytes
	// Segments and Calls are what conditions on services and edges look at, one by
	// one, in the order of Trace.Segments and Trace.Calls. They are not shown.
	Segments []SegmentEntry // 64 KiB as they are encoded
	Calls    []CallEntry    // likewise
	// FaultCauses, ErrorCauses and ResponseTimeCauses are the root causes, 64 KiB in
	// all. Their texts have at most 1,024 bytes.
	FaultCauses, ErrorCauses, ResponseTimeCauses []RootCause
	// Cut says that something was left out at a bound: what is not found in this
	// row may still be in the documents. Trace.FullRow leaves nothing out.
	Cut bool
	// Annotations are those of segments, attached subsegments and inferred callees,
	// sorted by key and value, equal values once. Values have at most 4,096 bytes, keys 1,024.
	// The service of a span that is not named as its segment is among them, as the
	// attribute service.name.
	Annotations  []Annotation // 64 KiB
	Users        []string     // of segments, in the order of arrival; 16 KiB, each 1,024 bytes
	ResourceARNs []string     // resource_arn and aws.resource_arn, likewise
	InstanceIDs  []string     // aws.ec2.instance_id, likewise
	Zones        []string     // availability_zone of aws.ec2 and aws.ecs, likewise
	Entities     int          // segments and subsegments, attached or not, without inferred ones
}

// AnnotationsOf calls fn with those annotations of the row that a segment or subsegment has
// itself, without what it nests.
func (r *Row) AnnotationsOf(s *segment.Segment, fn func(a *Annotation)) {
	see := func(a *Annotation) {
		if i, ok := slices.BinarySearchFunc(r.Annotations, a, func(x Annotation, y *Annotation) int { return compareAnnotations(&x, y) }); ok {
			fn(&r.Annotations[i])
		}
	}
	s.Annotations.Members(func(key string, v segment.Raw) bool {
		if a, ok := annotation(key, v); ok {
			see(&a)
		}
		return true
	})
	if s.Attributes != nil {
		s.Attributes.Each(func(a *segment.Attribute) {
			own := attributeAnnotation(a)
			see(&own)
		})
	}
}

// LimitAnnotations leaves the first max annotations in the row, and takes the others
// away from its segments and calls too. The row must not be shared.
func (r *Row) LimitAnnotations(max int) {
	if len(r.Annotations) <= max {
		return
	}
	r.Annotations = r.Annotations[:max]
	beyond := func(index int) bool { return index >= max }
	for i := range r.Segments {
		r.Segments[i].Annotations = slices.DeleteFunc(r.Segments[i].Annotations, beyond)
	}
	for i := range r.Calls {
		r.Calls[i].Annotations = slices.DeleteFunc(r.Calls[i].Annotations, beyond)
	}
}
