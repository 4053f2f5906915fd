package failovertest

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// fault makes something happen to somebody.
func (s *scenario) fault() {
	w := s.w
	h := Choose(w.rand, w.Hosts...)
	for range 2 { // what happens to an Active router is more interesting
		if h.agent == nil || !slices.ContainsFunc(w.checker.keys, func(k vrrp.Key) bool { return h.agent.state(k).word == "MASTER" }) {
			h = Choose(w.rand, w.Hosts...)
		}
	}
	Choose(w.rand, s.badPaths, s.cut, s.cut, s.crash, s.crash, s.powerCut, s.freeze, s.freeze, s.freeze, s.restart, s.restart, s.linkFlap,
		s.linkFlap, s.sourceGone, s.foreignDeletion, s.foreignDeletion, s.addFails, s.speakerDies, s.speakerDies, s.speakerHangs,
		s.sessionLost, s.reload, s.reload, s.reload, s.identicalReload, s.identicalReload, s.noise, s.noise, s.slow, s.quickTurn)(h)
}

// later undoes something after a while, unless everything has been undone before.
func (s *scenario) later(d time.Duration, undo func()) {
	s.w.After(d, func() {
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
	s.impair(Choose(s.w.rand, s.interval, 4*s.interval, s.lease+time.Second, 2*s.w.checker.longest)/4*3+s.w.upTo(s.interval), func() {
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
		h.Kernel.remove(Choose(s.w.rand, keys...), byOthers)
	}
}

func (s *scenario) addFails(h *Host) {
	cfg := MustParseConfig(h.Config)
	k := cfg.Routers[0].Addresses[s.w.rand.IntN(len(cfg.Routers[0].Addresses))].Key()
	h.Kernel.failed[k] = true
	s.w.checker.refusals = true
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
		Choose(s.w.rand, h.agent.speakers...).die()
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
	k := Choose(s.w.rand, s.w.checker.keys...)
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
			s.w.After(gap, func() { o.hears(hdr, b) })
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
func (s *scenario) undisturbed(rule, what string, h *Host, do func(a *agent, now vrrp.Instant)) {
	if !h.idle() {
		return
	}
	a := h.agent
	now := a.local()
	before, deadline := DescribeSnapshot(a.core.Snapshot(now, wall)), a.core.Deadline()
	do(a, now)
	a.core.Flush(now, &a.fx)
	after := DescribeSnapshot(a.core.Snapshot(now, wall))
	if effects := Describe(&a.fx); len(effects) > 0 || !slices.Equal(before, after) || a.core.Deadline() != deadline {
		s.w.checker.fail(rule, "%s should not have noticed anything:\neffects:\n%s\nbefore:\n%s\nafter:\n%s", h.Name,
			strings.Join(effects, "\n"), strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	a.fx.Reset()
	s.w.log(h, "noticed nothing of %s", what)
}

// identicalReload: a reload of the same configuration has no effect.
func (s *scenario) identicalReload(h *Host) {
	s.undisturbed("RELOAD", "a reload", h, func(a *agent, now vrrp.Instant) {
		if a.text == h.Config {
			a.step(now, failover.Reconfigured{Config: MustParseConfig(h.Config)})
		}
	})
}

// noise: a packet that is discarded has no effect (S10).
func (s *scenario) noise(h *Host) {
	r := router(MustParseConfig(s.config(h.index, variant{})), s.w.checker.keys[0])
	hdr := wire.Header{Src: netip.MustParseAddr("192.0.2.77"), Dst: r.VRRP.Key.Family.Group(), TTL: wire.TTL}
	adv := wire.Advertisement{Version: wire.V3, VRID: r.VRRP.Key.VRID, Priority: Choose[uint8](s.w.rand, 0, 1, 255), Interval: 100, Addresses: r.VRRP.Addresses}
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
	s.undisturbed("S10", "a packet", h, func(a *agent, now vrrp.Instant) {
		var p wire.Packet
		if kind == 3 && h.Kernel.owns(hdr.Src) != (a.core.Snapshot(now, wall).Routers[0].Source == hdr.Src.String()) {
			return // its own source is another address for the moment
		}
		if s.w.read(b, hdr, &p) == wire.Accepted {
			a.core.Receive(now, link, &p, &a.fx)
		}
	})
}
