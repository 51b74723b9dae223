package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/roentgen-io/roentgen/internal/config"
)

// Config is what an agent is told. The X-Ray daemon's settings come first, under
// the daemon's names in cfg.yaml; ours are in the section Agent of that file.
type Config struct {
	// The daemon's.
	UDPAddress   string // "": no datagrams
	TCPAddress   string // "": no TCP
	Region       string
	Endpoint     string
	RoleARN      string
	ResourceARN  string
	LocalMode    bool
	NoVerifySSL  bool
	ProxyAddress string
	Concurrency  int // calls at once to each destination; 0: as many as it bears, up to 128
	BufferMB     int // memory for documents that wait for the disk; 0: 4, at least 3
	LogLevel     string
	LogPath      string // "": standard output
	LogRotation  bool

	// Ours.
	UnixSocket   string
	SpoolDir     string
	SpoolSize    int64         // bytes; 0: 1 GiB
	SpoolAge     time.Duration // 0: 7 days
	Hosts        []string      // names under which web browsers may reach the pages
	SamplingFrom string        // the destination that answers the sampling calls and all others; "": the first
	LogFormat    string        // daemon, text or json
	Destinations []Destination // none: AWS X-Ray
	Processing   []RuleConfig

	// spoolElse are folders to take when nobody named one and the first cannot be used.
	spoolElse []string
}

// Destination is one place that documents go to.
type Destination struct {
	Name     string
	Type     string // aws, roentgen or otlp
	Endpoint string // aws: "" for AWS's own; otlp: "" for what OpenTelemetry's variables say
	Region   string // "": that of the agent
	RoleARN  string
	Profile  string // of the shared AWS files
	// Sign says whether requests are signed: "always" (aws); "possible" (aws with an
	// endpoint of its own): when there are credentials; "asked" (roentgen): when the
	// destination asks for it; "never".
	Sign         string
	ProxyAddress string
	NoVerifySSL  bool
	Batch        int // documents in a call; 0: 50 for aws, 200 for others
	BatchBytes   int // bytes of documents in a call; 0: 1 MiB
	Connections  int // calls at once; 0: Concurrency
	Timeout      time.Duration
	CA           string // file with certificates of authorities

	// Of otlp.
	Protocol    string            // grpc or http/protobuf; "": as the endpoint says
	Headers     map[string]string // to send with each call
	Compression string            // gzip or none; "": gzip
	Certificate string            // files, to show to the destination
	Key         string
}

const (
	// TypeAWS destinations are AWS X-Ray, or something that passes for it.
	TypeAWS = "aws"
	// TypeRoentgen destinations are Roentgen servers.
	TypeRoentgen = "roentgen"
	// TypeOTLP destinations take OpenTelemetry spans.
	TypeOTLP = "otlp"

	defaultConcurrency = 128
	defaultTimeout     = 10 * time.Second
	defaultBatchBytes  = 1 << 20
	defaultLinger      = 25 * time.Millisecond
	minBufferMB        = 3
)

// NewDefault returns the settings of an agent that was told nothing.
func NewDefault() *Config {
	return &Config{
		UDPAddress: "127.0.0.1:2000", TCPAddress: "127.0.0.1:2000",
		LogLevel: "prod", LogRotation: true, LogFormat: "daemon",
	}
}

// Paths are where cfg.yaml is looked for when nobody names it.
var Paths = []string{"/etc/amazon/xray/cfg.yaml", "cfg.yaml"}

