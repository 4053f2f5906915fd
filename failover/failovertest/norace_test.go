//go:build !race

package failovertest

const raceEnabled = false
