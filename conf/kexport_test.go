package conf

import (
	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// FormatKernelRoute and FormatKernelRule are how a configuration writes them.
var (
	FormatKernelRoute = formatKernelRoute
	FormatKernelRule  = formatKernelRule
)

// Objects are what the blocks of routes, rules and static addresses make.
type Objects struct {
	Routes    []failover.KernelRoute
	Rules     []failover.KernelRule
	Addresses []failover.Address
}

// objects are the drafts of Objects, in place of the blocks that may hold them.
type objects struct {
	routes    []*kernelRoute
	rules     []*kernelRule
	addresses []*address
}

var objectWords = newTable("objects", []row[*objects]{
	word("virtual_routes", func(d *decoder, o *objects, c *cursor) { d.kernelRoutes(&o.routes, false, c) }),
	word("static_routes", func(d *decoder, o *objects, c *cursor) { d.kernelRoutes(&o.routes, true, c) }),
	word("virtual_rules", func(d *decoder, o *objects, c *cursor) { d.kernelRules(&o.rules, false, c) }),
	word("static_rules", func(d *decoder, o *objects, c *cursor) { d.kernelRules(&o.rules, true, c) }),
	word("static_ipaddress", func(d *decoder, o *objects, c *cursor) { d.staticAddresses(&o.addresses, c) }),
})

// scratch returns a decoder of a text, which it reads with a table of its own.
func scratch[T any](text string, t *table[T], to T) *decoder {
	rep := newReporter()
	tree, hash := read("main.conf", FileMap{"main.conf": text}, Env{}, rep, 1<<20)
	d := &decoder{reporter: rep, hash: hash}
	d.elsewhere, d.toplevel = contextOf, rootWords.has
	walk(d, t, to, tree.Lines)
	return d
}

// ParseObjects reads such blocks. device is the default interface.
func ParseObjects(text, device string, routers ...failover.RouterConfig) (Objects, []Diagnostic) {
	var drafts objects
	var out Objects
	d := scratch(text, objectWords, &drafts)
	for _, r := range drafts.routes {
		if v, ok := d.resolveKernelRoute(r, device); ok {
			out.Routes = append(out.Routes, v)
		}
	}
	d.numberKernelRules(drafts.rules)
	for _, r := range drafts.rules {
		if v, ok := d.resolveKernelRule(r); ok {
			out.Rules = append(out.Rules, v)
		}
	}
	for _, a := range drafts.addresses {
		if v, ok := d.resolveStaticAddress(a, device); ok {
			out.Addresses = append(out.Addresses, v)
		}
	}
	d.checkKernelRoutes(drafts.routes)
	d.checkKernelRules(drafts.rules)
	d.checkStaticAddresses(drafts.addresses, device, &failover.Config{Routers: routers})
	return out, d.finish(false)
}

// VMACRouter is an instance as far as its virtual link-layer address depends on it.
type VMACRouter struct {
	Device  string
	Family  wire.Family
	VRID    uint8
	Prefix  string // vmac_prefix
	Unicast bool
	Text    string // its words
}

// vmacInstance is the draft of a VMACRouter.
type vmacInstance struct {
	vmac      vmac
	addresses []*address
}

var vmacWords = newTable("vrrp_instance", []row[*vmacInstance]{
	word("use_vmac", func(d *decoder, v *vmacInstance, c *cursor) { d.useVMAC(&v.vmac, c) }),
	word("vmac_xmit_base", func(d *decoder, v *vmacInstance, c *cursor) { d.vmacXmitBase(&v.vmac, c) }),
	word("use_vmac_addr", func(d *decoder, v *vmacInstance, c *cursor) { d.useVMACAddr(&v.vmac, c) }),
	word("virtual_ipaddress", func(d *decoder, v *vmacInstance, c *cursor) {
		var in instance
		d.addresses(&in, false, c)
		v.addresses = in.addresses
	}),
})

// ParseVMACs reads the words of routers, named A, B and so on. Each stands on a line of its own.
func ParseVMACs(routers ...VMACRouter) ([]*failover.VMAC, []Diagnostic) {
	var cfg failover.Config
	var drafts []*vmac
	var out []*failover.VMAC
	all := &decoder{reporter: newReporter()}
	for i, r := range routers {
		var in vmacInstance
		d := scratch(r.Text, vmacWords, &in)
		d.checkVMACAddresses(&in.vmac, in.addresses, r.Device)
		m := d.resolveVMAC(&in.vmac, r.Device, r.Family, r.VRID, r.Prefix, r.Unicast)
		router := failover.RouterConfig{Name: string(rune('A' + i)), VMAC: m}
		router.VRRP.Key.Interface = r.Device
		cfg.Routers = append(cfg.Routers, router)
		drafts = append(drafts, &in.vmac)
		out = append(out, m)
		all.findings = append(all.findings, d.findings...)
	}
	all.checkVMACs(&cfg, drafts)
	return out, all.finish(false)
}

// FormatVMAC is how a configuration writes it.
var FormatVMAC = formatVMAC
