//go:build faultinject

package daemon

import (
	"os"
	"strings"
	"time"
)

// A program that is built with the tag faultinject does itself harm when the file that FAILOVERD_FAULTS names says so. It is for the
// labs. Words in the file:
//
//	panic       the loop panics, once: the file is removed before
//	clock D     the wall clock is D ahead
//
// Package kernel has another one.
func fault(word string) (argument string, ok bool) {
	b, err := os.ReadFile(os.Getenv("FAILOVERD_FAULTS"))
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) > 0 && w[0] == word {
			return strings.Join(w[1:], " "), true
		}
	}
	return "", false
}

// injectFaults is called by the loop in every batch.
func injectFaults() {
	if _, ok := fault("panic"); ok {
		_ = os.Remove(os.Getenv("FAILOVERD_FAULTS")) // the next agent is to live
		panic("injected by a lab")
	}
}

// clockStep is how far the wall clock is ahead of the machine's.
func clockStep() time.Duration {
	s, _ := fault("clock")
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0
	}
	return d
}
