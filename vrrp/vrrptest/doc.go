// Package vrrptest runs virtual routers on a network in memory: no socket, no clock, no goroutine, and the same course
// every time. It is imported by tests only.
//
// A Network carries real encoded packets between nodes, each running a Machine: a *vrrp.Router, or an Oracle in its
// place. Three things are built on it:
//
//   - Script, a small language in which a course of events and what must come of it can be read side by side;
//   - Scenario, a course of faults drawn from a seed, followed by a quiet time in which the election must be right;
//   - Mutation, wrong ways to read the RFC, to show that the rules of the Scenario notice them.
//
// Vector is not about networks: it is the list of packets with known verdicts that vrrp and vrrp/wire share.
package vrrptest
