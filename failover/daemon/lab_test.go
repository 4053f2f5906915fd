package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/bgp/speaker"
	"failoverd/conf"
	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// TestMain makes the test binary a speaker process, or an agent that is going to panic, when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "speaker":
			os.Exit(speakerProcess())
		case "panic":
			os.Exit(panicProcess())
		}
	}
	os.Exit(m.Run())
}

func speakerProcess() int {
	o, err := speaker.ParseOptions(os.Args[2:])
	if err == nil {
		err = speaker.Main(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// slack is what a noisy machine may add to anything that is timed here.
const slack = 400 * time.Millisecond

// eventually asks until ok, for as long as a busy machine may take.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// lab is a network namespace with a veth pair in it: fo-a with 192.0.2.1/24 is the agent's, fo-b is where the test
// listens and sends. The namespace ends with its descriptor and its sockets.
type lab struct {
	t    testing.TB
	ns   *os.File
	peer *os.File // packet socket on fo-b
	to   int      // its interface

	mu   sync.Mutex
	seen []frame
}

// frame is an IPv4 packet that left fo-a.
type frame struct {
	at      time.Time
	payload []byte // of VRRP
}

func newLab(t testing.TB) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, PROVES NOTHING: network namespaces and raw sockets need root")
	}
	l := &lab{t: t}
	if err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			l.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.ns.Close() })
	for _, line := range []string{
		"link set lo up", "link add fo-a type veth peer name fo-b", "link set fo-a up", "link set fo-b up",
		"addr add 192.0.2.1/24 dev fo-a",
	} {
		l.ip(line)
	}
	l.listen()
	return l
}

// onThread runs f on a thread that nothing else will ever run on.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the function did not return")
		defer func() { done <- err }()
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err = f()
	}()
	return <-done
}

// do runs f on a thread inside the namespace.
func (l *lab) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(l.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// ip runs ip(8) with the arguments in line and returns what it prints.
func (l *lab) ip(line string) string {
	l.t.Helper()
	var out []byte
	if err := l.do(func() (err error) {
		out, err = exec.Command("/usr/sbin/ip", strings.Fields(line)...).CombinedOutput()
		return err
	}); err != nil {
		l.t.Fatalf("ip %s: %v: %s", line, err, out)
	}
	return string(out)
}

// holds reports whether an address is on fo-a.
func (l *lab) holds(addr string) bool {
	return strings.Contains(l.ip("-o addr show dev fo-a"), " "+addr+" ")
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }

// listen records the VRRP packets that reach fo-b.
func (l *lab) listen() {
	l.t.Helper()
	if err := l.do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(networkOrder(unix.ETH_P_IP)))
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq("fo-b")
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req)
		}
		if err == nil {
			l.to = int(req.Uint32())
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP), Ifindex: l.to})
		}
		l.peer = os.NewFile(uintptr(fd), "fo-b")
		return err
	}); err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 2048)
		for {
			n, err := l.peer.Read(b)
			if err != nil {
				return
			}
			if n > 20 && b[9] == wire.Protocol {
				l.mu.Lock()
				l.seen = append(l.seen, frame{time.Now(), append([]byte(nil), b[20:n]...)})
				l.mu.Unlock()
			}
		}
	}()
	l.t.Cleanup(func() {
		l.peer.Close()
		<-ended
	})
}

// adverts returns what the agent sent since a moment.
func (l *lab) adverts(since time.Time) (out []frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.seen {
		if !f.at.Before(since) {
			out = append(out, f)
		}
	}
	return out
}

// packet returns an advertisement of another node, as an IPv4 packet.
func (l *lab) packet(v wire.Version, vrid, priority uint8) []byte {
	l.t.Helper()
	src, dst := netip.MustParseAddr("192.0.2.99"), wire.IPv4.Group()
	a := wire.Advertisement{
		Version: v, VRID: vrid, Priority: priority, Interval: 100, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")},
	}
	body, err := a.Append(nil, src, dst, wire.ChecksumPseudo)
	if err != nil {
		l.t.Fatal(err)
	}
	h := []byte{0x45, 0xc0, 0, byte(20 + len(body)), 0, 0, 0, 0, 255, wire.Protocol, 0, 0}
	h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
	sum := uint32(0)
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	return append(h, body...)
}

