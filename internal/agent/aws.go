package agent

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
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
)

// signing says whether requests to a destination are signed.
type signing uint8

const (
	signNever      signing = iota
	signAsked              // when the destination asks for it, and there are credentials
	signIfPossible         // when there are credentials
	signAlways             // wait until there are
)

// awsOptions say where to send and as whom.
type awsOptions struct {
	endpoint  string // "": AWS's for the region
	region    string // "": to be found out
	roleARN   string
	profile   string
	localMode bool
	sign      signing
	proxy     string
	noVerify  bool
	ownKeys   bool   // ROENTGEN_ACCESS_KEY_ID goes before what AWS's tools find
	ca        string // file with certificates of authorities; "": what variables name
	getenv    func(string) string
}

// transport returns a transport for conns connections at once.
func (o *awsOptions) transport(conns int) (*http.Transport, error) {
	tr, err := newTransport(o.proxy, o.noVerify, conns)
	if err != nil {
		return nil, err
	}
	if o.noVerify {
		return tr, nil
	}
	name, file := "the file of authorities (CA)", o.ca
	for _, variable := range []string{"ROENTGEN_CA_BUNDLE", "AWS_CA_BUNDLE"} {
		if file == "" {
			name, file = variable, o.getenv(variable)
		}
	}
	if file == "" {
		return tr, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %s holds no certificates", name, file)
	}
	tr.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return tr, nil
}

// awsIdentity finds endpoint, region and credentials as the X-Ray daemon and the
// AWS SDKs do, when they are first needed; what fails is tried again.
type awsIdentity struct {
	opts  awsOptions
	known atomic.Pointer[string] // the endpoint as text, once it is known

	// lock guards what follows. Finding credentials may take seconds, and whoever
	// waits for it may have less patience: so it is no mutex.
	lock        chan struct{}
	endpoint    *url.URL // nil: not known yet
	region      string
	credentials *aws.CredentialsCache // nil: none are looked for
	refreshed   time.Time
	unsigned    bool // there were no credentials the last time
	asked       bool // the destination refused a call for its signature, or for having none
}

func newAWSIdentity(opts awsOptions) (*awsIdentity, error) {
	if opts.getenv == nil {
		opts.getenv = os.Getenv
	}
	id := &awsIdentity{opts: opts, region: opts.region, lock: make(chan struct{}, 1)}
	if opts.endpoint != "" {
		u, err := parseEndpoint(opts.endpoint)
		if err != nil {
			return nil, err
		}
		id.setEndpoint(u)
	}
	return id, nil
}

func parseEndpoint(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no endpoint; write it like https://xray.eu-west-1.amazonaws.com or http://127.0.0.1:2000", text)
	}
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

func (id *awsIdentity) setEndpoint(u *url.URL) {
	text := u.Redacted()
	id.endpoint = u
	id.known.Store(&text)
}

func (id *awsIdentity) target() string {
	if text := id.known.Load(); text != nil {
		return *text
	}
	if id.opts.region != "" {
		return awsEndpoint(id.opts.region, id.opts.getenv)
	}
	return "AWS X-Ray, region not known yet"
}

func (id *awsIdentity) resolve(ctx context.Context) (*url.URL, string, *aws.Credentials, error) {
	select {
	case id.lock <- struct{}{}:
		defer func() { <-id.lock }()
	case <-ctx.Done():
		return nil, "", nil, fmt.Errorf("find region and credentials: %w", ctx.Err())
	}
	unsigned := id.opts.sign == signNever || id.opts.sign == signAsked && !id.asked
	if id.region == "" && (id.endpoint == nil || !unsigned) {
		region, err := discoverRegion(ctx, id.opts)
		switch {
		case err == nil:
			id.region = region
		case id.endpoint == nil || id.opts.sign == signAlways:
			return nil, "", nil, err
		default:
			id.region = "us-east-1" // an endpoint of our own does not care
		}
	}
	if id.endpoint == nil {
		text := awsEndpoint(id.region, id.opts.getenv)
		if own := ownEndpoint(id.opts.getenv); own != "" {
			text = own
		}
		u, err := parseEndpoint(text)
		if err != nil {
			return nil, "", nil, err
		}
		id.setEndpoint(u)
	}
	if unsigned {
		return id.endpoint, id.region, nil, nil
	}
	if id.credentials == nil {
		c, err := id.load(ctx)
		if err != nil {
			return nil, "", nil, fmt.Errorf("load the AWS configuration: %w", err)
		}
		id.credentials = c
	}
	if id.unsigned && time.Since(id.refreshed) < lookAgain {
		return id.endpoint, id.region, nil, nil
	}
	c, err := id.credentials.Retrieve(ctx)
	if err != nil {
		if id.opts.sign != signAlways && ctx.Err() == nil {
			id.unsigned, id.refreshed = true, time.Now()
			return id.endpoint, id.region, nil, nil
		}
		return nil, "", nil, fmt.Errorf("no AWS credentials: %w", err)
	}
	id.unsigned = false
	return id.endpoint, id.region, &c, nil
}

