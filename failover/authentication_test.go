package failover_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/failovertest"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

const (
	firstSecret  = vrrp.Secret("the-first-key-of-the-test-0123456789")
	secondSecret = vrrp.Secret("the-second-key-of-the-test-0123456789")
	wallStart    = 1795000000 * int64(time.Second)
)

// twoKeys is auth_hmac with two keys, of which one signs.
func twoKeys(active uint8) *vrrp.HMAC {
	return &vrrp.HMAC{
		Keys: []vrrp.HMACKey{{ID: 1, Secret: firstSecret}, {ID: 2, Secret: secondSecret}}, ActiveKey: active,
		TimeWindow: 5 * time.Second,
	}
}

// signing is a node of a router with auth_hmac, and its clocks.
type signing struct {
	core *failover.Core
	cfg  *failover.Config
	fx   failover.Effects
	now  vrrp.Instant
	wall int64
	log  []failover.Event
	sent []failover.Advert
}

// signingConfig is a router with two watchers.
func signingConfig(priority int, h *vrrp.HMAC) *failover.Config {
	cfg := failovertest.MustParseConfig(fmt.Sprintf(
		"router A eth0/4/51 priority %d\n address 192.0.2.10/24 eth0\n watcher 203.0.113.9\n watcher 203.0.113.10", priority))
	cfg.Routers[0].VRRP.HMAC = h
	return cfg
}

func newSigning(t *testing.T, priority int, h *vrrp.HMAC, source string) *signing {
	t.Helper()
	n := &signing{cfg: signingConfig(priority, h), wall: wallStart}
	var err error
	if n.core, err = failover.New(n.cfg, 0); err != nil {
		t.Fatal(err)
	}
	for _, id := range n.cfg.Links() {
		n.core.Step(0, failover.LinkChanged{Link: id, Open: true}, &n.fx)
	}
	n.core.Step(0, failover.InterfaceChanged{
		Interface: failover.Interface{Name: "eth0", Index: 2, Up: true, Addresses: prefixes(source)},
	}, &n.fx)
	n.batch()
	return n
}

// batch ends a batch; what it says goes to sent and log.
func (n *signing) batch() {
	n.core.SetWallClock(n.wall)
	n.core.Expire(n.now, &n.fx)
	n.core.Flush(n.now, &n.fx)
	for _, a := range n.fx.Adverts {
		a.Payload = append([]byte{}, a.Payload...)
		n.sent = append(n.sent, a)
	}
	n.log = append(n.log, n.fx.Events...)
	n.fx.Reset()
}

// after lets both clocks go on.
func (n *signing) after(d time.Duration) {
	n.now, n.wall = n.now.Add(d), n.wall+int64(d)
	n.batch()
}

// hears delivers octets as they came from a link.
func (n *signing) hears(t *testing.T, a *failover.Advert, want wire.DropReason) {
	t.Helper()
	var p wire.Packet
	if why := wire.Parse(a.Payload, wire.Header{Src: a.Src, Dst: a.Dst, TTL: a.TTL}, &p); why != wire.Accepted {
		t.Fatal(why)
	}
	n.core.SetWallClock(n.wall)
	if got := n.core.Receive(n.now, failover.LinkID{Interface: "eth0", Family: wire.IPv4}, &p, &n.fx); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	n.batch()
}

func (n *signing) status() failover.RouterStatus {
	return n.core.Snapshot(n.now, func(vrrp.Instant) time.Time { return time.Time{} }).Routers[0]
}

// master returns a node that has taken the role.
func master(t *testing.T, h *vrrp.HMAC) *signing {
	t.Helper()
	n := newSigning(t, 200, h, "192.0.2.1/24")
	n.after(4 * time.Second)
	if len(n.sent) != 3 {
		t.Fatalf("%d advertisements, want one to the group and two to the watchers", len(n.sent))
	}
	return n
}

// One advertisement is signed once: the copies to the watchers carry the trailer of the one to the group.
func TestHMACCopiesCarryOneTrailer(t *testing.T) {
	n := master(t, twoKeys(1))
	trailer := func(i int) string { return string(n.sent[i].Payload[len(n.sent[i].Payload)-wire.TrailerLen:]) }
	if trailer(0) != trailer(1) || trailer(0) != trailer(2) {
		t.Error("the trailers differ")
	}
	n.after(time.Second)
	if trailer(0) == trailer(3) {
		t.Error("two advertisements have one trailer")
	}
}

