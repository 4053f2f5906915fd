package conf

import (
	"encoding/hex"
	"fmt"
	"time"

	"failoverd/vrrp"
)

// hmacBlock is the draft of an auth_hmac block.
type hmacBlock struct {
	at     Token
	keys   []vrrp.HMACKey
	ids    map[uint8]Token
	broken bool // a key was wrong, which has been reported
	active field[uint8]
	replay field[vrrp.AntiReplay]
	window field[time.Duration]
	mode   field[vrrp.HMACMode]
}

var hmacWords = newTable("auth_hmac", []row[*hmacBlock]{
	word("key", (*decoder).hmacKey),
	single("active_key", func(d *decoder, h *hmacBlock, c *cursor) { h.active.set(d.uint8(c, 1, 255)) }),
	word("anti_replay", func(d *decoder, h *hmacBlock, c *cursor) {
		h.replay.set(oneOfThese(d, c, vrrp.ReplayTime, vrrp.ReplayMonotonic))
	}),
	word("time_window", func(d *decoder, h *hmacBlock, c *cursor) {
		h.window.set(d.seconds(c, vrrp.MinTimeWindow, vrrp.MaxTimeWindow))
	}),
	word("mode", func(d *decoder, h *hmacBlock, c *cursor) {
		h.mode.set(oneOfThese(d, c, vrrp.HMACEnforce, vrrp.HMACPermissive, vrrp.HMACReceiveOnly))
	}),
})

// oneOfThese returns the value whose word is written.
func oneOfThese[T fmt.Stringer](d *decoder, c *cursor, values ...T) (T, Token, bool) {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.String()
	}
	s, at, ok := d.oneOf(c, words...)
	for _, v := range values {
		if ok && v.String() == s {
			return v, at, true
		}
	}
	return values[0], at, false
}

// hmac decodes an auth_hmac block.
func (d *decoder) hmac(in *instance, c *cursor) {
	h := &hmacBlock{at: c.keyword, ids: make(map[uint8]Token)}
	if in.hmac != nil {
		d.errorf(c.keyword, "auth_hmac is there twice, first at %s", in.hmac.at.Pos)
	}
	if c.block != nil {
		in.hmac = h
	}
	walk(d, hmacWords, h, d.body(c))
}

// hmacKey decodes one key. What does not belong there is not repeated: it may be the rest of a key.
func (d *decoder) hmacKey(h *hmacBlock, c *cursor) {
	h.broken = true
	id, at, ok := d.uint8(c, 1, 255)
	if !ok {
		c.rest()
		return
	}
	value, ok := d.next(c, "a key: hex:DIGITS, file:PATH or text")
	if ok && c.value() {
		d.errorf(c.words[0], "key %d: more words than a key; one with blanks stands in double quotes", id)
		ok = false
	}
	c.rest()
	if !ok {
		return
	}
	secret, ok := d.secret(value, fmt.Sprintf("auth_hmac key %d", id), vrrp.MinSecret, vrrp.MaxSecret)
	if first, twice := h.ids[id]; twice {
		d.errorf(at, "key %d is there twice, first at %s", id, first.Pos)
		ok = false
	}
	h.ids[id] = at
	if ok {
		h.keys, h.broken = append(h.keys, vrrp.HMACKey{ID: id, Secret: vrrp.Secret(secret)}), false
	}
}

// resolveHMAC returns the authentication of an instance; nil: it has none, or none that is right.
func (d *decoder) resolveHMAC(in *instance, interval time.Duration) *vrrp.HMAC {
	h := in.hmac
	if h == nil {
		return nil
	}
	if in.auth != nil {
		d.errorf(in.auth.at, "authentication and auth_hmac exclude each other; remove authentication, which protects nothing")
	}
	if len(h.ids) == 0 && !h.broken {
		d.errorf(h.at, "auth_hmac without a key (want key ID VALUE, with %d to %d octets)", vrrp.MinSecret, vrrp.MaxSecret)
	}
	if len(h.keys) == 0 {
		return nil
	}
	out := &vrrp.HMAC{
		Keys: h.keys, ActiveKey: d.resolveActiveKey(h), AntiReplay: h.replay.or(vrrp.ReplayTime),
		TimeWindow: vrrp.DefaultTimeWindow(interval), Mode: h.mode.or(vrrp.HMACEnforce),
	}
	switch {
	case out.AntiReplay == vrrp.ReplayTime:
		out.TimeWindow = h.window.or(out.TimeWindow)
	case h.window.given:
		d.warnf(h.window.at, "time_window has no effect with anti_replay monotonic, which does not look at the clock")
	}
	return out
}

// resolveActiveKey returns the ID of the key that signs. Among several nobody but the user knows which one the other nodes
// have already.
func (d *decoder) resolveActiveKey(h *hmacBlock) uint8 {
	switch _, there := h.ids[h.active.value]; {
	case h.active.missing() && len(h.ids) > 1:
		d.errorf(h.at, "auth_hmac has several keys: active_key ID must say which one signs")
	case h.active.ok && !there:
		d.errorf(h.active.at, "active_key %d: there is no key of that ID", h.active.value)
	case h.active.ok:
		return h.active.value
	}
	return h.keys[0].ID
}

// checkUnauthenticated warns about what is sent by unicast unsigned: routers forward it, so that anybody may have made it.
func (d *decoder) checkUnauthenticated(in *instance) {
	if in.hmac != nil {
		return
	}
	for _, l := range []*peerList{&in.peers, &in.watchers} {
		if l.given != nil {
			d.warnf(*l.given, "%s without auth_hmac: a forged packet can take the role, or end it", l.given.Text)
			return
		}
	}
}

func (p *printer) hmac(h *vrrp.HMAC) {
	if h == nil {
		return
	}
	p.block("auth_hmac", func() {
		for i := range h.Keys {
			p.line("key", h.Keys[i].ID, "hex:"+hex.EncodeToString([]byte(h.Keys[i].Secret)))
		}
		p.line("active_key", h.ActiveKey)
		p.line("anti_replay", h.AntiReplay)
		p.when(h.AntiReplay == vrrp.ReplayTime, "time_window", formatSeconds(h.TimeWindow))
		p.line("mode", h.Mode)
	})
}
