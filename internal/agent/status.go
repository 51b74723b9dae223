package agent

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/telemetry"
)

// Status is what an agent tells of itself: /status, `roentgen agent status` and
// the page show it.
type Status struct {
	Version   string    `json:"version"`
	Started   time.Time `json:"started"`
	Now       time.Time `json:"now"`
	UDP       string    `json:"udp,omitempty"`
	TCP       string    `json:"tcp,omitempty"`
	Unix      string    `json:"unix,omitempty"`
	Degraded  string    `json:"degraded,omitempty"`
	Intake    Intake    `json:"intake"`
	Spool     Spooled   `json:"spool"`
	Sampling  string    `json:"sampling_from"`
	FromCache int64     `json:"sampling_calls_from_cache"`

	Destinations []DestinationStatus `json:"destinations"`
	DeadLetters  uint64              `json:"dead_letters"` // since the start
}

// Intake counts documents by what became of them on arrival, since the start.
type Intake struct {
	UDP           int64  `json:"udp"`
	Stream        int64  `json:"stream"`
	HTTP          int64  `json:"http"`
	Rejected      int64  `json:"rejected"`
	DroppedByRule int64  `json:"dropped_by_rule"`
	KernelDropped uint64 `json:"kernel_dropped"` // datagrams that the socket's buffer had no room for
	QueueDropped  int64  `json:"queue_dropped"`  // datagrams that the disk was too slow or too full for
	Looped        uint64 `json:"looped"`         // of HTTP: they came with this agent's own id
	Repeated      uint64 `json:"repeated"`       // of HTTP: they were sent lately and came again
}

// CameBack returns how many documents came back from where they were sent, or came twice.
func (i Intake) CameBack() uint64 { return i.Looped + i.Repeated }

// Spooled tells about the spool.
type Spooled struct {
	Folder       string    `json:"folder"`
	Files        int       `json:"files"`
	Bytes        int64     `json:"bytes"`
	Limit        int64     `json:"limit_bytes"`
	PendingBytes int64     `json:"pending_bytes"`
	Synced       uint64    `json:"synced"`          // number behind the last durable document
	Dropped      uint64    `json:"dropped"`         // by the limits of size and age, since the start
	DamagedFiles uint64    `json:"damaged_files"`   // put aside, since the start
	Oldest       time.Time `json:"oldest,omitzero"` // the zero time when there is nothing
	Failure      string    `json:"failure,omitempty"`
}

