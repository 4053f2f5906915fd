package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// What the guarded scenario's configuration files say on top of the local one's.
const (
	demoHeartbeat = 500 * time.Millisecond
	demoFence     = 3 * time.Second
	demoTakeover  = 7500 * time.Millisecond // what fence_after, hold_time and heartbeat ask for
	demoClean     = 2 * time.Second
	demoOverlap   = 3 * time.Second

	// demoKey is shared by all sites. A file that somebody copies should have a key_file instead.
	demoKey = "the key of a demo, which anybody may read"
)

// The sites as prefixes, for what passes the router between them.
var (
	demoMainland = netip.MustParsePrefix("10.1.0.0/24")
	demoThird    = netip.MustParsePrefix("10.2.0.0/24")
	demoHongKong = netip.MustParsePrefix("10.3.0.0/24")
)

// newWitness returns the machine on the third site.
func newWitness() *machine {
	return &machine{name: "sg", lan: netip.MustParseAddr("10.2.0.14"), gateway: netip.MustParseAddr("10.2.0.1")}
}

// installWitness sets the witness up, if there is one, and the way to it.
func (w *world) installWitness() (err error) {
	m := w.witness
	if m == nil {
		return nil
	}
	if m.node, err = w.lab.Node(m.name); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return w.lab.Connect(m.node, "eth0", w.wan, "sg") },
		func() error { return m.node.AddAddress("eth0", m.lan.String()+"/24") },
		func() error { return w.wan.AddAddress("sg", m.gateway.String()+"/24") },
		func() error { return m.node.AddRoute(demoMainland, m.gateway) },
		func() error { return m.node.AddRoute(demoHongKong, m.gateway) },
		func() error { return w.configure(m) },
	}
	for _, o := range w.machines {
		steps = append(steps, func() error { return o.node.AddRoute(demoThird, o.gateway) })
	}
	return firstError(steps...)
}

// beside names the agents that have no priority.
func (w *world) beside() string {
	if w.witness == nil {
		return ""
	}
	return ", and the witness sg"
}

// guardedConfig returns a machine's configuration file where sites ask a witness.
func (w *world) guardedConfig(m *machine) string {
	if m == w.witness {
		return fmt.Sprintf("global_defs {\n    router_id %s\n}\n\nwitness_server {\n    listen %s\n    key %q\n}\n", m.name, m.lan, demoKey)
	}
	local := m.localConfig(w.machines)
	blocks, words := w.mainlandBlocks()
	if !m.mainland {
		blocks, words = w.hongKongBlocks(m)
	}
	before, instance, _ := strings.Cut(local, "vrrp_instance SERVICE {\n")
	return before + blocks + "\nvrrp_instance SERVICE {\n" + words + instance
}

// mainlandBlocks returns what a mainland router's file has besides, at the top level and in the instance.
func (w *world) mainlandBlocks() (blocks, words string) {
	blocks = fmt.Sprintf(`site mainland {
    watcher %s
    witness sg %s
    key %q
    fence_after %g
    heartbeat %g
}
`, w.machine("hk").lan, w.witness.lan, demoKey, demoFence.Seconds(), demoHeartbeat.Seconds())
	words = fmt.Sprintf(`    site mainland
    track_bgp {
        EDGE
    }
    failback_clean %g
    handover_overlap %g
`, demoClean.Seconds(), demoOverlap.Seconds())
	return blocks, words
}

// hongKongBlocks does so for the watcher.
func (w *world) hongKongBlocks(m *machine) (blocks, words string) {
	blocks = fmt.Sprintf(`site hongkong {
    witness sg %[1]s
    key %[2]q
    fence_after %[6]g
    heartbeat %[5]g
}
watch_site mainland {
    witness sg %[1]s
    key %[2]q
    listen %[3]s
    down_quorum 1
    takeover_after %[4]g
    heartbeat %[5]g
    fence_after %[6]g
    hold_down 10
}
`, w.witness.lan, demoKey, m.lan, demoTakeover.Seconds(), demoHeartbeat.Seconds(), demoFence.Seconds())
	words = fmt.Sprintf("    watch_site mainland\n    site hongkong\n    handover_overlap %g\n", demoOverlap.Seconds())
	return blocks, words
}
