package conf_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"failoverd/conf"
	"failoverd/failover"
)

// The kernel's work for a renewal grows with the square of the number of IPv6 addresses on an interface.
func TestRenewalCost(t *testing.T) {
	instance := func(name string, vrid, n int, address string) string {
		first := fmt.Sprintf("fe80::%d/64", vrid)
		if strings.HasPrefix(address, "10.") {
			first = fmt.Sprintf("10.0.0.%d", vrid)
		}
		s := "virtual_ipaddress { " + first + " }\nvirtual_ipaddress_excluded {\n"
		for i := range n {
			s += fmt.Sprintf(address+"\n", vrid, i+1)
		}
		return minimal(name, vrid, s+"}")
	}
	const six, four, shared = "2001:db8::%x:%x/128", "10.1.%d.%d/32", "2001:db8:%x:%x::1/128"
	many := instance("A", 1, 300, six) + instance("B", 2, 300, six)
	elsewhere := func(name string, vrid, n int) string {
		return strings.ReplaceAll(instance(name, vrid, n, six), "interface e0", "interface e"+name)
	}
	for _, c := range []struct{ name, text, want string }{
		{"a few", instance("A", 1, 200, six), ""},
		{"IPv4", instance("A", 1, 250, four) + instance("B", 2, 250, four), ""},
		{"many of two instances", many, "1:15: warning: 602 IPv6 addresses on interface e0: their lease is 24 seconds and not 3, because to renew them would take about 15 % of a core"},
		{"in one group, because they end alike", instance("A", 1, 300, shared) + instance("B", 2, 300, shared), "their lease is 4 seconds and not 3"},
		{"a long lease", "global_defs { vip_lease 24 }\n" + many, ""},
		{"none", "global_defs { vip_lease 0 }\n" + many, ""},
		{"where the lease is given", "global_defs { vip_lease 10 }\n" + many, "1:25: warning: 602 IPv6 addresses on interface e0 with a lease of 10 seconds: the kernel needs about 5 % of a core to renew them, because it goes through all multicast groups of the interface and all lifetimes for each; vip_lease 24 takes 2 %"},
		{"on several interfaces", "global_defs { vip_lease 3 }\n" + elsewhere("A", 1, 150) + elsewhere("B", 2, 150), "1:25: warning: 302 IPv6 addresses on 2 interfaces with a lease of 3 seconds: the kernel needs about 2 % of a core"},
	} {
		_, diags := parse(t, c.text, conf.Options{})
		if c.want == "" && diags != "" || !strings.Contains(diags, c.want) {
			t.Errorf("%s: %q, want %q", c.name, diags, c.want)
		}
	}
}

// Where the file names no lease, the IPv6 addresses of an interface with many of them get a longer one, and nothing else does.
// The text that Format writes says the same.
func TestLongLeases(t *testing.T) {
	instance := func(name, device string, vrid, six, four int) string {
		s := fmt.Sprintf("virtual_ipaddress { fe80::%d/64 }\nvirtual_ipaddress_excluded {\n", vrid)
		for i := range six {
			s += fmt.Sprintf("2001:db8::%x:%x/128\n", vrid, i+1)
		}
		for i := range four {
			s += fmt.Sprintf("10.1.%d.%d/32\n", vrid, i+1)
		}
		return strings.ReplaceAll(minimal(name, vrid, s+"}"), "interface e0", "interface "+device)
	}
	for _, c := range []struct{ name, text, want string }{
		{"a few", instance("A", "e0", 1, 100, 0), ""},
		{"many", instance("A", "e0", 1, 1000, 2), "e0:1001:1m4s:42"},
		{"many here, few there", instance("A", "e0", 1, 1000, 0) + instance("B", "e1", 2, 10, 2), "e0:1001:1m6s:42"},
		{"many in two places", instance("A", "e0", 1, 500, 0) + instance("B", "e1", 2, 500, 2), "e0:501:36s:12 e1:501:36s:12"},
		{"the file names one", "global_defs { vip_lease 3 }\n" + instance("A", "e0", 1, 1000, 0), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := parsed(t, c.text)
			var got []string
			long := map[string]time.Duration{}
			for _, l := range cfg.LongLeases {
				got = append(got, fmt.Sprintf("%s:%d:%s:%.0f", l.Interface, l.Addresses, l.Lease, 100*l.Share))
				long[l.Interface] = l.Lease
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("long leases %q, want %q", s, c.want)
			}
			for i := range cfg.Routers {
				for _, a := range cfg.Routers[i].Addresses {
					want := 3 * time.Second
					if l := long[a.Interface]; l != 0 && a.Prefix.Addr().Is6() {
						want = l
					}
					if a.Lease != want {
						t.Fatalf("%s has a lease of %s, want %s", a.Key(), a.Lease, want)
					}
				}
			}
			again := parsed(t, conf.Format(cfg))
			if !reflect.DeepEqual(again.LongLeases, cfg.LongLeases) || !reflect.DeepEqual(again.Routers, cfg.Routers) {
				t.Error("read back, it is another one")
			}
		})
	}
}

func parsed(t *testing.T, text string) *failover.Config {
	t.Helper()
	cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "n1"}, conf.Options{})
	if cfg == nil {
		t.Fatal(diags)
	}
	return cfg
}
