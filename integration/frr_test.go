package integration

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// frrDir is where Debian puts FRR's daemons.
const frrDir = "/usr/lib/frr/"

// frr runs zebra and vrrpd on a node of a LAN: a version 3 router whose virtual MAC lives on a macvlan.
type frr struct {
	n     *lan
	node  *lab.Node
	dir   string
	zebra *lab.Process
	vrrpd *lab.Process
}

func startFRR(n *lan, node *lab.Node, priority int, intervalMS int) *frr {
	n.t.Helper()
	f := &frr{n: n, node: node, dir: filepath.Join(n.lab.Dir(), node.Name()+".frr")}
	f.prepare()
	mac, name, vip, family := "00:00:5e:00:01:33", "vrrp4", "192.0.2.10/32", "ip"
	if n.v6 {
		mac, name, vip, family = "00:00:5e:00:02:33", "vrrp6", "2001:db8:2::10/64", "ipv6"
	}
	f.ip("link", "add", name, "link", "eth0", "type", "macvlan", "mode", "bridge")
	must(n.t, node.Sysctl("ipv6/conf/"+name+"/addr_gen_mode", "1")) // no address made from the virtual MAC (RFC 9568 section 7.4)
	f.ip("link", "set", name, "address", mac)
	if n.v6 {
		f.ip("addr", "add", "fe80::10/64", "dev", name, "nodad")
		f.ip("addr", "add", "fe80::f0"+node.Name()+"/64", "dev", name, "nodad")
	}
	f.ip("addr", "add", vip, "dev", name)
	f.ip("link", "set", name, "up")
	conf := lines("interface eth0",
		fmt.Sprintf(" vrrp 51 version 3\n vrrp 51 priority %d\n vrrp 51 advertisement-interval %d", priority, intervalMS))
	if n.v6 {
		conf += " vrrp 51 ipv6 fe80::10\n"
	}
	conf += fmt.Sprintf(" vrrp 51 %s %s\n", family, n.vip)
	f.zebra = f.run("zebra", "")
	waitFor(n.t, 10*time.Second, "zebra's socket", func() bool { return exists(filepath.Join(f.dir, "zserv.api")) })
	f.vrrpd = f.run("vrrpd", conf)
	group := "224.0.0.18"
	if n.v6 {
		group = "ff02::12"
	}
	// It first learns of its interfaces, joins the group and is Backup: one that does not listen yet takes nothing over.
	waitFor(n.t, 10*time.Second, "vrrpd to listen", func() bool {
		out, _ := command(n.t, node, []string{"ip", "maddress"})
		return strings.Contains(out, group+"\n") || strings.Contains(out, group+" ")
	})
	return f
}

// prepare makes the daemons' directory; they give up their privileges and must still be able to use it.
func (f *frr) prepare() {
	f.n.t.Helper()
	must(f.n.t, os.MkdirAll(f.dir, 0o777))
	must(f.n.t, os.Chmod(f.n.lab.Dir(), 0o755))
	must(f.n.t, os.Chmod(f.dir, 0o777))
	own(f.n, f.dir)
}

// own gives a directory to the user that FRR's daemons become.
func own(n *lan, dir string) {
	n.t.Helper()
	u, err := user.Lookup("frr")
	must(n.t, err)
	uid, err := strconv.Atoi(u.Uid)
	must(n.t, err)
	gid, err := strconv.Atoi(u.Gid)
	must(n.t, err)
	must(n.t, os.Chown(dir, uid, gid))
}

func (f *frr) ip(args ...string) {
	f.n.t.Helper()
	if out, code := command(f.n.t, f.node, append([]string{"ip"}, args...)); code != 0 {
		f.n.t.Fatalf("ip %v: exit %d: %s", args, code, out)
	}
}

func (f *frr) run(daemon, conf string, args ...string) *lab.Process {
	f.n.t.Helper()
	path := filepath.Join(f.dir, daemon+".conf")
	must(f.n.t, os.WriteFile(path, []byte(conf), 0o644))
	p, err := f.node.Start(lab.Command{
		Name: daemon + "-" + f.node.Name(),
		Argv: append([]string{
			frrDir + daemon, "-f", path, "-i", filepath.Join(f.dir, daemon+".pid"), "-z", filepath.Join(f.dir, "zserv.api"),
			"--vty_socket", f.dir, "--log", "stdout",
		}, args...),
	})
	must(f.n.t, err)
	return p
}

