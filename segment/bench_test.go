package segment

import (
	"fmt"
	"strings"
	"testing"
)

// benchmarkDocuments are documents of about 0.3, 1 and 10 KB as SDKs send them,
// and the number of allocations that reading one may take.
var benchmarkDocuments = []struct {
	name        string
	text        []byte
	allocations float64
}{
	{"0.3KB", []byte(`{"name":"pricing","id":"4be01c55d0a7f2e9","start_time":1763819742.518,"trace_id":"1-6921c0de-4d1a9be02f77c6510e83aa24","parent_id":"5f1e0c4b9a7d3301","end_time":1763819742.549,"http":{"request":{"method":"GET","url":"http://pricing:8080/quote"},"response":{"status":200,"content_length":52}},"aws":{"xray":{"sdk":"X-Ray for Go"}}}`), 1},
	{"1KB", []byte(`{"name":"orders.shop.example","id":"5f1e0c4b9a7d3301","start_time":1763819742.518,"trace_id":"1-6921c0de-4d1a9be02f77c6510e83aa24","end_time":1763819742.93125,"http":{"request":{"url":"https://orders.shop.example/v2/orders/4711","method":"POST","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/145.0","client_ip":"203.0.113.80"},"response":{"status":201,"content_length":861}},"aws":{"ec2":{"availability_zone":"eu-central-1b","instance_id":"i-04c1f29ab37d5e680"},"xray":{"sdk":"X-Ray for Go","sdk_version":"1.8.5"}},"origin":"AWS::EC2::Instance","user":"customer-8812","service":{"version":"2026.47.3","runtime":"go","runtime_version":"go1.26.8","compiler":"gc"},"annotations":{"tenant":"blue","items":3,"express":true,"region":"eu"},"metadata":{"default":{"cart":{"lines":[{"sku":"T-100","count":2,"price":19.99},{"sku":"B-7","count":1,"price":5.25}],"currency":"EUR"},"note":"leave it at the door, ring twice"}},"fault":false,"error":false,"throttle":false,"parent_id":"0b1c2d3e4f506172"}`), 1},
	{"10KB", largeDocument(), 12},
}

// largeDocument is a segment with 28 calls in four groups.
func largeDocument() []byte {
	var b strings.Builder
	b.WriteString(`{"id": "1000000000000001", "name": "checkout", "start_time": 1763819742.5181234, "in_progress": false, "trace_id": "1-6921c0de-5555666677778888999900aa", "end_time": 1763819743.9181234, "aws": {"xray": {"sdk": "X-Ray for Python", "sdk_version": "2.15.0"}}, "service": {"runtime": "CPython", "runtime_version": "3.14.1"}, "subsegments": [`)
	for group := range 4 {
		if group > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, `{"id": "20000000000000%02x", "name": "## step_%d", "start_time": 1763819742.%d181234, "in_progress": false, "end_time": 1763819742.%d981234, "subsegments": [`, group, group, group+5, group+5)
		for call := range 7 {
			if call > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, `{"id": "300000000000%02x%02x", "name": "DynamoDB", "start_time": 1763819742.%d%d81234, "in_progress": false, "namespace": "aws", "end_time": 1763819742.%d%d91234, "aws": {"operation": "GetItem", "region": "eu-central-1", "table_name": "baskets", "request_id": "QX7T0M4PL2J8SA1BN6"}, "http": {"response": {"status": 200, "content_length": %d}}}`, group, call, group+5, call, group+5, call, 100*call)
		}
		b.WriteString("]}")
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	for _, doc := range benchmarkDocuments {
		b.Run(doc.name, func(b *testing.B) {
			b.SetBytes(int64(len(doc.text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(doc.text, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendDocument(b *testing.B) {
	for _, doc := range benchmarkDocuments {
		b.Run(doc.name, func(b *testing.B) {
			s, err := Parse(doc.text, Limits{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(doc.text)))
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = s.AppendDocument(buf[:0])
			}
		})
	}
}

func BenchmarkRefuse(b *testing.B) {
	for name, doc := range map[string]string{
		"torn":    string(benchmarkDocuments[1].text[:900]),
		"no name": strings.Replace(string(benchmarkDocuments[1].text), `"name"`, `"Name"`, 1),
	} {
		text := []byte(doc)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(text, Limits{}); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
