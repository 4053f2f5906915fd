package failovertest

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// faults is how many things happen to the world of a scenario.
const faults = 14

// Simulate runs the scenario of a seed: hosts that start, a course of faults, an end of all faults, and then a time in
// which everything has to come right; at last everyone is stopped. It returns an error that says which rule was broken
// first, and what the world looked like then. The trace, if there is one, gets a line for everything that happens.
func Simulate(seed uint64, m Mutation, trace io.Writer) error {
	s := newScenario(seed, m, trace)
	w := s.w
	for _, h := range w.Hosts {
		w.after(w.upTo(2*s.interval), h.start)
	}
	w.Run(w.now.Add(w.upTo(2 * w.checker.longest)))
	for i := 0; i < faults && w.checker.broken == ""; i++ {
		s.fault()
		w.Run(w.now.Add(s.pause()))
	}
	if w.checker.broken == "" {
		s.heal()
		w.Run(w.now.Add(s.settling()))
		quiet := w.now
		w.Run(w.now.Add(10 * s.interval))
		w.checker.verdict(s, quiet)
	}
	if w.checker.broken == "" {
		s.end()
	}
	if w.checker.broken == "" {
		return nil
	}
	return fmt.Errorf("seed %d (%s): %s\n%s", seed, m, w.checker.broken, w)
}

// scenario is a world, and what happens to it.
type scenario struct {
	profile
	w      *World
	healed bool
}

func newScenario(seed uint64, m Mutation, trace io.Writer) *scenario {
	w := NewWorld(seed, m, trace)
	s := &scenario{profile: drawProfile(w.rand), w: w}
	for i := range s.hosts {
		h := w.Add(string(rune('a'+i)), s.address4(i), s.address6(i))
		h.Config = s.config(i, variant{})
		w.log(h, "configuration:\n%s", h.Config)
	}
	s.quietPaths()
	c := w.checker
	c.interval, c.lease = s.interval, s.lease
	c.rtt = 2*time.Millisecond + 4*loopDelay
	c.longest = s.startupDelay + 2*(3*s.interval+skew(1, s.interval)) + time.Second
	c.begin()
	return s
}

// quietPaths makes all paths what they are on a LAN.
func (s *scenario) quietPaths() {
	for _, from := range s.w.Hosts {
		for _, to := range s.w.Hosts {
			*s.w.Path(from, to) = Path{Cut: from == to, Delay: 50 * time.Microsecond, Jitter: 900 * time.Microsecond, Ordered: true}
		}
	}
}

// pause draws how long it takes until the next thing happens: often no time at all, sometimes long enough for calm.
func (s *scenario) pause() time.Duration {
	switch s.w.rand.IntN(4) {
	case 0:
		return s.w.upTo(20 * time.Millisecond)
	case 1:
		return s.w.upTo(s.interval)
	case 2:
		return s.w.upTo(6 * s.interval)
	}
	return s.w.checker.longest + s.w.upTo(s.w.checker.longest)
}

// settling is the time after which everything has to be right.
func (s *scenario) settling() time.Duration {
	return 4*time.Second + s.bgpWait + s.preemptDelay + s.lease + 2*s.w.checker.longest
}

// fault makes something happen to somebody.
func (s *scenario) fault() {
	w := s.w
	h := choose(w.rand, w.Hosts...)
	for range 2 { // what happens to an Active router is more interesting
		if h.agent == nil || !slices.ContainsFunc(w.checker.keys, func(k vrrp.Key) bool { return h.agent.state(k).word == "MASTER" }) {
			h = choose(w.rand, w.Hosts...)
		}
	}
	choose(w.rand, s.badPaths, s.cut, s.cut, s.crash, s.crash, s.powerCut, s.freeze, s.freeze, s.freeze, s.restart, s.restart, s.linkFlap,
		s.linkFlap, s.sourceGone, s.foreignDeletion, s.foreignDeletion, s.addFails, s.speakerDies, s.speakerDies, s.speakerHangs,
		s.sessionLost, s.reload, s.reload, s.reload, s.identicalReload, s.identicalReload, s.noise, s.noise, s.slow, s.quickTurn)(h)
}

