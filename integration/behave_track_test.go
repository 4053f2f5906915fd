package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"failoverd/integration/lab"
)

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
