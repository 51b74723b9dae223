// Package tracestore says what a store of trace documents promises, for every
// engine alike. The suite storetest proves it.
//
//   - Durability: when Write returns nil its records survive kill -9 and power
//     loss. When it returns an error, each of its records may or may not be there
//     later. Batches of many callers share one sync.
//   - Visibility: Documents and Scan see a record from the moment its Write
//     returned; views that are derived later (graphs, statistics) within 2 s.
//   - Order: every record gets a seq, growing in the order of arrival. Records of
//     one Write share a put number.
//   - Nothing about a record is interpreted on its way in: late, duplicate and
//     in-progress documents are stored as they come and sorted out by trace.Assemble.
//   - Windows are half-open: start <= t < end.
//   - An engine may skip rows that cannot match; it never decides by itself what
//     a row means.
//   - Retention removes the oldest arrivals as a whole, by age and by disk budget.
package tracestore
