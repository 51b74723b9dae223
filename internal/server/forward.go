package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/agent"
	"github.com/roentgen-io/roentgen/internal/webapi"
)

// forwardDir is the folder in the data folder where documents wait to be passed on.
const forwardDir = "forward"

// openForwarder begins to pass on what is received, when the settings say so.
func (s *Server) openForwarder(ctx context.Context, reg prometheus.Registerer) error {
	c := s.cfg.Settings
	dir := filepath.Join(c.DataDir, forwardDir)
	if !c.Forwards() {
		if left, err := filepath.Glob(filepath.Join(dir, "*.spool")); err == nil && len(left) > 0 {
			s.logger.Warn("documents wait to be passed on, and nothing says where to; start with forward again, or remove the folder", slog.String("folder", dir))
		}
		return nil
	}
	list, err := agent.CompleteForwards(c.Forward, c.ForwardFile, os.Getenv)
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	own := append(s.OTLPAddrs(), s.sockets.tcp.Addr())
	for i := range list {
		if list[i].LeadsTo(ctx, own) {
			return fmt.Errorf("forward: %w", list[i].IsSelf("server"))
		}
	}
	if len(list) == 0 {
		return fmt.Errorf("forward: %s names no destination", c.ForwardFile)
	}
	s.forward, err = agent.OpenForwarder(agent.ForwarderOptions{
		Dir: dir, Destinations: list, MaxBytes: int64(c.ForwardSize), MaxAge: c.ForwardAge,
		Version: s.cfg.Build.Version, Logger: s.cfg.Logger, Registerer: reg,
	})
	if err != nil {
		return fmt.Errorf("forward: %w", err)
	}
	s.forwarding.Store(s.forward)
	return nil
}

// degraded says what works less well than it should.
func (s *Server) degraded() string {
	var list []string
	if why := s.storeStats().Unavailable; why != "" {
		list = append(list, "documents are refused: "+why)
	}
	if f := s.forwarding.Load(); f != nil {
		if why := f.Troubles(); why != "" {
			list = append(list, "passing on: "+why)
		}
	}
	return strings.Join(list, "; ")
}

// undelivered lists what destinations refused for good, of earlier runs too.
func (s *Server) undelivered(before string, n int) ([]webapi.Undelivered, string, error) {
	letters, next, err := agent.ReadLetters(filepath.Join(s.cfg.Settings.DataDir, forwardDir), before, n)
	if errors.Is(err, agent.ErrLetterPlace) {
		return nil, "", webapi.ErrPlace
	}
	if err != nil {
		return nil, "", fmt.Errorf("read what could not be passed on: %w", err)
	}
	list := make([]webapi.Undelivered, len(letters))
	for i := range letters {
		l := &letters[i]
		list[i] = webapi.Undelivered{
			Time: l.Time, Destination: l.Destination, Code: l.Code, Message: l.Message, Remedy: l.Remedy(),
			ID: l.ID, Document: l.Document, Size: l.Size,
		}
	}
	return list, next, nil
}

// serveForward tells what is passed on, and what waits.
func (s *Server) serveForward(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	st := agent.ForwardStatus{Destinations: []agent.DestinationStatus{}} // nothing is passed on
	if f := s.forwarding.Load(); f != nil {
		st = f.Status()
	}
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/json")
	w.Write(append(text, '\n'))
}
