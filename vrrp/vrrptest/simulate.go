package vrrptest

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"failoverd/vrrp"
)

// run is one course of a Scenario.
type run struct {
	*Scenario
	net     *Network
	checker *checker
}

// Run plays the scenario with the machines that make makes, and returns the first rule that did not hold, or nil.
// After the faults everything is put right, and then the routers must elect (S1), leave a returning router alone,
// survive a crash of the Active router in time (L1) and an orderly stop (L2). observe, if not nil, sees every step.
func (s *Scenario) Run(make Factory, observe func(*Step)) *Violation {
	r := &run{Scenario: s, net: NewNetwork(make, rand.New(rand.NewPCG(s.Seed, 1)))}
	r.checker = &checker{net: r.net, clean: vrrp.Never, ignore: s.Ignore}
	r.net.Observe = func(step *Step) {
		r.checker.observe(step)
		if observe != nil {
			observe(step)
		}
	}
	r.populate()
	for _, phase := range []func(){r.faults, r.heal, r.settle, r.restartBackups, r.crashActive, r.stopActive} {
		phase()
		if r.checker.err != nil {
			return r.checker.err
		}
	}
	return nil
}

func (r *run) populate() {
	for i, spec := range r.Nodes {
		n := r.net.Add(string('a'+rune(i)), spec.Config, spec.Address)
		n.Quirks, n.Offset, n.Lateness = spec.Quirks, spec.Offset, maxLateness
	}
	for _, from := range r.net.nodes {
		for _, to := range r.net.nodes {
			*r.net.Path(from, to) = Path{Cut: from == to, Delay: maxDelay / 20, Jitter: maxDelay - maxDelay/20}
		}
	}
	for _, n := range r.net.nodes {
		r.net.Start(n)
	}
}

// faults plays the faults in the order of their beginnings and ends.
func (r *run) faults() {
	type change struct {
		at    vrrp.Instant
		apply func()
	}
	var changes []change
	for i := range r.Faults {
		f := &r.Faults[i]
		changes = append(changes,
			change{f.Begin, func() { r.begin(f) }},
			change{f.End, func() { r.end(f) }})
	}
	slices.SortStableFunc(changes, func(a, b change) int { return int(a.at.Sub(b.at)) })
	for _, c := range changes {
		r.net.Run(c.at)
		c.apply()
	}
	r.net.Run(r.FaultsEnd)
}

// begin makes a fault happen.
func (r *run) begin(f *Fault) {
	n, p := r.net.nodes[f.From], r.net.Path(r.net.nodes[f.From], r.net.nodes[f.To])
	switch f.Kind {
	case FaultCut:
		p.Cut = true
	case FaultLoss:
		p.Loss = f.Probability
	case FaultDelay:
		p.Jitter, p.Reorder = r.maxInterval(), true
	case FaultDuplicate:
		p.Duplicate = f.Probability
	case FaultCorrupt:
		p.Corrupt = f.Probability
	case FaultLoop:
		p.Cut = false
	case FaultCrash:
		r.net.Crash(n)
	case FaultStop:
		r.net.Stop(n)
	case FaultSuspend:
		r.net.Suspend(n)
	case FaultPause:
		r.net.Pause(n)
	}
}

// end puts a fault right. Two faults of a kind may overlap; then the first end ends both.
func (r *run) end(f *Fault) {
	n, p := r.net.nodes[f.From], r.net.Path(r.net.nodes[f.From], r.net.nodes[f.To])
	switch f.Kind {
	case FaultCut:
		p.Cut = f.From == f.To
	case FaultLoss:
		p.Loss = 0
	case FaultDelay:
		p.Jitter, p.Reorder = maxDelay-maxDelay/20, false
	case FaultDuplicate:
		p.Duplicate = 0
	case FaultCorrupt:
		p.Corrupt = 0
	case FaultLoop:
		p.Cut = true
	case FaultCrash, FaultStop:
		r.net.Start(n)
	case FaultSuspend, FaultPause:
		r.net.Resume(n)
	}
}

