package integration

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// syncGroup is a vrrp_sync_group of instances that solo makes.
func syncGroup(name string, members []int, extra ...string) string {
	s := []string{"vrrp_sync_group " + name + " {", "    group {"}
	for _, m := range members {
		s = append(s, fmt.Sprintf("        V%d", m))
	}
	return lines(append(append(append(s, "    }"), extra...), "}")...)
}

// pair is a sync group of two in a table: what its members say while everything is all right, and while it is not.
type pair struct {
	name      string
	group     []string // what the group tracks
	member    []string // what its first member tracks
	on        string   // interface of the first member; empty: eth0
	priority  [2]int   // of the configuration
	good, bad [2]int   // 0: silence
}

// TestGroupTracking: what is tracked by a sync group, or by one of its members, means the same to the others as with
// keepalived, which runs beside it with the same text.
func TestGroupTracking(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 2)
	track := func(kind string, line ...string) []string {
		return append(append([]string{"    track_" + kind + " {"}, line...), "    }")
	}
	weighted := func(s []string) []string { return append(s, "    sync_group_tracking_weight") }
	same, silent := [2]int{100, 100}, [2]int{}
	rows := []pair{
		{"script of a member", nil, track("script", "chk"), "", same, same, silent},
		{"script of the group", track("script", "chk"), nil, "", same, same, silent},
		{"file of the group", track("file", "flag"), nil, "", same, same, silent},
		{"file of a member", nil, track("file", "flag"), "", same, same, silent},
		{"interface of the group", track("interface", "eth1"), nil, "", same, same, silent},
		{"interface of a member", nil, track("interface", "eth1"), "", same, same, silent},
		{"weight of a member, which does not count", nil, track("script", "heavy"), "", same, same, same},
		{"weight of a member's file, which does not count", nil, track("file", "num weight 2"), "", same, same, same},
		{"weight of the group, which counts", track("script", "heavy"), nil, "", same, [2]int{130, 130}, same},
		{"negative weight of the group", track("script", "chk weight -20"), nil, "", same, same, [2]int{80, 80}},
		{"weight of the group's file", track("file", "num weight 2"), nil, "", same, [2]int{114, 114}, [2]int{90, 90}},
		{"weight of the group", weighted(track("script", "chk weight -20")), nil, "", same, same, [2]int{80, 80}},
		{"weight of the definition", weighted(track("script", "heavy")), nil, "", same, [2]int{130, 130}, same},
		{"weight of one member", weighted(nil), track("script", "chk weight -20"), "", same, same, [2]int{80, 100}},
		{"other priorities", weighted(track("script", "chk weight 10")), nil, "", [2]int{100, 120}, [2]int{110, 130}, [2]int{100, 120}},
		{"file of the group with weight", weighted(track("file", "num weight 2")), nil, "", same, [2]int{114, 114}, [2]int{90, 90}},
		{"interface of the group with weight", weighted(track("interface", "eth1 weight -7")), nil, "", same, same, [2]int{93, 93}},
		{"both have a weight", weighted(track("script", "chk weight 5")), track("script", "chk weight 9"), "", same, [2]int{105, 105}, same},
		{"both have a weight, the member's not counting", track("script", "chk weight 5"), track("script", "chk weight 9"), "", same, [2]int{105, 105}, same},
		{"the group has a weight", weighted(track("script", "chk weight 5")), track("script", "chk"), "", same, [2]int{100, 105}, silent},
		{"the member has a weight", weighted(track("script", "chk")), track("script", "chk weight 5"), "", same, same, silent},
		{"both have a weight for a file", weighted(track("file", "num weight 2")), track("file", "num weight 3"), "", same, [2]int{114, 114}, [2]int{90, 90}},
		{"both have a weight for an interface", weighted(track("interface", "eth1 weight 2")), track("interface", "eth1 weight 3"), "", same, [2]int{102, 102}, same},
		{"link of a member", nil, nil, "eth1", same, [2]int{0, 100}, silent},
	}
	text := lines("global_defs {", "    script_user root", "}") + vrrpScript("chk", "good") + vrrpScript("heavy", "good", "    weight 30") +
		trackFile("flag", "flag") + trackFile("num", "num")
	good, bad := map[uint8]int{}, map[uint8]int{}
	for i, r := range rows {
		a, b := 2*i+1, 2*i+2
		first := solo(a, r.priority[0], r.member...)
		if r.on != "" {
			first = strings.ReplaceAll(first, "eth0", r.on)
		}
		text += syncGroup(fmt.Sprintf("G%d", i), []int{a, b}, r.group...) + first + solo(b, r.priority[1])
		good[uint8(a)], good[uint8(b)] = r.good[0], r.good[1]
		bad[uint8(a)], bad[uint8(b)] = r.bad[0], r.bad[1]
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
		must(t, s.ports[1].Unplug())
	})
	w.eventually("bad", 6*time.Second, bad)
	w.each(func(s *side) {
		s.put("good", "")
		s.fine()
		must(t, s.ports[1].Replug())
	})
	w.eventually("good again", 8*time.Second, good)
	for i, r := range rows {
		if t.Failed() {
			t.Logf("VRID %d and %d: %s", 2*i+1, 2*i+2, r.name)
		}
	}
}

