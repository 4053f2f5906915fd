package failover

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"failoverd/bgp"
)

// planSpeakers says what becomes of every bgp_speaker and of each of its sessions: what bgp/gobgp's Client.Reconfigure
// can do while the process runs, and what takes another process.
func planSpeakers(old, next *Config) []PlanEntry {
	name := func(s *bgp.SpeakerConfig) string { return s.Name }
	a, b := objectsOf(old.Speakers, name), objectsOf(next.Speakers, name)
	const added, removed = "its process is started and opens its sessions", "it withdraws everything, closes its sessions, and ends"
	var lease []string
	if old.BGPLease != next.BGPLease {
		lease = []string{"bgp_lease " + duration(old.BGPLease) + " -> " + duration(next.BGPLease)}
	}
	plan := planObjects("bgp_speaker", added, removed, a, b, func(o, n *bgp.SpeakerConfig, e *PlanEntry) {
		e.Changes = compareAll(speakerParameters, o, n)
		if why := append(restartSpeaker(o, n), lease...); len(why) > 0 {
			plainly(e.Changes)
			e.Effect, e.Notes = PlanRestarted, restartNotes(o, n, why)
			return
		}
		e.Changes, e.Notes = append(e.Changes, compareSessions(o, n)...), compareCaches(o, n)
	})
	for i := range plan {
		e := &plan[i]
		o, n := old.Speaker(e.Name), next.Speaker(e.Name)
		switch {
		case e.Effect == PlanAdded && n.External != nil:
			e.Notes = []string{connects(n)}
		case e.Effect == PlanRemoved && o.External != nil:
			e.Notes = []string{leaves(o)}
		case e.Effect == PlanNone && len(lease) > 0:
			e.Effect, e.Notes = PlanRestarted, restartNotes(o, n, lease)
		}
	}
	return plan
}

// compareCaches says what another set of RPKI caches means for the routes.
func compareCaches(o, n *bgp.SpeakerConfig) []string {
	stays := slices.ContainsFunc(n.RPKICaches, func(c string) bool { return slices.Contains(o.RPKICaches, c) })
	switch {
	case len(o.RPKICaches) == 0 || stays:
		return nil
	case len(n.RPKICaches) == 0:
		return []string{"no rpki_cache is left: origins are not validated any more, and a route that was refused as invalid is announced"}
	}
	return []string{fmt.Sprintf("no rpki_cache stays: until a new one has answered, what is announced stays, a route that was refused as invalid stays refused, and any other that is to be announced waits up to %v", originPatience)}
}

func restartNotes(o, n *bgp.SpeakerConfig, why []string) []string {
	notes := []string{"because of " + strings.Join(why, ", ")}
	if o.External == nil && n.External == nil {
		return append(notes, "it withdraws everything and closes all its sessions, then another process opens them anew")
	}
	begin := connects(n)
	if n.External == nil {
		begin = "a process is started and opens its sessions"
	}
	return append(notes, leaves(o), "then "+begin)
}

// interruptRoutes says of the routers that go on in plan whose speaker does not: their routes go with it, and come back.
func interruptRoutes(old, next *Config, plan, speakers []PlanEntry) {
	through := func(c *Config, router, speaker string) bool {
		for i := range c.Routers {
			if r := &c.Routers[i]; r.Name == router {
				return slices.ContainsFunc(r.Announce, func(a Announcement) bool { return a.Speaker == speaker })
			}
		}
		return false
	}
	for i := range plan {
		e := &plan[i]
		if e.Kind != "vrrp_instance" && e.Kind != "anycast_service" || e.Effect != PlanNone && e.Effect != PlanLive {
			continue
		}
		for j := range speakers {
			s := &speakers[j]
			if s.Effect != PlanRestarted || !through(old, e.Name, s.Name) || !through(next, e.Name, s.Name) {
				continue
			}
			if e.Effect == PlanNone {
				e.Effect = PlanRoutes
			}
			e.Notes = append(e.Notes, "bgp_speaker "+s.Name+" is restarted: what it announces through it is withdrawn, and announced again when that has a session")
		}
	}
}

