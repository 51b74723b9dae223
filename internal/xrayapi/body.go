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
	// bodyStep is how much room for a body is asked for at first. What a client
	// declares is believed up to here; beyond it room grows with what arrives.
	bodyStep = 64 << 10
	// pooledBody is the largest buffer that is kept for the next request.
	pooledBody = 1 << 20
)

// Bodies reads request bodies into pooled buffers and bounds their sum: what
// many clients send at once must not fill the memory before anybody looks at it.
type Bodies struct {
	limit int64 // bytes over all bodies being read or used
	used  atomic.Int64
	bufs  sync.Pool // *[]byte
	gzips sync.Pool // *gzip.Reader
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
}

// Free gives the buffer back. It is safe to call twice.
func (b *Body) Free() {
	if b.pool == nil {
		return
	}
	b.pool.used.Add(-b.held)
	if b.buf != nil && cap(*b.buf) <= pooledBody {
		b.pool.bufs.Put(b.buf)
	}
	b.pool, b.buf, b.Data, b.held = nil, nil, nil, 0
}

// charge takes n bytes from what all bodies may hold. The only body under way
// always gets them, so that a limit below the size of a request cannot lock it out.
func (b *Body) charge(n int64) error {
	total := b.pool.used.Add(n)
	if total > b.pool.limit && total > b.held+n {
		b.pool.used.Add(-n)
		return apierr.New(apierr.Throttled, "Too many large requests at once; try again later")
	}
	b.held += n
	return nil
}

// Hold returns a Body without data, for a reader of its own that keeps a part of a
// request at a time: what it takes with Grow counts until Release or Free.
func (p *Bodies) Hold() *Body { return &Body{pool: p} }

// Grow takes n bytes from what all bodies may hold, or returns an *apierr.Error.
func (b *Body) Grow(n int) error { return b.charge(int64(n)) }

// Release gives back all that Grow took.
func (b *Body) Release() {
	b.pool.used.Add(-b.held)
	b.held = 0
}

// Read reads the body of r, at most max bytes after decompression. The error is
// an *apierr.Error, or http.ErrAbortHandler when the client is gone.
func (p *Bodies) Read(r *http.Request, max int64) (*Body, error) {
	if r.ContentLength > max && isIdentity(r) {
		return nil, tooLarge(max)
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

// fill reads src to its end. One byte more than what is allowed or declared is
// asked for, to see that nothing follows.
func (b *Body) fill(src io.Reader, declared, max int64) error {
	b.buf, _ = b.pool.bufs.Get().(*[]byte)
	if b.buf == nil {
		b.buf = new([]byte)
	}
	first := int64(bodyStep)
	if declared >= 0 {
		first = min(first, declared+1)
	}
	if have := int64(cap(*b.buf)); have < first {
		if err := b.charge(first); err != nil {
			return err
		}
		*b.buf = make([]byte, 0, first)
	} else if err := b.charge(have); err != nil {
		return err
	}
	buf := (*b.buf)[:0]
	for {
		if len(buf) == cap(buf) {
			// At least double, so that copying stays linear; what was declared,
			// when that is not out of all proportion to what has arrived.
			have := int64(cap(buf))
			grown := 2 * have
			if declared >= grown {
				grown = min(declared+1, 8*have)
			}
			grown = min(grown, max+1)
			if err := b.charge(grown - have); err != nil {
				return err
			}
			buf = append(make([]byte, 0, grown), buf...)
			*b.buf = buf
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
