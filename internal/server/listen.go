package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
)

// ListenError reports that an address cannot be listened on. Its text tells
// what to do.
type ListenError struct {
	Network string // "TCP" or "UDP"
	Address string
	Setting string // that says the address: "listen" or "udp-listen"
	Err     error
	Holder  string // the process that has the port, "" when unknown
}

func (e *ListenError) Unwrap() error { return e.Err }

func (e *ListenError) Error() string {
	text := fmt.Sprintf("cannot listen on %s (%s): ", e.Address, e.Network)
	_, port, _ := net.SplitHostPort(e.Address)
	flag := "--" + e.Setting
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		holder := "another process, perhaps the X-Ray daemon or another roentgen, has the port"
		if e.Holder != "" {
			holder = e.Holder + " has the port"
		}
		return text + holder + "; stop it, or choose another port: roentgen serve " + flag + " " + nextPort(e.Address)
	case errors.Is(e.Err, fs.ErrPermission):
		return text + "the system keeps port " + port + " for privileged processes; choose one above 1023, such as " + flag + " 127.0.0.1:2000"
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		return text + "this machine has no such address; listen on one of its own, such as " + flag + " 127.0.0.1:" + port
	}
	return text + e.Err.Error()
}

// nextPort returns the address with the port after its own.
func nextPort(address string) string {
	host, port, _ := net.SplitHostPort(address)
	n, err := strconv.Atoi(port)
	if err != nil || n >= 65535 {
		n = 2000
	}
	return net.JoinHostPort(host, strconv.Itoa(n+1))
}

// sockets are what a server listens on. udp is nil when no datagrams are taken; otlp
// are the ports for spans alone.
type sockets struct {
	tcp  net.Listener
	udp  *net.UDPConn
	otlp []net.Listener
}

func (s *sockets) close() {
	if s.tcp != nil {
		s.tcp.Close()
	}
	if s.udp != nil {
		s.udp.Close()
	}
	for _, l := range s.otlp {
		l.Close()
	}
}

// samePortTries is how often a free TCP port is looked for whose UDP twin is
// free too.
const samePortTries = 50

// listen binds both sockets. When udpAddress equals address and its port is 0,
// both get the same port. The error is a *ListenError.
func listen(ctx context.Context, address, udpAddress string) (*sockets, error) {
	var lc net.ListenConfig
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &ListenError{Network: "TCP", Address: address, Setting: "listen", Err: err}
	}
	samePort := address == udpAddress && port == "0"
	for try := 1; ; try++ {
		s := new(sockets)
		if s.tcp, err = lc.Listen(ctx, "tcp", address); err != nil {
			return nil, newListenError("TCP", address, "listen", err)
		}
		if udpAddress == "" {
			return s, nil
		}
		bind := udpAddress
		if samePort {
			bind = net.JoinHostPort(host, strconv.Itoa(s.tcp.Addr().(*net.TCPAddr).Port))
		}
		pc, err := lc.ListenPacket(ctx, "udp", bind)
		if err == nil {
			s.udp = pc.(*net.UDPConn)
			return s, nil
		}
		s.close()
		if samePort && try < samePortTries && errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		setting := "udp-listen"
		if address == udpAddress {
			setting = "listen"
		}
		return nil, newListenError("UDP", bind, setting, err)
	}
}

func newListenError(network, address, setting string, err error) *ListenError {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	e := &ListenError{Network: network, Address: address, Setting: setting, Err: err}
	if errors.Is(err, syscall.EADDRINUSE) {
		if _, port, splitErr := net.SplitHostPort(address); splitErr == nil {
			if n, convErr := strconv.ParseUint(port, 10, 16); convErr == nil {
				e.Holder = holderOf(network, uint16(n))
			}
		}
	}
	return e
}
