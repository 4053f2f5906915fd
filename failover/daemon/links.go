package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"sync"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/link"
	"failoverd/vrrp/wire"
)

// retryGap is how often a link that could not be opened is tried again. Most become possible with a change of their
// interface, which is noticed at once; the others wait for nothing that tells.
const retryGap = time.Second

// links holds the sockets of the agent. It is owned by the loop; readers deliver through the agent's channel.
type links struct {
	agent      *Agent
	wanted     map[failover.LinkID]bool
	open       map[failover.LinkID]*openLink
	failed     map[failover.LinkID]string // why a link that could be open is not
	retryAt    vrrp.Instant
	carriers   map[string]bool // interfaces that virtual addresses live on
	named      map[string]bool // carriers, and interfaces that routers are on
	announcers map[string]*link.Announcer
	claimable  map[failover.LinkID][]netip.Addr // virtual addresses, by where they are
	claims     map[failover.LinkID]*openClaims
	unheard    map[failover.LinkID]bool      // claims that could not be listened for
	ending     sync.WaitGroup                // readers of claims that were told to end
	complaints map[string]time.Time          // when an interface's announcements failed in the log
	interfaces map[string]failover.Interface // those that exist, as told last
	groups     failover.MulticastGroups
	unknown    bool // advertisements of unknown virtual routers are logged
}

// openLink is a socket with its reader.
type openLink struct {
	id    failover.LinkID
	link  *link.Link
	index int
	done  chan struct{} // closed when the reader has ended
	drops *dropLog
	// unclaimed are the packets that passed the codec and that no virtual router is there for; owned by the loop.
	unclaimed uint64
}

func newLinks(a *Agent, cfg *failover.Config) *links {
	l := &links{
		agent: a, open: make(map[failover.LinkID]*openLink), failed: make(map[failover.LinkID]string),
		claims: make(map[failover.LinkID]*openClaims), unheard: make(map[failover.LinkID]bool),
		announcers: make(map[string]*link.Announcer), complaints: make(map[string]time.Time),
		interfaces: make(map[string]failover.Interface), groups: cfg.Multicast,
	}
	l.want(cfg)
	return l
}

func (l *links) want(cfg *failover.Config) {
	l.unknown = cfg.LogUnknownVRIDs
	l.claimable = claimed(cfg)
	l.wanted, l.carriers, l.named = make(map[failover.LinkID]bool), make(map[string]bool), make(map[string]bool)
	for _, id := range cfg.Links() {
		l.wanted[id] = true
	}
	for i := range cfg.Routers {
		l.named[cfg.Routers[i].VRRP.Key.Interface] = true
		for j := range cfg.Routers[i].Addresses {
			name := cfg.Routers[i].Addresses[j].Interface
			l.carriers[name], l.named[name] = true, true
		}
	}
}

// seen reports whether the kernel has told of every interface that the configuration names.
func (l *links) seen() bool {
	for name := range l.named {
		if _, ok := l.interfaces[name]; !ok {
			return false
		}
	}
	return true
}

// openUnicast opens the links that belong to no interface.
func (l *links) openUnicast() (changed []failover.LinkChanged) {
	for id := range l.wanted {
		if id.Interface == "" && l.open[id] == nil {
			changed = append(changed, l.openOne(id))
		}
	}
	return changed
}

// interfaceChanged opens, closes or opens again what depends on an interface.
func (l *links) interfaceChanged(i failover.Interface) (changed []failover.LinkChanged) {
	old := l.interfaces[i.Name]
	if l.interfaces[i.Name] = i; i.Index == 0 {
		delete(l.interfaces, i.Name) // names come and go with containers: nothing is kept of them
	}
	if old.Index != i.Index || !i.Up {
		l.dropAnnouncer(i.Name)
	}
	for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
		id := failover.LinkID{Interface: i.Name, Family: f}
		if i.Index == 0 {
			delete(l.failed, id)
		}
		if !l.wanted[id] {
			continue
		}
		if o := l.open[id]; o != nil && o.index != i.Index {
			changed = append(changed, l.closeOne(id, "interface "+i.Name+" is gone"))
		}
		if l.open[id] == nil && i.Index != 0 {
			changed = append(changed, l.openOne(id))
		}
	}
	if i.Up && !i.Loopback && l.carriers[i.Name] {
		l.announcer(i.Name)
	}
	l.hear(i.Name)
	return changed
}

