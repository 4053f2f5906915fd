package regiontest

import (
	"slices"
	"strings"
	"time"
)

// Shrink returns a course that breaks the same rule with less: fewer faults, and shorter ones. Only is as for Play.
func Shrink(c Course, m Mutation, only ...string) Course {
	rule := ruleOf(Play(c, m, nil, only...).Broken)
	breaks := func(c Course) bool { return ruleOf(Play(c, m, nil, only...).Broken) == rule }
	for i := 0; i < len(c.Faults); {
		less := Course{c.Seed, slices.Delete(slices.Clone(c.Faults), i, i+1)}
		if breaks(less) {
			c = less
		} else {
			i++
		}
	}
	for i := range c.Faults {
		for _, less := range []func(f *Fault){
			func(f *Fault) { f.For = f.For.Truncate(time.Second) },
			func(f *Fault) { f.For /= 2 },
			func(f *Fault) { f.At = f.At.Truncate(time.Second) },
			func(f *Fault) { f.N = 0 },
		} {
			fewer := Course{c.Seed, slices.Clone(c.Faults)}
			less(&fewer.Faults[i])
			if breaks(fewer) {
				c = fewer
			}
		}
	}
	return c
}

// ruleOf returns the name of the rule that a text from Result.Broken is about.
func ruleOf(broken string) string {
	rule, _, _ := strings.Cut(broken, " ")
	return rule
}
