//go:build !race

package speaker

// raceFactor is how much more memory a process needs under the race detector.
const raceFactor = 1
