package integration

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
	"failoverd/integration/lab"
)

// regionConfig is what the regional labs vary in the configuration of all nodes. Durations are those of the words of the
// same name.
type regionConfig struct {
	witness bool // there is one, and an isolated mainland fences; otherwise it holds while its upstream and a check are well
	weather bool // Hong Kong's line to the other sites runs over a lab.Wire

	advert, heartbeat, fence, hold, holdDown, clean, overlap time.Duration
	damping                                                  string
	handoverUntil                                            string // a check of which the text is in extra
	nopreempt                                                bool
	extra                                                    map[string]string // by node: blocks at the top level
}

// quickRegion has times as short as check accepts with room for a busy machine, and damping that forgets at once.
func quickRegion(witness bool) regionConfig {
	return regionConfig{
		witness: witness, advert: 500 * time.Millisecond, heartbeat: 500 * time.Millisecond, fence: 3 * time.Second,
		hold: 3 * time.Second, holdDown: time.Second, clean: 2 * time.Second, overlap: 2 * time.Second, damping: "1 100000 50000",
	}
}

// lease is the lease of the service's address.
const lease = 3 * time.Second

// takeover is takeover_after: the line for two faults at once of the inequalities, which is the default.
func (c *regionConfig) takeover() time.Duration { return c.fence + c.hold + time.Second + c.heartbeat }

// mode says what an isolated mainland does.
func (c *regionConfig) mode() string {
	if c.witness {
		return "fence"
	}
	return "hold"
}

func (c *regionConfig) extraOf(name string) string { return c.extra[name] }

const regionKey = "a key for all sites of the laboratory"

// globals is what all configuration files begin with.
func (r *region) globals(name string) string {
	return lines("global_defs {", "    router_id "+name, "    vrrp_version 3", fmt.Sprintf("    vip_lease %.0f", lease.Seconds()), "    bgp_lease 3", "}")
}

func (r *region) speaker(as int, own, upstream string, upstreamAS int) string {
	return lines("bgp_speaker EDGE {", fmt.Sprintf("    local_as %d", as), "    router_id "+own, "    max_changes 120", "    allow_prefix {", "        "+service, "    }",
		"    neighbor "+upstream+" {", fmt.Sprintf("        remote_as %d", upstreamAS), "        local_address "+own,
		fmt.Sprintf("        hold_time %.0f", r.config.hold.Seconds()), "        keepalive 1", "        connect_retry 1", "    }", "}")
}

// instance is the vrrp_instance of a machine; words are its own.
func (r *region) instance(priority int, words ...string) string {
	c := &r.config
	s := []string{
		"vrrp_instance SERVICE {", "    state BACKUP", "    interface lan0", "    virtual_router_id 51",
		fmt.Sprintf("    priority %d", priority), fmt.Sprintf("    advert_int %g", c.advert.Seconds()),
		"    virtual_ipaddress {", "        " + regionVIP + "/32 dev lo", "    }",
		"    bgp_announce {", "        " + service + " speaker EDGE",
		"        " + service + " speaker EDGE when draining community graceful-shutdown", "    }",
		"    track_bgp {", "        EDGE", "    }",
		fmt.Sprintf("    failback_clean %g", c.clean.Seconds()),
	}
	if c.overlap > 0 {
		until := ""
		if c.handoverUntil != "" {
			until = " until " + c.handoverUntil
		}
		s = append(s, fmt.Sprintf("    handover_overlap %g%s", c.overlap.Seconds(), until))
	}
	if c.nopreempt {
		s = append(s, "    nopreempt")
	}
	for _, w := range words {
		s = append(s, "    "+w)
	}
	return lines(append(s, "}")...)
}

// icmpCheck is a health check that says within about a second and a half that a host is gone.
func icmpCheck(name, host string) string {
	return lines("health_check "+name+" {", "    icmp "+host, "    interval 0.5", "    timeout 0.4", "    rise 1", "    fall 3", "}")
}

// mainlandConf is the configuration of m1 or m2.
func (r *region) mainlandConf(name, isp string, priority int) string {
	c := &r.config
	site := []string{
		"site mainland {", "    watcher " + lanHK, "    key_file " + r.keyFile(), fmt.Sprintf("    fence_after %g", c.fence.Seconds()),
		fmt.Sprintf("    heartbeat %g", c.heartbeat.Seconds()), "    isolated " + c.mode(),
	}
	checks := ""
	if c.witness {
		site = append(site, "    witness sg "+lanS)
	} else {
		site = append(site, "    health_check internet")
		checks = icmpCheck("internet", clientAddr)
	}
	return r.globals(name) + r.speaker(64501, isp, ispUpM, 64500) + checks + c.extraOf(name) + lines(append(site, "}")...) +
		r.instance(priority, "site mainland", "watcher_peer {", "    "+lanHK+" min_ttl 254", "}")
}