// FindFile returns the file to read: named, or the first of Paths that is there.
func FindFile(named string) string {
	if named != "" {
		return named
	}
	for _, p := range Paths {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return ""
}

// ReadFile takes over what a cfg.yaml says. What it does not know it reports and
// leaves alone: the file may be of another version of the daemon, and an agent
// that does not start loses everything.
func (c *Config) ReadFile(path string) (warnings []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, err
	}
	r := fileReader{file: path}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	r.section("", doc.Content[0], map[string]setter{
		"TotalBufferSizeMB": r.integer(&c.BufferMB),
		"Concurrency":       r.integer(&c.Concurrency),
		"Region":            r.text(&c.Region),
		"Endpoint":          r.text(&c.Endpoint),
		"Socket": r.in("Socket", map[string]setter{
			"UDPAddress":   r.text(&c.UDPAddress),
			"TCPAddress":   r.text(&c.TCPAddress),
			"BufferSizeKB": r.obsolete("the socket's buffer is as large as the system allows"),
		}),
		"Logging": r.in("Logging", map[string]setter{
			"LogRotation": r.boolean(&c.LogRotation),
			"LogLevel":    r.text(&c.LogLevel),
			"LogPath":     r.text(&c.LogPath),
			"LogFormat":   r.obsolete("the agent's own log formats are in Agent.LogFormat"),
		}),
		"LocalMode":    r.boolean(&c.LocalMode),
		"ResourceARN":  r.text(&c.ResourceARN),
		"RoleARN":      r.text(&c.RoleARN),
		"NoVerifySSL":  r.boolean(&c.NoVerifySSL),
		"ProxyAddress": r.text(&c.ProxyAddress),
		"Version":      r.version(),
		// Keys of the daemon's first versions.
		"LogRotation": r.boolean(&c.LogRotation),
		"MemoryLimit": r.integer(&c.BufferMB),
		"Profile":     r.obsolete("profiles are under /debug/pprof/"),
		"Processor": r.in("Processor", map[string]setter{
			"Region":                  r.text(&c.Region),
			"Endpoint":                r.text(&c.Endpoint),
			"Routine":                 r.integer(&c.Concurrency),
			"BatchSize":               r.obsolete("see Batch in Agent.Destinations"),
			"IdleTimeoutMillisecond":  r.obsolete("batches are sent sooner than that"),
			"MaxIdleConnPerHost":      r.obsolete("connections are kept as they are needed"),
			"RequestTimeout":          r.obsolete("see Timeout in Agent.Destinations"),
			"BatchProcessorQueueSize": r.obsolete("the spool is the queue"),
		}),
		"Agent": r.in("Agent", map[string]setter{
			"UnixSocket":   r.text(&c.UnixSocket),
			"SpoolDir":     r.text(&c.SpoolDir),
			"SpoolSize":    r.bytes(&c.SpoolSize),
			"SpoolAge":     r.duration(&c.SpoolAge),
			"Hosts":        r.decode(&c.Hosts),
			"SamplingFrom": r.text(&c.SamplingFrom),
			"LogFormat":    r.text(&c.LogFormat),
			"Destinations": r.destinations(&c.Destinations),
			"Processing":   r.processing(&c.Processing),
		}),
	})
	return r.warnings, errors.Join(r.errs...)
}

// setter takes over the value of a key.
type setter func(key string, n *yaml.Node)

// fileReader gathers what is wrong with a file.
type fileReader struct {
	file     string
	warnings []string
	errs     []error
}

func (r *fileReader) warn(n *yaml.Node, format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf("%s:%d: %s", r.file, n.Line, fmt.Sprintf(format, args...)))
}

func (r *fileReader) fail(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %s", r.file, n.Line, fmt.Sprintf(format, args...)))
}

// section reads the keys of a mapping. prefix names it in messages.
func (r *fileReader) section(prefix string, n *yaml.Node, known map[string]setter) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s should hold keys with values", strings.TrimSuffix(prefix, "."))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		set, ok := known[key.Value]
		if !ok {
			r.warn(key, "unknown key %s%s, ignored", prefix, key.Value)
			continue
		}
		if value.Kind == yaml.ScalarNode && value.Tag == "!!null" {
			continue // a key without a value is as good as none
		}
		set(prefix+key.Value, value)
	}
}

func (r *fileReader) in(name string, known map[string]setter) setter {
	return func(_ string, n *yaml.Node) { r.section(name+".", n, known) }
}

func (r *fileReader) scalar(key string, n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode {
		r.fail(n, "%s should be a single value", key)
		return false
	}
	return true
}

func (r *fileReader) text(into *string) setter {
	return func(key string, n *yaml.Node) {
		if r.scalar(key, n) {
			*into = n.Value
		}
	}
}

func (r *fileReader) integer(into *int) setter {
	return func(key string, n *yaml.Node) {
		if !r.scalar(key, n) {
			return
		}
		v, err := strconv.Atoi(n.Value)
		if err != nil || v < 0 {
			r.fail(n, "%s is %q; it should be a number of at least 0", key, n.Value)
			return
		}
		*into = v
	}
}

func (r *fileReader) boolean(into *bool) setter {
	return func(key string, n *yaml.Node) {
		if !r.scalar(key, n) {
			return
		}
		var v bool
		if n.Decode(&v) != nil {
			r.fail(n, "%s is %q; it should be true or false", key, n.Value)
			return
		}
		*into = v
	}
}

