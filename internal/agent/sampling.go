package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/telemetry"
)

const (
	rulesPath   = "/GetSamplingRules"
	targetsPath = "/SamplingTargets"

	rulesName = "sampling-rules.json"
	// samplingPatience is how long SDKs wait for the destination when there is
	// something in the cache to answer them with.
	samplingPatience = 2 * time.Second
	// maxPages bounds the pages of rules that are remembered.
	maxPages = 64
	maxPage  = 1 << 20
)

// samplingCache remembers the destination's answers to the sampling calls, so
// that SDKs go on as they were told while it is away, after a restart too.
type samplingCache struct {
	path   string
	logger *slog.Logger
	limit  telemetry.Limiter
	save   func(data []byte) error

	mu struct {
		sync.Mutex
		pages    map[string]cachedPage      // by the request's NextToken
		targets  map[string]json.RawMessage // last target of each rule
		modified json.RawMessage            // LastRuleModification
		saved    time.Time
	}
}

type cachedPage struct {
	At   time.Time       `json:"at"`
	Body json.RawMessage `json:"body"`
}

// newSamplingCache reads what an earlier life left in the spool's folder.
func newSamplingCache(sp *spool.Spool, logger *slog.Logger) *samplingCache {
	c := &samplingCache{path: filepath.Join(sp.Dir(), rulesName), logger: logger}
	c.save = func(data []byte) error { return spool.ReplaceFile(sp.FS(), sp.Dir(), c.path, data) }
	c.mu.pages = make(map[string]cachedPage)
	c.mu.targets = make(map[string]json.RawMessage)
	data, err := os.ReadFile(c.path)
	if err == nil {
		err = json.Unmarshal(data, &c.mu.pages)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		logger.Warn("cached sampling rules not read", slog.Any("err", err))
		c.mu.pages = make(map[string]cachedPage)
	}
	return c
}

// token returns the NextToken of a request.
func token(body []byte) string {
	var in struct{ NextToken *string }
	if json.Unmarshal(body, &in) != nil || in.NextToken == nil {
		return ""
	}
	return *in.NextToken
}

// learn remembers an answer of the destination.
func (c *samplingCache) learn(path string, request, answer []byte) {
	if len(answer) > maxPage || !json.Valid(answer) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if path == targetsPath {
		var out struct {
			SamplingTargetDocuments []json.RawMessage
			LastRuleModification    json.RawMessage
		}
		if json.Unmarshal(answer, &out) != nil {
			return
		}
		for _, t := range out.SamplingTargetDocuments {
			var named struct{ RuleName string }
			if json.Unmarshal(t, &named) == nil && (len(c.mu.targets) < 1000 || c.mu.targets[named.RuleName] != nil) {
				c.mu.targets[named.RuleName] = bytes.Clone(t)
			}
		}
		c.mu.modified = bytes.Clone(out.LastRuleModification)
		return
	}
	page := token(request)
	old, had := c.mu.pages[page]
	if !had && len(c.mu.pages) >= maxPages {
		return
	}
	now := time.Now()
	c.mu.pages[page] = cachedPage{now, bytes.Clone(answer)}
	if had && bytes.Equal(old.Body, answer) || now.Sub(c.mu.saved) < time.Second {
		return
	}
	c.mu.saved = now
	data, err := json.Marshal(c.mu.pages)
	if err == nil {
		err = c.save(data)
	}
	if err != nil {
		c.limit.Log(c.logger, slog.LevelWarn, "sampling rules not cached on the disk", slog.Any("err", err))
	}
}

// has reports whether there is anything to answer from.
func (c *samplingCache) has() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.mu.pages) > 0
}

// answer returns what to tell an SDK while the destination is away, and how old
// that is; ok is false when nothing is known.
func (c *samplingCache) answer(path string, request []byte) (body []byte, age time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if path == rulesPath {
		p, ok := c.mu.pages[token(request)]
		return p.Body, max(0, time.Since(p.At)), ok // the clock may have been set back since it was written
	}
	if len(c.mu.pages) == 0 && len(c.mu.targets) == 0 {
		return nil, 0, false
	}
	return c.targets(request), 0, true
}

// targets answers GetSamplingTargets: each rule keeps its rate, and nobody gets
// a quota of a reservoir, so that clients borrow one trace a second. The caller
// holds mu.
func (c *samplingCache) targets(request []byte) []byte {
	var in struct {
		SamplingStatisticsDocuments []struct{ RuleName string }
	}
	if json.Unmarshal(request, &in) != nil {
		in.SamplingStatisticsDocuments = nil // it is answered with an empty list
	}
	rates := make(map[string]json.RawMessage)
	for _, p := range c.mu.pages {
		var out struct {
			SamplingRuleRecords []struct {
				SamplingRule struct {
					RuleName  string
					FixedRate json.RawMessage
				}
			}
		}
		if json.Unmarshal(p.Body, &out) == nil {
			for _, r := range out.SamplingRuleRecords {
				rates[r.SamplingRule.RuleName] = r.SamplingRule.FixedRate
			}
		}
	}
	for name, t := range c.mu.targets {
		var out struct{ FixedRate json.RawMessage }
		if json.Unmarshal(t, &out) == nil && len(out.FixedRate) > 0 {
			rates[name] = out.FixedRate
		}
	}
	type target struct {
		FixedRate         json.RawMessage
		Interval          int
		ReservoirQuota    *int
		ReservoirQuotaTTL *float64
		RuleName          string
	}
	type unprocessed struct{ ErrorCode, Message, RuleName string }
	out := struct {
		LastRuleModification    json.RawMessage
		SamplingTargetDocuments []target
		UnprocessedStatistics   []unprocessed
	}{c.mu.modified, []target{}, []unprocessed{}}
	if len(out.LastRuleModification) == 0 {
		out.LastRuleModification = json.RawMessage("0.0")
	}
	for _, d := range in.SamplingStatisticsDocuments {
		if rate := rates[d.RuleName]; len(rate) > 0 {
			out.SamplingTargetDocuments = append(out.SamplingTargetDocuments, target{FixedRate: rate, Interval: 10, RuleName: d.RuleName})
		} else {
			out.UnprocessedStatistics = append(out.UnprocessedStatistics, unprocessed{"400", "Unknown rule", d.RuleName})
		}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return []byte(`{"LastRuleModification":0.0,"SamplingTargetDocuments":[],"UnprocessedStatistics":[]}`)
	}
	return body
}

// serveSampling answers a sampling call: the destination does, and the cache
// while it is away.
func (h *handler) serveSampling(w http.ResponseWriter, r *http.Request, body []byte) {
	patience := proxyPatience
	if h.sampling.has() {
		patience = samplingPatience
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	a, err := h.forward(ctx, r, body)
	if err == nil && a.status == http.StatusOK {
		h.sampling.learn(r.URL.Path, body, a.body)
	}
	away := err != nil || a.status >= 500 || a.status == http.StatusTooManyRequests
	if away {
		if body, age, ok := h.sampling.answer(r.URL.Path, body); ok {
			h.fromCache.Add(1)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Roentgen-Cached", strconv.Itoa(int(age.Seconds())))
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body) // the client may be gone
			return
		}
	}
	h.pass(w, a, err)
}
