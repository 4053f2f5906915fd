package failover

import (
	"slices"
	"strconv"

	"failoverd/bgp"
	"failoverd/vrrp"
)

// tracked is what is known of a tracked thing, and which routers it concerns.
type tracked struct {
	// known: there was a report. ok and value are its verdict, reason what led to it, latest what the last one said: a
	// check that fails in another way than before is no news.
	known  bool
	ok     bool
	value  int
	reason string
	latest string
	// warning is what a health check warns of; empty: nothing.
	warning string
	// unknown: a health check could not look, so that ok is only the careful guess. sinceAt is when the evidence for the
	// verdict began, as the newest report has it.
	unknown bool
	sinceAt vrrp.Instant
	// down is since when a program before this one has had evidence for the same verdict "down"; 0: it had none.
	down vrrp.Instant
	// noNumber: a file counts as 0 because there is no number in it.
	noNumber bool
	// handed: the verdict is that of the program before this one (an upgrade), and there is no result of our own yet.
	handed bool
	// turned is when it was reported last that it is ok, and was not before; looking is since when it has been able to look,
	// without interruption: it was known, and not unknown.
	turned, looking vrrp.Instant

	routers []*router
}

// adoptTrackers makes the tracked things those of the configuration. Results of what is still tracked are kept.
func (c *Core) adoptTrackers(now vrrp.Instant) {
	old := c.trackers
	c.trackers = make(map[Tracker]*tracked)
	adopt := func(name Tracker) *tracked {
		t := c.trackers[name]
		if t == nil {
			if t = old[name]; t == nil {
				t = new(tracked)
			}
			t.routers = nil
			c.trackers[name] = t
		}
		return t
	}
	for _, r := range c.routers {
		for i := range r.cfg.Tracks {
			t := adopt(r.cfg.Tracks[i].Tracker)
			t.routers = append(t.routers, r)
		}
		if a := r.cfg.Anycast; a != nil && a.KeepLast != "" {
			if t := adopt(Tracker{TrackCheck, a.KeepLast}); !slices.Contains(t.routers, r) {
				t.routers = append(t.routers, r)
			}
		}
	}
	for _, name := range c.cfg.regionChecks() {
		adopt(Tracker{TrackCheck, name})
	}
	c.adoptCheckGroups(adopt)
	for name, t := range c.trackers {
		if i := c.interfaces[name.Name]; name.Kind == TrackInterface && i != nil {
			t.see(i)
		}
		if s := c.speakers[name.Name]; name.Kind == TrackBGP && s != nil && s.reported {
			t.hear(&s.report)
		}
	}
	c.concludeGroups(now, nil)
}

// regionChecks returns the names of the health checks that decide between sites; some may be there twice.
func (c *Config) regionChecks() (names []string) {
	for i := range c.Watches {
		names = append(names, c.Watches[i].Checks...)
	}
	for i := range c.Sites {
		names = append(names, c.Sites[i].HoldChecks...)
	}
	for i := range c.Routers {
		if until := c.Routers[i].Region.HandoverUntil; until != "" {
			names = append(names, until)
		}
	}
	return names
}

// missing is the result of tracking an interface that is not there.
const missing = "does not exist"

// see takes over what an interface is.
func (t *tracked) see(i *Interface) (news bool) {
	reason := ""
	switch {
	case i.Index == 0:
		reason = missing
	case !i.Up:
		reason = "down"
	}
	return t.take(reason == "", 0, reason)
}

// hear takes over what a speaker says of its sessions: one that is established is enough.
func (t *tracked) hear(rep *bgp.Report) (news bool) {
	reason := ""
	switch {
	case rep.Established():
	case !rep.Connected && rep.Err != "":
		reason = rep.Err
	case !rep.Connected:
		reason = "the speaker does not run"
	default:
		reason = "no established session"
	}
	return t.take(reason == "", 0, reason)
}

// turn takes note of a verdict that is about to be taken over.
func (t *tracked) turn(now vrrp.Instant, ok, unknown bool) {
	if !unknown && !t.looks() {
		t.looking = now
	}
	if ok && !t.saysUp() {
		t.turned = now
	}
}

// saysDown reports whether it is a verdict that a vote can be.
func (t *tracked) saysDown() bool { return t.known && !t.ok && !t.unknown }

// goOn extends the evidence for "down" by that of the program before, for as long as the verdict has not changed.
func (t *tracked) goOn() {
	switch {
	case t.down == 0:
	case t.saysDown():
		t.sinceAt = min(t.sinceAt, t.down)
	default:
		t.down = 0
	}
}

// looks reports whether there is a result of this program's own that is more than a guess.
func (t *tracked) looks() bool { return t.known && !t.unknown && !t.handed }

