package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// insideServer tells the test binary that it is the server of a benchmark, in a process of its own, so that only what the
// checks cost is counted.
const insideServer = "FAILOVERD_HEALTH_SERVER"

// TestBenchmarkServer is the server of BenchmarkThousandChecks: a web server, until its standard input ends.
func TestBenchmarkServer(t *testing.T) {
	if os.Getenv(insideServer) == "" {
		t.Skip("only for benchmarks")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listens on %s\n", l.Addr())
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("all is well\n")) })}
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); _ = s.Close() }()
	_ = s.Serve(l)
}

// startServer starts that process and returns where it listens.
func startServer(b *testing.B) string {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestBenchmarkServer$", "-test.v")
	cmd.Env = append(os.Environ(), insideServer+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "listens on "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return address
		}
	}
	b.Fatal("the server does not start")
	return ""
}

// BenchmarkThousandChecks measures what a thousand health checks at an interval of a second cost this process when they have run for
// a while: what the schedule itself does, and with it the probes of each kind against a server in another process. bare is what is
// between this machine and less: the system calls of a check by http, and nothing else, in groups as large as those in which checks
// are due. cpu-ns/run times 1000 is the cost of a second: 150000 is 15 % of a core.
//
// It takes a second for a thousand runs, and less than a thousand measure little.
func BenchmarkThousandChecks(b *testing.B) {
	server := startServer(b)
	b.Run("bare", func(b *testing.B) { benchmarkBare(b, server) })
	for _, bb := range []struct {
		name  string
		probe failover.Probe
		fake  bool
	}{
		{"nothing", failover.Probe{}, true},
		{"tcp", failover.Probe{Kind: failover.ProbeTCP, Target: server}, false},
		{"http", failover.Probe{Kind: failover.ProbeHTTP, Target: "http://" + server + "/"}, false},
		{"body", failover.Probe{Kind: failover.ProbeHTTP, Target: "http://" + server + "/", Body: "all is well"}, false},
		{"icmp", failover.Probe{Kind: failover.ProbeICMP, Target: "127.0.0.1"}, false},
	} {
		b.Run(bb.name, func(b *testing.B) { benchmarkChecks(b, bb.probe, bb.fake) })
	}
}

// counted is a quick probe whose outcomes are counted.
type counted struct {
	quick
	count func(o outcome)
}

func (c counted) start() step               { return c.see(c.quick.start()) }
func (c counted) ready(seen time.Time) step { return c.see(c.quick.ready(seen)) }

func (c counted) see(s step) step {
	if !s.waits && s.rest == nil {
		c.count(s.outcome)
	}
	return s
}

func benchmarkChecks(b *testing.B, probe failover.Probe, fake bool) {
	m := New(Options{})
	var runs, failures atomic.Int64
	const warm = 2000 // each has run twice
	begin, end := make(chan struct{}), make(chan struct{})
	count := func(o outcome) {
		n := runs.Add(1)
		if !o.ok && n > warm && failures.Add(1) < 4 {
			b.Log(o.reason(1))
		}
		switch n {
		case warm:
			close(begin)
		case warm + int64(b.N):
			close(end)
		}
	}
	m.settings.quick = func(c *failover.CheckConfig) quick {
		if fake {
			return counted{instant(func(context.Context) outcome { return outcome{ok: true, cause: "nothing"} }), count}
		}
		return counted{newQuick(c), count}
	}
	cfg := &failover.Config{}
	for i := range 1000 {
		c := webCheck()
		c.Name, c.Probe, c.Interval, c.FallInterval = fmt.Sprintf("c%d", i), probe, second, 0
		cfg.Checks = append(cfg.Checks, c)
	}
	m.Configure(cfg)
	ctx, cancel := context.WithCancel(b.Context())
	over := make(chan error, 1)
	go func() { over <- m.Run(ctx, func(failover.TrackerReport) {}) }()
	<-begin
	b.ResetTimer()
	before, begun := cpu(b), time.Now()
	<-end
	used := cpu(b) - before
	b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/run")
	b.ReportMetric(100*used.Seconds()/time.Since(begun).Seconds(), "%-of-a-core")
	b.ReportMetric(float64(failures.Load()), "failures")
	status := []failover.CheckStatus{{Name: "c500"}}
	m.Describe(status)
	b.ReportMetric(1000*status[0].RTTMS, "rtt-us")
	cancel()
	if err := <-over; err != nil {
		b.Fatal(err)
	}
}

// benchmarkBare opens, uses and closes connections as checks by http do, twenty at a time and a thousand a second.
func benchmarkBare(b *testing.B, server string) {
	const group = 20
	to := &unix.SockaddrInet4{Port: int(netip.MustParseAddrPort(server).Port()), Addr: [4]byte{127, 0, 0, 1}}
	request := []byte("GET / HTTP/1.1\r\nHost: " + server + "\r\nUser-Agent: failoverd\r\nConnection: close\r\n\r\n")
	tick := time.NewTicker(together)
	defer tick.Stop()
	var sockets [group]unix.PollFd
	buffer := make([]byte, 4096)
	once := func() {
		for i := range sockets {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err == nil {
				err = talkative(fd)
			}
			if err == nil {
				_ = unix.Connect(fd, to) // which goes on, or write would say why not
				_, err = unix.Write(fd, request)
			}
			if err != nil {
				b.Fatal(err)
			}
			sockets[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		}
		for left := group; left > 0; {
			if _, err := unix.Poll(sockets[:], 5000); err != nil && !waits(err) {
				b.Fatal(err)
			}
			for i := range sockets {
				s := &sockets[i]
				if s.Fd < 0 || s.Revents == 0 {
					continue
				}
				if n, err := unix.Read(int(s.Fd), buffer); n <= 0 {
					b.Fatal(n, err)
				}
				_ = unix.Close(int(s.Fd))
				s.Fd = -1
				left--
			}
		}
	}
	once()
	b.ResetTimer()
	before, begun := cpu(b), time.Now()
	for range (b.N + group - 1) / group {
		<-tick.C
		once()
	}
	used := cpu(b) - before
	b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/run")
	b.ReportMetric(100*used.Seconds()/time.Since(begun).Seconds(), "%-of-a-core")
}
