package failover_test

import (
	"strings"
	"testing"
	"time"
)

// What status says of a watcher is true at each moment of a takeover and of the return.
func TestStandingOfAWatcher(t *testing.T) {
	w := steady(t)
	for _, c := range []struct {
		name              string
		play              func()
		master, last, now string
		takesOver         bool
	}{
		{"the site serves", func() {}, "10.1.0.11", "", "", false},
		{"silent, but not for long enough", func() { w.kill("m1", "m2"); w.run(2 * time.Second) }, "10.1.0.11", "", "", false},
		{"gone, and the takeover is held back", func() { w.run(6 * time.Second) }, "", "10.1.0.11", "no MASTER is heard; 10.1.0.11 was the last one, 8", false},
		{"it serves", func() { w.run(14 * time.Second) }, "10.3.0.13", "", "", false},
		{"it has given the role back", func() { w.start("m1", "m2"); w.run(20 * time.Second) }, "10.1.0.11", "", "", false},
	} {
		c.play()
		r := w.status("hk").Routers[0]
		master, last := "", ""
		if r.Master != nil {
			master = r.Master.Address.String()
		}
		if r.LastMaster != nil {
			last = r.LastMaster.Address.String()
		}
		if master != c.master || last != c.last || !strings.HasPrefix(r.Now, c.now) || (r.Now == "") != (c.now == "") || r.TakesOver != c.takesOver {
			t.Errorf("%s: %s (%s), master %q, last %q, now %q, takes over %v", c.name, r.State, r.Why, master, last, r.Now, r.TakesOver)
		}
	}
}
