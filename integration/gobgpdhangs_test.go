package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/failover/status"
)

// leftEvents returns what agents in this place have told of routes in their gobgpd, as "WHAT PREFIXES".
func (a *agent) leftEvents() (all []string) {
	a.t.Helper()
	log, err := os.ReadFile(filepath.Join(a.dir, "events.jsonl"))
	must(a.t, err)
	for line := range strings.Lines(string(log)) {
		var e status.Event
		if json.Unmarshal([]byte(line), &e) == nil && e.Kind == "route_left" {
			all = append(all, e.To+" "+e.Object)
		}
	}
	return all
}

// Prefixes of this lab: one that is announced to the end, and one that is not allowed any more in the last life.
const keptPrefix, gonePrefix = service, "198.51.101.0/24"

// TestGobgpdHangs: while an operator's gobgpd hangs, nothing is left in it without a word. A reload that takes an announcement
// away, or the whole speaker, says what stays, and it is withdrawn when gobgpd wakes up; an agent that stops says the same. One that
// is killed leaves its routes, and the next one withdraws those that allow_prefix no longer permits. What the operator has put there
// stays.
func TestGobgpdHangs(t *testing.T) {
	t.Parallel()
	notShort(t)
	e := newEdge(t, "")
	g := startGobgpd(t, e, "a", e.a)
	conf := func(prefixes ...string) string {
		if len(prefixes) == 0 {
			return e.instance(prioA, 3, "0.2")
		}
		extra := []string{"bgp_announce {"}
		for _, p := range prefixes {
			extra = append(extra, "    "+p+" speaker EDGE med 50")
		}
		return lines("bgp_speaker EDGE {", "    local_as 64501", "    backend gobgpd unix:"+g.socket, "    allow_prefix {",
			"        "+strings.Join(prefixes, "\n        "), "    }", "}") + e.instance(prioA, 3, "0.2", append(extra, "}")...)
	}
	a := startAgent(t, e.lab, e.a, conf(keptPrefix, gonePrefix))
	reload := func(text string) {
		t.Helper()
		must(t, os.WriteFile(a.conf, []byte(text), 0o600))
		a.ask("reload")
	}
	told := func(any ...string) {
		t.Helper()
		waitFor(t, 10*time.Second, strings.Join(any, " or "), func() bool {
			return slices.ContainsFunc(a.leftEvents(), func(e string) bool { return slices.Contains(any, e) })
		})
	}
	hang := func() { must(t, g.proc.Signal(syscall.SIGSTOP)) }
	wake := func() { must(t, g.proc.Signal(syscall.SIGCONT)) }
	g.waitTable(keptPrefix, true)
	g.waitTable(gonePrefix, true)

	hang()
	reload(conf(keptPrefix))
	told("stays " + gonePrefix)
	wake()
	told("withdrawn " + gonePrefix)
	g.waitTable(gonePrefix, false)

	hang()
	reload(conf())
	told("stays " + keptPrefix)
	wake()
	told("swept "+keptPrefix, "withdrawn "+keptPrefix) // what the speaker has asked for may be done first
	g.waitTable(keptPrefix, false)

	reload(conf(keptPrefix, gonePrefix))
	g.waitTable(keptPrefix, true)
	g.waitTable(gonePrefix, true)
	hang()
	begin := time.Now()
	_, err := a.proc.Stop(8 * time.Second)
	must(t, err)
	t.Logf("the agent stopped after %v", time.Since(begin))
	told("stays " + keptPrefix + " " + gonePrefix)
	if log := string(a.proc.Log()); strings.Count(log, `"level":"ERROR","msg":"routes left in a gobgpd"`) < 3 {
		t.Errorf("not each of them is an error in the log:\n%s", log)
	}
	wake()

	const operators = "203.0.113.0/24"
	g.gobgp("global", "rib", "add", operators)
	a = startAgent(t, e.lab, e.a, conf(keptPrefix, gonePrefix))
	for _, p := range []string{keptPrefix, gonePrefix, operators} {
		e.waitPrefix(p, true)
	}
	must(t, a.proc.Kill())
	a = startAgent(t, e.lab, e.a, conf(keptPrefix))
	told("swept " + gonePrefix)
	e.waitPrefix(gonePrefix, false)
	a.waitState("MASTER", 10*time.Second)
	e.waitPrefix(keptPrefix, true)
	e.waitPrefix(operators, true)
}

// waitPrefix waits until the upstream has, or has not, a route to a prefix by way of a.
func (e *edge) waitPrefix(prefix string, want bool) {
	e.t.Helper()
	waitFor(e.t, 15*time.Second, "the upstream's route to "+prefix, func() bool {
		return strings.Contains(e.up.ask("show", "route", prefix, "all"), "via 192.0.2.1 ") == want
	})
}

// waitTable waits until a prefix is in gobgpd's table, or is not.
func (g *gobgpd) waitTable(prefix string, want bool) {
	g.t.Helper()
	waitFor(g.t, 10*time.Second, prefix+" in gobgpd's table", func() bool {
		return strings.Contains(g.gobgp("global", "rib"), prefix) == want
	})
}

// gobgp runs gobgpd's own client, which must succeed.
func (g *gobgpd) gobgp(args ...string) string {
	g.t.Helper()
	out, code := command(g.t, g.node, append([]string{"gobgp", "--target", "unix://" + g.socket}, args...))
	if code != 0 {
		g.t.Fatalf("gobgp %v: %s", args, out)
	}
	return out
}
