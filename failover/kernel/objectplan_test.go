package kernel

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// planned is a kernel and a wish, made step by step.
type planned struct {
	have *objectTable
	want objectWish
	now  time.Time
}

func newPlanned() *planned {
	p := &planned{have: newObjectTable(), want: newObjectWish(), now: time.Unix(1000, 0)}
	p.have.links.putLink(link{index: 1, name: "eth0", flags: unix.IFF_UP})
	p.have.links.putLink(link{index: 2, name: "eth1", flags: unix.IFF_UP})
	p.have.links.putLink(link{index: 3, name: "down0"})
	return p
}

// route makes a route wanted, or only known.
func (p *planned) route(r failover.KernelRoute, wanted bool) *routeMemory {
	m := &routeMemory{key: r.Key(), want: r}
	m.wanted = wanted
	p.want.knownRoutes[m.key] = m
	if wanted {
		p.want.routes = append(p.want.routes, m)
	}
	return m
}

func (p *planned) rule(r failover.KernelRule, wanted bool) *ruleMemory {
	m := &ruleMemory{rule: ruleTarget(r), names: []failover.KernelRule{r}}
	m.wanted = wanted
	p.want.knownRules[m.rule] = m
	if wanted {
		p.want.rules = append(p.want.rules, m)
	}
	return m
}

// there puts the route into the kernel, as somebody with the protocol number would.
func (p *planned) there(r failover.KernelRoute, proto uint8) *routeEntry {
	e, _ := routeTarget(&r, p.have.links)
	e.proto = proto
	p.have.routes[e.key] = append(p.have.routes[e.key], e)
	return &p.have.routes[e.key][len(p.have.routes[e.key])-1]
}

func (p *planned) ops() (lines []string) {
	for _, o := range planObjects(p.have, &p.want, p.now) {
		lines = append(lines, o.kind.String()+" "+o.noun()+" "+o.describe(p.have.links))
	}
	return lines
}

