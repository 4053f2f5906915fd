package kernel

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// talkTime is longer than what Linux waits before it says something of an interface unasked: a router solicitation up
// to a second, multicast reports up to a second each, twice.
const talkTime = 4 * time.Second

// quiet checks that no frame leaves a router with a virtual link-layer address.
func (c *capture) quiet(when string, macs ...[6]byte) {
	c.t.Helper()
	for _, mac := range macs {
		for _, f := range c.from(mac) {
			c.t.Errorf("%s: a frame from % x: %s", when, mac, hex.EncodeToString(f))
		}
	}
}

// RFC 9568 section 7.3: whoever is not Active must not teach the switches where the virtual router is. Forwarding makes
// a Linux router join more groups, and is what a real one has.
func TestBackupSendsNothing(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	for _, path := range []string{"ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"} {
		l.a.set(path, "1")
	}
	frames := l.capture()
	r := l.a.start()
	r.sets(both)
	l.c.pings("192.0.2.1") // an ARP request that every device hears
	time.Sleep(talkTime)
	frames.quiet("made", virtual4.MAC, virtual6.MAC)

	for round := range 2 {
		for _, a := range []string{"192.0.2.100/32 dev vrrp.51", "fe80::52/128 dev vrrp.52 nodad", "2001:db8::52/128 dev vrrp.52 nodad"} {
			l.a.run("ip addr add " + a)
		}
		within(t, 5*time.Second, "the switches are told of the solicited-node group", func() bool { return len(frames.from(virtual6.MAC)) > 0 })
		for _, f := range frames.from(virtual6.MAC) {
			// A report from the virtual link-local address (hop-by-hop, router alert, ICMPv6 type 143).
			if !strings.HasPrefix(hex.EncodeToString(f[22:38]), "fe80") || f[20] != 0 || f[62] != 143 {
				t.Errorf("Active says %s", hex.EncodeToString(f))
			}
		}
		frames.quiet("active", virtual4.MAC)
		if round == 0 {
			l.a.run("ip addr del 2001:db8::52/128 dev vrrp.52")
			l.a.run("ip addr del fe80::52/128 dev vrrp.52")
		} else {
			l.a.run("ip addr flush dev vrrp.52")
		}
		l.a.run("ip addr flush dev vrrp.51")
		frames.forget()
		l.c.pings("192.0.2.1")
		time.Sleep(talkTime)
		frames.quiet("role lost", virtual4.MAC, virtual6.MAC)
	}
	r.stop()
	time.Sleep(time.Second)
	frames.quiet("removed", virtual4.MAC, virtual6.MAC)
}

// V3-HOST-04 and V3-HOST-10: a frame to the virtual link-layer address for somebody else is forwarded by the Active
// router and dropped by a Backup, although both have a device with that address.
func TestV3_HOST_04_V3_HOST_10_ForwardingFollowsTheAddress(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.set("ipv4/conf/all/forwarding", "1")
	l.b.run("ip addr add 198.51.100.2/32 dev eth0")
	l.a.run("ip route add 198.51.100.2 via 192.0.2.2")
	r := l.a.start()
	r.sets(both)
	l.c.run("ip neigh replace 192.0.2.100 lladdr 00:00:5e:00:01:33 dev lan nud permanent")
	l.c.run("ip route add 198.51.100.2 via 192.0.2.100 src 192.0.2.3")
	if l.c.pings("198.51.100.2") {
		t.Error("a Backup router forwards")
	}
	l.a.run("ip addr add 192.0.2.100/32 dev vrrp.51")
	announce(t, l.a, netip.MustParseAddr("192.0.2.100"))
	if !l.c.pings("198.51.100.2") {
		t.Error("the Active router does not forward")
	}
	l.a.run("ip addr del 192.0.2.100/32 dev vrrp.51")
	if l.c.pings("198.51.100.2") {
		t.Error("a router that was Active still forwards")
	}
}
