package lab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"failoverd/integration/lab"
	"failoverd/vrrp/wire"

	"golang.org/x/net/ipv4"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// sendAdvert sends one advertisement from a node, by way of an ordinary raw socket.
func sendAdvert(t *testing.T, n *lab.Node, src netip.Addr, priority uint8) {
	t.Helper()
	a := wire.Advertisement{Version: wire.V3, VRID: 51, Priority: priority, Interval: 100, Addresses: []netip.Addr{addr("198.51.100.10")}}
	b := must(a.Append(nil, src, wire.IPv4.Group(), wire.ChecksumPseudo))(t)
	check(t, n.Do(func() error {
		c, err := net.ListenPacket("ip4:112", src.String())
		if err != nil {
			return err
		}
		defer c.Close()
		p := ipv4.NewPacketConn(c)
		nic, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if err := p.SetMulticastTTL(255); err != nil {
			return err
		}
		if err := p.SetMulticastInterface(nic); err != nil {
			return err
		}
		_, err = p.WriteTo(b, nil, &net.IPAddr{IP: wire.IPv4.Group().AsSlice()})
		return err
	}))
}

// bgpTalk opens a BGP connection from a to b, says what it is given, and closes it.
func bgpTalk(t *testing.T, p pair, messages ...[]byte) {
	t.Helper()
	var ln net.Listener
	check(t, p.b.Do(func() (err error) { ln, err = net.Listen("tcp4", "10.0.0.2:179"); return err }))
	defer ln.Close()
	received := make(chan int)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			received <- 0
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		received <- len(b)
	}()
	var c net.Conn
	check(t, p.a.Do(func() (err error) {
		c, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp4", "10.0.0.2:179")
		return err
	}))
	total := 0
	for _, m := range messages {
		total += must(c.Write(m))(t)
	}
	check(t, c.Close())
	if n := <-received; n != total {
		t.Fatalf("received %d octets of %d", n, total)
	}
}

func bgpMessage(kind byte, body ...byte) []byte {
	m := slices.Repeat([]byte{0xff}, 16)
	return append(append(m, 0, byte(19+len(body)), kind), body...)
}

var (
	announceService = bgpMessage(2, 0, 0, 0, 27,
		0x40, 1, 1, 0, // ORIGIN
		0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf5, // AS_PATH 64501
		0x40, 3, 4, 203, 0, 113, 2, // NEXT_HOP
		0x80, 4, 4, 0, 0, 0, 50, // MED
		24, 198, 51, 100)
	withdrawService = bgpMessage(2, 0, 4, 24, 198, 51, 100, 0, 0)
)

func TestCaptureShowsTheOrder(t *testing.T) {
	l := lab.ForTest(t)
	p := newPair(t, l)
	// What a node does is put in order where it does it: on the way to another node a frame may take its time.
	capture, watch, far := must(p.a.Capture("eth0"))(t), must(p.a.Watch(nil))(t), must(p.b.Capture("eth0"))(t)
	start := time.Now().Round(0)
	// The order in which a router takes over, and then lets go.
	sendAdvert(t, p.a, addr("10.0.0.1"), 200)
	check(t, p.a.AddAddress("eth0", "198.51.100.10/32"))
	check(t, p.a.Do(func() error { return gratuitousARP("eth0", addr("198.51.100.10")) }))
	cut := 30 // a message in two segments
	bgpTalk(t, p, bgpMessage(4), announceService[:cut], announceService[cut:], withdrawService)
	check(t, p.a.DeleteAddress("eth0", "198.51.100.10/32"))
	sendAdvert(t, p.a, addr("10.0.0.1"), 0)

	steps := []lab.Step{
		{Node: "a", Parts: []string{"vrrp 10.0.0.1 > 224.0.0.18 version 3 vrid 51 priority 200"}},
		{Node: "a", Parts: []string{"address added 198.51.100.10/32"}},
		{Node: "a", Parts: []string{"arp announces 198.51.100.10"}},
		{Node: "a", Parts: []string{"SYN"}},
		{Node: "a", Parts: []string{"bgp 10.0.0.1 > 10.0.0.2 KEEPALIVE"}},
		{Node: "a", Parts: []string{"bgp 10.0.0.1 > 10.0.0.2 UPDATE announce 198.51.100.0/24"}},
		{Node: "a", Parts: []string{"withdraw 198.51.100.0/24"}},
		{Node: "a", Parts: []string{"FIN"}},
		{Node: "a", Parts: []string{"address removed 198.51.100.10/32"}},
		{Node: "a", Parts: []string{"priority 0"}},
	}
	var err error
	_ = lab.WaitFor(t.Context(), 5*time.Second, "the last packet", func() bool {
		err = lab.InOrder(lab.Merge(capture.Sightings(), watch.Sightings()), start, steps...)
		return err == nil
	})
	check(t, err)
	swapped := []lab.Step{steps[5], steps[2]}
	if err := lab.InOrder(lab.Merge(capture.Sightings(), watch.Sightings()), start, swapped...); err == nil {
		t.Error("a wrong order passes")
	}
	// The last frame may still be on its way to the other node, and each capture has a reader of its own.
	for _, c := range []*lab.Capture{capture, far} {
		_ = lab.WaitFor(t.Context(), 5*time.Second, "both advertisements", func() bool { return adverts(c) >= 2 })
	}
	checkFrames(t, capture, "a", start)
	checkFrames(t, far, "b", start)
}

// adverts counts the advertisements that a capture has seen.
func adverts(c *lab.Capture) (n int) {
	for _, p := range c.Packets() {
		if p.VRRP != nil {
			n++
		}
	}
	return n
}

// checkFrames checks what a capture says of its frames, and that it has the two advertisements that a sent.
func checkFrames(t *testing.T, c *lab.Capture, node string, start time.Time) {
	t.Helper()
	for _, p := range c.Packets() {
		if p.Node != node || p.Interface != "eth0" || p.At.Before(start.Add(-time.Millisecond)) || p.At.After(time.Now()) {
			t.Errorf("%s: packet %+v", node, p)
		}
		if p.VRRP != nil && p.Outgoing != (node == "a") {
			t.Errorf("%s: advertisement of a has outgoing=%t", node, p.Outgoing)
		}
	}
	if n := adverts(c); n != 2 || c.Lost() != 0 {
		t.Errorf("%s: %d advertisements, %d frames lost; want 2 and none", node, n, c.Lost())
	}
}

func TestCaptureFilter(t *testing.T) {
	l := lab.ForTest(t)
	p := newPair(t, l)
	c := must(p.b.Capture("eth0"))(t)
	must(p.b.Respond())(t)
	for _, to := range []string{"10.0.0.2", "fd00::2"} {
		probe := must(p.a.Probe(addr(to)))(t)
		_, _, err := probe.WaitForAnswer(time.Now(), 10*time.Second)
		check(t, err)
		check(t, probe.Close())
	}
	kinds := make(map[string]int)
	check(t, lab.WaitFor(t.Context(), 5*time.Second, "ARP and neighbor discovery", func() bool {
		clear(kinds)
		for _, q := range c.Packets() {
			switch {
			case q.ARP != nil:
				kinds["arp"]++
			case q.Neighbor != nil:
				kinds["nd"]++
			}
		}
		return kinds["arp"] >= 2 && kinds["nd"] >= 2
	}))
	for _, f := range c.Frames() {
		if k := fmt.Sprintf("%x", f.Data[12:14]); k == "0800" {
			t.Errorf("an IPv4 packet that is neither VRRP nor BGP got through: %x", f.Data)
		}
	}
}
