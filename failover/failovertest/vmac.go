package failovertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// The extra "vmac": each router has a virtual link-layer address, and its addresses on the LAN are on a macvlan interface. Where
// one host is the owner of the address it is there without any effect: what is an owner's own is on eth0.

// usesVMAC reports whether the routers of a course have macvlan interfaces.
func (p *Profile) usesVMAC() bool { return p.has("vmac") && p.owner < 0 }

// lan returns the interface that a router's addresses on the LAN are on.
func (p *Profile) lan(vrid int, v variant) string {
	if p.usesVMAC() && !v.bare {
		return vmacName(vrid)
	}
	return "eth0"
}

func vmacName(vrid int) string { return fmt.Sprintf("vrrp.%d", vrid) }

// vrids are those that routers may have.
var vrids = []int{firstVRID, 52, 53}

func (p *Profile) vmacLine(vrid int, v variant) string {
	if p.lan(vrid, v) == "eth0" {
		return ""
	}
	return lines("  vmac %s\n", vmacName(vrid))
}

func firstVMAC(p *Profile, v variant) string { return p.vmacLine(firstVRID, v) }

func secondVMAC(p *Profile, v variant) string { return p.vmacLine(v.secondVRID(), v) }

// addDevices prepares a host: the interfaces do not exist yet.
func (h *Host) addDevices() {
	for _, vrid := range vrids {
		h.Kernel.links = append(h.Kernel.links, &kernelLink{name: vmacName(vrid), parent: "eth0"})
	}
}

// devicesWork ends all faults of the macvlan interfaces.
func (h *Host) devicesWork() {
	h.Kernel.refusing = 0
	h.kickDevices()
}

func (h *Host) kickDevices() {
	if h.agent != nil && h.world.has("vmac") {
		h.agent.devices.kick()
	}
}

// follow has the macvlan interfaces follow what has happened to eth0: they go down and up with it, and are gone when it is.
func (k *Kernel) follow(parent *kernelLink) {
	for _, l := range k.links {
		switch {
		case l.parent != parent.name || l.index == 0:
		case parent.index == 0:
			k.removeLink(l, byOthers)
		case l.up != parent.up:
			k.raise(l, parent.up)
		}
	}
	k.host.kickDevices()
}

// raise brings a macvlan interface up, or down. The kernel flushes IPv6 addresses when an interface goes down.
func (k *Kernel) raise(l *kernelLink, up bool) {
	k.host.world.checker.touch(k.host)
	k.host.world.log(k.host, "kernel: %s up %v", l.name, up)
	l.up = up
	for _, a := range slices.Clone(l.addresses) {
		if !up && a.prefix.Addr().Is6() {
			k.remove(failover.AddressKey{Interface: l.name, Prefix: a.prefix}, byOthers)
		}
	}
	k.changed(l)
}

// addLink makes a macvlan interface.
func (k *Kernel) addLink(l *kernelLink) {
	w := k.host.world
	w.checker.touch(k.host)
	l.index, l.up = 2000+int(w.sequence%1000), k.link(l.parent).up
	w.log(k.host, "kernel: add link %s index %d", l.name, l.index)
	k.changed(l)
}

// removeLink removes a macvlan interface with its addresses.
func (k *Kernel) removeLink(l *kernelLink, by remover) {
	k.host.world.checker.touch(k.host)
	k.host.world.log(k.host, "kernel: remove link %s by %s", l.name, by)
	for _, a := range slices.Clone(l.addresses) {
		k.remove(failover.AddressKey{Interface: l.name, Prefix: a.prefix}, by)
	}
	l.index, l.up = 0, false
	k.changed(l)
}

// vmacs returns the names of the macvlan interfaces that there are.
func (k *Kernel) vmacs() (names []string) {
	for _, l := range k.links {
		if l.parent != "" && l.index != 0 {
			names = append(names, l.name)
		}
	}
	return names
}

// deviceWorker is the worker of an agent that makes the kernel have its macvlan interfaces, whatever the roles are, and reports
// which of them it cannot make. On an orderly way out it removes them.
type deviceWorker struct {
	agent   *agent
	want    []failover.Device
	asked   bool              // there is a set that was not looked at yet
	failed  map[string]string // of the last report
	leaving int               // how many routers were leaving when want was set
	planned bool
}

// fixtures has the worker do what the agent's configuration asks for now.
func (a *agent) fixtures() {
	if !a.world.has("vmac") {
		return
	}
	a.devices.want, _ = a.core.Fixtures()
	a.devices.leaving, a.devices.asked = a.core.Leaving(), true
	a.devices.kick()
}

// kick has the worker look again soon.
func (d *deviceWorker) kick() {
	if d.planned {
		return
	}
	d.planned = true
	a := d.agent
	a.world.After(a.world.upTo(workerDelay)+a.world.upTo(a.host.mood.kernel), func() {
		d.planned = false
		switch {
		case a.host.agent != a: // dead
		case a.frozen:
			d.planned, a.thaw = true, append(a.thaw, func() { d.planned = false; d.kick() })
		default:
			d.work()
		}
	})
}

func (d *deviceWorker) wants(name string) bool {
	return slices.ContainsFunc(d.want, func(x failover.Device) bool { return x.Name == name })
}

