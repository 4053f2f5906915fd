package conf

import (
	"net/netip"

	"failoverd/failover"
)

// checkOwnAddresses looks for addresses of sessions and next hops that are virtual ones. A virtual address is here only
// while the role is: a session from it would begin with the role instead of being there already, and a route to it would
// lead nowhere as soon as the role is elsewhere (RFC 4271 section 5.1.3).
func (d *decoder) checkOwnAddresses(cfg *failover.Config) {
	virtual := map[netip.Addr]*instance{}
	for _, in := range d.routers() {
		for _, a := range in.addresses {
			if a.ok && virtual[a.prefix.Addr()] == nil {
				virtual[a.prefix.Addr()] = in
			}
		}
	}
	refuse := func(word string, at Token, a netip.Addr, want string) {
		if in := virtual[a]; in != nil {
			d.errorf(at, "%s %s is a virtual address of %s %s, which is here only while the role is (want %s)", word, a, in.kind(), in.name.Text, want)
		}
	}
	for i, s := range d.speakers {
		if cfg.Speakers[i].External != nil {
			continue // a gobgpd may be on another host
		}
		for _, n := range s.neighbors {
			refuse("neighbor", n.at, n.addr, "the address of another router")
			if n.local.ok {
				refuse("local_address", n.local.at, n.local.value, "an address that this node always has")
				if n.local.value == n.addr {
					d.errorf(n.local.at, "local_address %s is the neighbor itself (want an address of this node)", n.addr)
				}
			}
		}
	}
	for _, in := range d.routers() {
		for _, a := range in.announce {
			if a.nextHop.ok {
				refuse("next_hop", a.nextHop.at, a.nextHop.value, "an address that this node always has, on a network of the neighbor's")
			}
		}
	}
}

// checkSpeakerPairs looks for speakers that would keep each other from working: a port that two of them listen on, and a
// neighbor that two of them call from the same address, of which it takes one (RFC 4271 section 6.8).
func (d *decoder) checkSpeakerPairs(cfg *failover.Config) {
	type call struct {
		local, neighbor netip.Addr
		port            uint16
	}
	listens, calls := map[uint16]string{}, map[call]string{}
	for i, s := range d.speakers {
		c := &cfg.Speakers[i]
		if c.External != nil {
			continue
		}
		if first, twice := listens[c.ListenPort]; twice && s.listen.ok && c.ListenPort != 0 {
			d.errorf(s.listen.at, "listen_port %d: bgp_speaker %s listens there already, on all addresses (want another one, or 0: sessions are opened from here)", c.ListenPort, first)
		} else if s.listen.ok {
			listens[c.ListenPort] = s.name.Text
		}
		for _, n := range s.neighbors {
			k := call{n.local.or(netip.Addr{}), n.addr, n.port.or(bgpPort)}
			if first, twice := calls[k]; twice && first != s.name.Text {
				d.errorf(n.at, "neighbor %s: bgp_speaker %s calls it from the same address, and it takes one session of an address (want another local_address, or one bgp_speaker for both)", n.addr, first)
				continue
			}
			calls[k] = s.name.Text
		}
	}
}
