package integration

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// Timers of this lab. The session is lost when hold has passed since the last message, which is at most a keepalive old
// when the way is cut; wanSlack is what a busy machine may add.
const (
	wanHold      = 3 * time.Second
	wanKeepalive = time.Second
	wanSlack     = 1500 * time.Millisecond
)

// twoHomes are two routers on one LAN, each with a cable of its own to their upstream: a real BIRD that puts what it learns
// into its kernel. The client is behind it.
type twoHomes struct {
	*lan
	up   *bird
	far  *lab.Node
	vip  netip.Addr
	home map[*lab.Node]uplink
}

// uplink is one of the cables: the upstream's address on it, and the router's.
type uplink struct{ theirs, ours string }

func newTwoHomes(t *testing.T) *twoHomes {
	t.Helper()
	need(t, "bird", "nft")
	w := &twoHomes{lan: newLAN(t, false), vip: netip.MustParseAddr("198.51.100.10")}
	w.home = map[*lab.Node]uplink{w.a: {"203.0.113.1", "203.0.113.2"}, w.b: {"203.0.113.5", "203.0.113.6"}}
	up, err := w.lab.Node("up")
	must(t, err)
	w.far, err = w.lab.Node("far")
	must(t, err)
	must(t, up.Sysctl("ipv4/ip_forward", "1"))
	w.cable(up, "far", "10.9.0.1/24", w.far, "eth0", "10.9.0.2/24")
	must(t, w.far.AddRoute(netip.MustParsePrefix(service), netip.MustParseAddr("10.9.0.1")))
	conf := "log stderr all;\nrouter id 10.9.0.1;\nprotocol device { scan time 1; }\nprotocol direct { ipv4; interface \"a\", \"b\"; }\n" +
		"protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }\n"
	for h, u := range w.home {
		w.cable(up, h.Name(), u.theirs+"/30", h, "eth1", u.ours+"/30")
		must(t, h.AddRoute(netip.MustParsePrefix("10.9.0.0/24"), netip.MustParseAddr(u.theirs)))
		conf += fmt.Sprintf(`protocol bgp %s {
	local %s as 64500; neighbor %s as 64501;
	hold time %d; keepalive time %d; connect delay time 1; connect retry time 1; error wait time 1, 1;
	ipv4 { import all; export none; };
}
`, "to_"+h.Name(), u.theirs, u.ours, int(wanHold.Seconds()), int(wanKeepalive.Seconds()))
	}
	w.up = startBirdText(t, w.lab, up, conf)
	return w
}

// cable joins two nodes and gives both ends an address.
func (w *twoHomes) cable(a *lab.Node, ifA, addrA string, b *lab.Node, ifB, addrB string) {
	w.t.Helper()
	must(w.t, w.lab.Connect(a, ifA, b, ifB))
	must(w.t, a.AddAddress(ifA, addrA))
	must(w.t, b.AddAddress(ifB, addrB))
}

// conf is a router's configuration with a weight for its upstream; "": losing it is a FAULT.
func (w *twoHomes) conf(host *lab.Node, priority int, weight string) string {
	u := w.home[host]
	return lines(
		"bgp_speaker EDGE {", "    local_as 64501", "    router_id "+u.ours, "    allow_prefix {", "        "+service, "    }",
		"    neighbor "+u.theirs+" {", "        remote_as 64500", "        local_address "+u.ours,
		fmt.Sprintf("        hold_time %d", int(wanHold.Seconds())), fmt.Sprintf("        keepalive %d", int(wanKeepalive.Seconds())),
		"        connect_retry 1", "    }", "}",
		"vrrp_instance V {", "    state BACKUP", "    interface eth0", "    virtual_router_id 51", "    version 3",
		fmt.Sprintf("    priority %d", priority), "    advert_int 0.2",
		"    track_bgp {", "        EDGE "+weight, "    }",
		"    bgp_announce {", "        "+service+" speaker EDGE", "    }",
		"    virtual_ipaddress {", "        "+w.vip.String()+"/32", "    }", "}")
}

// cut has nft drop what comes from the upstream of a and what goes there, without a word to anybody.
func (w *twoHomes) cut() {
	w.t.Helper()
	path, err := w.lab.WriteFile("cut.nft", "table inet uplink {\n  chain in {\n    type filter hook input priority 0;\n    iifname \"eth1\" drop\n  }\n"+
		"  chain out {\n    type filter hook output priority 0;\n    oifname \"eth1\" drop\n  }\n}\n")
	must(w.t, err)
	w.nft("-f", path)
}

func (w *twoHomes) nft(args ...string) {
	w.t.Helper()
	if out, code := command(w.t, w.a, append([]string{"nft"}, args...)); code != 0 {
		w.t.Fatalf("nft %s: %s", strings.Join(args, " "), out)
	}
}

