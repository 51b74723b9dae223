// Package trace turns the documents of one trace into the trace that the
// X-Ray service answers with.
//
// Assembly replays documents in the order of their arrival (seq). Every
// segment and subsegment, nested ones included, is an entity with its own id.
// The first complete version of an entity wins; among in-progress versions the
// latest; the complete version replaces an in-progress one with all the nested
// subsegments it had. An ignored version takes its nested tree with it and
// changes neither revision nor change time. What remains is attached:
// subsegments to their parents wherever these arrived. Subsegments without a
// known parent are orphans: kept, but not part of the trace's answer.
// For calls that no reported segment answers, callees are inferred.
//
// Sources of the rules: the observed behaviour of the service, described in
// docs/protocol.md of this repository.
package trace
