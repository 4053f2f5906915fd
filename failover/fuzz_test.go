package failover_test

import (
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

var fuzzConfigs = []string{
	"speaker EDGE allow 198.51.100.0/24\nrouter A eth0/4/1 priority 200 bgp_wait 3s\n address 192.0.2.10/24 eth0 lease 1s\n address 198.51.100.10/32 lo\n announce 198.51.100.0/24 EDGE\n announce 198.51.100.0/24 EDGE when backup prepend 2\n garp repeat 2 delay 1s refresh 2s",
	"garp_interval 1s\nspeaker EDGE allow 198.51.100.0/24\nspeaker CORE allow 198.51.100.0/24\nrouter A eth0/4/1 priority 200\n address 192.0.2.10/24 eth0\n address 192.0.2.11/24 eth0\n announce 198.51.100.0/24 CORE\nrouter B eth1/6/2\n address fe80::2/64 eth1",
	"startup_delay 1s\nrouter A eth0/4/1 unicast\n peer 192.0.2.2\n address 192.0.2.10/24 eth0\nrouter B eth0/4/2 priority 255\n address 192.0.2.1/24 eth0",
	"boot_delay 200ms\nlink_delay eth0 down 1s up 500ms\nrouter A eth0/4/1 priority 200\n address 192.0.2.10/24 eth0\n track script s weight 20\n track file f weight -3\nrouter B eth1/4/2 nopreempt\n address 192.0.2.11/24 eth1\n track script t\n track interface lo\nrouter C lo/4/3\n track process p reverse\nrouter D eth0/6/3 priority 255\n address fe80::1/64 eth0\ngroup G A B\ngroup H C D\nstates_on_reload",
	"static_address 192.0.2.9/24 eth0\nstatic_route 203.0.113.0/24 via 192.0.2.254\nrouter A eth0/4/1 priority 150\n address 192.0.2.10/24 eth0 lease 1s\n no_accept\n route 203.0.113.0/24 via 192.0.2.253\n notify deleted_word\n track script s\n track script t weight -30\nrouter B eth1/4/2\n vmac vrrp.2\n address 192.0.2.11/24 vrrp.2\n rule from 192.0.2.0/24 table 7 priority 9\nrouter C lo/4/3\n no_accept\n address 192.0.2.12/24 lo\ngroup H B C",
	"multicast 224.0.0.200\nrouter A eth0/4/1 priority 100\n address 192.0.2.10/24 eth0\n ignore_link\nrouter B eth1/4/2\n vmac lo\n address 192.0.2.11/24 lo\n track script s\n track script u weight 250\nrouter C lo/4/3\ngroup G B C A",
	"speaker EDGE allow 198.51.100.0/24 changes 2 rpki cache:323\nspeaker CORE allow 198.51.100.0/24 changes 4 rpki cache:323 rpki_warn\nrouter A eth0/4/1 priority 200\n address 192.0.2.10/24 eth0\n announce 198.51.100.0/24 EDGE\n announce 198.51.100.0/24 EDGE when backup prepend 2\nrouter B eth0/4/2\n announce 198.51.100.0/24 CORE",
	"router A eth0/4/1 priority 0\n address 192.0.2.10/24 eth0",
	"",
}

// fuzzer turns octets into inputs, also into such as no daemon would make.
type fuzzer struct {
	data  []byte
	core  *failover.Core
	now   vrrp.Instant
	fx    failover.Effects
	asked []failover.DesiredAddresses
	told  map[string]string // the last state of each subject of notifications
	stop  bool
	// reloaded: the configuration may not have some that were told of any more.
	reloaded bool
}

func (f *fuzzer) next() byte {
	if len(f.data) == 0 {
		return 0
	}
	b := f.data[0]
	f.data = f.data[1:]
	return b
}

func (f *fuzzer) iface() string { return []string{"eth0", "eth1", "lo", "", "vrrp.2"}[f.next()%5] }

// FuzzCore: whatever comes in, in whatever order, nothing panics or spins, nothing leaves that is not on the list, and
// after a stop nothing is wanted any more.
func FuzzCore(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 1, 5, 6, 4, 2, 3, 7, 8, 9})
	f.Add([]byte{2, 0, 4, 1, 0, 0, 1, 1, 6, 200, 3, 0, 5, 0, 1, 4, 1, 4, 2, 7})
	f.Add([]byte{6, 13, 0, 0, 1, 1, 1, 0, 3, 1, 0, 0, 0, 0, 1, 2, 0, 7, 200, 7, 200, 13, 0, 0, 1, 0, 0, 0, 0, 0, 2, 2, 7, 200, 7, 200})
	f.Fuzz(func(t *testing.T, data []byte) {
		z := &fuzzer{data: data, told: make(map[string]string)}
		var err error
		if z.core, err = failover.New(failovertest.MustParseConfig(fuzzConfigs[z.next()%7]), 0); err != nil {
			t.Fatal(err)
		}
		for range 400 {
			if len(z.data) == 0 {
				break
			}
			z.input()
			z.flush(t)
		}
	})
}

