package failovertest

import (
	"slices"
	"strings"
	"time"
)

// Shrink returns a course that breaks the same rule as c with less: fewer faults, simpler hosts, shorter times. It plays some
// hundred courses for it. A course that breaks nothing is returned as it is.
func Shrink(c Course, m Mutation) Course {
	s := shrinker{m: m, rule: ruleOf(Outcome(c, m, nil))}
	if s.rule == "nothing" {
		return c
	}
	for range shrinkRounds {
		before := c.String()
		c = s.simpler(s.fewer(c))
		c = s.sooner(s.shorter(c))
		if c.String() == before {
			break
		}
	}
	return c
}

// shrinkRounds is how often everything is tried: what did not help at first may do so when something else is gone.
const shrinkRounds = 5

type shrinker struct {
	m    Mutation
	rule string
}

// ruleOf returns the name of the rule that an Outcome is about.
func ruleOf(outcome string) string {
	rule, _, _ := strings.Cut(outcome, " ")
	return rule
}

// breaks reports whether a course still breaks the rule.
func (s *shrinker) breaks(c Course) bool {
	return c.check() == nil && ruleOf(Outcome(c, s.m, nil)) == s.rule
}

// fewer leaves out faults: half of them at once, then a quarter, down to single ones (delta debugging, Zeller 1999).
func (s *shrinker) fewer(c Course) Course {
	for n := (len(c.Faults) + 1) / 2; n > 0; n /= 2 {
		for i := 0; i < len(c.Faults); {
			less := c
			less.Faults = slices.Delete(slices.Clone(c.Faults), i, min(i+n, len(c.Faults)))
			if s.breaks(less) {
				c = less
			} else {
				i += n
			}
		}
	}
	return c
}

// simpler makes the hosts plainer, and fewer if only two are needed.
func (s *shrinker) simpler(c Course) Course {
	for _, change := range []func(p *Profile){
		func(p *Profile) { p.with = nil },
		func(p *Profile) { p.with = p.with[:min(len(p.with), 1)] },
		func(p *Profile) { p.with = p.with[min(len(p.with), 1):] },
		func(p *Profile) { p.second = "" },
		func(p *Profile) { p.second = "plain" },
		func(p *Profile) { p.core = false },
		func(p *Profile) { p.garp = "" },
		func(p *Profile) { p.pacing = 0 },
		func(p *Profile) { p.preemptDelay = 0 },
		func(p *Profile) { p.bgpWait = 0 },
		func(p *Profile) { p.startupDelay = 0 },
		func(p *Profile) { p.unicast = false },
		func(p *Profile) { p.preempt = true },
		func(p *Profile) { p.priorities = p.priorities[:2] },
		func(p *Profile) { p.interval = time.Second },
	} {
		less := c
		change(&less.Profile)
		if less.String() != c.String() && s.breaks(less) {
			c = less
		}
	}
	return c
}

// shorter makes the faults themselves shorter and plainer.
func (s *shrinker) shorter(c Course) Course {
	for i := range c.Faults {
		c = s.each(c, func(faults []Fault) { faults[i].N = 0 })
		c = s.each(c, func(faults []Fault) { faults[i].For /= 2 })
		for unit := time.Second; unit >= time.Millisecond; unit /= 10 {
			c = s.each(c, func(faults []Fault) { faults[i].For = faults[i].For.Truncate(unit) })
		}
	}
	return c
}

// sooner shortens the time before each fault, and makes it round.
func (s *shrinker) sooner(c Course) Course {
	for i := range c.Faults {
		for _, gap := range []func(time.Duration) time.Duration{
			func(time.Duration) time.Duration { return 0 },
			func(d time.Duration) time.Duration { return d / 2 },
			func(d time.Duration) time.Duration { return d.Truncate(time.Second) },
			func(d time.Duration) time.Duration { return d.Truncate(100 * time.Millisecond) },
			func(d time.Duration) time.Duration { return d.Truncate(time.Millisecond) },
		} {
			c = s.each(c, func(faults []Fault) {
				before := time.Duration(0)
				if i > 0 {
					before = faults[i-1].At
				}
				by := faults[i].At - before - gap(faults[i].At-before)
				for j := i; j < len(faults); j++ {
					faults[j].At -= by
				}
			})
		}
	}
	return c
}

// each returns c with its faults changed, if that breaks the rule as well.
func (s *shrinker) each(c Course, change func([]Fault)) Course {
	less := c
	less.Faults = slices.Clone(c.Faults)
	change(less.Faults)
	if !slices.Equal(less.Faults, c.Faults) && s.breaks(less) {
		return less
	}
	return c
}
