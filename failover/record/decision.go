package record

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// Decision is what one call has made the core decide. Two are the same if their digests are.
type Decision struct {
	// Adverts, Announcements, Heartbeats and Answers are how many of these there are.
	Adverts       int `json:"adverts,omitempty"`
	Announcements int `json:"announcements,omitempty"`
	Heartbeats    int `json:"heartbeats,omitempty"`
	Answers       int `json:"answers,omitempty"`
	// Words are the rest, a line each. Long lists are cut.
	Words []string `json:"words,omitempty"`
	// Events are failover.Events as JSON.
	Events []json.RawMessage `json:"events,omitempty"`
	// Digest is one of everything, uncut: the FNV-1a hash of 64 bits of its words, in hexadecimal.
	Digest string `json:"digest"`

	all [][]byte // everything in words
}

// maxWords is the most octets of a line of Words.
const maxWords = 2048

// mark says how much of the effects was there before a call.
type mark struct {
	adverts, announcements, routes, notifications, heartbeats, answers, verdicts, events int
	objects                                                                              *failover.DesiredObjects
	addresses                                                                            *failover.DesiredAddresses
	stopped                                                                              bool
}

func markOf(fx *failover.Effects) mark {
	return mark{
		len(fx.Adverts), len(fx.Announcements), len(fx.Routes), len(fx.Notifications), len(fx.Heartbeats), len(fx.Answers), len(fx.Verdicts),
		len(fx.Events), fx.Objects, fx.Addresses, fx.Stopped,
	}
}

// none reports whether nothing was decided since m.
func (m mark) none(fx *failover.Effects) bool { return m == markOf(fx) }

// describer puts decisions into words.
type describer struct {
	addresses []failover.Address // as last asked for; large sets are much alike
	buf       []byte
}

// FNV-1a of 64 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// describe returns what is in fx and was not at m. With all, it keeps everything in words.
func (d *describer) describe(fx *failover.Effects, m mark, all bool) (out Decision, err error) {
	h := uint64(fnvOffset)
	say := func(b []byte, tell bool) {
		d.buf = b[:0]
		for _, c := range b {
			h = (h ^ uint64(c)) * fnvPrime
		}
		h = (h ^ '\n') * fnvPrime
		if tell {
			out.Words = append(out.Words, cut(b))
		}
		if all {
			out.all = append(out.all, slices.Clone(b))
		}
	}
	for i := m.adverts; i < len(fx.Adverts); i++ {
		out.Adverts++
		say(appendAdvert(d.buf[:0], &fx.Adverts[i]), false)
	}
	for i := m.announcements; i < len(fx.Announcements); i++ {
		a := &fx.Announcements[i]
		out.Announcements++
		say(a.Address.AppendTo(append(append(append(d.buf[:0], "announce "...), a.Interface...), ' ')), false)
	}
	for i := m.heartbeats; i < len(fx.Heartbeats); i++ {
		out.Heartbeats++
		say(fmt.Appendf(d.buf[:0], "heartbeat to %s: %+v", fx.Heartbeats[i].Partner, fx.Heartbeats[i].Request), false)
	}
	for i := m.answers; i < len(fx.Answers); i++ {
		out.Answers++
		say(fmt.Appendf(d.buf[:0], "answer %d: %+v", fx.Answers[i].Ref, fx.Answers[i].Reply), false)
	}
	for i := m.routes; i < len(fx.Routes); i++ {
		r := &fx.Routes[i]
		say(fmt.Appendf(d.buf[:0], "routes of %s #%d until %d: %v", r.Speaker, r.Desired.Generation, r.Desired.Until, r.Desired.Routes), true)
	}
	if fx.Objects != m.objects && fx.Objects != nil {
		say(fmt.Appendf(d.buf[:0], "kernel routes #%d: %+v, rules %+v", fx.Objects.Generation, fx.Objects.Routes, fx.Objects.Rules), true)
	}
	if fx.Addresses != m.addresses && fx.Addresses != nil {
		say(d.appendAddresses(d.buf[:0], fx.Addresses), true)
	}
	for i := m.notifications; i < len(fx.Notifications); i++ {
		n := &fx.Notifications[i]
		say(fmt.Appendf(d.buf[:0], "notify %s %s %s priority %d quiet %v", n.Type(), n.Name, n.State, n.Priority, n.Quiet), true)
	}
	for i := m.verdicts; i < len(fx.Verdicts); i++ {
		say(fmt.Appendf(d.buf[:0], "verdict %+v", fx.Verdicts[i]), true)
	}
	for i := m.events; i < len(fx.Events); i++ {
		text, e := json.Marshal(&fx.Events[i])
		if e != nil {
			err = fmt.Errorf("record an event: %w", e)
		}
		out.Events = append(out.Events, text)
		say(append(append(d.buf[:0], "event "...), text...), false)
	}
	if fx.Stopped && !m.stopped {
		say(append(d.buf[:0], "stopped"...), true)
	}
	out.Digest = strconv.FormatUint(h, 16)
	return out, err
}

