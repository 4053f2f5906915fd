package heartbeat

import (
	"cmp"
	"errors"
	"fmt"
	"sort"
	"time"
)

// ClientMemory is what a client leaves to the one that takes its place, in another process: the two are one life. What waits for a
// reply is not in it: a reply that comes late is not expected any more.
type ClientMemory struct {
	Boot uint64
	// Challenge is that of the newest request that was answered, by its server and its time, and Answered its ID.
	Challenge [2]uint64
	Answered  uint64
	Last      uint64 // ID of the newest request
}

// ErrMemory says that a memory makes no sense.
var ErrMemory = errors.New("the memory makes no sense")

// Memory returns that of this moment, after which this client may not be used any more.
func (c *Client) Memory() ClientMemory {
	return ClientMemory{Boot: c.boot, Challenge: [2]uint64{c.challenge.boot, c.challenge.at}, Answered: c.answered, Last: c.last}
}

// Succeed makes c, which has sent nothing, go on as the life that m is of. The error wraps ErrMemory, and then nothing has
// changed.
func (c *Client) Succeed(m ClientMemory) error {
	if m.Boot == 0 || m.Answered > m.Last || c.last != 0 {
		return fmt.Errorf("%w: life %d, answered %d, last %d", ErrMemory, m.Boot, m.Answered, m.Last)
	}
	c.boot, c.challenge, c.answered, c.last = m.Boot, challenge{m.Challenge[0], m.Challenge[1]}, m.Answered, m.Last
	return nil
}

// ServerMemory is what a server leaves to the one that takes its place: the challenges that it has given out stay good for as long
// as they were, and what was heard cannot be heard again.
type ServerMemory struct {
	Boot    uint64
	Senders []SenderMemory `json:",omitempty"`
	Names   []NameMemory   `json:",omitempty"`
}

// SenderMemory is the newest request of a life of a node, on the server's clock.
type SenderMemory struct {
	Site, Node, About string
	Boot, ID          uint64
	At                time.Duration
}

// NameMemory says which lives of a node have spoken in turns.
type NameMemory struct {
	Site, Node, About string
	Life              uint64
	Returns           int
	Returned          time.Duration
}

// Memory returns that of this moment, after which this server may not be used any more.
func (s *Server) Memory() ServerMemory {
	m := ServerMemory{Boot: s.boot}
	for from, k := range s.senders.marks {
		m.Senders = append(m.Senders, SenderMemory{from.site, from.node, from.about, from.boot, k.id, k.at})
	}
	for n, t := range s.senders.names {
		m.Names = append(m.Names, NameMemory{n.site, n.node, n.about, t.life, t.returns, t.returned})
	}
	sort.Slice(m.Senders, func(i, j int) bool {
		a, b := &m.Senders[i], &m.Senders[j]
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Node, b.Node), cmp.Compare(a.About, b.About), cmp.Compare(a.Boot, b.Boot)) < 0
	})
	sort.Slice(m.Names, func(i, j int) bool {
		a, b := &m.Names[i], &m.Names[j]
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Node, b.Node), cmp.Compare(a.About, b.About)) < 0
	})
	return m
}

// Succeed makes s, which has heard nothing, go on as the life that m is of, at now on the clock of that one. The error wraps
// ErrMemory, and then nothing has changed.
func (s *Server) Succeed(now time.Duration, m ServerMemory) error {
	if m.Boot == 0 || len(m.Senders) > maxSenders || len(m.Names) > maxSenders || len(s.senders.marks) > 0 {
		return fmt.Errorf("%w: life %d, %d senders, %d names", ErrMemory, m.Boot, len(m.Senders), len(m.Names))
	}
	next := senders{marks: make(map[sender]mark, len(m.Senders)), names: make(map[name]*turns, len(m.Names))}
	for i := range m.Senders {
		k := &m.Senders[i]
		if k.At > now {
			return fmt.Errorf("%w: node %s was heard at %v, and it is %v", ErrMemory, k.Node, k.At, now)
		}
		next.marks[sender{name{k.Site, k.Node, k.About}, k.Boot}] = mark{k.ID, k.At}
	}
	for i := range m.Names {
		n := &m.Names[i]
		next.names[name{n.Site, n.Node, n.About}] = &turns{n.Life, min(max(n.Returns, 0), returnsOfNamesakes), n.Returned}
	}
	s.boot, s.senders = m.Boot, next
	return nil
}
