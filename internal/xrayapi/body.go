package xrayapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

const (
	// firstRoom is how much room a body gets at first: a client that promises one and
	// does not send it shall not cost more.
	firstRoom = 4 << 10
	// bodyStep is what it gets when that is full. What a client declares is believed
	// up to here; beyond it room grows with what arrives.
	bodyStep = 64 << 10
	// pooledBody is the largest buffer that is kept for the next request.
	pooledBody = 1 << 20
)

// Bodies reads request bodies into pooled buffers and bounds their sum, and that of
// the documents that come from them until they are stored: what many clients send at
// once must not fill the memory.
type Bodies struct {
	limit int64 // bytes over all bodies being read or used
	used  atomic.Int64
	// unproved is the part of used whose senders may be anybody: at most half of the
	// limit, so that the others are not crowded out.
	unproved atomic.Int64

	small sync.Pool // *[]byte of firstRoom at most
	bufs  sync.Pool // *[]byte of pooledBody at most
	gzips sync.Pool // *gzip.Reader
	left  leftovers
}

// NewBodies returns a reader of bodies that hold at most limit bytes together.
func NewBodies(limit int64) *Bodies { return &Bodies{limit: limit} }

// Used returns the bytes held at the moment.
func (p *Bodies) Used() int64 { return p.used.Load() }

// Body is the body of a request, decompressed. Its bytes are valid until Free.
type Body struct {
	Data []byte
	pool *Bodies
	held int64
	buf  *[]byte

	unproved bool // all that is held is counted in pool.unproved
}

// Free gives the buffer back. It is safe to call twice.
func (b *Body) Free() {
	if b.pool == nil {
		return
	}
	b.Drop(0)
	b.pool = nil
}

// Drop gives the buffer back, and keeps n bytes charged until Free: those of what was
// copied out of it.
func (b *Body) Drop(n int64) {
	if b.pool == nil {
		return
	}
	b.giveUp(b.held - n)
	b.buf, b.Data = nil, nil
}

// giveUp gives n bytes back, and with them the buffer.
func (b *Body) giveUp(n int64) {
	b.held -= n
	b.pool.used.Add(-n)
	if b.unproved {
		b.pool.unproved.Add(-n)
	}
	b.pool.left.add(n - b.pool.put(b.buf))
}

// put puts a buffer into the pool and returns how many bytes the pool took.
func (p *Bodies) put(buf *[]byte) int64 {
	if buf == nil || cap(*buf) > pooledBody {
		return 0
	}
	size := cap(*buf) // read before others may have it
	if size <= firstRoom {
		p.small.Put(buf)
	} else {
		p.bufs.Put(buf)
	}
	return int64(size)
}

// charge takes n bytes from what all bodies may hold. The only body under way
// always gets them, so that a limit below the size of a request cannot lock it out.
func (b *Body) charge(n int64) error {
	if !b.take(&b.pool.used, b.pool.limit, n) {
		return tooMuch()
	}
	if b.unproved && !b.take(&b.pool.unproved, b.pool.limit/2, n) {
		b.pool.used.Add(-n)
		return tooMuch()
	}
	b.held += n
	if n > pooledBody {
		b.pool.left.bound(&b.pool.used, b.pool.limit)
	}
	return nil
}

// take adds n to a sum, unless it then passes its limit and is more than this body's.
func (b *Body) take(sum *atomic.Int64, limit, n int64) bool {
	if total := sum.Add(n); total > limit && total > b.held+n {
		sum.Add(-n)
		return false
	}
	return true
}

func tooMuch() error {
	return apierr.New(apierr.Throttled, "Too many large requests at once; try again later")
}

// Hold returns a Body without data, for a reader of its own that keeps a part of a
// request at a time: what it takes with Grow counts until Release or Free.
func (p *Bodies) Hold() *Body { return &Body{pool: p} }

// Grow takes n more bytes from what all bodies may hold, or returns an *apierr.Error.
func (b *Body) Grow(n int) error { return b.charge(int64(n)) }

// Release gives back all that Grow took.
func (b *Body) Release() { b.Drop(0) }

// Read reads the body of r, at most max bytes after decompression. The error is
// an *apierr.Error, or http.ErrAbortHandler when the client is gone.
func (p *Bodies) Read(r *http.Request, max int64) (*Body, error) {
	if r.ContentLength > max && isIdentity(r) {
		return nil, tooLarge(max)
	}
	if k, ok := r.Body.(*keptBody); ok && isIdentity(r) && k.body.pool == p {
		return k.take(max)
	}
	b := &Body{pool: p}
	src, done, err := p.Decoded(r)
	if err != nil {
		return nil, err
	}
	defer done()
	declared := int64(-1)
	if isIdentity(r) {
		declared = r.ContentLength
	}
	if err := b.fill(src, declared, max); err != nil {
		b.Free()
		return nil, BodyError(err)
	}
	return b, nil
}

