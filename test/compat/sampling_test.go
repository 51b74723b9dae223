package compat

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// samplingPrograms are the processes that take their sampling from the server, each
// with the services that it pretends to be.
var samplingPrograms = []struct {
	name     string
	services []string
	command  func(t *testing.T, address string) []string
}{
	{"go 1", []string{"till", "lamp-go"}, goSampling},
	{"go 2", []string{"till", "lamp-go"}, goSampling},
	{"python 1", []string{"till", "lamp-python"}, pythonSampling},
	{"python 2", []string{"till", "lamp-python"}, pythonSampling},
	{"java", []string{"till", "lamp-java"}, func(t *testing.T, _ string) []string { return java(t, "Sampling") }},
	{"opentelemetry", []string{"till", "lamp-opentelemetry"}, func(t *testing.T, address string) []string {
		path, err := otelGo()
		if err != nil {
			t.Fatalf("building test/compat/go-sdk/otel: %v", err)
		}
		return []string{path, address}
	}},
	{"node 1", []string{"lamp-node"}, nodeSampling}, // the name is that of the whole process
	{"node 2", []string{"node-till"}, nodeSampling},
}

func goSampling(t *testing.T, _ string) []string     { return append(sdks[0].command(t), "sampling") }
func nodeSampling(t *testing.T, _ string) []string   { return append(sdks[1].command(t), "sampling") }
func pythonSampling(t *testing.T, _ string) []string { return append(sdks[2].command(t), "sampling") }

// java returns the command that runs a program of the folder java.
func java(t *testing.T, program string) []string {
	t.Helper()
	path, err := exec.LookPath("java")
	if err != nil {
		missing(t, "java")
	}
	jars, _ := filepath.Glob("java/lib/aws-xray-recorder-sdk-core-*.jar")
	if len(jars) == 0 {
		missing(t, "test/compat/java/lib with the X-Ray SDK for Java")
	}
	return []string{path, "-cp", filepath.Join("java", "lib", "*"), filepath.Join("java", program+".java")}
}

// otelGo builds the program that uses OpenTelemetry's X-Ray sampler, once.
var otelGo = builds("go-sdk", "./otel", "otel-go")

// startClient starts a program that runs until the test ends.
func startClient(t *testing.T, env []string, name string, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = io.Discard, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close() // ends it
		end := time.AfterFunc(5*time.Second, cancel)
		err := cmd.Wait()
		end.Stop()
		cancel()
		if err != nil || t.Failed() {
			t.Logf("%s: %v\n%s", name, err, output.String())
		}
	})
}

// read asks one of the server's own endpoints.
func (s *server) read(t *testing.T, path string, answer any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+s.bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
	}
}

// samplingClients reads what the server knows of the clients of a rule.
func (s *server) samplingClients(t *testing.T, rule string) []samplingClient {
	t.Helper()
	var answer struct{ Clients []samplingClient }
	s.read(t, "/api/sampling/clients?rule="+url.QueryEscape(rule), &answer)
	return answer.Clients
}

type samplingClient struct {
	ClientID          string
	RequestRate       float64
	ReservoirQuota    *int
	TotalSampledCount int64
	TotalBorrowCount  int64
}

// count returns how many traces of a service began in a window.
func (s *server) count(t *testing.T, service string, start, end time.Time) int {
	t.Helper()
	n := 0
	query := url.Values{
		"filter": {`service("` + service + `")`}, "limit": {"10000"},
		"start": {fmt.Sprintf("%.3f", float64(start.UnixMilli())/1e3)}, "end": {fmt.Sprintf("%.3f", float64(end.UnixMilli())/1e3)},
	}
	for {
		var page struct {
			TraceSummaries []json.RawMessage
			NextToken      *string
		}
		s.read(t, "/api/traces?"+query.Encode(), &page)
		n += len(page.TraceSummaries)
		if page.NextToken == nil {
			return n
		}
		query.Set("token", *page.NextToken)
	}
}

// answered returns how many calls of an operation were answered well.
func (s *server) answered(t *testing.T, operation string) int {
	t.Helper()
	resp, err := http.Get(s.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if m := answeredLine.FindStringSubmatch(line); m != nil && strings.Contains(line, `operation="`+operation+`"`) && strings.Contains(line, `="ok"`) {
			f, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			n += int(f)
		}
	}
	return n
}

var answeredLine = regexp.MustCompile(`^roentgen_api_requests_total\{.*\} (\S+)\n`)

