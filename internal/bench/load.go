package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// Load says what to send.
type Load struct {
	Endpoint  string        // http://host:port; its host:port is the UDP address too
	Wrap      Wrap          // signs requests; nil: they go as they are
	UDP       bool          // datagrams instead of PutTraceSegments
	OTLP      bool          // OpenTelemetry spans over HTTP instead of segment documents
	Size      int           // bytes of a document, about
	Batch     int           // documents in one call (HTTP)
	Clients   int           // connections that send at once
	Documents int           // stop after so many documents; 0: by time
	Duration  time.Duration // stop after this time; 0: by number
	Rate      int           // documents/s over all clients; 0: as fast as they are taken
	Seed      uint64
	KeepIDs   int  // keep about so many trace ids for reading back
	Rare      bool // mix in rare traces, for Search to look for
	// Spread imports the documents as history, evenly over so much time up to now,
	// instead of sending them as if they happened now. It needs Documents.
	Spread time.Duration
}

// Result tells how a load went.
type Result struct {
	Documents int           // acknowledged (HTTP) or handed to the kernel (UDP)
	Refused   int           // documents in UnprocessedTraceSegments or of failed calls
	Throttled int           // calls answered 429
	Errors    int           // calls that failed otherwise
	FirstErr  string        // the first of them
	Elapsed   time.Duration // from the first to the last call's end
	P50, P99  time.Duration // of the acknowledgement of one call
	Max       time.Duration
	IDs       []string // some of the trace ids sent
}

// PerSecond returns documents per second of wall time.
func (r *Result) PerSecond() float64 { return float64(r.Documents) / r.Elapsed.Seconds() }

// Run sends the load and returns when it is done or ctx ends.
func Run(ctx context.Context, l Load) (*Result, error) {
	if l.Spread > 0 && (l.Documents <= 0 || l.UDP) {
		return nil, errors.New("bench: history needs a number of documents, and HTTP")
	}
	if l.Clients < 1 || l.Batch < 1 || l.Documents <= 0 && l.Duration <= 0 {
		return nil, errors.New("bench: a load needs clients, a batch size, and a number of documents or a duration")
	}
	escaped := !l.UDP && l.Spread == 0
	if l.OTLP && (l.UDP || l.Spread > 0 || l.Rare) {
		return nil, errors.New("bench: spans go over HTTP, as they are made")
	}
	var spans [][]spanTemplate
	if l.OTLP {
		spans = spanTemplates(templateSets, l.Size, l.Seed)
	}
	sets := Templates(templateSets, l.Size, escaped, l.Seed)
	var rare []*template
	if l.Rare {
		rare = rareSet(l.Size, escaped, l.Seed)
	}
	if l.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Duration)
		defer cancel()
	}
	var left atomic.Int64
	left.Store(int64(l.Documents))
	if l.Documents == 0 {
		left.Store(1 << 62)
	}
	p := newPacer(l.Rate)
	every := 1
	if l.KeepIDs > 0 && l.Documents > 0 {
		perTrace := DocumentsPerTrace
		if l.OTLP {
			perTrace = SpansPerTrace
		}
		every = max(1, l.Documents/perTrace/l.KeepIDs)
	}
	var mu sync.Mutex
	total := &Result{}
	var latencies []time.Duration
	var wg sync.WaitGroup
	began := time.Now()
	for c := range l.Clients {
		wg.Go(func() {
			var ids *idLog
			if l.KeepIDs > 0 {
				ids = &idLog{every: every}
			}
			src := newSource(sets, l.Seed+uint64(c)*7919+uint64(began.UnixNano()), ids)
			src.rare = rare
			var r Result
			var lat []time.Duration
			if l.UDP {
				r = sendUDP(ctx, l, src, &left, p)
			} else {
				var own *spanSource
				if spans != nil {
					own = &spanSource{sets: spans, rng: src.rng, ids: ids}
				}
				r, lat = sendHTTP(ctx, l, src, own, &left, p)
			}
			mu.Lock()
			defer mu.Unlock()
			total.Documents += r.Documents
			total.Refused += r.Refused
			total.Throttled += r.Throttled
			total.Errors += r.Errors
			if total.FirstErr == "" {
				total.FirstErr = r.FirstErr
			}
			latencies = append(latencies, lat...)
			if ids != nil {
				total.IDs = append(total.IDs, ids.ids...)
			}
		})
	}
	wg.Wait()
	total.Elapsed = time.Since(began)
	total.P50, total.P99, total.Max = percentiles(latencies)
	return total, nil
}

