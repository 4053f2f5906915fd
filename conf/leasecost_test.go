package conf_test

import (
	"fmt"
	"strings"
	"testing"

	"failoverd/conf"
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
	const six, four = "2001:db8::%x:%x/128", "10.1.%d.%d/32"
	many := instance("A", 1, 300, six) + instance("B", 2, 300, six)
	for _, c := range []struct{ name, text, want string }{
		{"a few", instance("A", 1, 200, six), ""},
		{"IPv4", instance("A", 1, 250, four) + instance("B", 2, 250, four), ""},
		{"many of two instances", many, "15 % of a core to renew them, because it goes through the multicast groups of all for each; vip_lease 23 takes 2 %"},
		{"a long lease", "global_defs { vip_lease 23 }\n" + many, ""},
		{"none", "global_defs { vip_lease 0 }\n" + many, ""},
		{"where the lease is given", "global_defs { vip_lease 10 }\n" + many, "1:25: warning: 602 IPv6 addresses on interface e0 with a lease of 10 seconds"},
	} {
		_, diags := parse(t, c.text, conf.Options{})
		if c.want == "" && diags != "" || !strings.Contains(diags, c.want) {
			t.Errorf("%s: %q, want %q", c.name, diags, c.want)
		}
	}
}
