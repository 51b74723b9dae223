package otlp

import (
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/segment"
)

const (
	eventException   = "exception"
	eventHTTPFailure = "HTTP request failure" // of the AWS SDKs' instrumentation
)

// frame is one line of a stack.
type frame struct {
	label, path string
	line        int
}

// thrown is one exception of a chain.
type thrown struct {
	typ, message string
	stack        []frame
}

// Bounds of what one event gives.
const (
	maxFrames = 1000
	maxChain  = 50
)

// cause writes the cause, nil when there is none, and says whether it took the
// attribute http.status_text.
func (mk *maker) cause(o *object) (cause segment.Raw, statusTextUsed bool) {
	s := mk.s
	sdk := mk.strOf(keyRPCSystem, keyRPCSystemName) == "aws-api"
	from := len(o.b)
	n := uint64(0)
	for i := range s.Events {
		e := &s.Events[i]
		switch {
		case e.Name == eventException:
			mk.exception(o, e, from, &n)
		case sdk && e.Name == eventHTTPFailure:
			var status, message string
			for k := range e.Attributes {
				switch a := &e.Attributes[k]; a.Key {
				case "http.response.status_code", "http.status_code":
					status = a.Value.Text()
				case "aws.http.error_message":
					message = a.Value.Str()
				}
			}
			text := status + "@" + strconv.FormatFloat(float64(e.Time)/1e9, 'f', 6, 64) + "@" + message
			mk.openException(o, from, &n, e.Time, "aws.http.error.event", text)
			o.bool("remote", true)
			o.close()
		}
	}
	if n == 0 {
		if s.Status != StatusError {
			return nil, false
		}
		message := s.Message
		if message == "" {
			message = mk.str(keyHTTPStatusText)
		}
		if message == "" {
			return nil, true
		}
		mk.openException(o, from, &n, 0, "", message)
		o.close()
		statusTextUsed = true
	}
	o.b = append(o.b, "]}"...)
	return segment.Raw(o.b[from:len(o.b):len(o.b)]), statusTextUsed
}

// ExceptionTimes returns when the exceptions in the cause of the span's segment were recorded,
// in their order and in Unix nanoseconds; 0 for one that is no event of the span.
func ExceptionTimes(span SourcedSpan) ([]uint64, error) {
	m := &Mapping{}
	src, err := m.Source(span.Source)
	if err != nil {
		return nil, err
	}
	var s Span
	if err := ParseSpan(span.Span, &s); err != nil {
		return nil, err
	}
	var times []uint64
	mk := maker{Mapping: m, src: src, s: &s, times: &times}
	mk.look()
	mk.cause(&object{})
	return times, nil
}

// openException begins the next exception of the cause that begins at from; at is when
// it was recorded, in Unix nanoseconds, 0 when the span does not say.
func (mk *maker) openException(o *object, from int, n *uint64, at uint64, typ, message string) {
	if mk.times != nil {
		*mk.times = append(*mk.times, at)
	}
	if len(o.b) == from {
		o.b = append(o.b, `{"exceptions":[`...)
	} else {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '{')
	o.text("id", hashID(mk.s.TraceID, mk.s.ID, 'e', *n).String())
	*n++
	o.key("type")
	o.b = segment.AppendString(o.b, typ)
	o.text("message", message)
}

// exception writes an exception event: itself and those that caused it.
func (mk *maker) exception(o *object, e *Event, from int, n *uint64) {
	var t thrown
	var stack string
	for i := range e.Attributes {
		switch a := &e.Attributes[i]; a.Key {
		case "exception.type":
			t.typ = a.Value.Text()
		case "exception.message":
			t.message = a.Value.Text()
		case "exception.stacktrace":
			stack = a.Value.Str()
		}
	}
	chain := []thrown{t}
	if stack != "" {
		chain = parseStack(mk.src.language, stack, t)
	}
	remote := mk.s.Kind == KindClient || mk.s.Kind == KindProducer
	for i := range chain {
		mk.openException(o, from, n, e.Time, chain[i].typ, chain[i].message)
		if remote {
			o.bool("remote", true)
		}
		if i+1 < len(chain) {
			o.text("cause", hashID(mk.s.TraceID, mk.s.ID, 'e', *n).String())
		}
		if mk.full && len(chain[i].stack) > 0 {
			o.key("stack")
			o.b = append(o.b, '[')
			for k := range chain[i].stack {
				f := &chain[i].stack[k]
				if k > 0 {
					o.b = append(o.b, ',')
				}
				o.b = append(o.b, '{')
				o.text("path", f.path)
				o.int("line", int64(f.line))
				o.text("label", f.label)
				o.close()
			}
			o.b = append(o.b, ']')
		}
		o.close()
	}
}

// parseStack reads the text of a stack in the manner of a language, and returns
// the exception with what caused it behind. Of a language that is not known, and
// of a text in no known form, there is no stack.
func parseStack(language, text string, t thrown) []thrown {
	switch language {
	case "java", "php":
		return parseJava(text, t)
	case "python":
		return parsePython(text, t)
	case "javascript", "nodejs", "webjs":
		t.stack = parseJavaScript(text)
	case "dotnet":
		t.stack = parseDotnet(text)
	case "go":
		t.stack = parseGo(text)
	}
	return []thrown{t}
}

