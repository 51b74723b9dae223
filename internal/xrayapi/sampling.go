package xrayapi

import (
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/sampling"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var getSamplingRulesInput = &shape{kind: kStruct, members: []member{
	{name: "NextToken", shape: stringShape},
}}

var getSamplingStatisticSummariesInput = &shape{kind: kStruct, members: []member{
	{name: "NextToken", shape: stringShape},
}}

var (
	ruleNameShape = lengths(1, 32)
	rateShape     = &shape{kind: kDouble, hasMin: true, min: 0, hasMax: true, max: 1}
	attributeMap  = &shape{kind: kMap, key: lengths(1, 32), elem: lengths(1, 32), hasMax: true, max: 5}
)

var samplingRateBoost = &shape{kind: kStruct, members: []member{
	{name: "MaxRate", required: true, shape: rateShape},
	{name: "CooldownWindowMinutes", required: true, shape: countShape},
}}

var samplingRule = &shape{kind: kStruct, members: []member{
	{name: "RuleName", shape: ruleNameShape},
	{name: "RuleARN", shape: stringShape},
	{name: "ResourceARN", required: true, shape: lengths(0, 500)},
	{name: "Priority", required: true, shape: &shape{kind: kInt, hasMin: true, min: 1, hasMax: true, max: 9999}},
	{name: "FixedRate", required: true, shape: rateShape},
	{name: "ReservoirSize", required: true, shape: countShape},
	{name: "ServiceName", required: true, shape: lengths(0, 64)},
	{name: "ServiceType", required: true, shape: lengths(0, 64)},
	{name: "Host", required: true, shape: lengths(0, 64)},
	{name: "HTTPMethod", required: true, shape: lengths(0, 10)},
	{name: "URLPath", required: true, shape: lengths(0, 128)},
	{name: "Version", required: true, shape: &shape{kind: kInt, hasMin: true, min: 1}},
	{name: "Attributes", shape: attributeMap},
	{name: "SamplingRateBoost", shape: samplingRateBoost},
}}

// samplingRuleUpdate has no bounds on its numbers: the service checks them
// together with the rule as it would become.
var samplingRuleUpdate = &shape{kind: kStruct, members: []member{
	{name: "RuleName", shape: ruleNameShape},
	{name: "RuleARN", shape: stringShape},
	{name: "ResourceARN", shape: lengths(0, 500)},
	{name: "Priority", shape: intShape},
	{name: "FixedRate", shape: doubleShape},
	{name: "ReservoirSize", shape: intShape},
	{name: "Host", shape: lengths(0, 64)},
	{name: "ServiceName", shape: lengths(0, 64)},
	{name: "ServiceType", shape: lengths(0, 64)},
	{name: "HTTPMethod", shape: lengths(0, 10)},
	{name: "URLPath", shape: lengths(0, 128)},
	{name: "Attributes", shape: attributeMap},
	{name: "SamplingRateBoost", shape: samplingRateBoost},
}}

var createSamplingRuleInput = &shape{kind: kStruct, members: []member{
	{name: "SamplingRule", required: true, shape: samplingRule},
	{name: "Tags", shape: &shape{kind: kList, elem: tagShape, hasMax: true, max: 200}},
}}

var updateSamplingRuleInput = &shape{kind: kStruct, members: []member{
	{name: "SamplingRuleUpdate", required: true, shape: samplingRuleUpdate},
}}

var deleteSamplingRuleInput = &shape{kind: kStruct, members: []member{
	{name: "RuleName", shape: stringShape},
	{name: "RuleARN", shape: stringShape},
}}

var samplingStatistics = &shape{kind: kStruct, members: []member{
	{name: "RuleName", required: true, shape: ruleNameShape},
	{name: "ClientID", required: true, shape: lengths(24, 24)},
	{name: "Timestamp", required: true, shape: timeShape},
	{name: "RequestCount", required: true, shape: countShape},
	{name: "SampledCount", required: true, shape: countShape},
	{name: "BorrowCount", shape: countShape},
}}

