package health

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"syscall" // and not x/sys/unix: see eager
	"time"

	"golang.org/x/sys/unix"
)

// quickKnock is what knock does, in steps.
type quickKnock struct {
	way way
	to  netip.AddrPort

	attempt
	open  bool
	begun time.Time
}

func (q *quickKnock) start() step {
	q.begun = time.Now()
	var err error
	if q.attempt, err = q.way.begin(context.Background(), unix.SOCK_STREAM, 0, q.to, abrupt); err != nil {
		return done(q.way.failure(context.Background(), err))
	}
	q.open = true
	if !q.connecting || connected(q.fd) { // a target on this machine has answered already
		return q.there(time.Now())
	}
	return step{waits: true, fd: q.fd, write: true}
}

// there is the step of one that is connected.
func (q *quickKnock) there(seen time.Time) step {
	q.stop()
	return done(outcome{ok: true, rtt: seen.Sub(q.begun), cause: "connected"})
}

func (q *quickKnock) ready(seen time.Time) step {
	is, err := establishing(q.fd)
	switch {
	case err != nil:
		q.stop()
		return done(q.way.failure(context.Background(), dialError(q.to, err)))
	case !is:
		return step{waits: true}
	}
	return q.there(seen)
}

func (q *quickKnock) stop() { q.open = shut(q.open, q.fd) }

// shut closes a socket that is open, and returns false: it is not any more.
func shut(open bool, fd int) bool {
	if open {
		_ = unix.Close(fd) // nothing is to be heard any more
	}
	return false
}

// quickPing is what a pinger does, in steps.
type quickPing struct {
	pinger
	to netip.Addr

	attempt
	open    bool
	request echo
	sent    time.Time
}

func (q *quickPing) start() step {
	err := q.send()
	if !q.humble && refused(err) {
		q.humble = true
		err = q.send()
	}
	if err != nil {
		q.stop()
		return done(q.blame(context.Background(), err))
	}
	// A target on this machine has replied already. It is read at once, and not only to save time: each raw socket that is open
	// hears the replies to all others that ask the same address.
	if s := q.hear(time.Now); !s.waits {
		return s
	}
	return step{waits: true, fd: q.fd}
}

// send opens a socket and sends the request. What cannot be sent at once is lost, as what is sent to others may be.
func (q *quickPing) send() (err error) {
	if q.attempt, err = q.pinger.open(context.Background(), q.to.Unmap()); err != nil {
		return err
	}
	q.open = true
	message, err := q.next(&q.request, q.to)
	if err != nil {
		return err
	}
	q.sent = time.Now()
	if _, err := syscall.Write(q.fd, message); err != nil && !waits(err) {
		return dialError(q.remote, os.NewSyscallError("write", err))
	}
	return nil
}

func (q *quickPing) ready(seen time.Time) step { return q.hear(func() time.Time { return seen }) }

// hear reads what there is. now tells when a reply came.
func (q *quickPing) hear(now func() time.Time) step {
	var buffer [256]byte
	for {
		n, err := syscall.Read(q.fd, buffer[:])
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil && waits(err):
			return step{waits: true}
		case err != nil:
			q.stop()
			return done(q.blame(context.Background(), os.NewSyscallError("read", err)))
		case q.request.answeredBy(buffer[:n]):
			q.stop()
			return done(outcome{ok: true, rtt: now().Sub(q.sent), cause: "replies"})
		}
	}
}

func (q *quickPing) stop() { q.open = shut(q.open, q.fd) }

// quickWeb is what a web does, in steps. An answer that comes in many pieces, or is long, is heard elsewhere: each step reads it
// from its beginning.
type quickWeb struct {
	web *web

	attempt
	open   bool
	begun  time.Time
	sent   int    // of the request, in octets
	got    []byte // of the answer
	read   int    // of got, by the reader of this step
	pieces int
}

// What an answer may be to be heard in steps.
const (
	maxPieces = 8
	maxQuick  = 16 << 10 // octets
)

func (q *quickWeb) start() step {
	q.begun, q.sent, q.got, q.pieces = time.Now(), 0, q.got[:0], 0
	to := netip.AddrPortFrom(q.web.to.address, q.web.to.port)
	var err error
	if q.attempt, err = q.web.way.begin(context.Background(), unix.SOCK_STREAM, 0, to, talkative); err != nil {
		return q.fail(err)
	}
	q.open = true
	if err := q.write(); err != nil {
		return q.fail(err)
	}
	return step{waits: true, fd: q.fd, write: q.sent < len(q.web.text)}
}

// write sends as much of the request as can be sent.
func (q *quickWeb) write() error {
	for q.sent < len(q.web.text) {
		n, err := syscall.Write(q.fd, q.web.text[q.sent:])
		switch {
		case n > 0:
			q.sent += n
		case errors.Is(err, syscall.EINTR):
		case waits(err):
			return nil
		default:
			return dialError(q.remote, os.NewSyscallError("write", err))
		}
	}
	return nil
}

// fail is the step of one that came to an error.
func (q *quickWeb) fail(err error) step {
	q.stop()
	return done(q.web.failure(context.Background(), err))
}

func (q *quickWeb) ready(seen time.Time) step {
	if q.sent < len(q.web.text) {
		if err := q.write(); err != nil {
			return q.fail(err)
		}
		if q.sent < len(q.web.text) {
			return step{waits: true}
		}
	}
	q.read = 0
	o, err := q.web.hear(q)
	switch {
	case errors.Is(err, errNotYet):
		if q.pieces++; q.pieces > maxPieces || len(q.got) >= maxQuick {
			return step{rest: q.rest(), fd: q.fd}
		}
		return step{waits: true}
	case err != nil:
		return q.fail(err)
	}
	q.stop()
	if o.ok {
		o.rtt = seen.Sub(q.begun)
	}
	return done(o)
}

// Read implements io.Reader: first comes what came before.
func (q *quickWeb) Read(b []byte) (int, error) {
	for q.read == len(q.got) {
		if len(q.got) >= maxQuick {
			return 0, errNotYet
		}
		q.got = slices.Grow(q.got, 1024)
		n, err := syscall.Read(q.fd, q.got[len(q.got):cap(q.got)])
		switch {
		case n > 0:
			q.got = q.got[:len(q.got)+n]
		case err == nil:
			return 0, io.EOF
		case errors.Is(err, syscall.EINTR):
		case waits(err):
			return 0, errNotYet
		default:
			return 0, os.NewSyscallError("read", err)
		}
	}
	n := copy(b, q.got[q.read:])
	q.read += n
	return n, nil
}

// rest hears the rest of an answer, and takes what there is for it.
func (q *quickWeb) rest() prober {
	web, s, got, begun := q.web, q.attempt, q.got, q.begun
	q.open, q.got = false, nil
	return func(ctx context.Context) outcome {
		e := &eager{attempt: s, ctx: ctx}
		defer e.Close()
		o, err := web.hear(io.MultiReader(bytes.NewReader(got), e))
		if err != nil {
			return web.failure(ctx, err)
		}
		if o.ok {
			o.rtt = time.Since(begun)
		}
		return o
	}
}

func (q *quickWeb) stop() { q.open = shut(q.open, q.fd) }
