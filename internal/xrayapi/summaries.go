package xrayapi

import (
	"errors"
	"math"
	"strings"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var samplingStrategy = &shape{kind: kStruct, members: []member{
	{name: "Name", shape: &shape{kind: kString, enum: []string{"FixedRate", "PartialScan"}}},
	{name: "Value", shape: doubleShape},
}}

var getTraceSummariesInput = &shape{kind: kStruct, members: []member{
	{name: "StartTime", required: true, shape: timeShape},
	{name: "EndTime", required: true, shape: timeShape},
	{name: "TimeRangeType", shape: &shape{kind: kString, enum: []string{"TraceId", "Service", "Event"}}},
	{name: "Sampling", shape: boolShape},
	{name: "SamplingStrategy", shape: samplingStrategy},
	{name: "FilterExpression", shape: stringShape},
	{name: "NextToken", shape: stringShape},
}}

// Clocks maps the values of TimeRangeType to clocks.
var Clocks = map[string]tracestore.Clock{
	"":        tracestore.ClockStart,
	"TraceId": tracestore.ClockStart,
	"Event":   tracestore.ClockChanged,
	"Service": tracestore.ClockEnd,
}

func (h *Handler) getTraceSummaries(c *call, in *value) error {
	sh := getTraceSummariesInput
	start, end := in.get(sh, "StartTime").number(), in.get(sh, "EndTime").number()
	if end < start {
		return apierr.New(apierr.InvalidRequest, "End time cannot be earlier than start time")
	}
	rangeType := in.get(sh, "TimeRangeType").text()
	ask := query.Question{Clock: Clocks[rangeType], Start: trace.Nanos(start), End: trace.Nanos(end)}

	strategy := in.get(sh, "SamplingStrategy")
	if s := in.get(sh, "Sampling"); s != nil && s.b && strategy.get(samplingStrategy, "Name").text() == "FixedRate" {
		rate := strategy.get(samplingStrategy, "Value")
		if rate == nil || !(rate.f >= 0 && rate.f <= 1) {
			return apierr.New(apierr.InvalidRequest, "sampling rate must be specified and its value must be between [0, 1]")
		}
		if ask.Clock != tracestore.ClockChanged {
			if rangeType == "" {
				rangeType = "TraceId"
			}
			return apierr.New(apierr.InvalidRequest,
				"Cannot use FixedRate with input time range type: %s. Please try using time range type: Event", rangeType)
		}
		ask.Rate, ask.HasRate = rate.f, true
	}
	if text := in.get(sh, "FilterExpression").text(); strings.TrimSpace(text) != "" {
		f, err := h.cfg.Query.Filter(text)
		if err != nil {
			return FilterError(err)
		}
		ask.Filter = f
	}
	if v := in.get(sh, "NextToken"); v != nil {
		if v.s == "" { // no token of ours, and not the first page either
			return invalidToken(v.s)
		}
		ask.Token = v.s
	}
	page, err := h.cfg.Query.Summaries(c.ctx, ask)
	if errors.Is(err, query.ErrToken) {
		return invalidToken(ask.Token)
	}
	if err != nil {
		return err
	}
	return c.reply(AppendSummaries(nil, page, ask.Clock, start, NotOwn))
}

func invalidToken(token string) error {
	return apierr.New(apierr.InvalidRequest, "Invalid token %s", shorten(token))
}

// OwnKeys says which keys a summary has that the X-Ray API does not know.
type OwnKeys uint8

const (
	NotOwn       OwnKeys = iota // none
	Own                         // InProgress and OrphanOnly
	OwnWithShape                // and Shape: the trace as a small picture shows it
)

// AppendSummaries appends a page as GetTraceSummaries answers it; start is the
// window's, in epoch seconds.
func AppendSummaries(dst []byte, page *query.Page, clock tracestore.Clock, start float64, own OwnKeys) []byte {
	approximate := math.Floor(start)
	if clock == tracestore.ClockEnd {
		approximate -= 60
	}
	dst = append(dst, `{"ApproximateTime":`...)
	dst = appendDouble(dst, approximate)
	dst = append(dst, `,"NextToken":`...)
	dst = appendStringOrNull(dst, page.Next)
	dst = append(dst, `,"TraceSummaries":[`...)
	for i, row := range page.Rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		var by filterexpr.Matched
		if page.Matched != nil {
			by = page.Matched[i]
		}
		dst = appendSummary(dst, row, by, clock != tracestore.ClockStart, own)
	}
	dst = append(dst, `],"TracesProcessedCount":`...)
	return append(appendInt(dst, page.Examined), '}')
}

