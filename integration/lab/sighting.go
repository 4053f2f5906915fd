package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Sighting is one thing that a witness saw, in the common form that lets what happened on the wire and in kernels be
// put into one order. What is the text of Packet.String, BGPMessage.String or Change.String.
type Sighting struct {
	At   time.Time
	Node string
	What string
	// Early is by how much it may really have been earlier: 0 for packets, which the kernel stamps.
	Early time.Duration
}

// changeLateness is how late the news of a kernel's change may be read by a watch of real-time class on a busy machine.
// Netlink has no timestamps, so nothing can be said about an order that is closer than this. Where the order matters and
// is closer, prove it by cause: keep the first step from happening, and see that the second does not.
const changeLateness = 2 * time.Millisecond

// Sightings returns the packets and BGP messages of a capture, in the order of time. BGP's TCP segments appear only when
// they open or close a connection.
func (c *Capture) Sightings() []Sighting {
	var out []Sighting
	packets := c.Packets()
	for i := range packets {
		p := &packets[i]
		if p.TCP == nil || p.TCP.SYN || p.TCP.FIN || p.TCP.RST {
			out = append(out, Sighting{At: p.At, Node: p.Node, What: p.String()})
		}
	}
	msgs := BGPMessages(packets)
	for i := range msgs {
		out = append(out, Sighting{At: msgs[i].At, Node: msgs[i].Node, What: msgs[i].String()})
	}
	return Merge(out)
}

// Sightings returns the changes that a watch saw.
func (w *Watch) Sightings() []Sighting {
	changes := w.Changes()
	out := make([]Sighting, len(changes))
	for i := range changes {
		out[i] = Sighting{At: changes[i].At, Node: changes[i].Node, What: changes[i].String(), Early: changeLateness}
	}
	return out
}

// Merge puts lists of sightings into one in the order of time.
func Merge(lists ...[]Sighting) []Sighting {
	out := slices.Concat(lists...)
	slices.SortStableFunc(out, func(a, b Sighting) int { return a.At.Compare(b.At) })
	return out
}

// First returns the first sighting at or after a time whose text contains every one of the parts.
func First(list []Sighting, since time.Time, parts ...string) (Sighting, bool) {
	for _, s := range list {
		if !s.At.Before(since) && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(s.What, p) }) {
			return s, true
		}
	}
	return Sighting{}, false
}

// Step is one step of an expected order: a sighting on a node, or on any when Node is empty, that contains Parts.
type Step struct {
	Node  string
	Parts []string
}

// InOrder looks for the first sighting of each step at or after since, and returns an error unless all are there and no
// step certainly happened before one above it (see Sighting.Early). The error lists what was seen, for a reader who was
// not there.
func InOrder(list []Sighting, since time.Time, steps ...Step) error {
	var floor time.Time // the steps so far cannot all have happened before
	for i, st := range steps {
		mine := slices.DeleteFunc(slices.Clone(list), func(s Sighting) bool { return st.Node != "" && s.Node != st.Node })
		s, ok := First(mine, since, st.Parts...)
		switch {
		case !ok:
			return fmt.Errorf("step %d (%s %q): not seen; seen:\n%s", i+1, st.Node, st.Parts, Describe(list, since))
		case s.At.Before(floor):
			return fmt.Errorf("step %d (%s %q): %v before a step above it; seen:\n%s", i+1, st.Node, st.Parts, floor.Sub(s.At), Describe(list, since))
		}
		if earliest := s.At.Add(-s.Early); earliest.After(floor) {
			floor = earliest
		}
	}
	return nil
}

// Describe prints sightings from since on, one a line, with milliseconds since then.
func Describe(list []Sighting, since time.Time) string {
	var b strings.Builder
	for _, s := range list {
		if !s.At.Before(since) {
			fmt.Fprintf(&b, "%12.3f ms  %-8s %s\n", float64(s.At.Sub(since))/1e6, s.Node, s.What)
		}
	}
	return b.String()
}
