package daemon

import (
	"os"
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// Snapshots are published after a change, but not more often than snapshotGap or than takes a twentieth of the loop's
// time, and at least every snapshotMax. One that took long because the machine stood still does not make the next one wait
// for longer than snapshotWorst: what people see would be old for as long.
const (
	snapshotGap   = 20 * time.Millisecond
	snapshotMax   = time.Second
	snapshotWorst = 2 * time.Second
)

// publisher is the part of the loop that is about its snapshots.
type publisher struct {
	snapshotAt vrrp.Instant // a snapshot is due then
	soonest    vrrp.Instant // and not before
	lateMax    time.Duration
	batches    uint64
	bootID     string // constant
}

// publishSoon asks for a snapshot after a change.
func (p *publisher) publishSoon(now vrrp.Instant) {
	p.snapshotAt = min(p.snapshotAt, max(now, p.soonest))
}

// took plans the next snapshots after one that was begun at now.
func (p *publisher) took(now vrrp.Instant, d time.Duration) {
	gap := min(20*d, snapshotWorst)
	p.soonest, p.snapshotAt = now.Add(max(snapshotGap, gap)), now.Add(max(snapshotMax, gap))
}

// published is a snapshot with the configuration that it is about. Both are immutable.
type published struct {
	snapshot *failover.Snapshot
	cfg      *failover.Config
}

// mergePartners adds what the sockets know of partners to what the core does. Both know them by their IDs.
func mergePartners(core, sockets []failover.PartnerStatus) []failover.PartnerStatus {
	for _, s := range sockets {
		i := slices.IndexFunc(core, func(c failover.PartnerStatus) bool { return c.ID == s.ID })
		if i < 0 {
			core = append(core, s)
			continue
		}
		c := &core[i]
		c.Kind, c.Address, c.Sent, c.Outcomes, c.Refused, c.Error = s.Kind, s.Address, s.Sent, s.Outcomes, s.Refused, s.Error
		if s.RTTMS != nil {
			c.RTTMS = s.RTTMS
		}
	}
	return core
}

// publish builds a snapshot and makes it the one that readers see.
func (l *loop) publish(now vrrp.Instant) {
	s := l.core.Snapshot(now, wallClock())
	s.Version, s.BootID, s.PID = l.agent.opts.Version, l.bootID, os.Getpid()
	s.Config.File, s.Config.LoadedAt, s.Config.Reloads = l.agent.opts.File, l.loaded.at, l.loaded.reloads
	s.Config.ConfigID = l.agent.configID()
	s.Config.LastError, s.Config.LastErrorAt, s.Config.LastFailed = l.loaded.lastError, l.loaded.errorAt, l.loaded.failed
	s.Links = l.links.describe()
	l.health.Describe(s.Checks)
	partners, listeners := l.witness.Describe()
	s.Partners, s.Listeners = mergePartners(s.Partners, partners), listeners
	s.Agent.LoopLateMillis = float64(l.lateMax.Microseconds()) / 1000
	s.Agent.PacketsDropped, s.Agent.Batches = l.agent.lost.Load(), l.batches
	l.agent.journal.describe(&s.Agent)
	l.agent.recording.describe(&s.Agent)
	l.agent.published.Store(&published{s, l.core.Config()})
	l.took(now, monotonic().Sub(now))
}
