package conf_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"failoverd/conf"
	"failoverd/failover"
)

const edge = "bgp_speaker EDGE { local_as 64501 router_id 1.1.1.1 allow_prefix { 198.51.100.0/24 } neighbor 10.9.9.9 { remote_as 64500 } }\n"

// TestHealthChecks: what a text means, defaults included.
func TestHealthChecks(t *testing.T) {
	const text = edge + `vrrp_instance A { interface e0 virtual_router_id 1 virtual_ipaddress { 10.0.0.1 }
 track_check { web ping weight -30 far weight 5 reverse }
 track_bgp { EDGE weight -40 }
}
health_check web {
    http https://198.18.0.1/healthz {
        status 200-299 304
        body_match "ok"
        host www.example
    }
    interval 2
    fall_interval 0.5
    timeout 1.5
    rise 1
    fall 2
    interface e0
    max_rtt 200
}
health_check ping { icmp 198.18.0.1 source 10.0.0.9 }
health_check far { bgp_route 198.51.100.0/24 { speaker EDGE origin_as 64501 } interval 0.2 }
health_check spare { tcp a.example:80 }
`
	cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "n1"}, conf.Options{})
	if got := lines(diags); got != "f:22:14: warning: health_check spare never looks: no instance, group, site or watch_site names it\n" {
		t.Errorf("diagnostics: %s", got)
	}
	if cfg == nil {
		t.Fatal("no configuration")
	}
	want := []failover.CheckConfig{
		{
			Name: "web", Probe: failover.Probe{
				Kind: failover.ProbeHTTP, Target: "https://198.18.0.1/healthz", Statuses: [][2]int{{200, 299}, {304, 304}}, Body: "ok", Host: "www.example",
			},
			Interval: 2 * time.Second, FallInterval: time.Second / 2, Timeout: 1500 * time.Millisecond, Rise: 1, Fall: 2,
			Interface: "e0", MaxRTT: 200 * time.Millisecond, Window: 20,
		},
		{
			Name: "ping", Probe: failover.Probe{Kind: failover.ProbeICMP, Target: "198.18.0.1"},
			Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Source: netip.MustParseAddr("10.0.0.9"),
		},
		{
			Name: "far", Probe: failover.Probe{
				Kind: failover.ProbeBGPRoute, Prefix: netip.MustParsePrefix("198.51.100.0/24"), Speaker: "EDGE", OriginAS: 64501,
			},
			Interval: 200 * time.Millisecond, Timeout: 200 * time.Millisecond, Rise: 2, Fall: 3,
		},
	}
	addresses := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	if diff := cmp.Diff(want, cfg.Checks, addresses); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	tracks := []failover.Track{
		{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "web"}},
		{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "ping"}, Weight: -30},
		{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "far"}, Weight: 5, Reverse: true},
		{Tracker: failover.Tracker{Kind: failover.TrackBGP, Name: "EDGE"}, Weight: -40},
	}
	if diff := cmp.Diff(tracks, cfg.Routers[0].Tracks); diff != "" {
		t.Errorf("tracks (-want +got):\n%s", diff)
	}
	checkRoundTrip(t, cfg)
}

