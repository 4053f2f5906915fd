package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/daemon"
	"failoverd/failover/status"
)

// planFlags are the options of plan. The file is the new configuration; what runs is found by the socket.
type planFlags struct {
	socketFlags
	against string
	json    bool
}

func (p *program) planCommand() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan -f NEW [--against FILE] [--json]",
		Short: "Say what a reload with another configuration would do",
		Long: `Ask the running agent what a reload with the configuration NEW would change and disturb, for every object: what
is not touched, what is changed while it runs, what is restarted, and what is sent. Nothing is changed. NEW may be the
file that the agent uses, when it has been edited. It is read with the config-id of the agent, as a reload would do;
another one in -i is an error. With --against, another file takes the place of what runs, and no agent is asked; both
files are read with -i.

Exit status: 0; 1 when no agent answers; 2 when -i is not that of the agent; 5 when the configuration has errors, so that a reload would be refused.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.plan(cmd.Context(), &f) },
	}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&f.against, "against", "", "compare with the configuration in `FILE` instead of what runs")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object for machines")
	return cmd
}

func (p *program) plan(ctx context.Context, f *planFlags) error {
	if f.against == "" {
		if err := p.planIdentity(ctx, f); err != nil {
			return err
		}
	}
	q, next, diagnostics, err := daemon.Gather(f.options())
	if err != nil {
		return &exitError{exitCheck, err}
	}
	if next == nil {
		return p.refuse(f.path(), diagnostics)
	}
	for _, n := range p.notes(next) {
		fmt.Fprintln(p.stderr, n)
	}
	var answer *status.PlanAnswer
	if f.against == "" {
		if answer, err = p.planClient(f).Plan(ctx, q); err != nil {
			err = &exitError{exitFatal, err}
		}
	} else {
		answer, err = p.planAgainst(f, next)
	}
	if err != nil {
		return err
	}
	if f.json {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(answer)
	} else {
		err = p.printPlan(answer)
	}
	if err != nil {
		return outputError(err)
	}
	if answer.Refused {
		return &exitError{status: exitCheck}
	}
	return nil
}

// planIdentity reads NEW as what the running agent is, because a reload there does so whatever is said here.
func (p *program) planIdentity(ctx context.Context, f *planFlags) error {
	s, err := p.planClient(f).Status(ctx)
	switch {
	case err != nil || s.Config.ConfigID == "": // the plan says what is wrong, and an older agent what it cannot find
		return nil
	case f.configID != "" && f.configID != s.Config.ConfigID:
		return &exitError{exitConfig, fmt.Errorf("the agent runs with config-id %s, and a reload reads the file as that, not as %s; leave -i out, or compare two files with --against",
			s.Config.ConfigID, f.configID)}
	}
	f.configID = s.Config.ConfigID
	return nil
}

// planClient is the socket of the agent that runs. The new configuration may name another one, so it is only asked where
// nothing else is known.
func (p *program) planClient(f *planFlags) *status.Client {
	known := f.socketFlags
	known.file = ""
	c := p.client(&known)
	if _, err := c.Status(context.Background()); f.socket == "" && errors.Is(err, status.ErrNotRunning) {
		return p.client(&f.socketFlags)
	}
	return c
}

// planAgainst compares two files.
func (p *program) planAgainst(f *planFlags, next *failover.Config) (*status.PlanAnswer, error) {
	o := f.options()
	o.File = f.against
	old, diagnostics, err := daemon.Load(o)
	if err != nil {
		code := exitCheck
		if errors.Is(err, fs.ErrPermission) {
			code = exitPermission
		}
		return nil, &exitError{code, err}
	}
	if old == nil {
		return nil, p.refuse(f.against, diagnostics)
	}
	return daemon.PlanAgainst(f.path(), old, next), nil
}

// refuse says why there is no plan for a file.
func (p *program) refuse(file string, diagnostics []conf.Diagnostic) error {
	for _, d := range diagnostics {
		if d.Severity == conf.Error {
			fmt.Fprintln(p.stderr, d.String())
		}
	}
	return &exitError{exitCheck, fmt.Errorf("%s has errors: a reload would be refused and change nothing", file)}
}

func (p *program) printPlan(a *status.PlanAnswer) error {
	if a.Refused {
		for _, d := range a.Diagnostics {
			fmt.Fprintln(p.stderr, d)
		}
		_, err := fmt.Fprintln(p.stdout, "a reload would be refused and change nothing")
		return err
	}
	_, err := fmt.Fprintf(p.stdout, "running %s, new %s\n%s", a.Running, a.New, failover.PlanText(a.Entries))
	return err
}
