package vrrp_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/vrrptest"
)

func TestV3_FSM_27_BestBackupTakesOverAlone(t *testing.T) {
	lan := newLAN(t, 200, 150, 100)
	lan.Run(5 * second)
	lan.Crash(lan.Nodes()[0])
	lan.steps = nil
	lan.Run(10 * second)
	for _, s := range lan.steps {
		if s.Effect.Advert && s.Node != lan.Nodes()[1] {
			t.Errorf("%s spoke at %v", s.Node.Name, s.At)
		}
	}
	if s := lan.states(); !slices.Equal(s, []vrrp.State{vrrp.Initialize, vrrp.Active, vrrp.Backup}) {
		t.Errorf("states %v", s)
	}
}

func TestV3_FSM_28_EqualPrioritiesTimeOutTogether(t *testing.T) {
	lan := newLAN(t, 200, 100, 100)
	lan.Run(5 * second)
	lan.Crash(lan.Nodes()[0])
	lan.steps = nil
	lan.Run(10 * second)
	var promoted, yielded vrrp.Instant
	promotions := 0
	for _, s := range lan.steps {
		switch s.Effect.To {
		case vrrp.Active:
			if s.Effect.Changed() {
				promotions++
				promoted = s.At
			}
		case vrrp.Backup:
			if s.Effect.Changed() {
				yielded = s.At
			}
		}
	}
	if promotions != 2 || yielded.Sub(promoted) > 2*time.Millisecond {
		t.Errorf("%d promotions, the last at %v, and one yields at %v", promotions, promoted, yielded)
	}
	if s := lan.states(); !slices.Equal(s, []vrrp.State{vrrp.Initialize, vrrp.Backup, vrrp.Active}) {
		t.Errorf("states %v: the higher address must remain", s)
	}
}

func TestV3_FSM_29_TwoOwners(t *testing.T) {
	accept(t, "owner-receives-prio255")
	lan := newLAN(t, 255, 255)
	lan.Run(5 * second)
	if s := lan.states(); !slices.Equal(s, []vrrp.State{vrrp.Backup, vrrp.Active}) {
		t.Errorf("states %v: the higher address must remain", s)
	}
	rival := slices.ContainsFunc(lan.steps, func(s vrrptest.Step) bool { return s.Effect.Rival })
	yields := slices.ContainsFunc(lan.steps, func(s vrrptest.Step) bool { return s.Effect.Cause == vrrp.CauseHigherAddress })
	if !rival || !yields {
		t.Errorf("nothing to log: rival %v, yields %v", rival, yields)
	}
}

// lan is a network of routers with ascending addresses that remembers its steps.
type lan struct {
	*vrrptest.Network
	steps []vrrptest.Step
}

// newLAN returns a LAN on which packets take a millisecond, with running routers of the priorities given.
func newLAN(t *testing.T, priorities ...uint8) *lan {
	t.Helper()
	l := &lan{Network: vrrptest.NewNetwork(vrrptest.Production, nil)}
	l.Observe = func(s *vrrptest.Step) {
		step := *s
		step.Packet = nil // the network's own
		l.steps = append(l.steps, step)
	}
	for i, p := range priorities {
		l.Add(string('a'+rune(i)), config(p), netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}))
	}
	for _, from := range l.Nodes() {
		for _, to := range l.Nodes() {
			l.Path(from, to).Delay = time.Millisecond
		}
	}
	for _, n := range l.Nodes() {
		l.Start(n)
	}
	return l
}

// states returns the state of every router; Initialize for one that is down.
func (l *lan) states() (states []vrrp.State) {
	for _, n := range l.Nodes() {
		if n.Machine == nil {
			states = append(states, vrrp.Initialize)
			continue
		}
		states = append(states, n.Machine.State())
	}
	return states
}
