package server

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/roentgen-io/roentgen/internal/access"
	"github.com/roentgen-io/roentgen/internal/neighbours"
	"github.com/roentgen-io/roentgen/internal/webapi"
	"github.com/roentgen-io/roentgen/internal/xrayapi"
)

// The paths that route knows beside the operations of the X-Ray API and the
// endpoints of webapi. One that ends in a slash stands for all below it.
const (
	pathPage    = "/" // and all places and files of the page, see isPage
	pathMetrics = "/metrics"
	pathHealth  = "/-/"
	pathForward = "/-/forward"
	pathDebug   = "/debug/"
)

// needs says for every path who may ask for it, once there are keys: operations of
// the X-Ray API by their path without slash, everything else by its path. A path that
// is not in it needs an admin's key. Who may call an operation follows the policies
// for X-Ray that AWS manages: for the daemon, for readers, for everything.
var needs = map[string]access.Need{
	pathPage:    access.Read,
	pathMetrics: access.Read,
	pathHealth:  access.Open,
	pathForward: access.Read,
	pathDebug:   access.Admin,
	pathOTLP:    access.Write,

	neighbours.PrefixTempo:  access.Read,
	neighbours.PrefixJaeger: access.Read,

	"/api/traces":               access.Read,
	"/api/traces/":              access.Read,
	"/api/counts":               access.Read,
	"/api/tail":                 access.Read,
	"/api/complete":             access.Read,
	"/api/explain":              access.Read,
	"/api/dead-letters":         access.Admin,
	"/api/forward/dead-letters": access.Admin,
	"/api/import":               access.Admin,
	"/api/telemetry":            access.Read,
	"/api/control":              access.Admin,
	"/api/session":              access.Optional,
	"/api/keys":                 access.Admin,
	"/api/keys/":                access.Admin,
	"/api/views":                access.Read,
	"/api/views/":               access.Read,
	"/api/links":                access.Read,
	"/api/links/":               access.Read,
	"/api/server":               access.Read,
	"/api/settings":             access.Admin,

	"/api/sampling/clients":  access.Read,
	"/api/sampling/explain":  access.Read,
	"/api/sampling/simulate": access.Read,

	"TraceSegments":              access.Write,
	"TelemetryRecords":           access.Write,
	"GetSamplingRules":           access.ReadOrWrite,
	"SamplingTargets":            access.ReadOrWrite,
	"SamplingStatisticSummaries": access.ReadOrWrite,

	"Traces":                      access.Read,
	"TraceSummaries":              access.Read,
	"TraceGraph":                  access.Read,
	"ServiceGraph":                access.Read,
	"TimeSeriesServiceStatistics": access.Read,
	"Groups":                      access.Read,
	"GetGroup":                    access.Read,
	"EncryptionConfig":            access.Read,
	"GetIndexingRules":            access.Read,
	"GetTraceSegmentDestination":  access.Read,
	"Insight":                     access.Read,
	"InsightEvents":               access.Read,
	"InsightImpactGraph":          access.Read,
	"InsightSummaries":            access.Read,
	"ListResourcePolicies":        access.Read,
	"ListTagsForResource":         access.Read,
	"StartTraceRetrieval":         access.Read,
	"CancelTraceRetrieval":        access.Read,
	"ListRetrievedTraces":         access.Read,
	"GetRetrievedTracesGraph":     access.Read,

	"CreateGroup":                   access.Admin,
	"UpdateGroup":                   access.Admin,
	"DeleteGroup":                   access.Admin,
	"CreateSamplingRule":            access.Admin,
	"UpdateSamplingRule":            access.Admin,
	"DeleteSamplingRule":            access.Admin,
	"PutEncryptionConfig":           access.Admin,
	"PutResourcePolicy":             access.Admin,
	"DeleteResourcePolicy":          access.Admin,
	"TagResource":                   access.Admin,
	"UntagResource":                 access.Admin,
	"UpdateIndexingRule":            access.Admin,
	"UpdateTraceSegmentDestination": access.Admin,
}

// placeOf returns what a path leads to: the key of needs, "" when it is none of them.
// Both the gate and route decide by it, so that they cannot disagree.
func placeOf(path string) string {
	if element, ok := xrayapi.OperationPath(path); ok {
		return element
	}
	switch {
	case path == pathMetrics:
		return path
	case isOTLPPath(path):
		return pathOTLP
	case strings.HasPrefix(path, neighbours.PrefixTempo):
		return neighbours.PrefixTempo
	case strings.HasPrefix(path, neighbours.PrefixJaeger):
		return neighbours.PrefixJaeger
	case isPage(path), isPageFile(path):
		return pathPage
	case path == pathForward:
		return pathForward
	case strings.HasPrefix(path, pathHealth):
		return pathHealth
	case strings.HasPrefix(path, pathDebug), path == strings.TrimSuffix(pathDebug, "/"):
		return pathDebug
	}
	return webapi.Path(path)
}

// smallBody bounds the bodies of everything but documents.
const smallBody = 4 << 20

// rule is what the gate asks of a request.
func (s *Server) rule(req *http.Request) access.Rule {
	path := req.URL.Path
	place := placeOf(path)
	r := access.Rule{Need: needs[place], BodyBytes: smallBody, Operation: operationNames[place]}
	switch place {
	case pathPage:
		// The page itself holds nothing worth a lock, and has to be there to sign in
		// with. What it shows it asks for.
		if isPageFile(path) || wantsPage(req) {
			r.Need = access.Open
		}
	case "TraceSegments", "/api/import", pathOTLP:
		r.BodyBytes = int64(s.cfg.Settings.MaxBody)
	case "/api/control":
		r.BodyBytes = webapi.MaxControlFile
	case "GetSamplingRules", "SamplingTargets":
		r.Sampling = true
	case "":
		if !strings.HasPrefix(path, "/api/") {
			r.Operation = "UnknownOperation" // answered by the API, in its form
		}
	}
	return r
}

var operationNames = xrayapi.Operations()

//go:embed locked.txt
var lockedText string

// serveLocked answers GET / to whoever shows no key and is no browser.
func (s *Server) serveLocked(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusUnauthorized)
	w.Write([]byte(strings.ReplaceAll(lockedText, "SERVER", s.callersURL(r))))
}
