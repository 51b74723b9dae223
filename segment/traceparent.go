package segment

import (
	"errors"
	"fmt"
	"strings"
)

// TraceparentName is the name of the HTTP header in which W3C Trace Context carries
// what X-Ray carries in TraceHeaderName.
const TraceparentName = "traceparent"

// ErrTraceparent is matched by every error of ParseTraceparent and Traceparent.
var ErrTraceparent = errors.New("segment: not a traceparent header")

// ParseTraceparent reads the value of a traceparent header as a trace header:
//
//	00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01
//	Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1
//
// Ids are the same in both, written differently. Digits have to be lower-case, as W3C
// demands; ids of zeros are invalid there. A version that is not known is read as far
// as version 00 goes, and so is what W3C calls flags, of which sampled is the only one
// that X-Ray has.
func ParseTraceparent(s string) (TraceHeader, error) {
	s = strings.TrimSpace(s)
	fail := func(why string) (TraceHeader, error) {
		return TraceHeader{}, fmt.Errorf("%w: %s", ErrTraceparent, why)
	}
	const size = len("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01")
	if len(s) < size || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return fail("it is not written like 00-(32 digits)-(16 digits)-(2 digits)")
	}
	if strings.ContainsAny(s[:size], "ABCDEF") {
		return fail("it has upper-case digits")
	}
	var version, flags [1]byte
	var parent [8]byte
	var h TraceHeader
	if !decodeHex(version[:], s) || !decodeHex(h.Root[:], s[3:]) || !decodeHex(parent[:], s[36:]) || !decodeHex(flags[:], s[53:]) {
		return fail("it has something else where hexadecimal digits belong")
	}
	switch {
	case version[0] == 0xff:
		return fail("its version is ff")
	case version[0] == 0 && len(s) != size || len(s) > size && s[size] != '-':
		return fail("something follows the flags")
	case h.Root.IsZero():
		return fail("the trace id is zero")
	}
	h.Parent, h.HasParent = parseSegmentID(s[36:52])
	if h.Parent == 0 {
		return fail("the parent id is zero")
	}
	h.Sampled = SampledNo
	if flags[0]&1 != 0 {
		h.Sampled = SampledYes
	}
	return h, nil
}

// Traceparent formats the header as a W3C traceparent, with the sampled flag only when
// it was decided for: what X-Ray leaves open, W3C cannot say. Lineage and further
// fields have no place in it. It returns an error when there is no parent, or when an
// id is zero, since such a traceparent is invalid.
func (h TraceHeader) Traceparent() (string, error) {
	switch {
	case h.Root.IsZero():
		return "", fmt.Errorf("%w: there is no trace id", ErrTraceparent)
	case !h.HasParent || h.Parent == 0:
		return "", fmt.Errorf("%w: there is no parent id", ErrTraceparent)
	}
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = appendHex(b, h.Root[:])
	b = append(b, '-')
	b = h.Parent.append(b)
	if h.Sampled == SampledYes {
		b = append(b, "-01"...)
	} else {
		b = append(b, "-00"...)
	}
	return string(b), nil
}
