package telemetry

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// Health knows what the server still misses before it can serve.
type Health struct {
	mu struct {
		sync.Mutex
		missing map[string]string
	}
	degraded func() string
}

// NewHealth returns a Health that misses nothing. degraded says what works less
// well than it should while requests are served ("" when all is well); nil is
// never degraded.
func NewHealth(degraded func() string) *Health {
	h := &Health{degraded: degraded}
	h.mu.missing = make(map[string]string)
	return h
}

// Await notes that component is not ready, and why.
func (h *Health) Await(component, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.missing[component] = reason
}

// Ready notes that component is ready.
func (h *Health) Ready(component string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.mu.missing, component)
}

// Missing lists what is not ready, sorted, each as "component: reason".
func (h *Health) Missing() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(h.mu.missing)) {
		list = append(list, name+": "+h.mu.missing[name])
	}
	return list
}

// Degraded says what works less well than it should, "" for nothing.
func (h *Health) Degraded() string {
	if h.degraded == nil {
		return ""
	}
	return h.degraded()
}

// ServeReady answers /-/ready. What is merely degraded keeps the answer 200:
// taking such a server out of service would make the matter worse.
func (h *Health) ServeReady(w http.ResponseWriter, _ *http.Request) {
	plain(w)
	missing := h.Missing()
	if len(missing) == 0 {
		io.WriteString(w, "ready\n")
		if reason := h.Degraded(); reason != "" {
			fmt.Fprintf(w, "degraded: %s\n", reason)
		}
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, "not ready\n")
	for _, m := range missing {
		fmt.Fprintln(w, m)
	}
}

// ServeHealthy answers /-/healthy.
func (h *Health) ServeHealthy(w http.ResponseWriter, _ *http.Request) {
	plain(w)
	io.WriteString(w, "healthy\n")
}

func plain(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