// load sets up the chain of credentials: environment, shared files, web identity,
// container and instance, and the role on top of them.
func (id *awsIdentity) load(ctx context.Context) (*aws.CredentialsCache, error) {
	if key, secret := id.opts.getenv("ROENTGEN_ACCESS_KEY_ID"), id.opts.getenv("ROENTGEN_SECRET_ACCESS_KEY"); id.opts.ownKeys && key != "" && secret != "" {
		return aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider(key, secret, "")), nil
	}
	opts := []func(*config.LoadOptions) error{config.WithRegion(id.region), quiet}
	if id.opts.profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(id.opts.profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, err
	}
	if c, ok := cfg.Credentials.(*aws.CredentialsCache); ok && id.opts.roleARN == "" {
		return c, nil
	}
	provider := cfg.Credentials
	if id.opts.roleARN != "" {
		client := sts.NewFromConfig(cfg, func(o *sts.Options) {
			if id.opts.proxy != "" || id.opts.noVerify {
				if tr, err := id.opts.transport(2); err == nil {
					o.HTTPClient = &http.Client{Transport: tr}
				}
			}
		})
		provider = stscreds.NewAssumeRoleProvider(client, id.opts.roleARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "roentgen-agent"
		})
	}
	return aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow = time.Minute
		o.ExpiryWindowJitterFrac = 0.5
	}), nil
}

// quiet keeps the SDK from writing to standard error; what fails comes back as an
// error.
var quiet = config.WithLogger(logging.Nop{})

// rejected forgets credentials that the destination did not accept: a rotated
// file or an expired token gives others now.
func (id *awsIdentity) rejected() {
	id.lock <- struct{}{}
	defer func() { <-id.lock }()
	id.asked = true
	if id.credentials != nil && time.Since(id.refreshed) > 10*time.Second {
		id.refreshed = time.Now()
		// Loaded anew, since static files are read only then.
		id.credentials = nil
	}
}

