package failover

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"failoverd/vrrp"
)

const (
	// defenceGap is the least time between two announcements of an address in answer to another host that claims it. RFC
	// 5227 section 2.4 wants ten seconds between defences, of hosts that could as well give their address up; a virtual
	// address belongs to the Active router, and the LAN believes who spoke last.
	defenceGap = time.Second

	// defenceDelay is how long a claim waits for the advertisement of whoever made it: a router that takes the role over
	// announces its addresses a fraction of a millisecond after its first one, and the two arrive on two sockets. To answer
	// that claim would turn the LAN back to the old one.
	defenceDelay = 20 * time.Millisecond

	// defenceRepeats is how often an address is announced after a claim, the first time after defenceDelay.
	defenceRepeats = 3

	// contestedFor is how long after the last claim status tells of it.
	contestedFor = time.Minute
)

// AddressClaimed reports that another host has said on a LAN that it has an address: an ARP packet or a neighbor advertisement
// from a link-layer address that is none of this host's. Anybody on the LAN can make one up.
type AddressClaimed struct {
	Interface string
	Address   netip.Addr
	MAC       [6]byte
}

func (AddressClaimed) input() {}

// contested is an address of an Active router that somebody else claims.
type contested struct {
	key     AddressKey
	mac     [6]byte // who did last
	claims  uint64
	last    vrrp.Instant
	due     vrrp.Instant // of the next announcement; Never: none is left
	quiet   vrrp.Instant // none before
	repeats int
	untold  bool // an event is due with the next announcement
	told    limiter
}

// addressClaimed defends the address, and tells of it. Who is not Active has nothing to defend; who has not announced the address
// yet is about to. Another router that is Active under the same virtual link-layer address is a rival, which its advertisements tell.
func (c *Core) addressClaimed(now vrrp.Instant, in *AddressClaimed) {
	for _, r := range c.routers {
		if r.fsm.State() != vrrp.Active || r.cfg.VMAC != nil && r.cfg.VMAC.MAC == in.MAC {
			continue
		}
		for i := range r.cfg.Addresses {
			k := r.cfg.Addresses[i].Key()
			if k.Interface != in.Interface || k.Prefix.Addr() != in.Address || r.presence[i] == absent {
				continue
			}
			contest(now, r, k, in.MAC)
			c.reschedule(r)
			return // an address is on an interface once
		}
	}
}

// contest takes note of one claim.
func contest(now vrrp.Instant, r *router, k AddressKey, mac [6]byte) {
	r.counters.Claims++
	i := slices.IndexFunc(r.contested, func(x contested) bool { return x.key == k })
	if i < 0 {
		i = len(r.contested)
		r.contested = append(r.contested, contested{key: k, due: vrrp.Never})
	}
	x := &r.contested[i]
	if x.mac != mac && now >= x.last.Add(defenceGap) {
		x.told = limiter{} // somebody else is news, unless two take turns
	}
	x.mac, x.last, x.repeats = mac, now, defenceRepeats
	x.claims, x.untold = x.claims+1, true
	if d := max(now.Add(defenceDelay), x.quiet); x.due > d {
		x.due = d
	}
}

// tellClaim tells of the claims since the last announcement, unless it was told of this host a moment ago.
func (x *contested) tellClaim(now vrrp.Instant, r *router, fx *Effects) {
	if !x.untold {
		return
	}
	x.untold = false
	if x.told.allows(now) {
		fx.about(r, Event{
			Kind: EventClaimed, At: now, Address: x.key, Object: macText(x.mac),
			Reason: "another host has said on this LAN that it has the address; it is announced again, at most once a second",
		})
	}
}

// defend announces the contested addresses of r that are due.
func (c *Core) defend(now vrrp.Instant, r *router, fx *Effects) {
	for i := range r.contested {
		x := &r.contested[i]
		if x.due > now {
			continue
		}
		x.due, x.quiet = vrrp.Never, now.Add(defenceGap)
		if !r.carries(x.key) {
			continue
		}
		x.tellClaim(now, r, fx)
		c.announceOne(now, r, x.key, fx)
		if x.repeats--; x.repeats > 0 {
			x.due = x.quiet
		}
	}
	r.contested = slices.DeleteFunc(r.contested, func(x contested) bool {
		return x.due == vrrp.Never && now >= x.last.Add(contestedFor)
	})
}

// defenceDue is when defend has something to do.
func (r *router) defenceDue() vrrp.Instant {
	due := vrrp.Never
	for i := range r.contested {
		due = min(due, r.contested[i].due)
	}
	return due
}

// ClaimStatus says who else claims a virtual address of an Active router.
type ClaimStatus struct {
	// MAC is the link-layer address of who did last.
	MAC string `json:"mac"`
	// Count is since the role was taken, or since a minute without any; HeardMSAgo the age of the last.
	Count      uint64  `json:"count"`
	HeardMSAgo float64 `json:"heard_ms_ago"`
}

// describeClaim adds what is claimed about an address by others to its status.
func (r *router) describeClaim(now vrrp.Instant, k AddressKey, st *AddressStatus) {
	for i := range r.contested {
		x := &r.contested[i]
		if x.key != k || now >= x.last.Add(contestedFor) {
			continue
		}
		ago := now.Sub(x.last)
		st.Claimed = &ClaimStatus{MAC: macText(x.mac), Count: x.claims, HeardMSAgo: float64(ago.Microseconds()) / 1000}
		if st.Error == "" {
			st.Error = fmt.Sprintf("%s claims it as well, %.0f s ago: another host on this LAN has the address", st.Claimed.MAC, ago.Seconds())
		}
	}
}

// macText returns "02:00:5e:10:00:01".
func macText(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}
