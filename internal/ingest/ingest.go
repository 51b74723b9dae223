// Package ingest is the way in: it checks documents, bounds what is under way,
// writes them to the store and keeps what was refused.
package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/segment"
)

// Source names a way into Roentgen; it labels metrics and dead letters.
type Source string

const (
	SourceHTTP   Source = "http"   // PutTraceSegments
	SourceUDP    Source = "udp"    // the daemon's protocol
	SourceImport Source = "import" // POST /api/import
)

// Origin says where documents come from.
type Origin struct {
	Source Source
	Peer   string // sender's address, "" when unknown
}

// Config sets up an Ingester.
type Config struct {
	Store         tracestore.Store
	Limits        segment.Limits
	InFlightBytes int64         // documents being stored, beyond it Put answers ErrOverloaded; 0: a default
	Retention     time.Duration // bounds the receipt time of imports; 0: no bound
	Logger        *slog.Logger
	Registerer    prometheus.Registerer
	Now           func() time.Time
}

// Ingester takes documents in. It may be used by many goroutines.
type Ingester struct{ cfg Config }

// New returns an Ingester over cfg.Store.
func New(cfg Config) *Ingester { return &Ingester{cfg: cfg} }

// Put checks and stores documents as one put and returns when the accepted ones
// are durable, with the refusals in the order of docs. It takes over the memory
// of docs. Refused documents are kept as dead letters. The error is one of the
// store's (tracestore.ErrOverloaded, ErrNoSpace, ErrUnavailable, ...) and then
// nothing of the call counts as stored.
func (in *Ingester) Put(ctx context.Context, from Origin, docs [][]byte) ([]*segment.Refusal, error) {
	panic("ingest: to be written")
}

// Import is Put for history: the receipt of a document is its own end, not in
// the future and not beyond retention, so that windows by receipt find it.
func (in *Ingester) Import(ctx context.Context, from Origin, docs [][]byte) ([]*segment.Refusal, error) {
	panic("ingest: to be written")
}

// Malformed counts and keeps a datagram that is no document at all.
func (in *Ingester) Malformed(from Origin, data []byte, reason string) {
	panic("ingest: to be written")
}