// parseJava reads
//
//	java.lang.IllegalStateException: no such order
//		at com.example.Orders.find(Orders.java:37)
//		Suppressed: java.io.IOException: not closed
//			at com.example.Store.close(Store.java:40)
//	Caused by: java.io.IOException: closed
//		at com.example.Store.read(Store.java:12)
//
// What was suppressed, with its own causes, is left out.
func parseJava(text string, t thrown) []thrown {
	chain := []thrown{t}
	suppressed := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		inner := strings.TrimLeft(line, " \t")
		suppressed = (suppressed || len(inner) < len(line) && strings.HasPrefix(inner, "Suppressed: ")) && !strings.HasPrefix(line, "Caused by: ")
		if suppressed {
			continue
		}
		if rest, ok := strings.CutPrefix(inner, "at "); ok {
			cur := &chain[len(chain)-1]
			label, place, ok := strings.Cut(rest, "(")
			if !ok || len(cur.stack) >= maxFrames {
				continue
			}
			if _, after, ok := strings.Cut(label, "/"); ok { // java.base/java.lang...
				label = after
			}
			place, _, _ = strings.Cut(place, ")")
			f := frame{label: label, path: place}
			if i := strings.LastIndexByte(place, ':'); i >= 0 {
				f.path = place[:i]
				f.line, _ = strconv.Atoi(place[i+1:])
			}
			cur.stack = append(cur.stack, f)
			continue
		}
		if rest, ok := strings.CutPrefix(line, "Caused by: "); ok && len(chain) < maxChain {
			typ, message, ok := strings.Cut(rest, ": ")
			if !ok {
				typ, message = strings.TrimSuffix(rest, ":"), ""
			}
			chain = append(chain, thrown{typ: typ, message: message})
			continue
		}
		// Further lines of a message that has several.
		if cur := &chain[len(chain)-1]; len(chain) > 1 && len(cur.stack) == 0 && line != "" && line[0] != '\t' {
			cur.message += "\n" + line
		}
	}
	return chain
}

// parsePython reads
//
//	Traceback (most recent call last):
//	  File "orders.py", line 37, in find
//	    return store[id]
//	KeyError: '17'
//
// Several of them are separated by a sentence; the last one is the exception.
func parsePython(text string, t thrown) []thrown {
	var chain []thrown // the other way round
	cur := thrown{}
	var last string
	finish := func() {
		// The newest call stands last in the text and first in a stack.
		for i, k := 0, len(cur.stack)-1; i < k; i, k = i+1, k-1 {
			cur.stack[i], cur.stack[k] = cur.stack[k], cur.stack[i]
		}
		var ok bool
		if cur.typ, cur.message, ok = strings.Cut(last, ": "); !ok {
			cur.typ = strings.TrimSuffix(last, ":")
		}
		if len(chain) < maxChain {
			chain = append(chain, cur)
		}
		cur, last = thrown{}, ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "During handling of the above exception") || strings.HasPrefix(line, "The above exception was the direct cause"):
			finish()
		case strings.HasPrefix(line, "  File "):
			parts := strings.SplitN(line[len("  File "):], ", ", 3)
			if len(parts) < 2 || len(cur.stack) >= maxFrames {
				continue
			}
			f := frame{path: strings.Trim(parts[0], `"`)}
			f.line, _ = strconv.Atoi(strings.TrimPrefix(parts[1], "line "))
			if len(parts) == 3 {
				f.label = strings.TrimPrefix(parts[2], "in ")
			}
			cur.stack = append(cur.stack, f)
		case line != "" && line[0] != ' ' && !strings.HasPrefix(line, "Traceback "):
			last = line
		}
	}
	finish()
	for i, k := 0, len(chain)-1; i < k; i, k = i+1, k-1 {
		chain[i], chain[k] = chain[k], chain[i]
	}
	t.stack = chain[0].stack
	chain[0] = t
	return chain
}

// parseJavaScript reads
//
//	TypeError: no such order
//	    at find (/app/orders.js:37:9)
//	    at /app/main.js:4:1
func parseJavaScript(text string) (stack []frame) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "at ")
		if !ok || len(stack) >= maxFrames {
			continue
		}
		var f frame
		place := rest
		if i := strings.LastIndex(rest, " ("); i >= 0 && strings.HasSuffix(rest, ")") {
			f.label, place = rest[:i], rest[i+2:len(rest)-1]
		}
		f.path = place
		// path:line:column
		if i := strings.LastIndexByte(place, ':'); i >= 0 {
			if k := strings.LastIndexByte(place[:i], ':'); k >= 0 {
				if n, err := strconv.Atoi(place[k+1 : i]); err == nil {
					f.path, f.line = place[:k], n
				}
			}
		}
		stack = append(stack, f)
	}
	return stack
}

// parseDotnet reads
//
//	System.FormatException: no such order
//	   at Shop.Orders.Find(String id) in /app/Orders.cs:line 37
func parseDotnet(text string) (stack []frame) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "at ")
		if !ok || len(stack) >= maxFrames {
			continue
		}
		f := frame{label: rest}
		if i := strings.LastIndex(rest, " in "); i >= 0 {
			f.label, f.path = rest[:i], rest[i+len(" in "):]
			if k := strings.LastIndex(f.path, ":line "); k >= 0 {
				f.line, _ = strconv.Atoi(f.path[k+len(":line "):])
				f.path = f.path[:k]
			}
		}
		stack = append(stack, f)
	}
	return stack
}

// parseGo reads
//
//	goroutine 19 [running]:
//	main.find(0x0)
//		/app/orders.go:37 +0x11
func parseGo(text string) (stack []frame) {
	var label string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || strings.HasPrefix(line, "goroutine "):
		case line[0] == '\t' || line[0] == ' ':
			if label == "" || len(stack) >= maxFrames {
				continue
			}
			place, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			f := frame{label: label, path: place}
			if i := strings.LastIndexByte(place, ':'); i >= 0 {
				if n, err := strconv.Atoi(place[i+1:]); err == nil {
					f.path, f.line = place[:i], n
				}
			}
			stack = append(stack, f)
			label = ""
		default:
			label = strings.TrimPrefix(line, "created by ")
		}
	}
	return stack
}
