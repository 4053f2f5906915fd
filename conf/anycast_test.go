package conf_test

import (
	"strings"
	"testing"
	"time"

	"failoverd/conf"
	"failoverd/failover"
)

const anycastEdge = "bgp_speaker EDGE { local_as 64501 router_id 1.1.1.1 allow_prefix { 192.0.2.0/24 2001:db8:77::/48 } neighbor 10.9.9.9 { remote_as 64500 } neighbor 2001:db8::9 { remote_as 64500 } }\n"

// TestAnycastService: what a text means, defaults included.
func TestAnycastService(t *testing.T) {
	text := anycastEdge + `health_check web { tcp 127.0.0.1:8080 }
vrrp_script chk { script /bin/true weight 5 }
anycast_service WEB {
    virtual_ipaddress {
        192.0.2.1
        2001:db8:77::1
    }
    bgp_announce {
        192.0.2.0/24 speaker EDGE community graceful-shutdown when draining
        192.0.2.0/24 speaker EDGE
        2001:db8:77::/48 speaker EDGE
    }
    track_check { web }
    track_script { chk }
    notify_master /bin/up
}
`
	cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "n1"}, conf.Options{})
	if got, want := lines(diags), "f:15:20: warning: track_script chk: the weight of the vrrp_script does not count in anycast_service WEB; a failure takes it out\n"; got != want {
		t.Errorf("diagnostics: %s", got)
	}
	if cfg == nil {
		t.Fatal("no configuration")
	}
	r := &cfg.Routers[0]
	if r.Anycast == nil || r.Anycast.DrainTime != 5*time.Second || r.Kind() != "anycast_service" || r.VRRP.Key.Interface != "lo" {
		t.Errorf("service %+v on %s", r.Anycast, r.VRRP.Key.Interface)
	}
	if len(r.Addresses) != 2 || r.Addresses[0].Lease != 3*time.Second || r.Addresses[0].Interface != "lo" || len(r.VRRP.Addresses) != 0 || len(r.Announce) != 3 {
		t.Errorf("addresses %+v, advertised %v, %d announcements", r.Addresses, r.VRRP.Addresses, len(r.Announce))
	}
	for _, track := range r.Tracks {
		if track.Weight != 0 {
			t.Errorf("%s has weight %d", track, track.Weight)
		}
	}
	if len(cfg.Links()) != 0 {
		t.Errorf("sockets %v: a service has none", cfg.Links())
	}
	if _, err := failover.New(cfg, 0); err != nil {
		t.Error(err)
	}
	checkRoundTrip(t, cfg)
}

const keepLastChecks = `health_check seen { bgp_route 192.0.2.0/24 { speaker EDGE from all_neighbors } }
health_check any { bgp_route 192.0.2.0/24 { speaker EDGE } }
vrrp_script look { script /bin/true }
check_group both { any health_check seen web }
check_group outer { all check_group inner }
check_group inner { any health_check seen vrrp_script look }
health_check six { bgp_route 2001:db8:77::/48 { speaker EDGE from all_neighbors } }
`

// TestKeepLastSettles: a check that takes longer to notice makes the default longer.
func TestKeepLastSettles(t *testing.T) {
	for _, tt := range []struct {
		check string
		want  time.Duration
	}{
		{"interval 0.2", 5 * time.Second},
		{"interval 1", 6 * time.Second},
		{"interval 10", 33 * time.Second}, // 10 s until it looks, twice 10 s until it looks again, and 1 s until it knows, and 2 s
	} {
		text := anycastEdge + "health_check seen { bgp_route 192.0.2.0/24 { speaker EDGE from all_neighbors }\n" + tt.check + " }\nhealth_check web { tcp 127.0.0.1:80 }\n" +
			"anycast_service WEB { virtual_ipaddress { 192.0.2.1 }\nbgp_announce { 192.0.2.0/24 speaker EDGE }\ntrack_check { web }\nkeep_last seen\n}\n"
		cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "n1"}, conf.Options{})
		if cfg == nil || lines(diags) != "" {
			t.Fatalf("%s: %s", tt.check, lines(diags))
		}
		if a := cfg.Routers[0].Anycast; a.KeepLast != "seen" || a.Settle != tt.want || len(cfg.Checks) != 2 {
			t.Errorf("%s: keep_last %s settle %v, %d checks; want %v", tt.check, a.KeepLast, a.Settle, len(cfg.Checks), tt.want)
		}
		checkRoundTrip(t, cfg)
	}
}

