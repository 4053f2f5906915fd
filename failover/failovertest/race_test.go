//go:build race

package failovertest

const raceEnabled = true