// heal waits until no packet is on its way that was sent in bad times.
func (r *run) heal() {
	r.net.Run(r.net.now.Add(r.maxInterval()))
	r.checker.clean = r.net.now
}

// settle lets the election come to its end.
func (r *run) settle() { r.elect() }

// elect waits as long as an election may take and returns who won it.
func (r *run) elect() *Node {
	r.net.Run(r.net.now.Add(r.stabilization()))
	r.checker.rivalries()
	active := r.checker.elected()
	r.checker.settled = r.checker.err == nil
	return active
}

// restartBackups restarts each Backup in turn. Nobody may take over from a router that is as good.
func (r *run) restartBackups() {
	for _, n := range r.net.nodes {
		if n.Active() {
			continue
		}
		r.net.Stop(n)
		r.net.Start(n)
		if r.elect() == nil {
			return
		}
	}
}

// crashActive is L1: the takeover comes in time, and not before its time.
func (r *run) crashActive() {
	active := r.checker.elected()
	r.takeover(active, "L1", func(survivor *Node) (earliest, latest vrrp.Instant) {
		d := down(survivor, active.Config.Interval)
		return active.lastSent.Add(d), r.net.now.Add(maxDelay + d + maxLateness)
	}, r.net.Crash)
}

// stopActive is L2.
func (r *run) stopActive() {
	active := r.checker.elected()
	r.takeover(active, "L2", func(survivor *Node) (earliest, latest vrrp.Instant) {
		d := skew(survivor, active.Config.Interval)
		return r.net.now.Add(d), r.net.now.Add(maxDelay + d + maxLateness)
	}, r.net.Stop)
}

// takeover takes the Active router away and demands that another is Active within the bounds of the best survivor, and
// none before its own. Then the router comes back.
func (r *run) takeover(active *Node, rule string, bounds func(*Node) (earliest, latest vrrp.Instant), away func(*Node)) {
	if active == nil {
		return
	}
	// Anywhere between two of its adverts.
	phase := r.net.rand.Int64N(int64(active.Config.Interval.Duration()))
	r.net.Run(r.net.now.Add(time.Duration(phase)))
	latest := vrrp.Never
	earliest := make(map[*Node]vrrp.Instant)
	for _, n := range r.net.nodes {
		if n != active {
			e, l := bounds(n)
			earliest[n], latest = e, min(latest, l)
		}
	}
	taken := false
	r.checker.promoted = func(s *Step) {
		if s.At < earliest[s.Node] && !taken {
			r.checker.fail(rule, "%s took over at %v, before %v", s.Node.Name, time.Duration(s.At), time.Duration(earliest[s.Node]))
		}
		taken = true
	}
	r.checker.settled = false
	away(active)
	r.net.Run(latest)
	r.checker.promoted = nil
	if !taken {
		r.checker.fail(rule, "nobody took over from %s until %v", active.Name, time.Duration(latest))
		return
	}
	if r.elect() != nil {
		r.net.Start(active)
		r.elect()
	}
}

// Shrink returns the scenario without the faults that it does not take to break a rule.
func (s *Scenario) Shrink(make Factory) *Scenario {
	small := *s
	for i := 0; i < len(small.Faults); {
		fewer := small
		fewer.Faults = slices.Delete(slices.Clone(small.Faults), i, i+1)
		if fewer.Run(make, nil) != nil {
			small = fewer
		} else {
			i++
		}
	}
	return &small
}

// Mutant is the Factory of a network on which one router, drawn from the seed, is an oracle with a mutation and the
// others are the real thing.
func (s *Scenario) Mutant(m Mutation) Factory {
	victim := int(s.Seed % numNodes)
	return func(node int, cfg vrrp.Config, source netip.Addr) (Machine, Decoder, error) {
		if node != victim {
			return Production(node, cfg, source)
		}
		return NewOracle(cfg, source, m), m.decoder(), nil
	}
}
