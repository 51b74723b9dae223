package udp

import (
	"bytes"
	"encoding/json"
	"strings"
)

// A reason says why a datagram is malformed. It labels a metric.
type reason string

const (
	reasonEmpty      reason = "empty"
	reasonNoHeader   reason = "no header"   // no newline, so nothing parts header and document
	reasonBadHeader  reason = "bad header"  // the first line is not the JSON object it should be
	reasonFormat     reason = "format"      // another format than json
	reasonVersion    reason = "version"     // another version than 1
	reasonNoDocument reason = "no document" // nothing behind the header
	reasonTruncated  reason = "truncated"   // longer than the buffer it was read into
)

var reasons = []reason{reasonEmpty, reasonNoHeader, reasonBadHeader, reasonFormat, reasonVersion, reasonNoDocument, reasonTruncated}

// detail returns the reason in plain words, for the dead letter.
func (r reason) detail() string {
	switch r {
	case reasonEmpty:
		return "the datagram is empty"
	case reasonNoHeader:
		return "there is no newline, which ends the header"
	case reasonBadHeader:
		return "the first line is no header: it should be a JSON object with format and version"
	case reasonFormat:
		return "the header's format is not json"
	case reasonVersion:
		return "the header's version is not 1"
	case reasonNoDocument:
		return "nothing follows the header"
	case reasonTruncated:
		return "the datagram is longer than 64 KB and lost its end"
	}
	return string(r)
}

// The headers that SDKs send, byte for byte. Everything else takes the way
// through the JSON parser.
var (
	plainHeader  = []byte(`{"format":"json","version":1}`)
	spacedHeader = []byte(`{"format": "json", "version": 1}`)
)

// parseDatagram parts a datagram. The document refers to data. The reason is ""
// when the datagram is well formed.
func parseDatagram(data []byte) (document []byte, why reason) {
	if len(data) == 0 {
		return nil, reasonEmpty
	}
	header, document, found := bytes.Cut(data, []byte("\n"))
	if !found {
		return nil, reasonNoHeader
	}
	if !bytes.Equal(header, plainHeader) && !bytes.Equal(header, spacedHeader) {
		if why := checkHeader(header); why != "" {
			return nil, why
		}
	}
	if len(document) == 0 {
		return nil, reasonNoDocument
	}
	return document, ""
}

// maxHeader bounds the header: nobody needs more, and a datagram without a
// newline near its beginning should not make the JSON parser work.
const maxHeader = 1 << 10

func checkHeader(header []byte) reason {
	if len(header) > maxHeader {
		return reasonBadHeader
	}
	var h struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(header, &h); err != nil {
		return reasonBadHeader
	}
	if !strings.EqualFold(h.Format, "json") {
		return reasonFormat
	}
	if h.Version != 1 {
		return reasonVersion
	}
	return ""
}

// laneOf returns which of n lanes a document takes: the same one for all
// documents of a trace. It looks for the trace id where SDKs write it and does
// not parse; a document that hides its id takes some lane, and may then overtake
// others of its trace.
func laneOf(document []byte, n int) int {
	const key = `"trace_id"`
	i := bytes.Index(document, []byte(key))
	if i < 0 {
		return 0
	}
	rest := document[i+len(key):]
	rest = rest[:min(len(rest), 64)]
	// FNV-1a over the digits of the id, in either case, from its first quote to its second.
	h := uint32(2166136261)
	quotes := 0
	for _, c := range rest {
		if c == '"' {
			if quotes++; quotes == 2 {
				break
			}
			continue
		}
		if quotes == 1 {
			h = (h ^ uint32(c|0x20)) * 16777619
		}
	}
	return int(h % uint32(n))
}
