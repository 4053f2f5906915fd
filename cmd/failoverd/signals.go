package main

import (
	"context"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// agent is what supervise needs of a daemon.Agent.
type agent interface {
	Run(ctx context.Context) error
	Reload(ctx context.Context) error
}

// signals are those that supervise handles.
func (f *runFlags) signals() []os.Signal {
	s := []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}
	if !f.ignoreSIGINT {
		return append(s, syscall.SIGINT)
	}
	return s
}

// impatience is the time from which on a second signal means it: a supervisor that signals the process and then its
// group delivers two within a millisecond.
const impatience = time.Second

// supervise runs the agent and turns signals into calls: SIGTERM and SIGINT end it in order, a second one, at least
// impatience later, calls abort; SIGHUP reloads. It returns what Run returns.
func supervise(ctx context.Context, a agent, signals <-chan os.Signal, log *slog.Logger, abort func()) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	// Signals that come while one reload runs ask for one more, however many they are.
	reload := make(chan struct{}, 1)
	var stopped time.Time
	go reloader(ctx, a, reload, log)
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				select {
				case reload <- struct{}{}:
				default:
				}
			case s == syscall.SIGUSR1 || s == syscall.SIGUSR2:
				log.Warn("signal not supported yet, use failoverd status", "signal", s.String())
			case ctx.Err() == nil:
				stopped = time.Now()
				stop()
				// After the call: a log that nobody reads must not keep a signal from acting.
				log.Info("signal received", "signal", s.String(), "action", "stop")
			case time.Since(stopped) >= impatience:
				log.Error("second signal received, roles may not be released", "signal", s.String(), "action", "exit")
				abort()
			}
		}
	}
}

// reloader reloads once for each element of the channel, until ctx ends. A failure is logged by the agent, which goes on
// as before.
func reloader(ctx context.Context, a agent, reload <-chan struct{}, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reload:
			log.Info("signal received", "signal", syscall.SIGHUP.String(), "action", "reload")
			_ = a.Reload(ctx)
		}
	}
}
