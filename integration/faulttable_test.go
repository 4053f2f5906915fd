package integration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"failoverd/failover"
	"failoverd/failover/status"
	"failoverd/integration/lab"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// faultRow is one line of the fault matrix.
type faultRow struct {
	name string
	rig  string // where failoverd runs it; see faultRigs
	// theirs: keepalived runs it as well, with instead if it is not nil.
	theirs  bool
	instead func(r *rig)

	fresh   bool         // a is started anew before: what it did in the minute before counts
	before  func(r *rig) // not measured
	do      func(r *rig)
	lasts   time.Duration
	mend    func(r *rig)
	observe time.Duration // after that
	restart bool          // nothing of a is left that would come back

	back  bool // a is back in time: in half of the repetitions at least it goes on with its role
	dead  bool // a has no agent that runs, until another one does or it is mended
	limit figures
	check func(r *rig, at time.Time)
	why   string // the bound of the outage
}

// always is a condition of nft that holds.
const always = "counter"

var (
	resumes = figures{outage: 2*faultInterval + faultSkew + faultSlack, owners: letGo, stale: 2*faultInterval + letGo}
	resigns = figures{outage: faultSkew + faultSlack, owners: letGo, stale: letGo}
	elects  = figures{outage: faultDown + faultSlack, owners: faultSlack}
	expires = figures{
		outage: faultDown + faultSlack, owners: faultExpiry - 2*faultInterval + faultSlack, stale: faultExpiry + faultSlack, route: faultHold + time.Second + faultSlack,
	}
	nothing = figures{outage: faultSlack, owners: faultSlack}
)

// letGo is how long an agent that has died keeps addresses after its last will was carried out.
const letGo = faultInterval + 200*time.Millisecond + faultSlack

// during is a limit of the time with two owners: as long as the fault lasts.
func during(d time.Duration, f figures) figures {
	f.owners = d + faultSlack
	return f
}

