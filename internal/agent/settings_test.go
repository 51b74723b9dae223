package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func readText(t *testing.T, text string) (*Config, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cfg.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := NewDefault()
	warnings, err := c.ReadFile(path)
	for i := range warnings {
		warnings[i] = strings.TrimPrefix(warnings[i], path+":")
	}
	return c, warnings, err
}

func TestReadFile(t *testing.T) {
	full := *NewDefault()
	full.UDPAddress, full.TCPAddress = "0.0.0.0:2000", "0.0.0.0:2001"
	full.Region, full.Endpoint, full.RoleARN, full.ResourceARN = "eu-west-1", "https://x", "arn:role", "arn:resource"
	full.LocalMode, full.NoVerifySSL, full.ProxyAddress, full.Concurrency, full.BufferMB = true, true, "proxy:1", 16, 24
	full.LogLevel, full.LogPath, full.LogRotation = "dev", "/var/log/x", false
	ours := *NewDefault()
	rate := 0.25
	ours.SpoolDir, ours.SpoolSize, ours.SpoolAge, ours.UnixSocket, ours.Hosts = "/spool", 2<<30, 48*time.Hour, "/run/s", []string{"agent"}
	ours.Destinations = []Destination{{Type: "aws", Region: "us-east-1"}, {Name: "home", Type: "roentgen", Endpoint: "http://r:2000", Batch: 500, Timeout: 5 * time.Second}}
	ours.Processing = []RuleConfig{{Drop: `http.url CONTAINS "/health"`}, {Redact: &FieldConfig{Field: "user", Pattern: "a+", With: "x"}},
		{Annotate: map[string]any{"env": "prod", "n": 1}}, {Sample: &rate}}
	old := *NewDefault()
	old.Region, old.BufferMB, old.LogRotation, old.Concurrency = "us-west-2", 10, false, 4
	for _, test := range []struct {
		name, text string
		want       Config
		warnings   []string
	}{
		{"empty", "", *NewDefault(), nil},
		{"the daemon's, in full", `
TotalBufferSizeMB: 24
Concurrency: 16
Region: "eu-west-1"
Endpoint: "https://x"
Socket:
  UDPAddress: "0.0.0.0:2000"
  TCPAddress: "0.0.0.0:2001"
Logging:
  LogRotation: false
  LogLevel: "dev"
  LogPath: "/var/log/x"
LocalMode: true
ResourceARN: "arn:resource"
RoleARN: "arn:role"
NoVerifySSL: true
ProxyAddress: "proxy:1"
Version: 2
`, full, nil},
		{"of the first versions", "Version: 1\nMemoryLimit: 10\nLogRotation: false\nProfile:\n  CPU: x\nProcessor:\n  Region: us-west-2\n  Routine: 4\nSocket:\n  BufferSizeKB: 128\nLogging:\n  LogFormat: \"%Msg\"\n",
			old, []string{"5: Profile has no effect: profiles are under /debug/pprof/", "10: Socket.BufferSizeKB has no effect: the socket's buffer is as large as the system allows",
				"12: Logging.LogFormat has no effect: the agent's own log formats are in Agent.LogFormat"}},
		{"unknown keys and keys without a value", "Version: 7\nNew: 1\nRegion:\nSocket:\n  TLS: true\nLogging:\n", *NewDefault(),
			[]string{`1: Version is "7"; the daemon knows 1 and 2, and the file is read as 2`, "2: unknown key New, ignored", "5: unknown key Socket.TLS, ignored"}},
		{"ours", `
Agent:
  SpoolDir: /spool
  SpoolSize: 2GiB
  SpoolAge: 2d
  UnixSocket: /run/s
  Hosts: [agent]
  Destinations:
  - {Type: aws, Region: us-east-1}
  - {Name: home, Type: roentgen, Endpoint: "http://r:2000", Batch: 500, Timeout: 5s}
  Processing:
  - Drop: http.url CONTAINS "/health"
  - Redact: {Field: user, Pattern: a+, With: x}
  - Annotate: {env: prod, n: 1}
  - Sample: 0.25
`, ours, nil},
	} {
		c, warnings, err := readText(t, test.text)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if !reflect.DeepEqual(*c, test.want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", test.name, *c, test.want)
		}
		if len(warnings)+len(test.warnings) > 0 && !reflect.DeepEqual(warnings, test.warnings) {
			t.Errorf("%s: warnings %q", test.name, warnings)
		}
	}
}

