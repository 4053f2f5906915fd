//go:build !faultinject

package daemon

import "time"

// injectFaults and clockStep are for the labs, whose program is built with the tag faultinject. This one has no faults but its own.
func injectFaults() {}

func clockStep() time.Duration { return 0 }
