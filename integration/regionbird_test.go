package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// birdFor is the configuration of a BIRD that is a region's upstream. It follows RFC 8326: a route that is about to go is
// worth nothing as soon as there is another one. The upstreams tell each other, and Hong Kong's tells its customer, so
// that hk sees whose announcement counts.
const birdFor = `log stderr all;
router id %[1]s;
protocol device { scan time 1; }
protocol kernel { ipv4 { import none; export all; }; }
protocol static { ipv4; route 192.0.2.0/29 via %[7]s; }
filter customer {
	if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
	accept;
}
protocol bgp across {
	local %[2]s as %[3]d; neighbor %[4]s as %[5]d;
	multihop 3; hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2;
	ipv4 { import all; export where net = %[6]s; next hop self; };
}
`

// birdCustomer is a session with a machine.
const birdCustomer = `protocol bgp %[1]s {
	local %[2]s as %[3]d; neighbor %[4]s as %[5]d;
	hold time 6; keepalive time 1; connect delay time 1; connect retry time 1; error wait time 1, 2;
	ipv4 { import filter customer; export %[6]s; };
}
`

// startBirds runs BIRD on both upstreams.
func (r *region) startBirds() (m, k *bird) {
	r.t.Helper()
	m = r.startBird(r.upm, fmt.Sprintf(birdFor, ispUpM, "192.0.2.2", 64500, "192.0.2.6", 64510, service, "192.0.2.1")+
		fmt.Sprintf(birdCustomer, "m1", ispUpM, 64500, ispM1, 64501, "none")+
		fmt.Sprintf(birdCustomer, "m2", ispUpM, 64500, ispM2, 64501, "none"))
	k = r.startBird(r.upk, fmt.Sprintf(birdFor, ispUpK, "192.0.2.6", 64510, "192.0.2.2", 64500, service, "192.0.2.5")+
		fmt.Sprintf(birdCustomer, "hk", ispUpK, 64510, ispHK, 64502, "where net = "+service))
	return m, k
}

func (r *region) startBird(n *lab.Node, conf string) *bird {
	r.t.Helper()
	path, err := r.lab.WriteFile(n.Name()+".bird.conf", conf)
	must(r.t, err)
	b := &bird{t: r.t, node: n, ctl: r.lab.Dir() + "/" + n.Name() + ".bird.ctl"}
	b.proc, err = n.Start(lab.Command{Name: "bird-" + n.Name(), Argv: []string{"bird", "-f", "-c", path, "-s", b.ctl}})
	must(r.t, err)
	return b
}

// TestOrderlyFailbackWithBIRD: the mainland returns from a power cut, and not one probe is lost. Hong Kong marks its route
// with graceful-shutdown and serves on until it sees the mainland's announcement through its own upstream, which is long
// before handover_overlap is over; then it withdraws, and then lets the address go.
func TestOrderlyFailbackWithBIRD(t *testing.T) {
	t.Parallel()
	need(t, "bird", "birdc")
	c := quickRegion(true)
	c.hold = 6 * time.Second // the longest overlap that check accepts
	c.overlap, c.handoverUntil = c.hold, "mainland_back"
	c.extra = map[string]string{"hk": lines("health_check mainland_back {", "    bgp_route "+service+" {", "        speaker EDGE", "        origin_as 64501",
		"    }", "    interval 0.5", "    rise 1", "    fall 1", "}")}
	for _, m := range []string{"m1", "m2"} {
		// The same words in all instances: the mainland would ask for Hong Kong's announcement.
		c.extra[m] = lines("health_check mainland_back {", "    bgp_route "+service+" {", "        speaker EDGE", "        origin_as 64502",
			"    }", "    interval 0.5", "    rise 1", "    fall 1", "}")
	}
	r := newRegion(t, c)
	_, k := r.startBirds()
	r.startAgents()
	cut := time.Now()
	r.make(cutSite)
	r.waitServing(r.hk, cut, c.observation()+10*slack)
	time.Sleep(c.hold)
	capture, err := r.hk.Capture("isp0")
	must(t, err)
	before := time.Now()
	r.mend(cutSite)
	r.waitServes(r.m1, 60*time.Second)
	after := time.Now()
	time.Sleep(slack)
	if o := r.probe.Longest(before, after); o.Duration()-o.Blind > 0 {
		t.Errorf("the return cost %v", o)
	}
	wire, kernel := capture, r.hk.watch
	marked := first(t, wire, before, ispHK+" ", "announce", service)
	withdrawn := first(t, wire, marked, ispHK+" ", "withdraw", service)
	removed := first(t, kernel, before, "address removed "+regionVIP)
	inOrder(t, marked, withdrawn, 0)
	inOrder(t, withdrawn, removed, 0)
	overlap := withdrawn.Sub(marked)
	t.Logf("hk marked its route, withdrew it %v later, let the address go %v after that; m1 served %.1f s after the power",
		overlap, removed.Sub(withdrawn), r.waitServing(r.m1, before, time.Second).Sub(before).Seconds())
	if overlap >= c.overlap {
		t.Errorf("the overlap lasted %v: the check did not end it", overlap)
	}
	if out := k.ask("show", "route", service, "all"); !strings.Contains(out, "64500 64501") {
		t.Errorf("Hong Kong's upstream does not send the service to the mainland:\n%s", out)
	}
}
