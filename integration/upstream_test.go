package integration

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// service is the prefix that the labs announce.
const service = "198.51.100.0/24"

// bird is a BIRD 2 that plays the upstream router of a site.
type bird struct {
	t    *testing.T
	node *lab.Node
	ctl  string
	proc *lab.Process
}

// startBird runs BIRD with one session per neighbor address. options go into every session.
func startBird(t *testing.T, l *lab.Lab, node *lab.Node, local string, neighbors []string, options string) *bird {
	t.Helper()
	conf := fmt.Sprintf("log stderr all;\nrouter id %s;\nprotocol device { scan time 1; }\nprotocol kernel { ipv4 { import none; export all; }; }\n", local)
	for i, n := range neighbors {
		conf += fmt.Sprintf(`protocol bgp p%d {
	local %s as 64500; neighbor %s as 64501;
	hold time 9; keepalive time 3; connect delay time 1; connect retry time 1; error wait time 1, 2;
	%s
	ipv4 { import all; export none; };
}
`, i, local, n, options)
	}
	path, err := l.WriteFile(node.Name()+".bird.conf", conf)
	must(t, err)
	b := &bird{t: t, node: node, ctl: filepath.Join(l.Dir(), node.Name()+".bird.ctl")}
	b.proc, err = node.Start(lab.Command{Name: "bird-" + node.Name(), Argv: []string{"bird", "-f", "-c", path, "-s", b.ctl}})
	must(t, err)
	return b
}

// startBirdText runs BIRD with a configuration, which it must take.
func startBirdText(t *testing.T, l *lab.Lab, n *lab.Node, conf string) *bird {
	t.Helper()
	path, err := l.WriteFile(n.Name()+".bird.conf", conf)
	must(t, err)
	b := &bird{t: t, node: n, ctl: filepath.Join(l.Dir(), n.Name()+".bird.ctl")}
	b.proc, err = n.Start(lab.Command{Name: "bird-" + n.Name(), Argv: []string{"bird", "-f", "-c", path, "-s", b.ctl}})
	must(t, err)
	waitFor(t, 5*time.Second, "BIRD to run, or to end", func() bool { return !b.proc.Running() || strings.Contains(b.ask("show", "status"), "up and running") })
	if !b.proc.Running() {
		t.Fatalf("BIRD does not take its configuration: %s", b.proc.Log())
	}
	return b
}

