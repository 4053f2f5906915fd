package integration

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// ways are the ways from the role to BGP that the recipe three-ways offers. One test body is run for each.
var ways = []bgpWay{
	{name: "embedded", conf: "embedded.conf", byRole: true, begin: beginEmbedded, gone: time.Second},
	{name: "gobgpd", conf: "gobgpd.conf", byRole: true, begin: beginGobgpd, gone: time.Second, programs: []string{"gobgpd", "gobgp"}},
	{
		name: "kernel routes and BIRD", conf: "kernel.conf", begin: beginBIRD, gone: kernelLease,
		programs: []string{"bird"},
	},
	{
		name: "kernel routes and FRR", conf: "kernel.conf", begin: beginFRR, gone: kernelLease,
		programs: []string{frrDir + "zebra", frrDir + "bgpd"},
	},
}

// kernelLease is how long an address, and a route that goes with it, outlives its agent: vip_lease, which is 3 s, and the
// kernel's rounding.
const kernelLease = 4 * time.Second

// bgpWay is one of them.
type bgpWay struct {
	name, conf string
	programs   []string // that must be installed
	// byRole: the attributes are those of the role, so that a drain marks the route before it goes.
	byRole bool
	// begin starts what a router needs beside the agent, and returns how to kill it and have it again. The agent is nil
	// when it is called, and set when the side is restarted.
	begin func(*wayLab, *waySide)
	// gone is how long the route of an agent that is killed may stay at the upstream.
	gone time.Duration
}

// wayLab is two routers and an upstream that is also the client.
type wayLab struct {
	*lan
	way   *bgpWay
	up    *bird
	sides [2]*waySide
	probe *lab.Probe
}

// waySide is one of the two routers.
type waySide struct {
	w       *wayLab
	name    string // r1, r2
	node    *lab.Node
	addr    string
	agent   *agent
	oldnew  []string // what to replace in the example, for exampleFile
	restart func()   // kills the BGP side from one instruction to the next, and starts it again if nobody else does
	// stopPost is what the service manager is to run when the agent has died; nil: nothing.
	stopPost func()
}

func beginEmbedded(w *wayLab, s *waySide) {
	s.restart = func() { must(w.t, syscall.Kill(childOf(w.t, s.agent.pid()), syscall.SIGKILL)) }
}

func beginGobgpd(w *wayLab, s *waySide) {
	g := startGobgpdText(w.t, w.lab, s.node, exampleFile(w.t, "three-ways/gobgpd.toml", "192.0.2.1", s.addr))
	s.oldnew = []string{"/run/gobgp/gobgp.sock", g.socket}
	s.restart = func() {
		must(w.t, g.proc.Kill())
		g.start()
	}
	s.stopPost = func() {
		argv := []string{"gobgp", "--target", "unix://" + g.socket, "global", "rib", "del", service}
		if out, code := command(w.t, s.node, argv); code != 0 {
			w.t.Errorf("%v: exit code %d: %s", argv, code, out)
		}
	}
}

func beginBIRD(w *wayLab, s *waySide) {
	conf := exampleFile(w.t, "three-ways/router.bird", "192.0.2.1", s.addr)
	b := startBirdText(w.t, w.lab, s.node, conf)
	s.restart = func() {
		must(w.t, b.proc.Kill())
		b = startBirdText(w.t, w.lab, s.node, conf)
	}
}

func beginFRR(w *wayLab, s *waySide) {
	f := &frr{n: w.lan, node: s.node, dir: filepath.Join(w.lab.Dir(), s.name+".frr")}
	f.prepare()
	conf := exampleFile(w.t, "three-ways/bgpd.frr", "192.0.2.1", s.addr)
	var daemons []*lab.Process
	begin := func() {
		daemons = []*lab.Process{f.run("zebra", "")}
		time.Sleep(500 * time.Millisecond)
		daemons = append(daemons, f.run("bgpd", conf))
	}
	begin()
	s.restart = func() {
		for _, p := range daemons {
			must(w.t, p.Kill())
		}
		begin()
	}
}

