package access

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roentgen-io/roentgen/internal/keys"
	"github.com/roentgen-io/roentgen/internal/session"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/internal/xrayapi/sigv4"
)

const maxBody = 1 << 20

// door is a server behind a gate. What gets through is answered with the id of its
// key, a space, and the body as the handler read it.
type door struct {
	*httptest.Server
	path   string // of the file of keys
	now    time.Time
	bodies *xrayapi.Bodies
	reg    *prometheus.Registry

	sessions *session.Store
	used     *keys.Usage

	admin, writer, reader, old keys.Key
}

func open(t *testing.T, tls, unsignedSampling bool) *door {
	t.Helper()
	d := &door{path: filepath.Join(t.TempDir(), "keys.json"), now: time.Now(), bodies: xrayapi.NewBodies(8 << 20), reg: prometheus.NewRegistry()}
	d.admin = keys.New("boss", []keys.Role{keys.RoleAdmin}, d.now)
	d.writer = keys.New("", []keys.Role{keys.RoleWrite}, d.now)
	d.reader = keys.New("reader", []keys.Role{keys.RoleRead}, d.now)
	d.old = keys.New("old", []keys.Role{keys.RoleAdmin}, d.now)
	d.old.Expires = d.now
	err := keys.Update(d.path, true, func([]keys.Key) ([]keys.Key, error) {
		return []keys.Key{d.admin, d.writer, d.reader, d.old}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return d.now }
	ring, err := keys.OpenRing(keys.RingOptions{Path: d.path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	d.sessions = session.New(session.Options{Keys: ring, Now: now})
	d.used = keys.OpenUsage(keys.UsageOptions{Now: now})
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := d.bodies.Read(r, maxBody)
		if err != nil {
			xrayapi.WriteError(w, err.(*apierr.Error))
			return
		}
		defer body.Free()
		id := "nobody"
		if k := keys.Of(r.Context()); k != nil {
			id = k.ID
		}
		fmt.Fprintf(w, "%s %s", id, body.Data)
	})
	gate := New(inside, Config{
		Keys: ring, Bodies: d.bodies, UnsignedSampling: unsignedSampling, AccountID: "123456789012", Now: now, Registerer: d.reg,
		Page:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401); io.WriteString(w, "the page") }),
		Sessions: d.sessions, Used: d.used,
		Rule: func(req *http.Request) Rule {
			r := Rule{BodyBytes: maxBody}
			switch req.URL.Path {
			case "/TraceSegments":
				r.Need, r.Operation = Write, "PutTraceSegments"
			case "/Traces":
				r.Need, r.Operation = Read, "BatchGetTraces"
			case "/GetSamplingRules":
				r.Need, r.Operation, r.Sampling = ReadOrWrite, "GetSamplingRules", true
			case "/api/traces", "/":
				r.Need = Read
			case "/-/ready":
				r.Need = Open
			case "/api/session":
				r.Need = Optional
			}
			return r
		},
	})
	if tls {
		d.Server = httptest.NewTLSServer(gate)
	} else {
		d.Server = httptest.NewServer(gate)
	}
	t.Cleanup(d.Close)
	return d
}

// ask is a request and how it is signed.
type ask struct {
	method, path, body string
	key                keys.Key
	at                 time.Duration // of signing, from now
	payload            string        // what is signed for the body; "": its hash, "-": stated nowhere
	presign            bool
	header             []string // before signing
	edit               func(*http.Request)
}

func (d *door) send(t *testing.T, a ask) (status int, code, text string, header http.Header) {
	t.Helper()
	method := a.method
	if method == "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(t.Context(), method, d.URL+a.path, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(a.header); i += 2 {
		r.Header.Set(a.header[i], a.header[i+1])
	}
	sum := sha256.Sum256([]byte(a.body))
	payload := hex.EncodeToString(sum[:])
	if a.payload != "" && a.payload != "-" {
		payload = a.payload
	}
	if a.key.ID != "" {
		creds := aws.Credentials{AccessKeyID: a.key.ID, SecretAccessKey: a.key.Secret}
		at := d.now.Add(a.at)
		switch {
		case a.presign:
			q := r.URL.Query()
			q.Set("X-Amz-Expires", "60")
			r.URL.RawQuery = q.Encode()
			link, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, r, payload, "xray", "eu-west-1", at)
			if err != nil {
				t.Fatal(err)
			}
			if r.URL, err = url.Parse(link); err != nil {
				t.Fatal(err)
			}
		default:
			if a.payload != "-" {
				r.Header.Set("X-Amz-Content-Sha256", payload)
			}
			if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, payload, "xray", "eu-west-1", at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a.edit != nil {
		a.edit(r)
	}
	resp, err := d.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("x-amzn-errortype"), string(answer), resp.Header
}

