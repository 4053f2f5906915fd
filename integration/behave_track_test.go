package integration

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// side is one program, alone on a LAN of its own.
type side struct {
	*lan
	name  string
	node  *lab.Node
	ports []*lab.Port // of eth0, eth1, ...
	seen  *lab.Capture
	dir   string // for scripts, files and FIFOs; everybody can read it
	proc  *lab.Process
	agent *agent // nil for keepalived
	conf  string // path of what it runs with
}

// twins are both programs with the same text, each alone on LANs of its own, so that both do whatever the text says.
type twins struct {
	t     *testing.T
	lab   *lab.Lab
	sides []*side // failoverd, keepalived
}

// newTwins makes two hosts with a number of interfaces each: 192.0.2.1/24 on eth0, 198.18.N.1/24 on ethN. A client is
// beside each on its first LAN.
func newTwins(t *testing.T, interfaces int) *twins {
	t.Helper()
	need(t, "keepalived")
	notShort(t)
	l := lab.ForTest(t)
	must(t, os.Chmod(l.Dir(), 0o755)) // commands may run as anybody
	w := &twins{t: t, lab: l}
	for _, name := range []string{"failoverd", "keepalived"} {
		s := &side{lan: &lan{t: t, lab: l, vip: netip.MustParseAddr("192.0.2.10")}, name: name, dir: filepath.Join(l.Dir(), name[:1])}
		must(t, os.Mkdir(s.dir, 0o755))
		must(t, os.Chmod(s.dir, 0o755))
		for i := range interfaces {
			sw, err := l.Switch(fmt.Sprintf("%s%d", name, i))
			must(t, err)
			s.lan.sw = sw
			addr := addrA
			if i > 0 {
				addr = fmt.Sprintf("198.18.%d.1/24", i)
			} else {
				s.c, _ = s.host(name+"-c", addrC)
			}
			s.plug(fmt.Sprintf("eth%d", i), addr)
		}
		var err error
		s.seen, err = s.node.Capture("eth0")
		must(t, err)
		s.a, s.capture = s.node, s.seen
		w.sides = append(w.sides, s)
	}
	return w
}

func (s *side) plug(ifname, addr string) {
	s.t.Helper()
	var err error
	s.node, err = s.lab.Node(s.name)
	must(s.t, err)
	p, err := s.sw.Plug(s.node, ifname)
	must(s.t, err)
	must(s.t, s.node.AddAddress(ifname, addr))
	s.ports = append(s.ports, p)
}

// each does something on both sides.
func (w *twins) each(do func(*side)) {
	w.t.Helper()
	for _, s := range w.sides {
		do(s)
	}
}

// start runs both with the same text, in which DIR is the side's own directory.
func (w *twins) start(text string) {
	w.t.Helper()
	w.each(func(s *side) { s.start(text) })
}

func (s *side) start(text string) {
	s.t.Helper()
	if s.name == "keepalived" {
		s.proc = keepalived{}.start(s.lan, s.node, s.own(text))
		s.conf = filepath.Join(s.lab.Dir(), s.node.Name()+".keepalived.conf")
		return
	}
	s.agent = startAgent(s.t, s.lab, s.node, s.own(text))
	s.proc, s.conf = s.agent.proc, s.agent.conf
}

func (s *side) own(text string) string { return strings.ReplaceAll(text, "DIR", s.dir) }

// put gives a file of the side's directory its content.
func (s *side) put(name, content string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o644))
}

// get returns the content of a file of the side's directory, nothing if it is not there.
func (s *side) get(name string) string {
	b, _ := os.ReadFile(filepath.Join(s.dir, name))
	return string(b)
}

func (s *side) remove(name string) {
	s.t.Helper()
	must(s.t, os.Remove(filepath.Join(s.dir, name)))
}

// program writes an executable shell script into the side's directory.
func (s *side) program(name, body string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte("#!/bin/sh\n"+s.own(body)), 0o755))
}

