package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/test/process"
)

// startAgent runs `roentgen agent` with a spool that outlives it.
func startAgent(t *testing.T, address, spoolDir string, env []string, flags ...string) *process.Server {
	t.Helper()
	args := append([]string{"agent", "-o", "-b", address, "-t", address, "--spool-dir", spoolDir}, flags...)
	return process.Await(t, process.LaunchWith(t, env, args...), address)
}

// agentConfig writes a cfg.yaml.
func agentConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cfg.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// agentStatus asks an agent for its figures.
type agentStatus struct {
	Intake struct {
		UDP, Stream, HTTP            int64
		KernelDropped, Queue_Dropped int64
	}
	Dead_Letters int
	Spool        struct {
		Dropped int64
		Failure string
	}
	Destinations []struct {
		Name                         string
		Waiting, Sent, Refused, Lost int64
		Last_Error                   string
	}
}

func statusOf(t *testing.T, s *process.Server) (st agentStatus) {
	t.Helper()
	resp, err := http.Get(s.URL + "/status")
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Output)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	if err := json.Unmarshal(data, &st); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return st
}

// within calls done until it is true.
func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// idle waits until nothing waits in the agent's spool.
func idle(t *testing.T, s *process.Server, limit time.Duration) agentStatus {
	t.Helper()
	var st agentStatus
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		st = statusOf(t, s)
		waiting := int64(0)
		for _, d := range st.Destinations {
			waiting += d.Waiting
		}
		if waiting == 0 {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v %d documents still wait: %+v\n%s", limit, waiting, st, s.Output)
		}
	}
}

// sender sends documents in every way and keeps their ids.
type sender struct {
	t   *testing.T
	ids map[string]bool
}

// byUDP sends n datagrams, slowly enough for a small socket buffer.
func (s *sender) byUDP(address string, n int) {
	s.t.Helper()
	c, err := net.Dial("udp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	for i := range n {
		doc, _, id := plainDocument()
		if _, err := io.WriteString(c, "{\"format\": \"json\", \"version\": 1}\n"+doc); err != nil {
			s.t.Fatal(err)
		}
		s.ids[id] = true
		if i%50 == 49 {
			time.Sleep(2 * time.Millisecond)
		}
	}
}

func (s *sender) byHTTP(url string, n int) {
	s.t.Helper()
	for n > 0 {
		var docs []string
		var ids []string
		for range min(n, 40) {
			doc, _, id := plainDocument()
			docs, ids = append(docs, doc), append(ids, id)
		}
		status, body := post(http.DefaultClient, url+"/TraceSegments", map[string]any{"TraceSegmentDocuments": docs})
		if status != http.StatusOK || body != `{"UnprocessedTraceSegments":[]}` {
			s.t.Fatalf("PutTraceSegments: %d %s", status, body)
		}
		for _, id := range ids {
			s.ids[id] = true
		}
		n -= len(docs)
	}
}

