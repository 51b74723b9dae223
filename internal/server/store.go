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
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/pebblestore"
)

// openStore opens the embedded engine.
func openStore(_ context.Context, c *config.Config, logger *slog.Logger, reg prometheus.Registerer) (tracestore.Store, error) {
	return pebblestore.Open(pebblestore.Config{
		Dir:        c.DataDir,
		Retention:  c.Retention,
		DiskBudget: int64(c.DiskBudget),
		MinFree:    int64(c.MinFree),
		CacheBytes: int64(c.Cache),
		Logger:     logger,
		Registerer: reg,
	})
}

// openControl reads the control state beside the store, which holds the lock of
// the folder. A store that counts by group is told of changes.
func openControl(c *config.Config, store tracestore.Store, logger *slog.Logger) (*control.Store, error) {
	state, err := control.Open(control.Options{
		Dir: c.DataDir, Region: c.Region, AccountID: c.Account, Keep: c.Retention, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	if steps, ok := store.(control.Steps); ok {
		state.Attach(steps)
	}
	return state, nil
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
