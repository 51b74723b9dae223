// Package server is the composition root: it builds, starts and stops every
// component of roentgen serve in order.
//
//	start                                     stop
//	1 sockets, TCP and UDP                    1 readiness is withdrawn
//	2 HTTP: health and metrics only           2 no new connections; UDP is drained, and
//	3 the store and control state open          requests under way are finished, side by side
//	4 ingest, query, the API                  3 ingest hands over its dead letters
//	5 UDP is read, the API answers            4 the store closes
//	6 readiness                               5 logs and metrics are last
//
// The sockets come first because a taken port is the most common trouble and
// the cheapest to find. From then on the kernel keeps what arrives: datagrams in
// the socket's buffer, and connections, whose requests wait some seconds for the
// store to be open.
//
// # Connections
//
// A connection has 10 s to send a request's header (of 64 KB at most), may rest
// for 2 minutes between requests, and at most 4,096 of them are open at once;
// more are answered 503. A request's body may keep us waiting for 30 s and one
// second more for each 16 KB that came; the same holds for a client that reads
// its answer slowly. What the server itself takes is not counted. Of a body that
// is too large the rest is read and thrown away for up to 5 s after the answer,
// so that clients which send everything before they read get to see it.
package server
