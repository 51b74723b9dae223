package otlp

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/roentgen-io/roentgen/segment"
)

// Mapping says how spans become segments. The zero value is how Roentgen does it;
// the fields are the options of the collector's exporter.
type Mapping struct {
	// Indexed names attributes that become annotations rather than metadata: those
	// of the span by their name, those of the resource with "otel.resource." before it.
	Indexed []string
	// IndexAll makes annotations of all attributes that no block of the document took.
	IndexAll bool
	// LogGroups are the log groups of a resource that names none.
	LogGroups []string
}

// IsZero reports whether m is the zero Mapping.
func (m *Mapping) IsZero() bool { return len(m.Indexed) == 0 && !m.IndexAll && len(m.LogGroups) == 0 }

const (
	namespaceAWS    = "aws"
	namespaceRemote = "remote"
	maxSpanName     = 200 // bytes
	maxNameRunes    = 200
)

// role says which of the segments that a span may become is made.
type role uint8

const (
	roleSpan    role = iota // the only one
	roleService             // the service that the span began
	roleCall                // the call that the span is, inside of the service
)

// maker is the state of one call of Segment.
type maker struct {
	*Mapping
	src  *Source
	s    *Span
	full bool

	at     [keyCount]int32 // index of the attribute, from 1; 0: there is none
	keys   []key           // of the attributes
	room   [32]key
	names  []string  // that the span wants as annotations
	marked bool      // it calls itself a local root
	first  bool      // nothing of this service stands above it
	times  *[]uint64 // where ExceptionTimes wants those of exceptions; else nil
}

// makers are makers that were used: they are large, and one is needed for every span.
var makers = sync.Pool{New: func() any { return new(maker) }}

// Segment returns the segment that a span becomes: with a subsegment in it when it
// is a call that nothing of its service stands above. Strings of the result refer
// to the bytes of span and source. Without full, what only readers of whole
// documents look at is left out: metadata and stacks.
func (m *Mapping) Segment(src *Source, s *Span, full bool) *segment.Segment {
	mk := makers.Get().(*maker)
	defer func() {
		*mk = maker{} // let go of the span
		makers.Put(mk)
	}()
	mk.Mapping, mk.src, mk.s, mk.full = m, src, s, full
	mk.look()
	call := s.Kind != KindServer && s.Kind != KindInternal
	if mk.marked && call || !mk.marked && mk.begins() && (s.Kind == KindClient || s.Kind == KindProducer) {
		service, sub := mk.segment(roleService), mk.segment(roleCall)
		service.Subsegments = []*segment.Segment{sub}
		return service
	}
	return mk.segment(roleSpan)
}

// Segments returns what Segment does with nothing nested: a subsegment is a
// document of its own, in front of its segment.
func (m *Mapping) Segments(src *Source, s *Span) []*segment.Segment {
	seg := m.Segment(src, s, true)
	if len(seg.Subsegments) == 0 {
		return []*segment.Segment{seg}
	}
	sub := seg.Subsegments[0]
	sub.Kind, sub.TraceID = segment.KindSubsegment, seg.TraceID
	sub.ParentID, sub.HasParent = seg.ID, true
	seg.Subsegments = nil
	return []*segment.Segment{sub, seg}
}

// look finds the attributes that the mapping knows.
func (mk *maker) look() {
	list := mk.s.Attributes
	mk.keys = mk.room[:0]
	if len(list) > len(mk.room) {
		mk.keys = make([]key, 0, len(list))
	}
	for i := range list {
		k := keyOf(list[i].Key)
		mk.keys = append(mk.keys, k)
		mk.at[k] = int32(i + 1)
	}
	mk.at[keyOther] = 0
	mk.marked = mk.str(keyAWSSpanKind) == "LOCAL_ROOT"
	mk.first = mk.marked || !mk.s.HasParent || mk.s.Flags&(flagHasRemote|flagRemote) == flagHasRemote|flagRemote
	mk.names = mk.get(keyXRayAnnotations).Texts()
}

func (mk *maker) has(k key) bool { return mk.at[k] != 0 }

