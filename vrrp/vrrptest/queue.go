package vrrptest

import (
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// delivery is a packet on its way.
type delivery struct {
	at      vrrp.Instant
	to      int
	payload []byte
	header  wire.Header
}

// queue holds the packets on their way in the order in which they arrive; of two at the same instant, the one sent
// first comes first. There are few at a time.
type queue []delivery

func (q *queue) push(d delivery) {
	s := append(*q, d)
	i := len(s) - 1
	for ; i > 0 && d.at < s[i-1].at; i-- {
		s[i] = s[i-1]
	}
	s[i] = d
	*q = s
}

func (q *queue) pop() delivery {
	d := (*q)[0]
	copy(*q, (*q)[1:])
	*q = (*q)[:len(*q)-1]
	return d
}
