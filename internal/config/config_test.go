package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load parses args as flags and loads with the given environment and files.
func load(t *testing.T, args []string, env, files map[string]string) (*Loaded, error) {
	t.Helper()
	var flags Flags
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.Register(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return Load(Sources{
		Flags:  &flags,
		Getenv: func(name string) string { return env[name] },
		Environ: func() []string {
			var list []string
			for k, v := range env {
				list = append(list, k+"="+v)
			}
			return list
		},
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := files[name]; ok {
				return []byte(text), nil
			}
			return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
		},
	})
}

func TestDefaults(t *testing.T) {
	l, err := load(t, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen: "127.0.0.1:2000", OTLPGRPC: "127.0.0.1:4317", OTLPHTTP: "127.0.0.1:4318", DataDir: "./roentgen-data", Retention: 30 * 24 * time.Hour,
		MinFree: 256 << 20, Cache: 32 << 20, MaxDocument: 16 << 20, MaxBody: 64 << 20, MaxInFlight: 128 << 20, UDPQueue: 64 << 20,
		MaxDocuments: 10_000, MaxTraceIDs: 100, MaxGraphNodes: 10_000, ForwardSize: 1 << 30, ForwardAge: 7 * 24 * time.Hour, SessionIdle: 8 * time.Hour, SessionMax: 7 * 24 * time.Hour,
		Region: "us-east-1", Account: "000000000000", LogLevel: "info", LogFormat: "text", ShutdownTimeout: 10 * time.Second,
	}
	if !reflect.DeepEqual(l.Config, want) {
		t.Errorf("got %+v\nwant %+v", l.Config, want)
	}
	if got := l.UDPAddress(); got != "127.0.0.1:2000" {
		t.Errorf("UDP address %q", got)
	}
}

// TestOrder sets one value in more and more places; the strongest must win and
// be named as the origin.
func TestOrder(t *testing.T) {
	file := map[string]string{"roentgen.yaml": "\nretention: 1d\n", "other.yaml": "retention: 5d\n"}
	env := map[string]string{"ROENTGEN_RETENTION": "2d"}
	for _, tt := range []struct {
		name   string
		args   []string
		env    map[string]string
		files  map[string]string
		want   string
		origin string
		file   string
	}{
		{"default", nil, nil, nil, "30d", "default", ""},
		{"file in the folder", nil, nil, file, "1d", "roentgen.yaml:2", "roentgen.yaml"},
		{"named file", []string{"--config", "other.yaml"}, nil, file, "5d", "other.yaml:1", "other.yaml"},
		{"file named by variable", nil, map[string]string{"ROENTGEN_CONFIG": "other.yaml"}, file, "5d", "other.yaml:1", "other.yaml"},
		{"flag before variable for the file", []string{"--config=roentgen.yaml"}, map[string]string{"ROENTGEN_CONFIG": "other.yaml"}, file, "1d", "roentgen.yaml:2", "roentgen.yaml"},
		{"no file wanted", []string{"--config="}, nil, file, "30d", "default", ""},
		{"environment", nil, env, file, "2d", "$ROENTGEN_RETENTION", "roentgen.yaml"},
		{"empty variable", nil, map[string]string{"ROENTGEN_RETENTION": ""}, file, "1d", "roentgen.yaml:2", "roentgen.yaml"},
		{"flag", []string{"--retention", "3d"}, env, file, "3d", "--retention", "roentgen.yaml"},
		{"flag with the default's text", []string{"--retention=30d"}, env, file, "30d", "--retention", "roentgen.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := load(t, tt.args, tt.env, tt.files)
			if err != nil {
				t.Fatal(err)
			}
			if got := FormatDuration(l.Retention); got != tt.want {
				t.Errorf("retention is %s, want %s", got, tt.want)
			}
			if got := l.Origin("retention"); got != tt.origin {
				t.Errorf("origin is %q, want %q", got, tt.origin)
			}
			if l.File != tt.file {
				t.Errorf("file is %q, want %q", l.File, tt.file)
			}
		})
	}
}

