package conf_test

import (
	"net/netip"
	"testing"

	"failoverd/failover"

	"github.com/google/go-cmp/cmp"
)

func TestRules(t *testing.T) {
	checkEntries(t, "virtual_rules", "", []entryRow{
		{"from 192.0.2.0/24 table 1 priority 100", "from 192.0.2.0/24 table 1 priority 100", ""},
		{"from 192.0.2.7 lookup main preference 100", "from 192.0.2.7/32 table 254 priority 100", ""},
		{"to 192.0.2.0/24 iif e0 oif e1 table local order 4294967295", "to 192.0.2.0/24 iif e0 oif e1 table 255 priority 4294967295", ""},
		{"dev e0 table 1 priority 5", "iif e0 table 1 priority 5", ""},
		{"not from 192.0.2.0/24 table 1 priority 5 no_track", "not from 192.0.2.0/24 table 1 priority 5 no_track", ""},
		{"from all to any table 1 priority 5", "table 1 priority 5", ""},
		{"from 0.0.0.0/0 to default table default priority 5", "table 253 priority 5", ""},
		{"from 192.0.2.1/24 table 1 priority 5", "from 192.0.2.0/24 table 1 priority 5", `2:6: warning: from 192.0.2.1/24: bits behind the prefix length are set; it means all of 192.0.2.0/24`},
		{"tos 0x10 table 1 priority 5", "tos 0x10 table 1 priority 5", ""},
		{"inet dsfield 16 table 1 priority 5", "tos 0x10 table 1 priority 5", ""},
		{"fwmark 3 table 1 priority 5", "fwmark 0x3/0xffffffff table 1 priority 5", ""},
		{"fwmark 0x1/0xFF table 1 priority 5", "fwmark 0x1/0xff table 1 priority 5", ""},
		{"fwmark 0/0xff table 1 priority 5", "fwmark 0x0/0xff table 1 priority 5", ""},
		{"fwmark 24/12 table 1 priority 5", "fwmark 0x8/0xc table 1 priority 5", `2:8: warning: fwmark 24/12: the mask leaves 0x8 of the mark`},
		{"ipproto tcp dport 80-90 table 1 priority 5", "ipproto 6 dport 80-90 table 1 priority 5", ""},
		{"ipproto UDP sport 53 table 1 priority 5", "ipproto 17 sport 53-53 table 1 priority 5", ""},
		{"uidrange 0-5 table 1 priority 5", "uidrange 0-5 table 1 priority 5", ""},
		{"uidrange 0-0 table 1 priority 5", "uidrange 0-0 table 1 priority 5", ""},
		{"table 1 suppress_prefixlength 0 priority 5", "table 1 suppress_prefixlength 0 priority 5", ""},
		{"table 1 sup_pl 32 priority 5", "table 1 suppress_prefixlength 32 priority 5", ""},
		{"from 2001:db8::/32 sup_pl 128 table 1 priority 5", "from 2001:db8::/32 table 1 suppress_prefixlength 128 priority 5", ""},

		{"goto 10 priority 5", "goto 10 priority 5", ""},
		{"nop priority 5", "nop priority 5", ""},
		{"blackhole iif e0 priority 5", "iif e0 blackhole priority 5", ""},
		{"iif e0 type unreachable priority 5", "iif e0 unreachable priority 5", ""},
		{"prohibit priority 5", "prohibit priority 5", ""},
		{"type unicast table 3 priority 5", "table 3 priority 5", ""},

		{"inet6 iif e0 table 3 priority 5", "inet6 iif e0 table 3 priority 5", ""},
		{"from ::/0 table 3 priority 5", "inet6 table 3 priority 5", ""},
		{"to 2001:db8::1 tos 0x28 table 3 priority 5", "to 2001:db8::1/128 tos 0x28 table 3 priority 5", ""},

		{"table 3", "table 3 priority 16384", `2:1: warning: virtual_rules: priority is missing; the rule gets 16384, which changes with the rules before it: write one`},
		{"not table 3 priority 5", "not table 3 priority 5", `2:1: warning: not: this rule never matches, as there is nothing that is not so`},
	})
}

