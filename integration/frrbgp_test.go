package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// frrUpstream is FRR's bgpd as the upstream router of a site.
type frrUpstream struct {
	*frr
	t *testing.T
}

func startFRRUpstream(n *lan, password string) *frrUpstream {
	n.t.Helper()
	f := &frr{n: n, node: n.c, dir: filepath.Join(n.lab.Dir(), "c.frr")}
	f.prepare()
	conf := "router bgp 64500\n bgp router-id 192.0.2.3\n no bgp ebgp-requires-policy\n no bgp network import-check\n" +
		" neighbor 192.0.2.1 remote-as 64501\n neighbor 192.0.2.1 timers 3 9\n neighbor 192.0.2.1 timers connect 1\n"
	if password != "" {
		conf += " neighbor 192.0.2.1 password " + password + "\n"
	}
	f.zebra = f.run("zebra", "")
	time.Sleep(500 * time.Millisecond)
	f.run("bgpd", conf, "-n") // learns routes, and leaves the kernel alone
	return &frrUpstream{frr: f, t: n.t}
}

// route returns what FRR knows of the service prefix.
func (u *frrUpstream) route() string {
	u.t.Helper()
	out, _ := command(u.t, u.node, []string{"vtysh", "--vty_socket", u.dir, "-d", "bgpd", "-c", "show bgp ipv4 unicast " + service})
	return out
}

// TestFRRUpstream: announce with attributes, over MD5; change; loss of the session by a crash; withdrawal.
func TestFRRUpstream(t *testing.T) {
	t.Parallel()
	need(t, frrDir+"zebra", frrDir+"bgpd", "vtysh")
	for _, password := range []string{"", "s3cret"} {
		t.Run(fmt.Sprintf("MD5=%t", password != ""), func(t *testing.T) {
			t.Parallel()
			e := &edge{lan: newLAN(t, false)}
			up := startFRRUpstream(e.lan, password)
			extra := ""
			if password != "" {
				extra = `        password "` + password + `"`
			}
			line := service + " speaker EDGE med 70 prepend 1 community 64500:100 large_community 64500:1:2"
			conf := e.speaker("a", extra) + e.instance(prioA, 3, "0.2", announce(line)...)
			a := startAgent(t, e.lab, e.a, conf)
			a.waitSession(20 * time.Second)
			has := func(parts ...string) func() bool {
				return func() bool {
					out := up.route()
					for _, p := range parts {
						if !strings.Contains(out, p) {
							return false
						}
					}
					return true
				}
			}
			waitFor(t, 10*time.Second, "FRR to have the route with its attributes",
				has("64501 64501", "metric 70", "64500:100", "64500:1:2", "192.0.2.1 from 192.0.2.1"))
			must(t, a.proc.Kill())
			gone := func() bool { return strings.Contains(up.route(), "not in table") }
			waitFor(t, 5*time.Second, "FRR to drop the route of a killed agent", gone)
			again := startAgent(t, e.lab, e.a, conf)
			waitFor(t, 30*time.Second, "FRR to have the route again", has("metric 70"))
			if _, err := again.proc.Stop(6 * time.Second); err != nil {
				t.Error(err)
			}
			waitFor(t, 3*time.Second, "FRR to see the withdrawal", gone)
		})
	}
}
