package tracestore

import (
	"context"
	"errors"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

var (
	// ErrClosed reports a call on a store that was closed.
	ErrClosed = errors.New("tracestore: closed")
	// ErrOverloaded reports that a Write was refused, before anything was
	// stored, because too much waits already; the caller may try again later.
	ErrOverloaded = errors.New("tracestore: overloaded")
	// ErrNoSpace reports that a Write was refused because the disk is full or
	// nearly so. Nothing of it was stored.
	ErrNoSpace = errors.New("tracestore: no space left on disk")
	// ErrUnavailable reports that the store cannot take or read data at the moment
	// (it recovers from a failed disk operation, say).
	ErrUnavailable = errors.New("tracestore: unavailable")
	// ErrCorrupt marks stored bytes that fail their checksum or do not parse.
	ErrCorrupt = errors.New("tracestore: corrupt data")
	// ErrFormat reports a data folder written by another format version.
	ErrFormat = errors.New("tracestore: unknown format version")
	// ErrLocked reports a data folder that another process has open.
	ErrLocked = errors.New("tracestore: data folder is in use")
)

// Format is the form in which a document was received and is stored.
type Format uint8

const (
	FormatXRay Format = 0 // an X-Ray segment document, JSON
	FormatOTLP Format = 1 // an OTLP span, protobuf; see package otlp
)

// Record is one document to be stored.
type Record struct {
	Format   Format
	Data     []byte           // the document as it came
	Source   []byte           // what a span shares with others of its batch; records may share the slice
	Segment  *segment.Segment // Data, parsed; it may refer to Data
	Received int64            // receipt, unix milliseconds; an import gives a past time
}

// Stored is one document read back.
type Stored struct {
	Seq      uint64
	Put      uint64
	Received int64 // unix milliseconds
	Format   Format
	Data     []byte // the caller's own copy
	Source   []byte // of a span; the caller's own copy too
	// Reader reads spans as segments: by the mapping that the store was opened with.
	Reader *SpanReader
}

// Writer stores documents.
type Writer interface {
	// Write stores the records as one put and returns when they are durable. It
	// takes over the memory of records: neither side changes Data, Source or Segment
	// afterwards. All or none of the records are stored by an error matching
	// ErrOverloaded, ErrNoSpace, ErrUnavailable or ErrClosed: none. When ctx ends
	// early, Write returns its error and the records may still be stored.
	Write(ctx context.Context, records []Record) error
}

// TraceReader reads traces by id.
type TraceReader interface {
	// Documents returns the documents of a trace with seq <= asOf in order of
	// seq; asOf 0 means all. A trace without documents gives an empty slice.
	Documents(ctx context.Context, id segment.TraceID, asOf uint64) ([]Stored, error)
}

// Clock names the time of a trace that a window selects by.
type Clock uint8

const (
	ClockStart   Clock = iota // Row.Start: TimeRangeType TraceId
	ClockChanged              // Row.Changed: TimeRangeType Event
	ClockEnd                  // Row.Ends: TimeRangeType Service; a row is given when one of its end minutes meets the window
)

// Cursor is a position in a scan: the clock value and id of the last row given.
type Cursor struct {
	Time int64 // unix nanoseconds for ClockStart, milliseconds for ClockChanged, minutes for ClockEnd
	ID   segment.TraceID
}

// Scan says which rows to read.
type Scan struct {
	Clock Clock
	Start int64 // unix nanoseconds, inclusive
	End   int64 // unix nanoseconds, exclusive
	// AsOf, when not 0, judges every trace by its documents up to that seq and
	// leaves out traces that began later: pages of one question stay stable.
	AsOf uint64
	// After continues behind a row given earlier; nil starts at the newest row.
	After *Cursor
	// Reuse says that fn keeps no row: each is good until fn returns, and may be
	// changed then. It saves most of what a row costs.
	Reuse bool
	// Need, when not nil, says what every row that is wanted has. The store may
	// leave out rows that lack it and gives all that have it; it gives rows that
	// lack it too, and always those with Cut set: the caller decides.
	Need trace.Need
	// Glance, when not nil, may be asked about a row, unless the row has Cut set; what it
	// says no to is left out. It is given bytes that begin as trace.Row.AppendBinary writes
	// the row, up to where trace.ReadRowHead reads, and that have every text of the row
	// somewhere. It saves decoding. The bytes are the store's.
	Glance func(encoded []byte) bool
	// Skipped, when not nil, is told of the rows of the window that were left out
	// for Need or Glance, before fn gets the next row behind them: how many, without those
	// with OrphanOnly set, which summaries do not count. So, over a scan that
	// ends by itself, what Skipped is told and the rows given without OrphanOnly
	// make together the number of visible rows in the window.
	Skipped func(visible int)
}

// Searcher reads rows by window.
type Searcher interface {
	// Scan calls fn for the row of every trace in the window, newest first by the
	// scan's clock (for ClockEnd: by the trace's last end minute inside the
	// window), each trace once, until fn returns false. The row is fn's to keep,
	// unless scan.Reuse says otherwise.
	// Memory stays bounded for any window. It returns ctx's error when ctx ends.
	Scan(ctx context.Context, scan Scan, fn func(c Cursor, row *trace.Row) bool) error
	// LastSeq returns the seq of the latest durable document: the AsOf of a first page.
	LastSeq() uint64
}

// GroupRef names a version of a group's filter expression; the zero value is the Default group.
type GroupRef struct{ Group, Version uint32 }

// Group is a version of a group's filter expression, together with the changes
// that it decides on.
//
// A trace belongs to a group by the version that was in force at the trace's
// latest accepted change, judged by the trace as it was then. Nothing of this is
// stored: whoever derives the graph from the documents again, with the same
// groups, comes to the same.
type Group struct {
	Ref GroupRef // not the zero value: every trace belongs to the Default group
	// The version holds for changes with From < seq <= Until; Until 0: it is in
	// force. Once a Group was given for a seq that views hold, it stays as it was but
	// for Until, which BetweenSteps may set.
	From, Until uint64
	// Match decides on a row; full makes the row in which nothing is cut, for
	// rows with Cut set. It is called by one goroutine at a time and must not
	// keep what it is given.
	Match func(row *trace.Row, full func() *trace.Row) bool
}

// GraphReader reads the service graph.
type GraphReader interface {
	// Graph returns the sum of all observations received in [start, end), unix
	// seconds, of the given groups. Of a graph with more than most nodes, or three
	// times as many edges, it returns the busiest of them, with all that was
	// observed of these, and cut; most of 0 is any number.
	Graph(ctx context.Context, of []GroupRef, start, end int64, most int) (cells servicegraph.Cells, cut bool, err error)
	// Minutes calls fn for every minute with observations whose stamp, the minute's
	// end in unix seconds, lies in [start, end), newest first, until fn returns false.
	// The cells of a minute may come in pieces, one after the other, and what was observed of
	// a node or edge may be divided among them.
	Minutes(ctx context.Context, of []GroupRef, start, end int64, fn func(stamp int64, cells servicegraph.Cells) bool) error
}

// Grouper is the part of a store that files traces under groups. The groups
// themselves are given to the engine when it is made, as a function that returns
// the list of the moment.
type Grouper interface {
	// BetweenSteps runs fn while no view is derived. last is the seq of the latest
	// durable document, which no view has passed: a version of a group that
	// begins at From: last holds for all documents to come and for none before.
	// The list that the engine sees must be changed when fn returns. BetweenSteps
	// returns fn's error.
	BetweenSteps(ctx context.Context, fn func(last uint64) error) error
}

// DeadLetter is a refused document that is kept for people to look at.
type DeadLetter struct {
	N        uint64 // grows by one for each letter
	Time     int64  // unix milliseconds
	Source   string // where it came from: "udp", "http", ...
	Peer     string // sender's address, "" when unknown
	Code     string // e.g. "MissingId"
	Message  string // the answer that the sender got, or would have got
	Detail   string // what was wrong, in plain words
	Remedy   string
	ID       string // segment id as written, "" when none could be read
	Size     int    // bytes of the whole document
	Document []byte // its beginning
}

// DeadLetters keeps refused documents, bounded by number and bytes, without the
// durability of Write: the latest may be lost in a crash.
type DeadLetters interface {
	AddDeadLetters(letters []DeadLetter) error // N is given by the store
	// DeadLetters returns up to limit letters, newest first, with N below before
	// (0: from the newest).
	DeadLetters(ctx context.Context, before uint64, limit int) ([]DeadLetter, error)
}

// DocumentOverhead is what a document counts in Stats.TailBytes besides its text.
const DocumentOverhead = 512

// Stats describes a store for metrics, pages and tests.
type Stats struct {
	Documents   uint64 // accepted and still kept, about
	LastSeq     uint64
	RolledSeq   uint64 // views hold everything up to here
	TailBytes   int64  // documents waiting to be stored or for the views, each with DocumentOverhead
	TailLimit   int64  // of TailBytes, beyond it Write answers ErrOverloaded; 0: there is none
	DiskBytes   int64
	FreeBytes   int64 // on the volume of the folder
	Parts       int
	OldestPart  int64  // unix milliseconds of the oldest kept arrival, 0 when empty
	Unavailable string // why writes are refused at the moment, "" when they are not
}

// The kinds of what a store keeps.
const (
	KindDocuments = "documents" // as they came, compressed
	KindTraces    = "traces"    // which documents a trace has
	KindRows      = "rows"      // a summary of each trace
	KindTimes     = "times"     // traces by change and by end
	KindTerms     = "terms"     // what searches pass over rows by
	KindGraph     = "graph"     // the service graph, counted by time
	KindLetters   = "letters"   // dead letters
	KindLog       = "log"       // what is durable and not in its place yet
	KindReserve   = "reserve"   // set aside for the moment when the disk is full
)

// KindSize is how much room one kind takes.
type KindSize struct {
	Kind  string
	Bytes int64
}

// PartSize tells of a run of arrivals, which is removed as one.
type PartSize struct {
	Began     int64 // unix milliseconds
	Documents uint64
	Traces    uint64 // that began in it, about
	Bytes     int64  // of their documents and where to find them
}

// Inspection tells what a store keeps and does, beyond Stats.
type Inspection struct {
	Kinds        []KindSize // about; what is being removed or merged is in none of them
	Parts        []PartSize // oldest first
	Newest       int64      // unix milliseconds of the latest change that the views hold, 0 when empty
	MinFreeBytes int64      // writes are refused while less is free

	MemoryBytes, CacheBytes int64
	Compacting              int64 // compactions under way
	CompactionDebt          int64 // bytes that compactions have yet to go through, about
}

// Inspector is a Store that can be looked into. An answer may be some seconds old.
type Inspector interface {
	Inspect(ctx context.Context) (Inspection, error)
}

// Store is a store of trace documents. All methods may be called from many goroutines.
type Store interface {
	Writer
	TraceReader
	Searcher
	GraphReader
	Grouper
	DeadLetters
	Stats() Stats
	// WaitRolled returns when the views hold everything written before the call.
	WaitRolled(ctx context.Context) error
	Close() error
}
