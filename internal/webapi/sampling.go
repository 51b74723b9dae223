package webapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/sampling"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	defaultClients = 200
	maxClients     = 20_000
	// maxRuleBody bounds the body of a question about rules.
	maxRuleBody = 64 << 10
	// A simulation ends when it has looked at so many traces, or for so long, and
	// says so.
	simulateTraces = 1_000_000
	simulateTime   = 20 * time.Second
	maxSimulations = 2 // at a time
)

// seconds returns a time in epoch seconds, null for none.
func seconds(t time.Time) *float64 {
	if t.IsZero() {
		return nil
	}
	s := float64(t.UnixMilli()) / 1e3
	return &s
}

// samplingClient is a client in the answer of /api/sampling/clients. Times are
// epoch seconds.
type samplingClient struct {
	BorrowCount       int64 // of the latest report, as RequestCount and SampledCount
	ClientID          string
	FirstReport       *float64 // by the clock of the server
	FixedRate         float64  // given
	LastReport        *float64
	Peer              string
	Reports           int64
	RequestCount      int64
	RequestRate       float64 // requests a second
	ReservoirQuota    *int    // given; null: the client is new
	ReservoirQuotaTTL *float64
	RuleName          string
	SampledCount      int64
	Sharing           bool // it shares the reservoir at present
	TotalBorrowCount  int64
	TotalRequestCount int64
	TotalSampledCount int64
}

type clientsAnswer struct {
	Clients []samplingClient
	Refused int64 // reports of clients that there was no room for
	Total   int   // clients there are; more than Clients has when limit was reached
}

// samplingClients answers GET /api/sampling/clients?rule=&limit=: what each client
// reported and was given, by rule and latest report.
func (h *handler) samplingClients(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "rule", "limit")
	if err != nil {
		return err
	}
	limit, err := intParameter(q, "limit", defaultClients, maxClients)
	if err != nil {
		return err
	}
	if name := q.Get("rule"); name != "" {
		if _, err := h.cfg.Control.Rule(name, ""); err != nil {
			return noRule(name)
		}
	}
	clients, total, refused := h.cfg.Sampler.Clients(h.cfg.Now(), q.Get("rule"), int(limit))
	answer := clientsAnswer{Clients: make([]samplingClient, len(clients)), Refused: refused, Total: total}
	for i := range clients {
		c := &clients[i]
		answer.Clients[i] = samplingClient{
			RuleName: c.Rule, ClientID: c.Client, Peer: c.Peer, Reports: c.Reports,
			FirstReport: seconds(c.First), LastReport: seconds(c.Last),
			RequestCount: c.Latest.Requests, SampledCount: c.Latest.Sampled, BorrowCount: c.Latest.Borrowed,
			TotalRequestCount: c.Total.Requests, TotalSampledCount: c.Total.Sampled, TotalBorrowCount: c.Total.Borrowed,
			RequestRate: c.RequestRate, FixedRate: c.FixedRate, Sharing: c.Sharing,
		}
		if c.Settled {
			answer.Clients[i].ReservoirQuota, answer.Clients[i].ReservoirQuotaTTL = &c.Quota, seconds(c.TTL)
		}
	}
	return replyJSON(w, answer)
}

func noRule(name string) error {
	return apierr.New(apierr.ResourceNotFound, "there is no sampling rule %.80q", name)
}

// readJSON reads a small body, in which unknown keys are mistakes.
func (h *handler) readJSON(r *http.Request, to any, example string) error {
	body, err := h.cfg.Bodies.Read(r, maxRuleBody)
	if err != nil {
		return err
	}
	defer body.Free()
	d := json.NewDecoder(bytes.NewReader(body.Data))
	d.DisallowUnknownFields()
	err = d.Decode(to)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more follows behind the object")
		}
	}
	if err != nil {
		return apierr.New(apierr.InvalidRequest, "send %s (%v)", example, err)
	}
	return nil
}

