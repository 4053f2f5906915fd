package speaker

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"golang.org/x/sys/unix"

	"failoverd/bgp"
)

// quick gives all neighbors the shortest timers that there are: hold 3, keepalive 1.
func quick(c *bgp.SpeakerConfig) {
	for i := range c.Neighbors {
		c.Neighbors[i].HoldTime, c.Neighbors[i].Keepalive = 3*time.Second, time.Second
	}
}

// A neighbor that falls silent is given up when the hold time is over, with NOTIFICATION 4/0 (RFC 4271 section 6.5), and
// tried again.
func TestBGP_FSM_01_HoldTimer(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, quick, route4())
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	p.mute.Store(true)
	start := time.Now()
	m, _ := p.wait(n, 3*time.Second+slack, "NOTIFICATION", kind(packet.BGP_MSG_NOTIFICATION))
	if m.body[0] != 4 || m.body[1] != 0 {
		t.Errorf("NOTIFICATION %d/%d, want 4/0", m.body[0], m.body[1])
	}
	r := a.until(prompt, "the loss", func(r bgp.Report) bool { return !r.Established() })
	if took := time.Since(start); took > 3*time.Second+slack {
		t.Errorf("noticed after %v", took)
	}
	if why := r.Neighbors[0].LastError; !strings.Contains(strings.ToLower(why), "hold timer expired") {
		t.Errorf("reason %q", why)
	}
	if !r.Connected || len(r.Announced) != 1 {
		t.Errorf("the table suffered: %+v", r)
	}
	p.mute.Store(false)
	a.until(sessionUp, "another session", established)
}

// A neighbor that does not read any more, but sends, cannot keep the session: what is queued for it is given up after the
// hold time (TCP_USER_TIMEOUT), long before RFC 9687's Send Hold Time, and so cannot reach it afterwards. The NOTIFICATION of
// RFC 9687 could not get through either.
func TestBGP_FSM_02_ClosedWindow_BGP_FSM_03_UserTimeout(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, quick, route4())
	p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	time.Sleep((settling + 2) * lookEvery) // the time-out is set shortly after the session came up
	if got := userTimeouts(t, a.s.PID()); !slices.Equal(got, []int{3000}) {
		t.Errorf("TCP_USER_TIMEOUT of the connections: %v ms, want 3000", got)
	}
	p.mu.Lock()
	c := p.conns[0]
	p.mu.Unlock()
	if err := c.SetReadBuffer(1); err != nil { // the kernel's minimum
		t.Fatal(err)
	}
	p.deaf.Store(true)
	start := time.Now()
	// More than any buffer of the neighbor's takes in.
	go func() {
		for i := range uint32(4000) {
			if a.last().Neighbors[0].State != bgp.Established {
				return
			}
			a.s.Set(bgp.Desired{Generation: 1000 + uint64(i), Routes: []bgp.Route{route4(func(r *bgp.Route) { r.MED = ptr(i) })}})
			time.Sleep(time.Millisecond)
		}
	}()
	r := a.until(30*time.Second, "the loss", func(r bgp.Report) bool { return !r.Established() })
	took := time.Since(start)
	t.Logf("given up after %v: %s", took, r.Neighbors[0].LastError)
	if took > 3*time.Second+4*time.Second+slack { // until the buffers are full, then the hold time
		t.Errorf("given up after %v", took)
	}
	if len(r.Neighbors[0].LastError) == 0 || r.Restarts != 0 {
		t.Errorf("report %+v", r)
	}
	p.deaf.Store(false)
	a.until(sessionUp, "another session", established)
}

// userTimeouts reads TCP_USER_TIMEOUT, in milliseconds, of the TCP connections of another process.
func userTimeouts(t *testing.T, pid int) []int {
	t.Helper()
	return tcpOptions(t, pid, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
}

// tcpOptions reads an option of the TCP sockets of another process; those that do not have it are passed over.
func tcpOptions(t *testing.T, pid, level, name int) (all []int) {
	t.Helper()
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(process) }()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdGetfd(process, n, 0)
		if errors.Is(err, unix.EBADF) { // closed meanwhile
			continue
		}
		if err != nil {
			t.Fatalf("look at descriptor %d of another process: %v", n, err)
		}
		if p, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err == nil && p == unix.IPPROTO_TCP {
			if v, err := unix.GetsockoptInt(fd, level, name); err == nil {
				all = append(all, v)
			}
		}
		_ = unix.Close(fd)
	}
	return all
}

