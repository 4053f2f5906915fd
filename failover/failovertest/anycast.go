package failovertest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// The extra "anycast": a service that every host announces while its check is all right, and the last one in any case
// (keep_last): one upstream router hears all hosts, and sends its best path to all others.

const (
	serviceName  = "S"
	webCheck     = "web"  // whether the service is well
	seenCheck    = "seen" // whether another host announces
	serviceDrain = time.Second
	settle       = time.Second // longer than it takes to see that another host has withdrawn
	// seenEvery is how often a host looks what the upstream router sends.
	seenEvery = 300 * time.Millisecond
)

var (
	servicePrefix = netip.MustParsePrefix("198.51.102.0/24")
	serviceKey    = failover.NewAnycastVRRP("lo").Key
)

func anycastService(p *Profile, v variant) string {
	s := lines("service %s lo drain_time %v keep_last %s settle %v\n  address 198.51.102.10/32 lo lease %v\n  track check %s\n",
		serviceName, serviceDrain, seenCheck, settle, p.lease, webCheck)
	if !v.noSpeaker {
		s += lines("  announce %s EDGE\n  announce %s EDGE when draining med 900\n", servicePrefix, servicePrefix)
	}
	return s
}

// health is what the checks of the service find on a host.
type health struct {
	failing int  // how many faults make the service fail
	drained int  // how many persons keep it out
	seen    bool // the last result of seenCheck
	blind   bool // it could not look
	known   bool
}

func (h *Host) beginService() {}

// serveAgain ends all faults of the service.
func (h *Host) serveAgain() {
	if h.health.drained > 0 {
		h.health.drained = 1
		h.undrain()
	}
	h.health.failing = 0
	h.tellWeb()
}

func (h *Host) undrain() {
	if h.health.drained--; h.health.drained == 0 && h.agent != nil {
		h.agent.arrives(failover.UndrainCommand{Router: serviceName, By: "somebody"})
	}
}

func checkReport(name string, ok, unknown bool) failover.TrackerReport {
	rep := failover.TrackerReport{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: name}, OK: ok, Unknown: unknown}
	if !ok {
		rep.Reason = "no"
	}
	return rep
}

func (h *Host) tellWeb() {
	if h.agent != nil {
		h.agent.result(failover.TrackerReported{Report: checkReport(webCheck, h.health.failing == 0, false)})
	}
}

// beginHealth has the checks of a new agent look.
func (a *agent) beginHealth() {
	if !a.world.has("anycast") {
		return
	}
	a.host.health.known = false
	a.world.After(a.world.upTo(lookWithin), func() {
		if a.host.agent == a {
			a.host.tellWeb()
		}
	})
	a.world.After(a.world.upTo(seenEvery), a.lookForOthers)
}

// observeHealth tells an agent at once what the checks say.
func (a *agent) observeHealth(now vrrp.Instant) {
	if !a.world.has("anycast") {
		return
	}
	h := &a.host.health
	a.step(now, failover.TrackerReported{Report: checkReport(webCheck, h.failing == 0, false)})
	if h.known {
		a.step(now, failover.TrackerReported{Report: checkReport(seenCheck, h.seen, h.blind)})
	}
	a.world.After(a.world.upTo(seenEvery), a.lookForOthers)
}

// lookForOthers is seenCheck, again and again.
func (a *agent) lookForOthers() {
	h := a.host
	if h.agent != a {
		return
	}
	if !a.frozen {
		best, can := a.world.bestPath(), h.upstream()
		seen := can && best != nil && best != h || a.world.mutation == BlindKeepLast
		if s := &h.health; !s.known || s.seen != seen || s.blind != !can {
			s.known, s.seen, s.blind = true, seen, !can
			a.result(failover.TrackerReported{Report: checkReport(seenCheck, seen, !can && !seen)})
		}
	}
	a.world.After(seenEvery, a.lookForOthers)
}

// edge returns the host's speaker EDGE, if it runs.
func (h *Host) edge() *Speaker {
	if h.agent == nil {
		return nil
	}
	return h.agent.speaker("EDGE")
}