// later undoes something after a while, unless everything has been undone before.
func (s *scenario) later(d time.Duration, undo func()) {
	s.w.after(d, func() {
		if !s.healed {
			undo()
		}
	})
}

// impair begins something that lasts for a while.
func (s *scenario) impair(d time.Duration, end func()) {
	s.w.checker.impair(1)
	s.later(d, func() {
		end()
		s.w.checker.impair(-1)
	})
}

// while draws how long something lasts.
func (s *scenario) while() time.Duration { return s.w.upTo(s.w.checker.longest + s.lease) }

func (s *scenario) badPaths(*Host) {
	p := Path{
		Delay: s.w.upTo(s.interval / 2), Jitter: s.w.upTo(s.interval), Loss: s.w.rand.Float64() / 2, Duplicate: 0.1, Corrupt: 0.05,
	}
	s.w.log(nil, "bad paths: %+v", p)
	for _, from := range s.w.Hosts {
		for _, to := range s.w.Hosts {
			if from != to {
				*s.w.Path(from, to) = p
			}
		}
	}
	s.impair(s.while(), s.quietPaths)
}

func (s *scenario) cut(h *Host) {
	in, out := s.w.happens(0.7), s.w.happens(0.7)
	s.w.log(h, "cut off: in %v, out %v", in, out)
	set := func(in, out bool) {
		for _, o := range s.w.Hosts {
			if o != h {
				s.w.Path(o, h).Cut, s.w.Path(h, o).Cut = in, out
			}
		}
	}
	set(in, out)
	s.impair(s.while(), func() { set(false, false) })
}

func (s *scenario) crash(h *Host) {
	s.w.checker.expect(h, false)
	h.crash()
	s.later(s.while(), func() { s.start(h) })
}

func (s *scenario) start(h *Host) {
	s.w.checker.disturb()
	h.start()
}

func (s *scenario) powerCut(h *Host) {
	s.crash(h)
	for _, l := range h.Kernel.links {
		l.addresses = nil
	}
}

func (s *scenario) freeze(h *Host) {
	if h.agent == nil || h.agent.frozen {
		return
	}
	a := h.agent
	h.freeze()
	s.impair(choose(s.w.rand, s.interval, 4*s.interval, s.lease+time.Second, 2*s.w.checker.longest)/4*3+s.w.upTo(s.interval), func() {
		if h.agent == a {
			h.resume()
		}
	})
}

func (s *scenario) restart(h *Host) {
	if h.agent == nil || h.agent.frozen || h.slow() {
		return
	}
	s.w.checker.expect(h, true)
	h.stop()
	s.later(failover.StopBound+s.while(), func() { s.start(h) })
}

func (s *scenario) linkFlap(h *Host) {
	exists := s.w.happens(0.5)
	h.Kernel.setLink(false, exists)
	s.impair(s.while(), func() { h.Kernel.setLink(true, true) })
}

func (s *scenario) sourceGone(h *Host) {
	h.Kernel.setStatic(nil)
	s.impair(s.while(), func() { h.Kernel.setStatic(s.static(h)) })
}

func (s *scenario) static(h *Host) []netip.Prefix {
	return []netip.Prefix{s.address4(h.index), s.address6(h.index)}
}

func (s *scenario) foreignDeletion(h *Host) {
	if keys := h.Kernel.keys(); len(keys) > 0 {
		h.Kernel.remove(choose(s.w.rand, keys...), byOthers)
	}
}

func (s *scenario) addFails(h *Host) {
	cfg := MustParseConfig(h.Config)
	k := cfg.Routers[0].Addresses[s.w.rand.IntN(len(cfg.Routers[0].Addresses))].Key()
	h.Kernel.failed[k] = true
	s.w.log(h, "kernel: adding %s fails", k)
	if _, ours := h.Kernel.has(k); ours && s.w.happens(0.5) {
		h.Kernel.remove(k, byOthers)
	}
	s.later(s.while(), func() { s.addWorks(h) })
}

