package otlp

import (
	"encoding/binary"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

// This file is the way back: what came as an X-Ray document leaves as a span, by
// the rules of the X-Ray receiver of the OpenTelemetry Collector, with these
// differences:
//
//   - HTTP and SQL attributes come in both generations of the conventions.
//   - error, fault and throttle are not lost: the status becomes ERROR, and
//     aws.xray.error and so on keep which of them it was.
//   - A subsegment has the resource of the segment that it belongs to, also when it
//     came as a document of its own.
//   - sql.url may be anything.
//   - A call to another service has its name as peer.service.
//   - What is in progress has no end.
//   - A subsegment is no SERVER span when it has the address of a client: it would come back as a segment.
//   - Links and the origin are read.

// AppendSource appends the source of the spans of a segment: what it tells of
// who made it. Walk gives sources of the same form.
func AppendSource(dst []byte, s *segment.Segment) []byte {
	dst = appendMessage(dst, resourceSpansResource, func(dst []byte) []byte {
		a := attributes{dst, resourceAttributes}
		a.text("service.name", s.Name)
		a.text("service.version", s.Service.Get("version").String())
		platform, launch := "", ""
		for p, origin := range origins {
			if origin == s.Origin {
				platform = p
			}
		}
		for l, origin := range launchOrigins {
			if origin == s.Origin {
				platform, launch = "aws_ecs", l
			}
		}
		if s.AWS == nil {
			a.text("cloud.provider", "unknown")
		} else {
			a.text("cloud.provider", "aws")
			a.raw("cloud.account.id", s.AWS.Get("account_id"))
			var blocks [5]segment.Raw
			s.AWS.Find(blocks[:], "ec2", "ecs", "elastic_beanstalk", "eks", "xray")
			zone := blocks[0].Get("availability_zone")
			if zone.Type() != segment.TypeString {
				zone = blocks[1].Get("availability_zone")
			}
			a.raw("cloud.availability_zone", zone)
			if b := blocks[0]; b != nil {
				platform = or(platform, "aws_ec2")
				a.raw("host.id", b.Get("instance_id"))
				a.raw("host.type", b.Get("instance_size"))
				a.raw("host.image.id", b.Get("ami_id"))
			}
			if b := blocks[1]; b != nil {
				platform = or(platform, "aws_ecs")
				a.raw("container.name", b.Get("container"))
				a.raw("container.id", b.Get("container_id"))
				a.raw("aws.ecs.container.arn", b.Get("container_arn"))
				a.raw("aws.ecs.cluster.arn", b.Get("cluster_arn"))
				a.raw("aws.ecs.task.arn", b.Get("task_arn"))
				a.raw("aws.ecs.task.family", b.Get("task_family"))
				launch = or(b.Get("launch_type").String(), launch)
			}
			if b := blocks[2]; b != nil {
				platform = or(platform, "aws_elastic_beanstalk")
				a.raw("service.namespace", b.Get("environment_name"))
				if id, ok := jsonInteger(b.Get("deployment_id")); ok {
					a.text("service.instance.id", strconv.FormatInt(int64(id), 10))
				}
				if s.Service.Get("version") == nil {
					a.raw("service.version", b.Get("version_label"))
				}
			}
			if b := blocks[3]; b != nil {
				platform = or(platform, "aws_eks")
				a.raw("k8s.cluster.name", b.Get("cluster_name"))
				a.raw("k8s.pod.name", b.Get("pod"))
				a.raw("container.id", b.Get("container_id"))
			}
			if b := blocks[4]; b != nil {
				sdk := b.Get("sdk").String()
				name, language, ok := strings.Cut(sdk, " for ")
				a.text("telemetry.sdk.name", name)
				if ok {
					a.text("telemetry.sdk.language", strings.ToLower(language))
				}
				a.raw("telemetry.sdk.version", b.Get("sdk_version"))
				if on, _ := b.Get("auto_instrumentation").Bool(); on {
					a.raw("telemetry.auto.version", b.Get("sdk_version"))
				}
			}
		}
		a.text("cloud.platform", platform)
		a.text("aws.ecs.launchtype", launch)
		a.text("aws.xray.resource_arn", s.ResourceARN)
		return a.b
	})
	return appendMessage(dst, resourceSpansScopes, func(dst []byte) []byte { return dst })
}

// origins are the origins of X-Ray by the platform of OpenTelemetry.
var origins = map[string]string{
	"aws_app_runner":        "AWS::AppRunner::Service",
	"aws_eks":               "AWS::EKS::Container",
	"aws_elastic_beanstalk": "AWS::ElasticBeanstalk::Environment",
	"aws_ecs":               "AWS::ECS::Container",
	"aws_ec2":               "AWS::EC2::Instance",
}

// launchOrigins are the origins of X-Ray by the launch type of ECS.
var launchOrigins = map[string]string{
	"ec2":     "AWS::ECS::EC2",
	"fargate": "AWS::ECS::Fargate",
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// usualSpan is a size that most spans of documents stay below; most sources are below half of it.
const usualSpan = 512

// AppendDocumentSpans appends the spans of a document, those of what it nests
// included, with the source that they are to have. nil stands for AppendSource of the
// document.
func AppendDocumentSpans(dst []SourcedSpan, source []byte, doc *segment.Segment) []SourcedSpan {
	if source == nil {
		source = AppendSource(make([]byte, 0, usualSpan/2), doc)
	}
	var add func(s *segment.Segment, parent segment.SegmentID, hasParent bool)
	add = func(s *segment.Segment, parent segment.SegmentID, hasParent bool) {
		span := AppendSpan(make([]byte, 0, usualSpan), s, doc.TraceID, parent, hasParent)
		dst = append(dst, SourcedSpan{source, span})
		for _, sub := range s.Subsegments {
			add(sub, s.ID, true)
		}
	}
	add(doc, doc.ParentID, doc.HasParent)
	return dst
}

// AppendSpan appends the span of a segment or subsegment, without what it nests.
// traceID is that of its trace; parent, when hasParent, is what it hangs under.
func AppendSpan(dst []byte, s *segment.Segment, traceID segment.TraceID, parent segment.SegmentID, hasParent bool) []byte {
	dst = appendBytesField(dst, spanTraceID, traceID[:])
	dst = appendBytesField(dst, spanSpanID, binary.BigEndian.AppendUint64(nil, uint64(s.ID)))
	if hasParent {
		dst = appendBytesField(dst, spanParentID, binary.BigEndian.AppendUint64(nil, uint64(parent)))
	}
	dst = appendTextField(dst, spanName, s.Name)
	kind := KindInternal
	switch {
	case s.Kind == segment.KindSegment:
		kind = KindServer
	case s.Namespace == namespaceAWS || s.Namespace == namespaceRemote:
		kind = KindClient
	}
	dst = appendVarintField(dst, spanKind, uint64(kind))
	dst = appendFixed64Field(dst, spanStart, nanos(s.StartTime))
	if !s.InProgress {
		dst = appendFixed64Field(dst, spanEnd, max(nanos(s.EndTime), 1))
	}
	a := attributes{dst, spanAttributes}
	status := a.span(s)
	dst = a.b
	message := ""
	if s.Cause != nil {
		dst, message = appendExceptions(dst, s)
	}
	s.Links.Elements(func(l segment.Raw) bool {
		dst = appendLink(dst, l)
		return true
	})
	switch {
	case s.Error.True(), s.Fault.True(), s.Throttle.True(), message != "", status >= 400 && status < 600:
		dst = appendMessage(dst, spanStatus, func(dst []byte) []byte {
			dst = appendTextField(dst, statusMessage, message)
			return appendVarintField(dst, statusCode, StatusError)
		})
	}
	return dst
}

// nanos returns seconds as unix nanoseconds, which OpenTelemetry has from 1970 to 2554.
func nanos(seconds float64) uint64 {
	switch {
	case !(seconds > 0):
		return 0
	case seconds < 1<<33: // about as far as an int64 goes
		return uint64(trace.Nanos(seconds))
	case seconds >= math.MaxUint64/1e9:
		return math.MaxUint64
	}
	return uint64(math.Round(seconds*1e6)) * 1000
}

// DocumentAttribute reports whether the span of an X-Ray document may have an attribute
// of that key which is none of the document's annotations.
func DocumentAttribute(key string) bool {
	return slices.ContainsFunc([]string{"http.", "db.", "aws.", "enduser."}, func(p string) bool { return strings.HasPrefix(key, p) }) ||
		key == "peer.service" || key == "url.full" || key == "user_agent.original" || key == "client.address"
}

// attributes writes attributes into the field with that number.
type attributes struct {
	b   []byte
	num int
}

// add adds an attribute whose value fn appends, an AnyValue message.
func (a *attributes) add(key string, fn func(dst []byte) []byte) {
	a.b = appendMessage(a.b, a.num, func(dst []byte) []byte {
		dst = appendTextField(dst, keyValueKey, key)
		return appendMessage(dst, keyValueValue, fn)
	})
}

// text adds a text unless it is empty.
func (a *attributes) text(key, s string) {
	if s != "" {
		a.add(key, func(dst []byte) []byte { return appendBytesField(dst, anyString, strings.ToValidUTF8(s, "\ufffd")) })
	}
}

func (a *attributes) bool(key string, v bool) {
	a.add(key, func(dst []byte) []byte { return appendBool(dst, v) })
}

// raw adds a string, number or boolean, and nothing for all else.
func (a *attributes) raw(key string, v segment.Raw) {
	switch v.Type() {
	case segment.TypeString:
		a.add(key, func(dst []byte) []byte {
			return appendBytesField(dst, anyString, strings.ToValidUTF8(v.String(), "\ufffd"))
		})
	case segment.TypeNumber:
		if f, ok := v.Number(); ok {
			a.add(key, func(dst []byte) []byte { return appendNumber(dst, f) })
		}
	case segment.TypeBool:
		b, _ := v.Bool()
		a.bool(key, b)
	}
}

// integer adds a number, also one that came as a text.
func (a *attributes) integer(key string, v segment.Raw) (n int64) {
	if v == nil {
		return 0
	}
	u, ok := jsonInteger(v)
	if ok {
		a.add(key, func(dst []byte) []byte { return binary.AppendUvarint(appendTag(dst, anyInt, wireVarint), u) })
	}
	return int64(u)
}

func appendBool(dst []byte, v bool) []byte {
	dst = appendTag(dst, anyBool, wireVarint)
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// appendNumber appends a whole number as an int, any other as a double.
func appendNumber(dst []byte, f float64) []byte {
	if f == math.Trunc(f) && math.Abs(f) <= 1<<53 {
		return binary.AppendUvarint(appendTag(dst, anyInt, wireVarint), uint64(int64(f)))
	}
	return binary.LittleEndian.AppendUint64(appendTag(dst, anyDouble, wireI64), math.Float64bits(f))
}

// appendJSONValue appends any JSON as an AnyValue message.
func appendJSONValue(dst []byte, v segment.Raw, depth int) []byte {
	switch v.Type() {
	case segment.TypeString:
		return appendBytesField(dst, anyString, strings.ToValidUTF8(v.String(), "\ufffd"))
	case segment.TypeNumber:
		if f, ok := v.Number(); ok {
			return appendNumber(dst, f)
		}
	case segment.TypeBool:
		b, _ := v.Bool()
		return appendBool(dst, b)
	case segment.TypeArray:
		return appendMessage(dst, anyArray, func(dst []byte) []byte {
			if depth > 0 {
				v.Elements(func(e segment.Raw) bool {
					dst = appendMessage(dst, listValues, func(dst []byte) []byte { return appendJSONValue(dst, e, depth-1) })
					return true
				})
			}
			return dst
		})
	case segment.TypeObject:
		return appendMessage(dst, anyMap, func(dst []byte) []byte {
			if depth > 0 {
				list := attributes{dst, listValues}
				v.Members(func(key string, m segment.Raw) bool {
					list.add(strings.ToValidUTF8(key, "\ufffd"), func(dst []byte) []byte { return appendJSONValue(dst, m, depth-1) })
					return true
				})
				dst = list.b
			}
			return dst
		})
	}
	return dst
}

// sqlURL takes apart sql.url: what to connect to, and the name of the database.
var sqlURL = regexp.MustCompile(`^(.+//.+)/([^?]+)\??.*$`)

// span adds what a segment says as attributes, and returns its HTTP status.
func (a *attributes) span(s *segment.Segment) (status int64) {
	switch s.Namespace {
	case namespaceAWS:
		a.text("aws.service", s.Name)
	case namespaceRemote:
		a.text("peer.service", s.Name)
	}
	if s.InProgress {
		a.bool("aws.xray.inprogress", true)
	}
	a.text("enduser.id", s.User)
	for _, f := range [...]struct {
		key  string
		flag segment.Flag
	}{{"aws.xray.error", s.Error}, {"aws.xray.fault", s.Fault}, {"aws.xray.throttle", s.Throttle}} {
		if f.flag.True() {
			a.bool(f.key, true)
		}
	}
	if s.HTTP != nil {
		var parts [2]segment.Raw
		s.HTTP.Find(parts[:], "request", "response")
		var request [6]segment.Raw
		parts[0].Find(request[:], "method", "url", "user_agent", "client_ip", "x_forwarded_for", "traced")
		for i, keys := range [...][2]string{
			{"http.request.method", "http.method"}, {"url.full", "http.url"},
			{"user_agent.original", "http.user_agent"}, {"client.address", "http.client_ip"},
		} {
			for _, key := range keys {
				a.text(key, request[i].String())
			}
		}
		a.raw("aws.xray.x_forwarded_for", request[4])
		a.raw("aws.xray.traced", request[5])
		status = a.integer("http.response.status_code", parts[1].Get("status"))
		a.integer("http.status_code", parts[1].Get("status"))
		a.integer("http.response_content_length", parts[1].Get("content_length"))
	}
	if s.AWS != nil {
		for _, m := range [...][2]string{
			{"account_id", "aws.account_id"}, {"operation", "aws.operation"}, {"region", "aws.region"}, {"request_id", "aws.request_id"},
			{"queue_url", "aws.queue_url"}, {"table_name", "aws.table_name"}, {"retries", "aws.xray.retries"},
		} {
			a.raw(m[1], s.AWS.Get(m[0]))
		}
		if tables := s.AWS.Get("table_names"); tables.Type() == segment.TypeArray {
			a.add("aws.dynamodb.table_names", func(dst []byte) []byte { return appendJSONValue(dst, tables, 1) })
		}
	}
	if s.SQL != nil {
		url := s.SQL.Get("url").String()
		if m := sqlURL.FindStringSubmatch(url); m != nil {
			a.text("db.connection_string", m[1])
			a.text("db.name", m[2])
			a.text("db.namespace", m[2])
		} else {
			a.text("db.connection_string", or(s.SQL.Get("connection_string").String(), url))
		}
		system := strings.ToLower(s.SQL.Get("database_type").String())
		a.text("db.system", system)
		a.text("db.system.name", system)
		a.raw("db.user", s.SQL.Get("user"))
		for _, key := range [...]string{"db.statement", "db.query.text"} {
			a.raw(key, s.SQL.Get("sanitized_query"))
		}
		a.raw("aws.xray.database_version", s.SQL.Get("database_version"))
		a.raw("aws.xray.driver_version", s.SQL.Get("driver_version"))
		a.raw("aws.xray.preparation", s.SQL.Get("preparation"))
	}
	var names []string
	s.Annotations.Members(func(key string, v segment.Raw) bool {
		key = strings.ToValidUTF8(key, "\ufffd")
		a.raw(key, v)
		names = append(names, key)
		return true
	})
	if len(names) > 0 {
		a.add(attributeAnnotations, func(dst []byte) []byte {
			return appendMessage(dst, anyArray, func(dst []byte) []byte {
				for _, name := range names {
					dst = appendMessage(dst, listValues, func(dst []byte) []byte { return appendBytesField(dst, anyString, name) })
				}
				return dst
			})
		})
	}
	if s.Metadata.Type() == segment.TypeObject {
		var rest object // members at the first level that are no objects
		s.Metadata.Members(func(space string, v segment.Raw) bool {
			if v.Type() == segment.TypeObject {
				a.text(prefixMetadata+strings.ToValidUTF8(space, "\ufffd"), string(v.AppendTo(nil)))
				return true
			}
			rest.key(space)
			rest.b = v.AppendTo(rest.b)
			return true
		})
		if len(rest.b) > 0 {
			a.text(prefixMetadata+"default", "{"+string(rest.b)+"}")
		}
	}
	return status
}

// appendExceptions appends the exceptions of the cause as events, and returns the
// message of the status.
func appendExceptions(dst []byte, s *segment.Segment) (_ []byte, message string) {
	if id, ok := s.Cause.Text(); ok { // it is another segment's exception
		return dst, id
	}
	s.Cause.Get("exceptions").Elements(func(e segment.Raw) bool {
		if e.Type() != segment.TypeObject {
			return true
		}
		typ, text := e.Get("type").String(), e.Get("message").String()
		message = or(message, text)
		dst = appendMessage(dst, spanEvents, func(dst []byte) []byte {
			at := s.EndTime
			if s.InProgress {
				at = s.StartTime
			}
			dst = appendFixed64Field(dst, eventTime, nanos(at))
			dst = appendTextField(dst, eventName, eventException)
			a := attributes{dst, eventAttributes}
			a.text("exception.type", typ)
			a.text("exception.message", text)
			for _, key := range [...]string{"id", "remote", "truncated", "skipped", "cause"} {
				a.raw("aws.xray.exception."+key, e.Get(key))
			}
			var stack strings.Builder
			e.Get("stack").Elements(func(f segment.Raw) bool {
				if stack.Len() == 0 {
					stack.WriteString(typ + ": " + text + "\n")
				}
				stack.WriteString("\tat " + or(f.Get("label").String(), "<unknown>") + "(" + or(f.Get("path").String(), "<unknown>") + ": ")
				if line, ok := jsonInteger(f.Get("line")); ok {
					stack.Write(appendDouble(nil, float64(int64(line))))
				} else {
					stack.WriteString("<unknown>")
				}
				stack.WriteString(")\n")
				return true
			})
			a.text("exception.stacktrace", stack.String())
			return a.b
		})
		return true
	})
	return dst, strings.ToValidUTF8(message, "\ufffd")
}

func appendLink(dst []byte, l segment.Raw) []byte {
	traceID, err := segment.ParseAnyTraceID(l.Get("trace_id").String())
	if err != nil {
		return dst
	}
	id, _ := segment.ParseSegmentID(l.Get("id").String())
	return appendMessage(dst, spanLinks, func(dst []byte) []byte {
		dst = appendBytesField(dst, linkTraceID, traceID[:])
		if id != 0 {
			dst = appendBytesField(dst, linkSpanID, binary.BigEndian.AppendUint64(nil, uint64(id)))
		}
		a := attributes{dst, linkAttributes}
		l.Get("attributes").Members(func(key string, v segment.Raw) bool {
			a.add(strings.ToValidUTF8(key, "\ufffd"), func(dst []byte) []byte { return appendJSONValue(dst, v, maxDepth) })
			return true
		})
		return a.b
	})
}
