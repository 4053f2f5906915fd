package health

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// cpu returns the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkThousandScripts measures what the schedule itself costs: a thousand scripts that do nothing, ten times as
// often as in the largest configuration that is expected. cpu-ns/run times 1000 is the cost of a second there.
func BenchmarkThousandScripts(b *testing.B) {
	m := New(Options{})
	var runs atomic.Int64
	target := make(chan struct{})
	m.settings.runner = func(context.Context, failover.Command, policy, time.Duration, func(string)) outcome {
		if runs.Add(1) == int64(b.N) {
			close(target)
		}
		return outcome{ok: true, cause: "exit status 0"}
	}
	cfg := &failover.Config{}
	for i := range 1000 {
		c := chk(100*time.Millisecond, 100*time.Millisecond)
		c.Name = fmt.Sprintf("s%d", i)
		cfg.Scripts = append(cfg.Scripts, c)
	}
	m.Configure(cfg)
	ctx, cancel := context.WithCancel(b.Context())
	over := make(chan error, 1)
	before := cpu(b)
	go func() { over <- m.Run(ctx, func(failover.TrackerReport) {}) }()
	<-target
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/run")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	cancel()
	if err := <-over; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScan measures a look at the processes of this machine, at all of them and at the new ones only.
func BenchmarkScan(b *testing.B) {
	for _, full := range []bool{true, false} {
		b.Run(map[bool]string{true: "full", false: "quick"}[full], func(b *testing.B) {
			m := New(Options{})
			c := newCensus(&m.settings, m.box)
			c.configure(processes(failover.ProcessConfig{Args: []string{"no-such-program"}}).Processes)
			c.adopt()
			now := time.Now()
			c.scan(now)
			for b.Loop() {
				if full {
					c.stale = true
				}
				now = now.Add(youth)
				c.lastFull = now
				c.scan(now)
			}
			b.ReportMetric(float64(len(c.known)), "processes")
		})
	}
}

// BenchmarkConfigure measures a reload that changes none of a thousand scripts.
func BenchmarkConfigure(b *testing.B) {
	m := New(Options{})
	cfg := &failover.Config{}
	for i := range 1000 {
		c := chk(time.Hour, time.Hour)
		c.Name = fmt.Sprintf("s%d", i)
		cfg.Scripts = append(cfg.Scripts, c)
	}
	m.settings.runner = func(context.Context, failover.Command, policy, time.Duration, func(string)) outcome {
		return outcome{ok: true}
	}
	m.Configure(cfg)
	ctx, cancel := context.WithCancel(b.Context())
	over := make(chan error, 1)
	reported := make(chan struct{}, 1000)
	go func() { over <- m.Run(ctx, func(failover.TrackerReport) { reported <- struct{}{} }) }()
	<-reported
	for b.Loop() {
		m.Configure(cfg)
	}
	cancel()
	if err := <-over; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkThousandChecks measures what a thousand health checks at an interval of a second cost:
// what the schedule itself does, and with it the probes of each kind against this machine, servers
// included. cpu-ns/run times 1000 is the cost of a second there.
func BenchmarkThousandChecks(b *testing.B) {
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer site.Close()
	for _, bb := range []struct {
		name  string
		probe failover.Probe
		fake  bool
	}{
		{"nothing", failover.Probe{}, true},
		{"tcp", failover.Probe{Kind: failover.ProbeTCP, Target: site.Listener.Addr().String()}, false},
		{"http", failover.Probe{Kind: failover.ProbeHTTP, Target: site.URL}, false},
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
	m.settings.prober = func(c *failover.CheckConfig) prober {
		p := real(c)
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
		}
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
	before := cpu(b)
	go func() { over <- m.Run(ctx, func(failover.TrackerReport) {}) }()
	<-target
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/run")
	b.ReportMetric(float64(failures.Load()), "failures")
	cancel()
	if err := <-over; err != nil {
		b.Fatal(err)
	}
}
