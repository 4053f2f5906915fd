// Package gobgp is a bgp.Speaker that drives a gobgp server over its gRPC API: the speaker process that bgp/speaker
// hosts, or an external gobgpd. No other room imports gobgp's api.
//
// One goroutine, Run's, owns everything: it dials, configures a fresh server, repeats the full state, applies what Set
// left in the mailbox as a difference, and reads back what the server's table really holds. A second one per
// connection receives gobgp's events and hands them over. With a speaker process of ours, what announces and withdraws does not go
// by gRPC but by a shorter way (calls.go). Nothing is announced that SpeakerConfig.Validate refuses,
// and the server's own export policy says the same once more.
//
// A server is configured from A to Z, unless the speaker is an operator's gobgpd (bgp.SpeakerConfig.OperatorOwned): then its
// neighbors and policies are what they are, and we only add and remove our prefixes.
//
// Read Client first, then session.go for the life of one connection and routes.go for what is announced over it, and external.go for what is different with a
// gobgpd that somebody else starts.
package gobgp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"failoverd/bgp"
)

// Options are what a Client can be told besides its configuration. The zero value is usable.
type Options struct {
	// Alive is asked before and after anything is announced; false withdraws everything. nil: always true. It is
	// called from Run's goroutine.
	Alive func() bool
	// Silent explains, in reports, why nothing is announced while Alive is false.
	Silent string
	// Amend completes a report before it is compared with the last one and sent; nil: nothing to add. It is called from
	// Run's goroutine.
	Amend func(*bgp.Report)
	// Communication is the text of the administrative shutdown at the end (RFC 8203), cut to 128 octets.
	Communication string
	// Timeout is the deadline of every call; 0: two seconds.
	Timeout time.Duration
	// Resync is how often the server's table and sessions are read and put right; 0: every second.
	Resync time.Duration
	// StopWithin bounds the orderly end; 0: 1.2 seconds.
	StopWithin time.Duration
	// Watched says that the caller calls Gone when the server's process has ended. Until then a server that does not
	// answer counts as connected, with its routes: it may be frozen with its sessions up.
	Watched bool
	// Ended is called at the end of Run, after the sessions were closed and before the last report; nil: nothing to do.
	Ended func()
	// Adopted says that the first server was configured like this by a life before this one, which is over. Its sessions
	// stay as they are, and so do its routes until Set is called for the first time, or for AdoptedGrace.
	Adopted bool
	// Known is asked once, when Run begins, for the paths of the allow list that a life before this one has put into the server's
	// table. Placed is told of all that may be there whenever that changes, before one is added; nil: nobody keeps them. Both are
	// called from Run's goroutine.
	Known  func() []Placed
	Placed func([]Placed)
	// Calls is the name of the socket, in the directory of the target's, where the server takes what is urgent by package call;
	// empty: there is none. One of an older version has none either: then gRPC has to do.
	Calls string
	// Bar is held while the server is asked for anything; nil: nobody wants to keep the client from it. That what may not be
	// announced any more - Alive, Desired.Until - is withdrawn does not wait for it.
	Bar Bar
	// TLS is used for a target that is not a Unix socket; nil: plain text. bgp.External has its own.
	TLS *tls.Config
}

// Client is a bgp.Speaker over gRPC. Run may be called once, everything else from any goroutine.
type Client struct {
	log  *slog.Logger
	opts Options

	desired atomic.Pointer[bgp.Desired] // latest wins
	answers atomic.Uint64
	view    atomic.Pointer[view] // for Seen
	mail    chan struct{}        // one place: desired, Alive, blame or next changed
	dead    atomic.Bool          // nobody of this host listened when an external gobgpd was dialled last

	mu     sync.Mutex
	cfg    bgp.SpeakerConfig // written by Run only, which reads it without mu
	target string
	blame  map[netip.Addr]string // why sessions are not up, not yet in a status
	next   *bgp.SpeakerConfig    // what cfg is to become; nil: it is that already
	owing  owing

	// Owned by Run.
	neighbors  []neighbor
	table      []bgp.Route // ours in the server's table, as read last
	tableLife  uint64      // of which server
	generation uint64
	err        string
	connected  bool
	live       api.GobgpApiClient // of the newest connection
	born       time.Time          // constant
	placed     []Placed           // what we have put, or may have put, into a gobgpd's table
	configured bool               // a server, by this Client; it may have been replaced since
	reported   bgp.Report
	report     func(bgp.Report)
}

