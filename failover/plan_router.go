package failover

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// planRouters says what becomes of every vrrp_instance and every anycast_service.
func planRouters(old, next *Config) (plan []PlanEntry) {
	changes := compareRouters(old, next)
	for i := range changes {
		plan = append(plan, changes[i].entry())
	}
	return plan
}

func (c *routerChange) entry() PlanEntry {
	it := c.next
	if it == nil {
		it = c.old
	}
	if it.Anycast != nil {
		return c.serviceEntry(it)
	}
	e := PlanEntry{Kind: "vrrp_instance", Name: it.Name, Key: it.VRRP.Key.String(), Effect: c.effect}
	begins := "in BACKUP, and listens first: nothing of it is in the kernel before it is MASTER"
	switch owner := it.VRRP.Priority == wire.PriorityOwner; {
	case owner && c.joint:
		begins = "as soon as all of its sync group can be MASTER, for it is the address owner"
	case owner:
		begins = "as MASTER at once, for it is the address owner"
	}
	switch c.effect {
	case PlanAdded:
		e.Notes = []string{"it begins " + begins}
	case PlanRemoved:
		e.Notes = append(c.old.ends(), "its scripts are told "+c.old.Notify.farewell(c.replaced))
	case PlanRestarted:
		e.Notes = append([]string{"because of " + strings.Join(c.why, ", ")}, c.old.ends()...)
		e.Notes = append(e.Notes, "its scripts are told "+c.old.Notify.farewell(c.replaced), "then it begins anew "+begins)
		e.Changes = append(compareAll(routerParameters, c.old, c.next), compareAll(regionParameters, c.old, c.next)...)
		plainly(e.Changes)
	default:
		e.Changes = compareAll(routerParameters, c.old, c.next)
		e.Changes = append(e.Changes, compareAll(regionParameters, c.old, c.next)...)
	}
	return e
}

// ends says what a router leaves behind that is shut down.
func (c *RouterConfig) ends() []string {
	var notes []string
	if c.Anycast == nil {
		notes = append(notes, "if it is MASTER, an advertisement of priority 0 is sent, so that a BACKUP takes over without waiting")
	}
	var what []string
	if len(c.Announce) > 0 {
		what = append(what, "its announcements are withdrawn")
	}
	if n := len(c.Routes) + len(c.Rules); n > 0 {
		what = append(what, "its routes and rules are removed")
	}
	if len(c.Addresses) > 0 {
		what = append(what, "its addresses are removed")
	}
	if len(what) > 0 {
		then := strings.Join(what, ", then ")
		if len(notes) > 0 {
			then = "then " + then
		}
		notes = append(notes, then)
	}
	return notes
}

// What several parameters mean.
const (
	nextAdvert     = "from the next advertisement on"
	nextTimer      = "when the timer is next set; a running one is left alone"
	nextTransition = "run from the next change of state on; nothing is run now"
	nextBatch      = "from the next announcement to the LAN on"
	nextMove       = "from the next orderly move on"
)

