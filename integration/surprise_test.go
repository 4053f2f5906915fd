package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What has surprised keepalived's users, and what happens here instead. The numbers are those of the table in
// conf/docs/differences.md.

// tracked is an instance with a track_script, and the definition of its script.
func (n *lan) tracked(priority int, script string, extra ...string) string {
	return lines(append([]string{"vrrp_script chk {"}, append(extra, "    script \""+script+"\"", "}")...)...) +
		n.instance(priority, 3, "0.2", "track_script {", "    chk", "}")
}

// script writes an executable file.
func (n *lan) script(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.lab.Dir(), name)
	must(n.t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

// rewrite gives an agent's file another content and asks for a reload.
func (a *agent) rewrite(text string) (string, int) {
	a.t.Helper()
	must(a.t, os.WriteFile(a.conf, []byte(text), 0o600))
	return a.cli("reload")
}

// Surprise 1: one keyword without its value in a reload ends keepalived and leaves the address behind.
func TestSurprise01_KeywordWithoutValue(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	text := n.instance(prioA, 3, "0.2")
	a := startAgent(t, n.lab, n.a, text)
	a.waitState("MASTER", 5*time.Second)
	out, code := a.rewrite(strings.Replace(text, "priority 200", "priority", 1))
	if code == 0 || !strings.Contains(out, a.conf+":6:") {
		t.Errorf("reload: exit %d: %s", code, out)
	}
	time.Sleep(time.Second)
	if r := a.router(); r == nil || r.State != "MASTER" || !holds(t, n.a, n.vip) {
		t.Errorf("the refused reload disturbed the role: %+v", r)
	}
}

// Surprises 2 and 3: a check that cannot run - no such user, no such file, not executable, insecure, defined after its
// user - is dropped by keepalived, and the node becomes MASTER unmonitored.
func TestSurprise02_03_ChecksThatCannotRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, global, script, extra, why string }{
		{"no such file", "", "DIR/nothing-here.sh", "", "no such file"},
		{"not executable", "", "DIR/plain.sh", "", "permission"},
		{"no such user", "", "DIR/fails.sh", "user nobody-of-that-name", "nobody-of-that-name"},
		{"insecure path", "enable_script_security", "DIR/open/check.sh", "", "writ"},
		{"security without a script user", "enable_script_security", "DIR/fails.sh", "", "exit status 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newLAN(t, false)
			dir := n.lab.Dir()
			must(t, os.WriteFile(filepath.Join(dir, "plain.sh"), []byte("#!/bin/sh\nexit 0\n"), 0o644))
			n.script("fails.sh", "#!/bin/sh\nexit 1\n")
			must(t, os.Mkdir(filepath.Join(dir, "open"), 0o755))
			must(t, os.Chmod(filepath.Join(dir, "open"), 0o777))
			must(t, os.WriteFile(filepath.Join(dir, "open", "check.sh"), []byte("#!/bin/sh\nexit 0\n"), 0o755))
			// The instance comes before the script that it refers to.
			text := n.instance(prioA, 3, "0.2", "track_script {", "    chk", "}") +
				lines("vrrp_script chk {", "    script \""+strings.ReplaceAll(c.script, "DIR", dir)+"\"", "    interval 1", "    "+c.extra, "}")
			a := startAgent(t, n.lab, n.a, lines("global_defs {", "    "+c.global, "}")+text)
			a.waitState("FAULT", 8*time.Second)
			time.Sleep(2 * time.Second)
			if r := a.router(); r.State != "FAULT" || !strings.Contains(r.Why, "chk") || !strings.Contains(r.Why, c.why) {
				t.Errorf("state %s because of %q; want FAULT because of chk and %q", r.State, r.Why, c.why)
			}
			if out, code := a.cli("check", "-f", a.conf); c.why != "exit status 1" && (code != 5 || !strings.Contains(out, a.conf+":")) {
				t.Errorf("check: exit %d: %s", code, out)
			}
		})
	}
}

