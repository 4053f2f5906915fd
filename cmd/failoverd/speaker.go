package main

import (
	"github.com/spf13/cobra"

	"failoverd/bgp/speaker"
)

// speakerCommand is the child process that run starts for a bgp_speaker.
func (p *program) speakerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "speaker",
		Short:  "Host a BGP speaker (started by run)",
		Hidden: true,
		// Its arguments are an agreement between the two ends in bgp/speaker.
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := speaker.ParseOptions(args)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if err := speaker.Main(cmd.Context(), o); err != nil {
				return &exitError{exitFatal, err}
			}
			return nil
		},
	}
}