// splits follows who of a pair has which of two addresses, and for how long each had one.
type splits struct {
	stop  chan struct{}
	done  sync.WaitGroup
	worst time.Duration
}

// watchSplits looks every few milliseconds, until close.
func (g *twoLANs) watchSplits() *splits {
	h := &splits{stop: make(chan struct{})}
	has := func(n *lab.Node) (first, second bool) {
		list, err := n.Addresses("")
		if err != nil {
			return false, false
		}
		for _, p := range list {
			first, second = first || p.Addr() == g.vip, second || p.Addr() == g.second
		}
		return first, second
	}
	h.done.Go(func() {
		var since time.Time
		for {
			a1, a2 := has(g.a)
			b1, b2 := has(g.b)
			switch now := time.Now(); {
			case !(a1 && !a2 && b2 && !b1 || a2 && !a1 && b1 && !b2):
				since = time.Time{}
			case since.IsZero():
				since = now
			default:
				h.worst = max(h.worst, now.Sub(since))
			}
			select {
			case <-h.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return h
}

func (h *splits) close() {
	close(h.stop)
	h.done.Wait()
}

// TestGroupOfBoth: a sync group on two LANs, one of its members with a check, on one node of each program. The check fails,
// and both addresses move; it recovers, and both return, or stay where they are if they are to (nopreempt). Never is the
// role split for longer than one Active_Down_Interval.
func TestGroupOfBoth(t *testing.T) {
	t.Parallel()
	need(t, "keepalived")
	const down = 900*time.Millisecond + 300*time.Millisecond // at the most
	for _, c := range []struct {
		name   string
		da, db daemon
	}{{"failoverd leads", ours{}, keepalived{}}, {"keepalived leads", keepalived{}, ours{}}, {"failoverd alone", ours{}, ours{}}} {
		for _, sticky := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/nopreempt %t", c.name, sticky), func(t *testing.T) {
				t.Parallel()
				g := newTwoLANs(t)
				file := func(host string) string { return filepath.Join(g.lab.Dir(), "ok-"+host) }
				text := func(host string, priority int) string {
					s := g.group(priority)
					if sticky {
						s = strings.ReplaceAll(s, "    state BACKUP\n", "    state BACKUP\n    nopreempt\n")
					}
					check := lines("vrrp_script chk {", `    script "/usr/bin/test -e `+file(host)+`"`, "    interval 1", "    user root", "}")
					return check + strings.Replace(s, "vrrp_instance OUT {\n", "vrrp_instance OUT {\n    track_script {\n        chk\n    }\n", 1)
				}
				for _, host := range []string{"a", "b"} {
					must(t, os.WriteFile(file(host), nil, 0o600))
				}
				c.da.start(g.lan, g.a, text("a", prioA))
				g.both(t, g.a, g.b, 4*down+2*time.Second, "a to lead on both LANs")
				h := g.watchSplits()
				c.db.start(g.lan, g.b, text("b", prioB))
				time.Sleep(2 * down)

				must(t, os.Remove(file("a")))
				g.both(t, g.b, g.a, 2*down+2*time.Second, "both addresses to leave the node whose check fails")
				must(t, os.WriteFile(file("a"), nil, 0o600))
				if sticky {
					time.Sleep(time.Second + 2*down)
					g.both(t, g.b, g.a, slack, "both addresses to stay where they are")
					must(t, os.Remove(file("b")))
					g.both(t, g.a, g.b, 2*down+2*time.Second, "both addresses to leave the other node whose check fails")
				} else {
					g.both(t, g.a, g.b, 4*down+2*time.Second, "both addresses to return")
				}
				h.close()
				t.Logf("the role was split for %v at most", h.worst.Round(time.Millisecond))
				if h.worst > down {
					t.Errorf("the role was split for %v", h.worst)
				}
			})
		}
	}
}

// change is a step of a reload test.
type change struct {
	name  string
	edits []string      // what of the text becomes what, in pairs
	says  map[uint8]int // what else VRIDs say from then on; 0 is the end of a role
	rough []uint8       // for these VRIDs keepalived says something else besides
}

// reload gives a side another text.
func (s *side) reload(text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.conf, []byte(s.own(text)), 0o600))
	if s.agent == nil {
		must(s.t, s.proc.Signal(syscall.SIGHUP))
		return
	}
	if out, code := s.agent.cli("reload"); code != 0 {
		s.t.Fatalf("reload: exit %d: %s", code, out)
	}
}

