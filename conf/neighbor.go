package conf

import (
	"net/netip"
	"path"
	"strings"
	"time"

	"failoverd/bgp"
)

// neighbor is the draft of the block of that name.
type neighbor struct {
	at           Token
	addr         netip.Addr
	remoteAS     field[uint32]
	local        field[netip.Addr]
	description  field[string]
	password     field[string]
	passwordFile field[string]
	port         field[uint16]
	hold         field[time.Duration]
	keepalive    field[time.Duration]
	retry        field[time.Duration]
	multihop     field[uint8]
	ttlSecurity  field[uint8]
	restart      field[time.Duration]
	stale        *Token // i_understand_stale_routes
}

// Defaults and bounds of a neighbor.
const (
	defaultHold  = 9 * time.Second
	defaultRetry = time.Second
	bgpPort      = 179
	maxHold      = 65535 // seconds
	maxRetry     = 65535 // seconds
	minHold      = 3     // RFC 4271 section 4.2: 0 or at least 3; 0 would never notice a dead peer
	maxRestart   = 4095  // seconds, 12 bits (RFC 4724 section 3)
	maxPassword  = 80    // TCP_MD5SIG_MAXKEYLEN of Linux
)

var neighborWords = newTable("neighbor", []row[*neighbor]{
	single("remote_as", func(d *decoder, n *neighbor, c *cursor) { n.remoteAS.set(d.as(c)) }),
	single("local_address", func(d *decoder, n *neighbor, c *cursor) { n.local.set(d.address(c, false)) }),
	single("description", func(d *decoder, n *neighbor, c *cursor) { n.description.set(d.text(c, "a text")) }),
	single("password", func(d *decoder, n *neighbor, c *cursor) { n.password.set(d.password(c)) }),
	single("password_file", func(d *decoder, n *neighbor, c *cursor) { n.passwordFile.set(d.passwordFile(c)) }),
	single("port", func(d *decoder, n *neighbor, c *cursor) { n.port.set(d.uint16(c, 1, 65535)) }),
	single("hold_time", func(d *decoder, n *neighbor, c *cursor) { n.hold.set(d.holdTime(c)) }),
	single("keepalive", func(d *decoder, n *neighbor, c *cursor) { n.keepalive.set(d.whole(c, 1, maxHold/3)) }),
	single("connect_retry", func(d *decoder, n *neighbor, c *cursor) { n.retry.set(d.whole(c, 1, maxRetry)) }),
	single("multihop", func(d *decoder, n *neighbor, c *cursor) { n.multihop.set(d.uint8(c, 1, 255)) }),
	single("ttl_security", func(d *decoder, n *neighbor, c *cursor) { n.ttlSecurity.set(d.uint8(c, 1, 254)) }),
	single("graceful_restart", func(d *decoder, n *neighbor, c *cursor) { n.restart.set(d.whole(c, 0, maxRestart)) }),
	word("i_understand_stale_routes", func(_ *decoder, n *neighbor, c *cursor) {
		at := c.keyword
		n.stale = &at
	}),
	word("four_octet_as_required", func(d *decoder, _ *neighbor, c *cursor) {
		if on, at, ok := d.switched(c); ok && !on {
			d.errorf(at, "four_octet_as_required off is not supported yet")
		}
	}),
}, []row[*neighbor]{
	// Errors at start, too: a session must not come up with less than was asked for.
	{name: "tcp_ao", status: refused, valued: true, note: "gobgp has no TCP-AO (RFC 5925), and nothing weaker takes its place unasked: password is TCP MD5"},
	{name: "role", status: refused, valued: true, note: "gobgp 3 cannot send the capability of RFC 9234; what is received is never announced again in any case"},
})

func (d *decoder) neighbor(s *speaker, c *cursor) {
	n := &neighbor{}
	t, ok := d.next(c, "an IP address")
	n.at = t
	walk(d, neighborWords, n, d.body(c))
	if ok {
		n.addr, ok = d.neighborAddress(t)
	}
	if !ok {
		s.broken = true
		return
	}
	for _, other := range s.neighbors {
		if other.addr == n.addr {
			d.errorf(t, "neighbor %s is defined twice, first at %s", n.addr, other.at.Pos)
			return
		}
	}
	s.neighbors = append(s.neighbors, n)
}

// neighborAddress reads an address, which needs a zone when it is link-local.
func (d *decoder) neighborAddress(t Token) (netip.Addr, bool) {
	addr, zone, zoned := strings.Cut(t.Text, "%")
	bare := t
	bare.Text = addr
	a, ok := d.parseAddress(bare, "neighbor", false)
	switch {
	case !ok:
	case a.Is6() && a.IsLinkLocalUnicast() != zoned, a.Is4() && zoned, zoned && zone == "":
		d.errorf(t, "neighbor %s: a link-local IPv6 address, and only that, has the interface with it (%s%%eth0)", t.Text, addr)
		ok = false
	}
	return a.WithZone(zone), ok
}

func (d *decoder) password(c *cursor) (string, Token, bool) {
	s, t, ok := d.text(c, "a password")
	if ok && len(s) > maxPassword {
		d.errorf(t, "%s: longer than the %d characters that TCP MD5 takes", c.keyword.Text, maxPassword)
		ok = false
	}
	return s, t, ok
}

