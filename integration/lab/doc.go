// Package lab builds small networks out of Linux network namespaces, runs real programs in them, disturbs them, and
// watches what happens from outside: packets stamped by the kernel, address and route events, and a client that probes
// a service every millisecond. The integration tests and `failoverd demo` stand on it. It needs no program besides the
// ones under test: namespaces, links and captures are made with system calls.
//
// It shares no code with the agent's own kernel and link rooms, so that a mistake there cannot hide itself here: that is
// why it has a netlink client and decoders of its own.
//
// Read Lab (what owns everything), Node (one machine), Switch (what joins them and what is cut), Process, then the three
// witnesses: Capture, Watch and Probe. Demo is the regional scenario on top.
//
// Goroutines: each Node owns one, locked to the thread that lives in its namespace and starts its processes; each
// Capture, Watch, Probe and Responder owns one or two, which end with its Close. Lab.Close ends them all.
package lab