// faultTable is the fault matrix. All faults are a's, the router that is preferred.
var faultTable = []faultRow{
	{
		name: "SIGKILL of the agent", rig: "processes", theirs: true, fresh: true, dead: true, back: true,
		do: func(r *rig) { r.signal(syscall.SIGKILL) }, observe: 2500 * time.Millisecond, limit: resumes,
		why: "none if it is back in time; otherwise the will goes out two intervals after the last sign of life, and Skew_Time passes",
	},
	{
		name: "SIGKILL of the agent, again within a minute", rig: "processes", fresh: true, dead: true, before: killOnce,
		do: func(r *rig) { r.signal(syscall.SIGKILL) }, observe: 2500 * time.Millisecond, limit: resigns,
		why: "the will goes out at once, and Skew_Time passes",
	},
	{
		name: "SIGKILL of the agent, guarded site", rig: "guarded", dead: true,
		do: func(r *rig) { r.signal(syscall.SIGKILL) }, observe: 2500 * time.Millisecond, limit: resigns, check: (*rig).resigned,
		why: "it has no authority before it has asked for it, so the will goes out at once, and Skew_Time passes",
	},
	{
		name: "panic in the agent", rig: "injected", theirs: true, instead: func(r *rig) { r.signal(syscall.SIGSEGV) }, fresh: true, dead: true, back: true,
		do: func(r *rig) { r.tell("panic") }, observe: 2500 * time.Millisecond, limit: resumes, why: "as SIGKILL of the agent",
	},
	{
		name: "SIGKILL of the supervisor", rig: "processes", theirs: true, restart: true,
		do: func(r *rig) { _ = syscall.Kill(r.a.PID(), syscall.SIGKILL) }, observe: 2 * time.Second, limit: during(letGo, resigns),
		why: "the agent stops in order: Skew_Time",
	},
	{
		name: "SIGKILL of the speaker", rig: "upstream",
		do: func(r *rig) { _ = syscall.Kill(childOf(r.t, r.pid), syscall.SIGKILL) }, observe: 2500 * time.Millisecond, limit: nothing,
		check: func(r *rig, at time.Time) { r.logRoute(at) },
		why:   "none on the LAN; the route is away until another session is established",
	},
	{
		name: "SIGKILL of all of it", rig: "upstream", theirs: true, dead: true, restart: true,
		do: func(r *rig) { _ = r.a.Kill() }, observe: faultExpiry + 1500*time.Millisecond, limit: during(expires.owners, expires),
		why: "Active_Down_Interval; the kernel ends the address, and the session with the process",
	},
	{
		name: "SIGSTOP of all of it for 10 s", rig: "frozen", theirs: true, dead: true,
		do: func(r *rig) { _ = r.a.Pause() }, lasts: 10 * time.Second, mend: func(r *rig) { _ = r.a.Resume() }, observe: 2500 * time.Millisecond,
		limit: expires, why: "Active_Down_Interval; the kernel ends the address, the upstream the route (hold time 3 s)",
	},
	{
		name: "SIGSTOP of the agent alone for 5 s", rig: "upstream", dead: true,
		do: func(r *rig) { r.signal(syscall.SIGSTOP) }, lasts: 5 * time.Second, mend: func(r *rig) { r.signal(syscall.SIGCONT) }, observe: 2500 * time.Millisecond,
		limit: figures{outage: expires.outage, owners: expires.owners, stale: expires.stale, route: bgpLease + faultSlack},
		why:   "Active_Down_Interval; the speaker withdraws when its lease ends (1 s)",
	},
	{
		name: "link down for 2 s", rig: "network", theirs: true,
		do: func(r *rig) { must(r.t, r.pa.Unplug()) }, lasts: 2 * time.Second, mend: func(r *rig) { must(r.t, r.pa.Replug()) }, observe: 2 * time.Second,
		limit: elects, why: "Active_Down_Interval; a notices at once and lets go",
	},
	{
		name: "one-way link: nothing of a arrives for 3 s", rig: "network", theirs: true,
		do: func(r *rig) { r.drop(always, "") }, lasts: 3 * time.Second, mend: (*rig).undrop, observe: 1500 * time.Millisecond,
		limit: during(3*time.Second, elects), why: "Active_Down_Interval; a cannot know, and keeps the address, which nobody reaches",
	},
	{
		name: "one-way link: nothing arrives at a for 3 s", rig: "network", theirs: true,
		do: func(r *rig) { r.drop("", always) }, lasts: 3 * time.Second, mend: (*rig).undrop, observe: time.Second,
		limit: figures{outage: 3*time.Second + faultSlack, owners: faultSlack}, why: "as long as it lasts: VRRP cannot see it. A check or track_bgp can",
	},
	{
		name: "30 % loss in both directions for 4 s", rig: "network", theirs: true,
		do: func(r *rig) { const most = "numgen random mod 10 < 3"; r.drop(most, most) }, lasts: 4 * time.Second, mend: (*rig).undrop, observe: time.Second,
		limit: figures{outage: faultDown + faultSlack, owners: 4*faultInterval + faultSlack}, why: "three advertisements in a row are lost once in 37 times; then one of a that arrives ends it",
	},
	{
		name: "address deleted by hand", rig: "processes", theirs: true, fresh: nightly(), // the sixth within seconds is a wish: a leaves the role to b
		do: func(r *rig) { must(r.t, r.lan.a.DeleteAddress("eth0", r.vip.String()+"/32")) }, observe: 1500 * time.Millisecond, limit: nothing,
		why: "put back at once",
	},
	{
		name: "address stolen by a third host for 3 s", rig: "processes", theirs: true,
		do: (*rig).steal, lasts: 3 * time.Second, mend: func(r *rig) { must(r.t, r.thief.DeleteAddress("eth0", r.vip.String()+"/32")) }, observe: 2500 * time.Millisecond,
		limit: figures{outage: time.Second + faultSlack, owners: 3*time.Second + faultSlack}, check: defended,
		why: "the claim is answered by an announcement 20 ms later, and twice more, a second apart, for clients that the first did not move",
	},
	{
		name: "interface deleted, and back after 2 s", rig: "network", theirs: true,
		do: func(r *rig) { must(r.t, r.lan.a.DeleteLink("eth0")) }, lasts: 2 * time.Second, mend: (*rig).plugIn, observe: 2 * time.Second,
		limit: elects, why: "Active_Down_Interval",
	},
	{
		name: "netlink errors for 6 s", rig: "injected", fresh: true, restart: true, // it leaves the role to others for a minute
		do: func(r *rig) { r.tell("netlink") }, lasts: 6 * time.Second, mend: func(r *rig) { r.tell("") }, observe: 3 * time.Second,
		limit: figures{outage: failover.RefusalSoon + faultSkew + faultSlack, owners: faultSlack},
		why:   "the address cannot be renewed and ends; a router without any resigns 0.1 s later, as it has taken the role from another one",
	},
	{
		name: "disk full, for the event log", rig: "disk", fresh: true, before: (*rig).fill,
		do: func(r *rig) { must(r.t, r.lan.a.DeleteAddress("eth0", r.vip.String()+"/32")) }, observe: 1500 * time.Millisecond, limit: nothing,
		check: func(r *rig, _ time.Time) { complains(r); r.empty() }, why: "as the address deleted by hand, which is the event that cannot be written",
	},
	{
		name: "wall clock an hour ahead for 2 s", rig: "injected",
		do: func(r *rig) { r.tell("clock 1h") }, lasts: 2 * time.Second, mend: func(r *rig) { r.tell("") }, observe: 1500 * time.Millisecond, limit: nothing,
		why: "none: all timers are monotonic",
	},
	{
		name: "wall clock 2 s ahead for 2 s, auth_hmac", rig: "signed",
		do: func(r *rig) { r.tell("clock 2s") }, lasts: 2 * time.Second, mend: func(r *rig) { r.tell("") }, observe: 4 * time.Second, limit: during(2*time.Second, nothing),
		why: "none: 2 s are within time_window; back again, a counts on from where it was",
	},
	{
		name: "wall clock an hour ahead for 3 s, auth_hmac", rig: "signed",
		do: func(r *rig) { r.tell("clock 1h") }, lasts: 3 * time.Second, mend: func(r *rig) { r.tell("") }, observe: 2 * time.Second, limit: during(3*time.Second, elects),
		why: "neither router believes the other one: both serve until the clock is right again",
	},
	{
		name: "hostile UPDATE (AS4_PATH ahead of AS_PATH)", rig: "hostile",
		do: func(r *rig) { r.evil.send(hostileUpdate()) }, observe: 3 * time.Second, limit: nothing, check: announcedAgain,
		why: "none on the LAN; the speaker dies and another one announces, after a pause that grows with each death",
	},
}

