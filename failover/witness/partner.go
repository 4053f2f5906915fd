package witness

import (
	"net/netip"
	"sync"
	"time"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
)

// sentKept is for how many requests it is remembered when they were sent.
const sentKept = 32

// partner is somebody that requests are sent to. There is no limit of what is read: a datagram without the nonce of a waiting
// request is thrown away before anything is computed, and nobody can know that who is not on the path.
type partner struct {
	// constant
	exchange *Exchange
	id       string
	tally    *tally

	// owned by the exchange
	life    uint64
	cfg     failover.Partner
	socket  *socket // nil: not open
	openErr string
	sent    uint64
	sendErr string

	mu      sync.Mutex // shared with the reader
	client  *heartbeat.Client
	times   [sentKept]sent // by ID
	rtt     time.Duration  // of the newest answer; 0: there was none
	refused string         // what the network has reported since the newest answer
}

// sent is when a request was sent.
type sent struct {
	id uint64
	at time.Duration
}

func newPartner(x *Exchange, cfg failover.Partner) *partner {
	life := newBoot()
	x.lives.add(life)
	return &partner{
		exchange: x, id: cfg.ID, life: life, cfg: cfg, tally: newTally(x.log.With("partner", cfg.ID)), client: heartbeat.NewClient(life, cfg.Keys),
	}
}

// adopt takes over another configuration with the same address.
func (p *partner) adopt(cfg failover.Partner) {
	if !equalKeys(p.cfg.Keys, cfg.Keys) {
		p.mu.Lock()
		p.client.Rekey(cfg.Keys)
		p.mu.Unlock()
	}
	p.cfg = cfg
}

// open opens the socket unless it is open, and reports whether it is then.
func (p *partner) open() bool {
	if p.socket != nil {
		return true
	}
	// It is bound to no address: the kernel's choice follows the routing table, which may change at any time.
	wildcard := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if p.cfg.Address.Addr().Unmap().Is6() {
		wildcard = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	s, err := openSocket(wildcard, true)
	if err != nil {
		p.openErr = p.tally.cannotOpen(p.openErr, err)
		return false
	}
	p.socket, p.openErr = s, ""
	p.exchange.read(s, p.take, p.failed)
	return true
}

func (p *partner) close() {
	if p.socket != nil {
		p.socket.close()
		p.socket = nil
	}
}

// send sends a request. One that cannot be sent is lost, as if the network had lost it.
func (p *partner) send(r *heartbeat.Request) {
	if p.socket == nil {
		p.tally.count(sendFailed)
		return
	}
	p.mu.Lock()
	b, err := p.client.Seal(r)
	if err == nil {
		p.times[r.ID%sentKept] = sent{r.ID, p.exchange.now()}
	}
	p.mu.Unlock()
	if err == nil {
		// The octets are the client's until the next Seal, which is this goroutine's.
		err = p.socket.send(b, p.cfg.Address, netip.Addr{}, 0)
	}
	if err != nil {
		p.sendErr = err.Error()
		p.tally.note(sendFailed, p.cfg.Address, err)
		return
	}
	p.sent++
	p.sendErr = ""
}

// take reads a datagram. The reader calls it.
func (p *partner) take(d *datagram) {
	p.mu.Lock()
	r, o := p.client.Open(d.payload)
	if o == heartbeat.OK {
		p.refused = ""
		if s := p.times[r.ID%sentKept]; s.id == r.ID {
			p.rtt = max(p.exchange.now()-s.at, 1)
		}
	}
	p.mu.Unlock()
	if o != heartbeat.OK {
		p.tally.note(int(o), d.from, nil)
		return
	}
	if !p.exchange.hand(failover.HeartbeatReplied{Partner: p.id, Reply: r}) {
		p.tally.note(queueFull, d.from, nil)
		return
	}
	p.tally.count(int(o))
}

// failed notes what the network says of our requests, such as "connection refused". It proves nothing: anybody on the path
// can make it up. The reader calls it.
func (p *partner) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = err.Error()
}

func (p *partner) describe() failover.PartnerStatus {
	st := failover.PartnerStatus{
		ID: p.cfg.ID, Kind: p.cfg.Kind.String(), Address: p.cfg.Address.String(), Sent: p.sent, Outcomes: p.tally.words(),
		Refused: p.tally.refusals(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.openErr != "":
		st.Error = p.openErr
	case p.sendErr != "":
		st.Error = "send: " + p.sendErr
	default:
		st.Error = p.refused
	}
	if p.rtt > 0 {
		ms := float64(p.rtt.Microseconds()) / 1000
		st.RTTMS = &ms
	}
	return st
}
