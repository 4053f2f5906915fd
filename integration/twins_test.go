package integration

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
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
