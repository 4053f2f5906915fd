package integration

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// objectWords is what both programs are to make the same kernel objects of. eth1 is a second interface.
const objectWords = `static_ipaddress {
    203.0.113.1/24 dev eth1
    2001:db8:7::1/64 dev eth1
}
static_routes {
    10.1.0.0/16 via 192.0.2.3 dev eth0
    10.2.0.0/16 via 203.0.113.3 dev eth1 metric 50 table 100
    10.3.0.0/16 dev eth1 scope link src 203.0.113.1
    blackhole 10.4.0.0/16
    2001:db8:a1::/48 via 2001:db8:2::3 dev eth0
}
static_rules {
    from 10.9.0.0/16 table 100 priority 1000
    to 2001:db8:a9::/48 table 100 priority 1001
}
`

// virtualWords are blocks of an instance. The virtual address is the source of a route and the selector of a rule.
const virtualWords = `    virtual_routes {
        10.10.0.0/16 via 192.0.2.3 dev eth0
        10.11.0.0/16 via 192.0.2.3 dev eth0 src 192.0.2.10
        10.12.0.0/16 dev eth0 scope link
        10.13.0.0/16 via 192.0.2.3 dev eth0 table 200 metric 7 mtu 1400 advmss 1300
        10.14.0.0/16 via 203.0.113.9 dev eth0 onlink
        10.15.0.0/16 via 192.0.2.3 dev eth0 tos 0x10 mtu lock 1280 hoplimit 33 initcwnd 20 initrwnd 30
        unreachable 10.16.0.0/16 table 200
        prohibit 10.17.0.0/16 table 200
        throw 10.18.0.0/16 table 200
        blackhole 198.51.101.0/24
        198.51.100.0/24 dev lo
        10.25.0.0/16 dev eth0
        multicast 239.1.0.0/16 dev eth0 table 200
        2001:db8:b1::/48 via 2001:db8:2::3 dev eth0
        2001:db8:b2::/48 dev eth0 metric 77
        10.19.0.0/16 nexthop via 192.0.2.3 dev eth0 weight 2 nexthop via 192.0.2.4 dev eth0 weight 3
    }
    virtual_rules {
        from 192.0.2.10 lookup 200 priority 2000
        to 10.20.0.0/16 iif eth0 fwmark 0x1/0xff table 200 priority 2001
        from 10.21.0.0/16 to 10.22.0.0/16 table 200 tos 0x10 priority 2002
        from 2001:db8:b9::/48 lookup 200 preference 2003
        from 10.23.0.0/16 type unreachable priority 2004
        from 10.24.0.0/16 ipproto tcp dport 80-90 table 200 priority 2005
    }
`

// virtualMarks are what virtual routes and rules are recognised by: all but one rule.
var virtualMarks = strings.Fields(`10.10.0.0/16 10.11.0.0/16 10.12.0.0/16 10.13.0.0/16 10.14.0.0/16 10.15.0.0/16 10.16.0.0/16
	10.17.0.0/16 10.18.0.0/16 198.51.101.0/24 198.51.100.0/24 2001:db8:b1::/48 2001:db8:b2::/48 10.19.0.0/16 10.25.0.0/16 239.1.0.0/16
	10.20.0.0/16 10.21.0.0/16 2001:db8:b9::/48 10.23.0.0/16 10.24.0.0/16`)

// newObjectLAN is a LAN of routers with a second interface.
func newObjectLAN(t *testing.T) *lan {
	t.Helper()
	n := newLAN(t, false)
	sw, err := n.lab.Switch("lan2")
	must(t, err)
	for _, h := range []*lab.Node{n.a, n.b} {
		_, err = sw.Plug(h, "eth1")
		must(t, err)
	}
	return n
}

// withObjects is an instance with virtual routes and rules, and static ones.
func (n *lan) withObjects(priority int) string {
	return objectWords + strings.Replace(n.instance(priority, 3, "0.3"), "    virtual_ipaddress {", virtualWords+"    virtual_ipaddress {", 1)
}

var protocolWord = regexp.MustCompile(` proto \S+`)

