//go:build !linux

package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

// singleReader reads one datagram a call.
type singleReader struct {
	conn *net.UDPConn
	buf  []byte
	out  [1]message
}

func newBatchReader(conn *net.UDPConn) batchReader {
	return &singleReader{conn: conn, buf: make([]byte, maxDatagram)}
}

func (r *singleReader) read(wait bool) ([]message, error) {
	if !wait {
		r.conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	}
	n, peer, err := r.conn.ReadFromUDPAddrPort(r.buf)
	if err != nil {
		if !wait && errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, nil
		}
		return nil, err
	}
	r.out[0] = message{data: r.buf[:n], peer: netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())}
	return r.out[:], nil
}

// growBuffer asks for less and less until the system agrees.
func growBuffer(conn *net.UDPConn) (int, error) {
	var err error
	for size := wantedBuffer; size >= 64<<10; size /= 2 {
		if err = conn.SetReadBuffer(size); err == nil {
			return size, nil
		}
	}
	return 0, err
}

func kernelDrops(*net.UDPConn) (uint32, error) { return 0, errors.ErrUnsupported }

func bufferHint(int) string { return "" }