func TestPlanObjects(t *testing.T) {
	route := unicast("10.8.0.0/16", "10.0.0.2", "eth0")
	other := unicast("10.8.0.0/16", "10.0.0.3", "eth0")
	six, otherSix := unicast("2001:db8:8::/48", "fe80::2", "eth0"), unicast("2001:db8:8::/48", "fe80::3", "eth0")
	rule := toTable("10.8.0.0/16", 100)
	for _, row := range []struct {
		name  string
		world func(p *planned)
		want  []string
	}{
		{"nothing", func(*planned) {}, nil},
		{"missing", func(p *planned) { p.route(route, true); p.rule(rule, true) }, []string{
			"add route 10.8.0.0/16 via 10.0.0.2 dev eth0 proto 112", "add rule from 10.8.0.0/16 table 100 preference 100",
		}},
		{"additions before deletions, routes enclose rules", func(p *planned) {
			p.route(route, true)
			p.rule(rule, true)
			p.route(six, false)
			p.there(six, Protocol)
			p.rule(toTable("10.9.0.0/16", 101), false)
			p.have.rules[toTable("10.9.0.0/16", 101)] = []uint8{Protocol}
		}, []string{
			"add route 10.8.0.0/16 via 10.0.0.2 dev eth0 proto 112", "add rule from 10.8.0.0/16 table 100 preference 100",
			"delete rule from 10.9.0.0/16 table 101 preference 101", "delete route 2001:db8:8::/48 metric 1024 via fe80::2 dev eth0 proto 112",
		}},
		{"there already", func(p *planned) { p.route(route, true); p.there(route, Protocol) }, nil},
		{"somebody else's serves", func(p *planned) { p.route(route, true); p.there(route, 4) }, nil},
		{"somebody else's with other content blocks", func(p *planned) { p.route(route, true); p.there(other, 4) }, nil},
		{"ours with other content", func(p *planned) { p.route(route, true); p.there(other, Protocol) }, []string{
			"replace route 10.8.0.0/16 via 10.0.0.2 dev eth0 proto 112",
		}},
		{"ours with other content behind somebody else's", func(p *planned) {
			p.route(route, true)
			p.there(unicast("10.8.0.0/16", "10.0.0.4", "eth0"), 4)
			p.there(other, Protocol)
		}, []string{
			"delete route 10.8.0.0/16 via 10.0.0.3 dev eth0 proto 112", "add route 10.8.0.0/16 via 10.0.0.2 dev eth0 proto 112",
		}},
		{"ours with other content before somebody else's", func(p *planned) {
			p.route(route, true)
			p.there(other, Protocol)
			p.there(unicast("10.8.0.0/16", "10.0.0.4", "eth0"), 4)
		}, []string{"replace route 10.8.0.0/16 via 10.0.0.2 dev eth0 proto 112"}},
		{"IPv6 next hops of somebody else stay", func(p *planned) {
			m := p.route(six, true)
			target, _ := routeTarget(&otherSix, p.have.links)
			m.target, m.seen = &target, &target
			e := p.there(otherSix, Protocol)
			e.hops = append(e.hops, hop{gateway: addr("fe80::77"), index: 2, weight: 1})
		}, []string{
			"delete route 2001:db8:8::/48 metric 1024 via fe80::3 dev eth0 proto 112",
			"add route 2001:db8:8::/48 metric 1024 via fe80::2 dev eth0 proto 112",
		}},
		{"as the kernel has made it of what was written", func(p *planned) {
			m := p.route(route, true)
			target, _ := routeTarget(&route, p.have.links)
			e := p.there(route, Protocol)
			e.mtu = 65520
			seen := *e
			m.target, m.seen = &target, &seen
		}, nil},
		{"changed since it was written", func(p *planned) {
			m := p.route(route, true)
			target, _ := routeTarget(&route, p.have.links)
			m.target, m.seen = &target, &target
			p.there(route, Protocol).mtu = 1280
		}, []string{"replace route 10.8.0.0/16 via 10.0.0.2 dev eth0 proto 112"}},
		{"no longer wanted, of somebody else", func(p *planned) { p.route(route, false); p.there(route, 4) }, nil},
		{"no longer wanted, with a configured protocol", func(p *planned) {
			p.route(route, false).seen = p.there(route, 4)
		}, []string{"delete route 10.8.0.0/16 via 10.0.0.2 dev eth0 proto 4"}},
		{"interface is down", func(p *planned) { p.route(unicast("10.8.0.0/16", "", "down0"), true) }, nil},
		{"interface does not exist", func(p *planned) { p.route(unicast("10.8.0.0/16", "", "eth7"), true) }, nil},
		{"held back", func(p *planned) { p.route(route, true).losses.hold(p.now, time.Second) }, nil},
		{"failed a moment ago", func(p *planned) { p.route(route, true).fail(p.now, "why"); p.rule(rule, true).fail(p.now, "why") }, nil},
		{"failed long ago", func(p *planned) { p.route(route, true).fail(p.now.Add(-time.Minute), "why") }, []string{
			"add route 10.8.0.0/16 via 10.0.0.2 dev eth0 proto 112",
		}},
		{"rule of somebody else serves", func(p *planned) { p.rule(rule, true); p.have.rules[rule] = []uint8{4} }, nil},
		{"rule of somebody else stays", func(p *planned) { p.rule(rule, false); p.have.rules[rule] = []uint8{4} }, nil},
		{"rule without a number that we have added", func(p *planned) {
			p.rule(rule, false).added = true
			p.have.rules[rule] = []uint8{0}
		}, []string{"delete rule from 10.8.0.0/16 table 100 preference 100"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPlanned()
			row.world(p)
			if diff := cmp.Diff(row.want, p.ops()); diff != "" {
				t.Errorf("ops (-want +got):\n%s", diff)
			}
		})
	}
}