// priorities returns the last priority that each VRID sent since a time: those that are silent are missing.
func (s *side) priorities(since time.Time) map[uint8]int {
	last := map[uint8]int{}
	for _, p := range s.seen.Packets() {
		if p.VRRP != nil && p.Outgoing && !p.At.Before(since) {
			last[p.VRRP.VRID] = int(p.VRRP.Priority)
		}
	}
	return last
}

// Constants of eventually: what a side says now is what it said in the last half second, which is two advertisements; it
// is final when that has been so for longer than a check takes to begin and a router to be MASTER.
const (
	saysNow = 500 * time.Millisecond
	isFinal = 2 * time.Second
)

// eventually waits until both sides send these priorities, the last word of each VRID, and go on with it; 0: silence.
func (w *twins) eventually(what string, d time.Duration, want map[uint8]int) {
	w.t.Helper()
	var both sync.WaitGroup
	for _, s := range w.sides {
		both.Go(func() { s.eventually(what, d, want) })
	}
	both.Wait()
}

func (s *side) eventually(what string, d time.Duration, want map[uint8]int) {
	s.t.Helper()
	var since time.Time
	var wrong []string
	for begin := time.Now(); time.Since(begin) < d+isFinal; time.Sleep(50 * time.Millisecond) {
		wrong = differing(s.priorities(time.Now().Add(-saysNow)), want)
		switch {
		case len(wrong) > 0:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= isFinal:
			s.t.Logf("%s: %s after %v", what, s.name, since.Sub(begin).Round(10*time.Millisecond))
			return
		}
	}
	s.t.Errorf("%s: %s is not there after %v: VRID: got, want: %v", what, s.name, d+isFinal, wrong)
}

func differing(got, want map[uint8]int) (list []string) {
	for _, vrid := range slices.Sorted(maps.Keys(want)) {
		if got[vrid] != want[vrid] {
			list = append(list, fmt.Sprintf("%d: %d, %d", vrid, got[vrid], want[vrid]))
		}
	}
	return list
}

// solo is a version 3 instance of its own on eth0, with an advertisement interval of 0.2 s.
func solo(vrid, priority int, extra ...string) string {
	s := []string{
		fmt.Sprintf("vrrp_instance V%d {", vrid), "    state BACKUP", "    interface eth0", fmt.Sprintf("    virtual_router_id %d", vrid),
		"    version 3", fmt.Sprintf("    priority %d", priority), "    advert_int 0.2",
	}
	for _, x := range extra {
		s = append(s, "    "+x)
	}
	return lines(append(s, "    virtual_ipaddress {", fmt.Sprintf("        203.0.113.%d/32", vrid), "    }", "}")...)
}

// vrrpScript is a check that succeeds while a file is there.
func vrrpScript(name, file string, extra ...string) string {
	return lines(append([]string{"vrrp_script " + name + " {", "    script \"/usr/bin/test -e DIR/" + file + "\"", "    interval 1", "    user root"}, append(extra, "}")...)...)
}

func trackFile(name, file string) string {
	return lines("track_file "+name+" {", "    file DIR/"+file, "    weight 0", "}")
}

// weighing is one row of the table of what trackers do to a priority.
type weighing struct {
	name     string
	priority int
	tracks   []string
	good     int // while everything is all right
	bad      int // while everything is not; 0: silence
}

