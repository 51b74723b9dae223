package xrayapi

import (
	"math"
	"strconv"

	"github.com/roentgen-io/roentgen/internal/servicegraph"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// GroupFinder finds a group by its name, its ARN or both; the other is "". It
// is not asked for the Default group. current is the version of the group's
// expression that is in force, older are those before it.
type GroupFinder func(name, arn string) (current tracestore.GroupRef, older []tracestore.GroupRef, found bool)

var getTraceGraphInput = &shape{kind: kStruct, members: []member{
	{name: "TraceIds", required: true, shape: list(lengths(1, 35))},
	{name: "NextToken", shape: stringShape},
}}

func (h *Handler) getTraceGraph(c *call, in *value) error {
	sh := getTraceGraphInput
	list := in.get(sh, "TraceIds")
	switch {
	case list.n == 0:
		return apierr.New(apierr.InvalidRequest, "Zero trace ids provided")
	case list.n > 1 && h.limits.GraphTraceIDs == 1:
		return apierr.New(apierr.InvalidRequest, "Currently only one trace Id is supported")
	case list.n > h.limits.GraphTraceIDs:
		return apierr.New(apierr.InvalidRequest, "Exceeding maximum query size: %d", h.limits.GraphTraceIDs)
	case in.get(sh, "NextToken") != nil:
		return apierr.New(apierr.InvalidRequest, "NextToken is currently not supported")
	}
	ids := make([]segment.TraceID, 0, len(list.list))
	seen := make(map[segment.TraceID]bool, len(list.list))
	for _, v := range list.list {
		id, err := segment.ParseAnyTraceID(v.s)
		if err != nil {
			return apierr.New(apierr.InvalidRequest, "Invalid traceId. ErrorCode: InvalidId")
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	var g servicegraph.TraceGraph
	found := false
	for _, id := range ids {
		t, err := h.cfg.Query.Trace(c.ctx, id)
		if err != nil {
			return err
		}
		if t != nil {
			found = true
			g.Add(t)
		}
	}
	if !found {
		return apierr.New(apierr.InvalidRequest, "Trace id not found")
	}
	return c.reply(AppendTraceGraph(nil, g.Graph()))
}

// AppendTraceGraph appends the answer of GetTraceGraph.
func AppendTraceGraph(dst []byte, g *servicegraph.Graph) []byte {
	dst = append(dst, `{"NextToken":null,"Services":`...)
	return append(appendServices(dst, g), '}')
}

var getServiceGraphInput = &shape{kind: kStruct, members: []member{
	{name: "StartTime", required: true, shape: timeShape},
	{name: "EndTime", required: true, shape: timeShape},
	{name: "GroupName", shape: lengths(1, 32)},
	{name: "GroupARN", shape: lengths(1, 400)},
	{name: "NextToken", shape: stringShape},
}}

func (h *Handler) getServiceGraph(c *call, in *value) error {
	sh := getServiceGraphInput
	start, end, err := h.graphWindow(in.get(sh, "StartTime").number(), in.get(sh, "EndTime").number())
	if err != nil {
		return err
	}
	if in.get(sh, "NextToken") != nil {
		return apierr.New(apierr.InvalidRequest, "NextToken is currently not supported")
	}
	current, older, found := h.group(in.get(sh, "GroupName").text(), in.get(sh, "GroupARN").text())
	if !found {
		return apierr.New(apierr.InvalidRequest, "Group not found.") // with a full stop here
	}
	cells, cut, err := h.cfg.Graph.Graph(c.ctx, []tracestore.GroupRef{current}, start, end, h.limits.GraphNodes)
	if err != nil {
		return err
	}
	old := false
	if len(older) > 0 {
		before, cutToo, err := h.cfg.Graph.Graph(c.ctx, older, start, end, h.limits.GraphNodes)
		if err != nil {
			return err
		}
		before.DropZero()
		old = len(before) > 0
		if cells == nil {
			cells = make(servicegraph.Cells, len(before))
		}
		cells.Merge(before)
		cut = cells.Cut(h.limits.GraphNodes) || cut || cutToo
	}
	if cut {
		c.w.Header().Set(HeaderGraphCut, strconv.Itoa(h.limits.GraphNodes))
	}
	return c.reply(AppendServiceGraph(nil, cells.Graph(), old))
}

// HeaderGraphCut is in the answer of GetServiceGraph when the graph has more nodes, or
// edges, than are given; its value is how many nodes are given at most.
const HeaderGraphCut = "X-Roentgen-Graph-Cut"

// graphWindow judges a window of the graph or of statistics, and cuts its
// bounds to whole seconds.
func (h *Handler) graphWindow(start, end float64) (int64, int64, error) {
	switch {
	case h.cfg.Graph == nil:
		return 0, 0, apierr.New(apierr.NotImplemented, "This server keeps no service graph")
	case end < start:
		return 0, 0, apierr.New(apierr.InvalidRequest, "End time cannot be earlier than start time")
	case h.limits.GraphWindow > 0 && end-start > h.limits.GraphWindow.Seconds():
		return 0, 0, apierr.New(apierr.InvalidRequest, "Time range cannot be longer than %s", windowText(h.limits.GraphWindow))
	}
	return wholeSeconds(start), wholeSeconds(end), nil
}

// wholeSeconds cuts a time to whole seconds, and to where computing with them
// in smaller units is safe.
func wholeSeconds(f float64) int64 {
	const most = 1 << 33 // the year 2242; in nanoseconds it fits an int64
	return int64(math.Floor(min(max(f, -most), most)))
}

// group finds the group that a request names; without any name that is Default.
func (h *Handler) group(name, arn string) (current tracestore.GroupRef, older []tracestore.GroupRef, found bool) {
	if (name == "" || name == "Default") && (arn == "" || arn == h.arn("group/Default")) {
		return tracestore.GroupRef{}, nil, true
	}
	if h.cfg.Group == nil {
		return tracestore.GroupRef{}, nil, false
	}
	return h.cfg.Group(name, arn)
}

// AppendServiceGraph appends the answer of GetServiceGraph; old says that some
// of it was filed under an older expression of the group.
func AppendServiceGraph(dst []byte, g *servicegraph.Graph, old bool) []byte {
	dst = append(dst, `{"ContainsOldGroupVersions":`...)
	dst = appendBool(dst, old)
	dst = append(dst, `,"EndTime":`...)
	dst = appendDoubleOrNull(dst, float64(g.End), g.HasTimes)
	dst = append(dst, `,"NextToken":null,"Services":`...)
	dst = appendServices(dst, g)
	dst = append(dst, `,"StartTime":`...)
	dst = appendDoubleOrNull(dst, float64(g.Start), g.HasTimes)
	return append(dst, '}')
}

// appendServices appends the nodes of a graph. Graphs of traces have no times,
// and null where the others have empty objects.
func appendServices(dst []byte, g *servicegraph.Graph) []byte {
	dst = append(dst, '[')
	for i := range g.Services {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendService(dst, g, i)
	}
	return append(dst, ']')
}

// appendService appends a node of a graph.
func appendService(dst []byte, g *servicegraph.Graph, i int) []byte {
	s := &g.Services[i]
	dst = append(dst, `{"AccountId":`...)
	dst = appendStringOrNull(dst, s.AccountID)
	dst = append(dst, `,"DurationHistogram":`...)
	dst = appendHistogram(dst, s.Duration)
	dst = append(dst, `,"Edges":[`...)
	for j := range s.Edges {
		if j > 0 {
			dst = append(dst, ',')
		}
		dst = appendEdge(dst, &s.Edges[j], s, g.HasTimes)
	}
	dst = append(dst, `],"EndTime":`...)
	dst = appendDoubleOrNull(dst, float64(s.End), g.HasTimes)
	if g.HasTimes {
		dst = append(dst, `,"HostedIn":{},"KeyAttributes":{},"Name":`...)
	} else {
		dst = append(dst, `,"HostedIn":null,"KeyAttributes":null,"Name":`...)
	}
	dst = segment.AppendString(dst, s.Name)
	dst = append(dst, `,"Names":[`...)
	dst = segment.AppendString(dst, s.Name)
	dst = append(dst, `],"ReferenceId":`...)
	dst = appendInt(dst, i)
	dst = append(dst, `,"Region":`...)
	dst = appendStringOrNull(dst, s.Region)
	dst = append(dst, `,"ResponseTimeHistogram":`...)
	dst = appendHistogram(dst, s.ResponseTime)
	if s.Root {
		dst = append(dst, `,"Root":true,"StartTime":`...)
	} else {
		dst = append(dst, `,"Root":null,"StartTime":`...)
	}
	dst = appendDoubleOrNull(dst, float64(s.Start), g.HasTimes)
	dst = append(dst, `,"State":"`...)
	dst = append(dst, s.Kind.State()...)
	dst = append(dst, `","SummaryStatistics":`...)
	dst = appendStatistics(dst, s.Statistics)
	dst = append(dst, `,"Type":`...)
	return append(appendStringOrNull(dst, s.Type), '}')
}

func appendEdge(dst []byte, e *servicegraph.Edge, from *servicegraph.Service, timed bool) []byte {
	dst = append(dst, `{"Aliases":[`...)
	for i, a := range e.Aliases {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"Name":`...)
		dst = segment.AppendString(dst, a.Name)
		dst = append(dst, `,"Names":[`...)
		dst = segment.AppendString(dst, a.Name)
		dst = append(dst, `],"Type":`...)
		dst = append(appendStringOrNull(dst, a.Type), '}')
	}
	dst = append(dst, `],"EndTime":`...)
	dst = appendDoubleOrNull(dst, float64(from.End), timed)
	dst = append(dst, `,"ReferenceId":`...)
	dst = appendInt(dst, e.To)
	dst = append(dst, `,"ResponseTimeHistogram":`...)
	dst = appendHistogram(dst, e.ResponseTime)
	dst = append(dst, `,"StartTime":`...)
	dst = appendDoubleOrNull(dst, float64(from.Start), timed)
	dst = append(dst, `,"SummaryStatistics":`...)
	return append(appendStatistics(dst, &e.Statistics), '}')
}

// appendStatistics appends ServiceStatistics or EdgeStatistics, which are alike.
func appendStatistics(dst []byte, s *servicegraph.Statistics) []byte {
	if s == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"ErrorStatistics":{"OtherCount":`...)
	dst = appendCount(dst, s.Error)
	dst = append(dst, `,"ThrottleCount":`...)
	dst = appendCount(dst, s.Throttle)
	dst = append(dst, `,"TotalCount":`...)
	dst = appendCount(dst, s.Error+s.Throttle)
	dst = append(dst, `},"FaultStatistics":{"OtherCount":`...)
	dst = appendCount(dst, s.Fault)
	dst = append(dst, `,"TotalCount":`...)
	dst = appendCount(dst, s.Fault)
	dst = append(dst, `},"OkCount":`...)
	dst = appendCount(dst, s.OK)
	dst = append(dst, `,"TotalCount":`...)
	dst = appendCount(dst, s.Total())
	dst = append(dst, `,"TotalResponseTime":`...)
	return append(appendDouble(dst, s.Seconds), '}')
}

func appendCount(dst []byte, n int64) []byte { return appendInt(dst, int(n)) }

// appendHistogram appends a histogram, or null for nil.
func appendHistogram(dst []byte, h []servicegraph.HistogramEntry) []byte {
	if h == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, e := range h {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"Count":`...)
		dst = appendCount(dst, e.Count)
		dst = append(dst, `,"Value":`...)
		dst = append(appendDouble(dst, e.Value), '}')
	}
	return append(dst, ']')
}
