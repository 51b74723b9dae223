package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

const (
	// Algorithm begins every Authorization header of this kind.
	Algorithm = "AWS4-HMAC-SHA256"
	// UnsignedPayload stands in place of the hash of a body that is not signed.
	UnsignedPayload = "UNSIGNED-PAYLOAD"
	// EmptyHash is the hash of a body without bytes.
	EmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	// MaxSkew is how far the date of a request may be from our clock.
	MaxSkew = 5 * time.Minute

	maxExpires    = 7 * 24 * time.Hour // of a presigned request, AWS's bound
	timeForm      = "20060102T150405Z"
	terminator    = "aws4_request"
	streamingHash = "STREAMING-"
	maxHeaders    = 64 // that a signature may list
)

// The parameters of a presigned request.
const (
	queryAlgorithm  = "X-Amz-Algorithm"
	queryCredential = "X-Amz-Credential"
	queryDate       = "X-Amz-Date"
	queryExpires    = "X-Amz-Expires"
	queryHeaders    = "X-Amz-SignedHeaders"
	querySignature  = "X-Amz-Signature"
	queryHash       = "X-Amz-Content-Sha256"
)

// Claim is what a request says about who signed it, when and how. Nothing of it
// is proved before Verify.
type Claim struct {
	AccessKeyID   string
	Region        string
	Service       string
	Time          time.Time     // when it was signed
	Presigned     bool          // the claim stands in the query
	Expires       time.Duration // of a presigned request: for how long it is valid
	SignedHeaders []string      // lower case, in order
	// PayloadHash is what the request says of its body: the SHA-256 in hexadecimal
	// digits, UnsignedPayload, or "" when it says nothing; then the body has to be
	// read before the signature can be verified.
	PayloadHash string

	scope     string // date/region/service/terminator
	signature [sha256.Size]byte
}

// IsPresigned reports whether a request carries its signature in the query.
func IsPresigned(r *http.Request) bool {
	return strings.Contains(r.URL.RawQuery, queryAlgorithm) && r.URL.Query().Has(queryAlgorithm)
}

