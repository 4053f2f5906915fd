// Package kernel keeps the kernel's addresses as the Core wants them, and tells the Core what the kernel says about
// its network interfaces. It decides nothing: which addresses are wanted comes in as failover.DesiredAddresses, what
// is really there goes out as failover.AddressReport, and Watch reports failover.Interface values. It is the only
// importer of a netlink library in the agent.
//
//	daemon --Set--> mailbox (newest only) --> Run: reconciler --report--> daemon
//	kernel --feed (links, addresses)--------> Run
//	kernel --feed (links, addresses)--------> Watch ----------deliver---> daemon
//
// Run and Watch are one goroutine each, plus one reader per feed. All state of the reconciler belongs to Run.
//
// Three rules hold everywhere:
//
// A lease is never extended by this package on its own. It counts from the Set that wants the address, and from each
// one whose Renewal has grown; an address that is put back gets what is left. So an address ends when the loop that
// calls Set does, with this process or without it (IPv4 and IPv6 valid_lft). A guarded address ends with the authority of
// its site as well (DesiredAddresses.Until): no lifetime goes beyond it, what was written too late is undone, and whoever
// hangs, the worker removes the address then (authority.go).
//
// Only our own addresses are touched: those that carry Protocol as their IFA_PROTO. What carries it when the first
// DesiredAddresses is carried out was left by a dead predecessor, whatever that one was configured for, and goes unless
// it is wanted: there must be one agent at most in a network namespace, which the caller sees to. Later, what this
// process neither found at the start nor was told about is left alone even with the tag. An address that is there
// without the tag (an address owner's, an administrator's) serves as well as ours: it counts as present and is never
// modified; while it is configured and not wanted, it is reported as foreign. Kernels before 5.18 do not keep
// IFA_PROTO; there a finite lifetime and being configured stand for the tag.
//
// What is reported is what the kernel says. Its notifications are merged into a table that is read anew after a
// notification was lost, after a surprise, and every Options.Resync.
//
// Read Worker first, then plan, which is the whole policy in one pure function.
package kernel

import (
	"os"
	"strings"
)

// Protocol is the IFA_PROTO (rt_addrprotos) number of the addresses that the agent adds: VRRP's own protocol number,
// so that newer iproute2 shows "proto 112". keepalived uses 18.
const Protocol = 112

// BootID returns the kernel's boot identifier, a UUID that changes with every boot; empty if it cannot be read.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
