// Package sigv4 verifies AWS Signature Version 4 on received requests, in the
// header and in the presigned (query) form.
//
// A request names an access key and carries a keyed hash of itself: of its
// method, path, query, of the headers that it lists, and of the hash of its body.
// Who holds the secret of that key works the same hash out and compares. A
// signature is good for some minutes around its date; sent again within that time
// it is valid again.
//
// The package reads what a request claims (Parse), judges its times (CheckTime)
// and its signature (Verify). It knows no keys and reads no bodies: its caller
// finds the secret, and hands in the hash of the body that came.
//
// Errors are those of the AWS front ends, with their codes and texts. Known
// differences, all of them decisions of ours, since AWS does not document them:
//
//   - Any region is accepted in the credential scope. Clients sign for whatever
//     region they are set to, and here it means nothing.
//   - The listed headers have to be in order, each once. All clients do so, and
//     it bounds the work that a header of a few kilobytes can ask for.
//   - A path may be signed as it stands or with "//" and dots taken out; SDKs
//     differ in that.
//   - A security token is part of what was signed, and otherwise not looked at:
//     there are no temporary keys here.
//
// The signer of aws-sdk-go-v2 is not used for this, although it is the oracle of
// the tests: it decides by itself which headers count, and leaves out User-Agent,
// which the AWS SDK for .NET signs, and a Content-Length of 0.
package sigv4
