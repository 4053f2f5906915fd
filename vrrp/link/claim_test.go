package link

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/vrrp/wire"
)

func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const thief = "02000000 0099"

func TestClaimsOfARP(t *testing.T) {
	claim := Claim{netip.MustParseAddr("192.0.2.10"), [6]byte{2, 0, 0, 0, 0, 0x99}}
	for name, c := range map[string]struct {
		packet string
		want   Claim
	}{
		"announcement":                    {"0001 0800 06 04 0001" + thief + "c000020a ffffffffffff c000020a", claim},
		"reply to somebody":               {"0001 0800 06 04 0002" + thief + "c000020a 020000000001 c0000201", claim},
		"question for another address":    {"0001 0800 06 04 0001" + thief + "c000020a 000000000000 c0000203", claim},
		"padded to the least of Ethernet": {"0001 0800 06 04 0001" + thief + "c000020a ffffffffffff c000020a" + strings.Repeat("00", 18), claim},
		"probe":                           {"0001 0800 06 04 0001" + thief + "00000000 000000000000 c000020a", Claim{}},
		"group as the sender":             {"0001 0800 06 04 0001 010000000099 c000020a ffffffffffff c000020a", Claim{}},
		"no sender":                       {"0001 0800 06 04 0001 000000000000 c000020a ffffffffffff c000020a", Claim{}},
		"reverse ARP":                     {"0001 0800 06 04 0003" + thief + "c000020a ffffffffffff c000020a", Claim{}},
		"not Ethernet":                    {"0006 0800 06 04 0001" + thief + "c000020a ffffffffffff c000020a", Claim{}},
		"cut short":                       {"0001 0800 06 04 0001" + thief + "c000020a ffffffffffff c00002", Claim{}},
		"nothing":                         {"", Claim{}},
	} {
		got, ok := parseARP(octets(t, c.packet))
		if want := c.want != (Claim{}); ok != want || ok && got != c.want {
			t.Errorf("%s: %v %t, want %v %t", name, got, ok, c.want, want)
		}
	}
}

func TestClaimsOfNeighborAdvertisements(t *testing.T) {
	const target = "20010db8 00000000 00000000 00000010"
	claim := Claim{netip.MustParseAddr("2001:db8::10"), [6]byte{2, 0, 0, 0, 0, 0x99}}
	for name, c := range map[string]struct {
		packet string
		want   Claim
	}{
		"unsolicited":             {"88 00 0000 20000000" + target + "02 01" + thief, claim},
		"solicited, of a router":  {"88 00 0000 e0000000" + target + "02 01" + thief, claim},
		"without the option":      {"88 00 0000 20000000" + target, Claim{}},
		"source option instead":   {"88 00 0000 20000000" + target + "01 01" + thief, Claim{}},
		"group as the host":       {"88 00 0000 20000000" + target + "02 01 330000000001", Claim{}},
		"option of no length":     {"88 00 0000 20000000" + target + "02 00" + thief, Claim{}},
		"solicitation":            {"87 00 0000 00000000" + target + "02 01" + thief, Claim{}},
		"cut short in the target": {"88 00 0000 20000000 20010db8", Claim{}},
		"nothing":                 {"", Claim{}},
	} {
		got, ok := parseNA(octets(t, c.packet))
		if want := c.want != (Claim{}); ok != want || ok && got != c.want {
			t.Errorf("%s: %v %t, want %v %t", name, got, ok, c.want, want)
		}
	}
}

func FuzzClaims(f *testing.F) {
	f.Add(octets(f, "0001 0800 06 04 0001"+thief+"c000020a ffffffffffff c000020a"))
	f.Add(octets(f, "88 00 0000 20000000 20010db8 00000000 00000000 00000010 02 01"+thief))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, parse := range map[string]func([]byte) (Claim, bool){"ARP": parseARP, "NA": parseNA} {
			c, ok := parse(b)
			if ok && (!c.Address.IsValid() || c.Address.IsUnspecified() || c.MAC[0]&1 != 0) {
				t.Errorf("%s: %v passes for a claim", name, c)
			}
		}
	})
}

// hearClaims listens in A until the test ends.
func hearClaims(t *testing.T, n namespace, addrs ...netip.Addr) chan Claim {
	t.Helper()
	var c *Claims
	n.do(t, func() (err error) {
		c, err = OpenClaims(ID{ifA, wire.FamilyOf(addrs[0])}, addrs)
		return err
	})
	heard, ended := make(chan Claim, 64), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // and never unlocked, as in do
		file, err := os.Open("/run/netns/" + string(n))
		if err == nil {
			defer file.Close()
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			t.Errorf("in %s: %v", n, err)
			return
		}
		c.Run(func(x Claim) bool { heard <- x; return true })
	}()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("Run does not return")
		}
	})
	return heard
}