func (r *fileReader) duration(into *time.Duration) setter {
	return func(key string, n *yaml.Node) {
		if !r.scalar(key, n) {
			return
		}
		v, err := config.ParseDuration(n.Value)
		if err != nil {
			r.fail(n, "%s: %v", key, err)
			return
		}
		*into = v
	}
}

func (r *fileReader) bytes(into *int64) setter {
	return func(key string, n *yaml.Node) {
		if !r.scalar(key, n) {
			return
		}
		v, err := config.ParseBytes(n.Value)
		if err != nil {
			r.fail(n, "%s: %v", key, err)
			return
		}
		*into = int64(v)
	}
}

func (r *fileReader) decode(into any) setter {
	return func(key string, n *yaml.Node) {
		if err := n.Decode(into); err != nil {
			r.fail(n, "%s: %v", key, err)
		}
	}
}

func (r *fileReader) number(into **float64) setter {
	return func(key string, n *yaml.Node) {
		var v float64
		if n.Decode(&v) != nil {
			r.fail(n, "%s is %q; it should be a number", key, n.Value)
			return
		}
		*into = &v
	}
}

func (r *fileReader) obsolete(instead string) setter {
	return func(key string, n *yaml.Node) { r.warn(n, "%s has no effect: %s", key, instead) }
}

func (r *fileReader) version() setter {
	return func(key string, n *yaml.Node) {
		if n.Value != "1" && n.Value != "2" {
			r.warn(n, "%s is %q; the daemon knows 1 and 2, and the file is read as 2", key, n.Value)
		}
	}
}

func (r *fileReader) destinations(into *[]Destination) setter {
	return func(key string, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.fail(n, "%s should be a list", key)
			return
		}
		*into = nil
		for i, item := range n.Content {
			var d Destination
			r.section(fmt.Sprintf("%s[%d].", key, i), item, map[string]setter{
				"Name": r.text(&d.Name), "Type": r.text(&d.Type), "Endpoint": r.text(&d.Endpoint), "Region": r.text(&d.Region),
				"RoleARN": r.text(&d.RoleARN), "Profile": r.text(&d.Profile), "Sign": r.text(&d.Sign),
				"ProxyAddress": r.text(&d.ProxyAddress), "NoVerifySSL": r.boolean(&d.NoVerifySSL),
				"Batch": r.integer(&d.Batch), "Connections": r.integer(&d.Connections), "Timeout": r.duration(&d.Timeout),
				"CA": r.text(&d.CA), "Protocol": r.text(&d.Protocol), "Headers": r.decode(&d.Headers), "Compression": r.text(&d.Compression),
				"Certificate": r.text(&d.Certificate), "Key": r.text(&d.Key),
			})
			*into = append(*into, d)
		}
	}
}

func (r *fileReader) processing(into *[]RuleConfig) setter {
	return func(key string, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			r.fail(n, "%s should be a list", key)
			return
		}
		*into = nil
		for i, item := range n.Content {
			var rule RuleConfig
			field := func(to **FieldConfig) setter {
				return func(key string, n *yaml.Node) {
					f := &FieldConfig{}
					r.section(key+".", n, map[string]setter{
						"Field": r.text(&f.Field), "Pattern": r.text(&f.Pattern), "With": r.text(&f.With), "Key": r.text(&f.Key),
					})
					*to = f
				}
			}
			before := len(r.warnings)
			r.section(fmt.Sprintf("%s[%d].", key, i), item, map[string]setter{
				"Drop": r.text(&rule.Drop), "Keep": r.text(&rule.Keep), "Redact": field(&rule.Redact), "Hash": field(&rule.Hash),
				"Annotate": r.decode(&rule.Annotate), "Sample": r.number(&rule.Sample),
			})
			// A rule half understood may let through what it should hold back.
			for _, w := range r.warnings[before:] {
				r.errs = append(r.errs, errors.New(w))
			}
			r.warnings = r.warnings[:before]
			*into = append(*into, rule)
		}
	}
}

