package kernel

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// neighborAdvertisements returns the flags octet and the target link-layer address of what was said about an address.
func (c *capture) neighborAdvertisements(a netip.Addr) (said []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if len(f) >= 86 && f[12] == 0x86 && f[13] == 0xdd && f[20] == 58 && f[54] == icmp6Advert && netip.AddrFrom16([16]byte(f[62:78])) == a {
			router := ""
			if f[58]&0x80 != 0 {
				router = " router"
			}
			said = append(said, net.HardwareAddr(f[80:86]).String()+" by "+net.HardwareAddr(f[6:12]).String()+router)
		}
	}
	return said
}

// V3-HOST-06 and V3-HOST-07 over IPv6: neighbor advertisements, asked for or not, name the virtual link-layer address
// and come from it, and a router says that it is one. The client needs no new entry when another router takes over.
func TestV3_HOST_07_OnlyTheVirtualMACAnswersOverIPv6(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	for _, h := range []labHost{l.a, l.b} {
		h.set("ipv6/conf/all/forwarding", "1")
		h.start().sets(both)
	}
	const want = "00:00:5e:00:02:34 by 00:00:5e:00:02:34 router"
	vip, local := netip.MustParseAddr("2001:db8::52"), netip.MustParseAddr("fe80::52")
	frames := l.capture()
	for i, h := range []labHost{l.a, l.b} {
		h.run("ip addr add fe80::52/128 dev vrrp.52 nodad")
		h.run("ip addr add 2001:db8::52/128 dev vrrp.52 nodad")
		announce(t, h, local)
		announce(t, h, vip)
		for _, a := range []netip.Addr{local, vip} {
			within(t, 5*time.Second, "unsolicited neighbor advertisement", func() bool { return len(frames.neighborAdvertisements(a)) > 0 })
			if got := frames.neighborAdvertisements(a); got[0] != want {
				t.Errorf("%v: unsolicited %v", a, got)
			}
		}
		frames.forget()
		for _, to := range []string{"2001:db8::52", "fe80::52%lan"} {
			if !l.c.pings(to) {
				t.Errorf("%s does not answer as %s", h.name, to)
			}
			addr, _, _ := strings.Cut(to, "%")
			if got := l.c.run("ip neigh show " + addr + " dev lan"); !strings.Contains(got, "00:00:5e:00:02:34") {
				t.Errorf("the client knows %s as %s", addr, got)
			}
		}
		answers := frames.neighborAdvertisements(vip)
		if i == 0 && (len(answers) == 0 || answers[0] != want) {
			t.Errorf("solicited: %v", answers)
		}
		h.run("ip addr flush dev vrrp.52")
		frames.forget()
	}
}

// V3-HOST-04 and V3-HOST-10 over IPv6, where the kernel forwards by way of an interface without an address: the packet
// filter follows the role. Neighbor discovery passes in any case.
func TestV3_HOST_04_V3_HOST_10_ForwardingFollowsTheAddressOverIPv6(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.set("ipv6/conf/all/forwarding", "1")
	l.b.run("ip addr add 2001:db8:9::2/128 dev lo nodad")
	l.a.run("ip -6 route add 2001:db8:9::2 via 2001:db8::2")
	l.c.run("ip -6 neigh replace fe80::52 lladdr 00:00:5e:00:02:34 dev lan nud permanent")
	l.c.run("ip -6 route add 2001:db8:9::2 via fe80::52 dev lan")
	r := l.a.start()
	r.sets(both)
	const silent = `set silent {
		type ifname
		elements = { "vrrp.52" }`
	for range 3 {
		if l.c.pings("2001:db8:9::2") {
			t.Error("a Backup router forwards")
		}
		if got := l.a.ruleset(); !strings.Contains(got, silent) {
			t.Errorf("no %q in %s", silent, got)
		}
		l.a.run("ip addr add fe80::52/128 dev vrrp.52 nodad")
		l.a.run("ip addr add 2001:db8::52/128 dev vrrp.52 nodad")
		announce(t, l.a, netip.MustParseAddr("fe80::52"))
		began := time.Now()
		within(t, soon, "open for the Active router", func() bool { return !strings.Contains(l.a.ruleset(), silent) })
		t.Logf("open %v after the address, as far as nft can tell", time.Since(began))
		if !l.c.pings("2001:db8:9::2") {
			t.Error("the Active router does not forward")
		}
		l.a.run("ip addr del fe80::52/128 dev vrrp.52") // the other one is enough to be Active
		if !l.c.pings("2001:db8:9::2") {
			t.Error("the Active router does not forward")
		}
		l.a.run("ip addr del 2001:db8::52/128 dev vrrp.52")
		within(t, soon, "closed for the Backup", func() bool { return strings.Contains(l.a.ruleset(), silent) })
	}
	r.stop()
	if got := l.a.ruleset(); got != "" {
		t.Errorf("left behind: %s", got)
	}
}
