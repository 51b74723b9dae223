package telemetry

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Pages says what the pages show.
type Pages struct {
	Registry *prometheus.Registry
	Health   *Health
	Build    Build
	Config   func(w io.Writer) error // writes the configuration, without secrets, as YAML
	Store    func() any              // figures of the store; shown as JSON
	// Remote: /debug/ answers other machines too. Somebody else has to see to it
	// who may ask.
	Remote bool
}

// Handler returns the handler of /metrics, /-/ and /debug/.
func (p Pages) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.InstrumentMetricHandler(p.Registry, promhttp.HandlerFor(p.Registry, promhttp.HandlerOpts{})))
	mux.HandleFunc("GET /-/healthy", p.Health.ServeHealthy)
	mux.HandleFunc("GET /-/ready", p.Health.ServeReady)
	debug := p.debug()
	if !p.Remote {
		debug = localOnly(debug)
	}
	mux.Handle("/debug/", debug)
	return mux
}

// debugPages are the links of the index, in its order.
var debugPages = []struct{ Path, Text string }{
	{"/metrics", "metrics"},
	{"/-/ready", "readiness, and what is missing"},
	{"/debug/config", "configuration, and where each value comes from"},
	{"/debug/store", "figures of the store"},
	{"/debug/build", "build"},
	{"/debug/pprof/", "profiles (go tool pprof http://HOST/debug/pprof/profile)"},
	{"/debug/pprof/goroutine?debug=1", "goroutines"},
	{"/debug/pprof/heap?debug=1", "heap"},
}

var debugIndex = template.Must(template.New("").Parse(`<!doctype html>
<meta charset="utf-8">
<title>Roentgen: debug</title>
<h1>Roentgen: debug</h1>
<ul>
{{range .}}<li><a href="{{.Path}}">{{.Path}}</a>: {{.Text}}
{{end}}</ul>
`))

func (p Pages) debug() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/{$}", func(w http.ResponseWriter, _ *http.Request) {
		plain(w)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		debugIndex.Execute(w, debugPages)
	})
	mux.HandleFunc("GET /debug/config", func(w http.ResponseWriter, _ *http.Request) {
		plain(w)
		if err := p.Config(w); err != nil {
			fmt.Fprintf(w, "# cut short: %v\n", err)
		}
	})
	mux.HandleFunc("GET /debug/store", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.Store()) })
	mux.HandleFunc("GET /debug/build", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, p.Build) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	plain(w)
	w.Header().Set("Content-Type", "application/json")
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Write(append(text, '\n'))
}

// localOnly refuses callers on other machines: profiles cost time and show memory.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
			plain(w)
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, "the debug pages answer only callers on the machine that Roentgen runs on\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}