// ParseDestination reads what --to says: "aws", "aws:REGION", the address of a
// Roentgen server, "otlp", or "otlp:" and the address of what takes spans; a name and
// "=" may stand in front.
func ParseDestination(text string) (Destination, error) {
	var d Destination
	rest := text
	if name, after, ok := strings.Cut(text, "="); ok && !strings.ContainsAny(name, ":/") {
		d.Name, rest = name, after
	}
	switch {
	case rest == "aws":
		d.Type = TypeAWS
	case strings.HasPrefix(rest, "aws:") && !strings.HasPrefix(rest, "aws://"):
		d.Type, d.Region = TypeAWS, strings.TrimPrefix(rest, "aws:")
	case strings.HasPrefix(rest, "http://"), strings.HasPrefix(rest, "https://"):
		d.Type, d.Endpoint = TypeRoentgen, rest
	case rest == "otlp":
		d.Type = TypeOTLP
	case strings.HasPrefix(rest, "otlp:") && strings.Contains(rest, "://"):
		d.Type, d.Endpoint = TypeOTLP, strings.TrimPrefix(rest, "otlp:")
	case strings.HasPrefix(rest, "grpc://"), strings.HasPrefix(rest, "grpcs://"):
		d.Type, d.Endpoint = TypeOTLP, rest
	default:
		return d, fmt.Errorf("%q is no destination; write it like aws, aws:eu-west-1, http://roentgen:2000, otlp:http://collector:4318, grpc://collector:4317, or with NAME= in front", text)
	}
	return d, nil
}

// ReadDestinations reads a file that has nothing but a list of Destinations, as the
// section Agent of cfg.yaml has it.
func ReadDestinations(path string) ([]Destination, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := fileReader{file: path}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var list []Destination
	if len(doc.Content) > 0 {
		r.section("", doc.Content[0], map[string]setter{"Destinations": r.destinations(&list)})
	}
	for _, w := range r.warnings {
		r.errs = append(r.errs, errors.New(w))
	}
	return list, errors.Join(r.errs...)
}

// Complete fills in what follows from the rest, and says what is wrong.
func (c *Config) Complete(getenv func(string) string) error {
	if c.BufferMB > 0 {
		c.BufferMB = max(c.BufferMB, minBufferMB)
	}
	if c.SpoolDir == "" {
		c.SpoolDir, c.spoolElse = defaultSpoolDir(getenv)
	}
	if len(c.Destinations) == 0 {
		c.Destinations = []Destination{{Type: TypeAWS}}
	}
	if err := c.completeDestinations(getenv); err != nil {
		return err
	}
	from := slices.IndexFunc(c.Destinations, func(d Destination) bool {
		return d.Name == c.SamplingFrom || c.SamplingFrom == "" && d.Type != TypeOTLP
	})
	switch {
	case from >= 0 && c.Destinations[from].Type == TypeOTLP:
		return fmt.Errorf("the setting SamplingFrom names %q, which takes spans and answers no calls", c.SamplingFrom)
	case from >= 0:
		c.SamplingFrom = c.Destinations[from].Name
	case c.SamplingFrom != "":
		return fmt.Errorf("the setting SamplingFrom names %q, which is none of the destinations", c.SamplingFrom)
	}
	switch c.LogFormat {
	case "daemon", "text", "json":
	default:
		return fmt.Errorf("the log format is %q; there are daemon, text and json", c.LogFormat)
	}
	if _, err := parseLevel(c.LogLevel); err != nil {
		return err
	}
	if _, err := newProcessor(c.Processing); err != nil {
		return err
	}
	if c.UDPAddress == "" && c.TCPAddress == "" && c.UnixSocket == "" {
		return errors.New("no address to take documents at")
	}
	return nil
}

// completeDestinations fills in what follows from the rest, and gives those of the
// same name others.
func (c *Config) completeDestinations(getenv func(string) string) error {
	nameless := make(map[string]int) // by type
	for i := range c.Destinations {
		d := &c.Destinations[i]
		if d.Name == "" {
			nameless[d.kind()]++
		}
	}
	seen := make(map[string]bool)
	for i := range c.Destinations {
		d := &c.Destinations[i]
		if nameless[d.kind()] > 1 {
			d.nameByPlace()
		}
		if err := c.completeDestination(d, getenv); err != nil {
			return err
		}
		base := d.Name
		for n := 2; seen[d.Name]; n++ {
			d.Name = base + "-" + strconv.Itoa(n)
		}
		seen[d.Name] = true
	}
	return nil
}

// kind returns the type, or what it is when nobody says.
func (d *Destination) kind() string {
	switch {
	case d.Type != "":
		return d.Type
	case d.Endpoint != "":
		return TypeRoentgen
	}
	return TypeAWS
}

// nameByPlace names a destination that has no name after where it leads. Its position
// in the spool goes by its name: one that came from its number in the list would be
// another's when the list changes.
func (d *Destination) nameByPlace() {
	switch u, err := url.Parse(d.Endpoint); {
	case d.Name != "":
	case d.Endpoint == "" && d.Type == TypeAWS && d.Region != "":
		d.Name = TypeAWS + ":" + d.Region
	case err == nil && u.Host != "" && len(u.Host) <= 64:
		d.Name = u.Host
	}
}

