package failover_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// drawnRouter is a line of a configuration for the tests of reloads, from a small world in which things collide.
type drawnRouter struct {
	name, iface        string
	vrid, priority     int
	interval, version  int
	unicast, nopreempt bool
	addresses          []string
	rest               []string // lines that stand below it
}

func (r drawnRouter) key() string { return fmt.Sprintf("%s/4/%d", r.iface, r.vrid) }

func (r drawnRouter) String() string {
	s := fmt.Sprintf("router %s %s priority %d interval %ds version %d", r.name, r.key(), r.priority, r.interval, r.version)
	if r.nopreempt {
		s += " nopreempt"
	}
	if r.unicast {
		s += " unicast\n peer 192.0.2.200"
	}
	for _, a := range r.addresses {
		s += "\n address " + a
	}
	return strings.Join(append([]string{s}, r.rest...), "\n")
}

var drawnRest = []string{
	" garp refresh 5s", " announce 198.51.100.0/24 EDGE", " announce 198.51.100.0/24 EDGE med 5", " route 203.0.113.0/24 via 192.0.2.254",
	" rule from 192.0.2.0/24 table 7 priority 9", " notify master m.sh deleted_word", " no_accept",
}

// drawField gives one parameter another value, or the same.
func (r *drawnRouter) drawField(t *rapid.T, field int) {
	switch field {
	case 0:
		r.iface = rapid.SampledFrom([]string{"eth0", "eth1"}).Draw(t, "interface")
	case 1:
		r.vrid = rapid.IntRange(1, 4).Draw(t, "vrid")
	case 2:
		r.priority = rapid.SampledFrom([]int{50, 100, 200, 254, 255}).Draw(t, "priority")
	case 3:
		r.interval = rapid.IntRange(1, 2).Draw(t, "interval")
	case 4:
		r.version = rapid.IntRange(2, 3).Draw(t, "version")
	case 5:
		r.unicast = rapid.IntRange(0, 3).Draw(t, "unicast") == 0
	case 6:
		r.nopreempt = rapid.Bool().Draw(t, "nopreempt")
	case 7:
		r.addresses = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			"192.0.2.10/24 eth0", "192.0.2.11/24 eth0 lease 3s", "192.0.2.12/24 eth1", "192.0.2.13/32 lo excluded",
		}), 1, 3, rapid.ID).Draw(t, "addresses")
		if !slices.ContainsFunc(r.addresses, func(s string) bool { return !strings.HasSuffix(s, "excluded") }) {
			r.addresses = append(r.addresses, "192.0.2.14/24 eth0")
		}
	case 8:
		r.rest = rapid.SliceOfNDistinct(rapid.SampledFrom(drawnRest), 0, 3, rapid.ID).Draw(t, "rest")
	}
}

const drawnFields = 9

// drawRouters draws routers with one name and one key each; where there was one of that name, most of the time it is that
// one, with a change or two.
func drawRouters(t *rapid.T, old []drawnRouter) (list []drawnRouter) {
	keys := make(map[string]bool)
	for _, name := range rapid.Permutation([]string{"A", "B", "C", "D", "E"}).Draw(t, "order") {
		if rapid.IntRange(0, 4).Draw(t, "there") == 0 {
			continue
		}
		r := drawnRouter{name: name}
		i := slices.IndexFunc(old, func(o drawnRouter) bool { return o.name == name })
		if i >= 0 && rapid.IntRange(0, 5).Draw(t, "another") > 0 {
			r = old[i]
			for range rapid.IntRange(0, 2).Draw(t, "changes") {
				r.drawField(t, rapid.IntRange(0, drawnFields-1).Draw(t, "field"))
			}
		} else {
			for field := range drawnFields {
				r.drawField(t, field)
			}
		}
		if !keys[r.key()] {
			keys[r.key()] = true
			list = append(list, r)
		}
	}
	return list
}

