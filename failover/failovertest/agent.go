package failovertest

import (
	"fmt"
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
	text  string           // the configuration in force
	given *failover.Config // the last reading of it that it was given

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
	devices  deviceWorker
	speakers []*Speaker
	desired  map[string]bgp.Desired // as last set
	// withdrawn are the routes that a speaker was to announce and is not to announce any more, with when that was.
	withdrawn []withdrawal
	states    []*state
	sound     bool               // what the speakers are to announce is right, and stays so until something happens
	configs   []*failover.Config // all that were in force, the newest last
	adopted   []vrrp.Instant     // when each of them was
	// cache is what the RPKI cache has told it, before what the life before has known, client what its session knows.
	cache, before, client cacheWord
	evidence              evidence // what it has been told by the checks
	// established: it has been told that EDGE has a session; changes are what its neighbors have seen.
	established bool
	changes     []change
	asked       []bgp.Route     // of EDGE, by the agent before this one, from which it has the role by an upgrade
	stopAt      vrrp.Instant    // when it was asked to stop; Never: it was not
	spins       int             // batches in a row after which more was due
	sent        failover.Advert // the last one; for StubbornActive

	alive       vrrp.Instant // when it was alive last
	will        *lastWill    // the last one that was written
	willPlanned bool
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
	a.given = cfg
	var err error
	if a.core, err = NewCore(w.trace, w.mutation.configure(cfg), a.local()); err != nil {
		panic(err)
	}
	a.configs, a.adopted = append(a.configs, cfg), append(a.adopted, w.now)
	a.worker = worker{agent: a, written: make(map[failover.AddressKey]bool)}
	a.objects.agent, a.devices.agent = a, a
	return a
}

func (a *agent) local() vrrp.Instant { return a.world.now.Add(a.offset) }

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
