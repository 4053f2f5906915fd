package failovertest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// fault makes something happen to somebody.
func (s *scenario) fault(f *Fault) {
	h := s.find(f)
	s.w.log(h, "fault %s", f)
	kinds[f.Kind].do(s, h, f, rand.New(rand.NewPCG(f.N, 0xfa17)))
}

// find returns the host of a fault.
func (s *scenario) find(f *Fault) *Host {
	hosts, keys := s.w.Hosts, s.w.checker.keys
	if f.Host != Active {
		return hosts[int(f.Host[0]-'a')%len(hosts)]
	}
	for i := range keys {
		k := keys[(uint64(i)+f.N)%uint64(len(keys))]
		for _, h := range hosts {
			if h.agent != nil && h.agent.state(k).word == "MASTER" {
				return h
			}
		}
	}
	return hosts[0]
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

func (s *scenario) badPaths(_ *Host, f *Fault, r *rand.Rand) {
	p := Path{
		Delay: upTo(r, s.interval/2), Jitter: upTo(r, s.interval), Loss: r.Float64() / 2, Duplicate: 0.1, Corrupt: 0.05,
	}
	s.w.log(nil, "bad paths: %+v", p)
	for _, from := range s.w.Hosts {
		for _, to := range s.w.Hosts {
			if from != to {
				*s.w.Path(from, to) = p
			}
		}
	}
	s.impair(f.For, s.quietPaths)
}

func (s *scenario) cut(h *Host, f *Fault, r *rand.Rand) {
	in, out := r.Float64() < 0.7, r.Float64() < 0.7
	s.w.log(h, "cut off: in %v, out %v", in, out)
	set := func(in, out bool) {
		for _, o := range s.w.Hosts {
			if o != h {
				s.w.Path(o, h).Cut, s.w.Path(h, o).Cut = in, out
			}
		}
	}
	set(in, out)
	s.impair(f.For, func() { set(false, false) })
}

func (s *scenario) crash(h *Host, f *Fault, _ *rand.Rand) {
	s.w.checker.expect(h, false)
	h.crash()
	s.later(f.For, func() { s.start(h) })
}

// kill ends an agent that a supervisor starts again. One time out of four it is not to resume.
func (s *scenario) kill(h *Host, f *Fault, _ *rand.Rand) {
	calm := s.w.checker.over(0, s.w.checker.longest)
	s.w.checker.expect(h, false)
	h.kill(f.N%4 == 3)
	if h.succession != nil {
		h.succession.calm = calm
	}
}

// upgrade has another program take over from the agent of a host: every other time before its checks have looked.
func (s *scenario) upgrade(h *Host, f *Fault, _ *rand.Rand) { h.upgrade(f.N%2 > 0) }

func (s *scenario) start(h *Host) {
	s.w.checker.disturb()
	h.start()
}

func (s *scenario) powerCut(h *Host, f *Fault, r *rand.Rand) {
	s.crash(h, f, r)
	h.Kernel.lose()
}

func (s *scenario) freeze(h *Host, f *Fault, _ *rand.Rand) {
	if h.agent == nil || h.agent.frozen {
		return
	}
	a := h.agent
	h.freeze()
	s.impair(f.For, func() {
		if h.agent == a {
			h.resume()
		}
	})
}

func (s *scenario) restart(h *Host, f *Fault, _ *rand.Rand) {
	if s.stop(h) {
		s.later(f.For, func() { s.start(h) })
	}
}

// stop asks an agent that is able to stop to do so.
func (s *scenario) stop(h *Host) bool {
	if h.agent == nil || h.agent.frozen || h.slow() {
		return false
	}
	s.w.checker.expect(h, true)
	h.stop()
	return true
}

func (s *scenario) linkFlap(h *Host, f *Fault, r *rand.Rand) {
	exists := r.IntN(2) == 0
	h.Kernel.setLink(false, exists)
	s.impair(f.For, func() { h.Kernel.setLink(true, true) })
}

func (s *scenario) sourceGone(h *Host, f *Fault, _ *rand.Rand) {
	h.Kernel.setStatic(nil)
	s.impair(f.For, func() { h.Kernel.setStatic(s.static(h)) })
}

func (s *scenario) static(h *Host) []netip.Prefix {
	return []netip.Prefix{s.address4(h.index), s.address6(h.index)}
}

func (s *scenario) foreignDeletion(h *Host, _ *Fault, r *rand.Rand) {
	if keys := h.Kernel.keys(); len(keys) > 0 {
		h.Kernel.remove(Choose(r, keys...), byOthers)
	}
}

func (s *scenario) addFails(h *Host, f *Fault, r *rand.Rand) {
	cfg := s.w.config(h.Config)
	k := cfg.Routers[0].Addresses[r.IntN(len(cfg.Routers[0].Addresses))].Key()
	h.Kernel.failed[k] = true
	s.w.checker.refusals, s.w.checker.touched = true, true
	s.w.log(h, "kernel: adding %s fails", k)
	if _, ours := h.Kernel.has(k); ours && r.IntN(2) == 0 {
		h.Kernel.remove(k, byOthers)
	}
	s.later(f.For, func() { s.addWorks(h) })
}

func (s *scenario) addWorks(h *Host) {
	clear(h.Kernel.failed)
	if h.agent != nil {
		h.agent.worker.kick()
	}
}

func (s *scenario) speakerDies(h *Host, _ *Fault, r *rand.Rand) {
	if h.agent != nil && len(h.agent.speakers) > 0 {
		Choose(r, h.agent.speakers...).die()
	}
}

func (s *scenario) speakerHangs(h *Host, f *Fault, _ *rand.Rand) {
	s.w.log(h, "speakers hang")
	h.mood.hung = true
	s.impair(f.For, func() { s.calmDown(h) })
}

func (s *scenario) slow(h *Host, f *Fault, r *rand.Rand) {
	h.mood.lateness, h.mood.kernel = upTo(r, s.interval/3), upTo(r, 300*time.Millisecond)
	s.w.log(h, "slow: %+v", h.mood)
	s.impair(f.For, func() { s.calmDown(h) })
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

func (s *scenario) sessionLost(h *Host, f *Fault, _ *rand.Rand) {
	s.w.checker.disturb()
	a := h.agent
	if a == nil {
		return
	}
	for _, p := range a.speakers {
		p.session(false)
	}
	s.later(f.For, func() {
		s.w.checker.disturb()
		for _, p := range a.speakers {
			p.session(true)
		}
	})
}

func (s *scenario) reload(h *Host, _ *Fault, r *rand.Rand) {
	s.w.checker.disturb()
	h.Config = s.config(h.index, drawVariant(r))
	s.w.log(h, "configuration:\n%s", h.Config)
	h.reload()
}

// quickTurn makes a router lose its role and regain it before anything else is done: an advertisement of a high
// priority, and its withdrawal.
func (s *scenario) quickTurn(h *Host, _ *Fault, r *rand.Rand) {
	k := Choose(r, s.w.checker.keys...)
	if k.Family == wire.IPv6 || s.unicast {
		return
	}
	c := router(s.w.config(s.usual[h.index]), k)
	a := wire.Advertisement{Version: wire.V3, VRID: k.VRID, Priority: 255, Interval: c.VRRP.Interval, Addresses: c.VRRP.Addresses}
	hdr := wire.Header{Src: netip.MustParseAddr("192.0.2.77"), Dst: k.Family.Group(), TTL: wire.TTL}
	s.w.log(h, "quick turn of %s", k)
	s.w.checker.disturb()
	gap := upTo(r, 10*time.Millisecond)
	for _, priority := range []uint8{255, 0} {
		a.Priority = priority
		b, err := a.Append(nil, hdr.Src, hdr.Dst, wire.ChecksumPseudo)
		if err != nil {
			panic(err)
		}
		for _, o := range s.w.Hosts {
			s.w.After(gap, func() { o.hears(hdr, b) })
		}
		gap += upTo(r, 300*time.Millisecond)
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
func (s *scenario) identicalReload(h *Host, _ *Fault, _ *rand.Rand) {
	s.undisturbed("RELOAD", "a reload", h, func(a *agent, now vrrp.Instant) {
		if a.text == h.Config {
			a.given = s.w.reading(h.Config, a.given)
			a.step(now, failover.Reconfigured{Config: a.given})
		}
	})
}

// noise: a packet that is discarded has no effect (S10).
func (s *scenario) noise(h *Host, _ *Fault, r *rand.Rand) {
	c := router(s.w.config(s.usual[h.index]), s.w.checker.keys[0])
	hdr := wire.Header{Src: netip.MustParseAddr("192.0.2.77"), Dst: c.VRRP.Key.Family.Group(), TTL: wire.TTL}
	adv := wire.Advertisement{Version: wire.V3, VRID: c.VRRP.Key.VRID, Priority: Choose[uint8](r, 0, 1, 255), Interval: 100, Addresses: c.VRRP.Addresses}
	kind := r.IntN(6)
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
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
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
