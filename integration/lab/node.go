package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Node is one machine of a lab: a network namespace, and a thread that lives in it. Its loopback interface is up.
type Node struct {
	// constant after Lab.Node
	lab   *Lab
	name  string
	ns    *os.File // the namespace itself
	inode uint64   // of the namespace; identifies the processes in it
	bound string   // path under /run/netns, or empty
	nl    *netlink.Handle
	tid   int // thread that owns the namespace

	calls chan func() // run on that thread
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once
}

// Node returns the node of that name, created on first use. A name is 1 to 12 letters, digits and hyphens.
func (l *Lab) Node(name string) (*Node, error) {
	if !validName(name) {
		return nil, fmt.Errorf("node %q: want 1 to 12 letters, digits or hyphens", name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, ok := l.nodes[name]; ok {
		return n, nil
	}
	n := &Node{lab: l, name: name, calls: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{})}
	ready := make(chan error)
	go n.live(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("create node %s: %w", name, err)
	}
	l.order = append(l.order, n)
	if err := n.furnish(); err != nil {
		return nil, fmt.Errorf("create node %s: %w", name, err)
	}
	l.nodes[name] = n
	return n, nil
}

func validName(s string) bool {
	return len(s) >= 1 && len(s) <= 12 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// String returns the node's name.
func (n *Node) String() string { return n.name }

// Path returns a path that names the namespace for as long as the lab is open: for `nsenter --net=PATH`.
func (n *Node) Path() string {
	if n.bound != "" {
		return n.bound
	}
	return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), n.tid)
}

// live owns the node's thread: it creates the namespace and then runs what is sent to it. Processes are started from
// here and nowhere else, because they are told to die with the thread that forked them (PR_SET_PDEATHSIG is about the
// thread, not the process). The thread is never unlocked, so the runtime ends it together with the goroutine.
func (n *Node) live(ready chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		// /proc/self/ns/net is the main thread's: leave that one alone. While it is locked here the new goroutine is
		// certain to get another thread.
		started := make(chan error)
		go n.live(started)
		ready <- <-started
		runtime.UnlockOSThread()
		return
	}
	defer close(n.ended)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		ready <- fmt.Errorf("unshare network namespace: %w", err)
		return
	}
	n.tid = unix.Gettid()
	ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", n.tid))
	if err != nil {
		ready <- err
		return
	}
	n.ns = ns
	ready <- nil
	for {
		select {
		case f := <-n.calls:
			f()
		case <-n.quit:
			return
		}
	}
}

// furnish gives a new namespace its handle, its name and what a machine has after booting.
func (n *Node) furnish() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(n.ns.Fd()), &st); err != nil {
		return fmt.Errorf("stat namespace: %w", err)
	}
	n.inode = st.Ino
	nl, err := netlink.NewHandleAt(netns.NsHandle(n.ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	n.nl = nl
	if n.lab.opts.Named && !inside() {
		if err := n.bind(); err != nil {
			return err
		}
	}
	for key, value := range map[string]string{
		"ipv6/conf/default/accept_dad": "0", "ipv6/conf/all/accept_dad": "0", // an address is usable at once
		"ipv4/conf/default/rp_filter": "0", "ipv4/conf/all/rp_filter": "0",
	} {
		if err := n.Sysctl(key, value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return n.SetUp("lo", true)
}

// bind gives the namespace a name that iproute2 knows.
func (n *Node) bind() error {
	const dir = "/run/netns"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("name namespace: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("fo-%d-%s", os.Getpid(), n.name))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return fmt.Errorf("name namespace: %w", err)
	}
	f.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", n.tid), path, "", unix.MS_BIND, ""); err != nil {
		return errors.Join(fmt.Errorf("name namespace: mount %s: %w", path, err), os.Remove(path))
	}
	n.bound = path
	return nil
}

// Destroy kills every process on the node, as close together as this machine can, and gives its namespace back, as the
// end of a container does: what its interfaces were connected to loses them. Witnesses of the node keep the namespace
// until they are closed. Nothing can be done with the node afterwards, and its name is free for another one.
func (n *Node) Destroy() error {
	l := n.lab
	l.mu.Lock()
	delete(l.nodes, n.name)
	l.order = slices.DeleteFunc(l.order, func(o *Node) bool { return o == n }) // its inode may soon be that of a stranger
	l.mu.Unlock()
	err := killStrangers([]*Node{n})
	if e := n.close(); e != nil {
		err = errors.Join(err, e)
	}
	if err != nil {
		return fmt.Errorf("destroy %s: %w", n, err)
	}
	return nil
}

// close takes the name away and ends the thread; the namespace goes when nobody is left in it.
func (n *Node) close() (err error) {
	n.once.Do(func() {
		if n.bound != "" {
			if e := unix.Unmount(n.bound, unix.MNT_DETACH); e != nil {
				err = fmt.Errorf("unmount %s: %w", n.bound, e)
			}
			err = errors.Join(err, os.Remove(n.bound))
			_ = os.Remove(filepath.Dir(n.bound)) // succeeds only when empty
		}
		close(n.quit)
		<-n.ended
		if n.nl != nil {
			n.nl.Close()
		}
		err = errors.Join(err, n.ns.Close())
	})
	return err
}

// Do runs f with the calling goroutine inside the node's namespace: sockets and files under /proc/sys/net that f opens
// are the node's, and stay so afterwards. Goroutines that f starts are outside.
func (n *Node) Do(f func() error) (err error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter %s: %w", n.name, err)
	}
	defer home.Close()
	if err := setns(n.ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter %s: %w", n.name, err)
	}
	defer func() {
		if e := setns(home); e != nil {
			// The thread stays locked and ends with this goroutine: nobody else must run in the wrong network.
			err = errors.Join(err, fmt.Errorf("leave %s: %w", n.name, e))
			return
		}
		runtime.UnlockOSThread()
	}()
	return f()
}

// setns moves the calling thread. Going through SyscallConn keeps a file that is being closed from being taken for
// another one with the same number.
func setns(ns *os.File) error {
	rc, err := ns.SyscallConn()
	if err != nil {
		return err
	}
	var e error
	if err := rc.Control(func(fd uintptr) { e = unix.Setns(int(fd), unix.CLONE_NEWNET) }); err != nil {
		return err
	}
	return e
}

// onThread runs f on the node's own thread and waits for it.
func (n *Node) onThread(f func() error) (err error) {
	done := make(chan struct{})
	call := func() {
		defer close(done)
		err = f()
	}
	select {
	case n.calls <- call:
		<-done
		return err
	case <-n.ended:
		return fmt.Errorf("node %s: closed", n.name)
	}
}
