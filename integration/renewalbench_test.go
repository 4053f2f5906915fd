package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

const (
	// manyAddresses is how many the benchmark of renewals has, besides those that the instances advertise.
	manyAddresses   = 1000
	instancesOfMany = 4
	// renewalWindow is for how long the use of the processor is measured: twenty renewals of the usual lease. longWindow is three
	// renewals of the lease that so many IPv6 addresses on one interface have by default.
	renewalWindow = 20 * time.Second
	longWindow    = 64 * time.Second
	// ticksPerSecond is the unit of /proc/PID/stat (USER_HZ), on every architecture that Go knows.
	ticksPerSecond = 100
)

// BenchmarkRenewal1000 measures what the leases of a thousand addresses cost an agent that has nothing else to do, as
// percentages of one core, of agent and supervisor together:
//
//	go test ./integration -run XXX -bench Renewal1000 -benchtime 1x
//
// The first one of IPv6 has the long lease that so many addresses get where the file names none; to be at most 2 % above the
// one without. Without a lease is what is left for everything else: four advertisements a second, and the resynchronisation.
func BenchmarkRenewal1000(b *testing.B) {
	const four, six, shared = "10.9.%d.%d/32", "2001:db8:9::%x:%x/128", "2001:db8:%x:%x::1/128"
	for _, c := range []struct {
		name, lease, address string
		window               time.Duration
	}{
		{"IPv4/default", "", four, renewalWindow},
		{"IPv4/no_lease", "vip_lease 0", four, renewalWindow},
		{"IPv6/default", "", six, longWindow},
		{"IPv6/lease_3", "vip_lease 3", six, renewalWindow},
		{"IPv6/no_lease", "vip_lease 0", six, renewalWindow},
		{"IPv6/alike/default", "", shared, longWindow}, // they share a multicast group
		{"IPv6/alike/lease_3", "vip_lease 3", shared, renewalWindow},
	} {
		b.Run(c.name, func(b *testing.B) {
			pid := serveMany(b, manyConf(c.lease, c.address))
			agent := onlyChild(b, pid)
			var used, kernel float64 // parts of one processor
			for b.Loop() {
				begin := time.Now()
				user, system := ticksUsed(b, pid, agent)
				time.Sleep(c.window)
				userEnd, systemEnd := ticksUsed(b, pid, agent)
				span := time.Since(begin).Seconds()
				used += (userEnd + systemEnd - user - system).Seconds() / span
				kernel += (systemEnd - system).Seconds() / span
			}
			b.ReportMetric(100*used/float64(b.N), "%core")
			b.ReportMetric(100*kernel/float64(b.N), "%kernel")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// manyConf is a configuration of manyAddresses; address has verbs for the number of an instance and of one of its addresses.
func manyConf(lease, address string) string {
	s := []string{"global_defs {", "    " + lease, "}"}
	for i := range instancesOfMany {
		s = append(s, fmt.Sprintf("vrrp_instance V%d {", i), "    interface eth0", fmt.Sprintf("    virtual_router_id %d", 60+i),
			"    priority 200", "    advert_int 1", "    virtual_ipaddress {")
		if strings.Contains(address, ":") {
			s = append(s, fmt.Sprintf("        fe80::%d/64", 60+i))
		} else {
			s = append(s, fmt.Sprintf("        192.0.2.%d/32", 60+i))
		}
		s = append(s, "    }", "    virtual_ipaddress_excluded {")
		for j := range manyAddresses / instancesOfMany {
			s = append(s, "        "+fmt.Sprintf(address, i, j+1))
		}
		s = append(s, "    }", "}")
	}
	return lines(s...)
}

// serveMany starts an agent with a configuration on a veth pair, waits until it has all addresses and has settled, and
// returns the process id of its supervisor.
func serveMany(b *testing.B, conf string) int {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	l := lab.ForTest(b)
	node, err := l.Node("a")
	check(err)
	peer, err := l.Node("b")
	check(err)
	check(l.Connect(node, "eth0", peer, "eth0"))
	for _, a := range []string{addrA, addr6A, "fe80::a/64"} {
		check(node.AddAddress("eth0", a))
	}
	path, err := l.WriteFile("a.conf", conf)
	check(err)
	dir := filepath.Join(l.Dir(), "a.state")
	check(os.MkdirAll(dir, 0o755))
	p, err := node.Start(lab.Command{Name: "failoverd", Argv: []string{binary, "run", "-f", path}, Env: []string{"FAILOVERD_STATE_DIR=" + dir}})
	check(err)
	check(lab.WaitFor(context.Background(), 20*time.Second, "all addresses", func() bool {
		list, err := node.Addresses("eth0")
		return err == nil && len(list) >= manyAddresses
	}))
	time.Sleep(8 * time.Second) // the second batch of gratuitous ARP is over
	return p.PID()
}

func onlyChild(b *testing.B, pid int) int {
	b.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries { // whichever thread started it
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		if f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(e.Name())
			if err != nil {
				b.Fatal(err)
			}
			return child
		}
	}
	b.Fatalf("process %d has no child", pid)
	return 0
}

// ticksUsed returns how much of the processors some processes have used so far, to 10 ms each.
func ticksUsed(b *testing.B, pids ...int) (user, system time.Duration) {
	b.Helper()
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // from field 3 of proc(5) on
		for i, sum := range map[int]*time.Duration{14: &user, 15: &system} {
			n, err := strconv.Atoi(f[i-3])
			if err != nil {
				b.Fatal(err)
			}
			*sum += time.Duration(n) * (time.Second / ticksPerSecond)
		}
	}
	return user, system
}
