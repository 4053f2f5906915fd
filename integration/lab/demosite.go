package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// What the demo's configuration files say, and what its bounds are computed from.
const (
	demoAdvert    = time.Second
	demoHold      = 3 * time.Second
	demoKeepalive = time.Second
	demoLease     = 3 * time.Second

	// leaseSlop is how much longer than its lease an address may live: the kernel looks at whole seconds only.
	leaseSlop = time.Second
)

// The service, and who is around it.
var (
	demoVIP      = netip.MustParseAddr("198.51.100.10")
	demoPrefix   = netip.MustParsePrefix("198.51.100.0/24")
	demoClients  = netip.MustParsePrefix("192.0.2.0/24")
	demoUpstream = gobgp.RouterConfig{LocalAS: 64500, RouterID: netip.MustParseAddr("203.0.113.1"), ListenPort: 179}
)

// machine is a node that runs the agent.
type machine struct {
	name     string
	mainland bool
	priority int
	as       uint32
	lan      netip.Addr // on its site's LAN
	gateway  netip.Addr // of the LAN: the way to the other region
	far      netip.Prefix
	peering  netip.Addr // on the link to the upstream
	upstream netip.Addr // at the other end of that link

	node   *Node
	ports  []*Port
	proc   atomic.Pointer[Process] // the agent; nil before its first start
	alive  bool                    // the agent is meant to run; owned by the story
	status *StatusClient
	watch  *Watch
	conf   string // path of the configuration file
	state  string // directory of the status socket
}

func newMachines() []*machine {
	ip := netip.MustParseAddr
	mainland, far := netip.MustParsePrefix("10.1.0.0/24"), netip.MustParsePrefix("10.3.0.0/24")
	return []*machine{
		{
			name: "m1", mainland: true, priority: 200, as: 64501, lan: ip("10.1.0.11"), gateway: ip("10.1.0.1"), far: far,
			peering: ip("203.0.113.2"), upstream: ip("203.0.113.1"),
		},
		{
			name: "m2", mainland: true, priority: 150, as: 64501, lan: ip("10.1.0.12"), gateway: ip("10.1.0.1"), far: far,
			peering: ip("203.0.113.6"), upstream: ip("203.0.113.5"),
		},
		{
			name: "hk", priority: 100, as: 64502, lan: ip("10.3.0.13"), gateway: ip("10.3.0.1"), far: mainland,
			peering: ip("203.0.113.10"), upstream: ip("203.0.113.9"),
		},
	}
}

// skew returns Skew_Time of RFC 9568 section 6.1.
func (m *machine) skew() time.Duration { return time.Duration(256-m.priority) * demoAdvert / 256 }

// activeDown returns Active_Down_Interval: how long the machine waits for an Active router that fell silent.
func (m *machine) activeDown() time.Duration { return 3*demoAdvert + m.skew() }

// localConfig returns the machine's configuration file where VRRP alone decides.
func (m *machine) localConfig(all []*machine) string {
	return fmt.Sprintf(`global_defs {
    router_id %[1]s
    vrrp_version 3
    vip_lease %[2]g
    bgp_lease 3
}

bgp_speaker EDGE {
    local_as %[3]d
    router_id %[4]s
    allow_prefix {
        %[5]s
    }
    neighbor %[6]s {
        remote_as %[7]d
        local_address %[4]s
        hold_time %[8]g
        keepalive %[9]g
        connect_retry 1
    }
}

vrrp_instance SERVICE {
    state BACKUP
    interface lan0
    virtual_router_id 51
    priority %[10]d
    advert_int %[11]g
%[12]s    virtual_ipaddress {
        %[13]s/32 dev lo
    }
    bgp_announce {
        %[5]s speaker EDGE
    }
}
`, m.name, demoLease.Seconds(), m.as, m.peering, demoPrefix, m.upstream, demoUpstream.LocalAS, demoHold.Seconds(),
		demoKeepalive.Seconds(), m.priority, demoAdvert.Seconds(), m.peers(all), demoVIP)
}

// peers returns the lines that say whom the machine talks to besides its own LAN. One router is on the way between the
// regions, so an honest packet arrives with a TTL of 254: nobody further away can take part, nor anybody without the key.
func (m *machine) peers(all []*machine) string {
	var b strings.Builder
	if m.mainland {
		b.WriteString("    watcher_peer {\n")
	} else {
		fmt.Fprintf(&b, "    unicast_src_ip %s\n    unicast_peer {\n", m.lan)
	}
	for _, o := range all {
		if o.mainland != m.mainland {
			fmt.Fprintf(&b, "        %s min_ttl 254\n", o.lan)
		}
	}
	b.WriteString("    }\n    auth_hmac {\n        key 1 \"known to all who have seen this demo\"\n    }\n")
	return b.String()
}

