package integration

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/integration/lab"
	"failoverd/vrrp/wire"
)

// labKeys are keys of the labs, as a configuration has them.
var labKeys = map[int]string{1: "the-first-key-of-the-lab-0123456789", 2: "hex:" + strings.Repeat("5a", 32)}

// signedInstance is a unicast instance of one of two hosts, with some of the keys.
func signedInstance(own, peer string, priority, active int, keys ...int) string {
	var b strings.Builder
	for _, id := range keys {
		fmt.Fprintf(&b, "        key %d %s\n", id, labKeys[id])
	}
	return lines("vrrp_instance SIGNED {", "    interface eth0", "    virtual_router_id 51", "    version 3",
		fmt.Sprintf("    priority %d", priority), "    advert_int 0.3", "    unicast_src_ip "+own,
		"    unicast_peer { "+peer+" }", "    virtual_ipaddress { 192.0.2.10/32 }",
		"    auth_hmac {", b.String()+fmt.Sprintf("        active_key %d", active), "    }", "}")
}

// spoof sends an IP packet of protocol 112 from a node, whatever its source.
func spoof(t *testing.T, n *lab.Node, src, dst netip.Addr, payload []byte) {
	t.Helper()
	packet := make([]byte, 20, 20+len(payload))
	packet[0], packet[1], packet[8], packet[9] = 0x45, 0xc0, wire.TTL, wire.Protocol // the kernel fills in the rest
	copy(packet[12:], src.AsSlice())
	copy(packet[16:], dst.AsSlice())
	packet = append(packet, payload...)
	must(t, n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: dst.As4()})
	}))
}

// forgeries are what somebody makes of an advertisement that he has heard, with checksums as they must be.
func forgeries(t *testing.T, heard *wire.Packet, dst netip.Addr) map[string][]byte {
	t.Helper()
	encode := func(priority uint8, trailer *wire.Trailer) []byte {
		p := *heard
		p.Priority = priority
		b, err := p.AppendSigned(nil, p.Src, dst, p.Checksum, trailer)
		must(t, err)
		return b
	}
	fresh := heard.Trailer
	fresh.Sequence += 1 << 32
	again := encode(heard.Priority, &heard.Trailer)
	return map[string][]byte{
		"replay":          again,
		"a release":       encode(wire.PriorityRelease, &heard.Trailer),
		"an owner":        encode(wire.PriorityOwner, &heard.Trailer),
		"another moment":  encode(wire.PriorityOwner, &fresh),
		"no trailer":      encode(wire.PriorityOwner, nil),
		"half a trailer":  again[:len(again)-14],
		"without its end": again[:len(again)-1],
	}
}

