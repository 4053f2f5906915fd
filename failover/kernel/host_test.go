package kernel

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// smallFeedHost gives its subscriptions a tiny receive buffer.
type smallFeedHost struct {
	host
	mu   sync.Mutex
	feed *netlinkFeed
}

func (h *smallFeedHost) subscribe() (feed, error) {
	f, err := h.host.subscribe()
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.feed = f.(*netlinkFeed)
	err = h.feed.sock.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	})
	return f, err
}

func (h *smallFeedHost) current() *netlinkFeed {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.feed
}

func TestOverrunOfNotifications(t *testing.T) {
	w := newRealWorld(t)
	w.addLink("eth0")
	h := &smallFeedHost{host: w.open(t)}
	a := address("192.0.2.10/24", "eth0", 0)
	r := startOn(t, h, w.open(t), Options{Resync: time.Hour})
	r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
	within(t, soon, "present", func() bool { return r.present(1, a.Key()) })

	f := h.current()
	f.mu.Lock() // nobody reads
	for i := range 100 {
		w.addAddress(fmt.Sprintf("198.51.100.%d/32", i+1), "eth0")
	}
	w.removeAddress("192.0.2.10/24", "eth0")
	f.mu.Unlock()
	within(t, soon, "restored", func() bool { return r.restored(a.Key()) == 1 })
	f.mu.Lock()
	overruns := f.overruns
	f.mu.Unlock()
	if overruns == 0 {
		t.Error("no overrun: the test shows nothing")
	}
}

func TestBrokenSubscriptionIsOpenedAgain(t *testing.T) {
	w := newRealWorld(t)
	w.addLink("eth0")
	h := &smallFeedHost{host: w.open(t)}
	a := address("192.0.2.10/24", "eth0", 0)
	r := startOn(t, h, w.open(t), Options{Resync: time.Hour})
	r.worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
	within(t, soon, "present", func() bool { return r.present(1, a.Key()) })
	f := h.current()
	f.mu.Lock()
	broken := f.sock
	f.mu.Unlock()
	if err := broken.close(); err != nil {
		t.Fatal(err)
	}
	w.removeAddress("192.0.2.10/24", "eth0")
	within(t, soon, "restored by the listing after the repair", func() bool { return r.restored(a.Key()) == 1 })
	w.removeAddress("192.0.2.10/24", "eth0")
	within(t, soon, "restored by a notification", func() bool { return r.restored(a.Key()) == 2 })
}

