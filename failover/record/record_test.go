package record_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/failover/record"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// recorded returns a recording of a script of package failover.
func recorded(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile("../testdata/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	tp := newTape()
	if _, err := failovertest.ScriptTraced(string(text), tp); err != nil {
		tb.Fatal(err)
	}
	return tp.all[0].Bytes()
}

// replay replays a recording and returns the replay and how it ended.
func replay(tb testing.TB, text []byte, other *failover.Config) (*record.Replay, error) {
	tb.Helper()
	r, err := record.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	p, err := record.NewReplay(r, other)
	if err != nil {
		return nil, err
	}
	return p, p.All(func() {})
}

// What is no recording, has another format, or is torn is said to be so, and what is whole is replayed.
func TestReaderErrors(t *testing.T) {
	whole := recorded(t, "reload.txt")
	lines := bytes.SplitAfter(whole, []byte("\n"))
	for _, tt := range []struct {
		name string
		text []byte
		want string // of the error; empty: none
	}{
		{"whole", whole, ""},
		{"empty", nil, "is not a recording of failoverd"},
		{"another file", []byte("global_defs {\n}\n"), "is not a recording of failoverd"},
		{"an event log", []byte(`{"time":"2026-01-01T00:00:00Z","kind":"transition"}` + "\n"), "is not a recording of failoverd"},
		{"another format", record.Frame(nil, []byte(`{"failoverd_recording":99}`)), "is a recording of format 99; this program reads format 1"},
		{"torn in the first line", whole[:40], "line 1: is not complete"},
		{"torn in the last line", whole[:len(whole)-7], fmt.Sprintf("line %d: is not complete", len(lines)-1)},
		{"an octet changed", bytes.Replace(bytes.Clone(whole), []byte(`"flush"`), []byte(`"flash"`), 1), "line 2: has another checksum than its octets"},
		{"zeros behind", append(bytes.Clone(whole), make([]byte, 100)...), fmt.Sprintf("line %d: is not complete", len(lines))},
		{"a line of something else", append(bytes.Clone(whole), "oops\n"...), fmt.Sprintf("line %d: has no checksum", len(lines))},
		{"an unknown call", append(bytes.Clone(lines[0]), record.Frame(nil, []byte(`{"at":1,"ops":[{"call":"dance"}]}`))...), `line 2: unknown call "dance"`},
		{"an unknown input", append(bytes.Clone(lines[0]), record.Frame(nil, []byte(`{"at":1,"ops":[{"input":"dance"}]}`))...), `line 2: unknown kind of input "dance"`},
		{"a configuration that is missing", append(bytes.Clone(lines[0]), record.Frame(nil, []byte(`{"at":1,"ops":[{"input":"reconfigured","with":{"Number":3}}]}`))...), "line 2: configuration 3 is missing"},
		{"time goes back", append(bytes.Clone(lines[0]), record.Frame(nil, []byte(`{"at":5,"ops":[{"call":"flush"},{"after":-1,"call":"flush"}]}`))...), "line 2: time goes back by 1ns"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := replay(t, tt.text, nil)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			if p != nil && p.Difference != nil {
				t.Errorf("differs: %+v", p.Difference)
			}
		})
	}
}

