// Package trace turns the documents of one trace into the trace that the
// X-Ray service answers with.
//
// Assemble replays documents in the order of their arrival (seq). Every
// segment and subsegment, nested ones included, is an entity with its own id.
// The first complete version of an entity wins; among in-progress versions the
// latest; the complete version replaces an in-progress one with all the nested
// subsegments it had. An ignored version takes its nested tree with it and
// changes neither revision nor change time. What remains is attached:
// subsegments to their parents wherever these arrived. Subsegments without a
// known parent are orphans: kept, but not part of the trace's answer.
// For calls that no reported segment answers, callees are inferred.
//
// Of an assembled trace, Documents gives what BatchGetTraces answers, and Row
// the index record that summaries and windows are answered from. Rows have a
// binary form, described in docs/format/row.md.
//
// docs/protocol.md tells the rules for users, and which of them are our own
// because the behaviour of the service is not known.
//
// # Ownership of memory
//
// Traces and rows refer to the segments they were made from, and so to the bytes
// of the documents. Nothing in this package changes these. Decoded rows refer to
// nothing but themselves.
package trace
