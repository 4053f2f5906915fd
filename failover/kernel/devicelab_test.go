package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// deviceLab is a LAN of three hosts: a and b are routers, c is a client that has the switch inside, and sees every
// frame on it.
type deviceLab struct {
	t       testing.TB
	a, b, c labHost
}

// labHost is a network namespace with a name, which ip netns exec works in.
type labHost struct {
	t    testing.TB
	name string
}

var (
	deviceLabs   int
	deviceLabsMu sync.Mutex
)

func newDeviceLab(t testing.TB) *deviceLab {
	t.Helper()
	requireRoot(t)
	deviceLabsMu.Lock()
	deviceLabs++
	prefix := fmt.Sprintf("fo-dev-%d-%d", os.Getpid(), deviceLabs)
	deviceLabsMu.Unlock()
	l := &deviceLab{t, labHost{t, prefix + "-a"}, labHost{t, prefix + "-b"}, labHost{t, prefix + "-c"}}
	for _, h := range []labHost{l.a, l.b, l.c} {
		command(t, "ip netns add "+h.name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", h.name).Run() })
		h.run("ip link set lo up")
	}
	l.c.run("ip link add lan address 02:00:00:00:00:03 type bridge")
	l.c.run("ip addr add 192.0.2.3/24 dev lan")
	l.c.run("ip addr add 2001:db8::3/64 dev lan nodad")
	l.c.run("ip link set lan up")
	l.plug(l.a, 1)
	l.plug(l.b, 2)
	return l
}

// plug connects router number n to the switch by its eth0.
func (l *deviceLab) plug(h labHost, n int) {
	l.t.Helper()
	port := fmt.Sprintf("port%d", n)
	l.c.run(fmt.Sprintf("ip link add %s type veth peer name eth0 address 02:00:00:00:00:%02x netns %s", port, n, h.name))
	l.c.run("ip link set " + port + " master lan up")
	h.run("ip link set eth0 addrgenmode none up")
	h.run(fmt.Sprintf("ip addr add 192.0.2.%d/24 dev eth0", n))
	h.run(fmt.Sprintf("ip addr add fe80::%d/64 dev eth0 nodad", n))
	h.run(fmt.Sprintf("ip addr add 2001:db8::%d/64 dev eth0 nodad", n))
	// The switch forwards when the port does, which is a moment after both ends are up.
	within(l.t, 10*time.Second, port+" forwards", func() bool {
		return strings.Contains(l.c.run("bridge link show dev "+port), "state forwarding") && h.pings("192.0.2.3")
	})
}

// unplug removes eth0.
func (l *deviceLab) unplug(n int) { l.c.run(fmt.Sprintf("ip link del port%d", n)) }

func command(t testing.TB, line string) string {
	t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// run runs a command in the namespace.
func (h labHost) run(line string) string {
	h.t.Helper()
	return command(h.t, "ip netns exec "+h.name+" "+line)
}

// try is run for a command that may fail.
func (h labHost) try(line string) (string, error) {
	out, err := exec.Command("ip", append([]string{"netns", "exec", h.name}, strings.Fields(line)...)...).CombinedOutput()
	return string(out), err
}

// pings reports whether a packet comes back.
func (h labHost) pings(to string) bool {
	_, err := h.try("ping -n -c 1 -W 1 " + to)
	return err == nil
}

func (h labHost) setting(path string) string {
	h.t.Helper()
	return strings.TrimSpace(h.run("cat /proc/sys/net/" + path))
}

func (h labHost) set(path, value string) {
	h.t.Helper()
	h.inside(func() error { return os.WriteFile("/proc/sys/net/"+path, []byte(value), 0) })
}

// inside calls f on a thread in the namespace.
func (h labHost) inside(f func() error) {
	h.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := os.Open("/run/netns/" + h.name)
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			_ = file.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		h.t.Fatalf("in %s: %v", h.name, err)
	}
}

// deviceRun is a Devices at work.
type deviceRun struct {
	t       testing.TB
	devices *Devices
	cancel  context.CancelFunc
	ended   chan struct{}

	mu      sync.Mutex
	reports []failover.DevicesReported
}

// start runs a Devices in the namespace until stop, or the end of the test.
func (h labHost) start() *deviceRun { return h.startWith(nil) }

// startWith is start with a change of the new Devices.
func (h labHost) startWith(change func(*Devices)) *deviceRun {
	h.t.Helper()
	r := &deviceRun{t: h.t, ended: make(chan struct{})}
	h.inside(func() (err error) {
		r.devices, err = NewDevices(slog.New(slog.DiscardHandler))
		return err
	})
	if change != nil {
		change(r.devices)
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(r.ended)
		if err := r.devices.Run(ctx, r.add); err != nil {
			h.t.Errorf("Run: %v", err)
		}
		if err := r.devices.Close(); err != nil {
			h.t.Errorf("Close: %v", err)
		}
	}()
	h.t.Cleanup(r.stop)
	return r
}

func (r *deviceRun) stop() {
	r.cancel()
	<-r.ended
}

func (r *deviceRun) add(rep failover.DevicesReported) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, rep)
}

