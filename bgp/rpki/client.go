// Package rpki keeps sessions with RPKI caches for a speaker (RFC 8210; the protocol itself is in bgp/rtr) and reports what
// they say about the speaker's own prefixes. It decides nothing: what follows from it is failover's business.
//
//	goroutine           does                                  speaks to
//	Run                 owns the sessions and the timers      report
//	dialer (1 per       connects, ends                        Run: the connection or the error
//	  cache at most)
//	reader (1 per       socket -> pieces, one at a time       Run: waits until it is taken
//	  connection)
//
// Run's end is the end of all of them.
package rpki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/rtr"
)

const (
	dialWithin  = 10 * time.Second
	writeWithin = 100 * time.Millisecond // a query fits into any socket's buffer
	pieceSize   = 64 << 10
)

// Config says whom to ask about what.
type Config struct {
	Speaker string // for reports and logs
	// Caches are HOST:PORT, the preferred one first: its data counts while its session is up.
	Caches []string
	// Prefixes are those that the speaker may announce.
	Prefixes []netip.Prefix
}

// Options are for tests; the zero value is for everybody else.
type Options struct {
	// Dial connects; nil: TCP with keepalive, so that a half-open connection is noticed within half a minute.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Client keeps the sessions of one speaker. Reconfigure may be called from any goroutine, Run once.
type Client struct {
	opts   Options
	log    *slog.Logger
	mail   chan Config // one place: the newest counts
	events chan event
	done   chan struct{} // closed when Run takes no events any more
	wg     sync.WaitGroup

	// owned by Run
	cfg    Config
	caches []*cache
	last   bgp.RPKIReport
	told   bool
}

// cache is one cache of the configuration.
type cache struct {
	address string
	session *rtr.Session
	conn    net.Conn
	cancel  context.CancelFunc // of the dialer or the reader; nil: there is none
	retryAt time.Time          // while there is none
	dialing bool
}

// event is what a dialer or a reader has to say.
type event struct {
	cache *cache
	conn  net.Conn // new, or the one that the rest is about
	piece []byte
	err   error
	fresh bool // conn is new, or err is why there is none
}

// New returns a client that does nothing yet.
func New(cfg Config, log *slog.Logger, opts Options) *Client {
	if opts.Dial == nil {
		d := &net.Dialer{
			Timeout:         dialWithin,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		}
		opts.Dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	return &Client{
		opts: opts, log: log.With("speaker", cfg.Speaker), mail: make(chan Config, 1), events: make(chan event),
		done: make(chan struct{}), cfg: cfg,
	}
}

// Reconfigure changes the caches and the prefixes. What is known of a prefix that stays counts until there is something
// newer; the sessions of caches that stay go on if the prefixes do. It never blocks.
func (c *Client) Reconfigure(cfg Config) {
	for {
		select {
		case c.mail <- cfg:
			return
		default:
		}
		select {
		case <-c.mail:
		default:
		}
	}
}

// Run works until ctx ends. It calls report, from one goroutine, with every change, and at first with nothing known.
func (c *Client) Run(ctx context.Context, report func(bgp.RPKIReport)) {
	defer c.wg.Wait()
	defer close(c.done)
	defer func() {
		for _, k := range c.caches {
			k.drop()
		}
	}()
	c.adopt(c.cfg)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		for _, k := range c.caches {
			c.tend(ctx, k, now)
		}
		c.tell(report)
		timer.Reset(c.wait(now))
		select {
		case <-ctx.Done():
			return
		case cfg := <-c.mail:
			c.adopt(cfg)
		case e := <-c.events:
			c.take(ctx, &e, time.Now())
		case <-timer.C:
		}
	}
}

// adopt makes the list of caches that of cfg, in its order.
func (c *Client) adopt(cfg Config) {
	old := c.caches
	c.cfg, c.caches = cfg, nil
	for _, address := range cfg.Caches {
		i := slices.IndexFunc(old, func(k *cache) bool { return k.address == address })
		if i < 0 {
			c.caches = append(c.caches, &cache{address: address, session: rtr.New(cfg.Prefixes)})
			continue
		}
		old[i].session.Retarget(cfg.Prefixes)
		c.caches = append(c.caches, old[i])
		old = slices.Delete(old, i, i+1)
	}
	for _, k := range old {
		k.drop()
	}
}

// drop closes what a cache has open.
func (k *cache) drop() {
	if k.cancel != nil {
		k.cancel()
	}
	if k.conn != nil {
		_ = k.conn.Close() // the reader ends with it
	}
	k.conn, k.cancel, k.dialing = nil, nil, false
}

// tend does what is due for a cache: fires its timers, sends what its session wants to say, closes a connection that it
// has done with, and connects.
func (c *Client) tend(ctx context.Context, k *cache, now time.Time) {
	if d := k.session.Deadline(); !d.IsZero() && !d.After(now) {
		k.session.Expire(now)
	}
	if out := k.session.Send(); len(out) > 0 && k.conn != nil {
		_ = k.conn.SetWriteDeadline(now.Add(writeWithin))
		if _, err := k.conn.Write(out); err != nil && k.session.Failed() == nil {
			c.lost(k, fmt.Errorf("send a query: %w", err), now)
		}
	}
	if k.session.Failed() != nil {
		c.lost(k, nil, now)
	}
	if k.conn == nil && !k.dialing && !k.retryAt.After(now) {
		c.dial(ctx, k)
	}
}

// lost ends a connection, or the attempt to make one, and says when the next attempt is.
func (c *Client) lost(k *cache, err error, now time.Time) {
	k.drop()
	k.session.Disconnected(err)
	if wait := k.session.Delay(); wait > 0 {
		k.retryAt = now.Add(wait*3/4 + rand.N(wait/2)) // not all routers at once
	} else {
		k.retryAt = now
	}
	c.log.Debug("rpki cache", "cache", k.address, "err", k.session.Status().Error)
}

// dial begins an attempt to connect.
func (c *Client) dial(ctx context.Context, k *cache) {
	ctx, k.cancel = context.WithTimeout(ctx, dialWithin)
	k.dialing = true
	c.wg.Go(func() {
		conn, err := c.opts.Dial(ctx, k.address)
		select {
		case c.events <- event{cache: k, conn: conn, err: err, fresh: true}:
		case <-c.done:
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
}

// take takes news of a dialer or a reader; old news, of a connection that is closed already, change nothing.
func (c *Client) take(ctx context.Context, e *event, now time.Time) {
	k := e.cache
	switch {
	case e.fresh && !k.dialing: // a reload has removed the cache
		if e.conn != nil {
			_ = e.conn.Close()
		}
	case e.fresh && e.err != nil:
		c.lost(k, e.err, now)
	case e.fresh:
		k.cancel()
		k.conn, k.dialing = e.conn, false
		reading, cancel := context.WithCancel(ctx)
		k.cancel = cancel
		k.session.Connected(now)
		c.wg.Go(func() { c.read(reading, k, e.conn) })
	case e.conn != k.conn:
	case e.err != nil:
		c.lost(k, e.err, now)
	default:
		c.feed(k, e.piece, now)
	}
}

// feed gives a session what has arrived. VRRP must not die of anything that a cache sends, not even of what nobody has
// thought of: a panic costs the session its data, and no more.
func (c *Client) feed(k *cache, piece []byte, now time.Time) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("rpki session", "cache", k.address, "panic", fmt.Sprint(r))
			k.session = rtr.New(c.cfg.Prefixes)
			c.lost(k, fmt.Errorf("internal error: %v", r), now)
		}
	}()
	k.session.Receive(now, piece)
}

// read hands over what arrives, until the connection ends.
func (c *Client) read(ctx context.Context, k *cache, conn net.Conn) {
	buf := make([]byte, pieceSize)
	for {
		n, err := conn.Read(buf)
		e := event{cache: k, conn: conn, piece: bytes.Clone(buf[:n])}
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the cache closed the connection")
			}
			e.err = err
		}
		select {
		case c.events <- e:
		case <-ctx.Done():
			return
		case <-c.done:
			return
		}
		if e.err != nil {
			return
		}
	}
}

