package integration

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/integration/lab"
)

// state is what one machine says of itself.
type machineState struct {
	role      string // keepalived's word; empty: no answer, or no power
	announces bool   // a route of it is in the table of an established neighbor
	sessions  bool   // every neighbor is established
	snapshot  *failover.Snapshot
}

// state asks a machine. Status sockets are files: a cut does not hide what a machine believes.
func (m *machine) state() machineState {
	if m.powerless || m.agent == nil {
		return machineState{}
	}
	s := m.agent.status()
	if s == nil || len(s.Routers) != 1 {
		return machineState{}
	}
	out := machineState{role: s.Routers[0].State, sessions: len(s.Speakers) > 0, snapshot: s}
	for _, route := range s.Routers[0].Routes {
		out.announces = out.announces || route.Announced && route.Sessions > 0
	}
	for i := range s.Speakers {
		for _, n := range s.Speakers[i].Neighbors {
			out.sessions = out.sessions && n.State == bgp.Established
		}
	}
	return out
}

// who returns the machines that a state is true of, in the order m1, m2, hk; "-": none.
func (r *region) who(is func(machineState) bool) string {
	var names []string
	for _, m := range r.machines() {
		if is(m.state()) {
			names = append(names, m.name)
		}
	}
	if names == nil {
		return "-"
	}
	return strings.Join(names, " ")
}

// masters returns who believes to be MASTER, announcers who announces to an upstream.
func (r *region) masters() string {
	return r.who(func(s machineState) bool { return s.role == "MASTER" })
}

func (r *region) announcers() string { return r.who(func(s machineState) bool { return s.announces }) }

// states asks every machine once.
func (r *region) states() map[*machine]machineState {
	out := make(map[*machine]machineState)
	for _, m := range r.machines() {
		out[m] = m.state()
	}
	return out
}

// serves reports whether everybody agrees that m, and nobody else, serves, and returns what they have said. The client is
// asked first, and the others, which takes longer, only if it is content.
func (r *region) serves(m *machine) (map[*machine]machineState, bool) {
	if h := r.probe.Health(100 * time.Millisecond); !h.Answering || h.Node != m.name {
		return nil, false
	}
	all := r.states()
	for other, s := range all {
		if (s.role == "MASTER") != (other == m) || s.announces != (other == m) {
			return nil, false
		}
	}
	return all, r.settled(m)
}

// settled reports whether nothing is left of who served before m: no other machine has the address any more, and no upstream
// sends to a machine of the other region.
func (r *region) settled(m *machine) bool {
	for _, other := range r.machines() {
		if other != m && !other.powerless && holds(r.t, other.Node, netip.MustParseAddr(regionVIP)) {
			return false
		}
	}
	far := []string{ispHK}
	if m == r.hk {
		far = []string{ispM1, ispM2}
	}
	for _, up := range []*lab.Node{r.upm, r.upk} {
		if via, ok, err := up.NextHop(netip.MustParsePrefix(service)); err != nil || ok && slices.Contains(far, via.String()) {
			return false
		}
	}
	return true
}

// calm reports whether nothing keeps the next failure from being answered: every machine has its sessions, the mainland is
// acknowledged, and Hong Kong hears it and whom it asks.
func calm(all map[*machine]machineState) bool {
	for _, s := range all {
		if !s.sessions || s.role != "MASTER" && s.role != "BACKUP" {
			return false
		}
		for _, site := range s.snapshot.Sites {
			if site.Authority != "valid" {
				return false
			}
		}
		for _, w := range s.snapshot.Watches {
			if !w.Contact || w.HeardMSAgo == nil || *w.HeardMSAgo > 3000 || w.Down > 0 || w.Latched {
				return false
			}
		}
	}
	return true
}

// waitServes waits until a machine serves and all is calm.
func (r *region) waitServes(m *machine, d time.Duration) {
	r.t.Helper()
	err := lab.WaitFor(context.Background(), d, m.name+" to serve alone, in peace", func() bool {
		all, ok := r.serves(m)
		return ok && calm(all)
	})
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.describe())
	}
}

// describe says what everybody believes, for a reader who was not there.
func (r *region) describe() string {
	var b strings.Builder
	h := r.probe.Health(100 * time.Millisecond)
	fmt.Fprintf(&b, "client: answering %t, %s, silent for %v\n", h.Answering, h.Node, h.Silent)
	for _, up := range []*lab.Node{r.upm, r.upk} {
		via, ok, err := up.NextHop(netip.MustParsePrefix(service))
		fmt.Fprintf(&b, "%s: route %t via %v %v\n", up, ok, via, err)
	}
	if r.witness != nil {
		if s := r.witness.status(); s != nil {
			fmt.Fprintf(&b, "sg: %+v\n", s.Listeners)
		}
	}
	for _, m := range r.machines() {
		s := m.state()
		fmt.Fprintf(&b, "%s: %q, announces %t, sessions %t", m.name, s.role, s.announces, s.sessions)
		if s.snapshot == nil {
			b.WriteString("\n")
			continue
		}
		v := &s.snapshot.Routers[0]
		fmt.Fprintf(&b, ", why %q, waiting %q, term %d %s\n", v.Why, v.Waiting, v.Epoch, v.Holder)
		for _, site := range s.snapshot.Sites {
			fmt.Fprintf(&b, "    site %s: authority %s, %.0f ms left %s\n", site.Name, site.Authority, site.RemainingMS, site.Why)
		}
		for _, p := range s.snapshot.Partners {
			fmt.Fprintf(&b, "    %s: sent %d, %v, %s\n", p.ID, p.Sent, p.Outcomes, p.Error)
		}
		for _, l := range s.snapshot.Listeners {
			fmt.Fprintf(&b, "    listens at %s: open %t, %v, %s\n", l.Address, l.Open, l.Outcomes, l.Error)
		}
		for _, w := range s.snapshot.Watches {
			fmt.Fprintf(&b, "    watch %s: %s, held %q, contact %t, observed %.0f of %.0f ms, votes %+v\n", w.Name, w.Verdict, w.Held, w.Contact, w.ObservedMS, w.TakeoverMS, w.Votes)
		}
	}
	return b.String()
}
