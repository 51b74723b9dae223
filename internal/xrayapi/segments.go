package xrayapi

import (
	"unsafe"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var putTraceSegmentsInput = &shape{kind: kStruct, members: []member{
	{name: "TraceSegmentDocuments", required: true, shape: list(stringShape)},
}}

// TakeDocuments is SegmentDocuments for a body whose documents count among all bodies
// in place of the request's own bytes, until the body is freed.
func TakeDocuments(body *Body, max int) ([][]byte, error) {
	size := len(body.Data)
	if err := body.Grow(size); err != nil { // they are copied, and never larger than what they come from
		return nil, err
	}
	docs, err := SegmentDocuments(body.Data, max)
	if err == nil {
		body.Drop(int64(size)) // nothing refers to it any more, and storing may take a while
	}
	return docs, err
}

// SegmentDocuments reads a PutTraceSegments request: at most max documents, in
// memory of their own, which the caller counts. The error is an *apierr.Error.
func SegmentDocuments(body []byte, max int) ([][]byte, error) {
	docs, ok := scanSegments(body, max)
	if !ok {
		in, err := decode(body, putTraceSegmentsInput)
		if err != nil {
			return nil, err
		}
		if err := validate(in, putTraceSegmentsInput); err != nil {
			return nil, err
		}
		list := in.get(putTraceSegmentsInput, "TraceSegmentDocuments")
		if list.n > max {
			return nil, tooManyDocuments(max)
		}
		docs = make([][]byte, 0, len(list.list))
		for _, v := range list.list {
			// Each text has memory of its own that nothing else refers to, so it
			// need not be copied to become bytes.
			docs = append(docs, unsafe.Slice(unsafe.StringData(v.s), len(v.s)))
		}
	}
	switch {
	case len(docs) == 0:
		return nil, apierr.New(apierr.InvalidRequest, "Segments can not be empty")
	case len(docs) > max:
		return nil, tooManyDocuments(max)
	}
	return docs, nil
}

func tooManyDocuments(max int) error {
	return apierr.New(apierr.InvalidRequest, "Exceeding maximum segment count: %d", max)
}

func (h *Handler) putTraceSegments(c *call, body *Body) error {
	size := len(body.Data)
	docs, err := TakeDocuments(body, h.limits.Documents)
	if err != nil {
		return err
	}
	if !h.rate.Take(len(docs)) || !keys.Of(c.ctx).Take(len(docs), size) {
		return apierr.New(apierr.Throttled, "Rate exceeded")
	}
	refused, err := h.cfg.Ingester.Put(c.ctx, ingest.Origin{Source: ingest.SourceHTTP, Peer: c.r.RemoteAddr, Via: c.r.Header.Get(ingest.HeaderVia)}, docs)
	if err != nil {
		return err
	}
	if len(refused) == 0 {
		return c.reply(allProcessed)
	}
	answer := append(make([]byte, 0, 128*len(refused)+64), `{"UnprocessedTraceSegments":[`...)
	for i, r := range refused {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = appendUnprocessed(answer, r)
	}
	return c.reply(append(answer, "]}"...))
}

var allProcessed = []byte(`{"UnprocessedTraceSegments":[]}`)

func appendUnprocessed(dst []byte, r *segment.Refusal) []byte {
	dst = append(dst, `{"ErrorCode":`...)
	dst = segment.AppendString(dst, string(r.Code))
	dst = append(dst, `,"Id":`...)
	if r.HasID {
		dst = segment.AppendString(dst, r.ID)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"Message":`...)
	return append(segment.AppendString(dst, r.Message), '}')
}
