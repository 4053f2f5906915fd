package kernel

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	vrrplink "failoverd/vrrp/link"
	"failoverd/vrrp/wire"
)

// deviceSettings returns what matters of an interface, in words.
func (h labHost) deviceSettings(name string) string {
	var b strings.Builder
	for _, key := range []string{"arp_ignore", "arp_announce", "arp_filter", "rp_filter", "forwarding"} {
		fmt.Fprintf(&b, "%s %s ", key, h.setting("ipv4/conf/"+name+"/"+key))
	}
	for _, key := range []string{"addr_gen_mode", "disable_ipv6", "accept_ra", "autoconf", "forwarding"} {
		fmt.Fprintf(&b, "%s6 %s ", key, h.setting("ipv6/conf/"+name+"/"+key))
	}
	return b.String()
}

func (h labHost) parentSettings() string {
	return h.setting("ipv4/conf/eth0/arp_ignore") + " " + h.setting("ipv4/conf/eth0/arp_announce")
}

func (h labHost) hasLink(name string) bool {
	_, err := h.try("ip link show " + name)
	return err == nil
}

// linkIndex returns the line of ip -o link, which begins with the index.
func (h labHost) linkIndex(name string) string {
	h.t.Helper()
	index, _, _ := strings.Cut(h.run("ip -o link show "+name), ":")
	return index
}

func TestDevicesAreMadeQuietAndRemoved(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.set("ipv4/conf/eth0/forwarding", "1")
	l.a.set("ipv6/conf/eth0/forwarding", "1")
	l.a.set("ipv4/conf/all/rp_filter", "1")
	r := l.a.start()
	r.sets(both)
	for _, d := range both {
		line := l.a.run("ip -d -o link show " + d.Name)
		for _, want := range []string{"macvlan mode bridge", "LOWER_UP", fmt.Sprintf("link/ether % x", d.MAC), "addrgenmode none", "alias failoverd"} {
			if !strings.Contains(line, strings.ReplaceAll(want, fmt.Sprintf("% x", d.MAC), strings.ReplaceAll(fmt.Sprintf("% x", d.MAC), " ", ":"))) {
				t.Errorf("%s: no %q in %s", d.Name, want, line)
			}
		}
		if out := l.a.run("ip -o addr show " + d.Name); out != "" {
			t.Errorf("%s has addresses: %s", d.Name, out)
		}
	}
	const four = "arp_ignore 1 arp_announce 2 arp_filter 0 rp_filter 2 forwarding 1 "
	if got, want := l.a.deviceSettings("vrrp.52"), four+"addr_gen_mode6 1 disable_ipv66 0 accept_ra6 0 autoconf6 0 forwarding6 1 "; got != want {
		t.Errorf("vrrp.52:\n got %s\nwant %s", got, want)
	}
	if got := l.a.deviceSettings("vrrp.51"); !strings.HasPrefix(got, four+"addr_gen_mode6 1 disable_ipv66 1 ") {
		t.Errorf("vrrp.51: %s", got)
	}
	if got := l.a.parentSettings(); got != "1 2" {
		t.Errorf("parent has %s", got)
	}

	r.sets([]failover.Device{virtual6})
	if l.a.hasLink("vrrp.51") || !l.a.hasLink("vrrp.52") || l.a.parentSettings() != "1 2" {
		t.Errorf("after one is gone: %s, parent %s", l.a.run("ip -br link"), l.a.parentSettings())
	}
	r.stop()
	if l.a.hasLink("vrrp.52") || l.a.parentSettings() != "0 0" {
		t.Errorf("after the end: %s, parent %s", l.a.run("ip -br link"), l.a.parentSettings())
	}
}

func TestParentSettingsOfTheAdministratorStay(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.set("ipv4/conf/eth0/arp_ignore", "2")
	l.a.set("ipv4/conf/eth0/arp_announce", "1")
	r := l.a.start()
	r.sets(both)
	if got := l.a.parentSettings(); got != "2 2" {
		t.Errorf("parent has %s", got)
	}
	l.a.set("ipv4/conf/eth0/arp_announce", "0") // the administrator's last word
	r.sets(nil)
	if got := l.a.parentSettings(); got != "2 0" {
		t.Errorf("at the end the parent has %s", got)
	}
}

