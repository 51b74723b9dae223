// Package xrayapi speaks the AWS X-Ray API over HTTP.
//
// Mirrored exactly: the wire form of answers (keys in alphabetical order, null
// written out, [] for empty lists, numbers in the notation of Java), codes,
// statuses and texts of errors, the order in which a request is judged (JSON
// types, then constraints of the model, then meaning), which documents are
// refused and how.
//
// Approximated: quotas that only protect AWS are far larger unless
// Config.AWSLimits is set. An answer of BatchGetTraces that is too large to
// buffer is streamed and then has NextToken as its last key. Sampling targets
// know the Default rule alone.
//
// GetTraceGraph takes several ids. Windows of GetServiceGraph and
// GetTimeSeriesServiceStatistics are cut to whole seconds.
//
// Left out so far, answered with 501 NotImplementedException, which no SDK
// sends again: the operations that notImplemented lists, selectors when
// Config.Selector is nil, the graph when Config.Graph is, and changes of groups
// when Config.Control cannot compile expressions.
//
// Different on purpose: an unknown path is a 404 rather than the service's 200
// with an envelope that no client understands; null in a list and other input
// that makes the service answer 500 is a 400.
//
// # Memory
//
// Request bodies are read into pooled buffers, bounded one by one and in sum;
// documents are copied out of them once, unescaped, into one buffer for each
// call that the ingester and the store take over. Answers are built in one
// buffer and, beyond some size, streamed. Clients that send or read slowly are
// the business of the server around the handler, which owns all deadlines of
// connections.
package xrayapi
