package failover_test

import (
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// TestNamesakes: several nodes of one site and router_id are told once in ten minutes and shown while there are signs of them; so is
// another node with the name of this one, and this one's own request is not.
func TestNamesakes(t *testing.T) {
	cfg := failovertest.MustParseConfig("")
	cfg.RouterID = "m1"
	cfg.Sites = []failover.SiteConfig{{Name: "mainland", FenceAfter: 6 * time.Second, Heartbeat: time.Second}}
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	wall := func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) }
	for _, tt := range []struct {
		name       string
		at         time.Duration
		site, node string
		from       string
		fresh      bool
		namesakes  bool
		own        bool
		told       bool   // an event
		shown      string // part; empty: nothing
	}{
		{"an ordinary node", 1, "hk", "k1", "203.0.113.1", true, false, false, false, ""},
		{"and another address of it", 2, "hk", "k1", "203.0.113.2", true, false, false, false, ""},
		{"two of them", 3, "hk", "k1", "203.0.113.1", true, true, false, true, "several nodes, at 203.0.113.1 and 203.0.113.2, have this router_id and count as one"},
		{"told a moment ago", 4, "hk", "k1", "203.0.113.2", true, true, false, false, "several nodes, at 203.0.113.1 and 203.0.113.2"},
		{"not shown for ever", 200, "hk", "k1", "203.0.113.2", true, false, false, false, ""},
		{"shown again, told a while ago", 300, "hk", "k1", "203.0.113.2", true, true, false, false, "203.0.113.1"},
		{"told again after ten minutes", 604, "hk", "k1", "203.0.113.2", true, true, false, true, "203.0.113.1"},
		{"two behind one address", 605, "hk", "k2", "203.0.113.7", true, true, false, true, "all of them behind 203.0.113.7"},
		{"another node of the own site", 606, "mainland", "m2", "203.0.113.3", true, false, false, false, ""},
		{"a node of another site with the own name", 607, "hk", "m1", "203.0.113.3", true, false, false, false, ""},
		{"what is ours comes back", 608, "mainland", "m1", "192.0.2.1", true, false, true, false, ""},
		{"a request that proves nothing", 609, "mainland", "m1", "203.0.113.9", false, false, false, false, ""},
		{"another node with the own site and name", 610, "mainland", "m1", "203.0.113.9", true, false, false, true, "another node, at 203.0.113.9, has the site and the router_id of this one"},
		{"told a moment ago, too", 611, "mainland", "m1", "203.0.113.9", true, false, false, false, "another node, at 203.0.113.9"},
	} {
		now := vrrp.Instant(tt.at * time.Second)
		var fx failover.Effects
		core.Step(now, failover.HeartbeatHeard{
			Request: heartbeat.Request{Site: tt.site, Node: tt.node, About: "mainland", ID: uint64(tt.at)},
			Fresh:   tt.fresh, From: addr(tt.from), Namesakes: tt.namesakes, Own: tt.own,
		}, &fx)
		told := 0
		for _, e := range fx.Events {
			if e.Kind != failover.EventNamesakes {
				continue
			}
			told++
			if e.Object != "node "+tt.node+" of site "+tt.site || e.Peer != addr(tt.from) || !strings.Contains(e.Reason, tt.shown) {
				t.Errorf("%s: event %+v", tt.name, e)
			}
		}
		if (told == 1) != tt.told || told > 1 {
			t.Errorf("%s: told %d times, want %t", tt.name, told, tt.told)
		}
		shown := ""
		for _, n := range core.Snapshot(now, wall).Heard {
			if n.Site == tt.site && n.Node == tt.node {
				shown = n.Namesakes
			}
		}
		if (shown == "") != (tt.shown == "") || !strings.Contains(shown, tt.shown) {
			t.Errorf("%s: status says %q, want %q", tt.name, shown, tt.shown)
		}
	}
}
