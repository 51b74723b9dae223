package webapi

import (
	"net/http"

	"github.com/roentgen-io/roentgen/internal/telemetry"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// ServerStatus is how a server is and what it keeps.
type ServerStatus struct {
	Build    telemetry.Build
	Degraded string   // what works less well than it should, "" for nothing
	Missing  []string // what it still misses before it can serve
	Started  float64  // epoch seconds

	Stats       tracestore.Stats
	Store       *tracestore.Inspection // nil: the store does not tell
	DiskBudget  int64                  // bytes, 0: no bound
	Retention   float64                // seconds, 0: traces are kept
	DataDir     string
	MemoryLimit int64 // of the Go runtime, bytes; 0: none
}

type sizeAnswer struct {
	Bytes int64
	Kind  string
}

type partAnswer struct {
	Began     *float64
	Bytes     int64
	Documents uint64
	Traces    uint64
}

type buildAnswer struct {
	Commit, Go, Platform, Time, Version string
}

type storageAnswer struct {
	CacheBytes     int64
	Compacting     int64
	CompactionDebt int64
	DiskBudget     *int64 // null: no bound
	DiskBytes      int64
	Documents      uint64
	Folder         string
	FreeBytes      int64
	Kinds          []sizeAnswer
	MemoryBytes    int64
	MinFreeBytes   int64
	Newest         *float64 // null: nothing is kept
	Oldest         *float64
	Parts          []partAnswer
	Retention      *float64 // seconds, null: traces are kept
	Unavailable    *string  // why documents are refused
	Waiting        uint64   // documents that cannot be searched for yet
	WaitingBytes   int64
}

type statusAnswer struct {
	Build       buildAnswer
	Degraded    *string
	MemoryLimit *int64
	Missing     []string
	Now         float64
	Started     float64
	Storage     storageAnswer
}

// status answers GET /api/server: how the server is, and what it keeps.
func (h *handler) status(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	if h.cfg.Status == nil {
		return h.notFound(w, r)
	}
	ctx, cancel := h.context(r)
	defer cancel()
	s, err := h.cfg.Status(ctx)
	if err != nil {
		return err
	}
	b := &s.Build
	a := statusAnswer{
		Build:    buildAnswer{Commit: b.Commit, Go: b.Go, Platform: b.Platform, Time: b.Time, Version: b.Version},
		Degraded: textOrNull(s.Degraded), Missing: append([]string{}, s.Missing...),
		MemoryLimit: numberOrNull(s.MemoryLimit), Now: float64(h.cfg.Now().UnixMilli()) / 1e3, Started: s.Started,
	}
	st := &a.Storage
	*st = storageAnswer{
		DiskBudget: numberOrNull(s.DiskBudget), DiskBytes: s.Stats.DiskBytes, Documents: s.Stats.Documents, Folder: s.DataDir, FreeBytes: s.Stats.FreeBytes,
		Kinds: []sizeAnswer{}, Parts: []partAnswer{}, Oldest: millis(s.Stats.OldestPart), Unavailable: textOrNull(s.Stats.Unavailable),
		Waiting: s.Stats.LastSeq - min(s.Stats.LastSeq, s.Stats.RolledSeq), WaitingBytes: s.Stats.TailBytes,
	}
	if s.Retention > 0 {
		st.Retention = &s.Retention
	}
	if in := s.Store; in != nil {
		st.CacheBytes, st.MemoryBytes, st.MinFreeBytes = in.CacheBytes, in.MemoryBytes, in.MinFreeBytes
		st.Compacting, st.CompactionDebt, st.Newest = in.Compacting, in.CompactionDebt, millis(in.Newest)
		for _, k := range in.Kinds {
			st.Kinds = append(st.Kinds, sizeAnswer{Bytes: k.Bytes, Kind: k.Kind})
		}
		for _, p := range in.Parts {
			st.Parts = append(st.Parts, partAnswer{Began: millis(p.Began), Bytes: p.Bytes, Documents: p.Documents, Traces: p.Traces})
		}
	}
	return replyJSON(w, a)
}

func numberOrNull(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

type settingAnswer struct {
	Default     string
	Environment string
	Group       string
	Name        string
	Origin      string // "default", "file:line", "$VARIABLE" or "--flag"
	Reloadable  bool
	Summary     string
	Unit        string
	Value       string
}

// settings answers GET /api/settings with the settings in force, in their order. As
// /debug/, it answers other machines with a key alone.
func (h *handler) settings(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	if h.cfg.Settings == nil {
		return h.notFound(w, r)
	}
	if h.cfg.Keys == nil && !peer(r).Unmap().IsLoopback() {
		return apierr.New(apierr.AccessDenied, "the settings are told only to callers on the machine that Roentgen runs on, or with a key")
	}
	list := []settingAnswer{}
	for _, s := range h.cfg.Settings() {
		list = append(list, settingAnswer{
			Default: s.Default, Environment: s.Env(), Group: s.Group, Name: s.Name, Origin: s.Origin, Reloadable: s.Reloadable, Summary: s.Summary, Unit: s.Unit(), Value: s.Value,
		})
	}
	return replyJSON(w, struct{ Settings []settingAnswer }{list})
}
