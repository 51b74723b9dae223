package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// parseLevel reads the daemon's levels: dev, debug, info, warn, error and prod.
func parseLevel(text string) (slog.Level, error) {
	switch strings.ToLower(text) {
	case "dev", "trace", "debug":
		return slog.LevelDebug, nil
	case "", "prod", "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error", "critical":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("%q is no log level; there are dev, debug, info, warn, error and prod", text)
}

// NewLogger returns a logger in the daemon's shape, "daemon", or in one of slog's,
// "text" or "json".
func NewLogger(w io.Writer, format string, level *slog.LevelVar) *slog.Logger {
	if format != "daemon" {
		return telemetry.NewLogger(w, format, level)
	}
	return slog.New(&daemonLog{out: &sharedWriter{w: w}, level: level})
}

// daemonLog writes lines such as
//
//	2026-11-26T01:02:03Z [Info] Successfully sent batch of 50 segments (0.042 seconds) destination=aws
type daemonLog struct {
	out   *sharedWriter
	level *slog.LevelVar
	with  string
}

type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (h *daemonLog) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *daemonLog) Handle(_ context.Context, r slog.Record) error {
	line := make([]byte, 0, 256)
	line = r.Time.UTC().AppendFormat(line, time.RFC3339)
	name := "Info"
	switch {
	case r.Level >= slog.LevelError:
		name = "Error"
	case r.Level >= slog.LevelWarn:
		name = "Warn"
	case r.Level < slog.LevelInfo:
		name = "Debug"
	}
	line = append(line, " ["...)
	line = append(line, name...)
	line = append(line, "] "...)
	if message := r.Message; message != "" {
		// It may hold what a destination said.
		message = strings.Map(printable, message)
		line = append(line, strings.ToUpper(message[:1])...)
		line = append(line, message[1:]...)
	}
	line = append(line, h.with...)
	r.Attrs(func(a slog.Attr) bool {
		line = appendAttr(line, a)
		return true
	})
	line = append(line, '\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(line)
	return err
}

// printable replaces what would end a line, or give orders to a terminal.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

func appendAttr(line []byte, a slog.Attr) []byte {
	if a.Key == "component" {
		return line // the daemon's lines name none
	}
	text := a.Value.Resolve().String()
	line = append(line, ' ')
	line = append(line, a.Key...)
	line = append(line, '=')
	if strings.ContainsAny(text, " \"=") || strings.ContainsFunc(text, unicode.IsControl) || text == "" {
		return fmt.Appendf(line, "%q", text)
	}
	return append(line, text...)
}

func (h *daemonLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	line := []byte(h.with)
	for _, a := range attrs {
		line = appendAttr(line, a)
	}
	return &daemonLog{out: h.out, level: h.level, with: string(line)}
}

func (h *daemonLog) WithGroup(string) slog.Handler { return h }

// logFileBytes is the size at which the daemon begins a new file.
const logFileBytes = 50 << 20

// LogFile is a log file that is put aside as .1 when it is large, and .1 as .2.
type LogFile struct {
	path   string
	rotate bool

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenLogFile opens a file to append to.
func OpenLogFile(path string, rotate bool) (*LogFile, error) {
	l := &LogFile{path: path, rotate: rotate}
	return l, l.open()
}

func (l *LogFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write implements io.Writer.
func (l *LogFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rotate && l.size > 0 && l.size+int64(len(p)) > logFileBytes {
		_ = os.Rename(l.path+".1", l.path+".2") // there may be none
		if os.Rename(l.path, l.path+".1") == nil {
			_ = l.file.Close() // its lines are written; a log that cannot be closed is no reason to stop
			if err := l.open(); err != nil {
				return 0, err
			}
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

// Reopen opens the file anew, after a program that rotates logs has moved it.
func (l *LogFile) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	if err := l.open(); err != nil {
		l.file = old
		return err
	}
	return old.Close()
}

// Close closes the file.
func (l *LogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