func (d *deviceWorker) work() {
	k, failed := d.agent.host.Kernel, make(map[string]string)
	for _, l := range k.links {
		parent := k.link(l.parent)
		switch {
		case parent == nil:
		case !d.wants(l.name):
			if l.index != 0 {
				d.agent.world.checker.deviceGoes(d.agent, l)
				k.removeLink(l, byOwner)
			}
		case parent.index == 0:
			failed[l.name] = "no such device: " + parent.name
		case l.index != 0 && l.up != parent.up:
			k.raise(l, parent.up)
		case l.index != 0:
		case k.refusing > 0:
			failed[l.name] = "file exists"
		default:
			k.addLink(l)
		}
	}
	if d.asked || !maps.Equal(failed, d.failed) {
		d.asked, d.failed = false, failed
		d.agent.result(failover.DevicesReported{Failed: maps.Clone(failed)})
	}
}

// end removes everything.
func (d *deviceWorker) end() {
	if d.agent.world.mutation == LeftDevice {
		return
	}
	for _, l := range d.agent.host.Kernel.links {
		if l.parent != "" && l.index != 0 {
			d.agent.host.Kernel.removeLink(l, byOwner)
		}
	}
}

// deviceGoes: a macvlan interface is not taken away while a router serves with an address on it (VMAC).
func (c *checker) deviceGoes(a *agent, l *kernelLink) {
	for _, x := range l.addresses {
		if k := (failover.AddressKey{Interface: l.name, Prefix: x.prefix}); a.serves(k) {
			c.fail("VMAC", "%s removes %s, although it serves with %s", a.host.Name, l.name, k)
		}
	}
}

// fromVMAC: multicast leaves from the virtual link-layer address (RFC 9568 section 7.3), and everything else from that of the
// interface (VMAC).
func (c *checker) fromVMAC(a *agent, k vrrp.Key, v *failover.Advert, p *wire.Packet) {
	r := router(a.core.Config(), k)
	if r == nil || p.Priority == wire.PriorityRelease || a.adopted[len(a.adopted)-1] == c.w.now {
		return // a reload of this batch may have made another router of who leaves, or has spoken before it
	}
	var want [6]byte
	if r.VMAC != nil && v.Dst.IsMulticast() {
		want = virtualMAC(k)
	}
	if v.MAC != want {
		c.fail("VMAC", "%s advertises %s from % x, and should from % x", a.host.Name, k, v.MAC, want)
	}
}

// virtualMAC returns the link-layer address of a virtual router.
func virtualMAC(k vrrp.Key) [6]byte {
	mac := [6]byte{0x00, 0x00, 0x5e, 0x00, 0x01, k.VRID}
	if k.Family == wire.IPv6 {
		mac[4] = 0x02
	}
	return mac
}

// carried reports whether the macvlan interface of a router is there.
func (c *checker) carried(h *Host, k vrrp.Key) bool {
	if h.agent == nil || !c.w.has("vmac") {
		return true
	}
	r := router(h.agent.core.Config(), k)
	if r == nil || r.VMAC == nil {
		return true
	}
	return h.Kernel.link(r.VMAC.Name).index != 0
}

// equipped: a host has exactly the macvlan interfaces of its configuration, and they are up (VMAC).
func (c *checker) equipped(a *agent) {
	if !c.w.has("vmac") {
		return
	}
	var want []string
	for _, r := range a.core.Config().Routers {
		if r.VMAC != nil {
			want = append(want, r.VMAC.Name)
		}
		if r.VMAC != nil && !a.host.Kernel.up(r.VMAC.Name) {
			c.fail("VMAC", "%s is not up on %s", r.VMAC.Name, a.host.Name)
		}
	}
	have := a.host.Kernel.vmacs()
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		c.fail("VMAC", "%s has %v, and should have %v", a.host.Name, have, want)
	}
}

// vmacOf draws one of the macvlan interfaces that a host has; nil: there is none.
func (k *Kernel) vmacOf(r *rand.Rand) *kernelLink {
	names := k.vmacs()
	if len(names) == 0 {
		return nil
	}
	return k.link(Choose(r, names...))
}

// deviceDeleted has somebody delete a macvlan interface, or set it down.
func (s *scenario) deviceDeleted(h *Host, f *Fault, r *rand.Rand) {
	l := h.Kernel.vmacOf(r)
	if l == nil {
		return
	}
	s.w.checker.hurts(h)
	s.w.checker.disturb()
	if f.N%3 == 0 {
		h.Kernel.raise(l, false)
	} else {
		h.Kernel.removeLink(l, byOthers)
	}
	h.kickDevices()
}

// deviceFails has somebody put something of another kind in the place of a macvlan interface for a while.
func (s *scenario) deviceFails(h *Host, f *Fault, r *rand.Rand) {
	l := h.Kernel.vmacOf(r)
	if l == nil {
		return
	}
	s.w.checker.hurts(h)
	s.w.checker.refusals = true
	h.Kernel.refusing++
	h.Kernel.removeLink(l, byOthers)
	h.kickDevices()
	s.impair(f.For, func() {
		h.Kernel.refusing--
		h.kickDevices()
	})
}

// withoutVMAC is a reload that takes the virtual link-layer addresses away.
func (s *scenario) withoutVMAC(h *Host, _ *Fault, _ *rand.Rand) {
	if !s.usesVMAC() {
		return
	}
	s.w.checker.disturb()
	h.Config = s.config(h.index, variant{bare: true})
	h.reload()
}
