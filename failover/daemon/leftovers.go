package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
	"failoverd/bgp/speaker"
	"failoverd/failover"
)

// pathsName is the file that remembers over restarts which paths we have in the tables of external gobgpds: they outlive us.
const pathsName = "gobgpd.json"

// savedPaths is what that file holds.
type savedPaths struct {
	Version int           `json:"version"` // 1
	Targets []savedTarget `json:"targets"`
}

type savedTarget struct {
	Target string         `json:"target"` // as bgp.External has it
	Paths  []gobgp.Placed `json:"paths"`
}

// What EventLeftover says.
const (
	leftStays     = "stays"
	leftWithdrawn = "withdrawn"
	leftSwept     = "swept"
)

// Pauses between attempts to sweep, and how long one may take.
const (
	sweepRetry   = time.Second
	sweepTimeout = 3 * time.Second
)

// leftovers is a keeper of the paths in external gobgpds, and sweeps those that no speaker looks after any more: of an earlier
// life with another configuration, and of a speaker that has ended while its gobgpd hung.
type leftovers struct {
	*keeper
	tell func(failover.Event)
	bar  gobgp.Bar     // held while paths are deleted; nil: nobody wants to keep it from that
	work chan struct{} // one place: there may be something to sweep

	guard  sync.Mutex
	placed map[string]savedTarget     // by the name of a speaker that runs
	left   map[string][]gobgp.Placed  // by target: nobody's
	known  map[string]bgp.External    // by target
	allow  map[string][]bgp.AllowList // by target: what speakers that are configured look after
	told   map[string][]netip.Prefix  // by target: of what it was told that it stays
}

func newLeftovers(dir string, log *slog.Logger, tell func(failover.Event)) *leftovers {
	return &leftovers{
		keeper: newKeeper(dir, pathsName, "routes in external gobgpds", log), tell: tell, work: make(chan struct{}, 1),
		placed: make(map[string]savedTarget), left: make(map[string][]gobgp.Placed), known: make(map[string]bgp.External),
		told: make(map[string][]netip.Prefix),
	}
}

// load reads what an earlier life has left. Speakers take what is theirs when they begin.
func (k *leftovers) load() {
	var saved savedPaths
	if !k.read(&saved, &saved.Version) {
		return
	}
	k.guard.Lock()
	defer k.guard.Unlock()
	for _, t := range saved.Targets {
		k.left[t.Target] = append(k.left[t.Target], t.Paths...)
	}
}

// adopt learns which speakers there are, and has swept what none of them looks after.
func (k *leftovers) adopt(speakers []bgp.SpeakerConfig) {
	k.guard.Lock()
	k.allow = make(map[string][]bgp.AllowList)
	for i := range speakers {
		if e := speakers[i].External; e != nil {
			k.known[e.Target] = *e
			k.allow[e.Target] = append(k.allow[e.Target], speakers[i].Allow)
		}
	}
	k.guard.Unlock()
	k.look()
}

// begin returns which of the paths that are left a speaker takes over.
func (k *leftovers) begin(c *bgp.SpeakerConfig) (known []gobgp.Placed) {
	k.guard.Lock()
	defer k.guard.Unlock()
	target := c.External.Target
	k.left[target] = slices.DeleteFunc(k.left[target], func(p gobgp.Placed) bool {
		if !c.Allow.Permits(p.Route.Prefix) {
			return false
		}
		known = append(known, p)
		return true
	})
	k.placed[c.Name] = savedTarget{target, known}
	return known
}

// note takes note of what a speaker may have in its gobgpd's table.
func (k *leftovers) note(c *bgp.SpeakerConfig, placed []gobgp.Placed) {
	k.guard.Lock()
	k.placed[c.Name] = savedTarget{c.External.Target, placed}
	k.save()
	k.guard.Unlock()
}

// end takes note that a speaker has ended. What it has left is nobody's.
func (k *leftovers) end(c *bgp.SpeakerConfig) {
	k.guard.Lock()
	t := k.placed[c.Name]
	delete(k.placed, c.Name)
	k.left[t.Target] = append(k.left[t.Target], t.Paths...)
	k.told[t.Target] = append(k.told[t.Target], prefixList(t.Paths)...) // by the speaker
	k.guard.Unlock()
	k.look()
}

func (k *leftovers) look() {
	select {
	case k.work <- struct{}{}:
	default:
	}
}