// saysUp reports whether there is a result of this program's own, and it is all right.
func (t *tracked) saysUp() bool { return t.known && t.ok && !t.handed }

// take takes over a result, and reports whether it is news.
func (t *tracked) take(ok bool, value int, reason string) (news bool) {
	news = !t.known || t.ok != ok || t.value != value
	t.latest, t.handed = reason, false
	if news {
		t.known, t.ok, t.value, t.reason = true, ok, value, reason
	}
	return news
}

// trackerReported takes note of what became of a tracked thing.
func (c *Core) trackerReported(now vrrp.Instant, rep *TrackerReport, fx *Effects) {
	t := c.trackers[rep.Tracker]
	if t == nil || rep.Tracker.Kind == TrackInterface || rep.Tracker.Kind == TrackBGP {
		return // news of what a reload removed
	}
	c.region.dirty = true
	unknown, handed := rep.Unknown && !rep.OK, t.handed
	t.turn(now, rep.OK, unknown)
	news := t.take(rep.OK, clampValue(rep.Value), rep.Reason)
	if t.unknown != unknown {
		news, t.reason = true, rep.Reason
	}
	t.unknown, t.sinceAt, t.noNumber = unknown, now.Add(-max(rep.Since, 0)), rep.NoNumber
	t.goOn()
	t.warned(now, rep, fx)
	switch {
	case news:
		c.trackerChanged(now, rep.Tracker, t, fx)
	case handed:
		c.confirmed(now, t, fx)
	}
	c.concludeGroups(now, fx)
}

// confirmed lets routers know that this program has found what the one before had found: who serves as the last resort
// believes nobody else.
func (c *Core) confirmed(now vrrp.Instant, t *tracked, fx *Effects) {
	for _, r := range t.routers {
		c.evaluate(now, r, fx)
		c.reschedule(r)
	}
}

// sessionsReported lets those who track a speaker know whether it has an established session.
func (c *Core) sessionsReported(now vrrp.Instant, rep *bgp.Report, fx *Effects) {
	name := Tracker{TrackBGP, rep.Speaker}
	t := c.trackers[name]
	if t == nil {
		return
	}
	switch handed := t.handed; {
	case t.hear(rep):
		t.sinceAt = now
		c.trackerChanged(now, name, t, fx)
	case handed:
		c.confirmed(now, t, fx)
	}
}

// maxValue is the greatest number in a file that is told from greater ones: any weight makes it a fault, or all there is
// to add.
const maxValue = 1 << 30

func clampValue(v int) int { return min(max(v, -maxValue), maxValue) }

// trackerChanged tells of a change, and lets the routers that it concerns feel it.
func (c *Core) trackerChanged(now vrrp.Instant, name Tracker, t *tracked, fx *Effects) {
	e := Event{Kind: EventTracker, At: now, Object: name.String(), To: "failed", Reason: t.reason}
	switch {
	case name.Kind == TrackFile && t.ok:
		e.To = strconv.Itoa(t.value)
	case t.ok:
		e.To = "ok"
	case t.unknown:
		e.To = "unknown"
	}
	fx.event(e)
	c.tested(name)
	for _, r := range t.routers {
		c.weigh(now, r, name.String()+" "+e.To, fx)
		c.evaluate(now, r, fx)
		c.reschedule(r)
		c.dirty = c.dirty || c.governed(r).IsValid() // it may be alone now
	}
	for _, r := range c.routers {
		if r.handover != nil {
			c.reschedule(r) // it may have waited for that
		}
	}
}

// tracks reports whether an interface is among what r tracks.
func (r *router) tracks(iface string) bool {
	return slices.ContainsFunc(r.cfg.Tracks, func(t Track) bool { return t.Kind == TrackInterface && t.Name == iface })
}

func (c *Core) describeTracking(now vrrp.Instant, r *router, st *RouterStatus) {
	if r.group != nil {
		st.Group = r.group.cfg.Name
	}
	for i := range r.cfg.Tracks {
		t := &r.cfg.Tracks[i]
		v := c.judge(now, r, t)
		known, ok, value, reason := c.result(now, t.Tracker)
		if latest := c.trackers[t.Tracker].latest; latest != "" {
			reason = latest
		}
		st.Tracks = append(st.Tracks, TrackStatus{
			Kind: t.Kind.String(), Name: t.Name, Weight: t.Weight, Reverse: t.Reverse, Known: known, OK: ok, Value: value, Reason: reason,
			Unknown: c.trackers[t.Tracker].unknown, Effect: v.effect, Fault: v.fault != "" || v.pending && !r.serves(),
		})
	}
}
