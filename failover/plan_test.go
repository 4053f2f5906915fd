package failover_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp/wire"
)

const planBase = `speaker EDGE allow 198.51.100.0/24 allow 203.0.113.0/24 neighbor 203.0.113.1 neighbor 203.0.113.9
router A eth0/4/51 priority 100
  address 192.0.2.10/24 eth0 lease 3s
  announce 198.51.100.0/24 EDGE
router B eth0/4/52 priority 90
  address 192.0.2.20/24 eth0 lease 3s
`

// planCases are pairs of configurations; the plan of each is in testdata/plan, and says what it is about.
var planCases = []struct {
	name      string
	old, next string
	change    func(old, next *failover.Config) // what the words above do not say
}{
	{name: "same", old: planBase, next: planBase},
	{name: "regions", old: planBase, next: planBase, change: regionChanges},
	{name: "live", old: planBase, next: `garp_interval 10ms
static_route 203.0.113.0/24 via 192.0.2.254
speaker EDGE allow 198.51.100.0/24 allow 203.0.113.0/24 neighbor 203.0.113.1 neighbor 203.0.113.9
router A eth0/4/51 priority 120 interval 2s preempt_delay 30s
  address 192.0.2.10/24 eth0 lease 5s
  address 192.0.2.11/24 eth0 lease 3s
  address 192.0.2.12/24 eth0 excluded
  garp refresh 60s
  announce 198.51.100.0/24 EDGE med 10
  announce 203.0.113.0/24 EDGE when backup
  route 198.51.100.0/24 via 192.0.2.253 dev eth0
  notify master m.sh
router C eth0/4/52 priority 90
  address 192.0.2.20/24 eth0 lease 3s
`},
	{name: "restarted", old: planBase + `router C eth0/4/53
  address 192.0.2.30/24 eth0
router D eth0/4/54 priority 254
  address 192.0.2.40/24 eth0
`, next: `speaker EDGE allow 198.51.100.0/24 allow 203.0.113.0/24 neighbor 203.0.113.1 neighbor 203.0.113.9
router A eth1/4/51 priority 110
  address 192.0.2.10/24 eth1 lease 3s
router B eth0/4/99 priority 90
  address 192.0.2.20/24 eth0 lease 3s
router C eth0/4/53 version 2 unicast
  peer 192.0.2.2
  address 192.0.2.30/24 eth0
router D eth0/4/54 priority 255
  address 192.0.2.40/24 eth0
`},
	{name: "added and removed", old: planBase + `router C eth0/4/53
  address 192.0.2.30/24 eth0
  route 198.51.100.0/24 via 192.0.2.253
  notify deleted_word
`, next: planBase + `router D eth0/4/54
  address 192.0.2.40/24 eth0
`},
	{name: "names that swap", old: planBase, next: strings.NewReplacer("router A", "router B", "router B", "router A").Replace(planBase)},
	{name: "speakers", old: planBase + "speaker LOST allow 198.51.100.0/24\nspeaker MOVED allow 198.51.100.0/24 neighbor 203.0.113.1\n", next: planBase + "speaker MOVED allow 198.51.100.0/24 allow 2001:db8::/48 neighbor 203.0.113.1\nspeaker NEW allow 198.51.100.0/24\n", change: speakers},
	{
		name: "gobgpd", change: gobgpds,
		old:  planBase + "speaker GONE allow 198.51.100.0/24\nspeaker MOVED allow 198.51.100.0/24\nspeaker OURS allow 198.51.100.0/24\nspeaker OUT allow 198.51.100.0/24 neighbor 203.0.113.1\n",
		next: planBase + "speaker MOVED allow 198.51.100.0/24\nspeaker OURS allow 198.51.100.0/24 neighbor 203.0.113.1\nspeaker OUT allow 198.51.100.0/24 neighbor 203.0.113.1\nspeaker NEW allow 198.51.100.0/24\n",
	},
	{name: "lease", old: planBase, next: "bgp_lease 5s\n" + planBase},
	{name: "groups and trackers", old: planBase, next: planBase, change: trackers},
	{name: "health checks", old: planBase, next: planBase, change: func(o, n *failover.Config) {
		check := func(name, target string, interval time.Duration) failover.CheckConfig {
			return failover.CheckConfig{Name: name, Probe: failover.Probe{Target: target}, Interval: interval, Timeout: interval, Rise: 2, Fall: 3}
		}
		o.Checks = []failover.CheckConfig{check("same", "a:1", time.Second), check("slower", "a:1", time.Second), check("other", "a:1", time.Second), check("gone", "a:1", time.Second)}
		n.Checks = []failover.CheckConfig{check("same", "a:1", time.Second), check("slower", "a:1", 2*time.Second), check("other", "a:2", time.Second), check("new", "a:1", time.Second)}
		o.Routers[0].Tracks = []failover.Track{{Tracker: failover.Tracker{Kind: failover.TrackBGP, Name: "EDGE"}, Weight: -40}}
		n.Routers[0].Tracks = []failover.Track{{Tracker: failover.Tracker{Kind: failover.TrackCheck, Name: "new"}, Weight: -30}}
	}},
	{name: "check groups", old: planBase + "check_group same all check a\ncheck_group other any check a check b\ncheck_group gone all check a\n", next: planBase + "check_group same all check a\ncheck_group other at_least 2 check a script s check c\ncheck_group new all check a\n"},
	{name: "anycast", old: planBase + "service W lo drain_time 5s\naddress 192.0.2.1/32 lo lease 3s\nannounce 203.0.113.0/24 EDGE\ntrack check web\nservice X lo\naddress 192.0.2.2/32 lo\nservice Y lo\naddress 192.0.2.3/32 lo\nrouter C eth0/4/53\naddress 192.0.2.4/24 eth0\n", next: planBase + "service W lo drain_time 2s\naddress 192.0.2.1/32 lo lease 3s\naddress 192.0.2.9/32 lo lease 3s\nannounce 203.0.113.0/24 EDGE med 3\ntrack check web\ntrack check disk\nservice X dummy0\naddress 192.0.2.2/32 dummy0\nservice Z lo\naddress 192.0.2.5/32 lo\nservice C lo\naddress 192.0.2.4/32 lo\n"},
	{name: "secrets", old: planBase, next: planBase, change: secrets},
	{name: "next start", old: planBase, next: planBase, change: func(_, n *failover.Config) {
		n.Metrics = netip.MustParseAddrPort("127.0.0.1:9112")
		n.StatusSocket, n.Process = "/run/other.sock", failover.ProcessSettings{NetNamespace: "red", Nice: -5, HasNice: true, RealTime: 50, NoSwap: true}
		n.StartupScript = &failover.Command{Args: []string{"/etc/up"}}
	}},
	{name: "static", old: planBase + "static_address 192.0.2.1/24 eth0\nstatic_route 203.0.113.0/24 via 192.0.2.254\nstatic_rule from 192.0.2.0/24 table 5 priority 10\n", next: planBase + "static_address 192.0.2.1/24 eth0 lease 3s\nstatic_route 203.0.113.0/24 via 192.0.2.253\nstatic_route 203.0.113.0/24 dev eth0 metric 5\nstatic_rule from 192.0.2.0/24 table 6 priority 10\n"},
	{name: "caches", old: planCaches("ONE", "a:323 b:323", "TWO", "a:323 b:323", "THREE", "a:323", "FOUR", ""), next: planCaches("ONE", "c:323", "TWO", "c:323 b:323", "THREE", "", "FOUR", "a:323"), change: func(o, n *failover.Config) {
		for _, c := range []*failover.Config{o, n} {
			for i := range c.Speakers {
				b := &c.Speakers[i].Neighbors[0]
				b.HoldTime, b.Keepalive, b.ConnectRetry = 9*time.Second, 3*time.Second, time.Second
			}
		}
	}},
	{name: "devices and multicast", old: planBase, next: planBase, change: func(o, n *failover.Config) {
		o.Routers[0].VMAC = &failover.VMAC{Name: "vrrp.51", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
		n.Routers[0].VMAC = &failover.VMAC{Name: "vrrp.51", MAC: [6]byte{2, 0, 0, 0, 0, 1}, XmitBase: true}
		n.Routers[1].VMAC = &failover.VMAC{Name: "vrrp.52", MAC: [6]byte{0, 0, 0x5e, 0, 1, 52}}
		n.Multicast.IPv4 = netip.MustParseAddr("224.0.0.19")
		o.FIFOs = []failover.FIFOConfig{{Path: "/run/a"}, {Path: "/run/b"}}
		n.FIFOs = []failover.FIFOConfig{{Path: "/run/b", Script: &failover.Command{Args: []string{"reader.sh"}}}, {Path: "/run/c"}}
	}},
}

// planCaches is a base with speakers, each with its RPKI caches.
func planCaches(words ...string) (text string) {
	for i := 0; i < len(words); i += 2 {
		text += "speaker " + words[i] + " allow 198.51.100.0/24 neighbor 203.0.113.1"
		for _, c := range strings.Fields(words[i+1]) {
			text += " rpki " + c
		}
		text += "\n"
	}
	return planBase + text
}

func speakers(o, n *failover.Config) {
	timers := func(x *bgp.Neighbor) {
		x.HoldTime, x.Keepalive, x.ConnectRetry = 9*time.Second, 3*time.Second, time.Second
	}
	for _, c := range []*failover.Config{o, n} {
		for i := range c.Speakers {
			for j := range c.Speakers[i].Neighbors {
				timers(&c.Speakers[i].Neighbors[j])
			}
		}
	}
	edge := &n.Speakers[0]
	edge.Neighbors[0].Description, edge.MaxAnnouncements = "upstream", 2
	edge.MaxChanges, edge.RPKICaches, edge.RPKIWarn = 4, []string{"192.0.2.9:323"}, true
	edge.Neighbors[1].HoldTime, edge.Neighbors[1].Password = 30*time.Second, "hidden"
	edge.Neighbors = append(edge.Neighbors, bgp.Neighbor{Address: netip.MustParseAddr("203.0.113.17"), RemoteAS: 64500})
	timers(&edge.Neighbors[2])
}

// gobgpds has all speakers of a configuration but its first go through a gobgpd.
func gobgpds(o, n *failover.Config) {
	speakers := func(c *failover.Config, targets ...string) {
		for i, t := range targets {
			s := &c.Speakers[1+i]
			for j := range s.Neighbors {
				s.Neighbors[j].HoldTime, s.Neighbors[j].Keepalive, s.Neighbors[j].ConnectRetry = 9*time.Second, 3*time.Second, time.Second
			}
			if t != "" {
				s.External = &bgp.External{Target: t}
			}
		}
	}
	speakers(o, "unix:/run/gone.sock", "unix:/run/a.sock", "unix:/run/b.sock", "")
	speakers(n, "127.0.0.1:50051", "unix:/run/b.sock", "unix:/run/c.sock", "unix:/run/new.sock")
	n.Speakers[1].External.TLS = &bgp.TLS{CA: "hidden"}
}

func trackers(o, n *failover.Config) {
	script := func(name string, args ...string) failover.ScriptConfig {
		return failover.ScriptConfig{Name: name, Command: failover.Command{Args: args}, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1}
	}
	o.Scripts = []failover.ScriptConfig{script("gone", "/bin/gone"), script("slower", "/bin/same"), script("other", "/bin/old")}
	n.Scripts = []failover.ScriptConfig{script("slower", "/bin/same"), script("other", "/bin/new", "-v"), script("new", "/bin/new")}
	n.Scripts[0].Interval, n.Scripts[0].Fall = 5*time.Second, 3
	o.Files = []failover.FileConfig{{Name: "maintenance", Path: "/run/a"}, {Name: "same", Path: "/run/c"}}
	n.Files = []failover.FileConfig{{Name: "maintenance", Path: "/run/b"}, {Name: "same", Path: "/run/c", Init: new(int)}}
	o.Processes = []failover.ProcessConfig{{Name: "web", Args: []string{"nginx"}, Quorum: 1}, {Name: "db", Args: []string{"postgres"}, Quorum: 1}}
	n.Processes = []failover.ProcessConfig{{Name: "web", Args: []string{"nginx"}, Quorum: 2}, {Name: "db", Args: []string{"mysqld"}, Quorum: 1}}
	o.Groups = []failover.GroupConfig{{Name: "G", Members: []string{"A", "B"}}, {Name: "H", Members: []string{"C"}}}
	n.Groups = []failover.GroupConfig{{Name: "G", Members: []string{"A", "C"}, Notify: failover.NotifyConfig{Any: &failover.Command{Args: []string{"g.sh"}}}}}
	track := func(name string, weight int) failover.Track {
		return failover.Track{Tracker: failover.Tracker{Kind: failover.TrackScript, Name: name}, Weight: weight}
	}
	o.Routers[0].Tracks = []failover.Track{track("gone", 0), track("slower", -20)}
	n.Routers[0].Tracks = []failover.Track{track("slower", -30), track("new", 0)}
	n.LinkDelays = map[string]failover.LinkDelay{"eth0": {Down: time.Second}}
}

// secrets changes everything that holds one; hidden is in all of them.
func secrets(o, n *failover.Config) {
	for i, c := range []*failover.Config{o, n} {
		v := &c.Routers[0].VRRP
		v.Version, v.AuthType, v.AuthData = wire.V2, wire.AuthSimple, [8]byte{'h', 'i', 'd', 'd', 'e', 'n', byte('0' + i)}
		hide := &failover.Command{Args: []string{"/bin/curl", "-u", "hidden" + string(rune('0'+i))}, User: "nobody"}
		c.Routers[0].Notify = failover.NotifyConfig{Master: hide, Backup: hide, Fault: hide, Stop: hide, Deleted: hide, RivalHeard: hide, Any: hide}
		c.Scripts = []failover.ScriptConfig{{Name: "s", Command: *hide}}
		c.Processes = []failover.ProcessConfig{{Name: "p", Args: hide.Args}}
		c.FIFOs = []failover.FIFOConfig{{Path: "/run/fifo", Script: hide}}
		c.StartupScript, c.ShutdownScript = hide, hide
		c.Speakers[0].Neighbors[0].Password = hide.Args[2]
	}
	n.Speakers[0].LocalAS, o.Speakers[0].LocalAS = 64501, 64501
}

// regionChanges changes what is said of other sites. Keys are hidden.
func regionChanges(o, n *failover.Config) {
	key := func(s string) [][]byte { return [][]byte{[]byte("hidden" + s)} }
	partner := func(block, kind, name, addr string, keys [][]byte) failover.Partner {
		p := failover.Partner{ID: block + "/" + kind + " " + name, Name: name, Address: netip.MustParseAddrPort(addr), Keys: keys}
		if kind == "witness" {
			p.Kind = failover.PartnerWitness
		}
		return p
	}
	o.Sites = []failover.SiteConfig{{
		Name: "m", FenceAfter: 7 * time.Second, Heartbeat: time.Second,
		Partners: []failover.Partner{
			partner("site m", "watcher", "203.0.113.2", "203.0.113.2:7112", key("1")),
			partner("site m", "witness", "sg", "203.0.113.200:7112", key("1")),
		},
	}}
	n.Sites = []failover.SiteConfig{{
		Name: "m", FenceAfter: 6 * time.Second, Heartbeat: 500 * time.Millisecond, Hold: true, HoldChecks: []string{"c"},
		Partners: []failover.Partner{
			partner("site m", "witness", "sg", "203.0.113.201:7112", key("2")),
			partner("site m", "witness", "jp", "203.0.113.210:7112", key("2")),
		},
	}}
	o.Watches = []failover.WatchConfig{{Name: "x", DownQuorum: 1, TakeoverAfter: 18 * time.Second, Keys: key("1")}, {Name: "gone"}}
	n.Watches = []failover.WatchConfig{{Name: "x", DownQuorum: 2, TakeoverAfter: 20 * time.Second, Keys: key("2"), OnSiteDown: true}, {Name: "new"}}
	n.WitnessServer = &failover.WitnessServerConfig{Listen: netip.MustParseAddrPort("0.0.0.0:7112"), Keys: key("1")}
	n.EventLog = "/var/log/events"
	n.Routers[0].Region = failover.RegionConfig{
		Site: "m", Home: "m", Self: "m", Remote: []netip.Addr{addr("203.0.113.2")}, HandoverOverlap: 2 * time.Second, FailbackClean: time.Minute,
	}
}

// TestPlanText compares what people read with the files in testdata/plan.
func TestPlanText(t *testing.T) {
	for _, tt := range planCases {
		t.Run(tt.name, func(t *testing.T) {
			old, next := failovertest.MustParseConfig(tt.old), failovertest.MustParseConfig(tt.next)
			if tt.change != nil {
				tt.change(old, next)
			}
			plan := failover.Plan(old, next)
			got := failover.PlanText(plan)
			data, err := json.Marshal(plan)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(got+string(data), "hidden") {
				t.Errorf("a secret is in the plan:\n%s", got)
			}
			file := filepath.Join("testdata", "plan", strings.ReplaceAll(tt.name, " ", "-")+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got; -update writes it):\n%s", file, diff)
			}
		})
	}
}

