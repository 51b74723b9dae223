package pebblestore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roentgen-io/roentgen/internal/trace"
)

const (
	// openDictionaries is how many parts the roller keeps the dictionaries of, to encode rows
	// with: rows mostly are of the newest part, or of the one before.
	openDictionaries = 4
	// readDictionaries is how many more are kept to decode rows with.
	readDictionaries = 6
)

// dictionaries are the dictionaries of parts that are in memory. A row is encoded with that of
// its home part; every word that it names comes into Pebble with it or before.
//
// The roller alone adds to dictionaries, and those that it has open hold every word there is.
// So do the others: nobody has written a row of their parts since they were read.
type dictionaries struct {
	mu    sync.Mutex
	parts []*partDictionary // the latest used comes last
}

type partDictionary struct {
	part uint16
	*trace.Dictionary
	open bool // by the roller
}

// find returns the dictionary of a part, nil when it is not in memory. d.mu is held.
func (d *dictionaries) find(part uint16) *partDictionary {
	i := slices.IndexFunc(d.parts, func(p *partDictionary) bool { return p.part == part })
	if i < 0 {
		return nil
	}
	p := d.parts[i]
	if i < len(d.parts)-1 {
		d.parts = append(slices.Delete(d.parts, i, i+1), p)
	}
	return p
}

// trim closes the dictionaries that the roller has not used for longest, and lets go of those
// that nobody has. None of them may have words that are not written. d.mu is held.
func (d *dictionaries) trim() {
	open := 0
	for _, p := range slices.Backward(d.parts) {
		if p.open {
			open++
			p.open = open <= openDictionaries
		}
	}
	d.letGo(readDictionaries)
}

// letGo keeps so many of the dictionaries that are not open. d.mu is held.
func (d *dictionaries) letGo(keep int) {
	closed := 0
	for i := len(d.parts) - 1; i >= 0; i-- {
		if !d.parts[i].open {
			if closed++; closed > keep {
				d.parts = slices.Delete(d.parts, i, i+1)
			}
		}
	}
}

func (d *dictionaries) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts = nil
}

func (d *dictionaries) forget(part uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts = slices.DeleteFunc(d.parts, func(p *partDictionary) bool { return p.part == part })
}

// decoding returns the dictionary of a part, to decode rows of a snapshot with.
func (d *dictionaries) decoding(inst *instance, snap pebble.Reader, part uint16) (*trace.Dictionary, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.find(part); p != nil {
		return p.Dictionary, nil
	}
	// The snapshot may be older than the latest words, which other readers need.
	loaded, err := loadDictionary(inst, inst.db, part, false)
	if err != nil {
		return nil, err
	}
	if loaded.Len() == 0 { // perhaps the part is gone, but for the snapshot
		return loadDictionary(inst, snap, part, false)
	}
	d.letGo(readDictionaries - 1)
	d.parts = append(d.parts, &partDictionary{part: part, Dictionary: loaded})
	return loaded, nil
}

// encoding returns the dictionary of a part for the roller to encode rows with.
func (d *dictionaries) encoding(inst *instance, part uint16) (*partDictionary, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.find(part); p != nil && p.open {
		return p, nil
	}
	loaded, err := loadDictionary(inst, inst.db, part, true)
	if err != nil {
		return nil, err
	}
	d.parts = slices.DeleteFunc(d.parts, func(p *partDictionary) bool { return p.part == part })
	p := &partDictionary{part: part, Dictionary: loaded, open: true}
	d.parts = append(d.parts, p) // it is not closed before its words are written
	return p, nil
}

func loadDictionary(inst *instance, from pebble.Reader, part uint16, encoding bool) (*trace.Dictionary, error) {
	lower, upper := partSpan(tagWord, part)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, inst.readError("read words", err)
	}
	defer it.Close()
	var words [][]byte
	for ok := it.First(); ok; ok = it.Next() {
		if n, ok := decodeWordKey(it.Key()); !ok || n != uint32(len(words)) {
			return nil, corrupt(it.Key(), fmt.Errorf("word %d is missing", len(words)))
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, inst.readError("read words", err)
		}
		words = append(words, bytes.Clone(value))
	}
	if err := it.Error(); err != nil {
		return nil, inst.readError("read words", err)
	}
	d, err := trace.NewDictionary(words, encoding)
	if err != nil {
		return nil, corrupt(lower, err)
	}
	return d, nil
}

// write adds the words that the rows of a step brought to its batch. It returns key, which is
// room to use.
func (d *dictionaries) write(b *pebble.Batch, key []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.parts {
		first, words := p.Added()
		for i, word := range words {
			key = appendWordKey(key[:0], p.part, uint32(first+i))
			must(b.Set(key, word, nil))
		}
	}
	d.trim()
	return key
}

func appendWordKey(dst []byte, part uint16, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendPart(dst, tagWord, part), n)
}

func decodeWordKey(key []byte) (n uint32, ok bool) {
	if len(key) != 1+2+4 || key[0] != tagWord {
		return 0, false
	}
	return binary.BigEndian.Uint32(key[3:]), true
}
