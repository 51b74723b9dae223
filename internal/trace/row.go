package trace

import "github.com/roentgen-io/roentgen/segment"

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
}

// Row is the index record of a trace: all that trace summaries show and that
// window queries decide on, without reading the documents again. Times are unix
// nanoseconds unless said otherwise, cut to the range of int64.
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
	// of the trace ended, sorted, each once: the clock of TimeRangeType Service.
	Ends []int64

	Duration        float64 // seconds; meaningful when HasDuration
	HasDuration     bool    // false: null (anything unfinished, or nothing counted)
	ResponseTime    float64 // seconds, of the root; meaningful when HasResponseTime
	HasResponseTime bool

	HasRoot                         bool // a segment without parent_id is there
	HasError, HasFault, HasThrottle bool // of the root alone
	Partial                         bool // a segment names a parent that is not in the trace
	OrphanOnly                      bool // nothing but orphan subsegments: the X-Ray API hides it
	InProgress                      bool // something in the trace is unfinished

	// HTTP of the root; "" and 0 where the service answers null.
	Method, URL, UserAgent, ClientIP string
	Status                           int

	Root         ServiceID // meaningful when HasRoot
	Services     []ServiceID
	Annotations  []Annotation // sorted by key, equal values once
	Users        []string
	ResourceARNs []string
	InstanceIDs  []string
	Zones        []string
	Entities     int // segments and subsegments, attached or not
}

// AppendBinary appends the encoded row. The layout is docs/format/store.md.
func (r *Row) AppendBinary(dst []byte) ([]byte, error) { panic("trace: to be written") }

// UnmarshalBinary decodes what AppendBinary wrote. Strings of the row are copies.
// It returns ErrRow when data is no encoded row.
func (r *Row) UnmarshalBinary(data []byte) error { panic("trace: to be written") }
