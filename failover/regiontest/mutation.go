package regiontest

import (
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

// Mutation is a rule broken on purpose, around the core or in its configuration. That timers run on the wall clock is
// none: the core has no wall clock. Those of exclusive mode (G = 0, D > TTL) need that mode.
type Mutation uint8

// The mutations. Each is a protection of the design that is missing.
const (
	Faithful          Mutation = iota
	NoDeadMan                  // addresses are written without a lifetime
	NoContiguity               // a watcher without contact goes on as if it had it, with what it knew last
	DeafToSessions             // a lost session is not noticed, so that nobody waits for a proof before the route leaves again
	FenceIfAnnouncing          // an isolated site lets go of the address only if it announces the route
	FenceAfterTake             // T_fence > T_take, and nobody checks it
	SingleCheck                // an address is written without a look at the clock afterwards
	NoSelfFence                // an isolated site serves for ever
	NoTerms                    // heartbeats say nothing of terms
	GracefulRestart            // the router keeps the route of a dead session
	Unguarded                  // the watcher has no guard: VRRP decides
	SwitchRenews               // an upgrade counts as an acknowledgement
	SwitchObserves             // whoever takes over believes that a watcher has been in contact all the time, and has heard nobody
	SwitchForgets              // an upgrade forgets the terms
	HeirlessWill               // the supervisor has nothing to send when the agent dies

	numMutations
)

var mutationNames = [numMutations]string{
	"faithful", "no dead man", "no contiguity", "deaf to sessions", "fence if announcing", "fence after take", "single check",
	"no self-fence", "no terms", "graceful restart", "unguarded", "a switch renews", "a switch observes", "a switch forgets",
	"heirless will",
}

// String returns the mutation in words.
func (m Mutation) String() string { return mutationNames[m] }

// Mutations returns every mutation but Faithful.
func Mutations() (all []Mutation) {
	for m := Faithful + 1; m < numMutations; m++ {
		all = append(all, m)
	}
	return all
}

// configure changes the configuration of a node.
func (m Mutation) configure(n *node, cfg *failover.Config) {
	switch {
	case m == NoSelfFence && n.site == mainland:
		cfg.Sites[0].FenceAfter = time.Hour
	case m == FenceAfterTake && n.site == mainland:
		cfg.Sites[0].FenceAfter = n.world.take + 5*time.Second
	case m == Unguarded && n.site == island:
		cfg.Watches, cfg.Routers[0].Region = nil, failover.RegionConfig{}
	}
}

// unanswered gives a watcher that hears nothing of a witness what it knew last, as if the witness had said it now.
func (m Mutation) unanswered(a *agent, id uint64, partner string) {
	last, ok := a.channel.replies[partner]
	if m != NoContiguity || a.node.site != island || !ok {
		return
	}
	a.node.after(a.node.world.beat/2, func() {
		if known := a.channel.replies[partner]; known.reply.ID >= id || !a.current() {
			return
		}
		age := a.node.local().Sub(last.at)
		reply := last.reply
		reply.ID, reply.Sites = id, slices.Clone(reply.Sites)
		for i := range reply.Sites {
			reply.Sites[i].Age += age
		}
		a.arrives(failover.HeartbeatReplied{Partner: partner, Reply: reply})
	})
}

// handed changes what a program leaves to the other.
func (m Mutation) handed(l *failover.Legacy) {
	if l.Region == nil {
		return
	}
	switch m {
	case SwitchRenews:
		if s := l.Region.Site; s != nil && s.Sent != 0 {
			s.Sent = l.At
		}
	case SwitchObserves:
		for i := range l.Region.Watches {
			l.Region.Watches[i].ContactSince, l.Region.Watches[i].Advert = 1, 0
		}
		for i := range l.Region.Partners {
			p := &l.Region.Partners[i]
			p.SilentAt = min(p.SilentAt, 1)
		}
		for i := range l.Region.Down {
			l.Region.Down[i].Since = 1
		}
		l.Region.Seen = nil
	case SwitchForgets:
		l.Region.Terms = nil
	}
}

// effects changes what a batch asks for before it is carried out.
func (m Mutation) effects(a *agent) {
	fx := &a.fx
	switch m {
	case FenceIfAnnouncing:
		if fx.Addresses != nil && len(fx.Addresses.Addresses) == 0 && len(a.desired.Routes) == 0 {
			fx.Addresses = nil
		}
	case FenceAfterTake, NoSelfFence:
		for i := range fx.Heartbeats {
			fx.Heartbeats[i].Request.FenceAfter = a.node.world.fence
		}
	case NoTerms:
		for i := range fx.Heartbeats {
			q := &fx.Heartbeats[i].Request
			q.Entries = slices.Clone(q.Entries)
			for j := range q.Entries {
				q.Entries[j].Term = heartbeat.Term{}
			}
		}
		for i := range fx.Answers {
			r := &fx.Answers[i].Reply
			r.Services = slices.Clone(r.Services)
			for j := range r.Services {
				r.Services[j].Term = heartbeat.Term{}
			}
		}
	}
}
