package conf

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"failoverd/failover"
)

// address is the draft of an entry of virtual_ipaddress or virtual_ipaddress_excluded.
type address struct {
	at            Token
	prefix        netip.Prefix // with the length, not masked
	ok            bool
	excluded      bool
	device        field[string]
	broadcast     field[string] // an address, + or -
	scope         field[uint8]
	label         field[string]
	dad           field[bool]
	preferred     field[bool] // preferred_lft: forever or 0
	noPrefixRoute bool
}

// maxLabel is IFNAMSIZ-1 of Linux.
const maxLabel = 15

// Scopes of the kernel (RT_SCOPE_*).
var scopes = map[string]uint8{"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}

var addressRows = [][]row[*address]{
	{
		single("dev", func(d *decoder, a *address, c *cursor) { a.device.set(d.device(c)) }),
		single("brd", func(d *decoder, a *address, c *cursor) { a.broadcast.set(d.broadcast(c)) }),
		single("broadcast", func(d *decoder, a *address, c *cursor) { a.broadcast.set(d.broadcast(c)) }),
		single("scope", func(d *decoder, a *address, c *cursor) { a.scope.set(d.scope(c)) }),
		single("label", func(d *decoder, a *address, c *cursor) { a.label.set(d.label(c)) }),
		// Inherited from keepalived: it normally suppresses duplicate address detection, and -nodad undoes that.
		single("-nodad", func(_ *decoder, a *address, c *cursor) { a.dad.set(true, c.keyword, true) }),
		word("noprefixroute", func(_ *decoder, a *address, _ *cursor) { a.noPrefixRoute = true }),
		// An address that vanishes is put back; it never costs the role.
		accepted[*address]("no_track", 0),
		single("preferred_lft", func(d *decoder, a *address, c *cursor) { a.preferred.set(d.preferred(c)) }),
	},
	{{name: "peer", status: later, valued: true, note: "write the address without it, and a route to the peer in virtual_routes"}},
	all[*address](harmless, "", "leave the word out", "home", "mngtmpaddr", "autojoin"),
	all[*address](later, "", "use_vmac of the instance moves all addresses that have no dev", "use_vmac"),
	{{name: "track_group", status: refused, note: "only static entries have one", valued: true}},
}

var (
	virtualWords  = newTable("virtual_ipaddress", addressRows...).inEntries()
	excludedWords = newTable("virtual_ipaddress_excluded", addressRows...).inEntries()
)

// addresses decodes a list of addresses. Several blocks add up.
func (d *decoder) addresses(in *instance, excluded bool, c *cursor) {
	t := virtualWords
	if excluded {
		t = excludedWords
	}
	entries(d, t, d.body(c), isAddress, func(c *cursor) *address {
		a := &address{at: c.keyword, excluded: excluded}
		a.prefix, a.ok = d.virtualAddress(c.keyword)
		in.addresses = append(in.addresses, a)
		return a
	})
}

// virtualAddress reads ADDRESS[/LENGTH].
func (d *decoder) virtualAddress(t Token) (netip.Prefix, bool) {
	addr, length, hasLength := strings.Cut(t.Text, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Is4In6() || a.Zone() != "" {
		d.errorf(t, "virtual address %q: not an IP address", t.Text)
		return netip.Prefix{}, false
	}
	if !host(a) {
		d.errorf(t, "virtual address %s: not the address of a host", t.Text)
		return netip.Prefix{}, false
	}
	bits := a.BitLen()
	if hasLength {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > bits {
			d.errorf(t, "virtual address %s: prefix length %q (want 0 to %d)", addr, length, bits)
			return netip.Prefix{}, false
		}
		bits = int(n)
	}
	return netip.PrefixFrom(a, bits), true
}

func (d *decoder) broadcast(c *cursor) (string, Token, bool) {
	t, ok := d.next(c, "an IPv4 address, + or -")
	if !ok || t.Text == "+" || t.Text == "-" {
		return t.Text, t, ok
	}
	if a, err := netip.ParseAddr(t.Text); err != nil || !a.Is4() {
		d.errorf(t, "%s %q: want an IPv4 address, + (all ones) or - (none)", c.keyword.Text, t.Text)
		return "", t, false
	}
	return t.Text, t, true
}

func (d *decoder) scope(c *cursor) (uint8, Token, bool) {
	t, ok := d.next(c, "global, site, link, host or a number")
	if !ok {
		return 0, t, false
	}
	if s, ok := scopes[t.Text]; ok {
		return s, t, true
	}
	n, err := strconv.ParseUint(t.Text, 10, 8)
	if err != nil {
		d.suggestf(t, nearest(t.Text, []string{"global", "host", "link", "site"}),
			"scope %q: want global, site, link, host or 0 to 255", t.Text)
		return 0, t, false
	}
	return uint8(n), t, true
}

func (d *decoder) label(c *cursor) (string, Token, bool) {
	s, t, ok := d.text(c, "a label")
	switch {
	case !ok:
	case len(s) > maxLabel:
		d.errorf(t, "label %q: has %d characters, the kernel takes at most %d", s, len(s), maxLabel)
		ok = false
	case isAddress(s):
		// More likely the label is missing, and this was to be the next address.
		d.errorf(t, "label %q: is an address", s)
		ok = false
	}
	return s, t, ok
}

// preferred returns whether an address is preferred for ever, or never. The agent renews its leases, so that a time in
// between would not run out.
func (d *decoder) preferred(c *cursor) (bool, Token, bool) {
	t, ok := d.next(c, "forever or 0")
	switch {
	case !ok:
	case t.Text == "forever":
		return true, t, true
	case t.Text == "0":
	case digits(t.Text):
		d.errorf(t, "preferred_lft %s is refused: addresses are renewed, so that it would never run out (want 0, never a source, or forever)", t.Text)
		ok = false
	default:
		d.errorf(t, "preferred_lft %q: want forever or 0", t.Text)
		ok = false
	}
	return false, t, ok
}

// resolveAddress returns the address that the kernel is to have.
func (d *decoder) resolveAddress(a *address, device string, lease time.Duration) failover.Address {
	out := failover.Address{
		Prefix: a.prefix, Interface: a.device.or(device), Lease: lease,
		NoPrefixRoute: a.noPrefixRoute, Excluded: a.excluded,
	}
	if a.prefix.Addr().Is4() {
		d.resolveAddress4(a, &out)
	} else {
		d.resolveAddress6(a, &out)
	}
	return out
}

func (d *decoder) resolveAddress4(a *address, out *failover.Address) {
	out.Scope, out.Label = a.scope.or(0), a.label.or("")
	switch b := a.broadcast.or("-"); {
	case b == "-":
	case b != "+":
		out.Broadcast = netip.MustParseAddr(b)
	case a.prefix.Bits() >= 31:
		d.errorf(a.broadcast.at, "brd +: a /%d has no broadcast address", a.prefix.Bits())
	default:
		out.Broadcast = lastAddress(a.prefix)
	}
	if a.dad.ok {
		d.warnf(a.dad.at, "-nodad has no effect on an IPv4 address")
	}
	if a.preferred.ok {
		d.errorf(a.preferred.at, "preferred_lft is for IPv6 addresses")
	}
}

func (d *decoder) resolveAddress6(a *address, out *failover.Address) {
	if out.DAD = a.dad.or(false); out.DAD {
		d.warnf(a.dad.at, "-nodad turns duplicate address detection on, as in keepalived; leave it out unless that is meant")
	}
	// A single address is there to be reached, not to be a source: keepalived's default.
	out.Deprecated = !a.preferred.or(a.prefix.Bits() != 128)
	if a.scope.ok {
		d.warnf(a.scope.at, "scope is ignored: the kernel knows that of an IPv6 address")
	}
	if a.label.ok {
		d.warnf(a.label.at, "label is ignored: IPv6 addresses have none")
	}
	if a.broadcast.ok {
		d.errorf(a.broadcast.at, "brd: IPv6 has no broadcast")
	}
}

// lastAddress returns the address of an IPv4 prefix with all host bits set.
func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}
