package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config is everything that can be set for roentgen serve. The table settings
// describes each field.
type Config struct {
	Listen          string
	UDPListen       string
	Insecure        bool
	Hosts           []string
	DataDir         string
	Retention       time.Duration
	DiskBudget      Bytes
	MinFree         Bytes
	Cache           Bytes
	MaxDocument     Bytes
	MaxBody         Bytes
	MaxInFlight     Bytes
	UDPQueue        Bytes
	AWSLimits       bool
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
// "size", "switch", "list" or "text".
func (s *Setting) Unit() string { return s.field(new(Config)).Type() }

// Text returns the setting's value in c, in the form in which it is read.
func (s *Setting) Text(c *Config) string { return s.field(c).String() }

const envPrefix = "ROENTGEN_"

const (
	groupNetwork   = "Network"
	groupStorage   = "Storage"
	groupAdmission = "What is taken in"
	groupLook      = "How it shows itself"
)

// settings is the one place that states the settings, in the order in which
// help, documentation and print-config show them.
var settings = []*Setting{
	{
		Name: "listen", Group: groupNetwork, Default: "127.0.0.1:2000",
		Summary: "address for everything: the X-Ray API over TCP and segments over UDP",
		Detail: "Port 0 takes a free port, the same one for TCP and UDP; the ready line names it. An address that other machines can reach " +
			"needs `insecure`.",
		field: func(c *Config) value { return (*addressValue)(&c.Listen) },
	},
	{
		Name: "udp-listen", Group: groupNetwork, Default: "",
		Summary: `address for segments over UDP when it is not that of listen; "off" takes none`,
		field:   func(c *Config) value { return &textValue{p: &c.UDPListen, kind: "address", check: checkUDPListen} },
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
		field:   func(c *Config) value { return (*bytesValue)(&c.MaxDocument) },
	},
	{
		Name: "max-body", Group: groupAdmission, Default: "64MiB",
		Summary: "largest request body, counted after decompression",
		field:   func(c *Config) value { return (*bytesValue)(&c.MaxBody) },
	},
	{
		Name: "max-in-flight", Group: groupAdmission, Default: "128MiB",
		Summary: "documents on their way into the store; beyond it senders are asked to come back (429)",
		field:   func(c *Config) value { return (*bytesValue)(&c.MaxInFlight) },
	},
	{
		Name: "udp-queue", Group: groupAdmission, Default: "64MiB",
		Summary: "memory for segments that came over UDP and wait for the store; beyond it new ones are dropped and counted",
		field:   func(c *Config) value { return (*bytesValue)(&c.UDPQueue) },
	},
	{
		Name: "aws-limits", Group: groupAdmission, Default: "false",
		Summary: "enforce the quotas of AWS X-Ray with its errors, for tests",
		field:   func(c *Config) value { return (*switchValue)(&c.AWSLimits) },
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

// problem is a value that does not go with the others.
type problem struct {
	setting string // the one to name in the complaint
	err     error
}

// validate checks what single values cannot show.
func (c *Config) validate() *problem {
	for _, a := range []struct{ setting, address string }{{"listen", c.Listen}, {"udp-listen", c.UDPAddress()}} {
		if a.address != "" && !c.Insecure && !isLoopback(a.address) {
			return &problem{a.setting, fmt.Errorf("other machines can reach %s, and Roentgen cannot ask them for a key yet: "+
				"listen on 127.0.0.1, or add --insecure when everyone on that network may read and write all traces", a.address)}
		}
	}
	if c.MaxDocument <= 0 {
		return &problem{"max-document", fmt.Errorf("must be more than 0")}
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

func checkNotEmpty(s string) error {
	if s == "" {
		return errEmpty
	}
	return nil
}

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