// passwordFile returns the first line of a file; there is no other.
func (d *decoder) passwordFile(c *cursor) (string, Token, bool) {
	name, t, ok := d.text(c, "the name of a file")
	if !ok {
		return "", t, false
	}
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(t.Pos.File), name)
	}
	data, err := d.src.Read(name)
	if err != nil {
		d.errorf(t, "password_file: %v", err)
		return "", t, false
	}
	s := strings.TrimRight(string(data), "\r\n")
	switch {
	case s == "" || strings.ContainsAny(s, "\n\x00"):
		d.errorf(t, "password_file %s: want one line with the password", name)
	case len(s) > maxPassword:
		d.errorf(t, "password_file %s: longer than the %d characters that TCP MD5 takes", name, maxPassword)
	default:
		d.extra = append(d.extra, s)
		return s, t, true
	}
	return "", t, false
}

// holdTime refuses what leaves a dead peer undetected (RFC 4271 sections 4.2 and 6.2).
func (d *decoder) holdTime(c *cursor) (time.Duration, Token, bool) {
	v, t, ok := d.whole(c, 0, maxHold)
	if ok && v < minHold*time.Second {
		why := "no BGP speaker accepts it"
		if v == 0 {
			why = "a dead peer would never be noticed"
		}
		d.errorf(t, "hold_time %s: out of range (want %d to %d): %s", t.Text, minHold, maxHold, why)
		ok = false
	}
	return v, t, ok
}

// resolveNeighbor returns the configuration of a neighbor.
func (d *decoder) resolveNeighbor(n *neighbor, s *bgp.SpeakerConfig) bgp.Neighbor {
	hold := n.hold.or(defaultHold)
	out := bgp.Neighbor{
		Address: n.addr, RemoteAS: n.remoteAS.or(0), LocalAddress: n.local.or(netip.Addr{}),
		Description: n.description.or(""), Password: n.password.or(n.passwordFile.or("")), Port: n.port.or(bgpPort),
		HoldTime: hold, Keepalive: n.keepalive.or((hold / 3).Truncate(time.Second)), ConnectRetry: n.retry.or(defaultRetry),
		Multihop: n.multihop.or(0), TTLSecurity: n.ttlSecurity.or(0), GracefulRestart: n.restart.or(0),
	}
	if n.remoteAS.missing() {
		d.errorf(n.at, "neighbor %s: remote_as is missing", n.addr)
	}
	if n.addr.Zone() != "" && n.local.missing() {
		d.errorf(n.at, "neighbor %s: local_address is missing, the own link-local address: without it there would be no next hop", n.addr)
	}
	if out.LocalAddress.IsValid() && out.LocalAddress.Is4() != n.addr.Is4() {
		d.errorf(n.local.at, "local_address %s and neighbor %s are of different families", out.LocalAddress, n.addr)
	}
	if n.password.given && n.passwordFile.given {
		d.errorf(n.passwordFile.at, "password_file and password exclude each other")
	}
	if n.keepalive.ok && (n.hold.ok || n.hold.missing()) && out.Keepalive > hold/3 {
		d.errorf(n.keepalive.at, "keepalive %s: more than a third of hold_time %s (want 1 to %s)",
			n.keepalive.at.Text, formatSeconds(hold), formatSeconds((hold / 3).Truncate(time.Second)))
	}
	if n.multihop.given && n.ttlSecurity.given {
		d.errorf(n.ttlSecurity.at, "ttl_security and multihop exclude each other")
	}
	if n.multihop.ok && out.RemoteAS == s.LocalAS {
		d.errorf(n.multihop.at, "multihop is for eBGP: a session inside an AS may take any number of hops")
	}
	d.checkRestart(n, &out)
	return out
}

// checkRestart lets graceful restart in only for who knows what it does (BGP-GR-03): it hides a dead node from the world.
func (d *decoder) checkRestart(n *neighbor, out *bgp.Neighbor) {
	s := n.restart.at.Text
	switch {
	case out.GracefulRestart == 0 && n.stale != nil && n.restart.sound():
		d.warnf(*n.stale, "i_understand_stale_routes has no effect without graceful_restart")
	case out.GracefulRestart == 0:
	case n.stale == nil:
		d.errorf(n.restart.at, "graceful_restart %s: after a crash the neighbor keeps the route, which leads nowhere, for %s more seconds, "+
			"and the takeover of another node is not seen for as long; write i_understand_stale_routes beside it if that is meant", s, s)
	case out.GracefulRestart > out.HoldTime:
		d.warnf(n.restart.at, "graceful_restart %s contradicts hold_time %s: a short hold_time is there to get rid of a dead node's route in %s seconds, "+
			"and with this the neighbor keeps it for %s more", s, formatSeconds(out.HoldTime), formatSeconds(out.HoldTime), s)
	default:
		d.warnf(n.restart.at, "graceful_restart %s: after a crash the neighbor keeps the route, which leads nowhere, for %s more seconds", s, s)
	}
}
