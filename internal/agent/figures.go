package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// latencies keeps a moving average of how long calls take.
type latencies struct{ bits atomic.Uint64 }

func (l *latencies) add(d time.Duration) {
	old := math.Float64frombits(l.bits.Load())
	now := d.Seconds()
	if old != 0 {
		now = old + (now-old)/16
	}
	l.bits.Store(math.Float64bits(now)) // a sample lost between two goroutines is no matter
}

func (l *latencies) seconds() float64 { return math.Float64frombits(l.bits.Load()) }

// successText is the daemon's own line, which people search their logs for.
func successText(n int, took time.Duration) string {
	return fmt.Sprintf("Successfully sent batch of %d segments (%.3f seconds)", n, took.Seconds())
}

// TelemetryRecord is a record of PutTelemetryRecords, as it goes over the wire.
type TelemetryRecord struct {
	Timestamp               float64
	SegmentsReceivedCount   int64
	SegmentsSentCount       int64
	SegmentsSpilloverCount  int64
	SegmentsRejectedCount   int64
	BackendConnectionErrors ConnectionErrors
}

// ConnectionErrors counts failed calls by their causes.
type ConnectionErrors struct {
	TimeoutCount           int64
	ConnectionRefusedCount int64
	HTTPCode4XXCount       int64
	HTTPCode5XXCount       int64
	UnknownHostCount       int64
	OtherCount             int64
}

const (
	telemetryEvery = time.Minute
	// telemetryKept is how many records wait for a destination that is away; the
	// oldest are dropped.
	telemetryKept = 30
	telemetryCall = 10 // records in one call
)

// Telemetry sends records with PutTelemetryRecords.
func (e *xrayExporter) Telemetry(ctx context.Context, records []TelemetryRecord) error {
	host := e.cfg.host()
	body, err := json.Marshal(map[string]any{
		"EC2InstanceId": clipText(host.InstanceID, 20), "Hostname": clipText(host.Hostname, 255),
		"ResourceARN": clipText(host.ResourceARN, 500), "TelemetryRecords": records,
	})
	if err != nil {
		return err
	}
	a := e.call(ctx, "/TelemetryRecords", jsonType, "", body)
	if a.err != nil {
		return a.err
	}
	if a.status != 200 {
		code, message := errorOf(&a)
		return fmt.Errorf("%d %s: %s", a.status, code, message)
	}
	return nil
}

// clipText cuts what is longer than others take.
func clipText(s string, n int) string { return s[:min(len(s), n)] }

// reporter sends an agent's figures to one destination once a minute.
type reporter struct {
	export  Exporter
	figures *figures
	intake  *intake
	logger  *slog.Logger
	every   time.Duration
	lost    func() int64 // documents that the kernel or the spool's limits took

	mu      sync.Mutex
	waiting []TelemetryRecord
	last    totals
	begun   bool
	limit   telemetry.Limiter
}

// totals are counters at one moment.
type totals struct {
	received, sent, spilled, rejected int64
	failures                          [CauseOther + 1]int64
}

func (r *reporter) totals() totals {
	t := totals{
		received: r.intake.received.total(), sent: int64(r.figures.sent.Load()),
		spilled: r.intake.spilled.total() + r.lost(), rejected: r.intake.rejected.total() + int64(r.figures.refused.Load()),
	}
	for i := range t.failures {
		t.failures[i] = int64(r.figures.failures[i].Load())
	}
	return t
}

// run reports until ctx is done.
func (r *reporter) run(ctx context.Context) {
	t := time.NewTicker(r.every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			r.add(now)
		}
		if err := r.send(ctx); err != nil && ctx.Err() == nil {
			r.limit.Log(r.logger, slog.LevelDebug, "telemetry not sent", slog.Any("err", err))
		}
	}
}

// add makes a record of what happened since the last one. There is none before
// the first document.
func (r *reporter) add(now time.Time) {
	t := r.totals()
	if !r.begun && t.received == 0 {
		return
	}
	r.begun = true
	l := r.last
	r.last = t
	record := TelemetryRecord{
		Timestamp:             float64(now.Unix()),
		SegmentsReceivedCount: t.received - l.received, SegmentsSentCount: t.sent - l.sent,
		SegmentsSpilloverCount: t.spilled - l.spilled, SegmentsRejectedCount: t.rejected - l.rejected,
		BackendConnectionErrors: ConnectionErrors{
			TimeoutCount:           t.failures[CauseTimeout] - l.failures[CauseTimeout],
			ConnectionRefusedCount: t.failures[CauseRefused] - l.failures[CauseRefused],
			HTTPCode4XXCount:       t.failures[Cause4xx] - l.failures[Cause4xx],
			HTTPCode5XXCount:       t.failures[Cause5xx] - l.failures[Cause5xx],
			UnknownHostCount:       t.failures[CauseUnknownHost] - l.failures[CauseUnknownHost],
			OtherCount:             t.failures[CauseOther] - l.failures[CauseOther],
		},
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, record)
	if n := len(r.waiting); n > telemetryKept {
		r.waiting = r.waiting[n-telemetryKept:]
	}
}

func (r *reporter) send(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) > 0 {
		n := min(telemetryCall, len(r.waiting))
		if err := r.export.Telemetry(ctx, r.waiting[:n]); err != nil {
			return err
		}
		r.waiting = r.waiting[n:]
	}
	return nil
}
