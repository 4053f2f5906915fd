package heartbeat

import (
	"encoding/binary"
	"fmt"
)

// The body of a reply:
//
//	length and name of the node, verdict and whether it was noted 1, age of the verdict 4, number of sites 1, number of services 1
//	number of names 1, length and octets of each
//	site 1, about 1                                                     references to names
//	for each site that was heard: name 1, 0 or ended 1 or released 2, age 4
//	for each service: family and state 1, VRID 1, successors 1, holder 1, epoch 8, tenure 4
const (
	heardLen     = 6
	knowledgeLen = 16

	// maxReplyBase is the length of the longest reply that says nothing of a service.
	maxReplyBase = headerLen + 1 + MaxName + 1 + 4 + 1 + 1 + 1 + MaxNames*(1+MaxName) + 2 + MaxSites*heardLen + macLen
)

// noted is the bit beside the verdict that says that the request was noted.
const noted = 0x80

func packVerdict(v Verdict, isNoted bool) byte {
	if isNoted {
		return byte(v) | noted
	}
	return byte(v)
}

// IsReply takes a cheap look at a datagram, before anything is computed.
func IsReply(datagram []byte) bool { return looksLike(datagram, kindReply) }

// names returns the table of the sites in r.
func (r *Reply) names() (t names) {
	t.add(r.Site)
	t.add(r.About)
	for i := range r.Sites {
		t.add(r.Sites[i].Site)
	}
	for i := range r.Services {
		t.add(r.Services[i].Holder)
	}
	return t
}

// check says what keeps r from being sent.
func (r *Reply) check(t *names) error {
	switch {
	case r.Site != "" && !validName(r.Site), !validName(r.Node), !validName(r.About):
		return fmt.Errorf("%w: reply of node %q of site %q about %q", ErrMessage, r.Node, r.Site, r.About)
	case len(r.Services) > MaxServices || len(r.Sites) > MaxSites:
		return fmt.Errorf("%w: %d services and %d sites, at most %d and %d", ErrMessage, len(r.Services), len(r.Sites), MaxServices, MaxSites)
	case t.bad:
		return fmt.Errorf("%w: more than %d sites, or a name of one longer than %d octets", ErrMessage, MaxNames, MaxName)
	case r.Verdict > Down:
		return fmt.Errorf("%w: verdict %d", ErrMessage, r.Verdict)
	}
	for i := range r.Sites {
		if r.Sites[i].Site == "" {
			return fmt.Errorf("%w: a site without a name was heard", ErrMessage)
		}
		if s := &r.Sites[i]; s.Released && !s.Ended {
			return fmt.Errorf("%w: site %s has released everything, but not ended it", ErrMessage, s.Site)
		}
	}
	var seen services
	for i := range r.Services {
		if k := &r.Services[i]; !seen.valid(k.Service) || !k.Term.valid() || k.State > Active {
			return fmt.Errorf("%w: service %d: %+v", ErrMessage, i, *k)
		}
	}
	return nil
}

// append appends r without its MAC, which is macLen octets, to b.
func (r *Reply) append(b []byte, h header) ([]byte, error) {
	t := r.names()
	if err := r.check(&t); err != nil {
		return b, err
	}
	b = h.append(b)
	b = appendText(b, r.Node)
	b = appendAge(append(b, packVerdict(r.Verdict, r.Noted)), r.VerdictAge)
	b = append(b, byte(len(r.Sites)), byte(len(r.Services)))
	b = t.append(b)
	b = append(b, t.index(r.Site), t.index(r.About))
	for i := range r.Sites {
		s := &r.Sites[i]
		b = appendAge(append(b, t.index(s.Site), s.packLife()), s.Age)
	}
	for i := range r.Services {
		k := &r.Services[i]
		b = append(b, packState(k.Service, k.State), k.VRID, k.Successors, t.index(k.Holder))
		b = binary.BigEndian.AppendUint64(b, k.Epoch)
		b = appendAge(b, k.Tenure)
	}
	return b, nil
}

// parseReply reads a datagram that looks like a reply and is authentic.
func parseReply(b []byte) (header, Reply, bool) {
	h := readHeader(b)
	rd := reader{b: b[headerLen : len(b)-macLen]}
	r := Reply{ID: h.id, Node: rd.text()}
	verdict := rd.octet()
	r.Verdict, r.Noted, r.VerdictAge = Verdict(verdict&^noted), verdict&noted != 0, rd.duration()
	sites, known := int(rd.atMost(MaxSites)), int(rd.atMost(MaxServices))
	var t names
	t.read(&rd)
	r.Site, r.About = t.name(rd.octet()), t.name(rd.octet())
	if rd.bad || len(rd.b) != sites*heardLen+known*knowledgeLen {
		return h, Reply{}, false
	}
	r.Sites, r.Services = readHeard(&rd, &t, sites), readKnowledge(&rd, &t, known)
	if rd.bad || !t.done() || r.check(&t) != nil {
		return h, Reply{}, false
	}
	return h, r, true
}

// What a site that was heard may still have, in its octet.
const (
	lifeEnded    = 1
	lifeReleased = 2
)

func (h *Heard) packLife() byte {
	switch {
	case h.Released:
		return lifeReleased
	case h.Ended:
		return lifeEnded
	}
	return 0
}

func readHeard(rd *reader, t *names, n int) []Heard {
	if n == 0 {
		return nil
	}
	sites := make([]Heard, n)
	for i := range sites {
		site, life := t.name(rd.octet()), rd.atMost(lifeReleased)
		sites[i] = Heard{Site: site, Ended: life >= lifeEnded, Released: life == lifeReleased, Age: rd.duration()}
	}
	return sites
}

func readKnowledge(rd *reader, t *names, n int) []Knowledge {
	if n == 0 {
		return nil
	}
	known := make([]Knowledge, n)
	for i := range known {
		k := &known[i]
		k.Family, k.State = unpackState(rd.atMost(maxPackedState))
		k.VRID, k.Successors, k.Holder = rd.octet(), rd.octet(), t.name(rd.octet())
		k.Epoch, k.Tenure = rd.uint64(), rd.duration()
	}
	return known
}