// DestinationStatus tells about a destination.
type DestinationStatus struct {
	Name        string    `json:"name"`
	Type        string    `json:"type"`
	Endpoint    string    `json:"endpoint"`
	Waiting     uint64    `json:"waiting"` // documents in the spool that it does not have
	Sent        uint64    `json:"sent"`
	Refused     uint64    `json:"refused"`
	Retried     uint64    `json:"retried"`
	Lost        uint64    `json:"lost"`    // removed by the limits before they were sent
	Damaged     uint64    `json:"damaged"` // on the disk
	Calls       uint64    `json:"calls"`
	Throttled   uint64    `json:"throttled"`
	UnderWay    int       `json:"calls_under_way"`
	MostCalls   int       `json:"calls_at_once"`
	Failures    int       `json:"failures_in_a_row"`
	ShutSeconds float64   `json:"next_try_seconds"`
	CallSeconds float64   `json:"call_seconds"` // average of the last calls that succeeded
	LagSeconds  float64   `json:"lag_seconds"`  // from arrival to delivery, of the last batch, or so far of the oldest under way
	LastSent    time.Time `json:"last_sent,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// Status returns the state of the agent.
func (a *Agent) Status() Status {
	sp := a.spool.Stats()
	st := Status{
		Version: a.opts.Build.Version, Started: a.start, Now: time.Now(), UDP: a.UDPAddr(), TCP: a.TCPAddr(), Unix: a.cfg.Load().UnixSocket,
		Degraded: a.degraded(), Sampling: a.cfg.Load().SamplingFrom, FromCache: a.handler.fromCache.Load(), DeadLetters: a.letters.kept.Load(),
		Intake: Intake{
			UDP: a.intake.received.udp.Load(), Stream: a.intake.received.stream.Load(), HTTP: a.intake.received.http.Load(),
			Rejected: a.intake.rejected.total(), DroppedByRule: a.intake.dropped.Load(), QueueDropped: a.intake.spilled.udp.Load(), KernelDropped: a.kernelDropped(),
			Looped: a.loops.looped.Load(), Repeated: a.loops.repeated.Load(),
		},
		Spool: a.spooled(&sp),
	}
	st.Destinations = a.destinations(&sp)
	return st
}

// destinations tells about each of them. sp are figures of the spool.
func (o *outbox) destinations(sp *spool.Stats) (list []DestinationStatus) {
	o.mu.Lock()
	deliveries := o.mu.deliveries
	o.mu.Unlock()
	for _, r := range deliveries {
		f, place := r.delivery.figures, sp.Places[r.cfg.Name]
		limit, calls, failures, shut := r.delivery.gate.state()
		d := DestinationStatus{
			Name: r.cfg.Name, Type: r.cfg.Type, Endpoint: r.delivery.export.Target(), Waiting: sp.Synced - min(place.Done, sp.Synced),
			Sent: f.sent.Load(), Refused: f.refused.Load(), Retried: f.retried.Load(), Lost: place.Lost, Damaged: place.Damaged,
			Calls: f.calls.Load(), Throttled: f.throttled.Load(), UnderWay: calls, MostCalls: limit, Failures: failures,
			ShutSeconds: shut.Seconds(), CallSeconds: f.latency.seconds(), LagSeconds: r.delivery.lag(time.Now()).Seconds(),
		}
		r.delivery.mu.Lock()
		d.LastSent, d.LastError, d.LastErrorAt = r.delivery.mu.sentAt, r.delivery.mu.lastErr, r.delivery.mu.errAt
		r.delivery.mu.Unlock()
		list = append(list, d)
	}
	return list
}

// spooled tells about the spool.
func (o *outbox) spooled(sp *spool.Stats) Spooled {
	return Spooled{
		Folder: filepath.Clean(o.spool.Dir()), Files: sp.Files, Bytes: sp.Bytes, Limit: o.spool.MaxBytes(), PendingBytes: sp.PendingBytes,
		Synced: sp.Synced, Dropped: sp.Dropped, DamagedFiles: sp.DamagedFiles, Oldest: sp.Oldest, Failure: sp.Failure,
	}
}

// pages serves what the agent shows of itself.
func (a *Agent) pages() http.Handler {
	mux := http.NewServeMux()
	common := telemetry.Pages{
		Registry: a.registry, Health: a.health, Build: a.opts.Build, Config: func(w io.Writer) error { return a.cfg.Load().WriteYAML(w) },
		Store: func() any { return a.spool.Stats() },
	}.Handler()
	mux.Handle("/", common)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, a.Status()) })
	mux.HandleFunc("GET /dead-letters", func(w http.ResponseWriter, r *http.Request) {
		// They hold whole documents, which are nobody's business on other machines.
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		if ip, err := netip.ParseAddr(host); r.RemoteAddr != "@" && (err != nil || !ip.Unmap().IsLoopback()) {
			http.Error(w, "dead letters are shown only to callers on the machine that the agent runs on", http.StatusForbidden)
			return
		}
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil || n < 1 || n > 1000 {
			n = 100
		}
		list, err := a.letters.newest(n)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if list == nil {
			list = []Letter{}
		}
		writeJSON(w, list)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		letters, err := a.letters.newest(10)
		if err != nil {
			a.logger.Debug("dead letters not read", "err", err)
		}
		slices.Reverse(letters)
		_ = statusPage.Execute(w, struct {
			Status
			Letters []Letter
		}{a.Status(), letters}) // the client may be gone
	})
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(append(text, '\n')) // the client may be gone
}

var statusPage = template.Must(template.New("").Funcs(template.FuncMap{
	"ago": func(t time.Time) string {
		if t.IsZero() {
			return "never"
		}
		return time.Since(t).Round(time.Second).String() + " ago"
	},
	"mb": func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) },
	"took": func(s float64) string {
		switch d := time.Duration(s * 1e9); {
		case d == 0:
			return "-"
		case d < 10*time.Millisecond:
			return fmt.Sprintf("%.1f ms", s*1e3)
		case d < time.Second:
			return fmt.Sprintf("%.0f ms", s*1e3)
		case d < time.Minute:
			return fmt.Sprintf("%.1f s", s)
		default:
			return d.Round(time.Second).String()
		}
	},
}).Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<title>Roentgen agent</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24; background: #fff }
h1 { font-size: 1.6rem; margin: 0 0 .5rem }
h2 { font-size: 1.15rem; margin: 2rem 0 .3rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; min-width: 50% }
th, td { text-align: left; padding: .3rem 1.5rem .3rem 0; border-bottom: 1px solid #d8dee4; vertical-align: top }
th { font-weight: 500; color: #59636e; white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr.open td { border-bottom: 0 }
tr.error td { padding-top: 0 }
.bad { color: #b42318 }
.old { color: #59636e }
code { overflow-wrap: anywhere }
td code { white-space: nowrap }
a { color: #0b62c4 }
@media (prefers-color-scheme: dark) { body { color: #e6e8eb; background: #14171a; color-scheme: dark } th, td { border-color: #30363d } th, .old { color: #9aa4af } .bad { color: #ff8a80 } a { color: #79b8ff } }
</style>
<h1>Roentgen agent {{.Version}}</h1>
{{if .Degraded}}<p class="bad">{{.Degraded}}</p>{{end}}
<p>Started {{ago .Started}}. {{if .UDP}}UDP {{.UDP}}. {{end}}{{if .TCP}}TCP {{.TCP}}. {{end}}{{if .Unix}}Unix socket {{.Unix}}. {{end}}</p>
<h2>Destinations</h2>
<div class="wide"><table>
<tr><th>name<th class="n">waiting<th class="n">sent<th class="n">refused<th class="n">lost<th class="n">calls under way<th class="n">a call takes<th class="n">lag<th>endpoint
{{range .Destinations}}<tr{{if .LastError}} class="open"{{end}}><td>{{.Name}}<td class="n">{{.Waiting}}<td class="n">{{.Sent}}<td class="n">{{.Refused}}<td class="n">{{.Lost}}<td class="n">{{.UnderWay}} of {{.MostCalls}}<td class="n">{{took .CallSeconds}}<td class="n">{{took .LagSeconds}}<td><code>{{.Endpoint}}</code>
{{if .LastError}}<tr class="error"><td colspan="9" class="{{if .Failures}}bad{{else}}old{{end}}">{{if .Failures}}{{.Failures}} failed in a row, the last {{ago .LastErrorAt}}{{else}}last failure, {{ago .LastErrorAt}}{{end}}: {{.LastError}}
{{end}}{{end}}</table></div>
<h2>Arrived since the start</h2>
<div class="wide"><table>
<tr><th class="n">UDP<th class="n">framed<th class="n">HTTP<th class="n">rejected<th class="n">dropped by rules<th class="n">by the kernel<th class="n">for want of disk<th class="n">came back
<tr><td class="n">{{.Intake.UDP}}<td class="n">{{.Intake.Stream}}<td class="n">{{.Intake.HTTP}}<td class="n">{{.Intake.Rejected}}<td class="n">{{.Intake.DroppedByRule}}<td class="n">{{.Intake.KernelDropped}}<td class="n">{{.Intake.QueueDropped}}<td class="n">{{.Intake.CameBack}}
</table></div>
<h2>Spool</h2>
<p>{{mb .Spool.Bytes}} of {{mb .Spool.Limit}} in <code>{{.Spool.Folder}}</code>, {{mb .Spool.PendingBytes}} waiting for the disk; {{.Spool.Dropped}} documents removed by the limits.{{if .Spool.DamagedFiles}} <span class="bad">{{.Spool.DamagedFiles}} damaged files were put aside there.</span>{{end}}</p>
<h2>Dead letters</h2>
{{if .Letters}}<div class="wide"><table>
<tr><th>when<th>destination<th>id<th>code<th>message
{{range .Letters}}<tr><td class="n">{{ago .Time}}<td>{{or .Destination "refused here"}}<td><code>{{.ID}}</code><td>{{.Code}}<td>{{.Message}}
{{end}}</table></div>{{else}}<p>None.</p>{{end}}
<p><a href="/status">status as JSON</a>, <a href="/dead-letters">dead letters</a>, <a href="/metrics">metrics</a>, <a href="/-/ready">readiness</a>, <a href="/debug/">debug</a></p>
`))