func (r *deviceRun) last() (rep failover.DevicesReported, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n = len(r.reports); n > 0 {
		rep = r.reports[n-1]
	}
	return rep, n
}

// set asks and waits for the answer.
func (r *deviceRun) set(devices []failover.Device, notAccepted ...failover.AddressKey) failover.DevicesReported {
	r.t.Helper()
	_, before := r.last()
	r.devices.Set(devices, notAccepted, true)
	within(r.t, 10*time.Second, "the answer to Set", func() bool { _, n := r.last(); return n > before })
	rep, _ := r.last()
	return rep
}

// sets asks for what must be possible.
func (r *deviceRun) sets(devices []failover.Device, notAccepted ...failover.AddressKey) {
	r.t.Helper()
	if rep := r.set(devices, notAccepted...); len(rep.Failed) > 0 || rep.Filter != "" {
		r.t.Fatalf("report %+v", rep)
	}
}

// The virtual routers of the lab.
var (
	virtual4 = failover.Device{Name: "vrrp.51", Parent: "eth0", MAC: [6]byte{0, 0, 0x5e, 0, 1, 51}}
	virtual6 = failover.Device{Name: "vrrp.52", Parent: "eth0", MAC: [6]byte{0, 0, 0x5e, 0, 2, 52}, IPv6: true}
	both     = []failover.Device{virtual4, virtual6}
)

func key(iface, prefix string) failover.AddressKey {
	return failover.AddressKey{Interface: iface, Prefix: netip.MustParsePrefix(prefix)}
}

// capture collects the frames that come into the switch of the lab.
type capture struct {
	t    testing.TB
	fd   int
	done chan struct{}

	mu     sync.Mutex
	frames [][]byte
}

func (l *deviceLab) capture() *capture {
	l.t.Helper()
	c := &capture{t: l.t, done: make(chan struct{})}
	l.c.inside(func() (err error) {
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		if err != nil {
			return err
		}
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		return unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20000})
	})
	ports := map[int]bool{}
	l.c.inside(func() error {
		list, err := net.Interfaces()
		for _, i := range list {
			ports[i.Index] = strings.HasPrefix(i.Name, "port")
		}
		return err
	})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		c.collect(ports, stop)
	}()
	l.t.Cleanup(func() {
		close(stop)
		<-stopped
		_ = unix.Close(c.fd)
	})
	return c
}

func (c *capture) collect(ports map[int]bool, stop <-chan struct{}) {
	b := make([]byte, 4096)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, from, err := unix.Recvfrom(c.fd, b, 0)
		ll, ok := from.(*unix.SockaddrLinklayer)
		if err != nil || !ok || ll.Pkttype == unix.PACKET_OUTGOING || !ports[ll.Ifindex] {
			continue
		}
		c.mu.Lock()
		c.frames = append(c.frames, slices.Clone(b[:n]))
		c.mu.Unlock()
	}
}

// from returns the frames from a link-layer address since the start, or the last forget.
func (c *capture) from(mac [6]byte) (frames [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if [6]byte(f[6:12]) == mac {
			frames = append(frames, f)
		}
	}
	return frames
}

func (c *capture) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames = nil
}

// arp returns the ARP packets of an operation about an address: the sender of each as "MAC".
func (c *capture) arp(operation byte, sender netip.Addr) (macs []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		if len(f) >= 42 && f[12] == 8 && f[13] == 6 && f[21] == operation && netip.AddrFrom4([4]byte(f[28:32])) == sender {
			macs = append(macs, net.HardwareAddr(f[22:28]).String())
		}
	}
	return macs
}