// TestTrackedPriority: what scripts, files and interfaces do to the priority that is on the wire, and when they silence a
// router. keepalived runs beside it with the same text, and the same must come out of both.
func TestTrackedPriority(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 2)
	script := func(lines ...string) []string { return append(append([]string{"track_script {"}, lines...), "}") }
	file := func(lines ...string) []string { return append(append([]string{"track_file {"}, lines...), "}") }
	iface := func(lines ...string) []string { return append(append([]string{"track_interface {"}, lines...), "}") }
	rows := []weighing{
		{"no weight", 100, script("chk"), 100, 0},
		{"positive weight", 100, script("chk weight 10"), 110, 100},
		{"negative weight", 100, script("chk weight -10"), 100, 90},
		{"positive weight reversed", 100, script("chk weight 10 reverse"), 90, 100},
		{"negative weight reversed", 100, script("chk weight -10 reverse"), 100, 110},
		{"weight of the definition", 100, script("heavy"), 130, 100},
		{"weight of the definition, overridden", 100, script("heavy weight -30"), 100, 70},
		{"weight of the definition, overridden by none", 100, script("heavy weight 0"), 100, 0},
		{"no weight, reversed", 100, script("chk weight 0 reverse"), 0, 100},
		{"weight of the definition, reversed there", 100, script("upside"), 80, 100},
		{"reversed in the definition, weight here", 100, script("upside weight 30"), 70, 100},
		{"reversed in the definition, no weight here", 100, script("upside weight 0"), 0, 100},
		{"weight of the definition, reversed there and not here", 100, script("upside weight 20 noreverse"), 120, 100},
		{"sum", 100, script("chk weight 10", "heavy"), 140, 100},
		{"greatest", 250, script("chk weight 10"), 254, 250},
		{"least", 5, script("chk weight -10"), 5, 1},
		{"least of a sum", 100, script("chk weight -60", "heavy weight -60"), 100, 1},
		{"sum is cut at its end only", 250, script("chk weight 50", "heavy weight -60"), 254, 190},
		{"greatest weight", 1, script("chk weight 253"), 254, 1},
		{"address owner", 255, script("chk weight -10"), 255, 255},
		{"file, weight 1", 100, file("num weight 1"), 107, 95},
		{"file, weight -2", 100, file("num weight -2"), 86, 110},
		{"file, weight 2 reversed", 100, file("num weight 2 reverse"), 86, 110},
		{"file, greatest", 100, file("num weight 100"), 254, 0},
		{"file, not quite a fault", 200, file("num weight 50"), 254, 1},
		{"file, weight 0", 100, file("flag"), 100, 0},
		{"file, weight 0 and a negative number", 100, file("minus"), 100, 0},
		{"file, exactly -254", 200, file("edge weight 1"), 200, 0},
		{"file, exactly -253", 200, file("brink weight 1"), 200, 1},
		{"file, weight 0, reversed", 100, file("flag weight 0 reverse"), 0, 100},
		{"file that is missing", 100, file("nothing weight 5"), 100, 100},
		{"file without a weight anywhere", 100, file("plain"), 107, 95},
		{"file, weight of the definition", 100, file("double"), 114, 90},
		{"file, number with blanks and a plus", 100, file("odd weight 1"), 112, 100},
		{"interface", 100, iface("eth1"), 100, 0},
		{"interface, positive weight", 100, iface("eth1 weight 20"), 120, 100},
		{"interface, negative weight", 100, iface("eth1 weight -20"), 100, 80},
		{"interface, reversed", 100, iface("eth1 weight 20 reverse"), 80, 100},
		{"interface, no weight, reversed", 100, iface("eth1 weight 0 reverse"), 0, 100},
		{"all kinds", 100, slices.Concat(script("chk weight 10"), file("num weight 1"), iface("eth1 weight -20")), 117, 75},
	}
	text := lines("global_defs {", "    script_user root", "}") + vrrpScript("chk", "good") + vrrpScript("heavy", "good", "    weight 30") + vrrpScript("upside", "good", "    weight 20 reverse") +
		lines("track_file plain {", "    file DIR/num", "}", "track_file double {", "    file DIR/num", "    weight 2", "}")
	for _, f := range []string{"num", "flag", "minus", "edge", "brink", "nothing", "odd"} {
		text += trackFile(f, f)
	}
	good, bad := map[uint8]int{}, map[uint8]int{}
	for i, r := range rows {
		text += solo(i+1, r.priority, r.tracks...)
		good[uint8(i+1)], bad[uint8(i+1)] = r.good, r.bad
	}
	w.each(func(s *side) {
		s.put("good", "")
		s.fine()
	})
	w.start(text)
	w.eventually("good", 10*time.Second, good)
	w.each(func(s *side) {
		s.remove("good")
		s.put("num", "-5\n")
		s.put("flag", "1\n")
		s.put("minus", "-1\n")
		s.put("odd", "")
		s.put("edge", "-254\n")
		s.put("brink", "-253\n")
		must(t, s.ports[1].Unplug())
	})
	w.eventually("bad", 6*time.Second, bad)
	w.each(func(s *side) {
		s.put("good", "")
		s.fine()
		must(t, s.ports[1].Replug())
	})
	w.eventually("good again", 8*time.Second, good)
	w.report(rows)
}