// wait returns how long nothing is due.
func (c *Client) wait(now time.Time) time.Duration {
	next := now.Add(time.Hour)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	for _, k := range c.caches {
		earlier(k.session.Deadline())
		if k.conn == nil && !k.dialing {
			earlier(k.retryAt)
		}
	}
	return max(next.Sub(now), 0)
}

// tell reports what is known, if it is news.
func (c *Client) tell(report func(bgp.RPKIReport)) {
	r := c.report(time.Now())
	if c.told && r.Same(&c.last) && slices.Equal(r.Caches, c.last.Caches) {
		return
	}
	c.last, c.told = r, true
	report(r)
}

// report puts together what is known. The data of the first cache in order whose session is up counts; where none is, the
// newest that has not expired (RFC 8210 section 10).
func (c *Client) report(now time.Time) bgp.RPKIReport {
	r := bgp.RPKIReport{Speaker: c.cfg.Speaker, Settled: true}
	var use *cache
	for _, k := range c.caches {
		st := k.session.Status()
		st.Address = k.address
		if k.dialing {
			st.State = "connecting"
		}
		r.Caches = append(r.Caches, st)
		r.Settled = r.Settled && k.session.Tried()
		switch {
		case !st.HasData, use != nil && use.session.Up():
		case use == nil, k.session.Up(), st.Synced.After(use.session.Status().Synced):
			use = k
		}
	}
	if use != nil {
		r.Using, r.Settled = use.address, true
		r.VRPs, r.Scope, _ = use.session.Data()
		r.Left = max(use.session.Status().Expires.Sub(now), 0)
	}
	return r
}