// Surprise 4: state MASTER speeds nothing up, cancels nopreempt and preempt_delay, and makes an omitted priority 255.
func TestSurprise04_StateMaster(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
	b.waitState("MASTER", 5*time.Second)
	a := startAgent(t, n.lab, n.a, strings.Replace(n.instance(prioA, 3, "0.2", "nopreempt"), "state BACKUP", "state MASTER", 1))
	a.waitState("BACKUP", 5*time.Second)
	time.Sleep(2 * time.Second)
	if r := a.router(); r.State != "BACKUP" || b.router().State != "MASTER" {
		t.Errorf("nopreempt did not hold with state MASTER: %s", r.State)
	}
	out, _ := a.cli("check", "-f", a.conf)
	if !strings.Contains(out, "nopreempt holds although state is MASTER") {
		t.Errorf("check does not say so: %s", out)
	}
}

// Surprise 5: different address lists make both keepalived nodes MASTER.
func TestSurprise05_AddressListsDiffer(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, strings.Replace(n.instance(prioA, 3, "0.2"), "192.0.2.10/32", "192.0.2.10/32\n        192.0.2.11/32", 1))
	a.waitState("MASTER", 5*time.Second)
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
	b.waitState("BACKUP", 5*time.Second)
	time.Sleep(2 * time.Second)
	if r := b.router(); r.State != "BACKUP" || r.Counters.ListMismatches == 0 {
		t.Errorf("state %s, %d mismatches counted", r.State, r.Counters.ListMismatches)
	}
}

// Surprise 6: a shell operator in a script is an argument, so "check | grep ok" succeeds. It still is, and check says so.
func TestSurprise06_ShellOperators(t *testing.T) {
	for _, command := range []string{"/bin/echo x | /bin/false", "/bin/true && /bin/false", "/bin/true; /bin/false", "/bin/true > /dev/full"} {
		out, code := checkText(t, lines("vrrp_script chk {", "    script \""+command+"\"", "}", "vrrp_instance V {", "    interface eth0",
			"    virtual_router_id 51", "    virtual_ipaddress {", "        192.0.2.10/32", "    }", "    track_script {", "        chk", "    }", "}"))
		// A program called "/bin/true;" does not exist, which is worse than an operator that is an argument.
		if want := map[bool]int{true: 5}[strings.Contains(command, ";")]; code != want || !strings.Contains(out, ":2:") || !strings.Contains(out, "sh -c") {
			t.Errorf("%s: exit %d: %s", command, code, out)
		}
	}
}

// Surprise 7: a comment mark cuts a password, an unknown block closes its instance, a block on one line loses data.
func TestSurprise07_TextThatIsCut(t *testing.T) {
	instance := func(body ...string) string {
		return lines("vrrp_instance V {", "    interface eth0", "    virtual_router_id 51") + lines(body...) +
			lines("    virtual_ipaddress {", "        192.0.2.10/32", "    }", "}")
	}
	for _, c := range []struct {
		name, text string
		code       int
		want       []string
	}{
		{"password", instance("    authentication {", "        auth_type PASS", "        auth_pass foo#bar", "    }"), 0, []string{":6:", "#"}},
		{"unknown block", instance("    made_up {", "        x y", "    }"), 5, []string{":4:5: error", "made_up"}},
		{"one line", instance("    authentication { auth_type PASS auth_pass secret }"), 0, []string{"0 warnings"}},
	} {
		out, code := checkText(t, c.text)
		for _, w := range c.want {
			if code != c.code || !strings.Contains(out, w) {
				t.Errorf("%s: exit %d, want %d and %q: %s", c.name, code, c.code, w, out)
			}
		}
	}
}

