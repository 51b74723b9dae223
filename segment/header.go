package segment

import (
	"errors"
	"fmt"
	"strings"
)

// ErrTraceHeader is matched by every error of ParseTraceHeader.
var ErrTraceHeader = errors.New("segment: not a trace header")

// Sampled is the sampling decision in a trace header.
type Sampled uint8

const (
	SampledUnknown   Sampled = iota // not said: undecided
	SampledNo                       // Sampled=0
	SampledYes                      // Sampled=1
	SampledRequested                // Sampled=?: please decide and tell in the response
)

// TraceHeader is the value of an X-Amzn-Trace-Id header.
type TraceHeader struct {
	Root      TraceID
	Parent    SegmentID // meaningful when HasParent
	HasParent bool
	Sampled   Sampled
	Lineage   string // Lambda's loop detection, forwarded untouched
	Self      string // added by load balancers; no part of the trace
	Extra     []HeaderField
}

// HeaderField is a key and value of a trace header that X-Ray has no meaning for.
type HeaderField struct{ Key, Value string }

// TraceHeaderName is the name of the HTTP header.
const TraceHeaderName = "X-Amzn-Trace-Id"

// ParseTraceHeader reads a header value liberally: parts in any order, white
// space around them, keys in any case, a trailing semicolon. The last of parts
// with one key counts; parts without "=" or without a key are passed over. An
// epoch of fewer than 8 digits in Root is filled up with zeros on the left, as
// some propagators write and read it. Of extra fields the first 64 are kept.
//
// It returns an error that matches ErrTraceHeader when Root is missing or no
// trace id, when Parent is no segment id, or when Sampled is a number other
// than 0 and 1. An empty Parent or Sampled, and a Sampled of other text, say
// nothing.
func ParseTraceHeader(s string) (TraceHeader, error) {
	var h TraceHeader
	var hasRoot bool
	for part := range strings.SplitSeq(s, ";") {
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" {
			continue
		}
		switch {
		case strings.EqualFold(key, "Root"):
			if h.Root, hasRoot = parseHeaderRoot(value); !hasRoot {
				return TraceHeader{}, fmt.Errorf("%w: Root %s is no trace id", ErrTraceHeader, quote(value))
			}
		case strings.EqualFold(key, "Parent"):
			if h.Parent, h.HasParent = parseSegmentID(value); !h.HasParent && value != "" {
				return TraceHeader{}, fmt.Errorf("%w: Parent %s is no segment id", ErrTraceHeader, quote(value))
			}
		case strings.EqualFold(key, "Sampled"):
			switch value {
			case "0":
				h.Sampled = SampledNo
			case "1":
				h.Sampled = SampledYes
			case "?":
				h.Sampled = SampledRequested
			default:
				if value != "" && strings.Trim(value, "0123456789") == "" {
					return TraceHeader{}, fmt.Errorf("%w: Sampled is %s, not 0, 1 or ?", ErrTraceHeader, quote(value))
				}
				h.Sampled = SampledUnknown
			}
		case strings.EqualFold(key, "Lineage"):
			h.Lineage = value
		case strings.EqualFold(key, "Self"):
			h.Self = value
		default:
			h.setExtra(key, value)
		}
	}
	if !hasRoot {
		return TraceHeader{}, fmt.Errorf("%w: there is no Root", ErrTraceHeader)
	}
	return h, nil
}

func (h *TraceHeader) setExtra(key, value string) {
	for i := range h.Extra {
		if h.Extra[i].Key == key {
			h.Extra[i].Value = value
			return
		}
	}
	// A header has a handful of parts. One that has many is not looked through
	// again and again.
	const most = 64
	if len(h.Extra) < most {
		h.Extra = append(h.Extra, HeaderField{key, value})
	}
}

func parseHeaderRoot(s string) (TraceID, bool) {
	if id, ok := parseTraceID(s); ok {
		return id, true
	}
	epoch, rest, _ := strings.Cut(strings.TrimPrefix(s, "1-"), "-")
	if !strings.HasPrefix(s, "1-") || epoch == "" || len(epoch) > 8 {
		return TraceID{}, false
	}
	return parseTraceID("1-" + strings.Repeat("0", 8-len(epoch)) + epoch + "-" + rest)
}

// String formats the header as Root, Parent, Sampled, Lineage, then the extra
// fields. Self is left out: it belongs to the load balancer that added it.
func (h TraceHeader) String() string {
	b := make([]byte, 0, 96)
	b = append(b, "Root="...)
	b = h.Root.append(b)
	if h.HasParent {
		b = append(b, ";Parent="...)
		b = h.Parent.append(b)
	}
	switch h.Sampled {
	case SampledNo:
		b = append(b, ";Sampled=0"...)
	case SampledYes:
		b = append(b, ";Sampled=1"...)
	case SampledRequested:
		b = append(b, ";Sampled=?"...)
	}
	if h.Lineage != "" {
		b = append(b, ";Lineage="...)
		b = append(b, h.Lineage...)
	}
	for _, f := range h.Extra {
		b = append(b, ';')
		b = append(b, f.Key...)
		b = append(b, '=')
		b = append(b, f.Value...)
	}
	return string(b)
}
