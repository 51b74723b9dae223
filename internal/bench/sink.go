package bench

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// Sink is a server that reads and discards what it is sent: the ceiling that a
// server on the same machine, with the same HTTP library and the same system
// calls, could reach if checking and storing cost nothing.
type Sink struct {
	http  *http.Server
	ln    net.Listener
	udp   *net.UDPConn
	Count atomic.Int64 // datagrams read
	done  chan struct{}
}

// StartSink listens on addr, TCP and UDP.
func StartSink(addr string) (*Sink, error) {
	ln, err := net.Listen("tcp4", addr)
	if err != nil {
		return nil, err
	}
	ua, err := net.ResolveUDPAddr("udp4", ln.Addr().String())
	if err != nil {
		ln.Close()
		return nil, err
	}
	udp, err := net.ListenUDP("udp4", ua)
	if err != nil {
		ln.Close()
		return nil, err
	}
	udp.SetReadBuffer(64 << 20)
	s := &Sink{ln: ln, udp: udp, done: make(chan struct{})}
	s.http = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
	})}
	go s.http.Serve(ln)
	go s.read()
	return s, nil
}

// Addr returns the address of the sink.
func (s *Sink) Addr() string { return s.ln.Addr().String() }

func (s *Sink) read() {
	defer close(s.done)
	pc := ipv4.NewPacketConn(s.udp)
	msgs := make([]ipv4.Message, 64)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, 64<<10)}
	}
	for {
		n, err := pc.ReadBatch(msgs, 0)
		if err != nil {
			return
		}
		s.Count.Add(int64(n))
	}
}

// Close ends the sink.
func (s *Sink) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.http.Shutdown(ctx)
	s.udp.Close()
	<-s.done
}
