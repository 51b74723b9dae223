package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/tracestore/memstore"
)

// openStore opens the embedded engine.
func openStore(_ context.Context, c *config.Config, logger *slog.Logger, reg prometheus.Registerer) (tracestore.Store, error) {
	return memstore.New(), nil
}

// storeError adds to an error of opening the store what to do about it.
func storeError(dir string, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, tracestore.ErrLocked):
		remedy = "another roentgen uses this folder; stop it, or give this one a folder of its own: roentgen serve --data-dir FOLDER"
	case errors.Is(err, tracestore.ErrFormat):
		remedy = "use the version of roentgen that wrote it, or another folder: roentgen serve --data-dir FOLDER"
	case errors.Is(err, fs.ErrPermission):
		remedy = "let this user write there, or choose another folder: roentgen serve --data-dir FOLDER"
	case errors.Is(err, syscall.EROFS):
		remedy = "it is on a read-only file system; choose another folder: roentgen serve --data-dir FOLDER"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		remedy = "it, or part of its path, is a file; choose another folder: roentgen serve --data-dir FOLDER"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, tracestore.ErrNoSpace):
		remedy = "the disk is full; make room, or choose another folder: roentgen serve --data-dir FOLDER"
	}
	if remedy == "" {
		return fmt.Errorf("cannot open the data folder %s: %w", dir, err)
	}
	return fmt.Errorf("cannot open the data folder %s: %w\n  %s", dir, err, remedy)
}
