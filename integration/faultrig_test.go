package integration

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// Parameters of the routers in the fault matrix, and what follows from them (RFC 9568 section 6.1). The slack is twice that of
// other labs: several of these run at once, and each has a client that asks every millisecond.
const (
	faultInterval = 300 * time.Millisecond
	faultSkew     = (256 - prioB) * faultInterval / 256
	faultDown     = 3*faultInterval + faultSkew // Active_Down_Interval of b
	faultLease    = 2 * time.Second
	faultExpiry   = faultLease + time.Second // the kernel rounds a lifetime up to its next look
	faultHold     = 3 * time.Second          // of BGP
	bgpLease      = time.Second
	faultSlack    = 2 * slack
)

// rigKind says what a rig is made of.
type rigKind uint8

const (
	plainRig   rigKind = iota // failoverd as it is shipped
	diskRig                   // a has its event log on a small file system of its own
	injectRig                 // a program that does itself harm when it is told to
	signedRig                 // the same, with auth_hmac
	edgeRig                   // with a BGP session each to an upstream on node c
	evilRig                   // with a BGP session each to a hostile neighbor on node c
	guardedRig                // both routers are of a site, which a witness on node c acknowledges
	theirRig                  // keepalived
)

// rig is a LAN with a, which is preferred, and b, a client, and a witness in each kernel.
type rig struct {
	*lan
	kind   rigKind
	a, b   *lab.Process
	alive  *agent // a's status, of failoverd
	probe  *lab.Probe
	watch  map[string]*lab.Watch
	thief  *lab.Node
	evil   *evilPeer
	faults string // the file that tells the injecting program what to do
	disk   string
	pid    int // of a's agent before the fault
}

// newRig makes a rig and waits until a serves.
func newRig(t *testing.T, kind rigKind) *rig {
	t.Helper()
	r := &rig{lan: newLAN(t, false), kind: kind, watch: make(map[string]*lab.Watch)}
	r.faults, r.disk = filepath.Join(r.lab.Dir(), "faults"), filepath.Join(r.lab.Dir(), "disk")
	must(t, os.MkdirAll(r.disk, 0o755))
	r.thief, _ = r.host("d", "192.0.2.4/24")
	for _, n := range []*lab.Node{r.lan.a, r.lan.b, r.c, r.thief} {
		r.watch[n.Name()] = watchOf(t, n)
	}
	switch kind {
	case edgeRig:
		need(t, "bird")
		startBird(t, r.lab, r.c, "192.0.2.3", []string{"192.0.2.1", "192.0.2.2"}, "")
	case evilRig:
		r.evil = startEvilPeer(t, r.lan, "192.0.2.3")
	case guardedRig:
		startAgent(t, r.lab, r.c, lines("global_defs {", "    router_id c", "}",
			"witness_server {", "    listen 192.0.2.3", "    key_file "+r.siteKey(), "}"))
	}
	r.b = r.start("b")
	r.a = r.start("a")
	var err error
	r.probe, err = r.c.Probe(r.vip)
	must(t, err)
	r.settle(20 * time.Second)
	return r
}

// start starts one of the two routers.
func (r *rig) start(host string) *lab.Process {
	r.t.Helper()
	node, priority := r.lan.a, prioA
	if host == "b" {
		node, priority = r.lan.b, prioB
	}
	if r.kind == theirRig {
		return keepalived{}.start(r.lan, node, r.instance(priority, 3, "0.3"))
	}
	dir := filepath.Join(r.lab.Dir(), host+".state")
	must(r.t, os.MkdirAll(dir, 0o755))
	path, err := r.lab.WriteFile(host+".conf", r.text(host, priority))
	must(r.t, err)
	c := lab.Command{Name: "failoverd-" + host, Argv: []string{binary, "run", "-f", path}, Env: []string{"FAILOVERD_STATE_DIR=" + dir}}
	switch {
	case host == "b":
	case r.kind == injectRig || r.kind == signedRig:
		c.Argv[0] = injecting(r.t)
		c.Env = append(c.Env, "FAILOVERD_FAULTS="+r.faults)
	case r.kind == diskRig:
		c.Argv = []string{"unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=64k none " + r.disk + " && exec " + binary + " run -f " + path}
	}
	p, err := node.Start(c)
	must(r.t, err)
	if host == "a" {
		r.alive = &agent{t: r.t, node: node, proc: p, conf: path, dir: dir, api: lab.Status(filepath.Join(dir, "status.sock"))}
	}
	return p
}