// What is wrong with an OPEN is answered as RFC 4271 sections 6.1 and 6.2 say, and is the reason in the status.
func TestBGP_FSM_04_BadOpen(t *testing.T) {
	t.Parallel()
	edit := func(f func(m []byte)) func() []byte {
		return func() []byte {
			m := openMessage(64500, 90, nil)
			f(m)
			return m
		}
	}
	for _, row := range []struct {
		name      string
		open      func() []byte
		code, sub uint8
	}{
		{"AS 0", func() []byte { return openMessage(0, 90, nil) }, 2, 2},
		{"another AS", func() []byte { return openMessage(64999, 90, nil) }, 2, 2},
		{"version 3", edit(func(m []byte) { m[19] = 3 }), 2, 1},
		{"identifier 0", edit(func(m []byte) { copy(m[24:28], []byte{0, 0, 0, 0}) }), 2, 3},
		{"hold time 1", func() []byte { return openMessage(64500, 1, nil) }, 2, 6},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newRawPeer(t, "127.0.0.2", row.open)
			a := startAgent(t, speakerOf(rawNeighbor(p)))
			m, _ := p.wait(0, sessionUp, "NOTIFICATION", kind(packet.BGP_MSG_NOTIFICATION))
			if m.body[0] != row.code || m.body[1] != row.sub {
				t.Errorf("NOTIFICATION %d/%d, want %d/%d", m.body[0], m.body[1], row.code, row.sub)
			}
			r := a.until(prompt, "the reason", func(r bgp.Report) bool { return strings.Contains(r.Neighbors[0].LastError, "NOTIFICATION") })
			if r.Established() || r.Restarts != 0 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// The hold time that the two agree on is in the report, whatever either wished for: who reckons with it sees 180 s.
func TestBGP_OPEN_04_EffectiveHoldTime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ ours, theirs, want time.Duration }{
		{240 * time.Second, 180 * time.Second, 180 * time.Second},
		{9 * time.Second, 180 * time.Second, 9 * time.Second}, // nobody can force a longer one upon us
	} {
		open := func() []byte { return openMessage(64500, uint16(row.theirs/time.Second), nil) }
		_, a := connect(t, open, func(c *bgp.SpeakerConfig) {
			c.Neighbors[0].HoldTime, c.Neighbors[0].Keepalive = row.ours, 3*time.Second
		})
		if got := a.last().Neighbors[0].HoldTime; got != row.want {
			t.Errorf("%v and %v make %v, want %v", row.ours, row.theirs, got, row.want)
		}
	}
}

// A session is up within two seconds of the start when the neighbor is ready, and within two seconds of a loss.
func TestSessionIsUpSoon(t *testing.T) {
	t.Parallel()
	p := newRawPeer(t, "127.0.0.2", nil)
	start := time.Now()
	a := startAgent(t, speakerOf(rawNeighbor(p)))
	a.until(sessionUp, "a session", established)
	first := time.Since(start)
	p.reset()
	start = time.Now()
	a.until(prompt, "the loss", func(r bgp.Report) bool { return !r.Established() })
	a.until(sessionUp, "another session", established)
	again := time.Since(start)
	t.Logf("up after %v, again after %v", first, again)
	if first > 2*time.Second+slack || again > 2*time.Second+slack {
		t.Errorf("up after %v, again after %v; want 2 s each at most, besides what a busy machine adds", first, again)
	}
}

// A planned switchover on the wire: GRACEFUL_SHUTDOWN (RFC 8326) and LOCAL_PREF come with an implicit replace, an abort
// takes the community away again, the end of a drain withdraws; and an emergency withdraws without any of that.
func TestBGP_GSHUT_01_Drain_BGP_GSHUT_02_Abort_BGP_GSHUT_03_Emergency(t *testing.T) {
	t.Parallel()
	p, a := connect(t, nil, nil, route4())
	_, n := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	draining := route4(func(r *bgp.Route) { r.Communities = []bgp.Community{0xFFFF0000} })
	marked := func(want bool) func(rawMessage) bool {
		return func(m rawMessage) bool {
			u := m.update()
			return u != nil && describeUpdate(u) == "+198.51.100.0/24" && slices.Contains(communitiesOf(u), 0xFFFF0000) == want
		}
	}
	for _, step := range []struct {
		name  string
		route []bgp.Route
		want  func(rawMessage) bool
	}{
		{"drain", []bgp.Route{draining}, marked(true)},
		{"abort", []bgp.Route{route4()}, marked(false)},
		{"drain again", []bgp.Route{draining}, marked(true)},
		{"the end of the drain", nil, is("-198.51.100.0/24")},
		{"announced again", []bgp.Route{route4()}, marked(false)},
		{"emergency", nil, is("-198.51.100.0/24")},
	} {
		a.set(step.route...)
		_, n = p.wait(n+1, prompt, step.name, step.want)
	}
	if c := count(p, "UPDATE"); c != 7 {
		t.Errorf("%d UPDATEs, want 7: %s", c, p.describe())
	}
}

func communitiesOf(u *packet.BGPUpdate) []uint32 {
	for _, x := range u.PathAttributes {
		if x, ok := x.(*packet.PathAttributeCommunities); ok {
			return x.Value
		}
	}
	return nil
}

