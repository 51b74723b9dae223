package segment

// Sampled is the sampling decision in a trace header.
type Sampled uint8

const (
	SampledUnknown   Sampled = iota // not said: undecided
	SampledNo                       // Sampled=0
	SampledYes                      // Sampled=1
	SampledRequested                // Sampled=?: please decide and tell in the response
)

// TraceHeader is the value of an X-Amzn-Trace-Id header.
type TraceHeader struct {
	Root      TraceID
	Parent    SegmentID // meaningful when HasParent
	HasParent bool
	Sampled   Sampled
	Lineage   string // Lambda's loop detection, forwarded untouched
	Self      string // added by load balancers; no part of the trace
	Extra     []HeaderField
}

// HeaderField is a key and value of a trace header that X-Ray has no meaning for.
type HeaderField struct{ Key, Value string }

// TraceHeaderName is the name of the HTTP header.
const TraceHeaderName = "X-Amzn-Trace-Id"

// ParseTraceHeader reads a header value liberally: parts in any order, white
// space around them, keys in any case, a trailing semicolon. It returns an
// error when Root is missing or no trace id, or Parent is no segment id.
func ParseTraceHeader(s string) (TraceHeader, error) { panic("segment: to be written") }

// String formats the header as Root, Parent, Sampled, Lineage, then the extra fields.
func (h TraceHeader) String() string { panic("segment: to be written") }
