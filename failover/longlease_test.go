package failover_test

import (
	"testing"
	"time"
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
