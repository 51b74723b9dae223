// Package agent stands where the X-Ray daemon stood: it takes documents from
// SDKs on the same port, keeps them on disk, and brings them to AWS X-Ray, to
// Roentgen, as spans to what speaks OTLP, or to several destinations at once.
//
//	UDP datagrams ────────┐                                          ┌─▶ delivery ─▶ AWS X-Ray
//	framed TCP, Unix ─────┼─▶ intake: rules ─▶ spool: written, synced ┼─▶ delivery ─▶ Roentgen
//	PutTraceSegments ─────┘    (off by default)                      └─▶ delivery ─▶ OTLP
//	every other call ─────────▶ signed, passed on to one destination; sampling calls from a cache when it is away
//
// Everything between intake and delivery is on disk: memory holds what waits for
// the next sync, some megabytes, and the batches that are under way. Where
// documents can be lost, and the counter that then moves:
//
//	kernel's socket buffer   full: roentgen_udp_kernel_dropped_total
//	receiver's queue         the disk is full or too slow: roentgen_udp_segments_dropped_total
//	spool's limits           older or more than the spool may keep: roentgen_agent_spool_dropped_total
//	rules                    on purpose: roentgen_agent_rules_dropped_total
//
// What comes back from where it was sent was delivered already and goes no further
// (roentgen_agent_looped_total, roentgen_agent_repeated_total; loops.go).
//
// What a destination refuses for good goes to dead-letters.jsonl in the spool's
// folder. A document for which a sender was given an acknowledgement, or that was
// synced, is delivered to every destination at least once; stores of the X-Ray
// API know it by its trace and entity id, so that coming twice changes nothing.
package agent
