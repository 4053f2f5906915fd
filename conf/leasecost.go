package conf

import (
	"maps"
	"math"
	"slices"
	"time"

	"failoverd/failover"
)

const (
	// groupTime is what one multicast group of an interface costs each IPv6 address of it that is renewed: for every
	// RTM_NEWADDR the kernel (inet6_rtm_newaddr, ipv6_find_idev, ipv6_mc_up) goes through all groups, of which each address
	// has one of its own (RFC 4291 section 2.7.1). Measured with Linux 6.18 on one core of a virtual machine.
	groupTime = 420 * time.Nanosecond
	// renewalShare is how much of a core renewals may take without a word.
	renewalShare = 0.02
	// renewalsPerLease is how often a lease is renewed while it lasts.
	renewalsPerLease = 3
)

// checkRenewals warns where the leases of many IPv6 addresses on one interface cost more than they should: the time grows
// with the square of their number.
func (d *decoder) checkRenewals(cfg *failover.Config) {
	type use struct {
		at    Token
		count int
		lease time.Duration // the shortest
	}
	uses := make(map[string]*use)
	for i, in := range d.instances {
		r := &cfg.Routers[i]
		for j := range r.Addresses {
			a := &r.Addresses[j]
			if a.Lease == failover.NoLease || !a.Prefix.Addr().Is6() || a.Interface == "lo" {
				continue
			}
			u := uses[a.Interface]
			if u == nil {
				u = &use{at: in.name, lease: a.Lease}
				uses[a.Interface] = u
			}
			u.count, u.lease = u.count+1, min(u.lease, a.Lease)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		u := uses[name]
		pass := float64(u.count) * float64(u.count) * groupTime.Seconds() * renewalsPerLease
		if share := pass / u.lease.Seconds(); share > renewalShare {
			at := u.at
			if g := &d.global.vipLease; g.ok {
				at = g.at
			}
			d.warnf(at, "%d IPv6 addresses on interface %s with a lease of %s seconds: the kernel needs about %.0f %% of a core to renew them, because it goes through the multicast groups of all for each; vip_lease %.0f takes 2 %%",
				u.count, name, formatSeconds(u.lease), 100*share, math.Ceil(pass/renewalShare))
		}
	}
}
