package gobgp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"failoverd/bgp"
)

// errUnconfigured is the state of a gobgpd that has not read its configuration yet, or has none.
var errUnconfigured = errors.New("has no BGP configuration: without a neighbor in this bgp_speaker it has to come from gobgpd's operator")

// external prepares a Client for a gobgpd that is not ours to start and to end.
func (o *Options) external(e *bgp.External) (target string, err error) {
	if e.TLS != nil {
		if o.TLS, err = tlsConfig(e.TLS); err != nil {
			return "", err
		}
	}
	// Only a connection that this host refuses says that it is dead; one that does not answer may have its sessions up.
	o.Watched = true
	return e.Target, nil
}

// tlsConfig is what a configuration says about TLS.
func tlsConfig(t *bgp.TLS) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("tls ca: no certificate in it")
		}
	}
	if t.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key))
		if err != nil {
			return nil, fmt.Errorf("tls cert and key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// connection are the options of a connection with a server. gRPC's own pauses grow to two minutes, in which an agent would
// not notice that gobgpd is back.
func (c *Client) connection() []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: c.opts.Timeout,
		}),
		// A server that answers is asked every second, so that this only finds one that does not.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}),
	}
	if e := c.cfg.External; e != nil {
		opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return c.dial(ctx, e) }))
		if e.Local() {
			opts = append(opts, grpc.WithAuthority("localhost"))
		}
	}
	return opts
}

// dial connects to a gobgpd. One of this host that nobody listens for any more is dead, and its sessions with it.
func (c *Client) dial(ctx context.Context, e *bgp.External) (net.Conn, error) {
	network, address := "tcp", e.Target
	if path, ok := strings.CutPrefix(e.Target, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil || !nobody(err, e) {
		c.dead.Store(false)
		return conn, err
	}
	c.dead.Store(e.Loopback())
	c.mu.Lock()
	held := len(c.owing.held) > 0
	c.mu.Unlock()
	switch {
	case !held:
	case e.Loopback():
		c.Gone()
	default: // a packet filter refuses in the same way, in front of a gobgpd that has its sessions up
		err = fmt.Errorf("%w: gobgpd may still announce, since another host's refusal need not be its own", err)
	}
	return conn, err
}

// dialTarget is the name of a target for gRPC, which is not to look anything up.
func (c *Client) dialTarget(target string) string {
	if c.cfg.External != nil {
		return "passthrough:///" + target
	}
	return target
}

// claim decides whose server this is that runs as an AS already, or that nobody has started (as 0). It returns done if
// there is nothing to configure.
func (s *session) claim(g *api.Global) (done bool, err error) {
	as := g.GetAsn()
	switch {
	case as == 0 && s.cfg.OperatorOwned():
		return false, fmt.Errorf("gobgpd at %s %w", s.target, errUnconfigured)
	case as == 0:
		return false, nil
	case as != s.cfg.LocalAS:
		return false, fmt.Errorf("gobgp at %s runs as AS %d, the configuration says %d", s.target, as, s.cfg.LocalAS)
	}
	ours, err := s.configuredByUs()
	switch {
	case err != nil:
		return false, err
	case s.cfg.OperatorOwned():
		return true, s.acceptOperators(g, ours)
	case !ours:
		return false, fmt.Errorf("gobgpd at %s has a configuration of its own: start it without one, or leave the neighbors out of this bgp_speaker to use its own", s.target)
	}
	s.ours = true
	if s.configured {
		return true, nil // before this connection
	}
	// From another life: its neighbors and allow list may be those of another configuration.
	if _, err := invoke(s, s.api.StopBgp, &api.StopBgpRequest{}); err != nil {
		return false, fmt.Errorf("stop leftover configuration: %w", err)
	}
	return false, nil
}

// acceptOperators says what is wrong with an operator's gobgpd.
func (s *session) acceptOperators(g *api.Global, ours bool) error {
	id, want := g.GetRouterId(), s.cfg.RouterID
	switch {
	case ours:
		return fmt.Errorf("gobgpd at %s was configured by a failoverd with neighbors: it has to be started again with a configuration of its operator's", s.target)
	case want.IsValid() && id != want.String():
		return fmt.Errorf("gobgpd at %s has router id %s, the configuration says %s", s.target, id, want)
	default:
		return nil
	}
}

// follows makes the list of neighbors that of an operator's gobgpd. What is known of one that stays, stays.
func (s *session) follows(peers []*api.Peer, now time.Time) {
	next := make([]neighbor, 0, len(peers))
	for _, p := range peers {
		addr, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
		if err != nil {
			if addr, err = netip.ParseAddr(p.GetConf().GetNeighborAddress()); err != nil {
				continue // of an unnumbered interface that has nobody at its other end yet
			}
		}
		as := p.GetState().GetPeerAsn()
		if as == 0 {
			as = p.GetConf().GetPeerAsn()
		}
		local, _ := netip.ParseAddr(p.GetTransport().GetLocalAddress())
		n := neighbor{cfg: &bgp.Neighbor{Address: addr, RemoteAS: as, LocalAddress: local}}
		n.status = bgp.NeighborStatus{Address: addr, RemoteAS: as, Since: now}
		if old := find(s.neighbors, addr.String()); old != nil && old.cfg.Address == addr {
			cfg := n.cfg
			n = *old
			n.cfg, n.status.RemoteAS = cfg, as
		}
		next = append(next, n)
	}
	sort.Slice(next, func(i, j int) bool { return next[i].cfg.Address.Less(next[j].cfg.Address) })
	s.neighbors = slices.CompactFunc(next, func(a, b neighbor) bool { return a.cfg.Address == b.cfg.Address })
}

// explain says why a session of an external gobgpd is not up. Its API has no reason, only counters and states; the words are
// what can be concluded from them.
func (n *neighbor) explain(p *api.Peer) {
	m := p.GetState().GetMessages()
	sent, received := m.GetSent().GetNotification(), m.GetReceived().GetNotification()
	wasSent, wasReceived := n.sent, n.received
	n.sent, n.received = sent, received
	if n.status.State == bgp.Established {
		return
	}
	switch admin := p.GetState().GetAdminState(); {
	case admin == api.PeerState_PFX_CT:
		n.status.LastError = "the neighbor sent more routes than the limit: gobgpd has closed the session (CEASE 6/1)"
	case admin == api.PeerState_DOWN:
		n.status.LastError = "administratively down in gobgpd"
	case received > wasReceived:
		n.status.LastError = "the neighbor sent a NOTIFICATION; gobgpd's log has it"
	case sent > wasSent:
		n.status.LastError = "gobgpd sent a NOTIFICATION; its log says why"
	case n.status.LastError == "" && n.status.Flaps > 0:
		n.status.LastError = "the session was lost without a NOTIFICATION; gobgpd's log may say why"
	case n.status.LastError == "":
		n.status.LastError = "not established yet; gobgpd's log may say why"
	}
}