func (c *Config) completeDestination(d *Destination, getenv func(string) string) error {
	d.Type = d.kind()
	sign := "always"
	batch := 50
	switch d.Type {
	case TypeAWS:
		if d.Endpoint == "" {
			d.Endpoint = c.Endpoint
		}
		if d.RoleARN == "" {
			d.RoleARN = c.RoleARN
		}
		if d.Endpoint != "" {
			sign = "possible"
		}
	case TypeRoentgen:
		if d.Endpoint == "" {
			return fmt.Errorf("the destination %s has no Endpoint", d.Name)
		}
		sign, batch = "asked", 200
	case TypeOTLP:
		sign, batch = "never", 200
		if err := d.completeOTLP(getenv); err != nil {
			return err
		}
	default:
		return fmt.Errorf("the type of the destination %s is %q; there are aws, roentgen and otlp", d.Name, d.Type)
	}
	if d.Endpoint != "" && d.Type != TypeOTLP {
		if _, err := parseEndpoint(d.Endpoint); err != nil {
			return err
		}
	}
	if d.Name == "" {
		d.Name = d.Type
	}
	if d.Type != TypeOTLP && (d.Protocol != "" || d.Headers != nil || d.Compression != "" || d.Certificate != "" || d.Key != "") {
		return fmt.Errorf("the destination %s is none of type otlp, and Protocol, Headers, Compression, Certificate and Key are for these alone", d.Name)
	}
	if strings.ContainsAny(d.Name, "/\"\\\n") || len(d.Name) > 64 {
		return fmt.Errorf("%q is no name for a destination", d.Name)
	}
	if d.Sign == "" {
		d.Sign = sign
	}
	if _, ok := signings[d.Sign]; !ok {
		return fmt.Errorf("the destination %s has Sign %q; there are always, possible, asked and never", d.Name, d.Sign)
	}
	if d.Region == "" {
		d.Region = c.Region
	}
	if d.ProxyAddress == "" {
		d.ProxyAddress = c.ProxyAddress
	}
	d.NoVerifySSL = d.NoVerifySSL || c.NoVerifySSL
	if d.Batch <= 0 {
		d.Batch = batch
	}
	if d.BatchBytes <= 0 {
		d.BatchBytes = defaultBatchBytes
	}
	if d.Connections <= 0 {
		d.Connections = c.Concurrency
	}
	if d.Connections <= 0 {
		d.Connections = defaultConcurrency
	}
	if d.Timeout <= 0 {
		d.Timeout = defaultTimeout
	}
	return nil
}

var signings = map[string]signing{"always": signAlways, "possible": signIfPossible, "asked": signAsked, "never": signNever}

// options returns what is needed to reach a destination.
func (d *Destination) options(localMode bool, getenv func(string) string) awsOptions {
	return awsOptions{
		endpoint: d.Endpoint, region: d.Region, roleARN: d.RoleARN, profile: d.Profile, localMode: localMode, sign: signings[d.Sign],
		proxy: d.ProxyAddress, noVerify: d.NoVerifySSL, ownKeys: d.Type == TypeRoentgen, ca: d.CA, getenv: getenv,
	}
}

// defaultSpoolDir follows systemd and then the XDG base directories. The X-Ray
// daemon needed no folder, and its user may have none: whoever puts the agent in its
// place should not have to give it one before it starts. So there are others.
func defaultSpoolDir(getenv func(string) string) (dir string, others []string) {
	if dir := getenv("STATE_DIRECTORY"); dir != "" {
		dir, _, _ = strings.Cut(dir, ":")
		return dir, nil
	}
	if dir := getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "roentgen-agent"), nil
	}
	const system = "/var/lib/roentgen-agent"
	own := "roentgen-agent-" + strconv.Itoa(os.Getuid())
	others = []string{filepath.Join("/var/tmp", own), filepath.Join(os.TempDir(), own)}
	if home := getenv("HOME"); home != "" && home != "/" {
		return filepath.Join(home, ".local", "state", "roentgen-agent"), append([]string{system}, others...)
	}
	return system, others
}

// spoolFolders are those of the spool, in the order in which they are tried.
func (c *Config) spoolFolders() []string {
	list := []string{filepath.Join(c.SpoolDir, c.spoolName())}
	for _, dir := range c.spoolElse {
		list = append(list, filepath.Join(dir, c.spoolName()))
	}
	return list
}

