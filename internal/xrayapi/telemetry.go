package xrayapi

import (
	"slices"
	"sync"

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

// keepTelemetry is how many records are kept for people to look at: an hour of
// one daemon, or a minute of sixty.
const keepTelemetry = 60

// TelemetryRecord is what an X-Ray daemon tells about itself every minute.
// Counts cover the time since its record before.
type TelemetryRecord struct {
	Hostname, EC2InstanceID, ResourceARN, Peer string

	Timestamp                           float64 // epoch seconds, on the daemon's clock
	Received, Sent, Spillover, Rejected float64 // segments
	Timeouts, ConnectionsRefused        float64
	HTTP4XX, HTTP5XX, UnknownHosts      float64
	OtherErrors                         float64
}

// telemetry holds the latest records.
type telemetry struct {
	mu struct {
		sync.Mutex
		records []TelemetryRecord // oldest first
	}
}

// Telemetry returns the latest records of daemons, newest first.
func (h *Handler) Telemetry() []TelemetryRecord {
	h.telemetry.mu.Lock()
	defer h.telemetry.mu.Unlock()
	records := slices.Clone(h.telemetry.mu.records)
	slices.Reverse(records)
	return records
}

func (h *Handler) putTelemetryRecords(c *call, in *value) error {
	sh := putTelemetryRecordsInput
	list := in.get(sh, "TelemetryRecords")
	if list.n == 0 {
		return apierr.New(apierr.InvalidRequest, "Telemetry records cannot be empty")
	}
	records := list.list
	if len(records) > keepTelemetry {
		records = records[len(records)-keepTelemetry:]
	}
	h.telemetry.mu.Lock()
	for _, v := range records {
		number := func(name string) float64 { return v.get(telemetryRecord, name).number() }
		failures := v.get(telemetryRecord, "BackendConnectionErrors")
		failure := func(name string) float64 { return failures.get(connectionErrors, name).number() }
		h.telemetry.mu.records = append(h.telemetry.mu.records, TelemetryRecord{
			Hostname:           in.get(sh, "Hostname").text(),
			EC2InstanceID:      in.get(sh, "EC2InstanceId").text(),
			ResourceARN:        in.get(sh, "ResourceARN").text(),
			Peer:               c.r.RemoteAddr,
			Timestamp:          number("Timestamp"),
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
		})
	}
	if extra := len(h.telemetry.mu.records) - keepTelemetry; extra > 0 {
		h.telemetry.mu.records = slices.Delete(h.telemetry.mu.records, 0, extra)
	}
	h.telemetry.mu.Unlock()
	return c.reply([]byte("{}"))
}
