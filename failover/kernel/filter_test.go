package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

// refused are the addresses of the lab's no_accept.
var refused = []failover.AddressKey{
	key("eth0", "192.0.2.100/24"), key("eth0", "2001:db8::100/64"), key("eth0", "fe80::100/64"),
}

// ruleset returns what nft says of our table, or "" when there is none.
func (h labHost) ruleset() string {
	out, err := h.try("nft list table inet failoverd")
	if err != nil {
		return ""
	}
	return out
}

func (h labHost) addVirtual() {
	h.run("ip addr add 192.0.2.100/24 dev eth0")
	h.run("ip addr add 2001:db8::100/64 dev eth0 nodad")
	h.run("ip addr add fe80::100/64 dev eth0 nodad")
}

// V3-HOST-08: a router that is Active and not the owner answers for its addresses, and to nothing that is sent there.
func TestV3_HOST_08_NoAccept(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.addVirtual()
	to := []string{"192.0.2.100", "2001:db8::100", "fe80::100%lan"}
	for _, a := range to {
		within(t, 10*time.Second, a+" answers", func() bool { return l.c.pings(a) })
	}
	r := l.a.start()
	r.sets(nil, refused...)
	l.c.run("ip neigh flush dev lan")
	for _, a := range to {
		if l.c.pings(a) {
			t.Errorf("%s accepts", a)
		}
		addr, _, _ := strings.Cut(a, "%")
		if got := l.c.run("ip neigh show " + addr + " dev lan"); !strings.Contains(got, "02:00:00:00:00:01") {
			t.Errorf("the client knows %s as %q", addr, got)
		}
	}
	for _, a := range []string{"192.0.2.1", "2001:db8::1", "fe80::1%lan"} {
		if !l.c.pings(a) {
			t.Errorf("the router's own %s does not answer", a)
		}
	}
	if l.a.pings("192.0.2.100") || l.a.pings("2001:db8::100") {
		t.Error("the router itself sees something else than its clients")
	}
	// Neighbors that ask by unicast, to make sure, get an answer as well.
	within(t, 20*time.Second, "the client is sure of its neighbor", func() bool {
		l.c.pings("2001:db8::100")
		return strings.Contains(l.c.run("ip neigh show 2001:db8::100 dev lan"), "REACHABLE")
	})
	if got := l.a.ruleset(); !strings.Contains(got, "counter packets") {
		t.Errorf("nothing is counted: %s", got)
	}
	r.stop()
	if got := l.a.ruleset(); got != "" {
		t.Errorf("left behind: %s", got)
	}
	for _, a := range to {
		if !l.c.pings(a) {
			t.Errorf("%s does not answer after the end", a)
		}
	}
}

// A link-local address is refused where it is virtual, and is another address elsewhere.
func TestNoAcceptOfALinkLocalAddressIsOfOneInterface(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.run("ip addr add fe80::100/64 dev eth0 nodad")
	r := l.a.start()
	r.sets(nil, key("eth1", "fe80::100/64"))
	if !l.c.pings("fe80::100%lan") {
		t.Error("refused on another interface")
	}
	r.sets(nil, key("eth0", "fe80::100/64"))
	if l.c.pings("fe80::100%lan") {
		t.Error("accepted")
	}
}

// What is refused before and after a change is refused throughout.
func TestFilterIsReplacedInOneStep(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.addVirtual()
	r := l.a.start()
	r.sets(nil, refused...)
	const packets = 200
	var out []byte
	running := make(chan struct{})
	go func() {
		defer close(running)
		out, _ = exec.Command("ip", "netns", "exec", l.c.name, "ping", "-n", "-q", "-i", "0.005", "-c", fmt.Sprint(packets), "-W", "1", "192.0.2.100").CombinedOutput()
	}()
	changes := 0
	for busy := true; busy; changes++ {
		more := append([]failover.AddressKey{key("eth0", fmt.Sprintf("198.51.100.%d/32", changes%250))}, refused...)
		if rep := r.set(nil, more...); rep.Filter != "" {
			t.Fatalf("report %+v", rep)
		}
		select {
		case <-running:
			busy = false
		default:
		}
	}
	if !strings.Contains(string(out), fmt.Sprintf("%d packets transmitted, 0 received", packets)) {
		t.Errorf("during %d changes: %s", changes, out)
	}
}

