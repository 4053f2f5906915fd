package conf

import (
	"net/netip"

	"failoverd/failover"
)

// numberKernelRules invents a preference for the rules that have none, which keepalived does, too: 16384 for the first,
// and a lower one for each further one, so that later ones are tried earlier. None is used twice, and the same text gives
// the same ones again. It wants all rules, before resolveKernelRule.
func (d *decoder) numberKernelRules(rules []*kernelRule) {
	taken := map[uint32]bool{}
	for _, r := range rules {
		taken[r.priority.or(0)] = true
	}
	next := uint32(firstInvented)
	for _, r := range rules {
		if r.priority.given || !r.ok {
			continue
		}
		for next > 0 && taken[next] {
			next--
		}
		if next == 0 {
			d.errorf(r.at, "%s: priority is missing, and every one below %d is in use", r.what, firstInvented)
			return
		}
		d.warnf(r.at, "%s: priority is missing; the rule gets %d, which changes with the rules before it: write one", r.what, next)
		r.invented = next
		next--
	}
}

// resolveKernelRule returns the rule that the kernel is to have, if nothing stands against it.
func (d *decoder) resolveKernelRule(r *kernelRule) (failover.KernelRule, bool) {
	if !r.ok {
		return failover.KernelRule{}, false
	}
	mark := len(d.findings)
	f := families{d: d}
	for _, n := range []*field[netip.Prefix]{&r.from, &r.to} {
		if n.value.IsValid() {
			f.add(n.at, n.value.Addr().Is6())
		}
	}
	if r.ipv6.ok {
		f.add(r.ipv6.at, r.ipv6.value)
	}
	out := failover.KernelRule{
		IPv6: f.ipv6, Not: r.not.or(false), From: some(r.from.value), To: some(r.to.value), InInterface: r.in.or(""),
		OutInterface: r.out.or(""), TOS: r.tos.or(0), Mark: r.mark.value.mark, Mask: r.mark.value.mask,
		Priority: r.priority.or(r.invented), IPProto: uint8(r.ipProto.or(0)),
		SourcePortFirst: uint16(r.sourcePorts.value.first), SourcePortLast: uint16(r.sourcePorts.value.last),
		DestPortFirst: uint16(r.destPorts.value.first), DestPortLast: uint16(r.destPorts.value.last),
		UIDFirst: r.users.value.first, UIDLast: r.users.value.last, HasUID: r.users.ok, Untracked: r.untracked.or(false),
	}
	d.resolveRuleAction(r, &out)
	d.checkRuleMatch(r, &out)
	if d.wrong(mark) || out.Priority == 0 {
		return failover.KernelRule{}, false
	}
	r.rule, r.resolved = out, true
	return out, true
}

// some returns p unless it is the network of all addresses, which asks for nothing.
func some(p netip.Prefix) netip.Prefix {
	if p.Bits() <= 0 {
		return netip.Prefix{}
	}
	return p
}

// resolveRuleAction fills in what the rule does. There is no default: a rule that does nothing is a forgotten word.
func (d *decoder) resolveRuleAction(r *kernelRule, out *failover.KernelRule) {
	lookup := r.action.ok && r.action.value == ruleTable
	switch {
	case r.jump.given && r.table.given:
		d.errorf(r.jump.at, "%s: goto and table are two actions; a rule has one", r.what)
	case r.action.given && !lookup && (r.table.given || r.jump.given), lookup && r.jump.given:
		d.errorf(r.action.at, "%s: %s besides table or goto is a second action; a rule has one", r.what, r.action.at.Text)
	case r.jump.given:
		out.Action, out.Goto = ruleGoto, r.jump.value
		if out.Goto <= out.Priority {
			d.errorf(r.jump.at, "goto %d: the kernel only goes forward, and this rule has priority %d", out.Goto, out.Priority)
		}
	case r.table.given:
		out.Action, out.Table = ruleTable, r.table.value
	case r.action.given && !lookup:
		out.Action = r.action.value
	default:
		d.errorf(r.at, "%s: a rule without an action (want table, goto, nop, blackhole, unreachable or prohibit)", r.what)
	}
}

// checkRuleMatch fills in what depends on the rest, and reports what the kernel does not take or what never matches.
func (d *decoder) checkRuleMatch(r *kernelRule, out *failover.KernelRule) {
	// Over IPv4 the kernel compares the TOS of RFC 1349, not all of the DSCP.
	if !out.IPv6 && out.TOS&^0x1c != 0 {
		d.errorf(r.tos.at, "tos %s: IPv4 rules compare the bits 0x1c only", r.tos.at.Text)
	}
	if r.suppress.ok {
		out.SuppressPrefixLength = r.suppress.value + 1
		switch {
		case out.Action != ruleTable:
			d.errorf(r.suppress.at, "suppress_prefixlength is about what a table says, and this rule looks nothing up")
		case !out.IPv6 && r.suppress.value > 32:
			d.errorf(r.suppress.at, "suppress_prefixlength %d: out of range (want 0 to 32)", r.suppress.value)
		}
	}
	if out.Not && matchesAll(out) {
		d.warnf(r.not.at, "not: this rule never matches, as there is nothing that is not so")
	}
}

// matchesAll reports whether a rule asks nothing of a packet.
func matchesAll(r *failover.KernelRule) bool {
	return *r == failover.KernelRule{
		IPv6: r.IPv6, Not: r.Not, Action: r.Action, Table: r.Table, Goto: r.Goto, Priority: r.Priority,
		SuppressPrefixLength: r.SuppressPrefixLength, Untracked: r.Untracked,
	}
}

// checkKernelRules looks for rules that are one to the kernel. It wants all entries, after resolveKernelRule.
func (d *decoder) checkKernelRules(rules []*kernelRule) {
	first := map[failover.KernelRule]*kernelRule{}
	for _, r := range rules {
		if !r.resolved {
			continue
		}
		key := r.rule
		key.Untracked, key.Not = false, false // the kernel refuses a rule and its opposite
		if f := first[key]; f != nil {
			d.errorf(r.at, "%s: there is this rule already at %s", r.what, f.at.Pos)
			continue
		}
		first[key] = r
	}
}
