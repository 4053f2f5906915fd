package daemon

import (
	"log/slog"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// takeoversName is the file that remembers takeovers of watched sites over restarts: a restart of the agent is no reason to
// take over more often than hold_down and damping allow.
const takeoversName = "takeovers.json"

// savedTakeovers is what that file holds.
type savedTakeovers struct {
	Version   int             `json:"version"` // 1
	Takeovers []savedTakeover `json:"takeovers"`
}

type savedTakeover struct {
	WatchSite string `json:"watch_site"`
	// Last is when the last one was, on both clocks: the monotonic one, in nanoseconds, counts while the machine has not
	// started anew, and no step of the wall clock moves it.
	Last       time.Time `json:"last"`
	LastMonoNS int64     `json:"last_mono_ns"`
	BootID     string    `json:"boot_id"`
	Penalty    float64   `json:"penalty"` // at that time
	Latched    bool      `json:"latched,omitempty"`
	Returned   bool      `json:"site_returned,omitempty"`
}

// takeoverKeeper is a keeper of the takeovers.
type takeoverKeeper struct {
	*keeper
	bootID string
	kept   uint64 // failover.Core.TakeoversChanged of what was kept last; owned by the loop
}

func newTakeoverKeeper(dir, bootID string, log *slog.Logger) *takeoverKeeper {
	return &takeoverKeeper{keeper: newKeeper(dir, takeoversName, "takeovers", log), bootID: bootID}
}

// load returns what an earlier agent knew. One in the future, after a step of the wall clock, was just now: it holds the next
// one back for as long as the configuration says, and no longer.
func (k *takeoverKeeper) load(now vrrp.Instant, wall time.Time) (list []failover.Takeovers) {
	var saved savedTakeovers
	if !k.read(&saved, &saved.Version) {
		return nil
	}
	for _, s := range saved.Takeovers {
		last := vrrp.Instant(s.LastMonoNS)
		if k.bootID == "" || s.BootID != k.bootID {
			last = now.Add(s.Last.Sub(wall))
		}
		list = append(list, failover.Takeovers{
			Watch: s.WatchSite, Last: min(last, now), Penalty: s.Penalty, Latched: s.Latched, Returned: s.Returned,
		})
	}
	return list
}

// keep has the takeovers written, if they have changed since the last time.
func (k *takeoverKeeper) keep(core *failover.Core, now vrrp.Instant, wall time.Time) {
	if core.TakeoversChanged() == k.kept {
		return
	}
	k.kept = core.TakeoversChanged()
	saved := savedTakeovers{Version: keeperVersion, Takeovers: []savedTakeover{}}
	for _, t := range core.Takeovers() {
		saved.Takeovers = append(saved.Takeovers, savedTakeover{
			WatchSite: t.Watch, Last: wall.Add(t.Last.Sub(now)).UTC(), LastMonoNS: int64(t.Last), BootID: k.bootID,
			Penalty: t.Penalty, Latched: t.Latched, Returned: t.Returned,
		})
	}
	k.put(&saved)
}
