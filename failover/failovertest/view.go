package failovertest

import (
	"failoverd/failover"
	"failoverd/vrrp"
)

// hostView is what is remembered of a host.
type hostView struct {
	rights []right
	gone   map[failover.AddressKey]loss
	slow   vrrp.Instant // when it last was slow or hung
	hurt   vrrp.Instant // when something was last done to its interface or the addresses that it sends from
	// steady: an agent runs that is Active for every address that the kernel has. It stays so until touch.
	steady bool
	// Where nothing runs that could do anything, nothing changes until touch, and no address is there for too long before due.
	dead bool
	// fresh: something may have been done since the host was looked at.
	fresh bool
	due   vrrp.Instant
}

// right says when a host was last entitled to have an address.
type right struct {
	key  failover.AddressKey
	last vrrp.Instant
}

// right returns when the host was last entitled to have an address, to be changed in place.
func (v *hostView) right(k failover.AddressKey) *vrrp.Instant {
	for i := range v.rights {
		if r := &v.rights[i]; r.key.Prefix == k.Prefix && r.key.Interface == k.Interface {
			return &r.last
		}
	}
	v.rights = append(v.rights, right{key: k})
	return &v.rights[len(v.rights)-1].last
}

type loss struct {
	at vrrp.Instant
	by remover
}
