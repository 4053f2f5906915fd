package gobgp

import (
	"errors"
	"fmt"
	"net/netip"
	"sort"

	api "github.com/osrg/gobgp/v3/api"

	"failoverd/bgp"
)

// apply takes another configuration over, if there is one, and then makes the server's table what is wanted.
func (s *session) apply() error {
	if err := s.reconfigure(); err != nil {
		return err
	}
	return s.fulfil()
}

// fulfil makes the server's table what is wanted now, reads it back and reports.
func (s *session) fulfil() error {
	if s.undecided() {
		return nil // the next resync looks again
	}
	d := s.desired.Load()
	if d == nil {
		d = &bgp.Desired{}
	}
	want, wrong := s.cfg.Validate(d.Routes)
	s.fenced = s.lapsed()
	if s.fenced && len(d.Routes) > 0 {
		want, wrong = nil, errors.New(lapsedReason)
	}
	alive := s.opts.Alive()
	if !alive {
		want, wrong = nil, errors.New(s.opts.Silent)
	}
	announce, withdraw := bgp.Diff(s.table, want)
	generation := d.Generation
	if (!alive || s.fenced) && len(d.Routes) > 0 {
		generation = s.generation // what is there reflects our silence, or that d is over, not d
	}
	if len(announce)+len(withdraw) == 0 {
		s.settle(generation, wrong, generation != s.generation)
		return nil
	}
	refused, err := s.change(announce, withdraw)
	if err != nil {
		return err
	}
	if err := s.readTable(); err != nil {
		return err
	}
	if refused != nil {
		if !s.balked {
			s.again.Reset(retry)
		}
		s.balked = true // from now on at every resync
		s.settle(s.generation, errors.Join(wrong, refused), false)
		return nil
	}
	s.balked = false
	if a, _ := bgp.Diff(s.table, want); len(a) > 0 {
		wrong = errors.Join(wrong, fmt.Errorf("%d routes are not in the server's table although it took them: its import policy refuses them", len(a)))
	}
	s.settle(generation, wrong, true)
	return nil
}

// settle notes the outcome of apply and reports it; answer: also when nothing in the report is new.
func (s *session) settle(generation uint64, wrong error, answer bool) {
	s.generation, s.err = generation, oneLine(wrong)
	if s.connected {
		s.tell(answer)
	}
}

// change withdraws, then announces. What the server refuses is returned first, a lost connection second.
func (s *session) change(announce []bgp.Route, withdraw []netip.Prefix) (refused, lost error) {
	took := func(op string, p netip.Prefix, err error) error {
		if err == nil {
			return nil
		}
		if err = fmt.Errorf("%s %v: %w", op, p, err); fatal(err) {
			return err
		}
		refused = errors.Join(refused, err)
		return nil
	}
	for _, p := range withdraw {
		_, err := invoke(s, s.api.DeletePath, withdrawal(p))
		if err := took("withdraw", p, err); err != nil {
			return refused, err
		}
		if err == nil {
			s.release(p)
		}
	}
	s.hold(announce)
	s.place(announce)
	for _, r := range announce {
		if !s.entitled() {
			break
		}
		_, err := invoke(s, s.api.AddPath, &api.AddPathRequest{
			TableType: api.TableType_GLOBAL, Path: encodePath(r, s.cfg.LocalAS),
		})
		if err := took("announce", r.Prefix, err); err != nil {
			return refused, err
		}
	}
	if len(announce) > 0 && !s.entitled() {
		// The process slept between the question and the announcement: undo it at once.
		s.again.Reset(0)
	}
	for _, p := range withdraw {
		s.log.Debug("route withdrawn", "prefix", p)
	}
	for _, r := range announce {
		s.log.Debug("route announced", "prefix", r.Prefix, "route", r.String())
	}
	return refused, nil
}

// entitled reports whether anything may be announced at this moment.
func (s *session) entitled() bool { return s.opts.Alive() && !s.lapsed() }

// readTable reads which of our routes the server holds. Only prefixes of the allow list are looked at: nothing else
// can be ours, and an external gobgpd may hold a full table.
func (s *session) readTable() error {
	paths, err := s.local(s.cfg.Allow)
	if err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	table := make([]bgp.Route, len(paths))
	for i := range paths {
		table[i] = paths[i].route()
	}
	s.table, s.tableLife = table, s.life
	s.confirm(table)
	s.recognize(paths)
	return nil
}

// local reads the paths that the server holds for prefixes and that came from no neighbor, sorted.
func (s *session) local(prefixes []netip.Prefix) (table []learned, err error) {
	lookup := map[bool][]*api.TableLookupPrefix{}
	for _, p := range prefixes {
		lookup[p.Addr().Is4()] = append(lookup[p.Addr().Is4()], &api.TableLookupPrefix{Prefix: p.String()})
	}
	for is4, prefixes := range lookup {
		family := familyV6
		if is4 {
			family = familyV4
		}
		answers, err := list(s, s.api.ListPath, &api.ListPathRequest{
			TableType: api.TableType_GLOBAL, Family: family, Prefixes: prefixes,
		})
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
			for _, p := range a.GetDestination().GetPaths() {
				l, err := decodePath(p)
				if err != nil {
					return nil, err
				}
				if l.local {
					table = append(table, l)
				}
			}
		}
	}
	sort.Slice(table, func(i, j int) bool { return table[i].Prefix.Compare(table[j].Prefix) < 0 })
	return table, nil
}
