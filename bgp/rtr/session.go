package rtr

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
)

// Limits on what a cache can make us wait for or keep.
const (
	responseWithin = 30 * time.Second // from a query to the first answer
	loadWithin     = 5 * time.Minute  // from the first answer to End of Data
	maxRecords     = 5_000_000        // in one transfer; the world has less than a million VRPs
	maxKept        = 4096             // that cover our prefixes
	queryGap       = time.Second      // least time between two queries, however often the cache notifies
	maxBackoff     = 30 * time.Second // between two attempts to connect
	noDataRetry    = 10 * time.Second // a cache that has no data yet is asked again
)

// Timers of a cache that does not say any (RFC 8210 section 6), in version 0 or before the first End of Data, and the
// bounds that the RFC sets.
const (
	defaultRefresh, minRefresh, maxRefresh = 3600 * time.Second, time.Second, 86400 * time.Second
	defaultRetry, minRetry, maxRetry       = 600 * time.Second, time.Second, 7200 * time.Second
	defaultExpire, minExpire, maxExpire    = 7200 * time.Second, 600 * time.Second, 172800 * time.Second
)

// phase is what a connection waits for.
type phase uint8

const (
	offline  phase = iota
	asked          // a query is out
	loading        // Cache Response came, End of Data did not
	resting        // nothing is going on
	finished       // the connection is to be closed
)

var phaseNames = [...]string{offline: "down", asked: "syncing", loading: "syncing", resting: "up", finished: "down"}

// Reasons to end a connection that are nobody's fault: another one follows at once.
var (
	errVersion = errors.New("the cache speaks version 0 of the protocol")
	errScope   = errors.New("the prefixes to be validated have changed")
)

// Session is the router's side towards one cache, over all connections: the data of the last one stays until it expires
// or another transfer is complete. It is not safe for concurrent use. Its owner tells it what happens:
//
//	Connected, then Receive for what arrives, at last Disconnected;  Expire when Deadline has come
//
// and after each of these sends what Send returns, and closes the connection if Failed says so.
type Session struct {
	scope     []netip.Prefix
	ancestors map[netip.Prefix]bool // every prefix that covers one of scope

	phase   phase
	version uint8 // spoken now, or to be tried next
	heard   bool  // the cache has answered over this connection
	synced  bool  // a transfer has been completed over it
	rest    []byte
	out     []byte
	failed  error
	err     string // of the last connection that ended, or of what the cache said last

	asking   bool // the query that is out is a Serial Query
	askedAt  time.Time
	due      time.Time // of the phase
	notified bool      // the cache has news
	attempts int       // to connect, since the last success
	again    bool      // the next one is to follow at once
	tried    bool      // one attempt at least has ended, with or without data

	current transfer // complete
	next    transfer // while loading
	loads   int64    // records of the transfer so far
}

// New returns a session that collects what is said about the prefixes in scope.
func New(scope []netip.Prefix) *Session {
	s := &Session{version: Version1}
	s.setScope(scope)
	return s
}

func (s *Session) setScope(scope []netip.Prefix) {
	s.scope = slices.Clone(scope)
	slices.SortFunc(s.scope, netip.Prefix.Compare)
	s.scope = slices.Compact(s.scope)
	s.ancestors = make(map[netip.Prefix]bool)
	for _, p := range s.scope {
		for bits := range p.Bits() + 1 {
			s.ancestors[netip.PrefixFrom(p.Addr(), bits).Masked()] = true
		}
	}
}

// Retarget changes the prefixes. What is known of the old ones stays until the next transfer, which begins at once, over
// a new connection.
func (s *Session) Retarget(scope []netip.Prefix) {
	before := s.scope
	s.setScope(scope)
	if slices.Equal(before, s.scope) {
		return
	}
	s.current.known = false
	if s.phase != offline && s.phase != finished {
		s.end(errScope)
	}
}

// Connected begins a connection: the query goes out.
func (s *Session) Connected(now time.Time) {
	s.rest, s.out, s.failed, s.heard, s.synced, s.notified = s.rest[:0], nil, nil, false, false, false
	s.query(now)
}

