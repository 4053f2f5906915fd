package integration

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/integration/lab"
	"failoverd/vrrp/wire"
)

// inject sends IP protocol 112 payloads from a node to the group, as a stranger on the LAN would.
func inject(t *testing.T, n *lab.Node, ttl int, payload []byte) {
	t.Helper()
	must(t, n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, wire.Protocol)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		src := [4]byte{192, 0, 2, 3}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, ttl),
			unix.SetsockoptInet4Addr(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, src),
			unix.Bind(fd, &unix.SockaddrInet4{Addr: src}),
			unix.Sendto(fd, payload, 0, &unix.SockaddrInet4{Addr: [4]byte{224, 0, 0, 18}}))
	}))
}

// TestMalformedAdverts: what a stranger sends and a check refuses changes nothing but counters: the MASTER keeps its
// rhythm, the BACKUP stays, the log stays short. (keepalived's MASTER falls silent under five bad checksums a second.)
func TestMalformedAdverts(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.3"))
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.3"))
	a.waitState("MASTER", 5*time.Second)
	b.waitState("BACKUP", 2*time.Second)
	time.Sleep(1500 * time.Millisecond)
	before := map[*agent]uint64{a: moves(a), b: moves(b)}
	good := advert(t, wire.V3, 51, 250)
	spoil := func(i int, v byte) []byte {
		p := append([]byte(nil), good...)
		p[i] ^= v
		return p
	}
	kinds := []struct {
		ttl     int
		payload []byte
	}{
		{255, spoil(7, 1)},    // checksum
		{254, good},           // TTL
		{255, spoil(0, 0x50)}, // version
		{255, spoil(0, 2)},    // type
		{255, good[:10]},      // truncated
		{255, good[:4]},       // shorter than the header
		{255, append(append([]byte(nil), good...), 0, 0)}, // trailing
		{255, advert(t, wire.V3, 52, 250)},                // another VRID
		{255, advert(t, wire.V2, 51, 250)},                // the other version
		{255, nil},
	}
	begin := time.Now()
	const rounds = 60
	for range rounds {
		for _, k := range kinds {
			inject(t, n.c, k.ttl, k.payload)
		}
		time.Sleep(50 * time.Millisecond)
	}
	end := time.Now()
	last := begin
	for _, p := range n.adverts("192.0.2.1", begin) {
		if gap := p.At.Sub(last); gap > 300*time.Millisecond+slack {
			t.Errorf("%v without an advertisement of the MASTER", gap)
		}
		last = p.At
	}
	if end.Sub(last) > 300*time.Millisecond+slack {
		t.Errorf("the MASTER fell silent %v before the end", end.Sub(last))
	}
	time.Sleep(1500 * time.Millisecond) // a snapshot is at most a second old
	for _, x := range []*agent{a, b} {
		s := x.status()
		if moves(x) != before[x] {
			t.Errorf("%s moved: %+v", x.node, s.Routers[0].Counters)
		}
		drops := s.Routers[0].Counters.Drops
		for _, l := range s.Links {
			for k, v := range l.Drops {
				drops[k] += v
			}
		}
		for _, reason := range []string{"checksum", "ttl", "version", "type", "truncated_address_list", "short_header", "trailing_bytes", "vrid_unknown"} {
			if drops[reason] < rounds {
				t.Errorf("%s counted %d of %s, want at least %d; all: %v", x.node, drops[reason], reason, rounds, drops)
			}
		}
		if log := logOf(t, x.proc); len(log) > 20000 {
			t.Errorf("%s wrote %d octets of log about %d packets", x.node, len(log), rounds*len(kinds))
		}
	}
}

// moves counts how often an agent's router gained or lost the role.
func moves(a *agent) uint64 {
	c := a.router().Counters
	return c.BecameMaster + c.ReleasedMaster
}

// advert encodes an advertisement of the client's.
func advert(t *testing.T, v wire.Version, vrid, priority uint8) []byte {
	t.Helper()
	a := wire.Advertisement{
		Version: v, VRID: vrid, Priority: priority, Interval: 100, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")},
	}
	b, err := a.Append(nil, netip.MustParseAddr("192.0.2.3"), wire.IPv4.Group(), wire.ChecksumPseudo)
	must(t, err)
	return b
}

// TestLowerPriorityFlood: an Active router answers a lower priority at once, but a flood of those costs a bounded number
// of answers.
func TestLowerPriorityFlood_V3_FSM_15_V3_FSM_17(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "1"))
	a.waitState("MASTER", 6*time.Second)
	time.Sleep(100 * time.Millisecond)
	one := time.Now()
	inject(t, n.c, 255, advert(t, wire.V3, 51, 100))
	answered := n.firstAdvert("192.0.2.1", one).Sub(one)
	if answered > slack {
		t.Errorf("a lower priority was answered after %v", answered)
	}
	t.Logf("answered after %v", answered)
	begin := time.Now()
	for time.Since(begin) < time.Second {
		inject(t, n.c, 255, advert(t, wire.V3, 51, 100))
	}
	time.Sleep(50 * time.Millisecond)
	took := time.Since(begin)
	if n := len(n.adverts("192.0.2.1", begin)); n > int(took/(10*time.Millisecond))+5 {
		t.Errorf("%d answers in %v, want at most one in 10 ms", n, took)
	}
	garps := 0
	for _, p := range n.capture.Packets() {
		if p.ARP != nil && p.ARP.Gratuitous() && p.At.After(begin) {
			garps++
		}
	}
	if garps == 0 {
		t.Error("a rival was heard, and the address was not announced again")
	}
	if garps > 60 {
		t.Errorf("%d gratuitous ARPs in answer to a flood", garps)
	}
}