// Parse reads the claim of a request, which is for the given service. The error is
// an *apierr.Error.
func Parse(r *http.Request, service string) (*Claim, error) {
	c := &Claim{Presigned: IsPresigned(r)}
	var p parameters
	var err error
	if c.Presigned {
		p, err = queryParameters(r)
	} else {
		p, err = headerParameters(r)
	}
	if err != nil {
		return nil, err
	}
	if err := c.readCredential(p.credential, service); err != nil {
		return nil, err
	}
	if c.Time, err = readTime(p.date); err != nil {
		return nil, err
	}
	if day, want := c.scope[:strings.IndexByte(c.scope, '/')], c.Time.Format("20060102"); day != want {
		return nil, apierr.New(apierr.InvalidSignature,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%.20s' != '%s', from '%s'.", day, want, c.Time.Format(timeForm))
	}
	if c.Presigned {
		seconds, err := strconv.ParseUint(p.expires, 10, 32)
		if c.Expires = time.Duration(seconds) * time.Second; err != nil || seconds == 0 || c.Expires > maxExpires {
			return nil, apierr.New(apierr.InvalidSignature, "X-Amz-Expires must be a number of seconds from 1 to %d", int(maxExpires.Seconds()))
		}
	}
	if err := c.readHeaders(p.headers); err != nil {
		return nil, err
	}
	if n, err := hex.Decode(c.signature[:], []byte(p.signature[:min(len(p.signature), 2*sha256.Size)])); err != nil || n != sha256.Size || len(p.signature) != 2*sha256.Size {
		return nil, mismatch()
	}
	return c, c.readHash(r, p.hash)
}

// parameters are the parts of a claim as texts.
type parameters struct{ credential, headers, signature, date, expires, hash string }

func incomplete(format string, args ...any) error {
	return apierr.New(apierr.IncompleteSignature, format, args...)
}

// headerParameters takes the Authorization header apart.
func headerParameters(r *http.Request) (p parameters, err error) {
	lines := r.Header["Authorization"]
	if len(lines) == 0 || lines[0] == "" {
		return p, apierr.New(apierr.MissingAuthenticationToken, "Missing Authentication Token")
	}
	if len(lines) > 1 {
		return p, incomplete("There is more than one Authorization header.")
	}
	algorithm, rest, _ := strings.Cut(strings.TrimSpace(lines[0]), " ")
	if algorithm != Algorithm {
		return p, incomplete("Unsupported AWS 'algorithm': '%.40s'.", algorithm)
	}
	for part := range strings.SplitSeq(rest, ",") {
		part = strings.TrimSpace(part)
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			// Not shown: a secret may have got there by mistake.
			return p, incomplete("A part of the Authorization header is not a valid key=value pair (missing equal-sign).")
		}
		var to *string
		switch name {
		case "Credential":
			to = &p.credential
		case "SignedHeaders":
			to = &p.headers
		case "Signature":
			to = &p.signature
		default:
			return p, incomplete("Authorization header has an unknown parameter '%.40s'.", name)
		}
		if *to != "" {
			return p, incomplete("Authorization header has the parameter '%s' twice.", name)
		}
		*to = value
	}
	p.date = r.Header.Get("X-Amz-Date")
	if p.date == "" {
		p.date = r.Header.Get("Date")
	}
	var missing []string
	for _, need := range []struct{ name, value string }{{"Credential", p.credential}, {"Signature", p.signature}, {"SignedHeaders", p.headers}} {
		if need.value == "" {
			missing = append(missing, "Authorization header requires '"+need.name+"' parameter.")
		}
	}
	if p.date == "" {
		missing = append(missing, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	if len(missing) > 0 {
		return p, incomplete("%s", strings.Join(missing, " "))
	}
	return p, nil
}

// queryParameters collects the parameters of a presigned request.
func queryParameters(r *http.Request) (p parameters, err error) {
	if len(r.Header["Authorization"]) > 0 {
		return p, incomplete("The request is signed twice, in its query and by an Authorization header.")
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p, incomplete("The query of the request cannot be read.")
	}
	algorithm := ""
	for _, need := range []struct {
		name     string
		to       *string
		optional bool
	}{
		{queryAlgorithm, &algorithm, false}, {queryCredential, &p.credential, false}, {queryDate, &p.date, false},
		{queryExpires, &p.expires, false}, {queryHeaders, &p.headers, false}, {querySignature, &p.signature, false},
		{queryHash, &p.hash, true},
	} {
		values := q[need.name]
		if len(values) > 1 {
			return p, incomplete("The query has the parameter '%s' twice.", need.name)
		}
		if len(values) == 1 {
			*need.to = values[0]
		}
		if *need.to == "" && !need.optional {
			return p, incomplete("AWS query-string parameters must include '%s'.", need.name)
		}
	}
	if algorithm != Algorithm {
		return p, incomplete("Unsupported AWS 'algorithm': '%.40s'.", algorithm)
	}
	return p, nil
}

// readCredential takes key/date/region/service/terminator apart.
func (c *Claim) readCredential(text, service string) error {
	parts := strings.Split(text, "/")
	if len(parts) != 5 {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%.200s'", text)
	}
	for _, p := range parts {
		if p == "" {
			return incomplete("Credential must have 5 elements with something in them, e.g. keyid/date/region/service/term")
		}
	}
	c.AccessKeyID, c.Region, c.Service, c.scope = parts[0], parts[2], parts[3], text[len(parts[0])+1:]
	if parts[4] != terminator {
		return apierr.New(apierr.InvalidSignature, "Credential should be scoped with a valid terminator: '%s', not '%.40s'.", terminator, parts[4])
	}
	if c.Service != service {
		return apierr.New(apierr.InvalidSignature, "Credential should be scoped to correct service: '%s'.", service)
	}
	return nil
}

// readTime reads the date of a request: in the form of X-Amz-Date, which Date may
// have too, or in one of the forms of HTTP.
func readTime(text string) (time.Time, error) {
	if t, err := time.Parse(timeForm, text); err == nil {
		return t, nil
	}
	if t, err := http.ParseTime(text); err == nil {
		return t.UTC(), nil
	}
	return time.Time{}, incomplete("Date must be in ISO-8601 'basic format'. Got '%.40s'. See http://en.wikipedia.org/wiki/ISO_8601", text)
}

func (c *Claim) readHeaders(text string) error {
	if n := strings.Count(text, ";") + 1; n > maxHeaders {
		return incomplete("The signature lists %d headers; %d are enough", n, maxHeaders)
	}
	c.SignedHeaders = strings.Split(text, ";")
	host := false
	for i, name := range c.SignedHeaders {
		if name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, " \t\r\n:") {
			return incomplete("SignedHeaders must hold names of headers in lower case")
		}
		if i > 0 && name <= c.SignedHeaders[i-1] {
			return incomplete("SignedHeaders must be in order, each name once")
		}
		host = host || name == "host"
	}
	if !host {
		return apierr.New(apierr.InvalidSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// readHash reads what the request says of its body. inQuery is where a presigned
// one says it.
func (c *Claim) readHash(r *http.Request, inQuery string) error {
	lines := r.Header[queryHash] // the header has the same spelling
	if len(lines) > 1 || len(lines) == 1 && inQuery != "" {
		return incomplete("The request states the hash of its body more than once.")
	}
	c.PayloadHash = inQuery
	if len(lines) == 1 {
		c.PayloadHash = strings.TrimSpace(lines[0])
	}
	switch {
	case c.PayloadHash == "", c.PayloadHash == UnsignedPayload:
		return nil
	case strings.HasPrefix(c.PayloadHash, streamingHash):
		return apierr.New(apierr.InvalidSignature,
			"The form %.60s of a body, signed in pieces, is for S3 alone; sign the SHA-256 of the whole body", c.PayloadHash)
	}
	if sum, err := hex.DecodeString(c.PayloadHash); err != nil || len(sum) != sha256.Size {
		return apierr.New(apierr.InvalidSignature, "The value of 'x-amz-content-sha256' is no SHA-256 in hexadecimal digits")
	}
	return nil
}

// CheckTime judges the dates of a claim by our clock. The error is an *apierr.Error.
func (c *Claim) CheckTime(now time.Time) error {
	now = now.UTC()
	last := c.Time.Add(MaxSkew)
	if c.Presigned {
		last = c.Time.Add(c.Expires)
	}
	switch {
	case c.Time.After(now.Add(MaxSkew)):
		return apierr.New(apierr.InvalidSignature, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			c.Time.Format(timeForm), now.Add(MaxSkew).Format(timeForm), now.Format(timeForm))
	case now.After(last) && c.Presigned:
		return apierr.New(apierr.InvalidSignature, "Signature expired: %s is now earlier than %s",
			last.Format(timeForm), now.Format(timeForm))
	case now.After(last):
		return apierr.New(apierr.InvalidSignature, "Signature expired: %s is now earlier than %s (%s - 5 min.)",
			c.Time.Format(timeForm), now.Add(-MaxSkew).Format(timeForm), now.Format(timeForm))
	}
	return nil
}

// mismatch is the answer to a signature that is not the one we work out.
func mismatch() error {
	return apierr.New(apierr.InvalidSignature, "The request signature we calculated does not match the signature you provided. "+
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
}

// Verify reports, as nil or an *apierr.Error, whether the holder of secret signed
// the request with a body of the given hash: c.PayloadHash when the request states
// one, otherwise the SHA-256 of what came, in lower-case hexadecimal digits.
// How long it takes does not depend on where signatures differ.
func (c *Claim) Verify(r *http.Request, secret, payloadHash string) error {
	key := signingKey(secret, c.scope)
	query, ok := canonicalQuery(r.URL.RawQuery, c.Presigned)
	if !ok {
		return mismatch()
	}
	path := r.URL.EscapedPath()
	good := 0
	for i, form := range []string{path, normalPath(path)} {
		if i > 0 && form == path {
			break
		}
		good |= c.matches(key, c.canonicalRequest(r, form, query, payloadHash))
	}
	if good != 1 {
		return mismatch()
	}
	return nil
}

// matches is 1 when the claim's signature is that of the canonical request, else 0.
func (c *Claim) matches(key, request []byte) int {
	sum := sha256.Sum256(request)
	text := make([]byte, 0, 256)
	text = append(text, Algorithm+"\n"...)
	text = c.Time.AppendFormat(text, timeForm)
	text = append(append(append(text, '\n'), c.scope...), '\n')
	text = hex.AppendEncode(text, sum[:])
	return subtle.ConstantTimeCompare(mac(key, text), c.signature[:])
}

// signingKey derives the key of a scope, date/region/service/terminator.
func signingKey(secret, scope string) []byte {
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, []byte(part))
	}
	return key
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text) // a hash takes everything
	return h.Sum(nil)
}

// canonicalRequest writes down what is signed of a request.
func (c *Claim) canonicalRequest(r *http.Request, path, query, payloadHash string) []byte {
	b := make([]byte, 0, 1024)
	b = append(append(b, r.Method...), '\n')
	b = append(appendEscaped(b, path, true), '\n')
	b = append(append(b, query...), '\n')
	for _, name := range c.SignedHeaders {
		b = append(append(b, name...), ':')
		for i, value := range headerValues(r, name) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendTrimmed(b, value)
		}
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range c.SignedHeaders {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	return append(append(b, '\n'), payloadHash...)
}

// headerValues returns a header of a received request. net/http takes some of them
// out of the map.
func headerValues(r *http.Request, name string) []string {
	switch name {
	case "host":
		return []string{r.Host}
	case "transfer-encoding":
		return r.TransferEncoding
	}
	values := r.Header[textproto.CanonicalMIMEHeaderKey(name)]
	if name == "content-length" && len(values) == 0 && r.ContentLength >= 0 {
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return values
}

// appendTrimmed appends a value without space at its ends, and one space where
// there are several.
func appendTrimmed(dst []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if value[i] == ' ' && i > 0 && value[i-1] == ' ' {
			continue
		}
		dst = append(dst, value[i])
	}
	return dst
}

// canonicalQuery decodes the parameters of a query, encodes them in the one way
// that is signed, and sorts them. Of a presigned request the signature stays out.
func canonicalQuery(raw string, presigned bool) (string, bool) {
	if raw == "" {
		return "", true
	}
	type parameter struct{ name, value string } // escaped
	var list []parameter
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return "", false
		}
		if presigned && name == querySignature {
			continue
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return "", false
		}
		list = append(list, parameter{string(appendEscaped(nil, name, false)), string(appendEscaped(nil, value, false))})
	}
	slices.SortFunc(list, func(a, b parameter) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	b := make([]byte, 0, len(raw)+16)
	for i, p := range list {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, p.name...), '='), p.value...)
	}
	return string(b), true
}

// appendEscaped appends s with everything escaped that is not unreserved in
// RFC 3986; slashes stay in a path.
func appendEscaped(dst []byte, s string, path bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~', c == '/' && path:
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// normalPath takes empty and dotted elements out of a path. A slash at the end stays.
func normalPath(path string) string {
	var kept []string
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, part)
		}
	}
	out := "/" + strings.Join(kept, "/")
	if strings.HasSuffix(path, "/") && out != "/" {
		out += "/"
	}
	return out
}
