package servicegraph

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// benchTraces are traces of about the shape that services send.
func benchTraces(b *testing.B) (traces []*trace.Trace, contributions int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	for len(traces) < 200 {
		docs := history(rng)
		if len(docs) == 0 {
			continue
		}
		tr := trace.Assemble(testTrace, docs)
		traces = append(traces, tr)
		contributions += len(Contributions(nil, tr))
	}
	return traces, contributions
}

func BenchmarkContributions(b *testing.B) {
	traces, n := benchTraces(b)
	var list []Contribution
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		list = Contributions(list[:0], traces[i%len(traces)])
		i++
	}
	b.ReportMetric(float64(n)/float64(len(traces)), "contributions/trace")
}

// BenchmarkCellsAdd adds the traces of a step of a store and encodes the change.
func BenchmarkCellsAdd(b *testing.B) {
	traces, n := benchTraces(b)
	var lists [][]Contribution
	for _, t := range traces {
		lists = append(lists, Contributions(nil, t))
	}
	var key, data []byte
	b.ReportAllocs()
	for b.Loop() {
		cells := Cells{}
		for _, list := range lists {
			for i := range list {
				cells.Add(&list[i], 1)
			}
		}
		for k, c := range cells {
			key = k.AppendBinary(key[:0])
			data = c.AppendBinary(data[:0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/contribution")
}

// BenchmarkMergeBinary merges small encoded changes into a large cell.
func BenchmarkMergeBinary(b *testing.B) {
	for _, size := range []int{10, 100, 5000} {
		rng := rand.New(rand.NewPCG(2, 2))
		cell := func(n int) []byte {
			var c Cell
			for range n {
				d := int64(rng.ExpFloat64() * 2e9)
				c.Add(&Contribution{Response: d, Envelope: d, Start: 1_700_000_000 + rng.Int64N(60)}, 1)
			}
			return c.AppendBinary(nil)
		}
		base := cell(size)
		changes := make([][]byte, 20)
		for i := range changes {
			changes[i] = cell(10)
		}
		b.Run(fmt.Sprintf("observations=%d,changes=20x10", size), func(b *testing.B) {
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				var c Cell
				if err := c.MergeBinary(base); err != nil {
					b.Fatal(err)
				}
				for _, change := range changes {
					if err := c.MergeBinary(change); err != nil {
						b.Fatal(err)
					}
				}
				out = c.AppendBinary(out[:0])
			}
			b.SetBytes(int64(len(out)))
		})
	}
}

func BenchmarkGraph(b *testing.B) {
	traces, _ := benchTraces(b)
	cells := Cells{}
	for _, t := range traces {
		for _, c := range Contributions(nil, t) {
			cells.Add(&c, 1)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		cells.Graph()
	}
}
