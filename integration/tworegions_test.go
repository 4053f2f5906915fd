package integration

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/integration/lab"
)

// twoRegions is the topology of the recipe two-regions: a node on the mainland and two in Hong Kong on a network between
// the regions, with an RPKI cache; an upstream for each region, joined to each other; a client in Hong Kong.
type twoRegions struct {
	t                                 *testing.T
	lab                               *lab.Lab
	m, h1, h2, upm, upk, rpki, client *lab.Node
	wan                               map[*lab.Node]*lab.Port
	isp                               *lab.Port // the mainland's
	hongKong                          *bird
	probe                             *lab.Probe
	vrps                              string // the cache's file
	key                               string
}

func newTwoRegions(t *testing.T) *twoRegions {
	t.Helper()
	notShort(t)
	need(t, "bird", "stayrtr")
	r := &twoRegions{t: t, lab: lab.ForTest(t), wan: make(map[*lab.Node]*lab.Port)}
	var err error
	for name, n := range map[string]**lab.Node{
		"m": &r.m, "h1": &r.h1, "h2": &r.h2, "upm": &r.upm, "upk": &r.upk, "rpki": &r.rpki, "client": &r.client,
	} {
		*n, err = r.lab.Node(name)
		must(t, err)
	}
	wan, ispM, ispK := r.makeSwitch("wan"), r.makeSwitch("isp-m"), r.makeSwitch("isp-k")
	for n, addr := range map[*lab.Node]string{r.m: "10.0.0.1/24", r.h1: "10.0.0.2/24", r.h2: "10.0.0.3/24", r.rpki: "10.0.0.9/24"} {
		r.wan[n] = r.plug(wan, n, "eth0", addr)
	}
	r.isp = r.plug(ispM, r.m, "isp0", "203.0.113.2/30")
	r.plug(ispM, r.upm, "isp0", "203.0.113.1/30")
	r.plug(ispK, r.h1, "isp0", "203.0.113.10/29")
	r.plug(ispK, r.h2, "isp0", "203.0.113.11/29")
	r.plug(ispK, r.upk, "isp0", "203.0.113.9/29")
	must(t, r.lab.Connect(r.upm, "far", r.upk, "far"))
	must(t, r.upm.AddAddress("far", "192.0.2.1/30"))
	must(t, r.upk.AddAddress("far", "192.0.2.2/30"))
	must(t, r.lab.Connect(r.upk, "client", r.client, "eth0"))
	must(t, r.upk.AddAddress("client", "192.0.2.129/25"))
	must(t, r.client.AddAddress("eth0", "192.0.2.130/25"))
	for n, via := range map[*lab.Node]string{r.m: "203.0.113.1", r.h1: "203.0.113.9", r.h2: "203.0.113.9", r.upm: "192.0.2.2"} {
		must(t, n.AddRoute(netip.MustParsePrefix("192.0.2.128/25"), netip.MustParseAddr(via)))
	}
	must(t, r.client.AddRoute(netip.MustParsePrefix(service), netip.MustParseAddr("192.0.2.129")))
	for _, n := range []*lab.Node{r.upm, r.upk} {
		must(t, n.Sysctl("ipv4/ip_forward", "1"))
	}
	for _, n := range []*lab.Node{r.m, r.h1, r.h2} {
		_, err := n.Respond()
		must(t, err)
	}
	r.daemons()
	r.probe, err = r.client.Probe(netip.MustParseAddr("198.51.100.10"))
	must(t, err)
	return r
}

// daemons starts the upstreams and the RPKI cache.
func (r *twoRegions) daemons() {
	r.t.Helper()
	startBirdText(r.t, r.lab, r.upm, exampleFile(r.t, "two-regions/upstream-mainland.bird"))
	r.hongKong = startBirdText(r.t, r.lab, r.upk, exampleFile(r.t, "two-regions/upstream-hongkong.bird"))
	var err error
	r.key, err = r.lab.WriteFile("vrrp.key", "a key of more than thirty-two octets, of this lab\n")
	must(r.t, err)
	r.authorize(64501, 64502)
	_, err = r.rpki.Start(lab.Command{Argv: []string{
		"stayrtr", "-bind", "10.0.0.9:8282", "-metrics.addr", "127.0.0.1:9847", "-cache", r.vrps, "-checktime=false", "-refresh", "1", "-protocol", "1",
	}})
	must(r.t, err)
}

// authorize writes what the RPKI says of the service: who may originate it.
func (r *twoRegions) authorize(origins ...int) {
	r.t.Helper()
	var roas []string
	for _, as := range origins {
		roas = append(roas, fmt.Sprintf(`{"prefix": %q, "maxLength": 24, "asn": "AS%d", "ta": "lab"}`, service, as))
	}
	var err error
	r.vrps, err = r.lab.WriteFile("vrps.json.new", fmt.Sprintf(`{"metadata": {}, "roas": [%s]}`, strings.Join(roas, ", ")))
	must(r.t, err)
	// From one instruction to the next, so that nobody reads half of it.
	final := strings.TrimSuffix(r.vrps, ".new")
	must(r.t, os.Rename(r.vrps, final))
	r.vrps = final
}

func (r *twoRegions) makeSwitch(name string) *lab.Switch {
	r.t.Helper()
	sw, err := r.lab.Switch(name)
	must(r.t, err)
	return sw
}

