package udp

import (
	"net"
	"net/netip"
)

// wantedBuffer is the size that the socket's buffer is asked for. The kernel
// counts some 2.3 KB for a datagram of 0.6 KB and doubles what it is asked for,
// so this holds about 28,000 of them: a quarter of a second at 100,000 a second.
const wantedBuffer = 32 << 20

// maxDatagram is the size of a read buffer. The largest payload over IPv4 is
// 65,507 bytes, over IPv6 65,527.
const maxDatagram = 64 << 10

// readBatch is how many datagrams one system call may return.
const readBatch = 64

// message is one datagram, in memory of the batchReader that the next read
// writes over.
type message struct {
	data      []byte
	peer      netip.AddrPort
	truncated bool
}

// batchReader reads datagrams, many at once where the system can.
type batchReader interface {
	// read waits for datagrams and returns at least one, or an error. Without
	// wait it returns none when none are there.
	read(wait bool) ([]message, error)
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}
