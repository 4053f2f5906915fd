package status

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// guests bounds the number of open connections, and keeps those that want nothing from locking out the others. When all
// places are taken, the connection that has waited the longest for its client is closed: one that has not sent a whole
// request, does not read its answer, or has had it. The users are told apart: it is one of the user who has the most, so
// that a program that runs wild costs its own user first. A connection that waits for the agent is never closed; when all
// do, one too many is told so and closed at once.
//
// It is the listener of the server. All methods may be called from several goroutines.
type guests struct {
	net.Listener
	most int // places

	mu   sync.Mutex
	open map[*guest]struct{}
	turn uint64 // counts the changes, for the order
}

// guest is a connection with a place.
type guest struct {
	net.Conn
	of   *guests
	uid  int64         // the user at the other end; -1: not known
	left chan struct{} // closed with the connection
	once sync.Once

	// Under of.mu:
	owed  bool   // its request is read whole and the agent works on the answer
	since uint64 // the turn of its last change
}

func newGuests(l net.Listener, most int) *guests {
	return &guests{Listener: l, most: most, open: make(map[*guest]struct{}, most)}
}

const busyAnswer = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n" +
	"Content-Length: 33\r\n\r\n" + `{"error":"too many connections"}` + "\n"

// Accept implements net.Listener.
func (g *guests) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if in := g.admit(c); in != nil {
			return in, nil
		}
		c.SetWriteDeadline(time.Now().Add(time.Second))
		c.Write([]byte(busyAnswer))
		c.Close()
	}
}

// admit gives c a place, that of another one if there is none left; nil: nobody can be sent away.
func (g *guests) admit(c net.Conn) *guest {
	in := &guest{Conn: c, of: g, uid: peerUID(c), left: make(chan struct{})}
	g.mu.Lock()
	var out *guest
	if len(g.open) >= g.most {
		if out = g.idlest(); out == nil {
			g.mu.Unlock()
			return nil
		}
		delete(g.open, out)
	}
	g.open[in] = struct{}{}
	g.touch(in, false)
	g.mu.Unlock()
	if out != nil {
		out.Close()
	}
	return in
}

// idlest returns who is sent away next; nil: all are owed an answer.
func (g *guests) idlest() *guest {
	has := make(map[int64]int)
	for c := range g.open {
		has[c.uid]++
	}
	var out *guest
	for c := range g.open {
		switch {
		case c.owed:
		case out == nil, has[c.uid] > has[out.uid], has[c.uid] == has[out.uid] && c.since < out.since:
			out = c
		}
	}
	return out
}

// touch notes a change of c, under mu.
func (g *guests) touch(c *guest, owed bool) {
	g.turn++
	c.owed, c.since = owed, g.turn
}

// state follows what the HTTP server sees of a connection (http.Server.ConnState).
func (g *guests) state(c net.Conn, s http.ConnState) {
	if in, ok := c.(*guest); ok && (s == http.StateActive || s == http.StateIdle) {
		in.mark(false)
	}
}

// mark says whether the agent works on an answer for c. It does nothing when c has lost its place.
func (c *guest) mark(owed bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if _, in := c.of.open[c]; in {
		c.of.touch(c, owed)
	}
}

// Close implements net.Conn. It gives the place back. net/http closes a connection more than once.
func (c *guest) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	c.once.Do(func() { close(c.left) })
	return c.Conn.Close()
}

// CloseWrite lets the HTTP server end its half and wait a moment before it closes, so that a client that is still writing
// reads the answer first.
func (c *guest) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// guestKey is the key of a connection in the context of its requests.
type guestKey struct{}

// withGuest remembers the connection of a request.
func withGuest(ctx context.Context, c net.Conn) context.Context {
	if in, ok := c.(*guest); ok {
		return context.WithValue(ctx, guestKey{}, in)
	}
	return ctx
}

// left is closed when the connection of a request is; nil: that is not known.
func left(ctx context.Context) <-chan struct{} {
	if in, ok := ctx.Value(guestKey{}).(*guest); ok {
		return in.left
	}
	return nil
}

// owe says that a request is read whole, and that the answer is the agent's turn.
func owe(ctx context.Context) {
	if in, ok := ctx.Value(guestKey{}).(*guest); ok {
		in.mark(true)
	}
}

// reply is an answer whose head says that the rest, to read it, is the client's turn.
type reply struct {
	http.ResponseWriter
	ctx context.Context
}

// WriteHeader implements http.ResponseWriter.
func (r *reply) WriteHeader(code int) {
	if in, ok := r.ctx.Value(guestKey{}).(*guest); ok {
		in.mark(false)
	}
	r.ResponseWriter.WriteHeader(code)
}
