package conf

import (
	"net/netip"
	"slices"

	"failoverd/failover"
)

// staticWords may follow an address of static_ipaddress: the options of virtual addresses, but for those that a router
// must be there for.
var staticWords = newTable("static_ipaddress", staticRows()...).inEntries()

func staticRows() [][]row[*address] {
	ofRouters := []string{"use_vmac", "track_group"}
	out := [][]row[*address]{
		all[*address](refused, "", "it belongs to the addresses of a vrrp_instance", "use_vmac"),
		unsupported[*address](refused, "an address that vanishes is put back and costs no role", "track_group"),
	}
	for _, rows := range addressRows {
		out = append(out, slices.DeleteFunc(slices.Clone(rows), func(r row[*address]) bool {
			return slices.Contains(ofRouters, r.name)
		}))
	}
	return out
}

// staticAddresses decodes a static_ipaddress. Several blocks add up.
func (d *decoder) staticAddresses(to *[]*address, c *cursor) {
	entries(d, staticWords, d.body(c), isAddress, func(c *cursor) *address {
		a := &address{at: c.keyword}
		a.prefix, a.ok = d.subnet(c.keyword, staticWords.name)
		if a.ok && !host(a.prefix.Addr()) {
			d.errorf(c.keyword, "static_ipaddress %s: not the address of a host", c.keyword.Text)
			a.ok = false
		}
		*to = append(*to, a)
		return a
	})
}

// resolveStaticAddress returns the address that the kernel is to have, if nothing stands against it. It has no lease: it
// does not move, so it does no harm when it survives the agent. device is the default interface, or "".
func (d *decoder) resolveStaticAddress(a *address, device string) (failover.Address, bool) {
	if !a.ok {
		return failover.Address{}, false
	}
	mark := len(d.findings)
	out := d.resolveAddress(a, device, failover.NoLease)
	if out.Interface == "" && a.device.missing() {
		d.errorf(a.at, "static_ipaddress %s: dev is missing, and there is no default_interface", a.at.Text)
	}
	return out, out.Interface != "" && !d.wrong(mark)
}

// checkStaticAddresses looks for static addresses that are there twice, or are those of a router. device is the default
// interface. It wants cfg with its routers.
func (d *decoder) checkStaticAddresses(statics []*address, device string, cfg *failover.Config) {
	type place struct {
		device string
		addr   netip.Addr
	}
	routers := map[place]*failover.RouterConfig{}
	for i := range cfg.Routers {
		for _, a := range cfg.Routers[i].Addresses {
			routers[place{a.Interface, a.Prefix.Addr()}] = &cfg.Routers[i]
		}
	}
	first := map[place]*address{}
	for _, a := range statics {
		p := place{a.device.or(device), a.prefix.Addr()}
		if !a.ok || p.device == "" {
			continue
		}
		if router, twice := routers[p]; twice {
			d.errorf(a.at, "static_ipaddress %s on %s: it is a virtual address of %s %s", p.addr, p.device, router.Kind(), router.Name)
		}
		if f := first[p]; f != nil {
			d.errorf(a.at, "static_ipaddress %s on %s is there twice, first at %s", p.addr, p.device, f.at.Pos)
			continue
		}
		first[p] = a
	}
}
