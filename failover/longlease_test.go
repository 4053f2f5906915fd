package failover_test

import (
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// TestLongLeaseOfASite: the addresses of a site end with its authority, however long their lease is, so that they are renewed as
// often as the authority is.
func TestLongLeaseOfASite(t *testing.T) {
	w := newRegions(t)
	for _, name := range []string{"m1", "m2"} {
		w.nodes[name].cfg.Routers[0].Addresses[0].Lease = time.Minute
	}
	w.start("sg", "hk", "m1", "m2")
	w.run(10 * time.Second)
	w.want(byM1)
	least := time.Hour
	for range 600 {
		w.run(100 * time.Millisecond)
		least = min(least, w.nodes["m1"].until.Sub(w.now))
	}
	w.want(byM1)
	if fence := w.nodes["m1"].cfg.Sites[0].FenceAfter; least < fence/3 {
		t.Errorf("only %v were left to the address, with authority for %v", least, fence)
	}
}

// TestLongLeasesAreTold: the status says which lease counts, and why, and plan what becomes of it.
func TestLongLeasesAreTold(t *testing.T) {
	cfg := mainlandConfig("m1", 200)
	before := *cfg
	cfg.LongLeases = []failover.LongLease{{Interface: "eth0", Addresses: 1000, Lease: 64 * time.Second, Usual: 3 * time.Second, Share: 0.42}}
	core, err := failover.New(cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	const why = "1000 IPv6 addresses on interface eth0: their lease is 64 seconds and not 3, because to renew them would take about 42 % of a core"
	list := core.Snapshot(2, func(vrrp.Instant) time.Time { return time.Time{} }).LongLeases
	if len(list) != 1 || list[0].LeaseSeconds != 64 || list[0].UsualSeconds != 3 || !strings.Contains(list[0].Why, why) {
		t.Errorf("status has %+v", list)
	}
	if text := failover.PlanText(failover.Plan(&before, cfg)); !strings.Contains(text, "long leases + "+why) {
		t.Errorf("plan says %s", text)
	}
}