func (f *fuzzer) input() {
	switch f.next() % 14 {
	case 0:
		i := failover.Interface{Name: f.iface(), Index: int(f.next() % 3), Up: f.next()%3 != 0, Loopback: f.next()%8 == 0}
		for range f.next() % 3 {
			i.Addresses = append(i.Addresses, []netip.Prefix{
				netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("192.0.2.10/24"), {},
			}[f.next()%4])
		}
		f.core.Step(f.now, failover.InterfaceChanged{Interface: i}, &f.fx)
	case 1:
		id := failover.LinkID{Interface: f.iface(), Family: []wire.Family{4, 6, 0}[f.next()%3]}
		f.core.Step(f.now, failover.LinkChanged{Link: id, Open: f.next()%4 != 0, Err: "closed"}, &f.fx)
	case 2:
		f.report()
	case 3:
		rep := bgp.Report{Speaker: []string{"EDGE", "CORE", "", "X"}[f.next()%4], Connected: f.next()%4 != 0, Generation: uint64(f.next())}
		for range f.next() % 3 {
			rep.Neighbors = append(rep.Neighbors, bgp.NeighborStatus{State: bgp.SessionState(f.next() % 7), LastError: "refused"[:f.next()%7]})
		}
		f.core.Step(f.now, failover.SpeakerReported{Report: rep}, &f.fx)
	case 4:
		f.core.Step(f.now, failover.Reconfigured{Config: failovertest.MustParseConfig(fuzzConfigs[int(f.next())%len(fuzzConfigs)])}, &f.fx)
		f.reloaded = true
	case 5:
		if f.next() == 0 {
			f.core.Step(f.now, failover.Stop{Reason: "fuzzed"}, &f.fx)
			f.stop = true
		}
	case 6:
		f.packet()
	case 9, 10:
		rep := failover.TrackerReport{
			Tracker: failover.Tracker{Kind: failover.TrackerKind(f.next() % 4), Name: []string{"s", "t", "f", "p", "lo", "u"}[f.next()%6]},
			OK:      f.next()%2 == 0, Value: int(f.next())<<(f.next()%60) - 1000, Reason: "fuzzed",
		}
		f.core.Step(f.now, failover.TrackerReported{Report: rep}, &f.fx)
	case 11:
		rep := failover.DevicesReported{Failed: map[string]string{"": "no such device"}, Filter: "refused"[:f.next()%3/2*7]}
		if f.next()%3 == 0 {
			rep.Failed["vrrp.2"] = "file exists"
		}
		f.core.Step(f.now, rep, &f.fx)
	case 12:
		rep := failover.ObjectReport{Generation: uint64(f.next() % 32), Swept: int(f.next() % 2), RulesRestored: []failover.KernelRule{{}}}
		rep.RoutesFailed = map[failover.RouteKey]string{{}: "no such route", {Destination: netip.MustParsePrefix("203.0.113.0/24"), Table: 254}: "no route to host"}
		f.core.Step(f.now, failover.ObjectsReported{Report: rep}, &f.fx)
	case 13:
		rep := bgp.RPKIReport{Speaker: []string{"EDGE", "CORE", "X"}[f.next()%3], Settled: f.next()%2 == 0}
		if f.next()%3 > 0 {
			p := netip.MustParsePrefix("198.51.100.0/24")
			rep.Using, rep.Scope = "cache:323", []netip.Prefix{p}
			rep.VRPs = []bgp.VRP{{Prefix: p, MaxLength: 24, AS: 64501 + uint32(f.next()%2)}}
		}
		for range f.next() % 3 {
			rep.Caches = append(rep.Caches, bgp.CacheStatus{Address: "cache:323", State: []string{"up", "down"}[f.next()%2], Error: "refused"[:f.next()%7]})
		}
		f.core.Step(f.now, failover.RPKIReported{Report: rep}, &f.fx)
	default:
		f.now = f.now.Add(time.Duration(f.next()) * 20 * time.Millisecond)
	}
}

func (f *fuzzer) report() {
	rep := failover.AddressReport{Generation: uint64(f.next() % 32), Failed: map[failover.AddressKey]string{{}: "no such address"}}
	if len(f.asked) > 0 {
		d := f.asked[int(f.next())%len(f.asked)]
		rep.Generation = d.Generation
		for i := range d.Addresses {
			k := d.Addresses[i].Key()
			switch f.next() % 8 {
			case 0:
				rep.Failed[k] = "no space left"
			case 1:
				rep.Leftover = append(rep.Leftover, k)
			case 2:
				rep.Restored = append(rep.Restored, k)
			default:
				rep.Present = append(rep.Present, k)
			}
		}
	}
	f.core.Step(f.now, failover.AddressesReported{Report: rep}, &f.fx)
}