// text is the configuration of a router.
func (r *rig) text(host string, priority int) string {
	global := []string{"global_defs {", "    vip_lease 2", "    bgp_lease 1"}
	if r.kind == diskRig && host == "a" {
		global = append(global, "    event_log "+filepath.Join(r.disk, "events.jsonl"))
	}
	text := lines(append(global, "}")...)
	var extra []string
	switch {
	case r.kind == signedRig:
		extra = []string{"auth_hmac {", `    key 1 "a key that is long enough for auth_hmac"`, "    active_key 1", "}"}
	case r.kind == guardedRig:
		text += lines("site home {", "    witness w 192.0.2.3", "    key_file "+r.siteKey(), "    fence_after 3", "    heartbeat 0.5", "    isolated fence", "}")
		extra = []string{"site home"}
	case r.kind == edgeRig, r.kind == evilRig && host == "a": // the hostile neighbor knows one session
		text += lines(
			"bgp_speaker EDGE {", "    local_as 64501", "    router_id "+r.source(host), "    allow_prefix {", "        "+service, "    }",
			"    neighbor 192.0.2.3 {", "        remote_as 64500", "        local_address "+r.source(host),
			"        hold_time 3", "        keepalive 1", "        connect_retry 1", "    }", "}")
		extra = announce(service + " speaker EDGE")
	}
	return text + r.instance(priority, 3, "0.3", extra...)
}

// siteKey writes the key of the guarded site, and returns its path.
func (r *rig) siteKey() string {
	r.t.Helper()
	path, err := r.lab.WriteFile("site.key", regionKey+"\n")
	must(r.t, err)
	return path
}

// injecting is the program with faults, built once.
var injecting = func() func(t *testing.T) string {
	var once sync.Once
	var path string
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() {
			path = filepath.Join(filepath.Dir(binary), "failoverd-faultinject")
			cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace,nethttpomithttp2,faultinject", "-ldflags", "-s -w", "-o", path, "../cmd/failoverd")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("build with faults: %v\n%s", err, out)
			}
		})
		return path
	}
}()

// agentPID returns the process that does the work of a: the child of what was started.
func (r *rig) agentPID() int {
	r.t.Helper()
	if r.kind == theirRig {
		return childOf(r.t, r.a.PID())
	}
	r.alive.t = r.t
	return r.alive.pid()
}

// another reports whether an agent of a lives that is not the one of before the fault.
func (r *rig) another() bool {
	if r.kind == theirRig {
		return false // its addresses say so: it removes them when it starts
	}
	s := r.alive.status()
	return s != nil && s.PID != r.pid
}

// settle waits until a serves and b does not, and the client is answered by a.
func (r *rig) settle(d time.Duration) {
	t := r.t
	t.Helper()
	waitFor(t, d, "a alone to have the address", func() bool { return holds(t, r.lan.a, r.vip) && !holds(t, r.lan.b, r.vip) })
	if r.kind != theirRig {
		r.alive.t = t
		r.alive.waitState("MASTER", d)
	}
	if r.kind == edgeRig || r.kind == evilRig {
		r.alive.waitSession(d)
	}
	if r.kind == edgeRig {
		waitFor(t, d, "the route to lead to a", func() bool {
			via, ok, err := r.c.NextHop(netip.MustParsePrefix(service))
			return err == nil && ok && via.String() == "192.0.2.1"
		})
	}
	since := time.Now()
	answered := func() bool { _, _, ok := r.probe.FirstAnswer(since, "a"); return ok }
	if lab.WaitFor(t.Context(), time.Second, "a to answer", answered) != nil {
		command(t, r.c, []string{"ip", "neigh", "flush", "dev", "eth0"}) // what the fault has left there was measured
		waitFor(t, d, "a to answer", answered)
	}
	time.Sleep(faultInterval) // the last will is there 20 ms after the role, and b is to hear of it
	r.pid = r.agentPID()
}