// connects says how a speaker with a gobgpd begins.
func connects(n *bgp.SpeakerConfig) string {
	if n.OperatorOwned() {
		return n.Backend() + " is connected to; its sessions and policies stay as they are"
	}
	return n.Backend() + " is connected to, gets its AS, policies and neighbors, and opens the sessions"
}

// leaves says how a speaker ends.
func leaves(o *bgp.SpeakerConfig) string {
	switch {
	case o.OperatorOwned():
		return "it withdraws what it has announced through " + o.Backend() + ", whose sessions stay as they are"
	case o.External != nil:
		return "it withdraws everything and closes all sessions of " + o.Backend() + ", which is left without a configuration"
	default:
		return "it withdraws everything, closes all its sessions, and ends"
	}
}

// restartSpeaker says why the process of a speaker cannot be changed over; none: it can.
func restartSpeaker(o, n *bgp.SpeakerConfig) (why []string) {
	differ := func(what string, a, b any) {
		if a != b {
			why = append(why, fmt.Sprintf("%s %v -> %v", what, a, b))
		}
	}
	differ("local_as", o.LocalAS, n.LocalAS)
	differ("router_id", orDefault(o.RouterID), orDefault(n.RouterID))
	differ("listen_port", o.ListenPort, n.ListenPort)
	differ("backend", o.Backend(), n.Backend())
	if len(why) == 0 && !o.External.Equal(n.External) {
		why = append(why, "tls")
	}
	if o.External != nil && o.OperatorOwned() != n.OperatorOwned() {
		why = append(why, "whose gobgpd it is: ours with neighbors, its operator's without")
	}
	differ("the address families of allow_prefix:", families(o.Allow), families(n.Allow))
	if err := n.Check(); err != nil && len(why) == 0 {
		why = []string{"a configuration that cannot run: " + strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	return why
}

// families names those that a list has prefixes of.
func families(l bgp.AllowList) string {
	var v4, v6 bool
	for _, p := range l {
		v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
	}
	return map[[2]bool]string{{}: "none", {true, false}: "IPv4", {false, true}: "IPv6", {true, true}: "IPv4 and IPv6"}[[2]bool{v4, v6}]
}

// speakerParameters are those that restartSpeaker does not name.
var speakerParameters = []parameter[bgp.SpeakerConfig]{
	list("allow_prefix", listMeans{"may be announced", "is withdrawn if it is announced, then not allowed any more", "", ": nothing happens"},
		func(s *bgp.SpeakerConfig) (items []item) {
			for _, p := range s.Allow {
				items = append(items, item{p.String(), p.String()})
			}
			return items
		}),
	list("rpki_cache", listMeans{"is connected to", "is disconnected from; its data does not count any more", "", "an earlier one is preferred"},
		func(s *bgp.SpeakerConfig) (items []item) {
			for _, c := range s.RPKICaches {
				items = append(items, item{c, c})
			}
			return items
		}),
	value("rpki_invalid", "counts from the next announcement", func(s *bgp.SpeakerConfig) string {
		if s.RPKIWarn {
			return "warn"
		}
		return "refuse"
	}),
	value("max_changes", "at once", func(s *bgp.SpeakerConfig) string { return strconv.Itoa(s.MaxChanges) }),
	value("avoid_flap_damping", "at once", func(s *bgp.SpeakerConfig) string {
		if s.Calm {
			return "yes"
		}
		return "no"
	}),
	value("max_announcements", "at once", func(s *bgp.SpeakerConfig) string { return strconv.Itoa(s.MaxAnnouncements) }),
}

// compareSessions says which sessions of a speaker that goes on end and which do not.
func compareSessions(old, next *bgp.SpeakerConfig) (changes []PlanChange) {
	find := func(c *bgp.SpeakerConfig, n *bgp.Neighbor) *bgp.Neighbor {
		for i := range c.Neighbors {
			if c.Neighbors[i].Address == n.Address {
				return &c.Neighbors[i]
			}
		}
		return nil
	}
	for i := range next.Neighbors {
		n := &next.Neighbors[i]
		o := find(old, n)
		if o == nil {
			changes = append(changes, PlanChange{Parameter: "neighbor", New: n.Address.String(), Means: "its session is opened"})
			continue
		}
		means := "the session goes on"
		switch {
		case resets(old, o, next, n):
			means = "the session is closed and opened anew"
		case o.AllowTwoOctetAS && !n.AllowTwoOctetAS:
			means = "the session goes on, unless the neighbor does not speak four-octet AS numbers"
		}
		was, is := sessionFamilies(old, o), sessionFamilies(next, n)
		details := compareAll(neighborParameters, o, n)
		if was != is {
			details = append(details, PlanChange{Parameter: "address families", Old: was, New: is})
		}
		for _, d := range details {
			d.Parameter, d.Means = "neighbor "+n.Address.String()+" "+d.Parameter, means
			changes = append(changes, d)
		}
	}
	for i := range old.Neighbors {
		if o := &old.Neighbors[i]; find(next, o) == nil {
			changes = append(changes, PlanChange{Parameter: "neighbor", Old: o.Address.String(), Means: "its session is closed"})
		}
	}
	if len(changes) == 0 && len(old.Neighbors) > 0 {
		changes = append(changes, PlanChange{Parameter: "neighbors", Means: "all sessions go on"})
	}
	return changes
}

// resets reports whether a neighbor's session ends with the change: all that is agreed upon when a session starts, or
// that its connection rests on, and so everything but what is for people or judged later.
func resets(old *bgp.SpeakerConfig, o *bgp.Neighbor, next *bgp.SpeakerConfig, n *bgp.Neighbor) bool {
	a, b := *o, *n
	a.Description, b.Description, a.AllowTwoOctetAS, b.AllowTwoOctetAS = "", "", false, false
	return a != b || sessionFamilies(old, o) != sessionFamilies(next, n)
}

func sessionFamilies(c *bgp.SpeakerConfig, n *bgp.Neighbor) string {
	v4, v6 := c.Families(n)
	return map[[2]bool]string{{}: "none", {true, false}: "IPv4", {false, true}: "IPv6", {true, true}: "IPv4 and IPv6"}[[2]bool{v4, v6}]
}

var neighborParameters = []parameter[bgp.Neighbor]{
	value("remote_as", "", func(n *bgp.Neighbor) string { return strconv.FormatUint(uint64(n.RemoteAS), 10) }),
	value("local_address", "", func(n *bgp.Neighbor) string { return orDefault(n.LocalAddress) }),
	value("description", "", func(n *bgp.Neighbor) string { return strconv.Quote(n.Description) }),
	secret("password", "", func(n *bgp.Neighbor) string { return n.Password }, func(s string) string {
		if s == "" {
			return "none"
		}
		return "set"
	}),
	value("port", "", func(n *bgp.Neighbor) string { return strconv.Itoa(int(n.Port)) }),
	value("hold_time", "", func(n *bgp.Neighbor) string { return duration(n.HoldTime) }),
	value("keepalive", "", func(n *bgp.Neighbor) string { return duration(n.Keepalive) }),
	value("connect_retry", "", func(n *bgp.Neighbor) string { return duration(n.ConnectRetry) }),
	value("multihop", "", func(n *bgp.Neighbor) string { return strconv.Itoa(int(n.Multihop)) }),
	value("ttl_security", "", func(n *bgp.Neighbor) string { return strconv.Itoa(int(n.TTLSecurity)) }),
	value("allow_two_octet_as", "", func(n *bgp.Neighbor) string { return onOff(n.AllowTwoOctetAS) }),
	value("graceful_restart", "", func(n *bgp.Neighbor) string { return duration(n.GracefulRestart) }),
}