func TestRulesThatAreWrong(t *testing.T) {
	checkEntries(t, "virtual_rules", "", []entryRow{
		{"from 192.0.2.0/24 priority 5", "", `2:1: error: virtual_rules: a rule without an action (want table, goto, nop, blackhole, unreachable or prohibit)`},
		{"type unicast priority 5", "", `2:1: error: virtual_rules: a rule without an action (want table, goto, nop, blackhole, unreachable or prohibit)`},
		{"table 3 goto 7 priority 5", "", `2:14: error: virtual_rules: goto and table are two actions; a rule has one`},
		{"table 3 nop priority 5", "", `2:9: error: virtual_rules: nop besides table or goto is a second action; a rule has one`},
		{"type unicast goto 7 priority 5", "", `2:6: error: virtual_rules: unicast besides table or goto is a second action; a rule has one`},
		{"blackhole type prohibit priority 5", "", `2:11: error: type is given twice, first at 2:1; each entry takes a line of its own`},
		{"table 3 lookup 4 priority 5", "", `2:9: error: lookup is given twice, first at 2:7; each entry takes a line of its own`},
		{"type nat priority 5", "", `2:6: error: type "nat": want unicast, blackhole, unreachable or prohibit`},
		{"type prohibbit priority 5", "", `2:6: error: type "prohibbit": want unicast, blackhole, unreachable or prohibit (did you mean "prohibit"?)`},
		{"type", "", `2:1: error: type: its value is missing (want unicast, blackhole, unreachable or prohibit)`},
		{"goto 5 priority 5", "", `2:6: error: goto 5: the kernel only goes forward, and this rule has priority 5`},
		{"table 3 priority 0", "", `2:18: error: priority 0: out of range (want 1 to 4294967295)`},
		{"table 3 priority", "", `2:9: error: priority: its value is missing (want 1 to 4294967295)`},
		{"from table 3 priority 5", "", `2:1: error: from: its value is missing (want a prefix)`},
		{"from e0 table 3 priority 5", "", `2:6: error: from "e0": want ADDRESS or ADDRESS/LENGTH`},
		{"from 10.0.0.0/24 to 2001:db8::/32 table 3 priority 5", "", `2:21: error: 2001:db8::/32 is IPv6 and 10.0.0.0/24 is IPv4: an entry has one family`},
		{"inet from 2001:db8::/32 table 3 priority 5", "", `2:1: error: inet is IPv4 and 2001:db8::/32 is IPv6: an entry has one family`},
		{"tos 0x28 table 3 priority 5", "", `2:5: error: tos 0x28: IPv4 rules compare the bits 0x1c only`},
		{"tos 22 table 3 priority 5", "", `2:5: error: tos 22: the last two bits must be 0 (did you mean "0x14"?)`},
		{"fwmark 0 table 3 priority 5", "", `2:8: error: fwmark 0 matches everything without a mask (did you mean "0/0xffffffff"?)`},
		{"fwmark 1/0 table 3 priority 5", "", `2:8: error: fwmark 1/0: a mask of 0 matches everything; leave fwmark out`},
		{"fwmark x table 3 priority 5", "", `2:8: error: fwmark "x": want MARK or MARK/MASK, each 0 to 0xffffffff`},
		{"fwmark 1/0x1ffffffff table 3 priority 5", "", `2:8: error: fwmark "1/0x1ffffffff": want MARK or MARK/MASK, each 0 to 0xffffffff`},
		{"ipproto foo table 3 priority 5", "", `2:9: error: ipproto "foo": want 1 to 255 or a name like tcp`},
		{"sport 0-5 table 3 priority 5", "", `2:7: error: sport 0-5: out of range (want 1 to 65534)`},
		{"dport 5-65535 table 3 priority 5", "", `2:7: error: dport 5-65535: out of range (want 1 to 65534)`},
		{"dport 90-80 table 3 priority 5", "", `2:7: error: dport 90-80: the first is above the last (did you mean "80-90"?)`},
		{"dport http table 3 priority 5", "", `2:7: error: dport "http": want FIRST-LAST, from 1 to 65534`},
		{"uidrange 5-4294967295 table 3 priority 5", "", `2:10: error: uidrange 5-4294967295: out of range (want 0 to 4294967294)`},
		{"table 3 suppress_prefixlength 33 priority 5", "", `2:31: error: suppress_prefixlength 33: out of range (want 0 to 32)`},
		{"blackhole sup_pl 3 priority 5", "", `2:18: error: suppress_prefixlength is about what a table says, and this rule looks nothing up`},
		{"table 3 realms 4 priority 5", "", `2:9: error: realms is not supported yet`},
		{"table 3 sup_group 4 priority 5", "", `2:9: error: sup_group is not supported yet`},
		{"l3mdev priority 5", "", `2:1: error: l3mdev is not supported yet`},
		{"table 3 protocol 4 priority 5", "", `2:9: error: protocol is not supported yet: failoverd marks the rules that it adds as its own`},
		{"table 3 track_group G priority 5", "", `2:9: error: track_group is refused: only static entries have one`},
		{"table 3 ip_proto udp priority 5", "", `2:9: error: unexpected "ip_proto udp" in virtual_rules (did you mean "ipproto"?)`},
		{"form 10.0.0.0/8 table 3 priority 5", "", `2:1: error: unexpected "form 10.0.0.0/8" in virtual_rules (did you mean "from"?)`},
		{"10.0.0.0/8 table 3 priority 5", "", `2:1: error: unexpected "10.0.0.0/8" in virtual_rules`},
		{"table 3 priority 5 {\n}", "table 3 priority 5", `2:20: error: priority takes no block; it is skipped`},
	})
}

