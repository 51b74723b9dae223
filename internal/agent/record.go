package agent

import (
	"bytes"
	"encoding/binary"

	"github.com/roentgen-io/roentgen/internal/agent/spool"
	"github.com/roentgen-io/roentgen/internal/otlp"
)

// Records of spool.KindTagged begin with a byte, their Form, and the ids of the
// servers that they came through: a length as an unsigned varint, and a text. A
// document follows as it came, a span behind its source, whose length stands before
// it in the same way. docs/format/spool.md has this, too.

// appendTagged appends a record of a document, or of a span and its source.
func appendTagged(dst []byte, form Form, via string, source, data []byte) []byte {
	dst = append(dst, byte(form))
	dst = binary.AppendUvarint(dst, uint64(len(via)))
	dst = append(dst, via...)
	if form == FormSpan {
		dst = binary.AppendUvarint(dst, uint64(len(source)))
		dst = append(dst, source...)
	}
	return append(dst, data...)
}

// cutTagged returns what a record is, the servers it came through, and the rest of it.
// What is no such record passes for a document, which destinations refuse.
func cutTagged(record []byte) (form Form, via string, rest []byte) {
	if len(record) == 0 || record[0] != byte(FormXRay) && record[0] != byte(FormSpan) {
		return FormXRay, "", record
	}
	text, rest, ok := cutCounted(record[1:])
	if !ok {
		return FormXRay, "", record
	}
	return Form(record[0]), string(text), rest
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
// sort in its order.
func parcels(b *spool.Batch) []Parcel {
	if b.Kind == spool.KindXRay {
		return []Parcel{{Form: FormXRay, Records: b.Records}}
	}
	var list []Parcel
	for _, record := range b.Records {
		form, via, rest := cutTagged(record)
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
	return list
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
