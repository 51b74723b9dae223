package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config is everything that can be set for roentgen serve. The table settings
// describes each field.
type Config struct {
	Listen           string
	UDPListen        string
	UDPAllow         []netip.Prefix
	OTLPGRPC         string
	OTLPHTTP         string
	Insecure         bool
	Hosts            []string
	Keys             string
	UnsignedSampling bool
	KeyDocuments     int
	KeyBytes         Bytes
	SessionIdle      time.Duration
	SessionMax       time.Duration
	TLSCert          string
	TLSKey           string
	DataDir          string
	Retention        time.Duration
	DiskBudget       Bytes
	MinFree          Bytes
	Cache            Bytes
	MaxDocument      Bytes
	MaxBody          Bytes
	MaxInFlight      Bytes
	UDPQueue         Bytes
	OTLPIndexed      []string
	OTLPIndexAll     bool
	OTLPLogGroups    []string
	AWSLimits        bool
	Forward          []string
	ForwardFile      string
	ForwardSize      Bytes
	ForwardAge       time.Duration

	// Limits of single quantities; at its default each gives way to AWSLimits.
	MaxDocuments    int
	MaxDocumentRate int
	MaxTraceBytes   Bytes
	MaxAnnotations  int
	MaxTraceIDs     int
	MaxGraphWindow  time.Duration
	MaxGraphNodes   int
	MaxGroups       int
	MaxRules        int

	Region          string
	Account         string
	LogLevel        string
	LogFormat       string
	ShutdownTimeout time.Duration
}

// Setting describes one field of Config.
type Setting struct {
	Name       string // of the flag and of the YAML key
	Group      string // heading in the documentation
	Default    string // text form
	AWS        string // text form of the quota that aws-limits puts in place of the default, or ""
	Reloadable bool   // a running server takes a change over on SIGHUP
	Summary    string // one sentence without a full stop, for help and print-config
	Detail     string // further sentences for the documentation, or ""

	field func(c *Config) value
}

// Env returns the name of the setting's environment variable.
func (s *Setting) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Unit returns what kind of value the setting takes: "address", "duration",
// "size", "number", "switch", "list" or "text".
func (s *Setting) Unit() string { return s.field(new(Config)).Type() }

// Text returns the setting's value in c, in the form in which it is read.
func (s *Setting) Text(c *Config) string { return s.field(c).String() }

// quota returns the quota of AWS that holds in c in place of the setting's default,
// or "".
func (s *Setting) quota(c *Config) string {
	if !c.AWSLimits || s.Text(c) != s.Text(standard) {
		return ""
	}
	return s.AWS
}

// InForce returns c with the quotas of AWS in place of the defaults that give way to
// them.
func (c *Config) InForce() *Config {
	in := *c
	for _, s := range settings {
		if quota := s.quota(c); quota != "" {
			if err := s.field(&in).Set(quota); err != nil {
				panic("config: the quota of " + s.Name + ": " + err.Error())
			}
		}
	}
	return &in
}

// The ports that OpenTelemetry names, on loopback.
const (
	DefaultOTLPGRPC = "127.0.0.1:4317"
	DefaultOTLPHTTP = "127.0.0.1:4318"
)

// How long sessions of the page last.
const (
	DefaultSessionIdle = "8h"
	DefaultSessionMax  = "7d"
)

const envPrefix = "ROENTGEN_"

const (
	groupNetwork   = "Network"
	groupAccess    = "Who may ask"
	groupStorage   = "Storage"
	groupAdmission = "What is taken in"
	groupForward   = "Passing on"
	groupLimits    = "Limits"
	groupLook      = "How it shows itself"
)