func cut(b []byte) string {
	if len(b) > maxWords {
		return string(b[:maxWords]) + fmt.Sprintf("... (%d octets)", len(b))
	}
	return string(b)
}

// appendAdvert appends an advertisement in words, without what differs when a secret does: the checksum, the password of
// version 2, and the HMAC.
func appendAdvert(b []byte, a *failover.Advert) []byte {
	b = append(append(b, "advert "...), a.Link.Interface...)
	b = append(b, '/', '0'+byte(a.Link.Family), ' ')
	b = a.Src.AppendTo(b)
	b = a.Dst.AppendTo(append(b, " > "...))
	b = strconv.AppendUint(append(b, " ttl "...), uint64(a.TTL), 10)
	if a.MAC != [6]byte{} {
		b = hex.AppendEncode(append(b, " as "...), a.MAC[:])
	}
	return appendPublic(append(b, ": "...), a.Payload, a.Link.Family)
}

// Layout of a message (RFC 9568 section 5.2, RFC 3768 section 5.3).
const (
	headerLen   = 8
	checksumAt  = 6
	authDataLen = 8
)

func appendPublic(b, payload []byte, f wire.Family) []byte {
	if len(payload) < headerLen {
		return hex.AppendEncode(b, payload)
	}
	b = hex.AppendEncode(b, payload[:checksumAt])
	rest := payload[headerLen:]
	n := min(int(payload[3])*f.AddrLen(), len(rest))
	b = hex.AppendEncode(append(b, " addresses "...), rest[:n])
	if rest = rest[n:]; wire.Version(payload[0]>>4) == wire.V2 {
		rest = rest[min(authDataLen, len(rest)):]
	}
	if n := len(rest) - wire.MACLen; n > 0 {
		b = hex.AppendEncode(append(b, " trailer "...), rest[:n])
	}
	return b
}

// appendAddresses appends the desired addresses in words.
func (d *describer) appendAddresses(b []byte, want *failover.DesiredAddresses) []byte {
	b = fmt.Appendf(b, "addresses #%d renewal %d until %d: ", want.Generation, want.Renewal, want.Until)
	if slices.Equal(d.addresses, want.Addresses) {
		return fmt.Appendf(b, "the same %d", len(want.Addresses))
	}
	d.addresses = slices.Clone(want.Addresses)
	for i := range want.Addresses {
		a := &want.Addresses[i]
		b = appendPrefix(b, a.Prefix)
		b = append(append(b, " dev "...), a.Interface...)
		if a.Broadcast.IsValid() {
			b = a.Broadcast.AppendTo(append(b, " broadcast "...))
		}
		b = appendNumber(b, " scope ", uint64(a.Scope))
		if a.Label != "" {
			b = append(append(b, " label "...), a.Label...)
		}
		b = strconv.AppendInt(append(b, " lease "...), int64(a.Lease), 10)
		for _, f := range [...]struct {
			on   bool
			word string
		}{
			{a.DAD, " dad"}, {a.Deprecated, " deprecated"}, {a.NoPrefixRoute, " no_prefix_route"}, {a.Excluded, " excluded"}, {a.Guarded, " guarded"},
		} {
			if f.on {
				b = append(b, f.word...)
			}
		}
		b = append(b, ", "...)
	}
	return b
}

func appendPrefix(b []byte, p netip.Prefix) []byte { return p.AppendTo(b) }

// Lines returns the decision in words, as far as they are known: all of one that was replayed.
func (d *Decision) Lines() (lines []string) {
	if d.all != nil {
		for _, b := range d.all {
			lines = append(lines, cut(b))
		}
		return lines
	}
	for _, n := range []struct {
		n    int
		what string
	}{{d.Adverts, "advertisements"}, {d.Announcements, "announcements"}, {d.Heartbeats, "heartbeats"}, {d.Answers, "answers"}} {
		if n.n > 0 {
			lines = append(lines, fmt.Sprintf("%d %s", n.n, n.what))
		}
	}
	lines = append(lines, d.Words...)
	for _, e := range d.Events {
		lines = append(lines, cut(append([]byte("event "), e...)))
	}
	return lines
}

// Empty reports whether nothing was decided.
func (d *Decision) Empty() bool {
	return d == nil || d.Adverts+d.Announcements+d.Heartbeats+d.Answers+len(d.Words)+len(d.Events) == 0
}
