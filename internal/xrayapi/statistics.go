package xrayapi

import (
	"errors"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

var getTimeSeriesServiceStatisticsInput = &shape{kind: kStruct, members: []member{
	{name: "StartTime", required: true, shape: timeShape},
	{name: "EndTime", required: true, shape: timeShape},
	{name: "GroupName", shape: lengths(1, 32)},
	{name: "GroupARN", shape: lengths(1, 400)},
	{name: "EntitySelectorExpression", shape: lengths(1, 500)},
	{name: "Period", shape: intShape},
	{name: "ForecastStatistics", shape: boolShape},
	{name: "NextToken", shape: stringShape},
}}

func (h *Handler) getTimeSeriesServiceStatistics(c *call, in *value) error {
	sh := getTimeSeriesServiceStatisticsInput
	start, end, err := h.graphWindow(in.get(sh, "StartTime").number(), in.get(sh, "EndTime").number())
	if err != nil {
		return err
	}
	period := int64(60)
	if v := in.get(sh, "Period"); v != nil {
		if v.f != 60 && v.f != 300 {
			return apierr.New(apierr.InvalidRequest, "Time period must be one of [60, 300]")
		}
		period = int64(v.f)
	}
	if v := in.get(sh, "NextToken"); v != nil {
		return invalidToken(v.s)
	}
	var sel servicegraph.Selection
	selector := in.get(sh, "EntitySelectorExpression")
	if selector != nil {
		if sel, err = h.selection(selector.s); err != nil {
			return err
		}
	}
	current, older, found := h.group(in.get(sh, "GroupName").text(), in.get(sh, "GroupARN").text())
	if !found {
		return apierr.New(apierr.InvalidRequest, "Group not found")
	}
	of := append([]tracestore.GroupRef{current}, older...)

	a := answer{c: c, buf: append(make([]byte, 0, 16<<10), `"ContainsOldGroupVersions":`...)}
	// The service says so of every group but Default when there is a selector,
	// and never otherwise, whatever the truth is.
	a.buf = appendBool(a.buf, selector != nil && current != tracestore.GroupRef{})
	a.buf = append(a.buf, `,"NextToken":null,"TimeSeriesServiceStatistics":[`...)
	first, sent := true, error(nil)
	series := servicegraph.NewSeries(sel, period, func(p servicegraph.Point) bool {
		if !first {
			a.buf = append(a.buf, ',')
		}
		first = false
		a.buf = appendPoint(a.buf, &p, sel.OfEdges())
		if len(a.buf) >= answerBuffer {
			sent = a.flush()
		}
		return sent == nil
	})
	if err := h.cfg.Graph.Minutes(c.ctx, of, start, end, series.Add); err != nil && sent == nil {
		return err
	}
	if sent == nil {
		series.Finish()
	}
	if sent != nil {
		return sent
	}
	a.buf = append(a.buf, "]}"...)
	if !c.started {
		return c.reply(append([]byte{'{'}, a.buf...))
	}
	return a.flush()
}

// selection reads an EntitySelectorExpression.
func (h *Handler) selection(text string) (servicegraph.Selection, error) {
	if h.cfg.Selector == nil {
		return servicegraph.Selection{}, apierr.New(apierr.NotImplemented,
			"This server reads no EntitySelectorExpression; leave it out to get the statistics of the entry points")
	}
	sel, err := h.cfg.Selector(text)
	var api *apierr.Error
	if err != nil && !errors.As(err, &api) {
		err = apierr.New(apierr.InvalidRequest, "%v", err)
	}
	return sel, err
}

// appendPoint appends one period. Of a period in which nothing was selected
// only its time is told.
func appendPoint(dst []byte, p *servicegraph.Point, ofEdges bool) []byte {
	edges, services := p.Statistics, p.Statistics
	if ofEdges {
		services = nil
	} else {
		edges = nil
	}
	dst = append(dst, `{"EdgeSummaryStatistics":`...)
	dst = appendStatistics(dst, edges)
	dst = append(dst, `,"ResponseTimeHistogram":`...)
	dst = appendHistogram(dst, p.ResponseTime)
	dst = append(dst, `,"ServiceForecastStatistics":{},"ServiceSummaryStatistics":`...)
	dst = appendStatistics(dst, services)
	dst = append(dst, `,"Timestamp":`...)
	return append(appendDouble(dst, float64(p.Timestamp)), '}')
}
