package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"failoverd/bgp"
)

// addNeighbor adds one neighbor to a server of ours. One that the server refuses is tried again later, and does not
// keep the others from working.
func (s *session) addNeighbor(n *neighbor, now time.Time) error {
	v4, v6 := s.cfg.Families(n.cfg)
	_, err := invoke(s, s.api.AddPeer, &api.AddPeerRequest{Peer: peer(n.cfg, s.cfg.LocalAS, v4, v6)})
	n.kickAt, n.added = time.Time{}, now
	switch {
	case err == nil:
		return nil
	case fatal(err):
		return fmt.Errorf("add neighbor %v: %w", n.cfg.Address, err)
	default:
		n.status.LastError, n.kickAt = "refused by gobgp: "+status.Convert(err).Message(), now.Add(time.Second)
		return nil
	}
}

// addMissing adds the neighbors that a server of ours does not have: all of them, unless only the connection was lost.
func (s *session) addMissing() error {
	if !s.ours {
		return nil
	}
	answers, err := list(s, s.api.ListPeer, &api.ListPeerRequest{})
	if err != nil {
		return fmt.Errorf("read neighbors: %w", err)
	}
	there := map[*neighbor]bool{}
	for _, a := range answers {
		there[find(s.neighbors, a.GetPeer().GetConf().GetNeighborAddress())] = true
	}
	for i := range s.neighbors {
		if n := &s.neighbors[i]; !there[n] {
			if err := s.addNeighbor(n, time.Now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// readNeighbors reads the state of every session and reports changes. Events only say when to: they do not have the hold
// time, and those of a deleted neighbor may come after the first ones of its successor.
func (s *session) readNeighbors() error {
	answers, err := list(s, s.api.ListPeer, &api.ListPeerRequest{})
	if err != nil {
		return fmt.Errorf("read neighbors: %w", err)
	}
	now := time.Now()
	if s.cfg.OperatorOwned() {
		peers := make([]*api.Peer, len(answers))
		for i, a := range answers {
			peers[i] = a.GetPeer()
		}
		s.follows(peers, now)
	}
	there := make(map[*neighbor]bool, len(answers))
	for _, a := range answers {
		p := a.GetPeer()
		n := find(s.neighbors, p.GetConf().GetNeighborAddress())
		if n == nil {
			continue
		}
		there[n] = true
		if !n.kickAt.IsZero() {
			continue
		}
		was := n.status.State
		state := sessionState(p.GetState().GetSessionState())
		hold := time.Duration(p.GetTimers().GetState().GetNegotiatedHoldTime()) * time.Second
		if n.observe(state, hold, now) {
			if err := s.follow(n, was, now); err != nil {
				return err
			}
		}
		if s.cfg.External != nil {
			n.explain(p)
		}
		if s.ours && n.idles(p, now) {
			if err := s.renew(n, now); err != nil {
				return err
			}
			continue
		}
		if why := s.unwelcome(n, p, now); why != "" {
			n.blame, n.status.LastError = why, why // an older reason must not come back over it
			if s.connected {
				s.tell(false) // a server that is busy with what it was sent may not answer what follows
			}
			if err := s.drop(n, now); err != nil {
				return err
			}
			n.blame, n.status.LastError = why, why
		}
	}
	if err := s.dropMissing(there, now); err != nil {
		return err
	}
	if s.connected {
		s.tell(false)
	}
	return nil
}

// dropMissing plans when to add the neighbors again that a server of ours has thrown out by itself, because of its memory.
func (s *session) dropMissing(there map[*neighbor]bool, now time.Time) error {
	if !s.ours {
		return nil
	}
	for i := range s.neighbors {
		n := &s.neighbors[i]
		if there[n] || !n.kickAt.IsZero() || n.status.State == bgp.Unknown { // unknown: not seen in it yet
			continue
		}
		was := n.status.State
		n.observe(bgp.Idle, 0, now)
		if err := s.follow(n, was, now); err != nil {
			return err
		}
		if n.kickAt.IsZero() {
			if err := s.drop(n, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow logs a session that came up or went away, and drops the neighbor after a loss.
func (s *session) follow(n *neighbor, was bgp.SessionState, now time.Time) error {
	switch {
	case n.status.State == bgp.Established:
		s.log.Info("BGP session established", "peer", n.cfg.Address, "hold_time", n.status.HoldTime.String())
	case was == bgp.Established && s.ours:
		s.log.Warn("BGP session lost", "peer", n.cfg.Address)
		return s.drop(n, now)
	case was == bgp.Established:
		s.log.Warn("BGP session lost", "peer", n.cfg.Address)
	}
	return nil
}

// unwelcome says why we end a session that gobgp would keep; empty: we do not.
func (s *session) unwelcome(n *neighbor, p *api.Peer, now time.Time) string {
	switch {
	case !s.ours || !n.kickAt.IsZero():
		return ""
	case p.GetState().GetAdminState() == api.PeerState_PFX_CT:
		// The loss itself may have gone by unseen while the server was busy with what it was sent. It would stay down for ever.
		return fmt.Sprintf("the neighbor sent more than %d routes: session closed with CEASE 6/1 (Maximum Number of Prefixes Reached)", maxPrefixes)
	case n.mute(now):
		return fmt.Sprintf("connected, but no OPEN from the neighbor for %v (TTL security at one end only?)", silent)
	case n.status.State == bgp.Established && !n.cfg.AllowTwoOctetAS && !fourOctetAS(p):
		return "the neighbor does not speak four-octet AS numbers (RFC 6793), and four_octet_as_required is on"
	default:
		return ""
	}
}

// fourOctetAS reports whether the neighbor's OPEN had the capability.
func fourOctetAS(p *api.Peer) bool {
	return slices.ContainsFunc(p.GetState().GetRemoteCap(), func(c *anypb.Any) bool {
		return c.MessageIs(&api.FourOctetASNCapability{})
	})
}

// drop takes a neighbor out of the server, to be added again when its kick is due.
func (s *session) drop(n *neighbor, now time.Time) error {
	n.planKick(now)
	_, err := invoke(s, s.api.DeletePeer, &api.DeletePeerRequest{Address: n.cfg.Address.String()})
	if err != nil && fatal(err) {
		return fmt.Errorf("delete neighbor %v: %w", n.cfg.Address, err)
	}
	n.observe(bgp.Idle, 0, now)
	return nil
}

// renew takes a neighbor out of the server and adds it again at once.
func (s *session) renew(n *neighbor, now time.Time) error {
	_, err := invoke(s, s.api.DeletePeer, &api.DeletePeerRequest{Address: n.cfg.Address.String()})
	if err != nil && fatal(err) {
		return fmt.Errorf("delete neighbor %v: %w", n.cfg.Address, err)
	}
	return s.addNeighbor(n, now)
}

// nextKick is when the first neighbor is to be added again; zero: none.
func (s *session) nextKick() time.Time {
	var first time.Time
	for i := range s.neighbors {
		if at := s.neighbors[i].kickAt; !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// kickDue adds the neighbors again whose pause is over.
func (s *session) kickDue(now time.Time) error {
	for i := range s.neighbors {
		n := &s.neighbors[i]
		if n.kickAt.IsZero() || n.kickAt.After(now) {
			continue
		}
		if err := s.addNeighbor(n, now); err != nil {
			return err
		}
	}
	s.tell(false)
	return nil
}

// leave is the orderly end: withdrawals first, then CEASE with the communication, both on the same ordered queue of
// each session, then wait until the sessions are down.
func (s *session) leave() error {
	s.wantNothing()
	var errs []error
	for _, p := range s.announced() {
		_, err := invoke(s, s.api.DeletePath, withdrawal(p))
		errs = append(errs, err)
	}
	if err := s.readTable(); err == nil {
		if s.connected {
			s.tell(false) // who waits for the withdrawal need not wait for the sessions
		}
	} else {
		errs = append(errs, err)
	}
	if s.ours {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// announced returns what the server has, or may have, in its table of ours.
func (s *session) announced() (prefixes []netip.Prefix) {
	for i := range s.table {
		prefixes = append(prefixes, s.table[i].Prefix)
	}
	for _, p := range s.Owed() { // nothing is wanted any more
		if !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

// insist goes on withdrawing from a gobgpd that has not confirmed it, over one connection after another, until the time for the
// end is over. A process of ours needs no such care: it ends.
func (c *Client) insist() {
	c.mu.Lock()
	limit := c.owing.limit
	c.mu.Unlock()
	ctx, cancel := context.WithDeadline(context.Background(), limit)
	defer cancel()
	for wait := 10 * time.Millisecond; ctx.Err() == nil && len(c.Owed()) > 0; wait = min(2*wait, 100*time.Millisecond) {
		err := c.dialled(func(s *session) error {
			s.ctx = ctx
			return s.part()
		})
		if err == nil && len(c.Owed()) == 0 {
			return
		}
		c.log.Debug("withdraw once more", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// part leaves a server that was configured over another connection, or by its operator.
func (s *session) part() error {
	s.mu.Lock()
	s.life = s.owing.life
	s.mu.Unlock()
	r, err := invoke(s, s.api.GetBgp, &api.GetBgpRequest{})
	switch as := r.GetGlobal().GetAsn(); {
	case err != nil:
		return err
	case as == 0:
		s.Gone() // it was started again, without a table
		s.placed = nil
		return nil
	case as != s.cfg.LocalAS:
		return fmt.Errorf("gobgp at %s runs as AS %d, the configuration says %d", s.target, as, s.cfg.LocalAS)
	}
	if !s.cfg.OperatorOwned() {
		if s.ours, err = s.configuredByUs(); err != nil {
			return err
		}
	}
	if err := s.readTable(); err != nil {
		return err
	}
	return s.leave()
}

// close ends the sessions of a server of ours, and then the server's BGP.
func (s *session) close() error {
	var errs []error
	// The state that was read last may be older than a session.
	for _, addr := range s.established() {
		_, err := invoke(s, s.api.DisablePeer, &api.DisablePeerRequest{Address: addr, Communication: s.opts.Communication})
		errs = append(errs, err)
	}
	// StopBgp right away would overtake the message and send CEASE 6/3 without a word instead.
	for len(s.established()) > 0 {
		select {
		case <-s.ctx.Done():
			return errors.Join(append(errs, s.ctx.Err())...)
		case <-time.After(5 * time.Millisecond):
		}
	}
	_, err := invoke(s, s.api.StopBgp, &api.StopBgpRequest{})
	return errors.Join(append(errs, err)...)
}

// established asks the server which sessions are up; one that does not answer has none that we could wait for.
func (s *session) established() (neighbors []string) {
	answers, err := list(s, s.api.ListPeer, &api.ListPeerRequest{})
	if err != nil {
		return nil
	}
	for _, a := range answers {
		if p := a.GetPeer(); p.GetState().GetSessionState() == api.PeerState_ESTABLISHED {
			neighbors = append(neighbors, p.GetConf().GetNeighborAddress())
		}
	}
	return neighbors
}

// Communication cuts s to what fits into an administrative shutdown, at a character, and replaces what is not UTF-8
// (RFC 8203 section 2, RFC 9003 section 2).
func Communication(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
	if len(s) <= bgp.MaxCommunication {
		return s
	}
	cut := bgp.MaxCommunication
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// oneLine is an error as the one line that a report has room for.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
