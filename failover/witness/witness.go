// Package witness exchanges heartbeats with other sites over UDP: it sends the requests and answers that the core asks
// for, and hands it those of others that are genuine. What is genuine is decided in failover/heartbeat, what follows from it
// in package failover; this package has the sockets, the clock of the challenges, and the protection against floods.
//
//	goroutine                           does                                              speaks to
//	owner (the daemon's loop)           Configure, OpenMissing, Send, Answer, Describe    never waits
//	reader (1 per partner and listener) socket -> Client or Server -> deliver             owner: bounded, full = drop and count
//	Run                                 hands deliver to the readers, ends them           nobody
//
// A reader and the owner share the Client or Server of a socket under a lock that is held for as long as one HMAC takes,
// some microseconds.
//
// Read Exchange first, then partner.go and listener.go.
package witness

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"failoverd/failover"
)

// retryGap is how often a socket that could not be opened is tried again: its address may come, or its predecessor go.
const retryGap = time.Second

// Exchange holds the clients of all partners and the servers of all listeners of a configuration. The methods other than Run
// are for one goroutine, whose network namespace the sockets are opened in.
type Exchange struct {
	// constant
	log   *slog.Logger
	epoch time.Time // of the servers' clock; constant from the first socket on

	ready   chan struct{}             // closed when deliver is set
	deliver func(failover.Input) bool // constant from then on
	readers sync.WaitGroup
	pending pending
	lives   lives

	mu        sync.Mutex // held by the owner, and by Run at its end
	partners  map[string]*partner
	listeners map[netip.AddrPort]*listener
	missing   bool // something is to be opened
	retryAt   time.Time
	closed    bool
	left      bool // another exchange has the listeners
}

// New returns an exchange with nobody.
func New(log *slog.Logger) *Exchange {
	return &Exchange{
		log: log, epoch: time.Now(), ready: make(chan struct{}),
		partners: make(map[string]*partner), listeners: make(map[netip.AddrPort]*listener),
	}
}

// Run delivers a failover.HeartbeatReplied or HeartbeatHeard for everything genuine that arrives, until ctx ends; then it closes
// the sockets and returns when all readers have ended. deliver is called by several goroutines and must not block: false
// means that there was no room. Run is called once.
func (x *Exchange) Run(ctx context.Context, deliver func(failover.Input) bool) {
	x.deliver = deliver
	close(x.ready)
	<-ctx.Done()
	x.mu.Lock()
	x.closed = true
	x.closeAll()
	x.mu.Unlock()
	x.readers.Wait()
}

func (x *Exchange) closeAll() {
	for _, p := range x.partners {
		p.close()
	}
	for _, l := range x.listeners {
		l.close()
	}
}

// Configure adopts a configuration by difference: what stays keeps its socket, its life and its memory, also with other
// keys. What is gone is closed; what is new is opened by OpenMissing.
func (x *Exchange) Configure(cfg *failover.Config) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	x.adoptPartners(cfg)
	x.adoptListeners(cfg)
	x.missing, x.retryAt = true, time.Time{}
}

func (x *Exchange) adoptPartners(cfg *failover.Config) {
	old := x.partners
	x.partners = make(map[string]*partner)
	for _, c := range partnersOf(cfg) {
		p := old[c.ID]
		if p != nil && p.cfg.Address == c.Address {
			delete(old, c.ID)
			p.adopt(c)
		} else {
			p = newPartner(x, c)
		}
		x.partners[c.ID] = p
	}
	for _, p := range old {
		p.close()
		x.lives.remove(p.life)
	}
}

func partnersOf(cfg *failover.Config) (all []failover.Partner) {
	for i := range cfg.Sites {
		all = append(all, cfg.Sites[i].Partners...)
	}
	for i := range cfg.Watches {
		all = append(all, cfg.Watches[i].Witnesses...)
	}
	return all
}

func (x *Exchange) adoptListeners(cfg *failover.Config) {
	old := x.listeners
	x.listeners = make(map[netip.AddrPort]*listener)
	for addr, realms := range realmsOf(cfg) {
		l := old[addr]
		if l == nil {
			l = newListener(x, addr)
		}
		delete(old, addr)
		l.adopt(realms)
		x.listeners[addr] = l
	}
	for _, l := range old {
		l.close()
	}
}

// realmsOf returns who is to be listened to where. Several blocks may name the same address.
func realmsOf(cfg *failover.Config) map[netip.AddrPort][]realm {
	all := make(map[netip.AddrPort][]realm)
	for i := range cfg.Watches {
		if w := &cfg.Watches[i]; w.Listen.IsValid() {
			all[w.Listen] = append(all[w.Listen], realm{about: w.Name, keys: w.Keys})
		}
	}
	if w := cfg.WitnessServer; w != nil {
		all[w.Listen] = append(all[w.Listen], realm{keys: w.Keys})
	}
	return all
}

// OpenMissing opens what is configured and not open, in the network namespace of the calling thread. It costs nothing when
// nothing is missing; what cannot be opened is tried again a second later, and shown meanwhile.
func (x *Exchange) OpenMissing() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.missing || x.closed || x.left || time.Now().Before(x.retryAt) {
		return
	}
	x.missing, x.retryAt = false, time.Now().Add(retryGap)
	for _, p := range x.partners {
		x.missing = !p.open() || x.missing
	}
	for _, l := range x.listeners {
		x.missing = !l.open() || x.missing
	}
}

// Send sends a request, or notes with the partner why not. It never waits.
func (x *Exchange) Send(h failover.Heartbeat) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.partners[h.Partner]; p != nil {
		p.send(&h.Request)
	}
}

// Answer sends the reply to a request that was heard lately, once. It never waits.
func (x *Exchange) Answer(a failover.Answer) {
	if e, ok := x.pending.take(a.Ref, x.now()); ok {
		e.listener.answer(&e, &a.Reply)
	}
}

// Describe returns what is known here of partners and listeners, in the order of their IDs and addresses: counters, errors
// and round trips. What the answers mean is known to the core.
func (x *Exchange) Describe() ([]failover.PartnerStatus, []failover.ListenerStatus) {
	x.mu.Lock()
	defer x.mu.Unlock()
	partners := make([]failover.PartnerStatus, 0, len(x.partners))
	for _, id := range slices.Sorted(maps.Keys(x.partners)) {
		partners = append(partners, x.partners[id].describe())
	}
	listeners := make([]failover.ListenerStatus, 0, len(x.listeners))
	for _, addr := range slices.SortedFunc(maps.Keys(x.listeners), netip.AddrPort.Compare) {
		listeners = append(listeners, x.listeners[addr].describe())
	}
	return partners, listeners
}

// now is the servers' clock: monotonic, and of this life only.
func (x *Exchange) now() time.Duration { return time.Since(x.epoch) }

// hand delivers an input, and reports whether there was room.
func (x *Exchange) hand(in failover.Input) bool { return x.deliver(in) }

// read starts the reader of a socket.
func (x *Exchange) read(s *socket, take func(*datagram), failed func(error)) {
	x.readers.Go(func() {
		defer close(s.ended)
		select {
		case <-x.ready:
			s.run(take, failed)
		case <-s.closing:
		}
	})
}

// newBoot returns the name of a life: random, and not 0.
func newBoot() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return cmp.Or(binary.BigEndian.Uint64(b[:]), 1)
}
