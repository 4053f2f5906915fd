package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"failoverd/failover"
)

// Path is where the metrics are.
const Path = "/metrics"

// Limits of the server: whoever can reach it may be anybody.
const (
	maxConnections = 32
	maxScrapes     = 4 // at a time; more of them get 503
	maxHeaderBytes = 8 << 10
	readTimeout    = 5 * time.Second
	writeTimeout   = 20 * time.Second
	idleTimeout    = 2 * time.Minute // two scrapes a minute come on one connection
	// retryAfter is the pause before the address is tried again: it may belong to an interface that is yet to come.
	retryAfter = 5 * time.Second
)

// Server answers scrapes. New makes one, Serve runs it.
type Server struct {
	address netip.AddrPort
	handler http.Handler
	log     *slog.Logger
}

// New returns a server of what snapshot returns, as for NewCollector, for one address. Beside the agent's metrics it has
// those of the process (process_*) and of the Go runtime (go_*).
func New(address netip.AddrPort, snapshot func() *failover.Snapshot, log *slog.Logger) *Server {
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewCollector(snapshot), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	warnings := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	// One metric that is wrong must not hide all the others.
	mux.Handle("GET "+Path, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: warnings, MaxRequestsInFlight: maxScrapes,
	}))
	return &Server{address: address, handler: mux, log: log}
}

// Serve answers until ctx ends. While the address cannot be listened on it tries again, and says so once: it never ends
// the agent.
func (s *Server) Serve(ctx context.Context) {
	said := false
	for ctx.Err() == nil {
		err := s.serve(ctx)
		if err == nil {
			return
		}
		if !said {
			s.log.Error("no metrics; trying again", "listen", s.address.String(), "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

func (s *Server) serve(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address.String())
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: s.handler, MaxHeaderBytes: maxHeaderBytes, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // garbage that clients send
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	s.log.Info("metrics", "listen", l.Addr().String(), "path", Path)
	err = server.Serve(netutil.LimitListener(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