// TestKeepLastOfAnOperatorsGobgpd: how many neighbors it has is not known here, so that one of them is never enough.
func TestKeepLastOfAnOperatorsGobgpd(t *testing.T) {
	const text = `bgp_speaker EDGE { local_as 64501 allow_prefix { 192.0.2.0/24 } backend gobgpd unix:/run/g.sock }
health_check web { tcp 127.0.0.1:80 }
health_check seen { bgp_route 192.0.2.0/24 { speaker EDGE FROM } }
GROUP
anycast_service WEB { virtual_ipaddress { 192.0.2.1 } bgp_announce { 192.0.2.0/24 speaker EDGE } track_check { web } keep_last CHECK }
`
	const group = "check_group group { any health_check seen other } health_check other { bgp_route 192.0.2.0/24 { speaker EDGE from all_neighbors } }"
	for _, tt := range []struct{ from, check, want string }{
		{"", "seen", "f:5:128: error: keep_last seen: bgp_route of health_check seen wants `from all_neighbors`: speaker EDGE is an operator's gobgpd, which may have any number of neighbors"},
		{"", "group", "f:5:128: error: keep_last group: bgp_route of health_check seen wants `from all_neighbors`: speaker EDGE is an operator's gobgpd"},
		{"from any_neighbor", "seen", "f:5:128: error: keep_last seen: bgp_route of health_check seen wants"},
		{"from all_neighbors", "seen", ""},
		{"from all_neighbors", "group", ""},
	} {
		text := strings.NewReplacer("FROM", tt.from, "CHECK", tt.check, "GROUP", map[string]string{"group": group}[tt.check]).Replace(text)
		cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "n1"}, conf.Options{})
		got := strings.TrimSpace(strings.Replace(lines(diags), "f:1:80: "+outlives+"\n", "", 1))
		if (cfg == nil) != (tt.want != "") || !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%q, keep_last %s: accepted %v, says\n%s\nwant\n%s", tt.from, tt.check, cfg != nil, got, tt.want)
		}
	}
}

