package failovertest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/record"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// agent is a running failoverd: a core and what the daemon puts around it.
type agent struct {
	world *World
	host  *Host
	core  *record.Core
	text  string // the configuration in force

	offset    time.Duration // what its clock shows more than the world's
	inbox     []any         // packet or failover.Input, in order of arrival
	read      []any         // the one before, whose memory is used again
	wake      func()        // what happens at wakeAt
	results   vrrp.Instant  // when the last result arrives: results do not overtake each other
	pending   int           // how many results are on their way
	wakeAt    vrrp.Instant  // Never: not planned
	frozen    bool
	since     vrrp.Instant  // when it started, froze or thawed last
	frozenFor time.Duration // how long it was frozen last
	thaw      []func()      // what its other goroutines do when it thaws

	fx       failover.Effects
	open     map[failover.LinkID]bool
	indexes  map[string]int // of the interfaces that links are open on
	worker   worker
	objects  objectWorker
	speakers []*Speaker
	desired  map[string]bgp.Desired // as last set
	// withdrawn are the routes that a speaker was to announce and is not to announce any more, with when that was.
	withdrawn []withdrawal
	states    []*state
	sound     bool               // what the speakers are to announce is right, and stays so until something happens
	configs   []*failover.Config // all that were in force, the newest last
	adopted   []vrrp.Instant     // when each of them was
	invalid   bool               // the RPKI cache has told it that rpkiPrefix is
	evidence  evidence           // what it has been told by the checks
	stopAt    vrrp.Instant       // when it was asked to stop; Never: it was not
	spins     int                // batches in a row after which more was due
	sent      failover.Advert    // the last one; for StubbornActive

	alive       vrrp.Instant // when it was alive last
	will        *lastWill    // the last one that was written
	willPlanned bool
}

type packet struct {
	link failover.LinkID
	p    *wire.Packet
}

// inboxLimit is how many packets the sockets of a process keep that does not read.
const inboxLimit = 512

// start starts an agent with the host's configuration file. If there was one before, it takes over what it may.
func (h *Host) start() {
	if h.agent != nil {
		return
	}
	w := h.world
	w.log(h, "agent starts")
	a := h.newAgent(time.Duration(w.rand.Int64N(1e15)))
	w.checker.touch(h)
	h.agent = a
	if e := h.succession; e != nil {
		a.follow(e)
	}
	a.beginObjects(a.objects.goesOn)
	if !a.core.Inheriting() {
		a.worker.set(failover.DesiredAddresses{})
	}
	a.adoptSpeakers(a.core.Config())
	for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
		a.arrives(failover.LinkChanged{Link: failover.LinkID{Family: f}, Open: true})
	}
	for _, l := range h.Kernel.links {
		a.arrives(failover.InterfaceChanged{Interface: l.describe()})
	}
	a.beginChecks()
	a.beginHealth()
	a.beginCache()
}

// newAgent returns an agent that has done nothing yet, with the host's configuration file.
func (h *Host) newAgent(offset time.Duration) *agent {
	w := h.world
	a := &agent{
		world: w, host: h, text: h.Config, offset: offset, wakeAt: vrrp.Never, since: w.now, alive: w.now,
		open: make(map[failover.LinkID]bool), indexes: make(map[string]int), desired: make(map[string]bgp.Desired), stopAt: vrrp.Never,
	}
	a.wake = a.woken
	cfg := w.config(h.Config)
	var err error
	if a.core, err = NewCore(w.trace, w.mutation.configure(cfg), a.local()); err != nil {
		panic(err)
	}
	a.configs, a.adopted = append(a.configs, cfg), append(a.adopted, w.now)
	a.worker = worker{agent: a, written: make(map[failover.AddressKey]bool)}
	a.objects.agent = a
	return a
}

// observe tells the agent at once what there is.
func (a *agent) observe() {
	now := a.local()
	for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
		a.step(now, failover.LinkChanged{Link: failover.LinkID{Family: f}, Open: true})
	}
	for _, l := range a.host.Kernel.links {
		a.step(now, failover.InterfaceChanged{Interface: l.describe()})
	}
	a.observeChecks(now)
	a.observeHealth(now)
}

