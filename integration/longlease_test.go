package integration

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// TestLongLease: of 400 IPv6 addresses on one interface, for which the file names no lease, the kernel gets one of 11 s, and of
// the IPv4 address beside them the usual one of 3 s. Each is renewed in its own time, and none of them is away for a moment.
func TestLongLease(t *testing.T) {
	t.Parallel()
	const many, long = 400, 11
	n := newLAN(t, true)
	excluded := []string{"virtual_ipaddress_excluded {", "    192.0.2.10/32"}
	for i := range many - 2 {
		excluded = append(excluded, fmt.Sprintf("    2001:db8:9::%x/128", i+1))
	}
	a := startAgent(t, n.lab, n.a, n.instance(prioA, 3, "0.2", append(excluded, "}")...))
	a.waitState("MASTER", 5*time.Second)
	in := func(v6 bool) func(netip.Addr) bool { return func(x netip.Addr) bool { return x.Is6() == v6 } }
	waitFor(t, 5*time.Second, "all addresses", func() bool {
		six, _, _ := lifetimes(t, n, in(true))
		four, _, _ := lifetimes(t, n, in(false))
		return six == many && four == 1
	})
	if s := a.status().LongLeases; len(s) != 1 || s[0].Interface != "eth0" || s[0].Addresses != many || s[0].LeaseSeconds != long {
		t.Errorf("status has long leases %+v", s)
	}
	// Down to two thirds, not below a half, and up again, twice.
	for range 2 {
		for _, what := range []struct {
			text string
			ok   func(least, most int) bool
		}{
			{"the leases to become old", func(_, most int) bool { return most <= long*2/3+1 }},
			{"the leases to be renewed", func(least, _ int) bool { return least >= long-1 }},
		} {
			waitFor(t, 8*time.Second, what.text, func() bool {
				count, least, most := lifetimes(t, n, in(true))
				if count != many || least < long/2 || most > long {
					t.Fatalf("%d IPv6 addresses live for %d to %d s, want %d for %d to %d", count, least, most, many, long/2, long)
				}
				if count, _, most := lifetimes(t, n, in(false)); count != 1 || most > 3 {
					t.Fatalf("%d IPv4 addresses live for %d s, want one for 3 at most", count, most)
				}
				return what.ok(least, most)
			})
		}
	}
}

// lifetimes returns how many virtual addresses of a kind the first router's eth0 has, and for how many seconds at least and at
// most they will be there.
func lifetimes(t *testing.T, n *lan, kind func(netip.Addr) bool) (count, least, most int) {
	t.Helper()
	out, _ := command(t, n.a, []string{"ip", "-j", "addr", "show", "dev", "eth0"})
	var list []struct {
		Addresses []struct {
			Local    netip.Addr `json:"local"`
			Lifetime int64      `json:"valid_life_time"`
		} `json:"addr_info"`
	}
	must(t, json.Unmarshal([]byte(out), &list))
	for _, l := range list {
		for _, x := range l.Addresses {
			if x.Lifetime >= 1<<32-1 || !kind(x.Local) {
				continue
			}
			seconds := int(x.Lifetime)
			if count == 0 || seconds < least {
				least = seconds
			}
			count, most = count+1, max(most, seconds)
		}
	}
	return count, least, most
}
