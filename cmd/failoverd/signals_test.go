package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover/daemon"
)

// fakeAgent stops when it is told to, after a while.
type fakeAgent struct {
	stopping  time.Duration // from the end of ctx to the return of Run
	reloading time.Duration
	err       error
	cause     error // why it was told to

	reloads int
	dumps   []daemon.Dump
}

func (a *fakeAgent) Run(ctx context.Context) error {
	<-ctx.Done()
	a.cause = context.Cause(ctx)
	time.Sleep(a.stopping)
	return a.err
}

func (a *fakeAgent) Reload(ctx context.Context) ([]string, error) {
	a.reloads++
	select {
	case <-time.After(a.reloading):
	case <-ctx.Done():
	}
	return nil, errors.New("refused")
}

func (a *fakeAgent) Dump(kind daemon.Dump) (string, error) {
	a.dumps = append(a.dumps, kind)
	if kind == daemon.DumpStats {
		return "", errors.New("disk full")
	}
	return "/the/file", nil
}

func TestSupervise(t *testing.T) {
	failure := errors.New("alarm clock broken")
	type at struct {
		after  time.Duration
		signal os.Signal
	}
	for _, c := range []struct {
		name    string
		agent   fakeAgent
		signals []at
		end     time.Duration // when supervise returns
		reloads int
		aborts  int
		log     string // part
	}{
		{
			"SIGTERM ends in order",
			fakeAgent{stopping: time.Second},
			[]at{{time.Minute, syscall.SIGTERM}},
			61 * time.Second, 0, 0, "signal=terminated action=stop",
		},
		{"SIGINT does, too", fakeAgent{}, []at{{time.Minute, syscall.SIGINT}}, time.Minute, 0, 0, "signal=interrupt action=stop"},
		{
			"the second one aborts",
			fakeAgent{stopping: time.Hour},
			[]at{{time.Minute, syscall.SIGTERM}, {time.Second, syscall.SIGINT}},
			time.Hour + time.Minute, 0, 1, "second signal received",
		},
		{
			"SIGHUP reloads and a refusal ends nothing",
			fakeAgent{reloading: time.Second},
			[]at{{time.Minute, syscall.SIGHUP}, {time.Minute, syscall.SIGTERM}},
			2 * time.Minute, 1, 0, "signal=hangup action=reload",
		},
		{"many SIGHUPs during a reload are one more", fakeAgent{reloading: time.Minute}, []at{
			{time.Second, syscall.SIGHUP},
			{time.Second, syscall.SIGHUP},
			{time.Second, syscall.SIGHUP},
			{time.Second, syscall.SIGHUP},
			{10 * time.Minute, syscall.SIGTERM},
		}, 10*time.Minute + 4*time.Second, 2, 0, ""},
		{
			"SIGTERM during a reload",
			fakeAgent{reloading: time.Hour},
			[]at{{time.Second, syscall.SIGHUP}, {time.Second, syscall.SIGTERM}},
			2 * time.Second, 1, 0, "",
		},
		{
			"SIGUSR1 and SIGRTMIN+2 write files",
			fakeAgent{dumps: []daemon.Dump{}},
			[]at{{time.Second, syscall.SIGUSR1}, {time.Second, sigJSON}, {time.Second, syscall.SIGTERM}},
			3 * time.Second, 0, 0, "msg=\"state written\" file=/the/file",
		},
		{
			"a file that cannot be written",
			fakeAgent{},
			[]at{{time.Second, syscall.SIGUSR2}, {time.Second, syscall.SIGTERM}},
			2 * time.Second, 0, 0, "level=ERROR msg=\"state not written\" err=\"disk full\"",
		},
		{"an agent that fails", fakeAgent{err: failure}, []at{{time.Second, syscall.SIGTERM}}, time.Second, 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				signals := make(chan os.Signal, 8)
				go func() {
					for _, s := range c.signals {
						time.Sleep(s.after)
						signals <- s.signal
					}
				}()
				start, aborts := time.Now(), 0
				err := supervise(t.Context(), &c.agent, signals, slog.New(slog.NewTextHandler(&log, nil)), func() { aborts++ })
				if !errors.Is(err, c.agent.err) {
					t.Errorf("error %v, want %v", err, c.agent.err)
				}
				if got := time.Since(start); got != c.end {
					t.Errorf("ended after %v, want %v", got, c.end)
				}
				want := "signal SIGTERM"
				if slices.ContainsFunc(c.signals[:1], func(a at) bool { return a.signal == syscall.SIGINT }) {
					want = "signal SIGINT"
				}
				if c.agent.cause == nil || c.agent.cause.Error() != want {
					t.Errorf("the agent is told to stop because of %v, want %s", c.agent.cause, want)
				}
				synctest.Wait()
				if c.agent.reloads != c.reloads || aborts != c.aborts || !strings.Contains(log.String(), c.log) {
					t.Errorf("%d reloads, %d aborts, want %d, %d; log:\n%s", c.agent.reloads, aborts, c.reloads, c.aborts, log.String())
				}
				var dumps []daemon.Dump
				for _, s := range c.signals {
					if kind, ok := dumpSignals[s.signal]; ok {
						dumps = append(dumps, kind)
					}
				}
				if !slices.Equal(c.agent.dumps, dumps) {
					t.Errorf("wrote %v, want %v", c.agent.dumps, dumps)
				}
			})
		})
	}
}

func TestIgnoreSIGINT(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		f := runFlags{ignoreSIGINT: ignore}
		found := false
		for _, s := range f.signals() {
			found = found || s == syscall.SIGINT
		}
		if found == ignore {
			t.Errorf("--ignore-sigint=%v: SIGINT handled is %v", ignore, found)
		}
	}
}