func (mk *maker) get(k key) Value {
	if i := mk.at[k]; i != 0 {
		return mk.s.Attributes[i-1].Value
	}
	return Value{}
}

func (mk *maker) str(k key) string { return mk.get(k).Str() }

// strOf returns the text of the first of keys that has one.
func (mk *maker) strOf(keys ...key) string {
	for _, k := range keys {
		if mk.at[k] != 0 {
			if s := mk.str(k); s != "" {
				return s
			}
		}
	}
	return ""
}

// textOf is strOf that takes numbers for texts.
func (mk *maker) textOf(keys ...key) string {
	for _, k := range keys {
		if mk.at[k] != 0 {
			if s := mk.get(k).Text(); s != "" {
				return s
			}
		}
	}
	return ""
}

// hidden reports whether the attribute with that key is no part of the segment.
func hidden(k key, as role) bool {
	if as != roleService {
		return false
	}
	switch k {
	case keyAWSRemoteService, keyAWSRemoteOperation, keyRemoteTarget, keyRemoteNamespace:
		return true
	}
	return false
}

func (mk *maker) segment(as role) *segment.Segment {
	s := mk.s
	seg := &segment.Segment{
		TraceID:   s.TraceID,
		ID:        s.ID,
		ParentID:  s.ParentID,
		HasParent: s.HasParent,
		StartTime: float64(s.Start) / 1e9,
		EndTime:   float64(s.End) / 1e9,
		User:      mk.str(keyEndUserID),
		Origin:    mk.src.origin,
		Service:   mk.src.version,

		SpanService: mk.src.service,
	}
	if s.End == 0 {
		seg.InProgress = true
	}
	// What follows is written into one buffer, which the parts then refer to.
	room := 96 + len(s.Name)
	all := mk.full || mk.IndexAll || len(mk.names)+len(mk.Indexed) > 0
	for i := range s.Attributes {
		a := &s.Attributes[i]
		if all {
			room += 2 * (len(a.Key) + len(a.Value.data) + 12)
		}
		if k := mk.keys[i]; k != keyOther && k <= lastSQL {
			room += len(a.Value.data) + 24
		}
	}
	o := object{b: make([]byte, 0, min(room, 64<<10))}

	var fromService bool
	seg.Name, fromService = mk.name(as)
	switch system := mk.strOf(keyRPCSystem, keyRPCSystemName); {
	case system == "aws-api" || fromService:
		seg.Namespace = namespaceAWS
	case s.Kind == KindClient:
		seg.Namespace = namespaceRemote
	}
	switch {
	case as == roleService:
		seg.ID = serviceID(s.TraceID, s.ID)
		seg.Namespace = ""
	case as == roleCall:
		seg.Kind, seg.TraceID = segment.KindNested, segment.TraceID{}
		seg.ParentID, seg.HasParent = 0, false
		if seg.Namespace == "" {
			seg.Namespace = namespaceRemote
		}
	case s.Kind == KindServer || !s.HasParent:
		if mk.marked {
			seg.Namespace = ""
		}
	case mk.first:
		seg.Namespace = ""
	default:
		seg.Kind = segment.KindSubsegment
		if seg.Namespace == "" && mk.has(keyAWSRemoteService) && (s.Kind == KindProducer || s.Kind == KindConsumer) {
			seg.Namespace = namespaceRemote
		}
	}
	if seg.Kind == segment.KindNested || seg.Kind == segment.KindSubsegment {
		seg.Origin = mk.src.origin
	}

	http := mk.flags(seg)
	if as != roleService {
		seg.HTTP = mk.http(&o, http)
	}
	switch {
	case mk.src.noAWS:
	case as != roleService && !mk.sayAWS():
		seg.AWS = mk.src.block
	default:
		seg.AWS = mk.aws(&o, as)
	}
	sql := mk.isSQL()
	if sql {
		seg.SQL = mk.sql(&o)
	}
	var statusTextUsed bool
	seg.Cause, statusTextUsed = mk.cause(&o)
	if as == roleSpan || (as == roleService) == (s.Kind == KindConsumer) {
		seg.Links = mk.links(&o)
	}
	taken := func(i int) bool {
		switch k := mk.keys[i]; {
		case k == keyOther:
			return false
		case k <= lastHTTP:
			return true
		case k <= lastAWS:
			return !mk.src.noAWS
		case k <= lastSQL:
			return sql
		case k == keyHTTPStatusText:
			return statusTextUsed
		case k == keyEndUserID:
			return true
		case k == keyXRayAnnotations:
			return s.Attributes[i].Value.Type == ValueArray
		}
		return false
	}
	mk.annotations(&o, seg, as, taken)
	if mk.full {
		mk.metadata(&o, seg, as, taken)
	}
	return seg
}