// killOnce lets a die and resume.
func killOnce(r *rig) {
	r.t.Helper()
	r.signal(syscall.SIGKILL)
	waitFor(r.t, 5*time.Second, "another life of a", r.another)
	r.settle(10 * time.Second)
}

// resumed reports whether a was back in time: another life of it has gone on with the role. Otherwise it has the role as one that
// preempts. Either is in the event log.
func (r *rig) resumed(at time.Time) (back bool) {
	r.t.Helper()
	waitFor(r.t, 15*time.Second, "another life of a to have the role", func() bool {
		for _, e := range r.transitions(at) {
			if e.PID != r.pid && e.To == "MASTER" {
				back = e.Reason == vrrp.CauseRestart.String()
				return true
			}
		}
		return false
	})
	return back
}

// transitions returns those that a's event log has since a moment, in order.
func (r *rig) transitions(since time.Time) (list []status.Event) {
	r.t.Helper()
	log, err := os.ReadFile(filepath.Join(r.alive.dir, "events.jsonl"))
	must(r.t, err)
	for line := range strings.Lines(string(log)) {
		var e status.Event
		if json.Unmarshal([]byte(line), &e) != nil || e.Kind != "transition" {
			continue
		}
		if when, err := time.Parse(status.EventTime, e.Time); err == nil && when.After(since) {
			list = append(list, e)
		}
	}
	return list
}