func percentiles(ds []time.Duration) (p50, p99, most time.Duration) {
	if len(ds) == 0 {
		return 0, 0, 0
	}
	slices.Sort(ds)
	return ds[len(ds)/2], ds[len(ds)*99/100], ds[len(ds)-1]
}

// pacer spreads documents over time.
type pacer struct {
	perDoc time.Duration
	next   atomic.Int64
}

func newPacer(rate int) *pacer {
	p := &pacer{}
	if rate > 0 {
		p.perDoc = time.Second / time.Duration(rate)
		p.next.Store(time.Now().UnixNano())
	}
	return p
}

// wait blocks until n more documents are due.
func (p *pacer) wait(n int) {
	if p.perDoc == 0 {
		return
	}
	due := p.next.Add(int64(p.perDoc)*int64(n)) - int64(p.perDoc)*int64(n)
	if d := time.Duration(due - time.Now().UnixNano()); d > 0 {
		time.Sleep(d)
	}
}

// Wrap makes of a transport one that signs requests.
type Wrap func(*http.Transport) http.RoundTripper

func (w Wrap) around(t *http.Transport) http.RoundTripper {
	if w == nil {
		return t
	}
	return w(t)
}

func take(left *atomic.Int64, n int) int {
	after := left.Add(-int64(n))
	if after >= 0 {
		return n
	}
	return max(0, n+int(after))
}

func sendHTTP(ctx context.Context, l Load, src *source, spans *spanSource, left *atomic.Int64, p *pacer) (Result, []time.Duration) {
	var r Result
	var lat []time.Duration
	tr := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	defer tr.CloseIdleConnections()
	hc := &http.Client{Transport: l.Wrap.around(tr), Timeout: time.Minute}
	u, contentType := strings.TrimRight(l.Endpoint, "/")+"/TraceSegments", "application/json"
	if l.Spread > 0 {
		u, contentType = strings.TrimRight(l.Endpoint, "/")+"/api/import", "application/x-ndjson"
	}
	if spans != nil {
		u, contentType = strings.TrimRight(l.Endpoint, "/")+"/v1/traces", "application/x-protobuf"
	}
	var body []byte
	answer := make([]byte, 64<<10)
	for ctx.Err() == nil {
		n := take(left, l.Batch)
		if n == 0 {
			break
		}
		p.wait(n)
		now := time.Now()
		if spans != nil {
			body = spans.append(body[:0], n, now)
		} else if l.Spread > 0 {
			body = body[:0]
			ago := float64(max(0, left.Load())) / float64(l.Documents)
			now = now.Add(-time.Duration(ago * float64(l.Spread)))
			for range n {
				body = append(src.append(body, now), '\n')
			}
		} else {
			body = append(body[:0], `{"TraceSegmentDocuments":[`...)
			for i := range n {
				if i > 0 {
					body = append(body, ',')
				}
				body = src.append(body, now)
			}
			body = append(body, "]}"...)
		}
		for {
			began := time.Now()
			// The request is not cancelled at the end of the time: what was sent counts.
			resp, err := hc.Post(u, contentType, bytes.NewReader(body))
			if err != nil {
				r.Errors++
				r.Refused += n
				if r.FirstErr == "" {
					r.FirstErr = err.Error()
				}
				break
			}
			m, _ := io.ReadFull(resp.Body, answer)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			lat = append(lat, time.Since(began))
			if resp.StatusCode == http.StatusTooManyRequests {
				r.Throttled++
				time.Sleep(5 * time.Millisecond)
				if ctx.Err() == nil {
					continue
				}
				break
			}
			if resp.StatusCode != http.StatusOK {
				r.Errors++
				r.Refused += n
				if r.FirstErr == "" {
					r.FirstErr = fmt.Sprintf("%s: %s", resp.Status, answer[:m])
				}
				break
			}
			refused := bytes.Count(answer[:m], []byte(`"ErrorCode"`))
			if spans != nil && m > 0 {
				refused = n // a generator makes no bad spans: any complaint is about all
			}
			r.Refused += refused
			if refused > 0 && r.FirstErr == "" {
				r.FirstErr = string(answer[:m])
			}
			r.Documents += n - refused
			break
		}
	}
	return r, lat
}

