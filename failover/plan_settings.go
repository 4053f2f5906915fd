package failover

import (
	"maps"
	"slices"
	"strconv"

	"failoverd/vrrp"
)

// planSettings says what becomes of the settings of the agent as a whole: those that a reload puts in force, and those
// that wait for the next start.
func planSettings(old, next *Config) []PlanEntry {
	var plan []PlanEntry
	for _, s := range []struct {
		effect     PlanEffect
		parameters []parameter[Config]
	}{{PlanLive, liveSettings}, {PlanNextStart, startSettings}} {
		if changes := compareAll(s.parameters, old, next); len(changes) > 0 {
			plan = append(plan, PlanEntry{Kind: "global_defs", Effect: s.effect, Changes: changes})
		}
	}
	return plan
}

const nextRun = "from the next run on"

// liveSettings are those that a reload puts in force.
var liveSettings = []parameter[Config]{
	instanceOrder,
	value("router_id", "in logs and status", func(c *Config) string { return orNone(c.RouterID) }),
	value("vrrp_startup_delay", "holds instances that have not begun yet, counted from the start of the agent",
		func(c *Config) string { return duration(c.StartupDelay) }),
	value("vrrp_delay_after_boot", "holds instances that have not begun yet, counted from the boot of the kernel",
		func(c *Config) string { return duration(c.BootDelay) }),
	value("bgp_lease", "every bgp_speaker is restarted", func(c *Config) string { return duration(c.BGPLease) }),
	list("long leases", listMeans{"with the next renewal", "with the next renewal", "with the next renewal", ""}, longLeaseItems),
	value("on_crash", "at the next death of the agent", func(c *Config) string {
		if c.ResignOnCrash {
			return "resign"
		}
		return "resume"
	}),
	value("vrrp_garp_interval", nextBatch, func(c *Config) string { return duration(c.GARPInterval) }),
	value("vrrp_gna_interval", nextBatch, func(c *Config) string { return duration(c.NAInterval) }),
	value("multicast groups", "sockets are opened anew: every instance that uses multicast is restarted",
		func(c *Config) string { return c.Multicast.text() }),
	list("interface_up_down_delays", listMeans{"from the next change on", "from the next change on", "from the next change on", ""}, delayItems),
	value("nftables_counters", "the packet filter changes at once", func(c *Config) string { return onOff(c.NoAcceptCounters) }),
	value("log_unknown_vrids", "from the next packet on", func(c *Config) string { return onOff(c.LogUnknownVRIDs) }),
	value("event_log", "from the next event on", func(c *Config) string { return orNone(c.EventLog) }),
	value("fifo_write_vrrp_states_on_reload", "with this reload", func(c *Config) string { return onOff(c.StatesOnReload) }),
	value("enable_script_security", nextRun, func(c *Config) string { return onOff(c.ScriptSecurity) }),
	value("supplementary groups", nextRun, func(c *Config) string { return onOff(c.SupplementaryGroups) }),
	secret("shutdown_script", "when the agent stops", func(c *Config) *Command { return c.ShutdownScript }, (*Command).text),
	value("shutdown_script_timeout", "when the agent stops", func(c *Config) string { return duration(c.ShutdownTimeout) }),
	value("state_dump_file", "with the next dump", func(c *Config) string { return orNone(c.Dump.Data) }),
	value("stats_dump_file", "with the next dump", func(c *Config) string { return orNone(c.Dump.Stats) }),
	value("json_dump_file", "with the next dump", func(c *Config) string { return orNone(c.Dump.JSON) }),
	value("json_version", "with the next dump", func(c *Config) string { return strconv.Itoa(max(c.Dump.JSONVersion, 1)) }),
}

// startSettings are those that only a start looks at.
var startSettings = []parameter[Config]{
	value("status_socket", "the old one stays until then", func(c *Config) string { return orNone(c.StatusSocket) }),
	value("metrics_listen", "the old one stays until then", func(c *Config) string {
		if !c.Metrics.IsValid() {
			return "none"
		}
		return c.Metrics.String()
	}),
	secret("startup_script", "", func(c *Config) *Command { return c.StartupScript }, (*Command).text),
	value("record", "", func(c *Config) string { return orNone(c.Record.File) }),
	value("record_size", "", func(c *Config) string { return strconv.Itoa(c.Record.LimitMB) + " MB" }),
	value("startup_script_timeout", "", func(c *Config) string { return duration(c.StartupTimeout) }),
	value("net_namespace", "", func(c *Config) string { return orNone(c.Process.NetNamespace) }),
	value("vrrp_priority", "", func(c *Config) string {
		if !c.Process.HasNice {
			return "none"
		}
		return strconv.Itoa(c.Process.Nice)
	}),
	value("vrrp_rt_priority", "", func(c *Config) string { return strconv.Itoa(c.Process.RealTime) }),
	value("vrrp_no_swap", "", func(c *Config) string { return onOff(c.Process.NoSwap) }),
}

// instanceOrder compares the order of the instances that are in both.
func instanceOrder(old, next *Config) []PlanChange {
	place := make(map[vrrp.Key]int, len(old.Routers))
	for i := range old.Routers {
		place[old.Routers[i].VRRP.Key] = i
	}
	last := 0
	for i := range next.Routers {
		p, there := place[next.Routers[i].VRRP.Key]
		if there && p < last {
			return []PlanChange{{
				Parameter: "order of instances", Means: "where two want the same address, route, rule or prefix, the first one decides",
			}}
		}
		last = max(last, p)
	}
	return nil
}

func longLeaseItems(c *Config) (items []item) {
	for i := range c.LongLeases {
		l := &c.LongLeases[i]
		items = append(items, item{l.Interface, l.String()})
	}
	return items
}

func delayItems(c *Config) (items []item) {
	for _, name := range slices.Sorted(maps.Keys(c.LinkDelays)) {
		d := c.LinkDelays[name]
		items = append(items, item{name, name + " down " + duration(d.Down) + " up " + duration(d.Up)})
	}
	return items
}