func TestFilterHoldsThousandsOfAddresses(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.addVirtual()
	r := l.a.start()
	many := append([]failover.AddressKey(nil), refused...)
	for i := range 4000 {
		a := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i), 14: byte(i >> 8), 7: 1})
		many = append(many, failover.AddressKey{Interface: "eth0", Prefix: netip.PrefixFrom(a, 128)}, numbered(i, "eth0", 0).Key())
	}
	began := time.Now()
	r.sets(nil, many...)
	t.Logf("%d addresses in %v", len(many), time.Since(began))
	if l.c.pings("192.0.2.100") || l.c.pings("2001:db8::100") {
		t.Error("accepted")
	}
	r.sets(nil)
	if got := l.a.ruleset(); got != "" {
		t.Errorf("nobody wants it: %s", got)
	}
}

// The kernel protects the table of a living process: a firewall script that begins with "flush ruleset" does not open
// anything.
func TestFilterSurvivesAFlush(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.addVirtual()
	r := l.a.start()
	r.sets(nil, refused...)
	l.a.run("nft flush ruleset")
	if l.c.pings("192.0.2.100") {
		t.Error("open after a flush")
	}
	if _, err := l.a.try("nft delete table inet failoverd"); err == nil {
		t.Error("somebody else could delete the table")
	}
}

// Without the owner flag (Linux before 5.12), what somebody removes is put back.
func TestFilterWithoutAnOwnerIsPutBack(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.addVirtual()
	r := l.a.startWith(func(d *Devices) { d.filter.flags = 0 })
	r.sets([]failover.Device{virtual4}, refused...)
	for _, by := range []string{
		"flush ruleset", "delete table inet failoverd", "flush table inet failoverd", "flush set inet failoverd addresses4",
		"add table inet other", // nothing to do with us
	} {
		l.a.run("nft " + by)
		within(t, filterPoll+soon, "closed again after "+by, func() bool {
			got := l.a.ruleset()
			return strings.Contains(got, "192.0.2.100") && strings.Contains(got, "@addresses4") && strings.Contains(got, "vrrp.51")
		})
		if l.c.pings("192.0.2.100") {
			t.Errorf("after %s: accepted", by)
		}
	}
	r.stop()
	if got := l.a.ruleset(); got != "" {
		t.Errorf("left behind: %s", got)
	}
	if _, err := l.a.try("nft list table inet other"); err != nil {
		t.Errorf("the table of somebody else is gone: %v", err)
	}
}

func TestFilterOfADeadPredecessorIsReplaced(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.addVirtual()
	l.a.run("nft add table inet failoverd")
	l.a.run("nft add chain inet failoverd old { type filter hook input priority 0 ; policy drop ; }")
	r := l.a.start()
	r.sets(nil, refused[1])
	if got := l.a.ruleset(); strings.Contains(got, "chain old") || !strings.Contains(got, "2001:db8::100") {
		t.Errorf("table: %s", got)
	}
	if !l.c.pings("192.0.2.100") || l.c.pings("2001:db8::100") {
		t.Error("not what is wanted")
	}
}

// A process that dies, or forgets, leaves no filter.
func TestFilterEndsWithItsSocket(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.inside(func() error {
		d, err := NewDevices(slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		d.filter.keep(newFilterContent(nil, refused, false), time.Now())
		if d.filter.why != "" {
			t.Errorf("filter: %s", d.filter.why)
		}
		if l.a.ruleset() == "" {
			t.Error("there is no table")
		}
		return d.Close()
	})
	if got := l.a.ruleset(); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

func TestFilterOfALivingProcessIsTold(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	first := l.a.start()
	first.sets(nil, refused...)
	second := l.a.start()
	if got := second.set(nil, refused...).Filter; !strings.Contains(got, "belongs to another process") {
		t.Errorf("filter: %q", got)
	}
	first.stop()
	within(t, filterPoll+soon, "had when the other is gone", func() bool { rep, _ := second.last(); return rep.Filter == "" })
	if l.a.ruleset() == "" {
		t.Error("there is no table")
	}
}

// Run without a Set touches nothing: what is wanted is not known yet.
func TestDevicesBeforeTheFirstSet(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	l.a.run("nft add table inet failoverd")
	l.a.inside(func() error {
		d, err := NewDevices(slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := d.Run(ctx, func(r failover.DevicesReported) { t.Errorf("report %+v", r) }); err != nil {
			return err
		}
		return d.Close()
	})
	if l.a.ruleset() == "" {
		t.Error("the table is gone")
	}
}
