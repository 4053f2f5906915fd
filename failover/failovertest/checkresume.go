package failovertest

import (
	"slices"
	"strings"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// resumption is a role that an agent has resumed in time, and what had happened last then.
type resumption struct {
	key       vrrp.Key
	host      *Host
	at        vrrp.Instant
	disturbed vrrp.Instant
}

// resumes notes that an agent has been allowed to go on with the roles of the life before.
func (c *checker) resumes(a *agent) {
	for _, st := range a.states {
		if st.resumes > 0 {
			c.resumed = append(c.resumed, resumption{st.key, a.host, c.w.now, c.disturbed})
		}
	}
}

// upgraded: another program goes on in the same states, and tells nobody anything (R3); others do not notice (R2). That it
// writes into its log where it goes on is not a change of state.
func (c *checker) upgraded(a *agent) {
	fx := &a.fx
	c.handedOn(a)
	if len(c.w.with) > 0 {
		a.translate()
	}
	runs := !slices.ContainsFunc(a.states, func(s *state) bool { return s.word == "FAULT" }) // one that does not may do so now
	if runs && len(fx.Adverts)+len(fx.Announcements) > 0 ||
		slices.ContainsFunc(fx.Notifications, func(n failover.Notification) bool { return c.retold(a, n) }) {
		c.fail("R3", "%s: another program takes over, and says: %s", a.host.Name, strings.Join(Describe(fx), "\n"))
	}
	fx.Events = slices.DeleteFunc(fx.Events, func(e failover.Event) bool {
		if e.Kind != failover.EventTransition {
			return false
		}
		st := a.state(e.Key)
		if e.To != st.word && st.word != "FAULT" { // one that has a fault starts anew
			c.fail("R3", "%s was %s for %s, and goes on as %s when another program takes over", a.host.Name, st.word, e.Key, e.To)
		}
		if st.word == "MASTER" && c.over(0, c.longest) {
			c.resumed = append(c.resumed, resumption{e.Key, a.host, c.w.now, c.disturbed})
		}
		return e.To == st.word
	})
}

// continues: an agent that goes on where another one stood withdraws nothing that a role of its, which was that of the other one,
// entitles it to (R3).
func (c *checker) continues(s *Speaker) {
	a := s.agent
	if s.applied != 0 || c.w.now.Sub(a.since) > c.slack(a.host) || a.stopAt != vrrp.Never || c.w.governs(s.cfg.Name) {
		return
	}
	cfg := a.core.Config()
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		st := a.state(r.VRRP.Key)
		for _, x := range r.Announce {
			p := x.Route.Prefix
			if x.Speaker == s.cfg.Name && x.When == failover.RoleActive && st.word == "MASTER" && st.active < a.since && c.wellFounded(a, r) &&
				!a.refuses(p) && hasPrefix(s.Table, p) && !hasPrefix(s.want.Routes, p) {
				c.fail("R3", "%s goes on as Active for %s, and withdraws %s first", a.host.Name, r.VRRP.Key, p)
			}
		}
	}
}

// retold reports whether a notification is about a router that has not changed its state.
func (c *checker) retold(a *agent, n failover.Notification) bool {
	for _, r := range a.core.Config().Routers {
		if word := a.state(r.VRRP.Key).word; r.Name == n.Name && (word == n.State || word != "FAULT") {
			return true
		}
	}
	return false
}

// succeeded: nobody is Active at once but the owner of the address and who may resume (R1), and when one has resumed in calm
// times, nobody else has noticed: no router that is worse takes the role (R2).
func (c *checker) succeeded(a *agent, st *state, e *failover.Event) {
	if e.To != "MASTER" {
		return
	}
	r := router(a.core.Config(), e.Key)
	if e.From == "INIT" && r != nil && r.VRRP.Priority != wire.PriorityOwner && c.w.now > st.resumes.Add(c.slack(a.host)) {
		c.fail("R1", "%s is Active for %s at once, and may not", a.host.Name, e.Key)
	}
	for _, x := range c.resumed {
		was := router(c.w.config(x.host.Config), e.Key)
		if r == nil || was == nil || x.host.agent == nil || c.rank(a, r) >= c.rank(x.host.agent, was) {
			continue // it may take the role from the other one in any case
		}
		if e.From == "BACKUP" && x.key == e.Key && x.host != a.host && c.impaired == 0 && x.disturbed == c.disturbed && c.w.now.Sub(x.at) < 3*c.interval {
			c.fail("R2", "%s takes %s over at once after %s has resumed it in time", a.host.Name, e.Key, x.host.Name)
		}
	}
}