func TestWrongFiles(t *testing.T) {
	for text, want := range map[string]string{
		"Concurrency: many":                         "Concurrency is \"many\"",
		"Concurrency: -1":                           "at least 0",
		"Socket: 2000":                              "Socket should hold keys",
		"LocalMode: perhaps":                        "true or false",
		"Region: [a]":                               "single value",
		"Region: \"x":                               "yaml",
		"Agent: {SpoolSize: much}":                  "SpoolSize",
		"Agent: {Processing: [{Drip: x}]}":          "unknown key Agent.Processing[0].Drip",
		"Agent: {Processing: {Drop: x}}":            "should be a list",
		"Agent: {Destinations: [{Batch: a}]}":       "Destinations[0].Batch",
		"Agent: {Processing: [{Sample: [1]}]}":      "should be a number",
		"Agent: {Processing: [{Redact: password}]}": "should hold keys",
	} {
		if _, _, err := readText(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestComplete(t *testing.T) {
	c := NewDefault()
	c.Region, c.Endpoint, c.RoleARN, c.BufferMB, c.Concurrency = "eu-west-1", "http://127.0.0.1:1", "arn:r", 1, 8
	if err := c.Complete(func(name string) string { return map[string]string{"STATE_DIRECTORY": "/var/lib/a:/x"}[name] }); err != nil {
		t.Fatal(err)
	}
	want := Destination{Name: "aws", Type: "aws", Endpoint: "http://127.0.0.1:1", Region: "eu-west-1", RoleARN: "arn:r", Sign: "possible",
		Batch: 50, BatchBytes: defaultBatchBytes, Connections: 8, Timeout: defaultTimeout}
	if c.BufferMB != 3 || c.SamplingFrom != "aws" || len(c.Destinations) != 1 || !reflect.DeepEqual(c.Destinations[0], want) || c.spoolFolders()[0] != "/var/lib/a/127.0.0.1_2000" || len(c.spoolFolders()) != 1 {
		t.Errorf("%+v in %s", c, c.spoolFolders())
	}
	for _, test := range []struct{ env, value, want string }{
		{"XDG_STATE_HOME", "/s", "/s/roentgen-agent"}, {"HOME", "/home/a", "/home/a/.local/state/roentgen-agent"}, {"HOME", "/", "/var/lib/roentgen-agent"},
	} {
		if got, _ := defaultSpoolDir(func(name string) string { return map[string]string{test.env: test.value}[name] }); got != test.want {
			t.Errorf("%s=%s: %s", test.env, test.value, got)
		}
	}
	rate := 1.5
	for want, change := range map[string]func(*Config){
		"SamplingFrom names": func(c *Config) { c.SamplingFrom = "x" },
		"log format is":      func(c *Config) { c.LogFormat = "xml" },
		"no log level":       func(c *Config) { c.LogLevel = "loud" },
		"no address":         func(c *Config) { c.UDPAddress, c.TCPAddress = "", "" },
		"has no Endpoint":    func(c *Config) { c.Destinations = []Destination{{Type: "roentgen"}} },
		"the type of":        func(c *Config) { c.Destinations = []Destination{{Type: "zipkin"}} },
		"is no endpoint":     func(c *Config) { c.Destinations = []Destination{{Endpoint: "ftp://x"}} },
		"is no name":         func(c *Config) { c.Destinations = []Destination{{Name: "a/b"}} },
		"has Sign":           func(c *Config) { c.Destinations = []Destination{{Sign: "sometimes"}} },
		"between 0 and 1":    func(c *Config) { c.Processing = []RuleConfig{{Sample: &rate}} },
		"exactly one":        func(c *Config) { c.Processing = []RuleConfig{{}} },
	} {
		c := NewDefault()
		change(c)
		if err := c.Complete(none); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestParseDestination(t *testing.T) {
	for text, want := range map[string]Destination{
		"aws": {Type: "aws"}, "aws:eu-west-1": {Type: "aws", Region: "eu-west-1"}, "http://r:2000": {Type: "roentgen", Endpoint: "http://r:2000"},
		"home=https://r/x?a=b": {Name: "home", Type: "roentgen", Endpoint: "https://r/x?a=b"}, "main=aws": {Name: "main", Type: "aws"},
		"otlp": {Type: "otlp"}, "otlp:http://c:4318/x": {Type: "otlp", Endpoint: "http://c:4318/x"}, "grpc://c:4317": {Type: "otlp", Endpoint: "grpc://c:4317"},
		"v=grpcs://c": {Name: "v", Type: "otlp", Endpoint: "grpcs://c"}, "v=otlp:https://c": {Name: "v", Type: "otlp", Endpoint: "https://c"},
	} {
		if got, err := ParseDestination(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "r:2000", "gcp", "=x", "otlp:c:4317", "otlp:"} {
		if d, err := ParseDestination(text); err == nil {
			t.Errorf("%q: %+v", text, d)
		}
	}
}

func TestEndpoints(t *testing.T) {
	env := func(kv ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == name {
					return kv[i+1]
				}
			}
			return ""
		}
	}
	for _, test := range []struct {
		region string
		getenv func(string) string
		want   string
	}{
		{"eu-west-1", none, "https://xray.eu-west-1.amazonaws.com"},
		{"cn-north-1", none, "https://xray.cn-north-1.amazonaws.com.cn"},
		{"us-east-1", env("AWS_USE_FIPS_ENDPOINT", "true"), "https://xray-fips.us-east-1.amazonaws.com"},
		{"us-east-1", env("AWS_USE_DUALSTACK_ENDPOINT", "true"), "https://xray.us-east-1.api.aws"},
	} {
		if got := awsEndpoint(test.region, test.getenv); got != test.want {
			t.Errorf("%s: %s", test.region, got)
		}
	}
	if got := ownEndpoint(env("AWS_ENDPOINT_URL", "http://a", "AWS_ENDPOINT_URL_XRAY", "http://b")); got != "http://b" {
		t.Error(got)
	}
	if got := ownEndpoint(env("AWS_ENDPOINT_URL", "http://a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")); got != "" {
		t.Error(got)
	}
	path := filepath.Join(t.TempDir(), "meta")
	if err := os.WriteFile(path, []byte(`{"Cluster":"c","TaskARN":"arn:aws:ecs:ap-south-1:1:task/c/x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	region, err := discoverRegion(t.Context(), awsOptions{localMode: true, getenv: env("ECS_ENABLE_CONTAINER_METADATA", "true", "ECS_CONTAINER_METADATA_FILE", path)})
	if err != nil || region != "ap-south-1" {
		t.Errorf("%s, %v", region, err)
	}
}

// TestWriteYAML holds that what is shown can be read again, and shows no secrets.
func TestWriteYAML(t *testing.T) {
	c := NewDefault()
	rate := 0.5
	c.ProxyAddress = "http://user:geheim@proxy:1"
	c.SpoolSize, c.SpoolAge = 2<<30, 48*time.Hour
	c.Destinations = []Destination{{Type: "aws", Region: "eu-west-1"}, {Endpoint: "http://u:geheim@r:1", Name: "home", Timeout: time.Second}}
	c.Processing = []RuleConfig{{Drop: "fault"}, {Keep: "ok"}, {Redact: &FieldConfig{Field: "a", With: "x"}}, {Hash: &FieldConfig{Field: "b", Key: "geheim"}}, {Annotate: map[string]any{"k": true}}, {Sample: &rate}}
	if err := c.Complete(none); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := c.WriteYAML(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "geheim") {
		t.Errorf("a secret is shown:\n%s", text.String())
	}
	again, warnings, err := readText(t, text.String())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %q in\n%s", err, warnings, text.String())
	}
	if err := again.Complete(none); err != nil {
		t.Fatal(err)
	}
	c.ProxyAddress, c.Destinations[0].ProxyAddress, c.Destinations[1].ProxyAddress = again.ProxyAddress, again.ProxyAddress, again.ProxyAddress
	c.Destinations[1].Endpoint = again.Destinations[1].Endpoint
	c.Processing[3].Hash.Key = "(hidden)"
	again.Hosts = nil
	c.spoolElse = nil // the file names a folder
	if !reflect.DeepEqual(c, again) {
		t.Errorf("got\n%+v\nwant\n%+v", again, c)
	}
}

func TestPagesURL(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:2000": "http://127.0.0.1:2000", ":2000": "http://127.0.0.1:2000", "0.0.0.0:2000": "http://127.0.0.1:2000",
		"[::]:2000": "http://[::1]:2000", "[::1]:2000": "http://[::1]:2000", "host:2000": "http://host:2000",
	} {
		if got := (&Config{TCPAddress: address}).PagesURL(); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
