package vrrp_test

import (
	"testing"

	"failoverd/vrrp"
	"failoverd/vrrp/vrrptest"
	"failoverd/vrrp/wire"
)

// TestEveryVectorGetsItsVerdict takes each vector the whole way: parser, router found by VRID, router.
func TestEveryVectorGetsItsVerdict(t *testing.T) {
	for _, v := range vrrptest.LoadVectors(t, vectorFile) {
		t.Run(v.Name, func(t *testing.T) {
			r := receiver(t, &v, false)
			byVRID := map[uint8]*vrrp.Router{v.Receiver.VRID: r}
			want := v.Reason
			if v.Valid {
				want = "accepted"
			}
			state, before := r.State(), r.WithoutDrops()
			if why := receive(byVRID, v.Payload(t), v.Header()); why.String() != want {
				t.Fatalf("%v, want %s", why, want)
			}
			if !v.Valid {
				if r.State() != state || r.Deadline() != before.Deadline() || r.Received() != 0 || r.Heard() != before.Heard() {
					t.Errorf("refused, but the router changed: %+v", r.WithoutDrops())
				}
				return
			}
			if r.Received() != 1 || r.Heard().Address != v.Src || r.Heard().Priority != v.Priority {
				t.Errorf("accepted, but heard %+v", r.Heard())
			}
		})
	}
}

// receive is what the owner of several routers does with a packet.
func receive(byVRID map[uint8]*vrrp.Router, b []byte, h wire.Header) wire.DropReason {
	var p wire.Packet
	if why := wire.Parse(b, h, &p); why != wire.Accepted {
		return why
	}
	r := byVRID[p.VRID]
	if r == nil {
		return wire.DropVRID
	}
	_, why := r.Receive(second, &p)
	return why
}
