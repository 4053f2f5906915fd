package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/daemon"
	"failoverd/failover/supervisor"
)

// Files that are read when -f is not given: the first one that exists.
var defaultFiles = []string{"/etc/failoverd/failoverd.conf", "/etc/keepalived/keepalived.conf"}

// defaultStateDir holds the status socket and the speakers' private directories.
const defaultStateDir = "/run/failoverd"

// fileFlags choose a configuration.
type fileFlags struct {
	file     string
	configID string
}

func (f *fileFlags) register(flags *pflag.FlagSet) {
	// keepalived calls the long form --use-file.
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "use-file" {
			name = "file"
		}
		return pflag.NormalizedName(name)
	})
	flags.StringVarP(&f.file, "file", "f", "", "the configuration `FILE`; default "+strings.Join(defaultFiles, ", or else "))
	flags.StringVarP(&f.configID, "config-id", "i", "", "keep the lines that begin with @`ID`; default: the host's name")
}

// options returns what to load.
func (f *fileFlags) options() daemon.LoadOptions {
	return daemon.LoadOptions{File: f.path(), ConfigID: f.configID}
}

// path is the file asked for, or the first default that exists, or the first default.
func (f *fileFlags) path() string {
	if f.file != "" {
		return f.file
	}
	for _, d := range defaultFiles {
		if _, err := os.Stat(d); err == nil {
			return d
		}
	}
	return defaultFiles[0]
}

// runFlags are the options of run that have an effect.
type runFlags struct {
	fileFlags
	detail       bool
	pid          string
	vrrpPID      string
	umask        string
	ignoreSIGINT bool
	namespace    string
	facility     string
	foreground   bool

	background bool // not an option: keepalived's command line without -n
}

func (f *runFlags) register(flags *pflag.FlagSet) {
	f.fileFlags.register(flags)
	flags.BoolVarP(&f.detail, "log-detail", "D", false, "log details, packet by packet")
	flags.StringVarP(&f.pid, "pid", "p", "", "write the process number to `FILE`")
	flags.StringVarP(&f.vrrpPID, "vrrp_pid", "r", "", "the same in `FILE`, for scripts that look for keepalived's VRRP process")
	flags.StringVarP(&f.umask, "umask", "u", "", "set the umask to `MASK`, an octal number")
	flags.BoolVarP(&f.foreground, "dont-fork", "n", false, "stay in the foreground, as run does")
	flags.StringVarP(&f.facility, "log-facility", "S", "", "log to the system log as `FACILITY` (local0 to local7, 0 to 7) when in the background")
	flags.StringVarP(&f.namespace, "namespace", "s", "", "work in the network namespace `NAME`; as net_namespace in the configuration")
	flags.BoolVar(&f.ignoreSIGINT, "ignore-sigint", false, "do not stop on SIGINT")
	registerKeepalived(flags)
}

// absolute makes the paths mean the same wherever the process is. They begin in dir; empty: where it is now.
func (f *runFlags) absolute(dir string) (err error) {
	for _, path := range []*string{&f.file, &f.pid, &f.vrrpPID} {
		if *path == "" {
			continue
		}
		if dir != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("find the directory that relative paths begin in: %w", err)
		}
	}
	return nil
}