// collector shows the figures of an agent as metrics.
type collector struct{ a *Agent }

var (
	descReceived = prometheus.NewDesc("roentgen_agent_documents_received_total", "Documents that arrived, by the way they came.", []string{"way"}, nil)
	descRejected = prometheus.NewDesc("roentgen_agent_documents_rejected_total", "Documents that were refused on arrival, by the way they came.", []string{"way"}, nil)
	descRules    = prometheus.NewDesc("roentgen_agent_rules_dropped_total", "Documents that rules dropped.", nil, nil)
	descProxied  = prometheus.NewDesc("roentgen_agent_calls_passed_on_total", "Calls passed on to a destination.", nil, nil)
	descCached   = prometheus.NewDesc("roentgen_agent_sampling_calls_from_cache_total", "Sampling calls answered from the cache, since the destination was away.", nil, nil)
)

// outboxDescs are the figures of an outbox, whose owner's name they begin with.
type outboxDescs struct {
	bytes, files, pending, synced, in, inBytes, stored, commits, seconds, dropped, damagedFiles, failed *prometheus.Desc

	letters, lettersDropped *prometheus.Desc

	looped, repeated *prometheus.Desc

	waiting, sent, sentBytes, refused, retried, lost, damaged, calls, throttled, failures, underWay, callTime, lag *prometheus.Desc
}