// adopt opens what a new configuration asks for; prune closes the rest. What stays is not touched, unless it listened
// to another multicast group.
func (l *links) adopt(cfg *failover.Config) (changed []failover.LinkChanged) {
	l.want(cfg)
	if cfg.Multicast != l.groups {
		l.groups = cfg.Multicast
		for id := range l.open {
			if id.Interface != "" {
				changed = append(changed, l.closeOne(id, "another multicast group"))
			}
		}
	}
	for id := range l.failed {
		if !l.wanted[id] {
			delete(l.failed, id)
		}
	}
	for name := range l.announcers {
		if !l.carriers[name] {
			l.dropAnnouncer(name)
		}
	}
	changed = append(changed, l.openUnicast()...)
	for _, i := range l.interfaces {
		changed = append(changed, l.interfaceChanged(i)...)
	}
	return changed
}

// prune closes what the configuration does not have any more.
func (l *links) prune() (changed []failover.LinkChanged) {
	for id := range l.open {
		if !l.wanted[id] {
			changed = append(changed, l.closeOne(id, "not configured"))
		}
	}
	return changed
}

// retry opens what could not be opened before, every retryGap.
func (l *links) retry(now vrrp.Instant) (changed []failover.LinkChanged) {
	if len(l.failed)+len(l.unheard) == 0 || now < l.retryAt {
		return nil
	}
	l.retryAt = now.Add(retryGap)
	l.hearMissing()
	for id := range l.failed {
		if c := l.openOne(id); c.Open {
			changed = append(changed, c)
		}
	}
	return changed
}

// reopen replaces a link whose reader has ended by itself. If its interface is what has gone, that will be told, too.
func (l *links) reopen(o *openLink) []failover.LinkChanged {
	if l.open[o.id] != o {
		return nil // closed meanwhile
	}
	return []failover.LinkChanged{l.closeOne(o.id, "the socket failed"), l.openOne(o.id)}
}

// openOne opens a link and starts its reader.
func (l *links) openOne(id failover.LinkID) failover.LinkChanged {
	drops := &dropLog{log: l.agent.log, link: id}
	k, err := link.Open(link.ID{Interface: id.Interface, Family: id.Family}, link.Options{Drop: drops.note, Group: l.group(id)})
	if err != nil {
		if l.failed[id] != err.Error() {
			l.agent.log.Error("link not opened", "link", id.String(), "err", err)
		}
		l.failed[id] = err.Error()
		return failover.LinkChanged{Link: id, Err: err.Error()}
	}
	delete(l.failed, id)
	o := &openLink{id: id, link: k, index: l.interfaces[id.Interface].Index, done: make(chan struct{}), drops: drops}
	l.open[id] = o
	go l.agent.read(o)
	return failover.LinkChanged{Link: id, Open: true}
}

// group is the multicast group of a link; zero: the protocol's.
func (l *links) group(id failover.LinkID) netip.Addr {
	switch {
	case id.Interface == "":
		return netip.Addr{}
	case id.Family == wire.IPv4:
		return l.groups.IPv4
	}
	return l.groups.IPv6
}

// read is the reader of a link. It ends when the link is closed.
func (a *Agent) read(o *openLink) {
	err := o.link.Run(func(p *wire.Packet) bool {
		select {
		case a.packets <- packet{link: o.id, p: p}:
			return true
		default:
			a.lost.Add(1)
			return false
		}
	})
	close(o.done) // first: the loop may be waiting for it, and takes nothing else meanwhile
	if err == nil {
		return
	}
	a.log.Warn("link reader ended", "link", o.id.String(), "err", err)
	select {
	case a.deaf <- o:
	case <-a.over:
	}
}

