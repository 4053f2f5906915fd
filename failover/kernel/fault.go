//go:build !faultinject

package kernel

// faulty is for the labs, whose program is built with the tag faultinject. Here it returns h.
func faulty(h host) host { return h }
