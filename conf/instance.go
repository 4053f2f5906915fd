package conf

import (
	"net/netip"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// instance is the draft of a vrrp_instance.
type instance struct {
	name      Token
	state     field[string]
	device    field[string]
	vrid      field[uint8]
	priority  field[uint8]
	interval  field[time.Duration]
	version   field[wire.Version]
	auth      *authentication
	hmac      *hmacBlock // auth_hmac
	source    field[netip.Addr]
	ttl       field[uint8]
	preempt   field[bool]
	hold      field[time.Duration] // preempt_delay
	unicast   *Token               // the first word that asks for unicast
	peers     peerList             // unicast_peer
	watchers  peerList
	addresses []*address
	garp      garpWords
	announce  []*announcement
	bgpWait   field[time.Duration]
	grace     field[time.Duration] // withdraw_grace
	tuning

	destination field[netip.Addr] // mcast_dst_ip
	group       *syncGroup        // that it is a member of
	tracks      []*trackLine
	ignoreLink  field[bool] // dont_track_primary
	notify      notifyWords
	noAddress   field[bool] // no_virtual_ipaddress
	noAccept    field[bool]
	promote     bool
	vmac        vmac
	routes      []*kernelRoute
	rules       []*kernelRule
	ipv6        field[bool] // native_ipv6
	regionWords
	service *service // nil: it is a vrrp_instance
}

// authentication is the draft of the block of that name.
type authentication struct {
	at   Token
	kind field[wire.AuthType]
	pass field[string]
}

// maxPreemptDelay is keepalived's.
const maxPreemptDelay = 1000 * time.Second

// instance decodes a vrrp_instance.
func (d *decoder) instance(c *cursor) {
	in := &instance{}
	name, ok := d.next(c, "a name")
	in.name = name
	walk(d, instanceWords, in, d.body(c))
	if ok && d.define("vrrp_instance", "vrrp_instance", name) {
		d.instances = append(d.instances, in)
	}
}

// usesUnicast notes that a word asks for unicast.
func (in *instance) usesUnicast(c *cursor) {
	if in.unicast == nil {
		at := c.keyword
		in.unicast = &at
	}
}

func (d *decoder) authentication(in *instance, c *cursor) {
	a := &authentication{at: c.keyword}
	if c.block != nil {
		in.auth = a
	}
	walk(d, authenticationWords, a, d.body(c))
}

var authenticationWords = newTable("authentication", []row[*authentication]{
	word("auth_type", func(d *decoder, a *authentication, c *cursor) {
		s, at, ok := d.oneOf(c, "PASS", "AH")
		if ok && s == "AH" {
			d.errorf(at, "auth_type AH is refused: version 3 has no authentication header, and that of version 2 was withdrawn")
			ok = false
		}
		a.kind.set(wire.AuthSimple, at, ok)
	}),
	single("auth_pass", func(d *decoder, a *authentication, c *cursor) { a.pass.set(d.text(c, "a password")) }),
})

// resolveAuth returns the authentication of version 2. Version 3 has none.
func (d *decoder) resolveAuth(in *instance, version wire.Version) (wire.AuthType, [8]byte) {
	var data [8]byte
	a := in.auth
	switch {
	case a == nil:
		return wire.AuthNone, data
	case a.kind.missing():
		d.errorf(a.at, "authentication without auth_type (want auth_type PASS)")
		return wire.AuthNone, data
	case a.pass.missing():
		d.errorf(a.at, "authentication without auth_pass")
		return wire.AuthNone, data
	case version == wire.V3:
		d.warnf(a.at, "authentication is ignored: VRRP version 3 has none")
		return wire.AuthNone, data
	case len(a.pass.value) > len(data):
		d.warnf(a.pass.at, "auth_pass is cut after %d characters", len(data))
	}
	copy(data[:], a.pass.value)
	return wire.AuthSimple, data
}

// groupAddress returns the multicast address of mcast_dst_ip, whichever it is.
func (d *decoder) groupAddress(c *cursor) (netip.Addr, Token, bool) {
	t, ok := d.next(c, "a multicast address")
	if !ok {
		return netip.Addr{}, t, false
	}
	a, err := netip.ParseAddr(t.Text)
	if err != nil || !a.IsMulticast() {
		d.errorf(t, "%s %q: not a multicast address", c.keyword.Text, t.Text)
		return netip.Addr{}, t, false
	}
	return a, t, true
}

// resolvePriority returns the priority, and has a word about the owner's.
func (d *decoder) resolvePriority(in *instance) uint8 {
	if in.priority.missing() && in.state.or("BACKUP") == "MASTER" {
		d.warnf(in.state.at, "state MASTER without priority means priority 255, that of the node that owns the addresses; write a priority")
		return wire.PriorityOwner
	}
	p := in.priority.or(wire.PriorityDefault)
	if p == wire.PriorityOwner {
		d.warnf(in.priority.at, "priority 255 is for the node whose interface has the addresses as its own; it takes over at once and cannot be tracked")
	}
	return p
}

// resolvePreemption returns Preempt_Mode and its delay.
func (d *decoder) resolvePreemption(in *instance, priority uint8) (preempt bool, delay time.Duration) {
	preempt, delay = in.preempt.or(true), in.hold.or(0)
	master := in.state.or("BACKUP") == "MASTER"
	switch {
	case preempt:
	case priority == wire.PriorityOwner:
		d.warnf(in.preempt.at, "nopreempt has no effect: priority 255 always preempts (RFC 9568 section 6.1)")
		preempt = true
	case master:
		d.warnf(in.preempt.at, "nopreempt holds although state is MASTER; keepalived would ignore it")
	}
	switch {
	case delay == 0:
	case priority == wire.PriorityOwner:
		d.warnf(in.hold.at, "preempt_delay has no effect: priority 255 takes over at once")
		delay = 0
	case !preempt:
		d.warnf(in.hold.at, "preempt_delay has no effect with nopreempt")
		delay = 0
	case master:
		d.warnf(in.hold.at, "preempt_delay holds although state is MASTER; keepalived would ignore it")
	}
	return preempt, delay
}

// resolveInterval returns Advertisement_Interval, which must be expressible on the wire.
func (d *decoder) resolveInterval(in *instance, version wire.Version) (wire.Centiseconds, bool) {
	if in.interval.missing() {
		return 100, true
	}
	v, at := in.interval.value, in.interval.at
	if !in.interval.ok {
		return 0, false
	}
	if version == wire.V2 {
		below := v / time.Second * time.Second
		if below == v {
			return wire.Centiseconds(v / (10 * time.Millisecond)), true
		}
		if below == 0 {
			d.errorf(at, "advert_int %s: version 2 takes whole seconds (nearest: 1; version 3 takes fractions)", at.Text)
		} else {
			d.errorf(at, "advert_int %s: version 2 takes whole seconds (nearest: %s or %s; version 3 takes fractions)",
				at.Text, formatSeconds(below), formatSeconds(min(below+time.Second, 255*time.Second)))
		}
		return 0, false
	}
	if v > wire.MaxIntervalV3.Duration() {
		d.errorf(at, "advert_int %s: out of range (version 3 takes 0.01 to 40.95 seconds)", at.Text)
		return 0, false
	}
	cs, below, above, ok := centiseconds(v)
	if !ok {
		d.errorf(at, "advert_int %s: not a whole number of centiseconds (nearest: %s or %s)", at.Text, formatSeconds(below), formatSeconds(above))
	}
	return cs, ok
}

// minDefaultLease is the shortest lease that is not asked for.
const minDefaultLease = 3 * time.Second

// defaultLease is three intervals, in whole seconds, and at least 3: a lease must outlive a few missed renewals.
func defaultLease(interval wire.Centiseconds) time.Duration {
	lease := (3*interval.Duration() + time.Second - 1) / time.Second * time.Second
	return max(lease, minDefaultLease)
}

// lease returns the kernel lifetime of an instance's addresses.
func (d *decoder) lease(interval wire.Centiseconds) time.Duration {
	if d.global.vipLease.ok {
		return d.global.vipLease.value
	}
	return max(defaultLease(interval), failover.MinLease)
}
