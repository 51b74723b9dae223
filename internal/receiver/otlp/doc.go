// Package otlp receives OpenTelemetry spans over HTTP and over gRPC, both by one
// handler, so that every port that serves it takes either.
//
// OTLP over HTTP is a POST of an ExportTraceServiceRequest to /v1/traces, as
// protobuf (application/x-protobuf) or JSON (application/json), with content
// encoding gzip, zstd or none:
//
//	POST /v1/traces
//	Content-Type: application/json
//
//	{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
//	"scopeSpans":[{"spans":[{"traceId":"5759e988bd862e3fe1be46a994272793","spanId":"53995c3f42cd8ad8",
//	"name":"GET /cart","kind":2,"startTimeUnixNano":"1795338448561000000","endTimeUnixNano":"1795338448562000000"}]}]}]}
//
// OTLP over gRPC is the same message sent to the method Export of
// opentelemetry.proto.collector.trace.v1.TraceService. A unary gRPC call is a POST over
// HTTP/2 whose body is a message behind five bytes and whose status stands in the
// trailer, so net/http serves it: connections, slow peers, TLS and keys are then
// handled once for all that the server does, and the memory for messages is bounded
// together with that for all other bodies, which the gRPC library cannot do.
//
// # Answers
//
// A request is answered when its spans are durable. Spans without the ids that
// OpenTelemetry demands, and too large ones, are refused by themselves: the answer
// tells their number and the reason of the first (partial success), and they are kept as
// dead letters. A body that is no such request is refused as a whole (400, INVALID_ARGUMENT),
// and so is one that is too large (413, RESOURCE_EXHAUSTED). When the server has too
// much to do or no space, the answer is 429 or 503 with Retry-After, UNAVAILABLE
// in gRPC: senders then send again. Nothing is buffered here and nothing dropped.
package otlp
