package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roentgen-io/roentgen/internal/access"
	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/neighbours"
	"github.com/roentgen-io/roentgen/internal/webapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/test/authority"
)

// TestEveryPathHasANeed compares the table of needs with what is served.
func TestEveryPathHasANeed(t *testing.T) {
	served := []string{pathPage, pathMetrics, pathHealth, pathForward, pathDebug, pathOTLP, neighbours.PrefixTempo, neighbours.PrefixJaeger}
	served = append(served, webapi.Paths()...)
	for path := range xrayapi.Operations() {
		served = append(served, path)
	}
	for _, path := range served {
		if _, ok := needs[path]; !ok {
			t.Errorf("%s is served, and nobody said which role it needs", path)
		}
	}
	for path := range needs {
		if !slices.Contains(served, path) {
			t.Errorf("%s has a need and is not served", path)
		}
	}
	open := []string{pathHealth}
	for path, need := range needs {
		if need == access.Open && !slices.Contains(open, path) {
			t.Errorf("%s is open to everyone", path)
		}
		if need == access.Optional && path != "/api/session" {
			t.Errorf("%s is open to those without a key", path)
		}
	}
}

// TestRolesAreDocumented wants every path under the role that the guide names for it.
func TestRolesAreDocumented(t *testing.T) {
	guide, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for role, need := range map[string]access.Need{"read": access.Read, "admin": access.Admin} {
		_, row, _ := strings.Cut(string(guide), "| `"+role+"` | ")
		row, _, _ = strings.Cut(row, " |\n")
		for path, n := range needs {
			if !strings.HasPrefix(path, "/") {
				continue // operations are told in words
			}
			named := path
			if strings.HasPrefix(path, "/api/sampling/") {
				named = "/api/sampling/…"
			}
			if path == "/api/traces/" || path == "/api/keys/" || path == "/api/views/" || path == "/api/links/" {
				continue // named with what is above it
			}
			if strings.Contains(row, "`"+named+"`") != (n == need) {
				t.Errorf("docs/security.md: %s needs %v, and the row of %s says %q", path, n, role, row)
			}
		}
	}
}

// TestOperationsByPurpose holds the table against what the names of operations say.
func TestOperationsByPurpose(t *testing.T) {
	for path, name := range xrayapi.Operations() {
		want := access.Admin
		switch {
		case name == "PutTraceSegments", name == "PutTelemetryRecords":
			want = access.Write
		case strings.HasPrefix(name, "GetSampling"):
			want = access.ReadOrWrite
		case strings.HasPrefix(name, "Get"), strings.HasPrefix(name, "BatchGet"), strings.HasPrefix(name, "List"), strings.HasSuffix(name, "TraceRetrieval"):
			want = access.Read
		}
		if needs[path] != want {
			t.Errorf("%s needs %v, want %v", name, needs[path], want)
		}
	}
}

// TestPlaces is about paths that try to be taken for others.
func TestPlaces(t *testing.T) {
	for path, want := range map[string]string{
		"/TraceSegments":                   "TraceSegments",
		"/TraceSegments/":                  "TraceSegments",
		"/base/TraceSegments":              "TraceSegments",
		"/-/TraceSegments":                 "TraceSegments",
		"/debug/../TraceSegments":          "TraceSegments",
		"/":                                pathPage,
		"/map":                             pathPage,
		"/trace/1-58406520-a":              pathPage,
		"/theme.js":                        pathPage,
		"/trace/../api/dead-letters":       pathPage,
		"/trace/TraceSegments":             "TraceSegments",
		"/assets/":                         "",
		"":                                 "",
		"//":                               "",
		"/metrics":                         pathMetrics,
		"/metrics/":                        "",
		"//metrics":                        "",
		"/-/ready":                         pathHealth,
		"/-/forward":                       pathForward,
		"/-/../debug/pprof/":               pathHealth, // where nothing of the kind is
		"/debug":                           pathDebug,
		"/debug/":                          pathDebug,
		"/debug/pprof/heap":                pathDebug,
		"/Debug/":                          "",
		"/api/traces":                      "/api/traces",
		"/api/traces/":                     "/api/traces",
		"/api/traces/1-58406520-a":         "/api/traces/",
		"/api/traces/../dead-letters":      "/api/traces/",
		"/api/dead-letters":                "/api/dead-letters",
		"/api/dead-letters/":               "/api/dead-letters",
		"/api//dead-letters":               "",
		"/api/import":                      "/api/import",
		"/api/":                            "",
		"/api/nothing":                     "",
		"/TraceSegments/x":                 "",
		"/tracesegments":                   "",
		strings.Repeat("/x", 10_000):       "",
		"/x" + strings.Repeat("/", 10_000): "",
	} {
		if got := placeOf(path); got != want {
			t.Errorf("%.60s is %q, want %q", path, got, want)
		}
	}
}

