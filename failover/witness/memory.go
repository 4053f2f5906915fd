package witness

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"time"

	"failoverd/failover/heartbeat"
)

// Memory is what an exchange leaves to that of another program, which takes its place: to the other ends the two are one.
type Memory struct {
	Clock     time.Duration // of the servers
	Partners  []PartnerMemory
	Listeners []ListenerMemory
}

// PartnerMemory is that of the client of a partner.
type PartnerMemory struct {
	ID     string
	Client heartbeat.ClientMemory
}

// ListenerMemory is that of a server at a listener.
type ListenerMemory struct {
	Address netip.AddrPort
	About   string // empty: any site
	Server  heartbeat.ServerMemory
}

// Leave closes the listeners, so that another exchange can open them, and returns what that one goes on with. After it nothing
// may be sent, unless Return takes it back.
func (x *Exchange) Leave() Memory {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := Memory{}
	for _, id := range slices.Sorted(maps.Keys(x.partners)) {
		m.Partners = append(m.Partners, PartnerMemory{id, x.partners[id].memory()})
	}
	for _, addr := range slices.SortedFunc(maps.Keys(x.listeners), netip.AddrPort.Compare) {
		l := x.listeners[addr]
		l.close() // first: its reader is the one that remembers
		m.Listeners = append(m.Listeners, l.memory()...)
	}
	m.Clock = x.now() // last: nothing that is remembered is of later
	x.left = true
	return m
}

// Return takes back a Leave: the other exchange has ended. What that one may have heard in the name of this one is not known, so
// the servers begin new lives: their challenges are void. The listeners are opened by the next OpenMissing.
func (x *Exchange) Return() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.left {
		return
	}
	for _, l := range x.listeners {
		l.renew()
	}
	x.left, x.missing, x.retryAt = false, true, time.Time{}
}

// Succeed makes x, which has opened nothing, go on from what another exchange has left, at most the time elapsed ago. What makes no
// sense is left out, and named in the error; x works without it as if it had just begun.
func (x *Exchange) Succeed(elapsed time.Duration, m *Memory) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.Clock < 0 || elapsed < 0 {
		return fmt.Errorf("%w: a clock at %v, %v ago", heartbeat.ErrMemory, m.Clock, elapsed)
	}
	x.epoch = time.Now().Add(-m.Clock - elapsed)
	var errs []error
	for i := range m.Partners {
		p := &m.Partners[i]
		if o := x.partners[p.ID]; o == nil {
			errs = append(errs, fmt.Errorf("%w: there is no partner %s", heartbeat.ErrMemory, p.ID))
		} else if err := o.succeed(p.Client); err != nil {
			errs = append(errs, fmt.Errorf("partner %s: %w", p.ID, err))
		}
	}
	for i := range m.Listeners {
		l := &m.Listeners[i]
		if o := x.listeners[l.Address]; o == nil {
			errs = append(errs, fmt.Errorf("%w: there is no listener %s", heartbeat.ErrMemory, l.Address))
		} else if err := o.succeed(l); err != nil {
			errs = append(errs, fmt.Errorf("listener %s: %w", l.Address, err))
		}
	}
	return errors.Join(errs...)
}

func (p *partner) memory() heartbeat.ClientMemory {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client.Memory()
}

func (p *partner) succeed(m heartbeat.ClientMemory) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.client.Succeed(m); err != nil {
		return err
	}
	p.exchange.lives.remove(p.life)
	p.life = m.Boot
	p.exchange.lives.add(p.life)
	return nil
}

func (l *listener) memory() (list []ListenerMemory) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.realms {
		list = append(list, ListenerMemory{l.addr, l.realms[i].about, l.realms[i].server.Memory()})
	}
	sort.Slice(list, func(i, j int) bool { return list[i].About < list[j].About })
	return list
}

func (l *listener) succeed(m *ListenerMemory) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.realms {
		if r := &l.realms[i]; r.about == m.About {
			return r.server.Succeed(l.exchange.now(), m.Server)
		}
	}
	return fmt.Errorf("%w: nobody listens about site %q", heartbeat.ErrMemory, m.About)
}

// renew gives every server another life.
func (l *listener) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.realms {
		r := &l.realms[i]
		r.server = heartbeat.NewServer(newBoot(), r.about, r.keys)
	}
}
