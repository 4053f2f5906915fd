package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"failoverd/failover"
	"failoverd/failover/daemon"
	"failoverd/failover/status"
)

// handoverVersionCommand is what a running agent asks a program that is to take its place.
func (p *program) handoverVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "handover-version",
		Short:  "Say what this program can take over (asked by upgrade)",
		Args:   noArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return outputError(json.NewEncoder(p.stdout).Encode(daemon.Introduce(buildVersion())))
		},
	}
}

// upgradePatience is how long the new program is waited for to show its state.
const upgradePatience = 30 * time.Second

// exitNotUpgraded: the configuration is in force, and the program is the one that it was.
const exitNotUpgraded = 3

func (p *program) upgradeCommand() *cobra.Command {
	var f socketFlags
	var q status.UpgradeRequest
	cmd := &cobra.Command{
		Use:   "upgrade [--binary PATH]",
		Short: "Have another version of the program take over, without loss",
		Long: `Have the program at PATH take over from the one that works: sockets, roles, addresses and BGP sessions stay, the
advertisements leave when they are due, and the supervisor keeps its process number. PATH is where the running program was
started from, unless --binary says otherwise: install the new version there, then run upgrade.

First the other program is asked whether it understands what this one hands over, and whether it can use the
configuration. If not, or if it does not become ready, the upgrade is refused with the reason, and nothing has happened.
With --drain it is started afresh instead after an orderly stop, which hands the roles over to other nodes.

With --reload the configuration file is read again, too, as by failoverd reload: after the upgrade, by the program that
works then. The other program has to understand it, or nothing happens. --if-changed --reload is for service managers:
it is a plain reload unless PATH holds another program than the one that works. When the upgrade is refused, the
configuration is read again all the same.

Exit status: 0, 1 when no agent answers, 2 when the upgrade or the configuration is refused, 3 when --reload has put the
configuration in force and the upgrade was refused.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.upgrade(cmd.Context(), &f, &q) },
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&q.Binary, "binary", "", "the program `PATH` that takes over")
	cmd.Flags().BoolVar(&q.Check, "check", false, "say whether it could, and do nothing")
	cmd.Flags().BoolVar(&q.Drain, "drain", false, "stop in order and start the other program afresh")
	cmd.Flags().BoolVar(&q.IfChanged, "if-changed", false, "do nothing if PATH is the program that works")
	cmd.Flags().BoolVar(&q.Reload, "reload", false, "read the configuration again, with or without an upgrade")
	cmd.MarkFlagsMutuallyExclusive("check", "reload")
	return cmd
}

// upgrade carries out the command of that name.
func (p *program) upgrade(ctx context.Context, f *socketFlags, q *status.UpgradeRequest) (err error) {
	if q.Binary != "" {
		if q.Binary, err = filepath.Abs(q.Binary); err != nil {
			return &exitError{exitFatal, err}
		}
	}
	c := p.client(f)
	if q.Reload {
		if err := p.sameFile(ctx, c, f.file); err != nil {
			return err
		}
	}
	before, err := c.Status(ctx)
	if err != nil {
		return &exitError{exitFatal, err}
	}
	a, err := c.Upgrade(ctx, q)
	var refused *status.AnswerError
	switch {
	case errors.As(err, &refused):
		return p.notUpgraded(ctx, c, q, before.Version, refused)
	case err != nil:
		return &exitError{exitFatal, err}
	case a.Nothing && q.Reload:
		if err := p.readAgain(ctx, c, "the running configuration stays, and so does the program"); err != nil {
			return err
		}
		return p.report("reloaded; %s is the program that works, version %s\n", a.Binary, a.From)
	case a.Nothing:
		return p.report("nothing to do: %s is the program that works, version %s\n", a.Binary, a.From)
	case q.Check:
		if q.Drain {
			return p.report("version %s can be started in place of %s\n", a.To, a.From)
		}
		return p.report("version %s can take over from %s; the switch is given up after %d ms at the earliest, before a neighbor takes over\n", a.To, a.From, a.SwitchMS)
	}
	after, err := p.awaitOther(ctx, c, before.PID)
	if err != nil {
		return &exitError{exitFatal, err}
	}
	done := fmt.Sprintf("upgraded from %s to %s, pid %d", a.From, after.Version, after.PID)
	if !q.Reload || q.Drain { // which has read it when it started
		return p.report("%s\n", done)
	}
	if err := p.readAgain(ctx, c, done+", with the configuration that was in force before"); err != nil {
		return err
	}
	return p.report("%s; reloaded\n", done)
}

// notUpgraded says that an upgrade is refused, and puts the configuration in force if that was asked for as well.
func (p *program) notUpgraded(ctx context.Context, c *status.Client, q *status.UpgradeRequest, version string, why *status.AnswerError) error {
	err := fmt.Errorf("upgrade refused, version %s goes on: %w", version, why)
	if !q.Reload || why.Code != status.Refused { // the other program cannot use the configuration: nothing is touched
		return &exitError{exitRefused, err}
	}
	if err := p.readAgain(ctx, c, "the running configuration stays; "+err.Error()); err != nil {
		return err
	}
	return &exitError{exitNotUpgraded, fmt.Errorf("reloaded, but %w", err)}
}

// readAgain has the agent read its configuration again. The error says what has been left as it is.
func (p *program) readAgain(ctx context.Context, c *status.Client, stays string) error {
	warnings, err := c.Reload(ctx)
	var refused *status.AnswerError
	switch {
	case errors.As(err, &refused):
		return &exitError{exitRefused, fmt.Errorf("reload refused, %s: %w", stays, err)}
	case err != nil:
		return &exitError{exitFatal, fmt.Errorf("reload, %s: %w", stays, err)}
	}
	for _, w := range warnings {
		fmt.Fprintln(p.stderr, w)
	}
	p.faults(ctx, c)
	return nil
}

// report writes what has been done to standard output.
func (p *program) report(format string, args ...any) error {
	_, err := fmt.Fprintf(p.stdout, format, args...)
	return outputError(err)
}

// awaitOther waits until another process than old shows the state of the agent.
func (p *program) awaitOther(ctx context.Context, c *status.Client, old int) (*failover.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, upgradePatience)
	defer cancel()
	for {
		s, err := c.Status(ctx)
		if err == nil && s.PID != old {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the other program does not show its state within %v: %w", upgradePatience, errors.Join(err, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
