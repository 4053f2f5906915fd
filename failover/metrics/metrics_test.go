package metrics

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

var writeDoc = flag.Bool("write-doc", false, "write the table of metrics in docs/metrics.md")

const (
	docPath   = "../docs/metrics.md"
	rulesPath = "../../conf/examples/alerts.yml"
)

func ptr[T any](v T) *T { return &v }

// everything is a snapshot in which nothing is missing.
func everything() *failover.Snapshot {
	at := time.Unix(1700000000, 0)
	address := netip.MustParsePrefix("192.0.2.10/24")
	addresses := []failover.AddressStatus{{Address: address, Wanted: true, Present: true}, {Address: address, Wanted: true, Error: "no"}, {Present: true}}
	routes := []failover.RouteStatus{{Wanted: true, Announced: true, Sessions: 1}, {Wanted: true, Announced: true}, {Wanted: true}, {Announced: true}}
	return &failover.Snapshot{
		Version: "1.2.3", StartedAt: at, TakenAt: at,
		Config:          failover.ConfigStatus{File: "f", ConfigID: "r1", Hash: "00ff", LoadedAt: at, Reloads: 3, LastError: "no"},
		Agent:           failover.AgentStatus{LoopLateMillis: 1500, PacketsDropped: 7, Batches: 9, AddressWrites: 4, EventsLost: 2, EventLogError: "full"},
		StaticAddresses: addresses,
		Links:           []failover.LinkStatus{{Link: "eth0/4", Open: true, Received: 5, Sent: 6, SendErrors: 1, Drops: map[string]uint64{"ttl": 2}}},
		Routers: []failover.RouterStatus{{
			Name: "A", Key: vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}, State: "BACKUP", Since: at, PriorityBase: 200, PriorityEffective: 170,
			Master:           &failover.MasterStatus{Address: netip.MustParseAddr("192.0.2.1"), HeardMSAgo: 250},
			AdvertIntervalMS: 1000, ActiveDownMS: 3335, Takeover: []failover.Phase{{MS: 1000}, {MS: 500}},
			Counters: failover.RouterCounters{
				AdvertsSent: 11, AdvertsReceived: 12, BecameMaster: 2, ReleasedMaster: 1,
				Drops: map[string]uint64{"not a peer": 3}, Checksums: map[string]uint64{"rfc9568": 12},
			},
			HMAC:      &failover.HMACStatus{SkewMS: ptr(-20.0), Outcomes: map[string]uint64{"ok": 3}},
			Addresses: addresses, Routes: routes, Objects: []failover.ObjectStatus{{Error: "no"}}, Drained: &failover.DrainStatus{}, Epoch: 4,
			Tracks: []failover.TrackStatus{{Kind: "track_check", Name: "web", Effect: -30, Fault: true}},
		}},
		Services: []failover.AnycastStatus{{Name: "S", State: "ANNOUNCED", Since: at, Addresses: addresses, Routes: routes, TimesAnnounced: 2, TimesWithdrawn: 1}},
		Groups:   []failover.GroupStatus{{Name: "G", State: "MASTER"}},
		Checks: []failover.CheckStatus{
			{Name: "web", Kind: "http", Known: true, OK: true, Since: &at, Probes: 20, LastRTTMS: 3, RTTMS: 4, LossPercent: 5, Warning: "ends soon"},
			{Name: "blind", Kind: "icmp", Known: true, Unknown: true},
		},
		CheckGroups: []failover.CheckGroupStatus{{Name: "all", Verdict: "up"}},
		Speakers: []failover.SpeakerStatus{{
			Name: "EDGE", Connected: true, Restarts: 1, ResidentBytes: 1 << 20, MemoryLimit: 1 << 30, Announced: []string{"x"}, Held: []failover.HeldStatus{{}},
			Neighbors: []bgp.NeighborStatus{{Address: netip.MustParseAddr("192.0.2.3"), State: bgp.Established, Since: at, Flaps: 2, HoldTime: 9 * time.Second}},
			RPKI: &failover.RPKIStatus{
				Caches:  []bgp.CacheStatus{{Address: "a:323", State: "up", Records: 5, HasData: true, Expires: at}},
				Origins: []failover.OriginStatus{{Prefix: address, OriginAS: 64501, Validity: "invalid"}},
			},
		}},
		Sites: []failover.SiteStatus{{Name: "m", Authority: "valid", RemainingMS: 5000, FenceMS: 7000, AckMSAgo: ptr(2000.0)}},
		Watches: []failover.WatchStatus{{
			Name: "m", Verdict: "down", Held: "why", Votes: []failover.Vote{{Name: "sg", Says: "down"}}, Down: 1, Quorum: 2, ObservedMS: 1, TakeoverMS: 2,
			HeardMSAgo: ptr(3.0), Contact: true, Penalty: 900, Latched: true,
		}},
		Heard:     []failover.NodeStatus{{About: "m", Site: "m", Node: "m1", HeardMSAgo: 10}},
		Partners:  []failover.PartnerStatus{{ID: "site m/witness sg", Sent: 5, Outcomes: map[string]uint64{"ok": 4}, RTTMS: ptr(2.0), AnsweredMSAgo: ptr(3.0)}},
		Listeners: []failover.ListenerStatus{{Address: "0.0.0.0:7112", Open: true, Outcomes: map[string]uint64{"ok": 4}}},
		Recovery:  []failover.RecoveryStatus{{Router: "A", Failure: "power", TotalMS: ptr(3600.0)}, {Router: "A", Failure: "power", TotalMS: ptr(600.0)}, {Router: "A", Failure: "x"}},
	}
}

