package gobgp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"failoverd/bgp"
	"failoverd/bgp/call"
)

// retry is the pause after the server refused something for a reason that may pass.
const retry = 100 * time.Millisecond

// session is one connection to a server. Everything in it belongs to Run's goroutine.
type session struct {
	*Client
	target string
	life   uint64 // which server this is: owing.life when it answered first
	api    api.GobgpApiClient
	conn   grpc.ClientConnInterface // that api uses for everything until calls is there
	calls  *call.Conn               // for what is urgent; nil: there is none
	ctx    context.Context          // outlives Run's, so that the end can be orderly
	ours   bool                     // we configured this server: policies and neighbors are ours too
	events chan struct{}            // one place: a session changed
	broken chan error               // the event stream ended
	again  *time.Timer
	balked bool // the server refused something the last time
	fenced bool // apply has seen that nothing may be announced any more
}

// invoke makes one call with a deadline.
func invoke[Req, Resp any](s *session, f func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req) (Resp, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Timeout)
	defer cancel()
	m, err := f(ctx, req)
	s.heard(err)
	return m, err
}

// receiver is the part that we use of a stream of answers.
type receiver[Resp any] interface{ Recv() (*Resp, error) }

// list makes one call whose answer is a stream, with a deadline for all of it.
func list[Req, Resp any, S receiver[Resp]](s *session, f func(context.Context, Req, ...grpc.CallOption) (S, error), req Req) ([]*Resp, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Timeout)
	defer cancel()
	stream, err := f(ctx, req)
	if err != nil {
		return nil, err
	}
	var all []*Resp
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			s.heard(nil)
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
}

// heard notes an answer: also one that refuses.
func (s *session) heard(err error) {
	if !fatal(err) {
		s.answers.Add(1)
	}
}

// fatal reports whether err says that the connection, not the request, is bad.
func fatal(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return true
	default:
		return false
	}
}

// run lives until the server is gone, with an error, or ctx ends, after which it leaves in order.
func (s *session) run(ctx context.Context) error {
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	// Whatever is going on when ctx ends, and the orderly end after it, have so long and no longer.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.opts.StopWithin, cancel) })()
	if err := s.barred(s.adopt); err != nil {
		return err
	}
	s.mu.Lock()
	s.life = s.owing.life
	s.mu.Unlock()
	s.again = time.NewTimer(time.Hour)
	defer s.again.Stop()
	if err := s.barred(s.start); err != nil {
		return err
	}
	s.connected = true
	s.log.Info("BGP speaker connected", "target", s.target, "ours", s.ours, "calls", s.calls != nil)
	s.tell(true)
	return s.loop(ctx)
}

// adopt finds out whose server this is, and configures it when it is nobody's.
func (s *session) adopt() error {
	r, err := invoke(s, s.api.GetBgp, &api.GetBgpRequest{})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return fmt.Errorf("%s speaks another version of gobgp's API; version 3 is supported: %w", s.target, err)
	case err != nil:
		return fmt.Errorf("reach BGP speaker at %s: %w", s.target, err)
	}
	s.startCalls()
	if done, err := s.claim(r.GetGlobal()); done || err != nil {
		return err
	}
	s.ours = true
	s.takeNext()
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Timeout)
	defer cancel()
	if err := configure(ctx, s.api, &s.cfg); err != nil {
		// A half-started server keeps its listeners, and the next attempt would collide with them.
		_, stopErr := invoke(s, s.api.StopBgp, &api.StopBgpRequest{})
		return errors.Join(fmt.Errorf("configure BGP speaker: %w", err), stopErr)
	}
	s.configured = true
	return nil
}

// configuredByUs looks for our export policy.
func (s *session) configuredByUs() (bool, error) {
	answers, err := list(s, s.api.ListPolicyAssignment,
		&api.ListPolicyAssignmentRequest{Name: globalTable, Direction: api.PolicyDirection_EXPORT})
	if err != nil {
		return false, fmt.Errorf("read export policy: %w", err)
	}
	for _, a := range answers {
		if slices.ContainsFunc(a.GetAssignment().GetPolicies(), func(p *api.Policy) bool { return p.Name == exportPolicy }) {
			return true, nil
		}
	}
	return false, nil
}

// start brings a configured server to work: routes, events, neighbors. Routes go in before the neighbors: they are then
// part of the first UPDATE of each session.
func (s *session) start() error {
	if err := s.readTable(); err != nil {
		return err
	}
	if err := s.apply(); err != nil {
		return err
	}
	stream, err := s.api.WatchEvent(s.ctx, &api.WatchEventRequest{Peer: &api.WatchEventRequest_Peer{}})
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	s.events, s.broken = make(chan struct{}, 1), make(chan error, 1)
	go receive(stream, s.events, s.broken)
	if err := s.addMissing(); err != nil {
		return err
	}
	return s.readNeighbors()
}

// receive tells of events until the stream ends, which the end of the connection sees to.
func receive(stream receiver[api.WatchEventResponse], events chan<- struct{}, broken chan<- error) {
	for {
		if _, err := stream.Recv(); err != nil {
			broken <- err
			return
		}
		select {
		case events <- struct{}{}:
		default:
		}
	}
}

// loop is the steady state.
func (s *session) loop(ctx context.Context) error {
	resync := time.NewTicker(s.opts.Resync)
	defer resync.Stop()
	kick := time.NewTimer(time.Hour)
	defer kick.Stop()
	lapse := time.NewTimer(time.Hour)
	defer lapse.Stop()
	for {
		if left, ok := s.untilLapse(); ok {
			lapse.Reset(left)
		}
		if at := s.nextKick(); !at.IsZero() {
			kick.Reset(time.Until(at))
		}
		var err error
		select {
		case <-ctx.Done():
			if err := s.leave(); err != nil {
				s.log.Warn("orderly end of the BGP sessions", "err", err)
			}
			return nil
		case err = <-s.broken:
			return fmt.Errorf("connection to BGP speaker: %w", err)
		case <-s.mail:
			err = s.barred(s.apply)
		case <-s.again.C:
			err = s.barred(s.apply)
		case <-lapse.C:
			err = s.lapse()
		case <-s.events:
			err = s.barred(s.readNeighbors)
		case <-kick.C:
			err = s.barred(func() error { return s.kickDue(time.Now()) })
		case <-resync.C:
			err = s.barred(s.resync)
		}
		if err != nil {
			return err
		}
	}
}

// resync reads everything and puts right what is not as it should be. What is wanted meanwhile does not wait for all of it.
func (s *session) resync() error {
	if err := s.readNeighbors(); err != nil {
		return err
	}
	select {
	case <-s.mail:
		if err := s.apply(); err != nil {
			return err
		}
	default:
	}
	before := s.table
	if err := s.readTable(); err != nil {
		return err
	}
	if a, w := bgp.Diff(before, s.table); len(a)+len(w) > 0 {
		s.log.Warn("routes in the BGP speaker are not as we left them", "changed", len(a), "gone", len(w))
	}
	return s.apply()
}
