// Package status shows an agent to people and programs: Server answers HTTP with JSON on a Unix socket, Client asks it,
// Table prints a snapshot for a terminal.
//
// It decides nothing and changes nothing but through Source. A reader gets the last published snapshot and never waits
// for the agent's loop. Read Server first, then the routes in handler.go.
//
// Goroutines: Serve runs the accept loop; net/http runs one per connection, at most maxConnections (see guests). When Serve returns,
// every connection is closed; only a reload that was under way may take a little longer.
package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"failoverd/failover"
)

// DefaultPath is the status socket of an agent that was told nothing else.
const DefaultPath = "/run/failoverd/status.sock"

// Limits of the server. A client of the socket is trusted, a broken one must still cost little.
const (
	maxConnections = 64
	maxHeaderBytes = 8 << 10
	maxBodyBytes   = 4 << 10
	// maxDrained is how much of a body that is too long is read and thrown away, so that its sender lives to read the answer.
	maxDrained    = 32 << 20
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = 30 * time.Second
	// reloadTimeout is the longest that a reload may take. A client stays connected for as long as what it has asked for,
	// and an upgrade may take longest.
	reloadTimeout = 30 * time.Second
	writeTimeout  = upgradeTimeout + 5*time.Second
	// stopTimeout is how long answers under way may take once the server is told to stop.
	stopTimeout = time.Second
)

// Source is what the server shows: an agent. All methods may be called from several goroutines.
type Source interface {
	// Snapshot returns the last published state, without waiting; nil when there is none yet. It is never changed.
	Snapshot() *failover.Snapshot
	// Events returns the newest events, at most last, oldest first: each is an Event in JSON.
	Events(last int) []json.RawMessage
	// Reload reads the configuration again and returns once it is in force, with its warnings, or why it is refused.
	Reload(ctx context.Context) (warnings []string, err error)
	// Plan says what a reload with another configuration would do. Nothing is changed.
	Plan(q *PlanRequest) (*PlanAnswer, error)
	// Command carries out a command and returns when it is, or when it is known that it cannot be: an *AnswerError.
	Command(ctx context.Context, c *Command) (*CommandAnswer, error)
}

// Server answers requests on a Unix socket. New makes one, Serve runs it.
type Server struct {
	socket *socket
	guests *guests
	http   *http.Server
}

// New binds the socket at path, mode 0660, and creates its directory, mode 0755, when it is missing. The socket file of
// a dead agent is replaced; that of a live one is left alone and the error wraps ErrInUse. Requests are queued by the
// kernel until Serve runs. What goes wrong inside the server is logged as a warning; garbage that clients send is not.
// log may be nil.
func New(path string, src Source, log *slog.Logger) (*Server, error) {
	s, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("open status socket: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := newHandler(src)
	g := newGuests(s, maxConnections)
	return &Server{socket: s, guests: g, http: &http.Server{
		Handler:           h,
		ConnContext:       withGuest,
		ConnState:         g.state,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}, nil
}

// Serve answers requests until ctx ends, then lets answers under way finish for up to a second, removes the socket file
// and returns nil. Any other end is an error. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			s.http.Close()
		}
	})
	err := s.http.Serve(s.guests)
	if !stop() {
		<-stopped
	}
	s.http.Close()
	s.socket.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve status socket %s: %w", s.socket.path, err)
}

// Close removes the socket of a server that is not going to be served. After Serve it does nothing.
func (s *Server) Close() error { return s.socket.Close() }