// part ends a part that was begun at from with one byte for its bracket, and
// returns its text; nil when nothing was written.
func (o *object) part(from int, end byte) segment.Raw {
	if len(o.b) == from+1 {
		o.b = o.b[:from]
		return nil
	}
	o.b = append(o.b, end)
	return segment.Raw(o.b[from:len(o.b):len(o.b)])
}

func (o *object) begin(bracket byte) (from int) {
	from = len(o.b)
	o.b = append(o.b, bracket)
	return from
}

// name returns the name of the segment, and whether it is that of an AWS service.
func (mk *maker) name(as role) (name string, fromService bool) {
	name, fromService = mk.anyName(as)
	if len(name) > maxNameRunes && utf8.RuneCountInString(name) > maxNameRunes {
		n := 0
		for i := range name {
			if n == maxNameRunes {
				return name[:i], fromService
			}
			n++
		}
	}
	return name, fromService
}

// begins reports whether the span begins the work of a service whose name is known.
func (mk *maker) begins() bool { return mk.first && mk.src.service != "" }

func (mk *maker) anyName(as role) (name string, fromService bool) {
	s := mk.s
	if as == roleService {
		if name := mk.str(keyAWSLocalService); name != "" {
			return name, false
		}
		if mk.src.service != "" {
			return mk.src.service, false
		}
	}
	calls := s.Kind == KindClient || s.Kind == KindProducer || s.Kind == KindConsumer
	switch {
	case s.Kind == KindServer || s.Kind == KindInternal && mk.marked:
		if name := mk.str(keyAWSLocalService); name != "" {
			return name, false
		}
	case as == roleCall, calls && as == roleSpan && !mk.begins():
		if name := mk.str(keyAWSRemoteService); name != "" {
			if mk.strOf(keyRPCSystem, keyRPCSystemName) == "aws-api" {
				if short, ok := strings.CutPrefix(name, "AWS.SDK."); ok {
					name = short
				} else {
					name = strings.TrimPrefix(name, "AWS::")
				}
			}
			return name, false
		}
	}
	if as == roleSpan && s.Kind != KindServer && mk.begins() {
		return mk.src.service, false
	}
	if name := mk.str(keyPeerService); name != "" {
		return name, false
	}
	if name := mk.str(keyAWSService); name != "" {
		return name, true
	}
	if name := mk.str(keyDBName); name != "" {
		if host := hostOf(mk.str(keyDBConnectionString)); host != "" {
			name += "@" + host
		}
		return name, false
	}
	if s.Kind == KindServer && mk.src.service != "" {
		return mk.src.service, false
	}
	if name := mk.strOf(keyRPCService, keyHTTPHost, keyNetPeerName); name != "" {
		return name, false
	}
	if s.Kind == KindClient {
		if name := mk.str(keyServerAddress); name != "" {
			if db := mk.str(keyDBNamespace); db != "" {
				name = db + "@" + name
			}
			return name, false
		}
	}
	return cleanName(s.Name), false
}

// hostOf returns the host in a connection string like
// jdbc:mysql://user@host:3306/name, "" when none can be told.
func hostOf(connection string) string {
	rest := strings.TrimPrefix(connection, "jdbc:")
	_, rest, ok := strings.Cut(rest, "//")
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#;"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	if host, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(host, "[") && (after == "" || after[0] == ':') {
		return host[1:]
	}
	host, _, _ := strings.Cut(rest, ":")
	return host
}

