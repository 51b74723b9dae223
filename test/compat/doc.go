// Package compat proves Roentgen against real clients. Its tests start the real
// binary on free loopback ports over a temporary data folder and drive it with
// boto3, the AWS CLI, aws-sdk-go-v2 and @aws-sdk/client-xray, with programs that
// the unmodified X-Ray SDKs for Go, Node and Python instrument, and with requests
// as the X-Ray daemon and the SDKs put them on the wire. These SDKs, the one for Java
// and OpenTelemetry's X-Ray sampler for Go take their sampling from it. The SDKs of
// OpenTelemetry for Go, Node, Python and Java send it spans, over every protocol that
// they have, and take part in traces whose ends are instrumented with an X-Ray SDK. A Collector passes
// their spans on as the documentation has it set up; it is built of the Collector's own modules,
// which those for X-Ray are not among.
//
// The programs lie in python, node, java, go-sdk, go-otel and collector; what they need is pinned
// in requirements.txt, package-lock.json, java/pom.xml and the three go.mod files, and
// installed by `make tools`. A missing client fails the tests when CI is "true" and is skipped,
// loudly, otherwise.
//
// What the SDKs send passes a relay, which keeps a copy. The relay's copy says
// what the traces must look like (oracle_test.go works that out on its own, from
// plain JSON), and golden files say it once more in a form to read. With -update
// the golden files are written anew, and so are the captured datagrams in
// segment/testdata/sdk, with ids, times, ports and folders replaced.
package compat
