package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-xray-sdk-go/xray"
)

// receive collects what the SDK sends to a socket until stop is called.
func receive(t *testing.T) (address string, stop func() []map[string]any) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	var docs []map[string]any
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			header, doc, ok := bytes.Cut(buf[:n], []byte("\n"))
			if !ok || !bytes.Contains(header, []byte(`"json"`)) {
				t.Errorf("no header: %.80s", buf[:n])
				continue
			}
			var d map[string]any
			if err := json.Unmarshal(doc, &d); err != nil {
				t.Errorf("%v: %s", err, doc)
				continue
			}
			docs = append(docs, d)
		}
	})
	return conn.LocalAddr().String(), func() []map[string]any {
		time.Sleep(100 * time.Millisecond) // what the SDK sent last is in the socket
		conn.Close()
		wg.Wait()
		return docs
	}
}

// The stock room sends what it promises: four kinds of work in traces of three
// services, and each mishap leaves its mark.
func TestStockRoom(t *testing.T) {
	address, stop := receive(t)
	if err := configure("all", false); err != nil {
		t.Fatal(err)
	}
	if err := xray.Configure(xray.Config{DaemonAddr: address, ServiceVersion: "3.2.0"}); err != nil {
		t.Fatal(err)
	}
	room, err := openStockRoom()
	if err != nil {
		t.Fatal(err)
	}
	rounds := append([]string{"", ""}, mishaps...)
	for _, mishap := range rounds {
		room.round(context.Background(), throw{article: "oak-desk", quantity: 3, keeper: "ada.holm", mishap: mishap})
	}
	room.close()
	docs := stop()

	names, traces := map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	var walk func(d map[string]any)
	walk = func(d map[string]any) {
		name, _ := d["name"].(string)
		seen["entity "+name] = true
		if d["sql"] != nil {
			seen["sql"] = true
		}
		for _, f := range []string{"fault", "error", "throttle", "cause", "annotations", "metadata"} {
			if v := d[f]; v != nil && v != false {
				seen[f] = true
			}
		}
		if aws, ok := d["aws"].(map[string]any); ok && aws["table_name"] != nil {
			seen["table"] = true
		}
		if subs, ok := d["subsegments"].([]any); ok {
			for _, s := range subs {
				walk(s.(map[string]any))
			}
		}
	}
	for _, d := range docs {
		if d["type"] != "subsegment" {
			names[d["name"].(string)]++
			traces[d["trace_id"].(string)]++
		}
		walk(d)
	}
	if names["stock-keeper"] != len(rounds) || names["inventory"] != len(rounds) || names["pricing"] < 3 {
		t.Errorf("segments %v, want %d of stock-keeper and of inventory, some of pricing", names, len(rounds))
	}
	if len(traces) != len(rounds) {
		t.Errorf("%d traces, want %d", len(traces), len(rounds))
	}
	for _, want := range []string{"entity inventory.shop.internal", "entity pricing.shop.internal", "entity rates.exchange.example",
		"entity count shelf", "entity stock@stock-db.internal", "entity dynamodb", "entity price", "entity discounts", "entity round",
		"sql", "table", "fault", "error", "throttle", "cause", "annotations", "metadata"} {
		if !seen[want] {
			t.Errorf("no %s in %v", want, seen)
		}
	}
}

func TestSameSeedSameRounds(t *testing.T) {
	a, b := newDice(4), newDice(4)
	failed := 0
	for i := range 500 {
		x, y := a.roll(), b.roll()
		if x != y {
			t.Fatalf("round %d: %v and %v", i, x, y)
		}
		if x.mishap != "" {
			failed++
		}
	}
	if failed < 20 || failed > 90 {
		t.Errorf("%d of 500 rounds have a mishap, want about 45", failed)
	}
}
