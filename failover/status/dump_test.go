package status

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// dumped is a configuration and a state with most of what a dump shows.
func dumped() (*failover.Config, *failover.Snapshot) {
	key := vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: 51}
	cfg := &failover.Config{
		RouterID: "node", Scripts: []failover.ScriptConfig{{
			Name: "chk", Command: failover.Command{Args: []string{"/bin/check", "a b"}}, Interval: 1500 * time.Millisecond,
			Timeout: time.Second, Rise: 2, Fall: 3,
		}},
		Groups:    []failover.GroupConfig{{Name: "G", Members: []string{"V"}}},
		Processes: []failover.ProcessConfig{{Name: "p", Args: []string{"bird", "-f"}, Quorum: 1}},
		Files:     []failover.FileConfig{{Name: "f", Path: "/run/f"}},
		Routers: []failover.RouterConfig{{
			Name: "V",
			VRRP: vrrp.Config{
				Key: key, Version: wire.V2, Priority: 100, Interval: 100, Preempt: true, PreemptDelay: 1500 * time.Millisecond,
				AuthType: wire.AuthSimple, AuthData: [8]byte{'s', '3', 'c', 'r', 'e', 't'},
			},
			Addresses: []failover.Address{
				{Prefix: netip.MustParsePrefix("192.0.2.10/24"), Interface: "eth0"},
				{Prefix: netip.MustParsePrefix("192.0.2.11/32"), Interface: "eth1", Scope: 253, Label: "eth1:x", Excluded: true},
			},
			GARP: failover.GARP{Repeat: 5, Delay: 5 * time.Second, RefreshRepeat: 1, RivalRepeat: 5, RivalDelay: 5 * time.Second},
			Tracks: []failover.Track{
				{Tracker: failover.Tracker{Kind: failover.TrackScript, Name: "chk"}, Weight: -20},
				{Tracker: failover.Tracker{Kind: failover.TrackInterface, Name: "eth1"}},
				{Tracker: failover.Tracker{Kind: failover.TrackProcess, Name: "p"}},
				{Tracker: failover.Tracker{Kind: failover.TrackFile, Name: "f"}, Weight: 2, Reverse: true},
			},
			VMAC:   &failover.VMAC{Name: "vrrp.51"},
			Notify: failover.NotifyConfig{Master: &failover.Command{Args: []string{"/bin/n", "master"}}},
		}, {Name: "not there yet"}},
	}
	since := time.Date(2026, 11, 21, 9, 17, 14, 797474000, time.UTC)
	s := &failover.Snapshot{
		Version: "1", Config: failover.ConfigStatus{File: "/etc/k.conf", Hash: "abc"},
		Routers: []failover.RouterStatus{{
			Name: "V", Key: key, State: "BACKUP", Since: since, Why: "higher priority heard", Interface: "eth0", Source: "192.0.2.1",
			PriorityEffective: 80, Group: "G", LearnedIntervalMS: 1000,
			Master:    &failover.MasterStatus{Address: netip.MustParseAddr("192.0.2.2"), Priority: 200},
			Addresses: []failover.AddressStatus{{Present: true, Wanted: true}, {}},
			Objects:   []failover.ObjectStatus{{Kind: "route", Object: "198.51.100.0/24 dev lo"}, {Kind: "rule", Object: "from 192.0.2.10 table 100"}},
			Tracks: []failover.TrackStatus{
				{Kind: "track_script", Name: "chk", Known: true, Reason: "exit status 1"},
				{Kind: "track_process", Name: "p", Known: true, OK: true},
				{Kind: "track_file", Name: "f", Known: true, OK: true, Value: 7},
			},
			Counters: failover.RouterCounters{
				AdvertsReceived: 7, AdvertsSent: 3, BecameMaster: 1, ReleasedMaster: 1, PriorityZeroRecv: 2, PriorityZeroSent: 1, ListMismatches: 4,
				Drops: map[string]uint64{"auth_data": 5, "interval_mismatch": 6},
			},
		}},
		Groups: []failover.GroupStatus{{Name: "G", State: "BACKUP", Members: []string{"V"}}},
		Links:  []failover.LinkStatus{{Link: "eth0/4", Drops: map[string]uint64{"ttl": 8, "truncated_address_list": 9}}},
	}
	return cfg, s
}

// The dumps are held against files, which -update writes.
func TestDumpGolden(t *testing.T) {
	cfg, s := dumped()
	var two failover.Config = *cfg
	two.Dump.JSONVersion = 2
	for _, c := range []struct {
		file  string
		cfg   *failover.Config
		write func(*bytes.Buffer, *failover.Config) error
	}{
		{"dump.data", cfg, func(b *bytes.Buffer, c *failover.Config) error { return DumpData(b, c, s) }},
		{"dump.stats", cfg, func(b *bytes.Buffer, c *failover.Config) error { return DumpStats(b, c, s) }},
		{"dump.json", cfg, func(b *bytes.Buffer, c *failover.Config) error { return DumpJSON(b, c, s) }},
		{"dump2.json", &two, func(b *bytes.Buffer, c *failover.Config) error { return DumpJSON(b, c, s) }},
	} {
		var b bytes.Buffer
		if err := c.write(&b, c.cfg); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", c.file)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.file, b.String(), want)
		}
		if strings.Contains(b.String(), "s3cret") {
			t.Errorf("%s shows the password", c.file)
		}
	}
}

// An agent without routers gives an empty list, not null.
func TestDumpOfNothing(t *testing.T) {
	var b bytes.Buffer
	if err := DumpJSON(&b, &failover.Config{}, &failover.Snapshot{}); err != nil || b.String() != "[]\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	var v map[string]any
	b.Reset()
	cfg := &failover.Config{Dump: failover.DumpFiles{JSONVersion: 2}}
	if err := DumpJSON(&b, cfg, &failover.Snapshot{}); err != nil || json.Unmarshal(b.Bytes(), &v) != nil || v["vrrp"] == nil || v["track_process"] == nil {
		t.Errorf("%q, %v", b.String(), err)
	}
}
