package servicegraph

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// randomContribution makes observations that often agree in something.
func randomContribution(rng *rand.Rand) Contribution {
	names := []string{"shop", "stock", "a.example.com:8080", "https://sqs.eu-central-1.amazonaws.com/1/q"}
	node := func() Node {
		return Node{ServiceID: trace.ServiceID{Name: names[rng.IntN(len(names))], Type: []string{"", "remote", "AWS::S3"}[rng.IntN(3)]}, Kind: Kind(1 + rng.IntN(4))}
	}
	c := Contribution{
		At: rng.Int64N(1e6), Key: Key{From: node()}, Outcome: Outcome(rng.IntN(4)), Root: rng.IntN(2) == 0,
		Response: []int64{0, 1, 499_999, 500_000, 3e6, 17e9, 86400e9, maxNanos, rng.Int64N(1e9), rng.Int64N(100e9)}[rng.IntN(10)],
		Start:    []int64{0, -1, minStart, maxStart, 1_700_000_000 + rng.Int64N(100), 1_700_000_000 + rng.Int64N(100_000)}[rng.IntN(6)],
	}
	c.Envelope = c.Response
	if rng.IntN(2) == 0 {
		c.Key.To = node()
		if rng.IntN(2) == 0 {
			c.Alias = Alias{Name: names[rng.IntN(len(names))], Type: "remote"}
		}
	} else if rng.IntN(3) == 0 {
		c.Envelope += rng.Int64N(1e9)
	}
	return c
}

// plain counts the same with maps: what a cell holds, once more without its
// lists and their order.
func plain(list []Contribution) string {
	var sums [5]int64
	counts := map[string]int64{}
	add := func(format string, args ...any) func(int64) {
		key := fmt.Sprintf(format, args...)
		return func(n int64) {
			if counts[key] += n; counts[key] == 0 {
				delete(counts, key)
			}
		}
	}
	for _, c := range list {
		sums[c.Outcome]++
		if c.Root {
			sums[4]++
		}
		b, e := bucketOf(c.Response), bucketOf(c.Envelope)
		add("response %d", b.key)(1)
		add("response rest %d", b.key)(b.rest)
		if c.Envelope != c.Response {
			add("envelope %d", b.key)(-1)
			add("envelope rest %d", b.key)(-b.rest)
			add("envelope %d", e.key)(1)
			add("envelope rest %d", e.key)(e.rest)
		}
		add("start %d", c.Start)(1)
		if c.Alias.Name != "" {
			add("alias %q %q", c.Alias.Name, c.Alias.Type)(1)
		}
	}
	return fmt.Sprint(sums, counts)
}

func (c *Cell) describe() string {
	counts := map[string]int64{}
	set := func(n int64, format string, args ...any) {
		if n != 0 {
			counts[fmt.Sprintf(format, args...)] = n
		}
	}
	for _, b := range c.response.settle() {
		set(b.n, "response %d", b.key)
		set(b.rest, "response rest %d", b.key)
	}
	for _, b := range c.envelope.settle() {
		set(b.n, "envelope %d", b.key)
		set(b.rest, "envelope rest %d", b.key)
	}
	for _, s := range c.starts.settle() {
		set(s.n, "start %d", s.seconds())
	}
	for _, a := range c.aliases.settle() {
		set(a.n, "alias %q %q", a.name, a.typ)
	}
	return fmt.Sprint([5]int64{c.OK, c.Error, c.Throttle, c.Fault, c.Roots}, counts)
}