// TestPlanOfTheSame: two equal configurations give a plan in which nothing is touched.
func TestPlanOfTheSame(t *testing.T) {
	for _, tt := range planCases {
		for _, text := range []string{tt.old, tt.next} {
			for _, e := range failover.Plan(failovertest.MustParseConfig(text), failovertest.MustParseConfig(text)) {
				if e.Effect != failover.PlanNone || len(e.Changes)+len(e.Notes) > 0 {
					t.Errorf("%s: %s", tt.name, e.Text())
				}
			}
		}
	}
}

// partnerIdentity are the fields of a partner that its ID has in it.
var partnerIdentity = regexp.MustCompile(`\.(Partners|Witnesses)\.(Kind|Name)$`)

// TestPlanMissesNothing changes every field of a configuration, one at a time. Each is an entry with an effect, and with
// words for it.
func TestPlanMissesNothing(t *testing.T) {
	fresh := func() *failover.Config {
		c := new(failover.Config)
		fill(reflect.ValueOf(c).Elem(), "Config", "", nil)
		return c
	}
	var paths []string
	fill(reflect.ValueOf(new(failover.Config)).Elem(), "Config", "", &paths)
	if len(paths) < 150 {
		t.Fatalf("only %d fields are found", len(paths))
	}
	for _, path := range paths {
		if path == "Config.Hash" || strings.HasPrefix(path, "Config.Uses") || strings.HasPrefix(path, "Config.Interfaces") || strings.HasPrefix(path, "Config.Authorities") {
			continue // they say where something stands, not what it is
		}
		if strings.HasSuffix(path, "Rules.Goto") {
			continue // it counts for another action only
		}
		if partnerIdentity.MatchString(path) {
			continue // their IDs have it
		}
		if strings.HasSuffix(path, "CheckGroups.AtLeast") {
			continue // it counts for another rule only
		}
		old, next := fresh(), fresh()
		fill(reflect.ValueOf(next).Elem(), "Config", path, nil)
		if !strings.HasPrefix(path, "Config.Routers.Anycast.") { // what a service has besides is tried with an instance
			old.Routers[0].Anycast, next.Routers[0].Anycast = nil, nil
		}
		said := false
		for _, e := range failover.Plan(old, next) {
			said = said || e.Effect != failover.PlanNone && len(e.Changes)+len(e.Notes) > 0
		}
		if !said {
			t.Errorf("%s is changed, and the plan does not say so", path)
		}
	}
}

// fill sets every field below v to something that is not zero, and the one at the path other to something else; paths
// takes the paths of all fields.
func fill(v reflect.Value, path, other string, paths *[]string) {
	n := int64(1)
	if path == other {
		n = 2
	}
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})))
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(n))))
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(n), 0}), 24)))
	default:
		if fillKind(v, n, path, other, paths) {
			return
		}
	}
	if paths != nil {
		*paths = append(*paths, path)
	}
}

// fillKind is fill for what is not special; nested reports that v has fields of its own.
func fillKind(v reflect.Value, n int64, path, other string, paths *[]string) (nested bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), path+"."+v.Type().Field(i).Name, other, paths)
		}
		return true
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), path, other, paths)
		return true
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), path, other, paths)
		return true
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e, path, other, paths)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k"), e)
		return true
	case reflect.Array:
		for i := range v.Len() {
			fillKind(v.Index(i), n, path, other, nil)
		}
	case reflect.String:
		v.SetString(strings.Repeat("x", int(n)))
	case reflect.Bool:
		v.SetBool(n == 1)
	case reflect.Int, reflect.Int64:
		v.SetInt(n)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n))
	default:
		panic(path + " is of a kind that is not known: " + v.Kind().String())
	}
	return false
}