// routerParameters are all parameters of a router, in the order in which people look for them, but for those that make
// it another router: vrrp.Config.Restart names these.
var routerParameters = []parameter[RouterConfig]{
	value("name", "the instance goes on under its new name", func(c *RouterConfig) string { return c.Name }),
	value("priority", nextAdvert+"; a MASTER stays MASTER until it hears a higher one",
		func(c *RouterConfig) string { return strconv.Itoa(int(c.VRRP.Priority)) }),
	value("advert_int", "a MASTER sends as often after its next advertisement; in version 2 all nodes must agree on it",
		func(c *RouterConfig) string { return c.VRRP.Interval.Duration().String() }),
	value("preempt", "when a lower priority is heard next", func(c *RouterConfig) string { return onOff(c.VRRP.Preempt) }),
	value("preempt_delay", "when a lower priority is heard next", func(c *RouterConfig) string { return duration(c.VRRP.PreemptDelay) }),
	value("down_timer_adverts", nextTimer, func(c *RouterConfig) string { return strconv.Itoa(int(c.VRRP.DownTimerAdverts)) }),
	value("advertised addresses", nextAdvert, func(c *RouterConfig) string { return addressList(c.VRRP.Addresses) }),
	list("virtual_ipaddress", listMeans{
		"a MASTER adds it, and tells the LAN when it is in", "a MASTER removes it", "a MASTER changes it in place", "",
	}, addressItems),
	list("unicast_peer", listMeans{"is sent to and listened to", "is not sent to or listened to any more", "from the next packet on", ""},
		func(c *RouterConfig) []item { return peerItems(c.VRRP.Peers) }),
	list("watchers", listMeans{"gets copies by unicast", "gets no copies any more", "from the next packet on", ""},
		func(c *RouterConfig) []item { return peerItems(c.VRRP.Watchers) }),
	value("check_unicast_src", "from the next packet on", func(c *RouterConfig) string { return onOff(!c.VRRP.AnySource) }),
	secret("authentication", nextAdvert+"; nodes with another one do not hear each other",
		func(c *RouterConfig) authentication { return authentication{c.VRRP.AuthType, c.VRRP.AuthData} }, authentication.public),
	secret("auth_hmac", "at once, and the role stays; nodes without a key in common do not hear each other",
		func(c *RouterConfig) *vrrp.HMAC { return c.VRRP.HMAC }, publicHMAC),
	value("v3_checksum", nextAdvert+"; every form is accepted", func(c *RouterConfig) string { return c.VRRP.Checksum.String() }),
	value("lower_prio_no_advert", "when a lower priority is heard next", func(c *RouterConfig) string { return onOff(c.VRRP.SilentOnLowerPriority) }),
	value("owner_ignore_adverts", "from the next packet on", func(c *RouterConfig) string { return onOff(c.VRRP.OwnerIgnoresAdverts) }),
	value("higher_prio_send_advert", "when a higher priority is heard next", func(c *RouterConfig) string { return onOff(c.VRRP.LastWord) }),
	value("source address", "sent from at once; ties between equal priorities are broken with it",
		func(c *RouterConfig) string { return orDefault(c.Source) }),
	value("unicast_ttl", nextAdvert, func(c *RouterConfig) string { return strconv.Itoa(int(c.TTL)) }),
	list("bgp_announce", listMeans{
		"announced while it has the role", "withdrawn", "replaced in place, without a withdrawal", "",
	}, announceItems),
	value("bgp_wait", "the wait that runs ends accordingly", func(c *RouterConfig) string { return duration(c.BGPWait) }),
	value("withdraw_grace", nextMove, func(c *RouterConfig) string { return duration(c.WithdrawGrace) }),
	list("track", listMeans{"counts as soon as there is a result", "does not count any more", "counts at once", ""}, trackItems),
	value("dont_track_primary", "at once", func(c *RouterConfig) string { return onOff(c.IgnoreLink) }),
	value("use_vmac", "the addresses move", func(c *RouterConfig) string { return c.VMAC.text() }),
	value("no_accept", "the packet filter changes at once", func(c *RouterConfig) string { return onOff(c.NoAccept) }),
	value("promote_secondaries", "at once", func(c *RouterConfig) string { return onOff(c.PromoteSecondaries) }),
	list("virtual_routes", listMeans{"a MASTER adds it", "a MASTER removes it", "a MASTER replaces it", ""},
		func(c *RouterConfig) []item { return routeItems(c.Routes) }),
	list("virtual_rules", listMeans{"a MASTER adds it", "a MASTER removes it", "a MASTER replaces it", ""},
		func(c *RouterConfig) []item { return ruleItems(c.Rules) }),
	garp("garp_master_repeat", nextBatch, func(g *GARP) string { return strconv.Itoa(g.Repeat) }),
	garp("garp_master_delay", nextBatch, func(g *GARP) string { return duration(g.Delay) }),
	garp("garp_master_refresh", "a MASTER counts from now", func(g *GARP) string { return duration(g.Refresh) }),
	garp("garp_master_refresh_repeat", nextBatch, func(g *GARP) string { return strconv.Itoa(g.RefreshRepeat) }),
	garp("garp_lower_prio_repeat", nextBatch, func(g *GARP) string { return strconv.Itoa(g.RivalRepeat) }),
	garp("garp_lower_prio_delay", nextBatch, func(g *GARP) string { return duration(g.RivalDelay) }),
	notifies(func(c *RouterConfig) *NotifyConfig { return &c.Notify }),
	value("state", "decides nothing", func(c *RouterConfig) string { return orNone(c.WantedState) }),
}

