package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// NewLogger returns a logger that writes one line a message to w, in the format
// "text" or "json". A change of level takes effect at once.
func NewLogger(w io.Writer, format string, level *slog.LevelVar) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(strings.ToUpper(s))); err != nil {
		return 0, fmt.Errorf("%q is no log level", s)
	}
	return l, nil
}

// Limiter lets one message through in a while and counts the others. Use one
// for each kind of message that a remote peer can cause. The zero value lets one
// through every 10 seconds.
type Limiter struct {
	Every time.Duration    // 0: 10 s
	Now   func() time.Time // nil: time.Now

	mu struct {
		sync.Mutex
		next       time.Time
		suppressed int
	}
}

// Allow reports whether to log now, and how many messages were suppressed since
// the last time that it said so.
func (l *Limiter) Allow() (ok bool, suppressed int) {
	now := time.Now()
	if l.Now != nil {
		now = l.Now()
	}
	every := l.Every
	if every == 0 {
		every = 10 * time.Second
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.mu.next) {
		l.mu.suppressed++
		return false, 0
	}
	suppressed, l.mu.suppressed = l.mu.suppressed, 0
	l.mu.next = now.Add(every)
	return true, suppressed
}

// Log logs through the limiter; a message that others were suppressed before
// carries their number as "suppressed".
func (l *Limiter) Log(logger *slog.Logger, level slog.Level, msg string, attrs ...slog.Attr) {
	ok, suppressed := l.Allow()
	if !ok {
		return
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Int("suppressed", suppressed))
	}
	logger.LogAttrs(context.Background(), level, msg, attrs...)
}
