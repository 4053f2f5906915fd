package conf

import (
	"net/netip"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

// Bounds of the keys of the channel between sites, in octets: what HMAC-SHA256 makes use of.
const (
	minKey = 32
	maxKey = 64
)

// keys is the draft of the keys of a block: the first one signs, all of them verify.
type keys struct {
	given  *Token // the first statement
	list   [][]byte
	broken bool // one was wrong, which has been reported
}

// keyRows are the words that give keys.
func keyRows[T any](of func(T) *keys) []row[T] {
	return []row[T]{
		word("key_file", func(d *decoder, to T, c *cursor) {
			d.key(of(to), c, "the name of a file", func(t Token) ([]byte, bool) {
				return d.secretFile(t, "key_file", t.Text, minKey, maxKey)
			})
		}),
		// The canonical text has keys in it, so that it stands alone.
		word("key", func(d *decoder, to T, c *cursor) {
			d.key(of(to), c, "a key", func(t Token) ([]byte, bool) { return d.secret(t, "key", minKey, maxKey) })
		}),
	}
}

func (d *decoder) key(k *keys, c *cursor, want string, read func(Token) ([]byte, bool)) {
	if k.given == nil {
		at := c.keyword
		k.given = &at
	}
	t, ok := d.next(c, want)
	if ok {
		var key []byte
		if key, ok = read(t); ok {
			k.list = append(k.list, key)
		}
	}
	k.broken = k.broken || !ok
}

// partner is the draft of a watcher or a witness.
type partner struct {
	at   Token // its name
	kind failover.PartnerKind
	name string
	addr netip.AddrPort
	keys keys
}

var partnerWords = map[failover.PartnerKind]*table[*partner]{
	failover.PartnerWatcher: newTable("watcher", keyRows(func(p *partner) *keys { return &p.keys })),
	failover.PartnerWitness: newTable("witness", keyRows(func(p *partner) *keys { return &p.keys })),
}

// partner decodes watcher ADDRESS[:PORT] or witness NAME ADDRESS[:PORT], whose block is optional. A watcher has the name
// of its address.
func (d *decoder) partner(to *[]*partner, kind failover.PartnerKind, c *cursor) {
	p := &partner{kind: kind}
	ok := true
	if kind == failover.PartnerWitness {
		p.name, p.at, ok = d.siteName(c)
	}
	addr, at, good := d.endpoint(c, false)
	if kind == failover.PartnerWatcher {
		p.name, p.at = addr.Addr().String(), at
	}
	p.addr = addr
	if !c.more() && c.block != nil {
		walk(d, partnerWords[kind], p, d.body(c))
	}
	if !ok || !good {
		return
	}
	for _, other := range *to {
		switch {
		case other.kind == kind && other.name == p.name:
			d.errorf(p.at, "%s %s is there twice, first at %s", kind, p.name, other.at.Pos)
			return
		case other.addr == p.addr:
			d.errorf(at, "%s %s: %s %s has this address, too; one of them counts twice", kind, p.name, other.kind, other.name)
			return
		}
	}
	*to = append(*to, p)
}

// siteName returns the name of a site or a witness, which has to fit into a message.
func (d *decoder) siteName(c *cursor) (string, Token, bool) {
	s, t, ok := d.text(c, "a name")
	switch {
	case !ok:
	case len(s) > heartbeat.MaxName:
		d.errorf(t, "%s %s: a name has at most %d octets here, so that it fits into every message", c.keyword.Text, s, heartbeat.MaxName)
		ok = false
	case s == noSite:
		d.errorf(t, "%s %s: the word means that there is none", c.keyword.Text, s)
		ok = false
	}
	return s, t, ok
}

// endpoint returns ADDRESS or ADDRESS:PORT ([ADDRESS]:PORT over IPv6). Where one listens, any address may do.
func (d *decoder) endpoint(c *cursor, listen bool) (netip.AddrPort, Token, bool) {
	t, ok := d.next(c, "ADDRESS or ADDRESS:PORT")
	if !ok {
		return netip.AddrPort{}, t, false
	}
	ap, err := netip.ParseAddrPort(t.Text)
	if err != nil {
		var a netip.Addr
		a, err = netip.ParseAddr(t.Text)
		ap = netip.AddrPortFrom(a, heartbeat.Port)
	}
	a := ap.Addr()
	switch {
	case err != nil || a.Is4In6() || a.Zone() != "":
		d.errorf(t, "%s %q: want ADDRESS or ADDRESS:PORT ([ADDRESS]:PORT over IPv6)", c.keyword.Text, t.Text)
	case !host(a) && (!listen || !a.IsUnspecified()):
		d.errorf(t, "%s %s: not the address of a host", c.keyword.Text, t.Text)
	case ap.Port() == 0:
		d.errorf(t, "%s %s: port 0 is none", c.keyword.Text, t.Text)
	default:
		return ap, t, true
	}
	return netip.AddrPort{}, t, false
}

// resolvePartner returns a partner of a block, which lends it its keys.
func (d *decoder) resolvePartner(p *partner, block string, lent *keys) failover.Partner {
	out := failover.Partner{
		ID: block + "/" + p.kind.String() + " " + p.name, Kind: p.kind, Name: p.name, Address: p.addr, Keys: p.keys.list,
	}
	if p.keys.given == nil {
		out.Keys = lent.list
	}
	if len(out.Keys) == 0 && !p.keys.broken && !lent.broken {
		d.errorf(p.at, "%s %s: key_file is missing: nobody could tell its messages from forged ones", p.kind, p.name)
	}
	return out
}