func newOutboxDescs(prefix string) *outboxDescs {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+"_"+name, help, labels, nil)
	}
	const to = "destination"
	return &outboxDescs{
		bytes:        desc("spool_bytes", "Size of the spool's files."),
		files:        desc("spool_files", "Files of the spool."),
		pending:      desc("spool_pending_bytes", "Documents in memory that wait for the disk."),
		synced:       desc("spool_synced", "Number behind the last document that is durable."),
		in:           desc("spool_documents_total", "Documents put into the spool."),
		inBytes:      desc("spool_document_bytes_total", "Their bytes."),
		stored:       desc("spool_written_bytes_total", "Bytes written to the spool's files."),
		commits:      desc("spool_commits_total", "Syncs of the spool."),
		seconds:      desc("spool_commit_seconds_total", "Time that they took."),
		dropped:      desc("spool_dropped_total", "Documents that the limits of the spool removed before every destination had them."),
		damagedFiles: desc("spool_damaged_files_total", "Files of the spool that could not be read and were put aside."),
		failed:       desc("spool_failed", "1 while the disk takes nothing."),

		letters:        desc("dead_letters_total", "Dead letters kept."),
		lettersDropped: desc("dead_letters_dropped_total", "Dead letters that could not be kept, or were too many of a kind."),

		looped:   desc("looped_total", "Documents that came back with the id of who passed them on; they go no further."),
		repeated: desc("repeated_total", "Documents that had been passed on shortly before and came again, from where they were sent or from their sender; they go no further."),

		waiting:   desc("waiting", "Documents in the spool that the destination does not have.", to),
		sent:      desc("sent_total", "Documents that the destination was sent and answered for, refused ones included.", to),
		sentBytes: desc("sent_bytes_total", "Their bytes.", to),
		refused:   desc("refused_total", "Documents that the destination refused.", to),
		retried:   desc("retried_total", "Documents that were sent another time.", to),
		lost:      desc("lost_total", "Documents that the limits of the spool removed before the destination had them.", to),
		damaged:   desc("damaged_total", "Documents that could not be read from the disk.", to),
		calls:     desc("calls_total", "Calls to the destination.", to),
		throttled: desc("throttled_total", "Calls that the destination answered with the wish for fewer.", to),
		failures:  desc("call_failures_total", "Calls that failed, by cause.", to, "cause"),
		underWay:  desc("calls_under_way", "Calls under way.", to),
		callTime:  desc("call_seconds", "Average time of the last calls that succeeded.", to),
		lag:       desc("lag_seconds", "From arrival to delivery, of the last batch, or so far of the oldest one that is under way.", to),
	}
}

