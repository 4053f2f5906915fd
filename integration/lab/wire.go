package lab

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Weather is what a Wire does to frames.
type Weather struct {
	// Loss is the share of frames that get lost, 0 to 1.
	Loss float64
	// Delay is added to every frame, and up to Jitter on top of it to each by itself: what leaves later may arrive earlier.
	Delay, Jitter time.Duration
	// Only restricts it to some frames, given from the Ethernet header on; nil: all. Others pass at once. It is called from
	// two goroutines.
	Only func(frame []byte) bool
	// Seed makes what gets lost repeatable for one order of frames.
	Seed uint64
}

// Wire is a long cable with weather on it: it joins two interfaces of a node, which the kernel does not forward between,
// and loses, delays and reorders what passes. The frames themselves, with their TTL, stay as they are.
type Wire struct {
	node  *Node
	ends  [2]*wireEnd
	ended sync.WaitGroup
	quit  atomic.Bool
	once  sync.Once
	err   error
}

// wireEnd is one interface and the frames that are on their way to it.
type wireEnd struct {
	fd   int
	wake chan struct{}

	mu      sync.Mutex
	weather Weather
	random  *rand.Rand
	queue   frameQueue
	passed  int
	lost    int
}

// Wire joins two interfaces of the node, both of which have to be up and without addresses.
func (n *Node) Wire(ifA, ifB string) (*Wire, error) {
	w := &Wire{node: n}
	for i, name := range []string{ifA, ifB} {
		link, err := n.link(name)
		var fd int
		if err == nil {
			err = n.Do(func() (err error) { fd, err = wireSocket(link.Attrs().Index); return err })
		}
		if err != nil {
			return nil, fmt.Errorf("%s: wire %s to %s: %w", n, ifA, ifB, errors.Join(err, w.closeSockets()))
		}
		w.ends[i] = &wireEnd{fd: fd, wake: make(chan struct{}, 1), random: rand.New(rand.NewPCG(0, uint64(i)))}
	}
	n.lab.own(w)
	w.ended.Add(4)
	for i := range w.ends {
		go w.receive(w.ends[i], w.ends[1-i])
		go w.deliver(w.ends[i])
	}
	return w, nil
}

// wireSocket opens a socket that reads what arrives at an interface and writes what leaves by it. Frames come with the
// header by which virtual machines tell each other which checksums are still missing: handed on with the frame, it makes
// the kernel complete what a sender on this machine has left to its network card.
func wireSocket(index int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	setReceiveBuffer(fd)
	tv := unix.NsecToTimeval(int64(pollInterval))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}))
	if err != nil {
		return -1, errors.Join(fmt.Errorf("set up packet socket: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// Set changes the weather of both directions.
func (w *Wire) Set(weather Weather) {
	for i, e := range w.ends {
		e.mu.Lock()
		e.weather, e.random = weather, rand.New(rand.NewPCG(weather.Seed, uint64(i)))
		e.mu.Unlock()
	}
}

// Counts returns how many frames were handed on and how many were lost since the start, both directions together.
func (w *Wire) Counts() (passed, lost int) {
	for _, e := range w.ends {
		e.mu.Lock()
		passed, lost = passed+e.passed, lost+e.lost
		e.mu.Unlock()
	}
	return passed, lost
}

// vnetHeader is the length of virtio_net_hdr.
const vnetHeader = 10

func (w *Wire) receive(from, to *wireEnd) {
	defer w.ended.Done()
	realtime()
	buf := make([]byte, 1<<17)
	for !w.quit.Load() {
		n, _, err := unix.Recvfrom(from.fd, buf, 0)
		if err == nil && n > vnetHeader {
			to.take(append([]byte(nil), buf[:n]...), time.Now())
		}
	}
}

// take decides the fate of a frame.
func (e *wireEnd) take(frame []byte, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := now
	if e.weather.Only == nil || e.weather.Only(frame[vnetHeader:]) {
		if e.random.Float64() < e.weather.Loss {
			e.lost++
			return
		}
		at = now.Add(e.weather.Delay)
		if e.weather.Jitter > 0 {
			at = at.Add(time.Duration(e.random.Int64N(int64(e.weather.Jitter))))
		}
	}
	e.passed++
	heap.Push(&e.queue, queuedFrame{at, e.passed, frame})
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// deliver writes frames when their time has come. A failed write is a lost frame, as on any cable.
func (w *Wire) deliver(e *wireEnd) {
	defer w.ended.Done()
	realtime()
	t := time.NewTimer(pollInterval)
	defer t.Stop()
	for !w.quit.Load() {
		frame, wait := e.next(time.Now())
		if frame != nil {
			_, _ = unix.Write(e.fd, frame)
			continue
		}
		t.Reset(wait)
		select {
		case <-e.wake:
		case <-t.C:
		}
	}
}

// next returns a frame that is due, or how long to wait for one.
func (e *wireEnd) next(now time.Time) ([]byte, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return nil, pollInterval
	}
	if wait := e.queue[0].at.Sub(now); wait > 0 {
		return nil, min(wait, pollInterval)
	}
	return heap.Pop(&e.queue).(queuedFrame).frame, 0
}

// Close ends the forwarding.
func (w *Wire) Close() error {
	w.once.Do(func() {
		w.node.lab.disown(w)
		w.quit.Store(true)
		w.ended.Wait()
		w.err = w.closeSockets()
	})
	return w.err
}

func (w *Wire) closeSockets() (err error) {
	for _, e := range w.ends {
		if e != nil {
			err = errors.Join(err, unix.Close(e.fd))
		}
	}
	return err
}

type queuedFrame struct {
	at    time.Time
	order int // of arrival: frames of one time keep it
	frame []byte
}

// frameQueue is a heap of frames, the next one to deliver first.
type frameQueue []queuedFrame

func (q frameQueue) Len() int { return len(q) }
func (q frameQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].order < q[j].order
}
func (q frameQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *frameQueue) Push(x any)   { *q = append(*q, x.(queuedFrame)) }
func (q *frameQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}
