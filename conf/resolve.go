package conf

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// resolve makes a configuration of the drafts, and reports what does not go together. The result is meaningful only when
// nothing was wrong.
func (d *decoder) resolve() *failover.Config {
	cfg := &failover.Config{Hash: d.sum()}
	d.resolveGlobals(cfg)
	for _, s := range d.speakers {
		cfg.Speakers = append(cfg.Speakers, d.resolveSpeaker(s))
	}
	d.checkShared(cfg)
	d.joinGroups()
	d.lookupTracks()
	d.resolveMembers()
	for _, in := range d.instances {
		cfg.Routers = append(cfg.Routers, d.resolveInstance(in, cfg))
	}
	for _, in := range d.services {
		cfg.Routers = append(cfg.Routers, d.resolveService(in, cfg))
	}
	d.resolveRegions(cfg)
	d.resolveGroups(cfg)
	d.resolveKernelObjects(cfg)
	d.resolveTrackers(cfg)
	d.resolveKeepLast(cfg)
	d.resolveDelays(cfg)
	cfg.Uses, cfg.Interfaces = d.uses, d.interfaceUses()
	d.checkIdentities(cfg)
	d.checkAddresses(cfg)
	d.checkOwnAddresses(cfg)
	d.checkSpeakerPairs(cfg)
	d.resolveLeases(cfg)
	d.checkAnnouncements(cfg)
	if !d.broken() {
		d.askOthers(cfg)
	}
	return cfg
}

