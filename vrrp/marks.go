package vrrp

import (
	"net/netip"

	"failoverd/vrrp/wire"
)

// maxSenders is how many senders that are not configured as peers a router remembers. A LAN with more routers of one VRID
// than this does not exist.
const maxSenders = 16

// marks holds the last sequence number accepted from each sender. Peers have a place of their own; all others share
// maxSenders places, of which the one that was not used for the longest time is given away. Only what has proved to come
// from a sender may touch it, so that nobody else can make it forget.
type marks struct {
	list []mark // the peers first
	uses uint64
}

type mark struct {
	sender   netip.Addr // zero: a place that is free
	sequence wire.Sequence
	known    bool   // something was accepted
	peer     bool   // the place is the peer's for good
	used     uint64 // when it was set, in order
}

// adopt makes places for the peers. What is known of anybody stays, as far as there is room.
func (m *marks) adopt(lists ...[]Peer) {
	old := m.list
	m.list = nil
	for _, peers := range lists {
		for _, p := range peers {
			m.list = append(m.list, mark{sender: p.Address.WithZone(""), peer: true})
		}
	}
	m.list = append(m.list, make([]mark, maxSenders)...)
	for _, o := range old {
		if !o.known {
			continue
		}
		if to := m.place(o.sender); !to.known || to.used < o.used {
			to.sender, to.sequence, to.known, to.used = o.sender, o.sequence, true, o.used
		}
	}
}

// of returns the last sequence number accepted from a sender.
func (m *marks) of(sender netip.Addr) (wire.Sequence, bool) {
	for i := range m.list {
		if m.list[i].sender == sender {
			return m.list[i].sequence, m.list[i].known
		}
	}
	return 0, false
}

// set notes the last sequence number accepted from a sender.
func (m *marks) set(sender netip.Addr, n wire.Sequence) {
	m.uses++
	to := m.place(sender)
	to.sender, to.sequence, to.known, to.used = sender, n, true, m.uses
}

// place returns the place of a sender, or the one that it is to have: a free one, or the one that was not used for the
// longest time.
func (m *marks) place(sender netip.Addr) *mark {
	var oldest *mark
	for i := range m.list {
		k := &m.list[i]
		switch {
		case k.sender == sender:
			return k
		case k.peer:
		case oldest == nil || k.used < oldest.used: // a free one has never been used
			oldest = k
		}
	}
	return oldest
}
