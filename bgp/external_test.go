package bgp_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
)

func TestParseTarget(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"127.0.0.1:50051", "127.0.0.1:50051"},
		{"[2001:db8::1]:50051", "[2001:db8::1]:50051"},
		{"unix:/run/g.sock", "unix:/run/g.sock"},
		{"unix:///run/g.sock", "unix:/run/g.sock"},
		{"unix:" + "/" + strings.Repeat("x", 106), "unix:" + "/" + strings.Repeat("x", 106)},
		{"unix:" + "/" + strings.Repeat("x", 107), ""},
		{"unix:run/g.sock", ""},
		{"unix:", ""},
		{"unix:/a\x00b", ""},
		{"127.0.0.1", ""},
		{"127.0.0.1:0", ""},
		{"0.0.0.0:50051", ""},
		{"[::ffff:127.0.0.1]:50051", ""},
		{"224.0.0.1:50051", ""},
		{"localhost:50051", ""},
		{"dns:///x:1", ""},
		{"", ""},
	} {
		got, err := bgp.ParseTarget(row.in)
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%q: %q, %v, want %q", row.in, got, err, row.want)
		}
	}
}

// FuzzParseTarget: what is accepted is accepted again, as it is, and a socket's path fits into the address of one.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"unix:/a", "unix:////a", "unix://a", "1.2.3.4:5", "[::1]:6", "[fe80::1%e]:7", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := bgp.ParseTarget(s)
		if err != nil {
			return
		}
		if again, err := bgp.ParseTarget(got); err != nil || again != got {
			t.Errorf("%q becomes %q becomes %q, %v", s, got, again, err)
		}
		if path, ok := strings.CutPrefix(got, "unix:"); ok && len(path) > bgp.MaxSocketPath {
			t.Errorf("%q is too long for a socket", path)
		}
	})
}

func TestExternalCheck(t *testing.T) {
	base := bgp.SpeakerConfig{
		Name: "S", LocalAS: 64512, Allow: bgp.AllowList{netip.MustParsePrefix("198.51.100.0/24")},
		External: &bgp.External{Target: "unix:/run/g.sock"},
	}
	if !base.OperatorOwned() || base.LongestHold() != 90*time.Second || base.Backend() != "gobgpd unix:/run/g.sock" {
		t.Errorf("owned %v, hold %v, backend %s", base.OperatorOwned(), base.LongestHold(), base.Backend())
	}
	for _, row := range []struct {
		name, want string
		change     func(*bgp.SpeakerConfig)
	}{
		{"its operator's", "", func(*bgp.SpeakerConfig) {}},
		{"with a router id", "", func(c *bgp.SpeakerConfig) { c.RouterID = netip.MustParseAddr("192.0.2.1") }},
		{"with a bad router id", "router_id", func(c *bgp.SpeakerConfig) { c.RouterID = netip.MustParseAddr("::1") }},
		{"with a port", "listen_port 179", func(c *bgp.SpeakerConfig) { c.ListenPort = 179 }},
		{"ours without a router id", "router_id", func(c *bgp.SpeakerConfig) {
			c.Neighbors = []bgp.Neighbor{{
				Address: netip.MustParseAddr("192.0.2.2"), RemoteAS: 64500, HoldTime: 9 * time.Second, Keepalive: 3 * time.Second, ConnectRetry: time.Second,
			}}
		}},
		{"TLS through a socket", "tls is for ADDRESS:PORT", func(c *bgp.SpeakerConfig) { c.External = &bgp.External{Target: "unix:/x", TLS: &bgp.TLS{}} }},
		{"half a pair", "cert and key", func(c *bgp.SpeakerConfig) {
			c.External = &bgp.External{Target: "192.0.2.1:1", TLS: &bgp.TLS{Certificate: "x"}}
		}},
		{"nowhere", "want ADDRESS:PORT", func(c *bgp.SpeakerConfig) { c.External = &bgp.External{Target: "x"} }},
	} {
		c := base
		row.change(&c)
		err := c.Check()
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
	}
}

func TestExternalEqual(t *testing.T) {
	a := func() *bgp.External { return &bgp.External{Target: "192.0.2.1:1", TLS: &bgp.TLS{CA: "x"}} }
	other, plain := a(), &bgp.External{Target: "192.0.2.1:1"}
	other.TLS.CA = "y"
	for _, row := range []struct {
		a, b *bgp.External
		want bool
	}{{nil, nil, true}, {a(), a(), true}, {a(), nil, false}, {nil, a(), false}, {a(), other, false}, {a(), plain, false}, {plain, plain, true}} {
		if got := row.a.Equal(row.b); got != row.want {
			t.Errorf("%+v and %+v: %v", row.a, row.b, got)
		}
	}
}