func (s *side) fine() {
	s.put("num", "7\n")
	s.put("flag", "0\n")
	s.put("minus", "0")
	s.put("edge", "0")
	s.put("brink", "")
	s.put("odd", "  +12 \n34\n")
}

// report names rows of a table that failed.
func (w *twins) report(rows []weighing) {
	w.t.Helper()
	if !w.t.Failed() {
		return
	}
	for i, r := range rows {
		w.t.Logf("VRID %d: %s: %d, %v", i+1, r.name, r.priority, r.tracks)
	}
}

// firstAt returns when a VRID said a priority for the first time after a time; the zero time: it did not.
func (s *side) firstAt(vrid uint8, priority int, since time.Time) time.Time {
	for _, p := range s.seen.Packets() {
		if p.VRRP != nil && p.Outgoing && p.VRRP.VRID == vrid && int(p.VRRP.Priority) == priority && p.At.After(since) {
			return p.At
		}
	}
	return time.Time{}
}

// within asserts that both sides say a priority for the first time after a time between two delays, which are those of the
// checks: the advertisement that says it may be one interval later, and the machine may be busy.
func (w *twins) within(what string, vrid uint8, priority int, since time.Time, least, most time.Duration) {
	w.t.Helper()
	for _, s := range w.sides {
		s.within(what, vrid, priority, since, least, most)
	}
}

func (s *side) within(what string, vrid uint8, priority int, since time.Time, least, most time.Duration) {
	s.t.Helper()
	most += 200*time.Millisecond + 2*slack
	var at time.Time
	err := lab.WaitFor(s.t.Context(), time.Until(since.Add(most)), what, func() bool {
		time.Sleep(20 * time.Millisecond)
		at = s.firstAt(vrid, priority, since)
		return !at.IsZero()
	})
	switch took := at.Sub(since); {
	case err != nil:
		s.t.Errorf("%s: %s does not say %d within %v", what, s.name, priority, most)
	case took < least:
		s.t.Errorf("%s: %s says %d after %v, want %v at least", what, s.name, priority, took, least)
	default:
		s.t.Logf("%s: %s after %v, between %v and %v", what, s.name, took.Round(10*time.Millisecond), least, most)
	}
}