// keyed is a server with keys of each role.
type keyed struct {
	*Server
	file                  string
	admin, reader, writer keys.Key
}

func startKeyed(t *testing.T, change func(c *config.Config)) *keyed {
	t.Helper()
	k := &keyed{file: filepath.Join(t.TempDir(), "keys.json")}
	k.admin = keys.New("admin", []keys.Role{keys.RoleAdmin}, time.Now())
	k.reader = keys.New("reader", []keys.Role{keys.RoleRead}, time.Now())
	k.writer = keys.New("writer", []keys.Role{keys.RoleWrite}, time.Now())
	if err := keys.Update(k.file, true, func([]keys.Key) ([]keys.Key, error) { return []keys.Key{k.admin, k.reader, k.writer}, nil }); err != nil {
		t.Fatal(err)
	}
	k.Server = start(t, nil, func(c *config.Config) {
		c.Keys = k.file
		if change != nil {
			change(c)
		}
	})
	return k
}

// TestRoles asks for paths with every key, and looks who gets past the gate.
func TestRoles(t *testing.T) {
	s := startKeyed(t, nil)
	for _, c := range []struct{ method, path, body, admitted string }{
		{"GET", "/-/healthy", "", "nobody admin reader writer"},
		{"GET", "/-/ready", "", "nobody admin reader writer"},
		{"GET", "/-/forward", "", "admin reader"},
		{"GET", "/", "", "admin reader"},
		{"GET", "/metrics", "", "admin reader"},
		{"GET", "/debug/", "", "admin"},
		{"GET", "/debug/config", "", "admin"},
		{"GET", "/debug/pprof/cmdline", "", "admin"},
		{"GET", "/api/traces", "", "admin reader"},
		{"GET", "/api/traces/1-58406520-a006649127e371903a2de979", "", "admin reader"},
		{"GET", "/api/complete?filter=f&cursor=1", "", "admin reader"},
		{"POST", "/api/explain", `{"Expression":"fault"}`, "admin reader"},
		{"GET", "/api/dead-letters", "", "admin"},
		{"GET", "/api/dead-letters/", "", "admin"},
		{"GET", "/api/forward/dead-letters", "", "admin"},
		{"POST", "/api/import", putBody(document(1)), "admin"},
		{"POST", "/TraceSegments", putBody(document(2)), "admin writer"},
		{"POST", "/some/base/TraceSegments/", putBody(document(3)), "admin writer"},
		{"POST", "/TelemetryRecords", `{"TelemetryRecords":[{"Timestamp":1}]}`, "admin writer"},
		{"POST", "/Traces", `{"TraceIds":["1-58406520-a006649127e371903a2de979"]}`, "admin reader"},
		{"POST", "/Groups", "{}", "admin reader"},
		{"POST", "/DeleteGroup", `{"GroupName":"gone"}`, "admin"},
		{"POST", "/GetSamplingRules", "{}", "admin reader writer"},
		{"GET", "/map", "", "nobody admin reader writer"},
		{"GET", "/theme.js", "", "nobody admin reader writer"},
		{"GET", "/api/session", "", "nobody admin reader writer"},
		{"GET", "/api/server", "", "admin reader"},
		{"GET", "/api/settings", "", "admin"},
		{"GET", "/api/views", "", "admin reader"},
		{"POST", "/api/links", `{"Path":"elsewhere"}`, "admin reader"},
		{"GET", "/api/links/nothing", "", "admin reader"},
		{"GET", "/l/nothing", "", "nobody admin reader writer"},
		{"GET", "/api/keys", "", "admin"},
		{"POST", "/api/keys", `{"Name":"x"}`, "admin"},
		{"DELETE", "/api/keys/nothing", "", "admin"},
		{"POST", "/nothing", "{}", "admin"},
		{"GET", "/api/nothing", "", "admin"},
	} {
		var admitted []string
		for _, key := range []struct {
			name string
			key  *keys.Key
		}{{"nobody", nil}, {"admin", &s.admin}, {"reader", &s.reader}, {"writer", &s.writer}} {
			var header []string
			if key.key != nil {
				header = []string{"Authorization", "Bearer " + key.key.Bearer()}
			}
			status, text, answer := do(t, c.method, s.URL()+c.path, c.body, header...)
			refused := status == 401 || status == 403
			if code := answer.Get("x-amzn-errortype"); refused && key.key != nil && code != "AccessDeniedException" {
				t.Errorf("%s %s as %s: %d %s %s", c.method, c.path, key.name, status, code, text)
			}
			if !refused {
				admitted = append(admitted, key.name)
			}
			if (status == 404 || status >= 500) && !strings.HasSuffix(c.path, "nothing") && !strings.HasSuffix(c.path, "979") {
				t.Errorf("%s %s as %s: %d %s", c.method, c.path, key.name, status, text)
			}
		}
		if got := strings.Join(admitted, " "); got != c.admitted {
			t.Errorf("%s %s lets in %s, want %s", c.method, c.path, got, c.admitted)
		}
	}
}