// A canary that must not leave the neighbor's AS has NO_EXPORT (RFC 1997).
func TestBGP_COM_02_NoExport(t *testing.T) {
	t.Parallel()
	c, err := bgp.ParseCommunity("no-export")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := connect(t, nil, nil, route4(func(r *bgp.Route) { r.Communities = []bgp.Community{c} }))
	m, _ := p.wait(0, prompt, "announcement", is("+198.51.100.0/24"))
	if got := communitiesOf(m.update()); !slices.Equal(got, []uint32{0xFFFFFF01}) {
		t.Errorf("communities %x", got)
	}
}

// Every UPDATE has only one of withdrawn routes, NLRI, MP_REACH_NLRI and MP_UNREACH_NLRI (RFC 7606 section 5.1).
func TestBGP_UPD_02_OneKindPerUpdate(t *testing.T) {
	t.Parallel()
	hop := netip.MustParseAddr("2001:db8::1")
	six := bgp.Route{Prefix: service6, Attributes: bgp.Attributes{NextHop: hop}}
	p, a := connect(t, nil, nil, route4(), six)
	_, n := p.wait(0, prompt, "IPv4", is("+198.51.100.0/24"))
	p.wait(0, prompt, "IPv6", is("+2001:db8:100::/48"))
	a.set(six)
	p.wait(n+1, prompt, "the withdrawal", is("-198.51.100.0/24"))
	a.set(route4())
	p.wait(n+1, prompt, "the withdrawal of IPv6", is("-2001:db8:100::/48"))
	for _, m := range p.all() {
		u := m.update()
		if u == nil {
			continue
		}
		kinds := min(len(u.NLRI), 1) + min(len(u.WithdrawnRoutes), 1)
		for i, x := range u.PathAttributes {
			if k := x.GetType(); k == packet.BGP_ATTR_TYPE_MP_REACH_NLRI || k == packet.BGP_ATTR_TYPE_MP_UNREACH_NLRI {
				kinds++
				if i > 0 {
					t.Logf("%v is attribute %d, not the first", k, i+1)
				}
			}
		}
		if kinds > 1 {
			t.Errorf("%d kinds in one UPDATE: %s", kinds, describeUpdate(u))
		}
	}
}

// An interface that goes down ends the session on it at once; a link that is cut further away, with the hold time; in both
// cases with the reason.
func TestInterfaceDownAndLinkCut(t *testing.T) {
	l := newLab(t, "/usr/sbin/bird")
	t.Parallel()
	l.netns("us", "bird")
	l.link("us", "bird", "b0")
	l.addr("us", "b0", "10.95.0.1/24")
	l.addr("bird", "b0", "10.95.0.2/24")
	l.bird("bird", birdCommon+`
protocol bgp up from upstream { local 10.95.0.2 as 64500; neighbor 10.95.0.1 as 64501; hold time 3; keepalive time 1; }
`)
	cfg := speakerOf(neighborOf(netip.MustParseAddr("10.95.0.2"), 64500))
	quick(&cfg)
	a := startAgent(t, cfg, l.enter("us"))
	a.set(route4())
	a.until(sessionUp, "a session", established)
	time.Sleep((settling + 2) * lookEvery)

	down := func(how string, within time.Duration, reason string) {
		t.Helper()
		start := time.Now()
		switch how {
		case "interface":
			l.ip("-n", l.prefix+"us", "link", "set", "b0", "down")
		case "carrier":
			l.ip("-n", l.prefix+"bird", "link", "set", "b0", "down")
		case "cut":
			l.in("bird", "nft", "add table ip cut; add chain ip cut in { type filter hook input priority 0; policy drop; }; add chain ip cut out { type filter hook output priority 0; policy drop; }")
		}
		r := a.until(within+slack, "the loss by "+how, func(r bgp.Report) bool { return !r.Established() })
		t.Logf("%s: noticed after %v: %s", how, time.Since(start), r.Neighbors[0].LastError)
		if took := time.Since(start); took > within+slack/2 {
			t.Errorf("%s: noticed after %v", how, took)
		}
		a.until(prompt, "the reason for "+how, func(r bgp.Report) bool { return strings.Contains(strings.ToLower(r.Neighbors[0].LastError), reason) })
	}
	down("interface", 2*lookEvery, "interface b0 is down")
	l.ip("-n", l.prefix+"us", "link", "set", "b0", "up")
	a.until(sessionUp, "a session again", established)
	time.Sleep((settling + 2) * lookEvery)
	down("carrier", 2*lookEvery, "interface b0 is down")
	l.ip("-n", l.prefix+"bird", "link", "set", "b0", "up")
	a.until(sessionUp, "a session once more", established)
	time.Sleep((settling + 2) * lookEvery)
	down("cut", 3*time.Second, "hold timer expired")
}