var agentOutbox = newOutboxDescs("roentgen_agent")

var causeNames = map[Cause]string{
	CauseTimeout: "timeout", CauseRefused: "refused", Cause4xx: "4xx", Cause5xx: "5xx", CauseUnknownHost: "unknown host", CauseOther: "other",
}

// Describe leaves the description to Collect.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	a := c.a
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, way := range []string{wayUDP, wayStream, wayHTTP} {
		count(descReceived, float64(a.intake.received.of(way).Load()), way)
		count(descRejected, float64(a.intake.rejected.of(way).Load()), way)
	}
	count(descRules, float64(a.intake.dropped.Load()))
	count(descProxied, float64(a.handler.proxied.Load()))
	count(descCached, float64(a.handler.fromCache.Load()))
	a.collect(ch, agentOutbox)
}

// collect shows the figures of an outbox.
func (o *outbox) collect(ch chan<- prometheus.Metric, desc *outboxDescs) {
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count(desc.letters, float64(o.letters.kept.Load()))
	count(desc.lettersDropped, float64(o.letters.dropped.Load()))
	count(desc.looped, float64(o.loops.looped.Load()))
	count(desc.repeated, float64(o.loops.repeated.Load()))
	sp := o.spool.Stats()
	gauge(desc.bytes, float64(sp.Bytes))
	gauge(desc.files, float64(sp.Files))
	gauge(desc.pending, float64(sp.PendingBytes))
	gauge(desc.synced, float64(sp.Synced))
	count(desc.in, float64(sp.Appended))
	count(desc.inBytes, float64(sp.AppendedRaw))
	count(desc.stored, float64(sp.Stored))
	count(desc.commits, float64(sp.Commits))
	count(desc.seconds, sp.CommitTime.Seconds())
	count(desc.dropped, float64(sp.Dropped))
	count(desc.damagedFiles, float64(sp.DamagedFiles))
	failed := 0.0
	if sp.Failure != "" {
		failed = 1
	}
	gauge(desc.failed, failed)
	o.mu.Lock()
	deliveries := o.mu.deliveries
	o.mu.Unlock()
	for _, r := range deliveries {
		name, f, place := r.cfg.Name, r.delivery.figures, sp.Places[r.cfg.Name]
		_, calls, _, _ := r.delivery.gate.state()
		gauge(desc.waiting, float64(sp.Synced-min(place.Done, sp.Synced)), name)
		count(desc.sent, float64(f.sent.Load()), name)
		count(desc.sentBytes, float64(f.bytes.Load()), name)
		count(desc.refused, float64(f.refused.Load()), name)
		count(desc.retried, float64(f.retried.Load()), name)
		count(desc.lost, float64(place.Lost), name)
		count(desc.damaged, float64(place.Damaged), name)
		count(desc.calls, float64(f.calls.Load()), name)
		count(desc.throttled, float64(f.throttled.Load()), name)
		for cause, text := range causeNames {
			count(desc.failures, float64(f.failures[cause].Load()), name, text)
		}
		gauge(desc.underWay, float64(calls), name)
		gauge(desc.callTime, f.latency.seconds(), name)
		gauge(desc.lag, r.delivery.lag(time.Now()).Seconds(), name)
	}
}
