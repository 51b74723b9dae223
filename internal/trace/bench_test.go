package trace

import (
	"fmt"
	"strings"
	"testing"
)

// oneDocument is a document of about 1 KB without subsegments.
func oneDocument(tb testing.TB) []Document {
	doc := `{"trace_id":"1-5f84c7a1-6b1d0e0aa3c94f0d8b7e2f11","id":"a000000000000001","name":"checkout","origin":"AWS::EC2::Instance",` +
		`"start_time":1700000000.123,"end_time":1700000000.456,"user":"ada","http":{"request":{"method":"GET",` +
		`"url":"https://shop.example.com/cart/checkout","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","client_ip":"192.0.2.1"},` +
		`"response":{"status":200,"content_length":1234}},"aws":{"account_id":"111122223333","ec2":{"instance_id":"i-1",` +
		`"availability_zone":"eu-north-1a"},"xray":{"sdk":"X-Ray for Go","sdk_version":"1.8.5"}},` +
		`"annotations":{"customer":"c-4711","items":3,"express":true},"service":{"version":"1.2.3"},"metadata":{"default":{"note":"`
	doc += strings.Repeat("x", 1000-len(doc)) + `"}}}`
	return []Document{{Seq: 1, Put: 1, Received: 1700000001000, Segment: parse(tb, doc)}}
}

// manyDocuments returns a trace of n entities: a segment, and subsegments sent
// on their own and nested in equal parts, some of them calls.
func manyDocuments(tb testing.TB, n int) []Document {
	const head = `{"trace_id":"1-5f84c7a1-6b1d0e0aa3c94f0d8b7e2f11",`
	docs := []Document{{Segment: parse(tb, head+`"id":"a000000000000000","name":"checkout","start_time":1700000000,"end_time":1700000009}`)}}
	for i := 1; i < n; i += 2 {
		parent := (i - 1) / 7 * 2 // an earlier entity, nested or not
		docs = append(docs, Document{Segment: parse(tb, fmt.Sprintf(head+
			`"type":"subsegment","parent_id":"a0%014x","id":"a0%014x","name":"step","start_time":1700000001,"end_time":1700000002,`+
			`"annotations":{"step":%d},"subsegments":[{"id":"a0%014x","name":"DynamoDB","namespace":"aws","start_time":1700000001,`+
			`"end_time":1700000002,"aws":{"operation":"GetItem","table_name":"carts"}}]}`, parent, i, i%50, i+1))})
	}
	for i := range docs {
		docs[i].Seq, docs[i].Put, docs[i].Received = uint64(i+1), uint64(i/50+1), 1700000001000
	}
	return docs
}

// BenchmarkAssembleOne is what the store's roller does for the commonest trace:
// assemble, summarise, encode.
func BenchmarkAssembleOne(b *testing.B) {
	docs := oneDocument(b)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		row := Assemble(propertyTrace, docs).Row()
		buf, _ = row.AppendBinary(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "B/row")
}

func benchmarkAssemble(b *testing.B, n int) {
	docs := manyDocuments(b, n)
	b.ReportAllocs()
	entities := 0
	for b.Loop() {
		t := Assemble(propertyTrace, docs)
		entities = len(t.visible)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(entities), "ns/entity")
}

func BenchmarkAssembleThousand(b *testing.B)    { benchmarkAssemble(b, 1000) }
func BenchmarkAssembleTenThousand(b *testing.B) { benchmarkAssemble(b, 10_000) }

func BenchmarkRow(b *testing.B) {
	t := Assemble(propertyTrace, manyDocuments(b, 1000))
	b.Run("make", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t.Row()
		}
	})
	one := Assemble(propertyTrace, oneDocument(b)).Row()
	data, err := one.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("make one", func(b *testing.B) {
		t := Assemble(propertyTrace, oneDocument(b))
		b.ReportAllocs()
		for b.Loop() {
			t.Row()
		}
	})
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			data, _ = one.AppendBinary(data[:0])
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		var r Row
		for b.Loop() {
			if err := r.UnmarshalBinary(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDocuments(b *testing.B) {
	t := Assemble(propertyTrace, manyDocuments(b, 1000))
	b.ReportAllocs()
	for b.Loop() {
		t.Documents(false)
	}
}
