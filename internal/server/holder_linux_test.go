package server

import (
	"fmt"
	"net"
	"os"
	"testing"
)

// TestHolder finds this very process.
func TestHolder(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Skipf("SKIPPED: no /proc: %v", err)
	}
	want := fmt.Sprintf("process %d (%s)", os.Getpid(), comm[:len(comm)-1])
	if got := holderOf("TCP", uint16(tcp.Addr().(*net.TCPAddr).Port)); got != want {
		t.Errorf("TCP: got %q, want %q", got, want)
	}
	if got := holderOf("UDP", uint16(udp.LocalAddr().(*net.UDPAddr).Port)); got != want {
		t.Errorf("UDP: got %q, want %q", got, want)
	}
	if got := holderOf("TCP", 1); got != "" {
		t.Errorf("nobody has port 1, but: %q", got)
	}
}
