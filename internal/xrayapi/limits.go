package xrayapi

import (
	"cmp"
	"fmt"
	"time"
)

// Limits bounds what one call may ask for, and what may be configured. A field
// that is 0 stands for the default or, with Config.AWSLimits, for the quota of AWS.
type Limits struct {
	Documents     int           // in a PutTraceSegments; default 10,000
	DocumentRate  int           // documents a second in all calls together; by default any number
	TraceIDs      int           // in a BatchGetTraces; default 100
	GraphTraceIDs int           // in a GetTraceGraph; default TraceIDs
	GraphWindow   time.Duration // of GetServiceGraph and statistics; by default any
	GraphNodes    int           // in an answer of GetServiceGraph, and three times as many edges; default 10,000
	Groups        int           // beside the Default one; by default any number
	Rules         int           // sampling rules beside the Default one; by default any number
}

var defaultLimits = Limits{Documents: 10_000, TraceIDs: 100, GraphNodes: 10_000}

// awsLimits are the quotas of AWS.
var awsLimits = Limits{
	Documents: 50, DocumentRate: 2600, TraceIDs: 5, GraphTraceIDs: 1, GraphWindow: 6 * time.Hour, GraphNodes: 10_000, Groups: 25, Rules: 25,
}

// or returns l with the fields of other in place of those that are 0.
func (l Limits) or(other Limits) Limits {
	return Limits{
		Documents:     cmp.Or(l.Documents, other.Documents),
		DocumentRate:  cmp.Or(l.DocumentRate, other.DocumentRate),
		TraceIDs:      cmp.Or(l.TraceIDs, other.TraceIDs),
		GraphTraceIDs: cmp.Or(l.GraphTraceIDs, other.GraphTraceIDs, l.TraceIDs, other.TraceIDs),
		GraphWindow:   cmp.Or(l.GraphWindow, other.GraphWindow),
		GraphNodes:    cmp.Or(l.GraphNodes, other.GraphNodes),
		Groups:        cmp.Or(l.Groups, other.Groups),
		Rules:         cmp.Or(l.Rules, other.Rules),
	}
}

// windowText writes a window as the service does.
func windowText(d time.Duration) string {
	if d%time.Hour == 0 && d > time.Hour {
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return d.String()
}
