// Command failoverd keeps service addresses alive: VRRP elects a router, the elected one programs the addresses and
// announces them in BGP. It reads keepalived.conf files and understands keepalived's command line.
//
// This package holds flags, exit statuses and signals, one file for each command. What the commands do is elsewhere:
// failover/daemon runs the agent, conf reads configurations, failover/status shows an agent's state.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Exit statuses. 0 to 6 are those of keepalived.
const (
	exitFatal      = 1 // also: check --strict found warnings
	exitConfig     = 2 // run: the configuration has errors
	exitPermission = 4 // a capability or the permission to read a file is missing
	exitCheck      = 5 // check: the configuration has errors, or there is none
	exitNoConfig   = 6 // run: there is no configuration file
	exitUsage      = 64
)

// program is what a command sees of the world around it.
type program struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	interfaces     func() ([]string, error) // names; nil: not known
	supervise      bool                     // run starts a process of its own for the agent
}

func main() {
	nameProcess("/proc/self/comm", os.Args[0])
	p := &program{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, interfaces: hostInterfaces, supervise: true}
	os.Exit(p.execute(context.Background(), os.Args[1:]))
}

// nameProcess makes the process bear the name that it was started by, as the kernel sees to unless it was executed as an open
// file (an upgrade) or as /proc/self/exe (an agent after a crash): service scripts and people look for it by that name.
func nameProcess(file, argv0 string) {
	name := filepath.Base(argv0)
	if was, err := os.ReadFile(file); err != nil || len(name) > 15 || strings.TrimSpace(string(was)) == name {
		return // the kernel keeps 15 octets
	}
	_ = os.WriteFile(file, []byte(name), 0) // it works under any name
}

// exitError ends the program with a status. Without an error the command has said everything already.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// execute runs the command line and returns the exit status.
func (p *program) execute(ctx context.Context, args []string) int {
	root := newRoot(p)
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var e *exitError
	if !errors.As(err, &e) {
		// Only cobra returns other errors: an unknown command or flag, or a wrong number of arguments.
		fmt.Fprintf(p.stderr, "failoverd: %v\ntry: %s --help\n", err, cmd.CommandPath())
		return exitUsage
	}
	if e.err != nil {
		fmt.Fprintf(p.stderr, "failoverd: %v\n", e.err)
	}
	return e.status
}

// knownCommand refuses arguments that are no command, and names those that may have been meant.
func knownCommand(cmd *cobra.Command, args []string) error {
	err := cobra.NoArgs(cmd, args)
	if err == nil {
		return nil
	}
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		return fmt.Errorf("%w (did you mean %s?)", err, strings.Join(meant, " or "))
	}
	return err
}

// noArgs refuses arguments of a command that has options only: most often it is the name of a file.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.Flags().Lookup("file") != nil {
		return fmt.Errorf("%s takes no argument such as %q; the configuration is named by -f FILE", cmd.Name(), args[0])
	}
	return fmt.Errorf("%s takes no argument such as %q", cmd.Name(), args[0])
}

// newRoot is the command without a subcommand: keepalived's command line.
func newRoot(p *program) *cobra.Command {
	var f runFlags
	var showVersion bool
	var test, signum string
	cmd := &cobra.Command{
		Use:   "failoverd",
		Short: "VRRP and BGP failover of service addresses; reads keepalived.conf",
		Long: `failoverd keeps service addresses alive on a group of routers: VRRP elects one of them, the elected
one programs the addresses and announces them in BGP.

It takes keepalived's command line as well: "failoverd -t -f FILE" is "failoverd check -f FILE", and with any
other of its options "failoverd -f FILE ..." is "failoverd run -f FILE ..." - in the background, as keepalived,
unless -n is given: it returns when the agent works, logs to the system log and writes ` + keepalivedPID + `.`,
		Args:          knownCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case cmd.Flags().NFlag() == 0:
				// keepalived would start. Whoever starts a service like this must not take the help for success.
				cmd.SetOut(p.stderr)
				return errors.Join(cmd.Help(), &exitError{exitUsage, errors.New("nothing to do: failoverd run, or keepalived's options, start an agent")})
			case showVersion:
				return p.version()
			case signum != "":
				return p.signum(signum)
			}
			if err := judgeKeepalived(cmd.Flags(), p.stderr); err != nil {
				return err
			}
			if cmd.Flags().Changed("config-test") {
				return p.configTest(&f, test)
			}
			f.background = !f.foreground
			return p.run(cmd.Context(), &f)
		},
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.CompletionOptions.HiddenDefaultCmd = true
	f.register(cmd.Flags())
	flags := cmd.Flags()
	flags.BoolVarP(&showVersion, "version", "v", false, "print the version")
	flags.StringVar(&signum, "signum", "", "print the number of the signal for `WORD`: STOP, RELOAD, DATA, STATS or JSON")
	flags.StringVarP(&test, "config-test", "t", "", "check the configuration; messages go to standard error, or to `LOG`")
	flags.Lookup("config-test").NoOptDefVal = toStderr
	cmd.AddCommand(p.runCommand(), p.checkCommand(), p.statusCommand(), p.eventsCommand(), p.replayCommand(), p.reloadCommand(), p.planCommand(), p.rtoCommand(),
		p.drainCommand(), p.undrainCommand(), p.switchoverCommand(), p.upgradeCommand(), p.handoverVersionCommand(),
		p.versionCommand(), p.demoCommand(), p.demoUpstreamCommand(), p.speakerCommand())
	return cmd
}