// crash kills the agent, and whoever watches over it. The kernel keeps what it has; the speakers notice, and end.
func (h *Host) crash() {
	if e := h.succession; e != nil {
		h.succession = nil
		e.drop()
	}
	if a := h.agent; a != nil {
		h.world.log(h, "agent crashes")
		h.gone(a)
	}
}

func (h *Host) gone(a *agent) {
	h.leave(a)
	for _, s := range a.speakers {
		s.end()
	}
}

// leave ends the agent's process. Its speakers go on.
func (h *Host) leave(a *agent) {
	h.world.checker.touch(h)
	h.agent = nil
	for _, st := range a.states {
		if st.word == "MASTER" {
			h.world.checker.unheard[st.key] = true
		}
	}
}

// freeze stops the process; its sockets fill up.
func (h *Host) freeze() {
	a := h.agent
	if a == nil || a.frozen {
		return
	}
	w := h.world
	w.log(h, "agent freezes")
	w.checker.touch(h)
	a.frozen, a.wakeAt, a.since = true, vrrp.Never, w.now
	w.After(a.core.Config().BGPLease, func() {
		if h.agent == a && a.frozen && w.now.Sub(a.since) >= a.core.Config().BGPLease {
			for _, s := range a.speakers {
				if s.up && !s.ended {
					s.silent()
				}
			}
		}
	})
}

// resume lets the process go on.
func (h *Host) resume() {
	a := h.agent
	if a == nil || !a.frozen {
		return
	}
	h.world.log(h, "agent thaws, %d in its inbox", len(a.inbox))
	h.world.checker.touch(h)
	a.frozen, a.since, a.frozenFor = false, h.world.now, h.world.now.Sub(a.since)
	for _, f := range a.thaw {
		f()
	}
	a.thaw = nil
	a.arm()
}

func (a *agent) local() vrrp.Instant { return a.world.now.Add(a.offset) }

// arrives hands the loop an input.
func (a *agent) arrives(in failover.Input) {
	a.inbox = append(a.inbox, in)
	a.arm()
}

func (a *agent) arrivesPacket(p packet) {
	if len(a.inbox) >= inboxLimit {
		return
	}
	a.world.checker.arrived(a, p.p)
	a.inbox = append(a.inbox, p)
	a.arm()
}

// result hands the loop the result of a worker, in the order in which they are handed over.
func (a *agent) result(in failover.Input) {
	w := a.world
	a.results = max(a.results, w.now.Add(w.upTo(resultDelay)))
	a.pending++
	w.After(a.results.Sub(w.now), func() {
		a.pending--
		if a.host.agent == a {
			a.arrives(in)
		}
	})
}

// arm plans the next batch.
func (a *agent) arm() {
	if a.frozen || a.host.agent != a {
		return
	}
	w, at := a.world, vrrp.Never
	if d := a.core.Deadline(); d != vrrp.Never {
		at = max(w.now, d.Add(-a.offset))
	}
	if len(a.inbox) > 0 {
		at = w.now
	}
	if a.wakeAt <= at {
		return
	}
	at = at.Add(w.upTo(loopDelay) + w.upTo(a.host.mood.lateness))
	if a.wakeAt <= at {
		return
	}
	a.wakeAt = at
	w.After(at.Sub(w.now), a.wake)
}

// woken is what happens at wakeAt, unless it has been moved since.
func (a *agent) woken() {
	if a.wakeAt == a.world.now && a.host.agent == a && !a.frozen {
		a.wakeAt = vrrp.Never
		a.batch()
		a.arm()
	}
}

