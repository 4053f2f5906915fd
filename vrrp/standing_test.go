package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"failoverd/vrrp"
)

// A router that takes over from another program has the same standing, says nothing, and does the next thing when the one
// before would have done it.
func TestSucceed(t *testing.T) {
	active := newRouter(t, config(100))
	active.SetSource(own)
	active.Restart(5)
	backup := newRouter(t, config(100))
	backup.SetSource(own)
	backup.Startup(7)
	for name, old := range map[string]*vrrp.Router{"Active": active, "Backup": backup} {
		t.Run(name, func(t *testing.T) {
			s := old.Standing()
			next := newRouter(t, config(100))
			next.SetSource(netip.Addr{})
			if e := next.Succeed(&s); e.Changed() || e.Advert {
				t.Errorf("without a source: %+v", e)
			}
			next.SetSource(own)
			if e := next.Succeed(&s); e.To != s.State || e.Advert || e.Cause != vrrp.CauseUpgrade {
				t.Errorf("%+v", e)
			}
			if diff := cmp.Diff(s, next.Standing(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("standing (-old +next):\n%s", diff)
			}
			for _, at := range []vrrp.Instant{old.Deadline() - 1, old.Deadline(), old.Deadline().Add(time.Second)} {
				if a, b := old.Expire(at), next.Expire(at); a != b {
					t.Errorf("at %d: %+v, want %+v", at, b, a)
				}
			}
			if e := next.Succeed(&s); e.Changed() {
				t.Errorf("twice: %+v", e)
			}
		})
	}
	idle := newRouter(t, config(100)).Standing()
	r := newRouter(t, config(100))
	r.SetSource(own)
	if e := r.Succeed(&idle); e.Changed() {
		t.Errorf("from Initialize: %+v", e)
	}
}