// message returns the message of an error and the key under which it stood.
func message(t *testing.T, text string) (key, message string) {
	t.Helper()
	var m map[string]string
	if err := json.Unmarshal([]byte(text), &m); err != nil || len(m) != 1 {
		t.Fatalf("%v in %q", err, text)
	}
	for key, message = range m {
	}
	return key, message
}

func TestSigned(t *testing.T) {
	d := open(t, false, false)
	for _, payload := range []string{"", "-"} {
		for _, body := range []string{"", "{}", strings.Repeat("x", 100_000)} {
			for _, k := range []keys.Key{d.admin, d.writer} {
				status, _, text, _ := d.send(t, ask{path: "/TraceSegments", body: body, key: k, payload: payload})
				if status != 200 || text != k.ID+" "+body {
					t.Errorf("%d bytes: %d %.100s", len(body), status, text)
				}
			}
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, "what was zipped")
	z.Close()
	status, _, text, _ := d.send(t, ask{path: "/TraceSegments", body: zipped.String(), key: d.writer, payload: "-", header: []string{"Content-Encoding", "gzip"}})
	if status != 200 || text != d.writer.ID+" what was zipped" {
		t.Errorf("gzip: %d %q", status, text)
	}
	if status, _, text, _ := d.send(t, ask{path: "/TraceSegments", body: "{}", key: d.writer, presign: true}); status != 200 || text != d.writer.ID+" {}" {
		t.Errorf("presigned: %d %q", status, text)
	}
	if status, _, text, _ := d.send(t, ask{method: http.MethodGet, path: "/api/traces?limit=5", key: d.reader}); status != 200 || text != d.reader.ID+" " {
		t.Errorf("GET: %d %q", status, text)
	}
	if used := d.bodies.Used(); used != 0 {
		t.Errorf("%d bytes are still held", used)
	}
	if got := count(t, d, "ok"); got != 15 {
		t.Errorf("%v requests were counted", got)
	}
}

// count returns how many requests had a result.
func count(t *testing.T, d *door, result string) float64 {
	t.Helper()
	families, err := d.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "roentgen_access_requests_total" && m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestRefused(t *testing.T) {
	d := open(t, false, false)
	stranger := keys.New("", []keys.Role{keys.RoleAdmin}, d.now)
	wrong := d.writer
	wrong.Secret = stranger.Secret
	const mismatch = "The request signature we calculated does not match the signature you provided."
	for _, c := range []struct {
		name string
		ask  ask
		code string
		text string // beginning of the message
	}{
		{"no key", ask{path: "/TraceSegments"}, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"an unknown key", ask{path: "/TraceSegments", key: stranger}, "UnrecognizedClientException", "The security token included in the request is invalid."},
		{"another secret", ask{path: "/TraceSegments", key: wrong}, "InvalidSignatureException", mismatch},
		{"another secret, hash not stated", ask{path: "/TraceSegments", body: "{}", key: wrong, payload: "-"}, "InvalidSignatureException", mismatch},
		{"another secret, presigned", ask{path: "/TraceSegments", body: "{}", key: wrong, presign: true}, "InvalidSignatureException", mismatch},
		{"an expired key", ask{path: "/TraceSegments", key: d.old}, "ExpiredTokenException", "The security token included in the request is expired"},
		{"an expired key and another secret", ask{path: "/TraceSegments", key: keys.Key{ID: d.old.ID, Secret: "x"}}, "InvalidSignatureException", mismatch},
		{"too late", ask{path: "/TraceSegments", key: d.writer, at: -6 * time.Minute}, "InvalidSignatureException", "Signature expired: "},
		{"too early", ask{path: "/TraceSegments", key: d.writer, at: 6 * time.Minute}, "InvalidSignatureException", "Signature not yet current: "},
		{"a reader writes", ask{path: "/TraceSegments", key: d.reader}, "AccessDeniedException",
			"User: arn:aws:iam::123456789012:user/reader is not authorized to perform: xray:PutTraceSegments because no identity-based policy allows the xray:PutTraceSegments action"},
		{"a writer reads", ask{path: "/Traces", key: d.writer}, "AccessDeniedException",
			"User: arn:aws:iam::123456789012:user/" + d.writer.ID + " is not authorized to perform: xray:BatchGetTraces because"},
		{"sampling without a key", ask{path: "/GetSamplingRules"}, "MissingAuthenticationTokenException", "Missing"},
		{"sampling by dummy", ask{path: "/GetSamplingRules", key: keys.Key{ID: "dummy", Secret: "dummy"}}, "UnrecognizedClientException", "The security token"},
		{"another body than stated", ask{path: "/TraceSegments", body: "{}", key: d.writer, payload: sigv4.EmptyHash}, "InvalidSignatureException", "The value of 'x-amz-content-sha256' is not the SHA-256"},
		{"no signed body, without TLS", ask{path: "/TraceSegments", body: "{}", key: d.writer, payload: sigv4.UnsignedPayload}, "InvalidSignatureException", "A body that is not signed (UNSIGNED-PAYLOAD) is taken over TLS only"},
		{"signed pieces", ask{path: "/TraceSegments", body: "{}", key: d.writer, payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, "InvalidSignatureException", "The form STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
		{"a tampered query", ask{path: "/TraceSegments", key: d.writer, edit: func(r *http.Request) { r.URL.RawQuery = "x=y" }}, "InvalidSignatureException", mismatch},
		{"a bearer token with another secret", ask{path: "/TraceSegments", header: []string{"Authorization", "Bearer " + wrong.Bearer()}}, "UnrecognizedClientException", "The security token"},
		{"a bearer token of nobody", ask{path: "/TraceSegments", header: []string{"Authorization", "Bearer " + stranger.Bearer()}}, "UnrecognizedClientException", "The security token"},
		{"an empty bearer token", ask{path: "/TraceSegments", header: []string{"Authorization", "Bearer "}}, "UnrecognizedClientException", "The security token"},
		{"an expired bearer token", ask{path: "/TraceSegments", header: []string{"Authorization", "Bearer " + d.old.Bearer()}}, "ExpiredTokenException", "The security token"},
		{"a bearer token of a reader", ask{path: "/TraceSegments", header: []string{"Authorization", "Bearer " + d.reader.Bearer()}}, "AccessDeniedException", "User: "},
		{"a name and a password", ask{path: "/TraceSegments", header: []string{"Authorization", "Basic eDp5"}}, "IncompleteSignatureException", "Unsupported AWS 'algorithm': 'Basic'."},
		{"two headers", ask{path: "/TraceSegments", header: []string{"Authorization", "Bearer " + d.admin.Bearer()}, edit: func(r *http.Request) { r.Header.Add("Authorization", "x") }},
			"IncompleteSignatureException", "There is more than one Authorization header."},
	} {
		status, code, text, header := d.send(t, c.ask)
		key, msg := message(t, text)
		wantKey := "message"
		if c.code == "AccessDeniedException" {
			wantKey = "Message"
		}
		if status != 403 || code != c.code || key != wantKey || !strings.HasPrefix(msg, c.text) {
			t.Errorf("%s: %d %s %s, want 403 %s %s", c.name, status, code, text, c.code, c.text)
		}
		if header["X-Amzn-Requestid"] == nil || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: headers %v", c.name, header)
		}
		if strings.Contains(text, d.admin.Secret) {
			t.Errorf("%s: a secret is shown", c.name)
		}
	}
	if used := d.bodies.Used(); used != 0 {
		t.Errorf("%d bytes are still held", used)
	}
}

// TestOwnEndpoints is about what is no operation of the X-Ray API.
func TestOwnEndpoints(t *testing.T) {
	d := open(t, false, false)
	bearer := func(k keys.Key) []string { return []string{"Authorization", "Bearer " + k.Bearer()} }
	for _, c := range []struct {
		name string
		ask  ask
		want string
	}{
		{"health", ask{method: "GET", path: "/-/ready"}, "200 nobody "},
		{"a reader", ask{method: "GET", path: "/api/traces", header: bearer(d.reader)}, "200 " + d.reader.ID + " "},
		{"nobody", ask{method: "GET", path: "/api/traces"}, `401 {"Message":"Missing Authentication Token"}`},
		{"a wrong token", ask{method: "GET", path: "/api/traces", header: []string{"Authorization", "bearer x"}}, `401 {"Message":"The security token included in the request is invalid."}`},
		{"a writer", ask{method: "GET", path: "/api/traces", header: bearer(d.writer)}, `403 {"Message":"This needs a key with the role read; key ` + d.writer.ID + ` does not have it"}`},
		{"the page", ask{method: "GET", path: "/"}, "401 the page"},
		{"the page, by a POST", ask{path: "/"}, `401 {"Message":"Missing Authentication Token"}`},
		{"the page, with a key", ask{method: "GET", path: "/", header: bearer(d.reader)}, "200 " + d.reader.ID + " "},
		{"the page, with the key of a writer", ask{method: "GET", path: "/", header: bearer(d.writer)}, `403 {"Message":"This needs a key with the role read; key ` + d.writer.ID + ` does not have it"}`},
		{"a path that nobody thought of", ask{method: "GET", path: "/new", header: bearer(d.reader)}, `403 {"Message":"This needs a key with the role admin; key ` + d.reader.ID + ` does not have it"}`},
		{"a path that nobody thought of, for an admin", ask{method: "GET", path: "/new", header: bearer(d.admin)}, "200 " + d.admin.ID + " "},
	} {
		status, _, text, header := d.send(t, c.ask)
		if got := fmt.Sprint(status, " ", text); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if has := header.Get("WWW-Authenticate") != ""; has != (status == 401) {
			t.Errorf("%s: %v", c.name, header)
		}
	}
}

func TestUnsignedSampling(t *testing.T) {
	d := open(t, false, true)
	for _, c := range []struct {
		name string
		ask  ask
		want int
	}{
		{"unsigned", ask{path: "/GetSamplingRules", body: "{}"}, 200},
		{"by dummy", ask{path: "/GetSamplingRules", body: "{}", key: keys.Key{ID: "dummy", Secret: "dummy"}}, 200},
		{"by a writer", ask{path: "/GetSamplingRules", body: "{}", key: d.writer}, 200},
		{"by a writer with another secret", ask{path: "/GetSamplingRules", body: "{}", key: keys.Key{ID: d.writer.ID, Secret: "x"}}, 403},
		{"by a stranger", ask{path: "/GetSamplingRules", body: "{}", key: keys.Key{ID: "stranger", Secret: "x"}}, 403},
		{"another call, unsigned", ask{path: "/TraceSegments", body: "{}"}, 403},
		{"another call, by dummy", ask{path: "/TraceSegments", body: "{}", key: keys.Key{ID: "dummy", Secret: "dummy"}}, 403},
	} {
		if status, _, text, _ := d.send(t, c.ask); status != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, status, text, c.want)
		}
	}
	if got := count(t, d, "unsigned"); got != 2 {
		t.Errorf("%v unsigned calls were counted", got)
	}
}

func TestUnsignedPayloadOverTLS(t *testing.T) {
	d := open(t, true, false)
	status, _, text, _ := d.send(t, ask{path: "/TraceSegments", body: "{}", key: d.writer, payload: sigv4.UnsignedPayload})
	if status != 200 || text != d.writer.ID+" {}" {
		t.Errorf("%d %s", status, text)
	}
	wrong := d.writer
	wrong.Secret = d.reader.Secret
	if status, _, text, _ := d.send(t, ask{path: "/TraceSegments", body: "{}", key: wrong, payload: sigv4.UnsignedPayload}); status != 403 {
		t.Errorf("with another secret: %d %s", status, text)
	}
}

// TestRevoked takes a key back under a running server.
func TestRevoked(t *testing.T) {
	d := open(t, false, false)
	if status, _, text, _ := d.send(t, ask{path: "/TraceSegments", key: d.writer}); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	err := keys.Update(d.path, false, func(list []keys.Key) ([]keys.Key, error) {
		list[1].Secret, list[1].Revoked = "", d.now
		return list, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(2 * time.Second)
	if status, code, text, _ := d.send(t, ask{path: "/TraceSegments", key: d.writer}); status != 403 || code != "UnrecognizedClientException" {
		t.Errorf("%d %s", status, text)
	}
}

// TestBodies holds that bodies are bounded, and not read for strangers.
func TestBodies(t *testing.T) {
	d := open(t, false, false)
	large := strings.Repeat("x", maxBody+1)
	for _, payload := range []string{"", "-"} {
		status, code, text, _ := d.send(t, ask{path: "/TraceSegments", body: large, key: d.writer, payload: payload})
		if status != 413 || code != "RequestEntityTooLargeException" {
			t.Errorf("%d %s %s", status, code, text)
		}
		chunked := func(r *http.Request) { r.ContentLength = -1 }
		status, code, text, _ = d.send(t, ask{path: "/TraceSegments", body: large, key: d.writer, payload: "-", edit: chunked})
		if status != 413 && status != 403 { // the signature covers the length, which is gone
			t.Errorf("chunked: %d %s %s", status, code, text)
		}
	}
	d.Client().Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	read := make(chan bool, 1)
	stranger := keys.New("", []keys.Role{keys.RoleAdmin}, d.now)
	status, _, _, _ := d.send(t, ask{path: "/TraceSegments", body: "{}", key: stranger, edit: func(r *http.Request) {
		r.Header.Set("Expect", "100-continue")
		r.Body = notify{r.Body, read}
	}})
	select {
	case <-read:
		t.Error("the body of a stranger was asked for")
	default:
	}
	if status != 403 {
		t.Errorf("status %d", status)
	}
	if used := d.bodies.Used(); used != 0 {
		t.Errorf("%d bytes are still held", used)
	}
}

type notify struct {
	io.ReadCloser
	read chan<- bool
}

func (n notify) Read(p []byte) (int, error) {
	select {
	case n.read <- true:
	default:
	}
	return n.ReadCloser.Read(p)
}

// FuzzAuthorization sends any header and query to the gate: nothing gets through, and
// every answer is one that clients understand.
func FuzzAuthorization(f *testing.F) {
	path := filepath.Join(f.TempDir(), "keys.json")
	k := keys.New("", []keys.Role{keys.RoleAdmin}, time.Now())
	if err := keys.Update(path, true, func([]keys.Key) ([]keys.Key, error) { return []keys.Key{k}, nil }); err != nil {
		f.Fatal(err)
	}
	ring, err := keys.OpenRing(keys.RingOptions{Path: path})
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)
	gate := New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }), Config{
		Keys: ring, Bodies: xrayapi.NewBodies(1 << 20), UnsignedSampling: true, Now: func() time.Time { return now },
		Rule: func(*http.Request) Rule { return Rule{Need: Write, Operation: "PutTraceSegments", BodyBytes: 1 << 20} },
	})
	scope := " Credential=" + k.ID + "/20261126/us-east-1/xray/aws4_request, SignedHeaders=host;x-amz-date, Signature="
	f.Add(sigv4.Algorithm+scope+strings.Repeat("0", 64), "20261126T010203Z", "", "{}")
	f.Add("Bearer "+k.ID+".", "", "", "")
	f.Add("Bearer "+k.ID, "", "", "")
	f.Add("", "", "X-Amz-Algorithm="+sigv4.Algorithm+"&X-Amz-Credential="+k.ID+"/20261126/r/xray/aws4_request&X-Amz-Date=20261126T010203Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature="+strings.Repeat("0", 64), "{}")
	f.Add("aws4-hmac-sha256 x=y", "Thu, 26 Nov 2026 01:02:03 GMT", "%%%", "")
	f.Fuzz(func(t *testing.T, authorization, date, query, body string) {
		if strings.Contains(authorization, k.Secret) {
			return
		}
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/TraceSegments", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header["Authorization"] = []string{authorization}
		r.Header["X-Amz-Date"] = []string{date}
		w := httptest.NewRecorder()
		gate.ServeHTTP(w, r)
		code := apierr.Code(w.Header()["x-amzn-errortype"][0])
		if w.Code != 403 || apierr.Table[code].Status != 403 || !json.Valid(w.Body.Bytes()) || w.Body.Len() > 8192 {
			t.Fatalf("%d %s %s", w.Code, code, w.Body)
		}
	})
}
