package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/roentgen-io/roentgen/internal/otlp"
	"github.com/roentgen-io/roentgen/segment"
)

// SpansPerTrace is how many OpenTelemetry spans share one trace id: each of five
// services has a SERVER and a CLIENT span.
const SpansPerTrace = 10

// spanTemplate is a span whose ids and times are patched before each use.
type spanTemplate struct {
	source                          []byte
	data                            []byte
	traceID, id, parent, start, end int // offsets; parent is -1 in a root
}

// spanTemplates makes n sets of SpansPerTrace templates of about size bytes each.
func spanTemplates(n, size int, seed uint64) [][]spanTemplate {
	rng := rand.New(rand.NewPCG(seed, uint64(size)+2))
	sets := make([][]spanTemplate, n)
	for i := range sets {
		for k := range SpansPerTrace {
			sets[i] = append(sets[i], newSpanTemplate(rng, k, size))
		}
	}
	return sets
}

func newSpanTemplate(rng *rand.Rand, k, size int) spanTemplate {
	const traceID, id, parent = "a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8", "c1c2c3c4c5c6c7c8", "d1d2d3d4d5d6d7d8"
	service := services[k/2%len(services)]
	attribute := func(key, value string) string { return fmt.Sprintf(`{"key":%q,"value":%s}`, key, value) }
	text := func(s string) string { return fmt.Sprintf(`{"stringValue":%q}`, s) }
	path := fmt.Sprintf("/api/%s/%d", service, rng.IntN(200))
	attributes := []string{
		attribute("http.request.method", text([]string{"GET", "GET", "POST"}[rng.IntN(3)])),
		attribute("http.response.status_code", fmt.Sprintf(`{"intValue":%d}`, []int{200, 200, 200, 201, 404, 500}[rng.IntN(6)])),
	}
	kind := 2
	if k%2 == 0 {
		attributes = append(attributes, attribute("url.path", text(path)), attribute("http.route", text("/api/"+service+"/{id}")))
	} else {
		kind = 3
		attributes = append(attributes, attribute("server.address", text(services[(k/2+1)%len(services)])))
	}
	parentMember := ""
	if k > 0 {
		parentMember = `"parentSpanId":"` + parent + `",`
	}
	make := func(filler string) []byte {
		list := attributes
		if filler != "" {
			list = append(list[:len(list):len(list)], attribute("thread.name", text(filler)))
		}
		request, err := otlp.FromJSON([]byte(fmt.Sprintf(`{"resourceSpans":[{"resource":{"attributes":[%s,%s,%s]},"scopeSpans":[{"scope":{"name":"bench","version":"1"},"spans":[`+
			`{"traceId":%q,"spanId":%q,%s"flags":257,"name":%q,"kind":%d,"startTimeUnixNano":"1111111111111111111","endTimeUnixNano":"1222222222222222222","attributes":[%s],"status":{}}]}]}]}`,
			attribute("service.name", text(service)), attribute("telemetry.sdk.language", text("go")), attribute("telemetry.sdk.name", text("opentelemetry")),
			traceID, id, parentMember, "GET /api/"+service+"/{id}", kind, strings.Join(list, ","))))
		if err != nil {
			panic(err) // the text is ours
		}
		return request
	}
	var t spanTemplate
	read := func(request []byte) {
		if err := otlp.Walk(request, func(source, span []byte) bool { t.source, t.data = source, span; return true }); err != nil {
			panic(err)
		}
	}
	if read(make("")); len(t.data) < size-20 {
		read(make(strings.Repeat("worker-", size)[:size-len(t.data)-18-1] + string('0'+rune(rng.IntN(10)))))
	}
	at := func(mark string) int {
		b, _ := hex.DecodeString(mark)
		return bytes.Index(t.data, b)
	}
	number := func(n uint64) int { return bytes.Index(t.data, binary.LittleEndian.AppendUint64(nil, n)) }
	t.traceID, t.id, t.parent = at(traceID), at(id), at(parent)
	t.start, t.end = number(1111111111111111111), number(1222222222222222222)
	return t
}

// spanSource makes requests of spans. It is for one goroutine.
type spanSource struct {
	sets [][]spanTemplate
	rng  *rand.Rand
	ids  *idLog
	list []otlp.SourcedSpan
	room []byte
}

// append appends a request of n spans that end now.
func (s *spanSource) append(dst []byte, n int, now time.Time) []byte {
	s.list, s.room = s.list[:0], s.room[:0]
	traces := (n + SpansPerTrace - 1) / SpansPerTrace
	type chosen struct {
		set   []spanTemplate
		id    [16]byte
		spans [SpansPerTrace]uint64
		start uint64
	}
	all := make([]chosen, traces)
	for i := range all {
		c := &all[i]
		c.set = s.sets[s.rng.IntN(len(s.sets))]
		binary.BigEndian.PutUint64(c.id[:], s.rng.Uint64())
		binary.BigEndian.PutUint64(c.id[8:], s.rng.Uint64())
		binary.BigEndian.PutUint32(c.id[:], uint32(now.Unix()))
		c.start = uint64(now.UnixNano()) - uint64(50_000_000+s.rng.IntN(100_000_000))
		for k := range c.spans {
			c.spans[k] = s.rng.Uint64() | 1
		}
		if s.ids != nil {
			if s.ids.n%s.ids.every == 0 {
				s.ids.ids = append(s.ids.ids, segment.TraceID(c.id).String())
			}
			s.ids.n++
		}
	}
	left := n
	for k := range SpansPerTrace {
		for i := range all {
			if left == 0 {
				break
			}
			left--
			c := &all[i]
			t := &c.set[k]
			from := len(s.room)
			s.room = append(s.room, t.data...)
			b := s.room[from:]
			copy(b[t.traceID:], c.id[:])
			binary.BigEndian.PutUint64(b[t.id:], c.spans[k])
			if t.parent >= 0 {
				binary.BigEndian.PutUint64(b[t.parent:], c.spans[k-1])
			}
			step := uint64(s.rng.IntN(4_000_000))
			binary.LittleEndian.PutUint64(b[t.start:], c.start+uint64(k)*2_000_000+step/2)
			binary.LittleEndian.PutUint64(b[t.end:], c.start+90_000_000-uint64(k)*2_000_000-step/2)
			s.list = append(s.list, otlp.SourcedSpan{Source: t.source, Span: b})
		}
	}
	return otlp.AppendTraces(dst, s.list)
}
