package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/roentgen-io/roentgen/segment"
)

// A framed connection, over TCP or a Unix socket, begins with the header that
// datagrams begin with, on a line of its own, and may say more in it:
//
//	{"format":"json","version":1,"framing":"lines","ack":true}
//
// framing "lines" (the default): every line that follows is a document. Lines
// that hold such a header again are passed over, so that whoever writes what it
// would send as datagrams, each with a newline behind it, is understood.
// framing "length": four bytes, the length in network order, and so many bytes of
// document, again and again.
//
// With "ack", documents are checked, and the agent writes a line when those
// that came are on the disk:
//
//	{"acknowledged":12}
//	{"acknowledged":13,"unprocessed":[{"Index":12,"Id":null,"ErrorCode":"ParseError","Message":"..."}]}
//
// acknowledged counts the documents of the connection that were dealt with; those
// listed as unprocessed, by their index on the connection, were refused. When
// the spool takes nothing the line says why as "error", and the connection ends;
// what is not acknowledged has to be sent again. Without ack the agent stops
// reading until it can take more.
type streamHeader struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Framing string `json:"framing"`
	Ack     bool   `json:"ack"`
}

const (
	maxStreamHeader = 1 << 10
	// streamBatch is how many documents that have arrived already go to the spool at once.
	streamBatch      = 500
	streamBatchBytes = 1 << 20
	streamIdle       = 10 * time.Minute
	// streamWithin is how long a document may take once its first byte came.
	streamWithin = 30 * time.Second
	// maxLarge bounds the memory of documents that do not fit into the buffer of
	// their connection: as many of the largest size at once, over all connections.
	maxLarge = 2 * MaxDocument
	// streamBuffer is the buffer of a connection.
	streamBuffer = 16 << 10
)

// streamAnswer is a line that the agent writes.
type streamAnswer struct {
	Acknowledged int64           `json:"acknowledged"`
	Unprocessed  []streamRefusal `json:"unprocessed,omitempty"`
	Error        string          `json:"error,omitempty"`
}

type streamRefusal struct {
	Index     int64
	Id        *string
	ErrorCode string
	Message   string
}

// stream serves framed connections.
type stream struct {
	in    *intake
	ctx   context.Context     // ends when the agent stops
	large *semaphore.Weighted // bytes, up to maxLarge
}

// frames reads the documents of a connection.
type frames struct {
	*bufio.Reader
	s    *stream
	c    net.Conn
	held bool // memory for a large document is taken
}

// grow takes memory for a large document.
func (r *frames) grow() error {
	if r.held {
		return nil
	}
	if err := r.s.large.Acquire(r.s.ctx, MaxDocument); err != nil {
		return err
	}
	r.held = true
	r.s.patience(r.c, streamWithin) // the wait was not the sender's
	return nil
}

// release gives it back.
func (r *frames) release() {
	if r.held {
		r.s.large.Release(MaxDocument)
		r.held = false
	}
}

// serve reads a connection to its end and closes it.
func (s *stream) serve(c net.Conn) {
	defer c.Close()
	r := &frames{Reader: bufio.NewReaderSize(c, streamBuffer), s: s, c: c}
	defer r.release()
	fail := func(err error) {
		s.in.rejected.stream.Add(1)
		text, merr := json.Marshal(streamAnswer{Error: err.Error()})
		if merr != nil {
			return
		}
		c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write(append(text, '\n')) // the sender may be gone
	}
	s.patience(c, firstByteWithin)
	line, err := readLine(r, maxStreamHeader)
	if err != nil {
		fail(errors.New("the first line is no header"))
		return
	}
	h, err := parseStreamHeader(line)
	if err != nil {
		fail(err)
		return
	}
	next := nextLine
	if h.Framing == "length" {
		next = nextLength
	}
	total := int64(0)
	for {
		var docs [][]byte
		size := 0
		var end error
		// What has arrived already goes together; otherwise one document is waited for.
		for len(docs) < streamBatch && size < streamBatchBytes && !r.held && (len(docs) == 0 || r.Buffered() > 0) {
			if r.Buffered() == 0 {
				s.patience(c, streamIdle)
				if _, end = r.Peek(1); end != nil {
					break
				}
			}
			s.patience(c, streamWithin)
			var doc []byte
			if doc, end = next(r); end != nil {
				break
			}
			if doc = trim(doc); len(doc) > 0 {
				docs = append(docs, doc)
				size += len(doc)
			}
		}
		if len(docs) > 0 && !s.take(c, docs, h.Ack, &total) {
			return
		}
		r.release()
		if end != nil {
			if !errors.Is(end, io.EOF) && !errors.Is(end, os.ErrDeadlineExceeded) {
				fail(end)
			}
			return
		}
	}
}