// cleanName returns a span's name with what X-Ray does not allow in names left out.
func cleanName(name string) string {
	allowed := func(r rune) bool {
		return r == ' ' || r >= '0' && r <= '9' || unicode.IsLetter(r) || strings.ContainsRune("_.:/%&#=+-@", r)
	}
	clean := true
	for _, r := range name {
		if r == utf8.RuneError || !allowed(r) {
			clean = false
			break
		}
	}
	if !clean {
		name = strings.Map(func(r rune) rune {
			if r == utf8.RuneError || !allowed(r) {
				return -1
			}
			return r
		}, name)
	}
	if len(name) > maxSpanName {
		end := maxSpanName
		for !utf8.RuneStart(name[end]) {
			end--
		}
		name = name[:end]
	}
	if name == "" {
		return "span"
	}
	return name
}

// flags sets error, fault and throttle, and returns the HTTP status, 0 when there is none.
func (mk *maker) flags(seg *segment.Segment) int64 {
	seg.Error, seg.Fault, seg.Throttle = segment.FlagFalse, segment.FlagFalse, segment.FlagFalse
	status, ok := mk.get(keyHTTPStatusCode).Int()
	if !ok {
		status, ok = mk.get(keyHTTPResponseStatusCode).Int()
	}
	told := false // the span was a segment once, and says how it was
	for _, f := range [...]struct {
		key  key
		flag *segment.Flag
	}{{keyXRayError, &seg.Error}, {keyXRayFault, &seg.Fault}, {keyXRayThrottle, &seg.Throttle}} {
		if v := mk.get(f.key); v.Type == ValueBool && v.num != 0 {
			*f.flag, told = segment.FlagTrue, true
		}
	}
	switch {
	case told:
	case ok && status >= 400 && status < 500:
		seg.Error = segment.FlagTrue
		if status == 429 {
			seg.Throttle = segment.FlagTrue
		}
	case ok && status >= 500 && status < 600, mk.s.Status == StatusError:
		seg.Fault = segment.FlagTrue
	}
	return status
}

// http writes the http block; nil when the span has no HTTP attribute but addresses.
func (mk *maker) http(o *object, status int64) segment.Raw {
	any := false
	for _, k := range [...]key{keyHTTPMethod, keyHTTPRequestMethod, keyHTTPClientIP, keyHTTPUserAgent, keyUserAgentOriginal,
		keyHTTPStatusCode, keyHTTPResponseStatusCode, keyHTTPURL, keyURLFull, keyHTTPScheme, keyURLScheme, keyHTTPHost,
		keyHTTPTarget, keyHTTPServerName, keyNetHostPort, keyURLPath, keyURLQuery} {
		if mk.at[k] != 0 {
			any = true
			break
		}
	}
	if !any {
		return nil
	}
	ip := func(k key) string {
		s := mk.str(k)
		if s == "" {
			return ""
		}
		if _, err := netip.ParseAddr(s); err != nil {
			return ""
		}
		return s
	}
	peer := mk.has(keyNetPeerIP)
	client := mk.str(keyHTTPClientIP)
	if s := ip(keyClientAddress); s != "" {
		client = s
	}
	if s := ip(keyNetworkPeerAddress); s != "" {
		peer = true
		if client == "" {
			client = s
		}
	}
	if client == "" {
		client = mk.str(keyNetPeerIP)
	}

	from := o.begin('{')
	o.open("request")
	if client != "" && !peer {
		o.bool("x_forwarded_for", true)
	}
	o.text("method", mk.strOf(keyHTTPRequestMethod, keyHTTPMethod))
	o.text("url", mk.url())
	o.text("user_agent", mk.strOf(keyUserAgentOriginal, keyHTTPUserAgent))
	o.text("client_ip", client)
	o.close()
	o.open("response")
	if status != 0 {
		o.int("status", status)
	}
	o.int("content_length", mk.contentLength())
	o.close()
	return o.part(from, '}')
}

