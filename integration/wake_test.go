package integration

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"failoverd/integration/lab"
)

// wakeInterval is the advert_int of these labs; a lease is 3 s with it.
const wakeInterval = 300 * time.Millisecond

// TestNeighborsAfterPause: a paused MASTER is replaced and wakes up. Whoever is MASTER from there on, it has the client's
// ARP or ND entry within an advertisement interval, and keeps it.
func TestNeighborsAfterPause(t *testing.T) {
	t.Parallel()
	const long, short = 4*wakeInterval + 3*time.Second, 5 * wakeInterval
	for _, c := range []struct {
		name   string
		v6     bool
		pause  time.Duration
		prioB  int
		extra  []string
		roles  []string // who sends advertisements, from the pause on
		settle time.Duration
	}{
		// The lease has ended: a is a Backup, and preempts.
		{"preempt", false, long, prioB, nil, []string{"a", "b", "a"}, 2 * time.Second},
		{"preempt, IPv6", true, long, prioB, nil, []string{"a", "b", "a"}, 2 * time.Second},
		{"nopreempt", false, long, prioB, []string{"nopreempt"}, []string{"a", "b"}, 2 * time.Second},
		{"nopreempt, IPv6", true, long, prioB, []string{"nopreempt"}, []string{"a", "b"}, 2 * time.Second},
		// The lease has not: both have the address when a wakes up. The higher priority stays, whoever has it.
		{"within the lease", false, short, prioB, nil, []string{"a", "b", "a"}, 2 * time.Second},
		{"within the lease, IPv6", true, short, prioB, nil, []string{"a", "b", "a"}, 2 * time.Second},
		{"within the lease, by a better one", false, short, prioA + 10, []string{"nopreempt"}, []string{"a", "b"}, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, c.v6)
			interval := fmt.Sprint(wakeInterval.Seconds())
			a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, interval, c.extra...))
			a.waitState("MASTER", 5*time.Second)
			b := startAgent(t, n.lab, n.b, n.instance(c.prioB, 3, interval, c.extra...))
			b.waitState("BACKUP", 5*time.Second)
			cache := followNeighbor(t, n)
			waitFor(t, 5*time.Second, "the client to know a", func() bool { return cache.last() == cache.owner("a") })
			paused := time.Now()
			must(t, a.proc.Pause())
			b.waitState("MASTER", 4*time.Second)
			time.Sleep(time.Until(paused.Add(c.pause)))
			woke := time.Now()
			must(t, a.proc.Resume())
			time.Sleep(c.settle)
			cache.judge(woke, paused, c.roles)
		})
	}
}

// glimpse is what the client's neighbor entry was at a time.
type glimpse struct {
	at  time.Time
	mac string
}

// neighborCache follows the client's entry for the virtual address, which the client uses all the time.
type neighborCache struct {
	t    *testing.T
	lan  *lan
	macs map[string]string // of a node by name

	mu       sync.Mutex
	glimpses []glimpse
	err      error
}

// followNeighbor starts to, until the test ends.
func followNeighbor(t *testing.T, n *lan) *neighborCache {
	t.Helper()
	k := &neighborCache{t: t, lan: n, macs: map[string]string{}}
	for name, node := range map[string]*lab.Node{"a": n.a, "b": n.b} {
		mac, err := node.HardwareAddr("eth0")
		must(t, err)
		k.macs[name] = mac.String()
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(15 * time.Millisecond):
				k.look()
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	return k
}

func (k *neighborCache) owner(node string) string { return k.macs[node] }

// look sends a packet to the virtual address and reads the entry.
func (k *neighborCache) look() {
	var g glimpse
	err := k.lan.c.Do(func() (err error) {
		if c, err := net.Dial("udp", netip.AddrPortFrom(k.lan.vip, lab.ServicePort).String()); err == nil {
			_, _ = c.Write([]byte("still there?")) // an error is one of the last packet
			_ = c.Close()
		}
		g.mac, err = neighborOf(k.lan.vip)
		g.at = time.Now()
		return err
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.glimpses = append(k.glimpses, g)
	if err != nil {
		k.err = err
	}
}

// neighborOf returns the link-layer address of an entry of the current namespace, or nothing.
func neighborOf(a netip.Addr) (string, error) {
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	list, err := netlink.NeighList(0, family)
	for i := range list {
		if ip, ok := netip.AddrFromSlice(list[i].IP); ok && ip.Unmap() == a {
			return list[i].HardwareAddr.String(), nil
		}
	}
	return "", err
}

func (k *neighborCache) last() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.glimpses) == 0 {
		return ""
	}
	return k.glimpses[len(k.glimpses)-1].mac
}

// tenure is when a router began to be the one that sends advertisements.
type tenure struct {
	node string
	at   time.Time
}

// crossing is for how long an advertisement of the last MASTER may be on its way, or be decided on, when the next one begins.
const crossing = wakeInterval / 3

// tenures returns who sent advertisements, one after the other, from the last one before a time on. One that crosses the
// first of another router changes nothing; whoever goes on sends another one an interval later.
func (n *lan) tenures(since time.Time) (list []tenure) {
	for _, p := range n.capture.Packets() {
		if p.VRRP == nil || p.VRRP.Priority == 0 {
			continue
		}
		for _, node := range []string{"a", "b"} {
			if p.Src.String() != n.source(node) {
				continue
			}
			if last := len(list) - 1; last < 0 || list[last].node != node && p.At.Sub(list[last].at) > crossing {
				list = append(list, tenure{node, p.At})
			}
		}
		if p.At.Before(since) {
			list = list[len(list)-1:]
		}
	}
	return list
}

// judge fails the test unless the roles went from one to the other as wanted, and the entry followed each time, and from
// when a woke, within an interval and to stay.
func (k *neighborCache) judge(woke, since time.Time, roles []string) {
	k.t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		k.t.Error(k.err)
	}
	list := k.lan.tenures(since)
	var got []string
	for _, x := range list {
		got = append(got, x.node)
	}
	if fmt.Sprint(got) != fmt.Sprint(roles) {
		k.t.Fatalf("advertisements came from %v in turn, want %v", got, roles)
	}
	for i, x := range list {
		end := time.Now()
		if i+1 < len(list) {
			end = list[i+1].at
		}
		from := x.at
		if i == 0 {
			from = since
		}
		k.wrong(x.node, from, end)
		if from.Before(woke) && woke.Before(end) {
			k.wrong(x.node, woke, end)
		}
	}
}

// wrong fails the test if the entry is not a node's between an interval after from and end.
func (k *neighborCache) wrong(node string, from, end time.Time) {
	k.t.Helper()
	var late time.Duration
	seen := 0
	for _, g := range k.glimpses {
		if g.at.Before(from) || g.at.After(end) {
			continue
		}
		seen++
		if g.mac != k.macs[node] {
			late = g.at.Sub(from)
		}
	}
	k.t.Logf("%s has the entry %v after %v, of %v (%d looks)", node, late.Round(time.Millisecond),
		from.Format("05.000"), end.Sub(from).Round(time.Millisecond), seen)
	if late > wakeInterval+slack {
		k.t.Errorf("%v after %s became, or was, MASTER the client's entry was not its", late, node)
	}
	if seen == 0 && end.Sub(from) > wakeInterval {
		k.t.Error("nobody looked")
	}
}
