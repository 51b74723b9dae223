package trace

import "github.com/roentgen-io/roentgen/segment"

// Document is one stored document of a trace.
type Document struct {
	Seq      uint64 // order of arrival, unique in the store
	Put      uint64 // number of the put (one call of a client) that brought it
	Received int64  // receipt on our clock, unix milliseconds
	Segment  *segment.Segment
}

// Entity is a segment or subsegment whose version in force was chosen.
type Entity struct {
	// Segment is the version in force, as it was reported. Its Subsegments are
	// what that document nested, not what belongs to the trace: use Children.
	Segment  *segment.Segment
	Parent   *Entity   // entity it hangs under; nil for segments and orphans
	Children []*Entity // attached subsegments, in the order of arrival
	Seq      uint64    // of the document in force
	Put      uint64
	Received int64 // unix milliseconds
}

// Trace is an assembled trace. It is not changed after Assemble returned it.
type Trace struct {
	ID       segment.TraceID
	Segments []*Entity          // reported segments, in the order of arrival
	Inferred []*segment.Segment // inferred callees, ready to encode
	Orphans  []*Entity          // subsegments whose parent is unknown, with their trees

	Revision int    // number of puts that changed the trace, from 1
	Changed  int64  // receipt of the latest accepted change, unix milliseconds
	FirstSeq uint64 // of the first document
	LastSeq  uint64 // of the last document, ignored ones included
}

// Assemble builds the trace from its documents, which must be sorted by Seq and
// all carry id. It returns nil when docs is empty.
func Assemble(id segment.TraceID, docs []Document) *Trace { panic("trace: to be written") }

// Duration returns the seconds from the earliest start to the latest end over
// reported segments and attached subsegments, and false where the service
// answers null. Starts of 0 or less do not count (BatchGetTraces).
func (t *Trace) Duration() (float64, bool) { panic("trace: to be written") }

// SegmentDocument is an element of a trace's Segments in the X-Ray API.
type SegmentDocument struct {
	ID       string
	Document []byte // JSON
}

// Documents returns the trace as the X-Ray service gives it back: each reported
// segment with its attached subsegments, then the inferred ones. withOrphans
// adds the orphans, each as an independent subsegment document, which AWS hides.
func (t *Trace) Documents(withOrphans bool) []SegmentDocument { panic("trace: to be written") }

// Row returns the summary of the trace.
func (t *Trace) Row() *Row { panic("trace: to be written") }