// ruleRequest is a request of which a rule decides.
type ruleRequest struct {
	ServiceName string
	ServiceType string
	Host        string
	HTTPMethod  string
	URLPath     string
	ResourceARN string
	Attributes  map[string]string
}

// ruleVerdict is what a rule says of a request.
type ruleVerdict struct {
	FixedRate     float64
	Matches       bool
	Mismatches    []sampling.Mismatch // what keeps it from matching
	Priority      int
	ReservoirSize int
	RuleName      string
	SDKsIgnore    string // why X-Ray SDKs pass over it; "" when they do not
}

type explainRuleAnswer struct {
	// RuleName is the rule that decides, XRaySDKRuleName the one that decides where an X-Ray
	// SDK asks. They differ when SDKs pass over a rule.
	RuleName        string
	XRaySDKRuleName string
	Rules           []ruleVerdict // in the order in which they are tried
}

// explainRule answers POST /api/sampling/explain with a request, e.g.
// {"ServiceName":"till","Host":"shop.example.com","HTTPMethod":"GET","URLPath":"/cart"}:
// which rule decides on it, and why the others do not.
func (h *handler) explainRule(w http.ResponseWriter, r *http.Request) error {
	var ask ruleRequest
	if err := h.readJSON(r, &ask, `{"ServiceName":"...","ServiceType":"...","Host":"...","HTTPMethod":"...","URLPath":"...","ResourceARN":"...","Attributes":{}}; what is left out is not known and matches everything`); err != nil {
		return err
	}
	q := sampling.Request(ask)
	set := sampling.NewSet(plainRules(h.cfg.Control))
	var answer explainRuleAnswer
	for _, v := range set.Explain(&q) {
		verdict := ruleVerdict{
			RuleName: v.Rule.Name, Priority: v.Rule.Priority, FixedRate: v.Rule.FixedRate, ReservoirSize: v.Rule.Reservoir,
			Matches: v.Matches, Mismatches: v.Mismatches, SDKsIgnore: v.Rule.SDKsIgnore(),
		}
		if verdict.Mismatches == nil {
			verdict.Mismatches = []sampling.Mismatch{}
		}
		if v.Matches && answer.RuleName == "" {
			answer.RuleName = v.Rule.Name
		}
		if v.Matches && answer.XRaySDKRuleName == "" && verdict.SDKsIgnore == "" {
			answer.XRaySDKRuleName = v.Rule.Name
		}
		answer.Rules = append(answer.Rules, verdict)
	}
	return replyJSON(w, answer)
}

// plainRules returns the rules without what only the control state needs.
func plainRules(state *control.Store) []sampling.Rule {
	rules, _ := state.Rules()
	plain := make([]sampling.Rule, len(rules))
	for i := range rules {
		plain[i] = rules[i].Rule
	}
	return plain
}

// ruleEdit is a rule of a simulation: the members that are there replace those of
// the rule of that name; a rule that there is not begins with * everywhere.
type ruleEdit struct {
	RuleName      string
	Priority      *int
	FixedRate     *float64
	ReservoirSize *int
	ServiceName   *string
	ServiceType   *string
	Host          *string
	HTTPMethod    *string
	URLPath       *string
	ResourceARN   *string
	Attributes    map[string]string
	Delete        bool
}

type simulateQuestion struct {
	Start, End *float64
	Rules      []ruleEdit
}

// ruleTally is what a rule would have kept. Kept counts are expectations, and so
// have fractions.
type ruleTally struct {
	FailedKept      float64
	FailedTraces    int64 // with an error, fault or throttle
	FixedRate       float64
	Kept            float64
	KeptByReservoir float64
	Priority        int
	ReservoirSize   int
	RuleName        string
	Traces          int64 // that the rule would have decided on
}