// TestWrongHealthChecks: each mistake with its place, which is in the second line.
func TestWrongHealthChecks(t *testing.T) {
	const probe, words = "health_check c {\n%\n}\n", "health_check c { tcp a:1\n%\n}\n"
	for _, tt := range []struct{ form, text, want string }{
		{probe, "tcp a.example", `2:5: error: tcp "a.example": the port is missing (want HOST:PORT)`},
		{probe, "tcp a:0", `2:5: error: tcp "a:0": the port is none from 1 to 65535 (want HOST:PORT)`},
		{probe, "tcp a:65536", `2:5: error: tcp "a:65536": the port is none from 1 to 65535 (want HOST:PORT)`},
		{probe, "tcp a:+1", `2:5: error: tcp "a:+1": the port is none from 1 to 65535 (want HOST:PORT)`},
		{probe, "tcp :80", `2:5: error: tcp ":80": the host is missing (want HOST:PORT)`},
		{probe, "tcp 2001:db8::1:80", `2:5: error: tcp "2001:db8::1:80": an IPv6 address stands in brackets (want HOST:PORT)`},
		{probe, "tcp [a]:80", `2:5: error: tcp "[a]:80": only an IPv6 address stands in brackets (want HOST:PORT)`},
		{probe, "tcp [2001:db8::1]80", `2:5: error: tcp "[2001:db8::1]80": the port is none from 1 to 65535 (want HOST:PORT)`},
		{probe, "tcp [fe80::1]:80", `2:5: error: tcp "[fe80::1]:80": a link-local address, and only that, has the interface with it (fe80::1%eth0) (want HOST:PORT)`},
		{probe, "tcp 256.1.1.1:80", `2:5: error: tcp "256.1.1.1:80": it is not an address (want HOST:PORT)`},
		{probe, "tcp 0.0.0.0:80", `2:5: error: tcp "0.0.0.0:80": it is not the address of a host (want HOST:PORT)`},
		{probe, "tcp", `2:1: error: tcp: its value is missing (want HOST:PORT)`},
		{probe, "icmp a..b", `2:6: error: icmp "a..b": it is not the name of a host (want a name or an address)`},
		{probe, "icmp 192.0.2.1:7", `2:6: error: icmp "192.0.2.1:7": it is not an address (want a name or an address)`},
		{probe, "icmp " + strings.Repeat("a.", 130), `2:6: error: icmp "` + strings.Repeat("a.", 130) + `": the name is too long (want a name or an address)`},
		{probe, "http www.example/", `2:6: error: http "www.example/": it does not begin with http:// or https:// (want http://HOST[:PORT]/PATH, or https)`},
		{probe, "http ftp://a/", `2:6: error: http "ftp://a/": it does not begin with http:// or https:// (want http://HOST[:PORT]/PATH, or https)`},
		{probe, "http http:///x", `2:6: error: http "http:///x": it has no host (want http://HOST[:PORT]/PATH, or https)`},
		{probe, "http http://a:0/", `2:6: error: http "http://a:0/": the port is none from 1 to 65535 (want http://HOST[:PORT]/PATH, or https)`},
		{probe, "http http://u:p@a/", `2:6: error: http "http://u:p@a/": a user is not supported (want http://HOST[:PORT]/PATH, or https)`},
		{probe, `http "http://a/#b"`, `2:6: error: http "http://a/#b": a fragment is never sent (want http://HOST[:PORT]/PATH, or https)`},
		{probe, `http "http://a/ b"`, `2:6: error: http "http://a/ b": it is not a URL (want http://HOST[:PORT]/PATH, or https)`},
		{probe, "http http://a/%zz", `2:6: error: http "http://a/%zz": it is not a URL (want http://HOST[:PORT]/PATH, or https)`},
		{probe, "http http://a/ { status 99 }", `2:25: error: status "99": want codes from 100 to 599, such as 200-299`},
		{probe, "http http://a/ { status 300-200 }", `2:25: error: status "300-200": want codes from 100 to 599, such as 200-299`},
		{probe, "http http://a/ { status 200-+204 }", `2:25: error: status "200-+204": want codes from 100 to 599, such as 200-299`},
		{probe, "http http://a/ { body_match a(b }", "2:29: error: body_match: missing closing ): `a(b`"},
		{probe, "http http://a/ { method get }", `2:25: error: method "get": want GET, HEAD or another one in capital letters`},
		{probe, "http http://a/ { host a/b }", `2:23: error: host "a/b": it is not the name of a host (want NAME or NAME:PORT)`},
		{probe, "http http://a/ { server_name a }", `2:18: warning: server_name has no effect without https`},
		{probe, "http https://a/ { server_name a: }", `2:31: error: server_name "a:": it is not an address`},
		{probe, "http http://a/ { what }", `2:18: error: unknown keyword "what" in http`},
		{probe, "bgp_route 198.51.100.1/24 { speaker EDGE }", `2:11: error: bgp_route 198.51.100.1/24: bits behind the prefix length are set (did you mean "198.51.100.0/24"?)`},
		{probe, "bgp_route 198.51.100.0/24 { origin_as 3 }", `2:1: error: bgp_route: speaker is missing`},
		{probe, "bgp_route 198.51.100.0/24", `2:1: error: bgp_route: speaker is missing`},
		{probe, "bgp_route 198.51.100.0/24 { speaker EGDE }", `2:37: error: speaker EGDE: there is no such bgp_speaker (did you mean "EDGE"?)`},
		{probe, "bgp_route 198.51.100.0/24 { speaker EDGE origin_as 0 }", `2:52: error: origin_as 0: out of range (want 1 to 4294967295)`},
		{probe, "bgp_route 2001:db8::/32 { speaker EDGE }", `2:35: error: bgp_route 2001:db8::/32: the sessions of speaker EDGE carry no such prefixes, because its allow_prefix has none of that family`},
		{probe, "bgp_route 198.51.100.0/24 { speaker EDGE from some }", `2:47: error: from "some": `},
		{probe, "bgp_route 198.51.100.0/24 { speaker EDGE } max_rtt 5", `2:52: error: max_rtt is not for bgp_route, which sends nothing`},
		{probe, "http http://a/ { header Host x }", `2:25: error: header Host cannot be set: write host`},
		{probe, "http http://a/ { header a:b x }", `2:25: error: header "a:b": not the name of a header`},
		{probe, "http http://a/ { header A \"x\x01\" }", `2:27: error: header A: its value has characters that no header may have`},
		{probe, "http http://a/ { http2 }", `2:18: warning: http2 has no effect without https`},
		{probe, "http https://a/ { ca ca.pem }", `2:22: error: ca "ca.pem": want an absolute path`},
		{probe, "http https://a/ { insecure ca /x }", `2:28: warning: ca verifies nothing beside insecure`},
		{probe, "http https://a/ { cert_expiry 0 }", `2:31: error: cert_expiry 0: out of range (want 1 to 3650)`},
		{probe, "dns 192.0.2.1", `2:1: error: dns: query is missing`},
		{probe, "dns 192.0.2.1:99999 { query a }", `2:5: error: dns "192.0.2.1:99999": the port is none from 1 to 65535 (want SERVER or SERVER:PORT)`},
		{probe, "dns a { query a..b }", `2:15: error: query "a..b": it is not a name of DNS`},
		{probe, "dns a { query a type ANY }", `2:22: error: type "ANY": want A or AAAA or CNAME or MX or NS or PTR or SOA or SRV or TXT`},
		{probe, "dns a { query a answer x }", `2:24: error: answer "x": a record of type A has an IPv4 address`},
		{probe, "dns a { query a type MX answer 10 mx }", `2:32: error: answer "10": a record of type MX has 2 words; one of several stands in double quotes` + "\n" + `2:35: error: answer "mx": a record of type MX has 2 words; one of several stands in double quotes`},
		{probe, "dns a { query a rcode NXDOMAIN answer 192.0.2.1 }", `2:39: error: answer "192.0.2.1": a name that does not exist (rcode NXDOMAIN) has no answers`},
		{probe, "dns a { query a rcode REFUSED }", `2:23: error: rcode "REFUSED": want NOERROR or NXDOMAIN`},
		{probe, "grpc a", `2:6: error: grpc "a": the port is missing (want HOST:PORT)`},
		{probe, "grpc a:1 { insecure }", `2:12: warning: insecure has no effect without tls`},
		{probe, `grpc a:1 { service "a b" }`, `2:20: error: service "a b": not the name of a service`},
		{probe, "prometheus http://a { above 1 }", `2:1: error: prometheus: query is missing`},
		{probe, "prometheus http://a { query up }", `2:1: error: prometheus: the limit is missing (want above NUMBER or below NUMBER)`},
		{probe, "prometheus a:9090 { query up above 1 }", `2:12: error: prometheus "a:9090": it does not begin with http:// or https:// (want http://HOST[:PORT]/PATH, or https)`},
		{probe, "prometheus http://a { query up above 1 below 2 }", `2:40: error: below: the probe has a limit already, at 2:38; write a health_check for each`},
		{probe, "prometheus http://a { query up above NaN }", `2:38: error: above "NaN": not a number`},
		{probe, "prometheus http://a { query up above 0x10 }", `2:38: error: above "0x10": not a number`},
		{probe, "prometheus http://a { query up above 1 recover_below 2 }", `2:54: error: recover_below 2 is more than above 1`},
		{probe, "prometheus http://a { query up below 1 recover_above 0 }", `2:54: error: recover_above 0 is less than below 1`},
		{probe, "prometheus http://a { query up above 1 recover_above 2 }", `2:40: error: recover_above does not go with above`},
		{probe, "prometheus http://a { query up above 1 absent maybe }", `2:47: error: absent "maybe": want unhealthy or healthy or keep`},
		{probe, "prometheus http://a { query up above 1 } max_rtt 5", `2:50: error: max_rtt is not for prometheus, which measures nothing itself: let the query do it`},
		{probe, "link eth0/1", `2:6: error: link "eth0/1": not the name of an interface`},
		{probe, "link eth0\nsource 10.0.0.1", `3:8: error: source is not for link, which sends nothing`},
		{probe, "bgp_route 198.51.100.0/24 { speaker EDGE } net_namespace x", `2:58: error: net_namespace is not for bgp_route, which sends nothing`},
		{probe, "script /bin/x", `2:1: error: script is refused: write a vrrp_script, and track it with track_script` + "\n" + `1:14: error: health_check c has no probe: want tcp, http, icmp, dns, grpc, prometheus, link or bgp_route`},
		{words, "icmp a", `2:1: error: icmp: the check has a probe already, at 1:18; write a health_check for each`},
		{words, "interval 0.05", `2:10: error: interval 0.05: out of range (want 0.1 to 3600 seconds)`},
		{words, "timeout 2", `2:9: error: timeout 2 is longer than interval 1: there are never two runs at once, so the interval would not be kept`},
		{words, "fall_interval 2", `2:15: error: fall_interval 2 is longer than interval 1: it is for looking more often while the verdict is about to change`},
		{words, "rise 0", `2:6: error: rise 0: out of range (want 1 to 1000000)`},
		{words, "source 10.0.0.1\ninterface e0", `3:11: error: interface and source exclude each other`},
		{words, "max_loss 100", `2:10: error: max_loss 100: out of range (want 1 to 99)`},
		{words, "max_rtt 1001", `2:9: warning: max_rtt 1001 has no effect: whatever takes longer than timeout 1 has failed`},
		{words, "recover_rtt 5", `2:13: warning: recover_rtt has no effect without max_rtt`},
		{words, "max_loss 5\nrecover_loss 6", `3:14: error: recover_loss 6 is more than max_loss 5`},
		{words, "initial maybe", `2:9: error: initial "maybe": want up or down or unknown`},
		{words, "net_namespace a/b", `2:15: error: net_namespace "a/b": not the name of a network namespace (one in /run/netns)`},
		{words, "damping 1 60 60", `2:9: error: damping 1: out of range (want 2 to 1000)`},
		{words, "damping 4 60", `2:1: error: damping: its value is missing (want 1 to 86400 seconds)`},
		{words, "window 5", `2:8: warning: window has no effect without max_rtt or max_loss`},
		{probe, "tcp 192.0.2.1:80\nsource 2001:db8::1", `3:8: error: source 2001:db8::1 and 192.0.2.1 are of different families`},
	} {
		text := strings.Replace(tt.form, "%", tt.text, 1) + minimal("A", 1, "virtual_ipaddress { 10.0.0.1 } track_check { c }") + edge
		_, diags := parse(t, text, conf.Options{})
		got := strings.TrimSpace(strings.ReplaceAll(diags, "main.conf:", ""))
		want := strings.Split(tt.want, "\n")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s:\ngot  %s\nwant %s", tt.text, got, w)
			}
		}
		if n := strings.Count(got, "\n") + 1; n != len(want) {
			t.Errorf("%s: %d diagnostics, want %d:\n%s", tt.text, n, len(want), got)
		}
	}
}

