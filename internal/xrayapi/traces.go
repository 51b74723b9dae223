package xrayapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/roentgen-io/roentgen/internal/trace"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

var batchGetTracesInput = &shape{kind: kStruct, members: []member{
	{name: "TraceIds", required: true, shape: list(lengths(1, 35))},
	{name: "NextToken", shape: stringShape},
}}

const (
	// defaultAnswerPage ends a page of BatchGetTraces: the answer gets a token.
	defaultAnswerPage = 32 << 20
	// answerBuffer is how much of an answer is collected before it is sent
	// without knowing its end.
	answerBuffer = 1 << 20
)

func (h *Handler) batchGetTraces(c *call, in *value) error {
	sh := batchGetTracesInput
	list := in.get(sh, "TraceIds")
	if list.n > h.limits.TraceIDs {
		return apierr.New(apierr.InvalidRequest, "Exceeding maximum query size: %d", h.limits.TraceIDs)
	}
	ids, err := distinctTraceIDs(list)
	if err != nil {
		return err
	}
	first := 0
	if v := in.get(sh, "NextToken"); v != nil {
		n, ok := decodeBatchToken(v.s, ids)
		if !ok {
			return apierr.New(apierr.InvalidRequest, "NextToken is currently not supported")
		}
		first = n
	}
	return h.writeTraces(c, ids, first)
}

// distinctTraceIDs reads trace ids, none of which may be there twice.
func distinctTraceIDs(list *value) ([]segment.TraceID, error) {
	ids := make([]segment.TraceID, 0, len(list.list))
	seen := make(map[segment.TraceID]bool, len(list.list))
	text := make(map[string]bool, len(list.list))
	for _, v := range list.list {
		if text[v.s] {
			return nil, errDuplicateIDs
		}
		text[v.s] = true
	}
	for _, v := range list.list {
		id, err := segment.ParseAnyTraceID(v.s)
		if err != nil {
			return nil, apierr.New(apierr.InvalidRequest, "Invalid trace id %s: incorrect id format", v.s)
		}
		if seen[id] { // one id in two spellings
			return nil, errDuplicateIDs
		}
		seen[id] = true
		ids = append(ids, id)
	}
	return ids, nil
}

var errDuplicateIDs = apierr.New(apierr.InvalidRequest, "Containing duplicate trace ids")

// writeTraces answers with the traces ids[first:]. While the answer fits into
// answerBuffer it is built whole, keys in alphabetical order. A larger one is
// streamed: then the token, which nobody knows before, comes as the last key.
func (h *Handler) writeTraces(c *call, ids []segment.TraceID, first int) error {
	a := answer{c: c, full: h.full, buf: append(make([]byte, 0, 16<<10), `"Traces":[`...)}
	token := "null"
	for i := first; i < len(ids); i++ {
		t, err := h.cfg.Query.Trace(c.ctx, ids[i])
		if err != nil {
			return err
		}
		if t == nil {
			continue
		}
		if a.traces > 0 {
			a.buf = append(a.buf, ',')
		}
		a.traces++
		if err := a.trace(t); err != nil {
			return err
		}
		if i+1 < len(ids) && a.sent+len(a.buf) >= h.answerPage {
			token = `"` + encodeBatchToken(i+1, ids) + `"`
			break
		}
	}
	a.buf = append(a.buf, ']')
	if !c.started {
		whole := append(make([]byte, 0, len(a.buf)+128), `{"NextToken":`...)
		whole = append(append(append(whole, token...), ','), a.buf...)
		return c.reply(append(whole, `,"UnprocessedTraceIds":[]}`...))
	}
	a.buf = append(a.buf, `,"UnprocessedTraceIds":[],"NextToken":`...)
	a.buf = append(append(a.buf, token...), '}')
	return a.flush()
}

func (h *Handler) full(id segment.TraceID) bool {
	return h.cfg.Ingester != nil && h.cfg.Ingester.TraceFull(id)
}

// answer collects what is to be sent and begins to send it when it grows large.
type answer struct {
	c      *call
	buf    []byte
	sent   int
	traces int
	full   func(segment.TraceID) bool // tells whether documents of a trace were refused for its size
}

// flush sends the buffer. An error means that the client is gone.
func (a *answer) flush() error {
	if !a.c.started {
		a.c.started = true
		if _, err := a.c.w.Write([]byte{'{'}); err != nil {
			return http.ErrAbortHandler
		}
	}
	n, err := a.c.w.Write(a.buf)
	a.sent += n
	a.buf = a.buf[:0]
	if err != nil {
		return http.ErrAbortHandler
	}
	if a.c.ctx.Err() != nil { // the client reads too slowly for the call's time
		return context.Cause(a.c.ctx)
	}
	return nil
}

func (a *answer) trace(t *trace.Trace) error {
	a.buf = append(a.buf, `{"Duration":`...)
	if d, ok := t.Duration(); ok {
		a.buf = appendDouble(a.buf, d)
	} else {
		a.buf = append(a.buf, "null"...)
	}
	a.buf = append(a.buf, `,"Id":"`...)
	a.buf = append(a.buf, t.ID.String()...)
	a.buf = append(a.buf, `","LimitExceeded":`...)
	a.buf = appendBool(a.buf, a.full(t.ID))
	a.buf = append(a.buf, `,"Segments":[`...)
	for i, d := range t.Documents(false) {
		if i > 0 {
			a.buf = append(a.buf, ',')
		}
		a.buf = append(a.buf, `{"Document":`...)
		a.buf = segment.AppendStringBytes(a.buf, d.Document)
		a.buf = append(a.buf, `,"Id":`...)
		a.buf = append(segment.AppendString(a.buf, d.ID), '}')
		if len(a.buf) >= answerBuffer {
			if err := a.flush(); err != nil {
				return err
			}
		}
	}
	a.buf = append(a.buf, "]}"...)
	return nil
}

// A token of BatchGetTraces is base64 of the index of the next id, big endian,
// four bytes, and the first 8 bytes of SHA-256 over it and all the ids.
const batchTokenLen = 4 + 8

var batchTokenEncoding = base64.RawURLEncoding.Strict()

func encodeBatchToken(next int, ids []segment.TraceID) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(next))
	b = append(b, batchTokenSum(b, ids)...)
	return batchTokenEncoding.EncodeToString(b)
}

func batchTokenSum(index []byte, ids []segment.TraceID) []byte {
	sum := sha256.New()
	sum.Write(index)
	for _, id := range ids {
		sum.Write(id[:])
	}
	return sum.Sum(nil)[:batchTokenLen-4]
}

func decodeBatchToken(text string, ids []segment.TraceID) (next int, ok bool) {
	b, err := batchTokenEncoding.DecodeString(text)
	if err != nil || len(b) != batchTokenLen || len(text) != batchTokenEncoding.EncodedLen(batchTokenLen) ||
		string(b[4:]) != string(batchTokenSum(b[:4], ids)) {
		return 0, false
	}
	next = int(binary.BigEndian.Uint32(b))
	return next, next < len(ids)
}
