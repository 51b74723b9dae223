package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/xray"
	"github.com/aws/smithy-go"

	"github.com/roentgen-io/roentgen/test/authority"
	"github.com/roentgen-io/roentgen/test/process"
)

// madeKey is a key as roentgen key create --json prints it.
type madeKey struct {
	ID     string `json:"access_key_id"`
	Secret string `json:"secret_access_key"`
	Bearer string `json:"bearer_token"`
}

// keyFile is a file of keys, made by the command line.
type keyFile struct {
	path string
	keys map[string]madeKey
}

func makeKeys(t *testing.T) *keyFile {
	t.Helper()
	f := &keyFile{path: filepath.Join(t.TempDir(), "keys.json"), keys: make(map[string]madeKey)}
	for name, role := range map[string]string{"admin": "admin", "reader": "read", "writer": "write", "expired": "admin", "revoked": "admin"} {
		args := []string{"--role", role, "--name", name}
		if name == "expired" {
			args = append(args, "--expires", "1ms")
		}
		f.keys[name] = f.create(t, args...)
	}
	f.roentgen(t, "revoke", "--keys", f.path, f.keys["revoked"].ID)
	return f
}

func (f *keyFile) roentgen(t *testing.T, args ...string) string {
	t.Helper()
	return program(t, environment(), process.Binary(t), append([]string{"key"}, args...)...)
}

func (f *keyFile) create(t *testing.T, args ...string) madeKey {
	t.Helper()
	return decode[madeKey](t, f.roentgen(t, append([]string{"create", "--keys", f.path, "--json"}, args...)...))
}