func (f *fuzzer) packet() {
	p := &wire.Packet{
		Header: wire.Header{Src: addr("192.0.2.2"), Dst: []netip.Addr{wire.IPv4.Group(), addr("224.0.0.200")}[f.next()%8/7], TTL: f.next()},
		Advertisement: wire.Advertisement{
			Version: wire.Version(2 + f.next()%2), VRID: 1 + f.next()%3, Priority: f.next(), Interval: wire.Centiseconds(1 + int(f.next())*16),
		},
	}
	link := failover.LinkID{Interface: f.iface(), Family: wire.IPv4}
	if f.next()%4 == 0 {
		p.Dst, link.Interface = addr("192.0.2.1"), ""
	}
	for range f.next() % 4 {
		p.Addresses = append(p.Addresses, addr("192.0.2.10"))
	}
	f.core.Receive(f.now, link, p, &f.fx)
}

// notifications demands that nothing is said twice, and that what was said last is what is.
func (f *fuzzer) notifications(t *testing.T) {
	for i := range f.fx.Notifications {
		n := &f.fx.Notifications[i]
		subject := n.Type() + " " + n.Name
		switch {
		case n.Quiet || strings.Contains(n.State, "_"):
		case f.told[subject] == n.State:
			t.Fatalf("%s is %s, and is told so again", subject, n.State)
		case n.Commands == nil || f.told[subject] == "STOP":
			t.Fatalf("%s is told to be %s after %s, with %v", subject, n.State, f.told[subject], n.Commands)
		default:
			f.told[subject] = n.State
		}
	}
	s := f.core.Snapshot(f.now, func(vrrp.Instant) time.Time { return time.Time{} })
	if f.reloaded {
		f.reloaded = false
		there := make(map[string]bool)
		for i := range s.Routers {
			there["INSTANCE "+s.Routers[i].Name] = true
		}
		for i := range s.Groups {
			there["GROUP "+s.Groups[i].Name] = true
		}
		maps.DeleteFunc(f.told, func(subject, _ string) bool { return !there[subject] })
	}
	for i := range s.Routers {
		r := &s.Routers[i]
		if told := f.told["INSTANCE "+r.Name]; r.State != "INIT" && told != r.State || f.stop && told != "STOP" {
			t.Fatalf("%s is %s, and %q was told", r.Name, r.State, told)
		}
		for j := range r.Tracks {
			if k := &r.Tracks[j]; k.Fault && (r.State == "MASTER" || r.State == "BACKUP") {
				t.Fatalf("%s is %s, and %s %s keeps it from running", r.Name, r.State, k.Kind, k.Name)
			}
		}
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		if told := f.told["GROUP "+g.Name]; g.State != "INIT" && told != g.State && !f.stop || f.stop && told != "STOP" {
			t.Fatalf("group %s is %s, and %q was told", g.Name, g.State, told)
		}
	}
}

// groups demands that no member of a sync group runs while another one has a fault, and none is Active while another one
// follows somebody.
func (f *fuzzer) groups(t *testing.T) {
	s := f.core.Snapshot(f.now, func(vrrp.Instant) time.Time { return time.Time{} })
	states := make(map[string]map[string]int)
	for i := range s.Routers {
		r := &s.Routers[i]
		if states[r.Group] == nil {
			states[r.Group] = make(map[string]int)
		}
		states[r.Group][r.State]++
		if r.PriorityEffective == 0 || r.PriorityEffective == 255 && r.PriorityBase != 255 {
			t.Fatalf("%s has priority %d", r.Name, r.PriorityEffective)
		}
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		if n := states[g.Name]; n["FAULT"] > 0 && (n["MASTER"]+n["BACKUP"] > 0 || g.State != "FAULT") {
			t.Fatalf("group %s is %s, and has members %v", g.Name, g.State, n)
		}
	}
}

// flush ends a batch and looks at what it asks for.
func (f *fuzzer) flush(t *testing.T) {
	for n := 0; f.core.Deadline() <= f.now; n++ {
		f.core.Expire(f.now, &f.fx)
		f.core.Flush(f.now, &f.fx)
		if n > 3 {
			t.Fatalf("at %d the deadline is %d, and stays there", f.now, f.core.Deadline())
		}
	}
	f.core.Flush(f.now, &f.fx)
	for _, r := range f.fx.Routes {
		for _, x := range r.Desired.Routes {
			if x.Prefix != netip.MustParsePrefix("198.51.100.0/24") || f.stop {
				t.Fatalf("speaker %s is to announce %s, stopping %v", r.Speaker, x, f.stop)
			}
		}
	}
	if f.fx.Addresses != nil {
		f.asked = append(f.asked, *f.fx.Addresses)
	}
	f.groups(t)
	f.notifications(t)
	f.fx.Reset()
}
