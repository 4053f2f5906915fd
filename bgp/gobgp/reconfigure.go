package gobgp

import (
	"fmt"
	"slices"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"

	"failoverd/bgp"
)

// Reconfigure makes Run change over to cfg, with as little as possible: the session of a neighbor ends only when the
// neighbor is gone or something changed that is agreed upon when a session starts. Routes that are not allowed any more
// are withdrawn before the server's policy changes. It returns false, and nothing happens, when that takes another
// server: for another name, local AS, router id, listen port or External, when the allow list covers other address families than
// before (every session would have to be agreed upon anew), and when cfg does not pass its Check. It never blocks.
func (c *Client) Reconfigure(cfg bgp.SpeakerConfig) bool {
	cfg.Allow, cfg.Neighbors = slices.Clone(cfg.Allow), slices.Clone(cfg.Neighbors)
	if cfg.Check() != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	was4, was6 := families(c.cfg.Allow)
	is4, is6 := families(cfg.Allow)
	if cfg.Name != c.cfg.Name || cfg.LocalAS != c.cfg.LocalAS || cfg.RouterID != c.cfg.RouterID ||
		cfg.ListenPort != c.cfg.ListenPort || was4 != is4 || was6 != is6 ||
		!cfg.External.Equal(c.cfg.External) || cfg.OperatorOwned() != c.cfg.OperatorOwned() {
		return false
	}
	c.next = &cfg
	c.reckon()
	c.Wake()
	return true
}

// families reports of which families a list has prefixes.
func families(l bgp.AllowList) (v4, v6 bool) {
	for _, p := range l {
		v4, v6 = v4 || p.Addr().Is4(), v6 || p.Addr().Is6()
	}
	return v4, v6
}

// pending is the configuration to change over to, or nil.
func (c *Client) pending() *bgp.SpeakerConfig {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// commit makes next the configuration, unless there is a newer one already, which then follows. It returns the
// neighbors as they were.
func (c *Client) commit(next *bgp.SpeakerConfig) (old []neighbor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg = *next
	if c.next == next {
		c.next = nil
	}
	c.reckon()
	if next.OperatorOwned() {
		return c.neighbors // they are what gobgpd says
	}
	old, c.neighbors = c.neighbors, newNeighbors(next, time.Now())
	for i := range c.neighbors {
		n := &c.neighbors[i]
		if o := find(old, n.cfg.Address.String()); o != nil && o.cfg.Address == n.cfg.Address {
			cfg := n.cfg
			*n = *o
			n.cfg, n.status.RemoteAS = cfg, cfg.RemoteAS
		}
	}
	return old
}

// takeNext changes over when there is nothing in the server yet.
func (s *session) takeNext() {
	if next := s.pending(); next != nil {
		s.commit(next)
	}
}

// reconfigure changes a working server over. After an error the server is set up from nothing with the next connection.
func (s *session) reconfigure() error {
	next := s.pending()
	if next == nil || !s.connected {
		return nil
	}
	if err := s.withdrawFor(next); err != nil {
		return err
	}
	old := s.cfg
	neighbors := s.commit(next)
	if s.ours {
		err := s.changeAllow(old.Allow, next.Allow)
		if err == nil {
			err = s.changeNeighbors(&old, neighbors)
		}
		if err != nil {
			s.configured = false
			return fmt.Errorf("reconfigure BGP speaker: %w", err)
		}
	}
	s.log.Info("BGP speaker reconfigured")
	if err := s.readTable(); err != nil {
		return err
	}
	return s.readNeighbors()
}

// withdrawFor removes what may not stay with next.
func (s *session) withdrawFor(next *bgp.SpeakerConfig) error {
	ok, _ := next.Validate(s.table) // the reasons come with apply
	_, withdraw := bgp.Diff(s.table, ok)
	if len(withdraw) == 0 {
		return nil
	}
	refused, err := s.change(nil, withdraw)
	if err == nil {
		err = refused
	}
	if err != nil {
		return err
	}
	return s.readTable()
}

// changeAllow brings the export policy up to date, in place: first what is not allowed any more, then what is new.
func (s *session) changeAllow(old, next bgp.AllowList) error {
	minus := func(a, b bgp.AllowList) []*api.DefinedSet {
		_, sets := exportStatements(slices.DeleteFunc(slices.Clone(a), b.Permits))
		return sets
	}
	for _, set := range minus(old, next) {
		if _, err := invoke(s, s.api.DeleteDefinedSet, &api.DeleteDefinedSetRequest{DefinedSet: set}); err != nil {
			return fmt.Errorf("shrink prefix set %s: %w", set.Name, err)
		}
	}
	for _, set := range minus(next, old) {
		if _, err := invoke(s, s.api.AddDefinedSet, &api.AddDefinedSetRequest{DefinedSet: set}); err != nil {
			return fmt.Errorf("extend prefix set %s: %w", set.Name, err)
		}
	}
	return nil
}

// changeNeighbors removes, replaces and adds neighbors. The server ends the session of a removed one with CEASE 6/3
// (RFC 4486).
func (s *session) changeNeighbors(was *bgp.SpeakerConfig, old []neighbor) error {
	there := map[*neighbor]bool{}
	now := time.Now()
	for i := range old {
		o := &old[i]
		n := find(s.neighbors, o.cfg.Address.String())
		if n == nil || n.cfg.Address != o.cfg.Address {
			gone := *o
			if err := s.drop(&gone, now); err != nil {
				return err
			}
			continue
		}
		there[n] = true
		if proto.Equal(agreed(was, o.cfg), agreed(&s.cfg, n.cfg)) {
			continue
		}
		n.short, n.up, n.blame, n.status.LastError = 0, time.Time{}, "", ""
		if err := s.drop(n, now); err != nil {
			return err
		}
	}
	for i := range s.neighbors {
		if n := &s.neighbors[i]; !there[n] {
			if err := s.addNeighbor(n, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// agreed is what a session with n rests on.
func agreed(cfg *bgp.SpeakerConfig, n *bgp.Neighbor) *api.Peer {
	v4, v6 := cfg.Families(n)
	p := peer(n, cfg.LocalAS, v4, v6)
	p.Conf.Description = ""
	return p
}