var _ bgp.Speaker = (*Client)(nil)

// New returns a Client for the server at target, a gRPC target such as "unix:///run/gobgp.sock" or "127.0.0.1:50051".
// That of a configuration with External is there, and target is ignored. It refuses a configuration that does not pass its
// Check. Nothing is dialled before Run.
func New(cfg bgp.SpeakerConfig, target string, log *slog.Logger, opts Options) (*Client, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.External != nil {
		var err error
		if target, err = opts.external(cfg.External); err != nil {
			return nil, fmt.Errorf("speaker %s: %w", cfg.Name, err)
		}
	}
	if opts.Alive == nil {
		opts.Alive = func() bool { return true }
	}
	if opts.Amend == nil {
		opts.Amend = func(*bgp.Report) {}
	}
	if opts.Ended == nil {
		opts.Ended = func() {}
	}
	setDefault(&opts.Timeout, defaultTimeout)
	setDefault(&opts.Resync, time.Second)
	setDefault(&opts.StopWithin, StopWithin)
	opts.Communication = Communication(opts.Communication)
	return &Client{
		cfg: cfg, target: target, log: log.With("speaker", cfg.Name), opts: opts,
		mail: make(chan struct{}, 1), blame: map[netip.Addr]string{},
		neighbors:  newNeighbors(&cfg, time.Now()),
		configured: opts.Adopted, born: time.Now(),
	}, nil
}

// StopWithin is the default of Options.StopWithin.
const StopWithin = 1200 * time.Millisecond

// defaultTimeout is that of Options.Timeout.
const defaultTimeout = 2 * time.Second

// AdoptedGrace is how long the routes of a server that goes on stay without anybody asking for them. A router that resumes
// its role asks for them when the kernel has told that its addresses are there.
const AdoptedGrace = 2 * time.Second

// undecided reports whether it is not known yet what a server that goes on is to announce.
func (c *Client) undecided() bool {
	return c.opts.Adopted && c.desired.Load() == nil && time.Since(c.born) < AdoptedGrace
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

// Set replaces what is to be announced. It never blocks. One that only gives more time costs no call.
func (c *Client) Set(d bgp.Desired) {
	old := c.desired.Swap(&d)
	if refreshes(old, &d) {
		return
	}
	c.mu.Lock()
	c.reckon()
	c.mu.Unlock()
	c.Wake()
}

// Wake makes Run look at everything now: at Alive, at the table, and at a server that was not there. It never blocks.
func (c *Client) Wake() {
	select {
	case c.mail <- struct{}{}:
	default:
	}
}

// Blame says why the session with a neighbor is not up, in words for NeighborStatus.LastError; gobgp's API does not.
// Neighbors that are not configured are ignored.
func (c *Client) Blame(neighbor netip.Addr, reason string) {
	c.mu.Lock()
	c.blame[neighbor] = reason
	c.mu.Unlock()
	c.Wake()
}

// takeBlame moves what Blame left into the statuses of sessions that are not up.
func (c *Client) takeBlame() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for addr, reason := range c.blame {
		if n := find(c.neighbors, addr.String()); n != nil {
			n.blame = reason
		}
	}
	clear(c.blame)
	for i := range c.neighbors {
		// The reason of a loss may come before the loss itself: it waits until the session is seen down.
		if n := &c.neighbors[i]; n.blame != "" && n.status.State != bgp.Established {
			n.status.LastError = n.blame
		}
	}
}

// Answers counts what the server answered. Run asks it something at least every Resync, and as often as it can while it
// does not answer.
func (c *Client) Answers() uint64 { return c.answers.Load() }

// SetTarget names the server to dial from the next connection on.
func (c *Client) SetTarget(target string) {
	c.mu.Lock()
	c.target = target
	c.mu.Unlock()
	c.Wake()
}