func (r *twoRegions) plug(sw *lab.Switch, n *lab.Node, nic, addr string) *lab.Port {
	r.t.Helper()
	p, err := sw.Plug(n, nic)
	must(r.t, err)
	must(r.t, n.AddAddress(nic, addr))
	return p
}

func (r *twoRegions) start(n *lab.Node, file, id string) *agent {
	r.t.Helper()
	return startExample(r.t, r.lab, n, "two-regions/"+file, id, "/etc/failoverd/vrrp.key", r.key)
}

// answeredBy waits until the client's probes are answered by a node, and by nobody else any more, and returns how long that
// took.
func (r *twoRegions) answeredBy(n *lab.Node, d time.Duration) time.Duration {
	r.t.Helper()
	began := time.Now()
	waitFor(r.t, d, "the client to reach "+n.Name(), func() bool {
		now := time.Now()
		a := r.probe.Answers(now.Add(-100*time.Millisecond), now)
		return len(a) == 1 && a[n.Name()] > 0
	})
	return time.Since(began).Round(time.Millisecond)
}

// origin returns what an agent says of the validity of its service's origin.
func (a *agent) origin() failover.OriginStatus {
	if s := a.status(); s != nil && len(s.Speakers) == 1 && s.Speakers[0].RPKI != nil && len(s.Speakers[0].RPKI.Origins) == 1 {
		return s.Speakers[0].RPKI.Origins[0]
	}
	return failover.OriginStatus{}
}

func (a *agent) waitOrigin(validity string, d time.Duration) {
	a.t.Helper()
	waitFor(a.t, d, a.node.Name()+" to say that its origin is "+validity, func() bool { return a.origin().Validity == validity })
}

// TestTwoRegions: the mainland serves. Its successor's origin becomes invalid in the RPKI: status says so before anything
// has happened, and the takeover announces nothing until that is mended. Then of the two nodes in Hong Kong only one attracts
// traffic, also when both announce.
func TestTwoRegions(t *testing.T) {
	t.Parallel()
	r := newTwoRegions(t)
	m, h1, h2 := r.start(r.m, "mainland.conf", ""), r.start(r.h1, "hongkong.conf", "h1"), r.start(r.h2, "hongkong.conf", "h2")
	r.answeredBy(r.m, 20*time.Second)
	h1.waitSession(15 * time.Second)
	h2.waitSession(15 * time.Second)
	h1.waitOrigin("valid", 5*time.Second)
	h2.waitOrigin("valid", 5*time.Second)

	r.authorize(64501)
	flipped := time.Now()
	h1.waitOrigin("invalid", 5*time.Second) // the cache looks every second, and tells at once
	h2.waitOrigin("invalid", time.Second)
	t.Logf("the standby knew that its origin was invalid %v after the change", time.Since(flipped).Round(time.Millisecond))
	if o := h1.origin(); o.Wanted || !strings.Contains(o.Effect, "refused") {
		t.Errorf("status of the standby: %+v", o)
	}
	if m.origin().Validity != "valid" {
		t.Errorf("the mainland's origin: %+v", m.origin())
	}

	cut := time.Now()
	must(t, lab.Cut(r.isp, r.wan[r.m]))
	must(t, m.proc.Kill())
	h1.waitState("MASTER", 2*4*300*time.Millisecond+slack) // on a busy machine it listens once more
	// The mainland's route goes with the hold time and BIRD's clock. Nothing may take its place.
	waitFor(t, 6*time.Second+slack, "the mainland's route to be gone", func() bool {
		return strings.Contains(r.hongKong.ask("show", "route", service), "Network not found")
	})
	time.Sleep(time.Second)
	if out := r.hongKong.ask("show", "route", service); !strings.Contains(out, "Network not found") {
		t.Errorf("an invalid origin was announced:\n%s", out)
	}
	if route := h1.router().Routes[0]; !route.Wanted || route.Announced || !strings.Contains(route.Error, "RPKI says that the origin is invalid") {
		t.Errorf("status after the takeover: %+v", route)
	}
	t.Logf("%v after the power cut, h1 is MASTER and refuses to announce", time.Since(cut).Round(time.Second))

	r.authorize(64501, 64502)
	t.Logf("authorized again: the client is answered by h1 after %v", r.answeredBy(r.h1, 5*time.Second))

	// Cut off from each other, both Hong Kong nodes have the role and announce; one attracts.
	before := time.Now()
	must(t, r.wan[r.h2].Cut())
	h2.waitState("MASTER", 5*time.Second)
	waitFor(t, 3*time.Second, "the upstream to have both routes", func() bool {
		return strings.Count(r.hongKong.ask("show", "route", service), "AS64502") == 2
	})
	time.Sleep(500 * time.Millisecond)
	if a := r.probe.Answers(before, time.Now()); a["h2"] > 0 || a["h1"] == 0 {
		t.Errorf("while both announce, the answers come from %v", a)
	}
	if o := r.probe.Longest(before, time.Now()); o.Duration()-o.Blind > 0 {
		t.Errorf("the second announcement cost %v", o)
	}
	must(t, r.wan[r.h2].Mend())
	h2.waitState("BACKUP", 3*time.Second)

	must(t, h1.proc.Kill())
	t.Logf("h1 died: the client is answered by h2 after %v", r.answeredBy(r.h2, 5*time.Second))
	must(t, lab.Mend(r.isp, r.wan[r.m]))
	r.start(r.m, "mainland.conf", "")
	t.Logf("the mainland returned: the client is answered by it after %v", r.answeredBy(r.m, 20*time.Second))
}