// query asks for what has changed since the data that is there, or for everything.
func (s *Session) query(now time.Time) {
	q := PDU{Version: s.version, Type: ResetQuery}
	s.asking = s.current.known && s.current.version == s.version
	if s.asking {
		q.Type, q.Session, q.Serial = SerialQuery, s.current.session, s.current.serial
	}
	s.send(&q)
	s.phase, s.askedAt, s.due, s.notified = asked, now, now.Add(responseWithin), false
}

func (s *Session) send(p *PDU) { s.out = p.Append(s.out) }

// Send returns what is to be sent, once.
func (s *Session) Send() []byte {
	out := s.out
	s.out = nil
	return out
}

// Failed says why the connection is to be closed, once Send's octets are out; nil: it is not.
func (s *Session) Failed() error { return s.failed }

// end asks for the end of the connection.
func (s *Session) end(why error) {
	s.phase, s.failed, s.next = finished, why, transfer{}
}

// Disconnected says that the connection is closed, or could not be made, and why: nil if Failed had asked for it.
func (s *Session) Disconnected(err error) {
	if s.failed != nil {
		err = s.failed
	}
	silent := s.phase == asked && !s.heard
	s.phase, s.failed, s.rest, s.out, s.next = offline, nil, nil, nil, transfer{}
	if s.again = errors.Is(err, errScope) || errors.Is(err, errVersion); s.again {
		return
	}
	s.tried = true
	s.attempts++
	switch {
	case silent && s.asking:
		s.current.known = false // stayrtr hangs up on a session of its last life
	case silent:
		// A cache that knows only version 0 may just hang up (RFC 8210 section 7); so may one that is restarting.
		s.version = Version1 - s.version
	}
	if err != nil {
		s.err = err.Error()
	}
}

// Delay is how long to wait before the next attempt to connect: twice as long each time, to spare a cache in trouble.
func (s *Session) Delay() time.Duration {
	if s.again || s.attempts == 0 {
		return 0
	}
	return min(time.Second<<min(s.attempts-1, 10), maxBackoff)
}

// Deadline returns when Expire wants to be called; zero: never.
func (s *Session) Deadline() time.Time {
	d := time.Time{}
	if s.phase == asked || s.phase == loading || s.phase == resting {
		d = s.due
	}
	if s.current.has {
		if e := s.current.expires(); d.IsZero() || e.Before(d) {
			d = e
		}
	}
	return d
}

// Expire does what is due at now.
func (s *Session) Expire(now time.Time) {
	if s.current.has && !now.Before(s.current.expires()) {
		s.current = transfer{}
	}
	if s.due.After(now) {
		return
	}
	switch s.phase {
	case asked:
		s.end(fmt.Errorf("no answer to a query within %v", responseWithin))
	case loading:
		s.end(fmt.Errorf("a transfer is not complete after %v", loadWithin))
	case resting:
		s.query(now)
	}
}

// Receive takes octets from the cache, in pieces of any size.
func (s *Session) Receive(now time.Time, b []byte) {
	if s.phase == finished || s.phase == offline {
		return
	}
	s.rest = append(s.rest, b...)
	used := 0
	for s.phase != finished && s.phase != offline {
		p, n, err := Parse(s.rest[used:])
		if err == nil && n == 0 {
			break
		}
		raw := s.rest[used : used+n]
		if err == nil {
			err = s.handle(now, &p, raw)
		}
		if err != nil {
			s.refuse(&p, err)
			break
		}
		used += n
	}
	s.rest = append(s.rest[:0], s.rest[used:]...)
}

// refuse ends the connection, and says why with an Error Report unless the offending PDU is one (RFC 8210 section 5.10).
func (s *Session) refuse(p *PDU, err error) {
	var wrong *ProtocolError
	if errors.As(err, &wrong) && p.Type != ErrorReport {
		const quote = 64
		s.send(&PDU{
			Version: s.version, Type: ErrorReport, Code: wrong.Code,
			Quoted: wrong.PDU[:min(len(wrong.PDU), quote)], Text: []byte(wrong.Text),
		})
	}
	s.end(err)
}

