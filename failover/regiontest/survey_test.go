package regiontest

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	surveyFlag = flag.Bool("survey", false, "play all courses, whatever is broken, and tell how often each rule is, and what was measured")
	firstFlag  = flag.Uint64("first", 1, "the first seed of many")
	onlyFlag   = flag.String("only", "", "the rules that count in -survey; empty: all")
)

// TestSurvey tells how close the courses come to the limits, and which rules they break.
func TestSurvey(t *testing.T) {
	if !*surveyFlag {
		t.Skip("only with -survey")
	}
	counts, first := make(map[string]int), make(map[string]uint64)
	var address, route, recovered time.Duration
	upgrades, takeovers, only := 0, 0, strings.Fields(*onlyFlag)
	for seed := *firstFlag; seed < *firstFlag+*seedsFlag; seed++ {
		r := Play(Draw(seed), Faithful, nil, only...)
		rule := ruleOf(r.Broken)
		if counts[rule]++; rule != "" && counts[rule] <= 10 {
			t.Logf("seed %d: %s", seed, r.Broken)
		}
		if first[rule] == 0 {
			first[rule] = seed
		}
		address, route, recovered = max(address, r.Address), max(route, r.Route), max(recovered, r.Recovered)
		takeovers += r.Takeovers
		upgrades += r.Upgrades
	}
	fmt.Printf("longest: both have the address %v, the route %v, recovery %v; takeovers %d, upgrades %d\n", address, route, recovered, takeovers, upgrades)
	for _, rule := range slices.Sorted(maps.Keys(counts)) {
		if rule == "" {
			continue
		}
		c := Shrink(Draw(first[rule]), Faithful, only...)
		fmt.Printf("%6d %s, first seed %d: %v\n", counts[rule], rule, first[rule], Play(c, Faithful, nil, only...).Err(c, Faithful))
	}
}
