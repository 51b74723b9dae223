package xrayapi

import (
	"errors"
	"slices"

	"github.com/roentgen-io/roentgen/internal/filterexpr"
	"github.com/roentgen-io/roentgen/internal/query"
	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// FilterError turns an error of query.Service.Filter into one for the caller.
func FilterError(err error) error {
	var syntax *filterexpr.Error
	var group *query.GroupError
	switch {
	case errors.As(err, &syntax):
		return apierr.New(apierr.InvalidRequest, "%s", syntax.Message)
	case errors.As(err, &group):
		return apierr.New(apierr.InvalidRequest, "%s", group.Error())
	case errors.Is(err, filterexpr.ErrGroups):
		return apierr.New(apierr.InvalidRequest, "The filter expressions of groups refer to each other in a circle, or are too large together")
	}
	return err
}

// appendMatchedEdge and appendMatchedService append the values of MatchedEdge
// and MatchedService: what met the first edge() or service() of the filter.
func appendMatchedEdge(dst []byte, r *trace.Row, m filterexpr.Matched) []byte {
	if !m.Edge || m.Call == nil {
		return append(dst, "null"...)
	}
	// The annotations of the callee are those of its segments in the trace.
	indexes := slices.Clone(m.Call.Annotations)
	for i := range r.Segments {
		if r.Segments[i].Service == m.Call.To {
			indexes = append(indexes, r.Segments[i].Annotations...)
		}
	}
	slices.Sort(indexes)
	return appendMatched(dst, "DestinationAnnotations", r, slices.Compact(indexes), m.Call.Flags, m.Call.Duration, m.Call.HasDuration)
}

func appendMatchedService(dst []byte, r *trace.Row, m filterexpr.Matched) []byte {
	switch {
	case m.Edge:
	case m.Segment != nil:
		return appendMatched(dst, "Annotations", r, m.Segment.Annotations, m.Segment.Flags, m.Segment.Duration, m.Segment.HasDuration)
	case m.Call != nil:
		return appendMatched(dst, "Annotations", r, m.Call.Annotations, m.Call.Flags, m.Call.Duration, m.Call.HasDuration)
	}
	return append(dst, "null"...)
}

func appendMatched(dst []byte, key string, r *trace.Row, annotations []int, flags trace.Flags, duration float64, hasDuration bool) []byte {
	list := make([]trace.Annotation, 0, len(annotations))
	for _, i := range annotations {
		list = append(list, r.Annotations[i])
	}
	dst = append(append(append(dst, `{"`...), key...), `":`...)
	dst = appendAnnotations(dst, list)
	throttle := flags&trace.FlagThrottle != 0
	dst = append(dst, `,"HasError":`...)
	dst = appendBool(dst, flags&trace.FlagError != 0 && !throttle)
	dst = append(dst, `,"HasFault":`...)
	dst = appendBool(dst, flags&trace.FlagFault != 0)
	dst = append(dst, `,"HasThrottle":`...)
	dst = appendBool(dst, throttle)
	dst = append(dst, `,"ResponseTime":`...)
	return append(appendDoubleOrNull(dst, duration, hasDuration), '}')
}

// maxAnnotationKeys is how many annotations a summary lists when some of them are
// only attributes of spans, of which a trace has any number. Real annotations are
// listed however many they are.
const maxAnnotationKeys = 50

// appendAnnotations appends annotations, sorted by key, as lists by key: first
// those that documents have, then attributes, but for links, which are only searched for.
func appendAnnotations(dst []byte, list []trace.Annotation) []byte {
	dst = append(dst, '{')
	keys := 0
	for _, attributes := range [...]bool{false, true} {
		for i := 0; i < len(list); {
			first, n, attribute := i, 0, true
			for ; i+n < len(list) && list[i+n].Key == list[i].Key; n++ {
				attribute = attribute && list[i+n].Attribute
			}
			i += n
			if attribute != attributes || attribute && (keys >= maxAnnotationKeys || list[first].Key == trace.LinkKey) {
				continue
			}
			if keys++; keys > 1 {
				dst = append(dst, ',')
			}
			dst = append(segment.AppendString(dst, list[first].Key), ":["...)
			for k, a := range list[first:i] {
				if k > 0 {
					dst = append(dst, ',')
				}
				dst = appendAnnotation(dst, a)
			}
			dst = append(dst, ']')
		}
	}
	return append(dst, '}')
}
