package failover

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"failoverd/vrrp"
)

// TestTakeoverStages says which instants the first stages of a takeover at 100 get. The router has been Backup since 50.
func TestTakeoverStages(t *testing.T) {
	const since, now = 50, 100
	heard := vrrp.Heard{Address: netip.MustParseAddr("192.0.2.2"), At: 60}
	for _, tt := range []struct {
		name   string
		before func(*takeover)
		heard  vrrp.Heard
		want   []vrrp.Instant // of the last advertisement, if any, silence, quorum and promotion
	}{
		{"alone", func(*takeover) {}, heard, []vrrp.Instant{60, 100, 100, 100}},
		{"nobody heard", func(*takeover) {}, vrrp.Heard{}, []vrrp.Instant{100, 100, 100}},
		{"a rival heard in another life", func(*takeover) {}, vrrp.Heard{Address: heard.Address, At: 49}, []vrrp.Instant{100, 100, 100}},
		{"ready before a sync group is", func(to *takeover) { to.silence = 80 }, heard, []vrrp.Instant{60, 80, 100, 100}},
		{"ready in another life", func(to *takeover) { to.silence = 40 }, heard, []vrrp.Instant{60, 100, 100, 100}},
		{"held back by the guard", func(to *takeover) {
			to.silence = 80
			to.allowed(90)
			to.allowed(95)
		}, heard, []vrrp.Instant{60, 80, 90, 100}},
		{"allowed, held back again, allowed", func(to *takeover) {
			to.silence = 80
			to.allowed(85)
			to.held()
			to.allowed(95)
		}, heard, []vrrp.Instant{60, 80, 95, 100}},
		{"allowed before it was silent", func(to *takeover) {
			to.allowed(55)
			to.silence = 80
		}, heard, []vrrp.Instant{60, 80, 100, 100}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var to takeover
			tt.before(&to)
			to.begin(now, since, tt.heard, vrrp.Effect{From: vrrp.Backup, To: vrrp.Active})
			var got []vrrp.Instant
			for _, p := range to.phases {
				got = append(got, p.At)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("instants (-want +got):\n%s", diff)
			}
		})
	}
}
