// Package snapshot reads small state from a JSON file of the data folder, and has it written
// anew now and then.
package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// Header tells what a file is. Documents embed it first.
type Header struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

func (h *Header) header() *Header { return h }

// Document is what embeds a Header.
type Document interface{ header() *Header }

// Read reads at most limit bytes of a file into doc. A file with another header than want is
// an error, and so is one that is not there (fs.ErrNotExist).
func Read(path string, limit int64, want Header, doc Document) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, limit)).Decode(doc); err != nil {
		return err
	}
	if got := doc.header(); *got != want {
		return fmt.Errorf("it has the format %.40q and version %d, not %q and %d", got.Format, got.Version, want.Format, want.Version)
	}
	return nil
}

// Every calls save once an interval until ctx ends, and failed with what goes wrong.
func Every(ctx context.Context, interval time.Duration, save func() error, failed func(error)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := save(); err != nil {
				failed(err)
			}
		}
	}
}
