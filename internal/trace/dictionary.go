package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/roentgen-io/roentgen/segment"
)

// Dictionary numbers words: strings and annotations that row after row has, so that
// encoded rows name them by number. It only grows. One goroutine encodes rows with it, which
// adds to it; any number decode rows at the same time.
//
// A word is taken in when it comes a second time within the latest some ten thousand that
// were not in: what every trace has of its own, such as ids, stays out.
type Dictionary struct {
	words atomic.Pointer[[]word]

	// What follows is the encoder's. Without it (NewDictionary was not told to encode) the dictionary is for decoding.
	strings     map[string]uint32
	annotations map[Annotation]uint32
	seen        []uint32 // fingerprints of words that came once, by hash
	bytes       int
	added       int // words that Added did not give yet

	terms []wordTerms // of the words

	// Of the row that was encoded last: for each annotation its number, from 1; 0: it has none.
	numbers []uint32

	// Of the row that is being encoded: the words that it names, and what follows them.
	usedAnnotations, usedStrings []uint32
	body                         []byte
}

// word is a string, or an annotation when its type is not 0.
type word struct {
	text       string
	annotation Annotation
}

// wordTerms are the terms of an annotation: of its key and its value, and of the other form
// of the key. They are worked out when they are wanted first.
type wordTerms struct {
	known, hasAlias                    bool
	key, value, aliasKey, aliasOfValue Term
}

const (
	maxWords      = 1 << 15
	maxWordsBytes = 1 << 20
	// minWordLen is the length of a string from which on a number is shorter.
	minWordLen = 3
	maxWordLen = 512
	wordsSeen  = 1 << 14

	wordString     = 0
	wordAnnotation = 1
)

// ErrWord reports bytes that are no encoded word.
var ErrWord = errors.New("trace: not an encoded word")

// NewDictionary makes a dictionary of encoded words, in the order of their numbers. It may
// be used to encode when encoding is set.
func NewDictionary(encoded [][]byte, encoding bool) (*Dictionary, error) {
	d := &Dictionary{}
	words := make([]word, len(encoded))
	if encoding {
		d.strings, d.annotations = make(map[string]uint32), make(map[Annotation]uint32)
		d.seen = make([]uint32, wordsSeen)
	}
	for i, b := range encoded {
		w, err := decodeWord(b)
		if err != nil {
			return nil, fmt.Errorf("word %d: %w", i, err)
		}
		words[i] = w
		if encoding {
			d.know(&w, uint32(i))
		}
	}
	d.words.Store(&words)
	return d, nil
}

func (d *Dictionary) know(w *word, n uint32) {
	if w.annotation.Type != segment.TypeAbsent {
		d.annotations[w.annotation] = n
	} else {
		d.strings[w.text] = n
	}
	d.bytes += len(w.text) + len(w.annotation.Key) + len(w.annotation.String)
}

// Len returns the number of words.
func (d *Dictionary) Len() int { return len(*d.words.Load()) }

// Added returns the number of the first of the words that came in since it was asked last, and
// these, encoded.
func (d *Dictionary) Added() (first int, encoded [][]byte) {
	words := *d.words.Load()
	first = len(words) - d.added
	for i := range words[first:] {
		encoded = append(encoded, words[first+i].append(nil))
	}
	d.added = 0
	return first, encoded
}

// AppendTexts appends an encoded row, which may be anything, and the texts of the words that
// it names: so every text of the row stands somewhere in the result, which begins as the row.
func (d *Dictionary) AppendTexts(dst, row []byte) []byte {
	dst = append(dst, row...)
	at, ok := wordsAt(row)
	if !ok {
		return dst
	}
	words := *d.words.Load()
	for range 2 { // annotations and strings
		n, k := binary.Uvarint(at)
		if k <= 0 || n > uint64(len(at)) {
			return dst
		}
		at = at[k:]
		for range n {
			i, k := binary.Uvarint(at)
			if k <= 0 || i >= uint64(len(words)) {
				return dst
			}
			at = at[k:]
			w := &words[i]
			for _, text := range [...]string{w.text, w.annotation.Key, w.annotation.String} {
				if text != "" {
					dst = append(append(dst, text...), 0xff) // which stands in no text
				}
			}
		}
	}
	return dst
}

