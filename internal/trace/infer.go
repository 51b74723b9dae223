package trace

import (
	"bytes"
	"encoding/binary"
	"strings"

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
	var parts [2]segment.Raw
	aws.Find(parts[:], "operation", svc.resource)
	if parts[0].String() == "" || parts[1].String() == "" {
		return nil, svc
	}
	return parts[1], svc
}

// calleeOf returns the node of the callee inferred for the call s, which is of
// namespace aws or remote. res is nil unless the call is to an AWS service and
// names its resource.
func calleeOf(s *segment.Segment) (node ServiceID, res segment.Raw, svc *awsService) {
	node.Name = s.Name
	switch {
	case s.Namespace == namespaceRemote && s.SQL != nil:
		node.Type = typeDatabase
	case s.Namespace == namespaceRemote:
		node.Type = typeRemote
	default:
		res, svc = resource(s.Name, s.AWS)
		switch {
		case res != nil:
			node.Name, node.Type = res.String(), svc.resType
		case svc != nil:
			node.Type = svc.typ
		case strings.HasPrefix(s.Name, typePrefix):
			node.Type = s.Name
		default:
			node.Type = typePrefix + s.Name
		}
	}
	return node, res, svc
}

// ServiceOf returns the node of the service graph that a reported or inferred
// segment stands for. Inferred AWS callees are named after their resource; only
// Lambda functions show the account they belong to.
func ServiceOf(s *segment.Segment) ServiceID {
	id := ServiceID{Name: s.Name, Type: s.Origin}
	switch {
	case s.Inferred && id.Type == "":
		id.Type = typeRemote
	case s.Inferred && strings.HasPrefix(id.Type, typePrefix):
		if res, _ := resource(s.Name, s.AWS); res != nil {
			id.Name = res.String()
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
	if a.brief {
		for _, n := range nodes {
			if n.isUnanswered() {
				node, _, _ := calleeOf(n.Segment)
				t.calls = append(t.calls, Call{Caller: n.Entity.segment, Parent: &n.Entity, Sub: &n.Entity, Node: node})
			}
		}
		return
	}
	t.Inferred = make([]*segment.Segment, 0, calls)
	made := make([]segment.Segment, calls)
	ids := inferredIDs{trace: t.ID, a: a}
	for _, n := range nodes {
		if n.isUnanswered() {
			s := &made[len(t.Inferred)]
			node := infer(s, n.Segment, &ids)
			t.calls = append(t.calls, Call{Caller: n.Entity.segment, Parent: &n.Entity, Sub: &n.Entity, Node: node})
			t.Inferred = append(t.Inferred, s)
		}
	}
}

func (n *node) isUnanswered() bool { return n.attached && isInferred(&n.Entity) }

// infer makes s the inferred callee of call and returns its node.
func infer(s, call *segment.Segment, ids *inferredIDs) ServiceID {
	node, res, svc := calleeOf(call)
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
		Origin:    node.Type,
		HTTP:      call.HTTP,
		AWS:       call.AWS,
		SQL:       call.SQL,
	}
	if call.Annotations != nil {
		s.Annotations = localAnnotations(call.Annotations)
	}
	if node.Type == typeRemote {
		s.Origin = ""
	}
	if res != nil {
		s.AWS, _ = withResourceName(call.AWS, res)
	}
	if isSend(call, svc) {
		s.Subsegments = []*segment.Segment{{
			Kind:      segment.KindNested,
			ID:        ids.next(call.ID, 1),
			Name:      "QueueTime",
			StartTime: call.StartTime,
			EndTime:   call.EndTime,
		}}
	}
	return node
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

// withResourceName returns the aws block of a call that used the resource named
// by res, as it is given back: resource_names holds that name and nothing else,
// whatever the sender wrote there. It reports whether that makes a difference.
func withResourceName(aws, res segment.Raw) (segment.Raw, bool) {
	names, is := aws.Get("resource_names"), 0
	names.Elements(func(name segment.Raw) bool {
		if string(name) != string(res) {
			is = 2
		}
		is++
		return is == 1
	})
	end := bytes.LastIndexByte(aws, '}')
	if is == 1 || end < 0 {
		return aws, false
	}
	// Of members with one name the last one counts, so that adding ours is enough.
	const head, tail = `,"resource_names":[`, `]}`
	out := make([]byte, 0, end+len(head)+len(res)+len(tail))
	out = append(append(out, aws[:end]...), head...)
	return append(append(out, res...), tail...), true
}

// localAnnotations returns the annotations of an inferred callee: what the
// caller says about the remote side is said by the callee about itself. It
// returns nil when the caller says nothing.
func localAnnotations(annotations segment.Raw) segment.Raw {
	var out []byte
	annotations.Members(func(k string, v segment.Raw) bool {
		if local := localKey(k); local != "" {
			if out == nil {
				out = append(out, '{')
			}
			out = v.AppendTo(appendKey(out, local))
		}
		return true
	})
	if out == nil {
		return nil
	}
	return append(out, '}')
}

// localKey returns the key under which an inferred callee has what its caller
// annotates under key; "" when it does not have it.
func localKey(key string) string {
	switch key {
	case "aws.remote.service":
		return "aws.local.service"
	case "aws.remote.operation":
		return "aws.local.operation"
	case "aws.remote.resource.type":
		return "aws.local.resource.type"
	case "aws.remote.resource.identifier":
		return "aws.local.resource.identifier"
	}
	return ""
}

// appendKey appends a comma where one is needed, key as a JSON string, and a
// colon.
func appendKey(dst []byte, key string) []byte {
	if last := dst[len(dst)-1]; last != '{' {
		dst = append(dst, ',')
	}
	return append(segment.AppendString(dst, key), ':')
}
