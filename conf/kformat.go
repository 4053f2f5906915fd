package conf

import (
	"net/netip"
	"strconv"
	"strings"

	"failoverd/failover"
)

// phrase collects the words of an entry.
type phrase []string

// add adds words if they apply.
func (p *phrase) add(applies bool, words ...string) {
	if applies {
		*p = append(*p, words...)
	}
}

// number adds an option with a number other than 0.
func (p *phrase) number(option string, n uint32) {
	p.add(n != 0, option, strconv.FormatUint(uint64(n), 10))
}

// device adds an option with an interface. Its name may be a keyword: ip link takes "table".
func (p *phrase) device(option, device string) {
	switch {
	case device == "":
	case virtualRouteWords.has(device), nextHopWords.has(device), virtualRuleWords.has(device):
		*p = append(*p, option, quote(device))
	default:
		*p = append(*p, option, name(device))
	}
}

func (p phrase) String() string { return strings.Join(p, " ") }

func hexadecimal(n uint32) string { return "0x" + strconv.FormatUint(uint64(n), 16) }

// scopeName returns the configuration word for a scope.
func scopeName(scope uint8) string {
	for name, s := range scopes {
		if s == scope {
			return name
		}
	}
	return strconv.Itoa(int(scope))
}

// formatKernelRoute returns the line of virtual_routes or static_routes that makes r, which has no next hops in braces.
func formatKernelRoute(r failover.KernelRoute) string {
	var p phrase
	p.add(r.Type != routeUnicast, routeTypes[r.Type])
	p.add(true, r.Destination.String())
	p.hop(r.Gateway, r.Interface, r.OnLink)
	p.add(r.Source.IsValid(), "src", r.Source.String())
	p.add(r.Scope != defaultScope(&r), "scope", scopeName(r.Scope))
	p.add(r.Table != mainTable, "table", strconv.FormatUint(uint64(r.Table), 10))
	p.number("metric", r.Metric)
	p.add(r.TOS != 0, "tos", hexadecimal(uint32(r.TOS)))
	p.number("protocol", uint32(r.Protocol))
	if r.MTULock {
		p.number("mtu lock", r.MTU)
	} else {
		p.number("mtu", r.MTU)
	}
	p.number("advmss", r.AdvMSS)
	p.number("hoplimit", r.HopLimit)
	p.number("initcwnd", r.InitCwnd)
	p.number("initrwnd", r.InitRwnd)
	p.add(r.Untracked, "no_track")
	for _, h := range r.NextHops {
		p.add(true, "nexthop")
		p.hop(h.Gateway, h.Interface, h.OnLink)
		p.add(h.Weight != 1, "weight", strconv.Itoa(h.Weight))
	}
	return p.String()
}

// hop adds where packets go.
func (p *phrase) hop(via netip.Addr, device string, onLink bool) {
	p.add(via.IsValid(), "via", via.String())
	p.device("dev", device)
	p.add(onLink, "onlink")
}

// formatKernelRule returns the line of virtual_rules or static_rules that makes r.
func formatKernelRule(r failover.KernelRule) string {
	var p phrase
	p.add(r.Not, "not")
	p.add(r.IPv6 && !r.From.IsValid() && !r.To.IsValid(), "inet6")
	p.add(r.From.IsValid(), "from", r.From.String())
	p.add(r.To.IsValid(), "to", r.To.String())
	p.device("iif", r.InInterface)
	p.device("oif", r.OutInterface)
	p.add(r.TOS != 0, "tos", hexadecimal(uint32(r.TOS)))
	p.add(r.Mask != 0, "fwmark", hexadecimal(r.Mark)+"/"+hexadecimal(r.Mask))
	p.number("ipproto", uint32(r.IPProto))
	p.add(r.SourcePortLast != 0, "sport", formatSpan(uint32(r.SourcePortFirst), uint32(r.SourcePortLast)))
	p.add(r.DestPortLast != 0, "dport", formatSpan(uint32(r.DestPortFirst), uint32(r.DestPortLast)))
	p.add(r.HasUID, "uidrange", formatSpan(r.UIDFirst, r.UIDLast))
	switch r.Action {
	case ruleTable:
		p.add(true, "table", strconv.FormatUint(uint64(r.Table), 10))
	case ruleGoto:
		p.add(true, "goto", strconv.FormatUint(uint64(r.Goto), 10))
	default:
		p.add(true, ruleActions[r.Action])
	}
	p.add(r.SuppressPrefixLength != 0, "suppress_prefixlength", strconv.Itoa(int(r.SuppressPrefixLength)-1))
	p.number("priority", r.Priority)
	p.add(r.Untracked, "no_track")
	return p.String()
}

func formatSpan(first, last uint32) string {
	return strconv.FormatUint(uint64(first), 10) + "-" + strconv.FormatUint(uint64(last), 10)
}
