package integration

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// TestObjectsAsKeepalived: of the same text, both programs make the same routes and rules: at start the static ones, when
// they are Active the virtual ones too, and none at the end.
func TestObjectsAsKeepalived(t *testing.T) {
	t.Parallel()
	need(t, "keepalived")
	type side struct {
		*lan
		proc                        *lab.Process
		before, backup, active, end []string
	}
	sides := [2]side{{lan: newObjectLAN(t)}, {lan: newObjectLAN(t)}}
	for i := range sides {
		s := &sides[i]
		s.before = objectsOf(t, s.a)
		s.proc = []daemon{keepalived{}, ours{}}[i].start(s.lan, s.a, s.withObjects(prioA))
		waitFor(t, 3*time.Second, "the static routes", func() bool { return len(objectsOf(t, s.a)) >= len(s.before)+7 })
		s.backup = objectsOf(t, s.a)
	}
	for i := range sides {
		s := &sides[i]
		waitFor(t, 8*time.Second, "the address", func() bool { return holds(t, s.a, s.vip) })
		waitFor(t, 3*time.Second, "the virtual routes", func() bool { return strings.Contains(strings.Join(objectsOf(t, s.a), "\n"), "10.24.0.0/16") })
		time.Sleep(slack)
		s.active = objectsOf(t, s.a)
		must(t, s.proc.Signal(syscall.SIGTERM))
		_, err := s.proc.Wait(8 * time.Second)
		must(t, err)
		s.end = objectsOf(t, s.a)
		if !slices.Equal(s.end, s.before) {
			t.Errorf("side %d at the end:\n%s", i, difference(s.before, s.end))
		}
	}
	if d := difference(sides[0].backup, sides[1].backup); d != "" {
		t.Errorf("as Backup, - keepalived, + failoverd:\n%s", d)
	}
	if d := difference(sides[0].active, sides[1].active); d != "" {
		t.Errorf("as Active, - keepalived, + failoverd:\n%s", d)
	}
	for _, word := range virtualMarks {
		if !strings.Contains(strings.Join(sides[1].active, "\n"), word) || strings.Contains(strings.Join(sides[1].backup, "\n"), word) {
			t.Errorf("%s is not there as Active only", word)
		}
	}
}

// TestObjectsFollowTheRole: virtual routes and rules come after the addresses, which one of them needs, and go before them;
// static ones do not care. What somebody else deletes is put back, what is somebody else's is left alone.
func TestObjectsFollowTheRole(t *testing.T) {
	t.Parallel()
	n := newObjectLAN(t)
	ip := func(node *lab.Node, words string) {
		t.Helper()
		if out, code := command(t, node, append([]string{"ip"}, strings.Fields(words)...)); code != 0 {
			t.Fatal(words, out)
		}
	}
	// Somebody else's, the last one in the place of one of ours.
	for _, words := range []string{
		"route add 10.99.0.0/16 via 192.0.2.3 proto static", "rule add from 10.99.0.0/16 table 99 priority 2000", "route add blackhole 10.10.0.0/16 metric 5",
		"route add 10.12.0.0/16 via 192.0.2.77",
	} {
		ip(n.a, words)
	}
	foreign := objectsOf(t, n.a)
	seen := monitor(t, n.a)
	a := startAgent(t, n.lab, n.a, n.withObjects(prioA))
	waitFor(t, 3*time.Second, "the static routes", func() bool { return len(objectsOf(t, n.a)) >= len(foreign)+7 })
	backup := objectsOf(t, n.a)
	a.waitState("MASTER", 5*time.Second)
	b := startAgent(t, n.lab, n.b, n.withObjects(prioB))
	b.waitState("BACKUP", 3*time.Second)
	n.waitObjects(n.a, foreign)
	time.Sleep(slack)
	if got := objectsOf(t, n.b); strings.Contains(strings.Join(got, "\n"), "10.10.0.0/16") {
		t.Errorf("the Backup has %q", got)
	}
	inSequence(t, seen, 0, "inet 192.0.2.10/32", virtualMarks, false)
	if why := a.object("10.12.0.0/16"); !strings.Contains(why, "somebody else") {
		t.Errorf("a route that is in the way: status says %q", why)
	}

	// Deleted by hand: back at once, and to the role it is nothing.
	gained, active := moves(a), objectsOf(t, n.a)
	for _, words := range []string{
		"route del 10.10.0.0/16 via 192.0.2.3", "route del 10.1.0.0/16", "rule del priority 2001", "rule del priority 1000",
		"-6 route del 2001:db8:b1::/48", "route del blackhole 198.51.101.0/24", "route flush table 200", "-6 rule del priority 2003",
		"address del 203.0.113.1/24 dev eth1",
	} {
		begin := time.Now()
		ip(n.a, words)
		waitFor(t, 3*time.Second, "everything to be back after "+words, func() bool { return difference(active, objectsOf(t, n.a)) == "" })
		t.Logf("back within %v after %s", time.Since(begin).Round(time.Millisecond), words)
	}
	if moves(a) != gained {
		t.Error("a deleted route moved the role")
	}

	// The role is lost.
	mark := len(strings.Split(seen.Log(), "\n"))
	if out, code := a.rewrite(n.withObjects(prioB - 10)); code != 0 {
		t.Fatal(out)
	}
	b.waitState("MASTER", 5*time.Second)
	waitFor(t, 3*time.Second, "a to be as before", func() bool { return difference(backup, objectsOf(t, n.a)) == "" && !holds(t, n.a, n.vip) })
	inSequence(t, seen, mark, "inet 192.0.2.10/32", virtualMarks, true)
	waitFor(t, 3*time.Second, "b to have it all", func() bool {
		got := strings.Join(objectsOf(t, n.b), "\n")
		return !slices.ContainsFunc(virtualMarks, func(w string) bool { return !strings.Contains(got, w) })
	})
	must(t, a.proc.Signal(syscall.SIGTERM))
	_, err := a.proc.Wait(5 * time.Second)
	must(t, err)
	if d := difference(foreign, objectsOf(t, n.a)); d != "" {
		t.Errorf("at the end:\n%s", d)
	}
}

