package failover

import (
	"fmt"
	"net/netip"
	"time"
)

// CheckConfig is a health_check.
type CheckConfig struct {
	Name  string
	Probe Probe
	// Interval is from start to start; FallInterval counts instead while the verdict is about to change; 0: Interval.
	Interval, FallInterval, Timeout time.Duration
	// Rise and Fall are how many equal results in a row change the verdict; at least 1. The first result counts at once,
	// unless there is an initial verdict.
	Rise, Fall int
	// Initial is the verdict before there is a result.
	Initial InitialVerdict
	// Source is the address that probes leave from, Interface the device; zero: the kernel's choice.
	Source    netip.Addr
	Interface string
	// NetNamespace is the network namespace that the check looks in: a name in /run/netns; empty: the agent's.
	NetNamespace string
	// MaxRTT and MaxLoss (percent) are compared over the last Window probes; 0: not.
	MaxRTT  time.Duration
	MaxLoss int
	Window  int
	// RecoverRTT and RecoverLoss (percent) are what a value that was above its limit must have fallen to; 0: four fifths of
	// the limit. A RecoverLoss of NoLoss: nothing may be lost.
	RecoverRTT  time.Duration
	RecoverLoss int
	Damping     Damping
}

// NoLoss is the RecoverLoss of a check that has recovered when nothing is lost any more.
const NoLoss = -1

// InitialVerdict is what a check begins with.
type InitialVerdict uint8

// Initial verdicts.
const (
	InitialUnknown InitialVerdict = iota // none: the first result counts at once
	InitialUp
	InitialDown
)

// String returns the configuration word.
func (i InitialVerdict) String() string { return [...]string{"unknown", "up", "down"}[i] }

// Damping keeps a check that changes all the time down: after Changes changes of its verdict Within a time it stays down
// until the verdict has been up for Steady. Zero: it does not.
type Damping struct {
	Changes        int
	Within, Steady time.Duration
}

// String returns "off", or "4 changes within 1m0s, until steady for 2m0s".
func (d Damping) String() string {
	if d.Changes == 0 {
		return "off"
	}
	return fmt.Sprintf("%d changes within %v, until steady for %v", d.Changes, d.Within, d.Steady)
}