func newWayLab(t *testing.T, way *bgpWay) *wayLab {
	t.Helper()
	need(t, append([]string{"bird", "birdc"}, way.programs...)...)
	w := &wayLab{lan: newLAN(t, false), way: way}
	w.vip = netip.MustParseAddr("198.51.100.10")
	w.up = startBirdText(t, w.lab, w.c, exampleFile(t, "three-ways/upstream.bird"))
	w.sides = [2]*waySide{{w: w, name: "r1", node: w.a, addr: "192.0.2.1"}, {w: w, name: "r2", node: w.b, addr: "192.0.2.2"}}
	var err error
	w.probe, err = w.c.Probe(w.vip)
	must(t, err)
	for _, s := range w.sides {
		way.begin(w, s)
	}
	return w
}

// startAgent runs the agent of a side.
func (s *waySide) startAgent() {
	s.w.t.Helper()
	s.agent = startExample(s.w.t, s.w.lab, s.node, "three-ways/"+s.w.way.conf, s.name, s.oldnew...)
}

// from waits until the upstream has the service's route from these sides and from nobody else.
func (w *wayLab) from(d time.Duration, sides ...*waySide) {
	w.t.Helper()
	out := ""
	waitFor(w.t, d, fmt.Sprintf("the upstream's routes to be those of %d routers", len(sides)), func() bool {
		out = w.up.ask("show", "route", service, "all")
		if strings.Count(out, "via 192.0.2.") != len(sides) {
			return false
		}
		for _, s := range sides {
			if !strings.Contains(out, "via "+s.addr+" ") {
				return false
			}
		}
		return true
	})
	if len(sides) > 0 && strings.Count(out, "BGP.med: 50") != len(sides) || strings.Count(out, "(64500,100)") != len(sides) {
		w.t.Errorf("the attributes are not what the files say:\n%s", out)
	}
}

// TestWaysToBGP: start, an announcement by the elected router only, its crash, a drain, the death of the BGP side, an orderly
// stop: the same for all ways to BGP.
func TestWaysToBGP(t *testing.T) {
	t.Parallel()
	for i := range ways {
		t.Run(ways[i].name, func(t *testing.T) {
			t.Parallel()
			w := newWayLab(t, &ways[i])
			r1, r2 := w.sides[0], w.sides[1]
			r1.startAgent()
			r1.agent.waitState("MASTER", 5*time.Second)
			r2.startAgent()
			w.from(15*time.Second, r1)
			w.waitWarm(r2)
			w.crash(r1, r2)
			w.drain(r1, r2)
			w.restartBGP(r1)
			w.stop(r1, r2)
		})
	}
}

// waitWarm waits until the upstream has a session with a side, which announces nothing on it.
func (w *wayLab) waitWarm(s *waySide) {
	w.t.Helper()
	waitFor(w.t, 15*time.Second, "a session with "+s.name, func() bool {
		return strings.Contains(w.up.ask("show", "protocols", s.name), "Established")
	})
	w.from(time.Second, w.sides[0])
}

// crash kills the agent of the MASTER: the other takes over after Active_Down_Interval, and what the dead one announced is
// gone with its lease. It returns, and has its role again.
func (w *wayLab) crash(master, backup *waySide) {
	t := w.t
	t.Helper()
	_, _, err := w.probe.WaitForAnswer(time.Now(), 2*time.Second)
	must(t, err)
	killed := time.Now()
	must(t, master.agent.proc.Kill())
	if master.stopPost != nil {
		master.stopPost()
	}
	backup.agent.waitState("MASTER", 2*1100*time.Millisecond+slack) // on a busy machine it listens once more
	w.from(w.way.gone+time.Second+slack, backup)                    // BIRD and FRR hear of it from the kernel
	t.Logf("crash: the upstream has the successor's route alone after %v", time.Since(killed).Round(time.Millisecond))
	time.Sleep(400 * time.Millisecond)
	o := w.probe.Longest(killed, time.Now())
	t.Logf("crash: the longest outage is %v", o)
	// Active_Down_Interval at priority 150 and 0.3 s, twice where a node that was late listens once more, and what lies
	// between a role and a route.
	if o.Duration()-o.Blind > 2*1025*time.Millisecond+slack {
		t.Errorf("crash: an outage of %v", o)
	}
	if by := w.probe.Answers(time.Now().Add(-300*time.Millisecond), time.Now()); by[backup.node.Name()] == 0 {
		t.Errorf("crash: answers come from %v", by)
	}
	master.startAgent()
	master.agent.waitState("MASTER", 15*time.Second)
	w.from(5*time.Second, master)
}

