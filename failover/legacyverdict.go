package failover

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"failoverd/vrrp"
)

// LegacyVerdict is the last verdict on a tracked thing. It holds until the program that takes over has a result of its own, so
// that a node which is not well does not pass for a healthy one meanwhile: an upgrade neither adds to a priority nor takes
// anything from it. It is taken up only for a thing of the same definition. Interfaces are not among them: every program
// sees at once what they are.
type LegacyVerdict struct {
	Kind TrackerKind
	Name string
	// Definition tells apart what has the same name; it is empty for a speaker.
	Definition string `json:",omitempty"`
	OK         bool   `json:",omitempty"`
	Unknown    bool   `json:",omitempty"`
	Value      int    `json:",omitempty"`
	NoNumber   bool   `json:",omitempty"`
	// Reason led to the verdict, Latest is what the newest result said.
	Reason string `json:",omitempty"`
	Latest string `json:",omitempty"`
	// Since is when the evidence for the verdict began.
	Since vrrp.Instant
}

// legacyVerdicts returns what is known of tracked things, in the order of their kinds and names.
func (c *Core) legacyVerdicts() (list []LegacyVerdict) {
	defined := c.definitions()
	for id, t := range c.trackers {
		if t.known && id.Kind != TrackInterface {
			list = append(list, LegacyVerdict{
				Kind: id.Kind, Name: id.Name, Definition: defined[id], OK: t.ok, Unknown: t.unknown, Value: t.value, NoNumber: t.noNumber,
				Reason: t.reason, Latest: t.latest, Since: t.sinceAt,
			})
		}
	}
	slices.SortFunc(list, func(a, b LegacyVerdict) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return list
}

// checkVerdicts says what makes no sense: see LegacyRegion.check.
func checkVerdicts(list []LegacyVerdict, at vrrp.Instant) error {
	for i := range list {
		if v := &list[i]; v.Since > at {
			return fmt.Errorf("%w: a verdict on %s rests on %d, later than the end at %d", ErrLegacy, v.Name, v.Since, at)
		}
	}
	return nil
}

// takeUpVerdicts makes those verdicts hold of whose things there is no result yet.
func (c *Core) takeUpVerdicts(now vrrp.Instant, list []LegacyVerdict) {
	defined := c.definitions()
	for i := range list {
		v := &list[i]
		id := Tracker{v.Kind, v.Name}
		t := c.trackers[id]
		if t == nil || t.known || id.Kind == TrackInterface || v.Definition != defined[id] {
			continue
		}
		t.take(v.OK, clampValue(v.Value), v.Latest)
		t.unknown, t.noNumber, t.reason, t.sinceAt, t.handed = v.Unknown && !v.OK, v.NoNumber, v.Reason, v.Since, true
		if s := c.speakers[id.Name]; id.Kind == TrackBGP && s != nil && v.OK {
			s.believe(c, now)
		}
	}
	c.concludeGroups(now, nil)
}

// definitions returns what the tracked things of the configuration are, as short texts: two that are equal stand for things
// that look at the same in the same way. It costs something only once for a configuration.
func (c *Core) definitions() map[Tracker]string {
	if c.definedFor == c.cfg {
		return c.defined
	}
	all := make(map[Tracker]string)
	for i := range c.cfg.Scripts {
		all[Tracker{TrackScript, c.cfg.Scripts[i].Name}] = fingerprint(&c.cfg.Scripts[i])
	}
	for i := range c.cfg.Files {
		all[Tracker{TrackFile, c.cfg.Files[i].Name}] = fingerprint(&c.cfg.Files[i])
	}
	for i := range c.cfg.Processes {
		all[Tracker{TrackProcess, c.cfg.Processes[i].Name}] = fingerprint(&c.cfg.Processes[i])
	}
	for i := range c.cfg.Checks {
		all[Tracker{TrackCheck, c.cfg.Checks[i].Name}] = fingerprint(&c.cfg.Checks[i])
	}
	for _, g := range c.checkGroups { // each after its members
		members := make(map[string]string, len(g.Members))
		for _, m := range g.Members {
			members[m.String()] = all[m]
		}
		all[Tracker{TrackCheck, g.Name}] = fingerprint([]any{g, slices.Sorted(maps.Keys(members)), members})
	}
	c.defined, c.definedFor = all, c.cfg
	return all
}
