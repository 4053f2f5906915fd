package conf_test

import (
	"net/netip"
	"testing"

	"failoverd/failover"

	"github.com/google/go-cmp/cmp"
)

func TestStaticAddresses(t *testing.T) {
	got, diags := objects(`static_ipaddress {
		10.0.0.1/24 dev e0 brd + scope link label e0:1 no_track
		10.0.1.1
		2001:db8::1/64 noprefixroute
	}
	static_ipaddress { 10.0.2.1/32 dev lo 10.0.3.1/32 dev lo }`, "e9")
	if diags != "" {
		t.Fatal(diags)
	}
	want := []failover.Address{
		{Prefix: netip.MustParsePrefix("10.0.0.1/24"), Interface: "e0", Broadcast: netip.MustParseAddr("10.0.0.255"), Scope: 253, Label: "e0:1"},
		{Prefix: netip.MustParsePrefix("10.0.1.1/32"), Interface: "e9"},
		{Prefix: netip.MustParsePrefix("2001:db8::1/64"), Interface: "e9", NoPrefixRoute: true},
		{Prefix: netip.MustParsePrefix("10.0.2.1/32"), Interface: "lo"},
		{Prefix: netip.MustParsePrefix("10.0.3.1/32"), Interface: "lo"},
	}
	if diff := cmp.Diff(want, got.Addresses, netipValues); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestStaticAddressesThatAreWrong(t *testing.T) {
	router := failover.RouterConfig{Name: "A", Addresses: []failover.Address{{Prefix: netip.MustParsePrefix("10.0.0.7/24"), Interface: "e0"}}}
	rows := []struct{ name, entry, want string }{
		{"no interface", "10.0.0.1/24", "2:1: error: static_ipaddress 10.0.0.1/24: dev is missing, and there is no default_interface"},
		{"a wrong interface", "10.0.0.1/24 dev a/b", `2:17: error: dev "a/b": not the name of an interface`},
		{"a wrong length", "10.0.0.1/33 dev e0", `2:1: error: static_ipaddress 10.0.0.1: prefix length "33" (want 0 to 32)`},
		{"a mask", "10.0.0.1/255.255.0.0 dev e0", `2:1: error: static_ipaddress 10.0.0.1: prefix length "255.255.0.0" (want 0 to 32) (did you mean "10.0.0.1/16"?)`},
		{"no address of a host", "224.0.0.1 dev e0", `2:1: error: static_ipaddress 224.0.0.1: not the address of a host`},
		{"no address", "e0", `2:1: error: static_ipaddress "e0": want ADDRESS or ADDRESS/LENGTH`},
		{"track_group", "10.0.0.1/24 dev e0 track_group G", `2:20: error: track_group is refused: an address that vanishes is put back and costs no role`},
		{"use_vmac", "10.0.0.1/24 dev e0 use_vmac", `2:20: error: use_vmac is refused: it belongs to the addresses of a vrrp_instance`},
		{"an unknown word", "10.0.0.1/24 dev e0 lable x", `2:20: error: unexpected "lable x" in static_ipaddress (did you mean "label"?)`},
		{"twice", "10.0.0.1/24 dev e0\n10.0.0.1/32 dev e0\n10.0.0.1/24 dev e1", `3:1: error: static_ipaddress 10.0.0.1 on e0 is there twice, first at 2:1`},
		{"a virtual address", "10.0.0.7/32 dev e0\n10.0.0.7/32 dev e1", `2:1: error: static_ipaddress 10.0.0.7 on e0: it is a virtual address of vrrp_instance A`},
		{"a broadcast address of a host", "10.0.0.1 dev e0 brd +", `2:21: error: brd +: a /32 has no broadcast address`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if _, diags := objects("static_ipaddress {\n"+r.entry+"\n}\n", "", router); diags != r.want {
				t.Errorf("says\n%s\nwant\n%s", diags, r.want)
			}
		})
	}
}
