package webapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/roentgen-io/roentgen/internal/reports"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// telemetry answers GET /api/telemetry?records=: the daemons and agents that report,
// the one heard last first.
//
//	{"Senders":[{"Count":60,"EC2InstanceId":null,"FirstSeen":1.79E9,"Host":"10.0.0.7","Hostname":"web-1",
//	"LastSeen":1.79E9,"Latest":{...},"Records":[{...}],"ResourceARN":null,"Total":{...}}]}
//
// Latest, Total and each of Records, which are there with records=true alone, hold
// counts under the names of PutTelemetryRecords, Total those of all records.
func (h *handler) telemetry(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "records")
	if err != nil {
		return err
	}
	all := false
	if text := q.Get("records"); text != "" {
		if all, err = strconv.ParseBool(text); err != nil {
			return apierr.New(apierr.InvalidRequest, "records is true or false, not %.40q", text)
		}
	}
	dst := append([]byte(nil), `{"Senders":[`...)
	for i, s := range h.cfg.Reports.Senders() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"Count":`...), s.Count, 10)
		dst = appendTextOrNull(append(dst, `,"EC2InstanceId":`...), s.EC2InstanceID)
		dst = appendTime(append(dst, `,"FirstSeen":`...), s.First)
		dst = appendTextOrNull(append(dst, `,"Host":`...), s.Host)
		dst = appendTextOrNull(append(dst, `,"Hostname":`...), s.Hostname)
		dst = appendTime(append(dst, `,"LastSeen":`...), s.Last)
		dst = append(dst, `,"Latest":`...)
		if len(s.Records) > 0 {
			dst = appendRecord(dst, &s.Records[0])
		} else {
			dst = append(dst, "null"...)
		}
		if all {
			dst = append(dst, `,"Records":[`...)
			for j := range s.Records {
				if j > 0 {
					dst = append(dst, ',')
				}
				dst = appendRecord(dst, &s.Records[j])
			}
			dst = append(dst, ']')
		}
		dst = appendTextOrNull(append(dst, `,"ResourceARN":`...), s.ResourceARN)
		dst = append(appendCounts(append(dst, `,"Total":`...), &s.Total), "}}"...)
	}
	return reply(w, append(dst, "]}"...))
}

func appendRecord(dst []byte, r *reports.Record) []byte {
	dst = append(appendCounts(dst, &r.Counts), `,"Timestamp":`...)
	return append(segment.AppendJavaDouble(dst, r.Timestamp), '}')
}

// appendCounts appends the beginning of an object with counts.
func appendCounts(dst []byte, c *reports.Counts) []byte {
	dst = append(dst, `{"BackendConnectionErrors":{`...)
	for _, f := range []struct {
		key string
		n   int64
	}{
		{`"ConnectionRefusedCount":`, c.ConnectionsRefused}, {`,"HTTPCode4XXCount":`, c.HTTP4XX}, {`,"HTTPCode5XXCount":`, c.HTTP5XX},
		{`,"OtherCount":`, c.OtherErrors}, {`,"TimeoutCount":`, c.Timeouts}, {`,"UnknownHostCount":`, c.UnknownHosts},
		{`},"SegmentsReceivedCount":`, c.Received}, {`,"SegmentsRejectedCount":`, c.Rejected}, {`,"SegmentsSentCount":`, c.Sent}, {`,"SegmentsSpilloverCount":`, c.Spillover},
	} {
		dst = strconv.AppendInt(append(dst, f.key...), f.n, 10)
	}
	return dst
}

func appendTextOrNull(dst []byte, text string) []byte {
	if text == "" {
		return append(dst, "null"...)
	}
	return segment.AppendString(dst, text)
}

func appendTime(dst []byte, t time.Time) []byte {
	return segment.AppendJavaDouble(dst, float64(t.UnixMilli())/1e3)
}