// Settings that somebody changes come back, at the latest with the next comparison; a Set is one.
func TestChangedSettingsComeBack(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	r := l.a.start()
	r.sets(both)
	l.a.set("ipv4/conf/eth0/arp_ignore", "0")
	l.a.set("ipv4/conf/vrrp.51/rp_filter", "0")
	l.a.set("ipv6/conf/vrrp.52/accept_ra", "1")
	r.sets(both)
	if got := l.a.parentSettings(); got != "1 2" {
		t.Errorf("parent has %s", got)
	}
	if l.a.setting("ipv4/conf/vrrp.51/rp_filter") != "2" || l.a.setting("ipv6/conf/vrrp.52/accept_ra") != "0" {
		t.Errorf("%s\n%s", l.a.deviceSettings("vrrp.51"), l.a.deviceSettings("vrrp.52"))
	}
}

func TestDevicesFollowTheirParent(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.unplug(1)
	r := l.a.start()
	if rep := r.set(both); rep.Failed["vrrp.51"] != "parent interface eth0 does not exist" || len(rep.Failed) != 2 {
		t.Fatalf("without a parent: %+v", rep)
	}
	healthy := func() bool {
		rep, _ := r.last()
		return len(rep.Failed) == 0 && l.a.hasLink("vrrp.51") && strings.Contains(l.a.run("ip -o link show vrrp.52"), "LOWER_UP")
	}
	for range 8 { // more often than what is taken for a fight
		l.plug(l.a, 1)
		within(t, 10*time.Second, "made with the parent", healthy)
		if got := l.a.parentSettings(); got != "1 2" {
			t.Errorf("parent has %s", got)
		}
		l.unplug(1)
		within(t, 10*time.Second, "told that the parent is gone", func() bool { rep, _ := r.last(); return len(rep.Failed) == 2 })
	}
}

func TestForeignInterfaceIsNotTouched(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.run("ip link add vrrp.51 link eth0 type macvlan mode bridge")
	l.a.run("ip link add vrrp.52 type veth peer name other")
	before := l.a.linkIndex("vrrp.51") + l.a.linkIndex("vrrp.52")
	r := l.a.start()
	rep := r.set(both)
	if rep.Failed["vrrp.51"] != "there is an interface vrrp.51 (macvlan) that is not failoverd's" ||
		rep.Failed["vrrp.52"] != "there is an interface vrrp.52 (veth) that is not failoverd's" {
		t.Errorf("report %+v", rep)
	}
	r.stop()
	if after := l.a.linkIndex("vrrp.51") + l.a.linkIndex("vrrp.52"); after != before {
		t.Errorf("links %s before, %s after", before, after)
	}
}

func TestAddressInUseIsTold(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.run("ip link add other link eth0 address 00:00:5e:00:01:33 up type macvlan mode bridge")
	r := l.a.start()
	if why := r.set(both).Failed["vrrp.51"]; !strings.Contains(why, "another interface on eth0 has the address 00:00:5e:00:01:33") {
		t.Errorf("vrrp.51: %q", why)
	}
	l.a.run("ip link del other")
	within(t, 10*time.Second, "up when the other is gone", func() bool {
		return strings.Contains(l.a.run("ip -o link show vrrp.51"), "LOWER_UP")
	})
}

