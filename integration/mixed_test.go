package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// twoLANs is a pair of routers on two LANs, with a virtual address on each, in one sync group.
type twoLANs struct {
	*lan
	outA, outB *lab.Port
	second     netip.Addr
}

func newTwoLANs(t *testing.T) *twoLANs {
	t.Helper()
	g := &twoLANs{lan: newLAN(t, false), second: netip.MustParseAddr("203.0.113.10")}
	sw, err := g.lab.Switch("lan2")
	must(t, err)
	g.outA, err = sw.Plug(g.a, "eth1")
	must(t, err)
	g.outB, err = sw.Plug(g.b, "eth1")
	must(t, err)
	must(t, g.a.AddAddress("eth1", "203.0.113.1/24"))
	must(t, g.b.AddAddress("eth1", "203.0.113.2/24"))
	return g
}

// group is a sync group of two instances, in keepalived's words.
func (g *twoLANs) group(priority int) string {
	text := lines("vrrp_sync_group G {", "    group {", "        IN", "        OUT", "    }", "}")
	for _, i := range []struct {
		name, dev, vip string
		vrid           int
	}{{"IN", "eth0", "192.0.2.10/32", 51}, {"OUT", "eth1", "203.0.113.10/32", 52}} {
		text += lines("vrrp_instance "+i.name+" {", "    state BACKUP", "    interface "+i.dev, fmt.Sprintf("    virtual_router_id %d", i.vrid),
			fmt.Sprintf("    priority %d", priority), "    version 3", "    advert_int 0.3",
			"    virtual_ipaddress {", "        "+i.vip, "    }", "}")
	}
	return text
}

// both waits until a node has both addresses and the other one has neither.
func (g *twoLANs) both(t *testing.T, node, other *lab.Node, d time.Duration, what string) {
	t.Helper()
	waitFor(t, d, what, func() bool {
		return holds(t, node, g.vip) && holds(t, node, g.second) && !holds(t, other, g.vip) && !holds(t, other, g.second)
	})
}

// TestSyncGroupWithKeepalived: one LAN of the leading router breaks, and both addresses move to the other one, which is
// the other program; then it is mended, and both return.
func TestSyncGroupWithKeepalived(t *testing.T) {
	t.Parallel()
	need(t, "keepalived")
	for _, c := range []struct {
		name   string
		da, db daemon
	}{{"failoverd leads", ours{}, keepalived{}}, {"keepalived leads", keepalived{}, ours{}}, {"failoverd alone", ours{}, ours{}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newTwoLANs(t)
			a := c.da.start(g.lan, g.a, g.group(prioA))
			c.db.start(g.lan, g.b, g.group(prioB))
			// 0.9 s and skew; twice because the members need not start together.
			down := 900*time.Millisecond + 300*time.Millisecond
			g.both(t, g.a, g.b, 4*down+5*time.Second, "a to lead on both LANs")

			broke := time.Now()
			must(t, g.outA.Unplug())
			g.both(t, g.b, g.a, 2*down+2*time.Second, "both addresses to move to b")
			t.Logf("both moved within %v", time.Since(broke).Round(time.Millisecond))

			mended := time.Now()
			must(t, g.outA.Replug())
			g.both(t, g.a, g.b, 4*down+5*time.Second, "both addresses to return to a")
			t.Logf("both returned within %v", time.Since(mended).Round(time.Millisecond))

			stopped := time.Now()
			must(t, a.Signal(syscall.SIGTERM))
			g.both(t, g.b, g.a, down+2*time.Second, "b to take over from a that stops")
			t.Logf("orderly stop: both moved within %v", time.Since(stopped).Round(time.Millisecond))
		})
	}
}