// TestTrackedTiming: how many results in a row count, what counts before the first, and that a check that hangs fails.
func TestTrackedTiming(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 1)
	text := lines("global_defs {", "    script_user root", "}") +
		vrrpScript("rise3", "a", "    rise 3", "    weight 10") + vrrpScript("fall3", "a", "    fall 3", "    weight 10") +
		vrrpScript("initfail", "a", "    init_fail", "    rise 3", "    weight 10") +
		vrrpScript("initfault", "a", "    init_fail", "    rise 3") +
		vrrpScript("long", "a", "    rise 5", "    fall 5") +
		lines("vrrp_script hangs {", "    script DIR/hangs", "    interval 1", "    timeout 2", "    weight 10", "}")
	for i, name := range []string{"rise3", "fall3", "initfail", "initfault", "long", "hangs"} {
		text += solo(i+1, 100, "track_script {", "    "+name, "}")
	}
	w.each(func(s *side) {
		s.put("a", "")
		s.program("hangs", "[ -e DIR/hang ] || exit 0\nexec sleep 1000\n")
	})
	begin := time.Now()
	w.start(text)
	// One result is enough at the start, however many count later; init_fail wants its number.
	const listens = 3*200*time.Millisecond + (256-100)*200*time.Millisecond/256 // Active_Down_Interval
	w.within("rise 3 at the start", 1, 110, begin, 0, time.Second+listens)
	w.within("fall 3 at the start", 2, 110, begin, 0, time.Second+listens)
	w.within("rise 5 at the start", 5, 100, begin, 0, time.Second+listens)
	// To keepalived, one success is enough here, too.
	w.sides[0].within("init_fail and a weight, before", 3, 100, begin, 0, time.Second+listens)
	w.sides[0].within("init_fail and a weight", 3, 110, begin, 2*time.Second, 3*time.Second+listens)
	w.sides[0].within("init_fail", 4, 100, begin, 2*time.Second+listens, 3*time.Second+listens)
	w.within("a check that does not hang yet", 6, 110, begin, 0, time.Second+listens)

	worse := time.Now()
	w.each(func(s *side) { s.remove("a"); s.put("hang", "") })
	w.within("rise 3 says nothing about failures", 1, 100, worse, 0, time.Second)
	w.within("fall 3", 2, 100, worse, 2*time.Second, 3*time.Second)
	w.within("hangs", 6, 100, worse, 2*time.Second, 3*time.Second)

	better := time.Now()
	w.each(func(s *side) { s.put("a", ""); s.remove("hang") })
	w.within("rise 3", 1, 110, better, 2*time.Second, 3*time.Second)
	w.within("fall 3 says nothing about successes", 2, 110, better, 0, time.Second)
	// What hangs has to end first: at its timeout.
	w.within("hangs no more", 6, 110, better, 0, 3*time.Second)
	w.each(func(s *side) {
		if at := s.firstAt(5, 0, begin); !at.IsZero() {
			t.Errorf("%s: fall 5 gave up after less than 5 failures", s.name)
		}
	})
	if n := running(t, filepath.Join(w.sides[0].dir, "hangs")); n > 0 {
		t.Errorf("%d copies of the check are left", n)
	}
}

// trackProcess counts the processes of one name.
func trackProcess(name, program string, extra ...string) string {
	return lines(append([]string{"vrrp_track_process " + name + " {", "    process " + program}, append(extra, "}")...)...)
}

// TestTrackedProcesses: quorums of processes, with and without weight, and delays.
func TestTrackedProcesses(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 1)
	program := fmt.Sprintf("fo%dp", os.Getpid())
	sleep, err := exec.LookPath("sleep")
	must(t, err)
	path := filepath.Join(w.lab.Dir(), program)
	must(t, os.Symlink(sleep, path))
	text := trackProcess("one", program) + trackProcess("two", program, "    quorum 2", "    weight 10") +
		trackProcess("few", program, "    quorum 1", "    quorum_max 1", "    weight -10") +
		trackProcess("slow", program, "    delay 1", "    weight 10") +
		trackProcess("args", program+" 1001", "    param_match initial", "    weight 20") +
		trackProcess("other", "fo-nobody", "    weight 5 reverse")
	for i, name := range []string{"one", "two", "few", "slow", "args", "other"} {
		text += solo(i+1, 100, "track_process {", "    "+name, "}")
	}
	run := func(arg string) *lab.Process {
		p, err := w.sides[0].node.Start(lab.Command{Name: "counted", Argv: []string{path, arg}})
		must(t, err)
		return p
	}
	// The kernel tells of processes in the first network namespace only, and keepalived needs that: here it sees none.
	ours := w.sides[0]
	w.start(text)
	w.eventually("none", 5*time.Second, map[uint8]int{1: 0, 2: 100, 3: 90, 4: 100, 5: 100, 6: 100})
	a := run("1000")
	ours.eventually("one", 5*time.Second, map[uint8]int{1: 100, 2: 100, 3: 100, 4: 110, 5: 100, 6: 100})
	b := run("1001")
	ours.eventually("two", 5*time.Second, map[uint8]int{1: 100, 2: 110, 3: 90, 4: 110, 5: 120, 6: 100})
	must(t, a.Kill())
	gone := time.Now()
	must(t, b.Kill())
	ours.within("delay 1", 4, 100, gone, time.Second, time.Second)
	ours.eventually("none again", 5*time.Second, map[uint8]int{1: 0, 2: 100, 3: 90, 4: 100, 5: 100, 6: 100})
}