// url returns the URL of the request, "" when nothing says where it went.
func (mk *maker) url() string {
	if s := mk.strOf(keyURLFull, keyHTTPURL); s != "" {
		return s
	}
	known := false
	for _, k := range [...]key{keyHTTPHost, keyHTTPServerName, keyHostName, keyNetHostName, keyNetPeerName, keyNetPeerIP, keyNetworkPeerAddress, keyServerAddress} {
		known = known || mk.at[k] != 0
	}
	if !known {
		return ""
	}
	scheme := mk.strOf(keyURLScheme, keyHTTPScheme)
	if scheme == "" {
		scheme = "http"
	}
	var host, port string
	if mk.s.Kind == KindServer {
		if host = mk.str(keyHTTPHost); host == "" {
			host = mk.strOf(keyHTTPServerName, keyNetHostName, keyHostName, keyServerAddress)
			port = mk.textOf(keyNetHostPort, keyServerPort)
		}
	} else if host = mk.str(keyHTTPHost); host == "" {
		host = mk.strOf(keyNetPeerName, keyNetPeerIP, keyServerAddress, keyNetworkPeerAddress)
		port = mk.textOf(keyNetPeerPort, keyServerPort, keyNetworkPeerPort)
	}
	if strings.Contains(host, ":") && port != "" && host[0] != '[' {
		host = "[" + host + "]"
	}
	b := make([]byte, 0, 64)
	b = append(b, scheme...)
	b = append(b, "://"...)
	b = append(b, host...)
	if port != "" && !(scheme == "http" && port == "80" || scheme == "https" && port == "443") {
		b = append(b, ':')
		b = append(b, port...)
	}
	if mk.has(keyHTTPTarget) {
		return alias(append(b, mk.str(keyHTTPTarget)...))
	}
	path := mk.str(keyURLPath)
	if path == "" {
		path = "/"
	}
	if path[0] != '/' {
		b = append(b, '/')
	}
	b = append(b, path...)
	if q := mk.str(keyURLQuery); q != "" {
		if q[0] != '?' {
			b = append(b, '?')
		}
		b = append(b, q...)
	}
	return alias(b)
}

// contentLength returns the size of the message that was received, 0 when nothing says so.
func (mk *maker) contentLength() int64 {
	size := func(list []Attribute) (n int64, received bool) {
		for i := range list {
			switch keyOf(list[i].Key) {
			case keyMessageType:
				received = list[i].Value.Str() == "RECEIVED"
			case keyPayloadSize, keyBodySize:
				n, _ = list[i].Value.Int()
			}
		}
		return n, received
	}
	if mk.has(keyMessageType) {
		if n, ok := size(mk.s.Attributes); ok {
			return n
		}
	}
	for i := range mk.s.Events {
		if n, ok := size(mk.s.Events[i].Attributes); ok {
			return n
		}
	}
	return 0
}

// sayAWS reports whether the span itself says anything for the aws block.
func (mk *maker) sayAWS() bool {
	for k := lastHTTP + 1; k <= lastAWS; k++ {
		if mk.at[k] != 0 {
			return true
		}
	}
	return mk.at[keyMessagingURL] != 0 || mk.at[keyDynamoDBTableNames] != 0
}

// aws writes the aws block.
func (mk *maker) aws(o *object, as role) segment.Raw {
	from := o.begin('{')
	if as != roleService {
		account := mk.str(keyAWSAccountID)
		if account == "" {
			account = mk.src.account
		}
		o.text("account_id", account)
		o.text("operation", mk.strOf(keyAWSOperation, keyRPCMethod))
		o.text("region", mk.str(keyAWSRegion))
		o.text("request_id", mk.strOf(keyAWSRequestID, keyAWSRequestID2))
		o.text("queue_url", mk.strOf(keyMessagingURL, keyAWSQueueURL, keyAWSQueueURL2))
		tables := []string(nil)
		if mk.has(keyDynamoDBTableNames) {
			switch v := mk.get(keyDynamoDBTableNames); v.Type {
			case ValueString:
				tables = []string{v.Str()}
			case ValueArray:
				v.elements(func(e Value) bool {
					tables = append(tables, e.Str())
					return true
				})
			}
		}
		switch {
		case len(tables) > 1:
			o.key("table_names")
			o.b = append(o.b, '[')
			for i, t := range tables {
				if i > 0 {
					o.b = append(o.b, ',')
				}
				o.b = segment.AppendString(o.b, t)
			}
			o.b = append(o.b, ']')
		case len(tables) == 1:
			o.text("table_name", tables[0])
		default:
			o.text("table_name", mk.strOf(keyAWSTableName, keyAWSTableName2))
		}
	}
	if len(o.b) > from+1 {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, mk.src.aws...)
	return o.part(from, '}')
}

