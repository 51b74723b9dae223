package compat

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// relay passes datagrams on to a server and keeps a copy of each.
type relay struct {
	addr string

	mu        sync.Mutex
	datagrams [][]byte
}

// newRelay starts a relay to the server at addr; "" means to nowhere.
func newRelay(t *testing.T, addr string) *relay {
	t.Helper()
	in, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in.(*net.UDPConn).SetReadBuffer(4 << 20)
	var out net.Conn
	if addr != "" {
		if out, err = net.Dial("udp", addr); err != nil {
			t.Fatal(err)
		}
	}
	r := &relay{addr: in.LocalAddr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			n, _, err := in.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			r.mu.Lock()
			r.datagrams = append(r.datagrams, bytes.Clone(buf[:n]))
			r.mu.Unlock()
			if out != nil {
				out.Write(buf[:n])
			}
		}
	}()
	t.Cleanup(func() {
		in.Close()
		<-done
		if out != nil {
			out.Close()
		}
	})
	return r
}

// of returns the datagrams that carry a trace id, in the order of arrival.
func (r *relay) of(traceID string) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out [][]byte
	for _, d := range r.datagrams {
		if bytes.Contains(d, []byte(traceID)) {
			out = append(out, d)
		}
	}
	return out
}

// documents takes the headers off datagrams.
func documents(t *testing.T, datagrams [][]byte) [][]byte {
	t.Helper()
	var docs [][]byte
	for _, d := range datagrams {
		header, doc, ok := bytes.Cut(d, []byte("\n"))
		if !ok || !bytes.Contains(header, []byte("json")) {
			t.Fatalf("a datagram without the daemon's header: %.100q", d)
		}
		docs = append(docs, doc)
	}
	return docs
}

// stub answers the outgoing calls of the sample programs: /status/N with the
// status N, and GetItem of DynamoDB, which is throttled for the table "busy".
func stub(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, ok := strings.CutPrefix(r.URL.Path, "/status/"); ok {
			status, err := strconv.Atoi(n)
			if err != nil {
				status = http.StatusTeapot
			}
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(status)
			w.Write([]byte("ok"))
			return
		}
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("x-amzn-RequestId", "REQUEST0000000000000000000000000000000000000000000000")
		if strings.Contains(body.String(), `"busy"`) {
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(`{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`))
			return
		}
		w.Write([]byte(`{"Item":{"id":{"S":"1"}}}`))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// normaliser replaces what differs from run to run in captured datagrams, and
// leaves every other byte as the SDK wrote it.
type normaliser struct {
	ids    map[string]string
	origin float64 // the first time seen
}

var (
	traceIDs = regexp.MustCompile(`1-[0-9a-f]{8}-[0-9a-f]{24}`)
	entityID = regexp.MustCompile(`"[0-9a-f]{16}"`)
	epochs   = regexp.MustCompile(`\b1[789][0-9]{8}(\.[0-9]+)?\b`)
	epochsE  = regexp.MustCompile(`\b1\.[789][0-9]*[eE]\+?0?9\b`)
	ports    = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	pointers = regexp.MustCompile(`0x[0-9a-f]{6,}`)
	folders  = regexp.MustCompile(`"(/|file:///)[^"\s]*/(test/compat|node_modules|site-packages|dist-packages|lib/python[0-9.]*|pkg/mod|go/src|go)(/[^"\s]*)?"`)
	workDirs = regexp.MustCompile(`"working_directory": ?"[^"]*"`)
)

func newNormaliser() *normaliser { return &normaliser{ids: make(map[string]string)} }

func (n *normaliser) id(old, format string) string {
	id, ok := n.ids[old]
	if !ok {
		id = format
		digits := strconv.FormatInt(int64(len(n.ids)+1), 16)
		id = id[:len(id)-len(digits)] + digits
		n.ids[old] = id
	}
	return id
}

func (n *normaliser) time(old string) string {
	f, err := strconv.ParseFloat(old, 64)
	if err != nil {
		return old
	}
	if n.origin == 0 {
		n.origin = float64(int64(f))
	}
	const base = 1_700_000_000
	decimals := 0
	if _, fraction, ok := strings.Cut(old, "."); ok {
		decimals = len(fraction)
	}
	return strconv.FormatFloat(f-n.origin+base, 'f', decimals, 64)
}

func (n *normaliser) apply(datagram string) string {
	s := traceIDs.ReplaceAllStringFunc(datagram, func(old string) string { return n.id(old, "1-65500000-0123456789abcdef00000000") })
	s = entityID.ReplaceAllStringFunc(s, func(old string) string { return `"` + n.id(old, "5eed000000000000") + `"` })
	s = epochsE.ReplaceAllString(s, "1.7E9")
	s = epochs.ReplaceAllStringFunc(s, n.time)
	s = ports.ReplaceAllString(s, "127.0.0.1:8080")
	s = pointers.ReplaceAllString(s, "0xc0ffee")
	s = workDirs.ReplaceAllStringFunc(s, func(old string) string {
		key, _, _ := strings.Cut(old, ":")
		space := ""
		if strings.Contains(old, `: "`) {
			space = " "
		}
		return key + ":" + space + `"/srv/shop"`
	})
	return folders.ReplaceAllString(s, `"/srv/$2$3"`)
}