// TestObjectsReload: what a reload changes in the kernel is what has changed in the text.
func TestObjectsReload(t *testing.T) {
	t.Parallel()
	n := newObjectLAN(t)
	text := n.withObjects(prioA)
	a := startAgent(t, n.lab, n.a, text)
	a.waitState("MASTER", 5*time.Second)
	n.waitObjects(n.a, nil)
	seen := monitor(t, n.a)
	for _, c := range []struct {
		name, from, to string
		want           []string
	}{
		{"a comment", "virtual_rules {", "virtual_rules { # of ours", nil},
		{"a route less", "        10.10.0.0/16 via 192.0.2.3 dev eth0\n", "", []string{"Deleted 10.10.0.0/16 via 192.0.2.3 dev eth0"}},
		{"a route more", "        unreachable 10.16", "        10.30.0.0/16 via 192.0.2.4\n        unreachable 10.16", []string{"10.30.0.0/16 via 192.0.2.4 dev eth0"}},
		{"another gateway", "10.30.0.0/16 via 192.0.2.4", "10.30.0.0/16 via 192.0.2.5", []string{"10.30.0.0/16 via 192.0.2.5 dev eth0"}},
		{"another metric", "2001:db8:b2::/48 dev eth0 metric 77", "2001:db8:b2::/48 dev eth0 metric 78", []string{"2001:db8:b2::/48 dev eth0 metric 78", "Deleted 2001:db8:b2::/48 dev eth0 metric 77"}},
		{"a rule less", "        from 192.0.2.10 lookup 200 priority 2000\n", "", []string{"Deleted 2000: from 192.0.2.10 lookup 200"}},
		{"another table of a rule", "type unreachable priority 2004", "table 201 priority 2004", []string{"2004: from 10.23.0.0/16 lookup 201", "Deleted 2004: from 10.23.0.0/16 unreachable"}},
		{"a static route less", "    blackhole 10.4.0.0/16\n", "", []string{"Deleted blackhole 10.4.0.0/16"}},
		{"a static rule more", "static_rules {\n", "static_rules {\n    from 10.8.0.0/16 table 100 priority 999\n", []string{"999: from 10.8.0.0/16 lookup 100"}},
		{"another static route less", "    10.1.0.0/16 via 192.0.2.3 dev eth0\n", "", []string{"Deleted 10.1.0.0/16 via 192.0.2.3 dev eth0"}},
		{"no_track", "throw 10.18.0.0/16 table 200", "throw 10.18.0.0/16 table 200 no_track", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(text, c.from) {
				t.Fatalf("no %q in the text", c.from)
			}
			text = strings.Replace(text, c.from, c.to, 1)
			mark := len(strings.Split(seen.Log(), "\n")) - 1
			begin := time.Now()
			if out, code := a.rewrite(text); code != 0 {
				t.Fatal(out)
			}
			var got []string
			err := lab.WaitFor(t.Context(), 2*time.Second, "the changes", func() bool {
				got = nil
				for _, l := range changes(seen, mark) {
					l = strings.Join(strings.Fields(protocolWord.ReplaceAllString(l, "")), " ")
					if l != "" && !strings.Contains(l, "192.0.2.10/32") && !strings.Contains(l, "valid_lft") {
						got = append(got, strings.TrimSuffix(l, " pref medium"))
					}
				}
				return len(got) >= len(c.want) && time.Since(begin) > 200*time.Millisecond
			})
			slices.Sort(got)
			slices.Sort(c.want)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%v: the kernel saw %q, want %q", err, got, c.want)
			}
		})
	}
	if r := a.router(); r.State != "MASTER" || r.Counters.BecameMaster != 1 {
		t.Errorf("the role was disturbed: %+v", r.Counters)
	}
}

// kernelBIRD exports what is in the kernel.
const kernelBIRD = `log stderr all;
router id 192.0.2.1;
protocol device { scan time 1; }
protocol kernel { learn; scan time 20; ipv4 { import where net ~ [ 198.51.100.0/23+ ]; export none; }; }
protocol bgp up {
	local 192.0.2.1 as 64501; neighbor 192.0.2.3 as 64500;
	connect delay time 1; connect retry time 1; error wait time 1, 2;
	ipv4 { import none; export all; next hop self; };
}
`

