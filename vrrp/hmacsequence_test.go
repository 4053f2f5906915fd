package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// A clock that stands still, or is stepped, must cost nothing that the mode does not ask for.
func TestHMACSequences(t *testing.T) {
	const s = int64(time.Second)
	const hour = 3600 * s
	for _, tt := range []struct {
		name string
		how  func(*vrrp.HMAC)
		// The wall clock of sender and receiver at each advertisement.
		clocks [][2]int64
		want   string
	}{
		{"many at one moment", func(*vrrp.HMAC) {}, [][2]int64{{0, 0}, {0, 0}, {0, 0}}, "ok 3"},
		{"a small step back", func(*vrrp.HMAC) {}, [][2]int64{{0, 0}, {-2 * s, -2 * s}, {-s, -s}, {0, 0}, {s, s}}, "ok 5"},
		{"both stepped back an hour", func(*vrrp.HMAC) {}, [][2]int64{{0, 0}, {-hour, -hour}, {-hour + s, -hour + s}}, "ok 3"},
		{"both stepped ahead an hour", func(*vrrp.HMAC) {}, [][2]int64{{0, 0}, {hour, hour}, {hour + s, hour + s}}, "ok 3"},
		{"the sender stepped ahead", func(*vrrp.HMAC) {}, [][2]int64{{0, 0}, {hour, s}, {2 * s, 2 * s}}, "ok 2, stale 1"},
		{"the receiver stepped back", func(*vrrp.HMAC) {}, [][2]int64{{0, 0}, {s, s - hour}}, "ok 1, stale 1"},
		{"monotonic: the sender stepped ahead and back", monotonic, [][2]int64{{0, 0}, {hour, s}, {2 * s, 2 * s}, {-hour, 3 * s}}, "ok 4"},
		{"monotonic: the receiver stepped", monotonic, [][2]int64{{0, 0}, {s, hour}, {2 * s, -hour}, {3 * s, 3 * s}}, "ok 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from := signer(t, higher, config(200, authenticated(tt.how)))
			r := backup(t, config(100, authenticated(tt.how)))
			for _, c := range tt.clocks {
				r.SetWallClock(noon + c[1])
				r.Receive(second/2, sent(t, from, wire.IPv4.Group(), 200, noon+c[0]))
			}
			counted(t, r, tt.want)
		})
	}
}

// What was recorded before is of no use later, in either mode, nor does it move the mark.
func TestHMACReplay(t *testing.T) {
	const s = int64(time.Second)
	group := wire.IPv4.Group()
	for _, tt := range []struct {
		how  func(*vrrp.HMAC)
		old  wire.DropReason // of a packet from before the window
		late wire.DropReason // of the same one, to a node that has just started
	}{
		{func(*vrrp.HMAC) {}, wire.DropHMACStale, wire.DropHMACStale},
		{monotonic, wire.DropHMACReplay, wire.Accepted},
	} {
		from := signer(t, higher, config(200, authenticated(tt.how)))
		r := backup(t, config(100, authenticated(tt.how)))
		old := sent(t, from, group, 0, noon-10*s)
		first, second := sent(t, from, group, 200, noon), sent(t, from, group, 200, noon+s)
		gets(t, r, noon+s, second, wire.Accepted)
		gets(t, r, noon+s, second, wire.DropHMACReplay)
		gets(t, r, noon+s, first, wire.DropHMACReplay) // overtaken on the way, or sent again: nobody can tell
		gets(t, r, noon+s, old, tt.old)
		gets(t, backup(t, config(100, authenticated(tt.how))), noon+s, old, tt.late)
		gets(t, r, noon+2*s, sent(t, from, group, 200, noon+2*s), wire.Accepted)
	}
}

// Nobody can push the number of a sender out of the table, or ahead, without a key.
func TestHMACMarksAreMovedByVerifiedSendersOnly(t *testing.T) {
	group := wire.IPv4.Group()
	r := backup(t, config(100, authenticated(monotonic)))
	from := signer(t, higher, config(200, authenticated(monotonic)))
	first := sent(t, from, group, 200, noon)
	gets(t, r, noon, first, wire.Accepted)
	for i := range 100 {
		p := sent(t, signer(t, netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}), config(200, authenticated(monotonic))), group, 200, noon)
		p.Trailer.MAC[0] ^= 1
		gets(t, r, noon, p, wire.DropHMACBad)
	}
	ahead := sent(t, from, group, 200, noon+int64(time.Hour))
	ahead.Priority = 255
	gets(t, r, noon, ahead, wire.DropHMACBad)
	gets(t, r, noon, first, wire.DropHMACReplay)
	gets(t, r, noon, sent(t, from, group, 200, noon+1e9), wire.Accepted)
}