func (s *scenario) addWorks(h *Host) {
	clear(h.Kernel.failed)
	if h.agent != nil {
		h.agent.worker.kick()
	}
}

func (s *scenario) speakerDies(h *Host) {
	if h.agent != nil && len(h.agent.speakers) > 0 {
		choose(s.w.rand, h.agent.speakers...).die()
	}
}

func (s *scenario) speakerHangs(h *Host) {
	s.w.log(h, "speakers hang")
	h.mood.hung = true
	s.impair(s.while(), func() { s.calmDown(h) })
}

func (s *scenario) slow(h *Host) {
	h.mood.lateness, h.mood.kernel = s.w.upTo(s.interval/3), s.w.upTo(300*time.Millisecond)
	s.w.log(h, "slow: %+v", h.mood)
	s.impair(s.while(), func() { s.calmDown(h) })
}

func (s *scenario) calmDown(h *Host) {
	h.mood = mood{}
	s.w.checker.hosts[h.index].slow = s.w.now
	if h.agent != nil {
		for _, p := range h.agent.speakers {
			p.kick()
		}
	}
}

func (s *scenario) sessionLost(h *Host) {
	s.w.checker.disturb()
	a := h.agent
	if a == nil {
		return
	}
	for _, p := range a.speakers {
		p.session(false)
	}
	s.later(s.while(), func() {
		s.w.checker.disturb()
		for _, p := range a.speakers {
			p.session(true)
		}
	})
}

func (s *scenario) reload(h *Host) {
	s.w.checker.disturb()
	h.Config = s.config(h.index, drawVariant(s.w.rand))
	s.w.log(h, "configuration:\n%s", h.Config)
	h.reload()
}

// quickTurn makes a router lose its role and regain it before anything else is done: an advertisement of a high
// priority, and its withdrawal.
func (s *scenario) quickTurn(h *Host) {
	k := choose(s.w.rand, s.w.checker.keys...)
	if k.Family == wire.IPv6 || s.unicast {
		return
	}
	r := router(MustParseConfig(s.config(h.index, variant{})), k)
	a := wire.Advertisement{Version: wire.V3, VRID: k.VRID, Priority: 255, Interval: r.VRRP.Interval, Addresses: r.VRRP.Addresses}
	hdr := wire.Header{Src: netip.MustParseAddr("192.0.2.77"), Dst: k.Family.Group(), TTL: wire.TTL}
	s.w.log(h, "quick turn of %s", k)
	s.w.checker.disturb()
	gap := s.w.upTo(10 * time.Millisecond)
	for _, priority := range []uint8{255, 0} {
		a.Priority = priority
		b, err := a.Append(nil, hdr.Src, hdr.Dst, wire.ChecksumPseudo)
		if err != nil {
			panic(err)
		}
		for _, o := range s.w.Hosts {
			s.w.after(gap, func() { o.hears(hdr, b) })
		}
		gap += s.w.upTo(300 * time.Millisecond)
	}
}

// idle reports whether an agent runs on the host and has nothing to do at this instant.
func (h *Host) idle() bool {
	a := h.agent
	return a != nil && !a.frozen && a.stopAt == vrrp.Never && len(a.inbox) == 0 && a.core.Deadline() > a.local()
}

