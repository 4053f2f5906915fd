package conf

import (
	"net/netip"
	"strings"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// peerList is the draft of unicast_peer or watcher_peer.
type peerList struct {
	given *Token // the keyword
	peers []*peer
	// broken: an entry was wrong, which has been reported.
	broken bool
}

type peer struct {
	at     Token
	addr   netip.Addr
	minTTL field[uint8]
	maxTTL field[uint8]
}

var (
	unicastPeerWords = newTable("unicast_peer", peerRows).inEntries()
	watcherPeerWords = newTable("watcher_peer", peerRows).inEntries()
)

var peerRows = []row[*peer]{
	single("min_ttl", func(d *decoder, p *peer, c *cursor) { p.minTTL.set(d.uint8(c, 0, 255)) }),
	single("max_ttl", func(d *decoder, p *peer, c *cursor) { p.maxTTL.set(d.uint8(c, 1, 255)) }),
}

// peers decodes a list of peers. Several blocks add up.
func (d *decoder) peers(l *peerList, t *table[*peer], c *cursor) {
	if l.given == nil {
		at := c.keyword
		l.given = &at
	}
	entries(d, t, d.body(c), isAddress, func(c *cursor) *peer {
		p := &peer{at: c.keyword}
		var ok bool
		if p.addr, ok = d.parseAddress(c.keyword, t.name, true); ok {
			l.peers = append(l.peers, p)
		} else {
			l.broken = true
		}
		return p
	})
}

// isAddress reports whether a word is an address, with whatever length behind a slash, rather than an option.
func isAddress(word string) bool {
	addr, _, _ := strings.Cut(word, "/")
	_, err := netip.ParseAddr(addr)
	return err == nil
}

// resolvePeers returns a list without duplicates and without the router's own address, which one file for all nodes
// would have among the others.
func (d *decoder) resolvePeers(in *instance, l *peerList, family wire.Family) []vrrp.Peer {
	var out []vrrp.Peer
	seen := map[netip.Addr]bool{}
	for _, p := range l.peers {
		switch {
		case wire.FamilyOf(p.addr) != family:
			d.errorf(p.at, "%s %s: the virtual addresses are %s", l.given.Text, p.addr, family)
			l.broken = true
			continue
		case p.addr.IsLinkLocalUnicast() && family == wire.IPv6:
			d.errorf(p.at, "%s %s: a link-local address is not reachable by unicast without an interface; use a global one", l.given.Text, p.addr)
			l.broken = true
			continue
		case in.source.ok && in.source.value == p.addr:
			d.warnf(p.at, "%s %s is this router's own address and left out", l.given.Text, p.addr)
			continue
		case seen[p.addr]:
			d.warnf(p.at, "%s %s is there twice", l.given.Text, p.addr)
			continue
		}
		seen[p.addr] = true
		lo, hi := p.minTTL.or(0), p.maxTTL.or(0)
		if hi != 0 && lo > hi {
			d.errorf(p.minTTL.at, "min_ttl %d is above max_ttl %d", lo, hi)
		}
		out = append(out, vrrp.Peer{Address: p.addr, MinTTL: lo, MaxTTL: hi})
	}
	return out
}

// resolveWatchers returns who gets copies of what goes to the multicast group. Over IPv6 that goes out from a link-local
// address (RFC 9568 section 5.1.2.1), which nobody beyond the link could answer.
func (d *decoder) resolveWatchers(in *instance, family wire.Family) []vrrp.Peer {
	at := *in.watchers.given
	switch {
	case in.unicast != nil:
		d.errorf(at, "watcher_peer goes with multicast; in unicast, name the watchers in unicast_peer")
	case family == wire.IPv6:
		d.errorf(at, "watcher_peer is not supported yet over IPv6: the copies would leave from the link-local address; between regions use unicast (unicast_src_ip and unicast_peer)")
		return nil
	}
	return d.resolvePeers(in, &in.watchers, family)
}

// resolveUnicast decides between unicast and multicast. Whoever names anything of unicast does not want to talk to
// everybody on the link: keepalived falls back to multicast then, here it is an error.
func (d *decoder) resolveUnicast(in *instance, cfg *vrrp.Config) {
	if in.watchers.given != nil {
		cfg.Watchers = d.resolveWatchers(in, cfg.Key.Family)
	}
	if in.unicast == nil {
		return
	}
	cfg.Unicast = true
	if in.peers.given != nil {
		cfg.Peers = d.resolvePeers(in, &in.peers, cfg.Key.Family)
	}
	if len(cfg.Peers) == 0 && !in.peers.broken {
		at := *in.unicast
		if in.peers.given != nil {
			at = *in.peers.given
		}
		d.errorf(at, "%s, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)", at.Text)
	}
	cfg.AnySource = !in.checkSource.or(d.global.checkSource.or(true))
	for _, p := range in.peers.peers {
		if cfg.AnySource && (p.minTTL.ok || p.maxTTL.ok) {
			d.warnf(p.at, "min_ttl and max_ttl turn the check of the source on again")
			cfg.AnySource = false
		}
	}
}
