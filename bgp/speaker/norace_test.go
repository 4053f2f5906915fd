//go:build !race

package speaker

// raceFactor is how much more memory and time a process needs under the race detector.
const raceFactor = 1