// patience is how long the next read may wait: not at all when the agent stops.
// The context ends before connections are told to, so that whoever comes last
// here or there leaves a deadline that has passed.
func (s *stream) patience(c net.Conn, d time.Duration) {
	c.SetReadDeadline(time.Now().Add(d))
	if s.ctx.Err() != nil {
		c.SetReadDeadline(time.Now())
	}
}

func parseStreamHeader(line []byte) (h streamHeader, err error) {
	if json.Unmarshal(line, &h) != nil {
		return h, errors.New("the first line is no header: it should be a JSON object with format and version")
	}
	switch {
	case !strings.EqualFold(h.Format, "json"):
		return h, errors.New("the header's format is not json")
	case h.Version != 1:
		return h, errors.New("the header's version is not 1")
	case h.Framing != "" && h.Framing != "lines" && h.Framing != "length":
		return h, fmt.Errorf("the header's framing is %.20q; there are lines and length", h.Framing)
	}
	return h, nil
}

// errLong ends a connection whose next document nobody can take.
var errLong = fmt.Errorf("a document is longer than %d bytes", MaxDocument)

// readLine reads a line of at most n bytes, without its end.
func readLine(r *frames, n int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > n+1 {
			return nil, errLong
		}
		line = append(line, part...)
		if err == bufio.ErrBufferFull {
			if err := r.grow(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil && len(bytes.TrimSpace(line)) == 0 {
			return nil, err
		}
		// The last line needs no end, unless the connection broke off.
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return bytes.TrimSuffix(line, []byte("\n")), nil
	}
}

func nextLine(r *frames) ([]byte, error) {
	line, err := readLine(r, MaxDocument)
	if err == nil && len(line) <= maxStreamHeader && bytes.Contains(line, []byte(`"format"`)) {
		if _, herr := parseStreamHeader(line); herr == nil {
			return nil, nil
		}
	}
	return line, err
}

func nextLength(r *frames) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxDocument {
		return nil, errLong
	}
	if n > streamBuffer {
		if err := r.grow(); err != nil {
			return nil, err
		}
	}
	// Memory grows with what arrives, not with what was announced.
	var doc bytes.Buffer
	if _, err := io.CopyN(&doc, r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the connection ended within a document")
		}
		return nil, err
	}
	return doc.Bytes(), nil
}

// take puts documents into the spool and answers. It returns false when the
// connection has to end.
func (s *stream) take(c net.Conn, docs [][]byte, ack bool, total *int64) bool {
	if !ack {
		pause := 5 * time.Millisecond
		for {
			err := s.in.put(s.ctx, wayStream, docs, false)
			if err == nil {
				*total += int64(len(docs))
				return true
			}
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
				s.in.spilled.stream.Add(int64(len(docs)))
				return false
			}
			pause = min(2*pause, time.Second)
		}
	}
	var answer streamAnswer
	var good [][]byte
	for i, doc := range docs {
		segment.ParseAll(doc, segment.Limits{DocumentBytes: MaxDocument}, func(text []byte, _ *segment.Segment) {
			good = append(good, text)
		}, func(_ []byte, r *segment.Refusal) {
			u := streamRefusal{Index: *total + int64(i), ErrorCode: string(r.Code), Message: r.Message}
			if r.HasID {
				u.Id = &r.ID
			}
			answer.Unprocessed = append(answer.Unprocessed, u)
		})
	}
	s.in.rejected.stream.Add(int64(len(answer.Unprocessed)))
	// Even when the agent stops, what was read is made durable before the spool closes.
	err := s.in.put(context.WithoutCancel(s.ctx), wayStream, good, true)
	if err != nil {
		answer = streamAnswer{Error: err.Error()}
	} else {
		*total += int64(len(docs))
	}
	answer.Acknowledged = *total
	text, merr := json.Marshal(answer)
	if merr != nil {
		return false
	}
	c.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_, werr := c.Write(append(text, '\n'))
	return err == nil && werr == nil
}
