package webapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	// maxEvents bounds the events of a trace that are listed.
	maxEvents = 10_000
	// maxEventName and maxEventMessage bound their texts, in characters.
	maxEventName    = 100
	maxEventMessage = 300
)

// The kinds of events.
const (
	kindEvent     = "event"     // of an OpenTelemetry span
	kindException = "exception" // of a cause
)

// event is something that happened in an entry.
type event struct {
	Entry   string // id
	Kind    string
	Message string
	Name    string
	Time    *float64 // epoch seconds; null when it is not said
}

type eventsAnswer struct {
	Events   []event
	More     bool
	Revision int
}

// events answers GET /api/traces/{id}/events with the exceptions of the entries and the events of
// OpenTelemetry spans, entry by entry:
//
//	{"Events":[{"Entry":"53995c3f42cd8ad8","Kind":"exception","Message":"no answer","Name":"TimeoutError","Time":null}],"More":false,"Revision":1}
//
// X-Ray documents do not say when an exception happened; spans do.
func (h *handler) events(ctx context.Context, w http.ResponseWriter, r *http.Request, id segment.TraceID) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	t, spans, err := h.cfg.Query.TraceAndSpans(ctx, id, 0)
	switch {
	case err != nil:
		return err
	case t == nil:
		return notStored(id)
	case unchanged(w, r, t):
		return nil
	}
	answer := eventsAnswer{Events: []event{}, Revision: t.Revision}
	thrown := make(map[string]int) // the exceptions that have an id
	t.Entries(func(_ int, e *trace.Entry) bool {
		s := e.Segment()
		times := exceptionTimes(s, spans, e.Seq())
		entry := s.ID.String()
		add := func(v event) bool {
			if answer.More = len(answer.Events) == maxEvents; !answer.More {
				answer.Events = append(answer.Events, v)
			}
			return !answer.More
		}
		k := 0
		s.Cause.Get("exceptions").Elements(func(x segment.Raw) bool {
			v := event{Entry: entry, Kind: kindException, Message: line(x.Get("message"), maxEventMessage), Name: line(x.Get("type"), maxEventName)}
			if k < len(times) && times[k] > 0 {
				at := float64(times[k]) / 1e9
				v.Time = &at
			}
			k++
			if id := x.Get("id").String(); id != "" {
				if i, ok := thrown[id]; ok && answer.Events[i].Message == v.Message && answer.Events[i].Name == v.Name {
					// A segment and its call, made of one span, both have it: it is the call's.
					answer.Events[i] = v
					return true
				}
				thrown[id] = len(answer.Events)
			}
			return add(v)
		})
		s.Metadata.Get("otel", "events").Elements(func(x segment.Raw) bool {
			if x.Type() != segment.TypeObject {
				return true
			}
			v := event{Entry: entry, Kind: kindEvent, Message: attributesLine(x.Get("attributes")), Name: line(x.Get("name"), maxEventName)}
			if at := finite(x.Get("time")); at != nil && *at > 0 {
				v.Time = at
			}
			return add(v)
		})
		return !answer.More && ctx.Err() == nil
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	return replyJSON(w, answer)
}

// exceptionTimes returns when the exceptions of a segment happened, in Unix nanoseconds,
// as far as the span says that it came as.
func exceptionTimes(s *segment.Segment, spans map[uint64]otlp.SourcedSpan, seq uint64) []uint64 {
	span, ok := spans[seq]
	if !ok || s.Cause == nil {
		return nil
	}
	times, err := otlp.ExceptionTimes(span)
	if err != nil {
		return nil // the store holds what could be read once
	}
	return times
}

// line returns a value as one line of text: texts and numbers as they are, anything else as JSON.
func line(v segment.Raw, most int) string {
	var text string
	switch v.Type() {
	case segment.TypeString:
		text = v.String()
	case segment.TypeAbsent, segment.TypeNull:
		return ""
	default:
		text = string(v.AppendTo(nil))
	}
	if len(text) > 16*most {
		text = strings.ToValidUTF8(text[:16*most], "") // enough to fill it, whatever blanks there are
	}
	return clip(strings.Join(strings.Fields(text), " "), most)
}

// attributesLine returns attributes as "key=value key=value".
func attributesLine(attributes segment.Raw) string {
	var b strings.Builder
	attributes.Members(func(key string, v segment.Raw) bool {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(key + "=" + line(v, maxEventMessage))
		return b.Len() < 4*maxEventMessage
	})
	return clip(b.String(), maxEventMessage)
}
