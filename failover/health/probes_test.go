package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// patiently is the timeout of a probe that ends before, also on a busy machine.
const patiently = 5 * time.Second

// probeOnce makes one probe with a timeout of 300 ms, as a check does, and returns its result in words.
func probeOnce(t *testing.T, c failover.CheckConfig) string {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 300 * time.Millisecond
	}
	settings := &New(Options{}).settings
	h := newHealthCheck(settings, newOutbox(), checkParams(c))
	h.probe = settings.prober(&c)
	h.takeOver()
	begun := time.Now()
	o := h.begins()(t.Context())
	if took := time.Since(begun); took > 2*c.Timeout+grace {
		t.Errorf("%v: it took %v", c.Probe.String(), took)
	}
	timed := c.Probe.Kind != failover.ProbeBGPRoute && c.Probe.Kind != failover.ProbeLink // those two ask nobody
	if o.ok && timed && (o.rtt <= 0 || o.rtt > c.Timeout) {
		t.Errorf("%v: round trip %v", c.Probe.String(), o.rtt)
	}
	got := words(o.result(), o.reason(1))
	if newQuick(&c) == nil {
		return got
	}
	if quick := probeQuickly(t, c); quick != got {
		t.Errorf("%v: by the sweep: %s, want %s", c.Probe.String(), quick, got)
	}
	return got
}

// probeQuickly returns the first result of a check, in words, as a monitor tells it.
func probeQuickly(t *testing.T, c failover.CheckConfig) string {
	t.Helper()
	c.Name, c.Interval = "quick", time.Hour
	w := watch(t, checks(c), nil)
	defer w.stop()
	r, status := w.next(), []failover.CheckStatus{{Name: c.Name}}
	w.m.Describe(status)
	if took := milliseconds(c.Timeout); r.OK && c.Probe.Kind != failover.ProbeLink && (status[0].LastRTTMS <= 0 || status[0].LastRTTMS > took) {
		t.Errorf("%v: by the sweep: round trip %v ms", c.Probe.String(), status[0].LastRTTMS)
	}
	switch {
	case r.OK:
		return words(good, r.Reason)
	case r.Unknown:
		return words(blind, r.Reason)
	}
	return words(bad, r.Reason)
}

func words(r result, reason string) string {
	return [...]string{"ok", "failed", "unknown"}[r] + ": " + reason
}

func tcp(target string) failover.CheckConfig {
	return failover.CheckConfig{Probe: failover.Probe{Kind: failover.ProbeTCP, Target: target}}
}

