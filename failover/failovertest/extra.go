package failovertest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// extra is something that only some worlds have, because each costs time: in these it is there on every host.
type extra struct {
	name string // in the text of a course
	// What is added to the configuration of a host: to the first router, to the second one, and at the end; nil: nothing.
	router, second, rest func(p *Profile, v variant) string
	// faults are kinds that only make sense with it.
	faults []string
	// begin prepares a host, and heal ends all faults of these kinds there; nil: there is nothing to do.
	begin, heal func(h *Host)
}

// extras are all that there are.
var extras = []extra{
	{
		name: "checks", router: checkedRouter, rest: checkGroup, begin: (*Host).addSideLink, heal: (*Host).recover,
		faults: []string{"check_fails", "check_fails", "check_fails", "side_link", "another_rule", "upgrade", "kill"},
	},
	{
		name: "objects", router: routedRouter, second: secondRouted, rest: staticObjects, begin: (*Host).addObjects, heal: (*Host).objectsWork,
		faults: []string{"object_deleted", "object_deleted", "object_fails", "without_routes", "kill", "upgrade"},
	},
	{
		name: "anycast", rest: anycastService, begin: (*Host).beginService, heal: (*Host).serveAgain,
		faults: []string{"web_fails", "web_fails", "web_fails", "web_fails", "drain_service", "kill", "upgrade", "session_lost"},
	},
	{
		name: "vmac", router: firstVMAC, second: secondVMAC, begin: (*Host).addDevices, heal: (*Host).devicesWork,
		faults: []string{"device_deleted", "device_deleted", "device_fails", "device_fails", "device_fails", "without_vmac", "link_flap", "restart", "kill", "upgrade"},
	},
	{
		name:   "max_changes",
		faults: []string{"flutter", "flutter", "quick_turn", "quick_turn", "session_lost", "speaker_dies"},
	},
	{
		name:   "calm",
		faults: []string{"quick_turn", "quick_turn", "flutter", "link_flap", "cut", "session_lost"},
	},
	{
		name: "rpki", begin: (*Host).beginRPKI, heal: (*Host).validAgain,
		faults: []string{"origin_invalid", "origin_invalid", "cache_dies", "cache_dies", "cache_dies", "kill", "upgrade", "speaker_dies", "restart"},
	},
}

func extraNamed(name string) *extra {
	i := slices.IndexFunc(extras, func(x extra) bool { return x.name == name })
	if i < 0 {
		return nil
	}
	return &extras[i]
}

// has reports whether the hosts of a course have an extra.
func (p *Profile) has(name string) bool { return slices.Contains(p.with, name) }

// oneIn is how many courses there are for each that has extras.
const oneIn = 8

// drawExtras gives a course extras with faults of their own. They are drawn from a source of their own, so that the courses
// of all seeds are what they would be without.
func (c *Course) drawExtras() {
	r := rand.New(rand.NewPCG(c.Seed, 0xe77a))
	if r.IntN(oneIn) > 0 {
		return
	}
	p := &c.Profile
	var kinds []string
	for _, i := range r.Perm(len(extras))[:min(len(extras), Choose(r, 1, 1, 2))] {
		p.with = append(p.with, extras[i].name)
		kinds = append(kinds, extras[i].faults...)
	}
	slices.Sort(p.with)
	span := c.Faults[len(c.Faults)-1].At + p.longest()
	for range Choose(r, 1, 1, 2, 3) {
		f := drawFaultOf(r, p, upTo(r, span).Truncate(time.Microsecond), Choose(r, kinds...))
		i, _ := slices.BinarySearchFunc(c.Faults, f.At, func(x Fault, at time.Duration) int { return int(x.At - at) })
		c.Faults = slices.Insert(c.Faults, i, f)
	}
}

// extraLines are what the extras add to the configuration of a host.
func (p *Profile) extraLines(of func(*extra) func(*Profile, variant) string, v variant) string {
	var b strings.Builder
	for _, name := range p.with {
		if lines := of(extraNamed(name)); lines != nil {
			b.WriteString(lines(p, v))
		}
	}
	return b.String()
}

// with reads the names of extras.
func (p *configParser) with(to *Profile, w *words) {
	for len(*w) > 0 {
		name := w.next()
		if extraNamed(name) == nil {
			p.wrong("there is no extra %q", name)
		}
		if !to.has(name) {
			to.with = append(to.with, name)
		}
	}
	slices.Sort(to.with)
}

// eachExtra calls do with each extra of the course.
func (s *scenario) eachExtra(do func(*extra)) {
	for _, name := range s.with {
		do(extraNamed(name))
	}
}

func lines(format string, args ...any) string { return fmt.Sprintf(format, args...) }
