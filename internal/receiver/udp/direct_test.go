package udp

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/ingest"
	"github.com/roentgen-io/roentgen/segment"
)

// malformedOnly is a Sink that must not be put to.
type malformedOnly struct{ t *testing.T }

func (s malformedOnly) Put(context.Context, ingest.Origin, [][]byte) ([]*segment.Refusal, error) {
	s.t.Error("documents were put although they are taken directly")
	return nil, nil
}

func (malformedOnly) Malformed(ingest.Origin, []byte, string) {}

// TestDirect takes documents where they were read: all of them, in order, and
// what is not taken is counted.
func TestDirect(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var got [][]byte
	reg := prometheus.NewRegistry()
	r := New(Config{Conn: conn, Sink: malformedOnly{t}, Registerer: reg, Direct: func(docs [][]byte) (dropped int) {
		mu.Lock()
		defer mu.Unlock()
		for _, doc := range docs {
			got = append(got, bytes.Clone(doc))
			if bytes.HasSuffix(doc, []byte("7")) {
				dropped++
			}
		}
		return dropped
	}})
	r.Start()
	c, err := net.Dial("udp", conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 100
	for i := range n {
		fmt.Fprintf(c, "%s\n%d", plainHeader, i)
		if i == 50 {
			fmt.Fprint(c, "no header")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		done := len(got) == n
		mu.Unlock()
		if done {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d documents taken", len(got))
		}
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, doc := range got {
		if string(doc) != fmt.Sprint(i) {
			t.Fatalf("document %d is %q", i, doc)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "roentgen_udp_segments_dropped_total" {
			continue
		}
		sum := 0.0
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue()
		}
		if sum != 10 {
			t.Errorf("%v documents counted as dropped, want 10", sum)
		}
	}
}
