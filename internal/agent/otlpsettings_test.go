package agent

import (
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/roentgen-io/roentgen/test/authority"
)

func TestCompleteOTLP(t *testing.T) {
	env := map[string]string{}
	getenv := func(name string) string { return env[name] }
	for _, test := range []struct {
		name string
		d    Destination
		env  map[string]string
		want Destination // what of it is not zero
	}{
		{name: "HTTP", d: Destination{Endpoint: "http://c:4318"}, want: Destination{Endpoint: "http://c:4318/v1/traces", Protocol: protocolHTTP, Compression: "gzip"}},
		{name: "a path", d: Destination{Endpoint: "https://c/otlp/"}, want: Destination{Endpoint: "https://c/otlp/v1/traces", Protocol: protocolHTTP}},
		{name: "the whole path", d: Destination{Endpoint: "https://c/otlp/v1/traces"}, want: Destination{Endpoint: "https://c/otlp/v1/traces", Protocol: protocolHTTP}},
		{name: "gRPC by its port", d: Destination{Endpoint: "http://c:4317"}, want: Destination{Endpoint: "http://c:4317", Protocol: protocolGRPC}},
		{name: "gRPC by its scheme", d: Destination{Endpoint: "grpc://c:1"}, want: Destination{Endpoint: "http://c:1", Protocol: protocolGRPC}},
		{name: "gRPC with TLS", d: Destination{Endpoint: "grpcs://c"}, want: Destination{Endpoint: "https://c:4317", Protocol: protocolGRPC}},
		{name: "gRPC as told", d: Destination{Endpoint: "https://c:443", Protocol: protocolGRPC}, want: Destination{Endpoint: "https://c:443", Protocol: protocolGRPC}},
		{name: "no scheme", d: Destination{Endpoint: "c:1234"}, want: Destination{Endpoint: "https://c:1234/v1/traces", Protocol: protocolHTTP}},
		{name: "nothing said", want: Destination{Endpoint: "http://localhost:4318/v1/traces", Protocol: protocolHTTP}},
		{name: "variables", env: map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/base", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b, x=y", "OTEL_EXPORTER_OTLP_TIMEOUT": "1500",
			"OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
		}, want: Destination{Endpoint: "http://c:4318/base/v1/traces", Protocol: protocolHTTP, Headers: map[string]string{"api-key": "a b", "x": "y"}, Timeout: 1500 * time.Millisecond, Compression: "none", CA: "/ca.pem"}},
		{name: "variables of traces go first, and their endpoint is the whole", env: map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/base", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4318/x", "OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2",
		}, want: Destination{Endpoint: "http://t:4318/x", Protocol: protocolHTTP, Headers: map[string]string{"b": "2"}}},
		{name: "the endpoint of traces without a path", env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4318"}, want: Destination{Endpoint: "http://t:4318/", Protocol: protocolHTTP}},
		{name: "gRPC by variables", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"}, want: Destination{Endpoint: "http://c:4317", Protocol: protocolGRPC}},
		{name: "gRPC by variables, with TLS", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317"}, want: Destination{Endpoint: "https://c:4317", Protocol: protocolGRPC}},
		{name: "gRPC without an endpoint", env: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, want: Destination{Endpoint: "http://localhost:4317", Protocol: protocolGRPC}},
		{name: "one with an endpoint hears nothing of them", d: Destination{Endpoint: "http://c:4318"}, env: map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other", "OTEL_EXPORTER_OTLP_HEADERS": "secret=1", "OTEL_EXPORTER_OTLP_COMPRESSION": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		}, want: Destination{Endpoint: "http://c:4318/v1/traces", Protocol: protocolHTTP, Compression: "gzip"}},
	} {
		env = test.env
		c := &Config{Destinations: []Destination{test.d}}
		c.Destinations[0].Type = TypeOTLP
		if err := c.completeDestinations(getenv); err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got := c.Destinations[0]
		if got.Endpoint != test.want.Endpoint || got.Protocol != test.want.Protocol || !reflect.DeepEqual(got.Headers, test.want.Headers) || got.CA != test.want.CA ||
			test.want.Timeout != 0 && got.Timeout != test.want.Timeout || test.want.Compression != "" && got.Compression != test.want.Compression || got.Name != "otlp" {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
	for want, test := range map[string]struct {
		d   Destination
		env map[string]string
	}{
		"has Compression":      {d: Destination{Compression: "brotli"}},
		"has Protocol":         {d: Destination{Protocol: "http"}},
		"no endpoint of OTLP":  {d: Destination{Endpoint: "ftp://c"}},
		"write it with http":   {d: Destination{Endpoint: "grpc://c", Protocol: protocolHTTP}},
		"both Certificate":     {d: Destination{Certificate: "c.pem"}},
		"that is none":         {d: Destination{Headers: map[string]string{"a b": "c"}}},
		"which OTLP itself":    {d: Destination{Headers: map[string]string{"content-type": "c"}}},
		"a number of milli":    {env: map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}},
		"percent-encoded":      {env: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "geheim"}},
		"is none of type otlp": {d: Destination{Type: TypeRoentgen, Endpoint: "http://r", Protocol: "grpc"}},
	} {
		env = test.env
		c := &Config{Destinations: []Destination{test.d}}
		if test.d.Type == "" {
			c.Destinations[0].Type = TypeOTLP
		}
		if err := c.completeDestinations(getenv); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestSamplingFromOTLP holds that a destination that takes only spans is asked nothing.
func TestSamplingFromOTLP(t *testing.T) {
	c := NewDefault()
	c.Destinations = []Destination{{Type: TypeOTLP, Endpoint: "http://c:4318"}, {Endpoint: "http://r:2000"}}
	if err := c.Complete(none); err != nil || c.SamplingFrom != "roentgen" {
		t.Errorf("%q, %v", c.SamplingFrom, err)
	}
	c = NewDefault()
	c.Destinations = []Destination{{Type: TypeOTLP, Endpoint: "http://c:4318"}}
	if err := c.Complete(none); err != nil || c.SamplingFrom != "" {
		t.Errorf("%q, %v", c.SamplingFrom, err)
	}
	c.SamplingFrom = "otlp"
	if err := c.Complete(none); err == nil || !strings.Contains(err.Error(), "answers no calls") {
		t.Error(err)
	}
	s := newStock()
	s.overHTTP(t)
	a := start(t, &Config{LogFormat: "text", Destinations: []Destination{{Type: TypeOTLP, Endpoint: "http://" + s.address}}})
	resp, err := http.Post("http://"+a.TCPAddr()+"/GetSamplingRules", "", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("a sampling call is answered with %d", resp.StatusCode)
	}
}

// TestOTLPWithTLS sends over gRPC and TLS to a server that wants a certificate, and
// whose authority only a file names.
func TestOTLPWithTLS(t *testing.T) {
	ca := authority.New(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.crt"), filepath.Join(dir, "c.key")
	ca.Issue(t, cert, key, "collector")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s := newStock()
	s.overGRPC(t, "127.0.0.1:0", grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12})))
	path := filepath.Join(dir, "cfg.yaml")
	text := "Version: 2\nAgent:\n  Destinations:\n  - Type: otlp\n    Endpoint: grpcs://" + s.address + "\n    CA: " + ca.File + "\n    Certificate: " + cert + "\n    Key: " + key + "\n    Headers: {authorization: Bearer geheim}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := NewDefault()
	if warnings, err := c.ReadFile(path); err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	c.LogFormat = "text"
	a := start(t, c)
	putDocument(t, a, 0)
	s.await(t, 1)
	s.mu.Lock()
	got := s.asked[0].Get("authorization")
	s.mu.Unlock()
	if len(got) != 1 || got[0] != "Bearer geheim" {
		t.Errorf("authorization %q", got)
	}
	var shown strings.Builder
	if err := c.WriteYAML(&shown); err != nil || strings.Contains(shown.String(), "geheim") || !strings.Contains(shown.String(), "Protocol: grpc") {
		t.Errorf("%v\n%s", err, shown.String())
	}
	for _, check := range Diagnose(t.Context(), c, "", nil, none) {
		if strings.HasPrefix(check.Subject, "destination") && check.Verdict != CheckGood {
			t.Errorf("doctor: %+v", check)
		}
	}
	c.Destinations[0].CA = ""
	bad := 0
	for _, check := range Diagnose(t.Context(), c, "", nil, none) {
		if strings.HasPrefix(check.Subject, "destination") && check.Verdict == CheckBad && strings.Contains(check.Finding, "certificate") {
			bad++
		}
	}
	if bad != 1 {
		t.Error("doctor does not see that the authority is unknown")
	}
}

// TestNamesOfDestinations holds that a name does not come from the place in the list:
// the position in the spool goes by it.
func TestNamesOfDestinations(t *testing.T) {
	names := func(list ...Destination) (names []string) {
		t.Helper()
		c := &Config{Destinations: list}
		if err := c.completeDestinations(none); err != nil {
			t.Fatal(err)
		}
		for _, d := range c.Destinations {
			names = append(names, d.Name)
		}
		return names
	}
	a, b, c := Destination{Endpoint: "http://a:1"}, Destination{Endpoint: "http://b:2"}, Destination{Type: TypeOTLP, Endpoint: "grpc://c"}
	if got, want := names(a, c, Destination{}), []string{"roentgen", "otlp", "aws"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if got, want := names(a, b, c), []string{"a:1", "b:2", "otlp"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	home := Destination{Name: "home", Endpoint: "http://h"}
	if got, want := names(home, b, b), []string{"home", "b:2", "b:2-2"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if got, want := names(Destination{Type: TypeAWS, Region: "eu-west-1"}, Destination{}), []string{"aws:eu-west-1", "aws"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

// TestRenamedDestination takes the first of two away. The other one, which is behind,
// still gets all that waits for it, whatever it is called now.
func TestRenamedDestination(t *testing.T) {
	one := newBackend(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := l.Addr().String()
	l.Close()
	cfg := &Config{LogFormat: "text", Destinations: []Destination{{Endpoint: one.URL}, {Type: TypeOTLP, Endpoint: "grpc://" + away}, {Endpoint: "http://" + away}}}
	a := start(t, cfg)
	for i := range 20 {
		putDocument(t, a, i)
	}
	one.await(t, 20)
	next := *cfg
	next.SamplingFrom, next.Destinations = "", []Destination{{Type: TypeRoentgen, Endpoint: "http://" + away}}
	if err := next.Complete(none); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Reload(&next); err != nil {
		t.Fatal(err)
	}
	if st := a.Status(); st.Destinations[0].Name != "roentgen" || st.Destinations[0].Waiting != 20 {
		t.Errorf("%+v", st.Destinations)
	}
}
