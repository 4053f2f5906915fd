package integration

import (
	"net/netip"
	"time"

	"failoverd/integration/lab"
)

// span is a stretch of time; a zero To has not ended.
type span struct{ From, To time.Time }

// clip returns the part of a span between two times, and whether there is one.
func (s span) clip(from, to time.Time) (span, bool) {
	if s.To.IsZero() || s.To.After(to) {
		s.To = to
	}
	if s.From.Before(from) {
		s.From = from
	}
	return s, s.From.Before(s.To)
}

// spansOf reads from the changes of a kernel for how long something was there.
func spansOf(changes []lab.Change, prefix netip.Prefix, came, went lab.ChangeKind) (out []span) {
	open := false
	for _, c := range changes {
		switch {
		case c.Prefix != prefix:
		case c.Kind == came && !open:
			out, open = append(out, span{From: c.At}), true
		case c.Kind == went && open:
			out[len(out)-1].To, open = c.At, false
		}
	}
	return out
}

// without removes from spans the time that lies in others.
func without(list, others []span) []span {
	for _, o := range others {
		var rest []span
		for _, s := range list {
			if o.From.After(s.From) && (s.To.IsZero() || o.From.Before(s.To)) {
				rest = append(rest, span{s.From, o.From})
			}
			switch {
			case !s.To.IsZero() && !s.To.After(o.From): // before it
				rest = append(rest, s)
			case o.To.IsZero(): // it never ends
			case s.To.IsZero() || s.To.After(o.To):
				from := o.To
				if s.From.After(from) {
					from = s.From
				}
				rest = append(rest, span{from, s.To})
			}
		}
		list = rest
	}
	return list
}

// together returns the longest time between from and to that lies in spans of both lists.
func together(a, b []span, from, to time.Time) (longest time.Duration) {
	for _, x := range a {
		x, ok := x.clip(from, to)
		if !ok {
			continue
		}
		for _, y := range b {
			if both, ok := y.clip(x.From, x.To); ok {
				longest = max(longest, both.To.Sub(both.From))
			}
		}
	}
	return longest
}

// addressSpans returns when a machine that had power held the service's address.
func (m *machine) addressSpans() []span {
	vip := netip.PrefixFrom(netip.MustParseAddr(regionVIP), 32)
	return without(spansOf(m.watch.Changes(), vip, lab.AddressAdded, lab.AddressRemoved), m.off)
}

// routeSpans returns when an upstream had a route to the service.
func routeSpans(w *lab.Watch) []span {
	changes := w.Changes()
	for i := range changes {
		if changes[i].Kind == lab.RouteAdded && !toCustomer(changes[i]) {
			changes[i].Kind = lab.RouteRemoved
		}
	}
	return spansOf(changes, netip.MustParsePrefix(service), lab.RouteAdded, lab.RouteRemoved)
}

// bothAddresses returns the longest time within which machines of both sites held the address.
func (r *region) bothAddresses(from, to time.Time) time.Duration {
	hk := r.hk.addressSpans()
	return max(together(r.m1.addressSpans(), hk, from, to), together(r.m2.addressSpans(), hk, from, to))
}

// bothRoutes returns the longest time within which both upstreams had a route.
func (r *region) bothRoutes(from, to time.Time) time.Duration {
	return together(routeSpans(r.internet.watchM), routeSpans(r.internet.watchK), from, to)
}
