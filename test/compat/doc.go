// Package compat proves Roentgen against real clients. Its tests start the real
// binary on free loopback ports over a temporary data folder and drive it with
// boto3, the AWS CLI, aws-sdk-go-v2 and @aws-sdk/client-xray, with programs that
// the unmodified X-Ray SDKs for Go, Node and Python instrument, and with requests
// as the X-Ray daemon and the SDKs put them on the wire.
//
// The programs lie in python, node and go-sdk; what they need is pinned in
// requirements.txt, package-lock.json and go-sdk/go.mod, and installed by
// `make tools`. A missing client fails the tests when CI is "true" and is skipped,
// loudly, otherwise.
//
// What the SDKs send passes a relay, which keeps a copy. The relay's copy says
// what the traces must look like (oracle_test.go works that out on its own, from
// plain JSON), and golden files say it once more in a form to read. With -update
// the golden files are written anew, and so are the captured datagrams in
// segment/testdata/sdk, with ids, times, ports and folders replaced.
package compat