// send puts a packet on the wire, and reports whether there was room.
func (l *lab) send(packet []byte) bool {
	raw, err := l.peer.SyscallConn()
	if err != nil {
		l.t.Fatal(err)
	}
	to := &unix.SockaddrLinklayer{
		Protocol: networkOrder(unix.ETH_P_IP), Ifindex: l.to, Halen: 6, Addr: [8]byte{0x01, 0x00, 0x5e, 0, 0, 18},
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.Sendto(int(fd), packet, unix.MSG_DONTWAIT, to) }); err != nil {
		l.t.Fatal(err)
	}
	return sent == nil
}

// testLog keeps what an agent logs.
type testLog struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *testLog) count(text string) int { return strings.Count(l.String(), text) }

// running is an agent that runs.
type running struct {
	t     testing.TB
	agent *Agent
	log   *testLog
	file  string
	stop  context.CancelCauseFunc
	ended chan error
}

// options are those of an agent that reads a file with the given text.
func options(t testing.TB, text string, log io.Writer) (Options, string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "failoverd.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	load := LoadOptions{File: file, Strict: true}
	return Options{
		File: file, StateDir: filepath.Join(dir, "state"), Version: "test", SpeakerArgv: []string{"/nonexistent/speaker"},
		Load: func() (*failover.Config, []conf.Diagnostic, error) { return Load(load) },
		Log:  slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, file
}

// start runs an agent in the lab's namespace.
func (l *lab) start(text string, change ...func(*Options)) *running {
	l.t.Helper()
	r := &running{t: l.t, log: new(testLog), ended: make(chan error, 1)}
	var o Options
	o, r.file = options(l.t, text, r.log)
	for _, f := range change {
		f(&o)
	}
	ctx, stop := context.WithCancelCause(context.Background())
	r.stop = stop
	made := make(chan error, 1)
	go func() {
		r.ended <- l.do(func() (err error) {
			r.agent, err = New(o)
			made <- err
			if err != nil {
				return err
			}
			return r.agent.Run(ctx)
		})
	}()
	if err := <-made; err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		stop(nil)
		if l.t.Failed() {
			l.t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

// end stops the agent and returns how long that took, and its error.
func (r *running) end() (time.Duration, error) {
	r.t.Helper()
	begin := time.Now()
	r.stop(nil)
	select {
	case err := <-r.ended:
		return time.Since(begin), err
	case <-time.After(20 * time.Second):
		b := make([]byte, 1<<20)
		r.t.Fatalf("Run does not end:\n%s", b[:runtime.Stack(b, true)])
		return 0, nil
	}
}

// mustEnd stops the agent in order.
func (r *running) mustEnd() {
	r.t.Helper()
	if took, err := r.end(); err != nil || took > stopBound+slack {
		r.t.Errorf("the end took %v: %v", took, err)
	}
}

func (r *running) snapshot() *failover.Snapshot {
	r.t.Helper()
	eventually(r.t, "a snapshot", func() bool { return r.agent.Snapshot() != nil })
	return r.agent.Snapshot()
}

func (r *running) waitState(state string) {
	r.t.Helper()
	eventually(r.t, "state "+state, func() bool { return r.snapshot().Routers[0].State == state })
}

func (r *running) rewrite(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// webConf is a virtual router on fo-a that takes its role after 0.7 s.
const webConf = `vrrp_instance WEB {
    interface fo-a
    virtual_router_id 51
    version 3
    priority 150
    advert_int 0.2
    garp_master_delay 0
    virtual_ipaddress {
        192.0.2.10/32
    }
}
`

// speakConf adds a speaker whose neighbor does not exist.
const speakConf = `bgp_speaker EDGE {
    local_as 64501
    router_id 203.0.113.2
    allow_prefix {
        198.51.100.0/24
    }
    neighbor 192.0.2.77 {
        remote_as 64500
    }
}
` + webConf
