package gobgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	api "github.com/osrg/gobgp/v3/api"

	"failoverd/bgp"
)

// Server is the part of an embedded gobgp server that this room uses; *server.BgpServer has it. Its calls take a
// context and ignore it, except for lists and watches.
type Server interface {
	StartBgp(context.Context, *api.StartBgpRequest) error
	StopBgp(context.Context, *api.StopBgpRequest) error
	AddPeer(context.Context, *api.AddPeerRequest) error
	DeletePeer(context.Context, *api.DeletePeerRequest) error
	ListPeer(context.Context, *api.ListPeerRequest, func(*api.Peer)) error
	DeletePath(context.Context, *api.DeletePathRequest) error
	SetPolicyAssignment(context.Context, *api.SetPolicyAssignmentRequest) error
	WatchEvent(context.Context, *api.WatchEventRequest, func(*api.WatchEventResponse)) error
}

// WithdrawAll removes every route that s originates; a server that was not started has none. It may block for as long
// as the server is busy.
func WithdrawAll(s Server) error {
	err := s.DeletePath(context.Background(), &api.DeletePathRequest{TableType: api.TableType_GLOBAL})
	if err != nil && strings.Contains(err.Error(), "hasn't started") { // gobgp has no better name for it
		return nil
	}
	return err
}

// StopServer ends every session of s with CEASE (RFC 4486). It may block for as long as the server is busy.
func StopServer(s Server) error { return s.StopBgp(context.Background(), &api.StopBgpRequest{}) }

// DropPeer takes a neighbor out of s, with all that it has sent and s has not worked through yet. It may block for as long as
// the server is busy.
func DropPeer(s Server, peer netip.Addr) error {
	return s.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: peer.String()})
}

// HoldTimes returns the negotiated hold time of every neighbor of s with an established session, by address without a
// zone. It may block for as long as the server is busy.
func HoldTimes(s Server) (map[netip.Addr]time.Duration, error) {
	holds := map[netip.Addr]time.Duration{}
	err := s.ListPeer(context.Background(), &api.ListPeerRequest{}, func(p *api.Peer) {
		addr, err := netip.ParseAddr(p.GetState().GetNeighborAddress())
		if err == nil && p.GetState().GetSessionState() == api.PeerState_ESTABLISHED {
			holds[addr.WithZone("")] = time.Duration(p.GetTimers().GetState().GetNegotiatedHoldTime()) * time.Second
		}
	})
	return holds, err
}

// RouterConfig is a router that accepts routes: the upstream of the demo and of the labs.
type RouterConfig struct {
	LocalAS    uint32     // never 0
	RouterID   netip.Addr // IPv4
	ListenPort uint16     // 0: never listen
	// ListenAddresses are the local addresses to listen on; none: all.
	ListenAddresses []netip.Addr
	Neighbors       []RouterNeighbor
}

// RouterNeighbor is a neighbor of a router.
type RouterNeighbor struct {
	bgp.Neighbor
	Passive bool // wait for its connection instead of opening one
}

// Check reports everything that is wrong with the configuration, joined.
func (c *RouterConfig) Check() error {
	var errs []error
	if c.LocalAS == 0 || !c.RouterID.Is4() {
		errs = append(errs, fmt.Errorf("router AS %d, id %v: want an AS and an IPv4 address", c.LocalAS, c.RouterID))
	}
	for i := range c.Neighbors {
		n := &c.Neighbors[i]
		if err := n.Check(c.LocalAS); err != nil {
			errs = append(errs, fmt.Errorf("neighbor %v: %w", n.Address, err))
		}
		if n.Passive && c.ListenPort == 0 {
			errs = append(errs, fmt.Errorf("neighbor %v is passive, and the router does not listen", n.Address))
		}
	}
	return errors.Join(errs...)
}

// Router runs a RouterConfig on an embedded server. It accepts every route, announces none, and says which path is best.
type Router struct {
	cfg    RouterConfig // constant
	server Server
	log    *slog.Logger

	mu    sync.Mutex
	blame map[netip.Addr]string

	neighbors []neighbor // owned by Run
}

// NewRouter checks cfg and returns a Router on s, which nobody else may have started. Nothing happens before Run.
func NewRouter(s Server, cfg RouterConfig, log *slog.Logger) (*Router, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	r := &Router{cfg: cfg, server: s, log: log, blame: map[netip.Addr]string{}}
	now := time.Now()
	for i := range cfg.Neighbors {
		c := &cfg.Neighbors[i].Neighbor
		r.neighbors = append(r.neighbors, neighbor{
			cfg: c, status: bgp.NeighborStatus{Address: c.Address, RemoteAS: c.RemoteAS, Since: now},
		})
	}
	return r, nil
}

// Blame says why the session with a neighbor is not up, for its status. Any goroutine may call it.
func (r *Router) Blame(neighbor netip.Addr, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blame[neighbor] = reason
}

