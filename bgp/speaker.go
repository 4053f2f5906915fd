package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// NeighborStatus is what is known of one session.
type NeighborStatus struct {
	Address   netip.Addr   `json:"address"`
	RemoteAS  uint32       `json:"remote_as"`
	State     SessionState `json:"state"`
	Since     time.Time    `json:"since"`                // wall clock, of the last change of State
	LastError string       `json:"last_error,omitempty"` // why the session is not up, or was lost last
	Flaps     uint64       `json:"flaps"`                // how often it left Established
	// HoldTime is the negotiated hold time; zero while not Established.
	HoldTime time.Duration `json:"hold_time_ns,omitempty"`
}

// Report is what a speaker says of itself: sent after every change, and in answer to Apply.
type Report struct {
	Speaker   string
	Connected bool             // the backend process answers
	Err       string           // why it does not, or what it refused last
	Neighbors []NeighborStatus // in configuration order
	// Announced is what the backend's table really holds of ours, sorted by prefix.
	Announced []Route
	// Generation is that of the last Desired that Announced reflects.
	Generation uint64
	Restarts   uint64 // how often the backend was started again
	// Resident is the memory of the backend's process, in octets, as of a moment ago, and MemoryLimit from where on the
	// neighbor that sends most loses its session; beyond twice as much the process ends. 0: not known.
	Resident, MemoryLimit uint64
	// Version is that of the program that the backend's process runs; empty: not known, as with gobgpd.
	Version string
}

// Established reports whether at least one session is up.
func (r *Report) Established() bool {
	for i := range r.Neighbors {
		if r.Neighbors[i].State == Established {
			return true
		}
	}
	return false
}

// Desired is the full set of routes to announce. A newer one replaces an older one, also one not looked at yet.
type Desired struct {
	Generation uint64
	Routes     []Route // sorted by prefix, attributes normalized
	// Until is when the right to announce Routes ends, in nanoseconds of CLOCK_MONOTONIC; 0: it does not. Nothing is added
	// after it, and when it comes and there is no newer Desired, everything is withdrawn. A Desired that differs in nothing
	// else is a refresh, which costs the backend nothing.
	Until int64
}

// Speaker is the contract with a BGP backend: desired state in, reports out.
//
// Set never blocks and may be called from one goroutine. Run works until ctx ends; it connects, repeats the full state
// after every reconnect, and calls report - from one goroutine, never concurrently - after every change. On the way
// out it withdraws everything and closes the sessions in order.
type Speaker interface {
	Set(d Desired)
	Run(ctx context.Context, report func(Report)) error
}

// Errors of Validate.
var (
	ErrNotAllowed = errors.New("prefix is not on the speaker's allow_prefix list")
	ErrTooMany    = errors.New("more prefixes than max_announcements")
	ErrDuplicate  = errors.New("prefix is wanted twice")
	ErrNextHop    = errors.New("unusable next hop")
	ErrAttribute  = errors.New("unusable attribute")
)

// Validate checks routes against the speaker's rails and returns those that may be announced. What may not is left out
// and named in the error (errors.Join of errors that wrap one of those above); the rest still stands.
func (c *SpeakerConfig) Validate(routes []Route) ([]Route, error) {
	limit := c.MaxAnnouncements
	if limit == 0 {
		limit = len(c.Allow)
	}
	var (
		ok   = make([]Route, 0, len(routes))
		errs []error
		seen map[netip.Prefix]bool // nil: they are sorted, so that one that is there twice follows itself
	)
	if !slices.IsSortedFunc(routes, func(a, b Route) int { return a.Prefix.Compare(b.Prefix) }) {
		seen = make(map[netip.Prefix]bool, len(routes))
	}
	for _, r := range routes {
		err := c.checkRoute(r)
		switch {
		case err != nil:
		case seen[r.Prefix], seen == nil && len(ok) > 0 && ok[len(ok)-1].Prefix == r.Prefix:
			err = ErrDuplicate
		case len(ok) >= limit:
			err = fmt.Errorf("%w (%d)", ErrTooMany, limit)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("speaker %s: %s: %w", c.Name, r.Prefix, err))
			continue
		}
		if seen != nil {
			seen[r.Prefix] = true
		}
		ok = append(ok, r)
	}
	return ok, errors.Join(errs...)
}
