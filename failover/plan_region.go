package failover

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
)

// What several parameters of sites mean.
const (
	nextHeartbeat = "from the next heartbeat on; nothing is disturbed"
	nextTakeover  = "counts for the next takeover; one that is being observed is judged by it at once"
)

// planRegions says what becomes of the blocks about other sites. What is known of a site and a partner that stay, stays.
func planRegions(old, next *Config) []PlanEntry {
	siteName := func(s *SiteConfig) string { return s.Name }
	watchName := func(w *WatchConfig) string { return w.Name }
	plan := planObjects("site", "its instances serve from the first acknowledgement on; until then they wait in INIT, also one that is MASTER",
		"nobody is asked for acknowledgements any more; its instances serve without them, or go with it",
		objectsOf(old.Sites, siteName), objectsOf(next.Sites, siteName),
		func(o, n *SiteConfig, e *PlanEntry) { e.Changes = compareAll(siteParameters, o, n) })
	plan = append(plan, planObjects("watch_site", "it is watched; a takeover needs a whole takeover_after of observation from now on",
		"it is watched no more, and its nodes are not acknowledged here any more",
		objectsOf(old.Watches, watchName), objectsOf(next.Watches, watchName),
		func(o, n *WatchConfig, e *PlanEntry) { e.Changes = compareAll(watchParameters, o, n) })...)
	return append(plan, planObjects("witness_server", "its socket is opened", "its socket is closed: those who ask get no answer, which is \"unknown\" to them",
		serverOf(old), serverOf(next),
		func(o, n *WitnessServerConfig, e *PlanEntry) { e.Changes = compareAll(serverParameters, o, n) })...)
}

// serverOf is the witness_server, which has no name.
func serverOf(c *Config) []object[WitnessServerConfig] {
	if c.WitnessServer == nil {
		return nil
	}
	return []object[WitnessServerConfig]{{"", c.WitnessServer}}
}

var siteParameters = []parameter[SiteConfig]{
	partnersOf("partners", listMeans{"is asked at once", "is not asked any more", "is asked anew, and what it said before is forgotten", ": nothing happens"},
		func(s *SiteConfig) []Partner { return s.Partners }),
	value("fence_after", "at once, counted from the last acknowledged heartbeat: a shorter one may end the authority now; watchers hear of it with the next heartbeat",
		func(s *SiteConfig) string { return duration(s.FenceAfter) }),
	value("heartbeat", nextHeartbeat, func(s *SiteConfig) string { return duration(s.Heartbeat) }),
	value("isolated", "at once, if nobody acknowledges the site; otherwise nothing is disturbed", func(s *SiteConfig) string {
		if s.Hold {
			return "hold"
		}
		return "fence"
	}),
	namesOf("health_check", "counts only while nobody acknowledges the site", func(s *SiteConfig) []string { return s.HoldChecks }),
}

var watchParameters = []parameter[WatchConfig]{
	namesOf("health_check", "votes as soon as there is a result", func(w *WatchConfig) []string { return w.Checks }),
	partnersOf("witness", listMeans{"votes as soon as it answers", "votes no more", "is asked anew, and what it said before is forgotten", ": nothing happens"},
		func(w *WatchConfig) []Partner { return w.Witnesses }),
	value("heartbeat", nextHeartbeat, func(w *WatchConfig) string { return duration(w.Heartbeat) }),
	value("down_quorum", nextTakeover, func(w *WatchConfig) string { return strconv.Itoa(w.DownQuorum) }),
	value("takeover_after", nextTakeover, func(w *WatchConfig) string { return duration(w.TakeoverAfter) }),
	value("takeover_on_site_down", nextTakeover, func(w *WatchConfig) string { return onOff(w.OnSiteDown) }),
	value("fence_after", nextTakeover, func(w *WatchConfig) string { return duration(w.FenceAfter) }),
	value("hold_time", nextTakeover, func(w *WatchConfig) string { return duration(w.HoldTime) }),
	value("vip_lease", nextTakeover, func(w *WatchConfig) string { return duration(w.Lease) }),
	value("listen", "the socket is opened anew: a heartbeat may be lost", func(w *WatchConfig) string { return endpoint(w.Listen) }),
	secret("keys", "from the next message on; who has none of them is not heard any more", func(w *WatchConfig) [][]byte { return w.Keys }, keyCount),
	value("hold_down", "counts at once, from the last takeover", func(w *WatchConfig) string { return duration(w.HoldDown) }),
	value("damping", "counts at once, for the penalty as it is", func(w *WatchConfig) string {
		return fmt.Sprintf("%s %d %d", duration(w.HalfLife), w.Suppress, w.Reuse)
	}),
}