// TestEverywhere gives every setting a value of its own through each of the
// three places, and expects the same Config each time.
func TestEverywhere(t *testing.T) {
	data, err := os.ReadFile("testdata/full.good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	fromFile, err := load(t, []string{"--config", "full.yaml"}, nil, map[string]string{"full.yaml": string(data)})
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	env := make(map[string]string)
	defaults := NewDefault()
	for _, s := range Settings() {
		text := s.Text(&fromFile.Config)
		if text == s.Text(defaults) {
			t.Errorf("full.good.yaml leaves %s at its default", s.Name)
		}
		args = append(args, "--"+s.Name+"="+text)
		env[s.Env()] = text
	}
	fromFlags, err := load(t, args, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	fromEnv, err := load(t, nil, env, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromFlags.Config, fromFile.Config) {
		t.Errorf("flags give %+v\nthe file %+v", fromFlags.Config, fromFile.Config)
	}
	if !reflect.DeepEqual(fromEnv.Config, fromFile.Config) {
		t.Errorf("the environment gives %+v\nthe file %+v", fromEnv.Config, fromFile.Config)
	}
	if len(fromEnv.Warnings) != 0 {
		t.Errorf("warnings %q", fromEnv.Warnings)
	}

	// What is printed must read back as the same.
	var out bytes.Buffer
	if err := fromFlags.WriteYAML(&out); err != nil {
		t.Fatal(err)
	}
	again, err := load(t, []string{"--config", "printed.yaml"}, nil, map[string]string{"printed.yaml": out.String()})
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if !reflect.DeepEqual(again.Config, fromFile.Config) {
		t.Errorf("read back: %+v\nwant %+v\nfrom\n%s", again.Config, fromFile.Config, out.String())
	}
	if want := "--retention"; !strings.Contains(out.String(), "retention: 7d") || !strings.Contains(out.String(), "# "+want) {
		t.Errorf("printed without retention: 7d and its origin:\n%s", out.String())
	}
}

func TestPrintDefaultsReadBack(t *testing.T) {
	l, err := load(t, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out, table bytes.Buffer
	if err := l.WriteYAML(&out); err != nil {
		t.Fatal(err)
	}
	again, err := load(t, []string{"--config", "p.yaml"}, nil, map[string]string{"p.yaml": out.String()})
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if !reflect.DeepEqual(again.Config, l.Config) {
		t.Errorf("got %+v\nwant %+v", again.Config, l.Config)
	}
	if err := l.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(table.String()), "\n")
	if len(lines) != len(settings)+1 || strings.Join(strings.Fields(lines[1]), " ") != "listen 127.0.0.1:2000 default" {
		t.Errorf("table:\n%s", table.String())
	}
}

// badFiles says what each of testdata/*.bad.yaml earns. FILE stands for its path.
var badFiles = map[string]string{
	"unknown-key":         `FILE:3: there is no setting "listen-on"; did you mean "listen"?`,
	"misspelt-key":        `FILE:1: there is no setting "retension"; did you mean "retention"?`,
	"underscore-key":      `FILE:1: there is no setting "log_level"; did you mean "log-level"?`,
	"twice":               `FILE:3: retention was set in line 1 already`,
	"no-unit":             `FILE:2: retention: "30" is no duration; write numbers and units, such as 30d, 12h or 1m30s`,
	"negative-duration":   `FILE:1: retention: "-1d" is no duration; write numbers and units, such as 30d, 12h or 1m30s`,
	"duration-words":      `FILE:1: retention: "30 days" is no duration; write numbers and units, such as 30d, 12h or 1m30s`,
	"size-unit":           `FILE:1: disk-budget: "10 gigs" is no size; write a number and a unit, such as 64MB or 1GiB`,
	"size-negative":       `FILE:1: cache: "-1MB" is no size; write a number and a unit, such as 64MB or 1GiB`,
	"size-fraction":       `FILE:1: cache: "1.5B" is no whole number of bytes`,
	"size-huge":           `FILE:1: cache: "10000000TiB" is too large a size`,
	"no-port":             `FILE:1: listen: "127.0.0.1" is no address; write host:port, such as 127.0.0.1:2000 or [::1]:2000`,
	"port-range":          `FILE:1: listen: "127.0.0.1:70000" is no address; write host:port, such as 127.0.0.1:2000 or [::1]:2000`,
	"reachable":           `FILE:1: listen: other machines can reach 0.0.0.0:2000, and nobody has to prove who they are: listen on 127.0.0.1, add --keys FILE (roentgen key create makes it), or add --insecure when everyone on that network may read and write all traces`,
	"reachable-udp":       `FILE:2: udp-listen: other machines can reach [::]:2000, and nobody has to prove who they are: listen on 127.0.0.1, add --keys FILE (roentgen key create makes it), or add --insecure when everyone on that network may read and write all traces`,
	"tls-alone":           `FILE:1: tls-cert: it takes both a certificate and its key; add --tls-key`,
	"limit-without-keys":  `FILE:1: key-documents-per-second: means nothing without keys; add --keys FILE`,
	"session-short":       `FILE:2: session-max: 1h is less than session-idle (8h)`,
	"network-bits":        `FILE:1: udp-allow: "10.1.2.3/16" is no network, since bits behind its prefix are set; did you mean 10.1.0.0/16?`,
	"network":             `FILE:1: udp-allow: "lan" is no network; write one such as 10.0.0.0/8, 192.0.2.7 or fd00::/8`,
	"network-null":        `FILE:1: udp-allow: "null" is no network; write one such as 10.0.0.0/8`,
	"key-number":          `FILE:2: key-documents-per-second: "1e3" is no number from 0 to 2147483647`,
	"level":               `FILE:1: log-level: "verbose" is none of debug, info, warn and error`,
	"format":              `FILE:1: log-format: "xml" is none of text and json`,
	"number":              `FILE:1: max-documents: "many" is no number from 0 to 2147483647`,
	"number-zero":         `FILE:1: max-trace-ids: must be more than 0`,
	"documents-zero":      `FILE:1: max-documents: must be more than 0`,
	"switch":              `FILE:1: aws-limits: "yes" is neither true nor false`,
	"list-for-value":      `FILE:1: data-dir: is a list; this setting takes a single value`,
	"nested":              `FILE:1: there is no setting "storage"; roentgen serve --help lists them`,
	"nested-value":        `FILE:2: retention: holds further settings; they all stand at the top, without nesting`,
	"no-value":            `FILE:1: retention: has no value; leave the line out for the default`,
	"empty-value":         `FILE:1: data-dir: is empty; leave the setting out for its default`,
	"host-with-port":      `FILE:2: hosts: "traces.example.com:2000" has a port; write the name alone`,
	"host-wildcard":       `FILE:1: hosts: "*" is no host name; write one such as traces.example.com`,
	"account":             `FILE:1: account: "1234" is no account number; write its 12 digits`,
	"region":              `FILE:1: region: "Frankfurt" is no region; write one such as eu-central-1`,
	"body-below-document": `FILE:1: max-body: 1MiB is less than max-document (16MiB): such a document could never arrive`,
	"timeout-zero":        `FILE:1: shutdown-timeout: must be more than 0`,
	"two-documents":       `FILE:2: a second YAML document begins here; put all settings into one`,
	"a-list":              `FILE:1: this is no list of settings; write lines such as listen: 127.0.0.1:2000`,
	"a-word":              `FILE:1: this is no list of settings; write lines such as listen: 127.0.0.1:2000`,
	"tab":                 `FILE:2: this is no YAML: found a tab character that violates indentation`,
	"bracket":             `FILE:1: this is no YAML: did not find expected ',' or ']'`,
	"forward":             `FILE:1: forward: "central:2000" is no destination; write it like http://roentgen:2000, aws:eu-west-1, otlp:http://collector:4318 or grpc://collector:4317, perhaps with NAME= in front`,
	"forward-password":    `FILE:1: forward: an address with a password would be shown in the log; name who sends in forward-file, or by variables`,
	"forward-size":        `FILE:1: forward-size: must be at least 4MiB`,
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(badFiles) {
		t.Errorf("%d files, %d messages: each needs the other", len(files), len(badFiles))
	}
	for _, name := range files {
		want, ok := badFiles[strings.TrimSuffix(filepath.Base(name), ".bad.yaml")]
		if !ok {
			t.Errorf("%s has no message", name)
			continue
		}
		_, err := Load(Sources{Flags: &Flags{file: name, fileSet: true}})
		if err == nil {
			t.Errorf("%s was accepted", name)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), name, "FILE"); got != want {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestBadPlaces(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"flag value", []string{"--retention", "soon"}, nil, `invalid argument "soon" for "--retention" flag: "soon" is no duration; write numbers and units, such as 30d, 12h or 1m30s`},
		{"empty flag", []string{"--data-dir="}, nil, `invalid argument "" for "--data-dir" flag: is empty; leave the setting out for its default`},
		{"variable", nil, map[string]string{"ROENTGEN_CACHE": "much"}, `$ROENTGEN_CACHE: "much" is no size; write a number and a unit, such as 64MB or 1GiB`},
		{"missing file", []string{"--config", "none.yaml"}, nil, `cannot read the configuration: open none.yaml: file does not exist`},
		{"reachable by flag", []string{"--listen", "10.0.0.1:2000"}, nil, `listen: other machines can reach 10.0.0.1:2000, and nobody has to prove who they are: listen on 127.0.0.1, add --keys FILE (roentgen key create makes it), or add --insecure when everyone on that network may read and write all traces`},
		{"reachable by variable", nil, map[string]string{"ROENTGEN_LISTEN": ":2000"}, `$ROENTGEN_LISTEN: listen: other machines can reach :2000, and nobody has to prove who they are: listen on 127.0.0.1, add --keys FILE (roentgen key create makes it), or add --insecure when everyone on that network may read and write all traces`},
		{"a name is reachable", []string{"--listen", "example.com:2000"}, nil, `listen: other machines can reach example.com:2000, and nobody has to prove who they are: listen on 127.0.0.1, add --keys FILE (roentgen key create makes it), or add --insecure when everyone on that network may read and write all traces`},
		{"retention of seconds", []string{"--retention", "5s"}, nil, `retention: 5s is too short; give it a minute or more, or 0 to keep everything`},
		{"small queue", []string{"--udp-queue", "1"}, nil, `udp-queue: 1B is too little; give it 1MiB or more`},
		{"in flight below body", []string{"--max-in-flight", "1MiB"}, nil, `max-in-flight: 1MiB is less than max-body (64MiB): a body of that size would always be refused`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.args, tt.env, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestLoopbackNeedsNothing(t *testing.T) {
	for _, address := range []string{"127.0.0.1:1", "127.9.9.9:0", "[::1]:2000", "localhost:2000", "LOCALHOST:1", "[::ffff:127.0.0.1]:1"} {
		if _, err := load(t, []string{"--listen", address}, nil, nil); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	l, err := load(t, []string{"--listen", "0.0.0.0:2000", "--insecure"}, nil, nil)
	if err != nil || !l.Insecure {
		t.Errorf("--insecure does not help: %v", err)
	}
}

func TestStrangeVariables(t *testing.T) {
	l, err := load(t, nil, map[string]string{
		"ROENTGEN_RETENSION": "1d", "ROENTGEN_COLOUR": "red", "ROENTGEN_EMPTY": "", "ROENTGEN_PORT_2000_TCP": "tcp://10.0.0.1:2000",
		"ROENTGEN_SERVICE_HOST": "10.0.0.1", "ROENTGEN_ENDPOINT": "http://127.0.0.1:2000", "PATH": "/bin",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"$ROENTGEN_COLOUR sets nothing", "$ROENTGEN_RETENSION sets nothing; did you mean $ROENTGEN_RETENTION?"}
	if !reflect.DeepEqual(l.Warnings, want) {
		t.Errorf("got  %q\nwant %q", l.Warnings, want)
	}
}

func TestUDPAddress(t *testing.T) {
	for text, want := range map[string]string{"": "127.0.0.1:7", "off": "", "127.0.0.1:9": "127.0.0.1:9"} {
		c := Config{Listen: "127.0.0.1:7", UDPListen: text}
		if got := c.UDPAddress(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
		out  string
	}{
		{"0", 0, "0"}, {"0s", 0, "0"}, {"30d", 720 * time.Hour, "30d"}, {"1w", 168 * time.Hour, "7d"}, {"1.5d", 36 * time.Hour, "1d12h"},
		{"1d12h30m", 36*time.Hour + 30*time.Minute, "1d12h30m"}, {"90m", 90 * time.Minute, "1h30m"}, {"1h5s", time.Hour + 5*time.Second, "1h0m5s"},
		{"250ms", 250 * time.Millisecond, "250ms"}, {"10s", 10 * time.Second, "10s"}, {"2h", 2 * time.Hour, "2h"}, {"3m", 3 * time.Minute, "3m"},
	} {
		got, err := ParseDuration(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %v, %v, want %v", tt.text, got, err, tt.want)
		}
		if out := FormatDuration(got); out != tt.out {
			t.Errorf("%q is written %q, want %q", tt.text, out, tt.out)
		}
		if again, err := ParseDuration(tt.out); err != nil || again != tt.want {
			t.Errorf("%q reads back as %v, %v", tt.out, again, err)
		}
	}
	for _, text := range []string{"", "d", "30", "1x", "-1d", "+1d", "1 d", "1d ", "d1", "..d", "1..2d", "200000d", "106751d106751d", "1h200000d", "9999999999999999h", "1e3d", "Infd"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q reads as %v", text, got)
		}
	}
}

func TestBytes(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Bytes
		out  string
	}{
		{"0", 0, "0"}, {"1", 1, "1B"}, {"1000", 1000, "1kB"}, {"64MB", 64e6, "64MB"}, {"64mb", 64e6, "64MB"}, {"64MiB", 64 << 20, "64MiB"}, {"1.5GiB", 3 << 29, "1536MiB"},
		{"1 TB", 1e12, "1TB"}, {"1024", 1024, "1KiB"}, {"5kB", 5000, "5kB"}, {"1025B", 1025, "1025B"},
	} {
		got, err := ParseBytes(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %d, %v, want %d", tt.text, got, err, tt.want)
		}
		if out := got.String(); out != tt.out {
			t.Errorf("%q is written %q, want %q", tt.text, out, tt.out)
		}
		if again, err := ParseBytes(tt.out); err != nil || again != tt.want {
			t.Errorf("%q reads back as %d, %v", tt.out, again, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1PB", "1 2MB", "Inf", "NaNMB", "0x10", "1e3", "1e3MB", "1.5", "99999999TiB", "1_000"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q reads as %d", text, got)
		}
	}
}

// TestSettings holds what the table promises by its form.
func TestSettings(t *testing.T) {
	fields := reflect.TypeFor[Config]().NumField()
	if fields != len(settings) {
		t.Errorf("%d fields, %d settings", fields, len(settings))
	}
	seen := make(map[any]string)
	c := NewDefault()
	for _, s := range settings {
		if s.Summary == "" || strings.HasSuffix(s.Summary, ".") {
			t.Errorf("%s: summary %q", s.Name, s.Summary)
		}
		// Kubernetes makes variables of these names; see warnOfVariables.
		if s.Name == "port" || strings.HasPrefix(s.Name, "port-") || strings.HasPrefix(s.Name, "service-") {
			t.Errorf("%s would be set by Kubernetes", s.Name)
		}
		v := reflect.ValueOf(s.field(c))
		var p any = v.Pointer()
		if tv, ok := s.field(c).(*textValue); ok {
			p = reflect.ValueOf(tv.p).Pointer()
		}
		if other, ok := seen[p]; ok {
			t.Errorf("%s and %s share a field", s.Name, other)
		}
		seen[p] = s.Name
	}
}

var rewrite = flag.Bool("rewrite", false, "write docs/config.md")

func TestDocumentation(t *testing.T) {
	const name = "../../docs/config.md"
	if *rewrite {
		if err := os.WriteFile(name, []byte(Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Markdown() {
		t.Errorf("docs/config.md does not agree with the settings; run: go generate ./internal/config")
	}
}

// FuzzFile feeds arbitrary files: an answer or an error, never a panic, and what
// was accepted prints as something that reads back the same.
func FuzzFile(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("listen: &a 127.0.0.1:1\nudp-listen: *a\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(data []byte) (*Loaded, error) {
			return Load(Sources{
				Flags:    &Flags{file: "fuzz.yaml", fileSet: true},
				ReadFile: func(string) ([]byte, error) { return data, nil },
			})
		}
		l, err := read(data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.yaml:") {
				t.Errorf("%q: the message %q does not name the file", data, err)
			}
			return
		}
		var out bytes.Buffer
		if err := l.WriteYAML(&out); err != nil {
			t.Fatal(err)
		}
		again, err := read(out.Bytes())
		if err != nil {
			t.Fatalf("%v in\n%s", err, out.String())
		}
		if !reflect.DeepEqual(again.Config, l.Config) {
			t.Errorf("%q: printed as\n%s", data, out.String())
		}
	})
}

func TestUDPNetworks(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "[]"},
		{[]string{"--keys", "k.json"}, "[127.0.0.0/8 ::1/128]"},
		{[]string{"--udp-allow", "10.0.0.0/8, ::ffff:192.0.2.7"}, "[10.0.0.0/8 192.0.2.7/32]"},
		{[]string{"--udp-allow", "0.0.0.0/0", "--keys", "k.json", "--listen", "0.0.0.0:2000"}, "[0.0.0.0/0]"},
	} {
		l, err := load(t, c.args, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(l.UDPNetworks()); got != c.want {
			t.Errorf("%q: %s, want %s", c.args, got, c.want)
		}
	}
}
