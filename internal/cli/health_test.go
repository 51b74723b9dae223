package cli

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	for _, c := range []struct {
		name           string
		code           int
		body           string
		flags          string
		status         int
		stdout, stderr string
	}{
		{"ready", 200, "ready\n", "", 0, "URL is ready\n", ""},
		{"degraded", 200, "ready\ndegraded: disk full\n", "", 0, "URL is ready, but degraded: disk full\n", ""},
		{"degraded, JSON", 200, "ready\ndegraded: disk full\n", "--json", 0, `{"endpoint":"URL","ready":true,"degraded":"disk full"}` + "\n", ""},
		{"not ready", 503, "not ready\nhttp: not listening yet\nstore: being opened\n", "", 1, "URL is not ready: http: not listening yet; store: being opened\n", ""},
		{"not ready, JSON", 503, "not ready\nstore: being opened\n", "--json", 1, `{"endpoint":"URL","ready":false,"missing":["store: being opened"]}` + "\n", ""},
		{"a proxy without a server", 503, "<html>no backend</html>", "", 1, "", "roentgen: URL/-/ready answered 503 Service Unavailable, which no Roentgen server says; is it one?\n"},
		{"another server", 404, "not found", "", 1, "", "roentgen: URL/-/ready answered 404 Not Found, which no Roentgen server says; is it one?\n"},
		{"too late", 0, "", "--timeout=50ms", 1, "", "roentgen: URL did not answer within 50ms\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/-/ready" || r.Header.Get("Authorization") != "" {
					t.Errorf("got %s with authorization %q", r.URL.Path, r.Header.Get("Authorization"))
				}
				if c.code == 0 {
					select {
					case <-r.Context().Done():
					case <-time.After(10 * time.Second):
					}
					return
				}
				w.WriteHeader(c.code)
				w.Write([]byte(c.body))
			}))
			defer srv.Close()
			var stdout, stderr bytes.Buffer
			// A key that is at hand is of no use here, and is not sent.
			environment := map[string]string{"AWS_ACCESS_KEY_ID": "RGENX", "AWS_SECRET_ACCESS_KEY": "secret", "ROENTGEN_ENDPOINT": srv.URL}
			env := &Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: func(k string) string { return environment[k] }}
			status := Main(t.Context(), env, strings.Fields("health "+c.flags))
			at := strings.NewReplacer(srv.URL, "URL")
			if out, errs := at.Replace(stdout.String()), at.Replace(stderr.String()); status != c.status || out != c.stdout || errs != c.stderr {
				t.Errorf("got %d, %q, %q\nwant %d, %q, %q", status, out, errs, c.status, c.stdout, c.stderr)
			}
		})
	}
}
