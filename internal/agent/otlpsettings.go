package agent

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	receiver "github.com/roentgen-io/roentgen/internal/receiver/otlp"
)

// completeOTLP fills in a destination of type otlp. The variables of OpenTelemetry
// count for one that names no endpoint, and then all of them: a header that is meant
// for one receiver is often a secret and must not go to another.
func (d *Destination) completeOTLP(getenv func(string) string) error {
	standard := "" // endpoint of a signal, which is used as it is
	if d.Endpoint == "" {
		var err error
		if standard, err = d.fromVariables(getenv); err != nil {
			return err
		}
	}
	switch d.Compression {
	case "":
		d.Compression = "gzip"
	case "gzip", "none":
	default:
		return fmt.Errorf("the destination %s has Compression %q; there are gzip and none", d.Name, d.Compression)
	}
	switch d.Protocol {
	case "", protocolGRPC, protocolHTTP:
	default:
		return fmt.Errorf("the destination %s has Protocol %q; there are grpc and http/protobuf", d.Name, d.Protocol)
	}
	if (d.Certificate == "") != (d.Key == "") {
		return fmt.Errorf("the destination %s needs both Certificate and Key, or neither", d.Name)
	}
	for name, value := range d.Headers {
		switch {
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
			return fmt.Errorf("the destination %s has a header %q that is none", d.Name, name)
		case ownHeaders[http.CanonicalHeaderKey(name)]:
			return fmt.Errorf("the destination %s has a header %s, which OTLP itself sets", d.Name, name)
		}
	}
	if err := d.completeEndpoint(standard != ""); err != nil {
		return err
	}
	_, err := parseOTLPEndpoint(d.Endpoint)
	return err
}

var ownHeaders = map[string]bool{"Content-Type": true, "Content-Encoding": true, "Content-Length": true, "Transfer-Encoding": true, "Host": true,
	"Te": true, "Grpc-Encoding": true, "Grpc-Timeout": true, "Connection": true}

// completeEndpoint makes the endpoint the address of the calls. Spans go below the
// path of a base, unless asIs.
func (d *Destination) completeEndpoint(asIs bool) error {
	text := d.Endpoint
	for scheme, plain := range map[string]string{"grpc://": "http://", "grpcs://": "https://"} {
		if rest, ok := strings.CutPrefix(text, scheme); ok {
			if d.Protocol == protocolHTTP {
				return fmt.Errorf("the destination %s has the endpoint %s and the Protocol http/protobuf; write it with http:// or https://", d.Name, withoutPassword(d.Endpoint))
			}
			d.Protocol, text = protocolGRPC, plain+rest
		}
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := parseOTLPEndpoint(text)
	if err != nil {
		return err
	}
	if d.Protocol == "" {
		d.Protocol = protocolHTTP
		if u.Port() == "4317" {
			d.Protocol = protocolGRPC
		}
	}
	u.Fragment = ""
	switch {
	case d.Protocol == protocolGRPC:
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), "4317")
		}
		u.Path, u.RawPath, u.RawQuery = "", "", ""
	case asIs:
		if u.Path == "" {
			u.Path = "/"
		}
	case !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), receiver.PathHTTP):
		u = u.JoinPath(receiver.PathHTTP)
	}
	d.Endpoint = u.String()
	return nil
}

// fromVariables takes over what OTEL_EXPORTER_OTLP_* say, those for traces before
// those for everything. It returns the endpoint when it is that of traces.
func (d *Destination) fromVariables(getenv func(string) string) (forTraces string, err error) {
	get := func(name string) string {
		if v := strings.TrimSpace(getenv("OTEL_EXPORTER_OTLP_TRACES_" + name)); v != "" {
			return v
		}
		return strings.TrimSpace(getenv("OTEL_EXPORTER_OTLP_" + name))
	}
	take := func(into *string, name string) {
		if *into == "" {
			*into = get(name)
		}
	}
	take(&d.Protocol, "PROTOCOL")
	if d.Protocol == "http/json" {
		d.Protocol = protocolHTTP // who takes the one takes the other
	}
	take(&d.Compression, "COMPRESSION")
	take(&d.CA, "CERTIFICATE")
	take(&d.Certificate, "CLIENT_CERTIFICATE")
	take(&d.Key, "CLIENT_KEY")
	if d.Headers == nil {
		if d.Headers, err = parseHeaders(get("HEADERS")); err != nil {
			return "", err
		}
	}
	if text := get("TIMEOUT"); d.Timeout == 0 && text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			return "", fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %q; it should be a number of milliseconds", text)
		}
		d.Timeout = time.Duration(ms) * time.Millisecond
	}
	forTraces = strings.TrimSpace(getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
	d.Endpoint = get("ENDPOINT")
	switch {
	case d.Endpoint == "" && d.Protocol == protocolGRPC:
		d.Endpoint = "http://localhost:4317"
	case d.Endpoint == "":
		d.Endpoint = "http://localhost:4318"
	case !strings.Contains(d.Endpoint, "://") && strings.EqualFold(get("INSECURE"), "true"):
		d.Endpoint = "http://" + d.Endpoint
	}
	return forTraces, nil
}

// parseHeaders reads key1=value1,key2=value2, percent-encoded as in W3C baggage.
func parseHeaders(text string) (map[string]string, error) {
	var headers map[string]string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS should be name=value, with commas between them, percent-encoded") // it may hold secrets
		}
		if headers == nil {
			headers = make(map[string]string)
		}
		headers[name] = value
	}
	return headers, nil
}