func (f *keyFile) json(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(f.keys)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestKeysBoto3 signs well and badly, over HTTP and over TLS.
func TestKeysBoto3(t *testing.T) {
	py := python(t)
	f := makeKeys(t)
	t.Run("http", func(t *testing.T) {
		s := serve(t, "--keys", f.path)
		checks(t, program(t, environment(), py, "python/keys.py", s.URL, f.json(t), ""), 8)
	})
	t.Run("https", func(t *testing.T) {
		s, ca := serveTLS(t, "--keys", f.path)
		checks(t, program(t, environment(), py, "python/keys.py", s.URL, f.json(t), ca.File), 8)
	})
}

func serveTLS(t *testing.T, flags ...string) (*server, *authority.Authority) {
	t.Helper()
	ca := authority.New(t)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	ca.Issue(t, cert, key, "traces.example")
	s := process.ServeTLS(t, t.TempDir(), ca.Client(), append(flags, "--tls-cert", cert, "--tls-key", key)...)
	return stopped(t, s), ca
}

func TestKeysNodeClient(t *testing.T) {
	js := node(t)
	f := makeKeys(t)
	s := serve(t, "--keys", f.path)
	checks(t, program(t, environment(), js, "node/keys.mjs", s.URL, f.json(t)), 3)
	tls, ca := serveTLS(t, "--keys", f.path)
	checks(t, program(t, environment("NODE_EXTRA_CA_CERTS="+ca.File), js, "node/keys.mjs", tls.URL, f.json(t)), 3)
}

// TestKeysGoClient signs with aws-sdk-go-v2, over HTTP/1.1 and over HTTP/2 with TLS.
func TestKeysGoClient(t *testing.T) {
	f := makeKeys(t)
	plain := serve(t, "--keys", f.path)
	tls, ca := serveTLS(t, "--keys", f.path)
	for _, c := range []struct {
		name string
		s    *server
		http *http.Client
	}{{"http", plain, http.DefaultClient}, {"https", tls, ca.Client()}} {
		t.Run(c.name, func(t *testing.T) {
			client := func(k madeKey) *xray.Client {
				return xray.New(xray.Options{
					Region: "us-west-2", BaseEndpoint: aws.String(c.s.URL), HTTPClient: c.http, RetryMaxAttempts: 1,
					Credentials: credentials.NewStaticCredentialsProvider(k.ID, k.Secret, ""),
				})
			}
			now := time.Now()
			id := fmt.Sprintf("1-%08x-%024x", now.Unix(), now.UnixNano())
			doc := fmt.Sprintf(`{"trace_id":%q,"id":"00000000000000aa","name":"gate","start_time":%d,"end_time":%d}`, id, now.Unix()-2, now.Unix()-1)
			if _, err := client(f.keys["writer"]).PutTraceSegments(t.Context(), &xray.PutTraceSegmentsInput{TraceSegmentDocuments: []string{doc}}); err != nil {
				t.Fatal(err)
			}
			out, err := client(f.keys["reader"]).BatchGetTraces(t.Context(), &xray.BatchGetTracesInput{TraceIds: []string{id}})
			if err != nil || len(out.Traces) != 1 {
				t.Fatalf("%+v, %v", out, err)
			}
			wrong := f.keys["reader"]
			wrong.Secret = f.keys["writer"].Secret
			for name, k := range map[string]madeKey{
				"UnrecognizedClientException": f.keys["revoked"],
				"ExpiredTokenException":       f.keys["expired"],
				"InvalidSignatureException":   wrong,
				"AccessDeniedException":       f.keys["writer"],
			} {
				_, err := client(k).GetGroups(t.Context(), &xray.GetGroupsInput{})
				var api smithy.APIError
				if !errors.As(err, &api) || api.ErrorCode() != name || api.ErrorMessage() == "" {
					t.Errorf("%v, want %s", err, name)
				}
			}
		})
	}
}

// TestKeysAWSCLI revokes a key while the CLI uses it.
func TestKeysAWSCLI(t *testing.T) {
	cli := filepath.Join(filepath.Dir(python(t)), "aws")
	f := makeKeys(t)
	s, ca := serveTLS(t, "--keys", f.path)
	k := f.create(t, "--role", "read")
	groups := func() (string, error) {
		cmd := exec.Command(cli, "xray", "get-groups", "--endpoint-url", s.URL, "--ca-bundle", ca.File, "--output", "json")
		cmd.Env = environment("AWS_ACCESS_KEY_ID="+k.ID, "AWS_SECRET_ACCESS_KEY="+k.Secret)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	// A key that was just made counts within a second.
	eventually(t, "a new key counts", func() bool {
		text, err := groups()
		return err == nil && strings.Contains(text, `"GroupName": "Default"`)
	})
	f.roentgen(t, "revoke", "--keys", f.path, k.ID)
	eventually(t, "a revoked key does not count", func() bool {
		text, err := groups()
		return err != nil && strings.Contains(text, "An error occurred (UnrecognizedClientException) when calling the GetGroups operation: The security token included in the request is invalid.")
	})
}

// TestKeysCommandLine uses Roentgen's own commands with keys.
func TestKeysCommandLine(t *testing.T) {
	f := makeKeys(t)
	s, ca := serveTLS(t, "--keys", f.path)
	profiles := filepath.Join(t.TempDir(), "credentials")
	reader := f.keys["reader"]
	if err := os.WriteFile(profiles, fmt.Appendf(nil, "[traces]\naws_access_key_id = %s\naws_secret_access_key = %s\n", reader.ID, reader.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		env  []string
		want string // on standard output, or on standard error when it fails
		fail bool
	}{
		{"AWS's variables", nil, []string{"AWS_ACCESS_KEY_ID=" + reader.ID, "AWS_SECRET_ACCESS_KEY=" + reader.Secret}, "Default", false},
		{"our variables", nil, []string{"ROENTGEN_ACCESS_KEY_ID=" + reader.ID, "ROENTGEN_SECRET_ACCESS_KEY=" + reader.Secret}, "Default", false},
		{"a profile", []string{"--profile", "traces"}, []string{"AWS_SHARED_CREDENTIALS_FILE=" + profiles}, "Default", false},
		{"AWS's profile", nil, []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_PROFILE=traces", "AWS_SHARED_CREDENTIALS_FILE=" + profiles}, "Default", false},
		{"a profile that is not there", []string{"--profile", "nobody"}, []string{"AWS_SHARED_CREDENTIALS_FILE=" + profiles}, "the server asks for a key, and profile nobody gives none", true},
		{"no key", nil, []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, "roentgen: the server asks for a key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --profile\n", true},
		{"a strange key", nil, nil, "roentgen: the server does not know this key; perhaps it was revoked, or AWS_ACCESS_KEY_ID is that of something else\n", true},
		{"no authority", []string{"--ca-bundle", ""}, nil, "is not from an authority that this machine trusts; name the authority's with --ca-bundle\n", true},
		{"a file of authorities that is none", []string{"--ca-bundle", profiles}, nil, "holds no certificate (PEM)", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(process.Binary(t), append([]string{"group", "list", "--endpoint", s.URL, "--ca-bundle", ca.File}, c.args...)...)
			cmd.Env = environment(c.env...)
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			text := stdout.String()
			if c.fail {
				text = stderr.String()
			}
			if (err != nil) != c.fail || !strings.Contains(text, c.want) {
				t.Errorf("%v: %q %q, want %q", err, &stdout, &stderr, c.want)
			}
		})
	}
}
