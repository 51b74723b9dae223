package trace

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/segment"
)

const (
	namespaceAWS    = "aws"
	namespaceRemote = "remote"

	typeClient   = "client"
	typeRemote   = "remote"
	typeDatabase = "Database::SQL"
	typeFunction = "AWS::Lambda::Function"
	typePrefix   = "AWS::"
)

// awsService says how calls to one AWS service are shown.
type awsService struct {
	name     string // of subsegments, in any case: SDKs write DynamoDB and dynamodb
	typ      string // of its nodes when the resource is not known
	resource string // key of the aws block that names the resource
	resType  string // type of the resource
}

var awsServices = [...]awsService{
	{"DynamoDB", "AWS::DynamoDB", "table_name", "AWS::DynamoDB::Table"},
	{"S3", "AWS::S3", "bucket_name", "AWS::S3::Bucket"},
	{"SQS", "AWS::SQS", "queue_url", "AWS::SQS::Queue"},
	{"Lambda", "AWS::Lambda", "function_name", "AWS::Lambda"},
	{"SNS", "AWS::SNS", "topic_arn", "AWS::SNS"},
}

func serviceNamed(name string) *awsService {
	for i := range awsServices {
		if strings.EqualFold(awsServices[i].name, name) {
			return &awsServices[i]
		}
	}
	return nil
}

// resource returns the value that names the resource which a call named name
// used, together with its service. The value is nil when the call says no
// operation or no resource; the service is nil when we have no rule for it.
func resource(name string, aws segment.Raw) (segment.Raw, *awsService) {
	svc := serviceNamed(name)
	if svc == nil || aws == nil {
		return nil, svc
	}
	if aws.Get("operation").String() == "" {
		return nil, svc
	}
	if r := aws.Get(svc.resource); r.String() != "" {
		return r, svc
	}
	return nil, svc
}

// calleeOrigin returns the origin of the callee inferred for the call s: its
// node type, "" for a remote host.
func calleeOrigin(s *segment.Segment) string {
	if s.Namespace == namespaceRemote {
		if s.SQL != nil {
			return typeDatabase
		}
		return ""
	}
	r, svc := resource(s.Name, s.AWS)
	switch {
	case r != nil:
		return svc.resType
	case svc != nil:
		return svc.typ
	case strings.HasPrefix(s.Name, typePrefix):
		return s.Name
	}
	return typePrefix + s.Name
}

// ServiceOf returns the node that a reported or inferred segment stands for.
// Inferred AWS callees are named after their resource; only Lambda functions
// show the account they belong to.
func ServiceOf(s *segment.Segment) ServiceID {
	id := ServiceID{Name: s.Name, Type: s.Origin}
	switch {
	case s.Inferred && id.Type == "":
		id.Type = typeRemote
	case s.Inferred && strings.HasPrefix(id.Type, typePrefix):
		if r, _ := resource(s.Name, s.AWS); r != nil {
			id.Name = r.String()
		}
	case id.Type == typeFunction:
		id.AccountID = s.AWS.Get("account_id").String()
	}
	return id
}

// isSend reports whether a call puts messages into a queue.
func isSend(s *segment.Segment, svc *awsService) bool {
	if svc == nil || svc.name != "SQS" {
		return false
	}
	op := s.AWS.Get("operation").String() // Node writes sendMessage
	return strings.EqualFold(op, "SendMessage") || strings.EqualFold(op, "SendMessageBatch")
}

// infer fills t.Inferred: a callee for each completed, attached call that no
// reported segment answers, in the order of the calls' arrival.
func (a *assembly) infer(t *Trace, nodes []*node) {
	calls := 0
	for _, n := range nodes {
		if n.isUnanswered() {
			calls++
		}
	}
	if calls == 0 {
		return
	}
	t.Inferred = make([]*segment.Segment, 0, calls)
	made := make([]segment.Segment, calls)
	ids := inferredIDs{trace: t.ID, a: a}
	for _, n := range nodes {
		if n.isUnanswered() {
			s := &made[len(t.Inferred)]
			callee(s, n.Segment, &ids)
			t.Inferred = append(t.Inferred, s)
		}
	}
}

func (n *node) isUnanswered() bool {
	s := n.Segment
	return n.attached && !n.called && !s.InProgress && s.Kind != segment.KindSegment &&
		(s.Namespace == namespaceAWS || s.Namespace == namespaceRemote)
}

