package cli

import (
	"bytes"
	"context"
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
)

const defaultEndpoint = "http://127.0.0.1:2000"

// client speaks to a running server.
type client struct {
	endpoint string
	http     *http.Client
}

// endpointFlag adds --endpoint; the environment's ROENTGEN_ENDPOINT is its default.
func endpointFlag(fs *pflag.FlagSet, env *Env) *string {
	def := env.Getenv("ROENTGEN_ENDPOINT")
	if def == "" {
		def = defaultEndpoint
	}
	return fs.String("endpoint", def, "address of the server (environment: ROENTGEN_ENDPOINT)")
}

func newClient(endpoint string) (*client, error) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, &exitError{2, fmt.Errorf("--endpoint %q is no address; write it like %s", endpoint, defaultEndpoint)}
	}
	return &client{
		endpoint: strings.TrimRight(u.String(), "/"),
		http:     &http.Client{Timeout: 2 * time.Minute},
	}, nil
}

// apiError is an error that the server answered with.
type apiError struct {
	Status  int
	Code    string
	Message string
}

func (e *apiError) Error() string {
	switch {
	case e.Code == "" && e.Message == "":
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	case e.Code == "":
		return fmt.Sprintf("the server answered %d: %s", e.Status, e.Message)
	}
	return fmt.Sprintf("the server answered %s: %s", e.Code, e.Message)
}

// post calls an operation of the X-Ray API.
func (c *client) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, body, out)
}

// get reads one of the server's own endpoints.
func (c *client) get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, nil, out)
}

func (c *client) do(ctx context.Context, method, path string, body []byte, out any) error {
	resp, err := c.send(ctx, c.http, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("%s%s: the answer is not what this version of roentgen expects (%w); is it a Roentgen server?", c.endpoint, path, err)
	}
	return nil
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

// explain says in plain words why a server could not be reached.
func (c *client) explain(err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s; start a server with `roentgen serve`, or name another one with --endpoint", c.endpoint)
	case errors.As(err, &dns):
		return fmt.Errorf("the host of %s cannot be found; check --endpoint", c.endpoint)
	}
	var uerr *url.Error
	if errors.As(err, &uerr) {
		err = uerr.Err
	}
	return fmt.Errorf("%s: %w", c.endpoint, err)
}