// What is not done is explained.
func TestJudgeRouteSaysWhy(t *testing.T) {
	route := unicast("10.8.0.0/16", "10.0.0.2", "eth0")
	for _, row := range []struct {
		name, want string
		world      func(p *planned) *routeMemory
	}{
		{"missing interface", "interface eth7 does not exist", func(p *planned) *routeMemory { return p.route(unicast("10.8.0.0/16", "", "eth7"), true) }},
		{"interface down", "interface down0 is down", func(p *planned) *routeMemory { return p.route(unicast("10.8.0.0/16", "", "down0"), true) }},
		{"failed", "no luck", func(p *planned) *routeMemory {
			m := p.route(route, true)
			m.fail(p.now, "no luck")
			return m
		}},
		{
			"somebody else's", "somebody else has a route with the same key: unreachable 10.8.0.0/16 proto 4",
			func(p *planned) *routeMemory {
				p.there(failover.KernelRoute{Type: 7, Destination: route.Destination, Table: 254}, 4)
				return p.route(route, true)
			},
		},
		{
			"somebody else's multipath",
			"somebody else has a route with the same key: 10.8.0.0/16 nexthop via 10.0.0.3 dev eth0 weight 2 nexthop dev eth1 weight 1 onlink src 10.0.0.1 proto 4",
			func(p *planned) *routeMemory {
				p.there(failover.KernelRoute{
					Type: 1, Destination: route.Destination, Table: 254, Source: addr("10.0.0.1"),
					NextHops: []failover.NextHop{{Gateway: addr("10.0.0.3"), Interface: "eth0", Weight: 2}, {Interface: "eth1", OnLink: true}},
				}, 4)
				return p.route(route, true)
			},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPlanned()
			if _, _, v, why := judgeRoute(p.have, row.world(p), p.now); v != isBlocked || why != row.want {
				t.Errorf("%d %q, want %q", v, why, row.want)
			}
		})
	}
}

// What is written is read again, for all forms.
func TestRouteMessageRoundTrip(t *testing.T) {
	links := newTable()
	for i, name := range []string{"lo", "eth0", "eth1"} {
		links.putLink(link{index: i + 1, name: name, flags: unix.IFF_UP})
	}
	for _, row := range routeForms() {
		want, problem := routeTarget(&row.route, links)
		if problem != "" {
			t.Fatal(row.words, problem)
		}
		body := routeRequest(unix.RTM_NEWROUTE, createExclusively, &want).Serialize()[unix.SizeofNlMsghdr:]
		got, ok := parseRoute(body, nil)
		if !ok || !got.equal(&want) {
			t.Errorf("%s: %+v, want %+v", row.words, got, want)
		}
		if _, ok := parseRoute(body, func(k failover.RouteKey, proto uint8) bool { return k != want.key || proto != Protocol }); ok {
			t.Errorf("%s: not wanted, but read", row.words)
		}
	}
}

func TestTwoFormsOfOneRule(t *testing.T) {
	a := toTable("", 100)
	b := a
	b.From, b.Untracked, b.Goto, b.Mark, b.UIDLast = prefix("0.0.0.0/0"), true, 9, 7, 3
	if ruleTarget(a) != ruleTarget(b) {
		t.Errorf("%+v\n%+v", ruleTarget(a), ruleTarget(b))
	}
}

func FuzzParseObjects(f *testing.F) {
	links := newTable()
	for _, row := range routeForms() {
		e, _ := routeTarget(&row.route, links)
		f.Add(uint16(unix.RTM_NEWROUTE), routeRequest(unix.RTM_NEWROUTE, 0, &e).Serialize()[unix.SizeofNlMsghdr:])
	}
	rule := ruleEntry{toTable("2001:db8::/32", 100), Protocol}
	rule.DestPortLast, rule.HasUID, rule.Mask = 9, true, 1
	f.Add(uint16(unix.RTM_NEWRULE), ruleRequest(unix.RTM_NEWRULE, 0, &rule).Serialize()[unix.SizeofNlMsghdr:])
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		c, ok := parseObjectChange(unix.NlMsghdr{Type: kind}, b)
		if !ok {
			return
		}
		switch c.kind {
		case objectRoute:
			if !c.route.key.Destination.IsValid() {
				t.Errorf("destination %v", c.route.key.Destination)
			}
			c.route.describe(links)
			routeRequest(unix.RTM_DELROUTE, 0, &c.route).Serialize()
		case objectRule:
			if c.rule.KernelRule != ruleTarget(c.rule.KernelRule) {
				t.Errorf("not in normal form: %+v", c.rule)
			}
			if !strings.Contains(describeRule(&c.rule.KernelRule), "preference") || slices.Contains([]netip.Prefix{c.rule.From}, prefix("0.0.0.0/0")) {
				t.Errorf("described as %q", describeRule(&c.rule.KernelRule))
			}
		case objectLink, objectAddress:
		}
	})
}
