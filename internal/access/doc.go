// Package access is the lock on the door: it lets requests pass that were made with
// a key, and refuses others before anything is done for them.
//
// A request proves its key in one of three ways: signed in its Authorization
// header or in its query (AWS Signature Version 4, see sigv4), or by a bearer token,
//
//	Authorization: Bearer RGENW5SN7YSLQ2VBD4KA.L6EBGPEE4VU6IHQ2RXXJ7VAY5KHZWIAXDPPTOE3C
//
// which is the key's id and secret with a dot between them. A token is as good as
// its secret and goes over the wire as it is, so it is for programs that cannot
// sign: Prometheus, curl, a browser's page.
//
// What happens to a signed request, in this order; whatever fails ends it:
//
//	claim      is it well-formed, for the service xray, of this hour?
//	key        is it known, and still valid?
//	signature  does it match? When the request states the hash of its body, this is
//	           known before the body is read. Otherwise the body is read first,
//	           bounded, and its hash goes into the signature.
//	body       does it have the stated hash?
//	role       may this key do that?
//
// A body is never read for somebody who does not at least name a key that exists.
// That such a request is answered sooner than one with a wrong signature tells
// nothing that its error code (AWS's) does not tell, and ids of keys are no secrets.
//
// Bodies that are not signed (UNSIGNED-PAYLOAD) are taken over TLS only: without it
// anybody on the way could put in another body. Bodies in signed pieces (STREAMING-…)
// are refused; only S3 knows them.
package access
