package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/vrrp"
)

// world is a kernel that a test can play the administrator of: the fake one in virtual time, or a network namespace
// of its own. The same test bodies run in both.
type world interface {
	open(t testing.TB) host
	addLink(name string)
	removeLink(name string)
	renameLink(old, name string)
	setUp(name string, up bool)
	addAddress(prefix, dev string)
	removeAddress(prefix, dev string)
	// show returns the addresses as lines, sorted, without what a kernel adds on its own (::1, 127.0.0.1, fe80::/64).
	show() []string
	// promotes reports promote_secondaries of an interface.
	promotes(name string) bool
	virtual() bool
}

// inWorlds runs body on the fake kernel and on a real one.
func inWorlds(t *testing.T, body func(t *testing.T, w world)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { body(t, newFakeKernel()) })
	})
	t.Run("kernel", func(t *testing.T) { body(t, newRealWorld(t)) })
}

// requireRoot skips a test that needs network namespaces.
func requireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: NOT ROOT: this test makes network namespaces and changes addresses in them")
	}
}

// netns is a network namespace without a name: it ends with its thread and its sockets.
type netns struct{ calls chan func() }

func newNetns(t testing.TB) *netns {
	t.Helper()
	requireRoot(t)
	n := &netns{calls: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		ready <- err
		for f := range n.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("unshare network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.calls) })
	return n
}

// do runs f on the thread of the namespace.
func (n *netns) do(f func()) {
	done := make(chan struct{})
	n.calls <- func() { defer close(done); f() }
	<-done
}

// realWorld is a namespace with veth pairs for interfaces; the other end of NAME is pNAME, in peers if that is set.
type realWorld struct {
	t  testing.TB
	ns *netns
	h  *netlink.Handle
}

func newRealWorld(t testing.TB) *realWorld {
	t.Helper()
	w := &realWorld{t: t, ns: newNetns(t)}
	var err error
	w.ns.do(func() { w.h, err = netlink.NewHandle(unix.NETLINK_ROUTE) })
	w.check(err)
	t.Cleanup(w.h.Close)
	w.setUp("lo", true)
	return w
}

func (w *realWorld) virtual() bool { return false }

func (w *realWorld) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *realWorld) open(t testing.TB) host {
	var h *netlinkHost
	var err error
	w.ns.do(func() { h, err = openHost(slog.New(slog.DiscardHandler)) })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (w *realWorld) link(name string) netlink.Link {
	l, err := w.h.LinkByName(name)
	w.check(err)
	return l
}

func (w *realWorld) addLink(name string) {
	w.t.Helper()
	w.check(w.h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "p" + name}))
	w.setUp(name, true)
	w.setUp("p"+name, true)
}

func (w *realWorld) removeLink(name string) { w.check(w.h.LinkDel(w.link(name))) }

func (w *realWorld) renameLink(old, name string) { w.check(w.h.LinkSetName(w.link(old), name)) }

func (w *realWorld) setUp(name string, up bool) {
	if up {
		w.check(w.h.LinkSetUp(w.link(name)))
	} else {
		w.check(w.h.LinkSetDown(w.link(name)))
	}
}

func (w *realWorld) addr(prefix string) *netlink.Addr {
	a, err := netlink.ParseAddr(prefix)
	w.check(err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD
	} else {
		a.Broadcast = []byte{0, 0, 0, 0}
	}
	return a
}

func (w *realWorld) addAddress(prefix, dev string) { w.check(w.h.AddrAdd(w.link(dev), w.addr(prefix))) }

func (w *realWorld) removeAddress(prefix, dev string) {
	w.check(w.h.AddrDel(w.link(dev), w.addr(prefix)))
}

func (w *realWorld) promotes(name string) bool {
	var b []byte
	var err error
	w.ns.do(func() { b, err = os.ReadFile("/proc/sys/net/ipv4/conf/" + name + "/promote_secondaries") })
	w.check(err)
	return strings.TrimSpace(string(b)) == "1"
}

func (w *realWorld) show() []string {
	w.t.Helper()
	var h *netlinkHost
	var err error
	w.ns.do(func() { h, err = openHost(slog.New(slog.DiscardHandler)) })
	w.check(err)
	defer func() { w.check(h.close()) }()
	links, err := h.links()
	w.check(err)
	entries, err := h.addresses()
	w.check(err)
	return showEntries(links, entries)
}

