package integration

import (
	"net/netip"
	"sync"
	"testing"

	"failoverd/integration/lab"
)

// region is the topology of the labs about two regions:
//
//	     mainland, AS 64501                witness                Hong Kong, AS 64502
//	m1 --+---- LAN 10.1.0.0/24               sg                     hk
//	m2 --+--------------------- wan (a router between all sites) ---+ 10.3.0.0/24
//	|  |                                                            |
//	+--+-- 203.0.113.0/29 -- upm --- net (the Internet) --- upk ----+ 203.0.113.8/30
//	                       AS 64500          |            AS 64510
//	                                       client
//
// Sites meet on wan, where each path can be cut by itself, in one direction or both. All links of the routers under test
// run through switches, so that a cut is silence and not a lost carrier. upm and upk are BGP routers; net sends the
// service's packets to whichever of them has a route to it, to the mainland's if both have.
type region struct {
	t      *testing.T // of the case that runs
	lab    *lab.Lab
	config regionConfig
	key    string // path of the key of all sites; empty: not written yet

	m1, m2, hk                     *machine
	sg, wan, upm, upk, net, client *lab.Node

	lan, uplinkM, uplinkK []*lab.Port // what is cut when the mainland's switch, or an uplink, dies
	wire                  *lab.Wire   // on Hong Kong's line to wan
	witness               *agent
	probe                 *lab.Probe
	internet              *internet
}

// machine is a router under test.
type machine struct {
	*lab.Node
	name      string
	ports     []*lab.Port
	watch     *lab.Watch
	agent     *agent
	off       []span // when it had no power
	powerless bool
}

// Addresses of the regional topology.
const (
	regionVIP                 = "198.51.100.10"
	lanM1, lanM2, lanHK, lanS = "10.1.0.11", "10.1.0.12", "10.3.0.13", "10.2.0.14"
	ispM1, ispM2, ispHK       = "203.0.113.2", "203.0.113.3", "203.0.113.10"
	ispUpM, ispUpK            = "203.0.113.1", "203.0.113.9"
	clientAddr                = "192.0.2.130"
)

// newRegion builds the network. Nothing runs in it yet.
func newRegion(t *testing.T, c regionConfig) *region {
	t.Helper()
	notShort(t)
	r := &region{t: t, lab: lab.ForTest(t), config: c}
	for name, n := range map[string]**lab.Node{"sg": &r.sg, "wan": &r.wan, "upm": &r.upm, "upk": &r.upk, "net": &r.net, "client": &r.client} {
		*n = r.node(name)
	}
	r.m1, r.m2, r.hk = &machine{name: "m1", Node: r.node("m1")}, &machine{name: "m2", Node: r.node("m2")}, &machine{name: "hk", Node: r.node("hk")}
	r.mainland()
	r.hongKong()
	r.elsewhere()
	r.observe()
	return r
}

func (r *region) node(name string) *lab.Node {
	r.t.Helper()
	n, err := r.lab.Node(name)
	must(r.t, err)
	return n
}

// plug connects an interface of a node to a switch and gives it addresses.
func (r *region) plug(sw *lab.Switch, n *lab.Node, nic string, addrs ...string) *lab.Port {
	r.t.Helper()
	p, err := sw.Plug(n, nic)
	must(r.t, err)
	r.addresses(n, nic, addrs...)
	return p
}

func (r *region) addresses(n *lab.Node, nic string, addrs ...string) {
	r.t.Helper()
	for _, a := range addrs {
		must(r.t, n.AddAddress(nic, a))
	}
}

func (r *region) route(n *lab.Node, via string, prefixes ...string) {
	r.t.Helper()
	for _, p := range prefixes {
		must(r.t, n.AddRoute(netip.MustParsePrefix(p), netip.MustParseAddr(via)))
	}
}

func (r *region) makeSwitch(name string) *lab.Switch {
	r.t.Helper()
	sw, err := r.lab.Switch(name)
	must(r.t, err)
	return sw
}

func (r *region) mainland() {
	lan, isp := r.makeSwitch("lan"), r.makeSwitch("isp-m")
	r.lan = append(r.lan, r.plug(lan, r.wan, "mainland", "10.1.0.1/24"))
	r.uplinkM = append(r.uplinkM, r.plug(isp, r.upm, "isp", ispUpM+"/29"))
	for m, addr := range map[*machine][2]string{r.m1: {lanM1, ispM1}, r.m2: {lanM2, ispM2}} {
		m.ports = []*lab.Port{r.plug(lan, m.Node, "lan0", addr[0]+"/24"), r.plug(isp, m.Node, "isp0", addr[1]+"/29")}
		r.lan = append(r.lan, m.ports[0])
		r.route(m.Node, "10.1.0.1", "10.2.0.0/24", "10.3.0.0/24")
		r.route(m.Node, ispUpM, "192.0.2.0/24", "203.0.113.8/30")
	}
}

