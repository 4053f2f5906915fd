package conf

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"failoverd/failover"
)

// What it costs the kernel to renew an IPv6 address (RTM_NEWADDR of one that is there), measured with Linux 6.18 on one core
// of a virtual machine, with the agent's own part. There is no cheaper request: the length of the prefix, the flags, the
// preferred lifetime, forwarding and the kind of the interface make no difference.
const (
	// renewTime is what does not depend on other addresses.
	renewTime = 10 * time.Microsecond
	// walkTime comes with each IPv6 address of the network namespace, all of whose lifetimes are looked at
	// (addrconf_verify_rtnl).
	walkTime = 40 * time.Nanosecond
	// groupTime comes with each multicast group of the interface: all are announced anew (ipv6_find_idev, ipv6_mc_up,
	// igmp6_group_added). An address has the group of its last 24 bits (RFC 4291 section 2.7.1). The loopback interface has none.
	groupTime = 370 * time.Nanosecond

	// renewalShare is how much of a core renewals may take without a word.
	renewalShare = 0.02
	// renewalsPerLease is how often a lease is renewed while it lasts.
	renewalsPerLease = 3
)

// renewals are the IPv6 addresses of an interface that are renewed.
type renewals struct {
	name    string
	groups  map[[3]byte]bool
	free    bundle // whose lease may be any
	guarded bundle // whose lease ends with the authority of a site
	each    time.Duration
}

// bundle is a number of addresses, and the shortest of their leases.
type bundle struct {
	count int
	lease time.Duration
}

func (b *bundle) add(lease time.Duration) {
	if b.count == 0 || lease < b.lease {
		b.lease = lease
	}
	b.count++
}

// share returns the part of a core that b takes when it takes each to renew an address.
func (b *bundle) share(each time.Duration) float64 {
	if b.count == 0 {
		return 0
	}
	return pass(b.count, each) / b.lease.Seconds()
}

// pass returns how many seconds of a core the renewals of count addresses take while a lease lasts.
func pass(count int, each time.Duration) float64 {
	return float64(count) * each.Seconds() * renewalsPerLease
}

// gatherRenewals returns what is renewed, by name of the interface. lease says which lease an address has.
func gatherRenewals(cfg *failover.Config, lease func(*failover.RouterConfig, *failover.Address) time.Duration) []*renewals {
	uses := make(map[string]*renewals)
	all := 0
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		for j := range r.Addresses {
			a := &r.Addresses[j]
			d := lease(r, a)
			if !a.Prefix.Addr().Is6() || d == failover.NoLease {
				continue
			}
			u := uses[a.Interface]
			if u == nil {
				u = &renewals{name: a.Interface, groups: make(map[[3]byte]bool)}
				uses[a.Interface] = u
			}
			all++
			b := a.Prefix.Addr().As16()
			u.groups[[3]byte(b[13:])] = a.Interface != "lo"
			if r.Region.Home == "" {
				u.free.add(d)
			} else {
				u.guarded.add(d)
			}
		}
	}
	list := slices.SortedFunc(maps.Values(uses), func(a, b *renewals) int { return cmp.Compare(a.name, b.name) })
	for _, u := range list {
		u.each = renewTime + time.Duration(all)*walkTime
		if u.name != "lo" {
			u.each += time.Duration(len(u.groups)) * groupTime
		}
	}
	return list
}

// usualLease is the lease of an address where the file names none and renewals cost little.
func usualLease(r *failover.RouterConfig, _ *failover.Address) time.Duration {
	return defaultLease(r.VRRP.Interval)
}

