package server

import (
	"cmp"

	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// The quotas of AWS that the API does not enforce itself. It says 64 KB for a
// document, but was seen to take 66,000 characters; a trace may always grow to
// 100 KB, and to 500 KB at times.
const (
	awsDocumentBytes = 128 << 10
	awsTraceBytes    = 500 << 10
	awsAnnotations   = 50
)

// limits are those that the settings ask for.
type limits struct {
	api           xrayapi.Limits
	bodyBytes     int64 // 0: the API's own
	documentBytes int
	traceBytes    int64 // 0: any
	annotations   int   // 0: any number
}

// limitsOf returns the limits of a configuration. With the switch for those of AWS a
// setting at its default makes room for AWS's.
func limitsOf(c *config.Config) limits {
	l := limits{
		api: xrayapi.Limits{
			Documents: c.MaxDocuments, DocumentRate: c.MaxDocumentRate, TraceIDs: c.MaxTraceIDs,
			GraphWindow: c.MaxGraphWindow, GraphNodes: c.MaxGraphNodes, Groups: c.MaxGroups, Rules: c.MaxRules,
		},
		bodyBytes: int64(c.MaxBody), documentBytes: int(c.MaxDocument),
		traceBytes: int64(c.MaxTraceBytes), annotations: c.MaxAnnotations,
	}
	if !c.AWSLimits {
		return l
	}
	standard := config.NewDefault()
	if c.MaxDocuments == standard.MaxDocuments {
		l.api.Documents = 0
	}
	if c.MaxTraceIDs == standard.MaxTraceIDs {
		l.api.TraceIDs = 0
	} else {
		l.api.GraphTraceIDs = c.MaxTraceIDs
	}
	if c.MaxBody == standard.MaxBody {
		l.bodyBytes = 0
	}
	if c.MaxDocument == standard.MaxDocument {
		l.documentBytes = awsDocumentBytes
	}
	l.traceBytes = cmp.Or(l.traceBytes, awsTraceBytes)
	l.annotations = cmp.Or(l.annotations, awsAnnotations)
	return l
}
