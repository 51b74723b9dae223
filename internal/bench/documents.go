// Package bench makes load and measures a server under it: documents of chosen
// sizes over HTTP and UDP, reads of traces, and, in the same run, a server that
// only reads and discards the same bodies, as the ceiling of what the machine
// and the protocol allow.
package bench

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// DocumentsPerTrace is how many segment documents share one trace id: a front
// service that calls four others.
const DocumentsPerTrace = 5

// One trace of RareEvery comes from RareService, whose segments have the
// annotation RareKey: what searches look for.
const (
	RareEvery   = 20_000
	RareService = "ledger"
	RareKey     = "needle"
)

// sets is how many sets of templates a load is made from. One of them has the
// annotation CommonKey.
const (
	templateSets = 256
	CommonKey    = "wave"
)

const hexDigits = "0123456789abcdef"

// template is a document text whose ids and times are patched before each use.
type template struct {
	text                []byte
	traceID, id, parent int   // offsets; parent is -1 in a root
	starts, ends        []int // offsets of "1234567890.123456", the document's own first
	nested              []int // offsets of nested ids
	escaped             bool
}

const (
	markTrace  = "1-00000000-000000000000000000000000"
	markID     = "1111111111111111"
	markParent = "2222222222222222"
	markNested = "3333333333333333"
	markStart  = "1000000000.000001"
	markEnd    = "1000000000.000002"
)

// Templates makes n sets of DocumentsPerTrace document templates of about size
// bytes each, alike for the same seed. The texts are ready for a JSON string
// (escaped) or as they are (for UDP).
func Templates(n, size int, escaped bool, seed uint64) [][]*template {
	rng := rand.New(rand.NewPCG(seed, uint64(size)))
	sets := make([][]*template, n)
	for i := range sets {
		for k := range DocumentsPerTrace {
			extra := ""
			if i == 0 && k == 0 {
				extra = `,"` + CommonKey + `":true`
			}
			sets[i] = append(sets[i], newTemplate(rng, services[k%len(services)], extra, k, size, escaped))
		}
	}
	return sets
}

// rareSet is the templates of a rare trace: RareService in front, the others behind.
func rareSet(size int, escaped bool, seed uint64) []*template {
	rng := rand.New(rand.NewPCG(seed, uint64(size)+1))
	set := []*template{newTemplate(rng, RareService, `,"`+RareKey+`":true`, 0, size, escaped)}
	for k := 1; k < DocumentsPerTrace; k++ {
		set = append(set, newTemplate(rng, services[k%len(services)], "", k, size, escaped))
	}
	return set
}

var services = []string{"gateway", "catalogue", "cart", "payments", "orders"}

var words = strings.Fields(`order item customer basket price stock warehouse parcel invoice refund voucher session
	token request payload region shard replica leader follower queue topic partition offset retry deadline budget
	cache miss hit evict renew lease grant revoke policy tenant plan trial active suspended region north south east west`)

// newTemplate makes the template of a document of the service name, the k-th of
// its trace; extra are further annotations, such as `,"a":1`.
func newTemplate(rng *rand.Rand, name, extra string, k, size int, escaped bool) *template {
	var b strings.Builder
	fmt.Fprintf(&b, `{"trace_id":"%s","id":"%s","name":"%s","start_time":%s,"end_time":%s`, markTrace, markID, name, markStart, markEnd)
	if k > 0 {
		fmt.Fprintf(&b, `,"parent_id":"%s"`, markParent)
	}
	if size >= 600 {
		status := []int{200, 200, 200, 200, 201, 204, 404, 500}[rng.IntN(8)]
		fmt.Fprintf(&b, `,"http":{"request":{"method":"%s","url":"https://shop.example/%s/%d","client_ip":"10.%d.%d.%d"},"response":{"status":%d,"content_length":%d}}`,
			[]string{"GET", "POST"}[rng.IntN(2)], words[rng.IntN(len(words))], rng.IntN(100000), rng.IntN(256), rng.IntN(256), rng.IntN(256), status, rng.IntN(100000))
		if status >= 500 {
			b.WriteString(`,"fault":true`)
		} else if status >= 400 {
			b.WriteString(`,"error":true`)
		}
		fmt.Fprintf(&b, `,"origin":"AWS::ECS::Container","aws":{"account_id":"123456789012","ecs":{"container":"%s-%x"},"xray":{"sdk":"X-Ray for Go","sdk_version":"1.8.5"}}`, name, rng.Uint32())
		fmt.Fprintf(&b, `,"annotations":{"tenant":"t-%d","plan":"%s","value":%d%s}`, rng.IntN(2000), words[rng.IntN(len(words))], rng.IntN(1000), extra)
		fmt.Fprintf(&b, `,"subsegments":[{"id":"%s","name":"DynamoDB","namespace":"aws","start_time":%s,"end_time":%s,"aws":{"operation":"GetItem","region":"eu-west-1","table_name":"%s","request_id":"%X"}}]`,
			markNested, markStart, markEnd, words[rng.IntN(len(words))], rng.Uint64())
	} else if size >= 280 {
		fmt.Fprintf(&b, `,"annotations":{"tenant":"t-%d"%s}`, rng.IntN(2000), extra)
	}
	b.WriteString(`,"metadata":{"default":{"note":"`)
	for b.Len() < size-4 {
		b.WriteString(words[rng.IntN(len(words))])
		fmt.Fprintf(&b, " %x ", rng.Uint32()&0xffff)
	}
	b.WriteString(`"}}}`)
	text := b.String()
	if escaped {
		quoted, err := json.Marshal(text)
		if err != nil {
			panic(err) // a string always marshals
		}
		text = string(quoted)
	}
	t := &template{text: []byte(text), escaped: escaped}
	t.traceID = strings.Index(text, markTrace)
	t.id = strings.Index(text, markID)
	t.parent = strings.Index(text, markParent)
	t.starts, t.ends = offsets(text, markStart), offsets(text, markEnd)
	t.nested = offsets(text, markNested)
	return t
}

