// Package otlp reads and writes OpenTelemetry spans and maps them to X-Ray
// segments and back. It knows bytes only: no network, no store.
//
// # Form
//
// A span is kept as the bytes of its Span message, exactly as they came. What it
// shares with the other spans of its batch, the resource that made it and the
// instrumentation scope, is a Source: the bytes of a ResourceSpans message with
// one ScopeSpans message in it that has no spans. Walk takes an
// ExportTraceServiceRequest apart into these, AppendTraces puts them together
// again. Both JSON and protobuf come in; JSON is turned into protobuf first.
//
// The messages are read by hand rather than through generated code, because a
// span is mostly carried and compared, seldom looked at: the reader allocates
// nothing per attribute and leaves unknown fields where they are, so that what a
// newer sender adds is given back too. A test holds it against the generated code.
//
// # Mapping
//
// A span becomes what the AWS X-Ray exporter of the OpenTelemetry Collector would
// send for it, but for these differences:
//
//   - Both generations of the semantic conventions are read, without gates.
//   - Ids that the exporter draws at random are hashes of the span's own ids.
//   - A span that begins the work of a service is named after that service: any
//     span without parent, and one whose flags say that its parent is remote. When
//     it is a CLIENT or PRODUCER span, it becomes a segment for the service and a
//     subsegment for the call, as one marked LOCAL_ROOT does.
//   - A segment and the subsegment that are made of one span are one document: the
//     subsegment is nested.
//   - A CLIENT span is named after server.address when nothing better is known.
//   - server.port counts in the URL of a CLIENT span.
//   - The keys of annotations are the names of the attributes, not changed. Searches
//     find the underscore form too.
//   - What an X-Ray document has no place for is kept under metadata.otel: name,
//     kind, scope, status, events and trace state.
//   - Every trace id is taken, whatever time it seems to tell.
//   - A span without end is in progress.
//
// All attributes of a span that have a plain value can be searched for
// (segment.Segment.Attributes); annotations are only those that the sender asked
// for with aws.xray.annotations, and those of Mapping.Indexed.
package otlp
