package conf_test

import (
	"strings"
	"testing"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/vrrp/wire"

	"github.com/google/go-cmp/cmp"
)

func vmacs(routers ...conf.VMACRouter) ([]*failover.VMAC, string) {
	got, diags := conf.ParseVMACs(routers...)
	return got, strings.TrimSuffix(strings.ReplaceAll(lines(diags), "main.conf:", ""), "\n")
}

func TestVMAC(t *testing.T) {
	own := [6]byte{0, 0, 0x5e, 0, 1, 7}
	rows := []struct {
		name   string
		router conf.VMACRouter
		want   *failover.VMAC
		diags  string
	}{
		{"none", conf.VMACRouter{}, nil, ""},
		{"IPv4", conf.VMACRouter{Text: "use_vmac"}, &failover.VMAC{Name: "vrrp.7", MAC: own}, ""},
		{"IPv6", conf.VMACRouter{Text: "use_vmac", Family: wire.IPv6}, &failover.VMAC{Name: "vrrp6.7", MAC: [6]byte{0, 0, 0x5e, 0, 2, 7}}, ""},
		{"vmac_prefix", conf.VMACRouter{Text: "use_vmac", Prefix: "v-"}, &failover.VMAC{Name: "v-.7", MAC: own}, ""},
		{"vmac_prefix over IPv6", conf.VMACRouter{Text: "use_vmac", Prefix: "v-", Family: wire.IPv6}, &failover.VMAC{Name: "v-6.7", MAC: [6]byte{0, 0, 0x5e, 0, 2, 7}}, ""},
		{"a name", conf.VMACRouter{Text: "use_vmac eth1v10v4\nvmac_xmit_base"}, &failover.VMAC{Name: "eth1v10v4", MAC: own, XmitBase: true}, ""},
		{"a name and an address", conf.VMACRouter{Text: "use_vmac v 02:0:00:00:00:0A"}, &failover.VMAC{Name: "v", MAC: [6]byte{2, 0, 0, 0, 0, 10}}, ""},
		{"an address", conf.VMACRouter{Text: "use_vmac 02:00:00:00:00:0a"}, &failover.VMAC{Name: "vrrp.7", MAC: [6]byte{2, 0, 0, 0, 0, 10}}, ""},
		{"an address without its end", conf.VMACRouter{Text: "use_vmac 02:00:00:00:01"}, &failover.VMAC{Name: "vrrp.7", MAC: [6]byte{2, 0, 0, 0, 1, 7}}, ""},
		{"its own address", conf.VMACRouter{Text: "use_vmac 00:00:5e:00:01:07"}, &failover.VMAC{Name: "vrrp.7", MAC: own}, ""},
		{"twice: the last one wins", conf.VMACRouter{Text: "use_vmac a 02:00:00:00:01\nuse_vmac b"}, &failover.VMAC{Name: "b", MAC: own}, ""},
		{"unicast", conf.VMACRouter{Text: "use_vmac", Unicast: true}, &failover.VMAC{Name: "vrrp.7", MAC: own, XmitBase: true}, "1:1: warning: use_vmac: unicast advertisements leave with the address of e0; write vmac_xmit_base to say so"},
		{"unicast that says so", conf.VMACRouter{Text: "use_vmac\nvmac_xmit_base", Unicast: true}, &failover.VMAC{Name: "vrrp.7", MAC: own, XmitBase: true}, ""},
		{"vmac_xmit_base alone", conf.VMACRouter{Text: "vmac_xmit_base"}, nil, "1:1: warning: vmac_xmit_base has no effect without use_vmac"},
		{"use_vmac_addr without an address elsewhere", conf.VMACRouter{Text: "use_vmac\nuse_vmac_addr\nvirtual_ipaddress {\n10.0.0.1\n10.0.0.2 dev e0\n}"}, &failover.VMAC{Name: "vrrp.7", MAC: own}, ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			r.router.Device, r.router.VRID = "e0", 7
			if r.router.Family == 0 {
				r.router.Family = wire.IPv4
			}
			got, diags := vmacs(r.router)
			if diff := cmp.Diff(r.want, got[0]); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diags != r.diags {
				t.Errorf("says\n%s\nwant\n%s", diags, r.diags)
			}
			if r.want == nil {
				return
			}
			r.router.Text = conf.FormatVMAC(*got[0])
			again, _ := vmacs(r.router)
			again[0].XmitBase = got[0].XmitBase // has a line of its own
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("%s reads as (-want +got)\n%s", r.router.Text, diff)
			}
		})
	}
}