// TestWrongAnycastServices: each mistake with its place; the body of the service is what stands on the second line.
func TestWrongAnycastServices(t *testing.T) {
	const service = "anycast_service WEB {\n%\nbgp_announce { 192.0.2.0/24 speaker EDGE }\n}\n"
	const fine = "virtual_ipaddress { 192.0.2.1 } track_check { web } "
	for _, tt := range []struct{ text, want string }{
		{fine, ""},
		{fine + "virtual_router_id 7", `2:53: error: virtual_router_id is refused: an anycast_service has no peer, sends no advertisement and holds no election; a vrrp_instance does`},
		{fine + "site hk", `2:53: error: site is refused: an anycast_service asks nobody whether it may serve: every site announces the same prefix, and a vrrp_instance is what moves between sites`},
		{fine + "handover_overlap 3", `2:53: error: handover_overlap is refused: an anycast_service asks nobody`},
		{fine + "withdraw_grace 11", `2:68: error: withdraw_grace 11: out of range (want 0 to 10 seconds)`},
		{fine + "drain_time -1", `2:64: error: drain_time "-1": `},
		{fine + "garp_master_delay 3", `2:53: error: garp_master_delay belongs in vrrp_instance, not in anycast_service`},
		{"track_check { web }", `1:17: error: anycast_service WEB: virtual_ipaddress names no address; if it is there in any case, write no_virtual_ipaddress`},
		{"no_virtual_ipaddress track_check { web }", ""},
		{"virtual_ipaddress { 192.0.2.1 }", `1:17: warning: anycast_service WEB tracks nothing: it is announced whether or not what stands behind its addresses works`},
		{"virtual_ipaddress { 192.0.2.1/24 } track_check { web }", `2:21: warning: virtual_ipaddress 192.0.2.1/24 on lo: the host answers for every address of 192.0.2.0/24; write a /32`},
		{"virtual_ipaddress { 192.0.2.1 } track_check { web weight -20 }", `2:58: error: weight -20: an anycast_service has no priority; without a weight a failure takes it out, and a check_group with at_least N lets some of several fail`},
		{"virtual_ipaddress { 192.0.2.1 } track_check { web weight 0 reverse }", ""},
		{fine + "keep_last seen", ""},
		{fine + "keep_last seen settle 5", ""},
		{fine + "keep_last sene", `2:63: error: health_check sene: there is no such health_check (did you mean "seen"?)`},
		{fine + "keep_last", `2:53: error: keep_last: its value is missing (want the name of a health_check)`},
		{fine + "keep_last seen settle", `2:68: error: settle: its value is missing (want seconds)`},
		{fine + "keep_last seen settle 4", `2:75: error: settle 4: seen takes up to 4 s to notice that the other announcement has gone, and two nodes that withdraw at once must notice each other`},
		{fine + "keep_last any", "2:63: error: keep_last any: bgp_route of health_check any wants `from all_neighbors`: seen from one of the 2 neighbors of speaker EDGE, two nodes could each take the other one for a reason to withdraw"},
		{fine + "keep_last seen settle 5 keep_last seen settle 7", `2:77: error: keep_last is there twice, first for seen at 2:63; a check_group with any takes several checks`},
		{fine + "track_check { seen } keep_last seen", `2:84: error: keep_last seen: anycast_service WEB tracks track_check seen itself: a check that tells of the other nodes cannot tell whether this one is well`},
		{fine + "keep_last both", `2:63: error: keep_last both: anycast_service WEB tracks track_check web itself: a check`},
		{fine + "track_check { outer } keep_last seen", `2:85: error: keep_last seen: anycast_service WEB tracks track_check seen itself by way of track_check outer: a check`},
		{fine + "track_script { look } keep_last both", `2:85: error: keep_last both: anycast_service WEB tracks `},
		{fine + "keep_last six", `2:63: warning: keep_last six: health_check six looks for 2001:db8:77::/48, which anycast_service WEB does not announce`},
		{"virtual_ipaddress { 192.0.2.1 192.0.2.1 } track_check { web }", `2:31: error: virtual address 192.0.2.1 on lo is there twice, first at 2:21`},
	} {
		text := strings.Replace(service, "%", tt.text, 1) + "health_check web { tcp 127.0.0.1:8080 }\n" + minimal("A", 1, "virtual_ipaddress { 10.0.0.1 } track_check { web seen any six both outer inner }") + anycastEdge + keepLastChecks
		_, diags := parse(t, text, conf.Options{})
		got := strings.TrimSpace(strings.ReplaceAll(diags, "main.conf:", ""))
		if n := strings.Count(got, "\n") + 1; !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") || n != 1 {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.text, got, tt.want)
		}
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing announced", "anycast_service WEB { virtual_ipaddress { 192.0.2.1 } track_check { web } }\n", `1:17: warning: anycast_service WEB has no bgp_announce: it attracts no traffic`},
		{"a name that an instance has", "anycast_service A { virtual_ipaddress { 192.0.2.1 } track_check { web } bgp_announce { 192.0.2.0/24 speaker EDGE } }\n", `error: vrrp_instance A is defined twice, first at 1:17`},
		{
			"a member of a sync group", "anycast_service WEB { virtual_ipaddress { 192.0.2.1 } track_check { web } bgp_announce { 192.0.2.0/24 speaker EDGE } }\nvrrp_sync_group G { group { A WEB } }\n",
			`error: vrrp_sync_group G: there is no vrrp_instance WEB`,
		},
		{
			"two services with one prefix", "anycast_service W1 { virtual_ipaddress { 192.0.2.1 } track_check { web } bgp_announce { 192.0.2.0/24 speaker EDGE } }\nanycast_service W2 { virtual_ipaddress { 192.0.2.2 } track_check { web } bgp_announce { 192.0.2.0/24 speaker EDGE } }\n",
			`2:89: warning: bgp_announce 192.0.2.0/24 speaker EDGE: anycast_service W1 announces it too`,
		},
	} {
		_, diags := parse(t, tt.text+"health_check web { tcp 127.0.0.1:8080 }\n"+minimal("A", 1, "virtual_ipaddress { 10.0.0.1 } track_check { web }")+anycastEdge, conf.Options{})
		if got := strings.ReplaceAll(diags, "main.conf:", ""); !strings.Contains(got, tt.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}
