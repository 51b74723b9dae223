package udp

import (
	"net"
	"testing"
)

// TestKernelDrops overflows a socket that nobody reads.
func TestKernelDrops(t *testing.T) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := New(Config{Conn: socket, Sink: &fakeSink{}})
	defer r.Close(t.Context())
	if got := r.KernelDrops(); got != 0 {
		t.Errorf("%d drops before anything was sent", got)
	}
	if err := socket.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp4", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 100 {
		if _, err := conn.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := r.reader.read(false)
	if err != nil {
		t.Fatal(err)
	}
	if drops := r.KernelDrops(); drops == 0 || int(drops)+len(batch) != 100 {
		t.Errorf("%d read and %d dropped, of 100", len(batch), drops)
	}
	if again, err := r.reader.read(false); err != nil || len(again) != 0 {
		t.Errorf("reading an empty socket without waiting: %d, %v", len(again), err)
	}
}

func TestDropsInTable(t *testing.T) {
	table := []byte(`   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  129: 0100007F:07D0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 4294967295
  130: 0100007F:07D1 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 12
garbage
`)
	for inode, want := range map[uint64]uint32{4711: 4294967295, 4712: 12} {
		if got, ok := dropsInTable(table, inode); !ok || got != want {
			t.Errorf("inode %d: %d, %v", inode, got, ok)
		}
	}
	if _, ok := dropsInTable(table, 12); ok {
		t.Error("a socket that is not listed was found")
	}
}

func TestIPv6(t *testing.T) {
	socket, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Skipf("SKIPPED: no IPv6 here: %v", err)
	}
	sink := &fakeSink{}
	r := New(Config{Conn: socket, Sink: sink})
	r.Start()
	conn, err := net.Dial("udp6", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(head + doc)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "stored", func() bool { return len(sink.stored()) == 1 })
	r.Close(t.Context())
	if sink.peers[0] != conn.LocalAddr().String() {
		t.Errorf("peer %q, want %q", sink.peers[0], conn.LocalAddr())
	}
}