// One failure among many writes is told apart, across the limits of a batch.
func TestWriteTellsFailuresApart(t *testing.T) {
	w := newRealWorld(t)
	w.addLink("eth0")
	h := w.open(t)
	defer func() { w.check(h.close()) }()
	index := w.link("eth0").Attrs().Index
	var ops []op
	for i := range 3 * batch {
		o := op{kind: opAdd, index: index, addr: numbered(i, "eth0", 0), valid: forever}
		if i%batch == batch-1 || i == 5 {
			o.index = 9999
		}
		ops = append(ops, o)
	}
	for i, err := range h.write(ops) {
		if failed := err != nil; failed != (ops[i].index == 9999) {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if n := len(w.show()); n != 3*batch-4 {
		t.Errorf("%d addresses, want %d", n, 3*batch-4)
	}
	if err := h.write([]op{{kind: opDelete, index: index, addr: address("203.0.113.1/32", "eth0", 0)}})[0]; err == nil ||
		!strings.Contains(err.Error(), "address") {
		t.Errorf("removal of what is not there: %v", err)
	}
}

func TestKernelKeepsTheTag(t *testing.T) {
	w := newRealWorld(t)
	var name unix.Utsname
	w.check(unix.Uname(&name))
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	h := w.open(t)
	defer func() { w.check(h.close()) }()
	if want := major > 5 || major == 5 && minor >= 18; h.tagged() != want {
		t.Errorf("tagged() = %v on Linux %d.%d", h.tagged(), major, minor)
	}
}

// Everything happens in the namespace of the thread that called New, whatever thread Run and Watch are on.
func TestNewUsesTheNamespaceOfItsThread(t *testing.T) {
	w := newRealWorld(t)
	w.addLink("fo-kern-ns0")
	var worker *Worker
	var err error
	w.ns.do(func() { worker, err = New(slog.New(slog.DiscardHandler), Options{}) })
	w.check(err)
	defer func() { w.check(worker.Close()) }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reports, names := make(chan failover.AddressReport, 16), make(chan string, 64)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() { _ = worker.Run(ctx, func(r failover.AddressReport) { reports <- r }) })
	running.Go(func() { _ = worker.Watch(ctx, func(i failover.Interface) { names <- i.Name }) })
	a := address("192.0.2.10/32", "fo-kern-ns0", 0)
	worker.Set(failover.DesiredAddresses{Generation: 1, Addresses: []failover.Address{a}})
	if r := <-reports; len(r.Present) != 1 {
		t.Errorf("report %+v", r)
	}
	seen := map[string]bool{}
	for len(seen) < 3 {
		seen[<-names] = true
	}
	if diff := cmp.Diff(map[string]bool{"lo": true, "fo-kern-ns0": true, "pfo-kern-ns0": true}, seen); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

func TestBootID(t *testing.T) {
	want, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Skip("SKIPPED: NO /proc: ", err)
	}
	if got := BootID(); got+"\n" != string(want) || len(got) != 36 {
		t.Errorf("BootID() = %q, want %q", got, want)
	}
}

// numbered returns address number i of 198.18.0.0/15 (IPv4).
func numbered(i int, dev string, lease time.Duration) failover.Address {
	raw := binary.BigEndian.AppendUint32(nil, 198<<24|18<<16|uint32(i+1))
	a, _ := netip.AddrFromSlice(raw)
	return failover.Address{Prefix: netip.PrefixFrom(a, 32), Interface: dev, Lease: lease}
}

func FuzzParse(f *testing.F) {
	o := op{kind: opAdd, index: 7, addr: address("192.0.2.10/24", "eth0", 0), valid: 3}
	o.addr.Label, o.addr.Broadcast = "eth0:1", netip.MustParseAddr("192.0.2.255")
	f.Add(o.appendMessage(nil, true))
	o.addr = address("2001:db8::10/64", "eth0", 0)
	f.Add(o.appendMessage(nil, true))
	f.Add(promoteRequest(7).Serialize())
	f.Add(probeRequest().Serialize())
	f.Fuzz(func(t *testing.T, b []byte) {
		for m, body := range messages(b) {
			if e, ok := parseAddress(body); ok && !e.prefix.IsValid() {
				t.Errorf("invalid prefix accepted: %+v", e)
			}
			if l, ok := parseLink(body); ok && l.name == "" {
				t.Errorf("link without a name accepted: %+v", l)
			}
			_ = parseError(m, body)
		}
	})
}

// What is written can be read back.
func TestAddressRoundTrip(t *testing.T) {
	for _, prefix := range []string{"192.0.2.10/24", "2001:db8::10/64"} {
		o := op{kind: opAdd, index: 7, addr: address(prefix, "eth0", 0), valid: 3}
		want := entry{index: 7, prefix: o.addr.Prefix, proto: Protocol, valid: 3, preferred: 3}
		if o.addr.Prefix.Addr().Is4() {
			o.addr.Label, o.addr.Scope, o.addr.Broadcast = "eth0:1", 253, netip.MustParseAddr("192.0.2.255")
			want.label, want.scope, want.broadcast = o.addr.Label, 253, o.addr.Broadcast
		} else {
			want.flags = unix.IFA_F_NODAD
		}
		for _, body := range messages(o.appendMessage(nil, true)) {
			if got, ok := parseAddress(body); !ok || got != want {
				t.Errorf("%s:\n got %+v\nwant %+v", prefix, got, want)
			}
		}
	}
}
