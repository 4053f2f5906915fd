package witness

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

// realm is who may speak at a listener.
type realm struct {
	about  string // the site that it is to be about; empty: any
	keys   [][]byte
	server *heartbeat.Server
}

// listener is a socket where requests arrive.
type listener struct {
	// constant
	exchange *Exchange
	tally    *tally
	addr     netip.AddrPort

	// owned by the exchange
	socket  *socket // nil: not open
	openErr string

	limit *limiter // owned by the reader

	mu     sync.Mutex // shared with the reader
	realms []realm
}

func newListener(x *Exchange, addr netip.AddrPort) *listener {
	return &listener{exchange: x, addr: addr, tally: newTally(x.log.With("listener", addr.String())), limit: newLimiter()}
}

// adopt replaces the realms. Servers stay with their sites.
func (l *listener) adopt(realms []realm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range realms {
		r := &realms[i]
		j := slices.IndexFunc(l.realms, func(o realm) bool { return o.about == r.about })
		switch {
		case j < 0:
			r.server = heartbeat.NewServer(newBoot(), r.about, r.keys)
			continue
		case !equalKeys(l.realms[j].keys, r.keys):
			l.realms[j].server.Rekey(r.keys)
		}
		r.server = l.realms[j].server
	}
	l.realms = realms
}

func equalKeys(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// open opens the socket unless it is open, and reports whether it is then.
func (l *listener) open() bool {
	if l.socket != nil {
		return true
	}
	s, err := openSocket(l.addr, false)
	if err != nil {
		l.openErr = l.tally.cannotOpen(l.openErr, err)
		return false
	}
	l.socket, l.openErr = s, ""
	l.exchange.read(s, func(d *datagram) { l.take(s, d) }, func(error) {})
	return true
}

func (l *listener) close() {
	if l.socket != nil {
		l.socket.close()
		l.socket = nil
	}
}

// take reads a datagram. The reader calls it.
func (l *listener) take(s *socket, d *datagram) {
	l.tally.add(socketFull, d.lost)
	x := l.exchange
	now := x.now()
	if !heartbeat.IsRequest(d.payload) {
		l.tally.note(int(heartbeat.Malformed), d.from, nil)
		return
	}
	if !l.limit.allow(d.from.Addr(), now) {
		l.tally.note(int(heartbeat.Flood), d.from, nil)
		return
	}
	e := entry{at: now, listener: l, socket: s, from: d.from, local: d.local, index: d.index}
	r, o := l.recognise(&e, d.payload)
	if o != heartbeat.OK && o != heartbeat.Stale {
		l.tally.note(int(o), d.from, nil)
		return
	}
	if o == heartbeat.OK { // another one may be a copy, from anywhere
		l.limit.know(d.from.Addr(), now)
	}
	ref, displaced := x.pending.put(e)
	if displaced != nil {
		displaced.tally.count(unanswered)
	}
	heard := failover.HeartbeatHeard{
		Request: r, Fresh: o == heartbeat.OK, Ref: ref, From: d.from.Addr().Unmap(), Namesakes: e.ticket.Namesakes(), Own: x.lives.has(e.ticket.Life()),
	}
	if !x.hand(heard) {
		x.pending.drop(ref)
		l.tally.note(queueFull, d.from, nil)
		return
	}
	l.tally.count(int(o))
}

// recognise finds the realm that a request belongs to, and fills in what its answer needs.
func (l *listener) recognise(e *entry, payload []byte) (heartbeat.Request, heartbeat.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	why := heartbeat.WrongKey
	for i := range l.realms {
		server := l.realms[i].server
		r, ticket, o := server.Open(e.at, payload)
		switch o {
		case heartbeat.OK, heartbeat.Stale:
			e.server, e.ticket = server, ticket
			return r, o
		case heartbeat.Replay:
			return r, o
		}
		if why == heartbeat.WrongKey { // what one realm says of a datagram that has its key is worth more
			why = o
		}
	}
	return heartbeat.Request{}, why
}

// answer sends a reply, from the address that the request was sent to.
func (l *listener) answer(e *entry, r *heartbeat.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := e.server.Seal(e.ticket, l.exchange.now(), r)
	if err == nil {
		err = e.socket.send(b, e.from, e.local, e.index)
	}
	if err != nil {
		l.tally.note(sendFailed, e.from, err)
		return
	}
	l.tally.count(answered)
}

func (l *listener) describe() failover.ListenerStatus {
	return failover.ListenerStatus{Address: l.addr.String(), Open: l.socket != nil, Error: l.openErr, Outcomes: l.tally.words(), Refused: l.tally.refusals()}
}
