package demo

import (
	"strconv"

	"github.com/roentgen-io/roentgen/segment"
)

// timeForm is how an SDK writes moments.
type timeForm uint8

const (
	timeMicros   timeForm = iota // 1760000000.123456
	timeMillis                   // 1760000000.123
	timeExponent                 // 1.760000000123E9
)

// dialect is the manner in which an SDK writes documents.
type dialect struct {
	sdk, sdkVersion         string
	runtime, runtimeVersion string
	header                  string // the first line of its datagrams
	times                   timeForm
	spaced                  bool // ", " and ": " between tokens
	saysComplete            bool // "in_progress":false in complete documents
	nestedIDs               bool // trace_id and parent_id in nested subsegments
	nestedType              bool // "type":"subsegment" in nested subsegments
	dummy                   bool // the Go SDK's unexplained "Dummy":false
	endLast                 bool // end_time as the last member
	ruleKey                 string
	auto                    bool // auto_instrumentation
	// streamAt is the number of subsegments of a segment above which finished
	// ones are sent on their own; 0: never.
	streamAt int
}

const (
	compactHeader = `{"format":"json","version":1}`
	spacedHeader  = `{"format": "json", "version": 1}`
)

var (
	goSDK = &dialect{sdk: "X-Ray for Go", sdkVersion: "1.8.5", runtime: "gc", runtimeVersion: "go1.25.4",
		header: spacedHeader, nestedIDs: true, dummy: true, ruleKey: "sampling_rule_name", streamAt: 20}
	javaSDK = &dialect{sdk: "X-Ray for Java", sdkVersion: "2.21.0", runtime: "OpenJDK 64-Bit Server VM", runtimeVersion: "21.0.8",
		header: spacedHeader, times: timeExponent, ruleKey: "rule_name", streamAt: 100}
	nodeSDK = &dialect{sdk: "X-Ray for Node.js", sdkVersion: "3.12.0", runtime: "node", runtimeVersion: "v22.19.0",
		header: compactHeader, times: timeMillis, endLast: true, ruleKey: "rule_name", streamAt: 100}
	pythonSDK = &dialect{sdk: "X-Ray for Python", sdkVersion: "2.15.0", runtime: "CPython", runtimeVersion: "3.13.7",
		header: compactHeader, spaced: true, saysComplete: true, nestedIDs: true, nestedType: true, ruleKey: "sampling_rule_name", streamAt: 30}
	dotnetSDK = &dialect{sdk: "X-Ray for .NET Core", sdkVersion: "2.14.0", runtime: ".NET", runtimeVersion: "8.0.11",
		header: compactHeader, ruleKey: "sampling_rule_name", streamAt: 100}
	rubyOtel = &dialect{sdk: "opentelemetry for ruby", sdkVersion: "1.8.0", header: compactHeader, auto: true}
	javaOtel = &dialect{sdk: "opentelemetry for java", sdkVersion: "1.53.0", header: compactHeader, auto: true}
	// lambdaPlatform writes the segments that AWS Lambda itself sends.
	lambdaPlatform = &dialect{header: compactHeader, times: timeMillis, nestedIDs: true}
)

// writer builds one document in a dialect.
type writer struct {
	*dialect
	b     []byte
	trace string
	first bool // no member written yet in the current object
	skew  micros
}

func (w *writer) open()  { w.b = append(w.b, '{'); w.first = true }
func (w *writer) close() { w.b = append(w.b, '}'); w.first = false }

func (w *writer) comma() {
	if w.first {
		w.first = false
		return
	}
	w.b = append(w.b, ',')
	if w.spaced {
		w.b = append(w.b, ' ')
	}
}

// key writes the name of a member. Keys here are plain ASCII.
func (w *writer) key(k string) {
	w.comma()
	w.b = append(w.b, '"')
	w.b = append(w.b, k...)
	w.b = append(w.b, '"', ':')
	if w.spaced {
		w.b = append(w.b, ' ')
	}
}

func (w *writer) str(k, v string) {
	if v != "" {
		w.key(k)
		w.b = segment.AppendString(w.b, v)
	}
}

func (w *writer) id(k string, v uint64) {
	w.key(k)
	w.b = append(w.b, '"')
	w.b = appendHex(w.b, v, 16)
	w.b = append(w.b, '"')
}

func (w *writer) whole(k string, v int64) { w.key(k); w.b = strconv.AppendInt(w.b, v, 10) }
func (w *writer) bool(k string, v bool)   { w.key(k); w.b = strconv.AppendBool(w.b, v) }
func (w *writer) raw(k string, v []byte)  { w.key(k); w.b = append(w.b, v...) }
func (w *writer) time(k string, at micros) {
	w.key(k)
	w.b = appendTime(w.b, at+w.skew, w.times)
}

