package conf

import (
	"slices"

	"failoverd/failover"
)

// kernelDrafts are the drafts of what is there whatever the roles.
type kernelDrafts struct {
	addresses []*address
	routes    []*kernelRoute
	rules     []*kernelRule
}

// staticBlocks are the top-level blocks of what is there whatever the roles.
var staticBlocks = []row[struct{}]{
	word("static_ipaddress", func(d *decoder, _ struct{}, c *cursor) { d.staticAddresses(&d.static.addresses, c) }),
	word("static_routes", func(d *decoder, _ struct{}, c *cursor) { d.kernelRoutes(&d.static.routes, true, c) }),
	word("static_rules", func(d *decoder, _ struct{}, c *cursor) { d.kernelRules(&d.static.rules, true, c) }),
}

// kernelRows are the words of an instance about kernel objects other than addresses.
var kernelRows = []row[*instance]{
	word("virtual_routes", func(d *decoder, in *instance, c *cursor) { d.kernelRoutes(&in.routes, false, c) }),
	word("virtual_rules", func(d *decoder, in *instance, c *cursor) { d.kernelRules(&in.rules, false, c) }),
	word("use_vmac", func(d *decoder, in *instance, c *cursor) { d.useVMAC(&in.vmac, c) }),
	word("vmac_xmit_base", func(d *decoder, in *instance, c *cursor) { d.vmacXmitBase(&in.vmac, c) }),
	word("use_vmac_addr", func(d *decoder, in *instance, c *cursor) { d.useVMACAddr(&in.vmac, c) }),
}

// resolveInstanceVMAC fills in the router's own link-layer address, and returns the interface of the addresses that name
// none.
func (d *decoder) resolveInstanceVMAC(in *instance, r *failover.RouterConfig) (device string) {
	k := r.VRRP.Key
	r.VMAC = d.resolveVMAC(&in.vmac, k.Interface, k.Family, k.VRID, d.global.vmacPrefix.or(""), in.unicast != nil)
	d.checkVMACAddresses(&in.vmac, in.addresses, k.Interface)
	if r.VMAC != nil {
		if k.Interface == "lo" {
			d.errorf(*in.vmac.at, "use_vmac: there can be no macvlan interface on lo")
		}
		return r.VMAC.Name
	}
	return k.Interface
}

// resolveKernelObjects fills in routes, rules and static addresses. cfg has all of its routers.
func (d *decoder) resolveKernelObjects(cfg *failover.Config) {
	device := d.global.defaultInterface.or("")
	routes, rules := slices.Clone(d.static.routes), slices.Clone(d.static.rules)
	drafts := make([]*vmac, len(d.routers()))
	for i, in := range d.routers() {
		routes, rules = append(routes, in.routes...), append(rules, in.rules...)
		drafts[i] = &in.vmac
	}
	d.numberKernelRules(rules)
	cfg.StaticRoutes, cfg.StaticRules = d.resolveRoutes(d.static.routes, device), d.resolveRules(d.static.rules)
	for i, in := range d.routers() {
		r := &cfg.Routers[i]
		r.Routes, r.Rules = d.resolveRoutes(in.routes, ""), d.resolveRules(in.rules)
	}
	for _, a := range d.static.addresses {
		if out, ok := d.resolveStaticAddress(a, device); ok {
			cfg.StaticAddresses = append(cfg.StaticAddresses, out)
		}
	}
	d.checkKernelRoutes(routes)
	d.checkKernelRules(rules)
	d.checkVMACs(cfg, drafts)
	d.checkStaticAddresses(d.static.addresses, device, cfg)
}

func (d *decoder) resolveRoutes(drafts []*kernelRoute, device string) (out []failover.KernelRoute) {
	for _, r := range drafts {
		if route, ok := d.resolveKernelRoute(r, device); ok {
			out = append(out, route)
		}
	}
	return out
}

func (d *decoder) resolveRules(drafts []*kernelRule) (out []failover.KernelRule) {
	for _, r := range drafts {
		if rule, ok := d.resolveKernelRule(r); ok {
			out = append(out, rule)
		}
	}
	return out
}

// statics writes what is there whatever the roles.
func (p *printer) statics(cfg *failover.Config) {
	if len(cfg.StaticAddresses) > 0 {
		p.block("static_ipaddress", func() {
			for i := range cfg.StaticAddresses {
				p.address(&cfg.StaticAddresses[i], "")
			}
		})
	}
	p.routes("static_routes", cfg.StaticRoutes)
	p.rules("static_rules", cfg.StaticRules)
}

func (p *printer) routes(head string, routes []failover.KernelRoute) {
	if len(routes) > 0 {
		p.block(head, func() {
			for i := range routes {
				p.line(formatKernelRoute(routes[i]))
			}
		})
	}
}

func (p *printer) rules(head string, rules []failover.KernelRule) {
	if len(rules) > 0 {
		p.block(head, func() {
			for i := range rules {
				p.line(formatKernelRule(rules[i]))
			}
		})
	}
}

// vmac writes the router's own link-layer address.
func (p *printer) vmac(m *failover.VMAC) {
	if m != nil {
		p.line(formatVMAC(*m))
		p.when(m.XmitBase, "vmac_xmit_base")
	}
}