// tracked returns what a router makes of its upstream.
func (a *agent) tracked() (state string, priority uint8, ok bool) {
	r := a.router()
	if r == nil || len(r.Tracks) != 1 {
		return "", 0, false
	}
	return r.State, r.PriorityEffective, r.Tracks[0].Known && r.Tracks[0].OK
}

// served waits until the client's probes of the service are answered by a router, and returns the longest time without
// any answer since a moment.
func (w *twoHomes) served(p *lab.Probe, by string, since time.Time, d time.Duration) time.Duration {
	w.t.Helper()
	waitFor(w.t, d, "the client to be served by "+by, func() bool {
		_, _, ok := p.FirstAnswer(since, by)
		return ok
	})
	at, _, _ := p.FirstAnswer(since, by)
	return p.Longest(since, at).Duration()
}

// TestDeadUpstream: a router that tracks its upstream notices that it is dead: within the hold time where everything is
// swallowed without a word, and at once where the interface is down. With a weight its priority falls below the other's,
// without one it is in FAULT; the other router takes over, and the client behind the upstream is served by it. When the upstream
// is back, so is the router.
func TestDeadUpstream(t *testing.T) {
	t.Parallel()
	w := newTwoHomes(t)
	a := startAgent(t, w.lab, w.a, w.conf(w.a, prioA, "weight -100"))
	b := startAgent(t, w.lab, w.b, w.conf(w.b, prioB, ""))
	b.waitSession(15 * time.Second)
	a.waitSession(15 * time.Second)
	a.waitState("MASTER", 15*time.Second)
	b.waitState("BACKUP", 5*time.Second)
	client, err := w.far.Probe(w.vip)
	must(t, err)
	w.served(client, "a", time.Now(), 5*time.Second)

	// Whoever is elected has been so after three advertisements and the skew at most.
	const elected = 3*200*time.Millisecond + (256-prioB)*200*time.Millisecond/256
	cut := time.Now()
	w.cut()
	waitFor(t, wanHold+wanSlack, "a to find its upstream dead", func() bool { _, _, ok := a.tracked(); return !ok })
	found := time.Since(cut)
	if found < wanHold-wanKeepalive-slack {
		t.Errorf("a found its upstream dead %v after a cut that nobody can see: the hold time is %v", found, wanHold)
	}
	b.waitState("MASTER", elected+wanSlack)
	took := time.Since(cut)
	outage := w.served(client, "b", cut, wanHold+elected+wanSlack)
	if limit := wanHold + elected + wanSlack; outage > limit {
		t.Errorf("the client was without an answer for %v, want %v at most", outage, limit)
	}
	a.waitState("BACKUP", 2*time.Second)
	if state, priority, _ := a.tracked(); priority != prioA-100 {
		t.Errorf("a is %s with priority %d, want %d", state, priority, prioA-100)
	}
	waitFor(t, 2*time.Second, "a to let the address go", func() bool { return !holds(t, w.a, w.vip) })
	t.Logf("cut without a word: found after %v, b took over after %v, the client was without an answer for %v", found, took, outage)

	// The way is there again. From now on losing it is a FAULT.
	w.nft("delete", "table", "inet", "uplink")
	a.waitSession(15 * time.Second)
	takesOver(t, a, b, w.vip)
	must(t, os.WriteFile(a.conf, []byte(w.conf(w.a, prioA, "")), 0o600))
	a.ask("reload")
	w.served(client, "a", time.Now(), 10*time.Second)
	if r := b.router(); r == nil || r.State != "BACKUP" || holds(t, w.b, w.vip) {
		t.Errorf("b after the reload of a: %+v", r)
	}

	down := time.Now()
	must(t, w.a.SetUp("eth1", false))
	a.waitState("FAULT", wanHold-wanKeepalive-slack) // sooner than any silence would tell
	found = time.Since(down)
	b.waitState("MASTER", elected+wanSlack)
	took = time.Since(down)
	if outage = w.served(client, "b", down, wanHold); outage > wanHold-wanKeepalive-slack {
		t.Errorf("the client was without an answer for %v, as if nobody had seen the cable go", outage)
	}
	t.Logf("interface down: found after %v, b took over after %v, the client was without an answer for %v", found, took, outage)
	if r := a.router(); r == nil || !strings.Contains(r.Why+r.Now+r.Waiting, "track_bgp EDGE") {
		t.Errorf("a does not say why it is in FAULT: %+v", r)
	}
	must(t, w.a.SetUp("eth1", true))
	a.waitSession(15 * time.Second)
	a.waitState("MASTER", 10*time.Second)
}