var samplingBoostStatistics = &shape{kind: kStruct, members: []member{
	{name: "RuleName", required: true, shape: ruleNameShape},
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

const (
	// summariesPage is how many windows of statistics an answer holds. AWS does not say.
	summariesPage = 1000
)

// appendSamplingRule appends a rule in the form of the X-Ray API.
func appendSamplingRule(dst []byte, r *control.Rule) []byte {
	text := func(key, value string) {
		dst = append(append(append(dst, `,"`...), key...), `":`...)
		dst = segment.AppendString(dst, value)
	}
	dst = append(dst, `{"Attributes":{`...)
	keys := make([]string, 0, len(r.Attributes))
	for key := range r.Attributes {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(segment.AppendString(dst, key), ':')
		dst = segment.AppendString(dst, r.Attributes[key])
	}
	dst = append(dst, `},"FixedRate":`...)
	dst = appendDouble(dst, r.FixedRate)
	text("HTTPMethod", r.HTTPMethod)
	text("Host", r.Host)
	dst = append(dst, `,"Priority":`...)
	dst = appendInt(dst, r.Priority)
	dst = append(dst, `,"ReservoirSize":`...)
	dst = appendInt(dst, r.Reservoir)
	text("ResourceARN", r.ResourceARN)
	text("RuleARN", r.ARN)
	text("RuleName", r.Name)
	if r.Boost != nil {
		dst = append(dst, `,"SamplingRateBoost":{"CooldownWindowMinutes":`...)
		dst = appendInt(dst, r.Boost.CooldownMinutes)
		dst = append(dst, `,"MaxRate":`...)
		dst = append(appendDouble(dst, r.Boost.MaxRate), '}')
	}
	text("ServiceName", r.ServiceName)
	text("ServiceType", r.ServiceType)
	text("URLPath", r.URLPath)
	return append(dst, `,"Version":1}`...)
}

func appendRuleRecord(dst []byte, r *control.Rule) []byte {
	dst = append(dst, `{"CreatedAt":`...)
	dst = appendDouble(dst, float64(r.Created/1000)) // whole seconds
	dst = append(dst, `,"ModifiedAt":`...)
	dst = appendDouble(dst, float64(r.Changed/1000))
	dst = append(dst, `,"SamplingRule":`...)
	return append(appendSamplingRule(dst, r), '}')
}

func (c *call) replyRule(r *control.Rule) error {
	return c.reply(append(appendRuleRecord([]byte(`{"SamplingRuleRecord":`), r), '}'))
}

// rulesAnswer is the answer of GetSamplingRules for a list of rules. Every client
// asks for it again and again.
type rulesAnswer struct {
	of   *control.Rule // the first one of the list
	body []byte
}

func (h *Handler) getSamplingRules(c *call, _ *value) error {
	rules, _ := h.cfg.Control.Rules()
	if a := h.rules.Load(); a != nil && a.of == &rules[0] {
		return c.reply(a.body)
	}
	// All on one page: not all SDKs ask for a second one.
	dst := []byte(`{"NextToken":null,"SamplingRuleRecords":[`)
	for i := range rules {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRuleRecord(dst, &rules[i])
	}
	dst = append(dst, `]}`...)
	h.rules.Store(&rulesAnswer{&rules[0], dst})
	return c.reply(dst)
}

// integer returns a whole number, bounded so that it is one here, too.
func (v *value) integer() int {
	return int(max(-math.MaxInt32-1, min(v.number(), math.MaxInt32+1)))
}

// boostOf returns a SamplingRateBoost, nil when there is none.
func boostOf(v *value) *sampling.Boost {
	if v == nil {
		return nil
	}
	return &sampling.Boost{
		MaxRate:         v.get(samplingRateBoost, "MaxRate").number(),
		CooldownMinutes: v.get(samplingRateBoost, "CooldownWindowMinutes").integer(),
	}
}

func attributesOf(v *value) map[string]string {
	attributes := make(map[string]string, len(v.keys))
	for i, key := range v.keys {
		attributes[key] = v.list[i].text()
	}
	return attributes
}

func (h *Handler) createSamplingRule(c *call, in *value) error {
	sh := samplingRule
	v := in.get(createSamplingRuleInput, "SamplingRule")
	text := func(name string) string { return v.get(sh, name).text() }
	name, err := h.newRuleName(v.get(sh, "RuleName"), v.get(sh, "RuleARN"))
	if err != nil {
		return err
	}
	if v.get(sh, "Version").integer() != 1 {
		return apierr.New(apierr.InvalidRequest, "Sampling rule version must be 1")
	}
	n := control.NewRule{Rule: sampling.Rule{
		Name: name, Priority: v.get(sh, "Priority").integer(),
		FixedRate: v.get(sh, "FixedRate").number(), Reservoir: v.get(sh, "ReservoirSize").integer(),
		ServiceName: text("ServiceName"), ServiceType: text("ServiceType"), Host: text("Host"),
		HTTPMethod: text("HTTPMethod"), URLPath: text("URLPath"), ResourceARN: text("ResourceARN"),
		Boost: boostOf(v.get(sh, "SamplingRateBoost")),
	}}
	if attributes := v.get(sh, "Attributes"); attributes != nil {
		n.Rule.Attributes = attributesOf(attributes)
	}
	if err := n.Rule.CheckNumbers(); err != nil && name != sampling.DefaultName {
		return apierr.New(apierr.InvalidRequest, "Invalid sampling rule: %v", err)
	}
	if n.Tags, err = userTags(in.get(createSamplingRuleInput, "Tags")); err != nil {
		return err
	}
	n.Max = h.limits.Rules
	r, err := h.cfg.Control.CreateRule(c.ctx, n)
	if err != nil {
		return h.ruleError(err)
	}
	return c.replyRule(&r)
}

// newRuleName returns the name of a new rule, which may be given by the ARN that
// it is to have.
func (h *Handler) newRuleName(name, arn *value) (string, error) {
	switch {
	case name != nil && arn != nil:
		return "", errNameAndARN()
	case name != nil:
		return name.text(), nil
	case arn == nil:
		return "", errNoRuleName()
	}
	text, ok := h.cfg.Control.RuleName(arn.text())
	if !ok {
		return "", apierr.New(apierr.InvalidRequest, "Sampling rule ARN must be %s and a name", h.arn("sampling-rule/"))
	}
	if n := len([]rune(text)); n > 32 {
		return "", apierr.New(apierr.InvalidRequest, "Sampling rule name must have at most 32 characters, not %d", n)
	}
	return text, nil
}

func errNameAndARN() error {
	return apierr.New(apierr.InvalidRequest, "Request cannot contain both sampling rule name and sampling rule ARN")
}

func errNoRuleName() error {
	return apierr.New(apierr.InvalidRequest, "Request must contain either sampling rule name or sampling rule ARN")
}

// selectRule returns the name or the ARN that a call names its rule by; the other
// one is "".
func selectRule(name, arn *value) (string, string, error) {
	switch {
	case name != nil && arn != nil:
		return "", "", errNameAndARN()
	case name.text() == "" && arn.text() == "":
		return "", "", errNoRuleName()
	}
	return name.text(), arn.text(), nil
}

var errBadUpdate = errors.New("xrayapi: invalid update")

func (h *Handler) updateSamplingRule(c *call, in *value) error {
	sh := samplingRuleUpdate
	v := in.get(updateSamplingRuleInput, "SamplingRuleUpdate")
	name, arn, err := selectRule(v.get(sh, "RuleName"), v.get(sh, "RuleARN"))
	if err != nil {
		return err
	}
	boost := boostOf(v.get(sh, "SamplingRateBoost"))
	if boost != nil && boost.CooldownMinutes < 1 {
		return apierr.New(apierr.InvalidRequest, "Invalid sampling rule: the CooldownWindowMinutes of a boost are at least 1")
	}
	r, err := h.cfg.Control.UpdateRule(c.ctx, name, arn, func(r *sampling.Rule) error {
		for key, to := range map[string]*string{
			"ServiceName": &r.ServiceName, "ServiceType": &r.ServiceType, "Host": &r.Host,
			"HTTPMethod": &r.HTTPMethod, "URLPath": &r.URLPath, "ResourceARN": &r.ResourceARN,
		} {
			if text := v.get(sh, key); text != nil {
				*to = text.text()
			}
		}
		if n := v.get(sh, "Priority"); n != nil {
			r.Priority = n.integer()
		}
		if rate := v.get(sh, "FixedRate"); rate != nil {
			r.FixedRate = rate.number()
		}
		if n := v.get(sh, "ReservoirSize"); n != nil {
			r.Reservoir = n.integer()
		}
		if attributes := v.get(sh, "Attributes"); attributes != nil {
			r.Attributes = attributesOf(attributes)
			if len(r.Attributes) == 0 {
				r.Attributes = nil
			}
		}
		r.Boost = boost // what is left out is taken away
		switch err := r.CheckNumbers(); {
		case errors.Is(err, sampling.ErrDefault):
			return control.ErrDefault
		case err != nil:
			return errBadUpdate
		}
		return nil
	})
	switch {
	case errors.Is(err, errBadUpdate):
		return apierr.New(apierr.InvalidRequest, "Invalid update request for sampling rule")
	case errors.Is(err, control.ErrDefault):
		return apierr.New(apierr.InvalidRequest, "Only the FixedRate and the ReservoirSize of the Default sampling rule can be updated")
	case err != nil:
		return h.ruleError(err)
	}
	return c.replyRule(&r)
}

func (h *Handler) deleteSamplingRule(c *call, in *value) error {
	sh := deleteSamplingRuleInput
	name, arn, err := selectRule(in.get(sh, "RuleName"), in.get(sh, "RuleARN"))
	if err != nil {
		return err
	}
	r, err := h.cfg.Control.DeleteRule(c.ctx, name, arn)
	if errors.Is(err, control.ErrDefault) {
		return apierr.New(apierr.InvalidRequest, "Default sampling rule cannot be deleted")
	}
	if err != nil {
		return h.ruleError(err)
	}
	h.cfg.Sampler.Forget(r.Name)
	return c.replyRule(&r)
}

// ruleError turns an error of the control state into one for the caller.
func (h *Handler) ruleError(err error) error {
	switch {
	case errors.Is(err, control.ErrNotFound):
		return apierr.New(apierr.InvalidRequest, "Sampling rule does not exist")
	case errors.Is(err, control.ErrExists):
		return apierr.New(apierr.InvalidRequest, "Sampling rule already exists")
	case errors.Is(err, control.ErrTooMany):
		return apierr.New(apierr.RuleLimit, "The number of sampling rules has reached its limit of %d", h.limits.Rules)
	case errors.Is(err, control.ErrTooLarge):
		return apierr.New(apierr.RuleLimit, "There is no room for more sampling rules: the control state has reached its largest size")
	case errors.Is(err, control.ErrChanged):
		return apierr.Wrap(err, apierr.InternalFailure, "The file with the control state was changed behind the server's back; restart it to go on")
	}
	return err
}

func (h *Handler) getSamplingTargets(c *call, in *value) error {
	now := h.cfg.Now()
	rules, changed := h.cfg.Control.Rules()
	statistics := in.get(getSamplingTargetsInput, "SamplingStatisticsDocuments").list
	boosts := in.get(getSamplingTargetsInput, "SamplingBoostStatisticsDocuments")
	var refused []byte // of the boost statistics, which come first: the targets tell of the boost
	if boosts != nil {
		client := ""
		if len(statistics) > 0 { // a call is that of one client
			client = statistics[0].get(samplingStatistics, "ClientID").text()
		}
		for _, d := range boosts.list {
			name := d.get(samplingBoostStatistics, "RuleName").text()
			rule := control.FindRule(rules, name)
			if rule == nil {
				refused = appendUnknownRule(refused, name)
				continue
			}
			h.cfg.Sampler.Anomalies(now, &rule.Rule, sampling.Anomalies{
				Client:    client,
				Service:   d.get(samplingBoostStatistics, "ServiceName").text(),
				Anomalous: d.get(samplingBoostStatistics, "AnomalyCount").number() > 0,
			})
		}
	}
	var unprocessed []byte
	// The latest change, rounded up: a client that fetched the rules just before it,
	// in the same second, is to fetch them again. It is not 0, which some clients
	// take for absent, when the rules never changed.
	dst := []byte(`{"LastRuleModification":`)
	dst = appendDouble(dst, max(1, math.Ceil(float64(max(0, changed.UnixMilli()))/1e3)))
	dst = append(dst, `,"SamplingTargetDocuments":[`...)
	begin := len(dst)
	for _, d := range statistics {
		count := func(name string) int64 { return int64(d.get(samplingStatistics, name).integer()) }
		name := d.get(samplingStatistics, "RuleName").text()
		rule := control.FindRule(rules, name)
		if rule == nil {
			unprocessed = appendUnknownRule(unprocessed, name)
			continue
		}
		t := h.cfg.Sampler.Report(now, &rule.Rule, sampling.Report{
			Client: d.get(samplingStatistics, "ClientID").text(), Peer: c.r.RemoteAddr,
			Counts: sampling.Counts{Requests: count("RequestCount"), Sampled: count("SampledCount"), Borrowed: count("BorrowCount")},
		})
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = appendTarget(dst, name, &t)
	}
	dst = append(dst, ']')
	if boosts != nil {
		dst = append(dst, `,"UnprocessedBoostStatistics":[`...)
		dst = append(append(dst, refused...), ']')
	}
	dst = append(dst, `,"UnprocessedStatistics":[`...)
	return c.reply(append(append(dst, unprocessed...), `]}`...))
}

func appendTarget(dst []byte, rule string, t *sampling.Target) []byte {
	dst = append(dst, `{"FixedRate":`...)
	dst = appendDouble(dst, t.FixedRate)
	if t.Settled {
		dst = append(dst, `,"Interval":`...)
		dst = appendInt(dst, int(sampling.Interval/time.Second))
		dst = append(dst, `,"ReservoirQuota":`...)
		dst = appendInt(dst, t.Quota)
		dst = append(dst, `,"ReservoirQuotaTTL":`...)
		dst = appendDouble(dst, float64(t.TTL.Unix()))
	} else {
		dst = append(dst, `,"Interval":null,"ReservoirQuota":null,"ReservoirQuotaTTL":null`...)
	}
	dst = append(dst, `,"RuleName":`...)
	dst = segment.AppendString(dst, rule)
	if t.Boosted {
		dst = append(dst, `,"SamplingBoost":{"BoostRate":`...)
		dst = appendDouble(dst, t.BoostRate)
		dst = append(dst, `,"BoostRateTTL":`...)
		dst = append(appendDouble(dst, float64(t.BoostTTL.Unix())), '}')
	}
	return append(dst, '}')
}

func appendUnknownRule(dst []byte, rule string) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, `{"ErrorCode":"400","Message":"Unknown rule","RuleName":`...)
	return append(segment.AppendString(dst, rule), '}')
}