// ask gives BIRD a command and returns the answer as birdc would print it; of a BIRD that does not answer, what is wrong. It
// speaks to the control socket itself, because labs ask often and processes are not cheap.
func (b *bird) ask(words ...string) string {
	b.t.Helper()
	conn, err := net.DialTimeout("unix", b.ctl, time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	must(b.t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil { // the greeting
		return err.Error()
	}
	if _, err := fmt.Fprintf(conn, "%s\n", strings.Join(words, " ")); err != nil {
		return err.Error()
	}
	var out strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		// CCCC-text for a line that others follow, CCCC text for the last one, and a blank for one more of the same code.
		if strings.HasPrefix(line, " ") || len(line) < 5 {
			out.WriteString(strings.TrimPrefix(line, " "))
			continue
		}
		out.WriteString(line[5:])
		if line[4] == ' ' {
			return out.String()
		}
	}
}

// edge is the standard topology with an upstream router on the same LAN as node c.
type edge struct {
	*lan
	up *bird
}

// speaker is the bgp_speaker of a host of this topology.
func (e *edge) speaker(host, neighborExtra string) string {
	return lines(
		"bgp_speaker EDGE {", "    local_as 64501", "    router_id "+e.source(host),
		"    allow_prefix {", "        "+service, "    }",
		"    neighbor 192.0.2.3 {", "        remote_as 64500", "        local_address "+e.source(host),
		"        hold_time 9", "        keepalive 3", "        connect_retry 1", neighborExtra, "    }", "}")
}

func newEdge(t *testing.T, birdOptions string) *edge {
	t.Helper()
	need(t, "bird", "birdc")
	e := &edge{lan: newLAN(t, false)}
	e.up = startBird(t, e.lab, e.c, "192.0.2.3", []string{"192.0.2.1", "192.0.2.2"}, birdOptions)
	return e
}

// announce is a bgp_announce block as extra lines of an instance.
func announce(line string) []string { return []string{"bgp_announce {", "    " + line, "}"} }

// waitSession waits until an agent's only neighbor is established.
func (a *agent) waitSession(d time.Duration) {
	a.t.Helper()
	waitFor(a.t, d, a.node.Name()+" to have its session", func() bool {
		s := a.status()
		return s != nil && len(s.Speakers) == 1 && len(s.Speakers[0].Neighbors) == 1 && s.Speakers[0].Neighbors[0].State.String() == "Established"
	})
}

// waitRoute waits until the upstream has, or has not, the service by way of an address.
func (e *edge) waitRoute(via string, want bool, d time.Duration) {
	e.t.Helper()
	waitFor(e.t, d, fmt.Sprintf("the upstream's route via %s to be there=%t", via, want), func() bool {
		return strings.Contains(e.up.ask("show", "route", service, "all"), "via "+via+" ") == want
	})
}

// watchOf records what happens in a node's kernel.
func watchOf(t *testing.T, n *lab.Node) *lab.Watch {
	t.Helper()
	w, err := n.Watch(nil)
	must(t, err)
	return w
}

// TestOrderOnTheWire proves with stamps of the kernel: gaining the role means advertisement, address, gratuitous ARP,
// then UPDATE; losing it means withdrawal, then the address goes. Only the elected router announces. (V3-TX-18, V3-ND-06)
func TestOrderOnTheWire_V3_TX_18(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	wa, wb := watchOf(t, e.a), watchOf(t, e.b)
	route := announce(service + " speaker EDGE med 50")
	b := startAgent(t, e.lab, e.b, e.speaker("b", "")+e.instance(prioB, 3, "0.2", route...))
	start := time.Now()
	b.waitState("MASTER", 5*time.Second)
	b.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.2", true, 5*time.Second)

	// a returns with a higher priority: it waits for its session, then takes the role; b gives it up.
	a := startAgent(t, e.lab, e.a, e.speaker("a", "")+e.instance(prioA, 3, "0.2", route...))
	returned := time.Now()
	a.waitState("MASTER", 20*time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	e.waitRoute("192.0.2.2", false, 5*time.Second)
	waitFor(t, 2*time.Second, "b to let the address go", func() bool { return !holds(t, e.b, e.vip) })
	time.Sleep(slack)

	wire := e.capture
	gained := func(src string, w *lab.Watch, since time.Time) {
		t.Helper()
		advert := first(t, wire, since, "vrrp "+src+" >", "vrid 51")
		added := first(t, w, since, "address added 192.0.2.10/32")
		garp := first(t, wire, since, "arp announces 192.0.2.10")
		update := first(t, wire, since, src+" ", "announce")
		// The news of an address is stamped when it is read, which on a busy machine is after the fact.
		inOrder(t, advert, added.Add(0), 0)
		inOrder(t, added, garp, 5*time.Millisecond)
		inOrder(t, garp, update, 0)
		t.Logf("%s: advert +0, address %v, gratuitous ARP %v, UPDATE %v", src, added.Sub(advert), garp.Sub(advert), update.Sub(advert))
		if d := update.Sub(advert); src == "192.0.2.1" && d > 10*time.Millisecond+slack {
			t.Errorf("role change to UPDATE took %v", d)
		}
	}
	gained("192.0.2.2", wb, start)
	gained("192.0.2.1", wa, returned)

	heard := first(t, wire, returned, "vrrp 192.0.2.1 >", "priority 200")
	withdrawn := first(t, wire, heard, "192.0.2.2 ", "withdraw")
	removed := first(t, wb, returned, "address removed 192.0.2.10/32")
	inOrder(t, heard, withdrawn, 0)
	inOrder(t, withdrawn, removed, 0)
	t.Logf("loss of role to withdrawal %v, address removed %v later", withdrawn.Sub(heard), removed.Sub(withdrawn))
	noGratuitousReply(t, e.capture)
}

func first(t *testing.T, w witness, since time.Time, parts ...string) time.Time {
	t.Helper()
	var (
		list []lab.Sighting
		s    lab.Sighting
		ok   bool
	)
	err := lab.WaitFor(t.Context(), sightPatience, "", func() bool {
		list = w.Sightings()
		s, ok = lab.First(list, since, parts...)
		return ok
	})
	if err != nil {
		t.Fatalf("%q not seen; seen:\n%s", parts, lab.Describe(list, since))
	}
	return s.At
}

// witness is a capture, or a watch.
type witness interface{ Sightings() []lab.Sighting }

// sightPatience is how long something is waited for that must have happened, as others have told: on a busy machine, a packet
// reaches a capture after the one that it is for has acted on it.
const sightPatience = 2 * time.Second

func inOrder(t *testing.T, a, b time.Time, tolerance time.Duration) {
	t.Helper()
	if b.Before(a.Add(-tolerance)) {
		t.Errorf("the second came %v before the first", a.Sub(b))
	}
}

// noGratuitousReply asserts that nobody answers a gratuitous ARP: a leaving router must not draw traffic back.
func noGratuitousReply(t *testing.T, c *lab.Capture) {
	t.Helper()
	vip := netip.MustParseAddr("192.0.2.10")
	for _, p := range c.Packets() {
		if p.ARP != nil && p.ARP.Reply && p.ARP.Sender == vip && p.ARP.Target == vip {
			t.Errorf("%s: somebody answered a gratuitous ARP", p.String())
		}
	}
}

// TestOrderlyStop: SIGTERM withdraws, says priority 0 once, and leaves nothing behind.
func TestOrderlyStop_V3_TX_16(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	a := startAgent(t, e.lab, e.a, e.speaker("a", "")+e.instance(prioA, 3, "0.2", announce(service+" speaker EDGE")...))
	a.waitState("MASTER", 5*time.Second)
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	w := watchOf(t, e.a)
	stopped := time.Now()
	must(t, a.proc.Signal(syscall.SIGTERM))
	st, err := a.proc.Wait(6 * time.Second)
	must(t, err)
	if st.ExitCode() != 0 {
		t.Errorf("exit code %d after an orderly stop", st.ExitCode())
	}
	time.Sleep(slack)
	wire := e.capture
	zero := first(t, wire, stopped, "vrrp 192.0.2.1 >", "priority 0")
	withdrawn := first(t, wire, stopped, "192.0.2.1 ", "withdraw")
	inOrder(t, withdrawn, first(t, w, stopped, "address removed 192.0.2.10/32"), 0)
	n := 0
	for _, p := range e.adverts("192.0.2.1", zero) {
		n++
		if p.VRRP.Priority != 0 {
			t.Errorf("advertisement of priority %d after priority 0", p.VRRP.Priority)
		}
	}
	if n != 1 {
		t.Errorf("%d advertisements of priority 0, want exactly 1", n)
	}
	if holds(t, e.a, e.vip) {
		t.Error("the address is still there")
	}
	first(t, wire, stopped, "192.0.2.1 ", "NOTIFICATION 6/2")
}

// TestAttributesAtTheUpstream: what bgp_announce says is what BIRD learns, over a session with MD5.
func TestAttributesAtTheUpstream(t *testing.T) {
	t.Parallel()
	e := newEdge(t, `password "s3cret";`)
	line := service + " speaker EDGE med 50 prepend 2 community 64500:100 64500:200 large_community 64500:1:2 next_hop 192.0.2.1"
	a := startAgent(t, e.lab, e.a, e.speaker("a", `        password "s3cret"`)+e.instance(prioA, 3, "0.2", announce(line)...))
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	out := e.up.ask("show", "route", service, "all")
	for _, want := range []string{
		"BGP.as_path: 64501 64501 64501", "BGP.next_hop: 192.0.2.1", "BGP.med: 50", "(64500,100) (64500,200)", "(64500, 1, 2)", "BGP.origin: IGP",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("BIRD has no %q in:\n%s", want, out)
		}
	}
}

// TestWrongPassword: the session does not come up, VRRP is not disturbed, and status says why.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	e := newEdge(t, `password "s3cret";`)
	a := startAgent(t, e.lab, e.a, e.speaker("a", `        password "wrong"`)+e.instance(prioA, 3, "0.2", announce(service+" speaker EDGE")...))
	a.waitState("MASTER", 5*time.Second)
	waitFor(t, 20*time.Second, "status to name a reason", func() bool {
		s := a.status()
		return s != nil && len(s.Speakers) == 1 && len(s.Speakers[0].Neighbors) == 1 && s.Speakers[0].Neighbors[0].LastError != ""
	})
	n := a.status().Speakers[0].Neighbors[0]
	if n.State.String() == "Established" || !strings.Contains(n.LastError, "password") {
		t.Errorf("neighbor is %v, reason %q; want a hint at the password", n.State, n.LastError)
	}
}

