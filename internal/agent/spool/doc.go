// Package spool keeps documents on disk between their arrival and their delivery.
//
// A Spool is a log of records, each of which has a number: 1, 2, 3 and so on in
// the order of arrival. Records are appended in blocks, many records share one
// sync of the disk (group commit), and each destination reads on from a position
// of its own. A record is deleted when every destination is past it.
//
//	Append ─▶ pending blocks ─▶ writer: compress, write, sync ─▶ files ─▶ Reader of destination A
//	          (bounded memory)                                        └▶ Reader of destination B
//
// What is promised:
//
//   - When Append returns nil and was asked to wait, its records survive kill -9
//     and power loss. Readers see synced records only.
//   - Records are read in the order of their numbers. After a crash a Reader may
//     begin up to a second's records earlier than it had come: records are
//     delivered at least once.
//   - A record is dropped only beyond Options.MaxBytes or MaxAge, whole files at
//     a time, the oldest first, and each Reader counts what it lost (Lost). Age is
//     taken from the monotonic clock, so that no jump of the wall clock drops
//     anything.
//   - When the disk is full or fails, nothing that was synced is given up: Append
//     fails with ErrNoSpace or ErrFailed until writing works again. One file is
//     always allocated ahead, so that a full disk stops nothing while
//     destinations keep up.
//   - Memory is bounded: Options.PendingBytes wait for the disk, and a Reader holds one
//     block and the batch that it gives out.
//
// docs/format/spool.md describes every byte of the files.
package spool
