package failover

import (
	"net/netip"
	"slices"

	"failoverd/vrrp"
)

// mostStrangers is how many of them a router remembers: anybody can make up any number of sources.
const mostStrangers = 4

// strangers are the newest sources of unicast advertisements that are not peers of a router, the newest one last. A peer that is
// missing in the configuration, or sends from another address, is among them.
type strangers []stranger

type stranger struct {
	source  netip.Addr
	packets uint64 // while it is remembered
	last    vrrp.Instant
}

// note takes note of an advertisement that was refused because of its source.
func (s *strangers) note(now vrrp.Instant, source netip.Addr) {
	x := stranger{source: source}
	if i := slices.IndexFunc(*s, func(x stranger) bool { return x.source == source }); i >= 0 {
		x = (*s)[i]
		*s = slices.Delete(*s, i, i+1)
	} else if len(*s) == mostStrangers {
		*s = slices.Delete(*s, 0, 1)
	}
	x.packets, x.last = x.packets+1, now
	*s = append(*s, x)
}

// describe lists them, the newest one first.
func (s strangers) describe(now vrrp.Instant) (list []StrangerStatus) {
	for _, x := range slices.Backward(s) {
		list = append(list, StrangerStatus{Source: x.source, Packets: x.packets, MSAgo: millis(now.Sub(x.last))})
	}
	return list
}