// forbidden reports whether an error says that a folder cannot be used by this user.
func forbidden(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// ownFolder makes a folder in a place where others may make folders too, or sees that
// the one that is there is ours alone: only its owner can change who may use it.
func ownFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "use", Path: dir, Err: fs.ErrPermission}
	}
	return os.Chmod(dir, 0o700)
}

// spoolName is the part of the spool's folder that belongs to one bind address, so
// that several agents on a machine do not meet.
func (c *Config) spoolName() string {
	address := c.UDPAddress
	if address == "" {
		address = c.TCPAddress
	}
	if address == "" {
		address = c.UnixSocket
	}
	name := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, address)
	return name
}

// PagesURL returns where an agent of these settings answers on its own machine.
func (c *Config) PagesURL() string {
	host, port, err := net.SplitHostPort(c.TCPAddress)
	if err != nil {
		return "http://" + c.TCPAddress
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Level returns the log level. A completed Config has a right one.
func (c *Config) Level() slog.Level {
	level, err := parseLevel(c.LogLevel)
	if err != nil {
		return slog.LevelInfo
	}
	return level
}

// WriteYAML writes the settings as a cfg.yaml, without secrets.
func (c *Config) WriteYAML(w io.Writer) error {
	type section = map[string]any
	destinations := []section{}
	for _, d := range c.Destinations {
		destinations = append(destinations, section{
			"Name": d.Name, "Type": d.Type, "Endpoint": withoutPassword(d.Endpoint), "Region": d.Region, "RoleARN": d.RoleARN, "Profile": d.Profile, "Sign": d.Sign,
			"ProxyAddress": withoutPassword(d.ProxyAddress), "NoVerifySSL": d.NoVerifySSL, "Batch": d.Batch, "Connections": d.Connections, "Timeout": d.Timeout.String(),
			"CA": d.CA,
		})
		if d.Type == TypeOTLP {
			headers := section{}
			for name := range d.Headers {
				headers[name] = "(hidden)" // many are secrets
			}
			last := destinations[len(destinations)-1]
			last["Protocol"], last["Headers"], last["Compression"], last["Certificate"], last["Key"] = d.Protocol, headers, d.Compression, d.Certificate, d.Key
		}
	}
	rules := []section{}
	for _, r := range c.Processing {
		field := func(f *FieldConfig) section {
			s := section{"Field": f.Field, "Pattern": f.Pattern}
			if f.With != "" {
				s["With"] = f.With
			}
			if f.Key != "" {
				s["Key"] = "(hidden)"
			}
			return s
		}
		switch {
		case r.Drop != "":
			rules = append(rules, section{"Drop": r.Drop})
		case r.Keep != "":
			rules = append(rules, section{"Keep": r.Keep})
		case r.Redact != nil:
			rules = append(rules, section{"Redact": field(r.Redact)})
		case r.Hash != nil:
			rules = append(rules, section{"Hash": field(r.Hash)})
		case r.Annotate != nil:
			rules = append(rules, section{"Annotate": r.Annotate})
		case r.Sample != nil:
			rules = append(rules, section{"Sample": *r.Sample})
		}
	}
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	return errors.Join(e.Encode(section{
		"TotalBufferSizeMB": c.BufferMB, "Concurrency": c.Concurrency, "Region": c.Region, "Endpoint": withoutPassword(c.Endpoint),
		"Socket":    section{"UDPAddress": c.UDPAddress, "TCPAddress": c.TCPAddress},
		"Logging":   section{"LogRotation": c.LogRotation, "LogLevel": c.LogLevel, "LogPath": c.LogPath},
		"LocalMode": c.LocalMode, "ResourceARN": c.ResourceARN, "RoleARN": c.RoleARN, "NoVerifySSL": c.NoVerifySSL,
		"ProxyAddress": withoutPassword(c.ProxyAddress), "Version": 2,
		"Agent": section{
			"UnixSocket": c.UnixSocket, "SpoolDir": c.SpoolDir, "SpoolSize": config.Bytes(c.SpoolSize).String(), "SpoolAge": c.SpoolAge.String(),
			"Hosts": c.Hosts, "SamplingFrom": c.SamplingFrom, "LogFormat": c.LogFormat, "Destinations": destinations, "Processing": rules,
		},
	}), e.Close())
}

// withoutPassword hides the password in an address.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	return u.Redacted()
}