func drawnConfig(list []drawnRouter, t *rapid.T) *failover.Config {
	text := "speaker EDGE allow 198.51.100.0/24\n"
	for _, r := range list {
		text += r.String() + "\n"
	}
	for _, name := range []string{"G", "H"} {
		members := ""
		for _, r := range list {
			if rapid.IntRange(0, 3).Draw(t, "member") == 0 {
				members += " " + r.name
			}
		}
		if members != "" {
			text += "group " + name + members + "\n"
		}
	}
	cfg := failovertest.MustParseConfig(text)
	if rapid.IntRange(0, 9).Draw(t, "group") == 0 {
		cfg.Multicast.IPv4 = addr("224.0.0.19")
	}
	return cfg
}

// TestReloadDoesWhatThePlanSays: of two configurations, whatever they are, a reload restarts exactly those routers that
// the plan restarts, and tells the LAN and the kernel nothing on account of the others.
func TestReloadDoesWhatThePlanSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := drawRouters(t, nil)
		old, next := drawnConfig(before, t), drawnConfig(drawRouters(t, before), t)
		n := activeNode(t, old)
		was := n.core.Snapshot(n.now, wallClock)
		plan := failover.Plan(old, next)
		n.core.Step(n.now, failover.Reconfigured{Config: next}, &n.fx)
		n.core.Flush(n.now, &n.fx)
		checkReload(t, &reloaded{plan, was, n.core.Snapshot(n.now, wallClock), &n.fx})
	})
}

func wallClock(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)).UTC() }

// activeNode returns a node on which every router of cfg is Active.
func activeNode(t *rapid.T, cfg *failover.Config) *node {
	core, err := failover.New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{core: core}
	for _, name := range []string{"eth0", "eth1", ""} {
		n.core.Step(0, failover.LinkChanged{Link: failover.LinkID{Interface: name, Family: wire.IPv4}, Open: true}, &n.fx)
	}
	for i, name := range []string{"lo", "eth0", "eth1"} {
		x := failover.Interface{Name: name, Index: i + 1, Up: true}
		if i > 0 {
			x.Addresses = prefixes(fmt.Sprintf("192.0.2.%d/24", i))
		}
		n.core.Step(0, failover.InterfaceChanged{Interface: x}, &n.fx)
	}
	n.core.Step(0, failover.SpeakerReported{Report: report(0, nil)}, &n.fx)
	n.core.Step(0, failover.DevicesReported{}, &n.fx)
	n.flush()
	n.until(vrrp.Instant(20*time.Second + time.Millisecond))
	for _, r := range n.core.Snapshot(n.now, wallClock).Routers {
		if r.State != "MASTER" {
			t.Fatalf("%s is %s: %s", r.Name, r.State, r.Waiting)
		}
	}
	return n
}

// reloaded is a reload and what came of it.
type reloaded struct {
	plan    []failover.PlanEntry
	was, is *failover.Snapshot
	fx      *failover.Effects
}

