package speaker

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/bgp"
)

const birdCommon = `
router id 10.99.0.2;
template bgp upstream {
	error wait time 1, 3;
	connect delay time 1;
	connect retry time 5;
	debug { states, events };
	ipv4 { import all; export none; };
	ipv6 { import all; export none; };
}
`

// One speaker, two upstreams that are not ours: BIRD, over IPv4 and IPv6, which also sends us a thousand routes, and
// FRR. Everything that the configuration can say is seen by them as it was said.
func TestBGP_POL_04_BGP_COM_01_BGP_UPD_03_BGP_GR_02_BirdAndFRR(t *testing.T) {
	l := newLab(t, "/usr/sbin/bird", "/usr/lib/frr/bgpd", "/usr/bin/tcpdump", "/usr/bin/tshark")
	t.Parallel()
	l.netns("us", "bird", "frr")
	l.link("us", "bird", "b0")
	l.link("us", "frr", "f0")
	l.addr("us", "b0", "10.99.0.1/24", "fd99::1/64")
	l.addr("bird", "b0", "10.99.0.2/24", "fd99::2/64")
	l.addr("us", "f0", "10.98.0.1/24")
	l.addr("frr", "f0", "10.98.0.2/24")
	var feed strings.Builder
	for i := range 1000 {
		feed.WriteString("route 10." + strconv.Itoa(100+i/250) + "." + strconv.Itoa(i%250) + ".0/24 blackhole;\n")
	}
	bird := l.bird("bird", birdCommon+`
protocol static feed { ipv4; `+feed.String()+` route 198.51.100.0/25 blackhole; }
protocol bgp up4 from upstream {
	local 10.99.0.2 as 64500; neighbor 10.99.0.1 as 64501; hold time 9;
	ipv4 { import all; export where proto = "feed"; };
}
protocol bgp up6 from upstream { local fd99::2 as 64500; neighbor fd99::1 as 64501; hold time 9; }
`)
	frr := l.frr("frr", `
frr defaults traditional
router bgp 64510
 bgp router-id 10.98.0.2
 no bgp ebgp-requires-policy
 neighbor 10.98.0.1 remote-as 64501
 neighbor 10.98.0.1 timers 1 3
 neighbor 10.98.0.1 timers connect 1
 bgp log-neighbor-changes
`)
	on4, on6 := neighborOf(netip.MustParseAddr("10.99.0.2"), 64500), neighborOf(netip.MustParseAddr("fd99::2"), 64500)
	other := neighborOf(netip.MustParseAddr("10.98.0.2"), 64510)
	a := startAgent(t, speakerOf(on4, on6, other), l.enter("us"))
	a.until(sessionUp, "all sessions", allEstablished)
	count := l.capture("us", "b0")
	l.seen(5*time.Second, bird, "show protocols all up4", "1001 exported")

	// Attributes, as both see them; the session over IPv6 carries IPv6 with its own address as the next hop.
	a.set(route4(func(r *bgp.Route) {
		r.MED, r.Prepend = ptr(50), 3
		r.Communities = []bgp.Community{64500<<16 | 100, 0xFFFFFF01}
		r.LargeCommunities = []bgp.LargeCommunity{{Global: 64500, Local1: 1, Local2: 2}}
	}), bgp.Route{Prefix: service6, Attributes: bgp.Attributes{MED: ptr(70)}})
	l.seen(prompt, bird, "show route all for 198.51.100.0/24", "BGP.origin: IGP", "BGP.as_path: 64501 64501 64501 64501\n",
		"BGP.next_hop: 10.99.0.1", "BGP.med: 50", "BGP.community: (64500,100) (65535,65281)", "BGP.large_community: (64500, 1, 2)")
	l.seen(prompt, bird, "show route all for 2001:db8:100::/48", "BGP.as_path: 64501\n", "BGP.next_hop: fd99::1", "BGP.med: 70")
	l.seen(prompt, frr, "show bgp ipv4 unicast 198.51.100.0/24", "64501 64501 64501 64501\n", "10.98.0.1 from 10.98.0.1",
		"metric 50", "Community: 64500:100 no-export", "Large Community: 64500:1:2")

	// Other attributes replace the old ones without a withdrawal in between.
	a.set(route4(func(r *bgp.Route) {
		r.MED, r.NextHop, r.Communities = ptr(200), netip.MustParseAddr("10.99.0.77"), []bgp.Community{0xFFFF0000}
	}), bgp.Route{Prefix: service6})
	got := l.seen(prompt, bird, "show route all for 198.51.100.0/24", "BGP.as_path: 64501\n", "BGP.next_hop: 10.99.0.77",
		"BGP.med: 200", "BGP.community: (65535,0)")
	if strings.Contains(got, "large_community") {
		t.Errorf("the large community is still there:\n%s", got)
	}
	l.seen(prompt, frr, "show bgp ipv4 unicast 198.51.100.0/24", "metric 200", "Community: graceful-shutdown")
	const ours = "bgp.type == 2 && (ip.src == 10.99.0.1 || ipv6.src == fd99::1)"
	counts := count(ours, ours+" && bgp.update.withdrawn_routes.length > 0",
		ours+" && bgp.update.path_attribute.mp_unreach_nlri", "ip.src == 10.99.0.1 && tcp.dstport == 179 && ip.ttl != 1")
	if counts[0] != 4 || counts[1]+counts[2] != 0 || counts[3] != 0 {
		t.Errorf("on the wire: %d UPDATEs (want 4), %d withdrawals, %d packets with a TTL other than 1", counts[0], counts[1]+counts[2], counts[3])
	}

	// BGP-POL-02, BGP-POL-04: BIRD has sent its 1001 routes; we keep ours only, and FRR got ours only.
	if r := a.last(); len(r.Announced) != 2 {
		t.Errorf("our table: %v", r.Announced)
	}
	l.seen(prompt, frr, "show bgp ipv4 unicast statistics", "Total Prefixes                :            1\n")

	// Withdrawal.
	a.set(bgp.Route{Prefix: service6})
	l.seen(prompt, bird, "show route for 198.51.100.0/24", "Network not found")
	l.seen(prompt, bird, "show route for 2001:db8:100::/48", "fd99::1")
	l.seen(prompt, frr, "show bgp ipv4 unicast 198.51.100.0/24", "not in table")

	// BGP-GR-02: a crash takes the route away at once, from both, and it comes back.
	a.set(route4())
	l.seen(prompt, bird, "show route for 198.51.100.0/24", "10.99.0.1")
	l.seen(prompt, frr, "show bgp ipv4 unicast 198.51.100.0/24", "10.98.0.1")
	if err := syscall.Kill(a.s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	l.seen(prompt, bird, "show route for 198.51.100.0/24", "Network not found")
	t.Logf("killed: gone from BIRD after %v", time.Since(start))
	l.seen(prompt, frr, "show bgp ipv4 unicast 198.51.100.0/24", "not in table")
	t.Logf("killed: gone from FRR after %v", time.Since(start))
	l.seen(sessionUp, bird, "show route for 198.51.100.0/24", "10.99.0.1")
	l.seen(sessionUp, frr, "show bgp ipv4 unicast 198.51.100.0/24", "10.98.0.1")
	t.Logf("killed: announced again after %v", time.Since(start))

	// The orderly end: both log our words.
	a.end()
	logs := func(file string) string {
		b, err := os.ReadFile(filepath.Join(l.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if !strings.Contains(logs("bird.log"), "failoverd stops") {
		t.Errorf("BIRD did not get the communication:\n%s", logs("bird.log"))
	}
	if !strings.Contains(logs("frr-frr/bgpd.log"), "failoverd stops") {
		t.Errorf("FRR did not get the communication:\n%s", logs("frr-frr/bgpd.log"))
	}
}

// The ways to secure a session, right and wrong, and the sessions that are not direct eBGP.
func TestBGP_SEC_01_GTSM_BGP_SEC_02_MD5_AndOtherSessions(t *testing.T) {
	l := newLab(t, "/usr/sbin/bird", "/usr/bin/tcpdump", "/usr/bin/tshark")
	t.Parallel()
	l.netns("us", "hop", "bird")
	l.link("us", "hop", "n0")
	l.link("hop", "bird", "n1")
	l.link("us", "bird", "d0")
	l.addr("us", "n0", "10.97.1.1/24")
	l.addr("hop", "n0", "10.97.1.2/24")
	l.addr("hop", "n1", "10.97.2.1/24")
	l.addr("bird", "n1", "10.97.2.2/24")
	l.in("hop", "sysctl", "-qw", "net.ipv4.ip_forward=1")
	l.ip("-n", l.prefix+"us", "route", "add", "10.97.2.0/24", "via", "10.97.1.2")
	l.ip("-n", l.prefix+"bird", "route", "add", "10.97.1.0/24", "via", "10.97.2.1")
	for _, net := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		l.addr("us", "d0", "10.96."+net+".1/24")
		l.addr("bird", "d0", "10.96."+net+".2/24")
	}
	l.addr("us", "d0", "fe80::a/64", "2001:db8:3::1/64", "2001:db8:4::1/64")
	l.addr("bird", "d0", "fe80::b/64", "2001:db8:3::2/64", "2001:db8:4::2/64")
	bird := l.bird("bird", birdCommon+`
protocol bgp md5right from upstream { local 10.96.1.2 as 64500; neighbor 10.96.1.1 as 64501; password "secret"; }
protocol bgp md5wrong from upstream { local 10.96.2.2 as 64500; neighbor 10.96.2.1 as 64501; password "other"; }
protocol bgp gtsm from upstream { local 10.96.3.2 as 64500; neighbor 10.96.3.1 as 64501; ttl security on; }
# TTL security at our end only: BIRD's listener answers the SYN with 255, its OPEN comes with 1.
protocol bgp gtsmone from upstream { local 10.96.4.2 as 64500; neighbor 10.96.4.1 as 64501; passive; }
protocol bgp gtsm6 from upstream { local 2001:db8:3::2 as 64500; neighbor 2001:db8:3::1 as 64501; ttl security on; }
protocol bgp gtsmone6 from upstream { local 2001:db8:4::2 as 64500; neighbor 2001:db8:4::1 as 64501; passive; }
protocol bgp inside from upstream { local 10.96.5.2 as 64501; neighbor 10.96.5.1 as 64501; }
protocol bgp wrongas from upstream { local 10.96.6.2 as 64999; neighbor 10.96.6.1 as 64501; }
protocol bgp refusing from upstream { local 10.96.7.2 as 64500; neighbor 10.96.7.1 as 64998; }
protocol bgp linklocal from upstream { local fe80::b%d0 as 64500; neighbor fe80::a%d0 as 64501; }
protocol bgp far from upstream { local 10.97.2.2 as 64500; neighbor 10.97.1.1 as 64501; multihop 2; }
`)
	to := func(addr string, as uint32, change func(*bgp.Neighbor)) bgp.Neighbor {
		n := neighborOf(netip.MustParseAddr(addr), as)
		if change != nil {
			change(&n)
		}
		return n
	}
	count := l.capture("us", "d0")
	cfg := speakerOf(
		to("10.96.1.2", 64500, func(n *bgp.Neighbor) { n.Password = "secret" }),
		to("10.96.2.2", 64500, func(n *bgp.Neighbor) { n.Password = "secret" }),
		to("10.96.3.2", 64500, func(n *bgp.Neighbor) { n.TTLSecurity = 1 }),
		to("10.96.4.2", 64500, func(n *bgp.Neighbor) { n.TTLSecurity = 1 }),
		to("2001:db8:3::2", 64500, func(n *bgp.Neighbor) { n.TTLSecurity = 1 }),
		to("2001:db8:4::2", 64500, func(n *bgp.Neighbor) { n.TTLSecurity = 1 }),
		to("10.96.5.2", 64501, nil),
		to("10.96.6.2", 64500, nil),
		to("10.96.7.2", 64500, nil),
		to("10.97.2.2", 64500, func(n *bgp.Neighbor) { n.Multihop = 2; n.LocalAddress = netip.MustParseAddr("10.97.1.1") }),
		to("10.96.99.2", 64500, nil), // nobody
		to("fe80::b%d0", 64500, func(n *bgp.Neighbor) { n.LocalAddress = netip.MustParseAddr("fe80::a") }),
	)
	a := startAgent(t, cfg, l.enter("us"))
	a.set(route4(func(r *bgp.Route) { r.LocalPref = ptr(300); r.MED = ptr(5) }), bgp.Route{Prefix: service6})

	up := map[string]bool{"fe80::b%d0": true, "10.96.1.2": true, "10.96.3.2": true, "2001:db8:3::2": true, "10.96.5.2": true, "10.97.2.2": true}
	a.until(sessionUp, "the good sessions", func(r bgp.Report) bool {
		for _, n := range r.Neighbors {
			if up[n.Address.String()] && n.State != bgp.Established {
				return false
			}
		}
		return len(r.Neighbors) > 0
	})
	for _, name := range []string{"md5right", "gtsm", "far"} {
		l.seen(prompt, bird, "show route all protocol "+name, "198.51.100.0/24", "BGP.as_path: 64501\n", "BGP.med: 5")
	}
	// eBGP gets no LOCAL_PREF from us (BIRD shows its own default), iBGP does, with an empty AS_PATH.
	l.seen(prompt, bird, "show route all protocol inside", "198.51.100.0/24", "BGP.as_path: \n", "BGP.local_pref: 300")
	l.seen(prompt, bird, "show route all protocol md5right", "BGP.local_pref: 100")
	// Over several hops, the next hop is our side of that session.
	l.seen(prompt, bird, "show route all protocol far", "BGP.next_hop: 10.97.1.1")

	l.seen(prompt, bird, "show route all protocol gtsm6", "2001:db8:100::/48", "via 2001:db8:3::1 on d0")
	l.seen(prompt, bird, "show route all protocol linklocal", "2001:db8:100::/48", "via fe80::a on d0")

	reasons := map[string]string{
		"10.96.2.2":     "no answer from 10.96.2.2 port 179: timeout (unreachable, or the password differs",
		"10.96.4.2":     "connected, but no OPEN from the neighbor",
		"2001:db8:4::2": "connected, but no OPEN from the neighbor",
		"10.96.6.2":     "2/2 (OPEN Message Error, Bad Peer AS): as number mismatch expected 64500, received 64999",
		"10.96.7.2":     "the neighbor refused our OPEN",
		"10.96.99.2":    "cannot connect to 10.96.99.2 port 179: network is unreachable",
	}
	a.until(sessionUp, "the reasons", func(r bgp.Report) bool {
		for _, n := range r.Neighbors {
			if !strings.Contains(n.LastError, reasons[n.Address.String()]) {
				return false
			}
		}
		return len(r.Neighbors) > 0
	})
	for _, n := range a.last().Neighbors {
		if up[n.Address.String()] != (n.State == bgp.Established) {
			t.Errorf("%v is %v", n.Address, n.State)
		}
	}
	counts := count(
		"ip.src == 10.96.3.1 && tcp.flags.reset == 0 && ip.ttl != 255", // the kernel's refusals of BIRD's attempts aside
		"ip.src == 10.96.3.1 && ip.ttl == 255",
		"ip.src == 10.96.1.1 && tcp.len > 0 && !tcp.options.md5",
		"ip.src == 10.96.1.1 && tcp.options.md5",
		"ip.src == 10.96.2.1 && tcp.flags.syn == 1 && tcp.options.md5",
		"ipv6.src == 2001:db8:3::1 && tcp.flags.reset == 0 && ipv6.hlim != 255",
		"ipv6.src == 2001:db8:3::1 && tcp && ipv6.hlim == 255",
		"ipv6.src == 2001:db8:4::2 && tcp.len > 0 && ipv6.hlim < 255", // BIRD's OPEN, which the kernel is to drop
	)
	if counts[0] != 0 || counts[1] == 0 {
		t.Errorf("BGP-SEC-01: %d packets with another TTL than 255, %d with", counts[0], counts[1])
	}
	if counts[5] != 0 || counts[6] == 0 || counts[7] == 0 {
		t.Errorf("BGP-SEC-01, IPv6: %d packets with another hop limit than 255, %d with; %d from too far", counts[5], counts[6], counts[7])
	}
	if dropped := l.in("us", "nstat", "-az", "TcpExtTCPMinTTLDrop"); strings.Contains(dropped, "TcpExtTCPMinTTLDrop             0 ") {
		t.Errorf("BGP-SEC-01: the kernel counted no packet from too far:\n%s", dropped)
	}
	for _, o := range []struct{ level, name, want int }{
		{unix.IPPROTO_IP, unix.IP_MINTTL, 255},
		{unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, 255},
	} {
		if !slices.Contains(tcpOptions(t, a.s.PID(), o.level, o.name), o.want) {
			t.Errorf("BGP-SEC-01: no connection has option %d of level %d at %d", o.name, o.level, o.want)
		}
	}
	if counts[2] != 0 || counts[3] == 0 || counts[4] == 0 {
		t.Errorf("BGP-SEC-02: %d unsigned segments, %d signed, %d signed attempts with the wrong key", counts[2], counts[3], counts[4])
	}
	if failures := l.in("bird", "nstat", "-az", "TcpExtTCPMD5Failure"); strings.Contains(failures, "TcpExtTCPMD5Failure             0 ") {
		t.Errorf("BGP-SEC-02: the kernel counted no wrong signature:\n%s", failures)
	}
}
