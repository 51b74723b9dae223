package xrayapi

import (
	"github.com/roentgen-io/roentgen/internal/reports"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

var telemetryRecord = &shape{kind: kStruct, members: []member{
	{name: "Timestamp", required: true, shape: timeShape},
	{name: "SegmentsReceivedCount", shape: intShape},
	{name: "SegmentsSentCount", shape: intShape},
	{name: "SegmentsSpilloverCount", shape: intShape},
	{name: "SegmentsRejectedCount", shape: intShape},
	{name: "BackendConnectionErrors", shape: connectionErrors},
}}

var connectionErrors = &shape{kind: kStruct, members: []member{
	{name: "TimeoutCount", shape: intShape},
	{name: "ConnectionRefusedCount", shape: intShape},
	{name: "HTTPCode4XXCount", shape: intShape},
	{name: "HTTPCode5XXCount", shape: intShape},
	{name: "UnknownHostCount", shape: intShape},
	{name: "OtherCount", shape: intShape},
}}

// The order of the members is that in which the service tells violations.
var putTelemetryRecordsInput = &shape{kind: kStruct, members: []member{
	{name: "TelemetryRecords", required: true, shape: list(telemetryRecord)},
	{name: "Hostname", shape: lengths(0, 255)},
	{name: "EC2InstanceId", shape: lengths(0, 20)},
	{name: "ResourceARN", shape: lengths(0, 500)},
}}

func (h *Handler) putTelemetryRecords(c *call, in *value) error {
	sh := putTelemetryRecordsInput
	list := in.get(sh, "TelemetryRecords")
	if list.n == 0 {
		return apierr.New(apierr.InvalidRequest, "Telemetry records cannot be empty")
	}
	records := make([]reports.Record, 0, len(list.list))
	for _, v := range list.list {
		number := func(name string) int64 { return count(v.get(telemetryRecord, name)) }
		failures := v.get(telemetryRecord, "BackendConnectionErrors")
		failure := func(name string) int64 { return count(failures.get(connectionErrors, name)) }
		records = append(records, reports.Record{
			Timestamp: v.get(telemetryRecord, "Timestamp").number(),
			Counts: reports.Counts{
				Received:           number("SegmentsReceivedCount"),
				Sent:               number("SegmentsSentCount"),
				Spillover:          number("SegmentsSpilloverCount"),
				Rejected:           number("SegmentsRejectedCount"),
				Timeouts:           failure("TimeoutCount"),
				ConnectionsRefused: failure("ConnectionRefusedCount"),
				HTTP4XX:            failure("HTTPCode4XXCount"),
				HTTP5XX:            failure("HTTPCode5XXCount"),
				UnknownHosts:       failure("UnknownHostCount"),
				OtherErrors:        failure("OtherCount"),
			},
		})
	}
	h.cfg.Reports.Add(reports.ID{
		Hostname:      in.get(sh, "Hostname").text(),
		EC2InstanceID: in.get(sh, "EC2InstanceId").text(),
		ResourceARN:   in.get(sh, "ResourceARN").text(),
		Host:          c.r.RemoteAddr,
	}, records)
	return c.reply([]byte("{}"))
}

// count returns a number that a daemon counted, within what an int64 holds.
func count(v *value) int64 {
	const most = 1 << 53
	return int64(min(max(v.number(), -most), most))
}