// resigned: b has taken the role, because a's priority was 0, and a has taken it back when the witness had acknowledged it.
func (r *rig) resigned(at time.Time) {
	r.t.Helper()
	waitFor(r.t, 5*time.Second, "an advertisement of priority 0 of a, and the first of b", func() bool {
		zero := slices.ContainsFunc(r.adverts("192.0.2.1", at), func(p lab.Packet) bool { return p.VRRP.Priority == wire.PriorityRelease })
		return zero && len(r.adverts("192.0.2.2", at)) > 0
	})
	waitFor(r.t, 5*time.Second, "a to say that its site has authority", func() bool {
		s := r.alive.status()
		return s != nil && len(s.Sites) == 1 && s.Sites[0].Authority == "valid"
	})
}

// steal gives the address to a third host, which says so once.
func (r *rig) steal() {
	r.t.Helper()
	must(r.t, r.thief.AddAddress("eth0", r.vip.String()+"/32"))
	if out, code := command(r.t, r.thief, []string{"arping", "-A", "-c", "1", "-I", "eth0", r.vip.String()}); code > 1 {
		r.t.Fatalf("arping: %d: %s", code, out)
	}
}

// plugIn gives a another interface under the old name.
func (r *rig) plugIn() {
	r.t.Helper()
	p, err := r.sw.Plug(r.lan.a, "eth0")
	must(r.t, err)
	r.pa = p
	must(r.t, r.lan.a.AddAddress("eth0", addrA))
}

// defended: the theft is in status and in the events, and it was answered, not at any rate.
func defended(r *rig, at time.Time) {
	t := r.t
	t.Helper()
	s := r.alive.router()
	if s == nil || s.Counters.Claims == 0 || len(s.Addresses) == 0 || s.Addresses[0].Claimed == nil {
		t.Errorf("status does not tell of the thief: %+v", s)
	}
	if text := logOf(t, r.a); !strings.Contains(text, "virtual address claimed by another host") {
		t.Errorf("the log does not tell of the thief:\n%s", text)
	}
	mac, err := r.lan.a.HardwareAddr("eth0")
	must(t, err)
	n, last := 0, time.Time{} // moments: after garp_master_delay there is a burst of five
	for _, p := range r.capture.Packets() {
		if p.At.Sub(last) > 50*time.Millisecond && p.At.After(at) && p.ARP != nil && p.ARP.Gratuitous() && p.ARP.Sender == r.vip && p.SrcMAC.String() == mac.String() {
			n++
			last = p.At
		}
	}
	if n < 2 || n > 6 {
		t.Errorf("a announced the address at %d moments in %v, want about 3", n, time.Since(at).Round(time.Millisecond))
	}
}

// complains: status says that events cannot be written.
func complains(r *rig) {
	r.t.Helper()
	waitFor(r.t, 3*time.Second, "status to tell of the full disk", func() bool {
		s := r.alive.status()
		return s != nil && strings.Contains(s.Agent.EventLogError, "no space")
	})
}

// hostileUpdate is an UPDATE that kills gobgp v3.37.0: AS4_PATH, and AS_PATH after all others.
func hostileUpdate() []byte {
	return bgpMessage(2, append([]byte{
		0, 0, 0, 29, 0x40, 1, 1, 0, 0x40, 3, 4, 192, 0, 2, 3, 0xc0, 17, 6, 2, 1, 0, 0, 0xfb, 0xf4, 0x40, 2, 6, 2, 1, 0, 0, 0xfb, 0xf4,
	}, 24, 10, 9, 8)...)
}