// TestClaimsOnTheWire: what another host announces is heard once; what this one announces, and what is of no interest, is not.
func TestClaimsOnTheWire(t *testing.T) {
	for _, list := range [][]netip.Addr{vips4, vips6} {
		t.Run(wire.FamilyOf(list[0]).String(), func(t *testing.T) {
			lab := newLab(t)
			lab.a.sysctl(t, "ipv6/conf/"+ifA+"/forwarding", "1")
			lab.b.sysctl(t, "ipv6/conf/"+ifB+"/forwarding", "1")
			vip, other := list[1], list[0]
			heard := hearClaims(t, lab.a, vip)
			announce(t, lab, announcer(t, lab.a, ifA), vip)

			b := announcer(t, lab.b, ifB)
			lab.b.do(t, func() error { return b.Announce(other) })
			lab.b.do(t, func() error { return b.Announce(vip) })
			select {
			case c := <-heard:
				if c != (Claim{vip, macB}) {
					t.Errorf("heard %v, want %v of %v", c, vip, macB)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("the claim is not heard")
			}
			select {
			case c := <-heard:
				t.Errorf("heard %v as well", c)
			case <-time.After(200 * time.Millisecond):
			}
		})
	}
}

// TestForwardedClaims: what a router may have forwarded is not believed.
func TestForwardedClaims(t *testing.T) {
	lab := newLab(t)
	vip := vips6[1]
	heard := hearClaims(t, lab.a, vip)
	far := newTap(t, lab.b, ifB)
	for _, hops := range []uint8{64, 254, 255} {
		na, err := unsolicitedNA([]byte{2, 0, 0, 0, 0, hops}, vip, false)
		if err != nil {
			t.Fatal(err)
		}
		_, p := ipPacket(globalB, globalA, hops, na)
		p[6] = unix.IPPROTO_ICMPV6
		sum := internetChecksum(globalB.AsSlice(), globalA.AsSlice(), []byte{0, byte(len(na)), 0, unix.IPPROTO_ICMPV6}, na)
		binary.BigEndian.PutUint16(p[ip6Header+2:], sum)
		far.inject(ethernet(macA, macB, unix.ETH_P_IPV6, p))
	}
	select {
	case c := <-heard:
		if c.MAC[5] != 255 {
			t.Errorf("believed at a hop limit of %d", c.MAC[5])
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the claim is not heard")
	}
}

// TestOwnClaims: another interface of this host on the same LAN claims nothing.
func TestOwnClaims(t *testing.T) {
	lab := newLab(t)
	heard := hearClaims(t, lab.a, vips4[0])
	lab.a.ip(t, "link add fo-own address 02:00:00:00:00:99 type veth peer name fo-other")
	far := newTap(t, lab.b, ifB)
	for _, last := range []byte{0x99, 0x98} {
		frame, err := gratuitousARP([]byte{2, 0, 0, 0, 0, last}, vips4[0])
		if err != nil {
			t.Fatal(err)
		}
		far.inject(frame)
	}
	select {
	case c := <-heard:
		if c.MAC[5] != 0x98 {
			t.Errorf("%x is this host", c.MAC)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the claim is not heard")
	}
}

// TestManyClaims: of a whole network's addresses in one burst, all are heard.
func TestManyClaims(t *testing.T) {
	lab := newLab(t)
	var addrs []netip.Addr
	for i := range 1000 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	var c *Claims
	lab.a.do(t, func() (err error) {
		c, err = OpenClaims(ID{ifA, wire.IPv4}, addrs)
		return err
	})
	defer c.Close()
	far := newTap(t, lab.b, ifB)
	for _, a := range addrs {
		frame, err := gratuitousARP(macB[:], a)
		if err != nil {
			t.Fatal(err)
		}
		far.inject(frame)
	}
	heard, n := make(chan Claim), 0
	go c.Run(func(x Claim) bool { heard <- x; return true })
	for limit := time.After(5 * time.Second); n < len(addrs); n++ {
		select {
		case <-heard:
		case <-limit:
			t.Fatalf("%d of %d claims heard", n, len(addrs))
		}
	}
}

func TestClaimsErrors(t *testing.T) {
	lab := newLab(t)
	for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
		lab.a.do(t, func() error {
			if _, err := OpenClaims(ID{"fo-none", f}, nil); err == nil || !strings.Contains(err.Error(), ErrNoInterface.Error()) {
				t.Errorf("%v: %v, want %v", f, err, ErrNoInterface)
			}
			return nil
		})
	}
	if _, err := OpenClaims(ID{ifA, 5}, nil); err == nil {
		t.Error("family 5 is listened to")
	}
}
