package daemon

import (
	"net/netip"
	"slices"

	"failoverd/failover"
	"failoverd/vrrp/link"
	"failoverd/vrrp/wire"
)

// claimQueue is how many claims of other hosts may wait for the loop. What does not fit is dropped: it is said again, or was lost
// on the LAN in other weather.
const claimQueue = 1024

// openClaims listens for what other hosts say about the virtual addresses of one family on one interface.
type openClaims struct {
	claimSocket
	index int
	addrs []netip.Addr
	done  chan struct{} // closed when its reader has ended
}

// claimSocket is a link.Claims.
type claimSocket interface {
	Run(func(link.Claim) bool)
	Close() error
}

// claimed returns the virtual addresses of a configuration by interface and family.
func claimed(cfg *failover.Config) map[failover.LinkID][]netip.Addr {
	out := make(map[failover.LinkID][]netip.Addr)
	for i := range cfg.Routers {
		for j := range cfg.Routers[i].Addresses {
			k := cfg.Routers[i].Addresses[j].Key()
			id := failover.LinkID{Interface: k.Interface, Family: wire.FamilyOf(k.Prefix.Addr())}
			if !slices.Contains(out[id], k.Prefix.Addr()) {
				out[id] = append(out[id], k.Prefix.Addr())
			}
		}
	}
	return out
}

// hear makes sure that claims to the virtual addresses on an interface are listened for, while it is up and others are on it.
// One that cannot be listened to is tried again with the links, and after the next change of the interface.
func (l *links) hear(name string) {
	i := l.interfaces[name]
	for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
		id := failover.LinkID{Interface: name, Family: f}
		want := l.claimable[id]
		delete(l.unheard, id)
		if o := l.claims[id]; o != nil && (o.index != i.Index || !slices.Equal(o.addrs, want)) {
			l.stopHearing(id)
		}
		if l.claims[id] == nil && len(want) > 0 && i.Index != 0 && i.Up && !i.Loopback {
			l.hearOne(id, i.Index, want)
		}
	}
}

func (l *links) hearOne(id failover.LinkID, index int, addrs []netip.Addr) {
	c, err := link.OpenClaims(link.ID{Interface: id.Interface, Family: id.Family}, addrs)
	if err != nil {
		l.complain(id.Interface, err)
		l.unheard[id] = true
		return
	}
	o := &openClaims{claimSocket: c, index: index, addrs: addrs, done: make(chan struct{})}
	l.claims[id] = o
	go func() {
		defer close(o.done)
		c.Run(func(claim link.Claim) bool {
			select {
			case l.agent.claims <- failover.AddressClaimed{Interface: id.Interface, Address: claim.Address, MAC: claim.MAC}:
				return true
			default:
				return false
			}
		})
	}()
}

// stopHearing ends a reader without waiting for it: to close a packet socket, the kernel waits for all processors, and the loop
// does not. What it has heard meanwhile is of an interface or addresses that the core does not ask about any more.
func (l *links) stopHearing(id failover.LinkID) {
	o := l.claims[id]
	delete(l.claims, id)
	l.ending.Go(func() {
		_ = o.Close() // it is of no use any more in any case
		<-o.done
	})
}

// hearMissing tries again what could not be listened to.
func (l *links) hearMissing() {
	for id := range l.unheard {
		l.hear(id.Interface)
	}
}
