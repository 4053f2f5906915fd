package failovertest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"
)

// Profile is what the hosts of a course have in common.
type Profile struct {
	interval     time.Duration
	priorities   []int // of each host
	owner        int   // the host that owns the address; -1: none
	preempt      bool
	preemptDelay time.Duration
	bgpWait      time.Duration
	startupDelay time.Duration
	lease        time.Duration
	unicast      bool
	second       string // what the second router is like; empty: there is none
	core         bool   // there is a second speaker
	garp         string
	pacing       time.Duration
	with         []string // names of extras, sorted
}

// Choose draws one of the values; the first ones may be given several times to make them more likely.
func Choose[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func drawProfile(r *rand.Rand) Profile {
	hosts := Choose(r, 2, 3, 3)
	p := Profile{
		interval: Choose(r, time.Second, 300*time.Millisecond, 100*time.Millisecond), owner: -1,
		preempt: Choose(r, true, true, true, false), preemptDelay: Choose(r, 0, 0, 0, 2*time.Second),
		bgpWait: Choose(r, 0, 0, 3*time.Second), startupDelay: Choose(r, 0, 0, time.Second),
		lease: Choose(r, 3*time.Second, 2*time.Second), unicast: Choose(r, false, false, false, true),
		second: Choose(r, "", "plain", "shared address", "shared prefix", "IPv6"), core: Choose(r, true, false, false),
		garp:   Choose(r, "", "garp repeat 2 delay 1s", "garp repeat 3 delay 500ms refresh 2s refresh_repeat 2 rival_delay 300ms"),
		pacing: Choose(r, 0, 0, 0, 20*time.Millisecond),
	}
	for i := range hosts {
		p.priorities = append(p.priorities, 100+40*i)
	}
	r.Shuffle(hosts, func(i, j int) { p.priorities[i], p.priorities[j] = p.priorities[j], p.priorities[i] })
	switch r.IntN(8) {
	case 0:
		p.priorities[0] = p.priorities[1]
	case 1:
		if !p.unicast {
			p.owner = r.IntN(hosts)
			p.priorities[p.owner] = 255
		}
	}
	return p
}

func (p *Profile) hosts() int { return len(p.priorities) }

// longest is how long an election takes, whatever was before.
func (p *Profile) longest() time.Duration {
	return p.startupDelay + 2*(3*p.interval+skew(1, p.interval)) + time.Second
}

// variant is what a reload may change on one host.
type variant struct {
	priority  int // added to the priority of a host that is no owner
	more      bool
	noSecond  bool
	otherVRID bool
	med       int
	noSpeaker bool
	garp      string
	reordered bool
	stricter  bool // of the extra "checks"
	unrouted  bool // of the extra "objects"
	bare      bool // of the extra "vmac"
}

func drawVariant(r *rand.Rand) variant {
	var v variant
	switch r.IntN(8) {
	case 0:
		v.priority = Choose(r, -30, 30, 60)
	case 1:
		v.more = true
	case 2:
		v.noSecond = true
	case 3:
		v.otherVRID = true
	case 4:
		v.med = 1 + r.IntN(100)
	case 5:
		v.noSpeaker = true
	case 6:
		v.garp = "garp repeat 1 refresh 1s"
	case 7:
		v.reordered = true
	}
	return v
}

func (p *Profile) address4(host int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host + 1)}), 24)
}

func (p *Profile) address6(host int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", host+1))
}

// config returns the configuration file of a host.
func (p *Profile) config(host int, v variant) string {
	var b strings.Builder
	if p.startupDelay > 0 {
		fmt.Fprintf(&b, "startup_delay %v\n", p.startupDelay)
	}
	if p.pacing > 0 {
		fmt.Fprintf(&b, "garp_interval %v\nna_interval %v\n", p.pacing, p.pacing)
	}
	if !v.noSpeaker {
		b.WriteString("speaker EDGE allow 198.51.100.0/24 allow 198.51.101.0/24")
		if p.has("anycast") {
			b.WriteString(" allow 198.51.102.0/24")
		}
		if p.has("rpki") {
			b.WriteString(" rpki " + rpkiCache)
		}
		if p.has("max_changes") {
			fmt.Fprintf(&b, " changes %d", mostChanges)
		}
		if p.has("calm") {
			b.WriteString(" calm")
		}
		b.WriteString("\n")
		if p.core {
			b.WriteString("speaker CORE allow 198.51.100.0/24 allow 198.51.101.0/24\n")
		}
	}
	routers := []string{p.firstRouter(host, v)}
	if p.second != "" && !v.noSecond {
		routers = append(routers, p.secondRouter(host, v))
	}
	if v.reordered && len(routers) == 2 {
		routers[0], routers[1] = routers[1], routers[0]
	}
	return b.String() + strings.Join(routers, "") + p.extraLines(func(x *extra) func(*Profile, variant) string { return x.rest }, v)
}

