package integration

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// covering is the topology of the recipe covering: two routers of the mainland on one switch, one in Hong Kong, an
// upstream that both sites are customers of, and a client behind that.
type covering struct {
	t                      *testing.T
	lab                    *lab.Lab
	m1, m2, hk, up, client *lab.Node
	isp                    []*lab.Port // of the mainland, towards the upstream
	lan                    []*lab.Port
	bird                   *bird
	probe                  *lab.Probe
	wire                   *lab.Capture // of Hong Kong's line to the upstream
}

const coveringVIP = "198.18.100.10"

func newCovering(t *testing.T) *covering {
	t.Helper()
	notShort(t)
	need(t, "bird", "birdc")
	c := &covering{t: t, lab: lab.ForTest(t)}
	for name, n := range map[string]**lab.Node{"m1": &c.m1, "m2": &c.m2, "hk": &c.hk, "up": &c.up, "client": &c.client} {
		var err error
		*n, err = c.lab.Node(name)
		must(t, err)
	}
	lan, err := c.lab.Switch("lan")
	must(t, err)
	isp, err := c.lab.Switch("isp")
	must(t, err)
	far, err := c.lab.Switch("far")
	must(t, err)
	for n, last := range map[*lab.Node]string{c.m1: "2", c.m2: "3"} {
		c.lan = append(c.lan, c.plug(lan, n, "eth0", "10.1.0."+last+"/24"))
		c.isp = append(c.isp, c.plug(isp, n, "isp0", "203.0.113."+last+"/29"))
	}
	c.plug(isp, c.up, "mainland", "203.0.113.1/29")
	c.plug(far, c.up, "hk", "203.0.113.9/30")
	c.plug(far, c.hk, "isp0", "203.0.113.10/30")
	must(t, c.lab.Connect(c.up, "client", c.client, "eth0"))
	must(t, c.up.AddAddress("client", "192.0.2.1/24"))
	must(t, c.client.AddAddress("eth0", "192.0.2.2/24"))
	for n, via := range map[*lab.Node]string{c.m1: "203.0.113.1", c.m2: "203.0.113.1", c.hk: "203.0.113.9"} {
		must(t, n.AddRoute(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr(via)))
		_, err := n.Respond()
		must(t, err)
		startService(t, n)
	}
	must(t, c.client.AddRoute(netip.MustParsePrefix("198.18.0.0/15"), netip.MustParseAddr("192.0.2.1")))
	must(t, c.up.Sysctl("ipv4/ip_forward", "1"))
	c.probe, err = c.client.Probe(netip.MustParseAddr(coveringVIP))
	must(t, err)
	c.wire, err = c.hk.Capture("isp0")
	must(t, err)
	return c
}

func (c *covering) plug(sw *lab.Switch, n *lab.Node, nic, addr string) *lab.Port {
	c.t.Helper()
	p, err := sw.Plug(n, nic)
	must(c.t, err)
	must(c.t, n.AddAddress(nic, addr))
	return p
}

// startUpstream runs BIRD with the recipe's file.
func (c *covering) startUpstream(oldnew ...string) {
	c.t.Helper()
	c.bird = startBirdText(c.t, c.lab, c.up, exampleFile(c.t, "covering/upstream.bird", oldnew...))
}

// answeredBy waits until the client's probes are answered by a node, and by nobody else any more.
func (c *covering) answeredBy(name string, d time.Duration) time.Time {
	c.t.Helper()
	waitFor(c.t, d, "the client to reach "+name, func() bool {
		now := time.Now()
		a := c.probe.Answers(now.Add(-100*time.Millisecond), now)
		return len(a) == 1 && a[name] > 0
	})
	return time.Now()
}

