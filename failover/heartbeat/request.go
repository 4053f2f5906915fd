package heartbeat

import (
	"encoding/binary"
	"fmt"
)

// The body of a request:
//
//	length and name of the node, fence_after 4, number of entries 1
//	number of names 1, length and octets of each
//	site 1, about 1                                                     references to names
//	for each entry: family and state 1, VRID 1, priority 1, holder 1, epoch 8
//	zeros

// requestLen returns the length of a request with n entries: that of the longest reply to it, which is longer than
// anything that the request itself has to say.
func requestLen(n int) int { return maxReplyBase + n*knowledgeLen }

// IsRequest takes a cheap look at a datagram, before anything is computed.
func IsRequest(datagram []byte) bool { return looksLike(datagram, kindRequest) }

// names returns the table of the sites in r.
func (r *Request) names() (t names) {
	t.add(r.Site)
	t.add(r.About)
	for i := range r.Entries {
		t.add(r.Entries[i].Holder)
	}
	return t
}

// check says what keeps r from being sent.
func (r *Request) check(t *names) error {
	switch {
	case !validName(r.Site) || !validName(r.Node) || !validName(r.About):
		return fmt.Errorf("%w: request of node %q of site %q about %q", ErrMessage, r.Node, r.Site, r.About)
	case len(r.Entries) > MaxServices:
		return fmt.Errorf("%w: %d services, at most %d", ErrMessage, len(r.Entries), MaxServices)
	case t.bad:
		return fmt.Errorf("%w: more than %d sites, or a name of one longer than %d octets", ErrMessage, MaxNames, MaxName)
	}
	var seen services
	for i := range r.Entries {
		if e := &r.Entries[i]; !seen.valid(e.Service) || !e.Term.valid() || e.State > Active {
			return fmt.Errorf("%w: service %d: %+v", ErrMessage, i, *e)
		}
	}
	return nil
}

// append appends r without its MAC, which is macLen octets, to b.
func (r *Request) append(b []byte, h header) ([]byte, error) {
	t := r.names()
	if err := r.check(&t); err != nil {
		return b, err
	}
	start := len(b)
	b = h.append(b)
	b = appendText(b, r.Node)
	b = appendBound(b, r.FenceAfter)
	b = append(b, byte(len(r.Entries)))
	b = t.append(b)
	b = append(b, t.index(r.Site), t.index(r.About))
	for i := range r.Entries {
		e := &r.Entries[i]
		b = append(b, packState(e.Service, e.State), e.VRID, e.Priority, t.index(e.Holder))
		b = binary.BigEndian.AppendUint64(b, e.Epoch)
	}
	var zeros [MaxLen]byte
	return append(b, zeros[:start+requestLen(len(r.Entries))-macLen-len(b)]...), nil
}

// parseRequest reads a datagram that looks like a request and is authentic.
func parseRequest(b []byte) (header, Request, bool) {
	h := readHeader(b)
	rd := reader{b: b[headerLen : len(b)-macLen]}
	r := Request{ID: h.id, Node: rd.text(), FenceAfter: rd.duration()}
	n := int(rd.atMost(MaxServices))
	if rd.bad || len(b) != requestLen(n) {
		return h, Request{}, false
	}
	var t names
	t.read(&rd)
	r.Site, r.About = t.name(rd.octet()), t.name(rd.octet())
	r.Entries = readEntries(&rd, &t, n)
	if rd.bad || !t.done() || !allZero(rd.b) || r.check(&t) != nil {
		return h, Request{}, false
	}
	return h, r, true
}

func readEntries(rd *reader, t *names, n int) []Entry {
	if n == 0 {
		return nil
	}
	entries := make([]Entry, n)
	for i := range entries {
		e := &entries[i]
		e.Family, e.State = unpackState(rd.atMost(maxPackedState))
		e.VRID, e.Priority, e.Holder, e.Epoch = rd.octet(), rd.octet(), t.name(rd.octet()), rd.uint64()
	}
	return entries
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
