package regiontest

import (
	"slices"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/failover/heartbeat"
	"failoverd/vrrp"
)

// channel is what an agent has of the heartbeats' channel: a client for each partner, and a server for what others ask.
type channel struct {
	agent   *agent
	clients map[string]*heartbeat.Client // by the partner's ID
	server  *heartbeat.Server            // nil: it does not listen
	since   vrrp.Instant                 // begin of the server's clock
	asked   map[uint64]question          // what is not answered yet
	refs    uint64
	replies map[string]known // the newest answer of each partner, for NoContiguity
}

// question is a heartbeat of another node that waits for its answer.
type question struct {
	from   *node
	ticket heartbeat.Ticket
}

// known is what a partner has answered, and when that arrived.
type known struct {
	reply heartbeat.Reply
	at    vrrp.Instant
}

func newChannel(a *agent) channel {
	n := a.node
	c := channel{
		agent: a, clients: make(map[string]*heartbeat.Client), asked: make(map[uint64]question), replies: make(map[string]known),
		since: n.local(),
	}
	switch n.site {
	case island:
		c.server = heartbeat.NewServer(n.world.rand.Uint64()|1, homeSite, keys)
	case nowhere:
		c.server = heartbeat.NewServer(n.world.rand.Uint64()|1, "", keys)
	}
	return c
}

// partner returns the node that a partner's ID stands for: its last word is the node's name.
func (w *World) partner(id string) *node {
	for _, n := range w.nodes {
		if rest, ok := strings.CutSuffix(id, n.name); ok && strings.HasSuffix(rest, " ") {
			return n
		}
	}
	panic("no such partner: " + id)
}

// client returns the client for a partner.
func (c *channel) client(partner string) *heartbeat.Client {
	if c.clients[partner] == nil {
		c.clients[partner] = heartbeat.NewClient(c.agent.node.world.rand.Uint64()|1, keys)
	}
	return c.clients[partner]
}

// ask sends a heartbeat.
func (c *channel) ask(h *failover.Heartbeat) {
	a := c.agent
	w, to := a.node.world, a.node.world.partner(h.Partner)
	b, err := c.client(h.Partner).Seal(&h.Request)
	if err != nil {
		w.rules.fail("CHANNEL", "%s asks %s: %v", a.node.name, h.Partner, err)
		return
	}
	a.view.asked(h.Request.ID)
	w.mutation.unanswered(a, h.Request.ID, h.Partner)
	w.carryOctets(a.node, to, b, func(b []byte) {
		if to.agent != nil {
			to.agent.channel.hears(a.node, b)
		}
	})
}

// hears is what the socket of the server receives.
func (c *channel) hears(from *node, datagram []byte) {
	if c.server == nil {
		return
	}
	request, ticket, outcome := c.server.Open(c.clock(), datagram)
	if outcome != heartbeat.OK && outcome != heartbeat.Stale {
		return
	}
	if outcome == heartbeat.OK && from.site == mainland {
		c.agent.node.silence.breaks(c.agent.node.world.Now())
	}
	c.refs++
	c.asked[c.refs] = question{from, ticket}
	if ticket.Namesakes() {
		c.agent.node.world.rules.fail("CHANNEL", "%s takes the lives of node %s of site %s for several nodes", c.agent.node.name, request.Node, request.Site)
	}
	c.agent.arrives(failover.HeartbeatHeard{Request: request, Fresh: outcome == heartbeat.OK, Ref: c.refs, Namesakes: ticket.Namesakes()})
}

func (c *channel) clock() time.Duration { return c.agent.node.local().Sub(c.since) }

// answer sends the reply to a heartbeat of another node.
func (c *channel) answer(x *failover.Answer) {
	a := c.agent
	w := a.node.world
	q, ok := c.asked[x.Ref]
	delete(c.asked, x.Ref)
	if !ok {
		w.rules.fail("CHANNEL", "%s answers what it was not asked", a.node.name)
		return
	}
	b, err := c.server.Seal(q.ticket, c.clock(), &x.Reply)
	if err != nil {
		w.rules.fail("CHANNEL", "%s answers: %v", a.node.name, err)
		return
	}
	w.carryOctets(a.node, q.from, b, func(b []byte) {
		if q.from.agent != nil {
			q.from.agent.channel.receives(a.node, b)
		}
	})
}

// receives is what the sockets of the clients receive: whose it is says the sender's address.
func (c *channel) receives(from *node, datagram []byte) {
	for partner, client := range c.clients {
		if c.agent.node.world.partner(partner) != from {
			continue
		}
		if reply, outcome := client.Open(datagram); outcome == heartbeat.OK {
			c.replies[partner] = known{reply, c.agent.node.local()}
			c.agent.arrives(failover.HeartbeatReplied{Partner: partner, Reply: reply})
		}
		return
	}
}

// carryOctets is carry for a copy of a datagram, which a bad path may corrupt.
func (w *World) carryOctets(from, to *node, b []byte, arrive func([]byte)) {
	b = slices.Clone(b)
	if p := w.paths[from.index][to.index].bad; p != nil && w.happens(p.corrupt) {
		b[w.rand.IntN(len(b))] ^= 1 << w.rand.IntN(8)
	}
	w.carry(from, to, func() { arrive(b) })
}

// term returns what a request says of the service.
func term(r *heartbeat.Request) (heartbeat.Entry, bool) {
	if len(r.Entries) == 0 {
		return heartbeat.Entry{}, false
	}
	return r.Entries[0], true
}
