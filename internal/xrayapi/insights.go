package xrayapi

import (
	"time"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

var insightID = &shape{kind: kString, pattern: patternOf(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-5][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}`)}

var getInsightInput = &shape{kind: kStruct, members: []member{
	{name: "InsightId", required: true, shape: insightID},
}}

var getInsightEventsInput = &shape{kind: kStruct, members: []member{
	{name: "InsightId", required: true, shape: insightID},
	{name: "MaxResults", shape: between(1, 50)},
	{name: "NextToken", shape: lengths(1, 2000)},
}}

var getInsightImpactGraphInput = &shape{kind: kStruct, members: []member{
	{name: "InsightId", required: true, shape: insightID},
	{name: "StartTime", required: true, shape: timeShape},
	{name: "EndTime", required: true, shape: timeShape},
	{name: "NextToken", shape: lengths(1, 2000)},
}}

var getInsightSummariesInput = &shape{kind: kStruct, members: []member{
	{name: "States", shape: &shape{kind: kList, hasMax: true, max: 1, elem: &shape{kind: kString, enum: []string{"ACTIVE", "CLOSED"}}}},
	{name: "GroupARN", shape: lengths(1, 400)},
	{name: "GroupName", shape: lengths(1, 32)},
	{name: "StartTime", required: true, shape: timeShape},
	{name: "EndTime", required: true, shape: timeShape},
	{name: "MaxResults", shape: between(1, 100)},
	{name: "NextToken", shape: lengths(1, 2000)},
}}

// AWS keeps insights for so long, and shows the graph of so much at a time.
const (
	awsInsightAge    = 30 * 24 * time.Hour
	awsInsightWindow = 6 * time.Hour
)

// Nothing is detected: every group has an empty list of insights, and no id
// is one.
func (h *Handler) getInsightSummaries(c *call, in *value) error {
	sh := getInsightSummariesInput
	name, arn, err := selectGroup(in, sh)
	if err != nil {
		return err
	}
	if err := h.insightWindow(in.get(sh, "StartTime").number(), in.get(sh, "EndTime").number()); err != nil {
		return err
	}
	if token := in.get(sh, "NextToken"); token != nil {
		return invalidToken(token.s)
	}
	if _, err := h.cfg.Control.Group(name, arn); err != nil {
		return groupError(err, name)
	}
	return c.reply([]byte(`{"InsightSummaries":[],"NextToken":null}`))
}

func (h *Handler) getInsight(_ *call, _ *value) error { return errNoInsight() }

func (h *Handler) getInsightEvents(_ *call, _ *value) error { return errNoInsight() }

func (h *Handler) getInsightImpactGraph(_ *call, in *value) error {
	sh := getInsightImpactGraphInput
	start, end := in.get(sh, "StartTime").number(), in.get(sh, "EndTime").number()
	if err := h.insightWindow(start, end); err != nil {
		return err
	}
	if h.cfg.AWSLimits && end-start > awsInsightWindow.Seconds() {
		return apierr.New(apierr.InvalidRequest, "Time range cannot be longer than 6 hours")
	}
	return errNoInsight()
}

// insightWindow judges the window of a question about insights.
func (h *Handler) insightWindow(start, end float64) error {
	if end < start {
		return apierr.New(apierr.InvalidRequest, "End time cannot be earlier than start time")
	}
	oldest := float64(h.cfg.Now().Add(-awsInsightAge).UnixMilli()) / 1e3
	if h.cfg.AWSLimits && (start < oldest || end < oldest) {
		return apierr.New(apierr.InvalidRequest, "Start time and end time cannot be more than 30 days ago")
	}
	return nil
}

func errNoInsight() error { return apierr.New(apierr.InvalidRequest, "Insight not found") }
