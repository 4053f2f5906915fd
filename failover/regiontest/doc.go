// Package regiontest runs two sites, what lies between them and their bystanders in virtual time: site M with two nodes on
// a LAN, site K with a watcher, one or two witnesses, an upstream router at each site, and paths in each direction. The
// cores, the packets and the heartbeats are real; kernels, speakers, routers, paths and clocks are models. Each node has
// a clock of its own that is off, drifts, and stops with its machine. It is imported by tests only.
//
//   - Course is a list of faults, as text or drawn from a seed. Play runs one, and says which rule was broken first;
//     Shrink leaves of a course what it takes to break a rule.
//   - Mutation breaks a rule on purpose, to show that somebody notices.
//
// The rules are the safety properties between sites (S3 to S15, L3 to L7). They look at the world in its own time: who
// has the address, whose router has the route. What a node believes they know from what it tells and sends only.
//
// Read Course first, then World; rules.go, conduct.go and verdict.go say what is checked.
package regiontest
