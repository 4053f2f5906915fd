package vrrp_test

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/vrrptest"
	"failoverd/vrrp/wire"
)

const second = vrrp.Instant(time.Second)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// The router under test and its neighbors.
var (
	own, lower, higher = addr("192.0.2.11"), addr("192.0.2.5"), addr("192.0.2.13")
	own6, higher6      = addr("fe80::b"), addr("fe80::d")
	vip                = []netip.Addr{addr("192.0.2.10")}
	vip6               = []netip.Addr{addr("fe80::51"), addr("2001:db8:51::10")}
)

// config returns a valid configuration for IPv4, changed by the functions given.
func config(priority uint8, change ...func(*vrrp.Config)) vrrp.Config {
	c := vrrp.Config{
		Key: vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}, Version: wire.V3, Priority: priority,
		Interval: 100, Preempt: true, Addresses: vip,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func ipv6(c *vrrp.Config)      { c.Key.Family, c.Addresses = wire.IPv6, vip6 }
func version2(c *vrrp.Config)  { c.Version = wire.V2 }
func nopreempt(c *vrrp.Config) { c.Preempt = false }
func interval(i wire.Centiseconds) func(*vrrp.Config) {
	return func(c *vrrp.Config) { c.Interval = i }
}

func unicast(peers ...vrrp.Peer) func(*vrrp.Config) {
	return func(c *vrrp.Config) { c.Unicast, c.Peers = true, peers }
}

// newRouter returns a router in Initialize with a source.
func newRouter(t testing.TB, c vrrp.Config) *vrrp.Router {
	t.Helper()
	r, err := vrrp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.SetSource(own)
	if c.Key.Family == wire.IPv6 {
		r.SetSource(own6)
	}
	return r
}

// backup returns a router in Backup since the instant zero.
func backup(t testing.TB, c vrrp.Config) *vrrp.Router {
	t.Helper()
	r := newRouter(t, c)
	if e := r.Startup(0); e.To != vrrp.Backup {
		t.Fatalf("startup with priority %d: %+v", c.Priority, e)
	}
	return r
}

// active returns a router that became Active, and when.
func active(t testing.TB, c vrrp.Config) (*vrrp.Router, vrrp.Instant) {
	t.Helper()
	r := newRouter(t, c)
	if e := r.Startup(0); e.To == vrrp.Active {
		return r, 0
	}
	now := r.Deadline()
	if e := r.Expire(now); e.To != vrrp.Active {
		t.Fatalf("timer at %v: %+v", now, e)
	}
	return r, now
}

// packet is an advert as r would get it from a neighbor: encoded and parsed, with r's addresses.
func packet(t testing.TB, r *vrrp.Router, src netip.Addr, priority uint8, i wire.Centiseconds) *wire.Packet {
	t.Helper()
	c := r.Config()
	a := wire.Advertisement{
		Version: c.Version, VRID: c.Key.VRID, Priority: priority, Interval: i, Addresses: c.Addresses,
		AuthType: c.AuthType, AuthData: c.AuthData,
	}
	dst := c.Key.Family.Group()
	if c.Unicast {
		dst = r.Source()
	}
	return parse(t, &a, wire.Header{Src: src, Dst: dst, TTL: wire.TTL})
}

// parse encodes and parses an advert that is sound in itself.
func parse(t testing.TB, a *wire.Advertisement, h wire.Header) *wire.Packet {
	t.Helper()
	b, err := a.Append(nil, h.Src, h.Dst, wire.ChecksumPseudo)
	if err != nil {
		t.Fatal(err)
	}
	p := new(wire.Packet)
	if why := wire.Parse(b, h, p); why != wire.Accepted {
		t.Fatalf("%+v from %v: %v", *a, h, why)
	}
	return p
}

// hear delivers an advert that must be accepted.
func hear(t testing.TB, r *vrrp.Router, now vrrp.Instant, p *wire.Packet) vrrp.Effect {
	t.Helper()
	e, why := r.Receive(now, p)
	if why != wire.Accepted {
		t.Fatalf("refused priority %d from %v: %v", p.Priority, p.Src, why)
	}
	return e
}

// refuse delivers octets that must be refused for a reason by router or parser, and change nothing.
func refuse(t testing.TB, r *vrrp.Router, h wire.Header, b []byte, want wire.DropReason) {
	t.Helper()
	before, dropped := r.WithoutDrops(), r.Drops()
	var p wire.Packet
	e, why := vrrp.Effect{From: r.State(), To: r.State()}, wire.Parse(b, h, &p)
	inParser := why != wire.Accepted
	if !inParser {
		e, why = r.Receive(second, &p)
	}
	if why != want {
		t.Errorf("%x from %v to %v: %v, want %v", b, h.Src, h.Dst, why, want)
	}
	if after := r.WithoutDrops(); !reflect.DeepEqual(before, after) {
		t.Errorf("refused (%v), and yet the router changed\nfrom %+v\n  to %+v", why, before, after)
	}
	if e != (vrrp.Effect{From: before.State(), To: before.State()}) {
		t.Errorf("refused (%v), and yet it has effect %+v", why, e)
	}
	if !inParser {
		dropped[want]++
	}
	if got := r.Drops(); got != dropped {
		t.Errorf("counters %v, want %v", got.Map(), dropped.Map())
	}
}

// refuseVectors delivers vectors to the router that each names.
func refuseVectors(t *testing.T, want wire.DropReason, names ...string) {
	t.Helper()
	all := vectors(t)
	for _, name := range names {
		v, ok := all[name]
		if !ok {
			t.Fatalf("no vector %q", name)
		}
		for _, r := range []*vrrp.Router{receiver(t, &v, false), receiver(t, &v, true)} {
			refuse(t, r, v.Header(), v.Payload(t), want)
		}
	}
}

const vectorFile = "wire/testdata/vrrp-vectors.json"

func vectors(t testing.TB) map[string]vrrptest.Vector {
	t.Helper()
	all := make(map[string]vrrptest.Vector)
	for _, v := range vrrptest.LoadVectors(t, vectorFile) {
		all[v.Name] = v
	}
	return all
}

// receiver returns the router that a vector is judged by, in Backup (unless it is the owner) or Active.
func receiver(t testing.TB, v *vrrptest.Vector, isActive bool) *vrrp.Router {
	t.Helper()
	r, err := vrrp.New(v.Receiver.Config())
	if err != nil {
		t.Fatalf("vector %s: %v", v.Name, err)
	}
	r.SetSource(v.Receiver.Local)
	r.Startup(0)
	if isActive {
		r.Expire(r.Deadline())
	}
	return r
}

// timed is an effect with its instant.
type timed struct {
	At vrrp.Instant
	vrrp.Effect
}

// expireUntil fires r's timer whenever it is due, up to an instant, and returns what it asked for.
func expireUntil(r *vrrp.Router, until vrrp.Instant) (effects []timed) {
	for r.Deadline() <= until {
		at := r.Deadline()
		effects = append(effects, timed{at, r.Expire(at)})
	}
	return effects
}

// stays demands that an effect neither changes the state nor sends anything.
func stays(t testing.TB, r *vrrp.Router, e vrrp.Effect, want vrrp.State) {
	t.Helper()
	if e.Changed() || e.Advert || r.State() != want {
		t.Errorf("effect %+v in %v, want none in %v", e, r.State(), want)
	}
}

// due demands that r's timer runs out at an instant.
func due(t testing.TB, r *vrrp.Router, want vrrp.Instant) {
	t.Helper()
	if got := r.Deadline(); got != want {
		t.Errorf("timer at %v, want %v", time.Duration(got), time.Duration(want))
	}
}

// after is an instant a number of nanoseconds after zero.
func after(d time.Duration) vrrp.Instant { return vrrp.Instant(d) }