func (w *writer) fields(fs []field) {
	for i := range fs {
		f := &fs[i]
		switch f.kind {
		case textField:
			w.str(f.key, f.text)
		case wholeField:
			w.whole(f.key, f.whole)
		case numField:
			w.key(f.key)
			w.b = strconv.AppendFloat(w.b, f.num, 'f', -1, 64)
		case trueField, falseField:
			w.bool(f.key, f.kind == trueField)
		case rawField:
			w.key(f.key)
			w.b = append(w.b, f.text...)
		case hexField:
			w.id(f.key, uint64(f.whole))
		}
	}
}

func (w *writer) object(k string, fs []field) {
	if len(fs) > 0 {
		w.key(k)
		w.open()
		w.fields(fs)
		w.close()
	}
}

// form is what kind of document, or part of one, an entity is written as.
type form uint8

const (
	asSegment     form = iota
	asIndependent      // a subsegment on its own
	asNested
)

// document returns the document of an entity. svc and at give a segment's
// service and aws blocks. An unfinished one has neither end nor answer nor
// subsegments.
func (g *Generator) document(e *entity, trace string, from sender, as form, unfinished bool) []byte {
	w := &g.writer
	w.dialect, w.b, w.trace, w.skew = from.dialect, w.b[:0], trace, from.host.skew
	w.entity(e, from, as, unfinished)
	if w.sdk == goSDK.sdk {
		w.b = append(w.b, '\n') // json.Encoder ends what it writes with a newline
	}
	return append([]byte(nil), w.b...)
}

func (w *writer) entity(e *entity, from sender, as form, unfinished bool) {
	w.open()
	if as != asNested || w.nestedIDs {
		w.str("trace_id", w.trace)
	}
	w.id("id", e.id)
	w.str("name", e.name)
	w.time("start_time", e.start)
	if e.parent != 0 && (as != asNested || w.nestedIDs) {
		w.id("parent_id", e.parent)
	}
	if as == asIndependent || as == asNested && w.nestedType {
		w.str("type", "subsegment")
	}
	switch {
	case unfinished:
		w.bool("in_progress", true)
	case w.saysComplete:
		w.bool("in_progress", false)
		w.time("end_time", e.end)
	case !w.endLast:
		w.time("end_time", e.end)
	}
	w.str("namespace", e.namespace)
	if !unfinished {
		if e.err {
			w.bool("error", true)
		}
		if e.throttle {
			w.bool("throttle", true)
		}
		if e.fault {
			w.bool("fault", true)
		}
		w.cause(&e.cause)
	}
	w.str("user", e.user)
	w.str("origin", e.origin)
	w.str("resource_arn", e.resourceARN)
	if e.http != nil {
		w.http(e.http, unfinished)
	}
	if as == asSegment {
		w.segmentBlocks(e, from)
	} else {
		w.object("aws", e.aws)
	}
	if e.sql != nil {
		w.sql(e.sql)
	}
	w.object("annotations", e.annotations)
	if e.metadata != nil && !unfinished {
		w.raw("metadata", e.metadata)
	}
	w.links(e.links)
	if !unfinished {
		w.subsegments(e, from)
	}
	if w.endLast && !unfinished {
		w.time("end_time", e.end)
	}
	if w.dummy {
		w.bool("Dummy", false)
	}
	w.close()
}

func (w *writer) subsegments(e *entity, from sender) {
	n := 0
	for _, c := range e.children {
		if c.streamed {
			continue
		}
		if n == 0 {
			w.key("subsegments")
			w.b = append(w.b, '[')
			w.first = true
		}
		n++
		w.comma()
		w.entity(c, from, asNested, false)
	}
	if n > 0 {
		w.b = append(w.b, ']')
		w.first = false
	}
}

func (w *writer) segmentBlocks(e *entity, from sender) {
	w.key("aws")
	w.open()
	w.fields(e.aws)
	if !e.bare {
		w.fields(from.host.blocks)
		if from.elasticBeanstalk {
			w.key("elastic_beanstalk")
			w.open()
			w.str("environment_name", from.service.name+"-prod")
			w.str("version_label", "v"+from.version)
			w.whole("deployment_id", int64(from.service.key%90)+10)
			w.close()
		}
		w.key("xray")
		w.open()
		w.str("sdk", w.sdk)
		w.str("sdk_version", w.sdkVersion)
		if w.ruleKey != "" {
			w.str(w.ruleKey, "Default")
		}
		if w.auto {
			w.bool("auto_instrumentation", true)
		}
		w.close()
	}
	w.close()
	if e.bare {
		return
	}
	w.key("service")
	w.open()
	w.str("version", from.version)
	w.str("runtime", w.runtime)
	w.str("runtime_version", w.runtimeVersion)
	w.close()
}

