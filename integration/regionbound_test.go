package integration

import (
	"encoding/json"
	"testing"
	"time"

	"failoverd/failover"
)

// Terms of safety.md 6.4 that no configuration has a word for.
const (
	voteTime    = time.Second            // T_vote: a question to a witness, and another one
	programTime = 200 * time.Millisecond // T_prog: the address, and gratuitous ARP
	updateTime  = 300 * time.Millisecond // T_adv: the first UPDATE
)

// activeDown is Active_Down_Interval of a router.
func (c *regionConfig) activeDown(priority int) time.Duration { return 3*c.advert + c.skew(priority) }

func (c *regionConfig) skew(priority int) time.Duration {
	return time.Duration(256-priority) * c.advert / 256
}

// bounds returns how long nobody serves after a cut, at least and at most, from the parameters of the protocols. What the
// agents print themselves is compared in checkRecovery.
func (r *region) bounds(e ending) (least, most time.Duration) {
	c := &r.config
	last := c.heartbeat + programTime + updateTime
	switch e {
	case stays:
		return 0, 0
	case moved:
		// The upstream keeps the dead router's route for the hold time.
		return 0, max(c.activeDown(150)+last, c.hold) + slack
	case released:
		// Both routers of the mainland lose their sessions within the hold time, m2 perhaps after it has taken the role.
		return 0, c.hold + c.activeDown(150) + c.skew(100) + voteTime + last + slack
	case orphaned:
		return 0, c.takeover() + voteTime + last + slack
	case silence:
		return c.takeover() - c.heartbeat, c.takeover() + voteTime + last + slack
	case fenced:
		// Addresses get leases of whole seconds, so they go within the last second of fence_after.
		return c.takeover() - c.fence - c.heartbeat, c.takeover() - c.fence + time.Second + c.heartbeat + voteTime + last + slack
	default:
		return c.takeover() - c.fence, 0
	}
}

// printed returns the bound of a failure as `rto --json` prints it for a configuration file with one router.
func printed(t *testing.T, file, failure string) time.Duration {
	t.Helper()
	out, code := local(t, binary, "rto", "--json", "-f", file)
	var list []failover.RecoveryStatus
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		t.Errorf("rto: exit %d, %v: %s", code, err, out)
	}
	for _, r := range list {
		if r.Failure == failure && r.TotalMS != nil {
			return time.Duration(*r.TotalMS * float64(time.Millisecond))
		}
	}
	t.Errorf("rto prints no bound for %s: %s", failure, out)
	return 0
}

// checkPrinted asserts that the service was away for no longer than a machine's file promises for a failure.
func (r *region) checkPrinted(m *machine, failure string, took time.Duration) {
	r.t.Helper()
	most := printed(r.t, m.agent.conf, failure)
	r.t.Logf("%s: measured %.3f s, rto on %s prints %.3f s", failure, took.Seconds(), m.name, most.Seconds())
	if took > most {
		r.t.Errorf("%s took %.3f s, and rto on %s prints %.3f s", failure, took.Seconds(), m.name, most.Seconds())
	}
}

// checkEnding compares an outage with the printed bound for it, where there is one.
func (r *region) checkEnding(e ending, took time.Duration) {
	r.t.Helper()
	switch e {
	case moved:
		r.checkPrinted(r.m1, failover.NodePower, took)
	case released:
		r.checkPrinted(r.m1, failover.UplinkLoss, took)
	case orphaned, silence, fenced:
		r.checkPrinted(r.hk, failover.SitePower, took)
	}
}