// TestCoveringPrefix: the standby's /23 gets the traffic as soon as the active site's /24 is gone, without anything
// happening at the standby, and loses it when the /24 returns.
func TestCoveringPrefix_BGP_STBY_01(t *testing.T) {
	t.Parallel()
	c := newCovering(t)
	c.startUpstream()
	hk := startExample(t, c.lab, c.hk, "covering/hongkong.conf", "")
	hk.waitSession(15 * time.Second)
	c.answeredBy("hk", 10*time.Second) // there is nobody else yet
	m1 := startExample(t, c.lab, c.m1, "covering/mainland.conf", "m1")
	m2 := startExample(t, c.lab, c.m2, "covering/mainland.conf", "m2")
	c.answeredBy("m1", 15*time.Second)
	m2.waitState("BACKUP", time.Second)
	m2.waitSession(15 * time.Second)
	quiet := time.Now()

	// Within the site, its own second router is faster than anything else.
	must(t, m1.proc.Kill())
	c.answeredBy("m2", 5*time.Second)
	if o := c.probe.Longest(quiet, time.Now()); o.Duration()-o.Blind > slack {
		t.Errorf("m1 killed: %v, with Hong Kong's /23 in place", o)
	}
	t.Logf("m1 killed: the longest outage is %v; answers %v", c.probe.Longest(quiet, time.Now()), c.probe.Answers(quiet, time.Now()))

	// The power of the site fails: the upstream's hold time, and BIRD's clock, which may be up to 3 s late.
	cut := time.Now()
	must(t, lab.Cut(append(c.isp, c.lan...)...))
	must(t, m2.proc.Kill())
	c.answeredBy("hk", 3*time.Second+3*time.Second+slack)
	t.Logf("the mainland's power cut: %v", c.probe.Longest(cut, time.Now()))
	for _, m := range c.wire.BGP() {
		if m.At.After(quiet) && m.Src.String() == "203.0.113.10" && m.Type != lab.BGPKeepalive {
			t.Errorf("Hong Kong had to do something: %s", m.String())
		}
	}
	if s := hk.status().Services[0]; s.TimesAnnounced != 1 || s.TimesWithdrawn != 0 {
		t.Errorf("Hong Kong changed its state: %s, %s; announced %d times, withdrawn %d times", s.State, s.Why, s.TimesAnnounced, s.TimesWithdrawn)
	}

	// It returns, and nothing is lost: the /23 is there until the /24 is.
	must(t, lab.Mend(append(c.isp, c.lan...)...))
	back := time.Now()
	startExample(t, c.lab, c.m1, "covering/mainland.conf", "m1")
	c.answeredBy("m1", 20*time.Second)
	time.Sleep(slack)
	if o := c.probe.Longest(back, time.Now()); o.Duration()-o.Blind > 0 {
		t.Errorf("the return cost %v", o)
	}
}

// TestPrependedStandby: with a standby that announces the same /24 with a longer path, the upstream prefers the active
// site only while it has no reason of its own: a local preference for the standby's session, as every transit provider
// has for its customers, outweighs any prepend.
func TestPrependedStandby_BGP_STBY_02(t *testing.T) {
	t.Parallel()
	c := newCovering(t)
	const filter = "import where net = 198.18.100.0/23"
	c.startUpstream(filter, "import where net = 198.18.100.0/24")
	hk := startExample(t, c.lab, c.hk, "covering/hongkong.conf", "", "198.18.100.0/23 speaker EDGE", "198.18.100.0/24 speaker EDGE prepend 3",
		"allow_prefix { 198.18.100.0/23 }", "allow_prefix { 198.18.100.0/24 }")
	hk.waitSession(15 * time.Second)
	c.answeredBy("hk", 10*time.Second)
	startExample(t, c.lab, c.m1, "covering/mainland.conf", "m1")
	c.answeredBy("m1", 20*time.Second)
	both := c.bird.ask("show", "route", "198.18.100.0/24", "all")
	for _, path := range []string{"BGP.as_path: 64501\n", "BGP.as_path: 64502 64502 64502 64502\n"} {
		if !strings.Contains(both, path) {
			t.Errorf("the upstream has no %q in:\n%s", path, both)
		}
	}

	_, err := c.lab.WriteFile("up.bird.conf", exampleFile(t, "covering/upstream.bird", filter,
		"import filter { bgp_local_pref = 200; if net = 198.18.100.0/24 then accept; reject; }"))
	must(t, err)
	c.bird.ask("configure")
	c.answeredBy("hk", 5*time.Second)
	t.Log("with a local preference for Hong Kong's session, three prepends are nothing")
}