func (w *writer) http(h *httpBlock, unfinished bool) {
	w.key("http")
	w.open()
	if h.method != "" {
		w.key("request")
		w.open()
		w.str("method", h.method)
		w.str("url", h.url)
		w.str("user_agent", h.agent)
		w.str("client_ip", h.clientIP)
		if h.forwarded {
			w.bool("x_forwarded_for", true)
		}
		if h.traced {
			w.bool("traced", true)
		}
		w.close()
	}
	if h.status != 0 && !unfinished {
		w.key("response")
		w.open()
		w.whole("status", int64(h.status))
		if h.length != 0 {
			w.whole("content_length", int64(h.length))
		}
		w.close()
	}
	w.close()
}

func (w *writer) sql(q *sqlBlock) {
	w.key("sql")
	w.open()
	w.str("url", q.url)
	w.str("database_type", q.engine)
	w.str("database_version", q.version)
	w.str("driver_version", q.driver)
	w.str("user", q.user)
	w.str("preparation", q.preparation)
	w.str("sanitized_query", q.query)
	w.close()
}

func (w *writer) cause(c *cause) {
	if c.empty() {
		return
	}
	if len(c.exceptions) == 0 {
		w.id("cause", c.reference)
		return
	}
	w.key("cause")
	w.open()
	w.str("working_directory", c.directory)
	if len(c.paths) > 0 {
		w.key("paths")
		w.b = append(w.b, '[')
		w.first = true
		for _, p := range c.paths {
			w.comma()
			w.b = segment.AppendString(w.b, p)
		}
		w.b = append(w.b, ']')
		w.first = false
	}
	w.key("exceptions")
	w.b = append(w.b, '[')
	w.first = true
	for i := range c.exceptions {
		w.comma()
		w.exception(&c.exceptions[i])
	}
	w.b = append(w.b, ']')
	w.first = false
	w.close()
}

func (w *writer) exception(x *exception) {
	w.open()
	w.id("id", x.id)
	w.str("message", x.message)
	w.str("type", x.kind)
	w.bool("remote", x.remote)
	if len(x.stack) > 0 {
		w.key("stack")
		w.b = append(w.b, '[')
		w.first = true
		for _, f := range x.stack {
			w.comma()
			w.open()
			w.str("path", f.path)
			w.whole("line", int64(f.line))
			w.str("label", f.label)
			w.close()
		}
		w.b = append(w.b, ']')
		w.first = false
	}
	if x.truncated != 0 {
		w.whole("truncated", int64(x.truncated))
	}
	if x.skipped != 0 {
		w.whole("skipped", int64(x.skipped))
	}
	if x.cause != 0 {
		w.id("cause", x.cause)
	}
	w.close()
}

func (w *writer) links(ls []link) {
	if len(ls) == 0 {
		return
	}
	w.key("links")
	w.b = append(w.b, '[')
	w.first = true
	for _, l := range ls {
		w.comma()
		w.open()
		w.str("trace_id", l.trace)
		w.id("id", l.id)
		w.object("attributes", l.attributes)
		w.close()
	}
	w.b = append(w.b, ']')
	w.first = false
}

// appendTime writes a moment as epoch seconds.
func appendTime(b []byte, at micros, form timeForm) []byte {
	sec, frac := at/second, at%second
	switch form {
	case timeMillis:
		b = strconv.AppendInt(b, sec, 10)
		b = append(b, '.')
		return appendPadded(b, frac/1000, 3)
	case timeExponent:
		// One digit, the point, the other nine of the seconds, then milliseconds
		// without trailing zeros, as Java writes a double of this size.
		var digits [24]byte
		d := strconv.AppendInt(digits[:0], sec, 10)
		power := len(d) - 1
		d = appendPadded(d, frac/1000, 3)
		for len(d) > 2 && d[len(d)-1] == '0' {
			d = d[:len(d)-1]
		}
		b = append(b, d[0], '.')
		b = append(b, d[1:]...)
		b = append(b, 'E')
		return strconv.AppendInt(b, int64(power), 10)
	}
	b = strconv.AppendInt(b, sec, 10)
	b = append(b, '.')
	return appendPadded(b, frac, 6)
}

func appendPadded(b []byte, v int64, width int) []byte {
	n := len(b)
	for range width {
		b = append(b, '0')
	}
	for i := n + width - 1; i >= n; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}

const hexDigits = "0123456789abcdef"

func appendHex(b []byte, v uint64, width int) []byte {
	for shift := 4 * (width - 1); shift >= 0; shift -= 4 {
		b = append(b, hexDigits[v>>shift&15])
	}
	return b
}