// TestSamplingRules lets unmodified SDKs and an OpenTelemetry sampler, in several
// processes at the same time, take their sampling from the server: a reservoir of
// one is one trace a second for all of them together, and a rule that is changed to
// nothing stops their traces. The X-Ray SDK for Node does not know how to use a
// quota (it takes the time until which one is good for milliseconds) and so borrows
// a trace a second for ever: it has a rule of its own.
func TestSamplingRules(t *testing.T) {
	s := serve(t)
	create := func(name, service string, reservoir int, rate float64) {
		t.Helper()
		status, _, answer := s.call(t, "/CreateSamplingRule", fmt.Sprintf(`{"SamplingRule":{"RuleName":%q,"Priority":10,"ReservoirSize":%d,"FixedRate":%v,`+
			`"ServiceName":%q,"ServiceType":"*","Host":"*","HTTPMethod":"*","URLPath":"*","ResourceARN":"*","Version":1}}`, name, reservoir, rate, service))
		if status != http.StatusOK {
			t.Fatalf("CreateSamplingRule: %d %s", status, answer)
		}
	}
	create("one", "till", 1, 0)       // for all processes but Node's
	create("lamp", "lamp-*", 0, 1)    // until it is switched off
	create("node", "node-till", 1, 0) // which borrows

	env := environment("AWS_XRAY_DAEMON_ADDRESS="+s.Address, "AWS_XRAY_CONTEXT_MISSING=LOG_ERROR")
	lamps := map[string]int{} // processes by service
	sharing, samplers := 0, 0
	for _, p := range samplingPrograms {
		command := p.command(t, s.Address)
		for _, service := range p.services {
			if service == "till" {
				sharing++
			} else if strings.HasPrefix(service, "lamp-") {
				lamps[service]++
			}
		}
		samplers++
		if p.name == "opentelemetry" {
			samplers += len(p.services) - 1 // it has one for each service
		}
		startClient(t, env, p.name, append(command, p.services...)...)
	}

	// A client borrows until it gets its quota with its second report, 20 s after its start.
	deadline := time.Now().Add(75 * time.Second)
	for {
		quotas, sum := 0, 0
		clients := s.samplingClients(t, "one")
		for _, c := range clients {
			if c.ReservoirQuota != nil {
				quotas++
				sum += *c.ReservoirQuota
			}
		}
		if quotas == sharing && sum == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d clients %d have a quota, together %d: %+v", sharing, quotas, sum, clients)
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(time.Second) // the last answer is on its way
	fetched := s.answered(t, "GetSamplingRules")
	// Once at their start; again after their first report those that started in the
	// second in which the rules were made. A server that lets them fetch the rules with
	// each report is at three times by now.
	if fetched < samplers || fetched > 2*samplers {
		t.Errorf("%d clients fetched the rules %d times while nothing changed", samplers, fetched)
	}

	// Switch the lamp off.
	changed := time.Now()
	if status, _, answer := s.call(t, "/UpdateSamplingRule", `{"SamplingRuleUpdate":{"RuleName":"lamp","FixedRate":0}}`); status != http.StatusOK {
		t.Fatalf("UpdateSamplingRule: %d %s", status, answer)
	}
	for lamp, count := range lamps {
		// Each request was a trace: 25 a second of each process, less what a busy
		// machine makes of it.
		if n := s.count(t, lamp, changed.Add(-10*time.Second), changed.Add(-2*time.Second)); n < 40*count {
			t.Errorf("%s was traced %d times in 8 s before it was switched off", lamp, n)
		}
	}
	const window = 25 * time.Second
	time.Sleep(time.Until(changed.Add(window + 2*time.Second)))

	n := s.count(t, "till", changed, changed.Add(window))
	t.Logf("%d processes that share a reservoir of 1 made %d traces in %v", sharing, n, window)
	if n < 20 || n > 31 {
		t.Errorf("%d traces in %v, want about one a second", n, window)
	}
	n = s.count(t, "node-till", changed, changed.Add(window))
	t.Logf("a Node process, which borrows, made %d traces in %v", n, window)
	if n < 20 || n > 31 {
		t.Errorf("Node: %d traces in %v, want about one a second", n, window)
	}
	for lamp := range lamps {
		// They report every 10 s, give or take; the SDK for Java passes over a report
		// that would come a moment too early, and so may take twice as long.
		if n := s.count(t, lamp, changed.Add(21*time.Second), changed.Add(window)); n != 0 {
			t.Errorf("%s was traced %d times after it was switched off", lamp, n)
		}
	}
	clients, switched := s.samplingClients(t, "lamp"), 0
	for _, count := range lamps {
		switched += count
	}
	if len(clients) != switched {
		t.Errorf("%d clients of the lamp, want %d", len(clients), switched)
	}
	for _, c := range clients {
		if c.TotalSampledCount < 100 {
			t.Errorf("client %s reported %+v", c.ClientID, c)
		}
	}
	// Go, Python and OpenTelemetry look at the time of the latest change.
	if again := s.answered(t, "GetSamplingRules") - fetched; again > 2*samplers {
		t.Errorf("the clients fetched the rules %d times after one change", again)
	} else {
		t.Logf("the clients fetched the rules %d times at first and %d times after one change", fetched, again)
	}
}

// TestUnsignedSampling lets the same programs, none of which signs, take their
// sampling from a server that asks everybody else for a key.
func TestUnsignedSampling(t *testing.T) {
	f := makeKeys(t)
	s := serve(t, "--keys", f.path, "--unsigned-sampling")
	s.bearer = f.keys["reader"].Bearer
	locked := serve(t, "--keys", f.path)
	locked.bearer = s.bearer

	clients := 0
	for _, p := range samplingPrograms {
		if strings.HasSuffix(p.name, " 2") {
			continue // one of each is enough
		}
		clients++
		for _, s := range []*server{s, locked} {
			env := environment("AWS_XRAY_DAEMON_ADDRESS="+s.Address, "AWS_XRAY_CONTEXT_MISSING=LOG_ERROR")
			startClient(t, env, p.name, append(p.command(t, s.Address), p.services[len(p.services)-1])...)
		}
	}
	// On a busy machine it takes a Java program ten seconds to begin, and its first
	// report comes ten seconds later.
	within(t, time.Minute, "all programs have a rate from the Default rule", func() bool { return len(s.samplingClients(t, "Default")) == clients })
	if n := len(locked.samplingClients(t, "Default")); n != 0 {
		t.Errorf("%d clients without a key reported to a server that wants one from everybody", n)
	}
	for _, path := range []string{"/SamplingStatisticSummaries", "/CreateSamplingRule", "/Groups", "/TraceSegments"} {
		if status, header, answer := s.call(t, path, "{}"); status != http.StatusForbidden || header.Get("X-Amzn-Errortype") != "MissingAuthenticationTokenException" {
			t.Errorf("%s without a key: %d %s", path, status, answer)
		}
	}
}