// longLeases returns the leases that are longer than usual where the file names none: those of IPv6 addresses whose renewal
// would take more than renewalShare of a core altogether. Interfaces that take less than an equal part of that keep the usual
// lease; what they leave is for the others in equal parts. Addresses of instances that live by a region are left alone: theirs
// end with the authority of the site in any case, and other sites reckon with them.
func longLeases(cfg *failover.Config) (long []failover.LongLease) {
	list := gatherRenewals(cfg, usualLease)
	slices.SortStableFunc(list, func(a, b *renewals) int { return cmp.Compare(a.free.share(a.each), b.free.share(b.each)) })
	left := renewalShare
	for i, u := range list {
		part := left / float64(len(list)-i)
		share := u.free.share(u.each)
		if share <= part {
			left -= share
			continue
		}
		lease := time.Duration(math.Ceil(pass(u.free.count, u.each)/part)) * time.Second
		long = append(long, failover.LongLease{
			Interface: u.name, Addresses: u.free.count, Lease: min(lease, maxLease*time.Second), Usual: u.free.lease, Share: share,
		})
		left -= part
	}
	slices.SortFunc(long, func(a, b failover.LongLease) int { return cmp.Compare(a.Interface, b.Interface) })
	return long
}

// resolveLeases makes leases longer whose renewal would cost too much, where the file leaves that to us, and warns of what
// remains.
func (d *decoder) resolveLeases(cfg *failover.Config) {
	if !d.global.vipLease.ok {
		cfg.LongLeases = longLeases(cfg)
	}
	at := d.firstUses(cfg)
	for i := range cfg.LongLeases {
		l := &cfg.LongLeases[i]
		for j := range cfg.Routers {
			r := &cfg.Routers[j]
			for k := range r.Addresses {
				if l.Covers(r, &r.Addresses[k]) {
					r.Addresses[k].Lease = max(r.Addresses[k].Lease, l.Lease)
				}
			}
		}
		d.warnf(at[l.Interface], "%s; vip_lease sets another", l)
	}
	d.checkRenewals(cfg, at)
}

// firstUses returns where the first router with addresses on an interface is, by name of the interface.
func (d *decoder) firstUses(cfg *failover.Config) map[string]Token {
	at := make(map[string]Token)
	for i, in := range d.routers() {
		for j := range cfg.Routers[i].Addresses {
			a := &cfg.Routers[i].Addresses[j]
			if _, there := at[a.Interface]; !there && a.Prefix.Addr().Is6() {
				at[a.Interface] = in.name
			}
		}
	}
	return at
}

// checkRenewals warns where the leases that the file names, and those of guarded addresses, cost more than they should.
func (d *decoder) checkRenewals(cfg *failover.Config, at map[string]Token) {
	fence := time.Duration(math.MaxInt64)
	if len(cfg.Sites) > 0 {
		fence = cfg.Sites[0].FenceAfter
	}
	var count, guarded int
	var share, passes float64
	var names []string
	shortest := time.Duration(math.MaxInt64)
	for _, u := range gatherRenewals(cfg, func(_ *failover.RouterConfig, a *failover.Address) time.Duration { return a.Lease }) {
		counted := []bundle{u.guarded}
		if u.guarded.lease = min(u.guarded.lease, fence); d.global.vipLease.ok {
			counted = append(counted, u.free)
		}
		counted[0] = u.guarded
		for _, b := range counted {
			if b.count == 0 {
				continue
			}
			count, share, passes, shortest = count+b.count, share+b.share(u.each), passes+pass(b.count, u.each), min(shortest, b.lease)
			names = append(names, u.name)
		}
		guarded += u.guarded.count
	}
	if share <= renewalShare {
		return
	}
	where := at[names[0]]
	if g := &d.global.vipLease; g.ok {
		where = g.at
	}
	remedy := fmt.Sprintf("vip_lease %.0f takes 2 %%", math.Ceil(passes/renewalShare))
	if guarded > 0 {
		remedy = "a longer vip_lease does not help with those of a site, which end with its authority: one address to which a prefix is routed does"
	}
	d.warnf(where, "%d IPv6 addresses on %s with a lease of %s seconds: the kernel needs about %.0f %% of a core to renew them, because it goes through %s for each; %s",
		count, interfacesText(slices.Compact(names)), formatSeconds(shortest), 100*share, failover.RenewalWalk, remedy)
}

func interfacesText(names []string) string {
	if len(names) == 1 {
		return "interface " + names[0]
	}
	return fmt.Sprintf("%d interfaces", len(names))
}
