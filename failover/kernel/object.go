package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"failoverd/failover"
)

// DefaultObjectResync is the period of full comparisons of routes and rules when ObjectOptions.Resync is 0. It is longer
// than that of addresses because a router may have a million routes, all of which are listed.
const DefaultObjectResync = 30 * time.Second

// ObjectOptions are the settings of Objects. The zero value works.
type ObjectOptions struct {
	// Resync is the period of full comparisons with the kernel; 0: DefaultObjectResync.
	Resync time.Duration
	// Bar is held while something is read or written; nil: nobody wants to keep Objects from it.
	Bar sync.Locker
}

// Objects carries out DesiredObjects: it keeps the policy routes and rules of virtual_routes, virtual_rules,
// static_routes and static_rules in the kernel. Set may be called from any goroutine; Run is called at most once.
// Everything happens in the network namespace of the thread that called NewObjects; no other Objects may run in that
// namespace, because each one removes what another one left.
//
// Own objects carry Protocol as their RTPROT_* number and FRA_PROTOCOL (Linux 4.17). What carries it when the first
// DesiredObjects is carried out was left by a dead predecessor, and goes unless it is wanted. A route with a configured
// protocol keeps that number, so it is known to be ours only as long as this process remembers having added exactly
// it: such a route of a dead predecessor stays.
//
// Routes and rules have no lease. A dead agent leaves them where they are, which does less harm than an address that
// is there twice, and its next start sweeps them. An expiry (IPv6 only) would take the routes of a stopped agent
// away, but not its rules, so that it is not used.
//
// Objects of somebody else are never modified or deleted. One that is the same as a wanted one serves as well; a route
// with the same key (prefix, table, metric, tos) that leads elsewhere keeps ours out, and the report says so.
type Objects struct {
	log    *slog.Logger
	resync time.Duration
	bar    sync.Locker
	host   objectHost
	box    objectBox
}

// NewObjects opens the kernel. It fails if there is no rtnetlink or no /proc; it needs no privilege, writing does
// (CAP_NET_ADMIN).
func NewObjects(log *slog.Logger, o ObjectOptions) (*Objects, error) {
	host, err := openObjects(log)
	if err != nil {
		return nil, fmt.Errorf("open kernel: %w", err)
	}
	return newObjects(log, o, host), nil
}

func newObjects(log *slog.Logger, o ObjectOptions, host objectHost) *Objects {
	if o.Resync <= 0 {
		o.Resync = DefaultObjectResync
	}
	return &Objects{log: log, resync: o.Resync, bar: o.Bar, host: host, box: objectBox{signal: make(chan struct{}, 1)}}
}

// Close releases the sockets. It must be called after Run has returned. It removes no route and no rule.
func (o *Objects) Close() error { return o.host.close() }

// Set asks for d and returns at once. A newer d replaces an older one that was not looked at yet. The caller must not
// change the slices of d afterwards.
func (o *Objects) Set(d failover.DesiredObjects) { o.box.put(d) }

// Run carries out what Set asks for until ctx is done, and then what was asked for last if that has not been done yet.
// It removes nothing at the end: whoever wants that sets an empty DesiredObjects first and waits for the answer.
//
// Each DesiredObjects is answered by a report of its generation, or of the newer one that replaced it; a report is also
// given when it differs from the last one. report is called by Run's goroutine and must not block.
//
// The error is nil unless the kernel's notifications cannot be subscribed to at the start. Later errors are logged,
// reported and retried.
func (o *Objects) Run(ctx context.Context, report func(failover.ObjectReport)) error {
	feed, err := o.host.subscribe()
	if err != nil {
		return fmt.Errorf("watch routes: %w", err)
	}
	defer feed.close()
	r := newObjectReconciler(o, feed, report)
	timer := time.NewTimer(o.resync)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if o.box.waiting() {
				behind(o.bar, r.step)
			}
			return nil
		case <-o.box.signal:
		case <-feed.changed():
		case <-timer.C:
		}
		timer.Reset(behind(o.bar, r.step))
	}
}

// objectBox holds the newest DesiredObjects that was not looked at yet.
type objectBox struct {
	signal chan struct{}

	mu    sync.Mutex
	full  bool
	value failover.DesiredObjects
}

func (b *objectBox) put(d failover.DesiredObjects) {
	b.mu.Lock()
	b.full, b.value = true, d
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *objectBox) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

func (b *objectBox) take() (d failover.DesiredObjects, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, ok = b.value, b.full
	b.full, b.value = false, failover.DesiredObjects{}
	return d, ok
}