// TestFRRInterop pairs failoverd with FRR's vrrpd, version 3, each way round: the preferred one leads, releases the role
// in order or dies, and the other one takes over when the protocol says.
func TestFRRInterop(t *testing.T) {
	t.Parallel()
	need(t, frrDir+"zebra", frrDir+"vrrpd", "ip")
	for _, v6 := range []bool{false, true} {
		for _, weLead := range []bool{true, false} {
			for _, crash := range []bool{true, false} {
				name := fmt.Sprintf("IPv6=%t failoverd preferred=%t crash=%t", v6, weLead, crash)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					playFRR(t, v6, weLead, crash)
				})
			}
		}
	}
}

func playFRR(t *testing.T, v6, weLead, crash bool) {
	n := newLAN(t, v6)
	const advert = 300 * time.Millisecond
	ourPrio, theirPrio := prioB, prioA
	if weLead {
		ourPrio, theirPrio = prioA, prioB
	}
	theirs := startFRR(n, n.b, theirPrio, int(advert.Milliseconds()))
	us := startAgent(t, n.lab, n.a, n.instance(ourPrio, 3, "0.3"))
	fromThem := func(since time.Time) []lab.Packet { return n.fromOthers(since) }
	waitFor(t, 15*time.Second, "the preferred router to lead alone", func() bool {
		recent := time.Now().Add(-2 * advert)
		ours, their := len(n.adverts(n.source("a"), recent)), len(fromThem(recent))
		return weLead && ours > 0 && their == 0 || !weLead && ours == 0 && their > 0
	})
	gone := time.Now()
	skew := time.Duration(256-min(ourPrio, theirPrio)) * advert / 256
	want := skew
	if crash {
		want += 3 * advert
	}
	switch {
	case weLead && crash:
		must(t, n.pa.Cut())
		must(t, us.proc.Kill())
	case weLead:
		must(t, us.proc.Signal(syscall.SIGTERM))
	case crash:
		must(t, n.pb.Cut())
		must(t, theirs.vrrpd.Kill())
	default:
		must(t, theirs.vrrpd.Signal(syscall.SIGTERM))
	}
	var last, next []lab.Packet
	waitFor(t, want+5*time.Second, "the other one to take over", func() bool {
		if weLead {
			last, next = n.adverts(n.source("a"), time.Time{}), fromThem(gone)
		} else {
			last, next = fromThem(time.Time{}), n.adverts(n.source("a"), gone)
		}
		return len(next) > 0
	})
	took := next[0].At.Sub(last[len(last)-1].At)
	// FRR computes in whole centiseconds and rounds down; over IPv6 its first advertisement comes an interval after it
	// has taken over.
	late := slack
	if weLead {
		late += advert
	}
	if took < want-25*time.Millisecond || took > want+late {
		t.Errorf("takeover after %v, want %v", took, want)
	}
	t.Logf("takeover after %v, theory %v", took, want)
	for _, p := range n.capture.Packets() {
		if p.VRRP != nil && p.VRRP.Drop != 0 {
			t.Errorf("on the wire: %s", p.String())
		}
	}
	if !weLead {
		us.waitState("MASTER", 2*time.Second)
		if r := us.router(); len(r.Counters.Drops) > 0 && r.Counters.Drops["not_running"] != sum(r.Counters.Drops) {
			t.Errorf("we refused adverts of FRR: %v", r.Counters.Drops)
		}
	}
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

// fromOthers returns the advertisements of everyone but a.
func (n *lan) fromOthers(since time.Time) []lab.Packet {
	var out []lab.Packet
	for _, p := range n.capture.Packets() {
		if p.VRRP != nil && p.Src.String() != n.source("a") && !p.At.Before(since) {
			out = append(out, p)
		}
	}
	return out
}