// TestTracksOfChecks: references in any order, in instances and groups.
func TestTracksOfChecks(t *testing.T) {
	const check = "health_check web { tcp a:1 }\n"
	body := func(s string) string { return minimal("A", 1, "virtual_ipaddress { 10.0.0.1 } "+s) }
	group := minimal("B", 2, "virtual_ipaddress { 10.0.0.2 }") + "vrrp_sync_group G { group { A B }\ntrack_check { web weight 3 }\ntrack_bgp { EDGE }\n}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"a check that is defined later", body("track_check { web }") + check, ""},
		{"one that is not there", body("track_check { wbe }") + check, `2:46: error: track_check wbe: there is no such health_check (did you mean "web"?)` + "\n" + `4:14: warning: health_check web never looks: no instance, group, site or watch_site names it`},
		{"a speaker that is defined later", body("track_bgp { EDGE weight -5 }") + edge, ""},
		{"a speaker that is not there", body("track_bgp { EGDE }") + edge, `2:44: error: speaker EGDE: there is no such bgp_speaker (did you mean "EDGE"?)`},
		{"a group", body("") + group + check + edge, ""},
		{"two of one name", body("track_check { web }") + check + check, "5:14: error: health_check web is defined twice, first at 4:14"},
	} {
		_, diags := parse(t, tt.text, conf.Options{})
		if got := strings.TrimSpace(strings.ReplaceAll(diags, "main.conf:", "")); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}
