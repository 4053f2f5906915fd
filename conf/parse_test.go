package conf_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/conf"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var netipValues = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

// TestRegionalPair reads one file as each of the three nodes that it is for: no diagnostics, and for Hong Kong and the
// first mainland node exactly this configuration.
func TestRegionalPair(t *testing.T) {
	text, err := os.ReadFile("testdata/region/failoverd.conf")
	if err != nil {
		t.Fatal(err)
	}
	files := conf.FileMap{"/etc/failoverd/failoverd.conf": string(text), "/etc/failoverd/edge.key": "s3cret\n"}
	node := func(id string) *failover.Config {
		cfg, diags := conf.Parse("/etc/failoverd/failoverd.conf", files, conf.Env{HostName: id + ".example.net"}, conf.Options{})
		if diags = besidesUnsigned(diags); len(diags) > 0 || cfg == nil {
			t.Fatalf("%s:\n%s", id, lines(diags))
		}
		return cfg
	}
	m1, m2, hk := node("m1"), node("m2"), node("hk")
	if len(m1.Routers) != 2 || len(m2.Routers) != 2 {
		t.Fatalf("the mainland has %d and %d routers", len(m1.Routers), len(m2.Routers))
	}
	if m1.Hash == m2.Hash || len(m1.Hash) != 16 || m1.Hash != node("m1").Hash {
		t.Errorf("hashes %q and %q", m1.Hash, m2.Hash)
	}
	hk.Interfaces = nil // places; TestInterfaceUses looks at them
	if diff := cmp.Diff(wantHongKong(hk.Hash), hk, netipValues); diff != "" {
		t.Errorf("hk (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantGateway(), m1.Routers[1], netipValues); diff != "" {
		t.Errorf("m1 gateway (-want +got):\n%s", diff)
	}
}

func wantHongKong(hash string) *failover.Config {
	u32 := func(n uint32) *uint32 { return &n }
	service, service6 := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/48")
	return &failover.Config{
		Hash: hash, RouterID: "hk", StartupDelay: 2 * time.Second, BGPLease: 3 * time.Second, StatesOnReload: true,
		Speakers: []bgp.SpeakerConfig{{
			Name: "EDGE", LocalAS: 64520, RouterID: netip.MustParseAddr("203.0.113.3"),
			Allow: bgp.AllowList{service, service6}, MaxAnnouncements: 2, MaxChanges: 12,
			Neighbors: []bgp.Neighbor{{
				Address: netip.MustParseAddr("192.0.2.31"), RemoteAS: 64500, LocalAddress: netip.MustParseAddr("192.0.2.32"),
				Description: "transit of hk", Password: "s3cret", Port: 179, HoldTime: 9 * time.Second,
				Keepalive: 3 * time.Second, ConnectRetry: time.Second, TTLSecurity: 1,
			}},
		}},
		Routers: []failover.RouterConfig{{
			Name: "SERVICE",
			VRRP: vrrp.Config{
				Key: vrrp.Key{Interface: "wan0", Family: wire.IPv4, VRID: 51}, Version: wire.V3, Priority: 100, Interval: 50,
				Preempt: true, DownTimerAdverts: 3, Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.10")},
				Unicast: true, Peers: []vrrp.Peer{
					{Address: netip.MustParseAddr("203.0.113.1"), MinTTL: 250},
					{Address: netip.MustParseAddr("203.0.113.2"), MinTTL: 250},
				},
			},
			Source: netip.MustParseAddr("203.0.113.3"), TTL: 255,
			Addresses: []failover.Address{
				{Prefix: netip.MustParsePrefix("198.51.100.10/32"), Interface: "lo", Lease: 3 * time.Second},
				{Prefix: netip.MustParsePrefix("2001:db8:100::10/128"), Interface: "lo", Lease: 3 * time.Second, Deprecated: true, Excluded: true},
			},
			Announce: []failover.Announcement{
				{Speaker: "EDGE", Route: bgp.Route{Prefix: service, Attributes: bgp.Attributes{MED: u32(50), Communities: []bgp.Community{64500<<16 | 100}}}},
				{Speaker: "EDGE", Route: bgp.Route{Prefix: service6, Attributes: bgp.Attributes{NextHop: netip.MustParseAddr("2001:db8:ffff::3")}}},
				{Speaker: "EDGE", When: failover.RoleBackup, Route: bgp.Route{Prefix: service, Attributes: bgp.Attributes{MED: u32(200), Prepend: 3}}},
				{Speaker: "EDGE", When: failover.RoleDraining, Route: bgp.Route{Prefix: service, Attributes: bgp.Attributes{Communities: []bgp.Community{0xFFFF0000}}}},
			},
			BGPWait: 20 * time.Second, WithdrawGrace: failover.DefaultWithdrawGrace,
			GARP: failover.GARP{Repeat: 5, Delay: 5 * time.Second, Refresh: time.Minute, RefreshRepeat: 1, RivalRepeat: 5, RivalDelay: 5 * time.Second},
		}},
	}
}

func wantGateway() failover.RouterConfig {
	return failover.RouterConfig{
		Name: "GATEWAY",
		VRRP: vrrp.Config{
			Key: vrrp.Key{Interface: "lan0", Family: wire.IPv4, VRID: 10}, Version: wire.V3, Priority: 200, Interval: 100,
			DownTimerAdverts: 3, Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.100")},
			Watchers: []vrrp.Peer{{Address: netip.MustParseAddr("203.0.113.3"), MinTTL: 240}},
		},
		Addresses: []failover.Address{{
			Prefix: netip.MustParsePrefix("10.1.0.100/24"), Interface: "lan0", Broadcast: netip.MustParseAddr("10.1.0.255"),
			Label: "lan0:gw", Lease: 3 * time.Second,
		}},
		BGPWait: 30 * time.Second, WithdrawGrace: failover.DefaultWithdrawGrace,
		GARP: failover.GARP{Repeat: 5, Delay: 5 * time.Second, Refresh: time.Minute, RefreshRepeat: 1, RivalRepeat: 5, RivalDelay: 5 * time.Second},
	}
}

// TestBenchFiles: what the laboratory writes for keepalived and for us has nothing to be said about, but for
// what keepalived 2.2 cannot have.
func TestBenchFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bench/*.conf")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			cfg, diags := conf.Parse(f, dirSource(""), conf.Env{HostName: "a"}, conf.Options{})
			if diags = besidesUnsigned(diags); len(diags) > 0 || cfg == nil || len(cfg.Routers) == 0 {
				t.Fatalf("configuration %v:\n%s", cfg, lines(diags))
			}
			checkRoundTrip(t, cfg)
		})
	}
}

// checkRoundTrip formats a configuration and reads it back.
func checkRoundTrip(t *testing.T, cfg *failover.Config) {
	t.Helper()
	text := conf.Format(cfg)
	again, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "other"}, conf.Options{})
	if again == nil {
		t.Fatalf("what Format wrote is refused:\n%s\n%s", lines(diags), text)
	}
	sameHash := *again
	sameHash.Hash = cfg.Hash
	sameHash.Uses, sameHash.Interfaces, sameHash.Authorities = slices.Clone(again.Uses), cfg.Interfaces, cfg.Authorities
	for i := range min(len(cfg.Uses), len(again.Uses)) {
		was, is := &cfg.Uses[i], &sameHash.Uses[i]
		is.File, is.Line, is.Column = was.File, was.Line, was.Column
	}
	if diff := cmp.Diff(cfg, &sameHash, netipValues); diff != "" {
		t.Fatalf("read back (-want +got):\n%s\n%s", diff, text)
	}
	if second := conf.Format(again); second != text {
		t.Fatalf("formatted twice:\n%s\nand\n%s", text, second)
	}
}

// TestRoundTrip: what Format writes means the same, whatever the words are. The keyword tables check it too, row by row.
func TestRoundTrip(t *testing.T) {
	region, err := os.ReadFile("testdata/region/failoverd.conf")
	if err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile("testdata/everything.conf")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"region": string(region), "all": string(all)} {
		t.Run(name, func(t *testing.T) {
			cfg, diags := conf.Parse("f", conf.FileMap{"f": text, "edge.key": `p"w\`}, conf.Env{HostName: "m1"}, conf.Options{})
			if cfg == nil {
				t.Fatal(lines(diags))
			}
			checkRoundTrip(t, cfg)
		})
	}
}

// TestHashIsOfTheContent: comments, layout and where the text comes from do not count, everything else does.
func TestHashIsOfTheContent(t *testing.T) {
	hash := func(text string, more ...string) string {
		files := conf.FileMap{"f": text}
		for i := 0; i < len(more); i += 2 {
			files[more[i]] = more[i+1]
		}
		cfg, diags := conf.Parse("f", files, conf.Env{HostName: "n"}, conf.Options{})
		if cfg == nil {
			t.Fatal(lines(diags))
		}
		return cfg.Hash
	}
	const text = "vrrp_instance V {\n interface e0\n virtual_router_id 1\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n"
	want := hash(text)
	for name, same := range map[string]string{
		"comments and blanks":  "# x\n\n" + strings.ReplaceAll(text, "\n", "  ! y\n\n"),
		"carriage returns":     strings.ReplaceAll(text, "\n", "\r\n"),
		"variables":            "$I=interface e0\n" + strings.Replace(text, "interface e0", "$I", 1),
		"includes":             "include part\n",
		"conditions":           "@n " + strings.Replace(text, "10.0.0.1", "@^x 10.0.0.1\n @x 10.0.0.2", 1),
		"quotes around a word": strings.Replace(text, "e0", `"e0"`, 1),
	} {
		if got := hash(same, "part", text); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := hash(strings.Replace(text, "10.0.0.1", "10.0.0.2", 1)); got == want {
		t.Error("another address has the same hash")
	}
	speaker := "bgp_speaker S { local_as 1 router_id 1.1.1.1 allow_prefix { 10.0.0.0/8 } neighbor 10.0.0.1 { remote_as 2 password_file p } }\n"
	if hash(speaker, "p", "one") == hash(speaker, "p", "two") {
		t.Error("another password has the same hash")
	}
}

// TestLenientAndStrict: what keepalived ignores is an error to check, a warning to run, and an error again with
// strict_config; what is wrong is an error to everybody.
func TestLenientAndStrict(t *testing.T) {
	const text = `vrrp_instance V {
  interface e0
  virtual_router_id 1
  prioritty 3
  advert_int 1 xyz
  virtual_ipaddress { 10.0.0.1 }
}
global_defs {
  vrrp_garp_extra_if 2
}
`
	run := conf.Options{Lenient: true}
	count := func(text string, o conf.Options) (errors, warnings int, usable bool) {
		cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{}, o)
		for _, d := range diags {
			if d.Severity == conf.Error {
				errors++
			} else {
				warnings++
			}
		}
		if (cfg == nil) != conf.HasErrors(diags) {
			t.Errorf("configuration %v with\n%s", cfg, lines(diags))
		}
		return errors, warnings, cfg != nil
	}
	rows := []struct {
		name             string
		text             string
		opts             conf.Options
		errors, warnings int
	}{
		{"check", text, conf.Options{}, 3, 0},
		{"run", text, run, 0, 3},
		{"run with strict_config", strings.Replace(text, "vrrp_garp_extra_if 2", "vrrp_garp_extra_if 2\nstrict_config", 1), run, 3, 0},
		{"run with a wrong value", strings.Replace(text, "virtual_router_id 1", "virtual_router_id 0", 1), run, 1, 3},
		{"run with what is not supported yet", text + "instance x", run, 1, 3},
		{"run with a foreign block", text + "virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 { weight 1 }\n}\n", run, 0, 4},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			e, w, usable := count(r.text, r.opts)
			if e != r.errors || w != r.warnings || usable != (r.errors == 0) {
				t.Errorf("%d errors, %d warnings, usable %v; want %d and %d", e, w, usable, r.errors, r.warnings)
			}
		})
	}
}

// TestEverythingIsReportedAtOnce: an error hides no other one, in whatever stage.
func TestEverythingIsReportedAtOnce(t *testing.T) {
	const text = `global_defs {
  vrrp_version 9
}
vrrp_instance A {
  interface e0
  virtual_router_id 300
  priority
  virtual_ipaddress {
    10.0.0.1/24
    10.0.0.2/99
vrrp_instance B {
  virtual_router_id 2
  unicast_src_ip 10.0.0.9
  virtual_ipaddress { 10.0.0.3 10.0.0.1/24 dev e0 }
  bgp_announce { 10.0.0.0/8 speaker X }
}
vrrp_instance B { }
include nothing
`
	_, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{}, conf.Options{Lenient: true})
	const want = `f:2:16: error: vrrp_version "9": want 2 or 3
f:4:17: error: { is never closed: a } is missing somewhere after it
f:6:21: error: virtual_router_id 300: out of range (want 1 to 255)
f:7:3: error: priority: its value is missing (want 1 to 255)
f:8:21: error: { is never closed: a } is missing somewhere after it
f:10:5: error: virtual address 10.0.0.2: prefix length "99" (want 0 to 32)
f:11:1: error: vrrp_instance inside virtual_ipaddress: is a } missing before it?
f:11:15: error: vrrp_instance B: interface is missing
f:13:3: error: unicast_src_ip, but unicast_peer names nobody: this router would talk to no one (for multicast, remove every unicast word; the source is mcast_src_ip)
f:14:32: error: virtual address 10.0.0.1 on e0 is there twice, first at f:9:5
f:15:37: error: speaker X: there is no such bgp_speaker
f:17:1: error: vrrp_instance inside virtual_ipaddress: is a } missing before it?
f:17:15: error: vrrp_instance B is defined twice, first at f:11:15
f:18:1: error: include nothing: open nothing: no such file
`
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(lines(diags), "\n")); diff != "" {
		t.Errorf("diagnostics (-want +got):\n%s", diff)
	}
}

// TestTooManyMistakes: a file that is no configuration is not worth a report on each of its lines, but it stays wrong.
func TestTooManyMistakes(t *testing.T) {
	text := strings.Repeat("what\n", 20000) + "health_check x { dns y }\n" + strings.Repeat("virtual_server x { }\n", 3)
	for _, lenient := range []bool{false, true} {
		cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{}, conf.Options{Lenient: lenient})
		if n := len(diags); n != 10003 || cfg != nil {
			t.Fatalf("%d diagnostics, configuration %v", n, cfg)
		}
		for i, want := range []string{
			`f:10001:1: %s: unknown keyword "what" at the top level; the others are not shown, there are too many`,
			`f:20001:18: error: dns: query is missing; the others are not shown, there are too many`,
			`f:20002:1: warning: virtual_server is skipped: failoverd does not configure IPVS; the others are not shown, there are too many`,
		} {
			severity := map[bool]string{false: "error", true: "warning"}[lenient]
			if got := diags[10000+i].String(); got != strings.Replace(want, "%s", severity, 1) {
				t.Errorf("got %s", got)
			}
		}
	}
}

// TestOneLineBlocks: nothing on a line with braces is lost.
func TestOneLineBlocks(t *testing.T) {
	const one = `vrrp_instance A { state BACKUP interface e0 virtual_router_id 10 priority 120 nopreempt authentication { auth_type PASS auth_pass x } virtual_ipaddress { 10.99.0.10/24 dev e1 no_track 10.99.0.11/24 label x 10.99.0.12 } unicast_src_ip 10.0.0.1 unicast_peer { 10.0.0.2 10.0.0.3 min_ttl 3 } }`
	const many = `vrrp_instance A {
  state BACKUP
  interface e0
  virtual_router_id 10
  priority 120
  nopreempt
  authentication {
    auth_type PASS
    auth_pass x
  }
  virtual_ipaddress {
    10.99.0.10/24 dev e1 no_track
    10.99.0.11/24 label x
    10.99.0.12
  }
  unicast_src_ip 10.0.0.1
  unicast_peer {
    10.0.0.2
    10.0.0.3 min_ttl 3
  }
}
`
	want, diags := parse(t, many, conf.Options{})
	if want == "" || diags != "" {
		t.Fatalf("%q %s", want, diags)
	}
	got, diags := parse(t, one, conf.Options{})
	if diff := cmp.Diff(want, got); diff != "" || diags != "" {
		t.Errorf("%s (-want +got):\n%s", diags, diff)
	}
	_, diags = parse(t, "vrrp_instance A { interface e0 bogus 12 virtual_router_id 1 virtual_ipaddress { 10.0.0.1 } }", conf.Options{})
	if want := "1:32: error: unexpected \"bogus 12\" after interface; each statement takes a line of its own\n"; diags != want {
		t.Errorf("got %q, want %q", diags, want)
	}
}
