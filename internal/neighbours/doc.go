// Package neighbours answers the questions of other tracing systems' clients from
// our store, so that Grafana's data sources for Tempo and Jaeger, which are built in,
// and Jaeger's own page work without a plugin.
//
//	/tempo/api/echo, /tempo/api/status/buildinfo
//	/tempo/api/traces/{id}, /tempo/api/v2/traces/{id}
//	/tempo/api/search                       TraceQL in q, or tags, minDuration, maxDuration
//	/tempo/api/search/tags, .../tag/{tag}/values, and both below /tempo/api/v2/
//	/jaeger/api/v3/services, operations, traces, traces/{id}, trace-summaries, dependencies
//	/jaeger/api/services, services/{name}/operations, operations, traces, traces/{id}, dependencies
//
// Traces are given as spans: what came as an X-Ray document is one too (see
// internal/otlp). Trace ids in JSON are hexadecimal.
//
// A search goes through the index rows of the traces of its window, newest first. What they
// tell (need.go) leaves out traces that cannot match, whole blocks of them where the store
// can; the spans of the others are read and decide, so that it finds what it says. It ends
// when it has enough or nothing is left, or after maxTime: then it says in the header
// Roentgen-Incomplete, and in the answer, that it may not have found everything.
//
// Tags and their values are the words that completion of filter expressions knows, and for
// what the index does not have those of the newest traces; services and dependencies come from
// the service graph.
//
// Of TraceQL there are spansets with comparisons, && and ||, and && and || between
// spansets; pipelines, structural operators and aggregates are refused.
package neighbours