// restart starts a anew: what was left of it is gone before, as after a boot.
func (r *rig) restart() {
	r.t.Helper()
	_ = r.a.Resume()
	if _, err := r.a.Stop(8 * time.Second); err != nil {
		r.t.Logf("restart of a: %v", err)
	}
	must(r.t, r.a.Kill())
	if holds(r.t, r.lan.a, r.vip) {
		_ = r.lan.a.DeleteAddress("eth0", r.vip.String()+"/32")
	}
	_ = os.Remove(r.faults)
	r.a = r.start("a")
}

// drop makes the switch drop what comes from a's port, or goes to it, under a condition in nft's words; empty: nothing.
func (r *rig) drop(from, to string) {
	r.t.Helper()
	text := "table bridge faults {\n  chain c {\n    type filter hook prerouting priority 0;\n"
	if from != "" {
		text += fmt.Sprintf("    iifname %q %s drop\n", r.pa.SwitchSide(), from)
	}
	text += "  }\n  chain d {\n    type filter hook postrouting priority 0;\n"
	if to != "" {
		text += fmt.Sprintf("    oifname %q %s drop\n", r.pa.SwitchSide(), to)
	}
	path, err := r.lab.WriteFile("faults.nft", text+"  }\n}\n")
	must(r.t, err)
	if out, code := command(r.t, r.sw.Fabric(), []string{"nft", "-f", path}); code != 0 {
		r.t.Fatalf("nft: %s", out)
	}
}

// undrop ends drop.
func (r *rig) undrop() {
	r.t.Helper()
	if out, code := command(r.t, r.sw.Fabric(), []string{"nft", "delete", "table", "bridge", "faults"}); code != 0 {
		r.t.Fatalf("nft: %s", out)
	}
}

// tell tells the injecting program what to do.
func (r *rig) tell(words string) {
	r.t.Helper()
	next := r.faults + ".next"
	must(r.t, os.WriteFile(next, []byte(words+"\n"), 0o644))
	must(r.t, os.Rename(next, r.faults))
}

// onDisk is a path on the small file system, which is in a's mount namespace alone.
func (r *rig) onDisk(name string) string {
	return filepath.Join("/proc", fmt.Sprint(r.a.PID()), "root", r.disk, name)
}

// fill leaves no room on the file system of a's event log, nor in the last page of the log itself.
func (r *rig) fill() {
	r.t.Helper()
	const page = 4096
	log, err := os.OpenFile(r.onDisk("events.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
	must(r.t, err)
	defer log.Close()
	info, err := log.Stat()
	must(r.t, err)
	if rest := page - int(info.Size()%page); rest < page {
		_, err = log.WriteString(strings.Repeat(" ", rest-1) + "\n")
		must(r.t, err)
	}
	f, err := os.Create(r.onDisk("filler"))
	must(r.t, err)
	defer f.Close()
	for b := make([]byte, page); ; {
		if _, err := f.Write(b); err != nil {
			return
		}
	}
}

func (r *rig) empty() {
	r.t.Helper()
	must(r.t, os.Remove(r.onDisk("filler")))
}

// signal sends a signal to a's agent alone.
func (r *rig) signal(s syscall.Signal) {
	r.t.Helper()
	must(r.t, syscall.Kill(r.pid, s))
}
