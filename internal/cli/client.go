package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

const defaultEndpoint = "http://127.0.0.1:2000"

// client speaks to a running server.
type client struct {
	endpoint string
	http     *http.Client
	wrap     func(*http.Transport) http.RoundTripper // makes a transport trust and sign as http does
}

// connection is what the flags say about the server to speak to.
type connection struct {
	endpoint string
	profile  string // of AWS's files of credentials
	caBundle string // file with certificates of authorities
	getenv   func(string) string
}

// endpointFlag adds the flags for reaching a server: --endpoint, --profile and
// --ca-bundle. Their defaults come from the environment.
func endpointFlag(fs *pflag.FlagSet, env *Env) *connection {
	c := openEndpointFlag(fs, env)
	c.getenv = env.Getenv
	fs.StringVar(&c.profile, "profile", env.Getenv("ROENTGEN_PROFILE"), "`name` of the profile in ~/.aws/credentials that holds the key, for a server that asks for one")
	return c
}

// openEndpointFlag adds those of the flags for reaching a server that what needs no
// key has a use for.
func openEndpointFlag(fs *pflag.FlagSet, env *Env) *connection {
	c := &connection{}
	fs.StringVar(&c.endpoint, "endpoint", firstOf(env.Getenv("ROENTGEN_ENDPOINT"), defaultEndpoint), "`address` of the server (environment: ROENTGEN_ENDPOINT)")
	fs.StringVar(&c.caBundle, "ca-bundle", firstOf(env.Getenv("ROENTGEN_CA_BUNDLE"), env.Getenv("AWS_CA_BUNDLE")), "`file` with the certificates of authorities to trust, for https (environment: ROENTGEN_CA_BUNDLE, AWS_CA_BUNDLE)")
	return c
}

// firstOf returns the first text that is not empty.
func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func newClient(to connection) (*client, error) {
	endpoint := to.endpoint
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, &exitError{2, fmt.Errorf("--endpoint %q is no address; write it like %s", endpoint, defaultEndpoint)}
	}
	var trusted *tls.Config
	if to.caBundle != "" {
		if trusted, err = trusting(to.caBundle); err != nil {
			return nil, &exitError{2, fmt.Errorf("--ca-bundle: %w", err)}
		}
	}
	c := &client{endpoint: strings.TrimRight(u.String(), "/")}
	c.wrap = func(t *http.Transport) http.RoundTripper {
		if trusted != nil {
			t.TLSClientConfig = trusted.Clone()
		}
		return newSigningTransport(t, to)
	}
	c.http = &http.Client{Timeout: 2 * time.Minute, Transport: c.wrap(http.DefaultTransport.(*http.Transport).Clone())}
	return c, nil
}

// apiError is an error that the server answered with.
type apiError struct {
	Status  int
	Code    string
	Message string
}

func (e *apiError) Error() string {
	switch {
	case e.Code == string(apierr.MissingAuthenticationToken):
		return "the server asks for a key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --profile"
	case e.Code == string(apierr.UnrecognizedClient):
		return "the server does not know this key; perhaps it was revoked, or AWS_ACCESS_KEY_ID is that of something else"
	case e.Code == string(apierr.ExpiredToken):
		return "the key has expired; roentgen key create makes another one"
	case e.Code == string(apierr.AccessDenied):
		return fmt.Sprintf("this key may not do that, it lacks a role; roentgen key --help tells what each role may do (%s)", e.Message)
	case e.Code == "" && e.Message == "":
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	case e.Code == "":
		return fmt.Sprintf("the server answered %d: %s", e.Status, e.Message)
	}
	return fmt.Sprintf("the server answered %s: %s", e.Code, e.Message)
}

// post calls an operation of the X-Ray API.
func (c *client) post(ctx context.Context, path string, in, out any) error {
	_, err := c.postHeader(ctx, path, in, out)
	return err
}

// postHeader is post that returns the header of the answer, too.
func (c *client) postHeader(ctx context.Context, path string, in, out any) (http.Header, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, http.MethodPost, path, body, out)
}

// get reads one of the server's own endpoints.
func (c *client) get(ctx context.Context, path string, out any) error {
	_, err := c.do(ctx, http.MethodGet, path, nil, out)
	return err
}

func (c *client) do(ctx context.Context, method, path string, body []byte, out any) (http.Header, error) {
	resp, err := c.send(ctx, c.http, method, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return nil, fmt.Errorf("%s%s: the answer is not what this version of roentgen expects (%w); is it a Roentgen server?", c.endpoint, path, err)
	}
	return resp.Header, nil
}

// stream begins to read an answer that has no end. It lives until ctx is done.
func (c *client) stream(ctx context.Context, path string) (*http.Response, error) {
	return c.send(ctx, &http.Client{Transport: c.http.Transport}, http.MethodGet, path, nil)
}

// send returns the answer to a request when it is 200, and an *apiError when it is
// another.
func (c *client) send(ctx context.Context, hc *http.Client, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode == http.StatusBadRequest && bytes.Contains(text, []byte("HTTP request to an HTTPS server")) {
		return nil, fmt.Errorf("%s speaks TLS alone; write https:// in place of http://", c.endpoint)
	}
	e := &apiError{Status: resp.StatusCode, Code: resp.Header.Get("x-amzn-errortype")}
	// encoding/json matches names without regard to case, so Message and
	// message both land here.
	var m struct{ Message, Error string }
	if json.Unmarshal(text, &m) == nil {
		e.Message = m.Message
		if e.Message == "" {
			e.Message = m.Error
		}
	}
	return nil, e
}

// errNobody reports that no process listens at the server's address.
var errNobody = errors.New("nothing answers")

// nobodyError names the address. It matches errNobody.
type nobodyError struct{ endpoint string }

func (e *nobodyError) Error() string {
	return fmt.Sprintf("nothing answers at %s; start a server with `roentgen serve`, or name another one with --endpoint", e.endpoint)
}

func (e *nobodyError) Unwrap() error { return errNobody }

// explain says in plain words why a server could not be reached.
func (c *client) explain(err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, syscall.ECONNREFUSED):
		return &nobodyError{c.endpoint}
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("the certificate of %s is not from an authority that this machine trusts; name the authority's with --ca-bundle", c.endpoint)
	case errors.As(err, &dns):
		return fmt.Errorf("the host of %s cannot be found; check --endpoint", c.endpoint)
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("%s answers without TLS; write http:// in place of https://", c.endpoint)
	}
	var uerr *url.Error
	if errors.As(err, &uerr) {
		err = uerr.Err
	}
	return fmt.Errorf("%s: %w", c.endpoint, err)
}