func garp(name, means string, text func(*GARP) string) parameter[RouterConfig] {
	return value(name, means, func(c *RouterConfig) string { return text(&c.GARP) })
}

// authentication is that of version 2.
type authentication struct {
	kind wire.AuthType
	data [8]byte
}

func (a authentication) public() string {
	switch a.kind {
	case wire.AuthNone:
		return "none"
	case wire.AuthSimple:
		return "PASS"
	}
	return fmt.Sprintf("type %d", a.kind)
}

func hardware(mac [6]byte) string { return strings.ReplaceAll(fmt.Sprintf("% x", mac), " ", ":") }

func (v *VMAC) text() string {
	if v == nil {
		return "off"
	}
	s := v.Name + " " + hardware(v.MAC)
	if v.XmitBase {
		s += " vmac_xmit_base"
	}
	return s
}

func addressList(list []netip.Addr) string {
	var words []string
	for _, a := range list {
		words = append(words, a.String())
	}
	return orNone(strings.Join(words, " "))
}

func addressItems(c *RouterConfig) (items []item) { return itemsOf(c.Addresses) }

func itemsOf(addresses []Address) (items []item) {
	for i := range addresses {
		items = append(items, item{addresses[i].Key().String(), addresses[i].String()})
	}
	return items
}

// String returns the address in the words of virtual_ipaddress, with its lease.
func (a *Address) String() string {
	var p phrase
	p.say(a.Prefix.String(), "dev", a.Interface)
	p.address("brd", a.Broadcast)
	p.name("scope", scopeWord(a.Scope))
	p.name("label", a.Label)
	if a.Lease != NoLease {
		p.say("lease", a.Lease.String())
	}
	p.flag("-nodad", a.DAD)
	p.flag("preferred_lft 0", a.Deprecated)
	p.flag("noprefixroute", a.NoPrefixRoute)
	p.flag("excluded", a.Excluded)
	p.flag("guarded", a.Guarded)
	return p.String()
}

func peerItems(peers []vrrp.Peer) (items []item) {
	for _, x := range peers {
		var p phrase
		p.say(x.Address.String())
		p.number("min_ttl", uint64(x.MinTTL))
		p.number("max_ttl", uint64(x.MaxTTL))
		items = append(items, item{x.Address.String(), p.String()})
	}
	return items
}

func announceItems(c *RouterConfig) (items []item) {
	for i := range c.Announce {
		a := &c.Announce[i]
		id := fmt.Sprintf("%s %s when %s", a.Route.Prefix, a.Speaker, a.When)
		items = append(items, item{id, fmt.Sprintf("%s through %s when %s", a.Route, a.Speaker, a.When)})
	}
	return items
}

func trackItems(c *RouterConfig) (items []item) {
	for _, t := range c.Tracks {
		var p phrase
		p.say(t.String(), "weight", strconv.Itoa(t.Weight))
		p.flag("reverse", t.Reverse)
		items = append(items, item{t.String(), p.String()})
	}
	return items
}

func routeItems(routes []KernelRoute) (items []item) {
	for i := range routes {
		items = append(items, item{routes[i].Key().String(), routes[i].String()})
	}
	return items
}

func ruleItems(rules []KernelRule) (items []item) {
	for i := range rules {
		items = append(items, item{ruleWord(rules[i].identity()), rules[i].String()})
	}
	return items
}
