package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/daemon"
	"failoverd/failover/record"
	"failoverd/vrrp/wire"
)

const replayConf = `vrrp_instance V {
 interface eth0
 virtual_router_id 7
 priority 200
 advert_int 1
 version 3
 virtual_ipaddress { 198.51.100.7/32 }
}
`

// makeRecording records an agent that takes over and stops, and returns the file with its configuration.
func makeRecording(t *testing.T, program string) (file, conf string) {
	t.Helper()
	dir := t.TempDir()
	file, conf = filepath.Join(dir, "recording"), filepath.Join(dir, "a.conf")
	writeFile(t, conf, replayConf)
	cfg, diags, err := daemon.Load(daemon.LoadOptions{File: conf})
	if cfg == nil {
		t.Fatal(diags, err)
	}
	var b []byte
	put := func(e record.Entry) bool {
		if b, err = e.Append(b); err != nil {
			t.Fatal(err)
		}
		return true
	}
	c, err := record.New(cfg, 0, &record.Start{
		Header: record.Header{Program: program, Host: "a", File: conf, Wall: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC).UnixNano()},
		Random: func([]byte) {}, Sink: put,
	})
	if err != nil {
		t.Fatal(err)
	}
	var fx failover.Effects
	flush := func() {
		if d := fx.Addresses; d != nil {
			rep := failover.AddressReport{Generation: d.Generation}
			for _, a := range d.Addresses {
				rep.Present = append(rep.Present, a.Key())
			}
			fx.Reset()
			c.Step(c.Deadline().Add(-1), failover.AddressesReported{Report: rep}, &fx)
		}
		fx.Reset()
	}
	c.Step(0, failover.InterfaceChanged{Interface: failover.Interface{Name: "eth0", Index: 2, Up: true, MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}}, &fx)
	c.Step(0, failover.LinkChanged{Link: failover.LinkID{Interface: "eth0", Family: wire.IPv4}, Open: true}, &fx)
	c.Step(0, failover.AddressesReported{}, &fx)
	c.Flush(0, &fx)
	flush()
	for range 10 {
		now := c.Deadline()
		c.Expire(now, &fx)
		c.Flush(now, &fx)
		flush()
	}
	put(record.End("the agent has ended"))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, conf
}

func TestReplayCommand(t *testing.T) {
	file, conf := makeRecording(t, buildVersion())
	lower := filepath.Join(t.TempDir(), "lower.conf")
	writeFile(t, lower, strings.Replace(replayConf, "advert_int 1", "advert_int 10", 1))
	broken := filepath.Join(t.TempDir(), "broken.conf")
	writeFile(t, broken, "vrrp_instance V {\n")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(t.TempDir(), "torn")
	writeFile(t, torn, string(text[:len(text)-100]))
	older, _ := makeRecording(t, "v0.0.1")
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		wants  []string // on both outputs
		absent string
	}{
		{"the same", []string{file}, 0, []string{"V  BACKUP -> MASTER", "all the same", "the recording ends because the agent has ended"}, "differs"},
		{"from", []string{file, "--from", "1h"}, 0, []string{"all the same"}, "MASTER"},
		{"to", []string{file, "--to", "2026-05-04T12:00:01Z"}, 0, []string{"all the same"}, "MASTER"},
		{"a time that is none", []string{file, "--to", "noon"}, exitUsage, []string{`--to "noon": want a time like`}, ""},
		{"json", []string{file, "--json"}, 0, []string{`"kind":"transition"`, `"compared":true`}, "difference"},
		{"another configuration", []string{file, "--follow-config", lower}, 0, []string{"what would have happened with " + lower}, "all the same"},
		{"a broken configuration", []string{file, "--follow-config", broken}, exitCheck, []string{"so that nothing can be said about it"}, ""},
		{"another version", []string{older}, 0, []string{"recorded by v0.0.1, replayed by", "all the same"}, ""},
		{"torn", []string{torn}, 0, []string{"is not complete; everything before is replayed", "all the same"}, ""},
		{"no file", []string{file + "x"}, exitFatal, []string{"no such file"}, ""},
		{"no recording", []string{conf}, exitFatal, []string{"is not a recording of failoverd"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := cli(t, nil, append([]string{"replay"}, tt.args...)...)
			out := stdout + stderr
			ok := code == tt.code && (tt.absent == "" || !strings.Contains(out, tt.absent))
			for _, w := range tt.wants {
				ok = ok && strings.Contains(out, w)
			}
			if !ok {
				t.Errorf("exit status %d, want %d\n%s", code, tt.code, out)
			}
		})
	}
}

// A recording whose decisions are not those of the program: both are shown.
func TestReplayDifference(t *testing.T) {
	file, _ := makeRecording(t, buildVersion())
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	object := bytes.Replace(first[9:], []byte(`"Priority":200`), []byte(`"Priority":50`), 1)
	if bytes.Equal(object, first[9:]) {
		t.Fatal("the priority is not in the first line")
	}
	writeFile(t, file, fmt.Sprintf("%08x %s\n%s", crc32.Checksum(object, crc32.MakeTable(crc32.Castagnoli)), object, rest))
	code, stdout, _ := cli(t, nil, "replay", file)
	if code != exitDiffers || !strings.Contains(stdout, "the first one that differs is in line") || !strings.Contains(stdout, "recorded:\n") {
		t.Errorf("exit status %d\n%s", code, stdout)
	}
}
