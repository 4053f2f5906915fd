package heartbeat

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
	"unicode"
	"unicode/utf8"
)

// A datagram is, in network byte order:
//
//	magic 4, version 1, kind 1                    what it is; the kind keeps a request from being taken for a reply
//	client boot 8, ID 8                           the nonce of the request, repeated in the reply
//	server boot 8, server time 8 (nanoseconds)    the challenge: in a reply the server's, in a request the last one seen, or zeros
//	body                                          see request.go and reply.go
//	zeros                                         in a request, up to the length of the longest reply to it
//	HMAC-SHA256 32                                of everything before it
//
// Names of sites stand once, in a table in the order of their first use, and are referred to by their place: 0 is the
// empty name. Durations are milliseconds. There is exactly one way to write a message, and no other is accepted.
const (
	magic   = "FOHB"
	version = 1

	kindRequest = 1
	kindReply   = 2

	headerLen = len(magic) + 2 + 8 + 8 + 8 + 8
)

// MaxNames is the largest number of different sites that one message names.
const MaxNames = 7

// MaxLen is the length of the longest datagram, in octets: that with MaxServices services.
const MaxLen = maxReplyBase + MaxServices*knowledgeLen

var (
	// ErrMessage says that a message cannot be written: a name is empty or too long, or there are too many of something.
	ErrMessage = errors.New("the message cannot be expressed")
	// ErrLong says that a reply would be longer than its request.
	ErrLong = errors.New("the reply is longer than its request")
	// ErrID says that a request does not have a higher ID than the one before.
	ErrID = errors.New("the ID of a request does not grow")
	// ErrNoKey says that there is no key to sign with.
	ErrNoKey = errors.New("no key")
)

// header is the part that both kinds have.
type header struct {
	kind      byte
	boot, id  uint64
	challenge challenge
}

// challenge is a moment of a server's life.
type challenge struct{ boot, at uint64 }

func (h *header) append(b []byte) []byte {
	b = append(b, magic...)
	b = append(b, version, h.kind)
	b = binary.BigEndian.AppendUint64(b, h.boot)
	b = binary.BigEndian.AppendUint64(b, h.id)
	b = binary.BigEndian.AppendUint64(b, h.challenge.boot)
	return binary.BigEndian.AppendUint64(b, h.challenge.at)
}

// looksLike is a cheap look at what a datagram says that it is.
func looksLike(b []byte, kind byte) bool {
	return len(b) >= headerLen+macLen && len(b) <= MaxLen && string(b[:len(magic)]) == magic && b[4] == version && b[5] == kind
}

// readHeader reads the header of what looksLike a message.
func readHeader(b []byte) header {
	return header{
		kind: b[5], boot: binary.BigEndian.Uint64(b[6:]), id: binary.BigEndian.Uint64(b[14:]),
		challenge: challenge{binary.BigEndian.Uint64(b[22:]), binary.BigEndian.Uint64(b[30:])},
	}
}

// reader takes a body apart. After the first octet that is missing or wrong it returns zeros, and bad stays true.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// atMost reads an octet with an upper bound.
func (r *reader) atMost(limit byte) byte {
	v := r.octet()
	if v > limit {
		r.bad = true
		return 0
	}
	return v
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) duration() time.Duration {
	if b := r.take(4); b != nil {
		return time.Duration(binary.BigEndian.Uint32(b)) * time.Millisecond
	}
	return 0
}

// text reads a name, which may be empty.
func (r *reader) text() string {
	s := string(r.take(int(r.atMost(MaxName))))
	if s != "" && !validName(s) {
		r.bad = true
	}
	return s
}

func appendText(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// appendAge appends a duration. It is rounded down: what is said to be younger than it is makes nobody act too early.
func appendAge(b []byte, d time.Duration) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(min(max(d.Milliseconds(), 0), math.MaxUint32)))
}

// appendBound appends a duration that somebody relies on to be over. It is rounded up, also because 0 means for ever.
func appendBound(b []byte, d time.Duration) []byte {
	if d > 0 && d%time.Millisecond != 0 {
		d = min(d, math.MaxInt64-time.Millisecond) + time.Millisecond
	}
	return appendAge(b, d)
}

// validName reports whether a name may be in a message: it ends up in logs and on terminals.
func validName(s string) bool {
	if s == "" || len(s) > MaxName || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// The first octet of an entry: the family and the state.
func packState(s Service, st State) byte {
	b := byte(st) << 1
	if s.Family == 6 {
		b |= 1
	}
	return b
}

const maxPackedState = byte(Active)<<1 | 1

func unpackState(b byte) (family uint8, st State) { return 4 + b&1<<1, State(b >> 1) }

// services notices the service that is there twice.
type services [2][4]uint64

// valid reports whether a service is one, and is new.
func (s *services) valid(v Service) bool {
	if v.Family != 4 && v.Family != 6 {
		return false
	}
	word, bit := &s[v.Family/2-2][v.VRID/64], uint64(1)<<(v.VRID%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// valid reports whether a term is nobody's or somebody's.
func (t Term) valid() bool { return (t.Epoch == 0) == (t.Holder == "") }