// offsets returns where mark stands in text.
func offsets(text, mark string) (list []int) {
	for at := 0; ; at += len(mark) {
		i := strings.Index(text[at:], mark)
		if i < 0 {
			return list
		}
		at += i
		list = append(list, at)
	}
}

// source makes documents for one client. It is used by one goroutine.
type source struct {
	sets [][]*template
	rare []*template // nil: none
	rng  *rand.Rand
	set  []*template
	k    int
	id   [16]byte // raw trace id
	root uint64   // id of the trace's first segment
	ids  *idLog
}

// idLog collects ids of traces written, for reading them back.
type idLog struct {
	every int // keep one id in so many
	n     int
	ids   []string
}

func newSource(sets [][]*template, seed uint64, ids *idLog) *source {
	return &source{sets: sets, rng: rand.New(rand.NewPCG(seed, 77)), ids: ids}
}

// append appends the next document to dst.
func (s *source) append(dst []byte, now time.Time) []byte {
	if s.set == nil || s.k == len(s.set) {
		s.set, s.k = s.sets[s.rng.IntN(len(s.sets))], 0
		if s.rare != nil && s.rng.IntN(RareEvery) == 0 {
			s.set = s.rare
		}
		epoch := uint32(now.Unix())
		s.id = [16]byte{byte(epoch >> 24), byte(epoch >> 16), byte(epoch >> 8), byte(epoch)}
		for i := 4; i < 16; i += 4 {
			r := s.rng.Uint32()
			s.id[i], s.id[i+1], s.id[i+2], s.id[i+3] = byte(r>>24), byte(r>>16), byte(r>>8), byte(r)
		}
		s.root = s.rng.Uint64()
		if s.ids != nil {
			if s.ids.n%s.ids.every == 0 {
				s.ids.ids = append(s.ids.ids, string(appendTraceID(nil, s.id)))
			}
			s.ids.n++
		}
	}
	t := s.set[s.k]
	at := len(dst)
	dst = append(dst, t.text...)
	doc := dst[at:]
	appendTraceID(doc[t.traceID:t.traceID], s.id)
	id := s.root
	if s.k > 0 {
		id = s.rng.Uint64()
		putHex(doc[t.parent:], s.root)
	}
	putHex(doc[t.id:], id)
	for _, n := range t.nested {
		putHex(doc[n:], s.rng.Uint64())
	}
	// What is nested lies within what nests it.
	end := now.Add(-time.Duration(s.rng.IntN(1000)) * time.Microsecond)
	start := end.Add(-time.Duration(100+s.rng.IntN(800000)) * time.Microsecond)
	for i := range t.starts {
		step := end.Sub(start) * time.Duration(i) / time.Duration(2*len(t.starts))
		putTime(doc[t.starts[i]:], start.Add(step))
		putTime(doc[t.ends[i]:], end.Add(-step))
	}
	s.k++
	return dst
}

func appendTraceID(dst []byte, id [16]byte) []byte {
	dst = append(dst, '1', '-')
	dst = hex.AppendEncode(dst, id[:4])
	dst = append(dst, '-')
	return hex.AppendEncode(dst, id[4:])
}

func putHex(dst []byte, v uint64) {
	for i := 15; i >= 0; i-- {
		dst[i] = hexDigits[v&15]
		v >>= 4
	}
}

// putTime writes seconds with six decimals, 17 bytes.
func putTime(dst []byte, t time.Time) {
	us := t.UnixMicro()
	for i := 16; i >= 0; i-- {
		if i == 10 {
			dst[i] = '.'
			continue
		}
		dst[i] = byte('0' + us%10)
		us /= 10
	}
}
