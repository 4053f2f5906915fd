package speaker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// ExternalConfig is a speaker that is a gobgpd of somebody else's.
type ExternalConfig struct {
	Speaker bgp.SpeakerConfig // with External
	// Lease is how long Touch may fail to come before everything is withdrawn; 0: for ever. It is this process that
	// withdraws: when all of it is dead or frozen, gobgpd goes on announcing.
	Lease time.Duration
	// Communication is said to the neighbors at the orderly end, at most 128 octets; empty: "failoverd stops". An
	// operator's gobgpd keeps its sessions.
	Communication string
	// GoesOn says that gobgpd works for a program of this configuration whose place this one takes: see gobgp.Options.Adopted.
	GoesOn bool
	// Known and Placed remember which paths of gobgpd's table are ours: see gobgp.Options.
	Known  func() []gobgp.Placed
	Placed func([]gobgp.Placed)
	// Leftover is told of routes that gobgpd does not withdraw, and that they are gone after all; nil: nobody is. It may be called from two
	// goroutines at once.
	Leftover func(Leftover)
	// Bar is held while gobgpd is asked for anything; nil: nobody wants to keep the speaker from it. See gobgp.Options for what
	// does not wait for it.
	Bar gobgp.Bar
	Log *slog.Logger
}

// Leftover is what a gobgpd may still announce though nobody wants it.
type Leftover struct {
	Speaker  string
	Prefixes []netip.Prefix // sorted
	// Gone: gobgpd does not announce them any more.
	Gone   bool
	Reason string
}

// External is a bgp.Speaker on a gobgpd that runs by itself. Set, Reconfigure, Seen and Touch may be called from any
// goroutine, Run once.
type External struct {
	cfg     ExternalConfig
	client  *gobgp.Client
	touched atomic.Int64 // boot clock, the last Touch; 0: none yet
}

var _ bgp.Speaker = (*External)(nil)

// NewExternal checks cfg and returns a speaker that has not connected to anything yet.
func NewExternal(cfg ExternalConfig) (*External, error) {
	if cfg.Speaker.External == nil {
		return nil, fmt.Errorf("speaker %s: no gobgpd to speak to", cfg.Speaker.Name)
	}
	if cfg.Communication == "" {
		cfg.Communication = defaultCommunication
	}
	if cfg.Leftover == nil {
		cfg.Leftover = func(Leftover) {}
	}
	e := &External{cfg: cfg}
	var err error
	e.client, err = gobgp.New(cfg.Speaker, "", cfg.Log, gobgp.Options{
		Alive: e.alive, Silent: silentReason(cfg.Lease), Communication: cfg.Communication, Known: cfg.Known, Placed: cfg.Placed, Bar: cfg.Bar,
		Adopted: cfg.GoesOn,
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Set implements bgp.Speaker.
func (e *External) Set(d bgp.Desired) { e.client.Set(d) }

// Reconfigure changes over to cfg while the connection stays: see gobgp.Client.Reconfigure.
func (e *External) Reconfigure(cfg bgp.SpeakerConfig) bool { return e.client.Reconfigure(cfg) }

// Seen returns the paths that neighbors have sent for a prefix: see gobgp.Client.Seen. Any goroutine may call it.
func (e *External) Seen(ctx context.Context, prefix netip.Prefix) (bgp.Sighting, error) {
	return e.client.Seen(ctx, prefix)
}

// Touch says that the agent's loop is alive: see Supervised.Touch.
func (e *External) Touch() {
	now := int64(boottime())
	before := e.touched.Swap(now)
	if e.cfg.Lease != 0 && (before == 0 || now-before > int64(e.cfg.Lease)) {
		e.client.Wake() // nothing was announced meanwhile
	}
}

// alive reports whether the lease still runs.
func (e *External) alive() bool { return leaseRuns(e.cfg.Lease, &e.touched) }

// leaseRuns reports whether a lease that touched renews still runs.
func leaseRuns(lease time.Duration, touched *atomic.Int64) bool {
	if lease == 0 {
		return true
	}
	at := touched.Load()
	return at != 0 && boottime()-time.Duration(at) <= lease
}

// Run implements bgp.Speaker. At the end of ctx it withdraws everything, and closes the sessions if they are ours, within two
// seconds; what gobgpd has not confirmed by then is told to Leftover. A gobgpd that is not there is reported and waited for; the
// error is always nil.
func (e *External) Run(ctx context.Context, report func(bgp.Report)) error {
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if e.cfg.Lease > 0 {
		wg.Go(func() { e.watch(watching) })
	}
	wg.Go(func() { e.watchDebt(watching) })
	err := e.client.Run(ctx, report)
	stop()
	wg.Wait()
	if left := e.client.Left(); len(left) > 0 {
		e.leftover(left, false, "gobgpd has not confirmed that they are withdrawn, and this speaker has ended")
	}
	return err
}

func (e *External) leftover(prefixes []netip.Prefix, gone bool, reason string) {
	e.cfg.Leftover(Leftover{Speaker: e.cfg.Speaker.Name, Prefixes: prefixes, Gone: gone, Reason: reason})
}

// watchDebt tells of withdrawals that gobgpd does not confirm in time, until ctx ends: it cannot be killed for that, as a
// process of ours is.
func (e *External) watchDebt(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var late patience
	var told []netip.Prefix
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		debt := e.client.Debt()
		unpaid := late.owes(debt, gobgp.StopWithin)
		switch {
		case unpaid && told == nil:
			told = e.client.Owed()
			e.leftover(told, false, fmt.Sprintf("gobgpd has not confirmed within %v that they are withdrawn; it is asked again and again", gobgp.StopWithin))
		case debt == 0 && told != nil:
			e.leftover(told, true, "")
			told = nil
		}
	}
}

// watch has the client withdraw as soon as the lease lapses.
func (e *External) watch(ctx context.Context) {
	tick := time.NewTicker(max(e.cfg.Lease/10, time.Millisecond))
	defer tick.Stop()
	alive := e.alive()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if was := alive; was != e.alive() {
			alive = !was
			e.client.Wake()
		}
	}
}
