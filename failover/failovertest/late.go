package failovertest

import "time"

// staged is how long a program has waited for its turn that takes over without results of its checks: it does not wait for
// longer.
const staged = 6 * time.Second

// observe tells the agent at once what there is. late: its checks have no results before it takes over.
func (a *agent) observe(late bool) {
	now := a.local()
	a.observeLinks(now)
	if !late {
		a.observeChecks(now)
		a.observeHealth(now)
	}
}

// successor returns another program that is to take the place of the agent, and has waited for its turn.
func (a *agent) successor(late bool) *agent {
	wait := time.Duration(0)
	if late {
		wait = staged
	}
	b := a.host.newAgent(a.offset - wait)
	b.offset = a.offset
	b.core.Await()
	b.observe(late)
	return b
}

// goesOnWith makes what the agent before has been told of its checks hold for this one, and has them look.
func (a *agent) goesOnWith(before *agent) {
	a.evidence.known, a.evidence.ok = before.evidence.known, before.evidence.ok
	a.beginChecks()
	a.beginHealth()
}

// handedOn: another program neither adds to a priority nor takes anything from it before it has a result of its own (R4).
func (c *checker) handedOn(a *agent) {
	if !c.w.has("checks") || !a.evidence.complete() {
		return
	}
	snap := a.core.Snapshot(a.local(), wall)
	for i := range snap.Routers {
		st, r := &snap.Routers[i], &a.core.Config().Routers[i]
		if want := c.rank(a, r); st.PriorityEffective != want && (st.State == "MASTER" || st.State == "BACKUP") {
			c.fail("R4", "%s goes on as %s with priority %d for %s, and the checks make it %d", a.host.Name, st.State, st.PriorityEffective, r.VRRP.Key, want)
		}
	}
}

// resumedWith: whoever resumes a role does so with the priority that it had, until there is a result (R4). What is known of an
// interface counts at once.
func (c *checker) resumedWith(a *agent, st *state, priority uint8) {
	if st.had == 0 || len(a.adopted) > 1 || a.evidence.known != [len(checkNames)]bool{} {
		return
	}
	if most := int(st.had) - sideWeight; int(priority) > most {
		c.fail("R4", "%s has resumed %s, which it had with priority %d, and advertises %d before any check has looked", a.host.Name, st.key, st.had, priority)
	}
}
