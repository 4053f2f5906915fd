package health

import (
	"context"
	"fmt"
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