// batch is the daemon's loop once around.
func (a *agent) batch() {
	inputs := a.inbox
	a.inbox, a.read = a.read[:0], nil
	now := a.local()
	a.alive = a.world.now
	if a.world.mutation == TimersFirst && a.core.Deadline() <= now {
		a.core.Expire(now, &a.fx)
	}
	for _, in := range inputs {
		switch in := in.(type) {
		case packet:
			if a.world.mutation != DeafWhenActive || a.word(in.p) != "MASTER" {
				a.core.Receive(now, in.link, in.p, &a.fx)
			}
			if a.world.mutation == HastyPromotion {
				a.promote(now, in)
			}
		case failover.Input:
			a.step(now, in)
		}
	}
	if a.core.Deadline() <= now {
		a.core.Expire(now, &a.fx)
	}
	a.core.Flush(now, &a.fx)
	a.perform()
	clear(inputs)
	a.read = inputs
}

// promote takes an advertisement of a lower priority for the end of the one who has sent it.
func (a *agent) promote(now vrrp.Instant, in packet) {
	p := *in.p
	r := router(a.core.Config(), vrrp.Key{Interface: "eth0", Family: p.Family(), VRID: p.VRID})
	if r == nil || p.Priority == wire.PriorityRelease || p.Priority >= r.VRRP.Priority {
		return
	}
	p.Priority = wire.PriorityRelease
	a.core.Receive(now, in.link, &p, &a.fx)
}

// step feeds one input to the core; the daemon opens and closes sockets before.
func (a *agent) step(now vrrp.Instant, in failover.Input) {
	if len(a.world.with) > 0 && a.learns(in) {
		return
	}
	switch in := in.(type) {
	case failover.InterfaceChanged:
		i := in.Interface
		for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
			id := failover.LinkID{Interface: i.Name, Family: f}
			if a.open[id] && a.indexes[i.Name] != i.Index {
				a.open[id] = false
				a.core.Step(now, failover.LinkChanged{Link: id, Err: "interface is gone"}, &a.fx)
			}
			if !a.open[id] && i.Index != 0 {
				a.open[id] = true
				a.core.Step(now, failover.LinkChanged{Link: id, Open: true}, &a.fx)
			}
		}
		a.indexes[i.Name] = i.Index
	case failover.LinkChanged:
		a.open[in.Link] = in.Open
	case failover.SpeakerReported:
		if a.world.mutation == EarlyAcknowledgement {
			in.Report.Generation = 1 << 40
			a.core.Step(now, in, &a.fx)
			return
		}
	case failover.Stop:
		a.world.checker.touch(a.host)
		a.stopAt = min(a.stopAt, a.world.now)
	case failover.Reconfigured:
		if a.stopAt != vrrp.Never {
			return
		}
		a.world.checker.touch(a.host)
		a.adoptSpeakers(in.Config)
		a.configs, a.adopted = append(a.configs, in.Config), append(a.adopted, a.world.now)
		for _, st := range a.states {
			st.heard = -1 // another configuration may see it differently
		}
		in.Config = a.world.mutation.configure(in.Config)
		if a.world.mutation == ForgetfulReload {
			a.forget(now, in.Config)
			return
		}
		a.core.Step(now, in, &a.fx)
		return
	}
	a.core.Step(now, in, &a.fx)
}

// forget is a reload that starts over.
func (a *agent) forget(now vrrp.Instant, cfg *failover.Config) {
	var err error
	if a.core, err = NewCore(a.world.trace, cfg, now); err != nil {
		panic(err)
	}
	a.states = nil
	for id, open := range a.open {
		if open {
			a.core.Step(now, failover.LinkChanged{Link: id, Open: true}, &a.fx)
		}
	}
	for _, l := range a.host.Kernel.links {
		a.core.Step(now, failover.InterfaceChanged{Interface: l.describe()}, &a.fx)
	}
}

// reload has the agent read the host's configuration file.
func (h *Host) reload() {
	if a := h.agent; a != nil {
		h.world.log(h, "reload")
		a.text = h.Config
		a.arrives(failover.Reconfigured{Config: MustParseConfig(h.Config)})
		a.beginCache() // who is asked anew answers anew
	}
}