func TestPredecessorsDevicesAreTakenOverOrRemoved(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	// What a killed agent leaves, with the settings that it had found on the parent in the aliases.
	l.a.set("ipv4/conf/eth0/arp_ignore", "1")
	l.a.set("ipv4/conf/eth0/arp_announce", "2")
	add := func(name, mac, mode string) {
		l.a.run("ip link add " + name + " link eth0 address " + mac + " up type macvlan mode " + mode)
		l.a.inside(func() error {
			d, err := NewDevices(slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			k, err := d.links.LinkByName(name)
			if err != nil {
				return err
			}
			return d.links.LinkSetAlias(k, (&parentSettings{arpIgnore: 0, announce: 1}).alias())
		})
	}
	add("vrrp.51", "00:00:5e:00:01:33", "bridge")
	add("vrrp.52", "00:00:5e:00:02:34", "private")
	add("vrrp.53", "00:00:5e:00:01:35", "bridge")
	equal, different := l.a.linkIndex("vrrp.51"), l.a.linkIndex("vrrp.52")
	r := l.a.start()
	r.sets(both)
	if l.a.linkIndex("vrrp.51") != equal {
		t.Error("an equal device was not taken over")
	}
	if l.a.linkIndex("vrrp.52") == different {
		t.Error("a device of another mode was taken over")
	}
	if l.a.hasLink("vrrp.53") {
		t.Error("a device that nobody wants is still there")
	}
	if got := l.a.setting("ipv4/conf/vrrp.51/rp_filter"); got != "2" {
		t.Errorf("what was taken over has rp_filter %s", got)
	}
	r.stop()
	if got := l.a.parentSettings(); got != "0 1" {
		t.Errorf("the parent has %s at the end, the predecessor had found 0 1", got)
	}
}

func TestRemovedDeviceComesBackUntilItIsAFight(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	r := l.a.start()
	r.sets([]failover.Device{virtual4})
	there := func() bool {
		out, err := l.a.try("ip -o link show vrrp.51")
		return err == nil && strings.Contains(out, "LOWER_UP")
	}
	l.a.run("ip link set vrrp.51 down")
	within(t, 5*time.Second, "up again", there)
	for range freeRestores - 1 {
		l.a.run("ip link del vrrp.51")
		within(t, 5*time.Second, "made again", there)
	}
	l.a.run("ip link del vrrp.51")
	within(t, 5*time.Second, "told", func() bool { rep, _ := r.last(); return strings.Contains(rep.Failed["vrrp.51"], "again and again") })
	within(t, 10*time.Second, "made again after a while", there)
	within(t, 5*time.Second, "told", func() bool { rep, _ := r.last(); return len(rep.Failed) == 0 })
}

func TestHostWideObstaclesAreTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ key, value string }{{"arp_filter", "1"}, {"arp_ignore", "8"}} {
		t.Run(tt.key, func(t *testing.T) {
			l := newDeviceLab(t)
			l.a.set("ipv4/conf/all/"+tt.key, tt.value)
			r := l.a.start()
			want := "net.ipv4.conf.all." + tt.key + " is " + tt.value
			if why := r.set([]failover.Device{virtual4}).Failed["vrrp.51"]; !strings.HasPrefix(why, want) {
				t.Errorf("%q, want %q", why, want)
			}
			if l.a.hasLink("vrrp.51") {
				t.Error("the device was left there")
			}
		})
	}
}

