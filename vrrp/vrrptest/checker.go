package vrrptest

import (
	"fmt"
	"slices"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Violation is a rule that did not hold.
type Violation struct {
	Rule string // its name in the list of invariants
	At   vrrp.Instant
	Text string
}

// Error implements error.
func (v *Violation) Error() string {
	return fmt.Sprintf("%v: %s: %s", time.Duration(v.At), v.Rule, v.Text)
}

// checker watches every step of a network. What holds at all times: S3, S10, S11 and that nobody yields but to who
// outranks it. What holds from clean on, when nothing disturbs the LAN: S2, and that nobody takes over from a
// live Active router that it may not preempt.
type checker struct {
	net      *Network
	clean    vrrp.Instant // Never while there are faults
	settled  bool         // since clean, the election has come to its end once
	rivals   []rivalry
	promoted func(*Step) // if set, told of every promotion
	steps    int
	ignore   []string
	err      *Violation
}

// rivalry is an advertisement that has to be answered: loser sent it at the time since while winner was Active.
type rivalry struct {
	loser, winner *Node
	since, due    vrrp.Instant
}

func (c *checker) fail(rule, format string, args ...any) {
	if c.err == nil && !slices.Contains(c.ignore, rule) {
		c.err = &Violation{Rule: rule, At: c.net.now, Text: fmt.Sprintf(format, args...)}
		c.net.Halt()
	}
}

// maxSteps is how many steps a scenario may take: some ten times what the busiest does.
const maxSteps = 20000

func (c *checker) observe(s *Step) {
	node := s.Node
	if c.steps++; c.steps > maxSteps {
		c.fail("storm", "more than %d steps: adverts beget adverts", maxSteps)
	}
	if s.Before.State != vrrp.Active && s.After.State == vrrp.Active {
		node.activeSince = s.At
		c.promotion(s)
	}
	c.transmission(s)
	if s.Kind == Received {
		c.reception(s)
	}
	if s.At >= c.clean {
		c.exchange(s)
		c.rivalries()
	}
}

// transmission is S3: no advert but from an Active router, priority 0 but when it leaves.
func (c *checker) transmission(s *Step) {
	e := s.Effect
	if !e.Advert {
		return
	}
	leaving := s.Before.State == vrrp.Active && s.After.State == vrrp.Initialize
	if (e.Priority == wire.PriorityRelease) != leaving || !leaving && s.After.State != vrrp.Active {
		c.fail("S3", "%s sent priority %d going from %v to %v", s.Node.Name, e.Priority, s.Before.State, s.After.State)
	}
}

// reception is S10, S11 and the rule about yielding.
func (c *checker) reception(s *Step) {
	node, p := s.Node, s.Packet
	if s.Why != wire.Accepted {
		if s.Before != s.After || s.Effect.Advert || s.Effect.Changed() || s.Effect.Rival {
			c.fail("S10", "%s dropped a packet (%v) and changed from %+v to %+v", node.Name, s.Why, s.Before, s.After)
		}
		return
	}
	own := s.Before.Priority
	switch {
	case s.Before.State == vrrp.Active && s.After.State == vrrp.Backup:
		if p.Priority < own || p.Priority == own && p.Src.Compare(node.Address) <= 0 {
			c.fail("S2", "%s (priority %d) yielded to %v (priority %d)", node.Name, own, p.Src, p.Priority)
		}
		c.downTimer(s, p.Interval)
	case s.Before.State == vrrp.Backup:
		c.backupTimer(s)
	}
}

// backupTimer is S11 for a packet accepted in Backup.
func (c *checker) backupTimer(s *Step) {
	p, own := s.Packet, s.Before.Priority
	switch {
	case p.Priority == wire.PriorityRelease:
		at := min(s.Before.Deadline, s.Node.local(s.At).Add(skew(s.Node, s.Before.Learned)))
		if s.After.Deadline != at || s.After.Learned != s.Before.Learned {
			c.fail("S11", "%s heard a release: timer %v and interval %d, want %v and %d", s.Node.Name,
				time.Duration(s.After.Deadline), s.After.Learned, time.Duration(at), s.Before.Learned)
		}
	case p.Priority < own && (s.Node.Config.Preempt || own == wire.PriorityOwner):
		if s.After.Deadline != s.Before.Deadline || s.After.Learned != s.Before.Learned {
			c.fail("S11", "%s (priority %d) discarded priority %d and moved its timer", s.Node.Name, own, p.Priority)
		}
	default:
		c.downTimer(s, p.Interval)
	}
}

// downTimer demands that a step armed Active_Down_Timer afresh for an adopted interval.
func (c *checker) downTimer(s *Step, adopted wire.Centiseconds) {
	want := s.Node.local(s.At).Add(down(s.Node, adopted))
	if s.After.Deadline != want || s.After.Learned != adopted {
		c.fail("S11", "%s heard interval %d: timer %v and interval %d, want %v", s.Node.Name, adopted,
			time.Duration(s.After.Deadline), s.After.Learned, time.Duration(want))
	}
}

// skew is Skew_Time of a node that learned an interval.
func skew(node *Node, learned wire.Centiseconds) time.Duration {
	gap := 256 - time.Duration(node.Machine.Priority())
	if node.Config.Version == wire.V2 {
		return gap * time.Second / 256
	}
	return gap * learned.Duration() / 256
}

// down is Active_Down_Interval of a node that learned an interval.
func down(node *Node, learned wire.Centiseconds) time.Duration {
	return 3*learned.Duration() + skew(node, learned)
}

// promotion demands that a router which becomes Active on a settled LAN does not take over from a live one that it
// may not preempt. A router that waited by another interval than that one's is excused: one that has just started
// waits by its own, and where intervals differ that may be too short.
func (c *checker) promotion(s *Step) {
	if c.promoted != nil {
		c.promoted(s)
	}
	if !c.settled || s.Before.State != vrrp.Backup {
		return
	}
	for _, other := range c.net.nodes {
		if other == s.Node || !other.Active() || s.At.Sub(other.activeSince) <= maxDelay ||
			s.Before.Learned != other.Config.Interval {
			continue
		}
		own := s.After.Priority
		if own <= other.Machine.Priority() || !s.Node.Config.Preempt && own != wire.PriorityOwner {
			c.fail("S1", "%s (priority %d) took over from %s (priority %d), which is alive", s.Node.Name, own,
				other.Name, other.Machine.Priority())
		}
	}
}

// exchange is the strong form of S2: an advertisement of a router that is outranked by another Active one is answered
// at once, so one exchange ends the rivalry.
func (c *checker) exchange(s *Step) {
	if !s.Effect.Advert || s.After.State != vrrp.Active {
		return
	}
	for _, w := range c.net.nodes {
		if w == s.Node || !w.Active() || !w.Outranks(s.Node) {
			continue
		}
		if s.At.Sub(w.lastSent) < vrrp.ReadvertiseGap+maxDelay {
			continue // its answer may be held back; the plain form of S2 covers that
		}
		c.rivals = append(c.rivals, rivalry{s.Node, w, s.At, s.At.Add(2 * maxDelay)})
	}
}

// rivalries is S2 with its bounds, for every pair of Active routers that should not last.
func (c *checker) rivalries() {
	now := c.net.now
	keep := c.rivals[:0]
	for _, r := range c.rivals {
		switch {
		case !r.loser.Active() || !r.winner.Active() || r.loser.activeSince > r.since || r.winner.activeSince > r.since:
		case now > r.due:
			c.fail("S2", "%s advertised at %v and %s, which outranks it, did not answer", r.loser.Name,
				time.Duration(r.since), r.winner.Name)
		default:
			keep = append(keep, r)
		}
	}
	c.rivals = keep
	for _, l := range c.net.nodes {
		for _, w := range c.net.nodes {
			if l == w || !l.Active() || !w.Active() || !w.Outranks(l) {
				continue
			}
			since := max(c.clean, l.activeSince, w.activeSince)
			if now.Sub(since) > w.Config.Interval.Duration()+2*maxDelay+maxLateness {
				c.fail("S2", "%s and %s have both been Active since %v", l.Name, w.Name, time.Duration(since))
			}
		}
	}
}

// elected is S1: exactly one of the running routers is Active, and where all preempt it has the highest priority. It
// returns that router.
func (c *checker) elected() *Node {
	var active *Node
	for _, n := range c.net.nodes {
		if !n.Active() {
			continue
		}
		if active != nil {
			c.fail("S1", "%s and %s are both Active", active.Name, n.Name)
			return nil
		}
		active = n
	}
	if active == nil {
		c.fail("S1", "nobody is Active")
		return nil
	}
	for _, n := range c.net.nodes {
		if n.Machine == nil {
			continue
		}
		p := n.Machine.Priority()
		if p > active.Machine.Priority() && (n.Config.Preempt || p == wire.PriorityOwner) {
			c.fail("S1", "%s is Active with priority %d, %s has %d", active.Name, active.Machine.Priority(), n.Name, p)
		}
	}
	return active
}
