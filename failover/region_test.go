package failover_test

import (
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

// steady starts everybody and waits until the primary serves.
func steady(t *testing.T) *regions {
	w := newRegions(t)
	w.start("sg", "hk", "m1", "m2")
	w.run(10 * time.Second)
	w.want(byM1)
	return w
}

func TestRegions(t *testing.T) {
	for _, tt := range []struct {
		name string
		play func(w *regions)
	}{
		{"a dead router of the site is replaced within the site, under the same term", func(w *regions) {
			w.kill("m1")
			w.run(5 * time.Second)
			w.want(byM2)
			if r := w.status("m2").Routers[0]; r.Epoch != 1 || r.Holder != "mainland" {
				w.t.Errorf("epoch %d %s", r.Epoch, r.Holder)
			}
			w.start("m1")
			w.run(10 * time.Second)
			w.want(byM1)
		}},
		{"without power on the mainland, the watcher takes over after takeover_after, not before", func(w *regions) {
			w.kill("m1", "m2")
			w.run(17 * time.Second)
			w.want("")
			w.run(4 * time.Second)
			w.want(byHK)
			if r := w.status("hk").Routers[0]; r.Epoch != 2 || r.Holder != "hk" {
				w.t.Errorf("epoch %d %s", r.Epoch, r.Holder)
			}
		}},
		{"the mainland takes the role back once it has been all right for failback_clean", func(w *regions) {
			w.kill("m1", "m2")
			w.run(25 * time.Second)
			w.start("m1", "m2")
			w.run(4500 * time.Millisecond)
			w.want(byHK)
			w.run(10 * time.Second)
			w.want(byM1)
		}},
		{"a cut between the regions changes nothing while the witness hears the mainland", func(w *regions) {
			w.sever("mainland>hk", "hk>mainland")
			w.run(120 * time.Second)
			w.want(byM1)
		}},
		{"an isolated watcher stays a backup", func(w *regions) {
			w.sever("*>hk", "hk>*")
			w.run(120 * time.Second)
			w.want(byM1)
			clear(w.cut)
			w.run(30 * time.Second)
			w.want(byM1)
		}},
		{"an isolated mainland fences itself before the watcher takes over", func(w *regions) {
			w.sever("*>mainland", "mainland>*")
			delete(w.cut, "mainland>mainland")
			w.cut = map[string]bool{"mainland>hk": true, "hk>mainland": true, "mainland>sg": true, "sg>mainland": true}
			w.run(6 * time.Second)
			w.want(byM1)
			w.run(2 * time.Second)
			w.want("")
			w.run(15 * time.Second)
			w.want(byHK)
			clear(w.cut)
			w.run(20 * time.Second)
			w.want(byM1)
		}},
		{"a site whose messages all get lost on the way out is replaced as well", func(w *regions) {
			w.sever("mainland>hk", "mainland>sg")
			w.run(8 * time.Second)
			w.want("")
			w.run(15 * time.Second)
			w.want(byHK)
		}},
		{"a site that hears nobody is replaced as well", func(w *regions) {
			w.sever("hk>mainland", "sg>mainland")
			w.run(6 * time.Second)
			w.want(byM1)
			w.run(3 * time.Second) // it says that it has let go
			w.want(byHK)
		}},
		{"a router without a session leaves the role to the other region until it has one", func(w *regions) {
			w.kill("m1", "m2")
			w.run(25 * time.Second)
			w.nodes["m1"].down, w.nodes["m2"].down = true, true
			w.start("m1", "m2")
			w.run(60 * time.Second)
			w.want(byHK)
			w.nodes["m1"].down = false
			w.session(w.nodes["m1"])
			w.batch(w.nodes["m1"])
			w.run(6 * time.Second)
			w.want(byM1)
		}},
		{"a mainland that tells only the witness that it has let go is replaced as one that is silent", func(w *regions) {
			w.sever("mainland>hk", "hk>mainland")
			w.loseUpstream("m1", "m2")
			w.run(16 * time.Second)
			w.want("")
			w.run(4 * time.Second)
			w.want(byHK)
		}},
		{"a mainland whose holder is dead and whose other router cannot serve is replaced as one that is silent", func(w *regions) {
			w.loseUpstream("m2")
			w.run(5 * time.Second)
			w.want(byM1)
			w.kill("m1")
			w.run(15 * time.Second)
			w.want("")
			w.run(6 * time.Second)
			w.want(byHK)
			w.start("m1")
			w.run(30 * time.Second)
			w.want(byM1)
		}},
		{"so it is if nobody but the other router is heard by the watcher, and m1 by the witness alone", func(w *regions) {
			w.loseUpstream("m2")
			w.sever("m1>hk")
			w.run(60 * time.Second)
			w.want(byM1)
			w.kill("m1")
			w.run(15 * time.Second)
			w.want("")
			w.run(6 * time.Second)
			w.want(byHK)
		}},
		{"a watcher that is started again while the mainland is dead goes on where it was", func(w *regions) {
			w.kill("m1", "m2")
			w.run(25 * time.Second)
			w.want(byHK)
			w.kill("hk")
			w.run(time.Second)
			w.start("hk")
			w.run(5 * time.Second)
			w.want(byHK)
		}},
		{"both regions start again together", func(w *regions) {
			w.kill("m1", "m2", "hk", "sg")
			w.run(30 * time.Second)
			w.start("hk", "m1", "sg", "m2")
			w.run(10 * time.Second)
			w.want(byM1)
		}},
		{"a role that the last router of the site releases is taken at once", func(w *regions) {
			w.kill("m2")
			w.run(9 * time.Second)
			w.step("m1", failover.Stop{Reason: "terminated"})
			w.run(4 * time.Second)
			w.want(byHK)
			if r := w.status("hk").Watches[0]; r.Penalty != 0 {
				w.t.Errorf("penalty %d for a role that was given away", r.Penalty)
			}
		}},
		{"a switchover of the last router of the site goes to the other site, which begins when this one has let go", func(w *regions) {
			w.kill("m2")
			w.run(9 * time.Second)
			w.step("m1", failover.SwitchoverCommand{Router: "SERVICE", By: "ops", Ref: 7})
			for range 60 {
				w.run(50 * time.Millisecond)
				if s := w.serving(); strings.Contains(s, "m1") && strings.Contains(s, "hk") {
					w.want(byHK)
				}
			}
			w.want(byHK)
			w.run(time.Minute)
			w.want(byHK)
			w.step("m1", failover.UndrainCommand{Router: "SERVICE"})
			w.run(10 * time.Second)
			w.want(byM1)
		}},
		{"a switchover without anybody to take the role is undone", func(w *regions) {
			w.kill("m2", "hk")
			w.run(9 * time.Second)
			w.step("m1", failover.SwitchoverCommand{Router: "SERVICE", By: "ops", Ref: 7})
			w.run(5 * time.Second)
			w.want(byM1)
		}},
		{"a role that a router releases to its neighbor does not leave the site", func(w *regions) {
			w.step("m1", failover.Stop{Reason: "terminated"})
			w.run(4 * time.Second)
			w.kill("m1")
			w.want(byM2)
			w.run(30 * time.Second)
			w.want(byM2)
		}},
		{"who wakes up under an old term stops as soon as it is told, and nobody yields to it", func(w *regions) {
			w.kill("m2")
			w.freeze("m1")
			w.run(30 * time.Second)
			w.want(byHK)
			w.thaw("m1")
			for range 40 {
				w.run(100 * time.Millisecond)
				if !strings.Contains(w.serving(), byHK) {
					w.want(byHK)
				}
			}
			w.want(byHK)
			w.run(20 * time.Second)
			w.want(byM1)
		}},
		{"a mainland that is cut off while it waits leaves the role to the site that serves", func(w *regions) {
			w.kill("m1", "m2")
			w.run(25 * time.Second)
			w.start("m1", "m2")
			w.run(4 * time.Second)
			w.sever("mainland>hk", "hk>mainland", "mainland>sg", "sg>mainland")
			for range 200 {
				w.run(100 * time.Millisecond)
				w.want(byHK)
			}
		}},
		{"a router that is put back into service just after another site has taken the role leaves it there for failback_clean", func(w *regions) {
			for _, name := range []string{"m1", "m2"} {
				w.step(name, failover.DrainCommand{Router: "SERVICE"})
			}
			for !strings.Contains(w.serving(), "hk role") {
				w.run(5 * time.Millisecond)
			}
			w.step("m1", failover.UndrainCommand{Router: "SERVICE"})
			for range 40 {
				w.run(100 * time.Millisecond)
				w.want(byHK)
			}
			w.run(6 * time.Second)
			w.want(byM1)
		}},
		{"a watcher that falls silent with the role is replaced when what it may have left has ended", func(w *regions) {
			w.kill("m1", "m2")
			w.run(25 * time.Second)
			w.start("m1", "m2")
			w.run(4 * time.Second)
			w.kill("hk")
			w.run(11 * time.Second)
			w.want("")
			w.run(2 * time.Second)
			w.want(byM1)
		}},
		{"one death of a site is one takeover, whatever number of routers watch it", func(w *regions) {
			w.another("hk", 78)
			w.run(10 * time.Second)
			w.kill("m1", "m2")
			w.run(22 * time.Second)
			for i, r := range w.status("hk").Routers {
				if r.State != "MASTER" {
					w.t.Errorf("router %d is %s: %s", i, r.State, r.Waiting)
				}
			}
			if s := w.status("hk").Watches[0]; s.Penalty > 1000 || s.Latched {
				w.t.Errorf("%+v", s)
			}
		}},
		{"takeovers are damped", func(w *regions) {
			for range 3 {
				w.kill("m1", "m2")
				w.run(90 * time.Second)
				w.want(byHK)
				w.start("m1", "m2")
				w.run(30 * time.Second)
				w.want(byM1)
			}
			w.kill("m1", "m2")
			w.run(10 * time.Minute)
			w.want("")
			if s := w.status("hk").Watches[0]; !s.Latched || !strings.Contains(s.Held, "damped") {
				w.t.Errorf("%+v", s)
			}
			w.run(30 * time.Minute)
			w.want(byHK)
		}},
		{"two takeovers are at least hold_down apart", func(w *regions) {
			w.kill("m1", "m2")
			w.run(25 * time.Second)
			w.start("m1", "m2")
			w.run(11 * time.Second)
			w.want(byM1)
			w.kill("m1", "m2")
			w.run(30 * time.Second)
			w.want("")
			w.run(30 * time.Second)
			w.want(byHK)
		}},
		{"a site that is dead to everybody but its own advertisements is replaced if that is wanted", func(w *regions) {
			w.watchOnSiteDown()
			w.run(10 * time.Second)
			w.check("origin", false)
			w.run(17 * time.Second)
			w.want(byM1)
			w.run(3 * time.Second)
			w.want(byHK)
		}},
		{"a site that is dead to everybody but its own advertisements keeps the role otherwise", func(w *regions) {
			w.run(10 * time.Second)
			w.check("origin", false)
			w.run(60 * time.Second)
			w.want(byM1)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.play(steady(t)) })
	}
}
