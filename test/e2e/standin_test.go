package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	accessKey = "AKIDSTANDIN"
	secretKey = "stand-in/secret"
	region    = "eu-west-1"
)

// awsEnvironment gives an agent the stand-in's credentials.
var awsEnvironment = []string{"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true"}

// standIn passes for AWS X-Ray: it takes documents whose signature is right, and
// misbehaves as it is told.
type standIn struct {
	address string
	clock   func() time.Time // by which signatures are judged
	// misbehave may answer a PutTraceSegments call in the service's place; it
	// returns false when the call goes its way. refuse may name a code with which a
	// document is left out. n counts calls.
	misbehave func(n int, w http.ResponseWriter) bool
	refuse    func(n int, id string) (code string)

	mu        sync.Mutex
	server    *http.Server
	calls     int
	docs      map[string]int // deliveries, by segment id
	refused   map[string]int
	telemetry int
	unsigned  []string // what was wrong with signatures
}

func newStandIn(t *testing.T) *standIn {
	s := &standIn{address: "127.0.0.1:0", clock: time.Now, docs: map[string]int{}, refused: map[string]int{}}
	s.up(t)
	t.Cleanup(s.down)
	return s
}

func (s *standIn) up(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = ln.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go s.server.Serve(ln)
}

func (s *standIn) down() { s.server.Close() }

// signatureFault signs the request again and compares.
func (s *standIn) signatureFault(r *http.Request, body []byte) string {
	given := r.Header.Get("Authorization")
	_, signed, ok := strings.Cut(given, "SignedHeaders=")
	if !ok {
		return "no signature"
	}
	signed, _, _ = strings.Cut(signed, ",")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "no X-Amz-Date"
	}
	if off := s.clock().Sub(at).Abs(); off > 5*time.Minute {
		return "Signature expired: the clocks differ by " + off.String()
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	for name := range strings.SplitSeq(signed, ";") {
		if name != "host" && name != "content-length" && name != "x-amz-date" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
	if err := v4.NewSigner().SignHTTP(r.Context(), creds, again, hex.EncodeToString(sum[:]), "xray", region, at); err != nil {
		return err.Error()
	}
	if want := again.Header.Get("Authorization"); given != want {
		return fmt.Sprintf("signature %q, want %q", given, want)
	}
	return ""
}

func (s *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", s.clock().UTC().Format(http.TimeFormat))
	if fault := s.signatureFault(r, body); fault != "" {
		s.mu.Lock()
		s.unsigned = append(s.unsigned, r.URL.Path+": "+fault)
		s.mu.Unlock()
		w.Header().Set("x-amzn-errortype", "InvalidSignatureException")
		w.WriteHeader(http.StatusForbidden)
		json.NewEncoder(w).Encode(map[string]string{"message": fault})
		return
	}
	switch r.URL.Path {
	case "/TraceSegments":
		s.put(w, body)
	case "/TelemetryRecords":
		s.mu.Lock()
		s.telemetry++
		s.mu.Unlock()
		io.WriteString(w, "{}")
	case "/GetSamplingRules":
		io.WriteString(w, `{"NextToken":null,"SamplingRuleRecords":[{"CreatedAt":0.0,"ModifiedAt":0.0,"SamplingRule":{"Attributes":{},"FixedRate":0.25,"HTTPMethod":"*","Host":"*","Priority":10000,"ReservoirSize":1,"ResourceARN":"*","RuleARN":"arn:aws:xray:eu-west-1:1:sampling-rule/Default","RuleName":"Default","ServiceName":"*","ServiceType":"*","URLPath":"*","Version":1}}]}`)
	default:
		w.Header().Set("X-Path", r.URL.RequestURI())
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, `{"Message":%q}`, body)
	}
}

func (s *standIn) put(w http.ResponseWriter, body []byte) {
	s.mu.Lock()
	s.calls++
	n := s.calls
	s.mu.Unlock()
	if s.misbehave != nil && s.misbehave(n, w) {
		return
	}
	var in struct{ TraceSegmentDocuments []string }
	if err := json.Unmarshal(body, &in); err != nil || len(in.TraceSegmentDocuments) == 0 || len(in.TraceSegmentDocuments) > 50 {
		w.Header().Set("x-amzn-errortype", "InvalidRequestException")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"Message":"%d documents, %v"}`, len(in.TraceSegmentDocuments), err)
		return
	}
	type unprocessed struct{ ErrorCode, Id, Message string }
	left := []unprocessed{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range in.TraceSegmentDocuments {
		var doc struct{ ID string }
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			left = append(left, unprocessed{"ParseError", "", "Invalid segment. ErrorCode: ParseError"})
			continue
		}
		if s.refuse != nil {
			if code := s.refuse(n, doc.ID); code != "" {
				s.refused[doc.ID]++
				left = append(left, unprocessed{code, doc.ID, "no"})
				continue
			}
		}
		s.docs[doc.ID]++
	}
	json.NewEncoder(w).Encode(map[string]any{"UnprocessedTraceSegments": left})
}

// delivered returns how often each document came.
func (s *standIn) delivered() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.docs)
}