var datagramHeader = []byte("{\"format\":\"json\",\"version\":1}\n")

// sendUDP sends datagrams, up to 32 in one system call.
func sendUDP(ctx context.Context, l Load, src *source, left *atomic.Int64, p *pacer) Result {
	var r Result
	u, err := url.Parse(l.Endpoint)
	if err != nil {
		r.Errors, r.FirstErr = 1, err.Error()
		return r
	}
	conn, err := net.Dial("udp4", u.Host)
	if err != nil {
		r.Errors, r.FirstErr = 1, err.Error()
		return r
	}
	defer conn.Close()
	pc := ipv4.NewPacketConn(conn.(*net.UDPConn))
	const burst = 32
	msgs := make([]ipv4.Message, burst)
	bufs := make([][]byte, burst)
	for ctx.Err() == nil {
		n := take(left, burst)
		if n == 0 {
			break
		}
		p.wait(n)
		now := time.Now()
		for i := range n {
			bufs[i] = append(bufs[i][:0], datagramHeader...)
			bufs[i] = src.append(bufs[i], now)
			msgs[i].Buffers = [][]byte{bufs[i]}
		}
		for sent := 0; sent < n; {
			m, err := pc.WriteBatch(msgs[sent:n], 0)
			if err != nil {
				r.Errors++
				if r.FirstErr == "" {
					r.FirstErr = err.Error()
				}
				break
			}
			sent += m
			r.Documents += m
		}
	}
	return r
}

// ReadResult tells how reads went.
type ReadResult struct {
	Reads         int
	Missing       int // traces that were not there
	Elapsed       time.Duration
	P50, P99, Max time.Duration
	FirstErr      string
}

// Read reads traces one by one with BatchGetTraces, clients at once.
func Read(ctx context.Context, endpoint string, wrap Wrap, ids []string, reads, clients int) *ReadResult {
	var mu sync.Mutex
	total := &ReadResult{}
	var all []time.Duration
	var wg sync.WaitGroup
	began := time.Now()
	for c := range clients {
		wg.Go(func() {
			tr := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
			defer tr.CloseIdleConnections()
			hc := &http.Client{Transport: wrap.around(tr), Timeout: time.Minute}
			var lat []time.Duration
			missing, firstErr := 0, ""
			for i := c; i < reads && ctx.Err() == nil; i += clients {
				// A stride that is prime to any length spreads the reads over all ids.
				id := ids[int(uint64(i)*2654435761%uint64(len(ids)))]
				at := time.Now()
				resp, err := hc.Post(endpoint+"/Traces", "application/json", strings.NewReader(`{"TraceIds":["`+id+`"]}`))
				if err != nil {
					firstErr = err.Error()
					continue
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				lat = append(lat, time.Since(at))
				if err != nil || resp.StatusCode != http.StatusOK {
					firstErr = fmt.Sprintf("%s %v: %.200s", resp.Status, err, text)
				} else if !bytes.Contains(text, []byte(id)) {
					missing++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, lat...)
			total.Missing += missing
			if total.FirstErr == "" {
				total.FirstErr = firstErr
			}
		})
	}
	wg.Wait()
	total.Elapsed = time.Since(began)
	total.Reads = len(all)
	total.P50, total.P99, total.Max = percentiles(all)
	return total
}