func checkReload(t *rapid.T, r *reloaded) {
	released, transitions := make(map[string]int), make(map[string]int)
	for i := range r.fx.Adverts {
		var p wire.Packet
		a := &r.fx.Adverts[i]
		h := wire.Header{Src: a.Src, Dst: a.Dst, TTL: a.TTL}
		if a.Dst.IsMulticast() {
			h.Group = a.Dst
		}
		if why := wire.Parse(a.Payload, h, &p); why != wire.Accepted {
			t.Fatalf("an advertisement is no packet: %v", why)
		}
		if p.Priority == 0 {
			released[fmt.Sprintf("%s vrid %d", a.Src, p.VRID)]++
		}
	}
	for _, e := range r.fx.Events {
		if e.Kind == failover.EventTransition {
			transitions[e.Key.String()]++
		}
	}
	told := make(map[string]int)
	for i := range r.fx.Notifications {
		told[r.fx.Notifications[i].State]++
	}
	ended, farewells := make(map[string]int), make(map[string]int)
	quiet := true
	for i := range r.plan {
		e := &r.plan[i]
		quiet = quiet && e.Effect == failover.PlanNone
		if e.Kind != "vrrp_instance" {
			continue
		}
		old, next := statusOf(r.was, e), statusOf(r.is, e)
		switch e.Effect {
		case failover.PlanNone, failover.PlanRoutes, failover.PlanLive:
			if transitions[next.Key.String()] > 0 || next.Since != old.Since || next.State != "MASTER" ||
				next.Counters.AdvertsSent != old.Counters.AdvertsSent {
				t.Fatalf("%s\nis disturbed: %s since %v, %d advertisements", e.Text(), next.State, next.Since, next.Counters.AdvertsSent)
			}
			if e.Effect == failover.PlanNone && r.fx.Addresses != nil {
				keepsAddresses(t, old, r.fx.Addresses)
			}
		case failover.PlanRestarted, failover.PlanRemoved:
			ended[fmt.Sprintf("%s vrid %d", old.Source, old.VRID)]++
			for _, word := range []string{"FAULT", "DELETED"} {
				if slices.Contains(e.Notes, "its scripts are told "+word) {
					farewells[word]++
				}
			}
		case failover.PlanAdded:
		default:
			t.Fatalf("%s", e.Text())
		}
		if e.Effect == failover.PlanRestarted || e.Effect == failover.PlanAdded {
			// It sent nothing yet, but for an address owner, which begins as MASTER unless its sync group cannot.
			sent, owner := next.Counters.AdvertsSent, next.PriorityBase == 255
			if next.Counters.BecameMaster != sent || sent > 0 && !owner || sent == 0 && owner && next.Group == "" {
				t.Fatalf("%s\nis not new: %+v", e.Text(), next.Counters)
			}
		}
	}
	if fmt.Sprint(ended) != fmt.Sprint(released) {
		t.Fatalf("the plan ends %v, and priority 0 is sent for %v:\n%s", ended, released, failover.PlanText(r.plan))
	}
	if told["FAULT"] != farewells["FAULT"] || told["DELETED"] != farewells["DELETED"] {
		t.Fatalf("the plan tells %v, and %v are told:\n%s", farewells, told, failover.PlanText(r.plan))
	}
	if quiet {
		checkQuiet(t, r)
	}
}

// checkQuiet: nothing leaves, and the kernel is to have what it had.
func checkQuiet(t *rapid.T, r *reloaded) {
	if len(r.fx.Adverts)+len(r.fx.Announcements)+len(r.fx.Routes)+len(r.fx.Notifications) > 0 {
		t.Fatalf("nothing changes, and yet something is asked for: %+v", r.fx)
	}
	if r.fx.Addresses != nil || r.fx.Objects != nil {
		t.Fatalf("nothing changes, and the kernel is asked for %+v and %+v", r.fx.Addresses, r.fx.Objects)
	}
}

// statusOf returns the router that an entry is about, before or after the reload; nil: there is none.
func statusOf(s *failover.Snapshot, e *failover.PlanEntry) *failover.RouterStatus {
	for _, match := range []func(*failover.RouterStatus) bool{
		func(r *failover.RouterStatus) bool { return r.Key.String() == e.Key },
		func(r *failover.RouterStatus) bool { return r.Name == e.Name },
	} {
		for i := range s.Routers {
			if match(&s.Routers[i]) {
				return &s.Routers[i]
			}
		}
	}
	return nil
}

func keepsAddresses(t *rapid.T, r *failover.RouterStatus, d *failover.DesiredAddresses) {
	for _, a := range r.Addresses {
		k := failover.AddressKey{Interface: a.Interface, Prefix: a.Address}
		if !slices.ContainsFunc(d.Addresses, func(x failover.Address) bool { return x.Key() == k }) {
			t.Fatalf("%s is not touched, and loses %s", r.Name, k)
		}
	}
}
