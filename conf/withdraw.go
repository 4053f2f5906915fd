package conf

import (
	"time"

	"failoverd/failover"
)

// maxWithdrawGrace is the longest withdraw_grace: what takes longer to follow a withdrawal needs another cure, and somebody
// waits for the agent to end.
const maxWithdrawGrace = 10 * time.Second

// withdrawGrace decodes SECONDS.
func (d *decoder) withdrawGrace(in *instance, c *cursor) {
	in.grace.set(d.seconds(c, 0, maxWithdrawGrace))
}

// resolveWithdrawGrace fills in withdraw_grace, and says so where it has no effect.
func (d *decoder) resolveWithdrawGrace(in *instance, r *failover.RouterConfig) {
	r.WithdrawGrace = in.grace.or(failover.DefaultWithdrawGrace)
	if in.grace.ok && len(in.announce)+len(in.routes) == 0 {
		d.warnf(in.grace.at, "withdraw_grace has no effect: %s %s has no bgp_announce and no virtual_routes, so that nothing is withdrawn", in.kind(), in.name.Text)
	}
}

// withdrawGrace writes withdraw_grace where it is not the default.
func (p *printer) withdrawGrace(r *failover.RouterConfig) {
	p.when(r.WithdrawGrace != failover.DefaultWithdrawGrace, "withdraw_grace", formatSeconds(r.WithdrawGrace))
}
