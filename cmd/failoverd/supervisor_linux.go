package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"failoverd/failover/supervisor"
)

// startDirectory holds the directory that relative paths of an agent in the background begin in: a supervisor that has
// let go of it starts its agent elsewhere.
const startDirectory = "FAILOVERD_START_DIR"

// supervisorGC makes the collector of the supervisor, which allocates next to nothing, keep its heap small.
const supervisorGC = 10

// beSupervisor is the life of the process that whoever starts failoverd sees, and that starts it again to be the agent. It
// is also fit to be the first process of a container.
func (p *program) beSupervisor(f *runFlags) error {
	var ready func() error
	dir := ""
	switch {
	case supervisor.Handed(p.getenv): // it is in the background already, if that was asked for
		dir = p.getenv(startDirectory)
	case f.background:
		dir, _ = os.Getwd() // without it, absolute paths will do
		behind, err := p.startBackground()
		if behind == nil || err != nil {
			return err
		}
		ready = behind.done
	}
	self, err := os.Executable()
	if err != nil {
		return &exitError{exitFatal, fmt.Errorf("find the own program: %w", err)}
	}
	log, err := p.log(f)
	if err != nil {
		return &exitError{exitFatal, err}
	}
	if f.ignoreSIGINT {
		// To ignore it would be inherited by the agent, and by scripts.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	}
	debug.SetGCPercent(supervisorGC)
	debug.FreeOSMemory()
	var execEnv []string
	if dir != "" {
		execEnv = []string{startDirectory + "=" + dir}
	}
	status, err := supervisor.Run(supervisor.Options{
		Argv: append([]string{self}, os.Args[1:]...), Env: agentEnvironment(os.Environ(), dir),
		Signals: append(f.signals(), syscall.SIGQUIT), Ends: f.endSignals(),
		Ready: ready, NotifySocket: p.getenv("NOTIFY_SOCKET"), ExecEnv: execEnv, Log: log,
	})
	if err != nil {
		return &exitError{exitFatal, err}
	}
	if status != 0 {
		return &exitError{status: status}
	}
	return nil
}

// agentEnvironment is the environment of an agent whose supervisor has env: systemd is told through the supervisor, and so
// is the parent of a process in the background.
func agentEnvironment(env []string, dir string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return name == "NOTIFY_SOCKET" || name == "WATCHDOG_PID" || name == backgroundReady || name == startDirectory
	})
	if dir != "" {
		env = append(env, startDirectory+"="+dir)
	}
	return env
}