// hongKongConf is the configuration of hk. It looks at the mainland's routers through both uplinks. With a witness one
// voice is enough, because the mainland fences itself when nobody hears it; without, both checks have to agree.
func (r *region) hongKongConf() string {
	c := &r.config
	watch := []string{
		"watch_site mainland {", "    health_check cn1 cn2", "    listen " + lanHK, "    key_file " + r.keyFile(),
		fmt.Sprintf("    takeover_after %g", c.takeover().Seconds()), fmt.Sprintf("    heartbeat %g", c.heartbeat.Seconds()),
		fmt.Sprintf("    fence_after %g", c.fence.Seconds()), fmt.Sprintf("    hold_down %g", c.holdDown.Seconds()), "    damping " + c.damping,
	}
	if c.witness {
		watch = append(watch, "    witness sg "+lanS, "    down_quorum 1")
	} else {
		watch = append(watch, "    down_quorum 2")
	}
	return r.globals("hk") + r.speaker(64502, ispHK, ispUpK, 64510) + icmpCheck("cn1", ispM1) + icmpCheck("cn2", ispM2) + c.extraOf("hk") +
		lines(append(watch, "}")...) + r.instance(100, "watch_site mainland", "unicast_src_ip "+lanHK,
		"unicast_peer {", "    "+lanM1+" min_ttl 254", "    "+lanM2+" min_ttl 254", "}")
}

func (r *region) witnessConf() string {
	return r.globals("sg") + lines("witness_server {", "    listen "+lanS, "    key_file "+r.keyFile(), "}")
}

// keyFile returns the path of the key that all sites share. It is written once: agents read it when they start.
func (r *region) keyFile() string {
	r.t.Helper()
	if r.key == "" {
		var err error
		r.key, err = r.lab.WriteFile("region.key", regionKey+"\n")
		must(r.t, err)
	}
	return r.key
}

// conf returns the configuration of a machine.
func (r *region) conf(m *machine) string {
	switch m {
	case r.m1:
		return r.mainlandConf("m1", ispM1, 200)
	case r.m2:
		return r.mainlandConf("m2", ispM2, 150)
	default:
		return r.hongKongConf()
	}
}

// upstreamConf is the configuration of an upstream router.
func (r *region) upstreamConf(as uint32, own string, neighbors map[string]uint32) gobgp.RouterConfig {
	cfg := gobgp.RouterConfig{LocalAS: as, RouterID: netip.MustParseAddr(own), ListenPort: 179}
	for addr, remote := range neighbors {
		cfg.Neighbors = append(cfg.Neighbors, gobgp.RouterNeighbor{Passive: true, Neighbor: bgp.Neighbor{
			Address: netip.MustParseAddr(addr), LocalAddress: netip.MustParseAddr(own), RemoteAS: remote,
			HoldTime: r.config.hold, Keepalive: time.Second, ConnectRetry: time.Second,
		}})
	}
	return cfg
}

// start runs the upstreams, the witness and all agents, and waits until m1 serves.
func (r *region) start() {
	r.t.Helper()
	for n, cfg := range map[*lab.Node]gobgp.RouterConfig{
		r.upm: r.upstreamConf(64500, ispUpM, map[string]uint32{ispM1: 64501, ispM2: 64501}),
		r.upk: r.upstreamConf(64510, ispUpK, map[string]uint32{ispHK: 64502}),
	} {
		_, err := n.StartUpstream([]string{binary, "demo-upstream"}, nil, cfg)
		must(r.t, err)
	}
	r.startAgents()
}

func (r *region) startAgents() {
	r.t.Helper()
	if r.config.witness {
		r.witness = startAgent(r.t, r.lab, r.sg, r.witnessConf())
	}
	for _, m := range r.machines() {
		m.agent = startAgent(r.t, r.lab, m.Node, r.conf(m))
	}
	r.waitServes(r.m1, 30*time.Second)
}

// TestRegionConfigurations: what the regional labs run is accepted by check, without an error.
func TestRegionConfigurations(t *testing.T) {
	for _, c := range []regionConfig{quickRegion(true), quickRegion(false)} {
		r := &region{t: t, lab: lab.ForTest(t), config: c}
		r.m1, r.m2, r.hk = &machine{name: "m1"}, &machine{name: "m2"}, &machine{name: "hk"}
		texts := map[string]string{"m1": r.conf(r.m1), "m2": r.conf(r.m2), "hk": r.conf(r.hk)}
		if c.witness {
			texts["sg"] = r.witnessConf()
		}
		for name, text := range texts {
			out, code := checkText(t, text)
			if code != 0 {
				t.Errorf("%s, isolated %s: check exits with %d:\n%s\n%s", name, c.mode(), code, out, text)
			}
			if out = strings.TrimSpace(out); out != "" {
				t.Logf("%s, isolated %s: %s", name, c.mode(), out)
			}
		}
	}
}
