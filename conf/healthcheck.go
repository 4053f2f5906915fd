package conf

import (
	"net/netip"
	"time"

	"failoverd/failover"
)

// healthCheck is the draft of a health_check.
type healthCheck struct {
	tracked
	probe        *probe
	interval     field[time.Duration]
	fallInterval field[time.Duration]
	timeout      field[time.Duration]
	rise, fall   field[int]
	source       field[netip.Addr]
	device       field[string]
	maxRTT       field[int] // milliseconds
	recoverRTT   field[int] // milliseconds
	maxLoss      field[int] // percent
	recoverLoss  field[int] // percent
	window       field[int]
	initial      field[string]
	namespace    field[string]
	damping      field[failover.Damping]
}

// Defaults and bounds of health checks. The rise and the fall of a script are 1, as keepalived has them; what crosses a
// network loses a packet now and then.
const (
	defaultRise      = 2
	defaultFall      = 3
	defaultWindow    = 20
	minCheckInterval = 100 * time.Millisecond
	maxCheckInterval = time.Hour
	maxRTT           = 60000 // milliseconds
	maxWindow        = 1000
)

// probeNames are the words that a check must have one of.
const probeNames = "tcp, http, icmp, dns, grpc, prometheus, link or bgp_route"

var checkWords = newTable("health_check",
	[]row[*healthCheck]{
		single("tcp", func(d *decoder, h *healthCheck, c *cursor) { h.set(d, d.tcpProbe(c)) }),
		single("http", func(d *decoder, h *healthCheck, c *cursor) { h.set(d, d.urlProbe(c, httpWords, failover.ProbeHTTP)) }),
		single("icmp", func(d *decoder, h *healthCheck, c *cursor) { h.set(d, d.icmpProbe(c)) }),
		single("bgp_route", func(d *decoder, h *healthCheck, c *cursor) { h.set(d, d.routeProbe(c)) }),
		single("dns", func(d *decoder, h *healthCheck, c *cursor) { h.set(d, d.dnsProbe(c)) }),
		single("grpc", func(d *decoder, h *healthCheck, c *cursor) { h.set(d, d.grpcProbe(c)) }),
		word("prometheus", func(d *decoder, h *healthCheck, c *cursor) {
			h.set(d, d.urlProbe(c, prometheusWords, failover.ProbePrometheus))
		}),
		single("link", func(d *decoder, h *healthCheck, c *cursor) { h.set(d, d.linkProbe(c)) }),
		word("interval", func(d *decoder, h *healthCheck, c *cursor) {
			h.interval.set(d.seconds(c, minCheckInterval, maxCheckInterval))
		}),
		word("fall_interval", func(d *decoder, h *healthCheck, c *cursor) {
			h.fallInterval.set(d.seconds(c, minCheckInterval, maxCheckInterval))
		}),
		single("timeout", func(d *decoder, h *healthCheck, c *cursor) { h.timeout.set(d.seconds(c, minRun, maxCheckInterval)) }),
		single("rise", func(d *decoder, h *healthCheck, c *cursor) { h.rise.set(d.int(c, 1, maxCount)) }),
		single("fall", func(d *decoder, h *healthCheck, c *cursor) { h.fall.set(d.int(c, 1, maxCount)) }),
		single("source", func(d *decoder, h *healthCheck, c *cursor) { h.source.set(d.address(c, false)) }),
		single("interface", func(d *decoder, h *healthCheck, c *cursor) { h.device.set(d.device(c)) }),
		single("max_rtt", func(d *decoder, h *healthCheck, c *cursor) { h.maxRTT.set(d.int(c, 1, maxRTT)) }),
		single("max_loss", func(d *decoder, h *healthCheck, c *cursor) { h.maxLoss.set(d.int(c, 1, 99)) }),
		single("window", func(d *decoder, h *healthCheck, c *cursor) { h.window.set(d.int(c, 1, maxWindow)) }),
		single("recover_rtt", func(d *decoder, h *healthCheck, c *cursor) { h.recoverRTT.set(d.int(c, 1, maxRTT)) }),
		single("recover_loss", func(d *decoder, h *healthCheck, c *cursor) { h.recoverLoss.set(d.int(c, 0, 99)) }),
		single("initial", func(d *decoder, h *healthCheck, c *cursor) { h.initial.set(d.oneOf(c, "up", "down", "unknown")) }),
		single("net_namespace", func(d *decoder, h *healthCheck, c *cursor) { h.namespace.set(d.namespaceName(c)) }),
		single("damping", func(d *decoder, h *healthCheck, c *cursor) { h.damping.set(d.checkDamping(c)) }),
	},
	all[*healthCheck](refused, "", "write a vrrp_script, and track it with track_script", "script"),
)

// set takes the probe, of which there is one.
func (h *healthCheck) set(d *decoder, p *probe) {
	if h.probe != nil {
		d.errorf(p.word, "%s: the check has a probe already, at %s; write a health_check for each", p.word.Text, h.probe.word.Pos)
		return
	}
	h.probe = p
}

func (d *decoder) healthCheck(c *cursor) {
	h := &healthCheck{tracked: tracked{word: c.keyword.Text}}
	name, ok := d.next(c, "a name")
	h.name = name
	walk(d, checkWords, h, d.body(c))
	if ok && d.track(failover.TrackCheck, &h.tracked) {
		d.checks = append(d.checks, h)
	}
}

