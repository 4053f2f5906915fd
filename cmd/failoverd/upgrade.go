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
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return outputError(json.NewEncoder(p.stdout).Encode(daemon.Introduce(buildVersion())))
		},
	}
}

// upgradePatience is how long the new program is waited for to show its state.
const upgradePatience = 30 * time.Second

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

Exit status: 0, 1 when no agent answers, 2 when the upgrade is refused.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.upgrade(cmd.Context(), &f, &q) },
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&q.Binary, "binary", "", "the program `PATH` that takes over")
	cmd.Flags().BoolVar(&q.Check, "check", false, "say whether it could, and do nothing")
	cmd.Flags().BoolVar(&q.Drain, "drain", false, "stop in order and start the other program afresh")
	cmd.Flags().BoolVar(&q.IfChanged, "if-changed", false, "reload the configuration; upgrade only if PATH is another program than the one that works")
	cmd.MarkFlagsMutuallyExclusive("check", "if-changed")
	return cmd
}

func (p *program) upgrade(ctx context.Context, f *socketFlags, q *status.UpgradeRequest) (err error) {
	if q.Binary != "" {
		if q.Binary, err = filepath.Abs(q.Binary); err != nil {
			return &exitError{exitFatal, err}
		}
	}
	c := p.client(f)
	if q.IfChanged {
		warnings, err := c.Reload(ctx)
		if err != nil {
			return &exitError{exitRefused, fmt.Errorf("reload refused, the running configuration stays, and so does the program: %w", err)}
		}
		for _, w := range warnings {
			fmt.Fprintln(p.stderr, w)
		}
	}
	before, err := c.Status(ctx)
	if err != nil {
		return &exitError{exitFatal, err}
	}
	a, err := c.Upgrade(ctx, q)
	var refused *status.AnswerError
	if errors.As(err, &refused) {
		return &exitError{exitRefused, fmt.Errorf("upgrade refused, version %s goes on: %w", before.Version, err)}
	}
	if err != nil {
		return &exitError{exitFatal, err}
	}
	switch {
	case a.Nothing:
		_, err = fmt.Fprintf(p.stdout, "reloaded; %s is the program that works, version %s\n", a.Binary, a.From)
		return outputError(err)
	case q.Check:
		_, err = fmt.Fprintf(p.stdout, "version %s can take over from %s\n", a.To, a.From)
		return outputError(err)
	}
	after, err := p.awaitOther(ctx, c, before.PID)
	if err != nil {
		return &exitError{exitFatal, err}
	}
	_, err = fmt.Fprintf(p.stdout, "upgraded from %s to %s, pid %d\n", a.From, after.Version, after.PID)
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
