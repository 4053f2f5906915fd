// Package failovertest runs failover.Cores without sockets, kernels, speakers, clocks or goroutines, and the same
// course every time. It is imported by tests only.
//
//   - ParseConfig reads a configuration from a few lines of text.
//   - Script drives one Core from a text in which inputs and the effects that they must have stand side by side.
//   - World runs several hosts on a network in virtual time: real Cores and real encoded packets; a Kernel that
//     holds addresses with leases, Speakers that acknowledge late, die and come back. Simulate lets a course of
//     faults drawn from a seed loose on it while a checker watches; Mutation breaks a rule on purpose, to show that
//     the checker notices.
//
// Read Script first, then World.
package failovertest
