// Package servicegraph says how traces become the nodes and edges of the
// service graph, and keeps what was observed of them as sums.
//
// A reported segment counts for the node of its name, origin and, for Lambda
// functions, account. A call, which is a subsegment of namespace aws or remote,
// counts for the edge to whoever answered it, or else to a callee that is
// inferred, for whose node it counts too. Whoever called a root is a client:
// a node without numbers, with an edge that has those of the root. Where a
// segment names a segment or a local subsegment as its parent, the edge has the
// numbers of the callee.
//
// Each observation is one of throttle, fault, error and ok, in this order of
// precedence. It counts when it was received, whatever times its documents
// carry, and not before the segment it belongs to is complete. When its end
// lies before its start it counts with a duration of 0.
//
// Durations are kept in buckets, exact to the millisecond below 16.384 s and to
// one part in 8,192 above, together with the exact sum of each bucket. An answer
// makes one t-digest of them, as the X-Ray service does. Each observation also
// says when the root of its trace began, since that is what the times of nodes
// and edges show.
//
// Everything is a sum of Contributions: adding and taking away those of a
// trace, before and after a document, keeps any division of time exact.
package servicegraph
