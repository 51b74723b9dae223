// Package segment reads, checks and writes X-Ray segment documents, trace ids
// and trace headers.
//
// A segment document is one UTF-8 JSON object that describes a piece of work
// done by one service: a segment. Parts of that work are subsegments; they
// come nested inside their segment's "subsegments" array, or on their own as
// documents with "type":"subsegment" and a parent_id. All documents with one
// trace id form a trace. A document with "in_progress":true is the first word
// about an entity; the complete document that follows replaces it.
//
// Parse checks a document as the X-Ray service does and refuses it with the
// service's own codes and texts (see Refusal). It is liberal where real senders
// are odd: unknown keys, nulls, NaN and Infinity outside of times and ids,
// trailing NUL bytes and newlines, upper-case hexadecimal digits, optional
// fields of the wrong type (but for the type of a document), numbers of any size,
// duplicate keys (the last one wins), invalid UTF-8 (read as U+FFFD).
//
// # What is read and what is kept
//
// Interpreted are the ids, name, times, flags, type, inferred, namespace,
// origin, user, resource_arn and subsegments. The members http, aws, service,
// sql, cause, annotations, metadata, links and precursor_ids are kept as the text
// that came (Raw) and checked only for being JSON of the right type. Everything
// else is dropped. Annotations that cannot be searched, overlong strings and
// improbable times are no reason to refuse a document.
//
// # Limits
//
// A document may have 16 MiB and 1,000 levels of nesting unless Limits says
// otherwise, and an array 100,000 documents. Names are cut to 200 characters.
// Reading takes time in proportion to the text and memory of at most some eight
// times its size, whatever the text is.
//
// # Ownership of memory
//
// A parsed Segment refers to the bytes it was parsed from: its strings and Raw
// values point into them. The caller must keep these bytes unchanged for as
// long as the Segment, or anything taken from it, is in use. Nothing in this
// package changes the bytes it is given. A Segment may be read by several
// goroutines at once and must not be changed after it was shared.
package segment
