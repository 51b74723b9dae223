package servicegraph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/roentgen-io/roentgen/internal/trace"
)

// Kind tells how a node is known.
type Kind uint8

const (
	// KindNone is the kind of no node: that of Key.To when the key is a node's.
	KindNone Kind = iota
	// KindReported is a service that sent segments.
	KindReported
	// KindRemote is inferred from calls of namespace remote.
	KindRemote
	// KindInferred is inferred from calls of AWS services and databases.
	KindInferred
	// KindClient is whoever called a root.
	KindClient
	kindsEnd
)

// State returns what the X-Ray API calls the state of a node.
func (k Kind) State() string {
	switch k {
	case KindReported:
		return "active"
	case KindRemote:
		return "passive"
	}
	return "unknown"
}

// Node is a node of the service graph.
type Node struct {
	trace.ServiceID
	Kind Kind
}

const (
	typeClient = "client"
	typeRemote = "remote"

	// maxName bounds each text of a key, in bytes, as rows bound them.
	maxName = 1024
)

// Key names a cell: that of a node, or that of an edge between two nodes. Keys
// are comparable. The texts of keys that Contributions made refer to documents.
type Key struct {
	From Node // the node itself, or where the edge begins
	To   Node // where the edge ends; its kind is KindNone when the key is a node's
}

// IsEdge reports whether the key is that of an edge.
func (k *Key) IsEdge() bool { return k.To.Kind != KindNone }

// ErrKey reports bytes that are no encoded key.
var ErrKey = errors.New("servicegraph: not an encoded key")

// AppendBinary appends the encoded key. The layout is docs/format/cell.md.
// Equal keys have equal encodings, different ones different ones.
func (k *Key) AppendBinary(dst []byte) []byte {
	dst = appendNode(dst, &k.From)
	if k.IsEdge() {
		dst = appendNode(dst, &k.To)
	}
	return dst
}

func appendNode(dst []byte, n *Node) []byte {
	dst = append(dst, byte(n.Kind))
	dst = appendText(dst, n.Name)
	dst = appendText(dst, n.Type)
	return appendText(dst, n.AccountID)
}

func appendText(dst []byte, s string) []byte {
	s = cut(s)
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// DecodeKey decodes what Key.AppendBinary wrote. The texts of the key are
// copies. The error matches ErrKey.
func DecodeKey(data []byte) (Key, error) {
	d := decoder{data: data}
	var k Key
	k.From = d.node()
	if d.at < len(d.data) {
		k.To = d.node()
	}
	if d.bad || d.at != len(data) {
		return Key{}, fmt.Errorf("%w: damaged or cut off at byte %d of %d", ErrKey, d.at, len(data))
	}
	return k, nil
}

// cut returns s, or as much of its beginning as fits into maxName bytes without
// tearing a character.
func cut(s string) string {
	if len(s) <= maxName {
		return s
	}
	n := maxName
	for n > maxName-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func cutService(id trace.ServiceID) trace.ServiceID {
	return trace.ServiceID{Name: cut(id.Name), Type: cut(id.Type), AccountID: cut(id.AccountID)}
}

func cloneService(id trace.ServiceID) trace.ServiceID {
	return trace.ServiceID{Name: strings.Clone(id.Name), Type: strings.Clone(id.Type), AccountID: strings.Clone(id.AccountID)}
}

// decoder reads encoded keys and cells. After the first thing that is wrong it
// gives zero values, and bad is set.
type decoder struct {
	data []byte
	text string // a copy of data that all texts share, made for the first of them
	at   int
	bad  bool
}

func (d *decoder) byte() byte {
	if d.bad || d.at >= len(d.data) {
		d.bad = true
		return 0
	}
	d.at++
	return d.data[d.at-1]
}

func (d *decoder) uvarint() uint64 {
	if d.at < len(d.data) && d.data[d.at] < 0x80 && !d.bad { // most are
		d.at++
		return uint64(d.data[d.at-1])
	}
	return d.longUvarint()
}

// longUvarint is uvarint for what takes more than a byte; it keeps that small enough
// to be inlined.
func (d *decoder) longUvarint() uint64 {
	if d.bad {
		return 0
	}
	if at := d.at; at+2 < len(d.data) && d.data[at] >= 0x80 { // nor are the others long
		one, two, three := d.data[at], d.data[at+1], d.data[at+2]
		switch {
		case two < 0x80 && two > 0:
			d.at += 2
			return uint64(one&0x7f) | uint64(two)<<7
		case two >= 0x80 && three < 0x80 && three > 0:
			d.at += 3
			return uint64(one&0x7f) | uint64(two&0x7f)<<7 | uint64(three)<<14
		}
	}
	v, n := binary.Uvarint(d.data[d.at:])
	if n <= 0 || n > 1 && d.data[d.at+n-1] == 0 { // cut off, or longer than need be
		d.bad = true
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// count returns the length of a list whose elements take at least size bytes
// each, so that nothing is allocated for elements that cannot be there.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.data)-d.at)/uint64(size) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count(1)
	if d.bad || n > maxName {
		d.bad = true
		return ""
	}
	if n == 0 {
		return ""
	}
	if d.text == "" {
		d.text = string(d.data)
	}
	d.at += n
	return d.text[d.at-n : d.at]
}

func (d *decoder) node() Node {
	n := Node{Kind: Kind(d.byte())}
	if n.Kind == KindNone || n.Kind >= kindsEnd {
		d.bad = true
	}
	n.Name, n.Type, n.AccountID = d.string(), d.string(), d.string()
	return n
}
