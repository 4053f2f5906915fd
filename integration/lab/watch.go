package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ChangeKind says what happened in a node's kernel.
type ChangeKind uint8

// Kinds of changes.
const (
	AddressAdded   ChangeKind = iota // Prefix on Interface
	AddressRenewed                   // an address that was there was set again: a lease was extended
	AddressRemoved                   // by somebody, or by the kernel at the end of its lease
	RouteAdded                       // Prefix by way of Gateway, also when it replaces another one
	RouteRemoved
	LinkUp // Interface has a carrier and is up
	LinkDown
)

var changeNames = [...]string{
	AddressAdded: "address added", AddressRenewed: "address renewed", AddressRemoved: "address removed",
	RouteAdded: "route added", RouteRemoved: "route removed", LinkUp: "link up", LinkDown: "link down",
}

// String returns the kind in words.
func (k ChangeKind) String() string { return changeNames[k] }

// Change is one change of a node's addresses, routes of the main table, or links.
type Change struct {
	// At is when the news was read: never before the change, and some tens of microseconds after it unless the
	// machine is starved and this process has no real-time class.
	At        time.Time
	Node      string
	Kind      ChangeKind
	Interface string
	Prefix    netip.Prefix
	Gateway   netip.Addr // of a route; zero without one
	// ValidLifetime is the lease of an address in seconds; 0 for ever.
	ValidLifetime uint32
}

// String returns the change in a form for people, without the time.
func (c *Change) String() string {
	switch c.Kind {
	case RouteAdded, RouteRemoved:
		if c.Gateway.IsValid() {
			return fmt.Sprintf("%s %s via %s", c.Kind, c.Prefix, c.Gateway)
		}
		return fmt.Sprintf("%s %s dev %s", c.Kind, c.Prefix, c.Interface)
	case LinkUp, LinkDown:
		return fmt.Sprintf("%s %s", c.Kind, c.Interface)
	}
	return fmt.Sprintf("%s %s dev %s", c.Kind, c.Prefix, c.Interface)
}

// Watch records the changes of a node's addresses, routes and links.
type Watch struct {
	node  *Node
	fd    int
	quit  atomic.Bool
	ended chan struct{}
	once  sync.Once

	// owned by the reader
	names   map[int32]string
	up      map[int32]bool
	present map[watchedAddress]bool

	taking  sync.Mutex // held while a message is neither in the socket nor in changes, and while the socket is closed
	mu      sync.Mutex
	changes []Change
	missed  int
	notify  func(Change)
}

type watchedAddress struct {
	index  int32
	prefix netip.Prefix
}

// Watch starts to record. It sees every change after its return. When notify is not nil it is called with each change,
// from one goroutine, and must not block.
func (n *Node) Watch(notify func(Change)) (*Watch, error) {
	w := &Watch{
		node: n, notify: notify, ended: make(chan struct{}), names: make(map[int32]string),
		up: make(map[int32]bool), present: make(map[watchedAddress]bool),
	}
	err := n.Do(func() (err error) { w.fd, err = monitorSocket(); return err })
	if err != nil {
		return nil, fmt.Errorf("%s: watch: %w", n, err)
	}
	if err := w.prime(); err != nil {
		unix.Close(w.fd)
		return nil, fmt.Errorf("%s: watch: %w", n, err)
	}
	go w.read()
	n.lab.own(w)
	return w, nil
}

// pollInterval is how long a witness waits for news before it looks whether it should end.
const pollInterval = 50 * time.Millisecond

func monitorSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, fmt.Errorf("open netlink socket: %w", err)
	}
	setReceiveBuffer(fd)
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK |
		unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE})
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set up netlink socket: %w", err)
	}
	return fd, nil
}

// prime learns what is there, so that a renewal is not taken for a new address.
func (w *Watch) prime() error {
	links, err := w.node.nl.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		w.names[int32(a.Index)] = a.Name
		w.up[int32(a.Index)] = a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING != 0
	}
	addrs, err := w.node.nl.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := prefixOf(a.IPNet); ok {
			w.present[watchedAddress{int32(a.LinkIndex), p}] = true
		}
	}
	return nil
}

func (w *Watch) read() {
	realtime()
	defer close(w.ended)
	buf := make([]byte, 1<<16)
	for !w.quit.Load() {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, int(pollInterval/time.Millisecond)); err == nil {
			w.take(buf)
		}
	}
}

