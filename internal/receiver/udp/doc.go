// Package udp receives segment documents from X-Ray SDKs, which send each in one
// datagram, the way the X-Ray daemon reads them:
//
//	{"format":"json","version":1}
//	{"trace_id":"1-5759e988-bd862e3fe1be46a994272793","id":"defdfd9912dc5a56", ...}
//
// The first line, up to the first newline, is the header; the rest of the
// datagram is exactly one document, with or without a newline at its end. The
// header's format is compared without regard to case and its version must be 1.
// There is no acknowledgement: whatever fails, the sender never learns of it.
//
// A datagram travels like this, and can be lost at four places, each with a
// counter of its own:
//
//	kernel's socket buffer   full: roentgen_udp_kernel_dropped_total
//	  │ one goroutine reads up to 64 datagrams a system call and copies them
//	networks                 not in Config.Allow: roentgen_udp_datagrams_refused_total
//	framing                  no header, no document: roentgen_udp_datagrams_malformed_total{reason}
//	  │                      and a dead letter
//	lanes, in memory         beyond Config.QueueBytes the newest are dropped:
//	  │                      roentgen_udp_segments_dropped_total{reason="queue full"}
//	  │ one worker a lane stores whatever has gathered as one put
//	ingest                   what the store cannot take now is tried again until it can;
//	                         given up only when the store closes or fails in a way that
//	                         does not pass (reason="store closed", "store failed")
//	                         or the time for shutting down is over ("shutdown")
//
// Documents of one trace take the same lane, so they are stored in the order in
// which they came. There is no artificial delay: a lone datagram is stored at
// once, and under load puts grow by what arrived during the one before.
//
// The socket buffer is asked for 32 MiB, beyond the system's bound
// (net.core.rmem_max) where the process may do so. Without that permission the
// bound decides how long a burst may be that the reader cannot follow.
package udp
