package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"failoverd/integration/lab"
)

// stretch is a piece of time.
type stretch struct{ from, to time.Time }

// figures is what one repetition of a row came to.
type figures struct {
	outage time.Duration // the longest, as the client saw it
	open   bool          // it was not over
	owners time.Duration // two nodes had the address in their kernels
	stale  time.Duration // a had the address and no agent that runs
	kept   bool          // it still had it at the end
	route  time.Duration // the upstream's route led to a, which had no agent that runs
}

// held returns when a node had something, as its kernel told, from one moment to another.
func held(w *lab.Watch, from, to time.Time, gained, lost func(*lab.Change) bool) (out []stretch) {
	var since time.Time
	clip := func(end time.Time) {
		if s := (stretch{maxTime(since, from), minTime(end, to)}); s.from.Before(s.to) {
			out = append(out, s)
		}
		since = time.Time{}
	}
	for _, c := range w.Changes() {
		switch {
		case gained(&c) && since.IsZero():
			since = c.At
		case lost(&c) && !since.IsZero():
			clip(c.At)
		}
	}
	if !since.IsZero() {
		clip(to)
	}
	return out
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// owned returns when a node had the virtual address.
func (r *rig) owned(node string, from, to time.Time) []stretch {
	is := func(k lab.ChangeKind) func(*lab.Change) bool {
		return func(c *lab.Change) bool { return c.Kind == k && c.Prefix.Addr() == r.vip }
	}
	return held(r.watch[node], from, to, is(lab.AddressAdded), is(lab.AddressRemoved))
}

// led returns when the upstream's route led to a.
func (r *rig) led(from, to time.Time) []stretch {
	prefix, a := netip.MustParsePrefix(service), netip.MustParseAddr("192.0.2.1")
	return held(r.watch["c"], from, to,
		func(c *lab.Change) bool { return c.Kind == lab.RouteAdded && c.Prefix == prefix && c.Gateway == a },
		func(c *lab.Change) bool {
			return c.Prefix == prefix && (c.Kind == lab.RouteRemoved || c.Kind == lab.RouteAdded) && c.Gateway != a || c.Prefix == prefix && c.Kind == lab.RouteRemoved
		})
}

// twice returns for how long at least two of the lists hold at once.
func twice(lists ...[]stretch) (sum time.Duration) {
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for _, list := range lists {
		for _, s := range list {
			edges = append(edges, edge{s.from, 1}, edge{s.to, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return a.at.Compare(b.at) })
	n := 0
	for i, e := range edges {
		if n >= 2 {
			sum += e.at.Sub(edges[i-1].at)
		}
		n += e.by
	}
	return sum
}

// lasts returns for how long after a moment the first of the spans that contains it goes on; zero when none does.
func lasts(list []stretch, at time.Time) time.Duration {
	for _, s := range list {
		if !s.from.After(at) && s.to.After(at) {
			return s.to.Sub(at)
		}
	}
	return 0
}

// measure sums up what happened from the fault to now. dead: a had no agent from the fault to revived, or to now if that is zero.
func (r *rig) measure(at time.Time, dead bool, revived time.Time) figures {
	time.Sleep(260 * time.Millisecond) // the last probes may be on their way
	now := time.Now()
	var f figures
	for _, o := range r.probe.Outages(at.Add(-20*time.Millisecond), now) {
		if d := o.Duration() - o.Blind; d > f.outage {
			f.outage, f.open = d, o.Open && d > faultSlack // a probe that is late is not an outage
		}
	}
	f.owners = twice(r.owned("a", at, now), r.owned("b", at, now), r.owned("d", at, now))
	if dead {
		end := now
		if !revived.IsZero() {
			end = revived
		}
		f.stale = lasts(r.owned("a", at, end), at)
		f.kept = revived.IsZero() && f.stale >= now.Sub(at)
		if r.kind == edgeRig {
			f.route = lasts(r.led(at, end), at)
		}
	}
	return f
}

// tally is what all repetitions of a row came to.
type tally struct {
	outage, owners, stale, route []time.Duration
	open, kept                   bool
	made, beyond                 int // repetitions, and those that were beyond a limit at first
	back                         int // times that a was back in time
}

// tooRarely reports whether a was back in time in less than half of the times.
func (y *tally) tooRarely() bool { return 2*y.back < len(y.outage) }

// tooOften reports whether more than one repetition in ten was beyond a limit. A single one never is too often.
func (y *tally) tooOften() bool { return y.beyond > 1 && 10*y.beyond > y.made }

func (y *tally) add(f figures) {
	y.outage, y.owners = append(y.outage, f.outage), append(y.owners, f.owners)
	y.stale, y.route = append(y.stale, f.stale), append(y.route, f.route)
	y.open, y.kept = y.open || f.open, y.kept || f.kept
}

// cell is "median / longest" in seconds; over: the longest was cut short by the end of the observation.
func cell(list []time.Duration, over bool) string {
	if len(list) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(list))
	last := sorted[len(sorted)-1]
	more := ""
	if over {
		more = "> "
	}
	if last < time.Millisecond {
		return "0"
	}
	s := fmt.Sprintf("%s%.3f", more, last.Seconds())
	if len(sorted) > 1 {
		s = fmt.Sprintf("%.3f / %s", sorted[len(sorted)/2].Seconds(), s)
	}
	return strings.TrimSuffix(s, " ")
}
