package storetest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/segment"
)

// Epoch is the time, in unix seconds, around which generated documents start.
const Epoch = 1_790_000_000

// Doc describes a document to be written, or one nested in another.
type Doc struct {
	Trace      segment.TraceID // zero for nested ones
	ID         segment.SegmentID
	Parent     segment.SegmentID // 0: none
	Subsegment bool              // an independent subsegment
	Name       string
	Start, End float64 // unix seconds; End does not count when InProgress
	InProgress bool
	More       map[string]any // further members
	Nested     []Doc
}

// JSON returns the text of the document.
func (d Doc) JSON() []byte {
	data, err := json.Marshal(d.object())
	if err != nil {
		panic("storetest: " + err.Error()) // a generated value that JSON cannot say
	}
	return data
}

func (d Doc) object() map[string]any {
	o := map[string]any{
		"id":         fmt.Sprintf("%016x", uint64(d.ID)),
		"name":       d.Name,
		"start_time": json.Number(strconv.FormatFloat(d.Start, 'f', -1, 64)),
	}
	if d.InProgress {
		o["in_progress"] = true
	} else {
		o["end_time"] = json.Number(strconv.FormatFloat(d.End, 'f', -1, 64))
	}
	if d.Trace != (segment.TraceID{}) {
		o["trace_id"] = TraceText(d.Trace)
	}
	if d.Parent != 0 {
		o["parent_id"] = fmt.Sprintf("%016x", uint64(d.Parent))
	}
	if d.Subsegment {
		o["type"] = "subsegment"
	}
	for k, v := range d.More {
		o[k] = v
	}
	if len(d.Nested) > 0 {
		list := make([]map[string]any, len(d.Nested))
		for i, n := range d.Nested {
			list[i] = n.object()
		}
		o["subsegments"] = list
	}
	return o
}

// TraceText writes a trace id as documents carry it.
func TraceText(id segment.TraceID) string {
	return fmt.Sprintf("1-%x-%x", id[:4], id[4:])
}

// TraceNumber returns the n-th of a row of trace ids whose order is that of n.
// Their epochs say nothing about the time of their documents.
func TraceNumber(n uint64) segment.TraceID {
	id := segment.TraceID{0: 0x5a, 1: 0x3e}
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// Generator makes random traces, split into documents as senders split them:
// with in-progress versions, subsegments nested and sent on their own, callees,
// missing parents, and copies. Some have OpenTelemetry spans too, or nothing else.
type Generator struct {
	rng *rand.Rand
	// Spread is the range in seconds in which traces start, from Epoch on.
	Spread float64
}

// NewGenerator returns a Generator that draws from rng.
func NewGenerator(rng *rand.Rand) *Generator { return &Generator{rng: rng, Spread: 900} }

var (
	serviceNames = []string{"fernweh", "quitte", "lorbeer-api", "Amselfeld", "dachs/worker", "übermut"}
	callNames    = []string{"DynamoDB", "S3", "SQS", "lager@db.invalid", "zoll.invalid", "## render"}
	origins      = []string{"", "AWS::EC2::Instance", "AWS::ECS::Container", "AWS::Lambda::Function"}
	userNames    = []string{"ida", "otto", "jürgen"}
	addresses    = []string{"https://tor.invalid/a", "https://tor.invalid/b?x=1", "/c"}
)

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// chance is true in n of 100 cases.
func (g *Generator) chance(n int) bool { return g.rng.IntN(100) < n }

func (g *Generator) id() segment.SegmentID { return segment.SegmentID(g.rng.Uint64() | 1) }

// TraceID returns a new random trace id, its epoch included.
func (g *Generator) TraceID() segment.TraceID {
	var id segment.TraceID
	binary.BigEndian.PutUint64(id[:8], g.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], g.rng.Uint64())
	return id
}

