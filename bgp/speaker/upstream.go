package speaker

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/osrg/gobgp/v3/pkg/server"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// UpstreamConfig and UpstreamNeighbor are the configuration of an Upstream.
type (
	UpstreamConfig   = gobgp.RouterConfig
	UpstreamNeighbor = gobgp.RouterNeighbor
)

// Upstream is a router that accepts routes and announces none: what stands for a provider in the demo and in the labs.
// It runs in this process, in the network namespace that the process is in, and wants a process of its own: gobgp's
// goroutines do not end, and its listeners are opened on any thread.
type Upstream struct{ router *gobgp.Router }

// NewUpstream checks cfg and returns a router that has not started yet.
func NewUpstream(cfg UpstreamConfig, log *slog.Logger) (*Upstream, error) {
	lg := newLogger(log, func(err error) { log.Error("upstream router", "err", err) })
	s := server.NewBgpServer(server.LoggerOption(lg))
	r, err := gobgp.NewRouter(s, cfg, log)
	if err != nil {
		return nil, err
	}
	lg.blame = func(peer netip.Addr, reason string, _ slog.Level) { r.Blame(peer, reason) }
	go s.Serve()
	return &Upstream{router: r}, nil
}

// Run works until ctx ends, then closes the sessions with CEASE. best gets every change of the best path of a prefix,
// the last one with Withdrawn set; session gets every change of a session. Both are called from one goroutine and may
// block it. It may be called once.
func (u *Upstream) Run(ctx context.Context, best func(bgp.BestPath), session func(bgp.NeighborStatus)) error {
	return u.router.Run(ctx, best, session)
}
