package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/config"
)

func TestLimitListener(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	l := newLimitListener(inner, 2, func() bool { return false }, reg)
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	dial()
	a, b := <-accepted, <-accepted
	answer, err := io.ReadAll(dial())
	if err != nil || string(answer) != tooManyConns {
		t.Errorf("third: %q, %v", answer, err)
	}
	a.Close()
	a.Close() // counts once
	dial()
	c := <-accepted
	if answer, _ := io.ReadAll(dial()); string(answer) != tooManyConns {
		t.Errorf("third after one was closed: %q", answer)
	}
	b.Close()
	c.Close()
	inner.Close()
	for range accepted {
	}
	head, body, _ := strings.Cut(tooManyConns, "\r\n\r\n")
	if !strings.Contains(head, "Content-Length: "+strconv.Itoa(len(body))) {
		t.Errorf("the body has %d bytes: %s", len(body), head)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		got := f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue()
		if want := map[string]float64{"roentgen_http_connections": 0, "roentgen_http_connections_refused_total": 2}[f.GetName()]; got != want {
			t.Errorf("%s is %v, want %v", f.GetName(), got, want)
		}
	}
}

// patientServer serves handler behind patient with a grace of 150 ms and 1 MB/s.
func patientServer(t *testing.T, handler http.HandlerFunc) net.Conn {
	t.Helper()
	ts := httptest.NewServer(patient(handler, 150*time.Millisecond, 1<<20))
	t.Cleanup(ts.Close)
	c, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestStalledBody(t *testing.T) {
	errs := make(chan error, 1)
	c := patientServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
		w.WriteHeader(http.StatusRequestTimeout)
	})
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly the beginning")
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "HTTP/1.1 408" {
		t.Errorf("%q %v", answer, err)
	}
}

// TestUnreadBody stalls in a body that the handler does not even look at, which
// net/http reads in its stead.
func TestUnreadBody(t *testing.T) {
	c := patientServer(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotFound) })
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly the beginning")
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404") {
		t.Errorf("%q %v", answer, err)
	}
}

// TestUnreadBodyLate is the same with a handler that takes longer than the grace.
func TestUnreadBodyLate(t *testing.T) {
	c := patientServer(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond)
		w.WriteHeader(http.StatusNotFound)
	})
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly the beginning")
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404") {
		t.Errorf("%q %v", answer, err)
	}
}

// TestTrickledBody sends a byte now and then, which a timeout between reads
// would allow for ever.
func TestTrickledBody(t *testing.T) {
	errs := make(chan error, 1)
	c := patientServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
	})
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
	for {
		select {
		case err := <-errs:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			return
		case <-time.After(20 * time.Millisecond):
			io.WriteString(c, "x")
		}
	}
}

// TestSlowHandler takes longer than the grace between the reads of a body and
// after it: that is the server's time, not the client's.
func TestSlowHandler(t *testing.T) {
	done := make(chan error, 1)
	c := patientServer(t, func(w http.ResponseWriter, r *http.Request) {
		var one [1]byte
		for {
			_, err := r.Body.Read(one[:])
			if err == io.EOF {
				break
			}
			if err != nil {
				done <- err
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(200 * time.Millisecond)
		done <- r.Context().Err()
		io.WriteString(w, "here")
	})
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody")
	if err := <-done; err != nil {
		t.Errorf("handler: %v", err)
	}
	if answer, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(answer), "here") {
		t.Errorf("%q %v", answer, err)
	}
}

// TestStalledReader never reads its answer, which is larger than all buffers.
func TestStalledReader(t *testing.T) {
	errs := make(chan error, 1)
	c := patientServer(t, func(w http.ResponseWriter, r *http.Request) {
		var err error
		piece := make([]byte, 64<<10)
		for i := 0; i < 1000 && err == nil; i++ {
			_, err = w.Write(piece)
		}
		errs <- err
	})
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestSecondRequest rests longer than the grace between two requests on one
// connection; the second one asks for "100 Continue".
func TestSecondRequest(t *testing.T) {
	c := patientServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Write(body)
	})
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\none")
	read := func(want string) {
		t.Helper()
		var got strings.Builder
		buf := make([]byte, 1024)
		for !strings.HasSuffix(got.String(), want) {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatalf("after %q: %v", got.String(), err)
			}
			got.Write(buf[:n])
		}
	}
	read("one")
	time.Sleep(300 * time.Millisecond)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	read("100 Continue\r\n\r\n")
	io.WriteString(c, "two")
	read("two")
}

