package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// story plays the scenario. Each act notes the time, disturbs something, waits until the right machine serves, and is
// judged by what the client saw.
type story struct {
	ctx      context.Context
	world    *world
	narrator *narrator
	line     *timeline
	binary   string
	report   *report
	crashed  time.Time
}

// How long the story waits before it gives up on something, and how long it looks on once it has happened.
const (
	patience   = 20 * time.Second
	steadyTime = 5 * time.Second
	afterTime  = 2 * time.Second
)

// play tells the whole story. It stops at the first act that cannot be finished.
func (s *story) play(acts []func() error) error {
	for _, act := range acts {
		if err := act(); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) step(format string, args ...any) {
	s.line.add(time.Now(), "demo", "step", format, args...)
}

// pause looks on for d.
func (s *story) pause(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-t.C:
		return nil
	}
}

// anyPhase waits for up to an advertisement interval, so that what comes next falls at any phase of it.
func (s *story) anyPhase() error { return s.pause(rand.N(demoAdvert)) }

// until waits until a machine serves.
func (s *story) until(m *machine) error {
	var died error
	err := WaitFor(s.ctx, patience, m.name+" to serve alone", func() bool {
		died = s.world.died()
		return died != nil || s.narrator.serves(m)
	})
	return errors.Join(died, err)
}

// judge adds a line to the table: v with what the client has seen since.
func (s *story) judge(since time.Time, v verdict) {
	now := time.Now()
	v.Outage = s.world.probe.Longest(since, now)
	v.Serving = s.world.probe.Health(answerTimeout).Node
	s.report.verdicts = append(s.report.verdicts, v)
}

// act disturbs by way of do and waits until m serves; the outage since is judged as v says.
func (s *story) act(m *machine, v verdict, do func() (time.Time, error)) error {
	at, err := do()
	if err != nil {
		return err
	}
	err = s.until(m)
	if err == nil {
		err = s.pause(afterTime)
	}
	if err == nil || errors.Is(err, ErrTimeout) {
		v.Expected = m.name
		s.judge(at, v)
	}
	return err
}

func (s *story) start() error {
	w := s.world
	s.step("start: the upstream, and failoverd on m1 (priority 200), m2 (150) and hk (100)%s", w.beside())
	up, err := w.up.StartUpstream([]string{s.binary, "demo-upstream"}, nil, upstreamConfig(w.machines))
	if err != nil {
		return err
	}
	w.upstream.Store(up)
	for _, m := range w.agents() {
		if err := w.boot(m, s.binary); err != nil {
			return err
		}
	}
	return s.until(w.machine("m1"))
}

func (s *story) steady() error {
	s.step("steady state for %.0f s", steadyTime.Seconds())
	at := time.Now()
	if err := s.pause(steadyTime); err != nil {
		return err
	}
	s.judge(at, verdict{Event: "steady state", Expected: "m1"})
	return s.anyPhase()
}

func (s *story) crash() error {
	m1, m2 := s.world.machine("m1"), s.world.machine("m2")
	v := verdict{
		Event: "crash of m1, the mainland's master", Bound: m2.activeDown(), Least: m2.activeDown() - demoAdvert, Margin: demoMargin,
		Theory: fmt.Sprintf("the upstream drops the route with the connection; m2 takes over 3 x %.0f s + (256-%d)/256 s after m1's last advertisement",
			demoAdvert.Seconds(), m2.priority),
	}
	return s.act(m2, v, func() (time.Time, error) {
		s.step("crash: SIGKILL to failoverd and its speaker on m1")
		s.crashed = time.Now()
		return s.crashed, s.world.kill(m1)
	})
}

// repair starts the crashed agent again. First it waits for the end of the address that the agent left behind.
func (s *story) repair() error {
	m1 := s.world.machine("m1")
	check := &leaseCheck{bound: demoLease + leaseSlop}
	gone := func() bool {
		has, err := m1.node.HasAddress(demoVIP)
		return err == nil && !has
	}
	s.report.lease = check
	if err := WaitFor(s.ctx, patience, "the end of the address's lease on m1", gone); err != nil {
		return err
	}
	check.gone = s.addressGone(m1)
	v := verdict{
		Event: "m1 returns", Bound: handover, Margin: demoMargin,
		Theory: "m1 claims the role once its BGP session is up; m2 withdraws while m1 programs the address and announces",
	}
	err := s.act(m1, v, func() (time.Time, error) {
		s.step("repair: failoverd starts again on m1")
		return time.Now(), s.world.boot(m1, s.binary)
	})
	if err != nil {
		return err
	}
	return s.anyPhase()
}

// addressGone returns how long after the crash the machine lost the virtual address.
func (s *story) addressGone(m *machine) time.Duration {
	for _, c := range m.watch.Changes() {
		if c.Kind == AddressRemoved && c.Prefix.Addr() == demoVIP && c.At.After(s.crashed) {
			return c.At.Sub(s.crashed.Round(0))
		}
	}
	return time.Since(s.crashed)
}

func (s *story) powerCut() error {
	hk := s.world.machine("hk")
	bound, cause := hk.activeDown(), fmt.Sprintf("hk's 3 x %.0f s + (256-%d)/256 s", demoAdvert.Seconds(), hk.priority)
	if demoHold > bound {
		bound, cause = demoHold, "the upstream's hold time"
	}
	v := verdict{
		Event: "power cut of the whole mainland", Bound: bound, Least: hk.activeDown() - demoAdvert, Margin: demoMargin,
		Theory: fmt.Sprintf("the longer of hk's takeover (%s) and the upstream's hold time (%s): %s", seconds(hk.activeDown()), seconds(demoHold), cause),
	}
	return s.act(hk, v, func() (time.Time, error) {
		s.step("power cut: m1 and m2 fall silent in the same instant, without a FIN or a last advertisement")
		return s.world.powerCut(s.mainland())
	})
}

func (s *story) mainland() []*machine {
	return []*machine{s.world.machine("m1"), s.world.machine("m2")}
}

// powerReturn brings the mainland back. A reboot takes longer than a hold time, so the upstream has given up the old
// sessions by then.
func (s *story) powerReturn() error {
	for _, m := range s.mainland() {
		if err := WaitFor(s.ctx, patience, "the upstream to give up on "+m.name, func() bool { return s.sessionEnded(m) }); err != nil {
			return err
		}
	}
	v := verdict{
		Event: "return of the mainland", Bound: handover, Margin: demoMargin,
		Theory: "hk withdraws while m1, whose BGP session is up, programs the address and announces",
	}
	return s.act(s.world.machine("m1"), v, s.bootMainland)
}

// bootMainland gives the mainland its power back, and returns when that was.
func (s *story) bootMainland() (time.Time, error) {
	s.step("power returns on the mainland: m1 and m2 boot")
	at := time.Now()
	err := s.world.powerOn(s.mainland())
	for _, m := range s.mainland() {
		err = errors.Join(err, s.world.boot(m, s.binary))
	}
	return at, err
}

// sessionEnded reports whether the upstream has given up its session with a machine. The wire does not show it: the
// NOTIFICATION waits behind data that nobody acknowledges.
func (s *story) sessionEnded(m *machine) bool {
	all := s.world.sessions()
	return len(all) > 0 && !wasUp(all, m.peering)
}
