package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// DefaultResync is the period of full comparisons with the kernel when Options.Resync is 0.
const DefaultResync = 10 * time.Second

// Options are the settings of a Worker. The zero value works.
type Options struct {
	// Configured are the addresses of the configuration that the process starts with; Worker.Configure replaces them.
	// They are watched for AddressReport.Foreign. Where the kernel keeps no IFA_PROTO, those among them that have a
	// finite lifetime and are not wanted in the first Set are also leftovers of a dead predecessor and are removed;
	// elsewhere the tag alone says so.
	Configured []failover.AddressKey
	// Resync is the period of full comparisons with the kernel; 0: DefaultResync.
	Resync time.Duration
	// Bar is held while something is read or written; nil: nobody wants to keep the worker from it.
	Bar sync.Locker
}

// Worker carries out DesiredAddresses and watches the kernel. Set may be called from any goroutine; Run and Watch are
// called at most once each, from different goroutines. Everything happens in the network namespace of the thread that
// called New; no other Worker may run in that namespace, because each one removes the addresses that another one left.
//
// Besides addresses a Worker writes one setting: before it adds an IPv4 address that shares a subnet (a prefix shorter
// than /32) to an interface, it switches promote_secondaries on for the interface if it is off. Otherwise the
// administrator's addresses of the subnet would go with ours. The setting stays on; a log line says when it was set.
type Worker struct {
	log     *slog.Logger
	options Options
	writer  host // of Run
	watcher host // of Watch
	box     mailbox
	clock   func() vrrp.Instant // of DesiredAddresses.Until
}

// New opens the kernel. It fails if there is no rtnetlink or no /proc; it needs no privilege, writing does
// (CAP_NET_ADMIN).
func New(log *slog.Logger, options Options) (*Worker, error) {
	writer, err := openHost(log)
	if err != nil {
		return nil, fmt.Errorf("open kernel: %w", err)
	}
	watcher, err := openHost(log)
	if err != nil {
		return nil, fmt.Errorf("open kernel: %w", errors.Join(err, writer.close()))
	}
	if !writer.tagged() {
		log.Info("kernel keeps no address protocol, lifetimes tell own addresses", "protocol", Protocol)
	}
	return newWorker(log, options, faulty(writer), watcher), nil
}

func newWorker(log *slog.Logger, options Options, writer, watcher host) *Worker {
	if options.Resync <= 0 {
		options.Resync = DefaultResync
	}
	return &Worker{log: log, options: options, writer: writer, watcher: watcher, box: newMailbox(), clock: monotonic}
}

// Close releases the sockets. It must be called after Run and Watch have returned. It removes no address.
func (w *Worker) Close() error {
	return errors.Join(w.writer.close(), w.watcher.close())
}

// Set asks for d and returns at once. A newer d replaces an older one that was not looked at yet. The caller must not
// change d.Addresses afterwards.
//
// The lease of an address counts from the call that wants it when the one before did not, and from each call with a
// greater d.Renewal than before. It is never extended otherwise. A guarded address lives no longer than d.Until: that of
// the call that its lease counts from, or of a later one with a smaller d.Until, which counts at once.
func (w *Worker) Set(d failover.DesiredAddresses) { w.SetAt(d, time.Now()) }

// SetAt is Set for what was decided at an earlier time, from which leases count: who decided may have stood still since.
func (w *Worker) SetAt(d failover.DesiredAddresses, decided time.Time) { w.box.put(d, decided) }

// Configure replaces Options.Configured after a change of configuration, and returns at once. It changes what is
// reported as foreign, and nothing about which addresses are written. It may be called from any goroutine; the caller
// must not change configured afterwards.
func (w *Worker) Configure(configured []failover.AddressKey) { w.box.configure(configured) }

// Run carries out what Set asks for until ctx is done, and then what was asked for last if that has not been done
// yet. It removes nothing at the end: whoever wants that sets an empty DesiredAddresses first and waits for the answer.
//
// Each DesiredAddresses is answered by a report of its generation, or of the newer one that replaced it; a report is
// also given when the kernel's state changed in a way that matters. IPv6 addresses may become present only in a later
// report of the same generation, a few microseconds (with duplicate detection seconds) after they were added. report
// is called by Run's goroutine and must not block.
//
// The error is nil unless the kernel's notifications cannot be subscribed to at the start. Later errors are logged,
// reported and retried.
func (w *Worker) Run(ctx context.Context, report func(failover.AddressReport)) error {
	feed, err := w.writer.subscribe()
	if err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	defer feed.close()
	r := newReconciler(w, feed, report)
	timer := time.NewTimer(w.options.Resync)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if w.box.waiting() {
				behind(w.options.Bar, r.step)
			}
			return nil
		case <-w.box.signal:
		case <-feed.changed():
		case <-timer.C:
		}
		timer.Reset(behind(w.options.Bar, r.step))
	}
}

// mailbox holds the newest DesiredAddresses, and the newest configured addresses, that were not looked at yet.
type mailbox struct {
	signal chan struct{}

	mu    sync.Mutex
	full  bool
	value failover.DesiredAddresses
	at    time.Time

	reconfigured bool
	configured   []failover.AddressKey
}

func newMailbox() mailbox { return mailbox{signal: make(chan struct{}, 1)} }

func (b *mailbox) put(d failover.DesiredAddresses, at time.Time) {
	b.mu.Lock()
	b.full, b.value, b.at = true, d, at
	b.mu.Unlock()
	b.wake()
}

func (b *mailbox) configure(configured []failover.AddressKey) {
	b.mu.Lock()
	b.reconfigured, b.configured = true, configured
	b.mu.Unlock()
	b.wake()
}

func (b *mailbox) wake() {
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

func (b *mailbox) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

// takeConfigured returns the configured addresses if they were replaced.
func (b *mailbox) takeConfigured() (configured []failover.AddressKey, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	configured, ok = b.configured, b.reconfigured
	b.configured, b.reconfigured = nil, false
	return configured, ok
}

// take takes the DesiredAddresses out of the box.
func (b *mailbox) take() (d failover.DesiredAddresses, at time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, at, ok = b.value, b.at, b.full
	b.full, b.value = false, failover.DesiredAddresses{}
	return d, at, ok
}
