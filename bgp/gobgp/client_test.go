package gobgp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// The server's own export policy holds when our own check is passed by: what another client of the same server adds
// does not leave. And what it takes away comes back.
func TestBGP_POL_04_ServerPolicyHoldsByItself(t *testing.T) {
	t.Parallel()
	u, from := getUpstream(t), netip.MustParseAddr("127.0.0.30")
	service := serviceOf(from)
	socket := serve(t)
	c := run(t, speakerAt(u, from), "unix://"+socket, gobgp.Options{})
	c.announce(bgp.Route{Prefix: service})
	c.until("a session", established)
	u.has(t, service, from, true)

	other := connect(t, socket)
	for _, p := range foreign {
		add(t, other, p.Addr().String(), uint32(p.Bits()))
	}
	if _, err := other.DeletePath(context.Background(), &api.DeletePathRequest{Family: v4}); err != nil {
		t.Fatal(err)
	}
	u.has(t, service, from, false)
	u.has(t, service, from, true) // the reconciliation
	u.mu.Lock()
	defer u.mu.Unlock()
	for p, b := range u.best {
		if p != service && b.Neighbor == from {
			t.Errorf("%v left the speaker", p)
		}
	}
}

// Only the connection to the server is lost: the sessions stay up, and the state is the wanted one again afterwards.
func TestConnectionLostServerAlive(t *testing.T) {
	t.Parallel()
	u, from := getUpstream(t), netip.MustParseAddr("127.0.0.31")
	service := serviceOf(from)
	p := newProxy(t, serve(t))
	c := run(t, speakerAt(u, from), "unix://"+p.socket, gobgp.Options{})
	c.announce(bgp.Route{Prefix: service})
	c.until("a session", established)
	u.has(t, service, from, true)
	before := u.sessions(from)

	p.cut()
	r := c.until("the loss", func(r bgp.Report) bool { return !r.Connected })
	if r.Err == "" || len(r.Announced) != 0 || r.Neighbors[0].State != bgp.Unknown {
		t.Errorf("report %+v", r)
	}
	med := uint32(7)
	c.announce(bgp.Route{Prefix: service, Attributes: bgp.Attributes{MED: &med}})
	p.mend()
	c.until("the new state", func(r bgp.Report) bool { return r.Connected && r.Generation == c.n && r.Established() })
	if b := u.has(t, service, from, true); b.MED == nil || *b.MED != 7 {
		t.Errorf("upstream has %+v", b)
	}
	if after := u.sessions(from); after != before {
		t.Errorf("the session came up %d times, had %d", after, before)
	}
}

// Alive is asked: false withdraws, true brings everything back.
func TestAlive(t *testing.T) {
	t.Parallel()
	u, from := getUpstream(t), netip.MustParseAddr("127.0.0.32")
	service := serviceOf(from)
	var mu sync.Mutex
	alive := true
	c := run(t, speakerAt(u, from), "unix://"+serve(t), gobgp.Options{
		Silent: "nobody there",
		Alive: func() bool {
			mu.Lock()
			defer mu.Unlock()
			return alive
		},
	})
	c.announce(bgp.Route{Prefix: service})
	c.until("a session", established)
	u.has(t, service, from, true)
	set := func(v bool) {
		mu.Lock()
		alive = v
		mu.Unlock()
		c.Wake()
	}
	set(false)
	u.has(t, service, from, false)
	c.until("the reason", func(r bgp.Report) bool { return r.Err == "nobody there" && len(r.Announced) == 0 })
	set(true)
	u.has(t, service, from, true)
	c.until("no complaint", func(r bgp.Report) bool { return r.Err == "" && len(r.Announced) == 1 })
}

// Servers that we cannot work with are named as such.
func TestUnusableServers(t *testing.T) {
	t.Parallel()
	u := getUpstream(t)
	cfg := speakerAt(u, netip.MustParseAddr("127.0.0.34"))

	taken := serve(t)
	global := &api.Global{Asn: 65000, RouterId: "192.0.2.1", ListenPort: -1}
	if _, err := connect(t, taken).StartBgp(context.Background(), &api.StartBgpRequest{Global: global}); err != nil {
		t.Fatal(err)
	}
	strange := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", strange)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)

	for _, row := range []struct{ name, socket, want string }{
		{"another AS", taken, "runs as AS 65000, the configuration says 64501"},
		{"another API", strange, "another version of gobgp's API"},
		{"nobody", filepath.Join(shortDir(t), "nobody"), "reach BGP speaker"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := run(t, cfg, "unix://"+row.socket, gobgp.Options{})
			c.until(row.want, func(r bgp.Report) bool { return !r.Connected && strings.Contains(r.Err, row.want) })
		})
	}
}

// A target that is not a Unix socket can be spoken to over TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})))
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	known := x509.NewCertPool()
	known.AddCert(cert)
	cfg := speakerAt(getUpstream(t), netip.MustParseAddr("127.0.0.36"))
	for _, row := range []struct {
		name, want string
		tls        *tls.Config
	}{
		// Behind TLS there is a server that does not know gobgp's API: we got through.
		{"known certificate", "another version of gobgp's API", &tls.Config{RootCAs: known}},
		{"unknown certificate", "certificate signed by unknown authority", &tls.Config{RootCAs: x509.NewCertPool()}},
	} {
		c := run(t, cfg, l.Addr().String(), gobgp.Options{TLS: row.tls})
		c.until(row.name, func(r bgp.Report) bool { return strings.Contains(r.Err, row.want) })
	}
}

// A speaker that listens on a port that is taken says so, and works as soon as the port is free.
func TestListenPortTaken(t *testing.T) {
	t.Parallel()
	u, from := getUpstream(t), netip.MustParseAddr("127.0.0.35")
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := speakerAt(u, from)
	cfg.ListenPort = uint16(l.Addr().(*net.TCPAddr).Port)
	c := run(t, cfg, "unix://"+serve(t), gobgp.Options{})
	c.until("the reason", func(r bgp.Report) bool { return strings.Contains(r.Err, "address already in use") })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c.until("a session", established)
}

// waitStarted waits until gobgpd has read its configuration.
func waitStarted(t *testing.T, c api.GobgpApiClient) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		r, err := c.GetBgp(context.Background(), &api.GetBgpRequest{})
		if err == nil && r.GetGlobal().GetAsn() != 0 {
			return
		}
		if time.Since(start) > soon {
			t.Fatalf("gobgpd did not start: %v", err)
		}
	}
}
