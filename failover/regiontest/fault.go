package regiontest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Fault is something that happens to somebody at a time, and lasts for a while.
type Fault struct {
	At   time.Duration // since the start of the course
	Kind string        // one of the kinds
	// Target is a node, or the two ends of paths, "FROM>TO": each end is a node, M (both nodes of the mainland), K or W (all
	// witnesses), or * (all others).
	Target string
	For    time.Duration
	// N is which effect of a batch a hang follows (0: none), how much of 100 packets a bad path loses, or how an upgrade goes.
	N int
}

// String returns the fault as a line of a course: "12.3s hang m1 4s 3".
func (f Fault) String() string {
	return fmt.Sprintf("%v %s %s %v %d", f.At, f.Kind, f.Target, f.For, f.N)
}

// parseFault reads what String writes.
func parseFault(line string) (f Fault, err error) {
	var at, length string
	if _, err = fmt.Sscanf(line, "%s %s %s %s %d", &at, &f.Kind, &f.Target, &length, &f.N); err != nil {
		return f, fmt.Errorf("fault %q: want TIME KIND TARGET DURATION N: %w", line, err)
	}
	if f.At, err = time.ParseDuration(at); err != nil {
		return f, fmt.Errorf("fault %q: %w", line, err)
	}
	if f.For, err = time.ParseDuration(length); err != nil {
		return f, fmt.Errorf("fault %q: %w", line, err)
	}
	if _, known := kinds[f.Kind]; !known {
		return f, fmt.Errorf("fault %q: there is no kind %q", line, f.Kind)
	}
	return f, nil
}

// kind is what a fault does to each of its nodes, and how it ends there.
type kind struct {
	begin, end func(w *World, n *node, f Fault)
	// targets are what may be drawn.
	targets []string
}

// all are the machines; agents those with a role in the service.
var (
	agents = []string{"m1", "m2", "k"}
	all    = []string{"m1", "m2", "k", "w1", "w2"}
	ways   = []string{
		"M>K", "K>M", "M>W", "W>M", "K>W", "W>K", "M>*", "*>M", "K>*", "*>K", "w1>*", "*>w1", "M>w1", "w1>K", "m1>K", "m1>*", "*>m1", "m1>m2",
		"m2>m1",
	}
)

// kinds are all faults that there are. Those of paths have none of the functions of nodes.
var kinds map[string]kind

func init() {
	kinds = map[string]kind{
		"cut":   {targets: ways},
		"split": {targets: []string{"M>K", "M>W", "K>W", "M>*", "K>*", "w1>*", "m1>m2", "m1>*"}},
		"bad":   {targets: ways},
		"power": {(*World).cutPower, (*World).boot, append(all, "M", "M", "K", "W", "*")},
		"crash": {(*World).crash, (*World).start, append(all, "m1", "M", "*")},
		"kill":  {(*World).kill, nothing, append(all, "m1", "M", "*")},
		"hang":  {(*World).hang, (*World).goOn, append(all, "m1", "m1", "k", "M")},
		"stall": {(*World).stall, (*World).goOn, []string{"m1", "m2", "k", "m1"}},
		"late":  {(*World).hangWrite, (*World).goOn, []string{"m1", "m1", "m2", "k"}},
		"pause": {(*World).pause, (*World).resume, append(all, "m1", "M")},
		"slow":  {(*World).slow, (*World).quick, agents},
		"wall":  {(*World).stepWall, nothing, agents},

		"uplink":  {(*World).loseUplink, (*World).regainUplink, []string{"m1", "k", "M", "M"}},
		"one-way": {(*World).loseWay, (*World).regainWay, []string{"M", "M", "m1", "k"}},
		"flap":    {(*World).linkDown, (*World).linkUp, agents},
		"session": {(*World).loseSession, (*World).regainSession, agents},
		"speaker": {(*World).killSpeaker, nothing, agents},

		"reload":    {(*World).reload, (*World).reload, agents},
		"restart":   {(*World).stop, (*World).startAgain, agents},
		"upgrade":   {(*World).upgrade, nothing, append(all, "m1", "m1", "k", "k")},
		"drain":     {(*World).drain, (*World).undrain, []string{"m1", "m1", "M", "k"}},
		"handover":  {(*World).switchover, nothing, []string{"m1", "k", "m2"}},
		"unchecked": {(*World).blind, (*World).unblind, []string{"k", "w1"}},
	}
}

func nothing(*World, *node, Fault) {}

// some returns the nodes that a word stands for.
func (w *World) some(word string) []*node {
	switch word {
	case "M":
		return w.nodes[:2]
	case "K":
		return w.nodes[2:3]
	case "W":
		return w.nodes[3:]
	case "*":
		return w.nodes
	}
	for i, n := range w.nodes {
		if n.name == word {
			return w.nodes[i : i+1]
		}
	}
	return nil // a witness that this world does not have
}

// between calls do with each path between two ends, in one direction.
func (w *World) between(target string, do func(from, to *node, p *path)) {
	a, b, _ := strings.Cut(target, ">")
	for _, from := range w.some(a) {
		for _, to := range w.some(b) {
			if from == to || a == "*" && slices.Contains(w.some(b), from) || b == "*" && slices.Contains(w.some(a), to) {
				continue
			}
			do(from, to, &w.paths[from.index][to.index])
		}
	}
}

// impose begins a fault, and plans its end.
func (w *World) impose(f Fault) {
	w.log(nil, "fault: %s", f)
	k := kinds[f.Kind]
	if k.begin == nil {
		end := w.imposePath(f)
		w.After(f.For, func() {
			w.log(nil, "fault ends: %s", f)
			end()
		})
		return
	}
	nodes := w.some(f.Target)
	for _, n := range nodes {
		k.begin(w, n, f)
	}
	w.After(f.For, func() {
		w.log(nil, "fault ends: %s", f)
		for _, n := range nodes {
			k.end(w, n, f)
		}
	})
}

// imposePath begins a fault of paths.
func (w *World) imposePath(f Fault) (end func()) {
	targets := []string{f.Target}
	if f.Kind != "cut" {
		a, b, _ := strings.Cut(f.Target, ">")
		targets = append(targets, b+">"+a)
	}
	if f.Kind != "bad" {
		change := func(by int) {
			for _, t := range targets {
				w.between(t, func(_, _ *node, p *path) { p.cut += by })
			}
		}
		change(1)
		return func() { change(-1) }
	}
	bad := &badness{
		loss: float64(f.N) / 100, duplicate: 0.1, corrupt: 0.03, delay: w.upTo(100 * time.Millisecond), jitter: w.upTo(300 * time.Millisecond),
	}
	for _, t := range targets {
		w.between(t, func(_, _ *node, p *path) { p.bad = bad })
	}
	return func() {
		for _, t := range targets {
			w.between(t, func(_, _ *node, p *path) {
				if p.bad == bad {
					p.bad = nil
				}
			})
		}
	}
}
