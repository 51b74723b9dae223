package xrayapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

func TestGuard(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	guard := xrayapi.Guard(next, xrayapi.GuardConfig{Hosts: []string{"Traces.Example.com", "*.corp.example"}})
	const pass, cross, host = http.StatusNoContent, http.StatusForbidden, http.StatusMisdirectedRequest
	for _, c := range []struct {
		name    string
		request string // method, path, host
		headers string // "Name: value", separated by "|"
		want    int
	}{
		// SDKs and tools.
		{"sdk", "POST /TraceSegments 127.0.0.1:2000", "", pass},
		{"sdk in a container", "POST /TraceSegments roentgen:2000", "", pass},
		{"sdk with a base path", "POST /x/TraceSummaries/ roentgen:2000", "", pass},
		{"sdk behind a proxy", "POST /SamplingTargets xray.us-east-1.amazonaws.com", "", pass},
		{"curl", "GET /api/traces localhost:2000", "", pass},
		{"http/1.0", "GET /metrics -", "", pass},
		{"metrics by an unknown name", "GET /metrics roentgen:2000", "", host},
		{"page by an unknown name", "GET / roentgen:2000", "", host},
		{"own endpoint by an unknown name", "POST /api/import roentgen:2000", "", host},

		// Names.
		{"loopback name", "GET / localhost", "", pass},
		{"loopback name with a dot", "GET / LocalHost.:2000", "", pass},
		{"name below localhost", "GET / app.localhost:2000", "", pass},
		{"IPv4", "GET / 127.0.0.1", "", pass},
		{"other IPv4", "GET / 192.168.7.7:2000", "", pass},
		{"IPv6", "GET / [::1]:2000", "", pass},
		{"IPv6 without port", "GET / [fe80::1]", "", pass},
		{"configured", "GET / traces.example.COM:2000", "", pass},
		{"configured wildcard", "GET / a.b.corp.example", "", pass},
		{"wildcard wants a name", "GET / corp.example", "", host},
		{"wildcard wants a dot", "GET / evilcorp.example", "", host},
		{"address as part of a name", "GET / 127.0.0.1.evil.example:2000", "", host},
		{"localhost as part of a name", "GET / localhost.evil.example", "", host},
		{"number as a name", "GET / 2130706433:2000", "", host},
		{"odd colons", "GET / a:b:c", "", host},
		{"bracket", "GET / [::1", "", host},

		// Our own page.
		{"own page, GET", "GET /api/traces 127.0.0.1:2000", "Sec-Fetch-Site: same-origin|Referer: http://127.0.0.1:2000/", pass},
		{"own page, POST", "POST /TraceSummaries 127.0.0.1:2000", "Origin: http://127.0.0.1:2000|Sec-Fetch-Site: same-origin", pass},
		{"own page behind TLS", "POST /TraceSummaries traces.example.com", "Origin: https://traces.example.com|Sec-Fetch-Site: same-origin", pass},
		{"own page on port 80", "POST /TraceSummaries 10.0.0.1", "Origin: http://10.0.0.1:80", pass},
		{"typed address", "GET / 127.0.0.1:2000", "Sec-Fetch-Site: none|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", pass},
		{"link from elsewhere", "GET /trace/1 127.0.0.1:2000", "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", pass},

		// Pages of other sites.
		{"cross-site fetch", "POST /TraceSegments 127.0.0.1:2000", "Origin: https://evil.example|Sec-Fetch-Site: cross-site", cross},
		{"cross-site fetch, no Origin", "GET /api/traces 127.0.0.1:2000", "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: no-cors", cross},
		{"cross-site fetch, old browser", "POST /TraceSegments 127.0.0.1:2000", "Origin: https://evil.example", cross},
		{"preflight", "OPTIONS /TraceSegments 127.0.0.1:2000", "Origin: https://evil.example|Access-Control-Request-Method: POST", cross},
		{"sandboxed frame", "POST /TraceSegments 127.0.0.1:2000", "Origin: null", cross},
		{"file", "POST /TraceSegments 127.0.0.1:2000", "Origin: file://", cross},
		{"extension", "POST /TraceSegments 127.0.0.1:2000", "Origin: chrome-extension://127.0.0.1:2000", cross},
		{"other port of this machine", "POST /TraceSegments 127.0.0.1:2000", "Origin: http://127.0.0.1:8080|Sec-Fetch-Site: same-site", cross},
		{"other port, same-site only", "GET / 127.0.0.1:2000", "Sec-Fetch-Site: same-site", cross},
		{"other loopback name", "POST /TraceSegments 127.0.0.1:2000", "Origin: http://localhost:2000", cross},
		{"unknown Sec-Fetch-Site", "GET / 127.0.0.1:2000", "Sec-Fetch-Site: new-value", cross},
		{"two origins", "POST /TraceSegments 127.0.0.1:2000", "Origin: http://127.0.0.1:2000|Origin: https://evil.example", cross},
		{"origin that is no URL", "POST /TraceSegments 127.0.0.1:2000", "Origin: http://[", cross},
		{"frame of another site", "GET / 127.0.0.1:2000", "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: iframe", cross},
		{"form of another site", "POST /TraceSegments 127.0.0.1:2000", "Origin: https://evil.example|Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", cross},
		{"link to data", "GET /api/traces 127.0.0.1:2000", "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate|Sec-Fetch-Dest: document", cross},

		// A page whose name was bound to our address after it was loaded.
		{"rebound page reads", "GET /api/traces evil.example:2000", "", host},
		{"rebound page calls the API", "POST /TraceSummaries evil.example:2000", "Origin: http://evil.example:2000", host},
		{"rebound page with fetch metadata", "POST /TraceSummaries evil.example:2000", "Sec-Fetch-Site: same-origin", host},
		{"rebound page with a referer only", "POST /TraceSummaries evil.example:2000", "Referer: http://evil.example:2000/", host},
		{"rebound page imports", "POST /api/import evil.example:2000", "Origin: http://evil.example:2000", host},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := strings.Fields(c.request)
			r := httptest.NewRequest(f[0], f[1], nil)
			if r.Host = f[2]; r.Host == "-" {
				r.Host = ""
			}
			for _, line := range strings.Split(c.headers, "|") {
				if name, value, ok := strings.Cut(line, ": "); ok {
					r.Header.Add(name, value)
				}
			}
			w := httptest.NewRecorder()
			guard.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("%s with %q: %d %s, want %d", c.request, c.headers, w.Code, w.Body, c.want)
			}
			if w.Code != pass && !strings.HasPrefix(w.Body.String(), `{"Message":"`) {
				t.Errorf("refused with %s", w.Body)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Error("another site may read the answer")
			}
		})
	}
}