type simulateAnswer struct {
	Start, End float64 // what was looked at; Start is later than asked when Partial
	Traces     int64
	Rootless   int64       // of these, traces whose first segment is not here: nobody knows what was decided on
	Partial    bool        // the window holds more than was looked at
	Rules      []ruleTally // in the order in which they are tried, as they would be
	Now        []ruleTally // the same for the rules in force; null when no rule was edited
}

// simulateRules answers POST /api/sampling/simulate with a window and edits of
// rules, all of which may be left out, e.g.
// {"Start":1.79E9,"End":1.79E9,"Rules":[{"RuleName":"cart","FixedRate":0.1}]}: what
// the rules would have kept of the traces that are stored for the window (by
// default the last day). Attributes of a rule are compared with annotations of the
// root. It reads the newest traces first and stops when it has looked at a million,
// or for 20 seconds.
func (h *handler) simulateRules(w http.ResponseWriter, r *http.Request) error {
	var ask simulateQuestion
	if err := h.readJSON(r, &ask, `{"Start":1.79E9,"End":1.79E9,"Rules":[{"RuleName":"...","FixedRate":0.1}]}; every part may be left out`); err != nil {
		return err
	}
	end := float64(h.cfg.Now().UnixMilli()) / 1e3
	if ask.End != nil {
		end = *ask.End
	}
	start := end - 24*3600
	if ask.Start != nil {
		start = *ask.Start
	}
	if end < start {
		return apierr.New(apierr.InvalidRequest, "End is earlier than Start")
	}
	rules := plainRules(h.cfg.Control)
	edited, err := editRules(rules, ask.Rules)
	if err != nil {
		return err
	}
	if n := h.simulations.Add(1); n > maxSimulations {
		h.simulations.Add(-1)
		return apierr.New(apierr.Throttled, "%d simulations run already; try again when one is done", maxSimulations)
	}
	defer h.simulations.Add(-1)
	ctx, cancel := h.context(r)
	defer cancel()
	answer := simulateAnswer{Start: start, End: end}
	simulations := []*sampling.Simulation{sampling.NewSimulation(edited, false)}
	if len(ask.Rules) > 0 {
		simulations = append(simulations, sampling.NewSimulation(rules, false))
	}
	if err := h.simulate(ctx, &answer, simulations); err != nil {
		return err
	}
	answer.Rules = tallies(simulations[0])
	if len(simulations) > 1 {
		answer.Now = tallies(simulations[1])
	}
	return replyJSON(w, answer)
}

// simulate tells simulations of the traces of a window.
func (h *handler) simulate(ctx context.Context, answer *simulateAnswer, simulations []*sampling.Simulation) error {
	deadline := time.Now().Add(simulateTime)
	ask := query.Question{Clock: tracestore.ClockStart, Start: trace.Nanos(answer.Start), End: trace.Nanos(answer.End)}
	last := ask.End
	return h.cfg.Query.Each(ctx, ask, func(row *trace.Row) bool {
		if answer.Traces >= h.cfg.SimulateTraces || answer.Traces%256 == 255 && time.Now().After(deadline) {
			answer.Partial, answer.Start = true, float64(last)/1e9
			return false
		}
		last = row.Start
		answer.Traces++
		if !row.HasRoot {
			answer.Rootless++
			return true
		}
		q := requestOf(row)
		failed := row.HasError || row.HasFault || row.HasThrottle
		for _, s := range simulations {
			s.Add(floorSecond(row.Start), &q, failed)
		}
		return true
	})
}

func floorSecond(nanos int64) int64 {
	s := nanos / 1e9
	if nanos%1e9 < 0 {
		s--
	}
	return s
}

