package server

import (
	"github.com/roentgen-io/roentgen/internal/config"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// limits are those that the settings ask for.
type limits struct {
	api           xrayapi.Limits
	bodyBytes     int64 // 0: the API's own
	documentBytes int
	traceBytes    int64 // 0: any
	annotations   int   // 0: any number
}

// limitsOf returns the limits of a configuration.
func limitsOf(c *config.Config) limits {
	in := c.InForce()
	l := limits{
		api: xrayapi.Limits{
			Documents: in.MaxDocuments, DocumentRate: in.MaxDocumentRate, TraceIDs: in.MaxTraceIDs,
			GraphWindow: in.MaxGraphWindow, GraphNodes: in.MaxGraphNodes, Groups: in.MaxGroups, Rules: in.MaxRules,
		},
		bodyBytes: int64(in.MaxBody), documentBytes: int(in.MaxDocument),
		traceBytes: int64(in.MaxTraceBytes), annotations: in.MaxAnnotations,
	}
	if c.AWSLimits && in.MaxTraceIDs == c.MaxTraceIDs {
		l.api.GraphTraceIDs = c.MaxTraceIDs // AWS has a quota of its own for graphs, which what was set outdoes
	}
	return l
}
