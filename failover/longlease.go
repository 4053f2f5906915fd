package failover

import (
	"fmt"
	"time"
)

// RenewalWalk says what makes the renewal of an IPv6 address expensive.
const RenewalWalk = "all multicast groups of the interface and all lifetimes"

// LongLease says that the IPv6 addresses of an interface have a longer lease than usual, because the configuration names none
// and there are so many of them: the time that the kernel needs to renew them grows with the square of their number.
type LongLease struct {
	Interface string
	Addresses int
	// Lease is what they have at least, Usual what the shortest of them would be otherwise, whole seconds.
	Lease, Usual time.Duration
	// Share is the part of a core that renewals would take with the usual lease.
	Share float64
}

// Covers reports whether the lease is that of an address of a router: not if the router lives by a region.
func (l *LongLease) Covers(r *RouterConfig, a *Address) bool {
	return a.Interface == l.Interface && a.Prefix.Addr().Is6() && a.Lease != NoLease && r.Region.Home == ""
}

// String returns which lease counts, and why.
func (l *LongLease) String() string {
	return fmt.Sprintf("%d IPv6 addresses on interface %s: their lease is %s seconds and not %s, because to renew them would take about %.0f %% of a core: the kernel goes through %s for each",
		l.Addresses, l.Interface, sec(l.Lease), sec(l.Usual), 100*l.Share, RenewalWalk)
}

// LongLeaseStatus is a LongLease in /v1/status.
type LongLeaseStatus struct {
	Interface    string  `json:"interface"`
	Addresses    int     `json:"addresses"`
	LeaseSeconds float64 `json:"lease_seconds"`
	UsualSeconds float64 `json:"usual_lease_seconds"`
	Why          string  `json:"why"`
}

func describeLongLeases(list []LongLease) (out []LongLeaseStatus) {
	for i := range list {
		l := &list[i]
		out = append(out, LongLeaseStatus{l.Interface, l.Addresses, l.Lease.Seconds(), l.Usual.Seconds(), l.String()})
	}
	return out
}
