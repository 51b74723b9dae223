package xrayapi

import (
	"bytes"
	"encoding/json"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// otelSpan is a span in the form in which the X-Ray service keeps spans in a log
// group, and gives them back for the trace format OTEL.
type otelSpan struct {
	Resource     otelResource   `json:"resource"`
	Scope        otelScope      `json:"scope"`
	TraceID      string         `json:"traceId"`
	SpanID       string         `json:"spanId"`
	ParentSpanID string         `json:"parentSpanId,omitempty"`
	Name         string         `json:"name"`
	Kind         string         `json:"kind"`
	Start        int64          `json:"startTimeUnixNano"`
	End          int64          `json:"endTimeUnixNano,omitempty"`
	Duration     int64          `json:"durationNano,omitempty"`
	Attributes   map[string]any `json:"attributes"`
	Events       []otelEvent    `json:"events,omitempty"`
	Links        []otelLink     `json:"links,omitempty"`
	Status       otelStatus     `json:"status"`
}

type otelResource struct {
	Attributes map[string]any `json:"attributes"`
}

type otelScope struct {
	Name string `json:"name"`
}

type otelEvent struct {
	Name       string         `json:"name"`
	Time       int64          `json:"timeUnixNano"`
	Attributes map[string]any `json:"attributes"`
}

type otelLink struct {
	TraceID    string          `json:"traceId"`
	SpanID     string          `json:"spanId,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
}

type otelStatus struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

// otelSpans returns the segments and attached subsegments of a trace as spans, in
// depth-first order, from one on: no more than max, and how many there are in all.
// Inferred callees are none: nobody has sent them. What came as a span, those of sent by their
// Seq, is given with all that it had.
func otelSpans(t *trace.Trace, sent map[uint64]otlp.SourcedSpan, from, max int) (docs []trace.SegmentDocument, total int) {
	id := t.ID.W3C()
	given := make(map[uint64]bool) // one span may be a segment and a subsegment
	for _, root := range t.Segments {
		resource := otelResourceOf(root.Segment)
		var add func(e *trace.Entity)
		add = func(e *trace.Entity) {
			asSent, isSpan := sent[e.Seq]
			again := isSpan && given[e.Seq]
			if isSpan {
				given[e.Seq] = true
			}
			switch {
			case again:
				total--
			case total < from || len(docs) >= max:
			case isSpan:
				text := otlp.AppendFlat(nil, asSent)
				docs = append(docs, trace.SegmentDocument{ID: segment.Raw(text).Get("spanId").String(), Document: text})
			default:
				span := otelSpanOf(e)
				span.TraceID, span.Resource = id, resource
				docs = append(docs, trace.SegmentDocument{ID: span.SpanID, Document: span.document()})
			}
			total++
			for _, child := range e.Children { // no more than 500 levels
				add(child)
			}
		}
		add(root)
	}
	return docs, total
}

func (s *otelSpan) document() []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic("xrayapi: a span cannot be written: " + err.Error()) // nothing in it is foreign JSON but what was read as such
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

func otelResourceOf(s *segment.Segment) otelResource {
	attributes := map[string]any{"service.name": s.Name}
	setText(attributes, "aws.xray.origin", s.Origin)
	setText(attributes, "aws.xray.resource_arn", s.ResourceARN)
	setRaw(attributes, "service.version", s.Service.Get("version"))
	if s.AWS != nil {
		attributes["cloud.provider"] = "aws"
		setRaw(attributes, "cloud.account.id", s.AWS.Get("account_id"))
		setRaw(attributes, "cloud.region", s.AWS.Get("region"))
		setRaw(attributes, "host.id", s.AWS.Get("ec2", "instance_id"))
		setRaw(attributes, "cloud.availability_zone", s.AWS.Get("ec2", "availability_zone"))
		setRaw(attributes, "container.name", s.AWS.Get("ecs", "container"))
		setRaw(attributes, "telemetry.sdk.name", s.AWS.Get("xray", "sdk"))
		setRaw(attributes, "telemetry.sdk.version", s.AWS.Get("xray", "sdk_version"))
	}
	return otelResource{attributes}
}

// otelSpanOf translates all of an entity but for what belongs to its segment.
func otelSpanOf(e *trace.Entity) otelSpan {
	s := e.Segment
	span := otelSpan{
		Scope: otelScope{"xray"}, SpanID: s.ID.String(), Name: s.Name, Kind: "SERVER",
		Start: trace.Nanos(s.StartTime), Attributes: map[string]any{}, Status: otelStatus{Code: "UNSET"},
	}
	switch {
	case e.Parent != nil:
		span.ParentSpanID = e.Parent.Segment.ID.String()
		span.Kind = "INTERNAL"
		if s.Namespace == "aws" || s.Namespace == "remote" {
			span.Kind = "CLIENT"
		}
	case s.HasParent:
		span.ParentSpanID = s.ParentID.String()
	}
	a := span.Attributes
	if s.InProgress {
		a["aws.xray.inprogress"] = true
	} else {
		span.End = trace.Nanos(s.EndTime)
		span.Duration = max(0, span.End-span.Start)
	}
	if s.Fault.True() || s.Error.True() || s.Throttle.True() {
		span.Status.Code = "ERROR"
	}
	setText(a, "enduser.id", s.User)
	for name, raw := range map[string]segment.Raw{
		"http.request.method":       s.HTTP.Get("request", "method"),
		"url.full":                  s.HTTP.Get("request", "url"),
		"client.address":            s.HTTP.Get("request", "client_ip"),
		"user_agent.original":       s.HTTP.Get("request", "user_agent"),
		"http.response.status_code": s.HTTP.Get("response", "status"),
		"http.response.body.size":   s.HTTP.Get("response", "content_length"),
		"db.query.text":             s.SQL.Get("sanitized_query"),
		"db.connection_string":      s.SQL.Get("url"),
		"db.system.name":            s.SQL.Get("database_type"),
		"db.user":                   s.SQL.Get("user"),
		"aws.request_id":            s.AWS.Get("request_id"),
		"aws.dynamodb.table_names":  s.AWS.Get("table_name"),
		"aws.sqs.queue.url":         s.AWS.Get("queue_url"),
		"rpc.method":                s.AWS.Get("operation"),
	} {
		setRaw(a, name, raw)
	}
	if s.Namespace == "aws" {
		a["rpc.system"], a["rpc.service"] = "aws-api", s.Name
	}
	s.Metadata.Members(func(key string, v segment.Raw) bool {
		a["aws.xray.metadata."+key] = string(v.AppendTo(nil))
		return true
	})
	s.Annotations.Members(func(key string, v segment.Raw) bool {
		setRaw(a, key, v)
		return true
	})
	if message, ok := s.Cause.Text(); ok {
		span.Status.Message = message
	}
	s.Cause.Get("exceptions").Elements(func(x segment.Raw) bool {
		event := otelEvent{Name: "exception", Time: span.End, Attributes: map[string]any{}}
		setRaw(event.Attributes, "exception.type", x.Get("type"))
		setRaw(event.Attributes, "exception.message", x.Get("message"))
		setRaw(event.Attributes, "aws.xray.exception.id", x.Get("id"))
		span.Events = append(span.Events, event)
		return true
	})
	s.Links.Elements(func(x segment.Raw) bool {
		id, err := segment.ParseAnyTraceID(x.Get("trace_id").String())
		if err != nil {
			return true
		}
		link := otelLink{TraceID: id.W3C(), SpanID: x.Get("id").String()}
		if attributes := x.Get("attributes").AppendTo(nil); json.Valid(attributes) {
			link.Attributes = attributes
		}
		span.Links = append(span.Links, link)
		return true
	})
	return span
}

func setText(attributes map[string]any, name, text string) {
	if text != "" {
		attributes[name] = text
	}
}

// setRaw sets an attribute to a text, a number, a boolean or the text of anything else.
func setRaw(attributes map[string]any, name string, raw segment.Raw) {
	if raw == nil {
		return
	}
	switch raw.Type() {
	case segment.TypeString:
		attributes[name] = raw.String()
	case segment.TypeNumber, segment.TypeBool:
		if text := raw.AppendTo(nil); json.Valid(text) {
			attributes[name] = json.RawMessage(text)
		}
	case segment.TypeNull:
	default:
		attributes[name] = string(raw.AppendTo(nil))
	}
}
