// Package witness exchanges heartbeats with other sites over UDP.
package witness