// TestRulePreferences: invented ones are unique, go downwards as in keepalived, and leave out what is in use anywhere.
func TestRulePreferences(t *testing.T) {
	text := `static_rules {
		to 10.1.0.0/16 table 1
	}
	virtual_rules {
		to 10.2.0.0/16 table 1
		to 10.3.0.0/16 table 1 priority 16383
		to 2001:db8::/32 table 1
		to 10.4.0.0/16 table 1 priority 77
	}`
	want := []uint32{16384, 16382, 16383, 16381, 77}
	for range 2 {
		got, diags := objects(text, "")
		var preferences []uint32
		for _, r := range got.Rules {
			preferences = append(preferences, r.Priority)
		}
		if diff := cmp.Diff(want, preferences); diff != "" {
			t.Errorf("-want +got\n%s\n%s", diff, diags)
		}
	}
}

// TestRulesTwice: what one rule is to the kernel may stand once, wherever.
func TestRulesTwice(t *testing.T) {
	rows := []struct{ name, text, want string }{
		{"equal ones", "virtual_rules {\nfrom 10.0.0.0/8 table 3 priority 5\n}\nstatic_rules {\ntable 3 from 10.0.0.0/8 order 5 no_track\n}", "5:1: error: static_rules: there is this rule already at 2:1"},
		{"a rule and its opposite", "virtual_rules {\nfrom 10.0.0.0/8 table 3 priority 5\nnot from 10.0.0.0/8 table 3 priority 5\n}", "3:1: error: virtual_rules: there is this rule already at 2:1"},
		{"other preferences", "virtual_rules {\nfrom 10.0.0.0/8 table 3 priority 5\nfrom 10.0.0.0/8 table 3 priority 6\n}", ""},
		{"other families", "virtual_rules {\ntable 3 priority 5\ninet6 table 3 priority 5\n}", ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if _, diags := objects(r.text, ""); diags != r.want {
				t.Errorf("says\n%s\nwant\n%s", diags, r.want)
			}
		})
	}
}

// TestRuleFields: the words reach the fields that they are for; the canonical words alone would not show it.
func TestRuleFields(t *testing.T) {
	got, diags := objects(`virtual_rules {
		not from 10.0.0.0/8 to 10.1.0.0/16 iif e0 oif e1 tos 0x10 fwmark 1/15 table 7 priority 8 suppress_prefixlength 0 ipproto udp sport 1-2 dport 3-4 uidrange 5-6 no_track
		inet6 goto 9 priority 3
	}`, "")
	if diags != "" {
		t.Fatal(diags)
	}
	want := []failover.KernelRule{
		{
			Not: true, From: netip.MustParsePrefix("10.0.0.0/8"), To: netip.MustParsePrefix("10.1.0.0/16"), InInterface: "e0",
			OutInterface: "e1", TOS: 0x10, Mark: 1, Mask: 15, Action: 1, Table: 7, Priority: 8, SuppressPrefixLength: 1, IPProto: 17,
			SourcePortFirst: 1, SourcePortLast: 2, DestPortFirst: 3, DestPortLast: 4, UIDFirst: 5, UIDLast: 6, HasUID: true,
			Untracked: true,
		},
		{IPv6: true, Action: 2, Goto: 9, Priority: 3},
	}
	if diff := cmp.Diff(want, got.Rules, netipValues); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