var serverParameters = []parameter[WitnessServerConfig]{
	value("listen", "the socket is opened anew: a request may be lost", func(w *WitnessServerConfig) string { return endpoint(w.Listen) }),
	secret("keys", "from the next message on; who has none of them gets no answer any more", func(w *WitnessServerConfig) [][]byte { return w.Keys }, keyCount),
}

// regionParameters are those of a router about other sites.
var regionParameters = []parameter[RouterConfig]{
	value("site", "at once: with one, it serves only while somebody outside acknowledges it", func(c *RouterConfig) string { return orNone(c.Region.Site) }),
	value("watch_site", "at once: a takeover that waits for its timer is judged by it", func(c *RouterConfig) string { return orNone(c.Region.Watch) }),
	value("home site", "the service has another name between sites: what is known of it, such as who has the role, is forgotten",
		func(c *RouterConfig) string { return orNone(c.Region.Home) }),
	value("own site", "the role is claimed under this name from the next takeover on", func(c *RouterConfig) string { return orNone(c.Region.Self) }),
	namesOf("partners on other sites", "at once; nothing is sent", func(c *RouterConfig) (list []string) {
		for _, a := range c.Region.Remote {
			list = append(list, a.String())
		}
		return list
	}),
	value("handover_overlap", "counts for the next handover", func(c *RouterConfig) string { return duration(c.Region.HandoverOverlap) }),
	value("handover_overlap until", "counts for the next handover", func(c *RouterConfig) string { return orNone(c.Region.HandoverUntil) }),
	value("failback_clean", "counts at once, from when everything was all right", func(c *RouterConfig) string { return duration(c.Region.FailbackClean) }),
}

// partnersOf is a list of partners, with keys of which nobody is told.
func partnersOf[T any](name string, means listMeans, get func(*T) []Partner) parameter[T] {
	shown := list(name, means, func(c *T) (items []item) {
		for _, p := range get(c) {
			items = append(items, item{p.ID, p.ID + " at " + endpoint(p.Address)})
		}
		return items
	})
	return func(old, next *T) []PlanChange {
		changes := shown(old, next)
		was := make(map[string][][]byte)
		for _, p := range get(old) {
			was[p.ID] = p.Keys
		}
		for _, p := range get(next) {
			if keys, there := was[p.ID]; there && !reflect.DeepEqual(keys, p.Keys) {
				changes = append(changes, PlanChange{
					Parameter: "keys of " + p.ID, Old: keyCount(keys), New: keyCount(p.Keys) + " (other ones)",
					Means: "the first one signs from the next message on; a partner that has none of them is not heard any more",
				})
			}
		}
		return changes
	}
}

// namesOf is a list of names.
func namesOf[T any](name, means string, get func(*T) []string) parameter[T] {
	return value(name, means, func(c *T) string { return orNone(strings.Join(get(c), " ")) })
}

// keyCount is all that is said of keys.
func keyCount(keys [][]byte) string {
	if len(keys) == 1 {
		return "1 key"
	}
	return strconv.Itoa(len(keys)) + " keys"
}

func endpoint(a netip.AddrPort) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}