func TestCellIsASum(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var kept []Contribution
		cells := make([]Cell, 1+rng.IntN(5))
		for range rng.IntN(600) {
			c := &cells[rng.IntN(len(cells))]
			if rng.IntN(4) == 0 && len(kept) > 0 { // take one away, from any cell
				i := rng.IntN(len(kept))
				c.Add(&kept[i], -1)
				kept = append(kept[:i], kept[i+1:]...)
				continue
			}
			o := randomContribution(rng)
			kept = append(kept, o)
			c.Add(&o, 1)
		}
		var merged, encoded Cell
		for i := range cells {
			merged.Merge(&cells[i])
			if err := encoded.MergeBinary(cells[i].AppendBinary(nil)); err != nil {
				t.Fatal(err)
			}
		}
		want := plain(kept)
		if got := merged.describe(); got != want {
			t.Fatalf("seed %d: merged cells hold\n%s\nwant\n%s", seed, got, want)
		}
		if got := encoded.describe(); got != want {
			t.Fatalf("seed %d: merged encodings hold\n%s\nwant\n%s", seed, got, want)
		}
		data := merged.AppendBinary(nil)
		if !bytes.Equal(data, encoded.AppendBinary(nil)) {
			t.Fatalf("seed %d: equal cells have different encodings", seed)
		}
		var back Cell
		if err := back.UnmarshalBinary(data); err != nil || back.describe() != want {
			t.Fatalf("seed %d: decoded %s, %v", seed, back.describe(), err)
		}
		for i := range kept {
			merged.Add(&kept[i], -1)
		}
		if !merged.IsZero() || merged.IsZero() != (len(merged.AppendBinary(nil)) == len((&Cell{}).AppendBinary(nil))) {
			t.Fatalf("seed %d: without everything the cell holds %s", seed, merged.describe())
		}
	}
}

func TestBuckets(t *testing.T) {
	for _, c := range []struct {
		nanos  int64
		key    int64
		millis int64
	}{
		{0, 0, 0}, {-5, 0, 0}, {499_999, 0, 0}, {500_000, 1, 1}, {16_383e6, 16383, 16383},
		{16_384e6, 16384, 16384}, {16_385e6, 16384, 16384}, {16_386e6, 16385, 16386},
		{32_768e6, 24576, 32768}, {32_771e6, 24576, 32768}, {32_772e6, 24577, 32772},
	} {
		b := bucketOf(c.nanos)
		if b.key != c.key || b.millis() != c.millis || b.millis()*1e6+b.rest != max(c.nanos, 0) {
			t.Errorf("bucketOf(%d) = %+v at %d ms, want key %d at %d ms", c.nanos, b, b.millis(), c.key, c.millis)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		n := int64(math.Exp(rng.Float64() * math.Log(maxNanos)))
		b, next := bucketOf(n), bucketOf(n+1e6)
		if b.millis()*1e6+b.rest != n || b.key > next.key || b.key > maxBucket {
			t.Fatalf("bucketOf(%d) = %+v at %d ms", n, b, b.millis())
		}
		if width := b.rest; n > 16_384e6 && (width < -500_000 || float64(width) > float64(n)/8192) {
			t.Fatalf("bucketOf(%d) lies %d ns away", n, b.rest)
		}
	}
	if b := bucketOf(math.MaxInt64); b.key != maxBucket {
		t.Errorf("the longest duration has bucket %d of %d", b.key, maxBucket)
	}
}

func TestCoarsen(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 8))
		var whole, parts Cell
		for range 1 + rng.IntN(200) {
			o := randomContribution(rng)
			whole.Add(&o, 1)
			var part Cell
			part.Add(&o, 1)
			part.Coarsen(Minute)
			parts.Merge(&part)
		}
		whole.Coarsen(Minute)
		if whole.describe() != parts.describe() {
			t.Fatalf("seed %d: coarse parts sum up to\n%s\nthe coarse sum is\n%s", seed, parts.describe(), whole.describe())
		}
		for _, s := range whole.starts.settle() {
			if s.unit() != Minute || s.seconds()%60 != 0 {
				t.Fatalf("start %d in unit %d", s.seconds(), s.unit())
			}
		}
		whole.Coarsen(Hour)
		parts.Coarsen(Hour)
		parts.Coarsen(Minute) // makes nothing finer
		if !bytes.Equal(whole.AppendBinary(nil), parts.AppendBinary(nil)) {
			t.Fatalf("seed %d: hours differ", seed)
		}
	}
}

