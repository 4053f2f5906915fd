package conf

import (
	"net/netip"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// globals is the draft of global_defs. Its values are defaults of routers, wherever the block stands.
type globals struct {
	strict       bool
	routerID     field[string]
	statusSocket field[string]
	eventLog     field[string]
	record       field[string]
	recordSize   field[int]
	metrics      field[netip.AddrPort]
	version      field[wire.Version]
	startupDelay field[time.Duration]
	garpInterval field[time.Duration]
	naInterval   field[time.Duration]
	vipLease     field[time.Duration]
	bgpLease     field[time.Duration]
	onCrash      field[string]
	garp         garpWords
	minGARP      field[bool]
	tuning

	scriptUser, scriptGroup field[string]
	scriptSecurity          bool
	supplementary           bool
	allFIFO, vrrpFIFO       fifo // notify_fifo, vrrp_notify_fifo
	priorityChanges         field[bool]
	statesOnReload          field[bool]
	startup, shutdown       hook

	bootDelay        field[time.Duration]
	multicast4       field[netip.Addr]
	multicast6       field[netip.Addr]
	defaultInterface field[string]
	vmacPrefix       field[string]
	counters         bool // nftables_counters
	unknownVRIDs     field[bool]

	namespace field[string]
	realTime  field[int]
	nice      field[int]
	noSwap    bool

	dumpData, dumpStats, dumpJSON field[string]
	jsonVersion                   field[int]
}

// tuning is what global_defs and vrrp_instance have in common besides garpWords.
type tuning struct {
	downTimer       field[uint8]
	silent          field[bool] // lower_prio_no_advert
	lastWord        field[bool] // higher_prio_send_advert
	messageChecksum field[bool] // v3_checksum_as_v2
	checkSource     field[bool] // check_unicast_src
	ownerIgnores    field[bool] // owner_ignore_adverts
}

// garpWords is the draft of a failover.GARP.
type garpWords struct {
	repeat, refreshRepeat, rivalRepeat field[int]
	delay, refresh, rivalDelay         field[time.Duration]
}

// Ranges that keepalived leaves open.
const (
	maxRepeat  = 1000
	maxPeriod  = 24 * time.Hour
	maxLease   = 24 * 60 * 60 // seconds
	maxWait    = time.Hour
	maxSunPath = 107     // of a Unix socket
	maxRecord  = 1 << 20 // MB
)

// What becomes of the roles of an agent that has died and is started again (on_crash).
const (
	onCrashResume = "resume"
	onCrashResign = "resign"
)

// Defaults of keepalived, and of what failoverd adds.
const (
	defaultRepeat   = 5
	defaultDelay    = 5 * time.Second
	defaultBGPLease = 3 * time.Second
	defaultBGPWait  = 30 * time.Second
	defaultDown     = 3
	// of a recording, in MB
	defaultRecordSize = 64
)

// resolve returns the schedule: instance words before global ones before defaults.
func (w garpWords) resolve(g *globals) failover.GARP {
	repeat, delay := defaultRepeat, defaultDelay
	if g.minGARP.or(false) {
		repeat, delay = 1, 0
	}
	pick := func(own, global field[int], def int) int { return own.or(global.or(def)) }
	wait := func(own, global field[time.Duration], def time.Duration) time.Duration { return own.or(global.or(def)) }
	var s failover.GARP
	s.Repeat = pick(w.repeat, g.garp.repeat, repeat)
	s.Delay = wait(w.delay, g.garp.delay, delay)
	s.Refresh = wait(w.refresh, g.garp.refresh, 0)
	s.RefreshRepeat = pick(w.refreshRepeat, g.garp.refreshRepeat, 1)
	s.RivalRepeat = pick(w.rivalRepeat, g.garp.rivalRepeat, s.Repeat)
	s.RivalDelay = wait(w.rivalDelay, g.garp.rivalDelay, s.Delay)
	return s
}

// resolveGlobals fills in what global_defs says of the configuration as a whole.
func (d *decoder) resolveGlobals(cfg *failover.Config) {
	g := &d.global
	cfg.RouterID = g.routerID.or(d.env.HostName)
	cfg.StatusSocket = g.statusSocket.or("")
	cfg.EventLog = g.eventLog.or("")
	if cfg.Record.File = g.record.or(""); cfg.Record.File != "" {
		cfg.Record.LimitMB = g.recordSize.or(defaultRecordSize)
	}
	cfg.Metrics = g.metrics.or(netip.AddrPort{})
	cfg.StartupDelay = g.startupDelay.or(0)
	cfg.BGPLease = g.bgpLease.or(defaultBGPLease)
	cfg.ResignOnCrash = g.onCrash.or(onCrashResume) == onCrashResign
	cfg.GARPInterval = g.garpInterval.or(0)
	cfg.NAInterval = g.naInterval.or(0)
	cfg.BootDelay = g.bootDelay.or(0)
	cfg.Multicast = failover.MulticastGroups{IPv4: g.multicast4.or(netip.Addr{}), IPv6: g.multicast6.or(netip.Addr{})}
	cfg.NoAcceptCounters = g.counters
	cfg.LogUnknownVRIDs = g.unknownVRIDs.or(false)
	cfg.ScriptSecurity, cfg.SupplementaryGroups = g.scriptSecurity, g.supplementary
	cfg.StatesOnReload = g.statesOnReload.or(true)
	cfg.Process = failover.ProcessSettings{NetNamespace: g.namespace.or(""), RealTime: g.realTime.or(0), NoSwap: g.noSwap}
	cfg.Process.Nice, cfg.Process.HasNice = g.nice.or(0), g.nice.ok
	cfg.Dump = failover.DumpFiles{
		Data: g.dumpData.or(""), Stats: g.dumpStats.or(""), JSON: g.dumpJSON.or(""), JSONVersion: g.jsonVersion.or(0),
	}
	cfg.StartupScript, cfg.StartupTimeout = d.resolveHook(&g.startup, "startup_script")
	cfg.ShutdownScript, cfg.ShutdownTimeout = d.resolveHook(&g.shutdown, "shutdown_script")
	d.resolveFIFOs(cfg)
}

// socketPath returns the path of a Unix socket.
func (d *decoder) socketPath(c *cursor) (string, Token, bool) {
	s, at, ok := d.text(c, "an absolute path")
	switch {
	case !ok:
	case !strings.HasPrefix(s, "/"):
		d.errorf(at, "%s %q: want an absolute path", c.keyword.Text, s)
		ok = false
	case len(s) > maxSunPath:
		d.errorf(at, "%s: the path of a Unix socket has at most %d characters", c.keyword.Text, maxSunPath)
		ok = false
	}
	return s, at, ok
}

// metricsAddress returns where metrics are to be served. Whoever can reach it can read them, so an address that means all
// interfaces is worth a word.
func (d *decoder) metricsAddress(c *cursor) (netip.AddrPort, Token, bool) {
	t, ok := d.next(c, "ADDRESS:PORT")
	if !ok {
		return netip.AddrPort{}, t, false
	}
	ap, err := netip.ParseAddrPort(t.Text)
	a := ap.Addr()
	switch {
	case err != nil || a.Is4In6() || a.Zone() != "":
		d.errorf(t, "%s %q: want ADDRESS:PORT ([ADDRESS]:PORT over IPv6), as in 127.0.0.1:9112", c.keyword.Text, t.Text)
		return netip.AddrPort{}, t, false
	case !a.IsUnspecified() && !host(a):
		d.errorf(t, "%s %s: not the address of a host", c.keyword.Text, t.Text)
		return netip.AddrPort{}, t, false
	case ap.Port() == 0:
		d.errorf(t, "%s %s: port 0 is none", c.keyword.Text, t.Text)
		return netip.AddrPort{}, t, false
	case a.IsUnspecified():
		d.warnf(t, "%s %s: on every interface, virtual addresses included, and without a password; better name the address that Prometheus asks", c.keyword.Text, t.Text)
	}
	return ap, t, true
}

// version returns a VRRP version.
func (d *decoder) version(c *cursor) (wire.Version, Token, bool) {
	s, at, ok := d.oneOf(c, "2", "3")
	if s == "2" {
		return wire.V2, at, ok
	}
	return wire.V3, at, ok
}

// multicastGroup returns the group that advertisements go to; zero for the protocol's own.
func (d *decoder) multicastGroup(c *cursor, f wire.Family) (netip.Addr, Token, bool) {
	t, ok := d.next(c, "a multicast address")
	if !ok {
		return netip.Addr{}, t, false
	}
	a, err := netip.ParseAddr(t.Text)
	switch {
	case err != nil || a.Zone() != "" || !a.IsMulticast() || wire.FamilyOf(a) != f:
		d.errorf(t, "%s %q: not an %s multicast address", c.keyword.Text, t.Text, f)
		return netip.Addr{}, t, false
	case a == f.Group():
		return netip.Addr{}, t, true
	}
	return a, t, true
}

// resolveGroup holds mcast_dst_ip to the group of all instances: there is no other per instance.
func (d *decoder) resolveGroup(in *instance, f wire.Family) {
	if !in.destination.ok {
		return
	}
	group, word := d.global.multicast4.or(netip.Addr{}), "vrrp_mcast_group4"
	if f == wire.IPv6 {
		group, word = d.global.multicast6.or(netip.Addr{}), "vrrp_mcast_group6"
	}
	if !group.IsValid() {
		group = f.Group()
	}
	if in.destination.value != group {
		d.errorf(in.destination.at, "mcast_dst_ip %s is not supported yet: all advertisements go to %s, which %s in global_defs sets",
			in.destination.value, group, word)
	}
}

// namespace decodes the network namespace of the agent.
func (d *decoder) namespace(c *cursor) { d.global.namespace.set(d.namespaceName(c)) }

// namespaceName returns the name of a network namespace.
func (d *decoder) namespaceName(c *cursor) (string, Token, bool) {
	s, t, ok := d.text(c, "the name of a network namespace")
	if ok && (strings.ContainsAny(s, "/\x00") || s == "." || s == "..") {
		d.errorf(t, "net_namespace %q: not the name of a network namespace (one in /run/netns)", s)
		ok = false
	}
	return s, t, ok
}
