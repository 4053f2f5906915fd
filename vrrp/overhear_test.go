package vrrp_test

import (
	"reflect"
	"testing"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Whoever has left the role listens for the one that takes it, whether it runs or not, and remembers nothing of it.
func TestOverhear(t *testing.T) {
	running, _ := active(t, config(100))
	for _, c := range []struct {
		name   string
		router *vrrp.Router
		change func(*wire.Packet)
		want   wire.DropReason
	}{
		{"a successor", newRouter(t, config(100)), func(*wire.Packet) {}, wire.Accepted},
		{"while Active", running, func(*wire.Packet) {}, wire.Accepted},
		{"in Backup", backup(t, config(100)), func(*wire.Packet) {}, wire.Accepted},
		{"an owner that does not read", func() *vrrp.Router {
			r, _ := active(t, config(255, func(c *vrrp.Config) { c.OwnerIgnoresAdverts = true }))
			return r
		}(), func(*wire.Packet) {}, wire.Accepted},
		{"its own voice", newRouter(t, config(100)), func(p *wire.Packet) { p.Src = own }, wire.DropOwnSource},
		{"another virtual router", newRouter(t, config(100)), func(p *wire.Packet) { p.VRID++ }, wire.DropVRID},
		{"another version", newRouter(t, config(100)), func(p *wire.Packet) { p.Version = wire.V2 }, wire.DropVersion},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := packet(t, c.router, higher, 50, 100)
			c.change(p)
			before := *c.router
			if why := c.router.Overhear(p); why != c.want {
				t.Errorf("%v, want %v", why, c.want)
			}
			if !reflect.DeepEqual(before, *c.router) {
				t.Error("it has changed")
			}
		})
	}
}

func TestResume(t *testing.T) {
	r, now := active(t, config(100))
	stays(t, r, r.Resume(now), vrrp.Active)
	r.Demote(now, 0)
	now += second / 2
	want := vrrp.Effect{Advert: true, Priority: 100, From: vrrp.Backup, To: vrrp.Active, Cause: vrrp.CauseResume}
	if e := r.Resume(now); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	due(t, r, now+second)

	r.Demote(now, 0)
	hear(t, r, now, packet(t, r, higher, 200, 100))
	stays(t, r, r.Resume(now), vrrp.Backup)

	r.Shutdown(now)
	stays(t, r, r.Resume(now), vrrp.Initialize)
}
