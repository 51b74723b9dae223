// Package demo simulates a shop: a dozen services, their databases, tables,
// buckets, queues and functions, and the people who buy there. It makes the
// segment documents that the tracing SDKs of these services would send, and
// sends them.
//
// # The generator
//
// A Generator tells one story per request. Each handler of shop.go is ordinary
// code that opens segments and subsegments, lets time pass and sometimes fails;
// no real time passes meanwhile. What comes out are Deliveries: documents with
// the moment at which their sender lets go of them, in the order of these
// moments. The live runner, the back-fill of history and the tests all read the
// same stream.
//
// Everything derives from the seed and the rate: requests are drawn second by
// second, each second of the epoch from a random source of its own. So a
// generator that starts at another moment yields the same documents, ids
// included, for the requests that both of them cover, and a history that is
// imported twice changes nothing the second time.
//
// Conditions change with the clock and not with the requests: the day's curve of
// traffic, deployments that roll from host to host, and incidents of a few
// minutes in which one dependency is slow, refuses or breaks (weather.go).
//
// # The senders
//
// Services differ as real ones do. Each writes documents in the manner of its
// SDK (dialect.go): Java's exponent notation, Python's spaces and explicit
// in_progress:false, Go's extra keys, OpenTelemetry's random trace id epochs.
// Some send over UDP, some over HTTP in batches, two are instrumented with the
// SDK of OpenTelemetry, which makes their spans (spans.go), Lambda's own segments come from the platform. A few documents are late, doubled, lost or without a parent, and
// the clock of one host is wrong.
package demo