// listen returns a port that is connected to, and accepted by nobody.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// closedPort returns one of those that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTCPProbe(t *testing.T) {
	open := listen(t)
	_, port, _ := net.SplitHostPort(open)
	with := func(source, device string) failover.CheckConfig {
		c := tcp(open)
		if source != "" {
			c.Source = netip.MustParseAddr(source)
		}
		c.Interface = device
		return c
	}
	for _, tt := range []struct {
		name string
		c    failover.CheckConfig
		want string
	}{
		{"a port that is open", tcp(open), "ok: connected"},
		{"by name", tcp("localhost:" + port), "ok: connected"},
		{"a port that is closed", tcp(closedPort(t)), "failed: connection refused"},
		{"from an address", with("127.0.0.7", ""), "ok: connected"},
		{"from an interface", with("", "lo"), "ok: connected"},
		{"from an address of nobody", with("192.0.2.77", ""), "unknown: source 192.0.2.77 is not an address of this node"},
		{"from no interface", with("", "nosuch0"), "unknown: interface nosuch0 does not exist"},
	} {
		if got := probeOnce(t, tt.c); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// What the sweep must not look for, because it could hang.
func TestQuick(t *testing.T) {
	for _, tt := range []struct {
		kind   failover.ProbeKind
		target string
		want   bool
	}{
		{failover.ProbeTCP, "127.0.0.1:80", true},
		{failover.ProbeTCP, "[::1]:80", true},
		{failover.ProbeTCP, "localhost:80", false},
		{failover.ProbeTCP, "", false},
		{failover.ProbeHTTP, "http://127.0.0.1/x", true},
		{failover.ProbeHTTP, "http://[fe80::1]:8080/", true},
		{failover.ProbeHTTP, "http://[fe80::1%251]:8080/", true},
		{failover.ProbeHTTP, "http://[fe80::1%25lo]:8080/", false},
		{failover.ProbeICMP, "fe80::1%lo", false},
		{failover.ProbeHTTP, "http://localhost/", false},
		{failover.ProbeHTTP, "https://127.0.0.1/", false},
		{failover.ProbeHTTP, "http://%zz/", false},
		{failover.ProbeICMP, "127.0.0.1", true},
		{failover.ProbeICMP, "localhost", false},
		{failover.ProbeLink, "lo", true},
		{failover.ProbeDNS, "127.0.0.1", false},
		{failover.ProbeGRPC, "127.0.0.1:80", false},
		{failover.ProbePrometheus, "http://127.0.0.1/", false},
		{failover.ProbeBGPRoute, "", false},
	} {
		c := failover.CheckConfig{Probe: failover.Probe{Kind: tt.kind, Target: tt.target}}
		if got := newQuick(&c) != nil; got != tt.want {
			t.Errorf("%s: %v, want %v", c.Probe.String(), got, tt.want)
		}
		if c.NetNamespace = "red"; newQuick(&c) != nil {
			t.Errorf("%s in a namespace", c.Probe.String())
		}
	}
}

// A run ends with its check.
func TestQuickEnds(t *testing.T) {
	for _, p := range []failover.Probe{
		{Kind: failover.ProbeHTTP, Target: "http://" + listen(t) + "/"},
		{Kind: failover.ProbeTCP, Target: "203.0.113.1:80"}, // where nothing is, or no way to it
	} {
		c := checkParams(failover.CheckConfig{Name: "web", Probe: p, Interval: time.Hour})
		m := New(Options{})
		m.Configure(checks(c))
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- m.Run(ctx, func(failover.TrackerReport) {}) }()
		time.AfterFunc(50*time.Millisecond, cancel) // it need not have begun
		if err := <-over; err != nil {
			t.Errorf("%s: %v", p.String(), err)
		}
	}
}

// A thousand probes a second must not leave connections behind that are closed and not gone.
func TestProbesEndWithReset(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const runs = 2 * 2 // by each probe in both ways
	ends := make(chan error, runs)
	go func() {
		for range runs {
			c, err := l.Accept()
			if err != nil {
				ends <- err
				return
			}
			_, err = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			for err == nil {
				_, err = c.Read(make([]byte, 1024))
			}
			ends <- err
			_ = c.Close()
		}
	}()
	for _, p := range []failover.Probe{
		{Kind: failover.ProbeTCP, Target: l.Addr().String()},
		{Kind: failover.ProbeHTTP, Target: "http://" + l.Addr().String() + "/"},
	} {
		if got := probeOnce(t, failover.CheckConfig{Probe: p, Timeout: patiently}); !strings.HasPrefix(got, "ok") {
			t.Fatalf("%s: %s", p.String(), got)
		}
		for range 2 {
			if err := <-ends; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("%s: the server hears of %v, want a reset", p.String(), err)
			}
		}
	}
}

