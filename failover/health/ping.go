package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	probing "github.com/prometheus-community/pro-bing"
	"golang.org/x/sys/unix"
)

// pinger sends an ICMP echo request and waits for the reply. It has a raw socket if it may, and otherwise one of those that
// net.ipv4.ping_group_range allows.
type pinger struct {
	host string
	way  way

	humble bool            // a raw socket was refused
	before <-chan struct{} // closed when the library has let go of the run before; nil: there was none
}

// probe pings once.
func (p *pinger) probe(ctx context.Context) outcome {
	a, err := p.way.resolve(ctx, p.host)
	if err != nil {
		return p.way.failure(ctx, err)
	}
	// What cannot be sent would look like a reply that does not come.
	if err := p.way.reachable(ctx, a); err != nil {
		o := p.way.failure(ctx, err)
		o.blind = true // only this node has had a say
		return o
	}
	if p.before != nil {
		select {
		case <-p.before:
		case <-ctx.Done():
			return outcome{blind: true, cause: "the ping before does not end"}
		}
	}
	o, err := p.echo(ctx, a)
	if !p.humble && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
		p.humble = true
		o, err = p.echo(ctx, a)
	}
	if err != nil {
		o = p.way.failure(ctx, err)
		if p.humble && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)) {
			o = outcome{blind: true, cause: "no permission to ping: CAP_NET_RAW or net.ipv4.ping_group_range is needed"}
		}
	}
	return o
}

// echo makes the library ping once. Its own round trip is a difference of wall clocks, which may be set meanwhile, so it
// is measured here. The library needs up to 100 ms to notice that it has got what it wanted; nobody waits for that.
func (p *pinger) echo(ctx context.Context, a netip.Addr) (outcome, error) {
	l := probing.New(a.String())
	l.SetIPAddr(&net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()})
	l.SetPrivileged(!p.humble)
	l.Count, l.Interval, l.RecordRtts, l.RecordTTLs = 1, time.Hour, false, false
	l.InterfaceName = p.way.device
	if p.way.source.IsValid() {
		l.Source = p.way.source.String()
	}
	var sent time.Time
	var quit quitter
	replied := make(chan time.Duration, 1)
	l.OnSend = func(*probing.Packet) { sent = time.Now() }
	l.OnRecv = func(*probing.Packet) { replied <- time.Since(sent) } // from the goroutine that sends
	l.OnSendError = func(_ *probing.Packet, err error) { quit.because(err) }
	l.SetLogger(&quit)

	over := make(chan error, 1)
	ended := make(chan struct{})
	p.before = ended
	go func() {
		defer close(ended)
		err := l.RunWithContext(ctx)
		over <- errors.Join(quit.reason(), err)
	}()
	pong := func(rtt time.Duration) (outcome, error) { return outcome{ok: true, rtt: rtt, cause: "replies"}, nil }
	select {
	case rtt := <-replied:
		return pong(rtt)
	case err := <-over:
		select {
		case rtt := <-replied:
			return pong(rtt)
		default:
		}
		if ctx.Err() != nil {
			err = nil
		}
		return outcome{cause: "no reply"}, err
	}
}

// quitter is the logger of a ping. The library tries again for ever, at full speed, when the kernel answers EACCES or
// ENOBUFS; all that it does in between is to log, or to call OnSendError. So whoever calls one of these ends, which the
// library takes for the end of the ping.
type quitter struct {
	probing.NoopLogger

	mu  sync.Mutex
	err error
}

// because notes the reason and ends the goroutine that calls it.
func (q *quitter) because(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	runtime.Goexit()
}

func (q *quitter) reason() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

// Infof is called before the library sends again to what may be a broadcast address.
func (q *quitter) Infof(string, ...interface{}) { q.because(unix.EACCES) }
