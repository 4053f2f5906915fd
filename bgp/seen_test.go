package bgp

import "testing"

func TestSeenPath(t *testing.T) {
	const local, neighbor = 64501, 64500
	for _, tt := range []struct {
		name   string
		path   []uint32
		origin uint32
		ours   bool
	}{
		{"of another AS", []uint32{64500, 64510}, 64510, false},
		{"of the neighbor", []uint32{64500}, 64500, false},
		{"within the own AS", nil, local, false},
		{"of another router of the own AS, at the same neighbor", []uint32{64500, 64501}, local, false},
		{"prepended on both sides", []uint32{64500, 64500, 64501, 64501}, local, false},
		{"of the own AS, through a third one", []uint32{64500, 64502, 64501}, local, true},
		{"through the own AS", []uint32{64500, 64501, 64510}, 64510, true},
		{"back from the own AS at once", []uint32{64501}, local, false},
	} {
		p := SeenPath{NeighborAS: neighbor, ASPath: tt.path}
		if p.Origin(local) != tt.origin || p.MayBeOurs(local) != tt.ours {
			t.Errorf("%s: origin %d, may be ours %v, want %d and %v", tt.name, p.Origin(local), p.MayBeOurs(local), tt.origin, tt.ours)
		}
	}
}
