package failovertest

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTheSameSeedIsTheSameCourse: a failing seed can be looked at again.
func TestTheSameSeedIsTheSameCourse(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		var first, second bytes.Buffer
		_ = Simulate(seed, Faithful, &first)
		_ = Simulate(seed, Faithful, &second)
		if first.Len() == 0 || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("seed %d: two runs differ (-first +second):\n%s", seed, cmp.Diff(first.String(), second.String()))
		}
	}
}

// TestSeedsVisitEverything: the scenarios are worth their time only if what they are about really happens.
func TestSeedsVisitEverything(t *testing.T) {
	if raceEnabled {
		t.Skip("it is the same without the race detector, and there it takes a second")
	}
	var all bytes.Buffer
	for seed := uint64(1); seed <= 2000; seed++ {
		if c := Draw(seed); seed <= 400 || len(c.Profile.with) > 0 {
			_ = Play(c, Faithful, &all)
		}
	}
	for _, want := range []string{
		"agent crashes", "agent freezes", "agent thaws", "agent has stopped", "bad paths", "cut off", "quick turn", "slow:", "speakers hang",
		"speaker EDGE dies", "speaker CORE dies", "withdraws everything: its agent is silent", "by the end of its lease", "by somebody else",
		"adding 198.51.100.10/32 dev lo fails", "eth0 index 0 up false", "eth0 has []", "noticed nothing of a reload", "noticed nothing of a packet",
		"log transition A: INIT > MASTER (address owner)", "preempted a lower priority", "released the role", "equal priority from a higher address heard",
		"removed from the configuration", "this process stood still", "log hold A: waiting", "log hold A: over", "log rival", "log restored",
		"log address failed", "log late", "faults make c", "log tracker track_check two: failed", "log tracker track_check two: unknown", "log priority A", "kernel: eth1 up false",
		"kernel: add rule from", "kernel: remove route 10.51.0.0/24 table 100 by its owner", "log object restored", "log origin EDGE 198.51.100.0/24: valid > invalid", "log refused EDGE", "log rpki cache EDGE 192.0.2.250:323: down", "log transition S: ANNOUNCED > LAST", "log transition S: LAST > FAULT", "log transition S: FAULT > LAST",
		"log transition S: ANNOUNCED > DRAINING", "log object failed", "agent is killed", "resume true", "resume false", "releases the roles", "a: upgrade", "routes CORE", "startup_delay", "nopreempt", "unicast", "eth0/6/52",
		"kernel: add link vrrp.51", "kernel: remove link vrrp.51 by somebody else", "kernel: remove link vrrp.51 by its owner", "kernel: remove link vrrp.52 by its owner",
		"kernel: vrrp.51 up false", "log device vrrp.", "FAULT (interface vrrp.5", "log held EDGE 198.51.100.0/24: held (4 changes", "log held EDGE 198.51.100.0/24: held (avoid_flap_damping",
		"it is withdrawn until then", "what it is now stays", "it is not announced until then", "log held EDGE 198.51.100.0/24: released",
	} {
		if !bytes.Contains(all.Bytes(), []byte(want)) {
			t.Errorf("the courses have no %q", want)
		}
	}
}

// story is two hosts with one router, of which a is preferred, on a quiet LAN.
func story(t *testing.T) *World {
	t.Helper()
	w := NewWorld(1, Faithful, nil)
	for i, name := range []string{"a", "b"} {
		h := w.Add(name, netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/24", i+1)))
		h.Config = fmt.Sprintf(`
			speaker EDGE allow 198.51.100.0/24
			router V4 eth0/4/51 priority %d last_word
			  address 192.0.2.10/24 eth0 lease 3s
			  address 198.51.100.10/32 lo lease 3s excluded
			  announce 198.51.100.0/24 EDGE`, 200-i*100)
		h.start()
	}
	for _, from := range w.Hosts {
		for _, to := range w.Hosts {
			w.Path(from, to).Cut = from == to
		}
	}
	c := w.checker
	c.interval, c.rtt, c.lease, c.longest = time.Second, 3*time.Millisecond, 3*time.Second, 10*time.Second
	c.begin()
	return w
}

// expectAfter lets time pass, and compares the hosts' addresses and routes with what they should be.
func expectAfter(t *testing.T, w *World, d time.Duration, want string) {
	t.Helper()
	w.Run(w.now.Add(d))
	if w.checker.broken != "" {
		t.Fatal(w.checker.broken)
	}
	var b strings.Builder
	for _, h := range w.Hosts {
		fmt.Fprintf(&b, "%s:\n%s", h.Name, h.Kernel)
		if h.agent != nil {
			fmt.Fprintf(&b, "announces %s\n", describeRoutes(h.agent.speakers[0].Table))
		}
	}
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(b.String())); diff != "" {
		t.Errorf("at %s (-want +got):\n%s", FormatInstant(w.now), diff)
	}
}

// TestCrashStory: the addresses of a process that dies end with their lease, while another host has them already.
func TestCrashStory(t *testing.T) {
	w := story(t)
	expectAfter(t, w, 4*time.Second, `
a:
1: lo: UP
    inet 198.51.100.10/32 proto 112 valid_lft 2.2sec
2: eth0: UP
    inet 192.0.2.1/24
    inet 192.0.2.10/24 proto 112 valid_lft 2.2sec
announces 198.51.100.0/24
b:
1: lo: UP
2: eth0: UP
    inet 192.0.2.2/24
announces none`)
	w.Hosts[0].crash()
	expectAfter(t, w, 2*time.Second, `
a:
1: lo: UP
    inet 198.51.100.10/32 proto 112 valid_lft 0.2sec
2: eth0: UP
    inet 192.0.2.1/24
    inet 192.0.2.10/24 proto 112 valid_lft 0.2sec
b:
1: lo: UP
2: eth0: UP
    inet 192.0.2.2/24
announces none`)
	expectAfter(t, w, 2*time.Second, `
a:
1: lo: UP
2: eth0: UP
    inet 192.0.2.1/24
b:
1: lo: UP
    inet 198.51.100.10/32 proto 112 valid_lft 2.8sec
2: eth0: UP
    inet 192.0.2.2/24
    inet 192.0.2.10/24 proto 112 valid_lft 2.8sec
announces 198.51.100.0/24`)
}

// TestScriptErrors: a script that is wrong says where.
func TestScriptErrors(t *testing.T) {
	const start = "> config c\n| router A eth0/4/51\n|  address 192.0.2.10/24 eth0\n> start c\n"
	for _, tt := range []struct{ script, want string }{
		{"> dance", `line 1: > dance: unknown command "dance"`},
		{"> config c\n| router A eth0/4/51 faster\n> start c", `unknown word "faster"`},
		{"> config c\n| rooter A\n> start c", `unknown word "rooter"`},
		{start + "> wait long", `invalid duration "long"`},
		{start + "> interface eth0 sideways", `interface state "sideways"`},
		{start + "> advert from 192.0.2.2 loudly", `unknown word "loudly"`},
		{start + "> status now", `unexpected "now"`},
	} {
		if _, err := Script(tt.script); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("script %q: error %v, want one with %q", tt.script, err, tt.want)
		}
	}
}