// Whatever somebody without the key makes of what he has heard, it has no effect, and is counted.
func TestHMACForgeriesHaveNoEffect(t *testing.T) {
	active, backup := master(t, twoKeys(1)), newSigning(t, 100, twoKeys(1), "192.0.2.2/24")
	backup.after(4 * time.Second)
	backup.sent = nil
	first := active.sent[0]
	backup.hears(t, &first, wire.Accepted)
	active.after(time.Second)
	backup.after(time.Second)
	last := active.sent[3]
	stranger := *twoKeys(1)
	stranger.Keys = []vrrp.HMACKey{{ID: 1, Secret: firstSecret + "x"}}
	for _, tt := range []struct {
		name string
		make func() failover.Advert
		want wire.DropReason
	}{
		{"a release", func() failover.Advert { return forge(t, &last, func(p *wire.Packet) { p.Priority = 0 }, true) }, wire.DropHMACBad},
		{"an owner", func() failover.Advert { return forge(t, &last, func(p *wire.Packet) { p.Priority = 255 }, true) }, wire.DropHMACBad},
		{"without a trailer", func() failover.Advert { return forge(t, &last, func(p *wire.Packet) { p.Priority = 255 }, false) }, wire.DropHMACMissing},
		{"a trailer of an earlier one, with a new time", func() failover.Advert {
			return forge(t, &first, func(p *wire.Packet) { p.Trailer.Sequence = wire.SequenceAt(backup.wall) }, true)
		}, wire.DropHMACBad},
		{"from another source", func() failover.Advert { a := last; a.Src = addr("192.0.2.9"); return resum(t, &a) }, wire.DropHMACBad},
		{"sent again", func() failover.Advert { return first }, wire.DropHMACReplay},
		{"with another key", func() failover.Advert { return master(t, &stranger).sent[0] }, wire.DropHMACBad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, drops := backup.status(), uint64(0)
			drops = before.Counters.Drops[tt.want.String()]
			a := tt.make()
			backup.hears(t, &a, tt.want)
			now := backup.status()
			if now.Counters.Drops[tt.want.String()] != drops+1 {
				t.Error("not counted")
			}
			if now.State != before.State || *now.NextTimerMS != *before.NextTimerMS || *now.Master != *before.Master {
				t.Errorf("%+v, was %+v", now, before)
			}
		})
	}
	backup.hears(t, &last, wire.Accepted)
	if len(backup.sent) != 0 {
		t.Errorf("%d advertisements in answer to forgeries", len(backup.sent))
	}
	got, want := fmt.Sprint(backup.status().HMAC.Outcomes), "map[bad_hmac:5 missing:1 ok:2 replay:1]"
	if got != want {
		t.Errorf("counted %s, want %s", got, want)
	}
}

// forge changes an advertisement as somebody without the key would, with the checksum right.
func forge(t *testing.T, a *failover.Advert, change func(*wire.Packet), signed bool) failover.Advert {
	t.Helper()
	var p wire.Packet
	if why := wire.Parse(a.Payload, wire.Header{Src: a.Src, Dst: a.Dst, TTL: a.TTL}, &p); why != wire.Accepted {
		t.Fatal(why)
	}
	change(&p)
	trailer := &p.Trailer
	if !signed {
		trailer = nil
	}
	b, err := p.AppendSigned(nil, p.Src, p.Dst, p.Checksum, trailer)
	if err != nil {
		t.Fatal(err)
	}
	out := *a
	out.Payload = b
	return out
}

// resum makes the checksum of an advertisement right that has another source.
func resum(t *testing.T, a *failover.Advert) failover.Advert {
	t.Helper()
	src := a.Src
	b := *a
	b.Src = addr("192.0.2.1")
	return forge(t, &b, func(p *wire.Packet) { p.Src, b.Src = src, src }, true)
}

// Keys are replaced while both nodes run: nothing is lost, nobody changes its state, and no key is in what people see.
func TestHMACKeysAreReplacedLive(t *testing.T) {
	active, backup := master(t, twoKeys(1)), newSigning(t, 100, twoKeys(1), "192.0.2.2/24")
	backup.after(4 * time.Second)
	backup.hears(t, &active.sent[0], wire.Accepted)
	active.log, backup.log = nil, nil
	next := signingConfig(200, twoKeys(2))
	plan := failover.PlanText(failover.Plan(active.cfg, next))
	active.core.Step(active.now, failover.Reconfigured{Config: next}, &active.fx)
	only := twoKeys(2)
	only.Keys = only.Keys[1:]
	backup.core.Step(backup.now, failover.Reconfigured{Config: signingConfig(100, only)}, &backup.fx)
	active.after(time.Second)
	backup.after(time.Second)
	backup.hears(t, &active.sent[len(active.sent)-3], wire.Accepted)
	for _, n := range []*signing{active, backup} {
		for _, e := range n.log {
			if e.Kind == failover.EventTransition || e.Kind == failover.EventFault {
				t.Errorf("%+v", e)
			}
		}
	}
	if st := active.status(); st.State != "MASTER" || st.HMAC.ActiveKey != 2 {
		t.Errorf("%s, key %d", st.State, st.HMAC.ActiveKey)
	}
	if !strings.Contains(plan, "changed while it runs") || !strings.Contains(plan, "active_key 2") {
		t.Errorf("plan:\n%s", plan)
	}
	other := twoKeys(1)
	other.Keys[1].Secret += "x"
	plan += failover.PlanText(failover.Plan(active.cfg, signingConfig(200, other)))
	if !strings.Contains(plan, "(another one)") {
		t.Errorf("plan:\n%s", plan)
	}
	status, err := json.Marshal(active.status())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []vrrp.Secret{firstSecret, secondSecret} {
		if strings.Contains(plan+string(status), string(secret)) {
			t.Error("a key is for everybody to read")
		}
	}
}

// A clock that drifts is told of before it costs an advertisement, and not with every advertisement.
func TestHMACClockSkewIsLogged(t *testing.T) {
	active, backup := master(t, twoKeys(1)), newSigning(t, 100, twoKeys(1), "192.0.2.2/24")
	backup.after(4 * time.Second)
	backup.log, backup.wall = nil, backup.wall+3*int64(time.Second)
	for range 5 {
		active.after(time.Second)
		backup.after(time.Second)
		backup.hears(t, &active.sent[len(active.sent)-3], wire.Accepted)
	}
	var told []failover.Event
	for _, e := range backup.log {
		if e.Kind == failover.EventClockSkew {
			told = append(told, e)
		}
	}
	if len(told) != 1 || told[0].To != "3s behind" || told[0].Peer != addr("192.0.2.1") || told[0].Router != "A" {
		t.Errorf("%+v", told)
	}
	if h := backup.status().HMAC; h.SkewMS == nil || *h.SkewMS != -3000 || h.SkewOf != "192.0.2.1" {
		t.Errorf("%+v", h)
	}
}