// AppendSummary appends the summary of one trace, as AppendSummaries does.
func AppendSummary(dst []byte, r *trace.Row, own OwnKeys) []byte {
	return appendSummary(dst, r, filterexpr.Matched{}, true, own)
}

// appendSummary appends one TraceSummary.
func appendSummary(dst []byte, r *trace.Row, by filterexpr.Matched, matched bool, own OwnKeys) []byte {
	dst = append(dst, `{"Annotations":`...)
	dst = appendAnnotations(dst, r.Annotations)
	dst = append(dst, `,"AvailabilityZones":`...)
	dst = appendObjects(dst, "Name", r.Zones)
	dst = append(dst, `,"Duration":`...)
	dst = appendDoubleOrNull(dst, r.Duration, r.HasDuration)
	dst = append(dst, `,"EntryPoint":`...)
	if r.HasRoot {
		dst = appendServiceID(dst, r.Root)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"ErrorRootCauses":`...)
	dst = appendCauses(dst, r.ErrorCauses, false)
	dst = append(dst, `,"FaultRootCauses":`...)
	dst = appendCauses(dst, r.FaultCauses, false)
	dst = append(dst, `,"HasError":`...)
	dst = appendBool(dst, r.HasError)
	dst = append(dst, `,"HasFault":`...)
	dst = appendBool(dst, r.HasFault)
	dst = append(dst, `,"HasThrottle":`...)
	dst = appendBool(dst, r.HasThrottle)
	dst = append(dst, `,"Http":{"ClientIp":`...)
	dst = appendStringOrNull(dst, r.ClientIP)
	dst = append(dst, `,"HttpMethod":`...)
	dst = appendStringOrNull(dst, r.Method)
	dst = append(dst, `,"HttpStatus":`...)
	if r.Status != 0 {
		dst = appendInt(dst, r.Status)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"HttpURL":`...)
	dst = appendStringOrNull(dst, r.URL)
	dst = append(dst, `,"UserAgent":`...)
	dst = appendStringOrNull(dst, r.UserAgent)
	dst = append(dst, `},"Id":"`...)
	dst = append(dst, r.ID.String()...)
	if own != NotOwn {
		dst = append(dst, `","InProgress":`...)
		dst = appendBool(dst, r.InProgress)
		dst = append(dst, `,"InstanceIds":`...)
	} else {
		dst = append(dst, `","InstanceIds":`...)
	}
	dst = appendObjects(dst, "Id", r.InstanceIDs)
	dst = append(dst, `,"IsPartial":`...)
	dst = appendBool(dst, r.Partial)
	dst = append(dst, `,"MatchedEdge":`...)
	dst = appendMatchedEdge(dst, r, by)
	dst = append(dst, `,"MatchedEventTime":`...)
	dst = appendDoubleOrNull(dst, math.Floor(float64(r.Changed)/1e3), matched)
	dst = append(dst, `,"MatchedService":`...)
	dst = appendMatchedService(dst, r, by)
	if own != NotOwn {
		dst = append(dst, `,"OrphanOnly":`...)
		dst = appendBool(dst, r.OrphanOnly)
	}
	dst = append(dst, `,"ResourceARNs":`...)
	dst = appendObjects(dst, "ARN", r.ResourceARNs)
	dst = append(dst, `,"ResponseTime":`...)
	dst = appendDoubleOrNull(dst, r.ResponseTime, r.HasResponseTime)
	dst = append(dst, `,"ResponseTimeRootCauses":`...)
	dst = appendCauses(dst, r.ResponseTimeCauses, true)
	dst = append(dst, `,"Revision":`...)
	dst = appendInt(dst, r.Revision)
	dst = append(dst, `,"ServiceIds":[`...)
	for i, s := range r.Services {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendServiceID(dst, s)
	}
	dst = append(dst, ']')
	if own == OwnWithShape {
		dst = append(dst, `,"Shape":`...)
		dst = appendShape(dst, r)
	}
	dst = append(dst, `,"StartTime":`...)
	dst = appendDouble(dst, float64(r.Start)/1e9)
	dst = append(dst, `,"Users":[`...)
	for i, u := range r.Users {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"ServiceIds":null,"UserName":`...)
		dst = append(segment.AppendString(dst, u), '}')
	}
	return append(dst, "]}"...)
}

func appendAnnotation(dst []byte, a trace.Annotation) []byte {
	dst = append(dst, `{"AnnotationValue":{"BooleanValue":`...)
	if a.Type == segment.TypeBool {
		dst = appendBool(dst, a.Bool)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"NumberValue":`...)
	dst = appendDoubleOrNull(dst, a.Number, a.Type == segment.TypeNumber)
	dst = append(dst, `,"StringValue":`...)
	if a.Type == segment.TypeString {
		dst = segment.AppendString(dst, a.String)
	} else {
		dst = append(dst, "null"...)
	}
	return append(dst, `},"ServiceIds":null}`...)
}

// appendCauses appends root causes: of response times with the coverage of
// entities, else with their exceptions. The type of a service is never null,
// which Grafana relies on.
func appendCauses(dst []byte, causes []trace.RootCause, times bool) []byte {
	dst = append(dst, '[')
	for i, c := range causes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"ClientImpacting":`...)
		dst = appendBool(dst, c.ClientImpacting)
		dst = append(dst, `,"Services":[`...)
		for j, s := range c.Services {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, `{"AccountId":`...)
			dst = appendStringOrNull(dst, s.Service.AccountID)
			dst = append(dst, `,"EntityPath":[`...)
			for k, e := range s.Entities {
				if k > 0 {
					dst = append(dst, ',')
				}
				dst = appendCauseEntity(dst, e, times)
			}
			dst = append(dst, `],"Inferred":`...)
			dst = appendBool(dst, s.Inferred)
			dst = append(dst, `,"Name":`...)
			dst = segment.AppendString(dst, s.Service.Name)
			dst = append(dst, `,"Names":[`...)
			dst = segment.AppendString(dst, s.Service.Name)
			dst = append(dst, `],"Type":`...)
			dst = append(segment.AppendString(dst, s.Service.Type), '}')
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, ']')
}

func appendCauseEntity(dst []byte, e trace.RootCauseEntity, times bool) []byte {
	if times {
		dst = appendDouble(append(dst, `{"Coverage":`...), e.Coverage)
	} else {
		dst = append(dst, `{"Exceptions":[`...)
		for i, x := range e.Exceptions {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = segment.AppendString(append(dst, `{"Message":`...), x.Message)
			dst = segment.AppendString(append(dst, `,"Name":`...), x.Name)
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	dst = segment.AppendString(append(dst, `,"Name":`...), e.Name)
	dst = appendBool(append(dst, `,"Remote":`...), e.Remote)
	return append(dst, '}')
}

// appendObjects appends a list of objects with one string each.
func appendObjects(dst []byte, key string, values []string) []byte {
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, `{"`...), key...), `":`...)
		dst = append(segment.AppendString(dst, v), '}')
	}
	return append(dst, ']')
}

func appendServiceID(dst []byte, s trace.ServiceID) []byte {
	dst = append(dst, `{"AccountId":`...)
	dst = appendStringOrNull(dst, s.AccountID)
	dst = append(dst, `,"Name":`...)
	dst = segment.AppendString(dst, s.Name)
	dst = append(dst, `,"Names":[`...)
	dst = segment.AppendString(dst, s.Name)
	dst = append(dst, `],"Type":`...)
	return append(appendStringOrNull(dst, s.Type), '}')
}

func appendDoubleOrNull(dst []byte, f float64, has bool) []byte {
	if !has || math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return appendDouble(dst, f)
}