// TestSpeakerKilled: the death of the speaker's process costs the session and nothing else; the route comes back.
func TestSpeakerKilled(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	a := startAgent(t, e.lab, e.a, e.speaker("a", "")+e.instance(prioA, 3, "0.2", announce(service+" speaker EDGE")...))
	a.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.1", true, 5*time.Second)
	pid := childOf(t, a.pid())
	killed := time.Now()
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	e.waitRoute("192.0.2.1", false, 3*time.Second)
	e.waitRoute("192.0.2.1", true, 15*time.Second)
	t.Logf("announced again %v after the kill", time.Since(killed))
	r := a.router()
	if r == nil || r.State != "MASTER" || r.Counters.BecameMaster != 1 {
		t.Errorf("the router was disturbed: %+v", r)
	}
	var last time.Time
	for _, p := range e.adverts("192.0.2.1", killed.Add(-time.Second)) {
		if gap := p.At.Sub(last); !last.IsZero() && gap > 200*time.Millisecond+slack {
			t.Errorf("%v without an advertisement", gap)
		}
		last = p.At
	}
	if s := a.status(); s.Speakers[0].Restarts == 0 {
		t.Error("status does not count the restart")
	}
}

// TestReturningPrimaryWaitsForItsUpstream: with bgp_announce a higher priority alone does not take the role from a
// router that serves; an established session does, or bgp_wait.
func TestReturningPrimaryWaitsForItsUpstream(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	b := startAgent(t, e.lab, e.b, e.speaker("b", "")+e.instance(prioB, 3, "0.2", announce(service+" speaker EDGE")...))
	b.waitSession(15 * time.Second)
	e.waitRoute("192.0.2.2", true, 5*time.Second)
	// a's upstream is somebody who does not answer.
	dead := strings.ReplaceAll(e.speaker("a", ""), "neighbor 192.0.2.3", "neighbor 192.0.2.99")
	a := startAgent(t, e.lab, e.a, dead+e.instance(prioA, 3, "0.2", append(announce(service+" speaker EDGE"), "bgp_wait 6")...))
	begun := time.Now()
	a.waitState("BACKUP", 3*time.Second)
	time.Sleep(3 * time.Second)
	r := a.router()
	if r.State != "BACKUP" || !strings.Contains(r.Waiting, "EDGE") {
		t.Errorf("state %s, waiting %q; want BACKUP, waiting for speaker EDGE", r.State, r.Waiting)
	}
	a.waitState("MASTER", 6*time.Second)
	if took := time.Since(begun); took < 6*time.Second {
		t.Errorf("took the role after %v, before bgp_wait was over", took)
	}
}