// TestPageWithoutAKey holds that the page comes without a key, and tells nothing.
func TestPageWithoutAKey(t *testing.T) {
	s := startKeyed(t, nil)
	for _, path := range []string{"/", "/trace/1-58406520-a006649127e371903a2de979"} {
		status, text, header := do(t, "GET", s.URL()+path, "", "Accept", "text/html,*/*")
		if status != 200 || !strings.Contains(text, `<meta name="roentgen" content="{&#34;keys&#34;:true}">`) || !strings.Contains(text, "<noscript>") {
			t.Errorf("%s: %d %s", path, status, text)
		}
		if policy := header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || !strings.Contains(policy, "form-action 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("policy %q", policy)
		}
		if again, _, _ := do(t, "GET", s.URL()+path, "", "Accept", "text/html", "Authorization", "Bearer "+s.admin.Bearer()); again != 200 {
			t.Errorf("%s with a key: %d", path, again)
		}
	}
	status, text, header := do(t, "GET", s.URL()+"/", "")
	if status != 401 || !strings.Contains(text, "roentgen key create") || !strings.Contains(text, " "+s.URL()+"/api/traces") || header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %s", status, text)
	}
	status, text, _ = do(t, "GET", s.URL()+"/", "", "Authorization", "Bearer "+s.reader.Bearer())
	if status != 200 || strings.Contains(text, "AWS_ACCESS_KEY_ID=any") {
		t.Errorf("%d %s", status, text)
	}
}

// TestKeyLimits sends more than a key may, in documents and in bytes.
func TestKeyLimits(t *testing.T) {
	for name, change := range map[string]func(c *config.Config){
		"documents": func(c *config.Config) { c.KeyDocuments = 2 },
		"bytes":     func(c *config.Config) { c.KeyBytes = 200 },
	} {
		t.Run(name, func(t *testing.T) {
			s := startKeyed(t, change)
			put := func(k keys.Key) (int, string) {
				status, _, header := do(t, "POST", s.URL()+"/TraceSegments", putBody(document(1), document(2), document(3)), "Authorization", "Bearer "+k.Bearer())
				return status, header.Get("x-amzn-errortype")
			}
			if status, _ := put(s.writer); status != 200 {
				t.Errorf("first call: %d", status)
			}
			if status, code := put(s.writer); status != 429 || code != "ThrottledException" {
				t.Errorf("second call: %d %s", status, code)
			}
			if status, _ := put(s.admin); status != 200 {
				t.Errorf("another key: %d", status)
			}
		})
	}
}

// TestLargeRefusedBody sends a large body with a wrong key: the client gets to see why
// it is refused, although the server does not want the body.
func TestLargeRefusedBody(t *testing.T) {
	s := startKeyed(t, nil)
	body := strings.Repeat("x", 8<<20)
	for range 5 {
		status, text, _ := do(t, "POST", s.URL()+"/TraceSegments", body)
		if status != 403 || !strings.Contains(text, "Missing Authentication Token") {
			t.Fatalf("%d %s", status, text)
		}
	}
}