func (p *Profile) firstRouter(host int, v variant) string {
	vip := "192.0.2.100/24"
	if p.owner >= 0 {
		vip = p.address4(p.owner).String()
	}
	priority := p.priorities[host]
	if host != p.owner {
		priority = min(254, priority+v.priority)
	}
	var b strings.Builder
	p.head(&b, "A eth0/4/51", priority, host, 4)
	dev := p.lan(firstVRID, v)
	fmt.Fprintf(&b, "  address %s %s lease %v\n  address 198.51.100.10/32 lo lease %v excluded\n", vip, dev, p.lease, p.lease)
	if v.more {
		fmt.Fprintf(&b, "  address 192.0.2.102/24 %s lease %v excluded\n", dev, p.lease)
	}
	if !v.noSpeaker {
		fmt.Fprintf(&b, "  announce 198.51.100.0/24 EDGE med %d\n  announce 198.51.100.0/24 EDGE when backup med 1000\n", 1+v.med)
		if p.core {
			b.WriteString("  announce 198.51.100.0/24 CORE med 7\n")
		}
	}
	p.tail(&b, v)
	b.WriteString(p.extraLines(func(x *extra) func(*Profile, variant) string { return x.router }, v))
	return b.String()
}

// secondVRID returns the VRID of the second router.
func (v variant) secondVRID() int {
	if v.otherVRID {
		return 53
	}
	return 52
}

func (p *Profile) secondRouter(host int, v variant) string {
	var b strings.Builder
	vrid, last := v.secondVRID(), 101
	if v.otherVRID {
		last = 103
	}
	dev := p.lan(vrid, v)
	// The second router prefers the other hosts.
	priority := 100 + 30*(p.hosts()-host)
	if p.second == "IPv6" {
		p.head(&b, fmt.Sprintf("B eth0/6/%d", vrid), priority, host, 6)
		fmt.Fprintf(&b, "  address fe80::%d/64 %s lease %v\n  address 2001:db8:%d::10/64 %s lease %v\n", vrid, dev, p.lease, vrid, dev, p.lease)
	} else {
		p.head(&b, fmt.Sprintf("B eth0/4/%d", vrid), priority, host, 4)
		fmt.Fprintf(&b, "  address 192.0.2.%d/24 %s lease %v\n", last, dev, p.lease)
	}
	if p.second == "shared address" {
		fmt.Fprintf(&b, "  address 198.51.100.10/32 lo lease %v excluded\n", p.lease)
	}
	switch {
	case v.noSpeaker:
	case p.second == "shared prefix":
		b.WriteString("  announce 198.51.100.0/24 EDGE med 500\n")
	default:
		b.WriteString("  announce 198.51.101.0/24 EDGE med 5\n")
	}
	p.tail(&b, v)
	b.WriteString(p.extraLines(func(x *extra) func(*Profile, variant) string { return x.second }, v))
	return b.String()
}

func (p *Profile) head(b *strings.Builder, name string, priority, host, family int) {
	fmt.Fprintf(b, "router %s priority %d interval %v", name, priority, p.interval)
	if !p.preempt {
		b.WriteString(" nopreempt")
	}
	if p.preemptDelay > 0 {
		fmt.Fprintf(b, " preempt_delay %v", p.preemptDelay)
	}
	if p.bgpWait > 0 {
		fmt.Fprintf(b, " bgp_wait %v", p.bgpWait)
	}
	b.WriteString(" last_word")
	if p.unicast && family == 4 {
		b.WriteString(" unicast\n")
		for i := range p.hosts() {
			if i != host {
				fmt.Fprintf(b, "  peer %s\n", p.address4(i).Addr())
			}
		}
		return
	}
	b.WriteString("\n")
}

func (p *Profile) tail(b *strings.Builder, v variant) {
	if g := p.garp; v.garp != "" {
		fmt.Fprintf(b, "  %s\n", v.garp)
	} else if g != "" {
		fmt.Fprintf(b, "  %s\n", g)
	}
}
