// Package keys holds the access keys of a server: who may talk to it, and what for.
//
// A key is an id, which is no secret and goes over the wire, a secret, which does
// not (but as a bearer token), and roles:
//
//	write   send segments and telemetry, and ask for sampling rules and targets
//	read    ask for traces, graphs, statistics and settings
//	admin   all of that, and change settings, see refused documents, import, debug
//
// Keys live in one file, described in docs/format/keys.md, that only its owner may
// read; Read refuses others. Secrets stand in it as they are: Signature Version 4
// is a keyed hash of the request, so whoever verifies it has to know the secret
// itself. Hashing them, as one does with passwords, is not possible.
//
// Update changes the file: under a lock that keeps other processes out, by a new
// file that takes the place of the old one, so that readers see one or the other.
// A Ring is the file in use by a server. It follows the file without a restart: a
// key that was made or revoked counts a second later.
package keys