func (h *Handler) getSamplingStatisticSummaries(c *call, in *value) error {
	start, rule := int64(math.MinInt64), ""
	if token := in.get(getSamplingStatisticSummariesInput, "NextToken").text(); token != "" {
		var ok bool
		if start, rule, ok = readSummaryToken(token); !ok {
			return apierr.New(apierr.InvalidRequest, "Invalid token %s", shorten(token))
		}
	}
	list, more := h.cfg.Sampler.Summaries(h.cfg.Now(), start, rule, summariesPage)
	dst := []byte(`{"NextToken":`)
	if more {
		last := &list[len(list)-1]
		dst = segment.AppendString(dst, summaryToken(last.Start, last.Rule))
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"SamplingStatisticSummaries":[`...)
	for i := range list {
		s := &list[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		// The model's counts are integers of 32 bits.
		count := func(n int64) int { return int(min(n, math.MaxInt32)) }
		dst = append(dst, `{"BorrowCount":`...)
		dst = appendInt(dst, count(s.Borrowed))
		dst = append(dst, `,"RequestCount":`...)
		dst = appendInt(dst, count(s.Requests))
		dst = append(dst, `,"RuleName":`...)
		dst = segment.AppendString(dst, s.Rule)
		dst = append(dst, `,"SampledCount":`...)
		dst = appendInt(dst, count(s.Sampled))
		dst = append(dst, `,"Timestamp":`...)
		dst = append(appendDouble(dst, float64(s.Start)), '}')
	}
	return c.reply(append(dst, `]}`...))
}

// summaryToken is the token of the page after a window of a rule.
func summaryToken(start int64, rule string) string {
	return base64.RawURLEncoding.EncodeToString(append(strconv.AppendInt([]byte("s"), start, 10), "/"+rule...))
}

func readSummaryToken(token string) (start int64, rule string, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(text) == 0 || text[0] != 's' {
		return 0, "", false
	}
	number, rule, ok := strings.Cut(string(text[1:]), "/")
	start, err = strconv.ParseInt(number, 10, 64)
	return start, rule, ok && err == nil
}
