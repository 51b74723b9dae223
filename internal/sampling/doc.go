// Package sampling decides, and explains, which requests are traced: rules and
// how they are matched, the shares of a rule's reservoir that clients get, and
// what a rule would have kept of traffic that is stored. It does no I/O and asks
// no clock: callers pass the time.
//
// # Rules
//
// The rules of an account are tried in the order of their priority, of equal ones
// in the order of their names. The first one that matches decides; the Default
// rule, whose priority is 10000, matches everything. The patterns of a rule know *
// (anything, also nothing) and ? (exactly one character) and do not care about
// case. What is not known of a request, "" here, matches every pattern. The keys of
// Attributes must all be there, and their values match. Clients decide by
// themselves with the rules that they were given; X-Ray SDKs pass over rules with
// Attributes or a ResourceARN other than *, see Rule.SDKsIgnore.
//
// # Reservoirs
//
// The first ReservoirSize requests that match a rule in a second are traced, over
// all clients together, and FixedRate of the others. So that clients need not ask
// for each request, a Sampler gives each of them a quota, its share of the
// reservoir for each second, together with the answer to its report every
// Interval. All that counts is this machine's clock and the order of reports: the
// times in reports are the clients' own and may be wrong by any amount.
//
//   - A client that is new to a rule gets no quota until Interval has gone by since
//     its first report. Until then it borrows: it takes one request a second at
//     most, whatever the reservoir.
//   - The clients that have a quota, and reported within ClientTime, share the
//     reservoir by what they reported (Share): the largest remainders get what
//     cannot be parted, and a client without demand gets 0. The shares add up to
//     the reservoir, so the quotas do when each client has reported once more
//     after a change.
//   - The shares stay as they are while demand, smoothed over reports, stays about what
//     it was (within half of it, and what chance does to small numbers), since a new
//     plan is in force only after every client has heard of it. A client that comes,
//     goes, begins or ends to have demand makes a new plan.
//   - A reservoir smaller than the number of clients goes to those with the largest
//     demand; who holds a trace a second keeps it until another one has twice the demand.
//   - A quota is good for QuotaTime. A client without requests does not report, so
//     its quota may be in use for that long when its share was given to others.
//
// # Memory
//
// Everybody who reaches the server can make up client ids. A Sampler keeps at most
// maxClients pairs of rule and client; when there are so many, new ones get no quota and
// are counted, until others were silent for ClientTime. Rules are not made up: callers
// look them up before they report.
//
// # Boost
//
// A rule with a SamplingRateBoost has its rate raised for a minute at most while clients report
// anomalies: to twice the fixed rate (to 1 % when that is less), doubled again every
// ten seconds, up to MaxRate. A boosted rate is good for 20 s and given to every client of the
// rule; it is given no more when the latest reports of all clients have no anomaly.
// The next boost begins CooldownWindowMinutes after the begin of the last one.
package sampling