// Surprise 8: an empty unicast_peer means multicast.
func TestSurprise08_EmptyUnicastPeer(t *testing.T) {
	out, code := checkText(t, lines("vrrp_instance V {", "    interface eth0", "    virtual_router_id 51", "    unicast_src_ip 192.0.2.1",
		"    unicast_peer {", "    }", "    virtual_ipaddress {", "        192.0.2.10/32", "    }", "}"))
	if code != 5 || !strings.Contains(out, "unicast") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// Surprise 9: hanging checks pile up, and one that ignores SIGTERM outlives the daemon.
func TestSurprise09_HangingChecks(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	mark := filepath.Base(n.lab.Dir()) + "-hang.sh"
	script := n.script(mark, "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n")
	a := startAgent(t, n.lab, n.a, n.tracked(prioA, script, "    interval 1", "    timeout 2"))
	a.waitState("FAULT", 8*time.Second)
	most := 0
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		most = max(most, running(t, mark))
	}
	if most != 1 {
		t.Errorf("up to %d copies of the check ran at once, want 1", most)
	}
	if r := a.router(); !strings.Contains(r.Why, "timed out") {
		t.Errorf("the reason is %q", r.Why)
	}
	must(t, a.proc.Signal(syscall.SIGTERM))
	if _, err := a.proc.Wait(6 * time.Second); err != nil {
		t.Fatal(err)
	}
	if k := running(t, mark); k != 0 {
		t.Errorf("%d copies outlive the agent", k)
	}
}

// running counts the processes whose command line has a word in it.
func running(t *testing.T, mark string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), mark) && !strings.Contains(string(b), "failoverd") {
			n++
		}
	}
	return n
}

// Surprise 10: -t says 0 for a missing file and for a network namespace that does not exist, and 6 hides 5.
func TestSurprise10_ConfigTest(t *testing.T) {
	if out, code := local(t, binary, "-t", "-f", filepath.Join(t.TempDir(), "missing.conf")); code != 5 {
		t.Errorf("a missing file: exit %d: %s", code, out)
	}
	out, code := checkText(t, lines("net_namespace fo-not-there", "vrrp_instance V {", "    interface eth0", "    virtual_router_id 51",
		"    virtual_ipaddress {", "        192.0.2.10/32", "    }", "}"))
	if code != 5 || !strings.Contains(out, ":1:1: error") || !strings.Contains(out, "fo-not-there") {
		t.Errorf("a missing namespace: exit %d: %s", code, out)
	}
	out, code = checkText(t, lines("vrrp_script chk {", "    script \"/bin/true\"", "}", "vrrp_instance V {", "    interface eth0",
		"    virtual_router_id 51", "    prioritty 7", "    virtual_ipaddress {", "        192.0.2.10/32", "    }", "    track_script {", "        chk", "    }", "}"))
	if code != 5 || !strings.Contains(out, `"priority"`) {
		t.Errorf("an unknown keyword beside scripts without security: exit %d: %s", code, out)
	}
}

// Surprise 11: a frozen MASTER answers for ever, and bursts gratuitous ARP when it wakes. Here the lease ends, and who
// wakes says nothing before it has listened.
func TestSurprise11_FrozenMaster(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, lines("global_defs {", "    vip_lease 3", "}")+n.instance(prioA, 3, "0.2"))
	b := startAgent(t, n.lab, n.b, n.instance(prioB, 3, "0.2"))
	a.waitState("MASTER", 5*time.Second)
	b.waitState("BACKUP", 5*time.Second)
	must(t, a.proc.Pause())
	b.waitState("MASTER", 3*time.Second)
	waitFor(t, 4*time.Second+slack, "the frozen node's address to end", func() bool { return !holds(t, n.a, n.vip) })
	woke := time.Now()
	must(t, a.proc.Resume())
	time.Sleep(400 * time.Millisecond) // less than Active_Down_Interval, 3 x 0.2 s + skew
	for _, s := range n.capture.Sightings() {
		if s.At.After(woke) && strings.Contains(s.What, "announces 192.0.2.10") {
			t.Errorf("%v after waking: %s", s.At.Sub(woke), s.What)
		}
	}
	if ads := n.adverts("192.0.2.1", woke); len(ads) > 0 && ads[0].At.Sub(woke) < 400*time.Millisecond {
		t.Errorf("%d advertisements within %v of waking", len(ads), ads[0].At.Sub(woke))
	}
}

