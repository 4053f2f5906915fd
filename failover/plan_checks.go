package failover

import (
	"strconv"
	"strings"
)

var checkParameters = []parameter[CheckConfig]{
	value("probe", "", func(c *CheckConfig) string { return c.Probe.aim() }),
	value("status", "", func(c *CheckConfig) string { return orNone(c.Probe.StatusText()) }),
	value("body_match", "", func(c *CheckConfig) string { return orNone(c.Probe.Body) }),
	value("method", "", func(c *CheckConfig) string { return orNone(c.Probe.Method) }),
	value("host", "", func(c *CheckConfig) string { return orNone(c.Probe.Host) }),
	secret("header", "", func(c *CheckConfig) [][2]string { return c.Probe.Headers }, headerNames),
	value("http2", "", func(c *CheckConfig) string { return onOff(c.Probe.HTTP2) }),
	value("cert_expiry", "", func(c *CheckConfig) string { return strconv.Itoa(c.Probe.CertExpiry) }),
	value("tls", "", func(c *CheckConfig) string { return onOff(c.Probe.TLS) }),
	value("ca", "", func(c *CheckConfig) string { return orNone(c.Probe.CA) }),
	value("insecure", "", func(c *CheckConfig) string { return onOff(c.Probe.Insecure) }),
	value("server_name", "", func(c *CheckConfig) string { return orNone(c.Probe.ServerName) }),
	value("query", "", func(c *CheckConfig) string { return orNone(c.Probe.Query) }),
	value("type", "", func(c *CheckConfig) string { return orNone(c.Probe.DNS.Type) }),
	value("service", "", func(c *CheckConfig) string { return orNone(c.Probe.Service) }),
	value("limit", "", func(c *CheckConfig) string { return c.Probe.Limit.String() }),
	value("answer", "", func(c *CheckConfig) string { return orNone(strings.Join(c.Probe.DNS.Answers, " or ")) }),
	value("rcode", "", func(c *CheckConfig) string {
		return map[bool]string{false: "NOERROR", true: "NXDOMAIN"}[c.Probe.DNS.Missing]
	}),
	value("tcp", "", func(c *CheckConfig) string { return onOff(c.Probe.DNS.TCP) }),
	value("absent", "", func(c *CheckConfig) string { return c.Probe.Absent.String() }),
	value("net_namespace", "", func(c *CheckConfig) string { return orNone(c.NetNamespace) }),
	value("source", "", func(c *CheckConfig) string { return orDefault(c.Source) }),
	value("interface", "", func(c *CheckConfig) string { return orNone(c.Interface) }),
	value("interval", nextRun, func(c *CheckConfig) string { return duration(c.Interval) }),
	value("fall_interval", nextRun, func(c *CheckConfig) string { return duration(c.FallInterval) }),
	value("timeout", nextRun, func(c *CheckConfig) string { return duration(c.Timeout) }),
	value("rise", nextRun, func(c *CheckConfig) string { return strconv.Itoa(c.Rise) }),
	value("fall", nextRun, func(c *CheckConfig) string { return strconv.Itoa(c.Fall) }),
	value("initial", "when it looks at something for the first time", func(c *CheckConfig) string { return c.Initial.String() }),
	value("max_rtt", nextRun, func(c *CheckConfig) string { return duration(c.MaxRTT) }),
	value("recover_rtt", nextRun, func(c *CheckConfig) string { return duration(c.RecoverRTT) }),
	value("max_loss", nextRun, func(c *CheckConfig) string { return strconv.Itoa(c.MaxLoss) }),
	value("recover_loss", nextRun, func(c *CheckConfig) string { return c.recoverLossText() }),
	value("window", nextRun, func(c *CheckConfig) string { return strconv.Itoa(c.Window) }),
	value("damping", nextRun, func(c *CheckConfig) string { return c.Damping.String() }),
}

func (c *CheckConfig) recoverLossText() string {
	switch c.RecoverLoss {
	case 0:
		return "default"
	case NoLoss:
		return "0"
	}
	return strconv.Itoa(c.RecoverLoss)
}

// planChecks says what becomes of every health_check.
func planChecks(old, next *Config) []PlanEntry {
	name := func(c *CheckConfig) string { return c.Name }
	return planObjects("health_check", "it looks at once", "it does not look any more",
		objectsOf(old.Checks, name), objectsOf(next.Checks, name), func(o, n *CheckConfig, e *PlanEntry) {
			e.Changes, e.Notes = compareAll(checkParameters, o, n), note("it looks at the same thing: its verdict is kept")
			if !o.SameProbe(n) {
				e.Effect, e.Notes = PlanRestarted, []string{"it looks at once", "what it has found before counts until there is a new result"}
			}
		})
}

var checkGroupParameters = []parameter[CheckGroupConfig]{
	value("rule", "at once", (*CheckGroupConfig).RuleText),
	list("member", listMeans{"counts as soon as there is a result", "does not count any more", "", ""}, func(g *CheckGroupConfig) (items []item) {
		for _, m := range g.Members {
			items = append(items, item{m.String(), m.String()})
		}
		return items
	}),
}

// planCheckGroups says what becomes of every check_group.
func planCheckGroups(old, next *Config) []PlanEntry {
	name := func(g *CheckGroupConfig) string { return g.Name }
	return planObjects("check_group", "it has a verdict as soon as its members do", "nothing goes by it any more",
		objectsOf(old.CheckGroups, name), objectsOf(next.CheckGroups, name), func(o, n *CheckGroupConfig, e *PlanEntry) {
			e.Changes, e.Notes = compareAll(checkGroupParameters, o, n), note("its verdict is made anew of what its members say now")
		})
}
