package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/pebblestore"
)

// openStore opens the embedded engine.
func openStore(_ context.Context, c *config.Config, groups func() []tracestore.Group, logger *slog.Logger, reg prometheus.Registerer) (tracestore.Store, error) {
	return pebblestore.Open(pebblestore.Config{
		Dir:        c.DataDir,
		Retention:  c.Retention,
		DiskBudget: int64(c.DiskBudget),
		MinFree:    int64(c.MinFree),
		CacheBytes: int64(c.Cache),
		Spans:      spanMapping(c),
		Groups:     groups,
		Logger:     logger,
		Registerer: reg,
	})
}

// spanMapping is how the settings want spans to become segments.
func spanMapping(c *config.Config) otlp.Mapping {
	return otlp.Mapping{Indexed: c.OTLPIndexed, IndexAll: c.OTLPIndexAll, LogGroups: c.OTLPLogGroups}
}

// openControl reads the control state. It comes before the store, which files
// traces under groups from the start, and writes nothing until it is attached to
// the store, which holds the lock of the folder.
func openControl(c *config.Config, logger *slog.Logger) (*control.Store, error) {
	return control.Open(control.Options{
		Dir: c.DataDir, Region: c.Region, AccountID: c.Account, Keep: c.Retention, Logger: logger,
		Compile: compileGroup,
	})
}

// groupConditions bounds what a group's expression may ask of the segments,
// calls and root causes of one trace. Groups are judged whenever a trace changes,
// while others wait for what was acknowledged to be seen; so many take a tenth of
// a second. A trace of 100,000 segments is still asked 100 conditions of each.
const groupConditions = 10_000_000

// compileGroup makes the matcher of a group's expression. A row that leaves out
// what the expression looks at is made whole first.
func compileGroup(text string, lookup control.Lookup) (control.Match, error) {
	expr, err := query.ParseExpression(text, lookup)
	if err != nil {
		return nil, err
	}
	expr = expr.Within(groupConditions)
	return func(row *trace.Row, full func() *trace.Row) bool {
		truth := expr.Match(row)
		if truth == filterexpr.Unknown {
			truth = expr.Match(full())
		}
		return truth == filterexpr.True
	}, nil
}

// readSelector reads an EntitySelectorExpression.
func readSelector(text string) (servicegraph.Selection, error) {
	sel, err := filterexpr.ParseSelector(text)
	switch {
	case err != nil:
		return servicegraph.Selection{}, err
	case sel.Edge:
		return servicegraph.Selection{From: &sel.From, To: &sel.To}, nil
	}
	return servicegraph.Selection{Service: &sel.Service}, nil
}

// openError reports that the store cannot be opened. Its text tells what to do.
type openError struct {
	dir, what, remedy string
	err               error
}

func (e *openError) Error() string {
	text := "cannot open the data folder " + e.dir + ": " + e.what
	if e.remedy != "" {
		text += "\n  " + e.remedy + ": roentgen serve --data-dir FOLDER"
	}
	return text
}

func (e *openError) Unwrap() error { return e.err }

// storeError adds to an error of opening the store what to do about it.
func storeError(dir string, err error) error {
	e := &openError{dir: dir, what: err.Error(), err: err}
	switch {
	case errors.Is(err, tracestore.ErrLocked):
		e.what = "another process, perhaps another roentgen, has it open"
		e.remedy = "stop that one, or give this one a folder of its own"
	case errors.Is(err, tracestore.ErrFormat):
		e.remedy = "use the version of roentgen that wrote it, or another folder"
	case errors.Is(err, fs.ErrPermission):
		e.remedy = "let this user write there, or choose another folder"
	case errors.Is(err, syscall.EROFS):
		e.remedy = "it is on a read-only file system; choose another folder"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		e.remedy = "it, or part of its path, is a file; choose another folder"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, tracestore.ErrNoSpace):
		e.remedy = "the disk is full; make room, or choose another folder"
	}
	return e
}
