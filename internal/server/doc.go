// Package server is the composition root: it builds, starts and stops every
// component of roentgen serve in order.
//
//	start                                     stop
//	1 sockets, TCP and UDP                    1 readiness is withdrawn
//	2 HTTP: health and metrics only           2 no new connections; UDP is drained, and
//	3 the store and control state open          requests under way are finished, side by side
//	4 what is to be passed on                 3 ingest hands over its dead letters
//	5 ingest, query, the API                  4 what is passed on goes on for a moment
//	6 UDP is read, the API answers            5 the store closes
//	7 readiness                               6 logs and metrics are last
//
// The sockets come first because a taken port is the most common trouble and
// the cheapest to find. From then on the kernel keeps what arrives: datagrams in
// the socket's buffer, and connections, whose requests wait some seconds for the
// store to be open.
//
// # Connections
//
// A connection has 10 s to send a request's header (of 64 KB at most), may rest
// for 2 minutes between requests, and at most 4,096 of them are open at once. For
// one more, the one that has rested longest is closed; when none rests, the newcomer
// is answered 503. A request's body may keep us waiting for 30 s and one
// second more for each 16 KB that came; the same holds for a client that reads
// its answer slowly. What the server itself takes is not counted. Of a body that
// is too large the rest is read and thrown away for up to 5 s after the answer,
// so that clients which send everything before they read get to see it.
//
// # HTTP/2
//
// A connection has at most 64 requests under way, and all connections 1,024, the
// last half of which is for connections with at most 8. A client that takes back
// more requests than it has answered, 100 at least, or sends 1 MB from which nothing
// follows, is cut off; from the first 64 KB of that on such connections are served
// one after the other, so that they hold nobody else up. Deadlines of requests are
// timers of our own, since those of net/http can outlive the request and hold on to
// its connection.
package server