// announcedAgain: it was the UPDATE that did it, and the next speaker has announced the service.
func announcedAgain(r *rig, at time.Time) {
	r.t.Helper()
	waitFor(r.t, 20*time.Second, "the route to be announced again", func() bool { _, ok := r.evil.announcedAfter(at); return ok })
	back, _ := r.evil.announcedAfter(at)
	r.t.Logf("announced again after %v", back.Sub(at).Round(time.Millisecond))
	if text := logOf(r.t, r.a); !strings.Contains(text, "index out of range") {
		r.t.Errorf("the log does not say what killed the speaker:\n%s", text)
	}
}

// logRoute tells for how long the upstream had no route, and that it has one again.
func (r *rig) logRoute(at time.Time) {
	r.t.Helper()
	waitFor(r.t, 15*time.Second, "the route to be back", func() bool { l := r.led(at, time.Now()); return len(l) > 1 })
	l := r.led(at, time.Now())
	r.t.Logf("no route from %v to %v after the kill", l[0].to.Sub(at).Round(time.Millisecond), l[1].from.Sub(at).Round(time.Millisecond))
}

var faultDocument = filepath.Join("docs", "fault-matrix.md")

// fixed are the parts of a row of the document that no measurement changes.
func (w *faultRow) fixed() (first, last string) {
	return "| " + w.name + " |", fmt.Sprintf("| at most %.2f s: %s |", w.limit.outage.Seconds(), w.why)
}

// faultMarkdown is the document.
func faultMarkdown(run string, ours, theirs map[string]*tally) string {
	var b strings.Builder
	fmt.Fprintf(&b, faultPreface, run)
	b.WriteString("\n| fault of a | outage | two owners | stale address | stale route | beyond | keepalived: outage | two owners | stale address | bound of the outage |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for i := range faultTable {
		w := &faultTable[i]
		first, last := w.fixed()
		route, stale := "-", "-"
		y := cmp.Or(ours[w.name], &tally{})
		if w.dead {
			stale = cell(y.stale, y.kept)
			if w.limit.route > 0 {
				route = cell(y.route, false)
			}
		}
		fmt.Fprintf(&b, "%s %s | %s | %s | %s | %d of %d ", first, cell(y.outage, y.open), cell(y.owners, false), stale, route, y.beyond, y.made)
		if k := theirs[w.name]; k == nil {
			b.WriteString("| - | - | - ")
		} else {
			stale := "-"
			if w.dead {
				stale = cell(k.stale, k.kept)
			}
			fmt.Fprintf(&b, "| %s | %s | %s ", cell(k.outage, k.open), cell(k.owners, k.kept), stale)
		}
		b.WriteString(last + "\n")
	}
	return b.String()
}

const faultPreface = `# The fault matrix

What failures of one router cost. Two routers on a LAN, a and b, VRRP version 3 with an interval of 0.3 s, so Skew_Time of b is 0.124 s and
Active_Down_Interval 1.024 s; ` + "`vip_lease 2`, `bgp_lease 1`" + `, BGP hold time 3 s; a is preferred and serves. A client asks the service every
millisecond. This file is written by the lab that makes the faults (` + "`go test ./integration -run TestFaultMatrix -write-fault-matrix`" + `); the rows
are those of ` + "`integration/faulttable_test.go`" + `, and the lab fails when one is beyond its bounds.

Seconds, median / longest. **outage**: the longest time without an answer to the client, the return of a included. **two owners**: the kernels of two
nodes had the address. **stale address**: a had it, and no agent that ran. **stale route**: the upstream's route led to a, which had no agent that ran.
"> N": not over when the observation ended. **beyond**: the repetitions of failoverd in which one of the four was beyond its limit; each was made once
more, its times count as well, and twice in a row is a failure, as is more than one in ten in the nightly run, which makes 20. Beside it keepalived
2.2.7 in place of failoverd, in the same run, where it can run the row; its "agent" is its VRRP process. The panic, the netlink errors and the wall
clock need help from the program under test: it is then built with the tag ` + "`faultinject`" + `, and the program that is shipped has none of it. The wall
clock of the machine is not touched.

%s
`