// take reads what there is.
func (w *Watch) take(buf []byte) {
	w.taking.Lock()
	defer w.taking.Unlock()
	n, _, err := unix.Recvfrom(w.fd, buf, unix.MSG_DONTWAIT)
	at := time.Now().Round(0) // wall clock only, to compare with the kernel's stamps
	switch {
	case errors.Is(err, unix.ENOBUFS):
		w.mu.Lock()
		w.missed++
		w.mu.Unlock()
	case err == nil:
		msgs, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return
		}
		for _, m := range msgs {
			w.message(at, m)
		}
	}
}

// catchUp waits until what the kernel had told by now has been read.
func (w *Watch) catchUp() {
	for begin := time.Now(); w.behind() && time.Since(begin) < readPatience; {
		time.Sleep(readPause)
	}
}

// behind reports whether there is something to be read.
func (w *Watch) behind() bool {
	w.taking.Lock()
	defer w.taking.Unlock()
	return !w.quit.Load() && readable(w.fd)
}

func (w *Watch) message(at time.Time, m syscall.NetlinkMessage) {
	c := Change{At: at, Node: w.node.name}
	ok := false
	switch m.Header.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		ok = w.address(&c, m)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		ok = w.route(&c, m)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		ok = w.linkChange(&c, m)
	}
	if !ok {
		return
	}
	w.mu.Lock()
	w.changes = append(w.changes, c)
	w.mu.Unlock()
	if w.notify != nil {
		w.notify(c)
	}
}

// address reads an ifaddrmsg. IFA_LOCAL is the address itself where there is one; IFA_ADDRESS may be the peer's.
func (w *Watch) address(c *Change, m syscall.NetlinkMessage) bool {
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil || len(m.Data) < unix.SizeofIfAddrmsg {
		return false
	}
	bits, index := int(m.Data[1]), int32(binary.NativeEndian.Uint32(m.Data[4:]))
	var local, address netip.Addr
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_CACHEINFO:
			if v := binary.NativeEndian.Uint32(a.Value[4:]); v != 0xffffffff {
				c.ValidLifetime = v
			}
		}
	}
	if !local.IsValid() {
		local = address
	}
	c.Interface, c.Prefix = w.names[index], netip.PrefixFrom(local, bits)
	key := watchedAddress{index, c.Prefix}
	switch {
	case m.Header.Type == unix.RTM_DELADDR:
		c.Kind = AddressRemoved
		delete(w.present, key)
	case w.present[key]:
		c.Kind = AddressRenewed
	default:
		c.Kind, w.present[key] = AddressAdded, true
	}
	return local.IsValid()
}

// route reads an rtmsg. The local table, and with it the routes that come with addresses, is left out.
func (w *Watch) route(c *Change, m syscall.NetlinkMessage) bool {
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil || len(m.Data) < unix.SizeofRtMsg {
		return false
	}
	family, bits, table, kind := m.Data[0], int(m.Data[1]), m.Data[4], m.Data[7]
	if table != unix.RT_TABLE_MAIN || (kind != unix.RTN_UNICAST && kind != unix.RTN_BLACKHOLE) {
		return false
	}
	dst := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_GATEWAY:
			c.Gateway, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_OIF:
			c.Interface = w.names[int32(binary.NativeEndian.Uint32(a.Value))]
		}
	}
	c.Kind, c.Prefix = RouteAdded, netip.PrefixFrom(dst, bits)
	if m.Header.Type == unix.RTM_DELROUTE {
		c.Kind = RouteRemoved
	}
	return true
}

// linkChange reads an ifinfomsg and reports it when the link came up or went down.
func (w *Watch) linkChange(c *Change, m syscall.NetlinkMessage) bool {
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil || len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] != unix.AF_UNSPEC {
		return false
	}
	index, flags := int32(binary.NativeEndian.Uint32(m.Data[4:])), binary.NativeEndian.Uint32(m.Data[8:])
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_IFNAME {
			w.names[index] = unix.ByteSliceToString(a.Value)
		}
	}
	up := flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0 && m.Header.Type == unix.RTM_NEWLINK
	was := w.up[index]
	w.up[index] = up
	c.Interface, c.Kind = w.names[index], LinkDown
	if up {
		c.Kind = LinkUp
	}
	return up != was
}

// Changes returns what has been seen so far, in order.
func (w *Watch) Changes() []Change {
	w.catchUp()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.changes)
}

// Missed returns how often the kernel had to throw news away.
func (w *Watch) Missed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.missed
}

// Close ends the recording. What was seen stays readable.
func (w *Watch) Close() (err error) {
	w.once.Do(func() {
		w.node.lab.disown(w)
		w.quit.Store(true)
		<-w.ended
		w.taking.Lock()
		defer w.taking.Unlock()
		err = unix.Close(w.fd)
	})
	return err
}
