package vrrptest

import (
	"net/netip"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Machine is what a node runs: *vrrp.Router, or an *Oracle in its place.
type Machine interface {
	Startup(now vrrp.Instant) vrrp.Effect
	Shutdown(now vrrp.Instant) vrrp.Effect
	Expire(now vrrp.Instant) vrrp.Effect
	Receive(now vrrp.Instant, p *wire.Packet) (vrrp.Effect, wire.DropReason)
	SetJoint(joint bool)
	Promote(now vrrp.Instant) vrrp.Effect
	Demote(now vrrp.Instant, patience time.Duration) vrrp.Effect
	Advertisement(a *wire.Advertisement, priority uint8)
	State() vrrp.State
	Deadline() vrrp.Instant
	Priority() uint8
	LearnedInterval() wire.Centiseconds
}

var (
	_ Machine = (*vrrp.Router)(nil)
	_ Machine = (*Oracle)(nil)
)

// Decoder reads a packet: wire.Parse, or a wrong version of it.
type Decoder func(b []byte, h wire.Header, p *wire.Packet) wire.DropReason

// Factory makes the machine and the decoder of a node that starts. It gets the node's position among its peers.
type Factory func(node int, cfg vrrp.Config, source netip.Addr) (Machine, Decoder, error)

// Production is the Factory of the code that is delivered.
func Production(_ int, cfg vrrp.Config, source netip.Addr) (Machine, Decoder, error) {
	r, err := vrrp.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	r.SetSource(source)
	return r, wire.Parse, nil
}

// Snapshot is the observable state of a machine: all that a refused packet must leave alone.
type Snapshot struct {
	State    vrrp.State
	Deadline vrrp.Instant
	Priority uint8
	Learned  wire.Centiseconds
	Heard    vrrp.Heard // zero for a machine that does not tell
}

func snapshot(m Machine) Snapshot {
	s := Snapshot{State: m.State(), Deadline: m.Deadline(), Priority: m.Priority(), Learned: m.LearnedInterval()}
	if h, ok := m.(interface{ Heard() vrrp.Heard }); ok {
		s.Heard = h.Heard()
	}
	return s
}