func TestVMACsThatAreWrong(t *testing.T) {
	one := func(text string) []conf.VMACRouter { return []conf.VMACRouter{{Text: text}} }
	rows := []struct {
		name    string
		routers []conf.VMACRouter
		want    string
	}{
		{"a long name", one("use_vmac abcdefghijklmnop"), `1:10: error: use_vmac "abcdefghijklmnop": the name of an interface has at most 15 characters`},
		{"a name of two", one("use_vmac a b"), `1:12: error: use_vmac: unexpected "b" (want use_vmac [NAME] [MAC])`},
		{"a name behind the address", one("use_vmac 02:00:00:00:01 b"), `1:25: error: use_vmac: unexpected "b" (want use_vmac [NAME] [MAC])`},
		{"too few octets", one("use_vmac 02:00:00:00"), `1:10: error: use_vmac "02:00:00:00": not a link-layer address (want six octets like 02:00:5e:10:00:01, or five before the virtual_router_id)`},
		{"no octets", one("use_vmac 02:00:00:00:0g:00"), `1:10: error: use_vmac "02:00:00:00:0g:00": not a link-layer address (want six octets like 02:00:5e:10:00:01, or five before the virtual_router_id)`},
		{"a group's address", one("use_vmac 01:00:5e:00:01:07"), `1:10: error: use_vmac 01:00:5e:00:01:07: is an address of a group`},
		{"no address at all", one("use_vmac 0:0:0:0:0:0"), `1:10: error: use_vmac 0:0:0:0:0:0: no interface can have this address`},
		{"another router's address", one("use_vmac 00:00:5e:00:01:08"), `1:10: error: use_vmac 00:00:5e:00:01:08: belongs to another virtual router (RFC 9568 section 7.3) (did you mean "00:00:5e:00:01:07"?)`},
		{"the interface below", one("use_vmac e0"), `1:10: error: use_vmac e0: the macvlan interface needs another name than the interface below it`},
		{"group", one("use_vmac v group 3"), `1:12: error: use_vmac: group is not supported yet`},
		{"netlink_notify_msg", one("use_vmac netlink_notify_msg"), `1:10: error: use_vmac: netlink_notify_msg is not supported yet`},
		{"a long prefix", []conf.VMACRouter{{Text: "use_vmac", Prefix: "abcdefghijklmn"}}, `1:1: error: use_vmac: the name "abcdefghijklmn.7" made of vmac_prefix has more than 15 characters`},
		{"one name twice", []conf.VMACRouter{{Text: "use_vmac v"}, {Text: "\nuse_vmac v", Device: "e1"}}, `2:10: error: use_vmac: vrrp_instance A has a macvlan interface v, too, at 1:1; give each its name with use_vmac NAME`},
		{"one VRID on two interfaces", []conf.VMACRouter{{Text: "use_vmac"}, {Text: "\nuse_vmac", Device: "e1"}}, `2:1: error: use_vmac: vrrp_instance A has a macvlan interface vrrp.7, too, at 1:1; give each its name with use_vmac NAME`},
		{"the interface of another", []conf.VMACRouter{{Text: "use_vmac e1"}, {Device: "e1"}}, `1:10: error: use_vmac e1: vrrp_instance B runs on an interface of that name`},
		{"use_vmac_addr with an address elsewhere", one("use_vmac_addr\nvirtual_ipaddress {\n10.0.0.1 dev e1\n}"), `3:1: error: use_vmac_addr is not supported yet: 10.0.0.1 would have the link-layer address of e1`},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			for i := range r.routers {
				if r.routers[i].Device == "" {
					r.routers[i].Device = "e0"
				}
				r.routers[i].VRID, r.routers[i].Family = 7, wire.IPv4
			}
			if _, diags := vmacs(r.routers...); diags != r.want {
				t.Errorf("says\n%s\nwant\n%s", diags, r.want)
			}
		})
	}
}
