//go:build race

package regiontest

const raceEnabled = true
