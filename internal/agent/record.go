package agent

import (
	"bytes"
	"encoding/binary"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/otlp"
)

// Records of spool.KindTagged begin with a byte, their Form, to which marked is added
// when their mark follows in 8 bytes. Then come the ids of the servers and agents
// that they came through: a length as an unsigned varint, and a text. A document follows
// as it came, a span behind its source, whose length stands before it in the same
// way. docs/format/spool.md has this, too.
const marked = 0x10

// tagged is a record that says what it is: a document, or a span and its source.
type tagged struct {
	form   Form
	mark   uint64 // as markOf gives it; 0: none
	source []byte
	data   []byte
}

// append appends the record of what came through via.
func (t *tagged) append(dst []byte, via string) []byte {
	if t.mark == 0 {
		dst = append(dst, byte(t.form))
	} else {
		dst = binary.LittleEndian.AppendUint64(append(dst, byte(t.form)|marked), t.mark)
	}
	dst = binary.AppendUvarint(dst, uint64(len(via)))
	dst = append(dst, via...)
	if t.form == FormSpan {
		dst = binary.AppendUvarint(dst, uint64(len(t.source)))
		dst = append(dst, t.source...)
	}
	return append(dst, t.data...)
}

// cutTagged returns what a record is, its mark, the servers it came through, and the rest of
// it. What is no such record passes for a document, which destinations refuse.
func cutTagged(record []byte) (form Form, mark uint64, via string, rest []byte) {
	if len(record) == 0 {
		return FormXRay, 0, "", record
	}
	form = Form(record[0] &^ marked)
	at := 1
	if record[0]&marked != 0 && len(record) >= 9 {
		mark = binary.LittleEndian.Uint64(record[1:])
		at = 9
	}
	text, rest, ok := cutCounted(record[at:])
	if form != FormXRay && form != FormSpan || !ok {
		return FormXRay, 0, "", record
	}
	return form, mark, string(text), rest
}

// cutCounted cuts bytes off whose length stands before them.
func cutCounted(data []byte) (head, rest []byte, ok bool) {
	n, used := binary.Uvarint(data)
	if used <= 0 || n > uint64(len(data)-used) {
		return nil, nil, false
	}
	end := used + int(n)
	return data[used:end:end], data[end:], true
}

// cutSpan takes a FormSpan record apart.
func cutSpan(record []byte) (s otlp.SourcedSpan, ok bool) {
	s.Source, s.Span, ok = cutCounted(record)
	return s, ok
}

// parcels sorts the records of a batch by what they are and whence they came, each
// sort in its order, and returns their marks. via is for records that do not say.
func parcels(b *spool.Batch, via string) (list []Parcel, marks []uint64) {
	if b.Kind == spool.KindXRay {
		return []Parcel{{Form: FormXRay, Via: via, Records: b.Records}}, nil
	}
	for _, record := range b.Records {
		form, mark, via, rest := cutTagged(record)
		marks = append(marks, mark)
		at := -1
		for i := range list {
			if list[i].Form == form && list[i].Via == via {
				at = i
			}
		}
		if at < 0 {
			at = len(list)
			list = append(list, Parcel{Form: form, Via: via})
		}
		list[at].Records = append(list[at].Records, rest)
	}
	return list, marks
}

// text returns a record as people can read it.
func (p *Parcel) text(i int) string {
	record := p.Records[i]
	if p.Form == FormSpan {
		if s, ok := cutSpan(record); ok {
			return string(otlp.AppendJSON(nil, otlp.AppendTraces(nil, []otlp.SourcedSpan{s})))
		}
	}
	return string(record)
}

// key is orderKey for a record of the parcel.
func (p *Parcel) key(i int) (uint64, bool) {
	if p.Form == FormXRay {
		return orderKey(p.Records[i])
	}
	s, ok := cutSpan(p.Records[i])
	if !ok {
		return 0, false
	}
	trace, id, ended, ok := otlp.Identity(s.Span)
	if !ok {
		return 0, false
	}
	return keyOf(trace, id, !ended), true
}

// joined returns records for people to look through, one a line.
func (p *Parcel) joined() string {
	var b bytes.Buffer
	for i := range p.Records {
		if b.Len() > letterBytes {
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.text(i))
	}
	return b.String()
}