// hongKong joins hk to wan, by way of a wire if the lab is about weather.
func (r *region) hongKong() {
	isp := r.makeSwitch("isp-k")
	r.uplinkK = []*lab.Port{r.plug(isp, r.upk, "isp", ispUpK+"/30")}
	r.hk.ports = []*lab.Port{r.plug(isp, r.hk.Node, "isp0", ispHK+"/30")}
	far := r.makeSwitch("far")
	r.hk.ports = append(r.hk.ports, r.plug(far, r.hk.Node, "lan0", lanHK+"/24"))
	if r.config.weather {
		path := r.node("path")
		r.plug(far, path, "hk")
		must(r.t, r.lab.Connect(path, "wan", r.wan, "hk"))
		var err error
		r.wire, err = path.Wire("hk", "wan")
		must(r.t, err)
		r.addresses(r.wan, "hk", "10.3.0.1/24")
	} else {
		r.plug(far, r.wan, "hk", "10.3.0.1/24")
	}
	r.route(r.hk.Node, "10.3.0.1", "10.1.0.0/24", "10.2.0.0/24")
	r.route(r.hk.Node, ispUpK, "192.0.2.0/24", "203.0.113.0/29")
}

// elsewhere joins the witness to wan, and the upstreams and the client to the Internet.
func (r *region) elsewhere() {
	must(r.t, r.lab.Connect(r.sg, "eth0", r.wan, "sg"))
	r.addresses(r.sg, "eth0", lanS+"/24")
	r.addresses(r.wan, "sg", "10.2.0.1/24")
	r.route(r.sg, "10.2.0.1", "10.1.0.0/24", "10.3.0.0/24")
	for _, c := range []struct {
		n        *lab.Node
		far      string
		net, own string
	}{{r.upm, "upm", "192.0.2.1", "192.0.2.2"}, {r.upk, "upk", "192.0.2.5", "192.0.2.6"}} {
		must(r.t, r.lab.Connect(c.n, "net", r.net, c.far))
		r.addresses(c.n, "net", c.own+"/30")
		r.addresses(r.net, c.far, c.net+"/30")
		r.route(c.n, c.net, "0.0.0.0/0")
	}
	r.route(r.net, "192.0.2.2", "203.0.113.0/29")
	r.route(r.net, "192.0.2.6", "203.0.113.8/30")
	must(r.t, r.lab.Connect(r.client, "eth0", r.net, "clients"))
	r.addresses(r.net, "clients", "192.0.2.129/25")
	r.addresses(r.client, "eth0", clientAddr+"/25")
	r.route(r.client, "192.0.2.129", "0.0.0.0/0")
	for _, n := range []*lab.Node{r.wan, r.upm, r.upk, r.net} {
		must(r.t, n.Sysctl("ipv4/ip_forward", "1"))
	}
}

// observe starts the witnesses and the service.
func (r *region) observe() {
	for _, m := range r.machines() {
		m.watch = watchOf(r.t, m.Node)
		_, err := m.Respond()
		must(r.t, err)
	}
	r.internet = &internet{net: r.net}
	r.internet.watchM = r.internet.follow(r.t, r.upm, 0, "192.0.2.2")
	r.internet.watchK = r.internet.follow(r.t, r.upk, 1, "192.0.2.6")
	var err error
	r.probe, err = r.client.Probe(netip.MustParseAddr(regionVIP))
	must(r.t, err)
}

func (r *region) machines() []*machine { return []*machine{r.m1, r.m2, r.hk} }

// internet does what BGP between the upstreams would do: the service is reached through the first of them that has a route
// to it. It follows news of their kernels, within a fraction of a millisecond.
type internet struct {
	net            *lab.Node
	watchM, watchK *lab.Watch

	mu   sync.Mutex
	has  [2]bool
	via  [2]netip.Addr
	errs []error
}

func (i *internet) follow(t *testing.T, up *lab.Node, index int, via string) *lab.Watch {
	t.Helper()
	prefix := netip.MustParsePrefix(service)
	i.via[index] = netip.MustParseAddr(via)
	w, err := up.Watch(func(c lab.Change) {
		if c.Prefix == prefix && (c.Kind == lab.RouteAdded || c.Kind == lab.RouteRemoved) {
			i.set(index, toCustomer(c), prefix)
		}
	})
	must(t, err)
	return w
}

// customers are the machines that announce. A route of an upstream by way of the other one is none of its own.
var customers = netip.MustParsePrefix("203.0.113.0/24")

// toCustomer reports whether a change of the service's route leaves one to a machine.
func toCustomer(c lab.Change) bool { return c.Kind == lab.RouteAdded && customers.Contains(c.Gateway) }

func (i *internet) set(index int, has bool, prefix netip.Prefix) {
	i.mu.Lock()
	defer i.mu.Unlock()
	had := i.has
	i.has[index] = has
	var err error
	switch {
	case i.has[0] || i.has[1]:
		best := 0
		if !i.has[0] {
			best = 1
		}
		err = i.net.AddRoute(prefix, i.via[best])
	case had[0] || had[1]:
		err = i.net.DeleteRoute(prefix)
	}
	if err != nil {
		i.errs = append(i.errs, err)
	}
}

// problems returns what went wrong on the Internet.
func (i *internet) problems() []error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.errs
}