// upstreamConfig returns the configuration of the router that the sites buy their transit from.
func upstreamConfig(all []*machine) gobgp.RouterConfig {
	cfg := demoUpstream
	for _, m := range all {
		cfg.Neighbors = append(cfg.Neighbors, gobgp.RouterNeighbor{Passive: true, Neighbor: bgp.Neighbor{
			Address: m.peering, LocalAddress: m.upstream, RemoteAS: m.as, Description: m.name,
			HoldTime: demoHold, Keepalive: demoKeepalive, ConnectRetry: time.Second,
		}})
	}
	return cfg
}

// world is the network of the demo:
//
//	      mainland, AS 64501                    Hong Kong, AS 64502
//	m1 -----+---- LAN 10.1.0.0/24               hk
//	m2 -----+------------- wan (a router) ------+ 10.3.0.0/24
//	|  |                                        |
//	|  +--------- 203.0.113.4/30 ---------+     |
//	+------------ 203.0.113.0/30 ----- upstream +-- 203.0.113.8/30
//	                                  AS 64500
//	                                      | 192.0.2.0/24
//	                                    client
//
// The mainland's links run through switches, so that a power cut is silence and not a lost carrier.
//
// With a witness, a fourth site hangs on wan: sg, 10.2.0.0/24.
type world struct {
	lab              *Lab
	machines         []*machine
	witness          *machine // nil: VRRP alone decides between the sites
	wan, up, client  *Node
	upstream         atomic.Pointer[Process]
	probe            *Probe
	lan              *Capture            // what passes the inter-region router on the mainland's side
	bgp              map[string]*Capture // by machine: its link as the upstream sees it
	onChange         func(Change)
	onUpstreamChange func(Change)
}

func (w *world) machine(name string) *machine {
	for _, m := range w.machines {
		if m.name == name {
			return m
		}
	}
	panic("demo: no machine " + name)
}

// build makes the nodes and joins them.
func (w *world) build() (err error) {
	for name, n := range map[string]**Node{"wan": &w.wan, "upstream": &w.up, "client": &w.client} {
		if *n, err = w.lab.Node(name); err != nil {
			return err
		}
	}
	lan, err := w.lab.Switch("lan")
	if err != nil {
		return err
	}
	if _, err := lan.Plug(w.wan, "mainland"); err != nil {
		return err
	}
	for _, m := range w.machines {
		if err := w.install(m, lan); err != nil {
			return err
		}
	}
	if err := w.installWitness(); err != nil {
		return err
	}
	if err := w.lab.Connect(w.client, "eth0", w.up, "clients"); err != nil {
		return err
	}
	return firstError(
		func() error { return w.wan.AddAddress("mainland", "10.1.0.1/24") },
		func() error { return w.wan.AddAddress("hk", "10.3.0.1/24") },
		func() error { return w.wan.Sysctl("ipv4/ip_forward", "1") },
		func() error { return w.up.Sysctl("ipv4/ip_forward", "1") },
		func() error { return w.up.AddAddress("clients", "192.0.2.1/24") },
		func() error { return w.client.AddAddress("eth0", "192.0.2.10/24") },
		func() error {
			return w.client.AddRoute(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("192.0.2.1"))
		},
	)
}

// install sets one machine up: its links, addresses and routes, its service and its configuration file.
func (w *world) install(m *machine, lan *Switch) (err error) {
	if m.node, err = w.lab.Node(m.name); err != nil {
		return err
	}
	if m.mainland {
		port, err := lan.Plug(m.node, "lan0")
		if err != nil {
			return err
		}
		m.ports = append(m.ports, port)
	} else if err := w.lab.Connect(m.node, "lan0", w.wan, "hk"); err != nil {
		return err
	}
	isp, err := w.lab.Switch("isp-" + m.name)
	if err != nil {
		return err
	}
	port, err := isp.Plug(m.node, "isp0")
	if err != nil {
		return err
	}
	m.ports = append(m.ports, port)
	if _, err := isp.Plug(w.up, "to-"+m.name); err != nil {
		return err
	}
	return firstError(
		func() error { return m.node.AddAddress("lan0", m.lan.String()+"/24") },
		func() error { return m.node.AddAddress("isp0", m.peering.String()+"/30") },
		func() error { return w.up.AddAddress("to-"+m.name, m.upstream.String()+"/30") },
		func() error { return m.node.AddRoute(m.far, m.gateway) },
		func() error { return m.node.AddRoute(demoClients, m.upstream) },
		func() error { _, err := m.node.Respond(); return err },
		func() error { return w.configure(m) },
	)
}

// configure writes a machine's configuration file, and says where its agent answers.
func (w *world) configure(m *machine) (err error) {
	m.state = w.lab.dir + "/" + m.name
	m.status = Status(m.state + "/status.sock")
	m.conf, err = w.lab.WriteFile(m.name+".conf", w.config(m))
	return err
}

// config returns the configuration file of a machine.
func (w *world) config(m *machine) string {
	if w.witness == nil {
		return m.localConfig(w.machines)
	}
	return w.guardedConfig(m)
}

// agents are all that run failoverd.
func (w *world) agents() []*machine {
	if w.witness == nil {
		return w.machines
	}
	return append(slices.Clone(w.machines), w.witness)
}

func firstError(steps ...func() error) error {
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}
