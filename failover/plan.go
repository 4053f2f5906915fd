package failover

import (
	"fmt"
	"strings"
)

// PlanEffect is how deep a reload cuts into one object of the configuration.
type PlanEffect string

// Effects, from nothing to everything.
const (
	PlanNone PlanEffect = "none" // it stays as it is, and nothing is sent on account of it
	// PlanRoutes: it stays as it is, but a speaker that it announces through ends and begins anew.
	PlanRoutes    PlanEffect = "routes"
	PlanLive      PlanEffect = "live"       // it is changed while it runs
	PlanRestarted PlanEffect = "restarted"  // it ends, and begins anew
	PlanAdded     PlanEffect = "added"      // the running configuration does not have it
	PlanRemoved   PlanEffect = "removed"    // the new configuration does not have it
	PlanNextStart PlanEffect = "next start" // a reload does not change it; the next start of the agent does
)

// PlanEntry is one object of the configuration, and what a reload would do to it.
type PlanEntry struct {
	// Kind and Name are configuration words: vrrp_instance VI_1.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Key is that of a vrrp_instance: INTERFACE/FAMILY/VRID; if it is removed, the one that it had.
	Key    string     `json:"key,omitempty"`
	Effect PlanEffect `json:"effect"`
	// Changes are the parameters that differ. Passwords and arguments of commands are never among the values.
	Changes []PlanChange `json:"changes,omitempty"`
	// Notes say in words why, and what happens: what is sent, removed, kept.
	Notes []string `json:"notes,omitempty"`
}

// PlanChange is one parameter.
type PlanChange struct {
	Parameter string `json:"parameter"`
	Old       string `json:"old,omitempty"` // empty: there was none
	New       string `json:"new,omitempty"` // empty: there is none any more
	// Means says from when on it counts, and what it causes.
	Means string `json:"means,omitempty"`
}

// Plan says what a reload that replaces old by next would do to every object of the two: an entry for each, in the order
// in which the configuration names the kinds, those that go after those that come or stay. What it says of routers is
// decided by the function that Core follows with Reconfigured; what it says of speakers is held against bgp/gobgp by a
// test there.
func Plan(old, next *Config) []PlanEntry {
	var plan []PlanEntry
	plan = append(plan, planSettings(old, next)...)
	plan = append(plan, planRouters(old, next)...)
	plan = append(plan, planGroups(old, next)...)
	plan = append(plan, planTrackers(old, next)...)
	plan = append(plan, planChecks(old, next)...)
	plan = append(plan, planCheckGroups(old, next)...)
	speakers := planSpeakers(old, next)
	interruptRoutes(old, next, plan, speakers)
	plan = append(plan, speakers...)
	plan = append(plan, planRegions(old, next)...)
	plan = append(plan, planStatic(old, next)...)
	plan = append(plan, planDevices(old, next)...)
	plan = append(plan, planFIFOs(old, next)...)
	return plan
}

// Text returns the entry for people: a line that says what happens, and an indented one for each change and note.
func (e *PlanEntry) Text() string {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(e.Kind + " " + e.Name))
	if e.Key != "" {
		b.WriteString(" (" + e.Key + ")")
	}
	b.WriteString(": " + effectWords[e.Effect])
	for _, n := range e.Notes {
		b.WriteString("\n    " + n)
	}
	for i := range e.Changes {
		b.WriteString("\n    " + e.Changes[i].Text())
	}
	return b.String()
}

var effectWords = map[PlanEffect]string{
	PlanNone: "not touched", PlanRoutes: "not changed, but its routes are withdrawn for a while", PlanLive: "changed while it runs", PlanRestarted: "restarted", PlanAdded: "added",
	PlanRemoved: "removed", PlanNextStart: "counts from the next start of the agent",
}

// Text returns "PARAMETER OLD -> NEW: what it means".
func (c *PlanChange) Text() string {
	s := c.Parameter
	switch {
	case c.Old == "" && c.New == "":
	case c.Old == "":
		s += " + " + c.New
	case c.New == "":
		s += " - " + c.Old
	default:
		s += " " + c.Old + " -> " + c.New
	}
	if c.Means != "" {
		s += ": " + c.Means
	}
	return s
}

// PlanText returns a whole plan for people. What is not touched is named in one line per kind.
func PlanText(plan []PlanEntry) string {
	var b strings.Builder
	var kinds []string
	untouched := make(map[string][]string)
	for i := range plan {
		e := &plan[i]
		if e.Effect != PlanNone {
			b.WriteString(e.Text() + "\n")
			continue
		}
		if untouched[e.Kind] == nil {
			kinds = append(kinds, e.Kind)
		}
		untouched[e.Kind] = append(untouched[e.Kind], e.Name)
	}
	if b.Len() == 0 {
		b.WriteString("nothing changes\n")
	}
	for _, kind := range kinds {
		fmt.Fprintf(&b, "%s not touched: %s\n", kind, strings.Join(untouched[kind], ", "))
	}
	return b.String()
}
