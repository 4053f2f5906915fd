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
	// Bar is held while gobgpd is asked for anything; nil: nobody wants to keep the speaker from it.
	Bar sync.Locker
	Log *slog.Logger
}

// External is a bgp.Speaker on a gobgpd that runs by itself. Set, Reconfigure, Seen and Touch may be called from any
// goroutine, Run once.
type External struct {
	lease   time.Duration
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
	e := &External{lease: cfg.Lease}
	var err error
	e.client, err = gobgp.New(cfg.Speaker, "", cfg.Log, gobgp.Options{
		Alive: e.alive, Silent: silentReason(cfg.Lease), Communication: cfg.Communication, Bar: cfg.Bar,
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
	if e.lease != 0 && (before == 0 || now-before > int64(e.lease)) {
		e.client.Wake() // nothing was announced meanwhile
	}
}

// alive reports whether the lease still runs.
func (e *External) alive() bool { return leaseRuns(e.lease, &e.touched) }

// leaseRuns reports whether a lease that touched renews still runs.
func leaseRuns(lease time.Duration, touched *atomic.Int64) bool {
	if lease == 0 {
		return true
	}
	at := touched.Load()
	return at != 0 && boottime()-time.Duration(at) <= lease
}

// Run implements bgp.Speaker. At the end of ctx it withdraws everything, and closes the sessions if they are ours, within two
// seconds. A gobgpd that is not there is reported and waited for; the error is always nil.
func (e *External) Run(ctx context.Context, report func(bgp.Report)) error {
	watching, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if e.lease > 0 {
		wg.Go(func() { e.watch(watching) })
	}
	err := e.client.Run(ctx, report)
	stop()
	wg.Wait()
	return err
}

// watch has the client withdraw as soon as the lease lapses.
func (e *External) watch(ctx context.Context) {
	tick := time.NewTicker(max(e.lease/10, time.Millisecond))
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
