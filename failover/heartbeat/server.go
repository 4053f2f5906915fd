package heartbeat

import (
	"hash"
	"time"
)

// ChallengeLife is how long a request may echo a challenge after it was given out.
const ChallengeLife = 10 * time.Second

// Server is what a receiver of requests remembers. It is not safe for concurrent use.
type Server struct {
	boot    uint64 // constant but for Succeed
	about   string // constant
	keys    keyring
	senders senders
	buf     []byte
}

// NewServer returns a server that has heard nothing. boot names its life, as with NewClient. about is the site that
// requests must be about; empty: any.
func NewServer(boot uint64, about string, keys [][]byte) *Server {
	return &Server{boot: boot, about: about, keys: newKeyring(keys)}
}

// Rekey replaces the keys. What was heard is not forgotten, nor are tickets void.
func (s *Server) Rekey(keys [][]byte) { s.keys = newKeyring(keys) }

// Ticket is what the reply to a request needs to know of it.
type Ticket struct {
	boot, id uint64
	about    string
	entries  int
	key      hash.Hash // the sender has it, whatever is the first one here

	namesakes bool
}

// Life returns the number that names the life of the sender, as given to NewClient.
func (t *Ticket) Life() uint64 { return t.boot }

// Namesakes reports whether the sender is one of several nodes that call themselves the same: requests of several lives have
// come in turns for a while. It is known of requests with outcome OK.
func (t *Ticket) Namesakes() bool { return t.namesakes }

// Open reads a datagram at now, on a monotonic clock of this server's life that is never negative. OK is a request that was
// sent within the last ChallengeLife and comes for the first time, Stale one that is to be answered all the same and tells
// nothing else; after any other outcome there is no ticket.
func (s *Server) Open(now time.Duration, datagram []byte) (Request, Ticket, Outcome) {
	if !IsRequest(datagram) {
		return Request{}, Ticket{}, Malformed
	}
	key := s.keys.verify(datagram)
	if key == nil {
		return Request{}, Ticket{}, WrongKey
	}
	h, r, ok := parseRequest(datagram)
	switch {
	case !ok:
		return Request{}, Ticket{}, Malformed
	case s.about != "" && r.About != s.about:
		return Request{}, Ticket{}, Unexpected
	}
	t := Ticket{boot: h.boot, id: h.id, about: r.About, entries: len(r.Entries), key: key}
	if !s.fresh(now, h.challenge) {
		return r, t, Stale
	}
	from := sender{name{r.Site, r.Node, r.About}, h.boot}
	switch s.senders.note(now, from, h.id) {
	case Replay:
		return Request{}, Ticket{}, Replay
	case Flood:
		return r, t, Stale // what cannot be remembered cannot be told from its replay
	}
	t.namesakes = s.senders.namesakes(now, from.name)
	return r, t, OK
}

// fresh reports whether a challenge was given out by this server within ChallengeLife.
func (s *Server) fresh(now time.Duration, c challenge) bool {
	return c.boot == s.boot && c.at <= uint64(now) && uint64(now)-c.at <= uint64(ChallengeLife)
}

// Seal returns the datagram for the reply to a request, with a challenge of now. ID and About are those of the request,
// whatever r says. ErrLong: it would be longer than the request. The octets are valid until the next call.
func (s *Server) Seal(t Ticket, now time.Duration, r *Reply) ([]byte, error) {
	if t.key == nil {
		return nil, ErrNoKey
	}
	answer := *r
	answer.ID, answer.About = t.id, t.about
	h := header{kind: kindReply, boot: t.boot, id: t.id, challenge: challenge{s.boot, uint64(now)}}
	b, err := answer.append(s.buf[:0], h)
	if err != nil {
		return nil, err
	}
	if len(b)+macLen > requestLen(t.entries) {
		return nil, ErrLong
	}
	s.buf = sign(t.key, b)
	return s.buf, nil
}