// Run starts the server and works until ctx ends, then closes the sessions. best gets every change of a best path and
// session every change of a session's state, both from Run's goroutine.
func (r *Router) Run(ctx context.Context, best func(bgp.BestPath), session func(bgp.NeighborStatus)) error {
	start := startRequest(r.cfg.LocalAS, r.cfg.RouterID, r.cfg.ListenPort)
	for _, a := range r.cfg.ListenAddresses {
		start.Global.ListenAddresses = append(start.Global.ListenAddresses, a.String())
	}
	if err := r.server.StartBgp(ctx, start); err != nil {
		return errors.Join(fmt.Errorf("start router AS %d: %w", r.cfg.LocalAS, err), StopServer(r.server))
	}
	defer func() {
		if err := StopServer(r.server); err != nil {
			r.log.Warn("stop router", "err", err)
		}
	}()
	err := r.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{
		Assignment: assignment(api.PolicyDirection_EXPORT, "", nil),
	})
	if err != nil {
		return fmt.Errorf("reject all exports: %w", err)
	}
	watching, stop := context.WithCancel(ctx) // ends before the server does
	defer stop()
	events := make(chan *api.WatchEventResponse)
	err = r.server.WatchEvent(watching, &api.WatchEventRequest{
		Peer: &api.WatchEventRequest_Peer{},
		Table: &api.WatchEventRequest_Table{Filters: []*api.WatchEventRequest_Table_Filter{
			{Type: api.WatchEventRequest_Table_Filter_BEST, Init: true},
		}},
	}, func(ev *api.WatchEventResponse) {
		select {
		case events <- ev:
		case <-watching.Done():
		}
	})
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	for i := range r.neighbors {
		if err := r.addNeighbor(i); err != nil {
			return err
		}
	}
	return r.loop(ctx, events, best, session)
}

// loop is the steady state.
func (r *Router) loop(ctx context.Context, events <-chan *api.WatchEventResponse, best func(bgp.BestPath), session func(bgp.NeighborStatus)) error {
	kick := time.NewTicker(100 * time.Millisecond)
	defer kick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev := <-events:
			for _, p := range ev.GetTable().GetPaths() {
				if l, err := decodePath(p); err != nil {
					r.log.Warn("path not understood", "err", err)
				} else if l.Withdrawn {
					best(bgp.BestPath{Prefix: l.Prefix, Withdrawn: true})
				} else {
					best(l.BestPath)
				}
			}
			if ev.GetPeer() != nil {
				r.onPeer(ev.GetPeer().GetPeer(), session)
			}
		case now := <-kick.C:
			r.kickDue(now)
		}
	}
}

// onPeer takes the state of a session over.
func (r *Router) onPeer(p *api.Peer, session func(bgp.NeighborStatus)) {
	n := find(r.neighbors, p.GetState().GetNeighborAddress())
	if n == nil || !n.kickAt.IsZero() {
		return
	}
	// The event may be older than what is true now, and does not know the hold time: ask.
	state, hold, now, was := bgp.Idle, time.Duration(0), time.Now(), n.status.State
	err := r.server.ListPeer(context.Background(), &api.ListPeerRequest{Address: n.cfg.Address.String()}, func(p *api.Peer) {
		state = sessionState(p.GetState().GetSessionState())
		hold = time.Duration(p.GetTimers().GetState().GetNegotiatedHoldTime()) * time.Second
	})
	if err != nil || !n.observe(state, hold, now) {
		return
	}
	if was == bgp.Established {
		r.drop(n, now)
	}
	r.mu.Lock()
	if state != bgp.Established && r.blame[n.cfg.Address] != "" {
		n.status.LastError = r.blame[n.cfg.Address]
	}
	delete(r.blame, n.cfg.Address)
	r.mu.Unlock()
	session(n.status)
}

// drop deletes a neighbor whose session was lost, to be added again at once, or after a second when it did not last:
// gobgp would otherwise refuse its connections for five seconds.
func (r *Router) drop(n *neighbor, now time.Time) {
	n.kickAt = now
	if now.Sub(n.up) < time.Second {
		n.kickAt = now.Add(time.Second)
	}
	err := r.server.DeletePeer(context.Background(), &api.DeletePeerRequest{Address: n.cfg.Address.String()})
	if err != nil {
		r.log.Warn("delete neighbor", "peer", n.cfg.Address, "err", err)
	}
	r.kickDue(now)
}

// kickDue adds the neighbors again whose pause is over.
func (r *Router) kickDue(now time.Time) {
	for i := range r.neighbors {
		n := &r.neighbors[i]
		if n.kickAt.IsZero() || n.kickAt.After(now) {
			continue
		}
		n.kickAt = time.Time{}
		if err := r.addNeighbor(i); err != nil {
			r.log.Warn("add neighbor again", "peer", n.cfg.Address, "err", err)
			n.kickAt = now.Add(time.Second)
		}
	}
}

func (r *Router) addNeighbor(i int) error {
	c := &r.cfg.Neighbors[i]
	p := peer(&c.Neighbor, r.cfg.LocalAS, true, true)
	p.Transport.PassiveMode = c.Passive
	if err := r.server.AddPeer(context.Background(), &api.AddPeerRequest{Peer: p}); err != nil {
		return fmt.Errorf("add neighbor %v: %w", c.Address, err)
	}
	return nil
}