func (p *program) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [-f FILE] [-i CONFIG-ID] [-D] [-p PIDFILE]",
		Short: "Run the agent in the foreground",
		Long: `Run the agent in the foreground: log to standard error, SIGHUP reloads the configuration (what check
calls an error is refused then, also an unknown keyword, which is a warning at start), SIGTERM and SIGINT stop in
order (the role is released, the routes are withdrawn, the addresses removed), and a second one stops at once. Options of keepalived that mean nothing here are accepted.

Exit status: 0 after an orderly stop, 1 fatal error, 2 errors in the configuration, 4 a missing permission,
6 no configuration file, 64 wrong usage.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := judgeKeepalived(cmd.Flags(), p.stderr); err != nil {
				return err
			}
			return p.run(cmd.Context(), &f)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// run is the life of the agent, or that of its supervisor, which starts this program again to be the agent.
func (p *program) run(ctx context.Context, f *runFlags) error {
	if err := setUmask(f.umask); err != nil {
		return &exitError{exitUsage, err}
	}
	if p.supervise && !supervisor.Supervised(p.getenv) {
		return p.beSupervisor(f)
	}
	ready := func() error { return nil }
	if f.background {
		if err := f.absolute(p.getenv(startDirectory)); err != nil {
			return &exitError{exitFatal, err}
		}
		if err := f.keepalivedPIDs(); err != nil {
			return &exitError{exitFatal, err}
		}
		ready = detach
	}
	return p.work(ctx, f, ready)
}

// work runs the agent; ready is called when it has taken up its work.
func (p *program) work(ctx context.Context, f *runFlags, ready func() error) error {
	load := f.options()
	namespace := f.namespace
	if namespace == "" {
		namespace = configuredNamespace(load)
	}
	if err := p.enterNamespace(namespace); err != nil {
		return err
	}
	link, err := supervisor.Attach(p.getenv)
	if err != nil {
		return &exitError{exitFatal, err}
	}
	err = p.serve(ctx, f, &load, namespace, link, ready)
	return errors.Join(err, link.Goodbye()) // not deferred: a panic is no goodbye
}

// serve runs the agent in the network namespace that it is in.
func (p *program) serve(ctx context.Context, f *runFlags, load *daemon.LoadOptions, namespace string, link *supervisor.Link, ready func() error) error {
	log, err := p.log(f)
	if err != nil {
		return &exitError{exitFatal, err}
	}
	// A reload that is asked for while the agent starts must not kill it.
	// Nor must one that comes when it has stopped, and the process ends, so this is for good.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, f.signals()...)
	if f.ignoreSIGINT {
		// To ignore it would be inherited by scripts.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	}
	if err := link.Hello(); err != nil {
		return &exitError{exitFatal, err}
	}
	sources := new(daemon.Sources)
	inherited := "" // where the program before may have left its configuration
	if link != nil && link.Succession() == supervisor.Take {
		inherited = p.stateDir(namespace)
	}
	argv, err := speakerArgv()
	if err != nil {
		return &exitError{exitFatal, err}
	}
	agent, err := daemon.New(daemon.Options{
		Supervisor:  link,
		File:        load.File,
		Load:        p.strictReload(*load, sources, inherited, f.background),
		Sources:     sources,
		StateDir:    p.stateDir(namespace),
		EventLog:    p.eventLog(namespace),
		DrainDir:    p.drainDir(namespace),
		ConfigID:    load.ConfigID,
		Version:     buildVersion(),
		SpeakerArgv: argv,
		Log:         log,
	})
	if err != nil {
		if inherited != "" {
			err = errors.Join(err, link.Refuse(err.Error())) // whoever has asked for the upgrade is told
		}
		return startError(err, checkCapabilities())
	}
	if err := checkCapabilities(); err != nil {
		return &exitError{exitPermission, err}
	}
	if err := besideKeepalived("/proc"); err != nil {
		return &exitError{exitFatal, err}
	}
	if link != nil {
		mainPID = os.Getppid() // whom signals are to be sent to
	}
	if link != nil && link.Succession() == supervisor.Take {
		defer inheritPIDFiles(f.pid, f.vrrpPID).Close()
	} else {
		pids, err := createPIDFiles(f.pid, f.vrrpPID)
		if err != nil {
			return startError(err, nil)
		}
		defer pids.Close()
	}
	agent.OnStart(func() error { return errors.Join(ready(), link.Working()) })
	abort := func() {
		agent.FlushLog()
		os.Exit(exitFatal)
	}
	go func() {
		if lost := link.Lost(); lost != nil {
			<-lost
			signals <- orphaned{}
		}
	}()
	err = supervise(ctx, agent, signals, agent.Log(), abort)
	if errors.Is(err, daemon.ErrHandedOver) {
		agent.FlushLog()
		os.Exit(0) // the files of process numbers, and all else, are the successor's
	}
	if err != nil {
		return startError(err, nil)
	}
	return nil
}

// strictReload returns what loads a configuration for an agent: the first time as the options say, afterwards strictly.
// At start a node that works without an unknown word is better than none; while it works, a word that it does not know
// is more likely a misspelled one, and without that the role might move. An agent never loads twice at a time. The first time, what the
// program before has left in the directory inherited goes before the file; empty: there is none. With aloud
// the warnings of the first time go to standard error: the log of an agent in the background is elsewhere.
func (p *program) strictReload(o daemon.LoadOptions, sources *daemon.Sources, inherited string, aloud bool) func() (*failover.Config, []conf.Diagnostic, error) {
	return func() (cfg *failover.Config, diagnostics []conf.Diagnostic, err error) {
		found := false
		if inherited != "" {
			cfg, diagnostics, found, err = sources.LoadInherited(o, inherited)
			inherited = ""
		}
		if !found {
			cfg, diagnostics, err = sources.Load(o)
		}
		if cfg != nil && aloud && !o.Strict {
			for _, d := range diagnostics {
				fmt.Fprintln(p.stderr, d.String())
			}
		}
		o.Strict = true
		return cfg, diagnostics, err
	}
}

// startError finds the exit status of an agent that did not start or did not go on. The configuration is blamed first,
// so that its errors are also reported to whoever may not run an agent; then a lack of capabilities, which explains
// every other failure.
func startError(err, capabilities error) error {
	var (
		config *daemon.ConfigError
		load   *daemon.LoadError
	)
	switch {
	case errors.As(err, &config):
		return &exitError{exitConfig, err}
	case errors.As(err, &load) && errors.Is(err, fs.ErrNotExist):
		return &exitError{exitNoConfig, err}
	case errors.As(err, &load) && errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	case errors.As(err, &load):
		return &exitError{exitConfig, err}
	case capabilities != nil:
		return &exitError{exitPermission, capabilities}
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	}
	return &exitError{exitFatal, err}
}

// setUmask sets the umask to an octal number; empty: leaves it.
func setUmask(mask string) error {
	if mask == "" {
		return nil
	}
	n, err := strconv.ParseUint(mask, 8, 12)
	if err != nil || n > 0o777 {
		return fmt.Errorf("option -u: %q is not an octal number from 0 to 777", mask)
	}
	syscall.Umask(int(n))
	return nil
}

// speakerArgv starts this program again as a speaker.
func speakerArgv() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the own program, which speakers run: %w", err)
	}
	return []string{self, "speaker"}, nil
}

// stateDir is where the status socket is, unless the configuration says otherwise: FAILOVERD_STATE_DIR, or what systemd
// provides for RuntimeDirectory=, or the default, below which each network namespace has a directory of its own.
func (p *program) stateDir(namespace string) string {
	d := p.getenv("FAILOVERD_STATE_DIR")
	if d == "" {
		d, _, _ = strings.Cut(p.getenv("RUNTIME_DIRECTORY"), ":")
	}
	if d != "" {
		if start := p.getenv(startDirectory); start != "" && !filepath.IsAbs(d) {
			d = filepath.Join(start, d) // where this process is now, in the background, is another place
		}
		if abs, err := filepath.Abs(d); err == nil {
			d = abs
		}
		return d
	}
	return filepath.Join(defaultStateDir, namespace)
}

// defaultDrainDir outlives a restart of the machine, which defaultStateDir does not.
const defaultDrainDir = "/var/lib/failoverd"

// drainDir is where drains are remembered: FAILOVERD_STATE_DIR, or what systemd provides for StateDirectory=, or the default,
// below which each network namespace has a directory of its own; or, if that cannot be created, the state directory.
func (p *program) drainDir(namespace string) string {
	d, _, _ := strings.Cut(p.getenv("STATE_DIRECTORY"), ":")
	switch {
	case p.getenv("FAILOVERD_STATE_DIR") != "":
		return p.stateDir(namespace)
	case d == "":
		d = filepath.Join(defaultDrainDir, namespace)
	}
	if os.MkdirAll(d, 0o755) != nil {
		return p.stateDir(namespace)
	}
	return d
}

// log returns what the agent logs to: the system log in the background, where nobody reads standard error.
func (p *program) log(f *runFlags) (*slog.Logger, error) {
	if !f.background {
		return p.logger(f.detail), nil
	}
	level := slog.LevelInfo
	if f.detail {
		level = slog.LevelDebug
	}
	h, err := newSyslog(f.facility, level)
	if err != nil {
		return nil, err
	}
	return slog.New(h), nil
}

// logger writes text for a terminal and JSON for everything else.
func (p *program) logger(detail bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if detail {
		o.Level = slog.LevelDebug
	}
	if _, ok := terminalWidth(p.stderr); ok {
		return slog.New(slog.NewTextHandler(p.stderr, o))
	}
	return slog.New(slog.NewJSONHandler(p.stderr, o))
}