func TestKeys(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	seen := map[string]Key{}
	for range 2000 {
		k := randomContribution(rng).Key
		data := k.AppendBinary(nil)
		back, err := DecodeKey(data)
		if err != nil || back != k {
			t.Fatalf("%+v comes back as %+v, %v", k, back, err)
		}
		if other, ok := seen[string(data)]; ok && other != k {
			t.Fatalf("%+v and %+v have one encoding", k, other)
		}
		seen[string(data)] = k
	}
	long := Key{From: Node{ServiceID: trace.ServiceID{Name: strings.Repeat("ü", 600)}, Kind: KindReported}}
	back, err := DecodeKey(long.AppendBinary(nil))
	if want := strings.Repeat("ü", 512); err != nil || back.From.Name != want {
		t.Errorf("a long name comes back as %q, %v", back.From.Name, err)
	}
	for _, bad := range []string{"", "\x00\x00\x00\x00", "\x05\x00\x00\x00", "\x01\x05abc", "\x01\x00\x00\x00\x01", "\x01\xff\xff\xff\xff\x0f"} {
		if k, err := DecodeKey([]byte(bad)); !errors.Is(err, ErrKey) {
			t.Errorf("%q decodes to %+v, %v", bad, k, err)
		}
	}
}

// example is the cell of docs/format/cell.md.
func example() *Cell {
	var c Cell
	c.Add(&Contribution{Outcome: OK, Response: 12_300_000, Envelope: 12_300_000, Start: 1_700_000_000, Alias: Alias{"stock:8080", "remote"}}, 1)
	c.Add(&Contribution{Outcome: Fault, Response: 20_000_000, Envelope: 20_000_000, Start: 1_700_000_001, Alias: Alias{"stock:8080", "remote"}, Root: true}, 1)
	return &c
}

// TestFormatDocument holds the example of the page on the format against the code.
func TestFormatDocument(t *testing.T) {
	page, err := os.ReadFile("../../docs/format/cell.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "## Example")
	if !ok {
		t.Fatal("the page has no example")
	}
	_, text, _ = strings.Cut(text, "```\n")
	text, _, _ = strings.Cut(text, "```")
	var digits strings.Builder
	for line := range strings.Lines(text) {
		for _, word := range strings.Fields(line) {
			if b, err := hex.DecodeString(word); err != nil || len(b) != 1 {
				break
			}
			digits.WriteString(word)
		}
	}
	if got := hex.EncodeToString(example().AppendBinary(nil)); got != digits.String() {
		t.Errorf("the page says\n%s\nthe code writes\n%s", digits.String(), got)
	}
}

func FuzzCell(f *testing.F) {
	f.Add(example().AppendBinary(nil))
	f.Add((&Cell{}).AppendBinary(nil))
	rng := rand.New(rand.NewPCG(5, 5))
	for range 5 {
		var c Cell
		for range 20 {
			o := randomContribution(rng)
			c.Add(&o, 1)
		}
		f.Add(c.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := example()
		before := c.describe()
		if err := c.MergeBinary(data); err != nil {
			if !errors.Is(err, ErrCell) || c.describe() != before {
				t.Fatalf("%v; the cell holds %s", err, c.describe())
			}
			return
		}
		var d Cell
		if err := d.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if again := d.AppendBinary(nil); !bytes.Equal(again, data) {
			t.Fatalf("%x is written again as %x", data, again)
		}
	})
}

func FuzzKey(f *testing.F) {
	rng := rand.New(rand.NewPCG(6, 6))
	for range 5 {
		k := randomContribution(rng).Key
		f.Add(k.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := DecodeKey(data)
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Fatal(err)
			}
			return
		}
		if again := k.AppendBinary(nil); !bytes.Equal(again, data) {
			t.Fatalf("%x is written again as %x", data, again)
		}
	})
}
