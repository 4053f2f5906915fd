package regiontest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// Course is a world, by its seed, and what happens to it.
type Course struct {
	Seed   uint64
	Faults []Fault
}

// ParseCourse reads a course from text: a line "seed N", and a line for each fault. What follows a # is a comment.
func ParseCourse(text string) (c Course, err error) {
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		seed, isSeed := strings.CutPrefix(line, "seed ")
		var f Fault
		switch {
		case line == "":
			continue
		case isSeed:
			c.Seed, err = strconv.ParseUint(seed, 10, 64)
		default:
			if f, err = parseFault(line); err == nil {
				c.Faults = append(c.Faults, f)
			}
		}
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// String returns what ParseCourse reads.
func (c Course) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", c.Seed)
	for _, f := range c.Faults {
		fmt.Fprintln(&b, f)
	}
	return b.String()
}

// warmUp is how long everybody has to start and to settle before the first fault.
const warmUp = 8 * time.Second

// Draw draws a course: every other seed has one fault, three out of ten have two, the others more, beyond what the design
// guarantees between sites.
func Draw(seed uint64) Course {
	r := rand.New(rand.NewPCG(seed, 0xfa17))
	n := [...]int{1, 1, 1, 1, 1, 2, 2, 2, 3, 5}[r.IntN(10)]
	c := Course{Seed: seed}
	s := drawSettings(rand.New(rand.NewPCG(seed, 0x517e)))
	at := warmUp
	for range n {
		f := drawFault(r, &s)
		f.At = at
		c.Faults = append(c.Faults, f)
		at += choosePause(r, &s)
	}
	return drawUpgrade(c)
}

// drawUpgrade adds an upgrade to every fourth course, often while something else goes on. In some there is nothing else.
func drawUpgrade(c Course) Course {
	r := rand.New(rand.NewPCG(c.Seed, 0x0b6a))
	if r.IntN(4) > 0 {
		return c
	}
	last := c.Faults[len(c.Faults)-1]
	f := Fault{Kind: "upgrade", Target: failovertest.Choose(r, kinds["upgrade"].targets...), N: r.IntN(upgradeWays)}
	f.At = (warmUp + time.Duration(r.Int64N(int64(last.At+last.For-warmUp)+1))).Truncate(time.Millisecond)
	if r.IntN(20) == 0 {
		c.Faults = nil
	}
	c.Faults = append(c.Faults, f)
	return c
}

// choosePause draws how long it takes until the next fault: often no time at all.
func choosePause(r *rand.Rand, s *settings) time.Duration {
	limit := failovertest.Choose(r, 50*time.Millisecond, s.beat, s.fence, s.take)
	return time.Duration(r.Int64N(int64(limit))).Truncate(time.Millisecond)
}

func drawFault(r *rand.Rand, s *settings) Fault {
	f := Fault{Kind: failovertest.Choose(r, weighted...), N: r.IntN(12)}
	if f.Kind == "crash" && f.N%2 > 0 {
		f.Kind = "kill" // every other time the supervisor outlives the agent
	}
	f.Target = failovertest.Choose(r, kinds[f.Kind].targets...)
	// What is over before anybody takes over tells as much as what lasts, and the edges are where mistakes are.
	least := failovertest.Choose(r, 100*time.Millisecond, 100*time.Millisecond, s.lease, s.fence, s.take-s.fence, s.take, s.take+s.fence)
	f.For = (least + time.Duration(r.Int64N(int64(s.fence)))).Truncate(time.Millisecond)
	switch f.Kind {
	case "bad":
		f.N = r.IntN(100)
	case "wall":
		f.N = r.IntN(100)
	case "hang":
		f.N = max(0, r.IntN(16)-4)
	}
	return f
}

// weighted are the kinds to draw from.
var weighted = []string{
	"cut", "cut", "split", "split", "bad", "uplink", "uplink", "one-way", "one-way", "flap", "session", "session", "speaker",
	"power", "power", "power", "crash", "crash", "hang", "hang", "hang", "stall", "stall", "late", "late", "pause", "slow", "wall",
	"reload", "restart", "drain", "drain", "handover", "handover", "unchecked",
}

// Result is what became of a course.
type Result struct {
	// Broken is the first rule that was broken, with the circumstances; empty: none was.
	Broken string
	// Address and Route are the longest times that both sites had the address and the route.
	Address, Route time.Duration
	// History is a hash of everything that was done, and when.
	History uint64
	// Recovered is how long after the loss of the mainland the other site's router had the route; 0: it did not come to that.
	Recovered time.Duration
	Takeovers int
	// Upgrades is how often another program has taken over.
	Upgrades int
}

// Err returns what was broken with the course that broke it.
func (r Result) Err(c Course, m Mutation) error {
	if r.Broken == "" {
		return nil
	}
	return fmt.Errorf("%s\n(%s) in the course\n%s", r.Broken, m, c)
}

// Play runs a course: everybody starts, the faults come and go, and then everything has to come right. The trace, if there
// is one, gets a line for everything that happens. If rules are named, no others count.
func Play(c Course, m Mutation, trace io.Writer, only ...string) Result {
	w := newWorld(c.Seed, m, trace)
	r := &w.rules
	r.only = only
	last := warmUp
	for _, f := range c.Faults {
		if f.noticed() {
			r.faults++
		}
		r.paused = r.paused || f.Kind == "pause"
		w.supervised = w.supervised || f.Kind == "kill"
		r.hangs = r.hangs || slices.Contains([]string{"hang", "stall", "late"}, f.Kind) || f.Kind == "upgrade" && f.noticed()
		r.orders = r.orders || slices.Contains([]string{"drain", "handover", "restart"}, f.Kind)
		last = max(last, f.At+f.For)
	}
	w.log(nil, "%+v", w.settings)
	for _, n := range w.nodes {
		n.after(w.upTo(2*time.Second), n.start)
	}
	for _, f := range c.Faults {
		w.After(f.At, func() {
			w.impose(f)
			r.expectRecovery(c, f)
			r.expectSuccession(c, f)
		})
	}
	w.run(vrrp.Instant(last))
	w.settle(c.Seed%patient == 0)
	return Result{r.broken, r.address.worst, r.route.worst, w.history, r.recovered, r.takeovers, r.upgrades}
}

// patient is one course in how many that goes on for as long as anything might take, although everything is right. The others
// end when that has been so for a while.
const patient = 8

// settle runs the world until everything is right again.
func (w *World) settle(whole bool) {
	end := w.Now().Add(w.settling())
	for w.rules.broken == "" {
		w.run(min(end, w.Now().Add(time.Second)))
		rule, why := w.rules.verdict()
		switch {
		case w.Now() >= end && rule != "":
			w.rules.fail(rule, "%s", why)
			return
		case w.Now() >= end, rule == "" && !whole:
			w.rules.told()
			return
		}
	}
}

// settling is how long it takes until everything is right again when the last fault has ended: the site that serves is
// found (L4), a watcher whose turn it is takes over (L5), and the home site takes its service back.
func (w *World) settling() time.Duration {
	return w.fence + w.beat + w.clean + w.overlap + 2*w.recovery() + 15*time.Second
}
