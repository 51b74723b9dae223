package xrayapi

import (
	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var getIndexingRulesInput = &shape{kind: kStruct, members: []member{
	{name: "NextToken", shape: stringShape},
}}

var probabilisticRule = &shape{kind: kStruct, members: []member{
	{name: "DesiredSamplingPercentage", required: true, shape: doubleShape},
}}

// indexingRuleUpdate is a union: one of its members is to be there.
var indexingRuleUpdate = &shape{kind: kStruct, members: []member{
	{name: "Probabilistic", shape: probabilisticRule},
}}

var updateIndexingRuleInput = &shape{kind: kStruct, members: []member{
	{name: "Name", required: true, shape: stringShape},
	{name: "Rule", required: true, shape: indexingRuleUpdate},
}}

func (h *Handler) getIndexingRules(c *call, in *value) error {
	if token := in.get(getIndexingRulesInput, "NextToken"); token != nil {
		return invalidToken(token.s)
	}
	dst := appendIndexingRule([]byte(`{"IndexingRules":[`), h.cfg.Control.Indexing())
	return c.reply(append(dst, `],"NextToken":null}`...))
}

func (h *Handler) updateIndexingRule(c *call, in *value) error {
	sh := updateIndexingRuleInput
	if name := in.get(sh, "Name").text(); name != control.DefaultIndexingRule {
		return notFound(name, "Indexing rule %s not found", shorten(name))
	}
	rule := in.get(sh, "Rule").get(indexingRuleUpdate, "Probabilistic")
	if rule == nil {
		return apierr.New(apierr.InvalidRequest, "Rule must have exactly one member: Probabilistic")
	}
	percentage := rule.get(probabilisticRule, "DesiredSamplingPercentage").number()
	if !(percentage >= 0 && percentage <= 100) {
		return apierr.New(apierr.InvalidRequest, "Desired sampling percentage must be between 0 and 100")
	}
	x, err := h.cfg.Control.SetIndexing(c.ctx, percentage)
	if err != nil {
		return controlError(err)
	}
	return c.reply(append(appendIndexingRule([]byte(`{"IndexingRule":`), x), '}'))
}

// appendIndexingRule appends the rule. Here every trace is indexed, whatever it
// asks for, and so the actual percentage is always 100.
func appendIndexingRule(dst []byte, x control.Indexing) []byte {
	dst = append(dst, `{"ModifiedAt":`...)
	dst = appendDouble(dst, float64(x.Changed/1000))
	dst = append(dst, `,"Name":`...)
	dst = segment.AppendString(dst, control.DefaultIndexingRule)
	dst = append(dst, `,"Rule":{"Probabilistic":{"ActualSamplingPercentage":100.0,"DesiredSamplingPercentage":`...)
	return append(appendDouble(dst, x.Percentage), "}}}"...)
}

// notFound returns a ResourceNotFoundException that names the resource.
func notFound(resource, format string, args ...any) error {
	e := apierr.New(apierr.ResourceNotFound, format, args...)
	e.Resource = shorten(resource)
	return e
}