// TestObjectsToBGP: the third way to BGP, beside bgp_announce and scripts: a routing daemon on the host exports a virtual
// route. It announces as soon as the address is in, and the kernel route goes before the address does.
func TestObjectsToBGP(t *testing.T) {
	t.Parallel()
	e := newEdge(t, "")
	path, err := e.lab.WriteFile("a.bird.conf", kernelBIRD)
	must(t, err)
	_, err = e.a.Start(lab.Command{Name: "bird-a", Argv: []string{"bird", "-f", "-c", path, "-s", filepath.Join(e.lab.Dir(), "a.ctl")}})
	must(t, err)
	waitFor(t, 15*time.Second, "the session", func() bool { return strings.Contains(e.up.ask("show", "protocols", "p0"), "Established") })
	conf := func(priority int) string {
		return e.instance(priority, 3, "0.3", "virtual_routes {", "    198.51.100.0/24 dev lo", "    blackhole 198.51.101.0/24", "}")
	}
	b := startAgent(t, e.lab, e.b, e.instance(prioB, 3, "0.3"))
	b.waitState("MASTER", 5*time.Second)
	w := watchOf(t, e.a)
	begin := time.Now()
	a := startAgent(t, e.lab, e.a, conf(prioA))
	a.waitState("MASTER", 5*time.Second)
	e.waitRoute("192.0.2.1", true, 3*time.Second)
	time.Sleep(slack)
	wire := e.capture
	ad := first(t, wire, begin, "vrrp 192.0.2.1 >", "priority 200")
	added := first(t, w, begin, "address added 192.0.2.10/32")
	route := first(t, w, begin, "route added 198.51.100.0/24")
	hole := first(t, w, begin, "route added 198.51.101.0/24")
	update := first(t, wire, begin, "192.0.2.1 ", "announce", "198.51.100.0/24")
	inOrder(t, ad, added, 0)
	inOrder(t, added, route, 0)
	inOrder(t, added, hole, 0)
	inOrder(t, route, update, 5*time.Millisecond)
	t.Logf("advertisement +0, address %v, route %v, UPDATE %v", added.Sub(ad), route.Sub(ad), update.Sub(ad))

	lost := time.Now()
	if out, code := a.rewrite(conf(prioB - 10)); code != 0 {
		t.Fatal(out)
	}
	b.waitState("MASTER", 3*time.Second)
	waitFor(t, 3*time.Second, "the withdrawal", func() bool { return !strings.Contains(e.up.ask("show", "route"), "198.51.10") })
	waitFor(t, 3*time.Second, "the address to go", func() bool { return !holds(t, e.a, e.vip) })
	time.Sleep(slack)
	out := first(t, w, lost, "route removed 198.51.100.0/24")
	hole = first(t, w, lost, "route removed 198.51.101.0/24")
	gone := first(t, w, lost, "address removed 192.0.2.10/32")
	withdrawn := first(t, wire, lost, "192.0.2.1 ", "withdraw", "198.51.100.0/24")
	inOrder(t, out, gone, 0)
	inOrder(t, hole, gone, 0)
	t.Logf("loss: route +0, address %v, BIRD's withdrawal %v", gone.Sub(out), withdrawn.Sub(out))
	if withdrawn.Sub(out) > slack {
		t.Errorf("the withdrawal came %v after the route had gone", withdrawn.Sub(out))
	}
}

// TestObjectsAfterCrash: what a killed agent has left goes with the next start, but for the static ones, which stay as they
// are; the virtual ones come back with the role.
func TestObjectsAfterCrash(t *testing.T) {
	t.Parallel()
	n := newObjectLAN(t)
	before := objectsOf(t, n.a)
	text := n.withObjects(prioA)
	a := startAgent(t, n.lab, n.a, text)
	waitFor(t, 3*time.Second, "the static routes", func() bool { return len(objectsOf(t, n.a)) >= len(before)+7 })
	backup := objectsOf(t, n.a)
	a.waitState("MASTER", 5*time.Second)
	n.waitObjects(n.a, nil)
	active := objectsOf(t, n.a)
	must(t, a.proc.Kill())
	seen := monitor(t, n.a)
	mark := len(strings.Split(seen.Log(), "\n")) - 1
	a = startAgent(t, n.lab, n.a, text)
	waitFor(t, 3*time.Second, "the leftovers to be gone", func() bool { return difference(backup, objectsOf(t, n.a)) == "" })
	static := []string{"10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16", "2001:db8:a1::/48", "10.9.0.0/16", "2001:db8:a9::/48", "203.0.113.1"}
	for _, l := range changes(seen, mark, static...) {
		t.Errorf("a static one was touched: %s", l)
	}
	a.waitState("MASTER", 5*time.Second)
	waitFor(t, 3*time.Second, "all to be back", func() bool { return difference(active, objectsOf(t, n.a)) == "" })
}
