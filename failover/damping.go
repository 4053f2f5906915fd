package failover

import (
	"fmt"
	"time"

	"failoverd/vrrp"
)

// damping limits how often a watcher takes over (safety.md, J and K).
type damping struct {
	took     vrrp.Instant // the last takeover; 0: none
	penalty  float64      // at the instant took
	latched  bool
	returned bool // the site has been heard since
	restored bool // an earlier run of the agent took over, and this one has not
}

// perTakeover is what a takeover adds to the penalty.
const perTakeover = 1000

// at returns the penalty now.
func (d *damping) at(now vrrp.Instant, halfLife time.Duration) float64 {
	if d.took == 0 || halfLife <= 0 {
		return 0
	}
	return d.penalty * halved(now.Sub(d.took), halfLife)
}

// episodeSpan is within what time several routers take over for the same reason: their timers differ by an interval and their
// skews.
const episodeSpan = 5 * time.Second

// sameEpisode reports whether a takeover at now is for the reason that the last one was for: the site, heard at heard last, has
// not been heard since. All routers that watch it go one after the other. An agent that has started meanwhile has not heard it
// either, nor had the one before.
func (w *watch) sameEpisode(now, heard vrrp.Instant) bool {
	return w.took != 0 && (heard <= w.took || now.Sub(w.took) <= episodeSpan || w.restored && !w.returned && heard <= w.since)
}

// noteReturn takes note that the site, heard at heard last, has been heard since the last takeover.
func (c *Core) noteReturn(w *watch, heard vrrp.Instant, by string) {
	if w.took != 0 && !w.returned && by != "" && heard > w.took {
		w.returned = true
		c.changes++
	}
}

// tookOver takes note of a takeover on account of the site's silence or verdict; one that the site has asked for by releasing
// the role does not count.
func (c *Core) tookOver(now vrrp.Instant, w *watch, r *router) {
	switch r.why {
	case vrrp.CauseSilence.String(), vrrp.CauseSiteDown.String(), vrrp.CauseVacant.String():
	default:
		return
	}
	if j := c.judgeSite(now, w, r); w.sameEpisode(now, j.silentSince) {
		return
	}
	w.penalty = w.at(now, w.cfg.HalfLife) + perTakeover
	w.took, w.returned, w.restored = now, false, false
	c.changes++
	w.latched = w.latched || w.penalty > float64(w.cfg.Suppress) && w.cfg.Suppress > 0
}

// unlatch forgets the takeovers of the watchers of a router, or of all for an empty name: a person has looked at them. It
// reports whether that has ended a latch.
func (c *Core) unlatch(router string) (ended bool) {
	for _, r := range c.routers {
		if w := c.watchOf(r); w != nil && w.latched && (router == "" || router == r.cfg.Name) {
			w.latched, w.penalty = false, 0
			c.changes++
			c.region.dirty, c.dirty, ended = true, true, true
		}
	}
	return ended
}

// dampens reports whether another takeover has to wait because of those before.
func (w *watch) dampens(now, heard vrrp.Instant) bool {
	why, _ := w.damped(now, heard)
	return why != ""
}

// damped says why another takeover has to wait, and until when. heard is when the site was heard last.
func (w *watch) damped(now, heard vrrp.Instant) (why string, again vrrp.Instant) {
	if w.sameEpisode(now, heard) {
		return "", now
	}
	if w.latched {
		if p := w.at(now, w.cfg.HalfLife); p > float64(w.cfg.Reuse) {
			wait := timeToHalve(p/float64(max(w.cfg.Reuse, 1)), w.cfg.HalfLife)
			return fmt.Sprintf("damped after too many takeovers: for %s more (penalty %.0f, again below %d), or until failoverd undrain",
				wait.Round(time.Second), p, w.cfg.Reuse), now.Add(wait)
		}
		w.latched = false
	}
	if w.took != 0 && now < w.took.Add(w.cfg.HoldDown) {
		return fmt.Sprintf("held down for %s more after the last takeover", plainSeconds(w.took.Add(w.cfg.HoldDown).Sub(now))), w.took.Add(w.cfg.HoldDown)
	}
	return "", now
}

// Takeovers is what limits further takeovers of a watch_site: what an agent has to remember over a restart. As an Input, before
// anything else, it tells a new agent what the last one knew; that of a site which is not watched is forgotten.
type Takeovers struct {
	Watch    string       // name of the watch_site
	Last     vrrp.Instant // when the last one was; not after now, and before the machine's start perhaps
	Penalty  float64      // at that time
	Latched  bool
	Returned bool // the site has been heard since
}

func (Takeovers) input() {}

// Takeovers returns those of all watched sites that there were any of.
func (c *Core) Takeovers() (list []Takeovers) {
	for _, w := range c.region.watches {
		if w.took != 0 {
			list = append(list, Takeovers{Watch: w.cfg.Name, Last: w.took, Penalty: w.penalty, Latched: w.latched, Returned: w.returned})
		}
	}
	return list
}

// TakeoversChanged counts what has changed the list of Takeovers, but for the configuration.
func (c *Core) TakeoversChanged() uint64 { return c.changes }

// longAgo is when a takeover does not matter any more, whatever a file says.
const longAgo = 10 * 365 * 24 * time.Hour

// remember takes up what an earlier agent knew. Nothing of it holds a takeover back for longer than it could have done there.
func (c *Core) remember(now vrrp.Instant, t *Takeovers) {
	w := c.region.watch(t.Watch)
	if w == nil {
		return
	}
	last := max(min(t.Last, now), now.Add(-longAgo))
	if last == 0 {
		last = -1 // which means none
	}
	w.damping = damping{
		took: last, penalty: min(max(t.Penalty, 0), float64(w.cfg.Suppress)+perTakeover), latched: t.Latched && w.cfg.Suppress > 0,
		returned: t.Returned, restored: true,
	}
	c.region.dirty, c.dirty = true, true
}