// byStream sends framed documents and waits until all are acknowledged.
func (s *sender) byStream(network, address string, n int, framing string) {
	s.t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, `{"format":"json","version":1,"framing":%q,"ack":true}`+"\n", framing)
	for range n {
		doc, _, id := plainDocument()
		if framing == "length" {
			_, err = c.Write(append([]byte{0, 0, byte(len(doc) >> 8), byte(len(doc))}, doc...))
		} else {
			_, err = io.WriteString(c, doc+"\n")
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.ids[id] = true
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for lines := bufio.NewScanner(c); ; {
		if !lines.Scan() {
			s.t.Fatalf("the acknowledgement of %d documents did not come: %v", n, lines.Err())
		}
		var a struct {
			Acknowledged int
			Unprocessed  []any
			Error        string
		}
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil || a.Error != "" || len(a.Unprocessed) > 0 {
			s.t.Fatalf("answer %s: %v", lines.Bytes(), err)
		}
		if a.Acknowledged == n {
			return
		}
	}
}

// TestAgentTroubles has a stand-in for AWS that checks signatures misbehave in
// every way, while documents come in every way. All of them arrive.
func TestAgentTroubles(t *testing.T) {
	fail := func(status int, code string, header ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.Header().Set("x-amzn-errortype", code)
			w.WriteHeader(status)
			io.WriteString(w, `{"Message":"not now"}`)
		}
	}
	every := func(k int, act func(http.ResponseWriter)) func(int, http.ResponseWriter) bool {
		return func(n int, w http.ResponseWriter) bool {
			if n%k != 0 {
				return false
			}
			act(w)
			return true
		}
	}
	pause := func(d time.Duration) func(int, http.ResponseWriter) bool {
		return func(int, http.ResponseWriter) bool { time.Sleep(d); return false }
	}
	for _, test := range []struct {
		name      string
		misbehave func(int, http.ResponseWriter) bool
		refuse    func(int, string) string
		dead      func(id string) bool // refused for good
		clock     time.Duration
	}{
		{name: "well behaved"},
		{name: "40 ms", misbehave: pause(40 * time.Millisecond)},
		{name: "400 ms", misbehave: pause(400 * time.Millisecond)},
		{name: "500", misbehave: every(3, fail(500, "InternalFailure"))},
		{name: "503 for a while", misbehave: func(n int, w http.ResponseWriter) bool {
			if n > 6 {
				return false
			}
			fail(503, "ServiceUnavailableException")(w)
			return true
		}},
		{name: "429", misbehave: every(4, fail(429, "ThrottledException", "Retry-After", "1"))},
		{name: "400 throttling", misbehave: every(4, fail(400, "ThrottlingException"))},
		{name: "timeout", misbehave: every(7, func(http.ResponseWriter) { time.Sleep(2 * time.Second) })},
		{name: "cut off", misbehave: every(5, func(http.ResponseWriter) { panic(http.ErrAbortHandler) })},
		{name: "half an answer", misbehave: every(5, func(w http.ResponseWriter) { io.WriteString(w, `{"UnprocessedTrace`) })},
		{name: "somebody else", misbehave: every(5, func(w http.ResponseWriter) { io.WriteString(w, "<html>log in first</html>") })},
		{name: "not found", misbehave: every(5, fail(404, ""))},
		{name: "expired token", misbehave: every(6, fail(403, "ExpiredTokenException"))},
		{name: "partial", refuse: func(n int, id string) string {
			if (int(id[0])+n)%5 == 0 {
				return "ThrottledException"
			}
			return ""
		}},
		{name: "dead letters", refuse: func(_ int, id string) string {
			if id[0] == '7' {
				return "InvalidSegment"
			}
			return ""
		}, dead: func(id string) bool { return id[0] == '7' }},
		{name: "its clock is an hour ahead", clock: time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			aws := newStandIn(t)
			aws.misbehave, aws.refuse = test.misbehave, test.refuse
			aws.clock = func() time.Time { return time.Now().Add(test.clock) }
			address := process.FreeAddress(t)
			cfg := agentConfig(t, "Version: 2\nEndpoint: http://"+aws.address+"\nAgent:\n  Destinations:\n  - Type: aws\n    Timeout: 1s\n    Sign: always\n")
			socket := filepath.Join(t.TempDir(), "s")
			agent := startAgent(t, address, t.TempDir(), awsEnvironment, "-c", cfg, "--unix-socket", socket)
			s := &sender{t, map[string]bool{}}
			s.byUDP(address, 200)
			s.byHTTP(agent.URL, 400)
			s.byStream("tcp", address, 100, "lines")
			s.byStream("unix", socket, 100, "length")
			within(t, 40*time.Second, "every datagram is read", func() bool { return statusOf(t, agent).Intake.UDP == 200 })
			st := idle(t, agent, 60*time.Second)
			got := aws.delivered()
			dead := 0
			for id := range s.ids {
				if test.dead != nil && test.dead(id) {
					dead++
					continue
				}
				if got[id] == 0 {
					t.Fatalf("%s was not delivered\n%s", id, agent.Output)
				}
			}
			if len(got) != len(s.ids)-dead {
				t.Errorf("%d documents delivered, want %d", len(got), len(s.ids)-dead)
			}
			if st.Dead_Letters != dead || st.Destinations[0].Lost != 0 {
				t.Errorf("%d dead letters, want %d; %+v", st.Dead_Letters, dead, st)
			}
			if dead > 0 {
				resp, err := http.Get(agent.URL + "/dead-letters?n=1000")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				var letters []struct{ ID, Code, Document, Destination string }
				if err := json.NewDecoder(resp.Body).Decode(&letters); err != nil {
					t.Fatal(err)
				}
				if len(letters) != dead {
					t.Fatalf("%d dead letters shown, want %d", len(letters), dead)
				}
				for _, l := range letters {
					if !test.dead(l.ID) || l.Code != "InvalidSegment" || !strings.Contains(l.Document, l.ID) || l.Destination != "aws" {
						t.Errorf("dead letter %+v", l)
					}
				}
			}
			aws.mu.Lock()
			if test.clock == 0 && len(aws.unsigned) > 0 {
				t.Errorf("signatures: %s", aws.unsigned)
			}
			aws.mu.Unlock()
			agent.Signal(t, syscall.SIGTERM)
			if state := agent.Wait(t); !state.Success() {
				t.Errorf("the agent ended with %v\n%s", state, agent.Output)
			}
		})
	}
}

