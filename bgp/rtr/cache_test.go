package rtr

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"failoverd/bgp"
)

var (
	start = time.Unix(1_000_000, 0)
	own   = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/48")}
)

func record(prefix string, most uint8, as uint32) bgp.VRP {
	return bgp.VRP{Prefix: netip.MustParsePrefix(prefix), MaxLength: most, AS: as}
}

var (
	roa4    = record("198.51.100.0/24", 24, 64501)
	other4  = record("198.51.100.0/24", 24, 64666)
	roa6    = record("2001:db8::/32", 48, 64501)
	foreign = record("203.0.113.0/24", 24, 64501)
	inside  = record("198.51.100.0/25", 25, 64666)
)

// cache is the other side of a test.
type cache struct {
	t       *testing.T
	s       *Session
	now     time.Time
	version uint8
	session uint16
}

func newCache(t *testing.T) *cache {
	c := &cache{t: t, s: New(own), now: start, version: 1, session: 77}
	c.s.Connected(c.now)
	return c
}

// asked checks what the router has sent.
func (c *cache) asked(want ...string) {
	c.t.Helper()
	var got []string
	for b := c.s.Send(); len(b) > 0; {
		p, n, err := Parse(b)
		if err != nil || n == 0 {
			c.t.Fatalf("the router sent %x: %v", b, err)
		}
		text := fmt.Sprintf("v%d %s", p.Version, p.Type)
		switch p.Type {
		case SerialQuery:
			text += fmt.Sprintf(" %d/%d", p.Session, p.Serial)
		case ErrorReport:
			text += " " + p.Code.String()
		}
		got, b = append(got, text), b[n:]
	}
	if !slices.Equal(got, want) {
		c.t.Fatalf("the router sent %q, want %q", got, want)
	}
}

func (c *cache) say(pdus ...PDU) {
	var b []byte
	for i := range pdus {
		pdus[i].Version = c.version
		b = pdus[i].Append(b)
	}
	for len(b) > 0 { // in odd pieces
		n := min(13, len(b))
		c.s.Receive(c.now, b[:n])
		b = b[n:]
	}
}

func prefixPDU(v bgp.VRP, announce bool) PDU {
	p := PDU{Type: IPv4Prefix, VRP: v, Announce: announce}
	if v.Prefix.Addr().Is6() {
		p.Type = IPv6Prefix
	}
	return p
}

func (c *cache) response() PDU { return PDU{Type: CacheResponse, Session: c.session} }

func (c *cache) end(serial uint32) PDU {
	return PDU{Type: EndOfData, Session: c.session, Serial: serial, Refresh: 60, Retry: 20, Expire: 600}
}

// transfer answers a query with changes: those of VRPs in add, and those in remove.
func (c *cache) transfer(serial uint32, add, remove []bgp.VRP) {
	pdus := []PDU{c.response()}
	for _, v := range add {
		pdus = append(pdus, prefixPDU(v, true))
	}
	for _, v := range remove {
		pdus = append(pdus, prefixPDU(v, false))
	}
	c.say(append(pdus, c.end(serial))...)
}

func (c *cache) has(want ...bgp.VRP) {
	c.t.Helper()
	got, scope, ok := c.s.Data()
	if !ok || !slices.Equal(got, want) || !slices.Equal(scope, own) {
		c.t.Fatalf("data %v about %v, %v; want %v", got, scope, ok, want)
	}
}

func (c *cache) pass(d time.Duration) {
	c.now = c.now.Add(d)
	c.s.Expire(c.now)
}

func (c *cache) reconnect(err error) {
	c.s.Disconnected(err)
	c.s.Connected(c.now)
}
