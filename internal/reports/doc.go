// Package reports keeps what X-Ray daemons and agents tell about themselves: how
// many segments they received, sent and lost, and why. They do so every minute, by
// PutTelemetryRecords.
//
// Reports are filed by sender: host name, instance, resource and the address they
// came from, without its port. Of each sender the latest records are kept, and sums
// over all of them. Both senders and records are bounded; a sender that is new takes
// the place of the one that was silent longest.
//
// They are kept in memory and saved to a file, described in docs/format/reports.md,
// once a minute and at Close. What came since is lost in a crash: an
// acknowledgement promises no more, and the next report is a minute away. A file
// that cannot be read is set aside, not an error: it is worth less than a start.
package reports