// Trace returns the documents of a new trace in a believable order of arrival: X-Ray JSON, or
// a TracesData message of one span. NewRecord takes either.
func (g *Generator) Trace() (segment.TraceID, [][]byte) {
	id := g.TraceID()
	// Milliseconds keep the decimal texts short and exact enough to compare.
	start := Epoch + float64(g.rng.Int64N(int64(g.Spread*1000)))/1000
	var docs []Doc
	g.segment(&docs, id, 0, start, 3)
	// A trace whose root never comes, or comes on top of others.
	if g.chance(8) && len(docs) > 1 {
		docs = docs[1:]
	}
	// Neighbours overtake each other; some documents come very late.
	for i := 1; i < len(docs); i++ {
		if g.chance(30) {
			docs[i-1], docs[i] = docs[i], docs[i-1]
		}
	}
	if g.chance(20) && len(docs) > 1 {
		i := g.rng.IntN(len(docs))
		docs = append(append(docs[:i:i], docs[i+1:]...), docs[i])
	}
	texts := make([][]byte, 0, len(docs))
	for _, d := range docs {
		text := d.JSON()
		if g.chance(10) {
			text = append(text, '\n')
		}
		texts = append(texts, text)
		if g.chance(5) { // a copy, or another version that comes too late
			if g.chance(50) {
				d.Name, d.End = pick(g.rng, serviceNames), d.Start+1
			}
			texts = append(texts, d.JSON())
		}
	}
	if g.chance(40) {
		if g.chance(40) {
			texts, docs = nil, nil
		}
		texts = g.spans(texts, docs, id, start)
	}
	return id, texts
}

// spans puts spans of a trace in between its documents.
func (g *Generator) spans(texts [][]byte, docs []Doc, trace segment.TraceID, start float64) [][]byte {
	var parents []segment.SegmentID
	for _, d := range docs {
		parents = append(parents, d.ID)
	}
	for range 1 + g.rng.IntN(10) {
		id := g.id()
		from := int64(start*1e9) + g.rng.Int64N(3e9)
		until := from + int64(g.duration()*1e9) + g.rng.Int64N(1000)
		if g.chance(5) {
			until = 0 // it goes on
		}
		parent := ""
		switch {
		case g.chance(5):
			parent = fmt.Sprintf("%016x", uint64(g.id())) // that nobody knows
		case len(parents) > 0 && g.chance(85):
			parent = fmt.Sprintf("%016x", uint64(pick(g.rng, parents)))
		}
		parents = append(parents, id)
		text := func(key, value string) map[string]any {
			return map[string]any{"key": key, "value": map[string]any{"stringValue": value}}
		}
		attributes := []any{
			text("http.request.method", "GET"), text("url.path", pick(g.rng, addresses)), text("note", pick(g.rng, []string{"a", "ß", "", "\x00", "lang " + pick(g.rng, userNames)})),
			map[string]any{"key": "http.response.status_code", "value": map[string]any{"intValue": pick(g.rng, []int{200, 404, 429, 500})}},
			map[string]any{"key": "ratio", "value": map[string]any{"doubleValue": pick(g.rng, []float64{0, -1.5, 1e9})}},
			map[string]any{"key": "hot", "value": map[string]any{"boolValue": g.chance(50)}},
			text("enduser.id", pick(g.rng, userNames)), text("server.address", pick(g.rng, callNames)),
		}
		g.rng.Shuffle(len(attributes), func(i, j int) { attributes[i], attributes[j] = attributes[j], attributes[i] })
		span := map[string]any{
			"traceId": fmt.Sprintf("%x", trace[:]), "spanId": fmt.Sprintf("%016x", uint64(id)), "parentSpanId": parent,
			"name": pick(g.rng, callNames), "kind": g.rng.IntN(6), "startTimeUnixNano": strconv.FormatInt(from, 10), "endTimeUnixNano": strconv.FormatInt(until, 10),
			"attributes": attributes[:g.rng.IntN(len(attributes)+1)], "status": map[string]any{"code": g.rng.IntN(3)}, "flags": pick(g.rng, []int{0, 0x101, 0x301}),
		}
		resource := []any{text("service.name", pick(g.rng, serviceNames))}
		if g.chance(20) {
			resource = append(resource, text("cloud.provider", "aws"), text("host.id", "i-42"))
		}
		request, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
			"resource":   map[string]any{"attributes": resource},
			"scopeSpans": []any{map[string]any{"scope": map[string]any{"name": "storetest"}, "spans": []any{span}}},
		}}})
		if err != nil {
			panic("storetest: " + err.Error())
		}
		message, err := otlp.FromJSON(request)
		if err != nil {
			panic("storetest: " + err.Error())
		}
		for range 1 + g.rng.IntN(20)/19 { // now and then twice
			texts = slices.Insert(texts, g.rng.IntN(len(texts)+1), message)
		}
	}
	return texts
}

// duration draws mostly short times and a few that reach into other minutes.
func (g *Generator) duration() float64 {
	ms := g.rng.Int64N(3000)
	if g.chance(10) {
		ms = g.rng.Int64N(200_000)
	}
	return float64(ms) / 1000
}

