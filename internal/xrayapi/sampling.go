package xrayapi

import (
	"sync"
	"time"

	"github.com/roentgen-io/roentgen/segment"
)

var getSamplingRulesInput = &shape{kind: kStruct, members: []member{
	{name: "NextToken", shape: stringShape},
}}

var samplingStatistics = &shape{kind: kStruct, members: []member{
	{name: "RuleName", required: true, shape: lengths(1, 32)},
	{name: "ClientID", required: true, shape: lengths(24, 24)},
	{name: "Timestamp", required: true, shape: timeShape},
	{name: "RequestCount", required: true, shape: countShape},
	{name: "SampledCount", required: true, shape: countShape},
	{name: "BorrowCount", shape: countShape},
}}

var samplingBoostStatistics = &shape{kind: kStruct, members: []member{
	{name: "RuleName", required: true, shape: lengths(1, 32)},
	{name: "ServiceName", required: true, shape: lengths(0, 64)},
	{name: "Timestamp", required: true, shape: timeShape},
	{name: "AnomalyCount", required: true, shape: countShape},
	{name: "TotalCount", required: true, shape: countShape},
	{name: "SampledAnomalyCount", required: true, shape: countShape},
}}

var getSamplingTargetsInput = &shape{kind: kStruct, members: []member{
	{name: "SamplingStatisticsDocuments", required: true, shape: &shape{kind: kList, elem: samplingStatistics, hasMax: true, max: 25}},
	{name: "SamplingBoostStatisticsDocuments", shape: &shape{kind: kList, elem: samplingBoostStatistics, hasMax: true, max: 25}},
}}

// The Default rule, the only one so far: one trace a second, and 5 % of the rest.
const (
	defaultRule      = "Default"
	defaultFixedRate = 0.05
	defaultReservoir = 1
)

const (
	reportInterval = 10 * time.Second
	quotaTTL       = 300 * time.Second
	// clientGone is how long after its last report a client keeps its share.
	clientGone = 3 * reportInterval
	// maxClients bounds the memory of clients; further ones get a quota of 0.
	maxClients = 10_000
)

// sampling shares the reservoir of the Default rule out to the clients that
// report demand. It is what SDKs need to go on; rules come with a later version.
type sampling struct {
	now func() time.Time

	mu struct {
		sync.Mutex
		clients map[string]*samplingClient
		swept   time.Time
	}
}

// samplingClient is a client of the Default rule.
type samplingClient struct {
	first, last time.Time // its reports
	quota       bool      // it holds the reservoir's one trace a second
}

func newSampling(now func() time.Time) *sampling {
	s := &sampling{now: now}
	s.mu.clients = make(map[string]*samplingClient)
	return s
}

// target is the answer for a client; not known: it is too new for a quota.
type target struct {
	known bool
	quota int
	ttl   time.Time
}

// report notes a client's report and returns its target.
func (s *sampling) report(client string, demand bool) target {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.mu.swept) >= reportInterval || len(s.mu.clients) >= maxClients {
		for id, c := range s.mu.clients {
			if now.Sub(c.last) > clientGone {
				delete(s.mu.clients, id)
			}
		}
		s.mu.swept = now
	}
	c := s.mu.clients[client]
	if c == nil {
		if len(s.mu.clients) >= maxClients {
			return target{}
		}
		c = &samplingClient{first: now}
		s.mu.clients[client] = c
	}
	c.last = now
	if now.Sub(c.first) < reportInterval {
		return target{}
	}
	// One trace a second cannot be parted: it goes to one client with demand,
	// and on to another when that one has none any more.
	held := false
	for _, other := range s.mu.clients {
		held = held || other != c && other.quota && now.Sub(other.last) <= clientGone
	}
	c.quota = demand && !held
	t := target{known: true, ttl: now.Add(quotaTTL)}
	if c.quota {
		t.quota = defaultReservoir
	}
	return t
}

func (h *Handler) getSamplingRules(c *call, _ *value) error {
	dst := append([]byte(nil), `{"NextToken":null,"SamplingRuleRecords":[{"CreatedAt":0.0,"ModifiedAt":0.0,"SamplingRule":{"Attributes":{},"FixedRate":`...)
	dst = appendDouble(dst, defaultFixedRate)
	dst = append(dst, `,"HTTPMethod":"*","Host":"*","Priority":10000,"ReservoirSize":`...)
	dst = appendInt(dst, defaultReservoir)
	dst = append(dst, `,"ResourceARN":"*","RuleARN":`...)
	dst = segment.AppendString(dst, h.arn("sampling-rule/"+defaultRule))
	dst = append(dst, `,"RuleName":"`+defaultRule+`","ServiceName":"*","ServiceType":"*","URLPath":"*","Version":1}}]}`...)
	return c.reply(dst)
}

func (h *Handler) getSamplingTargets(c *call, in *value) error {
	var targets, unprocessed []byte
	for _, d := range in.get(getSamplingTargetsInput, "SamplingStatisticsDocuments").list {
		rule := d.get(samplingStatistics, "RuleName").text()
		if rule != defaultRule {
			unprocessed = appendUnknownRule(unprocessed, rule)
			continue
		}
		t := h.sampling.report(d.get(samplingStatistics, "ClientID").text(), d.get(samplingStatistics, "RequestCount").number() > 0)
		if len(targets) > 0 {
			targets = append(targets, ',')
		}
		targets = append(targets, `{"FixedRate":`...)
		targets = appendDouble(targets, defaultFixedRate)
		targets = append(targets, `,"Interval":`...)
		if t.known {
			targets = appendInt(targets, int(reportInterval/time.Second))
			targets = append(targets, `,"ReservoirQuota":`...)
			targets = appendInt(targets, t.quota)
			targets = append(targets, `,"ReservoirQuotaTTL":`...)
			targets = appendDouble(targets, float64(t.ttl.Unix()))
		} else {
			targets = append(targets, `null,"ReservoirQuota":null,"ReservoirQuotaTTL":null`...)
		}
		targets = append(targets, `,"RuleName":"`+defaultRule+`"}`...)
	}
	// The rules never changed, so the time stays the same, before every client's
	// last look at the rules; a later one would make clients fetch the rules
	// again with each report. It is not 0, which some clients take for absent.
	dst := append([]byte(nil), `{"LastRuleModification":1.0,"SamplingTargetDocuments":[`...)
	dst = append(append(dst, targets...), ']')
	if boosts := in.get(getSamplingTargetsInput, "SamplingBoostStatisticsDocuments"); boosts != nil {
		var refused []byte
		for _, d := range boosts.list {
			if rule := d.get(samplingBoostStatistics, "RuleName").text(); rule != defaultRule {
				refused = appendUnknownRule(refused, rule)
			}
		}
		dst = append(dst, `,"UnprocessedBoostStatistics":[`...)
		dst = append(append(dst, refused...), ']')
	}
	dst = append(dst, `,"UnprocessedStatistics":[`...)
	dst = append(append(dst, unprocessed...), ']')
	return c.reply(append(dst, '}'))
}

func appendUnknownRule(dst []byte, rule string) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, `{"ErrorCode":"400","Message":"Unknown rule","RuleName":`...)
	return append(segment.AppendString(dst, rule), '}')
}
