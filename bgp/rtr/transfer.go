package rtr

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"failoverd/bgp"
)

// transfer is a set of VRPs and what it is known by.
type transfer struct {
	has     bool
	version uint8
	session uint16
	serial  uint32
	known   bool // session and serial may be asked for
	scope   []netip.Prefix
	vrps    map[bgp.VRP]bool
	records int64
	synced  time.Time
	refresh time.Duration
	retry   time.Duration
	expire  time.Duration
}

// begin starts a transfer: of changes after a Serial Query, of everything after a Reset Query.
func (s *Session) begin(now time.Time, p *PDU, bad func(Code, string, ...any) error) error {
	if s.asking && p.Session != s.current.session {
		s.current.known = false
		return bad(CorruptData, "session %d goes on as session %d", s.current.session, p.Session)
	}
	s.next = transfer{version: s.version, session: p.Session, scope: s.scope, vrps: make(map[bgp.VRP]bool)}
	if s.asking {
		s.next.vrps, s.next.records = maps.Clone(s.current.vrps), s.current.records
	}
	s.loads, s.phase, s.due = 0, loading, now.Add(loadWithin)
	return nil
}

// take takes one record. What it says about prefixes that do not concern us is only counted, so that a repetition or a
// withdrawal of what never was is found out for the others alone.
func (s *Session) take(p *PDU, bad func(Code, string, ...any) error) error {
	if s.loads++; s.loads > maxRecords {
		return bad(InternalError, "more than %d records in one transfer", maxRecords)
	}
	if p.Type == RouterKey {
		return nil // for BGPsec
	}
	if p.Announce {
		s.next.records++
	} else {
		s.next.records--
	}
	if !s.ancestors[p.VRP.Prefix] {
		return nil
	}
	switch have := s.next.vrps[p.VRP]; {
	case p.Announce && have:
		return bad(DuplicateRecord, "%v announced twice", p.VRP)
	case !p.Announce && !have:
		return bad(UnknownWithdrawal, "%v withdrawn, which was not there", p.VRP)
	case !p.Announce:
		delete(s.next.vrps, p.VRP)
	case len(s.next.vrps) >= maxKept:
		return bad(InternalError, "more than %d records about our prefixes", maxKept)
	default:
		s.next.vrps[p.VRP] = true
	}
	return nil
}

// complete puts a transfer in force.
func (s *Session) complete(now time.Time, p *PDU) {
	t := s.next
	t.has, t.known, t.serial, t.synced = true, true, p.Serial, now
	t.refresh, t.retry, t.expire = defaultRefresh, defaultRetry, defaultExpire
	if p.Version != Version0 {
		seconds := func(v uint32, least, most time.Duration) time.Duration {
			return min(max(time.Duration(v)*time.Second, least), most)
		}
		t.refresh = seconds(p.Refresh, minRefresh, maxRefresh)
		t.retry = seconds(p.Retry, minRetry, maxRetry)
		t.expire = max(seconds(p.Expire, minExpire, maxExpire), t.refresh, t.retry)
	}
	s.current, s.next, s.synced = t, transfer{}, true
	s.phase, s.due, s.err, s.attempts, s.tried = resting, now.Add(t.refresh), "", 0, true
	if s.notified {
		s.hurry(now)
	}
}

func (t *transfer) expires() time.Time { return t.synced.Add(t.expire) }

// Data returns the VRPs of the last complete transfer, sorted, and the prefixes that it was about; ok is false when there
// was none, or it has expired.
func (s *Session) Data() (vrps []bgp.VRP, scope []netip.Prefix, ok bool) {
	if !s.current.has {
		return nil, nil, false
	}
	return slices.SortedFunc(maps.Keys(s.current.vrps), bgp.CompareVRPs), s.current.scope, true
}