// upstream reports whether the host has a session with the upstream router.
func (h *Host) upstream() bool {
	s := h.edge()
	return s != nil && s.up && s.established
}

// announcesService returns the host's route of the service, as the upstream router has it.
func (h *Host) announcesService() (bgp.Route, bool) {
	if !h.upstream() {
		return bgp.Route{}, false
	}
	t := h.edge().Table
	i := slices.IndexFunc(t, func(r bgp.Route) bool { return r.Prefix == servicePrefix })
	if i < 0 {
		return bgp.Route{}, false
	}
	return t[i], true
}

// bestPath returns the host whose route the upstream router uses, and sends to all others: one that is no last resort, and the
// first one of several.
func (w *World) bestPath() (best *Host) {
	var metric uint32
	for _, h := range w.Hosts {
		r, ok := h.announcesService()
		if !ok {
			continue
		}
		med := uint32(0)
		if r.MED != nil {
			med = *r.MED
		}
		if best == nil || med < metric {
			best, metric = h, med
		}
	}
	return best
}

// serviceWords are the states of a service as those of a router that has its role, serves without it, or has none.
var serviceWords = map[string]string{
	failover.ServiceAnnounced: "MASTER", failover.ServiceLast: "MASTER", failover.ServiceDraining: "BACKUP", failover.ServiceWithdrawn: "BACKUP",
}

// translate has the events of a batch speak of the service as of a router, with the key that it has inside.
func (a *agent) translate() {
	for i := range a.fx.Events {
		e := &a.fx.Events[i]
		if e.Router != serviceName || e.Kind != failover.EventTransition && e.Kind != failover.EventAddresses {
			continue
		}
		e.Key = serviceKey
		if e.Kind != failover.EventTransition {
			continue
		}
		a.state(serviceKey).last = e.To == failover.ServiceLast
		for _, word := range []*string{&e.From, &e.To} {
			if as, ok := serviceWords[*word]; ok {
				*word = as
			}
		}
	}
}

// serviceRoute reports whether a line of the service is what it may announce now: with its role the usual route, as the last
// resort and while it is taken out that of the last resort.
func (c *checker) serviceRoute(a *agent, r *failover.RouterConfig, x *failover.Announcement) bool {
	if c.serving(a, r.VRRP.Key) {
		return x.When == failover.RoleDraining
	}
	st := a.state(r.VRRP.Key)
	return st.last == (x.When == failover.RoleDraining) && c.inRole(a, r, failover.RoleActive)
}

// keptLast: some host always announces the service, as long as nothing but its checks goes wrong (LAST).
func (c *checker) keptLast(by *Host, before bool) {
	// That a speaker has just died the others see only when they look again.
	dead := slices.ContainsFunc(c.w.Hosts, func(h *Host) bool { s := h.edge(); return s != nil && !s.up })
	if before && !dead && c.w.bestPath() == nil && c.over(0, 3*settle) {
		c.fail("LAST", "%s withdraws %s, and nobody else announces it", by.Name, servicePrefix)
	}
}

// webFails makes the service fail on a host for a while; every other time on all of them.
func (s *scenario) webFails(h *Host, f *Fault, _ *rand.Rand) {
	if !s.has("anycast") {
		return
	}
	for _, o := range s.w.Hosts {
		if o != h && f.N%2 > 0 {
			continue
		}
		o.health.failing++
		o.tellWeb()
		s.later(f.For, func() {
			o.health.failing--
			o.tellWeb()
		})
	}
}

// aTrouble is long enough for a service to settle.
func aTrouble(r *rand.Rand, p *Profile) time.Duration { return 2*settle + aWhile(r, p) }

// drainService takes the service of a host out for a while.
func (s *scenario) drainService(h *Host, f *Fault, _ *rand.Rand) {
	if !s.has("anycast") || h.agent == nil {
		return
	}
	h.health.drained++
	h.agent.arrives(failover.DrainCommand{Router: serviceName, Drain: failover.Drain{By: "somebody", Reason: "a course", Ends: vrrp.Never, Since: wall(s.w.now)}})
	s.impair(f.For, h.undrain)
}
