package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// BenchmarkThousandChecks measures what a thousand health checks at an interval of a second cost this process: what the
// schedule itself does, and with it the probes of each kind against a server in another process. cpu-ns/run times 1000
// is the cost of a second there: 150000 is 15 % of a core.
func BenchmarkThousandChecks(b *testing.B) {
	server := startServer(b)
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

func benchmarkChecks(b *testing.B, probe failover.Probe, fake bool) {
	m := New(Options{})
	var runs, failures atomic.Int64
	target := make(chan struct{})
	real := m.settings.prober
	m.settings.prober = func(c *failover.CheckConfig) (prober, bool) {
		p, prompt := real(c)
		return func(ctx context.Context) outcome {
			o := outcome{ok: true, cause: "nothing"}
			if !fake {
				o = p(ctx)
			}
			if !o.ok && failures.Add(1) < 4 {
				b.Log(o.reason(1))
			}
			if runs.Add(1) == int64(b.N) {
				close(target)
			}
			return o
		}, prompt || fake
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
	before, begun := cpu(b), time.Now()
	go func() { over <- m.Run(ctx, func(failover.TrackerReport) {}) }()
	<-target
	used := cpu(b) - before
	b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/run")
	b.ReportMetric(100*used.Seconds()/time.Since(begun).Seconds(), "%-of-a-core")
	b.ReportMetric(float64(failures.Load()), "failures")
	cancel()
	if err := <-over; err != nil {
		b.Fatal(err)
	}
}
