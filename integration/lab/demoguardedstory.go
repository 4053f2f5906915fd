package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"failoverd/failover"
)

// cutTime is how long the path between the regions stays cut: longer than a takeover would need.
const cutTime = demoTakeover + 2*time.Second

// pathCut cuts the path between the regions and looks on: the mainland is acknowledged by the witness, and Hong Kong, which
// hears nobody, hears from the witness that the mainland lives.
func (s *story) pathCut() error {
	w, hk := s.world, s.world.machine("hk")
	there, back := Flow{demoMainland, demoHongKong}, Flow{demoHongKong, demoMainland}
	s.step("cut of the path between the regions for %.1f s; the witness still reaches both", cutTime.Seconds())
	at := time.Now()
	if err := w.wan.Block(there, back); err != nil {
		return err
	}
	err := s.pause(cutTime)
	if err == nil {
		err = s.whyNot(hk)
	}
	s.step("the path is back")
	if err = errors.Join(err, w.wan.Unblock(there, back)); err != nil {
		return err
	}
	if err := s.pause(afterTime); err != nil {
		return err
	}
	s.judge(at, verdict{
		Event: "cut of the path between the regions", Expected: "m1",
		Theory: "nothing happens: one witness that hears the mainland is enough for it to go on, and for Hong Kong to keep still",
	})
	return s.anyPhase()
}

// whyNot tells what a machine says keeps it from taking over. That it says nothing is an error.
func (s *story) whyNot(m *machine) error {
	watch, err := s.watched(m)
	if err != nil {
		return err
	}
	if watch.Held == "" {
		return fmt.Errorf("%s does not say what holds its takeover back", m.name)
	}
	s.line.add(time.Now(), m.name, "watch", "stays %s: %s", s.narrator.state(m.name), watch.Held)
	s.line.add(time.Now(), m.name, "watch", "votes: %s", ballots(watch.Votes))
	return nil
}

// watched returns what a machine says of the site that it watches.
func (s *story) watched(m *machine) (*failover.WatchStatus, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	snap, err := m.status.Get(ctx)
	if err != nil {
		return nil, err
	}
	if len(snap.Watches) != 1 {
		return nil, fmt.Errorf("%s watches %d sites, want 1", m.name, len(snap.Watches))
	}
	return &snap.Watches[0], nil
}

// ballots prints votes, each with its reason.
func ballots(votes []failover.Vote) string {
	out := make([]string, len(votes))
	for i, v := range votes {
		if out[i] = v.Name + " says " + v.Says; v.Reason != "" {
			out[i] += " (" + v.Reason + ")"
		}
	}
	return strings.Join(out, ", ")
}

// siteDies is the power cut in the guarded scenario. Its bound is the one that the watcher prints itself.
func (s *story) siteDies() error {
	hk := s.world.machine("hk")
	bound, theory, err := s.printed(hk, failover.SitePower)
	if err != nil {
		return err
	}
	v := verdict{
		Event: "power cut of the whole mainland", Bound: bound, Least: demoTakeover - max(demoHeartbeat, demoAdvert), Margin: demoMargin,
		Theory: "failoverd rto on hk, site power: " + theory,
	}
	return s.act(hk, v, func() (time.Time, error) {
		s.step("power cut: m1 and m2 fall silent in the same instant, without a FIN or a last advertisement")
		return s.world.powerCut(s.mainland())
	})
}

// printed returns the bound for a failure that a machine's agent has worked out from its configuration, and its terms.
func (s *story) printed(m *machine, failure string) (time.Duration, string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	snap, err := m.status.Get(ctx)
	if err != nil {
		return 0, "", err
	}
	for i := range snap.Recovery {
		r := &snap.Recovery[i]
		if r.Failure != failure || r.TotalMS == nil {
			continue
		}
		terms := make([]string, len(r.Terms))
		for j, t := range r.Terms {
			terms[j] = fmt.Sprintf("%s %.1f s", t.Name, t.MS/1000)
		}
		return time.Duration(*r.TotalMS * float64(time.Millisecond)), strings.Join(terms, " + "), nil
	}
	return 0, "", fmt.Errorf("%s prints no bound for %s", m.name, failure)
}

// siteReturns is the return in order. Hong Kong goes on serving until the mainland's route is there, so no probe is lost.
func (s *story) siteReturns() error {
	for _, m := range s.mainland() {
		if err := WaitFor(s.ctx, patience, "the upstream to give up on "+m.name, func() bool { return s.sessionEnded(m) }); err != nil {
			return err
		}
	}
	v := verdict{
		Event: "return of the mainland, in order",
		Theory: fmt.Sprintf("m1 has its session and has been all right for failback_clean %.0f s; hk marks its route, serves on for handover_overlap %.0f s, withdraws, then lets the address go",
			demoClean.Seconds(), demoOverlap.Seconds()),
	}
	at, err := s.bootMainland()
	if err == nil {
		err = s.until(s.world.machine("m1"))
	}
	if err == nil {
		err = s.lettingGo(s.world.machine("hk"))
	}
	if err == nil || errors.Is(err, ErrTimeout) {
		v.Expected = "m1"
		s.judge(at, v)
	}
	return err
}

// lettingGo waits until a machine that has given the role away has let go of the address, too, and looks on.
func (s *story) lettingGo(m *machine) error {
	err := WaitFor(s.ctx, patience, "the address to go from "+m.name, func() bool {
		has, err := m.node.HasAddress(demoVIP)
		return err == nil && !has
	})
	if err != nil {
		return err
	}
	return s.pause(afterTime)
}