// stop asks the agent for an orderly end.
func (h *Host) stop() {
	if a := h.agent; a != nil {
		h.world.log(h, "stop")
		a.arrives(failover.Stop{Reason: "terminated"})
	}
}

// adoptSpeakers starts, restarts and ends speakers as the configuration has it.
func (a *agent) adoptSpeakers(cfg *failover.Config) {
	var kept []*Speaker
	for _, s := range a.speakers {
		if c := cfg.Speaker(s.cfg.Name); c != nil && reflect.DeepEqual(*c, s.cfg) {
			kept = append(kept, s)
			continue
		} else if c == nil {
			delete(a.desired, s.cfg.Name)
		}
		s.end()
	}
	for _, c := range cfg.Speakers {
		if !slices.ContainsFunc(kept, func(s *Speaker) bool { return s.cfg.Name == c.Name }) {
			kept = append(kept, newSpeaker(a, c, a.desired[c.Name]))
		}
	}
	a.speakers = kept
}

func (a *agent) speaker(name string) *Speaker {
	i := slices.IndexFunc(a.speakers, func(s *Speaker) bool { return s.cfg.Name == name })
	if i < 0 {
		return nil
	}
	return a.speakers[i]
}

// perform carries out the effects of a batch as the daemon does, and lets the checker look at them first.
func (a *agent) perform() {
	w, fx := a.world, &a.fx
	w.mutation.distort(a)
	if w.trace != nil {
		for _, line := range Describe(fx) {
			if !strings.HasPrefix(line, "advert") || strings.Contains(line, "priority 0") {
				w.log(a.host, "%s", line)
			}
		}
	}
	if len(w.with) > 0 {
		a.translate()
	}
	w.checker.batch(a)
	for i := range fx.Adverts {
		w.send(a.host, &fx.Adverts[i])
	}
	for _, n := range fx.Announcements {
		w.announced(a.host, n)
	}
	for i := range fx.Routes {
		a.sound = false
		w.checker.origins(a, &fx.Routes[i])
		s, before := a.speaker(fx.Routes[i].Speaker), a.desired[fx.Routes[i].Speaker].Routes
		if s != nil && s.adopted {
			before = slices.Concat(before, s.Table) // what the life before has asked for
		}
		a.withdraw(fx.Routes[i].Speaker, before, fx.Routes[i].Desired.Routes)
		a.desired[fx.Routes[i].Speaker] = fx.Routes[i].Desired
		if s != nil {
			s.set(fx.Routes[i].Desired)
		}
	}
	if fx.Objects != nil {
		a.sound = false
		a.objects.set(*fx.Objects)
	}
	a.objects.sweep()
	if fx.Addresses != nil {
		a.worker.set(*fx.Addresses)
	}
	for _, s := range a.speakers {
		s.touched()
	}
	stopped := fx.Stopped
	if len(fx.Events) > 0 {
		a.writeWill()
	}
	fx.Reset()
	w.checker.settled(a, stopped)
	if stopped {
		w.log(a.host, "agent has stopped")
		a.host.gone(a)
	}
}

// word returns the state of the router that a packet is for.
func (a *agent) word(p *wire.Packet) string {
	return a.state(vrrp.Key{Interface: "eth0", Family: p.Family(), VRID: p.VRID}).word
}

// String returns the host with its kernel, the routers and the tables of the speakers, for whoever reads a failure.
func (h *Host) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n%s", h.Name, h.Kernel)
	a := h.agent
	if a == nil {
		return b.String() + "  no agent\n"
	}
	fmt.Fprintf(&b, "  agent frozen=%v\n", a.frozen)
	for _, line := range DescribeSnapshot(a.core.Snapshot(a.local(), wall)) {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	for _, s := range a.speakers {
		fmt.Fprintf(&b, "    speaker %s up=%v wants #%d, announces #%d: %s\n", s.cfg.Name, s.up, s.want.Generation, s.applied, describeRoutes(s.Table))
	}
	return b.String()
}
