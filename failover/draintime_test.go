package failover_test

import (
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
)

// TestDrainTimeUnderWay: a drain keeps the drain_time that it began with, and status says that one until it is over.
func TestDrainTimeUnderWay(t *testing.T) {
	core, fx := atWork(t, "service WEB lo drain_time 5s\n  address 192.0.2.1/32 lo\n", false)
	core.Flush(0, fx)
	address := failover.AddressKey{Interface: "lo", Prefix: fx.Addresses.Addresses[0].Prefix}
	core.Step(0, failover.AddressesReported{Report: failover.AddressReport{Generation: fx.Addresses.Generation, Present: []failover.AddressKey{address}}}, fx)
	core.Flush(0, fx)
	shown := func(now vrrp.Instant) (string, time.Duration) {
		s := core.Snapshot(now, func(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)) }).Services[0]
		return s.State, time.Duration(s.DrainTimeMS * 1e6)
	}
	for _, row := range []struct {
		at    time.Duration
		do    failover.Input
		state string
		want  time.Duration
	}{
		{0, nil, failover.ServiceAnnounced, 5 * time.Second},
		{time.Second, failover.DrainCommand{Router: "WEB"}, failover.ServiceDraining, 5 * time.Second},
		{
			2 * time.Second,
			failover.Reconfigured{Config: failovertest.MustParseConfig("service WEB lo drain_time 30s\n  address 192.0.2.1/32 lo\n")},
			failover.ServiceDraining, 5 * time.Second,
		},
		{6 * time.Second, nil, failover.ServiceWithdrawn, 30 * time.Second},
	} {
		now := vrrp.Instant(row.at)
		if row.do != nil {
			core.Step(now, row.do, fx)
		}
		core.Expire(now, fx)
		core.Flush(now, fx)
		if state, got := shown(now); state != row.state || got != row.want {
			t.Errorf("at %v: %s with a drain_time of %v, want %s and %v", row.at, state, got, row.state, row.want)
		}
	}
}
