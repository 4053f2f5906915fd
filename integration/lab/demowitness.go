package lab

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"failoverd/bgp"
	"failoverd/vrrp/wire"
)

// narrator follows the witnesses and the status sockets and writes the timeline. It also knows who is what now, for the
// story to wait on.
type narrator struct {
	world   *world
	line    *timeline
	verbose bool

	mu    sync.Mutex
	roles map[string]string // by machine: MASTER, BACKUP ..., empty while there is no agent

	// owned by the goroutine of run
	last     map[string]toldRole // by machine
	bgp      map[string]*follower
	lan      follower
	sessions int       // changes of the upstream's sessions told
	served   string    // who answered last
	silent   time.Time // since when nobody answers; zero while somebody does
}

// follower reads a capture bit by bit.
type follower struct {
	capture *Capture
	frames  int // read
	reader  BGPReader
}

// packets returns the packets that were not returned before.
func (f *follower) packets() []Packet {
	fresh := f.capture.FramesSince(f.frames)
	f.frames += len(fresh)
	return Decode(fresh)
}

// toldRole is a role as it was told last. Two reports of one role may differ by microseconds in when it began, because
// an agent computes that from its monotonic clock.
type toldRole struct {
	state string
	since time.Time
}

func (r toldRole) same(o toldRole) bool {
	return r.state == o.state && r.since.Sub(o.since).Abs() < 100*time.Millisecond
}

func newNarrator(w *world, line *timeline, verbose bool) *narrator {
	n := &narrator{
		world: w, line: line, verbose: verbose, roles: make(map[string]string), last: make(map[string]toldRole),
		bgp: make(map[string]*follower),
	}
	w.onChange, w.onUpstreamChange = n.kernelChange, n.routeChange
	return n
}

// run looks around every 40 ms until ctx ends. The witnesses are there by then.
func (n *narrator) run(ctx context.Context) {
	for name, c := range n.world.bgp {
		n.bgp[name] = &follower{capture: c}
	}
	n.lan.capture = n.world.lan
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, m := range n.world.machines {
				n.role(ctx, m)
				n.messages(m)
			}
			n.upstreamSessions()
			if n.verbose {
				n.advertisements()
			}
			n.service()
		}
	}
}