// resolveCheck returns the configuration of a health check.
func (d *decoder) resolveCheck(h *healthCheck) failover.CheckConfig {
	interval := h.interval.or(defaultInterval)
	out := failover.CheckConfig{
		Name: h.name.Text, Interval: interval, FallInterval: h.fallInterval.or(0), Timeout: h.timeout.or(min(interval, defaultInterval)),
		Rise: h.rise.or(defaultRise), Fall: h.fall.or(defaultFall), Source: h.source.or(netip.Addr{}), Interface: h.device.or(""),
		MaxRTT: time.Duration(h.maxRTT.or(0)) * time.Millisecond, MaxLoss: h.maxLoss.or(0),
		RecoverRTT: time.Duration(h.recoverRTT.or(0)) * time.Millisecond, RecoverLoss: h.recoverLoss.or(0),
		NetNamespace: h.namespace.or(""), Damping: h.damping.or(failover.Damping{}),
		Initial: map[string]failover.InitialVerdict{"up": failover.InitialUp, "down": failover.InitialDown}[h.initial.or("")],
	}
	if h.recoverLoss.ok && out.RecoverLoss == 0 {
		out.RecoverLoss = failover.NoLoss
	}
	if out.MaxRTT > 0 || out.MaxLoss > 0 {
		out.Window = h.window.or(defaultWindow)
	}
	d.checkTimes(h, &out)
	d.checkRecovery(h)
	d.checkWay(h)
	if h.probe == nil {
		d.errorf(h.name, "health_check %s has no probe: want "+probeNames, h.name.Text)
		return out
	}
	out.Probe = d.resolveProbe(h.probe)
	return out
}

// checkTimes holds the times of a check against each other.
func (d *decoder) checkTimes(h *healthCheck, out *failover.CheckConfig) {
	known := h.interval.ok || h.interval.missing()
	if known && h.timeout.ok && out.Timeout > out.Interval {
		d.errorf(h.timeout.at, "timeout %s is longer than interval %s: there are never two runs at once, so the interval would not be kept",
			h.timeout.at.Text, formatSeconds(out.Interval))
	}
	if known && h.fallInterval.ok && out.FallInterval > out.Interval {
		d.errorf(h.fallInterval.at, "fall_interval %s is longer than interval %s: it is for looking more often while the verdict is about to change",
			h.fallInterval.at.Text, formatSeconds(out.Interval))
	}
	if h.maxRTT.ok && out.MaxRTT > out.Timeout && (h.timeout.ok || h.timeout.missing()) {
		d.warnf(h.maxRTT.at, "max_rtt %s has no effect: whatever takes longer than timeout %s has failed", h.maxRTT.at.Text, formatSeconds(out.Timeout))
	}
	if h.window.given && h.maxRTT.missing() && h.maxLoss.missing() {
		d.warnf(h.window.at, "window has no effect without max_rtt or max_loss")
	}
}

// checkWay looks at where the probes leave from.
func (d *decoder) checkWay(h *healthCheck) {
	if h.source.given && h.device.given {
		d.errorf(h.device.at, "interface and source exclude each other")
	}
	if h.probe == nil {
		return
	}
	for _, f := range []struct {
		given bool
		at    Token
		word  string
	}{
		{h.source.given, h.source.at, "source"},
		{h.device.given, h.device.at, "interface"},
		{h.maxRTT.given, h.maxRTT.at, "max_rtt"},
		{h.namespace.given, h.namespace.at, "net_namespace"},
	} {
		if why := unfit(h.probe.out.Kind, f.word); f.given && why != "" {
			d.errorf(f.at, "%s is not for %s, %s", f.word, h.probe.out.Kind, why)
		}
	}
	if a := h.probe.address; h.source.ok && a.IsValid() && a.Is4() != h.source.value.Is4() {
		d.errorf(h.source.at, "source %s and %s are of different families", h.source.value, a)
	}
}

// unfit says why a word about the way, or about the time that it takes, does not go with a kind of probe; empty: it does.
func unfit(kind failover.ProbeKind, word string) string {
	switch {
	case kind == failover.ProbeBGPRoute, kind == failover.ProbeLink && word != "net_namespace":
		return "which sends nothing"
	case kind == failover.ProbePrometheus && word == "max_rtt":
		return "which measures nothing itself: let the query do it"
	}
	return ""
}

// checkRecovery holds the limits of a check against what it recovers at.
func (d *decoder) checkRecovery(h *healthCheck) {
	for _, f := range []struct{ limit, back *field[int] }{{&h.maxRTT, &h.recoverRTT}, {&h.maxLoss, &h.recoverLoss}} {
		word := map[bool]string{true: "rtt", false: "loss"}[f.limit == &h.maxRTT]
		switch {
		case f.back.given && f.limit.missing():
			d.warnf(f.back.at, "recover_%s has no effect without max_%s", word, word)
		case f.back.ok && f.limit.ok && f.back.value > f.limit.value:
			d.errorf(f.back.at, "recover_%s %s is more than max_%s %s", word, f.back.at.Text, word, f.limit.at.Text)
		}
	}
}

// Bounds of damping: minChanges are down and up again.
const (
	minChanges    = 2
	maxChanges    = 1000
	minSteadyTime = time.Second
	maxSteadyTime = 24 * time.Hour
)

// checkDamping decodes CHANGES WITHIN STEADY.
func (d *decoder) checkDamping(c *cursor) (v failover.Damping, at Token, ok bool) {
	var well [3]bool
	v.Changes, at, well[0] = d.int(c, minChanges, maxChanges)
	if !well[0] {
		c.rest()
		return v, at, false
	}
	v.Within, _, well[1] = d.seconds(c, minSteadyTime, maxSteadyTime)
	if !well[1] {
		c.rest()
		return v, at, false
	}
	v.Steady, _, well[2] = d.seconds(c, minSteadyTime, maxSteadyTime)
	return v, at, well[2]
}