func TestDevicesWithoutTheCapability(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	reports := make(chan failover.DevicesReported, 1)
	l.a.inside(func() error {
		if err := dropNetAdmin(); err != nil {
			return err
		}
		d, err := NewDevices(slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		defer func() { _ = d.Close() }()
		w := &deviceWorker{
			Devices: d, report: func(r failover.DevicesReported) { reports <- r },
			ours: map[string]*ownDevice{}, parents: map[string]*parentSettings{},
		}
		d.Set([]failover.Device{virtual4}, []failover.AddressKey{key("eth0", "192.0.2.100/32")}, false)
		w.step(time.Now())
		return nil
	})
	rep := <-reports
	if why := rep.Failed["vrrp.51"]; !strings.Contains(why, "CAP_NET_ADMIN") && !strings.Contains(why, "permission denied") {
		t.Errorf("device: %q", why)
	}
	if !strings.Contains(rep.Filter, "CAP_NET_ADMIN is missing") {
		t.Errorf("filter: %q", rep.Filter)
	}
}

// dropNetAdmin takes CAP_NET_ADMIN from the calling thread, which must not be used for anything else afterwards.
func dropNetAdmin() error {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	data[0].Permitted &^= 1 << unix.CAP_NET_ADMIN
	data[0].Inheritable = 0
	return unix.Capset(&header, &data[0])
}

// V3-HOST-06, RFC 9568 sections 7.3 and 8.1.2: who asks for the address learns the virtual link-layer address and no
// other, also with devices of both families, and keeps it when another router takes over.
func TestV3_HOST_06_OnlyTheVirtualMACAnswers(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	a, b := l.a.start(), l.b.start()
	a.sets(both)
	b.sets(both)
	vip, mac := netip.MustParseAddr("192.0.2.100"), "00:00:5e:00:01:33"
	frames := l.capture()
	for _, h := range []labHost{l.a, l.b} {
		h.run("ip addr add 192.0.2.100/32 dev vrrp.51")
		announce(t, h, vip)
		within(t, 5*time.Second, "gratuitous ARP", func() bool { return len(frames.arp(1, vip)) > 0 })
		if got := frames.arp(1, vip); got[0] != mac || len(frames.from(virtual4.MAC)) == 0 {
			t.Errorf("gratuitous ARP says %v, frames from the virtual MAC %d", got, len(frames.from(virtual4.MAC)))
		}
		if h == l.a {
			l.c.run("ip neigh flush dev lan")
		}
		frames.forget()
		if !l.c.pings("192.0.2.100") {
			t.Errorf("%s does not answer as %v", h.name, vip)
		}
		if got := l.c.run("ip neigh show 192.0.2.100 dev lan"); !strings.Contains(got, mac) {
			t.Errorf("the client knows %s", got)
		}
		if h == l.a {
			if got := frames.arp(2, vip); !slices.Equal(got, []string{mac}) {
				t.Errorf("answers to who has %v: %v", vip, got)
			}
			// The router asks in its own name, or the client would learn its physical address as the virtual one.
			l.c.run("ip neigh flush dev lan")
			h.run("ip neigh flush dev eth0")
			h.run("ping -n -c 1 -W 1 -I 192.0.2.100 192.0.2.3")
			if got := frames.arp(1, vip); len(got) > 0 {
				t.Errorf("requests in the name of %v from %v", vip, got)
			}
		} else if got := frames.arp(2, vip); len(got) > 0 {
			t.Errorf("the client had to ask again and was told %v", got)
		}
		h.run("ip addr del 192.0.2.100/32 dev vrrp.51")
		l.c.pings("192.0.2.1") // the node itself keeps its physical address
		if got := l.c.run("ip neigh show 192.0.2.1 dev lan"); !strings.Contains(got, "02:00:00:00:00:01") {
			t.Errorf("the client knows the router as %s", got)
		}
		frames.forget()
	}
}

// announce sends what the agent sends when it has the address.
func announce(t *testing.T, h labHost, a netip.Addr) {
	t.Helper()
	name := "vrrp.51"
	if a.Is6() {
		name = "vrrp.52"
	}
	h.inside(func() error {
		s, err := vrrplink.OpenAnnouncer(name)
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		return s.Announce(a)
	})
}

// A Backup router has the same device; it must hear the Active one, whose frames come from the same address. In the
// private mode of macvlan it does not.
func TestBackupHearsTheVirtualMAC(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	a, b := l.a.start(), l.b.start()
	a.sets(both)
	b.sets(both)
	for _, tt := range []struct {
		mac      [6]byte
		family   wire.Family
		src, vip netip.Addr
	}{
		{virtual4.MAC, wire.IPv4, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.100")},
		{virtual6.MAC, wire.IPv6, netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::52")},
	} {
		var from, to *vrrplink.Link
		id := vrrplink.ID{Interface: "eth0", Family: tt.family}
		l.a.inside(func() (err error) { from, err = vrrplink.Open(id, vrrplink.Options{}); return err })
		l.b.inside(func() (err error) { to, err = vrrplink.Open(id, vrrplink.Options{}); return err })
		defer func() { _ = from.Close() }()
		heard := make(chan wire.Packet, 16)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = to.Run(func(p *wire.Packet) bool { heard <- *p; return true })
		}()
		ad := wire.Advertisement{Version: wire.V3, VRID: 51, Priority: 100, Interval: 100, Addresses: []netip.Addr{tt.vip}}
		payload, err := ad.Append(nil, tt.src, tt.family.Group(), wire.ChecksumPseudo)
		if err != nil {
			t.Fatal(err)
		}
		if err := from.SendFrom(tt.mac, payload, tt.src, tt.family.Group(), 0); err != nil {
			t.Fatal(err)
		}
		select {
		case p := <-heard:
			if p.Src != tt.src {
				t.Errorf("%v: heard %v", tt.family, p.Src)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%v: the Backup router heard nothing", tt.family)
		}
		_ = to.Close()
		<-ended
	}
}