// Keep reads the body of r before it is known who sent it, at most max bytes and as
// they are, compressed or not. The handler finds it in r.Body, and Read takes it over
// instead of copying it. The caller frees it when the handler has returned. The
// error is as Read's.
func (p *Bodies) Keep(r *http.Request, max int64) (*Body, error) {
	if r.ContentLength > max {
		return nil, tooLarge(max)
	}
	b := &Body{pool: p, unproved: true}
	if err := b.fill(r.Body, r.ContentLength, max); err != nil {
		b.Free()
		return nil, BodyError(err)
	}
	r.Body = &keptBody{body: b, rest: bytes.NewReader(b.Data)}
	return b, nil
}

// keptBody is a request's body that is in memory already.
type keptBody struct {
	body *Body
	rest *bytes.Reader
}

func (k *keptBody) Read(p []byte) (int, error) { return k.rest.Read(p) }
func (k *keptBody) Close() error               { return nil }

// take moves what is kept to a new Body, of which its keeper knows nothing.
func (k *keptBody) take(max int64) (*Body, error) {
	if int64(len(k.body.Data)) > max {
		return nil, tooLarge(max)
	}
	b := new(Body)
	*b, *k.body = *k.body, Body{}
	if b.unproved = false; b.pool != nil {
		b.pool.unproved.Add(-b.held)
	}
	k.rest.Reset(nil)
	return b, nil
}

// fill reads src to its end. One byte more than what is allowed or declared is
// asked for, to see that nothing follows.
func (b *Body) fill(src io.Reader, declared, max int64) error {
	first := int64(firstRoom)
	if declared >= 0 {
		first = min(first, declared+1)
	}
	if err := b.grow(nil, first); err != nil {
		return err
	}
	buf := (*b.buf)[:0]
	for {
		if len(buf) == cap(buf) {
			if err := b.grow(buf, nextRoom(int64(cap(buf)), declared, max)); err != nil {
				return err
			}
			buf = *b.buf
		}
		n, err := src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > max {
			return tooLarge(max)
		}
		if err == io.EOF {
			b.Data = buf
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// nextRoom returns how large a buffer follows one that is full: at least twice the
// size, so that copying stays linear; what was declared, when that is not out of all
// proportion to what has arrived.
func nextRoom(have, declared, max int64) int64 {
	next := 2 * have
	if declared >= 0 && declared >= have {
		next = min(declared+1, 8*have)
	}
	if have <= firstRoom {
		next = bodyStep
		if declared >= 0 {
			next = min(next, declared+1)
		}
	}
	return min(next, max+1)
}

// grow gives the body a buffer of at least size bytes, and copies data into it.
func (b *Body) grow(data []byte, size int64) error {
	pool := &b.pool.bufs
	if size <= firstRoom {
		pool = &b.pool.small
	}
	var next *[]byte
	if size <= pooledBody {
		next, _ = pool.Get().(*[]byte)
	}
	if next == nil {
		next = new([]byte)
	}
	have := int64(cap(*next))
	if err := b.charge(max(have, size)); err != nil {
		if have > 0 {
			pool.Put(next)
		}
		return err
	}
	if have < size {
		*next = make([]byte, 0, size)
	}
	*next = append((*next)[:0], data...)
	if b.buf != nil {
		b.giveUp(int64(cap(*b.buf)))
	}
	b.buf = next
	return nil
}

func isIdentity(r *http.Request) bool {
	e := r.Header.Get("Content-Encoding")
	return e == "" || strings.EqualFold(e, "identity")
}

// Decoded returns a reader of r's body without its content encoding, and a
// function to call when done with it.
func (p *Bodies) Decoded(r *http.Request) (io.Reader, func(), error) {
	switch e := r.Header.Get("Content-Encoding"); {
	case isIdentity(r):
		return r.Body, func() {}, nil
	case strings.EqualFold(e, "gzip"), strings.EqualFold(e, "x-gzip"):
		z, _ := p.gzips.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		if err := z.Reset(r.Body); err != nil {
			p.gzips.Put(z)
			if err == io.EOF { // nothing at all: an empty body
				return bytes.NewReader(nil), func() {}, nil
			}
			return nil, nil, BodyError(err)
		}
		return z, func() { p.gzips.Put(z) }, nil
	default:
		return nil, nil, apierr.New(apierr.UnsupportedMediaType,
			"Content-Encoding %.60q is not supported; send the body as it is, or with gzip", e)
	}
}

func tooLarge(max int64) error {
	return apierr.New(apierr.BodyTooLarge, "The request body is larger than %s", sizeText(max))
}

func sizeText(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// BodyError turns an error of reading a body into one for its sender.
func BodyError(err error) error {
	var api *apierr.Error
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &api):
		return api
	case errors.Is(err, os.ErrDeadlineExceeded):
		return apierr.Wrap(err, apierr.RequestTimeout, "The request body did not arrive in time")
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return apierr.Wrap(err, apierr.Serialization, "The request body is not valid gzip, though its Content-Encoding says so")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return apierr.Wrap(err, apierr.IncompleteBody, "The request body ended before it was complete")
	case strings.Contains(err.Error(), "chunk"), strings.Contains(err.Error(), "trailer"):
		// net/http has no exported error for a malformed chunked body.
		return apierr.Wrap(err, apierr.IncompleteBody, "The request body is not valid chunked transfer encoding")
	}
	return http.ErrAbortHandler
}
