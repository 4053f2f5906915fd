package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover/daemon"
)

// agent is what supervise needs of a daemon.Agent.
type agent interface {
	Run(ctx context.Context) error
	Reload(ctx context.Context) (warnings []string, err error)
	Dump(kind daemon.Dump) (path string, err error)
}

// sigJSON is SIGRTMIN+2 as the C library counts: keepalived's request for JSON.
const sigJSON = syscall.Signal(36)

// dumpSignals are keepalived's requests for a file.
var dumpSignals = map[os.Signal]daemon.Dump{syscall.SIGUSR1: daemon.DumpData, syscall.SIGUSR2: daemon.DumpStats, sigJSON: daemon.DumpJSON}

// signals are those that supervise handles.
func (f *runFlags) signals() []os.Signal {
	return append(f.endSignals(), syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, sigJSON)
}

// endSignals are those among them that ask for an orderly stop.
func (f *runFlags) endSignals() []os.Signal {
	if f.ignoreSIGINT {
		return []os.Signal{syscall.SIGTERM}
	}
	return []os.Signal{syscall.SIGTERM, syscall.SIGINT}
}

// orphaned is what counts as a signal to stop although nobody has sent one: the supervisor has died.
type orphaned struct{}

// Signal implements os.Signal.
func (orphaned) Signal() {}

// String implements os.Signal.
func (orphaned) String() string { return "the supervisor has died" }

// impatience is the time from which on a second signal means it: a supervisor that signals the process and then its
// group delivers two within a millisecond.
const impatience = time.Second

// supervise runs the agent and turns signals into calls: SIGTERM and SIGINT end it in order, a second one, at least
// impatience later, calls abort; SIGHUP reloads. It returns what Run returns.
func supervise(ctx context.Context, a agent, signals <-chan os.Signal, log *slog.Logger, abort func()) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	// Signals that come while one reload runs ask for one more, however many they are.
	reload := make(chan struct{}, 1)
	dumps := make(chan daemon.Dump, 8)
	var stopped time.Time
	go reloader(ctx, a, reload, log)
	writing, written := context.WithCancel(context.WithoutCancel(ctx)) // also while the agent stops
	defer written()
	go dumper(writing, a, dumps, log)
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			kind, dump := dumpSignals[s]
			switch {
			case dump:
				select {
				case dumps <- kind:
				default: // as many are waiting to be written already
				}
			case s == syscall.SIGHUP:
				select {
				case reload <- struct{}{}:
				default:
				}
			case ctx.Err() == nil:
				stopped = time.Now()
				stop(errors.New(signalName(s)))
				// After the call: a log that nobody reads must not keep a signal from acting.
				log.Info("signal received", "signal", s.String(), "action", "stop")
			case time.Since(stopped) >= impatience:
				log.Error("second signal received, roles may not be released", "signal", s.String(), "action", "exit")
				abort()
			}
		}
	}
}

// signalName returns the signal as a reason, as in "signal SIGTERM".
func signalName(s os.Signal) string {
	n, ok := s.(syscall.Signal)
	if !ok {
		return s.String()
	}
	if name := unix.SignalName(n); name != "" {
		return "signal " + name
	}
	return "signal " + n.String()
}

// dumper writes a file for each element of the channel, until ctx ends.
func dumper(ctx context.Context, a agent, dumps <-chan daemon.Dump, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case kind := <-dumps:
			if path, err := a.Dump(kind); err != nil {
				log.Error("state not written", "err", err)
			} else {
				log.Info("state written", "file", path)
			}
		}
	}
}

// reloader reloads once for each element of the channel, until ctx ends. Warnings and a failure are logged by the agent,
// which goes on as before after the latter.
func reloader(ctx context.Context, a agent, reload <-chan struct{}, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
			log.Info("signal received", "signal", syscall.SIGHUP.String(), "action", "reload")
			_, _ = a.Reload(ctx)
		}
	}
}
