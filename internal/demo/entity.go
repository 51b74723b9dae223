package demo

// entity is a segment or subsegment of a story.
type entity struct {
	id, parent uint64 // parent 0: none
	name       string
	namespace  string // of subsegments: "aws", "remote", ""
	start, end micros // by the sender's own clock once written, see host.skew

	fault, err, throttle bool

	http        *httpBlock
	aws         []field
	sql         *sqlBlock
	cause       cause
	annotations []field
	metadata    []byte // the JSON text of the block, nil: none
	links       []link
	user        string

	// Of segments only.
	origin      string
	resourceARN string
	bare        bool // platform segment: no service block and no SDK's mark

	children []*entity
	// streamed says that the sender lets this subsegment go on its own as soon as
	// it ends, and leaves it out of its segment.
	streamed bool
}

type httpBlock struct {
	method, url, agent, clientIP string
	forwarded                    bool // client_ip came from X-Forwarded-For
	traced                       bool // subsegments: the callee traces too
	status                       int  // 0: no answer
	length                       int  // of the answer's body; 0: not said
}

type sqlBlock struct {
	url, query, engine, version, driver, user, preparation string
}

type link struct {
	trace      string
	id         uint64
	attributes []field
}

// field is a member of a JSON object with its value.
type field struct {
	key   string
	kind  fieldKind
	text  string
	num   float64
	whole int64
}

type fieldKind uint8

const (
	textField fieldKind = iota
	wholeField
	numField
	trueField
	falseField
	rawField // text is JSON
	hexField // whole is an id
)

func str(key, v string) field            { return field{key: key, text: v} }
func count(key string, v int) field      { return field{key: key, kind: wholeField, whole: int64(v)} }
func number(key string, v float64) field { return field{key: key, kind: numField, num: v} }
func rawJSON(key, v string) field        { return field{key: key, kind: rawField, text: v} }
func flag(key string, v bool) field {
	if v {
		return field{key: key, kind: trueField}
	}
	return field{key: key, kind: falseField}
}

// cause says why an entity failed: either exceptions of its own, or the id of an
// exception that another entity of the trace carries.
type cause struct {
	directory  string
	paths      []string
	exceptions []exception
	reference  uint64
}

func (c *cause) empty() bool { return len(c.exceptions) == 0 && c.reference == 0 }

type exception struct {
	id        uint64
	kind      string
	message   string
	remote    bool
	stack     []stackFrame
	truncated int
	skipped   int
	cause     uint64 // the exception that led to this one; 0: none
}

type stackFrame struct {
	path  string
	line  int
	label string
}
