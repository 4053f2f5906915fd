package health

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
)

// stage is a Monitor in a bubble of fake time, with fake scripts.
type stage struct {
	t       *testing.T
	m       *Monitor
	zero    time.Time
	scripts map[string]func(ctx context.Context) outcome // by the program
	stop    func() error

	quick func(prober) quick // makes a quick probe of one; nil: there is none

	mu   sync.Mutex
	said []string
	runs map[string]int // that go on
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, m: New(Options{}), zero: time.Now(), runs: map[string]int{}, scripts: map[string]func(context.Context) outcome{}}
	s.m.settings.runner = s.run
	s.m.settings.prober = func(c *failover.CheckConfig) prober {
		return func(ctx context.Context) outcome {
			return s.run(ctx, failover.Command{Args: []string{c.Probe.Target}}, policy{}, 0, func(string) {})
		}
	}
	s.m.settings.quick = func(c *failover.CheckConfig) quick {
		if s.quick == nil {
			return nil
		}
		return s.quick(s.m.settings.prober(c))
	}
	s.m.settings.opener = func(path string) error {
		if o := s.scripts[path](context.Background()); !o.ok {
			return &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}
		}
		return nil
	}
	return s
}

// start runs the monitor; stop ends it.
func (s *stage) start() {
	ctx, cancel := context.WithCancel(s.t.Context())
	over := make(chan error, 1)
	go func() {
		over <- s.m.Run(ctx, func(r failover.TrackerReport) {
			verdict, since := "failed", ""
			switch {
			case r.OK:
				verdict = "ok"
			case r.Unknown:
				verdict = "unknown"
			}
			if r.Since != 0 {
				since = fmt.Sprintf(", since %v", r.Since)
			}
			s.say("%s %s (%s)%s", r.Tracker.Name, verdict, r.Reason, since)
		})
	}()
	s.stop = func() error { cancel(); return <-over }
}

func (s *stage) run(ctx context.Context, c failover.Command, _ policy, timeout time.Duration, output func(string)) outcome {
	name := c.Args[0]
	s.mu.Lock()
	s.runs[name]++
	if s.runs[name] > 1 {
		s.t.Errorf("%d runs of %s at once", s.runs[name], name)
	}
	s.mu.Unlock()
	s.say("%s begins", name)
	output("first line")
	output("from " + name)
	o := s.scripts[name](ctx)
	s.mu.Lock()
	s.runs[name]--
	s.mu.Unlock()
	if ctx.Err() != nil {
		s.say("%s is killed", name)
	}
	return o
}

func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf("%v: ", time.Since(s.zero).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// expect compares what has happened until now with the lines of want. Within an instant the order does not matter.
func (s *stage) expect(want string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(want, "\t", "")), "\n")
	if want == "" {
		lines = nil
	}
	slices.Sort(lines)
	slices.Sort(s.said)
	if !slices.Equal(s.said, lines) {
		s.t.Errorf("got\n%s\nwant\n%s", strings.Join(s.said, "\n"), strings.Join(lines, "\n"))
	}
	s.said = nil
}

// pass lets time pass, to a moment shortly after the given one.
func (s *stage) pass(until time.Duration) {
	time.Sleep(time.Until(s.zero.Add(until + time.Millisecond)))
}

func scripts(list ...failover.ScriptConfig) *failover.Config {
	return &failover.Config{Scripts: list}
}

func chk(interval, timeout time.Duration) failover.ScriptConfig {
	return failover.ScriptConfig{
		Name: "chk", Command: failover.Command{Args: []string{"chk"}}, Interval: interval, Timeout: timeout, Rise: 1, Fall: 1,
	}
}

// instantly returns a script that gives the results, +, - or ?, one per run, and then the last one.
func instantly(results string) func(context.Context) outcome {
	return func(context.Context) outcome {
		r := results[0]
		if len(results) > 1 {
			results = results[1:]
		}
		switch r {
		case '+':
			return outcome{ok: true, cause: "exit status 0"}
		case '?':
			return outcome{blind: true, cause: "no route"}
		}
		return outcome{cause: "exit status 1"}
	}
}

// taking returns a script that needs that long, unless it is killed, and succeeds.
func taking(d time.Duration) func(context.Context) outcome {
	return func(ctx context.Context) outcome {
		select {
		case <-time.After(d):
			return outcome{ok: true, cause: "exit status 0"}
		case <-ctx.Done():
			return outcome{cause: "killed by signal 15"}
		}
	}
}

// detour is a quick probe that goes on elsewhere at once.
type detour struct{ instant }

func (d detour) start() step { return step{rest: prober(d.instant)} }