// segment adds the documents of one segment, its subsegments and its callees.
func (g *Generator) segment(docs *[]Doc, trace segment.TraceID, parent segment.SegmentID, start float64, depth int) {
	d := Doc{Trace: trace, ID: g.id(), Parent: parent, Name: pick(g.rng, serviceNames), Start: start, End: start + g.duration(), More: g.members(true)}
	switch g.rng.IntN(60) { // odd times, all of them accepted
	case 0:
		d.Start = 0
	case 1:
		d.Start = -1
	case 2:
		d.End = d.Start - 5
	case 3:
		d.Start, d.End = d.Start-31*86400, d.End-31*86400
	case 4:
		d.End = -0.5
	}
	open := d // the in-progress version that may come first
	var apart []Doc
	for range g.rng.IntN(4) {
		sub := g.subsegment(docs, trace, d.Start, depth)
		switch {
		case g.chance(60):
			d.Nested = append(d.Nested, sub)
			if g.chance(40) {
				open.Nested = append(open.Nested, sub)
			}
		default:
			sub.Trace, sub.Parent, sub.Subsegment = trace, d.ID, true
			if g.chance(5) {
				sub.Parent = g.id() // a parent that nobody knows
			}
			apart = append(apart, sub)
		}
	}
	if g.chance(30) {
		open.InProgress = true
		*docs = append(*docs, open)
		if g.chance(30) { // a second, newer in-progress version
			newer := open
			newer.Name = pick(g.rng, serviceNames)
			*docs = append(*docs, newer)
		}
	}
	for _, sub := range apart {
		if g.chance(20) {
			open := sub
			open.InProgress, open.Nested = true, nil
			*docs = append(*docs, open)
			if g.chance(20) {
				continue // and never completed
			}
		}
		*docs = append(*docs, sub)
	}
	if g.chance(94) {
		*docs = append(*docs, d)
	}
}

// subsegment returns a subsegment, ready to be nested, and adds the documents
// of callees to docs.
func (g *Generator) subsegment(docs *[]Doc, trace segment.TraceID, start float64, depth int) Doc {
	d := Doc{ID: g.id(), Name: pick(g.rng, callNames), Start: start + g.duration()/4, More: g.members(false)}
	d.End = d.Start + g.duration()
	if g.chance(4) {
		d.InProgress = true
	}
	if depth > 0 {
		for range g.rng.IntN(2) {
			d.Nested = append(d.Nested, g.subsegment(docs, trace, d.Start, depth-1))
		}
		if g.chance(25) {
			d.More["namespace"] = "remote"
			g.segment(docs, trace, d.ID, d.Start, depth-1)
		}
	}
	return d
}

// members draws what summaries and filters read.
func (g *Generator) members(isSegment bool) map[string]any {
	m := map[string]any{}
	if g.chance(15) {
		m[pick(g.rng, []string{"error", "fault", "throttle"})] = g.chance(80)
	}
	if g.chance(30) {
		m["annotations"] = map[string]any{
			pick(g.rng, []string{"kind", "shop", "k_3"}): pick(g.rng, []any{"a", "", 7, 1.5, true, false, "ß"}),
		}
	}
	if g.chance(20) {
		m["metadata"] = map[string]any{"default": map[string]any{"note": pick(g.rng, callNames), "n": g.rng.IntN(1000)}}
	}
	if !isSegment {
		switch {
		case g.chance(30):
			m["namespace"] = "aws"
			if g.chance(70) {
				m["aws"] = map[string]any{"operation": "GetItem", "table_name": "baum", "queue_url": "https://queue.invalid/q"}
			}
		case g.chance(30):
			m["namespace"] = "remote"
		}
		return m
	}
	if o := pick(g.rng, origins); o != "" {
		m["origin"] = o
	}
	if g.chance(30) {
		m["user"] = pick(g.rng, userNames)
	}
	if g.chance(60) {
		m["http"] = map[string]any{
			"request":  map[string]any{"method": "GET", "url": pick(g.rng, addresses), "user_agent": "probe/1", "client_ip": "192.0.2.7"},
			"response": map[string]any{"status": pick(g.rng, []int{200, 201, 404, 429, 500})},
		}
	}
	if g.chance(30) {
		m["aws"] = map[string]any{"account_id": "000000000042", "ec2": map[string]any{"instance_id": "i-42", "availability_zone": "eu-x-1a"}}
	}
	if g.chance(10) {
		m["resource_arn"] = "arn:aws:test:::thing/1"
	}
	return m
}