// numberOf returns the number of a string.
func (d *Dictionary) numberOf(s string) (uint32, bool) {
	if len(s) < minWordLen || len(s) > maxWordLen {
		return 0, false
	}
	if n, ok := d.strings[s]; ok {
		return n, true
	}
	if !d.again(xxhash.Sum64String(s)) {
		return 0, false
	}
	return d.add(word{text: strings.Clone(s)})
}

// annotationOf returns the number of an annotation.
func (d *Dictionary) annotationOf(a *Annotation) (uint32, bool) {
	if len(a.Key)+len(a.String) > maxWordLen || math.IsNaN(a.Number) {
		return 0, false
	}
	if n, ok := d.annotations[*a]; ok {
		return n, true
	}
	h := xxhash.Sum64String(a.Key)*31 + xxhash.Sum64String(a.String) + math.Float64bits(a.Number)*0x9e3779b97f4a7c15 + uint64(a.Type)
	if a.Bool {
		h++
	}
	if !d.again(h) {
		return 0, false
	}
	own := *a
	own.Key, own.String = strings.Clone(a.Key), strings.Clone(a.String)
	return d.add(word{annotation: own})
}

// termsOf returns the terms of a word, which is an annotation.
func (d *Dictionary) termsOf(n uint32) *wordTerms {
	for len(d.terms) <= int(n) {
		d.terms = append(d.terms, wordTerms{})
	}
	t := &d.terms[n]
	if !t.known {
		a := (*d.words.Load())[n].annotation
		t.known, t.key, t.value = true, TermKey(a.Key), TermValue(a)
		if alias := AliasKey(a.Key); alias != a.Key {
			a.Key = alias
			t.hasAlias, t.aliasKey, t.aliasOfValue = true, TermKey(alias), TermValue(a)
		}
	}
	return t
}

// again reports whether a hash came before.
func (d *Dictionary) again(h uint64) bool {
	at := &d.seen[h%wordsSeen]
	print := uint32(h>>32) | 1
	if *at == print {
		*at = 0
		return true
	}
	*at = print
	return false
}

func (d *Dictionary) add(w word) (uint32, bool) {
	words := *d.words.Load()
	if len(words) >= maxWords || d.bytes >= maxWordsBytes {
		return 0, false
	}
	n := uint32(len(words))
	words = append(words, w) // readers see no more of it than they did
	d.words.Store(&words)
	d.know(&w, n)
	d.added++
	return n, true
}

func (w *word) append(dst []byte) []byte {
	a := &w.annotation
	if a.Type == segment.TypeAbsent {
		return append(append(dst, wordString), w.text...)
	}
	typ := byte(a.Type)
	if a.Attribute {
		typ |= annotationAttribute
	}
	dst = append(dst, wordAnnotation, typ)
	dst = binary.AppendUvarint(dst, uint64(len(a.Key)))
	dst = append(dst, a.Key...)
	switch a.Type {
	case segment.TypeNumber:
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(a.Number))
	case segment.TypeBool:
		dst = append(dst, boolByte(a.Bool))
	default:
		dst = append(dst, a.String...)
	}
	return dst
}

func decodeWord(b []byte) (w word, err error) {
	if len(b) > 0 && b[0] == wordString {
		return word{text: string(b[1:])}, nil
	}
	if len(b) < 3 || b[0] != wordAnnotation {
		return w, ErrWord
	}
	a := &w.annotation
	a.Type, a.Attribute = segment.Type(b[1]&^annotationAttribute), b[1]&annotationAttribute != 0
	n, k := binary.Uvarint(b[2:])
	if k <= 0 || n > uint64(len(b)-2-k) {
		return w, ErrWord
	}
	text := string(b[2+k:])
	a.Key = text[:n]
	value := text[n:]
	switch {
	case a.Type == segment.TypeString:
		a.String = value
	case a.Type == segment.TypeNumber && len(value) == 8:
		a.Number = math.Float64frombits(binary.LittleEndian.Uint64([]byte(value)))
		if math.IsNaN(a.Number) || math.IsInf(a.Number, 0) {
			return w, ErrWord
		}
	case a.Type == segment.TypeBool && len(value) == 1 && value[0] <= 1:
		a.Bool = value[0] == 1
	default:
		return w, ErrWord
	}
	return w, nil
}
