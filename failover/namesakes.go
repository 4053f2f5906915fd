package failover

import (
	"fmt"
	"net/netip"
	"time"

	"failoverd/vrrp"
)

// Nodes are told apart by their site and their name, which is router_id. Two with the same name count as one here: what the one
// says takes the place of what the other one has said, and neither is a successor of the other. That cannot be mended from
// outside, so it is said.
const (
	// namesakesShown is how long after the last sign of it that is shown.
	namesakesShown = time.Minute
	// namesakesTold is how often it is told while it lasts.
	namesakesTold = 10 * time.Minute
)

// namesakes is what is known of several nodes that go by one name.
type namesakes struct {
	why      string // empty: there were none yet
	at, told vrrp.Instant
	from     [2]netip.Addr // the newest two that differ, the newest one first
}

// nameTwice finds out whether who sent a request shares its name with another node, or with this one, and tells.
func (c *Core) nameTwice(now vrrp.Instant, s *sighting, in *HeartbeatHeard, fx *Effects) {
	n := &s.namesakes
	if n.from[0] != in.From {
		n.from = [2]netip.Addr{in.From, n.from[0]}
	}
	why := ""
	switch {
	case !in.Own && s.site == c.cfg.self() && s.node == c.cfg.node():
		why = fmt.Sprintf("another node, at %v, has the site and the router_id of this one", in.From)
	case in.Namesakes && n.from[1].IsValid():
		a, b := n.from[0], n.from[1]
		if b.Less(a) {
			a, b = b, a
		}
		why = fmt.Sprintf("several nodes, at %v and %v, have this router_id", a, b)
	case in.Namesakes:
		why = fmt.Sprintf("several nodes, all of them behind %v, have this router_id", in.From)
	default:
		return
	}
	why += " and count as one; give each one of its own"
	begins := n.why == "" || now >= n.told.Add(namesakesTold)
	n.why, n.at = why, now
	if begins {
		n.told = now
		fx.event(Event{
			Kind: EventNamesakes, At: now, Object: fmt.Sprintf("node %s of site %s", s.node, s.site), Peer: in.From, Reason: why,
		})
	}
}

// shown is what status says of it at now; empty: nothing.
func (n *namesakes) shown(now vrrp.Instant) string {
	if n.why == "" || now.Sub(n.at) > namesakesShown {
		return ""
	}
	return n.why
}
