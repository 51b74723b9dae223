package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/internal/xrayapi/sigv4"
)

// chainTimeout bounds the search for credentials, which may ask AWS.
const chainTimeout = 10 * time.Second

// signingTransport signs requests with the user's key. With a key in the environment
// it signs every request. Otherwise it tries without, and looks for credentials where
// AWS's tools look for them only when the server asks for a key: that search may run
// programs and ask AWS, which a server on one's own machine is no reason for.
type signingTransport struct {
	next    http.RoundTripper
	signer  *v4.Signer
	region  string
	profile string

	mu    sync.Mutex
	creds *aws.Credentials // nil: requests go out as they are
}

func newSigningTransport(next http.RoundTripper, to connection) *signingTransport {
	t := &signingTransport{next: next, signer: v4.NewSigner(), profile: to.profile}
	getenv := to.getenv
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	// Any will do here; AWS's tools insist on one.
	t.region = firstOf(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"), "us-east-1")
	if to.profile != "" {
		return t // said on purpose, so it goes before what lies in the environment
	}
	for _, prefix := range []string{"ROENTGEN_", "AWS_"} {
		id, secret := getenv(prefix+"ACCESS_KEY_ID"), getenv(prefix+"SECRET_ACCESS_KEY")
		if id != "" && secret != "" {
			t.creds = &aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
			break
		}
	}
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *signingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close() // copies of it are sent
	}
	t.mu.Lock()
	creds := t.creds
	t.mu.Unlock()
	if creds != nil {
		return t.send(r, creds)
	}
	resp, err := t.send(r, nil)
	if err != nil || resp.Header.Get("x-amzn-errortype") != string(apierr.MissingAuthenticationToken) {
		return resp, err
	}
	creds, err = t.search(r.Context())
	if err != nil {
		if t.profile == "" {
			return resp, nil // the answer tells that a key is needed
		}
		resp.Body.Close()
		return nil, fmt.Errorf("the server asks for a key, and profile %s gives none: %w", t.profile, err)
	}
	resp.Body.Close()
	t.mu.Lock()
	t.creds = creds
	t.mu.Unlock()
	return t.send(r, creds)
}

// send sends a copy of r, signed when there are credentials.
func (t *signingTransport) send(r *http.Request, creds *aws.Credentials) (*http.Response, error) {
	out := r.Clone(r.Context())
	sum := sigv4.EmptyHash
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		if creds != nil {
			// The client's bodies are in memory.
			data, err := io.ReadAll(body)
			if err != nil {
				return nil, err
			}
			h := sha256.Sum256(data)
			sum = hex.EncodeToString(h[:])
			body = io.NopCloser(bytes.NewReader(data))
		}
		out.Body = body
	}
	if creds == nil {
		return t.next.RoundTrip(out)
	}
	// Stated, so that the server need not read the body to know who sends it.
	out.Header.Set("X-Amz-Content-Sha256", sum)
	if err := t.signer.SignHTTP(r.Context(), *creds, out, sum, "xray", t.region, time.Now()); err != nil {
		return nil, err
	}
	return t.next.RoundTrip(out)
}

// search looks for credentials where AWS's tools do.
func (t *signingTransport) search(ctx context.Context) (*aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, chainTimeout)
	defer cancel()
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRegion(t.region),
		awsconfig.WithLogger(logging.Nop{}), // what it could say would be about AWS
	}
	if t.profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(t.profile))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	return &creds, nil
}

// trusting returns how to trust the authorities in a file, and no others.
func trusting(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate (PEM)")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
