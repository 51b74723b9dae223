package webapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

const (
	// importDocuments and importBytes end a batch of JSON lines: large enough
	// that syncs do not matter, small enough that memory does not.
	importDocuments = 1000
	importBytes     = 4 << 20
	// maxImportDocuments bounds a JSON body, whose documents are one put.
	maxImportDocuments = 10_000
	// listedRefusals is how many refusals of an import are listed; all are
	// counted, and the beginnings of many are kept as dead letters.
	listedRefusals = maxImportDocuments
	// listedBytes is how much the list may grow: a refusal holds the id as it was
	// written, which may be as long as a document.
	listedBytes = 8 << 20
	// importWait is how long an import waits for a store that is overloaded.
	importWait = 20 * time.Second
)

// imports answers POST /api/import. The body is that of PutTraceSegments or,
// with content type application/x-ndjson, one document a line, of any length
// in all. The answer:
//
//	{"Accepted":998,"Refused":2,"RefusedNotListed":0,"UnprocessedTraceSegments":
//	[{"Detail":"...","ErrorCode":"MissingId","Id":null,"Line":7,"Message":"...","Remedy":"..."}]}
//
// Line is the line of the body, or the place in the list, from 1. A failure
// halfway says in its message how many documents were stored.
func (h *handler) imports(w http.ResponseWriter, r *http.Request) error {
	im := &importing{h: h, ctx: context.WithoutCancel(r.Context()), from: ingest.Origin{Source: ingest.SourceImport, Peer: r.RemoteAddr}}
	var err error
	if isLines(r) {
		src, done, e := h.cfg.Bodies.Decoded(r)
		if e != nil {
			return e
		}
		defer done()
		err = im.lines(src)
	} else {
		err = im.body(r)
	}
	if err != nil {
		if im.accepted+im.refused == 0 {
			return err
		}
		var e *apierr.Error
		if !errors.As(err, &e) {
			e = xrayapi.StoreError(err, r.URL.Path)
		}
		return apierr.Wrap(err, e.Code, "%s (of %d lines read, %d documents were stored and %d refused before that)", e.Message, im.line, im.accepted, im.refused)
	}
	dst := append([]byte(nil), `{"Accepted":`...)
	dst = strconv.AppendInt(dst, int64(im.accepted), 10)
	dst = append(dst, `,"Refused":`...)
	dst = strconv.AppendInt(dst, int64(im.refused), 10)
	dst = append(dst, `,"RefusedNotListed":`...)
	dst = strconv.AppendInt(dst, int64(im.refused-im.listed), 10)
	dst = append(dst, `,"UnprocessedTraceSegments":[`...)
	dst = append(dst, im.list...)
	return reply(w, append(dst, "]}"...))
}

func isLines(r *http.Request) bool {
	t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return t == "application/x-ndjson" || t == "application/ndjson" || t == "application/jsonl" || t == "application/x-jsonlines"
}

// importing is an import under way.
type importing struct {
	h    *handler
	ctx  context.Context
	from ingest.Origin

	accepted, refused, listed int
	list                      []byte // JSON of the listed refusals
	line                      int    // the line read last
}

func (im *importing) body(r *http.Request) error {
	body, err := im.h.cfg.Bodies.Read(r, im.h.cfg.BodyBytes)
	if err != nil {
		return err
	}
	defer body.Free()
	docs, err := xrayapi.TakeDocuments(body, maxImportDocuments)
	if err != nil {
		return err
	}
	return im.put(docs, nil)
}

// lines reads one document a line, in batches.
func (im *importing) lines(src io.Reader) error {
	in := bufio.NewReaderSize(bodyReader{src}, 64<<10)
	held := im.h.cfg.Bodies.Hold()
	defer held.Free()
	var docs [][]byte
	var at []int
	size := 0
	flush := func() (err error) {
		if len(docs) > 0 {
			err = im.put(docs, at)
		}
		docs, at, size = nil, nil, 0 // the store has them now
		held.Release()
		return err
	}
	for {
		text, err := readLine(in, im.h.cfg.BodyBytes, held)
		im.line++
		if err != nil && err != io.EOF {
			if flushErr := flush(); flushErr != nil {
				return flushErr
			}
			return err
		}
		size += len(text)
		if text = bytes.TrimSpace(text); len(text) > 0 {
			docs, at = append(docs, text), append(at, im.line)
		}
		if len(docs) >= importDocuments || size >= importBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return flush()
		}
	}
}

// bodyReader turns errors of reading a body into errors for its sender.
type bodyReader struct{ io.Reader }

func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = xrayapi.BodyError(err)
	}
	return n, err
}

// readLine returns the next line in memory of its own, which held accounts for,
// and io.EOF with the last.
func readLine(in *bufio.Reader, max int64, held *xrayapi.Body) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if int64(len(line)+len(part)) > max {
			return nil, apierr.New(apierr.BodyTooLarge, "a line is longer than %d bytes", max)
		}
		if err := held.Grow(len(part)); err != nil {
			return nil, err
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// put imports a batch. An overloaded store is given time: an import has it.
// at holds the line of each document, nil for their places in the list.
func (im *importing) put(docs [][]byte, at []int) error {
	wait := 10 * time.Millisecond
	until := time.Now().Add(importWait)
	for {
		ctx, cancel := context.WithTimeout(im.ctx, im.h.cfg.Timeout)
		report, err := im.h.cfg.Ingester.ImportReport(ctx, im.from, docs)
		cancel()
		if errors.Is(err, tracestore.ErrOverloaded) && time.Now().Add(wait).Before(until) {
			time.Sleep(wait)
			wait = min(2*wait, time.Second)
			continue
		}
		if err != nil {
			return err
		}
		im.accepted += report.Accepted
		im.refused += len(report.Refusals)
		for i, r := range report.Refusals {
			line := report.At[i] + 1
			if at != nil {
				line = at[report.At[i]]
			}
			im.add(r, line)
		}
		return nil
	}
}

// add lists a refusal.
func (im *importing) add(r *segment.Refusal, line int) {
	if im.listed >= listedRefusals || len(im.list) >= listedBytes {
		return
	}
	if im.listed > 0 {
		im.list = append(im.list, ',')
	}
	im.listed++
	dst := append(im.list, `{"Detail":`...)
	dst = segment.AppendString(dst, r.Detail)
	dst = append(dst, `,"ErrorCode":`...)
	dst = segment.AppendString(dst, string(r.Code))
	dst = append(dst, `,"Id":`...)
	if r.HasID {
		dst = segment.AppendString(dst, r.ID)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"Line":`...)
	dst = strconv.AppendInt(dst, int64(line), 10)
	dst = append(dst, `,"Message":`...)
	dst = segment.AppendString(dst, r.Message)
	dst = append(dst, `,"Remedy":`...)
	im.list = append(segment.AppendString(dst, r.Remedy), '}')
}
