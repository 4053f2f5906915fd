package health

import (
	"context"
	"time"

	"failoverd/failover"
	"failoverd/failover/script"
)

// runCommand is the runner of a Monitor. What cannot be started has failed.
func runCommand(ctx context.Context, c failover.Command, p policy, timeout time.Duration, output func(string)) outcome {
	if len(c.Args) == 0 {
		return outcome{cause: "no command is configured"}
	}
	r, err := script.Run(ctx, c, script.Policy{Security: p.security, SupplementaryGroups: p.supplementaryGroups},
		script.Exec{Timeout: timeout, Grace: killGrace, Output: output})
	switch {
	case err != nil:
		return outcome{cause: harmless(err.Error())}
	case r.TimedOut:
		return timedOut(timeout) // whether it had to be killed is no other failure
	default:
		return outcome{ok: r.OK(), cause: r.String()}
	}
}