// closeOne closes a link and waits for its reader, which waits for nothing.
func (l *links) closeOne(id failover.LinkID, why string) failover.LinkChanged {
	o := l.open[id]
	_ = o.link.Close() // it is of no use any more in any case
	<-o.done
	delete(l.open, id)
	return failover.LinkChanged{Link: id, Err: why}
}

// send transmits one advertisement. Failures are counted by the link and logged sparingly.
func (l *links) send(a *failover.Advert) {
	o := l.open[a.Link]
	if o == nil {
		return
	}
	var err error
	if a.MAC == [6]byte{} {
		err = o.link.Send(a.Payload, a.Src, a.Dst, a.TTL)
	} else {
		err = o.link.SendFrom(a.MAC, a.Payload, a.Src, a.Dst, a.TTL)
	}
	if err != nil {
		o.drops.failed(err)
	}
}

// refused takes note of a packet that passed the codec and that the core did not accept. A virtual router counts what
// it refuses; what none is there for is counted here.
func (l *links) refused(p packet, why wire.DropReason) {
	o := l.open[p.link]
	if o == nil {
		return
	}
	if why == wire.DropVRID {
		o.unclaimed++
		if !l.unknown {
			return
		}
	}
	o.drops.note(why, p.p.Src, p.p.VRID)
}

// announcer returns the announcer of an interface, opening it if need be; nil when it cannot be had.
func (l *links) announcer(name string) *link.Announcer {
	if a := l.announcers[name]; a != nil {
		return a
	}
	a, err := link.OpenAnnouncer(name)
	if err != nil {
		l.complain(name, err)
		return nil
	}
	l.announcers[name] = a
	return a
}

func (l *links) dropAnnouncer(name string) {
	if a := l.announcers[name]; a != nil {
		_ = a.Close() // nothing of it is needed any more
		delete(l.announcers, name)
	}
}

// announce sends one gratuitous ARP or unsolicited neighbor advertisement.
func (l *links) announce(n failover.LinkAnnouncement) {
	a := l.announcer(n.Interface)
	if a == nil {
		return
	}
	err := a.Announce(n.Address)
	if err == nil {
		return
	}
	l.complain(n.Interface, err)
	if errors.Is(err, link.ErrNoInterface) {
		l.dropAnnouncer(n.Interface) // the next one is for what bears the name then
	}
}

// complain logs a failed announcement unless one of the interface was logged lately.
func (l *links) complain(name string, err error) {
	if now := time.Now(); now.Sub(l.complaints[name]) >= dropLogGap {
		l.complaints[name] = now
		l.agent.log.Error("the LAN cannot be told of an address", "interface", name, "err", err)
	}
}

// describe returns the state of every wanted link, by name.
func (l *links) describe() []failover.LinkStatus {
	out := make([]failover.LinkStatus, 0, len(l.wanted))
	for id := range l.wanted {
		st := failover.LinkStatus{Link: id.String(), Error: l.failed[id], Drops: map[string]uint64{}}
		switch o := l.open[id]; {
		case o != nil:
			o.describe(&st)
		case st.Error == "":
			st.Error = fmt.Sprintf("there is no interface %s", id.Interface)
		}
		out = append(out, st)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Link < out[j].Link })
	return out
}

// describe fills in what an open link has counted. A packet is either received or dropped for one reason.
func (o *openLink) describe(st *failover.LinkStatus) {
	c, d := o.link.Counters(), o.link.Drops()
	d[wire.DropVRID] += o.unclaimed
	st.Open, st.Sent, st.SendErrors = true, c.Sent, c.SendFailed
	st.Received = c.Received - min(o.unclaimed, c.Received) // the reader counts a packet after it has handed it over
	st.Drops = d.Map()
	if c.Overflowed > 0 {
		st.Drops["socket_full"] = c.Overflowed
	}
}

// close ends all readers and releases all sockets.
func (l *links) close() {
	for id := range l.open {
		l.closeOne(id, "stopped")
	}
	for id := range l.claims {
		l.stopHearing(id)
	}
	l.ending.Wait()
	for name := range l.announcers {
		l.dropAnnouncer(name)
	}
}
