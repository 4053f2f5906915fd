package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// pairOf are two instances of one agent: X, which the test changes, and Y, which nothing may happen to.
func pairOf(device string, vrid int, vips ...string) string {
	one := func(name, device string, vrid int, vips []string) string {
		return lines("vrrp_instance "+name+" {", "    interface "+device, fmt.Sprintf("    virtual_router_id %d", vrid), "    version 3",
			"    advert_int 0.2", "    garp_master_delay 0", "    virtual_ipaddress {", "        "+strings.Join(vips, "\n        "), "    }", "}")
	}
	return one("X", device, vrid, vips) + one("Y", "eth0", 60, []string{"192.0.2.60/32"})
}

// TestReloadRestartsOne: another VRID, interface or family is another virtual router: that one ends with priority 0 and its
// addresses removed, and begins anew. The instance beside it is not touched.
func TestReloadRestartsOne(t *testing.T) {
	t.Parallel()
	g := newTwoLANs(t)
	a := startAgent(t, g.lab, g.a, pairOf("eth0", 50, "192.0.2.50/32"))
	waitFor(t, 5*time.Second, "both to be MASTER", func() bool { return masters(a) == 2 })
	w := watchOf(t, g.a)
	for _, c := range []struct {
		name, text, gone, come, plan string
		vrid                         uint8 // of the one that ends on eth0; 0: it was elsewhere
	}{
		{"VRID", pairOf("eth0", 51, "192.0.2.50/32"), "", "192.0.2.50/32", "restarted", 50},
		{"interface", pairOf("eth1", 51, "203.0.113.50/32"), "192.0.2.50/32", "203.0.113.50/32", "restarted", 51},
		{"family", pairOf("eth1", 51, "fe80::50/64"), "203.0.113.50/32", "fe80::50/64", "restarted", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Now()
			path, err := g.lab.WriteFile("new.conf", c.text)
			must(t, err)
			if out, code := a.cli("plan", "-f", path); code != 0 || !strings.Contains(out, "vrrp_instance X (") || !strings.Contains(out, "): "+c.plan) || !strings.Contains(out, "vrrp_instance not touched: Y") {
				t.Errorf("plan: exit %d: %s", code, out)
			}
			if out, code := a.rewrite(c.text); code != 0 {
				t.Fatalf("reload: exit %d: %s", code, out)
			}
			waitFor(t, 5*time.Second, "both to be MASTER", func() bool { return masters(a) == 2 })
			time.Sleep(slack)
			if c.vrid != 0 {
				first(t, g.capture, begin, fmt.Sprintf("vrid %d ", c.vrid), "priority 0")
			}
			first(t, w, begin, "address added "+c.come)
			if c.gone != "" {
				first(t, w, begin, "address removed "+c.gone)
			}
			for _, s := range w.Sightings() {
				if s.At.After(begin) && strings.Contains(s.What, "192.0.2.60") && !strings.Contains(s.What, "renewed") {
					t.Errorf("the other instance's address: %s", s.What)
				}
			}
			for _, p := range g.capture.Packets() {
				if p.At.After(begin) && p.VRRP != nil && p.VRRP.VRID == 60 && p.VRRP.Priority != 100 {
					t.Errorf("the other instance: %s", p.String())
				}
			}
			if y := a.status().Routers[1]; y.Counters.BecameMaster != 1 {
				t.Errorf("the other instance was MASTER %d times", y.Counters.BecameMaster)
			}
		})
	}
}

// TestReloadPeers: one peer more is sent to from the next advertisement on, one less is not any more; the role stays.
func TestReloadPeers(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	var err error
	n.capture, err = n.a.Capture("eth0") // what is sent by unicast passes nobody else
	must(t, err)
	conf := func(peers ...string) string {
		return n.instance(prioA, 3, "0.2", append([]string{"garp_master_delay 0", "unicast_src_ip 192.0.2.1", "unicast_peer {"}, append(peers, "}")...)...)
	}
	a := startAgent(t, n.lab, n.a, conf("192.0.2.2"))
	a.waitState("MASTER", 5*time.Second)
	for _, c := range []struct {
		name     string
		peers    []string
		to, none string
	}{
		{"one more", []string{"192.0.2.2", "192.0.2.3"}, "192.0.2.3", ""},
		{"one less", []string{"192.0.2.3"}, "192.0.2.3", "192.0.2.2"},
	} {
		begin := time.Now()
		if out, code := a.rewrite(conf(c.peers...)); code != 0 {
			t.Fatalf("%s: exit %d: %s", c.name, code, out)
		}
		reloaded := time.Now()
		time.Sleep(700 * time.Millisecond)
		sent := map[netip.Addr]int{}
		for _, p := range n.adverts("192.0.2.1", begin) {
			if p.VRRP.Priority != prioA {
				t.Errorf("%s: %s", c.name, p.String())
			}
			if p.At.After(reloaded) {
				sent[p.Dst]++
			}
		}
		if sent[netip.MustParseAddr(c.to)] < 2 || c.none != "" && sent[netip.MustParseAddr(c.none)] > 0 {
			t.Errorf("%s: sent to %v", c.name, sent)
		}
	}
	if r := a.router(); r.State != "MASTER" || r.Counters.BecameMaster != 1 {
		t.Errorf("the role was disturbed: %s, MASTER %d times", r.State, r.Counters.BecameMaster)
	}
}
