package speaker

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"failoverd/bgp"
)

// change is a wish for the one route of a walk, and what the UPDATE that brings it about must say besides ORIGIN.
type change struct {
	name string
	with func(*bgp.Route)
	want string
}

// communities are those of a configuration, by their words.
func communities(words ...string) (list []bgp.Community) {
	for _, w := range words {
		c, err := bgp.ParseCommunity(w)
		if err != nil {
			panic(err)
		}
		list = append(list, c)
	}
	return list
}

func plain(*bgp.Route) {}

// around has the plain route before, between and after other ones: each attribute comes alone, and goes alone.
func around(base string, changes []change) []change {
	walk := []change{{"plain", plain, base}}
	for _, c := range changes {
		walk = append(walk, c, change{"and without " + c.name, plain, base})
	}
	return walk
}

// said is what an UPDATE says besides ORIGIN and its prefix, sorted by type: gobgp has MED before NEXT_HOP where it prepends, and
// any order is valid (RFC 4271 section 5).
func said(u *packet.BGPUpdate) string {
	var words []string
	for _, a := range slices.SortedFunc(slices.Values(u.PathAttributes), func(a, b packet.PathAttributeInterface) int {
		return cmp.Compare(a.GetType(), b.GetType())
	}) {
		if a.GetType() != packet.BGP_ATTR_TYPE_ORIGIN {
			words = append(words, a.String())
		}
	}
	return strings.Join(words, " ")
}

// walk makes one change after the other. Each must be exactly one UPDATE, which announces, and none of them a withdrawal.
func walk(t *testing.T, p *rawPeer, a *agent, changes []change) {
	t.Helper()
	for i, c := range changes {
		n := len(p.all())
		g := a.set(route4(c.with))
		m, _ := p.wait(n, prompt, "UPDATE for "+c.name, kind(packet.BGP_MSG_UPDATE))
		a.until(prompt, "the generation", func(r bgp.Report) bool { return r.Generation == g })
		u := m.update()
		if u == nil || describeUpdate(u) != "+198.51.100.0/24" {
			t.Fatalf("%s: %s", c.name, p.describe())
		}
		if got := said(u); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if got := count(p, "UPDATE"); got != i+1 {
			t.Fatalf("%s: %d UPDATEs after %d changes: %s", c.name, got, i+1, p.describe())
		}
	}
	time.Sleep(300 * time.Millisecond) // the assertion is that nothing more comes
	if u, w := count(p, "UPDATE"), count(p, "-198.51"); u != len(changes) || w != 0 {
		t.Errorf("%d UPDATEs and %d withdrawals for %d changes: %s", u, w, len(changes), p.describe())
	}
	if slices.ContainsFunc(p.all(), func(m rawMessage) bool { return m.eof || m.kind == packet.BGP_MSG_NOTIFICATION }) {
		t.Errorf("the session has ended: %s", p.describe())
	}
}

func TestEachAttributeAloneIsOneUpdate(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil)
	const path, hop = "{AsPath: 64501} ", "{Nexthop: 127.0.0.1}"
	walk(t, p, a, around(path+hop, []change{
		{"MED", func(r *bgp.Route) { r.MED = ptr(50) }, path + hop + " {Med: 50}"},
		{"MED 0", func(r *bgp.Route) { r.MED = ptr(0) }, path + hop + " {Med: 0}"},
		{"prepend", func(r *bgp.Route) { r.Prepend = 3 }, "{AsPath: 64501 64501 64501 64501} " + hop},
		{"one community", func(r *bgp.Route) { r.Communities = communities("64500:100") }, path + hop + " {Communities: 64500:100}"},
		{
			"well-known communities",
			func(r *bgp.Route) {
				r.Communities = communities("graceful-shutdown", "blackhole", "no-export", "no-advertise", "no-export-subconfed", "no-peer")
			},
			path + hop + " {Communities: planned-shut, blackhole, no-export, no-advertise, no-export-subconfed, no-peer}",
		},
		{
			"a large community", func(r *bgp.Route) {
				r.LargeCommunities = []bgp.LargeCommunity{{Global: 64500, Local1: 1, Local2: 4294967295}}
			},
			path + hop + " {LargeCommunity: [ 64500:1:4294967295]}",
		},
		{"next hop", func(r *bgp.Route) { r.NextHop = netip.MustParseAddr("203.0.113.9") }, path + "{Nexthop: 203.0.113.9}"},
	}))
}

// On iBGP there is local_pref besides, and no AS in the path.
func TestEachAttributeAloneIsOneUpdateOnIBGP(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, func(c *bgp.SpeakerConfig) { c.LocalAS = 64500 })
	const hop = "{AsPath: } {Nexthop: 127.0.0.1}"
	walk(t, p, a, around(hop+" {LocalPref: 100}", []change{
		{"local_pref", func(r *bgp.Route) { r.LocalPref = ptr(300) }, hop + " {LocalPref: 300}"},
		{"local_pref 0", func(r *bgp.Route) { r.LocalPref = ptr(0) }, hop + " {LocalPref: 0}"},
		{"MED", func(r *bgp.Route) { r.MED = ptr(50) }, hop + " {Med: 50} {LocalPref: 100}"},
		{"a community", func(r *bgp.Route) { r.Communities = communities("no-export") }, hop + " {LocalPref: 100} {Communities: no-export}"},
		{"next hop", func(r *bgp.Route) { r.NextHop = netip.MustParseAddr("203.0.113.9") }, "{AsPath: } {Nexthop: 203.0.113.9} {LocalPref: 100}"},
	}))
}

// The attributes of a standby, of the router that serves, and of one that hands over: the walk of a router through its
// roles is as many UPDATEs as it has changes.
func TestWalkThroughTheRoles(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil)
	const hop = " {Nexthop: 127.0.0.1}"
	backup := change{"backup", func(r *bgp.Route) { r.Prepend, r.MED = 3, ptr(1000) }, "{AsPath: 64501 64501 64501 64501}" + hop + " {Med: 1000}"}
	active := change{
		"active",
		func(r *bgp.Route) {
			r.MED, r.Communities, r.LargeCommunities = ptr(10), communities("64500:100"), []bgp.LargeCommunity{{Global: 64500, Local1: 1, Local2: 2}}
		},
		"{AsPath: 64501}" + hop + " {Med: 10} {Communities: 64500:100} {LargeCommunity: [ 64500:1:2]}",
	}
	draining := change{
		"draining", func(r *bgp.Route) { r.Communities = communities("graceful-shutdown", "64500:100") },
		"{AsPath: 64501}" + hop + " {Communities: 64500:100, planned-shut}",
	}
	walk(t, p, a, []change{backup, active, draining, active, draining, backup, active, backup})
}
