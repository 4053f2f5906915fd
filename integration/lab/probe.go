package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ProbeInterval is the time between two probes, and the resolution of what they measure.
const ProbeInterval = time.Millisecond

// Probe asks a service for its name every millisecond, as a client would feel an outage. Times of answers are the
// kernel's; a probe that is sent late because the machine is busy is late, not lost.
type Probe struct {
	node   *Node
	fd     int
	target unix.Sockaddr
	quit   atomic.Bool
	ended  sync.WaitGroup
	once   sync.Once

	mu      sync.Mutex
	samples []sample
	names   []string       // of who answered
	number  map[string]int // index in names
	late    int
}

// sample is one probe. Times are nanoseconds of the wall clock; received is 0 without an answer.
type sample struct {
	sent, received int64
	from           int // index in names
}

// Probe starts to ask the service of host from this node.
func (n *Node) Probe(host netip.Addr) (*Probe, error) {
	p := &Probe{node: n, number: make(map[string]int)}
	to := ask(host)
	domain := unix.AF_INET
	if host.Is4() {
		p.target = &unix.SockaddrInet4{Port: int(to.Port()), Addr: host.As4()}
	} else {
		domain, p.target = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: host.As16()}
	}
	err := n.lab.stamps.on(n)
	if err == nil {
		err = n.Do(func() (err error) { p.fd, err = probeSocket(domain); return err })
	}
	if err != nil {
		return nil, fmt.Errorf("%s: probe %s: %w", n, host, err)
	}
	p.ended.Add(2)
	go p.receive()
	go p.send()
	n.lab.own(p)
	return p, nil
}

// probeSocket opens an unconnected socket: ICMP errors of routers on the way are then not reported, and a probe into the
// void is just one without an answer.
func probeSocket(domain int) (int, error) {
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	setReceiveBuffer(fd)
	tv := unix.NsecToTimeval(int64(pollInterval))
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1))
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set up socket: %w", err)
	}
	return fd, nil
}

// send keeps to a grid of absolute times, so that lateness does not add up. A step that was missed altogether is
// skipped: a burst of late probes would say nothing new.
func (p *Probe) send() {
	defer p.ended.Done()
	realtime()
	buf := make([]byte, 0, probeLen)
	next := monotonic()
	for !p.quit.Load() {
		sleepUntil(next)
		now := monotonic()
		steps := int64(now-next)/int64(ProbeInterval) + 1
		next += time.Duration(steps) * ProbeInterval
		p.mu.Lock()
		seq := uint64(len(p.samples))
		p.samples = append(p.samples, sample{sent: time.Now().UnixNano()})
		p.late += int(steps - 1)
		p.mu.Unlock()
		// A failed send - no route, say - is a probe without an answer.
		_ = unix.Sendto(p.fd, appendProbe(buf, seq), unix.MSG_DONTWAIT, p.target)
	}
}

func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return time.Duration(ts.Nano())
}

// sleepUntil sleeps to an absolute time; a signal only wakes it for another look.
func sleepUntil(t time.Duration) {
	ts := unix.NsecToTimespec(int64(t))
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
		continue
	}
}

func (p *Probe) receive() {
	defer p.ended.Done()
	realtime()
	buf, oob := make([]byte, 512), make([]byte, 128)
	for !p.quit.Load() {
		n, on, _, _, err := unix.Recvmsg(p.fd, buf, oob, 0)
		if err != nil {
			continue
		}
		seq, name, ok := parseProbe(buf[:n])
		if !ok {
			continue
		}
		at, stamped := timestamp(oob[:on])
		if !stamped {
			at = time.Now()
		}
		p.answered(seq, at, string(name))
	}
}

func (p *Probe) answered(seq uint64, at time.Time, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq >= uint64(len(p.samples)) || p.samples[seq].received != 0 {
		return
	}
	from, ok := p.number[name]
	if !ok {
		from = len(p.names)
		p.number[name], p.names = from, append(p.names, name)
	}
	p.samples[seq].received, p.samples[seq].from = at.UnixNano(), from
}

// Late returns how many probes were never sent because this machine was too busy.
func (p *Probe) Late() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.late
}

// Sent returns how many probes were sent.
func (p *Probe) Sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.samples)
}

// Close ends the probing. What was measured stays readable.
func (p *Probe) Close() (err error) {
	p.once.Do(func() {
		p.node.lab.disown(p)
		p.quit.Store(true)
		p.ended.Wait()
		err = unix.Close(p.fd)
	})
	return err
}

// WaitForAnswer waits until a probe sent at or after since has been answered, and returns when that was and by whom.
func (p *Probe) WaitForAnswer(since time.Time, d time.Duration) (time.Time, string, error) {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if at, name, ok := p.FirstAnswer(since, ""); ok {
			return at, name, nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return time.Time{}, "", fmt.Errorf("%s: wait for an answer: %w after %v", p.node, ErrTimeout, d)
		}
	}
}