// handle takes one PDU.
func (s *Session) handle(now time.Time, p *PDU, raw []byte) error {
	bad := func(code Code, format string, args ...any) error {
		return &ProtocolError{Code: code, Text: fmt.Sprintf(format, args...), PDU: raw}
	}
	if p.Type == ErrorReport {
		return s.report(now, p)
	}
	if p.Type == SerialNotify && !s.heard {
		return nil // to be ignored while the version is not agreed upon (RFC 8210 section 7)
	}
	if p.Version != s.version {
		if s.heard || p.Version > s.version {
			s.version = Version1 // with the next connection
			return bad(UnexpectedVersion, "%s of version %d in a session of another", p.Type, p.Version)
		}
		// The cache answers in version 0: so be it. A Session ID belongs to one version, so a Serial Query cannot be
		// meant by this.
		if s.asking {
			s.version = p.Version
			return errVersion
		}
		s.version = p.Version
	}
	s.heard = true
	switch p.Type {
	case SerialNotify:
		s.notify(now, p)
	case CacheResponse:
		if s.phase != asked {
			return bad(CorruptData, "Cache Response without a query")
		}
		return s.begin(now, p, bad)
	case IPv4Prefix, IPv6Prefix, RouterKey:
		if s.phase != loading {
			return bad(CorruptData, "%s outside a transfer", p.Type)
		}
		return s.take(p, bad)
	case EndOfData:
		if s.phase != loading || p.Session != s.next.session {
			return bad(CorruptData, "End of Data of session %d, which has not begun", p.Session)
		}
		s.complete(now, p)
	case CacheReset:
		if s.phase != asked || !s.asking {
			return bad(CorruptData, "Cache Reset without a Serial Query")
		}
		s.current.known = false
		s.query(now)
	default: // Serial Query, Reset Query: only a router sends these
		return bad(InvalidRequest, "%s from a cache", p.Type)
	}
	return nil
}

// report takes an Error Report.
func (s *Session) report(now time.Time, p *PDU) error {
	said := fmt.Errorf("the cache reports: %s%s", p.Code, quoteText(p.Text))
	switch {
	case p.Code == NoDataAvailable && s.phase == asked:
		s.heard, s.tried = true, true
		s.err = said.Error()
		s.phase, s.due = resting, now.Add(noDataRetry)
		return nil
	case p.Code == UnsupportedVersion && s.version == Version1 && !s.heard:
		s.version = Version0
		return errVersion
	case p.Code == UnsupportedVersion:
		s.version = Version1
	}
	s.current.known = false // whatever it was about, begin from nothing
	return said
}

func quoteText(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return fmt.Sprintf(" %.200q", b)
}

// notify takes a Serial Notify: there may be news.
func (s *Session) notify(now time.Time, p *PDU) {
	if s.current.known && p.Session == s.current.session && p.Serial == s.current.serial {
		return
	}
	s.notified = true
	if s.phase == resting {
		s.hurry(now)
	}
}

// hurry has the next query sent as soon as may be.
func (s *Session) hurry(now time.Time) {
	s.due = now
	if next := s.askedAt.Add(queryGap); next.After(now) {
		s.due = next
	}
	if !s.due.After(now) {
		s.query(now)
	}
}

// Up reports whether the connection is there and the data that of the cache, or being brought up to date over it.
func (s *Session) Up() bool {
	return s.synced && s.current.has && s.phase != offline && s.phase != finished
}

// Tried reports whether it has been found out if the cache has data.
func (s *Session) Tried() bool { return s.tried }

// Status describes the session; the address is the caller's to add.
func (s *Session) Status() bgp.CacheStatus {
	c := bgp.CacheStatus{
		State: phaseNames[s.phase], Error: s.err, Version: s.version, Session: s.current.session, Serial: s.current.serial,
		Records: s.current.records, Kept: len(s.current.vrps), HasData: s.current.has,
	}
	switch {
	case s.Up():
		c.State = "up"
	case s.phase == resting:
		c.State = "syncing" // connected, but the cache has no data yet
	}
	if s.failed != nil {
		c.Error = s.failed.Error()
	}
	if s.current.has {
		c.Synced, c.Expires = s.current.synced, s.current.expires()
	}
	return c
}
