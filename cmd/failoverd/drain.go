package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"failoverd/failover/status"
)

// exitRefused: the agent has not done what it was asked for.
const exitRefused = 2

// orderFlags are the options of drain, undrain and switchover.
type orderFlags struct {
	socketFlags
	reason string
	length time.Duration
}

func (p *program) drainCommand() *cobra.Command {
	var f orderFlags
	cmd := p.orderCommand(&f, status.Drain, "drained")
	cmd.Use = "drain [NAME]"
	cmd.Short = "Take this node out of service, in order"
	cmd.Long = `Take the router NAME (a name, or a key like eth0/4/51) out of service, or all of them: one that is MASTER hands its
role over and goes on serving until its successor does; none takes a role until undrain, or until the time given by
--for is over. If no other node takes the role, nobody serves. A drain outlives restarts of the agent and of the
machine. In a sync group, all members leave their roles.

Exit status: 0, or 1 when no agent answers or there is no such router.`
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for status and logs: `TEXT` of one line")
	cmd.Flags().DurationVar(&f.length, "for", 0, "end the drain after `DURATION`, like 30m or 2h")
	return cmd
}

func (p *program) undrainCommand() *cobra.Command {
	var f orderFlags
	cmd := p.orderCommand(&f, status.Undrain, "undrained")
	cmd.Use = "undrain [NAME]"
	cmd.Short = "Put this node back into service"
	cmd.Long = `Put the router NAME back into service, or all of them, after drain or switchover. It takes the role back if it
preempts and has the higher priority. It also ends the damping of takeovers of the site that NAME watches.

Exit status: 0, also when there was nothing to end, which is said, or 1 when no agent answers or there is no such router.`
	return cmd
}

func (p *program) switchoverCommand() *cobra.Command {
	var f orderFlags
	cmd := p.orderCommand(&f, status.Switchover, "handed over")
	cmd.Use = "switchover [NAME]"
	cmd.Short = "Hand the role of this node to another one, or keep it"
	cmd.Long = `Hand the role of the router NAME, which is MASTER on this node, to another node now. This node goes on serving until
the other one does. When no other one takes the role it keeps it: nothing is lost, and the command is refused. After a
switchover this node stays out, as after drain, until undrain. NAME is needed when there are several routers; the members
of a sync group go together.

Exit status: 0, 1 when no agent answers or there is no such router, 2 when the switchover is refused.`
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for status and logs: `TEXT` of one line")
	return cmd
}

// orderCommand is what the three have in common.
func (p *program) orderCommand(f *orderFlags, verb status.Verb, done string) *cobra.Command {
	cmd := &cobra.Command{
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := &status.CommandRequest{Reason: f.reason, By: p.getenv("SUDO_USER")}
			if len(args) > 0 {
				q.Router = args[0]
			}
			if cmd.Flags().Changed("for") {
				q.For = f.length.String()
			}
			a, err := p.client(&f.socketFlags).Command(cmd.Context(), verb, q)
			if err != nil {
				return orderError(verb, err)
			}
			for _, w := range a.Warnings {
				fmt.Fprintf(p.stderr, "failoverd: warning: %s\n", w)
			}
			what := done
			switch {
			case a.Nothing:
				what = "nothing to do: " + a.Text
			case a.Text != "":
				what += ": " + a.Text
			}
			_, err = fmt.Fprintln(p.stdout, what)
			return outputError(err)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// orderError says what became of a command that was not carried out.
func orderError(verb status.Verb, err error) error {
	var e *status.AnswerError
	switch {
	case !errors.As(err, &e):
	case e.Code == status.Refused:
		return &exitError{exitRefused, fmt.Errorf("%s refused: %w", verb, err)}
	case e.Code == http.StatusUnprocessableEntity:
		return &exitError{exitUsage, err}
	}
	return &exitError{exitFatal, err}
}