// TestForgedAdverts: of two nodes with auth_hmac each keeps its role, whatever somebody on the LAN makes of what he has
// heard, in the name of either; and the adverts that are true keep arriving.
func TestForgedAdverts(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	addressA, addressB := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	heardByB, err := n.b.Capture("eth0")
	must(t, err)
	a := startAgent(t, n.lab, n.a, signedInstance("192.0.2.1", "192.0.2.2", 200, 1, 1))
	b := startAgent(t, n.lab, n.b, signedInstance("192.0.2.2", "192.0.2.1", 100, 1, 1))
	a.waitState("MASTER", 5*time.Second)
	b.waitState("BACKUP", 2*time.Second)
	time.Sleep(1500 * time.Millisecond)
	before := map[*agent]uint64{a: moves(a), b: moves(b)}
	heard := lastSigned(t, heardByB, addressA)
	const rounds = 60
	for range rounds {
		for _, payload := range forgeries(t, heard, addressB) {
			spoof(t, n.c, addressA, addressB, payload)
		}
		stolen := *heard
		stolen.Src = addressB
		for _, payload := range forgeries(t, &stolen, addressA) {
			spoof(t, n.c, addressB, addressA, payload)
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(1500 * time.Millisecond) // a snapshot is at most a second old
	for _, x := range []*agent{a, b} {
		r := x.router()
		if moves(x) != before[x] {
			t.Errorf("%s moved: %+v", x.node, r.Counters)
		}
		t.Logf("%s: %v, drops %v", x.node, r.HMAC.Outcomes, r.Counters.Drops)
		for _, outcome := range []string{"missing", "bad_hmac"} {
			if r.HMAC.Outcomes[outcome] < rounds {
				t.Errorf("%s counted %d of %s", x.node, r.HMAC.Outcomes[outcome], outcome)
			}
		}
	}
	if o := b.router().HMAC.Outcomes; o["replay"] < 10 || o["replay"]+o["stale"] < rounds || o["ok"] < 10 {
		t.Errorf("b counted %v", o)
	}
	if skew := b.router().HMAC.SkewMS; skew == nil || *skew > 0 || *skew < -1000 {
		t.Errorf("skew %v of a node with the same clock", skew)
	}
	checkSecrecy(t, a, b)
}

// lastSigned returns the newest advertisement of an address in a capture.
func lastSigned(t *testing.T, c *lab.Capture, src netip.Addr) *wire.Packet {
	t.Helper()
	packets := c.Packets()
	for i := len(packets) - 1; i >= 0; i-- {
		if p := packets[i]; p.VRRP != nil && p.Src == src && p.VRRP.Drop == wire.Accepted && p.VRRP.Signed {
			return &p.VRRP.Packet
		}
	}
	t.Fatalf("nothing signed was heard of %v", src)
	return nil
}

// checkSecrecy looks for keys in what agents say.
func checkSecrecy(t *testing.T, agents ...*agent) {
	t.Helper()
	for _, x := range agents {
		status, _ := x.cli("status", "--json")
		detail, _ := x.cli("status", "SIGNED")
		if !strings.Contains(detail, "auth_hmac") {
			t.Errorf("status SIGNED:\n%s", detail)
		}
		for _, key := range labKeys {
			if strings.Contains(status+detail+logOf(t, x.proc), strings.TrimPrefix(key, "hex:")) {
				t.Errorf("%s tells a key", x.node)
			}
		}
	}
}

// TestKeyRotation replaces the key on a running pair, one node after the other. No advertisement is lost on the way, and
// nobody changes its role.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	node := func(own, peer string, priority int) func(active int, keys ...int) string {
		return func(active int, keys ...int) string { return signedInstance(own, peer, priority, active, keys...) }
	}
	confA, confB := node("192.0.2.1", "192.0.2.2", 200), node("192.0.2.2", "192.0.2.1", 100)
	a := startAgent(t, n.lab, n.a, confA(1, 1))
	b := startAgent(t, n.lab, n.b, confB(1, 1))
	a.waitState("MASTER", 5*time.Second)
	b.waitState("BACKUP", 2*time.Second)
	time.Sleep(1500 * time.Millisecond)
	movesA, movesB, drops := moves(a), moves(b), fmt.Sprint(b.router().Counters.Drops)
	for _, step := range []struct {
		who  *agent
		conf string
	}{
		{a, confA(1, 1, 2)}, {b, confB(1, 1, 2)}, {a, confA(2, 1, 2)}, {b, confB(2, 1, 2)}, {a, confA(2, 2)}, {b, confB(2, 2)},
	} {
		hash := step.who.status().Config.Hash
		must(t, os.WriteFile(step.who.conf, []byte(step.conf), 0o600))
		must(t, step.who.proc.Signal(syscall.SIGHUP))
		waitFor(t, 3*time.Second, "the reload of "+step.who.node.Name(), func() bool {
			s := step.who.status()
			return s != nil && s.Config.Hash != hash
		})
		time.Sleep(700 * time.Millisecond) // two advertisements
	}
	time.Sleep(1200 * time.Millisecond)
	if moves(a) != movesA || moves(b) != movesB || a.router().State != "MASTER" || b.router().State != "BACKUP" {
		t.Errorf("a is %s, b %s: %+v, %+v", a.router().State, b.router().State, a.router().Counters, b.router().Counters)
	}
	if got := fmt.Sprint(b.router().Counters.Drops); got != drops {
		t.Errorf("b dropped %s, before %s", got, drops)
	}
	if h := b.router().HMAC; h.ActiveKey != 2 || fmt.Sprint(h.Keys) != "[2]" || h.Outcomes["ok"] < 10 {
		t.Errorf("%+v", h)
	}
	checkSecrecy(t, a, b)
}