// TestAgentProxies sends other calls through the agent: any path arrives with the
// agent's signature, and the answer comes back as it was. While the destination
// is away the sampling calls are answered from the cache, after a restart too.
func TestAgentProxies(t *testing.T) {
	aws := newStandIn(t)
	address, spoolDir := process.FreeAddress(t), t.TempDir()
	cfg := agentConfig(t, "Version: 1\nEndpoint: http://"+aws.address+"/ignored/by/the/proxy\n")
	agent := startAgent(t, address, spoolDir, awsEnvironment, "-c", cfg)
	req, err := http.NewRequest(http.MethodPost, agent.URL+"/Some/Path?b=2&a=1", strings.NewReader(`{"Question":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=dummy/20261122/us-west-2/xray/aws4_request, SignedHeaders=host, Signature=00")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Path") != "/Some/Path?a=1&b=2" || string(body) != `{"Message":"{\"Question\":1}"}` {
		t.Errorf("%d, path %q, body %s", resp.StatusCode, resp.Header.Get("X-Path"), body)
	}
	status, rules := post(http.DefaultClient, agent.URL+"/GetSamplingRules", map[string]any{})
	if status != http.StatusOK || !strings.Contains(rules, `"FixedRate":0.25`) {
		t.Fatalf("rules: %d %s", status, rules)
	}
	if len(aws.unsigned) > 0 {
		t.Errorf("signatures: %s", aws.unsigned)
	}
	// A page of another site must not sign with the agent's credentials.
	req, _ = http.NewRequest(http.MethodPost, agent.URL+"/GetSamplingRules", strings.NewReader("{}"))
	req.Header.Set("Origin", "https://evil.example")
	if resp, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a request of another site's page was answered %d", resp.StatusCode)
	}
	aws.down()
	agent.Kill()
	agent = startAgent(t, address, spoolDir, awsEnvironment, "-c", cfg)
	if status, again := post(http.DefaultClient, agent.URL+"/GetSamplingRules", map[string]any{"NextToken": nil}); status != http.StatusOK || again != rules {
		t.Errorf("rules from the cache: %d %s", status, again)
	}
	report := map[string]any{"SamplingStatisticsDocuments": []any{
		map[string]any{"RuleName": "Default", "ClientID": "0123456789abcdef01234567", "RequestCount": 1, "SampledCount": 1, "BorrowCount": 0, "Timestamp": 1},
		map[string]any{"RuleName": "nobody's", "ClientID": "0123456789abcdef01234567", "RequestCount": 1, "SampledCount": 1, "BorrowCount": 0, "Timestamp": 1},
	}}
	status, targets := post(http.DefaultClient, agent.URL+"/SamplingTargets", report)
	want := `{"LastRuleModification":0.0,"SamplingTargetDocuments":[{"FixedRate":0.25,"Interval":10,"ReservoirQuota":null,"ReservoirQuotaTTL":null,"RuleName":"Default"}],` +
		`"UnprocessedStatistics":[{"ErrorCode":"400","Message":"Unknown rule","RuleName":"nobody's"}]}`
	if status != http.StatusOK || targets != want {
		t.Errorf("targets from the cache: %d %s", status, targets)
	}
	if status, body := post(http.DefaultClient, agent.URL+"/TraceSummaries", map[string]any{}); status != http.StatusBadGateway {
		t.Errorf("another call while the destination is away: %d %s", status, body)
	}
}

// TestAgentOutage takes the server away, ends the agent in the middle of that,
// and brings both back. ROENTGEN_OUTAGE sets how long, in seconds.
func TestAgentOutage(t *testing.T) {
	outage := time.Duration(setting(t, "ROENTGEN_OUTAGE", 4)) * time.Second
	address, spoolDir, data := process.FreeAddress(t), t.TempDir(), t.TempDir()
	server := process.Serve(t, data)
	flags := []string{"--to", "home=" + server.URL, "--to", "aws:" + region}
	// The second destination is away all the time and must delay nobody.
	nowhere := process.FreeAddress(t)
	env := append([]string{"AWS_ENDPOINT_URL_XRAY=http://" + nowhere}, awsEnvironment...)
	agent := startAgent(t, address, spoolDir, env, flags...)
	s := &sender{t, map[string]bool{}}
	s.byUDP(address, 300)
	homeHas := func(n int64) func() bool {
		return func() bool {
			st := statusOf(t, agent)
			return st.Destinations[0].Waiting == 0 && st.Destinations[1].Waiting >= n
		}
	}
	within(t, 30*time.Second, "300 documents arrive at home", homeHas(300))
	server.Kill()
	for begin := time.Now(); time.Since(begin) < outage; {
		s.byUDP(address, 200)
		s.byHTTP(agent.URL, 80)
		time.Sleep(200 * time.Millisecond)
	}
	// Ended by SIGTERM it makes durable what it read, however long the outage.
	agent.Signal(t, syscall.SIGTERM)
	if state := agent.Wait(t); !state.Success() {
		t.Fatalf("the agent ended with %v\n%s", state, agent.Output)
	}
	agent = startAgent(t, address, spoolDir, env, flags...)
	s.byHTTP(agent.URL, 40)
	server = process.Start(t, server.Address, "serve", "--listen", server.Address, "--data-dir", data)
	within(t, time.Minute+outage/2, "all documents arrive at home", homeHas(int64(len(s.ids))))
	aws := &standIn{address: nowhere, clock: time.Now, docs: map[string]int{}, refused: map[string]int{}}
	aws.up(t)
	t.Cleanup(aws.down)
	st := idle(t, agent, time.Minute+outage/2)
	if st.Destinations[0].Lost+st.Destinations[1].Lost != 0 {
		t.Errorf("%+v", st)
	}
	if got := aws.delivered(); len(got) != len(s.ids) {
		t.Errorf("%d documents arrived at the destination that was away all the time, want %d", len(got), len(s.ids))
	}
	stored := metric(t, server.URL, `roentgen_ingest_documents_total{result="accepted",source="http"}`)
	if stored < float64(len(s.ids)-300) {
		t.Errorf("the server took %v documents after it came back, of %d", stored, len(s.ids)-300)
	}
}

// metric reads one sample.
func metric(t *testing.T, url, name string) float64 {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestAgentReload has the agent read its settings again: a file that is wrong or gone
// changes nothing, above all no destination, whose position would be given up.
func TestAgentReload(t *testing.T) {
	address, nowhere := process.FreeAddress(t), process.FreeAddress(t)
	text := "Version: 2\nAgent:\n  Destinations:\n  - Name: home\n    Endpoint: http://" + nowhere + "\n"
	cfg := agentConfig(t, text)
	agent := startAgent(t, address, t.TempDir(), awsEnvironment, "-c", cfg)
	s := &sender{t, map[string]bool{}}
	s.byHTTP(agent.URL, 40)
	hangUp := func(want string, change func() error) {
		t.Helper()
		if err := change(); err != nil {
			t.Fatal(err)
		}
		before := len(agent.Output.String())
		agent.Signal(t, syscall.SIGHUP)
		within(t, 10*time.Second, "the log says "+want, func() bool { return strings.Contains(agent.Output.String()[before:], want) })
	}
	write := func(text string) func() error {
		return func() error { return os.WriteFile(cfg, []byte(text), 0o600) }
	}
	hangUp("Settings not read again", write(text+"Concurrency: [\n"))
	hangUp("Settings not read again", write(text+"Concurrency: many\n"))
	hangUp("Settings not read again", func() error { return os.Remove(cfg) })
	if st := statusOf(t, agent); len(st.Destinations) != 1 || st.Destinations[0].Waiting != 40 {
		t.Errorf("after settings that cannot be read: %+v", st)
	}
	aws := newStandIn(t)
	hangUp("Settings read again", write(strings.Replace(text, nowhere, aws.address, 1)))
	idle(t, agent, 20*time.Second)
	if got := aws.delivered(); len(got) != 40 {
		t.Errorf("%d documents arrived where the destination is now, want 40", len(got))
	}
}

// TestAgentKill kills agent and server again and again, at random moments, while
// writers send to the agent. What was acknowledged is in the server at the end.
// ROENTGEN_AGENT_KILLS sets how often, ROENTGEN_SEED repeats documents and pauses.
func TestAgentKill(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED under -short: kills processes again and again")
	}
	t.Run("documents", func(t *testing.T) { testAgentKill(t, "http://") })
	t.Run("spans", func(t *testing.T) { testAgentKill(t, "otlp:http://") })
}

// testAgentKill is TestAgentKill for a destination of that sort.
func testAgentKill(t *testing.T, to string) {
	kills := setting(t, "ROENTGEN_AGENT_KILLS", 12)
	seed := anySeed(t)
	t.Logf("seed: run again with ROENTGEN_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	process.Binary(t)
	spoolDir, data := t.TempDir(), t.TempDir()
	address, serverAddress := process.FreeAddress(t), process.FreeAddress(t)
	startServer := func() *process.Server {
		return process.Start(t, serverAddress, "serve", "--listen", serverAddress, "--data-dir", data)
	}
	startTheAgent := func() *process.Server {
		return startAgent(t, address, spoolDir, nil, "--to", to+serverAddress)
	}
	book := &ledger{docs: map[string]*sentDoc{}, traces: map[string][]*sentDoc{}}
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	var writers []*writer
	for i := range 4 {
		writers = append(writers, &writer{rng: rand.New(rand.NewPCG(seed, uint64(1+i))), book: book, client: client})
	}
	server, agent := startServer(), startTheAgent()
	for kill := range kills {
		stop := writeOn(writers, agent.URL)
		time.Sleep(time.Duration(30+rng.IntN(300)) * time.Millisecond)
		victim := rng.IntN(3)
		if victim != 0 {
			agent.Kill()
		}
		if victim != 1 {
			server.Kill()
			time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
		}
		if err := stop(); err != nil {
			t.Fatalf("seed %d, before kill %d: %v\n%s", seed, kill+1, err, agent.Output)
		}
		client.CloseIdleConnections()
		if victim != 1 {
			server = startServer()
		}
		if victim != 0 {
			agent = startTheAgent()
		}
	}
	idle(t, agent, time.Minute)
	var all []string
	for trace := range book.traces {
		all = append(all, trace)
	}
	if err := book.verify(client, server.URL, all); err != nil {
		t.Fatalf("seed %d, after all kills: %v\n%s", seed, err, agent.Output)
	}
	if st := statusOf(t, agent); st.Dead_Letters != 0 || st.Destinations[0].Lost != 0 {
		t.Errorf("%+v", st)
	}
	acked := 0
	for _, d := range book.docs {
		if d.acked {
			acked++
		}
	}
	if acked < 10*kills {
		t.Errorf("only %d documents were acknowledged in %d lives: too little was tested", acked, kills)
	}
	t.Logf("%d kills, %d documents acknowledged, %d sent", kills, acked, len(book.docs))
}

// TestAgentFullDisk fills the disk under the spool. What was acknowledged before
// and after arrives; what does not fit is refused, not lost.
func TestAgentFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", dir).Run(); err != nil {
		t.Skipf("SKIPPED: no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", dir).Run(); err != nil {
			t.Errorf("umount: %v", err)
		}
	})
	address := process.FreeAddress(t)
	aws := newStandIn(t)
	aws.down()
	cfg := agentConfig(t, "Version: 2\nEndpoint: http://"+aws.address+"\nAgent:\n  SpoolSize: 64MiB\n")
	agent := startAgent(t, address, dir, awsEnvironment, "-c", cfg)
	acked := map[string]bool{}
	refused := 0
	put := func(n int) {
		for range n {
			// Random, so that it does not become small.
			doc, _, id := plainDocument()
			filler := make([]byte, 20_000)
			for i := range filler {
				filler[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[rand.IntN(62)]
			}
			doc = strings.TrimSuffix(doc, "}") + `,"metadata":{"filler":"` + string(filler) + `"}}`
			switch status, body := post(http.DefaultClient, agent.URL+"/TraceSegments", map[string]any{"TraceSegmentDocuments": []string{doc}}); status {
			case http.StatusOK:
				acked[id] = true
			case http.StatusServiceUnavailable:
				refused++
			default:
				t.Fatalf("%d %s\n%s", status, body, agent.Output)
			}
		}
	}
	put(600)
	if refused == 0 || len(acked) < 50 {
		t.Fatalf("%d acknowledged, %d refused: the disk did not become full\n%s", len(acked), refused, agent.Output)
	}
	if st := statusOf(t, agent); st.Spool.Failure == "" || st.Spool.Dropped != 0 {
		t.Errorf("%+v", st.Spool)
	}
	agent.Kill()
	agent = startAgent(t, address, dir, awsEnvironment, "-c", cfg)
	aws.up(t)
	idle(t, agent, time.Minute)
	before := len(acked)
	// The spool is empty now; the agent has to find that the disk has room.
	within(t, 20*time.Second, "documents are taken again", func() bool { put(1); return len(acked) > before })
	put(50)
	idle(t, agent, time.Minute)
	got := aws.delivered()
	for id := range acked {
		if got[id] == 0 {
			t.Fatalf("LOST: %s was acknowledged\n%s", id, agent.Output)
		}
	}
	t.Logf("%d acknowledged, %d refused", len(acked), refused)
}

// TestAgentAssumesRole has the agent sign with the credentials of a role, which
// it gets from a stand-in for AWS's token service, and get others when these are
// about to expire.
func TestAgentAssumesRole(t *testing.T) {
	var assumed atomic.Int32
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("Action") != "AssumeRole" || r.Form.Get("RoleArn") != "arn:aws:iam::1:role/xray" ||
			!strings.Contains(r.Header.Get("Authorization"), "Credential="+accessKey+"/") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		n := assumed.Add(1)
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>ROLE%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey>`+
			`<SessionToken>token%d</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, n, n, time.Now().Add(31*time.Second).UTC().Format(time.RFC3339))
	}))
	defer sts.Close()
	var mu sync.Mutex
	seen := map[string]bool{}
	xray := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ = strings.Cut(key, "/")
		mu.Lock()
		seen[key+" "+r.Header.Get("X-Amz-Security-Token")] = true
		mu.Unlock()
		io.WriteString(w, `{"UnprocessedTraceSegments":[]}`)
	}))
	defer xray.Close()
	address := process.FreeAddress(t)
	cfg := agentConfig(t, "Endpoint: "+xray.URL+"\nVersion: 2\n")
	agent := startAgent(t, address, t.TempDir(), append([]string{"AWS_ENDPOINT_URL_STS=" + sts.URL}, awsEnvironment...), "-c", cfg, "-r", "arn:aws:iam::1:role/xray")
	s := &sender{t, map[string]bool{}}
	within(t, 30*time.Second, "the role's second credentials are used", func() bool {
		s.byHTTP(agent.URL, 1)
		time.Sleep(100 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		return seen["ROLE1 token1"] && seen["ROLE2 token2"]
	})
	mu.Lock()
	defer mu.Unlock()
	for key := range seen {
		if !strings.HasPrefix(key, "ROLE") {
			t.Errorf("signed with %s", key)
		}
	}
}
