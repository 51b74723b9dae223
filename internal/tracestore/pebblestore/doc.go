// Package pebblestore is the embedded engine of tracestore, on Pebble.
//
// # Life of a document
//
// Write hands its records to the committer, the one goroutine that commits. It
// takes whatever waits, gives every record a seq and every Write a put number,
// packs the documents into compressed blocks (D keys), notes for every trace
// where its documents are (T keys), applies all of it as one Pebble batch and
// asks for a sync. While that sync runs it packs the next batch; at most two
// are under way. When the sync is done the syncer goroutine adds the documents,
// parsed as they came, to the tail and acknowledges the Writes. No step of this
// reads from the disk.
//
// The roller turns the tail into views every 250 ms, or sooner when much waits:
// it assembles each trace that got documents, replaces its row (S) and its
// entries in the indexes by change (E) and by end (V), notes the row's terms in the
// block of its neighbours (B), adds to the cells of the service graph (G) what the
// trace counts now, less what it counted before, and commits that together
// with W, the seq up to which the views are complete. It does not sync: the
// documents lie before the views in the same log, so a crash loses at most
// views, and the next start derives them again from the documents above W.
//
// Readers take the views as of W from a Pebble snapshot that is replaced in the
// same step in which the rolled documents leave the tail, drop the traces that
// are in the tail, and assemble those afresh. So what they see is exact at every
// moment.
//
// Rows name strings and annotations that many of them have by number: every part has a
// dictionary of its rows (N), which grows with them.
//
// A scan that needs something asks the blocks of terms before it looks at rows,
// and counts those that it passes over. Graphs and statistics are sums of cells as
// of W: days, hours, minutes and seconds that make up the window. Seconds are kept
// for two hours; the ends of older windows are widened to whole minutes. A
// trace counts in a group by the version that was in force at its latest accepted
// change, which is derived from the documents like everything else.
//
// Data lies in parts: runs of arrivals on our clock. Every key of D, T, S, N, E, V, B and G
// starts with its part, and retention removes the oldest part with range
// deletes. A trace is at home in the part of its first document that is kept;
// when documents of it lie in later parts too, an L key says so, and removing
// the home part moves the row to the next.
//
// Every key and value is described byte by byte in docs/format/store.md.
//
// # When the disk fails
//
// Pebble answers a failed write to its log by panics and by ending the process. It
// never gets to see one here: every file operation passes through a fence (see
// fence.go). The first failed write trips it; from then on this instance of
// Pebble writes into the void, nothing is acknowledged, and a supervisor opens a
// new instance on the same folder, under the same lock, until that works. What
// was acknowledged is on disk and is read again. What was written but never
// acknowledged is removed, so that an error of Write means that nothing was
// stored. A watermark on free space and a ballast file keep a full disk from getting
// that far.
package pebblestore
