package failover

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// routeTypes are the kernel's RTN_* by their configuration words; a unicast route has none.
var routeTypes = map[uint8]string{
	2: "local", 3: "broadcast", 5: "multicast", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw",
}

// mainTable is RT_TABLE_MAIN, which goes without saying.
const mainTable = 254

// phrase puts keywords and values together, and leaves out what is not set.
type phrase struct{ strings.Builder }

func (p *phrase) say(words ...string) {
	for _, w := range words {
		if p.Len() > 0 {
			p.WriteByte(' ')
		}
		p.WriteString(w)
	}
}

func (p *phrase) number(keyword string, n uint64) {
	if n != 0 {
		p.say(keyword, strconv.FormatUint(n, 10))
	}
}

func (p *phrase) name(keyword, name string) {
	if name != "" {
		p.say(keyword, name)
	}
}

func (p *phrase) address(keyword string, a netip.Addr) {
	if a.IsValid() {
		p.say(keyword, a.String())
	}
}

func (p *phrase) flag(keyword string, on bool) {
	if on {
		p.say(keyword)
	}
}

// String returns the route in the words of virtual_routes, without what is the default.
func (r *KernelRoute) String() string {
	var p phrase
	if t := routeTypes[r.Type]; t != "" {
		p.say(t)
	}
	p.say(r.Destination.String())
	p.address("via", r.Gateway)
	p.name("dev", r.Interface)
	p.address("src", r.Source)
	if r.Table != mainTable {
		p.number("table", uint64(r.Table))
	}
	p.number("metric", uint64(r.Metric))
	p.number("tos", uint64(r.TOS))
	p.name("scope", scopeWord(r.Scope))
	p.number("protocol", uint64(r.Protocol))
	p.flag("onlink", r.OnLink)
	p.metrics(r)
	for _, h := range r.NextHops {
		p.say("nexthop")
		p.address("via", h.Gateway)
		p.name("dev", h.Interface)
		p.number("weight", uint64(h.Weight))
		p.flag("onlink", h.OnLink)
	}
	p.flag("no_track", r.Untracked)
	return p.String()
}

// scopeWord names the kernel's RT_SCOPE_*; global goes without saying.
func scopeWord(scope uint8) string {
	switch scope {
	case 0:
		return ""
	case 200:
		return "site"
	case 253:
		return "link"
	case 254:
		return "host"
	}
	return strconv.Itoa(int(scope))
}

func (p *phrase) metrics(r *KernelRoute) {
	switch {
	case r.MTULock:
		p.number("mtu lock", uint64(r.MTU))
	default:
		p.number("mtu", uint64(r.MTU))
	}
	p.number("advmss", uint64(r.AdvMSS))
	p.number("hoplimit", uint64(r.HopLimit))
	p.number("initcwnd", uint64(r.InitCwnd))
	p.number("initrwnd", uint64(r.InitRwnd))
}

// String returns the rule in the words of virtual_rules, without what is the default.
func (r *KernelRule) String() string {
	var p phrase
	p.flag("inet6", r.IPv6)
	p.flag("not", r.Not)
	p.prefix("from", r.From)
	p.prefix("to", r.To)
	p.name("iif", r.InInterface)
	p.name("oif", r.OutInterface)
	p.number("tos", uint64(r.TOS))
	if r.Mask != 0 {
		p.say("fwmark", fmt.Sprintf("%#x/%#x", r.Mark, r.Mask))
	}
	p.number("ipproto", uint64(r.IPProto))
	p.ports("sport", r.SourcePortFirst, r.SourcePortLast)
	p.ports("dport", r.DestPortFirst, r.DestPortLast)
	if r.HasUID {
		p.say("uidrange", fmt.Sprintf("%d-%d", r.UIDFirst, r.UIDLast))
	}
	p.action(r)
	if r.SuppressPrefixLength != 0 {
		p.say("suppress_prefixlength", strconv.Itoa(int(r.SuppressPrefixLength)-1))
	}
	p.number("preference", uint64(r.Priority))
	p.flag("no_track", r.Untracked)
	return p.String()
}

// action says what the rule does: the kernel's FR_ACT_*.
func (p *phrase) action(r *KernelRule) {
	switch r.Action {
	case 1:
		p.say("lookup")
		if r.Table == mainTable {
			p.say("main")
		} else {
			p.say(strconv.FormatUint(uint64(r.Table), 10))
		}
	case 2:
		p.say("goto", strconv.FormatUint(uint64(r.Goto), 10))
	case 3:
		p.say("nop")
	default:
		p.say(routeTypes[r.Action])
	}
}

func (p *phrase) prefix(keyword string, x netip.Prefix) {
	if x.IsValid() {
		p.say(keyword, x.String())
	}
}

func (p *phrase) ports(keyword string, first, last uint16) {
	switch {
	case first == 0 && last == 0:
	case first == last:
		p.say(keyword, strconv.Itoa(int(first)))
	default:
		p.say(keyword, fmt.Sprintf("%d-%d", first, last))
	}
}
