package kernel

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// neighbor is a host on the other end of eth0, made of a packet socket: it asks who has an address.
type neighbor struct {
	t     *testing.T
	fd    int
	index int
	mac   net.HardwareAddr
}

func newNeighbor(t *testing.T, w *realWorld, dev string) *neighbor {
	t.Helper()
	l := w.link(dev)
	n := &neighbor{t: t, index: l.Attrs().Index, mac: l.Attrs().HardwareAddr}
	var err error
	w.ns.do(func() {
		n.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
	})
	w.check(err)
	t.Cleanup(func() { _ = unix.Close(n.fd) })
	w.check(unix.Bind(n.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: n.index}))
	w.check(unix.SetsockoptTimeval(n.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000}))
	return n
}

func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

// asks sends the frame and reports whether an answer arrives within the time.
func (n *neighbor) asks(frame []byte, wait time.Duration, answer func(frame []byte) bool) bool {
	n.t.Helper()
	if err := unix.Sendto(n.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: n.index}); err != nil {
		n.t.Fatal(err)
	}
	b := make([]byte, 2048)
	for end := time.Now().Add(wait); time.Now().Before(end); {
		size, from, err := unix.Recvfrom(n.fd, b, 0)
		if err != nil {
			continue
		}
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING && answer(b[:size]) {
			return true
		}
	}
	return false
}

// whoHas asks by ARP.
func (n *neighbor) whoHas(a netip.Addr, wait time.Duration) bool {
	f := append(bytes.Repeat([]byte{0xff}, 6), n.mac...)
	f = append(f, 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1)
	f = append(append(f, n.mac...), 192, 0, 2, 99)
	f = append(append(f, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
	return n.asks(f, wait, func(b []byte) bool {
		return len(b) >= 42 && b[12] == 8 && b[13] == 6 && b[21] == 2 && bytes.Equal(b[28:32], a.AsSlice())
	})
}

// solicits asks by neighbor solicitation.
func (n *neighbor) solicits(a netip.Addr, wait time.Duration) bool {
	raw := a.As16()
	source := netip.MustParseAddr("fe80::99").As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], raw[13:])
	icmp := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, raw[:]...)
	icmp = append(append(icmp, 1, 1), n.mac...)
	pseudo := append(append(source[:], group[:]...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, 58)
	var sum uint32
	for b := append(pseudo, icmp...); len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum+sum>>16))
	f := append([]byte{0x33, 0x33, group[12], group[13], group[14], group[15]}, n.mac...)
	f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(icmp)), 58, 255)
	f = append(append(append(f, source[:]...), group[:]...), icmp...)
	return n.asks(f, wait, func(b []byte) bool {
		return len(b) >= 78 && b[12] == 0x86 && b[20] == 58 && b[54] == 136 && bytes.Equal(b[62:78], raw[:])
	})
}

// inGroup reports whether dev is in the solicited-node group of a.
func inGroup(w *realWorld, dev string, a netip.Addr) bool {
	raw := a.As16()
	var b []byte
	var err error
	w.ns.do(func() { b, err = os.ReadFile("/proc/thread-self/net/igmp6") })
	w.check(err)
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) > 2 && words[1] == dev && words[2] == "ff0200000000000000000001ff"+hex.EncodeToString(raw[13:]) {
			return true
		}
	}
	return false
}

// V3-HOST-01, V3-HOST-02: a Backup answers nobody who asks for the address, and is not in its solicited-node group.
func TestV3_HOST_01_V3_HOST_02_BackupIsSilent(t *testing.T) {
	t.Parallel()
	w := newRealWorld(t)
	w.addLink("eth0")
	w.addAddress("192.0.2.1/24", "eth0")
	n := newNeighbor(t, w, "peth0")
	v4, v6 := address("192.0.2.10/24", "eth0", 0), address("2001:db8::10/64", "eth0", 0)
	r := start(t, w, Options{})
	const patience = 300 * time.Millisecond
	silent := func(when string) {
		t.Helper()
		if n.whoHas(v4.Prefix.Addr(), patience) {
			t.Errorf("%s: ARP reply", when)
		}
		if n.solicits(v6.Prefix.Addr(), patience) {
			t.Errorf("%s: neighbor advertisement", when)
		}
		if inGroup(w, "eth0", v6.Prefix.Addr()) {
			t.Errorf("%s: in the solicited-node group", when)
		}
	}
	r.worker.Set(failover.DesiredAddresses{Generation: 1})
	within(t, soon, "answered", func() bool { return r.present(1) })
	silent("before")
	r.worker.Set(failover.DesiredAddresses{Generation: 2, Addresses: []failover.Address{v4, v6}})
	within(t, soon, "present", func() bool { return r.present(2, v4.Key(), v6.Key()) })
	if !n.whoHas(v4.Prefix.Addr(), soon) || !n.solicits(v6.Prefix.Addr(), soon) || !inGroup(w, "eth0", v6.Prefix.Addr()) {
		t.Error("an Active router does not answer: the test shows nothing")
	}
	r.worker.Set(failover.DesiredAddresses{Generation: 3})
	within(t, soon, "absent", func() bool { return r.present(3) })
	silent("after")
}

// V3-ND-08: an IPv6 address is usable as soon as it is reported, also while the peer still has it.
func TestV3_ND_08_UsableAtOnceWhilePeerIsActive(t *testing.T) {
	t.Parallel()
	w := newRealWorld(t)
	other := newRealWorld(t)
	var file *os.File
	var err error
	other.ns.do(func() { file, err = os.Open(threadNamespace) })
	w.check(err)
	defer func() { _ = file.Close() }()
	w.check(w.h.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(file.Fd()),
	}))
	w.setUp("eth0", true)
	other.setUp("eth0", true)
	within(t, soon, "carrier", func() bool { return w.link("eth0").Attrs().RawFlags&unix.IFF_RUNNING != 0 })
	other.addAddress("2001:db8::10/64", "eth0")
	other.addAddress("2001:db8::11/64", "eth0")

	r := start(t, w, Options{})
	vip := address("2001:db8::10/64", "eth0", 30*time.Second)
	began := time.Now()
	r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{vip}})
	for !r.present(1, vip.Key()) {
		if time.Since(began) > soon {
			t.Fatalf("not present: %+v", r.last())
		}
	}
	t.Logf("present after %v", time.Since(began))
	bound := bind(w, vip.Prefix.Addr())
	if bound != nil {
		t.Errorf("bind at once: %v", bound)
	}
	if !shows(w, "2001:db8::10/64 dev eth0 nodad proto 112 leased") {
		t.Errorf("%q", w.show())
	}
	staysFor(t, 2*time.Second, "usable", func() bool { return r.present(1, vip.Key()) && bind(w, vip.Prefix.Addr()) == nil })

	// The contrast: with duplicate detection the kernel refuses it, and the report says so.
	dad := address("2001:db8::11/64", "eth0", 30*time.Second)
	permanent := address("2001:db8::10/64", "eth0", 0)
	dad.DAD = true
	r.worker.Set(failover.DesiredAddresses{Generation: 2, Addresses: []failover.Address{permanent, dad}})
	within(t, 5*time.Second, "detected", func() bool {
		return r.present(2, permanent.Key()) && strings.HasPrefix(r.last().Failed[dad.Key()], "another host has the address")
	})
}

// bind binds a socket to the address.
func bind(w *realWorld, a netip.Addr) (err error) {
	w.ns.do(func() {
		var fd int
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return
		}
		defer func() { _ = unix.Close(fd) }()
		err = unix.Bind(fd, &unix.SockaddrInet6{Addr: a.As16(), Port: 0})
	})
	return err
}