// objects returns the routes and rules of a node that are not the kernel's own, in iproute2's words without who made them,
// sorted.
func objectsOf(t *testing.T, n *lab.Node) []string {
	t.Helper()
	var list []string
	for _, words := range []string{"-4 route show table all", "-6 route show table all", "-4 rule", "-6 rule"} {
		out, code := command(t, n, append([]string{"ip"}, strings.Fields(words)...))
		if code != 0 {
			t.Fatal(out)
		}
		for l := range strings.Lines(out) {
			if strings.Contains(l, "proto kernel") || strings.Contains(l, "table local") {
				continue
			}
			list = append(list, words[:2]+" "+strings.Join(strings.Fields(protocolWord.ReplaceAllString(l, "")), " "))
		}
	}
	slices.Sort(list)
	return list
}

// monitor records the changes of a node's addresses, routes and rules, in the kernel's order.
func monitor(t *testing.T, n *lab.Node) *lab.Process {
	t.Helper()
	p, err := n.Start(lab.Command{Name: "monitor", Argv: []string{"ip", "monitor", "address", "route", "rule"}})
	must(t, err)
	// It says nothing of being ready.
	waitFor(t, 5*time.Second, "ip monitor to see a change", func() bool {
		if out, code := command(t, n, []string{"sh", "-c", "ip route replace blackhole 192.0.2.254; ip route del blackhole 192.0.2.254"}); code != 0 {
			t.Fatal(out)
		}
		return strings.Contains(p.Log(), "192.0.2.254")
	})
	return p
}

// changes returns the lines of a monitor about something, from the n-th on.
func changes(p *lab.Process, n int, parts ...string) (out []string) {
	for i, l := range strings.Split(p.Log(), "\n") {
		if i >= n && (len(parts) == 0 || contains(l, parts)) && !strings.Contains(l, "192.0.2.254") {
			out = append(out, l)
		}
	}
	return out
}

// difference returns the lines that only one of the lists has.
func difference(old, now []string) string {
	var b strings.Builder
	for _, l := range old {
		if !slices.Contains(now, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range now {
		if !slices.Contains(old, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	return b.String()
}

// waitObjects waits until a node has all virtual routes and rules, beside what is somebody else's.
func (n *lan) waitObjects(node *lab.Node, foreign []string) {
	n.t.Helper()
	missing := ""
	err := lab.WaitFor(n.t.Context(), 3*time.Second, "the virtual routes and rules", func() bool {
		got := objectsOf(n.t, node)
		missing = ""
		for _, w := range virtualMarks {
			if !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, w) }) {
				missing += " " + w
			}
		}
		for _, l := range foreign {
			if !slices.Contains(got, l) {
				missing += " (somebody else's) " + l
			}
		}
		return missing == ""
	})
	if err != nil {
		n.t.Fatalf("%v: missing%s", err, missing)
	}
}

// object returns what status says is wrong with a route or rule.
func (a *agent) object(part string) string {
	r := a.router()
	if r == nil {
		return ""
	}
	for _, o := range r.Objects {
		if strings.Contains(o.Object, part) {
			return o.Error
		}
	}
	return "not in the status"
}

// inSequence asserts that the line about the address is before all lines about the objects, or behind them.
func inSequence(t *testing.T, seen *lab.Process, from int, address string, marks []string, last bool) {
	t.Helper()
	at, first, final, count := -1, -1, -1, 0
	all := strings.Split(seen.Log(), "\n")
	for i, l := range all {
		switch {
		case i < from || strings.Contains(l, "10.99.0.0/16") || strings.Contains(l, "metric 5"):
		case strings.Contains(l, address) && strings.HasPrefix(l, "Deleted ") == last:
			if at < 0 {
				at = i
			}
		case strings.HasPrefix(l, "Deleted ") == last && slices.ContainsFunc(marks, func(m string) bool { return strings.Contains(l, m) }):
			if first < 0 {
				first = i
			}
			final = i
			count++
		}
	}
	if at < 0 || count < len(marks)-2 || !last && first < at || last && final > at {
		t.Errorf("%q is line %d, %d changes of routes and rules lines %d to %d; of\n%s", address, at, count, first, final, strings.Join(all[from:], "\n"))
	}
}
