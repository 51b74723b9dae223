package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/segment"
)

// MaxDocument is the largest document that the agent takes. AWS X-Ray takes
// little more than 64 KB; Roentgen takes more than this.
const MaxDocument = 4 << 20

// Ways in, which label metrics.
const (
	wayUDP    = "udp"
	wayStream = "stream" // framed, over TCP or a Unix socket
	wayHTTP   = "http"
)

// counts is a counter for each way in.
type counts struct {
	udp, stream, http atomic.Int64
}

func (c *counts) of(way string) *atomic.Int64 {
	switch way {
	case wayUDP:
		return &c.udp
	case wayHTTP:
		return &c.http
	}
	return &c.stream
}

func (c *counts) total() int64 { return c.udp.Load() + c.stream.Load() + c.http.Load() }

// intake takes documents from the receivers, works on them as the rules say, and
// puts them into the spool.
type intake struct {
	spool   *spool.Spool
	outbox  *outbox // of which spool is a part
	letters *letters
	logger  *slog.Logger
	rules   atomic.Pointer[processor] // nil: documents stay as they came

	received counts       // documents that arrived
	rejected counts       // of them no documents at all, or refused on the spot
	spilled  counts       // lost, since the disk was full or the agent ended
	dropped  atomic.Int64 // by rules, on purpose

	// full counts reads in a row that returned as many datagrams as a read can, so
	// that more wait in the kernel; fullAt is when the last was, in unix nanoseconds.
	full   atomic.Int32
	fullAt atomic.Int64

	mu    sync.Mutex
	until time.Time // letters of malformed datagrams wait until then
}

// errBusy tells a sender to come again.
var errBusy = errors.New("agent: the spool takes nothing at the moment")

// put puts documents into the spool; with wait it returns when they are durable.
// It neither keeps nor changes docs.
func (in *intake) put(ctx context.Context, way string, docs [][]byte, wait bool) error {
	kept := docs
	if p := in.rules.Load(); p != nil {
		var dropped int
		kept, dropped = p.apply(docs)
		in.dropped.Add(int64(dropped))
	}
	if len(kept) > 0 {
		if err := in.spool.Append(ctx, spool.KindXRay, kept, wait); err != nil {
			return fmt.Errorf("%w: %w", errBusy, err)
		}
	}
	in.received.of(way).Add(int64(len(docs)))
	return nil
}

// call is what a call of PutTraceSegments brings.
type call struct {
	via   string // as ingest.HeaderVia says it
	docs  [][]byte
	marks []uint64 // of docs, as markOf gives them
}

// putCall puts the documents of a call into the spool and returns when they are
// durable. Those that come back from where they were sent stay out of it.
func (in *intake) putCall(ctx context.Context, c call) error {
	loops := in.outbox.loops
	via, back := loops.through(c.via)
	if back {
		loops.noteLooped(len(c.docs), c.via)
		in.received.http.Add(int64(len(c.docs)))
		return nil
	}
	p := in.rules.Load()
	list := make([]tagged, 0, len(c.docs))
	repeated, dropped := 0, 0
	for i, known := range loops.sent.has(c.marks) {
		if known {
			repeated++
			continue
		}
		kept := c.docs[i : i+1]
		if p != nil {
			var n int
			kept, n = p.apply(kept)
			dropped += n
		}
		for _, doc := range kept {
			list = append(list, tagged{form: FormXRay, mark: c.marks[i], data: doc})
		}
	}
	loops.noteRepeated(repeated)
	in.dropped.Add(int64(dropped))
	if err := in.outbox.keep(ctx, via, list); err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	in.received.http.Add(int64(len(c.docs)))
	return nil
}

const (
	fullRead = 60 // of the 64 datagrams that a read returns at most
	// pressedFrom is how many full reads in a row mean that the reader cannot follow.
	pressedFrom = 8
	// pressedFor is how long that holds after the last of them: there may be no
	// read after it that is not full.
	pressedFor = 100 * time.Millisecond
)

// pressed reports whether datagrams come faster than they are read. What is on
// the disk can wait then; what is in the kernel's buffer cannot.
func (in *intake) pressed() bool {
	return in.full.Load() >= pressedFrom && time.Since(time.Unix(0, in.fullAt.Load())).Abs() < pressedFor
}

// udpSink takes what the UDP receiver reads.
type udpSink struct {
	in  *intake
	ctx context.Context // ends when waiting for the disk has to
}

// Put implements udp.Sink. The agent takes documents with take instead.
func (s udpSink) Put(context.Context, ingest.Origin, [][]byte) ([]*segment.Refusal, error) {
	return nil, errors.ErrUnsupported
}

// take puts what was read from the socket into the spool. Nobody waits for the
// disk: the sender of a datagram never learns what became of it. While the disk
// is slow, take waits and the kernel's buffer fills; while it takes nothing,
// documents are dropped and counted, once the spool's memory is full.
func (s udpSink) take(docs [][]byte) (dropped int) {
	if len(docs) < fullRead {
		s.in.full.Store(0)
	} else {
		s.in.full.Add(1)
		s.in.fullAt.Store(time.Now().UnixNano())
	}
	kept := docs[:0]
	for _, doc := range docs {
		// SDKs end documents with newlines, and some with NULs.
		if doc = trim(doc); len(doc) > 0 {
			kept = append(kept, doc)
		} else {
			s.in.rejected.udp.Add(1)
		}
	}
	if err := s.in.put(s.ctx, wayUDP, kept, false); err != nil {
		s.in.received.udp.Add(int64(len(kept)))
		s.in.spilled.udp.Add(int64(len(kept)))
		return len(kept)
	}
	return 0
}

// trim cuts white space and NULs off both ends.
func trim(doc []byte) []byte {
	// Nearly always there is nothing to cut.
	if n := len(doc); n > 0 && doc[0] > ' ' && doc[n-1] > ' ' {
		return doc
	}
	return bytes.Trim(doc, "\x00 \t\r\n")
}

// Malformed implements udp.Sink. Of a flood of malformed datagrams a few a
// second are kept.
func (s udpSink) Malformed(from ingest.Origin, data []byte, reason string) {
	s.in.rejected.udp.Add(1)
	s.in.malformed(from.Peer, data, reason)
}

func (in *intake) malformed(peer string, data []byte, reason string) {
	now := time.Now()
	in.mu.Lock()
	wait := now.Before(in.until)
	if !wait {
		in.until = now.Add(200 * time.Millisecond)
	}
	in.mu.Unlock()
	if wait {
		in.letters.dropped.Add(1)
		return
	}
	in.letters.add([]Letter{{Time: now, Peer: peer, Code: ingest.CodeMalformed, Message: reason, Document: string(data[:min(len(data), 4<<10)])}})
}