// role asks the agent of a machine what it is.
func (n *narrator) role(ctx context.Context, m *machine) {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	s, err := m.status.Get(ctx)
	state := ""
	if err == nil && len(s.Routers) == 1 {
		r := s.Routers[0]
		state = r.State
		if now := (toldRole{state, r.Since}); !now.same(n.last[m.name]) && state != "INIT" {
			n.last[m.name] = now
			n.line.add(r.Since, m.name, "role", "%s%s", state, because(r.Why))
		}
	}
	n.mu.Lock()
	n.roles[m.name] = state
	n.mu.Unlock()
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// state returns the role of a machine as its agent said last.
func (n *narrator) state(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.roles[name]
}

// messages tells what the machine announced and withdrew. What the upstream says is of no interest: it announces
// nothing, and gobgp's withdrawals of what it never announced are noise.
func (n *narrator) messages(m *machine) {
	f := n.bgp[m.name]
	packets := f.packets()
	for i := range packets {
		for _, msg := range f.reader.Read(&packets[i]) {
			if msg.Src == m.peering {
				n.message(m, &msg)
			}
		}
	}
}

func (n *narrator) message(m *machine, msg *BGPMessage) {
	switch {
	case len(msg.Announced) > 0:
		n.line.add(msg.At, m.name, "bgp", "announces %s", list(msg.Announced))
	case len(msg.Withdrawn) > 0:
		n.line.add(msg.At, m.name, "bgp", "withdraws %s", list(msg.Withdrawn))
	case msg.Type == BGPOpen && n.verbose:
		n.line.add(msg.At, m.name, "bgp", "opens a BGP session, hold time %d s", msg.HoldTime)
	}
}

// upstreamSessions tells which sessions the upstream got and lost.
func (n *narrator) upstreamSessions() {
	all := n.world.sessions()
	for i := n.sessions; i < len(all); i++ {
		c := all[i]
		switch {
		case c.state == bgp.Established:
			n.line.add(c.at, "upstream", "session", "BGP session with %s is up", n.owner(c.peer))
		case wasUp(all[:i], c.peer):
			n.line.add(c.at, "upstream", "session", "BGP session with %s is lost: %s", n.owner(c.peer), c.why)
		}
	}
	n.sessions = len(all)
}

// wasUp reports whether the last change of the session with peer made it Established.
func wasUp(changes []sessionChange, peer netip.Addr) bool {
	for _, c := range slices.Backward(changes) {
		if c.peer == peer {
			return c.state == bgp.Established
		}
	}
	return false
}

func list(p []netip.Prefix) string {
	s := make([]string, len(p))
	for i := range p {
		s[i] = p[i].String()
	}
	return strings.Join(s, ", ")
}

// advertisements tells every advertisement on the mainland's LAN.
func (n *narrator) advertisements() {
	for _, p := range n.lan.packets() {
		if p.VRRP != nil && p.VRRP.Drop == wire.Accepted {
			n.line.add(p.At, n.owner(p.Src), "advert", "advertises to %s, priority %d", p.Dst, p.VRRP.Priority)
		}
	}
}

// owner returns the machine with that address on its LAN.
func (n *narrator) owner(a netip.Addr) string {
	for _, m := range n.world.machines {
		if m.lan == a || m.peering == a {
			return m.name
		}
	}
	return a.String()
}

// service tells when the client loses the service and when it gets it back, and from whom.
func (n *narrator) service() {
	p := n.world.probe
	h := p.Health(50 * time.Millisecond)
	switch {
	case !h.Answering && n.silent.IsZero() && n.served != "":
		n.silent = h.Since
		n.line.add(h.Since, "client", "probe", "%s does not answer any more", demoVIP)
	case h.Answering && h.Node != "" && !n.silent.IsZero():
		at, who, ok := p.FirstAnswer(n.silent, "")
		if !ok {
			return
		}
		n.line.add(at, "client", "probe", "%s answers: %s, after %s", demoVIP, who, seconds(at.Sub(n.silent)))
		n.served, n.silent = who, time.Time{}
	case h.Answering && h.Node != "" && h.Node != n.served:
		n.moved(h.Node)
	}
}

// moved tells that another node answers, after an outage that was too short to be told of.
func (n *narrator) moved(to string) {
	p, was := n.world.probe, n.served
	n.served = to
	at, _, ok := p.FirstAnswer(time.Now().Add(-time.Second), to)
	if !ok {
		return
	}
	gap := ""
	if was != "" {
		gap = ", after " + seconds(p.Longest(at.Add(-100*time.Millisecond), at).Duration())
	}
	n.line.add(at, "client", "probe", "%s answers: %s%s", demoVIP, to, gap)
}

// kernelChange tells when a machine gets or loses the virtual address. It is called by the watches.
func (n *narrator) kernelChange(c Change) {
	if c.Prefix.Addr() != demoVIP {
		return
	}
	switch c.Kind {
	case AddressAdded:
		n.line.add(c.At, c.Node, "address", "address %s in, for %d s unless renewed", c.Prefix, c.ValidLifetime)
	case AddressRemoved:
		n.line.add(c.At, c.Node, "address", "address %s gone", c.Prefix)
	}
}

// routeChange tells where the upstream sends the service's packets.
func (n *narrator) routeChange(c Change) {
	if c.Prefix != demoPrefix {
		return
	}
	switch c.Kind {
	case RouteAdded:
		n.line.add(c.At, "upstream", "route", "routes %s to %s", demoPrefix, n.owner(c.Gateway))
	case RouteRemoved:
		n.line.add(c.At, "upstream", "route", "has no route to %s", demoPrefix)
	}
}

// serves reports whether everything agrees that a machine, and nobody else, serves: its agent is MASTER and all other
// agents that run are BACKUP, the upstream routes to it, and the client is answered by it.
func (n *narrator) serves(m *machine) bool {
	for _, o := range n.world.machines {
		want := "BACKUP"
		if o == m {
			want = "MASTER"
		}
		if (o.running() || o == m) && n.state(o.name) != want {
			return false
		}
	}
	if h := n.world.probe.Health(50 * time.Millisecond); !h.Answering || h.Node != m.name {
		return false
	}
	via, ok, err := n.world.up.NextHop(demoPrefix)
	return err == nil && ok && via == m.peering
}
