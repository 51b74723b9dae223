package trace

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/roentgen-io/roentgen/segment"
)

func emptyDictionary(t testing.TB) *Dictionary {
	t.Helper()
	d, err := NewDictionary(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestRowsWithWords encodes random rows with one dictionary, which is closed and read again
// in between, and compares what comes back. Every text of a row stands in what AppendTexts makes.
func TestRowsWithWords(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	d := emptyDictionary(t)
	var words, encoded [][]byte
	var rows []*Row
	plain := 0
	for i := range 2000 {
		row := randomRow(rng)
		if i%3 > 0 {
			row = rows[rng.IntN(len(rows))].Clone() // so that words come again
			row.FirstSeq++
		}
		data, err := row.AppendWith(nil, d)
		if err != nil {
			t.Fatal(err)
		}
		first, added := d.Added()
		if first != len(words) {
			t.Fatalf("words from %d on came in, %d are known", first, len(words))
		}
		words = append(words, added...)
		terms, want := row.AppendTermsWith(nil, d), row.AppendTerms(nil)
		slices.Sort(terms)
		slices.Sort(want)
		if !slices.Equal(terms, want) {
			t.Fatalf("row %d has the terms %x, want %x", i, terms, want)
		}
		alone, err := row.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		plain += len(alone)
		rows, encoded = append(rows, row), append(encoded, data)
		if rng.IntN(100) == 0 {
			if d, err = NewDictionary(words, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	if total := len(slices.Concat(encoded...)); total > plain*3/4 {
		t.Errorf("rows take %d bytes with a dictionary, %d without", total, plain)
	}
	decoding, err := NewDictionary(words, false)
	if err != nil || decoding.Len() != len(words) || len(words) < 100 {
		t.Fatalf("%d words, of %d: %v", decoding.Len(), len(words), err)
	}
	var reader RowReader
	for i, row := range rows {
		var got Row
		if err := got.UnmarshalWith(encoded[i], decoding); err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		if want := row.Clone(); !reflect.DeepEqual(&got, want) {
			t.Fatalf("row %d came back as\n%+v\nwant\n%+v", i, got, *want)
		}
		again, err := reader.ReadWith(encoded[i], decoding)
		if err != nil {
			t.Fatalf("row %d: %v", i, err)
		}
		a, _ := again.AppendBinary(nil)
		if b, _ := row.AppendBinary(nil); !bytes.Equal(a, b) {
			t.Fatalf("row %d is read as another one", i)
		}
		texts := decoding.AppendTexts(nil, encoded[i])
		if !bytes.HasPrefix(texts, encoded[i]) {
			t.Fatalf("row %d: the texts do not begin with the row", i)
		}
		for _, a := range row.Annotations {
			if !bytes.Contains(texts, []byte(a.Key)) || !bytes.Contains(texts, []byte(a.String)) {
				t.Fatalf("row %d: %q or %q is in no text", i, a.Key, a.String)
			}
		}
		for _, s := range append([]string{row.Method, row.URL, row.Root.Name}, row.Users...) {
			if !bytes.Contains(texts, []byte(s)) {
				t.Fatalf("row %d: %q is in no text", i, s)
			}
		}
		for n := range encoded[i][:min(len(encoded[i]), 60)] {
			if err := got.UnmarshalWith(encoded[i][:n], decoding); !errors.Is(err, ErrRow) {
				t.Fatalf("the first %d bytes of row %d: %v, want ErrRow", n, i, err)
			}
			decoding.AppendTexts(nil, encoded[i][:n])
		}
	}
	// Without its words a row cannot be read, and says so.
	refused := 0
	for i := range encoded {
		var got Row
		if err := got.UnmarshalBinary(encoded[i]); errors.Is(err, ErrRow) {
			refused++
		}
	}
	if refused < len(encoded)/2 {
		t.Errorf("%d of %d rows need no words", len(encoded)-refused, len(encoded))
	}
}

// TestWhatIsNoWord holds that what comes once stays out of the dictionary, as does what
// is too long, and that a full dictionary takes nothing more in.
func TestWhatIsNoWord(t *testing.T) {
	d := emptyDictionary(t)
	encode := func(row *Row) {
		if _, err := row.AppendWith(nil, d); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50_000 {
		encode(&Row{Users: []string{fmt.Sprintf("user %d", i), "ab", strings.Repeat("x", 600)}})
	}
	if n := d.Len(); n != 0 {
		t.Errorf("%d words that came once are in, or such as are too short or too long", n)
	}
	encode(&Row{Users: []string{"often"}})
	encode(&Row{Users: []string{"often"}})
	if d.Len() != 1 {
		t.Errorf("%d words, want the one that came twice", d.Len())
	}
	for i := range 2 * maxWords {
		for range 2 {
			encode(&Row{Annotations: []Annotation{{Key: "n", Type: segment.TypeNumber, Number: float64(i)}}})
		}
	}
	if d.Len() != maxWords {
		t.Errorf("%d words, want %d", d.Len(), maxWords)
	}
	long := emptyDictionary(t)
	d = long
	for i := range 10_000 {
		for range 2 {
			encode(&Row{Users: []string{fmt.Sprintf("%0500d", i)}})
		}
	}
	if n := long.Len() * 500; n < maxWordsBytes*9/10 || n > maxWordsBytes+512 {
		t.Errorf("words take %d bytes, want about %d", n, maxWordsBytes)
	}
}

// TestDictionaryWhileItGrows decodes while rows are encoded; the race detector looks on.
func TestDictionaryWhileItGrows(t *testing.T) {
	d := emptyDictionary(t)
	rows := make(chan []byte, 100)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for data := range rows {
				var row Row
				if err := row.UnmarshalWith(data, d); err != nil || row.Users[0] != fmt.Sprintf("user %d", row.Status) {
					t.Errorf("%v: %v of %d", err, row.Users, row.Status)
				}
			}
		})
	}
	for i := range 3000 {
		n := i % 500
		data, err := (&Row{Status: n, Users: []string{fmt.Sprintf("user %d", n)}}).AppendWith(nil, d)
		if err != nil {
			t.Fatal(err)
		}
		rows <- data
	}
	close(rows)
	group.Wait()
}

// FuzzRowWithWords holds that decoding with a dictionary never panics, whatever numbers a
// row has, and that what decodes comes back the same.
func FuzzRowWithWords(f *testing.F) {
	d := emptyDictionary(f)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 8 {
		row := randomRow(rng)
		for range 3 {
			data, err := row.AppendWith(nil, d)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	var reader RowReader
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Row
		d.AppendTexts(nil, data)
		_, readErr := reader.ReadWith(data, d)
		if err := r.UnmarshalWith(data, d); (err == nil) != (readErr == nil) {
			t.Fatalf("%v, but a reader says %v", err, readErr)
		} else if err != nil {
			if !errors.Is(err, ErrRow) {
				t.Fatalf("error %v, want ErrRow", err)
			}
			return
		}
		checkCodec(t, &r)
	})
}

func FuzzWord(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00a string"))
	f.Add([]byte("\x01\x84\x03keyvalue"))
	f.Add([]byte("\x01\x02\x03key\x01"))
	f.Add([]byte("\x01\x03\x03key\x00\x00\x00\x00\x00\x00\xf8\x3f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := decodeWord(data)
		if err != nil {
			if !errors.Is(err, ErrWord) {
				t.Fatalf("error %v, want ErrWord", err)
			}
			return
		}
		back, err := decodeWord(w.append(nil))
		if err != nil || back != w {
			t.Fatalf("%+v came back as %+v, %v", w, back, err)
		}
	})
}
