package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// gobgpd is Debian's, with a configuration of its operator's: one session with the upstream.
type gobgpd struct {
	t      *testing.T
	node   *lab.Node
	socket string
	argv   []string
	proc   *lab.Process
}

func startGobgpd(t *testing.T, e *edge, host string, node *lab.Node) *gobgpd {
	t.Helper()
	return startGobgpdText(t, e.lab, node, fmt.Sprintf(`
[global.config]
as = 64501
router-id = %[1]q
port = -1
[[neighbors]]
[neighbors.config]
neighbor-address = "192.0.2.3"
peer-as = 64500
[neighbors.timers.config]
connect-retry = 1
hold-time = 9
keepalive-interval = 3
[neighbors.transport.config]
local-address = %[1]q
`, e.source(host)))
}

// startGobgpdText runs gobgpd on a node with a configuration of its operator's.
func startGobgpdText(t *testing.T, l *lab.Lab, node *lab.Node, conf string) *gobgpd {
	t.Helper()
	need(t, "gobgpd")
	file, err := l.WriteFile(node.Name()+".gobgpd.toml", conf)
	must(t, err)
	// A path of a socket is short.
	dir, err := os.MkdirTemp("", "fo-gobgpd-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	g := &gobgpd{t: t, node: node, socket: filepath.Join(dir, "g.sock")}
	g.argv = []string{"gobgpd", "-f", file, "--api-hosts", "unix://" + g.socket, "--pprof-disable"}
	g.start()
	return g
}

func (g *gobgpd) start() {
	g.t.Helper()
	_ = os.Remove(g.socket) // of a dead one
	var err error
	g.proc, err = g.node.Start(lab.Command{Name: "gobgpd-" + g.node.Name(), Argv: g.argv})
	must(g.t, err)
}

// TestExternalGobgpd: a pair that announces through gobgpd of its operator's. The route follows the role as it does with the
// embedded speaker; gobgpd killed and started again gets it back within two seconds of its return; an agent that is killed
// leaves it, and the next one sweeps it; at the end the operator's session is still up.
func TestExternalGobgpd(t *testing.T) {
	t.Parallel()
	notShort(t)
	e := newEdge(t, "")
	ga, gb := startGobgpd(t, e, "a", e.a), startGobgpd(t, e, "b", e.b)
	conf := func(host string, g *gobgpd, prio int) string {
		return lines("bgp_speaker EDGE {", "    local_as 64501", "    backend gobgpd unix:"+g.socket,
			"    allow_prefix {", "        "+service, "    }", "}") + e.instance(prio, 3, "0.2", announce(service+" speaker EDGE med 50")...)
	}
	a := startAgent(t, e.lab, e.a, conf("a", ga, prioA))
	b := startAgent(t, e.lab, e.b, conf("b", gb, prioB))
	a.waitSession(15 * time.Second)
	b.waitSession(15 * time.Second)
	a.waitState("MASTER", 10*time.Second)
	b.waitState("BACKUP", 5*time.Second)
	e.waitRoute("192.0.2.1", true, 3*time.Second)
	if s := a.status().Speakers[0]; !strings.HasPrefix(s.Backend, "gobgpd unix:") || s.Neighbors[0].RemoteAS != 64500 {
		t.Errorf("status has %+v", s)
	}

	must(t, ga.proc.Kill())
	e.waitRoute("192.0.2.1", false, 2*time.Second)
	waitFor(t, 2*time.Second, "the loss of gobgpd in status", func() bool {
		s := a.status()
		return s != nil && !s.Speakers[0].Connected && strings.Contains(s.Speakers[0].Error, "refused")
	})
	ga.start()
	returned := time.Now()
	waitFor(t, 2*time.Second+slack, "gobgpd to have the route again", func() bool {
		s := a.status()
		return s != nil && len(s.Speakers[0].Announced) == 1
	})
	t.Logf("gobgpd had the route again %v after it was started", time.Since(returned))
	e.waitRoute("192.0.2.1", true, 15*time.Second) // its session takes so long

	// The agent dies: gobgpd announces on. b announces, too; the next agent sweeps, then takes the role back.
	must(t, a.proc.Kill())
	b.waitState("MASTER", 3*time.Second)
	e.waitRoute("192.0.2.2", true, 2*time.Second)
	e.waitRoute("192.0.2.1", true, time.Second)
	again := startAgent(t, e.lab, e.a, lines("global_defs {", "    vrrp_startup_delay 3", "}")+conf("a", ga, prioA))
	e.waitRoute("192.0.2.1", false, 2*time.Second)
	again.waitState("MASTER", 15*time.Second)
	e.waitRoute("192.0.2.1", true, 3*time.Second)
	e.waitRoute("192.0.2.2", false, 3*time.Second)

	_, err := again.proc.Stop(5 * time.Second)
	must(t, err)
	e.waitRoute("192.0.2.1", false, 3*time.Second)
	e.waitRoute("192.0.2.2", true, 3*time.Second)
	if out := e.up.ask("show", "protocols", "p0"); !strings.Contains(out, "Established") {
		t.Errorf("the operator's session is gone: %s", out)
	}
}