func (mk *maker) isSQL() bool {
	if !mk.has(keyDBSystem) && !mk.has(keyDBSystemName) {
		return false
	}
	switch mk.strOf(keyDBSystemName, keyDBSystem) {
	case "db2", "mssql", "oracle", "derby", "hive", "mariadb", "mysql", "other_sql", "postgresql", "sqlite", "teradata",
		"ibm.db2", "microsoft.sql_server", "oracle.db":
		return true
	}
	return false
}

// sql writes the sql block.
func (mk *maker) sql(o *object) segment.Raw {
	from := o.begin('{')
	o.text("url", mk.s.Name)
	connection := mk.str(keyDBConnectionString)
	if connection == "" {
		connection = "localhost"
	}
	o.text("connection_string", connection+"/"+mk.strOf(keyDBNamespace, keyDBName))
	o.text("database_type", mk.strOf(keyDBSystemName, keyDBSystem))
	o.text("user", mk.strOf(keyDBUser, keyUserName))
	o.text("sanitized_query", mk.strOf(keyDBQueryText, keyDBStatement))
	return o.part(from, '}')
}

// links writes the links.
func (mk *maker) links(o *object) segment.Raw {
	from := o.begin('[')
	for i := range mk.s.Links {
		l := &mk.s.Links[i]
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		o.text("trace_id", l.TraceID.String())
		o.text("id", l.ID.String())
		o.attributesOf(l.Attributes)
		o.b = append(o.b, '}')
	}
	return o.part(from, ']')
}

// plainValue reports whether a value can be an annotation.
func plainValue(v Value) bool {
	switch v.Type {
	case ValueString, ValueBool, ValueInt:
		return true
	case ValueDouble:
		return !math.IsNaN(double(v.num)) && !math.IsInf(double(v.num), 0)
	}
	return false
}

// resourceIn reports whether the attributes of the resource are given with the
// segment: with what is no subsegment. The exporter leaves them out as well of the
// segment that it makes beside a marked call which has a parent.
func (mk *maker) resourceIn(seg *segment.Segment, as role) bool {
	return seg.Kind == segment.KindSegment && !(as == roleService && mk.marked && mk.s.HasParent)
}

// indexed reports whether the attribute with that name is to be an annotation.
func (mk *maker) indexed(name string) bool {
	return slices.Contains(mk.names, name) || slices.Contains(mk.Indexed, name)
}

// annotations writes the annotations, and what else can be searched for.
func (mk *maker) annotations(o *object, seg *segment.Segment, as role, taken func(i int) bool) {
	list := mk.s.Attributes
	chosen := len(mk.names) > 0 || len(mk.Indexed) > 0
	from := o.begin('{')
	if mk.resourceIn(seg, as) && (chosen || mk.IndexAll) {
		for i := range mk.src.Attributes {
			a := &mk.src.Attributes[i]
			if name := prefixResource + a.Key; plainValue(a.Value) && (mk.IndexAll || mk.indexed(name)) {
				o.value(name, a.Value)
			}
		}
	}
	if chosen || mk.IndexAll {
		for i := range list {
			a := &list[i]
			if plainValue(a.Value) && !hidden(mk.keys[i], as) && (mk.indexed(a.Key) || mk.IndexAll && !taken(i)) {
				o.value(a.Key, a.Value)
			}
		}
	}
	seg.Annotations = o.part(from, '}')
	if as == roleService {
		return // the call has them
	}
	of := searchable{data: mk.s.data, name: mk.s.Name, kind: mk.s.Kind}
	if chosen {
		of.left = append(slices.Clone(mk.names), mk.Indexed...)
	}
	seg.Attributes = &of
}