// Surprise 12: one address deleted by hand takes all of them away for 0.4 s.
func TestSurprise12_OneAddressDeleted(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	text := strings.Replace(n.instance(prioA, 3, "0.2"), "192.0.2.10/32", "192.0.2.10/32\n        192.0.2.11/32", 1)
	a := startAgent(t, n.lab, n.a, text)
	a.waitState("MASTER", 5*time.Second)
	other := netip.MustParseAddr("192.0.2.11")
	waitFor(t, 2*time.Second, "both addresses", func() bool { return holds(t, n.a, n.vip) && holds(t, n.a, other) })
	w := watchOf(t, n.a)
	begin := time.Now()
	must(t, n.a.DeleteAddress("eth0", "192.0.2.10/32"))
	waitFor(t, time.Second, "the address to be back", func() bool { return holds(t, n.a, n.vip) })
	time.Sleep(slack)
	for _, s := range w.Sightings() {
		if s.At.After(begin) && strings.Contains(s.What, "removed 192.0.2.11") {
			t.Errorf("the other address was touched: %s", s.What)
		}
	}
	for _, p := range n.adverts("192.0.2.1", begin) {
		if p.VRRP.Priority == 0 {
			t.Error("the role was released")
		}
	}
}

// Surprise 13: with equal priorities the one that serves stays, whatever its address; only between two that serve does
// the higher address stay. That is RFC 9568, and status says which of the two decided.
func TestSurprise13_EqualPriorities(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2"))
	a.waitState("MASTER", 5*time.Second)
	b := startAgent(t, n.lab, n.b, n.instance(prioA, 3, "0.2"))
	b.waitState("BACKUP", 5*time.Second)
	time.Sleep(1500 * time.Millisecond)
	if a.router().State != "MASTER" {
		t.Fatal("a higher address took the role from a live router of equal priority")
	}
	must(t, n.pb.Cut())
	b.waitState("MASTER", 3*time.Second)
	must(t, n.pb.Mend())
	a.waitState("BACKUP", 3*time.Second)
	if why := a.router().Why; !strings.Contains(why, "higher address") {
		t.Errorf("the reason is %q", why)
	}
}

// Surprise 14: a reload makes the FIFO anew, so that readers see its end, and a FIFO script that dies stays dead.
func TestSurprise14_FIFO(t *testing.T) {
	t.Parallel()
	n := newLAN(t, false)
	fifo, seen := filepath.Join(n.lab.Dir(), "fifo"), filepath.Join(n.lab.Dir(), "seen")
	// The script reads one line and dies: it must be there again for the next.
	script := n.script("reader.sh", fmt.Sprintf("#!/bin/sh\nhead -n 1 \"$1\" >>%s\n", seen))
	conf := func(priority int) string {
		return lines("global_defs {", "    vrrp_notify_fifo "+fifo, "    vrrp_notify_fifo_script "+script, "    script_user root", "}") + n.instance(priority, 3, "0.2")
	}
	a := startAgent(t, n.lab, n.a, conf(prioA))
	a.waitState("MASTER", 5*time.Second)
	waitFor(t, 10*time.Second, "two lines read by two lives of the script", func() bool {
		b, _ := os.ReadFile(seen)
		return strings.HasPrefix(string(b), "INSTANCE \"V\" BACKUP 200\nINSTANCE \"V\" MASTER 200\n")
	})
	before, err := os.Stat(fifo)
	must(t, err)
	if out, code := a.rewrite(conf(prioA - 1)); code != 0 {
		t.Fatalf("reload: %d: %s", code, out)
	}
	after, err := os.Stat(fifo)
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("the reload made the FIFO anew")
	}
}

// Surprise 15: -nodad turns duplicate address detection on. It still does, as the files that are out there mean it; check
// says what it does.
func TestSurprise15_NoDAD(t *testing.T) {
	out, code := checkText(t, lines("vrrp_instance V {", "    interface eth0", "    virtual_router_id 51",
		"    virtual_ipaddress {", "        fe80::51/64", "        2001:db8::1/64 -nodad", "    }", "}"))
	if code != 0 || !strings.Contains(out, ":6:24: warning") || !strings.Contains(out, "on") {
		t.Errorf("exit %d: %s", code, out)
	}
}