// drain hands the role over and takes it back without the loss of one probe. Where the attributes are those of the role,
// the route is marked before the other's is announced, and in any case it is withdrawn only after that.
func (w *wayLab) drain(master, backup *waySide) {
	t := w.t
	t.Helper()
	time.Sleep(time.Second) // gratuitous ARP, and what else follows a takeover
	begin := time.Now()
	master.agent.ask("drain", "--reason", "new kernel")
	backup.agent.waitState("MASTER", 3*time.Second)
	w.from(3*time.Second, backup)
	unbroken(t, w.probe, begin, "drain", backup.node.Name())
	first(t, w.capture, begin, master.addr+" ", "withdraw")
	var marked, announced, withdrawn time.Time
	for _, m := range w.capture.BGP() {
		switch {
		case m.At.Before(begin) || len(m.Announced)+len(m.Withdrawn) == 0:
		case m.Src.String() == master.addr && len(m.Withdrawn) > 0:
			withdrawn = m.At
		case m.Src.String() == master.addr:
			marked = m.At
			if !hasCommunity(m.Communities, 65535<<16) {
				t.Errorf("drain: the route is announced again without the mark: %s", m.String())
			}
		case m.Src.String() == backup.addr:
			announced = m.At
		}
	}
	if marked.IsZero() == w.way.byRole || announced.IsZero() || withdrawn.IsZero() || marked.After(announced) || withdrawn.Before(announced) {
		t.Errorf("drain: marked %v, announced by the successor %v, withdrawn %v after its begin", marked.Sub(begin), announced.Sub(begin), withdrawn.Sub(begin))
	}
	t.Logf("drain: the successor announces %v after the command, the route is withdrawn %v later", announced.Sub(begin), withdrawn.Sub(announced))

	begin = time.Now()
	master.agent.ask("undrain")
	master.agent.waitState("MASTER", 8*time.Second)
	w.from(3*time.Second, master)
	unbroken(t, w.probe, begin, "undrain", master.node.Name())
}

func hasCommunity(list []uint32, c uint32) bool {
	for _, have := range list {
		if have == c {
			return true
		}
	}
	return false
}

// restartBGP kills the BGP side of the MASTER, which must not cost the role, and bring the full state again.
func (w *wayLab) restartBGP(s *waySide) {
	t := w.t
	t.Helper()
	before := s.agent.router().Counters.BecameMaster
	killed := time.Now()
	s.restart()
	waitFor(t, 3*time.Second, "the upstream to lose the session", func() bool { return w.lostSince(killed, s) })
	w.from(15*time.Second, s)
	t.Logf("restart of the BGP side: announced again after %v", time.Since(killed).Round(time.Millisecond))
	if r := s.agent.router(); r.State != "MASTER" || r.Counters.BecameMaster != before {
		t.Errorf("restart of the BGP side: %s, MASTER %d times, before %d", r.State, r.Counters.BecameMaster, before)
	}
}

// lostSince reports whether the connection to the upstream has been closed, from either side, since a time.
func (w *wayLab) lostSince(since time.Time, s *waySide) bool {
	for _, p := range w.capture.Packets() {
		if p.TCP != nil && (p.TCP.FIN || p.TCP.RST) && p.At.After(since) && (p.Src.String() == s.addr || p.Dst.String() == s.addr) {
			return true
		}
	}
	return false
}

// stop ends the backup, then the MASTER: nothing is left of either.
func (w *wayLab) stop(master, backup *waySide) {
	t := w.t
	t.Helper()
	for _, s := range []*waySide{backup, master} {
		st, err := s.agent.proc.Stop(8 * time.Second)
		if err != nil || st.ExitCode() != 0 {
			t.Errorf("stop of %s: %v, %v", s.name, st, err)
		}
	}
	w.from(3 * time.Second)
	for _, s := range w.sides {
		if out, _ := command(t, s.node, []string{"ip", "route", "show", service}); holds(t, s.node, w.vip) || out != "" {
			t.Errorf("stop: %s is left with the address, or the route %q", s.name, out)
		}
	}
}
