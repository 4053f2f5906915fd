package kernel

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// feedBuffer holds the notifications of some thousand changes: the kernel charges about 1 KiB for each.
const feedBuffer = 8 << 20

// How long a broken subscription waits before it is opened again, and how often an overrun is worth a log line.
const (
	reopenAfter  = 200 * time.Millisecond
	overrunEvery = time.Minute
)

// netlinkFeed is a subscription to links and addresses.
type netlinkFeed struct {
	subscription
	news queue[change]
}

func openFeed(log *slog.Logger, ns *namespace) (*netlinkFeed, error) {
	f := &netlinkFeed{}
	err := f.start(log, ns, func(m unix.NlMsghdr, body []byte) { f.news.add(parseChange(m, body)) },
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *netlinkFeed) take() ([]change, bool) { return takeFrom(&f.subscription, &f.news) }

// queue holds the notifications that were not taken yet.
type queue[C any] struct{ changes, spare []C }

func (q *queue[C]) add(c C, ok bool) {
	if ok {
		q.changes = append(q.changes, c)
	}
}

// takeFrom returns everything that the kernel had said before it was called, and whether some of it is missing. The
// slice is valid until the next call.
func takeFrom[C any](f *subscription, q *queue[C]) ([]C, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// An error is left to the goroutine, which meets it as well.
	_ = f.sock.raw.Control(func(fd uintptr) { _, _ = f.fetch(int(fd)) })
	changes, lost := q.changes, f.lost
	q.changes, q.spare, f.lost = q.spare[:0], changes, false
	return changes, lost
}

// subscription waits for notifications of groups, in a goroutine.
type subscription struct {
	log    *slog.Logger
	ns     *namespace
	groups []int // RTNLGRP_*
	// parse takes one message, with mu held.
	parse  func(m unix.NlMsghdr, body []byte)
	signal chan struct{}
	done   chan struct{}
	ended  chan struct{}

	mu       sync.Mutex
	sock     *socket
	buf      []byte
	lost     bool
	overruns int
	reported time.Time
	closed   bool
}

func (f *subscription) start(
	log *slog.Logger, ns *namespace, parse func(unix.NlMsghdr, []byte), groups ...int,
) error {
	f.log, f.ns, f.groups, f.parse, f.buf = log, ns, groups, parse, make([]byte, receiveSize)
	f.signal, f.done, f.ended = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	if err := f.open(feedBuffer); err != nil {
		return err
	}
	go f.run()
	return nil
}

func (f *subscription) open(buffer int) error {
	sock, err := openSocket(f.ns, buffer, f.groups...)
	if err != nil {
		return err
	}
	if err := sock.muteRenewals(); err != nil {
		f.log.Debug("renewals are told one by one", "err", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.Join(errors.New("rtnetlink: subscription closed"), sock.close())
	}
	f.sock = sock
	return nil
}

func (f *subscription) changed() <-chan struct{} { return f.signal }

func (f *subscription) close() {
	f.mu.Lock()
	f.closed = true
	sock := f.sock
	f.mu.Unlock()
	close(f.done)
	_ = sock.close()
	<-f.ended
}

// run collects notifications and opens the subscription again when it breaks, until it is closed.
func (f *subscription) run() {
	defer close(f.ended)
	for {
		err := f.collect()
		select {
		case <-f.done:
			return
		default:
		}
		f.log.Warn("netlink subscription broke", "err", err)
		for err != nil {
			select {
			case <-f.done:
				return
			case <-time.After(reopenAfter):
			}
			if err = f.open(feedBuffer); err != nil {
				f.log.Warn("netlink subscription cannot be opened", "err", err)
			}
		}
		f.mu.Lock()
		f.lost = true
		f.mu.Unlock()
		f.wake()
	}
}

// collect returns when the socket fails.
func (f *subscription) collect() error {
	f.mu.Lock()
	sock := f.sock
	f.mu.Unlock()
	defer func() { _ = sock.close() }()
	for {
		var failed error
		err := sock.raw.Read(func(fd uintptr) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			var got bool
			got, failed = f.fetch(int(fd))
			return got || failed != nil
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		f.wake()
	}
}

func (f *subscription) wake() {
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// fetch reads all that is there and reports whether that was anything. It needs f.mu.
func (f *subscription) fetch(fd int) (got bool, err error) {
	for {
		n, err := receiveNow(fd, f.buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return got, nil
		case errors.Is(err, unix.ENOBUFS):
			f.overrun()
		case err != nil:
			return got, err
		}
		got = true
		for m, body := range messages(f.buf[:n]) {
			f.parse(m, body)
		}
	}
}

// overrun notes that the kernel had no room for a notification.
func (f *subscription) overrun() {
	f.lost = true
	f.overruns++
	if now := time.Now(); now.Sub(f.reported) > overrunEvery {
		f.log.Warn("netlink notifications lost, listing anew", "overruns", f.overruns)
		f.reported = now
	}
}

// parseChange reads a notification on a link or an address.
func parseChange(m unix.NlMsghdr, body []byte) (c change, ok bool) {
	switch m.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if c.kind = addressChanged; m.Type == unix.RTM_DELADDR {
			c.kind = addressGone
		}
		c.entry, ok = parseAddress(body)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if c.kind = linkChanged; m.Type == unix.RTM_DELLINK {
			c.kind = linkGone
		}
		c.link, ok = parseLink(body)
	}
	return c, ok
}