// awsEndpoint returns AWS's own endpoint of a region.
func awsEndpoint(region string, getenv func(string) string) string {
	host := "xray"
	if strings.EqualFold(getenv("AWS_USE_FIPS_ENDPOINT"), "true") {
		host = "xray-fips"
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	if strings.EqualFold(getenv("AWS_USE_DUALSTACK_ENDPOINT"), "true") {
		domain = "api.aws"
		if strings.HasPrefix(region, "cn-") {
			domain = "api.amazonwebservices.com.cn"
		}
	}
	return "https://" + host + "." + region + "." + domain
}

// ownEndpoint returns what the AWS SDKs' variables say about the endpoint.
func ownEndpoint(getenv func(string) string) string {
	if strings.EqualFold(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		return ""
	}
	if u := getenv("AWS_ENDPOINT_URL_XRAY"); u != "" {
		return u
	}
	return getenv("AWS_ENDPOINT_URL")
}

// lookAgain is how often credentials are looked for again where there were none
// and none are needed. The look may take some seconds, of instance metadata say.
const lookAgain = 10 * time.Minute

// metadataTime bounds questions to the instance metadata, which elsewhere than
// on EC2 nobody answers.
const metadataTime = 2 * time.Second

// discoverRegion looks where the daemon looks: environment, the metadata file of
// ECS, instance metadata, and the shared configuration, which the daemon reads in
// local mode only.
func discoverRegion(ctx context.Context, opts awsOptions) (string, error) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if r := opts.getenv(name); r != "" {
			return r, nil
		}
	}
	if strings.EqualFold(opts.getenv("ECS_ENABLE_CONTAINER_METADATA"), "true") {
		if r := ecsRegion(opts.getenv("ECS_CONTAINER_METADATA_FILE")); r != "" {
			return r, nil
		}
	}
	load := []func(*config.LoadOptions) error{quiet}
	if opts.profile != "" {
		load = append(load, config.WithSharedConfigProfile(opts.profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return "", fmt.Errorf("load the AWS configuration: %w", err)
	}
	if !opts.localMode {
		ctx, cancel := context.WithTimeout(ctx, metadataTime)
		out, err := imds.NewFromConfig(cfg).GetRegion(ctx, &imds.GetRegionInput{})
		cancel()
		if err == nil && out.Region != "" {
			return out.Region, nil
		}
	}
	if cfg.Region != "" {
		return cfg.Region, nil
	}
	return "", errors.New("the region is not known; set it with --region, AWS_REGION, or Region in cfg.yaml")
}

// ecsRegion reads the region from an ARN in the metadata file of ECS.
func ecsRegion(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	var meta struct{ TaskARN, ContainerInstanceARN string }
	if json.Unmarshal(data, &meta) != nil {
		return ""
	}
	for _, arn := range []string{meta.TaskARN, meta.ContainerInstanceARN} {
		if parts := strings.Split(arn, ":"); len(parts) > 4 && parts[3] != "" {
			return parts[3]
		}
	}
	return ""
}

// hostInfo is what telemetry tells about the machine.
type hostInfo struct {
	Hostname, InstanceID, ResourceARN string
}

// discoverHost asks the environment, and instance metadata unless in local mode.
func discoverHost(ctx context.Context, resourceARN string, localMode bool, getenv func(string) string) hostInfo {
	h := hostInfo{Hostname: getenv("AWS_HOSTNAME"), InstanceID: getenv("AWS_INSTANCE_ID"), ResourceARN: resourceARN}
	if localMode || h.Hostname != "" && h.InstanceID != "" {
		return h
	}
	cfg, err := config.LoadDefaultConfig(ctx, quiet)
	if err != nil {
		return h
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTime)
	defer cancel()
	client := imds.NewFromConfig(cfg)
	for _, ask := range []struct {
		path string
		into *string
	}{{"instance-id", &h.InstanceID}, {"hostname", &h.Hostname}} {
		if *ask.into != "" {
			continue
		}
		out, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: ask.path})
		if err != nil {
			return h
		}
		text := make([]byte, 256)
		n, _ := out.Content.Read(text)
		out.Content.Close()
		*ask.into = string(text[:n])
	}
	return h
}

// newTransport returns a transport for conns connections at once.
func newTransport(proxy string, noVerify bool, conns int) (*http.Transport, error) {
	tr := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dial,
		MaxIdleConns:          conns,
		MaxIdleConnsPerHost:   conns,
		MaxConnsPerHost:       conns,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
	}
	if proxy != "" {
		if !strings.Contains(proxy, "://") {
			proxy = "http://" + proxy
		}
		u, err := url.Parse(proxy)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("%q is no address of a proxy; write it like http://proxy:3128", proxy)
		}
		tr.Proxy = http.ProxyURL(u)
	}
	if noVerify {
		tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} // the user asked for it
	}
	return tr, nil
}

var dialer = net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}

// dial connects. A body then goes to the socket in one write from where it lies;
// net/http would copy it through a buffer of 32 KB that it makes for each request.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return directConn{c}, nil
}

type directConn struct{ net.Conn }

// memoryBody is a request's body that lies in memory. As a type of its own it
// passes through net/http unwrapped and is known again by directConn.
type memoryBody struct{ *bytes.Reader }

func (memoryBody) Close() error { return nil }

// newRequest returns a request with a body that can be sent again.
func newRequest(ctx context.Context, method, url string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil || len(body) == 0 {
		return req, err
	}
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return memoryBody{bytes.NewReader(body)}, nil }
	req.Body, err = req.GetBody()
	return req, err
}

// ReadFrom implements io.ReaderFrom.
func (c directConn) ReadFrom(r io.Reader) (int64, error) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return io.Copy(writerOnly{c.Conn}, r)
	}
	body, ok := l.R.(memoryBody)
	if !ok || int64(body.Len()) > l.N {
		return io.Copy(writerOnly{c.Conn}, r)
	}
	n, err := body.WriteTo(c.Conn)
	l.N -= n
	return n, err
}

// writerOnly hides that a connection can read from a reader itself.
type writerOnly struct{ io.Writer }
