package agent

import (
	"context"
	"time"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
)

// Exporter speaks to one destination. It may be used by many goroutines. What to
// do about failures is decided in one place for all kinds of destinations, by
// delivery; an Exporter says what happened.
type Exporter interface {
	// Limits bound what one call may carry.
	Limits() spool.Limits
	// Weight is how much memory a call takes, as a multiple of what it carries.
	Weight() int64
	// Send brings a parcel, in one call as a rule. It must not keep its records.
	Send(ctx context.Context, p Parcel) Outcome
	// Telemetry reports the agent's own figures, where the destination takes them.
	Telemetry(ctx context.Context, records []TelemetryRecord) error
	// Target says where the documents go, for people.
	Target() string
	// Close gives up connections.
	Close()
}

// Form says what a record is.
type Form uint8

const (
	// FormXRay records are segment documents.
	FormXRay Form = 1
	// FormSpan records are OpenTelemetry spans; cutSpan takes them apart.
	FormSpan Form = 2
)

// Parcel is what one call brings: records of one form that came the same way.
type Parcel struct {
	Form    Form
	Via     string // ids of the servers that passed the records on, with commas between them
	Records [][]byte
}

// with returns a parcel of other records of the same sort.
func (p Parcel) with(records [][]byte) Parcel {
	p.Records = records
	return p
}

// Verdict says what to do with the records of a call.
type Verdict uint8

const (
	// Delivered: the destination has them, but for what Outcome lists.
	Delivered Verdict = iota
	// Again: the call failed in a way that passes; nothing is wrong with the records.
	Again
	// Divide: the destination refuses the call as a whole because of what it carries.
	// Halves are tried until the record is found that is to blame.
	Divide
	// Abandoned: the context ended.
	Abandoned
)

// Cause sorts failures as the telemetry of X-Ray counts them.
type Cause uint8

const (
	CauseNone Cause = iota
	CauseTimeout
	CauseRefused // connection refused
	Cause4xx
	Cause5xx
	CauseUnknownHost
	CauseOther
)

// Outcome is what became of a call.
type Outcome struct {
	Verdict Verdict
	Cause   Cause
	Err     error // why it was not delivered, or why the records are to blame
	// Throttled: the destination asks for less.
	Throttled bool
	// RetryAfter is what the destination asks for; 0: nothing.
	RetryAfter time.Duration
	// Retry lists records, by index, that the destination could not take this time.
	Retry []int
	// Refused lists records that it will never take.
	Refused []Refused
}

// Refused is a record that a destination refuses.
type Refused struct {
	Index   int // -1: the destination does not say which one
	Count   int // how many, when it says no more than that; 0: one
	ID      string
	Code    string
	Message string
}

func (r *Refused) count() int { return max(1, r.Count) }