// Many senders with the key share what room there is; a peer has its own.
func TestHMACRemembersPeersForGood(t *testing.T) {
	anySource := func(c *vrrp.Config) { c.AnySource = true }
	r := backup(t, config(100, authenticated(monotonic), unicast(vrrp.Peer{Address: higher}), anySource))
	peer := signer(t, higher, config(200, authenticated(monotonic)))
	old := sent(t, peer, own, 200, noon)
	gets(t, r, noon, old, wire.Accepted)
	var packets []*wire.Packet
	for i := range 17 {
		p := sent(t, signer(t, netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}), config(200, authenticated(monotonic))), own, 200, noon)
		packets = append(packets, p)
		gets(t, r, noon, p, wire.Accepted)
	}
	gets(t, r, noon, old, wire.DropHMACReplay)
	for _, p := range packets[1:] {
		gets(t, r, noon, p, wire.DropHMACReplay)
	}
	gets(t, r, noon, packets[0], wire.Accepted) // forgotten: it was the one that had not been heard for the longest time
}

// Keys are replaced on one node after the other, and nothing that was sent is lost; nor does a router change its state.
func TestHMACKeyRotation(t *testing.T) {
	onlyOne := func(h *vrrp.HMAC) { h.Keys = h.Keys[:1] }
	onlyTwo := func(h *vrrp.HMAC) { h.Keys, h.ActiveKey = h.Keys[1:], 2 }
	both, second := func(*vrrp.HMAC) {}, activeKey(2)
	group := wire.IPv4.Group()
	from, to := signer(t, higher, config(200, authenticated(onlyOne))), backup(t, config(100, authenticated(onlyOne)))
	wall := noon
	for step, change := range []struct{ from, to func(*vrrp.HMAC) }{
		{onlyOne, onlyOne}, {both, onlyOne}, {both, both}, {second, both}, {second, second}, {onlyTwo, second}, {onlyTwo, onlyTwo},
	} {
		if !from.Reconfigure(config(200, authenticated(change.from))) || !to.Reconfigure(config(100, authenticated(change.to))) {
			t.Fatal("not while it runs")
		}
		last := sent(t, from, group, 200, wall)
		gets(t, to, wall, last, wire.Accepted)
		gets(t, to, wall, last, wire.DropHMACReplay) // what is known of senders outlives the change
		if to.State() != vrrp.Backup {
			t.Errorf("step %d: %v", step, to.State())
		}
		wall += 1e6
	}
	gets(t, to, wall, sent(t, signer(t, lower, config(200, authenticated(onlyOne))), group, 200, wall), wire.DropHMACUnknownKey)
}

func TestHMACSkew(t *testing.T) {
	const s = int64(time.Second)
	for _, tt := range []struct {
		how      func(*vrrp.HMAC)
		by       int64
		alarming bool
	}{
		{func(*vrrp.HMAC) {}, 0, false},
		{func(*vrrp.HMAC) {}, 2 * s, false},
		{func(*vrrp.HMAC) {}, 3 * s, true},
		{func(*vrrp.HMAC) {}, -3 * s, true},
		{monotonic, 3600 * s, false},
	} {
		r := backup(t, config(100, authenticated(tt.how)))
		gets(t, r, noon, sent(t, signer(t, higher, config(200, authenticated(tt.how))), wire.IPv4.Group(), 200, noon+tt.by), wire.Accepted)
		if got := r.ClockSkew(); got.Sender != higher || got.By != time.Duration(tt.by) || r.SkewAlarming() != tt.alarming {
			t.Errorf("%v ahead: %+v, alarming %v", time.Duration(tt.by), got, r.SkewAlarming())
		}
	}
	if r := backup(t, config(100)); r.SkewAlarming() || r.ClockSkew() != (vrrp.Skew{}) {
		t.Error("a router without keys knows of clocks")
	}
}

func TestHMACAllocatesNothing(t *testing.T) {
	from, r := signer(t, higher, config(200, authenticated())), backup(t, config(100, authenticated()))
	var a wire.Advertisement
	buf, wall := make([]byte, 0, 256), noon
	var p wire.Packet
	h := wire.Header{Src: higher, Dst: wire.IPv4.Group(), TTL: wire.TTL}
	if n := testing.AllocsPerRun(100, func() {
		wall += 1e6
		from.SetWallClock(wall)
		from.Advertisement(&a, 200)
		b, err := a.AppendSigned(buf, h.Src, h.Dst, wire.ChecksumPseudo, from.Sign(&a))
		if err != nil || wire.Parse(b, h, &p) != wire.Accepted {
			t.Fatal(err)
		}
		r.SetWallClock(wall)
		if _, why := r.Receive(second/2, &p); why != wire.Accepted {
			t.Fatal(why)
		}
	}); n != 0 {
		t.Errorf("%v allocations per advertisement", n)
	}
}