// TestVMACWithKeepalived: a pair with use_vmac, one of each program. All advertisements come from the virtual MAC, and while
// failoverd serves the client knows the address by nothing else. (V3-TX-01)
func TestVMACWithKeepalived_V3_TX_01(t *testing.T) {
	t.Parallel()
	need(t, "keepalived", "ping")
	for _, c := range []struct {
		name   string
		da, db daemon
	}{{"failoverd leads", ours{}, keepalived{}}, {"keepalived leads", keepalived{}, ours{}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, false)
			a := c.da.start(n, n.a, n.instance(prioA, 3, "0.3", "use_vmac"))
			c.db.start(n, n.b, n.instance(prioB, 3, "0.3", "use_vmac"))
			waitFor(t, 8*time.Second, "a to serve", func() bool { return holds(t, n.a, n.vip) && n.pings() })
			const mac = "00:00:5e:00:01:33"
			// keepalived's own interface asks in the name of the virtual address, and the client learns its MAC from that.
			_, first := c.da.(ours)
			if got := n.neighbour(); got != mac && first {
				t.Errorf("the client knows %s as %s, want %s", n.vip, got, mac)
			}
			begin := time.Now()
			must(t, a.Signal(syscall.SIGTERM))
			waitFor(t, 5*time.Second, "b to serve", func() bool { return holds(t, n.b, n.vip) && n.pings() })
			if got := n.neighbour(); got != mac && !first {
				t.Errorf("after the move the client knows %s as %s, want %s", n.vip, got, mac)
			}
			for _, p := range n.capture.Packets() {
				if p.VRRP != nil && p.SrcMAC.String() != mac {
					t.Errorf("an advertisement came from %s: %s", p.SrcMAC, p.String())
					break
				}
				if p.ARP != nil && p.At.After(begin) && !p.ARP.Reply && p.ARP.Target == n.vip && p.ARP.Sender == netip.MustParseAddr("192.0.2.3") {
					t.Logf("the client asked again: %s", p.String())
				}
			}
		})
	}
}

// pings reports whether the client reaches the virtual address.
func (n *lan) pings() bool {
	n.t.Helper()
	_, code := command(n.t, n.c, []string{"ping", "-c", "1", "-W", "1", n.vip.String()})
	return code == 0
}

// neighbour returns the link-layer address that the client knows the virtual address by.
func (n *lan) neighbour() string {
	n.t.Helper()
	out, _ := command(n.t, n.c, []string{"ip", "neighbor", "show", n.vip.String()})
	for f := strings.Fields(out); len(f) > 1; f = f[1:] {
		if f[0] == "lladdr" {
			return f[1]
		}
	}
	return out
}

// holders follows who of a pair has the address, and how long both and neither had it.
type holders struct {
	stop chan struct{}
	done sync.WaitGroup
	// both and neither are the longest times, after the address was there for the first time.
	both, neither time.Duration
}

// watchHolders looks every few milliseconds, until close.
func (n *lan) watchHolders() *holders {
	h := &holders{stop: make(chan struct{})}
	h.done.Go(func() {
		var since time.Time
		last := -1
		for {
			count := 0
			for _, node := range []*lab.Node{n.a, n.b} {
				if ok, err := node.HasAddress(n.vip); err == nil && ok {
					count++
				}
			}
			now := time.Now()
			if count != last {
				since, last = now, count
			}
			switch d := now.Sub(since); count {
			case 0:
				h.neither = max(h.neither, d)
			case 2:
				h.both = max(h.both, d)
			}
			select {
			case <-h.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return h
}

func (h *holders) close() {
	close(h.stop)
	h.done.Wait()
}

// TestRollingReplacement: a running keepalived pair becomes a failoverd pair, one node after the other, backup first, and
// back again. At no time do both nodes, or neither, have the role for longer than one Active_Down_Interval.
func TestRollingReplacement(t *testing.T) {
	need(t, "keepalived")
	t.Parallel()
	n := newLAN(t, false)
	const advert = 300 * time.Millisecond
	down := 3*advert + (256-prioB)*advert/256
	confA, confB := n.instance(prioA, 3, "0.3"), n.instance(prioB, 3, "0.3")
	a, b := keepalived{}.start(n, n.a, confA), keepalived{}.start(n, n.b, confB)
	waitFor(t, 8*time.Second, "a to lead", func() bool { return holds(t, n.a, n.vip) && !holds(t, n.b, n.vip) })
	h := n.watchHolders()
	for _, d := range []daemon{ours{}, keepalived{}} {
		must(t, b.Signal(syscall.SIGTERM))
		_, err := b.Wait(6 * time.Second)
		must(t, err)
		b = d.start(n, n.b, confB)
		time.Sleep(3 * down)
		must(t, a.Signal(syscall.SIGTERM))
		_, err = a.Wait(6 * time.Second)
		must(t, err)
		waitFor(t, 2*down+2*time.Second, "b to lead", func() bool { return holds(t, n.b, n.vip) })
		a = d.start(n, n.a, confA)
		waitFor(t, 3*down+5*time.Second, "a to lead again", func() bool { return holds(t, n.a, n.vip) && !holds(t, n.b, n.vip) })
	}
	h.close()
	t.Logf("longest time with both %v, with neither %v; Active_Down_Interval %v", h.both, h.neither, down)
	if h.both > down || h.neither > down {
		t.Errorf("both had it for %v, neither for %v; want at most %v", h.both, h.neither, down)
	}
}
