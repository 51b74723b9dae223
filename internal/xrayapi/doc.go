// Package xrayapi speaks the AWS X-Ray API over HTTP.
//
// Mirrored exactly: the wire form of answers (keys in alphabetical order, null
// written out, [] for empty lists, numbers in the notation of Java), codes,
// statuses and texts of errors, the order in which a request is judged (JSON
// types, then constraints of the model, then meaning), which documents are
// refused and how.
//
// Every request is checked by the constraints of the service model, which the
// shapes beside each operation state; a test holds them against the model.
//
// Approximated: quotas that only protect AWS are far larger unless
// Config.AWSLimits is set. A trace retrieval is at its end when somebody first asks
// for it: its pages are read from the store, as of its beginning. Settings that have
// no meaning here (encryption, resource policies, indexing rules, the destination of
// segments) are checked, kept and given back. There are no insights. An answer of
// BatchGetTraces that is too large to buffer is streamed and then has NextToken as its
// last key.
//
// GetTraceGraph takes several ids. Windows of GetServiceGraph and
// GetTimeSeriesServiceStatistics are cut to whole seconds.
//
// A handler that was given less answers 501 NotImplementedException, which no SDK
// sends again: to selectors without Config.Selector, to the graph without
// Config.Graph, and to changes of groups when Config.Control cannot compile
// expressions.
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
