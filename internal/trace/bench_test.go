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

// fiveDocuments is a request that goes through five services, each of which reads
// a table, in documents of about 1 KB.
func fiveDocuments(tb testing.TB) []Document {
	var docs []Document
	for i := range 5 {
		parent := ""
		if i > 0 {
			parent = fmt.Sprintf(`"parent_id":"b00000000000000%d",`, i-1)
		}
		doc := fmt.Sprintf(`{"trace_id":"1-5f84c7a1-6b1d0e0aa3c94f0d8b7e2f11","id":"a00000000000000%d",%s"name":"service-%d","origin":"AWS::ECS::Container",`+
			`"start_time":1700000000.%d23,"end_time":1700000001.456,"http":{"request":{"method":"GET","url":"https://service-%d.example.com/items/4711"},`+
			`"response":{"status":200}},"annotations":{"customer":"c-4711","step":%d},"aws":{"xray":{"sdk":"X-Ray for Go","sdk_version":"1.8.5"}},"subsegments":[`+
			`{"id":"c00000000000000%d","name":"DynamoDB","namespace":"aws","start_time":1700000000.7,"end_time":1700000000.75,"http":{"response":{"status":200}},`+
			`"aws":{"operation":"GetItem","table_name":"items-%d","region":"eu-north-1","request_id":"0123456789ABCDEF"}}`, i, parent, i, i, i, i, i, i)
		if i < 4 {
			doc += fmt.Sprintf(`,{"id":"b00000000000000%d","name":"service-%d.example.com","namespace":"remote","start_time":1700000000.8,"end_time":1700000001.4,`+
				`"http":{"request":{"method":"GET","url":"https://service-%d.example.com/","traced":true},"response":{"status":200}}}`, i, i+1, i+1)
		}
		docs = append(docs, Document{Seq: uint64(i + 1), Put: uint64(i + 1), Received: 1700000002000, Segment: parse(tb, doc+"]}")})
	}
	return docs
}

// BenchmarkAssembleFive is BenchmarkAssembleOne for five documents.
func BenchmarkAssembleFive(b *testing.B) {
	docs := fiveDocuments(b)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = AssembleRow(propertyTrace, docs).AppendBinary(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "B/row")
}

func BenchmarkTerms(b *testing.B) {
	row := AssembleRow(propertyTrace, fiveDocuments(b))
	var terms []Term
	b.ReportAllocs()
	for b.Loop() {
		terms = row.AppendTerms(terms[:0])
	}
	b.ReportMetric(float64(len(terms)), "terms")
}

func BenchmarkRowDecode(b *testing.B) {
	for name, docs := range map[string][]Document{"one": oneDocument(b), "five": fiveDocuments(b)} {
		data, err := AssembleRow(propertyTrace, docs).AppendBinary(nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var r Row
				if err := r.UnmarshalBinary(data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+" with a reader", func(b *testing.B) {
			b.ReportAllocs()
			var r RowReader
			for b.Loop() {
				if _, err := r.Read(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
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
