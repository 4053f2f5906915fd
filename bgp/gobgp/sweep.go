package gobgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"syscall"

	api "github.com/osrg/gobgp/v3/api"

	"failoverd/bgp"
)

// Sweep removes paths that a life before this one has put into a gobgpd's table, and that no speaker of this one looks after.
// Only the very paths go: one that somebody else has put there since for the same prefix, or that has other attributes, stays.
// It is one attempt, which lasts until ctx ends at most. No error says that none of them is there any more; swept are those that
// were. A gobgpd of this host that nobody listens for is dead, and its table with it. bar is held while a path is deleted, and not
// while gobgpd keeps its answers to questions waiting; nil: nobody wants to keep it from that.
func Sweep(ctx context.Context, at *bgp.External, left []Placed, bar Bar, log *slog.Logger) (swept []netip.Prefix, err error) {
	opts := Options{Bar: bar}
	target, err := opts.external(at)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: bgp.SpeakerConfig{External: at}, target: target, log: log, opts: opts}
	setDefault(&c.opts.Timeout, defaultTimeout)
	err = c.dialled(func(s *session) error {
		s.ctx = ctx
		swept, err = s.sweep(left)
		return err
	})
	if err != nil && c.dead.Load() {
		return nil, nil
	}
	if err != nil {
		return swept, fmt.Errorf("gobgpd at %s: %w", at.Target, err)
	}
	return swept, nil
}

// sweep deletes those paths of left that are in the table.
func (s *session) sweep(left []Placed) (swept []netip.Prefix, err error) {
	r, err := invoke(s, s.api.GetBgp, &api.GetBgpRequest{})
	if err != nil {
		return nil, err
	}
	if r.GetGlobal().GetAsn() == 0 {
		return nil, nil // without a configuration there is no table
	}
	prefixes := make([]netip.Prefix, len(left))
	for i := range left {
		prefixes[i] = left[i].Route.Prefix
	}
	table, err := s.local(prefixes)
	if err != nil {
		return nil, err
	}
	for i := range table {
		l := &table[i]
		if !slices.ContainsFunc(left, func(p Placed) bool { return p.matches(l) }) {
			continue
		}
		err := s.barred(func() error {
			_, err := invoke(s, s.api.DeletePath, withdrawal(l.Prefix))
			return err
		})
		if err != nil {
			return swept, fmt.Errorf("withdraw %v: %w", l.Prefix, err)
		}
		swept = append(swept, l.Prefix)
	}
	return swept, nil
}

// nobody reports whether a failed connection says that nobody is there.
func nobody(err error, e *bgp.External) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || e.Local() && errors.Is(err, syscall.ENOENT)
}