func TestTLS(t *testing.T) {
	ca := authority.New(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	ca.Issue(t, cert, key, "first.example")
	s := start(t, nil, func(c *config.Config) { c.TLSCert, c.TLSKey = cert, key })
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("URL %s", s.URL())
	}
	get := func(hc *http.Client) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(context.Background(), "GET", s.URL()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(text)
	}
	name := func() string {
		resp, _ := get(ca.Client())
		return resp.TLS.PeerCertificates[0].Subject.CommonName
	}
	resp, text := get(ca.Client())
	if resp.ProtoMajor != 2 || !strings.Contains(text, "AWS_ENDPOINT_URL_XRAY="+s.URL()) {
		t.Errorf("%s %s", resp.Proto, text)
	}
	old := ca.Client()
	old.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	if resp, _ := get(old); resp.ProtoMajor != 1 {
		t.Errorf("a client of HTTP/1.1 got %s", resp.Proto)
	}
	if got := name(); got != "first.example" {
		t.Errorf("certificate of %s", got)
	}
	// A certificate without its key is not used; the pair is, at once on a reload.
	ca.Issue(t, cert, filepath.Join(dir, "other.key"), "second.example")
	s.Reload()
	if got := name(); got != "first.example" {
		t.Errorf("half of a pair: certificate of %s", got)
	}
	ca.Issue(t, cert, key, "third.example")
	s.Reload()
	if got := name(); got != "third.example" {
		t.Errorf("after a reload: certificate of %s", got)
	}
	status, text, _ := do(t, "GET", "http"+strings.TrimPrefix(s.URL(), "https")+"/", "")
	if status != 400 || !strings.Contains(text, "HTTPS server") {
		t.Errorf("plain HTTP: %d %s", status, text)
	}
}

// TestH2C speaks HTTP/2 without TLS.
func TestH2C(t *testing.T) {
	s := startKeyed(t, nil)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(context.Background(), "POST", s.URL()+"/TraceSegments", strings.NewReader(putBody(document(7))))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.writer.Bearer())
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
}

// TestUDPAllow sends datagrams from a network that may not send, and from one that may.
func TestUDPAllow(t *testing.T) {
	for _, c := range []struct {
		allow  string
		stored bool
	}{{"192.0.2.0/24", false}, {"192.0.2.0/24,127.0.0.0/8", true}} {
		s := startKeyed(t, func(config *config.Config) {
			for text := range strings.SplitSeq(c.allow, ",") {
				config.UDPAllow = append(config.UDPAllow, netip.MustParsePrefix(text))
			}
		})
		sendUDP(t, s.Server, document(9))
		bearer := "Bearer " + s.admin.Bearer()
		want := "roentgen_udp_datagrams_refused_total 1"
		if c.stored {
			want = "roentgen_udp_datagrams_refused_total 0"
		}
		within(t, c.allow, func() bool {
			_, metrics, _ := do(t, "GET", s.URL()+"/metrics", "", "Authorization", bearer)
			return strings.Contains(metrics, want) && strings.Contains(metrics, "roentgen_udp_datagrams_received_total 1")
		})
		within(t, "the trace", func() bool {
			status, _, _ := do(t, "GET", s.URL()+"/api/traces/"+fmt.Sprintf("1-6741a0c3-%024x", 9), "", "Authorization", bearer)
			return (status == 200) == c.stored
		})
		_, letters, _ := do(t, "GET", s.URL()+"/api/dead-letters", "", "Authorization", bearer)
		if !strings.Contains(letters, `"DeadLetters":[]`) {
			t.Errorf("%s: %s", c.allow, letters)
		}
	}
}

// TestLocksThatCannotBeRead starts servers with files that are not there.
func TestLocksThatCannotBeRead(t *testing.T) {
	for name, change := range map[string]func(c *config.Config){
		"keys":        func(c *config.Config) { c.Keys = "testdata/none.json" },
		"certificate": func(c *config.Config) { c.TLSCert, c.TLSKey = "testdata/none.crt", "testdata/none.key" },
	} {
		s, err := Start(t.Context(), Config{Settings: settings(change)})
		if err == nil {
			s.Close(t.Context())
			t.Errorf("%s: started", name)
		}
	}
}

func within(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
