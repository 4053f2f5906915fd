package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"failoverd/failover"
	"failoverd/failover/daemon"
)

// rtoFlags are the options of rto.
type rtoFlags struct {
	fileFlags
	json bool
}

func (p *program) rtoCommand() *cobra.Command {
	var f rtoFlags
	cmd := &cobra.Command{
		Use:   "rto [-f FILE] [-i CONFIG-ID] [--json]",
		Short: "Reckon the worst-case recovery time of each failure",
		Long: `Read a configuration and reckon, for each virtual router and each failure, how long it takes at most until the
service is there again, term by term, with the words of the configuration that each term comes from. What the
Internet takes to follow the upstream is no part of it. No agent is asked, and no privileges are needed; the agent
has the same numbers in status --json.

Exit status: 0; 5 with errors in the file, or without a readable one; 64 wrong usage.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return p.rto(&f) },
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON array for machines")
	return cmd
}

func (p *program) rto(f *rtoFlags) error {
	o := f.options()
	o.Strict = true
	cfg, diagnostics, err := daemon.Load(o)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	case err != nil:
		return &exitError{exitCheck, err}
	case cfg == nil:
		for _, d := range diagnostics {
			fmt.Fprintln(p.stderr, d.String())
		}
		return &exitError{exitCheck, fmt.Errorf("%s has errors, so that there is nothing to reckon with", f.path())}
	}
	list := failover.RTO(cfg)
	if f.json {
		e := json.NewEncoder(p.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(list)
	} else {
		_, err = io.WriteString(p.stdout, failover.RecoveryText(list))
	}
	if err != nil {
		return outputError(err)
	}
	return nil
}