// settings is the one place that states the settings, in the order in which
// help, documentation and print-config show them.
var settings = []*Setting{
	{
		Name: "listen", Group: groupNetwork, Default: "127.0.0.1:2000",
		Summary: "address for everything: the X-Ray API over TCP and segments over UDP",
		Detail: "Port 0 takes a free port, the same one for TCP and UDP; the ready line names it. An address that other machines can reach " +
			"needs `keys` or `insecure`.",
		field: func(c *Config) value { return (*addressValue)(&c.Listen) },
	},
	{
		Name: "udp-listen", Group: groupNetwork, Default: "",
		Summary: `address for segments over UDP when it is not that of listen; "off" takes none`,
		field:   func(c *Config) value { return &textValue{p: &c.UDPListen, kind: "address", check: checkUDPListen} },
	},
	{
		Name: "udp-allow", Group: groupNetwork, Default: "",
		Summary: "networks that may send segments over UDP, separated by commas, such as 10.0.0.0/8",
		Detail: "Datagrams cannot be signed. Without this list a server with `keys` takes them from its own machine alone, and any other server from " +
			"everywhere that can reach it. What others send is dropped and counted.",
		field: func(c *Config) value { return (*networksValue)(&c.UDPAllow) },
	},
	{
		Name: "otlp-grpc", Group: groupNetwork, Default: DefaultOTLPGRPC,
		Summary: `address for OpenTelemetry spans over gRPC; "" or "off" takes none there`,
		Detail: "This port and that of `otlp-http` take spans over HTTP and over gRPC, and nothing else; the address of `listen` takes them too. " +
			"When the default is taken by another program, the server says so and starts without it.",
		field: func(c *Config) value { return &textValue{p: &c.OTLPGRPC, kind: "address", check: checkOptionalAddress} },
	},
	{
		Name: "otlp-http", Group: groupNetwork, Default: DefaultOTLPHTTP,
		Summary: `address for OpenTelemetry spans over HTTP; "" or "off" takes none there`,
		field:   func(c *Config) value { return &textValue{p: &c.OTLPHTTP, kind: "address", check: checkOptionalAddress} },
	},
	{
		Name: "insecure", Group: groupNetwork, Default: "false",
		Summary: "allow addresses that other machines can reach, although nobody has to prove who they are",
		Detail:  "Whoever reaches the port can then read and write every trace. Keep it to a network that you trust.",
		field:   func(c *Config) value { return (*switchValue)(&c.Insecure) },
	},
	{
		Name: "hosts", Group: groupNetwork, Default: "",
		Summary: "further names that clients may call this server by, separated by commas",
		Detail: "Requests for a Host that is neither an IP address nor localhost nor in this list are refused, because a web page could " +
			"otherwise reach the server under a name of its own (DNS rebinding); only the operations of the X-Ray API and the health probes are open under any name, to clients that are no browsers; a Prometheus that scrapes by name needs that name here. " +
			"`*.example.com` stands for all names below example.com.",
		field: func(c *Config) value { return (*listValue)(&c.Hosts) },
	},
	{
		Name: "tls-cert", Group: groupNetwork, Default: "",
		Summary: "file with the certificate, and its chain, to speak TLS with (PEM)",
		Detail: "The port then speaks TLS alone, HTTP/2 and HTTP/1.1. The file, and that of `tls-key`, is read again when it changes. " +
			"X-Ray SDKs ask for sampling rules without TLS; an agent beside them does it for them.",
		field: func(c *Config) value { return &textValue{p: &c.TLSCert, kind: "file", check: anyText} },
	},
	{
		Name: "tls-key", Group: groupNetwork, Default: "",
		Summary: "file with the private key of tls-cert (PEM)",
		field:   func(c *Config) value { return &textValue{p: &c.TLSKey, kind: "file", check: anyText} },
	},
	{
		Name: "keys", Group: groupAccess, Default: "",
		Summary: "file with access keys; with it every request has to be signed by one of them",
		Detail: "`roentgen key create` makes the file. It is read again when it changes. [security.md](security.md) tells how requests are signed, " +
			"and which role each of them needs.",
		field: func(c *Config) value { return &textValue{p: &c.Keys, kind: "file", check: anyText} },
	},
	{
		Name: "unsigned-sampling", Group: groupAccess, Default: "false",
		Summary: "let SDKs ask for sampling rules and targets without a key, since they cannot sign",
		Detail:  "Whoever reaches the port can then read the sampling rules, and report requests that nobody made.",
		field:   func(c *Config) value { return (*switchValue)(&c.UnsignedSampling) },
	},
	{
		Name: "key-documents-per-second", Group: groupAccess, Default: "0",
		Summary: "segment documents a second that one key may send over HTTP; 0 sets no bound",
		Detail:  "Beyond it `PutTraceSegments` answers `ThrottledException`. A key's own limit, in the file of keys, goes before.",
		field:   func(c *Config) value { return (*numberValue)(&c.KeyDocuments) },
	},
	{
		Name: "key-bytes-per-second", Group: groupAccess, Default: "0",
		Summary: "bytes of segment documents a second that one key may send over HTTP; 0 sets no bound",
		field:   func(c *Config) value { return (*bytesValue)(&c.KeyBytes) },
	},
	{
		Name: "session-idle", Group: groupAccess, Default: DefaultSessionIdle,
		Summary: "time without a request after which a session of the page ends",
		Detail:  "A page in front asks every few seconds; one in the background, or a closed one, does not.",
		field:   func(c *Config) value { return (*durationValue)(&c.SessionIdle) },
	},
	{
		Name: "session-max", Group: groupAccess, Default: DefaultSessionMax,
		Summary: "age at which a session of the page ends, however much it is used",
		Detail:  "The page asks for the key again, in place. Sessions end with their key, too, and when the server restarts.",
		field:   func(c *Config) value { return (*durationValue)(&c.SessionMax) },
	},
	{
		Name: "data-dir", Group: groupStorage, Default: "./roentgen-data",
		Summary: "folder that keeps all data, made when it does not exist",
		field:   func(c *Config) value { return &textValue{p: &c.DataDir, kind: "text", check: checkNotEmpty} },
	},
	{
		Name: "retention", Group: groupStorage, Default: "30d",
		Summary: "age, counted from arrival, after which traces go; 0 keeps them",
		field:   func(c *Config) value { return (*durationValue)(&c.Retention) },
	},
	{
		Name: "disk-budget", Group: groupStorage, Default: "0",
		Summary: "size of the data folder beyond which the oldest traces go; 0 sets no bound",
		field:   func(c *Config) value { return (*bytesValue)(&c.DiskBudget) },
	},
	{
		Name: "min-free", Group: groupStorage, Default: "256MiB",
		Summary: "documents are refused (503) while less than this is free on the data folder's volume",
		field:   func(c *Config) value { return (*bytesValue)(&c.MinFree) },
	},
	{
		Name: "cache", Group: groupStorage, Default: "32MiB",
		Summary: "memory for stored blocks that were read lately",
		field:   func(c *Config) value { return (*bytesValue)(&c.Cache) },
	},
	{
		Name: "max-document", Group: groupAdmission, Default: "16MiB",
		Summary: "largest segment document",
		AWS:     "128KiB",
		Detail:  "AWS says 64 KB, and takes more.", // it was seen to take 66,000 characters
		field:   func(c *Config) value { return (*bytesValue)(&c.MaxDocument) },
	},
	{
		Name: "max-body", Group: groupAdmission, Default: "64MiB",
		Summary: "largest request body, counted after decompression",
		AWS:     "8MiB",
		field:   func(c *Config) value { return (*bytesValue)(&c.MaxBody) },
	},
	{
		Name: "max-in-flight", Group: groupAdmission, Default: "128MiB",
		Summary: "request bodies and documents on their way into the store; beyond it senders are asked to come back (429)",
		field:   func(c *Config) value { return (*bytesValue)(&c.MaxInFlight) },
	},
	{
		Name: "udp-queue", Group: groupAdmission, Default: "64MiB",
		Summary: "memory for segments that came over UDP and wait for the store; beyond it new ones are dropped and counted",
		field:   func(c *Config) value { return (*bytesValue)(&c.UDPQueue) },
	},
	{
		Name: "otlp-indexed-attributes", Group: groupAdmission, Default: "",
		Summary: "attributes of OpenTelemetry spans that become annotations rather than metadata, separated by commas",
		Detail: "Those of the resource are named with `otel.resource.` before them. Every plain attribute of a span can be searched for anyway; annotations are in the " +
			"document, too, and come first in summaries. The option `indexed_attributes` of the Collector's exporter does the same. When this setting or one of the next two is not what it was, " +
			"the views of what is stored are derived again at the start.",
		field: func(c *Config) value { return (*namesValue)(&c.OTLPIndexed) },
	},
	{
		Name: "otlp-index-all-attributes", Group: groupAdmission, Default: "false",
		Summary: "make annotations of all attributes of spans and resources that no other part of the document takes",
		Detail:  "This is `index_all_attributes` of the Collector's exporter: resource attributes can be searched for as `otel.resource.NAME` then.",
		field:   func(c *Config) value { return (*switchValue)(&c.OTLPIndexAll) },
	},
	{
		Name: "otlp-log-groups", Group: groupAdmission, Default: "",
		Summary: "names of the log groups that spans belong to whose resource names none, separated by commas",
		Detail:  "They stand in `aws.cloudwatch_logs` of the segments; `aws_log_groups` of the Collector's exporter.",
		field:   func(c *Config) value { return (*namesValue)(&c.OTLPLogGroups) },
	},
	{
		Name: "forward", Group: groupForward, Default: "",
		Summary: "where to pass on everything that is received, separated by commas: a Roentgen server, aws:REGION, otlp:http://HOST:4318 or grpc://HOST:4317",
		Detail: "A name and `=` may stand in front of each. Documents and spans are passed on once they are durable here; they wait in the folder `forward` of the data folder while a destination " +
			"is away. Imported history is not passed on. [agent.md](agent.md) tells what destinations there are, and how they are told who sends.",
		field: func(c *Config) value { return (*forwardValue)(&c.Forward) },
	},
	{
		Name: "forward-file", Group: groupForward, Default: "",
		Summary: "YAML file with further destinations, under the key Destinations as in an agent's cfg.yaml",
		Detail:  "For what an address cannot say: headers, certificates, roles, batches.",
		field:   func(c *Config) value { return &textValue{p: &c.ForwardFile, kind: "file", check: anyText} },
	},
	{
		Name: "forward-size", Group: groupForward, Default: "1GiB",
		Summary: "disk space for what waits to be passed on; beyond it the oldest goes, and is counted",
		field:   func(c *Config) value { return (*bytesValue)(&c.ForwardSize) },
	},
	{
		Name: "forward-age", Group: groupForward, Default: "7d",
		Summary: "how long it may wait to be passed on; what is older goes, and is counted",
		field:   func(c *Config) value { return (*durationValue)(&c.ForwardAge) },
	},
	{
		Name: "aws-limits", Group: groupLimits, Default: "false",
		Summary: "enforce the quotas of AWS X-Ray with its errors, for tests",
		Detail: "A setting of this section, `max-document` or `max-body` that is not at its default stays as it is set. " +
			"Arrays of documents are refused, and questions about insights older than 30 days.",
		field: func(c *Config) value { return (*switchValue)(&c.AWSLimits) },
	},
	{
		Name: "max-documents", Group: groupLimits, Default: "10000",
		Summary: "documents in a call of PutTraceSegments",
		AWS:     "50",
		field:   func(c *Config) value { return (*numberValue)(&c.MaxDocuments) },
	},
	{
		Name: "max-document-rate", Group: groupLimits, Default: "0",
		Summary: "documents a second in all calls of PutTraceSegments, beyond it senders are throttled (429); 0 sets no bound",
		AWS:     "2600",
		field:   func(c *Config) value { return (*numberValue)(&c.MaxDocumentRate) },
	},
	{
		Name: "max-trace-bytes", Group: groupLimits, Default: "0",
		Summary: "size of the documents of one trace; further ones are refused; 0 sets no bound",
		AWS:     "500KiB", // it always takes 100 KB, and 500 KB at times
		field:   func(c *Config) value { return (*bytesValue)(&c.MaxTraceBytes) },
	},
	{
		Name: "max-annotations", Group: groupLimits, Default: "0",
		Summary: "annotations of a trace that summaries show and filters find; 0 sets no bound",
		AWS:     "50",
		field:   func(c *Config) value { return (*numberValue)(&c.MaxAnnotations) },
	},
	{
		Name: "max-trace-ids", Group: groupLimits, Default: "100",
		Summary: "trace ids in a call of BatchGetTraces or GetTraceGraph",
		AWS:     "5",
		Detail:  "For GetTraceGraph it is 1 then.",
		field:   func(c *Config) value { return (*numberValue)(&c.MaxTraceIDs) },
	},
	{
		Name: "max-graph-window", Group: groupLimits, Default: "0",
		Summary: "window of GetServiceGraph and GetTimeSeriesServiceStatistics; 0 sets no bound",
		AWS:     "6h",
		field:   func(c *Config) value { return (*durationValue)(&c.MaxGraphWindow) },
	},
	{
		Name: "max-graph-nodes", Group: groupLimits, Default: "10000",
		Summary: "nodes in an answer of GetServiceGraph, the busiest, and three times as many edges",
		Detail:  "Others are left out, which the header X-Roentgen-Graph-Cut tells.",
		field:   func(c *Config) value { return (*numberValue)(&c.MaxGraphNodes) },
	},
	{
		Name: "max-groups", Group: groupLimits, Default: "0",
		Summary: "groups beside the Default one; 0 sets no bound",
		AWS:     "25",
		field:   func(c *Config) value { return (*numberValue)(&c.MaxGroups) },
	},
	{
		Name: "max-rules", Group: groupLimits, Default: "0",
		Summary: "sampling rules beside the Default one; 0 sets no bound",
		AWS:     "25",
		field:   func(c *Config) value { return (*numberValue)(&c.MaxRules) },
	},
	{
		Name: "region", Group: groupLook, Default: "us-east-1",
		Summary: "AWS region in the ARNs that the API gives out",
		field: func(c *Config) value {
			return &textValue{p: &c.Region, kind: "text", check: checkPattern(`[a-z0-9]+(-[a-z0-9]+)*`, "is no region; write one such as eu-central-1")}
		},
	},
	{
		Name: "account", Group: groupLook, Default: "000000000000",
		Summary: "AWS account number in the ARNs that the API gives out",
		field: func(c *Config) value {
			return &textValue{p: &c.Account, kind: "text", check: checkPattern(`[0-9]{12}`, "is no account number; write its 12 digits")}
		},
	},
	{
		Name: "log-level", Group: groupLook, Default: "info", Reloadable: true,
		Summary: "least important messages to log: debug, info, warn or error",
		field: func(c *Config) value {
			return &textValue{p: &c.LogLevel, kind: "text", check: checkOneOf("debug", "info", "warn", "error")}
		},
	},
	{
		Name: "log-format", Group: groupLook, Default: "text",
		Summary: "form of the log on standard error: text or json",
		field: func(c *Config) value {
			return &textValue{p: &c.LogFormat, kind: "text", check: checkOneOf("text", "json")}
		},
	},
	{
		Name: "shutdown-timeout", Group: groupLook, Default: "10s",
		Summary: "time to finish what is under way after SIGTERM or SIGINT; a second signal ends the process at once",
		field:   func(c *Config) value { return (*durationValue)(&c.ShutdownTimeout) },
	},
}