// metadata writes the metadata.
func (mk *maker) metadata(o *object, seg *segment.Segment, as role, taken func(i int) bool) {
	type space struct {
		name  string
		value segment.Raw
	}
	var spaces []space
	from := o.begin('{')
	o.open("default")
	begun := len(o.b)
	if mk.resourceIn(seg, as) {
		for i := range mk.src.Attributes {
			a := &mk.src.Attributes[i]
			if name := prefixResource + a.Key; !plainValue(a.Value) || !mk.IndexAll && !mk.indexed(name) {
				o.value(name, a.Value)
			}
		}
	}
	list := mk.s.Attributes
	for i := range list {
		a := &list[i]
		if taken(i) || hidden(mk.keys[i], as) || mk.indexed(a.Key) || mk.IndexAll && plainValue(a.Value) {
			continue
		}
		if as == roleService && !strings.HasPrefix(a.Key, prefixResource) {
			continue
		}
		name, ok := strings.CutPrefix(a.Key, prefixMetadata)
		if ok && a.Value.Type == ValueString && segment.Raw(a.Value.data).Type() == segment.TypeObject && json.Valid(a.Value.data) {
			value := segment.Raw(a.Value.data)
			if !strings.EqualFold(name, "default") {
				spaces = append(spaces, space{name, value})
				continue
			}
			value.Members(func(key string, v segment.Raw) bool {
				o.key(key)
				o.b = v.AppendTo(o.b)
				return true
			})
			continue
		}
		o.value(a.Key, a.Value)
	}
	if len(o.b) == begun {
		o.b = o.b[:from+1]
	} else {
		o.close()
	}
	own := as != roleService
	for _, s := range spaces {
		o.key(s.name)
		o.b = s.value.AppendTo(o.b)
		own = own && s.name != "otel"
	}
	if own {
		mk.otel(o)
	}
	seg.Metadata = o.part(from, '}')
}

// otel writes what an X-Ray document has no place for.
func (mk *maker) otel(o *object) {
	s := mk.s
	o.open("otel")
	o.text("name", s.Name)
	o.text("kind", s.Kind.String())
	if mk.src.ScopeName != "" || mk.src.ScopeVersion != "" {
		o.open("scope")
		o.text("name", mk.src.ScopeName)
		o.text("version", mk.src.ScopeVersion)
		o.close()
	}
	switch s.Status {
	case StatusOK:
		o.text("status", "OK")
	case StatusError:
		o.text("status", "ERROR")
	}
	o.text("status_message", s.Message)
	o.text("trace_state", s.TraceState)
	begun := false
	for i := range s.Events {
		e := &s.Events[i]
		if e.Name == eventException {
			continue // it is in the cause
		}
		if !begun {
			o.key("events")
			o.b = append(o.b, '[')
			begun = true
		} else {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		o.key("time")
		o.b = strconv.AppendFloat(o.b, float64(e.Time)/1e9, 'f', -1, 64)
		o.text("name", e.Name)
		o.attributesOf(e.Attributes)
		o.b = append(o.b, '}')
	}
	if begun {
		o.b = append(o.b, ']')
	}
	o.close()
}

// serviceID returns the id of the segment for the service of a span.
func serviceID(trace segment.TraceID, span segment.SegmentID) segment.SegmentID {
	return hashID(trace, span, 's', 0)
}

// hashID returns an id that depends on nothing but what is given, never zero.
func hashID(trace segment.TraceID, span segment.SegmentID, what byte, n uint64) segment.SegmentID {
	var b [33]byte
	copy(b[:], trace[:])
	binary.BigEndian.PutUint64(b[16:], uint64(span))
	b[24] = what
	binary.BigEndian.PutUint64(b[25:], n)
	return segment.SegmentID(max(xxhash.Sum64(b[:]), 1))
}
