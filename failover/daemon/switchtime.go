package daemon

import (
	"fmt"
	"time"

	"failoverd/vrrp"
)

// How long a switch from one program to another may take. Nobody sends meanwhile.
const (
	// longestSwitch is for routers that are all Backup: nobody waits for them.
	longestSwitch = 2 * time.Second
	// leastSwitch is what a switch may take on a machine that is busy. It takes 3 to 8 ms.
	leastSwitch = 30 * time.Millisecond
	// killTime is what it may take to end a successor that is too slow, and to go on as before.
	killTime = 20 * time.Millisecond
)

// switchTime returns how long a successor may take that begins at now, so that no neighbor takes over even if it fails.
// Advertisements are due at due at the earliest; interval is the shortest between those of routers that are Active; 0: none is.
// Neighbors have heard one an interval before the next was due, and wait for three (Active_Down_Interval, RFC 9568, without
// the Skew_Time, which is next to nothing for a high priority).
func switchTime(now, due vrrp.Instant, interval time.Duration) time.Duration {
	if interval == 0 {
		return longestSwitch
	}
	return min(due.Sub(now)+2*interval-killTime, longestSwitch)
}

// hasty says why there is not enough time for a switch; empty: there is.
func hasty(within, interval time.Duration) string {
	if within >= leastSwitch {
		return ""
	}
	return fmt.Sprintf("the neighbors take over when they have heard nothing for %v (three times the shortest advert_int), which leaves %v for the switch, less than the %v that it may take",
		3*interval, max(within, 0).Round(time.Millisecond), leastSwitch)
}