// showEntries prints a listing like ip addr, one line per address. Lifetimes are printed as finite or not, because
// they count down.
func showEntries(links []link, entries []entry) []string {
	names := map[int]string{}
	for _, l := range links {
		names[l.index] = l.name
	}
	var lines []string
	for i := range entries {
		e := &entries[i]
		if a := e.prefix.Addr(); a.IsLinkLocalUnicast() || a.IsLoopback() {
			continue
		}
		lines = append(lines, showEntry(e, names[e.index]))
	}
	slices.Sort(lines)
	return lines
}

func showEntry(e *entry, dev string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v dev %s", e.prefix, dev)
	if e.broadcast.IsValid() {
		fmt.Fprintf(&b, " brd %v", e.broadcast)
	}
	if e.scope != 0 {
		fmt.Fprintf(&b, " scope %d", e.scope)
	}
	if e.label != "" && e.label != dev {
		b.WriteString(" label " + e.label)
	}
	for _, f := range []struct {
		flag uint32
		name string
	}{
		{unix.IFA_F_NODAD, "nodad"},
		{unix.IFA_F_DEPRECATED, "deprecated"},
		{unix.IFA_F_NOPREFIXROUTE, "noprefixroute"},
		{unix.IFA_F_DADFAILED, "dadfailed"},
		{unix.IFA_F_TENTATIVE, "tentative"},
	} {
		if e.flags&f.flag != 0 {
			b.WriteString(" " + f.name)
		}
	}
	if e.proto != 0 {
		fmt.Fprintf(&b, " proto %d", e.proto)
	}
	if e.valid != forever {
		b.WriteString(" leased")
	}
	return b.String()
}

// running is a worker whose Run is going on.
type running struct {
	t      testing.TB
	worker *Worker
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	reports []failover.AddressReport
}

// start runs a worker in w until stop, or the end of the test.
func start(t *testing.T, w world, options Options) *running {
	t.Helper()
	return startOn(t, w.open(t), w.open(t), options)
}

func startOn(t testing.TB, writer, watcher host, options Options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, cancel: cancel, done: make(chan struct{})}
	r.worker = newWorker(slog.New(slog.DiscardHandler), options, writer, watcher)
	if _, fake := writer.(*fakeHost); fake {
		r.worker.clock = func() vrrp.Instant { return vrrp.Instant(time.Now().UnixNano()) } // CLOCK_MONOTONIC is not virtual
	}
	go func() {
		defer close(r.done)
		if err := r.worker.Run(ctx, r.add); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() {
		r.stop()
		if err := r.worker.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func (r *running) add(rep failover.AddressReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, rep)
}

// stop ends Run as a crash would: nothing is removed.
func (r *running) stop() {
	r.cancel()
	<-r.done
}

// all returns the reports so far.
func (r *running) all() []failover.AddressReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reports)
}

// last returns the newest report.
func (r *running) last() (rep failover.AddressReport) {
	if all := r.all(); len(all) > 0 {
		rep = all[len(all)-1]
	}
	return rep
}

// present reports whether the newest report answers the generation and has exactly the keys.
func (r *running) present(generation uint64, keys ...failover.AddressKey) bool {
	rep := r.last()
	return rep.Generation == generation && slices.Equal(rep.Present, keys) || len(keys) == 0 && rep.Generation == generation && len(rep.Present) == 0
}

// restored returns how often an address was reported as put back.
func (r *running) restored(k failover.AddressKey) (n int) {
	for _, rep := range r.all() {
		for _, other := range rep.Restored {
			if other == k {
				n++
			}
		}
	}
	return n
}

// within waits for cond at most so long and returns how long it took.
func within(t testing.TB, limit time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(500 * time.Microsecond)
	}
	return time.Since(began)
}

// staysFor checks that cond holds for so long.
func staysFor(t testing.TB, d time.Duration, what string, cond func() bool) {
	t.Helper()
	for began := time.Now(); time.Since(began) < d; time.Sleep(2 * time.Millisecond) {
		if !cond() {
			t.Fatalf("after %v no longer: %s", time.Since(began), what)
		}
	}
}

// address returns a wanted address without options.
func address(prefix, dev string, lease time.Duration) failover.Address {
	return failover.Address{Prefix: netip.MustParsePrefix(prefix), Interface: dev, Lease: lease}
}

// shows reports whether the kernel has exactly the lines.
func shows(w world, lines ...string) bool { return slices.Equal(w.show(), lines) }

// soon is the limit for what takes a millisecond on a machine that has nothing else to do.
const soon = 3 * time.Second

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
