package query

// What follows is for those who come back for more pages of the same traces: they
// note LastSeq with the first page and read each trace as it was then.

// LastSeq returns the seq of the latest durable document, for TraceAndSpans.
func (q *Service) LastSeq() uint64 { return q.store.LastSeq() }