// sum returns the hash of the text, and of the files that are part of it.
func (d *decoder) sum() string {
	if len(d.extra) == 0 {
		return d.hash
	}
	h := sha256.New()
	h.Write([]byte(d.hash))
	for _, s := range d.extra {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// resolveInstance returns the configuration of a router.
func (d *decoder) resolveInstance(in *instance, cfg *failover.Config) failover.RouterConfig {
	g := &d.global
	if in.device.missing() {
		d.errorf(in.name, "vrrp_instance %s: interface is missing", in.name.Text)
	}
	if in.vrid.missing() {
		d.errorf(in.name, "vrrp_instance %s: virtual_router_id is missing", in.name.Text)
	}
	r := failover.RouterConfig{Name: in.name.Text, BGPWait: in.bgpWait.or(defaultBGPWait), GARP: in.garp.resolve(g)}
	v := &r.VRRP
	v.Key = vrrp.Key{Interface: in.device.or(""), Family: in.family(), VRID: in.vrid.or(0)}
	version, ok := d.resolveVersion(in, v.Key.Family)
	v.Version = version
	v.Priority = d.resolvePriority(in)
	v.Preempt, v.PreemptDelay = d.resolvePreemption(in, v.Priority)
	v.DownTimerAdverts = in.downTimer.or(g.downTimer.or(defaultDown))
	v.SilentOnLowerPriority = in.silent.or(g.silent.or(false))
	v.LastWord = in.lastWord.or(g.lastWord.or(false))
	if ok {
		v.Interval, _ = d.resolveInterval(in, version)
		v.AuthType, v.AuthData = d.resolveAuth(in, version)
		v.HMAC = d.resolveHMAC(in, v.Interval.Duration())
		if version == wire.V3 && v.Key.Family == wire.IPv4 && in.messageChecksum.or(g.messageChecksum.or(false)) {
			v.Checksum = wire.ChecksumMessage
		}
	}
	d.resolveAddresses(in, &r, d.resolveInstanceVMAC(in, &r))
	d.resolveBehaviour(in, &r)
	if v.Key.Family != 0 {
		d.resolveGroup(in, v.Key.Family)
		d.resolveUnicast(in, v)
		d.checkUnauthenticated(in)
		d.resolveSource(in, &r)
		r.TTL = in.ttl.or(0)
	}
	for _, a := range in.announce {
		if out, ok := d.resolveAnnouncement(a, cfg); ok {
			r.Announce = append(r.Announce, out)
		}
	}
	d.resolveWithdrawGrace(in, &r)
	return r
}

// resolveBehaviour fills in what a router depends on and whom it tells.
func (d *decoder) resolveBehaviour(in *instance, r *failover.RouterConfig) {
	v := &r.VRRP
	r.WantedState = in.state.or("")
	r.IgnoreLink = in.ignoreLink.or(false)
	r.NoAccept = in.noAccept.or(false)
	r.PromoteSecondaries = in.promote
	r.Notify = d.resolveNotify(&in.notify, "vrrp_instance "+in.name.Text)
	d.resolveTracks(in, r)
	if v.Key.Interface == "lo" && in.unicast == nil {
		d.warnf(in.device.at, "interface lo: nobody hears advertisements there; the role follows the checks alone")
	}
	switch own := &in.ownerIgnores; {
	case v.Priority == wire.PriorityOwner:
		v.OwnerIgnoresAdverts = own.or(d.global.ownerIgnores.or(false))
	case own.or(false):
		d.warnf(own.at, "owner_ignore_adverts has no effect: only priority 255 owns its addresses")
	}
}

// family is that of the first address that is advertised; 0: it is not known. An instance without any has that of its
// native_ipv6, or of what its words have.
func (in *instance) family() wire.Family {
	for _, a := range in.addresses {
		if a.ok && !a.excluded {
			return wire.FamilyOf(a.prefix.Addr())
		}
	}
	switch {
	case !in.noAddress.ok:
		return 0
	case in.ipv6.ok:
		return wire.IPv6
	case in.source.ok:
		return wire.FamilyOf(in.source.value)
	case len(in.peers.peers) > 0:
		return wire.FamilyOf(in.peers.peers[0].addr)
	}
	return wire.IPv4
}

// resolveVersion returns the version, if there is no doubt about it.
func (d *decoder) resolveVersion(in *instance, f wire.Family) (wire.Version, bool) {
	if f != wire.IPv6 {
		return in.version.or(d.global.version.or(wire.V2)), in.version.ok || in.version.missing()
	}
	if in.version.ok && in.version.value == wire.V2 {
		d.errorf(in.version.at, "version 2 exists over IPv4 only, and the first virtual address is IPv6")
		return wire.V3, false
	}
	return wire.V3, true
}

// resolveAddresses fills in what is programmed and what is advertised. device is the interface of what names none.
func (d *decoder) resolveAddresses(in *instance, r *failover.RouterConfig, device string) {
	family := r.VRRP.Key.Family
	lease := d.lease(r.VRRP.Interval)
	var excluded []failover.Address
	wrong := false
	for _, a := range in.addresses {
		switch {
		case !a.ok:
			wrong = true
		case a.excluded:
			excluded = append(excluded, d.resolveAddress(a, device, lease))
		case wire.FamilyOf(a.prefix.Addr()) != family:
			d.errorf(a.at, "virtual_ipaddress %s: the first address is %s, and an instance has one family (virtual_ipaddress_excluded takes both)", a.prefix, family)
			wrong = true
		default:
			if most := vrrp.MaxAddresses(family, in.hmac != nil); len(r.VRRP.Addresses) == most {
				d.errorf(a.at, "virtual_ipaddress %s: no more than %d %s addresses fit into an advertisement; put the rest into virtual_ipaddress_excluded", a.prefix, most, family)
			}
			d.checkFirst(in, a, r)
			r.Addresses = append(r.Addresses, d.resolveAddress(a, device, lease))
			r.VRRP.Addresses = append(r.VRRP.Addresses, a.prefix.Addr())
		}
	}
	r.Addresses = append(r.Addresses, excluded...)
	some := len(r.VRRP.Addresses) > 0
	switch {
	case family == 0 && !wrong:
		d.errorf(in.name, "vrrp_instance %s: virtual_ipaddress names no address; if there is to be none, write no_virtual_ipaddress", in.name.Text)
	case some && in.noAddress.ok:
		d.warnf(in.noAddress.at, "no_virtual_ipaddress has no effect: virtual_ipaddress names an address")
	}
	if some && in.ipv6.ok {
		d.warnf(in.ipv6.at, "native_ipv6 is ignored: the family is that of the first virtual address")
	}
}

// checkFirst holds IPv6 to RFC 9568 section 5.2.9. In unicast no receiver asks for it.
func (d *decoder) checkFirst(in *instance, a *address, r *failover.RouterConfig) {
	if len(r.VRRP.Addresses) == 0 && a.prefix.Addr().Is6() && in.unicast == nil && !a.prefix.Addr().IsLinkLocalUnicast() {
		d.errorf(a.at, "virtual_ipaddress %s: the first IPv6 address must be link-local, for example fe80::%x/64 (RFC 9568 section 5.2.9)",
			a.prefix, r.VRRP.Key.VRID)
	}
}

// resolveSource fills in the address that advertisements are sent from.
func (d *decoder) resolveSource(in *instance, r *failover.RouterConfig) {
	if !in.source.ok {
		return
	}
	src, at, family := in.source.value, in.source.at, r.VRRP.Key.Family
	switch {
	case wire.FamilyOf(src) != family:
		d.errorf(at, "source %s: the virtual addresses are %s", src, family)
	case family == wire.IPv6 && !r.VRRP.Unicast && !src.IsLinkLocalUnicast():
		d.errorf(at, "source %s: IPv6 advertisements come from a link-local address (RFC 9568 section 5.1.2.1)", src)
	case family == wire.IPv6 && r.VRRP.Unicast && src.IsLinkLocalUnicast():
		d.errorf(at, "source %s: a link-local address is not reachable by unicast without an interface; use a global one", src)
	case r.VRRP.Priority != wire.PriorityOwner && hasAddress(r, src):
		d.errorf(at, "source %s is one of the virtual addresses", src)
	}
	r.Source = src
}

func hasAddress(r *failover.RouterConfig, a netip.Addr) bool {
	for i := range r.Addresses {
		if r.Addresses[i].Prefix.Addr() == a {
			return true
		}
	}
	return false
}

// checkIdentities looks for two routers that could not be told apart.
func (d *decoder) checkIdentities(cfg *failover.Config) {
	type station struct {
		source netip.Addr
		vrid   uint8
	}
	keys, stations := map[vrrp.Key]*instance{}, map[station]*instance{}
	for i, in := range d.instances {
		r := &cfg.Routers[i]
		k := r.VRRP.Key
		if k.Interface == "" || k.Family == 0 || k.VRID == 0 {
			continue
		}
		if first := keys[k]; first != nil {
			d.errorf(in.vrid.at, "virtual_router_id %d is used twice on interface %s over %s: vrrp_instance %s has it at %s",
				k.VRID, k.Interface, k.Family, first.name.Text, first.vrid.at.Pos)
			continue
		}
		keys[k] = in
		if r.VRRP.Unicast && r.Source.IsValid() {
			st := station{r.Source, k.VRID}
			if first := stations[st]; first != nil {
				d.errorf(in.vrid.at, "virtual_router_id %d is used twice by unicast from %s: vrrp_instance %s has it at %s",
					k.VRID, r.Source, first.name.Text, first.vrid.at.Pos)
			}
			stations[st] = in
		}
	}
}

// askOthers asks those who will work with the configuration. Nothing that gets here should displease them; if something
// does, an error without its exact place is better than an agent that cannot start.
func (d *decoder) askOthers(cfg *failover.Config) {
	for i, s := range d.speakers {
		if err := cfg.Speakers[i].Check(); err != nil {
			d.errorf(s.name, "bgp_speaker: %v", err)
		}
	}
	for i, in := range d.routers() {
		if _, err := vrrp.New(cfg.Routers[i].VRRP); err != nil {
			d.errorf(in.name, "%s %s: %v", in.kind(), in.name.Text, err)
		}
	}
}

// broken reports whether anything is wrong so far.
func (d *decoder) broken() bool {
	for i := range d.findings {
		if d.findings[i].Severity == Error && !d.findings[i].tolerable {
			return true
		}
	}
	return false
}

// checkAddresses looks for addresses that two entries claim. The kernel has each of them once per interface, and each
// of two owners would take it away from the other.
func (d *decoder) checkAddresses(cfg *failover.Config) {
	type place struct {
		device string
		addr   netip.Addr
	}
	owners := map[place]*address{}
	for i, in := range d.routers() {
		own := cfg.Routers[i].VRRP.Key.Interface
		if m := cfg.Routers[i].VMAC; m != nil {
			own = m.Name
		}
		for _, a := range in.addresses {
			device := a.device.or(own)
			if !a.ok || device == "" {
				continue
			}
			p := place{device, a.prefix.Addr()}
			first, twice := owners[p]
			switch {
			case !twice:
				owners[p] = a
			case p.addr.Is4() && first.prefix != a.prefix:
				// Two addresses to the kernel, as long as the lengths differ; to everybody else they are one.
				d.warnf(a.at, "virtual address %s on %s is there twice, with another length at %s", p.addr, device, first.at.Pos)
			default:
				d.errorf(a.at, "virtual address %s on %s is there twice, first at %s", p.addr, device, first.at.Pos)
			}
		}
	}
}

// checkAnnouncements looks for routes that contradict each other, and for more of them than a speaker may announce.
func (d *decoder) checkAnnouncements(cfg *failover.Config) {
	type line struct {
		speaker string
		prefix  netip.Prefix
	}
	type roleOf struct {
		line
		role failover.Role
	}
	prefixes := map[line]*instance{}
	announced := map[string]int{}
	for _, in := range d.routers() {
		roles := map[roleOf]Token{}
		for _, a := range in.announce {
			if !a.ok || !a.speaker.ok {
				continue
			}
			l := line{a.speaker.value, a.prefix}
			r := roleOf{l, a.role.or(failover.RoleActive)}
			if first, twice := roles[r]; twice {
				d.errorf(a.at, "bgp_announce %s speaker %s when %s is there twice, first at %s", a.prefix, l.speaker, r.role, first.Pos)
			}
			roles[r] = a.at
			switch other := prefixes[l]; {
			case other == nil:
				prefixes[l] = in
				announced[l.speaker]++
				d.checkLimit(a, cfg.Speaker(l.speaker), announced[l.speaker])
			case other != in:
				d.warnf(a.at, "bgp_announce %s speaker %s: %s %s announces it too", a.prefix, l.speaker, other.kind(), other.name.Text)
			}
		}
	}
}

func (d *decoder) checkLimit(a *announcement, s *bgp.SpeakerConfig, n int) {
	if s != nil && s.MaxAnnouncements != 0 && n == s.MaxAnnouncements+1 {
		d.errorf(a.at, "bgp_announce %s: more prefixes than the max_announcements %d of speaker %s", a.prefix, s.MaxAnnouncements, s.Name)
	}
}
