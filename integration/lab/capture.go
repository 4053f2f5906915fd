package lab

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Frame is one Ethernet frame that a Capture saw.
type Frame struct {
	// At is when the kernel saw it, by the wall clock (SO_TIMESTAMPNS).
	At time.Time
	// Node and Interface say where.
	Node, Interface string
	// Outgoing is true for a frame that the node sent, false for one that it received.
	Outgoing bool
	Data     []byte
}

// Capture records the control traffic of an interface: ARP, neighbor discovery, VRRP and BGP. The kernel filters, so the
// probe's packets cost nothing. To put what one node does into an order, capture on that node: its frames are stamped as
// they leave, while on the way to another node each may wait a fraction of a millisecond.
type Capture struct {
	node  *Node
	nic   string
	file  *os.File
	ended chan struct{}
	once  sync.Once
	lost  atomic.Uint64

	taking sync.Mutex // held by the reader while a frame is neither in the socket nor in frames
	mu     sync.Mutex
	frames []Frame
}

// maxFrames bounds the memory of a capture; later frames are counted in Lost.
const maxFrames = 1 << 18

// Capture starts to record what passes an interface of the node. It sees everything from the moment of the return.
func (n *Node) Capture(ifname string) (*Capture, error) {
	link, err := n.link(ifname)
	if err != nil {
		return nil, err
	}
	if err := n.lab.stamps.on(n); err != nil {
		return nil, fmt.Errorf("%s: capture on %s: %w", n, ifname, err)
	}
	var fd int
	err = n.Do(func() (err error) { fd, err = packetSocket(link.Attrs().Index); return err })
	if err != nil {
		return nil, fmt.Errorf("%s: capture on %s: %w", n, ifname, err)
	}
	c := &Capture{node: n, nic: ifname, file: os.NewFile(uintptr(fd), "packet"), ended: make(chan struct{})}
	go c.read()
	n.lab.own(c)
	return c, nil
}

// packetSocket opens a packet socket that delivers control frames of one interface. The filter is attached before the
// socket is bound, so that nothing else slips in.
func packetSocket(index int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	raw, err := bpf.Assemble(controlFilter)
	if err == nil {
		filter := make([]unix.SockFilter, len(raw))
		for i, r := range raw {
			filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
		}
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err == nil {
		setReceiveBuffer(fd)
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index})
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set up packet socket: %w", err)
	}
	return fd, nil
}

// setReceiveBuffer asks for room for a few seconds of traffic, beyond the sysctl's limit where that is allowed.
func setReceiveBuffer(fd int) {
	const size = 8 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size) // the default has to do
	}
}

func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

// read moves frames from the socket into memory until the socket is closed.
func (c *Capture) read() {
	defer close(c.ended)
	rc, err := c.file.SyscallConn()
	if err != nil {
		return
	}
	buf, oob := make([]byte, 1<<16), make([]byte, 256)
	for {
		var (
			n, on int
			from  unix.Sockaddr
			e     error
		)
		err := rc.Read(func(fd uintptr) bool {
			c.taking.Lock()
			if n, on, _, from, e = unix.Recvmsg(int(fd), buf, oob, 0); e != nil {
				c.taking.Unlock()
			}
			return e != unix.EAGAIN
		})
		switch {
		case err != nil:
			return // closed
		case e != nil:
			continue // ENETDOWN, once, when the interface goes down
		}
		at, ok := timestamp(oob[:on])
		if !ok {
			at = time.Now().Round(0)
		}
		ll, _ := from.(*unix.SockaddrLinklayer)
		c.add(Frame{
			At: at, Node: c.node.name, Interface: c.nic, Data: slices.Clone(buf[:n]),
			Outgoing: ll != nil && ll.Pkttype == unix.PACKET_OUTGOING,
		})
		c.taking.Unlock()
	}
}

// catchUp waits until what the kernel had put into the socket by now has been read, so that what was seen by other means can
// be seen here as well.
func (c *Capture) catchUp() {
	rc, err := c.file.SyscallConn()
	if err != nil {
		return
	}
	for begin := time.Now(); !c.reaches(begin) && time.Since(begin) < readPatience; time.Sleep(readPause) {
		more := false
		err := rc.Control(func(fd uintptr) { more = readable(int(fd)) })
		if err != nil || !more {
			break
		}
	}
	c.taking.Lock() // what is on its way from the socket
	defer c.taking.Unlock()
}

// reaches reports whether the newest frame is younger than an instant.
func (c *Capture) reaches(at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.frames) > 0 && c.frames[len(c.frames)-1].At.After(at)
}

// How long those who read what a witness has seen wait for it to catch up with the kernel, and between two looks.
const (
	readPatience = 2 * time.Second
	readPause    = time.Millisecond
)

// readable reports whether a socket has something to be read.
func readable(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0 && p[0].Revents&unix.POLLIN != 0
}

func (c *Capture) add(f Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.frames) >= maxFrames {
		c.lost.Add(1)
		return
	}
	c.frames = append(c.frames, f)
}

// timestamp finds the kernel's receive stamp in the control messages of a packet.
func timestamp(oob []byte) (time.Time, bool) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}, false
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), true
		}
	}
	return time.Time{}, false
}

// Frames returns what has been seen so far, in the order of arrival.
func (c *Capture) Frames() []Frame {
	c.catchUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames)
}

// FramesSince returns what has been seen after the first n frames, for a reader that follows.
func (c *Capture) FramesSince(n int) []Frame {
	c.catchUp()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames[min(n, len(c.frames)):])
}

// Lost returns how many frames there was no room for.
func (c *Capture) Lost() uint64 { return c.lost.Load() }

// Close ends the recording. What was seen stays readable.
func (c *Capture) Close() (err error) {
	c.once.Do(func() {
		c.node.lab.disown(c)
		err = c.file.Close()
		<-c.ended
	})
	return err
}

// controlFilter passes ARP, ICMPv6, VRRP, and TCP to or from port 179, over plain Ethernet.
var controlFilter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 19},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipTrue: 9},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 16},
	// IPv4
	bpf.LoadAbsolute{Off: 23, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 112, SkipTrue: 15},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 13},
	bpf.LoadMemShift{Off: 14},
	bpf.LoadIndirect{Off: 14, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: bgpPort, SkipTrue: 11},
	bpf.LoadIndirect{Off: 16, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: bgpPort, SkipTrue: 9, SkipFalse: 8},
	// IPv6, without extension headers
	bpf.LoadAbsolute{Off: 20, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 112, SkipTrue: 7},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 6},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 4},
	bpf.LoadAbsolute{Off: 54, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: bgpPort, SkipTrue: 3},
	bpf.LoadAbsolute{Off: 56, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: bgpPort, SkipTrue: 1},
	bpf.RetConstant{Val: 0},
	bpf.RetConstant{Val: 1 << 16},
}

const bgpPort = 179
