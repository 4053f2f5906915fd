package failover

import "strings"

// serviceEntry is entry for an anycast service.
func (c *routerChange) serviceEntry(it *RouterConfig) PlanEntry {
	e := PlanEntry{Kind: it.Kind(), Name: it.Name, Effect: c.effect}
	const begins = "it is announced as soon as all that it needs is all right and its addresses are in"
	switch c.effect {
	case PlanAdded:
		e.Notes = []string{begins}
	case PlanRemoved:
		e.Notes = append(c.old.ends(), "its scripts are told "+c.old.Notify.farewell(c.replaced))
	case PlanRestarted:
		e.Notes = append([]string{"because of " + strings.Join(c.why, ", ")}, c.old.ends()...)
		e.Notes = append(e.Notes, "its scripts are told "+c.old.Notify.farewell(c.replaced), "then "+begins)
		if c.old.Anycast != nil {
			e.Changes = plainly(compareAll(serviceParameters, c.old, c.next))
		}
	default:
		e.Changes = compareAll(serviceParameters, c.old, c.next)
	}
	return e
}

// serviceParameters are all parameters of an anycast service, but for the interface, with which it is restarted.
var serviceParameters = []parameter[RouterConfig]{
	value("name", "it goes on under the new one, unless it is drained", func(c *RouterConfig) string { return c.Name }),
	list("virtual_ipaddress", listMeans{"added while it is announced", "removed", "changed in place", ""}, addressItems),
	list("bgp_announce", listMeans{"announced while it serves", "withdrawn", "replaced in place, without a withdrawal", ""}, announceItems),
	value("keep_last", "at once", func(c *RouterConfig) string { return orNone(c.Anycast.KeepLast) }),
	value("settle", "at once", func(c *RouterConfig) string { return duration(c.Anycast.Settle) }),
	value("drain_time", "from the next drain on", func(c *RouterConfig) string { return duration(c.Anycast.DrainTime) }),
	value("withdraw_grace", nextMove, func(c *RouterConfig) string { return duration(c.WithdrawGrace) }),
	list("track", listMeans{"counts as soon as there is a result", "does not count any more", "counts at once", ""}, trackItems),
	list("virtual_routes", listMeans{"added while it is announced", "removed", "replaced", ""},
		func(c *RouterConfig) []item { return routeItems(c.Routes) }),
	list("virtual_rules", listMeans{"added while it is announced", "removed", "replaced", ""},
		func(c *RouterConfig) []item { return ruleItems(c.Rules) }),
	notifies(func(c *RouterConfig) *NotifyConfig { return &c.Notify }),
}