func TestFlush(t *testing.T) {
	goOn := make(chan struct{})
	c := patientServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-goOn
	})
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	var got strings.Builder
	buf := make([]byte, 1024)
	for !strings.Contains(got.String(), "first") {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(buf[:n])
	}
	close(goOn)
}

// TestTooLargeIsTold sends far more than the server takes and reads only when
// all of it is sent, as the HTTP clients of Python do: the answer is there.
func TestTooLargeIsTold(t *testing.T) {
	s := start(t, nil, func(c *config.Config) { c.MaxBody, c.MaxDocument = 1<<20, 1<<20 })
	const n = 48 << 20 // no socket buffers hold that
	for name, head := range map[string]string{
		"declared": "Content-Length: " + strconv.Itoa(n) + "\r\n\r\n",
		"chunked":  "Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(n, 16) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.WriteString(c, "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\n"+head); err != nil {
				t.Fatal(err)
			}
			part := make([]byte, 1<<20)
			for sent := 0; sent < n; sent += len(part) {
				if _, err := c.Write(part); err != nil {
					t.Fatalf("after %d bytes: %v", sent, err)
				}
			}
			io.WriteString(c, "\r\n0\r\n\r\n")
			answer := make([]byte, 64)
			if _, err := io.ReadFull(c, answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 413 ") {
				t.Errorf("%q, %v", answer, err)
			}
		})
	}
}

// TestRoomForOthers takes every connection that a server has and lets it rest; others
// are served all the same, as long as not all of them are busy.
func TestRoomForOthers(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var resting restingConns
	hold := make(chan struct{})
	held := make(chan struct{}, 8)
	server := &http.Server{ConnState: resting.state, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- struct{}{}
			<-hold
		}
		io.WriteString(w, "served")
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(newLimitListener(inner, 4, resting.closeOne, nil))
	}()
	defer func() {
		server.Close()
		<-served
	}()
	dial := func(text string) net.Conn {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, text)
		return c
	}
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	answer := func(c net.Conn) string {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	busy := dial(strings.Replace(get, "/", "/hold", 1))
	<-held
	rested := dial(get)
	if got := answer(rested); got != "served" {
		t.Fatal(got)
	}
	// The server knows a little later than its clients that a connection rests.
	rest := func(n int) {
		t.Helper()
		within(t, fmt.Sprint(n, " connections rest"), func() bool {
			resting.mu.Lock()
			defer resting.mu.Unlock()
			return resting.new.Len()+resting.idle.Len() == n
		})
	}
	rest(1)
	silent, slow := dial(""), dial("GET / HT")
	rest(3)
	for range 6 {
		if got := answer(dial(get)); got != "served" {
			t.Fatalf("a newcomer: %s", got)
		}
	}
	for name, c := range map[string]net.Conn{"silent": silent, "slow": slow, "rested": rested} {
		if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s connection is open: %d bytes, %v", name, n, err)
		}
	}
	var all []net.Conn
	for range 3 {
		rest(3 - len(all))
		all = append(all, dial(strings.Replace(get, "/", "/hold", 1)))
		<-held
	}
	if got := answer(dial(get)); !strings.Contains(got, "Too many connections") {
		t.Errorf("when all are busy: %s", got)
	}
	close(hold)
	for _, c := range append(all, busy) {
		if got := answer(c); got != "served" {
			t.Errorf("a busy one: %s", got)
		}
	}
}