// gather returns what a scrape of a snapshot gives.
func gather(t *testing.T, s *failover.Snapshot) []*dto.MetricFamily {
	t.Helper()
	c := NewCollector(func() *failover.Snapshot { return s })
	c.now = func() time.Time { return time.Unix(1700000002, 0) }
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// lines prints metrics as Prometheus would read them, without the comments.
func lines(families []*dto.MetricFamily) (out []string) {
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			out = append(out, fmt.Sprintf("%s %v", name, m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	return out
}

// TestEveryMetric: each that is declared is written, once for each set of labels, and named as Prometheus has it.
func TestEveryMetric(t *testing.T) {
	families := gather(t, everything())
	written := map[string]bool{}
	for _, f := range families {
		written[f.GetName()] = true
	}
	for _, m := range table {
		if !written[m.name] {
			t.Errorf("%s is declared and never written", m.name)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestValues(t *testing.T) {
	got := lines(gather(t, everything()))
	for _, want := range []string{
		`failoverd_agent_snapshot_age_seconds 2`,
		`failoverd_agent_start_time_seconds 1.7e+09`,
		`failoverd_agent_loop_late_max_seconds 1.5`,
		`failoverd_config_last_reload_refused 1`,
		`failoverd_static_addresses_wanted 2`,
		`failoverd_static_addresses_present 1`,
		`failoverd_link_packets_dropped_total{link="eth0/4",reason="ttl"} 2`,
		`failoverd_router_state{router="A",state="BACKUP",vr="eth0/4/51"} 1`,
		`failoverd_router_state{router="A",state="MASTER",vr="eth0/4/51"} 0`,
		`failoverd_router_priority{router="A",vr="eth0/4/51"} 170`,
		`failoverd_router_master_heard_age_seconds{router="A",vr="eth0/4/51"} 0.25`,
		`failoverd_router_active_down_interval_seconds{router="A",vr="eth0/4/51"} 3.335`,
		`failoverd_router_last_takeover_seconds{router="A",vr="eth0/4/51"} 1.5`,
		`failoverd_router_adverts_rejected_total{reason="not a peer",router="A",vr="eth0/4/51"} 3`,
		`failoverd_router_hmac_clock_skew_seconds{router="A",vr="eth0/4/51"} -0.02`,
		`failoverd_router_addresses_wanted{router="A",vr="eth0/4/51"} 2`,
		`failoverd_router_addresses_present{router="A",vr="eth0/4/51"} 1`,
		`failoverd_router_kernel_errors{router="A",vr="eth0/4/51"} 2`,
		`failoverd_router_announcements_wanted{router="A",vr="eth0/4/51"} 3`,
		`failoverd_router_announcements_announced{router="A",vr="eth0/4/51"} 2`,
		`failoverd_router_announcements_unheard{router="A",vr="eth0/4/51"} 1`,
		`failoverd_router_track_priority{kind="track_check",name="web",router="A",vr="eth0/4/51"} -30`,
		`failoverd_check_up{check="web",kind="http"} 1`,
		`failoverd_check_loss_ratio{check="web",kind="http"} 0.05`,
		`failoverd_check_unknown{check="blind",kind="icmp"} 1`,
		`failoverd_bgp_session_up{neighbor="192.0.2.3",speaker="EDGE"} 1`,
		`failoverd_rpki_origin_validity{origin_as="64501",prefix="192.0.2.10/24",speaker="EDGE",validity="invalid"} 1`,
		`failoverd_site_authority_remaining_seconds{site="m"} 5`,
		`failoverd_watch_vote{site="m",verdict="down",voter="sg"} 1`,
		`failoverd_recovery_bound_seconds{failure="power",router="A"} 3.6`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	for _, absent := range []string{`failoverd_check_up{check="blind"`, `failoverd_recovery_bound_seconds{failure="x"`} {
		if slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, absent) }) {
			t.Errorf("%s is there, although nothing is known", absent)
		}
	}
}

// TestOddNames: what a configuration may hold and Prometheus does not take costs no scrape; a state that is not among
// those that we know is seen all the same; and an agent that starts has nothing to say.
func TestOddNames(t *testing.T) {
	s := &failover.Snapshot{Groups: []failover.GroupStatus{{Name: "a\xff\"\n", State: "NEW"}}}
	if got, want := lines(gather(t, s)), `failoverd_group_state{group="a`+"\uFFFD"+`\"\n",state="NEW"} 1`; !slices.Contains(got, want) {
		t.Errorf("no %s in %q", want, got)
	}
	if got := lines(gather(t, nil)); len(got) != 0 {
		t.Errorf("without a snapshot: %q", got)
	}
}

// document is the table of the documentation.
func document() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it is |\n|---|---|---|---|\n")
	for _, m := range table {
		kind := "gauge"
		if m.kind == prometheus.CounterValue {
			kind = "counter"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, kind, strings.Join(m.labels, ", "), m.help)
	}
	return b.String()
}

// TestDocument: the documentation lists what there is.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	const begin = "| metric | type |"
	head, rest, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s: no table", docPath)
	}
	end := strings.Index(rest, "\n\n")
	got, tail := begin+rest[:end+1], rest[end+1:]
	if *writeDoc {
		if err := os.WriteFile(docPath, []byte(head+document()+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(document(), got); d != "" {
		t.Errorf("%s is not what there is; write it with -write-doc (-want +got):\n%s", docPath, d)
	}
}

// TestAlerts: the example rules are about metrics that there are, and Prometheus accepts them.
func TestAlerts(t *testing.T) {
	text, err := os.ReadFile(rulesPath)
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`failoverd_\w+`).FindAllString(string(text), -1)
	if len(names) < 10 {
		t.Errorf("only %d metrics in %s", len(names), rulesPath)
	}
	for _, n := range names {
		if !slices.ContainsFunc(table, func(m *metric) bool { return m.name == n }) {
			t.Errorf("%s: there is no %s", rulesPath, n)
		}
	}
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("FAILOVERD_LABS") == "required" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED, NOT PASSED: no promtool")
	}
	if out, err := exec.Command(tool, "check", "rules", rulesPath).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