// requestOf returns what a client knew of the request that began a trace, as far
// as the trace tells.
func requestOf(row *trace.Row) sampling.Request {
	q := sampling.Request{ServiceName: row.Root.Name, ServiceType: row.Root.Type, HTTPMethod: row.Method}
	q.Host, q.URLPath = splitURL(row.URL)
	for i := range row.Segments {
		root := &row.Segments[i]
		if root.Flags&trace.FlagRoot == 0 {
			continue
		}
		if len(root.Annotations) > 0 {
			q.Attributes = make(map[string]string, len(root.Annotations))
		}
		for _, at := range root.Annotations {
			a := &row.Annotations[at]
			switch a.Type {
			case segment.TypeNumber:
				q.Attributes[a.Key] = strconv.FormatFloat(a.Number, 'g', -1, 64)
			case segment.TypeBool:
				q.Attributes[a.Key] = strconv.FormatBool(a.Bool)
			default:
				q.Attributes[a.Key] = a.String
			}
		}
		break
	}
	return q
}

// splitURL returns host and path of a URL, which may be a path alone.
func splitURL(text string) (host, path string) {
	u, err := url.Parse(text)
	if err != nil {
		return "", ""
	}
	if path = u.EscapedPath(); path == "" && u.Host != "" {
		path = "/"
	}
	return u.Host, path
}

// editRules returns rules with edits.
func editRules(rules []sampling.Rule, edits []ruleEdit) ([]sampling.Rule, error) {
	const maxEdits = 100
	if len(edits) > maxEdits {
		return nil, apierr.New(apierr.InvalidRequest, "at most %d rules can be tried at a time", maxEdits)
	}
	rules = slices.Clone(rules)
	for i := range edits {
		e := &edits[i]
		if strings.TrimSpace(e.RuleName) == "" {
			return nil, apierr.New(apierr.InvalidRequest, "rule %d has no RuleName", i+1)
		}
		at := slices.IndexFunc(rules, func(r sampling.Rule) bool { return r.Name == e.RuleName })
		if e.Delete {
			switch {
			case at < 0:
				return nil, noRule(e.RuleName)
			case e.RuleName == sampling.DefaultName:
				return nil, apierr.New(apierr.InvalidRequest, "the Default rule cannot be deleted")
			}
			rules = slices.Delete(rules, at, at+1)
			continue
		}
		if at < 0 {
			blank := sampling.Default()
			blank.Name, blank.Priority, blank.FixedRate, blank.Reservoir = e.RuleName, 1, 0, 0
			rules = append(rules, blank)
			at = len(rules) - 1
		}
		if err := e.apply(&rules[at]); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

func (e *ruleEdit) apply(r *sampling.Rule) error {
	for _, text := range [...]struct{ from, to *string }{
		{e.ServiceName, &r.ServiceName}, {e.ServiceType, &r.ServiceType}, {e.Host, &r.Host},
		{e.HTTPMethod, &r.HTTPMethod}, {e.URLPath, &r.URLPath}, {e.ResourceARN, &r.ResourceARN},
	} {
		if text.from != nil {
			*text.to = *text.from
		}
	}
	if e.Priority != nil {
		r.Priority = *e.Priority
	}
	if e.FixedRate != nil {
		r.FixedRate = *e.FixedRate
	}
	if e.ReservoirSize != nil {
		r.Reservoir = *e.ReservoirSize
	}
	if e.Attributes != nil {
		r.Attributes = e.Attributes
	}
	if err := r.Check(); err != nil {
		return apierr.New(apierr.InvalidRequest, "rule %s: %v", r.Name, err)
	}
	return nil
}

func tallies(s *sampling.Simulation) []ruleTally {
	list := []ruleTally{}
	for _, t := range s.Tallies() {
		if t.Rule == nil {
			continue // nothing: the Default rule matches everything
		}
		list = append(list, ruleTally{
			RuleName: t.Rule.Name, Priority: t.Rule.Priority, FixedRate: t.Rule.FixedRate, ReservoirSize: t.Rule.Reservoir,
			Traces: t.Requests, FailedTraces: t.Failed, Kept: hundredths(t.Kept), KeptByReservoir: t.Reservoir, FailedKept: hundredths(t.FailedKept),
		})
	}
	return list
}

func hundredths(f float64) float64 { return math.Round(f*100) / 100 }