// callee makes s the inferred callee of call.
func callee(s, call *segment.Segment, ids *inferredIDs) {
	*s = segment.Segment{
		Kind:      segment.KindSegment,
		TraceID:   ids.trace,
		ID:        ids.next(call.ID, 0),
		ParentID:  call.ID,
		HasParent: true,
		Name:      call.Name,
		StartTime: call.StartTime,
		EndTime:   call.EndTime,
		Error:     call.Error,
		Fault:     call.Fault,
		Throttle:  call.Throttle,
		Inferred:  true,
		Origin:    calleeOrigin(call),
		HTTP:      call.HTTP,
		AWS:       call.AWS,
		SQL:       call.SQL,
	}
	if call.Annotations != nil {
		s.Annotations = localAnnotations(call.Annotations)
	}
	if call.Namespace != namespaceAWS {
		return
	}
	s.AWS, _ = withResourceName(call.AWS, call.Name)
	if isSend(call, serviceNamed(call.Name)) {
		s.Subsegments = []*segment.Segment{{
			Kind:      segment.KindNested,
			ID:        ids.next(call.ID, 1),
			Name:      "QueueTime",
			StartTime: call.StartTime,
			EndTime:   call.EndTime,
		}}
	}
}

// inferredIDs gives out ids for inferred entities: always the same ones for
// the same calls of the same trace.
type inferredIDs struct {
	trace segment.TraceID
	a     *assembly
	given map[segment.SegmentID]struct{}
	last  segment.SegmentID // the only id given out as long as given is nil
}

// next returns the id of the part-th entity inferred for call. Its first digit
// is 0 to 3, as the service's own are. It is no id of the trace.
func (ids *inferredIDs) next(call segment.SegmentID, part uint64) segment.SegmentID {
	for salt := part; ; salt += 2 {
		h := mix(binary.BigEndian.Uint64(ids.trace[:8]))
		h = mix(h ^ binary.BigEndian.Uint64(ids.trace[8:]))
		h = mix(h ^ uint64(call))
		id := segment.SegmentID(mix(h^salt) >> 2)
		if id == 0 || id == ids.last {
			continue
		}
		if n := ids.a.find(id); n != nil && n.state == inForce {
			continue
		}
		if _, ok := ids.given[id]; ok {
			continue
		}
		switch {
		case ids.last == 0:
			ids.last = id
			return id
		case ids.given == nil:
			ids.given = make(map[segment.SegmentID]struct{})
		}
		ids.given[id] = struct{}{}
		return id
	}
}

// mix is the finaliser of SplitMix64: a bijection that spreads every bit.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// withResourceName returns the aws block of a call named name as it is given
// back: resource_names holds the name of the resource that the call used, and
// nothing else, whatever the sender wrote there. It reports whether that makes
// a difference: none for a call that names no operation or no resource.
func withResourceName(aws segment.Raw, name string) (segment.Raw, bool) {
	res, _ := resource(name, aws)
	if res == nil {
		return aws, false
	}
	const key = "resource_names"
	list := append(make([]byte, 0, len(res)+2), '[')
	list = append(res.AppendTo(list), ']')
	if string(aws.Get(key)) == string(list) {
		return aws, false
	}
	out := append(make([]byte, 0, len(aws)+len(key)+len(list)+4), '{')
	found := false
	aws.Members(func(k string, v segment.Raw) bool {
		out = appendKey(out, k)
		if k == key {
			out, found = append(out, list...), true
		} else {
			out = v.AppendTo(out)
		}
		return true
	})
	if !found {
		out = append(appendKey(out, key), list...)
	}
	return append(out, '}'), true
}

// localAnnotations returns the annotations of an inferred callee: what the
// caller says about the remote side is said by the callee about itself. It
// returns nil when the caller says nothing.
func localAnnotations(annotations segment.Raw) segment.Raw {
	var out []byte
	annotations.Members(func(k string, v segment.Raw) bool {
		if rest, ok := strings.CutPrefix(k, "aws.remote."); ok {
			switch rest {
			case "service", "operation", "resource.type", "resource.identifier":
				if out == nil {
					out = append(out, '{')
				}
				out = v.AppendTo(appendKey(out, "aws.local."+rest))
			}
		}
		return true
	})
	if out == nil {
		return nil
	}
	return append(out, '}')
}

// appendKey appends a comma where one is needed, key as a JSON string, and a
// colon.
func appendKey(dst []byte, key string) []byte {
	if last := dst[len(dst)-1]; last != '{' {
		dst = append(dst, ',')
	}
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range key { // broken UTF-8 comes as U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"', ':')
}
