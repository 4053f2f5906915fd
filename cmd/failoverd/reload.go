package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"failoverd/failover/status"
)

func (p *program) reloadCommand() *cobra.Command {
	var f socketFlags
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the running agent read its configuration again",
		Long: `Make the running agent read its configuration again and wait until it is in force. A configuration with errors
is refused and the agent goes on as before. Errors are what check calls so: an unknown keyword is one, although
run starts with it. Warnings about a configuration that is put in force go to standard error.

Exit status: 0, 1 when no agent answers, 2 when the configuration is refused.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := p.client(&f)
			if err := p.sameFile(cmd.Context(), c, f.file); err != nil {
				return err
			}
			warnings, err := c.Reload(cmd.Context())
			var answer *status.AnswerError
			switch {
			case err == nil:
				for _, w := range warnings {
					fmt.Fprintln(p.stderr, w)
				}
				p.faults(cmd.Context(), c)
				_, err = fmt.Fprintln(p.stdout, "reloaded")
				return outputError(err)
			case errors.As(err, &answer) && answer.Code == http.StatusUnprocessableEntity:
				return &exitError{exitConfig, fmt.Errorf("reload refused, the running configuration stays: %w", err)}
			}
			return &exitError{exitFatal, err}
		},
	}
	f.register(cmd.Flags())
	return cmd
}
