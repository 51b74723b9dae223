package otlp

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// firstRoom is how much room for a body is asked for at first. What a client
	// declares is believed up to here; beyond it room grows with what arrives.
	firstRoom = 64 << 10
	// maxWindow is the largest window of a zstd frame: the sender chooses it, and
	// we pay for it. RFC 9659 asks HTTP clients to keep within it.
	maxWindow = 8 << 20
)

var (
	errTooLarge = errors.New("the request body is too large")
	errEncoding = errors.New("the content encoding is not supported; send the body as it is, or with gzip or zstd")
	// errBroken marks a body that does not decompress.
	errBroken = errors.New("the request body is not what its content encoding says")
)

// Held counts memory for what is being read or used against what all requests
// may hold together.
type Held interface {
	Grow(n int) error // takes n bytes, or says that there is too much under way
	Free()            // gives all back
}

var (
	gzips sync.Pool // *gzip.Reader
	zstds = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			panic(err) // the options are constants
		}
		return d
	}}
)

// readBody reads src to its end and decompresses it, at most max bytes. declared
// is the length that the sender gave, -1 when unknown. The memory of the result
// is the caller's and is counted in held.
func readBody(src io.Reader, encoding string, declared, max int64, held Held) ([]byte, error) {
	switch encoding {
	case "", "identity":
		if declared > max {
			return nil, errTooLarge
		}
		return fill(src, declared, max, held)
	case "gzip", "x-gzip":
		z, _ := gzips.Get().(*gzip.Reader)
		if z == nil {
			z = new(gzip.Reader)
		}
		defer gzips.Put(z)
		if err := z.Reset(src); err != nil {
			return nil, broken(err)
		}
		data, err := fill(z, -1, max, held)
		return data, broken(err)
	case "zstd":
		d := zstds.Get().(*zstd.Decoder)
		defer func() {
			_ = d.Reset(nil) // let go of src
			zstds.Put(d)
		}()
		if err := held.Grow(maxWindow / 8); err != nil { // what a decoder ordinarily takes
			return nil, err
		}
		if err := d.Reset(src); err != nil {
			return nil, broken(err)
		}
		data, err := fill(d, -1, max, held)
		return data, broken(err)
	}
	return nil, errEncoding
}

// sourceError is an error of the connection, which is not to be taken for one of
// its contents.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// marked marks the errors of a connection.
type marked struct{ io.Reader }

func (m marked) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = sourceError{err}
	}
	return n, err
}

// broken turns an error of decompression into errBroken.
func broken(err error) error {
	var source sourceError
	var full overload
	if err == nil || errors.Is(err, errTooLarge) || errors.As(err, &source) || errors.As(err, &full) {
		return err
	}
	return fmt.Errorf("%w: %w", errBroken, err)
}

// overload is the refusal of a Held.
type overload struct{ error }

func (e overload) Unwrap() error { return e.error }

func fill(src io.Reader, declared, max int64, held Held) ([]byte, error) {
	grow := func(n int64) error {
		if err := held.Grow(int(n)); err != nil {
			return overload{err}
		}
		return nil
	}
	room := int64(firstRoom)
	if declared >= 0 {
		room = min(room, declared+1) // one more, to see that nothing follows
	}
	if err := grow(room); err != nil {
		return nil, err
	}
	buf := make([]byte, 0, room)
	for {
		if len(buf) == cap(buf) {
			have := int64(cap(buf))
			grown := 2 * have
			if declared >= grown {
				grown = min(declared+1, 8*have)
			}
			grown = min(grown, max+1)
			if err := grow(grown - have); err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, grown), buf...)
		}
		n, err := src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > max {
			return nil, errTooLarge
		}
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
