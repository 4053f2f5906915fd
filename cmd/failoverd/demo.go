package main

import (
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"failoverd/integration/lab"
)

func (p *program) demoCommand() *cobra.Command {
	o := lab.DemoOptions{Out: p.stdout, Err: p.stderr}
	cmd := &cobra.Command{
		Use:   "demo [--scenario NAME] [--json] [--keep] [--show-config] [--verbose]",
		Short: "Play the failure and return of a region in networks of its own on this machine",
		Long: `Build two sites, an upstream router and a client inside network namespaces, run real agents there, and play what happens
to a service of two regions. It takes about 40 seconds and touches nothing of this machine's network. Root can run it,
and ordinary users where user namespaces are allowed.

Scenarios (the first is the default):
` + scenarioList() + `
Exit status: 0 when every verdict holds, 1 when one does not, 130 when it was interrupted.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Further signals are swallowed until everything is cleaned up.
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			if status := lab.Demo(ctx, o); status != 0 {
				return &exitError{status: status}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Scenario, "scenario", lab.Scenarios()[0].Name, "what to play")
	flags.BoolVar(&o.JSON, "json", false, "print one JSON object a line: the events, then the result")
	flags.BoolVar(&o.Keep, "keep", false, "leave everything running after the result, until interrupted")
	flags.BoolVar(&o.ShowConfig, "show-config", false, "print the configuration files and do nothing else")
	flags.BoolVar(&o.Verbose, "verbose", false, "show every advertisement and BGP session, too")
	return cmd
}

// scenarioList is the part of demo's help about what it can play.
func scenarioList() string {
	var b strings.Builder
	for _, s := range lab.Scenarios() {
		fmt.Fprintf(&b, "  %-8s %s\n", s.Name, s.About)
	}
	return b.String()
}

// demoUpstreamCommand is the process that demo runs as the upstream router.
func (p *program) demoUpstreamCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "demo-upstream",
		Short:  "Be the upstream router of the demo (started by demo)",
		Hidden: true,
		// Its arguments are an agreement between the two ends in integration/lab.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if err := lab.UpstreamMain(ctx, args); err != nil {
				return &exitError{exitFatal, err}
			}
			return nil
		},
	}
}