// undisturbed does something to an idle agent that must have no effect whatever.
func (s *scenario) undisturbed(rule string, h *Host, do func(a *agent, now vrrp.Instant)) {
	if !h.idle() {
		return
	}
	a := h.agent
	now := a.local()
	before, deadline := DescribeSnapshot(a.core.Snapshot(now, wall)), a.core.Deadline()
	do(a, now)
	a.core.Flush(now, &a.fx)
	after := DescribeSnapshot(a.core.Snapshot(now, wall))
	if effects := describe(&a.fx); len(effects) > 0 || !slices.Equal(before, after) || a.core.Deadline() != deadline {
		s.w.checker.fail(rule, "%s should not have noticed anything:\neffects:\n%s\nbefore:\n%s\nafter:\n%s", h.Name,
			strings.Join(effects, "\n"), strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	a.fx.Reset()
}

// identicalReload: a reload of the same configuration has no effect.
func (s *scenario) identicalReload(h *Host) {
	s.undisturbed("RELOAD", h, func(a *agent, now vrrp.Instant) {
		if a.text == h.Config {
			a.step(now, failover.Reconfigured{Config: MustParseConfig(h.Config)})
		}
	})
}

// noise: a packet that is discarded has no effect (S10).
func (s *scenario) noise(h *Host) {
	r := router(MustParseConfig(s.config(h.index, variant{})), s.w.checker.keys[0])
	hdr := wire.Header{Src: netip.MustParseAddr("192.0.2.77"), Dst: r.VRRP.Key.Family.Group(), TTL: wire.TTL}
	adv := wire.Advertisement{Version: wire.V3, VRID: r.VRRP.Key.VRID, Priority: choose[uint8](s.w.rand, 0, 1, 255), Interval: 100, Addresses: r.VRRP.Addresses}
	kind := s.w.rand.IntN(6)
	switch kind {
	case 0:
		adv.VRID = 200
	case 1:
		adv.Version, adv.Interval = wire.V2, 100
	case 2:
		hdr.Dst = s.address4(h.index).Addr() // from nobody's peer
	case 3:
		hdr.Src = s.address4(h.index).Addr()
	}
	b, err := adv.Append(nil, hdr.Src, hdr.Dst, wire.ChecksumPseudo)
	if err != nil {
		panic(err)
	}
	switch kind {
	case 4:
		hdr.TTL = 254
	case 5:
		b[s.w.rand.IntN(len(b))] ^= 1 << s.w.rand.IntN(8)
	}
	link := failover.LinkID{Interface: "eth0", Family: wire.IPv4}
	if !hdr.Dst.IsMulticast() {
		link.Interface = ""
	}
	s.undisturbed("S10", h, func(a *agent, now vrrp.Instant) {
		var p wire.Packet
		if kind == 3 && h.Kernel.owns(hdr.Src) != (a.core.Snapshot(now, wall).Routers[0].Source == hdr.Src.String()) {
			return // its own source is another address for the moment
		}
		if s.w.read(b, hdr, &p) == wire.Accepted {
			a.core.Receive(now, link, &p, &a.fx)
		}
	})
}

// heal ends everything that goes on, and has everyone run with the configuration of the start.
func (s *scenario) heal() {
	s.w.log(nil, "everything is healed")
	s.healed = true
	s.quietPaths()
	c := s.w.checker
	for i, h := range s.w.Hosts {
		h.resume()
		s.calmDown(h)
		s.addWorks(h)
		h.Kernel.setStatic(s.static(h))
		h.Kernel.setLink(true, true)
		h.Config = s.config(i, variant{})
		h.reload()
		if h.agent != nil {
			for _, p := range h.agent.speakers {
				p.session(true)
			}
		}
		s.w.after(failover.StopBound+100*time.Millisecond, func() { s.start(h) })
	}
	c.impaired = 0
	c.disturb()
}

// end stops everyone in order: nothing may be left.
func (s *scenario) end() {
	for _, h := range s.w.Hosts {
		s.restart(h)
	}
	s.w.Run(s.w.now.Add(failover.StopBound + time.Second))
	for _, h := range s.w.Hosts {
		if left := h.Kernel.keys(); h.agent != nil || len(left) > 0 {
			s.w.checker.fail("S14", "%s was stopped and has %v left, agent %v", h.Name, left, h.agent != nil)
		}
	}
}

// verdict: after a time without faults everything is as it should be (S1, and that addresses, routes and the LAN's
// caches follow), and has been so since quiet.
func (c *checker) verdict(s *scenario, quiet vrrp.Instant) {
	if c.moved > quiet {
		c.fail("S1", "a router has changed its state at %s, long after the last fault", at(c.moved))
	}
	for _, k := range c.keys {
		c.elected(s, k)
	}
	for _, h := range c.w.Hosts {
		if h.agent == nil {
			c.fail("END", "%s does not run", h.Name)
			return
		}
		c.complete(h.agent)
	}
}

// elected: exactly one is Active, the best one if all preempt, and the LAN knows.
func (c *checker) elected(s *scenario, k vrrp.Key) {
	var active, best *Host
	priority := func(h *Host) uint8 { return router(MustParseConfig(h.Config), k).VRRP.Priority }
	for _, h := range c.w.Hosts {
		if h.agent == nil {
			continue
		}
		switch word := h.agent.state(k).word; {
		case word == "MASTER" && active != nil:
			c.fail("S1", "%s and %s are Active for %s", active.Name, h.Name, k)
		case word == "MASTER":
			active = h
		case word != "BACKUP":
			c.fail("S1", "%s is %s for %s", h.Name, word, k)
		}
		if best == nil || priority(h) > priority(best) {
			best = h
		}
	}
	if active == nil {
		c.fail("S1", "nobody is Active for %s", k)
		return
	}
	if s.preempt && priority(active) != priority(best) {
		c.fail("S1", "%s is Active for %s, and %s should be", active.Name, k, best.Name)
	}
	for _, a := range router(MustParseConfig(active.Config), k).Addresses {
		if _, ours := active.Kernel.has(a.Key()); a.Interface == "eth0" && ours && !c.unheard[k] && c.cache[a.Prefix.Addr()] != active {
			c.fail("CACHE", "the LAN does not know that %s has %s", active.Name, a.Prefix)
		}
	}
}

// complete: an agent's host has exactly the addresses and announces exactly the routes that its roles entitle it to.
func (c *checker) complete(a *agent) {
	var want []failover.AddressKey
	for _, r := range a.core.Config().Routers {
		if a.state(r.VRRP.Key).word != "MASTER" {
			continue
		}
		for i := range r.Addresses {
			k := r.Addresses[i].Key()
			there, ours := a.host.Kernel.has(k)
			if !there {
				c.fail("END", "%s lacks %s", a.host.Name, k)
			}
			if ours && !slices.Contains(want, k) {
				want = append(want, k)
			}
		}
	}
	have := a.host.Kernel.keys()
	slices.SortFunc(want, compareKeys)
	slices.SortFunc(have, compareKeys)
	if !slices.Equal(want, have) {
		c.fail("END", "%s has %v, and should have %v", a.host.Name, have, want)
	}
	for _, s := range a.speakers {
		if want := entitled(a, s.cfg.Name); !slices.EqualFunc(want, s.Table, equal) {
			c.fail("END", "%s announces through %s %s, and should %s", a.host.Name, s.cfg.Name, describeRoutes(s.Table), describeRoutes(want))
		}
	}
}

// entitled returns the routes that an agent's roles entitle it to, sorted by prefix: those of Active routers first, then
// those of Backups, in the order of the configuration.
func entitled(a *agent, speaker string) (want []bgp.Route) {
	for _, role := range []struct {
		word string
		when failover.Role
	}{{"MASTER", failover.RoleActive}, {"BACKUP", failover.RoleBackup}} {
		for _, r := range a.core.Config().Routers {
			if a.state(r.VRRP.Key).word != role.word {
				continue
			}
			for _, x := range r.Announce {
				taken := slices.ContainsFunc(want, func(o bgp.Route) bool { return o.Prefix == x.Route.Prefix })
				if x.Speaker == speaker && x.When == role.when && !taken {
					want = append(want, x.Route)
				}
			}
		}
	}
	slices.SortFunc(want, func(x, y bgp.Route) int { return x.Prefix.Compare(y.Prefix) })
	return want
}