// save has everything written. guard is held.
func (k *leftovers) save() {
	all := make(map[string][]gobgp.Placed)
	for target, paths := range k.left {
		all[target] = append(all[target], paths...)
	}
	for _, name := range slices.Sorted(maps.Keys(k.placed)) {
		t := k.placed[name]
		all[t.Target] = append(all[t.Target], t.Paths...)
	}
	saved := savedPaths{Version: keeperVersion, Targets: []savedTarget{}}
	for _, target := range slices.Sorted(maps.Keys(all)) {
		if len(all[target]) > 0 {
			saved.Targets = append(saved.Targets, savedTarget{target, all[target]})
		}
	}
	k.put(&saved)
}

// orphans returns what is to be swept, by target.
func (k *leftovers) orphans() map[string][]gobgp.Placed {
	k.guard.Lock()
	defer k.guard.Unlock()
	all := make(map[string][]gobgp.Placed)
	for target, paths := range k.left {
		for _, p := range paths {
			if !slices.ContainsFunc(k.allow[target], func(l bgp.AllowList) bool { return l.Permits(p.Route.Prefix) }) {
				all[target] = append(all[target], p)
			}
		}
	}
	return all
}

// sweep removes what nobody looks after, and tries again as long as a gobgpd does not answer, until ctx ends.
func (k *leftovers) sweep(ctx context.Context) {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.work:
		case <-again.C:
		}
		all := k.orphans()
		for _, target := range slices.Sorted(maps.Keys(all)) {
			if !k.sweepAt(ctx, target, all[target]) {
				again.Reset(sweepRetry)
			}
		}
	}
}

// sweepAt makes one attempt with one gobgpd, and reports whether nothing is left there.
func (k *leftovers) sweepAt(ctx context.Context, target string, paths []gobgp.Placed) bool {
	k.guard.Lock()
	at, ok := k.known[target]
	k.guard.Unlock()
	if !ok {
		at = bgp.External{Target: target}
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	swept, err := gobgp.Sweep(ctx, &at, paths, k.bar, k.log)
	if len(swept) > 0 {
		k.tell(leftover("", target, leftSwept, swept, "no bgp_speaker looks after them any more"))
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return false
	}
	k.guard.Lock()
	defer k.guard.Unlock()
	told := func(p netip.Prefix) bool { return slices.Contains(k.told[target], p) }
	if list := prefixList(paths); err != nil {
		if !slices.ContainsFunc(list, func(p netip.Prefix) bool { return !told(p) }) {
			return false
		}
		k.told[target] = list
		k.tell(leftover("", target, leftStays, list, fmt.Sprintf("no bgp_speaker looks after them any more, and they cannot be withdrawn yet: %v", err)))
		return false
	}
	gone := slices.DeleteFunc(prefixList(paths), func(p netip.Prefix) bool { return !told(p) || slices.Contains(swept, p) })
	if len(gone) > 0 {
		k.tell(leftover("", target, leftWithdrawn, gone, "they are not in its table any more"))
	}
	delete(k.told, target)
	k.left[target] = slices.DeleteFunc(k.left[target], func(p gobgp.Placed) bool {
		return slices.ContainsFunc(paths, func(q gobgp.Placed) bool { return p.Equal(&q) })
	})
	k.save()
	return true
}

func prefixList(paths []gobgp.Placed) (list []netip.Prefix) {
	for i := range paths {
		list = append(list, paths[i].Route.Prefix)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

func joined(list []netip.Prefix) string {
	words := make([]string, len(list))
	for i := range list {
		words[i] = list[i].String()
	}
	return strings.Join(words, " ")
}

// leftover is the event about routes in a gobgpd.
func leftover(speaker, target, what string, prefixes []netip.Prefix, reason string) failover.Event {
	if target != "" {
		reason = "gobgpd at " + target + ": " + reason
	}
	return failover.Event{
		Kind: failover.EventLeftover, Speaker: speaker, Object: joined(prefixes), To: what, Reason: reason,
	}
}

// leftBehind describes what a speaker tells of its gobgpd.
func leftBehind(l speaker.Leftover) failover.Event {
	what := leftStays
	if l.Gone {
		what = leftWithdrawn
	}
	return leftover(l.Speaker, "", what, l.Prefixes, l.Reason)
}