// TestReloadOfChecks: scripts, weights and groups change while everything is MASTER. Nothing is sent but what must be.
func TestReloadOfChecks(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 1)
	other := strings.Replace(vrrpScript("other", "good"), "test -e", "test -f", 1)
	fresh := lines("vrrp_script fresh {", "    script DIR/takestime", "    interval 1", "}")
	text := lines("global_defs {", "    script_user root", "    vrrp_garp_master_delay 0", "}") + vrrpScript("chk", "good") + other + fresh + vrrpScript("fails", "nothing") +
		syncGroup("G", []int{2, 3}) + syncGroup("H", []int{6, 7}) +
		solo(1, 100, "track_script {", "    chk weight 10", "}") + solo(2, 100) + solo(3, 100) +
		solo(4, 100, "track_script {", "    other", "}") + solo(5, 100) + solo(6, 100) + solo(7, 100) +
		solo(8, 100, "track_script {", "    fails", "}")
	now := map[uint8]int{1: 110, 2: 100, 3: 100, 4: 100, 5: 100, 6: 100, 7: 100, 8: 0}
	w.each(func(s *side) {
		s.put("good", "")
		s.program("takestime", "sleep 0.7\n")
	})
	w.start(text)
	w.eventually("start", 5*time.Second, now)
	for _, c := range []change{
		{"another weight and command, a script more, another group", []string{
			"chk weight 10", "chk weight 20",
			"test -f", "test -r",
			solo(5, 100), solo(5, 100, "track_script {", "    chk", "}"),
			syncGroup("H", []int{6, 7}), syncGroup("I", []int{7, 6}),
		}, map[uint8]int{1: 120}, nil},
		{"a script that was not there, a script less, a member more", []string{
			"chk weight 20", "fresh weight 20",
			solo(4, 100, "track_script {", "    other", "}"), solo(4, 100),
			syncGroup("G", []int{2, 3}), syncGroup("G", []int{2, 3, 5}),
		}, nil, []uint8{1}},
		{"another command that was not there, a member less, a group less", []string{
			"DIR/takestime", "/bin/true",
			syncGroup("G", []int{2, 3, 5}), syncGroup("G", []int{3, 5}),
			syncGroup("I", []int{7, 6}), "",
		}, nil, nil},
		{"scripts that fail", []string{
			"fresh weight 20", "other weight 20\n        fails weight -5",
			solo(7, 100), solo(7, 100, "track_script {", "    fails", "}"),
		}, map[uint8]int{1: 115, 7: 0}, []uint8{1, 7}},
		{"no scripts that fail", []string{
			"other weight 20\n        fails weight -5", "other weight 20",
			solo(7, 100, "track_script {", "    fails", "}"), solo(7, 100),
		}, map[uint8]int{1: 120, 7: 100}, nil},
	} {
		for i := 0; i < len(c.edits); i += 2 {
			if !strings.Contains(text, c.edits[i]) {
				t.Fatalf("%s: no %q in the text", c.name, c.edits[i])
			}
			text = strings.Replace(text, c.edits[i], c.edits[i+1], 1)
		}
		before := maps.Clone(now)
		maps.Copy(now, c.says)
		begin := time.Now()
		w.each(func(s *side) { s.reload(text) })
		time.Sleep(1500 * time.Millisecond)
		w.each(func(s *side) { s.minimal(c, begin, before, now) })
	}
}

// minimal asserts that a side went from what it said before a change to what it says now, and did nothing besides.
func (s *side) minimal(c change, begin time.Time, before, now map[uint8]int) {
	s.t.Helper()
	said := s.said(begin)
	for vrid := range now {
		got := said[vrid]
		if len(got) > 1 && got[0] == before[vrid] {
			got = got[1:]
		}
		if len(got) == 0 && before[vrid] == 0 && now[vrid] == 0 {
			continue
		}
		if s.agent == nil && slices.Contains(c.rough, vrid) {
			continue // a check without a result counts as failed; a role that is lost is not given back
		}
		if len(got) != 1 || got[0] != now[vrid] {
			s.t.Errorf("%s: VRID %d of %s said %v, want %d", c.name, vrid, s.name, said[vrid], now[vrid])
		}
	}
	for _, p := range s.seen.Packets() {
		if p.ARP != nil && p.ARP.Gratuitous() && p.Outgoing && p.At.After(begin) && c.says[p.ARP.Target.As4()[3]] == 0 {
			s.t.Errorf("%s: %s: %s", c.name, s.name, p.String())
		}
	}
}

// said returns the priorities that each VRID sent since a time, without repetitions.
func (s *side) said(since time.Time) map[uint8][]int {
	said := map[uint8][]int{}
	for _, p := range s.seen.Packets() {
		if v := p.VRRP; v != nil && p.Outgoing && !p.At.Before(since) {
			said[v.VRID] = slices.Compact(append(said[v.VRID], int(v.Priority)))
		}
	}
	return said
}
