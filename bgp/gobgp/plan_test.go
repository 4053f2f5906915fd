package gobgp

import (
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"failoverd/bgp"
	"failoverd/failover"
)

func drawSpeaker(t *rapid.T) bgp.SpeakerConfig {
	sometimes := func(what string) bool { return rapid.IntRange(0, 7).Draw(t, what) == 0 }
	c := bgp.SpeakerConfig{Name: "EDGE", LocalAS: 64501, RouterID: netip.MustParseAddr("192.0.2.1")}
	if sometimes("local_as") {
		c.LocalAS = 64502
	}
	if sometimes("router_id") {
		c.RouterID = netip.MustParseAddr("192.0.2.2")
	}
	if sometimes("listen_port") {
		c.ListenPort = 179
	}
	for _, p := range []string{"198.51.100.0/24", "203.0.113.0/24", "2001:db8::/48"} {
		if rapid.IntRange(0, 2).Draw(t, p) > 0 {
			c.Allow = append(c.Allow, netip.MustParsePrefix(p))
		}
	}
	c.MaxAnnouncements = rapid.IntRange(-1, 2).Draw(t, "max_announcements")
	for _, a := range []string{"192.0.2.9", "192.0.2.10", "2001:db8::9"} {
		if rapid.IntRange(0, 3).Draw(t, a) > 0 {
			c.Neighbors = append(c.Neighbors, drawNeighbor(t, netip.MustParseAddr(a), sometimes))
		}
	}
	return c
}

func drawNeighbor(t *rapid.T, a netip.Addr, sometimes func(string) bool) bgp.Neighbor {
	n := bgp.Neighbor{Address: a, RemoteAS: 64500, HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: time.Second}
	for _, change := range []struct {
		name string
		do   func()
	}{
		{"remote_as", func() { n.RemoteAS = 64499 }},
		{"description", func() { n.Description = "upstream" }},
		{"password", func() { n.Password = "hidden" }},
		{"port", func() { n.Port = 1179 }},
		{"hold_time", func() { n.HoldTime = 30 * time.Second }},
		{"keepalive", func() { n.Keepalive = time.Second }},
		{"connect_retry", func() { n.ConnectRetry = 5 * time.Second }},
		{"two octets", func() { n.AllowTwoOctetAS = true }},
		{"graceful_restart", func() { n.GracefulRestart = 30 * time.Second }},
	} {
		if sometimes(change.name) {
			change.do()
		}
	}
	switch rapid.IntRange(0, 7).Draw(t, "hops") {
	case 0:
		n.Multihop = 3
	case 1:
		n.TTLSecurity = 1
	}
	if sometimes("local_address") {
		n.LocalAddress = map[bool]netip.Addr{true: netip.MustParseAddr("192.0.2.1"), false: netip.MustParseAddr("2001:db8::1")}[a.Is4()]
	}
	return n
}

// TestThePlanIsTrue: what failover.Plan says of a speaker and its sessions is what Reconfigure does.
func TestThePlanIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old, next := drawSpeaker(t), drawSpeaker(t)
		if old.Check() != nil {
			t.Skip("it would not run")
		}
		plan := failover.Plan(&failover.Config{Speakers: []bgp.SpeakerConfig{old}}, &failover.Config{Speakers: []bgp.SpeakerConfig{next}})
		i := slices.IndexFunc(plan, func(e failover.PlanEntry) bool { return e.Kind == "bgp_speaker" })
		e := &plan[i]
		c, err := New(old, "unix:///nowhere", slog.New(slog.DiscardHandler), Options{})
		if err != nil {
			t.Fatal(err)
		}
		live := c.Reconfigure(next)
		// An equal configuration is not handed over at all.
		if want := !live && !reflect.DeepEqual(old, next); (e.Effect == failover.PlanRestarted) != want {
			t.Fatalf("another process: %v, but %s", want, e.Text())
		}
		if !live {
			return
		}
		for i := range next.Neighbors {
			n := &next.Neighbors[i]
			j := slices.IndexFunc(old.Neighbors, func(o bgp.Neighbor) bool { return o.Address == n.Address })
			if j < 0 {
				continue
			}
			resets := !proto.Equal(agreed(&old, &old.Neighbors[j]), agreed(&next, n))
			says := slices.ContainsFunc(e.Changes, func(c failover.PlanChange) bool {
				return strings.HasPrefix(c.Parameter, "neighbor "+n.Address.String()+" ") && strings.Contains(c.Means, "opened anew")
			})
			if resets != says {
				t.Fatalf("the session with %v is opened anew: %v, but %s", n.Address, resets, e.Text())
			}
		}
	})
}
