package integration

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// TestBadWeather: 30 % of what the regions say to each other gets lost, and the rest arrives in another order, for a
// minute (ten in a nightly run). With default settings nobody takes over, with a witness or without.
//
// Steps of the wall clock belong here, too, but a clock is the whole machine's and not a network namespace's: the
// simulation makes them.
func TestBadWeather(t *testing.T) {
	t.Parallel()
	notShort(t)
	var both sync.WaitGroup
	defer both.Wait()
	for name, witness := range map[string]bool{"with a witness": true, "without a witness": false} {
		r := newRegion(t, defaultRegion(witness))
		both.Add(1)
		go func() {
			defer both.Done()
			t.Run(name, func(t *testing.T) {
				r.t = t
				r.endure()
			})
		}()
	}
}

// defaultRegion has the times that a configuration has without any word about them.
func defaultRegion(witness bool) regionConfig {
	return regionConfig{
		witness: witness, weather: true, advert: time.Second, heartbeat: time.Second, fence: 7 * time.Second, hold: 9 * time.Second,
		holdDown: time.Minute, clean: time.Minute, damping: "900 2500 750",
	}
}

func (r *region) endure() {
	r.start()
	d := time.Minute
	if nightly() {
		d = 10 * time.Minute
	}
	mainland := netip.MustParsePrefix("10.1.0.0/24")
	r.wire.Set(lab.Weather{
		Loss: 0.3, Delay: 20 * time.Millisecond, Jitter: 1500 * time.Millisecond, Seed: 4,
		Only: func(f []byte) bool { return between(f, mainland) },
	})
	from := time.Now()
	time.Sleep(d)
	to := time.Now()
	passed, lost := r.wire.Counts()
	r.t.Logf("%d frames passed, %d were lost", passed, lost)
	if lost == 0 {
		r.t.Error("the weather was fair")
	}
	if s := r.hk.state(); s.snapshot == nil || s.role != "BACKUP" || s.snapshot.Routers[0].Counters.BecameMaster != 0 {
		r.t.Errorf("hk did not stay BACKUP:\n%s", r.describe())
	}
	if s := r.m1.state(); s.snapshot == nil || s.role != "MASTER" || s.snapshot.Routers[0].Counters.BecameMaster != 1 {
		r.t.Errorf("m1 did not stay MASTER:\n%s", r.describe())
	}
	r.steadyService(from, to)
}

// steadyService asserts that no probe got lost and that nobody else had the address or announced.
func (r *region) steadyService(from, to time.Time) {
	r.t.Helper()
	if o := r.probe.Longest(from, to); o.Duration()-o.Blind > 0 {
		r.t.Errorf("the client was not served: %v", o)
	}
	if a, b := r.bothAddresses(from, to), r.bothRoutes(from, to); a > 0 || b > 0 {
		r.t.Errorf("both regions held the address for %v, both upstreams the route for %v", a, b)
	}
}

// between reports whether a frame is IPv4 from or to a prefix.
func between(f []byte, p netip.Prefix) bool {
	if len(f) < 34 || f[12] != 8 || f[13] != 0 {
		return false
	}
	return p.Contains(netip.AddrFrom4([4]byte(f[26:30]))) || p.Contains(netip.AddrFrom4([4]byte(f[30:34])))
}
