package telemetry

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build says what this binary is.
type Build struct {
	Version  string `json:"version"`  // "v1.2.3", or "(devel)" when nobody named one
	Commit   string `json:"commit"`   // with "+dirty" when the tree had changes; "unknown" without version control
	Time     string `json:"time"`     // of the commit, RFC 3339; "" when unknown
	Go       string `json:"go"`       // "go1.26.0"
	Platform string `json:"platform"` // "linux/amd64"
}

// ReadBuild reads what the Go tool wrote into the binary. A version that the
// linker was given (-ldflags) goes before.
func ReadBuild(version string) Build {
	b := Build{Version: version, Commit: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		if b.Version == "" {
			b.Version = "(devel)"
		}
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	b.Commit += dirty
	return b
}

// NewRegistry returns a registry that holds the figures of the Go runtime, the
// process and the build.
func NewRegistry(b Build) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "roentgen_build_info",
		Help: "Always 1; the labels say what this binary is.",
	}, []string{"version", "commit", "goversion"})
	info.WithLabelValues(b.Version, b.Commit, b.Go).Set(1)
	reg.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}