// Whatever line a recording is torn in, everything before it is replayed the same.
func TestTornAnywhere(t *testing.T) {
	whole := recorded(t, "takeover.txt")
	all, err := replay(t, whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for cut := bytes.IndexByte(whole, '\n') + 1; cut < len(whole); cut += 97 {
		p, err := replay(t, whole[:cut], nil)
		var torn *record.TornError
		if whole[cut-1] != '\n' && !errors.As(err, &torn) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if p.Difference != nil || p.Inputs < last || p.Inputs > all.Inputs {
			t.Fatalf("cut at %d: %d inputs after %d of %d, difference %v", cut, p.Inputs, last, all.Inputs, p.Difference)
		}
		last = p.Inputs
	}
	if last == 0 {
		t.Error("nothing was replayed")
	}
}

// A decision that is not the recorded one is found where it is made, and both are told.
func TestDifference(t *testing.T) {
	whole := recorded(t, "takeover.txt")
	lines := bytes.SplitAfter(whole, []byte("\n"))
	at := 0
	for i, l := range lines {
		if bytes.Contains(l, []byte("notify INSTANCE")) && bytes.Contains(l, []byte("MASTER")) {
			at = i
			break
		}
	}
	if at == 0 {
		t.Fatal("nobody becomes master")
	}
	text := lines[at][9 : len(lines[at])-1]
	i := bytes.Index(text, []byte(`"digest":"`)) + len(`"digest":"`)
	text[i] = '0' + (text[i]-'0'+1)%10
	lines[at] = record.Frame(nil, text)
	p, err := replay(t, bytes.Join(lines, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	d := p.Difference
	if d == nil || d.Line != at+1 {
		t.Fatalf("difference %+v, want one in line %d", d, at+1)
	}
	if len(d.Recorded.Lines()) == 0 || len(d.Replayed.Lines()) < len(d.Recorded.Words) {
		t.Errorf("recorded %q, replayed %q", d.Recorded.Lines(), d.Replayed.Lines())
	}
}

// secretConfig has one of each thing that is, or may be, a secret. Each begins with "s3cr3t".
const secretConfig = `
global_defs {
  startup_script "/bin/true s3cr3t-startup"
  enable_script_security
}
vrrp_script s { script "/bin/true s3cr3t-script" }
health_check h { http http://192.0.2.1/x?token=s3cr3t-query { header Authorization s3cr3t-header } }
bgp_speaker b {
  local_as 65000
  router_id 192.0.2.1
  allow_prefix { 198.51.100.0/24 }
  neighbor 192.0.2.9 { remote_as 65001 password s3cr3t-bgp }
}
vrrp_instance A {
  interface eth0
  virtual_router_id 1
  version 2
  authentication { auth_type PASS auth_pass s3cr3tpw }
  virtual_ipaddress { 198.51.100.1/24 }
  notify_master "/bin/true s3cr3t-notify"
  track_script { s }
  track_check { h }
}
vrrp_instance B {
  interface eth0
  virtual_router_id 2
  auth_hmac { key 1 s3cr3t-key-of-thirty-two-octets-or-more }
  virtual_ipaddress { 198.51.100.2/24 }
}
`

type source string

func (s source) Read(string) ([]byte, error)   { return []byte(s), nil }
func (s source) Glob(string) ([]string, error) { return nil, nil }

func parse(tb testing.TB, text string) *failover.Config {
	tb.Helper()
	cfg, diags := conf.Parse("/a.conf", source(text), conf.Env{HostName: "a", Random: func(uint64) uint64 { return 0 }}, conf.Options{Lenient: true})
	if cfg == nil {
		tb.Fatal(diags)
	}
	return cfg
}

// feed makes a core live through a start and some packets: signed ones and those with a password, right and wrong.
func feed(tb testing.TB, c *record.Core, cfg *failover.Config) (accepted, refused int) {
	tb.Helper()
	const second = vrrp.Instant(time.Second)
	var fx failover.Effects
	wall := int64(1_700_000_000_000_000_000)
	flush := func(now vrrp.Instant) {
		c.SetWallClock(wall + int64(now))
		if c.Deadline() <= now {
			c.Expire(now, &fx)
		}
		c.Flush(now, &fx)
		fx.Reset()
	}
	iface := failover.Interface{Name: "eth0", Index: 2, Up: true, MTU: 1500}
	iface.Addresses = append(iface.Addresses, netip.MustParsePrefix("192.0.2.1/24"))
	link := failover.LinkID{Interface: "eth0", Family: wire.IPv4}
	c.Step(0, failover.InterfaceChanged{Interface: iface}, &fx)
	c.Step(0, failover.LinkChanged{Link: link, Open: true}, &fx)
	c.Step(0, failover.AddressesReported{}, &fx)
	for _, tr := range []failover.Tracker{{Kind: failover.TrackScript, Name: "s"}, {Kind: failover.TrackCheck, Name: "h"}} {
		c.Step(0, failover.TrackerReported{Report: failover.TrackerReport{Tracker: tr, OK: true}}, &fx)
	}
	flush(0)
	other := netip.MustParsePrefix("192.0.2.7/24").Addr()
	peers := make([]*vrrp.Router, len(cfg.Routers))
	for i := range cfg.Routers {
		v := cfg.Routers[i].VRRP
		r, err := vrrp.New(v)
		if err != nil {
			tb.Fatal(err)
		}
		r.SetSource(other)
		peers[i] = r
	}
	for n := vrrp.Instant(1); n < 40; n++ {
		now := n * second / 2
		for _, r := range peers {
			var a wire.Advertisement
			r.Advertisement(&a, 150)
			r.SetWallClock(wall + int64(now))
			b, err := a.AppendSigned(nil, other, wire.IPv4.Group(), wire.ChecksumMessage, r.Sign(&a))
			if err != nil {
				tb.Fatal(err)
			}
			var p wire.Packet
			if why := wire.Parse(b, wire.Header{Src: other, Dst: wire.IPv4.Group(), TTL: 255}, &p); why != wire.Accepted {
				tb.Fatal(why)
			}
			if n%3 == 0 { // somebody else's, or a changed one
				p.AuthData[0] ^= 1
				p.Trailer.MAC[3] ^= 1
			}
			if n > 30 {
				continue // and then it is silent
			}
			c.SetWallClock(wall + int64(now))
			if c.Receive(now, link, &p, &fx) == wire.Accepted {
				accepted++
			} else {
				refused++
			}
		}
		flush(now)
	}
	return accepted, refused
}

// No secret is in a recording, and what was decided by them is decided again without.
func TestSecrets(t *testing.T) {
	cfg := parse(t, secretConfig)
	tp := newTape()
	c, err := record.New(cfg, 0, tp.Record())
	if err != nil {
		t.Fatal(err)
	}
	accepted, refused := feed(t, c, cfg)
	if accepted < 30 || refused < 15 {
		t.Fatalf("%d accepted, %d refused", accepted, refused)
	}
	text := tp.all[0].String()
	for _, s := range []string{"s3cr3t", "czNjcjN0", fmt.Sprintf("%x", "s3cr3tpw")} {
		if i := strings.Index(text, s); i >= 0 {
			t.Errorf("%q is in the recording: %s", s, text[max(0, i-100):i+40])
		}
	}
	tp.replay(t, "secrets")
}

// A configuration comes out of a recording as it went in, but for secrets: every word of the language is in it.
func TestConfigurations(t *testing.T) {
	text, err := os.ReadFile("../../conf/testdata/everything.conf")
	if err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, string(text))
	tp := newTape()
	if _, err := record.New(cfg, 0, tp.Record()); err != nil {
		t.Fatal(err)
	}
	r, err := record.NewReader(bytes.NewReader(tp.all[0].Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*failover.Config{cfg, r.Config} {
		record.ForEachSecret(c, func(string) string { return "xxxxxxxx" })
		c.Checks[1].Probe.Target = "" // its query was one
	}
	if d := cmp.Diff(cfg, r.Config, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
		t.Error(d)
	}
}

// A batch in which the core panics is in the recording as far as it came, the call that panicked last.
func TestAbandon(t *testing.T) {
	tp := newTape()
	c, err := record.New(parse(t, secretConfig), 0, tp.Record())
	if err != nil {
		t.Fatal(err)
	}
	var fx failover.Effects
	c.Step(1, failover.Stop{Reason: "a reason"}, &fx)
	func() {
		defer func() { _ = recover() }()
		c.Snapshot(2, func(vrrp.Instant) time.Time { panic("here") })
	}()
	c.Abandon()
	c.Abandon()
	if c.Recording() {
		t.Error("it goes on")
	}
	c.Step(3, failover.Stop{Reason: "not recorded"}, &fx)
	text := tp.all[0].String()
	if !strings.HasSuffix(text, `,{"after":1,"call":"snapshot"}]}`+"\n") || strings.Contains(text, "not recorded") {
		t.Errorf("ends with %s", text[max(0, len(text)-200):])
	}
	p, err := replay(t, []byte(text), nil)
	if err != nil || p.Calls != 2 || p.Inputs != 1 || p.Difference != nil {
		t.Errorf("%d calls, %d inputs, %v, %v", p.Calls, p.Inputs, p.Difference, err)
	}
}

var update = flag.Bool("update", false, "write the golden files")

// The format is what it was: a recording of a short course, whole.
func TestGolden(t *testing.T) {
	got := recorded(t, "lo.txt")
	const file = "testdata/lo.recording"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", file, diff)
	}
}
