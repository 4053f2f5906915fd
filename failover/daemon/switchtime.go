package daemon

import (
	"fmt"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// How long a switch from one program to another may take. Nobody sends meanwhile.
const (
	// longestSwitch is for routers that are all Backup: nobody waits for them.
	longestSwitch = 2 * time.Second
	// leastSwitch is what a switch may take on a machine that is busy. It takes 3 to 8 ms.
	leastSwitch = 30 * time.Millisecond
	// leaseSlack is by how much the kernel may end a lease early - it counts in whole seconds and a quarter of one - and what it
	// takes to renew it after a switch that has failed.
	leaseSlack = 300 * time.Millisecond
	// killTime is what it may take to end a successor that is too slow, and to go on as before.
	killTime = 20 * time.Millisecond
)

// switchTime returns how long a successor may take that begins at now, so that no neighbor takes over even if it fails, and no
// lease ends: leases is when the first one does (leasesEnd); vrrp.Never: there are none.
// Advertisements are due at due at the earliest; interval is the shortest between those of routers that are Active; 0: none is.
// Neighbors have heard one an interval before the next was due, and wait for three (Active_Down_Interval, RFC 9568, without
// the Skew_Time, which is next to nothing for a high priority).
func switchTime(now, due, leases vrrp.Instant, interval time.Duration) time.Duration {
	within := longestSwitch
	if leases != vrrp.Never {
		within = min(within, leases.Sub(now)-leaseSlack)
	}
	if interval > 0 {
		within = min(within, due.Sub(now)+2*interval-killTime)
	}
	return within
}

// leasesEnd returns when a lease ends that is not renewed any more: that of an address, which the kernel counts, or that of what
// speakers announce. Speakers are told of a sign of life by touchAt, and were a quarter of their lease before.
func leasesEnd(core *failover.Core, touchAt vrrp.Instant) vrrp.Instant {
	_, ends := core.Lease()
	if cfg := core.Config(); len(cfg.Speakers) > 0 && touchAt != vrrp.Never {
		ends = min(ends, touchAt.Add(cfg.BGPLease-cfg.BGPLease/4))
	}
	return ends
}

// leastLeases returns what leasesEnd returns at the worst moment, at which all of them are about to be renewed, if that is now.
func leastLeases(core *failover.Core, now vrrp.Instant) vrrp.Instant {
	ends := vrrp.Never
	if lease, _ := core.Lease(); lease != failover.NoLease {
		ends = now.Add(lease - lease/3)
	}
	if cfg := core.Config(); len(cfg.Speakers) > 0 {
		ends = min(ends, now.Add(cfg.BGPLease-cfg.BGPLease/4))
	}
	return ends
}

// hasty says why there is not enough time for a switch; empty: there is.
func hasty(within, interval time.Duration) string {
	switch {
	case within >= leastSwitch:
		return ""
	case interval == 0 || 2*interval-killTime >= leastSwitch:
		return fmt.Sprintf("advertisements, or the leases of addresses or routes, are late, which leaves %v for the switch, less than the %v that it may take; try again",
			max(within, 0).Round(time.Millisecond), leastSwitch)
	}
	return fmt.Sprintf("the neighbors take over when they have heard nothing for %v (three times the shortest advert_int), which leaves %v for the switch, less than the %v that it may take",
		3*interval, max(within, 0).Round(time.Millisecond), leastSwitch)
}