// Who is to blame for an error that cannot be had at will.
func TestFailure(t *testing.T) {
	dial := func(number syscall.Errno) error {
		return &net.OpError{Op: "dial", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, Err: number}
	}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"refused", dial(syscall.ECONNREFUSED), "failed: connection refused"},
		{"reset", dial(syscall.ECONNRESET), "failed: connection reset by peer"},
		{"no more files", dial(syscall.EMFILE), "unknown: too many open files"},
		{"not allowed", dial(syscall.EPERM), "unknown: operation not permitted"},
		{"a router says that it has no route", dial(syscall.ENETUNREACH), "failed: network is unreachable"},
		{"a name that does not exist", &net.DNSError{Name: "a.example", Err: "no such host", IsNotFound: true}, "failed: no such host a.example"},
		{
			"no resolver", &net.DNSError{Name: "a.example", Server: "192.0.2.1:53", Err: "read udp 192.0.2.2:4711: connection refused", IsTemporary: true},
			"unknown: the resolver cannot tell: lookup a.example on 192.0.2.1:53: read udp 192.0.2.2:4711: connection refused",
		},
		{
			"a resolver that is silent", &net.DNSError{Name: "a.example", Err: "i/o timeout", IsTimeout: true},
			"unknown: the resolver does not answer: lookup a.example: i/o timeout",
		},
	} {
		o := way{}.failure(t.Context(), fmt.Errorf("wrapped: %w", tt.err))
		if got := [...]string{"ok", "failed", "unknown"}[o.result()] + ": " + o.reason(1); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRouteProbe(t *testing.T) {
	prefix := netip.MustParsePrefix("198.51.100.0/24")
	from := func(neighbor string, path ...uint32) bgp.SeenPath {
		return bgp.SeenPath{Neighbor: netip.MustParseAddr(neighbor), NeighborAS: 64500, ASPath: path}
	}
	for _, tt := range []struct {
		name   string
		paths  []bgp.SeenPath
		err    error
		origin uint32
		all    bool // of two neighbors
		want   string
	}{
		{"seen", []bgp.SeenPath{from("203.0.113.1", 64500, 64501)}, nil, 0, false, "ok: seen from 203.0.113.1, origin AS 64501"},
		{"of the origin", []bgp.SeenPath{from("203.0.113.1", 64500), from("203.0.113.2", 64500, 64501)}, nil, 64501, false, "ok: seen from 203.0.113.2, origin AS 64501"},
		{
			"of other origins",
			[]bgp.SeenPath{from("203.0.113.1", 64500), from("203.0.113.2", 64500, 64502)},
			nil, 64501, false,
			"failed: not seen with that origin: origin AS 64500 64502",
		},
		{"not seen", nil, nil, 64501, false, "failed: not seen"},
		{"no session", nil, bgp.ErrNoSession, 0, false, "unknown: speaker EDGE: no established session"},
		{"from one of two, any will do", []bgp.SeenPath{from("203.0.113.2", 64500, 64501)}, nil, 0, false, "ok: seen from 203.0.113.2, origin AS 64501"},
		{"from one of two, all wanted", []bgp.SeenPath{from("203.0.113.2", 64500, 64501)}, nil, 0, true, "failed: not seen from 203.0.113.1"},
		{"from both", []bgp.SeenPath{from("203.0.113.2", 64500, 64501), from("203.0.113.1", 64500, 64501)}, nil, 0, true, "ok: seen from all 2 neighbors with a session"},
		{
			"from both, one of another origin",
			[]bgp.SeenPath{from("203.0.113.1", 64500, 64501), from("203.0.113.2", 64500, 64502)},
			nil, 64501, true,
			"failed: not seen from 203.0.113.2",
		},
		{"from none, all wanted", nil, nil, 0, true, "failed: not seen"},
		{"no session, all wanted", nil, bgp.ErrNoSession, 0, true, "unknown: speaker EDGE: no established session"},
	} {
		probe := routeProber(&failover.Probe{Kind: failover.ProbeBGPRoute, Prefix: prefix, Speaker: "EDGE", OriginAS: tt.origin, AllNeighbors: tt.all},
			func(_ context.Context, speaker string, p netip.Prefix) (bgp.Sighting, error) {
				if speaker != "EDGE" || p != prefix {
					return bgp.Sighting{}, errors.New("asked for something else")
				}
				return bgp.Sighting{Neighbors: []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")}, Paths: tt.paths}, tt.err
			})
		o := probe(t.Context())
		if got := [...]string{"ok", "failed", "unknown"}[o.result()] + ": " + o.reason(1); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	c := failover.CheckConfig{Probe: failover.Probe{Kind: failover.ProbeBGPRoute, Prefix: prefix, Speaker: "EDGE"}}
	if got := probeOnce(t, c); !strings.HasPrefix(got, "unknown: ") {
		t.Errorf("nobody to ask: %s", got)
	}
}
