package integration

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// daemon is one side of a mixed pair.
type daemon interface {
	start(n *lan, node *lab.Node, conf string) *lab.Process
}

type ours struct{}

func (ours) start(n *lan, node *lab.Node, conf string) *lab.Process {
	return startAgent(n.t, n.lab, node, conf).proc
}

type keepalived struct{}

func (keepalived) start(n *lan, node *lab.Node, conf string) *lab.Process {
	n.t.Helper()
	path, err := n.lab.WriteFile(node.Name()+".keepalived.conf", conf)
	must(n.t, err)
	pid := filepath.Join(n.lab.Dir(), fmt.Sprintf("%s.%d", node.Name(), time.Now().UnixNano()))
	p, err := node.Start(lab.Command{
		Name: "keepalived-" + node.Name(),
		Argv: []string{"keepalived", "-n", "-l", "-G", "-P", "-f", path, "-p", pid + ".pid", "-r", pid + ".vrrp.pid"},
	})
	must(n.t, err)
	return p
}

// TestKeepalivedInterop runs one failoverd and one keepalived as a pair: each side as the preferred router, which
// crashes or stops in order, is replaced, and comes back.
func TestKeepalivedInterop(t *testing.T) {
	t.Parallel()
	need(t, "keepalived")
	for _, v := range []struct {
		name     string
		v6       bool
		version  int
		interval string
		seconds  float64
		extra    []string
	}{
		{"version 2 IPv4 no authentication", false, 2, "1", 1, nil},
		{"version 2 IPv4 PASS", false, 2, "1", 1, []string{"authentication {", "    auth_type PASS", "    auth_pass s3cret", "}"}},
		{"version 3 IPv4", false, 3, "0.3", 0.3, nil},
		{"version 3 IPv6", true, 3, "0.3", 0.3, nil},
		{"version 3 IPv4 unicast", false, 3, "0.3", 0.3, []string{"unicast"}},
	} {
		for _, weLead := range []bool{true, false} {
			for _, crash := range []bool{true, false} {
				side, how := "keepalived preferred", "stops"
				if weLead {
					side = "failoverd preferred"
				}
				if crash {
					how = "crashes"
				}
				t.Run(fmt.Sprintf("%s/%s/%s", v.name, side, how), func(t *testing.T) {
					t.Parallel()
					m := mixedPair{lan: newLAN(t, v.v6), version: v.version, interval: v.interval, advert: seconds(v.seconds), extra: v.extra}
					m.da, m.db = daemon(keepalived{}), daemon(ours{})
					if weLead {
						m.da, m.db = m.db, m.da
					}
					m.play(crash)
				})
			}
		}
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

type mixedPair struct {
	*lan
	version  int
	interval string
	advert   time.Duration
	extra    []string
	da, db   daemon
}

// Priorities of a pair.
const prioA, prioB = 200, 150

// skew returns Skew_Time of the backup in this pair.
func (m *mixedPair) skew() time.Duration {
	if m.version == 2 {
		return (256 - prioB) * time.Second / 256
	}
	return (256 - prioB) * m.advert / 256
}

func (m *mixedPair) play(crash bool) {
	t := m.t
	m.lan.t = t
	extraA, extraB := m.extra, m.extra
	if len(m.extra) == 1 && m.extra[0] == "unicast" {
		extraA = []string{"unicast_src_ip 192.0.2.1", "unicast_peer {", "    192.0.2.2", "}"}
		extraB = []string{"unicast_src_ip 192.0.2.2", "unicast_peer {", "    192.0.2.1", "}"}
		m.listenAtPorts()
	}
	confA := lines("global_defs {", "    vrrp_garp_master_delay 1", "}") + m.instance(prioA, m.version, m.interval, extraA...)
	confB := lines("global_defs {", "    vrrp_garp_master_delay 1", "}") + m.instance(prioB, m.version, m.interval, extraB...)
	down := 3*m.advert + m.skew()
	a := m.da.start(m.lan, m.a, confA)
	waitFor(t, 2*down+5*time.Second, "a to hold the address", func() bool { return holds(t, m.a, m.vip) })
	start := time.Now()
	m.db.start(m.lan, m.b, confB)
	time.Sleep(2 * down)
	m.quiet("b", start)
	if holds(t, m.b, m.vip) {
		t.Fatal("b has the address although a leads")
	}

	// The preferred router goes.
	gone := time.Now()
	if crash {
		must(t, m.pa.Cut())
		must(t, a.Kill())
	} else {
		must(t, a.Signal(syscall.SIGTERM))
	}
	waitFor(t, down+2*time.Second, "b to take over", func() bool { return holds(t, m.b, m.vip) })
	m.checkTakeover(gone, crash, down)

	// It returns, as after a boot, and has the role again.
	if crash {
		m.reboot()
	} else if _, err := a.Wait(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if holds(t, m.a, m.vip) {
		t.Fatal("a still has the address after it stopped")
	}
	m.da.start(m.lan, m.a, confA)
	waitFor(t, 2*down+5*time.Second, "a to have the address alone again", func() bool { return holds(t, m.a, m.vip) && !holds(t, m.b, m.vip) })
	settled := time.Now()
	time.Sleep(2*m.advert + slack)
	m.quiet("b", settled.Add(slack))
	if len(m.adverts(m.source("a"), settled)) == 0 {
		t.Error("a holds the address and does not advertise")
	}
	m.noRefusals()
}

// listenAtPorts moves the witness to the hosts themselves: the client's port does not see what is sent to one of them.
func (m *mixedPair) listenAtPorts() {
	m.t.Helper()
	c, err := m.b.Capture("eth0")
	must(m.t, err)
	m.capture = c
}

// reboot leaves the node as a power cycle would: no address of the dead daemon.
func (m *mixedPair) reboot() {
	for _, p := range []string{"192.0.2.10/32", "2001:db8:2::10/64", "fe80::10/64"} {
		_ = m.a.DeleteAddress("eth0", p)
	}
	must(m.t, m.pa.Mend())
}

// checkTakeover compares the wire with the protocol: from the last word of a to the first of b.
func (m *mixedPair) checkTakeover(gone time.Time, crash bool, down time.Duration) {
	t := m.t
	t.Helper()
	// The capture is read by a thread of its own, which on a busy machine is later than the look at the addresses.
	waitFor(t, 2*time.Second, "the first advertisement of b to be read", func() bool { return len(m.adverts(m.source("b"), gone)) > 0 })
	fromA, fromB := m.adverts(m.source("a"), time.Time{}), m.adverts(m.source("b"), gone)
	if len(fromA) == 0 {
		t.Fatal("no advertisement of a")
	}
	last := fromA[len(fromA)-1]
	want := down
	if !crash {
		want = m.skew()
		if last.VRRP.Priority != 0 {
			t.Errorf("the last word of a has priority %d, want 0 (V3-TX-16)", last.VRRP.Priority)
		}
	}
	took := fromB[0].At.Sub(last.At)
	if took < want-5*time.Millisecond || took > want+slack {
		t.Errorf("b advertised %v after the last word of a, want %v", took, want)
	}
	t.Logf("takeover after %v, theory %v, ratio %.4f", took, want, float64(took)/float64(want))
}

// quiet asserts that a host sent nothing in a period (V3-TX-15).
func (m *mixedPair) quiet(host string, since time.Time) {
	m.t.Helper()
	if ads := m.adverts(m.source(host), since); len(ads) > 0 {
		m.t.Errorf("%s advertised %d times while the other one had the role", host, len(ads))
	}
}

// noRefusals asserts that nothing on the wire was malformed for either side.
func (m *mixedPair) noRefusals() {
	m.t.Helper()
	for _, p := range m.capture.Packets() {
		if p.VRRP != nil && p.VRRP.Drop != 0 {
			m.t.Errorf("%s on the wire", p.String())
		}
	}
}