// Settings returns the settings in the order of the documentation. The caller
// must not change them.
func Settings() []*Setting { return settings }

func find(name string) *Setting {
	for _, s := range settings {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// NewDefault returns the configuration of a server that was told nothing.
func NewDefault() *Config {
	c := new(Config)
	for _, s := range settings {
		if err := s.set(c, s.Default); err != nil {
			panic(fmt.Sprintf("config: default of %s: %v", s.Name, err))
		}
	}
	return c
}

// standard is what holds where nothing is set. It is never changed.
var standard = NewDefault()

// set reads text into the setting's field of c. The empty text is the default
// of some settings, which is why it is not checked for those.
func (s *Setting) set(c *Config, text string) error {
	if text == "" && s.Default == "" {
		return s.field(c).Set("")
	}
	return s.field(c).Set(text)
}

// UDPAddress returns the address for segments over UDP, "" when none are taken.
func (c *Config) UDPAddress() string {
	switch c.UDPListen {
	case "":
		return c.Listen
	case "off":
		return ""
	}
	return c.UDPListen
}

var loopbackNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// UDPNetworks returns the networks that may send datagrams, nil for all.
func (c *Config) UDPNetworks() []netip.Prefix {
	if len(c.UDPAllow) == 0 && c.Keys != "" {
		return loopbackNetworks
	}
	return c.UDPAllow
}

// Forwards reports whether anything is to be passed on.
func (c *Config) Forwards() bool { return len(c.Forward) > 0 || c.ForwardFile != "" }

// minForwardSize is the least that the spool of what is passed on works with.
const minForwardSize = 4 << 20

// problem is a value that does not go with the others.
type problem struct {
	setting string // the one to name in the complaint
	err     error
}

// validate checks what single values cannot show.
func (c *Config) validate() *problem {
	for _, a := range []struct{ setting, address string }{{"listen", c.Listen}, {"udp-listen", c.UDPAddress()}, {"otlp-grpc", c.OTLPGRPC}, {"otlp-http", c.OTLPHTTP}} {
		if a.address != "" && a.address != "off" && !c.Insecure && c.Keys == "" && !isLoopback(a.address) {
			return &problem{a.setting, fmt.Errorf("other machines can reach %s, and nobody has to prove who they are: "+
				"listen on 127.0.0.1, add --keys FILE (roentgen key create makes it), "+
				"or add --insecure when everyone on that network may read and write all traces", a.address)}
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		setting, other := "tls-cert", "tls-key"
		if c.TLSCert == "" {
			setting, other = other, setting
		}
		return &problem{setting, fmt.Errorf("it takes both a certificate and its key; add --%s", other)}
	}
	if c.Keys == "" {
		for _, s := range []struct {
			setting string
			set     bool
		}{{"unsigned-sampling", c.UnsignedSampling}, {"key-documents-per-second", c.KeyDocuments != 0}, {"key-bytes-per-second", c.KeyBytes != 0}} {
			if s.set {
				return &problem{s.setting, errors.New("means nothing without keys; add --keys FILE")}
			}
		}
	}
	if c.SessionIdle <= 0 {
		return &problem{"session-idle", errors.New("must be more than 0")}
	}
	if c.SessionMax < c.SessionIdle {
		return &problem{"session-max", fmt.Errorf("%s is less than session-idle (%s)", FormatDuration(c.SessionMax), FormatDuration(c.SessionIdle))}
	}
	if c.ForwardSize < minForwardSize {
		return &problem{"forward-size", fmt.Errorf("must be at least %v", Bytes(minForwardSize))}
	}
	if c.ForwardAge <= 0 {
		return &problem{"forward-age", fmt.Errorf("must be more than 0")}
	}
	if c.MaxDocument <= 0 {
		return &problem{"max-document", fmt.Errorf("must be more than 0")}
	}
	if c.MaxDocuments < 1 {
		return &problem{"max-documents", fmt.Errorf("must be more than 0")}
	}
	if c.MaxTraceIDs < 1 {
		return &problem{"max-trace-ids", fmt.Errorf("must be more than 0")}
	}
	if c.MaxBody < c.MaxDocument {
		return &problem{"max-body", fmt.Errorf("%v is less than max-document (%v): such a document could never arrive", c.MaxBody, c.MaxDocument)}
	}
	if c.MaxInFlight < c.MaxBody {
		return &problem{"max-in-flight", fmt.Errorf("%v is less than max-body (%v): a body of that size would always be refused", c.MaxInFlight, c.MaxBody)}
	}
	if c.UDPQueue < 1<<20 {
		return &problem{"udp-queue", fmt.Errorf("%v is too little; give it 1MiB or more", c.UDPQueue)}
	}
	if c.ShutdownTimeout <= 0 {
		return &problem{"shutdown-timeout", fmt.Errorf("must be more than 0")}
	}
	if c.Retention != 0 && c.Retention < time.Minute {
		return &problem{"retention", fmt.Errorf("%s is too short; give it a minute or more, or 0 to keep everything", FormatDuration(c.Retention))}
	}
	return nil
}

func checkUDPListen(s string) error {
	if s == "" || s == "off" {
		return nil
	}
	if err := checkAddress(s); err != nil {
		return fmt.Errorf(`%w, "off", or "" for the address of listen`, err)
	}
	return nil
}

func checkOptionalAddress(s string) error {
	if s == "" || s == "off" {
		return nil
	}
	if err := checkAddress(s); err != nil {
		return fmt.Errorf(`%w, "off" or ""`, err)
	}
	return nil
}

func checkNotEmpty(s string) error {
	if s == "" {
		return errEmpty
	}
	return nil
}

func anyText(string) error { return nil }

func checkOneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			last := len(words) - 1
			return fmt.Errorf("%q is none of %s and %s", s, strings.Join(words[:last], ", "), words[last])
		}
		return nil
	}
}

func checkPattern(pattern, complaint string) func(string) error {
	re := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
	return func(s string) error {
		if !re.MatchString(s) {
			return fmt.Errorf("%q %s", s, complaint)
		}
		return nil
	}
}

func checkHost(s string) error {
	if _, _, err := net.SplitHostPort(s); err == nil {
		return fmt.Errorf("%q has a port; write the name alone", s)
	}
	if name := strings.TrimPrefix(s, "*."); name == "" || strings.ContainsAny(name, "/: \t*") {
		return fmt.Errorf("%q is no host name; write one such as traces.example.com", s)
	}
	return nil
}