// Run implements bgp.Speaker. It returns nil when ctx has ended.
func (c *Client) Run(ctx context.Context, report func(bgp.Report)) error {
	defer context.AfterFunc(ctx, c.wantNothing)()
	c.report = report
	if c.opts.Known != nil {
		c.placed = c.opts.Known()
	}
	const shortest, reading, longest = 20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond
	wait := shortest
	for ctx.Err() == nil {
		err := c.connect(ctx)
		if ctx.Err() != nil {
			break
		}
		switch {
		case c.connected:
			wait = shortest
		case errors.Is(err, errUnconfigured): // it may be about to read its file
			wait = reading
		}
		c.lost(err)
		select {
		case <-ctx.Done():
		case <-c.mail: // perhaps a new server is there
			wait = shortest
		case <-time.After(wait):
			wait = min(2*wait, longest)
		}
	}
	c.wantNothing()
	c.connected = false
	if c.opts.Watched {
		c.insist()
	}
	c.opts.Ended()
	c.table, c.err = nil, "stopped"
	for i := range c.neighbors {
		c.neighbors[i].forget(time.Now())
	}
	c.tell(false)
	return nil
}

// lost notes that there is no backend any more.
func (c *Client) lost(err error) {
	if c.connected {
		c.log.Warn("BGP speaker lost", "err", err)
	}
	c.connected = false
	c.err = err.Error()
	if !c.opts.Watched {
		c.table = nil
	}
	now := time.Now()
	for i := range c.neighbors {
		c.neighbors[i].lost(now)
	}
	c.tell(false)
}

// connect dials and lives one session with the server.
func (c *Client) connect(ctx context.Context) error {
	return c.dialled(func(s *session) error {
		c.live = s.api
		return s.run(ctx)
	})
}

// dialled has f do something over a connection of its own.
func (c *Client) dialled(f func(*session) error) error {
	creds := insecure.NewCredentials()
	if c.opts.TLS != nil {
		creds = credentials.NewTLS(c.opts.TLS)
	}
	c.mu.Lock()
	target := c.target
	c.mu.Unlock()
	conn, err := grpc.NewClient(c.dialTarget(target), append(c.connection(),
		grpc.WithTransportCredentials(creds),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10))...)
	if err != nil {
		return fmt.Errorf("dial %s: %w", target, err)
	}
	defer c.hangUp(conn)
	s := &session{Client: c, target: target, api: api.NewGobgpApiClient(conn), conn: conn}
	defer s.endCalls()
	return f(s)
}

// hangUp closes a connection. With a server that does not read any more, gRPC takes up to five seconds over its
// farewell, and Run has better things to do.
func (c *Client) hangUp(conn *grpc.ClientConn) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if err := conn.Close(); err != nil {
			c.log.Debug("close connection to BGP speaker", "err", err)
		}
	}()
	select {
	case <-closed:
	case <-time.After(50 * time.Millisecond):
	}
}

// tell sends a report: always after an Apply, otherwise only when something in it is new.
func (c *Client) tell(always bool) {
	c.takeBlame()
	c.mu.Lock()
	if c.tableLife != c.owing.life {
		c.table = nil
	}
	frozen := c.opts.Watched && len(c.owing.held) > 0
	c.mu.Unlock()
	r := bgp.Report{
		Speaker: c.cfg.Name, Connected: c.connected || frozen, Err: c.err,
		Announced: slices.Clone(c.table), Generation: c.generation,
		Neighbors: make([]bgp.NeighborStatus, len(c.neighbors)),
	}
	for i := range c.neighbors {
		r.Neighbors[i] = c.neighbors[i].status
	}
	c.show(&r)
	c.opts.Amend(&r)
	if !always && equalReports(&r, &c.reported) {
		return
	}
	c.reported = r
	c.report(r)
}

func equalReports(a, b *bgp.Report) bool {
	return a.Speaker == b.Speaker && a.Connected == b.Connected && a.Err == b.Err && a.Generation == b.Generation && a.Restarts == b.Restarts && a.Version == b.Version && sameSize(a.Resident, b.Resident) && a.MemoryLimit == b.MemoryLimit &&
		slices.Equal(a.Neighbors, b.Neighbors) && slices.EqualFunc(a.Announced, b.Announced, func(x, y bgp.Route) bool {
		return x.Prefix == y.Prefix && x.Attributes.Equal(y.Attributes)
	})
}

// sameSize reports whether two sizes in octets are so much the same that nobody needs to hear of it: within 4 MB.
func sameSize(a, b uint64) bool {
	const enough = 4 << 20
	return max(a, b)-min(a, b) < enough
}
